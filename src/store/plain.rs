//! Data that is stored unencrypted because it isn't secret: how the last sign-in ended, and the
//! server that a kubeconfig's exec entry was set up for. Only the user can write here, so an entry
//! is as trustworthy as one in config.toml. A lost attempt only costs a cool-down and a lost entry
//! another set-up, so an unreadable file counts as missing.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::error::StoreError;
use super::folder::{Durable, Folder};
use super::name::digest;

/// The kinds of unencrypted files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Who signed in or tried to, when, and how it ended.
    Attempt,
    /// How the last refresh failed.
    Refresh,
    /// The server that a kubeconfig's exec entry was set up for. Identified by the entry's ID,
    /// which the file's name does not reveal.
    Entry,
}

impl Plain {
    pub(super) const FOLDERS: [&str; 3] = ["attempts", "entries", "refreshes"];

    fn folder(self) -> &'static str {
        match self {
            Self::Attempt => Self::FOLDERS[0],
            Self::Entry => Self::FOLDERS[1],
            Self::Refresh => Self::FOLDERS[2],
        }
    }

    /// Only an entry cannot be recreated without the user.
    fn durable(self) -> Durable {
        match self {
            Self::Attempt | Self::Refresh => Durable::No,
            Self::Entry => Durable::Yes,
        }
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Enveloped<T> {
    version: u32,
    value: T,
}

pub(super) fn read<T: DeserializeOwned>(
    data: &Folder,
    kind: Plain,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let Some(folder) = data.subfolder(kind.folder())? else {
        return Ok(None);
    };
    Ok(folder.read(&file(name))?.as_deref().and_then(value))
}

/// The readable values of one kind.
pub(super) fn all<T: DeserializeOwned>(data: &Folder, kind: Plain) -> Result<Vec<T>, StoreError> {
    let Some(folder) = data.subfolder(kind.folder())? else {
        return Ok(Vec::new());
    };
    let mut values = Vec::new();
    for name in folder.names()? {
        if name.ends_with(END) {
            values.extend(folder.read(&name)?.as_deref().and_then(value));
        }
    }
    Ok(values)
}

/// The raw bytes of a file.
pub(super) fn bytes(data: &Folder, kind: Plain, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    match data.subfolder(kind.folder())? {
        Some(folder) => folder.read(&file(name)),
        None => Ok(None),
    }
}

/// Removes a file. Returns whether it existed.
pub(super) fn remove(data: &Folder, kind: Plain, name: &str) -> Result<bool, StoreError> {
    let Some(folder) = data.subfolder(kind.folder())? else {
        return Ok(false);
    };
    let removed = folder.remove(&file(name))?;
    if kind.durable() == Durable::Yes {
        folder.sync()?;
    }
    Ok(removed)
}

fn value<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice::<Enveloped<T>>(bytes)
        .ok()
        .filter(|enveloped| enveloped.version == VERSION)
        .map(|enveloped| enveloped.value)
}

pub(super) fn write<T: Serialize + ?Sized>(
    data: &Folder,
    kind: Plain,
    name: &str,
    value: &T,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(&Enveloped {
        version: VERSION,
        value,
    })
    .map_err(|_| StoreError::NotJson)?;
    data.subfolder_or_create(kind.folder())?
        .replace(&file(name), &bytes, kind.durable())
}

const END: &str = ".json";

// Names can be URLs; their hash is a valid file name on every platform.
fn file(name: &str) -> String {
    format!("{}{END}", digest(&[name.as_bytes()]))
}
