//! Finds the credential for a registry: the one that the user entered, else a provider's token.

use url::Url;

use super::arguments::NAME;
use super::client::Client;
use super::server::{Server, shown};
use crate::credential::{
    Action, Credential, ListedCredential, Refusal, Reply, Request, Resource, StoredCredential, Want,
};
use crate::error::Error;
use crate::exchange::token_server::IDENTITY_TOKEN;
use crate::provider::RegistryExchange;
use crate::provider::resource::Pattern;
use crate::serving::answer;
use crate::serving::serve::{AfterReply, MatchedAccount, ServeError, Served, has_secret_of};
use crate::serving::stored_credentials::{self, StoreOutcome};
use crate::session::exchanged::{RegistryCredential, token_for};
use crate::session::record::Session;
use crate::session::refusal::ResourceName;
use crate::session::{self, Account};
use crate::store::StoreError;

pub(crate) struct Resolver<'d, 'p> {
    pub(crate) tool: &'d Served<'p>,
}

impl<'p> Resolver<'_, 'p> {
    /// Answers one request. `outcome` receives what is needed after the reply.
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
            (Action::Store(credential), Some(server)) => Ok(self.store(credential, &server)?),
            (Action::Erase(_), Some(server)) => Ok(self.erase(&server)?),
        }
    }

    fn get(
        &self,
        request: &Request,
        server: &Server,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, ServeError> {
        if let Some(entered) = self.entered(server, &server.path)? {
            return Ok(Reply::Stored(entered));
        }
        let Some(opened) = self.registry_at(server)? else {
            return Err(ServeError::refused(Refusal::NotMine));
        };
        // crane asks for a repository first; credentials entered for the registry apply to it too.
        if !server.path.is_empty()
            && let Some(entered) = self.entered(server, "")?
        {
            return Ok(Reply::Stored(entered));
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
                return Ok(Reply::Stored(as_stored(opened, kept)));
            }
        }
        let want = Self::wanted(request, registry);
        let what = |_: &_| format!("docker at {}", server.shown());
        let client = Client::of_process(self.tool.prepared);
        let kept = self.tool.token(
            opened,
            &want,
            &resource_name(server),
            what,
            || !request.interactive || !client.may_sign_in(),
            &mut outcome.asked,
        );
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => return Err(without_sign_in(client.explained(error))),
        };
        let username = username_of(opened, &kept.value);
        if let (Some(exchange), Some(account)) = (exchange, &outcome.asked) {
            let made = account.exchanged(exchange, url, &username, fresh_for, &kept)?;
            return Ok(Reply::Stored(as_stored(opened, made)));
        }
        let credential = outcome.credential(kept, want.token, username, false)?;
        if let Some(resolution) = &mut outcome.resolution {
            let entered = self.tool.stored_credentials(&server.realm);
            resolution.shadowed_by = Some(entered.record().clone());
            // A different person may sign in next time.
            if configured_username(opened).is_none() {
                answer::NAMED_AFTER_PERSON.clone_into(&mut resolution.reply_style);
            }
        }
        Ok(Reply::Credential(credential))
    }

    fn store(&self, credential: &StoredCredential, server: &Server) -> Result<Reply, ServeError> {
        let opened = self.registry_at(server)?;
        let terminal = self.tool.prepared.terminal;
        if let Some(registry) = &opened {
            if self.is_ours(credential, registry)? {
                return Ok(Reply::Done);
            }
            let provider = registry.provider();
            let shown = server.shown();
            if credential.username.as_deref() == Some(IDENTITY_TOKEN) {
                // The registry may have issued it for one of our tokens. It would hide the
                // provider's tokens after it has expired.
                terminal.say(&format!(
                    "not storing the identity token of {shown}: hallpass gets its tokens from \
                     {provider}"
                ));
                return Ok(Reply::Done);
            }
            terminal.say(&format!(
                "the credentials that you entered for {shown} take precedence over the token of \
                 {provider} until `docker logout {shown}`"
            ));
        }
        let credential = StoredCredential {
            path: Some(server.path.clone()),
            ..credential.clone()
        };
        let kept = self.entered(server, &server.path)?;
        if kept.is_some_and(|kept| kept.username != credential.username) {
            // The last login wins, even over an older entry of the same user.
            let earlier = StoredCredential {
                username: credential.username.clone(),
                path: credential.path.clone(),
                ..StoredCredential::default()
            };
            self.tool
                .stored_credentials(&server.realm)
                .forget(&earlier)?;
        }
        match self.tool.store(&server.realm, credential)? {
            StoreOutcome::Stored => Ok(Reply::Done),
            // On success the client would print "Login Succeeded".
            StoreOutcome::NowhereToStore => Err(StoreError::NotSaved.into()),
        }
    }

    fn erase(&self, server: &Server) -> Result<Reply, ServeError> {
        let all = StoredCredential {
            path: Some(server.path.clone()),
            ..StoredCredential::default()
        };
        let was_entered = self.entered(server, &server.path)?.is_some();
        self.tool.stored_credentials(&server.realm).forget(&all)?;
        if server.is_bare
            && let Some(opened) = self.registry_at(server)?
        {
            if !was_entered {
                // Either `docker logout`, or the registry refused the token.
                let account = self.account(&opened.opened)?.at(resource_name(server));
                if let Some(exchange) = opened.exchange() {
                    account.forget_exchanged(exchange, &opened.url)?;
                }
                account.refresh_next_time()?;
            }
            let provider = opened.provider();
            self.tool.prepared.terminal.say(&format!(
                "you are still signed in to {provider}, which {} uses; to sign out, run `hallpass \
                 logout {provider}`",
                server.shown()
            ));
        }
        Ok(Reply::Done)
    }

    /// The credentials available without a sign-in. A client that lists them then requests each
    /// one, and fails if one of the requests fails.
    fn list(&self, request: &Request) -> Vec<ListedCredential> {
        let terminal = self.tool.prepared.terminal;
        let (kept, trouble) = stored_credentials::listed(&self.tool.prepared.store, self.tool.name);
        if let Some(trouble) = trouble {
            terminal.warn(&format!(
                "some stored credentials cannot be listed: {trouble}"
            ));
        }
        let mut list: Vec<ListedCredential> = Vec::new();
        // The clients' own spellings may differ.
        let mut listed: Vec<String> = Vec::new();
        for one in kept {
            let path = one.path.as_deref().unwrap_or_default();
            let canonical = shown(&one.realm, path);
            // Of several users, `get` answers with the newest, which comes first.
            if !listed.contains(&canonical) {
                let resource = one.stored_as.unwrap_or_else(|| canonical.clone());
                listed.push(canonical);
                list.push(ListedCredential {
                    resource,
                    username: one.username.unwrap_or_default(),
                });
            }
        }
        for pattern in self.tool.prepared.config.patterns(NAME) {
            let Some(server) = whole_registry(pattern) else {
                continue;
            };
            let shown = server.shown();
            if listed.contains(&shown) {
                continue;
            }
            match self.available_username(request, &server) {
                Ok(Some(username)) => list.push(ListedCredential {
                    resource: shown,
                    username,
                }),
                Ok(None) => (),
                Err(_) => terminal.explain(1, || {
                    format!("{shown} is not listed: its token is not available")
                }),
            }
        }
        list.sort();
        list
    }

    /// The user name for a registry whose token is cached or can be refreshed.
    fn available_username(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<String>, ServeError> {
        let Some(opened) = self.registry_at(server)? else {
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

    fn entered(&self, server: &Server, path: &str) -> Result<Option<StoredCredential>, StoreError> {
        let wanted = StoredCredential {
            path: Some(path.to_owned()),
            ..StoredCredential::default()
        };
        self.tool.find(&server.realm, &wanted, false)
    }

    fn registry_at(&self, server: &Server) -> Result<Option<Registry>, Error> {
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

    /// Whether hallpass issued these credentials: `docker login` stores what `get` returned.
    fn is_ours(
        &self,
        credential: &StoredCredential,
        registry: &Registry,
    ) -> Result<bool, ServeError> {
        let account = self.account(&registry.opened)?;
        if let (Some(exchange), Some(secret)) = (registry.exchange(), &credential.password)
            && account.has_exchanged(exchange, &registry.url, secret)?
        {
            return Ok(true);
        }
        let kept = account.served_session()?;
        Ok(kept.is_some_and(|kept| has_secret_of(credential, &kept.value)))
    }
}

/// Why there is no token. Without a store each request would need a sign-in of its own, so there is
/// none.
fn without_sign_in(error: session::Error) -> ServeError {
    if let session::Error::Store(StoreError::NotSaved) = error {
        let report = Error::from(StoreError::NotSaved).report();
        return ServeError::refused(Refusal::NotSignedIn(report));
    }
    error.into()
}

/// A registry with a provider, and the URL at which it is configured.
struct Registry {
    opened: MatchedAccount,
    url: Url,
}

impl Registry {
    /// How the registry exchanges a token for its own credential, if it does.
    fn exchange(&self) -> Option<RegistryExchange> {
        let found = &self.opened.found;
        found.registry_exchange.or(found.provider.registry_exchange)
    }

    fn provider(&self) -> &str {
        &self.opened.found.provider.name
    }
}

/// A registry's own credential, as a stored one.
fn as_stored(opened: &MatchedAccount, made: RegistryCredential) -> StoredCredential {
    // The name of an identity token says what it is.
    let is_identity = made.username == IDENTITY_TOKEN;
    let configured = opened.found.username.clone().filter(|_| !is_identity);
    StoredCredential {
        username: Some(configured.unwrap_or(made.username)),
        password: Some(made.secret),
        ..StoredCredential::default()
    }
}

/// Docker doesn't name the repository, so a refusal isn't about a particular one.
fn resource_name(server: &Server) -> ResourceName {
    ResourceName {
        text: server.realm.clone(),
        is_exact: false,
    }
}

/// The registry that an entry names, if it names a whole one.
fn whole_registry(pattern: &Pattern) -> Option<Server> {
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

/// The user name for the token: the configured one, else the signed-in person's.
fn username_of(opened: &MatchedAccount, session: &Session) -> String {
    let configured = configured_username(opened).map(str::to_owned);
    configured.unwrap_or_else(|| answer::person_of(session))
}

fn configured_username(opened: &MatchedAccount) -> Option<&str> {
    let configured = opened.found.username.as_deref();
    configured.or(opened.found.provider.registry_username.as_deref())
}
