//! One change of one place in one file.
//!
//! An edit is a pure function of the file's current bytes, so the engine can compute it twice,
//! compare it with what a person agreed to, and take it back. An edit names what it wants to be
//! there and never holds what stands beside it: that may be somebody's password.

pub(crate) mod block;
pub(crate) mod git_config;
pub(crate) mod json;
pub(crate) mod link;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use block::Block;
use git_config::{KeyValues, NoHelper};
use json::Member;
use link::Link;

/// A file's bytes; `None` if there is no such file.
pub(crate) type Bytes<'b> = Option<&'b [u8]>;

/// Why an edit does not fit a file, as the end of a sentence that begins with the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) String);

/// A change of one place in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) path: PathBuf,
    #[serde(flatten)]
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    Block(Block),
    GitNoHelper(NoHelper),
    GitValues(KeyValues),
    Link(Link),
    Member(Member),
}

/// What every kind of edit can do.
pub(super) trait Kind {
    /// The bytes with the edit. Bytes that have it already stay as they are.
    fn apply(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit>;

    /// Whether the bytes have exactly what the edit wants.
    fn is_in_place(&self, bytes: Bytes<'_>) -> bool;

    /// Whether the bytes have something that this edit wrote. Anything else belongs to the user.
    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.is_in_place(bytes)
    }

    /// What the edit would replace, for [`Self::remove`] to put back.
    fn replaced(&self, bytes: Bytes<'_>) -> Option<Value> {
        let _ = bytes;
        None
    }

    /// The bytes without the edit, and with what it replaced. Called if [`Self::is_ours`].
    fn remove(&self, bytes: Bytes<'_>, replaced: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit>;

    /// Whether nothing is left that would be worth a file which a set-up created.
    fn is_void(&self, bytes: &[u8]) -> bool {
        bytes.trim_ascii().is_empty()
    }

    /// What tells this place from the others of its file.
    fn place(&self) -> String;

    /// The lines that show a person this place of the file. They hold no secret.
    fn view(&self, bytes: Bytes<'_>) -> Vec<String>;

    /// The lock file that the file's own program takes before it writes. `target` is the file
    /// without symbolic links.
    fn lock(&self, path: &Path, target: &Path) -> Option<PathBuf> {
        let _ = (path, target);
        None
    }
}

impl Edit {
    /// A member of a JSON file is this text.
    pub(crate) fn member(path: &Path, keys: &[&str], text: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::Member(Member {
                keys: keys.iter().map(|key| (*key).to_owned()).collect(),
                text: text.to_owned(),
            }),
        }
    }

    /// The user's configuration has a block of this title with these lines.
    pub(crate) fn block(path: &Path, title: &str, lines: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::Block(Block {
                title: title.to_owned(),
                lines: Some(lines.trim_end().to_owned() + "\n"),
            }),
        }
    }

    /// The user's configuration has no block of this title.
    #[expect(
        dead_code,
        reason = "for kubectl, whose clusters can be fewer the next time"
    )]
    pub(crate) fn no_block(path: &Path, title: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::Block(Block {
                title: title.to_owned(),
                lines: None,
            }),
        }
    }

    /// git asks this helper, and none that it has read before.
    pub(crate) fn git_helper(path: &Path, section: &str, helper: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::GitValues(KeyValues {
                key: format!("{section}.helper"),
                values: vec![String::new(), helper.to_owned()],
                helper: Some(helper.to_owned()),
            }),
        }
    }

    /// git names the path that it wants.
    pub(crate) fn git_path(path: &Path, section: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::GitValues(KeyValues {
                key: git_config::path_key(section),
                values: vec![git_config::YES.to_owned()],
                helper: None,
            }),
        }
    }

    /// A section of a git configuration has nothing that a set-up wrote.
    pub(crate) fn no_git_helper(path: &Path, section: &str, helper: &str) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::GitNoHelper(NoHelper {
                section: section.to_owned(),
                helper: helper.to_owned(),
            }),
        }
    }

    /// A link to this program.
    pub(crate) fn link(path: &Path, program: &Path) -> Self {
        Self {
            path: path.to_owned(),
            change: Change::Link(Link {
                program: program.to_owned(),
            }),
        }
    }

    /// Whether both are about one place of one file.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        let (own, others) = (self.kind(), other.kind());
        self.path == other.path && own.place() == others.place()
    }

    /// Whether the file has exactly this at this moment.
    pub(crate) fn is_in_place(&self) -> bool {
        let read = super::document::read(&self.path, self.program());
        read.is_ok_and(|read| self.kind().is_in_place(read.as_deref().map(Vec::as_slice)))
    }

    /// Whether the file has it at this moment, perhaps with changes of the user's own.
    pub(super) fn is_there(&self) -> bool {
        let read = super::document::read(&self.path, self.program());
        read.is_ok_and(|read| self.kind().is_ours(read.as_deref().map(Vec::as_slice)))
    }

    pub(super) fn kind(&self) -> &dyn Kind {
        match &self.change {
            Change::Block(block) => block,
            Change::GitNoHelper(none) => none,
            Change::GitValues(values) => values,
            Change::Link(link) => link,
            Change::Member(member) => member,
        }
    }

    /// The program that the file is a link to, if it is to be one.
    pub(super) fn program(&self) -> Option<&Path> {
        match &self.change {
            Change::Link(link) => Some(&link.program),
            Change::Block(_)
            | Change::GitNoHelper(_)
            | Change::GitValues(_)
            | Change::Member(_) => None,
        }
    }
}

/// The bytes of a text file.
fn text(bytes: Bytes<'_>) -> Result<&str, Unfit> {
    std::str::from_utf8(bytes.unwrap_or_default())
        .map_err(|_| Unfit("is not UTF-8 text".to_owned()))
}
