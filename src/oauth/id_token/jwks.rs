//! The provider's public keys (RFC 7517). They verify signatures.
//!
//! The key decides which algorithm it may verify, not the token. An algorithm that doesn't match the
//! key's type and its own members is rejected.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::certificate::{self, PublicKey};
use super::error::IdTokenError;
use super::jws::{Algorithm, Jws};
use crate::oauth::json_object;

/// A key set in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// A public key with the members of RFC 7518 §6 that hallpass needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    /// Empty if only the certificate has it.
    #[serde(default)]
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
    /// The certificate chain. When the key is parsed, the members above are filled in from it.
    #[serde(default, skip_serializing)]
    x5c: Option<Value>,
}

/// The result of verifying a signature with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verification {
    Valid,
    Invalid,
    /// The key can't be decoded or is too short.
    UnusableKey,
}

impl Jwks {
    /// Parses a key set. It skips keys of unknown types, as RFC 7517 §5 requires, and drops private
    /// members.
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
                .map(Key::with_certificate_members)
                .filter(|key| matches!(key.kty.as_str(), "RSA" | "EC" | "OKP"))
                .collect(),
        })
    }

    /// Verifies the signature with the key that the token names, or else with every matching key.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), IdTokenError> {
        let matching = self.keys.iter().filter(|key| key.matches(jws.algorithm));
        let Some(id) = jws.key_id.as_deref() else {
            // Without an ID, a wrong signature can't be distinguished from a rotated key.
            let results: Vec<Verification> = matching.map(|key| key.verify(jws)).collect();
            return match best(&results) {
                Some(Verification::Valid) => Ok(()),
                Some(Verification::UnusableKey) => Err(IdTokenError::UnusableKey),
                Some(Verification::Invalid) | None => Err(IdTokenError::UnknownKey),
            };
        };

        let is_named = |key: &&Key| key.kid.as_deref() == Some(id);
        // RFC 7517 §4.5: keys of different types may have the same ID.
        let named: Vec<Verification> = matching
            .filter(is_named)
            .map(|key| key.verify(jws))
            .collect();
        match best(&named) {
            Some(Verification::Valid) => Ok(()),
            Some(Verification::Invalid) => Err(IdTokenError::BadSignature),
            Some(Verification::UnusableKey) => Err(IdTokenError::UnusableKey),
            None if self.keys.iter().any(|key| is_named(&key)) => Err(IdTokenError::UnfitKey),
            None => Err(IdTokenError::UnknownKey),
        }
    }
}

/// The best of several keys' results. One valid signature is enough.
fn best(results: &[Verification]) -> Option<Verification> {
    [
        Verification::Valid,
        Verification::Invalid,
        Verification::UnusableKey,
    ]
    .into_iter()
    .find(|result| results.contains(result))
}

impl Key {
    /// Adds the members that only the certificate has.
    fn with_certificate_members(mut self) -> Self {
        let has_parameters = self.n.is_some() || self.x.is_some();
        let first = self
            .x5c
            .take()
            .and_then(|chain| chain.get(0)?.as_str().map(str::to_owned))
            .filter(|_| !has_parameters);
        let Some(text) = first else { return self };
        // RFC 7517 §4.7: base64, not base64url. Some providers wrap the lines.
        let text: String = text.split_ascii_whitespace().collect();
        let key = STANDARD
            .decode(text)
            .ok()
            .and_then(|certificate| certificate::public_key(&certificate));
        let kty = match &key {
            Some(PublicKey::Rsa { .. }) => "RSA",
            Some(PublicKey::Ec { .. }) => "EC",
            Some(PublicKey::Ed25519 { .. }) => "OKP",
            None => return self,
        };
        if self.kty.is_empty() {
            kty.clone_into(&mut self.kty);
        }
        // The key's own type must match the certificate's.
        if self.kty != kty {
            return self;
        }
        match key {
            Some(PublicKey::Rsa { n, e }) => {
                self.n = Some(n);
                self.e = Some(e);
            }
            Some(PublicKey::Ec { crv, x, y }) => {
                self.crv.get_or_insert_with(|| crv.to_owned());
                self.x = Some(x);
                self.y = Some(y);
            }
            Some(PublicKey::Ed25519 { x }) => {
                self.crv.get_or_insert_with(|| "Ed25519".to_owned());
                self.x = Some(x);
            }
            None => (),
        }
        self
    }

    fn matches(&self, algorithm: Algorithm) -> bool {
        let has_type = match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => self.kty == "RSA",
            Algorithm::Es256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            Algorithm::Es384 => self.kty == "EC" && self.crv.as_deref() == Some("P-384"),
            Algorithm::EdDsa => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
        };
        let may_verify = |operations: &Vec<String>| operations.iter().any(|op| op == "verify");
        has_type
            && self
                .alg
                .as_deref()
                .is_none_or(|name| algorithm.has_name(name))
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.operations.as_ref().is_none_or(may_verify)
    }

    fn verify(&self, jws: &Jws<'_>) -> Verification {
        match self.is_valid(jws) {
            Some(true) => Verification::Valid,
            Some(false) => Verification::Invalid,
            None => Verification::UnusableKey,
        }
    }

    /// Whether the signature is valid. `None`: the key is unusable.
    fn is_valid(&self, jws: &Jws<'_>) -> Option<bool> {
        let decoded = |member: &Option<String>| {
            // Some providers add padding, which RFC 7515 §2 forbids.
            URL_SAFE_NO_PAD
                .decode(member.as_ref()?.trim_end_matches('='))
                .ok()
        };
        let rsa = |parameters| {
            let (n, e) = (decoded(&self.n)?, decoded(&self.e)?);
            // ring rejects the leading zeros that some providers send.
            let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
            if n.len() < SHORTEST_MODULUS {
                return None;
            }
            let key = RsaPublicKeyComponents { n, e };
            Some(key.verify(parameters, jws.signed, &jws.signature).is_ok())
        };
        let point = |algorithm: &'static dyn signature::VerificationAlgorithm, bytes: Vec<u8>| {
            UnparsedPublicKey::new(algorithm, bytes)
                .verify(jws.signed, &jws.signature)
                .is_ok()
        };
        let curve = |algorithm: &'static dyn signature::VerificationAlgorithm, length: usize| {
            let (x, y) = (decoded(&self.x)?, decoded(&self.y)?);
            // RFC 7518 §6.2.1.2: both have the full length. Otherwise bytes could move between them.
            let is_complete = (x.len(), y.len()) == (length, length);
            let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
            is_complete.then(|| point(algorithm, uncompressed))
        };
        match jws.algorithm {
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => curve(&signature::ECDSA_P256_SHA256_FIXED, 32),
            Algorithm::Es384 => curve(&signature::ECDSA_P384_SHA384_FIXED, 48),
            Algorithm::EdDsa => Some(point(&signature::ED25519, decoded(&self.x)?)),
        }
    }
}

/// 2048 bits, in bytes: the minimum of ring and of RFC 7518 §3.3.
const SHORTEST_MODULUS: usize = 256;

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
