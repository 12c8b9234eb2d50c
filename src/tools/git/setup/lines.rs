//! The lines in git's configuration that make it ask hallpass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::arguments::NAME;
use super::super::git_config::{self, Entry};
use super::super::order::{Helpers, Others, in_unicode, is_last, place, sections};
use crate::env::Env;
use crate::error::Error;
use crate::setup::edit::Edit;
use crate::setup::edit::git_config::{is_ours, split_ours};
use crate::setup::host::Host;
use crate::setup::plan::Part;
use crate::setup::program;
use crate::setup::record::{Record, Records};
use crate::shell::shell_word;

/// Whether git asks hallpass for a host, and no helper after it.
pub(crate) fn is_in_place(host: &Host, env: &Env) -> Result<bool, Error> {
    let edits = Git::read(env)?.edits(Some(host), &mut Others::default());
    Ok(edits.iter().all(Edit::is_in_place))
}

/// The hosts for which the user's or the system's configuration makes git ask hallpass.
pub(crate) fn hosts_in_git(env: &Env) -> Result<Vec<Host>, Error> {
    let git = Git::read(env)?;
    let entries = git.entries.iter().filter(|entry| entry.runs_hallpass());
    let hosts = entries.filter_map(|entry| entry.section().strip_prefix("credential."));
    Ok(hosts
        .filter_map(|host| Host::parse("HOST", host).ok())
        .collect())
}

/// The helpers that git asks for a host.
pub(crate) fn helpers(host: &Host, env: &Env) -> Result<Helpers, Error> {
    Ok(Helpers::of(&Git::read(env)?.entries, host))
}

/// git's current configuration.
pub(super) struct Git {
    entries: Vec<Entry>,
    /// The file that `git config --global` writes.
    file: PathBuf,
    /// How git starts this program.
    helper: String,
}

impl Git {
    pub(super) fn read(env: &Env) -> Result<Self, Error> {
        Ok(Self {
            entries: git_config::everywhere(r"^credential\.")?,
            file: git_config::global_file(env)?,
            helper: helper(env)?,
        })
    }

    /// The edits that make hallpass the last helper of a host, or of all hosts. Adds the other
    /// helpers to `others`.
    pub(super) fn edits(&self, host: Option<&Host>, others: &mut Others) -> Vec<Edit> {
        let Some(host) = host else {
            return self.edits_of_one(None, others);
        };
        let mut edits = Vec::new();
        for host in std::iter::once(host).chain(&in_unicode(host)) {
            edits.extend(self.edits_of_one(Some(host), others));
        }
        edits
    }

    /// The same for one spelling of a host.
    fn edits_of_one(&self, host: Option<&Host>, others: &mut Others) -> Vec<Edit> {
        let Self {
            entries,
            file,
            helper,
        } = self;
        let mut place = place(entries, file, host, helper);
        let names_path = host.is_some_and(|host| host.has_path);
        let there = |path: &Path, section: &str| {
            let path_edit = names_path.then(|| Edit::git_path(path, section));
            [Edit::git_helper(path, section, helper)]
                .into_iter()
                .chain(path_edit)
        };
        let found: Vec<_> = sections(host)
            .flat_map(|section| self.found(&section))
            .collect();
        let pair = [String::new(), helper.clone()];
        let mut edits = Vec::new();
        if let [(path, section, ours)] = &found[..]
            && *ours == pair
            && (!place.is_last || is_last(entries, &format!("{section}.helper"), host, helper))
        {
            place.section.clone_from(section);
            edits.extend(there(path, section));
        } else {
            let absent = |(path, section, _): &(PathBuf, String, _)| {
                Edit::no_git_helper(path, section, helper)
            };
            // First add the new one, then remove the one elsewhere.
            let (same, elsewhere): (Vec<_>, Vec<_>) = found
                .iter()
                .partition(|(path, section, _)| path == file && *section == place.section);
            edits.extend(same.into_iter().flat_map(absent));
            edits.extend(there(file, &place.section));
            edits.extend(elsewhere.into_iter().flat_map(absent));
        }
        others.add(entries, &place, host, helper);
        edits
    }

    /// The files in which a section contains hallpass's helper.
    fn found(&self, section: &str) -> Vec<(PathBuf, String, Vec<String>)> {
        let key = format!("{section}.helper");
        let mut values: Vec<(PathBuf, Vec<String>)> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.key == key) {
            let Some(path) = entry.file().filter(|_| entry.is_global()) else {
                continue;
            };
            match values.iter_mut().find(|(known, _)| known == path) {
                Some((_, values)) => values.push(entry.value.clone()),
                None => values.push((path.to_owned(), vec![entry.value.clone()])),
            }
        }
        let ours = values.into_iter().map(|(path, values)| {
            let (ours, _) = split_ours(values, &self.helper);
            (path, section.to_owned(), ours)
        });
        ours.filter(|(_, _, ours)| !ours.is_empty()).collect()
    }

    /// What earlier set-ups wrote into some sections, for `--undo` without a record.
    pub(super) fn ours(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<Edit> {
        let entries = self.entries.iter().filter(|entry| is_meant(entry));
        let sections: BTreeSet<&str> = entries.map(Entry::section).collect();
        let found = sections.into_iter().flat_map(|section| self.found(section));
        found
            .flat_map(|(path, section, _)| {
                [
                    Edit::git_helper(&path, &section, &self.helper),
                    Edit::git_path(&path, &section),
                ]
            })
            .collect()
    }

    /// The lines that make git ask hallpass, and that an undo of these parts leaves.
    pub(super) fn left_by(
        &self,
        parts: &[Part],
        records: &Records,
        is_meant: impl Fn(&Entry) -> bool,
    ) -> Vec<String> {
        let recorded = records.of(NAME).flat_map(Record::edits);
        let recorded = recorded.map(|done| &done.edit);
        let removed: Vec<&Edit> = parts
            .iter()
            .flat_map(|part| &part.edits)
            .chain(recorded)
            .collect();
        let is_removed = |entry: &Entry| {
            is_ours(&entry.value, &self.helper)
                && entry.file().is_some_and(|path| {
                    let edit = Edit::git_helper(path, entry.section(), &self.helper);
                    removed.iter().any(|removed| removed.is_same_place(&edit))
                })
        };
        let left = self.entries.iter().filter(|entry| entry.runs_hallpass());
        let left = left.filter(|entry| is_meant(entry) && !is_removed(entry));
        let mut left: Vec<String> = left
            .map(|entry| format!("{} ({})", entry.key, entry.origin))
            .collect();
        left.dedup();
        left
    }
}

/// How git starts this program.
fn helper(env: &Env) -> Result<String, Error> {
    let path = program::path(env)?.to_string_lossy().into_owned();
    // git passes it to a shell, on Windows too.
    let path = if cfg!(windows) {
        path.replace('\\', "/")
    } else {
        path
    };
    Ok(as_git_reads_it(&path))
}

/// git recognizes an absolute path only if it isn't quoted. A path that needs quotes is marked as a
/// shell command (gitcredentials(7)).
fn as_git_reads_it(path: &str) -> String {
    let word = shell_word(path);
    let mark = if word == path { "" } else { "!" };
    format!("{mark}{word} git")
}
