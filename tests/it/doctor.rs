//! `hallpass doctor kubectl`: that each thing that can be off is named, and nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, KeyName, patch};
use crate::sandbox::{Outcome, leaks};
use crate::scene::Scene;
use crate::setup_kubectl::{kubeconfig, with_kubectl};

/// An API server that answers every request so, on loopback, for as long as the test runs.
struct ApiServer {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    fn answering(status: u16, more: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut head = String::new();
                for line in BufReader::new(&stream).lines() {
                    let Ok(line) = line else { return };
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line);
                    head.push('\n');
                }
                log.lock().unwrap().push(head);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                );
            }
        });
        Self { url, seen }
    }
}

fn our_entry(more: &[&str]) -> Value {
    let args: Vec<&str> = ["kubectl", "--provider", "corp"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "hallpass", "args": args,
        "interactiveMode": "IfAvailable", "provideClusterInfo": true,
    }})
}

/// `corp` opens the server, and the user runs hallpass.
fn scene(server: &str, user: &Value) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "[[resources]]\nmatch = {server:?}\nprovider = \"corp\"\ntools = [\"kubectl\"]"
    ));
    with_kubectl(&mut scene.sandbox, &kubeconfig(server, user).to_string());
    scene
}

#[track_caller]
fn doctor(scene: &Scene, more: &[&str]) -> Outcome {
    let before = (
        scene.provider.count(Endpoint::Refresh),
        scene.sandbox.opened().len(),
    );
    let outcome = scene.sandbox.run(&[&["doctor", "kubectl"], more].concat());
    let after = (
        scene.provider.count(Endpoint::Refresh),
        scene.sandbox.opened().len(),
    );
    assert_eq!(
        before, after,
        "a doctor refreshes nothing and asks nobody: {outcome}"
    );
    for (kind, secret) in scene.provider.secrets() {
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!leaks(said.as_bytes(), &secret), "a {kind} is shown");
    }
    outcome
}

#[track_caller]
fn says(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome}");
    for word in words {
        assert!(outcome.stdout.contains(word), "{word:?}: {outcome}");
    }
    let is_off = outcome.stdout.lines().any(|line| line.starts_with("error"));
    assert_eq!(is_off, code == 1, "{outcome}");
}

const SERVER: &str = "https://k8s.corp.example:6443";

#[test]
fn where_all_is_well_it_says_so_and_ends_with_0() {
    let server = ApiServer::answering(200, "");
    let scene = scene(&server.url, &our_entry(&[]));
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({"groups": ["dev", "ops"]})));
    scene.get_token(&[]).succeeds();
    let issuer = scene.provider.issuer();
    let outcome = doctor(&scene, &[]);
    says(
        &outcome,
        0,
        &[
            "context here: user me.exec.you, cluster c.1",
            "corp's ID token (account default)",
            &format!("issuer: {issuer}; the API server's --oidc-issuer-url"),
            "audience: hallpass",
            "RS256",
            "groups: dev, ops",
            "expires in",
            "who: sub",
            "--ask-server",
        ],
    );
    assert!(
        server.seen.lock().unwrap().is_empty(),
        "it is asked only where that is allowed"
    );
    says(
        &doctor(&scene, &["--ask-server"]),
        0,
        &["the API server takes the token"],
    );
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].starts_with("GET /api HTTP/1.1\n"), "{}", seen.len());
}

#[test]
fn what_the_api_server_says_is_told() {
    for (status, more, code, words) in [
        (401, "", 1, &["answers 401", "--oidc-client-id"][..]),
        (403, "", 0, &["RBAC"]),
        (503, "", 0, &["answers 503"]),
        (
            200,
            "Date: Fri, 01 Jan 2021 00:00:00 GMT\r\n",
            1,
            &["clock: the API server's is 2021-01-01T00:00:00Z", "`date`"],
        ),
    ] {
        let server = ApiServer::answering(status, more);
        let scene = scene(&server.url, &our_entry(&[]));
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &["--ask-server"]), code, words);
    }
}

#[test]
fn what_is_off_with_the_token_is_named() {
    let nothing: fn(&Scene) = |_| ();
    let es256: fn(&Scene) = |scene| {
        scene
            .provider
            .behave(|b| b.id_token.signed_by = KeyName::EcFirst);
    };
    let slow: fn(&Scene) = |scene| scene.provider.behave(|b| b.clock = -120);
    let many: fn(&Scene) = |scene| {
        scene.provider.behave(|b| {
            b.id_token.claims = patch(json!({"_claim_names": {"groups": "src1"}}));
        });
    };
    let unverified: fn(&Scene) = |scene| {
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(json!({"email_verified": false})));
    };
    for (change, args, code, words) in [
        (nothing, &[][..], 0, &["groups: none in the token"][..]),
        (es256, &[], 1, &["signed with ES256", "--oidc-signing-algs"]),
        (
            slow,
            &[],
            1,
            &["clock: the provider made the token", "ahead", "`date`"],
        ),
        (many, &[], 1, &["groups: there are so many"]),
        (unverified, &[], 0, &["email_verified is false"]),
        (
            nothing,
            &["--token", "access"],
            1,
            &["access token is not a JWT"],
        ),
    ] {
        let scene = scene(SERVER, &our_entry(args));
        change(&scene);
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &[]), code, words);
    }
}

#[test]
fn an_expired_token_is_off_only_where_it_cannot_be_refreshed() {
    let mut one = scene(SERVER, &our_entry(&[]));
    one.get_token(&[]).succeeds();
    one.advance(4000);
    says(
        &doctor(&one, &[]),
        0,
        &["expired", "the next call refreshes it"],
    );
    let mut other = scene(SERVER, &our_entry(&[]));
    other
        .provider
        .behave(|b| b.token_response = patch(json!({"refresh_token": null})));
    other.get_token(&[]).succeeds();
    other.advance(4000);
    says(
        &doctor(&other, &[]),
        1,
        &["there is no refresh token", "hallpass login corp"],
    );
}

#[test]
fn what_is_off_with_the_kubeconfig_is_named() {
    let mut beside = our_entry(&[]);
    beside["token"] = json!("hush");
    let mut gone = our_entry(&[]);
    gone["exec"]["command"] = json!("/nowhere/hallpass");
    let mut alpha = our_entry(&[]);
    alpha["exec"]["apiVersion"] = json!("client.authentication.k8s.io/v1alpha1");
    let mut untold = our_entry(&[]);
    untold["exec"]["provideClusterInfo"] = json!(false);
    for (user, words) in [
        (beside, &["`token` beside its exec entry"][..]),
        (gone, &["/nowhere/hallpass, which does not exist"]),
        (alpha, &["v1alpha1"]),
        (untold, &["provideClusterInfo: true"]),
        (
            our_entry(&["--nope"]),
            &["--nope", "hallpass setup kubectl --context here"],
        ),
        (
            json!({"token": "x"}),
            &["runs no plugin", "hallpass setup kubectl --context here"],
        ),
        (
            json!({"exec": {"command": "kubelogin"}}),
            &["runs kubelogin"],
        ),
    ] {
        let scene = scene(SERVER, &user);
        scene.get_token(&[]).succeeds();
        let outcome = doctor(&scene, &[]);
        says(&outcome, 1, words);
        assert!(!outcome.stdout.contains("hush"), "{outcome}");
    }
}

#[test]
fn a_plugin_that_kuberc_rules_out_is_named() {
    for (text, code, words) in [
        (
            "credentialPluginPolicy: DenyAll\n",
            1,
            "runs no plugin at all",
        ),
        (
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: x\n",
            1,
            "hallpass setup kubectl --context here --kuberc",
        ),
        (
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: hallpass\n",
            0,
            "kuberc's allowlist contains it",
        ),
        ("kind: Preference\n", 0, "ok"),
    ] {
        let mut scene = scene(SERVER, &our_entry(&[]));
        scene.get_token(&[]).succeeds();
        let kuberc = scene.sandbox.root().join("kuberc");
        fs::write(&kuberc, text).unwrap();
        scene.sandbox.set("KUBERC", kuberc);
        says(&doctor(&scene, &[]), code, &[words]);
    }
}

#[test]
fn a_server_that_the_provider_does_not_open_and_a_person_not_signed_in_are_named() {
    let one = scene(SERVER, &our_entry(&[]));
    says(
        &doctor(&one, &[]),
        1,
        &["not signed in", "hallpass login corp"],
    );
    let mut other = scene("https://elsewhere.example", &our_entry(&[]));
    let text = kubeconfig(SERVER, &our_entry(&[])).to_string();
    with_kubectl(&mut other.sandbox, &text);
    says(
        &doctor(&other, &[]),
        1,
        &["does not open the cluster", "hallpass setup kubectl"],
    );
}

#[test]
fn a_provider_that_is_away_is_off_and_the_rest_is_looked_at() {
    let scene = scene(SERVER, &our_entry(&[]));
    scene.get_token(&[]).succeeds();
    fs::remove_dir_all(scene.sandbox.data_dir().join("metadata")).unwrap();
    for endpoint in [Endpoint::OpenidConfiguration, Endpoint::OauthMetadata] {
        scene.provider.break_down(endpoint, Fault::status(503));
    }
    says(&doctor(&scene, &[]), 1, &["503", "audience: hallpass"]);
}
