//! How a tool starts this program.

use std::path::PathBuf;

use crate::env::Env;
use crate::error::Error;

/// The path that `PATH` leads to, which outlives an update, where that is this program; else this
/// program's own.
///
/// # Errors
///
/// [`Error::Program`] where the platform cannot say what runs.
pub(crate) fn path(env: &Env) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::Program)?;
    let own = std::fs::canonicalize(&own).unwrap_or(own);
    let name = PathBuf::from(format!("hallpass{}", std::env::consts::EXE_SUFFIX));
    let folders = env.var_os("PATH").map(std::env::split_paths);
    let found = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(&name))
        .find(|path| {
            path.is_absolute() && std::fs::canonicalize(path).is_ok_and(|path| path == own)
        });
    Ok(found.unwrap_or(own))
}

/// The bare name where that starts this program, else its path: for a file that goes to other
/// machines too.
///
/// # Errors
///
/// [`Error::Program`] where the platform cannot say what runs.
pub(crate) fn name_or_path(env: &Env) -> Result<String, Error> {
    let path = path(env)?;
    let name = path.file_name().unwrap_or_default();
    let folders = env.var_os("PATH").map(std::env::split_paths);
    let first = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if first.is_some_and(|first| first == path) {
        return Ok("hallpass".to_owned());
    }
    Ok(path.to_string_lossy().into_owned())
}
