//! The metadata of an authorization server.

use serde::{Deserialize, Serialize};
use url::Url;

use super::error::DiscoveryError;
use crate::oauth::token::ClientAuth;

/// What an authorization server says about itself, as far as hallpass needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub device_authorization_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    pub userinfo_endpoint: Option<Url>,
    pub introspection_endpoint: Option<Url>,
    pub jwks_uri: Option<Url>,
    pub pushed_authorization_request_endpoint: Option<Url>,
    pub require_pushed_authorization_requests: bool,
    pub code_challenge_methods_supported: Option<Vec<String>>,
    pub authorization_response_iss_parameter_supported: bool,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    pub scopes_supported: Option<Vec<String>>,
    pub grant_types_supported: Option<Vec<String>>,
    /// Initiating User Registration via OpenID Connect 1.0, section 4.
    pub prompt_values_supported: Option<Vec<String>>,
    /// Optional endpoints that the document names, but that hallpass can't use.
    pub unusable: Vec<UnusableEndpoint>,
}

/// An optional endpoint whose value is not an acceptable URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableEndpoint {
    pub member: String,
    /// The document's value, printable.
    pub found: String,
}

impl Metadata {
    /// Adds what this document leaves out from another document of the same issuer.
    #[must_use]
    pub fn merge(self, other: Metadata) -> Metadata {
        let mut unusable = self.unusable;
        for endpoint in other.unusable {
            if unusable.iter().all(|known| known.member != endpoint.member) {
                unusable.push(endpoint);
            }
        }
        let mut merged = Metadata {
            issuer: self.issuer,
            authorization_endpoint: self.authorization_endpoint.or(other.authorization_endpoint),
            token_endpoint: self.token_endpoint.or(other.token_endpoint),
            device_authorization_endpoint: self
                .device_authorization_endpoint
                .or(other.device_authorization_endpoint),
            revocation_endpoint: self.revocation_endpoint.or(other.revocation_endpoint),
            userinfo_endpoint: self.userinfo_endpoint.or(other.userinfo_endpoint),
            introspection_endpoint: self.introspection_endpoint.or(other.introspection_endpoint),
            jwks_uri: self.jwks_uri.or(other.jwks_uri),
            pushed_authorization_request_endpoint: self
                .pushed_authorization_request_endpoint
                .or(other.pushed_authorization_request_endpoint),
            require_pushed_authorization_requests: self.require_pushed_authorization_requests
                || other.require_pushed_authorization_requests,
            code_challenge_methods_supported: self
                .code_challenge_methods_supported
                .or(other.code_challenge_methods_supported),
            authorization_response_iss_parameter_supported: self
                .authorization_response_iss_parameter_supported
                || other.authorization_response_iss_parameter_supported,
            token_endpoint_auth_methods_supported: self
                .token_endpoint_auth_methods_supported
                .or(other.token_endpoint_auth_methods_supported),
            id_token_signing_alg_values_supported: self
                .id_token_signing_alg_values_supported
                .or(other.id_token_signing_alg_values_supported),
            scopes_supported: self.scopes_supported.or(other.scopes_supported),
            grant_types_supported: self.grant_types_supported.or(other.grant_types_supported),
            prompt_values_supported: self
                .prompt_values_supported
                .or(other.prompt_values_supported),
            unusable: Vec::new(),
        };
        // An endpoint is usable if either document names it correctly.
        unusable.retain(|endpoint| !merged.has(&endpoint.member));
        merged.unusable = unusable;
        merged
    }

    /// Whether this optional endpoint is known.
    pub(super) fn has(&self, member: &str) -> bool {
        let endpoint = match member {
            "device_authorization_endpoint" => &self.device_authorization_endpoint,
            "revocation_endpoint" => &self.revocation_endpoint,
            "userinfo_endpoint" => &self.userinfo_endpoint,
            "introspection_endpoint" => &self.introspection_endpoint,
            "pushed_authorization_request_endpoint" => &self.pushed_authorization_request_endpoint,
            _ => return false,
        };
        endpoint.is_some()
    }

    /// Fails if the server lists its PKCE methods and S256 is not among them.
    ///
    /// Most servers that support PKCE don't list methods, and a server without PKCE must ignore the
    /// parameters.
    pub fn check_pkce(&self) -> Result<(), DiscoveryError> {
        match &self.code_challenge_methods_supported {
            Some(methods) if !methods.iter().any(|method| method == "S256") => {
                Err(DiscoveryError::NoS256)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How the client authenticates unless it is configured. Every server must support Basic
    /// (RFC 6749 §2.3.1), so hallpass posts the secret only if the server lists that and not Basic.
    pub fn client_auth(&self, has_secret: bool) -> ClientAuth {
        if !has_secret {
            return ClientAuth::None;
        }
        let lists = |wanted: &str| {
            self.token_endpoint_auth_methods_supported
                .as_ref()
                .is_some_and(|methods| methods.iter().any(|method| method == wanted))
        };
        if lists("client_secret_post") && !lists("client_secret_basic") {
            ClientAuth::Post
        } else {
            ClientAuth::Basic
        }
    }
}
