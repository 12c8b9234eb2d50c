//! `hallpass get-token`: a token for everything that has no protocol of its own.

use std::process::ExitCode;

use time::Duration;

use super::{Prepared, answer, chosen};
use crate::cli::GetToken;
use crate::credential::{TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::plain::Plain;
use crate::session::Account;

pub(super) fn run(env: &Env, args: &GetToken) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, Some(&args.asking))?;
    let chosen = chosen(&prepared.config, &args.target, &args.ad_hoc)?;
    let username = answer::username(chosen.username.as_deref(), &chosen.provider);
    let token = args.token.or(chosen.token).unwrap_or(TokenKind::Access);
    let account = Account::new(
        prepared.context(),
        chosen.provider,
        &chosen.account,
        chosen.login,
    )?;
    let refused = if args.force_refresh {
        account.generation_to_force()?
    } else {
        None
    };
    let protocol = Plain {
        format: args.format,
        account: Some(chosen.account),
        want: Want {
            token,
            fresh_for: Duration::ZERO,
            refused,
        },
    };
    answer::serve(&prepared, &protocol, &account, &username)
}
