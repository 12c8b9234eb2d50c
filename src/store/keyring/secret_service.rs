//! Stores entries in the Secret Service, and checks its state first.
//!
//! <https://specifications.freedesktop.org/secret-service-spec/latest/>
//!
//! Reading or writing an entry may open an unlock dialog, and a locked database can look like an
//! empty one. Calls that need no session, show nothing and carry no secret check for that first.

use std::collections::HashMap;

use secret_service::EncryptionType;
use secret_service::blocking::{Item, SecretService};
use zbus::blocking::Connection;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};
use zeroize::Zeroizing;

use super::bus;
use crate::store::data_key::{KeyId, SERVICE};
use crate::store::error::KeyringError;

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const INTERFACE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const BUS: &str = "org.freedesktop.DBus";

pub(super) struct Service {
    bus: Connection,
}

/// Connects to the session bus and checks that a Secret Service is running there or can be started.
pub(super) fn connect() -> Result<Service, KeyringError> {
    let service = Service {
        bus: bus::session().map_err(|error| no_bus(&error))?,
    };
    let bus = |method, body: &str| {
        service
            .bus
            .call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), method, &body)
    };
    let running: bool = answer(bus("NameHasOwner", NAME))?;
    if running {
        return Ok(service);
    }
    let startable: Vec<String> = answer(service.bus.call_method(
        Some(BUS),
        "/org/freedesktop/DBus",
        Some(BUS),
        "ListActivatableNames",
        &(),
    ))?;
    if startable.iter().any(|name| name == NAME) {
        Ok(service)
    } else {
        Err(KeyringError::NoService)
    }
}

impl Service {
    /// Whether the collection for new entries is locked.
    pub(super) fn is_locked(&self) -> Result<bool, KeyringError> {
        Ok(self.default_collection()?.is_none_or(|open| !open))
    }

    /// Checks that the entry is readable: it exists and is unlocked, or the user can be prompted.
    pub(super) fn may_be_read(&self, id: KeyId, attended: bool) -> Result<(), KeyringError> {
        let id = id.to_string();
        let attributes = attributes(&id);
        // One collection at a time: a search across all of them makes KeePassXC open a dialog for
        // the locked ones. Locked collections may hide their entries, so not finding one proves
        // nothing.
        let mut any_locked = false;
        for collection in self.collections()? {
            if self.collection_is_locked(&collection)? {
                any_locked = true;
                continue;
            }
            let found: Vec<OwnedObjectPath> = answer(self.bus.call_method(
                Some(NAME),
                &collection,
                Some(COLLECTION),
                "SearchItems",
                &(&attributes,),
            ))?;
            if !found.is_empty() {
                return Ok(());
            }
        }
        if !any_locked {
            return Err(KeyringError::NotFound);
        }
        if attended {
            let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
                answer(self.call("SearchItems", &(&attributes,)))?;
            if !open.is_empty() || !locked.is_empty() {
                return Ok(());
            }
        }
        Err(KeyringError::Locked)
    }

    /// Checks that a new entry can be created without a dialog, or that the user can be prompted.
    pub(super) fn may_be_written(&self, attended: bool) -> Result<(), KeyringError> {
        if attended || !self.is_locked()? {
            return Ok(());
        }
        Err(KeyringError::Locked)
    }

    /// The text of the entry.
    pub(super) fn read(&self, id: KeyId) -> Result<Zeroizing<String>, KeyringError> {
        let id = id.to_string();
        let session = self.session()?;
        let item = entry(&session, &id)?.ok_or(KeyringError::NotFound)?;
        let secret = Zeroizing::new(item.get_secret().map_err(|error| reason(&error))?);
        let text = std::str::from_utf8(&secret).map_err(|_| KeyringError::NotAKey)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Writes the entry, or replaces its text.
    pub(super) fn write(&self, id: KeyId, text: &str) -> Result<(), KeyringError> {
        let failed = |error| reason(&error);
        let id = id.to_string();
        let session = self.session()?;
        if let Some(item) = entry(&session, &id)? {
            return item.set_secret(text.as_bytes(), TYPE).map_err(failed);
        }
        let collection = session.get_default_collection().map_err(failed)?;
        if collection.is_locked().map_err(failed)? {
            collection.unlock().map_err(failed)?;
        }
        let label = format!("keyring:{id}@{SERVICE}");
        collection
            .create_item(&label, attributes(&id), text.as_bytes(), true, TYPE)
            .map(|_| ())
            .map_err(failed)
    }

    /// Removes the entry.
    pub(super) fn remove(&self, id: KeyId) -> Result<(), KeyringError> {
        let session = self.session()?;
        let item = entry(&session, &id.to_string())?.ok_or(KeyringError::NotFound)?;
        item.delete().map_err(|error| reason(&error))
    }

    /// A session, which encrypts secrets on the bus.
    fn session(&self) -> Result<SecretService<'static>, KeyringError> {
        SecretService::connect_with_existing(EncryptionType::Dh, self.bus.clone())
            .map_err(|error| reason(&error))
    }

    /// Whether the default collection is unlocked; `None` if it was never created, which also needs
    /// a dialog.
    fn default_collection(&self) -> Result<Option<bool>, KeyringError> {
        let path: OwnedObjectPath = answer(self.call("ReadAlias", &"default"))?;
        if path.as_str() == "/" {
            return Ok(None);
        }
        self.collection_is_locked(&path).map(|locked| Some(!locked))
    }

    fn collections(&self) -> Result<Vec<OwnedObjectPath>, KeyringError> {
        let collections: OwnedValue = answer(self.property(PATH, INTERFACE, "Collections"))?;
        Vec::<OwnedObjectPath>::try_from(collections).map_err(|_| unexpected())
    }

    fn collection_is_locked(&self, path: &OwnedObjectPath) -> Result<bool, KeyringError> {
        let locked: OwnedValue = answer(self.property(path.as_str(), COLLECTION, "Locked"))?;
        bool::try_from(locked).map_err(|_| unexpected())
    }

    fn property(&self, path: &str, interface: &str, name: &str) -> zbus::Result<zbus::Message> {
        self.bus.call_method(
            Some(NAME),
            path,
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &(interface, name),
        )
    }

    fn call<B: serde::Serialize + DynamicType>(
        &self,
        method: &str,
        body: &B,
    ) -> zbus::Result<zbus::Message> {
        self.bus
            .call_method(Some(NAME), PATH, Some(INTERFACE), method, body)
    }
}

/// The content type of the text, as earlier versions wrote it.
const TYPE: &str = "application/octet-stream";

/// The attributes that identify an entry.
fn attributes(id: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", SERVICE), ("username", id)])
}

/// The only entry with this name, unlocked.
fn entry<'s>(session: &'s SecretService<'_>, id: &str) -> Result<Option<Item<'s>>, KeyringError> {
    let failed = |error| reason(&error);
    let found = session.search_items(attributes(id)).map_err(failed)?;
    if !found.locked.is_empty() {
        let locked: Vec<_> = found.locked.iter().collect();
        session.unlock_all(&locked).map_err(failed)?;
    }
    let mut items = found.unlocked.into_iter().chain(found.locked);
    match (items.next(), items.next()) {
        (Some(_), Some(_)) => Err(KeyringError::Other(
            "it has several such entries".to_owned(),
        )),
        (item, _) => Ok(item),
    }
}

fn answer<T>(message: zbus::Result<zbus::Message>) -> Result<T, KeyringError>
where
    T: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
{
    message
        .map_err(|error| failed(&error))?
        .body()
        .deserialize()
        .map_err(|_| unexpected())
}

fn unexpected() -> KeyringError {
    KeyringError::Other("the Secret Service sent an invalid response".to_owned())
}

/// Why there is no connection. Without an address or a socket, there is no bus; an existing bus
/// that doesn't respond is an error.
fn no_bus(error: &zbus::Error) -> KeyringError {
    if let zbus::Error::Address(_) = error {
        return KeyringError::NoService;
    }
    if let zbus::Error::InputOutput(cause) | zbus::Error::Connection(cause, _) = error
        && cause.kind() == std::io::ErrorKind::NotFound
    {
        return KeyringError::NoService;
    }
    KeyringError::Other(format!("the session bus: {error}"))
}

fn reason(error: &secret_service::Error) -> KeyringError {
    use secret_service::Error;

    match error {
        // The dialog was dismissed, or the collection stayed locked.
        Error::Locked | Error::Prompt | Error::NoResult => KeyringError::Locked,
        Error::Unavailable => KeyringError::NoService,
        Error::Zbus(error) => failed(error),
        error @ (Error::Crypto(_)
        | Error::ZbusFdo(_)
        | Error::Zvariant(_)
        | Error::PromptDisconnected
        | _) => KeyringError::Other(format!("the Secret Service: {error}")),
    }
}

fn failed(error: &zbus::Error) -> KeyringError {
    let zbus::Error::MethodError(name, _, _) = error else {
        return KeyringError::Other(format!("the session bus: {error}"));
    };
    match name.as_str() {
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => KeyringError::NoService,
        "org.freedesktop.Secret.Error.IsLocked" => KeyringError::Locked,
        other => KeyringError::Other(format!("the Secret Service: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_a_missing_bus_means_that_there_is_no_service() {
        let io = |kind| zbus::Error::InputOutput(Arc::new(Error::from(kind)));
        for (error, none) in [
            (zbus::Error::Address("disabled:".to_owned()), true),
            (io(ErrorKind::NotFound), true),
            (io(ErrorKind::ConnectionRefused), false),
            (io(ErrorKind::PermissionDenied), false),
            (zbus::Error::Handshake("no".to_owned()), false),
        ] {
            assert_eq!(no_bus(&error) == KeyringError::NoService, none, "{error}");
        }
    }
}
