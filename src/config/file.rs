//! Reads files that decide who gets a token, after checking who could have written them. Replaces
//! them completely or not at all.
//!
//! Links are followed, because many users keep their configuration in a repository. The target is
//! checked on the open file, so that it can't be swapped in between.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::access_list::Weakness;
use crate::files;
use crate::held_open::{Use, retry};

/// No file written by hand reaches a megabyte.
const LARGEST: u64 = 1 << 20;

/// The purpose of a file, which decides who may own and read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The system's configuration.
    System,
    /// The user's configuration, of hallpass or another program.
    User,
    /// A secret. If the user owns it, only the user may read it. One that root provides (a
    /// company's client, a secret mounted into a container) may be readable by others.
    Private,
}

/// Why a file is not trusted: others may have written or read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("is not a regular file")]
    NotAFile,
    #[error("is larger than a megabyte")]
    TooLarge,
    #[error("belongs to another user (uid {owner}); it must belong to you or to root")]
    Owner { owner: u32 },
    #[error(
        "belongs to a user outside this user namespace (shown as uid {owner}), possibly not root"
    )]
    UnknownOwner { owner: u32 },
    #[error("can be written by others (mode {mode:04o})")]
    Writable { mode: u32 },
    #[error("can be read by others (mode {mode:04o})")]
    Readable { mode: u32 },
    #[error("is a broken link")]
    DanglingLink,
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("{0}")]
    WeakFile(Weakness),
    #[error("is in a folder that {0}")]
    WeakFolder(Weakness),
}

/// Why an existing file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// The file's text, or `None` if it does not exist.
///
/// Any other failure is an error: a file that cannot be read is not an absent one.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Option<Zeroizing<String>>, Unusable> {
    let Some(file) = open(path, kind)? else {
        return Ok(None);
    };
    let metadata = file.metadata()?;
    check(path, &file, &metadata, kind)?;

    // The buffer has its final size, so it never grows and leaves no copy of a secret behind.
    let size = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(LARGEST).read_to_end(&mut bytes)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Untrusted::NotUtf8.into())
        }
    }
}

#[cfg_attr(
    unix,
    expect(unused_variables, reason = "the owner is checked once it is open")
)]
fn open(path: &Path, kind: Kind) -> Result<Option<File>, Unusable> {
    #[cfg(windows)]
    if kind == Kind::System {
        use super::system_file::NotOpened;
        return super::system_file::open(path).map_err(|error| match error {
            NotOpened::WeakFile(why) => Untrusted::WeakFile(why).into(),
            NotOpened::WeakFolder(why) => Untrusted::WeakFolder(why).into(),
            NotOpened::Unreadable(error) => error.into(),
        });
    }
    match files::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absence(&error) => match path.symlink_metadata() {
            Ok(_) => Err(Untrusted::DanglingLink.into()),
            Err(_) => Ok(None),
        },
        // Windows opens no folder.
        Err(_) if cfg!(windows) && path.is_dir() => Err(Untrusted::NotAFile.into()),
        Err(error) => Err(error.into()),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn check(path: &Path, file: &File, metadata: &Metadata, kind: Kind) -> Result<(), Untrusted> {
    if !metadata.is_file() {
        return Err(Untrusted::NotAFile);
    }
    if metadata.len() > LARGEST {
        return Err(Untrusted::TooLarge);
    }
    check_owner(path, file, metadata, kind)
}

#[cfg(unix)]
fn check_owner(path: &Path, file: &File, metadata: &Metadata, kind: Kind) -> Result<(), Untrusted> {
    use std::os::unix::fs::MetadataExt;

    use crate::identity::{LedTo, Owner, is_ours, vouched_for};

    let uid = metadata.uid();
    let mode = metadata.mode() & 0o7777;
    let owner = match Owner::of(uid) {
        Owner::Unknown if is_ours(file, uid) => Owner::User,
        Owner::Unknown => {
            let vouched = match kind {
                Kind::System => vouched_for(path, metadata, LedTo::BySystem),
                Kind::User => vouched_for(path, metadata, LedTo::ByUser),
                Kind::Private => false,
            };
            if !vouched {
                return Err(Untrusted::UnknownOwner { owner: uid });
            }
            Owner::Root
        }
        known @ (Owner::User | Owner::Root | Owner::Other(_)) => known,
    };
    judge(owner, mode, kind)
}

/// On Windows, the access list of the user's folder has to suffice. The system's file was checked
/// when it was opened.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on unix")]
fn check_owner(
    _path: &Path,
    _file: &File,
    _metadata: &Metadata,
    _kind: Kind,
) -> Result<(), Untrusted> {
    Ok(())
}

#[cfg(unix)]
fn judge(owner: crate::identity::Owner, mode: u32, kind: Kind) -> Result<(), Untrusted> {
    use crate::identity::Owner;

    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    const GROUP_AND_OTHERS_READ: u32 = 0o044;
    match owner {
        Owner::Other(owner) => return Err(Untrusted::Owner { owner }),
        Owner::User | Owner::Root | Owner::Unknown => (),
    }
    if mode & GROUP_AND_OTHERS_WRITE != 0 {
        Err(Untrusted::Writable { mode })
    } else if kind == Kind::Private && owner != Owner::Root && mode & GROUP_AND_OTHERS_READ != 0 {
        Err(Untrusted::Readable { mode })
    } else {
        Ok(())
    }
}

/// Replaces a file completely or not at all. A link stays a link, and its target keeps its owner
/// and mode. A new file is private (0600), as are new folders (0700).
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Staged::of(path, bytes)?.commit()
}

/// Checks that a file can be removed: that its folder allows changes.
pub(crate) fn check_removable(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(temp_ending());
    let probe = path.with_file_name(name);
    File::create_new(&probe)?;
    std::fs::remove_file(probe)
}

/// A file's new content, in a temporary file beside it that is removed on drop.
pub(crate) struct Staged {
    temp: PathBuf,
    target: PathBuf,
    /// The folders that were created for it, outermost first.
    folders: Vec<PathBuf>,
    is_done: bool,
}

impl Staged {
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let target = target(path)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        let mut folders: Vec<_> = missing.map(Path::to_owned).collect();
        folders.reverse();
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(temp_ending());
        let staged = Self {
            temp: folder.join(name),
            folders,
            is_done: false,
            target: target.clone(),
        };
        create_folder(folder)?;
        sweep(&target);
        let mut file = new_file(&staged.temp, &target)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(staged)
    }

    pub(crate) fn commit(mut self) -> io::Result<()> {
        retry(Use::Replace, || std::fs::rename(&self.temp, &self.target))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // Only the first error is reported.
        let _ = std::fs::remove_file(&self.temp);
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn temp_ending() -> String {
    format!(".{:016x}.tmp", rand::random::<u64>())
}

fn is_temp_ending(ending: &str) -> bool {
    let random = ending
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"));
    random.is_some_and(|random| {
        random.len() == 16
            && random
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// Removes the temporary files that killed processes left beside a file. They are as private as the
/// file itself. Recent ones stay, because another process may still be writing them.
pub(crate) fn sweep(target: &Path) {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return;
    };
    // An error here only leaves a file behind until the next time.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let ending = name
            .to_str()
            .and_then(|name| file.to_str()?.strip_prefix(name));
        let is_old = || {
            let modified = entry.metadata().ok()?.modified().ok()?;
            Some(modified.elapsed().ok()? > crate::store::STALE)
        };
        if ending.is_some_and(is_temp_ending) && is_old() == Some(true) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Resolves links: many users keep the file in a repository and link to it.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Creates a file with the owner and mode of the one that it will replace.
fn new_file(path: &Path, like: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    if let Ok(metadata) = std::fs::metadata(like) {
        #[cfg(unix)]
        {
            use rustix::fs::{Gid, Uid, fchown};
            use std::os::unix::fs::MetadataExt as _;
            let (owner, group) = (metadata.uid(), metadata.gid());
            // Only root can preserve another user's ownership.
            let _ = fchown(
                &file,
                Some(Uid::from_raw(owner)),
                Some(Gid::from_raw(group)),
            );
        }
        file.set_permissions(metadata.permissions())?;
    }
    Ok(file)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_belong_to_the_user_or_root() {
        use crate::identity::Owner::{Other, Root, User};

        for (owner, mode, kind, expected) in [
            (User, 0o600, Kind::Private, Ok(())),
            (User, 0o400, Kind::Private, Ok(())),
            (User, 0o644, Kind::User, Ok(())),
            (
                User,
                0o644,
                Kind::Private,
                Err(Untrusted::Readable { mode: 0o644 }),
            ),
            (
                User,
                0o640,
                Kind::Private,
                Err(Untrusted::Readable { mode: 0o640 }),
            ),
            (
                User,
                0o664,
                Kind::User,
                Err(Untrusted::Writable { mode: 0o664 }),
            ),
            (
                User,
                0o602,
                Kind::Private,
                Err(Untrusted::Writable { mode: 0o602 }),
            ),
            (Root, 0o644, Kind::System, Ok(())),
            (Root, 0o644, Kind::User, Ok(())),
            (Root, 0o644, Kind::Private, Ok(())),
            (
                Root,
                0o666,
                Kind::System,
                Err(Untrusted::Writable { mode: 0o666 }),
            ),
            (
                Other(1001),
                0o600,
                Kind::Private,
                Err(Untrusted::Owner { owner: 1001 }),
            ),
            (
                Other(1001),
                0o644,
                Kind::System,
                Err(Untrusted::Owner { owner: 1001 }),
            ),
        ] {
            let found = judge(owner, mode, kind);
            assert_eq!(found, expected, "{owner:?} {mode:o} {kind:?}");
        }
    }
}
