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

/// The opened file, or `None` if it doesn't exist.
///
/// The folder is judged before anything in it is used: a link in its place could lead to another
/// machine, to which Windows would sign the user in.
pub(super) fn open(path: &Path) -> Result<Option<File>, NotOpened> {
    // Read access and no sharing of deletion are what keeps others from replacing the folder.
    let access = READ_CONTROL | FILE_READ_ATTRIBUTES | FILE_TRAVERSE;
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
    let folder = opened(path.parent().unwrap_or(path), access, share)
        .map_err(|error| not_opened(error, NotOpened::WeakFolder))?;
    let Some(folder) = folder else {
        return Ok(None);
    };
    match judge(&folder) {
        Ok(()) => {}
        Err(Weakness::Link) => return Err(NotOpened::WeakFolder(Weakness::Link)),
        // No waiting for a file that the folder's owner holds open.
        Err(_) if is_absent(&path.symlink_metadata()) => return Ok(None),
        Err(why) => return Err(NotOpened::WeakFolder(why)),
    }
    let file = opened(path, FILE_GENERIC_READ, share | FILE_SHARE_DELETE)
        .map_err(|error| not_opened(error, NotOpened::WeakFile))?;
    if let Some(file) = &file {
        judge(file).map_err(NotOpened::WeakFile)?;
    }
    Ok(file)
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
    let result = retry(Use::Read, open);
    if is_absent(&result) {
        return Ok(None);
    }
    result.map(Some)
}

fn is_absent<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// What users may not read, only an administrator can correct, as if it were weak.
fn not_opened(error: io::Error, weak: fn(Weakness) -> NotOpened) -> NotOpened {
    if error.kind() == io::ErrorKind::PermissionDenied {
        weak(Weakness::Unreadable)
    } else {
        NotOpened::Unreadable(error)
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
        // Nor is it opened, so its owner can't keep others waiting.
        let held = File::options().read(true).share_mode(0).open(&path);
        assert!(matches!(open(&path), Err(NotOpened::WeakFolder(_))));
        drop(held.unwrap());

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
    fn what_the_user_may_not_read_is_weak_and_any_other_error_is_reported() {
        use NotOpened::{Unreadable, WeakFile, WeakFolder};
        use io::ErrorKind::{PermissionDenied, StorageFull};

        let denied = |weak| not_opened(PermissionDenied.into(), weak);
        assert!(matches!(
            denied(WeakFolder),
            WeakFolder(Weakness::Unreadable)
        ));
        assert!(matches!(denied(WeakFile), WeakFile(Weakness::Unreadable)));
        let other = not_opened(StorageFull.into(), WeakFolder);
        assert!(matches!(other, Unreadable(error) if error.kind() == StorageFull));
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
