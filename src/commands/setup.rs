//! `hallpass setup TOOL`: configure a tool to use hallpass.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::tools;

pub(super) fn command(name: &'static str) -> clap::Command {
    clap::Command::new(name)
        .about("Configure a tool to use hallpass")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(tools::ALL.iter().map(|tool| tool.setup_command()))
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    if let Some((name, rest)) = words.split_first()
        && let Some(tool) = tools::ALL.iter().find(|tool| name == tool.name())
    {
        return tool.set_up(env, rest);
    }
    // The help, or a tool that does not exist.
    let name = OsString::from("hallpass setup");
    let command = command("setup").bin_name("hallpass setup");
    command.try_get_matches_from([&name].into_iter().chain(words))?;
    Ok(Exit::Answered.into())
}
