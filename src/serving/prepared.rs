//! The configuration, and the store that it selects.

use std::time::Duration;

use super::target::SelectedAccount;
use crate::arguments::{Asking, Common};
use crate::config::{Flags, Interactive};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Config;
use crate::provider::Provider;
use crate::session::record::{Identity, Session};
use crate::session::{Context, DEFAULT_ACCOUNT};
use crate::store::{self, Listed, Options, Place, Store, StoreError, UNATTENDED};
use crate::terminal::Terminal;

/// The configuration, the store that it selects, and the terminal.
pub(crate) struct Prepared<'a> {
    pub(crate) env: &'a Env,
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) terminal: Terminal,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(
        env: &'a Env,
        common: &Common,
        asking: Option<&Asking>,
    ) -> Result<Self, Error> {
        let flags = flags_of(common, asking);
        let config = Config::load(env, &flags)?;
        let settings = &config.settings;
        let terminal = Terminal::new(settings.verbose);
        for warning in &config.warnings {
            terminal.warn(warning);
        }
        let store = Store::new(Options {
            setting: settings.store,
            data_dir: store::data_dir(env)?,
            kernel_cache: settings.kernel_cache,
            keyring_wait: keyring_wait(settings.interactive, env, terminal),
            announce: keyring_announcement,
            container: store::in_container(env),
        });
        Ok(Self {
            env,
            config,
            store,
            terminal,
        })
    }

    /// For commands that never prompt, such as a doctor.
    pub(crate) fn unattended(env: &'a Env, common: &Common) -> Result<Self, Error> {
        let asking = Asking {
            interactive: Some(Interactive::Never),
            ..Asking::default()
        };
        Self::new(env, common, Some(&asking))
    }

    /// Looks for the key in every place, even if the configuration now names another one.
    pub(crate) fn wherever_the_key_is(mut self) -> Self {
        self.store = self.store.wherever_the_key_is();
        self
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            env: self.env,
            settings: &self.config.settings,
            store: &self.store,
            terminal: self.terminal,
        }
    }
}

impl Prepared<'_> {
    /// The accounts of a provider that are signed in. A session that can't be decrypted is skipped.
    pub(crate) fn signed_in(&self, provider: &Provider) -> Result<Vec<String>, StoreError> {
        let mut accounts = Vec::new();
        for Listed { name } in self.store.sessions()? {
            if let Ok(Some(session)) = self.store.read::<Session>(&name) {
                let Identity { account, .. } = &session.value.identity;
                if session.value.identity.is_at(provider) && !accounts.contains(account) {
                    accounts.push(account.clone());
                }
            }
        }
        Ok(accounts)
    }

    /// Checks an account that the command line names. Only `hallpass login` adds an account, so
    /// that a typo opens no browser.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAccount`]. If a session can't be decrypted now and may belong to that account,
    /// the store's error.
    pub(crate) fn require_known_account(&self, chosen: &SelectedAccount) -> Result<(), Error> {
        let SelectedAccount {
            provider,
            account,
            login,
            ..
        } = chosen;
        let mut known = vec![DEFAULT_ACCOUNT.to_owned()];
        known.extend(self.config.accounts_of(&provider.name).map(str::to_owned));
        // If sessions aren't saved, no account can be added.
        if known.contains(account) || self.store.place()? == Place::None {
            return Ok(());
        }
        known.extend(self.signed_in(provider)?);
        if known.contains(account) {
            return Ok(());
        }
        let client_id = provider.client_id()?;
        let own = Identity::new(provider, client_id, account).record_name();
        for Listed { name } in self.store.sessions()? {
            match self.store.read::<Session>(&name) {
                Ok(_) => (),
                // Another account's record that can't be read says nothing about this one.
                Err(
                    StoreError::Damaged { .. }
                    | StoreError::UnknownFormat { .. }
                    | StoreError::ForeignKey { .. },
                ) if name != own => (),
                Err(error) => return Err(error.into()),
            }
        }
        known.sort();
        known.dedup();
        Err(Error::UnknownAccount {
            provider: provider.name.clone(),
            account: account.clone(),
            known,
            login: login.this.clone(),
        })
    }
}

pub(crate) fn keyring_announcement() {
    Terminal::new(0).say(if cfg!(target_os = "macos") {
        // An unsigned program is another one after each update.
        "waiting for the Keychain… If macOS asks whether hallpass may use it, choose \"Always \
         Allow\". Unless hallpass is signed, macOS asks again after each update"
    } else {
        "waiting for the OS keyring to be unlocked…"
    });
}

/// The command line's layer of the configuration, which takes precedence over all others.
pub(crate) fn flags_of(common: &Common, asking: Option<&Asking>) -> Flags {
    Flags {
        store: common.store,
        interactive: asking.and_then(|asking| asking.interactive),
        flow: asking.and_then(|asking| asking.flow),
        verbose: (common.verbose > 0).then_some(common.verbose),
    }
}

/// How long to wait for the OS keyring: long enough to unlock it, if a person is present.
pub(crate) fn keyring_wait(interactive: Interactive, env: &Env, terminal: Terminal) -> Duration {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| env.var_unrecorded(name).is_some())
        || cfg!(any(target_os = "macos", windows));
    if interactive == Interactive::Never || !(has_screen || terminal.has_person()) {
        UNATTENDED
    } else {
        FOR_AN_UNLOCK
    }
}

const FOR_AN_UNLOCK: Duration = Duration::from_secs(60);
