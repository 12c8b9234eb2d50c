//! Records, written completely or not at all.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use serde::Serialize;

use super::data_key::DataKey;
use super::error::StoreError;
use super::folder::{self, Folder};
use super::key_file::KeyFile;
use super::name::RecordName;
use super::seal::{self, HEADER_LEN, Header, Unreadable};
use crate::credential::Generation;

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
    is_committed: bool,
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
            is_committed: false,
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
        let encrypted = seal::seal(&self.key, &self.name, value, generation)?;
        let path = self.folder.path().join(&self.temp);
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&encrypted))
            .and_then(|()| self.file.set_len(encrypted.len() as u64))
            .and_then(|()| self.file.sync_all())
            .map_err(StoreError::io("write", path))?;
        match KeyFile::read(&self.data)? {
            Some(current) if current.id == self.key.id => (),
            Some(_) | None => return Err(StoreError::KeyChanged),
        }
        check_replaceable(&self.folder, &self.name, &self.key)?;
        self.folder.rename(&self.temp, self.name.file())?;
        self.is_committed = true;
        self.folder.sync()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_committed {
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
