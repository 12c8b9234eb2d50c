//! The reasons why an endpoint's response has no token.

use super::request::TokenRequest;
use crate::oauth::error_code::ErrorCode;

/// Why a response has no token. No message quotes the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The response has an `error` and a status below 500. Some servers send one with status 200.
    #[error("the provider rejected the request: {code}")]
    Refused { code: ErrorCode },
    /// The response has an `error`, but the server itself is failing. That says nothing about the
    /// grant.
    #[error("the provider is unavailable (HTTP status {status}): {code}")]
    Unavailable { status: u16, code: ErrorCode },
    #[error("the provider answered with HTTP status {status}")]
    Http { status: u16 },
    #[error("the provider's response (HTTP status {status}) is not a JSON object")]
    NotJson { status: u16 },
    #[error("the provider's response has members of an unexpected type")]
    Malformed,
    #[error("the provider's response has no {member}")]
    Missing { member: &'static str },
    #[error("{member} in the provider's response contains invalid characters")]
    Unusable { member: &'static str },
    #[error("{member} in the provider's response is not an https URL")]
    UnacceptableUrl { member: &'static str },
    #[error("the new token lacks scopes that the session had")]
    LostScopes,
    #[error("the token type is not Bearer")]
    WrongTokenType,
    #[error("the token is bound to a key (DPoP), which hallpass does not support")]
    DpopOnly,
}

impl TokenError {
    /// Allows showing the server's description, without the secrets that this request sent.
    #[must_use]
    pub fn redact(self, request: &TokenRequest) -> Self {
        let secrets = || request.secrets();
        match self {
            Self::Refused { code } => Self::Refused {
                code: code.redact(&secrets()),
            },
            Self::Unavailable { status, code } => Self::Unavailable {
                status,
                code: code.redact(&secrets()),
            },
            other @ (Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType
            | Self::DpopOnly) => other,
        }
    }

    /// Whether the server requires proof of possession (RFC 9449), which hallpass doesn't support.
    /// There is no error code for a missing proof, so this also searches the description.
    pub fn is_about_dpop(&self) -> bool {
        let mentions_it = |text: &str| text.to_ascii_lowercase().contains("dpop");
        if let Self::Refused { code } = self {
            return mentions_it(code.as_str()) || code.description().is_some_and(mentions_it);
        }
        matches!(self, Self::DpopOnly)
    }

    /// The server's error code.
    pub fn code(&self) -> Option<&str> {
        self.error_code().map(ErrorCode::as_str)
    }

    /// The server's error code with its description.
    pub fn error_code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Refused { code } | Self::Unavailable { code, .. } => Some(code),
            Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType
            | Self::DpopOnly => None,
        }
    }
}
