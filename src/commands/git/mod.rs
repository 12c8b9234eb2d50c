//! `hallpass git`: serves git, whichever host it asks for.
//!
//! Nothing is read and nothing is opened before git's request has been understood.

mod desk;
mod repository;

use std::ffi::OsString;
use std::process::ExitCode;

use super::recall::Recall;
use super::{one_word_or_parsed, tool};
use crate::cli::Git as GitArgs;
use crate::credential::{Action, Request, Resource};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::git::Git;
use desk::Desk;
use repository::Repository;

/// What follows the verb.
pub(super) fn parsed(args: &[OsString]) -> Result<GitArgs, clap::Error> {
    one_word_or_parsed("hallpass git", args)
}

/// `words` are what `args` was parsed from.
pub(super) fn run(env: &Env, args: &GitArgs, words: &[OsString]) -> Result<ExitCode, Error> {
    let repository = Repository::new(env);
    tool::serve(
        env,
        &Git,
        Some(&args.operation),
        |request| question(env, words, request, &repository),
        |request| {
            let nobody = !request.interactive || repository.rules_asking_out_on_the_command_line();
            tool::prepared(env, &args.common, &args.asking, nobody)
        },
        |tool, request, outcome| {
            let desk = Desk {
                tool,
                repository: &repository,
            };
            desk.answer(request, outcome)
        },
    )
}

/// A request as a question that may have been answered before: who else could have a say in whose
/// token it is, a user name, a state or the repository, has none.
fn question<'e>(
    env: &'e Env,
    words: &[OsString],
    request: &Request,
    repository: &Repository<'_>,
) -> Option<Recall<'e>> {
    let Request {
        action: Action::Get,
        resource:
            Some(Resource {
                protocol,
                host,
                path,
            }),
        username: None,
        account: None,
        ..
    } = request
    else {
        return None;
    };
    if repository.may_name_an_account() {
        return None;
    }
    let asked = [Some(protocol), Some(host), path.as_ref()];
    let asked = asked.map(|text| text.map(String::as_bytes));
    Some(Recall::new(env, Git.name(), words, asked))
}
