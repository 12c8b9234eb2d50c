//! Changes of one node. Every other byte of the file stays the same.

use serde_json::Value;

use super::block::{block, listed, member};
use super::node::{Kind, Node, Unfit, parse};

/// New text for a range of the file.
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

/// Gives a mapping's key this value. The key is added if the mapping lacks it.
pub(crate) fn replaced(
    text: &str,
    mapping: &Node,
    key: &str,
    value: &Value,
) -> Result<Replacement, Unfit> {
    let Some((key, node)) = mapping.pair(key) else {
        return added(text, mapping, key, value);
    };
    if node.kind == Kind::Alias {
        return Err(Unfit::Alias);
    }
    // An anchor or a tag is on the key's line, so a block can't start there.
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

fn added(text: &str, mapping: &Node, key: &str, value: &Value) -> Result<Replacement, Unfit> {
    let Kind::Mapping(pairs) = &mapping.kind else {
        return Err(Unfit::NotAMapping);
    };
    if mapping.flow {
        let new = format!("{}: {value}", Value::from(key));
        return Ok(added_in_flow(text, mapping, &new));
    }
    let (first, _) = pairs.first().ok_or(Unfit::NotAMapping)?;
    let indent = column(text, first.start);
    Ok(added_line(
        text,
        mapping,
        indent,
        &member(key, value, indent),
    ))
}

/// Appends an item to a top-level list, which is created if it doesn't exist.
pub(crate) fn appended(text: &str, list: &str, item: &Value) -> Result<Replacement, Unfit> {
    let Some(root) = parse(text)? else {
        let new = new_list(text, list, item);
        return Ok(edit(text, text.len(), text.len(), new));
    };
    let Kind::Mapping(_) = &root.kind else {
        return Err(Unfit::NotAMapping);
    };
    let Some((key, node)) = root.pair(list) else {
        if root.flow {
            let new = format!("{}: [{item}]", Value::from(list));
            return Ok(added_in_flow(text, &root, &new));
        }
        // The last line of a document may be a comment, or `...`.
        let at = line_end(text, root.end);
        return Ok(edit(text, at, at, new_list(&text[..at], list, item)));
    };
    match &node.kind {
        Kind::Alias => Err(Unfit::Alias),
        Kind::Sequence(_) if node.flow => Ok(added_in_flow(text, node, &item.to_string())),
        Kind::Sequence(items) => {
            let first = items.first().ok_or(Unfit::NotAList(list.to_owned()))?;
            let indent = column(text, dash(text, first));
            Ok(added_line(text, node, indent, &listed(item, indent)))
        }
        Kind::Scalar(..) if node.is_null() => {
            let indent = column(text, key.start);
            let new = if root.flow {
                format!(" [{item}]")
            } else {
                format!("\n{}{}", " ".repeat(indent), listed(item, indent))
            };
            Ok(edit(text, behind_colon(text, key), node.end, new))
        }
        Kind::Scalar(..) | Kind::Mapping(_) => Err(Unfit::NotAList(list.to_owned())),
    }
}

/// Adds an element at the end of a collection in flow style.
fn added_in_flow(text: &str, collection: &Node, new: &str) -> Replacement {
    let is_empty = match &collection.kind {
        Kind::Sequence(items) => items.is_empty(),
        Kind::Mapping(pairs) => pairs.is_empty(),
        Kind::Scalar(..) | Kind::Alias => true,
    };
    let comma = if is_empty { "" } else { ", " };
    let at = collection.end - 1;
    edit(text, at, at, format!("{comma}{new}"))
}

/// Adds lines after the last one of a node.
fn added_line(text: &str, node: &Node, indent: usize, new: &str) -> Replacement {
    let at = line_end(text, node.end);
    edit(text, at, at, format!("\n{}{new}", " ".repeat(indent)))
}

/// Removes an item from a list.
pub(crate) fn removed(text: &str, list: &Node, index: usize) -> Option<Replacement> {
    let items = list.items();
    let item = items.get(index)?;
    if let [_] = items {
        return Some(if list.flow {
            edit(text, list.start + 1, list.end - 1, String::new())
        } else {
            // Flow style must be indented.
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
    let break_ = text[item.end..].find('\n');
    let to = break_.map_or(text.len(), |at| item.end + at + 1);
    Some(edit(text, from, to, String::new()))
}

/// New text with the line breaks that the file has.
fn edit(text: &str, from: usize, to: usize, new: String) -> Replacement {
    let first_line = text.split_inclusive('\n').next();
    let new = if first_line.is_some_and(|line| line.ends_with("\r\n")) {
        new.replace('\n', "\r\n")
    } else {
        new
    };
    Replacement {
        at: from,
        old: text.get(from..to).unwrap_or_default().to_owned(),
        new,
    }
}

fn new_list(before: &str, list: &str, item: &Value) -> String {
    let starts_line = before.is_empty() || before.ends_with('\n');
    let break_before = if starts_line { "" } else { "\n" };
    let break_after = if before.is_empty() { "\n" } else { "" };
    format!("{break_before}{list}:\n{}{break_after}", listed(item, 0))
}

/// The position after the colon that follows a key.
fn behind_colon(text: &str, key: &Node) -> usize {
    let colon = text[key.end..].find(':');
    colon.map_or(key.end, |at| key.end + at + 1)
}

/// The position of the dash before an item of a block sequence.
fn dash(text: &str, item: &Node) -> usize {
    text[..item.start].rfind('-').unwrap_or(item.start)
}

fn column(text: &str, at: usize) -> usize {
    let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
    text[line..at].chars().count()
}

/// The end of the line at this position: after its comment, before its line break.
fn line_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let end = rest.find('\n').map_or(text.len(), |break_| at + break_);
    if text[..end].ends_with('\r') {
        end - 1
    } else {
        end
    }
}
