//! The user's own git configuration, read and written by `git config` alone.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::error::GitError;
use crate::error::Error;
use crate::files;

/// The values of a key in the user's own configuration, in their order.
pub(crate) fn values(key: &str) -> Result<Vec<String>, Error> {
    let output = git(&["--null", "--get-all", key])?;
    parts(output, || format!("read {key}"))
}

/// Every value of the keys that match a pattern in the user's own configuration: (key, value), in
/// their order.
pub(crate) fn matching(keys: &str) -> Result<Vec<(String, String)>, Error> {
    let output = git(&["--null", "--get-regexp", keys])?;
    let pairs = parts(output, || format!("read {keys}"))?;
    let pair = |text: &String| {
        // A key without any value stands alone.
        let (key, value) = text.split_once('\n').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    Ok(pairs.iter().map(pair).collect())
}

/// What one line says, and where.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// `system`, `global`, `local`, `worktree` or `command` (git-config(1)).
    pub(crate) scope: String,
    /// `file:` and a path, as git says it.
    pub(crate) origin: String,
    /// Its section and name in lower case.
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Entry {
    pub(crate) fn is_global(&self) -> bool {
        self.scope == "global"
    }

    /// Whether git reads it after the user's own configuration.
    pub(crate) fn is_behind_global(&self) -> bool {
        !matches!(self.scope.as_str(), "system" | "global")
    }
}

/// What all configuration files say to the keys that match a pattern, with those that they
/// include, in the order in which git reads them.
pub(crate) fn everywhere(keys: &str) -> Result<Vec<Entry>, Error> {
    let mut command = Command::new("git");
    command.args(["config", "--null", "--show-scope", "--show-origin"]);
    command.args(["--get-regexp", keys]);
    let action = || format!("read {keys}");
    let parts = parts(ran(&mut command, action)?, action)?;
    let entry = |parts: &[String]| match parts {
        [scope, origin, text] => {
            // A key without any value stands alone.
            let (key, value) = text.split_once('\n').unwrap_or((text, ""));
            Some(Entry {
                scope: scope.clone(),
                origin: origin.clone(),
                key: key.to_owned(),
                value: value.to_owned(),
            })
        }
        _ => None,
    };
    Ok(parts.chunks(3).filter_map(entry).collect())
}

/// The file that the user's own configuration is written to, as [`Entry::origin`] says it; `None`
/// where nothing is in it.
pub(crate) fn own_file() -> Result<Option<String>, Error> {
    let output = git(&["--null", "--show-origin", "--list"])?;
    // Where there is no file, git says so and fails.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts: Vec<&str> = text.split('\0').collect();
    Ok(parts
        .chunks_exact(2)
        .last()
        .and_then(|pair| pair.first())
        .map(|origin| (*origin).to_owned()))
}

pub(crate) fn add(key: &str, value: &str) -> Result<(), Error> {
    let output = git(&["--add", key, value])?;
    checked(output, || format!("set {key}")).map(drop)
}

/// Adds an empty value and then another. `mark`, which says as much as that other one, stands for
/// the empty one until both are there.
pub(crate) fn add_behind_an_empty_one(key: &str, value: &str, mark: &str) -> Result<(), Error> {
    add(key, mark)?;
    add(key, value)?;
    let output = git(&["--replace-all", key, "", &exactly(mark)])?;
    checked(output, || format!("set {key}")).map(drop)
}

/// Takes values from a key; `rest` are those that stay. git touches no other line of the file,
/// but where one that stays is equal to one that is taken: then all are written anew.
pub(crate) fn take(key: &str, taken: &[String], rest: &[String]) -> Result<(), Error> {
    if rest.iter().any(|value| taken.contains(value)) {
        let output = git(&["--unset-all", key])?;
        checked(output, || format!("unset {key}"))?;
        return rest.iter().try_for_each(|value| add(key, value));
    }
    let mut done: Vec<&String> = Vec::new();
    for value in taken {
        if done.contains(&value) {
            continue;
        }
        let output = git(&["--unset-all", key, &exactly(value)])?;
        checked(output, || format!("unset {key}"))?;
        done.push(value);
    }
    Ok(())
}

/// What `git --version` prints; `None` where git does not start.
pub(crate) fn version_output() -> Option<String> {
    let mut command = Command::new("git");
    let output = ran(command.arg("--version"), || "start".to_owned()).ok()?;
    String::from_utf8(output.stdout).ok()
}

/// The file that a key stands in.
pub(crate) fn file_of(key: &str) -> Result<Option<PathBuf>, Error> {
    let output = git(&["--null", "--show-origin", "--get-all", key])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let origin = text.split('\0').next().unwrap_or_default();
    let path = origin.strip_prefix("file:").map(PathBuf::from);
    Ok(path.filter(|path| path.is_absolute()))
}

/// Removes the section of a key where nothing is left in it. git keeps the heading of one that
/// stands behind a comment, for the comment may be about it.
pub(crate) fn remove_section_if_empty(file: &Path, key: &str) -> Result<(), Error> {
    let Some((section, _)) = key.rsplit_once('.') else {
        return Ok(());
    };
    let heading = match section.split_once('.') {
        Some((name, of)) => format!("[{name} \"{of}\"]"),
        None => format!("[{section}]"),
    };
    let text = files::read_text(file, files::LARGEST).unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| *line != heading);
    let is_bare = lines.next().is_some() && lines.next().is_none_or(|next| next.starts_with('['));
    let keys = exactly(&format!("{section}."));
    let keys = keys.strip_suffix('$').unwrap_or(&keys);
    if !is_bare || text.matches(&heading).count() != 1 || !matching(keys)?.is_empty() {
        return Ok(());
    }
    let output = git(&["--remove-section", section])?;
    checked(output, || format!("remove {section}")).map(drop)
}

/// Removes a configuration that is left empty: it was made by what has been taken back. One that
/// is a link is somebody's arrangement and stays.
pub(crate) fn remove_if_empty(file: &Path) {
    let is_empty = std::fs::symlink_metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
    if is_empty {
        // An empty file says the same as none.
        let _ = std::fs::remove_file(file);
    }
}

/// An extended regular expression (POSIX) that matches this value and no other.
fn exactly(value: &str) -> String {
    let mut pattern = String::from("^");
    for c in value.chars() {
        if r"\^$.[]|()*+?{}".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('$');
    pattern
}

fn git(arguments: &[&str]) -> Result<Output, Error> {
    let mut command = Command::new("git");
    command.args(["config", "--global"]).args(arguments);
    ran(&mut command, || "start".to_owned())
}

fn ran(command: &mut Command, action: impl Fn() -> String) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|cause| {
        Error::from(GitError::Config {
            action: action(),
            cause,
        })
    })
}

/// What `--null` prints, each part up to a NUL; nothing where there is none.
fn parts(output: Output, action: impl Fn() -> String) -> Result<Vec<String>, Error> {
    // git-config(1).
    const NO_SUCH_KEY: i32 = 1;
    if output.status.code() == Some(NO_SUCH_KEY) {
        return Ok(Vec::new());
    }
    let text = checked(output, action)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

fn checked(output: Output, action: impl Fn() -> String) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(GitError::Config {
        action: action(),
        cause: io::Error::other(said.trim().to_owned()),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_matched_by_itself_alone() {
        for (value, expected) in [
            ("", "^$"),
            ("/opt/a.b/hallpass git", r"^/opt/a\.b/hallpass git$"),
            ("!'/a (b)/hallpass' git", r"^!'/a \(b\)/hallpass' git$"),
        ] {
            assert_eq!(exactly(value), expected);
        }
    }
}
