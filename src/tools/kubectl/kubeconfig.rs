//! The kubeconfig, as kubectl itself reads it: one file, several that `KUBECONFIG` names, or the
//! usual one. What is written to it is none of this module's business.
//!
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::error::KubectlError;
use crate::child;
use crate::config::ConfigError;
use crate::env::{Env, program_name};
use crate::error::Error;
use crate::files as regular;
use crate::report::printable;

/// What `kubectl config view --raw` says. It holds whatever secrets the files hold.
pub(crate) struct Kubeconfig(Value);

/// Which cluster, as which user.
pub(crate) struct Context<'a> {
    pub(crate) name: &'a str,
    pub(crate) cluster: &'a str,
    pub(crate) user: &'a str,
    /// `None`: the namespace `default`.
    pub(crate) namespace: Option<&'a str>,
}

/// How a cluster is reached.
pub(crate) struct Cluster<'a> {
    pub(crate) server: &'a str,
    pub(crate) insecure: bool,
    entry: &'a Value,
}

impl Kubeconfig {
    /// All files together, as a command of kubectl's sees them.
    pub(crate) fn load(env: &Env) -> Result<Self, Error> {
        for file in files(env)? {
            readable(&file)?;
        }
        Self::view(&[])
    }

    /// One context alone, with what its files hold in the place of their paths.
    pub(crate) fn of_context(name: &str) -> Result<Self, Error> {
        let flag = format!("--context={name}");
        Self::view(&["--minify".into(), "--flatten".into(), flag.into()])
    }

    /// One file by itself.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        readable(path)?;
        let mut flag = std::ffi::OsString::from("--kubeconfig=");
        flag.push(path);
        Self::view(&[flag])
    }

    fn view(more: &[std::ffi::OsString]) -> Result<Self, Error> {
        let failed = |cause| KubectlError::Failed {
            action: "read the kubeconfig",
            cause,
        };
        let mut command = Command::new("kubectl");
        command.args(["config", "view", "--raw", "--output=json"]);
        let output = child::output(command.args(more), LIMIT).map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(io::Error::other(said)).into());
        }
        // What serde_json says of it may quote a secret.
        let config = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed(io::Error::other("what it printed is not JSON")))?;
        Ok(Self(config))
    }

    pub(crate) fn current_context(&self) -> Option<&str> {
        let current = self.0.get("current-context")?.as_str()?;
        (!current.is_empty()).then_some(current)
    }

    pub(crate) fn contexts(&self) -> impl Iterator<Item = Context<'_>> {
        self.entries("contexts").filter_map(|entry| {
            let context = entry.get("context")?;
            let text = |key| context.get(key).and_then(Value::as_str);
            Some(Context {
                name: entry.get("name")?.as_str()?,
                cluster: text("cluster").unwrap_or_default(),
                user: text("user").unwrap_or_default(),
                namespace: text("namespace").filter(|name| !name.is_empty()),
            })
        })
    }

    /// The context of this name.
    ///
    /// # Errors
    ///
    /// An error of usage that names those that there are.
    pub(crate) fn context(&self, name: &str) -> Result<Context<'_>, Error> {
        let found = self.contexts().find(|context| context.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.contexts().map(|context| context.name).collect();
            Error::Usage(format!(
                "the kubeconfig has no context {}; it has: {}",
                printable(name),
                or_none(&known)
            ))
        })
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<Cluster<'_>> {
        let entry = self.named("clusters", name)?.get("cluster")?;
        let insecure = entry.get("insecure-skip-tls-verify");
        Some(Cluster {
            server: entry
                .get("server")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            insecure: insecure.and_then(Value::as_bool).unwrap_or_default(),
            entry,
        })
    }

    /// What stands under a user's name.
    pub(crate) fn user(&self, name: &str) -> Option<&Value> {
        self.named("users", name)?.get("user")
    }

    pub(crate) fn users(&self) -> Vec<&str> {
        let names = self.entries("users").filter_map(|entry| entry.get("name"));
        names.filter_map(Value::as_str).collect()
    }

    /// Everything, but what stands under the names of these users.
    pub(crate) fn without_users(&self, names: &[&str]) -> Value {
        let mut rest = self.0.clone();
        if let Some(users) = rest.get_mut("users").and_then(Value::as_array_mut) {
            users.retain(|entry| {
                let name = entry.get("name").and_then(Value::as_str);
                name.is_none_or(|name| !names.contains(&name))
            });
        }
        // No list and an empty one are the same.
        if let Some(members) = rest.as_object_mut() {
            members.retain(|_, value| !value.is_null() && value.as_array() != Some(&Vec::new()));
        }
        rest
    }

    fn named(&self, list: &str, name: &str) -> Option<&Value> {
        let mut entries = self.entries(list);
        entries.find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    fn entries(&self, list: &str) -> impl Iterator<Item = &Value> {
        let entries = self.0.get(list).and_then(Value::as_array);
        entries.into_iter().flatten()
    }
}

impl<'a> Cluster<'a> {
    /// A setting of the cluster's entry that is text.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        let text = self.entry.get(key)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    /// What one of the cluster's extensions holds.
    pub(crate) fn extension(&self, name: &str) -> Option<&'a Value> {
        let mut all = self.entry.get("extensions")?.as_array()?.iter();
        let named = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(name);
        all.find(named)?.get("extension")
    }
}

/// Longer than kubectl takes to read a few files, wherever they are.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// kubectl would wait for the writer of a named pipe, and read a device without an end.
fn readable(path: &Path) -> Result<(), Error> {
    match regular::check(path, regular::LARGEST) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(ConfigError::Unreadable {
            file: crate::config::shown(path),
            cause,
        }
        .into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a user's entry runs: its command and its arguments.
pub(crate) fn exec(user: &Value) -> Option<(&str, Vec<String>)> {
    let exec = user.get("exec")?;
    let args = exec.get("args").and_then(Value::as_array);
    let args = args.into_iter().flatten().filter_map(Value::as_str);
    Some((
        exec.get("command")?.as_str()?,
        args.map(str::to_owned).collect(),
    ))
}

/// The variables that a user's entry sets for what it runs.
pub(crate) fn variables(user: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = user.pointer("/exec/env").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|one| {
        let text = |key| one.get(key).and_then(Value::as_str);
        Some((text("name")?, text("value")?))
    })
}

/// What hallpass is told in a user's entry, where that runs hallpass: what follows the verb.
pub(crate) fn own_arguments(user: &Value) -> Option<Vec<String>> {
    let (command, args) = exec(user)?;
    match (
        program_name(command).as_str(),
        args.first().map(String::as_str),
    ) {
        ("hallpass", Some("kubectl")) | ("kubectl", Some("hallpass")) => Some(args[1..].to_vec()),
        ("kubectl-hallpass", _) => Some(args),
        _ => None,
    }
}

/// The files that kubectl reads, the strongest first; they need not exist.
pub(crate) fn files(env: &Env) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    if let Some(list) = env.var_os("KUBECONFIG") {
        for path in std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
            let path = std::path::absolute(&path).unwrap_or(path);
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        files.push(crate::config::home(env)?.join(".kube").join("config"));
    }
    Ok(files)
}

/// The file in which kubectl would change a user's entry: the first that has it, else the first
/// that is there, else the last one.
pub(crate) fn file_of(files: &[PathBuf], user: &str) -> Result<Option<PathBuf>, Error> {
    let there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    for file in &there {
        if Kubeconfig::of_file(file)?.user(user).is_some() {
            return Ok(Some((*file).clone()));
        }
    }
    Ok(there.first().copied().or(files.last()).cloned())
}

/// Names in a line, or that there are none.
pub(crate) fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        printable(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_own_entry_is_known_however_it_is_written() {
        for (exec, expected) in [
            (
                json!({"command": "hallpass", "args": ["kubectl", "-v"]}),
                Some(vec!["-v"]),
            ),
            (
                json!({"command": "/a/hallpass", "args": ["kubectl"]}),
                Some(vec![]),
            ),
            (
                json!({"command": r"C:\a\hallpass.exe", "args": ["kubectl"]}),
                Some(vec![]),
            ),
            (
                json!({"command": "kubectl-hallpass", "args": null}),
                Some(vec![]),
            ),
            (
                json!({"command": "kubectl", "args": ["hallpass", "-v"]}),
                Some(vec!["-v"]),
            ),
            (json!({"command": "hallpass", "args": ["get-token"]}), None),
            (json!({"command": "kubectl", "args": ["oidc-login"]}), None),
            (json!({"command": "nothallpass", "args": ["kubectl"]}), None),
        ] {
            let found = own_arguments(&json!({ "exec": exec }));
            let expected: Option<Vec<String>> =
                expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{exec}");
        }
        assert_eq!(own_arguments(&json!({"token": "x"})), None);
    }

    #[test]
    fn a_user_apart_nothing_is_left_out() {
        let config = json!({
            "users": [{"name": "a", "user": {"token": "x"}}, {"name": "b", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "a"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://k.example"}}],
            "current-context": "c",
        });
        let config = Kubeconfig(config);
        assert_eq!(config.users(), ["a", "b"]);
        assert_eq!(config.user("a"), Some(&json!({"token": "x"})));
        assert_eq!(config.current_context(), Some("c"));
        let context = config
            .context("c")
            .unwrap_or_else(|_| panic!("the context c"));
        assert_eq!((context.cluster, context.user), ("k", "a"));
        let cluster = config.cluster("k").unwrap();
        assert_eq!(
            (cluster.server, cluster.insecure),
            ("https://k.example", false)
        );
        let without = config.without_users(&["a"]);
        assert_eq!(without["users"], json!([{"name": "b", "user": {}}]));
        assert_eq!(without["clusters"], config.0["clusters"]);
    }
}
