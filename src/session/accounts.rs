//! The accounts that are signed in at one provider, and which person each belongs to.

use super::account::Account;
use super::error::Error;
use super::login_line::DEFAULT_ACCOUNT;
use super::record::{Person, Session};
use crate::oauth::discovery::Metadata;
use crate::store::Listed;

impl Account<'_> {
    /// Whether the provider should show its account picker. Without it, the provider's cookie would
    /// sign in the same person again: under a second label, or after another person signed in by
    /// mistake.
    pub(super) fn wants_account_choice(&self, pinned: Option<&Person>) -> Result<bool, Error> {
        if self
            .last_attempt()?
            .is_some_and(|attempt| attempt.other_person)
        {
            return Ok(true);
        }
        if pinned.is_some() {
            return Ok(false);
        }
        let is_default = self.identity.account == DEFAULT_ACCOUNT;
        Ok(!is_default || !self.other_accounts()?.is_empty())
    }

    /// The `prompt` value for the account picker, if the configuration or the metadata has one.
    pub(super) fn account_prompt(&self, metadata: &Metadata) -> Option<&'static str> {
        const SELECT_ACCOUNT: &str = "select_account";
        let supported = metadata.prompt_values_supported.iter().flatten();
        self.provider.account_prompt.or_else(|| {
            let mut supported = supported;
            supported
                .any(|value| value == SELECT_ACCOUNT)
                .then_some(SELECT_ACCOUNT)
        })
    }

    /// Warns if the same person is already signed in under another label.
    pub(super) fn warn_of_same_person(&self, person: &Person) -> Result<(), Error> {
        let same = self
            .other_accounts()?
            .into_iter()
            .find(|(_, other)| other.as_ref().is_some_and(|other| other.is_same(person)));
        if let Some((other, _)) = same {
            let Self {
                identity, login, ..
            } = self;
            self.context.terminal.warn(&format!(
                "accounts {} and {other} are now the same person, {}. To use {} for another \
                 person, run `{}`, then `{}`, and choose the other account in the browser",
                identity.account,
                person.shown(),
                identity.account,
                login.logout(),
                login.this,
            ));
        }
        Ok(())
    }

    /// The other accounts of this provider that are signed in, and who they are.
    fn other_accounts(&self) -> Result<Vec<(String, Option<Person>)>, Error> {
        let mut accounts = self.signed_in_accounts()?;
        accounts.retain(|(account, _)| *account != self.identity.account);
        Ok(accounts)
    }

    /// The person who first signed in to this account, with any scopes.
    pub(super) fn pinned(&self) -> Result<Option<Person>, Error> {
        if let Some(person) = self.stored()?.and_then(|stored| stored.value.person) {
            return Ok(Some(person));
        }
        let accounts = self.signed_in_accounts()?.into_iter();
        let mut own = accounts.filter(|(account, _)| *account == self.identity.account);
        Ok(own.find_map(|(_, person)| person))
    }

    /// The account and the person of each session at this provider.
    fn signed_in_accounts(&self) -> Result<Vec<(String, Option<Person>)>, Error> {
        let mut accounts = Vec::new();
        for Listed { name } in self.context.store.sessions()? {
            // A record that can't be decrypted tells nothing about its account.
            let Ok(Some(stored)) = self.context.store.read::<Session>(&name) else {
                continue;
            };
            let Session {
                identity, person, ..
            } = stored.value;
            if identity.is_at(&self.provider) {
                accounts.push((identity.account, person));
            }
        }
        Ok(accounts)
    }
}
