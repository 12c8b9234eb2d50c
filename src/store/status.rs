//! What `status` shows about the store, found without prompting the user.

use std::path::PathBuf;

use super::data_folder::Store;
use super::error::{KernelError, KeyringError, StoreError};
use super::key_cache;
use super::key_file::KeyFile;
use super::keyring::{self, UNATTENDED};
use super::setting::{Place, Setting};

/// What `status` shows about the store.
#[derive(Debug)]
pub struct Report {
    pub setting: Setting,
    pub place: Result<Place, StoreError>,
    pub key_id: Option<String>,
    pub folder: PathBuf,
    pub kernel_cache: KernelCache,
    pub keyring: Result<KeyringState, KeyringError>,
}

/// The state of the key cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelCache {
    /// Disabled by the configuration.
    Off,
    /// The key is in it.
    Holds,
    /// It can be used, but doesn't have the key.
    Empty,
    Unavailable(KernelError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyringState {
    Open,
    Locked,
}

impl Store {
    /// The status of this store, found without prompting the user.
    pub fn report(&self) -> Report {
        let key_file = self.key_file().ok().flatten();
        Report {
            setting: self.options.setting,
            place: self.place(),
            key_id: key_file.as_ref().map(|file| file.id.to_string()),
            folder: self.options.data_dir.clone(),
            kernel_cache: self.kernel_cache(key_file.as_ref()),
            keyring: keyring::is_locked(keyring::Terms {
                wait: self.options.keyring_wait.min(UNATTENDED),
                ..self.options.terms()
            })
            .map(|locked| {
                if locked {
                    KeyringState::Locked
                } else {
                    KeyringState::Open
                }
            }),
        }
    }

    fn kernel_cache(&self, file: Option<&KeyFile>) -> KernelCache {
        if self.options.kernel_cache.is_none() {
            return KernelCache::Off;
        }
        if let Some(error) = self.keys.kernel_trouble() {
            return KernelCache::Unavailable(error);
        }
        let held = match file {
            Some(file) => key_cache::read(file.id).map(|secret| secret.is_some()),
            None => Ok(false),
        };
        // A readable keyring may not be writable: the quota is used up, or a sandbox forbids it.
        match held.and_then(|held| {
            if held {
                Ok(true)
            } else {
                key_cache::probe().map(|()| false)
            }
        }) {
            Ok(true) => KernelCache::Holds,
            Ok(false) => KernelCache::Empty,
            Err(error) => KernelCache::Unavailable(error),
        }
    }
}
