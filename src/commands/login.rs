//! `hallpass login`: signs in anew, whatever is kept, and clears a pause after a failed sign-in.

use std::process::ExitCode;

use super::{Prepared, chosen};
use crate::cli::Login;
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::session::Account;

pub(super) fn run(env: &Env, args: &Login) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, Some(&args.asking))?;
    let chosen = chosen(&prepared.config, &args.target, &args.ad_hoc)?;
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
