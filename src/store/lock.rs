//! Locks between processes: one refresh, one browser tab, one new key, one set-up.
//!
//! Each lock is a separate file that is never deleted: a process still waiting on a deleted file
//! would get a lock that no other process can see. The system releases a lock when its holder ends
//! for whatever reason.

use std::fmt;
#[cfg(unix)]
use std::fs::Metadata;
use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// What a record's lock protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Refreshing and replacing it. Never held while waiting for the user.
    Record,
    /// Signing in again: one browser tab, however many processes ask.
    Login,
}

/// A lock that is held until it is dropped. If nothing is stored, there is nothing to protect, and
/// it is empty.
#[derive(Debug)]
#[must_use = "it is released when it is dropped"]
pub struct Lock {
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only Unix hands a lock to another process")
    )]
    held: Option<File>,
}

impl Lock {
    pub(super) fn of(held: File) -> Self {
        Self { held: Some(held) }
    }

    pub(super) fn of_nothing() -> Self {
        Self { held: None }
    }

    /// Passes the lock to another process, which inherits the file: the lock ends when its last
    /// descriptor is closed (flock(2)). `None` if there is nothing to protect.
    #[cfg(unix)]
    pub(crate) fn into_file(self) -> Option<File> {
        self.held
    }

    /// A lock that another process took and passed to this one.
    #[cfg(unix)]
    pub(crate) fn inherited(held: File) -> Self {
        Self { held: Some(held) }
    }

    /// Locks a file outside the data folder. After the deadline, returns the process that holds it.
    pub(crate) fn acquire(
        file: File,
        deadline: Instant,
    ) -> io::Result<Result<Self, Option<Holder>>> {
        Ok(acquire(file, deadline)?.map(Self::of))
    }

    /// The lock file's metadata; `None` if the lock is empty.
    #[cfg(unix)]
    pub(crate) fn metadata(&self) -> Option<Metadata> {
        self.held.as_ref()?.metadata().ok()
    }
}

/// The process that holds a lock, if the system knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, program } = self;
        write!(f, "process {pid} ({program})")
    }
}

/// Milliseconds between two attempts. Jittered, so that waiting processes don't retry in step.
const PAUSE: std::ops::RangeInclusive<u64> = 5..=50;

/// Tries immediately and then until the deadline. After that, returns the process that holds it.
pub(super) fn acquire(file: File, deadline: Instant) -> io::Result<Result<File, Option<Holder>>> {
    acquire_until(file, |_| deadline)
}

/// Like [`acquire`], with a deadline that may move during the wait.
pub(super) fn acquire_until(
    file: File,
    mut deadline: impl FnMut(&File) -> Instant,
) -> io::Result<Result<File, Option<Holder>>> {
    loop {
        if try_acquire(&file)? {
            return Ok(Ok(file));
        }
        let left = deadline(&file).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(holder(&file)));
        }
        std::thread::sleep(left.min(Duration::from_millis(rand::random_range(PAUSE))));
    }
}

pub(super) fn try_acquire(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Looks in the kernel's table of locks (`proc_locks(5)`), which doesn't list processes that ended.
#[cfg(target_os = "linux")]
fn holder(file: &File) -> Option<Holder> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = file.metadata().ok()?.ino();
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = table.lines().find_map(|line| pid_of(line, inode))?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder {
        pid,
        program: program.trim_end().to_owned(),
    })
}

#[cfg(not(target_os = "linux"))]
fn holder(_file: &File) -> Option<Holder> {
    None
}

/// The holder in a line of the table, if the line is about a lock on this inode. The device isn't
/// compared, because some file systems show a different one there than in `stat`.
#[cfg(target_os = "linux")]
fn pid_of(line: &str, inode: u64) -> Option<u32> {
    // "1: FLOCK  ADVISORY  WRITE 713 08:01:1234 0 EOF". A waiting one has "->" before its kind.
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let mut words = words.skip(2);
    let pid: u32 = words.next()?.parse().ok()?;
    let (_, of) = words.next()?.rsplit_once(':')?;
    (of.parse() == Ok(inode) && pid != 0).then_some(pid)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_times_out_names_the_process_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("lock")).unwrap();
        let held = acquire(open(), Instant::now()).unwrap().unwrap();
        let holder = acquire(open(), Instant::now()).unwrap().unwrap_err();
        assert_eq!(holder.map(|holder| holder.pid), Some(std::process::id()));
        drop(held);
        // Not at once: a child process of another test may hold copies of the descriptors until its
        // program starts.
        let soon = Instant::now() + std::time::Duration::from_secs(10);
        assert!(acquire(open(), soon).unwrap().is_ok());
    }

    #[test]
    fn the_holder_is_found_by_inode_and_kind_of_lock() {
        for (line, found) in [
            ("1: FLOCK  ADVISORY  WRITE 713 08:01:1234 0 EOF", Some(713)),
            ("1: FLOCK  ADVISORY  WRITE 713 08:01:12345 0 EOF", None),
            ("1: -> FLOCK  ADVISORY  WRITE 713 08:01:1234 0 EOF", None),
            ("1: POSIX  ADVISORY  WRITE 713 08:01:1234 0 EOF", None),
            // The holder is in another process namespace.
            ("1: FLOCK  ADVISORY  WRITE 0 08:01:1234 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(pid_of(line, 1234), found, "{line}");
        }
    }
}
