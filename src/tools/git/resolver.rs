//! Resolves a request: which account of which provider answers, or which stored credential.

use url::Url;

use super::arguments::NAME;
use super::background::is_background;
use super::names::{ignores_unknown_names, is_neutral, is_same, may_be};
use super::plain_http;
use super::refusals;
use super::repository::Repository;
use super::target::Target;
use crate::config::{Interactive, Settings};
use crate::credential::{Action, Credential, Refusal, Reply, Request, StoredCredential, Want};
use crate::error::Error;
use crate::provider::Match;
use crate::serving::answer;
use crate::serving::serve::{AfterReply, MatchedAccount, ServeError, Served, has_secret_of, label};
use crate::session::record::Session;
use crate::shell::quoted;

pub(crate) struct Resolver<'d, 'p> {
    pub(crate) tool: &'d Served<'p>,
    pub(crate) repository: &'d Repository<'d>,
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
        if target.is_plain
            && !plain_http::is_stored(&self.tool.prepared.config.settings, &target.realm)
        {
            if let Action::Store(handed) = &request.action
                && is_complete(handed)
            {
                self.tool.prepared.terminal.warn(&format!(
                    "the password for {realm} was not saved, because plain http is not encrypted; \
                     to save it anyway, run `hallpass setup git --default --plain-http {word}`",
                    realm = target.realm,
                    word = quoted(&target.realm)
                ));
            }
            return Err(Refusal::NotMine);
        }
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
                None => Err(refusals::unknown(self.tool, request, target)),
            };
        };
        // A stored password takes precedence if the request names its user.
        if request.username.is_some()
            && let Some(kept) = self
                .tool
                .find(&target.realm, &wanted, request.takes_authtype)
                .map_err(Error::from)?
        {
            return Ok(Reply::Stored(kept));
        }
        if !target.is_protected() {
            return Err(refusals::unprotected(target));
        }
        let username = request.username.as_deref();
        // Only then does the same request always resolve to the same account.
        let is_settled = request.account.is_none()
            && !self.may_vary(target, &first, request.username.as_deref());
        let mut wanted_person = None;
        let opened = match (&request.account, &target.url) {
            // The account that the previous reply of this command named.
            (Some(account), Some(url)) if self.is_known(&first, url, account)? => {
                self.matched_account(first, url, account.clone())?
            }
            // The refused token was this account's: another account's must not replace it.
            (Some(account), Some(_)) if request.want.refused.is_some() => {
                return Err(refusals::signed_out(&first, target, account));
            }
            // The marker may be old: another helper may have stored it.
            _ => {
                let chosen = self.account_of(first, target, username)?;
                wanted_person = username.filter(|_| chosen.is_unproven);
                chosen.opened
            }
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
                || is_background() || self.repository.config().interactive == Some(false),
                &mut outcome.asked,
            )
            .map_err(|error| refusals::refused_for_good(error.into()))?;
        if let Some(name) = wanted_person
            && !may_be(&kept.value, name)
        {
            return Err(self.nobody_of_that_name(&opened.found, target, name)?);
        }
        let now = crate::clock::now(self.tool.prepared.env);
        let username = match username {
            // The server identifies the mailbox by it.
            Some(mailbox) if target.is_mail() => mailbox.to_owned(),
            Some(_) | None => username_of(&opened),
        };
        // git's mail programs use the password, and git imap-send crashes without one.
        let bearer = opened.found.provider.git_bearer && !target.is_mail();
        let credential = outcome.credential(kept, want.token, username, bearer);
        let credential = credential.map_err(Error::from)?;
        if !is_settled {
            outcome.resolution = None;
        }
        Ok(Reply::Credential(Credential {
            // git drops an expired password before it tries it.
            expires_at: credential.expires_at.filter(|at| *at > now),
            ..credential
        }))
    }

    fn store(&self, handed: &StoredCredential, target: &Target) -> Result<Reply, ServeError> {
        if !is_complete(handed) || self.is_ours(handed, target)? {
            return Ok(Reply::Done);
        }
        self.tool
            .store(&target.realm, handed.clone())
            .map_err(Error::from)?;
        Ok(Reply::Done)
    }

    fn erase(&self, refused: &StoredCredential, target: &Target) -> Result<Reply, ServeError> {
        self.tool
            .stored_credentials(&target.realm)
            .forget(refused)
            .map_err(Error::from)?;
        let refuse = |opened: &MatchedAccount| -> Result<(), ServeError> {
            let account = self.tool.account(opened, self.tool.unattended, "")?;
            // Only the current token counts: an older one has been replaced already.
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
        // The token identifies the account, because the user name is the same for all of them.
        let Some((first, url)) = self.first(target)? else {
            return Ok(Reply::Done);
        };
        for account in self.tool.signed_in(&first.provider)? {
            refuse(&self.matched_account(first.clone(), url, account)?)?;
        }
        Ok(Reply::Done)
    }

    /// Whether it is a provider's token. git passes every credential that worked to every helper,
    /// but a token is stored in its session only.
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

    /// The first entry that matches the target, if any.
    pub(super) fn first<'t>(
        &self,
        target: &'t Target,
    ) -> Result<Option<(Match, &'t Url)>, ServeError> {
        let Some(url) = &target.url else {
            return Ok(None);
        };
        let config = &self.tool.prepared.config;
        let first = config.resource(url, NAME).map_err(Error::from)?;
        Ok(first.map(|first| (first, url)))
    }

    /// Like [`Self::account_of`], but `None` if no account is found.
    fn opened_without_asking(
        &self,
        target: &Target,
        username: Option<&str>,
    ) -> Result<Option<MatchedAccount>, ServeError> {
        let Some((first, _)) = self.first(target)? else {
            return Ok(None);
        };
        match self.account_of(first, target, username) {
            Ok(chosen) => Ok(Some(chosen.opened)),
            Err(ServeError::Refused(_)) => Ok(None),
            Err(stop @ ServeError::Failed(_)) => Err(stop),
        }
    }

    /// Chooses an account that is configured or signed in: by the user name in the request, by the
    /// repository's `hallpass.account`, or else the first one that is configured.
    pub(super) fn account_of(
        &self,
        first: Match,
        target: &Target,
        username: Option<&str>,
    ) -> Result<Chosen, ServeError> {
        let (Some(url), true) = (&target.url, self.may_vary(target, &first, username)) else {
            return Ok(Chosen::new(MatchedAccount::first(first), Reason::First));
        };
        let accounts = self.known_accounts(&first, url)?;
        let username = username.filter(|name| !is_neutral(&first, name));
        if let Some(username) = username
            && let Some(account) = self.named(&first, &accounts, username)?
        {
            let opened = self.matched_account(first, url, account)?;
            return Ok(Chosen::new(opened, Reason::Username));
        }
        let has_choice = self.tool.prepared.config.accounts(url, NAME).len() > 1;
        let asks_repository = has_choice || self.repository.may_name_an_account();
        let named = asks_repository.then(|| self.repository.config().account.clone());
        if let Some(wanted) = named.flatten() {
            if let Some(account) = self.named(&first, &accounts, &wanted)? {
                let opened = self.matched_account(first, url, account)?;
                return Ok(Chosen::new(opened, Reason::Repository));
            }
            let file = self.repository.config().account_file.clone();
            let place = file.or_else(|| self.repository.folder());
            let place = place.as_deref();
            let others = self.with_persons(&first, accounts)?;
            return Err(refusals::not_signed_in(
                &first, target, &wanted, place, &others,
            ));
        }
        let is_unproven = username.is_some_and(|_| !ignores_unknown_names(&first));
        match (username, &accounts[..]) {
            (Some(username), [only]) if is_unproven => {
                // Before the first sign-in, and if the provider doesn't tell who signed in, the
                // name contradicts nothing yet.
                let session = self.session(&first, only)?;
                if session.is_some_and(|session| !may_be(&session, username)) {
                    return Err(self.nobody_of_that_name(&first, target, username)?);
                }
            }
            (Some(username), _) if is_unproven => {
                return Err(self.nobody_of_that_name(&first, target, username)?);
            }
            (Some(_) | None, _) => (),
        }
        Ok(Chosen {
            is_unproven,
            ..Chosen::new(MatchedAccount::first(first), Reason::First)
        })
    }

    /// The accounts that are configured for a URL, and then the others that are signed in.
    fn known_accounts(&self, first: &Match, url: &Url) -> Result<Vec<String>, ServeError> {
        let config = &self.tool.prepared.config;
        let mut accounts: Vec<String> = config.accounts(url, NAME).into_iter().map(label).collect();
        let signed_in = self.tool.signed_in(&first.provider)?;
        for account in signed_in {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        Ok(accounts)
    }

    /// Whether any account but the first one may answer: a cheap check.
    fn may_vary(&self, target: &Target, first: &Match, username: Option<&str>) -> bool {
        let url = target.url.as_ref();
        username.is_some_and(|name| !is_neutral(first, name))
            || url.is_some_and(|url| self.tool.prepared.config.accounts(url, NAME).len() > 1)
            || self.repository.may_name_an_account()
    }

    fn matched_account(
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

    /// The account that a user name identifies: by its own name, or by the name of the person who
    /// signed in to it.
    fn named(
        &self,
        first: &Match,
        accounts: &[String],
        username: &str,
    ) -> Result<Option<String>, ServeError> {
        let exact = accounts.iter().find(|account| *account == username);
        let similar = || accounts.iter().find(|account| is_same(account, username));
        if let Some(account) = exact.or_else(similar) {
            return Ok(Some(account.clone()));
        }
        for account in accounts {
            let person = self.session(first, account)?.and_then(|one| one.person);
            if person.is_some_and(|person| person.names().any(|name| is_same(name, username))) {
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

    /// The purpose shown in the sign-in prompt.
    fn purpose(&self, target: &Target, settings: &Settings) -> String {
        let what = format!("git at {}", target.shown());
        match self.repository.folder() {
            Some(folder) if settings.interactive == Interactive::Auto => {
                format!("{what} (repository {folder})")
            }
            Some(_) | None => what,
        }
    }

    /// The accounts, each with the person who signed in to it.
    fn with_persons(
        &self,
        first: &Match,
        accounts: Vec<String>,
    ) -> Result<Vec<String>, ServeError> {
        let shown = accounts.into_iter().map(|account| {
            let person = self.session(first, &account)?.and_then(|one| one.person);
            Ok(match person {
                Some(person) => format!("{account} ({})", person.shown()),
                None => account,
            })
        });
        shown.collect()
    }

    /// The user name in the request matches no account.
    fn nobody_of_that_name(
        &self,
        first: &Match,
        target: &Target,
        username: &str,
    ) -> Result<ServeError, ServeError> {
        let accounts = match &target.url {
            Some(url) => self.known_accounts(first, url)?,
            None => Vec::new(),
        };
        let shown = self.with_persons(first, accounts)?;
        let folder = self.repository.folder();
        Ok(refusals::nobody_of_that_name(
            first,
            target,
            username,
            folder.as_deref(),
            &shown,
        ))
    }
}

/// An account, and whether its person may turn out to be another one than the request names.
pub(super) struct Chosen {
    pub(super) opened: MatchedAccount,
    pub(super) reason: Reason,
    is_unproven: bool,
}

/// Why an account was chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// The user name in the request identifies it.
    Username,
    /// `hallpass.account` names it.
    Repository,
    /// Its entry is the first one in the configuration that matches.
    First,
}

impl Chosen {
    fn new(opened: MatchedAccount, reason: Reason) -> Self {
        Self {
            opened,
            reason,
            is_unproven: false,
        }
    }
}

/// Whether it holds all that a server needs.
fn is_complete(credential: &StoredCredential) -> bool {
    (credential.username.is_some() && credential.password.is_some())
        || (credential.authtype.is_some() && credential.credential.is_some())
}

/// The user name that git sends with the token.
fn username_of(opened: &MatchedAccount) -> String {
    answer::username(opened.found.username.as_deref(), &opened.found.provider)
}
