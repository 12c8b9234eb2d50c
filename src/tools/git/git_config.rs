//! git's configuration, as git itself reads it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use url::Url;

use super::error::GitError;
use crate::config::home;
use crate::env::Env;
use crate::error::Error;

/// One entry, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// `system`, `global`, `local`, `worktree` or `command` (git-config(1)).
    pub(crate) scope: String,
    /// `file:` and a path, as git prints it.
    pub(crate) origin: String,
    /// Section, subsection and name, with section and name in lower case.
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Entry {
    pub(crate) fn is_global(&self) -> bool {
        self.scope == "global"
    }

    /// The file that contains it.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.origin.strip_prefix("file:").map(Path::new)
    }

    /// The key without the variable's name.
    pub(crate) fn section(&self) -> &str {
        self.key
            .rsplit_once('.')
            .map_or(&*self.key, |(section, _)| section)
    }

    /// Whether git reads it after the user's own configuration.
    pub(crate) fn is_behind_global(&self) -> bool {
        !matches!(self.scope.as_str(), "system" | "global")
    }
}

/// The entries of all configuration files and their includes whose keys match a pattern, in the
/// order in which git reads them.
pub(crate) fn everywhere(keys: &str) -> Result<Vec<Entry>, Error> {
    let mut command = Command::new("git");
    command.args(["config", "--null", "--show-scope", "--show-origin"]);
    command.args(["--get-regexp", keys]);
    let output = run(&mut command, || "read its configuration".to_owned())?;
    if output.status.code() == Some(UNKNOWN_OPTION) {
        return Err(too_old().into());
    }
    let parts = parts(&output)?;
    let entry = |parts: &[String]| match parts {
        [scope, origin, text] => {
            // A key without a value has no line break after it.
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

/// The value that git uses for a URL, which sections such as `http.<url>` may override
/// (git-config(1), `--get-urlmatch`).
pub(crate) fn value_for(key: &str, url: &Url) -> Option<String> {
    for_url(&[], key, url)
}

/// The same for a number, which may have a unit: `500m`.
pub(crate) fn number_for(key: &str, url: &Url) -> Option<u64> {
    for_url(&["--type=int"], key, url)?.parse().ok()
}

fn for_url(options: &[&str], key: &str, url: &Url) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["config", "--null"]).args(options);
    command.args(["--get-urlmatch", key, url.as_str()]);
    let output = run(&mut command, || format!("read {key}")).ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let value = output.status.success().then(|| text.trim_end_matches('\0'));
    value.map(str::to_owned)
}

/// The file that `git config --global` writes (git-config(1), FILES).
pub(crate) fn global_file(env: &Env) -> Result<PathBuf, Error> {
    let mut files = global_files(env)?;
    let other = files.split_off(1).pop().filter(|other| other.exists());
    Ok(match (files.pop(), other) {
        (Some(own), Some(other)) if !own.exists() => other,
        (own, _) => own.unwrap_or_default(),
    })
}

/// The user's files that git reads.
pub(crate) fn global_files(env: &Env) -> Result<Vec<PathBuf>, Error> {
    if let Some(path) = env.var_os("GIT_CONFIG_GLOBAL") {
        return Ok(vec![path.into()]);
    }
    let home = home(env)?;
    let folder = env.var_os("XDG_CONFIG_HOME").filter(|it| !it.is_empty());
    let folder = folder.map_or_else(|| home.join(".config"), PathBuf::from);
    Ok(vec![home.join(".gitconfig"), folder.join("git/config")])
}

/// The `.git` folder of the repository around the current folder.
pub(crate) fn git_dir() -> Option<PathBuf> {
    let mut command = Command::new("git");
    command.args(["rev-parse", "--absolute-git-dir"]);
    let output = run(&mut command, || "find the repository".to_owned()).ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| path.trim_end().into())
}

/// What git exits with if it doesn't know an option (`usage` in its source).
const UNKNOWN_OPTION: i32 = 129;

/// `--show-scope` is from git 2.26.
fn too_old() -> GitError {
    let output = version_output().unwrap_or_default();
    GitError::TooOld {
        version: output.trim().trim_start_matches("git version ").to_owned(),
    }
}

/// The output of `git --version`; `None` if git doesn't start.
pub(crate) fn version_output() -> Option<String> {
    let mut command = Command::new("git");
    let output = run(command.arg("--version"), || "start".to_owned()).ok()?;
    String::from_utf8(output.stdout).ok()
}

fn run(command: &mut Command, action: impl Fn() -> String) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|cause| {
        Error::from(GitError::NotStarted {
            action: action(),
            cause,
        })
    })
}

/// The NUL-terminated parts that `--null` prints; none if no key matches.
fn parts(output: &Output) -> Result<Vec<String>, Error> {
    // git-config(1).
    const NO_SUCH_KEY: i32 = 1;
    if output.status.code() == Some(NO_SUCH_KEY) {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let cause = io::Error::other(said.trim().to_owned());
        return Err(GitError::Unreadable { cause }.into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}
