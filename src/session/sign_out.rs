//! Signing out: revoked at the provider (RFC 7009), and removed here whether or not that worked.

use crate::http::Response;
use crate::oauth::token;
use crate::oauth::token::Client;
use crate::provider::Provider;
use crate::store::{LockKind, RecordName};

use super::exchanged;
use super::record::Session;
use super::{Context, Error};

/// What became of a session that was signed out.
#[derive(Debug)]
pub struct SignedOut {
    pub session: Session,
    /// What the provider was not told, and why.
    pub not_revoked: Vec<String>,
}

/// Revokes (RFC 7009) and removes one session. It is removed even where revoking fails.
pub fn sign_out(context: &Context<'_>, name: &RecordName) -> Result<Option<SignedOut>, Error> {
    let lock = context
        .store
        .lock(name, LockKind::Record, context.record_deadline())?;
    let Some(kept) = context.store.read::<Session>(name)? else {
        return Ok(None);
    };
    // Removed first: whoever is refreshing without the lock sees it and revokes what it got.
    context.store.remove(name, &lock)?;
    let forgotten = exchanged::forget(context, name);
    let mut not_revoked = Vec::new();
    revoke(context, &kept.value, &mut not_revoked);
    forgotten?;
    Ok(Some(SignedOut {
        session: kept.value,
        not_revoked,
    }))
}

pub(super) fn revoke(context: &Context<'_>, session: &Session, not_revoked: &mut Vec<String>) {
    let Session {
        registration,
        tokens,
        identity,
        ..
    } = session;
    let Some(endpoint) = &registration.revocation_endpoint else {
        not_revoked.push("the provider has no revocation endpoint".to_owned());
        return;
    };
    let provider = Provider {
        name: session.provider.clone(),
        client_secret_file: registration.client_secret_file.clone(),
        ..Provider::default()
    };
    let secret = match provider.client_secret() {
        Ok(secret) => secret,
        Err(error) => {
            not_revoked.push(error.to_string());
            return;
        }
    };
    let client = Client {
        id: &identity.client_id,
        secret: secret.as_ref(),
        auth: registration.client_auth,
    };
    let http = context.http(registration.ca_file.as_ref());
    // The refresh token first: it is what lives on, and with it most servers revoke the rest.
    let both = [
        (
            tokens.refresh_token.as_ref(),
            "refresh_token",
            "the refresh token",
        ),
        (
            Some(&tokens.access_token),
            "access_token",
            "the access token",
        ),
    ];
    let mut unreachable = None;
    for (token, hint, words) in both {
        let Some(token) = token else { continue };
        if let Some(why) = &unreachable {
            // A server that cannot be reached is not waited for twice.
            not_revoked.push(format!("{words}: {why}"));
            continue;
        }
        let request = token::revocation_request(&client, token, hint);
        let why = match http.post(endpoint, &request.body(), request.authorization().as_ref()) {
            Ok(Response {
                status: 200..=299, ..
            }) => continue,
            Ok(Response { status, .. }) => format!("the provider answered with status {status}"),
            Err(error) => unreachable.insert(error.to_string()).clone(),
        };
        not_revoked.push(format!("{words}: {why}"));
    }
}
