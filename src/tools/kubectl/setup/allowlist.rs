//! Adds hallpass to kubectl's allowlist of plugins.
//!
//! An item is added only if the policy is `Allowlist` already: with any other policy, a list is an
//! error that stops every plugin. Otherwise, the lines are shown and the file doesn't change.

use serde_json::json;

use super::super::kuberc::{LIST, POLICY, Rule, field_of_this_kubectl, rule};
use crate::env::Env;
use crate::error::Error;
use crate::setup::edit::Edit;

/// The edit that allows kubectl to run this command, and messages for the user.
pub(crate) fn allow(env: &Env, command: &str) -> Result<(Option<Edit>, Vec<String>), Error> {
    let told = |why: String| {
        let field = field_of_this_kubectl();
        let lines = [
            "apiVersion: kubectl.config.k8s.io/v1beta1".to_owned(),
            "kind: Preference".to_owned(),
            format!("{POLICY}: Allowlist"),
            format!("{LIST}:"),
            format!("- {field}: {command}"),
        ];
        let mut told = vec![format!("{why}. To allow only hallpass, use these lines:")];
        told.extend(lines.map(|line| format!("    {line}")));
        (None, told)
    };
    let (list, is_listed) = match rule(env, command)? {
        Rule::Listed(list) => (list, true),
        Rule::Unlisted(list) => (list, false),
        Rule::Unrestricted(why) | Rule::Denied(why) | Rule::Unknown(why) => return Ok(told(why)),
    };
    let edit = Edit::item(&list.file, LIST, json!({ list.field: command }));
    if let Some(why) = edit.unfit()? {
        return Ok(told(format!("{} {why}", crate::config::shown(&list.file))));
    }
    let told = is_listed.then(|| "kuberc already allows hallpass".to_owned());
    // An item with other keys is the user's own.
    let edit = Some(edit).filter(|edit| !is_listed || edit.is_there());
    Ok((edit, told.into_iter().collect()))
}
