//! The provider's public keys (RFC 7517), and which of them may check which signature.
//!
//! The key decides what it is good for, never the token: an algorithm that does not belong to the
//! key's type, or to what the key says of itself, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::IdTokenError;
use super::jws::{Algorithm, Jws};
use crate::oauth::json_object;

/// A key set, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// The members of a public key that matter here, in RFC 7518 §6's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(rename = "key_ops", skip_serializing_if = "Option::is_none")]
    operations: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl Jwks {
    /// Reads a key set. Keys of unknown kinds are skipped, as RFC 7517 §5 has it, and everything
    /// that is not public stays behind.
    pub fn parse(body: &[u8]) -> Result<Self, IdTokenError> {
        let document: Map<String, Value> = json_object(body).ok_or(IdTokenError::NotAJwks)?;
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(IdTokenError::NotAJwks)?;
        Ok(Self {
            keys: keys
                .iter()
                .filter_map(|key| Key::deserialize(key).ok())
                .filter(|key| matches!(key.kty.as_str(), "RSA" | "EC" | "OKP"))
                .collect(),
        })
    }

    /// Checks the signature with the key that the token names, else with each that fits.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), IdTokenError> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(jws.algorithm));
        let Some(id) = jws.key_id.as_deref() else {
            // Without an id, a wrong signature and a rotated key look the same.
            return if fitting.any(|key| key.verify(jws)) {
                Ok(())
            } else {
                Err(IdTokenError::UnknownKey)
            };
        };

        let is_named = |key: &&Key| key.kid.as_deref() == Some(id);
        // RFC 7517 §4.5 lets keys of several types share an id.
        let mut named = fitting.filter(is_named).peekable();
        if named.peek().is_some() {
            return if named.any(|key| key.verify(jws)) {
                Ok(())
            } else {
                Err(IdTokenError::BadSignature)
            };
        }
        Err(if self.keys.iter().any(|key| is_named(&key)) {
            IdTokenError::UnfitKey
        } else {
            IdTokenError::UnknownKey
        })
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let of_type = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => self.kty == "RSA",
            Algorithm::Es256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            Algorithm::EdDsa => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
        };
        let may_verify = |operations: &Vec<String>| operations.iter().any(|op| op == "verify");
        of_type
            && self
                .alg
                .as_deref()
                .is_none_or(|name| algorithm.is_named(name))
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.operations.as_ref().is_none_or(may_verify)
    }

    /// `false` also where the key itself is broken or too weak.
    fn verify(&self, jws: &Jws<'_>) -> bool {
        self.check(jws).is_some()
    }

    fn check(&self, jws: &Jws<'_>) -> Option<()> {
        let decoded = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_ref()?).ok();
        let rsa = |parameters| {
            let (n, e) = (decoded(&self.n)?, decoded(&self.e)?);
            // ring refuses the leading zeros that some servers write.
            let key = RsaPublicKeyComponents {
                n: without_leading_zeros(&n),
                e: without_leading_zeros(&e),
            };
            key.verify(parameters, jws.signed, &jws.signature).ok()
        };
        let point = |algorithm, bytes: Vec<u8>| {
            UnparsedPublicKey::new(algorithm, bytes)
                .verify(jws.signed, &jws.signature)
                .ok()
        };
        match jws.algorithm {
            // These two refuse keys of less than 2048 bits.
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Es256 => {
                let (x, y) = (decoded(&self.x)?, decoded(&self.y)?);
                // RFC 7518 §6.2.1.2: full length each, else the halves could be shifted.
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
                point(&signature::ECDSA_P256_SHA256_FIXED, uncompressed)
            }
            Algorithm::EdDsa => point(&signature::ED25519, decoded(&self.x)?),
        }
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
