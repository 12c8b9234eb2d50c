//! A sign-in in its own process, and the callers that wait for it.
//!
//! A sign-in belongs to the account: a tool may give up after seconds and kill its helper, and the
//! sign-in continues. So the first caller starts hallpass again as a process with its own session
//! (setsid(2)), which owns the listener, the exchange and the store. Callers attach to its socket,
//! show its messages, and read the session from the store when it has ended. Ctrl-C in the last
//! caller cancels it; the death of a caller does not.
//!
//! The process inherits two things: the socket, already bound, as its standard input, and the
//! sign-in lock as its standard output. So callers can connect before it runs, and the lock is
//! never free in between. The first caller that attaches sends the job over the socket: nothing is
//! in the process's arguments, and its environment is the caller's.
//!
//! Architecture invariant: a token goes over the socket only if it could not be stored.
//!
//! The standard library has no such sockets on Windows. There, and if no process can be started,
//! the caller signs in by itself.

mod caller;
mod interrupt;
mod messages;
mod process;
mod wire;

pub(super) use caller::{Attached, Followed, NotStarted, connect, start};
pub use messages::{Ended, Job};

pub use process::{Hub, Process};
