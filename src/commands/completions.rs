//! `hallpass completions SHELL`: prints the completion script for a shell.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::Args;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use crate::arguments::{epilogue, parsed};
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::terminal::print;

/// Set by the scripts, which call hallpass again for each completion.
const VARIABLE: &str = "HALLPASS_COMPLETE";

/// Print the script that completes hallpass's commands in a shell
///
/// The script completes commands, options, and the providers, accounts and hosts of your
/// configuration.
#[derive(Debug, Args)]
#[command(after_long_help = epilogue("  \
  source <(hallpass completions bash)        # in ~/.bashrc
  source <(hallpass completions zsh)         # in ~/.zshrc
  hallpass completions fish | source         # in ~/.config/fish/config.fish"))]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

pub(super) fn run(_: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let Arguments { shell } = parsed("completions", words)?;
    let script = script(&shell).map_err(Error::Reply)?;
    print(&String::from_utf8_lossy(&script));
    Ok(Exit::Answered.into())
}

/// The script for a shell.
pub(super) fn script(shell: &str) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(shell) {
        shell.write_registration(VARIABLE, "hallpass", "hallpass", "hallpass", &mut script)?;
    }
    Ok(script)
}

/// Completes a word, if a completion script started this process. `tree` is the whole command tree.
pub(super) fn complete(env: &Env, tree: fn() -> clap::Command) -> Option<Result<ExitCode, Error>> {
    let is_call = env.args.get(1).is_some_and(|word| word == OsStr::new("--"));
    if !is_call || env.var_unrecorded(VARIABLE).is_none() {
        return None;
    }
    let complete = CompleteEnv::with_factory(tree).var(VARIABLE);
    let completed = complete.try_complete(env.args.iter().cloned(), None);
    Some(match completed {
        Ok(_) => Ok(Exit::Answered.into()),
        Err(error) => Err(error.into()),
    })
}
