//! Verifies ID tokens (OpenID Connect Core §3.1.3.7, RFC 7519).
//!
//! hallpass verifies a token even if it came from the token endpoint over TLS, because tools receive it
//! and it identifies the session's user. The algorithm `none` and HMAC are rejected.
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

/// How long after its `exp` a token is still accepted, because clocks differ.
const EXPIRY_TOLERANCE: Duration = Duration::seconds(60);

/// How far in the future `iat` and `nbf` may be. Accepting a token early does no harm, so this is longer
/// than the tolerance for `exp`.
const START_TOLERANCE: Duration = Duration::minutes(5);

/// The longest `sub`, in bytes (Core §2).
const LONGEST_SUBJECT: usize = 255;

/// The expected values of a token's claims.
#[derive(Debug)]
pub struct Checks<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// Clients that may also be in `aud`, even if the token has no `azp`.
    pub trusted_audiences: &'a [String],
    pub nonce: Nonce<'a>,
    /// The access token of the same response, for `at_hash`.
    pub access_token: Option<&'a Secret<String>>,
    pub now: OffsetDateTime,
}

/// The expected `nonce`.
#[derive(Debug, Clone, Copy)]
pub enum Nonce<'a> {
    /// The nonce is unknown.
    Unchecked,
    /// The authorization request had this nonce, so the token must have it too (Core §3.1.3.7).
    Sent(&'a Secret<String>),
    /// The session's first authorization request had this nonce. A token from a refresh may omit it
    /// but not change it (Core §12.2).
    SentAtSignIn(&'a Secret<String>),
}

/// The result for a token that passed all checks, possibly except those of its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub claims: Claims,
    /// Set if the token must not be used because of its times. Its subject is valid nevertheless.
    pub untimely: Option<Untimely>,
}

/// Why a token can't be used now. The cause is often this machine's clock.
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
    /// The later of `iat` and `nbf`.
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

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    /// The user's permanent ID, the only claim that distinguishes users (Core §5.7).
    pub subject: String,
    pub validity: Validity,
    /// This and the next two are for display only. They are sanitized, but neither verified nor unique.
    pub email: Option<String>,
    pub preferred_username: Option<String>,
    pub name: Option<String>,
}

/// Verifies the signature, then each claim, and the times last. So a token that fails only because of
/// its times still identifies the user.
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
    // Some servers send a numeric user ID as a number.
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

/// The content of an unverified JWT, for diagnostics.
#[derive(Debug)]
pub struct Unverified {
    /// Its `alg`, printable.
    pub algorithm: String,
    claims: Map<String, Value>,
}

impl Unverified {
    /// `None`: it isn't a signed JWT.
    pub fn parse(token: &Secret<String>) -> Option<Self> {
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

    /// A string claim, printable.
    pub fn text(&self, claim: &str) -> Option<String> {
        text(&self.claims, claim).map(sanitize)
    }

    /// A claim that is a string or a list of strings, each printable.
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

/// The `exp` of a JWT whose signature only its audience can verify.
pub fn unverified_expiry(token: &Secret<String>) -> Option<OffsetDateTime> {
    let payload = token.expose().split('.').nth(1)?;
    let claims: Map<String, Value> = json_object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
    instant(&claims, "exp")
}

/// Core §3.1.3.7, points 3 to 5: the token must be for this client and issued to it. It may be for other
/// clients too if `azp` names this one, or if the others are configured as trusted.
fn check_audience(claims: &Map<String, Value>, checks: &Checks<'_>) -> Result<(), IdTokenError> {
    let audience = claims
        .get("aud")
        .ok_or(IdTokenError::Missing { claim: "aud" })?;
    let is_own = |value: &Value| value.as_str() == Some(checks.client_id);
    let audience = match audience.as_array() {
        Some(list) => list.as_slice(),
        None => std::slice::from_ref(audience),
    };
    if !audience.iter().any(is_own) {
        return Err(IdTokenError::WrongAudience);
    }
    match claims.get("azp") {
        Some(party) if !is_own(party) => return Err(IdTokenError::WrongParty),
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
        .filter(|value| !is_own(value) && !is_trusted(value))
        .map(|value| sanitize(value.as_str().unwrap_or("(not a string)")))
        .take(MAX_AUDIENCES_SHOWN)
        .collect();
    if others.is_empty() {
        Ok(())
    } else {
        Err(IdTokenError::ForeignAudience { others })
    }
}

/// The maximum number of foreign audiences in a message.
const MAX_AUDIENCES_SHOWN: usize = 5;

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

/// Core §3.1.3.8: `at_hash` is the left half of the access token's hash.
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

/// A `NumericDate` (RFC 7519 §2), which may have a fraction. Some servers send it as a string.
fn instant(claims: &Map<String, Value>, claim: &str) -> Option<OffsetDateTime> {
    let value = claims.get(claim)?;
    let seconds = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => value.as_f64(),
    }
    .filter(|seconds: &f64| seconds.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast of a float saturates, and the next line rejects values out of range"
    )]
    let seconds = seconds as i64;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

#[cfg(test)]
mod tests;
