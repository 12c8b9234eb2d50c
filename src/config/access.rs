//! How the user gets access to a file of their own.

use std::io;
use std::path::Path;

use super::shown::shown_at_home;
#[cfg(unix)]
use crate::shell::quoted_at_home;

/// Returns the command that gives the user access to a file that can't be read or replaced. The
/// obstacle may be a folder above it. `None` if permissions aren't the problem, or if the obstacle
/// belongs to another user and is outside the home folder.
#[cfg(unix)]
pub(crate) fn access_fix(path: &Path, home: Option<&Path>, cause: &io::Error) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Access, access};

    if cause.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    // Nothing is visible beneath a folder that the user may not enter.
    let folder = path.ancestors().skip(1).find(|folder| folder.exists())?;
    let is_closed = access(folder, Access::EXEC_OK).is_err();
    // A file is replaced, so only its folder has to be writable.
    let needed = if path.is_dir() {
        Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK
    } else {
        Access::READ_OK
    };
    let is_open = || !path.exists() || access(path, needed).is_ok();
    let denying = if is_closed || is_open() { folder } else { path };
    let shown = shown_at_home(denying, home);
    let word = quoted_at_home(&shown);
    let owner = denying.metadata().ok()?.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Some(format!("run `chmod u+rwX {word}`"));
    }
    if !home.is_some_and(|home| denying.starts_with(home)) {
        return None;
    }
    let owner = match owner {
        0 => "root, probably because of a `sudo` command",
        _ => "another user",
    };
    let all = if denying.is_dir() { "-R " } else { "" };
    Some(format!(
        "{shown} belongs to {owner}: run `sudo chown {all}\"$(id -u):$(id -g)\" {word}`"
    ))
}

#[cfg(not(unix))]
pub(crate) fn access_fix(path: &Path, home: Option<&Path>, cause: &io::Error) -> Option<String> {
    let shown = shown_at_home(path, home);
    let is_denied = cause.kind() == io::ErrorKind::PermissionDenied;
    is_denied.then(|| format!("check that you can read and write {shown} and its folder"))
}
