//! Finds out who signed in: from a fully verified ID token, or by asking the provider.

use time::OffsetDateTime;

use super::account::Account;
use super::error::Error;
use super::record::{Person, Session, UnusedIdToken};
use crate::http::Response;
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::{self, Checked, Checks, Claims, Jwks, Nonce};
use crate::oauth::token::{TokenError, TokenResponse};
use crate::secret::Secret;

impl Account<'_> {
    /// Checks a saved ID token again, with the keys that the provider publishes now. Only the nonce
    /// is unknown by now.
    pub fn check_with_live_keys(&self, session: &Session) -> Result<(), Error> {
        let (Some(token), Some(issuer)) = (&session.tokens.id_token, &self.provider.issuer) else {
            return Ok(());
        };
        let documents = self.live_documents();
        let checks = Checks {
            issuer,
            client_id: &self.identity.client_id,
            trusted_audiences: &self.provider.trusted_audiences,
            nonce: Nonce::Unchecked,
            access_token: None,
            now: session
                .tokens
                .id_token_obtained_at
                .unwrap_or_else(|| self.context.now()),
        };
        documents.verified(&documents.metadata()?, token, &checks)?;
        Ok(())
    }

    pub(super) fn other_person(&self, pinned: &Person, person: &Person) -> Error {
        Error::OtherPerson {
            account: self.identity.account.clone(),
            pinned: pinned.shown().to_owned(),
            person: person.shown().to_owned(),
            login: Box::new(self.login.clone()),
        }
    }

    /// Asks the provider who signed in, if there is no ID token. `None` if it doesn't tell.
    pub(super) fn asked_who(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
    ) -> Result<Option<Person>, Error> {
        let rule = self.provider.identity.as_ref();
        let url = rule
            .map(|rule| &rule.url)
            .or(metadata.userinfo_endpoint.as_ref());
        let Some(url) = url else {
            return Ok(None);
        };
        let (id, name) = match rule {
            Some(rule) => (rule.subject.as_str(), rule.name.as_deref()),
            None => ("sub", Some("preferred_username")),
        };
        let Response { status, body, .. } = self.http.get(url, Some(&tokens.access_token))?;
        if matches!(status, 429 | 500..) {
            return Err(Error::Token(TokenError::Http { status }));
        }
        if status != 200 {
            return Ok(None);
        }
        let body: serde_json::Value = serde_json::from_slice(body.expose()).unwrap_or_default();
        let text = |member: &str| match body.get(member) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Ok(text(id).map(|subject| Person {
            issuer: self.provider.issuer.clone(),
            subject,
            name: name.and_then(text),
            email: text("email"),
        }))
    }

    /// Verifies the ID token, if there is one (OpenID Connect Core §3.1.3.7).
    pub(super) fn checked_id_token(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
        nonce: Nonce<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Checked>, Error> {
        let Some((token, checks)) = self.id_token_checks(tokens, nonce, now) else {
            return Ok(None);
        };
        self.documents()
            .verified(metadata, token, &checks)
            .map(Some)
    }

    /// The same with these keys, without a request to the provider. `None` if a request is needed.
    pub(super) fn id_token_checked_with(
        &self,
        keys: Option<&Jwks>,
        tokens: &TokenResponse,
        nonce: Nonce<'_>,
        now: OffsetDateTime,
    ) -> Option<Result<Option<Checked>, Error>> {
        let Some((token, checks)) = self.id_token_checks(tokens, nonce, now) else {
            return Some(Ok(None));
        };
        match id_token::verify(token, keys?, &checks) {
            Err(fault) if fault.is_about_keys() => None,
            other => Some(other.map(Some).map_err(Error::from)),
        }
    }

    fn id_token_checks<'c>(
        &'c self,
        tokens: &'c TokenResponse,
        nonce: Nonce<'c>,
        now: OffsetDateTime,
    ) -> Option<(&'c Secret<String>, Checks<'c>)> {
        let token = tokens.id_token.as_ref()?;
        let checks = Checks {
            issuer: self.provider.issuer.as_ref()?,
            client_id: &self.identity.client_id,
            trusted_audiences: &self.provider.trusted_audiences,
            nonce,
            access_token: Some(&tokens.access_token),
            now,
        };
        Some((token, checks))
    }

    /// The times of an ID token that must not be used because of its times.
    pub(super) fn unused_id_token(&self, checked: Option<&Checked>) -> Option<UnusedIdToken> {
        let checked = checked.filter(|checked| checked.untimely.is_some())?;
        let now = self.context.now();
        Some(UnusedIdToken {
            validity: checked.claims.validity,
            provider_ahead: self
                .http
                .last_date()
                .map(|date| (date - now).whole_seconds()),
        })
    }
}

pub(super) fn person_of(claims: &Claims) -> Person {
    Person {
        issuer: Some(claims.issuer.clone()),
        subject: claims.subject.clone(),
        name: claims
            .preferred_username
            .clone()
            .or(claims.email.clone())
            .or(claims.name.clone()),
        email: claims.email.clone(),
    }
}
