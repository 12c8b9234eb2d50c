//! The kubeconfig as kubectl reads it: `~/.kube/config`, or the files in `KUBECONFIG`. This module
//! writes nothing.
//!
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::error::KubectlError;
use super::faults::{check_readable, rejected, without_contexts};
use crate::child;
use crate::env::{Env, program_name};
use crate::error::Error;
use crate::report::printable;

/// The output of `kubectl config view --raw`. It contains the secrets of the files.
pub(crate) struct Kubeconfig(Value);

/// A context: a cluster, a user and a namespace.
pub(crate) struct Context<'a> {
    pub(crate) name: &'a str,
    pub(crate) cluster: &'a str,
    pub(crate) user: &'a str,
    /// `None`: the namespace `default`.
    pub(crate) namespace: Option<&'a str>,
}

/// The entry of a cluster.
pub(crate) struct Cluster<'a> {
    pub(crate) server: &'a str,
    pub(crate) insecure: bool,
    entry: &'a Value,
}

impl Kubeconfig {
    /// All files, merged by kubectl.
    pub(crate) fn load(env: &Env) -> Result<Self, Error> {
        let home = crate::config::home(env).ok();
        for file in files(env)? {
            check_readable(&file, home.as_deref())?;
        }
        Self::view(&[])
    }

    /// One context, with the contents of files instead of their paths.
    pub(crate) fn of_context(name: &str) -> Result<Self, Error> {
        let flag = format!("--context={name}");
        Self::view(&["--minify".into(), "--flatten".into(), flag.into()])
    }

    /// A single file.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        check_readable(path, None)?;
        let mut flag = std::ffi::OsString::from("--kubeconfig=");
        flag.push(path);
        Self::view(&[flag])
    }

    fn view(more: &[std::ffi::OsString]) -> Result<Self, Error> {
        let failed = |cause| KubectlError::Failed { cause };
        let mut command = Command::new("kubectl");
        command.args(["config", "view", "--raw", "--output=json"]);
        let output = child::output(command.args(more), LIMIT).map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(rejected(&said).into());
        }
        // The message of serde_json could quote a secret.
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
    /// [`KubectlError::Lacking`], which lists the contexts.
    pub(crate) fn context(&self, env: &Env, name: &str) -> Result<Context<'_>, Error> {
        let found = self.contexts().find(|context| context.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.contexts().map(|context| context.name).collect();
            if known.is_empty() {
                return absent(env);
            }
            KubectlError::Lacking {
                what: format!("the kubeconfig has no context {}", printable(name)),
                fix: format!(
                    "choose one with `--context NAME` or `kubectl config use-context NAME`; it has \
                     these contexts: {}",
                    or_none(&known)
                ),
            }
            .into()
        })
    }

    /// The name of the given context, or of the current one. `or` is another option that selects a
    /// user.
    ///
    /// # Errors
    ///
    /// [`KubectlError::Lacking`] if there is no current context.
    pub(crate) fn selected<'a>(
        &'a self,
        env: &Env,
        given: Option<&'a str>,
        or: &str,
    ) -> Result<&'a str, Error> {
        given.or(self.current_context()).ok_or_else(|| {
            let known: Vec<_> = self.contexts().map(|context| context.name).collect();
            if known.is_empty() {
                return absent(env);
            }
            KubectlError::Lacking {
                what: "the kubeconfig has no current context".to_owned(),
                fix: format!(
                    "add `--context NAME`{or}; it has these contexts: {}",
                    or_none(&known)
                ),
            }
            .into()
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

    /// The entry of a user.
    pub(crate) fn user(&self, name: &str) -> Option<&Value> {
        self.named("users", name)?.get("user")
    }

    pub(crate) fn users(&self) -> Vec<&str> {
        self.names("users")
    }

    pub(crate) fn clusters(&self) -> Vec<&str> {
        self.names("clusters")
    }

    fn names(&self, list: &str) -> Vec<&str> {
        let names = self.entries(list).filter_map(|entry| entry.get("name"));
        names.filter_map(Value::as_str).collect()
    }

    /// Everything except the entries of these users.
    pub(crate) fn without_users(&self, names: &[&str]) -> Value {
        let mut rest = self.0.clone();
        if let Some(users) = rest.get_mut("users").and_then(Value::as_array_mut) {
            users.retain(|entry| {
                let name = entry.get("name").and_then(Value::as_str);
                name.is_none_or(|name| !names.contains(&name))
            });
        }
        // A missing list equals an empty one.
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
    /// A text in the cluster's entry.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        let text = self.entry.get(key)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    /// The content of an extension of the cluster.
    pub(crate) fn extension(&self, name: &str) -> Option<&'a Value> {
        let mut all = self.entry.get("extensions")?.as_array()?.iter();
        let named = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(name);
        all.find(named)?.get("extension")
    }
}

/// The time limit for kubectl, which reads only a few files.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The command of a user's exec entry, and its arguments.
pub(crate) fn exec(user: &Value) -> Option<(&str, Vec<String>)> {
    let exec = user.get("exec")?;
    let args = exec.get("args").and_then(Value::as_array);
    let args = args.into_iter().flatten().filter_map(Value::as_str);
    Some((
        exec.get("command")?.as_str()?,
        args.map(str::to_owned).collect(),
    ))
}

/// The variables that a user's exec entry sets.
pub(crate) fn variables(user: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = user.pointer("/exec/env").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|one| {
        let text = |key| one.get(key).and_then(Value::as_str);
        Some((text("name")?, text("value")?))
    })
}

/// The arguments after `hallpass kubectl`, if the user's exec entry runs it.
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

/// The files that kubectl reads, in order of precedence. Some may not exist.
pub(crate) fn files(env: &Env) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    if let Some(list) = env.var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        for path in std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
            let path = std::path::absolute(&path).unwrap_or(path);
            if !files.contains(&path) {
                files.push(path);
            }
        }
    } else {
        files.push(crate::config::home(env)?.join(".kube").join("config"));
    }
    Ok(files)
}

/// The error for a kubeconfig without contexts.
pub(crate) fn absent(env: &Env) -> Error {
    files(env).map_or_else(|error| error, |files| without_contexts(env, &files).into())
}

/// The file in which kubectl would change a user's entry: the first that has the user, else the first
/// that exists, else the last.
pub(crate) fn file_of(files: &[PathBuf], user: &str) -> Result<Option<PathBuf>, Error> {
    let there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    for file in &there {
        if Kubeconfig::of_file(file)?.user(user).is_some() {
            return Ok(Some((*file).clone()));
        }
    }
    Ok(there.first().copied().or(files.last()).cloned())
}

/// The names, separated by commas, or `none`.
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
    fn an_exec_entry_that_runs_hallpass_is_recognized() {
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
    fn everything_but_the_given_users_is_compared() {
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
            .context(&Env::new(Vec::<&str>::new(), [("", "")]), "c")
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
