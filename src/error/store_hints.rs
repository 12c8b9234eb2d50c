//! Hints for errors of the store and its keyring.

use std::io;
use std::path::Path;

use crate::config::{access_fix, held_by};
use crate::shell::{list_command, quoted, space_command};
use crate::store::{KeyringError, Place, Setting, StoreError};

const REMOVE_ALL: &str = "hallpass logout --all";
const REMOVE_UNREADABLE: &str = "hallpass logout --unreadable";

pub(super) fn store_hint(error: &StoreError) -> Option<String> {
    use StoreError as S;
    match error {
        S::NoHome | S::RelativeHome { .. } => Some(
            "set HOME to your home folder, or HALLPASS_DATA_DIR to a folder you own".to_owned(),
        ),
        S::RelativeDataDir { .. } => Some("set HALLPASS_DATA_DIR to an absolute path".to_owned()),
        S::NoMachineId { .. } => {
            Some("set HALLPASS_DATA_DIR to a folder on a local disk".to_owned())
        }
        S::IsALink { path }
        | S::NotOurs { path, .. }
        | S::NotAFolder { path }
        | S::NotAFile { path } => Some(format!(
            "check it with `{}`; if it is not yours, move it away, or set HALLPASS_DATA_DIR",
            list_command(&quoted(&path.to_string_lossy()))
        )),
        S::TooOpen { path, .. } => Some(format!(
            "run `chmod go-rwx {}`",
            quoted(&path.to_string_lossy())
        )),
        S::Io { path, source, .. } => Some(io_hint(path, source)),
        S::UnknownFormat { .. } => Some(format!(
            "a newer hallpass wrote it: use that version, or run `{REMOVE_UNREADABLE}`, which \
             removes only what this version cannot read"
        )),
        S::ForeignKey { .. } | S::Damaged { .. } => Some(format!(
            "run `{REMOVE_UNREADABLE}`, which removes only what cannot be decrypted, and sign in \
             again"
        )),
        S::KeyMissing {
            place: Place::Keyring,
        } => Some(format!(
            "if the key is in another keyring, unlock that one and run the command again; if the key \
             is gone, run `{REMOVE_ALL}`, which removes what it has encrypted, and sign in again"
        )),
        S::KeyMissing { .. }
        | S::KeyDamaged { .. }
        | S::KeyFileDamaged { .. }
        | S::RecordsWithoutKey { .. } => Some(format!(
            "run `{REMOVE_ALL}`, which removes what can no longer be decrypted, and sign in again"
        )),
        S::KeyFileNewer { .. } => Some(format!(
            "use that version of hallpass, or run `{REMOVE_ALL}`, which removes everything that it \
             has stored, and sign in again"
        )),
        S::KeyChanged => Some("run the same command again".to_owned()),
        S::LockTimedOut { holder, .. } => Some(held_by(holder.as_ref())),
        S::OtherPlace { remembered, asked } => Some(format!(
            "run `hallpass store move --to {}` to move the key there, or set `store = \"{}\"`",
            setting_of(*asked),
            setting_of(*remembered)
        )),
        S::OnlyPlace => Some(format!(
            "dropping the key would lose every session: to sign out of all of them, run \
             `{REMOVE_ALL}`"
        )),
        S::Keyring(KeyringError::NoService) => Some(format!(
            "start a Secret Service (gnome-keyring, KeePassXC), or set `store = \"file\"` in \
             config.toml or HALLPASS_STORE=file to store the key in a file that only you can read; \
             if the keyring that had the key is gone for good, run `{REMOVE_ALL} --unreadable` first"
        )),
        #[cfg(target_os = "macos")]
        S::Keyring(KeyringError::DialogNeeded) => Some(
            "run the command again with prompting enabled (`--interactive auto`), unlock the \
             Keychain if macOS asks, and choose \"Always Allow\""
                .to_owned(),
        ),
        S::Keyring(_) => Some(format!(
            "unlock the OS keyring and run the command again; if it can no longer be unlocked, \
             run `{REMOVE_ALL} --unreadable`, which removes everything without revoking it"
        )),
        S::Kernel(_) => Some(format!(
            "set `store = \"file\"` in config.toml or HALLPASS_STORE=file to store the key in a \
             file that only you can read; if sessions were stored before, run \
             `{REMOVE_ALL} --unreadable` first"
        )),
        S::NotSaved => Some(
            "to store sessions in a file that only you can read, set `store = \"file\"` in \
             config.toml or HALLPASS_STORE=file"
                .to_owned(),
        ),
        S::NoRandomness | S::NotJson => None,
    }
}

fn io_hint(path: &Path, source: &io::Error) -> String {
    use io::ErrorKind as K;
    if matches!(
        source.kind(),
        K::ReadOnlyFilesystem | K::PermissionDenied | K::NotADirectory | K::AlreadyExists
    ) {
        return access_fix(path, None, source).map_or_else(
            || "set HALLPASS_DATA_DIR to a folder that you can write to".to_owned(),
            |fix| format!("{fix}, then run the command again"),
        );
    }
    let word = quoted(&path.parent().unwrap_or(path).to_string_lossy());
    format!(
        "check that the disk isn't full (`{}`), and `{}`; nothing was lost",
        space_command(&word),
        list_command(&word)
    )
}

fn setting_of(place: Place) -> Setting {
    match place {
        Place::Keyring => Setting::Keyring,
        Place::Kernel => Setting::Kernel,
        Place::File => Setting::File,
        Place::None => Setting::None,
    }
}
