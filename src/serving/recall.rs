//! Answers a repeated question without resolving it again.
//!
//! Architecture invariant: this module decides nothing. A resolution is stored with everything that
//! it depends on ([`crate::serving::resolution`]). If all of that is the same to the byte, the same
//! record is read, and its token is planned for as usual. In every other case, such as an error or a
//! stale token, the request takes the ordinary path, which doesn't depend on this module.

use std::cell::Cell;

use time::Duration;

use super::answer;
use super::prepared::Prepared;
use crate::config::Sources;
use crate::credential::{Credential, Generation, TokenKind, Want};
use crate::env::Env;
use crate::serving::resolution::{Question, Resolution};
use crate::session::failure::is_refresh_paused;
use crate::session::plan::{Plan, plan};
use crate::session::record::Session;
use crate::store::{self, AtHand, RecordName};

/// A question, and whether its resolution is worth remembering.
pub(crate) struct Recall<'e> {
    env: &'e Env,
    question: Question,
    is_new: Cell<bool>,
    check: Option<Box<Check<'e>>>,
}

/// A tool's check of an answer before it is given out; `None` sends the request down the ordinary path.
type Check<'e> = dyn Fn(Recalled) -> Option<Recalled> + 'e;

/// The answer of a remembered question.
pub(crate) struct Recalled {
    pub(crate) credential: Credential,
    pub(crate) record: RecordName,
    pub(crate) token: TokenKind,
    /// See [`Resolution::reply_style`].
    pub(crate) reply_style: String,
}

impl<'e> Recall<'e> {
    /// `request`: the parts of the tool's request that the answer depends on.
    pub(crate) fn new<'w>(
        env: &'e Env,
        verb: &'w str,
        args: impl IntoIterator<Item = &'w std::ffi::OsString>,
        request: impl IntoIterator<Item = Option<&'w [u8]>>,
    ) -> Self {
        let args = args.into_iter().map(|arg| Some(arg.as_encoded_bytes()));
        // `None` separates the two lists, because no argument can be that.
        let words = [Some(verb.as_bytes())]
            .into_iter()
            .chain(args)
            .chain([None])
            .chain(request);
        Self {
            env,
            question: Question::new(words),
            is_new: Cell::new(false),
            check: None,
        }
    }

    /// Adds a check that each answer has to pass.
    pub(crate) fn checked(mut self, check: impl Fn(Recalled) -> Option<Recalled> + 'e) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// The token, if the question was answered before and its token is still good.
    pub(crate) fn credential(
        &self,
        fresh_for: Duration,
        refused: Option<Generation>,
    ) -> Option<Recalled> {
        let folder = store::data_dir(self.env).ok()?;
        let Some(data) = AtHand::open(&folder).ok()? else {
            self.is_new.set(true);
            return None;
        };
        // A damaged file is replaced later.
        let resolution = match data.remembered(self.question.slot(self.env)) {
            Ok(Some(remembered)) if self.equals(remembered.question())? => {
                let answer = data.answer(&remembered).ok()?;
                answer.and_then(|answer| Resolution::decode(&answer))
            }
            Ok(_) | Err(_) => None,
        };
        let Some(resolution) = resolution else {
            self.is_new.set(true);
            return None;
        };
        let Resolution {
            record,
            token,
            username,
            bearer,
            reply_style,
            shadowed_by,
        } = resolution;
        if shadowed_by.is_some_and(|record| data.may_have(&record)) {
            return None;
        }
        let want = Want {
            token,
            fresh_for,
            refused,
        };
        let session = data.read::<Session>(&record).ok()?;
        let now = crate::clock::now(self.env);
        let planned = plan(session.as_ref(), &want, now);
        match (&planned, &session) {
            (Plan::Use, _) => (),
            // A valid token is used while another process refreshes it, or after a failed refresh.
            (
                Plan::Refresh {
                    fallback: Some(_), ..
                },
                Some(session),
            ) if data.is_locked(&record)
                || is_refresh_paused(&data, &record, session.generation, now) => {}
            (
                Plan::Refresh { .. }
                | Plan::Ask { .. }
                | Plan::Deny
                | Plan::Authorize { .. }
                | Plan::WaitForClock(..),
                _,
            ) => return None,
        }
        let session = session?;
        // Only the ordinary path knows which resource this is.
        if session.value.refusals.are_local(session.generation, now) {
            return None;
        }
        let username = match reply_style.as_str() {
            answer::NAMED_AFTER_PERSON => answer::person_of(&session.value),
            _ => username,
        };
        let credential = answer::credential_of(session, token, username, bearer).ok()?;
        let recalled = Recalled {
            credential,
            record,
            token,
            reply_style,
        };
        match &self.check {
            Some(check) => check(recalled),
            None => Some(recalled),
        }
    }

    /// Whether the question equals the stored one; `None` if the configuration files cannot be read.
    fn equals(&self, encoded: &[u8]) -> Option<bool> {
        let mut unusable = false;
        let is_equal = self.question.equals(encoded, self.env, |files| {
            let Ok(sources) = Sources::read(self.env) else {
                unusable = true;
                return false;
            };
            files == sources.texts().map(|text| text.map(str::as_bytes))
        });
        (!unusable).then_some(is_equal)
    }

    /// Remembers the resolution. Call this after the tool has its reply. If it cannot be stored, the
    /// next run resolves the question again.
    pub(crate) fn remember(&self, prepared: &Prepared<'_>, resolution: &Resolution) {
        let Prepared { config, store, .. } = prepared;
        // With `-v`, each run goes the ordinary path and prints its steps.
        if !self.is_new.get() || config.settings.verbose > 0 {
            return;
        }
        let question = self.question.encode(self.env, config.sources().texts());
        let slot = self.question.slot(self.env);
        let _ = store.remember(slot, &question, resolution.encode());
    }
}
