//! The authorization endpoint (RFC 6749 §4.1, RFC 7636, RFC 9126, RFC 9207) and its sign-in page.

use std::collections::BTreeSet;

use serde_json::Value;

use super::server::{Pairs, Request, Response, first};
use super::{Provider, State, lock, page, random};

/// 128 bits in base64url: the minimum length of an unguessable value.
const UNGUESSABLE: usize = 22;

impl Provider {
    /// Signs in like a browser, without following the final redirect, and returns that redirect's
    /// URL for the test to deliver.
    pub(crate) fn sign_in_by_hand(&self, authorization_url: &str, person: &str) -> String {
        let asked = self.asked(authorization_url);
        self.state.approve(person, &asked)
    }

    fn asked(&self, authorization_url: &str) -> Pairs {
        let url = url::Url::parse(authorization_url).expect("an authorization URL");
        assert_eq!(url.path(), "/authorize", "{url}");
        let query = url.query_pairs().into_owned().collect();
        self.state.asked(query).expect("an authorization request")
    }
}

impl State {
    pub(super) fn authorization_page(&self, request: &Request) -> Response {
        let asked = match self.asked(request.query.clone()) {
            Ok(asked) => asked,
            Err(complaint) => {
                return Response::html(400, page::message("That did not work", complaint));
            }
        };
        let (at_once, person) = {
            let behaviour = lock(&self.behaviour);
            (behaviour.approve_at_once, behaviour.person.clone())
        };
        if at_once {
            return Response::redirect(302, &self.approve(&person, &asked));
        }
        let id = random();
        let body = page::sign_in(&id, &person, &asked);
        lock(&self.ledger).open_requests.insert(id.clone(), asked);
        Response::html(200, body).header(
            "Set-Cookie",
            &format!("fake_provider={id}; Path=/; HttpOnly; SameSite=Lax"),
        )
    }

    /// Handles the form of the sign-in page.
    pub(super) fn sign_in(&self, request: &Request) -> Response {
        let id = first(&request.form, "request").unwrap_or_default();
        let cookie = format!("fake_provider={id}");
        let same_browser = request
            .header("Cookie")
            .is_some_and(|cookies| cookies.split("; ").any(|c| c == cookie));
        let asked = lock(&self.ledger).open_requests.remove(id);
        let Some(asked) = asked.filter(|_| same_browser) else {
            return Response::html(
                400,
                page::message("That did not work", "This page is too old."),
            );
        };
        let to = if first(&request.form, "decision") == Some("decline") {
            self.redirect(&asked, vec![pair("error", "access_denied")])
        } else {
            let person = first(&request.form, "user").unwrap_or("alice");
            self.approve(person, &asked)
        };
        Response::redirect(303, &to)
    }

    pub(super) fn pushed_authorization(&self, request: &Request) -> Response {
        if let Err(response) = self.authenticate_client(request) {
            return response;
        }
        self.check_authorization(&request.form);
        let uri = format!("urn:ietf:params:oauth:request_uri:{}", random());
        lock(&self.ledger)
            .pushed_requests
            .insert(uri.clone(), request.form.clone());
        let body = serde_json::json!({ "request_uri": uri, "expires_in": 60 });
        Response::json(201, &body)
    }

    /// The parameters of an authorization request, pushed or not.
    fn asked(&self, query: Pairs) -> Result<Pairs, &'static str> {
        let (client_id, pushed_only) = {
            let behaviour = lock(&self.behaviour);
            let required = behaviour
                .metadata
                .get("require_pushed_authorization_requests");
            (
                behaviour.client_id.clone(),
                behaviour.client_must_push || required == Some(&Value::Bool(true)),
            )
        };
        if first(&query, "client_id") != Some(&client_id) {
            lock(&self.ledger).violation("authorize: another client_id than the registered one");
            return Err("This client is not registered.");
        }
        let asked = match first(&query, "request_uri") {
            Some(uri) => {
                if query.len() != 2 {
                    lock(&self.ledger)
                        .violation("authorize: more than client_id and request_uri (RFC 9126 §4)");
                }
                let pushed = lock(&self.ledger).pushed_requests.remove(uri);
                pushed.ok_or("This request was not pushed.")?
            }
            None if pushed_only => {
                lock(&self.ledger).violation("authorize: the request was not pushed");
                return Err("Requests must be pushed.");
            }
            None => {
                self.check_authorization(&query);
                query
            }
        };
        match first(&asked, "redirect_uri") {
            Some(uri) if is_loopback(uri) => Ok(asked),
            Some(_) | None => {
                lock(&self.ledger).violation("authorize: no loopback redirect_uri");
                Err("This redirect URI is not registered.")
            }
        }
    }

    fn check_authorization(&self, asked: &Pairs) {
        let needs_consent = lock(&self.behaviour).offline_needs_consent;
        let mut wrong: Vec<String> = Vec::new();
        let mut names = BTreeSet::new();
        for (name, _) in asked {
            // RFC 8707 §2: only `resource` may be repeated.
            if !names.insert(name) && name != "resource" {
                wrong.push(format!("{name} is repeated (RFC 6749 §3.1)"));
            }
        }
        if first(asked, "response_type") != Some("code") {
            wrong.push("response_type is not code".to_owned());
        }
        if !matches!(first(asked, "response_mode"), None | Some("query")) {
            wrong.push("response_mode is not query".to_owned());
        }
        if first(asked, "code_challenge_method") != Some("S256") {
            wrong.push("code_challenge_method is not S256".to_owned());
        }
        if first(asked, "code_challenge").map(str::len) != Some(43) {
            wrong.push("code_challenge is not a SHA-256 in base64url".to_owned());
        }
        if first(asked, "state").unwrap_or_default().len() < UNGUESSABLE {
            wrong.push("state is missing or short".to_owned());
        }
        let scope = first(asked, "scope").unwrap_or_default();
        let has = |wanted: &str| scope.split(' ').any(|scope| scope == wanted);
        if has("openid") && first(asked, "nonce").unwrap_or_default().len() < UNGUESSABLE {
            wrong.push("nonce is missing or short".to_owned());
        }
        let consents = first(asked, "prompt").is_some_and(|p| p.split(' ').any(|p| p == "consent"));
        if needs_consent && has("openid") && has("offline_access") && !consents {
            wrong.push("offline_access without prompt=consent (Core §11)".to_owned());
        }
        for secret in ["client_secret", "code_verifier"] {
            if first(asked, secret).is_some() {
                wrong.push(format!("{secret} went through the browser"));
            }
        }
        let mut ledger = lock(&self.ledger);
        for wrong in wrong {
            ledger.violation(format!("authorize: {wrong}"));
        }
    }

    fn approve(&self, person: &str, asked: &Pairs) -> String {
        let code = {
            let mut ledger = lock(&self.ledger);
            let grant = ledger.grant(person, asked.clone());
            ledger.issue_code(grant)
        };
        self.redirect(asked, vec![pair("code", &code)])
    }

    /// The authorization response, as the URL to redirect the browser to.
    fn redirect(&self, asked: &Pairs, mut parameters: Pairs) -> String {
        if let Some(state) = first(asked, "state") {
            parameters.push(pair("state", state));
        }
        parameters.push(pair("iss", &self.issuer()));
        for (name, value) in &lock(&self.behaviour).callback {
            parameters.retain(|(n, _)| n != name);
            match value {
                Value::String(value) => parameters.push(pair(name, value)),
                Value::Array(values) => {
                    for value in values {
                        parameters.push(pair(name, value.as_str().unwrap_or_default()));
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => (),
            }
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let to = first(asked, "redirect_uri").unwrap_or_default();
        format!("{to}?{query}")
    }
}

fn is_loopback(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|url| {
        url.scheme() == "http"
            && matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"))
            && url.fragment().is_none()
    })
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
