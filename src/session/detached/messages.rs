//! The messages between a sign-in's process and its callers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::Settings;
use crate::credential::TokenKind;
use crate::provider::Provider;
use crate::report::Report;
use crate::session::login_line::LoginLine;
use crate::session::record::Session;
use crate::terminal::Line;

/// The version of the messages. A caller of another version waits for the lock instead.
pub(super) const VERSION: u32 = 1;

/// What the process has to do. It holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub provider: Provider,
    pub account: String,
    pub login: LoginLine,
    pub wanted_for: Option<String>,
    /// Which token the caller waits for. A sign-in that doesn't bring it has failed.
    pub wanted: Option<TokenKind>,
    /// The proxy of [`Account::through`](crate::session::Account::through).
    pub proxy: Option<Url>,
    pub settings: Settings,
    /// How long the OS keyring may take. Only the caller knows whether the user is present.
    pub keyring_wait: Duration,
    /// The user asked for it (`hallpass login`).
    pub is_asked_for: bool,
}

/// How a sign-in ended, for its callers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Why it failed; `None` if it succeeded.
    pub report: Option<Report>,
    /// The session, if it could not be stored.
    pub unstored: Option<Box<Session>>,
    /// Whether the user was shown anything.
    pub was_shown: bool,
}

/// Messages from a caller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromCaller {
    Attach {
        /// The caller wants lines up to this level.
        verbose: u8,
        /// Parsed only if the process has no job yet, because another version may have sent it.
        job: serde_json::Value,
    },
    /// The user pressed Ctrl-C.
    Cancel,
    /// Something that a later version sends, such as a redirect URL that the user pasted.
    #[serde(other)]
    Unknown,
}

/// Messages from the process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromProcess {
    Hello {
        version: u32,
    },
    Line(Line),
    Ended(Ended),
    #[serde(other)]
    Unknown,
}
