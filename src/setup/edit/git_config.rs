//! Values of one key in a git configuration file, read and written by git itself.
//!
//! <https://git-scm.com/docs/git-config>

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Bytes, Kind, Unfit, lock_of};
use crate::child;
use crate::env::program_name;

/// Longer than git takes for one file, even on a slow disk.
const LIMIT: Duration = Duration::from_secs(30);

/// Values of a key, after all values that it already has, or no values of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyValues {
    pub(super) key: String,
    pub(super) values: Vec<String>,
    /// The helper in these values, if there is one. Every helper that runs this program by any path is
    /// ours, and so is the empty value before it.
    pub(super) helper: Option<String>,
    /// Whether they are removed instead of added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_removal: bool,
}

impl KeyValues {
    /// Makes git ask this helper, and no helper that it read earlier.
    pub(super) fn helper(section: &str, helper: &str) -> Self {
        Self {
            key: format!("{section}.helper"),
            values: vec![String::new(), helper.to_owned()],
            helper: Some(helper.to_owned()),
            is_removal: false,
        }
    }

    /// Makes git send the path of a URL.
    pub(super) fn path(section: &str) -> Self {
        Self {
            key: format!("{section}.useHttpPath"),
            values: vec![YES.to_owned()],
            helper: None,
            is_removal: false,
        }
    }

    pub(super) fn removal(mut self) -> Self {
        self.is_removal = true;
        self
    }

    /// The values of the key that are ours, and the others.
    fn split(&self, found: Vec<String>) -> (Vec<String>, Vec<String>) {
        match &self.helper {
            Some(helper) => split_ours(found, helper),
            // Ours is the last one: the user's own equal value comes before it.
            None if found.ends_with(&self.values) => {
                let mut others = found;
                let ours = others.split_off(others.len() - self.values.len());
                (ours, others)
            }
            None => (Vec::new(), found),
        }
    }

    fn found(&self, bytes: Bytes<'_>) -> Vec<String> {
        let copy = Copy::of(bytes);
        copy.and_then(|copy| copy.values(&self.key))
            .unwrap_or_default()
    }

    fn copy_without_ours(&self, bytes: Bytes<'_>) -> Result<Copy, Unfit> {
        let copy = Copy::of(bytes)?;
        let (ours, others) = self.split(copy.values(&self.key)?);
        copy.remove(&self.key, &ours, &others)?;
        Ok(copy)
    }

    fn ours(&self, bytes: Bytes<'_>) -> Vec<String> {
        self.split(self.found(bytes)).0
    }
}

impl Kind for KeyValues {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        let copy = self.copy_without_ours(bytes)?;
        for value in self.values.iter().filter(|_| !self.is_removal) {
            copy.run(&["--add", &self.key, value])?;
        }
        copy.bytes()
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        let wanted: &[String] = if self.is_removal { &[] } else { &self.values };
        self.ours(bytes) == wanted
    }

    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.is_removal == self.ours(bytes).is_empty()
    }

    fn is_removal(&self) -> bool {
        self.is_removal
    }

    fn remove(&self, bytes: Bytes<'_>, _: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        if self.is_removal {
            // The helper has moved to another place, which is undone separately.
            return Ok(bytes.map(<[u8]>::to_vec));
        }
        self.copy_without_ours(bytes)?.bytes()
    }

    fn place(&self) -> String {
        self.key.clone()
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        let ours = self.ours(bytes).into_iter();
        ours.map(|value| format!("{} = {value:?}", self.key))
            .collect()
    }

    fn lock(&self, _: &Path, target: &Path) -> Option<PathBuf> {
        Some(lock_of(target))
    }
}

/// True, in a rare spelling (git-config(1)), so that git can remove ours and leave the user's own.
pub(crate) const YES: &str = "yes";

/// Our helpers, each with the empty value before it, and all others.
pub(crate) fn split_ours(values: Vec<String>, helper: &str) -> (Vec<String>, Vec<String>) {
    let mut ours = Vec::new();
    let mut others: Vec<String> = Vec::new();
    let mut follows_ours = false;
    for value in values {
        let is_one = is_ours(&value, helper);
        if is_one {
            if !follows_ours {
                ours.extend(others.pop_if(|last| last.is_empty()));
            }
            ours.push(value);
        } else {
            others.push(value);
        }
        follows_ours = is_one;
    }
    (ours, others)
}

/// Whether a value runs a hallpass, or this program by another name; `helper` is how git starts
/// this program.
pub(crate) fn is_ours(value: &str, helper: &str) -> bool {
    let Some(program) = program_of(value) else {
        return false;
    };
    // A set-up writes an absolute path, so `!hallpass git` is the user's own.
    let path = program.trim_start_matches('!').trim_matches('\'');
    // On Windows, git's shell also accepts absolute paths of its own (`/c/bin/hallpass`).
    let is_absolute = path.starts_with('/') || Path::new(path).is_absolute();
    (is_absolute && program_name(path) == "hallpass") || program_of(helper) == Some(program)
}

fn program_of(helper: &str) -> Option<&str> {
    helper.strip_suffix(" git").map(str::trim_end)
}

/// A temporary copy of a configuration file, for git to edit.
struct Copy(PathBuf);

impl Copy {
    fn of(bytes: Bytes<'_>) -> Result<Self, Unfit> {
        let name = format!("hallpass-{:016x}.gitconfig", rand::random::<u64>());
        let copy = Self(std::env::temp_dir().join(name));
        let mut options = std::fs::File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&copy.0)
            .and_then(|mut file| file.write_all(bytes.unwrap_or_default()));
        written.map_err(|error| cannot_edit(&error.to_string()))?;
        Ok(copy)
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, Unfit> {
        let bytes = std::fs::read(&self.0).map_err(|error| cannot_edit(&error.to_string()))?;
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    fn values(&self, key: &str) -> Result<Vec<String>, Unfit> {
        let text = self.run(&["--null", "--get-all", key])?;
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }

    /// Removes these values, and the section if nothing else is in it.
    ///
    /// git changes no other line, unless a remaining value equals a removed one. Then all remaining
    /// values are written again.
    fn remove(&self, key: &str, removed: &[String], rest: &[String]) -> Result<(), Unfit> {
        if removed.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|value| removed.contains(value)) {
            self.run(&["--unset-all", key])?;
            for value in rest {
                self.run(&["--add", key, value])?;
            }
        } else {
            let mut done: Vec<&String> = Vec::new();
            for value in removed {
                if !done.contains(&value) {
                    self.run(&["--unset-all", key, &exactly(value)])?;
                    done.push(value);
                }
            }
        }
        self.remove_section_if_empty(key)
    }

    /// git doesn't remove the heading of an empty section after a comment, which may be about it.
    fn remove_section_if_empty(&self, key: &str) -> Result<(), Unfit> {
        let (Some((section, _)), Some(heading)) = (key.rsplit_once('.'), heading_of(key)) else {
            return Ok(());
        };
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut lines = text.lines().skip_while(|line| *line != heading);
        let is_bare =
            lines.next().is_some() && lines.next().is_none_or(|next| next.starts_with('['));
        if !is_bare || text.matches(&heading).count() != 1 || !self.is_unused(section)? {
            return Ok(());
        }
        self.run(&["--remove-section", section]).map(drop)
    }

    /// Whether a section has no keys.
    fn is_unused(&self, section: &str) -> Result<bool, Unfit> {
        // Without the keys of its subsections.
        let keys = exactly(&format!("{section}."));
        let keys = format!("{}[^.]*$", keys.trim_end_matches('$'));
        Ok(self.run(&["--null", "--get-regexp", &keys])?.is_empty())
    }

    /// git's output; empty if there is no such key.
    fn run(&self, arguments: &[&str]) -> Result<String, Unfit> {
        // git-config(1).
        const NO_SUCH_KEY: i32 = 1;
        const NOTHING_TO_UNSET: i32 = 5;
        let mut command = Command::new("git");
        command.args(["config", "--file"]).arg(&self.0);
        command.args(arguments);
        let output = child::output(&mut command, LIMIT);
        let output = output.map_err(|error| cannot_edit(&error.to_string()))?;
        if !output.status.success()
            && !matches!(output.status.code(), Some(NO_SUCH_KEY | NOTHING_TO_UNSET))
        {
            return Err(cannot_edit(String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // If this fails, the copy stays in the temporary folder, and only the user can read it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The heading of a key's section, as git writes it.
fn heading_of(key: &str) -> Option<String> {
    let (section, _) = key.rsplit_once('.')?;
    Some(match section.split_once('.') {
        Some((name, of)) => format!("[{name} \"{of}\"]"),
        None => format!("[{section}]"),
    })
}

fn cannot_edit(why: &str) -> Unfit {
    Unfit(format!("cannot be edited by git: {why}"))
}

/// A POSIX extended regular expression that matches only this value.
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

#[cfg(test)]
mod tests {
    use super::*;

    const HELPER: &str = "/usr/bin/hallpass git";

    fn helper(key: &str) -> KeyValues {
        KeyValues::helper(key.strip_suffix(".helper").unwrap(), HELPER)
    }

    #[test]
    fn a_helper_is_added_once_and_removed_to_the_byte() {
        let edit = helper("credential.https://a.example.helper");
        for before in [
            None,
            Some("[user]\n\tname = a\n"),
            Some("# mine\n[credential \"https://b.example\"]\n\thelper = store\n"),
        ] {
            let before = before.map(str::as_bytes);
            assert!(!edit.is_in_place(before) && !edit.is_ours(before));
            let after = edit.apply(before).unwrap();
            assert!(edit.is_in_place(after.as_deref()));
            assert_eq!(edit.apply(after.as_deref()).unwrap(), after);
            let text = String::from_utf8(after.clone().unwrap()).unwrap();
            assert!(
                text.ends_with(
                    "[credential \"https://a.example\"]\n\thelper = \n\thelper = /usr/bin/hallpass git\n"
                ),
                "{text}"
            );
            let removed = edit.remove(after.as_deref(), None).unwrap();
            assert_eq!(removed.as_deref(), before);
        }
    }

    #[test]
    fn the_users_own_values_stay() {
        let edit = helper("credential.helper");
        let before = "[credential]\n\thelper = store\n\tusername = me\n";
        let after = edit.apply(Some(before.as_bytes())).unwrap().unwrap();
        let mut changed = after.clone();
        changed.extend_from_slice(b"\tinteractive = false\n");
        let removed = edit.remove(Some(&changed), None).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(removed).unwrap(),
            format!("{before}\tinteractive = false\n")
        );
    }

    #[test]
    fn an_earlier_path_of_ours_is_replaced() {
        let edit = helper("credential.helper");
        let before = "[credential]\n\thelper = \n\thelper = /old/hallpass git\n";
        assert!(edit.is_ours(Some(before.as_bytes())));
        let after = edit.apply(Some(before.as_bytes())).unwrap().unwrap();
        assert_eq!(
            edit.view(Some(&after)),
            [
                "credential.helper = \"\"",
                "credential.helper = \"/usr/bin/hallpass git\""
            ]
        );
        let none = edit.removal();
        assert_eq!(none.apply(Some(&after)).unwrap(), None);
        assert!(none.is_in_place(None) && none.is_ours(None));
    }

    #[test]
    fn an_equal_value_of_the_users_own_stays() {
        let edit = KeyValues::path("credential.https://a.example");
        let own = b"[credential \"https://a.example\"]\n\tuseHttpPath = true\n";
        let after = edit.apply(Some(own)).unwrap();
        assert_eq!(
            edit.remove(after.as_deref(), None).unwrap().unwrap(),
            own.to_vec()
        );
    }

    #[test]
    fn our_helper_is_removed_with_its_empty_value_and_no_other() {
        let ours = "/usr/local/bin/hallpass git";
        let quoted = "!'/opt/a b/hallpass' git";
        for (before, taken, rest) in [
            (vec!["", ours], vec!["", ours], vec![]),
            (vec!["store", "", ours], vec!["", ours], vec!["store"]),
            (
                vec!["", "store", "", quoted],
                vec!["", quoted],
                vec!["", "store"],
            ),
            (vec!["", "store"], vec![], vec!["", "store"]),
            (vec![ours, "cache"], vec![ours], vec!["cache"]),
            (
                vec!["/x/nothallpass git"],
                vec![],
                vec!["/x/nothallpass git"],
            ),
        ] {
            let values = before.iter().map(|value| (*value).to_owned()).collect();
            let (ours, others) = split_ours(values, "/opt/hallpass-linux-amd64 git");
            assert_eq!(ours, taken, "{before:?}");
            assert_eq!(others, rest, "{before:?}");
        }
    }

    #[test]
    fn this_program_is_recognized_by_any_name() {
        let helper = "/opt/hallpass-linux-amd64 git";
        for (value, is_one) in [
            ("/usr/local/bin/hallpass git", true),
            ("!'/opt/a b/hallpass' git", true),
            (helper, true),
            ("/opt/hallpass-linux-arm64 git", false),
            ("/x/nothallpass git", false),
            ("!hallpass git", false),
            ("hallpass git", false),
            ("/opt/hallpass-linux-amd64 docker", false),
            ("", false),
        ] {
            assert_eq!(is_ours(value, helper), is_one, "{value}");
        }
    }

    #[test]
    fn exactly_matches_only_the_value_itself() {
        for (value, expected) in [
            ("", "^$"),
            ("/opt/a.b/hallpass git", r"^/opt/a\.b/hallpass git$"),
            ("!'/a (b)/hallpass' git", r"^!'/a \(b\)/hallpass' git$"),
        ] {
            assert_eq!(exactly(value), expected);
        }
    }
}
