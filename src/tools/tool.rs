//! The trait that every tool implements.

use std::ffi::OsString;
use std::process::ExitCode;

use super::findings::Findings;
use crate::arguments::{command, parsed};
use crate::env::Env;
use crate::error::Error;
use crate::setup::plan::{self, SetUp, Undo};
use crate::setup::program;

/// A program that asks hallpass for credentials. Everything about it is in one folder.
pub(crate) trait Tool: Sync {
    /// The command that the tool runs: `hallpass NAME`.
    const NAME: &'static str;

    /// The file names under which the tool starts this program, other than `hallpass`.
    const PROGRAM_NAMES: &'static [&'static str];

    /// The programs that can use hallpass once the tool is set up.
    const PROGRAMS: &'static [&'static str];

    /// `hallpass setup NAME`.
    type SetUp: SetUp;

    /// `hallpass doctor NAME`.
    type Doctor: Doctor;

    /// The arguments of `hallpass NAME`, with their help.
    fn command() -> clap::Command;

    /// Answers the tool. `words` follow the command. A request that was answered before builds no
    /// [`clap::Command`].
    fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error>;

    /// Whether the tool starts `hallpass` with these words, which begin with no command.
    fn is_invoked_by(words: &[OsString]) -> bool {
        let _ = words;
        false
    }
}

/// A tool's doctor: the arguments of `hallpass doctor NAME`, and the checks.
pub(crate) trait Doctor: clap::Args {
    /// Finds out why the tool is denied access. It refreshes no token, starts no sign-in, and shows a
    /// token's claims, but never the token.
    fn checks(&self, env: &Env) -> Result<Findings, Error>;
}

/// A [`Tool`] in a list with others.
pub trait AnyTool: Sync {
    fn name(&self) -> &'static str;

    fn program_names(&self) -> &'static [&'static str];

    fn command(&self) -> clap::Command;

    fn run(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error>;

    fn is_invoked_by(&self, words: &[OsString]) -> bool;

    /// Whether one of its programs is installed.
    fn is_installed(&self, env: &Env) -> bool;

    fn setup_command(&self) -> clap::Command;

    /// Configures the tool to use hallpass.
    fn set_up(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error>;

    /// What reverts every set-up of the tool.
    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error>;

    fn doctor_command(&self) -> clap::Command;

    fn checks(&self, env: &Env, words: &[OsString]) -> Result<Findings, Error>;
}

impl<T: Tool> AnyTool for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn program_names(&self) -> &'static [&'static str] {
        T::PROGRAM_NAMES
    }

    fn command(&self) -> clap::Command {
        T::command()
    }

    fn run(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        T::run(env, words)
    }

    fn is_invoked_by(&self, words: &[OsString]) -> bool {
        T::is_invoked_by(words)
    }

    fn is_installed(&self, env: &Env) -> bool {
        let mut programs = T::PROGRAMS.iter();
        programs.any(|name| program::on_path(env, name).is_some())
    }

    fn setup_command(&self) -> clap::Command {
        command::<T::SetUp>(T::NAME)
    }

    fn set_up(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        plan::run(env, T::NAME, &set_up_parsed::<T>(words)?)
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        set_up_parsed::<T>(&["--undo".into()])?.undo(env)
    }

    fn doctor_command(&self) -> clap::Command {
        command::<T::Doctor>(T::NAME)
    }

    fn checks(&self, env: &Env, words: &[OsString]) -> Result<Findings, Error> {
        let doctor: T::Doctor = parsed(&format!("doctor {}", T::NAME), words)?;
        doctor.checks(env)
    }
}

fn set_up_parsed<T: Tool>(words: &[OsString]) -> Result<T::SetUp, Error> {
    parsed(&format!("setup {}", T::NAME), words)
}
