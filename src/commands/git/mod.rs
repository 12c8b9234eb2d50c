//! `hallpass git`: serves git, whichever host it asks for.
//!
//! Nothing is read and nothing is opened before git's request has been understood.

mod desk;
mod repository;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Args as _, FromArgMatches as _};

use super::{Prepared, answer};
use crate::cli::{Asking, Common, Git as GitArgs};
use crate::config::{Interactive, Settings};
use crate::credential::{Call, Refusal, Reply, Request};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::git::Git;
use desk::Desk;
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

/// The tool has its reply before a waiting browser tab is told how it ended.
pub(super) fn run(env: &Env, args: &GitArgs) -> Result<ExitCode, Error> {
    let prepared = OnceCell::new();
    let unattended = OnceCell::new();
    let repository = Repository::new(env);
    let mut asked = None;
    let mut answer = |request: &Request| -> Result<Reply, Refusal> {
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
        desk.answer(request, &mut asked)
    };
    let mut call = Call {
        args: std::slice::from_ref(&args.operation),
        env,
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    };
    let served = Git.serve(&mut call, &mut answer).map_err(Error::Reply);
    if let Some(account) = &asked {
        account.tell_tab();
    }
    served
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
