//! The exec entry that a user gets in the kubeconfig.

use serde_json::{Map, Value, json};

use super::super::kubeconfig;
use super::super::protocol::{VERSION_OF_ALL, whole_version};
use super::kubelogin;
use super::recorded::Recorded;
use super::sign_in::SignIn;
use crate::config::Flow;
use crate::credential::TokenKind;

/// The user's entry. `before` is the one before the first set-up, and `earlier` what an earlier run
/// wrote, perhaps with changes of the user's.
pub(super) fn entry(
    program: &str,
    sign_in: &SignIn,
    recorded: Option<&Recorded>,
    before: Option<&Value>,
    earlier: Option<&Value>,
) -> Value {
    let mut args = vec!["kubectl", "--provider", &sign_in.name];
    if let Some(account) = &sign_in.provider_args.account {
        args.extend(["--account", account]);
    }
    match sign_in.token {
        Some(TokenKind::Access) => args.extend(["--token", "access"]),
        Some(TokenKind::Id) => args.extend(["--token", "id"]),
        None => (),
    }
    match sign_in.flow {
        Some(Flow::Browser) => args.extend(["--flow", "browser"]),
        Some(Flow::Device) => args.extend(["--flow", "device"]),
        Some(Flow::Auto) | None => (),
    }
    args.extend(["--api-version", VERSION_OF_ALL]);
    if let Some(Recorded { id, .. }) = recorded {
        args.extend(["--entry", id]);
    }
    let variables = environment(sign_in, before, earlier);
    let exec = json!({
        "apiVersion": whole_version(VERSION_OF_ALL),
        "args": args,
        "command": program,
        "env": variables,
        "installHint": INSTALL_HINT,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": true,
    });
    let kept = before.and_then(Value::as_object);
    let kept = kept.into_iter().flatten();
    let kept = kept.filter(|(key, _)| key.starts_with("as") || *key == "extensions");
    let mut entry: Map<String, Value> = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
    entry.insert("exec".to_owned(), exec);
    Value::Object(entry)
}

/// What kubectl says where the command is not found.
const INSTALL_HINT: &str = "hallpass signs you in to this cluster (install it on your PATH)";

/// The variables of the entry that an earlier run wrote, with the user's own, or those of a
/// kubelogin; and ours.
fn environment(sign_in: &SignIn, before: Option<&Value>, earlier: Option<&Value>) -> Value {
    let runs_kubelogin = |user: &&Value| {
        let exec = kubeconfig::exec(user);
        exec.is_some_and(|(command, args)| kubelogin::arguments(command, &args).is_some())
    };
    let had = earlier.or_else(|| before.filter(runs_kubelogin));
    let had = had.and_then(|user| user.get("exec")?.get("env")?.as_array());
    let mut all: Vec<Value> = had.cloned().unwrap_or_default();
    if earlier.is_some() {
        all.retain(|variable| {
            let name = variable.get("name").and_then(Value::as_str);
            name.is_none_or(|name| !kubelogin::VARIABLES.contains(&name))
        });
    }
    for (name, value) in &sign_in.env {
        all.retain(|variable| variable.get("name").and_then(Value::as_str) != Some(name));
        all.push(json!({ "name": name, "value": value }));
    }
    if all.is_empty() {
        Value::Null
    } else {
        all.into()
    }
}
