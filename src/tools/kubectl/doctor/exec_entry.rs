//! Checks the exec entry of a kubeconfig user, and how the cluster describes itself to it.

use std::path::Path;

use serde_json::{Map, Value};

use super::super::arguments::Arguments;
use super::super::entry::Entry;
use super::super::kubeconfig::{self, Cluster};
use super::super::kuberc::{self, FIRST_WITH_POLICY, Rule};
use super::super::protocol::cluster_of;
use crate::credential;
use crate::env::Env;
use crate::error::Error;
use crate::serving::prepared::Prepared;
use crate::session::DEFAULT_ACCOUNT;
use crate::setup::program;
use crate::tools::findings::Findings;

/// The name of the cluster extension that kubectl passes to a plugin.
const EXTENSION: &str = "client.authentication.k8s.io/exec";

pub(super) fn check(env: &Env, name: &str, user: &Value, setup: &str, findings: &mut Findings) {
    let text = |key: &str| {
        user.pointer(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let version = text("/exec/apiVersion");
    if ![
        "client.authentication.k8s.io/v1",
        "client.authentication.k8s.io/v1beta1",
    ]
    .contains(&version)
    {
        findings.problem(
            &format!("the exec entry's apiVersion is {version:?}"),
            setup,
        );
    }
    if version == "client.authentication.k8s.io/v1" {
        findings.note(
            "apiVersion v1: kubectl before 1.22, lightkube and pykube-ng read only v1beta1, which \
             every client reads",
        );
    }
    if text("/exec/interactiveMode") == "Never" {
        findings.note("interactiveMode is Never: hallpass still prompts on the terminal");
    }
    // kubectl prefers these to a plugin.
    let others = ["token", "tokenFile", "username", "auth-provider"];
    let others = others
        .into_iter()
        .filter(|key| !matches!(user.get(key), None | Some(Value::Null)));
    for other in others {
        findings.problem(
            &format!(
                "the user has `{other}` beside its exec entry, and kubectl sends that instead"
            ),
            &format!("remove it from the kubeconfig, or run `{setup}`"),
        );
    }
    let command = text("/exec/command");
    check_kuberc(env, command, setup, findings);
    if is_found(env, name, command) {
        findings.ok(&format!("the exec entry runs {command}"));
    } else {
        findings.problem(
            &format!("the exec entry runs {command}, which does not exist or is not on PATH"),
            setup,
        );
    }
}

/// Checks kubectl's plugin policy, if this kubectl has one.
fn check_kuberc(env: &Env, command: &str, setup: &str, findings: &mut Findings) {
    let is_ruled = |rule: &Rule| matches!(rule, Rule::Denied(_) | Rule::Unlisted(_));
    let rule = match kuberc::rule(env, command) {
        Ok(rule) => rule,
        Err(error) => return findings.refused(&error.report()),
    };
    if is_ruled(&rule) && kuberc::client_minor().is_some_and(|minor| minor < FIRST_WITH_POLICY) {
        return findings.note("kuberc has a plugin policy, which this kubectl doesn't support");
    }
    match rule {
        Rule::Denied(why) => findings.problem(
            &why,
            &format!("to allow it, set credentialPluginPolicy: Allowlist there, then run `{setup} --kuberc`"),
        ),
        Rule::Unlisted(_) => findings.problem(
            &format!("kuberc's allowlist does not contain {command}, so kubectl does not run it"),
            &format!("{setup} --kuberc"),
        ),
        Rule::Listed(_) => findings.ok("kuberc's allowlist contains it"),
        Rule::Unrestricted(_) | Rule::Unknown(_) => (),
    }
}

/// A relative path begins at the folder of the kubeconfig file that has the user, as kubectl
/// resolves it.
fn is_found(env: &Env, user: &str, command: &str) -> bool {
    if command.contains(['/', '\\']) {
        if Path::new(command).is_absolute() {
            return Path::new(command).is_file();
        }
        let file = kubeconfig::files(env).and_then(|files| kubeconfig::file_of(&files, user));
        let file = file.ok().flatten().unwrap_or_default();
        return file.with_file_name(command).is_file();
    }
    program::on_path(env, command).is_some()
}

/// What kubectl tells the plugin about a cluster.
pub(super) fn described(cluster: &Cluster<'_>) -> Result<credential::Cluster, String> {
    let mut fields = Map::new();
    fields.insert("server".to_owned(), cluster.server.into());
    fields.insert(
        "insecure-skip-tls-verify".to_owned(),
        cluster.insecure.into(),
    );
    for key in ["certificate-authority-data", "tls-server-name", "proxy-url"] {
        if let Some(value) = cluster.text(key) {
            fields.insert(key.to_owned(), value.into());
        }
    }
    if let Some(extension) = cluster.extension(EXTENSION) {
        fields.insert("config".to_owned(), extension.clone());
    }
    cluster_of(&fields).map_err(|why| format!("the cluster's entry: {why}"))
}

/// Checks what clients get that don't describe their cluster.
pub(super) fn check_recorded(
    prepared: &Prepared<'_>,
    exec: &Arguments,
    setup: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let recorded = exec.entry.as_deref();
    let recorded = recorded.map(|id| Entry::read(&prepared.store, id));
    match (exec.entry.is_some(), recorded.transpose()?.flatten()) {
        (true, Some(entry)) => findings.ok(&format!(
            "the exec entry is recorded for {} (provider {}, account {}), so clients that don't say \
             which cluster they talk to get a token too",
            entry.server,
            entry.provider,
            entry.account.as_deref().unwrap_or(DEFAULT_ACCOUNT)
        )),
        (true, None) => findings.problem(
            "the exec entry's `--entry` is not recorded on this machine, so clients that don't say \
             which cluster they talk to get no token",
            setup,
        ),
        (false, _) => findings.note(
            "the exec entry has no `--entry`, so clients that don't say which cluster they talk to \
             get no token",
        ),
    }
    if exec.api_version.is_none() {
        findings.note(
            "the exec entry has no `--api-version`, so clients that don't set KUBERNETES_EXEC_INFO \
             get no token",
        );
    }
    Ok(())
}
