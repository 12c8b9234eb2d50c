//! The options of a store.

use std::path::PathBuf;
use std::time::Duration;

use super::keyring;
use super::setting::Setting;

/// The options of a store.
#[derive(Debug, Clone)]
pub struct Options {
    pub setting: Setting,
    pub data_dir: PathBuf,
    /// How long the key cache keeps the OS keyring's key; `None` disables the cache.
    pub kernel_cache: Option<Duration>,
    /// How long the OS keyring may take. With [`keyring::UNATTENDED`] or less, no unlock dialog is opened.
    pub keyring_wait: Duration,
    /// Called when the OS keyring makes an interactive user wait, because this module prints
    /// nothing itself.
    pub announce: fn(),
    /// See [`super::in_container`].
    pub container: bool,
}

impl Options {
    pub(super) fn terms(&self) -> keyring::Terms {
        keyring::Terms {
            wait: self.keyring_wait,
            announce: self.announce,
        }
    }
}
