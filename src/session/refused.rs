//! Handles refused tokens: records who refused one, asks the provider whether a token that can't be
//! refreshed is valid, and denies it to a resource. The rules are in [`super::refusal`] and
//! [`super::plan`].

use crate::credential::{Generation, TokenKind, Want};
use crate::http::Response;
use crate::oauth::token::{TokenError, introspection_request};
use crate::report::printable;
use crate::store::{Lock, LockKind, Versioned};

use super::account::Account;
use super::attempt::{Attempt, Outcome};
use super::context::RESERVED;
use super::error::Error;
use super::error::NotAccepted;
use super::plan::{Plan, plan};
use super::record::Session;
use super::refusal::Evidence;
use super::refusal::{Effect, Liveness, Refusal, ResourceName};

impl Account<'_> {
    /// Records that a tool reported a refused token. If it is the current one, the next request
    /// refreshes it. If it was refreshed just now, only the resource that refused it is affected.
    pub fn refuse(&self, is_it: impl Fn(&Session) -> bool) -> Result<(), Error> {
        let account = self.serving()?;
        account.noted_if(is_it, |session| {
            let has_forced = session.refusals.has_forced(self.context.now());
            match (has_forced, self.resource_name().is_exact) {
                (false, _) => Effect::Refresh,
                (true, true) => Effect::Deny,
                (true, false) => Effect::Show,
            }
        })
    }

    /// Makes the next request for this resource force a refresh, without ever denying a token.
    pub fn refresh_next_time(&self) -> Result<(), Error> {
        self.serving()?.noted_if(|_| true, |_| Effect::RefreshHere)
    }

    /// Forces the refresh that [`Self::refresh_next_time`] requested. If it fails, the token is
    /// served anyway.
    pub fn refreshed_as_noted(&self, token: TokenKind) -> Result<(), Error> {
        let Some(stored) = self.served_session()? else {
            return Ok(());
        };
        let refusals = &stored.value.refusals;
        let resource = self.resource_name().text;
        if !refusals.wants_refresh_here(&resource, stored.generation, self.context.now()) {
            return Ok(());
        }
        if let Err(error) = self.replaced(token, stored.generation) {
            self.context
                .terminal
                .explain(1, || format!("the token could not be refreshed: {error}"));
        }
        Ok(())
    }

    /// The session, unless this resource refused its token a moment ago.
    pub(super) fn admitted(&self, stored: Versioned<Session>) -> Result<Versioned<Session>, Error> {
        let resource = self.resource_name();
        let refusals = &stored.value.refusals;
        if refusals.denies(&resource.text, stored.generation, self.context.now()) {
            return Err(self.not_accepted(&stored.value));
        }
        Ok(stored)
    }

    /// The caller refused a valid token. This is recorded if the tool named the resource; otherwise
    /// only the caller is told.
    pub(super) fn denied(&self, stored: &Versioned<Session>, lock: &Lock) -> Error {
        let error = self.not_accepted(&stored.value);
        let mut stored = stored.clone();
        let refusal = self.refusal(stored.generation, self.effect_of_no());
        stored.value.refusals.note(refusal);
        self.note(&stored, lock);
        error
    }

    /// Asks the provider whether a refused token is valid, once for all processes that need to
    /// know. `None` if the user has to sign in.
    pub(super) fn asked(
        &self,
        want: &Want,
        evidence: Evidence,
    ) -> Result<Option<Versioned<Session>>, Error> {
        let store = self.context.store;
        let lock = match store.lock(&self.name, LockKind::Record, self.context.record_deadline()) {
            Ok(lock) => lock,
            Err(error) => return self.served_instead(want, error.into()).map(Some),
        };
        let Some(mut stored) = self.stored()? else {
            return Ok(None);
        };
        let now = self.context.now();
        if let Plan::Ask { .. } = plan(Some(&stored), want, now) {
            let liveness = match self.liveness(&stored.value) {
                Ok(liveness) => liveness,
                Err(error) => return self.served_instead(want, error).map(Some),
            };
            let generation = stored.generation;
            let refusals = &mut stored.value.refusals;
            refusals.force(now);
            refusals.judge(generation, liveness, now);
            self.note(&stored, &lock);
        }
        match plan(Some(&stored), want, now) {
            Plan::Use => Ok(Some(stored)),
            Plan::Deny if evidence == Evidence::Refusal => Err(self.denied(&stored, &lock)),
            Plan::Deny
            | Plan::Ask { .. }
            | Plan::Refresh { .. }
            | Plan::Authorize { .. }
            | Plan::WaitForClock(..) => Ok(None),
        }
    }

    /// The record of the caller's refusal.
    pub(super) fn refusal(&self, generation: Generation, effect: Effect) -> Refusal {
        let ResourceName { text, is_exact } = self.resource_name();
        Refusal {
            resource: text,
            is_exact,
            generation,
            at: self.context.now(),
            effect,
        }
    }

    fn effect_of_no(&self) -> Effect {
        if self.resource_name().is_exact {
            Effect::Deny
        } else {
            Effect::Show
        }
    }

    fn resource_name(&self) -> ResourceName {
        self.resource.clone().unwrap_or_else(|| ResourceName {
            text: self.wanted_for.clone().unwrap_or_default(),
            is_exact: false,
        })
    }

    pub(super) fn not_accepted(&self, session: &Session) -> Error {
        let resource = self.resource_name();
        Error::NotAccepted(Box::new(NotAccepted {
            by: resource.is_exact.then(|| printable(&resource.text)),
            account: self.identity.account.clone(),
            scopes: session.tokens.scopes.clone(),
            login: self.login.this.clone(),
        }))
    }

    fn noted_if(
        &self,
        is_it: impl Fn(&Session) -> bool,
        effect: impl Fn(&Session) -> Effect,
    ) -> Result<(), Error> {
        let is_it = |stored: &Versioned<Session>| is_it(&stored.value);
        if !self.stored()?.as_ref().is_some_and(is_it) {
            return Ok(());
        }
        let store = self.context.store;
        let lock = store.lock(&self.name, LockKind::Record, self.context.record_deadline())?;
        if let Some(mut stored) = self.stored()?.filter(is_it) {
            let refusal = self.refusal(stored.generation, effect(&stored.value));
            stored.value.refusals.note(refusal);
            self.note(&stored, &lock);
        }
        Ok(())
    }

    /// Stores the refusals. A failure to store them is not an error.
    fn note(&self, stored: &Versioned<Session>, _lock: &Lock) {
        let reserved = self.context.store.reserve(&self.name, RESERVED);
        let noted =
            reserved.and_then(|reservation| reservation.commit(&stored.value, stored.generation));
        if let Err(error) = noted {
            self.context
                .terminal
                .explain(1, || format!("the refusal could not be stored: {error}"));
        }
    }

    /// Whether the provider accepts the access token: at its userinfo endpoint (OpenID Connect Core
    /// §5.3), its own equivalent, or by introspection (RFC 7662). An error says nothing about the
    /// token.
    fn liveness(&self, session: &Session) -> Result<Liveness, Error> {
        let metadata = self.documents().metadata()?;
        let token = &session.tokens.access_token;
        let rule = self.provider.identity.as_ref();
        let userinfo = rule.map_or(metadata.userinfo_endpoint.as_ref(), |rule| Some(&rule.url));
        if let Some(url) = userinfo {
            let response = self.http.get(url, Some(token))?;
            let is_for_userinfo =
                rule.is_some() || session.tokens.scopes.iter().any(|scope| scope == "openid");
            match by_userinfo(&response, is_for_userinfo)? {
                Liveness::Unknown => (),
                known @ (Liveness::Alive | Liveness::Dead) => return Ok(known),
            }
        }
        let Some(url) = &metadata.introspection_endpoint else {
            return Ok(Liveness::Unknown);
        };
        let secret = self.provider.client_secret()?;
        let request = introspection_request(&self.client(&metadata, secret.as_ref()), token);
        by_introspection(&self.posted(url, &request)?)
    }
}

/// Whether the user has already signed in because of this token. If the provider can't tell whether
/// a refused token is valid, the refusal causes a single sign-in.
pub(super) fn is_repeated(last: &Attempt, stored: Option<&Versioned<Session>>) -> bool {
    let verdict = stored.and_then(|stored| stored.value.refusals.verdict(stored.generation));
    let failed = last
        .ended
        .as_ref()
        .is_some_and(|ended| !matches!(ended.outcome, Outcome::SignedIn | Outcome::Cancelled));
    failed
        && verdict.is_some_and(|verdict| {
            verdict.liveness == Liveness::Unknown && last.started_at >= verdict.at
        })
}

/// `is_for_userinfo`: a token without the scope `openid` can't be checked there.
fn by_userinfo(response: &Response, is_for_userinfo: bool) -> Result<Liveness, Error> {
    match response.status {
        200 if is_object(response) => Ok(Liveness::Alive),
        401 if is_for_userinfo => Ok(Liveness::Dead),
        status => unless_unavailable(status),
    }
}

fn by_introspection(response: &Response) -> Result<Liveness, Error> {
    let body = serde_json::from_slice::<serde_json::Value>(response.body.expose());
    let active = body.ok().and_then(|body| body.get("active")?.as_bool());
    match (response.status, active) {
        (200, Some(true)) => Ok(Liveness::Alive),
        (200, Some(false)) => Ok(Liveness::Dead),
        (status, _) => unless_unavailable(status),
    }
}

fn is_object(response: &Response) -> bool {
    let body = serde_json::from_slice::<serde_json::Value>(response.body.expose());
    body.is_ok_and(|body| body.is_object())
}

/// A failing server is no reason to open a browser.
fn unless_unavailable(status: u16) -> Result<Liveness, Error> {
    match status {
        408 | 429 | 500.. => Err(TokenError::Http { status }.into()),
        _ => Ok(Liveness::Unknown),
    }
}
