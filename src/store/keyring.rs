//! The OS keyring (Secret Service, Keychain, Credential Manager), which stores the data key as
//! text.
//!
//! It is never used on the hot path, and may not respond at all: a locked Secret Service that can't
//! be unlocked hangs forever. So each call runs in its own thread, which is abandoned when time is
//! up. Our own lock allows one call at a time, because parallel clients crash gnome-keyring. An
//! error here never means that the key doesn't exist.

use std::fs::File;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::data_key::{KEY_LEN, KeyId};
use super::error::KeyringError;
use super::lock;
use crate::secret::Secret;
use crate::signals;

#[cfg(all(unix, not(target_os = "macos")))]
mod bus;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service;

#[cfg(not(all(unix, not(target_os = "macos"))))]
mod always_there;
#[cfg(not(all(unix, not(target_os = "macos"))))]
use always_there as secret_service;

/// With a time limit up to this, the user can't be prompted, so no unlock dialog is opened.
pub const UNATTENDED: Duration = Duration::from_secs(2);

/// How one call is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) wait: Duration,
    /// Called once the wait is longer than [`UNATTENDED`].
    pub(super) announce: fn(),
}

impl Terms {
    fn attended(self) -> bool {
        self.wait > UNATTENDED
    }
}

type DataSecret = Secret<[u8; KEY_LEN]>;

/// Whether there is a keyring, locked or not. Opens no dialog and reads no secret.
pub(super) fn probe(terms: Terms) -> Result<(), KeyringError> {
    bounded(terms, |_| secret_service::connect().map(|_| ()))
}

/// Whether the keyring is locked, if the platform can tell without a dialog.
pub(super) fn is_locked(terms: Terms) -> Result<bool, KeyringError> {
    bounded(terms, |_| secret_service::connect()?.is_locked())
}

/// The key with this name. Calls `cached` first once it has the lock, because the previous holder
/// may have cached the key.
pub(super) fn read(
    id: KeyId,
    terms: Terms,
    turn: File,
    cached: impl FnOnce() -> Option<DataSecret> + Send + 'static,
) -> Result<DataSecret, KeyringError> {
    in_turn(terms, turn, move || {
        if let Some(secret) = cached() {
            return Ok(secret);
        }
        // Kept open until the end, because short-lived clients cause trouble for gnome-keyring.
        let service = secret_service::connect()?;
        service.may_be_read(id, terms.attended())?;
        decode(&service.read(id)?)
    })
}

/// Writes a new key, and reads it back.
pub(super) fn make(
    id: KeyId,
    secret: DataSecret,
    terms: Terms,
    turn: File,
) -> Result<DataSecret, KeyringError> {
    in_turn(terms, turn, move || {
        let service = secret_service::connect()?;
        service.may_be_written(terms.attended())?;
        service.write(id, &Zeroizing::new(STANDARD.encode(secret.expose())))?;
        decode(&service.read(id)?)
    })
}

/// Removes a key. A missing key is not an error.
pub(super) fn remove(id: KeyId, terms: Terms, turn: File) -> Result<(), KeyringError> {
    in_turn(terms, turn, move || {
        let service = secret_service::connect()?;
        let removed = service
            .may_be_read(id, terms.attended())
            .and_then(|()| service.remove(id));
        match removed {
            Err(KeyringError::NotFound) => Ok(()),
            removed => removed,
        }
    })
}

fn decode(text: &str) -> Result<DataSecret, KeyringError> {
    let bytes = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    bytes
        .ok()
        .and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok())
        .map(Secret::new)
        .ok_or(KeyringError::NotAKey)
}

/// Waits for the lock and then makes the call. The time limit includes the wait since the keyring
/// last responded to any process, so a queue that moves is waited for and one that hangs is not.
fn in_turn<T: Send + 'static>(
    terms: Terms,
    turn: File,
    call: impl FnOnce() -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let started = Instant::now();
    let longest = started + terms.wait.max(LONGEST_QUEUE);
    bounded(terms, move |moved| {
        let mut deadline = started + terms.wait;
        let turn = lock::acquire_until(turn, |turn| {
            let later = last_answer(turn).map_or(deadline, |at| at + terms.wait);
            deadline = deadline.max(later.min(longest));
            moved(deadline);
            deadline
        })
        .map_err(|error| KeyringError::Other(error.to_string()))?
        .map_err(|_| KeyringError::TimedOut { after: terms.wait })?;
        let answer = call();
        if answer.is_ok() {
            // If this fails, the next process only waits less.
            let _ = turn.set_modified(SystemTime::now());
        }
        drop(turn);
        answer
    })
}

/// The longest wait, even if the queue moves.
const LONGEST_QUEUE: Duration = Duration::from_secs(30);

/// When the keyring last responded to any process: the lock file's time.
fn last_answer(turn: &File) -> Option<Instant> {
    let ago = turn.metadata().ok()?.modified().ok()?.elapsed().ok()?;
    Instant::now().checked_sub(ago)
}

/// Runs a call in a thread, and abandons the thread if it takes too long. The call may extend its
/// deadline.
fn bounded<T: Send + 'static>(
    Terms { wait, announce }: Terms,
    call: impl FnOnce(&dyn Fn(Instant)) -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let started = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name("keyring".to_owned());
    let work = move || {
        // The receiver is gone once the time is up.
        let answer = call(&|deadline| {
            let _ = sender.send(Word::Deadline(deadline));
        });
        let _ = sender.send(Word::Answer(answer));
    };
    signals::in_threads_without(|| thread.spawn(work))
        .map_err(|error| KeyringError::Other(error.to_string()))?;
    let mut deadline = started + wait;
    let mut quiet_until = (wait > UNATTENDED).then(|| started + UNATTENDED);
    loop {
        let next = quiet_until.unwrap_or(deadline);
        match receiver.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Word::Answer(answer)) => return answer,
            Ok(Word::Deadline(moved)) => deadline = moved,
            Err(RecvTimeoutError::Timeout) if quiet_until.take().is_some() => announce(),
            Err(RecvTimeoutError::Timeout) => {
                return Err(KeyringError::TimedOut { after: wait });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(KeyringError::Other("it did not answer".to_owned()));
            }
        }
    }
}

/// A message from a call's thread.
enum Word<T> {
    Deadline(Instant),
    Answer(Result<T, KeyringError>),
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SHORT: Terms = Terms {
        wait: Duration::from_millis(50),
        announce: || panic!("there is nobody to be told"),
    };

    const LONG: Terms = Terms {
        wait: Duration::from_secs(60),
        ..SHORT
    };

    #[test]
    fn a_waiting_user_is_told_why() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let terms = Terms {
            announce: || {
                TOLD.fetch_add(1, Ordering::SeqCst);
            },
            ..LONG
        };
        assert_eq!(bounded(terms, |_| Ok(TOLD.load(Ordering::SeqCst))), Ok(0));
        let told = bounded(terms, |_| {
            while TOLD.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(TOLD.load(Ordering::SeqCst))
        });
        assert_eq!(told, Ok(1));
    }

    #[test]
    fn a_call_to_a_hanging_keyring_is_abandoned() {
        let (never, silent) = mpsc::channel::<()>();
        let answer = bounded(SHORT, move |_| {
            let _ = silent.recv();
            Ok(())
        });
        assert_eq!(answer, Err(KeyringError::TimedOut { after: SHORT.wait }));
        drop(never);
    }

    #[test]
    fn a_thread_that_ends_without_a_result_is_an_error() {
        let answer: Result<(), _> = bounded(LONG, |_| panic!("as a platform's library might"));
        assert!(matches!(answer, Err(KeyringError::Other(_))));
    }

    #[test]
    fn the_time_limit_includes_the_wait_for_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("keyring.lock")).unwrap();
        let held = open();
        held.lock().unwrap();
        let answer: Result<(), _> = in_turn(SHORT, open(), || panic!("it is not our turn"));
        assert_eq!(answer, Err(KeyringError::TimedOut { after: SHORT.wait }));
        drop(held);
        assert_eq!(in_turn(LONG, open(), || Ok(1)), Ok(1));
    }

    #[test]
    fn a_queue_that_moves_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("keyring.lock")).unwrap();
        let held = open();
        held.lock().unwrap();
        // Long enough that the queue doesn't seem to hang on a busy machine.
        let terms = Terms {
            wait: Duration::from_secs(1),
            ..SHORT
        };
        let moving = std::thread::spawn(move || {
            for _ in 0..15 {
                std::thread::sleep(terms.wait / 10);
                held.set_modified(SystemTime::now()).unwrap();
            }
        });
        assert_eq!(in_turn(terms, open(), || Ok(1)), Ok(1));
        moving.join().unwrap();
    }

    #[test]
    fn errors_never_show_an_entrys_content() {
        for text in ["", "hunter2", "aHVudGVyMg=="] {
            let Err(reason) = decode(text) else {
                panic!("{text} was taken for a key");
            };
            assert_eq!(reason, KeyringError::NotAKey);
        }
    }
}
