//! What every session works with.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::config::Settings;
use crate::env::Env;
use crate::http::Http;
use crate::store::Store;
use crate::terminal::Terminal;

/// The hidden command that runs a sign-in in its own process.
pub const SIGN_IN_PROCESS: &str = "sign-in-process";

/// How much longer a process waits than the process that it waits for may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes to reserve for the response before sending a refresh token: more than the tokens
/// of any known provider need.
pub(super) const RESERVED: usize = 16 * 1024;

/// What to do if no session is saved, because no keyring was found.
pub const NOWHERE_TO_SAVE: &str = "no keyring was found, so no session is saved: tools cannot sign \
    in, and `hallpass get-token` signs in each time; to save sessions in files that only you can read, set `store = \"file\"` in \
    config.toml or HALLPASS_STORE=file, and HALLPASS_DATA_DIR if your home folder cannot be written";

/// What every session works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub env: &'a Env,
    pub settings: &'a Settings,
    pub store: &'a Store,
    pub terminal: Terminal,
}

impl Context<'_> {
    pub(super) fn now(&self) -> OffsetDateTime {
        crate::clock::now(self.env)
    }

    pub(super) fn http(&self, ca_file: Option<&std::path::PathBuf>) -> Http {
        let ca_file = ca_file.or(self.settings.ca_file.as_ref()).cloned();
        Http::new(self.settings.http_timeout, ca_file, self.env, self.terminal)
    }

    /// How long to wait for a record's lock. Its holder makes at most a few requests.
    pub(super) fn record_deadline(&self) -> Instant {
        Instant::now() + self.settings.http_timeout + PATIENCE
    }
}
