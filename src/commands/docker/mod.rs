//! `hallpass docker`: serves the clients of registries, whichever registry they ask for.

mod desk;
mod server;

use std::ffi::OsString;
use std::process::ExitCode;

use super::{one_word_or_parsed, tool};
use crate::cli::Docker as DockerArgs;
use crate::env::Env;
use crate::error::Error;
use crate::protocol::docker::Docker;
use desk::Desk;

/// What follows the verb.
pub(super) fn parsed(args: &[OsString]) -> Result<DockerArgs, clap::Error> {
    one_word_or_parsed("hallpass docker", args)
}

pub(super) fn run(env: &Env, args: &DockerArgs) -> Result<ExitCode, Error> {
    tool::serve(
        env,
        &Docker,
        &args.operation,
        |request| tool::prepared(env, &args.common, &args.asking, !request.interactive),
        |tool, request, asked| Desk { tool }.answer(request, asked),
    )
}
