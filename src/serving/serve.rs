//! A tool that asks for the credentials of many resources: a provider's token where one opens the
//! resource, else what the tool handed over.
//!
//! What tools share is here, and nothing that one of them alone does. Nothing is read and nothing
//! is opened before the tool's request has been understood.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::process::ExitCode;

use super::answer::{self, refusal};
use super::prepared::Prepared;
use super::recall::Recall;
use super::target::login_of;
use crate::arguments::{Asking, Common};
use crate::config::{Interactive, Settings};
use crate::credential::{Refusal, Reply, Request, StoredCredential, Want};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Match;
use crate::provider::Provider;
use crate::serving::resolution::Resolution;
use crate::serving::stored_credentials::{StoreOutcome, StoredCredentials};
use crate::session::record::Session;
use crate::session::refusal::ResourceName;
use crate::session::{self, Account, Context, DEFAULT_ACCOUNT};
use crate::store::{Place, Setting, StoreError, Versioned};
use crate::wire::{Protocol, password_of};

/// A tool that is being served.
pub(crate) struct Served<'p> {
    /// Under this name what it handed over is kept.
    pub(crate) name: &'static str,
    pub(crate) prepared: &'p Prepared<'p>,
    /// The settings with nobody to ask: a kept token, and a refresh, need nobody.
    pub(crate) unattended: &'p Settings,
}

/// A provider's answer for what a tool wants to reach.
pub(crate) struct MatchedAccount {
    pub(crate) found: Match,
    pub(crate) account: String,
}

impl MatchedAccount {
    /// By the first entry that fits.
    pub(crate) fn first(found: Match) -> Self {
        let account = label(found.account.as_deref());
        Self { found, account }
    }
}

/// Why there is no reply.
pub(crate) enum ServeError {
    Refused(Box<Refusal>),
    Failed(Error),
}

impl ServeError {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl<E: Into<Error>> From<E> for ServeError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ServeError> for Refusal {
    fn from(stop: ServeError) -> Self {
        match stop {
            ServeError::Refused(refusal) => *refusal,
            ServeError::Failed(error) => refusal(&error),
        }
    }
}

/// What stays when a request has been answered.
#[derive(Default)]
pub(crate) struct AfterReply<'p> {
    /// Who was asked for it: a tab may be waiting.
    pub(crate) asked: Option<Account<'p>>,
    /// What the question came to, where it would come to the same again.
    pub(crate) resolution: Option<Resolution>,
}

/// Serves one run of a tool's protocol. The tool has its reply before a waiting browser tab is
/// told how it ended. `question` says which requests may be answered as they were before.
pub(crate) fn serve<'e>(
    env: &'e Env,
    name: &'static str,
    protocol: &dyn Protocol,
    operation: Option<&OsString>,
    question: impl Fn(&Request) -> Option<Recall<'e>>,
    prepare: impl Fn(&Request) -> Result<Prepared<'e>, Error>,
    answer: impl for<'p> Fn(&Served<'p>, &Request, &mut AfterReply<'p>) -> Result<Reply, Refusal>,
) -> Result<ExitCode, Error> {
    let prepared = OnceCell::new();
    let unattended = OnceCell::new();
    let mut outcome = AfterReply::default();
    let mut recall = None;
    let mut answered = |request: &Request| -> Result<Reply, Refusal> {
        recall = question(request);
        let Want {
            token: _,
            fresh_for,
            refused,
        } = request.want;
        if let Some(recall) = &recall
            && let Some(recalled) = recall.credential(fresh_for, refused)
        {
            return Ok(Reply::Credential(recalled.credential));
        }
        let prepared = if let Some(prepared) = prepared.get() {
            prepared
        } else {
            let fresh = prepare(request).map_err(|error| refusal(&error))?;
            prepared.get_or_init(|| fresh)
        };
        let served = Served {
            name,
            prepared,
            unattended: unattended.get_or_init(|| Settings {
                interactive: Interactive::Never,
                ..prepared.config.settings.clone()
            }),
        };
        answer(&served, request, &mut outcome)
    };
    let args = operation.map_or(&[][..], std::slice::from_ref);
    let ended = answer::call(env, args, |call| protocol.serve(call, &mut answered));
    let AfterReply { asked, resolution } = &outcome;
    if let Some(account) = asked {
        account.tell_tab();
    }
    if let (Some(recall), Some(prepared), Some(resolution)) = (&recall, prepared.get(), resolution)
    {
        recall.remember(prepared, resolution);
    }
    ended
}

/// What a tool's command works with, where its request may rule out that anybody is asked.
pub(crate) fn prepared<'e>(
    env: &'e Env,
    common: &Common,
    asking: &Asking,
    nobody: bool,
) -> Result<Prepared<'e>, Error> {
    let asking = Asking {
        flow: asking.flow,
        interactive: match asking.interactive {
            None if nobody => Some(Interactive::Never),
            said => said,
        },
    };
    Prepared::new(env, common, Some(&asking))
}

impl<'p> Served<'p> {
    /// A token of who is opened, without asking anybody where that is possible. `what` names what
    /// it is for, and `resource` for what; who was asked stays in `asked`, for a tab may be
    /// waiting.
    pub(crate) fn token(
        &self,
        opened: &MatchedAccount,
        want: &Want,
        resource: &ResourceName,
        what: impl Fn(&Settings) -> String,
        nobody_may_be_asked: impl FnOnce() -> bool,
        asked: &mut Option<Account<'p>>,
    ) -> Result<Versioned<Session>, session::Error> {
        let unattended = self.unattended;
        let account = |settings| -> Result<_, session::Error> {
            let account = self.account(opened, settings, &what(settings))?;
            Ok(account.at(resource.clone()))
        };
        let first = asked.insert(account(unattended)?);
        match first.token(want) {
            Err(session::Error::SignInNeeded { .. }) if self.may_ask(nobody_may_be_asked)? => {
                let attended = &self.prepared.config.settings;
                asked.insert(account(attended)?).token(want)
            }
            other => other,
        }
    }

    /// Whether a person may be asked now. Where nothing is kept, each call would ask anew.
    fn may_ask(&self, nobody_may_be_asked: impl FnOnce() -> bool) -> Result<bool, session::Error> {
        if self.prepared.config.settings.interactive == Interactive::Never || nobody_may_be_asked()
        {
            return Ok(false);
        }
        if self.prepared.store.place()? == Place::None {
            return Err(StoreError::NotSaved.into());
        }
        Ok(true)
    }

    pub(crate) fn account(
        &self,
        opened: &MatchedAccount,
        settings: &'p Settings,
        what: &str,
    ) -> Result<Account<'p>, session::Error> {
        let MatchedAccount { found, account } = opened;
        let context = Context {
            settings,
            ..self.prepared.context()
        };
        let provider = found.provider.clone();
        let login = login_of(&provider, account);
        Ok(Account::new(context, provider, account, login)?.wanted_for(what))
    }

    /// The session of who is opened, as it is kept now.
    pub(crate) fn session(
        &self,
        opened: &MatchedAccount,
    ) -> Result<Option<Session>, session::Error> {
        let account = self.account(opened, self.unattended, "")?;
        Ok(account.served_session()?.map(|kept| kept.value))
    }

    /// The accounts of a provider that somebody has signed in to. What cannot be opened is
    /// nobody's.
    pub(crate) fn signed_in(&self, provider: &Provider) -> Result<Vec<String>, StoreError> {
        self.prepared.signed_in(provider)
    }

    /// What the tool handed over for a realm.
    pub(crate) fn kept(&self, realm: &str) -> StoredCredentials<'p> {
        StoredCredentials::new(&self.prepared.store, self.name, realm)
    }

    /// What it handed over for a realm and can use.
    pub(crate) fn find(
        &self,
        realm: &str,
        wanted: &StoredCredential,
        takes_authtype: bool,
    ) -> Result<Option<StoredCredential>, StoreError> {
        let now = crate::clock::now(self.prepared.env);
        self.kept(realm).find(wanted, takes_authtype, now)
    }

    /// Stores what the tool hands over. Where nothing is stored it says so, also where nothing is
    /// meant to be: the tool has just told the user nothing.
    pub(crate) fn keep(
        &self,
        realm: &str,
        handed: StoredCredential,
    ) -> Result<StoreOutcome, StoreError> {
        let kept = self.kept(realm).keep(handed)?;
        if kept == StoreOutcome::NowhereToStore {
            let why = if self.unattended.store == Setting::None {
                "the store is set to \"none\""
            } else {
                "no keyring was found"
            };
            self.prepared.terminal.warn(&format!(
                "the password for {realm} was not saved ({why}); to store passwords in a file that \
                 only you can read, set `store = \"file\"` in config.toml or HALLPASS_STORE=file"
            ));
        }
        Ok(kept)
    }
}

pub(crate) fn label(account: Option<&str>) -> String {
    account.unwrap_or(DEFAULT_ACCOUNT).to_owned()
}

/// Whether it names the session's token, or names none.
pub(crate) fn has_secret_of(credential: &StoredCredential, session: &Session) -> bool {
    let token = &session.tokens;
    let is_basic = credential
        .authtype
        .as_deref()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("Basic"));
    let of_basic = match &credential.credential {
        Some(pair) if is_basic => password_of(pair),
        Some(_) | None => None,
    };
    match (
        &credential.password,
        of_basic.as_ref().or(credential.credential.as_ref()),
    ) {
        (None, None) => true,
        (Some(secret), _) | (None, Some(secret)) => {
            *secret == token.access_token || Some(secret) == token.id_token.as_ref()
        }
    }
}
