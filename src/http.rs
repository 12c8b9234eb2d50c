//! HTTP: one request at a time, to an authorization server.
//!
//! Every request uses TLS by ring with the platform's certificates (and a private CA if one is
//! configured), a time limit for the whole exchange, and a limit on the body's size. Redirects are
//! not followed, because requests carry credentials. Plain http goes to loopback addresses only,
//! and never through a proxy. Logs show the method, host, path and status, never a body.

use std::cell::{Cell, OnceCell};
use std::io::Read as _;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::{Host, Url};

use patience::Patience;

use crate::env::Env;
use crate::report::printable;
use crate::secret::Secret;
use crate::terminal::Terminal;

mod patience;
#[cfg(all(unix, not(target_os = "macos")))]
mod roots;
mod tls_words;

/// More than any metadata document, key set or token response needs.
const BODY_CAP: usize = 1024 * 1024;

/// Long enough for a slow proxy, and short enough that a dead address does not use up the whole
/// limit. It ends before any request does, so a time-out shows whether there was a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(9);

/// The status of a network that requires a sign-in first (RFC 6585 §6).
const NETWORK_SIGN_IN: u16 = 511;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url} is plain http, which hallpass uses for loopback addresses only")]
    PlainHttp { url: String },
    #[error("{host} did not answer within {} s", limit.as_secs_f64().ceil())]
    TimedOut {
        host: String,
        limit: Duration,
        /// There was a connection, so the server may have received the request.
        connected: bool,
    },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("the proxy {proxy} could not connect to {host}: {reason}")]
    Proxy {
        proxy: String,
        host: String,
        reason: String,
    },
    #[error("the proxy {proxy} requires a user name and password to reach {host}")]
    ProxyLogin { proxy: String, host: String },
    #[error("the certificate of {host} is not trusted: {reason}")]
    Certificate {
        host: String,
        fault: CertificateFault,
        reason: String,
    },
    #[error("the TLS connection to {host} failed: {reason}")]
    NotTls { host: String, reason: String },
    #[error("this network requires you to sign in before you can reach {host} (status 511)")]
    NetworkSignIn { host: String },
    #[error("the connection to {host} was interrupted: {reason}")]
    Interrupted { host: String, reason: String },
    #[error("{host} answered with a redirect (status {status}), which hallpass does not follow")]
    Redirect {
        host: String,
        status: u16,
        /// The target, printable and without the parts that may be secret.
        to: Option<String>,
    },
    #[error("the response from {host} is larger than {} KiB", BODY_CAP / 1024)]
    TooLarge { host: String },
    #[error("cannot read the CA file {}: {reason}", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {reason}")]
    Tls { reason: String },
}

impl HttpError {
    /// Whether the request was sent, at least in part, and the connection then failed.
    pub fn is_after_sending(&self) -> bool {
        matches!(
            self,
            Self::TimedOut {
                connected: true,
                ..
            } | Self::Interrupted { .. }
        )
    }
}

/// What is wrong with a certificate. Each kind has its own remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Not yet or no longer valid, by this machine's clock.
    Time,
    /// It is for a different host.
    Name,
    /// No trusted authority issued it, or it is damaged.
    Trust,
}

/// A response with its complete body.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Body,
    /// The server's clock (RFC 9110 §6.6.1), if sent.
    pub date: Option<OffsetDateTime>,
    /// `max-age` of the response's `Cache-Control`.
    pub max_age: Option<Duration>,
    /// When to try again (RFC 9110 §10.2.3), if sent.
    pub retry_after: Option<Duration>,
    /// An HTML page. No endpoint of a provider sends one to a program, so it comes from a gateway.
    pub is_html: bool,
}

/// A body. It may contain tokens, so it is never printed, and it is wiped when dropped.
pub type Body = Secret<Vec<u8>>;

/// The HTTP client. It is built for the first request, so a hit doesn't pay for it.
#[derive(Debug)]
pub struct Http {
    limit: Duration,
    ca_file: Option<PathBuf>,
    /// Certificates in PEM to trust in addition to the platform's.
    authorities: Vec<u8>,
    /// The proxy's name for messages.
    proxy: String,
    terminal: Terminal,
    /// The proxy for every request except those to loopback; overrides the environment.
    through: Option<Url>,
    /// The clock of the last server that responded, if it sent one.
    last_date: Cell<Option<OffsetDateTime>>,
    /// When that server allows another request, if it said so.
    last_retry_after: Cell<Option<Duration>>,
    proxied: OnceCell<Immortal>,
    /// For loopback addresses: plain http is allowed, and no proxy is used.
    loopback: OnceCell<Immortal>,
}

/// A client that lives until the process ends. Dropping it would wait for its pending work, and the
/// platform may query a silent name server for an unknown time.
type Immortal = ManuallyDrop<Client>;

impl Http {
    pub fn new(limit: Duration, ca_file: Option<PathBuf>, env: &Env, terminal: Terminal) -> Self {
        Self {
            limit,
            ca_file,
            authorities: Vec::new(),
            proxy: proxy_name(env),
            terminal,
            through: None,
            last_date: Cell::new(None),
            last_retry_after: Cell::new(None),
            proxied: OnceCell::new(),
            loopback: OnceCell::new(),
        }
    }

    /// Also trusts these certificates in PEM.
    #[must_use]
    pub fn trusting(self, authorities: Vec<u8>) -> Self {
        Self {
            authorities,
            proxied: OnceCell::new(),
            loopback: OnceCell::new(),
            ..self
        }
    }

    /// Sends requests through a proxy: `http`, `https` or `socks5`. The proxy resolves host names.
    #[must_use]
    pub fn through(self, mut proxy: Url) -> Self {
        if proxy.scheme() == "socks5"
            && let Ok(remote) = Url::parse(&proxy.as_str().replacen("socks5", "socks5h", 1))
        {
            proxy = remote;
        }
        Self {
            proxy: authority(&proxy),
            through: Some(proxy),
            proxied: OnceCell::new(),
            ..self
        }
    }

    /// The clock of the last server that responded (RFC 9110 §6.6.1).
    pub fn last_date(&self) -> Option<OffsetDateTime> {
        self.last_date.get()
    }

    /// When to try again (RFC 9110 §10.2.3), according to the last response.
    pub fn last_retry_after(&self) -> Option<Duration> {
        self.last_retry_after.get()
    }

    /// GETs a JSON document, with an access token (`bearer`) if the server needs one.
    pub fn get(&self, url: &Url, bearer: Option<&Secret<String>>) -> Result<Response, HttpError> {
        let request = self.client(url)?.get(url.clone());
        let request = match bearer {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        self.send("GET", url, request, self.limit)
    }

    /// POSTs a form.
    pub fn post(
        &self,
        url: &Url,
        form: &Secret<String>,
        authorization: Option<&Secret<String>>,
    ) -> Result<Response, HttpError> {
        self.post_within(self.limit, url, form, authorization)
    }

    /// POSTs a form with a time limit of its own.
    pub fn post_within(
        &self,
        limit: Duration,
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
        self.send("POST", url, request, limit)
    }

    fn send(
        &self,
        method: &str,
        url: &Url,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<Response, HttpError> {
        let host = authority(url);
        let started = Instant::now();
        self.last_retry_after.set(None);
        let waiting = Patience::with(&host, limit, self.terminal);
        let result = request
            // GitHub responds in another format unless the request asks for JSON.
            .header(header::ACCEPT, "application/json")
            // This client doesn't decompress, and some servers compress unless told not to.
            .header(header::ACCEPT_ENCODING, "identity")
            .timeout(limit)
            .send()
            .map_err(|error| self.classified(&host, error, limit))
            .and_then(|response| self.read(&host, response, started, limit));
        drop(waiting);
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
        started: Instant,
        limit: Duration,
    ) -> Result<Response, HttpError> {
        let host = || host.to_owned();
        let timed_out = || HttpError::TimedOut {
            host: host(),
            limit,
            connected: true,
        };
        let status = response.status();
        if status.as_u16() == NETWORK_SIGN_IN {
            return Err(HttpError::NetworkSignIn { host: host() });
        }
        if status.is_redirection() {
            return Err(HttpError::Redirect {
                host: host(),
                status: status.as_u16(),
                to: response
                    .headers()
                    .get(header::LOCATION)
                    .and_then(|value| response.url().join(value.to_str().ok()?).ok())
                    .map(|to| {
                        printable(&format!(
                            "{}{}",
                            to.origin().ascii_serialization(),
                            to.path()
                        ))
                    }),
            });
        }
        let text = |name| response.headers().get(name)?.to_str().ok();
        let max_age = text(header::CACHE_CONTROL).and_then(max_age);
        let date = text(header::DATE).and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok());
        self.last_date.set(date);
        let retry_after = text(header::RETRY_AFTER)
            .and_then(|text| retry_after(text, date.unwrap_or_else(OffsetDateTime::now_utc)));
        self.last_retry_after.set(retry_after);
        let says_html = text(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.get(..9)
                .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
        });
        let mut body = Vec::with_capacity(8 * 1024);
        let mut chunk = [0; 8 * 1024];
        loop {
            // The client's own limit applies to each read, so a slow server could exceed the total.
            if started.elapsed() > limit {
                return Err(timed_out());
            }
            let n = response.read(&mut chunk).map_err(|error| {
                if error.kind() == std::io::ErrorKind::TimedOut {
                    timed_out()
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
            is_html: says_html || body.trim_ascii_start().starts_with(b"<"),
            body: Secret::new(body),
            date,
            max_age,
            retry_after,
        })
    }

    fn classified(&self, host: &str, error: reqwest::Error, limit: Duration) -> HttpError {
        let host = host.to_owned();
        // A URL can contain secrets.
        let error = error.without_url();
        if error.is_timeout() {
            let connected = !error.is_connect();
            return HttpError::TimedOut {
                host,
                limit: if connected {
                    limit
                } else {
                    self.connect_limit()
                },
                connected,
            };
        }
        match tls_fault(&error) {
            Some(rustls::Error::InvalidCertificate(fault)) => {
                return HttpError::Certificate {
                    host,
                    fault: kind_of(fault),
                    reason: tls_words::of_certificate(fault).to_owned(),
                };
            }
            Some(fault) => {
                return HttpError::NotTls {
                    host,
                    reason: tls_words::of_connection(fault),
                };
            }
            None => (),
        }
        let reason = innermost(&error);
        if is_of_tunnel(&error) {
            let proxy = self.proxy.clone();
            return if reason.contains("proxy authorization required") {
                HttpError::ProxyLogin { proxy, host }
            } else {
                HttpError::Proxy {
                    proxy,
                    host,
                    reason: reason
                        .replace("tunnel error: unsuccessful", "it refused the connection"),
                }
            };
        }
        if error.is_connect() {
            HttpError::Unreachable { host, reason }
        } else {
            HttpError::Interrupted { host, reason }
        }
    }

    fn connect_limit(&self) -> Duration {
        CONNECT_LIMIT.min(self.limit.mul_f32(0.9))
    }

    /// The certificates to trust in addition to the platform's.
    fn extra(&self) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let mut extra = match &self.ca_file {
            Some(path) => certificates(path)?,
            None => Vec::new(),
        };
        if !self.authorities.is_empty() {
            extra.extend(in_pem(&self.authorities).map_err(|reason| HttpError::Tls { reason })?);
        }
        Ok(extra)
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
            .tls_backend_preconfigured(tls(self.extra()?)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_limit())
            .timeout(self.limit)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        } else if let Some(proxy) = &self.through {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|error| HttpError::Tls {
                reason: innermost(&error.without_url()),
            })?;
            builder = builder.proxy(proxy);
        }
        // The client starts a thread, which starts others.
        let client = crate::signals::in_threads_without(|| builder.build()).map_err(|error| {
            HttpError::Tls {
                reason: innermost(&error.without_url()),
            }
        })?;
        Ok(slot.get_or_init(|| Immortal::new(client)))
    }
}

/// The platform's verifier over ring, with the private CA added to the platform's.
fn tls(extra: Vec<CertificateDer<'static>>) -> Result<rustls::ClientConfig, HttpError> {
    let fault = |error: rustls::Error| HttpError::Tls {
        reason: tls_words::of_connection(&error),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(all(unix, not(target_os = "macos")))]
    let verifier = roots::Roots::new(extra, provider.clone()).map_err(fault)?;
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())
            .map_err(fault)?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous() // rustls calls every verifier but its own that; this is the platform's.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let fault = |reason: String| HttpError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = crate::files::read(path, crate::files::LARGEST)
        .map_err(|error| fault(error.to_string()))?;
    in_pem(&pem).map_err(fault)
}

fn in_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "it is not PEM".to_owned())?;
    if found.is_empty() {
        return Err("it contains no certificate".to_owned());
    }
    Ok(found)
}

/// The host and port: the only part of a URL that messages show.
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

/// Parses `Retry-After`: seconds, or a date by the server's clock.
fn retry_after(text: &str, server_time: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some((date - server_time).try_into().unwrap_or_default())
}

/// The TLS fault behind an error. A rejected certificate is an error of its own and never leads to
/// a new sign-in.
fn tls_fault<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

fn kind_of(fault: &rustls::CertificateError) -> CertificateFault {
    use rustls::CertificateError as E;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list is open, and all other faults are a matter of trust"
    )]
    match fault {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            CertificateFault::Time
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::Name,
        _ => CertificateFault::Trust,
    }
}

/// Whether the connection through a proxy failed. The library's type for that is private, so this
/// compares its message.
fn is_of_tunnel(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("tunnel error"))
}

/// An error and its causes. An `io::Error` forwards `source` to the error inside it and so skips
/// that error.
fn chain<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let held = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        match held {
            Some(held) => Some(held),
            None => error.source(),
        }
    })
}

/// The proxy's host and port, without a password. The variables and their order are those of the
/// HTTP library.
fn proxy_name(env: &Env) -> String {
    let named = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .find_map(|name| env.var_unrecorded(name)?.to_str());
    let parsed = named.and_then(|text| {
        Url::parse(text)
            .ok()
            .filter(Url::has_host)
            .or_else(|| Url::parse(&format!("http://{text}")).ok())
    });
    parsed.map_or_else(|| "of this system".to_owned(), |url| authority(&url))
}

/// The root cause. The layers above it add no detail.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_parsed_and_no_store_means_zero() {
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
    fn retry_after_is_seconds_or_a_date() {
        let now = OffsetDateTime::parse("Fri, 27 Nov 2026 14:00:00 GMT", &Rfc2822).unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Fri, 27 Nov 2026 14:01:30 GMT", Some(90)),
            ("Fri, 27 Nov 2026 13:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), expected, "{text:?}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let http = Http::new(
            Duration::from_secs(1),
            None,
            &Env::default(),
            Terminal::new(0),
        );
        for url in [
            "http://192.0.2.1/",
            "http://example.test/",
            "http://localhost.example.test/",
        ] {
            let refused = http.get(&Url::parse(url).unwrap(), None);
            assert!(matches!(refused, Err(HttpError::PlainHttp { .. })), "{url}");
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
            assert_eq!(proxy_name(&env), expected, "{variable}={value}");
        }
    }

    /// reqwest panics without an installed crypto provider unless one is passed to it.
    #[test]
    fn a_client_can_be_built_in_a_fresh_process() {
        let http = Http::new(
            Duration::from_secs(1),
            None,
            &Env::default(),
            Terminal::new(0),
        );
        assert!(
            http.client(&Url::parse("https://example.test/").unwrap())
                .is_ok()
        );
    }
}
