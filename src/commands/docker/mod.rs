//! `hallpass docker`: serves the clients of registries, whichever registry they ask for.

mod desk;
pub(super) mod files;
pub(super) mod server;

use std::ffi::OsString;
use std::process::ExitCode;

use super::recall::Recall;
use super::{one_word_or_parsed, tool};
use crate::cli::Docker as DockerArgs;
use crate::credential::{Action, Request, Resource};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::docker::Docker;
use desk::Desk;

/// What follows the verb.
pub(super) fn parsed(args: &[OsString]) -> Result<DockerArgs, clap::Error> {
    one_word_or_parsed("hallpass docker", args)
}

/// `words` are what `args` was parsed from.
pub(super) fn run(env: &Env, args: &DockerArgs, words: &[OsString]) -> Result<ExitCode, Error> {
    tool::serve(
        env,
        &Docker,
        Some(&args.operation),
        |request| question(env, words, request),
        |request| tool::prepared(env, &args.common, &args.asking, !request.interactive),
        |tool, request, outcome| Desk { tool }.answer(request, outcome),
    )
}

/// A request as a question that may have been answered before. What somebody types meanwhile goes
/// before it: [`crate::resolution::Resolution::unless`].
fn question<'e>(env: &'e Env, words: &[OsString], request: &Request) -> Option<Recall<'e>> {
    let (Action::Get, Some(resource)) = (&request.action, &request.resource) else {
        return None;
    };
    let Resource {
        protocol,
        host,
        path,
    } = resource;
    let asked = [Some(protocol), Some(host), path.as_ref()];
    let asked = asked.map(|text| text.map(String::as_bytes));
    Some(Recall::new(env, Docker.name(), words, asked))
}
