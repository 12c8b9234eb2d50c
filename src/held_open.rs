//! Waits for files that another program holds open.
//!
//! On Windows, a virus scanner, an indexer or a backup that has just opened a file keeps others from
//! replacing it, and sometimes from opening it. Most let go of it within milliseconds. On other
//! platforms, this doesn't happen.

use std::io;
use std::time::{Duration, Instant};

/// As long as a process waits for another one's lock on a record.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait if access is denied, which is more often final.
const PATIENCE_IF_DENIED: Duration = Duration::from_secs(2);

/// What a call does to a file, which decides what "access denied" may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(windows),
    expect(dead_code, reason = "Unix opens files in other ways")
)]
pub(crate) enum Use {
    /// Reads a file of the user. Access is denied to a folder, and to what others may not read.
    Read,
    /// Opens a file of our own. Access is denied to a file that is being deleted.
    Open,
    /// Replaces or removes a file. Access is denied if another program has it open.
    Replace,
}

/// Makes a call again while another program seems to hold the file open.
pub(crate) fn retry<T>(purpose: Use, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retry_while(|error| patience(error, purpose), call)
}

fn retry_while<T>(
    patience: impl Fn(&io::Error) -> Duration,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut started = None;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let error = match call() {
            Err(error) => error,
            result @ Ok(_) => return result,
        };
        let patience = patience(&error);
        if patience.is_zero() {
            return Err(error);
        }
        if started.get_or_insert_with(Instant::now).elapsed() >= patience {
            return Err(explained(&error));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How long another program may cause this error.
///
/// <https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes--0-499->
fn patience(error: &io::Error, purpose: Use) -> Duration {
    const ACCESS_DENIED: i32 = 5;
    const SHARING_VIOLATION: i32 = 32;
    const LOCK_VIOLATION: i32 = 33;
    match (error.raw_os_error(), purpose) {
        _ if !cfg!(windows) => Duration::ZERO,
        (Some(SHARING_VIOLATION | LOCK_VIOLATION), _) | (Some(ACCESS_DENIED), Use::Replace) => {
            PATIENCE
        }
        (Some(ACCESS_DENIED), Use::Open) => PATIENCE_IF_DENIED,
        _ => Duration::ZERO,
    }
}

/// The error of the system, and who may be the cause. Which program it is, Windows doesn't say.
fn explained(error: &io::Error) -> io::Error {
    let words = format!(
        "{error}; another program, for example a virus scanner or a backup, may be holding the \
         file open"
    );
    io::Error::new(error.kind(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_open() -> io::Error {
        io::Error::from_raw_os_error(32)
    }

    #[test]
    fn a_file_that_is_held_open_for_a_while_is_waited_for() {
        let mut calls = 0;
        let result = retry_while(
            |_| PATIENCE,
            || {
                calls += 1;
                if calls < 4 {
                    Err(held_open())
                } else {
                    Ok(calls)
                }
            },
        );
        assert_eq!(result.unwrap(), 4);
    }

    #[test]
    fn a_file_that_stays_open_is_an_error_that_names_the_obstacle() {
        let mut calls = 0;
        let error = retry_while(
            |_| Duration::from_millis(20),
            || {
                calls += 1;
                Err::<(), _>(held_open())
            },
        );
        let error = error.unwrap_err();
        assert!(calls > 1);
        assert_eq!(error.kind(), held_open().kind());
        assert!(error.to_string().contains("another program"), "{error}");
    }

    #[test]
    fn any_other_error_is_returned_at_once() {
        for error in [io::ErrorKind::NotFound, io::ErrorKind::StorageFull] {
            let mut calls = 0;
            let result = retry(Use::Replace, || {
                calls += 1;
                Err::<(), _>(error.into())
            });
            assert_eq!((calls, result.unwrap_err().kind()), (1, error));
        }
        assert_eq!(patience(&held_open(), Use::Read).is_zero(), !cfg!(windows));
    }

    #[cfg(windows)]
    #[test]
    fn a_file_can_be_read_and_replaced_once_another_program_lets_go_of_it() {
        use std::fs::File;
        use std::os::windows::fs::OpenOptionsExt as _;
        use std::sync::mpsc;

        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("file"), folder.path().join("new"));
        for purpose in [Use::Replace, Use::Open, Use::Read] {
            let replaces = purpose == Use::Replace;
            std::fs::write(&file, "old").unwrap();
            std::fs::write(&new, "new").unwrap();
            let mut held = Some(
                File::options()
                    .read(true)
                    .share_mode(0)
                    .open(&file)
                    .unwrap(),
            );
            let (fails, failed) = mpsc::channel();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    // Only after it was in the way twice.
                    failed.recv().unwrap();
                    failed.recv().unwrap();
                    drop(held.take());
                });
                let result = retry(purpose, || {
                    let result = if replaces {
                        std::fs::rename(&new, &file)
                    } else {
                        File::open(&file).map(drop)
                    };
                    if result.is_err() {
                        let _ = fails.send(());
                    }
                    result
                });
                result.unwrap();
            });
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text, if replaces { "new" } else { "old" });
        }
    }
}
