//! Identifies the parent process, for which a pid alone is not enough.
//!
//! It is identified by boot, pid namespace, pid and start time. The start time is checked only if a
//! note about this pid exists: a process that started after the note is a different one. Mistaking
//! a first request for a repeat costs one refresh and nothing else.
//!
//! Linux only: elsewhere, finding out a parent's start time is expensive.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) pid: u32,
    proc: ProcMount,
}

/// Boot and pid namespace, without which a pid and a start time are ambiguous: the instance of
/// proc(5), its creation time, and its mount's ID, which is never reused (Linux 6.8). Each pid
/// namespace has its own instance, and no instance outlives its boot. Reading the namespace and the
/// boot ID by name takes six times as long, because the kernel generates those files for each
/// reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProcMount {
    device: (u32, u32),
    /// Seconds and nanoseconds since 1970.
    made: (i64, u32),
    mount: Option<u64>,
}

/// The key of a parent's request.
pub(crate) type Key = u64;

/// Milliseconds since 1970, by the system's clock, even if a test sets another one.
pub(crate) type Moment = i64;

impl Parent {
    /// `None` without proc(5).
    pub(crate) fn of_process() -> Option<Self> {
        #[cfg(unix)]
        let pid = std::os::unix::process::parent_id();
        #[cfg(not(unix))]
        let pid = 0;
        Some(Self {
            pid,
            proc: ProcMount::of_process()?,
        })
    }

    /// A collision only causes an early refresh, so a short digest is enough.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Key {
        let mut hash = DefaultHasher::new();
        (self.pid, &self.proc, parts).hash(&mut hash);
        hash.finish()
    }
}

impl ProcMount {
    #[cfg(target_os = "linux")]
    fn of_process() -> Option<Self> {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

        /// The inode of the root of proc(5), which no folder on a disk has.
        const ROOT: u64 = 1;
        /// `STATX_MNT_ID_UNIQUE`, which older kernels ignore.
        const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);
        let wanted = StatxFlags::INO | StatxFlags::CTIME | UNIQUE_MOUNT;
        let proc = statx(CWD, "/proc", AtFlags::empty(), wanted).ok()?;
        let has_id = proc.stx_mask & UNIQUE_MOUNT.bits() != 0;
        (proc.stx_ino == ROOT).then(|| Self {
            device: (proc.stx_dev_major, proc.stx_dev_minor),
            made: (proc.stx_ctime.tv_sec, proc.stx_ctime.tv_nsec),
            mount: has_id.then_some(proc.stx_mnt_id),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn of_process() -> Option<Self> {
        None
    }
}

/// Whether the parent's own stderr is this process's too, so that the parent's user sees what this
/// process writes. Otherwise the parent may read each message for itself.
#[cfg(target_os = "linux")]
pub(crate) fn shares_stderr() -> bool {
    use rustix::fs::{fstat, stat};

    let parent = std::os::unix::process::parent_id();
    let theirs = stat(format!("/proc/{parent}/fd/2"));
    let own = fstat(rustix::stdio::stderr());
    let (Ok(theirs), Ok(own)) = (theirs, own) else {
        return false;
    };
    (theirs.st_dev, theirs.st_ino) == (own.st_dev, own.st_ino)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn shares_stderr() -> bool {
    false
}

pub(crate) fn moment() -> Moment {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(Moment::MAX)
}

/// Whether the process that has this pid now already had it at that time. False if proc(5) shows
/// another pid namespace than this process's, because then the pid tells nothing, and possibly also
/// if the clock was set forward in the meantime.
pub(crate) fn was_there(pid: u32, at: Moment) -> bool {
    /// More than the resolution of a start time.
    const TOLERANCE: Moment = 30;
    let shows_us = || {
        let own = std::fs::read_link("/proc/self").ok()?;
        own.to_str()?.parse().ok()
    };
    // Measure this before the age: a pause in between must not make the parent look younger.
    let since = moment().saturating_sub(at);
    age(pid).is_some_and(|age| age.saturating_add(TOLERANCE) >= since)
        && shows_us() == Some(std::process::id())
}

/// For how many milliseconds a process has been running.
#[cfg(target_os = "linux")]
fn age(pid: u32) -> Option<Moment> {
    /// A clock tick is ten milliseconds: sysconf(3) returns the same on every platform that this is
    /// built for.
    const TICK: Moment = 10;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = std::time::Duration::try_from(now).ok()?.as_millis();
    let now = Moment::try_from(now).ok()?;
    // Field 22 of `proc_pid_stat(5)`. The name before it is in brackets and may contain anything.
    let stat = of_proc(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let started: Moment = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(now - started.checked_mul(TICK)?)
}

#[cfg(not(target_os = "linux"))]
fn age(_pid: u32) -> Option<Moment> {
    None
}

/// A short file of proc(5), which one read returns completely.
#[cfg(target_os = "linux")]
fn of_proc(path: &str) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = [0; 1024];
    let count = std::fs::File::open(path).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_told_by_its_pid_by_where_that_counts_and_by_what_it_asks() {
        let parent = Parent::of_process().unwrap();
        let key = parent.key(&[b"a", b"b"]);
        assert_eq!(parent.key(&[b"a", b"b"]), key);
        assert_ne!(parent.key(&[b"ab", b""]), key);
        let changes: [fn(&mut Parent); 4] = [
            |parent| parent.pid += 1,
            |parent| parent.proc.device.1 += 1,
            |parent| parent.proc.made.1 += 1,
            |parent| parent.proc.mount = Some(0),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = parent.clone();
            change(&mut other);
            assert_ne!(other.key(&[b"a", b"b"]), key, "{number}");
        }
    }

    #[test]
    fn a_process_was_there_since_its_start_and_not_before() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let (pid, now) = (child.id(), moment());
        for (pid, at, expected) in [
            (pid, now, true),
            (pid, now - 60_000, false),
            (std::process::id(), now, true),
            (1, now, true),
            (0, now, false),
        ] {
            assert_eq!(was_there(pid, at), expected, "{pid}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!was_there(pid, now));
    }
}
