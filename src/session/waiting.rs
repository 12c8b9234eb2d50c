//! One sign-in for an account, however many processes need it: each starts it, attaches to the one
//! in progress, or waits for it, and shares its result.
//!
//! The record's lock is never held meanwhile.

use std::time::{Duration, Instant};

use super::account::Account;
use super::attempt::{Attempt, Outcome, Pause};
use super::context::PATIENCE;
#[cfg(unix)]
use super::detached::{self, Attached, Ended, Followed, Job};
use super::error::Error;
use super::plan::is_refused;
use super::plan::{Plan, Reason, plan};
use super::record::Session;
use super::refused;
use crate::config::{Flow, Interactive, Settings};
use crate::credential::Want;
use crate::grant::launch;
use crate::store::{Lock, LockKind, Place, Versioned};

/// How often in a row a waiting process starts a new sign-in after one crashed, because each may
/// have opened a tab.
const DEATHS: u32 = 2;

/// After this time, a process with the lock either accepts callers or signs in by itself.
const TO_BEGIN: Duration = Duration::from_millis(500);

/// Milliseconds between two checks, randomized so that waiting processes don't check at the same
/// time.
const PAUSE: std::ops::RangeInclusive<u64> = 5..=50;

/// What a process knows about the sign-in that it needs.
struct Waiter<'w> {
    /// The request; `None` for `hallpass login`.
    want: Option<&'w Want>,
    /// Why the stored token can't be used.
    reason: Reason,
    /// The stored token may be served if prompting is disabled.
    may_serve: bool,
    /// The last attempt at the time that this process started waiting.
    before: Option<Attempt>,
    deadline: Instant,
    /// The user has been told which sign-in it waits for.
    is_said: bool,
    /// Since when another process that accepts no callers has been signing in.
    since: Option<Instant>,
    /// Another process was signing in, and its result is still unknown.
    has_waited: bool,
}

impl Account<'_> {
    /// Signs the user in, or waits for the process that is already doing so.
    pub(super) fn authorized(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        let stored = self.stored()?;
        let (reason, may_serve) = match plan(stored.as_ref(), want, self.context.now()) {
            Plan::Use => return stored.ok_or(Error::Vanished),
            Plan::Authorize { reason, fallback } => (reason, fallback.is_some()),
            Plan::WaitForClock(unused, fault) => return Err(Error::untimely((unused, fault))),
            // There was a sign-in in the meantime, and its token is stale already.
            Plan::Refresh { fallback, .. } => (Reason::Expired, fallback.is_some()),
            Plan::Ask { fallback } => (Reason::Refused, fallback.is_some()),
            Plan::Deny => {
                return Err(
                    stored.map_or(Error::Vanished, |stored| self.not_accepted(&stored.value))
                );
            }
        };
        if let Err(nobody) = self.person(reason) {
            return match stored {
                Some(stored) if may_serve => Ok(stored),
                _ => Err(nobody),
            };
        }
        self.signed_in(Some(want), reason, may_serve)
    }

    /// Signs in regardless of what is stored and what happened before (`hallpass login`), or joins
    /// the sign-in in progress.
    pub fn sign_in(&self) -> Result<Versioned<Session>, Error> {
        if let Some(whole) = &self.whole {
            return whole.sign_in();
        }
        self.person(Reason::NotSignedIn)?;
        self.signed_in(None, Reason::NotSignedIn, false)
    }

    /// Checks whether the user can be prompted, before anything is prepared.
    fn person(&self, reason: Reason) -> Result<(), Error> {
        let needed_because = |why| self.sign_in_needed(reason, why);
        let Settings {
            interactive,
            flow,
            browser,
            ..
        } = self.context.settings;
        if *interactive == Interactive::Never {
            return Err(needed_because("prompting is disabled"));
        }
        // Choosing a flow explicitly means that the user will complete it.
        let is_asked_for = *flow == Flow::Device;
        let has_browser = launch::choose(self.context.env, browser.as_deref()).is_some();
        if is_asked_for || has_browser || self.context.terminal.has_person() {
            return Ok(());
        }
        Err(needed_because(
            "there is neither a browser nor a terminal to sign in with",
        ))
    }

    fn sign_in_needed(&self, reason: Reason, why: &'static str) -> Error {
        let mut login = self.login.this.clone();
        if self.context.settings.needs_interactive_flag {
            login.push_str(" --interactive auto");
        }
        Error::SignInNeeded {
            provider: self.provider.name.clone(),
            account: self.identity.account.clone(),
            reason,
            why,
            refusal: self.refresh_refusal.borrow().clone().map(Box::new),
            login,
        }
    }

    fn signed_in(
        &self,
        want: Option<&Want>,
        reason: Reason,
        may_serve: bool,
    ) -> Result<Versioned<Session>, Error> {
        let store = self.context.store;
        let mut waiter = Waiter {
            want,
            reason,
            may_serve,
            before: self.last_attempt()?,
            deadline: Instant::now() + self.context.settings.sign_in_timeout + PATIENCE,
            is_said: false,
            since: None,
            has_waited: false,
        };
        // If nothing is stored, a separate process could not pass on the tokens.
        let mut is_detached = cfg!(unix) && store.place()? != Place::None;
        loop {
            let Some(lock) = store.try_lock(&self.name, LockKind::Login)? else {
                if let Some(result) = self.joined(&mut waiter)? {
                    return result;
                }
                continue;
            };
            if let Some(result) = self.settled(&waiter)? {
                return result;
            }
            if !is_detached {
                return self.sign_in_alone(
                    &lock,
                    waiter.want.map(|want| want.token),
                    waiter.want.is_none(),
                );
            }
            if let Some(result) = self.started(lock, &mut waiter, &mut is_detached) {
                return result;
            }
        }
    }

    /// What to do with the lock, before signing in.
    fn settled(
        &self,
        waiter: &Waiter<'_>,
    ) -> Result<Option<Result<Versioned<Session>, Error>>, Error> {
        let last = self.last_attempt()?;
        let is_dead = |last: &Attempt| last.ended.is_none();
        if let Some(last) = last.as_ref().filter(|last| is_dead(last))
            && waiter.has_waited
            && last.died >= DEATHS
        {
            return Ok(Some(Err(Error::SignInCrashed {
                pid: last.pid,
                login: self.login.this.clone(),
            })));
        }
        let Some(want) = waiter.want else {
            return Ok(None);
        };
        let stored = self.stored()?;
        if plan(stored.as_ref(), want, self.context.now()) == Plan::Use {
            return Ok(Some(stored.ok_or(Error::Vanished)));
        }
        let Some(last) = last else {
            return Ok(None);
        };
        // An attempt that ended before this process started is not the one that it waited for. That
        // one left no record, because it failed before prompting the user.
        let is_older = waiter.before.as_ref() == Some(&last) && last.ended.is_some();
        if waiter.has_waited && !is_older && !is_dead(&last) {
            return Ok(self.shared_result(&last, stored, want));
        }
        if last.pause(self.context.now()).is_none() && refused::is_repeated(&last, stored.as_ref())
        {
            return Ok(Some(match stored {
                Some(stored) if waiter.may_serve => Ok(stored),
                _ => Err(self.sign_in_needed(waiter.reason, "the last sign-in failed")),
            }));
        }
        let login = self.login.this.clone();
        Ok(match last.pause(self.context.now()) {
            Some(Pause::Until(until)) => Some(Err(Error::CoolingDown {
                outcome: last.ended.map_or(Outcome::Failed, |ended| ended.outcome),
                seconds: (until - self.context.now()).whole_seconds(),
                login,
            })),
            Some(Pause::UntilAskedFor) => Some(Err(Error::NotAnswered { login })),
            None => None,
        })
    }

    /// Tells the user once which sign-in this process waits for.
    fn say_waiting(&self, waiter: &mut Waiter<'_>) -> Result<(), Error> {
        if waiter.is_said {
            return Ok(());
        }
        waiter.is_said = true;
        let who = self
            .last_attempt()?
            .filter(|attempt| attempt.ended.is_none())
            .map_or_else(String::new, |attempt| format!(" (process {})", attempt.pid));
        self.context.terminal.say(&format!(
            "waiting for another hallpass process{who} to sign in to {}",
            self.purpose()
        ));
        Ok(())
    }

    /// Joins the sign-in of the process with the lock. `None` to check again.
    fn joined(
        &self,
        waiter: &mut Waiter<'_>,
    ) -> Result<Option<Result<Versioned<Session>, Error>>, Error> {
        #[cfg(unix)]
        if let Some(attached) = detached::connect(self.context.store, &self.name)? {
            self.say_waiting(waiter)?;
            if let Some(result) = self.followed(attached, waiter) {
                return Ok(Some(result));
            }
        }
        // It signs in by itself, has just taken the lock, or is about to release it.
        if waiter.since.get_or_insert_with(Instant::now).elapsed() > TO_BEGIN {
            self.say_waiting(waiter)?;
        }
        let left = waiter.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The error names the process that holds the lock.
            let store = self.context.store;
            let lock: Lock = store.lock(&self.name, LockKind::Login, waiter.deadline)?;
            drop(lock);
            return Ok(None);
        }
        waiter.has_waited = true;
        std::thread::sleep(left.min(Duration::from_millis(rand::random_range(PAUSE))));
        Ok(None)
    }

    /// Starts a sign-in in its own process. `None` if it did not start, or crashed.
    #[cfg(unix)]
    fn started(
        &self,
        lock: Lock,
        waiter: &mut Waiter<'_>,
        is_detached: &mut bool,
    ) -> Option<Result<Versioned<Session>, Error>> {
        self.say_refusal();
        let context = &self.context;
        let followed = match detached::start(context.store, &self.name, lock, context.env) {
            Ok(attached) => self.followed_from_start(attached, waiter),
            Err(error) => Err(error.to_string()),
        };
        followed.unwrap_or_else(|why| {
            context.terminal.explain(1, || {
                format!("could not start a separate process for the sign-in: {why}")
            });
            *is_detached = false;
            None
        })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "the signature is that of the one above")]
    fn started(
        &self,
        _lock: Lock,
        _wait: &mut Waiter<'_>,
        is_detached: &mut bool,
    ) -> Option<Result<Versioned<Session>, Error>> {
        *is_detached = false;
        None
    }

    /// Like [`Self::followed`], but fails if the process did not start working.
    #[cfg(unix)]
    fn followed_from_start(
        &self,
        attached: Attached,
        waiter: &mut Waiter<'_>,
    ) -> Result<Option<Result<Versioned<Session>, Error>>, String> {
        let job = self.job(waiter);
        match attached.follow(&job, self.context.terminal, waiter.deadline) {
            Followed::Lost { was_heard: false } | Followed::Foreign => {
                Err(detached::NotStarted::Ended.to_string())
            }
            followed @ (Followed::Ended(_) | Followed::Lost { .. } | Followed::Late) => {
                Ok(self.result(followed, waiter))
            }
        }
    }

    /// Shows the messages of a sign-in's process until it ends. `None` if it crashed.
    #[cfg(unix)]
    fn followed(
        &self,
        attached: Attached,
        waiter: &mut Waiter<'_>,
    ) -> Option<Result<Versioned<Session>, Error>> {
        let job = self.job(waiter);
        let followed = attached.follow(&job, self.context.terminal, waiter.deadline);
        self.result(followed, waiter)
    }

    #[cfg(unix)]
    fn result(
        &self,
        followed: Followed,
        waiter: &mut Waiter<'_>,
    ) -> Option<Result<Versioned<Session>, Error>> {
        match followed {
            Followed::Ended(ended) => Some(self.ended(ended, waiter.want)),
            Followed::Lost { .. } | Followed::Foreign => {
                waiter.has_waited = true;
                None
            }
            Followed::Late => Some(Err(Error::TimedOut {
                login: self.login.this.clone(),
                sent: None,
            })),
        }
    }

    #[cfg(unix)]
    fn job(&self, waiter: &Waiter<'_>) -> Job {
        Job {
            provider: self.provider.clone(),
            account: self.identity.account.clone(),
            login: self.login.clone(),
            wanted_for: self.wanted_for.clone(),
            wanted: waiter.want.map(|want| want.token),
            proxy: self.proxy.clone(),
            settings: self.context.settings.clone(),
            keyring_wait: self.context.store.keyring_wait(),
            is_asked_for: waiter.want.is_none(),
        }
    }

    /// The result of another process's sign-in, for this process.
    #[cfg(unix)]
    fn ended(&self, ended: Ended, want: Option<&Want>) -> Result<Versioned<Session>, Error> {
        let Ended {
            report,
            unstored,
            was_shown,
        } = ended;
        self.was_shown.set(was_shown);
        let stored = match unstored {
            Some(session) => Some(Versioned {
                value: *session,
                generation: 1,
            }),
            None => self.stored()?,
        };
        if let Some(want) = want
            && let Some(stored) = stored.as_ref()
            && plan(Some(stored), want, self.context.now()) == Plan::Use
        {
            return Ok(stored.clone());
        }
        if let Some(report) = report {
            return Err(Error::Elsewhere(Box::new(report)));
        }
        let stored = stored.ok_or(Error::Vanished)?;
        match want {
            Some(want) => self.shared_session(stored, want),
            None => Ok(stored),
        }
    }

    /// A new session, for a process that waits for a token of it.
    fn shared_session(
        &self,
        stored: Versioned<Session>,
        want: &Want,
    ) -> Result<Versioned<Session>, Error> {
        let tokens = &stored.value.tokens;
        if tokens.token(want.token).is_none() {
            let unused = tokens.untimely_id_token(self.context.now());
            return Err(unused.map_or(Error::NoIdToken, Error::untimely));
        }
        if is_refused(&stored, want) {
            return Err(Error::Vanished);
        }
        Ok(stored)
    }

    /// The result of the sign-in that this process waited for, or its failure.
    fn shared_result(
        &self,
        last: &Attempt,
        stored: Option<Versioned<Session>>,
        want: &Want,
    ) -> Option<Result<Versioned<Session>, Error>> {
        let login = self.login.this.clone();
        let ended = last.ended.as_ref()?;
        Some(match ended.outcome {
            Outcome::SignedIn => stored
                .ok_or(Error::Vanished)
                .and_then(|stored| self.shared_session(stored, want)),
            Outcome::Declined => Err(Error::Declined { cause: None, login }),
            Outcome::TimedOut => Err(Error::TimedOut { login, sent: None }),
            Outcome::Failed | Outcome::NotOpened => Err(Error::OtherSignInFailed {
                message: ended.message.clone(),
                login,
            }),
            Outcome::Cancelled => return None,
        })
    }
}
