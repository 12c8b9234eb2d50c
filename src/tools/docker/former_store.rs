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
struct Entry {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: Secret<String>,
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

    /// Copies what the store has into hallpass's. Registries with a provider need no password, and a
    /// password that hallpass already has is newer.
    pub(super) fn import(&self, prepared: &Prepared<'_>, config: &Config) -> Result<(), Error> {
        for key in &self.keys {
            let Some(server) = server(key) else {
                continue;
            };
            let stored = StoredCredentials::new(&prepared.store, NAME, &server.realm);
            if has_provider(config, &server)? || stored.has_password_at(&server.path)? {
                continue;
            }
            let text = output(&self.name, "get", key.as_bytes());
            let entry = text.and_then(|text| serde_json::from_slice(text.expose()).ok());
            let Some(Entry { username, secret }) = entry else {
                prepared.terminal.warn(&format!(
                    "the store {} did not return the password for {key}: run `docker login {}` \
                     again",
                    self.name,
                    quoted(key)
                ));
                continue;
            };
            let credential = StoredCredential {
                path: Some(server.path),
                username: Some(username),
                password: Some(secret),
                stored_as: Some(key.clone()),
                ..StoredCredential::default()
            };
            if stored.keep(credential)? == StoreOutcome::NowhereToStore {
                return Err(StoreError::NotSaved.into());
            }
        }
        Ok(())
    }
}

fn server(key: &str) -> Option<Server> {
    Server::of(&resource(key).ok()?).ok()
}

fn has_provider(config: &Config, server: &Server) -> Result<bool, Error> {
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
