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
    Impossible(String, String),
}

/// The error for an option that can't be converted.
pub(super) fn impossible(option: impl Into<String>, why: impl Into<String>) -> Unconverted {
    Unconverted::Impossible(option.into(), why.into())
}

/// What the conversion does with an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    /// Nothing: another option says it all.
    Ignored,
    /// Leaves it out, with a note that says why.
    LeftOut(&'static str),
    /// Fails: without it, the user could not sign in as before.
    Refused(&'static str),
}

/// Every option that kubelogin has had since 1.10. One that ends with `=` takes a value, which may
/// be the next word. The others are switches: `--flag`, or `--flag=false`.
const OPTIONS: &[(Use, &str)] = &[
    (
        Use::Read,
        "oidc-issuer-url= oidc-client-id= oidc-client-secret= oidc-redirect-url= oidc-extra-scope= \
         oidc-use-access-token certificate-authority= certificate-authority-data= \
         oidc-pkce-method= oidc-use-pkce grant-type= listen-address= listen-port= \
         skip-open-browser browser-command= authentication-timeout-sec= \
         oidc-redirect-url-hostname= oidc-auth-request-extra-params= username=",
    ),
    (
        Use::Ignored,
        "local-server-key= token-exchange-requested-token-type= token-exchange-subject-token= \
         token-exchange-subject-token-type= token-exchange-actor-token= \
         token-exchange-actor-token-type=",
    ),
    (
        Use::Refused(
            "is not supported: hallpass verifies every certificate. Set `ca_file` to the \
             provider's CA (kubelogin: --certificate-authority)",
        ),
        "insecure-skip-tls-verify",
    ),
    (
        Use::Refused(
            "is not supported: hallpass listens with http on the loopback address (RFC 8252 \
             section 7.3). Register http://localhost:8000 at the provider",
        ),
        "local-server-cert=",
    ),
    (
        Use::Refused("is not supported: hallpass sends no custom headers"),
        "oidc-request-header=",
    ),
    (
        Use::Refused("is not supported: hallpass has no password grant"),
        "password=",
    ),
    (
        Use::LeftOut("hallpass encrypts its tokens and saves them where `store` says"),
        "token-cache-dir= token-cache-storage= force-keyring no-keyring",
    ),
    (
        Use::LeftOut("hallpass never renegotiates TLS"),
        "tls-renegotiation-once tls-renegotiation-freely",
    ),
    (
        Use::LeftOut("hallpass refreshes a token that has expired or was rejected"),
        "force-refresh",
    ),
    (
        Use::LeftOut("hallpass shows its own page"),
        "open-url-after-authentication=",
    ),
    (
        Use::LeftOut("hallpass doesn't support codes typed by hand"),
        "oidc-redirect-url-authcode-keyboard=",
    ),
    (
        Use::LeftOut("use `hallpass -v` to see what it does"),
        "v= vmodule= add_dir_header alsologtostderr log_backtrace_at= log_dir= log_file= \
         log_file_max_size= logtostderr one_output skip_headers skip_log_headers stderrthreshold=",
    ),
    (
        Use::LeftOut("it belongs to another grant"),
        "token-exchange-resource= token-exchange-audience=",
    ),
];

/// An option's name, and whether it takes a value.
fn option(name: &str) -> Option<(&'static str, bool)> {
    let all = OPTIONS.iter().flat_map(|(_, names)| names.split(' '));
    let mut all = all.map(|known| match known.strip_suffix('=') {
        Some(known) => (known, true),
        None => (known, false),
    });
    all.find(|(known, _)| *known == name)
}

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
            let Some((name, takes_value)) = option(name) else {
                // A value, or another word, may be a secret.
                let name = word.split('=').next().unwrap_or(word);
                unknown.push(if name.starts_with('-') {
                    name.to_owned()
                } else {
                    "an argument that is not an option".to_owned()
                });
                continue;
            };
            let value = match value {
                None if takes_value => words.next(),
                given => given.or(Some("true")),
            };
            let value = value.ok_or_else(|| Unconverted::NoValue(format!("--{name}")))?;
            options.push((name, value));
        }
        if unknown.iter().any(|option| option == "--server-id") {
            return Err(Unconverted::Azure);
        }
        if !unknown.is_empty() {
            return Err(Unconverted::Unknown(unknown));
        }
        Ok(Self(options))
    }

    /// Notes about the options that are left out.
    ///
    /// # Errors
    ///
    /// If an option is set that can't be left out.
    pub(super) fn notes(&self) -> Result<Vec<String>, Unconverted> {
        let mut notes = Vec::new();
        for (what, names) in OPTIONS {
            let names = names.split(' ').map(|name| name.trim_end_matches('='));
            let mut given = names.filter(|name| self.has(name));
            match what {
                Use::Read | Use::Ignored => (),
                Use::Refused(why) => {
                    if let Some(name) = given.find(|name| self.is_set(name)) {
                        return Err(impossible(format!("--{name}"), *why));
                    }
                }
                Use::LeftOut(why) => {
                    let shown = given.map(|name| match name {
                        "v" => "-v".to_owned(),
                        long => format!("--{long}"),
                    });
                    let shown: Vec<String> = shown.collect();
                    if !shown.is_empty() {
                        notes.push(format!("{} left out: {why}", shown.join(", ")));
                    }
                }
            }
        }
        Ok(notes)
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

    /// The last value, if it isn't empty.
    pub(super) fn filled(&self, name: &str) -> Option<&'a str> {
        self.last(name).filter(|value| !value.is_empty())
    }

    /// Whether a switch is on, or another option has a value.
    fn is_set(&self, name: &str) -> bool {
        match option(name) {
            Some((_, false)) => self.is_on(name),
            _ => self.filled(name).is_some(),
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
                let Some((key, value)) = pair.split_once('=') else {
                    return Err(impossible(format!("--{name}"), "is not NAME=VALUE"));
                };
                pairs.retain(|(earlier, _)| earlier != key);
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(pairs)
    }
}

/// Splits one record of comma-separated values (RFC 4180), as Go's flags do.
pub(super) fn comma_separated(text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(character),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}
