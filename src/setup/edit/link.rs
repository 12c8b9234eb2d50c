//! The name under which a tool starts this program: a link in a folder on `PATH`.
//!
//! On Windows, symbolic links need a privilege, and a hard link would still be the old program after
//! an update. So the link is a batch file there, which starts this program.
//!
//! To the engine, the bytes of a link are the path of its target.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::program;
use super::kind::{Bytes, Kind, Unfit};
use crate::config::home;
use crate::env::Env;
use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(super) program: PathBuf,
}

impl Kind for Link {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        if bytes.is_some() {
            return Err(Unfit(
                "already exists and is not a link to hallpass".to_owned(),
            ));
        }
        Ok(Some(bytes_of(&self.program)))
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        bytes.is_some_and(|bytes| bytes == bytes_of(&self.program))
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        if self.is_in_place(bytes) {
            vec![format!("link to {}", self.program.display())]
        } else {
            Vec::new()
        }
    }
}

fn bytes_of(program: &Path) -> Vec<u8> {
    program.as_os_str().as_encoded_bytes().to_vec()
}

/// The content of a link: the path of its target. Any other file has different content.
pub(crate) fn read(at: &Path, program: &Path) -> Option<Vec<u8>> {
    at.symlink_metadata().ok()?;
    if is_same(at, program) {
        return Some(bytes_of(program));
    }
    Some(std::fs::read_link(at).map_or_else(|_| Vec::new(), |path| bytes_of(&path)))
}

/// Creates a link to this program, and its folder.
pub(crate) fn make(program: &Path, at: &Path) -> io::Result<()> {
    at.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    linked(program, at)
}

/// Where the link to this program is, or can be created.
pub(crate) enum Place {
    /// The link exists and leads to this program.
    There(PathBuf),
    /// The link can be created here.
    At(PathBuf),
    /// Another program of that name comes first on `PATH`.
    Behind(PathBuf),
    /// hallpass can't write to any folder on `PATH`: the command that makes the link.
    Nowhere(String),
}

/// Finds the link `name`, or a place for it: beside this program, or in `~/.local/bin`.
pub(crate) fn find(env: &Env, name: &str) -> Result<Place, Error> {
    let program = program::path(env)?;
    let folders: Vec<PathBuf> = env
        .var_os("PATH")
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    let mut places = folders.iter().enumerate().flat_map(|(place, folder)| {
        let paths = file_names(name).map(|name| folder.join(name));
        paths.map(move |path| (place, path))
    });
    let found = places.find(|(_, path)| path.is_file());
    let name = file_name(name);
    if let Some((_, path)) = &found
        && is_same(path, &program)
    {
        return Ok(Place::There(path.clone()));
    }
    let before = found.as_ref().map_or(folders.len(), |(place, _)| *place);
    let folders = &folders[..before];
    let beside = program.parent().map(Path::to_owned);
    let local = home(env).ok().map(|home| home.join(".local/bin"));
    let candidates = [beside, local].into_iter().flatten();
    for folder in candidates.filter(|folder| folders.contains(folder)) {
        let path = folder.join(&name);
        // An existing file of that name is never replaced.
        if path.symlink_metadata().is_err() && can_write(&folder) {
            return Ok(Place::At(path));
        }
    }
    if let Some((_, path)) = found {
        return Ok(Place::Behind(path));
    }
    let folders = folders.iter().filter(|folder| {
        folder.is_absolute() && folder.is_dir() && folder.join(&name).symlink_metadata().is_err()
    });
    let folder = folders.min_by_key(|folder| folder.as_path() != Path::new("/usr/local/bin"));
    let local = home(env).map(|home| home.join(".local/bin"));
    let local = local.unwrap_or_else(|_| program.parent().unwrap_or(&program).to_owned());
    Ok(Place::Nowhere(link_command(
        &program,
        &folder.unwrap_or(&local).join(&name),
        folder.is_some(),
    )))
}

/// The command that makes the link, and adds its folder to `PATH` unless it `is_on_path`. On
/// Windows, it is for the command prompt.
fn link_command(program: &Path, at: &Path, is_on_path: bool) -> String {
    let folder = at.parent().unwrap_or(at);
    if cfg!(windows) {
        let folder = folder.display();
        let link = format!(">\"{}\" echo {}", at.display(), batch::line(program, at));
        if is_on_path {
            return link;
        }
        return format!("md \"{folder}\" & {link} & set PATH={folder};%PATH%");
    }
    let word = |path: &Path| crate::shell::quoted(&path.to_string_lossy());
    let link = format!("ln -sf {} {}", word(program), word(at));
    match is_on_path {
        true if can_write(folder) => link,
        true => format!("sudo {link}"),
        false => format!(
            "mkdir -p {0} && {link} && export PATH={0}:\"$PATH\"",
            word(folder)
        ),
    }
}

/// The link's file name.
pub(crate) fn file_name(name: &str) -> String {
    let ending = if cfg!(windows) { ".cmd" } else { "" };
    format!("{name}{ending}")
}

/// The files that a tool may find by this name, in the order in which they count (`%PATHEXT%`).
fn file_names(name: &str) -> impl Iterator<Item = String> + use<> {
    let program = cfg!(windows).then(|| format!("{name}.exe"));
    program.into_iter().chain([file_name(name)])
}

#[cfg(unix)]
fn linked(program: &Path, at: &Path) -> io::Result<()> {
    Ok(rustix::fs::symlink(program, at)?)
}

#[cfg(not(unix))]
fn linked(program: &Path, at: &Path) -> io::Result<()> {
    use std::io::Write as _;

    std::fs::File::create_new(at)?.write_all(batch::text(program, at).as_bytes())
}

/// Whether a file leads to this program. On Windows, that is a batch file that starts it, or a copy
/// of the program that was installed with it.
fn is_same(path: &Path, program: &Path) -> bool {
    if cfg!(not(windows)) {
        let own = std::fs::canonicalize(program);
        let own = own.unwrap_or_else(|_| program.to_owned());
        return std::fs::canonicalize(path).is_ok_and(|path| path == own);
    }
    if path.extension().is_some_and(|ending| ending == "cmd") {
        return crate::files::read_text(path, 1 << 10)
            .is_ok_and(|text| batch::starts(&text, program, path));
    }
    let (Ok(one), Ok(other)) = (std::fs::metadata(path), std::fs::metadata(program)) else {
        return false;
    };
    one.is_file() && one.len() == other.len() && one.modified().ok() == other.modified().ok()
}

/// The batch file that is a link on Windows.
mod batch {
    use std::path::Path;

    /// The whole file. If the path isn't ASCII, it is read as UTF-8.
    #[cfg(any(not(unix), test))]
    pub(super) fn text(program: &Path, at: &Path) -> String {
        let line = line(program, at);
        let encoding = if line.is_ascii() {
            ""
        } else {
            "@chcp 65001 > nul\r\n"
        };
        format!("{encoding}{line}\r\n")
    }

    /// The line that starts the program. The names of links begin with the tool's.
    pub(super) fn line(program: &Path, at: &Path) -> String {
        let name = at.file_stem().unwrap_or_default().to_string_lossy();
        let tool = name.split('-').next().unwrap_or_default();
        if program.parent() == at.parent() {
            // The folder may be moved, and have any name.
            let file = program.file_name().unwrap_or_default().to_string_lossy();
            return format!("@\"%~dp0{}\" {tool} %*", file.replace('%', "%%"));
        }
        let program = program.to_string_lossy().replace('%', "%%");
        format!("@\"{program}\" {tool} %*")
    }

    /// Whether a batch file starts the program.
    pub(super) fn starts(text: &str, program: &Path, at: &Path) -> bool {
        text.lines()
            .map(str::trim_end)
            .any(|found| found == line(program, at))
    }
}

/// Whether a file can be created in the folder, or the folder itself.
fn can_write(folder: &Path) -> bool {
    if !folder.exists() {
        return folder.parent().is_some_and(can_write);
    }
    let probe = folder.join(format!(".hallpass-{:016x}", rand::random::<u64>()));
    let made = std::fs::File::create_new(&probe).is_ok();
    if made {
        // If this fails, the file that stays is empty and has hallpass in its name.
        let _ = std::fs::remove_file(&probe);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_can_be_created_and_removed_but_never_replaces_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let link = Link {
            program: program.clone(),
        };
        let at = folder.path().join("bin").join(file_name("docker-name"));
        assert_eq!(read(&at, &program), None);
        let made = link.apply(None).unwrap();
        make(&program, &at).unwrap();
        assert_eq!(read(&at, &program), made);
        assert!(link.is_in_place(made.as_deref()));
        assert_eq!(link.apply(made.as_deref()).unwrap(), made);
        assert_eq!(link.remove(made.as_deref(), None).unwrap(), None);
        std::fs::remove_file(&at).unwrap();
        std::fs::write(&at, "theirs").unwrap();
        let theirs = read(&at, &program);
        assert!(!link.is_ours(theirs.as_deref()));
        assert!(link.apply(theirs.as_deref()).is_err());
    }

    #[test]
    fn a_batch_file_starts_the_program_wherever_it_is() {
        let beside = (
            Path::new("/bin/hallpass.exe"),
            Path::new("/bin/docker-credential-hallpass.cmd"),
        );
        let elsewhere = (Path::new("/100%/hallpass.exe"), beside.1);
        let foreign = (Path::new("/Jürgen/hallpass.exe"), beside.1);
        for ((program, at), expected) in [
            (beside, "@\"%~dp0hallpass.exe\" docker %*\r\n"),
            (elsewhere, "@\"/100%%/hallpass.exe\" docker %*\r\n"),
            (
                foreign,
                "@chcp 65001 > nul\r\n@\"/Jürgen/hallpass.exe\" docker %*\r\n",
            ),
        ] {
            let text = batch::text(program, at);
            assert_eq!(text, expected);
            assert!(batch::starts(&text, program, at));
            assert!(!batch::starts(&text, Path::new("/other/hallpass.exe"), at));
        }
    }
}
