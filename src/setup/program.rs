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
    Ok(ordinary(found.unwrap_or(own)))
}

/// A resolved path in the form that other programs understand. Windows resolves `C:\x` to
/// `\\?\C:\x`, and a path on a share, `\\server\share\x`, to `\\?\UNC\server\share\x`. Only the
/// long form can be longer than 259 characters.
fn ordinary(path: PathBuf) -> PathBuf {
    let Some(resolved) = path.to_str().and_then(|text| text.strip_prefix(r"\\?\")) else {
        return path;
    };
    let short = match resolved.strip_prefix(r"UNC\") {
        Some(on_share) => format!(r"\\{on_share}"),
        None if resolved.as_bytes().get(1) == Some(&b':') => resolved.to_owned(),
        None => return path,
    };
    if short.encode_utf16().count() < 260 {
        short.into()
    } else {
        path
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolved_path_of_windows_is_written_in_its_ordinary_form() {
        let long = format!(r"\\?\C:\{}\hallpass.exe", "x".repeat(260));
        for (path, expected) in [
            (r"\\?\C:\bin\hallpass.exe", r"C:\bin\hallpass.exe"),
            (
                r"\\?\UNC\server\tools\hallpass.exe",
                r"\\server\tools\hallpass.exe",
            ),
            (
                r"\\?\Volume{1-2}\hallpass.exe",
                r"\\?\Volume{1-2}\hallpass.exe",
            ),
            (
                r"\\server\tools\hallpass.exe",
                r"\\server\tools\hallpass.exe",
            ),
            ("/usr/bin/hallpass", "/usr/bin/hallpass"),
            (&long, &long),
        ] {
            assert_eq!(ordinary(path.into()), PathBuf::from(expected));
        }
    }
}
