//! Exchanges a session's token for another credential: a registry's own.
//!
//! One file per kind of registry. Each makes its request and parses the response. The session decides
//! when to exchange and what to store. Nothing here ever prompts the user.

pub mod acr;
pub mod harbor;
pub mod identity_token;
pub mod token_server;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use crate::http::{HttpError, Response};
use crate::secret::Secret;

/// The credential that a registry issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    pub username: String,
    pub secret: Secret<String>,
    /// `None` if the registry didn't say.
    pub expires_at: Option<OffsetDateTime>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the registry {registry} rejected the provider's token (status {status})")]
    Refused { registry: String, status: u16 },
    #[error("the registry {registry} is unavailable (status {status})")]
    Unavailable { registry: String, status: u16 },
    #[error("the response from the registry {registry} has no {member}")]
    Malformed {
        registry: String,
        member: &'static str,
    },
    #[error("the token server of the registry {registry} has no https URL, so no token was sent")]
    NoTls { registry: String },
}

/// The body of a successful response.
fn succeeded(registry: &Url, response: Response) -> Result<Secret<Vec<u8>>, ExchangeError> {
    let registry = name_of(registry);
    match response.status {
        200..=299 => Ok(response.body),
        status if is_unavailable(status) => Err(ExchangeError::Unavailable { registry, status }),
        status => Err(ExchangeError::Refused { registry, status }),
    }
}

fn is_unavailable(status: u16) -> bool {
    matches!(status, 429 | 500..)
}

/// The host, with the port unless it is the default one.
fn name_of(registry: &Url) -> String {
    let host = registry.host_str().unwrap_or_default();
    match registry.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A URL at the registry itself; replaces everything after the host.
fn at(registry: &Url, path: &str) -> Url {
    let mut url = registry.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The `exp` of a JWT (RFC 7519 §4.1.4). It only decides when to request a new one, so the
/// signature isn't verified.
fn expiry_of_jwt(token: &Secret<String>) -> Option<OffsetDateTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = token.expose().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    OffsetDateTime::from_unix_timestamp(exp).ok()
}
