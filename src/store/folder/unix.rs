//! Folders by descriptor: once opened and checked, a folder can't be swapped for another one.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::StoreError;
use crate::identity;

const GROUP_AND_OTHERS: u32 = 0o077;

#[derive(Debug)]
pub(in crate::store) struct Folder {
    path: PathBuf,
    opened: File,
}

impl Folder {
    /// Opens a folder; `None` if it does not exist.
    pub(in crate::store) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        // A trailing slash would make the system follow a link despite O_NOFOLLOW.
        let path: PathBuf = path.components().collect();
        match rustix::fs::open(&path, folder_flags(), Mode::empty()) {
            Ok(opened) => Self::checked(path, opened.into()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(not_a_folder(path, error)),
        }
    }

    /// Opens a folder, and creates it and its parents if they are missing.
    pub(in crate::store) fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::io("create the folder", path))?;
        Self::open(path)?.ok_or_else(|| StoreError::Io {
            action: "open",
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    pub(in crate::store) fn subfolder(&self, name: &str) -> Result<Option<Self>, StoreError> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.opened, name, folder_flags(), Mode::empty()) {
            Ok(opened) => Self::checked(path, opened.into()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(not_a_folder(path, error)),
        }
    }

    pub(in crate::store) fn subfolder_or_create(&self, name: &str) -> Result<Self, StoreError> {
        if let Some(folder) = self.subfolder(name)? {
            return Ok(folder);
        }
        match rustix::fs::mkdirat(&self.opened, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(self.io("create the folder", name, error)),
        }
        self.subfolder(name)?
            .ok_or_else(|| self.io("open", name, Errno::NOENT))
    }

    fn checked(path: PathBuf, opened: File) -> Result<Self, StoreError> {
        let metadata = opened
            .metadata()
            .map_err(StoreError::io("look at", &path))?;
        check_ours(&path, &opened, &metadata)?;
        Ok(Self { path, opened })
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading, and returns its length.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        // NONBLOCK: a named pipe is refused below instead of blocking.
        let Some(file) = self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        let len = self.check_file(name, &file)?.len();
        Ok(Some((file, len)))
    }

    /// Creates a file that must not exist yet.
    pub(in crate::store) fn create_new(&self, name: &str) -> Result<File, StoreError> {
        self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?
            .ok_or_else(|| self.io("create", name, Errno::NOENT))
    }

    /// Opens a lock's file, and creates it if it is missing.
    pub(in crate::store) fn open_lock(&self, name: &str) -> Result<File, StoreError> {
        let file = self
            .open_at(name, OFlags::RDWR | OFlags::CREATE)?
            .ok_or_else(|| self.io("create", name, Errno::NOENT))?;
        self.check_file(name, &file)?;
        Ok(file)
    }

    /// Opens a file for appending, creates it if it is missing, and returns its length. `None` if
    /// its folder does not exist.
    pub(in crate::store) fn open_to_append(
        &self,
        name: &str,
    ) -> Result<Option<(File, u64)>, StoreError> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
        let Some(file) = self.open_at(name, flags)? else {
            return Ok(None);
        };
        let length = self.check_file(name, &file)?.len();
        Ok(Some((file, length)))
    }

    /// Whether an open file has been removed or replaced since.
    pub(in crate::store) fn is_nameless(file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> Result<Option<File>, StoreError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.opened, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            // O_NOFOLLOW's error for a link: ELOOP on Linux and macOS, EMLINK on FreeBSD.
            Err(Errno::LOOP | Errno::MLINK) => Err(StoreError::IsALink {
                path: self.path.join(name),
            }),
            Err(error) => Err(self.io("open", name, error)),
        }
    }

    fn check_file(&self, name: &str, file: &File) -> Result<Metadata, StoreError> {
        let path = self.path.join(name);
        let metadata = file.metadata().map_err(StoreError::io("look at", &path))?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path });
        }
        check_ours(&path, file, &metadata)?;
        Ok(metadata)
    }

    pub(in crate::store) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        rustix::fs::renameat(&self.opened, from, &self.opened, to)
            .map_err(|error| self.io("write", to, error))
    }

    /// Removes a file. Returns whether it existed.
    pub(in crate::store) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        match rustix::fs::unlinkat(&self.opened, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.io("remove", name, error)),
        }
    }

    /// The names in this folder, sorted.
    pub(in crate::store) fn names(&self) -> Result<Vec<String>, StoreError> {
        let list = || -> Result<Vec<String>, Errno> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.opened)? {
                // A name that isn't UTF-8 isn't ours.
                match entry?.file_name().to_str() {
                    Ok("." | "..") | Err(_) => (),
                    Ok(name) => names.push(name.to_owned()),
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(|error| StoreError::io("list", &self.path)(error.into()))
    }

    pub(in crate::store) fn modified(&self, name: &str) -> Option<SystemTime> {
        self.open_file(name)
            .ok()??
            .0
            .metadata()
            .ok()?
            .modified()
            .ok()
    }

    /// Ensures that the names in this folder survive a power failure.
    pub(in crate::store) fn sync(&self) -> Result<(), StoreError> {
        match self.opened.sync_all() {
            // Some file systems can't sync a folder, and the file itself is already safe.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            other => other.map_err(StoreError::io("write", &self.path)),
        }
    }

    fn io(&self, action: &'static str, name: &str, error: Errno) -> StoreError {
        StoreError::io(action, self.path.join(name))(error.into())
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

// With O_DIRECTORY and O_NOFOLLOW, the error for a link is "not a directory", so this checks again.
fn not_a_folder(path: PathBuf, error: Errno) -> StoreError {
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_symlink() => StoreError::IsALink { path },
        Ok(metadata) if !metadata.is_dir() => StoreError::NotAFolder { path },
        Ok(_) | Err(_) => StoreError::io("open", path)(error.into()),
    }
}

/// Checks that a file or folder belongs to the effective user.
fn check_ours(path: &Path, opened: &File, metadata: &Metadata) -> Result<(), StoreError> {
    let owner = metadata.uid();
    if !identity::is_ours(opened, owner) {
        return Err(StoreError::NotOurs {
            path: path.to_owned(),
            owner,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & GROUP_AND_OTHERS != 0 {
        return Err(StoreError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
