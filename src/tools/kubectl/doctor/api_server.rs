//! Asks the API server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::super::kubeconfig::Cluster;
use super::times::moment;
use super::token::{CLOCK, Checks};
use crate::http::Http;
use crate::provider::web_url;
use crate::session::record::Session;
use crate::tools::tool::Findings;

/// Sends the token as kubectl would, to a page that everybody may read who is known.
pub(super) fn ask(
    http: Http,
    cluster: &Cluster<'_>,
    session: &Session,
    checks: &Checks<'_>,
    findings: &mut Findings,
) {
    let refused = |findings: &mut Findings, why: &str| {
        findings.note(&format!("the API server was not asked: {why}"));
    };
    let Some(server) = web_url::parse(cluster.server) else {
        return refused(findings, "its server is no URL");
    };
    if cluster.insecure {
        return refused(findings, "insecure-skip-tls-verify, so it might be anybody");
    }
    if cluster.text("tls-server-name").is_some() {
        return refused(findings, "tls-server-name, which only kubectl knows to use");
    }
    let authority = match authority(cluster) {
        Ok(authority) => authority,
        Err(why) => {
            return findings.off(&why, "look at it with `kubectl config view --raw`");
        }
    };
    let http = match authority {
        Some(pem) => http.trusting(pem),
        None => http,
    };
    let http = match cluster.text("proxy-url").map(Url::parse) {
        Some(Ok(proxy)) => http.through(proxy),
        Some(Err(_)) => return refused(findings, "its proxy-url is no URL"),
        None => http,
    };
    let Some(token) = session.tokens.token(checks.token) else {
        return;
    };
    let Ok(url) = Url::parse(&format!("{}/api", server.as_str().trim_end_matches('/'))) else {
        return refused(findings, "its server is no URL");
    };
    let response = match http.get(&url, Some(token)) {
        Ok(response) => response,
        Err(error) => {
            return findings.off(
                &format!("the API server: {error}"),
                "compare the cluster's entry with `kubectl cluster-info`",
            );
        }
    };
    if let Some(date) = response.date {
        let apart = date - checks.now;
        if apart.abs() > CLOCK {
            findings.off(
                &format!(
                    "clock: the API server's is {}, this machine's {}",
                    moment(date),
                    moment(checks.now)
                ),
                "compare `date` with a clock that you trust, and have the wrong one set",
            );
        } else {
            findings.well("clock: the API server's and this machine's agree");
        }
    }
    match response.status {
        401 => findings.off(
            "the API server answers 401: it does not take this token",
            "compare the lines above with the API server's --oidc-issuer-url, --oidc-client-id and \
             --oidc-signing-algs (or its AuthenticationConfiguration), and look for `Unable to \
             authenticate the request` in its log",
        ),
        200..=299 => findings.well("the API server takes the token"),
        403 => findings.well(
            "the API server knows the person; what is then forbidden is a matter of RBAC: \
             `kubectl auth whoami` shows the name and the groups",
        ),
        status => findings.note(&format!(
            "the API server answers {status}, which says nothing of the token"
        )),
    }
}

/// The cluster's own authority, in PEM.
fn authority(cluster: &Cluster<'_>) -> Result<Option<Vec<u8>>, String> {
    let Some(data) = cluster.text("certificate-authority-data") else {
        return Ok(None);
    };
    let pem = STANDARD.decode(data);
    pem.map(Some)
        .map_err(|_| "the cluster's certificate-authority-data is not base64".to_owned())
}
