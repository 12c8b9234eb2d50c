//! The interface of every kind of edit.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file's bytes; `None` if there is no such file.
pub(crate) type Bytes<'b> = Option<&'b [u8]>;

/// Why an edit cannot be applied. The text continues a sentence that begins with the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) String);

/// A kind of edit.
pub(crate) trait Kind {
    /// The bytes with the edit, which they don't contain yet.
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit>;

    /// The bytes with the edit. Bytes that already contain it are returned unchanged.
    fn apply(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        if self.is_in_place(bytes) {
            return Ok(bytes.map(<[u8]>::to_vec));
        }
        self.add(bytes)
    }

    /// Whether the bytes contain exactly this edit.
    fn is_in_place(&self, bytes: Bytes<'_>) -> bool;

    /// Whether the bytes contain something that this edit wrote. Everything else is the user's own.
    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.is_in_place(bytes)
    }

    /// The value that the edit would replace, which [`Self::remove`] restores.
    fn replaced(&self, bytes: Bytes<'_>) -> Option<Value> {
        let _ = bytes;
        None
    }

    /// Whether the place also has something that the user has added, which [`Self::remove`] leaves.
    fn has_others(&self, bytes: Bytes<'_>) -> bool {
        let _ = bytes;
        false
    }

    /// Whether it may change white space around values that are not its own.
    fn lays_out_others(&self) -> bool {
        false
    }

    /// Whether the edit removes what another set-up wrote.
    fn is_removal(&self) -> bool {
        false
    }

    /// The bytes without the edit, and with the value that it replaced. Called if [`Self::is_ours`], and
    /// if the text that it wrote is gone, because another program has reformatted the file.
    fn remove(&self, bytes: Bytes<'_>, replaced: Option<&Value>) -> Result<Option<Vec<u8>>, Unfit> {
        let _ = (bytes, replaced);
        Ok(None)
    }

    /// Whether the file is as good as empty, so that a set-up that created it may delete it.
    fn is_void(&self, bytes: &[u8]) -> bool {
        bytes.trim_ascii().is_empty()
    }

    /// The name of the edited place in the file; empty if the edit is the whole file.
    fn place(&self) -> String {
        String::new()
    }

    /// The lines that show this place of the file to the user. They contain no secret.
    fn view(&self, bytes: Bytes<'_>) -> Vec<String>;

    /// The lock file that the file's own program takes before it writes. `target` is the file
    /// without symbolic links.
    fn lock(&self, path: &Path, target: &Path) -> Option<PathBuf> {
        let _ = (path, target);
        None
    }
}

/// The lock file beside a file, as git and client-go name it.
pub(super) fn lock_of(file: &Path) -> PathBuf {
    let mut lock = file.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

/// The bytes of a text file.
pub(super) fn text(bytes: Bytes<'_>) -> Result<&str, Unfit> {
    std::str::from_utf8(bytes.unwrap_or_default())
        .map_err(|_| Unfit("is not UTF-8 text".to_owned()))
}
