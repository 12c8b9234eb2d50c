//! A session's token made into another credential: a registry's own.
//!
//! One file a kind of registry. Each makes one request and reads its answer; when it is made and
//! what is kept of it is the session's business. Nobody is ever asked for anything here.

pub mod acr;
pub mod harbor;

use time::OffsetDateTime;
use url::Url;

use crate::http::{HttpError, Response};
use crate::secret::Secret;

/// What a registry handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    pub username: String,
    pub secret: Secret<String>,
    /// `None`: the registry did not say.
    pub expires_at: Option<OffsetDateTime>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the registry {registry} does not take the provider's token (status {status})")]
    Refused { registry: String, status: u16 },
    #[error("the registry {registry} cannot answer now (status {status})")]
    Unavailable { registry: String, status: u16 },
    #[error("the answer of the registry {registry} has no {member}")]
    Malformed {
        registry: String,
        member: &'static str,
    },
}

/// The body of an answer that succeeded.
fn succeeded(registry: &Url, response: Response) -> Result<Secret<Vec<u8>>, ExchangeError> {
    let registry = name_of(registry);
    match response.status {
        200..=299 => Ok(response.body),
        status @ (429 | 500..) => Err(ExchangeError::Unavailable { registry, status }),
        status => Err(ExchangeError::Refused { registry, status }),
    }
}

/// The host, and the port where it is not the usual one.
fn name_of(registry: &Url) -> String {
    let host = registry.host_str().unwrap_or_default();
    match registry.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An address of the registry itself, without what the URL had behind its host.
fn at(registry: &Url, path: &str) -> Url {
    let mut url = registry.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}
