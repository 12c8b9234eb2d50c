//! Opens the system-wide file on Windows, if only administrators could have written it.
//!
//! By default, any user can create a folder in `%ProgramData%`, and add files to a folder that an
//! administrator has created there. So the folder counts as well as the file: its owner, its access
//! list, and that it isn't a link (a junction needs no privilege). All checks are about handles
//! that stay open, and the folder can't be renamed or deleted meanwhile.

use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_READ,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_TRAVERSE,
    READ_CONTROL,
};

use super::access_list::{Weakness, check};
use super::security_descriptor::security_descriptor;
use crate::held_open::{Use, retry};

/// Why the file is not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    WeakFile(Weakness),
    WeakFolder(Weakness),
    Unreadable(io::Error),
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// The opened file, or `None` if it doesn't exist.
pub(super) fn open(path: &Path) -> Result<Option<File>, NotOpened> {
    // Read access and no sharing of deletion are what keeps others from replacing the folder.
    let access = READ_CONTROL | FILE_READ_ATTRIBUTES | FILE_TRAVERSE;
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
    let Some(folder) = opened(path.parent().unwrap_or(path), access, share)? else {
        return Ok(None);
    };
    let Some(file) = opened(path, FILE_GENERIC_READ, share | FILE_SHARE_DELETE)? else {
        return Ok(None);
    };
    judge(&folder).map_err(NotOpened::WeakFolder)?;
    judge(&file).map_err(NotOpened::WeakFile)?;
    Ok(Some(file))
}

/// Opens a file or folder; a link is opened itself.
fn opened(path: &Path, access: u32, share: u32) -> io::Result<Option<File>> {
    let open = || {
        File::options()
            .access_mode(access)
            .share_mode(share)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(path)
    };
    match retry(Use::Read, open) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(file: &File) -> Result<(), Weakness> {
    let metadata = file.metadata().map_err(|_| Weakness::Unknown)?;
    if metadata.file_type().is_symlink() {
        return Err(Weakness::Link);
    }
    check(&security_descriptor(file).map_err(|_| Weakness::Unknown)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under Wine, a file always belongs to the user, and only the user can write it.
    #[test]
    fn the_file_of_a_user_is_refused_and_an_absent_one_is_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("hallpass");
        let path = folder.join("config.toml");
        assert!(matches!(open(&path), Ok(None)));
        std::fs::create_dir(&folder).unwrap();
        // Without a file, it doesn't matter whose folder it is.
        assert!(matches!(open(&path), Ok(None)));
        std::fs::write(&path, "CANARY").unwrap();
        assert!(matches!(open(&path), Err(NotOpened::WeakFolder(_))));

        let mut descriptor = security_descriptor(&File::open(&path).unwrap()).unwrap();
        let Err(Weakness::Owner(user)) = check(&descriptor) else {
            panic!("{descriptor:x?}");
        };
        // The same list, but the file belongs to Administrators.
        let owner = u32::from_le_bytes(*descriptor[4..].first_chunk().unwrap()) as usize;
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        descriptor[owner..owner + administrators.len()].copy_from_slice(&administrators);
        assert_eq!(check(&descriptor), Err(Weakness::Writer(user)));
    }

    #[test]
    fn a_folder_cannot_be_replaced_while_it_is_checked() {
        let root = tempfile::tempdir().unwrap();
        let (folder, other) = (root.path().join("hallpass"), root.path().join("other"));
        std::fs::create_dir(&folder).unwrap();
        let access = READ_CONTROL | FILE_READ_ATTRIBUTES | FILE_TRAVERSE;
        let held = opened(&folder, access, FILE_SHARE_READ | FILE_SHARE_WRITE);
        std::fs::rename(&folder, &other).unwrap_err();
        drop(held.unwrap().unwrap());
        std::fs::rename(&folder, &other).unwrap();
    }
}
