//! What `--undo` needs: a file for each set-up, in the data folder.
//!
//! A record holds the values that an edit replaced, which may be secret, so only its owner can read
//! it. Without a readable record, `--undo` still removes each edit, but not byte for byte.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::content::{fingerprint, is_absence};

use super::edit::{Bytes, Edit, Unfit};
use super::error::SetupError;
use crate::config::ConfigError;
use crate::config::file::{self, Kind};
use crate::config::user_file::{continues_section, has_heading};
use crate::env::Env;
use crate::error::Error;
use crate::store::data_dir;

const VERSION: u32 = 2;

/// The folder of the records, in the data folder.
const FOLDER: &str = "setups";

/// One set-up of a tool, such as for one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) tool: String,
    pub(crate) what: String,
    /// The command that made it.
    pub(crate) command: String,
    /// One for each run that changed something, in order.
    pub(crate) steps: Vec<Step>,
}

/// The changes of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Increases from step to step, across all records.
    pub(crate) number: u64,
    pub(crate) edits: Vec<Done>,
    pub(crate) files: Vec<Written>,
    /// The folders that it created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) folders: Vec<PathBuf>,
    /// The tool's own data for undoing it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) data: Value,
}

/// An edit, and how to undo it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) edit: Edit,
    pub(crate) replaced: Option<Value>,
    /// The changes of the text, in its order; empty if the edit is the whole file, or isn't recorded.
    splices: Vec<Splice>,
    /// Whether the step of another set-up made the change.
    is_shared: bool,
}

/// A file that a step changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) is_new: bool,
    /// The fingerprint of the bytes that the step wrote.
    pub(crate) fingerprint: String,
}

impl Done {
    /// An edit of which nothing is recorded.
    pub(crate) fn unrecorded(edit: Edit) -> Self {
        Self {
            edit,
            replaced: None,
            splices: Vec::new(),
            is_shared: true,
        }
    }

    pub(crate) fn new(edit: Edit, before: Bytes<'_>, after: Bytes<'_>) -> Self {
        let kind = edit.kind();
        let bytes = (before.unwrap_or_default(), after.unwrap_or_default());
        Self {
            replaced: kind.replaced(before),
            splices: match kind.place().is_empty() {
                true => Vec::new(),
                false if kind.lays_out_others() => Splice::around_equal_parts(bytes.0, bytes.1),
                false => vec![Splice::between(bytes.0, bytes.1)],
            },
            is_shared: false,
            edit,
        }
    }

    /// The bytes without the edit. Restores the text that the edit replaced, if the file still contains
    /// what it wrote; otherwise, another program has reformatted the file.
    pub(crate) fn removed(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        let kind = self.edit.kind();
        let is_before = |bytes: &[u8]| {
            !kind.is_ours(Some(bytes))
                && kind.replaced(Some(bytes)) == self.replaced
                && kind.apply(Some(bytes)).is_ok()
        };
        let splice = match &self.splices[..] {
            [splice] if !kind.is_removal() && !kind.has_others(bytes) => Some(splice),
            _ => None,
        };
        let splice = splice.into_iter();
        let mut texts = splice.flat_map(|splice| splice.taken_out(bytes.unwrap_or_default()));
        match texts.find(|bytes| is_before(bytes)) {
            Some(before) => Ok(Some(before)),
            None => kind.remove(bytes, self.replaced.as_ref()),
        }
    }
}

impl Step {
    /// Adds an edit, and its change of the file.
    pub(crate) fn add(&mut self, edit: Edit, before: Bytes<'_>, after: Bytes<'_>) {
        let fingerprint = fingerprint(after);
        match self.files.iter_mut().find(|file| file.path == edit.path) {
            Some(file) => file.fingerprint = fingerprint,
            None => self.files.push(Written {
                path: edit.path.clone(),
                is_new: before.is_none(),
                fingerprint,
            }),
        }
        self.edits.push(Done::new(edit, before, after));
    }

    fn written(&self, path: &Path) -> Option<&Written> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether it changed the file.
    pub(crate) fn wrote(&self, path: &Path) -> bool {
        self.written(path).is_some()
    }

    /// Whether it created the file.
    pub(crate) fn created(&self, path: &Path) -> bool {
        self.written(path).is_some_and(|written| written.is_new)
    }

    /// Whether it changed a file in this folder.
    pub(crate) fn has_file_in(&self, folder: &Path) -> bool {
        self.files.iter().any(|file| file.path.starts_with(folder))
    }

    /// Adds the folders that are created with its new files.
    pub(crate) fn add_folders(&mut self, is_new: impl Fn(&Path) -> bool) {
        for file in self.files.iter().filter(|file| file.is_new) {
            let folders = file.path.ancestors().skip(1);
            let folders = folders.take_while(|folder| is_new(folder));
            self.folders.extend(folders.map(Path::to_owned));
        }
    }

    /// A file's bytes before the step, `None` if there was no file.
    pub(crate) fn revert(
        &self,
        path: &Path,
        bytes: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, ChangedSince> {
        let Some(written) = self.written(path) else {
            return Ok(bytes);
        };
        if fingerprint(bytes.as_deref()) != written.fingerprint {
            return Err(ChangedSince);
        }
        if written.is_new {
            return Ok(None);
        }
        let mut bytes = bytes.unwrap_or_default();
        let made = self.edits.iter().rev();
        let made = made.filter(|done| done.edit.path == path && !done.is_shared);
        for splice in made.flat_map(|done| done.splices.iter().rev()) {
            splice.reverse(&mut bytes).ok_or(ChangedSince)?;
        }
        Ok(Some(bytes))
    }

    /// Applies its edits of a file to other bytes.
    pub(crate) fn reapply(
        &mut self,
        path: &Path,
        mut now: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, ChangedSince> {
        self.files.retain(|file| file.path != path);
        for mut done in std::mem::take(&mut self.edits) {
            let kind = done.edit.kind();
            let is_here = done.edit.path == path;
            if is_here && !kind.is_in_place(now.as_deref()) {
                let after = kind.apply(now.as_deref()).map_err(|_| ChangedSince)?;
                self.add(done.edit, now.as_deref(), after.as_deref());
                now = after;
            } else {
                done.is_shared |= is_here;
                self.edits.push(done);
            }
        }
        Ok(now)
    }
}

/// Something other than a set-up changed the file.
#[derive(Debug)]
pub(crate) struct ChangedSince;

/// The bytes that one edit removed, and those that replaced them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Splice {
    at: usize,
    removed: Vec<u8>,
    added: Vec<u8>,
}

impl Splice {
    /// The smallest splice that turns `before` into `after`.
    pub(crate) fn between(before: &[u8], after: &[u8]) -> Self {
        let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let ends = before[same..].iter().rev().zip(after[same..].iter().rev());
        let end = ends.take_while(|(a, b)| a == b).count();
        let (removed, mut to) = (&before[same..before.len() - end], after.len() - end);
        let mut at = same;
        // Of equal splices, the one that inserts whole lines: others may be inserted around it.
        let line = before[..at].iter().rposition(|byte| *byte == b'\n');
        let begin = line.map_or(0, |line| line + 1);
        if removed.is_empty() && after[..to].ends_with(&before[begin..at]) {
            to -= at - begin;
            at = begin;
        }
        Self {
            at,
            removed: removed.to_vec(),
            added: after.get(at..to).unwrap_or_default().to_vec(),
        }
    }

    /// Several splices that leave out long parts that both texts have: they may contain a secret.
    fn around_equal_parts(before: &[u8], after: &[u8]) -> Vec<Self> {
        let whole = Self::between(before, after);
        let Some((here, there, length)) = equal_part(&whole.removed, &whole.added) else {
            return vec![whole];
        };
        let (removed, added) = (&whole.removed, &whole.added);
        let mut splices = Self::around_equal_parts(&removed[..here], &added[..there]);
        let rest = (&removed[here + length..], &added[there + length..]);
        let mut rest = Self::around_equal_parts(rest.0, rest.1);
        for splice in &mut rest {
            splice.at += there + length;
        }
        splices.append(&mut rest);
        splices.retain(|splice| splice.removed != splice.added);
        for splice in &mut splices {
            splice.at += whole.at;
        }
        splices
    }

    fn reverse(&self, bytes: &mut Vec<u8>) -> Option<()> {
        let end = self.at.checked_add(self.added.len())?;
        let found = bytes.get(self.at..end)?;
        (found == self.added)
            .then(|| drop(bytes.splice(self.at..end, self.removed.iter().copied())))
    }

    /// The bytes without the splice, for each place where it may be now.
    fn taken_out(&self, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let length = self.added.len();
        let places = bytes.windows(length.max(1)).enumerate();
        let places = places.filter(move |(at, found)| {
            *found == self.added
                && (!has_heading(&self.added) || !continues_section(&bytes[at + length..]))
        });
        places.map(move |(at, _)| {
            let (before, after) = (&bytes[..at], &bytes[at + length..]);
            // What follows was added since, and is on a line of its own.
            let ends_line = [before, &self.removed].concat().ends_with(b"\n") || before.is_empty();
            let line_break: &[u8] =
                if self.added.ends_with(b"\n") && !ends_line && !after.is_empty() {
                    b"\n"
                } else {
                    b""
                };
            [before, &self.removed, line_break, after].concat()
        })
    }
}

/// A long part that both texts have: where it is in each, and its length.
fn equal_part(one: &[u8], other: &[u8]) -> Option<(usize, usize, usize)> {
    // Not in both by chance.
    const LEAST: usize = 6;
    let mut places = HashMap::new();
    for (here, part) in one.windows(LEAST).enumerate() {
        places.entry(part).or_insert(here);
    }
    let mut longest: Option<(usize, usize, usize)> = None;
    let mut there = 0;
    while let Some(part) = other.get(there..there + LEAST) {
        let mut length = 0;
        if let Some(&here) = places.get(part) {
            let pairs = one[here..].iter().zip(&other[there..]);
            length = pairs.take_while(|(a, b)| a == b).count();
            if longest.is_none_or(|(.., most)| length > most) {
                longest = Some((here, there, length));
            }
        }
        there += length.max(1);
    }
    longest
}

/// Every record that this version can read.
pub(crate) struct Records {
    /// `None` if the environment names no data folder.
    folder: Option<PathBuf>,
    pub(crate) all: Vec<Record>,
    /// Files that another version wrote, or that are unreadable.
    pub(crate) unreadable: Vec<PathBuf>,
    /// Why the folder can't be read, if it exists.
    problem: Option<std::io::Error>,
}

impl Records {
    /// Reads all records. An unreadable one doesn't block the others.
    pub(crate) fn read(env: &Env) -> Self {
        let folder = data_dir(env).ok().map(|folder| folder.join(FOLDER));
        let mut records = Self {
            folder,
            all: Vec::new(),
            unreadable: Vec::new(),
            problem: None,
        };
        let mut paths = match records.folder.as_deref().map(std::fs::read_dir) {
            Some(Ok(entries)) => entries.flatten().map(|entry| entry.path()).collect(),
            Some(Err(problem)) if !is_absence(&problem) => {
                records.problem = Some(problem);
                Vec::new()
            }
            Some(Err(_)) | None => Vec::new(),
        };
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        for path in paths {
            let text = file::read(&path, Kind::Private).ok().flatten();
            match text.as_deref().and_then(|text| parsed(text)) {
                Some(record) => records.all.push(record),
                None => records.unreadable.push(path),
            }
        }
        records
    }

    /// Checks that the folder could be read: otherwise, set-ups seem to be missing.
    pub(crate) fn readable(mut self) -> Result<Self, SetupError> {
        match (self.problem.take(), &self.folder) {
            (Some(cause), Some(folder)) => Err(SetupError::UnreadableRecords {
                folder: folder.clone(),
                cause,
            }),
            (_, _) => Ok(self),
        }
    }

    /// The file of a set-up, if another version wrote it or it is unreadable.
    pub(crate) fn unreadable_one(&self, tool: &str, what: &str) -> Option<&PathBuf> {
        let path = self.path(tool, what)?;
        self.unreadable.iter().find(|one| **one == path)
    }

    /// All these files of a tool.
    pub(crate) fn unreadable_of<'r>(&'r self, tool: &str) -> impl Iterator<Item = &'r PathBuf> {
        let begin = format!("{tool}-");
        self.unreadable.iter().filter(move |path| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(begin.as_bytes())
        })
    }

    pub(crate) fn of<'r>(&'r self, tool: &'r str) -> impl Iterator<Item = &'r Record> {
        self.all.iter().filter(move |record| record.tool == tool)
    }

    pub(crate) fn find(&self, tool: &str, what: &str) -> Option<&Record> {
        self.all.iter().find(|record| record.is(tool, what))
    }

    /// The number of the next step.
    pub(crate) fn next(&self) -> u64 {
        let steps = self.all.iter().flat_map(|record| &record.steps);
        steps.map(|step| step.number + 1).max().unwrap_or_default()
    }

    /// The same edit in the record of another set-up, and the files of hallpass's own that it names.
    pub(crate) fn shared(&self, tool: &str, what: &str, edit: &Edit) -> Vec<Done> {
        let others = self.all.iter().filter(|record| !record.is(tool, what));
        let mut steps = others.flat_map(|record| &record.steps);
        let found = steps.find_map(|step| {
            let done = step.edits.iter().find(|done| done.edit == *edit)?;
            let named = step.edits.iter().filter(|file| edit.names(&file.edit));
            Some(named.chain([done]).cloned().collect())
        });
        let mut found: Vec<Done> = found.unwrap_or_default();
        for done in &mut found {
            done.is_shared = true;
        }
        found
    }

    /// Adds a step to the record of a set-up, in memory. Returns the record, and the one before.
    ///
    /// # Errors
    ///
    /// [`SetupError::NewerRecord`] if another version wrote that record.
    pub(crate) fn add(
        &mut self,
        tool: &str,
        what: &str,
        command: &str,
        step: Step,
    ) -> Result<(Record, Option<Record>), Error> {
        if let Some(path) = self.unreadable_one(tool, what) {
            return Err(SetupError::NewerRecord { path: path.clone() }.into());
        }
        let before = self.find(tool, what).cloned();
        self.all.retain(|record| !record.is(tool, what));
        let mut record = before.clone().unwrap_or_else(|| Record {
            version: VERSION,
            tool: tool.to_owned(),
            what: what.to_owned(),
            command: String::new(),
            steps: Vec::new(),
        });
        command.clone_into(&mut record.command);
        record.steps.push(step);
        self.all.push(record.clone());
        Ok((record, before))
    }

    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let Some(path) = self.path(&record.tool, &record.what) else {
            return Err(ConfigError::NoHome.into());
        };
        // Serializing a path that isn't UTF-8 fails.
        let text = serde_json::to_vec(record).map_err(std::io::Error::from);
        let written = text.and_then(|text| file::replace(&path, &text));
        written.map_err(|cause| SetupError::UnwritableRecord { path, cause }.into())
    }

    /// Removes a record, and its folders if they are empty.
    pub(crate) fn remove(&self, record: &Record) {
        let Some(path) = self.path(&record.tool, &record.what) else {
            return;
        };
        // If this fails, the record describes edits that are gone, and the next `--undo` removes it.
        let _ = std::fs::remove_file(&path);
        for folder in path.ancestors().skip(1).take(2) {
            let _ = std::fs::remove_dir(folder);
        }
    }

    fn path(&self, tool: &str, what: &str) -> Option<PathBuf> {
        let name = fingerprint(Some(format!("{tool}\0{what}").as_bytes()));
        let folder = self.folder.as_deref()?;
        Some(folder.join(format!("{tool}-{}.json", &name[..16])))
    }
}

impl Record {
    fn is(&self, tool: &str, what: &str) -> bool {
        self.tool == tool && self.what == what
    }

    /// The steps that edit a file.
    pub(crate) fn steps_on<'r>(&'r self, path: &'r Path) -> impl Iterator<Item = &'r Step> {
        let is_on = move |step: &&Step| step.edits.iter().any(|done| done.edit.path == path);
        self.steps.iter().filter(is_on)
    }

    /// Replaces the step with the same number.
    pub(crate) fn put(&mut self, step: &Step) {
        let steps = self.steps.iter_mut();
        for own in steps.filter(|own| own.number == step.number) {
            own.clone_from(step);
        }
    }

    pub(crate) fn edits(&self) -> impl Iterator<Item = &Done> {
        self.steps.iter().flat_map(|step| &step.edits)
    }

    /// The tool's data of the last step.
    pub(crate) fn data(&self) -> &Value {
        self.steps.last().map_or(&Value::Null, |step| &step.data)
    }

    /// The edits that should be in place, without those that a later step replaced.
    pub(crate) fn current(&self) -> Vec<&Edit> {
        let mut current: Vec<&Edit> = Vec::new();
        for Done { edit, .. } in self.edits() {
            current.retain(|known| !known.is_same_place(edit));
            current.push(edit);
        }
        current
    }

    /// The files that it changes, and whether all edits are in place.
    pub(crate) fn files(&self) -> Vec<(&Path, bool)> {
        let mut files: Vec<(&Path, bool)> = Vec::new();
        for edit in self.current() {
            let is_there = edit.is_there();
            match files.iter_mut().find(|(path, _)| *path == edit.path) {
                Some((_, all)) => *all &= is_there,
                None => files.push((&edit.path, is_there)),
            }
        }
        files
    }
}

fn parsed(text: &str) -> Option<Record> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    if value.get("version") == Some(&Value::from(1)) {
        value = of_version_1(value)?;
    }
    if value.get("version")?.as_u64()? != u64::from(VERSION) {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// A record of version 1, which had no text for each edit. Its set-up can be undone, but not byte for
/// byte.
fn of_version_1(mut value: Value) -> Option<Value> {
    value["version"] = VERSION.into();
    for step in value.get_mut("steps")?.as_array_mut()? {
        for done in step.get_mut("edits")?.as_array_mut()? {
            done["splices"] = Value::Array(Vec::new());
            done["is_shared"] = false.into();
            // Beside the value, an entry of a YAML list had its text, or the state of the list.
            if done["edit"].get("named").is_some() {
                let replaced = done["replaced"].take();
                done["replaced"] = replaced.get("value").cloned().unwrap_or_default();
            }
        }
        for file in step.get_mut("files")?.as_array_mut()? {
            // No file has it, so each edit is removed on its own.
            file["fingerprint"] = "".into();
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_holds_only_the_changed_bytes_and_restores_them() {
        for (before, after, removed) in [
            ("", "abc", ""),
            ("abc", "", "abc"),
            ("secret one secret", "secret two secret", "one"),
            ("aXa", "aa", "X"),
            ("aa", "aaa", ""),
            ("same", "same", ""),
        ] {
            let splice = Splice::between(before.as_bytes(), after.as_bytes());
            assert_eq!(splice.removed, removed.as_bytes(), "{before} {after}");
            let mut bytes = after.as_bytes().to_vec();
            splice.reverse(&mut bytes).unwrap();
            assert_eq!(bytes, before.as_bytes());
        }
        let beyond = Splice {
            at: usize::MAX,
            removed: Vec::new(),
            added: vec![0],
        };
        assert_eq!(beyond.reverse(&mut vec![0; 8]), None);
    }

    #[test]
    fn a_record_of_version_1_is_read_and_undone_edit_by_edit() {
        let text = r#"{"version": 1, "tool": "git", "what": "g.example", "command": "hallpass setup git",
            "steps": [{"number": 7,
                "edits": [{"edit": {"path": "/c.toml", "block": {"title": "t", "lines": "a = 1\n"}},
                    "replaced": null}],
                "files": [{"path": "/c.toml", "is_new": true, "fingerprint": "0123",
                    "splices": [{"at": 0, "removed": [], "added": 6}]}]}]}"#;
        let record = parsed(text).unwrap();
        assert_eq!((record.version, record.steps[0].number), (VERSION, 7));
        let path = Path::new("/c.toml");
        assert!(record.steps[0].created(path));
        // Not as if nothing had changed: it doesn't know what the edits replaced.
        assert!(
            record.steps[0]
                .revert(path, Some(b"a = 1\n".to_vec()))
                .is_err()
        );
        assert!(parsed(&text.replacen('1', "3", 1)).is_none());

        let replaced = |edit: &str, replaced: Value| {
            let edit = serde_json::json!({"edit": {edit: {}}, "replaced": replaced});
            let step = serde_json::json!({"edits": [edit], "files": []});
            let record = of_version_1(serde_json::json!({"version": 1, "steps": [step]})).unwrap();
            record["steps"][0]["edits"][0]["replaced"].clone()
        };
        let old = serde_json::json!({"value": 5, "old": "a: 5", "new": "a: 6"});
        assert_eq!(replaced("named", old), 5);
        assert_eq!(replaced("named", "absent".into()), Value::Null);
        assert_eq!(replaced("member", "text".into()), "text");
    }

    #[test]
    fn splices_leave_out_long_parts_that_stay() {
        for (before, after) in [
            (
                "{\"a\":\"a secret\"}",
                "{\n  \"a\": \"a secret\",\n  \"b\": 1\n}",
            ),
            ("a secret, a secret", "[a secret][b][a secret]"),
            ("(a secret)(another secret)", "(another secret, a secret)"),
            ("x", "a secret"),
        ] {
            let splices = Splice::around_equal_parts(before.as_bytes(), after.as_bytes());
            let mut bytes = after.as_bytes().to_vec();
            for splice in splices.iter().rev() {
                splice.reverse(&mut bytes).unwrap();
            }
            assert_eq!(bytes, before.as_bytes(), "{splices:?}");
        }
        let splices = Splice::around_equal_parts(b"(a secret)", b"( a secret, 1 )");
        let splices = splices.iter().map(|splice| (splice.at, &*splice.added));
        let expected: [(usize, &[u8]); 2] = [(1, b" "), (10, b", 1 ")];
        assert_eq!(splices.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_record_of_another_version_is_not_read() {
        let env_of = |folder: &Path| {
            let folder = folder.to_str().unwrap().to_owned();
            Env::new(Vec::<&str>::new(), [("HALLPASS_DATA_DIR", folder.as_str())])
        };
        let folder = tempfile::tempdir().unwrap();
        let env = env_of(&folder.path().join("data"));
        let mut records = Records::read(&env);
        let step = || Step {
            number: 0,
            edits: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
            data: Value::Null,
        };
        let (record, _) = records.add("t", "a", "c", step()).unwrap();
        assert!(records.write(&record).is_ok());
        let path = records.path("t", "b").unwrap();
        file::replace(&path, br#"{"version": 3, "tool": "t", "what": "b"}"#).unwrap();
        let mut records = Records::read(&env);
        assert_eq!(records.all.len(), 1);
        assert_eq!(records.next(), 1);
        assert_eq!(records.unreadable, [path]);
        let refused = records.add("t", "b", "c", step());
        assert!(matches!(
            refused,
            Err(Error::Setup(SetupError::NewerRecord { .. }))
        ));
        records.remove(&record);
        assert!(Records::read(&env).all.is_empty());
    }
}
