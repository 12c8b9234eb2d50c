//! Holds back signals while the process must not end.
//!
//! Unix: SIGINT, SIGTERM, SIGHUP and SIGQUIT are blocked in the main thread, and every other
//! thread has them blocked from its start ([`in_threads_without`]), so the system has no thread to
//! deliver them to. When they are released, they do what they would have done at once: what the
//! process was told to ignore (`nohup`) stays ignored, and the parent sees which signal it was.
//!
//! Windows: Ctrl-C and Ctrl-Break. The system ends a console process that is closed or logged off
//! whatever it does.

use std::marker::PhantomData;

/// Holds signals back until it is dropped.
#[derive(Debug)]
#[must_use = "signals are released when it is dropped"]
pub struct HeldBack {
    _before: system::Before,
    /// Blocked signals are a property of one thread.
    _of_this_thread: PhantomData<*const ()>,
}

/// Holds signals back.
pub fn hold_back() -> HeldBack {
    HeldBack {
        _before: system::block(),
        _of_this_thread: PhantomData,
    }
}

/// Runs a function that may start threads. They inherit the blocked signals and never receive them,
/// so only the main thread decides when signals take effect.
pub fn in_threads_without<T>(start: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let _held = hold_back();
    start()
}

#[cfg(unix)]
mod system {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};

    /// The signals that were blocked before; `None` if that can't be changed.
    #[derive(Debug)]
    pub(super) struct Before(Option<SigSet>);

    pub(super) fn block() -> Before {
        let ending = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ];
        let ending: SigSet = ending.into_iter().collect();
        Before(ending.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }

    impl Drop for Before {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                // The same call has just succeeded.
                let _ = before.thread_set_mask();
            }
        }
    }
}

#[cfg(windows)]
mod system {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    /// The exit code of a process that Ctrl-C ended: `STATUS_CONTROL_C_EXIT`.
    const ENDED_BY_CTRL_C: i32 = 0xC000_013A_u32.cast_signed();

    static HELD: AtomicBool = AtomicBool::new(false);
    static PENDING: AtomicBool = AtomicBool::new(false);
    static HANDLER: OnceLock<bool> = OnceLock::new();

    #[derive(Debug)]
    pub(super) struct Before;

    pub(super) fn block() -> Before {
        HELD.store(true, SeqCst);
        HANDLER.get_or_init(|| {
            ctrlc::set_handler(|| {
                PENDING.store(true, SeqCst);
                if !HELD.load(SeqCst) {
                    std::process::exit(ENDED_BY_CTRL_C);
                }
            })
            .is_ok()
        });
        Before
    }

    impl Drop for Before {
        fn drop(&mut self) {
            HELD.store(false, SeqCst);
            if PENDING.load(SeqCst) {
                std::process::exit(ENDED_BY_CTRL_C);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    fn is_blocked(signal: Signal) -> bool {
        SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(signal))
    }

    #[test]
    fn signals_are_blocked_until_released_and_permanently_in_threads() {
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ] {
            assert!(!is_blocked(signal), "{signal}");
            let outer = hold_back();
            let inner = hold_back();
            drop(inner);
            assert!(is_blocked(signal), "{signal}");
            drop(outer);
            assert!(!is_blocked(signal), "{signal}");
            let thread = in_threads_without(|| std::thread::spawn(move || is_blocked(signal)));
            assert!(thread.join().unwrap(), "{signal}");
            assert!(!is_blocked(signal), "{signal}");
            assert!(!is_blocked(Signal::SIGPIPE));
        }
    }
}
