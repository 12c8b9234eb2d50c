//! Sessions: cached, refreshed, authorized. This is the one place where a token is refreshed.
//!
//! Architecture invariants: one process at a time refreshes a record. It reserves space for the
//! response before it sends a refresh token, and stores the response before it replies. One process
//! at a time prompts the user, and never while it holds the record's lock. An error is not an
//! absence, so a failing network, server or keyring opens no browser and deletes nothing.

mod account;
mod accounts;
pub mod attempt;
mod authorize;
mod context;
#[cfg(unix)]
pub mod detached;
mod error;
pub mod exchanged;
pub mod failure;
mod login_line;
mod metadata;
mod narrower;
mod person;
pub mod plan;
pub mod record;
mod refresh;
pub mod refusal;
mod refused;
mod scopes;
mod send;
mod sign_out;
mod tab;
mod tab_message;
mod token;
mod token_set;
mod waiting;

// What an `Error` holds: whoever writes its hint has to tell these apart.
pub use crate::exchange::ExchangeError;
pub use crate::oauth::discovery::DiscoveryError;
pub use crate::oauth::id_token::IdTokenError;
pub use crate::oauth::token::TokenError;
pub use account::Account;
#[cfg(unix)]
pub use attempt::cancelled;
pub use context::{Context, NOWHERE_TO_SAVE, SIGN_IN_PROCESS};
pub use error::{Error, Sent, clock_hint};
pub use login_line::{DEFAULT_ACCOUNT, LoginLine};
pub use sign_out::{Revocation, SignedOut, sign_out};
pub use token::token_of;
