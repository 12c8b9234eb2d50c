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
    let mut events = Events::of(text)?;
    let mut root = None;
    while let Some((event, span)) = events.rest.next() {
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
    /// The byte offset of each character, because the parser counts characters.
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

    fn byte(&self, character: usize) -> usize {
        let last = self.text.len();
        self.bytes.get(character).copied().unwrap_or(last)
    }

    /// Reads the node that starts with this event.
    fn node(&mut self, event: Event<'t>, span: Span) -> Node {
        let start = self.byte(span.start.index());
        let flow = self.text[start..].starts_with(['{', '[']);
        let is_mapping = matches!(event, Event::MappingStart(..));
        match event {
            Event::Scalar(value, style, ..) => Node {
                start,
                end: self.end_of_scalar(start, self.byte(span.end.index()), style),
                kind: Kind::Scalar(value.into_owned(), style == ScalarStyle::Plain),
                flow: false,
            },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let mut children = Vec::new();
                let mut end = self.byte(span.end.index());
                while let Some((event, span)) = self.rest.next() {
                    if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                        end = self.end_of(flow, span, children.last()).unwrap_or(end);
                        break;
                    }
                    children.push(self.node(event, span));
                }
                let kind = if is_mapping {
                    Kind::Mapping(pairs_of(children))
                } else {
                    Kind::Sequence(children)
                };
                Node {
                    start,
                    end,
                    kind,
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

    /// Returns the end of a collection. A block ends with its last child: the parser reports the start
    /// of the next node instead.
    fn end_of(&self, flow: bool, end: Span, last: Option<&Node>) -> Option<usize> {
        if flow {
            Some(self.byte(end.end.index()))
        } else {
            last.map(|last| last.end)
        }
    }

    /// Returns the end of a scalar. The parser reports the end of the line for a quoted one.
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

/// Keys and values in turn.
fn pairs_of(children: Vec<Node>) -> Vec<(Node, Node)> {
    let mut children = children.into_iter();
    let pairs = std::iter::from_fn(|| Some((children.next()?, children.next()?)));
    pairs.collect()
}

/// Returns the length of a quoted scalar, including its quotes.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    // A tag or an anchor may precede it.
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
    /// The value of a key, if this is a mapping.
    pub(crate) fn value(&self, key: &str) -> Option<&Self> {
        self.pair(key).map(|(_, value)| value)
    }

    pub(super) fn pair(&self, key: &str) -> Option<(&Self, &Self)> {
        let Kind::Mapping(pairs) = &self.kind else {
            return None;
        };
        let mut pairs = pairs.iter().map(|(key, value)| (key, value));
        pairs.find(|(found, _)| found.text() == Some(key))
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
