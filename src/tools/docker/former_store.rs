//! The credential store that `setup docker --default` replaces: what it has, and its import.
//!
//! docker uses one store for all registries, so passwords in the former one are no longer found.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::arguments::{HELPER, NAME};
use super::files::ClientFile;
use super::protocol::resource;
use super::server::Server;
use crate::child;
use crate::credential::StoredCredential;
use crate::error::Error;
use crate::provider::Config;
use crate::secret::Secret;
use crate::serving::stored_credentials::{StoreOutcome, StoredCredentials};
use crate::store::{Store, StoreError};

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
    /// Lists the store that docker's file names; `None` if it names none or hallpass.
    ///
    /// # Errors
    ///
    /// A warning, if the store can't be listed.
    pub(super) fn of(docker: &ClientFile) -> Result<Option<Self>, String> {
        let Some(name) = docker
            .text_at(&["credsStore"])
            .filter(|name| *name != HELPER)
        else {
            return Ok(None);
        };
        let listed = output(name, "list", b"unused");
        let listed = listed.and_then(|text| {
            serde_json::from_slice::<BTreeMap<String, String>>(text.expose()).ok()
        });
        let Some(listed) = listed else {
            return Err(format!(
                "docker no longer uses its store {name}, which cannot be listed: run `docker \
                 login HOST` again for your registries"
            ));
        };
        Ok(Some(Self {
            name: name.to_owned(),
            keys: listed.into_keys().collect(),
        }))
    }

    /// Copies what the store has into hallpass's. Registries with a provider need no password.
    pub(super) fn import(&self, config: &Config, store: &Store) -> Result<(), Error> {
        for key in &self.keys {
            let Ok(Ok(server)) = resource(key).map(|resource| Server::of(&resource)) else {
                continue;
            };
            if has_provider(config, &server)? {
                continue;
            }
            let text = output(&self.name, "get", key.as_bytes());
            let entry = text.and_then(|text| serde_json::from_slice(text.expose()).ok());
            let Some(Entry { username, secret }) = entry else {
                return Err(Error::Usage(format!(
                    "the store {} did not return the password for {key}; leave out `--import` to \
                     enter it again with `docker login`",
                    self.name
                )));
            };
            let credential = StoredCredential {
                path: Some(server.path),
                username: Some(username),
                password: Some(secret),
                stored_as: Some(key.clone()),
                ..StoredCredential::default()
            };
            let kept = StoredCredentials::new(store, NAME, &server.realm).keep(credential)?;
            if kept == StoreOutcome::NowhereToStore {
                return Err(StoreError::NotSaved.into());
            }
        }
        Ok(())
    }
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
