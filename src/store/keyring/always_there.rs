//! Keychain and Credential Manager: part of the system, and unlocked with the user's session.

use zeroize::Zeroizing;

use crate::store::data_key::{KeyId, SERVICE};
use crate::store::error::KeyringError;

pub(super) struct Service;

#[expect(clippy::unnecessary_wraps, reason = "as with the Secret Service")]
pub(super) fn connect() -> Result<Service, KeyringError> {
    Ok(Service)
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

    pub(super) fn may_be_read(&self, _id: KeyId, _attended: bool) -> Result<(), KeyringError> {
        Ok(())
    }

    pub(super) fn may_be_written(&self, _attended: bool) -> Result<(), KeyringError> {
        Ok(())
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
        Service.write(id, "text").unwrap();
        let attributes = entry(id).unwrap().inner.get_attributes();
        let read = Service.read(id);
        Service.remove(id).unwrap();
        assert_eq!(attributes.unwrap()["persistence"], "Local");
        assert_eq!(read.unwrap().as_str(), "text");
        assert_eq!(Service.read(id).unwrap_err(), KeyringError::NotFound);
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
