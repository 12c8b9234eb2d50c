use super::*;
use crate::oauth::token::ClientAuth;

const ISSUER: &str = "https://as.example/realm";

fn parsed(members: &str) -> Result<Metadata, DiscoveryError> {
    parse(
        ISSUER,
        format!(r#"{{"issuer":"{ISSUER}"{members}}}"#).as_bytes(),
    )
}

#[test]
fn each_well_known_url_is_requested_in_order() {
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
fn an_issuer_is_an_https_url_without_query_or_user_name() {
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
fn a_document_of_a_different_issuer_is_rejected() {
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

/// An https issuer's endpoints must not be on this machine.
fn assert_loopback_is_for_loopback_issuers_only(member: &str, is_accepted: impl Fn(&str) -> bool) {
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
fn a_required_endpoint_must_be_https_or_loopback() {
    for member in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        for value in HOSTILE {
            let error = parsed(&format!(r#","{member}":{value}"#)).unwrap_err();
            let found = value.trim_matches('"').to_owned();
            assert_eq!(error, DiscoveryError::UnacceptableUrl { member, found });
        }
        assert_loopback_is_for_loopback_issuers_only(member, |body| {
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
fn an_unusable_optional_endpoint_is_left_out() {
    for member in [
        "device_authorization_endpoint",
        "revocation_endpoint",
        "userinfo_endpoint",
        "introspection_endpoint",
        "pushed_authorization_request_endpoint",
    ] {
        for value in HOSTILE {
            let good = r#""token_endpoint":"https://as.example/t""#;
            let metadata = parsed(&format!(r#","{member}":{value},{good}"#)).unwrap();
            assert!(!metadata.has(member), "{member} {value}");
            assert!(metadata.token_endpoint.is_some());
            let expected = UnusableEndpoint {
                member: member.to_owned(),
                found: value.trim_matches('"').to_owned(),
            };
            assert_eq!(metadata.unusable, [expected]);

            // The other document may name it correctly.
            let other = parsed(&format!(r#","{member}":"https://as.example/x""#)).unwrap();
            let merged = metadata.merge(other);
            assert!(
                merged.has(member) && merged.unusable.is_empty(),
                "{merged:?}"
            );
        }
        assert_loopback_is_for_loopback_issuers_only(member, |body| {
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
fn missing_and_malformed_members_are_ignored() {
    let minimal = parsed("").unwrap();
    assert_eq!(
        minimal,
        Metadata {
            issuer: ISSUER.to_owned(),
            ..Metadata::default()
        }
    );
    let malformed = r#","scopes_supported":"openid","code_challenge_methods_supported":[],
        "require_pushed_authorization_requests":null,"grant_types_supported":[1,"a"],
        "authorization_response_iss_parameter_supported":true,"x":{}"#;
    let malformed = parsed(malformed).unwrap();
    assert_eq!(malformed.scopes_supported, None);
    assert_eq!(malformed.code_challenge_methods_supported, None);
    assert_eq!(malformed.grant_types_supported, Some(vec!["a".to_owned()]));
    assert!(malformed.authorization_response_iss_parameter_supported);
    assert!(!malformed.require_pushed_authorization_requests);
}

#[test]
fn metadata_survives_serialization() {
    let metadata =
        parsed(r#","token_endpoint":"https://as.example/t","scopes_supported":["openid"]"#)
            .unwrap();
    let stored = serde_json::to_string(&metadata).unwrap();
    assert_eq!(serde_json::from_str::<Metadata>(&stored).unwrap(), metadata);
    assert!(serde_json::from_str::<Metadata>("{}").is_ok());
}

#[test]
fn a_second_document_adds_missing_members() {
    let first = parsed(r#","token_endpoint":"https://as.example/1""#).unwrap();
    let second = parsed(
        r#","token_endpoint":"https://as.example/2",
           "device_authorization_endpoint":"https://as.example/d",
           "require_pushed_authorization_requests":true"#,
    )
    .unwrap();
    let merged = first.merge(second);
    assert_eq!(
        merged.token_endpoint.unwrap().as_str(),
        "https://as.example/1"
    );
    assert_eq!(
        merged.device_authorization_endpoint.unwrap().as_str(),
        "https://as.example/d"
    );
    assert!(merged.require_pushed_authorization_requests);
}

#[test]
fn s256_is_required_if_methods_are_listed() {
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
        assert_eq!(parsed(members).unwrap().check_pkce(), expected, "{members}");
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
