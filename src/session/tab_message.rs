//! How a sign-in ended, for the browser tab that waits for the result.

use crate::grant::page::Failure;

/// What the tab will be told.
#[derive(Debug, Clone)]
pub(super) enum TabMessage {
    SignedIn { who: Option<String> },
    Declined,
    TimedOut,
    OtherPerson { pinned: String, who: String },
    Failed(Failure),
}
