//! The process that signs in: hallpass starts it, users don't. See `session::detached`.

use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Report;
use crate::serving::prepared::keyring_announcement;
use crate::session::detached::{Ended, Hub, Job, Process};
use crate::session::record::Session;
use crate::session::{self, Account, Context};
use crate::store::{self, Lock, Options, Store};
use crate::terminal::{self, Terminal};

pub(super) fn run(env: &Env) -> Result<ExitCode, Error> {
    let usage = || Error::Usage("hallpass starts this process by itself".to_owned());
    let process = Process::take_over().map_err(|_| usage())?;
    let process = process.ok_or_else(usage)?;
    // From here on only callers get reports: the process has no streams any more.
    if let Ok(Some((job, lock, hub))) = process.job() {
        terminal::address(hub);
        if let Err(error) = sign_in(env, &job, lock, hub) {
            hub.end(&Ended {
                report: Some(error.report()),
                unstored: None,
                was_shown: false,
            });
        }
        hub.wait_until_told();
    }
    Ok(ExitCode::SUCCESS)
}

fn sign_in(env: &Env, job: &Job, lock: Lock, hub: &'static Hub) -> Result<(), Error> {
    let Job {
        provider,
        account,
        login,
        wanted_for,
        wanted,
        proxy,
        settings,
        keyring_wait,
        is_asked_for,
    } = job;
    let options = Options {
        setting: settings.store,
        data_dir: store::data_dir(env)?,
        kernel_cache: settings.kernel_cache,
        keyring_wait: *keyring_wait,
        announce: keyring_announcement,
        container: store::in_container(env),
    };
    let store = Store::new(options.clone());
    let context = Context {
        env,
        settings,
        store: &store,
        // Each caller filters by its own verbosity.
        terminal: Terminal::new(u8::MAX),
    };
    let mut account = Account::new(context, provider.clone(), account, login.clone())?;
    if let Some(what) = wanted_for {
        account = account.wanted_for(what);
    }
    if let Some(proxy) = proxy {
        account = account.through(proxy.clone());
    }
    let account = account.for_callers(hub);
    let record = account.record().clone();
    let now = crate::clock::now(env);
    hub.on_cancel(move || session::cancelled(&Store::new(options), &record, now));
    let result = account.sign_in_detached(&lock, *wanted, *is_asked_for);
    // The result is final: Ctrl-C no longer cancels, and the next caller reads the stored session.
    hub.commit();
    let _ = store.remove_socket(account.record());
    drop(lock);
    let (report, unstored): (Option<Report>, Option<Box<Session>>) = match result {
        Ok(unstored) => (None, unstored),
        Err(error) => (Some(Error::from(error).report()), None),
    };
    hub.end(&Ended {
        report,
        unstored,
        was_shown: account.has_asked(),
    });
    account.tell_tab();
    Ok(())
}
