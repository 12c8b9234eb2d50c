//! Validation of ID tokens (OpenID Connect Core §3.1.3.7): signature, issuer, audience and times.

use serde_json::{Value, json};

use crate::provider::{Endpoint, KeyName, Signature, patch};
use crate::scene::Scene;

/// Checks that a sign-in with the provider's current ID tokens is rejected and nothing is saved.
#[track_caller]
fn assert_rejected(scene: &Scene, what: &str) {
    let outcome = scene.login(&[]);
    assert_eq!(outcome.code, Some(1), "{what}: {outcome}");
    outcome.fails_saying(1, &["id token"]);
    assert_eq!(scene.sandbox.page().status(), 400, "{what}");
    assert!(scene.sessions().is_empty(), "{what}");
}

#[track_caller]
fn assert_accepted(scene: &Scene, what: &str) {
    let outcome = scene.login(&[]);
    assert_eq!(outcome.code, Some(0), "{what}: {outcome}");
    assert_eq!(scene.sessions().len(), 1, "{what}");
}

#[track_caller]
fn assert_claims_rejected(changes: &[Value]) {
    let scene = Scene::new();
    for change in changes {
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(change.clone()));
        assert_rejected(&scene, &change.to_string());
    }
}

#[track_caller]
fn assert_claims_accepted(changes: &[Value]) {
    let scene = Scene::new();
    for change in changes {
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(change.clone()));
        assert_accepted(&scene, &change.to_string());
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn the_algorithm_none_is_rejected() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.id_token.signature = Signature::None);
    assert_rejected(&scene, "none");
    for spelled in ["None", "NONE", "nOnE"] {
        scene
            .provider
            .behave(|b| b.id_token.header = patch(json!({ "alg": spelled })));
        assert_rejected(&scene, spelled);
    }
}

#[test]
fn hs256_is_always_rejected() {
    // With the public key as the HMAC key, and with the client's secret.
    let mut scene = Scene::new();
    scene
        .provider
        .behave(|b| b.id_token.signature = Signature::Hs256);
    assert_rejected(&scene, "the public key");
    let secret = "a secret of this client".to_owned();
    let file = scene.sandbox.root().join("secret");
    crate::sandbox::private_file(&file, &secret);
    scene.configure(&format!(
        "client_secret_file = {:?}",
        file.to_str().unwrap()
    ));
    scene
        .provider
        .behave(|b| b.client_auth = crate::provider::ClientAuth::Basic { secret });
    assert_rejected(&scene, "the client's secret");
}

/// One key for each algorithm, and one that is only published as a certificate.
const EACH: [KeyName; 10] = [
    KeyName::RsaFirst,
    KeyName::Rs384,
    KeyName::Rs512,
    KeyName::Pss,
    KeyName::Ps384,
    KeyName::Ps512,
    KeyName::EcFirst,
    KeyName::Ec384,
    KeyName::Ed25519,
    KeyName::Certified,
];

#[test]
fn a_valid_signature_is_accepted() {
    let scene = Scene::new();
    for key in EACH {
        scene.provider.behave(|b| b.id_token.signed_by = key);
        assert_accepted(&scene, key.kid());
    }
}

#[test]
fn an_invalid_signature_is_rejected() {
    let scene = Scene::new();
    for key in EACH {
        scene.provider.behave(|b| {
            b.id_token.signed_by = key;
            b.id_token.signature = Signature::Broken;
        });
        assert_rejected(&scene, key.kid());
    }
}

#[test]
fn the_algorithm_must_match_the_key_type() {
    let scene = Scene::new();
    // Signed by one key with the ID of another, and by a key with another algorithm.
    for header in [
        json!({ "kid": "ec-first" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "RS512" }),
        json!({ "alg": "PS256" }),
        json!({ "alg": "EdDSA" }),
        json!({ "kid": "pss" }),
        json!({ "kid": "pss", "alg": "PS256" }),
        json!({ "kid": "ed25519", "alg": "EdDSA" }),
    ] {
        scene
            .provider
            .behave(|b| b.id_token.header = patch(header.clone()));
        assert_rejected(&scene, &header.to_string());
    }
}

#[test]
fn another_issuer_is_rejected() {
    assert_claims_rejected(&[
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": null }),
        json!({ "iss": "" }),
        json!({ "iss": 7 }),
    ]);
    let scene = Scene::new();
    let with_slash = format!("{}/", scene.provider.issuer());
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({ "iss": with_slash })));
    assert_rejected(&scene, "a slash more");
}

#[test]
fn a_missing_claim_is_rejected() {
    assert_claims_rejected(&[
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": false }),
        json!({ "iat": null }),
        json!({ "exp": null }),
        json!({ "aud": null }),
    ]);
}

#[test]
fn another_audience_is_rejected() {
    assert_claims_rejected(&[
        json!({ "aud": "another" }),
        json!({ "aud": [] }),
        json!({ "aud": ["another"] }),
        json!({ "aud": ["hallpass", "another"] }),
        json!({ "aud": ["another"], "azp": "hallpass" }),
        json!({ "aud": "hallpass2" }),
        json!({ "azp": "another" }),
        json!({ "aud": ["hallpass", "another"], "azp": "another" }),
    ]);
}

#[test]
fn the_audience_may_be_a_list_with_only_this_client() {
    assert_claims_accepted(&[json!({ "aud": ["hallpass"] }), json!({ "azp": "hallpass" })]);
}

#[test]
fn additional_audiences_need_azp_or_must_be_trusted() {
    assert_claims_accepted(&[json!({ "aud": ["hallpass", "project-7"], "azp": "hallpass" })]);

    let mut scene = Scene::new();
    let both = json!({ "aud": ["hallpass", "kubernetes"] });
    scene.provider.behave(|b| b.id_token.claims = patch(both));
    // Following the hint is enough.
    let line = "trusted_audiences = [\"kubernetes\"]";
    scene.login(&[]).fails_saying(1, &["kubernetes", line]);
    scene.configure(line);
    assert_accepted(&scene, line);
    scene.get_token(&["--token", "id"]).token();
}

/// Checks that after a sign-in with these claims, the access token can be used and the ID token is
/// never returned.
#[track_caller]
fn only_the_access_token_can_be_used(changes: &[Value]) {
    for change in changes {
        let scene = Scene::new();
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(change.clone()));
        let login = scene.login(&[]);
        assert_eq!(login.code, Some(0), "{change}: {login}");
        assert!(login.stderr.contains("clock"), "{change}: {login}");
        assert_eq!(scene.sessions()[0]["subject"], "sub-of-alice");
        scene.get_token(&[]).token();
        scene
            .get_token(&["--token", "id"])
            .fails_saying(1, &["id token", "clock"]);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 0, "{change}");
        assert_eq!(scene.sandbox.opened().len(), 1, "{change}");
    }
}

#[test]
fn an_id_token_expired_for_over_a_minute_is_not_used() {
    only_the_access_token_can_be_used(&[json!({ "exp": now() - 120 }), json!({ "exp": 0 })]);
    assert_claims_rejected(&[json!({ "exp": "x" })]);
    assert_claims_accepted(&[json!({ "exp": now() - 20 })]);
}

#[test]
fn an_id_token_more_than_five_minutes_in_the_future_is_not_used() {
    only_the_access_token_can_be_used(&[
        json!({ "iat": now() + 3600 }),
        json!({ "nbf": now() + 400 }),
    ]);
    assert_claims_accepted(&[json!({ "iat": now() + 270 }), json!({ "nbf": now() + 270 })]);
}

#[test]
fn a_sign_in_with_a_wrong_clock_works_and_reports_the_clock() {
    for (clock, tells_the_time, words) in [
        (-1230, true, "20 min behind"),
        (7300, true, "2 h ahead"),
        (-1200, false, "compare the output of `date -u`"),
    ] {
        let mut scene = Scene::new();
        scene.provider.behave(|b| b.tells_the_time = tells_the_time);
        scene.sandbox.set("HALLPASS_TEST_CLOCK", clock.to_string());
        let first = scene.get_token(&[]);
        first.token();
        assert!(first.stderr.contains(words), "{first}");
        // Requesting the ID token itself is an error and opens no second tab.
        let other = Scene::new();
        other.provider.behave(|b| b.tells_the_time = tells_the_time);
        let mut other = other;
        other.sandbox.set("HALLPASS_TEST_CLOCK", clock.to_string());
        for _ in 0..2 {
            other
                .get_token(&["--token", "id"])
                .fails_saying(1, &["id token", words]);
        }
        assert_eq!(other.sandbox.opened().len(), 1);
        other.get_token(&[]).token();
        assert_eq!(other.sandbox.opened().len(), 1);
    }
}

#[test]
fn the_nonce_must_match_the_request() {
    assert_claims_rejected(&[
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "nonce": "" }),
    ]);
}

#[test]
fn at_hash_must_match_if_present() {
    assert_claims_rejected(&[
        json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "at_hash": "" }),
    ]);
    assert_claims_accepted(&[json!({ "at_hash": null })]);
}

#[test]
fn without_a_key_id_the_only_key_is_used() {
    for key in [KeyName::RsaFirst, KeyName::EcFirst] {
        let scene = Scene::new();
        scene.provider.behave(|b| {
            b.keys_without_kid = true;
            b.published_keys = vec![key];
            b.id_token.signed_by = key;
        });
        assert_accepted(&scene, key.kid());
    }
}

#[test]
fn without_a_key_id_any_key_that_verifies_is_accepted() {
    let all = [
        KeyName::RsaFirst,
        KeyName::RsaSecond,
        KeyName::EcFirst,
        KeyName::EcSecond,
    ];
    let scene = Scene::new();
    for key in all {
        scene.provider.behave(|b| {
            b.keys_without_kid = true;
            b.published_keys = all.to_vec();
            b.id_token.signed_by = key;
        });
        assert_accepted(&scene, key.kid());
    }
    scene
        .provider
        .behave(|b| b.id_token.signature = Signature::Broken);
    scene.login(&[]).fails_with(1);
}

#[test]
fn after_a_key_rotation_the_keys_are_fetched_once() {
    let mut scene = Scene::new();
    assert_accepted(&scene, "the first key");
    assert_eq!(scene.provider.count(Endpoint::Jwks), 1);
    scene.provider.behave(|b| {
        b.published_keys = vec![KeyName::RsaSecond];
        b.id_token.signed_by = KeyName::RsaSecond;
    });
    scene.advance(6);
    assert_accepted(&scene, "the second key");
    assert_eq!(scene.provider.count(Endpoint::Jwks), 2);
    assert_accepted(&scene, "the second key, which is cached");
    assert_eq!(scene.provider.count(Endpoint::Jwks), 2);
}

#[test]
fn after_a_key_is_replaced_under_its_id_the_keys_are_fetched_once() {
    for (first, second) in [
        (KeyName::RsaFirst, KeyName::RsaSecond),
        (KeyName::RsaFirst, KeyName::EcFirst),
        (KeyName::EcSecond, KeyName::Certified),
    ] {
        let mut scene = Scene::new();
        let publish = |scene: &Scene, key| {
            scene.provider.behave(|b| {
                b.one_kid = Some("the-key");
                b.published_keys = vec![key];
                b.id_token.signed_by = key;
            });
        };
        publish(&scene, first);
        scene.get_token(&[]).token();
        publish(&scene, second);
        scene.advance(4000);
        // At a refresh, the new refresh token isn't lost, and no tab opens.
        let never = &["--token", "id", "--interactive", "never"];
        scene.get_token(never).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "{second:?}");
        assert_eq!(scene.provider.count(Endpoint::Jwks), 2, "{second:?}");
    }
}

#[test]
fn repeated_invalid_signatures_do_not_refetch_the_keys_every_time() {
    let unknown = |scene: &Scene| {
        let unknown = KeyName::RsaSecond;
        scene.provider.behave(|b| b.id_token.signed_by = unknown);
    };
    let broken = |scene: &Scene| {
        let broken = Signature::Broken;
        scene.provider.behave(|b| b.id_token.signature = broken);
    };
    let cases: [&dyn Fn(&Scene); 2] = [&unknown, &broken];
    for spoil in cases {
        let scene = Scene::new();
        spoil(&scene);
        for _ in 0..3 {
            assert_rejected(&scene, "not verified");
        }
        let fetched = scene.provider.seen(Endpoint::Jwks);
        for two in fetched.windows(2) {
            // Cache times are in whole seconds.
            let apart = two[1].at - two[0].at;
            assert!(apart > std::time::Duration::from_secs(3), "{apart:?}");
        }
    }
}

#[test]
fn an_id_token_is_not_trusted_if_the_keys_are_unavailable() {
    use crate::provider::Fault;
    let scene = Scene::new();
    for fault in [Fault::status(503), Fault::html(200), Fault::NoAnswer] {
        scene.provider.break_down(Endpoint::Jwks, fault);
        scene.login(&[]).fails_with(1);
        assert!(scene.sessions().is_empty());
    }
}

#[test]
fn get_token_can_print_the_id_token() {
    let (scene, access) = Scene::signed_in();
    let outcome = scene.get_token(&["--token", "id"]);
    let id = outcome.token();
    assert_ne!(id, access);
    assert_eq!(id.split('.').count(), 3);
    let known = scene.provider.secrets();
    assert!(
        known
            .iter()
            .any(|(what, secret)| *what == "id token" && secret == id)
    );
}

#[test]
fn requesting_an_id_token_without_the_openid_scope_is_an_error() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"offline_access\"]");
    scene
        .get_token(&["--token", "id"])
        .fails_saying(2, &["openid", "--scope openid", "--token access"]);
    assert_eq!(
        scene.sandbox.opened().len(),
        0,
        "no sign-in would bring one"
    );
    // An existing session isn't refreshed either.
    scene.get_token(&[]).token();
    scene.get_token(&["--token", "id"]).fails_with(2);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_malformed_but_readable_id_token_is_accepted() {
    assert_claims_accepted(&[
        json!({ "exp": (now() + 600).to_string(), "iat": now().to_string() }),
        json!({ "sub": "sub-of-alice" }),
    ]);
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({ "sub": 4711 })));
    assert_accepted(&scene, "a numeric sub");
    assert_eq!(scene.sessions()[0]["subject"], "4711");
    // It must match the pinned subject like any other.
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({ "sub": 4712 })));
    scene.login(&[]).fails_with(1);
}

#[test]
fn a_refresh_replaces_the_id_token() {
    let (mut scene, _) = Scene::signed_in();
    let old = scene.get_token(&["--token", "id"]).token().to_owned();
    scene.advance(4000);
    let new = scene.get_token(&["--token", "id"]).token().to_owned();
    assert_ne!(old, new);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_refreshed_id_token_of_a_different_person_or_issuer_is_rejected() {
    for change in [
        json!({ "sub": "sub-of-mallory" }),
        json!({ "iss": "https://evil.example" }),
    ] {
        let (mut scene, _) = Scene::signed_in();
        scene.provider.behave(|b| b.id_token.claims = patch(change));
        scene.advance(4000);
        scene.get_token(&[]).fails_with(1);
        assert_eq!(
            scene.sandbox.opened().len(),
            1,
            "a refresh must not open a browser"
        );
        let sessions = scene.sessions();
        assert_eq!(sessions[0]["subject"], "sub-of-alice");
        assert_eq!(sessions[0]["expired"], true);
    }
}

#[test]
fn a_nonce_in_a_refreshed_id_token_must_match_the_sign_in() {
    for (claims, same_nonce, passes) in [
        (json!({}), false, true),
        (json!({}), true, true),
        (json!({ "nonce": "another" }), false, false),
        (json!({ "nonce": 7 }), false, false),
    ] {
        let (mut scene, _) = Scene::signed_in();
        scene.provider.behave(|b| {
            b.id_token.claims = patch(claims.clone());
            b.id_token.nonce_on_refresh = same_nonce;
        });
        scene.advance(4000);
        let outcome = scene.get_token(&["--interactive", "never"]);
        if passes {
            outcome.token();
        } else {
            outcome.fails_saying(1, &["nonce"]);
        }
    }
}

#[test]
fn a_refresh_without_an_id_token_keeps_the_known_person() {
    let (mut scene, _) = Scene::signed_in();
    scene.provider.behave(|b| b.id_token.on_refresh = false);
    scene.advance(4000);
    scene.get_token(&[]).token();
    assert_eq!(scene.sessions()[0]["subject"], "sub-of-alice");
}
