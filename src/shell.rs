//! Quotes words for a shell.

use std::fmt::Write as _;

use crate::report::printable;

/// A quoted path that may begin with `~/`, which a shell doesn't expand in quotes.
pub(crate) fn quoted_at_home(path: &str) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => format!("~/{}", quoted(rest)),
        None => quoted(path),
    }
}

/// Quotes a word for a command that a user can paste into a shell. Characters that could end the line
/// or control the terminal are escaped (`$'…'`: POSIX.1-2024; bash and zsh support it too).
pub(crate) fn quoted(word: &str) -> String {
    if printable(word) == word {
        return shell_word(word);
    }
    let mut text = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(text, "\\{:03o}", u32::from(c));
            }
            c if printable(c.encode_utf8(&mut [0; 4])).starts_with('\\') => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// Quotes a word for any POSIX shell.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c));
    if is_plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_can_be_pasted_into_a_shell() {
        for (word, expected) in [
            ("corp", "corp"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
            (r"a\b", r"'a\b'"),
            ("a\nhint: x'\\\u{1b}[2J", r"$'a\012hint: x\'\\\033[2J'"),
            ("\u{202e}\u{9b}\u{e9}", "$'\\u202e\\u009b\u{e9}'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
