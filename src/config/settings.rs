//! Settings that apply to all providers, from files, the environment and flags.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::error::{ConfigError, What};
use super::section::{Section, Title, printable};
use crate::env::Env;
use crate::store;

/// The effective settings, after all layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub store: store::Setting,
    /// The command that opens a URL, with the conventions of `$BROWSER`.
    pub browser: Option<String>,
    pub interactive: Interactive,
    /// The environment or a file disables prompting, so that a sign-in needs a flag.
    pub needs_interactive_flag: bool,
    pub flow: Flow,
    /// How long the key cache (the kernel keyring; shared memory on macOS) keeps the unlocked key; `None` disables the cache.
    pub kernel_cache: Option<Duration>,
    /// How long the user has to sign in.
    pub sign_in_timeout: Duration,
    /// For one request to a provider, from the DNS lookup to the last byte.
    pub http_timeout: Duration,
    /// Hosts whose passwords may be stored although they are sent over plain http.
    pub plain_http_hosts: Vec<String>,
    /// Certificates in PEM to trust in addition to the platform's.
    pub ca_file: Option<PathBuf>,
    pub default_provider: Option<String>,
    pub docker_ask: DockerAsk,
    pub verbose: u8,
}

/// Whether hallpass may prompt the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Interactive {
    /// If there is a terminal or a desktop to prompt on.
    Auto,
    Never,
}

/// How the user signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Flow {
    /// The browser, or a device code if no browser can be opened.
    Auto,
    Browser,
    /// RFC 8628
    Device,
}

/// When a registry client may start a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DockerAsk {
    /// Whenever it requests a credential.
    Always,
    /// Only during `docker login` or the equivalent of another client.
    Login,
}

/// The command line's settings: the last and strongest layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    pub store: Option<store::Setting>,
    pub interactive: Option<Interactive>,
    pub flow: Option<Flow>,
    pub verbose: Option<u8>,
}

const STORES: &[(&str, store::Setting)] = &[
    ("auto", store::Setting::Auto),
    ("keyring", store::Setting::Keyring),
    ("kernel", store::Setting::Kernel),
    ("file", store::Setting::File),
    ("none", store::Setting::None),
];
const INTERACTIVES: &[(&str, Interactive)] =
    &[("auto", Interactive::Auto), ("never", Interactive::Never)];
const DOCKER_ASKS: &[(&str, DockerAsk)] =
    &[("always", DockerAsk::Always), ("login", DockerAsk::Login)];
const FLOWS: &[(&str, Flow)] = &[
    ("auto", Flow::Auto),
    ("browser", Flow::Browser),
    ("device", Flow::Device),
];

/// A little over a working day, so that one unlock a day is enough.
const KERNEL_CACHE: Duration = Duration::from_secs(12 * 60 * 60);
/// Enough for a second factor, short enough that a forgotten tab does not block the next try.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(300);
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// A longer deadline is a mistake, and adding it to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A value, or explicitly none. In a layer, an `Option` already means "not set".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrOff<T> {
    On(T),
    Off,
}

impl<T> OrOff<T> {
    pub(crate) fn on(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

fn plain_http_host(text: &str) -> Result<String, What> {
    if text.starts_with("http://") {
        return Ok(text.to_owned());
    }
    let example = "a list of URLs such as http://proxy.corp.example:3128";
    Err(What::Is(example))
}

/// One layer's settings; `None` leaves a setting to the layers below.
#[derive(Debug, Default)]
pub(crate) struct SettingsLayer {
    store: Option<store::Setting>,
    browser: Option<String>,
    interactive: Option<Interactive>,
    flow: Option<Flow>,
    kernel_cache: Option<OrOff<Duration>>,
    sign_in_timeout: Option<Duration>,
    http_timeout: Option<Duration>,
    plain_http_hosts: Option<Vec<String>>,
    ca_file: Option<PathBuf>,
    default_provider: Option<String>,
    docker_ask: Option<DockerAsk>,
    verbose: Option<u8>,
}

impl SettingsLayer {
    pub(crate) fn of_file(file: &mut Section<'_, '_>) -> Result<Self, ConfigError> {
        let docker_ask = match file.table("docker", Title::Docker)? {
            Some(mut docker) => {
                let ask = docker.parsed("ask", |text| choice(text, DOCKER_ASKS))?;
                docker.end()?;
                ask
            }
            None => None,
        };
        let plain_http_hosts = match file.table("git", Title::Git)? {
            Some(mut git) => {
                let hosts = git.list("plain_http_hosts", plain_http_host)?;
                git.end()?;
                hosts
            }
            None => None,
        };
        Ok(Self {
            docker_ask,
            store: file.parsed("store", |text| choice(text, STORES))?,
            browser: file.text("browser")?,
            interactive: file.parsed("interactive", |text| choice(text, INTERACTIVES))?,
            flow: file.parsed("flow", |text| choice(text, FLOWS))?,
            kernel_cache: file.value("kernel_keyring_timeout", |value| match value.as_bool() {
                Some(false) => Ok(OrOff::Off),
                Some(true) => Err(NOT_A_CACHE_TIME),
                None => cache_time(&number_or_text(value).ok_or(NOT_A_CACHE_TIME)?),
            })?,
            sign_in_timeout: file.value("sign_in_timeout", deadline_value)?,
            http_timeout: file.value("http_timeout", deadline_value)?,
            plain_http_hosts,
            ca_file: file.path("ca_file")?,
            default_provider: file.text("default_provider")?,
            verbose: file.value("verbose", |value| {
                verbosity(&number_or_text(value).ok_or(NOT_A_VERBOSITY)?)
            })?,
        })
    }

    /// Each setting `some_key` is `HALLPASS_SOME_KEY`, except lists.
    pub(crate) fn of_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            store: variable(env, "HALLPASS_STORE", |text| choice(text, STORES))?,
            browser: variable(env, "HALLPASS_BROWSER", |text| {
                printable(text).map(str::to_owned)
            })?,
            interactive: variable(env, "HALLPASS_INTERACTIVE", |text| {
                choice(text, INTERACTIVES)
            })?,
            flow: variable(env, "HALLPASS_FLOW", |text| choice(text, FLOWS))?,
            kernel_cache: variable(env, "HALLPASS_KERNEL_KEYRING_TIMEOUT", cache_time)?,
            sign_in_timeout: variable(env, "HALLPASS_SIGN_IN_TIMEOUT", deadline)?,
            http_timeout: variable(env, "HALLPASS_HTTP_TIMEOUT", deadline)?,
            plain_http_hosts: None,
            ca_file: path_variable(env, "HALLPASS_CA_FILE")?,
            default_provider: variable(env, "HALLPASS_DEFAULT_PROVIDER", |text| {
                printable(text).map(str::to_owned)
            })?,
            docker_ask: variable(env, "HALLPASS_DOCKER_ASK", |text| choice(text, DOCKER_ASKS))?,
            verbose: variable(env, "HALLPASS_VERBOSE", verbosity)?,
        })
    }

    pub(crate) fn of_flags(flags: &Flags) -> Self {
        let Flags {
            store,
            interactive,
            flow,
            verbose,
        } = *flags;
        Self {
            store,
            interactive,
            flow,
            verbose,
            ..Self::default()
        }
    }

    /// Merges this layer over a weaker one.
    pub(crate) fn over(self, lower: Self) -> Self {
        let Self {
            store,
            browser,
            interactive,
            flow,
            kernel_cache,
            sign_in_timeout,
            http_timeout,
            plain_http_hosts,
            ca_file,
            default_provider,
            docker_ask,
            verbose,
        } = self;
        Self {
            store: store.or(lower.store),
            browser: browser.or(lower.browser),
            interactive: interactive.or(lower.interactive),
            flow: flow.or(lower.flow),
            kernel_cache: kernel_cache.or(lower.kernel_cache),
            sign_in_timeout: sign_in_timeout.or(lower.sign_in_timeout),
            http_timeout: http_timeout.or(lower.http_timeout),
            plain_http_hosts: plain_http_hosts.or(lower.plain_http_hosts),
            ca_file: ca_file.or(lower.ca_file),
            default_provider: default_provider.or(lower.default_provider),
            docker_ask: docker_ask.or(lower.docker_ask),
            verbose: verbose.or(lower.verbose),
        }
    }

    pub(crate) fn disables_prompts(&self) -> bool {
        self.interactive == Some(Interactive::Never)
    }

    pub(crate) fn with_defaults(self) -> Settings {
        let Self {
            store,
            browser,
            interactive,
            flow,
            kernel_cache,
            sign_in_timeout,
            http_timeout,
            plain_http_hosts,
            ca_file,
            default_provider,
            docker_ask,
            verbose,
        } = self;
        Settings {
            store: store.unwrap_or(store::Setting::Auto),
            browser,
            interactive: interactive.unwrap_or(Interactive::Auto),
            needs_interactive_flag: false,
            flow: flow.unwrap_or(Flow::Auto),
            kernel_cache: kernel_cache.unwrap_or(OrOff::On(KERNEL_CACHE)).on(),
            sign_in_timeout: sign_in_timeout.unwrap_or(SIGN_IN_TIMEOUT),
            http_timeout: http_timeout.unwrap_or(HTTP_TIMEOUT),
            plain_http_hosts: plain_http_hosts.unwrap_or_default(),
            ca_file,
            default_provider,
            docker_ask: docker_ask.unwrap_or(DockerAsk::Always),
            verbose: verbose.unwrap_or(0),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        SettingsLayer::default().with_defaults()
    }
}

fn variable<T>(
    env: &Env,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, What>,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = env.var_os(name) else {
        return Ok(None);
    };
    let parsed = match value.to_str() {
        // A value that isn't UTF-8 was still set on purpose, so it is an error.
        None => Err(What::Is("valid UTF-8")),
        Some(text) => parse(text),
    };
    match parsed {
        Ok(value) => Ok(Some(value)),
        Err(what) => Err(ConfigError::Given { name, what }),
    }
}

fn path_variable(env: &Env, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
    match env.var_os(name).map(PathBuf::from) {
        Some(path) if !path.is_absolute() => Err(ConfigError::RelativeFolder { name }),
        path => Ok(path),
    }
}

/// Parses one of a few keywords.
pub(crate) fn choice<T: Copy>(text: &str, of: &[(&'static str, T)]) -> Result<T, What> {
    let found = of.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = of.iter().map(|(word, _)| *word).collect();
        What::OneOf(words.join(", "))
    })
}

const NOT_A_DEADLINE: What =
    What::Is("a time of at most a year: seconds, or \"90s\", \"5m\", \"12h\", \"2d\"");
const NOT_A_CACHE_TIME: What =
    What::Is("a time of at most a year (seconds, or \"30m\", \"12h\", \"2d\"), or false");
const NOT_A_VERBOSITY: What = What::Is("a number from 0 to 255");

fn deadline_value(value: &DeValue<'_>) -> Result<Duration, What> {
    deadline(&number_or_text(value).ok_or(NOT_A_DEADLINE)?)
}

fn deadline(text: &str) -> Result<Duration, What> {
    duration(text)
        .filter(|time| !time.is_zero())
        .ok_or(NOT_A_DEADLINE)
}

fn cache_time(text: &str) -> Result<OrOff<Duration>, What> {
    if text == "false" {
        return Ok(OrOff::Off);
    }
    match duration(text) {
        None => Err(NOT_A_CACHE_TIME),
        Some(Duration::ZERO) => Ok(OrOff::Off),
        Some(time) => Ok(OrOff::On(time)),
    }
}

fn verbosity(text: &str) -> Result<u8, What> {
    text.parse().map_err(|_| NOT_A_VERBOSITY)
}

/// Parses a whole number with an optional unit.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let count: u64 = digits.parse().ok()?;
    let time = Duration::from_secs(count.checked_mul(unit)?);
    (time <= LONGEST).then_some(time)
}

/// A decimal number or a string, as text in the form that an environment variable has.
fn number_or_text(value: &DeValue<'_>) -> Option<String> {
    if let Some(number) = value.as_integer() {
        return (number.radix() == 10).then(|| number.as_str().to_owned());
    }
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_has_a_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("300", Some(300)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("12h", Some(43200)),
            ("2d", Some(172_800)),
            ("365d", Some(31_536_000)),
            ("366d", None),
            ("99999999999999999999", None),
            ("18446744073709551615d", None),
            ("5 m", None),
            ("1h30m", None),
            ("-5", None),
            ("1.5h", None),
            ("h", None),
            ("5M", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn store_names_match_their_serialized_form() {
        for (word, setting) in STORES {
            assert_eq!(serde_json::to_value(setting).unwrap(), *word);
        }
    }

    #[test]
    fn errors_about_variables_show_what_is_expected_but_no_value() {
        for (name, value, expected) in [
            (
                "HALLPASS_STORE",
                "s3cret",
                "HALLPASS_STORE must be one of auto, keyring, kernel, file, none",
            ),
            (
                "HALLPASS_INTERACTIVE",
                "no",
                "HALLPASS_INTERACTIVE must be one of auto, never",
            ),
            (
                "HALLPASS_VERBOSE",
                "256",
                "HALLPASS_VERBOSE must be a number from 0 to 255",
            ),
            (
                "HALLPASS_SIGN_IN_TIMEOUT",
                "0",
                "HALLPASS_SIGN_IN_TIMEOUT must be a time of at most a year: seconds, or \"90s\", \"5m\", \"12h\", \"2d\"",
            ),
            (
                "HALLPASS_CA_FILE",
                "ca.pem",
                "HALLPASS_CA_FILE must be an absolute path",
            ),
        ] {
            let env = Env::new(Vec::<&str>::new(), [(name, value)]);
            let error = SettingsLayer::of_env(&env).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn zero_and_false_disable_the_kernel_keyring() {
        for (value, expected) in [
            ("0", None),
            ("false", None),
            ("60", Some(Duration::from_secs(60))),
            ("1h", Some(Duration::from_secs(3600))),
        ] {
            let env = Env::new(
                Vec::<&str>::new(),
                [("HALLPASS_KERNEL_KEYRING_TIMEOUT", value)],
            );
            let settings = SettingsLayer::of_env(&env).unwrap().with_defaults();
            assert_eq!(settings.kernel_cache, expected, "{value}");
        }
    }
}
