//! `hallpass doctor TOOL`: find out why a tool is denied access.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::terminal::print;
use crate::tools;

pub(super) fn command(name: &'static str) -> clap::Command {
    crate::arguments::new_command(name)
        .about("Find out why a tool is denied access")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(tools::ALL.iter().map(|tool| tool.doctor_command()))
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    if let Some((name, rest)) = words.split_first()
        && let Some(tool) = tools::ALL.iter().find(|tool| name == tool.name())
    {
        let findings = tool.checks(env, rest)?;
        print(findings.text());
        return Ok(if findings.has_problem() {
            Exit::Failed.into()
        } else {
            Exit::Answered.into()
        });
    }
    // `--help`, or an unknown tool.
    let name = OsString::from("hallpass doctor");
    let command = command("doctor").bin_name("hallpass doctor");
    command.try_get_matches_from([&name].into_iter().chain(words))?;
    Ok(Exit::Answered.into())
}
