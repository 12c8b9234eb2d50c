//! The commands, one file each. This module selects the command to run and assembles the command
//! tree.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::arguments::{EXIT_CODES, new_command, table};
use crate::config;
use crate::env::{Env, program_name};
use crate::error::Error;
use crate::report::{Exit, Report};
#[cfg(unix)]
use crate::session::SIGN_IN_PROCESS;
use crate::terminal::{Terminal, print};
use crate::tools::{self, AnyTool};

mod completions;
mod doctor;
mod get_token;
pub mod help;
mod lock;
mod login;
mod logout;
mod package_files;
mod setup;
#[cfg(unix)]
mod sign_in_process;
mod status;
mod store;
mod uninstall;

/// A command that is not a tool's.
struct BuiltIn {
    name: &'static str,
    command: fn(&'static str) -> clap::Command,
    run: fn(&Env, &[OsString]) -> Result<ExitCode, Error>,
}

/// The commands in the order in which the help lists them.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: get_token::NAME,
        command: crate::arguments::command::<get_token::Arguments>,
        run: get_token::run,
    },
    BuiltIn {
        name: "login",
        command: crate::arguments::command::<login::Arguments>,
        run: login::run,
    },
    BuiltIn {
        name: "logout",
        command: crate::arguments::command::<logout::Arguments>,
        run: logout::run,
    },
    BuiltIn {
        name: "lock",
        command: crate::arguments::command::<lock::Arguments>,
        run: lock::run,
    },
    BuiltIn {
        name: "status",
        command: crate::arguments::command::<status::Arguments>,
        run: status::run,
    },
    BuiltIn {
        name: "store",
        command: store::command,
        run: store::run,
    },
    BuiltIn {
        name: "setup",
        command: setup::command,
        run: setup::run,
    },
    BuiltIn {
        name: "doctor",
        command: doctor::command,
        run: doctor::run,
    },
    BuiltIn {
        name: "uninstall",
        command: crate::arguments::command::<uninstall::Arguments>,
        run: uninstall::run,
    },
    BuiltIn {
        name: "completions",
        command: crate::arguments::command::<completions::Arguments>,
        run: completions::run,
    },
    BuiltIn {
        name: "package-files",
        command: |name| crate::arguments::command::<package_files::Arguments>(name).hide(true),
        run: |_, words| package_files::run(tree(), words),
    },
];

/// The whole command tree.
pub fn tree() -> clap::Command {
    let built_in = BUILT_IN.iter().map(|one| (one.command)(one.name));
    let tools = tools::ALL.iter().map(|tool| tool.command());
    new_command("hallpass")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One sign-in, every developer tool")
        .propagate_version(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(format!("{}\n\n{}", help::list(), table(EXIT_CODES)))
        .subcommands(built_in.chain(tools))
}

/// Runs the command that the command line names.
pub fn run(env: &Env) -> ExitCode {
    config::tools::declare(tool_names);
    let error = match dispatch(env) {
        Ok(code) => return code,
        Err(error) => error,
    };
    let report = if let Error::CommandLine(message) = &error {
        // The text of `--help` and `--version` goes to stdout; without a command, the help is an
        // error.
        let is_help = message.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if is_help || !message.use_stderr() {
            let _ = message.print();
            let exit = if is_help { Exit::Usage } else { Exit::Answered };
            return exit.into();
        }
        usage_report(message)
    } else {
        error.report()
    };
    Terminal::new(0).report(&report);
    report.exit.into()
}

/// Builds only the named command, because building the whole tree costs more than the rest of a hit.
fn dispatch(env: &Env) -> Result<ExitCode, Error> {
    let Some((program, words)) = env.args.split_first() else {
        return whole_tree(env);
    };
    if let Some(tool) = tool_named(program) {
        return tool.run(env, words);
    }
    let Some((name, rest)) = words.split_first() else {
        return whole_tree(env);
    };
    let mut tools = tools::ALL.iter();
    if let Some(tool) = tools.find(|tool| name == tool.name()) {
        return tool.run(env, rest);
    }
    if let Some(command) = BUILT_IN.iter().find(|command| name == command.name) {
        return (command.run)(env, rest);
    }
    #[cfg(unix)]
    if name == SIGN_IN_PROCESS && rest.is_empty() {
        return sign_in_process::run(env);
    }
    if let Some(completed) = completions::complete(env, tree) {
        return completed;
    }
    if let (Some("help"), [topic]) = (name.to_str(), rest)
        && let Some(text) = topic.to_str().and_then(help::text)
    {
        print(&text);
        return Ok(Exit::Answered.into());
    }
    let mut tools = tools::ALL.iter();
    if let Some(tool) = tools.find(|tool| tool.is_invoked_by(words)) {
        return tool.run(env, words);
    }
    whole_tree(env)
}

/// `--help`, `help`, or a command that does not exist.
fn whole_tree(env: &Env) -> Result<ExitCode, Error> {
    tree().try_get_matches_from(&env.args)?;
    Ok(Exit::Answered.into())
}

/// Turns clap's error message into a report.
fn usage_report(error: &clap::Error) -> Report {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or(text);
    let (error, usage) = text.split_once("\n\n").unwrap_or((text, ""));
    Report {
        error: error.trim().to_owned(),
        causes: Vec::new(),
        hint: Some(
            format!("{usage}\nrun the command with `--help`")
                .trim()
                .to_owned(),
        ),
        exit: Exit::Usage,
    }
}

/// The names that `tools` in the configuration may list.
fn tool_names() -> Vec<&'static str> {
    let tools = tools::ALL.iter().map(|tool| tool.name());
    tools.chain([get_token::NAME]).collect()
}

/// The tool that starts this program under another name, from the file name alone.
fn tool_named(program: &OsStr) -> Option<&'static dyn AnyTool> {
    let name = program_name(program.to_str()?);
    let mut tools = tools::ALL.iter();
    tools
        .find(|tool| tool.program_names().contains(&name.as_str()))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_recognized_by_the_name_that_starts_hallpass() {
        for (program, tool) in [
            ("hallpass", None),
            ("git-credential-hallpass", Some("git")),
            ("/usr/bin/docker-credential-hallpass", Some("docker")),
            (r"C:\bin\Docker-Credential-Hallpass.EXE", Some("docker")),
            ("KUBECTL-HALLPASS", Some("kubectl")),
            ("docker-credential-hallpass.old", None),
        ] {
            let found = tool_named(OsStr::new(program)).map(AnyTool::name);
            assert_eq!(found, tool, "{program}");
        }
    }

    #[test]
    fn clap_accepts_the_command_tree() {
        tree().debug_assert();
    }
}
