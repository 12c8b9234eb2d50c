//! Checks the token that the API server would get: its algorithm, signature, issuer, audience,
//! times, and what it says about the user.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::times::{length, moment};
use crate::credential::TokenKind;
use crate::error::Error;
use crate::oauth::id_token::Unverified;
use crate::session::record::Session;
use crate::session::{self, Account};
use crate::store::Versioned;
use crate::tools::findings::Findings;

/// How far clocks may be apart before a token is refused for it: an API server allows ten seconds,
/// and tokens are sent a minute after they were made at the latest.
pub(super) const CLOCK: Duration = Duration::seconds(60);

/// What an API server takes where `--oidc-signing-algs` says nothing.
pub(super) const DEFAULT_ALGORITHM: &str = "RS256";

pub(super) fn named(token: TokenKind) -> &'static str {
    match token {
        TokenKind::Id => "ID token",
        TokenKind::Access => "access token",
    }
}

pub(super) struct Checks<'a> {
    pub(super) account: &'a Account<'a>,
    pub(super) token: TokenKind,
    pub(super) login: &'a str,
    pub(super) now: OffsetDateTime,
}

impl Checks<'_> {
    pub(super) fn check_provider(&self, findings: &mut Findings) {
        let provider = self.account.provider();
        let Some(issuer) = &provider.issuer else {
            findings
                .note("the provider has no issuer, which an API server needs (--oidc-issuer-url)");
            return;
        };
        match self.account.live_metadata() {
            Ok(_) => findings.ok(&format!(
                "the metadata of {issuer} can be fetched and names that issuer"
            )),
            Err(error) => findings.refused(&Error::from(error).report()),
        }
        if !issuer.starts_with("https://") {
            findings.note("an API server accepts only an https issuer");
        }
    }

    /// Checks the token against everything but the API server, and returns its claims if it can be
    /// sent.
    pub(super) fn check_token(
        &self,
        kept: &Versioned<Session>,
        findings: &mut Findings,
    ) -> Option<Unverified> {
        let session = &kept.value;
        let kind = named(self.token);
        let Some(token) = session.tokens.token(self.token) else {
            findings.problem(
                &format!("the provider has returned no {kind}"),
                &format!(
                    "add the scope `openid` (`scopes` in config.toml), then run `{}`",
                    self.login
                ),
            );
            return None;
        };
        if session.refusals.wants_refresh(kept.generation, self.now) {
            findings.note("a server rejected this token, so the next call refreshes it");
        }
        let Some(read) = Unverified::parse(token) else {
            let hint = match self.token {
                TokenKind::Access => {
                    "remove `--token access` from the exec entry, if the API \
                     server accepts ID tokens"
                }
                TokenKind::Id => "ask the provider's administrators",
            };
            findings.problem(
                &format!("the {kind} is not a JWT, which an API server requires"),
                hint,
            );
            return None;
        };
        self.check_algorithm(&read, session, findings);
        self.check_issuer(&read, findings);
        self.check_audience(&read, findings);
        self.check_times(&read, session, findings);
        check_person(&read, findings);
        Some(read)
    }

    fn check_algorithm(&self, read: &Unverified, session: &Session, findings: &mut Findings) {
        let algorithm = &read.algorithm;
        if self.token == TokenKind::Id
            && let Err(error) = self.account.check_with_live_keys(session)
        {
            if let session::Error::IdToken(fault) = &error
                && fault.is_about_keys()
            {
                findings.problem(
                    &format!("signature: {fault}, so an API server rejects the token"),
                    &format!("run `{}` to get a new token", self.login),
                );
            } else {
                findings.refused(&Error::from(error).report());
            }
            return;
        }
        if algorithm == DEFAULT_ALGORITHM {
            findings.ok("signed with RS256, by a key that the provider publishes now");
        } else if algorithm.starts_with("HS") || algorithm == "none" {
            findings.problem(
                &format!("signed with {algorithm}, which no API server accepts"),
                "set the client's signing algorithm to RS256 at the provider",
            );
        } else {
            findings.problem(
                &format!(
                    "signed with {algorithm}: an API server accepts only RS256, unless its \
                     --oidc-signing-algs names {algorithm}"
                ),
                "set the client's signing algorithm to RS256 at the provider, or that flag",
            );
        }
    }

    fn check_issuer(&self, read: &Unverified, findings: &mut Findings) {
        let Some(found) = read.text("iss") else {
            findings.problem(
                "the token has no issuer (iss)",
                "ask the provider's administrators",
            );
            return;
        };
        match &self.account.provider().issuer {
            Some(issuer) if *issuer == found => findings.ok(&format!(
                "issuer: {found}; the API server's --oidc-issuer-url must be exactly the same"
            )),
            Some(issuer) => findings.problem(
                &format!("issuer: the token says {found}, the configuration {issuer}"),
                "set `issuer` in config.toml to what the token says, if that is your provider",
            ),
            None => findings.note(&format!("issuer: {found}")),
        }
    }

    fn check_audience(&self, read: &Unverified, findings: &mut Findings) {
        let audience = read.texts("aud");
        let shown = audience.join(", ");
        let provider = self.account.provider();
        let client = provider.client_id.as_deref().unwrap_or_default();
        if audience.is_empty() {
            findings.problem(
                "the token has no audience (aud)",
                "set `audience` or `resources` in config.toml to what the API server expects",
            );
        } else if self.token == TokenKind::Access {
            findings.note(&format!(
                "audience: {shown}; the API server's --oidc-client-id must be one of them"
            ));
        } else if audience.iter().any(|one| one == client) {
            findings.ok(&format!(
                "audience: {shown}; the API server's --oidc-client-id must be {}",
                if audience.len() == 1 {
                    "the same"
                } else {
                    "one of them"
                }
            ));
        } else {
            findings.problem(
                &format!("audience: the token is for {shown}, and the client here is {client}"),
                "correct `client_id` in config.toml",
            );
        }
    }

    fn check_times(&self, read: &Unverified, session: &Session, findings: &mut Findings) {
        let tokens = &session.tokens;
        let obtained_at = match self.token {
            TokenKind::Id => tokens.id_token_obtained_at.unwrap_or(tokens.obtained_at),
            TokenKind::Access => tokens.obtained_at,
        };
        if let Some(issued_at) = read.instant("iat") {
            let apart = issued_at - obtained_at;
            if apart.abs() > CLOCK {
                findings.problem(
                    &format!(
                        "clock: the provider made the token at {}, and it came at {} by this \
                         machine's clock, which is {} {}",
                        moment(issued_at),
                        moment(obtained_at),
                        length(apart.abs()),
                        if apart.is_positive() {
                            "behind"
                        } else {
                            "ahead"
                        }
                    ),
                    "compare `date` with a clock that you trust, and set this machine's",
                );
            } else {
                findings.ok("clock: the provider's and this machine's agree");
            }
        }
        match read.instant("exp") {
            None => findings.problem(
                "the token has no expiry (exp)",
                "ask the provider's administrators",
            ),
            Some(expires_at) if expires_at > self.now => findings.ok(&format!(
                "expires in {}, at {}",
                length(expires_at - self.now),
                moment(expires_at)
            )),
            Some(expires_at) if tokens.usable_refresh_token().is_some() => findings.note(&format!(
                "expired {} ago, at {}: the next call refreshes it",
                length(self.now - expires_at),
                moment(expires_at)
            )),
            Some(expires_at) => findings.problem(
                &format!(
                    "expired {} ago, at {}, and there is no refresh token",
                    length(self.now - expires_at),
                    moment(expires_at)
                ),
                &format!("run `{}`", self.login),
            ),
        }
    }
}

fn check_person(read: &Unverified, findings: &mut Findings) {
    let shown = |claim: &str| {
        let text = read.text(claim)?;
        Some(format!("{claim} {text}"))
    };
    let who = ["sub", "email", "preferred_username", "name"];
    let who: Vec<String> = who.into_iter().filter_map(shown).collect();
    findings.note(&format!(
        "who: {}; the API server's --oidc-username-claim is sub unless it is set",
        who.join(", ")
    ));
    if read.claims().get("email_verified") == Some(&Value::Bool(false)) {
        findings.note(
            "email_verified is false: with --oidc-username-claim=email the API server refuses \
             the token",
        );
    }
    let groups = read.texts("groups");
    if read
        .claims()
        .get("_claim_names")
        .is_some_and(|names| names.get("groups").is_some())
    {
        findings.problem(
            "groups: there are so many that the token only says where to ask for them",
            "let the provider send only the groups that are assigned to the application",
        );
    } else if groups.is_empty() {
        findings.note(
            "groups: none in the token, so no binding to a group applies; a scope (often \
             `groups`) or a setting at the provider brings them",
        );
    } else {
        findings.ok(&format!("groups: {}", groups.join(", ")));
    }
}
