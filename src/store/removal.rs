//! Removes the data folder when hallpass is uninstalled.

use std::path::PathBuf;

use super::error::StoreError;
use super::folder::{Folder, TEMP};
use super::key::KEY;
use super::key_file::KeyFile;
use super::name;

/// The subfolders. Those of `crate::setup` and of the journals are here too, because they are deleted
/// with the rest.
const FOLDERS: &[&str] = &[
    name::SESSIONS,
    name::STORED_CREDENTIALS,
    name::EXCHANGED,
    name::RESOLUTIONS,
    name::METADATA,
    "attempts",
    "entries",
    "runtime",
    "setups",
    "sign-in",
];

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
            FOLDERS.contains(&&*name)
        } else {
            [KEY, KeyFile::NAME].contains(&&*name)
                || name.ends_with(".lock")
                || name.ends_with(TEMP)
        };
        if !is_known {
            unknown.push(path);
        } else if is_folder {
            std::fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
        } else {
            std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    if unknown.is_empty() {
        std::fs::remove_dir(folder).map_err(StoreError::io("remove", folder))?;
    }
    Ok(unknown)
}
