//! Proof Key for Code Exchange, method S256 only (RFC 7636; RFC 9700 §2.1.1).
//!
//! The `plain` method is unsupported, because it doesn't protect against an attacker who can read the
//! authorization request.
//!
//! <https://www.rfc-editor.org/rfc/rfc7636>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::random_secret;
use crate::secret::Secret;

/// The challenge for the authorization request, and the verifier for the token request.
#[derive(Debug)]
pub struct Pkce {
    pub verifier: Secret<String>,
    pub challenge: String,
}

impl Pkce {
    /// Generates a pair for one authorization request.
    pub fn generate() -> Self {
        let verifier = random_secret();
        let challenge = Self::challenge_of(verifier.expose());
        Self {
            verifier,
            challenge,
        }
    }

    /// BASE64URL(SHA256(ASCII(verifier))), §4.2.
    pub fn challenge_of(verifier: &str) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_matches_rfc_7636_appendix_b() {
        assert_eq!(
            Pkce::challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn every_verifier_is_new_and_has_43_to_128_characters() {
        let (one, other) = (Pkce::generate(), Pkce::generate());
        assert_ne!(one.verifier.expose(), other.verifier.expose());
        for pkce in [one, other] {
            assert!((43..=128).contains(&pkce.verifier.expose().len()));
            assert_eq!(pkce.challenge, Pkce::challenge_of(pkce.verifier.expose()));
            assert!(!format!("{pkce:?}").contains(pkce.verifier.expose()));
        }
    }
}
