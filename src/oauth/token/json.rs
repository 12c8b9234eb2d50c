//! Parses what the JSON responses of all endpoints have in common.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::TokenError;
use crate::oauth::error_code::ErrorCode;
use crate::oauth::{is_vschar, json_object};
use crate::secret::Secret;

/// The largest number of seconds that hallpass accepts: a hundred years, so that no sum overflows.
pub(super) const LONGEST_LIFETIME: i64 = 100 * 365 * 24 * 60 * 60;

/// Parses a successful response. Everything else is an error, either the server's or its own.
pub(in crate::oauth) fn parse_response<T: DeserializeOwned>(
    status: u16,
    body: &[u8],
) -> Result<T, TokenError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Option<Value>,
        error_description: Option<Value>,
    }

    let refusal: Option<Refusal> = json_object(body);
    if let Some(Refusal {
        error: Some(error),
        error_description,
    }) = &refusal
        && !matches!(error, Value::Bool(false))
        && error.as_str() != Some("")
    {
        let description = error_description.as_ref().and_then(Value::as_str);
        let code = match error.as_str() {
            Some(code) => ErrorCode::new(code, description),
            None => ErrorCode::of_object(error),
        };
        // Some servers use status 429 to make a device flow's client wait (RFC 8628 §3.5).
        let is_overloaded =
            status == 429 && !matches!(code.as_str(), "slow_down" | "authorization_pending");
        return Err(if status < 500 && !is_overloaded {
            TokenError::Refused { code }
        } else {
            TokenError::Unavailable { status, code }
        });
    }
    if !(200..300).contains(&status) {
        return Err(TokenError::Http { status });
    }
    if refusal.is_none() {
        return Err(TokenError::NotJson { status });
    }
    json_object(body).ok_or(TokenError::Malformed)
}

/// A code or token that is safe to send in a header. An empty one counts as absent.
pub(in crate::oauth) fn printable(
    member: &'static str,
    secret: Option<Secret<String>>,
) -> Result<Option<Secret<String>>, TokenError> {
    match secret {
        Some(secret) if secret.expose().is_empty() => Ok(None),
        Some(secret) if !is_vschar(secret.expose()) => Err(TokenError::Unusable { member }),
        other => Ok(other),
    }
}

/// Whole seconds, from a number or a string that contains one (Entra), at most a hundred years.
pub(in crate::oauth) fn seconds(value: &Value) -> Option<i64> {
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => value.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast of a float saturates, and the fraction of a second does not matter"
    )]
    let whole = number as i64;
    Some(whole.clamp(-LONGEST_LIFETIME, LONGEST_LIFETIME))
}
