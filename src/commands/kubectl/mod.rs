//! `hallpass kubectl`: serves kubectl, and whatever else reads a kubeconfig.
//!
//! Nothing is read and nothing is opened before the request has been understood.

mod cluster;
mod handouts;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Args as _, FromArgMatches as _};
use time::{Duration, OffsetDateTime};

use super::answer::refusal;
use super::{Chosen, Prepared, answer};
use crate::cli::Kubectl as KubectlArgs;
use crate::config::{Interactive, Settings};
use crate::credential::{Call, Credential, Refusal, Reply, Request, TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::protocol::Protocol as _;
use crate::protocol::kubectl::{INFO, Kubectl};
use crate::report::{Exit, Report};
use crate::session::record::Session;
use crate::session::{self, Account, Context};
use crate::store::{Kept, Place, StoreError};
use handouts::{Handouts, Turn};

/// What follows the verb.
pub(super) fn parsed(args: &[OsString]) -> Result<KubectlArgs, clap::Error> {
    let command = KubectlArgs::augment_args(clap::Command::new("hallpass kubectl"));
    let name = OsString::from("hallpass kubectl");
    let matches = command.try_get_matches_from([&name].into_iter().chain(args))?;
    KubectlArgs::from_arg_matches(&matches)
}

/// kubectl has its reply before a waiting browser tab is told how it ended.
pub(super) fn run(env: &Env, args: &KubectlArgs) -> Result<ExitCode, Error> {
    let prepared = OnceCell::new();
    let unattended = OnceCell::new();
    let mut asked = None;
    let mut answer = |request: &Request| -> Result<Reply, Refusal> {
        let fresh = Prepared::new(env, &args.common, Some(&args.asking));
        let fresh = fresh.map_err(|error| refusal(&error))?;
        let prepared = prepared.get_or_init(|| fresh);
        let unattended = unattended.get_or_init(|| Settings {
            interactive: Interactive::Never,
            ..prepared.config.settings.clone()
        });
        let credential = credential(prepared, unattended, args, request, &mut asked);
        credential
            .map(Reply::Credential)
            .map_err(|stop| match stop {
                Stop::Refused(refusal) => *refusal,
                Stop::Failed(error) => refusal(&error),
            })
    };
    let mut call = Call {
        args: &[],
        env,
        stdin: &mut io::empty(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    };
    let served = Kubectl.serve(&mut call, &mut answer).map_err(Error::Reply);
    if let Some(account) = &asked {
        account.tell_tab();
    }
    served
}

/// Why there is no credential.
enum Stop {
    Refused(Box<Refusal>),
    Failed(Error),
}

impl Stop {
    /// An error that is nobody else's, and what to do about it.
    fn because(error: String, hint: String, exit: Exit) -> Self {
        let report = Report {
            error,
            causes: Vec::new(),
            hint: Some(hint),
            exit,
        };
        Self::Refused(Box::new(match exit {
            Exit::SignInNeeded => Refusal::NotSignedIn(report),
            Exit::Answered | Exit::Failed | Exit::Usage | Exit::NotSignedIn => {
                Refusal::Failed(report)
            }
        }))
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The credential; who was asked for it stays in `asked`, for a tab may be waiting.
fn credential<'p>(
    prepared: &'p Prepared<'p>,
    unattended: &'p Settings,
    args: &KubectlArgs,
    request: &Request,
    asked: &mut Option<Account<'p>>,
) -> Result<Credential, Stop> {
    let opened = cluster::opened(prepared, args, request.cluster.as_ref())?;
    // Where nothing is kept, each run would sign in anew, and kubectl makes up to six.
    if prepared.store.place()? == Place::None {
        return Err(StoreError::NothingKept.into());
    }
    let token = opened.token;
    let username = answer::username(opened.chosen.username.as_deref(), &opened.chosen.provider);
    let account = |settings| account(prepared, settings, &opened, request);
    let mut chosen = account(&prepared.config.settings)?;
    let handouts = Handouts::open(
        &prepared.store,
        prepared.env,
        prepared.terminal,
        chosen.record().as_str(),
        &[
            prepared.env.var(INFO).unwrap_or_default().as_bytes(),
            &[u8::from(token == TokenKind::Id)],
        ],
    );
    let was_in_vain = handouts.was_in_vain();
    if was_in_vain {
        chosen = account(unattended)?;
    }
    let account = asked.insert(chosen);
    let turn = handouts.turn(crate::clock::now(prepared.env));
    let kept = match replaced(prepared, account, token, turn) {
        Some(kept) => Ok(kept),
        None => account.token(&Want {
            token,
            ..request.want
        }),
    };
    let kept = match kept {
        Ok(kept) => kept,
        Err(error @ session::Error::SignInNeeded { .. }) if was_in_vain => {
            return Err(not_again(error));
        }
        Err(error) => {
            if account.has_asked() || is_heard_from_another(&error) {
                handouts.asked_in_vain();
            }
            return Err(error.into());
        }
    };
    let credential = answer::credential_of(kept, token, username, false)?;
    let now = crate::clock::now(prepared.env);
    let until = match credential.expires_at {
        None => None,
        Some(expires_at) => Some(reported(expires_at, now).ok_or_else(expired)?),
    };
    handouts.handed_out(turn, credential.generation, until);
    Ok(Credential {
        expires_at: until,
        ..credential
    })
}

fn account<'p>(
    prepared: &'p Prepared<'p>,
    settings: &'p Settings,
    opened: &cluster::Opened,
    request: &Request,
) -> Result<Account<'p>, Error> {
    let Chosen {
        provider,
        account,
        login,
        ..
    } = &opened.chosen;
    let context = Context {
        settings,
        ..prepared.context()
    };
    let what = match &request.cluster {
        Some(cluster) => format!("kubectl at {}", cluster.server),
        None => "kubectl".to_owned(),
    };
    let chosen = Account::new(context, provider.clone(), account, login.clone())?;
    let chosen = chosen.wanted_for(what);
    Ok(match &opened.proxy {
        Some(proxy) => chosen.through(proxy.clone()),
        None => chosen,
    })
}

/// Another token for a parent that comes back before its time, if there is one to be had.
fn replaced(
    prepared: &Prepared<'_>,
    account: &Account<'_>,
    token: TokenKind,
    turn: Turn,
) -> Option<Kept<Session>> {
    let Turn::Repeat(refused) = turn else {
        return None;
    };
    account.replaced(token, refused).unwrap_or_else(|error| {
        let Report { error, causes, .. } = Error::from(error).report();
        let why = [vec![error], causes].concat().join(": ");
        prepared.terminal.warn(&format!(
            "the API server seems to have refused the token, and it could not be refreshed: {why}"
        ));
        None
    })
}

/// Whether a sign-in failed that another process was at.
fn is_heard_from_another(error: &session::Error) -> bool {
    use session::Error as E;
    matches!(
        error,
        E::Declined { .. } | E::TimedOut { .. } | E::LeaderFailed { .. }
    )
}

/// A sign-in is needed, and this parent has had somebody asked before.
fn not_again(error: session::Error) -> Stop {
    let mut report = Error::from(error).report();
    report.causes.push(
        "a sign-in that the same program asked for did not succeed, so it is not asked for again"
            .to_owned(),
    );
    Stop::Refused(Box::new(Refusal::NotSignedIn(report)))
}

/// How much before its end a token is said to expire: what is on its way must still be taken.
const EARLY: Duration = Duration::seconds(60);

/// The expiry that kubectl is told, in whole seconds: a little early, and never in the past, for
/// kubectl runs its plugin again for each request after it.
fn reported(expires_at: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let early = EARLY.min((expires_at - now) / 10);
    let until = (expires_at - early).replace_nanosecond(0).ok()?;
    (until > now).then_some(until)
}

fn expired() -> Stop {
    Stop::because(
        "the token has expired already, by this machine's clock".to_owned(),
        "check the clock with `date`; if it is right, the provider's tokens live too short"
            .to_owned(),
        Exit::Failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_reported_a_little_early_and_never_in_the_past() {
        let at = |milliseconds: i64| {
            OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(1_000_000_000 + milliseconds)
        };
        for (expires_at, now, expected) in [
            (3_600_000, 0, Some(3_540_000)),
            (600_000, 0, Some(540_000)),
            (100_000, 0, Some(90_000)),
            (10_000, 0, Some(9_000)),
            (10_000, 500, Some(9_000)),
            (2_000, 0, Some(1_000)),
            (1_000, 0, None),
            (0, 0, None),
            (-5_000, 0, None),
        ] {
            let found = reported(at(expires_at), at(now));
            assert_eq!(found, expected.map(at), "{expires_at} {now}");
        }
    }
}
