//! A session as it is stored: a token set, who it belongs to and what it is for.
//!
//! The serialized form goes into an encrypted record and nowhere else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::credential::TokenKind;
use crate::oauth::id_token::{Untimely, Validity};
use crate::oauth::token::ClientAuth;
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::RecordName;

use super::refusal::Refusals;

/// What identifies a session. Its digest is the record's name, which is authenticated with the
/// content.
///
/// A configured token endpoint is part of it, so that an edited endpoint never receives the refresh
/// token of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub issuer: Option<String>,
    pub token_endpoint: Option<Url>,
    pub client_id: String,
    pub account: String,
    pub scopes: Vec<String>,
    pub resources: Vec<String>,
    pub audience: Option<String>,
    pub extra_params: BTreeMap<String, String>,
}

impl Identity {
    pub fn new(provider: &Provider, client_id: &str, account: &str) -> Self {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            list
        };
        Self {
            issuer: provider.issuer.clone(),
            token_endpoint: provider.token_endpoint.clone(),
            client_id: client_id.to_owned(),
            account: account.to_owned(),
            scopes: sorted(&provider.scopes),
            resources: sorted(&provider.resources),
            audience: provider.audience.clone(),
            extra_params: provider.extra_params.clone(),
        }
    }

    pub fn record_name(&self) -> RecordName {
        // Strings, lists and maps of strings always serialize.
        RecordName::session(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether this is the same registration at the same server, with any scopes.
    pub fn is_at(&self, provider: &Provider) -> bool {
        self.issuer == provider.issuer
            && self.token_endpoint == provider.token_endpoint
            && Some(self.client_id.as_str()) == provider.client_id.as_deref()
    }
}

/// One signed-in session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub identity: Identity,
    /// The provider's name at the time of the sign-in, which `status` shows.
    pub provider: String,
    pub person: Option<Person>,
    pub tokens: TokenSet,
    /// The `nonce` of the authorization request, which a refreshed ID token must not change.
    #[serde(default, serialize_with = "exposed_if_any")]
    pub nonce: Option<Secret<String>>,
    /// The resources' refusals of this session's tokens.
    #[serde(default)]
    pub refusals: Refusals,
    /// Set if a response with a new refresh token failed this check. Nothing is served until a
    /// later response passes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified: Option<FailedCheck>,
    /// The record of the session whose refresh token got these tokens with fewer scopes, and which
    /// refreshes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed_from: Option<String>,
    /// Its refresh token was used to get tokens with fewer scopes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_narrowed: bool,
    /// How the provider treats a refresh with fewer scopes, if it doesn't narrow the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_narrowed: Option<NotNarrowed>,
    /// What `logout` needs if the provider is no longer configured.
    pub registration: Registration,
}

/// Why a session's refresh token gets no token with fewer scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotNarrowed {
    /// The token had more scopes than requested.
    Ignored,
    /// `invalid_scope`, which says nothing about the session.
    Refused,
    /// The provider narrowed the session itself: later refreshes had no more scopes either.
    ForGood,
}

impl Session {
    /// Whether its tokens are replaced without a sign-in when they expire.
    pub fn is_renewable(&self) -> bool {
        self.narrowed_from.is_some() || self.tokens.usable_refresh_token().is_some()
    }
}

/// What was wrong with a response that was stored but not served, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedCheck {
    /// It had no usable access token.
    Response,
    /// Its ID token did not prove who it belongs to. The next response has to, with an ID token or
    /// at the userinfo endpoint.
    Person,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub revocation_endpoint: Option<Url>,
    pub client_auth: ClientAuth,
    pub client_secret_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

/// Who signed in. The first sign-in of an account pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub issuer: Option<String>,
    /// `sub`, or the provider's own user id.
    pub subject: String,
    /// A name that its owner recognizes. It only chooses among the user's own accounts, and never
    /// identifies a person.
    pub name: Option<String>,
    /// Like `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Person {
    pub fn is_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }

    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.subject)
    }

    /// What the provider calls the person: names, and the subject, which is a name at some.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = [&self.name, &self.email].into_iter().flatten();
        names.chain([&self.subject]).map(String::as_str)
    }

    /// The same person with the names that a later response brought.
    #[must_use]
    pub fn with_names_of(self, later: Self) -> Self {
        Self {
            name: later.name.or(self.name),
            email: later.email.or(self.email),
            ..self
        }
    }
}

/// The tokens that the provider issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSet {
    #[serde(serialize_with = "exposed")]
    pub access_token: Secret<String>,
    pub token_type: String,
    #[serde(serialize_with = "exposed_if_any")]
    pub id_token: Option<Secret<String>>,
    #[serde(serialize_with = "exposed_if_any")]
    pub refresh_token: Option<Secret<String>>,
    /// The provider refused the refresh token permanently. It is not sent again, but stays here
    /// until a new session replaces it, so that signing out can revoke it. A token that the
    /// provider calls invalid is removed.
    #[serde(default)]
    pub refresh_refused: bool,
    #[serde(with = "time::serde::timestamp")]
    pub obtained_at: OffsetDateTime,
    /// `None` if the provider didn't say; then the token counts as valid until it is refused.
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::timestamp::option")]
    pub id_token_obtained_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::timestamp::option")]
    pub id_token_expires_at: Option<OffsetDateTime>,
    /// The ID token that came with this access token and passed every check except those of its
    /// times. The token itself is not stored, so it can't be handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_id_token: Option<UnusedIdToken>,
    pub scopes: Vec<String>,
}

/// When an ID token that was not stored would have been valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedIdToken {
    #[serde(flatten)]
    pub validity: Validity,
    /// By how many seconds the provider's clock was ahead of this machine's when the token was
    /// issued; `None` if the provider didn't send the time.
    pub provider_ahead: Option<i64>,
}

impl TokenSet {
    /// The refresh token, if it may still be sent.
    pub fn usable_refresh_token(&self) -> Option<&Secret<String>> {
        self.refresh_token
            .as_ref()
            .filter(|_| !self.refresh_refused)
    }

    pub fn token(&self, kind: TokenKind) -> Option<&Secret<String>> {
        match kind {
            TokenKind::Access => Some(&self.access_token),
            TokenKind::Id => self.id_token.as_ref(),
        }
    }

    pub fn expires_at(&self, kind: TokenKind) -> Option<OffsetDateTime> {
        match kind {
            TokenKind::Access => self.expires_at,
            TokenKind::Id => self.id_token_expires_at,
        }
    }

    fn obtained_at(&self, kind: TokenKind) -> OffsetDateTime {
        match kind {
            TokenKind::Access => self.obtained_at,
            TokenKind::Id => self.id_token_obtained_at.unwrap_or(self.obtained_at),
        }
    }

    /// Whether the token exists and has not expired.
    pub fn is_valid(&self, kind: TokenKind, now: OffsetDateTime) -> bool {
        self.token(kind).is_some() && is_valid(self.obtained_at(kind), self.expires_at(kind), now)
    }

    /// Whether a later refresh brought no new token of this kind (with OpenID Connect Core §12.2,
    /// an ID token is optional).
    pub fn is_left_behind(&self, kind: TokenKind) -> bool {
        kind == TokenKind::Id
            && self
                .id_token_obtained_at
                .is_none_or(|at| at < self.obtained_at)
    }

    /// The last ID token, if its times make it unusable. This holds while the access token that
    /// came with it is fresh and this machine's clock has not been corrected.
    pub fn untimely_id_token(&self, now: OffsetDateTime) -> Option<(UnusedIdToken, Untimely)> {
        let unused = self.unused_id_token?;
        let untimely = unused.validity.check(now)?;
        self.is_fresh(TokenKind::Access, Duration::ZERO, now)
            .then_some((unused, untimely))
    }

    /// How long the token is valid from when it was issued, if that is known.
    pub fn lifetime(&self, kind: TokenKind) -> Option<Duration> {
        Some(self.expires_at(kind)? - self.obtained_at(kind))
    }

    /// Whether the token remains valid for longer than the leeway and `fresh_for`. A tool that needs
    /// it for a while (`fresh_for` isn't zero) may not be able to get another one in the middle of a
    /// long upload, so a token that can be refreshed must be valid for longer.
    pub fn is_fresh(&self, kind: TokenKind, fresh_for: Duration, now: OffsetDateTime) -> bool {
        let for_long_use = !fresh_for.is_zero() && self.usable_refresh_token().is_some();
        let is_too_old = for_long_use
            && self.lifetime(kind).is_some_and(|life| {
                let left = self.obtained_at(kind) + life - now;
                left <= LONG_USE.min(life * 9 / 10)
            });
        !is_too_old
            && self.token(kind).is_some()
            && is_fresh(
                self.obtained_at(kind),
                self.expires_at(kind),
                fresh_for,
                now,
            )
    }
}

/// Whether a token with these times remains valid for longer than the leeway and `fresh_for`, but
/// at most for half its lifetime.
pub(super) fn is_fresh(
    obtained_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    fresh_for: Duration,
    now: OffsetDateTime,
) -> bool {
    if !is_valid(obtained_at, expires_at, now) {
        return false;
    }
    let Some(expires_at) = expires_at else {
        return true;
    };
    let life = expires_at - obtained_at;
    let leeway = LEEWAY.min(life / 10).max(fresh_for.min(life / 2));
    expires_at - now > leeway
}

fn is_valid(
    obtained_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    now >= obtained_at - CLOCK_TOLERANCE && expires_at.is_none_or(|expires_at| now < expires_at)
}

/// How long a tool may use one token, for example to push an image. Of a short lifetime, nine tenths
/// must be left.
const LONG_USE: Duration = Duration::minutes(30);

/// How long before its expiry a token counts as stale, because the tool still has to send it and
/// clocks differ. For a short-lived token, a tenth of its lifetime is enough.
const LEEWAY: Duration = Duration::seconds(60);

/// A clock that is further back than this was set back, and can't tell whether a token has expired.
const CLOCK_TOLERANCE: Duration = Duration::seconds(60);

/// A record is encrypted as a whole. Secrets are serialized here and nowhere else.
pub(super) fn exposed<S: serde::Serializer>(
    secret: &Secret<String>,
    out: S,
) -> Result<S::Ok, S::Error> {
    out.serialize_str(secret.expose())
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn exposed_if_any<S: serde::Serializer>(
    secret: &Option<Secret<String>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => out.serialize_some(secret.expose()),
        None => out.serialize_none(),
    }
}
