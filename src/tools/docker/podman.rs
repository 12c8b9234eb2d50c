//! Where podman, skopeo and buildah look for credentials.
//!
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.

use std::path::{Path, PathBuf};

use super::files::{ClientFile, absolute, bare, logged_in};
use crate::env::Env;

/// The file in `REGISTRY_AUTH_FILE`, or else the files of this login session (without one: of this
/// user), which `podman login` writes, and the permanent one. Of several files of a session, each
/// program uses only one.
fn podman_files(env: &Env, home: &Path) -> Vec<PathBuf> {
    let named = |name| env.var_os(name).filter(|path| !path.is_empty());
    if let Some(path) = named("REGISTRY_AUTH_FILE") {
        return vec![absolute(PathBuf::from(path))];
    }
    let mut folders = match named("XDG_RUNTIME_DIR") {
        Some(folder) => vec![Path::new(folder).join("containers")],
        None => folders_without_session(env, home),
    };
    folders.push(podman_folder(env, home));
    let files = folders.into_iter();
    files
        .map(|folder| absolute(folder.join("auth.json")))
        .collect()
}

/// The folder of podman's permanent files.
fn podman_folder(env: &Env, home: &Path) -> PathBuf {
    let config = env
        .var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty());
    let config = config.map_or_else(|| home.join(".config"), PathBuf::from);
    config.join("containers")
}

/// A file of our own among those that amend podman's `registries.conf`
/// (containers-registries.conf.d(5)).
pub(crate) fn registries_conf(env: &Env, home: &Path) -> PathBuf {
    absolute(podman_folder(env, home).join("registries.conf.d/hallpass.conf"))
}

/// The folders on Linux if `XDG_RUNTIME_DIR` isn't set, as under sudo and cron. An ordinary user's
/// podman sets it to a folder of its own choice; skopeo doesn't.
#[cfg(target_os = "linux")]
fn folders_without_session(env: &Env, home: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;

    #[cfg(debug_assertions)]
    if let Some(folder) = env.var_unrecorded("HALLPASS_TEST_RUN_CONTAINERS") {
        return vec![PathBuf::from(folder)];
    }
    let user = rustix::process::getuid();
    let of_user = PathBuf::from(format!("/run/containers/{user}"));
    if user.is_root() {
        return vec![of_user];
    }
    // Podman doesn't use a folder of another user.
    let is_ours = |path: &PathBuf| {
        let folder = path.symlink_metadata();
        folder.is_ok_and(|folder| folder.is_dir() && folder.uid() == user.as_raw())
    };
    let temporary = env.var_os("TMPDIR").filter(|path| !path.is_empty());
    let temporary = temporary.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let mut own = vec![PathBuf::from(format!("/run/user/{user}"))];
    if !is_ours(&own[0]) {
        own = ["podman-run", "storage-run"]
            .map(|name| temporary.join(format!("{name}-{user}")))
            .into_iter()
            .chain([home.join("rundir")])
            .collect();
    }
    own.retain(is_ours);
    let own = own.into_iter().map(|folder| folder.join("containers"));
    own.chain([of_user]).collect()
}

#[cfg(not(target_os = "linux"))]
fn folders_without_session(_env: &Env, _home: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// Podman's files that can be written. Only root can create the folder of a user below `/run`.
pub(crate) fn writable_podman_files(env: &Env, home: &Path) -> Vec<PathBuf> {
    let mut files = podman_files(env, home);
    files.retain(|file| !file.starts_with("/run/containers") || is_creatable(file));
    files
}

#[cfg(unix)]
fn is_creatable(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    let nearest = path.ancestors().find(|path| path.exists());
    nearest.is_some_and(|path| access(path, Access::WRITE_OK).is_ok())
}

#[cfg(not(unix))]
fn is_creatable(_path: &Path) -> bool {
    true
}

/// A password in one of podman's files that podman, skopeo or buildah uses instead of the helper in
/// docker's file.
pub(crate) struct PrecedingPassword {
    /// The file's path as shown to the user.
    pub(crate) file: String,
    pub(crate) key: String,
}

/// The passwords in podman's files that take precedence over the helper. In each file a helper takes
/// precedence over a password, and a session's file over the permanent one, which is the last.
/// `helped` are the registries that will have a helper in all of them.
pub(crate) fn preceding_passwords(
    podmans: &[ClientFile],
    all: bool,
    keys: &[String],
    helped: &[String],
) -> Vec<PrecedingPassword> {
    let helpers = |file: &ClientFile| file.names_in("credHelpers");
    let Some((permanent, sessions)) = podmans.split_last() else {
        return Vec::new();
    };
    let mut of_sessions = sessions.first().map_or_else(Vec::new, helpers);
    of_sessions.retain(|host| sessions.iter().all(|file| helpers(file).contains(host)));
    let mut found = Vec::new();
    for file in podmans {
        let mut helped = [helped, &helpers(file)].concat();
        if std::ptr::eq(file, permanent) {
            helped.extend(of_sessions.iter().cloned());
        }
        for key in logged_in(file, all, keys) {
            let host = bare(&key).split('/').next().unwrap_or_default();
            if !helped.iter().any(|helped| helped == host) {
                found.push(PrecedingPassword {
                    file: file.shown.clone(),
                    key,
                });
            }
        }
    }
    found
}

/// Podman's files that can be read. The others don't matter here: nothing is written to them.
pub(crate) fn readable_podman_files(env: &Env, home: &Path) -> Vec<ClientFile> {
    let files = podman_files(env, home).into_iter();
    let files = files.filter_map(|path| ClientFile::read(&path, Some(home)).ok());
    files.collect()
}
