//! Serves tools that ask for credentials of many resources: with a provider's token if the resource
//! has a provider, otherwise with the credentials that the tool stored.
//!
//! Only code that several tools share belongs here. No file is read before the tool's request has
//! been parsed.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::process::ExitCode;

use super::answer::{self, refusal};
use super::prepared::Prepared;
use super::recall::Recall;
use super::target::login_of;
use crate::arguments::{Asking, Common};
use crate::config::{Interactive, Settings};
use crate::credential::{Credential, Refusal, Reply, Request, StoredCredential, TokenKind, Want};
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
    /// Its credentials are stored under this name.
    pub(crate) name: &'static str,
    pub(crate) prepared: &'p Prepared<'p>,
    /// The settings with prompting disabled: a cached token or a refresh needs no person.
    pub(crate) unattended: &'p Settings,
}

/// The provider and the account for a resource.
pub(crate) struct MatchedAccount {
    pub(crate) found: Match,
    pub(crate) account: String,
}

impl MatchedAccount {
    /// The account of the first matching entry.
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
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Refused(refusal) => *refusal,
            ServeError::Failed(error) => refusal(&error),
        }
    }
}

/// The results of a request that are used after the reply.
#[derive(Default)]
pub(crate) struct AfterReply<'p> {
    /// The account that signed in: its browser tab may be waiting for the result.
    pub(crate) asked: Option<Account<'p>>,
    /// The resolution, if the same question always resolves to it.
    pub(crate) resolution: Option<Resolution>,
}

impl AfterReply<'_> {
    /// The credential from the session of the account that was asked. The same question always has this
    /// answer, unless [`Self::resolution`] is changed afterwards.
    pub(crate) fn credential(
        &mut self,
        session: Versioned<Session>,
        token: TokenKind,
        username: String,
        bearer: bool,
    ) -> Result<Credential, session::Error> {
        let credential = answer::credential_of(session, token, username.clone(), bearer)?;
        self.resolution = self.asked.as_ref().map(|account| Resolution {
            record: account.record().clone(),
            token,
            username,
            bearer,
            reply_style: String::new(),
            shadowed_by: None,
        });
        Ok(credential)
    }
}

/// Serves one run of a tool's protocol. The tool has its reply before a waiting browser tab is
/// told the result. `question` returns the question of a request whose answer may be remembered.
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
    let mut respond = |request: &Request| -> Result<Reply, Refusal> {
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
    let result = answer::call(env, args, |call| protocol.serve(call, &mut respond));
    let AfterReply { asked, resolution } = &outcome;
    if let Some(account) = asked {
        account.tell_tab();
    }
    if let (Some(recall), Some(prepared), Some(resolution)) = (&recall, prepared.get(), resolution)
    {
        recall.remember(prepared, resolution);
    }
    result
}

/// The configuration and the store for a tool's request. `is_unattended` disables prompts, unless the
/// command line enables them.
pub(crate) fn prepared<'e>(
    env: &'e Env,
    common: &Common,
    asking: &Asking,
    is_unattended: bool,
) -> Result<Prepared<'e>, Error> {
    let asking = Asking {
        flow: asking.flow,
        interactive: match asking.interactive {
            None if is_unattended => Some(Interactive::Never),
            given => given,
        },
    };
    Prepared::new(env, common, Some(&asking))
}

impl<'p> Served<'p> {
    /// A token of the matched account. A person is asked only if there is no other way. `what`
    /// describes the purpose for the sign-in prompt. `asked` keeps the account: its browser tab may
    /// still be waiting for the result.
    pub(crate) fn token(
        &self,
        matched: &MatchedAccount,
        want: &Want,
        resource: &ResourceName,
        what: impl Fn(&Settings) -> String,
        is_unattended: impl FnOnce() -> bool,
        asked: &mut Option<Account<'p>>,
    ) -> Result<Versioned<Session>, session::Error> {
        let unattended = self.unattended;
        let account = |settings| -> Result<_, session::Error> {
            let account = self.account(matched, settings, &what(settings))?;
            Ok(account.at(resource.clone()))
        };
        let first = asked.insert(account(unattended)?);
        match first.token(want) {
            Err(session::Error::SignInNeeded { .. }) if self.may_ask(is_unattended)? => {
                let attended = &self.prepared.config.settings;
                asked.insert(account(attended)?).token(want)
            }
            other => other,
        }
    }

    /// Whether a person may be asked now. If sessions aren't saved, each call would ask again, so that
    /// is an error.
    fn may_ask(&self, is_unattended: impl FnOnce() -> bool) -> Result<bool, session::Error> {
        if self.prepared.config.settings.interactive == Interactive::Never || is_unattended() {
            return Ok(false);
        }
        if self.prepared.store.place()? == Place::None {
            return Err(StoreError::NotSaved.into());
        }
        Ok(true)
    }

    pub(crate) fn account(
        &self,
        matched: &MatchedAccount,
        settings: &'p Settings,
        what: &str,
    ) -> Result<Account<'p>, session::Error> {
        let MatchedAccount { found, account } = matched;
        let context = Context {
            settings,
            ..self.prepared.context()
        };
        let provider = found.provider.clone();
        let login = login_of(&provider, account);
        Ok(Account::new(context, provider, account, login)?.wanted_for(what))
    }

    /// The stored session of the matched account.
    pub(crate) fn session(
        &self,
        matched: &MatchedAccount,
    ) -> Result<Option<Session>, session::Error> {
        let account = self.account(matched, self.unattended, "")?;
        Ok(account.served_session()?.map(|session| session.value))
    }

    /// The accounts of a provider that are signed in. A session that can't be decrypted is skipped.
    pub(crate) fn signed_in(&self, provider: &Provider) -> Result<Vec<String>, StoreError> {
        self.prepared.signed_in(provider)
    }

    /// The credentials that the tool stored for a realm.
    pub(crate) fn stored_credentials(&self, realm: &str) -> StoredCredentials<'p> {
        StoredCredentials::new(&self.prepared.store, self.name, realm)
    }

    /// A stored credential for a realm that the tool can use.
    pub(crate) fn find(
        &self,
        realm: &str,
        wanted: &StoredCredential,
        takes_authtype: bool,
    ) -> Result<Option<StoredCredential>, StoreError> {
        let now = crate::clock::now(self.prepared.env);
        self.stored_credentials(realm)
            .find(wanted, takes_authtype, now)
    }

    /// Stores a credential for the tool. Warns if it cannot be stored, even if the store is set to
    /// "none", because the tool itself doesn't tell the user.
    pub(crate) fn store(
        &self,
        realm: &str,
        credential: StoredCredential,
    ) -> Result<StoreOutcome, StoreError> {
        let outcome = self.stored_credentials(realm).keep(credential)?;
        if outcome == StoreOutcome::NowhereToStore {
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
        Ok(outcome)
    }
}

pub(crate) fn label(account: Option<&str>) -> String {
    account.unwrap_or(DEFAULT_ACCOUNT).to_owned()
}

/// Whether its secret is the session's token, or it has no secret.
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
