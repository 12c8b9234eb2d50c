//! hallpass: one sign-in, every developer tool.
//!
//! There is no public API: the library exists so that the program, its tests and its benchmarks
//! share one crate. The modules stand in the order in which a request meets them; the way is
//! drawn in `docs/ARCHITECTURE.md`.

use std::process::ExitCode;

pub mod env;

pub mod arguments;
pub mod commands;

pub mod credential;
pub mod serving;
pub mod setup;
pub mod tools;
pub mod wire;

pub mod session;

pub mod exchange;
pub mod grant;
pub mod oauth;

pub mod config;
pub mod provider;
pub mod store;

pub mod http;
pub mod terminal;

mod child;
pub mod clock;
mod complete;
pub mod error;
pub mod files;
pub mod hardening;
mod held_open;
#[cfg(unix)]
pub mod identity;
pub mod report;
pub mod secret;
pub mod shell;
pub mod signals;

/// Runs the program: the verb, or the tool's protocol that the program's own name stands for.
pub fn run(env: &env::Env) -> ExitCode {
    hardening::keep_memory_private();
    commands::run(env)
}
