//! Extracts the public key of an X.509 certificate as members of a JWK (RFC 7518 §6).
//!
//! Some providers publish a key only as a certificate (`x5c`, RFC 7517 §4.7). The key set comes from
//! the provider over TLS, so the certificate's issuer and expiry don't matter.
//!
//! <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A public key with the parameters of RFC 7518 §6, in base64url.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        n: String,
        e: String,
    },
    Ec {
        crv: &'static str,
        x: String,
        y: String,
    },
    Ed25519 {
        x: String,
    },
}

// The contents of the object identifiers (RFC 3279 §2.3, RFC 5480 §2.1.1, RFC 8410 §3).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `version [0] EXPLICIT`, which a certificate of version 1 omits.
const VERSION: u8 = 0xa0;

/// The key in a certificate in DER. `None`: it isn't a certificate, or hallpass doesn't support the
/// key's type.
pub(super) fn public_key(certificate: &[u8]) -> Option<PublicKey> {
    let mut certificate = Der(certificate).take(SEQUENCE)?;
    let mut body = certificate.take(SEQUENCE)?;
    let _version = body.take(VERSION);
    let _serial_number = body.take(INTEGER)?;
    let _signature_algorithm = body.take(SEQUENCE)?;
    let _issuer = body.take(SEQUENCE)?;
    let _validity = body.take(SEQUENCE)?;
    let _subject = body.take(SEQUENCE)?;

    let mut key_info = body.take(SEQUENCE)?;
    let mut algorithm = key_info.take(SEQUENCE)?;
    let identifier = algorithm.take(OBJECT_IDENTIFIER)?.0;
    // The first byte is the number of unused bits at the end, which is 0 for a key.
    let key = key_info.take(BIT_STRING)?.0.strip_prefix(&[0])?;

    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match identifier {
        RSA_ENCRYPTION => {
            let mut key = Der(key).take(SEQUENCE)?;
            let (n, e) = (key.take(INTEGER)?.0, key.take(INTEGER)?.0);
            Some(PublicKey::Rsa {
                n: encoded(n),
                e: encoded(e),
            })
        }
        EC_PUBLIC_KEY => {
            let (crv, length) = match algorithm.take(OBJECT_IDENTIFIER)?.0 {
                P256 => ("P-256", 32),
                P384 => ("P-384", 48),
                _ => return None,
            };
            // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
            let point = key.strip_prefix(&[4])?;
            let (x, y) = point.split_at_checked(length)?;
            Some(PublicKey::Ec {
                crv,
                x: encoded(x),
                y: encoded(y),
            })
        }
        ED25519 => Some(PublicKey::Ed25519 { x: encoded(key) }),
        _ => None,
    }
}

/// A sequence of elements in DER (X.690).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<Der<'a>> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // The long form: the number of length bytes. Two are enough for 64 KiB.
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if !(1..=2).contains(&bytes.len()) {
                return None;
            }
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Der(content))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    // Created with `openssl req -x509 -newkey …`. The keys are used only here.
    const RSA: &str = include_str!("test_certificates/rsa.txt");
    const EC256: &str = include_str!("test_certificates/p256.txt");
    const EC384: &str = include_str!("test_certificates/p384.txt");
    const EDDSA: &str = include_str!("test_certificates/ed25519.txt");

    /// A certificate, and the parameters of its key as `openssl` shows them.
    fn cases() -> [(&'static str, Vec<&'static str>); 4] {
        [RSA, EC256, EC384, EDDSA].map(|text| {
            let mut lines = text.lines();
            (lines.next().unwrap(), lines.collect())
        })
    }

    #[test]
    fn the_key_of_each_certificate_type_is_extracted() {
        for (certificate, expected) in cases() {
            let key = public_key(&STANDARD.decode(certificate).unwrap()).unwrap();
            let read = match &key {
                PublicKey::Rsa { n, e } => vec!["RSA", n, e],
                PublicKey::Ec { crv, x, y } => vec![*crv, x, y],
                PublicKey::Ed25519 { x } => vec!["Ed25519", x],
            };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn truncated_and_corrupted_certificates_never_panic() {
        for (certificate, _) in cases() {
            let whole = STANDARD.decode(certificate).unwrap();
            for end in 0..whole.len() {
                public_key(&whole[..end]);
            }
            for position in 0..whole.len() {
                for byte in [0, 0x7f, 0x80, 0x82, 0xff] {
                    let mut changed = whole.clone();
                    changed[position] = byte;
                    public_key(&changed);
                }
            }
        }
        for bytes in [&b""[..], b"hunter2", &[0x30, 0x80], &[0x30, 0x83, 1, 0, 0]] {
            assert_eq!(public_key(bytes), None);
        }
    }
}
