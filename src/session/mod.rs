//! Sessions: kept, refreshed, authorized. This is the one place where a token is refreshed.
//!
//! Architecture invariants: a record is refreshed by one process at a time, which has reserved
//! the room for the answer before it sends a refresh token, and stores before it answers; a
//! person is asked by one process at a time, and never while the record's lock is held; an error
//! is not an absence, so a failing network, server or keyring opens no browser and deletes
//! nothing.

use std::cell::{Cell, RefCell};
use std::time::{Duration as StdDuration, Instant};

use time::{Duration, OffsetDateTime};
use url::Url;

use crate::config::{Flow, Interactive, Settings};
use crate::credential::{Generation, TokenKind, Want};
use crate::env::Env;
use crate::grant::browser::{self, BrowserError, Tab};
use crate::grant::device::{self, DeviceError};
use crate::grant::launch::{self, Browser};
use crate::grant::page::{Ending, Failure, Page};
use crate::http::{Http, Response};
use crate::oauth::authorization::{AuthorizationRequest, prompt_for};
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::{self, Checks, Claims, IdTokenError};
use crate::oauth::token::{self, Client, TokenRequest, TokenResponse, parse_token_response};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::{
    Kept, Listed, Lock, LockKind, Place, Plain, RecordName, Reservation, Setting, Store, StoreError,
};
use crate::terminal::Terminal;

pub mod attempt;
mod error;
mod metadata;
pub mod plan;
pub mod record;

// What an `Error` holds: whoever writes its hint has to tell these apart.
pub use crate::oauth::discovery::DiscoveryError;
pub use crate::oauth::token::TokenError;
pub use error::Error;

use attempt::{Attempt, Outcome};
use metadata::Documents;
use plan::{Plan, Reason, plan};
use record::{Identity, Person, Registration, Session, TokenSet};

/// A refresh is forced at most once in this time: a token that is refused straight after it was
/// made is not made better by another one.
const BETWEEN_FORCED: Duration = Duration::minutes(5);

/// What a waiting process adds to the time that the one it waits for may take.
const PATIENCE: StdDuration = StdDuration::from_secs(10);

/// How much room is reserved for an answer before a refresh token is sent: more than the tokens
/// of any known provider take.
const RESERVED: usize = 16 * 1024;

/// What every session works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub env: &'a Env,
    pub settings: &'a Settings,
    pub store: &'a Store,
    pub terminal: Terminal,
}

impl Context<'_> {
    fn now(&self) -> OffsetDateTime {
        crate::clock::now(self.env)
    }

    fn http(&self, ca_file: Option<&std::path::PathBuf>) -> Http {
        let ca_file = ca_file.or(self.settings.ca_file.as_ref()).cloned();
        Http::new(self.settings.http_timeout, ca_file, self.env, self.terminal)
    }

    /// How long to wait for whoever holds a record's lock: it makes at most a few requests.
    fn record_deadline(&self) -> Instant {
        Instant::now() + self.settings.http_timeout + PATIENCE
    }
}

/// What a person types to sign in: whole command lines, which can be copied as they stand.
#[derive(Debug, Clone)]
pub struct LoginLine {
    /// To this account.
    pub this: String,
    /// To another account at the same provider.
    pub another: String,
}

/// Who at a provider: what a session belongs to.
#[derive(Debug)]
pub struct Account<'a> {
    context: Context<'a>,
    provider: Provider,
    identity: Identity,
    name: RecordName,
    http: Http,
    /// What a person types to sign in.
    login: LoginLine,
    /// What it is asked for, where a tool said so: for the person who is asked.
    wanted_for: Option<String>,
    /// The browser's tab, which is told how it ended after the tool has had its reply.
    waiting_tab: RefCell<Option<(Tab, Told)>>,
    /// Whether a person was shown anything during this sign-in.
    was_shown: Cell<bool>,
}

/// What the tab will be told.
#[derive(Debug, Clone)]
enum Told {
    SignedIn { who: Option<String> },
    Declined,
    TimedOut,
    OtherPerson { pinned: String, who: String },
    Failed(Failure),
}

/// The ways to a person.
#[derive(Debug)]
enum Way {
    Browser(Browser),
    /// The person opens the URL: there is a terminal, but no browser of ours.
    ShownUrl,
    Device,
}

impl<'a> Account<'a> {
    pub fn new(
        context: Context<'a>,
        mut provider: Provider,
        account: &str,
        login: LoginLine,
    ) -> Result<Self, Error> {
        let client_id = provider.client_id()?.to_owned();
        if context.store.place()? == Place::None {
            // A refresh token that nobody keeps would only lie about at the provider.
            provider.scopes.retain(|scope| scope != "offline_access");
        }
        let identity = Identity::new(&provider, &client_id, account);
        let name = identity.record_name();
        let http = context.http(provider.ca_file.as_ref());
        Ok(Self {
            context,
            provider,
            identity,
            name,
            http,
            login,
            wanted_for: None,
            waiting_tab: RefCell::new(None),
            was_shown: Cell::new(false),
        })
    }

    /// Names what the token is for, in the words that a person who is asked reads.
    #[must_use]
    pub fn wanted_for(mut self, what: String) -> Self {
        self.wanted_for = Some(what);
        self
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// What is kept of it now, as it stands.
    pub fn kept(&self) -> Result<Option<Kept<Session>>, Error> {
        Ok(self.context.store.read(&self.name)?)
    }

    /// The generation that a forced refresh replaces: none where one was forced a moment ago, for
    /// what that brought is what the caller wants.
    pub fn generation_to_force(&self) -> Result<Option<Generation>, Error> {
        let now = self.context.now();
        Ok(self
            .kept()?
            .filter(|kept| !was_forced_lately(&kept.value, now))
            .map(|kept| kept.generation))
    }

    /// A token: kept, refreshed, or newly authorized.
    pub fn token(&self, want: &Want) -> Result<Kept<Session>, Error> {
        let kept = self.kept()?;
        match plan(kept.as_ref(), want, self.context.now()) {
            Plan::Use => return kept.ok_or(Error::Vanished),
            Plan::Refresh { .. } => {
                if let Some(fresh) = self.refreshed(want)? {
                    return Ok(fresh);
                }
            }
            Plan::Authorize { .. } => (),
        }
        self.authorized(want)
    }

    /// A tool says that a token was refused, and nothing of the request that it came from. If it
    /// is the one that is kept, it is not served again; its refresh token stays.
    pub fn refuse(&self, is_it: impl Fn(&Session) -> bool) -> Result<(), Error> {
        let names_it = |kept: &Option<Kept<Session>>| {
            kept.as_ref()
                .is_some_and(|kept| kept.value.refused.is_none() && is_it(&kept.value))
        };
        if !names_it(&self.kept()?) {
            return Ok(());
        }
        let store = self.context.store;
        let lock = store.lock(&self.name, LockKind::Record, self.context.record_deadline())?;
        let kept = self.kept()?;
        if names_it(&kept)
            && let Some(kept) = kept
        {
            self.remember_refusal(&kept, &lock);
        }
        Ok(())
    }

    /// Tells a waiting tab how the sign-in ended. To be called when the tool has its reply.
    pub fn tell_tab(&self) {
        let Some((tab, told)) = self.waiting_tab.borrow_mut().take() else {
            return;
        };
        tab.tell(&Page {
            provider: &self.provider.name,
            account: &self.identity.account,
            login: &self.login.this,
            login_elsewhere: &self.login.another,
            ending: match &told {
                Told::SignedIn { who } => Ending::SignedIn {
                    who: who.as_deref(),
                },
                Told::Declined => Ending::Declined,
                Told::TimedOut => Ending::TimedOut,
                Told::OtherPerson { pinned, who } => Ending::OtherPerson { pinned, who },
                Told::Failed(reason) => Ending::Failed(*reason),
            },
        });
    }

    // --- refreshing ---

    /// Refreshes under the record's lock; `None`: only a person can help.
    fn refreshed(&self, want: &Want) -> Result<Option<Kept<Session>>, Error> {
        let store = self.context.store;
        let lock = match store.lock(&self.name, LockKind::Record, self.context.record_deadline()) {
            Ok(lock) => lock,
            Err(error) => return self.served_instead(want, error.into()).map(Some),
        };
        loop {
            let now = self.context.now();
            let Some(kept) = self.kept()? else {
                return Ok(None);
            };
            match plan(Some(&kept), want, now) {
                Plan::Use => return Ok(Some(kept)),
                Plan::Authorize { .. } => return Ok(None),
                Plan::Refresh { with, .. } => {
                    let forced = is_refused(&kept, want);
                    if forced && was_forced_lately(&kept.value, now) {
                        self.remember_refusal(&kept, &lock);
                        return Err(Error::RefusedAgain {
                            login: self.login.this.clone(),
                        });
                    }
                    match self.refresh(&kept, with, forced, &lock) {
                        Ok(fresh) => return Ok(Some(fresh)),
                        Err(Error::Spent { .. }) => {
                            let forgotten = self.forget_refresh_token(&kept, forced, &lock);
                            if let Err(error) = forgotten {
                                return self.served_instead(want, error).map(Some);
                            }
                        }
                        Err(error) => {
                            if forced {
                                self.remember_refusal(&kept, &lock);
                            }
                            return self.served_instead(want, error).map(Some);
                        }
                    }
                }
            }
        }
    }

    /// Sends the refresh token once, and stores what comes back before anybody sees it.
    fn refresh(
        &self,
        kept: &Kept<Session>,
        with: &Secret<String>,
        forced: bool,
        lock: &Lock,
    ) -> Result<Kept<Session>, Error> {
        let Kept {
            value: old,
            generation,
        } = kept;
        // All that can fail without the refresh token having been sent fails here.
        let metadata = self.documents().metadata()?;
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        if old.tokens.id_token.is_some() {
            // Keys that are missed only afterwards would cost what the answer brings.
            self.documents().keys(&metadata, false)?;
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;

        // Without a scope the server keeps what was granted (RFC 6749 §6).
        let request = token::refresh_request(
            &client,
            with,
            &[],
            &self.provider.resources,
            self.provider.audience.as_deref(),
        );
        let response = self.posted(endpoint, &request)?;
        let tokens = match parse_token_response(response.status, response.body.expose()) {
            Ok(tokens) => tokens,
            Err(fault) if fault.is_invalid_grant() => return Err(Error::Spent { fault }),
            Err(fault) => return Err(Error::Token(fault)),
        };
        let now = self.context.now();
        let claims = match self.checked_id_token(&metadata, &tokens, None, now) {
            Ok(claims) => claims,
            Err(error) => {
                if error.is_for_want_of_keys() && self.is_still_there(*generation) {
                    keep_successor(kept, tokens.refresh_token, reservation);
                }
                return Err(error);
            }
        };
        if let (Some(claims), Some(pinned)) = (&claims, &old.person)
            && !pinned.is_same(&person_of(claims))
        {
            return Err(self.other_person(pinned, &person_of(claims)));
        }
        let mut session = Session {
            tokens: renewed(&old.tokens, tokens, claims.as_ref(), now),
            forced_at: if forced { Some(now) } else { old.forced_at },
            refused: None,
            ..old.clone()
        };
        if session.person.is_none() {
            session.person = claims.as_ref().map(person_of);
        }
        let fresh = Kept {
            value: session,
            generation: generation + 1,
        };

        // A logout that could not wait for us has removed the record: what we got must not
        // outlive it.
        if !self.is_still_there(*generation) {
            drop(reservation);
            self.revoke(&fresh.value, &mut Vec::new());
            return Err(Error::SignedOutMeanwhile {
                login: self.login.this.clone(),
            });
        }
        if let Err(error) = self.committed(reservation, &fresh.value, fresh.generation, lock) {
            self.context.terminal.warn(&format!(
                "the new token is good, but could not be stored: {error}"
            ));
        }
        Ok(fresh)
    }

    /// Stores what cannot be had again: where the first try fails, once more and from scratch.
    fn committed(
        &self,
        reservation: Reservation,
        session: &Session,
        generation: Generation,
        _lock: &Lock,
    ) -> Result<(), StoreError> {
        reservation.commit(session, generation).or_else(|first| {
            self.context
                .store
                .reserve(&self.name, RESERVED)
                .and_then(|again| again.commit(session, generation))
                .map_err(|_| first)
        })
    }

    /// Whether nobody has removed or replaced this generation. A record that cannot be read now is
    /// not absent.
    fn is_still_there(&self, generation: Generation) -> bool {
        match self.kept() {
            Ok(kept) => kept.is_some_and(|kept| kept.generation == generation),
            Err(_) => true,
        }
    }

    /// After a failure that says nothing about the session: the old token, while it is valid.
    fn served_instead(&self, want: &Want, error: Error) -> Result<Kept<Session>, Error> {
        let now = self.context.now();
        if let Some(kept) = self.kept()?
            && !is_refused(&kept, want)
            && kept.value.tokens.is_valid(want.token, now)
        {
            self.context.terminal.explain(1, || {
                format!("the kept token is still valid and is answered; refreshing failed: {error}")
            });
            return Ok(kept);
        }
        Err(error)
    }

    /// The server says that this refresh token is spent. It is forgotten if it is still the one
    /// that is kept; the access token stays, for it may live on where nobody has refused it.
    fn forget_refresh_token(
        &self,
        sent: &Kept<Session>,
        forced: bool,
        _lock: &Lock,
    ) -> Result<(), Error> {
        let Some(mut kept) = self.kept()? else {
            return Ok(());
        };
        if kept.value.tokens.refresh_token != sent.value.tokens.refresh_token {
            return Ok(());
        }
        kept.value.tokens.refresh_token = None;
        if forced && kept.generation == sent.generation {
            kept.value.refused = Some(kept.generation);
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;
        Ok(reservation.commit(&kept.value, kept.generation)?)
    }

    /// Marks a generation that was refused and could not be replaced, so that it is not served to
    /// the next one who asks either. A mark that cannot be written is no new error.
    fn remember_refusal(&self, refused: &Kept<Session>, _lock: &Lock) {
        if refused.value.refused == Some(refused.generation) {
            return;
        }
        let marked = || {
            // Read again: the failed refresh may have kept a new refresh token.
            let kept = self.kept()?;
            let Some(mut kept) = kept.filter(|kept| kept.generation == refused.generation) else {
                return Ok(());
            };
            kept.value.refused = Some(kept.generation);
            let reservation = self.context.store.reserve(&self.name, RESERVED)?;
            Ok::<_, Error>(reservation.commit(&kept.value, kept.generation)?)
        };
        if let Err(error) = marked() {
            self.context
                .terminal
                .explain(1, || format!("the refusal could not be kept: {error}"));
        }
    }

    // --- asking a person ---

    /// Asks a person, or waits for the process that is asking already.
    fn authorized(&self, want: &Want) -> Result<Kept<Session>, Error> {
        let kept = self.kept()?;
        let (reason, may_serve) = match plan(kept.as_ref(), want, self.context.now()) {
            Plan::Use => return kept.ok_or(Error::Vanished),
            Plan::Authorize { reason, fallback } => (reason, fallback.is_some()),
            // Somebody has signed in since, and that token is stale already.
            Plan::Refresh { fallback, .. } => (Reason::Expired, fallback.is_some()),
        };
        if let Err(nobody) = self.person(reason) {
            return match kept {
                Some(kept) if may_serve => Ok(kept),
                _ => Err(nobody),
            };
        }
        let store = self.context.store;
        let before = self.last_attempt()?;
        let (lock, waited) = match store.try_lock(&self.name, LockKind::Login)? {
            Some(lock) => (lock, false),
            None => (self.waited_for_login()?, true),
        };
        let kept = self.kept()?;
        if plan(kept.as_ref(), want, self.context.now()) == Plan::Use {
            return kept.ok_or(Error::Vanished);
        }
        if let Some(last) = self.last_attempt()? {
            // One that ended before we came says nothing about the one that we waited for, which
            // then left no trace: it failed before it asked anybody.
            let is_older = before.is_some_and(|before| before == last && before.ended.is_some());
            if waited && !is_older {
                return self.shared_result(&last, kept, want);
            }
            if let Some(until) = last.cools_until(self.context.now()) {
                return Err(Error::CoolingDown {
                    outcome: last.ended.map_or(Outcome::Failed, |ended| ended.outcome),
                    seconds: (until - self.context.now()).whole_seconds(),
                    login: self.login.this.clone(),
                });
            }
        }
        self.sign_in_alone(&lock)
    }

    /// Signs in anew, whatever is kept and whatever happened before (`hallpass login`).
    pub fn sign_in(&self) -> Result<Kept<Session>, Error> {
        self.person(Reason::NothingKept)?;
        let lock = match self.context.store.try_lock(&self.name, LockKind::Login)? {
            Some(lock) => lock,
            None => self.waited_for_login()?,
        };
        self.sign_in_alone(&lock)
    }

    /// Whether there is anybody to ask, before anything is prepared for it.
    fn person(&self, reason: Reason) -> Result<(), Error> {
        let nobody = |why| Error::SignInNeeded {
            provider: self.provider.name.clone(),
            account: self.identity.account.clone(),
            reason,
            why,
            login: self.login.this.clone(),
        };
        let Settings {
            interactive,
            flow,
            browser,
            ..
        } = self.context.settings;
        if *interactive == Interactive::Never {
            return Err(nobody("asking was ruled out"));
        }
        // Who names the flow says that somebody will follow it.
        let is_asked_for = *flow == Flow::Device;
        let has_browser = launch::choose(self.context.env, browser.as_deref()).is_some();
        if is_asked_for || has_browser || self.context.terminal.has_person() {
            return Ok(());
        }
        Err(nobody("there is neither a browser nor a terminal"))
    }

    fn way(&self, metadata: &Metadata, has_secret: bool) -> Result<Way, Error> {
        let settings = self.context.settings;
        let has_device = metadata.device_authorization_endpoint.is_some();
        // GitHub's browser flow wants a client secret, its device flow does not.
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

    /// Says who is signing in, and waits for them.
    fn waited_for_login(&self) -> Result<Lock, Error> {
        let who = self
            .last_attempt()?
            .filter(|attempt| attempt.ended.is_none())
            .map_or_else(String::new, |attempt| format!(" (process {})", attempt.pid));
        self.context.terminal.say(&format!(
            "waiting for another hallpass{who} that is signing in to {}",
            self.purpose()
        ));
        let deadline = Instant::now() + self.context.settings.sign_in_timeout + PATIENCE;
        Ok(self
            .context
            .store
            .lock(&self.name, LockKind::Login, deadline)?)
    }

    /// What a process gets that waited for another one's sign-in: its result, or its failure.
    fn shared_result(
        &self,
        last: &Attempt,
        kept: Option<Kept<Session>>,
        want: &Want,
    ) -> Result<Kept<Session>, Error> {
        let login = self.login.this.clone();
        let Some(ended) = &last.ended else {
            return Err(Error::LeaderDied {
                pid: last.pid,
                login,
            });
        };
        match ended.outcome {
            Outcome::SignedIn => kept
                .filter(|kept| {
                    !is_refused(kept, want) && kept.value.tokens.token(want.token).is_some()
                })
                .ok_or(Error::Vanished),
            Outcome::Declined => Err(Error::Declined { cause: None, login }),
            Outcome::TimedOut => Err(Error::TimedOut { login }),
            Outcome::Failed | Outcome::NotOpened => Err(Error::LeaderFailed {
                message: ended.message.clone(),
                login,
            }),
        }
    }

    /// Signs in under the login lock, and leaves the trace that others read.
    fn sign_in_alone(&self, _lock: &Lock) -> Result<Kept<Session>, Error> {
        let last = self.last_attempt()?;
        self.was_shown.set(false);
        let started = Attempt::started(last.as_ref(), self.context.now());
        // A folder that cannot be written is found before a browser opens.
        let keeps = self.context.store.ensure_key()? != Place::None;
        if keeps {
            drop(self.context.store.reserve(&self.name, RESERVED)?);
            self.leave_trace(&started)?;
        } else if self.context.settings.store == Setting::Auto {
            self.context.terminal.warn(
                "there is no keyring here, so nothing is kept and each call signs in anew; to keep \
                 it in a file that only you can read, set `store = \"file\"` in config.toml or \
                 HALLPASS_STORE=file",
            );
        }
        let result = self.grant(keeps);
        let (outcome, message) = match &result {
            Ok(_) => (Outcome::SignedIn, String::new()),
            Err(error) => (self.outcome(error), error.to_string()),
        };
        if keeps
            && let Err(error) =
                self.leave_trace(&started.ended(outcome, message, self.context.now()))
        {
            // How it ended is what the caller has to hear.
            self.context
                .terminal
                .explain(1, || format!("how it ended could not be kept: {error}"));
        }
        result
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

    fn grant(&self, keeps: bool) -> Result<Kept<Session>, Error> {
        let metadata = self.documents().metadata()?;
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
                        self.context
                            .terminal
                            .warn(&format!("{cause}; a device code goes without"));
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
    ) -> Result<Kept<Session>, Error> {
        let provider = &self.provider;
        if !provider.pkce_unlisted_ok {
            metadata.pkce()?;
        }
        let hint = pinned.and_then(|person| person.name.as_deref());
        let ask = browser::Ask {
            endpoint: endpoint(
                metadata.authorization_endpoint.as_ref(),
                "authorization_endpoint",
            )?,
            client_id: client.id,
            redirect_uri: &provider.redirect_uri,
            scopes: &provider.scopes,
            is_openid: provider.is_openid(),
            resources: &provider.resources,
            audience: provider.audience.as_deref(),
            login_hint: hint.map(|hint| {
                (
                    provider.login_hint_param.as_deref().unwrap_or("login_hint"),
                    hint,
                )
            }),
            prompt: prompt_for(&provider.scopes, &provider.extra_params),
            extra: &provider.extra_params,
            issuer: provider.issuer.as_deref(),
            issuer_required: metadata.authorization_response_iss_parameter_supported,
            purpose: &self.purpose(),
            deadline,
        };
        let prepared = browser::prepare(&ask, |request| self.pushed(metadata, client, request))?;
        let token_endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        self.was_shown.set(true);
        let answered = match prepared.answered(&ask, browser, self.context.terminal) {
            Ok(answered) => answered,
            Err(error) => return Err(self.not_answered(error)),
        };
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
                Ok(parse_token_response(
                    response.status,
                    response.body.expose(),
                )?)
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
            Ok(kept) => Told::SignedIn {
                who: kept
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

    /// The browser brought no code: the tab, if one waits, will be told.
    fn not_answered(&self, error: BrowserError) -> Error {
        let login = self.login.this.clone();
        match error {
            BrowserError::TimedOut => Error::TimedOut { login },
            BrowserError::Refused { code, tab } => {
                let declined = matches!(
                    code.as_str(),
                    "access_denied"
                        | "consent_required"
                        | "login_required"
                        | "interaction_required"
                );
                let told = if declined {
                    Told::Declined
                } else {
                    Told::Failed(Failure::Provider)
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
                    .replace(Some((tab, Told::Failed(Failure::Provider))));
                Error::Mixup(cause)
            }
            BrowserError::Launch(_) => {
                // Nobody has seen anything but a line on stderr.
                self.was_shown.set(false);
                Error::Browser(error)
            }
            BrowserError::Listener(_)
            | BrowserError::NowhereToPush
            | BrowserError::NotSent(_)
            | BrowserError::NotTaken(_) => Error::Browser(error),
        }
    }

    /// Pushes the request first where the provider demands it (RFC 9126 §5), and makes the short
    /// URL that stands for it.
    fn pushed(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        request: &AuthorizationRequest<'_>,
    ) -> Option<Result<Url, BrowserError>> {
        if !metadata.require_pushed_authorization_requests {
            return None;
        }
        let Some(endpoint) = &metadata.pushed_authorization_request_endpoint else {
            return Some(Err(BrowserError::NowhereToPush));
        };
        let push = token::pushed_authorization_request(client, &request.parameters());
        let response = match self
            .http
            .post(endpoint, &push.body(), push.authorization().as_ref())
        {
            Ok(response) => response,
            Err(error) => return Some(Err(BrowserError::NotSent(error))),
        };
        let request_uri = match token::parse_pushed(response.status, response.body.expose()) {
            Ok(request_uri) => request_uri,
            Err(fault) => return Some(Err(BrowserError::NotTaken(fault))),
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
    ) -> Result<Kept<Session>, Error> {
        let provider = &self.provider;
        self.was_shown.set(true);
        let ask = device::Ask {
            device_endpoint: endpoint(
                metadata.device_authorization_endpoint.as_ref(),
                "device_authorization_endpoint",
            )?,
            token_endpoint: endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?,
            client: *client,
            request: token::device_authorization_request(
                client,
                &provider.scopes,
                &provider.resources,
                provider.audience.as_deref(),
                &provider.extra_params,
            ),
            purpose: &self.purpose(),
            deadline,
        };
        let login = self.login.this.clone();
        let tokens = device::authorize(&ask, &self.http, self.context.terminal).map_err(
            |error| match error {
                DeviceError::Declined => Error::Declined { cause: None, login },
                DeviceError::TimedOut => Error::TimedOut { login },
                DeviceError::NotBegun(_) => {
                    self.was_shown.set(false);
                    Error::Device(error)
                }
                DeviceError::Http(_) | DeviceError::Failed(_) => Error::Device(error),
            },
        )?;
        self.accepted(metadata, client, tokens, None, pinned, keeps)
    }

    /// Checks what the provider handed out, whom it is for, and keeps it.
    fn accepted(
        &self,
        metadata: &Metadata,
        client: &Client<'_>,
        tokens: TokenResponse,
        nonce: Option<&Secret<String>>,
        pinned: Option<&Person>,
        keeps: bool,
    ) -> Result<Kept<Session>, Error> {
        let now = self.context.now();
        let claims = self.checked_id_token(metadata, &tokens, nonce, now)?;
        let person = match &claims {
            Some(claims) => Some(person_of(claims)),
            None => self.asked_who(metadata, &tokens),
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
            (Some(_), Some(_)) | (None, _) => (),
        }
        let session = Session {
            identity: self.identity.clone(),
            provider: self.provider.name.clone(),
            person,
            tokens: first_tokens(tokens, claims.as_ref(), &self.provider.scopes, now),
            refused: None,
            forced_at: None,
            registration: Registration {
                revocation_endpoint: metadata.revocation_endpoint.clone(),
                client_auth: client.auth,
                client_secret_file: self.provider.client_secret_file.clone(),
                ca_file: self.provider.ca_file.clone(),
            },
        };
        if !keeps {
            return Ok(Kept {
                value: session,
                generation: 1,
            });
        }
        let generation = self.stored(&session).unwrap_or_else(|error| {
            self.context.terminal.warn(&format!(
                "you are signed in, but this could not be stored: {error}"
            ));
            1
        });
        Ok(Kept {
            value: session,
            generation,
        })
    }

    /// Keeps a new session in place of what was there; its generation.
    fn stored(&self, session: &Session) -> Result<Generation, Error> {
        let store = self.context.store;
        let lock = store.lock(&self.name, LockKind::Record, self.context.record_deadline())?;
        let generation = self.kept()?.map_or(0, |kept| kept.generation) + 1;
        let room = || store.reserve(&self.name, RESERVED);
        let reservation = room().or_else(|_| room())?;
        self.committed(reservation, session, generation, &lock)?;
        Ok(generation)
    }

    /// Who this account was first signed in as, whatever scopes that was for.
    fn pinned(&self) -> Result<Option<Person>, Error> {
        if let Some(person) = self.kept()?.and_then(|kept| kept.value.person) {
            return Ok(Some(person));
        }
        for Listed { name } in self.context.store.sessions()? {
            // A record that cannot be opened says nothing about this account.
            let Ok(Some(kept)) = self.context.store.read::<Session>(&name) else {
                continue;
            };
            let Session {
                identity, person, ..
            } = kept.value;
            if person.is_some()
                && identity.is_at(&self.provider)
                && identity.account == self.identity.account
            {
                return Ok(person);
            }
        }
        Ok(None)
    }

    fn other_person(&self, pinned: &Person, person: &Person) -> Error {
        Error::OtherPerson {
            account: self.identity.account.clone(),
            pinned: pinned.shown().to_owned(),
            person: person.shown().to_owned(),
            another: self.login.another.clone(),
        }
    }

    /// Asks the provider who this is, where no ID token says it. Not to know is no error.
    fn asked_who(&self, metadata: &Metadata, tokens: &TokenResponse) -> Option<Person> {
        let rule = self.provider.identity.as_ref();
        let url = rule
            .map(|rule| &rule.url)
            .or(metadata.userinfo_endpoint.as_ref())?;
        let (id, name) = match rule {
            Some(rule) => (rule.subject.as_str(), rule.name.as_deref()),
            None => ("sub", Some("preferred_username")),
        };
        let response = self.http.get(url, Some(&tokens.access_token)).ok()?;
        let body: serde_json::Value = serde_json::from_slice(response.body.expose()).ok()?;
        let text = |member: &str| match body.get(member) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let subject = text(id).filter(|_| response.status == 200)?;
        Some(Person {
            issuer: self.provider.issuer.clone(),
            subject,
            name: name.and_then(text),
        })
    }

    /// Checks an ID token in full (OpenID Connect Core §3.1.3.7), where one came.
    fn checked_id_token(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
        nonce: Option<&Secret<String>>,
        now: OffsetDateTime,
    ) -> Result<Option<Claims>, Error> {
        let (Some(token), Some(issuer)) = (&tokens.id_token, &self.provider.issuer) else {
            return Ok(None);
        };
        let documents = self.documents();
        let Some(keys) = documents.keys(metadata, false)? else {
            return Err(Error::NoEndpoint("jwks_uri"));
        };
        let checks = Checks {
            issuer,
            client_id: &self.identity.client_id,
            nonce,
            access_token: Some(&tokens.access_token),
            now,
        };
        let claims = match id_token::verify(token, &keys, &checks) {
            Err(IdTokenError::UnknownKey) => {
                let keys = documents
                    .keys(metadata, true)?
                    .ok_or(Error::NoEndpoint("jwks_uri"))?;
                id_token::verify(token, &keys, &checks)?
            }
            other => other?,
        };
        Ok(Some(claims))
    }

    // --- small parts ---

    /// Whom and what a sign-in is for, as a person is told.
    fn purpose(&self) -> String {
        let provider = &self.provider.name;
        let account = match self.identity.account.as_str() {
            DEFAULT_ACCOUNT => String::new(),
            account => format!(" as account {account}"),
        };
        match &self.wanted_for {
            Some(what) => format!("{provider}{account} for {what}"),
            None => format!("{provider}{account}"),
        }
    }

    fn documents(&self) -> Documents<'_> {
        Documents {
            provider: &self.provider,
            http: &self.http,
            store: self.context.store,
            now: self.context.now(),
        }
    }

    fn client<'c>(&'c self, metadata: &Metadata, secret: Option<&'c Secret<String>>) -> Client<'c> {
        Client {
            id: &self.identity.client_id,
            secret,
            auth: self
                .provider
                .client_auth
                .unwrap_or_else(|| metadata.client_auth(secret.is_some())),
        }
    }

    fn posted(&self, endpoint: &Url, request: &TokenRequest) -> Result<Response, Error> {
        Ok(self
            .http
            .post(endpoint, &request.body(), request.authorization().as_ref())?)
    }

    fn last_attempt(&self) -> Result<Option<Attempt>, Error> {
        Ok(self
            .context
            .store
            .read_plain(Plain::Attempt, self.name.as_str())?)
    }

    fn leave_trace(&self, attempt: &Attempt) -> Result<(), Error> {
        Ok(self
            .context
            .store
            .write_plain(Plain::Attempt, self.name.as_str(), attempt)?)
    }

    fn revoke(&self, session: &Session, left: &mut Vec<String>) {
        revoke(&self.context, session, left);
    }
}

/// The account that is meant where none is named.
pub const DEFAULT_ACCOUNT: &str = "default";

/// What became of a session that was signed out.
#[derive(Debug)]
pub struct SignedOut {
    pub session: Session,
    /// What the provider was not told, and why.
    pub not_revoked: Vec<String>,
}

/// Revokes (RFC 7009) and removes one session. It is removed even where revoking fails.
pub fn sign_out(context: &Context<'_>, name: &RecordName) -> Result<Option<SignedOut>, Error> {
    let lock = context
        .store
        .lock(name, LockKind::Record, context.record_deadline())?;
    let Some(kept) = context.store.read::<Session>(name)? else {
        return Ok(None);
    };
    // Removed first: whoever is refreshing without the lock sees it and revokes what it got.
    context.store.remove(name, &lock)?;
    let mut not_revoked = Vec::new();
    revoke(context, &kept.value, &mut not_revoked);
    Ok(Some(SignedOut {
        session: kept.value,
        not_revoked,
    }))
}

fn revoke(context: &Context<'_>, session: &Session, not_revoked: &mut Vec<String>) {
    let Session {
        registration,
        tokens,
        identity,
        ..
    } = session;
    let Some(endpoint) = &registration.revocation_endpoint else {
        not_revoked.push("the provider has no revocation endpoint".to_owned());
        return;
    };
    let provider = Provider {
        name: session.provider.clone(),
        client_secret_file: registration.client_secret_file.clone(),
        ..Provider::default()
    };
    let secret = match provider.client_secret() {
        Ok(secret) => secret,
        Err(error) => {
            not_revoked.push(error.to_string());
            return;
        }
    };
    let client = Client {
        id: &identity.client_id,
        secret: secret.as_ref(),
        auth: registration.client_auth,
    };
    let http = context.http(registration.ca_file.as_ref());
    // The refresh token first: it is what lives on, and with it most servers revoke the rest.
    let both = [
        (
            tokens.refresh_token.as_ref(),
            "refresh_token",
            "the refresh token",
        ),
        (
            Some(&tokens.access_token),
            "access_token",
            "the access token",
        ),
    ];
    let mut unreachable = None;
    for (token, hint, words) in both {
        let Some(token) = token else { continue };
        if let Some(why) = &unreachable {
            // A server that cannot be reached is not waited for twice.
            not_revoked.push(format!("{words}: {why}"));
            continue;
        }
        let request = token::revocation_request(&client, token, hint);
        let why = match http.post(endpoint, &request.body(), request.authorization().as_ref()) {
            Ok(Response {
                status: 200..=299, ..
            }) => continue,
            Ok(Response { status, .. }) => format!("the provider answered with status {status}"),
            Err(error) => unreachable.insert(error.to_string()).clone(),
        };
        not_revoked.push(format!("{words}: {why}"));
    }
}

/// Keeps the refresh token of an answer that could not be used otherwise: the one that was sent may
/// be worth nothing now. The access token stays what it was, and its generation too.
fn keep_successor(
    kept: &Kept<Session>,
    successor: Option<Secret<String>>,
    reservation: Reservation,
) {
    let Some(successor) = successor else { return };
    let mut session = kept.value.clone();
    session.tokens.refresh_token = Some(successor);
    // The error that led here is the one to tell.
    let _ = reservation.commit(&session, kept.generation);
}

fn endpoint<'u>(url: Option<&'u Url>, name: &'static str) -> Result<&'u Url, Error> {
    url.ok_or(Error::NoEndpoint(name))
}

fn is_refused(kept: &Kept<Session>, want: &Want) -> bool {
    want.refused == Some(kept.generation) || kept.value.refused == Some(kept.generation)
}

fn was_forced_lately(session: &Session, now: OffsetDateTime) -> bool {
    session
        .forced_at
        .is_some_and(|at| now >= at && now < at + BETWEEN_FORCED)
}

fn person_of(claims: &Claims) -> Person {
    Person {
        issuer: Some(claims.issuer.clone()),
        subject: claims.subject.clone(),
        name: claims
            .preferred_username
            .clone()
            .or(claims.email.clone())
            .or(claims.name.clone()),
    }
}

fn first_tokens(
    tokens: TokenResponse,
    claims: Option<&Claims>,
    asked: &[String],
    now: OffsetDateTime,
) -> TokenSet {
    let TokenResponse {
        access_token,
        token_type,
        expires_in,
        refresh_token,
        id_token,
        scopes,
        created_at: _,
    } = tokens;
    TokenSet {
        access_token,
        token_type,
        // One that could not be checked is not kept.
        id_token: id_token.filter(|_| claims.is_some()),
        refresh_token,
        obtained_at: now,
        expires_at: expires_in.map(|seconds| now + Duration::seconds(seconds)),
        id_token_obtained_at: claims.map(|_| now),
        id_token_expires_at: claims.map(|claims| claims.expires_at),
        scopes: scopes.unwrap_or_else(|| asked.to_vec()),
    }
}

/// A refreshed set: what the server did not send again stays as it was (RFC 6749 §6).
fn renewed(
    old: &TokenSet,
    tokens: TokenResponse,
    claims: Option<&Claims>,
    now: OffsetDateTime,
) -> TokenSet {
    let mut new = first_tokens(tokens, claims, &old.scopes, now);
    if new.refresh_token.is_none() {
        new.refresh_token.clone_from(&old.refresh_token);
    }
    if new.id_token.is_none() {
        new.id_token.clone_from(&old.id_token);
        new.id_token_obtained_at = old.id_token_obtained_at;
        new.id_token_expires_at = old.id_token_expires_at;
    }
    new
}

/// What `token` a reply carries; the plan made sure that it is there.
pub fn token_of(session: &Session, kind: TokenKind) -> Result<Secret<String>, Error> {
    session.tokens.token(kind).cloned().ok_or(Error::NoIdToken)
}
