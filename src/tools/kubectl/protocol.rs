//! `hallpass kubectl`: an exec credential plugin of kubectl and of whatever else reads a
//! kubeconfig.
//!
//! Specification: <https://kubernetes.io/docs/reference/config-api/client-authentication.v1/> and
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>.
//!
//! The request comes in an environment variable and the reply goes to stdout: one object, and not
//! a byte before it. Many clients set no such variable: for them the exec entry says with
//! `--api-version` which reply they read, and it is all of this call's arguments. What the kubeconfig says of a cluster is handed on as it stands; whoever
//! answers has to think of the kubeconfig as anybody's.

use std::io;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::credential::{
    Answer, Call, Cluster, ClusterNames, Credential, Request, TokenKind, Want,
};
use crate::env::Env;
use crate::report::{Exit, Report, printable};
use crate::secret::Wiping;
use crate::wire::{Protocol, reply_with_credential, rfc3339};

/// Where kubectl puts its request.
const INFO: &str = "KUBERNETES_EXEC_INFO";

/// The request as it stands there.
pub fn info(env: &Env) -> Option<&str> {
    env.var_unrecorded(INFO)?.to_str()
}

const GROUP: &str = "client.authentication.k8s.io/";
/// `v1alpha1` went with kubectl 1.24.
const VERSIONS: &[&str] = &["v1", "v1beta1"];

/// The version that each client reads: kubectl 1.20 to 1.36, and also those that read no v1.
pub const VERSION_OF_ALL: &str = "v1beta1";

/// The whole name of a version, `client.authentication.k8s.io/v1`, which may be given without its
/// group.
pub fn whole_version(text: &str) -> Option<String> {
    let version = text.strip_prefix(GROUP).unwrap_or(text);
    VERSIONS
        .contains(&version)
        .then(|| format!("{GROUP}{version}"))
}

#[derive(Debug)]
pub struct ExecPlugin;

impl Protocol for ExecPlugin {
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode> {
        let version = call.args.first().and_then(|version| version.to_str());
        let input = match Input::parse(info(call.env), version) {
            Ok(input) => input,
            Err(malformed) => {
                let report = malformed.report();
                report.write(call.stderr);
                return Ok(report.exit.into());
            }
        };
        // `spec.interactive` is about stdin; it doesn't say whether a person is at the screen.
        let request = Request {
            cluster: input.cluster,
            ..Request::get(Want::valid(TokenKind::Id))
        };
        reply_with_credential(call, answer(&request), |credential, stdout| {
            stdout.write_all(reply(&input.api_version, credential)?.bytes())
        })
    }
}

// --- what kubectl says ---

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{INFO} is not set, and no `--api-version` says which reply to print")]
    Absent,
    #[error("{INFO} is not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("{INFO} holds no ExecCredential")]
    NotExecCredential,
    #[error("{INFO} has the version {0}, which hallpass does not speak")]
    Version(String),
    #[error("the cluster in {INFO} names no server")]
    NoServer,
    #[error("the cluster's `{0}` in {INFO} is not what it should be")]
    Field(&'static str),
    #[error(
        "the cluster's extension client.authentication.k8s.io/exec is not an object of settings"
    )]
    Extension,
    #[error("the cluster's extension client.authentication.k8s.io/exec has an unknown key `{0}`")]
    UnknownKey(String),
    #[error("the cluster's extension client.authentication.k8s.io/exec: `{key}` must be {what}")]
    Setting {
        key: &'static str,
        what: &'static str,
    },
}

impl Malformed {
    fn report(&self) -> Report {
        let hint = match self {
            Self::Absent => {
                "to print a token, run `hallpass get-token`. If a Kubernetes client ran this, run \
                 `hallpass setup kubectl` to update the exec entry in your kubeconfig"
            }
            Self::NotJson { .. } | Self::NotExecCredential => {
                "to print a token, run `hallpass get-token`; this command is for the exec entry of \
                 a kubeconfig"
            }
            Self::Version(_) => {
                "in the kubeconfig's exec entry, set `apiVersion: \
                 client.authentication.k8s.io/v1beta1`"
            }
            Self::NoServer | Self::Field(_) => {
                "look at the cluster with `kubectl config view --minify`"
            }
            Self::Extension | Self::UnknownKey(_) | Self::Setting { .. } => {
                "it may have: provider, issuerURL, clientID, scopes, audience, account, token"
            }
        };
        Report {
            error: self.to_string(),
            causes: Vec::new(),
            hint: Some(hint.to_owned()),
            exit: Exit::Usage,
        }
    }
}

/// A request, parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// The reply carries the same.
    api_version: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct ExecCredential {
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "apiVersion")]
    api_version: String,
    /// Empty from kubectl 1.20, and from those who leave cluster information out.
    #[serde(default)]
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    cluster: Option<Map<String, Value>>,
}

impl Input {
    /// Parses the variable's value. Without one, the reply has the version that the exec entry
    /// gives.
    pub fn parse(info: Option<&str>, version: Option<&str>) -> Result<Self, Malformed> {
        let Some(info) = info else {
            let version = version.ok_or(Malformed::Absent)?;
            return Ok(Self {
                api_version: whole_version(version)
                    .ok_or_else(|| Malformed::Version(shortened(version)))?,
                cluster: None,
            });
        };
        // Its own message would quote the value.
        let credential: ExecCredential = serde_json::from_str(info).map_err(|error| {
            if error.is_data() {
                Malformed::NotExecCredential
            } else {
                Malformed::NotJson {
                    line: error.line(),
                    column: error.column(),
                }
            }
        })?;
        let ExecCredential {
            kind,
            api_version,
            spec,
        } = credential;
        if kind != "ExecCredential" || api_version.is_empty() {
            return Err(Malformed::NotExecCredential);
        }
        let version = api_version.strip_prefix(GROUP);
        if !version.is_some_and(|version| VERSIONS.contains(&version)) {
            return Err(Malformed::Version(shortened(&api_version)));
        }
        let Spec { cluster } = spec.unwrap_or_default();
        let cluster = cluster.map(|fields| cluster_of(&fields)).transpose()?;
        Ok(Self {
            api_version,
            cluster,
        })
    }
}

/// Reads `spec.cluster`.
pub fn cluster_of(fields: &Map<String, Value>) -> Result<Cluster, Malformed> {
    let text = |key: &'static str| match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(Malformed::Field(key)),
    };
    let skips_tls_verification = match fields.get("insecure-skip-tls-verify") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(skips)) => *skips,
        Some(_) => return Err(Malformed::Field("insecure-skip-tls-verify")),
    };
    Ok(Cluster {
        server: text("server")?.ok_or(Malformed::NoServer)?,
        skips_tls_verification,
        has_own_authority: text("certificate-authority-data")?.is_some(),
        tls_server_name: text("tls-server-name")?,
        proxy_url: text("proxy-url")?,
        names: match fields.get("config") {
            None | Some(Value::Null) => ClusterNames::default(),
            Some(Value::Object(settings)) => names_of(settings)?,
            Some(_) => return Err(Malformed::Extension),
        },
    })
}

/// Reads the extension's keys, whose names follow the style of a kubeconfig.
fn names_of(settings: &Map<String, Value>) -> Result<ClusterNames, Malformed> {
    let mut names = ClusterNames::default();
    for (key, value) in settings {
        match key.as_str() {
            "provider" => names.provider = Some(text("provider", value)?),
            "issuerURL" => names.issuer_url = Some(text("issuerURL", value)?),
            "clientID" => names.client_id = Some(text("clientID", value)?),
            "audience" => names.audience = Some(text("audience", value)?),
            "account" => names.account = Some(text("account", value)?),
            "scopes" => {
                let list = value.as_array().ok_or(NOT_SCOPES)?;
                let scopes = list.iter().map(|one| text("scopes", one));
                names.scopes = scopes.collect::<Result<_, _>>().map_err(|_| NOT_SCOPES)?;
            }
            "token" => {
                names.token = Some(match value.as_str() {
                    Some("id") => TokenKind::Id,
                    Some("access") => TokenKind::Access,
                    Some(_) | None => {
                        return Err(Malformed::Setting {
                            key: "token",
                            what: "id or access",
                        });
                    }
                });
            }
            _ => return Err(Malformed::UnknownKey(shortened(key))),
        }
    }
    Ok(names)
}

const NOT_SCOPES: Malformed = Malformed::Setting {
    key: "scopes",
    what: "a list of strings",
};

fn text(key: &'static str, value: &Value) -> Result<String, Malformed> {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() || text.contains(char::is_control) {
        let what = "a string";
        return Err(Malformed::Setting { key, what });
    }
    Ok(text.to_owned())
}

fn shortened(text: &str) -> String {
    printable(&text.chars().take(64).collect::<String>())
}

// --- what kubectl is told ---

fn reply(api_version: &str, credential: &Credential) -> io::Result<Wiping> {
    let Credential {
        token,
        token_type: _,
        expires_at,
        scopes: _,
        username: _,
        provider: _,
        account: _,
        generation: _,
        bearer: _,
        renewable: _,
    } = credential;
    let expires_at = rfc3339(*expires_at);
    let token = token.expose();
    let mut reply = Wiping::with_capacity(token.len() + 256);
    reply.add(b"{\"kind\":\"ExecCredential\",\"apiVersion\":");
    serde_json::to_writer(&mut reply, api_version)?;
    reply.add(b",\"status\":{");
    if let Some(at) = expires_at {
        reply.add(b"\"expirationTimestamp\":\"");
        reply.add(at.as_bytes());
        reply.add(b"\",");
    }
    reply.add(b"\"token\":");
    serde_json::to_writer(&mut reply, token)?;
    reply.add(b"}}\n");
    Ok(reply)
}

#[cfg(test)]
mod tests;
