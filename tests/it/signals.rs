//! A signal that terminates the process never loses a new refresh token.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::provider::{Endpoint, Fault, Gate, Rotation};
use crate::sandbox::{Outcome, Running};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

fn expired() -> Scene {
    let (mut scene, _) = Scene::signed_in();
    scene.advance(4000);
    scene
}

fn pid(running: &Running) -> Pid {
    Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap()
}

#[track_caller]
fn was_ended_by_a_signal(outcome: &Outcome, signal: Signal) {
    assert_eq!(outcome.code, None, "{signal:?}: {outcome}");
    assert_eq!(outcome.stdout, "", "{signal:?}: {outcome}");
}

/// Checks that the new refresh token was stored, because the provider treats an old refresh token as
/// stolen.
#[track_caller]
fn the_session_lives(scene: &mut Scene, refreshes: usize) {
    let token = scene.get_token(NEVER).token().to_owned();
    assert_eq!(scene.provider.count(Endpoint::Refresh), refreshes);
    assert_eq!(scene.provider.owner(&token).as_deref(), Some("alice"));
    scene.advance(4000);
    assert_ne!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_signal_during_a_refresh_waits_until_the_successor_is_stored() {
    for signal in ENDING {
        let mut scene = expired();
        let gate = Gate::default();
        let held = Fault::Held(gate.clone());
        scene.provider.break_down(Endpoint::Refresh, held);
        let running = scene.start(NEVER);
        gate.wait_for_arrivals(1);
        for _ in 0..3 {
            kill_process(pid(&running), signal).unwrap();
        }
        gate.open();
        was_ended_by_a_signal(&running.wait(), signal);
        the_session_lives(&mut scene, 1);
    }
}

#[test]
fn a_signal_to_the_process_group_waits_too() {
    let mut scene = expired();
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    let mut command = scene
        .sandbox
        .surround(Command::new(env!("CARGO_BIN_EXE_hallpass")));
    command
        .args(["get-token", "corp", "--interactive", "never"])
        .process_group(0);
    let running = Running::new(command, NEVER);
    gate.wait_for_arrivals(1);
    kill_process_group(pid(&running), Signal::INT).unwrap();
    gate.open();
    was_ended_by_a_signal(&running.wait(), Signal::INT);
    the_session_lives(&mut scene, 1);
}

#[test]
fn a_signal_during_the_first_attempt_also_waits_for_the_retry() {
    for signal in ENDING {
        let mut scene = expired();
        scene.provider.behave(|b| b.rotation = Rotation::Replay);
        scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "4");
        let gate = Gate::default();
        let held = Fault::Held(gate.clone()).once();
        scene.provider.break_down(Endpoint::Refresh, held);
        let running = scene.start(NEVER);
        gate.wait_for_arrivals(1);
        kill_process(pid(&running), signal).unwrap();
        was_ended_by_a_signal(&running.wait(), signal);
        gate.open();
        the_session_lives(&mut scene, 2);
    }
}

#[test]
fn a_signal_waits_no_longer_than_http_timeout() {
    let mut scene = expired();
    scene.provider.behave(|b| b.rotation = Rotation::Off);
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "2");
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    let running = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    kill_process(pid(&running), Signal::TERM).unwrap();
    // It exits silently although no response ever arrives.
    was_ended_by_a_signal(&running.wait(), Signal::TERM);
    gate.open();
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let scene = expired();
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene.provider.break_down(Endpoint::Refresh, held);
    // As under nohup.
    let mut shell = scene.sandbox.surround(Command::new("/bin/sh"));
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_hallpass"))
        .args(["get-token", "corp", "--interactive", "never"]);
    let running = Running::new(shell, NEVER);
    gate.wait_for_arrivals(1);
    kill_process(pid(&running), Signal::HUP).unwrap();
    gate.open();
    running.wait().token();
}

#[test]
fn a_signal_before_the_refresh_token_is_sent_ends_the_process_immediately() {
    let (mut scene, _) = Scene::signed_in();
    // The metadata and the keys must be fetched again.
    scene.advance(2 * 24 * 3600);
    let gate = Gate::default();
    let held = Fault::Held(gate.clone());
    scene
        .provider
        .break_down(Endpoint::OpenidConfiguration, held);
    let running = scene.start(NEVER);
    gate.wait_for_arrivals(1);
    kill_process(pid(&running), Signal::INT).unwrap();
    was_ended_by_a_signal(&running.wait(), Signal::INT);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    gate.open();
}
