//! kubectl's own rule about which plugins may run: the allow-list in kuberc (kubectl 1.35).
//!
//! A line is added only where the policy is `Allowlist` already: under any other one a list is an
//! error that stops every plugin. Otherwise the lines are shown, and the file is left alone.
//!
//! <https://kubernetes.io/docs/reference/kubectl/kuberc/#credential-plugin-policy>

use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::super::kubeconfig;
use super::yaml::{self, Edit};
use crate::child;
use crate::config::ConfigError;
use crate::env::Env;
use crate::error::Error;
use crate::files;

const POLICY: &str = "credentialPluginPolicy";
const LIST: &str = "credentialPluginAllowlist";

/// The first kubectl that has such a rule.
pub(crate) const FIRST_WITH_POLICY: u32 = 35;

/// What the file says of a command.
pub(crate) enum Rule {
    /// kubectl runs every plugin; why that is so.
    Unrestricted(String),
    /// kubectl runs none.
    Denied(String),
    Listed,
    Unlisted(List),
    /// Nobody here can tell; why.
    Unknown(String),
}

/// An allow-list that lacks the command.
pub(crate) struct List {
    file: PathBuf,
    text: String,
    /// What its entries call the command.
    field: &'static str,
}

/// What becomes of the file.
pub(crate) enum Allowed {
    /// It is to be changed so.
    Added {
        file: PathBuf,
        text: String,
        edit: Edit,
    },
    /// It allows the command already.
    Already,
    /// It is left alone; why, and what one would write.
    Told { why: String, lines: String },
}

/// What to do so that kubectl may run this command.
pub(crate) fn allow(env: &Env, command: &str) -> Result<Allowed, Error> {
    let told = |why: String| Allowed::Told {
        why,
        lines: format!(
            "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n{POLICY}: Allowlist\n\
             {LIST}:\n- {}: {command}",
            field_of_this_kubectl()
        ),
    };
    let List { file, text, field } = match rule(env, command)? {
        Rule::Listed => return Ok(Allowed::Already),
        Rule::Unrestricted(why) | Rule::Denied(why) | Rule::Unknown(why) => return Ok(told(why)),
        Rule::Unlisted(list) => list,
    };
    let entry = yaml::object([(field, command.into())]);
    match yaml::appended(&text, LIST, &entry) {
        Ok(edit) => Ok(Allowed::Added { file, text, edit }),
        Err(why) => {
            let shown = crate::config::shown(&file);
            Ok(told(format!("{shown} is left alone: {why}")))
        }
    }
}

/// Reads what kubectl would go by.
pub(crate) fn rule(env: &Env, command: &str) -> Result<Rule, Error> {
    let Some(file) = path(env)? else {
        let why = "KUBERC=off: kubectl reads no kuberc, and runs every plugin";
        return Ok(Rule::Unrestricted(why.to_owned()));
    };
    let shown = crate::config::shown(&file);
    let text = match files::read_text(&file, files::LARGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("there is no {shown}, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
        Err(cause) => return Err(ConfigError::Unreadable { file: shown, cause }.into()),
    };
    let root = match yaml::parse(&text) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let why = format!("{shown} is empty, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
        Err(why) => return Ok(Rule::Unknown(format!("{shown} is left alone: {why}"))),
    };
    match root.value(POLICY).and_then(yaml::Node::text) {
        Some("Allowlist") => (),
        Some("DenyAll") => {
            let why = format!("{shown} has {POLICY}: DenyAll, so kubectl runs no plugin at all");
            return Ok(Rule::Denied(why));
        }
        Some(_) | None => {
            let why = format!("{shown} restricts nothing, so kubectl runs every plugin");
            return Ok(Rule::Unrestricted(why));
        }
    }
    let listed = root.value(LIST).map(yaml::Node::items).unwrap_or_default();
    let commands = |field| {
        let values = listed.iter().filter_map(move |entry| entry.value(field));
        values.filter_map(yaml::Node::text)
    };
    if commands("command")
        .chain(commands("name"))
        .any(|one| one == command)
    {
        return Ok(Rule::Listed);
    }
    let field = if commands("name").next().is_some() {
        "name"
    } else if commands("command").next().is_some() {
        "command"
    } else {
        field_of_this_kubectl()
    };
    Ok(Rule::Unlisted(List { file, text, field }))
}

/// `None` where it is switched off.
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
fn field_of_this_kubectl() -> &'static str {
    match client_minor() {
        Some(FIRST_WITH_POLICY) => "name",
        Some(_) | None => "command",
    }
}

/// The 32 of kubectl 1.32; `None` where kubectl does not say.
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
