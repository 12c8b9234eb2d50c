//! What `--undo` needs: what stood in the kubeconfig before, and which files were made.
//!
//! A user's earlier entry may hold secrets, a client secret of kubelogin's say, so a record is a
//! file beside config.toml that only its owner can read, and it goes when it was used.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::yaml::Edit;
use crate::config::file::{self, Kind, Unusable};
use crate::config::{ConfigError, shown};
use crate::error::Error;

const VERSION: u32 = 1;

/// The folder of the records, beside config.toml.
const FOLDER: &str = "kubectl";

#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The kubeconfig that has the user.
    pub(crate) file: PathBuf,
    pub(crate) user: String,
    pub(crate) edit: Edit,
    /// The user's entry before, as kubectl reads it; `None`: there was none.
    pub(crate) before: Option<Value>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) kuberc: Option<Kuberc>,
    /// The ID of the exec entry that was recorded in the store.
    #[serde(default)]
    pub(crate) entry: Option<String>,
    /// The titles of the blocks that it has in config.toml.
    #[serde(default)]
    pub(crate) blocks: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Kuberc {
    pub(crate) file: PathBuf,
    pub(crate) edit: Edit,
}

impl Record {
    pub(crate) fn new(file: PathBuf, user: &str, edit: Edit, before: Option<Value>) -> Self {
        Self {
            version: VERSION,
            file,
            user: user.to_owned(),
            edit,
            before,
            secret_file: None,
            ca_file: None,
            kuberc: None,
            entry: None,
            blocks: Vec::new(),
        }
    }

    /// Reads what was recorded of a user in a kubeconfig.
    pub(crate) fn read(config: &Path, file: &Path, user: &str) -> Result<Option<Self>, Error> {
        Self::at(&path(config, file, user))
    }

    /// Every record that there is.
    pub(crate) fn all(config: &Path) -> Result<Vec<Self>, Error> {
        let Ok(entries) = std::fs::read_dir(config.join(FOLDER)) else {
            return Ok(Vec::new());
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        let records: Result<Vec<_>, _> = paths.iter().map(|path| Self::at(path)).collect();
        Ok(records?.into_iter().flatten().collect())
    }

    /// The titles of the blocks that belong to users of this name in other kubeconfigs.
    pub(crate) fn blocks_elsewhere(
        config: &Path,
        file: &Path,
        user: &str,
    ) -> Result<Vec<String>, Error> {
        let records = Self::all(config)?.into_iter();
        let others = records.filter(|record| record.user == user && record.file != file);
        Ok(others.flat_map(|record| record.blocks).collect())
    }

    fn at(path: &Path) -> Result<Option<Self>, Error> {
        let file = || shown(path);
        let text = match file::read(path, Kind::Private) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(Unusable::Untrusted(why)) => {
                return Err(ConfigError::Untrusted { file: file(), why }.into());
            }
            Err(Unusable::Unreadable(cause)) => {
                return Err(ConfigError::Unreadable {
                    file: file(),
                    cause,
                }
                .into());
            }
        };
        let record: Option<Self> = serde_json::from_str(&text).ok();
        match record {
            Some(record) if record.version == VERSION => Ok(Some(record)),
            Some(_) | None => Err(Error::Usage(format!(
                "{} is no record that this hallpass wrote: take the user's entry back by hand, \
                 and remove it",
                file()
            ))),
        }
    }

    pub(crate) fn write(&self, config: &Path) -> Result<(), Error> {
        let path = path(config, &self.file, &self.user);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        file::replace(&path, &text).map_err(|cause| unwritable(&path, cause))
    }

    pub(crate) fn remove(&self, config: &Path) -> Result<(), Error> {
        let path = path(config, &self.file, &self.user);
        remove(&path)?;
        // It goes with the last one.
        let _ = std::fs::remove_dir(config.join(FOLDER));
        Ok(())
    }
}

/// Removes a file; one that is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn unwritable(path: &Path, cause: std::io::Error) -> Error {
    let file = shown(path);
    ConfigError::Unwritable { file, cause }.into()
}

fn path(config: &Path, file: &Path, user: &str) -> PathBuf {
    let mut digest = Sha256::new();
    digest.update(file.as_os_str().as_encoded_bytes());
    digest.update([0]);
    digest.update(user.as_bytes());
    let mut name = String::new();
    for byte in &digest.finalize()[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    config.join(FOLDER).join(format!("{name}.json"))
}
