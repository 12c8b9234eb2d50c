//! The ID token, checked in full (OpenID Connect Core §3.1.3.7, RFC 7519).
//!
//! It may have come over TLS from the token endpoint, and is checked all the same: it is handed
//! to tools, and it says whose session this is. `none` and HMAC are no algorithms here.
//!
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>

mod certificate;
mod error;
mod jwks;
mod jws;

pub use error::IdTokenError;
pub use jwks::Jwks;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use self::jws::{Algorithm, Jws};
use super::{is_same_secret, json_object, sanitize};
use crate::secret::Secret;

/// How long after its `exp` a token is still accepted: clocks differ a little.
const EXPIRY_TOLERANCE: Duration = Duration::seconds(60);

/// How far in the future `iat` and `nbf` may be. They guard against nothing that a slow clock would
/// make worse, so more is tolerated than for `exp`.
const START_TOLERANCE: Duration = Duration::minutes(5);

/// The longest `sub`, in bytes (Core §2).
const LONGEST_SUBJECT: usize = 255;

/// What the token is held against.
#[derive(Debug)]
pub struct Checks<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// Other clients for which the token may be, too, without naming us as the one that asked.
    pub trusted_audiences: &'a [String],
    pub nonce: Nonce<'a>,
    /// The access token of the same response, for `at_hash`.
    pub access_token: Option<&'a Secret<String>>,
    pub now: OffsetDateTime,
}

/// What the token's `nonce` is held against.
#[derive(Debug, Clone, Copy)]
pub enum Nonce<'a> {
    /// Nothing is known of it.
    Unchecked,
    /// It was sent in the authorization request, so it must come back (Core §3.1.3.7).
    Sent(&'a Secret<String>),
    /// It was sent in the request that the session began with: a refresh may leave it out, but
    /// must not change it (Core §12.2).
    SentAtSignIn(&'a Secret<String>),
}

/// A token that passed every check, except perhaps those of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub claims: Claims,
    /// Set where the token must not be used, only because of its times. Who it is about is true
    /// all the same.
    pub untimely: Option<Untimely>,
}

/// What is wrong with a token's times. The cause is often this machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    #[error("by this machine's clock, the ID token has already expired")]
    Expired,
    #[error("by this machine's clock, the ID token is not valid yet")]
    NotYetValid,
}

/// When a token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Validity {
    /// The later one of `iat` and `nbf`.
    #[serde(with = "time::serde::timestamp")]
    pub starts_at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    pub expires_at: OffsetDateTime,
}

impl Validity {
    pub fn check(&self, now: OffsetDateTime) -> Option<Untimely> {
        if now >= self.expires_at.saturating_add(EXPIRY_TOLERANCE) {
            Some(Untimely::Expired)
        } else if self.starts_at > now.saturating_add(START_TOLERANCE) {
            Some(Untimely::NotYetValid)
        } else {
            None
        }
    }
}

/// What a token that passed says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    /// Who it is, for good: the one claim to tell persons apart by (Core §5.7).
    pub subject: String,
    pub validity: Validity,
    /// This and the next two are for a person's eyes: sanitize, and neither verified nor unique.
    pub email: Option<String>,
    pub preferred_username: Option<String>,
    pub name: Option<String>,
}

/// Checks the signature, then each claim, and its times last: so a token that fails only because of
/// them still says whose it is.
pub fn verify(
    token: &Secret<String>,
    keys: &Jwks,
    checks: &Checks<'_>,
) -> Result<Checked, IdTokenError> {
    let jws = Jws::parse(token.expose())?;
    keys.verify(&jws)?;
    let claims: Map<String, Value> = json_object(&jws.payload).ok_or(IdTokenError::NotAJwt)?;

    let issuer = text(&claims, "iss").ok_or(IdTokenError::Missing { claim: "iss" })?;
    if issuer != checks.issuer {
        return Err(IdTokenError::WrongIssuer);
    }
    // Some servers write their numeric user id as a number.
    let subject = match claims.get("sub") {
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => text(&claims, "sub").map(str::to_owned),
    };
    let subject = subject
        .filter(|subject| !subject.is_empty() && subject.len() <= LONGEST_SUBJECT)
        .ok_or(IdTokenError::Missing { claim: "sub" })?;
    check_audience(&claims, checks)?;
    check_nonce(&claims, checks.nonce)?;
    check_access_token(&claims, jws.algorithm, checks.access_token)?;

    let expires_at = instant(&claims, "exp").ok_or(IdTokenError::Missing { claim: "exp" })?;
    let issued_at = instant(&claims, "iat").ok_or(IdTokenError::Missing { claim: "iat" })?;
    let not_before = instant(&claims, "nbf").unwrap_or(issued_at);
    let validity = Validity {
        starts_at: issued_at.max(not_before),
        expires_at,
    };

    let shown = |claim| {
        text(&claims, claim)
            .map(sanitize)
            .filter(|text| !text.is_empty())
    };
    Ok(Checked {
        untimely: validity.check(checks.now),
        claims: Claims {
            issuer: issuer.to_owned(),
            subject,
            validity,
            email: shown("email"),
            preferred_username: shown("preferred_username"),
            name: shown("name"),
        },
    })
}

/// What a JWT says, whether or not it is true: for a person who looks for what is wrong with it.
#[derive(Debug)]
pub struct Unverified {
    /// Its `alg`, printable.
    pub algorithm: String,
    claims: Map<String, Value>,
}

impl Unverified {
    /// `None` where it is no signed JWT.
    pub fn read(token: &Secret<String>) -> Option<Self> {
        let parts: Vec<&str> = token.expose().split('.').collect();
        let [header, payload, _signature] = parts[..] else {
            return None;
        };
        let object = |part: &str| -> Option<Map<String, Value>> {
            json_object(&URL_SAFE_NO_PAD.decode(part).ok()?)
        };
        Some(Self {
            algorithm: sanitize(text(&object(header)?, "alg")?),
            claims: object(payload)?,
        })
    }

    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim that is text, printable.
    pub fn text(&self, claim: &str) -> Option<String> {
        text(&self.claims, claim).map(sanitize)
    }

    /// A claim that is a text or a list of texts, each printable.
    pub fn texts(&self, claim: &str) -> Vec<String> {
        match self.claims.get(claim) {
            Some(Value::String(text)) => vec![sanitize(text)],
            Some(Value::Array(list)) => {
                let texts = list.iter().filter_map(Value::as_str);
                texts.map(sanitize).collect()
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                Vec::new()
            }
        }
    }

    /// A claim that is a point in time (RFC 7519 §2).
    pub fn instant(&self, claim: &str) -> Option<OffsetDateTime> {
        instant(&self.claims, claim)
    }
}

/// When a JWT says that it expires, signature or not: for a token that only its audience can
/// check.
pub fn unverified_expiry(token: &Secret<String>) -> Option<OffsetDateTime> {
    let payload = token.expose().split('.').nth(1)?;
    let claims: Map<String, Value> = json_object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
    instant(&claims, "exp")
}

/// Core §3.1.3.7, points 3 to 5: for us, and issued to us. It may be for others too where it was
/// issued to us by name, or where configuration trusts them.
fn check_audience(claims: &Map<String, Value>, checks: &Checks<'_>) -> Result<(), IdTokenError> {
    let audience = claims
        .get("aud")
        .ok_or(IdTokenError::Missing { claim: "aud" })?;
    let is_us = |value: &Value| value.as_str() == Some(checks.client_id);
    let audience = match audience.as_array() {
        Some(list) => list.as_slice(),
        None => std::slice::from_ref(audience),
    };
    if !audience.iter().any(is_us) {
        return Err(IdTokenError::WrongAudience);
    }
    match claims.get("azp") {
        Some(party) if !is_us(party) => return Err(IdTokenError::WrongParty),
        Some(_) => return Ok(()),
        None => (),
    }
    let is_trusted = |value: &Value| {
        let mut trusted = checks.trusted_audiences.iter();
        value
            .as_str()
            .is_some_and(|text| trusted.any(|one| one == text))
    };
    let others: Vec<String> = audience
        .iter()
        .filter(|value| !is_us(value) && !is_trusted(value))
        .map(|value| sanitize(value.as_str().unwrap_or("(not a string)")))
        .take(MOST_AUDIENCES_SHOWN)
        .collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(IdTokenError::ForeignAudience { others })
    }
}

/// How many foreign audiences a message names.
const MOST_AUDIENCES_SHOWN: usize = 5;

fn check_nonce(claims: &Map<String, Value>, expected: Nonce<'_>) -> Result<(), IdTokenError> {
    let sent = match expected {
        Nonce::Unchecked => return Ok(()),
        Nonce::SentAtSignIn(_) if !claims.contains_key("nonce") => return Ok(()),
        Nonce::Sent(sent) | Nonce::SentAtSignIn(sent) => sent,
    };
    let nonce = text(claims, "nonce").ok_or(IdTokenError::Missing { claim: "nonce" })?;
    if is_same_secret(sent.expose(), nonce) {
        Ok(())
    } else {
        Err(IdTokenError::WrongNonce)
    }
}

/// Core §3.1.3.8: the left half of the hash that belongs to the signature's algorithm.
fn check_access_token(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    access_token: Option<&Secret<String>>,
) -> Result<(), IdTokenError> {
    let (Some(claimed), Some(access_token)) = (claims.get("at_hash"), access_token) else {
        return Ok(());
    };
    let hash = algorithm.hash(access_token.expose().as_bytes());
    let (left, _) = hash.split_at(hash.len() / 2);
    if claimed.as_str() == Some(URL_SAFE_NO_PAD.encode(left).as_str()) {
        Ok(())
    } else {
        Err(IdTokenError::WrongAccessToken)
    }
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a str> {
    claims.get(claim)?.as_str()
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction; some servers write it as a text.
fn instant(claims: &Map<String, Value>, claim: &str) -> Option<OffsetDateTime> {
    let value = claims.get(claim)?;
    let seconds = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => value.as_f64(),
    }
    .filter(|seconds: &f64| seconds.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast of a float saturates, and the next line refuses what is out of range"
    )]
    let seconds = seconds as i64;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

#[cfg(test)]
mod tests;
