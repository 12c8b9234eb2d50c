//! A question that was asked before is answered without being worked out again.
//!
//! Architecture invariant: nothing is decided here. What an answered question came to is
//! remembered with everything that decided it ([`crate::serving::resolution`]); if all of that is the same
//! to the byte, the same record is read, and its token is planned for as ever. Whatever else comes
//! up, an error or a stale token, is left to the ordinary way, which this one changes nothing of.

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

/// What a tool does with an answer beside handing it out; `None` leaves it to the ordinary way.
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
    /// `asked`: what the tool said beside the command line, as far as it decides.
    pub(crate) fn new<'w>(
        env: &'e Env,
        verb: &'w str,
        args: impl IntoIterator<Item = &'w std::ffi::OsString>,
        asked: impl IntoIterator<Item = Option<&'w [u8]>>,
    ) -> Self {
        let args = args.into_iter().map(|arg| Some(arg.as_encoded_bytes()));
        // Between the two lists stands what no argument can be.
        let words = [Some(verb.as_bytes())]
            .into_iter()
            .chain(args)
            .chain([None])
            .chain(asked);
        Self {
            env,
            question: Question::new(words),
            is_new: Cell::new(false),
            check: None,
        }
    }

    /// The same, for a tool that looks at each answer before it is handed out.
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
        // A file that cannot be used is replaced by one that can.
        let resolution = match data.remembered(self.question.slot(self.env)) {
            Ok(Some(remembered)) if self.is(remembered.question())? => {
                let answer = data.answer(&remembered).ok()?;
                answer.and_then(|answer| Resolution::read(&answer))
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
        let kept = data.read::<Session>(&record).ok()?;
        let now = crate::clock::now(self.env);
        let planned = plan(kept.as_ref(), &want, now);
        match (&planned, &kept) {
            (Plan::Use, _) => (),
            // A valid token does not wait for a refresh: one is under way, or the last one failed.
            (
                Plan::Refresh {
                    fallback: Some(_), ..
                },
                Some(kept),
            ) if data.is_locked(&record)
                || is_refresh_paused(&data, &record, kept.generation, now) => {}
            (
                Plan::Refresh { .. }
                | Plan::Ask { .. }
                | Plan::Deny
                | Plan::Authorize { .. }
                | Plan::WaitForClock(..),
                _,
            ) => return None,
        }
        let kept = kept?;
        // Which resource this is, the ordinary way knows.
        if kept.value.refusals.are_local(kept.generation, now) {
            return None;
        }
        let username = match reply_style.as_str() {
            answer::NAMED_AFTER_PERSON => answer::person_of(&kept.value),
            _ => username,
        };
        let credential = answer::credential_of(kept, token, username, bearer).ok()?;
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

    /// Whether the question is the one that was written; `None` where its files cannot be used.
    fn is(&self, written: &[u8]) -> Option<bool> {
        let mut unusable = false;
        let is = self.question.is(written, self.env, |were| {
            let Ok(sources) = Sources::read(self.env) else {
                unusable = true;
                return false;
            };
            were == sources.texts().map(|text| text.map(str::as_bytes))
        });
        (!unusable).then_some(is)
    }

    /// Remembers what the question came to. To be called when the tool has its reply; where it
    /// cannot be kept, the question will be worked out again.
    pub(crate) fn remember(&self, prepared: &Prepared<'_>, resolution: &Resolution) {
        let Prepared { config, store, .. } = prepared;
        // Whoever asked to be told gets the whole story each time.
        if !self.is_new.get() || config.settings.verbose > 0 {
            return;
        }
        let question = self.question.written(self.env, config.sources().texts());
        let slot = self.question.slot(self.env);
        let _ = store.remember(slot, &question, resolution.written());
    }
}
