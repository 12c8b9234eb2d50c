//! The authorization code grant in the user's browser (RFC 6749 §4.1, RFC 8252, PKCE RFC 7636).
//!
//! It returns the code. `session` exchanges it, saves the tokens, and only then shows the result page.

use std::collections::BTreeMap;
use std::time::Instant;

use url::Url;

use super::launch::{self, Browser, LaunchError};
use super::listener::{Listener, ListenerError, Verdict};
use super::page::Page;
use crate::env::Env;
use crate::http::HttpError;
use crate::oauth::authorization::AuthorizationRequest;
use crate::oauth::callback::{self, Callback, ErrorCode, Expected, Rejected};
use crate::oauth::pkce::Pkce;
use crate::oauth::token::TokenError;
use crate::oauth::{RedirectUri, random_secret};
use crate::secret::Secret;
use crate::terminal::Terminal;

/// The sign-in to request.
#[derive(Debug)]
pub struct Request<'a> {
    pub endpoint: &'a Url,
    pub client_id: &'a str,
    pub redirect_uri: &'a RedirectUri,
    pub scopes: &'a [String],
    pub is_openid: bool,
    pub resources: &'a [String],
    pub audience: Option<&'a str>,
    pub login_hint: Option<(&'a str, &'a str)>,
    pub prompt: Option<&'a str>,
    pub extra: &'a BTreeMap<String, String>,
    /// The expected `iss` of the response, and whether the response must have it (RFC 9207 §2.4).
    pub issuer: Option<&'a str>,
    pub issuer_required: bool,
    /// The purpose shown in the sign-in prompt.
    pub purpose: &'a str,
    pub deadline: Instant,
}

/// The provider's response, with everything needed to exchange the code.
#[derive(Debug)]
pub struct CodeResponse {
    pub code: Secret<String>,
    pub verifier: Secret<String>,
    pub nonce: Option<Secret<String>>,
    pub redirect_uri: String,
    pub tab: Tab,
}

/// The browser's tab, which is waiting for the result page.
#[derive(Debug)]
pub struct Tab(Box<Listener>);

impl Tab {
    /// Serves the result page once and closes the port.
    pub fn show(self, page: &Page<'_>) {
        self.0.finish(page);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    #[error("hallpass cannot receive the browser's response")]
    Listener(#[source] ListenerError),
    #[error("could not start the browser")]
    Launch(#[source] LaunchError),
    #[error("the sign-in timed out")]
    TimedOut { redirect_uri: String },
    #[error("the provider rejected the sign-in: {}", code.as_str())]
    Refused { code: ErrorCode, tab: Tab },
    #[error("the response came from a different provider")]
    Mixup {
        #[source]
        cause: Rejected,
        tab: Tab,
    },
    #[error(
        "pushed authorization requests are required, but the provider has no endpoint for them"
    )]
    NoPushEndpoint,
    #[error("could not push the authorization request")]
    PushFailed(#[source] HttpError),
    #[error("the provider rejected the pushed authorization request")]
    PushRejected(#[source] TokenError),
}

/// A sign-in that is ready to be shown to the user.
#[derive(Debug)]
pub struct Prepared {
    listener: Listener,
    pkce: Pkce,
    state: Secret<String>,
    nonce: Option<Secret<String>>,
    redirect_uri: String,
    /// The URL to open in the browser.
    pub url: Url,
}

/// Binds the port and creates the request, without showing anything to the user.
///
/// If the provider requires pushed authorization requests (RFC 9126), `push` sends the request and
/// returns the URL to open instead.
pub fn prepare(
    sign_in: &Request<'_>,
    push: impl FnOnce(&AuthorizationRequest<'_>) -> Option<Result<Url, BrowserError>>,
) -> Result<Prepared, BrowserError> {
    let listener = Listener::bind(sign_in.redirect_uri).map_err(BrowserError::Listener)?;
    let redirect_uri = listener.redirect_uri().to_owned();
    let pkce = Pkce::generate();
    let state = random_secret();
    let nonce = sign_in.is_openid.then(random_secret);
    let request = AuthorizationRequest {
        endpoint: sign_in.endpoint,
        client_id: sign_in.client_id,
        redirect_uri: &redirect_uri,
        scopes: sign_in.scopes,
        state: &state,
        nonce: nonce.as_ref(),
        challenge: &pkce.challenge,
        resources: sign_in.resources,
        audience: sign_in.audience,
        login_hint: sign_in.login_hint,
        prompt: sign_in.prompt,
        extra: sign_in.extra,
    };
    let url = match push(&request) {
        Some(pushed) => pushed?,
        None => request.url(),
    };
    Ok(Prepared {
        listener,
        pkce,
        state,
        nonce,
        redirect_uri,
        url,
    })
}

/// Says what to check if the provider shows an error page. It doesn't redirect the browser after such
/// an error (RFC 6749 §4.1.2.1), so hallpass says this in advance.
fn error_page_hint(client_id: &str, redirect_uri: &str) -> String {
    format!(
        "If the browser shows an error page, check that the client {client_id} is registered with \
         the redirect URI {redirect_uri}. Some providers also compare the port; to use a fixed one, \
         set `redirect_uri` in config.toml"
    )
}

impl Prepared {
    /// Shows the URL, opens the browser if there is one, and waits for the response.
    pub fn wait_for_response(
        self,
        sign_in: &Request<'_>,
        browser: Option<&Browser>,
        env: &Env,
        terminal: Terminal,
    ) -> Result<CodeResponse, BrowserError> {
        let Self {
            mut listener,
            pkce,
            state,
            nonce,
            redirect_uri,
            url,
        } = self;
        let purpose = sign_in.purpose;
        if let Some(browser) = browser {
            terminal.say(&format!(
                "Sign in to {purpose} in your browser. If it does not open, go to\n{url}"
            ));
            launch::open(browser, &url, env).map_err(BrowserError::Launch)?;
        } else {
            terminal.ask(&format!("Sign in to {purpose} at\n{url}"));
        }
        terminal.say(&error_page_hint(sign_in.client_id, &redirect_uri));
        let expected = Expected {
            state: &state,
            issuer: sign_in.issuer,
            issuer_required: sign_in.issuer_required,
        };
        let mut response = None;
        let waited = listener
            .wait(
                sign_in.deadline,
                &mut |query| match callback::parse(query, &expected) {
                    Err(rejected) if !rejected.ends_sign_in() => {
                        terminal.explain(1, || {
                            format!("ignored a request to the redirect URI: {rejected}")
                        });
                        Verdict::Rejected
                    }
                    other => {
                        response = Some(other);
                        Verdict::Accepted
                    }
                },
            )
            .map_err(|error| match error {
                ListenerError::TimedOut => BrowserError::TimedOut {
                    redirect_uri: redirect_uri.clone(),
                },
                ListenerError::PortTaken { .. }
                | ListenerError::NoLoopback(_)
                | ListenerError::Io(_) => BrowserError::Listener(error),
            });
        if listener.has_unverified_peer() {
            terminal.explain(1, || {
                "could not verify that the browser runs as the same user, because this system does \
                 not show which user a connection belongs to"
                    .to_owned()
            });
        }
        waited?;
        let tab = Tab(Box::new(listener));
        match response {
            Some(Ok(Callback::Code(code))) => Ok(CodeResponse {
                code,
                verifier: pkce.verifier,
                nonce,
                redirect_uri,
                tab,
            }),
            Some(Ok(Callback::Denied(code))) => Err(BrowserError::Refused { code, tab }),
            Some(Err(cause)) => Err(BrowserError::Mixup { cause, tab }),
            None => Err(BrowserError::TimedOut { redirect_uri }),
        }
    }
}
