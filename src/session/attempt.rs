//! The record of the last sign-in attempt: which process made it, and how it ended. It holds no
//! secret.
//!
//! Processes that waited for the sign-in read its result here, so a single "no" answers all of
//! them. It also holds the cool-down, which keeps a tool that retries from opening one tab after
//! another.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

#[cfg(unix)]
use crate::store::{Plain, RecordName, Store};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub pid: u32,
    #[serde(with = "time::serde::timestamp")]
    pub started_at: OffsetDateTime,
    pub ended: Option<Ended>,
    /// How many attempts in a row were not completed. Each one doubles the pause.
    #[serde(default)]
    pub unfinished: u32,
    /// How many attempts in a row timed out, which suggests that the user is away.
    #[serde(default)]
    pub unanswered: u32,
    /// How many previous attempts in a row ended without a result.
    #[serde(default)]
    pub died: u32,
    /// In the last completed sign-in, a different person signed in than the account's owner.
    #[serde(default)]
    pub other_person: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
    pub outcome: Outcome,
    /// The error message of the process that signed in.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    SignedIn,
    Declined,
    TimedOut,
    /// It failed after the user had seen something.
    Failed,
    /// It failed before a browser opened, so the user saw nothing.
    NotOpened,
    /// The user pressed Ctrl-C, and no other caller was waiting.
    Cancelled,
}

/// How long tools may not start another sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    Until(OffsetDateTime),
    /// Until the user runs `hallpass login`.
    UntilAskedFor,
}

/// The pause after the user declined.
const AFTER_DECLINED: Duration = Duration::minutes(5);
/// The pause after a timeout doubles from this …
const AFTER_UNFINISHED: Duration = Duration::minutes(1);
/// … to this.
const AT_MOST: Duration = Duration::minutes(15);
/// After this many timeouts in a row, tools don't start another sign-in.
const UNANSWERED: u32 = 2;

impl Attempt {
    /// A new attempt, which carries over the counts of the previous ones.
    pub fn started(last: Option<&Self>, now: OffsetDateTime) -> Self {
        Self {
            pid: std::process::id(),
            started_at: now,
            ended: None,
            unfinished: last.map_or(0, |last| last.unfinished),
            unanswered: last.map_or(0, |last| last.unanswered),
            died: last
                .filter(|last| last.ended.is_none())
                .map_or(0, |last| last.died.saturating_add(1)),
            other_person: last.is_some_and(|last| last.other_person),
        }
    }

    /// Resets the pauses, because the user asked for this sign-in.
    #[must_use]
    pub fn asked_for(self) -> Self {
        Self {
            unfinished: 0,
            unanswered: 0,
            ..self
        }
    }

    /// Records that a different person signed in, so the next sign-in shows the account picker.
    #[must_use]
    pub fn of_other_person(self) -> Self {
        Self {
            other_person: true,
            ..self
        }
    }

    #[must_use]
    pub fn ended(mut self, outcome: Outcome, message: String, now: OffsetDateTime) -> Self {
        match outcome {
            Outcome::TimedOut => {
                self.unfinished = self.unfinished.saturating_add(1);
                self.unanswered = self.unanswered.saturating_add(1);
            }
            Outcome::Failed => {
                self.unfinished = self.unfinished.saturating_add(1);
                self.unanswered = 0;
            }
            Outcome::SignedIn => {
                self.unfinished = 0;
                self.unanswered = 0;
                self.other_person = false;
            }
            Outcome::Declined => {
                self.unfinished = 0;
                self.unanswered = 0;
            }
            Outcome::NotOpened | Outcome::Cancelled => (),
        }
        self.ended = Some(Ended {
            at: now,
            outcome,
            message,
        });
        self
    }

    /// The rest of the pause, if it is not over.
    pub fn pause(&self, now: OffsetDateTime) -> Option<Pause> {
        if self.unanswered >= UNANSWERED {
            return Some(Pause::UntilAskedFor);
        }
        let ended = self.ended.as_ref()?;
        let pause = match ended.outcome {
            Outcome::SignedIn | Outcome::NotOpened | Outcome::Cancelled => return None,
            Outcome::Declined => AFTER_DECLINED,
            Outcome::TimedOut | Outcome::Failed => {
                let doublings = self.unfinished.saturating_sub(1).min(4);
                (AFTER_UNFINISHED * 2_i32.pow(doublings)).min(AT_MOST)
            }
        };
        // Setting the clock back must not prolong the pause.
        (now >= ended.at && now < ended.at + pause).then_some(Pause::Until(ended.at + pause))
    }
}

/// Records that the user cancelled the sign-in.
#[cfg(unix)]
pub fn cancelled(store: &Store, record: &RecordName, now: OffsetDateTime) {
    let name = record.as_str();
    if let Ok(Some(attempt)) = store.read_plain::<Attempt>(Plain::Attempt, name)
        && attempt.ended.is_none()
    {
        let attempt = attempt.ended(Outcome::Cancelled, String::new(), now);
        // Otherwise, the next caller would think that this process crashed.
        let _ = store.write_plain(Plain::Attempt, name, &attempt);
    }
    let _ = store.remove_socket(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_fits_how_the_last_attempt_ended() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(10_000);
        for (outcome, before, seconds) in [
            (Outcome::SignedIn, 3, None),
            (Outcome::NotOpened, 3, None),
            (Outcome::Declined, 0, Some(300)),
            (Outcome::TimedOut, 0, Some(60)),
            (Outcome::TimedOut, 1, Some(120)),
            (Outcome::TimedOut, 3, Some(480)),
            (Outcome::Failed, 4, Some(900)),
            (Outcome::TimedOut, u32::MAX, Some(900)),
            (Outcome::Cancelled, 3, None),
        ] {
            let mut attempt = Attempt::started(None, now);
            attempt.unfinished = before;
            let attempt = attempt.ended(outcome, String::new(), now);
            let until = seconds.map(|seconds| Pause::Until(now + Duration::seconds(seconds)));
            assert_eq!(attempt.pause(now), until, "{outcome:?} after {before}");
            assert_eq!(attempt.pause(now + Duration::minutes(15)), None);
            assert_eq!(
                attempt.pause(now - Duration::minutes(1)),
                None,
                "clock set back"
            );
        }
    }

    #[test]
    fn two_attempts_in_a_row_that_timed_out_are_the_last_ones() {
        use Outcome::{Cancelled, Declined, Failed, NotOpened, SignedIn, TimedOut};
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(10_000);
        for (outcomes, paused) in [
            (&[TimedOut][..], false),
            (&[TimedOut, TimedOut], true),
            (&[TimedOut, NotOpened, TimedOut], true),
            (&[TimedOut, Cancelled, TimedOut], true),
            (&[TimedOut, Declined, TimedOut], false),
            (&[TimedOut, Failed, TimedOut], false),
            (&[TimedOut, TimedOut, SignedIn], false),
        ] {
            let last = outcomes.iter().fold(None, |last, outcome| {
                let started = Attempt::started(last.as_ref(), now);
                Some(started.ended(*outcome, String::new(), now))
            });
            let later = now + Duration::days(365);
            let pause = last.and_then(|last| last.pause(later));
            assert_eq!(
                pause,
                paused.then_some(Pause::UntilAskedFor),
                "{outcomes:?}"
            );
        }
    }

    #[test]
    fn attempts_that_left_no_trace_are_counted() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let first = Attempt::started(None, now);
        let second = Attempt::started(Some(&first), now);
        let third = Attempt::started(Some(&second), now);
        assert_eq!((first.died, second.died, third.died), (0, 1, 2));
        let ended = third.ended(Outcome::NotOpened, String::new(), now);
        assert_eq!(Attempt::started(Some(&ended), now).died, 0);
    }
}
