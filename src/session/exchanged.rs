//! A registry's own credential, obtained with a session's token: cached, or exchanged again.
//!
//! It has its own encrypted record, named after the session and the registry, and is removed with
//! the session. It never needs the user: a sign-in happens earlier, to get the session's token.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::credential::TokenKind;
use crate::exchange::{self, ExchangeError, Exchanged};
use crate::provider::RegistryExchange;
use crate::secret::Secret;
use crate::store::{LockKind, RecordName, Store, StoreError, Versioned};

use super::account::Account;
use super::context::{Context, RESERVED};
use super::error::Error;
use super::record::{Person, Session, exposed, is_fresh};

/// The credential that a registry issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// The record name of the session that it was obtained with.
    session: String,
    /// The person who was signed in at the time.
    #[serde(default)]
    person: Option<Person>,
    pub username: String,
    #[serde(serialize_with = "exposed")]
    pub secret: Secret<String>,
    #[serde(with = "time::serde::timestamp")]
    obtained_at: OffsetDateTime,
    /// `None` if it lasts as long as the session.
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
}

impl RegistryCredential {
    fn is_fresh(&self, fresh_for: Duration, now: OffsetDateTime) -> bool {
        is_fresh(self.obtained_at, self.expires_at, fresh_for, now)
    }

    /// Whether the same person is still signed in.
    fn is_of(&self, session: &Session) -> bool {
        match (&self.person, &session.person) {
            (Some(then), Some(now)) => then.is_same(now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Which of a session's tokens is sent to the registry.
pub fn token_for(exchange: RegistryExchange) -> TokenKind {
    match exchange {
        RegistryExchange::Acr | RegistryExchange::IdentityToken => TokenKind::Access,
        RegistryExchange::Harbor => TokenKind::Id,
    }
}

impl Account<'_> {
    /// The cached credential, if it remains valid for long enough. Without its session, it is
    /// ignored.
    pub fn kept_exchanged(
        &self,
        exchange: RegistryExchange,
        registry: &Url,
        fresh_for: Duration,
    ) -> Result<Option<RegistryCredential>, Error> {
        let stored = self.read_exchanged(&self.exchanged_name(exchange, registry))?;
        let (Some(stored), Some(session)) = (stored, self.served_session()?) else {
            return Ok(None);
        };
        let now = self.context.now();
        Ok(Some(stored.value)
            .filter(|stored| stored.is_of(&session.value) && stored.is_fresh(fresh_for, now)))
    }

    /// Exchanges a token of this session at the registry, once for all waiting processes. `username`
    /// is the one that the registry expects with the token.
    pub fn exchanged(
        &self,
        exchange: RegistryExchange,
        registry: &Url,
        username: &str,
        fresh_for: Duration,
        session: &Versioned<Session>,
    ) -> Result<RegistryCredential, Error> {
        let name = self.exchanged_name(exchange, registry);
        let store = self.context.store;
        let lock = store.lock(&name, LockKind::Record, self.context.record_deadline())?;
        let old = self.read_exchanged(&name)?;
        let generation = old.as_ref().map_or(1, |old| old.generation + 1);
        let old = old.filter(|old| old.value.is_of(&session.value));
        let now = self.context.now();
        if let Some(old) = &old
            && old.value.is_fresh(fresh_for, now)
        {
            return Ok(old.value.clone());
        }
        let exchanged = match self.exchange(exchange, registry, username, &session.value) {
            Ok(exchanged) => exchanged,
            // The error says nothing about the old credential.
            Err(error) if !matches!(error, ExchangeError::Refused { .. }) => {
                let valid = old.filter(|old| old.value.is_fresh(Duration::ZERO, now));
                return valid.map(|old| old.value).ok_or(Error::Exchange(error));
            }
            Err(error) => return Err(error.into()),
        };
        let Exchanged {
            username,
            secret,
            expires_at,
        } = exchanged;
        let credential = RegistryCredential {
            session: self.record().as_str().to_owned(),
            person: session.value.person.clone(),
            username,
            secret,
            obtained_at: now,
            expires_at: expires_at.or(session.value.tokens.expires_at(token_for(exchange))),
        };
        let room = RESERVED.max(6 * credential.secret.expose().len());
        let committed = store
            .reserve(&name, room)
            .and_then(|reservation| reservation.commit(&credential, generation));
        if let Err(error) = committed {
            self.context.terminal.warn(&format!(
                "the registry's credential is valid, but could not be stored: {error}"
            ));
        }
        // The credential must not outlive a session that was signed out in the meantime. This is
        // checked last, because signing out removes the session before its credentials.
        if self.served_session()?.is_none() {
            store.remove(&name, &lock)?;
            return Err(Error::SignedOutMeanwhile {
                login: self.login.this.clone(),
            });
        }
        drop(lock);
        Ok(credential)
    }

    /// Removes the registry's credential, so the next request exchanges again.
    pub fn forget_exchanged(
        &self,
        exchange: RegistryExchange,
        registry: &Url,
    ) -> Result<(), Error> {
        let name = self.exchanged_name(exchange, registry);
        let store = self.context.store;
        if self.read_exchanged(&name)?.is_some() {
            let lock = store.lock(&name, LockKind::Record, self.context.record_deadline())?;
            store.remove(&name, &lock)?;
        }
        Ok(())
    }

    /// Whether a credential belongs to this session and this registry.
    pub fn has_exchanged(
        &self,
        exchange: RegistryExchange,
        registry: &Url,
        secret: &Secret<String>,
    ) -> Result<bool, Error> {
        let stored = self.read_exchanged(&self.exchanged_name(exchange, registry))?;
        Ok(stored.is_some_and(|stored| stored.value.secret == *secret))
    }

    fn exchange(
        &self,
        exchange: RegistryExchange,
        registry: &Url,
        username: &str,
        session: &Session,
    ) -> Result<Exchanged, ExchangeError> {
        let tokens = &session.tokens;
        match exchange {
            RegistryExchange::Acr => exchange::acr::exchange(
                &self.http,
                registry,
                self.provider.tenant.as_deref(),
                &tokens.access_token,
            ),
            RegistryExchange::Harbor => {
                // The plan guarantees that it exists.
                let token = tokens.id_token.as_ref().unwrap_or(&tokens.access_token);
                exchange::harbor::exchange(&self.http, registry, token)
            }
            RegistryExchange::IdentityToken => exchange::identity_token::exchange(
                &self.http,
                registry,
                username,
                &tokens.access_token,
            ),
        }
    }

    fn exchanged_name(&self, exchange: RegistryExchange, registry: &Url) -> RecordName {
        let registry = registry.origin().ascii_serialization();
        RecordName::exchanged(self.name.as_str(), exchange.as_str(), &registry)
    }

    fn read_exchanged(
        &self,
        name: &RecordName,
    ) -> Result<Option<Versioned<RegistryCredential>>, StoreError> {
        match self.context.store.read(name) {
            // It only costs another exchange, so this is not an error.
            Err(error) if error.is_about(name) => {
                let deadline = self.context.record_deadline();
                let lock = self.context.store.lock(name, LockKind::Record, deadline)?;
                self.context.store.discard(name, &lock)?;
                Ok(None)
            }
            read => read,
        }
    }
}

/// Removes the credentials of a session that is signed out. Those that can't be decrypted stay,
/// because they are unusable anyway.
pub fn forget(context: &Context<'_>, session: &RecordName) -> Result<(), StoreError> {
    let store: &Store = context.store;
    for listed in store.exchanged()? {
        let Ok(Some(stored)) = store.read::<RegistryCredential>(&listed.name) else {
            continue;
        };
        if stored.value.session == session.as_str() {
            let deadline = context.record_deadline();
            let lock = store.lock(&listed.name, LockKind::Record, deadline)?;
            store.remove(&listed.name, &lock)?;
        }
    }
    Ok(())
}
