//! The process that asks: which one it is, for all that a pid alone says nothing.
//!
//! Known by boot, pid namespace, pid and start time. Whoever asks first has nothing noted of it, so
//! the start time is looked at only where something was noted of this pid: what began after that
//! is another process.
//!
//! Linux only: elsewhere there is no such thing as a parent's start time that can be had for
//! nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) pid: u32,
    world: World,
}

/// Boot and pid namespace, without which a pid and a start time say nothing: which instance of
/// proc(5) shows them, and when that was mounted. Each pid namespace has an instance of its own,
/// and no instance outlives its boot. To ask for the namespace and for the boot's id by name takes
/// six times as long, for the kernel makes up those files for each process that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    device: u64,
    /// Seconds and nanoseconds since 1970.
    mounted: (i64, i64),
}

/// Names what a parent asks.
pub(super) type Key = u64;

/// Seconds since boot.
pub(super) type Uptime = u64;

impl Parent {
    /// `None` where there is no proc(5) to ask.
    pub(super) fn of_process() -> Option<Self> {
        #[cfg(unix)]
        let pid = std::os::unix::process::parent_id();
        #[cfg(not(unix))]
        let pid = 0;
        Some(Self {
            pid,
            world: World::of_process()?,
        })
    }

    /// Whoever makes two requests meet has a token refreshed early, and nothing else, so a short
    /// digest is enough.
    pub(super) fn key(&self, parts: &[&[u8]]) -> Key {
        let mut hash = DefaultHasher::new();
        (self.pid, &self.world, parts).hash(&mut hash);
        hash.finish()
    }
}

impl World {
    fn of_process() -> Option<Self> {
        #[cfg(target_os = "linux")]
        let (device, mounted) = {
            use std::os::unix::fs::MetadataExt as _;

            /// Of the root of proc(5), and of no folder on a disk.
            const ROOT: u64 = 1;
            let proc = std::fs::metadata("/proc").ok()?;
            if proc.ino() != ROOT {
                return None;
            }
            (proc.dev(), (proc.ctime(), proc.ctime_nsec()))
        };
        #[cfg(not(target_os = "linux"))]
        let (device, mounted) = None?;
        Some(Self { device, mounted })
    }
}

/// Whether the process that has this pid now had it at that time.
pub(super) fn was_there(pid: u32, at: Uptime) -> bool {
    started(pid).is_some_and(|started| started <= at)
}

/// Field 22 of `proc_pid_stat(5)`, in whole seconds: the name before it stands in brackets and may
/// hold anything.
fn started(pid: u32) -> Option<Uptime> {
    /// The unit of that field. What sysconf(3) says is the same on all that this is built for.
    const HERTZ: u64 = 100;
    let stat = of_proc(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / HERTZ)
}

/// Now, on the clock that start times are told by. The kernel rounds it up.
pub(super) fn uptime() -> Uptime {
    #[cfg(target_os = "linux")]
    {
        u64::try_from(rustix::system::sysinfo().uptime).unwrap_or_default()
    }
    #[cfg(not(target_os = "linux"))]
    0
}

/// A short file of proc(5), which is made whole for one read.
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
    fn a_parent_is_told_by_its_world_and_by_what_it_asks() {
        let parent = Parent::of_process().unwrap();
        let key = parent.key(&[b"a", b"b"]);
        assert_eq!(parent.key(&[b"a", b"b"]), key);
        assert_ne!(parent.key(&[b"ab", b""]), key);
        let another = Parent {
            pid: parent.pid + 1,
            ..parent.clone()
        };
        let elsewhere = Parent {
            world: World {
                device: 0,
                ..parent.world
            },
            ..parent
        };
        assert_ne!(another.key(&[b"a", b"b"]), key);
        let before = Parent {
            world: World {
                mounted: (0, 0),
                ..parent.world
            },
            ..parent
        };
        assert_ne!(elsewhere.key(&[b"a", b"b"]), key);
        assert_ne!(before.key(&[b"a", b"b"]), key);
    }

    #[test]
    fn a_process_was_there_since_its_start_and_not_before() {
        let pid = std::process::id();
        let start = started(pid).unwrap();
        assert!(was_there(pid, start));
        assert!(was_there(pid, uptime()));
        assert!(!was_there(pid, start - 1));
        assert!(!was_there(0, uptime()));
    }
}
