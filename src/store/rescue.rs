//! Recovery: rebuilds a damaged key.json from the records' headers, and removes what can no longer
//! be decrypted.
//!
//! Nothing is removed here unless the user asked for it.

use std::collections::BTreeMap;

use super::data_key::{DataKey, KEY_LEN, KeyId};
use super::error::{KeyringError, StoreError};
use super::folder::Folder;
use super::key::{self, Keys};
use super::key_file::KeyFile;
use super::keyring;
use super::name::RecordName;
use super::options::Options;
use super::seal::{self, Header};
use super::setting::Place;
use crate::secret::Secret;

impl Keys {
    /// The folder's information about its key. If key.json is damaged or missing, it is rebuilt
    /// from the records, provided that their key can be found.
    pub(super) fn key_file(
        &self,
        options: &Options,
        folder: &Folder,
    ) -> Result<Option<KeyFile>, StoreError> {
        match KeyFile::read(folder) {
            Ok(Some(file)) => Ok(Some(file)),
            Ok(None) if !key::any_encrypted(folder)? => Ok(None),
            Err(error) if !matches!(error, StoreError::KeyFileDamaged { .. }) => Err(error),
            Ok(None) | Err(_) => {
                let _turn = key::turn(options, folder)?;
                self.key_file_in_turn(options, folder)
            }
        }
    }

    /// The same, for a caller that holds the lock. If nothing is encrypted, a damaged file counts
    /// as missing.
    pub(super) fn key_file_in_turn(
        &self,
        options: &Options,
        folder: &Folder,
    ) -> Result<Option<KeyFile>, StoreError> {
        let damage = match KeyFile::read(folder) {
            Ok(Some(file)) => return Ok(Some(file)),
            Ok(None) => None,
            Err(error @ StoreError::KeyFileDamaged { .. }) => Some(error),
            Err(error) => return Err(error),
        };
        let samples = samples(folder)?;
        if samples.is_empty() && !key::any_encrypted(folder)? {
            return Ok(None);
        }
        for (id, sample) in samples {
            if let Some((place, secret)) = place_of(options, folder, id, &sample)? {
                let file = KeyFile::of(id, place);
                file.prepare(folder)?.put()?;
                self.hold(id, secret);
                return Ok(Some(file));
            }
        }
        Err(damage.unwrap_or_else(|| StoreError::RecordsWithoutKey {
            folder: folder.path().to_owned(),
        }))
    }
}

type DataSecret = Secret<[u8; KEY_LEN]>;

/// A record that a key encrypted, used to check whether a key is the right one.
struct Sample {
    name: RecordName,
    header: Header,
    bytes: Vec<u8>,
    /// How many records use the key.
    count: usize,
}

/// The keys that records use, with one record for each; the most used key comes first.
fn samples(folder: &Folder) -> Result<Vec<(KeyId, Sample)>, StoreError> {
    let mut found: BTreeMap<[u8; KeyId::LEN], Sample> = BTreeMap::new();
    key::for_each_record(folder, |records, kind, file| {
        // An unreadable record names no key, but the next one may.
        let Ok(Some(bytes)) = records.read(file) else {
            return Ok(false);
        };
        if let Ok(header) = Header::of(&bytes) {
            let sample = found.entry(*header.key.bytes()).or_insert_with(|| Sample {
                name: RecordName::of(kind, file),
                header,
                bytes,
                count: 0,
            });
            sample.count += 1;
        }
        Ok(false)
    })?;
    let mut found: Vec<_> = found
        .into_iter()
        .map(|(id, sample)| (KeyId::of(id), sample))
        .collect();
    found.sort_by_key(|(_, sample)| std::cmp::Reverse(sample.count));
    Ok(found)
}

/// The key with this name and the place that has it. A locked keyring may have it, so that is an
/// error and not a missing key.
fn place_of(
    options: &Options,
    folder: &Folder,
    id: KeyId,
    sample: &Sample,
) -> Result<Option<(Place, DataSecret)>, StoreError> {
    let opens = |secret: &DataSecret| {
        let key = DataKey {
            id,
            secret: secret.clone(),
        };
        seal::open_bytes(&key, &sample.name, &sample.header, &sample.bytes, 0).is_ok()
    };
    // The file first, because it exists only if it was requested; the kernel keyring last, because
    // it may just be the cache of the OS keyring.
    for place in [Place::File, Place::Keyring, Place::Kernel] {
        let secret = match place {
            Place::File => key::from_file(folder).map(Some),
            Place::Keyring => {
                let turn = folder.open_lock(key::KEYRING_LOCK)?;
                match keyring::read(id, options.terms(), turn, || None) {
                    Err(KeyringError::NoService) => continue,
                    read => read.map(Some).map_err(StoreError::from),
                }
            }
            Place::Kernel => key::from_kernel(id),
            Place::None => continue,
        };
        match secret {
            Ok(Some(secret)) if opens(&secret) => return Ok(Some((place, secret))),
            Ok(_)
            | Err(
                StoreError::KeyMissing { .. }
                | StoreError::KeyDamaged { .. }
                | StoreError::Kernel(_),
            ) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes key.json and the key file if no record is left and key.json is useless, so that the next
/// sign-in creates a new key.
pub(super) fn forget_useless_key_file(
    options: &Options,
    folder: &Folder,
) -> Result<(), StoreError> {
    let _turn = key::turn(options, folder)?;
    if key::any_encrypted(folder)? {
        return Ok(());
    }
    match KeyFile::read(folder) {
        Err(StoreError::KeyFileDamaged { .. } | StoreError::KeyFileNewer { .. }) => {
            folder.remove(KeyFile::NAME)?;
            folder.remove(key::KEY)?;
            folder.sync()
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
