//! A token for a tool: cached, refreshed or newly authorized, as the plan says.

use std::ops::ControlFlow;

use time::Duration;

use super::account::Account;
use super::error::Error;
use super::plan::{Plan, plan};
use super::record::Session;
use super::refusal::Evidence;
use crate::credential::{Generation, TokenKind, Want};
use crate::secret::Secret;
use crate::store::Versioned;

impl Account<'_> {
    /// The generation that a forced refresh replaces. `None` if there was a forced refresh just
    /// now, because its token is what the caller wants.
    pub fn generation_to_force(&self) -> Result<Option<Generation>, Error> {
        let now = self.context.now();
        Ok(self
            .served_session()?
            .filter(|stored| {
                let refusals = &stored.value.refusals;
                // If the provider was asked about it, the token is still the same one.
                !refusals.has_forced(now) || refusals.verdict(stored.generation).is_some()
            })
            .map(|stored| stored.generation))
    }

    /// A token: cached, refreshed or newly authorized.
    pub fn token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        match &self.whole {
            Some(whole) => self.narrower_token(whole, want),
            None => self.own_token(want),
        }
    }

    /// A token of the session in this account's own record.
    pub(super) fn own_token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        let stored = self.stored()?;
        let planned = plan(stored.as_ref(), want, self.context.now());
        if planned != Plan::Use && want.token == TokenKind::Id && !self.provider.is_openid() {
            // Neither a refresh nor a sign-in would bring one.
            return Err(Error::NoOpenIdScope {
                provider: self.provider.name.clone(),
            });
        }
        match planned {
            Plan::Use => return self.admitted(stored.ok_or(Error::Vanished)?),
            Plan::Refresh { .. } => {
                // The ID token may have expired, and the refresh brought no new one.
                let is_served = |fresh: &Versioned<Session>| {
                    let tokens = &fresh.value.tokens;
                    !tokens.is_left_behind(want.token)
                        || tokens.is_valid(want.token, self.context.now())
                };
                let fresh = self.refreshed(want, Evidence::Refusal)?;
                if let Some(fresh) = &fresh
                    && !is_served(fresh)
                    && let Some(unused) = fresh.value.tokens.untimely_id_token(self.context.now())
                {
                    return Err(Error::untimely(unused));
                }
                if let Some(fresh) = fresh.filter(is_served) {
                    return self.admitted(fresh);
                }
            }
            Plan::WaitForClock(unused, fault) => return Err(Error::untimely((unused, fault))),
            Plan::Ask { .. } | Plan::Deny | Plan::Authorize { .. } => (),
        }
        // The provider may also have refused to refresh.
        let stored = self.stored()?;
        if let Plan::Ask { .. } | Plan::Deny = plan(stored.as_ref(), want, self.context.now())
            && let Some(stored) = self.asked(want, Evidence::Refusal)?
        {
            return self.admitted(stored);
        }
        self.authorized(want)
    }

    /// A token in place of one that *seems* to have been refused: forces one refresh, and never
    /// prompts the user. `None` if there is nothing to try, or nothing better than the stored
    /// token.
    ///
    /// The tool may simply forget its tokens, so a failure here says nothing about the stored
    /// token, which is still served.
    pub fn replaced(
        &self,
        token: TokenKind,
        suspect: Generation,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let want = Want {
            token,
            fresh_for: Duration::ZERO,
            refused: Some(suspect),
        };
        if let ControlFlow::Break(replaced) = self.narrower_replaced(&want)? {
            return Ok(replaced);
        }
        let stored = self.stored()?.filter(|stored| stored.generation == suspect);
        match plan(stored.as_ref(), &want, self.context.now()) {
            Plan::Refresh { .. } => match self.refreshed(&want, Evidence::Suspicion)? {
                Some(fresh) => Ok(Some(fresh)),
                None => self.asked(&want, Evidence::Suspicion),
            },
            Plan::Ask { .. } => self.asked(&want, Evidence::Suspicion),
            Plan::Use | Plan::Deny | Plan::Authorize { .. } | Plan::WaitForClock(..) => Ok(None),
        }
    }
}

/// The token for a reply. The plan guarantees that it exists.
pub fn token_of(session: &Session, kind: TokenKind) -> Result<Secret<String>, Error> {
    session.tokens.token(kind).cloned().ok_or(Error::NoIdToken)
}
