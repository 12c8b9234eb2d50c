//! Locks between processes: one refresh, one tab, one new key, one set-up.
//!
//! A lock is a file of its own that is never deleted: a process that still waits on a deleted one
//! would hold a lock that no other process can see. The system releases it when its holder ends,
//! however that comes about.

use std::fmt;
#[cfg(unix)]
use std::fs::Metadata;
use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// What a record's lock guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Refreshing and replacing it. Never held while a person is waited for.
    Record,
    /// Signing in again: one browser tab, however many processes ask.
    Login,
}

/// Held until it is dropped. Where nothing is stored there is nothing to guard, and it is empty.
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

    /// Gives the lock to another process, which inherits the file: the lock ends with the last
    /// descriptor of it (flock(2)). `None` where there is nothing to guard.
    #[cfg(unix)]
    pub(crate) fn into_file(self) -> Option<File> {
        self.held
    }

    /// A lock that another process took and gave to this one.
    #[cfg(unix)]
    pub(crate) fn inherited(held: File) -> Self {
        Self { held: Some(held) }
    }

    /// Locks a file that is not in the data folder. After the deadline: which process holds it.
    pub(crate) fn acquire(
        file: File,
        deadline: Instant,
    ) -> io::Result<Result<Self, Option<Holder>>> {
        Ok(acquire(file, deadline)?.map(Self::of))
    }

    /// What the system knows of the lock's file; nothing where the lock is empty.
    #[cfg(unix)]
    pub(crate) fn metadata(&self) -> Option<Metadata> {
        self.held.as_ref()?.metadata().ok()
    }
}

/// The process that holds a lock, as far as the system tells.
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

/// Milliseconds between two tries. Jittered, so that waiting processes do not try in step.
const PAUSE: std::ops::RangeInclusive<u64> = 5..=50;

/// Tries at once, then until the deadline; after that, which process holds it.
pub(super) fn acquire(file: File, deadline: Instant) -> io::Result<Result<File, Option<Holder>>> {
    acquire_until(file, |_| deadline)
}

/// The same with a deadline that may move during the wait.
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

/// Asks the kernel's table of locks (`proc_locks(5)`), which cannot name a process that is gone.
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

/// The holder in a line of the table, if the line is about a lock on this inode. Its device is not
/// compared: some file systems show another one there than `stat` does.
#[cfg(target_os = "linux")]
fn pid_of(line: &str, inode: u64) -> Option<u32> {
    // "1: FLOCK  ADVISORY  WRITE 713 08:01:1234 0 EOF"; one that waits has "->" before its kind.
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
        assert!(acquire(open(), Instant::now()).unwrap().is_ok());
    }

    #[test]
    fn the_table_of_locks_is_read_by_inode_and_kind() {
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
