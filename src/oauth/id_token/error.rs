//! Why an ID token is refused.

/// Why a token is refused. None of the messages quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("the ID token is not a signed JWT")]
    NotAJwt,
    #[error("the ID token is encrypted, which is not supported")]
    Encrypted,
    /// `none`, HMAC, or one that is not known here.
    #[error(
        "the ID token is signed with {name}, which is not accepted (RS256, RS384, RS512, PS256, \
         PS384, PS512, ES256, ES384 and EdDSA are)"
    )]
    UnacceptableAlgorithm { name: String },
    /// RFC 7515 §4.1.11.
    #[error("the ID token demands extensions that are not supported")]
    CriticalExtension,
    #[error("the provider's keys are not a JSON Web Key Set")]
    NotAJwks,
    /// The keys may have been rotated: fetch them again, once.
    #[error("none of the provider's published keys is the one that signed the ID token")]
    UnknownKey,
    #[error("the key that the ID token names does not belong to its algorithm")]
    UnfitKey,
    #[error("the provider's key that the ID token names cannot be decoded, or is too short")]
    UnusableKey,
    #[error("the ID token's signature is wrong")]
    BadSignature,
    #[error("the ID token has no usable {claim}")]
    Missing { claim: &'static str },
    #[error("the ID token was issued by another provider")]
    WrongIssuer,
    #[error("the ID token is not for this client")]
    WrongAudience,
    #[error("the ID token is for other clients too, and does not name this one as `azp`: {}", others.join(", "))]
    ForeignAudience {
        /// Printable.
        others: Vec<String>,
    },
    #[error("the ID token was issued to another client (azp)")]
    WrongParty,
    #[error("the ID token does not belong to this sign-in (nonce)")]
    WrongNonce,
    #[error("the ID token does not belong to the access token (at_hash)")]
    WrongAccessToken,
}

impl IdTokenError {
    /// Whether other keys could have verified the signature: the provider may have replaced its
    /// keys, even under the same id.
    pub fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey | Self::UnfitKey | Self::UnusableKey | Self::BadSignature
        )
    }
}
