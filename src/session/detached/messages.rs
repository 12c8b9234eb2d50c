//! What the process of a sign-in and its callers tell each other.

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

/// What the process is to do. It holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub provider: Provider,
    pub account: String,
    pub login: LoginLine,
    pub wanted_for: Option<String>,
    /// Which token the caller waits for; a sign-in that does not bring it has failed.
    pub wanted: Option<TokenKind>,
    /// The proxy of [`Account::through`](crate::session::Account::through).
    pub proxy: Option<Url>,
    pub settings: Settings,
    /// How long the OS keyring may take: the caller knows whether there is a person.
    pub keyring_wait: Duration,
    /// The user asked for it (`hallpass login`).
    pub is_asked_for: bool,
}

/// How a sign-in ended, for its callers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Why it failed; `None`: it did not.
    pub report: Option<Report>,
    /// The session, where it could not be stored.
    pub unstored: Option<Box<Session>>,
    /// Whether a person was shown anything.
    pub was_shown: bool,
}

/// What a caller says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromCaller {
    Attach {
        /// Lines up to this level are for it.
        verbose: u8,
        /// Read by the process only where it has none, for it may be another edition's.
        job: serde_json::Value,
    },
    /// The user pressed Ctrl-C.
    Cancel,
    /// What a later version may say, such as a redirect URL that the user pasted.
    #[serde(other)]
    Unknown,
}

/// What the process says.
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
