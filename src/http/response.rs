//! Reads a response: the header fields that matter, and a body of limited size.

use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderMap};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::error::HttpError;
use super::fault::root_cause;
use super::policy::BODY_LIMIT;
use crate::secret::Secret;

/// A response with its complete body.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Body,
    /// The server's clock (RFC 9110 §6.6.1), if sent.
    pub date: Option<OffsetDateTime>,
    /// `max-age` of the response's `Cache-Control`.
    pub max_age: Option<Duration>,
    /// When to try again (RFC 9110 §10.2.3), if sent.
    pub retry_after: Option<Duration>,
    /// The values of `WWW-Authenticate` (RFC 9110 §11.6.1).
    pub challenges: Vec<String>,
    /// An HTML page. No endpoint of a provider sends one to a program, so it comes from a gateway.
    pub is_html: bool,
}

/// A body. It may contain tokens, so it is never printed, and it is wiped when dropped.
pub type Body = Secret<Vec<u8>>;

/// The header fields that matter.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) date: Option<OffsetDateTime>,
    pub(super) retry_after: Option<Duration>,
    max_age: Option<Duration>,
    challenges: Vec<String>,
    is_html: bool,
}

impl Fields {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok();
        let date = text(header::DATE).and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok());
        Self {
            date,
            retry_after: text(header::RETRY_AFTER)
                .and_then(|text| retry_after(text, date.unwrap_or_else(OffsetDateTime::now_utc))),
            max_age: text(header::CACHE_CONTROL).and_then(max_age),
            challenges: headers
                .get_all(header::WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect(),
            is_html: text(header::CONTENT_TYPE).is_some_and(|kind| {
                kind.get(..9)
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
            }),
        }
    }

    pub(super) fn with_body(self, status: u16, body: Vec<u8>) -> Response {
        Response {
            status,
            is_html: self.is_html || body.trim_ascii_start().starts_with(b"<"),
            body: Secret::new(body),
            date: self.date,
            max_age: self.max_age,
            retry_after: self.retry_after,
            challenges: self.challenges,
        }
    }
}

/// Reads the body of a request that was sent at `started`.
pub(super) fn read_body(
    host: &str,
    mut response: reqwest::blocking::Response,
    started: Instant,
    limit: Duration,
) -> Result<Vec<u8>, HttpError> {
    let host = || host.to_owned();
    let timed_out = || HttpError::TimedOut {
        host: host(),
        limit,
        connected: true,
    };
    let mut body = Vec::with_capacity(8 * 1024);
    let mut chunk = [0; 8 * 1024];
    loop {
        // The client's own limit applies to each read, so a slow server could exceed the total.
        if started.elapsed() > limit {
            return Err(timed_out());
        }
        let n = response.read(&mut chunk).map_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                timed_out()
            } else {
                HttpError::Interrupted {
                    host: host(),
                    reason: root_cause(&error),
                }
            }
        })?;
        if n == 0 {
            return Ok(body);
        }
        if body.len() + n > BODY_LIMIT {
            return Err(HttpError::TooLarge {
                host: host(),
                limit: BODY_LIMIT,
            });
        }
        body.extend_from_slice(&chunk[..n]);
    }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let mut found = None;
    for directive in cache_control.split(',') {
        let directive = directive.trim();
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
        {
            return Some(Duration::ZERO);
        }
        if let Some((name, value)) = directive.split_once('=')
            && name.eq_ignore_ascii_case("max-age")
        {
            found = value
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    found
}

/// Parses `Retry-After`: seconds, or a date by the server's clock.
fn retry_after(text: &str, server_time: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some((date - server_time).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_parsed_and_no_store_means_zero() {
        for (text, expected) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store, max-age=60", Some(0)),
            ("private", None),
            ("max-age=x", None),
        ] {
            assert_eq!(max_age(text), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = OffsetDateTime::parse("Fri, 27 Nov 2026 14:00:00 GMT", &Rfc2822).unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Fri, 27 Nov 2026 14:01:30 GMT", Some(90)),
            ("Fri, 27 Nov 2026 13:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), expected, "{text:?}");
        }
    }
}
