//! Refreshing: the one place where a refresh token is sent (RFC 6749 §6, RFC 9700 §4.14.2).
//!
//! Under the record's lock, with the room for the answer reserved before the refresh token is
//! sent, and the answer stored before anybody sees it.

use time::OffsetDateTime;

use crate::credential::{Generation, TokenKind, Want};
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::{Checked, Jwks, Nonce};
use crate::oauth::token;
use crate::oauth::token::{RefreshRefusal, TokenError, TokenResponse, parse_token_response};
use crate::secret::Secret;
use crate::signals;
use crate::store::{Lock, LockKind, Reservation, StoreError, Versioned};

use super::account::Account;
use super::context::RESERVED;
use super::error::Error;
use super::metadata::endpoint;
use super::person::person_of;
use super::plan::is_refused;
use super::plan::{Plan, plan};
use super::record::{FailedCheck, NotNarrowed, Person, Session};
use super::refusal::Evidence;
use super::refusal::{Effect, Liveness, Refusals};
use super::send::{SentRefresh, lost};
use super::token_set::renewed;

/// Why a refresh brought nothing.
#[derive(Debug)]
pub(super) enum NotRefreshed {
    /// For good: only a person can help.
    Refused(RefreshRefusal, TokenError),
    /// The provider answered, and its response failed a check for the second time in a row.
    Unverified(Error),
    /// This time; it says nothing about the session.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotRefreshed {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Whose turn it is to refresh.
#[derive(Debug)]
enum Turn {
    Mine(Lock),
    /// Nobody's for now: this token is still valid.
    Served(Box<Versioned<Session>>),
}

/// Whether the provider may be asked for anything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'k> {
    /// Its keys are these, if they are known.
    Nothing(Option<&'k Jwks>),
    Provider,
}

/// Whose tokens these are, as far as the response says.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) checked: Option<Checked>,
    pub(super) person: Option<Person>,
}

/// Why that is not known.
#[derive(Debug)]
pub(super) enum NotKnown {
    /// The provider has to be asked.
    NotAsked,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotKnown {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Account<'_> {
    /// Refreshes under the record's lock; `None`: only a person can help.
    pub(super) fn refreshed(
        &self,
        want: &Want,
        evidence: Evidence,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let began = self.context.now();
        let lock = match self.turn(want, began)? {
            Turn::Mine(lock) => lock,
            Turn::Served(kept) => return Ok(Some(*kept)),
        };
        loop {
            let now = self.context.now();
            let Some(kept) = self.kept()? else {
                return Ok(None);
            };
            match plan(Some(&kept), want, now) {
                Plan::Use => return Ok(Some(kept)),
                Plan::Deny if evidence == Evidence::Refusal => {
                    return Err(self.denied(&kept, &lock));
                }
                Plan::Deny | Plan::Ask { .. } | Plan::Authorize { .. } | Plan::WaitForClock(..) => {
                    return Ok(None);
                }
                Plan::Refresh { with, .. } => {
                    let is_own = is_refused(&kept, want);
                    let is_stale = !kept.value.tokens.is_fresh(want.token, want.fresh_for, now);
                    let mut refusals = kept.value.refusals.clone();
                    let forced = is_own || refusals.wants_refresh(kept.generation, now);
                    if is_own && evidence == Evidence::Refusal {
                        refusals.note(self.refusal(kept.generation, Effect::Show));
                    }
                    if forced && !is_stale {
                        refusals.force(now);
                    }
                    // Another process may have failed while this one waited for the lock.
                    if let Some(failure) = self.last_failure(kept.generation)
                        && failure.holds_for(began, now)
                    {
                        return self.served_instead(want, failure.shared(now)).map(Some);
                    }
                    match self.refresh(&kept, with, refusals, &lock) {
                        Ok(fresh) => return Ok(Some(fresh)),
                        Err(NotRefreshed::Refused(refusal, fault)) => {
                            self.refresh_refusal.replace(Some(fault));
                            // Of an access token the provider will be asked. An ID token that
                            // was refused has no one who could vouch for it.
                            let is_dead = forced && want.token == TokenKind::Id;
                            let noted = self.note_refused_refresh(&kept, refusal, is_dead, &lock);
                            if let Err(error) = noted {
                                return self.served_instead(want, error).map(Some);
                            }
                        }
                        Err(NotRefreshed::Unverified(error)) => {
                            self.context.terminal.warn(&format!(
                                "what the provider sent cannot be trusted: {error}"
                            ));
                            let noted = self.note_refused_refresh(
                                &self.kept()?.unwrap_or(kept),
                                RefreshRefusal::Unspecific,
                                false,
                                &lock,
                            );
                            noted?;
                        }
                        Err(NotRefreshed::Failed(error)) => {
                            self.remember_failure(kept.generation, &error);
                            return self.served_instead(want, error).map(Some);
                        }
                    }
                }
            }
        }
    }

    /// Waits for the record's lock, unless no refresh is needed now: a valid token is served while
    /// another process refreshes, and a provider that has just failed is left alone for a while.
    fn turn(&self, want: &Want, began: OffsetDateTime) -> Result<Turn, Error> {
        let store = self.context.store;
        let kept = self.kept()?;
        let failure = kept
            .as_ref()
            .and_then(|kept| self.last_failure(kept.generation))
            .filter(|failure| failure.holds_for(began, began));
        if let Some(failure) = failure {
            return self
                .served_instead(want, failure.shared(began))
                .map(|kept| Turn::Served(Box::new(kept)));
        }
        if let Some(kept) = kept
            && plan(Some(&kept), want, began).may_serve()
        {
            return Ok(match store.try_lock(&self.name, LockKind::Record) {
                Ok(Some(lock)) => Turn::Mine(lock),
                Ok(None) | Err(_) => Turn::Served(Box::new(kept)),
            });
        }
        match store.lock(&self.name, LockKind::Record, self.context.record_deadline()) {
            Ok(lock) => Ok(Turn::Mine(lock)),
            Err(error) => self
                .served_instead(want, error.into())
                .map(|kept| Turn::Served(Box::new(kept))),
        }
    }

    /// Sends the refresh token once, and stores what comes back before anybody sees it.
    fn refresh(
        &self,
        kept: &Versioned<Session>,
        with: &Secret<String>,
        refusals: Refusals,
        lock: &Lock,
    ) -> Result<Versioned<Session>, NotRefreshed> {
        let Versioned {
            value: old,
            generation,
        } = kept;
        // All that can fail without the refresh token having been sent fails here.
        let metadata = self.documents().metadata()?;
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        let keys = match &old.tokens.id_token {
            // Keys that are missed only afterwards would cost what the answer brings.
            Some(_) => Some(self.documents().keys(&metadata, false)?),
            None => None,
        };
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;

        // Without a scope the server keeps what was granted (RFC 6749 §6).
        let request = token::refresh_request(
            &client,
            with,
            &[],
            &self.provider.resources,
            self.provider.audience.as_deref(),
        );
        // From here on the refresh token may be worth nothing, and its successor is nowhere but on
        // its way: the process must not end before that is stored. Both tries are bounded.
        let signals = signals::hold_back();
        let SentRefresh { response, was_lost } = self.send_refresh(endpoint, &request)?;
        let body = response.body.expose();
        let successor = token::rotated_refresh_token(response.status, body);
        let parsed = parse_token_response(response.status, body);
        let tokens = match parsed.map_err(|fault| fault.redact(&request)) {
            Ok(tokens) => tokens,
            Err(fault) => {
                if let Some(refusal) = RefreshRefusal::of(response.status, body, &fault) {
                    return Err(NotRefreshed::Refused(refusal, fault));
                }
                let mut error = Error::Token(fault);
                if was_lost && successor.is_none() {
                    error = lost(error);
                }
                let room = Some(reservation);
                return Err(self.unverified(
                    kept,
                    successor,
                    FailedCheck::Response,
                    error,
                    room,
                    lock,
                ));
            }
        };
        let now = self.context.now();
        let mut room = Some(reservation);
        let mut whose = self.whose(&metadata, &tokens, old, now, Ask::Nothing(keys.as_ref()));
        if let Err(NotKnown::NotAsked) = whose {
            // Whatever these requests bring, or however long they take: the successor is stored.
            if let Some(successor) = successor.clone() {
                self.store_unverified(
                    kept,
                    Some(successor),
                    FailedCheck::Person,
                    room.take(),
                    lock,
                )?;
            }
            drop(signals);
            whose = self.whose(&metadata, &tokens, old, now, Ask::Provider);
        }
        let Whose { checked, person } = match whose {
            Ok(whose) => whose,
            Err(NotKnown::NotAsked) => return Err(Error::NoIdToken.into()),
            Err(NotKnown::Failed(error)) => {
                return Err(self.unverified(
                    kept,
                    successor,
                    FailedCheck::Person,
                    error,
                    room,
                    lock,
                ));
            }
        };
        let unused = self.unused_id_token(checked.as_ref());
        let mut session = Session {
            tokens: renewed(&old.tokens, tokens, checked.as_ref(), unused, now),
            refusals,
            unverified: None,
            ..old.clone()
        };
        session.person = match (session.person.take(), person) {
            (Some(known), Some(later)) => Some(known.with_names_of(later)),
            (known, later) => known.or(later),
        };
        let has_lost_scopes = mark_lost_scopes(&mut session, old, now);
        let fresh = Versioned {
            value: session,
            generation: generation + 1,
        };
        self.check_not_signed_out(kept, &fresh.value)?;
        self.store_fresh(room, &fresh, lock);
        if has_lost_scopes {
            let fault = TokenError::LostScopes;
            return Err(NotRefreshed::Refused(RefreshRefusal::Unspecific, fault));
        }
        Ok(fresh)
    }

    /// Finds out whose tokens a refresh brought (OpenID Connect Core §12.2).
    pub(super) fn whose(
        &self,
        metadata: &Metadata,
        tokens: &TokenResponse,
        old: &Session,
        now: OffsetDateTime,
        ask: Ask<'_>,
    ) -> Result<Whose, NotKnown> {
        let nonce = old
            .nonce
            .as_ref()
            .map_or(Nonce::Unchecked, Nonce::SentAtSignIn);
        let checked = match ask {
            Ask::Nothing(keys) => self
                .id_token_checked_with(keys, tokens, nonce, now)
                .ok_or(NotKnown::NotAsked)??,
            Ask::Provider => self.checked_id_token(metadata, tokens, nonce, now)?,
        };
        let person = match (&checked, ask) {
            (Some(checked), _) => Some(person_of(&checked.claims)),
            // An ID token may be missing, but not after one that proved nothing.
            (None, _) if old.unverified != Some(FailedCheck::Person) => None,
            (None, Ask::Nothing(_)) => return Err(NotKnown::NotAsked),
            (None, Ask::Provider) => match (self.asked_who(metadata, tokens)?, &old.person) {
                (Some(person), Some(_)) => Some(person),
                (None, Some(pinned)) => {
                    return Err(NotKnown::Failed(Error::UnknownPerson {
                        pinned: pinned.shown().to_owned(),
                    }));
                }
                (_, None) => return Err(NotKnown::Failed(Error::NoIdToken)),
            },
        };
        if let (Some(person), Some(pinned)) = (&person, &old.person)
            && !pinned.is_same(person)
        {
            return Err(NotKnown::Failed(self.other_person(pinned, person)));
        }
        Ok(Whose { checked, person })
    }

    /// Stores the successor in a response that must not be served, and says what follows: a second
    /// one in a row leads to a sign-in.
    fn unverified(
        &self,
        kept: &Versioned<Session>,
        successor: Option<Secret<String>>,
        check: FailedCheck,
        error: Error,
        room: Option<Reservation>,
        lock: &Lock,
    ) -> NotRefreshed {
        let is_second = kept.value.unverified.is_some() && error.is_failed_check();
        if room.is_none() && !is_second {
            // It is stored already.
            return error.into();
        }
        if (successor.is_some() || is_second)
            && let Err(error) = self.store_unverified(kept, successor, check, room, lock)
        {
            return error;
        }
        if is_second {
            NotRefreshed::Unverified(error)
        } else {
            error.into()
        }
    }

    /// Replaces the refresh token and nothing else, and marks the record: nothing is served from it
    /// until a response passes the check that failed.
    fn store_unverified(
        &self,
        kept: &Versioned<Session>,
        successor: Option<Secret<String>>,
        check: FailedCheck,
        room: Option<Reservation>,
        lock: &Lock,
    ) -> Result<(), NotRefreshed> {
        let mut session = kept.value.clone();
        if successor.is_some() {
            session.tokens.refresh_token = successor;
        }
        session.unverified = session.unverified.max(Some(check));
        self.check_not_signed_out(kept, &session)?;
        if let Err(error) = self.stored_in(room, &session, kept.generation, lock) {
            self.context.terminal.warn(&format!(
                "the provider sent a new refresh token, which could not be stored: {error}"
            ));
        }
        Ok(())
    }

    /// A logout that could not wait for the refresh has removed the record: what the refresh
    /// brought must not outlive it.
    pub(super) fn check_not_signed_out(
        &self,
        kept: &Versioned<Session>,
        brought: &Session,
    ) -> Result<(), NotRefreshed> {
        if self.is_still_there(kept.generation) {
            return Ok(());
        }
        super::sign_out::revoke(&self.context, brought);
        Err(NotRefreshed::Failed(Error::SignedOutMeanwhile {
            login: self.login.this.clone(),
        }))
    }

    /// Stores what is about to be served. A failure is no reason not to serve it.
    pub(super) fn store_fresh(
        &self,
        room: Option<Reservation>,
        fresh: &Versioned<Session>,
        lock: &Lock,
    ) {
        if let Err(error) = self.stored_in(room, &fresh.value, fresh.generation, lock) {
            self.context.terminal.warn(&format!(
                "the new token is valid, but could not be stored: {error}"
            ));
        }
    }

    /// Stores in the room that was reserved, if it was not used yet.
    pub(super) fn stored_in(
        &self,
        room: Option<Reservation>,
        session: &Session,
        generation: Generation,
        lock: &Lock,
    ) -> Result<(), StoreError> {
        let room = match room {
            Some(room) => room,
            None => self.context.store.reserve(&self.name, RESERVED)?,
        };
        self.committed(room, session, generation, lock)
    }

    /// Stores what cannot be had again: where the first try fails, once more and from scratch.
    pub(super) fn committed(
        &self,
        reservation: Reservation,
        session: &Session,
        generation: Generation,
        _lock: &Lock,
    ) -> Result<(), StoreError> {
        reservation.commit(session, generation).or_else(|first| {
            self.context
                .store
                .reserve(&self.name, RESERVED)
                .and_then(|again| again.commit(session, generation))
                .map_err(|_| first)
        })
    }

    /// Whether nobody has removed or replaced this generation. A record that cannot be read now is
    /// not absent.
    fn is_still_there(&self, generation: Generation) -> bool {
        match self.kept() {
            Ok(kept) => kept.is_some_and(|kept| kept.generation == generation),
            Err(_) => true,
        }
    }

    /// After a failure that says nothing about the session: the old token, while it is valid.
    pub(super) fn served_instead(
        &self,
        want: &Want,
        error: Error,
    ) -> Result<Versioned<Session>, Error> {
        if let Some(kept) = self.kept()?
            && plan(Some(&kept), want, self.context.now()).may_serve()
        {
            self.context.terminal.explain(1, || {
                format!("the stored token is still valid and is served; refreshing failed: {error}")
            });
            return Ok(kept);
        }
        Err(error)
    }

    /// Notes that the provider refused the refresh token, if it is still the one that was sent, so
    /// that it is not sent again. The access token stays: it may be valid for a while.
    pub(super) fn note_refused_refresh(
        &self,
        sent: &Versioned<Session>,
        refusal: RefreshRefusal,
        is_dead: bool,
        _lock: &Lock,
    ) -> Result<(), Error> {
        let Some(mut kept) = self.kept()? else {
            return Ok(());
        };
        if kept.value.tokens.refresh_token != sent.value.tokens.refresh_token {
            return Ok(());
        }
        kept.value.tokens.refresh_refused = true;
        if refusal == RefreshRefusal::Dead {
            kept.value.tokens.refresh_token = None;
        }
        if is_dead && kept.generation == sent.generation {
            let now = self.context.now();
            let generation = kept.generation;
            kept.value.refusals.judge(generation, Liveness::Dead, now);
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;
        Ok(reservation.commit(&kept.value, kept.generation)?)
    }
}

/// Marks a session whose refresh brought fewer scopes than it had, after its refresh token was used
/// for fewer: its tokens are not what the user signed in for, and no refresh brings more.
fn mark_lost_scopes(session: &mut Session, old: &Session, now: OffsetDateTime) -> bool {
    let is_lost = |scope| !session.tokens.scopes.contains(scope);
    let has_lost = old.has_narrowed && old.tokens.scopes.iter().any(is_lost);
    if has_lost {
        session.not_narrowed = Some(NotNarrowed::ForGood);
        session.tokens.refresh_refused = true;
        session.tokens.expires_at = Some(now);
        session.tokens.id_token = None;
    }
    has_lost
}
