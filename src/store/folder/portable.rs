//! Folders by path, for platforms without folder descriptors.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::StoreError;
use crate::held_open::{Use, retry};

#[derive(Debug)]
pub(in crate::store) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; `None` if it does not exist.
    pub(in crate::store) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let path: PathBuf = path.components().collect();
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => Err(StoreError::IsALink { path }),
            Ok(metadata) if !metadata.is_dir() => Err(StoreError::NotAFolder { path }),
            Ok(_) => Ok(Some(Self { path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open", path)(error)),
        }
    }

    /// Opens a folder, and creates it and its parents if they are missing.
    pub(in crate::store) fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        std::fs::create_dir_all(path).map_err(StoreError::io("create the folder", path))?;
        Self::open(path)?.ok_or_else(|| StoreError::Io {
            action: "open",
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    pub(in crate::store) fn subfolder(&self, name: &str) -> Result<Option<Self>, StoreError> {
        Self::open(&self.path.join(name))
    }

    pub(in crate::store) fn subfolder_or_create(&self, name: &str) -> Result<Self, StoreError> {
        Self::open_or_create(&self.path.join(name))
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading, and returns its length.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return Err(StoreError::IsALink { path }),
            Ok(metadata) if !metadata.is_file() => return Err(StoreError::NotAFile { path }),
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path)(error)),
        }
        let open = || File::open(&path);
        match retry(Use::Open, open).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((len, file)) => Ok(Some((file, len))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open", path)(error)),
        }
    }

    /// Creates a file that must not exist yet.
    pub(in crate::store) fn create_new(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        retry(Use::Open, || options.open(&path)).map_err(StoreError::io("make", path))
    }

    /// Opens a lock's file, and creates it if it is missing.
    pub(in crate::store) fn open_lock(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        retry(Use::Open, || options.open(&path)).map_err(StoreError::io("make", path))
    }

    /// Opens a file for appending, creates it if it is missing, and returns its length. `None` if
    /// its folder does not exist.
    pub(in crate::store) fn open_to_append(
        &self,
        name: &str,
    ) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let opened = retry(Use::Open, || options.open(&path))
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((length, file)) => Ok(Some((file, length))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("make", path)(error)),
        }
    }

    /// Whether an open file has been removed or replaced since, which can't happen on this
    /// platform.
    pub(in crate::store) fn is_nameless(_file: &File) -> bool {
        false
    }

    pub(in crate::store) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let to = self.path.join(to);
        let from = self.path.join(from);
        retry(Use::Replace, || std::fs::rename(&from, &to)).map_err(StoreError::io("write", to))
    }

    /// Removes a file. Returns whether it existed.
    pub(in crate::store) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path.join(name);
        match retry(Use::Replace, || std::fs::remove_file(&path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("remove", path)(error)),
        }
    }

    /// The names in this folder, sorted.
    pub(in crate::store) fn names(&self) -> Result<Vec<String>, StoreError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&self.path)? {
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(StoreError::io("list", &self.path))
    }

    pub(in crate::store) fn modified(&self, name: &str) -> Option<SystemTime> {
        std::fs::symlink_metadata(self.path.join(name))
            .ok()?
            .modified()
            .ok()
    }

    /// Windows can't flush a folder, but journals its names.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as on unix")]
    pub(in crate::store) fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
