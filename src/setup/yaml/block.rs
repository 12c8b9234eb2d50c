//! Writes a value as a YAML block, laid out as kubectl does it.

use std::fmt::Write as _;

use serde_json::Value;

/// The lines of a value, to show to a person.
pub(crate) fn lines(value: &Value) -> Vec<String> {
    block(value, 0).lines().map(str::to_owned).collect()
}

/// Writes a value as a block. Its first line already starts at this column.
pub(super) fn block(value: &Value, indent: usize) -> String {
    let line_break = format!("\n{}", " ".repeat(indent));
    match value {
        Value::Object(members) if !members.is_empty() => {
            let lines: Vec<_> = members.iter().map(|(k, v)| member(k, v, indent)).collect();
            lines.join(&line_break)
        }
        Value::Array(items) if !items.is_empty() => {
            let lines: Vec<_> = items.iter().map(|item| listed(item, indent)).collect();
            lines.join(&line_break)
        }
        Value::String(text) => scalar(text),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            value.to_string()
        }
    }
}

pub(super) fn member(key: &str, value: &Value, indent: usize) -> String {
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

pub(super) fn listed(item: &Value, indent: usize) -> String {
    format!("- {}", block(item, indent + 2))
}

/// Writes a text as a plain scalar if every YAML parser reads it as a text, else in JSON's quotes.
pub(super) fn scalar(text: &str) -> String {
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
