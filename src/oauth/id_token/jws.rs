//! Splits a signed JWT into its parts (RFC 7515 §7.1). They can't be trusted before the signature is
//! verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::error::IdTokenError;
use crate::oauth::{json_object, sanitize};

pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// The signed bytes: the encoded header and payload.
    pub(super) signed: &'a [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The accepted algorithms, all of them asymmetric (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, IdTokenError> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<Value>,
        }

        let parts: Vec<&str> = token.split('.').collect();
        let (header, payload, signature) = match parts[..] {
            [header, payload, signature] => (header, payload, signature),
            [_, _, _, _, _] => return Err(IdTokenError::Encrypted),
            _ => return Err(IdTokenError::NotAJwt),
        };
        let decoded = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| IdTokenError::NotAJwt)
        };
        let Header { alg, kid, crit } =
            json_object(&decoded(header)?).ok_or(IdTokenError::NotAJwt)?;
        if crit.is_some() {
            return Err(IdTokenError::CriticalExtension);
        }
        Ok(Self {
            algorithm: Algorithm::from_name(&alg)?,
            key_id: kid,
            signed: &token.as_bytes()[..header.len() + 1 + payload.len()],
            payload: decoded(payload)?,
            signature: decoded(signature)?,
        })
    }
}

impl Algorithm {
    /// The algorithm with this name. Names are case-sensitive, so `None` and `nOnE` are unknown, like
    /// `none` and `HS256`.
    fn from_name(name: &str) -> Result<Self, IdTokenError> {
        match name {
            "RS256" => Ok(Self::Rs256),
            "RS384" => Ok(Self::Rs384),
            "RS512" => Ok(Self::Rs512),
            "PS256" => Ok(Self::Ps256),
            "PS384" => Ok(Self::Ps384),
            "PS512" => Ok(Self::Ps512),
            "ES256" => Ok(Self::Es256),
            "ES384" => Ok(Self::Es384),
            // RFC 9864 has a separate name for EdDSA with Ed25519.
            "EdDSA" | "Ed25519" => Ok(Self::EdDsa),
            _ => Err(IdTokenError::UnacceptableAlgorithm {
                name: sanitize(name),
            }),
        }
    }

    /// Whether a key's `alg` is this algorithm.
    pub(super) fn has_name(self, name: &str) -> bool {
        Self::from_name(name) == Ok(self)
    }

    /// The hash for `at_hash` (Core §3.1.3.6). Ed25519 uses SHA-512.
    pub(super) fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => Sha256::digest(bytes).to_vec(),
            Self::Rs384 | Self::Ps384 | Self::Es384 => Sha384::digest(bytes).to_vec(),
            Self::Rs512 | Self::Ps512 | Self::EdDsa => Sha512::digest(bytes).to_vec(),
        }
    }
}
