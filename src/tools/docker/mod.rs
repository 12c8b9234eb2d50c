//! `hallpass docker`: the credential helper of docker, podman and other registry clients.

mod arguments;
mod client;
pub mod doctor;
pub mod error;
mod file_passwords;
pub(crate) mod files;
mod former_store;
mod podman;
pub mod protocol;
mod registry_check;
mod resolver;
pub(crate) mod server;
pub mod setup;

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
use resolver::Resolver;

#[derive(Debug)]
pub struct Docker;

impl Tool for Docker {
    const NAME: &'static str = NAME;
    const PROGRAM_NAMES: &'static [&'static str] = &[PROGRAM_NAME];
    const PROGRAMS: &'static [&'static str] = &["docker", "podman"];
    type SetUp = setup::Arguments;
    type Doctor = doctor::Arguments;

    fn command() -> clap::Command {
        HELP.command()
    }

    fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        run(env, &HELP.parsed(words)?, words)
    }
}

/// Answers one operation. `words` are the arguments that `args` was parsed from.
pub(crate) fn run(env: &Env, args: &OperationArgs, words: &[OsString]) -> Result<ExitCode, Error> {
    serve::serve(
        env,
        NAME,
        &CredentialHelper,
        Some(&args.operation),
        |request| question(env, words, request),
        |request| serve::prepared(env, &args.common, &args.asking, !request.interactive),
        |tool, request, outcome| Resolver { tool }.answer(request, outcome),
    )
}

/// The key under which the answer to a request is remembered. Credentials that the user enters later
/// take precedence: [`crate::serving::resolution::Resolution::shadowed_by`].
fn question<'e>(env: &'e Env, words: &[OsString], request: &Request) -> Option<Recall<'e>> {
    let (Action::Get, Some(resource)) = (&request.action, &request.resource) else {
        return None;
    };
    Some(Recall::new(env, NAME, words, resource.parts()))
}
