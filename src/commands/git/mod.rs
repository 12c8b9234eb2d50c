//! `hallpass git`: serves git, whichever host it asks for.
//!
//! Nothing is read and nothing is opened before git's request has been understood.

mod desk;
mod repository;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args as _, FromArgMatches as _};

use super::recall::Recall;
use super::{Prepared, answer};
use crate::cli::{Asking, Common, Git as GitArgs};
use crate::config::{Interactive, Settings};
use crate::credential::{Action, Credential, Refusal, Reply, Request, Resource, Want};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::git::Git;
use desk::{Desk, Served};
use repository::Repository;

/// What follows the verb. git's usual call has its operation alone, and a command line of one
/// plain word is read without building a parser for it.
pub(super) fn parsed(args: &[OsString]) -> Result<GitArgs, clap::Error> {
    if let [operation] = args
        && !operation.as_encoded_bytes().starts_with(b"-")
    {
        return Ok(GitArgs {
            operation: operation.clone(),
            asking: Asking::default(),
            common: Common::default(),
        });
    }
    let command = GitArgs::augment_args(clap::Command::new("hallpass git"));
    let name = OsString::from("hallpass git");
    let matches = command.try_get_matches_from([&name].into_iter().chain(args))?;
    GitArgs::from_arg_matches(&matches)
}

/// The tool has its reply before a waiting browser tab is told how it ended. `words` are what
/// `args` was parsed from.
pub(super) fn run(env: &Env, args: &GitArgs, words: &[OsString]) -> Result<ExitCode, Error> {
    let prepared = OnceCell::new();
    let unattended = OnceCell::new();
    let repository = Repository::new(env);
    let mut served = Served::default();
    let mut recall = None;
    let mut answer = |request: &Request| -> Result<Reply, Refusal> {
        recall = question(env, words, request, &repository);
        if let Some(credential) = recall.as_ref().and_then(|recall| again(recall, request)) {
            return Ok(Reply::Credential(credential));
        }
        let prepared = if let Some(prepared) = prepared.get() {
            prepared
        } else {
            let fresh = prepare(env, args, request, &repository);
            let fresh = fresh.map_err(|error| answer::refusal(&error))?;
            prepared.get_or_init(|| fresh)
        };
        let desk = Desk {
            prepared,
            unattended: unattended.get_or_init(|| Settings {
                interactive: Interactive::Never,
                ..prepared.config.settings.clone()
            }),
            repository: &repository,
        };
        desk.answer(request, &mut served)
    };
    let operation = std::slice::from_ref(&args.operation);
    let ended = answer::call(env, operation, |call| Git.serve(call, &mut answer));
    let Served { asked, resolution } = &served;
    if let Some(account) = asked {
        account.tell_tab();
    }
    if let (Some(recall), Some(prepared), Some(resolution)) = (&recall, prepared.get(), resolution)
    {
        recall.remember(prepared, resolution);
    }
    ended
}

/// A request as a question that may have been answered before: who else could have a say in whose
/// token it is, a user name or the repository, has none.
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

fn again(recall: &Recall<'_>, request: &Request) -> Option<Credential> {
    let Want {
        token: _,
        fresh_for,
        refused,
    } = request.want;
    let recalled = recall.credential(fresh_for, refused)?;
    Some(recalled.credential)
}

fn prepare<'e>(
    env: &'e Env,
    args: &GitArgs,
    request: &Request,
    repository: &Repository<'_>,
) -> Result<Prepared<'e>, Error> {
    let nobody = !request.interactive || repository.rules_asking_out_on_the_command_line();
    let asking = Asking {
        flow: args.asking.flow,
        interactive: match args.asking.interactive {
            None if nobody => Some(Interactive::Never),
            said => said,
        },
    };
    Prepared::new(env, &args.common, Some(&asking))
}
