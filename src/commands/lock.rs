//! `hallpass lock`: removes the unlocked data key from the key cache.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{Common, epilogue, parsed};
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::serving::prepared::Prepared;

/// Remove the unlocked key, so that the next request asks the OS keyring
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass lock"))]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let args: Arguments = parsed("lock", words)?;
    let prepared = Prepared::new(env, &args.common, None)?;
    let dropped = prepared.store.drop_cached_key()?;
    prepared.terminal.say(if dropped {
        "locked: the next request asks the OS keyring again"
    } else {
        "the key was not unlocked"
    });
    Ok(Exit::Answered.into())
}
