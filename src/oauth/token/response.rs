//! Parses the token endpoint's response (RFC 6749 §5).
//!
//! Servers differ in form, and this accepts what they send. It rejects what would do harm: a token
//! that breaks a header, and a type other than Bearer.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::TokenError;
use super::json::{parse_response, printable, seconds};
use crate::oauth::json_object;
use crate::secret::Secret;

/// A token set, as the authorization server sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenResponse {
    pub access_token: Secret<String>,
    /// `Bearer`, in this spelling.
    pub token_type: String,
    /// Seconds, at most a hundred years in either direction. `None`: valid until a server refuses
    /// the token.
    pub expires_in: Option<i64>,
    pub refresh_token: Option<Secret<String>>,
    pub id_token: Option<Secret<String>>,
    /// The granted scopes. `None`: the requested ones (RFC 6749 §5.1).
    pub scopes: Option<Vec<String>>,
    /// Seconds since 1970 by the server's clock (GitLab).
    pub created_at: Option<i64>,
}

/// Parses the response to a code, refresh or device token request.
pub fn parse_token_response(status: u16, body: &[u8]) -> Result<TokenResponse, TokenError> {
    let Wire {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scope,
        created_at,
    } = parse_response(status, body)?;

    check_token_type(token_type.as_ref())?;
    Ok(TokenResponse {
        access_token: printable("access_token", access_token)?.ok_or(TokenError::Missing {
            member: "access_token",
        })?,
        token_type: "Bearer".to_owned(),
        expires_in: expires_in.as_ref().and_then(seconds),
        refresh_token: printable("refresh_token", refresh_token)?,
        id_token: printable("id_token", id_token)?,
        scopes: scope.as_ref().and_then(scopes),
        created_at: created_at.as_ref().and_then(seconds),
    })
}

/// The error in a response that is known not to be a success.
pub fn parse_refusal(status: u16, body: &[u8]) -> TokenError {
    match parse_response::<Value>(status, body) {
        Ok(_) => TokenError::Http { status },
        Err(error) => error,
    }
}

/// The new refresh token in a successful response, even if the rest of the response is unusable:
/// the token that was sent may no longer be valid.
pub fn rotated_refresh_token(status: u16, body: &[u8]) -> Option<Secret<String>> {
    #[derive(Deserialize)]
    struct Rotated {
        refresh_token: Option<Secret<String>>,
    }
    if !(200..300).contains(&status) {
        return None;
    }
    let Rotated { refresh_token } = json_object(body)?;
    printable("refresh_token", refresh_token).ok().flatten()
}

/// Parses the response to a pushed authorization request: its `request_uri` (RFC 9126 §2.2).
pub fn parse_pushed(status: u16, body: &[u8]) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Pushed {
        request_uri: Option<Secret<String>>,
    }
    let Pushed { request_uri } = parse_response(status, body)?;
    printable("request_uri", request_uri)?
        .map(|uri| uri.expose().clone())
        .ok_or(TokenError::Missing {
            member: "request_uri",
        })
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "text_or_false")]
    access_token: Option<Secret<String>>,
    token_type: Option<Value>,
    expires_in: Option<Value>,
    #[serde(default, deserialize_with = "text_or_false")]
    refresh_token: Option<Secret<String>>,
    #[serde(default, deserialize_with = "text_or_false")]
    id_token: Option<Secret<String>>,
    scope: Option<Value>,
    created_at: Option<Value>,
}

/// `false` counts as absent, because some servers send it for a token that they don't issue.
fn text_or_false<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Text(Secret<String>),
        Flag(bool),
        Null(()),
    }
    match Wire::deserialize(from)? {
        Wire::Text(text) => Ok(Some(text)),
        Wire::Flag(false) | Wire::Null(()) => Ok(None),
        // `json_object` drops every message of `serde_json`, this one included.
        Wire::Flag(true) => Err(D::Error::custom("not a token")),
    }
}

/// Accepts Bearer. Some servers omit the type and mean Bearer.
fn check_token_type(token_type: Option<&Value>) -> Result<(), TokenError> {
    match token_type.map(Value::as_str) {
        None => Ok(()),
        Some(Some(name)) if name.is_empty() || name.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Some(name)) if name.eq_ignore_ascii_case("dpop") => Err(TokenError::DpopOnly),
        Some(_) => Err(TokenError::WrongTokenType),
    }
}

/// Scopes, separated by spaces (RFC 6749 §3.3) or commas (GitHub), or a list.
fn scopes(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<&str> = if let Some(list) = value.as_array() {
        list.iter().filter_map(Value::as_str).collect()
    } else {
        let text = value.as_str()?.trim();
        // A scope may contain a comma, so commas separate only if there are no spaces.
        let by_commas = !text.contains(' ');
        text.split(|c: char| c.is_whitespace() || (by_commas && c == ','))
            .collect()
    };
    // Scopes are shown in a terminal and sent again, so only the characters of §3.3 are accepted.
    let scopes: Vec<String> = texts
        .into_iter()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .collect();
    (!scopes.is_empty()).then_some(scopes)
}
