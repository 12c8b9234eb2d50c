//! The device authorization grant as a state machine without I/O (RFC 8628).
//!
//! It says how long to wait, receives the result of each request, and says what to do next.
//!
//! <https://www.rfc-editor.org/rfc/rfc8628>

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::error_code::ErrorCode;
use super::safe_url::is_safe;
use super::sanitize;
use super::token::{TokenError, TokenResponse, parse_response, printable, seconds};
use crate::secret::Secret;

/// The interval if the server doesn't send one (RFC 8628 §3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// Prevents a busy loop if the server sends an interval of 0.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval that a server can set. With a longer one, a sign-in would seem to hang.
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);
/// The permanent increase after `slow_down` (RFC 8628 §3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// The limit of the exponential backoff after a time-out (RFC 8628 §3.5).
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A code's lifetime in seconds if the server omits `expires_in`, which RFC 8628 §3.2 requires.
const DEFAULT_LIFETIME: i64 = 600;
/// The longest lifetime in seconds. No user waits longer for a sign-in.
const LONGEST_LIFETIME: i64 = 3600;

/// The device code for polling, and what to show the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAuthorization {
    pub device_code: Secret<String>,
    pub user_code: String,
    pub verification_uri: Url,
    pub verification_uri_complete: Option<Url>,
    /// Seconds, 0 to 3600.
    pub expires_in: i64,
    /// Seconds.
    pub interval: Option<u64>,
}

/// Parses the response of the device authorization endpoint (RFC 8628 §3.2).
pub fn parse(status: u16, body: &[u8]) -> Result<DeviceAuthorization, TokenError> {
    #[derive(Deserialize)]
    struct Wire {
        device_code: Option<Secret<String>>,
        user_code: Option<String>,
        // Google sends `verification_url`, which is older than the RFC. A server may send both.
        verification_uri: Option<String>,
        verification_url: Option<String>,
        verification_uri_complete: Option<String>,
        expires_in: Option<Value>,
        interval: Option<Value>,
    }
    let missing = |member| TokenError::Missing { member };

    let wire: Wire = parse_response(status, body)?;
    let user_code = wire
        .user_code
        .filter(|code| !code.is_empty())
        .ok_or(missing("user_code"))?;
    // The user types this code, so an honest one has only printable characters.
    if sanitize(&user_code) != user_code {
        return Err(TokenError::Unusable {
            member: "user_code",
        });
    }
    let lifetime = wire.expires_in.as_ref().and_then(seconds);
    Ok(DeviceAuthorization {
        device_code: printable("device_code", wire.device_code)?.ok_or(missing("device_code"))?,
        user_code,
        verification_uri: safe_url(
            "verification_uri",
            wire.verification_uri.or(wire.verification_url),
        )?
        .ok_or(missing("verification_uri"))?,
        verification_uri_complete: safe_url(
            "verification_uri_complete",
            wire.verification_uri_complete,
        )?,
        expires_in: lifetime
            .unwrap_or(DEFAULT_LIFETIME)
            .clamp(0, LONGEST_LIFETIME),
        interval: wire
            .interval
            .as_ref()
            .and_then(seconds)
            .map(|interval| interval.max(0).unsigned_abs()),
    })
}

/// A URL for the user or the browser, if the response has it.
fn safe_url(member: &'static str, text: Option<String>) -> Result<Option<Url>, TokenError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    Url::parse(&text)
        .ok()
        .filter(is_safe)
        .map(Some)
        .ok_or(TokenError::UnacceptableUrl { member })
}

/// The state of polling with one device code.
#[derive(Debug, Clone)]
pub struct Polling {
    interval: Duration,
    backoff: Duration,
    lifetime: Duration,
}

/// The result of one request to the token endpoint.
#[derive(Debug)]
pub enum PollResult {
    Response(Result<TokenResponse, TokenError>),
    TimedOut,
    Unreachable,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the next request after [`Polling::next_wait`].
    Wait,
    Done(TokenResponse),
    Failed(DeviceFailure),
}

/// Why the device flow failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFailure {
    #[error("the sign-in was declined")]
    Declined(Option<ErrorCode>),
    #[error("the code expired")]
    Expired,
    #[error(transparent)]
    Failed(TokenError),
}

impl Polling {
    pub fn new(authorization: &DeviceAuthorization) -> Self {
        let interval = authorization
            .interval
            .map_or(DEFAULT_INTERVAL, Duration::from_secs)
            .clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let lifetime = authorization.expires_in.clamp(0, LONGEST_LIFETIME);
        Self {
            interval,
            backoff: Duration::ZERO,
            lifetime: Duration::from_secs(lifetime.unsigned_abs()),
        }
    }

    /// The time to wait before the next request, including the first one.
    pub fn next_wait(&self) -> Duration {
        self.interval.max(self.backoff)
    }

    /// Whether the code has expired this long after it was issued.
    pub fn is_expired(&self, elapsed: Duration) -> bool {
        elapsed >= self.lifetime
    }

    /// Decides what to do after a request.
    pub fn step(&mut self, result: PollResult) -> Step {
        let error = match result {
            PollResult::Response(Ok(response)) => return Step::Done(response),
            PollResult::Response(Err(error)) => error,
            PollResult::TimedOut | PollResult::Unreachable => return self.back_off(),
        };
        if is_temporary(&error) {
            return self.back_off();
        }
        self.backoff = Duration::ZERO;
        match error.code() {
            Some("authorization_pending") => Step::Wait,
            Some("slow_down") => {
                self.interval = (self.interval + SLOW_DOWN).min(LONGEST_INTERVAL);
                Step::Wait
            }
            // The second is Entra's code.
            Some("access_denied" | "authorization_declined") => {
                Step::Failed(DeviceFailure::Declined(error.error_code().cloned()))
            }
            Some("expired_token") => Step::Failed(DeviceFailure::Expired),
            Some(_) | None => Step::Failed(DeviceFailure::Failed(error)),
        }
    }

    /// RFC 8628 §3.5: poll less often after a time-out, with an exponential backoff.
    fn back_off(&mut self) -> Step {
        self.backoff = (self.next_wait() * 2).min(LONGEST_BACKOFF);
        Step::Wait
    }
}

/// Whether the server is failing, so a later request may succeed.
fn is_temporary(error: &TokenError) -> bool {
    if let TokenError::Http { status } = error {
        return *status >= 500 || matches!(status, 408 | 429);
    }
    matches!(error, TokenError::Unavailable { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::token::parse_token_response;

    const GOOD: &str = r#"{"device_code":"dc","user_code":"WDJB-MJHT",
        "verification_uri":"https://as.example/device","expires_in":1800}"#;

    fn authorization(members: &str) -> Result<DeviceAuthorization, TokenError> {
        // Repeated members are an error, so a change replaces the original member.
        let mut object: serde_json::Map<String, Value> = serde_json::from_str(GOOD).unwrap();
        let changes: serde_json::Map<String, Value> = serde_json::from_str(members).unwrap();
        for (name, value) in changes {
            if value.is_null() {
                object.remove(&name);
            } else {
                object.insert(name, value);
            }
        }
        parse(200, &serde_json::to_vec(&object).unwrap())
    }

    fn polling(members: &str) -> Polling {
        Polling::new(&authorization(members).unwrap())
    }

    fn refusal(code: &str) -> PollResult {
        refusal_with(400, code)
    }

    fn refusal_with(status: u16, code: &str) -> PollResult {
        let body = format!(r#"{{"error":"{code}"}}"#);
        PollResult::Response(parse_token_response(status, body.as_bytes()))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_device_authorization_is_parsed() {
        let members = r#"{"verification_uri_complete":"https://as.example/device?c=1",
            "expires_in":"900","interval":7,"message":"Go there"}"#;
        assert_eq!(
            authorization(members),
            Ok(DeviceAuthorization {
                device_code: Secret::from("dc"),
                user_code: "WDJB-MJHT".to_owned(),
                verification_uri: Url::parse("https://as.example/device").unwrap(),
                verification_uri_complete: Some(
                    Url::parse("https://as.example/device?c=1").unwrap()
                ),
                expires_in: 900,
                interval: Some(7),
            })
        );
    }

    #[test]
    fn googles_verification_url_is_accepted() {
        let members = r#"{"verification_uri":null,"verification_url":"https://g.example/device"}"#;
        assert_eq!(
            authorization(members).unwrap().verification_uri.as_str(),
            "https://g.example/device"
        );
    }

    #[test]
    fn a_malformed_device_authorization_is_rejected() {
        let missing = |member| TokenError::Missing { member };
        let unusable = |member| TokenError::Unusable { member };
        let unacceptable = |member| TokenError::UnacceptableUrl { member };
        for (members, expected) in [
            (r#"{"device_code":null}"#, missing("device_code")),
            (r#"{"device_code":"a\nb"}"#, unusable("device_code")),
            (r#"{"user_code":null}"#, missing("user_code")),
            (r#"{"user_code":""}"#, missing("user_code")),
            (r#"{"user_code":"A\u001b[2J"}"#, unusable("user_code")),
            (r#"{"user_code":"A\u202eB"}"#, unusable("user_code")),
            (r#"{"verification_uri":null}"#, missing("verification_uri")),
            (
                r#"{"verification_uri":"file:///etc/passwd"}"#,
                unacceptable("verification_uri"),
            ),
            (
                r#"{"verification_uri":"http://as.example/device"}"#,
                unacceptable("verification_uri"),
            ),
            (
                r#"{"verification_uri_complete":"javascript:alert(1)"}"#,
                unacceptable("verification_uri_complete"),
            ),
        ] {
            assert_eq!(authorization(members), Err(expected), "{members}");
        }
        assert_eq!(
            parse(400, br#"{"error":"unauthorized_client"}"#)
                .unwrap_err()
                .code(),
            Some("unauthorized_client")
        );
        assert_eq!(
            parse(200, b"<html>"),
            Err(TokenError::NotJson { status: 200 })
        );
    }

    #[test]
    fn the_lifetime_is_limited() {
        for (members, expected) in [
            (r#"{"expires_in":null}"#, 600),
            (r#"{"expires_in":0}"#, 0),
            (r#"{"expires_in":-1}"#, 0),
            (r#"{"expires_in":1800}"#, 1800),
            (r#"{"expires_in":1e12}"#, 3600),
        ] {
            let polling = polling(members);
            assert!(polling.is_expired(secs(expected)), "{members}");
            assert!(
                expected == 0 || !polling.is_expired(secs(expected - 1)),
                "{members}"
            );
        }
    }

    #[test]
    fn the_interval_is_the_servers_within_limits() {
        for (members, expected) in [
            ("{}", 5),
            (r#"{"interval":0}"#, 1),
            (r#"{"interval":-3}"#, 1),
            (r#"{"interval":2}"#, 2),
            (r#"{"interval":"2"}"#, 2),
            (r#"{"interval":1e12}"#, 300),
            (r#"{"interval":"soon"}"#, 5),
        ] {
            assert_eq!(polling(members).next_wait(), secs(expected), "{members}");
        }
    }

    #[test]
    fn slow_down_adds_five_seconds_permanently() {
        let mut polling = polling("{}");
        for (code, wait) in [
            ("authorization_pending", 5),
            ("slow_down", 10),
            ("authorization_pending", 10),
            ("slow_down", 15),
            ("authorization_pending", 15),
        ] {
            assert_eq!(polling.step(refusal(code)), Step::Wait);
            assert_eq!(polling.next_wait(), secs(wait), "{code}");
        }
    }

    #[test]
    fn time_outs_back_off_until_the_next_response() {
        let mut polling = polling("{}");
        for wait in [10, 20, 40, 60, 60] {
            assert_eq!(polling.step(PollResult::TimedOut), Step::Wait);
            assert_eq!(polling.next_wait(), secs(wait));
        }
        assert_eq!(polling.step(refusal("slow_down")), Step::Wait);
        assert_eq!(polling.next_wait(), secs(10));
    }

    #[test]
    fn backing_off_never_shortens_the_interval() {
        let mut polling = polling(r#"{"interval":120}"#);
        assert_eq!(polling.step(PollResult::Unreachable), Step::Wait);
        assert_eq!(polling.next_wait(), secs(120));
    }

    #[test]
    fn polling_continues_while_the_server_fails() {
        for result in [
            PollResult::Unreachable,
            PollResult::Response(parse_token_response(502, b"<html>")),
            PollResult::Response(parse_token_response(429, b"")),
            refusal_with(503, "access_denied"),
        ] {
            let mut polling = polling("{}");
            assert_eq!(polling.step(result), Step::Wait);
            assert_eq!(polling.next_wait(), secs(10));
        }
    }

    #[test]
    fn a_final_error_ends_polling() {
        for (result, expected) in [
            (
                refusal("access_denied"),
                DeviceFailure::Declined(Some(ErrorCode::new("access_denied", None))),
            ),
            (
                refusal("authorization_declined"),
                DeviceFailure::Declined(Some(ErrorCode::new("authorization_declined", None))),
            ),
            (refusal("expired_token"), DeviceFailure::Expired),
            (
                refusal("invalid_grant"),
                DeviceFailure::Failed(
                    parse_token_response(400, br#"{"error":"invalid_grant"}"#).unwrap_err(),
                ),
            ),
            (
                PollResult::Response(parse_token_response(200, b"<html>")),
                DeviceFailure::Failed(TokenError::NotJson { status: 200 }),
            ),
        ] {
            assert_eq!(polling("{}").step(result), Step::Failed(expected));
        }
    }

    #[test]
    fn a_token_ends_polling() {
        let response = parse_token_response(200, br#"{"access_token":"a"}"#).unwrap();
        let result = PollResult::Response(Ok(response.clone()));
        assert_eq!(polling("{}").step(result), Step::Done(response));
    }
}
