//! Several accounts at one provider, and sessions whose configuration has been removed.

use serde_json::json;

use crate::provider::{Endpoint, patch};
use crate::scene::Scene;

/// The `prompt` of the last authorization request.
fn last_prompt(scene: &Scene) -> Vec<String> {
    let seen = scene.provider.seen(Endpoint::Authorize);
    let prompt = seen.last().and_then(|request| request.query("prompt"));
    let values = prompt.unwrap_or_default().split(' ');
    values.map(str::to_owned).collect()
}

#[test]
fn an_unknown_account_is_an_error_that_lists_known_accounts() {
    let mut scene = Scene::new();
    scene.configure(
        "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n\
         account = \"team\"\n",
    );
    scene.get_token(&[]).token();
    scene.add_account("work");
    let tabs = scene.sandbox.opened().len();
    let hint = "run `hallpass login corp --account wrok`";
    scene
        .get_token(&["--account", "wrok"])
        .fails_saying(2, &["no account wrok", "default, team, work", hint]);
    assert_eq!(scene.sandbox.opened().len(), tabs);
    // A configured account is known before the first sign-in.
    scene.sandbox.person("carol");
    scene.get_token(&["--account", "team"]).token();
    assert_eq!(scene.sandbox.opened().len(), tabs + 1);
    // The hint's command adds the account.
    scene.sandbox.person("dave");
    scene.login(&["--account", "wrok"]).succeeds();
    scene.get_token(&["--account", "wrok"]).token();
}

#[test]
fn a_sign_in_to_a_second_account_requests_the_account_picker() {
    let by_metadata = json!({ "prompt_values_supported": ["consent", "select_account"] });
    for (lines, metadata, expected) in [
        (
            "account_prompt = \"select_account\"",
            json!({}),
            Some("select_account"),
        ),
        ("account_prompt = \"login\"", json!({}), Some("login")),
        ("", by_metadata.clone(), Some("select_account")),
        ("account_prompt = \"login\"", by_metadata, Some("login")),
        ("", json!({}), None),
    ] {
        let mut scene = Scene::new();
        scene.configure(lines);
        scene.provider.behave(|b| b.metadata = patch(metadata));
        scene.get_token(&[]).token();
        assert_eq!(
            last_prompt(&scene),
            ["consent"],
            "the first account: {lines}"
        );
        scene.sandbox.person("bob");
        scene.add_account("work");
        let expected: Vec<&str> = expected.into_iter().chain(["consent"]).collect();
        assert_eq!(last_prompt(&scene), expected, "{lines}");
        // The person is known now, so hallpass sends a login hint and doesn't request the picker.
        scene.login(&["--account", "work"]).succeeds();
        assert_eq!(last_prompt(&scene), ["consent"], "{lines}");
    }
}

#[test]
fn a_sign_in_by_a_different_person_makes_the_next_one_request_the_account_picker() {
    let mut scene = Scene::new();
    scene.configure("account_prompt = \"select_account\"");
    scene.get_token(&[]).token();
    scene.sandbox.person("mallory");
    for _ in 0..2 {
        scene.login(&[]).fails_with(1);
    }
    assert_eq!(last_prompt(&scene), ["select_account", "consent"]);
    scene.sandbox.person("alice");
    scene.login(&[]).succeeds();
    assert_eq!(last_prompt(&scene), ["select_account", "consent"]);
    scene.login(&[]).succeeds();
    assert_eq!(last_prompt(&scene), ["consent"]);
}

#[test]
fn every_hint_of_the_different_person_error_works() {
    for way in ["choose", "replace", "both"] {
        let (mut scene, _) = Scene::signed_in();
        scene.sandbox.person("mallory");
        let error = scene.login(&[]).fails_with(1).to_owned();
        let hint = error.split_once("hint: ").expect("a hint").1;
        let commands: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
        let [choose, replace, both] = commands[..] else {
            panic!("{error}");
        };
        let run = |command: &str| {
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            scene.sandbox.run(&words).succeeds();
        };
        match way {
            "choose" => {
                scene.sandbox.person("alice");
                let words: Vec<&str> = choose.split(' ').skip(1).collect();
                scene.sandbox.run(&words).succeeds();
                assert_eq!(scene.sessions()[0]["name"], "alice");
            }
            "replace" => {
                run(replace);
                run(choose);
                assert_eq!(scene.sessions()[0]["name"], "mallory");
            }
            _ => {
                run(&both.replace("OTHER", "other"));
                assert_eq!(scene.sessions().len(), 2);
            }
        }
    }
}

#[test]
fn two_accounts_of_the_same_person_cause_a_warning() {
    let (mut scene, _) = Scene::signed_in();
    let outcome = scene.login(&["--account", "work"]);
    outcome.succeeds();
    for words in [
        "accounts work and default are now the same person, alice",
        "`hallpass logout corp --account work`",
        "`hallpass login corp --account work`",
    ] {
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
    scene.sandbox.person("bob");
    let other = scene.login(&["--account", "third"]);
    other.succeeds();
    assert!(!other.stderr.contains("same person"), "{other}");
}

#[test]
fn logout_revokes_an_old_registrations_session_with_that_registration() {
    for arguments in [&["logout", "corp"][..], &["logout", "--all"]] {
        let (mut scene, _) = Scene::signed_in();
        scene.configure("client_id = \"hallpass-2\"");
        let session = &scene.sessions()[0];
        assert_eq!(session["unused"], true, "{session}");
        let status = scene.sandbox.run(&["status"]).stdout;
        assert!(
            status.contains("`hallpass logout corp --account default`"),
            "{status}"
        );
        scene.sandbox.run(arguments).succeeds();
        assert!(scene.sessions().is_empty());
        let revoked = scene.provider.seen(Endpoint::Revocation);
        assert_eq!(revoked.len(), 2);
        for request in revoked {
            assert_eq!(request.form("client_id"), Some("hallpass"));
        }
    }
}

#[test]
fn logout_finds_a_session_whose_provider_is_no_longer_configured() {
    let (scene, _) = Scene::signed_in();
    assert_eq!(scene.sessions()[0]["unused"], false);
    std::fs::write(scene.sandbox.root().join("config.toml"), "").unwrap();
    assert_eq!(scene.sessions()[0]["unused"], true);
    scene
        .sandbox
        .run(&["logout", "croP"])
        .fails_saying(2, &["croP"]);
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert!(scene.sessions().is_empty());
    assert_eq!(scene.provider.count(Endpoint::Revocation), 2);
}

#[test]
fn a_session_with_an_issuer_from_the_command_line_is_not_reported_as_unused() {
    let scene = Scene::new();
    let issuer = scene.provider.issuer();
    let arguments = [
        "get-token",
        "--issuer-url",
        &issuer,
        "--client-id",
        "hallpass",
    ];
    scene.sandbox.run(&arguments).token();
    std::fs::write(scene.sandbox.root().join("config.toml"), "").unwrap();
    assert_eq!(scene.sessions()[0]["unused"], false);
}
