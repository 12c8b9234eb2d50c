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

use crate::arguments::{self as shared, OperationArgs};
use crate::credential::{Action, Request};
use crate::env::Env;
use crate::error::Error;
use crate::serving::recall::Recall;
use crate::serving::serve;
use crate::setup::plan::Undo;
use crate::tools::tool::{Findings, Tool};
use arguments::{HELP, NAME, PROGRAM_NAME};
use protocol::CredentialHelper;
use resolver::Resolver;

#[derive(Debug)]
pub struct Docker;

impl Tool for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn program_names(&self) -> &'static [&'static str] {
        &[PROGRAM_NAME]
    }

    fn command(&self) -> clap::Command {
        HELP.command()
    }

    fn run(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        run(env, &HELP.parsed(words)?, words)
    }

    fn setup_command(&self) -> clap::Command {
        shared::command::<setup::Arguments>(NAME)
    }

    fn set_up(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        setup::run(env, &shared::parsed("setup docker", words)?)
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        let words = ["--undo".into()];
        setup::undo(env, &shared::parsed("setup docker", &words)?)
    }

    fn doctor_command(&self) -> clap::Command {
        shared::command::<doctor::Arguments>(NAME)
    }

    fn programs(&self) -> &'static [&'static str] {
        &["docker", "podman"]
    }

    fn checks(&self, env: &Env, words: &[OsString]) -> Result<Findings, Error> {
        doctor::run(env, &shared::parsed("doctor docker", words)?)
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
