//! Locks between processes: one refresh, one tab, one new key.
//!
//! A lock is a file of its own that is never deleted: a process that still waits on a deleted one
//! would hold a lock that nobody else can see. The system releases it when its holder ends,
//! however that comes about.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// What a record's lock guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Refreshing and replacing it. Never held while a person is waited for.
    Record,
    /// Signing in anew: one browser tab, however many processes ask.
    Login,
}

/// Held until it is dropped. Where nothing is kept there is nothing to guard, and it is empty.
#[derive(Debug)]
#[must_use = "it is released when it is dropped"]
pub struct Lock {
    _held: Option<File>,
}

impl Lock {
    pub(super) fn of(held: File) -> Self {
        Self { _held: Some(held) }
    }

    pub(super) fn of_nothing() -> Self {
        Self { _held: None }
    }
}

/// Milliseconds between two tries. Jittered, so that those who wait do not knock in step.
const PAUSE: std::ops::RangeInclusive<u64> = 5..=50;

/// Tries at once, then until the deadline; `None` when it has passed.
pub(super) fn acquire(file: File, deadline: Instant) -> io::Result<Option<File>> {
    acquire_until(file, |_| deadline)
}

/// The same with a deadline that may move while one waits.
pub(super) fn acquire_until(
    file: File,
    mut deadline: impl FnMut(&File) -> Instant,
) -> io::Result<Option<File>> {
    loop {
        if try_acquire(&file)? {
            return Ok(Some(file));
        }
        let left = deadline(&file).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
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
