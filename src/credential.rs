//! The words that tools and sessions share.

use time::{Duration, OffsetDateTime};

use crate::secret::Secret;

/// Which of a session's tokens is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Access,
    Id,
}

/// Counts the versions of one record: a refused token is named by the generation it came from.
pub type Generation = u64;

/// What a caller needs of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub token: TokenKind,
    /// How much longer the token must be good, beyond the usual leeway.
    pub fresh_for: Duration,
    /// The generation that somebody refused; it is never served again.
    pub refused: Option<Generation>,
}

/// What a tool is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub token: Secret<String>,
    pub token_type: String,
    pub expires_at: Option<OffsetDateTime>,
    pub scopes: Vec<String>,
    pub provider: String,
    pub account: String,
    pub generation: Generation,
}
