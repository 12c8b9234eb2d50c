//! The user's file, when a command adds something to it or takes that out again.
//!
//! What a command adds is a block between two comments at the end, so every other byte stays as
//! the user wrote it, and so taking the block out gives the file back exactly.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::ConfigError;
use super::section::{Name, Source, UnknownKeys};
use super::turn::Turn;
use super::{folders, read_text, replace_text};
use crate::env::Env;

const OPENS: &str = "# >>> ";
const CLOSES: &str = "# <<< ";

#[derive(Debug, Clone)]
pub(crate) struct UserFile {
    path: PathBuf,
    home: Option<PathBuf>,
    /// As a person sees its path.
    pub(crate) shown: String,
    text: Zeroizing<String>,
}

impl UserFile {
    /// Reads it; one that is not there is empty.
    pub(crate) fn read(env: &Env) -> Result<Self, ConfigError> {
        let (path, _) = folders::user_file(env)?;
        let home = folders::home(env).ok();
        let shown = folders::shown(&path, home.as_deref());
        let text = read_text(&path, &shown)?.unwrap_or_default();
        Ok(Self {
            path,
            home,
            shown,
            text,
        })
    }

    /// The folder that it stands in, which need not exist.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The same file with nothing in it.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            text: Zeroizing::default(),
            ..self.clone()
        }
    }

    /// Adds a block, in the place of an older one of that title.
    pub(crate) fn add(&mut self, title: &str, lines: &str) {
        self.remove(title);
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        for part in [
            OPENS,
            title,
            "\n",
            lines.trim_end(),
            "\n",
            CLOSES,
            title,
            "\n",
        ] {
            self.text.push_str(part);
        }
    }

    /// The titles of the blocks that begin like this, in their order.
    pub(crate) fn titles(&self, begin: &str) -> Vec<String> {
        let titles = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(OPENS));
        let titles = titles.filter(|title| title.starts_with(begin));
        titles.map(str::to_owned).collect()
    }

    /// Takes a block out; what it held, or `None` where there is none.
    pub(crate) fn remove(&mut self, title: &str) -> Option<String> {
        let opens = format!("{OPENS}{title}\n");
        let closes = format!("{CLOSES}{title}\n");
        let start = self.text.find(&opens)?;
        let inner = start + opens.len();
        let length = self.text.get(inner..)?.find(&closes)?;
        let removed = self.text.get(inner..inner + length)?.to_owned();
        let end = inner + length + closes.len();
        // The line break that the block was parted with.
        let start = start - usize::from(self.text.get(..start)?.ends_with('\n'));
        self.text.replace_range(start..end, "");
        Some(removed)
    }

    pub(super) fn source(&self) -> Source {
        Source {
            name: Name::File {
                path: self.path.clone(),
                home: self.home.clone(),
            },
            text: self.text.clone(),
            folder: self.folder().to_owned(),
            home: self.home.clone(),
            unknown_keys: UnknownKeys::Refused,
        }
    }

    /// Puts it in its place, whole or not at all. An empty one is removed. It was read in the same
    /// turn, or what another process has written since is lost.
    pub(crate) fn write(&self, _turn: &Turn) -> Result<(), ConfigError> {
        replace_text(&self.path, &self.shown, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_taken_out_to_the_byte() {
        for text in ["", "a = 1\n", "a = 1", "\n", "# ö\n\n"] {
            let mut file = UserFile {
                path: PathBuf::from("/x/config.toml"),
                home: None,
                shown: String::new(),
                text: Zeroizing::new(text.to_owned()),
            };
            file.add("one", "[a]\nb = 1\n");
            let with_one = file.text.clone();
            file.add("two", "[c]");
            assert_eq!(file.titles("t"), ["two"]);
            assert_eq!(file.titles(""), ["one", "two"]);
            assert_eq!(file.remove("two").as_deref(), Some("[c]\n"));
            assert_eq!(file.text, with_one);
            file.add("one", "[a]\nb = 2\n");
            assert_eq!(file.remove("one").as_deref(), Some("[a]\nb = 2\n"));
            assert_eq!(*file.text, text);
            assert_eq!(file.remove("one"), None);
        }
    }
}
