//! What the configuration of the current repository says about credentials.
//!
//! git starts a helper at the top of the work tree. It sets `GIT_DIR` for its own commands, but not
//! for `git credential`, which git-lfs and others call. In both cases `git config` reads that
//! repository's configuration as git itself does. The call costs more than the rest of a hit, so
//! hallpass makes it at most once, and on a hit only if two files or the environment hint at a
//! result. A repository can only choose among accounts that exist already.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::git_config;
use crate::child;
use crate::env::Env;
use crate::files;
use crate::report::printable;

/// Larger than any real configuration. The repository may be a stranger's.
const LARGEST: u64 = 1 << 20;
/// Deeper than any real chain of includes.
const MOST_INCLUDES: usize = 8;
/// Longer than `git config` ever takes.
const LONGEST: Duration = Duration::from_secs(5);

pub(crate) struct Repository<'a> {
    env: &'a Env,
    /// Its `.git` folder, if git didn't start this process at the top of the work tree.
    found: Option<PathBuf>,
    config: OnceCell<RepositoryConfig>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RepositoryConfig {
    /// `hallpass.account`
    pub(crate) account: Option<String>,
    /// The file that sets it, if it isn't the repository's own.
    pub(crate) account_file: Option<String>,
    /// `credential.interactive`
    pub(crate) interactive: Option<bool>,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(env: &'a Env) -> Self {
        Self {
            env,
            found: None,
            config: OnceCell::new(),
        }
    }

    /// The repository around the current folder, for a command that the user runs anywhere in it.
    pub(crate) fn around_here(env: &'a Env) -> Self {
        Self {
            found: git_config::git_dir(),
            ..Self::new(env)
        }
    }

    /// Whether its configuration or the user's may name an account: a cheap check, before
    /// `git config` decides.
    pub(crate) fn may_name_an_account(&self) -> bool {
        self.env_mentions("hallpass.account")
            || self.config_files().iter().any(|file| {
                files::read(file, LARGEST)
                    .is_ok_and(|text| mentions(&text, b"[hallpass") || mentions(&text, b"[include"))
            })
            || self
                .user_files()
                .iter()
                .any(|file| self.may_name_account_in(file, MOST_INCLUDES))
    }

    /// The user's git configuration, which may name an account for some repositories with
    /// `includeIf` (git-config(1), FILES).
    fn user_files(&self) -> Vec<PathBuf> {
        let set = |name| {
            self.env
                .var_unrecorded(name)
                .filter(|value| !value.is_empty())
        };
        if let Some(file) = set("GIT_CONFIG_GLOBAL") {
            return vec![file.into()];
        }
        let home = set("HOME").map(PathBuf::from);
        let folder = set("XDG_CONFIG_HOME").map(PathBuf::from);
        let folder = folder.or_else(|| Some(home.as_ref()?.join(".config")));
        let other = folder.map(|folder| folder.join("git/config"));
        let own = home.map(|home| home.join(".gitconfig"));
        own.into_iter().chain(other).collect()
    }

    /// Whether one of the user's files or an included one may name an account. Whether the
    /// condition of an `includeIf` holds is for `git config` to decide.
    fn may_name_account_in(&self, file: &Path, includes_left: usize) -> bool {
        let Ok(text) = files::read(file, LARGEST) else {
            return false;
        };
        if mentions(&text, b"[hallpass") {
            return true;
        }
        if !mentions(&text, b"[include") {
            return false;
        }
        let text = String::from_utf8_lossy(&text);
        let mut paths = text.lines().filter_map(value_of_path);
        paths.any(|path| match (self.included(file, path), includes_left) {
            (Some(included), 1..) => self.may_name_account_in(&included, includes_left - 1),
            (None, _) | (_, 0) => true,
        })
    }

    /// The file that an `include.path` names; `None` if only git can tell.
    fn included(&self, from: &Path, path: &str) -> Option<PathBuf> {
        if path.contains(['"', '\\', '%', ';', '#']) {
            return None;
        }
        if let Some(below_home) = path.strip_prefix("~/") {
            return Some(Path::new(self.env.var_unrecorded("HOME")?).join(below_home));
        }
        (!path.starts_with('~')).then(|| from.parent().unwrap_or(Path::new("")).join(path))
    }

    /// Whether the user ran `git -c credential.interactive=false`.
    pub(crate) fn disables_prompts_on_the_command_line(&self) -> bool {
        self.env_mentions("credential.interactive") && self.config().interactive == Some(false)
    }

    /// Reads the configuration with one `git config`, once.
    pub(crate) fn config(&self) -> &RepositoryConfig {
        self.config.get_or_init(|| {
            let mut git = Command::new("git");
            git.args(["config", "--null", "--show-origin", "--get-regexp"])
                .arg(r"^(hallpass\.account|credential\.interactive)$");
            // The repository may include a pipe or a device, and `git config` would wait for it.
            let output = child::output(&mut git, LONGEST);
            output.map_or_else(
                |_| RepositoryConfig::default(),
                |output| RepositoryConfig::parse(&output.stdout),
            )
        })
    }

    /// The repository's folder, for prompts and messages; `None` outside a repository, as in a
    /// clone.
    pub(crate) fn folder(&self) -> Option<String> {
        let git_dir = std::fs::canonicalize(self.git_dir()?).ok()?;
        let folder = match git_dir.file_name() {
            Some(name) if name == ".git" => git_dir.parent()?,
            Some(_) | None => &git_dir,
        };
        Some(printable(&folder.to_string_lossy()))
    }

    /// Whether the environment carries the name: `git -c NAME=VALUE`, or `GIT_CONFIG_KEY_0=NAME`.
    fn env_mentions(&self, name: &str) -> bool {
        let has = |value: &OsString| mentions(value.as_encoded_bytes(), name.as_bytes());
        let parameters = self.env.var_unrecorded("GIT_CONFIG_PARAMETERS");
        if parameters.is_some_and(has) {
            return true;
        }
        let count = self.env.var_unrecorded("GIT_CONFIG_COUNT");
        let count = count.and_then(|n| n.to_str()?.parse().ok());
        let keys = (0..count.unwrap_or(0_u32).min(1000)).map(|n| format!("GIT_CONFIG_KEY_{n}"));
        keys.into_iter()
            .any(|key| self.env.var_unrecorded(&key).is_some_and(has))
    }

    /// `GIT_DIR`, or else `.git`: a folder, or a file that names it (gitrepository-layout(5)).
    fn git_dir(&self) -> Option<PathBuf> {
        if let Some(found) = &self.found {
            return Some(found.clone());
        }
        if let Some(git_dir) = self.env.var_unrecorded("GIT_DIR") {
            return Some(PathBuf::from(git_dir));
        }
        let here = Path::new(".git");
        let found = std::fs::metadata(here).ok()?;
        if found.is_dir() {
            return Some(here.to_owned());
        }
        let text = files::read_text(here, LARGEST).ok()?;
        let named = text.strip_prefix("gitdir:")?;
        Some(PathBuf::from(named.trim()))
    }

    /// The configuration files of the repository and of a linked work tree
    /// (gitrepository-layout(5)).
    fn config_files(&self) -> Vec<PathBuf> {
        let Some(git_dir) = self.git_dir() else {
            return Vec::new();
        };
        let common = match files::read_text(&git_dir.join("commondir"), LARGEST) {
            Ok(relative) => git_dir.join(relative.trim_end()),
            Err(_) => git_dir.clone(),
        };
        vec![common.join("config"), git_dir.join("config.worktree")]
    }
}

impl RepositoryConfig {
    /// Parses `ORIGIN NUL KEY LF VALUE NUL` entries. The last value of a key counts; a key alone is
    /// true.
    fn parse(output: &[u8]) -> Self {
        let mut config = Self::default();
        let mut parts = output.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        while let (Some(origin), Some(entry)) = (parts.next(), parts.next()) {
            let (key, value) = match entry.split_once('\n') {
                Some((key, value)) => (key, value),
                None => (entry.as_ref(), "true"),
            };
            match key {
                "hallpass.account" => {
                    config.account = Some(value.to_owned()).filter(|v| !v.is_empty());
                    // git shows the repository's own file by a relative path.
                    let file = origin.strip_prefix("file:").map(Path::new);
                    let file = file.filter(|file| file.is_absolute());
                    config.account_file = file.map(|file| printable(&file.to_string_lossy()));
                }
                "credential.interactive" => {
                    let no = ["false", "never", "no", "off", "0"];
                    let is_no = no.iter().any(|word| value.eq_ignore_ascii_case(word));
                    config.interactive = Some(!is_no);
                }
                _ => (),
            }
        }
        config
    }
}

/// The value of a `path` key, which may also follow its section's title on the same line.
fn value_of_path(line: &str) -> Option<&str> {
    let key = line.rsplit_once(']').map_or(line, |(_, rest)| rest);
    let (key, value) = key.split_once('=')?;
    key.trim()
        .eq_ignore_ascii_case("path")
        .then(|| value.trim())
}

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts() {
        let output = b"file:.git/config\0hallpass.account\nhome\0\
            file:/w.inc\0hallpass.account\nwork\0\
            file:.git/config\0credential.interactive\nNever\0";
        let config = RepositoryConfig::parse(output);
        assert_eq!(config.account.as_deref(), Some("work"));
        let file = config.account_file.as_deref();
        assert_eq!(file, cfg!(unix).then_some("/w.inc"));
        assert_eq!(config.interactive, Some(false));
        assert_eq!(
            RepositoryConfig::parse(b"command line:\0credential.interactive\0").interactive,
            Some(true)
        );
        assert_eq!(RepositoryConfig::parse(b""), RepositoryConfig::default());
    }

    #[test]
    fn git_config_runs_only_if_a_file_or_variable_mentions_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        // Without GIT_DIR, the answer would depend on the repository that the tests run in.
        let may_name = |vars: &[(&str, &str)]| {
            let vars = vars.iter().copied().chain([("GIT_DIR", dir)]);
            let env = Env::new(Vec::<&str>::new(), vars);
            Repository::new(&env).may_name_an_account()
        };
        assert!(!may_name(&[]));
        assert!(may_name(&[(
            "GIT_CONFIG_PARAMETERS",
            "'hallpass.account'='work'"
        )]));
        assert!(may_name(&[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "HallPass.Account")
        ]));
        let write = |text| std::fs::write(folder.path().join("config"), text).unwrap();
        write("[remote \"origin\"]\n\turl = https://git.example/hallpass.git\n");
        assert!(!may_name(&[]));
        write("[Hallpass]\n\taccount = work\n");
        assert!(may_name(&[]));
    }

    #[test]
    fn includes_of_the_users_configuration_are_followed() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        let may_name = || {
            let home = home.path().to_str().unwrap();
            let env = Env::new(Vec::<&str>::new(), [("HOME", home), ("GIT_DIR", home)]);
            Repository::new(&env).may_name_an_account()
        };
        let helper = "[credential]\n\thelper = /usr/bin/hallpass git\n";
        write(".gitconfig", helper);
        assert!(!may_name());
        write("work", "[user]\n\tname = A\n");
        for path in ["work", "~/work", "\"work\""] {
            let include = format!("{helper}[includeIf \"gitdir:~/w/\"]\n\tpath = {path}\n");
            write(".gitconfig", &include);
            assert_eq!(may_name(), path.starts_with('"'), "{path}");
        }
        write(".gitconfig", "[includeIf \"gitdir:~/w/\"] Path=~/work\n");
        assert!(!may_name());
        write("work", "[hallpass]\n\taccount = work\n");
        assert!(may_name());
        write("work", "[include]\n\tpath = work\n");
        assert!(may_name());
    }
}
