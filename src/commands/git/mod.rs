//! `hallpass git`: serves git, whichever host it asks for.
//!
//! Nothing is read and nothing is opened before git's request has been understood.

mod desk;
mod repository;

use std::ffi::OsString;
use std::process::ExitCode;

use super::{one_word_or_parsed, tool};
use crate::cli::Git as GitArgs;
use crate::env::Env;
use crate::error::Error;
use crate::protocol::git::Git;
use desk::Desk;
use repository::Repository;

/// What follows the verb.
pub(super) fn parsed(args: &[OsString]) -> Result<GitArgs, clap::Error> {
    one_word_or_parsed("hallpass git", args)
}

pub(super) fn run(env: &Env, args: &GitArgs) -> Result<ExitCode, Error> {
    let repository = Repository::new(env);
    tool::serve(
        env,
        &Git,
        &args.operation,
        |request| {
            let nobody = !request.interactive || repository.rules_asking_out_on_the_command_line();
            tool::prepared(env, &args.common, &args.asking, nobody)
        },
        |tool, request, asked| {
            let desk = Desk {
                tool,
                repository: &repository,
            };
            desk.answer(request, asked)
        },
    )
}
