//! `hallpass get-token`: prints a token, for programs without a credential protocol of their own.

use clap::Args;

use crate::arguments::{AdHocArgs, Asking, Common, Target, epilogue, parsed, token_kind};
use std::ffi::OsString;
use std::process::ExitCode;

use time::Duration;

use crate::credential::{Reply, TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::serving::answer;
use crate::serving::format::{Format, Plain};
use crate::serving::prepared::Prepared;
use crate::serving::recall::Recall;
use crate::serving::resolution::Resolution;
use crate::serving::target::select_account;
use crate::session::Account;
use crate::wire::Protocol as _;

pub(super) use crate::serving::target::GET_TOKEN as NAME;

/// Print a token, and refresh it or sign in if necessary
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass get-token corp
  hallpass get-token https://git.corp.example --format json
  hallpass get-token corp --format header | curl -H @- https://api.corp.example"))]
pub(super) struct Arguments {
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    pub(super) format: Format,
    /// Which token: the access token or the ID token
    #[arg(long, value_parser = token_kind, value_name = "access|id")]
    pub(super) token: Option<TokenKind>,
    /// Refresh the token first, for example after a server rejected it
    #[arg(long)]
    pub(super) force_refresh: bool,
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) ad_hoc: AdHocArgs,
    #[command(flatten)]
    pub(super) asking: Asking,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Answers a command line that was answered before, if its token is still valid.
fn replay(env: &Env, recall: &Recall<'_>) -> Option<Result<ExitCode, Error>> {
    let recalled = recall.credential(Duration::ZERO, None)?;
    let format = Format::named(&recalled.reply_style)?;
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

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let recall = Recall::new(env, NAME, words, []);
    if let Some(answered) = replay(env, &recall) {
        return answered;
    }
    answer_in_full(env, &parsed(NAME, words)?, &recall)
}

fn answer_in_full(env: &Env, args: &Arguments, recall: &Recall<'_>) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, Some(&args.asking))?;
    let chosen = select_account(&prepared.config, &args.target, &args.ad_hoc)?;
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
    if served == ExitCode::SUCCESS && !args.force_refresh {
        let resolution = Resolution {
            record: account.record().clone(),
            token,
            username,
            bearer: account.provider().git_bearer,
            reply_style: args.format.as_str().to_owned(),
            shadowed_by: None,
        };
        recall.remember(&prepared, &resolution);
    }
    Ok(served)
}
