//! The reasons why an ID token is rejected.

/// Why a token is rejected. No message quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("the ID token is not a signed JWT")]
    NotAJwt,
    #[error("the ID token is encrypted, which hallpass does not support")]
    Encrypted,
    /// `none`, HMAC, or an unknown algorithm.
    #[error(
        "the ID token is signed with {name}, which hallpass does not accept (it accepts RS256, RS384, \
         RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA)"
    )]
    UnacceptableAlgorithm { name: String },
    /// RFC 7515 §4.1.11.
    #[error("the ID token requires extensions that hallpass does not support")]
    CriticalExtension,
    #[error("the provider's key set is not a JSON Web Key Set")]
    NotAJwks,
    /// The provider may have rotated its keys, so they should be fetched once more.
    #[error("none of the provider's published keys signed the ID token")]
    UnknownKey,
    #[error("the ID token's key does not match its algorithm")]
    UnfitKey,
    #[error("the ID token's key cannot be decoded, or is too short")]
    UnusableKey,
    #[error("the ID token's signature is invalid")]
    BadSignature,
    #[error("the ID token has no valid {claim}")]
    Missing { claim: &'static str },
    #[error("the ID token was issued by a different provider")]
    WrongIssuer,
    #[error("the ID token is for a different client")]
    WrongAudience,
    #[error("the ID token is also for other clients and does not name this client as `azp`: {}", others.join(", "))]
    ForeignAudience {
        /// Printable.
        others: Vec<String>,
    },
    #[error("the ID token was issued to a different client (azp)")]
    WrongParty,
    #[error("the ID token does not belong to this sign-in (nonce)")]
    WrongNonce,
    #[error("the ID token does not belong to the access token (at_hash)")]
    WrongAccessToken,
}

impl IdTokenError {
    /// Whether the signature could be valid with other keys. The provider may have replaced its keys,
    /// even under the same ID.
    pub fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey | Self::UnfitKey | Self::UnusableKey | Self::BadSignature
        )
    }
}
