//! Valid and invalid responses of the token endpoint (RFC 6749 §5).

use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, Provider, patch};
use crate::scene::Scene;

const DECADE: i64 = 10 * 365 * 24 * 3600;

/// Signs in at a provider whose token response has this patch.
fn signed_in_with(response: Value) -> Scene {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.token_response = patch(response));
    scene.get_token(&[]).token();
    scene
}

/// Checks that a sign-in fails, that no token is printed and that nothing is saved.
#[track_caller]
fn assert_rejected(scene: &Scene, words: &[&str]) {
    let outcome = scene.get_token(&[]);
    outcome.fails_saying(1, words);
    for (what, secret) in scene.provider.secrets() {
        assert!(!outcome.stderr.contains(&secret), "{what}: {outcome}");
    }
    assert!(scene.sessions().is_empty());
    assert_ne!(scene.sandbox.page().status(), 200);
}

#[test]
fn the_token_type_is_bearer_in_any_case() {
    for kind in ["bearer", "BEARER", "Bearer", ""] {
        let scene = signed_in_with(json!({ "token_type": kind }));
        let reply = scene.get_token(&["--format", "header"]).stdout;
        assert!(
            reply.starts_with("Authorization: Bearer at-"),
            "{kind}: {reply}"
        );
    }
}

#[test]
fn a_token_of_another_type_is_rejected() {
    for (kind, words) in [
        ("mac", &["type is not bearer"][..]),
        ("DPoP", &["dpop", "register a client for bearer tokens"]),
        ("Bearer X", &[]),
    ] {
        let scene = Scene::new();
        scene
            .provider
            .behave(|b| b.token_response = patch(json!({ "token_type": kind })));
        assert_rejected(&scene, words);
    }
}

#[test]
fn null_and_empty_forms_of_absent_values_are_accepted() {
    for response in [
        json!({ "token_type": "" }),
        json!({ "token_type": null }),
        json!({ "error": false }),
        json!({ "refresh_token": false }),
    ] {
        let scene = signed_in_with(response.clone());
        assert_eq!(scene.sessions().len(), 1, "{response}");
    }
}

#[test]
fn an_error_object_is_reported() {
    let scene = Scene::new();
    let body = json!({ "error": { "code": 401, "message": "who are you?" } });
    scene
        .provider
        .break_down(Endpoint::Code, Fault::json(401, &body));
    assert_rejected(
        &scene,
        &["error object instead of a code: 401, who are you?"],
    );
}

#[test]
fn a_lifetime_may_be_a_string() {
    let mut scene = signed_in_with(json!({ "expires_in": "3599" }));
    let reply = scene.get_token(&["--format", "json"]).json();
    assert!(
        reply["expires_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{reply}"
    );
    scene.advance(3000);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    scene.advance(550);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_lifetime_of_a_refreshed_token_may_be_a_string_too() {
    let mut scene = Scene::new();
    scene.get_token(&[]).token();
    let lifetime = json!({ "expires_in": "120" });
    scene
        .provider
        .behave(|b| b.token_response = patch(lifetime));
    scene.advance(4000);
    scene.get_token(&[]).token();
    scene.advance(100);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.advance(10);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
}

/// GitLab reports when a token was created, according to its own clock.
#[test]
fn the_local_clock_decides_when_a_token_was_issued() {
    for created_at in [0_i64, 4_000_000_000] {
        let mut scene = signed_in_with(json!({ "created_at": created_at }));
        scene.advance(3500);
        scene.get_token(&[]).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 0, "{created_at}");
        scene.advance(60);
        scene.get_token(&[]).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "{created_at}");
    }
}

/// Bitbucket's tokens have more than 2,500 characters, and Entra's with many groups have even more.
#[test]
fn a_long_token_is_stored_and_returned_whole() {
    let long = "x".repeat(40_000);
    let mut scene = signed_in_with(json!({ "access_token": long, "id_token": null }));
    assert_eq!(scene.get_token(&[]).token(), long);
    let refreshed = "y".repeat(40_000);
    let answer = json!({ "access_token": refreshed, "id_token": null });
    scene.provider.behave(|b| b.token_response = patch(answer));
    scene.advance(4000);
    assert_eq!(scene.get_token(&[]).token(), refreshed);
    assert_eq!(scene.get_token(&[]).token(), refreshed);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_token_without_a_lifetime_is_valid_until_it_is_rejected() {
    let mut scene = signed_in_with(json!({ "expires_in": null }));
    let reply = scene.get_token(&["--format", "json"]).json();
    assert_eq!(reply["expires_at"], Value::Null);
    scene.advance(DECADE);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

#[test]
fn a_token_with_a_lifetime_of_zero_is_used_once() {
    for lifetime in [json!(0), json!(-1), json!("0"), json!(-1e12)] {
        let scene = signed_in_with(json!({ "expires_in": lifetime }));
        assert_eq!(
            scene.provider.count(Endpoint::Refresh),
            0,
            "{lifetime}: the first answer"
        );
        scene.get_token(&[]).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "{lifetime}");
    }
}

#[test]
fn an_absurdly_long_lifetime_is_accepted() {
    for lifetime in [
        json!(1e12),
        json!(1_000_000_000_000_u64),
        json!(u64::MAX),
        json!(1e300),
    ] {
        let mut scene = signed_in_with(json!({ "expires_in": lifetime }));
        scene.get_token(&["--format", "json"]).json();
        scene.advance(3000);
        scene.get_token(&[]).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 0, "{lifetime}");
    }
}

#[test]
fn a_lifetime_that_is_not_a_number_is_ignored() {
    for lifetime in [json!("soon"), json!([]), json!(true)] {
        let scene = signed_in_with(json!({ "expires_in": lifetime }));
        let reply = scene.get_token(&["--format", "json"]).json();
        assert_eq!(reply["expires_at"], Value::Null, "{lifetime}");
        assert_eq!(scene.provider.count(Endpoint::Refresh), 0, "{lifetime}");
    }
}

#[test]
fn unknown_members_are_ignored() {
    let scene = signed_in_with(json!({
        "ext_expires_in": 7200, "not_before_policy": 0, "session": { "deep": [1, null] },
    }));
    assert_eq!(scene.sessions().len(), 1);
}

#[test]
fn a_narrowed_scope_is_the_granted_scope() {
    let scene = signed_in_with(json!({ "scope": "openid" }));
    let reply = scene.get_token(&["--format", "json"]).json();
    assert_eq!(reply["scopes"], json!(["openid"]));
    // It is still the same session, which is identified by the requested scopes.
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_response_without_a_scope_grants_every_requested_scope() {
    let scene = signed_in_with(json!({ "scope": null }));
    let reply = scene.get_token(&["--format", "json"]).json();
    assert_eq!(reply["scopes"], json!(["openid", "offline_access"]));
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let scene = Scene::new();
    let body =
        json!({ "error": "incorrect_client_credentials", "error_description": "a\u{1b}[2Jb" });
    scene
        .provider
        .break_down(Endpoint::Code, Fault::json(200, &body));
    assert_rejected(&scene, &["incorrect_client_credentials"]);
}

#[test]
fn html_with_status_200_is_an_error() {
    let scene = Scene::new();
    scene.provider.break_down(Endpoint::Code, Fault::html(200));
    assert_rejected(&scene, &["not a json object"]);
}

#[test]
fn a_response_without_an_access_token_is_an_error() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.token_response = patch(json!({ "access_token": null })));
    assert_rejected(&scene, &["access_token"]);
}

#[test]
fn a_token_with_a_line_break_is_an_error() {
    for token in ["at\nx", "at\r\nX-Evil: 1", "at\u{0}", "ät", ""] {
        let scene = Scene::new();
        scene
            .provider
            .behave(|b| b.token_response = patch(json!({ "access_token": token })));
        assert_rejected(&scene, &["access_token"]);
    }
}

#[test]
fn a_body_of_10_megabytes_is_not_read() {
    let scene = Scene::new();
    let body = json!({ "access_token": "at-x", "token_type": "Bearer", "x": "y".repeat(10 << 20) });
    scene
        .provider
        .break_down(Endpoint::Code, Fault::json(200, &body));
    assert_rejected(&scene, &["larger"]);
}

#[test]
fn a_redirect_is_never_followed_with_credentials() {
    for status in [301, 302, 303, 307, 308] {
        let scene = Scene::new();
        let elsewhere = Provider::start();
        let to = elsewhere.url("/token");
        scene
            .provider
            .break_down(Endpoint::Code, Fault::Redirect { status, to });
        assert_rejected(&scene, &["redirect"]);
        assert_eq!(elsewhere.all_seen().len(), 0, "{status}");
    }
}

#[test]
fn a_truncated_response_is_an_error() {
    for fault in [Fault::LostAnswer, Fault::NoAnswer] {
        let scene = Scene::new();
        scene.provider.break_down(Endpoint::Code, fault);
        assert_rejected(&scene, &[]);
        assert_eq!(
            scene.provider.count(Endpoint::Code),
            1,
            "a code is sent once"
        );
    }
}

#[test]
fn a_hanging_token_endpoint_times_out() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    let gate = crate::provider::Gate::default();
    scene
        .provider
        .break_down(Endpoint::Code, Fault::Held(gate.clone()));
    let outcome = scene.get_token(&[]);
    outcome.fails_saying(1, &["127.0.0.1", "1 s"]);
    assert!(outcome.took < Duration::from_secs(20), "{outcome}");
    gate.open();
}

#[test]
fn token_endpoint_errors_are_reported() {
    for error in [
        "invalid_grant",
        "unauthorized_client",
        "invalid_target",
        "my_own_error",
    ] {
        let scene = Scene::new();
        let body = json!({ "error": error });
        scene
            .provider
            .break_down(Endpoint::Code, Fault::json(400, &body));
        assert_rejected(&scene, &[error]);
    }
}

#[test]
fn the_providers_message_is_shown_for_every_rejection() {
    let words = "AADSTS65001: The user has not consented.\r\nTrace ID: 7f\u{1b}[2J";
    let shown = "(aadsts65001: the user has not consented. trace id: 7f\\u{1b}[2j)";
    for (endpoint, arguments) in [
        (Endpoint::Code, &[][..]),
        (Endpoint::DeviceAuthorization, &["--flow", "device"]),
        (Endpoint::DevicePoll, &["--flow", "device"]),
        (Endpoint::PushedAuthorization, &[]),
    ] {
        for error in ["invalid_grant", "unauthorized_client"] {
            let scene = Scene::new();
            let url = scene.provider.url("/par");
            scene.provider.behave(|b| {
                b.device_response = patch(json!({ "interval": 1 }));
                if endpoint == Endpoint::PushedAuthorization {
                    b.metadata = patch(json!({
                        "pushed_authorization_request_endpoint": url,
                        "require_pushed_authorization_requests": true,
                    }));
                }
            });
            let body = json!({ "error": error, "error_description": words });
            scene.provider.break_down(endpoint, Fault::json(400, &body));
            let outcome = scene.get_token(arguments);
            outcome.fails_saying(1, &["cause: ", error, shown]);
        }
    }

    // A rejected refresh leads to a sign-in that says why.
    for (arguments, code) in [(&["--interactive", "never"][..], 3), (&[], 0)] {
        let (mut scene, _) = Scene::signed_in();
        scene.advance(4000);
        let body = json!({ "error": "invalid_grant", "error_description": words });
        scene
            .provider
            .break_down(Endpoint::Refresh, Fault::json(400, &body));
        let outcome = scene.get_token(arguments);
        assert_eq!(outcome.code, Some(code), "{outcome}");
        let stderr = outcome.stderr.to_lowercase();
        assert!(
            stderr.contains(&format!("invalid_grant {shown}")),
            "{outcome}"
        );
    }

    // A process that waits for another's sign-in reports it too.
    let scene = Scene::new();
    let gate = crate::provider::Gate::default();
    scene
        .provider
        .break_down(Endpoint::Authorize, Fault::Held(gate.clone()));
    let first = scene.start(&[]);
    scene.sandbox.wait_for_browser(1);
    let mut second = scene.start(&[]);
    second.wait_for_line(|line| line.contains("waiting for another"));
    let body = json!({ "error": "invalid_grant", "error_description": words });
    scene
        .provider
        .break_down(Endpoint::Code, Fault::json(400, &body));
    gate.open();
    for outcome in [first.wait(), second.wait()] {
        outcome.fails_saying(1, &["cause: ", shown]);
    }
}

#[test]
fn a_session_without_a_refresh_token_ends_with_its_access_token() {
    let mut scene = signed_in_with(json!({ "refresh_token": null }));
    scene.advance(4000);
    scene
        .get_token(&["--interactive", "never"])
        .fails_saying(3, &["expired", "hallpass login corp"]);
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 2);
}
