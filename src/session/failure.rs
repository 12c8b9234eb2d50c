//! Failed refreshes: shared with the processes that waited for them, and remembered for a while, so
//! that callers don't queue up at a failing provider. A failure holds no secret.

use std::time::Duration as StdDuration;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::account::Account;
use super::error::Error;
use crate::credential::Generation;
use crate::http::HttpError;
use crate::store::{AtHand, Plain, RecordName};

/// The pause after the first failure. It doubles with each one that follows …
const FIRST_PAUSE: Duration = Duration::seconds(2);
/// … to this.
const LONGEST_PAUSE: Duration = Duration::minutes(1);
/// The maximum if no server was reached: the network may come back any time, and failed connections
/// burden no server.
const LONGEST_PAUSE_OFFLINE: Duration = Duration::seconds(5);
/// The longest pause that a server may ask for. A mistake there must not lock users out for a day.
const LONGEST_RETRY_AFTER: StdDuration = StdDuration::from_secs(3600);
/// Failures this far apart don't count as consecutive.
const FORGOTTEN_AFTER: Duration = Duration::minutes(5);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The generation whose refresh failed. A new session or a successful refresh ends the pause.
    generation: Generation,
    #[serde(with = "time::serde::timestamp::milliseconds")]
    at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp::milliseconds")]
    until: OffsetDateTime,
    /// How many consecutive failures.
    count: u32,
    /// The error message.
    message: String,
}

impl Failure {
    fn new(
        last: Option<&Self>,
        generation: Generation,
        error: &Error,
        retry_after: Option<StdDuration>,
        now: OffsetDateTime,
    ) -> Self {
        let count = last
            .filter(|last| now >= last.at && now < last.until + FORGOTTEN_AFTER)
            .map_or(0, |last| last.count)
            .saturating_add(1);
        let longest = if is_offline(error) {
            LONGEST_PAUSE_OFFLINE
        } else {
            LONGEST_PAUSE
        };
        let growing = (FIRST_PAUSE * 2_i32.pow((count - 1).min(10))).min(longest);
        let pause = retry_after
            .map(|asked| asked.min(LONGEST_RETRY_AFTER))
            .and_then(|asked| Duration::try_from(asked).ok())
            .map_or(growing, |asked| asked.max(FIRST_PAUSE));
        Self {
            generation,
            at: now,
            until: now + pause,
            count,
            message: error.in_one_line(),
        }
    }

    /// Whether another refresh has to wait. Setting the clock back doesn't prolong a pause.
    fn is_pausing(&self, now: OffsetDateTime) -> bool {
        now >= self.at && now < self.until
    }

    /// Whether the failure also answers a process that started at this time, because it waited for
    /// this refresh or started during the pause.
    pub(super) fn holds_for(&self, began: OffsetDateTime, now: OffsetDateTime) -> bool {
        self.is_pausing(now) || (self.at >= began && self.at <= now)
    }

    pub(super) fn shared(&self, now: OffsetDateTime) -> Error {
        Error::RefreshPaused {
            message: self.message.clone(),
            seconds: (self.until - now).whole_seconds().max(0) + 1,
        }
    }
}

/// Whether no server was reached.
fn is_offline(error: &Error) -> bool {
    matches!(error, Error::Http(error) if !error.is_after_sending())
}

/// Whether the provider or the network failed, as opposed to something that the user can correct
/// and retry at once: a setting, the clock, an untrusted certificate, a proxy.
fn is_shared(error: &Error) -> bool {
    if let Error::Http(error) = error {
        return !matches!(
            error,
            HttpError::PlainHttp { .. }
                | HttpError::CaFile { .. }
                | HttpError::Tls { .. }
                | HttpError::Certificate { .. }
                | HttpError::NoAuthorities { .. }
                | HttpError::Proxy { .. }
                | HttpError::ProxyLogin { .. }
        );
    }
    if let Error::Token(fault) = error {
        // The user can correct the client's registration.
        return fault.code() != Some("invalid_client");
    }
    matches!(
        error,
        Error::Discovery(_) | Error::NoMetadata { .. } | Error::LostResponse(_)
    ) || error.is_failed_check()
}

/// Whether the next refresh of this generation has to wait, because the last one failed.
pub fn is_refresh_paused(
    data: &AtHand,
    record: &RecordName,
    generation: Generation,
    now: OffsetDateTime,
) -> bool {
    let failure = data.read_plain::<Failure>(Plain::Refresh, record.as_str());
    let failure = failure.ok().flatten();
    failure.is_some_and(|failure| failure.generation == generation && failure.is_pausing(now))
}

impl Account<'_> {
    /// The last failed refresh of this generation. An unreadable file counts as none.
    pub(super) fn last_failure(&self, generation: Generation) -> Option<Failure> {
        let failure: Option<Failure> = self
            .context
            .store
            .read_plain(Plain::Refresh, self.name.as_str())
            .ok()
            .flatten();
        failure.filter(|failure| failure.generation == generation)
    }

    /// Records a failure of the provider for other callers. If that fails, each of them finds out
    /// by itself.
    pub(super) fn remember_failure(&self, generation: Generation, error: &Error) {
        if !is_shared(error) {
            return;
        }
        let failure = Failure::new(
            self.last_failure(generation).as_ref(),
            generation,
            error,
            self.http.last_retry_after(),
            self.context.now(),
        );
        let _ = self
            .context
            .store
            .write_plain(Plain::Refresh, self.name.as_str(), &failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::CertificateFault;
    use crate::oauth::token::TokenError;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(10_000) + Duration::seconds(seconds)
    }

    fn outage() -> Error {
        Error::Token(TokenError::Http { status: 503 })
    }

    fn offline() -> Error {
        Error::Http(HttpError::Unreachable {
            host: "h".into(),
            reason: "r".into(),
        })
    }

    #[test]
    fn the_pause_grows_and_a_server_may_name_its_own() {
        let pauses = |error: fn() -> Error, retry_after: Option<u64>| {
            let mut last: Option<Failure> = None;
            let mut pauses = Vec::new();
            for _ in 0..8 {
                let now = last.as_ref().map_or(at(0), |last| last.until);
                let retry_after = retry_after.map(StdDuration::from_secs);
                let failure = Failure::new(last.as_ref(), 7, &error(), retry_after, now);
                pauses.push((failure.until - now).whole_seconds());
                last = Some(failure);
            }
            pauses
        };
        assert_eq!(pauses(outage, None), [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pauses(offline, None), [2, 4, 5, 5, 5, 5, 5, 5]);
        assert_eq!(pauses(outage, Some(120)), [120; 8]);
        assert_eq!(pauses(outage, Some(0)), [2; 8]);
        assert_eq!(pauses(outage, Some(u64::MAX)), [3600; 8]);
    }

    #[test]
    fn failures_far_apart_are_not_in_a_row() {
        let first = Failure::new(None, 7, &outage(), None, at(0));
        let second = Failure::new(Some(&first), 7, &outage(), None, at(60));
        assert_eq!(second.count, 2);
        let later = Failure::new(Some(&second), 7, &outage(), None, at(3600));
        assert_eq!(later.count, 1);
    }

    #[test]
    fn a_failure_holds_for_those_who_waited_and_those_who_come_during_the_pause() {
        let failure = Failure::new(None, 7, &outage(), None, at(100));
        for (began, now, holds) in [
            (at(90), at(101), true),
            (at(90), at(110), true),
            (at(101), at(101), true),
            (at(101), at(102), false),
            (at(110), at(110), false),
            // The clock was set back.
            (at(50), at(60), false),
        ] {
            assert_eq!(failure.holds_for(began, now), holds, "{began} {now}");
        }
    }

    #[test]
    fn what_this_machine_can_correct_is_not_shared() {
        for (error, shared) in [
            (outage(), true),
            (offline(), true),
            (Error::LostResponse(Box::new(outage())), true),
            (Error::NoIdToken, true),
            (Error::NoEndpoint("token_endpoint"), false),
            (
                Error::Http(HttpError::Certificate {
                    host: "h".into(),
                    reason: "r".into(),
                    fault: CertificateFault::Trust,
                }),
                false,
            ),
            (
                Error::Http(HttpError::Proxy {
                    host: "h".into(),
                    proxy: "p".into(),
                    reason: "r".into(),
                }),
                false,
            ),
            (Error::Vanished, false),
        ] {
            assert_eq!(is_shared(&error), shared, "{error}");
        }
    }
}
