//! Where an authorization server's endpoints are (OpenID Connect Discovery §4, RFC 8414 §3).
//!
//! The document decides which URL is opened in a browser and which one receives a refresh token.
//! So its `issuer` must be the very string that was asked for, and every endpoint https, or http
//! on loopback where the issuer is too: CVE-2025-6514 was an `authorization_endpoint` that reached
//! the opener unchecked.
//!
//! <https://openid.net/specs/openid-connect-discovery-1_0.html>,
//! <https://www.rfc-editor.org/rfc/rfc8414>

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::token::ClientAuth;
use super::{json_object, sanitized};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    #[error("the issuer is not a URL")]
    IssuerNotAUrl,
    #[error("the issuer must begin with https://, or be on this machine")]
    IssuerNotSecure,
    #[error("the issuer must have no user name, query or fragment")]
    IssuerExtra,
    #[error("the metadata is not a JSON object")]
    NotJson,
    #[error("the metadata names no issuer")]
    NoIssuer,
    /// Strings are compared; often it is a slash at the end.
    #[error("the metadata is that of another issuer: {found}")]
    OtherIssuer { found: String },
    #[error("{member} in the metadata is not an https URL: {found}")]
    UnacceptableUrl { member: &'static str, found: String },
    #[error("the authorization server supports PKCE, but not its method S256")]
    NoS256,
}

/// Where the metadata may be, in the order to ask: OpenID Connect's place, then RFC 8414's.
pub fn well_known_urls(issuer: &str) -> Result<Vec<Url>, DiscoveryError> {
    let issuer = Url::parse(issuer).map_err(|_| DiscoveryError::IssuerNotAUrl)?;
    let bare = issuer.query().is_none()
        && issuer.fragment().is_none()
        && issuer.username().is_empty()
        && issuer.password().is_none();
    if !bare {
        return Err(DiscoveryError::IssuerExtra);
    }
    if !is_acceptable_url(&issuer) {
        return Err(DiscoveryError::IssuerNotSecure);
    }

    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        // Discovery §4: behind the issuer's path.
        format!("{path}/.well-known/openid-configuration"),
        // RFC 8414 §3.1: between the host and the path.
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        // RFC 8414 §5: OpenID Connect's name in RFC 8414's place.
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

/// What an authorization server says about itself, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub device_authorization_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    pub userinfo_endpoint: Option<Url>,
    pub introspection_endpoint: Option<Url>,
    pub jwks_uri: Option<Url>,
    pub pushed_authorization_request_endpoint: Option<Url>,
    pub require_pushed_authorization_requests: bool,
    pub code_challenge_methods_supported: Option<Vec<String>>,
    pub authorization_response_iss_parameter_supported: bool,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    pub scopes_supported: Option<Vec<String>>,
    pub grant_types_supported: Option<Vec<String>>,
    /// Initiating User Registration via OpenID Connect 1.0, section 4.
    pub prompt_values_supported: Option<Vec<String>>,
    /// Endpoints that the document names and that cannot be used.
    pub unusable: Vec<Unusable>,
}

/// An endpoint that is not needed for every sign-in, and that the document names wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    pub member: String,
    /// What the document says, printable.
    pub found: String,
}

/// Reads the document that was found at one of [`well_known_urls`] of this issuer.
pub fn parse(issuer: &str, body: &[u8]) -> Result<Metadata, DiscoveryError> {
    let document: Map<String, Value> = json_object(body).ok_or(DiscoveryError::NotJson)?;

    // RFC 8414 §3.3, Discovery §4.3: identical, so no normalising and no slash forgiven.
    let found = document
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or(DiscoveryError::NoIssuer)?;
    if found != issuer {
        return Err(DiscoveryError::OtherIssuer {
            found: sanitized(found),
        });
    }

    // Whoever listens on a port of this machine must not get what belongs to a remote server.
    let is_secure = Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "https");
    let fits = |url: &Url| is_acceptable_url(url) && (!is_secure || url.scheme() == "https");
    let needed = |member| {
        endpoint(&document, member, &fits)
            .map_err(|found| DiscoveryError::UnacceptableUrl { member, found })
    };
    // What a sign-in can do without is left out, not the whole document: some write "N/A".
    let mut unusable = Vec::new();
    let mut optional = |member: &'static str| {
        endpoint(&document, member, &fits).unwrap_or_else(|found| {
            let member = member.to_owned();
            unusable.push(Unusable { member, found });
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
        authorization_endpoint: needed("authorization_endpoint")?,
        token_endpoint: needed("token_endpoint")?,
        device_authorization_endpoint,
        revocation_endpoint,
        userinfo_endpoint,
        introspection_endpoint,
        jwks_uri: needed("jwks_uri")?,
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

/// An endpoint, if the document names one; the error is what it says instead of a URL.
fn endpoint(
    document: &Map<String, Value>,
    member: &str,
    fits: &impl Fn(&Url) -> bool,
) -> Result<Option<Url>, String> {
    match document.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(|text| Url::parse(text).ok())
            .filter(fits)
            .map(Some)
            .ok_or_else(|| match value.as_str() {
                Some(text) => sanitized(text),
                None => sanitized(&value.to_string()),
            }),
    }
}

/// An empty list says as little as none: RFC 8414 §3.2 has it left out.
fn list(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<String> = value
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    (!texts.is_empty()).then_some(texts)
}

impl Metadata {
    /// Fills what this document leaves open from another one of the same issuer.
    #[must_use]
    pub fn filled_from(self, other: Metadata) -> Metadata {
        let mut unusable = self.unusable;
        for one in other.unusable {
            if unusable.iter().all(|known| known.member != one.member) {
                unusable.push(one);
            }
        }
        let mut filled = Metadata {
            issuer: self.issuer,
            authorization_endpoint: self.authorization_endpoint.or(other.authorization_endpoint),
            token_endpoint: self.token_endpoint.or(other.token_endpoint),
            device_authorization_endpoint: self
                .device_authorization_endpoint
                .or(other.device_authorization_endpoint),
            revocation_endpoint: self.revocation_endpoint.or(other.revocation_endpoint),
            userinfo_endpoint: self.userinfo_endpoint.or(other.userinfo_endpoint),
            introspection_endpoint: self.introspection_endpoint.or(other.introspection_endpoint),
            jwks_uri: self.jwks_uri.or(other.jwks_uri),
            pushed_authorization_request_endpoint: self
                .pushed_authorization_request_endpoint
                .or(other.pushed_authorization_request_endpoint),
            require_pushed_authorization_requests: self.require_pushed_authorization_requests
                || other.require_pushed_authorization_requests,
            code_challenge_methods_supported: self
                .code_challenge_methods_supported
                .or(other.code_challenge_methods_supported),
            authorization_response_iss_parameter_supported: self
                .authorization_response_iss_parameter_supported
                || other.authorization_response_iss_parameter_supported,
            token_endpoint_auth_methods_supported: self
                .token_endpoint_auth_methods_supported
                .or(other.token_endpoint_auth_methods_supported),
            id_token_signing_alg_values_supported: self
                .id_token_signing_alg_values_supported
                .or(other.id_token_signing_alg_values_supported),
            scopes_supported: self.scopes_supported.or(other.scopes_supported),
            grant_types_supported: self.grant_types_supported.or(other.grant_types_supported),
            prompt_values_supported: self
                .prompt_values_supported
                .or(other.prompt_values_supported),
            unusable: Vec::new(),
        };
        // What the other document names rightly is not missed.
        unusable.retain(|one| !filled.has(&one.member));
        filled.unusable = unusable;
        filled
    }

    fn has(&self, optional: &str) -> bool {
        let endpoint = match optional {
            "device_authorization_endpoint" => &self.device_authorization_endpoint,
            "revocation_endpoint" => &self.revocation_endpoint,
            "userinfo_endpoint" => &self.userinfo_endpoint,
            "pushed_authorization_request_endpoint" => &self.pushed_authorization_request_endpoint,
            _ => return false,
        };
        endpoint.is_some()
    }

    /// Whether S256 may be sent: yes, unless the server lists its methods without it.
    ///
    /// Most servers that support PKCE do not say so, and one that does not must ignore it.
    pub fn pkce(&self) -> Result<(), DiscoveryError> {
        match &self.code_challenge_methods_supported {
            Some(methods) if !methods.iter().any(|method| method == "S256") => {
                Err(DiscoveryError::NoS256)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How the client authenticates, where configuration does not say: Basic is what every server
    /// must support (RFC 6749 §2.3.1), so it takes a list without it to post the secret.
    pub fn client_auth(&self, has_secret: bool) -> ClientAuth {
        if !has_secret {
            return ClientAuth::None;
        }
        let lists = |wanted: &str| {
            self.token_endpoint_auth_methods_supported
                .as_ref()
                .is_some_and(|methods| methods.iter().any(|method| method == wanted))
        };
        if lists("client_secret_post") && !lists("client_secret_basic") {
            ClientAuth::Post
        } else {
            ClientAuth::Basic
        }
    }
}

/// Whether a URL may receive secrets or be opened: https, or http that stays on this machine.
///
/// One with a user name or a password is not: it serves only to look like another host.
pub fn is_acceptable_url(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    is_private && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example/realm";

    fn parsed(members: &str) -> Result<Metadata, DiscoveryError> {
        parse(
            ISSUER,
            format!(r#"{{"issuer":"{ISSUER}"{members}}}"#).as_bytes(),
        )
    }

    #[test]
    fn both_well_known_places_are_asked() {
        for (issuer, expected) in [
            (
                "https://as.example",
                &[
                    "https://as.example/.well-known/openid-configuration",
                    "https://as.example/.well-known/oauth-authorization-server",
                ][..],
            ),
            (
                "https://as.example/",
                &[
                    "https://as.example/.well-known/openid-configuration",
                    "https://as.example/.well-known/oauth-authorization-server",
                ],
            ),
            (
                "https://as.example:8443/realms/a%20b/",
                &[
                    "https://as.example:8443/realms/a%20b/.well-known/openid-configuration",
                    "https://as.example:8443/.well-known/oauth-authorization-server/realms/a%20b",
                    "https://as.example:8443/.well-known/openid-configuration/realms/a%20b",
                ],
            ),
            (
                "http://127.0.0.1:8080",
                &[
                    "http://127.0.0.1:8080/.well-known/openid-configuration",
                    "http://127.0.0.1:8080/.well-known/oauth-authorization-server",
                ],
            ),
        ] {
            let urls = well_known_urls(issuer).unwrap();
            let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
            assert_eq!(urls, expected, "{issuer}");
        }
    }

    #[test]
    fn an_issuer_is_a_bare_https_url() {
        for (issuer, expected) in [
            ("as.example", DiscoveryError::IssuerNotAUrl),
            ("http://as.example", DiscoveryError::IssuerNotSecure),
            ("file:///etc", DiscoveryError::IssuerNotSecure),
            ("https://as.example?x=1", DiscoveryError::IssuerExtra),
            ("https://as.example/#x", DiscoveryError::IssuerExtra),
            ("https://a:b@as.example", DiscoveryError::IssuerExtra),
        ] {
            assert_eq!(well_known_urls(issuer), Err(expected), "{issuer}");
        }
    }

    #[test]
    fn the_issuer_is_identical_or_the_document_is_refused() {
        for (body, expected) in [
            ("<html>", DiscoveryError::NotJson),
            ("", DiscoveryError::NotJson),
            ("[]", DiscoveryError::NotJson),
            ("{}", DiscoveryError::NoIssuer),
            (r#"{"issuer":7}"#, DiscoveryError::NoIssuer),
            (
                r#"{"issuer":"https://as.example/realm/"}"#,
                DiscoveryError::OtherIssuer {
                    found: "https://as.example/realm/".to_owned(),
                },
            ),
            (
                r#"{"issuer":"HTTPS://as.example/realm"}"#,
                DiscoveryError::OtherIssuer {
                    found: "HTTPS://as.example/realm".to_owned(),
                },
            ),
            (
                r#"{"issuer":"https://evil\u001b[2J"}"#,
                DiscoveryError::OtherIssuer {
                    found: r"https://evil\u{1b}[2J".to_owned(),
                },
            ),
        ] {
            assert_eq!(parse(ISSUER, body.as_bytes()), Err(expected), "{body}");
        }
    }

    const HOSTILE: [&str; 9] = [
        r#""http://as.example/x""#,
        r#""file:///etc/passwd""#,
        r#""javascript:alert(1)""#,
        r#""https://as.example@evil.example/""#,
        r#""x; calc.exe""#,
        r#""/relative""#,
        r#""N/A""#,
        "false",
        "7",
    ];

    /// An https issuer's endpoints do not move to a port of this machine.
    fn loopback_is_for_loopback_issuers_only(member: &str, is_accepted: impl Fn(&str) -> bool) {
        for (issuer, accepted) in [(ISSUER, false), ("http://127.0.0.1:8080", true)] {
            for endpoint in ["http://[::1]:1/x", "http://localhost/x"] {
                let body = format!(r#"{{"issuer":"{issuer}","{member}":"{endpoint}"}}"#);
                assert_eq!(is_accepted(&body), accepted, "{issuer} {member} {endpoint}");
            }
        }
    }

    fn issuer_of(body: &str) -> String {
        let body: Value = serde_json::from_str(body).unwrap();
        body["issuer"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_endpoint_that_every_sign_in_needs_is_https_or_loopback() {
        for member in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for value in HOSTILE {
                let error = parsed(&format!(r#","{member}":{value}"#)).unwrap_err();
                let found = value.trim_matches('"').to_owned();
                assert_eq!(error, DiscoveryError::UnacceptableUrl { member, found });
            }
            loopback_is_for_loopback_issuers_only(member, |body| {
                parse(&issuer_of(body), body.as_bytes()).is_ok()
            });
            for absent in ["null", r#""""#] {
                assert!(parsed(&format!(r#","{member}":{absent}"#)).is_ok());
            }
        }
        let found = parsed(r#","token_endpoint":"http://a\u001b[2J""#).unwrap_err();
        assert!(found.to_string().ends_with(r"http://a\u{1b}[2J"), "{found}");
    }

    #[test]
    fn an_endpoint_that_a_sign_in_can_do_without_is_left_out_where_it_is_unusable() {
        for member in [
            "device_authorization_endpoint",
            "revocation_endpoint",
            "userinfo_endpoint",
            "pushed_authorization_request_endpoint",
        ] {
            for value in HOSTILE {
                let good = r#""token_endpoint":"https://as.example/t""#;
                let metadata = parsed(&format!(r#","{member}":{value},{good}"#)).unwrap();
                assert!(!metadata.has(member), "{member} {value}");
                assert!(metadata.token_endpoint.is_some());
                let expected = Unusable {
                    member: member.to_owned(),
                    found: value.trim_matches('"').to_owned(),
                };
                assert_eq!(metadata.unusable, [expected]);

                // The other document may name it rightly.
                let other = parsed(&format!(r#","{member}":"https://as.example/x""#)).unwrap();
                let filled = metadata.filled_from(other);
                assert!(
                    filled.has(member) && filled.unusable.is_empty(),
                    "{filled:?}"
                );
            }
            loopback_is_for_loopback_issuers_only(member, |body| {
                parse(&issuer_of(body), body.as_bytes())
                    .unwrap()
                    .has(member)
            });
            for absent in ["null", r#""""#] {
                let metadata = parsed(&format!(r#","{member}":{absent}"#)).unwrap();
                assert!(metadata.unusable.is_empty(), "{absent}");
            }
        }
    }

    #[test]
    fn an_acceptable_url_is_https_or_stays_on_this_machine() {
        for (url, expected) in [
            ("https://as.example/x", true),
            ("http://127.0.0.1:1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://as.example/", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("https://user@as.example/", false),
            ("https://:pw@as.example/", false),
            ("ws://127.0.0.1/", false),
            ("file:///etc/passwd", false),
            ("mailto:a@b.example", false),
        ] {
            assert_eq!(
                is_acceptable_url(&Url::parse(url).unwrap()),
                expected,
                "{url}"
            );
        }
    }

    #[test]
    fn a_document_may_say_little_or_strange_things() {
        let little = parsed("").unwrap();
        assert_eq!(
            little,
            Metadata {
                issuer: ISSUER.to_owned(),
                ..Metadata::default()
            }
        );
        let strange = r#","scopes_supported":"openid","code_challenge_methods_supported":[],
            "require_pushed_authorization_requests":null,"grant_types_supported":[1,"a"],
            "authorization_response_iss_parameter_supported":true,"x":{}"#;
        let strange = parsed(strange).unwrap();
        assert_eq!(strange.scopes_supported, None);
        assert_eq!(strange.code_challenge_methods_supported, None);
        assert_eq!(strange.grant_types_supported, Some(vec!["a".to_owned()]));
        assert!(strange.authorization_response_iss_parameter_supported);
        assert!(!strange.require_pushed_authorization_requests);
    }

    #[test]
    fn metadata_survive_being_kept() {
        let metadata =
            parsed(r#","token_endpoint":"https://as.example/t","scopes_supported":["openid"]"#)
                .unwrap();
        let kept = serde_json::to_string(&metadata).unwrap();
        assert_eq!(serde_json::from_str::<Metadata>(&kept).unwrap(), metadata);
        assert!(serde_json::from_str::<Metadata>("{}").is_ok());
    }

    #[test]
    fn a_second_document_fills_what_the_first_leaves_open() {
        let first = parsed(r#","token_endpoint":"https://as.example/1""#).unwrap();
        let second = parsed(
            r#","token_endpoint":"https://as.example/2",
               "device_authorization_endpoint":"https://as.example/d",
               "require_pushed_authorization_requests":true"#,
        )
        .unwrap();
        let filled = first.filled_from(second);
        assert_eq!(
            filled.token_endpoint.unwrap().as_str(),
            "https://as.example/1"
        );
        assert_eq!(
            filled.device_authorization_endpoint.unwrap().as_str(),
            "https://as.example/d"
        );
        assert!(filled.require_pushed_authorization_requests);
    }

    #[test]
    fn s256_is_sent_unless_the_server_lists_only_others() {
        for (members, expected) in [
            ("", Ok(())),
            (r#","code_challenge_methods_supported":[]"#, Ok(())),
            (r#","code_challenge_methods_supported":["S256"]"#, Ok(())),
            (
                r#","code_challenge_methods_supported":["plain","S256"]"#,
                Ok(()),
            ),
            (
                r#","code_challenge_methods_supported":["plain"]"#,
                Err(DiscoveryError::NoS256),
            ),
        ] {
            assert_eq!(parsed(members).unwrap().pkce(), expected, "{members}");
        }
    }

    #[test]
    fn basic_is_preferred_unless_only_post_is_listed() {
        for (methods, has_secret, expected) in [
            (None, false, ClientAuth::None),
            (Some(r#"["client_secret_post"]"#), false, ClientAuth::None),
            (None, true, ClientAuth::Basic),
            (Some(r#"["private_key_jwt"]"#), true, ClientAuth::Basic),
            (
                Some(r#"["client_secret_post","client_secret_basic"]"#),
                true,
                ClientAuth::Basic,
            ),
            (
                Some(r#"["none","client_secret_post"]"#),
                true,
                ClientAuth::Post,
            ),
        ] {
            let members = methods
                .map(|methods| format!(r#","token_endpoint_auth_methods_supported":{methods}"#))
                .unwrap_or_default();
            let metadata = parsed(&members).unwrap();
            assert_eq!(
                metadata.client_auth(has_secret),
                expected,
                "{methods:?} {has_secret}"
            );
        }
    }
}
