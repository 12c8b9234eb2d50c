//! The API server flags and the role binding that fit a token.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#configuring-the-api-server>

use super::api_server::{Verdict, binding};
use super::token::{Checks, DEFAULT_ALGORITHM};
use crate::credential::TokenKind;
use crate::http::{Http, HttpError};
use crate::oauth::discovery;
use crate::oauth::id_token::Unverified;
use crate::shell::quoted;
use crate::tools::findings::Findings;

/// Whether the API server needs the issuer's CA: this machine trusts the issuer only because of
/// `ca_file`.
pub(super) fn needs_authority(http: &Http, checks: &Checks<'_>, findings: &mut Findings) -> bool {
    let provider = checks.account.provider();
    let (Some(issuer), Some(file)) = (&provider.issuer, &provider.ca_file) else {
        return false;
    };
    let urls = discovery::well_known_urls(issuer).unwrap_or_default();
    let Some(Err(HttpError::Certificate { .. })) = urls.first().map(|url| http.get(url, None))
    else {
        return false;
    };
    findings.note(&format!(
        "the issuer's certificate is trusted only because of {}: the API server rejects every token \
         unless its --oidc-ca-file has this CA too",
        file.display()
    ));
    true
}

/// Prints the flags for an API server that doesn't accept the token yet.
pub(super) fn print(
    read: &Unverified,
    checks: &Checks<'_>,
    needs_authority: bool,
    namespace: &str,
    verdict: Verdict,
    findings: &mut Findings,
) {
    let Some(issuer) = read.text("iss").filter(|_| verdict != Verdict::Accepts) else {
        return;
    };
    let audiences = read.texts("aud");
    let client = checks.account.provider().client_id.clone();
    let client =
        client.filter(|client| checks.token == TokenKind::Id && audiences.contains(client));
    let Some(audience) = client.or_else(|| audiences.first().cloned()) else {
        return;
    };
    let mut flags = vec![
        format!("--oidc-issuer-url={}", quoted(&issuer)),
        format!("--oidc-client-id={}", quoted(&audience)),
    ];
    if read.algorithm != DEFAULT_ALGORITHM {
        flags.push(format!("--oidc-signing-algs={}", quoted(&read.algorithm)));
    }
    if !read.texts("groups").is_empty() {
        flags.push("--oidc-groups-claim=groups".to_owned());
    }
    if needs_authority {
        flags.push("--oidc-ca-file=FILE".to_owned());
    }
    findings.note(
        "API server flags that accept this token (an AuthenticationConfiguration may have the same):",
    );
    findings.detail(&flags.join("\n"));
    if let Some(subject) = read.text("sub") {
        findings.note(&format!(
            "with these flags, your user name in role bindings is {issuer}#{subject}:"
        ));
        findings.detail(&binding(&format!("{issuer}#{subject}"), namespace));
    }
}
