//! The credential store that `setup docker --default` replaces: what it has, and its import.
//!
//! docker uses one store for all registries, so passwords in the former one are no longer found.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::arguments::NAME;
use super::error::DockerError;
use super::protocol::resource;
use super::server::Server;
use crate::child;
use crate::credential::StoredCredential;
use crate::error::Error;
use crate::provider::Config;
use crate::secret::Secret;
use crate::serving::prepared::Prepared;
use crate::serving::stored_credentials::{StoreOutcome, StoredCredentials};
use crate::shell::quoted;
use crate::store::StoreError;

/// Long enough for the user to unlock a keychain.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct FormerStore {
    /// As in `credsStore`.
    pub(super) name: String,
    /// The keys of what it has, sorted.
    pub(super) keys: Vec<String>,
}

/// What the store returns for a key.
#[derive(Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "Username")]
    pub(super) username: String,
    #[serde(rename = "Secret")]
    pub(super) secret: Secret<String>,
}

impl FormerStore {
    /// Lists the store of this name.
    ///
    /// # Errors
    ///
    /// [`DockerError::StoreNotListed`].
    pub(super) fn listed(name: &str) -> Result<Self, DockerError> {
        let listed = output(name, "list", b"unused");
        let listed = listed.and_then(|text| {
            serde_json::from_slice::<BTreeMap<String, String>>(text.expose()).ok()
        });
        let Some(listed) = listed else {
            return Err(DockerError::StoreNotListed {
                name: name.to_owned(),
            });
        };
        // `docker login` to Docker Hub also stores the tokens that it receives, under keys of their own.
        // They can't be used to log in.
        let is_login = |key: &String| server(key).is_none_or(|server| !server.is_own_token());
        Ok(Self {
            name: name.to_owned(),
            keys: listed.into_keys().filter(is_login).collect(),
        })
    }

    /// Copies what the store has into hallpass's.
    pub(super) fn import(&self, prepared: &Prepared<'_>, config: &Config) -> Result<(), Error> {
        for key in &self.keys {
            let is_copied = keep(prepared, config, key, || {
                let text = output(&self.name, "get", key.as_bytes())?;
                serde_json::from_slice(text.expose()).ok()
            })?;
            if !is_copied {
                prepared.terminal.warn(&format!(
                    "the store {} did not return the password for {key}: run `docker login {}` \
                     again",
                    self.name,
                    quoted(key)
                ));
            }
        }
        Ok(())
    }
}

/// Stores the password of a registry. Registries with a provider need no password, and a password
/// that hallpass already has is newer. Returns `false` if `entry` has none.
pub(super) fn keep(
    prepared: &Prepared<'_>,
    config: &Config,
    key: &str,
    entry: impl FnOnce() -> Option<Entry>,
) -> Result<bool, Error> {
    let Some(server) = server(key) else {
        return Ok(true);
    };
    let stored = StoredCredentials::new(&prepared.store, NAME, &server.realm);
    if has_provider(config, &server)? || stored.has_password_at(&server.path)? {
        return Ok(true);
    }
    let Some(Entry { username, secret }) = entry() else {
        return Ok(false);
    };
    let credential = StoredCredential {
        path: Some(server.path),
        username: Some(username),
        password: Some(secret),
        stored_as: Some(key.to_owned()),
        ..StoredCredential::default()
    };
    if stored.keep(credential)? == StoreOutcome::NowhereToStore {
        return Err(StoreError::NotSaved.into());
    }
    Ok(true)
}

pub(super) fn server(key: &str) -> Option<Server> {
    Server::of(&resource(key).ok()?).ok()
}

pub(super) fn has_provider(config: &Config, server: &Server) -> Result<bool, Error> {
    for url in &server.urls {
        if config.resource(url, NAME)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a helper prints, if it succeeds. It is found on `PATH`, as docker finds it.
fn output(name: &str, operation: &str, input: &[u8]) -> Option<Secret<Vec<u8>>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(is_plain) {
        return None;
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    let output = child::output_for(command.arg(operation), input, LIMIT).ok()?;
    let text = Secret::new(output.stdout);
    output.status.success().then_some(text)
}
