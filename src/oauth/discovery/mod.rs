//! Finds an authorization server's endpoints (OpenID Connect Discovery §4, RFC 8414 §3).
//!
//! The document decides which URL opens in a browser and which one receives a refresh token. So its
//! `issuer` must be exactly the configured string, and every endpoint must be https, or http on
//! loopback if the issuer is on loopback too. In CVE-2025-6514, an unchecked
//! `authorization_endpoint` reached the system's URL opener.
//!
//! <https://openid.net/specs/openid-connect-discovery-1_0.html>,
//! <https://www.rfc-editor.org/rfc/rfc8414>

mod error;
mod metadata;
#[cfg(test)]
mod tests;

pub use error::DiscoveryError;
pub use metadata::{Metadata, UnusableEndpoint};

use serde_json::{Map, Value};
use url::Url;

use super::safe_url::{is_bare, is_safe};
use super::{json_object, sanitize};

/// The URLs where the metadata may be, in the order in which to request them: first OpenID Connect's,
/// then RFC 8414's.
pub fn well_known_urls(issuer: &str) -> Result<Vec<Url>, DiscoveryError> {
    let issuer = Url::parse(issuer).map_err(|_| DiscoveryError::IssuerNotAUrl)?;
    if !is_bare(&issuer) {
        return Err(DiscoveryError::IssuerExtra);
    }
    if !is_safe(&issuer) {
        return Err(DiscoveryError::IssuerNotSecure);
    }

    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        // Discovery §4: after the issuer's path.
        format!("{path}/.well-known/openid-configuration"),
        // RFC 8414 §3.1: between the host and the path.
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        // RFC 8414 §5: OpenID Connect's file name in RFC 8414's place.
        paths.push(format!("/.well-known/openid-configuration{path}"));
    }
    Ok(paths
        .iter()
        .map(|path| {
            let mut url = issuer.clone();
            url.set_path(path);
            url
        })
        .collect())
}

/// Parses the document found at one of this issuer's [`well_known_urls`].
pub fn parse(issuer: &str, body: &[u8]) -> Result<Metadata, DiscoveryError> {
    let document: Map<String, Value> = json_object(body).ok_or(DiscoveryError::NotJson)?;

    // RFC 8414 §3.3, Discovery §4.3: the strings must be identical, without normalization.
    let found = document
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or(DiscoveryError::NoIssuer)?;
    if found != issuer {
        return Err(DiscoveryError::OtherIssuer {
            found: sanitize(found),
        });
    }

    // A program that listens on a port of this machine must not receive a remote server's secrets.
    let is_https = Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "https");
    let accepts = |url: &Url| is_safe(url) && (!is_https || url.scheme() == "https");
    let required = |member| {
        endpoint(&document, member, &accepts)
            .map_err(|found| DiscoveryError::UnacceptableUrl { member, found })
    };
    // Some servers write "N/A" for an endpoint that they don't have. A sign-in works without it.
    let mut unusable = Vec::new();
    let mut optional = |member: &'static str| {
        endpoint(&document, member, &accepts).unwrap_or_else(|found| {
            let member = member.to_owned();
            unusable.push(UnusableEndpoint { member, found });
            None
        })
    };
    let device_authorization_endpoint = optional("device_authorization_endpoint");
    let revocation_endpoint = optional("revocation_endpoint");
    let userinfo_endpoint = optional("userinfo_endpoint");
    let introspection_endpoint = optional("introspection_endpoint");
    let pushed_authorization_request_endpoint = optional("pushed_authorization_request_endpoint");
    let flag = |member: &str| document.get(member).and_then(Value::as_bool) == Some(true);
    let list = |member: &str| list(document.get(member)?);
    Ok(Metadata {
        issuer: found.to_owned(),
        authorization_endpoint: required("authorization_endpoint")?,
        token_endpoint: required("token_endpoint")?,
        device_authorization_endpoint,
        revocation_endpoint,
        userinfo_endpoint,
        introspection_endpoint,
        jwks_uri: required("jwks_uri")?,
        pushed_authorization_request_endpoint,
        require_pushed_authorization_requests: flag("require_pushed_authorization_requests"),
        code_challenge_methods_supported: list("code_challenge_methods_supported"),
        authorization_response_iss_parameter_supported: flag(
            "authorization_response_iss_parameter_supported",
        ),
        token_endpoint_auth_methods_supported: list("token_endpoint_auth_methods_supported"),
        id_token_signing_alg_values_supported: list("id_token_signing_alg_values_supported"),
        scopes_supported: list("scopes_supported"),
        grant_types_supported: list("grant_types_supported"),
        prompt_values_supported: list("prompt_values_supported"),
        unusable,
    })
}

/// An endpoint, if the document names it. The error is the document's value if that is not an
/// acceptable URL.
fn endpoint(
    document: &Map<String, Value>,
    member: &str,
    accepts: &impl Fn(&Url) -> bool,
) -> Result<Option<Url>, String> {
    match document.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(|text| Url::parse(text).ok())
            .filter(accepts)
            .map(Some)
            .ok_or_else(|| match value.as_str() {
                Some(text) => sanitize(text),
                None => sanitize(&value.to_string()),
            }),
    }
}

/// A list of strings. An empty list counts as absent, because RFC 8414 §3.2 omits it.
fn list(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<String> = value
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    (!texts.is_empty()).then_some(texts)
}
