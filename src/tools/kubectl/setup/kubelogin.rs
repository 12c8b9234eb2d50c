//! What a kubelogin was told, in hallpass's words: a pure function over its command line.
//!
//! An option that is not known, or that cannot be had here, is an error that names it: a user that
//! is converted signs in as before, or is left as it was.
//!
//! The options: <https://github.com/int128/kubelogin/blob/master/docs/usage.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Flow;
use crate::credential::TokenKind;
use crate::oauth::RedirectUri;
use crate::secret::Secret;

/// Where kubelogin listens where nobody says otherwise.
const LISTENS_AT: &str = "127.0.0.1:8000";

const BROWSER: &str = "BROWSER";
const SIGN_IN_TIMEOUT: &str = "HALLPASS_SIGN_IN_TIMEOUT";

/// The variables that a conversion may put into the exec entry.
pub(crate) const VARIABLES: [&str; 2] = [BROWSER, SIGN_IN_TIMEOUT];

/// What the command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Converted {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret<String>>,
    pub(crate) scopes: Vec<String>,
    /// `None`: no browser brings a code.
    pub(crate) redirect_uri: Option<String>,
    pub(crate) extra_params: Vec<(String, String)>,
    pub(crate) audience: Option<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) pkce: bool,
    /// As they were written: relative to the home, to the working directory, or absolute.
    pub(crate) ca_files: Vec<String>,
    /// In PEM.
    pub(crate) ca_certificates: Vec<u8>,
    pub(crate) token: TokenKind,
    pub(crate) flow: Option<Flow>,
    /// What the plugin is to find in its environment, beside what it had.
    pub(crate) env: Vec<(&'static str, String)>,
    /// What changes for the person.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it does not run kubelogin")]
    NotKubelogin,
    #[error("it runs Azure's kubelogin, which is another program")]
    Azure,
    #[error("its kubelogin has options that are not known here: {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("its kubelogin's {0} has no value")]
    NoValue(String),
    #[error("its kubelogin has no {0}")]
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
    // Those of its log.
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

/// Whether this command line is kubelogin's; what follows `get-token`, then.
pub(crate) fn arguments<'a>(command: &str, args: &'a [String]) -> Option<&'a [String]> {
    let name = command.rsplit(['/', '\\']).next().unwrap_or(command);
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match (name, words.as_slice()) {
        ("kubectl", ["oidc-login", "get-token", ..]) => args.get(2..),
        ("kubelogin" | "kubectl-oidc_login" | "kubectl-oidc-login", ["get-token", ..]) => {
            args.get(1..)
        }
        _ => None,
    }
}

/// Converts what a user's entry runs.
pub(crate) fn converted(command: &str, args: &[String]) -> Result<Converted, Refused> {
    let args = arguments(command, args).ok_or(Refused::NotKubelogin)?;
    let given = Given::read(args)?;
    let grant = given.last("grant-type").unwrap_or("auto");
    let flow = match grant {
        "auto" if given.last("username").is_some_and(|name| !name.is_empty()) => {
            return Err(password());
        }
        "password" => return Err(password()),
        "auto" | "authcode-keyboard" => None,
        "authcode" => Some(Flow::Browser),
        "device-code" => Some(Flow::Device),
        "client-credentials" | "token-exchange" => {
            return Err(Refused::Impossible(
                "--grant-type",
                format!("is {grant}, which signs in no person; hallpass signs in persons"),
            ));
        }
        _ => {
            return Err(Refused::Impossible(
                "--grant-type",
                "is none that is known here".to_owned(),
            ));
        }
    };
    given.refuse_what_cannot_be_had()?;
    let mut notes = given.notes();
    let redirect_uri = match grant {
        "device-code" => None,
        "authcode-keyboard" => {
            notes.push(
                "--grant-type=authcode-keyboard: hallpass has no code that is typed. A browser \
                 brings it to http://127.0.0.1/callback, which must be registered; without a \
                 browser the device code is used (--flow device)"
                    .to_owned(),
            );
            None
        }
        _ => Some(redirect_uri(&given, &mut notes)?),
    };
    let mut extra_params = Vec::new();
    let (mut audience, mut resources) = (None, Vec::new());
    for (name, value) in given.pairs("oidc-auth-request-extra-params")? {
        match name.as_str() {
            "audience" => audience = Some(value),
            "resource" => resources.push(value),
            _ => extra_params.push((name, value)),
        }
    }
    // As kubelogin asks: what is extra, and `openid`.
    let mut scopes = vec!["openid".to_owned()];
    for scope in given.list("oidc-extra-scope") {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let pkce = match given.last("oidc-pkce-method") {
        _ if given.is_on("oidc-use-pkce") => true,
        Some("S256") => true,
        Some("no") => {
            notes.push("--oidc-pkce-method=no: hallpass uses PKCE all the same".to_owned());
            false
        }
        Some(_) | None => false,
    };
    let command = given.last("browser-command");
    if command.is_some_and(|command| !command.is_empty()) && !given.is_on("skip-open-browser") {
        notes.push(NO_COMMAND.to_owned());
    }
    let needed = |name: &str, shown| {
        let value = given.last(name).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or(Refused::Missing(shown))
    };
    Ok(Converted {
        issuer: needed("oidc-issuer-url", "--oidc-issuer-url")?,
        client_id: needed("oidc-client-id", "--oidc-client-id")?,
        client_secret: given
            .last("oidc-client-secret")
            .filter(|secret| !secret.is_empty())
            .map(Secret::from),
        scopes,
        redirect_uri,
        extra_params,
        audience,
        resources,
        pkce,
        ca_files: given
            .all("certificate-authority")
            .map(str::to_owned)
            .collect(),
        ca_certificates: certificates(&given)?,
        token: if given.is_on("oidc-use-access-token") {
            TokenKind::Access
        } else {
            TokenKind::Id
        },
        flow,
        env: environment(&given)?,
        notes,
    })
}

fn password() -> Refused {
    Refused::Impossible(
        "--grant-type=password (or --username)",
        "types a password into a program, which hallpass never does: it has no password grant \
         (RFC 9700 section 2.4)"
            .to_owned(),
    )
}

/// Where the browser brings the code. kubelogin's own registration has no path:
/// `http://localhost:8000`.
fn redirect_uri(given: &Given<'_>, notes: &mut Vec<String>) -> Result<String, Refused> {
    let listens: Vec<String> = if given.has("listen-port") {
        let ports = given.all("listen-port");
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    } else {
        given.list("listen-address")
    };
    if let [first, _, ..] = listens.as_slice() {
        notes.push(format!(
            "--listen-address: of several, only {first} is used"
        ));
    }
    let first = listens.first().map_or(LISTENS_AT, String::as_str);
    let bad_address =
        || Refused::Impossible("--listen-address", "is no address with a port".to_owned());
    let (host, port) = first.rsplit_once(':').ok_or_else(bad_address)?;
    let port: u16 = port.parse().map_err(|_| bad_address())?;
    if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        notes.push(format!(
            "--listen-address={first}: hallpass listens on the loopback address only"
        ));
    }
    let flag = if given.has("oidc-redirect-url") {
        "--oidc-redirect-url"
    } else {
        "--oidc-redirect-url-hostname"
    };
    let text = if let Some(text) = given.last("oidc-redirect-url") {
        text.to_owned()
    } else {
        let host = given.last("oidc-redirect-url-hostname");
        let host = host.unwrap_or("localhost");
        if port == 0 {
            format!("http://{host}")
        } else {
            format!("http://{host}:{port}")
        }
    };
    let parsed = RedirectUri::parse(&text)
        .map_err(|why| Refused::Impossible(flag, format!("cannot be used here: {why}")))?;
    match parsed.port {
        _ if !given.has("oidc-redirect-url") => (),
        Some(redirected) if listens.is_empty() || redirected == port || port == 0 => (),
        Some(_) => {
            return Err(Refused::Impossible(
                flag,
                "has another port than --listen-address: hallpass listens where the browser is \
                 sent"
                    .to_owned(),
            ));
        }
        None => {
            return Err(Refused::Impossible(
                flag,
                "has no port, and so means port 80; hallpass would take any free one".to_owned(),
            ));
        }
    }
    Ok(text)
}

fn certificates(given: &Given<'_>) -> Result<Vec<u8>, Refused> {
    let mut all = Vec::new();
    for data in given.all("certificate-authority-data") {
        let pem = STANDARD.decode(data.trim()).map_err(|_| {
            Refused::Impossible("--certificate-authority-data", "is not base64".to_owned())
        })?;
        all.extend_from_slice(&pem);
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(all)
}

/// A kubeconfig may come from anybody, so what it says of the browser's command does not count.
const NO_COMMAND: &str = "--browser-command left out: an exec entry cannot choose the browser. Set \
                          `browser` in config.toml instead";

/// What hallpass is told by its environment.
fn environment(given: &Given<'_>) -> Result<Vec<(&'static str, String)>, Refused> {
    let mut env = Vec::new();
    if given.is_on("skip-open-browser") {
        env.push((BROWSER, "none".to_owned()));
    }
    if let Some(seconds) = given.last("authentication-timeout-sec") {
        let seconds: u32 = seconds.parse().map_err(|_| {
            Refused::Impossible(
                "--authentication-timeout-sec",
                "is no number of seconds".to_owned(),
            )
        })?;
        env.push((SIGN_IN_TIMEOUT, seconds.to_string()));
    }
    Ok(env)
}

/// A command line taken apart: names without their dashes, with their values.
struct Given<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Given<'a> {
    fn read(args: &'a [String]) -> Result<Self, Refused> {
        let mut given = Vec::new();
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
                // Never its value, which may be a secret.
                unknown.push(word.split('=').next().unwrap_or(word).to_owned());
                continue;
            };
            let value = match (takes, value) {
                (_, Some(value)) => value,
                (Switch, None) => "true",
                (Value, None) => words
                    .next()
                    .ok_or_else(|| Refused::NoValue(format!("--{name}")))?,
            };
            given.push((*name, value));
        }
        if unknown.iter().any(|option| option == "--server-id") {
            return Err(Refused::Azure);
        }
        if unknown.is_empty() {
            Ok(Self(given))
        } else {
            Err(Refused::Unknown(unknown.iter().map(|o| shown(o)).collect()))
        }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let all = self.0.iter().filter(move |(found, _)| *found == name);
        all.map(|(_, value)| *value)
    }

    fn last(&self, name: &str) -> Option<&'a str> {
        self.all(name).last()
    }

    fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// As Go reads a switch.
    fn is_on(&self, name: &str) -> bool {
        let value = self.last(name);
        value.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }

    /// A list: repeated, or with commas.
    fn list(&self, name: &str) -> Vec<String> {
        self.all(name).flat_map(comma_separated).collect()
    }

    /// `name=value`: one, whose value may have commas, or several with commas between them.
    fn pairs(&self, name: &'static str) -> Result<Vec<(String, String)>, Refused> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for text in self.all(name) {
            let several = if text.matches('=').count() == 1 {
                vec![text.trim_matches('"').to_owned()]
            } else {
                comma_separated(text)
            };
            for pair in several {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Refused::Impossible(
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

    fn refuse_what_cannot_be_had(&self) -> Result<(), Refused> {
        let is_given = |name: &str| {
            let takes = OPTIONS.iter().find(|(known, _)| *known == name);
            match takes {
                Some((_, Switch)) => self.is_on(name),
                _ => self.last(name).is_some_and(|value| !value.is_empty()),
            }
        };
        for (name, shown, why) in [
            (
                "insecure-skip-tls-verify",
                "--insecure-skip-tls-verify",
                "cannot be had: hallpass checks every certificate. Give it the authority with \
                 `ca_file` (kubelogin: --certificate-authority)",
            ),
            (
                "local-server-cert",
                "--local-server-cert",
                "cannot be had: hallpass listens with http on the loopback address (RFC 8252 \
                 section 7.3). Register http://localhost:8000 at the provider",
            ),
            (
                "oidc-request-header",
                "--oidc-request-header",
                "cannot be had: hallpass sends no headers of others' making",
            ),
            (
                "password",
                "--password",
                "is a password that kubelogin types; hallpass has no password grant",
            ),
        ] {
            if is_given(name) {
                return Err(Refused::Impossible(shown, why.to_owned()));
            }
        }
        Ok(())
    }

    /// What is left out, and what takes its place.
    fn notes(&self) -> Vec<String> {
        const LOG: &str = "hallpass says what it does with -v";
        const STORE: &str = "hallpass keeps tokens sealed, in the place that `store` names";
        const TLS: &str = "hallpass's TLS knows no renegotiation, and needs none";
        let mut notes: Vec<String> = Vec::new();
        for (names, instead) in [
            (
                &[
                    "token-cache-dir",
                    "token-cache-storage",
                    "force-keyring",
                    "no-keyring",
                ][..],
                STORE,
            ),
            (&["tls-renegotiation-once", "tls-renegotiation-freely"], TLS),
            (
                &["force-refresh"],
                "hallpass refreshes when a token has expired or was refused",
            ),
            (
                &["open-url-after-authentication"],
                "hallpass shows a page of its own",
            ),
            (
                &["oidc-redirect-url-authcode-keyboard"],
                "hallpass has no code that is typed",
            ),
            (
                &[
                    "v",
                    "vmodule",
                    "add_dir_header",
                    "alsologtostderr",
                    "log_backtrace_at",
                    "log_dir",
                    "log_file",
                    "log_file_max_size",
                    "logtostderr",
                    "one_output",
                    "skip_headers",
                    "skip_log_headers",
                    "stderrthreshold",
                ],
                LOG,
            ),
        ] {
            let left_out: Vec<String> = names
                .iter()
                .filter(|name| self.has(name))
                .map(|name| {
                    if *name == "v" {
                        "-v".to_owned()
                    } else {
                        format!("--{name}")
                    }
                })
                .collect();
            if !left_out.is_empty() {
                notes.push(format!("{} left out: {instead}", left_out.join(", ")));
            }
        }
        for name in ["token-exchange-resource", "token-exchange-audience"] {
            if self.has(name) {
                notes.push(format!("--{name} left out: it belongs to another grant"));
            }
        }
        notes
    }
}

/// One record of comma-separated values (RFC 4180), as Go's flags read a list.
fn comma_separated(text: &str) -> Vec<String> {
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

/// An option's name as a person reads it; what is no option may be anything, and is not shown.
fn shown(option: &str) -> String {
    if option.starts_with('-') {
        option.to_owned()
    } else {
        "a word that is no option".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 3] = [
        "--oidc-issuer-url=https://login.example",
        "--oidc-client-id",
        "kube",
    ];

    fn convert(more: &[&str]) -> Result<Converted, Refused> {
        let words = ["get-token"].iter().chain(&NEEDED).chain(more);
        let words: Vec<String> = words.map(|&word| word.to_owned()).collect();
        converted("kubelogin", &words)
    }

    fn plain() -> Converted {
        Converted {
            issuer: "https://login.example".to_owned(),
            client_id: "kube".to_owned(),
            client_secret: None,
            scopes: vec!["openid".to_owned()],
            redirect_uri: Some("http://localhost:8000".to_owned()),
            extra_params: Vec::new(),
            audience: None,
            resources: Vec::new(),
            pkce: false,
            ca_files: Vec::new(),
            ca_certificates: Vec::new(),
            token: TokenKind::Id,
            flow: None,
            env: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn kubelogin_is_known_however_it_is_started() {
        for (command, args, expected) in [
            ("kubectl", &["oidc-login", "get-token", "--x"][..], true),
            (
                "/usr/bin/kubectl",
                &["oidc-login", "get-token", "--x"],
                true,
            ),
            ("kubelogin", &["get-token", "--x"], true),
            ("/opt/k/kubelogin", &["get-token", "--x"], true),
            (r"C:\k\kubelogin.exe", &["get-token", "--x"], true),
            ("kubectl-oidc_login", &["get-token", "--x"], true),
            ("kubectl", &["get-token", "--x"], false),
            ("kubectl", &["oidc-login", "setup"], false),
            ("kubelogin", &[], false),
            ("hallpass", &["kubectl"], false),
            ("docker", &["run", "kubelogin", "get-token"], false),
        ] {
            let args = texts(args);
            let found = arguments(command, &args);
            let expected = expected.then(|| texts(&["--x"]));
            assert_eq!(found, expected.as_deref(), "{command} {args:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_option_comes_to_what_it_means_here() {
        type Changed = fn(&mut Converted);
        let table: &[(&[&str], Changed)] = &[
            (&[], |_| ()),
            (&["--oidc-client-secret", "hush"], |c| {
                c.client_secret = Some("hush".into());
            }),
            (&["--oidc-client-secret="], |_| ()),
            (
                &[
                    "--oidc-extra-scope=email,groups",
                    "--oidc-extra-scope",
                    "openid",
                ],
                |c| c.scopes = texts(&["openid", "email", "groups"]),
            ),
            (&["--oidc-use-access-token"], |c| {
                c.token = TokenKind::Access;
            }),
            (&["--oidc-use-access-token=false"], |_| ()),
            (&["--oidc-redirect-url=http://127.0.0.1:9000/cb"], |c| {
                c.redirect_uri = Some("http://127.0.0.1:9000/cb".to_owned());
            }),
            (&["--listen-address", "127.0.0.1:9000"], |c| {
                c.redirect_uri = Some("http://localhost:9000".to_owned());
            }),
            (&["--listen-address=127.0.0.1:0"], |c| {
                c.redirect_uri = Some("http://localhost".to_owned());
            }),
            (&["--listen-port=9001"], |c| {
                c.redirect_uri = Some("http://localhost:9001".to_owned());
            }),
            (&["--listen-address=127.0.0.1:9000,127.0.0.1:9001"], |c| {
                c.redirect_uri = Some("http://localhost:9000".to_owned());
                c.notes = texts(&["--listen-address: of several, only 127.0.0.1:9000 is used"]);
            }),
            (&["--listen-address=0.0.0.0:8000"], |c| {
                c.notes = texts(&[
                    "--listen-address=0.0.0.0:8000: hallpass listens on the loopback address only",
                ]);
            }),
            (&["--oidc-redirect-url-hostname=127.0.0.1"], |c| {
                c.redirect_uri = Some("http://127.0.0.1:8000".to_owned());
            }),
            (
                &[
                    "--certificate-authority=~/ca.pem",
                    "--certificate-authority",
                    "/b.pem",
                ],
                |c| c.ca_files = texts(&["~/ca.pem", "/b.pem"]),
            ),
            (&["--certificate-authority-data=UEVN"], |c| {
                c.ca_certificates = b"PEM\n".to_vec();
            }),
            (&["--grant-type=auto"], |_| ()),
            (&["--grant-type=authcode"], |c| c.flow = Some(Flow::Browser)),
            (&["--grant-type", "device-code"], |c| {
                c.flow = Some(Flow::Device);
                c.redirect_uri = None;
            }),
            (
                &[
                    "--oidc-auth-request-extra-params=prompt=login,ui=x",
                    "--oidc-pkce-method=S256",
                ],
                |c| {
                    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
                    c.extra_params = vec![pair("prompt", "login"), pair("ui", "x")];
                    c.pkce = true;
                },
            ),
            (
                &["--oidc-auth-request-extra-params", "acr_values=a,b"],
                |c| {
                    c.extra_params = vec![("acr_values".to_owned(), "a,b".to_owned())];
                },
            ),
            (
                &["--oidc-auth-request-extra-params=audience=api,resource=https://r"],
                |c| {
                    c.audience = Some("api".to_owned());
                    c.resources = texts(&["https://r"]);
                },
            ),
            (&["--oidc-use-pkce"], |c| c.pkce = true),
            (&["--oidc-pkce-method=no"], |c| {
                c.notes = texts(&["--oidc-pkce-method=no: hallpass uses PKCE all the same"]);
            }),
            (&["--skip-open-browser"], |c| {
                c.env = vec![("BROWSER", "none".to_owned())];
            }),
            (&["--browser-command=firefox"], |c| {
                c.notes = texts(&[NO_COMMAND]);
            }),
            (&["--authentication-timeout-sec=60"], |c| {
                c.env = vec![("HALLPASS_SIGN_IN_TIMEOUT", "60".to_owned())];
            }),
            (&["-v1", "--token-cache-dir", "/x", "--logtostderr"], |c| {
                c.notes = texts(&[
                    "--token-cache-dir left out: hallpass keeps tokens sealed, in the place that \
                     `store` names",
                    "-v, --logtostderr left out: hallpass says what it does with -v",
                ]);
            }),
            (&["--v=2"], |c| {
                c.notes = texts(&["-v left out: hallpass says what it does with -v"]);
            }),
            (&["--insecure-skip-tls-verify=false"], |_| ()),
        ];
        for (more, changed) in table {
            let mut expected = plain();
            changed(&mut expected);
            assert_eq!(convert(more), Ok(expected), "{more:?}");
        }
    }

    #[test]
    fn a_typed_code_is_said_to_be_gone() {
        let converted = convert(&["--grant-type=authcode-keyboard"]).unwrap();
        assert_eq!((converted.flow, converted.redirect_uri), (None, None));
        assert!(converted.notes[0].contains("http://127.0.0.1/callback"));
    }

    #[test]
    fn what_is_unknown_or_cannot_be_had_is_refused_by_name_and_without_its_value() {
        for (more, words) in [
            (&["--nope=hush", "-x"][..], &["--nope, -x"][..]),
            (&["hush"], &["a word that is no option"]),
            (&["--", "hush"], &["--"]),
            (&["--server-id=hush"], &["Azure"]),
            (
                &["--oidc-client-secret"],
                &["--oidc-client-secret has no value"],
            ),
            (&["--oidc-client-id="], &["no --oidc-client-id"]),
            (
                &["--grant-type=password"],
                &["--grant-type=password", "password grant"],
            ),
            (&["--username=hush"], &["--username", "password grant"]),
            (&["--password=hush"], &["--password"]),
            (
                &["--grant-type=client-credentials"],
                &["client-credentials"],
            ),
            (&["--grant-type=token-exchange"], &["token-exchange"]),
            (&["--grant-type=hush"], &["none that is known"]),
            (
                &["--insecure-skip-tls-verify"],
                &["--insecure-skip-tls-verify", "ca_file"],
            ),
            (&["--local-server-cert=x"], &["--local-server-cert"]),
            (
                &["--oidc-request-header=X=hush"],
                &["--oidc-request-header"],
            ),
            (
                &["--oidc-redirect-url=https://h/cb"],
                &["--oidc-redirect-url", "http://"],
            ),
            (&["--oidc-redirect-url=http://localhost/cb"], &["port 80"]),
            (
                &[
                    "--oidc-redirect-url=http://localhost:1/",
                    "--listen-address=localhost:2",
                ],
                &["another port"],
            ),
            (&["--oidc-redirect-url-hostname=h.example"], &["localhost"]),
            (&["--listen-address=x"], &["--listen-address"]),
            (&["--certificate-authority-data=%"], &["base64"]),
            (&["--authentication-timeout-sec=x"], &["seconds"]),
            (&["--oidc-auth-request-extra-params=x"], &["NAME=VALUE"]),
        ] {
            let said = convert(more).unwrap_err().to_string();
            for word in words {
                assert!(said.contains(word), "{more:?}: {said}");
            }
            assert!(!said.contains("hush"), "{more:?}: {said}");
        }
        let said = converted("kubelogin", &texts(&["get-token"])).unwrap_err();
        assert_eq!(said, Refused::Missing("--oidc-issuer-url"));
    }

    #[test]
    fn a_list_is_read_as_go_reads_it() {
        for (text, expected) in [
            ("a,b", &["a", "b"][..]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]),
            ("", &[]),
        ] {
            assert_eq!(comma_separated(text), expected, "{text}");
        }
    }
}
