//! Tests with generated keys and tokens, both valid and invalid in every way.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::*;

const NOW: i64 = 1_700_000_000;
const ISSUER: &str = "https://as.example";
const CLIENT: &str = "hallpass";

/// ring can't generate RSA keys. This one is used only in these tests.
const RSA_KEY: &[u8] = include_bytes!("test_rsa_key.pk8");

enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(RSA_KEY).unwrap())
    }

    fn p256() -> Self {
        Self::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    fn p384() -> Self {
        Self::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK, with changed or added `members`. Null removes a member.
    fn jwk(&self, members: Value) -> Value {
        let mut jwk = match self {
            Self::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                let n = URL_SAFE_NO_PAD.encode(public.n);
                let e = URL_SAFE_NO_PAD.encode(public.e);
                json!({"kty": "RSA", "kid": "k", "n": n, "e": e})
            }
            Self::P256(key) | Self::P384(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"kty": "EC", "kid": "k", "crv": crv, "x": x, "y": y})
            }
            Self::Ed25519(key) => {
                let x = URL_SAFE_NO_PAD.encode(key.public_key());
                json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": x})
            }
        };
        change(&mut jwk, members);
        jwk
    }

    fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, signed, &mut signature).unwrap();
                signature
            }
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, signed).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(signed).as_ref().to_vec(),
        }
    }

    /// A valid token with changed or added `members`. Null removes a member.
    fn token(&self, members: Value) -> Secret<String> {
        self.token_with_header(&json!({"alg": self.algorithm(), "kid": "k"}), members)
    }

    fn token_with_header(&self, header: &Value, members: Value) -> Secret<String> {
        let mut claims = json!({
            "iss": ISSUER, "sub": "ann", "aud": CLIENT, "iat": NOW, "exp": NOW + 300,
        });
        change(&mut claims, members);
        let signed = format!("{}.{}", encoded(header), encoded(&claims));
        let algorithm = header["alg"].as_str().unwrap();
        let signature = self.signature(algorithm, signed.as_bytes());
        Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "the callers write literals")]
fn change(object: &mut Value, members: Value) {
    let object = object.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn jwks(keys: &[Value]) -> Jwks {
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn checks() -> Checks<'static> {
    Checks {
        issuer: ISSUER,
        client_id: CLIENT,
        trusted_audiences: &[],
        nonce: Nonce::Unchecked,
        access_token: None,
        now: at(NOW),
    }
}

fn signers() -> [Signer; 4] {
    [
        Signer::rsa(),
        Signer::p256(),
        Signer::p384(),
        Signer::ed25519(),
    ]
}

#[test]
fn a_valid_token_of_each_key_type_is_accepted() {
    for signer in signers() {
        let members =
            json!({"email": "ann@a.example", "name": "A\u{202e}nn", "preferred_username": ""});
        let claims = verify(
            &signer.token(members),
            &jwks(&[signer.jwk(json!({}))]),
            &checks(),
        );
        assert_eq!(
            claims,
            Ok(Checked {
                untimely: None,
                claims: Claims {
                    issuer: ISSUER.to_owned(),
                    subject: "ann".to_owned(),
                    validity: Validity {
                        starts_at: at(NOW),
                        expires_at: at(NOW + 300),
                    },
                    email: Some("ann@a.example".to_owned()),
                    preferred_username: None,
                    name: Some(r"A\u{202e}nn".to_owned()),
                },
            }),
            "{}",
            signer.algorithm()
        );
    }
}

#[test]
fn an_rsa_key_verifies_every_rsa_algorithm() {
    let signer = Signer::rsa();
    let keys = jwks(&[signer.jwk(json!({}))]);
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let header = json!({"alg": algorithm, "kid": "k"});
        let token = signer.token_with_header(&header, json!({}));
        assert!(verify(&token, &keys, &checks()).is_ok(), "{algorithm}");
        // The same signature is invalid for any other algorithm.
        for other in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            let (_, rest) = token.expose().split_once('.').unwrap();
            let renamed = encoded(&json!({"alg": other, "kid": "k"}));
            let renamed = Secret::new(format!("{renamed}.{rest}"));
            let passes = verify(&renamed, &keys, &checks()).is_ok();
            assert_eq!(passes, other == algorithm, "{algorithm} as {other}");
        }
    }
}

#[test]
fn a_key_is_read_from_its_certificate() {
    use base64::engine::general_purpose::STANDARD;
    // Any certificate with the key works, even an unsigned one, because the provider published it.
    let certificate = |info: &[u8]| {
        let element = |tag, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82], &length[..], content].concat()
        };
        let sequence = |parts: &[&[u8]]| element(0x30, &parts.concat());
        let empty = sequence(&[]);
        let serial = element(0x02, &[1]);
        let body = sequence(&[&serial, &empty, &empty, &empty, &empty, info]);
        STANDARD.encode(sequence(&[&body, &empty]))
    };
    let (p256, p384) = (Signer::p256(), Signer::p384());
    let info = |signer: &Signer, curve: &[u8]| {
        let (Signer::P256(key) | Signer::P384(key)) = signer else {
            unreachable!("they are made above");
        };
        let point = key.public_key().as_ref();
        let identifiers = [
            &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
            &[0x06, u8::try_from(curve.len()).unwrap()][..],
            curve,
        ]
        .concat();
        let head = [0x30, u8::try_from(identifiers.len()).unwrap()];
        let key = [&[0x03, u8::try_from(point.len() + 1).unwrap(), 0], point].concat();
        let content = [&head[..], &identifiers, &key].concat();
        [
            &[0x30, 0x81, u8::try_from(content.len()).unwrap()],
            &content[..],
        ]
        .concat()
    };
    let of_p256 = certificate(&info(&p256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
    let of_p384 = certificate(&info(&p384, &[0x2b, 0x81, 4, 0, 0x22]));
    let wrapped = format!("{}\n{}", &of_p256[..64], &of_p256[64..]);
    for (signer, key, passes) in [
        (
            &p256,
            json!({"kty": "EC", "kid": "k", "x5c": [of_p256]}),
            true,
        ),
        (&p384, json!({"kid": "k", "x5c": [of_p384, "AAAA"]}), true),
        (
            &p256,
            json!({"kty": "EC", "kid": "k", "x5c": [wrapped]}),
            true,
        ),
        (
            &p256,
            json!({"kty": "EC", "kid": "k", "x5c": [of_p384]}),
            false,
        ),
        (
            &p256,
            json!({"kty": "RSA", "kid": "k", "x5c": [of_p256]}),
            false,
        ),
        (
            &p256,
            json!({"kty": "EC", "kid": "k", "x5c": ["hunter2"]}),
            false,
        ),
        (
            &p256,
            json!({"kty": "EC", "kid": "k", "x5c": "AAAA"}),
            false,
        ),
        (&p256, json!({"kty": "EC", "kid": "k", "x5c": []}), false),
        // The key's own parameters override the certificate's.
        (&p256, p256.jwk(json!({"x5c": [of_p384]})), true),
        (&p384, p256.jwk(json!({"x5c": [of_p384]})), false),
    ] {
        let keys = jwks(std::slice::from_ref(&key));
        let verified = verify(&signer.token(json!({})), &keys, &checks());
        assert_eq!(verified.is_ok(), passes, "{key}: {verified:?}");
        // The cached key has the parameters.
        let cached: Jwks = serde_json::from_value(serde_json::to_value(&keys).unwrap()).unwrap();
        assert_eq!(
            verify(&signer.token(json!({})), &cached, &checks()).is_ok(),
            passes
        );
    }
}

#[test]
fn an_invalid_signature_is_rejected() {
    for signer in signers() {
        let keys = jwks(&[signer.jwk(json!({}))]);
        let token = signer.token(json!({}));
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();

        let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
        flipped[9] ^= 1;
        let forged = encoded(&json!({
            "iss": ISSUER, "sub": "eve", "aud": CLIENT, "iat": NOW, "exp": NOW + 300,
        }));
        for token in [
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(flipped)),
            format!("{header}.{forged}.{signature}"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        ] {
            assert_eq!(
                verify(&Secret::new(token), &keys, &checks()),
                Err(IdTokenError::BadSignature),
                "{}",
                signer.algorithm()
            );
        }
    }
}

#[test]
fn only_asymmetric_algorithms_are_accepted() {
    let signer = Signer::rsa();
    let keys = jwks(&[
        signer.jwk(json!({})),
        json!({"kty": "oct", "kid": "k", "k": "AAAA"}),
    ]);
    for algorithm in [
        "none", "None", "nOnE", "HS256", "HS384", "HS512", "ES512", "ES256K", "", "rs256",
    ] {
        let header = json!({"alg": algorithm, "kid": "k"});
        let token = signer.token_with_header(&header, json!({}));
        let expected = Err(IdTokenError::UnacceptableAlgorithm {
            name: algorithm.to_owned(),
        });
        assert_eq!(verify(&token, &keys, &checks()), expected, "{algorithm}");
        // `none` has an empty signature.
        let (start, _) = token.expose().rsplit_once('.').unwrap();
        let unsigned = Secret::new(format!("{start}."));
        assert_eq!(verify(&unsigned, &keys, &checks()), expected, "{algorithm}");
    }
}

#[test]
fn the_algorithm_must_match_the_key() {
    let (rsa, p256, ed25519) = (Signer::rsa(), Signer::p256(), Signer::ed25519());
    let p384 = Signer::p384();
    for (token_of, key) in [
        (&rsa, p256.jwk(json!({}))),
        (&p256, rsa.jwk(json!({}))),
        (&p256, ed25519.jwk(json!({}))),
        (&rsa, rsa.jwk(json!({"alg": "PS256"}))),
        (&rsa, rsa.jwk(json!({"use": "enc"}))),
        (&rsa, rsa.jwk(json!({"key_ops": ["encrypt"]}))),
        (&p256, p256.jwk(json!({"crv": "P-384"}))),
        (&p256, p256.jwk(json!({"alg": "HS256"}))),
        (&p384, p256.jwk(json!({}))),
        (&p256, p384.jwk(json!({}))),
        (&p384, p384.jwk(json!({"alg": "ES256"}))),
        (&rsa, rsa.jwk(json!({"alg": "RS384"}))),
        (&ed25519, ed25519.jwk(json!({"crv": "X25519"}))),
    ] {
        assert_eq!(
            verify(
                &token_of.token(json!({})),
                &jwks(std::slice::from_ref(&key)),
                &checks()
            ),
            Err(IdTokenError::UnfitKey),
            "{key}"
        );
    }
    for (token_of, key) in [
        (
            &rsa,
            rsa.jwk(json!({"alg": "RS256", "use": "sig", "key_ops": ["verify"]})),
        ),
        (&p256, p256.jwk(json!({"alg": "ES256", "use": "sig"}))),
        (&ed25519, ed25519.jwk(json!({"alg": "Ed25519"}))),
    ] {
        assert!(verify(&token_of.token(json!({})), &jwks(&[key]), &checks()).is_ok());
    }
}

#[test]
fn an_unknown_key_id_is_reported() {
    let signer = Signer::p256();
    let token = signer.token(json!({}));
    for keys in [
        jwks(&[]),
        jwks(&[signer.jwk(json!({"kid": "other"}))]),
        jwks(&[signer.jwk(json!({"kid": null}))]),
    ] {
        assert_eq!(
            verify(&token, &keys, &checks()),
            Err(IdTokenError::UnknownKey)
        );
    }
}

#[test]
fn without_a_key_id_every_matching_key_is_tried() {
    let (signer, other, rsa) = (Signer::p256(), Signer::p256(), Signer::rsa());
    let (right, wrong) = (signer.jwk(json!({})), other.jwk(json!({"kid": "o"})));
    let token = signer.token_with_header(&json!({"alg": "ES256"}), json!({}));
    for (keys, passes) in [
        (vec![right.clone()], true),
        (vec![wrong.clone(), rsa.jwk(json!({})), right], true),
        (vec![wrong], false),
        (vec![rsa.jwk(json!({}))], false),
        (vec![], false),
    ] {
        let expected = if passes {
            Ok("ann".to_owned())
        } else {
            Err(IdTokenError::UnknownKey)
        };
        let subject = verify(&token, &jwks(&keys), &checks()).map(|checked| checked.claims.subject);
        assert_eq!(subject, expected, "{keys:?}");
    }
}

#[test]
fn keys_of_different_types_may_share_an_id() {
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let keys = jwks(&[rsa.jwk(json!({})), p256.jwk(json!({}))]);
    for signer in [rsa, p256] {
        assert!(verify(&signer.token(json!({})), &keys, &checks()).is_ok());
    }
}

#[test]
fn unknown_keys_are_skipped_and_invalid_key_sets_rejected() {
    let signer = Signer::p256();
    let keys = jwks(&[
        json!({"kty": "AKP", "kid": "k"}),
        json!({"kid": "k"}),
        json!({"kty": 7}),
        json!("k"),
        signer.jwk(json!({"x5c": ["AAAA"], "x5t": "A"})),
    ]);
    assert!(verify(&signer.token(json!({})), &keys, &checks()).is_ok());

    for body in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#] {
        assert_eq!(Jwks::parse(body.as_bytes()), Err(IdTokenError::NotAJwks));
    }
}

#[test]
fn a_malformed_or_short_key_verifies_nothing() {
    use IdTokenError::{BadSignature, UnusableKey};
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    for (signer, change, expected) in [
        (
            &rsa,
            json!({"n": URL_SAFE_NO_PAD.encode([0xff; 128])}),
            UnusableKey,
        ),
        (&rsa, json!({"n": null}), UnusableKey),
        (&rsa, json!({"e": "AQ"}), BadSignature),
        (&rsa, json!({"n": "not base64!"}), UnusableKey),
        (
            &p256,
            json!({"y": URL_SAFE_NO_PAD.encode([1; 33])}),
            UnusableKey,
        ),
        (
            &p256,
            json!({"x": URL_SAFE_NO_PAD.encode([1; 32])}),
            BadSignature,
        ),
        (&p256, json!({"y": null}), UnusableKey),
    ] {
        let keys = jwks(&[signer.jwk(change.clone())]);
        assert_eq!(
            verify(&signer.token(json!({})), &keys, &checks()),
            Err(expected),
            "{change}"
        );
    }
}

#[test]
fn leading_zeros_of_an_rsa_key_are_ignored() {
    let signer = Signer::rsa();
    let Signer::Rsa(key) = &signer else {
        unreachable!("it is made above");
    };
    let modulus = RsaPublicKeyComponents::<Vec<u8>>::from(key.public()).n;
    let padded = URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat());
    let keys = jwks(&[signer.jwk(json!({ "n": padded, "e": "AAEAAQ" }))]);
    assert!(verify(&signer.token(json!({})), &keys, &checks()).is_ok());
}

#[test]
fn a_key_set_is_stored_without_private_members() {
    let signer = Signer::rsa();
    let keys = jwks(&[signer.jwk(json!({"d": "hunter2", "use": "sig"}))]);
    let stored = serde_json::to_string(&keys).unwrap();
    assert!(!stored.contains("hunter2"));
    assert_eq!(serde_json::from_str::<Jwks>(&stored).unwrap(), keys);
}

#[test]
fn every_claim_is_verified() {
    let missing = |claim| IdTokenError::Missing { claim };
    let foreign = |other: &str| IdTokenError::ForeignAudience {
        others: vec![other.to_owned()],
    };
    let signer = Signer::p256();
    let keys = jwks(&[signer.jwk(json!({}))]);
    for (members, expected) in [
        (json!({"iss": null}), Some(missing("iss"))),
        (
            json!({"iss": "https://as.example/"}),
            Some(IdTokenError::WrongIssuer),
        ),
        (
            json!({"iss": "https://evil.example"}),
            Some(IdTokenError::WrongIssuer),
        ),
        (json!({"sub": null}), Some(missing("sub"))),
        (json!({"sub": ""}), Some(missing("sub"))),
        (json!({"sub": 7}), None),
        (json!({"sub": [7]}), Some(missing("sub"))),
        (json!({"sub": true}), Some(missing("sub"))),
        (json!({"sub": "a".repeat(256)}), Some(missing("sub"))),
        (json!({"sub": "a".repeat(255)}), None),
        (json!({"aud": null}), Some(missing("aud"))),
        (json!({"aud": "other"}), Some(IdTokenError::WrongAudience)),
        (json!({"aud": []}), Some(IdTokenError::WrongAudience)),
        (
            json!({"aud": {"a": CLIENT}}),
            Some(IdTokenError::WrongAudience),
        ),
        (json!({"aud": ["other"]}), Some(IdTokenError::WrongAudience)),
        (json!({"aud": [CLIENT]}), None),
        (json!({"aud": [CLIENT, "other"]}), Some(foreign("other"))),
        (json!({"aud": [CLIENT, 7]}), Some(foreign("(not a string)"))),
        (
            json!({"aud": [CLIENT, "evil\u{1b}[2J"]}),
            Some(foreign(r"evil\u{1b}[2J")),
        ),
        (
            json!({"aud": ["project", CLIENT, "other"], "azp": CLIENT}),
            None,
        ),
        (
            json!({"aud": [CLIENT, "other"], "azp": "other"}),
            Some(IdTokenError::WrongParty),
        ),
        (
            json!({"aud": ["other"], "azp": CLIENT}),
            Some(IdTokenError::WrongAudience),
        ),
        (json!({"azp": CLIENT}), None),
        (json!({"azp": "other"}), Some(IdTokenError::WrongParty)),
        (json!({"azp": 7}), Some(IdTokenError::WrongParty)),
        (json!({"exp": null}), Some(missing("exp"))),
        (json!({"exp": "soon"}), Some(missing("exp"))),
        (json!({"exp": ""}), Some(missing("exp"))),
        (json!({"exp": "NaN"}), Some(missing("exp"))),
        (json!({"exp": "inf"}), Some(missing("exp"))),
        (json!({"iat": "2023-11-14"}), Some(missing("iat"))),
        (json!({"exp": "1700000300", "iat": "1700000000.5"}), None),
        (json!({"exp": 1e300}), Some(missing("exp"))),
        (json!({"exp": 253_402_300_799_i64}), None),
        (json!({"iat": null}), Some(missing("iat"))),
        (json!({"iat": -1e300}), Some(missing("iat"))),
    ] {
        let verified = verify(&signer.token(members.clone()), &keys, &checks());
        assert_eq!(verified.err(), expected, "{members}");
    }
}

#[test]
fn times_have_a_tolerance_and_are_checked_last() {
    use Untimely::{Expired, NotYetValid};
    let signer = Signer::p256();
    let keys = jwks(&[signer.jwk(json!({}))]);
    for (members, expected) in [
        (json!({"exp": NOW - 59}), None),
        (json!({"exp": NOW - 60}), Some(Expired)),
        (json!({"iat": 1_700_000_300.9}), None),
        (json!({"iat": NOW + 301}), Some(NotYetValid)),
        (json!({"nbf": NOW + 300}), None),
        (json!({"nbf": NOW + 301}), Some(NotYetValid)),
        (json!({"nbf": NOW - 9000}), None),
        (
            json!({"iat": NOW + 900, "exp": NOW + 1200}),
            Some(NotYetValid),
        ),
    ] {
        let checked = verify(&signer.token(members.clone()), &keys, &checks()).unwrap();
        assert_eq!(checked.untimely, expected, "{members}");
        assert_eq!(checked.claims.subject, "ann", "{members}");
    }

    // Times may be strings, and a numeric `sub` becomes a string.
    for (members, expected) in [
        (json!({"exp": "1699999000", "sub": 12}), Some(Expired)),
        (json!({"iat": "1700009000", "sub": 12}), Some(NotYetValid)),
    ] {
        let checked = verify(&signer.token(members.clone()), &keys, &checks()).unwrap();
        assert_eq!(checked.untimely, expected, "{members}");
        assert_eq!(checked.claims.subject, "12", "{members}");
    }

    // Every other fault is reported first.
    let sent = Secret::from("n-1");
    let access_token = Secret::from("at");
    for (members, expected) in [
        (
            json!({"iss": "https://evil.example"}),
            IdTokenError::WrongIssuer,
        ),
        (json!({"aud": "other"}), IdTokenError::WrongAudience),
        (json!({"azp": "other"}), IdTokenError::WrongParty),
        (json!({"sub": null}), IdTokenError::Missing { claim: "sub" }),
        (json!({"nonce": "n-2"}), IdTokenError::WrongNonce),
        (json!({"at_hash": "AAAA"}), IdTokenError::WrongAccessToken),
    ] {
        let checks = Checks {
            nonce: Nonce::Sent(&sent),
            access_token: Some(&access_token),
            now: at(NOW + 9000),
            ..checks()
        };
        let mut all = json!({"nonce": "n-1"});
        let more = members.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        let verified = verify(&signer.token(all), &keys, &checks);
        assert_eq!(verified.err(), Some(expected), "{members}");
    }
}

#[test]
fn the_nonce_must_match_the_request() {
    use Nonce::{Sent, SentAtSignIn, Unchecked};
    let signer = Signer::p256();
    let keys = jwks(&[signer.jwk(json!({}))]);
    let sent = Secret::from("n-1");
    let missing = Some(IdTokenError::Missing { claim: "nonce" });
    let wrong = Some(IdTokenError::WrongNonce);
    for (nonce, members, expected) in [
        (Sent(&sent), json!({"nonce": "n-1"}), None),
        (Sent(&sent), json!({"nonce": "n-2"}), wrong.clone()),
        (Sent(&sent), json!({}), missing.clone()),
        (SentAtSignIn(&sent), json!({"nonce": "n-1"}), None),
        (SentAtSignIn(&sent), json!({"nonce": "n-2"}), wrong),
        (SentAtSignIn(&sent), json!({}), None),
        (SentAtSignIn(&sent), json!({"nonce": 7}), missing),
        (Unchecked, json!({"nonce": "n-2"}), None),
    ] {
        let checks = Checks { nonce, ..checks() };
        let verified = verify(&signer.token(members.clone()), &keys, &checks);
        assert_eq!(verified.err(), expected, "{members}");
    }
}

#[test]
fn trusted_audiences_are_accepted_in_addition_to_this_client() {
    let signer = Signer::p256();
    let keys = jwks(&[signer.jwk(json!({}))]);
    let trusted = ["kubernetes".to_owned(), "other".to_owned()];
    let checks = Checks {
        trusted_audiences: &trusted,
        ..checks()
    };
    for (members, passes) in [
        (json!({"aud": [CLIENT, "kubernetes"]}), true),
        (json!({"aud": ["other", "kubernetes", CLIENT]}), true),
        (json!({"aud": [CLIENT, "kubernetes", "stranger"]}), false),
        (json!({"aud": ["kubernetes"]}), false),
        (json!({"aud": "kubernetes"}), false),
        (
            json!({"aud": [CLIENT, "kubernetes"], "azp": "kubernetes"}),
            false,
        ),
    ] {
        let verified = verify(&signer.token(members.clone()), &keys, &checks);
        assert_eq!(verified.is_ok(), passes, "{members}");
    }
}

#[test]
fn at_hash_must_match_the_access_token() {
    let access_token = Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    let left = |hash: &[u8]| URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2]);
    let sha256 = left(&Sha256::digest(access_token.expose()));
    let sha384 = left(&Sha384::digest(access_token.expose()));
    let sha512 = left(&Sha512::digest(access_token.expose()));
    // The example from OpenID Connect Core, appendix A.3.
    assert_eq!(sha256, "77QmUPtjPfzWtF2AnpK9RQ");

    for signer in signers() {
        let keys = jwks(&[signer.jwk(json!({}))]);
        let (right, wrong) = match signer.algorithm() {
            "EdDSA" => (&sha512, &sha256),
            "ES384" => (&sha384, &sha256),
            _ => (&sha256, &sha512),
        };
        let mismatch = Some(IdTokenError::WrongAccessToken);
        for (access_token, members, expected) in [
            (Some(&access_token), json!({ "at_hash": right }), None),
            (
                Some(&access_token),
                json!({ "at_hash": wrong }),
                mismatch.clone(),
            ),
            (
                Some(&access_token),
                json!({"at_hash": ""}),
                mismatch.clone(),
            ),
            (Some(&access_token), json!({"at_hash": 7}), mismatch),
            (Some(&access_token), json!({}), None),
            (None, json!({ "at_hash": wrong }), None),
        ] {
            let checks = Checks {
                access_token,
                ..checks()
            };
            let verified = verify(&signer.token(members.clone()), &keys, &checks);
            assert_eq!(verified.err(), expected, "{} {members}", signer.algorithm());
        }
    }
}

#[test]
fn an_invalid_jwt_is_rejected_without_being_quoted() {
    let signer = Signer::p256();
    let keys = jwks(&[signer.jwk(json!({}))]);
    let critical = signer.token_with_header(
        &json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false}),
        json!({}),
    );
    for (token, expected) in [
        ("", IdTokenError::NotAJwt),
        ("hunter2", IdTokenError::NotAJwt),
        ("hunter2.hunter2", IdTokenError::NotAJwt),
        ("hunter2.hunter2.hunter2", IdTokenError::NotAJwt),
        ("a.b.c.d", IdTokenError::NotAJwt),
        ("a.b.c.d.e", IdTokenError::Encrypted),
        // `{"alg":7}`, `["ES256"]`
        ("eyJhbGciOjd9.e30.", IdTokenError::NotAJwt),
        ("WyJFUzI1NiJd.e30.", IdTokenError::NotAJwt),
        (critical.expose(), IdTokenError::CriticalExtension),
    ] {
        let error = verify(&Secret::from(token), &keys, &checks()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(error, expected);
    }
}

#[test]
fn the_expiry_can_be_read_without_verification() {
    let signer = Signer::p256();
    assert_eq!(
        unverified_expiry(&signer.token(json!({"exp": NOW}))),
        Some(at(NOW))
    );
    for token in ["", "opaque", "a.b", "a.b.c", "a.e30.c"] {
        assert_eq!(unverified_expiry(&Secret::from(token)), None, "{token}");
    }
}
