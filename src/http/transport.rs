//! Sends requests and returns complete responses.

use std::cell::{Cell, OnceCell};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header;
use time::OffsetDateTime;
use url::Url;

use super::certificates::{self, Extra};
use super::error::HttpError;
use super::fault::{classify, root_cause};
use super::patience::Patience;
use super::policy::{Proxy, Route, authority, check_status, connect_limit};
use super::response::{Fields, Response, read_body};
use crate::env::Env;
use crate::secret::Secret;
use crate::terminal::Terminal;

/// The HTTP client. It is built for the first request, so a hit doesn't pay for it.
#[derive(Debug)]
pub struct Http {
    limit: Duration,
    extra: Extra,
    proxy: Proxy,
    terminal: Terminal,
    /// The clock of the last server that responded, if it sent one.
    last_date: Cell<Option<OffsetDateTime>>,
    /// When that server allows another request, if it said so.
    last_retry_after: Cell<Option<Duration>>,
    loopback: OnceCell<Immortal>,
    network: OnceCell<Immortal>,
}

/// A client that lives until the process ends. Dropping it would wait for its pending work, and the
/// platform may query a silent name server for an unknown time.
type Immortal = ManuallyDrop<Client>;

impl Http {
    pub fn new(limit: Duration, ca_file: Option<PathBuf>, env: &Env, terminal: Terminal) -> Self {
        Self {
            limit,
            extra: Extra {
                ca_file,
                pem: Vec::new(),
            },
            proxy: Proxy::of_environment(env),
            terminal,
            last_date: Cell::new(None),
            last_retry_after: Cell::new(None),
            loopback: OnceCell::new(),
            network: OnceCell::new(),
        }
    }

    /// Also trusts these certificates in PEM.
    #[must_use]
    pub fn trusting(mut self, pem: Vec<u8>) -> Self {
        self.extra.pem = pem;
        self.without_clients()
    }

    /// Sends requests through this proxy (`http`, `https` or `socks5`) instead of the environment's.
    /// Requests to loopback addresses use no proxy.
    #[must_use]
    pub fn through(mut self, proxy: Url) -> Self {
        self.proxy = Proxy::at(proxy);
        self.without_clients()
    }

    fn without_clients(mut self) -> Self {
        self.loopback = OnceCell::new();
        self.network = OnceCell::new();
        self
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

    /// GETs a JSON document with this `Authorization`.
    pub fn get_with(
        &self,
        url: &Url,
        authorization: &Secret<String>,
    ) -> Result<Response, HttpError> {
        let value = authorization_value(authorization)?;
        let request = self.client(url)?.get(url.clone());
        let request = request.header(header::AUTHORIZATION, value);
        self.send("GET", url, request, self.limit)
    }

    /// POSTs a JSON document with an access token.
    pub fn post_json(
        &self,
        url: &Url,
        document: &serde_json::Value,
        bearer: &Secret<String>,
    ) -> Result<Response, HttpError> {
        let request = self
            .client(url)?
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(document.to_string())
            .bearer_auth(bearer.expose());
        self.send("POST", url, request, self.limit)
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
            let value = authorization_value(authorization)?;
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
            .map_err(|error| {
                let limit = if error.is_connect() {
                    connect_limit(self.limit)
                } else {
                    limit
                };
                classify(error, &host, &self.proxy.name, limit)
            })
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
        response: reqwest::blocking::Response,
        started: Instant,
        limit: Duration,
    ) -> Result<Response, HttpError> {
        check_status(host, &response)?;
        let status = response.status().as_u16();
        let fields = Fields::of(response.headers());
        self.last_date.set(fields.date);
        self.last_retry_after.set(fields.retry_after);
        let body = read_body(host, response, started, limit)?;
        Ok(fields.with_body(status, body))
    }

    fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        let route = Route::to(url)?;
        let slot = match route {
            Route::Loopback => &self.loopback,
            Route::Network => &self.network,
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let fault = |error: reqwest::Error| HttpError::Tls {
            reason: root_cause(&error.without_url()),
        };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(certificates::tls(&self.extra)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect_limit(self.limit))
            .timeout(self.limit)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")));
        match (route, &self.proxy.url) {
            (Route::Loopback, _) => builder = builder.no_proxy(),
            (Route::Network, Some(proxy)) => {
                builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(fault)?);
            }
            (Route::Network, None) => (),
        }
        // The client starts a thread, which starts others.
        let client = crate::signals::in_threads_without(|| builder.build()).map_err(fault)?;
        Ok(slot.get_or_init(|| Immortal::new(client)))
    }
}

fn authorization_value(authorization: &Secret<String>) -> Result<header::HeaderValue, HttpError> {
    let value = header::HeaderValue::from_str(authorization.expose());
    let mut value = value.map_err(|_| HttpError::Tls {
        reason: "a client secret is not printable".into(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

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
