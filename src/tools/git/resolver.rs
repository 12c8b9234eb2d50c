//! Whose the credential for a resource is: a provider's, one that git handed over, or nobody's.

use url::Url;

use super::repository::Repository;
use crate::config::{Interactive, Match, Settings};
use crate::credential::{
    Action, Credential, Refusal, Reply, Request, Resource, StoredCredential, Want,
};
use crate::error::Error;
use crate::provider::{Realm, web_url};
use crate::report::{Exit, Report, printable};
use crate::serving::answer;
use crate::serving::resolution::Resolution;
use crate::serving::serve::{AfterReply, MatchedAccount, ServeError, Served, has_secret_of, label};
use crate::serving::target::login_of;
use crate::session;
use crate::session::record::Session;
use crate::session::refusal::ResourceName;
use crate::shell::quoted;
use crate::tools::git::NAME;
use crate::wire::url_at;

pub(crate) struct Resolver<'d, 'p> {
    pub(crate) tool: &'d Served<'p>,
    pub(crate) repository: &'d Repository<'d>,
}

/// What git wants to reach, parsed.
struct Target {
    /// The one spelling of protocol, host and port.
    realm: String,
    /// Where a provider may be configured for it.
    url: Option<Url>,
    host: String,
    path: Option<String>,
}

impl<'p> Resolver<'_, 'p> {
    /// Answers one request.
    pub(crate) fn answer(
        &self,
        request: &Request,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, Refusal> {
        let Some(resource) = &request.resource else {
            return Err(Refusal::NotMine);
        };
        let target = Target::of(resource)?;
        match &request.action {
            Action::Get => self.get(request, &target, outcome),
            Action::Store(handed) => self.store(handed, &target),
            Action::Erase(refused) => self.erase(refused, &target),
            Action::List => Ok(Reply::Done),
        }
        .map_err(Refusal::from)
    }

    fn get(
        &self,
        request: &Request,
        target: &Target,
        outcome: &mut AfterReply<'p>,
    ) -> Result<Reply, ServeError> {
        let wanted = StoredCredential {
            path: target.path.clone(),
            username: request.username.clone(),
            ..StoredCredential::default()
        };
        let opened = match &target.url {
            Some(url) => self
                .tool
                .prepared
                .config
                .resource(url, NAME)
                .map_err(Error::from)?,
            None => None,
        };
        let Some(first) = opened else {
            let kept = self
                .tool
                .find(&target.realm, &wanted, request.takes_authtype);
            return match kept.map_err(Error::from)? {
                Some(kept) => Ok(Reply::Stored(kept)),
                None => Err(self.unknown(request, target)),
            };
        };
        // Whoever names a user whose password is kept means that one.
        if request.username.is_some()
            && let Some(kept) = self
                .tool
                .find(&target.realm, &wanted, request.takes_authtype)
                .map_err(Error::from)?
        {
            return Ok(Reply::Stored(kept));
        }
        // Nothing but the configuration has a say then, and would have the same again.
        let is_settled = request.account.is_none()
            && !self.may_vary(target, &first, request.username.as_deref());
        let opened = match (&request.account, &target.url) {
            // It was chosen when this token was handed out.
            (Some(account), Some(url)) if self.is_known(&first, url, account)? => {
                self.opened(first, url, account.clone())?
            }
            // The refused token was its own, and no other account's takes its place.
            (Some(account), Some(_)) if request.want.refused.is_some() => {
                return Err(signed_out(&first, target, account));
            }
            // Another helper may have stored the marker long ago.
            _ => self.account_of(first, target, request.username.as_deref())?,
        };
        let want = Want {
            token: opened.found.token.unwrap_or(request.want.token),
            ..request.want
        };
        let kept = self
            .tool
            .token(
                &opened,
                &want,
                &target.resource_name(),
                |settings| self.purpose(target, settings),
                || self.repository.said().interactive == Some(false),
                &mut outcome.asked,
            )
            .map_err(|error| refused_for_good(error.into()))?;
        let now = crate::clock::now(self.tool.prepared.env);
        let username = username_of(&opened);
        let bearer = opened.found.provider.git_bearer;
        if is_settled {
            outcome.resolution = outcome.asked.as_ref().map(|account| Resolution {
                record: account.record().clone(),
                token: want.token,
                username: username.clone(),
                bearer,
                reply_style: String::new(),
                shadowed_by: None,
            });
        }
        let credential = answer::credential_of(kept, want.token, username, bearer);
        let credential = credential.map_err(Error::from)?;
        Ok(Reply::Credential(Credential {
            // git drops a password whose time is over before it has tried it.
            expires_at: credential.expires_at.filter(|at| *at > now),
            ..credential
        }))
    }

    fn store(&self, handed: &StoredCredential, target: &Target) -> Result<Reply, ServeError> {
        let whole = (handed.username.is_some() && handed.password.is_some())
            || (handed.authtype.is_some() && handed.credential.is_some());
        if !whole || self.is_ours(handed, target)? {
            return Ok(Reply::Done);
        }
        self.tool
            .keep(&target.realm, handed.clone())
            .map_err(Error::from)?;
        Ok(Reply::Done)
    }

    fn erase(&self, refused: &StoredCredential, target: &Target) -> Result<Reply, ServeError> {
        self.tool
            .kept(&target.realm)
            .forget(refused)
            .map_err(Error::from)?;
        let refuse = |opened: &MatchedAccount| -> Result<(), ServeError> {
            let account = self.tool.account(opened, self.tool.unattended, "")?;
            // An older token than the current one was refused long ago.
            account
                .at(target.resource_name())
                .refuse(|session| has_secret_of(refused, session))
                .map_err(Error::from)?;
            Ok(())
        };
        if refused.password.is_none() && refused.credential.is_none() {
            if let Some(opened) = self.opened_without_asking(target, refused.username.as_deref())? {
                refuse(&opened)?;
            }
            return Ok(Reply::Done);
        }
        // Whose token it is says the token: the user name is the one that goes with anybody's.
        let Some((first, url)) = self.first(target)? else {
            return Ok(Reply::Done);
        };
        for account in self.tool.signed_in(&first.provider)? {
            refuse(&self.opened(first.clone(), url, account)?)?;
        }
        Ok(Reply::Done)
    }

    /// Whether it is a provider's token, which is kept in its session and nowhere else. git hands
    /// every helper whatever worked.
    fn is_ours(&self, handed: &StoredCredential, target: &Target) -> Result<bool, ServeError> {
        let Some(opened) = self.opened_without_asking(target, handed.username.as_deref())? else {
            return Ok(false);
        };
        if handed.username.as_deref() == Some(username_of(&opened).as_str())
            || handed.authtype.as_deref() == Some("Bearer")
        {
            return Ok(true);
        }
        let session = self.tool.session(&opened)?;
        Ok(session.is_some_and(|session| has_secret_of(handed, &session)))
    }

    // --- which account ---

    /// The entry that opens it, if a provider does.
    fn first<'t>(&self, target: &'t Target) -> Result<Option<(Match, &'t Url)>, ServeError> {
        let Some(url) = &target.url else {
            return Ok(None);
        };
        let config = &self.tool.prepared.config;
        let first = config.resource(url, NAME).map_err(Error::from)?;
        Ok(first.map(|first| (first, url)))
    }

    /// As [`Self::account_of`]; an account that is not there is nobody's, and no error.
    fn opened_without_asking(
        &self,
        target: &Target,
        username: Option<&str>,
    ) -> Result<Option<MatchedAccount>, ServeError> {
        let Some((first, _)) = self.first(target)? else {
            return Ok(None);
        };
        match self.account_of(first, target, username) {
            Ok(opened) => Ok(Some(opened)),
            Err(ServeError::Refused(_)) => Ok(None),
            Err(stop @ ServeError::Failed(_)) => Err(stop),
        }
    }

    /// Chooses among accounts that are configured or signed in: by the user name that git asks
    /// for, by the repository's `hallpass.account`, else the first that is configured.
    fn account_of(
        &self,
        first: Match,
        target: &Target,
        username: Option<&str>,
    ) -> Result<MatchedAccount, ServeError> {
        let config = &self.tool.prepared.config;
        let (Some(url), true) = (&target.url, self.may_vary(target, &first, username)) else {
            return Ok(MatchedAccount::first(first));
        };
        let labels: Vec<String> = config.accounts(url, NAME).into_iter().map(label).collect();
        let username = username.filter(|name| !is_for_anybody(&first, name));
        if let Some(username) = username
            && let Some(account) = self.named(&first, &labels, username)?
        {
            return self.opened(first, url, account);
        }
        let asks_repository = labels.len() > 1 || self.repository.may_name_an_account();
        let named = asks_repository.then(|| self.repository.said().account.clone());
        let Some(wanted) = named.flatten() else {
            return match username {
                Some(username) if labels.len() > 1 => {
                    Err(self.nobody_of_that_name(&first, target, username, &labels))
                }
                Some(_) | None => Ok(MatchedAccount::first(first)),
            };
        };
        if self.is_known(&first, url, &wanted)? {
            return self.opened(first, url, wanted);
        }
        Err(self.not_signed_in(&first, target, &wanted))
    }

    /// Whether anything but the first account can come of it, by a look that costs next to nothing.
    fn may_vary(&self, target: &Target, first: &Match, username: Option<&str>) -> bool {
        let url = target.url.as_ref();
        username.is_some_and(|name| !is_for_anybody(first, name))
            || url.is_some_and(|url| self.tool.prepared.config.accounts(url, NAME).len() > 1)
            || self.repository.may_name_an_account()
    }

    fn opened(
        &self,
        first: Match,
        url: &Url,
        account: String,
    ) -> Result<MatchedAccount, ServeError> {
        let config = &self.tool.prepared.config;
        let found = config
            .resource_of(url, NAME, Some(&account))
            .map_err(Error::from)?;
        Ok(MatchedAccount {
            found: found.unwrap_or(first),
            account,
        })
    }

    /// The account that a user name stands for: its own name, or the name of who signed in to it.
    fn named(
        &self,
        first: &Match,
        labels: &[String],
        username: &str,
    ) -> Result<Option<String>, ServeError> {
        if labels.iter().any(|label| label == username) || self.is_signed_in(first, username)? {
            return Ok(Some(username.to_owned()));
        }
        let signed_in = self.tool.signed_in(&first.provider)?;
        let unlisted = signed_in.iter().filter(|account| !labels.contains(account));
        for account in labels.iter().chain(unlisted) {
            let kept = self.session(first, account)?;
            let person = kept.and_then(|session| session.person);
            if person.is_some_and(|person| person.shown() == username) {
                return Ok(Some(account.clone()));
            }
        }
        Ok(None)
    }

    /// Whether an account is configured for this URL or signed in.
    fn is_known(&self, first: &Match, url: &Url, account: &str) -> Result<bool, ServeError> {
        let mut labels = self.tool.prepared.config.accounts(url, NAME).into_iter();
        Ok(labels.any(|one| label(one) == account) || self.is_signed_in(first, account)?)
    }

    fn is_signed_in(&self, first: &Match, account: &str) -> Result<bool, ServeError> {
        Ok(self.session(first, account)?.is_some())
    }

    fn session(&self, first: &Match, account: &str) -> Result<Option<Session>, ServeError> {
        let opened = MatchedAccount {
            found: first.clone(),
            account: account.to_owned(),
        };
        Ok(self.tool.session(&opened)?)
    }

    /// What a person who is asked reads.
    fn purpose(&self, target: &Target, settings: &Settings) -> String {
        let what = format!("git at {}", target.shown());
        // Only a person who is asked reads it.
        match self.repository.folder() {
            Some(folder) if settings.interactive == Interactive::Auto => {
                format!("{what} (repository {folder})")
            }
            Some(_) | None => what,
        }
    }

    // --- when nobody answers ---

    /// Nobody here knows the host. Where it is one that a preset could open, a line says how.
    fn unknown(&self, request: &Request, target: &Target) -> ServeError {
        if let (Some(_), Some((forge, preset))) = (&target.url, forge_of(&request.challenges)) {
            let host = quoted(&target.host);
            // Anybody can send the challenge, so no configured provider is suggested: its tokens
            // would go there.
            let mut configured = self.tool.prepared.config.providers();
            let provider = if configured.any(|name| name == preset) {
                format!("--issuer-url {} --client-id ID", quoted(&target.realm))
            } else {
                format!("--provider {preset}")
            };
            // It says where to register an application where one is needed.
            self.tool.prepared.terminal.say(&format!(
                "{host} says that it is {forge}. If you know the server, run `hallpass setup git \
                 --host {host} {provider}` to sign in to it with the browser"
            ));
        }
        ServeError::refused(Refusal::NotMine)
    }

    fn not_signed_in(&self, first: &Match, target: &Target, account: &str) -> ServeError {
        let login = login_of(&first.provider, account);
        let folder = self.repository.folder();
        let folder = folder.map_or_else(String::new, |folder| format!(" in {folder}"));
        ServeError::refused(Refusal::NotSignedIn(Report {
            error: format!(
                "hallpass.account{folder} names the account {} for {}, and nobody has signed in \
                 to it",
                printable(account),
                target.shown()
            ),
            causes: Vec::new(),
            hint: Some(format!("run `{}`", login.this)),
            exit: Exit::SignInNeeded,
        }))
    }

    fn nobody_of_that_name(
        &self,
        first: &Match,
        target: &Target,
        username: &str,
        labels: &[String],
    ) -> ServeError {
        let login = login_of(&first.provider, username);
        let folder = self.repository.folder();
        let folder = folder.map_or_else(String::new, |folder| format!(" (repository {folder})"));
        ServeError::refused(Refusal::NotSignedIn(Report {
            error: format!(
                "{}{folder} wants the user {username}, and the accounts there are {}",
                target.shown(),
                labels.join(", ")
            ),
            causes: Vec::new(),
            hint: Some(format!(
                "name one of them with `git config hallpass.account NAME`, or run `{}`",
                login.this
            )),
            exit: Exit::SignInNeeded,
        }))
    }
}

/// An account was signed out between two requests of one command.
fn signed_out(first: &Match, target: &Target, account: &str) -> ServeError {
    let login = login_of(&first.provider, account);
    ServeError::refused(Refusal::NotSignedIn(Report {
        error: format!(
            "the account {} for {} is no longer signed in",
            printable(account),
            target.shown()
        ),
        causes: Vec::new(),
        hint: Some(format!("run `{}`", login.this)),
        exit: Exit::SignInNeeded,
    }))
}

/// What git is told to send beside the token.
fn username_of(opened: &MatchedAccount) -> String {
    answer::username(opened.found.username.as_deref(), &opened.found.provider)
}

impl Target {
    /// What is refused where git's token is refused. git names no path by default.
    fn resource_name(&self) -> ResourceName {
        ResourceName {
            text: self.shown(),
            is_exact: self.path.is_some(),
        }
    }

    /// Parses what git sent apart. What git would answer for one host must never be another's.
    fn of(resource: &Resource) -> Result<Self, Refusal> {
        let Resource {
            protocol,
            host,
            path,
        } = resource;
        let path = path.clone().filter(|path| !path.is_empty());
        if protocol == "http" || protocol == "https" {
            let realm = Realm::from_parts(protocol, host).ok_or_else(no_host)?;
            // Whoever is on the way could read it.
            if !realm.is_confidential() {
                return Err(Refusal::NotMine);
            }
            let shown = realm.to_string();
            if !web_url::is_plain_path(path.as_deref().unwrap_or_default()) {
                return Err(no_plain_path());
            }
            let url = url_at(&shown, path.as_deref().unwrap_or_default()).ok_or_else(no_host)?;
            let host = shown.split_once("://").map_or(&*shown, |(_, host)| host);
            return Ok(Self {
                host: host.to_owned(),
                realm: shown,
                url: Some(url),
                path,
            });
        }
        // A mail server's password, say: kept for exactly this text.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:[]".contains(c);
        if !protocol.chars().all(plain) || !host.chars().all(plain) {
            return Err(no_host());
        }
        let host = host.to_ascii_lowercase();
        Ok(Self {
            realm: format!("{protocol}://{host}"),
            url: None,
            host,
            path,
        })
    }

    fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("{}/{path}", self.realm),
            None => self.realm.clone(),
        }
    }
}

fn no_host() -> Refusal {
    refused("its `host` names no host")
}

fn no_plain_path() -> Refusal {
    refused("its `path` has `..` or a backslash in it, also in an escape")
}

fn refused(why: &str) -> Refusal {
    Refusal::Failed(Report {
        error: format!("git's request is refused: {why}"),
        causes: Vec::new(),
        hint: None,
        exit: Exit::Failed,
    })
}

/// Whether the name is one that goes with any account's token.
fn is_for_anybody(found: &Match, username: &str) -> bool {
    let sent = found
        .username
        .as_deref()
        .or(found.provider.git_username.as_deref());
    matches!(username, "" | "oauth2" | "x-access-token") || sent == Some(username)
}

/// A valid token that the server refuses is a "no": git must not ask for a user name instead.
fn refused_for_good(error: Error) -> ServeError {
    if let Error::Session(session::Error::NotAccepted(_)) = &error {
        return ServeError::refused(Refusal::Declined(error.report()));
    }
    ServeError::Failed(error)
}

/// The forge that a server's challenge suggests, and its preset. It makes a message better and
/// nothing else: any host can send any challenge.
fn forge_of(challenges: &[String]) -> Option<(&'static str, &'static str)> {
    [
        ("GitLab", "gitlab"),
        ("Gitea", "gitea"),
        ("Forgejo", "forgejo"),
    ]
    .into_iter()
    .find(|(forge, _)| {
        let realm = format!("realm=\"{forge}\"");
        challenges
            .iter()
            .any(|challenge| challenge.contains(&realm))
    })
}
