//! A member of a JSON file. Setting it changes no other member.
//!
//! A member of the whole file is found by its name in any case: the programs whose files these are
//! read them with Go's `encoding/json`. Of several it uses the last one.

use std::collections::HashMap;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::NotAnObject;

use super::kind::{Bytes, Kind, Unfit, text};

/// What stands for a file that is missing or empty.
const NEW_FILE: &str = "{\n}\n";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(super) keys: Vec<String>,
    pub(super) text: String,
}

impl Member {
    fn found(&self, bytes: Bytes<'_>) -> Option<String> {
        let (_, root) = parse(text(bytes).ok()?).ok()?;
        let keys = spelled(&root, &self.keys);
        let (last, outer) = keys.split_last()?;
        let mut outer = outer.iter();
        let object = outer.try_fold(root, |object, key| member(&object, key)?.object_value())?;
        member(&object, last)?
            .value()?
            .as_string_lit()?
            .decoded_value()
            .ok()
    }
}

impl Kind for Member {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        let text = match text(bytes)? {
            text if text.trim().is_empty() => NEW_FILE,
            text => text,
        };
        put(text, &self.keys, &self.text).map(|text| Some(text.into_bytes()))
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        self.found(bytes).as_deref() == Some(&*self.text)
    }

    fn replaced(&self, bytes: Bytes<'_>) -> Option<Value> {
        self.found(bytes).map(Value::from)
    }

    fn remove(&self, bytes: Bytes<'_>, replaced: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        let text = text(bytes)?;
        let without = match replaced.and_then(Value::as_str) {
            Some(before) => put(text, &self.keys, before)?,
            None => without(text, &self.keys)?,
        };
        Ok(Some(without.into_bytes()))
    }

    fn is_void(&self, bytes: &[u8]) -> bool {
        let members = text(Some(bytes)).ok().and_then(|text| members(text).ok());
        members.is_some_and(|members| members.is_empty())
    }

    /// An object on a single line gets lines of its own.
    fn lays_out_others(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        self.keys.join(".")
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        let line = |text| format!("{} = {text:?}", self.keys.join("."));
        self.found(bytes).map(line).into_iter().collect()
    }
}

/// The members of a JSON file. Their values may be anything, such as a number that Rust has no type
/// for.
#[expect(
    clippy::zero_sized_map_values,
    reason = "serde reads an object into a map"
)]
fn members(text: &str) -> Result<HashMap<String, IgnoredAny>, Unfit> {
    if text.trim().is_empty() {
        return Ok(HashMap::new());
    }
    serde_json::from_str(text).map_err(|error| not_json(text, &error))
}

fn not_json(text: &str, error: &serde_json::Error) -> Unfit {
    Unfit(NotAnObject::of(text, Some(error)).to_string())
}

fn parse(text: &str) -> Result<(CstRootNode, CstObject), Unfit> {
    // The editor parses more than JSON.
    members(text)?;
    let file = CstRootNode::parse(text, &ParseOptions::default()).ok();
    let parsed = file.and_then(|file| Some((file.clone(), file.object_value()?)));
    parsed.ok_or_else(|| {
        Unfit("cannot be edited: it is nested too deeply or has an invalid escape".to_owned())
    })
}

/// Sets a text, and adds the objects around it that are missing.
fn put(text: &str, keys: &[String], new: &str) -> Result<String, Unfit> {
    let (file, root) = parse(text)?;
    let set = put_in(&root, &spelled(&root, keys), new);
    set.ok_or_else(|| Unfit(format!("has something else at {}", keys.join("."))))?;
    Ok(file.to_string())
}

/// `None` where the place holds a value that a set-up must not replace.
fn put_in(object: &CstObject, keys: &[String], new: &str) -> Option<()> {
    let (key, below) = keys.split_first()?;
    let nested = || {
        let inner = below.iter().rev();
        inner.fold(CstInputValue::from(new), |value, key| {
            CstInputValue::Object(vec![(key.clone(), value)])
        })
    };
    let Some(member) = member(object, key) else {
        object.append(key, nested());
        return Some(());
    };
    let value = member.value()?;
    if value.as_null_keyword().is_some() || below.is_empty() && value.as_string_lit().is_some() {
        member.set_value(nested());
        return Some(());
    }
    put_in(&value.as_object()?, below, new)
}

/// Removes a member, and each object around it that is empty then.
fn without(text: &str, keys: &[String]) -> Result<String, Unfit> {
    let (file, root) = parse(text)?;
    remove_from(&root, &spelled(&root, keys));
    Ok(file.to_string())
}

fn remove_from(object: &CstObject, keys: &[String]) {
    let Some((key, below)) = keys.split_first() else {
        return;
    };
    let Some(member) = member(object, key) else {
        return;
    };
    if let Some(inner) = member.object_value().filter(|_| !below.is_empty()) {
        remove_from(&inner, below);
        if !inner.properties().is_empty() {
            return;
        }
    }
    member.remove();
}

/// The member of a name: the last one if there are several, as parsers take it.
fn member(object: &CstObject, key: &str) -> Option<CstObjectProp> {
    let mut members = object.properties().into_iter().rev();
    members.find(|member| member.decoded_name().as_deref() == Some(key))
}

/// The keys, the first one as the file spells it.
fn spelled(root: &CstObject, keys: &[String]) -> Vec<String> {
    let mut keys = keys.to_vec();
    let names = root.properties().into_iter().rev();
    let mut names = names.filter_map(|member| member.decoded_name());
    if let Some(first) = keys.first_mut()
        && let Some(name) = names.find(|name| is_same_member(first, name))
    {
        *first = name;
    }
    keys
}

/// Whether Go reads both names as the same member.
pub(crate) fn is_same_member(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

/// A member's name in lower case. Some letters have a lower case only by way of their upper case.
pub(crate) fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::edit::{Change, Edit};
    use crate::setup::record::Done;
    use std::path::Path;

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

    fn value(text: &str) -> Value {
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str(text).unwrap()
    }

    fn member(keys: &[&str], text: &str) -> Member {
        Member {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            text: text.to_owned(),
        }
    }

    fn applied(text: &str, member: &Member) -> String {
        let bytes = member.apply(Some(text.as_bytes())).unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn three() -> [Member; 3] {
        [
            member(&["credHelpers", "ghcr.io"], "hallpass"),
            member(&["credHelpers", "gcr.io"], "hallpass"),
            member(&["credsStore"], "hallpass"),
        ]
    }

    #[test]
    fn a_new_member_gets_the_indentation_and_line_breaks_of_the_file() {
        for (before, after) in [
            (
                "{\"auths\": {\"q\": {}}}",
                "{\n  \"auths\": {\"q\": {}},\n  \"credHelpers\": {\n    \"a\": \"b\"\n  }\n}",
            ),
            (
                "{\n    \"x\": {\"y\": 1}\n}",
                "{\n    \"x\": {\"y\": 1},\n    \"credHelpers\": {\n        \"a\": \"b\"\n    }\n}",
            ),
            (
                "{\r\n\t\"credHelpers\": {}\r\n}",
                "{\r\n\t\"credHelpers\": {\r\n\t\t\"a\": \"b\"\r\n\t}\r\n}",
            ),
            (
                "{\n\t\"credHelpers\": {\"x\": \"y\"}\n}",
                "{\n\t\"credHelpers\": {\n\t\t\"x\": \"y\",\n\t\t\"a\": \"b\"\n\t}\n}",
            ),
            (
                "{}\n",
                "{\n  \"credHelpers\": {\n    \"a\": \"b\"\n  }\n}\n",
            ),
        ] {
            let after = after.to_owned();
            assert_eq!(applied(before, &member(&["credHelpers", "a"], "b")), after);
        }
        let new = member(&["credsStore"], "x").apply(None).unwrap();
        assert_eq!(new.unwrap(), b"{\n  \"credsStore\": \"x\"\n}\n");
    }

    #[test]
    fn a_member_of_the_file_is_found_in_any_case() {
        let store = member(&["credsStore"], "hallpass");
        let helper = member(&["credHelpers", "a"], "hallpass");
        for (member, before, after) in [
            (
                &store,
                r#"{"CREDSSTORE": "x"}"#,
                r#"{"CREDSSTORE": "hallpass"}"#,
            ),
            (
                &store,
                r#"{"credsStore": "x", "CredsStore": "y"}"#,
                r#"{"credsStore": "x", "CredsStore": "hallpass"}"#,
            ),
            (
                &store,
                r#"{"cred\u017fStore": "x"}"#,
                r#"{"cred\u017fStore": "hallpass"}"#,
            ),
            (
                &helper,
                r#"{"credHelpers": {"a": "x"}, "credHelpers": {"a": "y"}}"#,
                r#"{"credHelpers": {"a": "x"}, "credHelpers": {"a": "hallpass"}}"#,
            ),
            (
                &helper,
                "{\n  \"CredHelpers\": {\n    \"A\": \"x\"\n  }\n}",
                "{\n  \"CredHelpers\": {\n    \"A\": \"x\",\n    \"a\": \"hallpass\"\n  }\n}",
            ),
        ] {
            let replaced = member.replaced(Some(before.as_bytes()));
            assert_eq!(applied(before, member), after);
            assert!(member.is_in_place(Some(after.as_bytes())), "{after}");
            let undone = member.remove(Some(after.as_bytes()), replaced.as_ref());
            assert_eq!(undone.unwrap().unwrap(), before.as_bytes());
        }
        // Another program may have written the file with the usual names since.
        let rewritten = br#"{"credsStore": "hallpass"}"#;
        assert!(store.is_in_place(Some(rewritten)));
    }

    #[test]
    fn an_object_or_an_array_is_never_replaced() {
        for text in [
            "{\"credHelpers\": [\"canary\"]}",
            "{\"credHelpers\": {\"ghcr.io\": {\"auth\": \"canary\"}}}",
            "{\"credHelpers\": \"canary\"}",
        ] {
            let one = member(&["credHelpers", "ghcr.io"], "hallpass");
            let why = one.apply(Some(text.as_bytes())).unwrap_err();
            assert!(!why.to_string().contains("canary"), "{why}");
        }
    }

    #[test]
    fn setting_members_changes_no_other_member() {
        for text in TEXTS {
            let mut expected = value(text);
            expected["credHelpers"]["ghcr.io"] = "hallpass".into();
            expected["credHelpers"]["gcr.io"] = "hallpass".into();
            expected["credsStore"] = "hallpass".into();
            let mut now = (*text).to_owned();
            for member in three() {
                let before = now;
                now = applied(&before, &member);
                // What is recorded for the undo contains no password.
                let edit = Edit::new(Path::new("file"), Change::Member(member.clone()));
                let done = Done::new(edit, Some(before.as_bytes()), Some(now.as_bytes()));
                let done = serde_json::to_string(&done).unwrap();
                let canary = serde_json::to_string(b"canary").unwrap();
                assert!(!done.contains(canary.trim_matches(['[', ']'])), "{before}");
                assert!(member.is_in_place(Some(now.as_bytes())));
                assert_eq!(applied(&now, &member), now);
            }
            assert_eq!(value(&now), expected, "{text}");
        }
    }

    #[test]
    fn members_can_be_removed_in_any_order_and_get_their_old_values_back() {
        for text in TEXTS {
            let before = value(text);
            let mut now = (*text).to_owned();
            let mut replaced = Vec::new();
            for member in three() {
                replaced.push(member.replaced(Some(now.as_bytes())));
                now = applied(&now, &member);
            }
            for (member, replaced) in three().iter().zip(&replaced) {
                let bytes = member.remove(Some(now.as_bytes()), replaced.as_ref());
                now = String::from_utf8(bytes.unwrap().unwrap()).unwrap();
                assert!(!member.is_ours(Some(now.as_bytes())));
            }
            let mut after = value(&now);
            // Removing a member may also remove the empty object or null that it replaced.
            for key in ["credHelpers", "credsStore"] {
                if let Some(nothing) = before.get(key)
                    && (nothing.is_null() || nothing == &serde_json::json!({}))
                {
                    after[key] = nothing.clone();
                }
            }
            assert_eq!(after, before, "{text:?}");
            let is_void = member(&["credsStore"], "").is_void(now.as_bytes());
            assert_eq!(is_void, value(&now) == serde_json::json!({}));
        }
    }

    #[test]
    fn values_that_rust_has_no_type_for_stay_as_they_are() {
        let nested = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let store = member(&["credsStore"], "hallpass");
        for text in [
            r#"{"x":1e400}"#,
            r#"{"x":-1E+999}"#,
            r#"{"x":123456789012345678901234567890}"#,
            r#"{"x":"\u00e9"}"#,
            &nested(300),
        ] {
            let after = applied(text, &store);
            let value = text.trim_matches(['{', '}']);
            assert!(after.contains(value), "{after}");
            let done = Done::new(
                Edit::new(Path::new("file"), Change::Member(store.clone())),
                Some(text.as_bytes()),
                Some(after.as_bytes()),
            );
            let undone = done.removed(Some(after.as_bytes())).unwrap().unwrap();
            assert!(String::from_utf8(undone).unwrap().contains(value));
        }
        let why = store.apply(Some(nested(100_000).as_bytes())).unwrap_err();
        assert!(why.to_string().contains("nested too deeply"), "{why}");
    }

    #[test]
    fn a_file_that_is_not_a_json_object_is_refused() {
        for text in ["[]", "{", "7", "{} x", "{\"a\": 1,}", "// x\n{}"] {
            let one = member(&["credsStore"], "hallpass");
            let why = one.apply(Some(text.as_bytes())).unwrap_err().to_string();
            assert!(why.contains("is not a JSON object: "), "{text}: {why}");
            assert!(why.contains(" at line 1, column "), "{text}: {why}");
        }
    }
}
