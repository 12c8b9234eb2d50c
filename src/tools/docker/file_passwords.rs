//! The passwords in docker's own file, which docker no longer uses once it has a store: what they are,
//! and their import.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::arguments::HELPER;
use super::files::{ClientFile, bare, logged_in};
use super::former_store::{Entry, has_provider, keep, server};
use crate::error::Error;
use crate::exchange::token_server::IDENTITY_TOKEN;
use crate::provider::Config;
use crate::secret::Secret;
use crate::serving::prepared::Prepared;
use crate::shell::quoted;

/// The passwords in docker's file of registries without a provider.
pub(super) struct FilePasswords {
    file: String,
    entries: Vec<(String, Option<Entry>)>,
}

impl FilePasswords {
    /// The passwords that docker uses until hallpass becomes its store, or has used until then.
    pub(super) fn of(file: &ClientFile, config: &Config) -> Result<Self, Error> {
        let mut entries = Vec::new();
        for key in logged_in(file, true, &[]) {
            let Some(server) = server(asked_key(&key)) else {
                continue;
            };
            if server.is_own_token() || has_provider(config, &server)? {
                continue;
            }
            // docker asks another helper for this registry, or with an empty name uses the file.
            let helper = file.text_at(&["credHelpers", asked_key(&key)]);
            if helper.is_some_and(|helper| helper != HELPER) {
                continue;
            }
            let entry = entry(file, &key);
            entries.push((key, entry));
        }
        Ok(Self {
            file: file.shown.clone(),
            entries,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        self.entries.iter().map(|(key, _)| &**key).collect()
    }

    /// The keys of the passwords that can be copied.
    pub(super) fn readable_keys(&self) -> Vec<&str> {
        let readable = self.entries.iter().filter(|(_, entry)| entry.is_some());
        readable.map(|(key, _)| &**key).collect()
    }

    /// Copies the passwords into hallpass's store, except where it already has a newer one.
    pub(super) fn import(self, prepared: &Prepared<'_>, config: &Config) -> Result<(), Error> {
        for (key, entry) in self.entries {
            let is_copied = keep(prepared, config, asked_key(&key), || entry)?;
            if !is_copied {
                prepared.terminal.warn(&format!(
                    "the password for {key} in {} cannot be copied: run `docker login {}` again",
                    self.file,
                    quoted(&key)
                ));
            }
        }
        Ok(())
    }
}

/// The name that docker asks a helper for. Old versions of docker wrote the address of the API.
fn asked_key(key: &str) -> &str {
    let is_hub = server(key).is_some_and(|server| server.is_hub());
    let is_old = key.contains("://") && !is_hub;
    match bare(key).split_once('/') {
        Some((host, "" | "v1" | "v1/" | "v2" | "v2/")) if is_old => host,
        None if is_old => bare(key),
        _ => key,
    }
}

/// The credential of an entry, as docker reads it. `None` if it is incomplete.
fn entry(file: &ClientFile, key: &str) -> Option<Entry> {
    let member = |name| {
        let text = file.text_at(&["auths", key, name]);
        text.filter(|text| !text.is_empty())
    };
    if let Some(token) = member("identitytoken") {
        return Some(Entry {
            username: IDENTITY_TOKEN.to_owned(),
            secret: token.into(),
        });
    }
    let Some(auth) = member("auth") else {
        return Some(Entry {
            username: member("username")?.to_owned(),
            secret: member("password")?.into(),
        });
    };
    let decoded = Secret::new(STANDARD.decode(auth).ok()?);
    let (username, password) = std::str::from_utf8(decoded.expose())
        .ok()?
        .split_once(':')?;
    // docker once padded passwords with zeros.
    let password = password.trim_matches('\0');
    (!username.is_empty() && !password.is_empty()).then(|| Entry {
        username: username.to_owned(),
        secret: password.into(),
    })
}
