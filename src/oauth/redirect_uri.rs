//! The loopback redirect URI of a native app (RFC 8252 §7.3).

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::safe_url::is_bare;

/// The URI that the browser sends the code to: a loopback host, a path, and a fixed port or any free
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectUri {
    pub host: LoopbackHost,
    /// `None`: any free port, which RFC 8252 §7.3 requires servers to allow.
    pub port: Option<u16>,
    /// Starts with `/`, or is empty for a URI such as `http://localhost:8000`. Servers compare the URI
    /// with the registered one character by character (RFC 9700 §2.1).
    pub path: String,
    /// Other registered ports, to try in this order if another program uses `port`.
    #[serde(default)]
    pub other_ports: Vec<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoopbackHost {
    V4,
    V6,
    /// Some registrations require this name. hallpass then listens on IPv4 and IPv6.
    Localhost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedirectUri {
    #[error("it is not a URL")]
    NotAUrl,
    #[error("it must begin with http://, because only loopback addresses are supported")]
    NotHttp,
    #[error("its host must be 127.0.0.1, [::1] or localhost")]
    NotLoopback,
    #[error("it must not have a user name, query or fragment")]
    Extra,
    #[error("several addresses must each have a port, and be otherwise the same")]
    Different,
}

impl Default for RedirectUri {
    fn default() -> Self {
        Self {
            host: LoopbackHost::V4,
            port: None,
            path: "/callback".to_owned(),
            other_ports: Vec::new(),
        }
    }
}

impl RedirectUri {
    /// Parses a URI such as `http://127.0.0.1/callback`. Without a port, or with port 0, it can be any
    /// free one.
    pub fn parse(text: &str) -> Result<Self, InvalidRedirectUri> {
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri::NotAUrl)?;
        if url.scheme() != "http" {
            return Err(InvalidRedirectUri::NotHttp);
        }
        let host = match url.host() {
            Some(Host::Ipv4(ip)) if ip == std::net::Ipv4Addr::LOCALHOST => LoopbackHost::V4,
            Some(Host::Ipv6(ip)) if ip == std::net::Ipv6Addr::LOCALHOST => LoopbackHost::V6,
            Some(Host::Domain("localhost")) => LoopbackHost::Localhost,
            Some(Host::Ipv4(_) | Host::Ipv6(_) | Host::Domain(_)) | None => {
                return Err(InvalidRedirectUri::NotLoopback);
            }
        };
        if !is_bare(&url) {
            return Err(InvalidRedirectUri::Extra);
        }
        Ok(Self {
            host,
            port: url.port().filter(|port| *port != 0),
            path: if url.path() == "/" && !text.trim_end().ends_with('/') {
                String::new()
            } else {
                url.path().to_owned()
            },
            other_ports: Vec::new(),
        })
    }

    /// Parses URIs that differ only in their ports. The first free port is used.
    pub fn parse_all<'t>(
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, InvalidRedirectUri> {
        let mut texts = texts.into_iter();
        let mut first = Self::parse(texts.next().unwrap_or_default())?;
        for text in texts {
            let other = Self::parse(text)?;
            match (first.port, other.port) {
                (Some(_), Some(port)) if other.host == first.host && other.path == first.path => {
                    first.other_ports.push(port);
                }
                _ => return Err(InvalidRedirectUri::Different),
            }
        }
        Ok(first)
    }

    /// The ports to try. `None` is any free port.
    pub fn ports(&self) -> impl Iterator<Item = Option<u16>> {
        let others = self.other_ports.iter().copied().map(Some);
        std::iter::once(self.port).chain(others)
    }

    /// The URI with this port. Both requests must send exactly this.
    pub fn with_port(&self, port: u16) -> String {
        let host = match self.host {
            LoopbackHost::V4 => "127.0.0.1",
            LoopbackHost::V6 => "[::1]",
            LoopbackHost::Localhost => "localhost",
        };
        format!("http://{host}:{port}{}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_uris_are_accepted() {
        for (text, expected) in [
            (
                "http://127.0.0.1/callback",
                Ok((LoopbackHost::V4, None, "/callback")),
            ),
            ("http://127.0.0.1:0/cb", Ok((LoopbackHost::V4, None, "/cb"))),
            (
                "http://127.0.0.1:8400",
                Ok((LoopbackHost::V4, Some(8400), "")),
            ),
            (
                "http://127.0.0.1:8400/",
                Ok((LoopbackHost::V4, Some(8400), "/")),
            ),
            ("http://localhost", Ok((LoopbackHost::Localhost, None, ""))),
            (
                "http://[::1]:8400/a/b",
                Ok((LoopbackHost::V6, Some(8400), "/a/b")),
            ),
            (
                "http://localhost/",
                Ok((LoopbackHost::Localhost, None, "/")),
            ),
            (
                "http://LOCALHOST/",
                Ok((LoopbackHost::Localhost, None, "/")),
            ),
            ("https://127.0.0.1/", Err(InvalidRedirectUri::NotHttp)),
            ("http://127.0.0.2/", Err(InvalidRedirectUri::NotLoopback)),
            ("http://0.0.0.0/", Err(InvalidRedirectUri::NotLoopback)),
            (
                "http://localhost.evil.example/",
                Err(InvalidRedirectUri::NotLoopback),
            ),
            ("http://a@127.0.0.1/", Err(InvalidRedirectUri::Extra)),
            ("http://127.0.0.1/?x=1", Err(InvalidRedirectUri::Extra)),
            ("http://127.0.0.1/#x", Err(InvalidRedirectUri::Extra)),
            ("callback", Err(InvalidRedirectUri::NotAUrl)),
        ] {
            let parsed = RedirectUri::parse(text);
            let parsed = parsed
                .as_ref()
                .map(|uri| (uri.host, uri.port, uri.path.as_str()));
            assert_eq!(parsed, expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn several_uris_differ_only_in_their_ports() {
        let one = "http://localhost:8000";
        let both = RedirectUri::parse_all([one, "http://localhost:18000"]).unwrap();
        let ports: Vec<_> = both.ports().collect();
        assert_eq!(ports, [Some(8000), Some(18000)]);
        for other in ["http://localhost", "http://localhost:1/", "http://[::1]:1"] {
            for texts in [[one, other], [other, one]] {
                let parsed = RedirectUri::parse_all(texts);
                assert_eq!(parsed, Err(InvalidRedirectUri::Different), "{texts:?}");
            }
        }
        let invalid = RedirectUri::parse_all([one, "https://localhost:1"]);
        assert_eq!(invalid, Err(InvalidRedirectUri::NotHttp));
    }
}
