//! The device authorization grant (RFC 8628).

use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, patch};
use crate::sandbox::Running;
use crate::scene::Scene;
use crate::wire;

const DEVICE: &[&str] = &["--flow", "device"];

/// Starts the flow, and waits until hallpass has requested a device code.
fn started(scene: &Scene) -> Running {
    let running = scene.start(DEVICE);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    running
}

/// The seconds before the first poll and between polls.
fn pauses(scene: &Scene) -> Vec<f64> {
    let mut moments = vec![scene.provider.seen(Endpoint::DeviceAuthorization)[0].at];
    moments.extend(
        scene
            .provider
            .seen(Endpoint::DevicePoll)
            .iter()
            .map(|seen| seen.at),
    );
    moments
        .windows(2)
        .map(|two| two[1].duration_since(two[0]).as_secs_f64())
        .collect()
}

#[test]
fn entering_the_code_on_another_device_signs_in() {
    let scene = Scene::new();
    let mut running = started(&scene);
    let address = scene.provider.url("/device");
    running.wait_for_line(|line| line.contains(&address));
    let code = running.wait_for_line(|line| line.split_whitespace().any(is_user_code));
    let code = code
        .split_whitespace()
        .find(|word| is_user_code(word))
        .unwrap()
        .to_owned();
    let form = format!("user_code={code}&user=alice&decision=sign-in");
    assert_eq!(
        wire::request("POST", &address, &[], Some(&form))
            .unwrap()
            .status,
        200
    );
    let outcome = running.wait();
    assert_eq!(
        scene.provider.owner(outcome.token()).as_deref(),
        Some("alice")
    );
    assert_eq!(scene.sandbox.opened().len(), 0);
    // The session is stored and refreshed like any other.
    scene.get_token(&["--interactive", "never"]).token();
}

fn is_user_code(word: &str) -> bool {
    word.len() == 9
        && word.as_bytes()[4] == b'-'
        && word.chars().all(|c| c == '-' || c.is_ascii_digit())
}

#[test]
fn the_device_secret_is_never_shown() {
    let scene = Scene::new();
    let running = scene.start(&["--flow", "device", "-vvv"]);
    scene.provider.wait_for(Endpoint::DevicePoll, 1);
    scene.provider.approve_devices("alice");
    let outcome = running.wait();
    outcome.succeeds();
    for (what, secret) in scene.provider.secrets() {
        assert!(!outcome.stderr.contains(&secret), "{what}: {outcome}");
    }
}

#[test]
fn declining_exits_with_4() {
    let scene = Scene::new();
    let running = started(&scene);
    scene.provider.decline_devices();
    running
        .wait()
        .fails_saying(4, &["declined", "hallpass login corp"]);
}

#[test]
fn an_expired_code_exits_with_4() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.device_polls = vec!["expired_token"]);
    started(&scene).wait().fails_with(4);
    assert_eq!(scene.provider.count(Endpoint::DevicePoll), 1);
}

#[test]
fn the_flow_ends_when_the_code_expires() {
    let scene = Scene::new();
    let short = json!({ "expires_in": 2 });
    scene.provider.behave(|b| b.device_response = patch(short));
    let outcome = started(&scene).wait();
    outcome.fails_with(4);
    assert!(outcome.took < Duration::from_secs(15), "{outcome}");
}

#[test]
fn an_unknown_error_ends_the_device_flow() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.device_polls = vec!["unauthorized_client"]);
    started(&scene)
        .wait()
        .fails_saying(1, &["unauthorized_client"]);
    assert_eq!(scene.provider.count(Endpoint::DevicePoll), 1);
}

#[test]
fn polls_respect_the_providers_interval() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.device_polls = vec!["authorization_pending"; 2]);
    let running = started(&scene);
    scene.provider.approve_devices("alice");
    running.wait().token();
    let pauses = pauses(&scene);
    assert_eq!(pauses.len(), 3);
    assert!(
        pauses.iter().skip(1).all(|pause| *pause > 0.95),
        "{pauses:?}"
    );
}

#[test]
fn the_default_polling_interval_is_five_seconds() {
    let scene = Scene::new();
    let silent = json!({ "interval": null });
    scene.provider.behave(|b| b.device_response = patch(silent));
    let running = started(&scene);
    scene.provider.approve_devices("alice");
    running.wait().token();
    let pauses = pauses(&scene);
    assert!(pauses[0] > 4.9, "{pauses:?}");
}

#[test]
fn an_interval_of_zero_does_not_cause_rapid_polling() {
    let scene = Scene::new();
    scene.provider.behave(|b| {
        b.device_response = patch(json!({ "interval": 0 }));
        b.device_polls = vec!["authorization_pending"];
    });
    let running = started(&scene);
    scene.provider.approve_devices("alice");
    running.wait().token();
    let pauses = pauses(&scene);
    assert!(pauses.iter().all(|pause| *pause > 0.95), "{pauses:?}");
}

#[test]
fn slow_down_adds_five_seconds_permanently() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.device_polls = vec!["slow_down", "authorization_pending"]);
    let running = started(&scene);
    scene.provider.approve_devices("alice");
    running.wait().token();
    let pauses = pauses(&scene);
    assert_eq!(pauses.len(), 3);
    assert!(pauses[1] > 5.9 && pauses[2] > 5.9, "{pauses:?}");
}

#[test]
fn polling_slows_down_after_a_network_failure() {
    let scene = Scene::new();
    scene
        .provider
        .break_down(Endpoint::DevicePoll, Fault::NoAnswer);
    let running = started(&scene);
    scene.provider.wait_for(Endpoint::DevicePoll, 1);
    scene.provider.heal(Endpoint::DevicePoll);
    scene.provider.approve_devices("alice");
    running.wait().token();
    let pauses = pauses(&scene);
    assert!(pauses[1] > 1.5, "{pauses:?}");
}

#[test]
fn an_unsupported_device_grant_is_an_error_that_suggests_the_browser() {
    let scene = Scene::new();
    let without = json!({ "device_authorization_endpoint": null });
    scene.provider.behave(|b| b.metadata = patch(without));
    scene.get_token(DEVICE).fails_saying(1, &["--flow browser"]);
}

#[test]
fn a_hostile_device_response_is_rejected_before_it_is_shown() {
    for change in [
        json!({ "verification_uri": "javascript:alert(1)" }),
        json!({ "verification_uri": null }),
        json!({ "device_code": null }),
        json!({ "user_code": null }),
        json!({ "user_code": "\u{1b}[2Jfake" }),
        json!({ "verification_uri": "http://evil.example/" }),
    ] {
        let scene = Scene::new();
        scene
            .provider
            .behave(|b| b.device_response = patch(change.clone()));
        let outcome = scene.get_token(DEVICE);
        outcome.fails_with(1);
        assert!(!outcome.stderr.contains('\u{1b}'), "{change}: {outcome}");
        assert_eq!(scene.provider.count(Endpoint::DevicePoll), 0, "{change}");
    }
}

#[test]
fn googles_name_for_the_verification_uri_is_accepted() {
    let scene = Scene::new();
    let address = scene.provider.url("/device");
    let named = json!({
        "verification_uri": null, "verification_uri_complete": null, "verification_url": address,
    });
    scene.provider.behave(|b| b.device_response = patch(named));
    let mut running = started(&scene);
    running.wait_for_line(|line| line.contains(&address));
    scene.provider.approve_devices("alice");
    running.wait().token();
}

#[test]
fn a_declined_device_sign_in_is_not_offered_again_for_a_while() {
    let scene = Scene::new();
    let running = started(&scene);
    scene.provider.decline_devices();
    running.wait().fails_with(4);
    scene.get_token(DEVICE).fails_with(4);
    assert_eq!(scene.provider.count(Endpoint::DeviceAuthorization), 1);
}

#[test]
fn a_different_person_at_the_device_is_rejected() {
    let (scene, token) = Scene::signed_in();
    let running = scene.sandbox.start(&["login", "corp", "--flow", "device"]);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    scene.provider.approve_devices("mallory");
    running.wait().fails_saying(1, &["alice", "mallory"]);
    assert_eq!(scene.get_token(&[]).token(), token);
    let sessions: Vec<Value> = scene.sessions();
    assert_eq!(sessions.len(), 1);
}
