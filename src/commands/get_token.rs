//! `hallpass get-token`: a token for everything that has no protocol of its own.

use std::ffi::OsString;
use std::process::ExitCode;

use time::Duration;

use super::recall::Recall;
use super::{Prepared, answer, chosen};
use crate::cli::GetToken;
use crate::credential::{Reply, TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::plain::{Format, Plain};
use crate::resolution::Resolution;
use crate::session::Account;

/// The question that a command line is, before anybody has parsed it.
pub(super) fn recall<'e>(env: &'e Env, args: &[OsString]) -> Recall<'e> {
    Recall::new(env, "get-token", args, [])
}

/// Answers a command line that was answered before, while its token is good.
pub(super) fn again(env: &Env, recall: &Recall<'_>) -> Option<Result<ExitCode, Error>> {
    let recalled = recall.credential(Duration::ZERO, None)?;
    let format = Format::named(&recalled.form)?;
    let want = Want {
        token: TokenKind::Access,
        fresh_for: Duration::ZERO,
        refused: None,
    };
    let plain = Plain {
        format,
        account: None,
        want,
    };
    let mut credential = Some(recalled.credential);
    let mut reply = |_: &_| Ok(credential.take().map_or(Reply::Done, Reply::Credential));
    let served = answer::call(env, &[], |call| plain.serve(call, &mut reply));
    Some(served)
}

pub(super) fn run(
    env: &Env,
    args: &GetToken,
    recall: Option<&Recall<'_>>,
) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, Some(&args.asking))?;
    let chosen = chosen(&prepared.config, &args.target, &args.ad_hoc)?;
    if args.target.account.is_some() {
        prepared.require_known_account(&chosen)?;
    }
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
    let served = answer::serve(&prepared, &protocol, &account, &username)?;
    if let Some(recall) = recall
        && served == ExitCode::SUCCESS
        && !args.force_refresh
    {
        let resolution = Resolution {
            record: account.record().clone(),
            token,
            username,
            bearer: account.provider().git_bearer,
            form: args.format.as_str().to_owned(),
            unless: None,
        };
        recall.remember(&prepared, &resolution);
    }
    Ok(served)
}
