//! What every kind of edit can do.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file's bytes; `None` if there is no such file.
pub(crate) type Bytes<'b> = Option<&'b [u8]>;

/// Why an edit does not fit a file, as the end of a sentence that begins with the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) String);

/// What every kind of edit can do.
pub(crate) trait Kind {
    /// The bytes with the edit. Bytes that have it already stay as they are.
    fn apply(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit>;

    /// Whether the bytes have exactly what the edit wants.
    fn is_in_place(&self, bytes: Bytes<'_>) -> bool;

    /// Whether the bytes have something that this edit wrote. Anything else belongs to the user.
    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.is_in_place(bytes)
    }

    /// What the edit would replace, for [`Self::remove`] to put back.
    fn replaced(&self, bytes: Bytes<'_>) -> Option<Value> {
        let _ = bytes;
        None
    }

    /// The bytes without the edit, and with what it replaced. Called if [`Self::is_ours`].
    fn remove(&self, bytes: Bytes<'_>, replaced: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        let _ = (bytes, replaced);
        Ok(None)
    }

    /// Whether nothing is left that would be worth a file which a set-up created.
    fn is_void(&self, bytes: &[u8]) -> bool {
        bytes.trim_ascii().is_empty()
    }

    /// What tells this place from the others of its file; nothing, if the edit is the whole file.
    fn place(&self) -> String {
        String::new()
    }

    /// The lines that show a person this place of the file. They hold no secret.
    fn view(&self, bytes: Bytes<'_>) -> Vec<String>;

    /// The lock file that the file's own program takes before it writes. `target` is the file
    /// without symbolic links.
    fn lock(&self, path: &Path, target: &Path) -> Option<PathBuf> {
        let _ = (path, target);
        None
    }
}

/// The bytes of a text file.
pub(super) fn text(bytes: Bytes<'_>) -> Result<&str, Unfit> {
    std::str::from_utf8(bytes.unwrap_or_default())
        .map_err(|_| Unfit("is not UTF-8 text".to_owned()))
}
