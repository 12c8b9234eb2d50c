//! Whose the credential for a registry is: one that somebody typed, a provider's, or nobody's.

use url::Url;

use super::arguments::NAME;
use super::server::{Server, shown};
use crate::credential::{
    Action, Credential, ListedCredential, Refusal, Reply, Request, Resource, StoredCredential, Want,
};
use crate::error::Error;
use crate::provider::RegistryExchange;
use crate::provider::resource::Pattern;
use crate::serving::answer;
use crate::serving::resolution::Resolution;
use crate::serving::serve::{AfterReply, MatchedAccount, ServeError, Served, has_secret_of};
use crate::serving::stored_credentials::{self as kept, StoreOutcome};
use crate::session::exchanged::{RegistryCredential, token_for};
use crate::session::record::Session;
use crate::session::refusal::ResourceName;
use crate::session::{self, Account};
use crate::store::StoreError;

/// The user name of a token that a registry has made of a password (an "identity token").
const IDENTITY_TOKEN: &str = "<token>";

pub(crate) struct Resolver<'d, 'p> {
    pub(crate) tool: &'d Served<'p>,
}

impl<'p> Resolver<'_, 'p> {
    /// Answers one request; what stays of it is in `outcome`.
    pub(crate) fn answer(
        &self,
        request: &Request,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, Refusal> {
        let server = match &request.resource {
            Some(resource) => Some(Server::of(resource)?),
            None => None,
        };
        match (&request.action, server) {
            (Action::List, _) => Ok(Reply::List(self.list(request))),
            (_, None) => Err(Refusal::NotMine),
            (Action::Get, Some(server)) => Ok(self.get(request, &server, outcome)?),
            (Action::Store(handed), Some(server)) => Ok(self.store(handed, &server)?),
            (Action::Erase(_), Some(server)) => Ok(self.erase(&server)?),
        }
    }

    fn get(
        &self,
        request: &Request,
        server: &Server,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, ServeError> {
        if let Some(typed) = self.typed(server, &server.path)? {
            return Ok(Reply::Stored(typed));
        }
        let Some(opened) = self.opened(server)? else {
            return Err(ServeError::refused(Refusal::NotMine));
        };
        // crane asks for a repository first, and what somebody typed goes for all of them.
        if !server.path.is_empty()
            && let Some(typed) = self.typed(server, "")?
        {
            return Ok(Reply::Stored(typed));
        }
        let token = Self::wanted(request, &opened).token;
        self.account(&opened.opened)?
            .at(resource_name(server))
            .refreshed_as_noted(token)?;
        self.of_provider(request, server, &opened, outcome)
    }

    fn wanted(request: &Request, registry: &Registry) -> Want {
        Want {
            token: match registry.exchange() {
                Some(exchange) => token_for(exchange),
                None => registry.opened.found.token.unwrap_or(request.want.token),
            },
            ..request.want
        }
    }

    fn of_provider(
        &self,
        request: &Request,
        server: &Server,
        registry: &Registry,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, ServeError> {
        let Registry { opened, url } = registry;
        let exchange = registry.exchange();
        let fresh_for = request.want.fresh_for;
        if let Some(exchange) = exchange {
            let account = self.account(opened)?;
            if let Some(kept) = account.kept_exchanged(exchange, url, fresh_for)? {
                return Ok(Reply::Stored(handed_by(opened, kept)));
            }
        }
        let want = Self::wanted(request, registry);
        let what = |_: &_| format!("docker at {}", server.shown());
        let kept = self.tool.token(
            opened,
            &want,
            &resource_name(server),
            what,
            || !request.interactive,
            &mut outcome.asked,
        )?;
        if let (Some(exchange), Some(account)) = (exchange, &outcome.asked) {
            let made = account.exchanged(exchange, url, fresh_for, &kept)?;
            return Ok(Reply::Stored(handed_by(opened, made)));
        }
        let username = username_of(opened, &kept.value);
        // Who signed in may be somebody else the next time.
        let form = match configured_username(opened) {
            Some(_) => "",
            None => answer::NAMED_AFTER_PERSON,
        };
        outcome.resolution = outcome.asked.as_ref().map(|account| Resolution {
            record: account.record().clone(),
            token: want.token,
            username: username.clone(),
            bearer: false,
            reply_style: form.to_owned(),
            shadowed_by: Some(self.tool.kept(&server.realm).record().clone()),
        });
        let credential = answer::credential_of(kept, want.token, username, false)?;
        Ok(Reply::Credential(credential))
    }

    fn store(&self, handed: &StoredCredential, server: &Server) -> Result<Reply, ServeError> {
        let opened = self.opened(server)?;
        let terminal = self.tool.prepared.terminal;
        if let Some(registry) = &opened {
            if self.is_ours(handed, registry)? {
                return Ok(Reply::Done);
            }
            let provider = registry.provider();
            let shown = server.shown();
            if handed.username.as_deref() == Some(IDENTITY_TOKEN) {
                // The registry made it of what it was sent, which may have been a token of ours,
                // and it ends long before anybody would think of `docker logout`.
                terminal.say(&format!(
                    "the identity token of {shown} is not kept: the provider {provider} opens it"
                ));
                return Ok(Reply::Done);
            }
            terminal.say(&format!(
                "what you typed for {shown} is kept and goes before the token of the provider \
                 {provider}, until `docker logout {shown}`"
            ));
        }
        let handed = StoredCredential {
            path: Some(server.path.clone()),
            ..handed.clone()
        };
        let kept = self.typed(server, &server.path)?;
        if kept.is_some_and(|kept| kept.username != handed.username) {
            // Who typed last is answered, also with a password that was kept before.
            let earlier = StoredCredential {
                username: handed.username.clone(),
                path: handed.path.clone(),
                ..StoredCredential::default()
            };
            self.tool.kept(&server.realm).forget(&earlier)?;
        }
        match self.tool.keep(&server.realm, handed)? {
            StoreOutcome::Stored => Ok(Reply::Done),
            // A client that is told of a success says "login succeeded".
            StoreOutcome::NowhereToStore => Err(StoreError::NothingKept.into()),
        }
    }

    fn erase(&self, server: &Server) -> Result<Reply, ServeError> {
        let all = StoredCredential {
            path: Some(server.path.clone()),
            ..StoredCredential::default()
        };
        let was_typed = self.typed(server, &server.path)?.is_some();
        self.tool.kept(&server.realm).forget(&all)?;
        if server.is_bare
            && let Some(opened) = self.opened(server)?
        {
            if !was_typed {
                // It may be `docker logout`, or a registry that refused the token.
                let account = self.account(&opened.opened)?.at(resource_name(server));
                if let Some(exchange) = opened.exchange() {
                    account.forget_exchanged(exchange, &opened.url)?;
                }
                account.refresh_next_time()?;
            }
            let provider = opened.provider();
            self.tool.prepared.terminal.say(&format!(
                "the provider {provider} opens {}, also for other tools: `hallpass logout \
                 {provider}` signs out",
                server.shown()
            ));
        }
        Ok(Reply::Done)
    }

    /// What can be had without asking anybody: a client that lists then gets each of them, and
    /// fails where one fails.
    fn list(&self, request: &Request) -> Vec<ListedCredential> {
        let terminal = self.tool.prepared.terminal;
        let (kept, trouble) = kept::listed(&self.tool.prepared.store, self.tool.name);
        if let Some(trouble) = trouble {
            terminal.warn(&format!("not all that is kept can be listed: {trouble}"));
        }
        let mut list: Vec<ListedCredential> = Vec::new();
        for one in kept {
            let resource = shown(&one.realm, one.path.as_deref().unwrap_or_default());
            // Of several users the one that is answered: the newest, which comes first.
            if list.iter().all(|listed| listed.resource != resource) {
                list.push(ListedCredential {
                    resource,
                    username: one.username.unwrap_or_default(),
                });
            }
        }
        for pattern in self.tool.prepared.config.patterns(NAME) {
            let Some(server) = named(pattern) else {
                continue;
            };
            let shown = server.shown();
            if list.iter().any(|one| one.resource == shown) {
                continue;
            }
            match self.at_hand(request, &server) {
                Ok(Some(username)) => list.push(ListedCredential {
                    resource: shown,
                    username,
                }),
                Ok(None) => (),
                Err(_) => terminal.explain(1, || format!("{shown} is not listed: not at hand")),
            }
        }
        list.sort();
        list
    }

    /// The user name for a registry whose token is kept, or refreshed without asking anybody.
    fn at_hand(&self, request: &Request, server: &Server) -> Result<Option<String>, ServeError> {
        let Some(opened) = self.opened(server)? else {
            return Ok(None);
        };
        if self.tool.session(&opened.opened)?.is_none() {
            return Ok(None);
        }
        Ok(
            match self.of_provider(request, server, &opened, &mut AfterReply::default())? {
                Reply::Credential(Credential { username, .. }) => Some(username),
                Reply::Stored(StoredCredential { username, .. }) => username,
                Reply::List(_) | Reply::Done => None,
            },
        )
    }

    fn typed(&self, server: &Server, path: &str) -> Result<Option<StoredCredential>, StoreError> {
        let wanted = StoredCredential {
            path: Some(path.to_owned()),
            ..StoredCredential::default()
        };
        self.tool.find(&server.realm, &wanted, false)
    }

    fn opened(&self, server: &Server) -> Result<Option<Registry>, Error> {
        for url in &server.urls {
            if let Some(found) = self.tool.prepared.config.resource(url, NAME)? {
                return Ok(Some(Registry {
                    opened: MatchedAccount::first(found),
                    url: url.clone(),
                }));
            }
        }
        Ok(None)
    }

    fn account(&self, opened: &MatchedAccount) -> Result<Account<'p>, session::Error> {
        self.tool.account(opened, self.tool.unattended, "")
    }

    /// Whether it is what was handed out: `docker login` stores what it was given.
    fn is_ours(&self, handed: &StoredCredential, registry: &Registry) -> Result<bool, ServeError> {
        let account = self.account(&registry.opened)?;
        if let (Some(exchange), Some(secret)) = (registry.exchange(), &handed.password)
            && account.has_exchanged(exchange, &registry.url, secret)?
        {
            return Ok(true);
        }
        let kept = account.served_session()?;
        Ok(kept.is_some_and(|kept| has_secret_of(handed, &kept.value)))
    }
}

/// A registry that a provider opens, at the address that the configuration has for it.
struct Registry {
    opened: MatchedAccount,
    url: Url,
}

impl Registry {
    /// How it makes a credential of its own, if it does.
    fn exchange(&self) -> Option<RegistryExchange> {
        let found = &self.opened.found;
        found.registry_exchange.or(found.provider.registry_exchange)
    }

    fn provider(&self) -> &str {
        &self.opened.found.provider.name
    }
}

/// A registry's own credential, in the form of what tools hand over.
fn handed_by(opened: &MatchedAccount, made: RegistryCredential) -> StoredCredential {
    let configured = opened.found.username.clone();
    StoredCredential {
        username: Some(configured.unwrap_or(made.username)),
        password: Some(made.secret),
        ..StoredCredential::default()
    }
}

/// Docker names no repository, so a refusal says nothing about one.
fn resource_name(server: &Server) -> ResourceName {
    ResourceName {
        text: server.realm.clone(),
        is_exact: false,
    }
}

/// The registry that an entry names, if it names one as a whole.
fn named(pattern: &Pattern) -> Option<Server> {
    let text = pattern.to_string();
    let (protocol, host) = text.split_once("://")?;
    if pattern.has_path() || host.starts_with('*') {
        return None;
    }
    Server::of(&Resource {
        protocol: protocol.to_owned(),
        host: host.to_owned(),
        path: None,
    })
    .ok()
}

/// What goes with the token: what is configured, else who signed in.
fn username_of(opened: &MatchedAccount, session: &Session) -> String {
    let configured = configured_username(opened).map(str::to_owned);
    configured.unwrap_or_else(|| answer::person_of(session))
}

fn configured_username(opened: &MatchedAccount) -> Option<&str> {
    let configured = opened.found.username.as_deref();
    configured.or(opened.found.provider.registry_username.as_deref())
}
