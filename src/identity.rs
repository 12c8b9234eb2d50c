//! Who we are inside and outside a user namespace, and whose a file is.
//!
//! <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>
//!
//! Rootless podman and buildah run a credential helper in a user namespace, as uid 0. The kernel
//! translates every owner that it reports: our own file, socket and key show our uid *inside* the
//! namespace, so owners are compared with that one. An owner without a mapping shows the overflow
//! uid (65534). It may be root or any other user, so it is unknown and never root; [`vouched_for`]
//! has the one case where a file of such an owner is accepted. We may show that uid ourselves, in a
//! namespace that does not map us (`unshare -U`) or as its user `nobody`: then what shows it is
//! ours only if the kernel treats us as its owner, see [`is_ours`].

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Our effective uid as the kernel translates it here.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Our uid outside the user namespace: for names such as `/run/user/UID`, never to compare owners.
pub fn user_outside() -> u32 {
    let inside = user();
    let map = namespace::uid_map().unwrap_or_default();
    translate(&map, inside).unwrap_or(inside)
}

/// Whether this process runs in a user namespace other than the machine's own.
pub fn in_user_namespace() -> bool {
    namespace::uid_map().is_some_and(|map| !is_identity(&map))
}

/// The owner of a file, a socket or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    User,
    Root,
    /// Root or any other user, whom this user namespace does not map.
    Unknown,
    Other(u32),
}

impl Owner {
    /// The owner with this uid, as the kernel reports it here.
    pub fn of(uid: u32) -> Self {
        const ROOT: u32 = 0;
        // On a hit, only our own files are checked, so the namespace is never read.
        let is_ambiguous = || uid == namespace::DEFAULT_OVERFLOW && in_user_namespace();
        if uid == user() && !is_ambiguous() {
            Self::User
        } else if uid == ROOT {
            Self::Root
        } else if uid == namespace::overflow_uid() && in_user_namespace() {
            Self::Unknown
        } else {
            Self::Other(uid)
        }
    }
}

/// Whether an opened file is our own.
pub fn is_ours(file: &File, uid: u32) -> bool {
    match Owner::of(uid) {
        Owner::User => true,
        Owner::Unknown => uid == user() && namespace::treats_us_as_owner(file),
        Owner::Root | Owner::Other(_) => false,
    }
}

/// What may lead to a file of an unknown owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedTo {
    /// A path that the program itself names, in the system's folders.
    BySystem,
    /// A link of the user's own.
    ByUser,
}

/// Whether a file of an unknown owner can be trusted like one of root's: it and every folder up to
/// `/` have an unknown owner and are not writable by group or others. `opened` is the open file.
pub fn vouched_for(path: &Path, opened: &Metadata, led_to: LedTo) -> bool {
    let found = resolve(path, led_to, &look);
    found.is_some_and(|found| found.id == (opened.dev(), opened.ino()))
}

/// What is at a path, its last link not followed.
#[derive(Debug, Clone)]
struct Entry {
    owner: Owner,
    mode: u32,
    link: Option<PathBuf>,
    id: (u64, u64),
}

impl Entry {
    fn is_unknown_and_closed(&self) -> bool {
        const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
        self.owner == Owner::Unknown && self.mode & GROUP_AND_OTHERS_WRITE == 0
    }
}

fn look(path: &Path) -> io::Result<Entry> {
    let metadata = path.symlink_metadata()?;
    let link = metadata.is_symlink().then(|| std::fs::read_link(path));
    Ok(Entry {
        owner: Owner::of(metadata.uid()),
        mode: metadata.mode(),
        link: link.transpose()?,
        id: (metadata.dev(), metadata.ino()),
    })
}

type Look<'a> = &'a dyn Fn(&Path) -> io::Result<Entry>;

/// Follows a path link by link. Returns the file at its end if everything that leads to it can be
/// trusted.
fn resolve(path: &Path, led_to: LedTo, look: Look<'_>) -> Option<Entry> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;

    let mut here = PathBuf::from("/");
    let mut rest = steps(path)?;
    let mut links = 0;
    let mut linked_by_user = false;
    while let Some(step) = rest.pop() {
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&step);
        let entry = look(&next).ok()?;
        let Some(target) = entry.link else {
            here = next;
            continue;
        };
        links += 1;
        match entry.owner {
            _ if links > MOST_LINKS => return None,
            Owner::User if led_to == LedTo::ByUser => linked_by_user = true,
            Owner::Unknown if folder_is_closed(&here, look) => (),
            Owner::User | Owner::Root | Owner::Unknown | Owner::Other(_) => return None,
        }
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        rest.extend(steps(&target)?);
    }
    let file = look(&here).ok()?;
    let accepted = file.is_unknown_and_closed()
        && folder_is_closed(here.parent()?, look)
        && (led_to == LedTo::BySystem || linked_by_user && !is_in_a_home(&here));
    accepted.then_some(file)
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Option<Vec<OsString>> {
    let mut steps = Vec::new();
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => steps.push(name.to_owned()),
            Component::ParentDir => steps.push("..".into()),
            Component::RootDir | Component::CurDir => (),
            Component::Prefix(_) => return None,
        }
    }
    Some(steps)
}

fn folder_is_closed(folder: &Path, look: Look<'_>) -> bool {
    // Its group is the build users', who only write what they build; root then owns it.
    const NIX_STORE: &str = "/nix/store";
    folder.ancestors().all(|folder| {
        look(folder).is_ok_and(|entry| {
            entry.is_unknown_and_closed()
                || folder == Path::new(NIX_STORE) && entry.owner == Owner::Unknown
        })
    })
}

/// Whether a path is in the home folder of a person. In a namespace such a folder looks the same
/// as root's.
fn is_in_a_home(path: &Path) -> bool {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    path.starts_with("/home") || homes(&accounts).any(|home| path.starts_with(home))
}

/// The homes of the accounts that are people's (passwd(5)).
fn homes(accounts: &str) -> impl Iterator<Item = &Path> {
    /// Below are the accounts of the system, whose homes are folders such as `/bin`.
    const FIRST_PERSON: u32 = 1000;
    accounts.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let uid: u32 = fields.next()?.parse().ok()?;
        let home = Path::new(fields.nth(2)?);
        (uid >= FIRST_PERSON && home.parent().is_some()).then_some(home)
    })
}

#[cfg(target_os = "linux")]
mod namespace {
    use std::fs::File;

    use rustix::fs::OFlags;

    pub(super) const DEFAULT_OVERFLOW: u32 = 65534;

    pub(super) fn uid_map() -> Option<String> {
        std::fs::read_to_string("/proc/self/uid_map").ok()
    }

    /// Only the owner may read a file without changing its access time (open(2), `O_NOATIME`).
    /// A capability is not enough where the namespace does not map the owner.
    pub(super) fn treats_us_as_owner(file: &File) -> bool {
        rustix::fs::fcntl_getfl(file)
            .and_then(|flags| rustix::fs::fcntl_setfl(file, flags | OFlags::NOATIME))
            .is_ok()
    }

    pub(super) fn overflow_uid() -> u32 {
        std::fs::read_to_string("/proc/sys/kernel/overflowuid")
            .ok()
            .and_then(|uid| uid.trim().parse().ok())
            .unwrap_or(DEFAULT_OVERFLOW)
    }
}

/// Only Linux has user namespaces.
#[cfg(not(target_os = "linux"))]
mod namespace {
    use std::fs::File;

    pub(super) const DEFAULT_OVERFLOW: u32 = 65534;

    pub(super) fn uid_map() -> Option<String> {
        None
    }

    pub(super) fn treats_us_as_owner(_file: &File) -> bool {
        false
    }

    pub(super) fn overflow_uid() -> u32 {
        DEFAULT_OVERFLOW
    }
}

/// The rows of a map: the first uid inside, the first outside, and how many.
fn rows(map: &str) -> impl Iterator<Item = [u32; 3]> {
    map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some([next()?, next()?, next()?])
    })
}

fn is_identity(map: &str) -> bool {
    rows(map).eq([[0, 0, u32::MAX]])
}

fn translate(map: &str, inside: u32) -> Option<u32> {
    rows(map).find_map(|[first_inside, first_outside, count]| {
        let offset = inside.checked_sub(first_inside)?;
        (offset < count).then(|| first_outside.checked_add(offset))?
    })
}

#[cfg(test)]
mod tests;
