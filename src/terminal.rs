//! Everything that the user sees goes through here, by these rules:
//!
//! 1. stdout belongs to the tool. Messages go to stderr, and prompts to the terminal itself, because
//!    a tool may have captured stdin, stdout and stderr.
//! 2. Every line begins with `hallpass: `, to tell it from the tool's own lines.
//! 3. An error is `error:`, then `cause:` lines, then `hint:` with something to do.
//! 4. Success is silent, unless the user waits for it or passed `-v`.
//! 5. Text from elsewhere (a server, a URL, a file) is made printable first: no escape sequence,
//!    line break or bidirectional control gets through.
//! 6. No token, code, verifier or client secret is shown, at any verbosity.
//! 7. A closed stderr is not an error.
//! 8. A process that signs in for others has no terminal and sends its messages to its [`Audience`].

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::report::{Report, write_line};

/// A message for the user.
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

/// Receives this process's messages instead of its own stderr.
pub trait Audience: Sync {
    fn hear(&self, line: Line);
}

static AUDIENCE: OnceLock<&'static dyn Audience> = OnceLock::new();

/// From now on, sends every line of this process to an audience. Only the first call has an effect.
pub fn address(audience: &'static dyn Audience) {
    let _ = AUDIENCE.set(audience);
}

/// Sends a line to the audience. Returns whether there is one.
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

/// The user's side of a command.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    verbose: u8,
}

impl Terminal {
    pub fn new(verbose: u8) -> Self {
        Self { verbose }
    }

    /// Something that the user must read now: where to sign in, what hallpass is waiting for.
    pub fn say(&self, line: &str) {
        if is_heard(LineKind::Say, line) {
            return;
        }
        write_line(&mut io::stderr().lock(), "", line);
    }

    /// Something that the user needs to continue, such as a code to type: on stderr, or on the
    /// terminal itself if stderr isn't one, because many tools hide it.
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

    /// Shows a message of another process.
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

    /// Whether there is a terminal for prompting the user.
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
/// Writes a command's own output. A closed pipe is not an error: the reader may simply have exited.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Whether the user can read stderr and answer a question.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows the planned changes on stderr, and reads the answer from stdin.
pub(crate) fn confirm(what: &str, question: &str) -> bool {
    let mut err = io::stderr().lock();
    // If the terminal is gone, there is no answer either.
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
