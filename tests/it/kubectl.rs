//! `hallpass kubectl`, as kubectl and its kind start it.
//!
//! Who starts it matters, so each test has its own parents: processes that start hallpass when
//! they are told to, as kubectl does within one command.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, Gate, patch};
use crate::sandbox::{Outcome, Sandbox, another_name, files_below};
use crate::scene::Scene;

const HALLPASS: &str = env!("CARGO_BIN_EXE_hallpass");
const INFO: &str = "KUBERNETES_EXEC_INFO";
const SERVER: &str = "https://k8s.corp.example:6443";
/// What a kubeconfig's exec entry has behind its command.
const CORP: &[&str] = &["kubectl", "--provider", "corp"];
const CLUSTER: &str = "[[resources]]\nmatch = \"https://k8s.corp.example:6443\"\nprovider = \"corp\"\n\
                       tools = [\"kubectl\"]\n";

/// As client-go writes it.
fn info(spec: &Value) -> String {
    json!({
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": spec,
    })
    .to_string()
}

/// The request of most tests: kubectl with a cluster that no entry of the configuration names.
fn plain() -> String {
    at(SERVER, &Value::Null)
}

/// Without `provideClusterInfo`.
fn undescribed() -> String {
    info(&json!({ "interactive": false }))
}

/// With `provideClusterInfo: true`.
pub(crate) fn at(server: &str, config: &Value) -> String {
    let cluster =
        json!({ "server": server, "certificate-authority-data": "Q0E=", "config": config });
    info(&json!({ "interactive": false, "cluster": cluster }))
}

/// A process that starts hallpass, as often as it is told to.
pub(crate) struct Parent {
    process: Child,
    orders: ChildStdin,
    results: BufReader<ChildStdout>,
    /// Some client libraries read the plugin's stderr for their own error. kubectl shares its own.
    captures_stderr: bool,
    _errors: tempfile::NamedTempFile,
}

impl Parent {
    pub(crate) fn new(scene: &Scene) -> Self {
        Self::of(&scene.sandbox)
    }

    /// One whose environment is the sandbox's, as it is now.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let this = std::env::current_exe().unwrap();
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut command = sandbox.surround(Command::new(this));
        let mut process = command
            .args([
                "--exact",
                "kubectl_parent",
                "--ignored",
                "--nocapture",
                "--quiet",
            ])
            .env(PARENT, errors.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        Self {
            orders: process.stdin.take().unwrap(),
            results: BufReader::new(process.stdout.take().unwrap()),
            process,
            captures_stderr: false,
            _errors: errors,
        }
    }

    fn order(&mut self, sandbox: &Sandbox, program: &str, info: &str, arguments: &[&str]) {
        let mut variables: BTreeMap<_, _> = sandbox
            .variables()
            .iter()
            .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        variables.insert(INFO, info);
        let order = json!({ "program": program, "arguments": arguments, "variables": variables,
            "captures": self.captures_stderr });
        writeln!(self.orders, "{order}").unwrap();
    }

    fn result(&mut self) -> Outcome {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.results.read_line(&mut line).unwrap(),
                0,
                "the parent is gone"
            );
            // The test harness has words of its own.
            let Some(result) = line.trim_end().strip_prefix(MARK) else {
                continue;
            };
            let result: Value = serde_json::from_str(result).unwrap();
            let text = |member: &str| result[member].as_str().unwrap().to_owned();
            return Outcome {
                what: "kubectl".to_owned(),
                code: result["code"]
                    .as_i64()
                    .and_then(|code| code.try_into().ok()),
                stdout: text("stdout"),
                stderr: text("stderr"),
                took: Duration::ZERO,
            };
        }
    }

    pub(crate) fn run(&mut self, scene: &Scene, info: &str, arguments: &[&str]) -> Outcome {
        self.run_in(&scene.sandbox, info, arguments)
    }

    /// With the sandbox's variables as they are now: what differs from the parent's own is an exec
    /// entry's `env`.
    pub(crate) fn run_in(&mut self, sandbox: &Sandbox, info: &str, arguments: &[&str]) -> Outcome {
        self.order(sandbox, HALLPASS, info, arguments);
        self.result()
    }

    fn asks(&mut self, scene: &Scene) -> Outcome {
        self.run(scene, &plain(), CORP)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

const MARK: &str = "RESULT ";
const PARENT: &str = "KUBECTL_PARENT";

/// What a [`Parent`]'s process does.
pub(crate) fn play() {
    let Some(errors) = std::env::var_os(PARENT) else {
        return; // Not started by a test.
    };
    for order in std::io::stdin().lines() {
        let order: Value = serde_json::from_str(&order.unwrap()).unwrap();
        let words = order["arguments"].as_array().unwrap();
        let variables = order["variables"].as_object().unwrap();
        let before = std::fs::read(&errors).unwrap().len();
        let output = Command::new(order["program"].as_str().unwrap())
            .args(words.iter().map(|word| word.as_str().unwrap()))
            .env_clear()
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (name, value.as_str().unwrap())),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if order["captures"] == true {
                Stdio::piped()
            } else {
                Stdio::inherit()
            })
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        let written = std::fs::read(&errors).unwrap();
        let stderr = [&output.stderr, &written[before..]].concat();
        let result = json!({
            "code": output.status.code(),
            "stdout": String::from_utf8(output.stdout).unwrap(),
            "stderr": String::from_utf8(stderr).unwrap(),
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{MARK}{result}").unwrap();
        out.flush().unwrap();
    }
}

/// The token of a reply that is what client-go reads, and nothing else.
#[track_caller]
pub(crate) fn token(outcome: &Outcome) -> String {
    let reply = outcome.json();
    assert!(outcome.stdout.starts_with('{'), "{outcome}");
    assert_eq!(reply["kind"], "ExecCredential", "{outcome}");
    reply["status"]["token"].as_str().unwrap().to_owned()
}

pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&payload.unwrap()).unwrap()
}

fn seconds(outcome: &Outcome) -> i64 {
    let reply = outcome.json();
    let at = reply["status"]["expirationTimestamp"].as_str().unwrap();
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(at, &format)
        .unwrap()
        .unix_timestamp()
}

/// Configures `corp` and `[[resources]]` behind it.
fn scene_with(resources: &str) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!("\n{resources}"));
    scene
}

// --- the reply ---

#[test]
fn the_reply_holds_the_id_token_in_the_requested_version() {
    let scene = Scene::new();
    let mut kubectl = Parent::new(&scene);
    let first = kubectl.asks(&scene);
    let claims = claims(&token(&first));
    assert_eq!(
        (claims["aud"].as_str(), claims["sub"].as_str()),
        (Some("hallpass"), Some("sub-of-alice"))
    );
    assert_eq!(
        first.json()["apiVersion"],
        "client.authentication.k8s.io/v1"
    );
    let left = claims["exp"].as_i64().unwrap() - seconds(&first);
    assert!((60..=61).contains(&left), "{left} s early");

    let beta = plain().replace("/v1", "/v1beta1");
    let reply = Parent::new(&scene).run(&scene, &beta, CORP);
    assert_eq!(
        reply.json()["apiVersion"],
        "client.authentication.k8s.io/v1beta1"
    );
    assert_eq!(token(&reply), token(&first));
    let access =
        Parent::new(&scene).run(&scene, &plain(), &[CORP, &["--token", "access"]].concat());
    assert_eq!(
        scene.provider.owner(&token(&access)).as_deref(),
        Some("alice")
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn it_is_a_plugin_of_kubectl_by_its_own_name() {
    let scene = Scene::new();
    let name = format!("kubectl-hallpass{}", std::env::consts::EXE_SUFFIX);
    let program = scene.sandbox.root().join(name);
    another_name(&program);
    let mut kubectl = Parent::new(&scene);
    let program = program.to_str().unwrap();
    kubectl.order(&scene.sandbox, program, &plain(), &["--provider", "corp"]);
    let reply = kubectl.result().json();
    assert_eq!(reply["kind"], "ExecCredential");
}

#[test]
fn a_person_who_types_it_is_told_what_to_type() {
    let scene = Scene::new();
    scene.sandbox.run(CORP).fails_saying(
        2,
        &["KUBERNETES_EXEC_INFO is not set", "hallpass get-token"],
    );
    for (info, word) in [("{", "is not JSON"), ("{}", "ExecCredential")] {
        Parent::new(&scene)
            .run(&scene, info, CORP)
            .fails_saying(2, &[word]);
    }
    let alpha = plain().replace("/v1", "/v1alpha1");
    Parent::new(&scene)
        .run(&scene, &alpha, CORP)
        .fails_saying(2, &["v1alpha1", "v1beta1"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn a_reply_never_holds_a_past_expiry() {
    let mut scene = Scene::new();
    scene.provider.behave(|b| b.lifetime = 100);
    let access = &[CORP, &["--token", "access"]].concat();
    let asks = |scene: &Scene| Parent::new(scene).run(scene, &plain(), access);
    let first = asks(&scene);
    scene.advance(85);
    // Fresh enough still, so it is the same token.
    assert_eq!(token(&asks(&scene)), token(&first));
    scene.advance(10);
    let started = Instant::now();
    let refreshed = asks(&scene);
    assert_ne!(token(&refreshed), token(&first));
    scene.advance(95);
    // In its last seconds, and nobody there to refresh it: still a few seconds from now.
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::status(503));
    let last = asks(&scene);
    assert_eq!(token(&last), token(&refreshed));
    let gained = seconds(&last) - seconds(&refreshed);
    // A busy machine takes seconds for the two answers.
    let slow = i64::try_from(started.elapsed().as_secs()).unwrap();
    assert!((1..10 + slow).contains(&gained), "{gained} s");
    scene.advance(10);
    asks(&scene).fails_saying(1, &["503"]);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_clock_that_is_ahead_is_named() {
    let mut scene = Scene::new();
    // The ID token lives five minutes, and this host's clock is further ahead than that: by less
    // than what is tolerated of clocks.
    scene.provider.behave(|b| b.lifetime = 300);
    scene.sandbox.set("HALLPASS_TEST_CLOCK", "330");
    Parent::new(&scene)
        .asks(&scene)
        .fails_saying(1, &["already expired", "`date`"]);
}

#[test]
fn an_entry_whose_provider_issues_no_id_token_fails_before_a_browser_opens() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"offline_access\"]");
    Parent::new(&scene)
        .asks(&scene)
        .fails_saying(2, &["openid", "--token access"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn a_client_that_captures_stderr_gets_the_error_at_each_call() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"offline_access\"]");
    let mut client = Parent::new(&scene);
    client.captures_stderr = true;
    for _ in 0..3 {
        client.asks(&scene).fails_saying(2, &["--token access"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_provider_that_omits_the_id_token_gets_one_request() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.token_response = patch(json!({ "id_token": null })));
    let mut kubectl = Parent::new(&scene);
    kubectl.asks(&scene).fails_saying(1, &["no ID token"]);
    for _ in 0..4 {
        kubectl.asks(&scene).fails_silently(3);
    }
    Parent::new(&scene).asks(&scene).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- a refused token ---

#[cfg(target_os = "linux")]
#[test]
fn a_repeat_within_one_command_is_answered_with_a_refreshed_token() {
    let scene = Scene::new();
    let mut kubectl = Parent::new(&scene);
    let first = token(&kubectl.asks(&scene));
    let second = token(&kubectl.asks(&scene));
    assert_ne!(first, second);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // Whoever keeps nothing asks on, and gets what is kept.
    for _ in 0..4 {
        assert_eq!(token(&kubectl.asks(&scene)), second);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // Another command has refused nothing yet.
    assert_eq!(token(&Parent::new(&scene).asks(&scene)), second);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn two_commands_whose_token_was_refused_share_one_refresh() {
    let scene = Scene::new();
    let (mut one, mut other) = (Parent::new(&scene), Parent::new(&scene));
    let first = token(&one.asks(&scene));
    assert_eq!(token(&other.asks(&scene)), first);
    let second = token(&one.asks(&scene));
    assert_ne!(second, first);
    assert_eq!(token(&other.asks(&scene)), second);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_refuses_everything_costs_one_refresh_and_spoils_nothing_for_others() {
    let scene = Scene::new();
    for _ in 0..3 {
        let mut kubectl = Parent::new(&scene);
        for _ in 0..6 {
            token(&kubectl.asks(&scene));
        }
    }
    // A forced refresh is made once in five minutes.
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.get_token(&["--interactive", "never"]).token();
}

#[cfg(target_os = "linux")]
#[test]
fn after_the_expiry_that_was_told_it_is_an_ordinary_request() {
    let mut scene = Scene::new();
    let mut k9s = Parent::new(&scene);
    let first = token(&k9s.asks(&scene));
    scene.advance(3545);
    let second = token(&k9s.asks(&scene));
    assert_ne!(second, first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // Refused once more, an hour later: healed once more.
    let third = token(&k9s.asks(&scene));
    assert_ne!(third, second);
}

#[cfg(target_os = "linux")]
#[test]
fn one_program_at_two_clusters_repeats_nothing() {
    let scene =
        scene_with("[[resources]]\nmatch = \"https://*.corp.example\"\nprovider = \"corp\"\n");
    let mut k9s = Parent::new(&scene);
    let (one, other) = (
        at("https://one.corp.example", &Value::Null),
        at("https://two.corp.example", &Value::Null),
    );
    let first = token(&k9s.run(&scene, &one, &["kubectl"]));
    assert_eq!(token(&k9s.run(&scene, &other, &["kubectl"])), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    assert_ne!(token(&k9s.run(&scene, &one, &["kubectl"])), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_refresh_that_fails_leaves_the_token_to_those_who_keep_nothing() {
    let scene = Scene::new();
    let mut python = Parent::new(&scene);
    let first = token(&python.asks(&scene));
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::status(503));
    let second = python.asks(&scene);
    assert_eq!(token(&second), first);
    assert!(second.stderr.contains("seems to have refused"), "{second}");
    assert!(second.stderr.contains("503"), "{second}");
    for _ in 0..3 {
        let next = python.asks(&scene);
        assert_eq!((token(&next), next.stderr.as_str()), (first.clone(), ""));
    }
    // One attempt, which requests an answer that a gateway lost once more.
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_that_has_ended_leads_to_a_sign_in_within_the_command() {
    let scene = Scene::new();
    let mut kubectl = Parent::new(&scene);
    let first = token(&kubectl.asks(&scene));
    scene.provider.break_down(
        Endpoint::Refresh,
        Fault::json(400, &json!({ "error": "invalid_grant" })),
    );
    let second = token(&kubectl.asks(&scene));
    assert_ne!(second, first);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn without_a_refresh_token_only_the_cached_token_is_used() {
    let mut scene = Scene::new();
    scene.configure("scopes = [\"openid\"]");
    let mut python = Parent::new(&scene);
    let first = token(&python.asks(&scene));
    let mut told = 0;
    for _ in 0..3 {
        let again = python.asks(&scene);
        assert_eq!(token(&again), first);
        told += usize::from(again.stderr.contains("hallpass login corp"));
    }
    let knows_its_parents = cfg!(target_os = "linux");
    assert_eq!(
        told,
        usize::from(knows_its_parents),
        "once, and not each time"
    );
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn the_handout_record_is_in_the_runtime_folder_and_holds_no_secret() {
    let mut scene = Scene::new();
    let runtime = scene.sandbox.root().join("runtime");
    private_dir(&runtime);
    scene.sandbox.set("XDG_RUNTIME_DIR", &runtime);
    let mut kubectl = Parent::new(&scene);
    let first = token(&kubectl.asks(&scene));
    let files = files_below(&runtime);
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read(&files[0]).unwrap();
    assert!(!crate::sandbox::leaks(&text, &first));
    for (kind, secret) in scene.provider.secrets() {
        assert!(!crate::sandbox::leaks(&text, &secret), "{kind}");
    }
    assert_ne!(token(&kubectl.asks(&scene)), first);

    // One that somebody else could have made is not used: the data folder's is.
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755)).unwrap();
        let before = std::fs::read(&files[0]).unwrap();
        let mut other = Parent::new(&scene);
        let said = other.run(&scene, &plain(), &[CORP, &["-v"]].concat());
        assert!(
            said.stderr.contains("using the data folder instead"),
            "{said}"
        );
        other.asks(&scene);
        assert_eq!(std::fs::read(&files[0]).unwrap(), before);
        assert!(scene.sandbox.data_dir().join("runtime/kubectl").exists());
    }
}

#[cfg(target_os = "linux")]
fn private_dir(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

// --- one tab ---

#[cfg(target_os = "linux")]
#[test]
fn five_tries_of_one_command_open_one_tab_and_so_does_a_night_of_polling() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    let mut editor = Parent::new(&scene);
    editor.asks(&scene).fails_with(4);
    // One error for all of them, unless -v is given.
    for _ in 0..4 {
        editor.asks(&scene).fails_silently(3);
    }
    let told = editor.run(&scene, &plain(), &[CORP, &["-v"]].concat());
    told.fails_saying(3, &["already failed", "hallpass login corp"]);
    for _ in 0..20 {
        scene.advance(1000);
        assert_eq!(editor.asks(&scene).code, Some(3));
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
    // Another command may ask, for the pause after the "no" is long over.
    Parent::new(&scene).asks(&scene).fails_with(4);
    assert_eq!(scene.sandbox.opened().len(), 2);
    // One sign-in clears it for all.
    scene.sandbox.browser_will("sign-in");
    scene.login(&[]).succeeds();
    token(&editor.asks(&scene));
    // That session ends one day, and then the editor may ask again.
    scene.provider.break_down(
        Endpoint::Refresh,
        Fault::json(400, &json!({ "error": "invalid_grant" })),
    );
    scene.advance(4000);
    token(&editor.asks(&scene));
    assert_eq!(scene.sandbox.opened().len(), 4);
}

#[test]
fn a_pause_after_a_failed_sign_in_is_for_all_commands() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    Parent::new(&scene).asks(&scene).fails_with(4);
    for _ in 0..3 {
        Parent::new(&scene)
            .asks(&scene)
            .fails_saying(4, &["hallpass won't ask again"]);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
    scene.advance(301);
    scene.sandbox.browser_will("sign-in");
    token(&Parent::new(&scene).asks(&scene));
}

#[cfg(target_os = "linux")]
#[test]
fn a_sign_in_that_times_out_is_offered_once_per_command() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
    scene.sandbox.browser_will("ignore");
    let mut kubectl = Parent::new(&scene);
    kubectl.asks(&scene).fails_saying(4, &["timed out"]);
    scene.advance(100);
    kubectl.asks(&scene).fails_silently(3);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn twenty_commands_from_nothing_open_one_tab() {
    let scene = Scene::new();
    let mut kubectls: Vec<_> = (0..20).map(|_| Parent::new(&scene)).collect();
    for kubectl in &mut kubectls {
        kubectl.order(&scene.sandbox, HALLPASS, &plain(), CORP);
    }
    let tokens: Vec<_> = kubectls
        .iter_mut()
        .map(|one| token(&one.result()))
        .collect();
    assert!(tokens.iter().all(|one| *one == tokens[0]));
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn those_who_wait_say_who_signs_in_and_hear_its_no() {
    let mut scene = Scene::new();
    scene.sandbox.browser_will("decline");
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::Authorize, Fault::Held(gate.clone()));
    let mut first = Parent::new(&scene);
    first.order(&scene.sandbox, HALLPASS, &plain(), CORP);
    gate.wait_for_arrivals(1);
    let mut others: Vec<_> = (0..3).map(|_| Parent::new(&scene)).collect();
    for other in &mut others {
        other.order(&scene.sandbox, HALLPASS, &plain(), CORP);
    }
    // They wait for the lock by now, or will; either way they hear how it ended.
    gate.open();
    first.result().fails_with(4);
    for other in &mut others {
        let heard = other.result();
        heard.fails_with(4);
        // One that came after the end was told of the pause, and has asked nobody yet.
        let came_later = heard.stderr.contains("won't ask again");
        other
            .asks(&scene)
            .fails_silently(if came_later { 4 } else { 3 });
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn one_device_sign_in_serves_all_who_wait() {
    let scene = Scene::new();
    let device = &[CORP, &["--flow", "device"]].concat();
    let mut first = Parent::new(&scene);
    let mut other = Parent::new(&scene);
    let gate = Gate::default();
    scene
        .provider
        .break_down(Endpoint::DevicePoll, Fault::Held(gate.clone()));
    first.order(&scene.sandbox, HALLPASS, &plain(), device);
    gate.wait_for_arrivals(1);
    other.order(&scene.sandbox, HALLPASS, &plain(), device);
    scene.provider.approve_devices("alice");
    gate.open();
    let signed_in = first.result();
    assert!(signed_in.stderr.contains("with the code"), "{signed_in}");
    assert_eq!(token(&other.result()), token(&signed_in));
    assert_eq!(scene.provider.count(Endpoint::DeviceAuthorization), 1);
}

#[test]
fn with_prompting_disabled_no_sign_in_starts() {
    let mut scene = Scene::new();
    let never = &[CORP, &["--interactive", "never"]].concat();
    Parent::new(&scene)
        .run(&scene, &plain(), never)
        .fails_saying(3, &["hallpass login corp"]);
    scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
    Parent::new(&scene).asks(&scene).fails_with(3);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn without_a_store_kubectl_starts_no_sign_in() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_STORE", "none");
    Parent::new(&scene)
        .asks(&scene)
        .fails_saying(1, &["store = \"file\""]);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

// --- refreshing ---

#[test]
fn a_refresh_without_an_id_token_keeps_the_old_one_to_its_end() {
    let mut scene = Scene::new();
    scene.provider.behave(|b| b.id_token.on_refresh = false);
    let first = token(&Parent::new(&scene).asks(&scene));
    scene.advance(3550);
    let second = Parent::new(&scene).asks(&scene);
    assert_eq!(token(&second), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.advance(10);
    assert_eq!(token(&Parent::new(&scene).asks(&scene)), first);
    assert_eq!(
        scene.provider.count(Endpoint::Refresh),
        1,
        "another would bring no more"
    );
    // At its end a person is needed, and asked once.
    scene.advance(60);
    let mut kubectl = Parent::new(&scene);
    let never = &[CORP, &["--interactive", "never"]].concat();
    kubectl
        .run(&scene, &plain(), never)
        .fails_saying(3, &["expired"]);
    assert_ne!(token(&kubectl.asks(&scene)), first);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn an_expired_id_token_is_not_reused_after_a_refresh_without_one() {
    let mut scene = Scene::new();
    scene.provider.behave(|b| b.id_token.on_refresh = false);
    let first = token(&Parent::new(&scene).asks(&scene));
    scene.advance(4000);
    let second = token(&Parent::new(&scene).asks(&scene));
    assert_ne!(second, first);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_provider_in_trouble_never_opens_a_browser() {
    let mut scene = Scene::new();
    let first = token(&Parent::new(&scene).asks(&scene));
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    scene.advance(3550);
    for fault in [Fault::status(503), Fault::NoAnswer, Fault::html(200)] {
        scene.end_pause();
        scene.provider.break_down(Endpoint::Refresh, fault);
        assert_eq!(token(&Parent::new(&scene).asks(&scene)), first);
    }
    scene.advance(100);
    for (fault, word) in [
        (Fault::status(503), "503"),
        (Fault::NoAnswer, "was interrupted"),
    ] {
        scene.end_pause();
        scene.provider.break_down(Endpoint::Refresh, fault);
        Parent::new(&scene).asks(&scene).fails_saying(1, &[word]);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- which provider, which account ---

#[test]
fn the_server_finds_its_provider_and_its_account() {
    let scene = scene_with(
        "[[resources]]\nmatch = \"https://*.corp.example:6443\"\nprovider = \"corp\"\naccount = \"work\"\n\
         [[resources]]\nmatch = \"https://api.corp.example:6443\"\nprovider = \"corp\"\ntools = [\"git\"]\n",
    );
    let reply = Parent::new(&scene).run(&scene, &at(SERVER, &Value::Null), &["kubectl"]);
    token(&reply);
    // An entry for git is none for kubectl, however close it is.
    let api = at(
        "https://api.corp.example:6443/k8s/clusters/c-1",
        &Value::Null,
    );
    assert_eq!(
        token(&Parent::new(&scene).run(&scene, &api, &["kubectl"])),
        token(&reply)
    );
    assert_eq!(scene.sessions()[0]["account"], "work");
    for server in [
        "https://k8s.corp.example",
        "https://k8s.corp.example.evil.example:6443",
        "https://evil.example",
    ] {
        let mut kubectl = Parent::new(&scene);
        let refused = kubectl.run(&scene, &at(server, &Value::Null), &["kubectl"]);
        refused.fails_saying(
            1,
            &[
                "no [[resources]] entry assigns",
                server,
                "hallpass setup kubectl --dry-run",
            ],
        );
        // The kubeconfig may be a stranger's.
        assert!(!refused.stderr.contains("provider = "), "{refused}");
    }
}

#[test]
fn a_provider_with_its_own_clusters_answers_for_no_other() {
    let scene = scene_with(CLUSTER);
    scene.get_token(&[]).token();
    let issuer = scene.provider.issuer();
    let ad_hoc: &[&str] = &[
        "kubectl",
        "--issuer-url",
        &issuer,
        "--client-id",
        "hallpass",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
    ];
    let named = json!({ "provider": "corp" });
    let described = json!({ "issuerURL": issuer, "clientID": "hallpass", "scopes": ["openid", "offline_access"] });
    let cases: [(&[&str], &Value); 4] = [
        (CORP, &Value::Null),
        (ad_hoc, &Value::Null),
        (&["kubectl"], &named),
        (&["kubectl"], &described),
    ];
    for (arguments, config) in cases {
        let run = |info: &str| Parent::new(&scene).run(&scene, info, arguments);
        token(&run(&at(SERVER, config)));
        let with = |more: Value| {
            let mut cluster = json!({ "server": SERVER, "config": config });
            for (key, value) in more.as_object().unwrap() {
                cluster[key] = value.clone();
            }
            info(&json!({ "cluster": cluster }))
        };
        run(&at("https://evil.example", config))
            .fails_saying(1, &["corp does not open", "evil.example"]);
        run(&with(json!({ "insecure-skip-tls-verify": true }))).fails_saying(1, &["not verified"]);
        run(&with(json!({ "server": "http://k8s.corp.example:6443" })))
            .fails_saying(1, &["plain http"]);
        // A proxy of the kubeconfig's with an authority of the kubeconfig's can be any server.
        let through = json!({ "proxy-url": "http://proxy.evil.example", "certificate-authority-data": "Q0E=" });
        run(&with(through)).fails_saying(1, &["proxy", "use_cluster_proxy"]);
        // And so can one that leads to whoever has a certificate of that other name.
        let renamed =
            json!({ "proxy-url": "http://proxy.evil.example", "tls-server-name": "evil.example" });
        run(&with(renamed)).fails_saying(1, &["proxy", "TLS name", "use_cluster_proxy"]);
        token(&run(&with(
            json!({ "proxy-url": "http://proxy.corp.example" }),
        )));
        if config.is_null() {
            run(&undescribed()).fails_saying(1, &["provideClusterInfo: true"]);
        }
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn plain_http_is_answered_on_this_machine_only() {
    let scene = scene_with(
        "[[resources]]\nmatch = \"http://127.0.0.1:8001\"\nprovider = \"corp\"\ntools = [\"kubectl\"]\n",
    );
    let local = at("http://127.0.0.1:8001", &Value::Null);
    token(&Parent::new(&scene).run(&scene, &local, CORP));
    // kubectl takes a kubeconfig's proxy to this machine as well.
    let away = info(&json!({ "cluster": {
        "server": "http://127.0.0.1:8001", "proxy-url": "http://proxy.evil.example",
    } }));
    Parent::new(&scene)
        .run(&scene, &away, CORP)
        .fails_saying(1, &["plain http"]);
    // Another program may not take these for this machine.
    for server in [
        "http://2130706433:8001",
        "http://0x7f.1:8001",
        "http://127.1:8001",
        "http:127.0.0.1:8001",
        "http:\\\\127.0.0.1:8001",
        "http://127.0.0.1:8001/..;/x",
        "http://127.0.0.1:8001/%2e%2e/x",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1:8001",
    ] {
        Parent::new(&scene)
            .run(&scene, &at(server, &Value::Null), CORP)
            .fails_saying(1, &["not a plain http or https URL"]);
    }
    let open = Scene::new();
    let plain_http = at("http://k8s.corp.example", &Value::Null);
    Parent::new(&open)
        .run(&open, &plain_http, CORP)
        .fails_saying(1, &["plain http"]);
}

#[test]
fn a_cluster_names_its_own_provider_or_one_that_opens_it() {
    let scene = Scene::new();
    let issuer = scene.provider.issuer();
    // Nobody configured this client.
    scene
        .provider
        .behave(|b| b.client_id = "cluster".to_owned());
    let described = json!({
        "issuerURL": issuer, "clientID": "cluster", "scopes": ["openid"], "audience": "k8s",
    });
    let described = at("https://anywhere.example", &described);
    let first = token(&Parent::new(&scene).run(&scene, &described, &["kubectl"]));
    assert_eq!(claims(&first)["aud"], "cluster");
    assert_eq!(
        scene.provider.seen(Endpoint::Authorize)[0].query("audience"),
        Some("k8s")
    );

    // A configured provider has to open the server, also where it has no clusters of its own; a
    // preset is one too.
    for name in ["corp", "codeberg"] {
        let named = at(
            "https://anywhere.example",
            &json!({ "provider": name, "token": "access" }),
        );
        let refused = Parent::new(&scene).run(&scene, &named, &["kubectl"]);
        refused.fails_saying(1, &[&format!("{name} does not open")]);
    }
    let unknown = at(SERVER, &json!({ "provider": "nobody" }));
    Parent::new(&scene)
        .run(&scene, &unknown, &["kubectl"])
        .fails_saying(2, &["unknown provider `nobody`"]);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_registration_is_known_by_its_client_and_its_host() {
    let mut scene = Scene::new();
    let (issuer, base) = (scene.provider.issuer(), scene.provider.base().to_owned());
    // Set by hand, as for a server whose metadata are wrong: no issuer is named.
    scene.sandbox.config(&format!(
        "[providers.corp]\ntoken_endpoint = \"{base}/token\"\n\
         authorization_endpoint = \"{base}/authorize\"\nclient_id = \"hallpass\"\n{CLUSTER}"
    ));
    let evil = at("https://evil.example", &Value::Null);
    let run = |client: &str| {
        let flags = ["kubectl", "--issuer-url", &issuer, "--client-id", client];
        let flags = [&flags[..], &["--scope", "openid"]].concat();
        Parent::new(&scene).run(&scene, &evil, &flags)
    };
    run("hallpass").fails_saying(1, &["corp does not open"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
    scene
        .provider
        .behave(|b| b.client_id = "cluster".to_owned());
    token(&run("cluster"));
}

#[test]
fn two_words_about_the_provider_have_to_agree() {
    let scene = scene_with(CLUSTER);
    let named = at(SERVER, &json!({ "provider": "other" }));
    Parent::new(&scene)
        .run(&scene, &named, CORP)
        .fails_saying(2, &["one provider", "another"]);
    for config in [
        json!({ "issuerURL": "https://login.example" }),
        json!({ "clientID": "x" }),
        json!({ "provider": "corp", "issuerURL": "https://login.example", "clientID": "x" }),
    ] {
        let run = Parent::new(&scene).run(&scene, &at(SERVER, &config), &["kubectl"]);
        run.fails_saying(2, &["`issuerURL` and `clientID`"]);
    }
    let same = at(SERVER, &json!({ "provider": "corp" }));
    token(&Parent::new(&scene).run(&scene, &same, CORP));
    let unknown = at(SERVER, &json!({ "clientSecret": "x" }));
    Parent::new(&scene)
        .run(&scene, &unknown, CORP)
        .fails_saying(2, &["unknown key `clientSecret`"]);
}

#[test]
fn of_several_accounts_the_kubeconfig_chooses_one_that_is_there() {
    let mut scene = scene_with(CLUSTER);
    let work = at(SERVER, &json!({ "account": "work" }));
    let unknown = Parent::new(&scene).run(&scene, &work, &["kubectl"]);
    unknown.fails_saying(3, &["account work", "hallpass login corp --account work"]);
    assert_eq!(scene.sandbox.opened().len(), 0);
    let mine = token(&Parent::new(&scene).run(&scene, &at(SERVER, &Value::Null), &["kubectl"]));
    scene.sandbox.person("bob");
    scene.login(&["--account", "work"]).succeeds();
    let theirs = token(&Parent::new(&scene).run(&scene, &work, &["kubectl"]));
    assert_eq!(
        (
            claims(&mine)["sub"].as_str(),
            claims(&theirs)["sub"].as_str()
        ),
        (Some("sub-of-alice"), Some("sub-of-bob"))
    );
    // The command line is the exec entry's own.
    let named = &[CORP, &["--account", "work"]].concat();
    assert_eq!(
        token(&Parent::new(&scene).run(&scene, &at(SERVER, &Value::Null), named)),
        theirs
    );
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_request_without_a_cluster_is_refused_without_a_recorded_entry() {
    for resources in ["", CLUSTER] {
        let scene = scene_with(resources);
        scene.get_token(&[]).token();
        for arguments in [CORP, &["kubectl"], &[CORP, &["--entry", "0123"]].concat()] {
            Parent::new(&scene)
                .run(&scene, &undescribed(), arguments)
                .fails_saying(1, &["which cluster", "hallpass setup kubectl"]);
        }
    }
}

// --- what else meets a plugin ---

#[test]
fn a_token_without_an_expiry_is_returned_without_one() {
    let scene = Scene::new();
    scene
        .provider
        .behave(|b| b.token_response = patch(json!({ "expires_in": null })));
    let access = &[CORP, &["--token", "access"]].concat();
    let mut kubectl = Parent::new(&scene);
    let reply = kubectl.run(&scene, &plain(), access);
    let first = token(&reply);
    assert_eq!(reply.json()["status"].get("expirationTimestamp"), None);
    if cfg!(target_os = "linux") {
        // kubectl keeps it until a 401, so who comes back has met one.
        assert_ne!(token(&kubectl.run(&scene, &plain(), access)), first);
    }
}

/// kube-rs asks again a minute before the expiry that it was told.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_comes_early_gets_a_good_token_each_time_and_costs_a_refresh_an_hour() {
    let mut scene = Scene::new();
    let mut client = Parent::new(&scene);
    let first = client.asks(&scene);
    let start = claims(&token(&first))["iat"].as_i64().unwrap();
    let (mut until, mut now) = (seconds(&first), start);
    while now < start + 4 * 3600 {
        // In a token's last minute it asks with each request of its own.
        let step = (until - 59 - now).max(20);
        scene.advance(step);
        now += step;
        let reply = client.asks(&scene);
        until = seconds(&reply);
        let end = claims(&token(&reply))["exp"].as_i64().unwrap();
        assert!(now + 30 < end && now < until && until < end, "{reply}");
    }
    let refreshes = scene.provider.count(Endpoint::Refresh);
    assert!((4..=5).contains(&refreshes), "{refreshes}");
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn after_a_logout_nothing_is_returned_from_the_cache() {
    let scene = Scene::new();
    let mut k9s = Parent::new(&scene);
    let first = token(&k9s.asks(&scene));
    token(&Parent::new(&scene).asks(&scene));
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert!(scene.provider.count(Endpoint::Revocation) > 0);
    let never = &[CORP, &["--interactive", "never"]].concat();
    k9s.run(&scene, &plain(), never).fails_with(3);
    Parent::new(&scene)
        .run(&scene, &plain(), never)
        .fails_with(3);
    assert_ne!(token(&k9s.asks(&scene)), first);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn a_port_that_is_taken_is_named_once_for_all_tries_and_opens_nothing() {
    let mut scene = Scene::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    scene.configure(&format!(
        "redirect_uri = \"http://127.0.0.1:{port}/callback\""
    ));
    let mut kubectl = Parent::new(&scene);
    // kubectl tries up to six times.
    kubectl.asks(&scene).fails_saying(1, &[&port.to_string()]);
    for _ in 0..2 {
        let again = kubectl.asks(&scene);
        // Only Linux tells whether the parent shows the same stderr.
        if cfg!(target_os = "linux") {
            again.fails_silently(1);
        } else {
            again.fails_saying(1, &[&port.to_string()]);
        }
    }
    // Another command is told again.
    let other = Parent::new(&scene).asks(&scene);
    other.fails_saying(1, &[&port.to_string()]);
    assert_eq!(scene.sandbox.opened().len(), 0);
    drop(taken);
    token(&kubectl.asks(&scene));
}

#[test]
fn a_changed_client_secret_is_the_same_session() {
    let mut scene = Scene::new();
    let secret = |name: &str, text: &str| {
        let path = scene.sandbox.root().join(name);
        crate::sandbox::private_file(&path, text);
        path
    };
    let files = [secret("one", "first"), secret("two", "second")];
    for (file, text) in files.iter().zip(["first", "second"]) {
        scene.provider.behave(|b| {
            b.client_auth = crate::provider::ClientAuth::Post {
                secret: text.to_owned(),
            };
        });
        scene.configure(&format!(
            "client_secret_file = {:?}\nclient_auth = \"post\"",
            file.display()
        ));
        token(&Parent::new(&scene).asks(&scene));
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn what_a_kubeconfig_says_of_a_server_stays_on_its_line() {
    let scene = Scene::new();
    let server = "https://k8s.corp.example/\nhint: run evil";
    let reply = Parent::new(&scene).run(&scene, &at(server, &Value::Null), CORP);
    reply.fails_saying(1, &["not a plain http or https URL"]);
    assert!(!reply.stderr.contains("run evil"), "{reply}");
    // A path may have marks that turn the text around.
    let server = "https://k8s.corp.example/\u{202e}live";
    let reply = Parent::new(&scene).run(&scene, &at(server, &Value::Null), CORP);
    token(&reply);
    let asked = reply.stderr.lines().next().unwrap();
    assert!(
        asked.contains("k8s.corp.example/\\u{202e}live in your browser"),
        "{reply}"
    );
}
