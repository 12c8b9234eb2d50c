//! Quotes words for a shell, and names the commands that hints offer: those of a POSIX shell or, on
//! Windows, of the command prompt.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::printable;

/// A quoted path that may begin with `~/`, which a shell doesn't expand in quotes.
pub(crate) fn quoted_at_home(path: &str) -> String {
    if cfg!(windows) {
        return at_profile(path);
    }
    match path.strip_prefix("~/") {
        Some(rest) => format!("~/{}", quoted(rest)),
        None => quoted(path),
    }
}

/// The same for the command prompt, which doesn't know `~`.
fn at_profile(path: &str) -> String {
    match path.strip_prefix(r"~\") {
        Some(rest) => format!("\"%USERPROFILE%\\{}\"", printable(rest)),
        None => prompt_word(path),
    }
}

/// Quotes a word for a command that a user can paste into a shell.
pub(crate) fn quoted(word: &str) -> String {
    if cfg!(windows) {
        prompt_word(word)
    } else {
        posix_word(word)
    }
}

/// Quotes a word for the command prompt and the programs that it starts. No path or URL contains a
/// double quote there.
fn prompt_word(word: &str) -> String {
    let is_plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || r"-_./\:@+~".contains(c));
    if is_plain {
        word.to_owned()
    } else {
        format!("\"{}\"", printable(word))
    }
}

/// The command that shows who owns a file or folder and who may change it.
pub(crate) fn list_command(word: &str) -> String {
    let command = if cfg!(windows) { "icacls" } else { "ls -ld" };
    format!("{command} {word}")
}

/// The command that shows how full the disk of a folder is.
pub(crate) fn space_command(word: &str) -> String {
    let command = if cfg!(windows) { "dir" } else { "df" };
    format!("{command} {word}")
}

/// The command that gives a file another name.
pub(crate) fn move_away_command(at: &Path) -> String {
    let command = if cfg!(windows) { "move" } else { "mv" };
    let (from, mut to) = (at.to_string_lossy(), at.to_path_buf().into_os_string());
    to.push(".old");
    format!(
        "{command} {} {}",
        quoted(&from),
        quoted(&to.to_string_lossy())
    )
}

/// The command that deletes a file.
pub(crate) fn delete_command(at: &Path) -> String {
    let command = if cfg!(windows) { "del" } else { "rm" };
    format!("{command} {}", quoted(&at.to_string_lossy()))
}

/// The command that ends a process.
pub(crate) fn end_command(pid: u32) -> String {
    if cfg!(windows) {
        format!("taskkill /f /pid {pid}")
    } else {
        format!("kill {pid}")
    }
}

/// Characters that could end the line or control the terminal are escaped (`$'…'`: POSIX.1-2024; bash
/// and zsh support it too).
fn posix_word(word: &str) -> String {
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
            assert_eq!(posix_word(word), expected);
        }
    }

    #[test]
    fn a_hint_can_be_pasted_into_the_command_prompt() {
        for (word, expected) in [
            (r"C:\Users\a\config.toml", r"C:\Users\a\config.toml"),
            (r"C:\Users\a b\x", r#""C:\Users\a b\x""#),
            (r"~\.kube\my config", r#""%USERPROFILE%\.kube\my config""#),
            ("a&calc", "\"a&calc\""),
            ("", "\"\""),
        ] {
            assert_eq!(at_profile(word), expected);
        }
        assert_eq!(
            prompt_word("https://x.example/?a=b&c"),
            "\"https://x.example/?a=b&c\""
        );
    }
}
