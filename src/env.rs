//! The arguments and the environment, read once in `main` and passed on by reference.
//!
//! Nothing else reads `std::env`, so tests set a command's environment by passing a value. The
//! variables that are read are recorded: a remembered result is valid only for the same values.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};

/// A program's name without its folder and `.exe`, in lower case: Windows finds a program whatever
/// the case of its name. The same everywhere, because WSL runs programs of both systems.
pub fn program_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let name = name.to_ascii_lowercase();
    match name.strip_suffix(".exe") {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}

/// What the process was started with.
#[derive(Clone, Default)]
pub struct Env {
    pub args: Vec<OsString>,
    vars: Vec<(OsString, OsString)>,
    /// What [`Self::replaced`] has changed.
    changes: Vec<(OsString, Option<OsString>)>,
    asked_for: RefCell<Vec<&'static str>>,
}

impl Env {
    /// Reads the process's own arguments and environment.
    pub fn of_process() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os().collect(),
            changes: Vec::new(),
            asked_for: RefCell::default(),
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
            changes: Vec::new(),
            asked_for: RefCell::default(),
        }
    }

    /// The same with these variables instead of its own.
    #[must_use]
    pub fn with<'a>(&self, vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut env = self.clone();
        for (name, value) in vars {
            env.vars.retain(|(key, _)| key != OsStr::new(name));
            env.vars.push((name.into(), value.into()));
        }
        env
    }

    /// The same with another value of a variable, or without it; also for the programs that are
    /// started with [`Self::changes`].
    #[must_use]
    pub fn replaced(&self, name: &OsStr, value: Option<&OsStr>) -> Self {
        let mut env = self.clone();
        env.vars.retain(|(key, _)| key != name);
        if let Some(value) = value {
            env.vars.push((name.to_owned(), value.to_owned()));
        }
        let value = value.map(OsStr::to_owned);
        env.changes.push((name.to_owned(), value));
        env
    }

    /// What differs from the process's own environment.
    pub fn changes(&self) -> impl Iterator<Item = (&OsStr, Option<&OsStr>)> {
        let changes = self.changes.iter();
        changes.map(|(name, value)| (name.as_os_str(), value.as_deref()))
    }

    /// All variables.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let vars = self.vars.iter();
        vars.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// A variable's value; one that is empty or not UTF-8 counts as not set.
    pub fn var(&self, name: &'static str) -> Option<&str> {
        self.var_os(name)?.to_str()
    }

    /// A variable's value as the platform holds it; an empty one counts as not set.
    pub fn var_os(&self, name: &'static str) -> Option<&OsString> {
        let mut asked_for = self.asked_for.borrow_mut();
        if !asked_for.contains(&name) {
            asked_for.push(name);
        }
        drop(asked_for);
        self.var_unrecorded(name)
    }

    /// Like [`Self::var_os`] but not recorded: for variables that don't influence which token is
    /// returned, or that are read again by each call.
    pub fn var_unrecorded(&self, name: &str) -> Option<&OsString> {
        let of_name = |(key, _): &&(OsString, OsString)| key == OsStr::new(name);
        // The first value of a name counts, as with getenv(3).
        let (_, value) = self.vars.iter().find(of_name)?;
        Some(value).filter(|value| !value.is_empty())
    }

    /// Every variable, for a process that replaces this one. They influence nothing here, so they
    /// are not recorded.
    pub fn all(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.vars.iter().map(|(name, value)| (name, value))
    }

    /// The variables that were read so far and may have influenced the result.
    pub fn asked_for(&self) -> Vec<&'static str> {
        self.asked_for.borrow().clone()
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_struct("Env")
            .field("variables", &self.vars.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_recognized_in_any_case_and_with_its_extension() {
        for (path, name) in [
            ("git-credential-hallpass", "git-credential-hallpass"),
            ("/usr/bin/hallpass", "hallpass"),
            (
                r"C:\Program Files\Docker-Credential-Hallpass.EXE",
                "docker-credential-hallpass",
            ),
            (r"\\server\tools/HALLPASS.exe", "hallpass"),
            ("hallpass.exe.old", "hallpass.exe.old"),
            (".exe", ""),
            ("", ""),
        ] {
            assert_eq!(program_name(path), name, "{path}");
        }
    }

    #[test]
    fn one_that_is_laid_over_counts_and_not_what_was_there() {
        let env = Env::new(Vec::<&str>::new(), [("A", "1"), ("B", "2")]);
        let env = env.with([("A", "3"), ("C", "4"), ("A", "5")]);
        assert_eq!(env.var("A"), Some("5"));
        assert_eq!((env.var("B"), env.var("C")), (Some("2"), Some("4")));
    }

    #[test]
    fn each_variable_read_is_recorded_once_whether_or_not_it_is_set() {
        let env = Env::new(Vec::<&str>::new(), [("A", "1"), ("B", "2"), ("C", "")]);
        assert_eq!(env.var("A"), Some("1"));
        assert_eq!(env.var("A"), Some("1"));
        assert_eq!(env.var("C"), None);
        assert_eq!(env.var("D"), None);
        assert_eq!(env.var_unrecorded("B"), Some(&"2".into()));
        assert_eq!(env.asked_for(), ["A", "C", "D"]);
    }
}
