//! Ctrl-C in a caller: cancels the sign-in, unless other callers wait for it too, and then ends
//! this process as it would have otherwise.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;
use signal_hook::low_level::{emulate_default_handler, pipe};

use super::messages::FromCaller;
use super::wire::line;
use crate::signals;

/// What Ctrl-C cancels now. `None` if the signal can't be caught or is ignored.
static WATCHED: OnceLock<Option<Mutex<State>>> = OnceLock::new();

enum State {
    Nothing,
    Cancels(UnixStream),
    Pressed,
}

/// How long the process has to release this caller.
const TO_LET_GO: Duration = Duration::from_secs(1);

/// From now on, Ctrl-C cancels the sign-in.
pub(super) fn cancels(stream: &UnixStream) {
    if let Ok(stream) = stream.try_clone() {
        set(State::Cancels(stream));
    }
}

/// There is nothing left to cancel. If Ctrl-C was pressed already, this doesn't return.
pub(super) fn cancels_nothing() {
    set(State::Nothing);
}

fn set(new: State) {
    let Some(watched) = WATCHED.get_or_init(watched) else {
        return;
    };
    let mut state = watched.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Pressed) {
        drop(state);
        loop {
            // The other thread ends this process.
            std::thread::park();
        }
    }
    *state = new;
}

/// Starts watching for the signal. The handler is permanent, so the thread must end the process
/// even if there is nothing to cancel.
fn watched() -> Option<Mutex<State>> {
    if is_ignored() {
        return None;
    }
    let (mut pressed, handler) = UnixStream::pair().ok()?;
    let wait = move || {
        if matches!(pressed.read(&mut [0]), Ok(1)) {
            cancel();
            // It unblocks the signal in this thread first.
            let _ = emulate_default_handler(SIGINT);
        }
    };
    signals::in_threads_without(|| std::thread::Builder::new().spawn(wait)).ok()?;
    pipe::register(SIGINT, handler).ok()?;
    Some(Mutex::new(State::Nothing))
}

fn cancel() {
    let Some(watched) = WATCHED.get().and_then(Option::as_ref) else {
        return;
    };
    let mut state = watched.lock().unwrap_or_else(PoisonError::into_inner);
    let was = std::mem::replace(&mut *state, State::Pressed);
    drop(state);
    let State::Cancels(mut stream) = was else {
        return;
    };
    if stream.write_all(&line(&FromCaller::Cancel)).is_err() {
        return;
    }
    let until = Instant::now() + TO_LET_GO;
    let mut rest = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        // The process closes the connection once it has received this.
        if let Ok(0) | Err(_) = stream.read(&mut rest) {
            return;
        }
    }
}

/// Whether this process was started with the signal ignored, as a shell does for `command &`:
/// proc(5), bit n-1 of `SigIgn` is signal n.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (SIGINT - 1) & 1 == 1)
}
