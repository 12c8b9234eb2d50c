//! Moves the data key from one place to another. The encrypted records stay unchanged.

use super::data_folder::Store;
use super::error::StoreError;
use super::folder::Folder;
use super::key;
use super::key_file::KeyFile;
use super::options::Options;
use super::setting::{Place, Setting};
use super::{key_cache, keyring};

/// The result of moving the key.
#[derive(Debug)]
pub enum Moved {
    /// No key was ever created. The next sign-in creates it where the configuration says.
    NoKey,
    Already,
    From {
        place: Place,
        /// Why it is also still in the old place.
        left_behind: Option<StoreError>,
    },
}

impl Store {
    /// Where the key is stored, if there is one.
    pub fn key_place(&self) -> Result<Option<Place>, StoreError> {
        let Some(folder) = Folder::open(&self.options.data_dir)? else {
            return Ok(None);
        };
        let file = self.keys.key_file(&self.options, &folder)?;
        Ok(file.map(|file| file.place))
    }

    /// Moves the key: first into the new place, then in key.json, and last out of the old place. A
    /// killed process may leave an extra copy, but never loses the key.
    pub fn move_key(&self, to: Place) -> Result<Moved, StoreError> {
        // The key is where key.json says, regardless of the configuration.
        let options = Options {
            setting: Setting::Auto,
            ..self.options.clone()
        };
        let Some(folder) = Folder::open(&options.data_dir)? else {
            return Ok(Moved::NoKey);
        };
        let _turn = key::turn(&options, &folder)?;
        let Some(file) = self.keys.key_file_in_turn(&options, &folder)? else {
            return Ok(Moved::NoKey);
        };
        let key = match self.keys.find(&options, &folder, &file)? {
            key::Found::Key(key) => key,
            key::Found::Lost => return Err(StoreError::KeyMissing { place: file.place }),
        };
        if file.place == to {
            return Ok(Moved::Already);
        }
        let new = KeyFile::of(file.id, to);
        // First, so that a full disk doesn't leave orphaned keys in the keyring.
        let named = new.prepare(&folder)?;
        self.keys.put(&options, &folder, file.id, to, &key.secret)?;
        named.put()?;
        let removed = match file.place {
            Place::File => folder.remove(key::KEY).map(|_| ()),
            Place::Keyring => folder.open_lock(key::KEYRING_LOCK).and_then(|turn| {
                keyring::remove(file.id, options.terms(), turn).map_err(StoreError::from)
            }),
            Place::Kernel | Place::None => Ok(()),
        };
        // The key cache is an old place too, unless it now caches the OS keyring's key.
        let is_cache = to == Place::Keyring && options.kernel_cache.is_some();
        if to != Place::Kernel && !is_cache {
            let _ = key_cache::forget(file.id);
        }
        Ok(Moved::From {
            place: file.place,
            left_behind: removed.err(),
        })
    }
}
