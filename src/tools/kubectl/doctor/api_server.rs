//! Asks the API server who the user is to it, and whether RBAC lets that user do anything.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::super::kubeconfig::Cluster;
use super::identity::{self, ANONYMOUS, UserInfo};
use super::times::moment;
use super::token::{CLOCK, Checks};
use crate::http::{Http, Response};
use crate::oauth::id_token::Unverified;
use crate::provider::web_url;
use crate::report::printable;
use crate::secret::Secret;
use crate::shell::quoted;
use crate::tools::findings::Findings;

/// What is checked: the cluster and namespace of a context.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) cluster: &'a Cluster<'a>,
    pub(super) namespace: &'a str,
}

/// How much is known about the API server's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It accepts the token.
    Accepts,
    /// It rejects the token.
    Rejects,
    Unknown,
}

/// The API groups in which every signed-in user may create reviews (`system:basic-user`).
const GROUPS_OF_REVIEWS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

#[derive(Deserialize)]
struct Reviewed<T> {
    status: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubjectReview {
    user_info: UserInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RulesReview {
    #[serde(default)]
    resource_rules: Vec<ResourceRule>,
    #[serde(default)]
    incomplete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRule {
    #[serde(default)]
    api_groups: Vec<String>,
}

/// The API server, and the token to send to it.
struct ApiServer<'a> {
    http: Http,
    url: String,
    token: &'a Secret<String>,
}

impl ApiServer<'_> {
    fn url(&self, path: &str) -> Option<Url> {
        Url::parse(&format!("{}{path}", self.url)).ok()
    }

    /// What RBAC lets the user do in a namespace.
    fn rules(&self, namespace: &str) -> Option<Result<Response, crate::http::HttpError>> {
        let spec = json!({ "namespace": namespace });
        self.create("authorization.k8s.io", "SelfSubjectRulesReview", &spec)
    }

    fn create(
        &self,
        group: &str,
        kind: &str,
        spec: &Value,
    ) -> Option<Result<Response, crate::http::HttpError>> {
        let path = format!("/apis/{group}/v1/{}s", kind.to_ascii_lowercase());
        let review = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
        Some(self.http.post_json(&self.url(&path)?, &review, self.token))
    }
}

/// Sends the token to the API server, as kubectl does.
pub(super) fn ask(
    http: Http,
    target: Target<'_>,
    token: &Secret<String>,
    read: &Unverified,
    checks: &Checks<'_>,
    findings: &mut Findings,
) -> Verdict {
    let Target { cluster, namespace } = target;
    let server = match reachable(http, cluster, token) {
        Ok(server) => server,
        Err(Unasked::Note(why)) => {
            findings.note(&format!("the API server was not asked: {why}"));
            return Verdict::Unknown;
        }
        Err(Unasked::Invalid(what)) => {
            findings.problem(&what, "check it with `kubectl config view --raw`");
            return Verdict::Unknown;
        }
    };
    let asked = server.create("authentication.k8s.io", "SelfSubjectReview", &json!({}));
    let response = match asked {
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            findings.problem(
                &format!("the API server: {error}"),
                "compare the cluster's entry with `kubectl cluster-info`",
            );
            return Verdict::Unknown;
        }
        None => return Verdict::Unknown,
    };
    check_clock(&response, checks, findings);
    let user = match response.status {
        401 => {
            rejected(read, findings);
            return Verdict::Rejects;
        }
        200..=299 => {
            let review = parsed::<Reviewed<SubjectReview>>(&response);
            review.map(|review| review.status.user_info)
        }
        // An API server before 1.28 has no such review: it forbids it to most users.
        403..=405 => {
            return check_without_review(&server, &response, read, namespace, findings);
        }
        status => return unclear(status, findings),
    };
    let Some(user) = user else {
        return unclear(response.status, findings);
    };
    if !identity::check(&user, read, findings) {
        return Verdict::Rejects;
    }
    if let Some(Ok(response)) = server.rules(namespace) {
        check_rules(&response, Some(&user.username), namespace, findings);
    }
    Verdict::Accepts
}

fn rejected(read: &Unverified, findings: &mut Findings) {
    findings.problem(
        "the API server rejects the token (401)",
        "compare the flags below with the API server's, and look for `Unable to authenticate the \
         request` in its log; a server that has just started may not have reached the issuer yet",
    );
    identity::check_rejected(read, findings);
}

fn unclear(status: u16, findings: &mut Findings) -> Verdict {
    findings.note(&format!(
        "the API server answers {status}, which says nothing about the token"
    ));
    Verdict::Unknown
}

/// Why the API server cannot be asked.
enum Unasked {
    Note(&'static str),
    Invalid(String),
}

fn reachable<'a>(
    http: Http,
    cluster: &Cluster<'_>,
    token: &'a Secret<String>,
) -> Result<ApiServer<'a>, Unasked> {
    let url = web_url::parse(cluster.server).ok_or(Unasked::Note("its server is not a URL"))?;
    if cluster.insecure {
        return Err(Unasked::Note(
            "it has insecure-skip-tls-verify, so any server could receive the token",
        ));
    }
    if cluster.text("tls-server-name").is_some() {
        return Err(Unasked::Note(
            "it has a tls-server-name, which only kubectl supports",
        ));
    }
    let http = match cluster.text("certificate-authority-data") {
        Some(data) => http.trusting(STANDARD.decode(data).map_err(|_| {
            Unasked::Invalid("the cluster's certificate-authority-data is not base64".to_owned())
        })?),
        None => http,
    };
    let http = match cluster.text("proxy-url").map(Url::parse) {
        Some(Ok(proxy)) => http.through(proxy),
        Some(Err(_)) => return Err(Unasked::Note("its proxy-url is not a URL")),
        None => http,
    };
    let url = url.as_str().trim_end_matches('/').to_owned();
    Ok(ApiServer { http, url, token })
}

fn parsed<T: DeserializeOwned>(response: &Response) -> Option<T> {
    serde_json::from_slice(response.body.expose()).ok()
}

fn check_clock(response: &Response, checks: &Checks<'_>, findings: &mut Findings) {
    let Some(date) = response.date else {
        return;
    };
    if (date - checks.now).abs() > CLOCK {
        findings.problem(
            &format!(
                "clock: the API server's is {}, this machine's {}",
                moment(date),
                moment(checks.now)
            ),
            "compare `date` with a clock that you trust, and correct the wrong one",
        );
    } else {
        findings.ok("clock: the API server's and this machine's agree");
    }
}

/// Checks a server that doesn't review the user. A 403 names the user nevertheless.
fn check_without_review(
    server: &ApiServer<'_>,
    refused: &Response,
    read: &Unverified,
    namespace: &str,
    findings: &mut Findings,
) -> Verdict {
    let user = forbidden_user(refused);
    if user.as_deref() == Some(ANONYMOUS) {
        identity::ignored(findings);
        return Verdict::Rejects;
    }
    let Some(Ok(rules)) = server.rules(namespace) else {
        return unclear(refused.status, findings);
    };
    let user = user.or_else(|| forbidden_user(&rules));
    match (rules.status, user) {
        (401, _) => {
            rejected(read, findings);
            Verdict::Rejects
        }
        (200..=299, user) => {
            match &user {
                Some(user) => identity::check_name(user, read, findings),
                None => findings
                    .ok("the API server accepts the token; it is too old to say who you are to it"),
            }
            check_rules(&rules, user.as_deref(), namespace, findings);
            Verdict::Accepts
        }
        (403, Some(user)) => {
            findings.problem(
                &format!("the API server accepts the token, but {user} has no access (403)"),
                &binding(&user, namespace),
            );
            Verdict::Accepts
        }
        (403, None) => {
            findings.problem(
                "the API server answers 403, and doesn't say for which user",
                "check whether a proxy in front of the API server answered; run `kubectl auth \
                 whoami -v=6`",
            );
            Verdict::Unknown
        }
        (status, _) => unclear(status, findings),
    }
}

/// The user that the message of a 403 names.
fn forbidden_user(response: &Response) -> Option<String> {
    let body: Value = parsed(response)?;
    let message = body.get("message")?.as_str()?;
    let (_, rest) = message.split_once("User \"")?;
    Some(rest.split_once("\" cannot")?.0.to_owned())
}

/// Whether RBAC lets the user do anything in the namespace.
fn check_rules(response: &Response, user: Option<&str>, namespace: &str, findings: &mut Findings) {
    let Some(Reviewed { status }) = parsed::<Reviewed<RulesReview>>(response) else {
        return;
    };
    let is_for_reviews = |group: &String| GROUPS_OF_REVIEWS.contains(&group.as_str());
    let mut rules = status.resource_rules.iter();
    let may_do_anything = rules.any(|rule| !rule.api_groups.iter().all(is_for_reviews));
    if may_do_anything {
        findings.ok(&format!(
            "this user has permissions in the namespace {namespace}: `kubectl auth can-i --list` \
             shows them"
        ));
    } else if !status.incomplete {
        findings.problem(
            &format!("this user has no permissions in the namespace {namespace} (403)"),
            &binding(user.unwrap_or("USER"), namespace),
        );
    }
}

/// How an administrator gives a user access.
pub(super) fn binding(user: &str, namespace: &str) -> String {
    format!(
        "an administrator of the cluster can give you access, to read for example:\nkubectl create \
         rolebinding hallpass-view --clusterrole=view --user={} --namespace={}",
        quoted(&printable(user)),
        quoted(namespace)
    )
}
