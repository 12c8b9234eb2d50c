//! A provider's metadata and keys, cached for as long as allowed.
//!
//! The cache is encrypted and each document is bound to its issuer: the endpoints in it decide which
//! server receives a refresh token.

use std::time::Duration as StdDuration;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use url::Url;

use super::error::Error;
use crate::http::{Http, HttpError, Response};
use crate::oauth::discovery::{self, DiscoveryError, Metadata, UnusableEndpoint};
use crate::oauth::id_token::{self, Checked, Checks, Jwks};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::{RecordName, Store};
use crate::terminal::Terminal;

/// Bounds on the lifetime that a server gives its documents. Without the lower one, a server with
/// useless caching headers would be asked each time.
const LONGEST: StdDuration = StdDuration::from_secs(24 * 3600);
const SHORTEST: StdDuration = StdDuration::from_secs(300);

/// A signature that doesn't verify makes hallpass fetch the keys again, but not more often than
/// this.
const BETWEEN_KEY_FETCHES: Duration = Duration::seconds(5);

/// A provider's documents, with a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Documents<'a> {
    pub(super) provider: &'a Provider,
    pub(super) http: &'a Http,
    pub(super) store: &'a Store,
    pub(super) now: OffsetDateTime,
    /// Fetches each document again, because the cached one may be outdated.
    pub(super) is_live: bool,
}

/// A document, and how long it may be used.
#[derive(Debug, Serialize, Deserialize)]
struct Cached<T> {
    document: T,
    #[serde(with = "time::serde::timestamp")]
    fetched_at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    good_until: OffsetDateTime,
}

impl<T> Cached<T> {
    fn is_good(&self, now: OffsetDateTime) -> bool {
        now >= self.fetched_at && now < self.good_until
    }
}

impl Documents<'_> {
    /// The endpoints: the configured ones, completed with those from the issuer's metadata.
    pub(super) fn metadata(&self) -> Result<Metadata, Error> {
        let provider = self.provider;
        let by_hand = Metadata {
            issuer: provider.issuer.clone().unwrap_or_default(),
            authorization_endpoint: provider.authorization_endpoint.clone(),
            token_endpoint: provider.token_endpoint.clone(),
            device_authorization_endpoint: provider.device_authorization_endpoint.clone(),
            revocation_endpoint: provider.revocation_endpoint.clone(),
            userinfo_endpoint: provider.userinfo_endpoint.clone(),
            jwks_uri: provider.jwks_uri.clone(),
            ..Metadata::default()
        };
        let Some(issuer) = &provider.issuer else {
            return Ok(by_hand);
        };
        let is_complete = by_hand.authorization_endpoint.is_some()
            && by_hand.token_endpoint.is_some()
            && (by_hand.jwks_uri.is_some() || !provider.is_openid())
            // The pushed authorization request endpoint can't be configured.
            && !provider.par;
        if is_complete {
            return Ok(by_hand);
        }
        Ok(by_hand.merge(self.discovered(issuer)?))
    }

    fn discovered(&self, issuer: &str) -> Result<Metadata, Error> {
        let name = RecordName::metadata(issuer, "metadata");
        let cached: Option<Cached<Metadata>> = self.store.read_cached(&name);
        if let Some(cached) = cached
            && !self.is_live
            && cached.is_good(self.now)
        {
            return Ok(cached.document);
        }
        let (metadata, lifetime) = self.fetch_metadata(issuer)?;
        self.cache(&name, &metadata, lifetime);
        Ok(metadata)
    }

    /// Fetches both well-known documents (OpenID Connect Discovery §4, RFC 8414 §3), because some
    /// endpoints are only in the second.
    fn fetch_metadata(&self, issuer: &str) -> Result<(Metadata, Option<StdDuration>), Error> {
        let mut found: Option<(Metadata, Option<StdDuration>)> = None;
        let mut fault: Option<Error> = None;
        for url in discovery::well_known_urls(issuer)? {
            let result = match self.http.get(&url, None) {
                Err(HttpError::Redirect { status, to, .. }) => Err(Error::MetadataMoved {
                    url: url.to_string(),
                    status,
                    to,
                }),
                Err(error) => Err(error.into()),
                Ok(Response {
                    status: 200,
                    body,
                    max_age,
                    ..
                }) => discovery::parse(issuer, body.expose())
                    .map(|metadata| (metadata, max_age))
                    .map_err(Error::from),
                Ok(Response { status, .. }) => Err(Error::NoMetadata {
                    url: url.to_string(),
                    status,
                }),
            };
            match (result, found.take()) {
                (Ok((metadata, _)), Some((first, lifetime))) => {
                    found = Some((first.merge(metadata), lifetime));
                }
                // A failure of the second document doesn't invalidate the first.
                (Ok(first), None) | (Err(_), Some(first)) => found = Some(first),
                (Err(other), None) => {
                    // An unreachable server is not asked twice.
                    if let Error::Http(_) = other {
                        return Err(other);
                    }
                    let tells_more = |known: &Error| how_telling(&other) > how_telling(known);
                    if fault.as_ref().is_none_or(tells_more) {
                        fault = Some(other);
                    }
                }
            }
            let is_whole = found.as_ref().is_some_and(|(metadata, _)| {
                metadata.revocation_endpoint.is_some()
                    && metadata.device_authorization_endpoint.is_some()
            });
            if is_whole {
                break;
            }
        }
        match (found, fault) {
            (Some(found), _) => Ok(found),
            (None, Some(fault)) => Err(fault),
            (None, None) => Err(Error::NoMetadata {
                url: issuer.to_owned(),
                status: 0,
            }),
        }
    }

    /// Tells a user who signs in which endpoints in the metadata are unusable.
    pub(super) fn note_unusable(&self, metadata: &Metadata, terminal: Terminal) {
        for UnusableEndpoint { member, found } in &metadata.unusable {
            terminal.say(&format!(
                "note: the metadata of {} has an unusable {member} ({found}), which is ignored",
                self.provider.name
            ));
        }
    }

    /// Verifies an ID token. If its signature doesn't verify, the keys are fetched again, once: the
    /// provider may have replaced them, even under the same ID.
    pub(super) fn verified(
        &self,
        metadata: &Metadata,
        token: &Secret<String>,
        checks: &Checks<'_>,
    ) -> Result<Checked, Error> {
        match id_token::verify(token, &self.keys(metadata, false)?, checks) {
            Err(fault) if fault.is_about_keys() && !self.is_live => Ok(id_token::verify(
                token,
                &self.keys(metadata, true)?,
                checks,
            )?),
            other => Ok(other?),
        }
    }

    /// The provider's keys. With `not_verified`, a signature didn't verify with the cached ones.
    pub(super) fn keys(&self, metadata: &Metadata, not_verified: bool) -> Result<Jwks, Error> {
        let url = metadata
            .jwks_uri
            .as_ref()
            .ok_or(Error::NoEndpoint("jwks_uri"))?;
        let name = RecordName::metadata(&metadata.issuer, &format!("keys {url}"));
        let cached: Option<Cached<Jwks>> = self.store.read_cached(&name);
        if let Some(cached) = cached {
            let is_recent =
                self.now >= cached.fetched_at && self.now < cached.fetched_at + BETWEEN_KEY_FETCHES;
            if !self.is_live && cached.is_good(self.now) && (!not_verified || is_recent) {
                return Ok(cached.document);
            }
        }
        let Response {
            status,
            body,
            max_age,
            ..
        } = self.http.get(url, None)?;
        if status != 200 {
            return Err(Error::NoMetadata {
                url: url.to_string(),
                status,
            });
        }
        let keys = Jwks::parse(body.expose())?;
        self.cache(&name, &keys, max_age);
        Ok(keys)
    }

    /// Caches a document for its lifetime. A document that can't be cached is fetched again, which
    /// is not an error.
    fn cache<T: Serialize>(&self, name: &RecordName, document: &T, lifetime: Option<StdDuration>) {
        let lifetime = lifetime.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        let cached = Cached {
            document,
            fetched_at: self.now,
            good_until: self.now + lifetime,
        };
        self.store.write_cached(name, &cached);
    }
}

/// How much the error of one well-known document tells. A missing document tells least, because
/// most providers have only one of them.
fn how_telling(fault: &Error) -> u8 {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these come from a look at a document"
    )]
    match fault {
        Error::Discovery(DiscoveryError::OtherIssuer { .. }) => 6,
        Error::Discovery(DiscoveryError::UnacceptableUrl { .. }) => 5,
        Error::MetadataMoved { .. } => 4,
        Error::NoMetadata {
            status: 429 | 500..=599,
            ..
        } => 3,
        Error::Discovery(_) => 2,
        Error::NoMetadata { status: 404, .. } => 0,
        _ => 1,
    }
}

pub(super) fn endpoint<'u>(url: Option<&'u Url>, name: &'static str) -> Result<&'u Url, Error> {
    url.ok_or(Error::NoEndpoint(name))
}
