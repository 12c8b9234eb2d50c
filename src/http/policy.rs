//! The rules for every request: where it may go, through which proxy, and for how long.
//!
//! Plain http goes to loopback addresses only, and never through a proxy. hallpass does not follow
//! redirects, because requests carry credentials.

use std::time::Duration;

use reqwest::blocking::Response;
use reqwest::header;
use url::Url;

use super::error::HttpError;
use crate::env::Env;
use crate::oauth::safe_url::is_loopback;
use crate::report::printable;

/// The largest body, in bytes: more than any metadata document, key set or token response needs.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// Long enough for a slow proxy, and short enough that a dead address does not use up the whole
/// limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(9);

/// The status of a network that requires a sign-in first (RFC 6585 §6).
const NETWORK_SIGN_IN: u16 = 511;

/// The time limit for connecting. It ends before the request's own limit does, so a time-out shows
/// whether there was a connection.
pub(super) fn connect_limit(limit: Duration) -> Duration {
    CONNECT_LIMIT.min(limit.mul_f32(0.9))
}

/// The way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// To this machine: directly, and plain http is allowed.
    Loopback,
    /// To any other server, through the proxy if there is one.
    Network,
}

impl Route {
    pub(super) fn to(url: &Url) -> Result<Self, HttpError> {
        if url.host().is_some_and(|host| is_loopback(&host)) {
            Ok(Self::Loopback)
        } else if url.scheme() == "https" {
            Ok(Self::Network)
        } else {
            Err(HttpError::PlainHttp {
                url: format!("{}://{}", url.scheme(), authority(url)),
            })
        }
    }
}

/// The proxy for requests along [`Route::Network`].
#[derive(Debug)]
pub(super) struct Proxy {
    /// The proxy's host and port for messages, without a password.
    pub(super) name: String,
    /// `None`: the HTTP library reads the environment itself.
    pub(super) url: Option<Url>,
}

impl Proxy {
    /// The proxy that the environment names. The variables and their order are those of the HTTP
    /// library.
    pub(super) fn of_environment(env: &Env) -> Self {
        let value = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .iter()
            .find_map(|name| env.var_unrecorded(name)?.to_str());
        let url = value.and_then(|text| {
            Url::parse(text)
                .ok()
                .filter(Url::has_host)
                .or_else(|| Url::parse(&format!("http://{text}")).ok())
        });
        Self {
            name: url.map_or_else(|| "of this system".to_owned(), |url| authority(&url)),
            url: None,
        }
    }

    /// This proxy, whatever the environment says. The proxy resolves host names.
    pub(super) fn at(url: Url) -> Self {
        let resolving = match url.scheme() {
            "socks5" => Url::parse(&url.as_str().replacen("socks5", "socks5h", 1)).ok(),
            _ => None,
        };
        let url = resolving.unwrap_or(url);
        Self {
            name: authority(&url),
            url: Some(url),
        }
    }
}

/// Rejects a redirect, and the response of a network that requires a sign-in.
pub(super) fn check_status(host: &str, response: &Response) -> Result<(), HttpError> {
    let host = host.to_owned();
    let status = response.status();
    if status.as_u16() == NETWORK_SIGN_IN {
        return Err(HttpError::NetworkSignIn { host });
    }
    if !status.is_redirection() {
        return Ok(());
    }
    let target = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| response.url().join(value.to_str().ok()?).ok());
    Err(HttpError::Redirect {
        host,
        status: status.as_u16(),
        to: target.map(|to| {
            let origin = to.origin().ascii_serialization();
            printable(&format!("{origin}{}", to.path()))
        }),
    })
}

/// The host and port: the only part of a URL that messages show.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/", Some(Route::Loopback)),
            ("http://[::1]/", Some(Route::Loopback)),
            ("http://localhost/", Some(Route::Loopback)),
            ("https://localhost/", Some(Route::Loopback)),
            ("https://example.test/", Some(Route::Network)),
            ("http://192.0.2.1/", None),
            ("http://example.test/", None),
            ("http://localhost.example.test/", None),
        ] {
            let route = Route::to(&Url::parse(url).unwrap());
            assert_eq!(route.ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        for (variable, value, expected) in [
            (
                "HTTPS_PROXY",
                "http://u:secret@proxy.corp.example:3128",
                "proxy.corp.example:3128",
            ),
            (
                "https_proxy",
                "proxy.corp.example:3128",
                "proxy.corp.example:3128",
            ),
            (
                "https_proxy",
                "u:secret@proxy.corp.example:3128",
                "proxy.corp.example:3128",
            ),
            ("ALL_PROXY", "http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("HTTP_PROXY", "http://proxy.corp.example", "of this system"),
        ] {
            let env = Env::new([""], [(variable, value)]);
            let proxy = Proxy::of_environment(&env);
            assert_eq!(proxy.name, expected, "{variable}={value}");
        }
    }

    #[test]
    fn a_socks_proxy_resolves_host_names() {
        for (url, expected) in [
            ("socks5://127.0.0.1:1080", "socks5h://127.0.0.1:1080"),
            ("socks5h://127.0.0.1:1080", "socks5h://127.0.0.1:1080"),
            ("http://127.0.0.1:3128/", "http://127.0.0.1:3128/"),
        ] {
            let proxy = Proxy::at(Url::parse(url).unwrap());
            assert_eq!(proxy.url.unwrap().as_str(), expected);
        }
    }
}
