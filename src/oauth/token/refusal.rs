//! Distinguishes a rejected refresh token from a failed request.

use super::error::TokenError;

/// How a server rejects a refresh token for good. Every other error is a failure, which says nothing
/// about the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// `invalid_grant`: the token is invalid, expired or revoked (RFC 6749 §5.2).
    Dead,
    /// Another code, or none. Many servers have their own code for an expired token, or require a
    /// sign-in for another reason.
    Unspecific,
}

/// Codes that say nothing about the refresh token, because the fault is with the client, the request
/// or the server (RFC 6749 §5.2, §4.1.2.1; RFC 8628 §3.5; RFC 9449 §8).
const NOT_ABOUT_THE_TOKEN: [&str; 6] = [
    "invalid_client",
    "unsupported_grant_type",
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "use_dpop_nonce",
];

impl RefreshRefusal {
    /// The refusal in a response, if it is one. `error` is the result of
    /// [`parse_token_response`](super::parse_token_response).
    pub fn of(status: u16, body: &[u8], error: &TokenError) -> Option<Self> {
        match error {
            TokenError::Refused { code } => match (code.as_str(), status) {
                (code, _) if NOT_ABOUT_THE_TOKEN.contains(&code) => None,
                ("invalid_grant", 400 | 401) => Some(Self::Dead),
                (_, 200 | 400 | 401 | 403) => Some(Self::Unspecific),
                _ => None,
            },
            // Glewlwyd sends an empty body.
            TokenError::Http { status: 400 } if body.trim_ascii().is_empty() => {
                Some(Self::Unspecific)
            }
            TokenError::Http { .. }
            | TokenError::Unavailable { .. }
            | TokenError::NotJson { .. }
            | TokenError::Malformed
            | TokenError::Missing { .. }
            | TokenError::LostScopes
            | TokenError::Unusable { .. }
            | TokenError::UnacceptableUrl { .. }
            | TokenError::WrongTokenType
            | TokenError::DpopOnly => None,
        }
    }
}
