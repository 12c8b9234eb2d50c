//! Network failures: each one is reported by name, ends in time, opens no browser and loses nothing.

use std::time::Duration;

use serde_json::json;

use crate::provider::{Endpoint, Fault, Gate, KeyName, Provider, Rotation, TLS_AUTHORITY, patch};
use crate::relay::{Relay, Trouble};
use crate::sandbox::{Outcome, Sandbox, private_file};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

/// The time limit of one request, and what a busy machine needs in addition.
const LIMIT: Duration = Duration::from_secs(2);
const AROUND: Duration = Duration::from_secs(6);

// Each response closes its connection. Otherwise a second request could be sent on a connection
// that is being closed, and would fail in a way that depends on timing.
const PORTAL: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>Hi</html>";
const PORTAL_302: &[u8] =
    b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\n\r\n";
const PORTAL_511: &[u8] =
    b"HTTP/1.1 511 Network Authentication Required\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

/// Everything that can happen on a connection, and the expected words in the error.
fn troubles() -> Vec<(Trouble, &'static [&'static str])> {
    vec![
        (Trouble::Reset, &["127.0.0.1", "check the network"]),
        (Trouble::Hang, &["127.0.0.1", "did not answer within 2 s"]),
        (Trouble::CutAfter(20), &["127.0.0.1"]),
        (Trouble::CutAfter(180), &["127.0.0.1", "was interrupted"]),
        (Trouble::Garble, &["127.0.0.1"]),
        (
            Trouble::Drip(Duration::from_millis(40)),
            &["127.0.0.1", "did not answer within 2 s"],
        ),
        (Trouble::Answer(PORTAL), &["network's sign-in page"]),
        (
            Trouble::Answer(PORTAL_302),
            &["127.0.0.1", "redirect", "302", "network's sign-in page"],
        ),
        (
            Trouble::Answer(PORTAL_511),
            &["127.0.0.1", "511", "sign in to the network"],
        ),
    ]
}

/// A scene in which these endpoints of the provider are behind a relay.
fn behind(endpoints: &[(&str, &str)]) -> (Scene, Relay) {
    let mut scene = Scene::new();
    scene
        .sandbox
        .set("HALLPASS_HTTP_TIMEOUT", LIMIT.as_secs().to_string());
    let relay = Relay::to(scene.provider.base());
    let metadata = endpoints
        .iter()
        .map(|(member, path)| ((*member).to_owned(), json!(relay.url(path))))
        .collect();
    scene.provider.behave(|b| {
        b.metadata = metadata;
        // A lost response must not cost the session, because these tests are about the connection.
        b.rotation = Rotation::Off;
    });
    (scene, relay)
}

#[track_caller]
fn in_time(outcome: &Outcome, requests: u32) {
    assert!(outcome.took < LIMIT * requests + AROUND, "{outcome}");
}

// --- signing in ---

#[test]
fn a_network_failure_during_discovery_is_reported_and_opens_no_tab() {
    let mut scene = Scene::new();
    scene
        .sandbox
        .set("HALLPASS_HTTP_TIMEOUT", LIMIT.as_secs().to_string());
    let relay = Relay::to(scene.provider.base());
    let issuer = relay.url("");
    scene.configure(&format!("issuer = {issuer:?}"));
    for (trouble, words) in troubles() {
        relay.fail_with(trouble.clone());
        let outcome = scene.get_token(&[]);
        outcome.fails_saying(1, words);
        in_time(&outcome, 1);
    }
    assert_eq!(scene.sandbox.opened().len(), 0);

    // No browser was opened, so there is no pause before the next attempt.
    relay.fail_with(Trouble::None);
    scene.provider.behave(|b| {
        b.metadata = patch(json!({ "issuer": issuer }));
        b.callback = patch(json!({ "iss": issuer }));
        b.id_token.claims = patch(json!({ "iss": issuer }));
    });
    scene.get_token(&[]).token();
}

#[test]
fn a_network_failure_during_the_exchange_is_reported_to_tool_and_browser() {
    for (trouble, words) in troubles() {
        let (scene, relay) = behind(&[("token_endpoint", "/token")]);
        relay.fail_with(trouble.clone());
        let outcome = scene.get_token(&[]);
        outcome.fails_saying(1, words);
        in_time(&outcome, 1);
        let page = scene.sandbox.page();
        // A captive portal did respond, but not with a token.
        let expected = if matches!(trouble, Trouble::Answer(PORTAL)) {
            "did not issue a token"
        } else if matches!(trouble, Trouble::Hang | Trouble::Drip(_)) {
            "took too long"
        } else {
            "could not be reached"
        };
        assert!(page.body().contains(expected), "{trouble:?}");
        assert!(scene.sessions().is_empty(), "{trouble:?}");
        relay.fail_with(Trouble::None);
        scene.login(&[]).succeeds();
        assert_eq!(scene.sandbox.opened().len(), 2, "{trouble:?}");
    }
}

#[test]
fn a_network_failure_while_fetching_keys_ends_the_sign_in_and_stores_nothing() {
    let (scene, relay) = behind(&[("jwks_uri", "/jwks")]);
    relay.fail_with(Trouble::Hang);
    let outcome = scene.get_token(&[]);
    outcome.fails_saying(1, &["did not answer within 2 s"]);
    in_time(&outcome, 1);
    assert!(scene.sandbox.page().body().contains("took too long"));
    assert!(scene.sessions().is_empty());
}

#[test]
fn a_network_failure_during_a_pushed_request_opens_no_tab() {
    let (scene, relay) = behind(&[("pushed_authorization_request_endpoint", "/par")]);
    scene.provider.behave(|b| {
        b.metadata
            .insert("require_pushed_authorization_requests".into(), json!(true))
    });
    for (trouble, words) in troubles() {
        relay.fail_with(trouble);
        let outcome = scene.get_token(&[]);
        let said = outcome.fails_saying(1, words);
        assert!(!said.contains("BROWSER"), "{said}");
        in_time(&outcome, 1);
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
    relay.fail_with(Trouble::None);
    scene.get_token(&[]).token();
    assert!(scene.provider.count(Endpoint::PushedAuthorization) > 0);
}

#[test]
fn a_required_pushed_request_without_an_endpoint_opens_no_tab() {
    let scene = Scene::new();
    let demand = json!({ "require_pushed_authorization_requests": true });
    scene.provider.behave(|b| b.metadata = patch(demand));
    scene
        .get_token(&[])
        .fails_saying(1, &["pushed_authorization_request_endpoint"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

// --- every request ---

#[test]
fn requests_do_not_accept_compressed_responses() {
    let scene = Scene::new();
    scene.provider.behave(|b| {
        b.device_response = patch(json!({ "interval": 1 }));
        b.token_response = patch(json!({ "id_token": null }));
    });
    let running = scene.start(&["--flow", "device"]);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    scene.provider.approve_devices("alice");
    running.wait().token();
    scene.provider.behave(|b| b.token_response.clear());
    scene.get_token(&["--force-refresh"]).token();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    for endpoint in [
        Endpoint::OpenidConfiguration,
        Endpoint::DeviceAuthorization,
        Endpoint::DevicePoll,
        Endpoint::UserInfo,
        Endpoint::Refresh,
        Endpoint::Jwks,
        Endpoint::Revocation,
    ] {
        let seen = scene.provider.seen(endpoint);
        assert!(!seen.is_empty(), "{endpoint:?}");
        for request in seen {
            let accepted = request.request.header("Accept-Encoding");
            assert_eq!(accepted, Some("identity"), "{endpoint:?}");
        }
    }
}

#[test]
fn waiting_for_a_slow_server_is_reported() {
    let (mut scene, _) = Scene::signed_in();
    scene.advance(4000);
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::Held(gate.clone()));
    let mut running = scene.start(&["--interactive", "never"]);
    let line = running.wait_for_line(|line| line.contains("has not answered"));
    let host = scene.provider.base().trim_start_matches("http://");
    assert!(line.contains(host) && line.contains("2 s"), "{line}");
    gate.open();
    running.wait().token();
}

// --- refreshing ---

#[test]
fn after_a_network_failure_during_a_refresh_a_valid_token_is_still_returned() {
    let (mut scene, relay) = behind(&[("token_endpoint", "/token")]);
    let token = scene.get_token(&[]).token().to_owned();
    // Old enough to be refreshed, and valid until the loop ends, even on a slow machine.
    scene.advance(3545);
    for (trouble, _) in troubles() {
        relay.fail_with(trouble.clone());
        let outcome = scene.get_token(&[]);
        assert_eq!(outcome.token(), token, "{trouble:?}");
        in_time(&outcome, 1);
        scene.end_pause();
    }
    relay.fail_with(Trouble::None);
    assert_ne!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_network_failure_during_a_refresh_loses_nothing_and_opens_no_tab() {
    let (mut scene, relay) = behind(&[("token_endpoint", "/token")]);
    scene.get_token(&[]).token();
    for (trouble, words) in troubles() {
        scene.advance(4000);
        relay.fail_with(trouble.clone());
        let outcome = scene.get_token(&[]);
        outcome.fails_saying(1, words);
        assert!(!outcome.stderr.contains("hallpass login"), "{outcome}");
        in_time(&outcome, 1);
        relay.fail_with(Trouble::None);
        scene.end_pause();
        scene.get_token(NEVER).token();
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_refresh_token_is_not_sent_while_the_keys_are_unavailable() {
    let (mut scene, relay) = behind(&[("jwks_uri", "/jwks")]);
    scene.provider.behave(|b| b.rotation = Rotation::On);
    scene.get_token(&[]).token();
    // Longer than any document is cached.
    scene.advance(25 * 3600);
    relay.fail_with(Trouble::Reset);
    scene.get_token(&[]).fails_saying(1, &["127.0.0.1"]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    relay.fail_with(Trouble::None);
    scene.end_pause();
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn an_unavailable_new_key_does_not_lose_the_new_refresh_token() {
    for forced in [false, true] {
        let (mut scene, relay) = behind(&[("jwks_uri", "/jwks")]);
        scene.provider.behave(|b| {
            b.rotation = Rotation::On;
            b.lifetime = 120;
        });
        scene.get_token(&[]).token();
        // The keys are still cached, but old enough to be fetched again.
        scene.advance(if forced { 100 } else { 150 });
        scene.provider.behave(|b| {
            b.published_keys = vec![KeyName::RsaSecond];
            b.id_token.signed_by = KeyName::RsaSecond;
        });
        relay.fail_with(Trouble::Reset);
        let force: &[&str] = if forced { &["--force-refresh"] } else { &[] };
        scene.get_token(force).fails_saying(1, &["127.0.0.1"]);
        relay.fail_with(Trouble::None);
        scene.end_pause();
        // The provider revokes the family of a refresh token that is used twice.
        scene.get_token(NEVER).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
        assert_eq!(scene.sandbox.opened().len(), 1);
    }
}

// --- signing out ---

#[test]
fn a_network_failure_during_revocation_is_reported_after_one_timeout() {
    for (trouble, words) in troubles() {
        if matches!(trouble, Trouble::Answer(PORTAL) | Trouble::CutAfter(180)) {
            continue; // RFC 7009 §2.2: the body of a 200 is ignored.
        }
        let (scene, relay) = behind(&[("revocation_endpoint", "/revoke")]);
        scene.get_token(&[]).token();
        relay.fail_with(trouble.clone());
        let outcome = scene.sandbox.run(&["logout", "corp"]);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains("not revoked"), "{outcome}");
        if trouble == Trouble::Hang {
            assert!(outcome.stderr.contains(words[1]), "{outcome}");
            assert_eq!(
                relay.count(),
                1,
                "hallpass waited for a silent server twice"
            );
        }
        in_time(&outcome, 1);
        assert!(scene.sessions().is_empty(), "{trouble:?}");
    }
}

// --- TLS ---

/// A scene that trusts the TLS provider's CA, and a relay to the provider.
#[cfg(target_os = "linux")]
fn behind_tls() -> (Scene, Relay) {
    let mut scene = Scene::with(Provider::start_tls());
    scene
        .sandbox
        .set("HALLPASS_HTTP_TIMEOUT", LIMIT.as_secs().to_string());
    let authority = scene.sandbox.root().join("ca.pem");
    private_file(&authority, TLS_AUTHORITY);
    let relay = Relay::to(scene.provider.base());
    let head = format!("ca_file = {:?}\n", authority.to_str().unwrap());
    let issuer = format!("https://localhost:{}", relay.port());
    scene.configure_with_head(&head, &format!("issuer = {issuer:?}"));
    (scene, relay)
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_without_tls_is_reported() {
    let (scene, relay) = behind_tls();
    for (trouble, words) in [
        (Trouble::Garble, &["localhost", "TLS", "intercepting proxy"]),
        (
            Trouble::Answer(PORTAL),
            &["localhost", "TLS", "network's sign-in page"],
        ),
    ] {
        relay.fail_with(trouble);
        let outcome = scene.get_token(&[]);
        outcome.fails_saying(1, words);
        in_time(&outcome, 1);
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
}

// --- proxies ---

/// Contacts a host that only a proxy can resolve. The proxy is a relay that leads nowhere.
fn through(proxy: &str, trouble: Trouble, relay: &Relay) -> Outcome {
    let mut sandbox = Sandbox::new();
    sandbox.set("HALLPASS_HTTP_TIMEOUT", LIMIT.as_secs().to_string());
    sandbox.set("HTTPS_PROXY", proxy);
    relay.fail_with(trouble);
    let arguments = ["get-token", "--client-id", "x", "--scope", "openid"];
    let outcome =
        sandbox.run(&[&arguments[..], &["--issuer-url", "https://provider.test"]].concat());
    assert_eq!(sandbox.opened().len(), 0);
    in_time(&outcome, 1);
    outcome
}

#[test]
fn a_failing_proxy_is_named_without_its_password() {
    let provider = Provider::start();
    let relay = Relay::to(provider.base());
    let port = relay.port();
    let proxy = format!("http://somebody:proxy-canary@127.0.0.1:{port}");
    let name = format!("127.0.0.1:{port}");
    for (trouble, words) in [
        (
            Trouble::Answer(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            ),
            &[
                name.as_str(),
                "user name and password",
                "HTTPS_PROXY=http://USER:PASSWORD@",
            ][..],
        ),
        (
            Trouble::Answer(
                b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
            &[
                &name,
                "could not connect to provider.test",
                "NO_PROXY=provider.test",
            ],
        ),
        (
            Trouble::CutAfter(0),
            &[&name, "could not connect to provider.test"],
        ),
        (
            Trouble::Reset,
            &[&name, "could not connect to provider.test"],
        ),
        (
            Trouble::Hang,
            &["provider.test", "did not answer within 2 s", "HTTPS_PROXY"],
        ),
    ] {
        let outcome = through(&proxy, trouble, &relay);
        outcome.fails_saying(1, words);
        assert!(!outcome.stderr.contains("proxy-canary"), "{outcome}");
    }
    assert_eq!(relay.count(), 5);
    drop(relay);
    let outcome = through(&proxy, Trouble::None, &Relay::to(provider.base()));
    outcome.fails_saying(1, &[&name, "refused", "NO_PROXY=provider.test"]);
}
