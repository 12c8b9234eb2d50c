//! `hallpass setup TOOL`: configure a tool to use hallpass.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::setup::record::Records;
use crate::terminal::print;
use crate::tools;

pub(super) fn command(name: &'static str) -> clap::Command {
    crate::arguments::new_command(name)
        .about("Configure a tool to use hallpass")
        .arg(
            clap::Arg::new("list")
                .long("list")
                .action(clap::ArgAction::SetTrue)
                .help("List what is set up, whether it is still in place, and which installed tools are not set up"),
        )
        .args_conflicts_with_subcommands(true)
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
    // `--help`, or an unknown tool.
    let name = OsString::from("hallpass setup");
    let command = command("setup").bin_name("hallpass setup");
    if words == ["--list"] {
        print(&list(env)?);
        return Ok(Exit::Answered.into());
    }
    command.try_get_matches_from([&name].into_iter().chain(words))?;
    Ok(Exit::Answered.into())
}

/// What is set up, and which installed tools are not.
fn list(env: &Env) -> Result<String, Error> {
    let mut text = crate::setup::list(env)?;
    let records = Records::read(env);
    for tool in tools::ALL {
        let name = tool.name();
        if records.of(name).next().is_none() && tool.is_installed(env) {
            let _ = writeln!(
                text,
                "not set up: {name} (see `hallpass setup {name} --help`)"
            );
        }
    }
    Ok(text)
}
