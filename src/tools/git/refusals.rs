//! Why git gets no token, and what the user can do about it.

use super::names::may_be_token;
use super::target::Target;
use crate::credential::{Refusal, Request};
use crate::error::Error;
use crate::provider::Match;
use crate::report::{Exit, Report, printable};
use crate::serving::serve::{ServeError, Served};
use crate::serving::target::login_of;
use crate::session;
use crate::shell::quoted;

/// No provider is configured for the host, and nothing is stored for it. If its challenge looks
/// like a known forge, a line on stderr shows how to set it up.
pub(super) fn unknown(tool: &Served<'_>, request: &Request, target: &Target) -> ServeError {
    if let (Some(_), Some((forge, preset))) = (&target.url, forge_of(&request.challenges)) {
        let host = quoted(&target.host);
        // Any server can send this challenge. Suggesting a configured provider would send its
        // tokens there.
        let mut configured = tool.prepared.config.providers();
        let provider = if configured.any(|name| name == preset) {
            format!("--issuer-url {} --client-id ID", quoted(&target.realm))
        } else {
            format!("--provider {preset}")
        };
        // The set-up says where to register an application, if it needs one.
        tool.prepared.terminal.say(&format!(
            "{host} says that it is {forge}. If you trust it, run `hallpass setup git --host \
             {host} {provider}` to sign in with the browser"
        ));
    }
    ServeError::refused(Refusal::NotMine)
}

/// `hallpass.account` names an account that does not exist.
pub(super) fn not_signed_in(
    first: &Match,
    target: &Target,
    account: &str,
    place: Option<&str>,
    known: &[String],
) -> ServeError {
    let login = login_of(&first.provider, account);
    let place = place.map_or_else(String::new, |place| format!(" in {place}"));
    // The name may be misspelt.
    let (accounts, choose) = match known {
        [] => (String::new(), ""),
        _ => (
            format!(" (other accounts: {})", printable(&known.join(", "))),
            ", or choose another account with `git config hallpass.account NAME`",
        ),
    };
    ServeError::refused(Refusal::NotSignedIn(Report {
        error: format!(
            "hallpass.account{place} names the account {} for {}, but that account is not \
             signed in{accounts}",
            printable(account),
            target.shown()
        ),
        causes: Vec::new(),
        hint: Some(format!("run `{}`{choose}", login.this)),
        exit: Exit::SignInNeeded,
    }))
}

/// The user name in the request matches no account. It isn't shown if it may be a token.
pub(super) fn nobody_of_that_name(
    first: &Match,
    target: &Target,
    username: &str,
    folder: Option<&str>,
    accounts: &[String],
) -> ServeError {
    let folder = folder.map_or_else(String::new, |folder| format!(" (repository {folder})"));
    let (user, remedy) = if may_be_token(username) {
        (
            "a user name that looks like a token, and that".to_owned(),
            "remove it from the URL and revoke it, because git stores URLs unencrypted".to_owned(),
        )
    } else {
        (
            format!("the user name {}, which", printable(username)),
            format!(
                "sign in with `{}`",
                login_of(&first.provider, username).this
            ),
        )
    };
    ServeError::refused(Refusal::NotSignedIn(Report {
        error: format!(
            "the URL {}{folder} has {user} matches no account. The accounts are: {}",
            target.shown(),
            printable(&accounts.join(", "))
        ),
        causes: Vec::new(),
        hint: Some(format!(
            "choose an account with `git config hallpass.account NAME`, or {remedy}"
        )),
        exit: Exit::SignInNeeded,
    }))
}

/// The account was signed out between two requests of one command.
pub(super) fn signed_out(first: &Match, target: &Target, account: &str) -> ServeError {
    let login = login_of(&first.provider, account);
    ServeError::refused(Refusal::NotSignedIn(Report {
        error: format!(
            "the account {} for {} is no longer signed in",
            printable(account),
            target.shown()
        ),
        causes: Vec::new(),
        hint: Some(format!("run `{}`", login.this)),
        exit: Exit::SignInNeeded,
    }))
}

/// The request doesn't confirm that TLS protects the token on its way to the mail server.
pub(super) fn unprotected(target: &Target) -> ServeError {
    ServeError::refused(Refusal::Failed(no_tls(target)))
}

pub(super) fn no_tls(target: &Target) -> Report {
    Report {
        error: format!(
            "{} may be reached without TLS, so hallpass sends no token there",
            target.shown()
        ),
        causes: Vec::new(),
        hint: Some(
            "for git send-email, run `git config --global sendemail.smtpEncryption tls`; for git \
             imap-send, use an imaps:// host"
                .to_owned(),
        ),
        exit: Exit::Failed,
    }
}

/// If the server refuses a valid token, git must stop instead of asking for a user name.
pub(super) fn refused_for_good(error: Error) -> ServeError {
    if let Error::Session(session::Error::NotAccepted(_)) = &error {
        return ServeError::refused(Refusal::Declined(error.report()));
    }
    ServeError::Failed(error)
}

/// The forge that a server's challenge suggests, and its preset. It only improves a message: any
/// host can send any challenge.
fn forge_of(challenges: &[String]) -> Option<(&'static str, &'static str)> {
    [
        ("GitLab", "gitlab"),
        ("Gitea", "gitea"),
        ("Forgejo", "forgejo"),
    ]
    .into_iter()
    .find(|(forge, _)| {
        let realm = format!("realm=\"{forge}\"");
        challenges
            .iter()
            .any(|challenge| challenge.contains(&realm))
    })
}
