//! The names of the tools that a `[[resources]]` entry can list.
//!
//! The configuration treats them as text; the commands know which tools exist.

use std::sync::OnceLock;

use super::error::What;

static NAMES: OnceLock<fn() -> Vec<&'static str>> = OnceLock::new();

/// Sets the function that lists the names of all tools. Until then, every name is accepted.
pub fn declare(names: fn() -> Vec<&'static str>) {
    // The program calls this once, but a test may run it more often.
    let _ = NAMES.set(names);
}

/// Checks a tool name in the configuration.
pub(crate) fn checked(name: &str) -> Result<String, What> {
    let names = NAMES.get().map(|names| names());
    match names {
        Some(names) if !names.contains(&name) => Err(What::OneOf(names.join(", "))),
        Some(_) | None => Ok(name.to_owned()),
    }
}
