//! The name under which a tool starts this program: a link in a folder on `PATH`.

use std::io;
use std::path::{Path, PathBuf};

use super::program;
use crate::config::home;
use crate::env::Env;
use crate::error::Error;

/// Where a link stands, or would.
pub(crate) enum Link {
    /// It is there and leads to this program.
    There,
    At(PathBuf),
    /// Another program of that name is found first.
    Behind(PathBuf),
    /// No folder on `PATH` is ours to write in: what a person types.
    Nowhere(String),
}

/// Looks where the link `name` is or can be: beside this program, else in `~/.local/bin`.
pub(crate) fn find(env: &Env, name: &str) -> Result<Link, Error> {
    let program = program::path(env)?;
    let own = std::fs::canonicalize(&program).unwrap_or_else(|_| program.clone());
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let folders: Vec<PathBuf> = env
        .var_os("PATH")
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    let mut places = folders.iter().map(|folder| folder.join(&name)).enumerate();
    let found = places.find(|(_, path)| path.is_file());
    if let Some((_, path)) = &found
        && is_same(path, &own)
    {
        return Ok(Link::There);
    }
    let before = found.as_ref().map_or(folders.len(), |(place, _)| *place);
    let folders = &folders[..before];
    let beside = program.parent().map(Path::to_owned);
    let local = home(env).ok().map(|home| home.join(".local/bin"));
    let candidates = [beside, local].into_iter().flatten();
    for folder in candidates.filter(|folder| folders.contains(folder)) {
        let path = folder.join(&name);
        // Somebody else's file of that name stays, and would be found before ours elsewhere.
        if path.symlink_metadata().is_err() && can_write(&folder) {
            return Ok(Link::At(path));
        }
    }
    if let Some((_, path)) = found {
        return Ok(Link::Behind(path));
    }
    Ok(Link::Nowhere(format!(
        "ln -s {} FOLDER/{name}",
        crate::shell::quoted(&program.to_string_lossy())
    )))
}

pub(crate) fn make(env: &Env, at: &Path) -> Result<(), Error> {
    let program = program::path(env)?;
    let made = at
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| linked(&program, at));
    let made = match made {
        // Somebody else was quicker with the same link.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && leads_to(at, &program) => {
            return Ok(());
        }
        made => made,
    };
    made.map_err(|cause| Error::Link {
        path: at.to_owned(),
        cause,
    })
}

/// Removes a link that was made, if it still is one to this program.
pub(crate) fn remove(env: &Env, at: &Path) -> Result<(), Error> {
    if !leads_to(at, &program::path(env)?) {
        return Ok(());
    }
    match std::fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Link {
            path: at.to_owned(),
            cause: error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn leads_to(at: &Path, program: &Path) -> bool {
    let own = std::fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    is_same(at, &own)
}

#[cfg(unix)]
fn linked(program: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(program, at)
}

/// Links for which nobody needs a right: the same file under a second name.
#[cfg(not(unix))]
fn linked(program: &Path, at: &Path) -> io::Result<()> {
    std::fs::hard_link(program, at)
}

#[cfg(unix)]
fn is_same(path: &Path, own: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|path| path == own)
}

#[cfg(not(unix))]
fn is_same(path: &Path, own: &Path) -> bool {
    let (Ok(one), Ok(other)) = (std::fs::metadata(path), std::fs::metadata(own)) else {
        return false;
    };
    one.is_file() && one.len() == other.len() && one.modified().ok() == other.modified().ok()
}

/// Whether a file can be made there; a folder that is missing is made with it.
fn can_write(folder: &Path) -> bool {
    if !folder.exists() {
        return folder.parent().is_some_and(can_write);
    }
    let probe = folder.join(format!(".hallpass-{:016x}", rand::random::<u64>()));
    let made = std::fs::File::create_new(&probe).is_ok();
    if made {
        // A left-over is empty and says whose it is.
        let _ = std::fs::remove_file(&probe);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_there_already_is_made_and_anything_else_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::default();
        let at = folder.path().join("name");
        make(&env, &at).unwrap();
        make(&env, &at).unwrap();
        remove(&env, &at).unwrap();
        assert!(at.symlink_metadata().is_err());
        std::fs::write(&at, "theirs").unwrap();
        assert!(make(&env, &at).is_err());
        remove(&env, &at).unwrap();
        assert_eq!(std::fs::read(&at).unwrap(), b"theirs");
    }
}
