//! The token endpoint's answer (RFC 6749 §5), as lenient about form as servers are sloppy with it,
//! and strict about what would harm: a token that breaks a header, a type that is not Bearer.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::oauth::callback::is_vschar;
use crate::oauth::error_code::ErrorCode;
use crate::oauth::json_object;
use crate::oauth::token::TokenRequest;
use crate::secret::Secret;

/// The longest life that is believed, in seconds: a hundred years, so that no sum overflows.
const LONGEST_LIFE: i64 = 100 * 365 * 24 * 60 * 60;

/// A token set, as the authorization server sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenResponse {
    pub access_token: Secret<String>,
    /// `Bearer`, in this spelling.
    pub token_type: String,
    /// Seconds, at most a hundred years either way. `None`: valid until it is refused.
    pub expires_in: Option<i64>,
    pub refresh_token: Option<Secret<String>>,
    pub id_token: Option<Secret<String>>,
    /// What was granted, where the server says so; else what was asked for (RFC 6749 §5.1).
    pub scopes: Option<Vec<String>>,
    /// Seconds since 1970 by the server's clock (GitLab).
    pub created_at: Option<i64>,
}

/// Why there is no token. None of the messages quotes the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It holds an `error`: below 500, whatever the status, for some refuse with 200.
    #[error("the provider rejected the request: {code}")]
    Refused { code: ErrorCode },
    /// It holds an `error`, too, but the server itself is in trouble: that says nothing about the
    /// grant.
    #[error("the provider is unavailable (HTTP status {status}): {code}")]
    Unavailable { status: u16, code: ErrorCode },
    #[error("the provider answered with HTTP status {status}")]
    Http { status: u16 },
    #[error("the provider's answer (HTTP status {status}) is not a JSON object")]
    NotJson { status: u16 },
    #[error("the provider's answer has members of an unexpected type")]
    Malformed,
    #[error("the provider's answer has no {member}")]
    Missing { member: &'static str },
    #[error("{member} holds characters that it must not hold")]
    Unusable { member: &'static str },
    #[error("{member} is not a URL that may be opened: https, or http on this machine")]
    UnacceptableUrl { member: &'static str },
    #[error("the token lacks scopes that the session had")]
    LostScopes,
    #[error("the token is not of the type Bearer")]
    WrongTokenType,
    #[error("the token is bound to a key (DPoP), which hallpass does not support")]
    DpopOnly,
}

impl TokenError {
    /// The error with what the server says about its error code, so that it can be shown: without
    /// what was sent in this request.
    #[must_use]
    pub fn explained(self, request: &TokenRequest) -> Self {
        match self {
            Self::Refused { code } => Self::Refused {
                code: code.without(&request.secrets()),
            },
            Self::Unavailable { status, code } => Self::Unavailable {
                status,
                code: code.without(&request.secrets()),
            },
            other @ (Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType
            | Self::DpopOnly) => other,
        }
    }

    /// Whether the server wants a proof of possession (RFC 9449), which hallpass cannot give. A server
    /// that misses the proof has no code of its own for that, so its words are looked at too.
    pub fn is_about_dpop(&self) -> bool {
        let mentions_it = |text: &str| text.to_ascii_lowercase().contains("dpop");
        match self {
            Self::DpopOnly => true,
            Self::Refused { code } => {
                mentions_it(code.as_str()) || code.description().is_some_and(mentions_it)
            }
            Self::Unavailable { .. }
            | Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType => false,
        }
    }

    /// The server's error code with what it says about it.
    pub fn into_code(self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code } | Self::Unavailable { code, .. } => Some(code),
            Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType
            | Self::DpopOnly => None,
        }
    }

    /// The server's error code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code } | Self::Unavailable { code, .. } => Some(code.as_str()),
            Self::Http { .. }
            | Self::NotJson { .. }
            | Self::Malformed
            | Self::Missing { .. }
            | Self::LostScopes
            | Self::Unusable { .. }
            | Self::UnacceptableUrl { .. }
            | Self::WrongTokenType
            | Self::DpopOnly => None,
        }
    }
}

/// How a server refuses a refresh token for good. Anything else is a failure, which says nothing
/// about the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// `invalid_grant`: the token is invalid, expired or revoked (RFC 6749 §5.2).
    Dead,
    /// Another code, or none: many servers have a word of their own for a dead token, or want a
    /// person to sign in again for another reason.
    Unspecific,
}

/// Codes that say nothing about the refresh token: the client, the request or the server is at
/// fault (RFC 6749 §5.2, §4.1.2.1; RFC 8628 §3.5; RFC 9449 §8).
const NOT_ABOUT_THE_TOKEN: [&str; 6] = [
    "invalid_client",
    "unsupported_grant_type",
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "use_dpop_nonce",
];

impl RefreshRefusal {
    /// Tells a refusal from a failure; `fault` is what [`parse_token_response`] made of the
    /// response.
    pub fn of(status: u16, body: &[u8], fault: &TokenError) -> Option<Self> {
        match fault {
            TokenError::Refused { code } => match (code.as_str(), status) {
                (code, _) if NOT_ABOUT_THE_TOKEN.contains(&code) => None,
                ("invalid_grant", 400 | 401) => Some(Self::Dead),
                (_, 200 | 400 | 401 | 403) => Some(Self::Unspecific),
                _ => None,
            },
            // Glewlwyd says no more than this.
            TokenError::Http { status: 400 } if body.trim_ascii().is_empty() => {
                Some(Self::Unspecific)
            }
            TokenError::Http { .. }
            | TokenError::Unavailable { .. }
            | TokenError::NotJson { .. }
            | TokenError::Malformed
            | TokenError::Missing { .. }
            | TokenError::LostScopes
            | TokenError::Unusable { .. }
            | TokenError::UnacceptableUrl { .. }
            | TokenError::WrongTokenType
            | TokenError::DpopOnly => None,
        }
    }
}

/// Reads the answer to a code, a refresh or a device token request.
pub fn parse_token_response(status: u16, body: &[u8]) -> Result<TokenResponse, TokenError> {
    let Wire {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scope,
        created_at,
    } = parse_answer(status, body)?;

    // Some leave the type out, and mean Bearer.
    let is_bearer = token_type.as_ref().is_none_or(|name| {
        name.as_str()
            .is_some_and(|name| name.is_empty() || name.eq_ignore_ascii_case("bearer"))
    });
    if !is_bearer {
        let name = token_type.as_ref().and_then(Value::as_str);
        return Err(match name {
            Some(name) if name.eq_ignore_ascii_case("dpop") => TokenError::DpopOnly,
            Some(_) | None => TokenError::WrongTokenType,
        });
    }
    Ok(TokenResponse {
        access_token: usable("access_token", access_token)?.ok_or(TokenError::Missing {
            member: "access_token",
        })?,
        token_type: "Bearer".to_owned(),
        expires_in: expires_in.as_ref().and_then(seconds),
        refresh_token: usable("refresh_token", refresh_token)?,
        id_token: usable("id_token", id_token)?,
        scopes: scope.as_ref().and_then(scopes),
        created_at: created_at.as_ref().and_then(seconds),
    })
}

/// Reads an answer that is known to be no success, where only that matters.
pub fn parse_refusal(status: u16, body: &[u8]) -> TokenError {
    match parse_answer::<Value>(status, body) {
        Ok(_) => TokenError::Http { status },
        Err(error) => error,
    }
}

/// The refresh token of a successful response, whatever else is wrong with it: the one that was
/// sent may be worth nothing now.
pub fn successor(status: u16, body: &[u8]) -> Option<Secret<String>> {
    #[derive(Deserialize)]
    struct Successor {
        refresh_token: Option<Secret<String>>,
    }
    if !(200..300).contains(&status) {
        return None;
    }
    let Successor { refresh_token } = json_object(body)?;
    usable("refresh_token", refresh_token).ok().flatten()
}

/// Reads the answer to a pushed authorization request: its `request_uri` (RFC 9126 §2.2).
pub fn parse_pushed(status: u16, body: &[u8]) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Pushed {
        request_uri: Option<Secret<String>>,
    }
    let Pushed { request_uri } = parse_answer(status, body)?;
    usable("request_uri", request_uri)?
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

/// `false` counts as absent: some servers write it for what they do not issue.
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
        // The words are dropped, as all of `serde_json` are.
        Wire::Flag(true) => Err(D::Error::custom("true is no token")),
    }
}

/// Tells a refusal, a failure and an answer apart.
pub(in crate::oauth) fn parse_answer<T: DeserializeOwned>(
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
        // A poll of the device grant is told to slow down in this way as well (RFC 8628 §3.5).
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

/// An empty one counts as absent; one that would break a header or a line is refused.
pub(in crate::oauth) fn usable(
    member: &'static str,
    secret: Option<Secret<String>>,
) -> Result<Option<Secret<String>>, TokenError> {
    let secret = secret.filter(|secret| !secret.expose().is_empty());
    if secret
        .as_ref()
        .is_some_and(|secret| !is_vschar(secret.expose()))
    {
        return Err(TokenError::Unusable { member });
    }
    Ok(secret)
}

/// Whole seconds from a number or a string that holds one (Entra), clamped to a hundred years.
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
    Some(whole.clamp(-LONGEST_LIFE, LONGEST_LIFE))
}

/// RFC 6749 §3.3 separates by spaces, GitHub by commas; some send a list.
fn scopes(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<&str> = if let Some(list) = value.as_array() {
        list.iter().filter_map(Value::as_str).collect()
    } else {
        let text = value.as_str()?.trim();
        // A comma may be part of a scope, but not where it is the only separator there is.
        let by_commas = !text.contains(' ');
        text.split(|c: char| c.is_whitespace() || (by_commas && c == ','))
            .collect()
    };
    // They are shown in a terminal and sent along again: only what §3.3 lets a scope be made of.
    let scopes: Vec<String> = texts
        .into_iter()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .collect();
    (!scopes.is_empty()).then_some(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::token::{Client, ClientAuth, refresh_request};

    fn refused(code: &str) -> TokenError {
        let code = ErrorCode::new(code, None);
        TokenError::Refused { code }
    }

    #[test]
    fn a_full_answer_is_read_and_unknown_members_are_ignored() {
        let body = br#" {"access_token":"at","token_type":"bearer","expires_in":3599,
            "refresh_token":"rt","id_token":"a.b.c","scope":"openid email","created_at":1700000000,
            "ext_expires_in":{"a":[1]},"error":null} "#;
        assert_eq!(
            parse_token_response(200, body),
            Ok(TokenResponse {
                access_token: Secret::from("at"),
                token_type: "Bearer".to_owned(),
                expires_in: Some(3599),
                refresh_token: Some(Secret::from("rt")),
                id_token: Some(Secret::from("a.b.c")),
                scopes: Some(vec!["openid".to_owned(), "email".to_owned()]),
                created_at: Some(1_700_000_000),
            })
        );
    }

    #[test]
    fn empty_and_null_members_count_as_absent() {
        let body = br#"{"access_token":"at","token_type":null,"expires_in":null,
            "refresh_token":"","id_token":null,"scope":"","error":""}"#;
        let response = parse_token_response(200, body).unwrap();
        assert_eq!(response.expires_in, None);
        assert_eq!(response.refresh_token, None);
        assert_eq!(response.id_token, None);
        assert_eq!(response.scopes, None);
    }

    #[test]
    fn false_counts_as_absent_where_a_token_or_an_error_would_be() {
        let body = br#"{"access_token":"at","refresh_token":false,"id_token":false,"error":false}"#;
        let response = parse_token_response(200, body).unwrap();
        assert_eq!(response.refresh_token, None);
        assert_eq!(response.id_token, None);
        for (body, expected) in [
            (
                r#"{"access_token":false}"#,
                TokenError::Missing {
                    member: "access_token",
                },
            ),
            (
                r#"{"access_token":"at","refresh_token":true}"#,
                TokenError::Malformed,
            ),
            (
                r#"{"access_token":"at","id_token":7}"#,
                TokenError::Malformed,
            ),
            (r#"{"access_token":["at"]}"#, TokenError::Malformed),
        ] {
            assert_eq!(
                parse_token_response(200, body.as_bytes()),
                Err(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn a_proof_of_possession_is_named_as_what_is_missing() {
        let client = Client {
            id: "hallpass",
            secret: None,
            auth: ClientAuth::None,
        };
        let request = refresh_request(&client, &Secret::from("rt"), &[], &[], None);
        for (status, body, expected) in [
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#, true),
            (400, r#"{"error":"invalid_dpop_proof"}"#, true),
            (400, r#"{"error":"use_dpop_nonce"}"#, true),
            (
                400,
                r#"{"error":"invalid_request","error_description":"DPoP proof JWT not provided"}"#,
                true,
            ),
            (400, r#"{"error":"invalid_request"}"#, false),
            (200, r#"{"access_token":"a","token_type":"mac"}"#, false),
        ] {
            let error = parse_token_response(status, body.as_bytes()).unwrap_err();
            assert_eq!(
                error.explained(&request).is_about_dpop(),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn too_many_requests_are_a_server_in_trouble_and_no_refusal() {
        for (body, unavailable) in [
            (r#"{"error":"invalid_grant"}"#, true),
            (r#"{"error":"rate_limited"}"#, true),
            (r#"{"error":{"code":429}}"#, true),
            // How a poll of the device grant is told to slow down.
            (r#"{"error":"slow_down"}"#, false),
            (r#"{"error":"authorization_pending"}"#, false),
        ] {
            let error = parse_token_response(429, body.as_bytes()).unwrap_err();
            let is_unavailable = matches!(error, TokenError::Unavailable { status: 429, .. });
            assert_eq!(is_unavailable, unavailable, "{body}");
            assert_eq!(
                RefreshRefusal::of(429, body.as_bytes(), &error),
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn a_life_is_a_number_in_whatever_form() {
        for (json, expected) in [
            ("3599", Some(3599)),
            ("3599.9", Some(3599)),
            ("\"3599\"", Some(3599)),
            ("\" 3599.5 \"", Some(3599)),
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("\"-5\"", Some(-5)),
            ("1e12", Some(LONGEST_LIFE)),
            ("\"1e12\"", Some(LONGEST_LIFE)),
            ("1e300", Some(LONGEST_LIFE)),
            ("18446744073709551615", Some(LONGEST_LIFE)),
            ("-1e300", Some(-LONGEST_LIFE)),
            ("null", None),
            ("true", None),
            ("\"\"", None),
            ("\"soon\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("[]", None),
        ] {
            let body = format!(r#"{{"access_token":"a","expires_in":{json}}}"#);
            let response = parse_token_response(200, body.as_bytes()).unwrap();
            assert_eq!(response.expires_in, expected, "{json}");
        }
    }

    #[test]
    fn only_bearer_is_a_token_type_in_any_case() {
        for (json, accepted) in [
            ("\"Bearer\"", true),
            ("\"bearer\"", true),
            ("\"BEARER\"", true),
            ("null", true),
            ("\"\"", true),
            ("\"mac\"", false),
            ("1", false),
            ("false", false),
        ] {
            let body = format!(r#"{{"access_token":"a","token_type":{json}}}"#);
            let parsed = parse_token_response(200, body.as_bytes());
            if accepted {
                assert_eq!(parsed.unwrap().token_type, "Bearer");
            } else {
                assert_eq!(parsed, Err(TokenError::WrongTokenType), "{json}");
            }
        }
    }

    #[test]
    fn scopes_are_read_in_each_form_that_servers_use() {
        for (json, expected) in [
            (r#""openid  email""#, Some(&["openid", "email"][..])),
            (r#""repo,gist""#, Some(&["repo", "gist"])),
            (r#""a,b c""#, Some(&["a,b", "c"])),
            (r#"["a","b"]"#, Some(&["a", "b"])),
            (r#""a \u001b[2J""#, Some(&["a"])),
            (r#""""#, None),
            (r#"" ""#, None),
            ("7", None),
        ] {
            let body = format!(r#"{{"access_token":"a","scope":{json}}}"#);
            let scopes = parse_token_response(200, body.as_bytes()).unwrap().scopes;
            let scopes: Option<Vec<&str>> = scopes
                .as_ref()
                .map(|scopes| scopes.iter().map(String::as_str).collect());
            assert_eq!(scopes.as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn whatever_is_no_token_says_why() {
        for (status, body, expected) in [
            (
                200,
                r#"{"error":"bad_verification_code"}"#,
                refused("bad_verification_code"),
            ),
            (
                400,
                r#"{"error":"invalid_grant"}"#,
                refused("invalid_grant"),
            ),
            (400, r#"{"error":"x","access_token":"a"}"#, refused("x")),
            (
                400,
                r#"{"error":{"code":400}}"#,
                TokenError::Refused {
                    code: ErrorCode::of_object(&serde_json::json!({"code": 400})),
                },
            ),
            (401, r#"{"error":"\u001b[2J"}"#, refused("invalid")),
            (
                503,
                r#"{"error":"invalid_grant"}"#,
                TokenError::Unavailable {
                    status: 503,
                    code: ErrorCode::new("invalid_grant", None),
                },
            ),
            (502, "<html>", TokenError::Http { status: 502 }),
            (302, "", TokenError::Http { status: 302 }),
            (
                400,
                r#"{"access_token":"a"}"#,
                TokenError::Http { status: 400 },
            ),
            (200, "<html>", TokenError::NotJson { status: 200 }),
            (200, "", TokenError::NotJson { status: 200 }),
            (200, r#"["a"]"#, TokenError::NotJson { status: 200 }),
            (200, r#"{"access_token":7}"#, TokenError::Malformed),
            (
                200,
                r#"{"access_token":"a","id_token":[]}"#,
                TokenError::Malformed,
            ),
            (
                200,
                "{}",
                TokenError::Missing {
                    member: "access_token",
                },
            ),
            (
                200,
                r#"{"access_token":""}"#,
                TokenError::Missing {
                    member: "access_token",
                },
            ),
        ] {
            let error = parse_token_response(status, body.as_bytes()).unwrap_err();
            assert_eq!(error, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_successor_is_read_whatever_else_is_wrong() {
        for (status, body, expected) in [
            (
                200,
                r#"{"access_token":"a","refresh_token":"r"}"#,
                Some("r"),
            ),
            (200, r#"{"refresh_token":"r"}"#, Some("r")),
            (200, r#"{"access_token":7,"refresh_token":"r"}"#, Some("r")),
            (
                200,
                r#"{"access_token":"a\n","refresh_token":"r"}"#,
                Some("r"),
            ),
            (
                200,
                r#"{"access_token":"a","id_token":[],"refresh_token":"r"}"#,
                Some("r"),
            ),
            (
                200,
                r#"{"token_type":"mac","refresh_token":"r"}"#,
                Some("r"),
            ),
            (
                200,
                r#"{"error":"server_error","refresh_token":"r"}"#,
                Some("r"),
            ),
            (201, r#"{"refresh_token":"r"}"#, Some("r")),
            (200, r#"{"refresh_token":""}"#, None),
            (200, r#"{"refresh_token":null}"#, None),
            (200, r#"{"refresh_token":7}"#, None),
            (200, r#"{"refresh_token":"r\n"}"#, None),
            (200, r#"["refresh_token"]"#, None),
            (200, r#"{"refresh_token":"r""#, None),
            (400, r#"{"refresh_token":"r"}"#, None),
            (503, r#"{"refresh_token":"r"}"#, None),
        ] {
            let successor = successor(status, body.as_bytes());
            let successor = successor.as_ref().map(|token| token.expose().as_str());
            assert_eq!(successor, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_definite_refusal_of_a_refresh_is_told_from_a_failure() {
        use RefreshRefusal::{Dead, Unspecific};
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant"}"#, Some(Dead)),
            (401, r#"{"error":"invalid_grant"}"#, Some(Dead)),
            (200, r#"{"error":"invalid_grant"}"#, Some(Unspecific)),
            (403, r#"{"error":"invalid_grant"}"#, Some(Unspecific)),
            (400, r#"{"error":"invalid_request"}"#, Some(Unspecific)),
            (200, r#"{"error":"bad_refresh_token"}"#, Some(Unspecific)),
            (400, r#"{"error":"interaction_required"}"#, Some(Unspecific)),
            (400, r#"{"error":"login_required"}"#, Some(Unspecific)),
            (401, r#"{"error":"invalid_token"}"#, Some(Unspecific)),
            (400, r#"{"error":"unauthorized_client"}"#, Some(Unspecific)),
            (403, r#"{"error":"access_denied"}"#, Some(Unspecific)),
            (
                400,
                r#"{"error":{"message":"TOKEN_EXPIRED"}}"#,
                Some(Unspecific),
            ),
            (400, "", Some(Unspecific)),
            (400, " \r\n", Some(Unspecific)),
            (400, "<html>", None),
            (400, "{}", None),
            (401, "", None),
            (403, "", None),
            (400, r#"{"error":"invalid_client"}"#, None),
            (401, r#"{"error":"invalid_client"}"#, None),
            (400, r#"{"error":"unsupported_grant_type"}"#, None),
            (400, r#"{"error":"temporarily_unavailable"}"#, None),
            (200, r#"{"error":"server_error"}"#, None),
            (400, r#"{"error":"slow_down"}"#, None),
            (400, r#"{"error":"use_dpop_nonce"}"#, None),
            (404, r#"{"error":"invalid_grant"}"#, None),
            (407, r#"{"error":"invalid_grant"}"#, None),
            (408, r#"{"error":"invalid_grant"}"#, None),
            (429, r#"{"error":"invalid_grant"}"#, None),
            (500, r#"{"error":"invalid_grant"}"#, None),
            (503, "", None),
            (200, "<html>", None),
            (200, r#"{"token_type":"Bearer"}"#, None),
        ] {
            let body = body.as_bytes();
            let fault = parse_token_response(status, body).unwrap_err();
            let refusal = RefreshRefusal::of(status, body, &fault);
            assert_eq!(
                refusal,
                expected,
                "{status} {}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn a_token_that_would_break_a_header_is_refused_and_not_printed() {
        for text in [
            r"hunter2\r\nX: y",
            r"hunter2\n",
            r"hunter2\u0000",
            r"hunter2\u007f",
            "hunter2ä",
        ] {
            for member in ["access_token", "refresh_token", "id_token"] {
                let body = if member == "access_token" {
                    format!(r#"{{"access_token":"{text}"}}"#)
                } else {
                    format!(r#"{{"access_token":"a","{member}":"{text}"}}"#)
                };
                let error = parse_token_response(200, body.as_bytes()).unwrap_err();
                assert_eq!(error, TokenError::Unusable { member });
                assert!(!format!("{error} {error:?}").contains("hunter2"));
            }
        }
    }

    #[test]
    fn the_code_of_a_refusal_and_of_an_outage_is_known() {
        for (status, body, code) in [
            (400, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
            (500, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
            (400, "invalid_grant", None),
            (401, "", None),
        ] {
            let error = parse_token_response(status, body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), code);
        }
    }

    #[test]
    fn the_description_is_shown_without_what_was_sent() {
        let body = br#"{"error":"invalid_grant","error_description":"AADSTS70000\r\nTrace"}"#;
        let TokenError::Refused { code } = parse_token_response(400, body).unwrap_err() else {
            panic!("it is a refusal");
        };
        assert_eq!(code.description(), None, "not before secrets are out of it");
        let client = Client {
            id: "hallpass",
            secret: None,
            auth: ClientAuth::None,
        };
        let refresh_token = Secret::from("the-refresh-token");
        let request = refresh_request(&client, &refresh_token, &[], &[], None);
        let explained = |status: u16| {
            let body = br#"{"error":"invalid_grant",
                "error_description":"AADSTS70000: the-refresh-token expired.\r\nTrace ID: 1"}"#;
            let error = parse_token_response(status, body).unwrap_err();
            error.explained(&request).to_string()
        };
        let words = "invalid_grant (AADSTS70000: [secret] expired. Trace ID: 1)";
        assert_eq!(
            explained(400),
            format!("the provider rejected the request: {words}")
        );
        assert!(explained(503).ends_with(words));
    }
}
