//! The key cache: keeps the OS keyring's key in memory for a limited time, so that a hit asks no
//! keyring. It is the kernel keyring on Linux and shared memory on macOS. No other platform has
//! one.

use std::time::Duration;

use super::data_key::{KEY_LEN, KeyId};
use super::error::KernelError;
#[cfg(not(target_os = "macos"))]
use super::kernel as memory;
#[cfg(target_os = "macos")]
use super::shared_memory as memory;
use crate::secret::Secret;

/// What the cache is called where people read it.
pub const NAME: &str = if cfg!(target_os = "macos") {
    "shared memory"
} else {
    "kernel keyring"
};

/// The key with this name; `None` if it isn't cached.
pub(super) fn read(id: KeyId) -> Result<Option<Secret<[u8; KEY_LEN]>>, KernelError> {
    memory::read(id)
}

/// Caches a key for this long.
pub(super) fn keep(
    id: KeyId,
    secret: &Secret<[u8; KEY_LEN]>,
    timeout: Duration,
) -> Result<(), KernelError> {
    memory::keep(id, secret, Some(timeout))
}

/// Removes a key. Returns whether it was cached.
pub(super) fn forget(id: KeyId) -> Result<bool, KernelError> {
    memory::forget(id)
}

/// Checks that a key can be cached.
pub(super) fn probe() -> Result<(), KernelError> {
    memory::probe()
}
