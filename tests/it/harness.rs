//! Tests of the fake provider and the form browser, without hallpass.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::browser;
use crate::provider::{
    ClientAuth, Endpoint, Fault, Gate, KeyName, Provider, Rotation, Signature, first, patch,
};
use crate::sandbox::{Sandbox, leaks};
use crate::wire;

const REDIRECT: &str = "http://127.0.0.1:1/callback";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-specification";

fn authorization_url(provider: &Provider) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "hallpass"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid offline_access"),
            ("state", "a-state-of-more-than-22-characters"),
            ("nonce", "a-nonce-of-more-than-22-characters"),
            ("prompt", "consent"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    format!("{}?{query}", provider.url("/authorize"))
}

fn code_of(callback: &str) -> String {
    let url = url::Url::parse(callback).unwrap();
    let query = url.query_pairs().into_owned().collect();
    first(&query, "code").unwrap().to_owned()
}

fn post(provider: &Provider, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let reply = wire::request("POST", &provider.url(path), &[], Some(&form)).unwrap();
    let body = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
    (reply.status, body)
}

fn exchange(provider: &Provider, code: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "hallpass"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    post(provider, "/token", &form)
}

fn refresh(provider: &Provider, token: &Value) -> (u16, Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "hallpass"),
        ("refresh_token", token.as_str().unwrap()),
    ];
    post(provider, "/token", &form)
}

#[test]
fn a_code_is_exchanged_once_and_only_with_its_verifier() {
    let provider = Provider::start();
    let code = code_of(&provider.sign_in_by_hand(&authorization_url(&provider), "alice"));
    let (status, tokens) = exchange(&provider, &code);
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(
        provider
            .owner(tokens["access_token"].as_str().unwrap())
            .unwrap(),
        "alice"
    );
    assert!(tokens["id_token"].is_string() && tokens["refresh_token"].is_string());
    assert!(
        provider.violations().is_empty(),
        "{:?}",
        provider.violations()
    );

    assert_eq!(exchange(&provider, &code).0, 400);
    assert!(provider.take_violations()[0].contains("twice"));
    let known = provider.secrets();
    for (what, member) in [
        ("access token", "access_token"),
        ("refresh token", "refresh_token"),
    ] {
        let value = tokens[member].as_str().unwrap();
        assert!(
            known
                .iter()
                .any(|(kind, secret)| *kind == what && secret == value)
        );
    }
}

#[test]
fn a_request_without_pkce_state_or_consent_is_a_violation() {
    let provider = Provider::start();
    let url = format!(
        "{}?response_type=token&client_id=hallpass&redirect_uri={REDIRECT}&scope=openid+offline_access",
        provider.url("/authorize")
    );
    provider.sign_in_by_hand(&url, "alice");
    let violations = provider.take_violations().join("\n");
    for word in [
        "response_type",
        "code_challenge",
        "state",
        "nonce",
        "consent",
    ] {
        assert!(violations.contains(word), "{word}: {violations}");
    }
}

#[test]
fn reusing_a_rotated_refresh_token_revokes_its_family() {
    let provider = Provider::start();
    let code = code_of(&provider.sign_in_by_hand(&authorization_url(&provider), "alice"));
    let (_, first) = exchange(&provider, &code);
    let (status, second) = refresh(&provider, &first["refresh_token"]);
    assert_eq!(status, 200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(refresh(&provider, &first["refresh_token"]).0, 400);
    assert_eq!(provider.take_violations().len(), 1);
    assert_eq!(
        refresh(&provider, &second["refresh_token"]).1["error"],
        "invalid_grant"
    );
    assert_eq!(
        provider.owner(second["access_token"].as_str().unwrap()),
        None
    );
}

#[test]
fn without_rotation_the_refresh_token_stays_valid() {
    let provider = Provider::start();
    provider.behave(|b| b.rotation = Rotation::Off);
    let code = code_of(&provider.sign_in_by_hand(&authorization_url(&provider), "alice"));
    let (_, tokens) = exchange(&provider, &code);
    for _ in 0..2 {
        let (status, again) = refresh(&provider, &tokens["refresh_token"]);
        assert_eq!((status, again.get("refresh_token")), (200, None));
    }
    assert!(provider.violations().is_empty());
}

#[test]
fn the_client_must_use_its_registered_authentication_method() {
    let provider = Provider::start();
    let secret = "a:b%c+d e".to_owned();
    provider.behave(|b| b.client_auth = ClientAuth::Basic { secret });
    let form = "grant_type=refresh_token&refresh_token=x";
    let url = provider.url("/token");
    let basic = base64::engine::general_purpose::STANDARD.encode("hallpass:a%3Ab%25c%2Bd+e");
    let header = [("Authorization", &*format!("Basic {basic}"))];
    // A known client, so that the error is about the token.
    assert_eq!(
        wire::request("POST", &url, &header, Some(form))
            .unwrap()
            .status,
        400
    );
    assert!(
        provider.violations().is_empty(),
        "{:?}",
        provider.violations()
    );

    let plain = base64::engine::general_purpose::STANDARD.encode("hallpass:a:b%c+d e");
    let header = [("Authorization", &*format!("Basic {plain}"))];
    assert_eq!(
        wire::request("POST", &url, &header, Some(form))
            .unwrap()
            .status,
        401
    );
    assert_eq!(
        wire::request("POST", &url, &[], Some(form)).unwrap().status,
        401
    );
}

#[test]
fn the_published_keys_verify_the_signatures() {
    use ring::signature;
    let provider = Provider::start();
    for (key, how, verifies) in [
        (KeyName::RsaFirst, Signature::Good, true),
        (KeyName::EcFirst, Signature::Good, true),
        (KeyName::RsaFirst, Signature::Broken, false),
        (KeyName::EcFirst, Signature::Broken, false),
    ] {
        provider.behave(|b| {
            b.id_token.signed_by = key;
            b.id_token.signature = how;
        });
        let code = code_of(&provider.sign_in_by_hand(&authorization_url(&provider), "alice"));
        let (_, tokens) = exchange(&provider, &code);
        let id_token = tokens["id_token"].as_str().unwrap();
        let (input, signature) = id_token.rsplit_once('.').unwrap();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let jwks: Value =
            serde_json::from_str(&wire::get(&provider.url("/jwks")).unwrap().body).unwrap();
        let jwk = jwks["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|jwk| jwk["kid"] == key.kid())
            .unwrap();
        let member = |name: &str| bytes(jwk[name].as_str().unwrap());
        let verified = if jwk["kty"] == "RSA" {
            signature::RsaPublicKeyComponents {
                n: member("n"),
                e: member("e"),
            }
            .verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                input.as_bytes(),
                &bytes(signature),
            )
        } else {
            let point = [vec![4], member("x"), member("y")].concat();
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(input.as_bytes(), &bytes(signature))
        };
        assert_eq!(verified.is_ok(), verifies, "{key:?} {how:?}");
    }
}

#[test]
fn faults_have_their_documented_effect() {
    let provider = Provider::start();
    let url = provider.url("/jwks");
    provider.break_down(Endpoint::Jwks, Fault::status(503));
    assert_eq!(wire::get(&url).unwrap().status, 503);
    provider.break_down(Endpoint::Jwks, Fault::NoAnswer);
    assert!(wire::get(&url).is_err());
    provider.break_down(Endpoint::Jwks, Fault::LostAnswer);
    let cut = wire::get(&url).unwrap();
    assert!(cut.body.len() < cut.header("Content-Length").unwrap().parse().unwrap());
    let gate = Gate::default();
    provider.break_down(Endpoint::Jwks, Fault::Held(gate.clone()));
    let waiting = std::thread::spawn(move || wire::get(&url).unwrap().status);
    gate.wait_for_arrivals(1);
    assert!(!waiting.is_finished());
    gate.open();
    assert_eq!(waiting.join().unwrap(), 200);
    assert_eq!(provider.count(Endpoint::Jwks), 4);
}

#[test]
fn metadata_can_be_patched() {
    let provider = Provider::start_with_path("/tenant");
    let change = json!({ "jwks_uri": null, "code_challenge_methods_supported": ["plain"] });
    provider.behave(|b| b.metadata = patch(change));
    for path in [
        "/tenant/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant",
    ] {
        let reply = wire::get(&provider.url(path)).unwrap();
        let document: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(document["issuer"], provider.issuer());
        assert_eq!(document.get("jwks_uri"), None);
        assert_eq!(
            document["code_challenge_methods_supported"],
            json!(["plain"])
        );
    }
    let elsewhere = provider.url("/.well-known/openid-configuration");
    assert_eq!(wire::get(&elsewhere).unwrap().status, 404);
}

#[test]
fn the_form_browser_signs_in_and_declines() {
    for (action, parameter) in [("sign-in", "code="), ("decline", "error=access_denied")] {
        let provider = Provider::start();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let redirect = format!("http://{}/callback", listener.local_addr().unwrap());
        let listening = std::thread::spawn(move || {
            use std::io::{BufRead as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            let mut rest = String::new();
            while reader.read_line(&mut rest).unwrap() > 2 {}
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<h1>Here we are</h1>")
                .unwrap();
            line
        });
        let mut sandbox = Sandbox::new();
        sandbox.browser_will(action);
        sandbox.person("bob");
        let asked = authorization_url(&provider).replace(
            &url::form_urlencoded::byte_serialize(REDIRECT.as_bytes()).collect::<String>(),
            &url::form_urlencoded::byte_serialize(redirect.as_bytes()).collect::<String>(),
        );
        let mut browser = sandbox.surround(Command::new(std::env::current_exe().unwrap()));
        let status = browser
            .args(browser::ARGUMENTS)
            .arg(&asked)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let line = listening.join().unwrap();
        assert!(line.contains(parameter), "{line}");
        assert_eq!(sandbox.opened(), [[asked]]);
        let page = sandbox.page();
        assert_eq!((page.status(), page.body()), (200, "<h1>Here we are</h1>"));
        assert!(
            provider.violations().is_empty(),
            "{:?}",
            provider.violations()
        );
    }
}

#[test]
fn a_leak_is_found_in_each_encoding() {
    let secret = "at-secret/with+signs";
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    for text in [
        format!("the token is {secret}."),
        "code=at-secret%2Fwith%2Bsigns&x".to_owned(),
        encode(format!("u:{secret}")),
        encode(format!("us:{secret}!")),
        encode(format!("use:{secret}")),
    ] {
        assert!(leaks(text.as_bytes(), secret), "{text}");
    }
    assert!(!leaks(b"at-secret/with+sign", secret));
}
