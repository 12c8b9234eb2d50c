//! kubelogin's command line, read as kubelogin reads it.
//!
//! <https://github.com/int128/kubelogin/blob/master/docs/usage.md>

use crate::env::program_name;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unconverted {
    #[error("it does not run kubelogin")]
    NotKubelogin,
    #[error("it runs Azure's kubelogin, which is another program")]
    Azure,
    #[error("its kubelogin has unknown options: {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("its kubelogin's {0} has no value")]
    NoValue(String),
    #[error("its kubelogin lacks {0}")]
    Missing(&'static str),
    #[error("its kubelogin's {0} {1}")]
    Impossible(&'static str, String),
}

/// How an option takes its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Value,
    /// `--flag`, or `--flag=false`; never the next word.
    Switch,
}

use Takes::{Switch, Value};

/// Every option that kubelogin has had since 1.10.
const OPTIONS: &[(&str, Takes)] = &[
    ("oidc-issuer-url", Value),
    ("oidc-client-id", Value),
    ("oidc-client-secret", Value),
    ("oidc-redirect-url", Value),
    ("oidc-extra-scope", Value),
    ("oidc-use-access-token", Switch),
    ("oidc-request-header", Value),
    ("force-refresh", Switch),
    ("token-cache-dir", Value),
    ("token-cache-storage", Value),
    ("force-keyring", Switch),
    ("no-keyring", Switch),
    ("certificate-authority", Value),
    ("certificate-authority-data", Value),
    ("insecure-skip-tls-verify", Switch),
    ("tls-renegotiation-once", Switch),
    ("tls-renegotiation-freely", Switch),
    ("oidc-pkce-method", Value),
    ("oidc-use-pkce", Switch),
    ("grant-type", Value),
    ("listen-address", Value),
    ("listen-port", Value),
    ("skip-open-browser", Switch),
    ("browser-command", Value),
    ("authentication-timeout-sec", Value),
    ("local-server-cert", Value),
    ("local-server-key", Value),
    ("open-url-after-authentication", Value),
    ("oidc-redirect-url-hostname", Value),
    ("oidc-redirect-url-authcode-keyboard", Value),
    ("oidc-auth-request-extra-params", Value),
    ("username", Value),
    ("password", Value),
    ("token-exchange-resource", Value),
    ("token-exchange-audience", Value),
    ("token-exchange-requested-token-type", Value),
    ("token-exchange-subject-token", Value),
    ("token-exchange-subject-token-type", Value),
    ("token-exchange-actor-token", Value),
    ("token-exchange-actor-token-type", Value),
    // Options of its log.
    ("v", Value),
    ("vmodule", Value),
    ("add_dir_header", Switch),
    ("alsologtostderr", Switch),
    ("log_backtrace_at", Value),
    ("log_dir", Value),
    ("log_file", Value),
    ("log_file_max_size", Value),
    ("logtostderr", Switch),
    ("one_output", Switch),
    ("skip_headers", Switch),
    ("skip_log_headers", Switch),
    ("stderrthreshold", Value),
];

/// The arguments after `get-token`, if this command line runs kubelogin.
pub(crate) fn arguments<'a>(command: &str, args: &'a [String]) -> Option<&'a [String]> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match (program_name(command).as_str(), words.as_slice()) {
        ("kubectl", ["oidc-login", "get-token", ..]) => args.get(2..),
        ("kubelogin" | "kubectl-oidc_login" | "kubectl-oidc-login", ["get-token", ..]) => {
            args.get(1..)
        }
        _ => None,
    }
}

/// The options of a command line: names without dashes, with their values.
pub(super) struct Options<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Options<'a> {
    pub(super) fn read(args: &'a [String]) -> Result<Self, Unconverted> {
        let mut options = Vec::new();
        let mut unknown = Vec::new();
        let mut words = args.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (name, value) = match word.strip_prefix("--") {
                Some(long) => match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                },
                // The one short option: -v1, -v=1, -v 1.
                None => match word.strip_prefix("-v") {
                    Some("") => ("v", None),
                    Some(value) => ("v", Some(value.trim_start_matches('='))),
                    None => (word, None),
                },
            };
            let Some((name, takes)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
                // The value may be a secret.
                unknown.push(word.split('=').next().unwrap_or(word).to_owned());
                continue;
            };
            let value = match (takes, value) {
                (_, Some(value)) => value,
                (Switch, None) => "true",
                (Value, None) => words
                    .next()
                    .ok_or_else(|| Unconverted::NoValue(format!("--{name}")))?,
            };
            options.push((*name, value));
        }
        if unknown.iter().any(|option| option == "--server-id") {
            return Err(Unconverted::Azure);
        }
        if unknown.is_empty() {
            Ok(Self(options))
        } else {
            Err(Unconverted::Unknown(
                unknown.iter().map(|o| shown(o)).collect(),
            ))
        }
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let all = self.0.iter().filter(move |(found, _)| *found == name);
        all.map(|(_, value)| *value)
    }

    pub(super) fn last(&self, name: &str) -> Option<&'a str> {
        self.all(name).last()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// Whether a switch is on, or another option has a value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        match OPTIONS.iter().find(|(known, _)| *known == name) {
            Some((_, Switch)) => self.is_on(name),
            _ => self.last(name).is_some_and(|value| !value.is_empty()),
        }
    }

    /// Whether a switch is on, as Go reads it.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let value = self.last(name);
        value.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }

    /// The values of an option that may be repeated and separated by commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.all(name).flat_map(comma_separated).collect()
    }

    /// Pairs of `name=value`: one whose value may contain commas, or several separated by commas.
    pub(super) fn pairs(&self, name: &'static str) -> Result<Vec<(String, String)>, Unconverted> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for text in self.all(name) {
            let several = if text.matches('=').count() == 1 {
                vec![text.trim_matches('"').to_owned()]
            } else {
                comma_separated(text)
            };
            for pair in several {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Unconverted::Impossible(
                        "--oidc-auth-request-extra-params",
                        "is not NAME=VALUE".to_owned(),
                    )
                })?;
                pairs.retain(|(earlier, _)| earlier != key);
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(pairs)
    }
}

/// Splits one record of comma-separated values (RFC 4180), as Go's flags do.
pub(super) fn comma_separated(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(character);
                }
            }
        }
    }
    fields.retain(|field| !field.is_empty());
    fields
}

/// An option's name. Any other word may be a secret and is not shown.
fn shown(option: &str) -> String {
    if option.starts_with('-') {
        option.to_owned()
    } else {
        "an argument that is not an option".to_owned()
    }
}
