//! A private folder and the files in it.
//!
//! The data folder and everything in it is opened without following links, must belong to the
//! effective user and must not be accessible to others; otherwise, nothing is read or written. On
//! Windows, the access lists of the user's profile ensure this, and only links are checked.

use std::fs::File;
use std::io::Read;

use super::error::StoreError;

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use portable::Folder;
#[cfg(unix)]
pub(super) use unix::Folder;

/// Far more than any of our files needs. A larger file is not read into memory.
const MAX_LEN: u64 = 16 << 20;

impl Folder {
    /// Reads a whole file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_up_to(name, MAX_LEN)
    }

    /// Reads at most the first `len` bytes of a file.
    pub(super) fn head(&self, name: &str, len: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((mut file, actual)) = self.open_file(name)? else {
            return Ok(None);
        };
        self.fill(name, &mut file, actual.min(len)).map(Some)
    }

    fn read_up_to(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((mut file, len)) = self.open_file(name)? else {
            return Ok(None);
        };
        if len > max {
            return Err(StoreError::Damaged {
                path: self.path().join(name),
            });
        }
        self.fill(name, &mut file, len).map(Some)
    }

    // Files here are only replaced as a whole, so the length of an open file doesn't change.
    fn fill(&self, name: &str, file: &mut File, len: u64) -> Result<Vec<u8>, StoreError> {
        let path = || self.path().join(name);
        let len = usize::try_from(len).map_err(|_| StoreError::Damaged { path: path() })?;
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes)
            .map_err(StoreError::io("read", path()))?;
        Ok(bytes)
    }

    /// Replaces a file atomically: other processes see the old one or the new one.
    pub(super) fn replace(
        &self,
        name: &str,
        bytes: &[u8],
        durable: Durable,
    ) -> Result<(), StoreError> {
        self.prepare(name, bytes, durable)?.put()
    }

    /// Writes a temporary file, which is not visible under its final name yet.
    pub(super) fn prepare<'a>(
        &'a self,
        name: &'a str,
        bytes: &[u8],
        durable: Durable,
    ) -> Result<Prepared<'a>, StoreError> {
        use std::io::Write;

        let temp = temp_name(name)?;
        let path = self.path().join(&temp);
        let mut file = self.create_new(&temp)?;
        let prepared = Prepared {
            folder: self,
            name,
            temp,
            durable,
        };
        file.write_all(bytes)
            .and_then(|()| match durable {
                Durable::Yes => file.sync_all(),
                Durable::No => Ok(()),
            })
            .map_err(StoreError::io("write", path))?;
        Ok(prepared)
    }
}

/// A complete file under a temporary name. It is removed on drop unless it is moved into place.
#[must_use = "it is discarded unless it is moved into place"]
pub(super) struct Prepared<'a> {
    folder: &'a Folder,
    name: &'a str,
    temp: String,
    durable: Durable,
}

impl Prepared<'_> {
    pub(super) fn put(self) -> Result<(), StoreError> {
        self.folder.rename(&self.temp, self.name)?;
        match self.durable {
            Durable::Yes => self.folder.sync(),
            Durable::No => Ok(()),
        }
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // Once the file has been moved into place, this name no longer exists.
        let _ = self.folder.remove(&self.temp);
    }
}

/// Whether this path could be created: its nearest existing parent is writable. Creates nothing.
#[cfg(unix)]
pub(super) fn check_creatable(path: &std::path::Path) -> Result<(), StoreError> {
    use rustix::fs::{Access, access};

    let there = path
        .ancestors()
        .skip(1)
        .find(|folder| folder.symlink_metadata().is_ok());
    let folder = there.unwrap_or(path);
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| StoreError::io("write", folder)(error.into()))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
pub(super) fn check_creatable(_path: &std::path::Path) -> Result<(), StoreError> {
    Ok(())
}

/// Whether a file must survive a power failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    No,
}

pub(super) const TEMP: &str = ".tmp";

/// A name that no other process uses.
pub(super) fn temp_name(name: &str) -> Result<String, StoreError> {
    let random: [u8; 8] = super::data_key::random()?;
    Ok(format!("{name}.{}{TEMP}", super::hex::encode(&random)))
}

#[cfg(test)]
mod tests;
