//! `hallpass doctor TOOL`: looks at everything between a tool and the server that refuses it, and
//! says what is off and what to type. One file a tool.
//!
//! A doctor changes nothing: it refreshes no token, asks nobody to sign in, and shows of a token
//! its claims, never the token.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::print;
use crate::report::{Exit, Report, printable};

pub(super) mod docker;
pub(super) mod kubectl;

/// What was looked at, in order.
#[derive(Default)]
struct Findings {
    text: String,
    is_off: bool,
}

impl Findings {
    /// Something is as it should be.
    fn well(&mut self, what: &str) {
        self.line("ok", what);
    }

    /// Something that a person should know, and that need not be wrong.
    fn note(&mut self, what: &str) {
        self.line("note", what);
    }

    /// Something is off, and this is what to type.
    fn off(&mut self, what: &str, hint: &str) {
        self.is_off = true;
        self.line("OFF", what);
        for line in hint.lines() {
            let _ = writeln!(self.text, "      {}", printable(line));
        }
    }

    fn refused(&mut self, report: &Report) {
        let Report {
            error,
            causes,
            hint,
            exit: _,
        } = report;
        let what = [std::slice::from_ref(error), causes].concat().join(": ");
        self.off(&what, hint.as_deref().unwrap_or_default());
    }

    fn line(&mut self, verdict: &str, what: &str) {
        let _ = writeln!(self.text, "{verdict:<5} {}", printable(what));
    }

    /// Prints it all; a failure where something is off.
    fn end(self) -> ExitCode {
        print(&self.text);
        if self.is_off {
            Exit::Failed.into()
        } else {
            Exit::Answered.into()
        }
    }
}
