use super::json::LONGEST_LIFETIME;
use super::*;
use crate::oauth::error_code::ErrorCode;
use crate::secret::Secret;

fn refused(code: &str) -> TokenError {
    let code = ErrorCode::new(code, None);
    TokenError::Refused { code }
}

#[test]
fn a_response_is_parsed_and_unknown_members_are_ignored() {
    let body = br#" {"access_token":"at","token_type":"bearer","expires_in":3599,
        "refresh_token":"rt","id_token":"a.b.c","scope":"openid email","created_at":1700000000,
        "ext_expires_in":{"a":[1]},"error":null} "#;
    assert_eq!(
        parse_token_response(200, body),
        Ok(TokenResponse {
            access_token: Secret::from("at"),
            token_type: "Bearer".to_owned(),
            expires_in: Some(3599),
            refresh_token: Some(Secret::from("rt")),
            id_token: Some(Secret::from("a.b.c")),
            scopes: Some(vec!["openid".to_owned(), "email".to_owned()]),
            created_at: Some(1_700_000_000),
        })
    );
}

#[test]
fn empty_and_null_members_count_as_absent() {
    let body = br#"{"access_token":"at","token_type":null,"expires_in":null,
        "refresh_token":"","id_token":null,"scope":"","error":""}"#;
    let response = parse_token_response(200, body).unwrap();
    assert_eq!(response.expires_in, None);
    assert_eq!(response.refresh_token, None);
    assert_eq!(response.id_token, None);
    assert_eq!(response.scopes, None);
}

#[test]
fn false_counts_as_absent_for_tokens_and_errors() {
    let body = br#"{"access_token":"at","refresh_token":false,"id_token":false,"error":false}"#;
    let response = parse_token_response(200, body).unwrap();
    assert_eq!(response.refresh_token, None);
    assert_eq!(response.id_token, None);
    for (body, expected) in [
        (
            r#"{"access_token":false}"#,
            TokenError::Missing {
                member: "access_token",
            },
        ),
        (
            r#"{"access_token":"at","refresh_token":true}"#,
            TokenError::Malformed,
        ),
        (
            r#"{"access_token":"at","id_token":7}"#,
            TokenError::Malformed,
        ),
        (r#"{"access_token":["at"]}"#, TokenError::Malformed),
    ] {
        assert_eq!(
            parse_token_response(200, body.as_bytes()),
            Err(expected),
            "{body}"
        );
    }
}

#[test]
fn a_required_proof_of_possession_is_recognized() {
    let client = Client {
        id: "hallpass",
        secret: None,
        auth: ClientAuth::None,
    };
    let request = refresh_request(&client, &Secret::from("rt"), &[], &[], None);
    for (status, body, expected) in [
        (200, r#"{"access_token":"a","token_type":"DPoP"}"#, true),
        (400, r#"{"error":"invalid_dpop_proof"}"#, true),
        (400, r#"{"error":"use_dpop_nonce"}"#, true),
        (
            400,
            r#"{"error":"invalid_request","error_description":"DPoP proof JWT not provided"}"#,
            true,
        ),
        (400, r#"{"error":"invalid_request"}"#, false),
        (200, r#"{"access_token":"a","token_type":"mac"}"#, false),
    ] {
        let error = parse_token_response(status, body.as_bytes()).unwrap_err();
        assert_eq!(error.redact(&request).is_about_dpop(), expected, "{body}");
    }
}

#[test]
fn status_429_is_unavailable_not_a_refusal() {
    for (body, unavailable) in [
        (r#"{"error":"invalid_grant"}"#, true),
        (r#"{"error":"rate_limited"}"#, true),
        (r#"{"error":{"code":429}}"#, true),
        // These make a device flow's client wait.
        (r#"{"error":"slow_down"}"#, false),
        (r#"{"error":"authorization_pending"}"#, false),
    ] {
        let error = parse_token_response(429, body.as_bytes()).unwrap_err();
        let is_unavailable = matches!(error, TokenError::Unavailable { status: 429, .. });
        assert_eq!(is_unavailable, unavailable, "{body}");
        assert_eq!(
            RefreshRefusal::of(429, body.as_bytes(), &error),
            None,
            "{body}"
        );
    }
}

#[test]
fn a_lifetime_is_a_number_or_a_string() {
    for (json, expected) in [
        ("3599", Some(3599)),
        ("3599.9", Some(3599)),
        ("\"3599\"", Some(3599)),
        ("\" 3599.5 \"", Some(3599)),
        ("0", Some(0)),
        ("-5", Some(-5)),
        ("\"-5\"", Some(-5)),
        ("1e12", Some(LONGEST_LIFETIME)),
        ("\"1e12\"", Some(LONGEST_LIFETIME)),
        ("1e300", Some(LONGEST_LIFETIME)),
        ("18446744073709551615", Some(LONGEST_LIFETIME)),
        ("-1e300", Some(-LONGEST_LIFETIME)),
        ("null", None),
        ("true", None),
        ("\"\"", None),
        ("\"soon\"", None),
        ("\"NaN\"", None),
        ("\"inf\"", None),
        ("[]", None),
    ] {
        let body = format!(r#"{{"access_token":"a","expires_in":{json}}}"#);
        let response = parse_token_response(200, body.as_bytes()).unwrap();
        assert_eq!(response.expires_in, expected, "{json}");
    }
}

#[test]
fn bearer_is_the_only_token_type_in_any_case() {
    for (json, accepted) in [
        ("\"Bearer\"", true),
        ("\"bearer\"", true),
        ("\"BEARER\"", true),
        ("null", true),
        ("\"\"", true),
        ("\"mac\"", false),
        ("1", false),
        ("false", false),
    ] {
        let body = format!(r#"{{"access_token":"a","token_type":{json}}}"#);
        let parsed = parse_token_response(200, body.as_bytes());
        if accepted {
            assert_eq!(parsed.unwrap().token_type, "Bearer");
        } else {
            assert_eq!(parsed, Err(TokenError::WrongTokenType), "{json}");
        }
    }
}

#[test]
fn scopes_are_parsed_in_every_known_form() {
    for (json, expected) in [
        (r#""openid  email""#, Some(&["openid", "email"][..])),
        (r#""repo,gist""#, Some(&["repo", "gist"])),
        (r#""a,b c""#, Some(&["a,b", "c"])),
        (r#"["a","b"]"#, Some(&["a", "b"])),
        (r#""a \u001b[2J""#, Some(&["a"])),
        (r#""""#, None),
        (r#"" ""#, None),
        ("7", None),
    ] {
        let body = format!(r#"{{"access_token":"a","scope":{json}}}"#);
        let scopes = parse_token_response(200, body.as_bytes()).unwrap().scopes;
        let scopes: Option<Vec<&str>> = scopes
            .as_ref()
            .map(|scopes| scopes.iter().map(String::as_str).collect());
        assert_eq!(scopes.as_deref(), expected, "{json}");
    }
}

#[test]
fn a_response_without_a_token_says_why() {
    for (status, body, expected) in [
        (
            200,
            r#"{"error":"bad_verification_code"}"#,
            refused("bad_verification_code"),
        ),
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            refused("invalid_grant"),
        ),
        (400, r#"{"error":"x","access_token":"a"}"#, refused("x")),
        (
            400,
            r#"{"error":{"code":400}}"#,
            TokenError::Refused {
                code: ErrorCode::of_object(&serde_json::json!({"code": 400})),
            },
        ),
        (401, r#"{"error":"\u001b[2J"}"#, refused("invalid")),
        (
            503,
            r#"{"error":"invalid_grant"}"#,
            TokenError::Unavailable {
                status: 503,
                code: ErrorCode::new("invalid_grant", None),
            },
        ),
        (502, "<html>", TokenError::Http { status: 502 }),
        (302, "", TokenError::Http { status: 302 }),
        (
            400,
            r#"{"access_token":"a"}"#,
            TokenError::Http { status: 400 },
        ),
        (200, "<html>", TokenError::NotJson { status: 200 }),
        (200, "", TokenError::NotJson { status: 200 }),
        (200, r#"["a"]"#, TokenError::NotJson { status: 200 }),
        (200, r#"{"access_token":7}"#, TokenError::Malformed),
        (
            200,
            r#"{"access_token":"a","id_token":[]}"#,
            TokenError::Malformed,
        ),
        (
            200,
            "{}",
            TokenError::Missing {
                member: "access_token",
            },
        ),
        (
            200,
            r#"{"access_token":""}"#,
            TokenError::Missing {
                member: "access_token",
            },
        ),
    ] {
        let error = parse_token_response(status, body.as_bytes()).unwrap_err();
        assert_eq!(error, expected, "{status} {body}");
    }
}

#[test]
fn a_rotated_refresh_token_is_read_from_any_success() {
    for (status, body, expected) in [
        (
            200,
            r#"{"access_token":"a","refresh_token":"r"}"#,
            Some("r"),
        ),
        (200, r#"{"refresh_token":"r"}"#, Some("r")),
        (200, r#"{"access_token":7,"refresh_token":"r"}"#, Some("r")),
        (
            200,
            r#"{"access_token":"a\n","refresh_token":"r"}"#,
            Some("r"),
        ),
        (
            200,
            r#"{"access_token":"a","id_token":[],"refresh_token":"r"}"#,
            Some("r"),
        ),
        (
            200,
            r#"{"token_type":"mac","refresh_token":"r"}"#,
            Some("r"),
        ),
        (
            200,
            r#"{"error":"server_error","refresh_token":"r"}"#,
            Some("r"),
        ),
        (201, r#"{"refresh_token":"r"}"#, Some("r")),
        (200, r#"{"refresh_token":""}"#, None),
        (200, r#"{"refresh_token":null}"#, None),
        (200, r#"{"refresh_token":7}"#, None),
        (200, r#"{"refresh_token":"r\n"}"#, None),
        (200, r#"["refresh_token"]"#, None),
        (200, r#"{"refresh_token":"r""#, None),
        (400, r#"{"refresh_token":"r"}"#, None),
        (503, r#"{"refresh_token":"r"}"#, None),
    ] {
        let rotated = rotated_refresh_token(status, body.as_bytes());
        let rotated = rotated.as_ref().map(|token| token.expose().as_str());
        assert_eq!(rotated, expected, "{status} {body}");
    }
}

#[test]
fn a_rejected_refresh_token_differs_from_a_failure() {
    use RefreshRefusal::{Dead, Unspecific};
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_grant"}"#, Some(Dead)),
        (401, r#"{"error":"invalid_grant"}"#, Some(Dead)),
        (200, r#"{"error":"invalid_grant"}"#, Some(Unspecific)),
        (403, r#"{"error":"invalid_grant"}"#, Some(Unspecific)),
        (400, r#"{"error":"invalid_request"}"#, Some(Unspecific)),
        (200, r#"{"error":"bad_refresh_token"}"#, Some(Unspecific)),
        (400, r#"{"error":"interaction_required"}"#, Some(Unspecific)),
        (400, r#"{"error":"login_required"}"#, Some(Unspecific)),
        (401, r#"{"error":"invalid_token"}"#, Some(Unspecific)),
        (400, r#"{"error":"unauthorized_client"}"#, Some(Unspecific)),
        (403, r#"{"error":"access_denied"}"#, Some(Unspecific)),
        (
            400,
            r#"{"error":{"message":"TOKEN_EXPIRED"}}"#,
            Some(Unspecific),
        ),
        (400, "", Some(Unspecific)),
        (400, " \r\n", Some(Unspecific)),
        (400, "<html>", None),
        (400, "{}", None),
        (401, "", None),
        (403, "", None),
        (400, r#"{"error":"invalid_client"}"#, None),
        (401, r#"{"error":"invalid_client"}"#, None),
        (400, r#"{"error":"unsupported_grant_type"}"#, None),
        (400, r#"{"error":"temporarily_unavailable"}"#, None),
        (200, r#"{"error":"server_error"}"#, None),
        (400, r#"{"error":"slow_down"}"#, None),
        (400, r#"{"error":"use_dpop_nonce"}"#, None),
        (404, r#"{"error":"invalid_grant"}"#, None),
        (407, r#"{"error":"invalid_grant"}"#, None),
        (408, r#"{"error":"invalid_grant"}"#, None),
        (429, r#"{"error":"invalid_grant"}"#, None),
        (500, r#"{"error":"invalid_grant"}"#, None),
        (503, "", None),
        (200, "<html>", None),
        (200, r#"{"token_type":"Bearer"}"#, None),
    ] {
        let body = body.as_bytes();
        let error = parse_token_response(status, body).unwrap_err();
        let refusal = RefreshRefusal::of(status, body, &error);
        assert_eq!(
            refusal,
            expected,
            "{status} {}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn a_token_with_line_breaks_is_rejected_and_never_printed() {
    for text in [
        r"hunter2\r\nX: y",
        r"hunter2\n",
        r"hunter2\u0000",
        r"hunter2\u007f",
        "hunter2ä",
    ] {
        for member in ["access_token", "refresh_token", "id_token"] {
            let body = if member == "access_token" {
                format!(r#"{{"access_token":"{text}"}}"#)
            } else {
                format!(r#"{{"access_token":"a","{member}":"{text}"}}"#)
            };
            let error = parse_token_response(200, body.as_bytes()).unwrap_err();
            assert_eq!(error, TokenError::Unusable { member });
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}

#[test]
fn refusals_and_outages_have_an_error_code() {
    for (status, body, code) in [
        (400, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
        (500, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
        (400, "invalid_grant", None),
        (401, "", None),
    ] {
        let error = parse_token_response(status, body.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[test]
fn the_description_is_shown_without_the_requests_secrets() {
    let body = br#"{"error":"invalid_grant","error_description":"AADSTS70000\r\nTrace"}"#;
    let TokenError::Refused { code } = parse_token_response(400, body).unwrap_err() else {
        panic!("it is a refusal");
    };
    assert_eq!(code.description(), None, "hidden until it is redacted");
    let client = Client {
        id: "hallpass",
        secret: None,
        auth: ClientAuth::None,
    };
    let refresh_token = Secret::from("the-refresh-token");
    let request = refresh_request(&client, &refresh_token, &[], &[], None);
    let redacted = |status: u16| {
        let body = br#"{"error":"invalid_grant",
            "error_description":"AADSTS70000: the-refresh-token expired.\r\nTrace ID: 1"}"#;
        let error = parse_token_response(status, body).unwrap_err();
        error.redact(&request).to_string()
    };
    let words = "invalid_grant (AADSTS70000: [secret] expired. Trace ID: 1)";
    assert_eq!(
        redacted(400),
        format!("the provider rejected the request: {words}")
    );
    assert!(redacted(503).ends_with(words));
}
