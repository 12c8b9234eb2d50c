//! The one place that reads the clock: everything else gets `now` by value.

use time::{Duration, OffsetDateTime};

use crate::env::Env;

/// The present moment, in UTC.
///
/// A debug build adds `HALLPASS_TEST_CLOCK` seconds, so that a test can let a token grow old
/// without waiting for it. A release build does not know the variable.
pub fn now(env: &Env) -> OffsetDateTime {
    OffsetDateTime::now_utc() + test_offset(env)
}

/// A duration in its largest suitable unit.
pub fn in_words(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(debug_assertions)]
fn test_offset(env: &Env) -> Duration {
    // Each call reads the clock again.
    env.var_unrecorded("HALLPASS_TEST_CLOCK")
        .and_then(|seconds| seconds.to_str()?.parse().ok())
        .map_or(Duration::ZERO, Duration::seconds)
}

#[cfg(not(debug_assertions))]
fn test_offset(_env: &Env) -> Duration {
    Duration::ZERO
}
