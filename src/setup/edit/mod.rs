//! One change of one place in one file.
//!
//! An edit is a pure function of the file's current bytes, so the engine can compute it again,
//! compare the result with the changes that the user confirmed, and undo it. An edit holds only what
//! it writes, and nothing else from the file, which may contain passwords.

pub(crate) mod block;
pub(crate) mod git_config;
pub(crate) mod json;
mod kind;
pub(crate) mod link;
pub(crate) mod whole_file;
pub(crate) mod yaml;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::content::{self, Content, bytes};
use crate::error::Error;

use block::Block;
use git_config::KeyValues;
use json::Member;
use kind::Kind;
pub(crate) use kind::{Bytes, Unfit};
use link::Link;
use whole_file::WholeFile;
use yaml::{Item, Named};

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
    GitValues(KeyValues),
    Item(Item),
    Link(Link),
    Member(Member),
    Named(Named),
    WholeFile(WholeFile),
}

impl Edit {
    fn new(path: &Path, change: Change) -> Self {
        let path = path.to_owned();
        Self { path, change }
    }

    /// Sets a member of a JSON file to this text.
    pub(crate) fn member(path: &Path, keys: &[&str], text: &str) -> Self {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let text = text.to_owned();
        Self::new(path, Change::Member(Member { keys, text }))
    }

    /// Writes a block with this title into the user's configuration.
    pub(crate) fn block(path: &Path, title: &str, lines: &str) -> Self {
        let title = title.to_owned();
        let lines = Some(lines.trim_end().to_owned() + "\n");
        Self::new(path, Change::Block(Block { title, lines }))
    }

    /// Removes the block with this title from the user's configuration.
    pub(crate) fn no_block(path: &Path, title: &str) -> Self {
        let title = title.to_owned();
        Self::new(path, Change::Block(Block { title, lines: None }))
    }

    /// Makes git ask this helper, and no helper that it read earlier.
    pub(crate) fn git_helper(path: &Path, section: &str, helper: &str) -> Self {
        Self::new(path, Change::GitValues(KeyValues::helper(section, helper)))
    }

    /// Makes git send the path of a URL.
    pub(crate) fn git_path(path: &Path, section: &str) -> Self {
        Self::new(path, Change::GitValues(KeyValues::path(section)))
    }

    /// Removes what the set-up wrote into a section of a git configuration, the last part first.
    pub(crate) fn no_git_helper(path: &Path, section: &str, helper: &str) -> [Self; 2] {
        let all = [KeyValues::path(section), KeyValues::helper(section, helper)];
        all.map(|values| Self::new(path, Change::GitValues(values.removal())))
    }

    /// Creates a link to this program.
    pub(crate) fn link(path: &Path, program: &Path) -> Self {
        let program = program.to_owned();
        Self::new(path, Change::Link(Link { program }))
    }

    /// Creates a file of hallpass's own. The user sees only what it is `about`.
    pub(crate) fn whole_file(path: &Path, about: &str, content: Vec<u8>) -> Self {
        Self::new(path, Change::WholeFile(WholeFile::new(about, content)))
    }

    /// Adds an item to a list of a YAML file.
    pub(crate) fn item(path: &Path, list: &str, item: Value) -> Self {
        let list = list.to_owned();
        Self::new(path, Change::Item(Item { list, item }))
    }

    /// Sets a value in a named item of a list of a YAML file.
    pub(crate) fn named(path: &Path, named: Named) -> Self {
        Self::new(path, Change::Named(named))
    }

    /// The title of the block that it writes.
    pub(crate) fn title(&self) -> Option<&str> {
        if let Change::Block(Block { title, lines }) = &self.change {
            return lines.as_ref().map(|_| &**title);
        }
        None
    }

    /// Whether it writes a block that names this file of hallpass's own.
    pub(crate) fn names(&self, file: &Self) -> bool {
        let Change::Block(Block { lines, .. }) = &self.change else {
            return false;
        };
        let path = Value::from(file.path.to_string_lossy()).to_string();
        matches!(file.change, Change::WholeFile(_))
            && lines.as_ref().is_some_and(|lines| lines.contains(&path))
    }

    /// Why it cannot be applied to the current file.
    pub(crate) fn unfit(&self) -> Result<Option<Unfit>, Error> {
        Ok(self.kind().apply(bytes(&self.read()?)).err())
    }

    /// Whether both edit the same place of the same file.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let (own, others) = (self.kind(), other.kind());
        self.path == other.path && own.place() == others.place()
    }

    /// Whether the file now contains exactly this edit.
    pub(crate) fn is_in_place(&self) -> bool {
        let read = self.read();
        read.is_ok_and(|read| self.kind().is_in_place(bytes(&read)))
    }

    /// Whether the file now contains this edit, perhaps changed by the user.
    pub(crate) fn is_there(&self) -> bool {
        let read = self.read();
        read.is_ok_and(|read| self.kind().is_ours(bytes(&read)))
    }

    fn read(&self) -> Result<Content, Error> {
        content::read(&self.path, self.program())
    }

    pub(super) fn kind(&self) -> &dyn Kind {
        match &self.change {
            Change::Block(block) => block,
            Change::GitValues(values) => values,
            Change::Item(item) => item,
            Change::Link(link) => link,
            Change::Member(member) => member,
            Change::Named(named) => named,
            Change::WholeFile(file) => file,
        }
    }

    /// The link's target, if the edit creates a link.
    pub(super) fn program(&self) -> Option<&Path> {
        if let Change::Link(Link { program }) = &self.change {
            return Some(program);
        }
        None
    }
}

#[cfg(test)]
mod tests;
