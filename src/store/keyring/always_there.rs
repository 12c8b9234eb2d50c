//! Keychain and Credential Manager: part of the system, and unlocked with the user's session.

#[cfg(target_os = "macos")]
use security_framework::os::macos::keychain::{KeychainUserInteractionLock, SecKeychain};
use zeroize::Zeroizing;

use crate::store::data_key::{KeyId, SERVICE};
use crate::store::error::KeyringError;

#[derive(Default)]
pub(super) struct Service {
    /// While it exists, macOS opens no dialog for this process and returns an error instead.
    #[cfg(target_os = "macos")]
    quiet: std::cell::Cell<Option<KeychainUserInteractionLock>>,
}

#[expect(clippy::unnecessary_wraps, reason = "as with the Secret Service")]
pub(super) fn connect() -> Result<Service, KeyringError> {
    Ok(Service::default())
}

impl Service {
    /// Checks that a call may go ahead. If the user can't be prompted, disables dialogs first:
    /// macOS asks before it unlocks the Keychain, and before it gives an entry to a program whose
    /// signature has changed.
    #[cfg(target_os = "macos")]
    fn may_be_used(&self, attended: bool) -> Result<(), KeyringError> {
        if !attended {
            let quiet = SecKeychain::disable_user_interaction()
                .map_err(|error| KeyringError::Other(error.to_string()))?;
            self.quiet.set(Some(quiet));
        }
        Ok(())
    }

    #[cfg(not(target_os = "macos"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as on macOS")]
    fn may_be_used(&self, _attended: bool) -> Result<(), KeyringError> {
        Ok(())
    }
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "as with the Secret Service"
)]
impl Service {
    pub(super) fn is_locked(&self) -> Result<bool, KeyringError> {
        Ok(false)
    }

    pub(super) fn may_be_read(&self, _id: KeyId, attended: bool) -> Result<(), KeyringError> {
        self.may_be_used(attended)
    }

    pub(super) fn may_be_written(&self, attended: bool) -> Result<(), KeyringError> {
        self.may_be_used(attended)
    }

    pub(super) fn read(&self, id: KeyId) -> Result<Zeroizing<String>, KeyringError> {
        entry(id)?
            .get_password()
            .map(Zeroizing::new)
            .map_err(reason)
    }

    pub(super) fn write(&self, id: KeyId, text: &str) -> Result<(), KeyringError> {
        entry(id)?.set_password(text).map_err(reason)
    }

    pub(super) fn remove(&self, id: KeyId) -> Result<(), KeyringError> {
        entry(id)?.delete_credential().map_err(reason)
    }
}

#[cfg(not(windows))]
fn entry(id: KeyId) -> Result<keyring::Entry, KeyringError> {
    keyring::Entry::new(SERVICE, &id.to_string()).map_err(reason)
}

/// An entry for this machine only. By default, an entry roams with the user's profile to machines
/// that don't have the data folder.
#[cfg(windows)]
fn entry(id: KeyId) -> Result<keyring::Entry, KeyringError> {
    if keyring::Entry::store_status().is_err() {
        return Err(reason(keyring::Error::NoDefaultStore));
    }
    let modifiers = [("persistence", "local")].into();
    let inner = keyring_core::Entry::new_with_modifiers(SERVICE, &id.to_string(), &modifiers)
        .map_err(reason)?;
    Ok(keyring::Entry { inner })
}

fn reason(error: keyring::Error) -> KeyringError {
    use keyring::Error;

    match error {
        Error::NoEntry => KeyringError::NotFound,
        #[cfg(target_os = "macos")]
        Error::NoStorageAccess(cause) | Error::PlatformFailure(cause)
            if needs_dialog(cause.as_ref()) =>
        {
            KeyringError::DialogNeeded
        }
        Error::NoStorageAccess(cause) | Error::PlatformFailure(cause) => {
            KeyringError::Other(cause.to_string())
        }
        Error::NoDefaultStore => KeyringError::Other(match keyring::Entry::store_status() {
            Err(Error::PlatformFailure(cause)) => cause.to_string(),
            Ok(()) | Err(_) => "the platform has none".to_owned(),
        }),
        // These contain what was found, none of which may be shown.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => KeyringError::NotAKey,
        Error::Ambiguous(_) => KeyringError::Other("it has several such entries".to_owned()),
        Error::BadStoreFormat(_)
        | Error::TooLong(..)
        | Error::Invalid(..)
        | Error::NotSupportedByStore(_)
        | _ => KeyringError::Other("it refused the entry".to_owned()),
    }
}

/// Whether macOS refused a call because it would have opened a dialog.
/// <https://developer.apple.com/documentation/security/security-framework-result-codes>
#[cfg(target_os = "macos")]
fn needs_dialog(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    const INTERACTION_NOT_ALLOWED: i32 = -25308;
    const INTERACTION_REQUIRED: i32 = -25315;

    cause
        .downcast_ref::<security_framework::base::Error>()
        .is_some_and(|error| {
            [INTERACTION_NOT_ALLOWED, INTERACTION_REQUIRED].contains(&error.code())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> Box<dyn std::error::Error + Send + Sync> {
        Box::new(std::io::Error::other("cause"))
    }

    #[test]
    fn errors_never_show_an_entrys_content() {
        let secret = || b"hunter2".to_vec();
        for error in [
            keyring::Error::BadEncoding(secret()),
            keyring::Error::BadDataFormat(secret(), cause()),
            keyring::Error::BadStoreFormat("hunter2".to_owned()),
        ] {
            let reason = reason(error);
            assert!(!format!("{reason} {reason:?}").contains("hunter2"));
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_key_does_not_roam_to_other_machines() {
        let id = KeyId::random().unwrap();
        let service = Service::default();
        service.write(id, "text").unwrap();
        let attributes = entry(id).unwrap().inner.get_attributes();
        let read = service.read(id);
        service.remove(id).unwrap();
        assert_eq!(attributes.unwrap()["persistence"], "Local");
        assert_eq!(read.unwrap().as_str(), "text");
        assert_eq!(service.read(id).unwrap_err(), KeyringError::NotFound);
    }

    #[cfg(target_os = "macos")]
    #[test]
    fn a_refused_dialog_is_named() {
        for (code, expected) in [(-25308, true), (-25315, true), (-25300, false)] {
            let error = security_framework::base::Error::from_code(code);
            assert_eq!(needs_dialog(&error), expected, "{code}");
        }
    }

    #[test]
    fn only_a_missing_entry_is_not_found() {
        assert_eq!(reason(keyring::Error::NoEntry), KeyringError::NotFound);
        for error in [
            keyring::Error::NoStorageAccess(cause()),
            keyring::Error::PlatformFailure(cause()),
            keyring::Error::Ambiguous(vec![]),
        ] {
            assert_ne!(reason(error), KeyringError::NotFound);
        }
    }
}
