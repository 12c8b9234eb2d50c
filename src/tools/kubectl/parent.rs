//! The process that asks: which one it is, for all that a pid alone says nothing.
//!
//! Known by boot, pid namespace, pid and start time. Whoever asks first has nothing noted of it, so
//! the start time is looked at only where something was noted of this pid: what began after that
//! is another process. A first request that is taken for a repeat costs a refresh, and nothing
//! else.
//!
//! Linux only: elsewhere there is no such thing as a parent's start time that can be had for
//! nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) pid: u32,
    proc: ProcMount,
}

/// Boot and pid namespace, without which a pid and a start time say nothing: which instance of
/// proc(5) shows them, when that was made, and by which mount, whose id no other one ever has
/// (Linux 6.8). Each pid namespace has an instance of its own, and no instance outlives its boot.
/// To ask for the namespace and for the boot's id by name takes six times as long, for the kernel
/// makes up those files for each process that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProcMount {
    device: (u32, u32),
    /// Seconds and nanoseconds since 1970.
    made: (i64, u32),
    mount: Option<u64>,
}

/// Names what a parent asks.
pub(crate) type Key = u64;

/// Milliseconds since 1970, by the system's clock, whatever a test makes of it.
pub(crate) type Moment = i64;

impl Parent {
    /// `None` where there is no proc(5) to ask.
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

    /// Whoever makes two requests meet has a token refreshed early, and nothing else, so a short
    /// digest is enough.
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

        /// Of the root of proc(5), and of no folder on a disk.
        const ROOT: u64 = 1;
        /// `STATX_MNT_ID_UNIQUE`; an older kernel takes no notice of it.
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

pub(crate) fn moment() -> Moment {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(Moment::MAX)
}

/// Whether the process that has this pid now had it at that time. Where proc(5) shows another pid
/// namespace than this process is in, nothing can be said of the pid, and it was not. Nor was it,
/// as far as can be told, where the clock has been set forward since.
pub(crate) fn was_there(pid: u32, at: Moment) -> bool {
    /// How coarse a start time is, and when it was asked for.
    const TOLERANCE: Moment = 30;
    let shows_us = || {
        let own = std::fs::read_link("/proc/self").ok()?;
        own.to_str()?.parse().ok()
    };
    age(pid).is_some_and(|age| age.saturating_add(TOLERANCE) >= moment().saturating_sub(at))
        && shows_us() == Some(std::process::id())
}

/// For how many milliseconds a process has been there.
#[cfg(target_os = "linux")]
fn age(pid: u32) -> Option<Moment> {
    /// Clock ticks have ten milliseconds: what sysconf(3) says is the same on all that this is
    /// built for.
    const TICK: Moment = 10;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = std::time::Duration::try_from(now).ok()?.as_millis();
    let now = Moment::try_from(now).ok()?;
    // Field 22 of `proc_pid_stat(5)`: the name before it stands in brackets and may hold anything.
    let stat = of_proc(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let started: Moment = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(now - started.checked_mul(TICK)?)
}

#[cfg(not(target_os = "linux"))]
fn age(_pid: u32) -> Option<Moment> {
    None
}

/// A short file of proc(5), which is made whole for one read.
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
            (pid, now - 500, false),
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
