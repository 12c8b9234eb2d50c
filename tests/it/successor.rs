//! If the response to a refresh is unusable, its new refresh token is still stored.
//!
//! The provider rotates refresh tokens and revokes the family if an old one is sent again, which fails
//! the scene. So each test proves that the new refresh token was sent and not the old one.

use serde_json::{Value, json};

use crate::provider::{Behaviour, Endpoint, Fault, Signature, patch};
use crate::sandbox::files_below;
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

/// A change that makes a response unusable.
type Change = Box<dyn Fn(&mut Behaviour)>;

fn response(change: Value) -> Change {
    Box::new(move |b| b.token_response = patch(change.clone()))
}

fn claims(change: Value) -> Change {
    Box::new(move |b| b.id_token.claims = patch(change.clone()))
}

/// Everything that can be wrong with a response that has a readable refresh token.
fn unfit_responses() -> Vec<(&'static str, Change)> {
    vec![
        ("no access token", response(json!({ "access_token": null }))),
        (
            "an empty access token",
            response(json!({ "access_token": "" })),
        ),
        (
            "a number as access token",
            response(json!({ "access_token": 7 })),
        ),
        (
            "an access token with a line break",
            response(json!({ "access_token": "a\nb" })),
        ),
        (
            "another token type",
            response(json!({ "token_type": "mac" })),
        ),
        (
            "a number as token type",
            response(json!({ "token_type": 1 })),
        ),
        ("a list as ID token", response(json!({ "id_token": [] }))),
        (
            "an ID token that is none",
            response(json!({ "id_token": "x.y.z" })),
        ),
        (
            "an ID token with a line break",
            response(json!({ "id_token": "a\nb" })),
        ),
        (
            "the error of a server",
            response(json!({ "error": "server_error" })),
        ),
        (
            "a broken signature",
            Box::new(|b| b.id_token.signature = Signature::Broken),
        ),
        (
            "no signature",
            Box::new(|b| b.id_token.signature = Signature::None),
        ),
        (
            "HS256",
            Box::new(|b| b.id_token.signature = Signature::Hs256),
        ),
        (
            "another issuer",
            claims(json!({ "iss": "https://evil.example" })),
        ),
        ("another audience", claims(json!({ "aud": "another" }))),
        ("no audience", claims(json!({ "aud": null }))),
        ("another nonce", claims(json!({ "nonce": "another" }))),
        ("another person", claims(json!({ "sub": "sub-of-mallory" }))),
        ("no person", claims(json!({ "sub": null }))),
        (
            "another access token's hash",
            claims(json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" })),
        ),
    ]
}

fn heal(scene: &Scene) {
    scene.provider.behave(|b| {
        let honest = Behaviour::default();
        b.token_response = honest.token_response;
        b.id_token = honest.id_token;
    });
}

/// The refresh tokens that were sent, in order.
fn sent(scene: &Scene) -> Vec<String> {
    let seen = scene.provider.seen(Endpoint::Refresh);
    seen.iter()
        .map(|seen| seen.form("refresh_token").unwrap().to_owned())
        .collect()
}

#[test]
fn a_readable_new_refresh_token_is_stored_despite_other_faults() {
    for (what, change) in unfit_responses() {
        let (mut scene, _) = Scene::signed_in();
        scene.advance(4000);
        scene.provider.behave(|b| change(b));
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.code, Some(1), "{what}: {outcome}");
        outcome.fails_with(1);
        assert_eq!(scene.sandbox.opened().len(), 1, "{what}: no browser opens");
        assert_eq!(scene.sessions()[0]["unverified"], true, "{what}");
        assert_eq!(scene.sessions()[0]["subject"], "sub-of-alice", "{what}");
        heal(&scene);
        scene.advance(70);
        let token = scene.get_token(NEVER).token().to_owned();
        assert_eq!(scene.provider.owner(&token).as_deref(), Some("alice"));
        let sent = sent(&scene);
        assert_eq!(sent.len(), 2, "{what}");
        assert_ne!(sent[0], sent[1], "{what}: the successor was sent");
        assert_eq!(scene.sessions()[0]["unverified"], false, "{what}");
        assert_eq!(scene.get_token(NEVER).token(), token, "{what}");
    }
}

#[test]
fn two_unusable_responses_in_a_row_lead_to_a_sign_in() {
    for (what, change) in unfit_responses() {
        if what == "the error of a server" {
            continue; // Always a failure, however often it happens.
        }
        let (mut scene, _) = Scene::signed_in();
        scene.advance(4000);
        scene.provider.behave(|b| change(b));
        scene.get_token(&[]).fails_with(1);
        scene.advance(70);
        let outcome = scene.get_token(NEVER);
        assert_eq!(outcome.code, Some(3), "{what}: {outcome}");
        outcome.fails_saying(3, &["hallpass login corp"]);
        scene.get_token(NEVER).fails_with(3);
        assert_eq!(sent(&scene).len(), 2, "{what}");
        heal(&scene);
        let token = scene.get_token(&[]).token().to_owned();
        assert_eq!(scene.sandbox.opened().len(), 2, "{what}");
        assert_eq!(scene.get_token(NEVER).token(), token, "{what}");
    }
}

#[test]
fn an_unverified_record_is_not_used_although_its_old_token_is_valid() {
    let (mut scene, old) = Scene::signed_in();
    scene.advance(3570);
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({ "sub": "sub-of-mallory" })));
    for arguments in [&[][..], &["--token", "id"]] {
        let outcome = scene.get_token(&[NEVER, arguments].concat());
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert_eq!(outcome.stdout, "");
    }
    heal(&scene);
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::status(500));
    scene.advance(5);
    let outcome = scene.get_token(NEVER);
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert!(!outcome.stdout.contains(&old), "{outcome}");
}

#[test]
fn after_an_unusable_id_token_userinfo_may_identify_the_person() {
    for (userinfo, code) in [
        (None, 0),
        (
            Some(Fault::json(200, &json!({ "sub": "sub-of-mallory" }))),
            3,
        ),
        (Some(Fault::json(200, &json!({ "name": "alice" }))), 3),
        (
            Some(Fault::json(401, &json!({ "error": "invalid_token" }))),
            3,
        ),
        // No response from userinfo is a failure that causes no sign-in and loses nothing.
        (Some(Fault::status(503)), 1),
        (Some(Fault::NoAnswer), 1),
    ] {
        let (mut scene, _) = Scene::signed_in();
        scene.advance(4000);
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(json!({ "sub": "sub-of-mallory" })));
        scene.get_token(NEVER).fails_with(1);
        heal(&scene);
        scene.provider.behave(|b| b.id_token.on_refresh = false);
        if let Some(fault) = userinfo.clone() {
            scene.provider.break_down(Endpoint::UserInfo, fault);
        }
        scene.advance(70);
        let outcome = scene.get_token(NEVER);
        assert_eq!(outcome.code, Some(code), "{userinfo:?}: {outcome}");
        assert_eq!(scene.sandbox.opened().len(), 1);
        if code == 1 {
            scene.provider.heal(Endpoint::UserInfo);
            scene.advance(70);
            scene.get_token(NEVER).token();
        }
    }
}

#[test]
fn an_unusable_response_without_a_new_refresh_token_leaves_the_record_unchanged() {
    let (mut scene, _) = Scene::signed_in();
    scene.provider.behave(|b| {
        b.rotation = crate::provider::Rotation::Off;
        b.token_response = patch(json!({ "access_token": null }));
    });
    scene.advance(3570);
    scene.get_token(NEVER).succeeds();
    assert_eq!(scene.sessions()[0]["unverified"], false);
}

#[test]
fn a_new_refresh_token_is_on_disk_before_the_keys_are_fetched_again() {
    let (mut scene, _) = Scene::signed_in();
    // The keys are cached for longer than this.
    scene.advance(100);
    let gate = crate::provider::Gate::default();
    // A signature by a key that is not cached.
    scene.provider.behave(|b| b.one_kid = Some("new"));
    scene
        .provider
        .break_down(Endpoint::Jwks, Fault::Held(gate.clone()));
    let running = scene.start(&["--force-refresh", "--interactive", "never"]);
    gate.wait_for_arrivals(1);
    drop(running); // Kills it.
    gate.open();
    scene.provider.heal(Endpoint::Jwks);
    assert_eq!(scene.sessions()[0]["unverified"], true);
    let temporary = files_below(&scene.sandbox.data_dir())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
        .count();
    assert_eq!(temporary, 0, "the reserved space must be used");
    scene.get_token(NEVER).token();
    assert_eq!(sent(&scene).len(), 2);
}
