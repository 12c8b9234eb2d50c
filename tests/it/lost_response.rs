//! A refresh whose response is lost is retried exactly once.

use serde_json::json;

use crate::provider::{Endpoint, Fault, Gate, Rotation};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];
const NOT_LOST: &[&str] = &["nothing was lost"];

/// A scene with an expired token, at a provider with this kind of rotation.
fn expired(rotation: Rotation) -> Scene {
    let (mut scene, _) = Scene::signed_in();
    scene.provider.behave(|b| b.rotation = rotation);
    scene.advance(4000);
    scene
}

/// The refresh tokens that hallpass sent.
fn sent(scene: &Scene) -> Vec<String> {
    let seen = scene.provider.seen(Endpoint::Refresh);
    seen.iter()
        .map(|seen| seen.form("refresh_token").unwrap().to_owned())
        .collect()
}

/// The faults that keep a response from reaching the client.
fn losses() -> Vec<Fault> {
    vec![
        Fault::LostAnswer,
        Fault::NoAnswer,
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
        Fault::html(200),
        Fault::html(400),
    ]
}

#[test]
fn a_refresh_is_retried_once_with_the_same_token_after_a_lost_response() {
    for loss in losses() {
        let scene = expired(Rotation::Replay);
        scene
            .provider
            .break_down(Endpoint::Refresh, loss.clone().once());
        let outcome = scene.get_token(NEVER);
        assert_eq!(outcome.code, Some(0), "{loss:?}: {outcome}");
        let token = outcome.token();
        assert_eq!(scene.provider.owner(token).as_deref(), Some("alice"));
        let sent = sent(&scene);
        assert_eq!(sent.len(), 2, "{loss:?}");
        assert_eq!(sent[0], sent[1], "{loss:?}");
        assert_eq!(
            scene.get_token(NEVER).token(),
            token,
            "the token was not stored"
        );
    }
}

#[test]
fn a_retry_after_a_missing_response_stays_within_the_time_limit() {
    let mut scene = expired(Rotation::Replay);
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "4");
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held.once());
    let outcome = scene.get_token(NEVER);
    let token = outcome.token();
    assert_eq!(scene.provider.owner(token).as_deref(), Some("alice"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    gate.open();
}

#[test]
fn losing_the_response_twice_is_an_error_that_explains_the_consequence() {
    for loss in losses() {
        let scene = expired(Rotation::Off);
        scene.provider.break_down(Endpoint::Refresh, loss.clone());
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.code, Some(1), "{loss:?}: {outcome}");
        let stderr = outcome.fails_saying(
            1,
            &[
                "may already have replaced the refresh token",
                "sign in again",
            ],
        );
        for words in NOT_LOST {
            assert!(!stderr.contains(words), "{loss:?}: {outcome}");
        }
        assert_eq!(scene.provider.count(Endpoint::Refresh), 2, "{loss:?}");
        assert_eq!(scene.sandbox.opened().len(), 1, "{loss:?}");
        scene.provider.heal(Endpoint::Refresh);
        assert_eq!(scene.sessions()[0]["refreshable"], true, "{loss:?}");
    }
}

#[test]
fn other_failures_are_not_retried() {
    for fault in [
        Fault::RetryAfter {
            status: 503,
            seconds: 30,
        },
        Fault::RetryAfter {
            status: 429,
            seconds: 30,
        },
        Fault::status(500),
        Fault::status(429),
        Fault::status(404),
        Fault::json(400, &json!({ "error": "invalid_client" })),
        Fault::json(200, &json!({ "token_type": "Bearer" })),
        Fault::Redirect {
            status: 302,
            to: "http://127.0.0.1:1/".to_owned(),
        },
    ] {
        let scene = expired(Rotation::On);
        scene.provider.break_down(Endpoint::Refresh, fault.clone());
        let outcome = scene.get_token(NEVER);
        assert_eq!(outcome.code, Some(1), "{fault:?}: {outcome}");
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "{fault:?}");
        assert!(!outcome.stderr.contains("may already"), "{outcome}");
    }
}

#[test]
fn an_unreachable_server_gets_one_attempt() {
    let scene = expired(Rotation::On);
    // The metadata is cached, but nothing listens on this endpoint any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/token", port.local_addr().unwrap());
    drop(port);
    scene.provider.behave(|b| {
        b.metadata = crate::provider::patch(json!({ "token_endpoint": nowhere }));
    });
    let mut scene = scene;
    scene.advance(2 * 24 * 3600);
    let outcome = scene.get_token(NEVER);
    let stderr = outcome.fails_saying(1, &["cannot be reached"]);
    assert!(!stderr.contains("may already"), "{outcome}");
}

#[test]
fn without_a_grace_period_a_lost_response_costs_only_one_sign_in() {
    let scene = expired(Rotation::On);
    let once = Fault::LostAnswer.once();
    scene.provider.break_down(Endpoint::Refresh, once);
    // The provider has rotated the refresh token, and treats the old one as stolen.
    scene.get_token(NEVER).fails_with(3);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(scene.provider.take_violations().len(), 1);
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 2);
    assert_eq!(scene.get_token(NEVER).code, Some(0));
}

#[test]
fn twenty_concurrent_calls_recover_from_one_lost_response() {
    let scene = expired(Rotation::Replay);
    let once = Fault::LostAnswer.once();
    scene.provider.break_down(Endpoint::Refresh, once);
    let outcomes = scene.at_once(20, NEVER);
    for outcome in &outcomes {
        assert_eq!(outcome.token(), outcomes[0].token());
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
}
