//! Hints for tokens that a provider refuses to issue, or that could not be verified.

use super::http_hints::{LATER, NETWORK_PAGE};
use crate::session::{IdTokenError, TokenError};

pub(super) fn token_hint(error: &TokenError) -> &'static str {
    if error.is_about_dpop() {
        return "register a client for Bearer tokens, or turn DPoP off for this one at the provider \
                (`dpop_bound_access_tokens`)";
    }
    match error {
        TokenError::Refused { .. } if error.code() == Some("invalid_client") => {
            "check `client_id`, `client_secret_file` and `client_auth` against the registration"
        }
        TokenError::NotJson { status: 200..=299 } => NETWORK_PAGE,
        TokenError::Unavailable { .. }
        | TokenError::Http {
            status: 429 | 500..=599,
        }
        | TokenError::NotJson {
            status: 429 | 500..=599,
        } => LATER,
        TokenError::Refused { .. } => {
            "check the client's registration at the provider: its grant types, redirect URIs and \
             scopes, and that it does not require proof of possession (DPoP)"
        }
        TokenError::Http { .. }
        | TokenError::NotJson { .. }
        | TokenError::Malformed
        | TokenError::Missing { .. }
        | TokenError::LostScopes
        | TokenError::Unusable { .. }
        | TokenError::UnacceptableUrl { .. }
        | TokenError::WrongTokenType
        | TokenError::DpopOnly => {
            "check that the provider's addresses are right; if they are, tell its administrators"
        }
    }
}

pub(super) fn id_token_hint(error: &IdTokenError) -> String {
    use IdTokenError as E;
    match error {
        E::ForeignAudience { others } => {
            let list: Vec<String> = others.iter().map(|one| format!("{one:?}")).collect();
            format!(
                "if those clients may see the ID token, set `trusted_audiences = [{}]` under the \
                 provider in config.toml; otherwise correct the client's audiences at the provider",
                list.join(", ")
            )
        }
        E::UnacceptableAlgorithm { .. } => {
            "set the client's ID token signing algorithm to RS256 or ES256 at the provider"
                .to_owned()
        }
        E::Encrypted => "turn ID token encryption off for this client at the provider".to_owned(),
        E::WrongIssuer => {
            "check that `issuer` is exactly the `iss` that the provider puts in its ID tokens"
                .to_owned()
        }
        E::WrongAudience | E::WrongParty => {
            "check that `client_id` is the one that is registered at the provider".to_owned()
        }
        E::WrongNonce => {
            "sign in again; if that does not help, tell the provider's administrators".to_owned()
        }
        E::NotAJwt
        | E::CriticalExtension
        | E::NotAJwks
        | E::UnknownKey
        | E::UnfitKey
        | E::UnusableKey
        | E::BadSignature
        | E::Missing { .. }
        | E::WrongAccessToken => {
            "tell the provider's administrators that its ID token could not be verified".to_owned()
        }
    }
}
