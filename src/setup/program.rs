//! How a tool starts this program.

use std::path::PathBuf;

use crate::env::Env;
use crate::error::Error;

/// This program's path on `PATH`, which survives an update; if it is not on `PATH`, its own path.
///
/// # Errors
///
/// [`Error::Program`] if the platform doesn't know the path of this program.
pub(crate) fn path(env: &Env) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::Program)?;
    let own = std::fs::canonicalize(&own).unwrap_or(own);
    let found = candidates(env, "hallpass").find(|path| {
        path.is_absolute() && std::fs::canonicalize(path).is_ok_and(|path| path == own)
    });
    Ok(found.unwrap_or(own))
}

/// The program that a shell starts by this name.
pub(crate) fn on_path(env: &Env, name: &str) -> Option<PathBuf> {
    candidates(env, name).find(|path| path.is_file())
}

/// The paths at which `PATH` may find a program, in order.
fn candidates(env: &Env, name: &str) -> impl Iterator<Item = PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let folders = env.var_os("PATH").map(std::env::split_paths);
    let folders = folders.into_iter().flatten();
    folders.map(move |folder| folder.join(&name))
}

/// `hallpass` if that name starts this program, otherwise its path. For files that may be copied to
/// other machines.
///
/// # Errors
///
/// [`Error::Program`] if the platform doesn't know the path of this program.
pub(crate) fn name_or_path(env: &Env) -> Result<String, Error> {
    let path = path(env)?;
    if on_path(env, "hallpass").is_some_and(|first| first == path) {
        return Ok("hallpass".to_owned());
    }
    Ok(path.to_string_lossy().into_owned())
}
