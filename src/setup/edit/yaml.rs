//! A node of a YAML file: a value of a named item in a list, or an item of a list. Every other byte
//! stays.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::yaml::{self, Node};
use super::kind::{Bytes, Kind, Unfit, lock_of, text};

/// In a list of items that have names, the one of this name has this value under this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) list: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) value: Value,
    /// JSON pointers to what in the value tells it from anybody else's.
    pub(crate) marks: Vec<String>,
    /// A text in the value that is never shown.
    pub(crate) hidden: Option<String>,
    /// The top of a file that is empty.
    pub(crate) top: String,
}

impl Named {
    /// The item of this name: the last one, as kubectl has it.
    fn item<'n>(&self, root: &'n Node) -> Option<&'n Node> {
        let mut items = root.value(&self.list)?.items().iter().rev();
        items.find(|item| item.value("name").and_then(Node::text) == Some(&self.name))
    }

    /// The value that a file has at this place.
    pub(crate) fn found(&self, bytes: Bytes<'_>) -> Option<Value> {
        let root = yaml::parse(text(bytes).ok()?).ok()??;
        self.item(&root)?.value(&self.key)?.to_value()
    }

    fn has_marks(&self, found: &Value) -> bool {
        let mut marks = self.marks.iter();
        marks.all(|mark| found.pointer(mark) == self.value.pointer(mark))
    }

    /// The members of the value that the user has added or changed since: all but those that this edit
    /// wrote, and those with its marks.
    fn others(&self, found: &Value) -> Map<String, Value> {
        let is_marked = |key: &str| {
            let mut keys = self.marks.iter().filter_map(|mark| mark.split('/').nth(1));
            keys.any(|marked| marked == key)
        };
        let members = found.as_object().into_iter().flatten();
        let others =
            members.filter(|(key, value)| !is_marked(key) && self.value.get(key) != Some(*value));
        others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn put(&self, text: &str) -> Result<String, yaml::Unfit> {
        let root = yaml::parse(text)?;
        if let Some(item) = root.as_ref().and_then(|root| self.item(root)) {
            let value = item.value(&self.key);
            if value.is_some_and(|node| node.to_value().is_none()) {
                return Err(yaml::Unfit::Alias);
            }
            return yaml::replaced(text, item, &self.key, &self.value);
        }
        let item = json!({ "name": self.name, &self.key: self.value });
        match root {
            Some(_) => yaml::appended(text, &self.list, &item),
            None => yaml::appended(&format!("{text}{}", self.top), &self.list, &item),
        }
    }
}

impl Kind for Named {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        Ok(Some(self.put(text(bytes)?)?.into_bytes()))
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        self.found(bytes).is_some_and(|found| found == self.value)
    }

    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.found(bytes)
            .is_some_and(|found| self.has_marks(&found))
    }

    fn replaced(&self, bytes: Bytes<'_>) -> Option<Value> {
        let root = yaml::parse(text(bytes).ok()?).ok()??;
        // A key that the item lacks is one without a value to kubectl.
        let node = self.item(&root)?.value(&self.key);
        node.map_or(Some(Value::Null), Node::to_value)
    }

    fn remove(&self, bytes: Bytes<'_>, replaced: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        let text = text(bytes)?;
        let root = yaml::parse(text)?;
        let list = root.as_ref().and_then(|root| root.value(&self.list));
        let item = root.as_ref().and_then(|root| self.item(root));
        let mut others = self.others(&self.found(bytes).unwrap_or_default());
        let without = match (list, item, replaced) {
            (Some(list), Some(item), None) if others.is_empty() => yaml::removed(text, list, item),
            (_, Some(item), replaced) => {
                let before = replaced.and_then(Value::as_object).into_iter().flatten();
                for (key, value) in before {
                    others.entry(key).or_insert_with(|| value.clone());
                }
                let value = match replaced {
                    Some(value) if others.is_empty() => value.clone(),
                    Some(_) | None => Value::Object(others),
                };
                yaml::replaced(text, item, &self.key, &value)?
            }
            (_, None, _) => text.to_owned(),
        };
        Ok(Some(without.into_bytes()))
    }

    fn place(&self) -> String {
        format!("{} in {}", self.name, self.list)
    }

    fn has_others(&self, bytes: Bytes<'_>) -> bool {
        let found = self.found(bytes);
        found.is_some_and(|found| !self.others(&found).is_empty())
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        let Some(found) = self.found(bytes) else {
            return Vec::new();
        };
        let mut lines = yaml::lines(&json!({ "name": self.name }));
        let mut own = if self.has_marks(&found) {
            found.clone()
        } else {
            Value::Null
        };
        let mut others = found.as_object().cloned().unwrap_or_default();
        if let Some(own) = own.as_object_mut() {
            others = self.others(&found);
            own.retain(|key, _| !others.contains_key(key));
        }
        // Names only: the rest may be secret.
        let names = others.iter().map(|(key, value)| {
            let command = value.get("command").and_then(Value::as_str);
            command.map_or_else(|| key.clone(), |command| format!("{key} of {command}"))
        });
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            lines.push(format!("(other members: {})", names.join(", ")));
        }
        if let Some(hidden) = &self.hidden {
            hide(&mut own, hidden);
        }
        if own.is_object() {
            lines.extend(yaml::lines(&own));
        }
        lines
    }

    fn lock(&self, path: &Path, _target: &Path) -> Option<PathBuf> {
        Some(lock_of(path))
    }
}

/// A list has this item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) list: String,
    pub(crate) item: Value,
}

impl Item {
    fn found<'n>(&self, root: Option<&'n Node>) -> Option<(&'n Node, &'n Node)> {
        let list = root?.value(&self.list)?;
        let mut items = list.items().iter();
        let item = items.find(|one| one.to_value().as_ref() == Some(&self.item))?;
        Some((list, item))
    }
}

impl Kind for Item {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        let text = yaml::appended(text(bytes)?, &self.list, &self.item)?;
        Ok(Some(text.into_bytes()))
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        let root = text(bytes).ok().and_then(|text| yaml::parse(text).ok()?);
        self.found(root.as_ref()).is_some()
    }

    fn remove(&self, bytes: Bytes<'_>, _: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        let text = text(bytes)?;
        let root = yaml::parse(text)?;
        let found = self.found(root.as_ref());
        let without = found.map(|(list, item)| yaml::removed(text, list, item));
        Ok(Some(
            without.unwrap_or_else(|| text.to_owned()).into_bytes(),
        ))
    }

    fn place(&self) -> String {
        format!("{} in {}", self.item, self.list)
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        if self.is_in_place(bytes) {
            yaml::lines(&json!([self.item]))
        } else {
            Vec::new()
        }
    }
}

impl From<yaml::Unfit> for Unfit {
    fn from(why: yaml::Unfit) -> Self {
        Self(format!("cannot be edited: {why}"))
    }
}

fn hide(value: &mut Value, hidden: &str) {
    match value {
        Value::String(text) if text == hidden => "(a random ID)".clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, hidden)),
        Value::Object(members) => members.values_mut().for_each(|value| hide(value, hidden)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::edit::Edit;
    use crate::setup::record::Done;

    const FILE: &str = "# mine\nusers:\n- name: other\n  user: {token: theirs}\n- name: me  # it\n  \
                        user:\n    token: hush   # old\n    as: 7\n\n# end\n";

    fn me() -> Named {
        Named {
            list: "users".to_owned(),
            name: "me".to_owned(),
            key: "user".to_owned(),
            value: json!({"exec": {"command": "hallpass", "args": ["kubectl", "--entry", "id"]}}),
            marks: vec!["/exec/command".to_owned(), "/exec/args/0".to_owned()],
            hidden: Some("id".to_owned()),
            top: "kind: Config\n".to_owned(),
        }
    }

    fn string(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    }

    #[test]
    fn a_users_entry_is_replaced_and_comes_back_with_its_comments() {
        let me = me();
        let before = Some(FILE.as_bytes());
        let edit = Edit::named(Path::new("file"), me.clone());
        assert_eq!(me.view(before), ["name: me", "(other members: as, token)"]);
        let after = me.apply(before).unwrap();
        let done = Done::new(edit, before, after.as_deref());
        assert!(me.is_in_place(after.as_deref()));
        let shown = me.view(after.as_deref()).join("\n");
        assert!(
            shown.contains("- --entry\n  - \"(a random ID)\"\n"),
            "{shown}"
        );
        // Another place was changed since.
        let changed = string(after).replace("# mine", "# yours");
        let undone = done.removed(Some(changed.as_bytes())).unwrap();
        assert_eq!(string(undone), FILE.replace("# mine", "# yours"));
        // Another program has rewritten the file.
        let reformatted = json!({"users": [{"name": "me", "user": me.value}]}).to_string();
        assert!(me.is_in_place(Some(reformatted.as_bytes())));
        let undone = done.removed(Some(reformatted.as_bytes())).unwrap();
        let undone: Value = serde_json::from_str(&string(undone)).unwrap();
        assert_eq!(
            undone["users"][0]["user"],
            json!({"token": "hush", "as": 7})
        );
        // The user runs something else by now.
        assert!(!me.is_ours(before));
    }

    #[test]
    fn members_that_the_user_adds_survive_the_removal() {
        let me = me();
        let edit = Edit::named(Path::new("file"), me.clone());
        let other = "users:\n- name: other\n  user:\n    token: theirs\n";
        let with_me = format!("{other}- name: me\n  user:\n    token: hush\n");
        for (before, expected) in [
            (other, json!({"as": "boss"})),
            (&*with_me, json!({"as": "boss", "token": "hush"})),
        ] {
            let after = me.apply(Some(before.as_bytes())).unwrap();
            let recorded = Done::new(edit.clone(), Some(before.as_bytes()), after.as_deref());
            let after = string(after);
            let (head, exec) = after.split_once("    exec:").unwrap();
            for changed in [
                format!("{after}    as: boss\n"),
                format!("{head}    as: boss\n    exec:{exec}"),
            ] {
                let undone = string(recorded.removed(Some(changed.as_bytes())).unwrap());
                assert_eq!(
                    me.found(Some(undone.as_bytes())).unwrap(),
                    expected,
                    "{undone}"
                );
                assert!(undone.starts_with(other), "{undone}");
                let undone = Done::unrecorded(edit.clone()).removed(Some(changed.as_bytes()));
                let undone = string(undone.unwrap());
                let found = me.found(Some(undone.as_bytes())).unwrap();
                assert_eq!(found, json!({"as": "boss"}), "{undone}");
                assert!(undone.starts_with(other), "{undone}");
            }
        }
    }

    #[test]
    fn an_item_without_the_key_comes_back_without_it() {
        let me = me();
        let before = "users:\n- name: me # it\n- name: other\n";
        let after = me.apply(Some(before.as_bytes())).unwrap();
        assert!(me.is_in_place(after.as_deref()));
        let edit = Edit::named(Path::new("file"), me);
        let done = Done::new(edit, Some(before.as_bytes()), after.as_deref());
        let undone = done.removed(after.as_deref()).unwrap();
        assert_eq!(string(undone), before);
    }

    #[test]
    fn a_user_that_is_new_is_added_and_removed() {
        let me = me();
        for text in ["", "users: []\n", "users:\n- name: other\n  user: {}\n"] {
            let after = me.apply(Some(text.as_bytes())).unwrap();
            assert!(me.is_in_place(after.as_deref()), "{text}");
            let undone = string(me.remove(after.as_deref(), None).unwrap());
            assert_eq!(me.found(Some(undone.as_bytes())), None, "{undone}");
        }
        assert!(string(me.apply(None).unwrap()).starts_with("kind: Config\nusers:\n"));
    }

    #[test]
    fn an_item_is_added_once_and_removed() {
        let item = Item {
            list: "allowed".to_owned(),
            item: json!({"command": "hallpass"}),
        };
        let before = "policy: list # only\nallowed:\n- command: x # it\n\naliases: []\n";
        let after = item.apply(Some(before.as_bytes())).unwrap();
        assert_eq!(item.apply(after.as_deref()).unwrap(), after);
        assert_eq!(item.view(after.as_deref()), ["- command: hallpass"]);
        assert_eq!(string(item.remove(after.as_deref(), None).unwrap()), before);
        let kept = item.remove(Some(before.as_bytes()), None).unwrap();
        assert_eq!(string(kept), before);
    }

    #[test]
    fn a_file_that_is_no_such_yaml_is_unfit() {
        for text in ["a: [\n", "- x\n", "a: 1\n---\nb: 2\n", "users: x\n"] {
            let why = me().apply(Some(text.as_bytes())).unwrap_err();
            assert!(why.to_string().starts_with("cannot be edited: "), "{why}");
        }
    }
}
