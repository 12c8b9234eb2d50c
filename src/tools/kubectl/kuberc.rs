//! kubectl's policy about which plugins may run: the allowlist in kuberc (kubectl 1.35).
//!
//! <https://kubernetes.io/docs/reference/kubectl/kuberc/#credential-plugin-policy>

use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::faults::inaccessible;
use super::kubeconfig;
use crate::child;
use crate::config::home;
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::setup::yaml;

pub(super) const POLICY: &str = "credentialPluginPolicy";
pub(super) const LIST: &str = "credentialPluginAllowlist";

/// The minor version of the first kubectl with this policy.
pub(crate) const FIRST_WITH_POLICY: u32 = 35;

/// What the policy says about a command.
pub(crate) enum Rule {
    /// kubectl runs every plugin, and why.
    Unrestricted(String),
    /// kubectl runs no plugin, and why.
    Denied(String),
    Listed(List),
    Unlisted(List),
    /// It can't be determined, and why.
    Unknown(String),
}

/// An allowlist.
pub(crate) struct List {
    pub(super) file: PathBuf,
    /// The key of the command in its items.
    pub(super) field: &'static str,
}

/// Reads the policy for this command.
pub(crate) fn rule(env: &Env, command: &str) -> Result<Rule, Error> {
    let Some(file) = path(env)? else {
        let why = "KUBERC=off: kubectl doesn't read kuberc, and runs every plugin";
        return Ok(Rule::Unrestricted(why.to_owned()));
    };
    let shown = crate::config::shown(&file);
    let text = match files::read_text(&file, files::LARGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("there is no {shown}, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
        Err(cause) => {
            return Err(
                inaccessible("read", &file, home(env).ok().as_deref(), "KUBERC", cause).into(),
            );
        }
    };
    let root = match yaml::parse(&text) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let why = format!("{shown} is empty, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
        Err(why) => return Ok(Rule::Unknown(format!("{shown} was not changed: {why}"))),
    };
    match root.value(POLICY).and_then(yaml::Node::text) {
        Some("Allowlist") => (),
        Some("DenyAll") => {
            let why = format!("{shown} has {POLICY}: DenyAll, so kubectl runs no plugin at all");
            return Ok(Rule::Denied(why));
        }
        Some(_) | None => {
            let why = format!("{shown} has no allowlist, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
    }
    let listed = root.value(LIST).map(yaml::Node::items).unwrap_or_default();
    let commands = |field| {
        let values = listed.iter().filter_map(move |entry| entry.value(field));
        values.filter_map(yaml::Node::text)
    };
    for field in ["command", "name"] {
        if commands(field).any(|one| one == command) {
            return Ok(Rule::Listed(List { file, field }));
        }
    }
    let field = if commands("name").next().is_some() {
        "name"
    } else if commands("command").next().is_some() {
        "command"
    } else {
        field_of_this_kubectl()
    };
    Ok(Rule::Unlisted(List { file, field }))
}

/// `None` if kuberc is turned off.
fn path(env: &Env) -> Result<Option<PathBuf>, Error> {
    match env.var_os("KUBERC") {
        Some(value) if value == "off" => Ok(None),
        Some(value) => {
            let path = PathBuf::from(value);
            Ok(Some(std::path::absolute(&path).unwrap_or(path)))
        }
        None => Ok(Some(crate::config::home(env)?.join(".kube").join("kuberc"))),
    }
}

/// kubectl 1.35 called the field `name`; later ones call it `command`.
pub(super) fn field_of_this_kubectl() -> &'static str {
    match client_minor() {
        Some(FIRST_WITH_POLICY) => "name",
        Some(_) | None => "command",
    }
}

/// The minor version of kubectl, such as 32. `None` if kubectl doesn't report it.
pub(crate) fn client_minor() -> Option<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said {
        client_version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        minor: String,
    }
    let mut command = Command::new("kubectl");
    command.args(["version", "--client", "--output=json"]);
    let output = child::output(&mut command, kubeconfig::LIMIT).ok()?;
    let said: Said = serde_json::from_slice(&output.stdout).ok()?;
    let digits = said.client_version.minor;
    digits
        .trim_end_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok()
}
