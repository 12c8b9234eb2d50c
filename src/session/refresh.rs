//! Refreshing: the one place where a refresh token is sent (RFC 6749 §6, RFC 9700 §4.14.2).
//!
//! Under the record's lock, with the room for the answer reserved before the refresh token is
//! sent, and the answer stored before anybody sees it.

use crate::credential::{Generation, Want};
use crate::oauth::id_token::Nonce;
use crate::oauth::token;
use crate::oauth::token::{RefreshRefusal, TokenError, parse_token_response};
use crate::secret::Secret;
use crate::store::{Kept, Lock, LockKind, Reservation, StoreError};

use super::plan::{Plan, plan};
use super::record::Session;
use super::{
    Account, Error, Evidence, RESERVED, endpoint, is_refused, person_of, renewed, was_forced_lately,
};

/// Why a refresh brought nothing.
#[derive(Debug)]
enum NotRefreshed {
    /// For good: only a person can help.
    Refused(RefreshRefusal, TokenError),
    /// This time; it says nothing about the session.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotRefreshed {
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
    ) -> Result<Option<Kept<Session>>, Error> {
        let store = self.context.store;
        let lock = match store.lock(&self.name, LockKind::Record, self.context.record_deadline()) {
            Ok(lock) => lock,
            Err(error) => return self.served_instead(want, error.into()).map(Some),
        };
        loop {
            let now = self.context.now();
            let Some(kept) = self.kept()? else {
                return Ok(None);
            };
            match plan(Some(&kept), want, now) {
                Plan::Use => return Ok(Some(kept)),
                Plan::Authorize { .. } | Plan::WaitForClock(..) => return Ok(None),
                Plan::Refresh { with, .. } => {
                    let forced = is_refused(&kept, want);
                    let is_certain = evidence == Evidence::Refusal;
                    if forced && !is_certain && was_forced_lately(&kept.value, now) {
                        return Ok(None);
                    }
                    if forced && was_forced_lately(&kept.value, now) {
                        self.remember_refusal(&kept, &lock);
                        return Err(Error::RefusedAgain {
                            login: self.login.this.clone(),
                        });
                    }
                    match self.refresh(&kept, with, forced, &lock) {
                        Ok(fresh) => return Ok(Some(fresh)),
                        Err(NotRefreshed::Refused(refusal, fault)) => {
                            self.refusal.replace(Some(fault));
                            let noted = self.note_refused_refresh(&kept, refusal, forced, &lock);
                            if let Err(error) = noted {
                                return self.served_instead(want, error).map(Some);
                            }
                        }
                        Err(NotRefreshed::Failed(error)) => {
                            if forced && is_certain {
                                self.remember_refusal(&kept, &lock);
                            }
                            return self.served_instead(want, error).map(Some);
                        }
                    }
                }
            }
        }
    }

    /// Sends the refresh token once, and stores what comes back before anybody sees it.
    fn refresh(
        &self,
        kept: &Kept<Session>,
        with: &Secret<String>,
        forced: bool,
        lock: &Lock,
    ) -> Result<Kept<Session>, NotRefreshed> {
        let Kept {
            value: old,
            generation,
        } = kept;
        // All that can fail without the refresh token having been sent fails here.
        let metadata = self.documents().metadata()?;
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        if old.tokens.id_token.is_some() {
            // Keys that are missed only afterwards would cost what the answer brings.
            self.documents().keys(&metadata, false)?;
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;

        // Without a scope the server keeps what was granted (RFC 6749 §6).
        let request = token::refresh_request(
            &client,
            with,
            &[],
            &self.provider.resources,
            self.provider.audience.as_deref(),
        );
        let response = self.posted(endpoint, &request)?;
        let parsed = parse_token_response(response.status, response.body.expose());
        let tokens = match parsed.map_err(|fault| fault.explained(&request)) {
            Ok(tokens) => tokens,
            Err(fault) => {
                let refusal = RefreshRefusal::of(response.status, response.body.expose(), &fault);
                return Err(match refusal {
                    Some(refusal) => NotRefreshed::Refused(refusal, fault),
                    None => Error::Token(fault).into(),
                });
            }
        };
        let now = self.context.now();
        let nonce = old
            .nonce
            .as_ref()
            .map_or(Nonce::Unchecked, Nonce::SentAtSignIn);
        let checked = match self.checked_id_token(&metadata, &tokens, nonce, now) {
            Ok(checked) => checked,
            Err(error) => {
                if error.may_be_the_providers() && self.is_still_there(*generation) {
                    keep_successor(kept, tokens.refresh_token, reservation);
                }
                return Err(error.into());
            }
        };
        let person = checked.as_ref().map(|checked| person_of(&checked.claims));
        if let (Some(person), Some(pinned)) = (&person, &old.person)
            && !pinned.is_same(person)
        {
            return Err(self.other_person(pinned, person).into());
        }
        let unused = self.unused_id_token(checked.as_ref());
        let mut session = Session {
            tokens: renewed(&old.tokens, tokens, checked.as_ref(), unused, now),
            forced_at: if forced { Some(now) } else { old.forced_at },
            refused: None,
            ..old.clone()
        };
        if session.person.is_none() {
            session.person = person;
        }
        let fresh = Kept {
            value: session,
            generation: generation + 1,
        };

        // A logout that could not wait for us has removed the record: what we got must not
        // outlive it.
        if !self.is_still_there(*generation) {
            drop(reservation);
            super::sign_out::revoke(&self.context, &fresh.value);
            return Err(NotRefreshed::Failed(Error::SignedOutMeanwhile {
                login: self.login.this.clone(),
            }));
        }
        if let Err(error) = self.committed(reservation, &fresh.value, fresh.generation, lock) {
            self.context.terminal.warn(&format!(
                "the new token is good, but could not be stored: {error}"
            ));
        }
        Ok(fresh)
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
    fn served_instead(&self, want: &Want, error: Error) -> Result<Kept<Session>, Error> {
        let now = self.context.now();
        if let Some(kept) = self.kept()?
            && !is_refused(&kept, want)
            && kept.value.tokens.is_valid(want.token, now)
        {
            self.context.terminal.explain(1, || {
                format!("the kept token is still valid and is answered; refreshing failed: {error}")
            });
            return Ok(kept);
        }
        Err(error)
    }

    /// Notes that the provider refused the refresh token, if it is still the one that was sent, so
    /// that it is not sent again. The access token stays: it may be valid for a while.
    fn note_refused_refresh(
        &self,
        sent: &Kept<Session>,
        refusal: RefreshRefusal,
        forced: bool,
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
        if forced && kept.generation == sent.generation {
            kept.value.refused = Some(kept.generation);
        }
        let reservation = self.context.store.reserve(&self.name, RESERVED)?;
        Ok(reservation.commit(&kept.value, kept.generation)?)
    }

    /// Marks a generation that was refused and could not be replaced, so that it is not served to
    /// the next one who asks either. A mark that cannot be written is no new error.
    pub(super) fn remember_refusal(&self, refused: &Kept<Session>, _lock: &Lock) {
        if refused.value.refused == Some(refused.generation) {
            return;
        }
        let marked = || {
            // Read again: the failed refresh may have kept a new refresh token.
            let kept = self.kept()?;
            let Some(mut kept) = kept.filter(|kept| kept.generation == refused.generation) else {
                return Ok(());
            };
            kept.value.refused = Some(kept.generation);
            let reservation = self.context.store.reserve(&self.name, RESERVED)?;
            Ok::<_, Error>(reservation.commit(&kept.value, kept.generation)?)
        };
        if let Err(error) = marked() {
            self.context
                .terminal
                .explain(1, || format!("the refusal could not be kept: {error}"));
        }
    }
}

/// Keeps the refresh token of an answer that could not be used otherwise: the one that was sent may
/// be worth nothing now. The access token stays what it was, and its generation too.
fn keep_successor(
    kept: &Kept<Session>,
    successor: Option<Secret<String>>,
    reservation: Reservation,
) {
    let Some(successor) = successor else { return };
    let mut session = kept.value.clone();
    session.tokens.refresh_token = Some(successor);
    // The error that led here is the one to tell.
    let _ = reservation.commit(&session, kept.generation);
}
