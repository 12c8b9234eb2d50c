//! What is stored unencrypted, because none of it is secret and nothing is sent anywhere because of
//! it: how the last sign-in went. Losing it costs a cool-down, so what cannot be read is not there.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;
use super::folder::{Durable, Folder};
use super::record::digest;

/// What a plain file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Who signed in or tried to, when, and how it ended.
    Attempt,
}

impl Plain {
    pub(super) const FOLDERS: [&str; 1] = ["attempts"];

    fn folder(self) -> &'static str {
        match self {
            Self::Attempt => Self::FOLDERS[0],
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
    let Some(bytes) = folder.read(&file(name))? else {
        return Ok(None);
    };
    Ok(serde_json::from_slice::<Enveloped<T>>(&bytes)
        .ok()
        .filter(|enveloped| enveloped.version == VERSION)
        .map(|enveloped| enveloped.value))
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
        .replace(&file(name), &bytes, Durable::No)
}

// Names are URLs and the like; a hash of one is a file name on each platform.
fn file(name: &str) -> String {
    format!("{}.json", digest(&[name.as_bytes()]))
}
