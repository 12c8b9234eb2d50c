//! The socket of a sign-in that runs in its own process: where it is, and who may use it.
//!
//! It is in the data folder, with a name derived from the record's, so that different data folders
//! and accounts never share one. A socket's path is limited to about a hundred bytes, and some file
//! systems don't support sockets. In these cases, the socket is in a new folder below the runtime
//! folder or `/tmp`, and a file in the data folder has its path. Each side checks that the other
//! runs as the same user.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, chmod};

use super::error::StoreError;
use super::folder::{Durable, Folder};
use super::name::{RecordName, digest};
use crate::env::Env;

/// The folder for the sockets of sign-ins in progress.
pub(super) const FOLDER: &str = "sign-in";

/// The socket's name if it can't be in the data folder, inside a folder created only for it.
const ELSEWHERE: &str = "socket";

/// Binds the socket of a record, replacing one that a crash left behind. The caller holds the
/// record's sign-in lock, so no process listens on the old one.
pub(super) fn listen(
    data: &Folder,
    record: &RecordName,
    env: &Env,
) -> Result<UnixListener, StoreError> {
    remove(data, record)?;
    let folder = data.subfolder_or_create(FOLDER)?;
    let path = folder.path().join(socket_name(record));
    let error = match bind(&path) {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    for parent in elsewhere(env) {
        let Ok(name) = super::folder::temp_name("hallpass") else {
            continue;
        };
        let place = parent.join(name);
        if DirBuilder::new().mode(0o700).create(&place).is_err() {
            continue;
        }
        let socket = place.join(ELSEWHERE);
        let bound = bind(&socket).ok().filter(|_| {
            let text = socket.as_os_str().as_bytes();
            let written = folder.replace(&pointer_name(record), text, Durable::No);
            written.is_ok()
        });
        if let Some(listener) = bound {
            return Ok(listener);
        }
        let _ = std::fs::remove_file(&socket);
        let _ = std::fs::remove_dir(&place);
    }
    Err(StoreError::io("listen on", path)(error))
}

/// Connects to the process that listens on a record's socket; `None` if there is none, or if it
/// isn't this user's.
pub(super) fn connect(
    data: &Folder,
    record: &RecordName,
) -> Result<Option<UnixStream>, StoreError> {
    let Some(folder) = data.subfolder(FOLDER)? else {
        return Ok(None);
    };
    let path = match elsewhere_is(&folder, record)? {
        Some(path) => path,
        None => folder.path().join(socket_name(record)),
    };
    Ok(UnixStream::connect(path).ok().filter(is_own_user))
}

/// Removes a record's socket and the folder created for it.
pub(super) fn remove(data: &Folder, record: &RecordName) -> Result<(), StoreError> {
    let Some(folder) = data.subfolder(FOLDER)? else {
        return Ok(());
    };
    if let Some(path) = elsewhere_is(&folder, record)? {
        let _ = std::fs::remove_file(&path);
        if let Some(place) = path.parent() {
            // This removes only an empty folder.
            let _ = std::fs::remove_dir(place);
        }
        folder.remove(&pointer_name(record))?;
    }
    folder.remove(&socket_name(record))?;
    Ok(())
}

/// Where the socket is, if it is not in the data folder.
fn elsewhere_is(folder: &Folder, record: &RecordName) -> Result<Option<PathBuf>, StoreError> {
    let Some(bytes) = folder.read(&pointer_name(record))? else {
        return Ok(None);
    };
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    Ok(Some(path).filter(|path| path.is_absolute() && path.ends_with(ELSEWHERE)))
}

fn elsewhere(env: &Env) -> impl Iterator<Item = PathBuf> {
    ["XDG_RUNTIME_DIR", "TMPDIR"]
        .into_iter()
        .filter_map(|name| env.var_unrecorded(name).map(PathBuf::from))
        .chain([PathBuf::from("/tmp")])
        .filter(|path| path.is_absolute())
}

/// Binds the socket and restricts it to this user. Until its mode is set, the folder keeps other
/// users out.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    Ok(listener)
}

fn socket_name(record: &RecordName) -> String {
    short_name(record)
}

fn pointer_name(record: &RecordName) -> String {
    short_name(record) + ".at"
}

/// Short, because the whole path has to fit. 80 bits are enough to distinguish a user's accounts.
fn short_name(record: &RecordName) -> String {
    let mut name = digest(&[record.as_str().as_bytes()]);
    name.truncate(20);
    name
}

/// Whether the process at the other end runs as this process's user (`SO_PEERCRED`). The kernel
/// translates the user ID into this process's user namespace.
#[cfg(target_os = "linux")]
pub(crate) fn is_own_user(stream: &impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Whether the process at the other end runs as this process's user.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_own_user(stream: &impl AsFd) -> bool {
    nix::unistd::getpeereid(stream)
        .is_ok_and(|(user, _)| user.as_raw() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn record() -> RecordName {
        RecordName::session(b"one")
    }

    #[test]
    fn a_socket_is_private_and_found_by_its_record_alone() {
        let root = tempfile::tempdir().unwrap();
        let data = Folder::open_or_create(&root.path().join("data")).unwrap();
        assert!(connect(&data, &record()).unwrap().is_none());
        let _listener = listen(&data, &record(), &Env::default()).unwrap();
        assert!(connect(&data, &record()).unwrap().is_some());
        let other = RecordName::session(b"two");
        assert!(connect(&data, &other).unwrap().is_none());
        let path = data.path().join(FOLDER).join(socket_name(&record()));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        remove(&data, &record()).unwrap();
        assert!(!path.exists());
        assert!(connect(&data, &record()).unwrap().is_none());
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let data = Folder::open_or_create(&root.path().join("data")).unwrap();
        drop(listen(&data, &record(), &Env::default()).unwrap());
        // The file still exists, but no process listens.
        assert!(
            data.path()
                .join(FOLDER)
                .join(socket_name(&record()))
                .exists()
        );
        assert!(connect(&data, &record()).unwrap().is_none());
        let _listener = listen(&data, &record(), &Env::default()).unwrap();
        assert!(connect(&data, &record()).unwrap().is_some());
    }

    #[test]
    fn a_socket_whose_path_is_too_long_is_in_another_folder() {
        let root = tempfile::tempdir().unwrap();
        let data = Folder::open_or_create(&root.path().join("x".repeat(120))).unwrap();
        let runtime = root.path().join("runtime");
        DirBuilder::new().mode(0o700).create(&runtime).unwrap();
        let env = Env::new(
            Vec::<&str>::new(),
            [("XDG_RUNTIME_DIR", runtime.to_str().unwrap())],
        );
        let _listener = listen(&data, &record(), &env).unwrap();
        let places: Vec<_> = runtime.read_dir().unwrap().flatten().collect();
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].metadata().unwrap().mode() & 0o777, 0o700);
        // A caller whose environment doesn't name that folder finds it too.
        assert!(connect(&data, &record()).unwrap().is_some());
        remove(&data, &record()).unwrap();
        assert!(connect(&data, &record()).unwrap().is_none());
        assert_eq!(runtime.read_dir().unwrap().count(), 0);
    }
}
