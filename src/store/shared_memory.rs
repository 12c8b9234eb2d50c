//! POSIX shared memory: caches the data key in memory on macOS, so that a hit doesn't ask the
//! Keychain.
//!
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/shm_open.html>
//!
//! macOS has no kernel keyring. Of what it has, only a shared memory object outlives the process
//! without a daemon and is never written to a file. Like the user keyring of Linux, every process
//! of the user can read it, and it is gone after a restart. Nothing enforces its time limit, so a
//! reader does. See `docs/decisions/key-cache.md`.

use std::fs::File;
use std::time::Duration;

use memmap2::MmapOptions;
use rustix::fs::{Mode, fstat};
use rustix::io::Errno;
use rustix::shm;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::data_key::{KEY_LEN, KeyId};
use super::error::KernelError;
use crate::secret::Secret;

/// What the object contains: when it was written and when it expires (seconds since the machine
/// started), the key, and a checksum of all three. A reader may see the object before it is
/// complete.
const LEN: usize = 8 + 8 + KEY_LEN + CHECKSUM_LEN;
const CHECKSUM_LEN: usize = 16;

/// The key with this name; `None` if there is none, or if it has expired.
pub(super) fn read(id: KeyId) -> Result<Option<Secret<[u8; KEY_LEN]>>, KernelError> {
    let object = match shm::open(name(id), shm::OFlags::RDONLY, Mode::empty()) {
        Ok(object) => object,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(reason(error)),
    };
    let status = fstat(&object).map_err(reason)?;
    // Another user who knows the name could have created it.
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err(KernelError::Denied);
    }
    if u64::try_from(status.st_size).unwrap_or(0) < LEN as u64 {
        return Ok(None);
    }
    let bytes = Zeroizing::new(contents(&File::from(object))?);
    Ok(decode(&bytes, seconds()))
}

/// Caches a key for this long, or until the machine restarts.
pub(super) fn keep(
    id: KeyId,
    secret: &Secret<[u8; KEY_LEN]>,
    timeout: Option<Duration>,
) -> Result<(), KernelError> {
    let bytes = encode(secret, seconds(), timeout.unwrap_or(Duration::MAX));
    // An object's size can be set only once, so a new key needs a new object.
    forget(id)?;
    let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
    let object = match shm::open(name(id), flags, Mode::RUSR | Mode::WUSR) {
        Ok(object) => File::from(object),
        // Another process has just written the same key.
        Err(Errno::EXIST) => return Ok(()),
        Err(error) => return Err(reason(error)),
    };
    let written = object
        .set_len(LEN as u64)
        .map_err(|error| failure(&error))
        .and_then(|()| fill(&object, &bytes));
    if written.is_err() {
        let _ = forget(id);
    }
    written
}

/// Removes the key. Returns whether it existed.
pub(super) fn forget(id: KeyId) -> Result<bool, KernelError> {
    match shm::unlink(name(id)) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(reason(error)),
    }
}

/// Checks that a key can be cached.
pub(super) fn probe() -> Result<(), KernelError> {
    let id = KeyId::of(rand::random());
    keep(id, &Secret::new([0; KEY_LEN]), Some(Duration::from_secs(1)))?;
    forget(id).map(|_| ())
}

/// The longest name that macOS allows has 31 bytes.
fn name(id: KeyId) -> String {
    let mut name = format!("/hallpass-{id}");
    name.truncate(31);
    name
}

/// Seconds since the machine started, including those during which it slept.
fn seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::Monotonic).tv_sec).unwrap_or(0)
}

fn encode(secret: &Secret<[u8; KEY_LEN]>, now: u64, timeout: Duration) -> Zeroizing<[u8; LEN]> {
    let mut bytes = Zeroizing::new([0; LEN]);
    let (content, checksum) = bytes.split_at_mut(LEN - CHECKSUM_LEN);
    let (times, key) = content.split_at_mut(16);
    let (written, expires) = times.split_at_mut(8);
    written.copy_from_slice(&now.to_le_bytes());
    expires.copy_from_slice(&now.saturating_add(timeout.as_secs().max(1)).to_le_bytes());
    key.copy_from_slice(secret.expose());
    checksum.copy_from_slice(&Sha256::digest(&*content)[..CHECKSUM_LEN]);
    bytes
}

/// The key, unless it has expired or the bytes are not a complete entry.
fn decode(bytes: &[u8; LEN], now: u64) -> Option<Secret<[u8; KEY_LEN]>> {
    let (content, checksum) = bytes.split_at(LEN - CHECKSUM_LEN);
    if checksum != &Sha256::digest(content)[..CHECKSUM_LEN] {
        return None;
    }
    let (written, rest) = content.split_first_chunk()?;
    let (expires, key) = rest.split_first_chunk()?;
    let valid = u64::from_le_bytes(*written)..u64::from_le_bytes(*expires);
    let key = key.first_chunk::<KEY_LEN>()?;
    valid.contains(&now).then(|| Secret::new(*key))
}

#[expect(
    unsafe_code,
    reason = "macOS can read shared memory only through a mapping"
)]
fn contents(object: &File) -> Result<[u8; LEN], KernelError> {
    // SAFETY: the object is at least this long, and macOS never lets it shrink. Only processes of
    // the same user can write to it, and a checksum detects bytes that change meanwhile.
    let mapping =
        unsafe { MmapOptions::new().len(LEN).map(object) }.map_err(|error| failure(&error))?;
    mapping.first_chunk().copied().ok_or(KernelError::NotAKey)
}

#[expect(
    unsafe_code,
    reason = "macOS can write shared memory only through a mapping"
)]
fn fill(object: &File, bytes: &[u8; LEN]) -> Result<(), KernelError> {
    // SAFETY: this process has just created the object with this length, and readers only read it.
    let mut mapping =
        unsafe { MmapOptions::new().len(LEN).map_mut(object) }.map_err(|error| failure(&error))?;
    mapping.copy_from_slice(bytes);
    Ok(())
}

fn failure(error: &std::io::Error) -> KernelError {
    KernelError::Other(error.raw_os_error().unwrap_or_default())
}

fn reason(error: Errno) -> KernelError {
    match error {
        Errno::ACCESS => KernelError::Denied,
        Errno::PERM => KernelError::Blocked,
        Errno::NOSYS => KernelError::Absent,
        error => KernelError::Other(error.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret<[u8; KEY_LEN]> {
        Secret::new([7; KEY_LEN])
    }

    #[test]
    fn a_key_is_cached_replaced_and_forgotten() {
        let id = KeyId::random().unwrap();
        assert_eq!(read(id), Ok(None));
        for secret in [[7; KEY_LEN], [8; KEY_LEN]] {
            keep(id, &Secret::new(secret), Some(Duration::from_secs(60))).unwrap();
            assert_eq!(read(id), Ok(Some(Secret::new(secret))));
        }
        assert_eq!(forget(id), Ok(true));
        assert_eq!(forget(id), Ok(false));
        assert_eq!(read(id), Ok(None));
        probe().unwrap();
    }

    #[test]
    fn an_entry_is_valid_until_it_expires() {
        let bytes = encode(&secret(), 1000, Duration::from_secs(60));
        for (now, valid) in [(999, false), (1000, true), (1059, true), (1060, false)] {
            assert_eq!(decode(&bytes, now).is_some(), valid, "{now}");
        }
        assert_eq!(decode(&bytes, 1000), Some(secret()));
    }

    #[test]
    fn an_incomplete_or_changed_entry_is_not_a_key() {
        assert_eq!(decode(&[0; LEN], 0), None);
        let bytes = encode(&secret(), 0, Duration::from_secs(60));
        for at in 0..LEN {
            let mut changed = *bytes;
            changed[at] ^= 1;
            assert_eq!(decode(&changed, 0), None, "byte {at}");
        }
    }

    #[test]
    fn a_new_object_without_content_is_no_entry() {
        let id = KeyId::random().unwrap();
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let object = File::from(shm::open(name(id), flags, Mode::RUSR | Mode::WUSR).unwrap());
        assert_eq!(read(id), Ok(None));
        object.set_len(LEN as u64).unwrap();
        assert_eq!(read(id), Ok(None));
        assert_eq!(forget(id), Ok(true));
    }

    #[test]
    fn names_fit_macos_and_differ() {
        let (one, other) = (KeyId::random().unwrap(), KeyId::random().unwrap());
        assert_eq!(name(one).len(), 31);
        assert_ne!(name(one), name(other));
    }
}
