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

use crate::child;
use crate::env::Env;
use crate::files;
use crate::report::printable;

/// Larger than any real configuration. The repository may be a stranger's.
const LARGEST: u64 = 1 << 20;
/// Longer than `git config` ever takes.
const LONGEST: Duration = Duration::from_secs(5);

pub(crate) struct Repository<'a> {
    env: &'a Env,
    config: OnceCell<RepositoryConfig>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RepositoryConfig {
    /// `hallpass.account`
    pub(crate) account: Option<String>,
    /// `credential.interactive`
    pub(crate) interactive: Option<bool>,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(env: &'a Env) -> Self {
        Self {
            env,
            config: OnceCell::new(),
        }
    }

    /// Whether its configuration may name an account: a cheap check, before `git config` decides.
    /// The user's own git configuration isn't checked here.
    pub(crate) fn may_name_an_account(&self) -> bool {
        self.env_mentions("hallpass.account")
            || self.config_files().iter().any(|file| {
                files::read(file, LARGEST)
                    .is_ok_and(|text| mentions(&text, b"hallpass") || mentions(&text, b"[include"))
            })
    }

    /// Whether the user ran `git -c credential.interactive=false`.
    pub(crate) fn disables_prompts_on_the_command_line(&self) -> bool {
        self.env_mentions("credential.interactive") && self.config().interactive == Some(false)
    }

    /// Reads the configuration with one `git config`, once.
    pub(crate) fn config(&self) -> &RepositoryConfig {
        self.config.get_or_init(|| {
            let mut git = Command::new("git");
            git.args(["config", "--null", "--get-regexp"])
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
    /// Parses `KEY LF VALUE NUL` entries. The last value of a key counts; a key alone is true.
    fn parse(output: &[u8]) -> Self {
        let mut config = Self::default();
        for entry in output.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = match entry.split_once('\n') {
                Some((key, value)) => (key, value),
                None => (entry.as_ref(), "true"),
            };
            match key {
                "hallpass.account" => {
                    config.account = Some(value.to_owned()).filter(|v| !v.is_empty());
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

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts() {
        let output =
            b"hallpass.account\nhome\0hallpass.account\nwork\0credential.interactive\nNever\0";
        let config = RepositoryConfig::parse(output);
        assert_eq!(config.account.as_deref(), Some("work"));
        assert_eq!(config.interactive, Some(false));
        assert_eq!(
            RepositoryConfig::parse(b"credential.interactive\0").interactive,
            Some(true)
        );
        assert_eq!(RepositoryConfig::parse(b""), RepositoryConfig::default());
    }

    #[test]
    fn git_config_runs_only_if_a_file_or_variable_mentions_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let may_name = |vars: &[(&str, &str)]| {
            let env = Env::new(Vec::<&str>::new(), vars.iter().copied());
            Repository::new(&env).may_name_an_account()
        };
        assert!(!may_name(&[]));
        assert!(!may_name(&[("GIT_DIR", dir)]));
        assert!(may_name(&[(
            "GIT_CONFIG_PARAMETERS",
            "'hallpass.account'='work'"
        )]));
        assert!(may_name(&[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "HallPass.Account")
        ]));
        std::fs::write(folder.path().join("config"), "[core]\n\tbare = false\n").unwrap();
        assert!(!may_name(&[("GIT_DIR", dir)]));
        std::fs::write(
            folder.path().join("config"),
            "[Hallpass]\n\taccount = work\n",
        )
        .unwrap();
        assert!(may_name(&[("GIT_DIR", dir)]));
    }
}
