//! Answers requests. `cluster` selects the provider and account, `entry` records the server of an
//! exec entry, and `handouts` tells a repeated request from a new one.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use time::{Duration, OffsetDateTime};

use super::arguments::{Arguments, NAME, entry_word};
use super::caller::Caller;
use super::cluster::{self, ClusterLogin};
use super::entry;
use super::error::refusal;
use super::handouts::{self, Handouts, Turn};
use super::parent::shares_stderr;
use super::protocol::{self, ExecPlugin};
use crate::config::Settings;
use crate::credential::{Answer, Call, Credential, Refusal, Reply, Request, TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::report::{Exit, Report};
use crate::serving::answer;
use crate::serving::prepared::Prepared;
use crate::serving::recall::{Recall, Recalled};
use crate::serving::resolution::Resolution;
use crate::serving::serve::{self, AfterReply, ServeError, Served};
use crate::serving::target::{SelectedAccount, login_of};
use crate::session::record::Session;
use crate::session::{self, Account, Context};
use crate::store::{self, AtHand, Place, RecordName, StoreError, Versioned};
use crate::terminal::Terminal;
use crate::wire::Protocol;

/// Answers a remembered request while its token is valid, without parsing the command line.
pub(crate) fn replay<'e>(env: &'e Env, words: &'e [OsString]) -> Option<Result<ExitCode, Error>> {
    protocol::info(env)?;
    let recalled = question(env, words).credential(Duration::ZERO, None)?;
    let mut credential = Some(recalled.credential);
    let mut reply = |_: &_| Ok(credential.take().map_or(Reply::Done, Reply::Credential));
    let served = answer::call(env, &[], |call| ExecPlugin.serve(call, &mut reply));
    Some(served)
}

/// `words` are what `args` was parsed from.
pub(crate) fn run(env: &Env, args: &Arguments, words: &[OsString]) -> Result<ExitCode, Error> {
    let version = args.api_version.as_ref().map(OsString::from);
    let once = ErrorsOnce {
        words,
        repeats: args.common.verbose > 0,
    };
    let caller = match Caller::of(env) {
        Ok(caller) => caller,
        Err(stop) => {
            let mut refusal = Some(Refusal::from(stop));
            let mut refused = |_: &_| Err(refusal.take().unwrap_or(Refusal::NotMine));
            return answer::call(env, version.as_slice(), |call| {
                once.serve(call, &mut refused)
            });
        }
    };
    let env = &caller.env;
    serve::serve(
        env,
        NAME,
        &once,
        version.as_ref(),
        |_| Some(question(env, words)),
        |_| {
            let mut prepared = serve::prepared(env, &args.common, &args.asking, false)?;
            let settings = &mut prepared.config.settings;
            settings.browser = caller.browser(settings.browser.take());
            Ok(prepared)
        },
        |served, request, outcome| {
            let credential = credential(served, args, words, request, outcome);
            Ok(credential.map(Reply::Credential)?)
        },
    )
}

/// The protocol, showing the errors of one kubectl command once: kubectl starts its plugin up to six
/// times for it, with its own stderr. A client that captures stderr gets each error.
struct ErrorsOnce<'w> {
    words: &'w [OsString],
    /// Shows each of them nevertheless.
    repeats: bool,
}

impl Protocol for ErrorsOnce<'_> {
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode> {
        let mut error = Vec::new();
        let code = ExecPlugin.serve(
            &mut Call {
                args: call.args,
                env: call.env,
                stdin: &mut *call.stdin,
                stdout: &mut *call.stdout,
                stderr: &mut error,
            },
            answer,
        );
        // Without it, a person is running hallpass.
        let info = protocol::info(call.env)
            .filter(|_| !self.repeats && !error.is_empty() && shares_stderr());
        let is_new = info.is_none_or(|info| {
            let words = self.words.iter().map(|word| word.as_encoded_bytes());
            let request: Vec<&[u8]> = std::iter::once(info.as_bytes()).chain(words).collect();
            let follows = String::from_utf8_lossy(&error).contains(FAILED_BEFORE);
            handouts::is_new_error(call.env, &request, (!follows).then_some(&error))
        });
        if is_new {
            // A closed stderr is no reason to fail.
            let _ = call.stderr.write_all(&error);
        }
        code
    }
}

/// The lookup of a request among the remembered ones. The token is returned unless the request is a
/// repeat.
fn question<'e>(env: &'e Env, words: &'e [OsString]) -> Recall<'e> {
    let asked = protocol::info(env).map(str::as_bytes);
    let entry = entry_word(words.iter().filter_map(|word| word.to_str()));
    let recorded = entry.and_then(|id| {
        let data = AtHand::open(&store::data_dir(env).ok()?).ok()??;
        entry::at_hand(&data, id)
    });
    let asked = [asked, recorded.as_deref()];
    Recall::new(env, NAME, words, asked).checked(move |recalled| {
        let Recalled { record, token, .. } = &recalled;
        // With `-v` nothing is recalled.
        let handouts = handouts(env, Terminal::new(0), record, *token, entry);
        let now = crate::clock::now(env);
        let turn = handouts.turn(now);
        if matches!(turn, Turn::Repeat(_)) {
            return None;
        }
        let until = match recalled.credential.expires_at {
            None => None,
            Some(expires_at) => Some(reported(expires_at, now)?),
        };
        handouts.handed_out(turn, recalled.credential.generation, until);
        Some(Recalled {
            credential: Credential {
                expires_at: until,
                ..recalled.credential
            },
            ..recalled
        })
    })
}

/// What this parent received from a record, for the same request. If a client doesn't describe its
/// cluster, the exec entry identifies it.
fn handouts(
    env: &Env,
    terminal: Terminal,
    record: &RecordName,
    token: TokenKind,
    entry: Option<&str>,
) -> Handouts {
    let info = protocol::info(env).unwrap_or_default();
    let entry = entry.unwrap_or_default();
    let request = [
        info.as_bytes(),
        &[u8::from(token == TokenKind::Id)],
        entry.as_bytes(),
    ];
    Handouts::open(env, terminal, record.as_str(), &request)
}

/// The credential. Keeps the account in `asked`, because its browser tab may still be waiting.
fn credential<'p>(
    served: &Served<'p>,
    args: &Arguments,
    words: &[OsString],
    request: &Request,
    outcome: &mut AfterReply<'p>,
) -> Result<Credential, ServeError> {
    let prepared = served.prepared;
    let opened = cluster::cluster_login(prepared, args, request.cluster.as_ref())?;
    // If nothing is saved, each run would sign in again, and kubectl makes up to six.
    if prepared.store.place()? == Place::None {
        return Err(StoreError::NotSaved.into());
    }
    let token = opened.token;
    let username = answer::username(opened.chosen.username.as_deref(), &opened.chosen.provider);
    let account = |settings| account(prepared, settings, &opened);
    let mut chosen = account(&prepared.config.settings)?;
    let handouts = handouts(
        prepared.env,
        prepared.terminal,
        chosen.record(),
        token,
        args.entry.as_deref(),
    );
    let was_in_vain = handouts.was_in_vain();
    if was_in_vain {
        chosen = account(served.unattended)?;
    }
    let account = outcome.asked.insert(chosen);
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
    // The command line, the request and the configuration determined it, so it can be remembered.
    let is_whole_question =
        entry_word(words.iter().filter_map(|word| word.to_str())) == args.entry.as_deref();
    outcome.resolution = is_whole_question.then(|| Resolution {
        record: account.record().clone(),
        token,
        username: credential.username.clone(),
        bearer: false,
        reply_style: String::new(),
        shadowed_by: None,
    });
    Ok(Credential {
        expires_at: until,
        ..credential
    })
}

fn account<'p>(
    prepared: &'p Prepared<'p>,
    settings: &'p Settings,
    opened: &ClusterLogin,
) -> Result<Account<'p>, Error> {
    let SelectedAccount {
        provider,
        account,
        login,
        ..
    } = &opened.chosen;
    let context = Context {
        settings,
        ..prepared.context()
    };
    let what = format!("kubectl at {}", opened.server);
    let chosen = Account::new(context, provider.clone(), account, login.clone())?;
    let chosen = chosen.wanted_for(&what);
    Ok(match &opened.proxy {
        Some(proxy) => chosen.through(proxy.clone()),
        None => chosen,
    })
}

/// Another token for a parent that repeats a request before the expiry, if there is one.
fn replaced(
    prepared: &Prepared<'_>,
    account: &Account<'_>,
    token: TokenKind,
    turn: Turn,
) -> Option<Versioned<Session>> {
    let Turn::Repeat(refused) = turn else {
        return None;
    };
    let warn = |why: &str| {
        prepared.terminal.warn(&format!(
            "the API server seems to have refused the token, and it could not be refreshed: {why}"
        ));
    };
    match account.replaced(token, refused) {
        Ok(None) => {
            let kept = account.served_session().ok().flatten();
            let cannot_be = |kept: &Versioned<Session>| {
                kept.generation == refused && kept.value.tokens.usable_refresh_token().is_none()
            };
            if let Some(Versioned { value, .. }) = kept.filter(cannot_be) {
                let login = login_of(account.provider(), &value.identity.account);
                warn(&format!(
                    "the session has no usable refresh token; run `{}` to sign in again",
                    login.this
                ));
            }
            None
        }
        Ok(replaced) => replaced,
        Err(error) => {
            let Report { error, causes, .. } = Error::from(error).report();
            warn(&[vec![error], causes].concat().join(": "));
            None
        }
    }
}

/// Whether another process's sign-in failed.
fn is_heard_from_another(error: &session::Error) -> bool {
    use session::Error as E;
    matches!(
        error,
        E::Declined { .. } | E::TimedOut { .. } | E::OtherSignInFailed { .. }
    )
}

const FAILED_BEFORE: &str =
    "a sign-in for the same program has already failed, so hallpass won't ask again";

/// The error if a sign-in is needed but one for this parent has already failed.
fn not_again(error: session::Error) -> ServeError {
    let mut report = Error::from(error).report();
    report.causes.push(FAILED_BEFORE.to_owned());
    ServeError::refused(Refusal::NotSignedIn(report))
}

/// How much earlier than its real expiry a token is reported to expire, so that requests in transit
/// are still accepted.
const EARLY: Duration = Duration::seconds(60);

/// The expiry reported to kubectl, in whole seconds: a little early, but never in the past, because
/// kubectl runs its plugin again for each request after that. `None` for an expired token. In the
/// last second of a token's lifetime, the expiry is rounded up.
fn reported(expires_at: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
    if expires_at <= now {
        return None;
    }
    let early = EARLY.min((expires_at - now) / 10);
    let until = (expires_at - early).replace_nanosecond(0).ok()?;
    if until > now {
        return Some(until);
    }
    now.replace_nanosecond(0)
        .ok()?
        .checked_add(Duration::SECOND)
}

fn expired() -> ServeError {
    refusal(
        "by this machine's clock, the token has already expired".to_owned(),
        "check the clock with `date`; if it is right, the lifetime of the provider's tokens is too short"
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
            // In its last second it has not expired yet.
            (1_000, 0, Some(1_000)),
            (1_100, 200, Some(1_000)),
            (1_000, 999, Some(1_000)),
            (0, 0, None),
            (-5_000, 0, None),
        ] {
            let found = reported(at(expires_at), at(now));
            assert_eq!(found, expected.map(at), "{expires_at} {now}");
        }
    }
}
