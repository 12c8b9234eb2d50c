//! Requests to the redirect URI (RFC 6749 §4.1.2, RFC 9207, RFC 8252 §8). Only the real callback
//! ends a sign-in.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::provider::{Endpoint, patch};
use crate::sandbox::{Outcome, Running, wait_until_closed};
use crate::scene::Scene;
use crate::wire::{self, Reply};

/// A sign-in whose browser does nothing, so that the test can send the callback itself.
struct Pending {
    scene: Scene,
    running: Running,
    authorization_url: String,
}

impl Pending {
    fn new() -> Self {
        Self::with(Scene::new(), &[])
    }

    fn with(mut scene: Scene, arguments: &[&str]) -> Self {
        scene.sandbox.browser_will("ignore");
        let running = scene.start(arguments);
        let authorization_url = scene.sandbox.wait_for_browser(1);
        Self {
            scene,
            running,
            authorization_url,
        }
    }

    fn parameter(&self, name: &str) -> String {
        let url = Url::parse(&self.authorization_url).unwrap();
        let (_, value) = url.query_pairs().find(|(n, _)| n == name).unwrap();
        value.into_owned()
    }

    fn redirect_uri(&self) -> Url {
        Url::parse(&self.parameter("redirect_uri")).unwrap()
    }

    /// The redirect URI with these parameters.
    fn callback(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.redirect_uri();
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }

    fn genuine(&self) -> String {
        let provider = &self.scene.provider;
        provider.sign_in_by_hand(&self.authorization_url, "alice")
    }

    /// Sends the real callback, and returns the outcome of the run.
    #[track_caller]
    fn finish(self) -> (Scene, Outcome) {
        wire::deliver(&self.genuine());
        let Self { scene, running, .. } = self;
        (scene, running.wait())
    }

    /// Checks that a request is rejected and that no code is exchanged.
    #[track_caller]
    fn refuses(&self, what: &str, reply: std::io::Result<Reply>) {
        let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(reply.status >= 400, "{what}: {}", reply.status);
        assert_eq!(self.scene.provider.count(Endpoint::Code), 0, "{what}");
    }
}

#[test]
fn a_wrong_or_missing_state_is_rejected_and_the_real_callback_still_works() {
    let pending = Pending::new();
    let state = pending.parameter("state");
    let issuer = pending.scene.provider.issuer();
    for parameters in [
        &[("code", "stolen"), ("iss", &issuer)][..],
        &[("code", "stolen"), ("state", ""), ("iss", &issuer)],
        &[("code", "stolen"), ("state", "wrong"), ("iss", &issuer)],
        &[("code", "stolen"), ("state", &state[1..]), ("iss", &issuer)],
        &[
            ("code", "stolen"),
            ("state", &state.to_uppercase()),
            ("iss", &issuer),
        ],
    ] {
        let reply = wire::get(&pending.callback(parameters)).unwrap();
        assert_eq!(reply.status, 400, "{parameters:?}");
    }
    pending.finish().1.token();
}

#[test]
fn an_error_without_the_state_is_ignored() {
    let pending = Pending::new();
    for parameters in [
        &[("error", "access_denied")][..],
        &[("error", "access_denied"), ("state", "wrong")],
        &[("error", "<script>alert(1)</script>")],
    ] {
        let reply = wire::get(&pending.callback(parameters)).unwrap();
        assert_eq!(reply.status, 400, "{parameters:?}");
        assert!(!reply.body.contains("script"), "{}", reply.body);
    }
    pending.finish().1.token();
}

#[test]
fn an_error_with_the_state_ends_the_sign_in_with_that_error() {
    let pending = Pending::new();
    let (state, issuer) = (pending.parameter("state"), pending.scene.provider.issuer());
    let callback = pending.callback(&[
        ("error", "temporarily_unavailable"),
        ("error_description", "<b>down</b>\u{1b}[2J"),
        ("state", &state),
        ("iss", &issuer),
    ]);
    let page = wire::deliver(&callback);
    assert_ne!(page.status, 200);
    assert!(
        !page.body.contains("<b>down") && !page.body.contains("[2J"),
        "{}",
        page.body
    );
    let outcome = pending.running.wait();
    let stderr = outcome.fails_saying(1, &["temporarily_unavailable"]);
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}

#[test]
fn the_providers_error_description_is_shown() {
    for (error, code) in [("access_denied", 4), ("invalid_scope", 1)] {
        let pending = Pending::new();
        let (state, issuer) = (pending.parameter("state"), pending.scene.provider.issuer());
        let callback = pending.callback(&[
            ("error", error),
            (
                "error_description",
                "AADSTS50105: you are not assigned to a role",
            ),
            ("state", &state),
            ("iss", &issuer),
        ]);
        let page = wire::deliver(&callback);
        assert!(!page.body.contains("AADSTS"), "{}", page.body);
        pending.running.wait().fails_saying(
            code,
            &[
                "cause: ",
                error,
                "AADSTS50105: you are not assigned to a role",
            ],
        );
    }
}

#[test]
fn declining_exits_with_4() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    scene
        .get_token(&[])
        .fails_saying(4, &["declined", "hallpass login corp"]);
    let page = scene.sandbox.page();
    assert_ne!(page.status(), 200);
    assert!(page.body().contains("declined"), "{}", page.body());
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
}

#[test]
fn repeated_parameters_are_rejected_and_the_sign_in_stays_pending() {
    let pending = Pending::new();
    let state = pending.parameter("state");
    for parameters in [
        &[("code", "one"), ("code", "two"), ("state", &state)][..],
        &[("code", "one"), ("state", &state), ("state", &state)],
        &[
            ("code", "one"),
            ("state", &state),
            ("iss", "a"),
            ("iss", "b"),
        ],
        &[("error", "x"), ("error", "y"), ("state", &state)],
    ] {
        let reply = wire::get(&pending.callback(parameters)).unwrap();
        assert_eq!(reply.status, 400, "{parameters:?}");
    }
    pending.finish().1.token();
}

#[test]
fn a_callback_without_a_code_or_with_both_code_and_error_is_rejected() {
    let pending = Pending::new();
    let (state, issuer) = (pending.parameter("state"), pending.scene.provider.issuer());
    let base = [("state", state.as_str()), ("iss", issuer.as_str())];
    for more in [&[][..], &[("code", "")], &[("code", "x"), ("error", "y")]] {
        let parameters = [&base[..], more].concat();
        pending.refuses(
            &format!("{more:?}"),
            wire::get(&pending.callback(&parameters)),
        );
    }
    pending.finish().1.token();
}

#[test]
fn a_different_iss_is_rejected() {
    for issuer in ["https://evil.example", "{}/", "{}x"] {
        let scene = Scene::new();
        let issuer = issuer.replace("{}", &scene.provider.issuer());
        let wrong = json!({ "iss": issuer });
        scene.provider.behave(|b| b.callback = patch(wrong));
        scene.get_token(&[]).fails_with(1);
        assert_eq!(
            scene.provider.count(Endpoint::Code),
            0,
            "the code was sent to the provider"
        );
        assert_ne!(scene.sandbox.page().status(), 200);
    }
}

#[test]
fn a_missing_iss_is_rejected_if_the_metadata_announces_it() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.callback = patch(json!({ "iss": null })));
    scene.get_token(&[]).fails_with(1);
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
}

#[test]
fn an_unannounced_iss_may_be_missing_but_not_wrong() {
    let scene = Scene::new();
    let silent = json!({ "authorization_response_iss_parameter_supported": null });
    scene.provider.behave(|b| {
        b.metadata = patch(silent);
        b.callback = patch(json!({ "iss": null }));
    });
    scene.login(&[]).succeeds();
    scene
        .provider
        .behave(|b| b.callback = patch(json!({ "iss": "https://evil.example" })));
    scene.login(&[]).fails_with(1);
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
}

#[test]
fn other_requests_are_rejected_and_the_sign_in_stays_pending() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    let genuine = pending.genuine();
    let elsewhere =
        |target: &str| format!("{}{target}", uri.as_str().trim_end_matches("/callback"));
    for path in [
        "/",
        "/favicon.ico",
        "/callback/",
        "/callback2?code=x",
        "//callback",
    ] {
        pending.refuses(path, wire::get(&elsewhere(path)));
    }
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        pending.refuses(method, wire::request(method, &genuine, &[], None));
    }
    for (name, value) in [
        ("Host", "evil.example"),
        ("Host", "127.0.0.1"),
        ("Host", ""),
        ("Origin", "https://evil.example"),
        ("Sec-Purpose", "prefetch"),
        ("Purpose", "prefetch"),
    ] {
        let reply = wire::request("GET", &genuine, &[(name, value)], None);
        pending.refuses(&format!("{name}: {value}"), reply);
    }
    pending.finish().1.token();
}

#[test]
fn non_http_connections_are_closed_and_the_sign_in_stays_pending() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..], // TLS
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: x\r\nBroken\r\n\r\n",
    ] {
        let mut stream = wire::connect(&uri).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Any response is fine except the redirect.
        if let Ok(reply) = wire::read(stream) {
            assert!(reply.status >= 400, "{bytes:?}: {}", reply.status);
        }
    }
    pending.finish().1.token();
}

#[test]
fn an_oversized_request_head_is_rejected_but_many_cookies_are_accepted() {
    let pending = Pending::new();
    let huge = "x".repeat(20 * 1024);
    let reply = wire::request("GET", &pending.genuine(), &[("Cookie", &huge)], None);
    if let Ok(reply) = reply {
        assert!(reply.status >= 400, "{}", reply.status);
    }
    assert_eq!(pending.scene.provider.count(Endpoint::Code), 0);
    // Cookies don't depend on the port, so a browser also sends those of other local servers.
    let many = "y".repeat(12 * 1024);
    let reply = wire::request("GET", &pending.genuine(), &[("Cookie", &many)], None).unwrap();
    assert_eq!(reply.status, 303);
    wire::follow(&pending.genuine(), &reply);
    pending.running.wait().token();
}

#[test]
fn idle_connections_do_not_delay_the_callback() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    let idle: Vec<TcpStream> = (0..40).map_while(|_| wire::connect(&uri).ok()).collect();
    assert!(idle.len() >= 16, "{}", idle.len());
    let (_, outcome) = pending.finish();
    outcome.token();
    drop(idle);
}

#[test]
fn a_callback_that_arrives_in_pieces_is_accepted() {
    let pending = Pending::new();
    let url = Url::parse(&pending.genuine()).unwrap();
    let request = format!(
        "GET {}?{} HTTP/1.1\r\nHost: {}\r\n\r\n",
        url.path(),
        url.query().unwrap(),
        url.authority()
    );
    let mut stream = wire::connect(&url).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in request.as_bytes().chunks(40) {
        stream.write_all(piece).unwrap();
        stream.flush().unwrap();
    }
    let reply = wire::read(stream).unwrap();
    assert_eq!(reply.status, 303);
    wire::follow(url.as_str(), &reply);
    pending.running.wait().token();
}

#[test]
fn a_repeated_callback_is_exchanged_once() {
    use crate::provider::{Fault, Gate};
    let pending = Pending::new();
    let gate = Gate::default();
    pending
        .scene
        .provider
        .break_down(Endpoint::Code, Fault::Held(gate.clone()));
    let genuine = pending.genuine();
    let first = wire::get(&genuine).unwrap();
    gate.wait_for_arrivals(1);
    // A reload during the exchange gets its response when the exchange is complete.
    let again = genuine.clone();
    let second = std::thread::spawn(move || wire::get(&again).map(|reply| reply.status));
    gate.open();
    let clean = Url::parse(&genuine)
        .unwrap()
        .join(first.header("Location").unwrap())
        .unwrap();
    let second = second.join().unwrap();
    let page = wire::get(clean.as_str());
    pending.running.wait().token();
    assert!(matches!(second, Ok(303) | Err(_)), "{second:?}");
    assert!(page.is_ok_and(|page| page.status == 200));
    assert_eq!(pending.scene.provider.count(Endpoint::Code), 1);
}

#[test]
fn the_redirect_removes_the_code_from_the_address_bar() {
    let pending = Pending::new();
    let genuine = pending.genuine();
    let reply = wire::get(&genuine).unwrap();
    assert_eq!(reply.status, 303);
    let clean = reply.header("Location").unwrap().to_owned();
    assert!(
        !clean.contains("code") && !clean.contains("state"),
        "{clean}"
    );
    assert!(!reply.body.contains("code-"), "{}", reply.body);
    let clean = Url::parse(&genuine).unwrap().join(&clean).unwrap();
    assert_eq!(wire::get(clean.as_str()).unwrap().status, 200);
    pending.running.wait().token();
}

#[test]
fn the_result_page_is_served_once_before_the_port_closes() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    let (_, outcome) = pending.finish();
    outcome.token();
    wait_until_closed(&uri);
}

#[test]
fn the_tool_gets_its_token_even_if_the_result_page_is_never_loaded() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    assert_eq!(wire::get(&pending.genuine()).unwrap().status, 303);
    let outcome = pending.running.wait();
    outcome.token();
    assert!(outcome.took < Duration::from_secs(15), "{outcome}");
    wait_until_closed(&uri);
}

#[test]
fn the_port_closes_when_the_sign_in_times_out() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
    let pending = Pending::with(scene, &[]);
    let uri = pending.redirect_uri();
    pending
        .running
        .wait()
        .fails_saying(4, &["timed out", "hallpass login corp"]);
    wait_until_closed(&uri);
}

/// Some providers show an error page instead of redirecting the browser.
#[test]
fn the_hint_about_provider_error_pages_is_shown_before_and_after_the_timeout() {
    for (line, with_fixed_port) in [
        ("", true),
        ("redirect_uri = \"http://127.0.0.1:PORT/cb\"", false),
    ] {
        let mut scene = Scene::new();
        scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let line = line.replace("PORT", &port.to_string());
        scene.configure(&line);
        let pending = Pending::with(scene, &[]);
        let uri = pending.redirect_uri();
        let outcome = pending.running.wait();
        let (before, after) = outcome.stderr.split_once("error: ").unwrap();
        for text in [before, after] {
            assert!(text.contains("error page"), "{outcome}");
            assert!(text.contains("the client hallpass"), "{outcome}");
            assert!(text.contains(uri.as_str()), "{outcome}");
        }
        let fixed =
            "set `redirect_uri = \"http://127.0.0.1:8484/callback\"` under `[providers.corp]`";
        assert_eq!(after.contains(fixed), with_fixed_port, "{outcome}");
    }
}

#[cfg(unix)]
#[test]
fn the_port_closes_after_an_interrupt() {
    let pending = Pending::new();
    let uri = pending.redirect_uri();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pending.running.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let outcome = pending.running.wait();
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.stdout, "");
    wait_until_closed(&uri);
    // The next caller isn't told to wait for the process that exited.
    let mut scene = pending.scene;
    scene.sandbox.browser_will("sign-in");
    scene.get_token(&[]).token();
}

#[test]
fn requests_to_the_port_do_not_reveal_the_sign_in_url() {
    let pending = Pending::new();
    let state = pending.parameter("state");
    for path in ["/", "/callback", "/authorize", "/login"] {
        let url = pending.redirect_uri().join(path).unwrap();
        let reply = wire::get(url.as_str()).unwrap();
        let said = format!("{:?} {}", reply.headers, reply.body);
        assert!(
            !said.contains(&state) && !said.contains("/authorize?"),
            "{said}"
        );
    }
    pending.finish().1.token();
}

#[test]
fn a_fixed_port_in_use_is_reported_and_no_browser_opens() {
    let mut scene = Scene::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    scene.configure(&format!("redirect_uri = \"http://127.0.0.1:{port}/cb\""));
    scene
        .get_token(&[])
        .fails_saying(1, &[&port.to_string(), "redirect_uri"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn the_next_registered_port_is_used_if_the_first_is_in_use() {
    let mut scene = Scene::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let uri = |port: u16| format!("http://127.0.0.1:{port}/cb");
    let [first, second] = [taken.local_addr(), free].map(|address| uri(address.unwrap().port()));
    scene.configure(&format!("redirect_uri = [{first:?}, {second:?}]"));
    scene.get_token(&[]).token();
    let asked = &scene.provider.seen(Endpoint::Authorize)[0];
    assert_eq!(asked.query("redirect_uri"), Some(second.as_str()));

    scene.configure(&format!("redirect_uri = [{first:?}, {first:?}]"));
    let failed = scene.get_token(&["--scope", "openid", "--scope", "other"]);
    failed.fails_saying(1, &[&first[17..22], "redirect_uri"]);
    scene.configure(&format!(
        "redirect_uri = [{first:?}, \"http://127.0.0.1/cb\"]"
    ));
    scene
        .get_token(&[])
        .fails_saying(2, &["must each have a port"]);
}

#[test]
fn a_fixed_port_and_path_are_used_as_registered() {
    // A port that was free a moment ago. If something else takes it now, the test fails.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut scene = Scene::new();
    let uri = format!("http://127.0.0.1:{port}/a/b");
    scene.configure(&format!("redirect_uri = {uri:?}"));
    scene.get_token(&[]).token();
    let request = &scene.provider.seen(Endpoint::Authorize)[0];
    assert_eq!(request.query("redirect_uri"), Some(uri.as_str()));
}

#[test]
fn localhost_listens_on_ipv4_and_ipv6_on_one_port() {
    let pending = Pending::with(Scene::new(), &["--redirect-uri", "http://localhost/cb"]);
    let uri = pending.redirect_uri();
    assert_eq!((uri.host_str(), uri.path()), (Some("localhost"), "/cb"));
    let port = uri.port().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    if has_ipv6() {
        assert!(TcpStream::connect(("::1", port)).is_ok());
    }
    pending.finish().1.token();
}

#[test]
fn a_callback_to_localhost_is_accepted_over_ipv4_and_ipv6() {
    let families: &[&str] = if has_ipv6() {
        &["127.0.0.1", "[::1]"]
    } else {
        &["127.0.0.1"]
    };
    for family in families {
        let pending = Pending::with(Scene::new(), &["--redirect-uri", "http://localhost/cb"]);
        let mut there = Url::parse(&pending.genuine()).unwrap();
        let host = there.authority().to_owned();
        there.set_host(Some(family)).unwrap();
        // The browser resolves the name but still sends it in `Host`.
        let reply = wire::request("GET", there.as_str(), &[("Host", &host)], None).unwrap();
        assert_eq!(reply.status, 303, "{family}");
        pending.running.wait().token();
    }
}

#[test]
fn a_fixed_localhost_port_in_use_on_either_family_is_an_error() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(taken) = TcpListener::bind(address) else {
            continue; // This machine has no IPv6.
        };
        let port = taken.local_addr().unwrap().port();
        let mut scene = Scene::new();
        scene.configure(&format!("redirect_uri = \"http://localhost:{port}/cb\""));
        scene
            .get_token(&[])
            .fails_saying(1, &[&port.to_string(), "redirect_uri"]);
        assert_eq!(scene.sandbox.opened().len(), 0, "{address}");
    }
}

#[test]
fn the_ipv6_loopback_address_can_be_configured() {
    if !has_ipv6() {
        return; // This machine has no IPv6.
    }
    let pending = Pending::with(Scene::new(), &["--redirect-uri", "http://[::1]/cb"]);
    assert_eq!(pending.redirect_uri().host_str(), Some("[::1]"));
    pending.finish().1.token();
}

#[test]
fn a_redirect_uri_that_is_not_loopback_is_rejected() {
    for uri in [
        "http://192.0.2.1/cb",
        "https://127.0.0.1/cb",
        "http://0.0.0.0/cb",
        "urn:x",
    ] {
        let scene = Scene::new();
        scene
            .get_token(&["--redirect-uri", uri])
            .fails_saying(2, &["redirect"]);
        assert_eq!(scene.sandbox.opened().len(), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn hallpass_listens_on_loopback_only() {
    let pending = Pending::new();
    let port = pending.redirect_uri().port().unwrap();
    let wanted = format!(":{port:04X} ");
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines() {
            // Fields: sl, local address, remote address, state. 0A is LISTEN.
            let mut words = line.split_whitespace().skip(1);
            let local = format!("{} ", words.next().unwrap_or_default());
            if local.ends_with(&wanted) && words.nth(1) == Some("0A") {
                found.push(local.trim_end().to_owned());
            }
        }
    }
    assert_eq!(found, [format!("0100007F:{port:04X}")]);
    pending.finish().1.token();
}

/// Another user of the machine can read the URL in the browser's arguments, sign in with another
/// account, and deliver that code.
#[cfg(target_os = "linux")]
#[test]
fn a_callback_from_another_user_is_rejected() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;

    if !rustix::process::geteuid().is_root() {
        return; // Only root can run a process as another user.
    }
    let pending = Pending::new();
    // A folder that the other user can read and write.
    let other = crate::sandbox::TempDir::new();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(other.path(), open).unwrap();
    let executable = other.path().join("browser");
    crate::sandbox::copy_program(std::env::current_exe().unwrap(), &executable);
    let mut browser = std::process::Command::new(&executable);
    browser
        .args(crate::browser::ARGUMENTS)
        .arg(pending.genuine())
        .env_clear()
        .env(crate::browser::NOTES, other.path())
        .stdout(std::process::Stdio::null())
        .current_dir("/")
        .uid(65534)
        .gid(65534);
    assert!(browser.status().unwrap().success());
    let page = crate::sandbox::page_in(other.path());
    assert!((400..500).contains(&page.status()), "{}", page.status());
    assert_eq!(pending.scene.provider.count(Endpoint::Code), 0);
    pending.finish().1.token();
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
