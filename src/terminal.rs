//! What a person sees. All of it goes through here, by these rules:
//!
//! 1. stdout belongs to the tool; people are spoken to on stderr, and asked on the terminal
//!    itself, for a tool may have taken stdin, stdout and stderr.
//! 2. Every line begins with `hallpass: `, so that it is known among the tool's own lines.
//! 3. An error is `error:`, then `cause:` lines, then `hint:` with something that can be typed.
//! 4. Nothing is said about what went well, unless somebody waits for it or asked with `-v`.
//! 5. Text from elsewhere (a server, a URL, a file) is made printable first: no escape sequence,
//!    no line break, no bidirectional control gets through.
//! 6. No token, code, verifier or client secret, at any verbosity.
//! 7. A stderr that is closed is no reason to fail.
//! 8. A process without a terminal of its own, which signs in for others, tells its [`Audience`].

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::report::{Report, write_line};

/// Something to tell a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub kind: LineKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// See [`Terminal::say`].
    Say,
    /// See [`Terminal::ask`].
    Ask,
    /// See [`Terminal::explain`].
    Explain(u8),
}

/// Who hears what this process has to say, in place of its own stderr.
pub trait Audience: Sync {
    fn hear(&self, line: Line);
}

static AUDIENCE: OnceLock<&'static dyn Audience> = OnceLock::new();

/// Sends every line of this process to an audience from now on. The first one stays.
pub fn address(audience: &'static dyn Audience) {
    let _ = AUDIENCE.set(audience);
}

/// Whether the audience has heard it, if there is one.
fn is_heard(kind: LineKind, text: &str) -> bool {
    let Some(audience) = AUDIENCE.get() else {
        return false;
    };
    audience.hear(Line {
        kind,
        text: text.to_owned(),
    });
    true
}

/// The person's side of a command.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    verbose: u8,
}

impl Terminal {
    pub fn new(verbose: u8) -> Self {
        Self { verbose }
    }

    /// Something that the person must read now: where to sign in, what is being waited for.
    pub fn say(&self, line: &str) {
        if is_heard(LineKind::Say, line) {
            return;
        }
        write_line(&mut io::stderr().lock(), "", line);
    }

    /// Something without which the person cannot go on, such as a code to type: on stderr, and
    /// where that is no terminal on the terminal itself, for many a tool hides our stderr.
    pub fn ask(&self, line: &str) {
        if is_heard(LineKind::Ask, line) {
            return;
        }
        self.say(line);
        #[cfg(unix)]
        {
            if !io::stderr().is_terminal()
                && let Ok(mut terminal) = std::fs::OpenOptions::new().write(true).open("/dev/tty")
            {
                write_line(&mut terminal, "", line);
            }
        }
    }

    pub fn report(&self, report: &Report) {
        let choice = anstream::AutoStream::choice(&io::stderr());
        let is_coloured = choice != anstream::ColorChoice::Never;
        report.write_styled(&mut io::stderr().lock(), is_coloured);
    }

    pub fn warn(&self, line: &str) {
        self.say(&format!("warning: {line}"));
    }

    /// A line for `-v` (level 1), `-vv` (level 2).
    pub fn explain(&self, level: u8, line: impl FnOnce() -> String) {
        if self.verbose < level {
            return;
        }
        let line = line();
        if !is_heard(LineKind::Explain(level), &line) {
            self.say(&format!("debug: {line}"));
        }
    }

    /// Shows what another process said.
    pub fn pass_on(&self, line: &Line) {
        match line.kind {
            LineKind::Say => self.say(&line.text),
            LineKind::Ask => self.ask(&line.text),
            LineKind::Explain(level) => self.explain(level, || line.text.clone()),
        }
    }

    pub fn verbose(self) -> u8 {
        self.verbose
    }

    /// Whether there is a terminal on which a person can be asked.
    pub fn has_person(self) -> bool {
        #[cfg(unix)]
        {
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/tty")
                .is_ok()
        }
        #[cfg(not(unix))]
        {
            io::stdin().is_terminal() || io::stderr().is_terminal()
        }
    }
}
/// Writes a command's own output; a reader that has gone away is no error of ours.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Whether a person reads stderr and types the answer to a question.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows what would be done on stderr, and reads whether to do it from stdin.
pub(crate) fn confirm(what: &str, question: &str) -> bool {
    let mut err = io::stderr().lock();
    // A terminal that has gone away gives no answer either.
    let _ = write!(err, "{what}{question} [Y/n] ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    let answer = answer.trim().to_ascii_lowercase();
    if read.is_ok_and(|length| length > 0) && ["", "y", "yes"].contains(&&*answer) {
        return true;
    }
    let _ = writeln!(err, "Nothing was changed");
    false
}
