//! A sign-in in a process of its own, and the callers that wait for it.
//!
//! A sign-in belongs to the account: a tool may give up after seconds and kill its helper, and the
//! sign-in goes on. So the first caller starts hallpass again as a process of its own session
//! (setsid(2)), which owns the listener, the exchange and the store. Callers attach to its socket,
//! show what it says, and read the session from the store when it has ended. Ctrl-C in the last
//! caller cancels it; the death of a caller does not.
//!
//! The process inherits two things: the socket, already bound, as its standard input, and the
//! sign-in lock as its standard output. So callers can connect before it runs, and the lock is
//! never free in between. What to do arrives over the socket, from the first caller that attaches:
//! nothing is in the process's arguments, and its environment is the caller's.
//!
//! Architecture invariant: a token goes over the socket only where it could not be stored.
//!
//! Windows has no such sockets in the standard library: there, and where no process can be started,
//! the caller signs in by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::LoginLine;
use super::record::Session;
use crate::config::Settings;
use crate::credential::TokenKind;
use crate::provider::Provider;
use crate::report::Report;
use crate::terminal::Line;

mod caller;
mod interrupt;
mod process;
mod wire;

pub(super) use caller::{Attached, Followed, NotStarted, connect, start};
pub use process::{Hub, Process};

/// The version of the messages. A caller of another version waits for the lock instead.
const VERSION: u32 = 1;

/// What the process is to do. It holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub provider: Provider,
    pub account: String,
    pub login: LoginLine,
    pub wanted_for: Option<String>,
    /// Which token the caller waits for; a sign-in that does not bring it has failed.
    pub wanted: Option<TokenKind>,
    /// The proxy of [`super::Account::through`].
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
enum FromCaller {
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
enum FromProcess {
    Hello {
        version: u32,
    },
    Line(Line),
    Ended(Ended),
    #[serde(other)]
    Unknown,
}
