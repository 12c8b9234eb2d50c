//! Serves a tool: a protocol's request, answered from a session.

use std::io;
use std::process::ExitCode;

use super::{Chosen, Prepared};
use crate::credential::{Action, Call, Credential, Refusal, Reply, Request};
use crate::error::Error;
use crate::protocol::Protocol;
use crate::report::Exit;
use crate::session::{Account, token_of};

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
    }
}

fn credential(
    request: &Request,
    account: &Account<'_>,
    username: &str,
) -> Result<Credential, Error> {
    let kept = account.token(&request.want)?;
    let token = token_of(&kept.value, request.want.token)?;
    let session = kept.value;
    Ok(Credential {
        token,
        token_type: session.tokens.token_type.clone(),
        expires_at: session.tokens.expires_at(request.want.token),
        scopes: session.tokens.scopes.clone(),
        username: username.to_owned(),
        provider: account.provider().name.clone(),
        account: session.identity.account,
        generation: kept.generation,
    })
}

fn refusal(error: &Error) -> Refusal {
    let report = error.report();
    match report.exit {
        Exit::SignInNeeded => Refusal::NotSignedIn(report),
        Exit::NotSignedIn => Refusal::Declined(report),
        Exit::Answered | Exit::Failed | Exit::Usage => Refusal::Failed(report),
    }
}

/// The user name that goes with a provider's tokens, where a tool wants one.
pub(super) fn username(chosen: &Chosen) -> String {
    chosen
        .username
        .clone()
        .or_else(|| chosen.provider.git_username.clone())
        .unwrap_or_else(|| "oauth2".to_owned())
}
