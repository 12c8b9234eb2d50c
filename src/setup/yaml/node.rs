//! The nodes of a YAML document, and the bytes of the file that each one takes.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::Value;

/// Why a file can't be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// `what` is the parser's message, which quotes nothing from the file.
    #[error("it is not valid YAML: {what}, line {line}")]
    NotYaml { what: String, line: usize },
    #[error("it contains more than one YAML document")]
    SeveralDocuments,
    #[error("its top level is not a mapping")]
    NotAMapping,
    #[error("`{0}` in it is not a list")]
    NotAList(String),
    #[error("the part to change uses YAML aliases")]
    Alias,
}

/// A node and its byte range, which excludes a comment that follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// In flow style, between brackets or braces.
    pub(super) flow: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text, and whether it is unquoted and so may be a number, a boolean or null.
    Scalar(String, bool),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
    Alias,
}

/// Parses a file with at most one document. An empty file has none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, Unfit> {
    match parsed(text) {
        // YAML allows a tab there (YAML 1.2.2 section 6.2), and this parser does not. Positions stay
        // the same.
        Err(Unfit::NotYaml { .. }) if text.contains(":\t") => parsed(&text.replace(":\t", ": ")),
        result => result,
    }
}

fn parsed(text: &str) -> Result<Option<Node>, Unfit> {
    let events: Result<Vec<_>, ScanError> = Parser::new_from_str(text).collect();
    let mut events = events.map_err(|error| Unfit::NotYaml {
        what: error.info().to_owned(),
        line: error.marker().line(),
    })?;
    let documents = events.iter();
    let documents = documents.filter(|(event, _)| matches!(event, Event::DocumentStart(_)));
    if documents.count() > 1 {
        return Err(Unfit::SeveralDocuments);
    }
    events.retain(|(event, _)| is_of_node(event));
    let bytes = text.char_indices().map(|(at, _)| at);
    let mut nodes = Nodes {
        text,
        bytes: bytes.chain([text.len()]).collect(),
        events: events.into_iter(),
        closed_at: 0,
    };
    Ok(nodes.next())
}

fn is_of_node(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
    )
}

/// The nodes of a collection or document.
struct Nodes<'t> {
    text: &'t str,
    /// The byte offset of each character, because the parser counts characters.
    bytes: Vec<usize>,
    events: std::vec::IntoIter<(Event<'t>, Span)>,
    /// The end of the last collection, with its bracket.
    closed_at: usize,
}

impl Iterator for Nodes<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let (event, span) = self.events.next()?;
        let byte = |character: usize| self.bytes.get(character).copied();
        let start = byte(span.start.index())?;
        let end = byte(span.end.index())?;
        let flow = self.text[start..].starts_with(['{', '[']);
        let is_mapping = matches!(event, Event::MappingStart(..));
        let (end, kind) = match event {
            Event::Scalar(value, style, ..) => {
                let length = length_of_scalar(&self.text[start..end], style);
                let kind = Kind::Scalar(value.into_owned(), style == ScalarStyle::Plain);
                (start + length, kind)
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let children: Vec<Node> = self.by_ref().collect();
                // A block ends with its last child: the parser reports the start of the next node.
                let end = match children.last() {
                    Some(last) if !flow => last.end,
                    Some(_) | None => self.closed_at,
                };
                let kind = if is_mapping {
                    Kind::Mapping(pairs_of(children))
                } else {
                    Kind::Sequence(children)
                };
                (end, kind)
            }
            Event::Alias(_) => (end, Kind::Alias),
            Event::SequenceEnd
            | Event::MappingEnd
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {
                self.closed_at = end;
                return None;
            }
        };
        Some(Node {
            start,
            end,
            kind,
            flow,
        })
    }
}

/// The length of a scalar. The parser reports the end of the line for a quoted one.
fn length_of_scalar(text: &str, style: ScalarStyle) -> usize {
    let length = match style {
        ScalarStyle::SingleQuoted => length_of_quoted(text, '\''),
        ScalarStyle::DoubleQuoted => length_of_quoted(text, '"'),
        ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => None,
    };
    length.unwrap_or(text.trim_end().len())
}

/// The length of a quoted scalar. A tag or an anchor may precede it.
fn length_of_quoted(text: &str, quote: char) -> Option<usize> {
    let begin = text.find(quote)? + 1;
    let mut characters = text[begin..].chars().peekable();
    let mut length = begin;
    while let Some(character) = characters.next() {
        length += character.len_utf8();
        let is_escape = if quote == '"' {
            character == '\\'
        } else {
            character == quote && characters.peek() == Some(&quote)
        };
        if is_escape {
            length += characters.next().map_or(0, char::len_utf8);
        } else if character == quote {
            return Some(length);
        }
    }
    None
}

/// Keys and values in turn.
fn pairs_of(children: Vec<Node>) -> Vec<(Node, Node)> {
    let mut children = children.into_iter();
    let pairs = std::iter::from_fn(|| Some((children.next()?, children.next()?)));
    pairs.collect()
}

impl Node {
    /// Whether a mapping has a key more than once, which YAML forbids and some parsers accept
    /// (YAML 1.2.2 section 3.2.1.3).
    pub(crate) fn has_duplicate(&self, key: &str) -> bool {
        let Kind::Mapping(pairs) = &self.kind else {
            return false;
        };
        let is_key =
            |(one, _): &&(Self, Self)| matches!(&one.kind, Kind::Scalar(text, _) if text == key);
        pairs.iter().filter(is_key).count() > 1
    }

    /// The value of a key, if this is a mapping.
    pub(crate) fn value(&self, key: &str) -> Option<&Self> {
        self.pair(key).map(|(_, value)| value)
    }

    pub(super) fn pair(&self, key: &str) -> Option<(&Self, &Self)> {
        let mut pairs = self.pairs().iter().map(|(key, value)| (key, value));
        pairs.find(|(found, _)| found.text() == Some(key))
    }

    pub(super) fn pairs(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Mapping(pairs) => pairs,
            Kind::Scalar(..) | Kind::Sequence(_) | Kind::Alias => &[],
        }
    }

    /// The items, if this is a sequence.
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

    /// The node's value, or `None` if it contains an alias.
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

    pub(super) fn is_null(&self) -> bool {
        matches!(self.text(), Some("" | "~" | "null" | "Null" | "NULL"))
    }
}

/// The value of a plain scalar, as far as YAML 1.2's core schema and JSON agree.
fn plain_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(_) | Err(_) => Value::from(text),
    }
}
