//! The fast path of a hit: a data folder whose key is available without the OS keyring.
//!
//! It takes no lock, lists nothing, creates nothing, uses no bus and waits for nothing. If anything
//! is missing it returns [`NotAtHand`], and [`super::Store`] takes the slow path.

use std::cell::OnceCell;
use std::fs::TryLockError;
use std::path::Path;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::data_key::DataKey;
use super::error::StoreError;
use super::folder::{Durable, Folder};
use super::key;
use super::key_file::KeyFile;
use super::lock::LockKind;
use super::name::{self, RecordName};
use super::plain::{self, Plain};
use super::record::Versioned;
use super::seal::{self, HEADER_LEN, Header};

/// A data folder, opened once.
#[derive(Debug)]
pub struct AtHand {
    data: Folder,
    key: OnceCell<Option<DataKey>>,
}

/// A resolution on disk: the question in the clear, and its encrypted result, which authenticates
/// the question.
#[derive(Debug)]
pub struct Remembered {
    name: RecordName,
    bytes: Vec<u8>,
    header: Header,
    /// How many bytes after the header are in the clear, including those of the length.
    clear: usize,
}

impl Remembered {
    /// The question. It counts as authentic only once the result has been decrypted.
    pub fn question(&self) -> &[u8] {
        let end = HEADER_LEN + self.clear;
        self.bytes.get(HEADER_LEN + LEN..end).unwrap_or_default()
    }

    fn of(name: RecordName, bytes: Vec<u8>) -> Option<Self> {
        let header = Header::of(&bytes).ok()?;
        let len = bytes.get(HEADER_LEN..)?.first_chunk()?;
        let clear = LEN.checked_add(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        (bytes.len() >= HEADER_LEN.checked_add(clear)?).then_some(Self {
            name,
            bytes,
            header,
            clear,
        })
    }
}

const LEN: usize = size_of::<u32>();

/// The bytes of a resolution's file.
pub(super) fn sealed(
    key: &DataKey,
    name: &RecordName,
    question: &[u8],
    answer: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, StoreError> {
    let len = u32::try_from(question.len()).map_err(|_| StoreError::NotJson)?;
    let clear = [&len.to_le_bytes(), question].concat();
    seal::seal_bytes(key, name, &clear, answer, 1)
}

impl AtHand {
    /// Opens a data folder, if it exists.
    pub fn open(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let folder = Folder::open(data_dir)?;
        Ok(folder.map(|data| Self {
            data,
            key: OnceCell::new(),
        }))
    }

    /// Whether the record seems to exist, without opening it.
    pub fn may_have(&self, name: &RecordName) -> bool {
        match self.data.subfolder(name.folder()) {
            Ok(None) => false,
            Ok(Some(folder)) => !matches!(folder.head(name.file(), 1), Ok(None)),
            Err(_) => true,
        }
    }

    /// Whether another process holds the record's lock. To find out, it briefly takes a shared
    /// lock.
    pub fn is_locked(&self, name: &RecordName) -> bool {
        let Ok(Some(records)) = self.data.subfolder(name.folder()) else {
            return false;
        };
        let lock = records.open_lock(&name.lock_file(LockKind::Record));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// What is stored unencrypted under this name.
    pub fn read_plain<T: DeserializeOwned>(
        &self,
        kind: Plain,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        plain::read(&self.data, kind, name)
    }

    /// The bytes stored unencrypted under this name.
    pub fn plain(&self, kind: Plain, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        plain::bytes(&self.data, kind, name)
    }

    /// The resolution in this slot; `None` if there is none or its format is invalid.
    pub fn remembered(&self, slot: u8) -> Result<Option<Remembered>, StoreError> {
        let name = RecordName::resolution(slot);
        let Some(folder) = self.data.subfolder(name.folder())? else {
            return Ok(None);
        };
        let bytes = folder.read(name.file())?;
        Ok(bytes.and_then(|bytes| Remembered::of(name, bytes)))
    }

    /// The question's result; `None` if it wasn't encrypted with this folder's key.
    pub fn answer(&self, remembered: &Remembered) -> Result<Option<Zeroizing<Vec<u8>>>, NotAtHand> {
        let Remembered {
            name,
            bytes,
            header,
            clear,
        } = remembered;
        let key = self.key()?;
        if key.id != header.key {
            return Ok(None);
        }
        Ok(seal::open_bytes(key, name, header, bytes, *clear).ok())
    }

    /// Reads a record; `None` if it does not exist.
    pub fn read<T: DeserializeOwned>(
        &self,
        name: &RecordName,
    ) -> Result<Option<Versioned<T>>, NotAtHand> {
        let Some(records) = self.data.subfolder(name.folder())? else {
            return Ok(None);
        };
        let Some(bytes) = records.read(name.file())? else {
            return Ok(None);
        };
        let header = Header::of(&bytes).map_err(|_| NotAtHand)?;
        let key = self.key()?;
        if key.id != header.key {
            return Err(NotAtHand);
        }
        let value = seal::open(key, name, &header, &bytes).map_err(|_| NotAtHand)?;
        Ok(Some(Versioned {
            value,
            generation: header.generation,
        }))
    }

    fn key(&self) -> Result<&DataKey, NotAtHand> {
        let key = self.key.get_or_init(|| {
            let file = KeyFile::read(&self.data).ok().flatten()?;
            key::at_hand(&self.data, &file)
        });
        key.as_ref().ok_or(NotAtHand)
    }
}

/// The fast path is not available. The slow path reports why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAtHand;

impl From<StoreError> for NotAtHand {
    fn from(_: StoreError) -> Self {
        Self
    }
}

/// Remembers a question's result, if the key will be available when the question is asked again.
pub(super) fn remember(
    data: &Folder,
    slot: u8,
    question: &[u8],
    answer: Zeroizing<Vec<u8>>,
) -> Result<(), StoreError> {
    let Some(file) = KeyFile::read(data)? else {
        return Ok(());
    };
    let Some(key) = key::at_hand(data, &file) else {
        return Ok(());
    };
    let name = RecordName::resolution(slot);
    let bytes = sealed(&key, &name, question, answer)?;
    data.subfolder_or_create(name::RESOLUTIONS)?
        // A result lost to a power failure is computed again.
        .replace(name.file(), &bytes, Durable::No)
}
