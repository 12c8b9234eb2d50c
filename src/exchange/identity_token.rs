//! A registry's identity token: the refresh token that its token server issues for an access token.
//!
//! Clients request the registry's short-lived tokens with it, so a long push doesn't depend on the
//! provider's token. It is the registry's own token, never the provider's refresh token.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> (`offline_token`).

use url::Url;

use super::token_server::{Challenge, IDENTITY_TOKEN, TokenServer, Tokens, api_of, challenge_in};
use super::{ExchangeError, Exchanged, expiry_of_jwt, is_unavailable, name_of, succeeded};
use crate::http::Http;
use crate::secret::Secret;

/// `username` is the one that the token server expects with the access token.
///
/// # Errors
///
/// See [`ExchangeError`]. Without an identity token there is no credential: the access token, which
/// the user didn't ask for, would fail in the middle of a push.
pub fn exchange(
    http: &Http,
    registry: &Url,
    username: &str,
    access_token: &Secret<String>,
) -> Result<Exchanged, ExchangeError> {
    let missing = |member| ExchangeError::Malformed {
        registry: name_of(registry),
        member,
    };
    let response = http.get(&api_of(registry), None)?;
    let (realm, service) = match challenge_in(&response) {
        Some(Challenge::Bearer { realm, service }) => (realm, service),
        None if is_unavailable(response.status) => {
            return Err(ExchangeError::Unavailable {
                registry: name_of(registry),
                status: response.status,
            });
        }
        Some(Challenge::Basic) | None => return Err(missing("token server")),
    };
    let server = TokenServer::of(registry, &realm, service).ok_or(ExchangeError::NoTls {
        registry: name_of(registry),
    })?;
    let response = server.tokens(http, username, access_token)?;
    let body = succeeded(registry, response)?;
    let secret = Tokens::of(&body)
        .refresh_token
        .filter(|token| !token.expose().is_empty() && token != access_token)
        .ok_or_else(|| missing("identity token"))?;
    Ok(Exchanged {
        username: IDENTITY_TOKEN.to_owned(),
        expires_at: expiry_of_jwt(&secret),
        secret,
    })
}
