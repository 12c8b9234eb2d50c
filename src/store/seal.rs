//! A record's bytes: an unencrypted header, and JSON encrypted with XChaCha20-Poly1305.
//!
//! ```text
//! "hallpass"  version  key id  generation       nonce  ciphertext and tag
//! 8           1        16      8 (big-endian)   24     …
//! ```
//!
//! The header and the record's name are the associated data, so a record that is copied over
//! another one or given another generation's number does not decrypt. The nonce is random; 192 bits
//! are enough for that (draft-irtf-cfrg-xchacha-03 §3.1).

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::data_key::{DataKey, KeyId, random};
use super::error::StoreError;
use super::name::RecordName;
use crate::credential::Generation;
use crate::secret::Wiping;

const MAGIC: &[u8; 8] = b"hallpass";
const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
pub(super) const HEADER_LEN: usize = MAGIC.len() + 1 + KeyId::LEN + 8 + NONCE_LEN;

/// A record's unencrypted header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key: KeyId,
    pub(super) generation: Generation,
    nonce: [u8; NONCE_LEN],
}

/// Why a record cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    UnknownFormat,
    Damaged,
}

impl Header {
    pub(super) fn of(record: &[u8]) -> Result<Self, Unreadable> {
        let rest = record.strip_prefix(MAGIC).ok_or(Unreadable::Damaged)?;
        let (version, rest) = rest.split_first().ok_or(Unreadable::Damaged)?;
        if *version != VERSION {
            return Err(Unreadable::UnknownFormat);
        }
        let (key, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        let (nonce, _) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        Ok(Self {
            key: KeyId::of(*key),
            generation: Generation::from_be_bytes(*generation),
            nonce: *nonce,
        })
    }

    fn bytes(&self) -> [u8; HEADER_LEN] {
        let Self {
            key,
            generation,
            nonce,
        } = self;
        let mut bytes = [0; HEADER_LEN];
        let mut rest = bytes.as_mut_slice();
        for part in [
            MAGIC.as_slice(),
            &[VERSION],
            key.bytes(),
            &generation.to_be_bytes(),
            nonce,
        ] {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }
}

/// Encrypts a value into a record's bytes.
pub(super) fn seal<T: Serialize + ?Sized>(
    key: &DataKey,
    name: &RecordName,
    value: &T,
    generation: Generation,
) -> Result<Vec<u8>, StoreError> {
    let mut body = Wiping::with_capacity(4096);
    serde_json::to_writer(&mut body, value).map_err(|_| StoreError::NotJson)?;
    seal_bytes(key, name, &[], body.into_bytes(), generation)
}

/// Encrypts bytes, preceded by some that are authenticated but not encrypted.
pub(super) fn seal_bytes(
    key: &DataKey,
    name: &RecordName,
    clear: &[u8],
    mut body: Zeroizing<Vec<u8>>,
    generation: Generation,
) -> Result<Vec<u8>, StoreError> {
    let header = Header {
        key: key.id,
        generation,
        nonce: random()?,
    };
    cipher(key)
        .encrypt_in_place(
            &XNonce::from(header.nonce),
            &associated_data(&header, name, clear),
            &mut *body,
        )
        .map_err(|_| StoreError::NotJson)?;
    Ok([&header.bytes(), clear, &body].concat())
}

/// Decrypts a record's bytes. The caller has chosen the key by the header.
pub(super) fn open<T: DeserializeOwned>(
    key: &DataKey,
    name: &RecordName,
    header: &Header,
    record: &[u8],
) -> Result<T, Unreadable> {
    let body = open_bytes(key, name, header, record, 0)?;
    serde_json::from_slice(&body).map_err(|_| Unreadable::Damaged)
}

/// Like [`open`], with this many unencrypted bytes after the header.
pub(super) fn open_bytes(
    key: &DataKey,
    name: &RecordName,
    header: &Header,
    record: &[u8],
    clear: usize,
) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let rest = record.get(HEADER_LEN..).ok_or(Unreadable::Damaged)?;
    let (clear, body) = rest.split_at_checked(clear).ok_or(Unreadable::Damaged)?;
    let mut body = Zeroizing::new(body.to_vec());
    cipher(key)
        .decrypt_in_place(
            &XNonce::from(header.nonce),
            &associated_data(header, name, clear),
            &mut *body,
        )
        .map_err(|_| Unreadable::Damaged)?;
    Ok(body)
}

fn cipher(key: &DataKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.secret.expose().into())
}

fn associated_data(header: &Header, name: &RecordName, clear: &[u8]) -> Vec<u8> {
    [&header.bytes(), name.as_str().as_bytes(), clear].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, secret: u8) -> DataKey {
        DataKey::of(KeyId::of([id; 16]), [secret; 32])
    }

    fn name(identity: &str) -> RecordName {
        RecordName::session(identity.as_bytes())
    }

    fn opened(key: &DataKey, name: &RecordName, record: &[u8]) -> Result<String, Unreadable> {
        open(key, name, &Header::of(record)?, record)
    }

    #[test]
    fn values_of_any_size_round_trip() {
        for len in [0, 1, 4095, 4096, 100_000] {
            let value = "t".repeat(len);
            let record = seal(&key(1, 2), &name("a"), &value, 7).unwrap();
            assert_eq!(Header::of(&record).unwrap().generation, 7);
            assert_eq!(opened(&key(1, 2), &name("a"), &record), Ok(value), "{len}");
            assert!(!record.windows(4).any(|bytes| bytes == b"tttt"), "{len}");
        }
    }

    #[test]
    fn encrypting_a_value_twice_gives_different_records() {
        let seal = || seal(&key(1, 2), &name("a"), "x", 1).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_changed_bit_is_always_detected() {
        let (key, name) = (key(1, 2), name("a"));
        let record = seal(&key, &name, "x", 1).unwrap();
        for place in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[place] ^= 1 << bit;
                let expected = if place == MAGIC.len() {
                    Unreadable::UnknownFormat
                } else {
                    Unreadable::Damaged
                };
                assert_eq!(
                    opened(&key, &name, &changed),
                    Err(expected),
                    "byte {place}, bit {bit}"
                );
            }
        }
    }

    #[test]
    fn a_record_decrypts_only_completely_and_with_its_own_name_and_key() {
        let record = seal(&key(1, 2), &name("a"), "x", 1).unwrap();
        for (why, key, name, record) in [
            ("swapped name", key(1, 2), name("b"), record.clone()),
            (
                "the kept credentials of the same hash",
                key(1, 2),
                RecordName::stored_credentials("git", "a"),
                record.clone(),
            ),
            ("other secret", key(1, 3), name("a"), record.clone()),
            (
                "more bytes",
                key(1, 2),
                name("a"),
                [&record[..], b"x"].concat(),
            ),
            ("empty", key(1, 2), name("a"), vec![]),
            ("garbage", key(1, 2), name("a"), vec![0; 500]),
            (
                "zeros after the magic",
                key(1, 2),
                name("a"),
                MAGIC.to_vec(),
            ),
        ] {
            assert_eq!(
                opened(&key, &name, &record),
                Err(Unreadable::Damaged),
                "{why}"
            );
        }
        for len in 0..record.len() {
            assert_eq!(
                opened(&key(1, 2), &name("a"), &record[..len]),
                Err(Unreadable::Damaged),
                "the first {len} bytes"
            );
        }
    }

    #[test]
    fn the_header_names_the_key_without_decryption() {
        let record = seal(&key(9, 2), &name("a"), "x", 1).unwrap();
        assert_eq!(Header::of(&record).unwrap().key, KeyId::of([9; 16]));
    }
}
