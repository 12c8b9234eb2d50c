//! The authorization code grant, from the command line to the token (RFC 6749 §4.1, RFC 7636,
//! RFC 8252).

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::provider::{ClientAuth, Endpoint, Provider, patch};
use crate::sandbox::{Sandbox, browser_command, private_file, wait_until_closed};
use crate::scene::Scene;
use crate::wire;

#[test]
fn a_browser_sign_in_prints_only_the_token_on_stdout() {
    let scene = Scene::new();
    let outcome = scene.get_token(&[]);
    let token = outcome.token();
    assert_eq!(scene.provider.owner(token).as_deref(), Some("alice"));
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn the_second_call_is_answered_from_the_cache() {
    let (scene, token) = Scene::signed_in();
    let requests = scene.provider.all_seen().len();
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(
        scene.provider.all_seen().len(),
        requests,
        "a hit costs no network"
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_cache_hit_prints_nothing_on_stderr() {
    let (scene, _) = Scene::signed_in();
    assert_eq!(scene.get_token(&[]).stderr, "");
}

#[test]
fn a_provider_can_be_given_on_the_command_line() {
    let provider = Provider::start();
    let sandbox = Sandbox::new();
    let issuer = provider.issuer();
    let arguments = [
        "get-token",
        "--issuer-url",
        &issuer,
        "--client-id",
        "hallpass",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
    ];
    let token = sandbox.run(&arguments).token().to_owned();
    assert_eq!(provider.owner(&token).as_deref(), Some("alice"));
    assert_eq!(sandbox.run(&arguments).token(), token);
    assert_eq!(provider.count(Endpoint::Code), 1);
    assert_eq!(provider.violations(), [""; 0]);
}

#[test]
fn an_issuer_alone_requests_the_default_scopes_it_supports() {
    for (supported, expected) in [
        (Value::Null, Some("openid offline_access")),
        (
            json!(["email", "offline_access", "openid"]),
            Some("openid offline_access"),
        ),
        (json!(["openid", "email"]), Some("openid")),
        (json!(["repo"]), None),
    ] {
        let provider = Provider::start();
        provider.behave(|b| {
            b.metadata = patch(json!({ "scopes_supported": supported }));
            b.device_response = patch(json!({ "interval": 1 }));
        });
        for (verb, flow) in [("get-token", "browser"), ("login", "device")] {
            let sandbox = Sandbox::new();
            let issuer = provider.issuer();
            let named = ["--issuer-url", &issuer, "--client-id", "hallpass"];
            let running = sandbox.start(&[&[verb, "--flow", flow], &named[..]].concat());
            if flow == "device" {
                provider.wait_for(Endpoint::DeviceAuthorization, 1);
                provider.approve_devices("alice");
            }
            running.wait().succeeds();
            // The same session, because a session is identified by the requested scopes.
            sandbox
                .run(&[&["get-token", "--interactive", "never"], &named[..]].concat())
                .token();
        }
        let authorize = provider.seen(Endpoint::Authorize);
        assert_eq!(authorize[0].query("scope"), expected, "{supported}");
        assert_eq!(authorize[0].query("nonce").is_some(), expected.is_some());
        let device = provider.seen(Endpoint::DeviceAuthorization);
        assert_eq!(device[0].form("scope"), expected, "{supported}");
        assert_eq!(provider.violations(), [""; 0]);
    }

    // Explicitly chosen scopes are sent unchanged.
    let provider = Provider::start();
    let sandbox = Sandbox::new();
    let issuer = provider.issuer();
    let named = ["--issuer-url", &issuer, "--client-id", "hallpass"];
    let chosen = ["--scope", "openid", "--scope", "unlisted"];
    sandbox
        .run(&[&["get-token"], &named[..], &chosen].concat())
        .token();
    let asked = provider.seen(Endpoint::Authorize);
    assert_eq!(asked[0].query("scope"), Some("openid unlisted"));
}

#[test]
fn a_resource_gets_its_providers_token() {
    let mut scene = Scene::new();
    scene.configure(
        "[[resources]]\nmatch = \"https://api.corp.example\"\nprovider = \"corp\"\naccount = \"work\"",
    );
    let outcome = scene.sandbox.run(&[
        "get-token",
        "https://api.corp.example/v1/things",
        "--format",
        "json",
    ]);
    let reply = outcome.json();
    assert_eq!(
        (&reply["provider"], &reply["account"]),
        (&json!("corp"), &json!("work"))
    );
    scene
        .sandbox
        .run(&["get-token", "https://api.corp.example.evil.example/"])
        .fails_with(2);
}

#[test]
fn the_url_is_passed_to_the_browser_as_one_argument_and_printed_on_stderr() {
    let scene = Scene::new();
    let outcome = scene.get_token(&[]);
    let opened = scene.sandbox.opened();
    assert_eq!(opened[0].len(), 1, "{opened:?}");
    assert!(outcome.stderr.contains(&opened[0][0]), "{outcome}");
}

#[test]
fn percent_s_in_browser_is_replaced_by_the_url() {
    let mut scene = Scene::new();
    let mut command = std::ffi::OsString::from("/does/not/exist %s:");
    command.push(browser_command());
    command.push(" %s");
    if cfg!(unix) {
        scene.sandbox.set("BROWSER", command);
    }
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened()[0].len(), 1);
}

#[test]
fn the_browser_can_be_configured() {
    let mut scene = Scene::new();
    let command = browser_command().into_string().unwrap();
    scene.sandbox.unset("BROWSER");
    scene.configure_with_head(&format!("browser = {command:?}\n"), "");
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn hallpass_does_not_wait_for_the_browser_or_share_its_output() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("linger");
    let running = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    // `wait` fails if another process still holds stdout or stderr open.
    running.wait().token();
    scene.sandbox.dismiss_browser();
}

#[test]
fn verifier_state_and_nonce_are_new_for_every_sign_in() {
    let scene = Scene::new();
    for _ in 0..2 {
        scene.login(&[]).succeeds();
    }
    let asked = scene.provider.seen(Endpoint::Authorize);
    for name in ["state", "nonce", "code_challenge"] {
        let values: BTreeSet<_> = asked.iter().map(|seen| seen.query(name).unwrap()).collect();
        assert_eq!(values.len(), 2, "{name}");
    }
    // The provider checks their lengths, the method S256, and that verifier and challenge match.
    let exchanged = scene.provider.seen(Endpoint::Code);
    let verifiers: BTreeSet<_> = exchanged
        .iter()
        .map(|seen| seen.form("code_verifier").unwrap())
        .collect();
    assert_eq!(verifiers.len(), 2);
    assert!(verifiers.iter().all(|v| (43..=128).contains(&v.len())));
}

#[test]
fn the_redirect_uri_is_identical_in_both_requests() {
    let scene = Scene::new();
    scene.get_token(&[]).token();
    let asked = &scene.provider.seen(Endpoint::Authorize)[0];
    let exchanged = &scene.provider.seen(Endpoint::Code)[0];
    let uri = asked.query("redirect_uri").unwrap();
    assert_eq!(exchanged.form("redirect_uri"), Some(uri));
    assert!(
        uri.starts_with("http://127.0.0.1:") && uri.ends_with("/callback"),
        "{uri}"
    );
}

#[test]
fn no_implicit_grant_no_password_grant_and_no_form_post() {
    let scene = Scene::new();
    scene.get_token(&["--extra-param", "a=b"]).token();
    let asked = &scene.provider.seen(Endpoint::Authorize)[0];
    assert_eq!(asked.query("response_type"), Some("code"));
    assert_eq!(asked.query("response_mode"), None);
    for flow in ["implicit", "password", "form_post"] {
        scene.get_token(&["--flow", flow]).fails_with(2);
    }
    scene.get_token(&["--username", "alice"]).fails_with(2);
    scene.get_token(&["--password", "secret"]).fails_with(2);
}

#[test]
fn resource_audience_and_extra_parameters_are_sent() {
    let scene = Scene::new();
    scene
        .get_token(&[
            "--resource",
            "https://api.example/a",
            "--resource",
            "https://api.example/b",
            "--audience",
            "https://audience.example",
            "--extra-param",
            "acr_values=high & mighty",
        ])
        .token();
    let asked = &scene.provider.seen(Endpoint::Authorize)[0];
    let resources = |pairs: &crate::provider::Pairs| {
        let all = pairs.iter().filter(|(name, _)| name == "resource");
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let both = ["https://api.example/a", "https://api.example/b"];
    assert_eq!(resources(&asked.request.query), both);
    assert_eq!(asked.query("audience"), Some("https://audience.example"));
    assert_eq!(asked.query("acr_values"), Some("high & mighty"));
    let exchanged = &scene.provider.seen(Endpoint::Code)[0];
    assert_eq!(resources(&exchanged.request.form), both);
}

#[test]
fn an_extra_parameter_cannot_replace_a_security_parameter() {
    for name in [
        "state",
        "code_challenge",
        "code_challenge_method",
        "redirect_uri",
        "response_type",
        "response_mode",
        "client_id",
        "nonce",
        "scope",
    ] {
        let scene = Scene::new();
        let outcome = scene.get_token(&["--extra-param", &format!("{name}=x")]);
        outcome.fails_saying(2, &[name]);
        assert_eq!(scene.sandbox.opened().len(), 0);
    }
}

#[test]
fn prompt_consent_is_sent_only_with_offline_access() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"openid\"]");
    scene.get_token(&[]).token();
    assert_eq!(
        scene.provider.seen(Endpoint::Authorize)[0].query("prompt"),
        None
    );
    scene.configure("scopes = [\"openid\", \"offline_access\"]");
    scene.get_token(&[]).token();
    let asked = scene.provider.seen(Endpoint::Authorize);
    assert_eq!(asked[1].query("prompt"), Some("consent"));
}

#[test]
fn a_client_secret_is_form_encoded_for_basic() {
    with_secret(
        "s:e%c+r e&t=ü",
        |secret| ClientAuth::Basic { secret },
        "client_auth = \"basic\"",
    );
}

#[test]
fn a_client_secret_is_posted_if_client_auth_is_post() {
    with_secret(
        "s:e%c+r e&t=ü",
        |secret| ClientAuth::Post { secret },
        "client_auth = \"post\"",
    );
}

#[test]
fn the_client_authentication_method_is_read_from_the_metadata() {
    with_secret("secret", |secret| ClientAuth::Basic { secret }, "");
    with_secret("secret", |secret| ClientAuth::Post { secret }, "");
}

fn with_secret(secret: &str, auth: impl Fn(String) -> ClientAuth, line: &str) {
    let mut scene = Scene::new();
    scene
        .provider
        .behave(|b| b.client_auth = auth(secret.to_owned()));
    let file = scene.sandbox.root().join("client-secret");
    private_file(&file, &format!("{secret}\n"));
    scene.configure(&format!(
        "client_secret_file = {:?}\n{line}",
        file.to_str().unwrap()
    ));
    scene.get_token(&[]).token();
    // The provider also checks it for refreshes and revocations.
    scene.advance(4000);
    scene.get_token(&[]).token();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert!(scene.provider.count(Endpoint::Revocation) >= 1);
}

#[test]
fn a_wrong_client_secret_is_reported_and_nothing_is_stored() {
    let mut scene = Scene::new();
    let secret = "right".to_owned();
    scene
        .provider
        .behave(|b| b.client_auth = ClientAuth::Basic { secret });
    let file = scene.sandbox.root().join("client-secret");
    private_file(&file, "wrong\n");
    scene.configure(&format!(
        "client_secret_file = {:?}",
        file.to_str().unwrap()
    ));
    scene
        .get_token(&[])
        .fails_saying(1, &["invalid_client", "client_secret_file"]);
    assert!(!scene.provider.take_violations().is_empty());
    assert!(scene.sessions().is_empty());
}

#[test]
fn a_pushed_request_is_sent_if_the_metadata_requires_it() {
    let scene = Scene::new();
    let demand = json!({
        "require_pushed_authorization_requests": true,
        "pushed_authorization_request_endpoint": scene.provider.url("/par"),
    });
    scene.provider.behave(|b| b.metadata = patch(demand));
    scene.get_token(&[]).token();
    // The provider checks that only client_id and request_uri went through the browser.
    assert_eq!(scene.provider.count(Endpoint::PushedAuthorization), 1);
}

#[test]
fn a_request_is_pushed_if_the_client_is_registered_for_it() {
    let mut scene = Scene::new();
    let offer = json!({ "pushed_authorization_request_endpoint": scene.provider.url("/par") });
    scene.provider.behave(|b| {
        b.metadata = patch(offer);
        b.client_must_push = true;
    });
    // Manually configured endpoints don't hide the endpoint for pushed requests.
    let mut by_hand = String::new();
    for (key, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("jwks_uri", "/jwks"),
    ] {
        by_hand.extend([key, " = \"", &scene.provider.url(path), "\"\n"]);
    }
    for more in ["", by_hand.as_str()] {
        scene.configure(&format!("par = true\n{more}"));
        scene.login(&[]).succeeds();
    }
    assert_eq!(scene.provider.count(Endpoint::PushedAuthorization), 2);

    let without = json!({ "pushed_authorization_request_endpoint": null });
    scene.provider.behave(|b| b.metadata = patch(without));
    scene.advance(4000);
    scene.login(&[]).fails_saying(
        1,
        &["pushed_authorization_request_endpoint", "`par = true`"],
    );
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn the_result_page_names_the_person_and_its_url_has_no_code() {
    let mut scene = Scene::new();
    scene.sandbox.person("zoë");
    let outcome = scene.login(&["--account", "work"]);
    outcome.succeeds();
    let page = scene.sandbox.page();
    assert_eq!(page.status(), 200);
    for word in ["corp", "work", "zoë"] {
        assert!(page.body().contains(word), "{word}: {}", page.body());
        assert!(outcome.stderr.contains(word), "{word}: {outcome}");
    }
    let urls = page.urls();
    let last = urls.last().unwrap();
    assert!(!last.contains('?'), "{last}");
}

#[test]
fn the_result_page_reports_success_only_after_the_token_is_stored() {
    use crate::provider::{Fault, Gate};
    let scene = Scene::new();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Code, Fault::Held(gate.clone()));
    let running = scene.start(&[]);
    gate.wait_for_arrivals(1);
    assert!(
        !scene.sandbox.has_page(),
        "the result page was shown too early"
    );
    gate.open();
    running.wait().token();
    assert_eq!(scene.sandbox.page().status(), 200);
    assert_eq!(scene.sessions().len(), 1);
}

#[test]
fn the_result_page_reports_a_failed_exchange() {
    use crate::provider::Fault;
    let scene = Scene::new();
    scene
        .provider
        .break_down(Endpoint::Code, Fault::status(500));
    scene.get_token(&[]).fails_with(1);
    let page = scene.sandbox.page();
    assert_ne!(page.status(), 200);
    assert!(!page.body().contains("You are signed in"));
}

#[test]
fn the_result_page_is_not_cached_and_sends_no_referrer_and_runs_no_script() {
    let scene = Scene::new();
    scene.get_token(&[]).token();
    let page = scene.sandbox.page();
    // The result page and the redirect before it.
    for hop in [0, 1] {
        assert_eq!(page.header(hop, "Cache-Control"), Some("no-store"));
        assert_eq!(page.header(hop, "Referrer-Policy"), Some("no-referrer"));
        assert_eq!(page.header(hop, "X-Content-Type-Options"), Some("nosniff"));
        let policy = page.header(hop, "Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn a_different_person_cannot_sign_in_to_the_same_account() {
    let (mut scene, token) = Scene::signed_in();
    scene.sandbox.person("mallory");
    let stderr = scene
        .login(&[])
        .fails_saying(1, &["alice", "mallory"])
        .to_owned();
    assert!(stderr.contains("--account"), "{stderr}");
    scene.sandbox.page(); // Of the first sign-in.
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.sessions()[0]["subject"], "sub-of-alice");
}

#[test]
fn without_an_id_token_userinfo_pins_the_person() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"offline_access\"]");
    let token = scene.get_token(&[]).token().to_owned();
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
    assert_eq!(scene.sessions()[0]["subject"], "sub-of-alice");
    scene.sandbox.person("mallory");
    scene.login(&[]).fails_with(1);
    assert_eq!(scene.get_token(&[]).token(), token);
}

#[test]
fn the_next_sign_in_sends_a_login_hint() {
    let (scene, _) = Scene::signed_in();
    scene.login(&[]).succeeds();
    let asked = scene.provider.seen(Endpoint::Authorize);
    assert_eq!(asked[0].query("login_hint"), None);
    let hint = asked[1].query("login_hint").unwrap();
    assert!(hint.contains("alice"), "{hint}");
}

#[test]
fn accounts_have_separate_sessions() {
    let mut scene = Scene::new();
    let mine = scene.get_token(&[]).token().to_owned();
    scene.sandbox.person("bob");
    let other = scene.add_account("work");
    assert_eq!(scene.provider.owner(&other).as_deref(), Some("bob"));
    assert_eq!(scene.get_token(&[]).token(), mine);
    assert_eq!(scene.get_token(&["--account", "work"]).token(), other);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn different_resources_audiences_and_parameters_have_separate_sessions() {
    let scene = Scene::new();
    let mut tokens = BTreeSet::new();
    let variants: [&[&str]; 4] = [
        &[],
        &["--resource", "https://api.example"],
        &["--audience", "https://api.example"],
        &["--extra-param", "tenant=one"],
    ];
    for variant in variants {
        let first = scene.get_token(variant).token().to_owned();
        assert_eq!(scene.get_token(variant).token(), first, "{variant:?}");
        tokens.insert(first);
    }
    assert_eq!(tokens.len(), variants.len());
}

#[test]
fn an_edited_token_endpoint_never_receives_the_old_refresh_token() {
    let mut scene = Scene::new();
    let endpoints = |scene: &Scene, token: &str| {
        format!(
            "authorization_endpoint = {:?}\ntoken_endpoint = {token:?}\n",
            scene.provider.url("/authorize")
        )
    };
    let right = scene.provider.url("/token");
    scene.configure(&endpoints(&scene, &right));
    scene.get_token(&[]).token();
    let elsewhere = Provider::start();
    let wrong = elsewhere.url("/token");
    scene.configure(&endpoints(&scene, &wrong));
    scene.advance(4000);
    scene.get_token(&["--interactive", "never"]).fails_with(3);
    assert_eq!(elsewhere.all_seen().len(), 0);
    scene.configure(&endpoints(&scene, &right));
    scene.get_token(&["--interactive", "never"]).token();
}

#[test]
fn endpoints_can_be_configured_without_an_issuer() {
    let mut scene = Scene::new();
    let provider = &scene.provider;
    let text = format!(
        "[providers.corp]\nclient_id = \"hallpass\"\nscopes = [\"offline_access\"]\n\
         authorization_endpoint = {:?}\ntoken_endpoint = {:?}\n",
        provider.url("/authorize"),
        provider.url("/token"),
    );
    scene.sandbox.config(&text);
    scene.get_token(&[]).token();
    assert_eq!(scene.provider.count(Endpoint::OpenidConfiguration), 0);
    scene.advance(4000);
    scene.get_token(&["--interactive", "never"]).token();
}

#[test]
fn without_a_store_every_call_signs_in_and_nothing_is_saved() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_STORE", "none");
    for count in 1..=2 {
        scene.get_token(&[]).token();
        assert_eq!(scene.sandbox.opened().len(), count);
    }
    for asked in scene.provider.seen(Endpoint::Authorize) {
        assert_eq!(asked.query("scope"), Some("openid"));
    }
    let sealed = crate::sandbox::files_below(&scene.sandbox.home());
    for (_, secret) in scene.provider.secrets() {
        for file in &sealed {
            let bytes = fs::read(file).unwrap();
            assert!(
                !crate::sandbox::leaks(&bytes, &secret),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn if_the_browser_cannot_start_hallpass_uses_a_device_code() {
    let mut scene = Scene::new();
    scene.sandbox.set("BROWSER", "/does/not/exist");
    let running = scene.start(&[]);
    scene.provider.wait_for(Endpoint::DeviceAuthorization, 1);
    scene.provider.approve_devices("alice");
    running.wait().token();
}

#[test]
fn if_the_browser_cannot_start_flow_browser_is_an_error() {
    let mut scene = Scene::new();
    scene.sandbox.set("BROWSER", "/does/not/exist");
    scene
        .get_token(&["--flow", "browser"])
        .fails_saying(1, &["browser", "--flow device"]);
    assert_eq!(scene.provider.count(Endpoint::DeviceAuthorization), 0);
    // No browser was opened, so there is no pause.
    scene.sandbox.set("BROWSER", browser_command());
    scene.get_token(&[]).token();
}

#[test]
fn only_the_authorization_page_is_opened() {
    let scene = Scene::new();
    scene.get_token(&[]).token();
    let opened = scene.sandbox.opened();
    assert!(opened[0][0].starts_with(&scene.provider.url("/authorize?")));
    // A request to the port doesn't reveal the URL.
    let port = scene.provider.seen(Endpoint::Authorize)[0]
        .query("redirect_uri")
        .unwrap()
        .to_owned();
    wait_until_closed(&url::Url::parse(&port).unwrap());
}
