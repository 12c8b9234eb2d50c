//! One sign-in for all resources of a provider, and tokens with fewer scopes than the sign-in.

use std::collections::BTreeSet;

use crate::provider::{Endpoint, Narrowing, Rotation, Seen};
use crate::sandbox::Outcome;
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];
const GIT: &str = "https://git.corp.example";
/// The scopes of the provider `corp`.
const OWN: &str = "scopes = [\"openid\", \"offline_access\"]\n";
const REGISTRY: &str = "https://registry.corp.example";

/// `corp` with an entry that needs `git`, and one that needs `registry`.
fn scene(more: &str) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "{OWN}[[resources]]\nmatch = \"{GIT}\"\nprovider = \"corp\"\nscopes = [\"git\"]\n{more}\n\
         [[resources]]\nmatch = \"{REGISTRY}\"\nprovider = \"corp\"\nscopes = [\"registry\"]\n"
    ));
    scene
}

fn at(scene: &Scene, url: &str, more: &[&str]) -> Outcome {
    scene.sandbox.run(&[&["get-token", url], more].concat())
}

/// The `scope` of each refresh.
fn refreshed_for(scene: &Scene) -> Vec<Option<String>> {
    let seen = scene.provider.seen(Endpoint::Refresh);
    let scope = |request: &Seen| request.form("scope").map(str::to_owned);
    seen.iter().map(scope).collect()
}

fn signed_in_for(scene: &Scene) -> Vec<String> {
    let seen = scene.provider.seen(Endpoint::Authorize);
    let scope = |request: &Seen| request.query("scope").unwrap_or_default().to_owned();
    seen.iter().map(scope).collect()
}

#[test]
fn one_sign_in_covers_all_entries_and_each_gets_its_own_scopes() {
    for rotation in [Rotation::On, Rotation::Off] {
        let mut scene = scene("");
        scene.provider.behave(|b| b.rotation = rotation);
        let first = at(&scene, GIT, &[]);
        let all = "openid offline_access git registry";
        assert!(first.stderr.contains(all), "the scopes are shown: {first}");
        let git = first.token().to_owned();
        let registry = at(&scene, REGISTRY, NEVER).token().to_owned();
        let own = scene.get_token(NEVER).token().to_owned();
        assert_eq!(BTreeSet::from([&git, &registry, &own]).len(), 3);
        assert_eq!(signed_in_for(&scene), [all]);
        let expected = [
            "git offline_access",
            "registry offline_access",
            "openid offline_access",
        ];
        let expected = expected.map(|scope| Some(scope.to_owned()));
        assert_eq!(refreshed_for(&scene), expected);
        // The tokens are cached, so there is no other request.
        assert_eq!(at(&scene, GIT, NEVER).token(), git);
        assert_eq!(at(&scene, REGISTRY, NEVER).token(), registry);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 3);
        // Every expired token is refreshed with the session's current refresh token.
        scene.advance(4000);
        for url in [GIT, REGISTRY] {
            at(&scene, url, NEVER).token();
        }
        assert_eq!(scene.provider.count(Endpoint::Refresh), 5);
    }
}

#[test]
fn twenty_concurrent_requests_for_a_narrower_token_make_one_refresh() {
    let scene = scene("");
    scene.login(&[]).succeeds();
    let outcomes = scene.sandbox.run_at_once(20, &["get-token", GIT]);
    let tokens: BTreeSet<_> = outcomes.iter().map(|one| one.token().to_owned()).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn if_the_provider_does_not_narrow_only_its_own_entries_get_the_broader_token() {
    for narrowing in [Narrowing::Ignored, Narrowing::Refused] {
        let mut scene = scene("");
        scene.provider.behave(|b| b.narrowing = narrowing);
        let git = at(&scene, GIT, &[]).token().to_owned();
        assert_eq!(at(&scene, REGISTRY, NEVER).token(), git, "{narrowing:?}");
        assert_eq!(at(&scene, GIT, NEVER).token(), git);
        // hallpass remembers this, and the session stays valid.
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        assert_eq!(scene.sandbox.opened().len(), 1);
        // Scopes from the command line don't belong to an entry, so they need a separate sign-in.
        let scopes = ["--scope", "openid", "--scope", "git"];
        scene
            .get_token(&[&scopes[..], NEVER].concat())
            .fails_with(3);
        let narrower = scene.get_token(&scopes).token().to_owned();
        assert_ne!(narrower, git);
        assert_eq!(signed_in_for(&scene)[1], "openid git");
        scene.advance(4000);
        at(&scene, GIT, NEVER).token();
    }
}

#[test]
fn a_provider_that_narrows_the_whole_session_costs_one_sign_in() {
    let mut scene = scene("");
    scene.provider.behave(|b| b.narrowing = Narrowing::ForGood);
    at(&scene, GIT, &[]).token();
    scene.advance(4000);
    // The refresh token now only provides `git`, which isn't what the user signed in for.
    let lost = at(&scene, REGISTRY, NEVER);
    assert!(lost.fails_with(3).contains("lacks scopes"), "{lost}");
    let broad = at(&scene, REGISTRY, &[]).token().to_owned();
    assert_eq!(scene.sandbox.opened().len(), 2);
    let refreshes = scene.provider.count(Endpoint::Refresh);
    assert_eq!(at(&scene, GIT, NEVER).token(), broad);
    assert_eq!(scene.provider.count(Endpoint::Refresh), refreshes);
    for _ in 0..2 {
        scene.advance(4000);
        let git = at(&scene, GIT, NEVER).token().to_owned();
        assert_eq!(at(&scene, REGISTRY, NEVER).token(), git);
    }
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn an_entry_with_exact_scopes_has_its_own_sign_in() {
    let scene = scene("exact_scopes = true");
    let git = at(&scene, GIT, &[]).token().to_owned();
    let registry = at(&scene, REGISTRY, &[]).token().to_owned();
    assert_ne!(git, registry);
    let expected = ["git", "openid offline_access registry"];
    assert_eq!(signed_in_for(&scene), expected);
}

#[test]
fn an_ended_session_needs_one_sign_in_for_all_its_tokens() {
    let mut scene = scene("");
    at(&scene, GIT, &[]).token();
    at(&scene, REGISTRY, NEVER).token();
    scene.advance(4000);
    scene.provider.revoke_everything();
    at(&scene, GIT, NEVER).fails_with(3);
    at(&scene, GIT, &[]).token();
    at(&scene, REGISTRY, NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_rejected_narrower_token_is_replaced() {
    let scene = scene("");
    let first = at(&scene, GIT, &[]).token().to_owned();
    let again = at(&scene, GIT, &["--force-refresh"]).token().to_owned();
    assert_ne!(first, again);
    assert_eq!(
        refreshed_for(&scene)[1].as_deref(),
        Some("git offline_access")
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_session_stays_usable_after_an_entry_needs_more_scopes() {
    let mut scene = Scene::new();
    let before = scene.get_token(&[]).token().to_owned();
    scene.configure(&format!(
        "{OWN}[[resources]]\nmatch = \"{GIT}\"\nprovider = \"corp\"\nscopes = [\"git\"]\n"
    ));
    assert_eq!(scene.get_token(NEVER).token(), before);
    scene.advance(4000);
    scene.get_token(NEVER).token();
    assert_eq!(refreshed_for(&scene), [None]);
    // The entry that needs more requires a sign-in, and logout removes both sessions.
    at(&scene, GIT, NEVER).fails_with(3);
    at(&scene, GIT, &[]).token();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert!(scene.sessions().is_empty());
}

#[test]
fn logout_revokes_the_session_and_its_narrower_tokens() {
    let scene = scene("");
    let git = at(&scene, GIT, &[]).token().to_owned();
    let registry = at(&scene, REGISTRY, NEVER).token().to_owned();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert!(scene.sessions().is_empty());
    let seen = scene.provider.seen(Endpoint::Revocation);
    let revoked: Vec<_> = seen.iter().filter_map(|one| one.form("token")).collect();
    for token in [&git, &registry] {
        assert!(revoked.contains(&token.as_str()), "{revoked:?}");
    }
}

#[test]
fn scopes_without_offline_access_use_the_same_session() {
    let (scene, token) = Scene::signed_in();
    let narrower = scene.get_token(&["--scope", "openid", "--interactive", "never"]);
    assert_eq!(narrower.token(), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    // Scopes that the session doesn't cover need a separate sign-in.
    let other = ["--scope", "openid", "--scope", "email"];
    scene.get_token(&[&other[..], NEVER].concat()).fails_with(3);
    assert_ne!(scene.get_token(&other).token(), token);
}
