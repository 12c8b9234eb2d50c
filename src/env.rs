//! The arguments and the environment, read once in `main` and handed on by reference.
//!
//! Nothing else reads `std::env`, so a test sets what a command sees by giving it a value.

use std::collections::HashMap;
use std::ffi::OsString;

/// What the process was started with.
#[derive(Clone, Default)]
pub struct Env {
    pub args: Vec<OsString>,
    vars: HashMap<OsString, OsString>,
}

impl Env {
    /// Reads the process's own arguments and environment.
    pub fn of_process() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os().collect(),
        }
    }

    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        args: impl IntoIterator<Item = K>,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            vars: vars
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }

    /// A variable's value; one that is empty or not UTF-8 counts as not set.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.var_os(name)?.to_str()
    }

    /// A variable's value as the platform holds it; an empty one counts as not set.
    pub fn var_os(&self, name: &str) -> Option<&OsString> {
        self.vars
            .get(std::ffi::OsStr::new(name))
            .filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be anybody's secrets.
        f.debug_struct("Env")
            .field("variables", &self.vars.len())
            .finish_non_exhaustive()
    }
}
