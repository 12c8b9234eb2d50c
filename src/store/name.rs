//! The names of records: what a record is about can't be read from its name.

use std::fmt;

use sha2::{Digest, Sha256};

use super::hex;
use super::lock::LockKind;

/// Names a record without revealing its content: a hash of what identifies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    full: String,
    folder: &'static str,
}

pub(super) const SESSIONS: &str = "sessions";
pub(super) const STORED_CREDENTIALS: &str = "kept";
pub(super) const EXCHANGED: &str = "exchanged";
pub(super) const RESOLUTIONS: &str = "resolutions";
pub(super) const METADATA: &str = "metadata";
/// The folders with encrypted records.
pub(super) const FOLDERS: [&str; 5] = [
    SESSIONS,
    STORED_CREDENTIALS,
    EXCHANGED,
    RESOLUTIONS,
    METADATA,
];

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
    pub fn stored_credentials_named(file: &str) -> Option<Self> {
        is_record(file).then(|| Self::of(STORED_CREDENTIALS, file))
    }

    /// The name of a question's result.
    pub(super) fn resolution(slot: u8) -> Self {
        Self::of(RESOLUTIONS, &hex::encode(&[slot]))
    }

    /// The name of the credentials that a tool stored for a realm.
    pub fn stored_credentials(tool: &str, realm: &str) -> Self {
        Self::of(
            STORED_CREDENTIALS,
            &digest(&[tool.as_bytes(), realm.as_bytes()]),
        )
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

    /// The file of one of the record's locks.
    pub(super) fn lock_file(&self, kind: LockKind) -> String {
        match kind {
            LockKind::Record => format!("{}.lock", self.file()),
            LockKind::Login => format!("{}.login.lock", self.file()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_things_have_different_names() {
        let names = [
            RecordName::session(b"a"),
            RecordName::session(b"b"),
            RecordName::session(b""),
            RecordName::stored_credentials("a", "b"),
            RecordName::stored_credentials("ab", ""),
            RecordName::stored_credentials("", "ab"),
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
