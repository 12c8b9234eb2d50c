//! Discovery (RFC 8414, OpenID Connect Discovery 1.0), the keys, and userinfo.

use serde_json::{Value, json};

use super::behaviour::{ClientAuth, Patch};
use super::server::{Request, Response};
use super::{State, lock};

impl State {
    pub(super) fn metadata(&self) -> Response {
        let behaviour = lock(&self.behaviour);
        let method = match behaviour.client_auth {
            ClientAuth::None => "none",
            ClientAuth::Basic { .. } => "client_secret_basic",
            ClientAuth::Post { .. } => "client_secret_post",
        };
        let url = |path: &str| format!("{}{path}", self.base);
        let mut document = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": url("/authorize"),
            "token_endpoint": url("/token"),
            "jwks_uri": url("/jwks"),
            "userinfo_endpoint": url("/userinfo"),
            "revocation_endpoint": url("/revoke"),
            "device_authorization_endpoint": url("/device_authorization"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "token_endpoint_auth_methods_supported": [method],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        apply_patch(&mut document, &behaviour.metadata);
        Response::json(200, &document).header("Cache-Control", "max-age=3600")
    }

    pub(super) fn jwks(&self) -> Response {
        let behaviour = lock(&self.behaviour);
        let keys: Vec<Value> = behaviour
            .published_keys
            .iter()
            .map(|name| {
                let mut key = self.keys.jwk(*name, !behaviour.keys_without_kid);
                if let Some(kid) = behaviour.one_kid {
                    key["kid"] = json!(kid);
                }
                key
            })
            .collect();
        Response::json(200, &json!({ "keys": keys }))
    }

    pub(super) fn userinfo(&self, request: &Request) -> Response {
        let token = request
            .header("Authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let now = self.now();
        match lock(&self.ledger).owner(token, now) {
            Some(person) => Response::json(200, &claims_of(&person)),
            None => Response::json(401, &json!({ "error": "invalid_token" }))
                .header("WWW-Authenticate", "Bearer error=\"invalid_token\""),
        }
    }
}

/// The claims about a person.
pub(super) fn claims_of(person: &str) -> Value {
    json!({
        "sub": format!("sub-of-{person}"),
        "name": person,
        "preferred_username": person,
        "email": format!("{person}@people.example"),
        "email_verified": true,
    })
}

pub(super) fn apply_patch(object: &mut Value, patch: &Patch) {
    let Some(members) = object.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}
