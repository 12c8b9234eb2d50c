//! The token server that a registry names in its challenge, and the requests that clients send it.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> and
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::{Host, Url, form_urlencoded};

use crate::http::{Http, HttpError, Response};
use crate::secret::Secret;

/// The user name that marks a password as an identity token, which is the registry's own refresh
/// token.
pub const IDENTITY_TOKEN: &str = "<token>";

/// Only appears in the token server's logs.
const CLIENT_ID: &str = "hallpass";

/// How a registry wants its clients to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

#[derive(Debug)]
pub struct TokenServer {
    pub url: Url,
    service: Option<String>,
}

/// The members of a token server's response.
#[derive(Debug, Default, Deserialize)]
pub struct Tokens {
    token: Option<Secret<String>>,
    access_token: Option<Secret<String>>,
    /// The identity token.
    pub refresh_token: Option<Secret<String>>,
}

impl Tokens {
    pub fn of(body: &Secret<Vec<u8>>) -> Self {
        serde_json::from_slice(body.expose()).unwrap_or_default()
    }

    pub fn access(self) -> Option<Secret<String>> {
        self.token.or(self.access_token)
    }
}

/// The endpoint with which clients find out how to authenticate.
pub fn api_of(registry: &Url) -> Url {
    super::at(registry, "/v2/")
}

/// The challenge in a registry's response.
pub fn challenge_in(response: &Response) -> Option<Challenge> {
    if response.status != 401 {
        return None;
    }
    response.challenges.iter().find_map(|text| challenge(text))
}

impl TokenServer {
    /// `None` if its URL isn't https. Only a registry on this machine may name one without TLS.
    pub fn of(registry: &Url, realm: &str, service: Option<String>) -> Option<Self> {
        let url = Url::parse(realm).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_safe = match url.scheme() {
            "https" => url.has_host(),
            "http" => is_local(&url) && is_local(registry),
            _ => false,
        };
        (is_plain && is_safe).then_some(Self { url, service })
    }

    /// Requests tokens with a user name and password. `offline_token` also requests an identity
    /// token.
    pub fn tokens(
        &self,
        http: &Http,
        username: &str,
        password: &Secret<String>,
    ) -> Result<Response, HttpError> {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query
            .append_pair("client_id", CLIENT_ID)
            .append_pair("offline_token", "true")
            .append_pair("account", username);
        drop(query);
        http.get_with(&url, &basic(username, password))
    }

    /// Requests a token with an identity token.
    pub fn tokens_for_identity(
        &self,
        http: &Http,
        identity_token: &Secret<String>,
    ) -> Result<Response, HttpError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("client_id", CLIENT_ID)
            .append_pair("refresh_token", identity_token.expose());
        http.post(&self.url, &Secret::new(form.finish()), None)
    }
}

/// The `Authorization` of HTTP Basic (RFC 7617).
pub fn basic(username: &str, password: &Secret<String>) -> Secret<String> {
    let pair = Secret::new(format!("{username}:{}", password.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Parses a `WWW-Authenticate` header (RFC 9110 §11.6.1) with one challenge, as registries send it.
fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => (),
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_the_token_server() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.example/token",service="a, b",scope="x""#,
                bearer("https://auth.example/token", Some("a, b")),
            ),
            (
                "bearer service=a, realm=https://b.example",
                bearer("https://b.example", Some("a")),
            ),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("Bearer", None),
            (r#"Bearer realm="x"#, None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(challenge(text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_local_registry_may_have_a_token_server_without_tls() {
        let url = |text| Url::parse(text).unwrap();
        let local = url("http://127.0.0.1:5000/");
        let remote = url("https://registry.example/");
        for (registry, realm, expected) in [
            (&remote, "https://auth.example/token", true),
            (&remote, "http://auth.example/token", false),
            (&remote, "http://127.0.0.1/token", false),
            (&remote, "https://user@auth.example/token", false),
            (&remote, "ftp://auth.example/token", false),
            (&local, "http://127.0.0.1:5001/token", true),
            (&local, "http://auth.example/token", false),
            (&local, "token", false),
        ] {
            let found = TokenServer::of(registry, realm, None);
            assert_eq!(found.is_some(), expected, "{realm}");
        }
    }
}
