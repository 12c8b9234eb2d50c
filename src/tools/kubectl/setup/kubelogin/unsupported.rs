//! The options of kubelogin that hallpass doesn't support: some are errors, the others are left out
//! with a note.

use super::options::{Options, Unconverted};

/// Options without which the user could not sign in as before.
const ERRORS: &[(&str, &str)] = &[
    (
        "--insecure-skip-tls-verify",
        "is not supported: hallpass verifies every certificate. Set `ca_file` to the provider's CA \
         (kubelogin: --certificate-authority)",
    ),
    (
        "--local-server-cert",
        "is not supported: hallpass listens with http on the loopback address (RFC 8252 section \
         7.3). Register http://localhost:8000 at the provider",
    ),
    (
        "--oidc-request-header",
        "is not supported: hallpass sends no custom headers",
    ),
    (
        "--password",
        "is not supported: hallpass has no password grant",
    ),
];

const LOG: &str = "use `hallpass -v` to see what it does";
const STORE: &str = "hallpass encrypts its tokens and saves them where `store` says";
const TLS: &str = "hallpass never renegotiates TLS";
const GRANT: &str = "it belongs to another grant";

/// Options that are left out, and why.
const LEFT_OUT: &[(&[&str], &str)] = &[
    (
        &[
            "--token-cache-dir",
            "--token-cache-storage",
            "--force-keyring",
            "--no-keyring",
        ],
        STORE,
    ),
    (
        &["--tls-renegotiation-once", "--tls-renegotiation-freely"],
        TLS,
    ),
    (
        &["--force-refresh"],
        "hallpass refreshes a token that has expired or was rejected",
    ),
    (
        &["--open-url-after-authentication"],
        "hallpass shows its own page",
    ),
    (
        &["--oidc-redirect-url-authcode-keyboard"],
        "hallpass doesn't support codes typed by hand",
    ),
    (
        &[
            "-v",
            "--vmodule",
            "--add_dir_header",
            "--alsologtostderr",
            "--log_backtrace_at",
            "--log_dir",
            "--log_file",
            "--log_file_max_size",
            "--logtostderr",
            "--one_output",
            "--skip_headers",
            "--skip_log_headers",
            "--stderrthreshold",
        ],
        LOG,
    ),
    (&["--token-exchange-resource"], GRANT),
    (&["--token-exchange-audience"], GRANT),
];

fn name(option: &str) -> &str {
    option.trim_start_matches('-')
}

/// Fails if an option is set that can't be left out.
pub(super) fn check(options: &Options<'_>) -> Result<(), Unconverted> {
    let mut errors = ERRORS.iter();
    match errors.find(|(option, _)| options.is_set(name(option))) {
        Some((option, why)) => Err(Unconverted::Impossible(option, (*why).to_owned())),
        None => Ok(()),
    }
}

/// Notes about the options that are left out.
pub(super) fn notes(options: &Options<'_>) -> Vec<String> {
    let notes = LEFT_OUT.iter().filter_map(|(names, why)| {
        let mut given = names.to_vec();
        given.retain(|option| options.has(name(option)));
        (!given.is_empty()).then(|| format!("{} left out: {why}", given.join(", ")))
    });
    notes.collect()
}
