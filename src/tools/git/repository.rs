//! What the repository that git works in says about its credentials.
//!
//! git starts a helper in the top of the work tree, with `GIT_DIR` set where a command of its own
//! talks to the server, and without it for `git credential`, which git-lfs and others call. Either
//! way `git config` reads that repository's configuration as git itself does. The call costs more
//! than the rest of a hit, so it is made at most once, and on a hit only where a look at two files
//! and the environment shows that it would say something. What a repository says only chooses
//! among accounts that are there already.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child;
use crate::env::Env;
use crate::files;
use crate::report::printable;

/// A repository may be a stranger's. More than any configuration has.
const LARGEST: u64 = 1 << 20;
/// Longer than `git config` takes.
const LONGEST: Duration = Duration::from_secs(5);

pub(crate) struct Repository<'a> {
    env: &'a Env,
    said: OnceCell<Said>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// `hallpass.account`
    pub(crate) account: Option<String>,
    /// `credential.interactive`
    pub(crate) interactive: Option<bool>,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(env: &'a Env) -> Self {
        Self {
            env,
            said: OnceCell::new(),
        }
    }

    /// Whether it may name an account. A look, and no more: `git config` decides. What the user's
    /// own git configuration says for many repositories is found where several accounts are
    /// configured for one resource.
    pub(crate) fn may_name_an_account(&self) -> bool {
        self.env_mentions("hallpass.account")
            || self.config_files().iter().any(|file| {
                files::read(file, LARGEST)
                    .is_ok_and(|text| mentions(&text, b"hallpass") || mentions(&text, b"[include"))
            })
    }

    /// Whether `git -c credential.interactive=false` was typed.
    pub(crate) fn rules_asking_out_on_the_command_line(&self) -> bool {
        self.env_mentions("credential.interactive") && self.said().interactive == Some(false)
    }

    /// All that it says, by one `git config`.
    pub(crate) fn said(&self) -> &Said {
        self.said.get_or_init(|| {
            let mut git = Command::new("git");
            git.args(["config", "--null", "--get-regexp"])
                .arg(r"^(hallpass\.account|credential\.interactive)$");
            // What the repository includes may never end, and `git config` waits for it.
            let output = child::output(&mut git, LONGEST);
            output.map_or_else(|_| Said::default(), |output| Said::of(&output.stdout))
        })
    }

    /// Where it is, for a person who is asked; `None` outside of one, as in a clone.
    pub(crate) fn folder(&self) -> Option<String> {
        let git_dir = std::fs::canonicalize(self.git_dir()?).ok()?;
        let folder = match git_dir.file_name() {
            Some(name) if name == ".git" => git_dir.parent()?,
            Some(_) | None => &git_dir,
        };
        Some(printable(&folder.to_string_lossy()))
    }

    /// `git -c NAME=VALUE`, and `GIT_CONFIG_KEY_0=NAME`.
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

    /// `GIT_DIR`, else what is here: a folder, or a file that names it (gitrepository-layout(5)).
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

    /// The repository's own configuration, also that of a linked work tree
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

impl Said {
    /// Parses `KEY LF VALUE NUL`; the last one of a key counts, and a key alone is true.
    fn of(output: &[u8]) -> Self {
        let mut said = Self::default();
        for entry in output.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = match entry.split_once('\n') {
                Some((key, value)) => (key, value),
                None => (entry.as_ref(), "true"),
            };
            match key {
                "hallpass.account" => {
                    said.account = Some(value.to_owned()).filter(|v| !v.is_empty());
                }
                "credential.interactive" => {
                    let no = ["false", "never", "no", "off", "0"];
                    let said_no = no.iter().any(|word| value.eq_ignore_ascii_case(word));
                    said.interactive = Some(!said_no);
                }
                _ => (),
            }
        }
        said
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
        let said = Said::of(output);
        assert_eq!(said.account.as_deref(), Some("work"));
        assert_eq!(said.interactive, Some(false));
        assert_eq!(
            Said::of(b"credential.interactive\0").interactive,
            Some(true)
        );
        assert_eq!(Said::of(b""), Said::default());
    }

    #[test]
    fn git_config_is_asked_only_where_something_hints_at_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let looks = |vars: &[(&str, &str)]| {
            let env = Env::new(Vec::<&str>::new(), vars.iter().copied());
            Repository::new(&env).may_name_an_account()
        };
        assert!(!looks(&[]));
        assert!(!looks(&[("GIT_DIR", dir)]));
        assert!(looks(&[(
            "GIT_CONFIG_PARAMETERS",
            "'hallpass.account'='work'"
        )]));
        assert!(looks(&[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "HallPass.Account")
        ]));
        std::fs::write(folder.path().join("config"), "[core]\n\tbare = false\n").unwrap();
        assert!(!looks(&[("GIT_DIR", dir)]));
        std::fs::write(
            folder.path().join("config"),
            "[Hallpass]\n\taccount = work\n",
        )
        .unwrap();
        assert!(looks(&[("GIT_DIR", dir)]));
    }
}
