//! The device authorization grant as a state machine (RFC 8628).
//!
//! It neither waits nor asks: it says how long to wait, is told what came back, and says what that
//! means.
//!
//! <https://www.rfc-editor.org/rfc/rfc8628>

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::discovery::is_acceptable_url;
use super::error_code::ErrorCode;
use super::sanitized;
use super::token::{TokenError, TokenResponse, parse_answer, seconds, usable};
use crate::secret::Secret;

/// How long to wait where the server does not say (RFC 8628 §3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// An interval of 0 is not an invitation to a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause that a server can ask for; beyond that nobody learns that it is done.
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);
/// What `slow_down` adds, for good (RFC 8628 §3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// Where the doubling after a time-out ends (RFC 8628 §3.5).
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A code's life in seconds where the server leaves out what RFC 8628 §3.2 requires.
const DEFAULT_LIFE: i64 = 600;
/// Nobody sits in front of a terminal for longer.
const LONGEST_LIFE: i64 = 3600;

/// What the person is shown, and the code that is polled with.
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

/// Reads the answer of the device authorization endpoint (RFC 8628 §3.2).
pub fn parse(status: u16, body: &[u8]) -> Result<DeviceAuthorization, TokenError> {
    #[derive(Deserialize)]
    struct Wire {
        device_code: Option<Secret<String>>,
        user_code: Option<String>,
        // Two members, for a server may send both: Google's is older than the RFC.
        verification_uri: Option<String>,
        verification_url: Option<String>,
        verification_uri_complete: Option<String>,
        expires_in: Option<Value>,
        interval: Option<Value>,
    }
    let missing = |member| TokenError::Missing { member };

    let wire: Wire = parse_answer(status, body)?;
    let user_code = wire
        .user_code
        .filter(|code| !code.is_empty())
        .ok_or(missing("user_code"))?;
    // It is shown to be typed in: what does not print cannot be meant honestly.
    if sanitized(&user_code) != user_code {
        return Err(TokenError::Unusable {
            member: "user_code",
        });
    }
    let life = wire.expires_in.as_ref().and_then(seconds);
    Ok(DeviceAuthorization {
        device_code: usable("device_code", wire.device_code)?.ok_or(missing("device_code"))?,
        user_code,
        verification_uri: page(
            "verification_uri",
            wire.verification_uri.or(wire.verification_url),
        )?
        .ok_or(missing("verification_uri"))?,
        verification_uri_complete: page(
            "verification_uri_complete",
            wire.verification_uri_complete,
        )?,
        expires_in: life.unwrap_or(DEFAULT_LIFE).clamp(0, LONGEST_LIFE),
        interval: wire
            .interval
            .as_ref()
            .and_then(seconds)
            .map(|interval| interval.max(0).unsigned_abs()),
    })
}

/// The person, or the browser opener, is sent there.
fn page(member: &'static str, text: Option<String>) -> Result<Option<Url>, TokenError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    Url::parse(&text)
        .ok()
        .filter(is_acceptable_url)
        .map(Some)
        .ok_or(TokenError::UnacceptableUrl { member })
}

/// One device code that is being polled with.
#[derive(Debug, Clone)]
pub struct Polling {
    interval: Duration,
    backoff: Duration,
    life: Duration,
}

/// What came back from the token endpoint.
#[derive(Debug)]
pub enum PollAnswer {
    Response(Result<TokenResponse, TokenError>),
    TimedOut,
    Unreachable,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask again after [`Polling::next_wait`].
    Wait,
    Done(TokenResponse),
    Ended(DeviceEnd),
}

/// Why there will be no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceEnd {
    #[error("the sign-in was declined")]
    Declined(Option<ErrorCode>),
    #[error("the code was not entered in time")]
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
        let life = authorization.expires_in.clamp(0, LONGEST_LIFE);
        Self {
            interval,
            backoff: Duration::ZERO,
            life: Duration::from_secs(life.unsigned_abs()),
        }
    }

    /// How long to wait before the next poll, the first one included.
    pub fn next_wait(&self) -> Duration {
        self.interval.max(self.backoff)
    }

    /// How long the code lives, from when it was issued.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Whether the code is dead, so long after it was issued.
    pub fn expired(&self, elapsed: Duration) -> bool {
        elapsed >= self.life
    }

    /// Takes in an answer.
    pub fn step(&mut self, answer: PollAnswer) -> Step {
        let error = match answer {
            PollAnswer::Response(Ok(response)) => return Step::Done(response),
            PollAnswer::Response(Err(error)) => error,
            PollAnswer::TimedOut | PollAnswer::Unreachable => return self.back_off(),
        };
        if is_passing(&error) {
            return self.back_off();
        }
        self.backoff = Duration::ZERO;
        match error.code() {
            Some("authorization_pending") => Step::Wait,
            Some("slow_down") => {
                self.interval = (self.interval + SLOW_DOWN).min(LONGEST_INTERVAL);
                Step::Wait
            }
            // The second is Entra's word for it.
            Some("access_denied" | "authorization_declined") => {
                Step::Ended(DeviceEnd::Declined(error.into_code()))
            }
            Some("expired_token") => Step::Ended(DeviceEnd::Expired),
            Some(_) | None => Step::Ended(DeviceEnd::Failed(error)),
        }
    }

    /// RFC 8628 §3.5: after a time-out less often, at best exponentially so.
    fn back_off(&mut self) -> Step {
        self.backoff = (self.next_wait() * 2).min(LONGEST_BACKOFF);
        Step::Wait
    }
}

/// Whether the server, and not the grant, is in trouble.
fn is_passing(error: &TokenError) -> bool {
    match error {
        TokenError::Unavailable { .. } => true,
        TokenError::Http { status } => *status >= 500 || matches!(status, 408 | 429),
        TokenError::Refused { .. }
        | TokenError::NotJson { .. }
        | TokenError::Malformed
        | TokenError::Missing { .. }
        | TokenError::LostScopes
        | TokenError::Unusable { .. }
        | TokenError::UnacceptableUrl { .. }
        | TokenError::WrongTokenType
        | TokenError::DpopOnly => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::token::parse_token_response;

    const GOOD: &str = r#"{"device_code":"dc","user_code":"WDJB-MJHT",
        "verification_uri":"https://as.example/device","expires_in":1800}"#;

    fn authorization(members: &str) -> Result<DeviceAuthorization, TokenError> {
        // The last one of two equal members would be refused: replace, where it is there.
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

    fn refusal(code: &str) -> PollAnswer {
        refusal_with(400, code)
    }

    fn refusal_with(status: u16, code: &str) -> PollAnswer {
        let body = format!(r#"{{"error":"{code}"}}"#);
        PollAnswer::Response(parse_token_response(status, body.as_bytes()))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_device_authorization_is_read() {
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
    fn googles_name_for_the_page_is_understood() {
        let members = r#"{"verification_uri":null,"verification_url":"https://g.example/device"}"#;
        assert_eq!(
            authorization(members).unwrap().verification_uri.as_str(),
            "https://g.example/device"
        );
    }

    #[test]
    fn a_strange_device_authorization_is_refused() {
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
    fn the_life_is_bounded() {
        for (members, expected) in [
            (r#"{"expires_in":null}"#, 600),
            (r#"{"expires_in":0}"#, 0),
            (r#"{"expires_in":-1}"#, 0),
            (r#"{"expires_in":1800}"#, 1800),
            (r#"{"expires_in":1e12}"#, 3600),
        ] {
            let polling = polling(members);
            assert_eq!(polling.life(), secs(expected), "{members}");
            assert!(polling.expired(secs(expected)));
            assert!(expected == 0 || !polling.expired(secs(expected - 1)));
        }
    }

    #[test]
    fn the_interval_is_the_servers_within_reason() {
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
    fn slow_down_adds_five_seconds_for_good() {
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
    fn a_time_out_backs_off_to_a_bound_and_an_answer_ends_that() {
        let mut polling = polling("{}");
        for wait in [10, 20, 40, 60, 60] {
            assert_eq!(polling.step(PollAnswer::TimedOut), Step::Wait);
            assert_eq!(polling.next_wait(), secs(wait));
        }
        assert_eq!(polling.step(refusal("slow_down")), Step::Wait);
        assert_eq!(polling.next_wait(), secs(10));
    }

    #[test]
    fn a_long_interval_is_kept_while_backing_off() {
        let mut polling = polling(r#"{"interval":120}"#);
        assert_eq!(polling.step(PollAnswer::Unreachable), Step::Wait);
        assert_eq!(polling.next_wait(), secs(120));
    }

    #[test]
    fn a_server_in_trouble_is_asked_again() {
        for answer in [
            PollAnswer::Unreachable,
            PollAnswer::Response(parse_token_response(502, b"<html>")),
            PollAnswer::Response(parse_token_response(429, b"")),
            refusal_with(503, "access_denied"),
        ] {
            let mut polling = polling("{}");
            assert_eq!(polling.step(answer), Step::Wait);
            assert_eq!(polling.next_wait(), secs(10));
        }
    }

    #[test]
    fn the_end_is_the_end() {
        for (answer, expected) in [
            (
                refusal("access_denied"),
                DeviceEnd::Declined(Some(ErrorCode::new("access_denied", None))),
            ),
            (
                refusal("authorization_declined"),
                DeviceEnd::Declined(Some(ErrorCode::new("authorization_declined", None))),
            ),
            (refusal("expired_token"), DeviceEnd::Expired),
            (
                refusal("invalid_grant"),
                DeviceEnd::Failed(
                    parse_token_response(400, br#"{"error":"invalid_grant"}"#).unwrap_err(),
                ),
            ),
            (
                PollAnswer::Response(parse_token_response(200, b"<html>")),
                DeviceEnd::Failed(TokenError::NotJson { status: 200 }),
            ),
        ] {
            assert_eq!(polling("{}").step(answer), Step::Ended(expected));
        }
    }

    #[test]
    fn a_token_is_the_happy_end() {
        let response = parse_token_response(200, br#"{"access_token":"a"}"#).unwrap();
        let answer = PollAnswer::Response(Ok(response.clone()));
        assert_eq!(polling("{}").step(answer), Step::Done(response));
    }
}
