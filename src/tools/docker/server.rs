//! The server URLs of registries: which ones name the same registry, and which are different.
//!
//! Clients write the same registry in many ways, and Docker Hub has several names. A path is never
//! removed: docker stores other secrets of the Hub under longer URLs, and a client may ask for a
//! single repository.

use url::Url;

use crate::credential::{Refusal, Resource};
use crate::provider::{Realm, web_url};
use crate::report::Report;
use crate::wire::url_at;

/// Docker's name for its Hub. Other clients use a host name.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";
const HUB_HOST: &str = "index.docker.io";
pub(crate) const HUB_HOSTS: [&str; 3] = ["docker.io", HUB_HOST, "registry-1.docker.io"];
/// Where `docker login` stores the tokens of its own sign-in to the Hub.
const OWN_TOKENS: [&str; 2] = ["v1/access-token", "v1/refresh-token"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// The canonical spelling of host and port, which names the record.
    pub(crate) realm: String,
    /// Empty for the whole registry.
    pub(crate) path: String,
    /// The URLs at which a provider may be configured for it, most likely first.
    pub(crate) urls: Vec<Url>,
    /// The client wrote no scheme.
    pub(crate) is_bare: bool,
}

impl Server {
    /// # Errors
    ///
    /// If the resource isn't a host.
    pub(crate) fn of(resource: &Resource) -> Result<Self, Refusal> {
        let Resource {
            protocol,
            host,
            path,
        } = resource;
        let https = Realm::from_parts("https", host).ok_or_else(not_a_host)?;
        let is_hub = HUB_HOSTS
            .iter()
            .any(|name| Realm::from_parts("https", name).as_ref() == Some(&https));
        let path = path.as_deref().unwrap_or_default();
        if !web_url::is_plain_path(path) {
            return Err(not_a_host());
        }
        let is_bare = protocol.is_empty();
        if is_hub && protocol != "http" {
            let is_whole = matches!(path, "" | "v1" | "v2");
            let path = if is_whole { "" } else { path };
            let urls = HUB_HOSTS.iter().filter(|_| !OWN_TOKENS.contains(&path));
            return Ok(Self {
                realm: format!("https://{HUB_HOST}"),
                path: path.to_owned(),
                urls: urls
                    .filter_map(|host| url_at(&format!("https://{host}"), path))
                    .collect(),
                is_bare,
            });
        }
        let http = Realm::from_parts("http", host).ok_or_else(not_a_host)?;
        // Clients don't name the scheme, and a loopback registry may use either.
        let (realm, realms) = if https.is_loopback() {
            let realm = match protocol.as_str() {
                "http" => with_port(&http),
                _ => https.to_string(),
            };
            (realm, vec![https, http])
        } else if protocol == "http" {
            (http.to_string(), Vec::new())
        } else {
            (https.to_string(), vec![https])
        };
        Ok(Self {
            urls: realms
                .iter()
                .filter_map(|realm| url_at(&realm.to_string(), path))
                .collect(),
            realm,
            path: path.to_owned(),
            is_bare,
        })
    }

    /// Whether it is Docker Hub as a whole.
    pub(crate) fn is_hub(&self) -> bool {
        self.shown() == HUB
    }

    /// Whether `docker login` stores a token of its own sign-in there.
    pub(crate) fn is_own_token(&self) -> bool {
        self.realm == format!("https://{HUB_HOST}") && OWN_TOKENS.contains(&&*self.path)
    }

    /// The name that docker uses.
    pub(crate) fn shown(&self) -> String {
        shown(&self.realm, &self.path)
    }
}

/// The name that docker uses for a realm and a path.
pub(crate) fn shown(realm: &str, path: &str) -> String {
    let host = realm.strip_prefix("https://").unwrap_or(realm);
    match (host, path) {
        (HUB_HOST, "") => HUB.to_owned(),
        (HUB_HOST, path) => format!("https://{HUB_HOST}/{path}"),
        (_, "") => host.to_owned(),
        (_, path) => format!("{host}/{path}"),
    }
}

/// The realm with its port, which distinguishes two registries on one machine.
fn with_port(http: &Realm) -> String {
    let text = http.to_string();
    let port = Url::parse(&text).ok().and_then(|url| url.port());
    let usual = if port.is_none() { ":80" } else { "" };
    format!("{}{usual}", text.replacen("http://", "https://", 1))
}

fn not_a_host() -> Refusal {
    Refusal::Failed(Report::failure("the server URL does not name a registry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(protocol: &str, host: &str, path: &str) -> Server {
        Server::of(&Resource {
            protocol: protocol.into(),
            host: host.into(),
            path: Some(path.to_owned()).filter(|path| !path.is_empty()),
        })
        .unwrap()
    }

    #[test]
    fn all_spellings_of_a_registry_name_one_record() {
        for (protocol, host) in [
            ("", "ghcr.io"),
            ("", "GHCR.IO"),
            ("", "ghcr.io."),
            ("", "ghcr.io:443"),
            ("https", "ghcr.io"),
            ("https", "ghcr.io:443"),
        ] {
            let found = server(protocol, host, "");
            assert_eq!(found.shown(), "ghcr.io", "{protocol} {host}");
            assert_eq!(found.realm, "https://ghcr.io");
        }
        for (protocol, host, path) in [
            ("", "docker.io", ""),
            ("", "index.docker.io", ""),
            ("", "registry-1.docker.io", ""),
            ("https", "index.docker.io", "v1"),
            ("https", "docker.io:443", ""),
        ] {
            let found = server(protocol, host, path);
            assert_eq!(found.shown(), HUB, "{protocol} {host} {path}");
            assert!(!found.urls.is_empty());
        }
    }

    #[test]
    fn different_registries_and_keys_stay_apart() {
        let all = [
            server("", "ghcr.io", ""),
            server("", "ghcr.io", "team/app"),
            server("", "ghcr.io", "v1"),
            server("", "ghcr.io", "v2"),
            server("", "ghcr.io:5000", ""),
            server("http", "ghcr.io", ""),
            server("http", "ghcr.io:443", ""),
            server("", "ghcr.io.evil.example", ""),
            server("", "evilghcr.io", ""),
            server("", "docker.io", ""),
            server("", "docker.io", "library/alpine"),
            server("https", "index.docker.io", "v1/access-token"),
            server("https", "index.docker.io", "v1/refresh-token"),
            server("", "hub.docker.io", ""),
            server("", "evildocker.io", ""),
            server("", "docker.io:5000", ""),
            server("http", "docker.io", ""),
            server("", "localhost", ""),
            server("http", "localhost", ""),
            server("", "localhost:5000", ""),
            server("", "localhost:5001", ""),
            server("", "127.0.0.1:5000", ""),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert_ne!((&one.realm, &one.path), (&other.realm, &other.path));
            }
        }
    }

    #[test]
    fn a_provider_is_looked_up_only_for_https_and_loopback() {
        let urls =
            |found: Server| -> Vec<String> { found.urls.iter().map(ToString::to_string).collect() };
        assert_eq!(urls(server("http", "ghcr.io", "")), [""; 0]);
        assert_eq!(urls(server("http", "ghcr.io:443", "")), [""; 0]);
        assert_eq!(urls(server("", "ghcr.io", "a/b")), ["https://ghcr.io/a/b"]);
        let local = ["https://localhost:5000/", "http://localhost:5000/"];
        for protocol in ["", "http", "https"] {
            let found = server(protocol, "localhost:5000", "");
            assert_eq!(found.realm, "https://localhost:5000");
            assert_eq!(urls(found), local);
        }
        for key in OWN_TOKENS {
            assert_eq!(urls(server("https", "index.docker.io", key)), [""; 0]);
        }
    }

    #[test]
    fn an_invalid_host_is_refused() {
        for host in ["ghcr.io:x", "a..b", "[::1", "ghcr.io:99999", ":5000"] {
            let resource = Resource {
                protocol: String::new(),
                host: host.into(),
                path: None,
            };
            assert!(Server::of(&resource).is_err(), "{host}");
        }
    }
}
