//! A tool's JSON file in which members are set and set back, and every other byte stays.
//!
//! What an edit has replaced is remembered by whoever made it ([`Edit`]), so that taking it back
//! gives the file back exactly, as long as nobody has touched that place.

use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::{ConfigError, read_text, replace_text, shown_at_home};
use crate::error::Error;

/// What docker writes itself, into a file that was not there.
const NEW_FILE: &str = "{\n\t\"KEY\": {\n\t}\n}\n";

pub(in super::super) struct JsonFile {
    path: PathBuf,
    /// As a person sees its path.
    pub(in super::super) shown: String,
    text: Zeroizing<String>,
    was_there: bool,
    is_changed: bool,
}

/// One member that was set: which, and what it takes to set it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Edit {
    pub(super) file: PathBuf,
    pub(super) keys: Vec<String>,
    /// Its value before; `None`: it had none.
    pub(super) before: Option<String>,
    /// The text that gave way to `new`; `None`: there was no file.
    old: Option<String>,
    new: String,
}

impl JsonFile {
    /// Reads it; one that is not there is empty.
    pub(in super::super) fn read(path: &Path, home: Option<&Path>) -> Result<Self, Error> {
        let shown = shown_at_home(path, home);
        let text = read_text(path, &shown)?;
        let file = Self {
            path: path.to_owned(),
            was_there: text.is_some(),
            text: text.unwrap_or_default(),
            is_changed: false,
            shown,
        };
        file.value()?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text at the end of some keys.
    pub(in super::super) fn text_at(&self, keys: &[&str]) -> Option<String> {
        let mut value = &self.value().ok()?;
        for key in keys {
            value = value.get(key)?;
        }
        value.as_str().map(str::to_owned)
    }

    /// The names of an object's members.
    pub(in super::super) fn names_in(&self, key: &str) -> Vec<String> {
        let value = self.value().unwrap_or_default();
        let members = value.get(key).and_then(Value::as_object);
        members.map_or_else(Vec::new, |members| members.keys().cloned().collect())
    }

    /// Sets a text; `None` where it stands there already.
    pub(super) fn set(&mut self, keys: &[&str], text: &str) -> Result<Option<Edit>, Error> {
        let before = self.text_at(keys);
        if before.as_deref() == Some(text) {
            return Ok(None);
        }
        let old = self.text.clone();
        let starts_empty = old.trim().is_empty();
        if starts_empty {
            *self.text = match keys {
                [key, _] => NEW_FILE.replace("KEY", key),
                _ => "{\n}\n".to_owned(),
            };
        }
        self.edited(|root| put(root, keys, text))?;
        self.is_changed = true;
        let (old, new) = differing(&old, &self.text);
        Ok(Some(Edit {
            file: self.path.clone(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            before,
            old: self.was_there.then(|| old.to_owned()),
            new: new.to_owned(),
        }))
    }

    /// Takes an edit back; whether it was still there. What somebody has set since stays.
    pub(super) fn take_back(&mut self, edit: &Edit, text: &str) -> Result<bool, Error> {
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
        self.edited(|root| match &edit.before {
            Some(before) => put(root, &keys, before),
            None => take_out(root, &keys),
        })?;
        Ok(true)
    }

    pub(super) fn write(&self) -> Result<(), Error> {
        if self.is_changed {
            replace_text(&self.path, &self.shown, &self.text)?;
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

    fn edited(&mut self, edit: impl FnOnce(&CstObject)) -> Result<(), Error> {
        let root = CstRootNode::parse(&self.text, &ParseOptions::default());
        let root = root.map_err(|_| self.not_json())?;
        let object = root.object_value().ok_or_else(|| self.not_json())?;
        edit(&object);
        self.text = Zeroizing::new(root.to_string());
        self.value().map(drop)
    }

    fn not_json(&self) -> Error {
        ConfigError::NotAnObject {
            file: self.shown.clone(),
        }
        .into()
    }
}

fn put(root: &CstObject, keys: &[&str], text: &str) {
    let Some((last, above)) = keys.split_last() else {
        return;
    };
    let mut object = root.clone();
    for key in above {
        object = object.object_value_or_set(key);
    }
    let value = CstInputValue::String(text.to_owned());
    match object.get(last) {
        Some(member) => member.set_value(value),
        None => {
            object.append(last, value);
        }
    }
}

/// Takes a member out, and the object around it that then is empty.
fn take_out(root: &CstObject, keys: &[&str]) {
    let (Some((last, above)), mut object) = (keys.split_last(), root.clone()) else {
        return;
    };
    for key in above {
        let Some(inner) = object.object_value(key) else {
            return;
        };
        object = inner;
    }
    if let Some(member) = object.get(last) {
        member.remove();
    }
    if let [key] = above
        && object.properties().is_empty()
        && let Some(member) = root.get(key)
    {
        member.remove();
    }
}

/// What differs between two texts, without what they begin and end with alike.
fn differing<'t>(old: &'t str, new: &'t str) -> (&'t str, &'t str) {
    let alike = |(a, b): &(char, char)| a == b;
    let begin: usize = old
        .chars()
        .zip(new.chars())
        .take_while(alike)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let (old, new) = (&old[begin..], &new[begin..]);
    let end: usize = old
        .chars()
        .rev()
        .zip(new.chars().rev())
        .take_while(alike)
        .map(|(c, _)| c.len_utf8())
        .sum();
    (&old[..old.len() - end], &new[..new.len() - end])
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
    ];

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
            // An object that was there empty may be gone.
            if before
                .get("credHelpers")
                .is_some_and(|helpers| helpers == &serde_json::json!({}))
            {
                after["credHelpers"] = serde_json::json!({});
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
