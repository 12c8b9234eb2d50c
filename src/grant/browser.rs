//! The authorization code grant in the user's browser (RFC 6749 §4.1, RFC 8252, PKCE RFC 7636).
//!
//! It ends with the code; exchanging and storing it is the session's part, and so is the word on
//! the result page, which must not be said before that.

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

/// What is asked for, and of whom.
#[derive(Debug)]
pub struct Ask<'a> {
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
    /// What the callback's `iss` must be, and whether it must be there (RFC 9207 §2.4).
    pub issuer: Option<&'a str>,
    pub issuer_required: bool,
    /// Whom the person is told this is for.
    pub purpose: &'a str,
    pub deadline: Instant,
}

/// The provider's answer, and what it takes to exchange it.
#[derive(Debug)]
pub struct Answered {
    pub code: Secret<String>,
    pub verifier: Secret<String>,
    pub nonce: Option<Secret<String>>,
    pub redirect_uri: String,
    pub tab: Tab,
}

/// The browser's tab, which waits to be told how it ended.
#[derive(Debug)]
pub struct Tab(Box<Listener>);

impl Tab {
    /// Serves the result page once, and closes the port.
    pub fn tell(self, page: &Page<'_>) {
        self.0.finish(page);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    #[error("no port can be listened on")]
    Listener(#[source] ListenerError),
    #[error("no browser could be started")]
    Launch(#[source] LaunchError),
    #[error("the sign-in timed out")]
    TimedOut { redirect_uri: String },
    #[error("the provider ended the sign-in: {}", code.as_str())]
    Refused { code: ErrorCode, tab: Tab },
    #[error("the answer came from another provider than the one that was asked")]
    Mixup {
        #[source]
        cause: Rejected,
        tab: Tab,
    },
    #[error(
        "the authorization request has to be pushed, and the provider names no endpoint for it"
    )]
    NowhereToPush,
    #[error("the authorization request could not be sent ahead")]
    NotSent(#[source] HttpError),
    #[error("the provider did not take the authorization request")]
    NotTaken(#[source] TokenError),
}

/// A request that was made, and is not yet shown to anybody.
#[derive(Debug)]
pub struct Prepared {
    listener: Listener,
    pkce: Pkce,
    state: Secret<String>,
    nonce: Option<Secret<String>>,
    redirect_uri: String,
    /// What the browser is to open.
    pub url: Url,
}

/// Binds the port and makes the request. Nobody has been bothered yet.
///
/// `push` is handed the parameters where the provider wants them beforehand (RFC 9126), and gives
/// back the URL to open instead.
pub fn prepare(
    ask: &Ask<'_>,
    push: impl FnOnce(&AuthorizationRequest<'_>) -> Option<Result<Url, BrowserError>>,
) -> Result<Prepared, BrowserError> {
    let listener = Listener::bind(ask.redirect_uri).map_err(BrowserError::Listener)?;
    let redirect_uri = listener.redirect_uri().to_owned();
    let pkce = Pkce::generate();
    let state = random_secret();
    let nonce = ask.is_openid.then(random_secret);
    let request = AuthorizationRequest {
        endpoint: ask.endpoint,
        client_id: ask.client_id,
        redirect_uri: &redirect_uri,
        scopes: ask.scopes,
        state: &state,
        nonce: nonce.as_ref(),
        challenge: &pkce.challenge,
        resources: ask.resources,
        audience: ask.audience,
        login_hint: ask.login_hint,
        prompt: ask.prompt,
        extra: ask.extra,
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

/// What the provider's own error page may mean. It does not send the browser back (RFC 6749
/// §4.1.2.1), so this is said beforehand.
fn if_the_page_is_an_error(client_id: &str, redirect_uri: &str) -> String {
    format!(
        "If the browser shows an error page, hallpass does not hear of it: check that the provider \
         knows the client {client_id} and the redirect URI {redirect_uri}. Some providers compare \
         the port too; `redirect_uri` in config.toml can fix it"
    )
}

impl Prepared {
    /// Shows the URL, opens the browser if there is one, and waits for the answer.
    pub fn answered(
        self,
        ask: &Ask<'_>,
        browser: Option<&Browser>,
        env: &Env,
        terminal: Terminal,
    ) -> Result<Answered, BrowserError> {
        let Self {
            mut listener,
            pkce,
            state,
            nonce,
            redirect_uri,
            url,
        } = self;
        let purpose = ask.purpose;
        if let Some(browser) = browser {
            terminal.say(&format!(
                "Sign in to {purpose} in the browser; if it does not open, go to\n{url}"
            ));
            launch::open(browser, &url, env).map_err(BrowserError::Launch)?;
        } else {
            terminal.ask(&format!("Sign in to {purpose} at\n{url}"));
        }
        terminal.say(&if_the_page_is_an_error(ask.client_id, &redirect_uri));
        let expected = Expected {
            state: &state,
            issuer: ask.issuer,
            issuer_required: ask.issuer_required,
        };
        let mut answer = None;
        let waited = listener
            .wait(
                ask.deadline,
                &mut |query| match callback::parse(query, &expected) {
                    Err(rejected) if !rejected.ends_sign_in() => {
                        terminal.explain(1, || {
                            format!("a request to the callback was refused: {rejected}")
                        });
                        Verdict::Refused
                    }
                    other => {
                        answer = Some(other);
                        Verdict::Ended
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
        if listener.has_unchecked() {
            terminal.explain(1, || {
                "this system does not tell which user a connection to the callback belongs to, so \
                 hallpass could not check that it was you"
                    .to_owned()
            });
        }
        waited?;
        let tab = Tab(Box::new(listener));
        match answer {
            Some(Ok(Callback::Code(code))) => Ok(Answered {
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
