//! An account at a provider, which a session belongs to.

use std::cell::{Cell, RefCell};

use url::Url;

use super::attempt::Attempt;
use super::context::Context;
#[cfg(unix)]
use super::detached::Hub;
use super::error::Error;
use super::login_line::{DEFAULT_ACCOUNT, LoginLine};
use super::metadata::Documents;
use super::record::{Identity, Session};
use super::refusal::ResourceName;
use super::scopes;
use super::tab_message::TabMessage;
#[cfg(unix)]
use crate::credential::TokenKind;
use crate::grant::browser::Tab;
use crate::http::{Http, Response};
use crate::oauth::discovery::Metadata;
use crate::oauth::token::{Client, TokenError, TokenRequest};
use crate::provider::Provider;
use crate::report::printable;
use crate::secret::Secret;
use crate::store::{Place, Plain, RecordName, Versioned};

/// An account at a provider.
#[derive(Debug)]
pub struct Account<'a> {
    pub(super) context: Context<'a>,
    pub(super) provider: Provider,
    pub(super) identity: Identity,
    pub(super) name: RecordName,
    pub(super) http: Http,
    /// The commands that sign in to it.
    pub(super) login: LoginLine,
    /// What the token is for, if a tool said so. Shown in the sign-in prompt.
    pub(super) wanted_for: Option<String>,
    /// The resource that the token is for, if a tool named it.
    pub(super) resource: Option<ResourceName>,
    /// The browser's tab, which shows the result after the tool has its reply.
    pub(super) waiting_tab: RefCell<Option<(Tab, TabMessage)>>,
    /// Whether this sign-in has shown the user anything.
    pub(super) was_shown: Cell<bool>,
    /// The new session could not be stored.
    pub(super) is_unstored: Cell<bool>,
    /// The proxy of [`Self::through`].
    #[cfg(unix)]
    pub(super) proxy: Option<Url>,
    /// The callers that wait for this sign-in, if it has its own process.
    #[cfg(unix)]
    pub(super) hub: Option<&'static Hub>,
    /// Why the provider refused to refresh, if that is the reason for the sign-in.
    pub(super) refresh_refusal: RefCell<Option<TokenError>>,
    /// The same account with all scopes of one sign-in, if this one has fewer.
    pub(super) whole: Option<Box<Self>>,
    /// Whether the last token came from `whole`.
    pub(super) is_served_whole: Cell<bool>,
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
            // A refresh token that is not stored would be useless, and would stay valid at the
            // provider.
            provider.scopes.retain(|scope| scope != "offline_access");
        }
        let whole = match context.store.place()? {
            // A narrower token needs a refresh token.
            Place::None => None,
            Place::Keyring | Place::Kernel | Place::File => scopes::whole_of(&provider, account),
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

    /// Sets the purpose shown in the sign-in prompt, on one line.
    #[must_use]
    pub fn wanted_for(mut self, what: &str) -> Self {
        self.whole = self.whole.map(|whole| Box::new(whole.wanted_for(what)));
        self.wanted_for = Some(printable(what));
        self
    }

    /// Sets the resource, so that its refusals are attributed to it.
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
    pub fn for_callers(mut self, hub: &'static Hub) -> Self {
        self.hub = Some(hub);
        self
    }

    /// The name of the record that the last token came from.
    pub fn record(&self) -> &RecordName {
        match &self.whole {
            Some(whole) if self.is_served_whole.get() => &whole.name,
            Some(_) | None => &self.name,
        }
    }

    /// Whether the last request for a token has shown the user anything.
    pub fn has_asked(&self) -> bool {
        self.was_shown.get() || self.whole.as_ref().is_some_and(|whole| whole.has_asked())
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The stored session that serves this account's tokens.
    pub fn served_session(&self) -> Result<Option<Versioned<Session>>, Error> {
        self.serving()?.stored()
    }

    /// The session as it is stored now.
    pub(super) fn stored(&self) -> Result<Option<Versioned<Session>>, Error> {
        Ok(self.context.store.read(&self.name)?)
    }

    /// The provider's current metadata. The cached document may be outdated.
    pub fn live_metadata(&self) -> Result<Metadata, Error> {
        self.live_documents().metadata()
    }

    /// Signs in, as the process that was started for this. Returns the session if it could not be
    /// stored.
    #[cfg(unix)]
    pub fn sign_in_detached(
        &self,
        lock: &crate::store::Lock,
        wanted: Option<TokenKind>,
        is_asked_for: bool,
    ) -> Result<Option<Box<Session>>, Error> {
        let stored = self.sign_in_alone(lock, wanted, is_asked_for)?;
        Ok(self.is_unstored.get().then(|| Box::new(stored.value)))
    }

    /// The purpose of a sign-in, as shown to the user.
    pub(super) fn purpose(&self) -> String {
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

    pub(super) fn documents(&self) -> Documents<'_> {
        Documents {
            provider: &self.provider,
            http: &self.http,
            store: self.context.store,
            now: self.context.now(),
            is_live: false,
        }
    }

    pub(super) fn live_documents(&self) -> Documents<'_> {
        Documents {
            is_live: true,
            ..self.documents()
        }
    }

    pub(super) fn client<'c>(
        &'c self,
        metadata: &Metadata,
        secret: Option<&'c Secret<String>>,
    ) -> Client<'c> {
        Client {
            id: &self.identity.client_id,
            secret,
            auth: self
                .provider
                .client_auth
                .unwrap_or_else(|| metadata.client_auth(secret.is_some())),
        }
    }

    pub(super) fn posted(&self, endpoint: &Url, request: &TokenRequest) -> Result<Response, Error> {
        Ok(self
            .http
            .post(endpoint, &request.body(), request.authorization().as_ref())?)
    }

    pub(super) fn last_attempt(&self) -> Result<Option<Attempt>, Error> {
        Ok(self
            .context
            .store
            .read_plain(Plain::Attempt, self.name.as_str())?)
    }

    pub(super) fn leave_trace(&self, attempt: &Attempt) -> Result<(), Error> {
        Ok(self
            .context
            .store
            .write_plain(Plain::Attempt, self.name.as_str(), attempt)?)
    }
}
