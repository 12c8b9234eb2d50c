//! What a session does about a refused token: it notes who refused it, asks the provider whether
//! the token is valid where it cannot be refreshed, and tells a resource "no". The rules are in
//! [`super::refusal`] and [`super::plan`].

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
    /// A tool says that a token was refused, and nothing of the request that it came from. If it
    /// is the current one, the next request refreshes it; where it was refreshed just now, only
    /// the resource that refused it is told so.
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

    /// The next request for this resource forces a refresh. It is never told "no" for that.
    pub fn refresh_next_time(&self) -> Result<(), Error> {
        self.serving()?.noted_if(|_| true, |_| Effect::RefreshHere)
    }

    /// Forces the refresh that [`Self::refresh_next_time`] asked for. A failure is no reason to
    /// withhold the token.
    pub fn refreshed_as_noted(&self, token: TokenKind) -> Result<(), Error> {
        let Some(kept) = self.served_session()? else {
            return Ok(());
        };
        let refusals = &kept.value.refusals;
        let resource = self.resource_name().text;
        if !refusals.wants_refresh_here(&resource, kept.generation, self.context.now()) {
            return Ok(());
        }
        if let Err(error) = self.replaced(token, kept.generation) {
            self.context
                .terminal
                .explain(1, || format!("the token could not be refreshed: {error}"));
        }
        Ok(())
    }

    /// The session, unless this resource refused its token a moment ago.
    pub(super) fn admitted(&self, kept: Versioned<Session>) -> Result<Versioned<Session>, Error> {
        let resource = self.resource_name();
        let refusals = &kept.value.refusals;
        if refusals.denies(&resource.text, kept.generation, self.context.now()) {
            return Err(self.not_accepted(&kept.value));
        }
        Ok(kept)
    }

    /// The caller refused a token that is valid. That is remembered where the tool named what it
    /// wants; otherwise only the caller is told.
    pub(super) fn denied(&self, kept: &Versioned<Session>, lock: &Lock) -> Error {
        let error = self.not_accepted(&kept.value);
        let mut kept = kept.clone();
        let refusal = self.refusal(kept.generation, self.effect_of_no());
        kept.value.refusals.note(refusal);
        self.note(&kept, lock);
        error
    }

    /// Asks the provider whether a token that a resource refused is valid, once however many
    /// processes want to know. `None`: only a person can help.
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
        let Some(mut kept) = self.kept()? else {
            return Ok(None);
        };
        let now = self.context.now();
        if let Plan::Ask { .. } = plan(Some(&kept), want, now) {
            let liveness = match self.liveness(&kept.value) {
                Ok(liveness) => liveness,
                Err(error) => return self.served_instead(want, error).map(Some),
            };
            let generation = kept.generation;
            let refusals = &mut kept.value.refusals;
            refusals.force(now);
            refusals.judge(generation, liveness, now);
            self.note(&kept, &lock);
        }
        match plan(Some(&kept), want, now) {
            Plan::Use => Ok(Some(kept)),
            Plan::Deny if evidence == Evidence::Refusal => Err(self.denied(&kept, &lock)),
            Plan::Deny
            | Plan::Ask { .. }
            | Plan::Refresh { .. }
            | Plan::Authorize { .. }
            | Plan::WaitForClock(..) => Ok(None),
        }
    }

    /// What a refusal by the caller is remembered as.
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
        let is_it = |kept: &Versioned<Session>| is_it(&kept.value);
        if !self.kept()?.as_ref().is_some_and(is_it) {
            return Ok(());
        }
        let store = self.context.store;
        let lock = store.lock(&self.name, LockKind::Record, self.context.record_deadline())?;
        if let Some(mut kept) = self.kept()?.filter(is_it) {
            let refusal = self.refusal(kept.generation, effect(&kept.value));
            kept.value.refusals.note(refusal);
            self.note(&kept, &lock);
        }
        Ok(())
    }

    /// Stores what is known of refusals. That it could not be stored is no new error.
    fn note(&self, kept: &Versioned<Session>, _lock: &Lock) {
        let reserved = self.context.store.reserve(&self.name, RESERVED);
        let noted =
            reserved.and_then(|reservation| reservation.commit(&kept.value, kept.generation));
        if let Err(error) = noted {
            self.context
                .terminal
                .explain(1, || format!("the refusal could not be stored: {error}"));
        }
    }

    /// Whether the provider takes the access token, by its userinfo endpoint (OpenID Connect Core
    /// §5.3), its own endpoint of that kind, or by introspection (RFC 7662). An error says nothing
    /// about the token.
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

/// Whether the person was asked for this token already: a refused token of which the provider
/// cannot tell whether it is valid leads to one sign-in.
pub(super) fn is_repeated(last: &Attempt, kept: Option<&Versioned<Session>>) -> bool {
    let verdict = kept.and_then(|kept| kept.value.refusals.verdict(kept.generation));
    let failed = last
        .ended
        .as_ref()
        .is_some_and(|ended| !matches!(ended.outcome, Outcome::SignedIn | Outcome::Cancelled));
    failed
        && verdict.is_some_and(|verdict| {
            verdict.liveness == Liveness::Unknown && last.started_at >= verdict.at
        })
}

/// `is_for_userinfo`: a token without the scope `openid` says nothing there.
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

/// A server in trouble is no reason to open a browser.
fn unless_unavailable(status: u16) -> Result<Liveness, Error> {
    match status {
        408 | 429 | 500.. => Err(TokenError::Http { status }.into()),
        _ => Ok(Liveness::Unknown),
    }
}
