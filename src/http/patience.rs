//! Announces that a server is slow, so the user knows what hallpass is waiting for.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::terminal::Terminal;

/// Longer than a healthy server takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A pending request. Dropping it cancels the announcement.
pub(super) struct Patience {
    _is_over: mpsc::Sender<()>,
}

impl Patience {
    pub(super) fn with(host: &str, limit: Duration, terminal: Terminal) -> Self {
        let (sender, receiver) = mpsc::channel();
        let host = host.to_owned();
        let announce = move || {
            if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                terminal.say(&format!(
                    "{host} has not answered for {} s; waiting for up to {} s",
                    PATIENCE.as_secs(),
                    limit.as_secs()
                ));
            }
        };
        crate::signals::in_threads_without(|| std::thread::spawn(announce));
        Self { _is_over: sender }
    }
}
