//! Registries that issue a credential of their own, as their documentation describes them: Azure
//! Container Registry (<https://azure.github.io/acr/AAD-OAuth.html>), Harbor (`GET /users/current` of
//! its API 2.0), and a registry whose token server issues identity tokens
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::provider::{Request, Response, Server, first};

pub(crate) struct Registry {
    /// As a client names it: `127.0.0.1:PORT`.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

/// How it responds, and which requests it has answered.
#[derive(Default)]
pub(crate) struct State {
    /// Respond with this status to every request.
    pub(crate) status: Option<u16>,
    /// When the credentials that it issues from now on expire, in seconds since 1970.
    pub(crate) ends_at: i64,
    /// The token in each request that it answered.
    pub(crate) shown: Vec<String>,
    /// The credentials that it issued.
    pub(crate) made: Vec<String>,
    pub(crate) tenants: Vec<Option<String>>,
    /// The user name in each request for an identity token.
    pub(crate) usernames: Vec<String>,
    /// The token server that its challenge names, instead of itself.
    pub(crate) realm: Option<String>,
    /// Issue no identity tokens.
    pub(crate) has_no_identity_tokens: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Acr,
    Harbor,
    IdentityToken,
}

impl Registry {
    pub(crate) fn acr() -> Self {
        Self::start(Kind::Acr)
    }

    pub(crate) fn harbor() -> Self {
        Self::start(Kind::Harbor)
    }

    pub(crate) fn with_identity_tokens() -> Self {
        Self::start(Kind::IdentityToken)
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
                Kind::IdentityToken => token_server(&request, &own_host, &mut state),
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

/// The registry's API and its token server.
fn token_server(request: &Request, host: &str, state: &mut State) -> Option<Response> {
    const SERVICE: &str = "a registry, b";
    let one = |name| first(&request.query, name).or_else(|| first(&request.form, name));
    match (&*request.method, &*request.path) {
        ("GET", "/v2/") if request.header("Authorization") == Some("Bearer of the registry") => {
            Some(Response::json(200, &json!({})))
        }
        ("GET", "/v2/") => {
            let own = format!("http://{host}/token");
            let realm = state.realm.as_ref().unwrap_or(&own);
            let challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
            Some(Response::json(401, &json!({})).header("WWW-Authenticate", &challenge))
        }
        ("GET", "/token") if one("service") == Some(SERVICE) => {
            let basic = request.header("Authorization")?.strip_prefix("Basic ")?;
            let pair = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
            let (username, token) = pair.split_once(':')?;
            let mut reply = json!({ "token": "of the registry", "expires_in": 60 });
            state.usernames.push(username.to_owned());
            state.shown.push(token.to_owned());
            if one("offline_token") == Some("true") && !state.has_no_identity_tokens {
                let claims = json!({ "jti": state.made.len(), "exp": state.ends_at });
                let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
                let made = format!("eyJhbGciOiJSUzI1NiJ9.{claims}.aWRlbnRpdHk");
                reply["refresh_token"] = made.clone().into();
                state.made.push(made);
            }
            Some(Response::json(200, &reply))
        }
        ("POST", "/token") if one("grant_type") == Some("refresh_token") => {
            let token = one("refresh_token")?.to_owned();
            let reply = json!({ "access_token": "of the registry", "expires_in": 60 });
            state
                .made
                .contains(&token)
                .then(|| Response::json(200, &reply))
        }
        _ => None,
    }
}
