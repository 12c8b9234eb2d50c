//! Serves a tool: a protocol's request, answered from a session.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use super::prepared::Prepared;
use crate::credential::{Action, Call, Credential, Refusal, Reply, Request, TokenKind};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Provider;
use crate::report::Exit;
use crate::session::record::{Person, Session};
use crate::session::{self, Account, token_of};
use crate::store::Versioned;
use crate::wire::Protocol;

/// Serves one run of a protocol for one account. The tool has its reply before a waiting browser
/// tab is told how it ended.
pub(crate) fn serve(
    prepared: &Prepared<'_>,
    protocol: &dyn Protocol,
    account: &Account<'_>,
    username: &str,
) -> Result<ExitCode, Error> {
    let served = call(prepared.env, &[], |call| {
        protocol.serve(call, &mut |request| answer(request, account, username))
    });
    account.tell_tab();
    served
}

/// One call of a tool, with this process's own streams.
pub(crate) fn call(
    env: &Env,
    args: &[OsString],
    serve: impl FnOnce(&mut Call<'_>) -> io::Result<ExitCode>,
) -> Result<ExitCode, Error> {
    serve(&mut Call {
        args,
        env,
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    })
    .map_err(Error::Reply)
}

fn answer(request: &Request, account: &Account<'_>, username: &str) -> Result<Reply, Refusal> {
    match request.action {
        Action::Get => credential(request, account, username)
            .map(Reply::Credential)
            .map_err(|error| refusal(&error)),
        // A session has only its own tokens: there is nothing to store, erase or list.
        Action::Store(_) | Action::Erase(_) | Action::List => Ok(Reply::Done),
    }
}

fn credential(
    request: &Request,
    account: &Account<'_>,
    username: &str,
) -> Result<Credential, Error> {
    let session = account.token(&request.want)?;
    let bearer = account.provider().git_bearer;
    Ok(credential_of(
        session,
        request.want.token,
        username.to_owned(),
        bearer,
    )?)
}

/// The credential that a tool gets from a session.
pub(crate) fn credential_of(
    session: Versioned<Session>,
    token: TokenKind,
    username: String,
    bearer: bool,
) -> Result<Credential, session::Error> {
    let Versioned {
        value: session,
        generation,
    } = session;
    let renewable = session.is_renewable();
    Ok(Credential {
        token: token_of(&session, token)?,
        token_type: session.tokens.token_type.clone(),
        expires_at: session.tokens.expires_at(token),
        scopes: session.tokens.scopes.clone(),
        username,
        provider: session.provider,
        account: session.identity.account,
        generation,
        bearer,
        renewable,
    })
}

pub(crate) fn refusal(error: &Error) -> Refusal {
    let report = error.report();
    match report.exit {
        Exit::SignInNeeded => Refusal::NotSignedIn(report),
        Exit::NotSignedIn => Refusal::Declined(report),
        Exit::Answered | Exit::Failed | Exit::Usage => Refusal::Failed(report),
    }
}

/// The reply style of a resolution whose user name is the person who signed in; see [`person_of`].
pub(crate) const NAMED_AFTER_PERSON: &str = "person";

/// The person who signed in, as a user name. It must not contain a colon (RFC 7617 §2).
pub(crate) fn person_of(session: &Session) -> String {
    let name = session.person.as_ref().map(Person::shown);
    name.filter(|name| !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control()))
        .unwrap_or("oauth2")
        .to_owned()
}

/// The user name for a provider's tokens, for tools that need one.
pub(crate) fn username(of_resource: Option<&str>, provider: &Provider) -> String {
    of_resource
        .or(provider.git_username.as_deref())
        .unwrap_or("oauth2")
        .to_owned()
}
