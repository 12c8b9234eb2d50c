//! `hallpass git`: git's credential helper, for every host that git asks about.
//!
//! It reads no configuration and opens no store before it has parsed git's request.

mod arguments;
mod background;
pub mod doctor;
pub mod error;
mod explanation;
mod git_config;
mod large_pushes;
mod mail;
mod names;
mod order;
mod plain_http;
pub mod protocol;
mod refusals;
mod repository;
mod resolver;
pub mod setup;
mod target;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::arguments::OperationArgs;
use crate::credential::{Action, Request};
use crate::env::Env;
use crate::error::Error;
use crate::serving::recall::Recall;
use crate::serving::serve;
use crate::tools::tool::Tool;
use arguments::{HELP, NAME, PROGRAM_NAME};
use protocol::CredentialHelper;
use repository::Repository;
use resolver::Resolver;

#[derive(Debug)]
pub struct Git;

impl Tool for Git {
    const NAME: &'static str = NAME;
    const PROGRAM_NAMES: &'static [&'static str] = &[PROGRAM_NAME];
    const PROGRAMS: &'static [&'static str] = &["git"];
    type SetUp = setup::Arguments;
    type Doctor = doctor::Arguments;

    fn command() -> clap::Command {
        HELP.command()
    }

    fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        run(env, &HELP.parsed(words)?, words)
    }
}

/// `words` are the command line that `args` was parsed from.
pub(crate) fn run(env: &Env, args: &OperationArgs, words: &[OsString]) -> Result<ExitCode, Error> {
    let repository = Repository::new(env);
    serve::serve(
        env,
        NAME,
        &CredentialHelper,
        Some(&args.operation),
        |request| question(env, words, request, &repository),
        |request| {
            let is_unattended =
                !request.interactive || repository.disables_prompts_on_the_command_line();
            serve::prepared(env, &args.common, &args.asking, is_unattended)
        },
        |tool, request, outcome| {
            let resolver = Resolver {
                tool,
                repository: &repository,
            };
            resolver.answer(request, outcome)
        },
    )
}

/// The request as a question whose answer may be remembered: neither a user name, nor a state, nor
/// the repository chooses the account.
fn question<'e>(
    env: &'e Env,
    words: &[OsString],
    request: &Request,
    repository: &Repository<'_>,
) -> Option<Recall<'e>> {
    let Request {
        action: Action::Get,
        resource: Some(resource),
        username: None,
        account: None,
        ..
    } = request
    else {
        return None;
    };
    // Whether a token may be sent to a mail server depends on more than the request.
    if !matches!(resource.protocol.as_str(), "http" | "https") || repository.may_name_an_account() {
        return None;
    }
    Some(Recall::new(env, NAME, words, resource.parts()))
}
