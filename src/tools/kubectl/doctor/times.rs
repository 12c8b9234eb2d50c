//! How points in time and durations are shown.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

pub(super) fn moment(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_default()
}

pub(super) fn length(duration: Duration) -> String {
    crate::clock::in_words(duration.whole_seconds())
}
