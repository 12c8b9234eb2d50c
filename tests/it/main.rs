//! The integration tests run the real binary in a sandbox, against a fake provider that checks it.
//!
//! They are hermetic: no root, no packages, no network except loopback, no fixed ports. `README.md`
//! lists which rule of which specification is tested where.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![cfg_attr(
    not(target_os = "linux"),
    expect(unused_imports, reason = "some of what is tested is on Linux only")
)]
#![cfg_attr(
    windows,
    expect(unused_mut, reason = "a child's group is not set there")
)]

mod accounts;
#[cfg_attr(
    windows,
    expect(dead_code, reason = "one of its ways is for tests on Unix")
)]
mod browser;
mod outage;
mod provider;
mod registry;
mod relay;
mod sandbox;
mod scene;
mod wire;

mod callback;
mod canary;
mod commands;
mod config_errors;
mod device;
mod discovery;
mod docker;
mod docs;
mod doctor;
mod git;
mod harness;
mod help;
mod hints;
mod id_token;
mod imports;
mod kubectl;
mod kubectl_entry;
mod lost_response;
mod narrower;
mod network;
// Needs git, which the tests don't have on Windows, and restores links.
#[cfg(unix)]
mod one_registration;
mod refresh;
mod resolution;
mod setup_binding;
mod setup_docker;
mod setup_git;
mod setup_kubectl;
mod sign_in;
// On Windows, a sign-in has no process of its own.
#[cfg(unix)]
mod sign_in_process;
#[cfg(unix)]
mod signals;
mod store;
mod successor;
mod tidy;
mod token_response;
mod uninstall;

#[test]
#[ignore = "the browser of the other tests, which hallpass starts"]
fn form_browser() {
    browser::play();
}

#[test]
#[ignore = "a helper process of another test"]
fn two_runs_in_one_process() {
    help::play();
}

#[test]
#[ignore = "the fake kubectl that starts hallpass for other tests"]
fn kubectl_parent() {
    kubectl::play();
}
