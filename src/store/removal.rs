//! Removes the data folder when hallpass is uninstalled.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::folder::{Folder, TEMP};
use super::key::{KEY, KEY_LOCK, KEYRING_LOCK};
use super::key_file::KeyFile;
use super::options::Options;
use super::setting::Place;
use super::{journal, key, key_cache, keyring, sweep};
use crate::held_open::{Use, retry};

/// Whether hallpass writes this subfolder. Those of `crate::setup` and of the journals count too,
/// because they are deleted with the rest.
fn is_subfolder(name: &str) -> bool {
    sweep::subfolders()
        .chain([journal::FOLDER, "setups"])
        .any(|known| known == name)
}

/// Removes the key from the OS keyring and from the kernel's. Only key.json names it, so this comes
/// before the folder is removed.
pub(super) fn remove_key(options: &Options, data: &Folder) -> Result<(), StoreError> {
    let _turn = key::turn(options, data)?;
    let Some(file) = KeyFile::read(data)? else {
        return Ok(());
    };
    if file.place == Place::Keyring {
        let turn = data.open_lock(KEYRING_LOCK)?;
        keyring::remove(file.id, options.terms(), turn)?;
    }
    // Without a key cache, there is nothing to forget.
    let _ = key_cache::forget(file.id);
    Ok(())
}

/// Removes what hallpass wrote, and the folder itself if nothing else is in it. Returns the files that
/// hallpass doesn't know. They stay: the user may have chosen a folder with other files in it.
pub(super) fn remove(data: &Folder) -> Result<Vec<PathBuf>, StoreError> {
    let folder = data.path();
    let mut unknown = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(StoreError::io("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_known = if is_folder {
            is_subfolder(&name)
        } else {
            let written = |known: &&str| {
                name.strip_prefix(*known)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with(TEMP))
            };
            [KEY, KeyFile::NAME, KEY_LOCK, KEYRING_LOCK]
                .iter()
                .any(written)
        };
        if !is_known {
            unknown.push(path);
        } else if is_folder {
            unknown.extend(remove_subfolder(&path)?);
        } else {
            removed(&path, |path| std::fs::remove_file(path))?;
        }
    }
    if unknown.is_empty() {
        removed(folder, |path| std::fs::remove_dir(path))?;
    }
    Ok(unknown)
}

/// Removes a subfolder and the files in it. hallpass writes no folder into a subfolder, so such folders
/// stay and are returned.
fn remove_subfolder(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    /// Another process may write a file while this one removes them.
    const TRIES: u8 = 10;
    let mut tries = 0;
    loop {
        let mut unknown = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(StoreError::io("read", folder))? {
            let entry = entry.map_err(StoreError::io("read", folder))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                unknown.push(entry.path());
            } else {
                removed(&entry.path(), |path| std::fs::remove_file(path))?;
            }
        }
        if !unknown.is_empty() {
            return Ok(unknown);
        }
        tries += 1;
        match removed(folder, |path| std::fs::remove_dir(path)) {
            Err(StoreError::Io { source, .. })
                if source.kind() == ErrorKind::DirectoryNotEmpty && tries < TRIES => {}
            result => return result.map(|()| unknown),
        }
    }
}

/// Removes a file or folder, unless another process has done so.
fn removed(path: &Path, remove: fn(&Path) -> std::io::Result<()>) -> Result<(), StoreError> {
    match retry(Use::Replace, || remove(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(StoreError::io("remove", path)),
    }
}
