//! The provider's signing keys, and JWS compact serialisation (RFC 7515 §3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::behaviour::Signature;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyName {
    RsaFirst,
    RsaSecond,
    EcFirst,
    EcSecond,
    /// Also an RSA key, but for RSASSA-PSS.
    Pss,
    Ed25519,
    Rs384,
    Rs512,
    Ps384,
    Ps512,
    Ec384,
    /// Only published as a certificate.
    Certified,
}

impl KeyName {
    pub(crate) fn kid(self) -> &'static str {
        match self {
            Self::RsaFirst => "rsa-first",
            Self::RsaSecond => "rsa-second",
            Self::EcFirst => "ec-first",
            Self::EcSecond => "ec-second",
            Self::Pss => "pss",
            Self::Ed25519 => "ed25519",
            Self::Rs384 => "rs384",
            Self::Rs512 => "rs512",
            Self::Ps384 => "ps384",
            Self::Ps512 => "ps512",
            Self::Ec384 => "ec384",
            Self::Certified => "certified",
        }
    }

    pub(crate) fn algorithm(self) -> &'static str {
        match self {
            Self::RsaFirst | Self::RsaSecond => "RS256",
            Self::EcFirst | Self::EcSecond | Self::Certified => "ES256",
            Self::Pss => "PS256",
            Self::Ed25519 => "EdDSA",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Ec384 => "ES384",
        }
    }

    /// `at_hash` of an access token (Core §3.1.3.6): the left half of the hash.
    pub(crate) fn half_hash(self, token: &str) -> String {
        base64url(match self.algorithm() {
            "RS384" | "PS384" | "ES384" => Sha384::digest(token)[..24].to_vec(),
            // Ed25519 hashes with SHA-512, too.
            "RS512" | "PS512" | "EdDSA" => Sha512::digest(token)[..32].to_vec(),
            _ => Sha256::digest(token)[..16].to_vec(),
        })
    }
}

pub(super) struct Keys {
    rsa_first: RsaKeyPair,
    rsa_second: RsaKeyPair,
    ec_first: EcdsaKeyPair,
    ec_second: EcdsaKeyPair,
    ec_384: EcdsaKeyPair,
    certified: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    random: SystemRandom,
}

impl Keys {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        Self {
            rsa_first: rsa(include_bytes!("keys/rsa-first.pk8")),
            rsa_second: rsa(include_bytes!("keys/rsa-second.pk8")),
            ec_first: ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            ec_second: ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            ec_384: ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &random),
            certified: EcdsaKeyPair::from_pkcs8(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                include_bytes!("keys/tls-server.pk8"),
                &random,
            )
            .expect("the embedded EC key"),
            ed25519: ed25519(&random),
            random,
        }
    }

    pub(super) fn jwk(&self, name: KeyName, with_kid: bool) -> Value {
        let mut key = match name {
            KeyName::RsaFirst => rsa_jwk(&self.rsa_first),
            KeyName::RsaSecond
            | KeyName::Pss
            | KeyName::Rs384
            | KeyName::Rs512
            | KeyName::Ps384
            | KeyName::Ps512 => rsa_jwk(&self.rsa_second),
            KeyName::EcFirst => ec_jwk(&self.ec_first),
            KeyName::EcSecond => ec_jwk(&self.ec_second),
            KeyName::Ec384 => ec_jwk(&self.ec_384),
            KeyName::Certified => {
                let certificate = STANDARD.encode(include_bytes!("keys/tls-server.der"));
                json!({ "kty": "EC", "x5c": [certificate] })
            }
            KeyName::Ed25519 => {
                let x = base64url(self.ed25519.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
        };
        key["use"] = json!("sig");
        key["alg"] = json!(name.algorithm());
        if with_kid {
            key["kid"] = json!(name.kid());
        }
        key
    }

    pub(super) fn sign(
        &self,
        name: KeyName,
        how: Signature,
        hmac_key: Option<&[u8]>,
        header: &Value,
        claims: &Value,
    ) -> String {
        let input = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = match how {
            Signature::None => Vec::new(),
            Signature::Hs256 => {
                // The classic attack: the public key as the HMAC secret.
                let public = self.jwk(name, true).to_string();
                let key = hmac_key.unwrap_or(public.as_bytes());
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
                ring::hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
            }
            Signature::Good => self.signature(name, &input),
            Signature::Broken => {
                let mut signature = self.signature(name, &input);
                signature[20] ^= 1;
                signature
            }
        };
        format!("{input}.{}", base64url(signature))
    }

    fn signature(&self, name: KeyName, input: &str) -> Vec<u8> {
        match name {
            KeyName::RsaFirst => {
                self.rsa_signature(&self.rsa_first, &signature::RSA_PKCS1_SHA256, input)
            }
            KeyName::RsaSecond => {
                self.rsa_signature(&self.rsa_second, &signature::RSA_PKCS1_SHA256, input)
            }
            KeyName::Pss => self.rsa_signature(&self.rsa_second, &signature::RSA_PSS_SHA256, input),
            KeyName::Rs384 => {
                self.rsa_signature(&self.rsa_second, &signature::RSA_PKCS1_SHA384, input)
            }
            KeyName::Rs512 => {
                self.rsa_signature(&self.rsa_second, &signature::RSA_PKCS1_SHA512, input)
            }
            KeyName::Ps384 => {
                self.rsa_signature(&self.rsa_second, &signature::RSA_PSS_SHA384, input)
            }
            KeyName::Ps512 => {
                self.rsa_signature(&self.rsa_second, &signature::RSA_PSS_SHA512, input)
            }
            KeyName::Ec384 => self.ec_signature(&self.ec_384, input),
            KeyName::Certified => self.ec_signature(&self.certified, input),
            KeyName::Ed25519 => self.ed25519.sign(input.as_bytes()).as_ref().to_vec(),
            KeyName::EcFirst => self.ec_signature(&self.ec_first, input),
            KeyName::EcSecond => self.ec_signature(&self.ec_second, input),
        }
    }

    fn rsa_signature(
        &self,
        key: &RsaKeyPair,
        padding: &'static dyn signature::RsaEncoding,
        input: &str,
    ) -> Vec<u8> {
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(padding, &self.random, input.as_bytes(), &mut signature)
            .expect("an RSA signature");
        signature
    }

    fn ec_signature(&self, key: &EcdsaKeyPair, input: &str) -> Vec<u8> {
        let signature = key
            .sign(&self.random, input.as_bytes())
            .expect("an ECDSA signature");
        signature.as_ref().to_vec()
    }
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(pkcs8: &[u8]) -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(pkcs8).expect("the embedded RSA key")
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, random: &SystemRandom) -> EcdsaKeyPair {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, random).expect("a new EC key");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), random).expect("the new EC key")
}

fn ed25519(random: &SystemRandom) -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(random).expect("a new Ed25519 key");
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("the new Ed25519 key")
}

fn rsa_jwk(key: &RsaKeyPair) -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({ "kty": "RSA", "n": base64url(public.n), "e": base64url(public.e) })
}

fn ec_jwk(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let crv = if x.len() == 32 { "P-256" } else { "P-384" };
    json!({ "kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y) })
}
