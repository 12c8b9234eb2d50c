//! The bytes of a file that a set-up changes.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::edit::link;
use super::error::SetupError;
use crate::config::{access_fix, shown};
use crate::error::Error;
use crate::files;

/// A file's bytes; `None` if there is no such file.
pub(crate) type Content = Option<Zeroizing<Vec<u8>>>;

pub(crate) fn bytes(content: &Content) -> Option<&[u8]> {
    content.as_deref().map(Vec::as_slice)
}

/// Reads a regular file, or the target of a link.
pub(crate) fn read(path: &Path, program: Option<&Path>) -> Result<Content, Error> {
    if let Some(program) = program {
        return Ok(link::read(path, program).map(Zeroizing::new));
    }
    match files::read(path, files::LARGEST) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if is_absence(&error) && path.symlink_metadata().is_err() => Ok(None),
        Err(cause) => Err(unusable(path, cause)),
    }
}

pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(crate) fn unusable(path: &Path, cause: io::Error) -> Error {
    SetupError::Unusable {
        file: shown(path),
        fix: access_fix(path, None, &cause),
        cause,
    }
    .into()
}

/// A hash of a file's content.
pub(crate) fn fingerprint(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "absent".to_owned();
    };
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
