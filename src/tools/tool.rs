//! The trait that every tool implements, and what its doctor reports.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::{Report, printable};
use crate::setup::plan::Undo;
use crate::setup::program;

/// A program that asks hallpass for credentials. Everything about it is in one folder.
pub trait Tool: Sync {
    /// The command that the tool runs: `hallpass NAME`.
    fn name(&self) -> &'static str;

    /// The file names under which the tool starts this program, other than `hallpass`.
    fn program_names(&self) -> &'static [&'static str];

    /// Whether the tool starts `hallpass` with these words, which begin with no command.
    fn is_invoked_by(&self, words: &[OsString]) -> bool {
        let _ = words;
        false
    }

    /// The arguments of `hallpass NAME`, with their help.
    fn command(&self) -> clap::Command;

    /// Answers the tool. `words` follow the command. A request that was answered before builds no
    /// [`clap::Command`].
    fn run(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error>;

    /// The arguments of `hallpass setup NAME`, with their help.
    fn setup_command(&self) -> clap::Command;

    /// Configures the tool to use hallpass.
    fn set_up(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error>;

    /// What reverts every set-up of the tool.
    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error>;

    /// The arguments of `hallpass doctor NAME`, with their help.
    fn doctor_command(&self) -> clap::Command;

    /// Finds out why the tool is denied access. It refreshes no token, starts no sign-in, and shows a
    /// token's claims, but never the token.
    fn checks(&self, env: &Env, words: &[OsString]) -> Result<Findings, Error>;

    /// The programs that can use hallpass once the tool is set up.
    fn programs(&self) -> &'static [&'static str];

    /// Whether one of its programs is installed.
    fn is_installed(&self, env: &Env) -> bool {
        let mut programs = self.programs().iter();
        programs.any(|name| program::on_path(env, name).is_some())
    }
}

/// The results of a doctor's checks, in order.
#[derive(Debug, Default)]
pub struct Findings {
    text: String,
    has_problem: bool,
}

impl Findings {
    /// A check passed.
    pub(crate) fn ok(&mut self, what: &str) {
        self.line("ok", what);
    }

    /// Something worth knowing that isn't a problem.
    pub(crate) fn note(&mut self, what: &str) {
        self.line("note", what);
    }

    /// A problem, and the command or step that fixes it.
    pub(crate) fn problem(&mut self, what: &str, hint: &str) {
        self.has_problem = true;
        self.line("error", what);
        self.detail(hint);
    }

    /// Adds lines to the last result.
    pub(crate) fn detail(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "      {}", printable(line));
        }
    }

    pub(crate) fn refused(&mut self, report: &Report) {
        let Report {
            error,
            causes,
            hint,
            exit: _,
        } = report;
        let what = [std::slice::from_ref(error), causes].concat().join(": ");
        self.problem(&what, hint.as_deref().unwrap_or_default());
    }

    fn line(&mut self, verdict: &str, what: &str) {
        let _ = writeln!(self.text, "{verdict:<5} {}", printable(what));
    }

    /// One line for each result, with its hint below it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a problem.
    pub(crate) fn has_problem(&self) -> bool {
        self.has_problem
    }
}
