//! The kernel keyring: caches the data key in the kernel's memory, so that a hit needs no D-Bus.
//!
//! <https://man7.org/linux/man-pages/man7/keyrings.7.html>
//!
//! The key is in the user keyring, with permissions that let every session of the same user read
//! it; a key in a session keyring would be visible to one terminal only. In a user namespace, `@u`
//! is a different keyring, and the user's own is found through the session keyring. Most containers
//! forbid all of this; then the error is reported, and hallpass works without a cache.

#[cfg(target_os = "linux")]
pub(super) use linux::{boot_id, forget, keep, probe, read};
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) use nowhere::forget;
#[cfg(not(target_os = "linux"))]
pub(super) use nowhere::{boot_id, keep, probe, read};

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use linux_keyutils::{Key, KeyError, KeyPermissions, KeyRing, KeyRingIdentifier, LinkNode};
    use rustix::io::Errno;
    use zeroize::Zeroizing;

    use crate::identity::{self, Owner};
    use crate::secret::Secret;
    use crate::store::data_key::{KEY_LEN, KeyId};
    use crate::store::error::KernelError;

    /// The possessor may do everything; the user may view, read and search; others may do nothing.
    const PERMISSIONS: u32 = 0x3f0b_0000;

    /// Checks that a key can be stored. Some sandboxes allow reading but not writing, so this
    /// writes a key and removes it again.
    pub(in crate::store) fn probe() -> Result<(), KernelError> {
        let id = KeyId::of(rand::random());
        keep(id, &Secret::new([0; KEY_LEN]), Some(Duration::from_secs(1)))?;
        forget(id).map(|_| ())
    }

    /// The key with this name; `None` if there is none, or if it has expired.
    pub(in crate::store) fn read(id: KeyId) -> Result<Option<Secret<[u8; KEY_LEN]>>, KernelError> {
        // Checks for a user namespace only if this finds nothing.
        let found = user_keyring().and_then(|keyring| search(keyring, id));
        let found = match found {
            Ok(Some(key)) => Some(key),
            Ok(None) | Err(_) if identity::in_user_namespace() => search(session_keyring()?, id)?,
            Ok(None) => None,
            Err(error) => return Err(error),
        };
        let Some(key) = found else {
            return Ok(None);
        };
        // One byte longer than a key, to detect a longer payload.
        let mut payload = Zeroizing::new([0; KEY_LEN + 1]);
        match key.read(&mut *payload) {
            Ok(KEY_LEN) => Ok(payload.first_chunk().copied().map(Secret::new)),
            Ok(_) => Err(KernelError::NotAKey),
            Err(error) => absent_or(error),
        }
    }

    /// Stores a key in the user keyring for this long, or until the machine shuts down.
    pub(in crate::store) fn keep(
        id: KeyId,
        secret: &Secret<[u8; KEY_LEN]>,
        timeout: Option<Duration>,
    ) -> Result<(), KernelError> {
        let keyring = possessed_keyring()?;
        let key = keyring
            .add_key(description(id).as_str(), secret.expose())
            .map_err(reason)?;
        let settled = key
            .set_perms(KeyPermissions::from_u32(PERMISSIONS))
            .and_then(|()| match timeout {
                Some(timeout) => {
                    key.set_timeout(usize::try_from(timeout.as_secs().max(1)).unwrap_or(usize::MAX))
                }
                None => Ok(()),
            });
        settled.map_err(|error| {
            // With other permissions, it would block later writers.
            let _ = remove(keyring, key);
            reason(error)
        })
    }

    /// Removes the key. Returns whether it existed.
    pub(in crate::store) fn forget(id: KeyId) -> Result<bool, KernelError> {
        let keyring = possessed_keyring()?;
        match search(keyring, id)? {
            Some(key) => remove(keyring, key).map(|()| true),
            None => Ok(false),
        }
    }

    /// Changes with each boot.
    pub(in crate::store) fn boot_id() -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    fn description(id: KeyId) -> String {
        format!("hallpass:{id}")
    }

    fn user_keyring() -> Result<KeyRing, KernelError> {
        KeyRing::from_special_id(KeyRingIdentifier::User, false).map_err(no_user_keyring)
    }

    fn session_keyring() -> Result<KeyRing, KernelError> {
        KeyRing::from_special_id(KeyRingIdentifier::Session, false).map_err(no_user_keyring)
    }

    /// The user's keyring, for writing. Inside a user namespace it isn't `@u`, because processes
    /// outside wouldn't find a key there.
    fn possessed_keyring() -> Result<KeyRing, KernelError> {
        if identity::in_user_namespace() {
            return linked_user_keyring();
        }
        // A login whose session keyring doesn't link to the user keyring doesn't possess its keys:
        // it may add a key there, but may not set that key's permissions.
        KeyRing::from_special_id(KeyRingIdentifier::Process, true)
            .and_then(|process| process.link_keyring_id(KeyRingIdentifier::User))
            .map_err(no_user_keyring)?;
        user_keyring()
    }

    /// The user's keyring outside this namespace, found through the session keyring. The kernel
    /// names it after the outer uid, but shows the inner uid as its owner.
    fn linked_user_keyring() -> Result<KeyRing, KernelError> {
        /// Far more than any quota allows. A list that doesn't fit can't be read.
        const MOST_LINKS: usize = 1 << 16;

        let namespaces_own = user_keyring().ok();
        let links = session_keyring()?.get_links(MOST_LINKS).map_err(reason)?;
        links
            .iter()
            .filter_map(LinkNode::as_ring)
            .filter(|keyring| Some(*keyring) != namespaces_own)
            .find(|keyring| {
                keyring.metadata().is_ok_and(|metadata| {
                    let name = metadata.get_description().strip_prefix("_uid.");
                    name.is_some_and(|uid| uid.parse::<u32>().is_ok())
                        && Owner::of(metadata.get_uid()) == Owner::User
                })
            })
            .ok_or(KernelError::OutOfReach)
    }

    // The kernel creates a missing user keyring. If the quota has no room for it, the error is that
    // there is none (Linux 6.18), or EDQUOT.
    fn no_user_keyring(error: KeyError) -> KernelError {
        if error == KeyError::KeyDoesNotExist {
            return KernelError::Quota;
        }
        reason(error)
    }

    fn search(keyring: KeyRing, id: KeyId) -> Result<Option<Key>, KernelError> {
        match keyring.search(description(id).as_str()) {
            Ok(key) => Ok(Some(key)),
            Err(error) => absent_or(error),
        }
    }

    fn remove(keyring: KeyRing, key: Key) -> Result<(), KernelError> {
        // No process can find an invalidated key, even if a link to it remains.
        let invalidated = key.invalidate();
        let unlinked = keyring.unlink_key(key);
        invalidated.or(unlinked).map_err(reason)
    }

    fn absent_or<T>(error: KeyError) -> Result<Option<T>, KernelError> {
        if matches!(
            error,
            KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked
        ) {
            return Ok(None);
        }
        Err(reason(error))
    }

    fn reason(error: KeyError) -> KernelError {
        if let KeyError::Unknown(errno) = error {
            return if errno == Errno::NOSYS.raw_os_error() {
                KernelError::Absent
            } else {
                KernelError::Other(errno)
            };
        }
        for (from, to) in [
            (KeyError::PermissionDenied, KernelError::Blocked),
            (KeyError::AccessDenied, KernelError::Denied),
            (KeyError::QuotaExceeded, KernelError::Quota),
            (KeyError::OperationNotSupported, KernelError::Absent),
        ] {
            if error == from {
                return to;
            }
        }
        KernelError::Other(Errno::INVAL.raw_os_error())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn each_refusal_has_its_own_error() {
            for (error, expected) in [
                (KeyError::PermissionDenied, KernelError::Blocked),
                (KeyError::Unknown(38), KernelError::Absent),
                (KeyError::AccessDenied, KernelError::Denied),
                (KeyError::QuotaExceeded, KernelError::Quota),
                (KeyError::Unknown(5), KernelError::Other(5)),
            ] {
                assert_eq!(reason(error), expected);
            }
        }

        #[test]
        fn a_key_round_trips_or_the_kernel_reports_why_not() {
            let id = KeyId::random().unwrap();
            if let Err(error) = probe() {
                assert_ne!(error, KernelError::NotAKey);
                assert_eq!(keep(id, &Secret::new([7; 32]), None), Err(error));
                assert!(!matches!(read(id), Ok(Some(_))));
                return;
            }
            assert_eq!(read(id), Ok(None));
            for secret in [[7; 32], [8; 32]] {
                let timeout = Some(Duration::from_secs(60));
                keep(id, &Secret::new(secret), timeout).unwrap();
                assert_eq!(read(id), Ok(Some(Secret::new(secret))));
            }
            // What another session of the same user needs.
            let kept = search(user_keyring().unwrap(), id).unwrap().unwrap();
            assert_eq!(kept.metadata().unwrap().get_perms().bits(), PERMISSIONS);
            assert_eq!(forget(id), Ok(true));
            assert_eq!(read(id), Ok(None));
            assert_eq!(forget(id), Ok(false));
        }

        #[test]
        fn a_foreign_payload_with_our_name_is_not_a_key() {
            let id = KeyId::random().unwrap();
            if let Err(error) = probe() {
                assert_eq!(keep(id, &Secret::new([7; 32]), None), Err(error));
                return;
            }
            possessed_keyring().unwrap();
            let keyring = user_keyring().unwrap();
            for payload in [&[1; 31][..], &[1; 33], &[1; 500]] {
                keyring.add_key(description(id).as_str(), payload).unwrap();
                assert_eq!(read(id), Err(KernelError::NotAKey));
            }
            assert_eq!(forget(id), Ok(true));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::time::Duration;

    use crate::secret::Secret;
    use crate::store::data_key::{KEY_LEN, KeyId};
    use crate::store::error::KernelError;

    pub(in crate::store) fn probe() -> Result<(), KernelError> {
        Err(KernelError::NoSuchThing)
    }

    pub(in crate::store) fn read(_id: KeyId) -> Result<Option<Secret<[u8; KEY_LEN]>>, KernelError> {
        Err(KernelError::NoSuchThing)
    }

    pub(in crate::store) fn keep(
        _id: KeyId,
        _secret: &Secret<[u8; KEY_LEN]>,
        _timeout: Option<Duration>,
    ) -> Result<(), KernelError> {
        Err(KernelError::NoSuchThing)
    }

    #[cfg(not(target_os = "macos"))]
    pub(in crate::store) fn forget(_id: KeyId) -> Result<bool, KernelError> {
        Err(KernelError::NoSuchThing)
    }

    pub(in crate::store) fn boot_id() -> Option<String> {
        None
    }
}
