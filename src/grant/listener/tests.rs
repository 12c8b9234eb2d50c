//! Tests each rule with a real socket, and that the genuine callback is still accepted afterwards.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::grant::page::Ending;

const GENUINE: &str = "code=secret-code&state=secret-state";
const GENUINE_REQUEST: &str =
    "GET {path}?code=secret-code&state=secret-state HTTP/1.1\r\nHost: {host}\r\n\r\n";
const PAGE: Page<'static> = Page {
    provider: "gitlab",
    account: "work",
    login: "hallpass login gitlab --account work",
    login_elsewhere: "hallpass login gitlab --account OTHER",
    ending: Ending::SignedIn {
        who: None,
        saved: true,
    },
};

/// Longer than any test takes, so a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The listener's address, for the client of a test.
struct Port {
    address: SocketAddr,
    authority: String,
    path: String,
}

impl Port {
    fn of(listener: &Listener) -> Self {
        let rest = listener.redirect_uri().strip_prefix("http://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        Self {
            address: listener.sockets[0].local_addr().unwrap(),
            authority: authority.to_owned(),
            path: path.to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends the request with `{host}` and `{path}` filled in, and reads the whole response.
    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(self.fill(request).as_bytes()).unwrap();
        read_all(&mut stream)
    }

    fn fill(&self, request: &str) -> String {
        request
            .replace("{host}", &self.authority)
            .replace("{path}", &self.path)
    }

    fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"))
    }

    fn genuine(&self) -> String {
        self.get(&format!("{{path}}?{GENUINE}"))
    }

    /// Requests the genuine callback and then the page, as a browser does.
    fn sign_in(&self) {
        assert_eq!(status(&self.genuine()), "303");
        assert_eq!(status(&self.get(&self.result_page())), "200");
    }

    fn result_page(&self) -> String {
        format!("{}/done", self.path.trim_end_matches('/'))
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    // A dropped connection may end in a reset. The data before it counts.
    let _ = stream.read_to_end(&mut response);
    String::from_utf8(response).unwrap()
}

fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or("nothing")
}

fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = response.split_once("\r\n\r\n")?;
    let mut values = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| value);
    let value = values.next();
    assert!(values.next().is_none(), "{name} twice");
    value
}

/// Runs `client` with a listener that accepts only the genuine callback. Returns the client's result
/// and each judged query.
fn with_listener<T>(mut listener: Listener, client: impl FnOnce(&Port) -> T) -> (T, Vec<String>) {
    let port = Port::of(&listener);
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let mut judged = Vec::new();
            let outcome = listener.wait(Instant::now() + PATIENCE, &mut |query| {
                judged.push(query.to_owned());
                if query == GENUINE {
                    Verdict::Accepted
                } else {
                    Verdict::Rejected
                }
            });
            if outcome.is_ok() {
                listener.finish(&PAGE);
            }
            judged
        });
        let returned = client(&port);
        (returned, server.join().unwrap())
    })
}

fn bound() -> Listener {
    Listener::bind(&RedirectUri::default()).unwrap()
}

/// Sends requests that must get these statuses. Then the genuine callback must still work, and only
/// `judged` and the genuine query may have been judged.
fn assert_refused_while_pending(requests: &[(impl AsRef<str>, &str)], judged: &[&str]) {
    let ((), queries) = with_listener(bound(), |port| {
        for (request, expected) in requests {
            let request = request.as_ref();
            let response = port.send(request);
            assert_eq!(status(&response), *expected, "{request}");
            assert!(!response.contains("secret"), "{request}");
        }
        port.sign_in();
    });
    assert_eq!(queries, [judged, &[GENUINE]].concat());
}

#[test]
fn an_idle_connection_does_not_keep_the_listener_busy() {
    let mut listener = bound();
    let _idle = Port::of(&listener).connect();
    let mut respond = |_: Head<'_>| unreachable!("no request was sent");
    let deadline = Instant::now() + Duration::from_millis(300);
    let mut wakes = 0;
    while Instant::now() < deadline {
        let more = listener.accept();
        for connection in &mut listener.connections {
            connection.advance(&listener.site, &mut respond);
        }
        listener.sleep(deadline, more).unwrap();
        wakes += 1;
    }
    assert_eq!(listener.connections.len(), 1);
    // For the new connection and the deadline; timers may be a little early.
    assert!(wakes <= 6, "{wakes}");
}

#[test]
fn the_genuine_callback_is_redirected_to_a_url_without_the_code() {
    for path in ["/callback", "/", "/done", "/a/b/"] {
        let redirect = RedirectUri {
            path: path.to_owned(),
            ..RedirectUri::default()
        };
        let ((), judged) = with_listener(Listener::bind(&redirect).unwrap(), |port| {
            let response = port.genuine();
            assert_eq!(status(&response), "303");
            let location = header(&response, "Location").unwrap();
            assert_eq!(
                location,
                format!("http://{}{}", port.authority, port.result_page())
            );
            let page = port.get(&port.result_page());
            assert_eq!(status(&page), "200");
            assert!(page.contains("You are signed in"));
        });
        assert_eq!(judged, [GENUINE]);
    }
}

#[test]
fn requests_for_other_hosts_are_refused() {
    assert_refused_while_pending(
        &[
            ("GET {path}?secret HTTP/1.1\r\n\r\n", "400"),
            ("GET {path}?secret HTTP/1.0\r\n\r\n", "400"),
            ("GET {path}?secret HTTP/1.1\r\nHost:\r\n\r\n", "403"),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
                "400",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}, {host}\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
                "403",
            ),
            ("GET {path}?secret HTTP/1.1\r\nHost: {host}0\r\n\r\n", "403"),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}.evil.example\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: evil@{host}\r\n\r\n",
                "403",
            ),
        ],
        &[],
    );
}

#[test]
fn requests_from_other_origins_are_refused() {
    assert_refused_while_pending(
        &[
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nOrigin: http://127.0.0.1\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nOrigin: null\r\n\r\n",
                "403",
            ),
            (
                "GET {path}?own HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n",
                "400",
            ),
        ],
        &["own"],
    );
}

#[test]
fn prefetches_and_subresources_never_consume_the_callback() {
    let mut requests = Vec::new();
    for (field, expected) in [
        ("Sec-Purpose: prefetch", "503"),
        ("Sec-Purpose: prefetch;prerender", "503"),
        ("Purpose: prefetch", "503"),
        ("purpose: Prefetch", "503"),
        ("X-Purpose: preview", "503"),
        ("X-Moz: prefetch", "503"),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image",
            "403",
        ),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty",
            "403",
        ),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe",
            "403",
        ),
    ] {
        let request =
            format!("GET {{path}}?{GENUINE} HTTP/1.1\r\nHost: {{host}}\r\n{field}\r\n\r\n");
        requests.push((request, expected));
    }
    assert_refused_while_pending(&requests, &[]);
}

#[test]
fn a_navigation_from_the_provider_is_accepted() {
    let ((), judged) = with_listener(bound(), |port| {
        let response = port.send(&format!(
            "GET {{path}}?{GENUINE} HTTP/1.1\r\nhost: {{host}}\r\nSec-Fetch-Site: cross-site\r\n\
             Sec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
             Upgrade-Insecure-Requests: 1\r\nReferer: https://id.example/\r\n\
             Cookie: other={}\r\n\r\n",
            "x".repeat(12 * 1024),
        ));
        assert_eq!(status(&response), "303");
        port.get(&port.result_page());
    });
    assert_eq!(judged, [GENUINE]);
}

#[test]
fn only_get_is_allowed() {
    let mut requests = vec![];
    for method in [
        "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PATCH", "get",
    ] {
        requests.push((
            format!("{method} {{path}}?{GENUINE} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"),
            "405",
        ));
    }
    requests.push((
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 11\r\n\r\ncode=secret".to_owned(),
        "405",
    ));
    assert_refused_while_pending(&requests, &[]);
}

#[test]
fn only_the_callback_path_is_judged() {
    let head = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\n\r\n");
    let requests: Vec<(String, &str)> = [
        ("/", "404"),
        ("/favicon.ico", "404"),
        ("/favicon.ico?code=secret", "404"),
        ("/?code=secret", "404"),
        ("{path}/", "404"),
        ("{path}/done", "404"),
        ("{path}/../callback?code=secret", "404"),
        ("{path}x?code=secret", "404"),
        ("/CALLBACK?code=secret", "404"),
        ("/%63allback?code=secret", "404"),
        ("//callback?code=secret", "404"),
        ("//{host}{path}?code=secret", "404"),
        ("http://{host}{path}?code=secret", "404"),
        ("http://evil.example{path}?code=secret", "404"),
        ("*", "404"),
        ("{path}?code=secret#x", "400"),
    ]
    .map(|(target, expected)| (head(target), expected))
    .into();
    assert_refused_while_pending(&requests, &[]);
}

#[test]
fn a_rejected_callback_leaves_the_sign_in_pending() {
    assert_refused_while_pending(
        &[
            ("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n", "400"),
            (
                "GET {path}?state=guess&code=secret HTTP/1.1\r\nHost: {host}\r\n\r\n",
                "400",
            ),
            (
                "GET {path}?error=access_denied?x HTTP/1.1\r\nHost: {host}\r\n\r\n",
                "400",
            ),
        ],
        &["", "state=guess&code=secret", "error=access_denied?x"],
    );
}

#[test]
fn a_connection_has_only_one_request() {
    assert_refused_while_pending(
        &[
            // Smuggled after a body, or pipelined.
            (
                "GET {path}?first HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
                "400",
            ),
            (
                "GET {path}?first HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "400",
            ),
            (
                "GET /x HTTP/1.1\r\nHost: {host}\r\n\r\nGET {path}?second HTTP/1.1\r\nHost: {host}\r\n\r\n",
                "404",
            ),
        ],
        &[],
    );
}

#[test]
fn invalid_http_is_refused() {
    let long = "x".repeat(HEAD_LIMIT);
    let many = "X: y\r\n".repeat(1000);
    assert_refused_while_pending(
        &[
            ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "400"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
            ("GET {path}?secret\r\n\r\n", "400"),
            ("GET {path}?secret HTTP/1.1\r\nHost : {host}\r\n\r\n", "400"),
            (
                "GET {path}?secret HTTP/1.1\r\nHost: {host}\r\n folded\r\n\r\n",
                "400",
            ),
            (
                &format!("GET {{path}}?{long} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"),
                "431",
            ),
            (
                &format!("GET {{path}}?secret HTTP/1.1\r\nHost: {{host}}\r\n{many}\r\n"),
                "431",
            ),
        ],
        &[],
    );
}

#[test]
fn a_request_with_a_large_body_gets_a_response() {
    assert_refused_while_pending(
        &[(
            &format!(
                "POST {{path}} HTTP/1.1\r\nHost: {{host}}\r\n\r\n{}",
                "x".repeat(48 * 1024)
            ),
            "405",
        )],
        &[],
    );
}

#[test]
fn another_users_connection_is_refused() {
    let mut listener = bound();
    listener.peer_of = |_| Peer::Foreign;
    let port = Port::of(&listener);
    let mut client = port.connect();
    client
        .write_all(port.fill(GENUINE_REQUEST).as_bytes())
        .unwrap();
    let outcome = listener.wait(Instant::now(), &mut |_| {
        panic!("another user's callback was judged")
    });
    assert!(matches!(outcome, Err(ListenerError::TimedOut)));
    drop(listener);
    assert_eq!(status(&read_all(&mut client)), "403");
}

#[test]
fn every_response_has_the_security_headers() {
    let ((), _) = with_listener(bound(), |port| {
        let responses = [
            port.get("/favicon.ico"),
            port.get("{path}?guess"),
            port.send("POST / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            port.send("nonsense\r\n\r\n"),
            port.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            port.genuine(),
            port.get(&port.result_page()),
        ];
        let csp = PAGE.render().csp;
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
        for response in responses {
            for (name, value) in [
                ("Connection", "close"),
                ("Cache-Control", "no-store"),
                ("Referrer-Policy", "no-referrer"),
                ("X-Content-Type-Options", "nosniff"),
                ("Content-Security-Policy", &csp),
                ("X-Frame-Options", "DENY"),
                ("Cross-Origin-Opener-Policy", "same-origin"),
            ] {
                assert_eq!(header(&response, name), Some(value), "{response}");
            }
            let (_, content) = response.split_once("\r\n\r\n").unwrap();
            let length = content.len().to_string();
            assert_eq!(
                header(&response, "Content-Length"),
                Some(&*length),
                "{response}"
            );
            assert!(
                !response.contains("secret") && !response.contains("guess"),
                "{response}"
            );
        }
    });
}

#[test]
fn a_slow_request_times_out() {
    let mut listener = bound();
    listener.limits.request = Duration::from_millis(150);
    let (held, judged) = with_listener(listener, |port| {
        let mut stream = port.connect();
        let started = Instant::now();
        let request = port.fill("GET {path}?secret HTTP/1.1\r\nHost: {host}\r\n");
        let filler = std::iter::repeat(b'x');
        for byte in request.bytes().chain(filler) {
            // Each byte arrives within the limit, but the whole request doesn't.
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let held = started.elapsed();
        port.sign_in();
        held
    });
    assert!(held < PATIENCE / 2, "{held:?}");
    assert_eq!(judged, [GENUINE]);
}

#[test]
fn idle_connections_never_block_the_browser() {
    let ((), judged) = with_listener(bound(), |port| {
        let mut idle: Vec<_> = (0..3 * CONNECTION_LIMIT).map(|_| port.connect()).collect();
        port.sign_in();
        // The listener dropped the oldest.
        assert_eq!(read_all(&mut idle[0]), "");
    });
    assert_eq!(judged, [GENUINE]);
}

#[test]
fn another_users_connections_never_displace_the_browser() {
    let mut listener = bound();
    let foreign: fn(&mio::net::TcpStream) -> Peer = |_| Peer::Foreign;
    for peer_of in [|_: &mio::net::TcpStream| Peer::Trusted, foreign] {
        listener.peer_of = peer_of;
        let port = Port::of(&listener);
        let clients: Vec<_> = (0..2 * CONNECTION_LIMIT).map(|_| port.connect()).collect();
        while listener.accept() {}
        assert_eq!(listener.connections.len(), CONNECTION_LIMIT);
        assert!(
            listener
                .connections
                .iter()
                .all(|it| it.peer == Peer::Trusted)
        );
        drop(clients);
    }
}

#[test]
fn the_page_waits_until_the_session_is_saved() {
    let mut listener = bound();
    let port = Port::of(&listener);
    let (stored, when_stored) = mpsc::channel::<()>();
    let client = thread::spawn(move || {
        assert_eq!(status(&port.genuine()), "303");
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {{host}}\r\n\r\n",
            port.result_page()
        );
        let mut stream = port.connect();
        stream.write_all(port.fill(&head).as_bytes()).unwrap();
        stored.send(()).unwrap();
        read_all(&mut stream)
    });
    listener
        .wait(Instant::now() + PATIENCE, &mut |_| Verdict::Accepted)
        .unwrap();
    // The browser requests the page during the exchange.
    when_stored.recv().unwrap();
    listener.finish(&Page {
        ending: Ending::Declined,
        ..PAGE
    });
    assert!(client.join().unwrap().contains("declined"));
}

#[test]
fn a_connection_opened_in_advance_gets_the_page() {
    let mut listener = bound();
    listener.limits.request = Duration::from_millis(100);
    let port = Port::of(&listener);
    let (waited, when_waited) = mpsc::channel::<()>();
    let client = thread::spawn(move || {
        let mut early = port.connect();
        assert_eq!(status(&port.genuine()), "303");
        when_waited.recv().unwrap();
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {{host}}\r\n\r\n",
            port.result_page()
        );
        early.write_all(port.fill(&head).as_bytes()).unwrap();
        read_all(&mut early)
    });
    listener
        .wait(Instant::now() + PATIENCE, &mut |_| Verdict::Accepted)
        .unwrap();
    // The exchange takes longer than the limit for a request.
    thread::sleep(Duration::from_millis(150));
    waited.send(()).unwrap();
    listener.finish(&PAGE);
    assert_eq!(status(&client.join().unwrap()), "200");
}

#[test]
fn a_tab_reloaded_during_the_exchange_gets_the_page() {
    let mut listener = bound();
    let port = Port::of(&listener);
    let (stored, when_stored) = mpsc::channel::<()>();
    let client = thread::spawn(move || {
        // This connection is accepted before the callback's.
        let mut first = port.connect();
        assert_eq!(status(&port.genuine()), "303");
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {{host}}\r\n\r\n",
            port.result_page()
        );
        first.write_all(port.fill(&head).as_bytes()).unwrap();
        drop(first);
        let mut second = port.connect();
        second.write_all(port.fill(&head).as_bytes()).unwrap();
        stored.send(()).unwrap();
        read_all(&mut second)
    });
    listener
        .wait(Instant::now() + PATIENCE, &mut |_| Verdict::Accepted)
        .unwrap();
    when_stored.recv().unwrap();
    listener.finish(&PAGE);
    assert_eq!(status(&client.join().unwrap()), "200");
}

#[test]
fn a_repeated_callback_is_redirected_without_being_judged() {
    let ((), judged) = with_listener(bound(), |port| {
        assert_eq!(status(&port.genuine()), "303");
        assert_eq!(status(&port.genuine()), "303");
        assert_eq!(status(&port.get("{path}?code=another")), "303");
        assert_eq!(status(&port.get("/favicon.ico")), "404");
        assert_eq!(status(&port.get(&port.result_page())), "200");
    });
    assert_eq!(judged, [GENUINE]);
}

#[test]
fn simultaneous_callbacks_are_judged_once() {
    let mut listener = bound();
    let port = Port::of(&listener);
    let mut clients: Vec<_> = (0..4).map(|_| port.connect()).collect();
    for client in &mut clients {
        client
            .write_all(port.fill(GENUINE_REQUEST).as_bytes())
            .unwrap();
    }
    let mut judged = 0;
    let mut judge = |_: &str| {
        judged += 1;
        Verdict::Accepted
    };
    listener
        .wait(Instant::now() + PATIENCE, &mut judge)
        .unwrap();
    assert_eq!(judged, 1);
    let finish = thread::spawn(move || listener.finish(&PAGE));
    for mut client in clients {
        assert_eq!(status(&read_all(&mut client)), "303");
    }
    assert_eq!(status(&port.get(&port.result_page())), "200");
    finish.join().unwrap();
}

#[test]
fn the_port_closes_after_the_page_and_after_time_outs() {
    let refused = |address| TcpStream::connect(address).is_err();

    let (address, _) = with_listener(bound(), |port| {
        port.sign_in();
        port.address
    });
    assert!(refused(address), "after the page");

    let mut listener = bound();
    listener.limits.page = Duration::from_millis(50);
    let (address, _) = with_listener(listener, |port| {
        port.genuine();
        port.address
    });
    assert!(refused(address), "if the page is never requested");

    let mut listener = bound();
    let address = Port::of(&listener).address;
    let outcome = listener.wait(Instant::now(), &mut |_| Verdict::Accepted);
    assert!(matches!(outcome, Err(ListenerError::TimedOut)));
    let started = Instant::now();
    listener.finish(&PAGE);
    assert!(
        started.elapsed() < LIMITS.page,
        "no browser requests the page"
    );
    assert!(refused(address), "after a time-out");
}

#[test]
fn a_browser_that_closes_before_its_redirect_completes_the_sign_in() {
    let mut listener = bound();
    // The socket may be gone before its owner is looked up.
    listener.peer_of = |_| Peer::Trusted;
    let port = Port::of(&listener);
    let mut client = port.connect();
    client
        .write_all(port.fill(GENUINE_REQUEST).as_bytes())
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    listener
        .wait(Instant::now() + PATIENCE, &mut |_| Verdict::Accepted)
        .unwrap();
    assert_eq!(status(&read_all(&mut client)), "303");
}

#[test]
fn localhost_listens_on_ipv4_and_ipv6_with_one_port() {
    let redirect = RedirectUri {
        host: LoopbackHost::Localhost,
        ..RedirectUri::default()
    };
    let listener = Listener::bind(&redirect).unwrap();
    let addresses: Vec<_> = listener
        .sockets
        .iter()
        .map(|socket| socket.local_addr().unwrap())
        .collect();
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(addresses.len(), if has_v6 { 2 } else { 1 });
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(addresses.iter().all(|it| it.port() == addresses[0].port()));
    let ((), judged) = with_listener(listener, |port| {
        for address in addresses {
            let port = Port {
                address,
                authority: port.authority.clone(),
                path: port.path.clone(),
            };
            assert!(port.authority.starts_with("localhost:"));
            assert_eq!(status(&port.get("{path}?guess")), "400");
        }
        port.sign_in();
    });
    assert_eq!(judged.last().unwrap(), GENUINE);
}

#[test]
fn ipv6_listens_on_its_literal_address() {
    if TcpListener::bind("[::1]:0").is_err() {
        return; // A machine without IPv6 has nothing to test.
    }
    let redirect = RedirectUri {
        host: LoopbackHost::V6,
        ..RedirectUri::default()
    };
    let ((), judged) = with_listener(Listener::bind(&redirect).unwrap(), |port| {
        assert!(port.authority.starts_with("[::1]:"));
        port.sign_in();
    });
    assert_eq!(judged, [GENUINE]);
}

#[test]
fn the_error_names_a_fixed_port_in_use() {
    let hosts = [
        (LoopbackHost::V4, "127.0.0.1:0"),
        (LoopbackHost::Localhost, "127.0.0.1:0"),
        (LoopbackHost::V6, "[::1]:0"),
        (LoopbackHost::Localhost, "[::1]:0"),
    ];
    for (host, occupied) in hosts {
        let Ok(other) = TcpListener::bind(occupied) else {
            continue; // No IPv6 here.
        };
        let taken = other.local_addr().unwrap().port();
        let redirect = RedirectUri {
            host,
            port: Some(taken),
            ..RedirectUri::default()
        };
        let error = Listener::bind(&redirect).unwrap_err();
        assert!(
            matches!(error, ListenerError::PortTaken { port } if port == taken),
            "{error:?}"
        );
        assert!(error.to_string().contains(&taken.to_string()));
    }
}

#[test]
fn debug_output_hides_requests() {
    let mut listener = bound();
    let port = Port::of(&listener);
    let mut client = port.connect();
    client
        .write_all(port.fill("GET {path}?code=secret HTTP/1.1\r\n").as_bytes())
        .unwrap();
    let _ = listener.wait(Instant::now() + Duration::from_millis(50), &mut |_| {
        Verdict::Rejected
    });
    let shown = format!("{listener:?}");
    assert!(
        shown.contains("connections: 1") && !shown.contains("secret"),
        "{shown}"
    );
}
