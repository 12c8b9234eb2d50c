//! What a kubeconfig's `exec.env` must not choose.
//!
//! An exec entry sets variables for this program, and the kubeconfig may come from an untrusted
//! source. Of the variables that differ from the caller's environment, only [`ALLOWED`] take
//! effect. For all others, such as those that choose the browser and where programs are found, the
//! caller's own value is used. If a variable would select another configuration or other data, the
//! request is refused, because those protect the session.
//!
//! Linux only, with proc(5). Elsewhere, and if the caller's environment can't be read, no variable
//! and no file can choose the browser's command.

use std::ffi::{OsStr, OsString};

use super::error::refusal;
use crate::env::Env;
use crate::report::Exit;
use crate::serving::serve::ServeError;

/// What an exec entry may set: how the user is prompted, time limits, and how the network is
/// reached. A proxy sees only encrypted traffic, because the trusted certificates can't be set.
const ALLOWED: &[&str] = &[
    "KUBERNETES_EXEC_INFO",
    "HALLPASS_INTERACTIVE",
    "HALLPASS_FLOW",
    "HALLPASS_SIGN_IN_TIMEOUT",
    "HALLPASS_HTTP_TIMEOUT",
    "HALLPASS_VERBOSE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Variables that the tests of a debug build set. A release build ignores them.
const OF_TESTS: &str = "HALLPASS_TEST_";

/// Variables that locate the configuration, the sessions, their key and the trusted certificates.
/// The address of the session bus may even be a command (`unixexec:`).
const PLACES: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "HALLPASS_CONFIG",
    "HALLPASS_DATA_DIR",
    "HALLPASS_CA_FILE",
    "HALLPASS_STORE",
    // The library that reads the platform's certificates reads these two from the process itself.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HOME",
];

/// The browser name that is not a command.
const NO_BROWSER: &str = "none";

/// The variables that choose a browser.
const BROWSERS: &[&str] = &["BROWSER", "HALLPASS_BROWSER"];

/// The environment that applies to a request.
pub(crate) struct Caller {
    pub(crate) env: Env,
    is_known: bool,
}

impl Caller {
    pub(crate) fn of(env: &Env) -> Result<Self, ServeError> {
        match environment_of_parent() {
            Some(callers) => Ok(Self {
                env: sifted(env, &callers).map_err(refused)?,
                is_known: true,
            }),
            None => Ok(Self {
                env: without_browser(env),
                is_known: false,
            }),
        }
    }

    /// The configured browser, if no exec entry can have chosen the configuration.
    pub(crate) fn browser(&self, configured: Option<String>) -> Option<String> {
        configured.filter(|command| self.is_known || command.trim() == NO_BROWSER)
    }
}

type Variables = Vec<(OsString, OsString)>;

/// Whether an exec entry may set this.
pub(crate) fn is_allowed(name: &OsStr, value: &OsStr) -> bool {
    let is_of_tests =
        cfg!(debug_assertions) && name.as_encoded_bytes().starts_with(OF_TESTS.as_bytes());
    let is_no_browser = BROWSERS.iter().any(|one| name == *one) && value == NO_BROWSER;
    is_of_tests || is_no_browser || ALLOWED.iter().any(|allowed| name == *allowed)
}

/// This environment as an exec entry may have changed the caller's.
fn sifted(env: &Env, callers: &Variables) -> Result<Env, &'static str> {
    let of_caller = |name: &OsStr| {
        let mut all = callers.iter();
        all.find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    };
    let mut sifted = env.clone();
    for (name, value) in env.variables() {
        let callers = of_caller(name);
        if callers == Some(value) || is_allowed(name, value) {
            continue;
        }
        if let Some(place) = PLACES.iter().find(|place| name == **place) {
            return Err(place);
        }
        sifted = sifted.replaced(name, callers);
    }
    Ok(sifted)
}

fn without_browser(env: &Env) -> Env {
    #[cfg(debug_assertions)]
    if env.var_unrecorded("HALLPASS_TEST_CALLER").is_some() {
        return env.clone();
    }
    let mut without = env.clone();
    for name in BROWSERS {
        if env
            .var_unrecorded(name)
            .is_some_and(|value| value != NO_BROWSER)
        {
            without = without.replaced(OsStr::new(name), None);
        }
    }
    // Where the platform's opener is searched.
    #[cfg(all(unix, not(target_os = "macos")))]
    let without = without.replaced(
        OsStr::new("PATH"),
        Some(OsStr::new("/usr/local/bin:/usr/bin:/bin")),
    );
    without
}

fn refused(name: &'static str) -> ServeError {
    refusal(
        format!(
            "{name} differs from the value that the program which started hallpass has, and an \
             exec entry must not choose it"
        ),
        format!(
            "take {name} out of the `env` of the kubeconfig's exec entry. To use that value, set it \
             in your shell before you start kubectl"
        ),
        Exit::Failed,
    )
}

/// The environment that the parent was started with.
#[cfg(target_os = "linux")]
fn environment_of_parent() -> Option<Variables> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = format!("/proc/{}/environ", std::os::unix::process::parent_id());
    let bytes = std::fs::read(path).ok()?;
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let text = |bytes| OsStr::from_bytes(bytes).to_owned();
        Some((text(pair.get(..at)?), text(pair.get(at + 1..)?)))
    });
    Some(pairs.collect())
}

#[cfg(not(target_os = "linux"))]
fn environment_of_parent() -> Option<Variables> {
    None
}

/// The variables of an exec entry's `env` that are ignored or refused.
pub(crate) fn not_for_exec_entries<'v>(
    variables: impl Iterator<Item = (&'v str, &'v str)>,
) -> impl Iterator<Item = &'v str> {
    variables
        .filter(|(name, value)| !is_allowed(name.as_ref(), value.as_ref()))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        Env::new(Vec::<&str>::new(), vars.iter().copied())
    }

    fn variables(vars: &[(&str, &str)]) -> Variables {
        let vars = vars.iter();
        vars.map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn an_exec_entry_chooses_neither_the_browser_nor_where_programs_are_found() {
        let callers = &[("BROWSER", "mine"), ("PATH", "/usr/bin"), ("HOME", "/h")];
        for (name, set, expected) in [
            ("BROWSER", "evil", Some("mine")),
            ("BROWSER", "none", Some("none")),
            ("BROWSER", "none;evil", Some("mine")),
            ("HALLPASS_BROWSER", "evil", None),
            ("HALLPASS_BROWSER", "none", Some("none")),
            ("PATH", "/evil", Some("/usr/bin")),
            ("LD_PRELOAD", "/evil.so", None),
            ("XDG_DATA_DIRS", "/evil", None),
            ("HALLPASS_DEFAULT_PROVIDER", "evil", None),
            ("HALLPASS_INTERACTIVE", "never", Some("never")),
            ("HTTPS_PROXY", "http://proxy", Some("http://proxy")),
        ] {
            let mut own: Vec<_> = callers.to_vec();
            own.retain(|(key, _)| *key != name);
            own.push((name, set));
            let sifted = sifted(&env(&own), &variables(callers)).unwrap();
            let found = sifted.var_unrecorded(name).and_then(|value| value.to_str());
            assert_eq!(found, expected, "{name}={set}");
        }
    }

    #[test]
    fn what_leads_to_another_configuration_or_other_data_is_refused() {
        let callers = variables(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]);
        for (own, expected) in [
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")][..], None),
            // exec.env cannot take a variable away.
            (&[], None),
            (&[("HOME", "/evil")], Some("HOME")),
            (&[("HOME", "")], Some("HOME")),
            (&[("XDG_CONFIG_HOME", "/evil")], Some("XDG_CONFIG_HOME")),
            (&[("XDG_DATA_HOME", "/evil")], Some("XDG_DATA_HOME")),
            (&[("HALLPASS_CONFIG", "/evil")], Some("HALLPASS_CONFIG")),
            (&[("HALLPASS_DATA_DIR", "/evil")], Some("HALLPASS_DATA_DIR")),
            (&[("HALLPASS_CA_FILE", "/evil")], Some("HALLPASS_CA_FILE")),
            (&[("HALLPASS_STORE", "file")], Some("HALLPASS_STORE")),
            (&[("SSL_CERT_FILE", "/evil")], Some("SSL_CERT_FILE")),
            (&[("SSL_CERT_DIR", "/evil")], Some("SSL_CERT_DIR")),
            (&[("XDG_RUNTIME_DIR", "/evil")], Some("XDG_RUNTIME_DIR")),
            (
                &[("DBUS_SESSION_BUS_ADDRESS", "unixexec:path=/evil")],
                Some("DBUS_SESSION_BUS_ADDRESS"),
            ),
        ] {
            assert_eq!(sifted(&env(own), &callers).err(), expected, "{own:?}");
        }
    }
}
