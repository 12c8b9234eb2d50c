//! What resources say about a session's token: a pure account of refusals.
//!
//! Architecture invariant: a refusal is local. It is what one resource said about one generation
//! of the token. It can force one refresh of the session in five minutes. It never keeps a valid
//! token from anyone else.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::credential::Generation;

/// How often refusals may force a refresh, or a question to the provider: a token that is refused
/// right after a refresh is not improved by another one. A resource that refused such a token gets
/// no other one for as long.
pub const BETWEEN_FORCED: Duration = Duration::minutes(5);

/// How long `status` shows a refusal.
const RECENT: Duration = Duration::hours(1);

/// How many refusals a session remembers.
const LIMIT: usize = 16;

/// What a tool asks a token for, as far as it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceName {
    /// For people, and for comparison.
    pub text: String,
    /// Whether the tool named a path: a host alone stands for many resources.
    pub is_exact: bool,
}

/// A refusal of one generation of a session's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which resource refused it, as far as the tool named it; for people.
    pub resource: String,
    /// Whether `resource` has a path: a host without one stands for many resources.
    pub is_exact: bool,
    pub generation: Generation,
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
    pub effect: Effect,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The next request for the session forces a refresh.
    Refresh,
    /// The next request for this resource forces a refresh. Docker sends the same message for a
    /// refused token and for `docker logout`, so it is no refusal.
    RefreshHere,
    /// This resource gets no token of this generation for a while.
    Deny,
    /// Nothing; it is shown to the user.
    Show,
}

/// What the provider said when it was asked whether a refused token is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub generation: Generation,
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
    pub liveness: Liveness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    Alive,
    Dead,
    /// The provider cannot tell.
    Unknown,
}

/// The refusals of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusals {
    list: Vec<Refusal>,
    verdict: Option<Verdict>,
    /// When a refusal last forced a refresh or a question to the provider.
    #[serde(with = "time::serde::timestamp::option")]
    forced_at: Option<OffsetDateTime>,
}

impl Refusals {
    /// Whether a refusal has forced something too recently for another one to do so.
    pub fn has_forced(&self, now: OffsetDateTime) -> bool {
        self.forced_at
            .is_some_and(|at| now >= at && now < at + BETWEEN_FORCED)
    }

    /// Whether the next request for the session has to force a refresh.
    pub fn wants_refresh(&self, generation: Generation, now: OffsetDateTime) -> bool {
        !self.has_forced(now) && self.of(generation).any(|one| one.effect == Effect::Refresh)
    }

    /// Whether the next request for this resource has to force a refresh.
    pub fn wants_refresh_here(
        &self,
        resource: &str,
        generation: Generation,
        now: OffsetDateTime,
    ) -> bool {
        !self.has_forced(now)
            && self
                .of(generation)
                .any(|one| one.effect == Effect::RefreshHere && one.resource == resource)
    }

    /// Whether this resource gets no token of this generation now.
    pub fn denies(&self, resource: &str, generation: Generation, now: OffsetDateTime) -> bool {
        self.of(generation)
            .any(|one| one.denies(now) && one.resource == resource)
    }

    /// Whether some resource is to be treated differently from the others.
    pub fn are_local(&self, generation: Generation, now: OffsetDateTime) -> bool {
        self.of(generation)
            .any(|one| one.effect == Effect::RefreshHere || one.denies(now))
    }

    /// What the provider last said about this generation.
    pub fn verdict(&self, generation: Generation) -> Option<&Verdict> {
        let verdict = self.verdict.as_ref();
        verdict.filter(|verdict| verdict.generation == generation)
    }

    pub fn is_dead(&self, generation: Generation) -> bool {
        let verdict = self.verdict(generation);
        verdict.is_some_and(|verdict| verdict.liveness == Liveness::Dead)
    }

    /// The latest recent refusal by a resource.
    pub fn latest(&self, now: OffsetDateTime) -> Option<&Refusal> {
        self.list
            .iter()
            .filter(|one| one.effect != Effect::RefreshHere && now < one.at + RECENT)
            .max_by_key(|one| one.at)
    }

    /// Notes what a resource said. It replaces what the same resource said earlier.
    pub fn note(&mut self, refusal: Refusal) {
        let now = refusal.at;
        self.list
            .retain(|one| one.resource != refusal.resource && now < one.at + RECENT);
        let excess = (self.list.len() + 1).saturating_sub(LIMIT);
        self.list.drain(..excess);
        self.list.push(refusal);
    }

    /// Notes that a refusal has forced a refresh.
    pub fn force(&mut self, now: OffsetDateTime) {
        self.forced_at = Some(now);
    }

    /// Notes what the provider said. A resource that refused a token which is valid gets no token
    /// of this generation for a while.
    pub fn judge(&mut self, generation: Generation, liveness: Liveness, now: OffsetDateTime) {
        self.verdict = Some(Verdict {
            generation,
            at: now,
            liveness,
        });
        if liveness != Liveness::Alive {
            return;
        }
        for one in &mut self.list {
            if one.generation == generation && one.effect == Effect::Refresh {
                one.at = now;
                one.effect = if one.is_exact {
                    Effect::Deny
                } else {
                    Effect::Show
                };
            }
        }
    }

    fn of(&self, generation: Generation) -> impl Iterator<Item = &Refusal> {
        self.list
            .iter()
            .filter(move |one| one.generation == generation)
    }
}

impl Refusal {
    fn denies(&self, now: OffsetDateTime) -> bool {
        self.effect == Effect::Deny && now < self.at + BETWEEN_FORCED
    }
}

/// How sure it is that a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It was reported.
    Refusal,
    Suspicion,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "https://git.example/a.git";
    const B: &str = "https://git.example/b.git";

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(1_000_000 + seconds)
    }

    fn refusal(resource: &str, effect: Effect, seconds: i64) -> Refusal {
        Refusal {
            resource: resource.to_owned(),
            is_exact: true,
            generation: 7,
            at: at(seconds),
            effect,
        }
    }

    #[test]
    fn each_effect_concerns_its_own_resource_generation_and_time() {
        use Effect::{Deny, Refresh, RefreshHere, Show};
        for (effect, generation, resource, now, expected) in [
            // (the session's next request refreshes, this resource's does, it gets nothing)
            (Refresh, 7, A, 0, (true, false, false)),
            (Refresh, 7, B, 9000, (true, false, false)),
            (Refresh, 8, A, 0, (false, false, false)),
            (RefreshHere, 7, A, 0, (false, true, false)),
            (RefreshHere, 7, B, 0, (false, false, false)),
            (RefreshHere, 8, A, 0, (false, false, false)),
            (Deny, 7, A, 0, (false, false, true)),
            (Deny, 7, A, 299, (false, false, true)),
            (Deny, 7, A, 300, (false, false, false)),
            (Deny, 7, B, 0, (false, false, false)),
            (Deny, 8, A, 0, (false, false, false)),
            (Show, 7, A, 0, (false, false, false)),
        ] {
            let mut refusals = Refusals::default();
            refusals.note(refusal(A, effect, 0));
            let found = (
                refusals.wants_refresh(generation, at(now)),
                refusals.wants_refresh_here(resource, generation, at(now)),
                refusals.denies(resource, generation, at(now)),
            );
            assert_eq!(found, expected, "{effect:?} {generation} {resource} {now}");
        }
    }

    #[test]
    fn refusals_force_once_in_five_minutes() {
        let mut refusals = Refusals::default();
        refusals.force(at(0));
        refusals.note(refusal(A, Effect::Refresh, 1));
        refusals.note(refusal(B, Effect::RefreshHere, 1));
        // A clock that was set back knows nothing of the last time.
        for (now, expected) in [(0, false), (299, false), (300, true), (-1, true)] {
            assert_eq!(refusals.wants_refresh(7, at(now)), expected, "{now}");
            assert_eq!(refusals.wants_refresh_here(B, 7, at(now)), expected);
        }
    }

    #[test]
    fn a_valid_token_is_withheld_only_from_the_resources_that_refused_it() {
        let whole_host = || Refusal {
            is_exact: false,
            ..refusal("https://git.example", Effect::Refresh, 0)
        };
        let mut refusals = Refusals::default();
        refusals.note(refusal(A, Effect::Refresh, 0));
        refusals.note(whole_host());
        refusals.judge(7, Liveness::Alive, at(10));
        assert!(refusals.denies(A, 7, at(10)));
        assert!(!refusals.denies("https://git.example", 7, at(10)));
        assert!(!refusals.denies(B, 7, at(10)));
        assert!(!refusals.wants_refresh(7, at(10)));

        for liveness in [Liveness::Dead, Liveness::Unknown] {
            let mut refusals = Refusals::default();
            refusals.note(whole_host());
            refusals.judge(7, liveness, at(10));
            assert_eq!(refusals.is_dead(7), liveness == Liveness::Dead);
            assert!(!refusals.is_dead(8));
        }
    }

    #[test]
    fn the_list_stays_short_and_the_latest_refusal_is_shown_for_an_hour() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.latest(at(0)), None);
        for number in 0..100 {
            refusals.note(refusal(&number.to_string(), Effect::Show, number));
        }
        assert_eq!(refusals.list.len(), LIMIT);
        refusals.note(refusal(A, Effect::RefreshHere, 200));
        let shown = |now| refusals.latest(at(now)).map(|one| one.resource.as_str());
        assert_eq!(shown(3698), Some("99"));
        assert_eq!(shown(3699), None);
    }
}
