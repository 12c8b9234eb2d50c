//! The token set of a token response.

use time::{Duration, OffsetDateTime};

use super::record::{TokenSet, UnusedIdToken};
use crate::oauth::id_token::Checked;
use crate::oauth::token::TokenResponse;

pub(super) fn first_tokens(
    tokens: TokenResponse,
    checked: Option<&Checked>,
    unused_id_token: Option<UnusedIdToken>,
    asked: &[String],
    now: OffsetDateTime,
) -> TokenSet {
    let TokenResponse {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scopes,
        created_at: _,
    } = tokens;
    // An ID token that could not be verified, or must not be used, is not stored.
    let claims = checked
        .filter(|checked| checked.untimely.is_none())
        .map(|checked| &checked.claims);
    TokenSet {
        access_token,
        token_type,
        id_token: id_token.filter(|_| claims.is_some()),
        refresh_token,
        refresh_refused: false,
        obtained_at: now,
        expires_at: expires_in.map(|seconds| now + Duration::seconds(seconds)),
        id_token_obtained_at: claims.map(|_| now),
        id_token_expires_at: claims.map(|claims| claims.validity.expires_at),
        unused_id_token,
        scopes: scopes.unwrap_or_else(|| asked.to_vec()),
    }
}

/// A refreshed token set. Tokens that the server did not send again stay unchanged (RFC 6749 §6).
pub(super) fn renewed(
    old: &TokenSet,
    tokens: TokenResponse,
    checked: Option<&Checked>,
    unused_id_token: Option<UnusedIdToken>,
    now: OffsetDateTime,
) -> TokenSet {
    let mut new = first_tokens(tokens, checked, unused_id_token, &old.scopes, now);
    if new.refresh_token.is_none() {
        new.refresh_token.clone_from(&old.refresh_token);
    }
    if new.id_token.is_none() {
        new.id_token.clone_from(&old.id_token);
        new.id_token_obtained_at = old.id_token_obtained_at;
        new.id_token_expires_at = old.id_token_expires_at;
    }
    new
}
