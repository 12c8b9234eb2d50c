//! A tool's JSON file in which members are set and set back, and every other byte stays.
//!
//! What an edit has replaced is remembered by whoever made it ([`Edit`]), so that taking it back
//! gives the file back exactly, as long as nobody has touched that place. An edit is the member and
//! the space around it, never what stands beside it: that may be a password, and who remembers an
//! edit need not keep secrets.

use std::path::{Path, PathBuf};

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::{Range, Ranged as _};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::{ConfigError, read_text, replace_text, shown_at_home};
use crate::error::Error;

/// Where there was nothing.
const NEW_FILE: &str = "{\n}\n";
/// What docker itself indents with.
const TAB: &str = "\t";

pub(crate) struct JsonFile {
    path: PathBuf,
    /// As a person sees its path.
    pub(crate) shown: String,
    text: Zeroizing<String>,
    /// What stood in it when it was read.
    before: Zeroizing<String>,
    was_there: bool,
    is_changed: bool,
}

/// One member that was set: which, and what it takes to set it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) file: PathBuf,
    pub(crate) keys: Vec<String>,
    /// Its value before; `None`: it had none.
    pub(crate) before: Option<String>,
    /// The text that gave way to `new`; `None`: there was no file.
    old: Option<String>,
    new: String,
}

impl JsonFile {
    /// Reads it; one that is not there is empty.
    pub(crate) fn read(path: &Path, home: Option<&Path>) -> Result<Self, Error> {
        let shown = shown_at_home(path, home);
        let text = read_text(path, &shown)?;
        let was_there = text.is_some();
        let text = text.unwrap_or_default();
        let file = Self {
            path: path.to_owned(),
            was_there,
            before: text.clone(),
            text,
            is_changed: false,
            shown,
        };
        file.value()?;
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text at the end of some keys.
    pub(crate) fn text_at(&self, keys: &[&str]) -> Option<String> {
        let mut value = &self.value().ok()?;
        for key in keys {
            value = value.get(key)?;
        }
        value.as_str().map(str::to_owned)
    }

    /// The names of an object's members.
    pub(crate) fn names_in(&self, key: &str) -> Vec<String> {
        let value = self.value().unwrap_or_default();
        let members = value.get(key).and_then(Value::as_object);
        members.map_or_else(Vec::new, |members| members.keys().cloned().collect())
    }

    /// Sets a text; `None` where it stands there already.
    pub(crate) fn set(&mut self, keys: &[&str], text: &str) -> Result<Option<Edit>, Error> {
        let before = self.text_at(keys);
        if before.as_deref() == Some(text) {
            return Ok(None);
        }
        let empty = self.text.trim().is_empty().then(|| self.text.clone());
        if empty.is_some() {
            NEW_FILE.clone_into(&mut self.text);
        }
        let splice = self.put(keys, text)?;
        let (old, new) = match empty {
            Some(old) => (old.to_string(), self.text.to_string()),
            None => (splice.old, splice.new),
        };
        self.is_changed = true;
        Ok(Some(Edit {
            file: self.path.clone(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            before,
            old: self.was_there.then_some(old),
            new,
        }))
    }

    /// Takes an edit back; whether it was still there. What somebody has set since stays.
    pub(crate) fn take_back(&mut self, edit: &Edit, text: &str) -> Result<bool, Error> {
        let keys: Vec<&str> = edit.keys.iter().map(String::as_str).collect();
        if self.text_at(&keys).as_deref() != Some(text) {
            return Ok(false);
        }
        self.is_changed = true;
        let old = edit.old.as_deref();
        if old.is_none() && *self.text == edit.new {
            self.text.clear();
            return Ok(true);
        }
        if let (Some(old), [at]) = (old, &*occurrences(&self.text, &edit.new)) {
            let mut exact = self.text.clone();
            exact.replace_range(*at..at + edit.new.len(), old);
            let was = std::mem::replace(&mut self.text, exact);
            if self.value().is_ok() && self.text_at(&keys) == edit.before {
                return Ok(true);
            }
            self.text = was;
        }
        match &edit.before {
            Some(before) => self.put(&keys, before).map(drop)?,
            None => self.take_out(&keys)?,
        }
        Ok(true)
    }

    pub(crate) fn write(&self) -> Result<(), Error> {
        if self.is_changed {
            replace_text(&self.path, &self.shown, &self.text)?;
        }
        Ok(())
    }

    /// Puts back what stood there before [`Self::write`].
    pub(crate) fn put_back(&self) -> Result<(), Error> {
        if self.is_changed {
            replace_text(&self.path, &self.shown, &self.before)?;
        }
        Ok(())
    }

    fn value(&self) -> Result<Value, Error> {
        if self.text.trim().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        let value = serde_json::from_str(&self.text).ok();
        value
            .filter(Value::is_object)
            .ok_or_else(|| self.not_json())
    }

    /// Sets a text in the object that is there.
    fn put(&mut self, keys: &[&str], text: &str) -> Result<Splice, Error> {
        let place = self.with_root(|root, whole| splice_of(root, whole, keys, text))?;
        let (range, new) = place.ok_or_else(|| {
            Error::Usage(format!(
                "{} in {} is not what docker has there: put that right first",
                keys.join("."),
                self.shown
            ))
        })?;
        let old = self.text.get(range.start..range.end).unwrap_or_default();
        let splice = Splice {
            old: old.to_owned(),
            new,
        };
        self.text.replace_range(range.start..range.end, &splice.new);
        self.value()?;
        Ok(splice)
    }

    /// Takes a member out, and the object around it that then is empty.
    fn take_out(&mut self, keys: &[&str]) -> Result<(), Error> {
        for length in (1..=keys.len()).rev() {
            let keys = keys.get(..length).unwrap_or_default();
            let range = self.with_root(|root, whole| range_of(root, whole, keys))?;
            let Some((range, is_alone)) = range else {
                break;
            };
            self.text.replace_range(range.start..range.end, "");
            if !is_alone {
                break;
            }
        }
        self.value().map(drop)
    }

    fn with_root<T>(&self, with: impl FnOnce(&Object<'_>, &str) -> T) -> Result<T, Error> {
        let parsed = parse_to_ast(
            &self.text,
            &CollectOptions::default(),
            &ParseOptions::default(),
        );
        match parsed.ok().and_then(|parsed| parsed.value) {
            Some(root) => {
                let root = root.as_object().ok_or_else(|| self.not_json())?;
                Ok(with(root, &self.text))
            }
            None => Err(self.not_json()),
        }
    }

    fn not_json(&self) -> Error {
        ConfigError::NotAnObject {
            file: self.shown.clone(),
        }
        .into()
    }
}

/// A piece of the text that gave way to another.
struct Splice {
    old: String,
    new: String,
}

/// Where a text is set, and what is written there; `None` where something is in the way that is no
/// text or no object, and is not ours to replace.
fn splice_of(root: &Object<'_>, whole: &str, keys: &[&str], text: &str) -> Option<(Range, String)> {
    let mut object = root;
    let mut rest = keys;
    while let Some((key, below)) = rest.split_first() {
        let Some(member) = member(object, key) else {
            return Some(insertion(root, object, whole, rest, text));
        };
        let value = match &member.value {
            Node::Object(inner) if !below.is_empty() => {
                object = inner;
                rest = below;
                continue;
            }
            Node::NullKeyword(_) => Layout::of(root, object, whole).value(below, text),
            Node::StringLit(_) if below.is_empty() => quoted(text),
            Node::StringLit(_)
            | Node::NumberLit(_)
            | Node::BooleanLit(_)
            | Node::Object(_)
            | Node::Array(_) => return None,
        };
        // With its name, which is there once.
        let name = whole.get(member.range.start..member.value.range().start)?;
        return Some((member.range, format!("{name}{value}")));
    }
    None
}

/// A member behind the last one of an object, laid out as that one is.
fn insertion(
    root: &Object<'_>,
    object: &Object<'_>,
    whole: &str,
    keys: &[&str],
    text: &str,
) -> (Range, String) {
    let layout = Layout::of(root, object, whole);
    let member = layout.member(keys, text);
    if let Some(last) = object.properties.last() {
        let end = last.range.end;
        let lead = &layout.lead;
        return (Range { start: end, end }, format!(",{lead}{member}"));
    }
    let inner = Range {
        start: object.range.start + 1,
        end: object.range.end - 1,
    };
    (inner, layout.inside(&member))
}

/// How an object's members are laid out.
struct Layout<'t> {
    /// What stands before a member: a line break and what the line is indented with, or less.
    lead: String,
    /// What stands between a name and its value.
    colon: &'t str,
    /// What one more level is indented with, where there is a line for each member.
    unit: &'t str,
}

impl<'t> Layout<'t> {
    fn of(root: &Object<'_>, object: &Object<'_>, whole: &'t str) -> Self {
        let first = root.properties.first();
        let colon = first.map_or(": ", |first| {
            let between = whole.get(first.name.range().end..first.value.range().start);
            between.unwrap_or(": ")
        });
        let line = first.and_then(|first| indent_before(whole, first.range.start));
        let unit = line.map_or(TAB, |line| line.trim_start_matches(['\r', '\n']));
        let lead = if let Some(last) = object.properties.last() {
            let lead = space_before(whole, last.range.start);
            let is_spaced = lead.is_empty() && colon.ends_with(' ');
            let lead = if is_spaced { " " } else { lead };
            indent_before(whole, last.range.start)
                .unwrap_or(lead)
                .to_owned()
        } else if let Some(line) = line.or_else(|| first.is_none().then_some("")) {
            // The object is empty, and stands on a line of its own.
            let start = whole.get(..object.range.start).unwrap_or_default();
            let start = start.rsplit_once('\n').map_or("", |(_, start)| start);
            let indent = &start[..start.len() - start.trim_start().len()];
            let inner = whole.get(object.range.start..object.range.end);
            let is_crlf = line.starts_with('\r') || inner.is_some_and(|i| i.contains('\r'));
            let line_break = if is_crlf { "\r\n" } else { "\n" };
            format!("{line_break}{indent}{unit}")
        } else {
            String::new()
        };
        Self { lead, colon, unit }
    }

    /// A name and its value, which has objects around it where there are more names.
    fn member(&self, keys: &[&str], text: &str) -> String {
        match keys.split_first() {
            Some((key, below)) => {
                format!("{}{}{}", quoted(key), self.colon, self.value(below, text))
            }
            None => String::new(),
        }
    }

    fn value(&self, keys: &[&str], text: &str) -> String {
        if keys.is_empty() {
            return quoted(text);
        }
        let is_on_lines = self.lead.contains('\n');
        let inner = Layout {
            lead: if is_on_lines {
                format!("{}{}", self.lead, self.unit)
            } else {
                String::new()
            },
            ..*self
        };
        format!("{{{}}}", inner.inside(&inner.member(keys, text)))
    }

    /// A member and what stands around it in an object that has no other one.
    fn inside(&self, member: &str) -> String {
        let end = match self.lead.strip_suffix(self.unit) {
            Some(end) if self.lead.contains('\n') => end,
            _ => "",
        };
        format!("{}{member}{end}", self.lead)
    }
}

/// What is taken out with a member, and whether the object then is empty.
fn range_of(root: &Object<'_>, whole: &str, keys: &[&str]) -> Option<(Range, bool)> {
    let (last, above) = keys.split_last()?;
    let mut object = root;
    for key in above {
        object = member(object, key)?.value.as_object()?;
    }
    let found = member(object, last)?;
    let index = object
        .properties
        .iter()
        .position(|one| one.range == found.range)?;
    let before = index.checked_sub(1).and_then(|i| object.properties.get(i));
    let after = object.properties.get(index + 1);
    let Range { start, end } = found.range;
    let range = match (before, after) {
        (Some(before), _) => Range {
            start: before.range.end,
            end,
        },
        (None, Some(after)) => Range {
            start,
            end: after.range.start,
        },
        (None, None) => Range {
            start: start - space_before(whole, start).len(),
            end,
        },
    };
    Some((range, before.is_none() && after.is_none()))
}

/// The member of a name; of several, the one that counts is the last.
fn member<'o, 't>(object: &'o Object<'t>, key: &str) -> Option<&'o ObjectProp<'t>> {
    let mut members = object.properties.iter().rev();
    members.find(|member| member.name.as_str() == key)
}

fn space_before(whole: &str, at: usize) -> &str {
    let before = whole.get(..at).unwrap_or_default();
    &before[before.trim_end().len()..]
}

/// The line break before something that begins its line, and what the line is indented with.
fn indent_before(whole: &str, at: usize) -> Option<&str> {
    let space = space_before(whole, at);
    let line = space.rfind('\n')?;
    let line = if space[..line].ends_with('\r') {
        line - 1
    } else {
        line
    };
    space.get(line..)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn occurrences(text: &str, part: &str) -> Vec<usize> {
    if part.is_empty() {
        return Vec::new();
    }
    text.match_indices(part).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> JsonFile {
        JsonFile {
            path: PathBuf::from("/x/config.json"),
            shown: String::new(),
            text: Zeroizing::new(text.to_owned()),
            before: Zeroizing::new(text.to_owned()),
            was_there: true,
            is_changed: false,
        }
    }

    const TABS: &str = "{\n\t\"auths\": {\n\t\t\"quay.io\": {\n\t\t\t\"auth\": \"eA==\"\n\t\t}\n\t},\n\t\"credsStore\": \"desktop\"\n}";
    const TEXTS: &[&str] = &[
        "{}",
        "{}\n",
        "{\n}\n",
        "{ }",
        "",
        TABS,
        "{\n    \"credHelpers\": {\n        \"gcr.io\": \"gcloud\"\n    }\n}\n",
        "{\"credHelpers\":{\"gcr.io\":\"gcloud\"},\"x\":[1, 2.50,\t\"\\u00e9\"]}",
        "{\"credHelpers\":{}}",
        "{\n\t\"credHelpers\": {\n\t}\n}",
        "{\r\n  \"a\": 1\r\n}\r\n",
        "{\"auths\":{\"quay.io\":{\"auth\":\"canary\"}}}",
        "{ \"auths\": { \"quay.io\": { \"auth\": \"canary\" } } }\n",
        "{\"auths\": {\"quay.io\": {\"auth\": \"canary\"}},\n \"x\": 1}",
        "{\n    \"auths\": {\"quay.io\": {\"auth\": \"canary\"}}, \"x\": 1\n}",
        "{\"x\": 1, \"auths\": {\n\"quay.io\": {\"auth\": \"canary\"}}}",
        "{\"credHelpers\":{\"a\":\"b\"},\"auths\":{\"quay.io\":{\"auth\":\"canary\"}}}",
        "{\n\"auths\":{\"quay.io\":{\"auth\":\"canary\"}},\n\"credHelpers\":{},\"credsStore\":\"desktop\"}",
        "{\"auths\":{\"quay.io\":{\"auth\":\"canary\"}},\"credHelpers\":null,\"credsStore\":null}",
    ];

    #[test]
    fn a_new_member_is_laid_out_as_its_neighbours_are() {
        for (before, after) in [
            (
                "{\"auths\":{\"q\":{}}}",
                "{\"auths\":{\"q\":{}},\"credHelpers\":{\"a\":\"b\"}}",
            ),
            (
                "{\"auths\": {\"q\": {}}}",
                "{\"auths\": {\"q\": {}}, \"credHelpers\": {\"a\": \"b\"}}",
            ),
            (
                "{ \"x\": 1 }",
                "{ \"x\": 1, \"credHelpers\": {\"a\": \"b\"} }",
            ),
            (
                "{\n  \"x\": {\"y\": 1}\n}",
                "{\n  \"x\": {\"y\": 1},\n  \"credHelpers\": {\n    \"a\": \"b\"\n  }\n}",
            ),
            (
                "{\r\n\t\"credHelpers\": {}\r\n}",
                "{\r\n\t\"credHelpers\": {\r\n\t\t\"a\": \"b\"\r\n\t}\r\n}",
            ),
            (
                "{\n\t\"credHelpers\": {\"x\": \"y\"}\n}",
                "{\n\t\"credHelpers\": {\"x\": \"y\", \"a\": \"b\"}\n}",
            ),
            (
                "{}\n",
                "{\n\t\"credHelpers\": {\n\t\t\"a\": \"b\"\n\t}\n}\n",
            ),
        ] {
            let mut file = file(before);
            file.set(&["credHelpers", "a"], "b").unwrap().unwrap();
            assert_eq!(*file.text, after);
        }
    }

    #[test]
    fn an_edit_holds_the_member_and_nothing_that_stands_beside_it() {
        for text in TEXTS {
            let mut file = file(text);
            for keys in [&["credHelpers", "ghcr.io"][..], &["credsStore"]] {
                let was = file.text.clone();
                let edit = file.set(keys, "hallpass").unwrap().unwrap();
                let (old, new) = (edit.old.unwrap(), edit.new);
                let before = edit
                    .before
                    .map_or("null".to_owned(), |before| quoted(&before));
                let name = quoted(keys[0]);
                let is_member = old.starts_with(&name) && old.ends_with(&before);
                assert!(old.trim().is_empty() || is_member, "{old:?}");
                assert!(!new.contains("canary"), "{new:?}");
                assert_eq!(file.text.replacen(&new, &old, 1), *was);
            }
        }
    }

    #[test]
    fn what_is_no_text_is_not_replaced() {
        for text in [
            "{\"credHelpers\": [\"canary\"]}",
            "{\"credHelpers\": {\"ghcr.io\": {\"auth\": \"canary\"}}}",
            "{\"credHelpers\": \"canary\"}",
        ] {
            let mut file = file(text);
            assert!(file.set(&["credHelpers", "ghcr.io"], "hallpass").is_err());
            assert_eq!(*file.text, text);
        }
    }

    #[test]
    fn a_member_is_set_and_everything_else_stays() {
        for text in TEXTS {
            let mut file = file(text);
            let before = file.value().unwrap();
            file.set(&["credHelpers", "ghcr.io"], "hallpass")
                .unwrap()
                .unwrap();
            file.set(&["credsStore"], "hallpass").unwrap().unwrap();
            assert_eq!(file.set(&["credsStore"], "hallpass").unwrap(), None);
            let mut expected = before;
            expected["credHelpers"]["ghcr.io"] = "hallpass".into();
            expected["credsStore"] = "hallpass".into();
            assert_eq!(file.value().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_was_set_is_taken_back_to_the_byte() {
        for text in TEXTS {
            let mut file = file(text);
            let edits = [
                file.set(&["credHelpers", "ghcr.io"], "hallpass")
                    .unwrap()
                    .unwrap(),
                file.set(&["credHelpers", "gcr.io"], "hallpass")
                    .unwrap()
                    .unwrap(),
                file.set(&["credsStore"], "hallpass").unwrap().unwrap(),
            ];
            for edit in edits.iter().rev() {
                assert!(file.take_back(edit, "hallpass").unwrap());
            }
            assert_eq!(*file.text, *text, "{text:?}");
        }
    }

    #[test]
    fn in_any_order_what_was_there_comes_back() {
        for text in TEXTS {
            let mut file = file(text);
            let before = file.value().unwrap();
            let edits = [
                file.set(&["credHelpers", "ghcr.io"], "hallpass")
                    .unwrap()
                    .unwrap(),
                file.set(&["credHelpers", "gcr.io"], "hallpass")
                    .unwrap()
                    .unwrap(),
                file.set(&["credsStore"], "hallpass").unwrap().unwrap(),
            ];
            for edit in &edits {
                assert!(file.take_back(edit, "hallpass").unwrap(), "{text:?}");
            }
            let mut after = file.value().unwrap();
            // What was there and held nothing may be gone.
            for key in ["credHelpers", "credsStore"] {
                if let Some(nothing) = before.get(key)
                    && (nothing.is_null() || nothing == &serde_json::json!({}))
                {
                    after[key] = nothing.clone();
                }
            }
            assert_eq!(after, before, "{text:?}");
        }
    }

    #[test]
    fn what_somebody_has_set_since_stays() {
        let mut file = file(TABS);
        let edit = file.set(&["credsStore"], "hallpass").unwrap().unwrap();
        file.set(&["credsStore"], "pass").unwrap().unwrap();
        assert!(!file.take_back(&edit, "hallpass").unwrap());
        assert_eq!(file.text_at(&["credsStore"]).as_deref(), Some("pass"));
    }

    #[test]
    fn a_file_that_was_not_there_is_gone_again() {
        let mut file = JsonFile {
            was_there: false,
            ..file("")
        };
        let edit = file
            .set(&["credHelpers", "ghcr.io"], "hallpass")
            .unwrap()
            .unwrap();
        assert_eq!(
            *file.text,
            "{\n\t\"credHelpers\": {\n\t\t\"ghcr.io\": \"hallpass\"\n\t}\n}\n"
        );
        file.take_back(&edit, "hallpass").unwrap();
        assert_eq!(*file.text, "");
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for text in ["[]", "{", "7", "{} x", "{\"a\": 1,}", "// x\n{}"] {
            assert!(file(text).value().is_err(), "{text}");
        }
    }
}
