//! A data folder: reads, writes, lists and removes its records, under their locks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::data_key::{DataKey, KeyId};
use super::error::{KernelError, StoreError};
use super::folder::{self, Durable, Folder};
use super::key::{self, Found, Keys};
use super::key_file::KeyFile;
use super::keyring::UNATTENDED;
use super::lock::{self, Lock, LockKind};
use super::name::{self, RecordName};
use super::options::Options;
use super::plain::{self, Plain};
use super::record::{self, Listed, Reservation, Versioned};
use super::seal::{self, Header, Unreadable};
use super::setting::{Place, Setting};
#[cfg(unix)]
use super::socket;
use super::sweep::sweep;
use super::{at_hand, key_cache, removal, rescue};

/// A data folder and its key. Creating this value does no I/O.
#[derive(Debug)]
pub struct Store {
    pub(super) options: Options,
    pub(super) keys: Keys,
}

impl Store {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            keys: Keys::default(),
        }
    }

    /// The same store, with the key where key.json says, regardless of the configuration.
    #[must_use]
    pub fn wherever_the_key_is(self) -> Self {
        Self::new(Options {
            setting: Setting::Auto,
            ..self.options
        })
    }

    /// The same store, which never prompts to unlock the OS keyring.
    #[must_use]
    pub fn without_waiting(&self) -> Self {
        let mut options = self.options.clone();
        options.keyring_wait = options.keyring_wait.min(UNATTENDED);
        Self::new(options)
    }

    /// Reads a record; `None` if it does not exist.
    ///
    /// This is the whole cost of a hit: no lock, no listing, one record.
    pub fn read<T: DeserializeOwned>(
        &self,
        name: &RecordName,
    ) -> Result<Option<Versioned<T>>, StoreError> {
        let Some(data) = self.folder()? else {
            return Ok(None);
        };
        let Some(records) = data.subfolder(name.folder())? else {
            return Ok(None);
        };
        let Some(record) = records.read(name.file())? else {
            return Ok(None);
        };
        let unreadable = |why: Unreadable| record::unreadable(why, &records, name.file());
        let header = Header::of(&record).map_err(unreadable)?;
        let key = match self.key_of(&data, header.key)? {
            Some(Found::Key(key)) => key,
            Some(Found::Lost) => return Ok(None),
            None => {
                return Err(StoreError::ForeignKey {
                    path: records.path().join(name.file()),
                });
            }
        };
        let value = seal::open(&key, name, &header, &record).map_err(unreadable)?;
        Ok(Some(Versioned {
            value,
            generation: header.generation,
        }))
    }

    /// Where the data key is, or would be, stored. Creates nothing.
    pub fn place(&self) -> Result<Place, StoreError> {
        let Some(data) = self.folder()? else {
            return self.chosen_place();
        };
        let Some(file) = self.keys.key_file(&self.options, &data)? else {
            return self.chosen_place();
        };
        match self.options.setting.place() {
            Some(asked) if asked != file.place => {
                if !file.is_lost() && key::any_encrypted(&data)? {
                    return Err(StoreError::OtherPlace {
                        remembered: file.place,
                        asked,
                    });
                }
                Ok(asked)
            }
            Some(_) | None => Ok(file.place),
        }
    }

    /// Where a session would be saved. Creates nothing.
    ///
    /// # Errors
    ///
    /// The data folder cannot be created or written, or [`Self::place`] fails.
    pub fn would_save(&self) -> Result<Place, StoreError> {
        let place = self.place()?;
        if place != Place::None && self.folder()?.is_none() {
            folder::check_creatable(&self.options.data_dir)?;
        }
        if place != Place::None
            && let Some(data) = self.folder()?
        {
            folder::check_creatable(&data.path().join(KeyFile::NAME))?;
        }
        Ok(place)
    }

    fn chosen_place(&self) -> Result<Place, StoreError> {
        match self.options.setting.place() {
            Some(place) => Ok(place),
            None => self.keys.automatic(&self.options),
        }
    }

    /// Call this before a sign-in. Afterwards, the folder exists and is safe, and the key is
    /// available. With [`Place::None`], nothing will be stored.
    pub fn ensure_key(&self) -> Result<Place, StoreError> {
        if !self.saves()? {
            return Ok(Place::None);
        }
        let data = Folder::open_or_create(&self.options.data_dir)?;
        sweep(&data);
        self.keys.ensure(&self.options, &data)
    }

    /// Waits for a lock until the deadline, and tries at least once.
    pub fn lock(
        &self,
        name: &RecordName,
        kind: LockKind,
        deadline: Instant,
    ) -> Result<Lock, StoreError> {
        if !self.saves()? {
            return Ok(Lock::of_nothing());
        }
        let (folder, file) = self.lock_file(name, kind)?;
        let path = || folder.path().join(name.lock_file(kind));
        lock::acquire(file, deadline)
            .map_err(StoreError::io("lock", path()))?
            .map(Lock::of)
            .map_err(|holder| StoreError::LockTimedOut {
                path: path(),
                holder,
            })
    }

    /// Takes a lock if it is available.
    pub fn try_lock(&self, name: &RecordName, kind: LockKind) -> Result<Option<Lock>, StoreError> {
        if !self.saves()? {
            return Ok(Some(Lock::of_nothing()));
        }
        let (folder, file) = self.lock_file(name, kind)?;
        let taken = lock::try_acquire(&file).map_err(StoreError::io(
            "lock",
            folder.path().join(name.lock_file(kind)),
        ))?;
        Ok(taken.then(|| Lock::of(file)))
    }

    /// Binds the socket of a sign-in, whose lock the caller holds.
    #[cfg(unix)]
    pub fn listen(
        &self,
        name: &RecordName,
        _lock: &Lock,
        env: &crate::env::Env,
    ) -> Result<std::os::unix::net::UnixListener, StoreError> {
        socket::listen(&Folder::open_or_create(&self.options.data_dir)?, name, env)
    }

    /// Connects to the process that runs a sign-in, if this user has one.
    #[cfg(unix)]
    pub fn connect(
        &self,
        name: &RecordName,
    ) -> Result<Option<std::os::unix::net::UnixStream>, StoreError> {
        match self.folder()? {
            Some(data) => socket::connect(&data, name),
            None => Ok(None),
        }
    }

    /// Removes the socket of a sign-in, whose lock the caller holds.
    #[cfg(unix)]
    pub fn remove_socket(&self, name: &RecordName) -> Result<(), StoreError> {
        match self.folder()? {
            Some(data) => socket::remove(&data, name),
            None => Ok(()),
        }
    }

    /// How long the OS keyring may take.
    pub fn keyring_wait(&self) -> Duration {
        self.options.keyring_wait
    }

    fn lock_file(
        &self,
        name: &RecordName,
        kind: LockKind,
    ) -> Result<(Folder, std::fs::File), StoreError> {
        let folder =
            Folder::open_or_create(&self.options.data_dir)?.subfolder_or_create(name.folder())?;
        let file = folder.open_lock(&name.lock_file(kind))?;
        Ok((folder, file))
    }

    /// Reserves space for a record that is about to be fetched. The caller holds the record's lock.
    ///
    /// Anything that could prevent storing it later fails here: the disk, the key, or a record that
    /// must not be replaced.
    pub fn reserve(
        &self,
        name: &RecordName,
        payload_len: usize,
    ) -> Result<Reservation, StoreError> {
        let Some(data) = self.folder()? else {
            return Err(StoreError::NotSaved);
        };
        let key = self.current_key(&data)?;
        let records = data.subfolder_or_create(name.folder())?;
        Reservation::make(data, records, name.clone(), key, payload_len)
    }

    /// Removes a record. Returns whether it existed. It needs no key, so a record that can no
    /// longer be decrypted can be removed too.
    pub fn remove(&self, name: &RecordName, _lock: &Lock) -> Result<bool, StoreError> {
        let Some(data) = self.folder()? else {
            return Ok(false);
        };
        let Some(records) = data.subfolder(name.folder())? else {
            return Ok(false);
        };
        match record::header(&records, name.file()) {
            Ok(None) => return Ok(false),
            Ok(Some(header)) => {
                let ours = KeyFile::read(&data)?.is_some_and(|file| file.id == header.key);
                if !ours {
                    return Err(StoreError::ForeignKey {
                        path: records.path().join(name.file()),
                    });
                }
            }
            // It can never be read again.
            Err(StoreError::Damaged { .. }) => (),
            Err(error) => return Err(error),
        }
        let removed = records.remove(name.file())?;
        // The record is gone for every process, and its tokens still have to be revoked. Only a
        // power failure could bring it back.
        let _ = records.sync();
        Ok(removed)
    }

    /// Removes a record of any kind and with any key. Returns whether it existed.
    pub fn discard(&self, name: &RecordName, _lock: &Lock) -> Result<bool, StoreError> {
        let Some(data) = self.folder()? else {
            return Ok(false);
        };
        let Some(records) = data.subfolder(name.folder())? else {
            return Ok(false);
        };
        let removed = records.remove(name.file())?;
        let _ = records.sync();
        Ok(removed)
    }

    /// Call this once every record has been removed. It also removes the remains of an unusable
    /// key, so that the next sign-in creates a new one.
    pub fn forget_useless_key(&self) -> Result<(), StoreError> {
        match self.folder()? {
            Some(data) => rescue::forget_useless_key_file(&self.options, &data),
            None => Ok(()),
        }
    }

    /// Removes the key and the data folder, for good. Call this once every record has been removed.
    /// Returns the files in it that are not hallpass's. They stay, and so does the folder.
    pub fn remove_data_folder(&self) -> Result<Vec<PathBuf>, StoreError> {
        match self.folder()? {
            Some(data) => {
                removal::remove_key(&self.options, &data)?;
                removal::remove(&data)
            }
            None => Ok(Vec::new()),
        }
    }

    /// The sessions on disk, unopened. Also removes what interrupted processes left behind.
    pub fn sessions(&self) -> Result<Vec<Listed>, StoreError> {
        let Some(data) = self.folder()? else {
            return Ok(Vec::new());
        };
        sweep(&data);
        listed(&data, name::SESSIONS)
    }

    /// The credentials that tools stored, unopened: one record for each tool and realm.
    pub fn stored_credentials(&self) -> Result<Vec<Listed>, StoreError> {
        match self.folder()? {
            Some(data) => listed(&data, name::STORED_CREDENTIALS),
            None => Ok(Vec::new()),
        }
    }

    /// The registries' credentials for sessions' tokens, unopened.
    pub fn exchanged(&self) -> Result<Vec<Listed>, StoreError> {
        match self.folder()? {
            Some(data) => listed(&data, name::EXCHANGED),
            None => Ok(Vec::new()),
        }
    }

    /// Reads an unencrypted file; `None` if it does not exist or is garbled.
    pub fn read_plain<T: DeserializeOwned>(
        &self,
        kind: Plain,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        match self.folder()? {
            Some(data) => plain::read(&data, kind, name),
            None => Ok(None),
        }
    }

    /// Stores something that is not secret. Does nothing if the store is `none`.
    pub fn write_plain<T: Serialize + ?Sized>(
        &self,
        kind: Plain,
        name: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        if !self.saves()? {
            return Ok(());
        }
        let data = Folder::open_or_create(&self.options.data_dir)?;
        plain::write(&data, kind, name, value)
    }

    /// All unencrypted files of one kind, without garbled ones.
    pub fn all_plain<T: DeserializeOwned>(&self, kind: Plain) -> Result<Vec<T>, StoreError> {
        match self.folder()? {
            Some(data) => plain::all(&data, kind),
            None => Ok(Vec::new()),
        }
    }

    /// Removes an unencrypted file. Returns whether it existed.
    pub fn remove_plain(&self, kind: Plain, name: &str) -> Result<bool, StoreError> {
        match self.folder()? {
            Some(data) => plain::remove(&data, kind, name),
            None => Ok(false),
        }
    }

    /// Reads a cached document; `None` if there is none that this folder's key decrypts.
    pub fn read_cached<T: DeserializeOwned>(&self, name: &RecordName) -> Option<T> {
        let data = self.folder().ok()??;
        let record = data.subfolder(name.folder()).ok()??.read(name.file());
        let record = record.ok()??;
        let header = Header::of(&record).ok()?;
        let key = self.key_at_hand(&data)?;
        if key.id != header.key {
            return None;
        }
        seal::open(&key, name, &header, &record).ok()
    }

    /// Caches a document, encrypted. Does nothing if the key is not available without the OS
    /// keyring or the document cannot be written.
    pub fn write_cached<T: Serialize + ?Sized>(&self, name: &RecordName, value: &T) {
        let written = || -> Option<()> {
            let data = self.folder().ok()??;
            let key = self.key_at_hand(&data)?;
            let sealed = seal::seal(&key, name, value, 1).ok()?;
            let folder = data.subfolder_or_create(name.folder()).ok()?;
            folder.replace(name.file(), &sealed, Durable::No).ok()
        };
        let _ = written();
    }

    fn key_at_hand(&self, data: &Folder) -> Option<Arc<DataKey>> {
        let file = KeyFile::read(data).ok()??;
        match self.options.setting.place() {
            Some(asked) if asked != file.place => None,
            Some(_) | None => self.keys.at_hand(data, &file),
        }
    }

    /// Remembers a question's result, encrypted. Does nothing unless the key is and stays available
    /// without the OS keyring.
    pub fn remember(
        &self,
        slot: u8,
        question: &[u8],
        answer: Zeroizing<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let Some(data) = self.folder()? else {
            return Ok(());
        };
        if self.options.kernel_cache.is_none() && self.place()? == Place::Keyring {
            return Ok(());
        }
        at_hand::remember(&data, slot, question, answer)
    }

    /// Removes the key from the key cache, unless that is its only place. Returns whether it was
    /// there.
    pub fn drop_cached_key(&self) -> Result<bool, StoreError> {
        let Some(file) = self.key_file()? else {
            return Ok(false);
        };
        match file.place {
            Place::Kernel => Err(StoreError::OnlyPlace),
            Place::Keyring => match key_cache::forget(file.id) {
                Ok(dropped) => Ok(dropped),
                // An unusable keyring has no key.
                Err(KernelError::NoSuchThing | KernelError::Blocked | KernelError::Absent) => {
                    Ok(false)
                }
                Err(
                    error @ (KernelError::Denied
                    | KernelError::Quota
                    | KernelError::OutOfReach
                    | KernelError::NotAKey
                    | KernelError::Other(_)),
                ) => Err(StoreError::Kernel(error)),
            },
            Place::File | Place::None => Ok(false),
        }
    }

    pub(super) fn key_file(&self) -> Result<Option<KeyFile>, StoreError> {
        match self.folder()? {
            Some(data) => self.keys.key_file(&self.options, &data),
            None => Ok(None),
        }
    }

    /// The data folder, if it exists and the store is not `none`.
    fn folder(&self) -> Result<Option<Folder>, StoreError> {
        match self.options.setting {
            Setting::None => Ok(None),
            Setting::Auto | Setting::Keyring | Setting::Kernel | Setting::File => {
                Folder::open(&self.options.data_dir)
            }
        }
    }

    /// Whether anything is stored. Needs no key, and is true if a key was ever created.
    pub fn saves(&self) -> Result<bool, StoreError> {
        match self.options.setting {
            Setting::None => Ok(false),
            Setting::Keyring | Setting::Kernel | Setting::File => Ok(true),
            Setting::Auto => {
                let folder = self.folder()?;
                // An unreadable one was created as well.
                let was_made = folder.is_some_and(|data| !matches!(KeyFile::read(&data), Ok(None)));
                Ok(was_made || self.keys.automatic(&self.options)? != Place::None)
            }
        }
    }

    /// The key of a record; `None` if the folder has a different key.
    fn key_of(&self, data: &Folder, id: KeyId) -> Result<Option<Found>, StoreError> {
        let file = self.keys.key_file(&self.options, data)?;
        let Some(file) = file.filter(|file| file.id == id) else {
            return Ok(None);
        };
        self.find(data, &file).map(Some)
    }

    /// The folder's key. During a move, it may be in its new place before key.json is read again.
    pub(super) fn find(&self, data: &Folder, file: &KeyFile) -> Result<Found, StoreError> {
        match self.keys.find(&self.options, data, file) {
            Err(StoreError::KeyMissing { place }) => match KeyFile::read(data) {
                Ok(Some(moved)) if moved.id == file.id && moved.place != place => {
                    self.keys.find(&self.options, data, &moved)
                }
                Ok(_) | Err(_) => Err(StoreError::KeyMissing { place }),
            },
            found => found,
        }
    }

    fn current_key(&self, data: &Folder) -> Result<Arc<DataKey>, StoreError> {
        let missing = |place| StoreError::KeyMissing { place };
        let Some(file) = self.keys.key_file(&self.options, data)? else {
            return Err(match self.chosen_place()? {
                Place::None => StoreError::NotSaved,
                place @ (Place::Keyring | Place::Kernel | Place::File) => missing(place),
            });
        };
        match self.find(data, &file)? {
            Found::Key(key) => Ok(key),
            Found::Lost => Err(missing(file.place)),
        }
    }
}

/// The records of a folder.
fn listed(data: &Folder, folder: &'static str) -> Result<Vec<Listed>, StoreError> {
    let Some(records) = data.subfolder(folder)? else {
        return Ok(Vec::new());
    };
    let files = records.names()?;
    let records = files.iter().filter(|file| name::is_record(file));
    Ok(records
        .map(|file| Listed {
            name: RecordName::of(folder, file),
        })
        .collect())
}
