//! Errors of the store. No message quotes the content of a file or a key.

use std::path::PathBuf;
use std::time::Duration;

use super::lock::Holder;
use super::name::RecordName;
use super::setting::Place;

/// Why a record could not be stored, read or removed. None of these means that it doesn't exist.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no home folder found: HOME is not set, and the user database has none")]
    NoHome,
    #[error("the home folder {} is not an absolute path", path.display())]
    RelativeHome { path: PathBuf },
    #[error("HALLPASS_DATA_DIR is {}, which is not an absolute path", path.display())]
    RelativeDataDir { path: PathBuf },
    #[error("{} is on a network file system, and /etc/machine-id has no ID that tells this machine from others", path.display())]
    NoMachineId { path: PathBuf },

    #[error("{} is a link, which is not allowed here", path.display())]
    IsALink { path: PathBuf },
    #[error("{} belongs to the user with ID {owner}, not to you", path.display())]
    NotOurs { path: PathBuf, owner: u32 },
    #[error("{} is accessible to others (mode {mode:o})", path.display())]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("{} is not a folder", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },

    /// Written by another version of hallpass; never overwritten or deleted automatically.
    #[error("{} has a format that this version of hallpass does not know", path.display())]
    UnknownFormat { path: PathBuf },
    /// Neither deleted nor overwritten: the key may come back.
    #[error("{} is encrypted with a different key from this folder's", path.display())]
    ForeignKey { path: PathBuf },
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf },
    #[error("the data to be stored cannot be written as JSON")]
    NotJson,

    #[error("{} has sessions or passwords but no key.json, and the data key that they refer to was not found", folder.display())]
    RecordsWithoutKey { folder: PathBuf },
    #[error("the data key was not found in the {place}{}", or_locked(*place))]
    KeyMissing { place: Place },
    #[error("the data key's entry in the {place} is not a data key")]
    KeyDamaged { place: Place },
    /// No place has the key that the records name, so key.json cannot be rebuilt.
    #[error("{} is damaged, and the data key that the records refer to was not found", path.display())]
    KeyFileDamaged { path: PathBuf },
    #[error("{} was written by a newer version of hallpass", path.display())]
    KeyFileNewer { path: PathBuf },
    #[error("another process has just created a new data key")]
    KeyChanged,
    #[error("the data key is stored in the {remembered}, but the {asked} was requested")]
    OtherPlace { remembered: Place, asked: Place },
    #[error("the kernel keyring is the only place that holds the data key")]
    OnlyPlace,
    #[error("the operating system provided no random numbers")]
    NoRandomness,
    #[error("the OS keyring cannot be used")]
    Keyring(#[source] KeyringError),
    #[error("the kernel keyring cannot be used")]
    Kernel(#[source] KernelError),

    #[error("{} has held {} for too long", by(holder.as_ref()), path.display())]
    LockTimedOut {
        path: PathBuf,
        holder: Option<Holder>,
    },
    #[error("sessions are not saved (the store is \"none\")")]
    NotSaved,
}

// Some Secret Services report an item in a locked database as missing.
fn or_locked(place: Place) -> &'static str {
    match place {
        Place::Keyring => ", or that keyring is locked",
        Place::Kernel | Place::File | Place::None => "",
    }
}

/// Names the holder of a lock, if the system knows it.
pub(crate) fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
}

impl StoreError {
    /// Whether the error concerns a single record, so that others may still be readable.
    pub fn is_about(&self, record: &RecordName) -> bool {
        match self {
            Self::UnknownFormat { path }
            | Self::ForeignKey { path }
            | Self::Damaged { path }
            | Self::IsALink { path }
            | Self::NotOurs { path, .. }
            | Self::TooOpen { path, .. }
            | Self::NotAFile { path }
            | Self::Io { path, .. } => path.ends_with(record.as_str()),
            Self::NoHome
            | Self::RelativeHome { .. }
            | Self::RelativeDataDir { .. }
            | Self::NoMachineId { .. }
            | Self::NotAFolder { .. }
            | Self::NotJson
            | Self::RecordsWithoutKey { .. }
            | Self::KeyMissing { .. }
            | Self::KeyDamaged { .. }
            | Self::KeyFileDamaged { .. }
            | Self::KeyFileNewer { .. }
            | Self::KeyChanged
            | Self::OtherPlace { .. }
            | Self::OnlyPlace
            | Self::NoRandomness
            | Self::Keyring(_)
            | Self::Kernel(_)
            | Self::LockTimedOut { .. }
            | Self::NotSaved => false,
        }
    }

    /// Whether the key is lost, so that nothing encrypted with it can be decrypted. A locked or
    /// unreachable keyring has lost nothing.
    pub fn is_loss_of_the_key(&self) -> bool {
        matches!(
            self,
            Self::RecordsWithoutKey { .. }
                | Self::KeyMissing { .. }
                | Self::KeyDamaged { .. }
                | Self::KeyFileDamaged { .. }
                | Self::KeyFileNewer { .. }
        )
    }

    /// Adds the action and the path to an I/O error.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::NotFound => Self::KeyMissing {
                place: Place::Keyring,
            },
            KeyringError::NotAKey => Self::KeyDamaged {
                place: Place::Keyring,
            },
            #[cfg(target_os = "macos")]
            KeyringError::DialogNeeded => Self::Keyring(error),
            other @ (KeyringError::NoService
            | KeyringError::Locked
            | KeyringError::TimedOut { .. }
            | KeyringError::Other(_)) => Self::Keyring(other),
        }
    }
}

/// Why the kernel keyring cannot be used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    #[error("this platform has no kernel keyring")]
    NoSuchThing,
    #[error("this process may not use it (EPERM), as in most containers")]
    Blocked,
    #[error("the kernel has none, or hides it (ENOSYS), as in most containers")]
    Absent,
    #[error("access was denied (EACCES)")]
    Denied,
    #[error("this user's quota is used up (EDQUOT)")]
    Quota,
    #[error(
        "this process is in a user namespace, and its session keyring has no link to the user's \
         keyring"
    )]
    OutOfReach,
    #[error("its entry for hallpass is not a data key")]
    NotAKey,
    #[error("it failed with error {0}")]
    Other(i32),
}

/// Why the OS keyring did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is no keyring at all. Only this error lets `auto` use another place.
    #[error("not found: no session bus, or no Secret Service on it")]
    NoService,
    #[error("it is locked")]
    Locked,
    /// macOS: it is locked, or its entry belongs to a differently signed hallpass.
    #[cfg(target_os = "macos")]
    #[error("it would open a dialog, and prompting is disabled")]
    DialogNeeded,
    #[error("it did not answer within {} s", after.as_secs())]
    TimedOut { after: Duration },
    #[error("it has no such entry")]
    NotFound,
    /// It has an entry with the key's name that is not a key.
    #[error("its entry for hallpass is not a data key")]
    NotAKey,
    #[error("it failed: {0}")]
    Other(String),
}
