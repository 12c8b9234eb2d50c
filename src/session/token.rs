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
    /// The generation that a forced refresh replaces: none where it was refreshed by force a moment
    /// ago, for what that brought is what the caller wants.
    pub fn generation_to_force(&self) -> Result<Option<Generation>, Error> {
        let now = self.context.now();
        Ok(self
            .served_session()?
            .filter(|kept| {
                let refusals = &kept.value.refusals;
                // What the provider was asked about is still the same token.
                !refusals.has_forced(now) || refusals.verdict(kept.generation).is_some()
            })
            .map(|kept| kept.generation))
    }

    /// A token: kept, refreshed, or newly authorized.
    pub fn token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        match &self.whole {
            Some(whole) => self.narrower_token(whole, want),
            None => self.own_token(want),
        }
    }

    /// A token of the session that this account's record holds.
    pub(super) fn own_token(&self, want: &Want) -> Result<Versioned<Session>, Error> {
        let kept = self.kept()?;
        let planned = plan(kept.as_ref(), want, self.context.now());
        if planned != Plan::Use && want.token == TokenKind::Id && !self.provider.is_openid() {
            // Neither a refresh nor a person would bring one.
            return Err(Error::IdTokenNotAskedFor {
                provider: self.provider.name.clone(),
            });
        }
        match planned {
            Plan::Use => return self.admitted(kept.ok_or(Error::Vanished)?),
            Plan::Refresh { .. } => {
                // An old ID token may have ended with no refresh to renew it.
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
        // A refresh that the provider refused may have led here as well.
        let kept = self.kept()?;
        if let Plan::Ask { .. } | Plan::Deny = plan(kept.as_ref(), want, self.context.now())
            && let Some(kept) = self.asked(want, Evidence::Refusal)?
        {
            return self.admitted(kept);
        }
        self.authorized(want)
    }

    /// A token in place of one that *seems* to have been refused: one refresh by force, and
    /// nobody is asked. `None`: there is nothing to try, or nothing better than what is kept.
    ///
    /// It may as well be a tool that forgets what it is handed, so a failure here says nothing
    /// about the kept token, which goes on being served.
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
        let kept = self.kept()?.filter(|kept| kept.generation == suspect);
        match plan(kept.as_ref(), &want, self.context.now()) {
            Plan::Refresh { .. } => match self.refreshed(&want, Evidence::Suspicion)? {
                Some(fresh) => Ok(Some(fresh)),
                None => self.asked(&want, Evidence::Suspicion),
            },
            Plan::Ask { .. } => self.asked(&want, Evidence::Suspicion),
            Plan::Use | Plan::Deny | Plan::Authorize { .. } | Plan::WaitForClock(..) => Ok(None),
        }
    }
}

/// What `token` a reply carries; the plan made sure that it is there.
pub fn token_of(session: &Session, kind: TokenKind) -> Result<Secret<String>, Error> {
    session.tokens.token(kind).cloned().ok_or(Error::NoIdToken)
}
