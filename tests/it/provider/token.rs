//! The token endpoint (RFC 6749 §3.2), revocation (RFC 7009), and client authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::behaviour::{Behaviour, ClientAuth, Fault, Narrowing, Rotation, Signature};
use super::keys::base64url;
use super::ledger::{Decision, Grant};
use super::metadata::{apply_patch, claims_of};
use super::server::{Request, Response, first, pairs};
use super::{State, lock};

impl State {
    pub(super) fn token(&self, request: &Request) -> Response {
        self.check_form(request, "token");
        if let Err(response) = self.authenticate_client(request) {
            return response;
        }
        match first(&request.form, "grant_type") {
            Some("authorization_code") => self.code_grant(request),
            Some("refresh_token") => self.refresh_grant(request),
            Some("urn:ietf:params:oauth:grant-type:device_code") => self.device_grant(request),
            Some(_) | None => {
                lock(&self.ledger).violation("token: a grant that nobody should ask for");
                error("unsupported_grant_type")
            }
        }
    }

    pub(super) fn revocation(&self, request: &Request) -> Response {
        self.check_form(request, "revoke");
        if let Err(response) = self.authenticate_client(request) {
            return response;
        }
        let token = first(&request.form, "token").unwrap_or_default();
        if token.starts_with("at-")
            && let Some(Fault::Answer {
                status,
                content_type,
                body,
            }) = lock(&self.behaviour).access_token_revocation.clone()
        {
            return Response::new(status, content_type, body);
        }
        lock(&self.ledger).revoke(token);
        // RFC 7009 §2.2: an unknown token is no error.
        Response::new(200, "text/plain", "")
    }

    /// RFC 7662.
    pub(super) fn introspection(&self, request: &Request) -> Response {
        self.check_form(request, "introspect");
        if let Err(response) = self.authenticate_client(request) {
            return response;
        }
        let token = first(&request.form, "token").unwrap_or_default();
        let now = self.now();
        let active = lock(&self.ledger).owner(token, now).is_some();
        Response::json(200, &json!({ "active": active }))
    }

    fn code_grant(&self, request: &Request) -> Response {
        let form = &request.form;
        let verifier = first(form, "code_verifier").unwrap_or_default();
        let grant = {
            let mut ledger = lock(&self.ledger);
            ledger.secrets.push(("verifier", verifier.to_owned()));
            let sent = first(form, "code").unwrap_or_default();
            let Some(code) = ledger.codes.get_mut(sent) else {
                return error("invalid_grant");
            };
            let grant = code.grant.clone();
            if std::mem::replace(&mut code.used, true) {
                ledger.violation("token: a code was used twice");
                return error("invalid_grant");
            }
            if first(form, "redirect_uri") != first(&grant.asked, "redirect_uri") {
                ledger.violation("token: redirect_uri differs from the one of the first request");
                return error("invalid_grant");
            }
            if !(43..=128).contains(&verifier.len()) {
                ledger.violation("token: code_verifier is not 43 to 128 characters long");
            }
            let challenge = base64url(Sha256::digest(verifier));
            if first(&grant.asked, "code_challenge") != Some(&challenge) {
                ledger.violation("token: code_verifier does not match code_challenge");
                return error("invalid_grant");
            }
            grant
        };
        self.issued(&grant, Occasion::SignIn)
    }

    fn refresh_grant(&self, request: &Request) -> Response {
        let sent = first(&request.form, "refresh_token").unwrap_or_default();
        let (rotation, narrowing) = {
            let behaviour = lock(&self.behaviour);
            (behaviour.rotation, behaviour.narrowing)
        };
        let scope = first(&request.form, "scope");
        if scope.is_some() && narrowing == Narrowing::Refused {
            return error("invalid_scope");
        }
        let grant = {
            let mut ledger = lock(&self.ledger);
            let Some(token) = ledger.refresh_tokens.get_mut(sent) else {
                return error("invalid_grant");
            };
            let grant = token.grant.clone();
            let granted = first(&grant.asked, "scope").unwrap_or_default();
            let is_granted = |scope: &str| granted.split(' ').any(|one| one == scope);
            if scope.is_some_and(|scope| !scope.split(' ').all(is_granted)) {
                return error("invalid_scope");
            }
            let first_response = token.response.clone();
            let used = match rotation {
                Rotation::On | Rotation::Replay => std::mem::replace(&mut token.used, true),
                Rotation::Off => token.used,
            };
            if ledger.dead.contains(&grant.id) {
                return error("invalid_grant");
            }
            if let (true, Rotation::Replay, Some(response)) = (used, rotation, first_response) {
                return response;
            }
            if used {
                // RFC 9700 §4.14.2: the server cannot tell who used the stolen token, so it revokes the whole family.
                ledger.violation("token: a refresh token was used again after its rotation");
                ledger.dead.insert(grant.id);
                return error("invalid_grant");
            }
            grant
        };
        let granted = first(&grant.asked, "scope").unwrap_or_default();
        let response = match (scope, narrowing) {
            (None, Narrowing::ForGood) | (Some(_), Narrowing::Ignored) => {
                self.issue(&grant, Occasion::Refresh, granted, Some(granted))
            }
            (Some(scope), Narrowing::ForGood) => {
                let mut narrowed = grant.clone();
                narrowed.asked.retain(|(name, _)| name != "scope");
                narrowed.asked.push(("scope".to_owned(), scope.to_owned()));
                self.issue(&narrowed, Occasion::Refresh, scope, Some(scope))
            }
            (None, _) => self.issue(&grant, Occasion::Refresh, granted, None),
            (Some(scope), _) => self.issue(&grant, Occasion::Refresh, scope, Some(scope)),
        };
        if let Some(token) = lock(&self.ledger).refresh_tokens.get_mut(sent) {
            token.response = Some(response.clone());
        }
        response
    }

    fn device_grant(&self, request: &Request) -> Response {
        let scripted = {
            let polls = &mut lock(&self.behaviour).device_polls;
            (!polls.is_empty()).then(|| polls.remove(0))
        };
        if let Some(answer) = scripted {
            return error(answer);
        }
        let sent = first(&request.form, "device_code").unwrap_or_default();
        let grant = {
            let mut ledger = lock(&self.ledger);
            let Some(device) = ledger.devices.iter().find(|d| d.device_code == sent) else {
                return error("invalid_grant");
            };
            match &device.decision {
                Decision::Pending => return error("authorization_pending"),
                Decision::Declined => return error("access_denied"),
                Decision::Approved { person } => {
                    let (person, asked) = (person.clone(), device.asked.clone());
                    ledger.grant(&person, asked)
                }
            }
        };
        self.issued(&grant, Occasion::Device)
    }

    fn issued(&self, grant: &Grant, occasion: Occasion) -> Response {
        let granted = first(&grant.asked, "scope").unwrap_or_default();
        self.issue(grant, occasion, granted, None)
    }

    /// Issues tokens with these scopes, which the response may list.
    fn issue(
        &self,
        grant: &Grant,
        occasion: Occasion,
        scope: &str,
        named: Option<&str>,
    ) -> Response {
        let now = self.now();
        let behaviour = lock(&self.behaviour).clone();
        let has = |wanted: &str| scope.split(' ').any(|scope| scope == wanted);
        let consented = !behaviour.offline_needs_consent
            || !has("openid")
            || matches!(occasion, Occasion::Refresh | Occasion::Device)
            || first(&grant.asked, "prompt").is_some_and(|p| p.contains("consent"));
        let refreshable = behaviour.always_refresh_token || (has("offline_access") && consented);
        let kept = matches!(
            (occasion, behaviour.rotation),
            (Occasion::Refresh, Rotation::Off)
        );

        let mut ledger = lock(&self.ledger);
        let access_token = ledger.issue_access_token(grant.clone(), now + behaviour.lifetime);
        let mut body = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": behaviour.lifetime,
        });
        if refreshable && !kept {
            body["refresh_token"] = json!(ledger.issue_refresh_token(grant.clone()));
        }
        let again = matches!(occasion, Occasion::Refresh);
        if let Some(named) = named {
            body["scope"] = json!(named);
        }
        if has("openid") && (!again || behaviour.id_token.on_refresh) {
            let id_token = self.id_token(&behaviour, grant, again, &access_token, now);
            ledger.secrets.push(("id token", id_token.clone()));
            body["id_token"] = json!(id_token);
        }
        apply_patch(&mut body, &behaviour.token_response);
        Response::json(200, &body).header("Pragma", "no-cache")
    }

    fn id_token(
        &self,
        behaviour: &Behaviour,
        grant: &Grant,
        again: bool,
        access_token: &str,
        now: i64,
    ) -> String {
        let making = &behaviour.id_token;
        let algorithm = match making.signature {
            Signature::Good | Signature::Broken => making.signed_by.algorithm(),
            Signature::None => "none",
            Signature::Hs256 => "HS256",
        };
        let mut header = json!({ "typ": "JWT", "alg": algorithm });
        if !behaviour.keys_without_kid {
            header["kid"] = json!(behaviour.one_kid.unwrap_or(making.signed_by.kid()));
        }
        apply_patch(&mut header, &making.header);

        let mut claims = claims_of(&grant.person);
        claims["iss"] = json!(self.issuer());
        claims["aud"] = json!(behaviour.client_id);
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + behaviour.lifetime.max(300));
        claims["auth_time"] = json!(now);
        claims["at_hash"] = json!(making.signed_by.half_hash(access_token));
        let repeats_nonce = !again || behaviour.id_token.nonce_on_refresh;
        if let (Some(nonce), true) = (first(&grant.asked, "nonce"), repeats_nonce) {
            claims["nonce"] = json!(nonce);
        }
        apply_patch(&mut claims, &making.claims);

        let secret = match &behaviour.client_auth {
            ClientAuth::None => None,
            ClientAuth::Basic { secret } | ClientAuth::Post { secret } => Some(secret.as_bytes()),
        };
        self.keys
            .sign(making.signed_by, making.signature, secret, &header, &claims)
    }

    fn check_form(&self, request: &Request, what: &str) {
        let mut wrong = Vec::new();
        if request.method != "POST" {
            wrong.push("not a POST");
        }
        if !request.query.is_empty() {
            wrong.push("parameters in the URL");
        }
        if request.form.is_empty() {
            wrong.push("no form");
        }
        if request.header("Origin").is_some() || request.header("Cookie").is_some() {
            wrong.push("a browser's headers");
        }
        let mut names: Vec<_> = request.form.iter().map(|(name, _)| name).collect();
        names.retain(|name| *name != "resource");
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            wrong.push("a repeated parameter");
        }
        let mut ledger = lock(&self.ledger);
        for wrong in wrong {
            ledger.violation(format!("{what}: {wrong}"));
        }
    }

    /// Requires exactly the registered method (RFC 6749 §2.3).
    pub(super) fn authenticate_client(&self, request: &Request) -> Result<(), Response> {
        let (client_id, registered) = {
            let behaviour = lock(&self.behaviour);
            (behaviour.client_id.clone(), behaviour.client_auth.clone())
        };
        let sent = sent_client(request);
        let expected = match registered {
            ClientAuth::None => SentClient::Public { client_id },
            ClientAuth::Basic { secret } => SentClient::Basic { client_id, secret },
            ClientAuth::Post { secret } => SentClient::Post { client_id, secret },
        };
        if sent == Some(expected) {
            return Ok(());
        }
        lock(&self.ledger).violation("the client is not authenticated as it is registered");
        let response = Response::json(401, &json!({ "error": "invalid_client" }));
        Err(response.header("WWW-Authenticate", "Basic realm=\"fake\""))
    }
}

/// The reason why tokens are issued.
#[derive(Clone, Copy)]
enum Occasion {
    SignIn,
    Device,
    Refresh,
}

#[derive(PartialEq)]
enum SentClient {
    Public { client_id: String },
    Basic { client_id: String, secret: String },
    Post { client_id: String, secret: String },
}

fn sent_client(request: &Request) -> Option<SentClient> {
    let form = |name| first(&request.form, name).map(str::to_owned);
    let (client_id, secret) = (form("client_id"), form("client_secret"));
    match request.header("Authorization") {
        None => match secret {
            None => Some(SentClient::Public {
                client_id: client_id?,
            }),
            Some(secret) => Some(SentClient::Post {
                client_id: client_id?,
                secret,
            }),
        },
        // A request must not use two methods.
        Some(_) if secret.is_some() => None,
        Some(header) => {
            let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (id, secret) = decoded.split_once(':')?;
            Some(SentClient::Basic {
                client_id: form_decoded(id)?,
                secret: form_decoded(secret)?,
            })
        }
    }
}

/// RFC 6749 §2.3.1: both halves are form-urlencoded before they are joined.
fn form_decoded(encoded: &str) -> Option<String> {
    // A literal `&` or `=` would have been encoded.
    if encoded.contains(['&', '=']) {
        return None;
    }
    let (name, _) = pairs(encoded.as_bytes()).into_iter().next()?;
    Some(name)
}

fn error(code: &str) -> Response {
    let body: Value = json!({ "error": code, "error_description": format!("fake: {code}") });
    Response::json(400, &body)
}
