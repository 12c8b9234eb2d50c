//! Decides how to serve a request, given the stored session: a pure function.

use time::OffsetDateTime;

use super::record::{Session, TokenSet, UnusedIdToken};
use super::refusal::{BETWEEN_FORCED, Liveness, Verdict};
use crate::credential::{TokenKind, Want};
use crate::oauth::id_token::Untimely;
use crate::secret::Secret;
use crate::store::Versioned;

#[derive(Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    Use,
    /// `fallback` is the old token, if it may be served when refreshing fails.
    Refresh {
        with: &'a Secret<String>,
        fallback: Option<&'a TokenSet>,
    },
    /// The user has to sign in. `fallback` is the old token, if it may be served when prompting is
    /// disabled.
    Authorize {
        reason: Reason,
        fallback: Option<&'a TokenSet>,
    },
    /// A resource refused a token that can't be refreshed. The provider can tell whether the token
    /// is valid. `fallback` is the token, if it may be served to other resources.
    Ask {
        fallback: Option<&'a TokenSet>,
    },
    /// The caller refused a valid token, and would refuse another one too.
    Deny,
    /// The times of the last ID token made it unusable. By the same clock, another one would be
    /// unusable too, so neither a refresh nor a sign-in helps.
    WaitForClock(UnusedIdToken, Untimely),
}

impl Plan<'_> {
    /// Whether the stored token may be served, whatever else the plan says.
    pub fn may_serve(&self) -> bool {
        match self {
            Self::Use => true,
            Self::Refresh { fallback, .. }
            | Self::Authorize { fallback, .. }
            | Self::Ask { fallback } => fallback.is_some(),
            Self::Deny | Self::WaitForClock(..) => false,
        }
    }

    /// Why the user has to sign in before anything can be served.
    pub fn needs_person(&self) -> Option<Reason> {
        match self {
            Self::Authorize {
                reason,
                fallback: None,
            } => Some(*reason),
            Self::Use
            | Self::Refresh { .. }
            | Self::Authorize { .. }
            | Self::Ask { .. }
            | Self::Deny
            | Self::WaitForClock(..) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NotSignedIn,
    Expired,
    /// It has expired, and the provider refused to refresh it.
    RefreshRefused,
    Refused,
    /// The provider's last response failed a check.
    Unverified,
    NoIdToken,
}

pub fn plan<'a>(
    stored: Option<&'a Versioned<Session>>,
    want: &Want,
    now: OffsetDateTime,
) -> Plan<'a> {
    let Some(Versioned {
        value: session,
        generation,
    }) = stored
    else {
        return Plan::Authorize {
            reason: Reason::NotSignedIn,
            fallback: None,
        };
    };
    let is_unverified = session.unverified.is_some();
    let refusals = &session.refusals;
    let is_dead = refusals.is_dead(*generation);
    // A request never gets a generation that it refused itself. A refusal by others affects only
    // them.
    let is_own = want.refused == Some(*generation);
    let refused = is_own || is_dead || is_unverified;
    let is_suspect = !refused && refusals.wants_refresh(*generation, now);
    let tokens = &session.tokens;
    let is_fresh = tokens.is_fresh(want.token, want.fresh_for, now);
    if !refused && !is_suspect && is_fresh {
        return Plan::Use;
    }
    let fallback = (!refused && tokens.is_valid(want.token, now)).then_some(tokens);
    // Another refresh would not bring an ID token either.
    let is_final = tokens.id_token.is_some() && tokens.is_left_behind(want.token);
    // With a valid token, the sign-in can wait until it expires.
    if (is_final || tokens.refresh_refused) && !is_suspect && fallback.is_some() {
        return Plan::Use;
    }
    if want.token == TokenKind::Id
        && !refused
        && let Some((unused, untimely)) = tokens.untimely_id_token(now)
    {
        return Plan::WaitForClock(unused, untimely);
    }
    if let Some(with) = tokens.usable_refresh_token()
        && !is_final
    {
        if is_own && !is_unverified && is_fresh && refusals.has_forced(now) {
            return Plan::Deny;
        }
        return Plan::Refresh { with, fallback };
    }
    let can_ask = want.token == TokenKind::Access
        && !is_dead
        && !is_unverified
        && tokens.is_valid(want.token, now);
    if can_ask && (is_own || is_suspect) {
        match refusals.verdict(*generation) {
            Some(Verdict {
                liveness: Liveness::Alive,
                at,
                ..
            }) if is_own && now < *at + BETWEEN_FORCED => return Plan::Deny,
            Some(Verdict {
                liveness: Liveness::Unknown,
                ..
            }) => (),
            Some(_) | None => return Plan::Ask { fallback },
        }
    }
    let reason = if is_unverified {
        Reason::Unverified
    } else if refused || is_suspect {
        Reason::Refused
    } else if tokens.token(want.token).is_none() {
        Reason::NoIdToken
    } else if tokens.refresh_refused {
        Reason::RefreshRefused
    } else {
        Reason::Expired
    };
    Plan::Authorize { reason, fallback }
}

pub(super) fn is_refused(stored: &Versioned<Session>, want: &Want) -> bool {
    want.refused == Some(stored.generation) || stored.value.refusals.is_dead(stored.generation)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::Duration;

    use super::*;
    use crate::credential::TokenKind;
    use crate::oauth::id_token::Validity;
    use crate::oauth::token::ClientAuth;
    use crate::session::record::{FailedCheck, Identity, Registration};
    use crate::session::refusal::{Effect, Refusal, Refusals};

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(1_000_000 + seconds)
    }

    fn stored(lives: Option<i64>, refresh: bool, id_token: Option<i64>) -> Versioned<Session> {
        Versioned {
            generation: 7,
            value: Session {
                identity: Identity {
                    issuer: None,
                    token_endpoint: None,
                    client_id: "c".into(),
                    account: "default".into(),
                    scopes: vec![],
                    resources: vec![],
                    audience: None,
                    extra_params: BTreeMap::new(),
                },
                provider: "p".into(),
                person: None,
                tokens: TokenSet {
                    access_token: "a".into(),
                    token_type: "Bearer".into(),
                    id_token: id_token.map(|_| "i".into()),
                    refresh_token: refresh.then(|| "r".into()),
                    refresh_refused: false,
                    obtained_at: at(0),
                    expires_at: lives.map(at),
                    id_token_obtained_at: id_token.map(|_| at(0)),
                    id_token_expires_at: id_token.map(at),
                    unused_id_token: None,
                    scopes: vec![],
                },
                nonce: None,
                refusals: Refusals::default(),
                unverified: None,
                narrowed_from: None,
                has_narrowed: false,
                not_narrowed: None,
                registration: Registration {
                    revocation_endpoint: None,
                    client_auth: ClientAuth::None,
                    client_secret_file: None,
                    ca_file: None,
                },
            },
        }
    }

    /// What a plan comes down to, for a table.
    fn shape(plan: &Plan<'_>) -> &'static str {
        match plan {
            Plan::Use => "use",
            Plan::Refresh { fallback: None, .. } => "refresh",
            Plan::Refresh {
                fallback: Some(_), ..
            } => "refresh or serve",
            Plan::Authorize { fallback: None, .. } => "authorize",
            Plan::Authorize {
                fallback: Some(_), ..
            } => "authorize or serve",
            Plan::Ask { fallback: None } => "ask",
            Plan::Ask { fallback: Some(_) } => "ask or serve",
            Plan::Deny => "deny",
            Plan::WaitForClock(..) => "wait",
        }
    }

    #[test]
    fn a_token_is_used_until_its_leeway_begins() {
        use TokenKind::{Access, Id};
        let want = |token| Want {
            token,
            fresh_for: Duration::ZERO,
            refused: None,
        };
        for (lives, refresh, id_token, token, now, expected) in [
            (Some(3600), true, None, Access, 0, "use"),
            (Some(3600), true, None, Access, 3539, "use"),
            (Some(3600), true, None, Access, 3540, "refresh or serve"),
            (Some(3600), true, None, Access, 3600, "refresh"),
            (Some(3600), false, None, Access, 3540, "authorize or serve"),
            (Some(3600), false, None, Access, 3600, "authorize"),
            // A short life has a short leeway: a tenth of it.
            (Some(100), true, None, Access, 89, "use"),
            (Some(100), true, None, Access, 90, "refresh or serve"),
            // No expiry: valid until it is refused.
            (None, false, None, Access, 1_000_000, "use"),
            // `expires_in: 0`: valid for one reply, and stale afterwards.
            (Some(0), true, None, Access, 0, "refresh"),
            (Some(-5), true, None, Access, 0, "refresh"),
            // The clock was set back: nothing is known about expiry.
            (Some(3600), true, None, Access, -60, "use"),
            (Some(3600), true, None, Access, -61, "refresh"),
            (Some(3600), true, Some(300), Id, 0, "use"),
            (Some(3600), true, Some(300), Id, 270, "refresh or serve"),
            (Some(3600), true, None, Id, 0, "refresh"),
            (Some(3600), false, None, Id, 0, "authorize"),
        ] {
            let stored = stored(lives, refresh, id_token);
            let planned = plan(Some(&stored), &want(token), at(now));
            assert_eq!(
                shape(&planned),
                expected,
                "{lives:?} {refresh} {id_token:?} {now}"
            );
        }
        assert_eq!(shape(&plan(None, &want(Access), at(0))), "authorize");
    }

    #[test]
    fn a_refusal_is_local_to_the_resource_that_gave_it() {
        use Liveness::{Alive, Dead, Unknown};
        let refusal = |generation| Refusal {
            resource: "https://git.example/a.git".to_owned(),
            is_exact: true,
            generation,
            at: at(0),
            effect: Effect::Refresh,
        };
        for (own, others, forced, refresh, verdict, now, expected) in [
            // The caller refused it: one refresh, then "no".
            (Some(7), None, None, true, None, 0, "refresh"),
            (Some(7), None, Some(0), true, None, 299, "deny"),
            (Some(7), None, Some(0), true, None, 300, "refresh"),
            // An older token was refused: the current one is served.
            (Some(6), None, Some(0), true, None, 0, "use"),
            // A token that is stale is refreshed in any case.
            (Some(7), None, Some(3500), true, None, 3540, "refresh"),
            // Another resource refused it: one refresh, and it is served whatever comes of that.
            (None, Some(7), None, true, None, 0, "refresh or serve"),
            (None, Some(7), Some(0), true, None, 299, "use"),
            (None, Some(6), None, true, None, 0, "use"),
            // Without a refresh token the provider is asked.
            (Some(7), None, None, false, None, 0, "ask"),
            (None, Some(7), None, false, None, 0, "ask or serve"),
            (Some(7), None, Some(0), false, Some(Alive), 299, "deny"),
            (Some(7), None, Some(0), false, Some(Alive), 300, "ask"),
            (None, None, Some(0), false, Some(Alive), 0, "use"),
            (Some(7), None, Some(0), false, Some(Unknown), 0, "authorize"),
            (None, None, Some(0), false, Some(Unknown), 0, "use"),
            // What the provider itself calls dead is served to no one.
            (Some(7), None, Some(0), false, Some(Dead), 0, "authorize"),
            (None, None, Some(0), false, Some(Dead), 0, "authorize"),
        ] {
            let mut session = stored(Some(3600), refresh, None);
            let refusals = &mut session.value.refusals;
            if let Some(liveness) = verdict {
                refusals.judge(7, liveness, at(0));
            }
            if let Some(generation) = others {
                refusals.note(refusal(generation));
            }
            if let Some(seconds) = forced {
                refusals.force(at(seconds));
            }
            let want = Want {
                token: TokenKind::Access,
                fresh_for: Duration::ZERO,
                refused: own,
            };
            let planned = plan(Some(&session), &want, at(now));
            assert_eq!(
                shape(&planned),
                expected,
                "{own:?} {others:?} {forced:?} {refresh} {verdict:?} {now}"
            );
        }
    }

    #[test]
    fn an_id_token_that_no_refresh_renews_serves_to_its_end() {
        use TokenKind::{Access, Id};
        let mut session = stored(Some(3600), true, Some(3600));
        // A refresh at 3000 brought another access token, and no ID token.
        session.value.tokens.obtained_at = at(3000);
        session.value.tokens.expires_at = Some(at(6600));
        for (token, now, refused, expected) in [
            (Id, 3000, None, "use"),
            (Id, 3599, None, "use"),
            (Id, 3600, None, "authorize"),
            (Id, 3000, Some(7), "authorize"),
            (Access, 3600, None, "use"),
            (Access, 6600, None, "refresh"),
        ] {
            let want = Want {
                token,
                fresh_for: Duration::ZERO,
                refused,
            };
            let planned = plan(Some(&session), &want, at(now));
            assert_eq!(shape(&planned), expected, "{token:?} {now} {refused:?}");
        }
        // Never had one: that may have been another provider's whim.
        let without = stored(Some(3600), true, None);
        let want = Want {
            token: Id,
            fresh_for: Duration::ZERO,
            refused: None,
        };
        assert_eq!(shape(&plan(Some(&without), &want, at(0))), "refresh");
    }

    #[test]
    fn an_id_token_that_came_at_a_wrong_time_costs_no_refresh_until_the_clock_changes() {
        use TokenKind::{Access, Id};
        let validity = |starts, ends| Validity {
            starts_at: at(starts),
            expires_at: at(ends),
        };
        let slow = validity(900, 4500);
        let fast = validity(-4500, -900);
        for (validity, old_id_token, token, now, refused, expected) in [
            (slow, None, Access, 10, None, "use"),
            (slow, None, Id, 10, None, "wait"),
            (slow, None, Id, 599, None, "wait"),
            // The clock was corrected, or enough time has passed.
            (slow, None, Id, 600, None, "refresh"),
            (fast, None, Id, 10, None, "wait"),
            // Set back: nothing that is known of expiry holds.
            (fast, None, Id, -2000, None, "refresh"),
            // The access token ends, and with it what the last refresh told.
            (fast, None, Id, 3540, None, "refresh"),
            // The ID token of an earlier refresh serves to its own end, and no browser opens then.
            (slow, Some(500), Id, 10, None, "use"),
            (slow, Some(500), Id, 550, None, "wait"),
            (slow, None, Id, 10, Some(7), "refresh"),
        ] {
            let mut session = stored(Some(3600), true, None);
            let tokens = &mut session.value.tokens;
            tokens.unused_id_token = Some(UnusedIdToken {
                validity,
                provider_ahead: None,
            });
            if let Some(ends) = old_id_token {
                tokens.id_token = Some("i".into());
                tokens.id_token_obtained_at = Some(at(-100));
                tokens.id_token_expires_at = Some(at(ends));
            }
            let want = Want {
                token,
                fresh_for: Duration::ZERO,
                refused,
            };
            let planned = plan(Some(&session), &want, at(now));
            assert_eq!(shape(&planned), expected, "{validity:?} {token:?} {now}");
        }
    }

    #[test]
    fn a_refused_refresh_token_is_not_sent_again_and_a_valid_token_is_served_meanwhile() {
        use TokenKind::{Access, Id};
        for has_token in [true, false] {
            let mut session = stored(Some(3600), has_token, Some(3600));
            session.value.tokens.refresh_refused = true;
            for (token, fresh_for, now, refused, expected) in [
                (Access, 0, 3000, None, "use"),
                (Access, 0, 3599, None, "use"),
                (Id, 0, 3599, None, "use"),
                (Access, 300, 3599, None, "use"),
                (Access, 0, 3600, None, "authorize"),
                (Id, 0, 3600, None, "authorize"),
                (Access, 0, 3000, Some(7), "ask"),
                (Access, 0, 3000, Some(6), "use"),
            ] {
                let want = Want {
                    token,
                    fresh_for: Duration::seconds(fresh_for),
                    refused,
                };
                let planned = plan(Some(&session), &want, at(now));
                assert_eq!(shape(&planned), expected, "{token:?} {now} {refused:?}");
            }
        }
    }

    #[test]
    fn nothing_is_served_from_an_unverified_record() {
        use TokenKind::{Access, Id};
        let mut session = stored(Some(3600), true, Some(3600));
        session.value.unverified = Some(FailedCheck::Person);
        for refresh_refused in [false, true] {
            session.value.tokens.refresh_refused = refresh_refused;
            for token in [Access, Id] {
                let want = Want {
                    token,
                    fresh_for: Duration::ZERO,
                    refused: None,
                };
                let planned = plan(Some(&session), &want, at(0));
                let expected = if refresh_refused {
                    "authorize"
                } else {
                    "refresh"
                };
                assert_eq!(shape(&planned), expected, "{token:?}");
            }
        }
    }

    #[test]
    fn a_token_for_long_use_is_refreshed_early_if_it_can_be() {
        let want = Want {
            token: TokenKind::Access,
            fresh_for: Duration::seconds(300),
            refused: None,
        };
        for (lives, is_renewable, now, expected) in [
            (3600, true, 1799, "use"),
            (3600, true, 1800, "refresh or serve"),
            (200, true, 19, "use"),
            (200, true, 20, "refresh or serve"),
            (3600, false, 3299, "use"),
            (200, false, 99, "use"),
        ] {
            let stored = stored(Some(lives), is_renewable, None);
            assert_eq!(
                shape(&plan(Some(&stored), &want, at(now))),
                expected,
                "{lives} {now}"
            );
        }
    }
}
