//! Changes of one node. Every other byte of the file stays the same.

use serde_json::{Value, json};

use super::block::{block, listed, member};
use super::node::{Kind, Node, Unfit, parse};

/// Gives a mapping's key this value. The key is added if the mapping lacks it.
pub(crate) fn replaced(
    text: &str,
    mapping: &Node,
    key: &str,
    value: &Value,
) -> Result<String, Unfit> {
    let Some((key, node)) = mapping.pair(key) else {
        return added(text, mapping, key, value);
    };
    if node.kind == Kind::Alias {
        return Err(Unfit::Alias);
    }
    // An anchor or a tag is on the key's line, so a block can't start there.
    let is_bare = !text[node.start..].starts_with(['&', '!']);
    let is_collection = matches!(node.kind, Kind::Mapping(_) | Kind::Sequence(_));
    let (from, new) = if is_collection && is_bare && !node.flow {
        (node.start, block(value, column(text, node.start)))
    } else if node.is_null() {
        (behind_colon(text, key), format!(" {value}"))
    } else {
        (node.start, value.to_string())
    };
    Ok(edited(text, from, node.end, &new))
}

fn added(text: &str, mapping: &Node, key: &str, value: &Value) -> Result<String, Unfit> {
    let Kind::Mapping(pairs) = &mapping.kind else {
        return Err(Unfit::NotAMapping);
    };
    if mapping.flow {
        let new = format!("{}: {value}", Value::from(key));
        return Ok(added_in_flow(text, mapping, &new));
    }
    let (first, _) = pairs.first().ok_or(Unfit::NotAMapping)?;
    let indent = column(text, first.start);
    let new = member(key, value, indent);
    Ok(added_line(text, mapping, indent, &new))
}

/// Appends an item to a top-level list, which is created if it doesn't exist.
pub(crate) fn appended(text: &str, list: &str, item: &Value) -> Result<String, Unfit> {
    let one = json!([item]);
    let Some(root) = parse(text)? else {
        let line_break = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let new = format!("{line_break}{}\n", member(list, &one, 0));
        return Ok(edited(text, text.len(), text.len(), &new));
    };
    let Some((key, node)) = root.pair(list) else {
        return added(text, &root, list, &one);
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
                format!(" {one}")
            } else {
                format!("\n{}{}", " ".repeat(indent), listed(item, indent))
            };
            Ok(edited(text, behind_colon(text, key), node.end, &new))
        }
        Kind::Scalar(..) | Kind::Mapping(_) => Err(Unfit::NotAList(list.to_owned())),
    }
}

/// Adds an element at the end of a collection in flow style.
fn added_in_flow(text: &str, collection: &Node, new: &str) -> String {
    let is_empty = collection.items().is_empty() && collection.pairs().is_empty();
    let comma = if is_empty { "" } else { ", " };
    let at = collection.end - 1;
    edited(text, at, at, &format!("{comma}{new}"))
}

/// Adds lines after the last one of a node.
fn added_line(text: &str, node: &Node, indent: usize, new: &str) -> String {
    let rest = &text[node.end..];
    let end = rest.find('\n').map_or(text.len(), |at| node.end + at);
    let end = end - usize::from(text[..end].ends_with('\r'));
    edited(text, end, end, &format!("\n{}{new}", " ".repeat(indent)))
}

/// Removes an item from a list.
pub(crate) fn removed(text: &str, list: &Node, item: &Node) -> String {
    let items = list.items();
    let place = items.iter().position(|one| one == item);
    let neighbour = |at: Option<usize>| at.and_then(|at| items.get(at));
    let next = neighbour(place.map(|place| place + 1));
    let previous = neighbour(place.and_then(|place| place.checked_sub(1)));
    let (from, to) = match (previous, next) {
        (None, None) if list.flow => (list.start + 1, list.end - 1),
        // Flow style must be indented.
        (None, None) => return edited(text, dash(text, item), item.end, " []"),
        (_, Some(next)) if list.flow => (item.start, next.start),
        (Some(previous), None) if list.flow => (previous.end, item.end),
        _ => {
            let from = text[..dash(text, item)].rfind('\n').map_or(0, |at| at + 1);
            let line_break = text[item.end..].find('\n');
            (from, line_break.map_or(text.len(), |at| item.end + at + 1))
        }
    };
    edited(text, from, to, "")
}

/// The text with something new in a range, with the line breaks that the file has.
fn edited(text: &str, from: usize, to: usize, new: &str) -> String {
    // The parser reports an empty value before its colon.
    let to = to.max(from);
    let first_line = text.split_inclusive('\n').next();
    let is_crlf = first_line.is_some_and(|line| line.ends_with("\r\n"));
    let new = new.replace('\n', if is_crlf { "\r\n" } else { "\n" });
    [&text[..from], &new, &text[to..]].concat()
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
