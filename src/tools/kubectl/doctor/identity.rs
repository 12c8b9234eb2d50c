//! Compares who the user is to the API server with the claims of the token.

use serde::Deserialize;
use serde_json::Value;

use crate::oauth::id_token::Unverified;
use crate::tools::findings::Findings;

/// The user that a request without an accepted credential has.
pub(super) const ANONYMOUS: &str = "system:anonymous";

/// Claims that are often used as the user name instead of `sub`.
const NAMES: [&str; 2] = ["email", "preferred_username"];

/// Claims that every ID token has, or that belong to one sign-in.
const PROTOCOL: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "sid",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "s_hash",
    "auth_time",
];

#[derive(Deserialize)]
pub(super) struct UserInfo {
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    groups: Vec<String>,
}

/// The API server used no credential from the request.
pub(super) fn ignored(findings: &mut Findings) {
    findings.problem(
        &format!("the API server ignored the token: to it you are {ANONYMOUS}"),
        "set the flags below on the API server, and check that no proxy in front of it removes the \
         Authorization header",
    );
}

/// Names the user and the groups as the API server sees them. Returns false if it ignored the
/// token.
pub(super) fn check(user: &UserInfo, read: &Unverified, findings: &mut Findings) -> bool {
    let username = &user.username;
    if username == ANONYMOUS {
        ignored(findings);
        return false;
    }
    check_name(username, read, findings);
    check_groups(user, read, findings);
    true
}

/// Says what the user name of an accepted token is made of.
pub(super) fn check_name(username: &str, read: &Unverified, findings: &mut Findings) {
    let made_of = match source(username, read) {
        Some((claim, prefix)) if prefix.is_empty() => format!(" (the token's {claim})"),
        Some((claim, prefix)) => format!(" (the prefix {prefix} and the token's {claim})"),
        None => String::new(),
    };
    findings.ok(&format!(
        "the API server accepts the token: to it you are {username}{made_of}. A role binding must \
         name exactly this user"
    ));
}

fn check_groups(user: &UserInfo, read: &Unverified, findings: &mut Findings) {
    let seen = user.groups.iter().filter(|one| !one.starts_with("system:"));
    let seen: Vec<&str> = seen.map(String::as_str).collect();
    let in_token = read.texts("groups");
    if !seen.is_empty() {
        let prefix = in_token.iter().find_map(|one| seen[0].strip_suffix(&**one));
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map_or_else(String::new, |prefix| {
            format!(" (with the prefix {prefix}). A role binding must name them with it")
        });
        findings.ok(&format!(
            "your groups to the API server: {}{prefix}",
            seen.join(", ")
        ));
    } else if in_token.is_empty() {
        findings.note("the API server sees no groups, so only a binding to the user applies");
    } else {
        findings.note(
            "the API server sees no groups, although the token has them: bindings to groups apply \
             only with --oidc-groups-claim=groups",
        );
    }
}

/// The claim and the prefix that a user name is made of.
fn source(username: &str, read: &Unverified) -> Option<(String, String)> {
    let claims = read.claims().iter();
    let texts = claims.filter_map(|(claim, value)| Some((claim, value.as_str()?)));
    // Another claim may be the end of the right one.
    let ends = texts.filter(|(_, text)| !text.is_empty() && username.ends_with(text));
    let (claim, text) = ends.max_by_key(|(claim, text)| (text.len(), *claim == "sub"))?;
    let prefix = &username[..username.len() - text.len()];
    Some((claim.clone(), prefix.to_owned()))
}

/// The common user name claims that the token lacks.
pub(super) fn missing_names(read: &Unverified) -> Vec<&'static str> {
    let mut names = NAMES.to_vec();
    names.retain(|claim| read.text(claim).is_none());
    names
}

/// What to compare with the settings of an API server that rejects the token.
pub(super) fn check_rejected(read: &Unverified, findings: &mut Findings) {
    let missing = missing_names(read);
    if !missing.is_empty() {
        findings.note(&format!(
            "the token has no {}: it is rejected if --oidc-username-claim names one of these",
            missing.join(", ")
        ));
    }
    let claims = read.claims().iter();
    let claims = claims.filter(|(claim, _)| !PROTOCOL.contains(&claim.as_str()));
    let shown = claims.filter_map(|(claim, value)| match value {
        Value::String(text) => Some(format!("{claim}={text}")),
        Value::Bool(_) | Value::Number(_) => Some(format!("{claim}={value}")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    });
    let shown: Vec<String> = shown.collect();
    findings.note(&format!(
        "--oidc-required-claim must match the token's claims: {}",
        if shown.is_empty() {
            "it has none of its own, so each required claim rejects it".to_owned()
        } else {
            shown.join(", ")
        }
    ));
}
