//! Serves a tool: a protocol's request, answered from a session.

use std::io;
use std::process::ExitCode;

use super::Prepared;
use crate::credential::{Action, Call, Credential, Refusal, Reply, Request, TokenKind};
use crate::error::Error;
use crate::protocol::Protocol;
use crate::provider::Provider;
use crate::report::Exit;
use crate::session::record::Session;
use crate::session::{self, Account, token_of};
use crate::store::Kept;

/// Serves one run of a protocol for one account. The tool has its reply before a waiting browser
/// tab is told how it ended.
pub(super) fn serve(
    prepared: &Prepared<'_>,
    protocol: &dyn Protocol,
    account: &Account<'_>,
    username: &str,
) -> Result<ExitCode, Error> {
    let mut call = Call {
        args: &[],
        env: prepared.env,
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
    };
    let served = protocol
        .serve(&mut call, &mut |request| answer(request, account, username))
        .map_err(Error::Reply);
    account.tell_tab();
    served
}

fn answer(request: &Request, account: &Account<'_>, username: &str) -> Result<Reply, Refusal> {
    match request.action {
        Action::Get => credential(request, account, username)
            .map(Reply::Credential)
            .map_err(|error| refusal(&error)),
        // A session keeps its own tokens, and nobody else's.
        Action::Store(_) | Action::Erase(_) | Action::List => Ok(Reply::Done),
    }
}

fn credential(
    request: &Request,
    account: &Account<'_>,
    username: &str,
) -> Result<Credential, Error> {
    let kept = account.token(&request.want)?;
    let bearer = account.provider().git_bearer;
    Ok(credential_of(
        kept,
        request.want.token,
        username.to_owned(),
        bearer,
    )?)
}

/// What a tool is handed of a session.
pub(super) fn credential_of(
    kept: Kept<Session>,
    token: TokenKind,
    username: String,
    bearer: bool,
) -> Result<Credential, session::Error> {
    let Kept {
        value: session,
        generation,
    } = kept;
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
        renewable: session.tokens.refresh_token.is_some(),
    })
}

pub(super) fn refusal(error: &Error) -> Refusal {
    let report = error.report();
    match report.exit {
        Exit::SignInNeeded => Refusal::NotSignedIn(report),
        Exit::NotSignedIn => Refusal::Declined(report),
        Exit::Answered | Exit::Failed | Exit::Usage => Refusal::Failed(report),
    }
}

/// The user name that goes with a provider's tokens, where a tool wants one.
pub(super) fn username(of_resource: Option<&str>, provider: &Provider) -> String {
    of_resource
        .or(provider.git_username.as_deref())
        .unwrap_or("oauth2")
        .to_owned()
}
