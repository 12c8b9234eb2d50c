//! HTTP: one request at a time, to an authorization server.
//!
//! What every request has: TLS by ring with the platform's certificates (and a private CA where
//! one is configured), a time limit that covers the whole exchange, a body cap, and no redirect
//! followed, for what we send are credentials. Plain http goes to a loopback address only, and
//! never through a proxy. Bodies are never logged: method, host, status.

use std::cell::OnceCell;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::{Host, Url};

use crate::secret::Secret;
use crate::terminal::Terminal;

/// More than any metadata document, key set or token response needs.
const BODY_CAP: usize = 1024 * 1024;

/// Long enough for a slow proxy, short enough that a dead address does not eat the whole limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url} is plain http, and only a loopback address may be spoken to without TLS")]
    PlainHttp { url: String },
    #[error("{host} did not answer within {} s", limit.as_secs())]
    TimedOut { host: String, limit: Duration },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("the certificate of {host} is not trusted: {reason}")]
    Certificate { host: String, reason: String },
    #[error("the answer of {host} broke off: {reason}")]
    Interrupted { host: String, reason: String },
    #[error("{host} answered with a redirect (status {status}), which is not followed")]
    Redirect { host: String, status: u16 },
    #[error("the answer of {host} is larger than {} KiB", BODY_CAP / 1024)]
    TooLarge { host: String },
    #[error("the CA file {} cannot be read: {reason}", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {reason}")]
    Tls { reason: String },
}

/// A response whose body was read whole.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Body,
    /// `max-age` of the response's `Cache-Control`.
    pub max_age: Option<Duration>,
}

/// A body, which may hold tokens: it is never printed, and wiped when it is dropped.
pub type Body = Secret<Vec<u8>>;

/// The client, built when the first request is made: linked but unused it costs nothing.
#[derive(Debug)]
pub struct Http {
    limit: Duration,
    ca_file: Option<PathBuf>,
    terminal: Terminal,
    proxied: OnceCell<Client>,
    /// To loopback addresses: plain http is allowed, and no proxy sees it.
    loopback: OnceCell<Client>,
}

impl Http {
    pub fn new(limit: Duration, ca_file: Option<PathBuf>, terminal: Terminal) -> Self {
        Self {
            limit,
            ca_file,
            terminal,
            proxied: OnceCell::new(),
            loopback: OnceCell::new(),
        }
    }

    /// GETs a JSON document; `bearer` is an access token, where one is needed.
    pub fn get(&self, url: &Url, bearer: Option<&Secret<String>>) -> Result<Response, HttpError> {
        let request = self.client(url)?.get(url.clone());
        let request = match bearer {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        self.send("GET", url, request)
    }

    /// POSTs a form.
    pub fn post(
        &self,
        url: &Url,
        form: &Secret<String>,
        authorization: Option<&Secret<String>>,
    ) -> Result<Response, HttpError> {
        let mut request = self
            .client(url)?
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.expose().clone());
        if let Some(authorization) = authorization {
            let mut value =
                header::HeaderValue::from_str(authorization.expose()).map_err(|_| {
                    HttpError::Tls {
                        reason: "a client secret is not printable".into(),
                    }
                })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send("POST", url, request)
    }

    fn send(
        &self,
        method: &str,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, HttpError> {
        let host = authority(url);
        let started = Instant::now();
        let deadline = started + self.limit;
        let result = request
            // GitHub answers in another format unless it is asked for JSON.
            .header(header::ACCEPT, "application/json")
            .timeout(self.limit)
            .send()
            .map_err(|error| self.classified(&host, error))
            .and_then(|response| self.read(&host, response, deadline));
        self.terminal.explain(1, || {
            let outcome = match &result {
                Ok(response) => response.status.to_string(),
                Err(error) => error.to_string(),
            };
            format!(
                "{method} {host}{} {outcome} ({} ms)",
                url.path(),
                started.elapsed().as_millis()
            )
        });
        result
    }

    fn read(
        &self,
        host: &str,
        mut response: reqwest::blocking::Response,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        let host = || host.to_owned();
        let status = response.status();
        if status.is_redirection() {
            return Err(HttpError::Redirect {
                host: host(),
                status: status.as_u16(),
            });
        }
        let max_age = response
            .headers()
            .get(header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .and_then(max_age);
        let mut body = Vec::with_capacity(8 * 1024);
        let mut chunk = [0; 8 * 1024];
        loop {
            // The client's own limit is one for each read, and a server may drip for ever.
            if Instant::now() > deadline {
                return Err(HttpError::TimedOut {
                    host: host(),
                    limit: self.limit,
                });
            }
            let n = response.read(&mut chunk).map_err(|error| {
                if error.kind() == std::io::ErrorKind::TimedOut {
                    HttpError::TimedOut {
                        host: host(),
                        limit: self.limit,
                    }
                } else {
                    HttpError::Interrupted {
                        host: host(),
                        reason: innermost(&error),
                    }
                }
            })?;
            if n == 0 {
                break;
            }
            if body.len() + n > BODY_CAP {
                return Err(HttpError::TooLarge { host: host() });
            }
            body.extend_from_slice(&chunk[..n]);
        }
        Ok(Response {
            status: status.as_u16(),
            body: Secret::new(body),
            max_age,
        })
    }

    fn classified(&self, host: &str, error: reqwest::Error) -> HttpError {
        let host = host.to_owned();
        // A URL can carry what must not be shown.
        let error = error.without_url();
        if error.is_timeout() {
            return HttpError::TimedOut {
                host,
                limit: self.limit,
            };
        }
        if let Some(reason) = certificate_fault(&error) {
            return HttpError::Certificate { host, reason };
        }
        let reason = innermost(&error);
        if error.is_connect() {
            HttpError::Unreachable { host, reason }
        } else {
            HttpError::Interrupted { host, reason }
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        let loopback = is_loopback(url);
        if url.scheme() != "https" && !loopback {
            return Err(HttpError::PlainHttp {
                url: format!("{}://{}", url.scheme(), authority(url)),
            });
        }
        let slot = if loopback {
            &self.loopback
        } else {
            &self.proxied
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls(self.ca_file.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT.min(self.limit))
            .timeout(self.limit)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| HttpError::Tls {
            reason: innermost(&error.without_url()),
        })?;
        Ok(slot.get_or_init(|| client))
    }
}

/// The platform's verifier over ring, and the private CA beside the platform's own.
fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, HttpError> {
    let fault = |error: rustls::Error| HttpError::Tls {
        reason: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra = ca_file.map(certificates).transpose()?.unwrap_or_default();
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())
            .map_err(fault)?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous() // rustls's name for any verifier but its own; this is the platform's.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let fault = |reason: String| HttpError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| fault("it is not PEM".into()))?;
    if found.is_empty() {
        return Err(fault("it holds no certificate".into()));
    }
    Ok(found)
}

/// The host and port, which is all that is ever shown of a URL.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let mut found = None;
    for directive in cache_control.split(',') {
        let directive = directive.trim();
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
        {
            return Some(Duration::ZERO);
        }
        if let Some((name, value)) = directive.split_once('=')
            && name.eq_ignore_ascii_case("max-age")
        {
            found = value
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    found
}

/// A certificate that was refused is an error of its own, never "please sign in".
fn certificate_fault(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
        return Some(reason.to_string());
    }
    // An `io::Error` speaks for the error that it holds, and does not name it as its source.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .and_then(|held| certificate_fault(held));
    held.or_else(|| error.source().and_then(certificate_fault))
}

/// The first cause, which says most; the layers above it only say that there is one.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_and_no_store_is_zero() {
        for (text, expected) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store, max-age=60", Some(0)),
            ("private", None),
            ("max-age=x", None),
        ] {
            assert_eq!(max_age(text), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        let http = Http::new(Duration::from_secs(1), None, Terminal::new(0));
        for url in [
            "http://192.0.2.1/",
            "http://example.test/",
            "http://localhost.example.test/",
        ] {
            let refused = http.get(&Url::parse(url).unwrap(), None);
            assert!(matches!(refused, Err(HttpError::PlainHttp { .. })), "{url}");
        }
    }

    /// reqwest panics where no crypto provider was installed; ours is handed to it.
    #[test]
    fn a_client_can_be_built_in_a_fresh_process() {
        let http = Http::new(Duration::from_secs(1), None, Terminal::new(0));
        assert!(
            http.client(&Url::parse("https://example.test/").unwrap())
                .is_ok()
        );
    }
}
