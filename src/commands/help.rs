//! `hallpass help TOPIC`: help that concerns every command. The reference pages have the same tables.

use std::fmt::Write as _;

use crate::arguments::{EXIT_CODES, table};

/// A topic's name, and what it is about.
pub const TOPICS: &[(&str, &str)] = &[
    ("environment", "Environment variables"),
    ("exit-codes", "Exit codes"),
    ("configuration", "Configuration files"),
];

/// The variables that hallpass reads: (name, meaning).
pub const VARIABLES: &[(&str, &str)] = &[
    (
        "HALLPASS_CONFIG",
        "your configuration file, as an absolute path",
    ),
    (
        "HALLPASS_DATA_DIR",
        "the folder for encrypted sessions, as an absolute path",
    ),
    (
        "HALLPASS_STORE",
        "where to store the key: auto, keyring, kernel, file or none",
    ),
    (
        "HALLPASS_INTERACTIVE",
        "whether hallpass may prompt you: auto or never",
    ),
    ("HALLPASS_FLOW", "how to sign in: auto, browser or device"),
    ("HALLPASS_BROWSER", "the command that opens a URL"),
    (
        "BROWSER",
        "the same for all programs; HALLPASS_BROWSER takes precedence",
    ),
    (
        "HALLPASS_DEFAULT_PROVIDER",
        "the provider to use if the command line names none",
    ),
    (
        "HALLPASS_CA_FILE",
        "more trusted root certificates (PEM), as an absolute path",
    ),
    (
        "HALLPASS_HTTP_TIMEOUT",
        "the time limit of a request, such as 30 or \"30s\"",
    ),
    ("HALLPASS_SIGN_IN_TIMEOUT", "the time limit of a sign-in"),
    (
        "HALLPASS_KERNEL_KEYRING_TIMEOUT",
        "how long the kernel keyring (on macOS: shared memory) caches the unlocked key",
    ),
    (
        "HALLPASS_DOCKER_ASK",
        "when registry clients may start a sign-in: always or login",
    ),
    ("HALLPASS_VERBOSE", "1 or 2: as -v or -vv"),
    (
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
        "the proxy for requests to providers",
    ),
    (
        "NO_COLOR, CLICOLOR, CLICOLOR_FORCE",
        "whether to use colour",
    ),
];

/// The text of a topic.
pub(super) fn text(topic: &str) -> Option<String> {
    let mut text = String::new();
    match topic {
        "environment" => {
            text.push_str("Environment variables:\n");
            for (name, meaning) in VARIABLES {
                let _ = writeln!(text, "  {name}\n          {meaning}");
            }
        }
        "exit-codes" => {
            let _ = writeln!(text, "{}", table(EXIT_CODES));
        }
        "configuration" => {
            text.push_str(
                &CONFIGURATION
                    .replace("SYSTEM", SYSTEM_FILE)
                    .replace("USER", USER_FILE),
            );
        }
        _ => return None,
    }
    Some(text)
}

const CONFIGURATION: &str = "\
hallpass reads these files. A later one takes precedence:
  1. its built-in presets, such as `github`
  2. the system-wide file, SYSTEM
  3. your file, USER
Environment variables take precedence over files, and options over both. hallpass
reads nothing from the current folder.

Example:
  [providers.corp]
  issuer = \"https://login.corp.example\"
  client_id = \"…\"

  [[resources]]
  match = \"https://git.corp.example\"
  provider = \"corp\"

`hallpass setup git`, `setup docker` and `setup kubectl` write such entries.
All keys: docs/reference/configuration.md in the repository
";

const SYSTEM_FILE: &str = if cfg!(windows) {
    r"%ProgramData%\hallpass\config.toml"
} else if cfg!(target_os = "macos") {
    "/Library/Application Support/hallpass/config.toml"
} else {
    "/etc/hallpass/config.toml"
};

const USER_FILE: &str = if cfg!(windows) {
    r"%APPDATA%\hallpass\config.toml"
} else if cfg!(target_os = "macos") {
    "~/Library/Application Support/hallpass/config.toml"
} else {
    "~/.config/hallpass/config.toml"
};

/// The list of topics for the end of the main help.
pub(super) fn list() -> String {
    let mut text = "Topics, for `hallpass help TOPIC`:".to_owned();
    for (name, about) in TOPICS {
        text = format!("{text}\n  {name:<14} {about}");
    }
    text
}
