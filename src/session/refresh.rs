//! Refreshing: the one place where a refresh token is sent (RFC 6749 §6, RFC 9700 §4.14.2).
//!
//! It holds the record's lock, reserves space for the response before it sends the refresh token,
//! and stores the response before any process uses it.

use time::OffsetDateTime;

use crate::credential::{Generation, TokenKind, Want};
use crate::oauth::discovery::Metadata;
use crate::oauth::id_token::{Checked, Jwks, Nonce};
use crate::oauth::token::{RefreshRefusal, TokenError, TokenResponse};
use crate::secret::Secret;
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
use super::send::{RefreshAnswer, lost};
use super::token_set::renewed;

/// Why a refresh got no token.
#[derive(Debug)]
pub(super) enum NotRefreshed {
    /// Permanently: the user has to sign in.
    Refused(RefreshRefusal, TokenError),
    /// The provider answered, and its response failed a check for the second time in a row.
    Unverified(Error),
    /// Temporarily: it says nothing about the session.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotRefreshed {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Which process refreshes.
#[derive(Debug)]
enum Turn {
    Mine(Lock),
    /// None for now: this token is still valid.
    Served(Box<Versioned<Session>>),
}

/// Whether the provider may be asked for anything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'k> {
    /// These are its keys, if they are known.
    Nothing(Option<&'k Jwks>),
    Provider,
}

/// Who the tokens belong to, as far as the response tells.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) checked: Option<Checked>,
    pub(super) person: Option<Person>,
}

/// Why this is unknown.
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
    /// Refreshes while holding the record's lock. `None` if the user has to sign in.
    pub(super) fn refreshed(
        &self,
        want: &Want,
        evidence: Evidence,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let began = self.context.now();
        let lock = match self.turn(want, began)? {
            Turn::Mine(lock) => lock,
            Turn::Served(stored) => return Ok(Some(*stored)),
        };
        loop {
            let now = self.context.now();
            let Some(stored) = self.stored()? else {
                return Ok(None);
            };
            match plan(Some(&stored), want, now) {
                Plan::Use => return Ok(Some(stored)),
                Plan::Deny if evidence == Evidence::Refusal => {
                    return Err(self.denied(&stored, &lock));
                }
                Plan::Deny | Plan::Ask { .. } | Plan::Authorize { .. } | Plan::WaitForClock(..) => {
                    return Ok(None);
                }
                Plan::Refresh { with, .. } => {
                    let is_own = is_refused(&stored, want);
                    let is_stale = !stored
                        .value
                        .tokens
                        .is_fresh(want.token, want.fresh_for, now);
                    let mut refusals = stored.value.refusals.clone();
                    let forced = is_own || refusals.wants_refresh(stored.generation, now);
                    if is_own && evidence == Evidence::Refusal {
                        refusals.note(self.refusal(stored.generation, Effect::Show));
                    }
                    if forced && !is_stale {
                        refusals.force(now);
                    }
                    // Another process may have failed while this one waited for the lock.
                    if let Some(failure) = self.last_failure(stored.generation)
                        && failure.holds_for(began, now)
                    {
                        return self.served_instead(want, failure.shared(now)).map(Some);
                    }
                    match self.refresh(&stored, with, refusals, &lock) {
                        Ok(fresh) => return Ok(Some(fresh)),
                        Err(NotRefreshed::Refused(refusal, fault)) => {
                            self.refresh_refusal.replace(Some(fault));
                            // For an access token, the provider will be asked. A refused ID token
                            // can't be confirmed by anyone.
                            let is_dead = forced && want.token == TokenKind::Id;
                            let noted = self.note_refused_refresh(&stored, refusal, is_dead, &lock);
                            if let Err(error) = noted {
                                return self.served_instead(want, error).map(Some);
                            }
                        }
                        Err(NotRefreshed::Unverified(error)) => {
                            self.context.terminal.warn(&format!(
                                "the provider's response cannot be trusted: {error}"
                            ));
                            let noted = self.note_refused_refresh(
                                &self.stored()?.unwrap_or(stored),
                                RefreshRefusal::Unspecific,
                                false,
                                &lock,
                            );
                            noted?;
                        }
                        Err(NotRefreshed::Failed(error)) => {
                            self.remember_failure(stored.generation, &error);
                            return self.served_instead(want, error).map(Some);
                        }
                    }
                }
            }
        }
    }

    /// Waits for the record's lock, unless a valid token can be served while another process
    /// refreshes, or the provider has just failed.
    fn turn(&self, want: &Want, began: OffsetDateTime) -> Result<Turn, Error> {
        let store = self.context.store;
        let stored = self.stored()?;
        let failure = stored
            .as_ref()
            .and_then(|stored| self.last_failure(stored.generation))
            .filter(|failure| failure.holds_for(began, began));
        if let Some(failure) = failure {
            return self
                .served_instead(want, failure.shared(began))
                .map(|stored| Turn::Served(Box::new(stored)));
        }
        if let Some(stored) = stored
            && plan(Some(&stored), want, began).may_serve()
        {
            return Ok(match store.try_lock(&self.name, LockKind::Record) {
                Ok(Some(lock)) => Turn::Mine(lock),
                Ok(None) | Err(_) => Turn::Served(Box::new(stored)),
            });
        }
        match store.lock(&self.name, LockKind::Record, self.context.record_deadline()) {
            Ok(lock) => Ok(Turn::Mine(lock)),
            Err(error) => self
                .served_instead(want, error.into())
                .map(|stored| Turn::Served(Box::new(stored))),
        }
    }

    /// Sends the refresh token once, and stores the response before any process uses it.
    fn refresh(
        &self,
        stored: &Versioned<Session>,
        with: &Secret<String>,
        refusals: Refusals,
        lock: &Lock,
    ) -> Result<Versioned<Session>, NotRefreshed> {
        let Versioned {
            value: old,
            generation,
        } = stored;
        // Everything that can fail before the refresh token is sent fails here.
        let metadata = self.documents().metadata()?;
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        let keys = match &old.tokens.id_token {
            // Fetch the keys first: if they were missing afterwards, the response would be lost.
            Some(_) => Some(self.documents().keys(&metadata, false)?),
            None => None,
        };
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;

        let RefreshAnswer {
            signals,
            successor,
            result,
        } = self.request_refresh(endpoint, &client, with, &[])?;
        let tokens = match result {
            Ok(tokens) => tokens,
            Err(fault) => {
                if let Some(refusal) = fault.refusal {
                    return Err(NotRefreshed::Refused(refusal, fault.error));
                }
                let mut error = Error::Token(fault.error);
                if fault.was_lost && successor.is_none() {
                    error = lost(error);
                }
                let room = Some(reservation);
                return Err(self.unverified(
                    stored,
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
            // The successor is stored whatever these requests return and however long they take.
            if let Some(successor) = successor.clone() {
                self.store_unverified(
                    stored,
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
                    stored,
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
        self.check_not_signed_out(stored, &fresh.value)?;
        self.store_fresh(room, &fresh, lock);
        if has_lost_scopes {
            let fault = TokenError::LostScopes;
            return Err(NotRefreshed::Refused(RefreshRefusal::Unspecific, fault));
        }
        Ok(fresh)
    }

    /// Finds out who refreshed tokens belong to (OpenID Connect Core §12.2).
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

    /// Stores the successor from a response that must not be served. A second such response in a
    /// row requires a sign-in.
    fn unverified(
        &self,
        stored: &Versioned<Session>,
        successor: Option<Secret<String>>,
        check: FailedCheck,
        error: Error,
        room: Option<Reservation>,
        lock: &Lock,
    ) -> NotRefreshed {
        let is_second = stored.value.unverified.is_some() && error.is_failed_check();
        if room.is_none() && !is_second {
            // It is stored already.
            return error.into();
        }
        if (successor.is_some() || is_second)
            && let Err(error) = self.store_unverified(stored, successor, check, room, lock)
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
        stored: &Versioned<Session>,
        successor: Option<Secret<String>>,
        check: FailedCheck,
        room: Option<Reservation>,
        lock: &Lock,
    ) -> Result<(), NotRefreshed> {
        let mut session = stored.value.clone();
        if successor.is_some() {
            session.tokens.refresh_token = successor;
        }
        session.unverified = session.unverified.max(Some(check));
        self.check_not_signed_out(stored, &session)?;
        if let Err(error) = self.store_in(room, &session, stored.generation, lock) {
            self.context.terminal.warn(&format!(
                "the provider sent a new refresh token, which could not be stored: {error}"
            ));
        }
        Ok(())
    }

    /// A logout that did not wait for the refresh has removed the record, so the new tokens must
    /// not outlive it.
    pub(super) fn check_not_signed_out(
        &self,
        stored: &Versioned<Session>,
        brought: &Session,
    ) -> Result<(), NotRefreshed> {
        if self.is_still_there(stored.generation) {
            return Ok(());
        }
        super::sign_out::revoke(&self.context, brought);
        Err(NotRefreshed::Failed(Error::SignedOutMeanwhile {
            login: self.login.this.clone(),
        }))
    }

    /// Stores a token that is about to be served. If that fails, the token is served anyway.
    pub(super) fn store_fresh(
        &self,
        room: Option<Reservation>,
        fresh: &Versioned<Session>,
        lock: &Lock,
    ) {
        if let Err(error) = self.store_in(room, &fresh.value, fresh.generation, lock) {
            self.context.terminal.warn(&format!(
                "the new token is valid, but could not be stored: {error}"
            ));
        }
    }

    /// Uses the reserved space, if it is still there.
    pub(super) fn store_in(
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

    /// Stores tokens that can't be obtained again. If the first try fails, it tries again from
    /// scratch.
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

    /// Whether this generation was neither removed nor replaced. An unreadable record doesn't count
    /// as removed.
    fn is_still_there(&self, generation: Generation) -> bool {
        match self.stored() {
            Ok(stored) => stored.is_some_and(|stored| stored.generation == generation),
            Err(_) => true,
        }
    }

    /// After a failure that says nothing about the session: the old token, while it is valid.
    pub(super) fn served_instead(
        &self,
        want: &Want,
        error: Error,
    ) -> Result<Versioned<Session>, Error> {
        if let Some(stored) = self.stored()?
            && plan(Some(&stored), want, self.context.now()).may_serve()
        {
            self.context.terminal.explain(1, || {
                format!("the stored token is still valid and is served; refreshing failed: {error}")
            });
            return Ok(stored);
        }
        Err(error)
    }

    /// Records that the provider refused the refresh token, if it is still the stored one, so that
    /// it is not sent again. The access token stays, because it may still be valid.
    pub(super) fn note_refused_refresh(
        &self,
        sent: &Versioned<Session>,
        refusal: RefreshRefusal,
        is_dead: bool,
        _lock: &Lock,
    ) -> Result<(), Error> {
        let Some(mut stored) = self.stored()? else {
            return Ok(());
        };
        if stored.value.tokens.refresh_token != sent.value.tokens.refresh_token {
            return Ok(());
        }
        stored.value.tokens.refresh_refused = true;
        if refusal == RefreshRefusal::Dead {
            stored.value.tokens.refresh_token = None;
        }
        if is_dead && stored.generation == sent.generation {
            let now = self.context.now();
            let generation = stored.generation;
            stored.value.refusals.judge(generation, Liveness::Dead, now);
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;
        Ok(reservation.commit(&stored.value, stored.generation)?)
    }
}

/// Marks a session that lost scopes after its refresh token was used for fewer: its tokens no
/// longer have what the user signed in for, and no refresh restores it.
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
