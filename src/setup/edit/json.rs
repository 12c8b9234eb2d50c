//! A member of a JSON file: its text is set, and every other byte stays.

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::{Range, Ranged as _};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Bytes, Kind, Unfit, text};

/// Where there was nothing.
const NEW_FILE: &str = "{\n}\n";
/// What docker itself indents with.
const TAB: &str = "\t";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(super) keys: Vec<String>,
    pub(super) text: String,
}

impl Member {
    fn keys(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }

    fn found(&self, bytes: Bytes<'_>) -> Option<String> {
        let value = value(text(bytes).ok()?).ok()?;
        let mut at = &value;
        for key in &self.keys {
            at = at.get(key)?;
        }
        at.as_str().map(str::to_owned)
    }
}

impl Kind for Member {
    fn apply(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        if self.is_in_place(bytes) {
            return Ok(bytes.map(<[u8]>::to_vec));
        }
        let text = match text(bytes)? {
            text if text.trim().is_empty() => NEW_FILE,
            text => text,
        };
        put(text, &self.keys(), &self.text).map(|text| Some(text.into_bytes()))
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
            Some(before) => put(text, &self.keys(), before)?,
            None => without(text, &self.keys())?,
        };
        Ok(Some(without.into_bytes()))
    }

    fn is_void(&self, bytes: &[u8]) -> bool {
        let value = text(Some(bytes)).ok().and_then(|text| value(text).ok());
        value.is_some_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty))
    }

    fn place(&self) -> String {
        self.keys.join(".")
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        let line = |text| format!("{} = {text:?}", self.keys.join("."));
        self.found(bytes).map(line).into_iter().collect()
    }
}

fn value(text: &str) -> Result<Value, Unfit> {
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value = serde_json::from_str(text).ok();
    value.filter(Value::is_object).ok_or_else(not_json)
}

fn not_json() -> Unfit {
    Unfit("is not a JSON object".to_owned())
}

/// Sets a text in the object that is there.
fn put(text: &str, keys: &[&str], new: &str) -> Result<String, Unfit> {
    let place = with_root(text, |root| splice_of(root, text, keys, new))?;
    let (range, new) =
        place.ok_or_else(|| Unfit(format!("has something else at {}", keys.join("."))))?;
    let mut text = text.to_owned();
    text.replace_range(range.start..range.end, &new);
    value(&text)?;
    Ok(text)
}

/// Takes a member out, and the object around it that then is empty.
fn without(text: &str, keys: &[&str]) -> Result<String, Unfit> {
    let mut text = text.to_owned();
    for length in (1..=keys.len()).rev() {
        let keys = keys.get(..length).unwrap_or_default();
        let Some((range, is_alone)) = with_root(&text, |root| range_of(root, &text, keys))? else {
            break;
        };
        text.replace_range(range.start..range.end, "");
        if !is_alone {
            break;
        }
    }
    value(&text)?;
    Ok(text)
}

fn with_root<T>(text: &str, with: impl FnOnce(&Object<'_>) -> T) -> Result<T, Unfit> {
    // It parses more than JSON.
    value(text)?;
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let root = parsed.ok().and_then(|parsed| parsed.value);
    let root = root.as_ref().and_then(|root| root.as_object());
    root.map(with).ok_or_else(not_json)
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let after = after.to_owned();
            assert_eq!(applied(before, &member(&["credHelpers", "a"], "b")), after);
        }
        let new = member(&["credsStore"], "x").apply(None).unwrap();
        assert_eq!(new.unwrap(), b"{\n\t\"credsStore\": \"x\"\n}\n");
    }

    #[test]
    fn a_value_that_is_no_text_is_not_replaced() {
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
    fn a_member_is_set_and_everything_else_stays() {
        for text in TEXTS {
            let mut expected = value(text).unwrap();
            expected["credHelpers"]["ghcr.io"] = "hallpass".into();
            expected["credHelpers"]["gcr.io"] = "hallpass".into();
            expected["credsStore"] = "hallpass".into();
            let mut now = (*text).to_owned();
            for member in three() {
                now = applied(&now, &member);
                assert!(member.is_in_place(Some(now.as_bytes())));
                assert_eq!(applied(&now, &member), now);
            }
            assert_eq!(value(&now).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn members_are_removed_in_any_order_and_replaced_values_come_back() {
        for text in TEXTS {
            let before = value(text).unwrap();
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
            let mut after = value(&now).unwrap();
            // An empty object or null may be gone.
            for key in ["credHelpers", "credsStore"] {
                if let Some(nothing) = before.get(key)
                    && (nothing.is_null() || nothing == &serde_json::json!({}))
                {
                    after[key] = nothing.clone();
                }
            }
            assert_eq!(after, before, "{text:?}");
            let is_void = member(&["credsStore"], "").is_void(now.as_bytes());
            assert_eq!(is_void, value(&now).unwrap() == serde_json::json!({}));
        }
    }

    #[test]
    fn anything_but_a_json_object_is_unfit() {
        for text in ["[]", "{", "7", "{} x", "{\"a\": 1,}", "// x\n{}"] {
            let one = member(&["credsStore"], "hallpass");
            assert_eq!(one.apply(Some(text.as_bytes())), Err(not_json()), "{text}");
        }
    }
}
