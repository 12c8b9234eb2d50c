//! The data key: it encrypts the records. This module decides where it is stored and when a new one
//! may be created.
//!
//! A data folder has one key. `key.json` has its random ID and the place that stores it, and the
//! key is looked up by that ID only. A new key is created only if nothing is encrypted yet. A place
//! that is unavailable today is an error, never a reason to use another one.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::data_key::{DataKey, KEY_LEN, KeyId, random};
use super::error::{KernelError, KeyringError, StoreError};
use super::folder::{Durable, Folder};
use super::key_file::KeyFile;
use super::lock::{self, Lock};
use super::name::{SESSIONS, STORED_CREDENTIALS, is_record};
use super::options::Options;
use super::setting::Place;
use super::{data_dir, hex, kernel, key_cache, keyring, record};
use crate::secret::Secret;

/// The state of a key that was created earlier.
pub(super) enum Found {
    Key(Arc<DataKey>),
    /// See [`KeyFile::is_lost`]: the records that it encrypted are lost for good.
    Lost,
}

/// Finds the key, and caches what it finds.
#[derive(Debug, Default)]
pub(super) struct Keys {
    held: Mutex<Option<Arc<DataKey>>>,
    kernel_trouble: Mutex<Option<KernelError>>,
    automatic: OnceLock<Place>,
}

/// The key itself, in hexadecimal. Only with `store = "file"`.
pub(super) const KEY: &str = "key";
/// The lock for creating a key.
pub(super) const KEY_LOCK: &str = "key.lock";
pub(super) const KEYRING_LOCK: &str = "keyring.lock";
/// How long another process may take to create the key, in addition to its wait for the keyring.
const MAKING: Duration = Duration::from_secs(10);

impl Keys {
    /// The folder's key.
    pub(super) fn find(
        &self,
        options: &Options,
        folder: &Folder,
        file: &KeyFile,
    ) -> Result<Found, StoreError> {
        if let Some(held) = &*guard(&self.held)
            && held.id == file.id
        {
            return Ok(Found::Key(Arc::clone(held)));
        }
        match options.setting.place() {
            Some(asked) if asked != file.place => {
                if file.is_lost() {
                    return Ok(Found::Lost);
                }
                return Err(StoreError::OtherPlace {
                    remembered: file.place,
                    asked,
                });
            }
            Some(_) | None => (),
        }
        let secret = match file.place {
            Place::File => from_file(folder)?,
            Place::Kernel => match from_kernel(file.id)? {
                Some(secret) => secret,
                None if file.is_lost() => return Ok(Found::Lost),
                None => {
                    return Err(StoreError::KeyMissing {
                        place: Place::Kernel,
                    });
                }
            },
            Place::Keyring => self.through_keyring(options, folder, file.id)?,
            Place::None => return Err(StoreError::NotSaved),
        };
        Ok(Found::Key(self.hold(file.id, secret)))
    }

    fn through_keyring(
        &self,
        options: &Options,
        folder: &Folder,
        id: KeyId,
    ) -> Result<Secret<[u8; KEY_LEN]>, StoreError> {
        let Some(timeout) = options.kernel_cache else {
            let turn = folder.open_lock(KEYRING_LOCK)?;
            return Ok(keyring::read(id, options.terms(), turn, || None)?);
        };
        match key_cache::read(id) {
            Ok(Some(secret)) => return Ok(secret),
            Ok(None) => (),
            Err(error) => self.note(error),
        }
        let turn = folder.open_lock(KEYRING_LOCK)?;
        let secret = keyring::read(id, options.terms(), turn, move || {
            key_cache::read(id).ok().flatten()
        })?;
        self.cache(id, &secret, timeout);
        Ok(secret)
    }

    /// The folder's key, if it is available without the OS keyring.
    pub(super) fn at_hand(&self, folder: &Folder, file: &KeyFile) -> Option<Arc<DataKey>> {
        if let Some(held) = &*guard(&self.held)
            && held.id == file.id
        {
            return Some(Arc::clone(held));
        }
        let DataKey { id, secret } = at_hand(folder, file)?;
        Some(self.hold(id, secret))
    }

    // Without a cache, hallpass still works, and `status` says why there is none.
    fn cache(&self, id: KeyId, secret: &Secret<[u8; KEY_LEN]>, timeout: Duration) {
        if let Err(error) = key_cache::keep(id, secret, timeout) {
            self.note(error);
        }
    }

    fn note(&self, error: KernelError) {
        *guard(&self.kernel_trouble) = Some(error);
    }

    pub(super) fn kernel_trouble(&self) -> Option<KernelError> {
        *guard(&self.kernel_trouble)
    }

    pub(super) fn hold(&self, id: KeyId, secret: Secret<[u8; KEY_LEN]>) -> Arc<DataKey> {
        let key = Arc::new(DataKey { id, secret });
        *guard(&self.held) = Some(Arc::clone(&key));
        key
    }

    /// The place that `auto` stands for here, if no key was ever created.
    pub(super) fn automatic(&self, options: &Options) -> Result<Place, StoreError> {
        if let Some(place) = self.automatic.get() {
            return Ok(*place);
        }
        let place = automatic_place(
            keyring::probe(options.terms()),
            || options.container || data_dir::has_container_mark(),
            || kernel::probe().is_ok(),
        )?;
        Ok(*self.automatic.get_or_init(|| place))
    }

    /// Ensures that there is a usable key. Creates one if nothing is encrypted yet.
    pub(super) fn ensure(&self, options: &Options, folder: &Folder) -> Result<Place, StoreError> {
        if let Ok(Some(file)) = KeyFile::read(folder)
            && let Claim::Holds = self.claim(options, folder, &file)?
        {
            return Ok(file.place);
        }
        let _turn = turn(options, folder)?;
        // The previous holder of the lock may have created it.
        let old = self.key_file_in_turn(options, folder)?;
        let lost = match &old {
            Some(file) => match self.claim(options, folder, file)? {
                Claim::Holds => return Ok(file.place),
                Claim::Free { lost } => lost,
            },
            None => false,
        };
        let place = match (options.setting.place(), &old) {
            (Some(asked), _) => asked,
            (None, Some(file)) => file.place,
            (None, None) => self.automatic(options)?,
        };
        if place != Place::None {
            let new = KeyFile::new(place)?;
            // First, so that a full disk doesn't leave orphaned keys in the keyring.
            let named = new.prepare(folder)?;
            self.make(options, folder, &new)?;
            if let Some(old) = old.as_ref().filter(|_| lost) {
                // Before key.json names the new key, because until then no process encrypts with
                // it.
                remove_encrypted(folder, old.id)?;
            }
            named.put()?;
            retire(folder, old.as_ref(), &new);
        }
        Ok(place)
    }

    /// Whether the current key must stay or a new one may replace it.
    fn claim(
        &self,
        options: &Options,
        folder: &Folder,
        file: &KeyFile,
    ) -> Result<Claim, StoreError> {
        match self.find(options, folder, file) {
            Ok(Found::Key(_)) => Ok(Claim::Holds),
            Ok(Found::Lost) => Ok(Claim::Free { lost: true }),
            Err(
                StoreError::KeyMissing { .. }
                | StoreError::KeyDamaged { .. }
                | StoreError::OtherPlace { .. },
            ) if !any_encrypted(folder)? => Ok(Claim::Free { lost: false }),
            Err(error) => Err(error),
        }
    }

    fn make(
        &self,
        options: &Options,
        folder: &Folder,
        &KeyFile { id, place, .. }: &KeyFile,
    ) -> Result<(), StoreError> {
        let secret = Secret::new(random()?);
        self.put(options, folder, id, place, &secret)?;
        self.hold(id, secret);
        Ok(())
    }

    /// Stores a key in a place, and checks that it can be read back.
    pub(super) fn put(
        &self,
        options: &Options,
        folder: &Folder,
        id: KeyId,
        place: Place,
        secret: &Secret<[u8; KEY_LEN]>,
    ) -> Result<(), StoreError> {
        let read_back = match place {
            Place::File => {
                let text = Zeroizing::new(hex::encode(secret.expose()));
                folder.replace(KEY, text.as_bytes(), Durable::Yes)?;
                Some(from_file(folder)?)
            }
            Place::Kernel => {
                kernel::keep(id, secret, None).map_err(StoreError::Kernel)?;
                kernel::read(id).map_err(StoreError::Kernel)?
            }
            Place::Keyring => {
                let turn = folder.open_lock(KEYRING_LOCK)?;
                Some(keyring::make(id, secret.clone(), options.terms(), turn)?)
            }
            Place::None => None,
        };
        if read_back.as_ref() != Some(secret) {
            return Err(StoreError::KeyMissing { place });
        }
        if let (Place::Keyring, Some(timeout)) = (place, options.kernel_cache) {
            self.cache(id, secret, timeout);
        }
        Ok(())
    }
}

/// The key in the kernel keyring with this name.
pub(super) fn from_kernel(id: KeyId) -> Result<Option<Secret<[u8; KEY_LEN]>>, StoreError> {
    kernel::read(id).map_err(|error| {
        if error == KernelError::NotAKey {
            StoreError::KeyDamaged {
                place: Place::Kernel,
            }
        } else {
            StoreError::Kernel(error)
        }
    })
}

/// Waits for the lock for creating, moving or finding a key.
pub(super) fn turn(options: &Options, folder: &Folder) -> Result<Lock, StoreError> {
    let turn = folder.open_lock(KEY_LOCK)?;
    let deadline = Instant::now() + options.keyring_wait + MAKING;
    let path = || folder.path().join(KEY_LOCK);
    lock::acquire(turn, deadline)
        .map_err(StoreError::io("lock", path()))?
        .map(Lock::of)
        .map_err(|holder| StoreError::LockTimedOut {
            path: path(),
            holder,
        })
}

fn automatic_place(
    keyring: Result<(), KeyringError>,
    in_container: impl FnOnce() -> bool,
    kernel_works: impl FnOnce() -> bool,
) -> Result<Place, StoreError> {
    match keyring {
        Ok(()) => Ok(Place::Keyring),
        // In a container, the kernel keyring, if it works at all, isn't the container's own.
        Err(KeyringError::NoService) if !in_container() && kernel_works() => Ok(Place::Kernel),
        Err(KeyringError::NoService) => Ok(Place::None),
        // It exists, so it is the place, even though it is unavailable right now.
        Err(error) => Err(error.into()),
    }
}

/// The folder's key, if it is in a file or in the kernel's memory.
pub(super) fn at_hand(folder: &Folder, file: &KeyFile) -> Option<DataKey> {
    let secret = match file.place {
        Place::File => from_file(folder).ok(),
        Place::Kernel => kernel::read(file.id).ok().flatten(),
        Place::Keyring => key_cache::read(file.id).ok().flatten(),
        Place::None => None,
    }?;
    Some(DataKey {
        id: file.id,
        secret,
    })
}

enum Claim {
    Holds,
    Free { lost: bool },
}

pub(super) fn from_file(folder: &Folder) -> Result<Secret<[u8; KEY_LEN]>, StoreError> {
    let Some(text) = folder.read(KEY)?.map(Zeroizing::new) else {
        return Err(StoreError::KeyMissing { place: Place::File });
    };
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| hex::decode(text.trim_end()))
        .map(Secret::new)
        .ok_or(StoreError::KeyDamaged { place: Place::File })
}

/// Whether anything is encrypted.
pub(super) fn any_encrypted(folder: &Folder) -> Result<bool, StoreError> {
    for_each_record(folder, |_, _, _| Ok(true))
}

fn remove_encrypted(folder: &Folder, by: KeyId) -> Result<(), StoreError> {
    for_each_record(folder, |records, _, file| {
        let header = record::header(records, file);
        if header.is_ok_and(|header| header.is_some_and(|header| header.key == by)) {
            records.remove(file)?;
        }
        Ok(false)
    })
    .map(|_| ())
}

/// Visits the records, each with its folder and that folder's name, until a visit asks to stop.
/// Returns whether one did.
pub(super) fn for_each_record(
    folder: &Folder,
    mut visit: impl FnMut(&Folder, &'static str, &str) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    for name in [SESSIONS, STORED_CREDENTIALS] {
        let Some(records) = folder.subfolder(name)? else {
            continue;
        };
        for file in records.names()? {
            if is_record(&file) && visit(&records, name, &file)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes a key that encrypted nothing. It stays in the OS keyring, which may be unavailable.
fn retire(folder: &Folder, old: Option<&KeyFile>, new: &KeyFile) {
    let Some(old) = old else { return };
    let _ = key_cache::forget(old.id);
    if old.place == Place::File && new.place != Place::File {
        let _ = folder.remove(KEY);
    }
}

/// The data behind these locks is never partially updated, so a panic elsewhere doesn't corrupt it.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_uses_the_kernel_keyring_only_without_an_os_keyring_and_outside_containers() {
        let none = || Err(KeyringError::NoService);
        for (keyring, in_container, kernel_works, expected) in [
            (Ok(()), false, true, Some(Place::Keyring)),
            (Ok(()), true, false, Some(Place::Keyring)),
            (none(), false, true, Some(Place::Kernel)),
            (none(), false, false, Some(Place::None)),
            (none(), true, true, Some(Place::None)),
            (Err(KeyringError::Locked), false, true, None),
            (
                Err(KeyringError::TimedOut {
                    after: Duration::from_secs(2),
                }),
                false,
                true,
                None,
            ),
            (Err(KeyringError::Other(String::new())), false, true, None),
        ] {
            let found = automatic_place(keyring.clone(), || in_container, || kernel_works);
            assert_eq!(found.ok(), expected, "{keyring:?}");
        }
    }
}
