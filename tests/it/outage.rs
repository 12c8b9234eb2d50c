//! Provider outages: callers don't queue up, and share the failure that one of them received.

use serde_json::json;

use crate::provider::{Endpoint, Fault, Gate, Rotation};
use crate::sandbox::Outcome;
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

fn expired() -> Scene {
    let (mut scene, _) = Scene::signed_in();
    scene.provider.behave(|b| b.rotation = Rotation::Replay);
    scene.advance(4000);
    scene
}

/// A scene whose token is still valid, but so close to expiry that hallpass tries to refresh it.
fn in_its_last_minute() -> (Scene, String) {
    let (mut scene, token) = Scene::signed_in();
    scene.provider.behave(|b| b.rotation = Rotation::Replay);
    scene.advance(3570);
    (scene, token)
}

#[track_caller]
fn all_fail(outcomes: &[Outcome]) {
    for outcome in outcomes {
        outcome.fails_with(1);
    }
}

#[test]
fn a_valid_token_is_returned_while_another_process_refreshes_it() {
    let (scene, token) = in_its_last_minute();
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    let refreshing = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    // The gate is closed, so a caller that waited for the refresh would never return.
    for outcome in scene.at_once(5, NEVER) {
        assert_eq!(outcome.token(), token);
    }
    for arguments in [&["--format", "json"][..], &["--token", "id"]] {
        scene.get_token(&[NEVER, arguments].concat()).succeeds();
    }
    gate.open();
    let fresh = refreshing.wait();
    assert_ne!(fresh.token(), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.get_token(NEVER).token(), fresh.token());
}

#[test]
fn a_forced_refresh_waits_for_a_running_one_even_if_the_token_is_valid() {
    let (scene, token) = Scene::signed_in();
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    let force = [NEVER, &["--force-refresh"]].concat();
    let first = scene.start(&force);
    gate.wait_for_arrivals(1);
    let second = scene.start(&force);
    gate.open();
    let fresh = first.wait();
    assert_ne!(fresh.token(), token);
    assert_eq!(second.wait().token(), fresh.token());
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn twenty_callers_of_a_failing_provider_make_one_request() {
    for (fault, requests) in [
        (
            Fault::RetryAfter {
                status: 503,
                seconds: 60,
            },
            1,
        ),
        (
            Fault::RetryAfter {
                status: 429,
                seconds: 60,
            },
            1,
        ),
    ] {
        let scene = expired();
        scene.provider.break_down(Endpoint::Refresh, fault.clone());
        let outcomes = scene.at_once(20, &[]);
        all_fail(&outcomes);
        assert_eq!(
            scene.provider.count(Endpoint::Refresh),
            requests,
            "{fault:?}"
        );
        assert_eq!(scene.sandbox.opened().len(), 1, "a browser opened");
        let shared = outcomes
            .iter()
            .filter(|outcome| outcome.stderr.contains("will not try again"));
        assert_eq!(shared.count(), 19, "{fault:?}");
    }
}

#[test]
fn callers_waiting_for_a_refresh_share_its_failure() {
    let mut scene = expired();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "4");
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    // An attempt takes two requests of two seconds each, so all other callers arrive before it ends.
    let outcomes = scene.at_once(8, NEVER);
    all_fail(&outcomes);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    let told = outcomes
        .iter()
        .filter(|outcome| outcome.stderr.contains("did not answer within 4 s"));
    assert_eq!(told.count(), 8, "every caller must report the failure");
    // Both requests are answered at the same moment now, so no provider could mistake the second
    // for a replay.
    scene.provider.behave(|b| b.rotation = Rotation::Off);
    gate.open();
}

#[test]
fn retry_after_is_honoured_until_a_refresh_succeeds() {
    let mut scene = expired();
    let busy = Fault::RetryAfter {
        status: 429,
        seconds: 300,
    };
    scene.provider.break_down(Endpoint::Refresh, busy);
    scene.get_token(NEVER).fails_with(1);
    scene.provider.heal(Endpoint::Refresh);
    scene.advance(290);
    scene.get_token(NEVER).fails_saying(
        1,
        &[
            "will not try again for",
            "status 429",
            "run the command again in",
        ],
    );
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.advance(15);
    scene.get_token(NEVER).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    scene.advance(4000);
    scene.get_token(NEVER).token();
}

#[test]
fn retries_back_off_and_a_valid_token_is_returned_meanwhile() {
    let (mut scene, token) = in_its_last_minute();
    let broken = Fault::json(500, &json!({ "error": "server_error" }));
    scene.provider.break_down(Endpoint::Refresh, broken);
    // The pauses are 2, 4 and 8 seconds. Check at times where a delay of a few seconds on a busy
    // machine doesn't matter.
    for (seconds, requests) in [(0, 1), (3, 2), (5, 3), (1, 3)] {
        scene.advance(seconds);
        assert_eq!(scene.get_token(&[]).token(), token);
        assert_eq!(scene.provider.count(Endpoint::Refresh), requests);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_new_sign_in_ends_the_pause() {
    let mut scene = expired();
    let busy = Fault::RetryAfter {
        status: 503,
        seconds: 3000,
    };
    scene.provider.break_down(Endpoint::Refresh, busy);
    scene.get_token(NEVER).fails_with(1);
    scene.provider.heal(Endpoint::Refresh);
    scene.provider.behave(|b| b.lifetime = 100);
    scene.login(&[]).succeeds();
    scene.advance(200);
    scene.get_token(NEVER).token();
}

#[test]
fn other_sessions_are_not_paused() {
    let mut scene = expired();
    let busy = Fault::RetryAfter {
        status: 503,
        seconds: 3000,
    };
    scene.provider.break_down(Endpoint::Refresh, busy);
    scene.get_token(NEVER).fails_with(1);
    scene.provider.heal(Endpoint::Refresh);
    scene.login(&["--account", "work"]).succeeds();
    scene.advance(4000);
    let work = [NEVER, &["--account", "work"]].concat();
    scene.get_token(&work).token();
}
