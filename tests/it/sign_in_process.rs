//! A sign-in belongs to the account: its process outlives the callers that are waiting for it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::provider::{Endpoint, Fault};
use crate::sandbox::{Running, Sandbox, leaks, wait_for, wait_until_closed};
use crate::scene::Scene;
use crate::wire;

const GET_TOKEN: &[&str] = &["get-token", "corp"];

/// A scene in which the browser opens the sign-in page but the user does nothing.
fn unanswered() -> Scene {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("ignore");
    scene
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Starts a caller as the leader of its own process group, like a shell does.
fn in_own_group(sandbox: &Sandbox) -> Running {
    let mut command = sandbox.command();
    command.args(GET_TOKEN).process_group(0);
    Running::new(command, GET_TOKEN)
}

/// The process of the running sign-in.
fn process(scene: &Scene) -> u32 {
    let attempts = scene.sandbox.data_dir().join("attempts");
    wait_for("the trace of a sign-in", || {
        let entry = fs::read_dir(&attempts).ok()?.next()?.ok()?;
        let attempt: Value = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        let is_under_way = attempt["value"]["ended"].is_null();
        u32::try_from(attempt["value"]["pid"].as_u64().filter(|_| is_under_way)?).ok()
    })
}

fn is_running(process: u32) -> bool {
    rustix::process::test_kill_process(pid(process)).is_ok()
}

#[track_caller]
fn wait_until_gone(process: u32) {
    wait_for("the process to end", || {
        (!is_running(process)).then_some(())
    });
}

/// Every socket in a folder and its subfolders.
fn sockets_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_socket() {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

fn redirect_uri(authorization_url: &str) -> url::Url {
    let url = url::Url::parse(authorization_url).unwrap();
    let (_, uri) = url
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri")
        .unwrap();
    url::Url::parse(&uri).unwrap()
}

#[track_caller]
fn outlives_its_caller(end: impl FnOnce(&Running)) {
    let scene = unanswered();
    let caller = in_own_group(&scene.sandbox);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    assert_ne!(process, caller.id());
    end(&caller);
    assert_ne!(caller.wait().code, Some(0));
    assert!(is_running(process));
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    wait_until_gone(process);
    scene.get_token(&["--interactive", "never"]).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(sockets_below(scene.sandbox.root()), [""; 0]);
    wait_until_closed(&redirect_uri(&url));
}

#[test]
fn a_sign_in_survives_killing_its_caller() {
    outlives_its_caller(|caller| kill_process(pid(caller.id()), Signal::KILL).unwrap());
}

#[test]
fn a_sign_in_survives_killing_its_callers_process_group() {
    outlives_its_caller(|caller| kill_process_group(pid(caller.id()), Signal::KILL).unwrap());
}

#[test]
fn a_sign_in_survives_terminating_its_caller() {
    outlives_its_caller(|caller| kill_process_group(pid(caller.id()), Signal::TERM).unwrap());
}

#[test]
fn a_sign_in_survives_closing_its_callers_terminal() {
    outlives_its_caller(|caller| kill_process_group(pid(caller.id()), Signal::HUP).unwrap());
}

#[test]
fn a_sign_in_without_callers_still_times_out_and_cleans_up() {
    let mut scene = unanswered();
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "3");
    let caller = in_own_group(&scene.sandbox);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    drop(caller); // Kills it.
    wait_until_gone(process);
    wait_until_closed(&redirect_uri(&url));
    assert_eq!(sockets_below(scene.sandbox.root()), [""; 0]);
    // The result was recorded.
    scene
        .get_token(&[])
        .fails_saying(4, &["timed out", "hallpass login corp"]);
}

#[test]
fn later_callers_share_the_sign_in_of_twenty_killed_callers() {
    let scene = unanswered();
    let killed: Vec<_> = (0..20).map(|_| scene.start(&[])).collect();
    let url = scene.sandbox.wait_for_browser(1);
    drop(killed);
    let later: Vec<_> = (0..20).map(|_| scene.start(&[])).collect();
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    let tokens: Vec<_> = later
        .into_iter()
        .map(|caller| caller.wait().token().to_owned())
        .collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
}

#[test]
fn a_later_caller_shows_the_url_immediately() {
    let scene = unanswered();
    let first = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    drop(first); // Kills it, so no caller is waiting now.
    let mut login = scene.sandbox.start(&["login", "corp"]);
    login.wait_for_line(|line| line.contains(&url));
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    let outcome = login.wait();
    outcome.succeeds();
    assert!(
        outcome.stderr.contains("signed in to corp as alice"),
        "{outcome}"
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_later_caller_shows_the_device_code_immediately() {
    let scene = Scene::new();
    let mut first = scene.start(&["--flow", "device"]);
    let line = first.wait_for_line(|line| line.contains("with the code"));
    drop(first);
    let mut second = scene.start(&[]);
    second.wait_for_line(|later| later == line);
    scene.provider.approve_devices("alice");
    second.wait().token();
    assert_eq!(scene.provider.count(Endpoint::DeviceAuthorization), 1);
}

#[test]
fn interrupting_the_only_caller_cancels_the_sign_in() {
    let scene = unanswered();
    let caller = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    kill_process(pid(caller.id()), Signal::INT).unwrap();
    let outcome = caller.wait();
    assert_eq!(outcome.code, None, "it ends by the signal: {outcome}");
    assert_eq!(outcome.stdout, "");
    wait_until_gone(process);
    wait_until_closed(&redirect_uri(&url));
    assert_eq!(sockets_below(scene.sandbox.root()), [""; 0]);
}

#[test]
fn interrupting_one_of_two_callers_does_not_cancel_the_sign_in() {
    let scene = unanswered();
    let first = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let mut second = scene.start(&[]);
    second.wait_for_line(|line| line.contains(&url));
    kill_process(pid(first.id()), Signal::INT).unwrap();
    assert_eq!(first.wait().code, None);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    second.wait().token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn interrupting_every_caller_cancels_the_sign_in() {
    let scene = unanswered();
    let mut callers: Vec<_> = (0..3).map(|_| scene.start(&[])).collect();
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    for caller in &mut callers {
        caller.wait_for_line(|line| line.contains(&url));
    }
    for caller in &callers {
        kill_process(pid(caller.id()), Signal::INT).unwrap();
    }
    wait_until_gone(process);
    for caller in callers {
        assert_eq!(caller.wait().code, None);
    }
}

#[test]
fn a_callback_received_before_the_interrupt_is_stored() {
    use crate::provider::Gate;
    let scene = unanswered();
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Code, Fault::Held(gate.clone()));
    let caller = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    let callback = scene.provider.sign_in_by_hand(&url, "alice");
    let page = std::thread::spawn(move || wire::deliver(&callback));
    gate.wait_for_arrivals(1);
    kill_process(pid(caller.id()), Signal::INT).unwrap();
    assert_eq!(caller.wait().code, None);
    gate.open();
    page.join().unwrap();
    wait_until_gone(process);
    scene.get_token(&["--interactive", "never"]).token();
}

#[test]
fn a_waiting_caller_starts_a_new_sign_in_if_the_process_dies() {
    let scene = unanswered();
    let first = scene.start(&[]);
    scene.sandbox.wait_for_browser(1);
    let died = process(&scene);
    kill_process(pid(died), Signal::KILL).unwrap();
    // The dead process's socket still exists.
    let url = scene.sandbox.wait_for_browser(2);
    let second = wait_for("a new process", || {
        Some(process(&scene)).filter(|new| *new != died)
    });
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    first.wait().token();
    wait_until_gone(second);
    assert_eq!(scene.sandbox.opened().len(), 2);
    assert_eq!(sockets_below(scene.sandbox.root()), [""; 0]);
}

#[test]
fn a_process_that_keeps_dying_is_not_restarted_forever() {
    let scene = unanswered();
    let caller = scene.start(&[]);
    for count in 1..=3 {
        scene.sandbox.wait_for_browser(count);
        let process = process(&scene);
        kill_process(pid(process), Signal::KILL).unwrap();
        wait_for("its end to be noticed", || {
            (scene.sandbox.opened().len() > count || count == 3).then_some(())
        });
    }
    caller.wait().fails_saying(1, &["hallpass login corp"]);
    assert_eq!(scene.sandbox.opened().len(), 3);
}

/// A script may read from a pipe, inherited by its tools, until all of them have exited.
#[test]
fn the_process_does_not_hold_its_callers_inherited_files_open() {
    let scene = unanswered();
    let mut shell = scene.sandbox.surround(std::process::Command::new("sh"));
    shell
        .args(["-c", "exec \"$0\" get-token corp 7>&1 >/dev/null 2>&1"])
        .arg(env!("CARGO_BIN_EXE_hallpass"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut caller = shell.spawn().unwrap();
    let mut pipe = caller.stdout.take().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(pipe.read_to_end(&mut Vec::new()));
    });
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    caller.kill().unwrap();
    caller.wait().unwrap();
    let read = receiver.recv_timeout(std::time::Duration::from_secs(10));
    assert!(is_running(process), "the sign-in process has exited");
    read.expect("the sign-in process holds its caller's pipe open")
        .unwrap();
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    wait_until_gone(process);
    scene
        .sandbox
        .run(&["get-token", "corp", "--interactive", "never"])
        .token();
}

#[test]
fn the_process_has_no_terminal_and_no_secret_in_its_arguments_or_environment() {
    let scene = unanswered();
    let caller = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    if !cfg!(target_os = "linux") {
        return;
    }
    let proc = PathBuf::from(format!("/proc/{process}"));
    let arguments = fs::read(proc.join("cmdline")).unwrap();
    assert_eq!(arguments, b"hallpass\0sign-in-process\0");
    let stat = fs::read_to_string(proc.join("stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    // It has its own process group and session, and no controlling terminal (proc(5)).
    assert_eq!(fields[2], process.to_string());
    assert_eq!(fields[3], process.to_string());
    assert_eq!(fields[4], "0");
    // Only root can read these, because the process's memory is private.
    if let Ok(environment) = fs::read(proc.join("environ")) {
        let authorization_url = url::Url::parse(&url).unwrap();
        let (_, state) = authorization_url
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap();
        assert!(!leaks(&environment, &state));
        for (_, secret) in scene.provider.secrets() {
            assert!(!leaks(&environment, &secret));
        }
        let of_sandbox = scene.sandbox.variables().len();
        let variables = environment
            .split(|byte| *byte == 0)
            .filter(|it| !it.is_empty());
        assert_eq!(
            variables.count(),
            of_sandbox,
            "the environment has additional variables"
        );
        for stream in ["fd/0", "fd/1", "fd/2"] {
            let target = fs::read_link(proc.join(stream)).unwrap();
            assert_eq!(target, Path::new("/dev/null"), "{stream}");
        }
    }
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    caller.wait().token();
}

#[test]
fn messages_of_the_sign_in_process_reach_its_caller() {
    let scene = unanswered();
    let mut quiet = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(1);
    quiet.wait_for_line(|line| line.contains(&url));
    let mut verbose = scene.start(&["-v"]);
    verbose.wait_for_line(|line| line.contains("debug: "));
    let mut forged = redirect_uri(&url);
    forged.query_pairs_mut().append_pair("code", "x");
    assert_eq!(wire::get(forged.as_str()).unwrap().status, 400);
    verbose.wait_for_line(|line| line.contains("debug: ignored a request to the redirect URI"));
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    verbose.wait().token();
    let quiet = quiet.wait();
    quiet.token();
    assert!(!quiet.stderr.contains("debug"), "{quiet}");
}

#[test]
fn callers_with_different_data_folders_do_not_share_a_sign_in() {
    let mut scene = unanswered();
    let first = scene.start(&[]);
    scene.sandbox.wait_for_browser(1);
    let other = scene.sandbox.root().join("other-data");
    scene.sandbox.set("HALLPASS_DATA_DIR", &other);
    let second = scene.start(&[]);
    let url = scene.sandbox.wait_for_browser(2);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    second.wait().token();
    drop(first);
}

#[test]
fn a_data_folder_with_a_path_too_long_for_a_socket_puts_the_socket_elsewhere() {
    let mut scene = unanswered();
    let data = scene.sandbox.root().join("x".repeat(120));
    let runtime = scene.sandbox.root().join("runtime");
    crate::sandbox::private_dir(&runtime);
    scene.sandbox.set("HALLPASS_DATA_DIR", &data);
    scene.sandbox.set("XDG_RUNTIME_DIR", &runtime);
    let first = in_own_group(&scene.sandbox);
    let url = scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    drop(first);
    assert_eq!(sockets_below(&runtime).len(), 1);
    // From another terminal with another runtime folder, the data folder tells where the socket is.
    scene.sandbox.unset("XDG_RUNTIME_DIR");
    let mut second = scene.start(&[]);
    second.wait_for_line(|line| line.contains(&url));
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    second.wait().token();
    wait_until_gone(process);
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn if_no_process_can_be_started_the_caller_signs_in_itself() {
    // No socket can be bound, because its folder is a file.
    let mut scene = Scene::new();
    fs::create_dir_all(scene.sandbox.data_dir()).unwrap();
    let data = scene.sandbox.data_dir();
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(data.join("sign-in"), "").unwrap();
    scene.sandbox.browser_will("sign-in");
    scene.get_token(&[]).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_sign_in_can_be_restarted_after_an_upgrade() {
    let scene = unanswered();
    let program = scene.sandbox.root().join("hallpass");
    crate::sandbox::copy_program(env!("CARGO_BIN_EXE_hallpass"), &program);
    let mut command = scene.sandbox.surround(std::process::Command::new(&program));
    command.args(GET_TOKEN);
    let caller = Running::new(command, GET_TOKEN);
    scene.sandbox.wait_for_browser(1);
    // After an upgrade, the process dies and the caller starts it again.
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/false\n").unwrap();
    kill_process(pid(process(&scene)), Signal::KILL).unwrap();
    let url = scene.sandbox.wait_for_browser(2);
    wire::deliver(&scene.provider.sign_in_by_hand(&url, "alice"));
    caller.wait().token();
}

#[test]
fn removing_the_data_folder_ends_the_sign_in() {
    let scene = unanswered();
    let caller = in_own_group(&scene.sandbox);
    scene.sandbox.wait_for_browser(1);
    let process = process(&scene);
    drop(caller);
    fs::remove_dir_all(scene.sandbox.data_dir()).unwrap();
    wait_until_gone(process);
}

#[test]
fn a_device_flow_that_fails_before_showing_a_code_causes_no_pause() {
    let scene = Scene::new();
    scene
        .provider
        .break_down(Endpoint::DeviceAuthorization, Fault::NoAnswer);
    scene.get_token(&["--flow", "device"]).fails_with(1);
    scene
        .provider
        .behave(|b| b.faults.remove(&Endpoint::DeviceAuthorization));
    scene.get_token(&[]).token();
}

#[test]
fn the_process_cannot_be_started_manually() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["sign-in-process"])
        .fails_saying(2, &["by itself"]);
}
