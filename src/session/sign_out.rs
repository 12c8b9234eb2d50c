//! Signs out: revokes the tokens at the provider (RFC 7009), and removes the session even if that
//! fails.

use url::Url;

use crate::http::{Http, Response};
use crate::oauth::token;
use crate::oauth::token::Client;
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::{Listed, LockKind, RecordName, Versioned};

use super::context::Context;
use super::error::Error;
use super::exchanged;
use super::record::Session;
use super::scopes::is_narrowed_from;

/// The result of signing out.
#[derive(Debug)]
pub struct SignedOut {
    pub session: Session,
    pub revocation: Revocation,
}

/// The result of revoking at the provider.
#[derive(Debug, Default)]
pub struct Revocation {
    /// What could not be revoked, when the user can do nothing about it.
    pub notes: Vec<String>,
    /// What should have been revoked but wasn't, and why.
    pub warnings: Vec<String>,
    /// The refresh token may still be valid, although the provider was asked to revoke it.
    pub failed: bool,
}

/// Revokes (RFC 7009) and removes one session. It is removed even if revoking fails.
pub fn sign_out(context: &Context<'_>, name: &RecordName) -> Result<Option<SignedOut>, Error> {
    let lock = context
        .store
        .lock(name, LockKind::Record, context.record_deadline())?;
    let Some(stored) = context.store.read::<Session>(name)? else {
        return Ok(None);
    };
    // Removed first, so that a process that is refreshing without the lock notices, and revokes its
    // new tokens.
    context.store.remove(name, &lock)?;
    let forgotten = exchanged::forget(context, name);
    let mut revocation = revoke(context, &stored.value);
    forgotten?;
    remove_narrower(context, name, &mut revocation)?;
    Ok(Some(SignedOut {
        session: stored.value,
        revocation,
    }))
}

/// Revokes and removes the tokens with fewer scopes that were obtained with the session's refresh
/// token. The caller holds the session's lock, so no others are obtained.
fn remove_narrower(
    context: &Context<'_>,
    session: &RecordName,
    revocation: &mut Revocation,
) -> Result<(), Error> {
    for Listed { name } in context.store.sessions()? {
        let is_one = |stored: &Versioned<Session>| is_narrowed_from(&stored.value, session);
        // An unreadable record is assumed to belong to another session.
        if !matches!(context.store.read(&name), Ok(Some(stored)) if is_one(&stored)) {
            continue;
        }
        if let Some(narrower) = sign_out(context, &name)? {
            revocation.warnings.extend(narrower.revocation.warnings);
        }
    }
    Ok(())
}

pub(super) fn revoke(context: &Context<'_>, session: &Session) -> Revocation {
    let Session {
        registration,
        tokens,
        identity,
        provider: name,
        ..
    } = session;
    let mut revocation = Revocation::default();
    let Some(endpoint) = &registration.revocation_endpoint else {
        revocation.notes.push(format!(
            "{name} has no revocation endpoint, so its tokens stay valid until they expire"
        ));
        return revocation;
    };
    let provider = Provider {
        name: name.clone(),
        client_secret_file: registration.client_secret_file.clone(),
        ..Provider::default()
    };
    let secret = match provider.client_secret() {
        Ok(secret) => secret,
        Err(error) => {
            revocation.warnings.push(error.to_string());
            revocation.failed = tokens.refresh_token.is_some();
            return revocation;
        }
    };
    let client = Client {
        id: &identity.client_id,
        secret: secret.as_ref(),
        auth: registration.client_auth,
    };
    let http = context.http(registration.ca_file.as_ref());

    // The refresh token first: it lives longest, and most servers revoke the other tokens with it.
    let mut is_refresh_token_dead = false;
    if let Some(token) = &tokens.refresh_token {
        match ask(&http, endpoint, &client, token, "refresh_token") {
            Ok(()) | Err(NotRevoked::WasDead) => is_refresh_token_dead = true,
            Err(NotRevoked::Refused { why, .. }) => {
                revocation
                    .warnings
                    .push(format!("the refresh token: {why}"));
                revocation.failed = true;
            }
            Err(NotRevoked::Unreachable(why)) => {
                // An unreachable server is not tried twice.
                revocation
                    .warnings
                    .push(format!("the refresh token and the access token: {why}"));
                revocation.failed = true;
                return revocation;
            }
        }
    }
    match ask(
        &http,
        endpoint,
        &client,
        &tokens.access_token,
        "access_token",
    ) {
        Ok(()) | Err(NotRevoked::WasDead) => (),
        // RFC 7009 §2.2: a server need not be able to revoke access tokens by themselves.
        Err(NotRevoked::Refused { why, status: 400 }) if is_refresh_token_dead => {
            revocation.notes.push(format!(
                "the provider does not revoke access tokens ({why}); this one will expire"
            ));
        }
        Err(NotRevoked::Refused { why, .. } | NotRevoked::Unreachable(why)) => {
            revocation.warnings.push(format!("the access token: {why}"));
        }
    }
    revocation
}

/// Why a token was not revoked.
enum NotRevoked {
    /// It was invalid already. RFC 7009 §2.2 requires status 200 for that, which not all servers
    /// send.
    WasDead,
    Refused {
        status: u16,
        why: String,
    },
    Unreachable(String),
}

fn ask(
    http: &Http,
    endpoint: &Url,
    client: &Client<'_>,
    token: &Secret<String>,
    hint: &'static str,
) -> Result<(), NotRevoked> {
    let request = token::revocation_request(client, token, hint);
    let Response { status, body, .. } = http
        .post(endpoint, &request.body(), request.authorization().as_ref())
        .map_err(|error| NotRevoked::Unreachable(error.to_string()))?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let error = token::parse_refusal(status, body.expose()).redact(&request);
    match error.error_code() {
        Some(code)
            if status == 400 && matches!(code.as_str(), "invalid_token" | "invalid_grant") =>
        {
            Err(NotRevoked::WasDead)
        }
        Some(code) => Err(NotRevoked::Refused {
            status,
            why: format!("the provider answered with status {status}, {code}"),
        }),
        None => Err(NotRevoked::Refused {
            status,
            why: format!("the provider answered with status {status}"),
        }),
    }
}
