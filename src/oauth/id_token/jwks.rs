//! The provider's public keys (RFC 7517), and which of them may check which signature.
//!
//! The key decides what it is good for, never the token: an algorithm that does not belong to the
//! key's type, or to what the key says of itself, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::certificate::{self, PublicKey};
use super::error::IdTokenError;
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
    /// Empty where only the certificate could say.
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
    /// The certificate and those that vouch for it. Once the key is read, the members above have
    /// what it says.
    #[serde(default, skip_serializing)]
    x5c: Option<Value>,
}

/// What a key says of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    /// The key itself cannot be read, or is too weak to prove anything.
    Unusable,
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
                .map(Key::filled_from_certificate)
                .filter(|key| matches!(key.kty.as_str(), "RSA" | "EC" | "OKP"))
                .collect(),
        })
    }

    /// Checks the signature with the key that the token names, else with each that fits.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), IdTokenError> {
        let fitting = self.keys.iter().filter(|key| key.fits(jws.algorithm));
        let Some(id) = jws.key_id.as_deref() else {
            // Without an id, a wrong signature and a rotated key look the same.
            let verdicts: Vec<Verdict> = fitting.map(|key| key.verdict(jws)).collect();
            return match combined(&verdicts) {
                Some(Verdict::Good) => Ok(()),
                Some(Verdict::Unusable) => Err(IdTokenError::UnusableKey),
                Some(Verdict::Bad) | None => Err(IdTokenError::UnknownKey),
            };
        };

        let is_named = |key: &&Key| key.kid.as_deref() == Some(id);
        // RFC 7517 §4.5 lets keys of several types share an id.
        let named: Vec<Verdict> = fitting
            .filter(is_named)
            .map(|key| key.verdict(jws))
            .collect();
        match combined(&named) {
            Some(Verdict::Good) => Ok(()),
            Some(Verdict::Bad) => Err(IdTokenError::BadSignature),
            Some(Verdict::Unusable) => Err(IdTokenError::UnusableKey),
            None if self.keys.iter().any(|key| is_named(&key)) => Err(IdTokenError::UnfitKey),
            None => Err(IdTokenError::UnknownKey),
        }
    }
}

/// What several keys say together: one that verifies is enough.
fn combined(verdicts: &[Verdict]) -> Option<Verdict> {
    [Verdict::Good, Verdict::Bad, Verdict::Unusable]
        .into_iter()
        .find(|verdict| verdicts.contains(verdict))
}

impl Key {
    /// The same key with its parameters, where only its certificate has them.
    fn filled_from_certificate(mut self) -> Self {
        let has_parameters = self.n.is_some() || self.x.is_some();
        let first = self
            .x5c
            .take()
            .and_then(|chain| chain.get(0)?.as_str().map(str::to_owned))
            .filter(|_| !has_parameters);
        let Some(text) = first else { return self };
        // RFC 7517 §4.7: base64, not base64url. Some wrap its lines.
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
        // What the key says of its own type holds against the certificate as well.
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

    fn fits(&self, algorithm: Algorithm) -> bool {
        let of_type = match algorithm {
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
        of_type
            && self
                .alg
                .as_deref()
                .is_none_or(|name| algorithm.is_named(name))
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.operations.as_ref().is_none_or(may_verify)
    }

    fn verdict(&self, jws: &Jws<'_>) -> Verdict {
        self.verified(jws).map_or(Verdict::Unusable, |good| {
            if good { Verdict::Good } else { Verdict::Bad }
        })
    }

    /// Whether the signature is good; `None`: the key cannot tell.
    fn verified(&self, jws: &Jws<'_>) -> Option<bool> {
        let decoded = |member: &Option<String>| {
            // Some pad what RFC 7515 §2 has unpadded.
            URL_SAFE_NO_PAD
                .decode(member.as_ref()?.trim_end_matches('='))
                .ok()
        };
        let rsa = |parameters| {
            let (n, e) = (decoded(&self.n)?, decoded(&self.e)?);
            // ring refuses the leading zeros that some servers write.
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
            // RFC 7518 §6.2.1.2: full length each, else the halves could be shifted.
            let is_whole = (x.len(), y.len()) == (length, length);
            let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
            is_whole.then(|| point(algorithm, uncompressed))
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

/// 2048 bits in bytes: ring verifies nothing with less, nor does RFC 7518 §3.3 allow it.
const SHORTEST_MODULUS: usize = 256;

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
