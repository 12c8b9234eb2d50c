//! The store: encrypted records on disk, the key that encrypts them, and locks.
//!
//! It knows nothing about sessions or tokens: a record is a name, a generation and a value. It
//! never prompts the user (the OS keyring may), never reads the working directory, and never treats
//! an error as a missing record.
//!
//! ```text
//! <data folder>/            0700
//!   key.json                which key, and which place holds it; rebuilt from the records' headers
//!   key                     the key, only with store = "file"
//!   key.lock  keyring.lock  one creator of keys, one caller of the OS keyring
//!   sessions/<hash>         a record; <hash>.lock and <hash>.login.lock beside it
//!   kept/<hash>             credentials that tools stored
//!   exchanged/<hash>        a registry's credential for a session's token
//!   metadata/<hash>         a document published by a provider
//!   attempts/               JSON, no secrets
//!   entries/                JSON: the server that a kubeconfig's exec entry was set up for
//!   resolutions/<slot>      a question's encrypted result; see `crate::serving`
//!   sign-in/                the sockets of sign-ins in progress
//!   runtime/                journals, if there is no runtime folder
//! ```
//!
//! The cipher is XChaCha20-Poly1305: <https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha>.

mod at_hand;
mod data_dir;
mod data_folder;
mod data_key;
mod error;
mod folder;
mod hex;
mod journal;
mod kernel;
mod key;
mod key_cache;
mod key_file;
mod keyring;
mod lock;
mod name;
mod options;
mod plain;
mod record;
mod relocation;
mod removal;
mod rescue;
mod seal;
mod setting;
// Linux runs its tests.
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod shared_memory;
#[cfg(unix)]
mod socket;
mod status;
mod sweep;

pub use at_hand::{AtHand, NotAtHand, Remembered};
pub use data_dir::{data_dir, in_container};
pub use data_folder::Store;
pub use data_key::random_id;
pub(crate) use error::by;
pub use error::{KernelError, KeyringError, StoreError};
pub use journal::{Journal, NOTE_LEN, Note};
pub use key_cache::NAME as KEY_CACHE;
pub use keyring::UNATTENDED;
pub use lock::{Holder, Lock, LockKind};
pub use name::RecordName;
pub use options::Options;
pub use plain::Plain;
pub use record::{Listed, Reservation, Versioned};
pub use relocation::Moved;
pub use setting::{Place, Setting, UnknownSetting};
#[cfg(unix)]
pub(crate) use socket::is_own_user;
pub use status::{KernelCache, KeyringState, Report};
pub(crate) use sweep::STALE;

#[cfg(test)]
mod tests;
