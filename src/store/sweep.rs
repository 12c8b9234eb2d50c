//! Removes what killed processes and earlier versions left in the data folder.

use std::time::{Duration, SystemTime};

use super::folder::{self, Folder};
use super::name;
use super::plain::Plain;
#[cfg(unix)]
use super::socket::FOLDER as SIGN_IN;

/// The folder for the sockets of sign-ins in progress, which only Unix has.
#[cfg(not(unix))]
const SIGN_IN: &str = "sign-in";

/// A temporary file older than this was left behind by a killed process.
pub(crate) const STALE: Duration = Duration::from_secs(60 * 60);

/// The subfolders that the store writes.
pub(super) fn subfolders() -> impl Iterator<Item = &'static str> {
    name::FOLDERS
        .into_iter()
        .chain(Plain::FOLDERS)
        .chain([SIGN_IN])
}

/// Removes abandoned temporary files from each folder of the data folder. Files that cannot be
/// removed stay, because they do no harm.
pub(super) fn sweep(data: &Folder) {
    sweep_one(data);
    forget_unencrypted_metadata(data);
    for name in subfolders() {
        if let Ok(Some(folder)) = data.subfolder(name) {
            sweep_one(&folder);
        }
    }
}

/// Earlier versions cached metadata as JSON, which any of the user's programs could edit.
fn forget_unencrypted_metadata(data: &Folder) {
    let Ok(Some(folder)) = data.subfolder(name::METADATA) else {
        return;
    };
    for name in folder.names().unwrap_or_default() {
        if name.strip_suffix(".json").is_some_and(name::is_record) {
            let _ = folder.remove(&name);
        }
    }
}

fn sweep_one(folder: &Folder) {
    // File times come from the system, even if a test sets the clock.
    let now = SystemTime::now();
    for name in folder.names().unwrap_or_default() {
        let stale = name.ends_with(folder::TEMP)
            && folder
                .modified(&name)
                .and_then(|modified| now.duration_since(modified).ok())
                .is_some_and(|age| age > STALE);
        if stale {
            let _ = folder.remove(&name);
        }
    }
}
