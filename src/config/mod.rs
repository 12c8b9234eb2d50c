//! The configuration's files, and their values as plain data: presets < the system's file < the
//! user's file < the environment < flags.
//!
//! What the values say about providers and resources is up to [`crate::provider`]. Nothing is read
//! from the working directory, and nothing in a file is expanded from the environment.
//!
//! The keys are documented in `docs/reference/configuration.md`.

mod access;
mod access_list;
pub mod error;
pub(crate) mod file;
mod folders;
pub(crate) mod section;
#[cfg(windows)]
mod security_descriptor;
pub(crate) mod settings;
mod shown;
pub(crate) mod similar;
pub(crate) mod sources;
#[cfg(windows)]
mod system_file;
pub mod tools;
mod turn;
pub(crate) mod user_file;

pub(crate) use access::access_fix;
pub use error::ConfigError;
pub(crate) use error::NotAnObject;
pub(crate) use error::held_by;
pub(crate) use folders::home;
pub use settings::{DockerAsk, Flags, Flow, Interactive, Settings};
pub(crate) use shown::{shown, shown_at_home, shown_name};
pub use sources::Sources;
pub(crate) use turn::Turn;
pub(crate) use user_file::{UserFile, read_text};
