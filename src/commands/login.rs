//! `hallpass login`: signs in again, even if there is a session, and ends the pause after a failed
//! sign-in.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{AdHocArgs, Asking, Common, Target, epilogue, parsed};
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::serving::prepared::Prepared;
use crate::serving::target::select_account;
use crate::session::Account;

/// Sign in again
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass login corp
  hallpass login corp --account work
  hallpass login corp --flow device        # on a machine without a browser"))]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) ad_hoc: AdHocArgs,
    #[command(flatten)]
    pub(super) asking: Asking,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let args: Arguments = parsed("login", words)?;
    let prepared = Prepared::new(env, &args.common, Some(&args.asking))?;
    let chosen = select_account(&prepared.config, &args.target, &args.ad_hoc)?;
    let name = chosen.provider.name.clone();
    let account = Account::new(
        prepared.context(),
        chosen.provider,
        &chosen.account,
        chosen.login,
    )?;
    let result = account.sign_in();
    if let Ok(kept) = &result {
        let who = kept
            .value
            .person
            .as_ref()
            .map_or_else(String::new, |person| format!(" as {}", person.shown()));
        prepared.terminal.say(&format!(
            "signed in to {name}{who} (account {})",
            chosen.account
        ));
    }
    account.tell_tab();
    result?;
    Ok(Exit::Answered.into())
}
