//! Signs in with the browser or a device code, in the process that holds the sign-in lock.

use std::time::Instant;

use url::Url;

use crate::config::Flow;
use crate::credential::{Generation, TokenKind};
use crate::grant::browser;
use crate::grant::browser::BrowserError;
use crate::grant::device;
use crate::grant::device::DeviceError;
use crate::grant::launch;
use crate::grant::launch::Browser;
use crate::grant::page::Failure;
use crate::oauth::authorization::{AuthorizationRequest, prompt_for};
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::Nonce;
use crate::oauth::token;
use crate::oauth::token::{Client, TokenResponse, parse_token_response};
use crate::secret::Secret;
use crate::store::{Lock, LockKind, Place, Setting, Versioned};

use super::account::Account;
use super::attempt::{Attempt, Outcome};
use super::context::{NOWHERE_TO_SAVE, RESERVED};
use super::error::{Error, Sent, clock_hint};
use super::metadata::endpoint;
use super::person::person_of;
use super::record::{NotNarrowed, Person, Registration, Session};
use super::refusal::Refusals;
use super::tab_message::TabMessage;
use super::token_set::first_tokens;

/// How to reach the user.
#[derive(Debug)]
enum Way {
    Browser(Browser),
    /// Print the URL: there is a terminal, but no browser that hallpass can start.
    ShownUrl,
    Device,
}

/// An example of a fixed port, for a hint.
const EXAMPLE_PORT: u16 = 8484;

impl Account<'_> {
    fn way(&self, metadata: &Metadata, has_secret: bool) -> Result<Way, Error> {
        let settings = self.context.settings;
        let has_device = metadata.device_authorization_endpoint.is_some();
        // GitHub's browser flow needs a client secret, its device flow doesn't.
        let wants_device = self.provider.device_only_without_secret && !has_secret;
        let browser = launch::choose(self.context.env, settings.browser.as_deref());
        match settings.flow {
            Flow::Device if has_device => Ok(Way::Device),
            Flow::Device => Err(Error::NoEndpoint("device_authorization_endpoint")),
            Flow::Auto if wants_device && has_device => Ok(Way::Device),
            Flow::Auto | Flow::Browser => match browser {
                Some(browser) => Ok(Way::Browser(browser)),
                None if settings.flow == Flow::Auto && has_device => Ok(Way::Device),
                None => Ok(Way::ShownUrl),
            },
        }
    }

    /// Signs in while holding the sign-in lock, and records the attempt for other processes. A
    /// sign-in that doesn't bring the requested token counts as failed, so the next request doesn't
    /// open another tab.
    pub(super) fn sign_in_alone(
        &self,
        _lock: &Lock,
        wanted: Option<TokenKind>,
        is_asked_for: bool,
    ) -> Result<Versioned<Session>, Error> {
        let last = self.last_attempt()?;
        self.was_shown.set(false);
        self.say_refusal();
        let mut started = Attempt::started(last.as_ref(), self.context.now());
        if is_asked_for {
            started = started.asked_for();
        }
        // Detect an unwritable folder before a browser opens.
        let keeps = self.context.store.ensure_key()? != Place::None;
        if keeps {
            drop(self.context.store.reserve(&self.name, RESERVED)?);
            self.leave_trace(&started)?;
        } else if self.context.settings.store == Setting::Auto {
            self.context.terminal.warn(NOWHERE_TO_SAVE);
        }
        let result = self.grant(keeps).and_then(|stored| {
            let tokens = &stored.value.tokens;
            let unused = tokens.untimely_id_token(self.context.now());
            match wanted {
                Some(kind) if tokens.token(kind).is_none() => {
                    Err(unused.map_or(Error::NoIdToken, Error::untimely))
                }
                Some(_) | None => {
                    if let Some((unused, fault)) = unused {
                        self.context.terminal.warn(&format!(
                            "{fault}, so only the access token can be used; {}",
                            clock_hint(unused.provider_ahead)
                        ));
                    }
                    Ok(stored)
                }
            }
        });
        let (outcome, message) = match &result {
            Ok(_) => (Outcome::SignedIn, String::new()),
            Err(error) => (self.outcome(error), error.in_one_line()),
        };
        let started = match &result {
            Err(Error::OtherPerson { .. }) => started.of_other_person(),
            Ok(_) | Err(_) => started,
        };
        if keeps
            && let Err(error) =
                self.leave_trace(&started.ended(outcome, message, self.context.now()))
        {
            // The sign-in's own result is more important to the caller.
            self.context.terminal.explain(1, || {
                format!("the result of the sign-in could not be recorded: {error}")
            });
        }
        result
    }

    /// Tells the user why they have to sign in again.
    pub(super) fn say_refusal(&self) {
        if let Some(fault) = self.refresh_refusal.take() {
            let provider = &self.provider.name;
            self.context.terminal.say(&format!(
                "{provider} did not refresh the session, so you have to sign in again ({fault})"
            ));
        }
    }

    /// The provider has answered. From now on, its response is stored even if every caller goes
    /// away.
    #[cfg_attr(
        not(unix),
        expect(
            clippy::unused_self,
            reason = "the sign-in is in the caller's own process"
        )
    )]
    fn commit(&self) {
        #[cfg(unix)]
        if let Some(hub) = self.hub {
            hub.commit();
        }
    }

    fn outcome(&self, error: &Error) -> Outcome {
        if matches!(error, Error::Declined { .. }) {
            Outcome::Declined
        } else if matches!(error, Error::TimedOut { .. }) {
            Outcome::TimedOut
        } else if self.was_shown.get() {
            Outcome::Failed
        } else {
            Outcome::NotOpened
        }
    }

    fn grant(&self, keeps: bool) -> Result<Versioned<Session>, Error> {
        let documents = self.documents();
        let metadata = documents.metadata()?;
        documents.note_unusable(&metadata, self.context.terminal);
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let pinned = self.pinned()?;
        let deadline = Instant::now() + self.context.settings.sign_in_timeout;
        match self.way(&metadata, secret.is_some())? {
            Way::Device => self.by_device(&metadata, &client, pinned.as_ref(), deadline, keeps),
            Way::Browser(browser) => {
                let by_browser = self.by_browser(
                    &metadata,
                    &client,
                    Some(&browser),
                    pinned.as_ref(),
                    deadline,
                    keeps,
                );
                match by_browser {
                    Err(Error::Browser(BrowserError::Launch(cause)))
                        if self.context.settings.flow == Flow::Auto
                            && metadata.device_authorization_endpoint.is_some() =>
                    {
                        self.context.terminal.warn(&format!(
                            "could not start the browser ({cause}); using a device code instead"
                        ));
                        self.by_device(&metadata, &client, pinned.as_ref(), deadline, keeps)
                    }
                    other => other,
                }
            }
            Way::ShownUrl => {
                self.by_browser(&metadata, &client, None, pinned.as_ref(), deadline, keeps)
            }
        }
    }

    fn by_browser(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        browser: Option<&Browser>,
        pinned: Option<&Person>,
        deadline: Instant,
        keeps: bool,
    ) -> Result<Versioned<Session>, Error> {
        let provider = &self.provider;
        if !provider.pkce_unlisted_ok {
            metadata.check_pkce()?;
        }
        let hint = pinned.and_then(|person| person.name.as_deref());
        let account_prompt = if self.wants_account_choice(pinned)? {
            self.account_prompt(metadata)
        } else {
            None
        };
        let scopes = provider.asked_scopes(metadata.scopes_supported.as_deref());
        let prompt = prompt_for(&scopes, &provider.extra_params, account_prompt);
        let ask = browser::Request {
            endpoint: endpoint(
                metadata.authorization_endpoint.as_ref(),
                "authorization_endpoint",
            )?,
            client_id: client.id,
            redirect_uri: &provider.redirect_uri,
            scopes: &scopes,
            is_openid: scopes.iter().any(|scope| scope == "openid"),
            resources: &provider.resources,
            audience: provider.audience.as_deref(),
            login_hint: hint.map(|hint| {
                (
                    provider.login_hint_param.as_deref().unwrap_or("login_hint"),
                    hint,
                )
            }),
            prompt: prompt.as_deref(),
            extra: &provider.extra_params,
            issuer: provider.issuer.as_deref(),
            issuer_required: metadata.authorization_response_iss_parameter_supported,
            purpose: &self.purpose(),
            deadline,
        };
        let prepared = browser::prepare(&ask, |request| self.pushed(metadata, client, request))?;
        let token_endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        self.was_shown.set(true);
        let answered = match prepared.wait_for_response(
            &ask,
            browser,
            self.context.env,
            self.context.terminal,
        ) {
            Ok(answered) => answered,
            Err(error) => return Err(self.not_answered(error)),
        };
        self.commit();
        let request = token::code_request(
            client,
            &answered.code,
            &answered.redirect_uri,
            &answered.verifier,
            &provider.resources,
            provider.audience.as_deref(),
        );
        let result = self
            .posted(token_endpoint, &request)
            .and_then(|response| {
                parse_token_response(response.status, response.body.expose())
                    .map_err(|fault| fault.redact(&request).into())
            })
            .and_then(|tokens| {
                self.accepted(
                    metadata,
                    client,
                    tokens,
                    answered.nonce.as_ref(),
                    pinned,
                    keeps,
                )
            });
        let told = match &result {
            Ok(stored) => TabMessage::SignedIn {
                who: stored
                    .value
                    .person
                    .as_ref()
                    .map(|person| person.shown().to_owned()),
            },
            Err(error) => error.told(),
        };
        self.waiting_tab.replace(Some((answered.tab, told)));
        result
    }

    /// Handles a sign-in that brought no code, and prepares the tab's message.
    fn not_answered(&self, error: BrowserError) -> Error {
        let login = self.login.this.clone();
        match error {
            BrowserError::TimedOut { redirect_uri } => Error::TimedOut {
                login,
                sent: Some(Box::new(self.sent(redirect_uri))),
            },
            BrowserError::Refused { code, tab } => {
                let declined = matches!(
                    code.as_str(),
                    "access_denied"
                        | "consent_required"
                        | "login_required"
                        | "interaction_required"
                );
                let told = if declined {
                    TabMessage::Declined
                } else {
                    TabMessage::Failed(Failure::Provider)
                };
                self.waiting_tab.replace(Some((tab, told)));
                if declined {
                    Error::Declined {
                        cause: Some(code),
                        login,
                    }
                } else {
                    Error::ProviderRefused { code, login }
                }
            }
            BrowserError::Mixup { cause, tab } => {
                self.waiting_tab
                    .replace(Some((tab, TabMessage::Failed(Failure::Provider))));
                Error::Mixup(cause)
            }
            BrowserError::Launch(_) => {
                // The user has seen only a line on stderr.
                self.was_shown.set(false);
                Error::Browser(error)
            }
            BrowserError::Listener(_)
            | BrowserError::NoPushEndpoint
            | BrowserError::PushFailed(_)
            | BrowserError::PushRejected(_) => Error::Browser(error),
        }
    }

    /// What the provider compares with its registration, for a hint.
    fn sent(&self, redirect_uri: String) -> Sent {
        let provider = &self.provider;
        let fixed_port = provider.redirect_uri.port.is_none().then(|| {
            let uri = provider.redirect_uri.with_port(EXAMPLE_PORT);
            let set = if provider.origin.configured {
                format!(
                    "set `redirect_uri = \"{uri}\"` under `[providers.{}]` in {}",
                    provider.name, provider.origin.file
                )
            } else {
                format!("add `--redirect-uri {uri}`")
            };
            format!("register {uri} and {set}")
        });
        Sent {
            client_id: self.identity.client_id.clone(),
            redirect_uri,
            fixed_port,
        }
    }

    /// Pushes the request first if the provider requires it (RFC 9126 §5), and builds the short URL
    /// that refers to it.
    fn pushed(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        request: &AuthorizationRequest<'_>,
    ) -> Option<Result<Url, BrowserError>> {
        if !metadata.require_pushed_authorization_requests && !self.provider.par {
            return None;
        }
        let Some(endpoint) = &metadata.pushed_authorization_request_endpoint else {
            return Some(Err(BrowserError::NoPushEndpoint));
        };
        let push = token::pushed_authorization_request(client, &request.parameters());
        let response = match self
            .http
            .post(endpoint, &push.body(), push.authorization().as_ref())
        {
            Ok(response) => response,
            Err(error) => return Some(Err(BrowserError::PushFailed(error))),
        };
        let request_uri = match token::parse_pushed(response.status, response.body.expose()) {
            Ok(request_uri) => request_uri,
            Err(fault) => return Some(Err(BrowserError::PushRejected(fault.redact(&push)))),
        };
        let mut url = request.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", client.id)
            .append_pair("request_uri", &request_uri);
        Some(Ok(url))
    }

    fn by_device(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        pinned: Option<&Person>,
        deadline: Instant,
        keeps: bool,
    ) -> Result<Versioned<Session>, Error> {
        let provider = &self.provider;
        let ask = device::Request {
            device_endpoint: endpoint(
                metadata.device_authorization_endpoint.as_ref(),
                "device_authorization_endpoint",
            )?,
            token_endpoint: endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?,
            client: *client,
            initial: token::device_authorization_request(
                client,
                &provider.asked_scopes(metadata.scopes_supported.as_deref()),
                &provider.resources,
                provider.audience.as_deref(),
                &provider.extra_params,
            ),
            purpose: &self.purpose(),
            was_shown: &self.was_shown,
            deadline,
        };
        let login = self.login.this.clone();
        let tokens = device::authorize(&ask, &self.http, self.context.terminal).map_err(
            |error| match error {
                DeviceError::Declined(cause) => Error::Declined { cause, login },
                DeviceError::TimedOut => Error::TimedOut { login, sent: None },
                DeviceError::NotStarted(_) | DeviceError::Http(_) | DeviceError::Failed(_) => {
                    Error::Device(error)
                }
            },
        )?;
        self.commit();
        self.accepted(metadata, client, tokens, None, pinned, keeps)
    }

    /// Checks the tokens and who they belong to, and stores the session.
    fn accepted(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        tokens: TokenResponse,
        nonce: Option<&Secret<String>>,
        pinned: Option<&Person>,
        keeps: bool,
    ) -> Result<Versioned<Session>, Error> {
        let now = self.context.now();
        let sent = nonce.map_or(Nonce::Unchecked, Nonce::Sent);
        let checked = self.checked_id_token(metadata, &tokens, sent, now)?;
        let unused = self.unused_id_token(checked.as_ref());
        let person = match &checked {
            Some(checked) => Some(person_of(&checked.claims)),
            None => self.asked_who(metadata, &tokens).ok().flatten(),
        };
        match (pinned, &person) {
            (Some(pinned), Some(person)) if !pinned.is_same(person) => {
                return Err(self.other_person(pinned, person));
            }
            (Some(pinned), None) => {
                return Err(Error::UnknownPerson {
                    pinned: pinned.shown().to_owned(),
                });
            }
            (Some(_), Some(_)) | (None, None) => (),
            (None, Some(person)) => self.warn_of_same_person(person)?,
        }
        let asked = self
            .provider
            .asked_scopes(metadata.scopes_supported.as_deref());
        let session = Session {
            identity: self.identity.clone(),
            provider: self.provider.name.clone(),
            person,
            tokens: first_tokens(tokens, checked.as_ref(), unused, &asked, now),
            nonce: nonce.cloned(),
            refusals: Refusals::default(),
            unverified: None,
            narrowed_from: None,
            has_narrowed: false,
            not_narrowed: self.narrows_for_good()?,
            registration: Registration {
                revocation_endpoint: metadata.revocation_endpoint.clone(),
                client_auth: client.auth,
                client_secret_file: self.provider.client_secret_file.clone(),
                ca_file: self.provider.ca_file.clone(),
            },
        };
        if !keeps {
            return Ok(Versioned {
                value: session,
                generation: 1,
            });
        }
        let generation = self.store_session(&session).unwrap_or_else(|error| {
            self.is_unstored.set(true);
            self.context.terminal.warn(&format!(
                "you are signed in, but the session could not be saved: {error}"
            ));
            1
        });
        Ok(Versioned {
            value: session,
            generation,
        })
    }

    /// Whether narrowing a token cost the previous session its scopes, which must not happen again.
    fn narrows_for_good(&self) -> Result<Option<NotNarrowed>, Error> {
        let earlier = self.stored()?.and_then(|stored| stored.value.not_narrowed);
        Ok(earlier.filter(|how| *how == NotNarrowed::ForGood))
    }

    /// Stores a new session in place of the previous one. Returns its generation.
    fn store_session(&self, session: &Session) -> Result<Generation, Error> {
        let store = self.context.store;
        let lock = store.lock(&self.name, LockKind::Record, self.context.record_deadline())?;
        let generation = self.stored()?.map_or(0, |stored| stored.generation) + 1;
        let room = || store.reserve(&self.name, RESERVED);
        let reservation = room().or_else(|_| room())?;
        self.committed(reservation, session, generation, &lock)?;
        Ok(generation)
    }
}
