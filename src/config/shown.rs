//! Paths and names in messages, without terminal control sequences.

use std::path::Path;

/// A path for messages, without abbreviating the home.
pub(crate) fn shown(path: &Path) -> String {
    shown_at_home(path, None)
}

/// A path for messages: `~` for the home, and without terminal control sequences.
pub(crate) fn shown_at_home(path: &Path, home: Option<&Path>) -> String {
    let beneath = home
        .and_then(|home| path.strip_prefix(home).ok())
        .filter(|rest| !rest.as_os_str().is_empty());
    let text = match beneath {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    };
    if text.contains(unprintable) {
        text.escape_debug().to_string()
    } else {
        text
    }
}

/// Control characters, and marks that reorder the text next to them.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name from an untrusted source, shortened and without terminal control sequences.
pub(crate) fn shown_name(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut short: String = name.chars().take(LONGEST).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    if short.contains(unprintable) {
        short = short.escape_debug().to_string();
    }
    short
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_shown_path_has_no_terminal_control_sequences() {
        let home = Some(Path::new("/home/me"));
        for (path, expected) in [
            ("/home/me/.config/a.toml", "~/.config/a.toml"),
            ("/home/meg/a.toml", "/home/meg/a.toml"),
            ("/etc/a.toml", "/etc/a.toml"),
            ("/etc/\u{1b}[2J.toml", "/etc/\\u{1b}[2J.toml"),
        ] {
            assert_eq!(shown_at_home(Path::new(path), home), expected);
        }
    }
}
