//! Registries that make a credential of their own, as their documentation describes them: Azure
//! Container Registry (<https://azure.github.io/acr/AAD-OAuth.html>) and Harbor
//! (`GET /users/current` of its API 2.0).

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::provider::{Request, Response, Server, first};

pub(crate) struct Registry {
    /// As a client names it: `127.0.0.1:PORT`.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

/// What it does, and what it has seen.
#[derive(Default)]
pub(crate) struct State {
    /// Answers so instead, with no word about why.
    pub(crate) status: Option<u16>,
    /// Seconds since 1970 at which what it hands out from here on ends.
    pub(crate) ends_at: i64,
    /// The token of each request that it answered.
    pub(crate) shown: Vec<String>,
    /// What it handed out.
    pub(crate) made: Vec<String>,
    pub(crate) tenants: Vec<Option<String>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Acr,
    Harbor,
}

impl Registry {
    pub(crate) fn acr() -> Self {
        Self::start(Kind::Acr)
    }

    pub(crate) fn harbor() -> Self {
        Self::start(Kind::Harbor)
    }

    fn start(kind: Kind) -> Self {
        let (listener, _): (TcpListener, _) = Server::bind(false).expect("a loopback port");
        let host = listener.local_addr().expect("the port").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (own_host, own_state) = (host.clone(), Arc::clone(&state));
        let server = Server::serve(listener, None, move |request| {
            let mut state = own_state.lock().unwrap();
            let no = |status| Some(Response::json(status, &json!({ "errors": [] })));
            if let Some(status) = state.status {
                return no(status);
            }
            match kind {
                Kind::Acr => acr(&request, &own_host, &mut state),
                Kind::Harbor => harbor(&request, &mut state),
            }
            .or_else(|| no(401))
        })
        .expect("the server");
        Self {
            host,
            state,
            _server: server,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn acr(request: &Request, host: &str, state: &mut State) -> Option<Response> {
    let one = |name| first(&request.form, name);
    let is_exchange = request.method == "POST"
        && request.path == "/oauth2/exchange"
        && one("grant_type") == Some("access_token")
        && one("service") == Some(host);
    let token = one("access_token").filter(|token| is_exchange && !token.is_empty())?;
    state.shown.push(token.to_owned());
    state.tenants.push(one("tenant").map(str::to_owned));
    let claims = json!({
        "jti": state.made.len(), "iss": "Azure Container Registry", "aud": host,
        "grant_type": "refresh_token", "exp": state.ends_at,
    });
    let made = format!(
        "eyJhbGciOiJSUzI1NiJ9.{}.c2ln",
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    state.made.push(made.clone());
    Some(Response::json(200, &json!({ "refresh_token": made })))
}

fn harbor(request: &Request, state: &mut State) -> Option<Response> {
    if request.method != "GET" || request.path != "/api/v2.0/users/current" {
        return Some(Response::json(404, &json!({})));
    }
    let token = request.header("Authorization")?.strip_prefix("Bearer ")?;
    if token.split('.').count() != 3 {
        return None;
    }
    state.shown.push(token.to_owned());
    let secret = format!("cli-secret-of-harbor-{}", state.made.len());
    state.made.push(secret.clone());
    Some(Response::json(
        200,
        &json!({
            "user_id": 3, "username": "alice_of_harbor", "email": "alice@people.example",
            "oidc_user_meta": { "id": 1, "user_id": 3, "subiss": "…", "secret": secret },
        }),
    ))
}
