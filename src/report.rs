//! Error reports for the user: what happened, why, and what to do next.

use std::fmt::Write as _;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

/// How the process ends; documented in the README and fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Answered = 0,
    Failed = 1,
    /// The command line or the configuration is at fault.
    Usage = 2,
    /// A sign-in is needed, but prompting is not possible.
    SignInNeeded = 3,
    /// The sign-in was declined or timed out.
    NotSignedIn = 4,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for the user. It holds no secret: every message in it was written by this program, or
/// made printable by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub error: String,
    pub causes: Vec<String>,
    pub hint: Option<String>,
    pub exit: Exit,
}

impl Report {
    /// An error that there is nothing else to say about.
    pub fn failure(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            causes: Vec::new(),
            hint: None,
            exit: Exit::Failed,
        }
    }

    /// Writes the report by the rules in `terminal`, and ignores write errors.
    pub fn write(&self, out: &mut dyn Write) {
        self.write_styled(out, false);
    }

    /// The same, with labels in colour if `is_coloured`.
    pub fn write_styled(&self, out: &mut dyn Write, is_coloured: bool) {
        let style = |colour: AnsiColor| {
            let style = Style::new().bold().fg_color(Some(colour.into()));
            if is_coloured { style } else { Style::new() }
        };
        write_labelled(out, style(AnsiColor::Red), "error: ", &self.error);
        for cause in &self.causes {
            write_labelled(out, style(AnsiColor::Yellow), "cause: ", cause);
        }
        if let Some(hint) = &self.hint {
            write_labelled(out, style(AnsiColor::Cyan), "hint: ", hint);
        }
    }
}

/// Writes each line of `text` behind the program's name, made printable.
pub fn write_line(out: &mut dyn Write, kind: &str, text: &str) {
    write_labelled(out, Style::new(), kind, text);
}

fn write_labelled(out: &mut dyn Write, style: Style, label: &str, text: &str) {
    let mut lines = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = printable(line);
        let line = if index == 0 {
            format!("hallpass: {style}{label}{style:#}{line}")
        } else {
            format!("hallpass:   {line}")
        };
        let _ = writeln!(lines, "{}", line.trim_end());
    }
    // A closed stderr is no reason to fail: the tool may have hidden it.
    let _ = out.write_all(lines.as_bytes());
    let _ = out.flush();
}

/// The same text, with everything that could steer a terminal or reorder a line escaped.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A URL that a person or a file provided, printable and without the user name and password in it.
/// Either of them may be a token.
pub fn printable_url(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at(start);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((_, host)) = authority.rsplit_once('@') else {
        return printable(text);
    };
    printable(&format!("{scheme}***@{host}{path}"))
}

/// The same lines, each made printable.
pub fn printable_lines(text: &str) -> String {
    text.lines()
        .flat_map(|line| [printable(line), "\n".to_owned()])
        .collect()
}

/// Format characters that reorder or hide text (Unicode UAX #9 and the zero-width ones).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_the_secrets_in_it() {
        for (text, expected) in [
            ("https://git.example/a@b", "https://git.example/a@b"),
            ("https://user:pw@git.example/x", "https://***@git.example/x"),
            ("https://token@git.example:80", "https://***@git.example:80"),
            ("https://a:b@c@git.example?x", "https://***@git.example?x"),
            ("user:pw@git.example", "***@git.example"),
            ("git.example\u{1b}", "git.example\\u{1b}"),
        ] {
            assert_eq!(printable_url(text), expected);
        }
    }

    #[test]
    fn nothing_can_steer_the_terminal() {
        for (text, expected) in [
            ("plain – text", "plain – text"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("bell\u{7}", "bell\\u{7}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn a_report_is_error_causes_hint() {
        let report = Report {
            error: "it broke".into(),
            causes: vec!["the disk\nis full".into()],
            hint: Some("run `df`".into()),
            exit: Exit::Failed,
        };
        let mut out = Vec::new();
        report.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "hallpass: error: it broke\nhallpass: cause: the disk\nhallpass:   is full\n\
             hallpass: hint: run `df`\n"
        );
    }
}
