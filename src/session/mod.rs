//! Sessions: kept, refreshed, authorized. This is the one place where a token is refreshed.
//!
//! Architecture invariants: a record is refreshed by one process at a time, which has reserved
//! the room for the answer before it sends a refresh token, and stores before it answers; a
//! person is asked by one process at a time, and never while the record's lock is held; an error
//! is not an absence, so a failing network, server or keyring opens no browser and deletes
//! nothing.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::time::{Duration as StdDuration, Instant};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::config::Settings;
use crate::credential::{Generation, TokenKind, Want};
use crate::env::Env;
use crate::grant::browser::Tab;
use crate::grant::launch::Browser;
use crate::grant::page::{Ending, Failure, Page};
use crate::http::{Http, Response};
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::{self, Checked, Checks, Claims, Jwks, Nonce, Untimely};
use crate::oauth::token::{Client, TokenRequest, TokenResponse};
use crate::provider::Provider;
use crate::report::printable;
use crate::secret::Secret;
use crate::store::{Place, Plain, RecordName, Store, Versioned};
use crate::terminal::Terminal;

pub mod attempt;
mod authorize;
#[cfg(unix)]
pub mod detached;
mod error;
pub mod exchanged;
pub mod failure;
mod metadata;
mod narrower;
pub mod plan;
pub mod record;
mod refresh;
pub mod refusal;
mod refused;
mod send;
mod sign_out;
mod waiting;

// What an `Error` holds: whoever writes its hint has to tell these apart.
pub use crate::exchange::ExchangeError;
pub use crate::oauth::discovery::DiscoveryError;
pub use crate::oauth::id_token::IdTokenError;
pub use crate::oauth::token::TokenError;
pub use error::{Error, Sent, clock_hint};
pub use sign_out::{Revocation, SignedOut, sign_out};

use attempt::Attempt;
use metadata::Documents;
use plan::{Plan, plan};
use record::{Identity, Person, Session, TokenSet, UnusedIdToken};
use refusal::ResourceName;

/// The word on the command line that makes hallpass the process of a sign-in. It is not for people.
pub const SIGN_IN_PROCESS: &str = "sign-in-process";

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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginLine {
    /// To this account.
    pub this: String,
    /// To another account at the same provider.
    pub another: String,
}

impl LoginLine {
    /// The command that signs out of this account.
    pub fn logout(&self) -> String {
        self.this.replacen("hallpass login", "hallpass logout", 1)
    }
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
    /// Which resource it is asked for, where a tool said so.
    resource: Option<ResourceName>,
    /// The browser's tab, which is told how it ended after the tool has had its reply.
    waiting_tab: RefCell<Option<(Tab, Told)>>,
    /// Whether a person was shown anything during this sign-in.
    was_shown: Cell<bool>,
    /// The new session could not be stored.
    is_unstored: Cell<bool>,
    /// The proxy of [`Self::through`].
    #[cfg(unix)]
    proxy: Option<Url>,
    /// The callers that wait for this sign-in, where it is in a process of its own.
    #[cfg(unix)]
    hub: Option<&'static detached::Hub>,
    /// How the provider refused to refresh, which is why a person has to sign in.
    refresh_refusal: RefCell<Option<TokenError>>,
    /// The same account with all the scopes that one sign-in asks for, where these are fewer.
    whole: Option<Box<Self>>,
    /// Whether the last token was that one's.
    is_served_whole: Cell<bool>,
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
        let whole = match context.store.place()? {
            // A narrower token needs a refresh token.
            Place::None => None,
            Place::Keyring | Place::Kernel | Place::File => narrower::whole_of(&provider, account),
        };
        provider.sign_in_scopes.clear();
        let whole = match whole {
            Some(whole) => {
                let whole = Self::new(context, whole, account, login.clone())?;
                Some(Box::new(whole))
            }
            None => None,
        };
        let identity = Identity::new(&provider, &client_id, account);
        let name = identity.record_name();
        let http = context.http(provider.ca_file.as_ref());
        Ok(Self {
            whole,
            is_served_whole: Cell::new(false),
            context,
            provider,
            identity,
            name,
            http,
            login,
            wanted_for: None,
            resource: None,
            waiting_tab: RefCell::new(None),
            was_shown: Cell::new(false),
            is_unstored: Cell::new(false),
            #[cfg(unix)]
            proxy: None,
            #[cfg(unix)]
            hub: None,
            refresh_refusal: RefCell::new(None),
        })
    }

    /// Names what the token is for, in the words that a person who is asked reads: on one line,
    /// whoever named it.
    #[must_use]
    pub fn wanted_for(mut self, what: &str) -> Self {
        self.whole = self.whole.map(|whole| Box::new(whole.wanted_for(what)));
        self.wanted_for = Some(printable(what));
        self
    }

    /// Names the resource, for what that resource refuses.
    #[must_use]
    pub fn at(mut self, resource: ResourceName) -> Self {
        self.whole = self.whole.map(|whole| Box::new(whole.at(resource.clone())));
        self.resource = Some(resource);
        self
    }

    /// Reaches the provider through this proxy.
    #[must_use]
    pub fn through(mut self, proxy: Url) -> Self {
        #[cfg(unix)]
        {
            self.proxy = Some(proxy.clone());
        }
        self.whole = self
            .whole
            .map(|whole| Box::new(whole.through(proxy.clone())));
        self.http = self.http.through(proxy);
        self
    }

    /// Signs in for the callers of this process.
    #[cfg(unix)]
    #[must_use]
    pub fn for_callers(mut self, hub: &'static detached::Hub) -> Self {
        self.hub = Some(hub);
        self
    }

    /// What is kept of it is kept under this name.
    pub fn record(&self) -> &RecordName {
        match &self.whole {
            Some(whole) if self.is_served_whole.get() => &whole.name,
            Some(_) | None => &self.name,
        }
    }

    /// Whether a person was shown anything for the token that was asked for last.
    pub fn has_asked(&self) -> bool {
        self.was_shown.get() || self.whole.as_ref().is_some_and(|whole| whole.has_asked())
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// What is stored of the session that serves this account's tokens.
    pub fn served_session(&self) -> Result<Option<Versioned<Session>>, Error> {
        self.serving()?.kept()
    }

    /// What is kept of it now, as it stands.
    fn kept(&self) -> Result<Option<Versioned<Session>>, Error> {
        Ok(self.context.store.read(&self.name)?)
    }

    /// The generation that a forced refresh replaces: none where it was refreshed by force a moment
    /// ago, for what that brought is what the caller wants.
    pub fn generation_to_force(&self) -> Result<Option<Generation>, Error> {
        let now = self.context.now();
        Ok(self
            .served_session()?
            .filter(|kept| {
                let refusals = &kept.value.refusals;
                // What the provider was asked about is still the same token.
                !refusals.has_forced(now) || refusals.verdict(kept.generation).is_some()
            })
            .map(|kept| kept.generation))
    }

    /// A token: kept, refreshed, or newly authorized.
    pub fn token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        match &self.whole {
            Some(whole) => self.narrower_token(whole, want),
            None => self.own_token(want),
        }
    }

    /// A token of the session that this account's record holds.
    fn own_token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        let kept = self.kept()?;
        let planned = plan(kept.as_ref(), want, self.context.now());
        if planned != Plan::Use && want.token == TokenKind::Id && !self.provider.is_openid() {
            // Neither a refresh nor a person would bring one.
            return Err(Error::IdTokenNotAskedFor {
                provider: self.provider.name.clone(),
            });
        }
        match planned {
            Plan::Use => return self.admitted(kept.ok_or(Error::Vanished)?),
            Plan::Refresh { .. } => {
                // An old ID token may have ended with no refresh to renew it.
                let is_served = |fresh: &Versioned<Session>| {
                    let tokens = &fresh.value.tokens;
                    !tokens.is_left_behind(want.token)
                        || tokens.is_valid(want.token, self.context.now())
                };
                let fresh = self.refreshed(want, Evidence::Refusal)?;
                if let Some(fresh) = &fresh
                    && !is_served(fresh)
                    && let Some(unused) = fresh.value.tokens.untimely_id_token(self.context.now())
                {
                    return Err(untimely(unused));
                }
                if let Some(fresh) = fresh.filter(is_served) {
                    return self.admitted(fresh);
                }
            }
            Plan::WaitForClock(unused, fault) => return Err(untimely((unused, fault))),
            Plan::Ask { .. } | Plan::Deny | Plan::Authorize { .. } => (),
        }
        // A refresh that the provider refused may have led here as well.
        let kept = self.kept()?;
        if let Plan::Ask { .. } | Plan::Deny = plan(kept.as_ref(), want, self.context.now())
            && let Some(kept) = self.asked(want, Evidence::Refusal)?
        {
            return self.admitted(kept);
        }
        self.authorized(want)
    }

    /// A token in place of one that *seems* to have been refused: one refresh by force, and
    /// nobody is asked. `None`: there is nothing to try, or nothing better than what is kept.
    ///
    /// It may as well be a tool that forgets what it is handed, so a failure here says nothing
    /// about the kept token, which goes on being served.
    pub fn replaced(
        &self,
        token: TokenKind,
        suspect: Generation,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let want = Want {
            token,
            fresh_for: Duration::ZERO,
            refused: Some(suspect),
        };
        if let ControlFlow::Break(replaced) = self.narrower_replaced(&want)? {
            return Ok(replaced);
        }
        let kept = self.kept()?.filter(|kept| kept.generation == suspect);
        match plan(kept.as_ref(), &want, self.context.now()) {
            Plan::Refresh { .. } => match self.refreshed(&want, Evidence::Suspicion)? {
                Some(fresh) => Ok(Some(fresh)),
                None => self.asked(&want, Evidence::Suspicion),
            },
            Plan::Ask { .. } => self.asked(&want, Evidence::Suspicion),
            Plan::Use | Plan::Deny | Plan::Authorize { .. } | Plan::WaitForClock(..) => Ok(None),
        }
    }

    /// What the provider says of itself, kept or asked for.
    pub fn metadata(&self) -> Result<Metadata, Error> {
        self.documents().metadata()
    }

    /// Checks a kept ID token as it was checked when it came, but for what that sign-in alone
    /// knew.
    pub fn checked_again(&self, session: &Session) -> Result<(), Error> {
        let (Some(token), Some(issuer)) = (&session.tokens.id_token, &self.provider.issuer) else {
            return Ok(());
        };
        let documents = self.documents();
        let checks = Checks {
            issuer,
            client_id: &self.identity.client_id,
            trusted_audiences: &self.provider.trusted_audiences,
            nonce: Nonce::Unchecked,
            access_token: None,
            now: session
                .tokens
                .id_token_obtained_at
                .unwrap_or_else(|| self.context.now()),
        };
        documents.verified(&documents.metadata()?, token, &checks)?;
        Ok(())
    }

    /// Signs in, as the process that was started for it; the session, where it could not be stored.
    #[cfg(unix)]
    pub fn sign_in_detached(
        &self,
        lock: &crate::store::Lock,
        wanted: Option<TokenKind>,
        is_asked_for: bool,
    ) -> Result<Option<Box<Session>>, Error> {
        let kept = self.sign_in_alone(lock, wanted, is_asked_for)?;
        Ok(self.is_unstored.get().then(|| Box::new(kept.value)))
    }

    /// Tells a waiting tab how the sign-in ended. To be called when the tool has its reply.
    pub fn tell_tab(&self) {
        if let Some(whole) = &self.whole {
            whole.tell_tab();
        }
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
                    saved: !matches!(self.context.store.place(), Ok(Place::None)),
                },
                Told::Declined => Ending::Declined,
                Told::TimedOut => Ending::TimedOut,
                Told::OtherPerson { pinned, who } => Ending::OtherPerson { pinned, who },
                Told::Failed(reason) => Ending::Failed(*reason),
            },
        });
    }

    // --- what signing in and refreshing share ---

    fn other_person(&self, pinned: &Person, person: &Person) -> Error {
        Error::OtherPerson {
            account: self.identity.account.clone(),
            pinned: pinned.shown().to_owned(),
            person: person.shown().to_owned(),
            login: Box::new(self.login.clone()),
        }
    }

    /// Asks the provider who this is, where no ID token says it. `None`: it does not say.
    fn asked_who(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
    ) -> Result<Option<Person>, Error> {
        let rule = self.provider.identity.as_ref();
        let url = rule
            .map(|rule| &rule.url)
            .or(metadata.userinfo_endpoint.as_ref());
        let Some(url) = url else {
            return Ok(None);
        };
        let (id, name) = match rule {
            Some(rule) => (rule.subject.as_str(), rule.name.as_deref()),
            None => ("sub", Some("preferred_username")),
        };
        let Response { status, body, .. } = self.http.get(url, Some(&tokens.access_token))?;
        if matches!(status, 429 | 500..) {
            return Err(Error::Token(TokenError::Http { status }));
        }
        if status != 200 {
            return Ok(None);
        }
        let body: serde_json::Value = serde_json::from_slice(body.expose()).unwrap_or_default();
        let text = |member: &str| match body.get(member) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Ok(text(id).map(|subject| Person {
            issuer: self.provider.issuer.clone(),
            subject,
            name: name.and_then(text),
        }))
    }

    /// Checks an ID token in full (OpenID Connect Core §3.1.3.7), where one came.
    fn checked_id_token(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
        nonce: Nonce<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Checked>, Error> {
        let Some((token, checks)) = self.id_token_checks(tokens, nonce, now) else {
            return Ok(None);
        };
        self.documents()
            .verified(metadata, token, &checks)
            .map(Some)
    }

    /// The same with these keys, and without a request to the provider. `None`: it takes one.
    fn id_token_checked_with(
        &self,
        keys: Option<&Jwks>,
        tokens: &TokenResponse,
        nonce: Nonce<'_>,
        now: OffsetDateTime,
    ) -> Option<Result<Option<Checked>, Error>> {
        let Some((token, checks)) = self.id_token_checks(tokens, nonce, now) else {
            return Some(Ok(None));
        };
        match id_token::verify(token, keys?, &checks) {
            Err(fault) if fault.is_about_keys() => None,
            other => Some(other.map(Some).map_err(Error::from)),
        }
    }

    fn id_token_checks<'c>(
        &'c self,
        tokens: &'c TokenResponse,
        nonce: Nonce<'c>,
        now: OffsetDateTime,
    ) -> Option<(&'c Secret<String>, Checks<'c>)> {
        let token = tokens.id_token.as_ref()?;
        let checks = Checks {
            issuer: self.provider.issuer.as_ref()?,
            client_id: &self.identity.client_id,
            trusted_audiences: &self.provider.trusted_audiences,
            nonce,
            access_token: Some(&tokens.access_token),
            now,
        };
        Some((token, checks))
    }

    /// The times of an ID token that must not be used because of them.
    fn unused_id_token(&self, checked: Option<&Checked>) -> Option<UnusedIdToken> {
        let checked = checked.filter(|checked| checked.untimely.is_some())?;
        let now = self.context.now();
        Some(UnusedIdToken {
            validity: checked.claims.validity,
            provider_ahead: self
                .http
                .last_date()
                .map(|date| (date - now).whole_seconds()),
        })
    }

    /// Whom and what a sign-in is for, as a person is told.
    fn purpose(&self) -> String {
        let provider = &self.provider.name;
        let account = match self.identity.account.as_str() {
            DEFAULT_ACCOUNT => String::new(),
            account => format!(" as account {account}"),
        };
        let mut purpose = match &self.wanted_for {
            Some(what) => format!("{provider}{account} for {what}"),
            None => format!("{provider}{account}"),
        };
        if self.provider.shows_scopes {
            purpose.push_str(" (scopes: ");
            purpose.push_str(&self.provider.scopes.join(" "));
            purpose.push(')');
        }
        purpose
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
}

/// Leaves the trace of a sign-in that the user cancelled.
#[cfg(unix)]
pub fn cancelled(store: &Store, record: &RecordName, now: OffsetDateTime) {
    let name = record.as_str();
    if let Ok(Some(attempt)) = store.read_plain::<Attempt>(Plain::Attempt, name)
        && attempt.ended.is_none()
    {
        let attempt = attempt.ended(attempt::Outcome::Cancelled, String::new(), now);
        // Without it, the next caller takes this process for one that died.
        let _ = store.write_plain(Plain::Attempt, name, &attempt);
    }
    let _ = store.remove_socket(record);
}

/// How sure it is that a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Somebody said so.
    Refusal,
    Suspicion,
}

/// What to do where no session is saved, because no keyring was found.
pub const NOWHERE_TO_SAVE: &str = "no keyring was found, so no session is saved: tools cannot sign \
    in, and `hallpass get-token` signs in each time; to save sessions in files that only you can read, set `store = \"file\"` in \
    config.toml or HALLPASS_STORE=file, and HALLPASS_DATA_DIR if your home folder cannot be written";

/// The account that is meant where none is named.
pub const DEFAULT_ACCOUNT: &str = "default";

fn endpoint<'u>(url: Option<&'u Url>, name: &'static str) -> Result<&'u Url, Error> {
    url.ok_or(Error::NoEndpoint(name))
}

fn is_refused(kept: &Versioned<Session>, want: &Want) -> bool {
    want.refused == Some(kept.generation) || kept.value.refusals.is_dead(kept.generation)
}

fn untimely((unused, fault): (UnusedIdToken, Untimely)) -> Error {
    Error::UntimelyIdToken {
        fault,
        provider_ahead: unused.provider_ahead,
    }
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
    checked: Option<&Checked>,
    unused_id_token: Option<UnusedIdToken>,
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
    // One that could not be checked, or must not be used, is not stored.
    let claims = checked
        .filter(|checked| checked.untimely.is_none())
        .map(|checked| &checked.claims);
    TokenSet {
        access_token,
        token_type,
        id_token: id_token.filter(|_| claims.is_some()),
        refresh_token,
        refresh_refused: false,
        obtained_at: now,
        expires_at: expires_in.map(|seconds| now + Duration::seconds(seconds)),
        id_token_obtained_at: claims.map(|_| now),
        id_token_expires_at: claims.map(|claims| claims.validity.expires_at),
        unused_id_token,
        scopes: scopes.unwrap_or_else(|| asked.to_vec()),
    }
}

/// A refreshed set: what the server did not send again stays as it was (RFC 6749 §6).
fn renewed(
    old: &TokenSet,
    tokens: TokenResponse,
    checked: Option<&Checked>,
    unused_id_token: Option<UnusedIdToken>,
    now: OffsetDateTime,
) -> TokenSet {
    let mut new = first_tokens(tokens, checked, unused_id_token, &old.scopes, now);
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
