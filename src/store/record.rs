//! Records: their names, and how they are written completely or not at all.

use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::folder::{self, Folder};
use super::key::{DataKey, KeyFile};
use super::seal::{self, HEADER_LEN, Header, Unreadable};
use super::{StoreError, hex};
use crate::credential::Generation;

/// Names a record without revealing its content: a hash of what identifies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    full: String,
    folder: &'static str,
}

pub(super) const SESSIONS: &str = "sessions";
pub(super) const KEPT: &str = "kept";
pub(super) const EXCHANGED: &str = "exchanged";
pub(super) const RESOLUTIONS: &str = "resolutions";
pub(super) const METADATA: &str = "metadata";
/// The folders with encrypted records.
pub(super) const FOLDERS: [&str; 5] = [SESSIONS, KEPT, EXCHANGED, RESOLUTIONS, METADATA];

impl RecordName {
    /// The name of a session, from everything that identifies it (issuer, client, account, …).
    pub fn session(identity_json: &[u8]) -> Self {
        Self::of(SESSIONS, &digest(&[identity_json]))
    }

    /// The name of a session with this file name.
    pub fn session_named(file: &str) -> Option<Self> {
        is_record(file).then(|| Self::of(SESSIONS, file))
    }

    /// The name of a tool's stored credentials with this file name.
    pub fn kept_named(file: &str) -> Option<Self> {
        is_record(file).then(|| Self::of(KEPT, file))
    }

    /// The name of a question's result.
    pub(super) fn resolution(slot: u8) -> Self {
        Self::of(RESOLUTIONS, &hex::encode(&[slot]))
    }

    /// The name of the credentials that a tool stored for a realm.
    pub fn kept(tool: &str, realm: &str) -> Self {
        Self::of(KEPT, &digest(&[tool.as_bytes(), realm.as_bytes()]))
    }

    /// The name of a document that an issuer published. The name is authenticated with the record,
    /// so one issuer's document can't pass as another's.
    pub fn metadata(issuer: &str, document: &str) -> Self {
        Self::of(METADATA, &digest(&[issuer, document].map(str::as_bytes)))
    }

    /// The name of the credential that a registry issued for a session's token.
    pub fn exchanged(session: &str, exchange: &str, registry: &str) -> Self {
        let parts = [session, exchange, registry].map(str::as_bytes);
        Self::of(EXCHANGED, &digest(&parts))
    }

    pub(super) fn of(folder: &'static str, file: &str) -> Self {
        Self {
            full: format!("{folder}/{file}"),
            folder,
        }
    }

    /// Folder and file, separated by a slash on every platform.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    pub(super) fn folder(&self) -> &'static str {
        self.folder
    }

    /// The file alone.
    pub fn file(&self) -> &str {
        &self.full[self.folder.len() + 1..]
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// A record's file name is 64 hexadecimal digits; locks and temporary files have a suffix.
pub(super) fn is_record(file: &str) -> bool {
    hex::decode::<32>(file).is_some()
}

/// Hashes the parts so that different lists of parts never give the same name.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize())
}

/// A record's content and its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    pub generation: Generation,
}

/// A record on disk that has not been decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: RecordName,
}

/// Space for a record, reserved before the request whose response it will store: once a refresh
/// token is spent, a full disk must not cause its successor to be lost.
#[derive(Debug)]
pub struct Reservation {
    data: Folder,
    folder: Folder,
    file: File,
    temp: String,
    name: RecordName,
    key: Arc<DataKey>,
    kept: bool,
}

/// The minimum to reserve: a session with an ID token, including groups.
const RESERVED: usize = 16 << 10;

impl Reservation {
    pub(super) fn make(
        data: Folder,
        folder: Folder,
        name: RecordName,
        key: Arc<DataKey>,
        payload_len: usize,
    ) -> Result<Self, StoreError> {
        check_replaceable(&folder, &name, &key)?;
        let temp = folder::temp_name(name.file())?;
        let file = folder.create_new(&temp)?;
        let mut reservation = Self {
            data,
            folder,
            file,
            temp,
            name,
            key,
            kept: false,
        };
        reservation.fill(payload_len.saturating_mul(2).max(RESERVED))?;
        Ok(reservation)
    }

    // Written out, because `set_len` alone would leave a hole that needs space later.
    fn fill(&mut self, len: usize) -> Result<(), StoreError> {
        let path = self.folder.path().join(&self.temp);
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(0), len as u64),
            &mut self.file,
        )
        .and_then(|_| self.file.sync_all())
        .map_err(StoreError::io("reserve space in", path))
    }

    /// Replaces the record durably. Until then, readers find the old one.
    pub fn commit<T: Serialize + ?Sized>(
        mut self,
        value: &T,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let sealed = seal::seal(&self.key, &self.name, value, generation)?;
        let path = self.folder.path().join(&self.temp);
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&sealed))
            .and_then(|()| self.file.set_len(sealed.len() as u64))
            .and_then(|()| self.file.sync_all())
            .map_err(StoreError::io("write", path))?;
        match KeyFile::read(&self.data)? {
            Some(current) if current.id == self.key.id => (),
            Some(_) | None => return Err(StoreError::KeyChanged),
        }
        check_replaceable(&self.folder, &self.name, &self.key)?;
        self.folder.rename(&self.temp, self.name.file())?;
        self.kept = true;
        self.folder.sync()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            // Errors can't be reported here. A file left behind is removed an hour later.
            let _ = self.folder.remove(&self.temp);
        }
    }
}

/// The header of the record with this name; `None` if it does not exist.
pub(super) fn header(folder: &Folder, file: &str) -> Result<Option<Header>, StoreError> {
    let Some(head) = folder.head(file, HEADER_LEN as u64)? else {
        return Ok(None);
    };
    Header::of(&head)
        .map(Some)
        .map_err(|why| unreadable(why, folder, file))
}

pub(super) fn unreadable(why: Unreadable, folder: &Folder, file: &str) -> StoreError {
    let path = folder.path().join(file);
    match why {
        Unreadable::UnknownFormat => StoreError::UnknownFormat { path },
        Unreadable::Damaged => StoreError::Damaged { path },
    }
}

fn check_replaceable(folder: &Folder, name: &RecordName, key: &DataKey) -> Result<(), StoreError> {
    match header(folder, name.file())? {
        Some(header) if header.key != key.id => Err(StoreError::ForeignKey {
            path: folder.path().join(name.file()),
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_things_have_different_names() {
        let names = [
            RecordName::session(b"a"),
            RecordName::session(b"b"),
            RecordName::session(b""),
            RecordName::kept("a", "b"),
            RecordName::kept("ab", ""),
            RecordName::kept("", "ab"),
            RecordName::exchanged("a", "b", "c"),
            RecordName::exchanged("a", "bc", ""),
        ];
        for (i, one) in names.iter().enumerate() {
            assert!(is_record(one.file()), "{one}");
            assert!(one.as_str().starts_with(one.folder()), "{one}");
            for other in &names[..i] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn locks_and_temporary_files_are_not_records() {
        let name = RecordName::session(b"a");
        for ending in [".lock", ".login.lock", ".0011223344556677.tmp", "0"] {
            assert!(!is_record(&format!("{}{ending}", name.file())), "{ending}");
        }
    }
}
