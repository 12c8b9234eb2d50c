//! No command and no failure shows a token, code, verifier or client secret, even at the highest
//! verbosity, except in the reply itself.

use std::fs;

use serde_json::json;

use crate::provider::{ClientAuth, Endpoint, Fault, Rotation, Signature, patch};
use crate::sandbox::{Outcome, files_below, leaks, private_file};
use crate::scene::Scene;
use crate::wire;

/// A scene with a confidential client and the highest verbosity.
fn verbose() -> Scene {
    let mut scene = Scene::new();
    let secret = "canary-client-secret-0123456789".to_owned();
    let file = scene.sandbox.root().join("client-secret");
    private_file(&file, &secret);
    scene
        .provider
        .behave(|b| b.client_auth = ClientAuth::Basic { secret });
    scene.configure(&format!(
        "client_secret_file = {:?}",
        file.to_str().unwrap()
    ));
    scene.sandbox.set("HALLPASS_VERBOSE", "9");
    scene.sandbox.set("RUST_LOG", "trace");
    scene.sandbox.set("RUST_BACKTRACE", "1");
    scene
}

/// Checks stderr, and stdout apart from the requested token.
#[track_caller]
fn assert_no_leak_in_output(scene: &Scene, outcome: &Outcome) {
    let reply = outcome.stdout.trim();
    for (what, secret) in scene.provider.secrets() {
        assert!(
            !leaks(outcome.stderr.as_bytes(), &secret),
            "{what} on stderr: {outcome}"
        );
        if secret != reply {
            assert!(
                !leaks(outcome.stdout.as_bytes(), &secret),
                "{what} on stdout: {outcome}"
            );
        }
    }
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
}

/// Checks every file except the browser's notes.
#[track_caller]
fn assert_no_leak_on_disk(scene: &Scene) {
    for file in files_below(&scene.sandbox.home()) {
        let bytes = fs::read(&file).unwrap();
        for (what, secret) in scene.provider.secrets() {
            assert!(!leaks(&bytes, &secret), "{what} in {}", file.display());
        }
    }
}

#[test]
fn no_command_leaks_a_secret() {
    let mut scene = verbose();
    let commands: &[&[&str]] = &[
        &["get-token", "corp", "-vvv"],
        &["get-token", "corp", "-vvv", "--token", "id"],
        &["get-token", "corp", "-vvv", "--force-refresh"],
        &["status", "-vvv"],
        &["status", "--json", "-vvv"],
        &["login", "corp", "-vvv"],
        &["lock", "-vvv"],
        &["get-token", "corp", "-vvv", "--interactive", "never"],
        &["logout", "corp", "-vvv"],
        &["get-token", "corp", "-vvv", "--interactive", "never"],
    ];
    for arguments in commands {
        let outcome = scene.sandbox.run(arguments);
        assert_no_leak_in_output(&scene, &outcome);
        assert_no_leak_on_disk(&scene);
        scene.advance(100);
    }
    assert!(scene.provider.secrets().len() > 8);
}

#[test]
fn no_failed_sign_in_leaks_a_secret() {
    let secret_body = json!({
        "error": "invalid_grant",
        "error_description": "see access_token",
        "access_token": "at-canary-in-an-error-body",
    });
    for fault in [
        Fault::status(500),
        Fault::html(200),
        Fault::json(400, &secret_body),
        Fault::json(
            200,
            &json!({ "access_token": 7, "refresh_token": "rt-canary-in-a-broken-body" }),
        ),
        Fault::Answer {
            status: 200,
            content_type: "application/json",
            body: "{\"access_token\":\"at-canary-in-no-json".to_owned(),
        },
        Fault::LostAnswer,
        Fault::NoAnswer,
        Fault::Redirect {
            status: 302,
            to: "https://elsewhere.example/?token=at-canary-in-a-redirect".to_owned(),
        },
    ] {
        let scene = verbose();
        scene.provider.break_down(Endpoint::Code, fault.clone());
        let outcome = scene.get_token(&["-vvv"]);
        outcome.fails_with(1);
        assert_no_leak_in_output(&scene, &outcome);
        assert!(
            !outcome.stderr.contains("-canary-in-"),
            "{fault:?}: {outcome}"
        );
        assert_no_leak_on_disk(&scene);
    }
}

#[test]
fn a_server_that_echoes_requests_leaks_no_secret() {
    for endpoint in [
        Endpoint::Code,
        Endpoint::Refresh,
        Endpoint::DeviceAuthorization,
        Endpoint::DevicePoll,
        Endpoint::PushedAuthorization,
    ] {
        for status in [400, 503] {
            // Polling continues during server errors.
            if endpoint == Endpoint::DevicePoll && status == 503 {
                continue;
            }
            let mut scene = verbose();
            if endpoint == Endpoint::Refresh {
                scene.get_token(&[]).token();
                scene.advance(4000);
            }
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
            scene
                .provider
                .break_down(endpoint, Fault::Quoting { status });
            let is_device = matches!(
                endpoint,
                Endpoint::DeviceAuthorization | Endpoint::DevicePoll
            );
            let more: &[&str] = if endpoint == Endpoint::Refresh {
                &["-vvv", "--interactive", "never"]
            } else if is_device {
                &["-vvv", "--flow", "device"]
            } else {
                &["-vvv"]
            };
            let outcome = scene.get_token(more);
            assert_ne!(outcome.code, Some(0), "{outcome}");
            assert!(outcome.stderr.contains("QUOTED"), "{endpoint:?}: {outcome}");
            assert_no_leak_in_output(&scene, &outcome);
            assert_no_leak_on_disk(&scene);
        }
    }
}

#[test]
fn an_invalid_id_token_is_not_shown() {
    for (signature, claims) in [
        (Signature::None, json!({})),
        (Signature::Hs256, json!({})),
        (Signature::Broken, json!({})),
        (Signature::Good, json!({ "nonce": "another" })),
        (Signature::Good, json!({ "aud": "another" })),
    ] {
        let scene = verbose();
        scene.provider.behave(|b| {
            b.id_token.signature = signature;
            b.id_token.claims = patch(claims);
        });
        let outcome = scene.get_token(&["-vvv"]);
        outcome.fails_with(1);
        assert_no_leak_in_output(&scene, &outcome);
        assert_no_leak_on_disk(&scene);
    }
}

#[test]
fn no_failed_refresh_leaks_a_secret() {
    for fault in [
        Fault::status(503),
        Fault::json(400, &json!({ "error": "invalid_grant" })),
        Fault::json(400, &json!({ "error": "invalid_request" })),
        Fault::LostAnswer,
        Fault::NoAnswer,
    ] {
        let mut scene = verbose();
        scene.get_token(&[]).token();
        scene.advance(4000);
        scene.provider.behave(|b| b.rotation = Rotation::Replay);
        scene.provider.break_down(Endpoint::Refresh, fault);
        let outcome = scene.get_token(&["-vvv", "--interactive", "never"]);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert_no_leak_in_output(&scene, &outcome);
        assert_no_leak_on_disk(&scene);
    }
}

#[test]
fn a_failed_revocation_shows_no_token() {
    let scene = verbose();
    scene.get_token(&[]).token();
    scene
        .provider
        .break_down(Endpoint::Revocation, Fault::status(503));
    let outcome = scene.sandbox.run(&["logout", "corp", "-vvv"]);
    assert_no_leak_in_output(&scene, &outcome);
}

#[test]
fn a_declined_sign_in_and_a_wrong_callback_show_no_secret() {
    let mut scene = verbose();
    scene.sandbox.browser_will("decline");
    let outcome = scene.get_token(&["-vvv"]);
    outcome.fails_with(4);
    assert_no_leak_in_output(&scene, &outcome);

    let scene = verbose();
    scene
        .provider
        .behave(|b| b.callback = patch(json!({ "iss": "https://evil.example" })));
    let outcome = scene.get_token(&["-vvv"]);
    outcome.fails_with(1);
    assert_no_leak_in_output(&scene, &outcome);
}

#[test]
fn an_error_about_a_damaged_record_shows_no_secret() {
    let scene = verbose();
    scene.get_token(&[]).token();
    for file in files_below(&scene.sandbox.data_dir().join("sessions")) {
        fs::write(&file, b"{\"access_token\":\"at-canary-in-a-record\"}").unwrap();
    }
    let outcome = scene.get_token(&["-vvv", "--interactive", "never"]);
    outcome.fails_with(1);
    assert!(!outcome.stderr.contains("canary-in-a-record"), "{outcome}");
    assert_no_leak_in_output(&scene, &outcome);
}

#[test]
fn the_result_page_and_the_browser_history_contain_no_code() {
    let scene = verbose();
    scene.get_token(&[]).token();
    let page = scene.sandbox.page();
    for (what, secret) in scene.provider.secrets() {
        assert!(
            !leaks(page.body().as_bytes(), &secret),
            "{what}: {}",
            page.body()
        );
        let urls = page.urls();
        assert!(!urls.last().unwrap().contains(&secret), "{what}: {urls:?}");
    }
}

/// `ps` shows every user a process's arguments and, on some systems, its environment.
#[cfg(target_os = "linux")]
#[test]
fn no_child_process_receives_a_secret() {
    let mut scene = verbose();
    scene.sandbox.browser_will("linger");
    let running = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let mut looked_at = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let path = process.path();
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let home = scene.sandbox.home();
        if !leaks(&environment, home.to_str().unwrap()) {
            continue;
        }
        looked_at += 1;
        let arguments = fs::read(path.join("cmdline")).unwrap_or_default();
        for (what, secret) in scene.provider.secrets() {
            assert!(!leaks(&arguments, &secret), "{what} in the arguments");
            assert!(!leaks(&environment, &secret), "{what} in the environment");
        }
    }
    assert!(looked_at >= 1, "expected at least the browser process");
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    running.wait().token();
    scene.sandbox.dismiss_browser();
}
