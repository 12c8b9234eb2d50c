//! key.json: which key the folder's records are encrypted with, and which place stores it.

use serde::{Deserialize, Serialize};

use super::data_key::KeyId;
use super::error::StoreError;
use super::folder::{Durable, Folder, Prepared};
use super::kernel;
use super::setting::Place;

/// The folder's information about its key (`key.json`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyFile {
    version: u32,
    pub(super) id: KeyId,
    pub(super) place: Place,
    /// If the kernel keyring is the only place: the boot during which the key was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<String>,
}

impl KeyFile {
    pub(super) const NAME: &str = "key.json";
    const VERSION: u32 = 1;

    pub(super) fn new(place: Place) -> Result<Self, StoreError> {
        Ok(Self::of(KeyId::random()?, place))
    }

    pub(super) fn of(id: KeyId, place: Place) -> Self {
        Self {
            version: Self::VERSION,
            id,
            place,
            boot_id: match place {
                Place::Kernel => kernel::boot_id(),
                Place::Keyring | Place::File | Place::None => None,
            },
        }
    }

    pub(super) fn read(folder: &Folder) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = folder.read(Self::NAME)? else {
            return Ok(None);
        };
        let path = || folder.path().join(Self::NAME);
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(file) if file.version == Self::VERSION && file.place != Place::None => {
                return Ok(Some(file));
            }
            Ok(_) | Err(_) => (),
        }
        // Only checked on failure, because every hit would pay for it: damaged, or just newer?
        match serde_json::from_slice::<Versioned>(&bytes) {
            Ok(Versioned { version }) if version > Self::VERSION => {
                Err(StoreError::KeyFileNewer { path: path() })
            }
            Ok(_) | Err(_) => Err(StoreError::KeyFileDamaged { path: path() }),
        }
    }

    /// Whether the key was only in the kernel's memory and the machine has rebooted since.
    pub(super) fn is_lost(&self) -> bool {
        self.boot_id
            .as_ref()
            .is_some_and(|made| kernel::boot_id().is_some_and(|now| *made != now))
    }

    pub(super) fn prepare<'a>(&self, folder: &'a Folder) -> Result<Prepared<'a>, StoreError> {
        let bytes = serde_json::to_vec(self).map_err(|_| StoreError::NotJson)?;
        folder.prepare(Self::NAME, &bytes, Durable::Yes)
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}
