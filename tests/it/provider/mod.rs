//! An OAuth 2.0 authorization server and OpenID Provider on loopback, for tests and the demo.
//!
//! It checks every request and keeps a list of violations. Tests can change its [`Behaviour`] while
//! it runs, to simulate every misbehaviour that a client has to handle. It is not a model of a
//! secure server: it keeps everything unencrypted in memory.
//!
//! It doesn't depend on hallpass, so an example can include it too.

mod authorize;
mod behaviour;
mod device;
mod gate;
mod keys;
mod ledger;
mod metadata;
mod page;
pub(crate) mod server;
mod token;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

pub(crate) use behaviour::{
    Behaviour, ClientAuth, Endpoint, Fault, Narrowing, Rotation, Signature, patch,
};
pub(crate) use gate::Gate;
pub(crate) use keys::KeyName;
use ledger::Ledger;
pub(crate) use ledger::Seen;
pub(crate) use server::{Pairs, Request, Response, Server, first};

/// The CA that issued the certificate of [`Provider::start_tls`].
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "it is trusted on Linux only")
)]
pub(crate) const TLS_AUTHORITY: &str = include_str!("keys/tls-authority.pem");

/// A running provider, which stops when dropped.
pub(crate) struct Provider {
    state: Arc<State>,
    // Dropped after the gates are opened, see `drop`.
    _server: server::Server,
}

struct State {
    /// Scheme, host and port.
    base: String,
    /// The rest of the issuer: empty or a path.
    issuer_path: String,
    behaviour: Mutex<Behaviour>,
    ledger: Mutex<Ledger>,
    changed: Condvar,
    keys: keys::Keys,
}

impl Provider {
    pub(crate) fn start() -> Self {
        Self::start_at("", false)
    }

    /// Starts a provider whose issuer has a path, like each tenant of a multi-tenant provider.
    pub(crate) fn start_with_path(path: &str) -> Self {
        Self::start_at(path, false)
    }

    /// Starts a provider behind TLS, at `https://localhost`.
    pub(crate) fn start_tls() -> Self {
        Self::start_at("", true)
    }

    fn start_at(issuer_path: &str, tls: bool) -> Self {
        let (listener, config) = server::Server::bind(tls).expect("a loopback port");
        let port = listener.local_addr().expect("the port").port();
        let base = if tls {
            format!("https://localhost:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        };
        let state = Arc::new(State {
            base,
            issuer_path: issuer_path.to_owned(),
            behaviour: Mutex::default(),
            ledger: Mutex::default(),
            changed: Condvar::new(),
            keys: keys::Keys::new(),
        });
        let answering = Arc::clone(&state);
        let server =
            server::Server::serve(listener, config, move |request| answering.answer(&request))
                .expect("the server");
        Self {
            state,
            _server: server,
        }
    }

    /// Scheme, host and port.
    pub(crate) fn base(&self) -> &str {
        &self.state.base
    }

    pub(crate) fn issuer(&self) -> String {
        self.state.issuer()
    }

    /// The URL of a path at [`Self::base`].
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.state.base)
    }

    /// Changes the provider's behaviour from now on.
    pub(crate) fn behave<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut lock(&self.state.behaviour))
    }

    /// Makes one endpoint misbehave until [`Self::heal`].
    pub(crate) fn break_down(&self, endpoint: Endpoint, fault: Fault) {
        self.behave(|b| b.faults.insert(endpoint, fault));
    }

    pub(crate) fn heal(&self, endpoint: Endpoint) {
        self.behave(|b| b.faults.remove(&endpoint));
    }

    /// Every request to an endpoint, in the order of arrival.
    pub(crate) fn seen(&self, endpoint: Endpoint) -> Vec<Seen> {
        lock(&self.state.ledger)
            .seen_at(endpoint)
            .cloned()
            .collect()
    }

    /// Every request to any endpoint.
    pub(crate) fn all_seen(&self) -> Vec<Seen> {
        lock(&self.state.ledger).seen.clone()
    }

    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        lock(&self.state.ledger).seen_at(endpoint).count()
    }

    /// Waits until an endpoint has received `count` requests.
    pub(crate) fn wait_for(&self, endpoint: Endpoint, count: usize) {
        let ledger = lock(&self.state.ledger);
        let (ledger, _) = self
            .state
            .changed
            .wait_timeout_while(ledger, Duration::from_secs(30), |ledger| {
                ledger.seen_at(endpoint).count() < count
            })
            .unwrap_or_else(PoisonError::into_inner);
        let seen = ledger.seen_at(endpoint).count();
        assert!(
            seen >= count,
            "{endpoint:?} was asked {seen} times, {count} expected"
        );
    }

    /// The clients' protocol violations.
    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.state.ledger).violations.clone()
    }

    /// Removes and returns the violations, for a test that expects some.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.ledger).violations)
    }

    /// Everything issued or received that must stay secret, with a description: tokens, codes,
    /// verifiers and the client's secret.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, String)> {
        let mut secrets = lock(&self.state.ledger).secrets.clone();
        match self.behave(|b| b.client_auth.clone()) {
            ClientAuth::None => (),
            ClientAuth::Basic { secret } | ClientAuth::Post { secret } => {
                secrets.push(("client secret", secret));
            }
        }
        secrets
    }

    /// Revokes every refresh token, as an administrator would.
    pub(crate) fn revoke_everything(&self) {
        lock(&self.state.ledger).revoke_everything();
    }

    /// The owner of an access token, if it is active.
    pub(crate) fn owner(&self, access_token: &str) -> Option<String> {
        let now = self.state.now();
        lock(&self.state.ledger).owner(access_token, now)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        for fault in lock(&self.state.behaviour).faults.values() {
            if let Fault::Held(gate) = fault {
                gate.open();
            }
        }
    }
}

impl State {
    fn issuer(&self) -> String {
        format!("{}{}", self.base, self.issuer_path)
    }

    /// Seconds since 1970, according to the provider's clock.
    fn now(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        i64::try_from(since).unwrap_or_default() + lock(&self.behaviour).clock
    }

    fn answer(&self, request: &Request) -> Option<Response> {
        let mut response = self.answer_without_date(request)?;
        if lock(&self.behaviour).tells_the_time {
            response = response.header("Date", &self.date());
        }
        Some(response)
    }

    /// The `Date` header (RFC 9110 §5.6.7), according to the provider's clock.
    fn date(&self) -> String {
        let now = time::OffsetDateTime::from_unix_timestamp(self.now()).expect("a time");
        let date = now.format(&time::format_description::well_known::Rfc2822);
        date.expect("a date").replace("+0000", "GMT")
    }

    fn answer_without_date(&self, request: &Request) -> Option<Response> {
        let endpoint = self.route(request);
        // If a test heals the endpoint while the request is held, this request keeps its fault.
        let mut fault = endpoint.and_then(|e| lock(&self.behaviour).faults.get(&e).cloned());
        if let (Some(Fault::Once(once)), Some(endpoint)) = (&fault, endpoint) {
            lock(&self.behaviour).faults.remove(&endpoint);
            fault = Some((**once).clone());
        }
        {
            let mut ledger = lock(&self.ledger);
            ledger.seen.push(Seen {
                at: Instant::now(),
                endpoint,
                request: request.clone(),
            });
            if !request.tls && self.base.starts_with("https:") {
                ledger.violation("plain text was sent to a TLS port");
            }
        }
        self.changed.notify_all();
        match fault {
            None | Some(Fault::Once(_)) => Some(self.serve(endpoint, request)),
            Some(Fault::RetryAfter { status, seconds }) => Some(
                Response::new(status, "text/plain", "later")
                    .header("Retry-After", &seconds.to_string()),
            ),
            Some(Fault::Answer {
                status,
                content_type,
                body,
            }) => Some(Response::new(status, content_type, body)),
            Some(Fault::Quoting { status }) => {
                let body = String::from_utf8_lossy(&request.body);
                let values: Vec<&str> = request.form.iter().map(|(_, v)| v.as_str()).collect();
                let header = request.header("Authorization").unwrap_or_default();
                // The credentials come first, because hallpass truncates descriptions.
                let description = format!("QUOTED {header} {} {body}", values.join(" "));
                let body = json!({ "error": "invalid_grant", "error_description": description });
                Some(Response::json(status, &body))
            }
            Some(Fault::Redirect { status, to }) => Some(Response::redirect(status, &to)),
            Some(Fault::NoAnswer) => None,
            Some(Fault::LostAnswer) => {
                let mut response = self.serve(endpoint, request);
                response.cut = true;
                Some(response)
            }
            Some(Fault::Held(gate)) => {
                gate.pass();
                Some(self.serve(endpoint, request))
            }
        }
    }

    fn route(&self, request: &Request) -> Option<Endpoint> {
        let path = self.issuer_path.trim_end_matches('/');
        if request.path == format!("{path}/.well-known/openid-configuration") {
            return Some(Endpoint::OpenidConfiguration);
        }
        if request.path == format!("/.well-known/oauth-authorization-server{path}") {
            return Some(Endpoint::OauthMetadata);
        }
        match request.path.as_str() {
            "/jwks" => Some(Endpoint::Jwks),
            "/authorize" => Some(Endpoint::Authorize),
            "/token" => match first(&request.form, "grant_type") {
                Some("refresh_token") => Some(Endpoint::Refresh),
                Some("urn:ietf:params:oauth:grant-type:device_code") => Some(Endpoint::DevicePoll),
                // The token endpoint rejects other grant types.
                Some(_) | None => Some(Endpoint::Code),
            },
            "/device_authorization" => Some(Endpoint::DeviceAuthorization),
            "/revoke" => Some(Endpoint::Revocation),
            "/userinfo" => Some(Endpoint::UserInfo),
            "/introspect" => Some(Endpoint::Introspection),
            "/par" => Some(Endpoint::PushedAuthorization),
            _ => None,
        }
    }

    fn serve(&self, endpoint: Option<Endpoint>, request: &Request) -> Response {
        match endpoint {
            Some(Endpoint::OpenidConfiguration | Endpoint::OauthMetadata) => self.metadata(),
            Some(Endpoint::Jwks) => self.jwks(),
            Some(Endpoint::Authorize) => self.authorization_page(request),
            Some(Endpoint::Code | Endpoint::Refresh | Endpoint::DevicePoll) => self.token(request),
            Some(Endpoint::DeviceAuthorization) => self.device_authorization(request),
            Some(Endpoint::Revocation) => self.revocation(request),
            Some(Endpoint::UserInfo) => self.userinfo(request),
            Some(Endpoint::Introspection) => self.introspection(request),
            Some(Endpoint::PushedAuthorization) => self.pushed_authorization(request),
            None => match (request.method.as_str(), request.path.as_str()) {
                ("POST", "/sign-in") => self.sign_in(request),
                ("GET", "/device") => self.device_page(request),
                ("POST", "/device") => self.device_decision(request),
                _ => Response::new(404, "text/plain", "Nothing here."),
            },
        }
    }
}

/// Ignores poisoning, because a test whose thread panicked fails anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random() -> String {
    keys::base64url(rand::random::<[u8; 24]>())
}
