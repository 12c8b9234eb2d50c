//! The names of the tools that a `[[resources]]` entry can be for.
//!
//! The configuration treats them as text; the commands know which tools exist.

use std::sync::OnceLock;

use super::error::What;

static NAMES: OnceLock<fn() -> Vec<&'static str>> = OnceLock::new();

/// Sets what lists the names of all tools. Until then, every name is accepted.
pub fn declare(names: fn() -> Vec<&'static str>) {
    // The first caller is the program itself; a test may run it more than once.
    let _ = NAMES.set(names);
}

/// Checks a name in the configuration.
pub(super) fn checked(name: &str) -> Result<String, What> {
    let names = NAMES.get().map(|names| names());
    match names {
        Some(names) if !names.contains(&name) => Err(What::OneOf(names.join(", "))),
        Some(_) | None => Ok(name.to_owned()),
    }
}
