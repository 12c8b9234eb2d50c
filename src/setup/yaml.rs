//! Changes one place of a YAML file and leaves every other byte: comments, order and layout are
//! the user's.
//!
//! What is written is laid out as kubectl lays it out, so that the place is still known after
//! kubectl has written the file anew. Whether a file that was edited says what it should is for
//! the caller to check, with the program that reads it.
//!
//! Specification: <https://yaml.org/spec/1.2.2/>

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Value};

/// Why a file is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// The parser's own words quote nothing of the file.
    #[error("it is not YAML: {what}, line {line}")]
    NotYaml { what: String, line: usize },
    #[error("it holds more than one YAML document")]
    SeveralDocuments,
    #[error("its top level is not a mapping")]
    NotAMapping,
    #[error("`{0}` in it is not a list")]
    NotAList(String),
    #[error("it uses YAML aliases where it would be changed")]
    Alias,
}

/// A node and the bytes that it takes: from its first one to behind its last one, without the
/// comment that may follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    start: usize,
    end: usize,
    kind: Kind,
    /// Between brackets: JSON's syntax, which is YAML too.
    flow: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Its text, and whether it is plain: then it may be a number, a truth value or nothing.
    Scalar(String, bool),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
    Alias,
}

/// These bytes, in the place of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    at: usize,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Replacement {
    pub(crate) fn applied(&self, text: &str) -> String {
        let mut edited = text.to_owned();
        edited.replace_range(self.at..self.at + self.old.len(), &self.new);
        edited
    }
}

// --- reading ---

/// The one document of a file; an empty file has none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, Unfit> {
    let mut events = Events::of(text)?;
    let mut root = None;
    while let Some((event, span)) = events.next() {
        match event {
            Event::DocumentStart(_) if root.is_some() => return Err(Unfit::SeveralDocuments),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Nothing => (),
            node @ (Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd) => root = Some(events.node(node, span)),
        }
    }
    Ok(root)
}

struct Events<'t> {
    text: &'t str,
    /// Where each character begins: the parser counts characters.
    bytes: Vec<usize>,
    rest: std::vec::IntoIter<(Event<'t>, Span)>,
}

impl<'t> Events<'t> {
    fn of(text: &'t str) -> Result<Self, Unfit> {
        let events: Result<Vec<_>, ScanError> = Parser::new_from_str(text).collect();
        let events = events.map_err(|error| Unfit::NotYaml {
            what: error.info().to_owned(),
            line: error.marker().line(),
        })?;
        let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        bytes.push(text.len());
        Ok(Self {
            text,
            bytes,
            rest: events.into_iter(),
        })
    }

    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.rest.next()
    }

    fn byte(&self, character: usize) -> usize {
        let last = self.text.len();
        self.bytes.get(character).copied().unwrap_or(last)
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'t>, span: Span) -> Node {
        let start = self.byte(span.start.index());
        let flow = self.text[start..].starts_with(['{', '[']);
        match event {
            Event::Scalar(value, style, ..) => Node {
                start,
                end: self.end_of_scalar(start, self.byte(span.end.index()), style),
                kind: Kind::Scalar(value.into_owned(), style == ScalarStyle::Plain),
                flow: false,
            },
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                let mut end = self.byte(span.end.index());
                while let Some((event, span)) = self.next() {
                    if event == Event::SequenceEnd {
                        end = self.end_of(flow, span, items.last()).unwrap_or(end);
                        break;
                    }
                    items.push(self.node(event, span));
                }
                Node {
                    start,
                    end,
                    kind: Kind::Sequence(items),
                    flow,
                }
            }
            Event::MappingStart(..) => {
                let mut pairs: Vec<(Node, Node)> = Vec::new();
                let mut end = self.byte(span.end.index());
                while let Some((event, span)) = self.next() {
                    if event == Event::MappingEnd {
                        let last = pairs.last().map(|(_, value)| value);
                        end = self.end_of(flow, span, last).unwrap_or(end);
                        break;
                    }
                    let key = self.node(event, span);
                    let Some((event, span)) = self.next() else {
                        break;
                    };
                    pairs.push((key, self.node(event, span)));
                }
                Node {
                    start,
                    end,
                    kind: Kind::Mapping(pairs),
                    flow,
                }
            }
            Event::Alias(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Node {
                start,
                end: self.byte(span.end.index()),
                kind: Kind::Alias,
                flow: false,
            },
        }
    }

    /// A block ends where its last child does: the parser's own end is where the next one begins.
    fn end_of(&self, flow: bool, end: Span, last: Option<&Node>) -> Option<usize> {
        if flow {
            Some(self.byte(end.end.index()))
        } else {
            last.map(|last| last.end)
        }
    }

    /// The parser counts what follows a quoted scalar to it, up to the end of the line.
    fn end_of_scalar(&self, start: usize, end: usize, style: ScalarStyle) -> usize {
        let text = &self.text[start..end];
        let length = match style {
            ScalarStyle::SingleQuoted => end_of_quoted(text, '\''),
            ScalarStyle::DoubleQuoted => end_of_quoted(text, '"'),
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => {
                Some(text.trim_end().len())
            }
        };
        start + length.unwrap_or(text.len())
    }
}

/// How long a quoted scalar is, with its quotes.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    // A tag or an anchor may stand before it.
    let opens = text.find(quote)?;
    let mut characters = text
        .char_indices()
        .skip_while(|(at, _)| *at <= opens)
        .peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote == '"' {
            characters.next();
        } else if character == quote {
            let is_doubled = quote == '\'' && characters.peek().is_some_and(|(_, c)| *c == quote);
            if !is_doubled {
                return Some(at + quote.len_utf8());
            }
            characters.next();
        }
    }
    None
}

impl Node {
    /// The value of a mapping's key.
    pub(crate) fn value(&self, key: &str) -> Option<&Self> {
        self.pair(key).map(|(_, value)| value)
    }

    fn pair(&self, key: &str) -> Option<(&Self, &Self)> {
        let Kind::Mapping(pairs) = &self.kind else {
            return None;
        };
        let mut pairs = pairs.iter().map(|(key, value)| (key, value));
        pairs.find(|(found, _)| found.text() == Some(key))
    }

    /// The items of a sequence; none where it is something else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence(items) => items,
            Kind::Scalar(..) | Kind::Mapping(_) | Kind::Alias => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text, _) => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) | Kind::Alias => None,
        }
    }

    /// The value that it stands for; `None` if it has an alias in it.
    pub(crate) fn to_value(&self) -> Option<Value> {
        Some(match &self.kind {
            Kind::Scalar(_, true) if self.is_null() => Value::Null,
            Kind::Scalar(text, true) => plain_value(text),
            Kind::Scalar(text, false) => Value::from(&**text),
            Kind::Sequence(items) => {
                let items: Option<Vec<_>> = items.iter().map(Self::to_value).collect();
                Value::Array(items?)
            }
            Kind::Mapping(pairs) => {
                let pairs = pairs.iter();
                let pairs =
                    pairs.map(|(key, value)| Some((key.text()?.to_owned(), value.to_value()?)));
                Value::Object(pairs.collect::<Option<_>>()?)
            }
            Kind::Alias => return None,
        })
    }

    fn is_null(&self) -> bool {
        matches!(self.text(), Some("" | "~" | "null" | "Null" | "NULL"))
    }
}

/// What a plain scalar is in YAML 1.2's core schema, and JSON.
fn plain_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(_) | Err(_) => Value::from(text),
    }
}

// --- changing ---

/// Puts another value in the place of the one that a mapping has under this key.
pub(crate) fn replaced(
    text: &str,
    mapping: &Node,
    key: &str,
    value: &Value,
) -> Result<Replacement, Unfit> {
    let (key, node) = mapping.pair(key).ok_or(Unfit::NotAMapping)?;
    if node.kind == Kind::Alias {
        return Err(Unfit::Alias);
    }
    // One that has an anchor or a tag begins with it, beside the key.
    let is_bare = !text[node.start..].starts_with(['&', '!']);
    let is_collection = matches!(node.kind, Kind::Mapping(_) | Kind::Sequence(_));
    let is_block = is_collection && is_bare && !node.flow;
    if is_block {
        let new = block(value, column(text, node.start));
        return Ok(edit(text, node.start, node.end, new));
    }
    if node.is_null() {
        let new = format!(" {value}");
        return Ok(edit(text, behind_colon(text, key), node.end, new));
    }
    Ok(edit(text, node.start, node.end, value.to_string()))
}

/// Puts `old` back as a mapping's value; `None` where something else than `new` stands there.
pub(crate) fn put_back(
    text: &str,
    mapping: &Node,
    key: &str,
    old: &str,
    new: &str,
) -> Option<String> {
    let (_, node) = mapping.pair(key)?;
    let parted = new.len() - new.trim_start().len();
    let from = node.start.checked_sub(parted)?;
    let stands = text.get(from..node.end)? == new;
    stands.then(|| edit(text, from, node.end, old.to_owned()).applied(text))
}

/// Adds an item to the list that the top level has under this key, and the list where there is
/// none.
pub(crate) fn appended(text: &str, list: &str, item: &Value) -> Result<Replacement, Unfit> {
    let Some(root) = parse(text)? else {
        return Ok(edit(
            text,
            text.len(),
            text.len(),
            new_list(text, list, item),
        ));
    };
    let Kind::Mapping(pairs) = &root.kind else {
        return Err(Unfit::NotAMapping);
    };
    let Some((key, node)) = root.pair(list) else {
        if root.flow {
            let comma = if pairs.is_empty() { "" } else { ", " };
            let at = root.end - 1;
            return Ok(edit(
                text,
                at,
                at,
                format!("{comma}{}: [{item}]", Value::from(list)),
            ));
        }
        // The last line of a document may be a comment, or `...`.
        let at = line_end(text, root.end);
        return Ok(edit(text, at, at, new_list(&text[..at], list, item)));
    };
    match &node.kind {
        Kind::Alias => Err(Unfit::Alias),
        Kind::Sequence(items) if node.flow => {
            let comma = if items.is_empty() { "" } else { ", " };
            let at = node.end - 1;
            Ok(edit(text, at, at, format!("{comma}{item}")))
        }
        Kind::Sequence(items) => {
            let first = items.first().ok_or(Unfit::NotAList(list.to_owned()))?;
            let indent = column(text, dash(text, first));
            let at = line_end(text, node.end);
            let new = format!("\n{}{}", " ".repeat(indent), listed(item, indent));
            Ok(edit(text, at, at, new))
        }
        Kind::Scalar(..) if node.is_null() && root.flow => Ok(edit(
            text,
            behind_colon(text, key),
            node.end,
            format!(" [{item}]"),
        )),
        Kind::Scalar(..) if node.is_null() => {
            let indent = column(text, key.start);
            let new = format!("\n{}{}", " ".repeat(indent), listed(item, indent));
            Ok(edit(text, behind_colon(text, key), node.end, new))
        }
        Kind::Scalar(..) | Kind::Mapping(_) => Err(Unfit::NotAList(list.to_owned())),
    }
}

/// Takes an item out of a list.
pub(crate) fn removed(text: &str, list: &Node, index: usize) -> Option<Replacement> {
    let items = list.items();
    let item = items.get(index)?;
    if let [_] = items {
        return Some(if list.flow {
            edit(text, list.start + 1, list.end - 1, String::new())
        } else {
            // Indented, as what is between brackets has to be.
            edit(text, dash(text, item), item.end, " []".to_owned())
        });
    }
    if list.flow {
        let (from, to) = match items.get(index + 1) {
            Some(next) => (item.start, next.start),
            None => (items.get(index - 1)?.end, item.end),
        };
        return Some(edit(text, from, to, String::new()));
    }
    let from = text[..dash(text, item)].rfind('\n').map_or(0, |at| at + 1);
    let to = (line_end(text, item.end) + 1).min(text.len());
    Some(edit(text, from, to, String::new()))
}

fn edit(text: &str, from: usize, to: usize, new: String) -> Replacement {
    Replacement {
        at: from,
        old: text.get(from..to).unwrap_or_default().to_owned(),
        new,
    }
}

fn new_list(before: &str, list: &str, item: &Value) -> String {
    let parted = before.is_empty() || before.ends_with('\n');
    let break_before = if parted { "" } else { "\n" };
    let break_after = if before.is_empty() { "\n" } else { "" };
    format!("{break_before}{list}:\n{}{break_after}", listed(item, 0))
}

/// Behind the colon that follows a key.
fn behind_colon(text: &str, key: &Node) -> usize {
    let colon = text[key.end..].find(':');
    colon.map_or(key.end, |at| key.end + at + 1)
}

/// The dash in front of a block sequence's item.
fn dash(text: &str, item: &Node) -> usize {
    text[..item.start].rfind('-').unwrap_or(item.start)
}

fn column(text: &str, at: usize) -> usize {
    let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
    text[line..at].chars().count()
}

/// The end of the line that ends here, with the comment on it and without its line break.
fn line_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let end = rest.find('\n').map_or(text.len(), |break_| at + break_);
    if text[..end].ends_with('\r') {
        end - 1
    } else {
        end
    }
}

// --- writing ---

/// A value as lines that a person reads.
pub(crate) fn lines(value: &Value) -> Vec<String> {
    block(value, 0).lines().map(str::to_owned).collect()
}

/// A value as a block whose first line stands at this column already.
fn block(value: &Value, indent: usize) -> String {
    let parted = format!("\n{}", " ".repeat(indent));
    match value {
        Value::Object(members) if !members.is_empty() => {
            let lines: Vec<_> = members.iter().map(|(k, v)| member(k, v, indent)).collect();
            lines.join(&parted)
        }
        Value::Array(items) if !items.is_empty() => {
            let lines: Vec<_> = items.iter().map(|item| listed(item, indent)).collect();
            lines.join(&parted)
        }
        Value::String(text) => scalar(text),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            value.to_string()
        }
    }
}

fn member(key: &str, value: &Value, indent: usize) -> String {
    let mut line = format!("{}:", scalar(key));
    let (deeper, is_nested) = match value {
        Value::Object(members) => (indent + 2, !members.is_empty()),
        Value::Array(items) => (indent, !items.is_empty()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (indent, false),
    };
    let separator = if is_nested {
        format!("\n{}", " ".repeat(deeper))
    } else {
        " ".to_owned()
    };
    let _ = write!(line, "{separator}{}", block(value, deeper));
    line
}

fn listed(item: &Value, indent: usize) -> String {
    format!("- {}", block(item, indent + 2))
}

/// Plain where nothing could take it for something else, else as JSON has it.
fn scalar(text: &str) -> String {
    let begins_plainly = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c))
        || text.starts_with("--");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@+%:, ()".contains(c);
    let is_text = !text.parse::<f64>().is_ok_and(|_| true)
        && !text.starts_with("0x")
        && !text.starts_with("0o")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && ![
            "true", "false", "yes", "no", "on", "off", "y", "n", "null", ".inf", ".nan",
        ]
        .contains(&text.to_ascii_lowercase().as_str());
    let is_date = text.starts_with(|c: char| c.is_ascii_digit());
    if begins_plainly && text.chars().all(plain) && is_text && !is_date {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// A mapping with these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(k, v)| (k.to_owned(), v))
            .collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The user's value replaced in a file, and taken back out.
    #[track_caller]
    fn replace(text: &str, value: &Value) -> String {
        let root = parse(text).unwrap().unwrap();
        let item = &root.value("users").unwrap().items()[0];
        let edit = replaced(text, item, "user", value).unwrap();
        let edited = edit.applied(text);
        let root = parse(&edited).unwrap().unwrap();
        let item = &root.value("users").unwrap().items()[0];
        assert_eq!(
            put_back(&edited, item, "user", &edit.old, &edit.new).as_deref(),
            Some(text)
        );
        edited
    }

    #[test]
    fn a_value_is_replaced_and_every_other_byte_stays() {
        let value = json!({"exec": {"args": ["kubectl", "--provider", "a b"], "env": null}});
        for (before, after) in [
            (
                "# mine\nusers:\n- name: a # it\n  user:\n    token: x  # old\n\n# end\nz: 1\n",
                "# mine\nusers:\n- name: a # it\n  user:\n    exec:\n      args:\n      - kubectl\n      \
                 - --provider\n      - a b\n      env: null  # old\n\n# end\nz: 1\n",
            ),
            (
                "users:\n  - user:\n        token: \"x\" # '\"'\n        as: ä\n    name: ü\n",
                "users:\n  - user:\n        exec:\n          args:\n          - kubectl\n          \
                 - --provider\n          - a b\n          env: null\n    name: ü\n",
            ),
            (
                "users: [{name: a, user: {token: x}}]",
                "users: [{name: a, user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\"a b\"],\
                 \"env\":null}}}]",
            ),
            (
                "{\"users\":[{\"name\":\"a\",\"user\":{\"token\":\"x\"}}]}\n",
                "{\"users\":[{\"name\":\"a\",\"user\":{\"exec\":{\"args\":[\"kubectl\",\
                 \"--provider\",\"a b\"],\"env\":null}}}]}\n",
            ),
            (
                "users:\n- name: a\n  user: &x\n    token: y\n",
                "users:\n- name: a\n  user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\
                 \"a b\"],\"env\":null}}\n",
            ),
            (
                "users:\r\n- name: a\r\n  user:\r\n- name: b\r\n",
                "users:\r\n- name: a\r\n  user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\
                 \"a b\"],\"env\":null}}\r\n- name: b\r\n",
            ),
        ] {
            assert_eq!(replace(before, &value), after);
        }
    }

    #[test]
    fn an_item_is_appended_and_taken_out_again() {
        let item = json!({"command": "hallpass"});
        for (before, after) in [
            ("", "l:\n- command: hallpass\n"),
            ("a: 1\n# end\n", "a: 1\nl:\n- command: hallpass\n# end\n"),
            ("a: 1", "a: 1\nl:\n- command: hallpass"),
            ("l:\na: 1\n", "l:\n- command: hallpass\na: 1\n"),
            ("l: null # none\n", "l:\n- command: hallpass # none\n"),
            ("l: []\n", "l: [{\"command\":\"hallpass\"}]\n"),
            (
                "l:\n  - command: x # it\n  # more\na: 1\n",
                "l:\n  - command: x # it\n  - command: hallpass\n  # more\na: 1\n",
            ),
            (
                "l:\n- command: x\n",
                "l:\n- command: x\n- command: hallpass\n",
            ),
            (
                "l: [{command: x}]",
                "l: [{command: x}, {\"command\":\"hallpass\"}]",
            ),
            (
                "{\"a\": 1}\n",
                "{\"a\": 1, \"l\": [{\"command\":\"hallpass\"}]}\n",
            ),
            ("{}", "{\"l\": [{\"command\":\"hallpass\"}]}"),
        ] {
            let edit = appended(before, "l", &item).unwrap();
            let edited = edit.applied(before);
            assert_eq!(edited, after);
            let root = parse(&edited).unwrap().unwrap();
            let list = root.value("l").unwrap();
            let index = list.items().len() - 1;
            let command = list.items()[index].value("command").and_then(Node::text);
            assert_eq!(command, Some("hallpass"), "{edited}");
            let removed = removed(&edited, list, index).unwrap().applied(&edited);
            let root = parse(&removed).unwrap().unwrap();
            assert_eq!(root.value("l").unwrap().items().len(), index, "{removed}");
        }
    }

    #[test]
    fn a_list_keeps_its_other_items() {
        for (text, index, after) in [
            ("l:\n- a\n- b # it\n- c\n", 1, "l:\n- a\n- c\n"),
            ("l:\n- a\n- b\nm: 1\n", 1, "l:\n- a\nm: 1\n"),
            ("l: [a, b, c]", 0, "l: [b, c]"),
            ("l: [a, b]", 1, "l: [a]"),
            ("l:\n- a\n", 0, "l:\n []\n"),
        ] {
            let root = parse(text).unwrap().unwrap();
            let edit = removed(text, root.value("l").unwrap(), index).unwrap();
            assert_eq!(edit.applied(text), after);
            let root = parse(after).unwrap().unwrap();
            assert!(root.value("l").is_some());
        }
    }

    #[test]
    fn what_cannot_be_changed_safely_is_refused() {
        let item = json!("x");
        for (text, expected) in [
            ("a: 1\n---\nb: 2\n", Unfit::SeveralDocuments),
            ("- a\n", Unfit::NotAMapping),
            ("l: 1\n", Unfit::NotAList("l".to_owned())),
            ("l: {}\n", Unfit::NotAList("l".to_owned())),
            ("a: &x []\nl: *x\n", Unfit::Alias),
        ] {
            assert_eq!(appended(text, "l", &item), Err(expected), "{text}");
        }
        let error = parse("a: [\n").unwrap_err();
        assert!(matches!(error, Unfit::NotYaml { .. }));
    }

    #[test]
    fn text_is_plain_only_where_it_stays_text() {
        for (text, expected) in [
            ("hallpass", "hallpass"),
            ("/usr/local/bin/hallpass", "/usr/local/bin/hallpass"),
            ("--issuer-url", "--issuer-url"),
            (
                "https://login.corp.example/x",
                "https://login.corp.example/x",
            ),
            (
                "client.authentication.k8s.io/v1",
                "client.authentication.k8s.io/v1",
            ),
            ("", "\"\""),
            ("true", "\"true\""),
            ("No", "\"No\""),
            ("1e3", "\"1e3\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("- a", "\"- a\""),
            ("*a", "\"*a\""),
            ("C:\\x", "\"C:\\\\x\""),
            ("a\nb", "\"a\\nb\""),
            ("~", "\"~\""),
            ("a ", "\"a \""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
