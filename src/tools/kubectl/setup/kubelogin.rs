//! Converts kubelogin's command line to hallpass's settings. A pure function.
//!
//! An unknown or unsupported option is an error that names it: a converted user can sign in as
//! before, or nothing is changed.
//!
//!  <https://github.com/int128/kubelogin/blob/master/docs/usage.md>

mod options;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Flow;
use crate::credential::TokenKind;
use crate::oauth::RedirectUri;
use crate::secret::Secret;
use options::{Options, impossible};
pub(crate) use options::{Unconverted, arguments};

/// kubelogin's default addresses: it uses the first whose port is free.
const LISTENS_AT: [&str; 2] = ["127.0.0.1:8000", "127.0.0.1:18000"];

const BROWSER: &str = "BROWSER";
const SIGN_IN_TIMEOUT: &str = "HALLPASS_SIGN_IN_TIMEOUT";

/// The variables that a conversion may put into the exec entry.
pub(crate) const VARIABLES: [&str; 2] = [BROWSER, SIGN_IN_TIMEOUT];

/// The settings that a command line is converted to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Converted {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret<String>>,
    pub(crate) scopes: Vec<String>,
    /// Empty if no browser is used. Otherwise, they differ only in their ports.
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) extra_params: Vec<(String, String)>,
    pub(crate) audience: Option<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) pkce: bool,
    /// As written: relative to the home or the working directory, or absolute.
    pub(crate) ca_files: Vec<String>,
    /// In PEM.
    pub(crate) ca_certificates: Vec<u8>,
    pub(crate) token: TokenKind,
    pub(crate) flow: Option<Flow>,
    /// Variables to add to the plugin's environment.
    pub(crate) env: Vec<(&'static str, String)>,
    /// What changes for the user.
    pub(crate) notes: Vec<String>,
}

/// Converts the command line of a user's entry.
pub(crate) fn converted(command: &str, args: &[String]) -> Result<Converted, Unconverted> {
    let args = arguments(command, args).ok_or(Unconverted::NotKubelogin)?;
    let given = Options::read(args)?;
    let grant = given.last("grant-type").unwrap_or("auto");
    let flow = match grant {
        "auto" if given.filled("username").is_some() => return Err(password()),
        "password" => return Err(password()),
        "auto" | "authcode-keyboard" => None,
        "authcode" => Some(Flow::Browser),
        "device-code" => Some(Flow::Device),
        "client-credentials" | "token-exchange" => {
            return Err(impossible(
                "--grant-type",
                format!("is {grant}, which signs in a program; hallpass signs in people"),
            ));
        }
        _ => {
            return Err(impossible("--grant-type", "is unknown"));
        }
    };
    let mut notes = given.notes()?;
    let redirect_uris = match grant {
        "device-code" => Vec::new(),
        "authcode-keyboard" => {
            notes.push(
                "--grant-type=authcode-keyboard: hallpass doesn't support codes typed by hand. The \
                 browser is redirected to http://127.0.0.1/callback, which must be registered at \
                 the provider; without a browser, hallpass uses a device code (--flow device)"
                    .to_owned(),
            );
            Vec::new()
        }
        _ => redirect_uris(&given, &mut notes)?,
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
    // kubelogin always requests `openid`.
    let mut scopes = vec!["openid".to_owned()];
    for scope in given.list("oidc-extra-scope") {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let method = given.last("oidc-pkce-method");
    let pkce = given.is_on("oidc-use-pkce") || method == Some("S256");
    if !pkce && method == Some("no") {
        notes.push("--oidc-pkce-method=no left out: hallpass always uses PKCE".to_owned());
    }
    if given.filled("browser-command").is_some() && !given.is_on("skip-open-browser") {
        notes.push(NO_COMMAND.to_owned());
    }
    let needed = |name: &str, shown| {
        let value = given.filled(name).map(str::to_owned);
        value.ok_or(Unconverted::Missing(shown))
    };
    Ok(Converted {
        issuer: needed("oidc-issuer-url", "--oidc-issuer-url")?,
        client_id: needed("oidc-client-id", "--oidc-client-id")?,
        client_secret: given.filled("oidc-client-secret").map(Secret::from),
        scopes,
        redirect_uris,
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

fn password() -> Unconverted {
    impossible(
        "--grant-type=password (or --username)",
        "is not supported: hallpass has no password grant (RFC 9700 section 2.4)",
    )
}

/// The redirect URIs. kubelogin's defaults have no path: `http://localhost:8000`.
fn redirect_uris(given: &Options<'_>, notes: &mut Vec<String>) -> Result<Vec<String>, Unconverted> {
    let mut listens: Vec<String> = if given.has("listen-port") {
        let ports = given.all("listen-port");
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    } else {
        given.list("listen-address")
    };
    let has_default = listens.is_empty();
    if has_default {
        listens = LISTENS_AT.map(str::to_owned).to_vec();
    }
    let mut ports: Vec<u16> = Vec::new();
    for address in &listens {
        let split = address.rsplit_once(':');
        let split = split.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = split else {
            return Err(impossible(
                "--listen-address",
                "is not an address with a port",
            ));
        };
        if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
            notes.push(format!(
                "--listen-address={address}: hallpass listens only on the loopback address"
            ));
        }
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let parsed = |flag, text: &str| {
        RedirectUri::parse(text).map_err(|why| impossible(flag, format!("is not supported: {why}")))
    };
    if let Some(text) = given.last("oidc-redirect-url") {
        const FLAG: &str = "--oidc-redirect-url";
        return match parsed(FLAG, text)?.port {
            Some(port) if has_default || ports.contains(&port) || ports.contains(&0) => {
                Ok(vec![text.to_owned()])
            }
            Some(_) => Err(impossible(
                FLAG,
                "has a different port than --listen-address: hallpass listens on the port that the \
                 browser is redirected to",
            )),
            None => Err(impossible(
                FLAG,
                "has no port, which means port 80; hallpass would use any free port",
            )),
        };
    }
    let host = given.last("oidc-redirect-url-hostname");
    let host = host.unwrap_or("localhost");
    parsed("--oidc-redirect-url-hostname", &format!("http://{host}"))?;
    // Port 0 is any free one, so nothing after it is needed.
    if ports.first() == Some(&0) {
        return Ok(vec![format!("http://{host}")]);
    }
    let fixed = ports.iter().take_while(|port| **port != 0);
    Ok(fixed.map(|port| format!("http://{host}:{port}")).collect())
}

fn certificates(given: &Options<'_>) -> Result<Vec<u8>, Unconverted> {
    let mut all = Vec::new();
    for data in given.all("certificate-authority-data") {
        let pem = STANDARD
            .decode(data.trim())
            .map_err(|_| impossible("--certificate-authority-data", "is not base64"))?;
        all.extend_from_slice(&pem);
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(all)
}

/// A kubeconfig may be someone else's, so it must not choose a command to run.
const NO_COMMAND: &str = "--browser-command left out: an exec entry can't choose the browser. Set \
                          `browser` in config.toml instead. If the command contains a space, quote \
                          it: `browser = \"'/opt/my browser/run'\"`";

/// The variables for the exec entry.
fn environment(given: &Options<'_>) -> Result<Vec<(&'static str, String)>, Unconverted> {
    let mut env = Vec::new();
    if given.is_on("skip-open-browser") {
        env.push((BROWSER, "none".to_owned()));
    }
    if let Some(seconds) = given.last("authentication-timeout-sec") {
        let seconds: u32 = seconds.parse().map_err(|_| {
            impossible("--authentication-timeout-sec", "is not a number of seconds")
        })?;
        env.push((SIGN_IN_TIMEOUT, seconds.to_string()));
    }
    Ok(env)
}
