//! A gate at which requests wait until a test lets them through, so that no test sleeps for luck.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longer than any test should take; nothing waits for ever.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// Lets through everything that waits and everything that will come.
    pub(crate) fn open(&self) {
        self.change(|state| state.open = true);
    }

    /// Waits until `count` requests have come to the gate.
    pub(crate) fn wait_for_arrivals(&self, count: usize) {
        self.wait_while(
            |state| state.arrived < count,
            "nobody came to the gate in time",
        );
    }

    pub(super) fn pass(&self) {
        self.change(|state| state.arrived += 1);
        self.wait_while(|state| !state.open, "the gate was never opened");
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool, complaint: &str) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, LIMIT, |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!condition(&state), "{complaint}");
    }
}
