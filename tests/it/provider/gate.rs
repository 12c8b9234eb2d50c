//! A gate at which requests wait until a test opens it, so that no test has to sleep.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longer than any test should take, so that nothing waits forever.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// Lets through all waiting and all future requests.
    pub(crate) fn open(&self) {
        self.change(|state| state.open = true);
    }

    /// Waits until `count` requests have arrived at the gate.
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
