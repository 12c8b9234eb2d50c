//! `hallpass lock`: drops the unlocked data key from the kernel keyring.

use std::process::ExitCode;

use super::Prepared;
use crate::cli::Lock;
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;

pub(super) fn run(env: &Env, args: &Lock) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, None)?;
    let dropped = prepared.store.drop_cached_key()?;
    prepared.terminal.say(if dropped {
        "locked: the next request asks the OS keyring again"
    } else {
        "there was no unlocked key to drop"
    });
    Ok(Exit::Answered.into())
}
