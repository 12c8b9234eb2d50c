//! Asks a registry whether it accepts a credential, the way docker does before a pull.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> and
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::{Host, Url};

use crate::http::{Http, HttpError, Response};
use crate::provider::web_url;
use crate::secret::Secret;

/// A user name and its secret.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) secret: Secret<String>,
}

/// What the registry did with a credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// It requests no credential.
    Open,
    Rejected {
        /// The registry or its token server.
        by: String,
        status: u16,
    },
    /// The answer says nothing about the credential.
    Unclear(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// # Errors
///
/// If the registry or its token server can't be reached.
pub(super) fn ask(http: &Http, registry: &Url, login: &Login) -> Result<Verdict, HttpError> {
    let mut api = registry.clone();
    api.set_path("/v2/");
    let first = http.get(&api, None)?;
    if first.status == 200 {
        return Ok(Verdict::Open);
    }
    let challenge = first.challenges.iter().find_map(|text| challenge(text));
    let (Some(challenge), 401) = (challenge, first.status) else {
        let status = first.status;
        return Ok(Verdict::Unclear(format!(
            "{api} answered with status {status} and without a known challenge"
        )));
    };
    let basic = basic(login);
    match challenge {
        Challenge::Basic => {
            let answer = http.get_with(&api, &basic)?;
            Ok(verdict(&api, &answer).unwrap_or(Verdict::Accepted))
        }
        Challenge::Bearer { realm, service } => {
            let Some(realm) = token_server(registry, &realm) else {
                return Ok(Verdict::Unclear(
                    "its token server has no https URL, so the credential was not sent".to_owned(),
                ));
            };
            let mut url = realm.clone();
            if let Some(service) = service {
                url.query_pairs_mut().append_pair("service", &service);
            }
            let answer = http.get_with(&url, &basic)?;
            if let Some(verdict) = verdict(&realm, &answer) {
                return Ok(verdict);
            }
            let Some(token) = token(&answer) else {
                return Ok(Verdict::Unclear(
                    "its token server sent no token".to_owned(),
                ));
            };
            let answer = http.get(&api, Some(&token))?;
            Ok(verdict(&api, &answer).unwrap_or(Verdict::Accepted))
        }
    }
}

/// `None` if the request succeeded.
fn verdict(asked: &Url, answer: &Response) -> Option<Verdict> {
    let by = asked.host_str().unwrap_or_default().to_owned();
    match answer.status {
        200..=299 => None,
        status @ (400 | 401 | 403) => Some(Verdict::Rejected { by, status }),
        status => Some(Verdict::Unclear(format!(
            "{by} answered with status {status}"
        ))),
    }
}

fn basic(login: &Login) -> Secret<String> {
    let pair = Secret::new(format!("{}:{}", login.username, login.secret.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

/// The URL of a token server. Only a registry on this machine may name one without TLS.
fn token_server(registry: &Url, realm: &str) -> Option<Url> {
    let url = web_url::parse(realm)?;
    let is_local = |url: &Url| match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_safe = url.scheme() == "https" || (is_local(&url) && is_local(registry));
    is_safe.then_some(url)
}

fn token(answer: &Response) -> Option<Secret<String>> {
    #[derive(Deserialize)]
    struct Reply {
        token: Option<Secret<String>>,
        access_token: Option<Secret<String>>,
    }
    let Reply {
        token,
        access_token,
    } = serde_json::from_slice(answer.body.expose()).ok()?;
    token.or(access_token)
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
            (&local, "http://127.0.0.1:5001/token", true),
            (&local, "http://auth.example/token", false),
            (&local, "token", false),
        ] {
            assert_eq!(token_server(registry, realm).is_some(), expected, "{realm}");
        }
    }
}
