//! The provider's records: requests, issued codes and tokens, and violations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::behaviour::Endpoint;
use super::server::{Pairs, Request, Response};

/// One request as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) request: Request,
}

impl Seen {
    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        super::first(&self.request.form, name)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        super::first(&self.request.query, name)
    }
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) seen: Vec<Seen>,
    pub(super) violations: Vec<String>,
    pub(super) secrets: Vec<(&'static str, String)>,
    /// Authorization requests whose sign-in page is open, by the ID in the page's form.
    pub(super) open_requests: BTreeMap<String, Pairs>,
    pub(super) pushed_requests: BTreeMap<String, Pairs>,
    pub(super) codes: BTreeMap<String, Code>,
    pub(super) devices: Vec<Device>,
    pub(super) refresh_tokens: BTreeMap<String, RefreshToken>,
    pub(super) access_tokens: BTreeMap<String, AccessToken>,
    /// Revoked grants.
    pub(super) dead: BTreeSet<u64>,
    grants: u64,
}

/// The person and the authorization request. Revoking a grant revokes all of its tokens.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) id: u64,
    pub(super) person: String,
    /// The parameters of the authorization request.
    pub(super) asked: Pairs,
}

pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) used: bool,
}

#[expect(clippy::struct_field_names, reason = "the names of RFC 8628 §3.2")]
pub(super) struct Device {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) asked: Pairs,
    pub(super) decision: Decision,
}

pub(super) enum Decision {
    Pending,
    Approved { person: String },
    Declined,
}

pub(super) struct RefreshToken {
    pub(super) grant: Grant,
    pub(super) used: bool,
    /// The response to the first use.
    pub(super) response: Option<Response>,
}

pub(super) struct AccessToken {
    grant: Grant,
    expires_at: i64,
    revoked: bool,
}

impl Ledger {
    pub(super) fn seen_at(&self, endpoint: Endpoint) -> impl Iterator<Item = &Seen> {
        self.seen
            .iter()
            .filter(move |seen| seen.endpoint == Some(endpoint))
    }

    pub(super) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    pub(super) fn grant(&mut self, person: &str, asked: Pairs) -> Grant {
        self.grants += 1;
        Grant {
            id: self.grants,
            person: person.to_owned(),
            asked,
        }
    }

    pub(super) fn issue_code(&mut self, grant: Grant) -> String {
        let code = format!("code-{}", super::random());
        self.secrets.push(("code", code.clone()));
        self.codes.insert(code.clone(), Code { grant, used: false });
        code
    }

    pub(super) fn issue_access_token(&mut self, grant: Grant, expires_at: i64) -> String {
        let token = format!("at-{}", super::random());
        self.secrets.push(("access token", token.clone()));
        let access = AccessToken {
            grant,
            expires_at,
            revoked: false,
        };
        self.access_tokens.insert(token.clone(), access);
        token
    }

    pub(super) fn issue_refresh_token(&mut self, grant: Grant) -> String {
        let token = format!("rt-{}", super::random());
        self.secrets.push(("refresh token", token.clone()));
        let refresh = RefreshToken {
            grant,
            used: false,
            response: None,
        };
        self.refresh_tokens.insert(token.clone(), refresh);
        token
    }

    /// Revokes a token of either kind (RFC 7009 §2.1: a refresh token along with its grant).
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(refresh) = self.refresh_tokens.get(token) {
            self.dead.insert(refresh.grant.id);
        }
        if let Some(access) = self.access_tokens.get_mut(token) {
            access.revoked = true;
        }
    }

    pub(super) fn revoke_everything(&mut self) {
        self.dead.extend(1..=self.grants);
    }

    pub(super) fn owner(&self, access_token: &str, now: i64) -> Option<String> {
        let token = self.access_tokens.get(access_token)?;
        let alive =
            !token.revoked && !self.dead.contains(&token.grant.id) && now < token.expires_at;
        alive.then(|| token.grant.person.clone())
    }
}
