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
pub(super) fn path(env: &Env) -> Result<PathBuf, Error> {
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
