//! Asks the Secret Service what it would do, before the `keyring` crate makes it do it.
//!
//! <https://specifications.freedesktop.org/secret-service-spec/latest/>
//!
//! `keyring` opens an unlock dialog by itself and takes a locked database for an empty one. Here
//! both are told apart first, by calls that need no session, show nothing and carry no secret.

use std::collections::HashMap;

use zbus::blocking::Connection;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};

use super::{KeyId, KeyringError, SERVICE};

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const INTERFACE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const BUS: &str = "org.freedesktop.DBus";

pub(super) struct Service {
    bus: Connection,
}

/// Connects to the session bus and makes sure that somebody there is, or can be started as, the
/// Secret Service.
pub(super) fn connect() -> Result<Service, KeyringError> {
    let service = Service {
        bus: Connection::session().map_err(|error| no_bus(&error))?,
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
    /// Whether the collection that new entries go to is locked.
    pub(super) fn is_locked(&self) -> Result<bool, KeyringError> {
        Ok(self.default_collection()?.is_none_or(|open| !open))
    }

    /// Whether the entry can be had: it is there, and open, or somebody can be asked to open it.
    pub(super) fn may_be_read(&self, id: KeyId, attended: bool) -> Result<(), KeyringError> {
        let id = id.to_string();
        let attributes = HashMap::from([("service", SERVICE), ("username", id.as_str())]);
        // Collection by collection: to be asked for all at once makes KeePassXC open a dialog for
        // those that are locked. They may hide their entries, so this is no absence.
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

    /// Whether a new entry can be made without a dialog, or somebody can be asked.
    pub(super) fn may_be_written(&self, attended: bool) -> Result<(), KeyringError> {
        if attended || !self.is_locked()? {
            return Ok(());
        }
        Err(KeyringError::Locked)
    }

    /// Whether the default collection is open; `None` where none was ever made, which takes a
    /// dialog too.
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
    KeyringError::Other("the Secret Service gave an answer that it must not give".to_owned())
}

/// Why there is no connection. No address and no socket mean that there is no bus; a bus that is
/// there and does not talk to us is an error.
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
    fn only_a_bus_that_is_not_there_is_no_service() {
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
