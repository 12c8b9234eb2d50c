//! Discovery (RFC 8414, OpenID Connect Discovery 1.0), and which servers hallpass may contact.

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, Provider, TLS_AUTHORITY, patch};
use crate::sandbox::{Sandbox, private_file};
use crate::scene::Scene;

fn ad_hoc(sandbox: &Sandbox, issuer: &str, more: &[&str]) -> crate::sandbox::Outcome {
    let arguments = [
        "get-token",
        "--issuer-url",
        issuer,
        "--client-id",
        "hallpass",
    ];
    sandbox.run(&[&arguments, more].concat())
}

#[test]
fn an_issuer_may_have_a_path() {
    for path in ["/tenants/one", "/tenants/one/", "/"] {
        let scene = Scene::with(Provider::start_with_path(path));
        scene.get_token(&[]).token();
    }
}

#[test]
fn either_of_the_well_known_documents_is_enough() {
    for missing in [Endpoint::OpenidConfiguration, Endpoint::OauthMetadata] {
        for path in ["", "/tenant"] {
            let scene = Scene::with(Provider::start_with_path(path));
            scene.provider.break_down(missing, Fault::status(404));
            scene.get_token(&[]).token();
        }
    }
}

#[test]
fn metadata_is_cached_for_its_lifetime() {
    let mut scene = Scene::new();
    let asked = |scene: &Scene| {
        scene.provider.count(Endpoint::OpenidConfiguration)
            + scene.provider.count(Endpoint::OauthMetadata)
    };
    scene.login(&[]).succeeds();
    let first = asked(&scene);
    scene.login(&[]).succeeds();
    assert_eq!(asked(&scene), first);
    // The provider's cache lifetime is an hour.
    scene.advance(4000);
    scene.login(&[]).succeeds();
    assert!(asked(&scene) > first);
}

#[test]
fn html_with_status_200_is_not_accepted_as_metadata() {
    let scene = Scene::new();
    scene
        .provider
        .break_down(Endpoint::OpenidConfiguration, Fault::html(200));
    scene
        .provider
        .break_down(Endpoint::OauthMetadata, Fault::html(200));
    scene.get_token(&[]).fails_saying(1, &["metadata", "json"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn the_issuer_in_the_metadata_must_match_the_configured_one() {
    let scene = Scene::new();
    let issuer = scene.provider.issuer();
    for (other, shown) in [
        (json!("https://evil.example"), true),
        (json!(format!("{issuer}/")), true),
        (json!(issuer.to_uppercase()), true),
        (Value::Null, false),
    ] {
        scene
            .provider
            .behave(|b| b.metadata = patch(json!({ "issuer": other })));
        let outcome = scene.get_token(&[]);
        let stderr = outcome.fails_saying(1, &["issuer"]);
        if shown {
            assert!(stderr.contains(other.as_str().unwrap()), "{outcome}");
        }
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn an_endpoint_that_is_neither_https_nor_loopback_is_rejected_and_no_browser_opens() {
    let scene = Scene::new();
    for member in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        for hostile in [
            "http://evil.example/x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "ms-settings:",
            "calc.exe",
            "--help",
        ] {
            // Both documents contain the endpoint.
            scene
                .provider
                .behave(|b| b.metadata = patch(json!({ member: hostile })));
            scene.get_token(&[]).fails_saying(1, &[member]);
        }
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
    assert_eq!(scene.provider.count(Endpoint::Authorize), 0);
}

#[test]
fn an_unusable_optional_endpoint_is_ignored_with_a_note() {
    for (member, value) in [
        ("revocation_endpoint", json!("N/A")),
        ("userinfo_endpoint", json!("/userinfo")),
        ("device_authorization_endpoint", json!(false)),
        (
            "pushed_authorization_request_endpoint",
            json!("http://evil.example/par"),
        ),
    ] {
        let scene = Scene::new();
        scene
            .provider
            .behave(|b| b.metadata = patch(json!({ member: value })));
        let first = scene.get_token(&[]);
        first.token();
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let note = format!("note: the metadata of corp has an unusable {member} ({shown})");
        assert!(first.stderr.contains(&note), "{first}");
        // Only a sign-in prints the note, not every tool's call.
        let later = scene.get_token(&["--force-refresh"]);
        later.token();
        assert!(!later.stderr.contains("note:"), "{later}");
        let logout = scene.sandbox.run(&["logout", "corp"]);
        logout.succeeds();
    }

    // If the endpoint is needed, the error names it.
    let scene = Scene::new();
    let without = json!({ "device_authorization_endpoint": "calc.exe" });
    scene.provider.behave(|b| b.metadata = patch(without));
    scene
        .get_token(&["--flow", "device"])
        .fails_saying(1, &["no usable device_authorization_endpoint", "calc.exe"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn if_both_documents_fail_the_more_informative_error_is_shown() {
    let openid = Endpoint::OpenidConfiguration;
    let oauth = Endpoint::OauthMetadata;
    let other = json!({ "issuer": "https://other.example" });
    let moved = Fault::Redirect {
        status: 301,
        to: "https://www.corp.example/x?token=secret".to_owned(),
    };
    for (first, second, words) in [
        (
            Fault::status(404),
            Fault::json(200, &other),
            "https://other.example",
        ),
        (
            Fault::json(200, &other),
            Fault::status(404),
            "https://other.example",
        ),
        (
            Fault::html(200),
            Fault::json(200, &other),
            "https://other.example",
        ),
        (
            Fault::status(404),
            moved.clone(),
            "redirected (status 301) to https://www.corp.example/x",
        ),
        (
            moved,
            Fault::status(404),
            "redirected (status 301) to https://www.corp.example/x",
        ),
        (Fault::status(404), Fault::status(503), "status 503"),
        (Fault::status(404), Fault::html(200), "not a json object"),
        (Fault::status(404), Fault::status(403), "status 403"),
        (Fault::status(404), Fault::status(404), "status 404"),
    ] {
        let scene = Scene::new();
        scene.provider.break_down(openid, first);
        scene.provider.break_down(oauth, second);
        let outcome = scene.get_token(&[]);
        let stderr = outcome.fails_saying(1, &[words]);
        assert!(!stderr.contains("secret"), "{outcome}");
        assert_eq!(scene.sandbox.opened().len(), 0);
    }
}

#[test]
fn a_retry_after_response_is_reported_as_an_outage() {
    let scene = Scene::new();
    for endpoint in [Endpoint::OpenidConfiguration, Endpoint::OauthMetadata] {
        scene.provider.break_down(endpoint, Fault::status(429));
    }
    scene
        .get_token(&[])
        .fails_saying(1, &["status 429", "later"]);
}

#[test]
fn an_issuer_that_is_neither_https_nor_loopback_is_rejected() {
    let sandbox = Sandbox::new();
    for issuer in [
        "http://idp.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "ftp://idp.example",
        "idp.example",
        "https://user:password@idp.example",
    ] {
        let outcome = ad_hoc(&sandbox, issuer, &[]);
        let stderr = outcome.fails_with(2);
        assert!(!stderr.contains("password@"), "{outcome}");
    }
    assert_eq!(sandbox.opened().len(), 0);
}

#[test]
fn a_server_that_lists_no_challenge_methods_still_gets_s256() {
    let scene = Scene::new();
    let silent = json!({ "code_challenge_methods_supported": null });
    scene.provider.behave(|b| b.metadata = patch(silent));
    // The fake provider checks the method and the verifier.
    scene.get_token(&[]).token();
}

#[test]
fn a_server_that_supports_only_plain_is_rejected() {
    let scene = Scene::new();
    let plain = json!({ "code_challenge_methods_supported": ["plain"] });
    scene.provider.behave(|b| b.metadata = patch(plain));
    scene.get_token(&[]).fails_saying(1, &["s256"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn a_server_that_is_down_is_an_error_and_opens_no_browser() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    let gate = crate::provider::Gate::default();
    for fault in [
        Fault::status(503),
        Fault::NoAnswer,
        Fault::LostAnswer,
        Fault::Held(gate.clone()),
    ] {
        scene
            .provider
            .break_down(Endpoint::OpenidConfiguration, fault.clone());
        scene.provider.break_down(Endpoint::OauthMetadata, fault);
        scene.get_token(&[]).fails_with(1);
    }
    gate.open();
    assert_eq!(scene.sandbox.opened().len(), 0);
    // No browser was opened, so there is no pause.
    scene.provider.heal(Endpoint::OpenidConfiguration);
    scene.get_token(&[]).token();
}

#[test]
fn a_redirect_of_the_metadata_is_not_followed() {
    let scene = Scene::new();
    let elsewhere = Provider::start();
    for endpoint in [Endpoint::OpenidConfiguration, Endpoint::OauthMetadata] {
        let to = elsewhere.url("/.well-known/openid-configuration");
        scene
            .provider
            .break_down(endpoint, Fault::Redirect { status: 302, to });
    }
    scene.get_token(&[]).fails_saying(
        1,
        &["redirected", &elsewhere.url("/.well-known"), "`issuer`"],
    );
    assert_eq!(elsewhere.all_seen().len(), 0);
}

#[test]
fn an_unreachable_host_is_named() {
    let sandbox = Sandbox::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let issuer = format!("http://127.0.0.1:{port}");
    ad_hoc(&sandbox, &issuer, &[]).fails_saying(1, &["127.0.0.1", "reached"]);
    assert_eq!(sandbox.opened().len(), 0);
}

#[test]
fn loopback_is_never_reached_through_a_proxy() {
    let mut scene = Scene::new();
    let proxy = Provider::start();
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        scene.sandbox.set(name, proxy.base());
    }
    scene.get_token(&[]).token();
    assert_eq!(proxy.all_seen().len(), 0);
}

#[test]
fn an_untrusted_certificate_has_its_own_error() {
    let scene = Scene::with(Provider::start_tls());
    let outcome = scene.get_token(&[]);
    outcome.fails_saying(1, &["certificate", "ca_file"]);
    assert!(!outcome.stderr.contains("hallpass login"), "{outcome}");
    assert_eq!(scene.sandbox.opened().len(), 0);
    assert_eq!(scene.provider.all_seen().len(), 0);
}

/// A minimal container or a fresh Debian has no CA certificates. Other systems always have some.
#[cfg(target_os = "linux")]
#[test]
fn without_ca_certificates_https_fails_with_a_hint_and_http_on_loopback_works() {
    let mut scene = Scene::with(Provider::start_tls());
    let none = scene.sandbox.root().join("none.pem");
    private_file(&none, "");
    scene.sandbox.set("SSL_CERT_FILE", &none);
    let outcome = scene.get_token(&["--flow", "device"]);
    outcome.fails_saying(
        1,
        &[
            "no CA certificates",
            "`ca-certificates`",
            "HALLPASS_CA_FILE=/path/to/ca.pem",
            "`ca_file`",
        ],
    );
    assert_eq!(scene.provider.all_seen().len(), 0);

    // The way out that needs no package.
    let authority = scene.sandbox.root().join("ca.pem");
    private_file(&authority, TLS_AUTHORITY);
    scene.sandbox.set("HALLPASS_CA_FILE", &authority);
    scene.provider.behave(|b| b.device_polls.clear());
    let running = scene.start(&["--flow", "device"]);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    scene.provider.approve_devices("alice");
    running.wait().token();

    let mut other = Scene::new();
    other.sandbox.set("SSL_CERT_FILE", &none);
    other.get_token(&[]).token();
}

/// macOS and Windows limit the lifetime of a private CA's certificates.
#[cfg(target_os = "linux")]
#[test]
fn a_private_ca_is_trusted_if_it_is_configured() {
    let mut scene = Scene::with(Provider::start_tls());
    // The test browser doesn't support TLS, so use the device flow.
    scene.provider.behave(|b| b.device_polls.clear());
    let authority = scene.sandbox.root().join("ca.pem");
    private_file(&authority, TLS_AUTHORITY);
    let line = format!("ca_file = {:?}\n", authority.to_str().unwrap());
    scene.configure_with_head(&line, "");
    let running = scene.start(&["--flow", "device"]);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    scene.provider.approve_devices("alice");
    running.wait().token();

    private_file(&authority, "no certificate");
    scene.advance(4000);
    scene.get_token(&[]).fails_saying(1, &["ca.pem"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_certificate_for_another_host_is_rejected() {
    let mut scene = Scene::with(Provider::start_tls());
    let authority = scene.sandbox.root().join("ca.pem");
    private_file(&authority, TLS_AUTHORITY);
    let other = scene.provider.issuer().replace("localhost", "127.0.0.2");
    let head = format!("ca_file = {:?}\n", authority.to_str().unwrap());
    scene.configure_with_head(&head, &format!("issuer = {other:?}"));
    // The certificate is only valid for 127.0.0.1 and ::1.
    let outcome = scene.get_token(&[]);
    outcome.fails_with(1);
    assert_eq!(scene.sandbox.opened().len(), 0);
}
