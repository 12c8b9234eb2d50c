//! Serves a request for fewer scopes than the sign-in requested: the session's refresh token gets a
//! token with just these scopes (RFC 6749 §6), which has its own record.
//!
//! The refresh token stays in the session's record. It is sent under that record's lock, and its
//! successor is stored there before the narrower token is stored or served.

use std::ops::ControlFlow;

use time::OffsetDateTime;

use crate::credential::{TokenKind, Want};
use crate::secret::Secret;
use crate::store::{Lock, LockKind, Versioned};

use super::account::Account;
use super::context::RESERVED;
use super::error::Error;
use super::metadata::endpoint;
use super::plan::is_refused;
use super::plan::{Plan, plan};
use super::record::{FailedCheck, NotNarrowed, Session, TokenSet};
use super::refresh::{Ask, NotKnown, NotRefreshed, Whose};
use super::refusal::Evidence;
use super::refusal::{Effect, Refusals};
use super::send::{RefreshAnswer, lost};
use super::token_set::{first_tokens, renewed};

/// It keeps a session alive and grants no access by itself.
const OFFLINE_ACCESS: &str = "offline_access";

/// The result of a request for fewer scopes.
enum Narrowed {
    Token(Box<Versioned<Session>>),
    /// The provider doesn't narrow tokens, or the session has no refresh token.
    Unsupported,
    /// The session has to be signed in or refreshed first.
    NeedsSession,
}

impl Account<'_> {
    /// The account whose record the tokens come from: this one, unless only the whole session is
    /// stored.
    pub(super) fn serving(&self) -> Result<&Self, Error> {
        Ok(match &self.whole {
            Some(whole) if self.stored()?.is_none() => whole,
            Some(_) | None => self,
        })
    }

    /// A token with this account's scopes, from a sign-in with those of `whole`.
    pub(super) fn narrower_token(
        &self,
        whole: &Self,
        want: &Want,
    ) -> Result<Versioned<Session>, Error> {
        self.is_served_whole.set(false);
        let now = self.context.now();
        let stored = self.stored()?;
        // A session that was signed in with these scopes alone stays independent.
        let is_independent = stored
            .as_ref()
            .is_some_and(|stored| stored.value.narrowed_from.is_none());
        match plan(stored.as_ref(), want, now) {
            Plan::Use => return self.admitted(stored.ok_or(Error::Vanished)?),
            planned if is_independent && planned.needs_person().is_none() => {
                return self.own_token(want);
            }
            Plan::Refresh { .. }
            | Plan::Authorize { .. }
            | Plan::Ask { .. }
            | Plan::Deny
            | Plan::WaitForClock(..) => (),
        }
        if self.only_lacks_offline_access(whole) {
            return self.whole_token(whole, want);
        }
        if want.token == TokenKind::Id && !self.provider.is_openid() {
            return Err(Error::NoOpenIdScope {
                provider: self.provider.name.clone(),
            });
        }
        for has_signed_in in [false, true] {
            match self.narrowed(whole, want, Evidence::Refusal)? {
                Narrowed::Token(stored) => return self.admitted(*stored),
                Narrowed::Unsupported if self.provider.takes_broader_token => {
                    return self.whole_token(whole, want);
                }
                Narrowed::Unsupported => return self.own_token(want),
                Narrowed::NeedsSession if has_signed_in => break,
                Narrowed::NeedsSession => {
                    // The refusal was about another record's token.
                    let refused = None;
                    whole.own_token(&Want { refused, ..*want })?;
                }
            }
        }
        Err(Error::Vanished)
    }

    /// A narrower token in place of one that seems to have been refused. Continues if the tokens
    /// are not narrower ones.
    pub(super) fn narrower_replaced(
        &self,
        want: &Want,
    ) -> Result<ControlFlow<Option<Versioned<Session>>>, Error> {
        let Some(whole) = &self.whole else {
            return Ok(ControlFlow::Continue(()));
        };
        let replaced = match self.stored()? {
            None => {
                self.is_served_whole.set(true);
                match want.refused {
                    Some(suspect) => whole.replaced(want.token, suspect)?,
                    None => None,
                }
            }
            Some(stored) if stored.value.narrowed_from.is_none() => {
                return Ok(ControlFlow::Continue(()));
            }
            Some(stored) if Some(stored.generation) != want.refused => None,
            Some(_) => match self.narrowed(whole, want, Evidence::Suspicion)? {
                Narrowed::Token(stored) => Some(*stored),
                Narrowed::Unsupported | Narrowed::NeedsSession => None,
            },
        };
        Ok(ControlFlow::Break(replaced))
    }

    fn whole_token(&self, whole: &Self, want: &Want) -> Result<Versioned<Session>, Error> {
        self.is_served_whole.set(true);
        whole.own_token(want)
    }

    fn only_lacks_offline_access(&self, whole: &Self) -> bool {
        let mut more = whole.provider.scopes.iter();
        more.all(|scope| scope == OFFLINE_ACCESS || self.provider.scopes.contains(scope))
    }

    /// Refreshes the session for this account's scopes, under the session's lock.
    fn narrowed(&self, whole: &Self, want: &Want, evidence: Evidence) -> Result<Narrowed, Error> {
        let store = self.context.store;
        let deadline = self.context.record_deadline();
        let token = |stored| Narrowed::Token(Box::new(stored));
        let instead = |error| self.served_instead(want, error).map(token);
        let lock = match store.lock(&whole.name, LockKind::Record, deadline) {
            Ok(lock) => lock,
            Err(error) => return instead(error.into()),
        };
        let now = self.context.now();
        let Some(session) = whole.stored()? else {
            return Ok(Narrowed::NeedsSession);
        };
        if session.value.unverified.is_some() {
            return Ok(Narrowed::NeedsSession);
        }
        let own = self.stored()?;
        if session.value.not_narrowed.is_some() {
            return Ok(Narrowed::Unsupported);
        }
        let Some(with) = session.value.tokens.usable_refresh_token() else {
            let is_fresh = plan(Some(&session), want, now) == Plan::Use;
            return Ok(if is_fresh {
                Narrowed::Unsupported
            } else {
                Narrowed::NeedsSession
            });
        };
        // The plan treats it like any other session, because its refresh token is available.
        let mut planned = own
            .clone()
            .unwrap_or_else(|| nothing_yet(&session.value, self, whole));
        planned.value.tokens.refresh_token = Some(with.clone());
        planned.value.tokens.refresh_refused = false;
        match plan(Some(&planned), want, now) {
            Plan::Use => Ok(own.map_or(Narrowed::NeedsSession, token)),
            Plan::Deny if evidence == Evidence::Refusal => {
                let own = own.ok_or(Error::Vanished)?;
                // Writing it requires its own record's lock.
                let own_lock = store.lock(&self.name, LockKind::Record, deadline)?;
                Err(self.denied(&own, &own_lock))
            }
            Plan::Refresh { .. } => {
                let is_stale = !planned
                    .value
                    .tokens
                    .is_fresh(want.token, want.fresh_for, now);
                let is_own = is_refused(&planned, want);
                let mut refusals = planned.value.refusals.clone();
                let forced = is_own || refusals.wants_refresh(planned.generation, now);
                if is_own && evidence == Evidence::Refusal {
                    refusals.note(self.refusal(planned.generation, Effect::Show));
                }
                if forced && !is_stale {
                    refusals.force(now);
                }
                match self.refreshed_narrower(whole, &session, with, &planned, refusals, &lock) {
                    Ok(narrowed) => Ok(narrowed),
                    Err(NotRefreshed::Refused(refusal, fault)) => {
                        whole.refresh_refusal.replace(Some(fault));
                        whole.note_refused_refresh(&session, refusal, false, &lock)?;
                        Ok(Narrowed::NeedsSession)
                    }
                    Err(NotRefreshed::Unverified(error) | NotRefreshed::Failed(error)) => {
                        instead(error)
                    }
                }
            }
            Plan::Deny | Plan::Ask { .. } | Plan::Authorize { .. } | Plan::WaitForClock(..) => {
                Ok(Narrowed::NeedsSession)
            }
        }
    }

    /// Sends the session's refresh token with fewer scopes, and stores what comes back.
    #[expect(
        clippy::too_many_lines,
        reason = "one request, and what each response means"
    )]
    fn refreshed_narrower(
        &self,
        whole: &Self,
        session: &Versioned<Session>,
        with: &Secret<String>,
        own: &Versioned<Session>,
        refusals: Refusals,
        lock: &Lock,
    ) -> Result<Narrowed, NotRefreshed> {
        // Everything that can fail before the refresh token is sent fails here.
        let metadata = self.documents().metadata()?;
        let secret = self.provider.client_secret()?;
        let client = self.client(&metadata, secret.as_ref());
        let endpoint = endpoint(metadata.token_endpoint.as_ref(), "token_endpoint")?;
        if self.provider.is_openid() {
            self.documents().keys(&metadata, false)?;
        }
        let store = self.context.store;
        let own_room = store.reserve(&self.name, RESERVED)?;
        let room = store.reserve(&whole.name, RESERVED)?;

        let mut scopes = self
            .provider
            .asked_scopes(metadata.scopes_supported.as_deref());
        let keeps_alive = |scope: &String| scope == OFFLINE_ACCESS;
        if whole.provider.scopes.iter().any(keeps_alive) && !scopes.iter().any(keeps_alive) {
            // Without it, some providers send no successor.
            scopes.push(OFFLINE_ACCESS.to_owned());
        }
        let RefreshAnswer {
            signals,
            successor,
            result,
        } = self.request_refresh(endpoint, &client, with, &scopes)?;
        let mut after = session.clone();
        if let Some(successor) = &successor {
            after.value.tokens.refresh_token = Some(successor.clone());
        }
        let tokens = match result {
            Ok(tokens) => tokens,
            Err(fault) if fault.error.code() == Some("invalid_scope") => {
                after.value.not_narrowed = Some(NotNarrowed::Refused);
                whole.check_not_signed_out(session, &after.value)?;
                whole.store_in(Some(room), &after.value, after.generation, lock)?;
                return Ok(Narrowed::Unsupported);
            }
            Err(fault) => {
                if let Some(refusal) = fault.refusal {
                    return Err(NotRefreshed::Refused(refusal, fault.error));
                }
                if successor.is_some() {
                    after.value.unverified = Some(FailedCheck::Response);
                    whole.check_not_signed_out(session, &after.value)?;
                    whole.store_in(Some(room), &after.value, after.generation, lock)?;
                    return Err(Error::Token(fault.error).into());
                }
                let error = Error::Token(fault.error);
                return Err(if fault.was_lost { lost(error) } else { error }.into());
            }
        };

        after.value.has_narrowed = true;
        // The successor first, because the token that was sent may be invalid now.
        let mut room = Some(room);
        if successor.is_some() {
            whole.check_not_signed_out(session, &after.value)?;
            let stored = whole.store_in(room.take(), &after.value, after.generation, lock);
            if let Err(error) = stored {
                self.context.terminal.warn(&format!(
                    "the provider sent a new refresh token, which could not be stored: {error}"
                ));
            }
        }
        drop(signals);
        let now = self.context.now();
        let found = self.whose(&metadata, &tokens, &session.value, now, Ask::Provider);
        let Whose { checked, .. } = match found {
            Ok(found) => found,
            Err(NotKnown::NotAsked) => return Err(Error::NoIdToken.into()),
            Err(NotKnown::Failed(error)) => {
                after.value.unverified = after.value.unverified.max(Some(FailedCheck::Person));
                whole.store_in(room, &after.value, after.generation, lock)?;
                return Err(error.into());
            }
        };
        let unused = self.unused_id_token(checked.as_ref());
        let has_more = tokens
            .scopes
            .as_ref()
            .is_some_and(|granted| granted.iter().any(|scope| !scopes.contains(scope)));
        if has_more {
            // It is the session's own token, as from an ordinary refresh.
            after.value.has_narrowed = session.value.has_narrowed;
            let old = &after.value.tokens;
            after.value.tokens = renewed(old, tokens, checked.as_ref(), unused, now);
            after.value.not_narrowed = Some(NotNarrowed::Ignored);
            after.generation += 1;
            whole.check_not_signed_out(session, &after.value)?;
            whole.store_in(room, &after.value, after.generation, lock)?;
            return Ok(Narrowed::Unsupported);
        }
        let mut narrow = first_tokens(tokens, checked.as_ref(), unused, &scopes, now);
        narrow.refresh_token = None;
        let fresh = Versioned {
            value: Session {
                identity: self.identity.clone(),
                tokens: narrow,
                refusals,
                unverified: None,
                narrowed_from: Some(whole.name.as_str().to_owned()),
                has_narrowed: false,
                not_narrowed: None,
                ..after.value
            },
            generation: own.generation + 1,
        };
        whole.check_not_signed_out(session, &fresh.value)?;
        self.store_fresh(Some(own_room), &fresh, lock);
        Ok(Narrowed::Token(Box::new(fresh)))
    }
}

/// The record of a narrower token that doesn't exist yet.
fn nothing_yet(session: &Session, own: &Account<'_>, whole: &Account<'_>) -> Versioned<Session> {
    Versioned {
        value: Session {
            identity: own.identity.clone(),
            tokens: TokenSet {
                access_token: Secret::new(String::new()),
                id_token: None,
                id_token_obtained_at: None,
                id_token_expires_at: None,
                unused_id_token: None,
                expires_at: Some(OffsetDateTime::UNIX_EPOCH),
                ..session.tokens.clone()
            },
            refusals: Refusals::default(),
            narrowed_from: Some(whole.name.as_str().to_owned()),
            ..session.clone()
        },
        generation: 0,
    }
}
