//! Where the configuration is: the system's file, the user's file, and the user's home.
//!
//! It is never in the working directory; otherwise, anyone who can write to a repository could
//! choose the servers. Folders come from the environment passed in, or else from the user database.
//! A relative folder is refused rather than resolved.
//!
//! Specification: <https://specifications.freedesktop.org/basedir-spec/latest/>

use std::path::PathBuf;

use super::error::ConfigError;
use crate::env::Env;

const FILE: &str = "config.toml";

/// The administrator's file: the weakest layer above the presets.
///
/// Windows says where its folder is, and not a variable, which the caller controls.
#[cfg_attr(
    unix,
    expect(clippy::unnecessary_wraps, reason = "Windows may not know its folder")
)]
pub(super) fn system_file() -> Option<PathBuf> {
    #[cfg(windows)]
    let folder = dirs_sys::known_folder(windows_sys::Win32::UI::Shell::FOLDERID_ProgramData)?;
    #[cfg(target_os = "macos")]
    let folder = PathBuf::from("/Library/Application Support");
    #[cfg(all(unix, not(target_os = "macos")))]
    let folder = PathBuf::from("/etc");
    Some(folder.join("hallpass").join(FILE))
}

/// The user's file, and whether it must exist because `HALLPASS_CONFIG` names it.
pub(super) fn user_file(env: &Env) -> Result<(PathBuf, bool), ConfigError> {
    if let Some(path) = absolute(env, "HALLPASS_CONFIG")? {
        return Ok((path, true));
    }
    Ok((config_folder(env)?.join("hallpass").join(FILE), false))
}

#[cfg(target_os = "macos")]
fn config_folder(env: &Env) -> Result<PathBuf, ConfigError> {
    Ok(home(env)?.join("Library").join("Application Support"))
}

#[cfg(all(unix, not(target_os = "macos")))]
fn config_folder(env: &Env) -> Result<PathBuf, ConfigError> {
    match absolute(env, "XDG_CONFIG_HOME")? {
        Some(folder) => Ok(folder),
        None => Ok(home(env)?.join(".config")),
    }
}

#[cfg(windows)]
fn config_folder(env: &Env) -> Result<PathBuf, ConfigError> {
    if let Some(folder) = absolute(env, "APPDATA")? {
        return Ok(folder);
    }
    directories::BaseDirs::new()
        .map(|dirs| dirs.config_dir().to_owned())
        .ok_or(ConfigError::NoHome)
}

/// The user's home. Without `HOME`, or with an empty one, it comes from the user database.
pub(crate) fn home(env: &Env) -> Result<PathBuf, ConfigError> {
    let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    match absolute(env, variable)? {
        Some(home) => Ok(home),
        None => std::env::home_dir()
            // Some versions of the standard library take an empty HOME for the current folder.
            .filter(|home| home.is_absolute())
            .ok_or(ConfigError::NoHome),
    }
}

fn absolute(env: &Env, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
    let Some(value) = env.var_os(name) else {
        return Ok(None);
    };
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(ConfigError::RelativeFolder { name })
    }
}

#[cfg(all(test, unix, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_where_the_users_file_is() {
        for (vars, expected) in [
            (
                &[("HOME", "/home/me")][..],
                Some(("/home/me/.config/hallpass/config.toml", false)),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "/cfg")],
                Some(("/cfg/hallpass/config.toml", false)),
            ),
            (
                &[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "")],
                Some(("/home/me/.config/hallpass/config.toml", false)),
            ),
            (
                &[("HOME", ""), ("HALLPASS_CONFIG", "/x.toml")],
                Some(("/x.toml", true)),
            ),
            (&[("HOME", "me")], None),
            (&[("HOME", ".")], None),
            (&[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "cfg")], None),
            (&[("HOME", "/home/me"), ("HALLPASS_CONFIG", "x.toml")], None),
        ] {
            let env = Env::new(Vec::<&str>::new(), vars.iter().copied());
            let found = user_file(&env).ok();
            let expected = expected.map(|(path, named)| (PathBuf::from(path), named));
            assert_eq!(found, expected, "{vars:?}");
        }
    }
}
