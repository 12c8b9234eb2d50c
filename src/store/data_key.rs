//! The data key, which encrypts the records, and its ID.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::hex;
use crate::secret::Secret;

/// The name under which the OS keyring lists the key, beside its ID.
pub(super) const SERVICE: &str = "hallpass";

pub(super) const KEY_LEN: usize = 32;

/// Identifies a key in every keyring and record. It is random and not secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; Self::LEN]);

impl KeyId {
    pub(super) const LEN: usize = 16;

    pub(super) fn of(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(super) fn random() -> Result<Self, StoreError> {
        random().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a key's ID"))
    }
}

#[derive(Debug)]
pub(super) struct DataKey {
    pub(super) id: KeyId,
    pub(super) secret: Secret<[u8; KEY_LEN]>,
}

impl DataKey {
    #[cfg(test)]
    pub(super) fn of(id: KeyId, secret: [u8; KEY_LEN]) -> Self {
        Self {
            id,
            secret: Secret::new(secret),
        }
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| StoreError::NoRandomness)?;
    Ok(bytes)
}

/// A name that cannot be guessed: 128 random bits.
pub fn random_id() -> Result<String, StoreError> {
    let random: [u8; 16] = random()?;
    Ok(hex::encode(&random))
}
