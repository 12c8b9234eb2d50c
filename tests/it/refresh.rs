//! One refresh and one tab, however many calls run at the same time.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, Gate, Provider, Rotation, patch};
use crate::sandbox::{Outcome, files_below};
use crate::scene::Scene;
use crate::wire;

const NEVER: &[&str] = &["--interactive", "never"];

/// A scene with an expired token.
fn expired() -> Scene {
    let (mut scene, _) = Scene::signed_in();
    scene.advance(4000);
    scene
}

/// A scene whose token is still valid, but so close to expiry that hallpass tries to refresh it.
fn in_its_last_minute() -> (Scene, String) {
    let (mut scene, token) = Scene::signed_in();
    scene.advance(3570);
    (scene, token)
}

#[track_caller]
fn common_token(outcomes: &[Outcome]) -> String {
    let tokens: BTreeSet<_> = outcomes.iter().map(Outcome::token).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    (*tokens.first().unwrap()).to_owned()
}

// --- when ---

#[test]
fn a_token_is_used_until_a_minute_before_it_expires() {
    let (mut scene, token) = Scene::signed_in();
    scene.advance(3500);
    assert_eq!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    scene.advance(60);
    assert_ne!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_short_lived_token_is_used_for_nine_tenths_of_its_lifetime() {
    let mut scene = Scene::new();
    scene.provider.behave(|b| b.lifetime = 200);
    let token = scene.get_token(&[]).token().to_owned();
    scene.advance(160);
    assert_eq!(scene.get_token(NEVER).token(), token);
    scene.advance(30);
    assert_ne!(scene.get_token(NEVER).token(), token);
}

#[test]
fn a_clock_that_was_set_back_makes_a_token_stale() {
    let (mut scene, token) = Scene::signed_in();
    scene.advance(-30);
    assert_eq!(
        scene.get_token(NEVER).token(),
        token,
        "clocks differ a little"
    );
    scene.advance(-600);
    assert_ne!(scene.get_token(NEVER).token(), token);
}

// --- which refresh token ---

#[test]
fn a_slow_clock_does_not_cause_a_refresh_on_every_call() {
    for (behind, words) in [(-400, "6 min behind"), (-7500, "2 h behind")] {
        let mut scene = Scene::new();
        let none = patch(json!({ "id_token": null }));
        scene.provider.behave(|b| b.token_response = none);
        scene.get_token(&[]).succeeds();
        scene.provider.behave(|b| b.token_response.clear());
        // The clock was set back, so the token is stale and the new ID token is from the future.
        scene.sandbox.set("HALLPASS_TEST_CLOCK", behind.to_string());
        let token = scene.get_token(NEVER).token().to_owned();
        assert_eq!(scene.provider.owner(&token).as_deref(), Some("alice"));
        assert_eq!(scene.get_token(NEVER).token(), token);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);

        // The ID token is never returned.
        for _ in 0..3 {
            let no_id_token = scene.get_token(&["--token", "id", "--interactive", "never"]);
            no_id_token.fails_saying(1, &["clock", words]);
        }
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);

        // Once the clock is right, a refresh provides a usable ID token.
        scene.sandbox.set("HALLPASS_TEST_CLOCK", "0");
        scene
            .get_token(&["--token", "id", "--interactive", "never"])
            .token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
        assert_eq!(scene.sandbox.opened().len(), 1);
    }
}

#[test]
fn an_expired_id_token_of_a_different_person_is_still_rejected() {
    let (mut scene, _) = Scene::signed_in();
    scene.provider.behave(|b| {
        b.id_token.claims = patch(json!({ "sub": "sub-of-mallory", "iat": 4_000_000_000_u64 }));
    });
    scene.advance(4000);
    scene
        .get_token(NEVER)
        .fails_saying(1, &["belongs to alice"]);
}

#[test]
fn a_new_refresh_token_replaces_the_old() {
    let mut scene = expired();
    for count in 1..=3 {
        scene.get_token(NEVER).token();
        // The provider revokes the family if a used refresh token is sent again.
        assert_eq!(scene.provider.count(Endpoint::Refresh), count);
        scene.advance(4000);
    }
    let sent: BTreeSet<_> = scene
        .provider
        .seen(Endpoint::Refresh)
        .iter()
        .map(|seen| seen.form("refresh_token").unwrap().to_owned())
        .collect();
    assert_eq!(sent.len(), 3);
}

#[test]
fn without_a_new_refresh_token_the_old_one_is_kept() {
    let mut scene = expired();
    scene.provider.behave(|b| b.rotation = Rotation::Off);
    for _ in 0..2 {
        scene.get_token(NEVER).token();
        scene.advance(4000);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
}

// --- how often ---

#[test]
fn twenty_concurrent_processes_share_one_refresh() {
    let scene = expired();
    let outcomes = scene.at_once(20, NEVER);
    let token = common_token(&outcomes);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.owner(&token).as_deref(), Some("alice"));
}

#[test]
fn callers_wait_for_a_running_refresh() {
    let scene = expired();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let first = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    let others: Vec<_> = (0..5).map(|_| scene.start(NEVER)).collect();
    gate.open();
    let mut outcomes = vec![first.wait()];
    outcomes.extend(others.into_iter().map(|other| other.wait()));
    common_token(&outcomes);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_session_survives_twenty_concurrent_refreshes() {
    let mut scene = expired();
    common_token(&scene.at_once(20, NEVER));
    scene.advance(4000);
    common_token(&scene.at_once(20, NEVER));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_hanging_refresh_delays_other_callers_for_a_limited_time() {
    let mut scene = expired();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    for outcome in scene.at_once(3, NEVER) {
        outcome.fails_with(1);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
    // The provider considers the token used now.
    gate.open();
    scene.provider.take_violations();
}

// --- what fails ---

#[test]
fn after_a_failed_refresh_a_valid_token_is_still_returned() {
    let (mut scene, token) = in_its_last_minute();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    for fault in [
        Fault::status(503),
        Fault::html(200),
        Fault::json(200, &json!({ "error": "server_error" })),
        Fault::json(429, &json!({ "error": "slow_down" })),
        Fault::NoAnswer,
        Fault::Redirect {
            status: 302,
            to: scene.provider.url("/elsewhere"),
        },
    ] {
        scene.provider.break_down(Endpoint::Refresh, fault.clone());
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.token(), token, "{fault:?}");
        scene.end_pause();
    }
    scene.provider.heal(Endpoint::Refresh);
    assert_ne!(
        scene.get_token(&[]).token(),
        token,
        "the refresh token was kept"
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_failed_refresh_of_an_expired_token_is_an_error_and_opens_no_browser() {
    let mut scene = expired();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    for fault in [
        Fault::status(503),
        Fault::html(200),
        Fault::json(400, &json!({ "error": "invalid_client" })),
        Fault::json(200, &json!({ "token_type": "Bearer" })),
        Fault::NoAnswer,
        Fault::Redirect {
            status: 307,
            to: scene.provider.url("/elsewhere"),
        },
    ] {
        scene.provider.break_down(Endpoint::Refresh, fault.clone());
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.code, Some(1), "{fault:?}: {outcome}");
        outcome.fails_with(1);
        scene.end_pause();
    }
    scene.provider.heal(Endpoint::Refresh);
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_used_refresh_token_leads_to_a_sign_in() {
    let scene = expired();
    scene.provider.revoke_everything();
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_used_refresh_token_is_removed_and_sent_only_once() {
    let scene = expired();
    scene.provider.revoke_everything();
    for _ in 0..2 {
        scene
            .get_token(NEVER)
            .fails_saying(3, &["hallpass login corp"]);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sessions()[0]["refreshable"], false);
    assert_eq!(
        scene.sessions()[0]["subject"],
        "sub-of-alice",
        "who it is stays known"
    );
}

#[test]
fn a_valid_access_token_survives_a_used_refresh_token() {
    let (scene, token) = in_its_last_minute();
    let spent = json!({ "error": "invalid_grant" });
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::json(400, &spent));
    assert_eq!(scene.get_token(NEVER).token(), token);
}

/// The errors, besides `invalid_grant`, with which servers reject a refresh token.
fn refusals() -> Vec<Fault> {
    let mut refusals = vec![Fault::Answer {
        status: 400,
        content_type: "text/plain",
        body: String::new(),
    }];
    for (status, code) in [
        (400, "invalid_request"),
        (200, "bad_refresh_token"),
        (400, "interaction_required"),
        (400, "login_required"),
        (401, "invalid_token"),
        (400, "unauthorized_client"),
        (403, "access_denied"),
        (200, "invalid_grant"),
        (403, "invalid_grant"),
    ] {
        refusals.push(Fault::json(status, &json!({ "error": code })));
    }
    refusals
}

#[test]
fn every_definite_rejection_leads_to_a_sign_in_and_the_token_is_not_sent_again() {
    for refusal in refusals() {
        let scene = expired();
        scene
            .provider
            .break_down(Endpoint::Refresh, refusal.clone());
        for _ in 0..2 {
            let outcome = scene.get_token(NEVER);
            assert_eq!(outcome.code, Some(3), "{refusal:?}: {outcome}");
            outcome.fails_saying(3, &["refused to refresh it", "hallpass login corp"]);
        }
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "{refusal:?}");
        scene.provider.heal(Endpoint::Refresh);
        scene.get_token(NEVER).fails_with(3);
        let sent = scene.provider.seen(Endpoint::Refresh);
        let sent = sent[0].form("refresh_token").unwrap().to_owned();
        assert_eq!(scene.sessions()[0]["refreshable"], false);
        scene.get_token(&[]).token();
        assert_eq!(scene.sandbox.opened().len(), 2, "{refusal:?}");
        assert_eq!(scene.sessions()[0]["refreshable"], true);
        // The new session replaced the old one, which leaves nothing to revoke.
        scene.sandbox.run(&["logout", "corp"]).succeeds();
        for revoked in scene.provider.seen(Endpoint::Revocation) {
            assert_ne!(revoked.form("token"), Some(&*sent), "{refusal:?}");
        }
    }
}

#[test]
fn a_rejected_refresh_token_is_kept_for_revocation_unless_it_is_invalid() {
    for (status, code, stays) in [
        (400, "invalid_request", true),
        (200, "invalid_grant", true),
        (400, "invalid_grant", false),
        (401, "invalid_grant", false),
    ] {
        let scene = expired();
        let refusal = Fault::json(status, &json!({ "error": code }));
        scene.provider.break_down(Endpoint::Refresh, refusal);
        scene.get_token(NEVER).fails_with(3);
        let sent = scene.provider.seen(Endpoint::Refresh);
        let sent = sent[0].form("refresh_token").unwrap().to_owned();
        scene.sandbox.run(&["logout", "corp"]).succeeds();
        let revoked = scene.provider.seen(Endpoint::Revocation);
        let is_revoked = revoked
            .iter()
            .any(|seen| seen.form("token") == Some(&*sent));
        assert_eq!(is_revoked, stays, "{status} {code}");
    }
}

#[test]
fn a_rejected_refresh_opens_no_tab_while_the_access_token_is_valid() {
    for refusal in [
        Fault::json(400, &json!({ "error": "invalid_grant" })),
        Fault::json(400, &json!({ "error": "invalid_request" })),
    ] {
        let (mut scene, token) = in_its_last_minute();
        scene.provider.break_down(Endpoint::Refresh, refusal);
        for _ in 0..3 {
            assert_eq!(scene.get_token(&[]).token(), token);
        }
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        assert_eq!(scene.sandbox.opened().len(), 1);
        scene.advance(60);
        assert_ne!(scene.get_token(&[]).token(), token);
        assert_eq!(scene.sandbox.opened().len(), 2);
    }
}

#[test]
fn a_failure_is_not_a_rejection_and_opens_no_browser() {
    for fault in [
        Fault::json(401, &json!({ "error": "invalid_client" })),
        Fault::json(400, &json!({ "error": "unsupported_grant_type" })),
        Fault::json(400, &json!({ "error": "temporarily_unavailable" })),
        Fault::json(400, &json!({ "error": "slow_down" })),
        Fault::json(400, &json!({ "error": "use_dpop_nonce" })),
        Fault::json(404, &json!({ "error": "invalid_grant" })),
        Fault::json(429, &json!({ "error": "invalid_grant" })),
        Fault::json(500, &json!({ "error": "invalid_grant" })),
        Fault::status(407),
        Fault::status(408),
        Fault::status(403),
        Fault::html(400),
    ] {
        let scene = expired();
        scene.provider.break_down(Endpoint::Refresh, fault.clone());
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.code, Some(1), "{fault:?}: {outcome}");
        assert_eq!(scene.sandbox.opened().len(), 1, "{fault:?}");
        assert_eq!(scene.sessions()[0]["refreshable"], true, "{fault:?}");
    }
}

#[test]
fn a_refresh_token_is_not_sent_to_a_newly_configured_endpoint() {
    let mut scene = expired();
    let elsewhere = Provider::start();
    let issuer = elsewhere.issuer();
    scene.configure(&format!("issuer = {issuer:?}"));
    scene.get_token(NEVER).fails_with(3);
    assert_eq!(elsewhere.count(Endpoint::Refresh), 0);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

// --- a crash, a full disk ---

#[test]
fn a_crash_during_a_refresh_costs_at_most_one_sign_in() {
    let scene = expired();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let crashing = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    drop(crashing); // Kills it.
    scene.provider.heal(Endpoint::Refresh);
    // The provider hasn't rotated yet, as if it had a grace period: the stored token still works,
    // and no lock is left behind.
    scene.get_token(NEVER).token();
    // Now the provider handles the first request, whose token has been used in the meantime.
    gate.open();
    assert_eq!(scene.sandbox.opened().len(), 1);
    crate::sandbox::wait_for("the late request to be noticed", || {
        (!scene.provider.take_violations().is_empty()).then_some(())
    });
}

/// Simulates a full disk with a shell whose children can create files but not write to them.
#[cfg(unix)]
fn on_a_full_disk(scene: &Scene, count: usize, arguments: &[&str]) -> Vec<Outcome> {
    let running: Vec<_> = (0..count)
        .map(|_| {
            let mut shell = scene
                .sandbox
                .surround(std::process::Command::new("/bin/sh"));
            shell
                .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
                .arg(env!("CARGO_BIN_EXE_hallpass"))
                .args(["get-token", "corp"])
                .args(arguments);
            crate::sandbox::Running::new(shell, arguments)
        })
        .collect();
    running
        .into_iter()
        .map(crate::sandbox::Running::wait)
        .collect()
}

#[cfg(unix)]
#[test]
fn twenty_concurrent_calls_on_a_full_disk_send_and_lose_nothing() {
    let scene = expired();
    for outcome in on_a_full_disk(&scene, 20, NEVER) {
        outcome.fails_with(1);
    }
    let sent = scene.provider.count(Endpoint::Refresh);
    assert_eq!(sent, 0, "space for the response must be reserved first");
    common_token(&scene.at_once(20, NEVER));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_valid_token_is_returned_on_a_full_disk() {
    let (scene, token) = in_its_last_minute();
    for outcome in on_a_full_disk(&scene, 3, NEVER) {
        assert_eq!(outcome.token(), token);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

#[cfg(unix)]
#[test]
fn a_full_disk_opens_no_browser() {
    let scene = Scene::new();
    for outcome in on_a_full_disk(&scene, 1, &[]) {
        outcome.fails_with(1);
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[cfg(unix)]
#[test]
fn a_token_that_cannot_be_stored_is_still_returned_with_a_warning() {
    let scene = expired();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let running = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    // The space reserved for the response disappears, and no new files can be created.
    let reserved: Vec<_> = files_below(&scene.sandbox.data_dir())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
        .collect();
    assert_eq!(reserved.len(), 1, "{reserved:?}");
    fs::remove_file(&reserved[0]).unwrap();
    let sessions = scene.sandbox.data_dir().join("sessions");
    let away = sessions.with_extension("away");
    fs::rename(&sessions, &away).unwrap();
    fs::write(&sessions, "").unwrap();
    gate.open();
    let outcome = running.wait();
    fs::remove_file(&sessions).unwrap();
    fs::rename(&away, &sessions).unwrap();
    let token = outcome.token();
    assert!(scene.provider.owner(token).is_some());
    assert!(outcome.stderr.contains("warning"), "{outcome}");
    // The old refresh token is still stored, and the provider treats it as stolen.
    scene.get_token(NEVER).fails_with(3);
    assert_eq!(scene.provider.take_violations().len(), 1);
}

// --- forced ---

#[test]
fn a_forced_refresh_happens_once_in_five_minutes() {
    let (mut scene, old) = Scene::signed_in();
    let new = scene.get_token(&["--force-refresh"]).token().to_owned();
    assert_ne!(new, old);
    assert_eq!(scene.get_token(&[]).token(), new);
    assert_eq!(
        scene.get_token(&["--force-refresh"]).token(),
        new,
        "a moment ago"
    );
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.advance(310);
    assert_ne!(scene.get_token(&["--force-refresh"]).token(), new);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
}

#[test]
fn twenty_concurrent_forced_refreshes_make_one_request() {
    let (scene, old) = Scene::signed_in();
    let new = common_token(&scene.at_once(20, &["--force-refresh", "--interactive", "never"]));
    assert_ne!(new, old);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_failed_forced_refresh_does_not_withhold_the_token_from_others() {
    let (scene, old) = Scene::signed_in();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::status(503));
    // The resource that rejected the token never gets it again, but others do.
    let refused = scene.get_token(&["--force-refresh"]);
    refused.fails_with(1);
    assert_eq!(scene.get_token(&[]).token(), old);
    scene.provider.heal(Endpoint::Refresh);
    scene.end_pause();
    assert_ne!(scene.get_token(&["--force-refresh"]).token(), old);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

/// A session that can't be refreshed, and its token.
fn unrefreshable() -> (Scene, String) {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.token_response = patch(json!({ "refresh_token": null })));
    let token = scene.get_token(&[]).token().to_owned();
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 0);
    (scene, token)
}

#[test]
fn a_rejected_token_without_a_refresh_token_is_kept_if_the_provider_accepts_it() {
    let (mut scene, token) = unrefreshable();
    for _ in 0..3 {
        scene
            .get_token(&["--force-refresh"])
            .fails_saying(1, &["the token is valid", "does not accept it", "scopes"]);
        assert_eq!(scene.get_token(&[]).token(), token);
    }
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
    scene.advance(310);
    scene.get_token(&["--force-refresh"]).fails_with(1);
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 2);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_rejected_token_without_a_refresh_token_leads_to_a_sign_in_if_the_provider_rejects_it() {
    let (scene, token) = unrefreshable();
    scene.provider.revoke_everything();
    let never = ["--force-refresh", "--interactive", "never"];
    scene.get_token(&never).fails_with(3);
    // The provider itself rejected the token, so no resource gets it.
    scene.get_token(NEVER).fails_with(3);
    assert_ne!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_rejected_token_that_the_provider_cannot_check_leads_to_one_sign_in() {
    let (mut scene, token) = unrefreshable();
    scene
        .provider
        .break_down(Endpoint::UserInfo, Fault::status(404));
    scene.sandbox.browser_will("decline");
    scene.get_token(&["--force-refresh"]).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 2);
    // Long after the pause, it is still the same token.
    scene.advance(1000);
    scene.get_token(&["--force-refresh"]).fails_with(3);
    assert_eq!(scene.sandbox.opened().len(), 2);
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
}

#[test]
fn without_userinfo_introspection_identifies_the_person() {
    let introspection = |scene: &Scene| scene.provider.count(Endpoint::Introspection);
    let start = || {
        let scene = Scene::new();
        let url = scene.provider.url("/introspect");
        scene.provider.behave(|b| {
            b.token_response = patch(json!({ "refresh_token": null }));
            b.metadata = patch(json!({ "userinfo_endpoint": null, "introspection_endpoint": url }));
        });
        let token = scene.get_token(&[]).token().to_owned();
        (scene, token)
    };
    let never = ["--force-refresh", "--interactive", "never"];

    let (scene, token) = start();
    let valid = scene.get_token(&never);
    valid.fails_saying(1, &["the token is valid"]);
    assert_eq!(scene.get_token(NEVER).token(), token);
    assert_eq!(introspection(&scene), 1);

    let (scene, _) = start();
    scene.provider.revoke_everything();
    scene.get_token(&never).fails_with(3);
    scene.get_token(NEVER).fails_with(3);
    assert_eq!(introspection(&scene), 1);

    // A public client often may not introspect tokens, so an error says nothing about the token.
    let (scene, token) = start();
    let fault = Fault::json(401, &json!({ "error": "invalid_client" }));
    scene.provider.break_down(Endpoint::Introspection, fault);
    scene.get_token(&never).fails_with(3);
    assert_eq!(scene.get_token(NEVER).token(), token);
    assert_eq!(introspection(&scene), 1);
}

#[test]
fn a_valid_token_that_cannot_be_refreshed_is_withheld_only_from_the_rejecting_resource() {
    let (scene, token) = Scene::signed_in();
    let fault = Fault::json(400, &json!({ "error": "invalid_grant" }));
    scene.provider.break_down(Endpoint::Refresh, fault);
    scene
        .get_token(&["--force-refresh"])
        .fails_saying(1, &["the token is valid"]);
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn an_outage_does_not_cause_a_sign_in() {
    let (scene, token) = unrefreshable();
    scene
        .provider
        .break_down(Endpoint::UserInfo, Fault::status(503));
    scene.get_token(&["--force-refresh"]).fails_with(1);
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- one tab ---

#[test]
fn twenty_callers_without_a_session_share_one_sign_in() {
    let scene = Scene::new();
    common_token(&scene.at_once(20, &[]));
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
}

#[test]
fn declining_fails_all_of_twenty_callers_with_one_browser() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    for outcome in scene.at_once(20, &[]) {
        outcome.fails_saying(4, &["declined"]);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn twenty_callers_without_a_completed_sign_in_open_one_browser_and_fail() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "2");
    for outcome in scene.at_once(20, &[]) {
        outcome.fails_with(4);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_waiting_caller_says_so_and_shares_the_result() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    let leader = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let mut follower = scene.start(&[]);
    let line = follower.wait_for_line(|line| line.contains("waiting"));
    assert!(line.contains("corp") && line.contains("process "), "{line}");
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    assert_eq!(leader.wait().token(), follower.wait().token());
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// On Windows, a sign-in ends with its caller.
#[cfg(unix)]
#[test]
fn a_caller_that_dies_leaves_the_sign_in_to_the_waiting_callers() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    let first = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let mut second = scene.start(&[]);
    second.wait_for_line(|line| line.contains("waiting"));
    drop(first); // Kills it.
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    second.wait().token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_non_interactive_caller_does_not_wait_for_a_sign_in() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    let leader = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    scene
        .get_token(NEVER)
        .fails_saying(3, &["hallpass login corp"]);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    leader.wait().token();
}

#[test]
fn a_refresh_does_not_wait_for_a_sign_in() {
    let mut scene = expired();
    scene.sandbox.browser_will("ignore");
    let login = scene.sandbox.start(&["login", "corp"]);
    let url = scene.sandbox.wait_for_browser(2);
    scene.get_token(NEVER).token();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    login.wait().succeeds();
}

#[test]
fn a_declined_sign_in_is_not_offered_again_for_five_minutes() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    scene.get_token(&[]).fails_with(4);
    scene.sandbox.browser_will("sign-in");
    scene
        .get_token(&[])
        .fails_saying(4, &["declined", "hallpass login corp"]);
    scene.advance(280);
    scene.get_token(&[]).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 1);
    scene.advance(30);
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_sign_in_that_timed_out_is_offered_again_after_a_minute() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
    scene.get_token(&[]).fails_with(4);
    scene.advance(50);
    scene.get_token(&[]).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 1);
    scene.advance(15);
    scene.get_token(&[]).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 2);
    // After two in a row, the user has to start the sign-in.
    scene.advance(30 * 24 * 3600);
    scene.get_token(&[]).fails_saying(
        4,
        &["the last two sign-ins timed out", "hallpass login corp"],
    );
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn after_two_sign_ins_that_timed_out_a_login_ends_the_pause() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
    for _ in 0..2 {
        scene.get_token(&[]).fails_with(4);
        scene.advance(3600);
    }
    // Even an unanswered `login` shows that the user is present.
    scene.login(&[]).fails_with(4);
    scene.advance(3600);
    scene.sandbox.browser_will("sign-in");
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "60");
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 4);
}

#[test]
fn an_explicit_login_ends_the_pause() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    scene.get_token(&[]).fails_with(4);
    scene.sandbox.browser_will("sign-in");
    scene.login(&[]).succeeds();
    scene.get_token(NEVER).token();
}

#[test]
fn other_accounts_are_not_paused() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    scene.get_token(&[]).fails_with(4);
    scene.sandbox.browser_will("sign-in");
    scene.add_account("work");
}

// --- not interactive ---

#[test]
fn non_interactive_calls_open_no_browser_and_print_the_command_to_run() {
    let mut scene = Scene::new();
    for round in 0..2 {
        let outcome = if round == 0 {
            scene.get_token(NEVER)
        } else {
            scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
            scene.get_token(&[])
        };
        let stderr = outcome.fails_saying(3, &["hallpass login corp"]);
        assert_eq!(
            stderr
                .lines()
                .filter(|line| line.contains("hint: "))
                .count(),
            1
        );
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
    assert_eq!(
        scene.provider.all_seen().len(),
        0,
        "nobody is asked about it either"
    );
}

#[test]
fn non_interactive_calls_still_refresh() {
    let scene = expired();
    scene.get_token(NEVER).token();
}

// --- logout ---

#[test]
fn a_logout_waits_for_a_running_refresh_and_removes_everything() {
    let scene = expired();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let refreshing = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    let logout = scene.sandbox.start(&["logout", "corp"]);
    gate.open();
    let refreshed = refreshing.wait();
    logout.wait().succeeds();
    assert!(scene.sessions().is_empty());
    // Whichever came first, no token survives the logout.
    if refreshed.code == Some(0) {
        assert_eq!(scene.provider.owner(refreshed.token()), None);
    }
    scene.get_token(NEVER).fails_with(3);
}

#[test]
fn a_refresh_that_ends_after_logout_stores_nothing_and_revokes_its_tokens() {
    let scene = expired();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let refreshing = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    let sessions = scene.sandbox.data_dir().join("sessions");
    for record in files_below(&sessions) {
        if record.extension().is_none() {
            fs::remove_file(record).unwrap();
        }
    }
    gate.open();
    refreshing.wait().fails_with(1);
    assert!(scene.sessions().is_empty());
    for (what, secret) in scene.provider.secrets() {
        if what == "access token" {
            assert_eq!(scene.provider.owner(&secret), None);
        }
    }
}

#[test]
fn only_records_and_locks_are_left_behind() {
    let scene = expired();
    scene.at_once(20, NEVER);
    let names: Vec<String> = files_below(&scene.sandbox.data_dir())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let temporary: Vec<_> = names.iter().filter(|name| name.contains("tmp")).collect();
    assert_eq!(temporary, [""; 0], "{names:#?}");
    let expected: Value = json!(1);
    assert_eq!(json!(scene.sessions().len()), expected);
}

// --- failures after the token was issued ---

/// Holds the lock of the only stored session.
fn held(scene: &Scene, ending: &str) -> fs::File {
    let locks: Vec<_> = files_below(&scene.sandbox.data_dir())
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .filter(|path| path.to_string_lossy().contains("sessions"))
        .filter(|path| ending != ".lock" || !path.to_string_lossy().contains(".login."))
        .collect();
    assert_eq!(locks.len(), 1, "{locks:?}");
    let lock = fs::File::options().write(true).open(&locks[0]).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_waiting_caller_does_not_use_the_result_of_an_older_sign_in() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"openid\"]");
    let old = scene.get_token(&[]).token().to_owned();
    scene.advance(4000);
    // Another process that holds the lock, and exits before it opens a browser.
    let lock = held(&scene, ".login.lock");
    let mut waiting = scene.start(&[]);
    waiting.wait_for_line(|line| line.contains("waiting for another hallpass"));
    drop(lock);
    let outcome = waiting.wait();
    assert_ne!(outcome.token(), old, "the expired token was returned");
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_sign_in_returns_a_token_although_its_result_cannot_be_recorded() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("linger");
    let running = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let attempts = scene.sandbox.data_dir().join("attempts");
    fs::rename(&attempts, attempts.with_extension("away")).unwrap();
    fs::write(&attempts, "no folder").unwrap();
    crate::wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    running.wait().token();
    scene.sandbox.dismiss_browser();
    fs::remove_file(&attempts).unwrap();
    fs::rename(attempts.with_extension("away"), &attempts).unwrap();
    assert_eq!(scene.sessions().len(), 1);
}

#[test]
fn a_sign_in_returns_a_token_although_its_record_stays_locked() {
    let (mut scene, _) = Scene::signed_in();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    let _lock = held(&scene, ".lock");
    let outcome = scene.get_token(&[]);
    outcome.token();
    assert!(outcome.stderr.contains("could not be saved"), "{outcome}");
    assert!(outcome.took.as_secs() < 20, "{outcome}");
}
