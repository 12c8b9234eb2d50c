//! The credential helper of registries' clients: transcripts against the real binary and a
//! provider.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::browser;
use crate::provider::{ClientAuth, Endpoint, Fault};
use crate::registry::Registry;
use crate::sandbox::{Outcome, Running, Sandbox, files_below, leaks, private_file};
use crate::scene::Scene;

const HOST: &str = "registry.corp.example";
const HUB: &str = "https://index.docker.io/v1/";
const NOT_FOUND: &str = "credentials not found in native keychain\n";

/// A scene with a registry whose provider is `corp`.
fn scene() -> Scene {
    scene_with("")
}

fn scene_with(resource: &str) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "[[resources]]\nmatch = \"https://{HOST}\"\nprovider = \"corp\"\n{resource}"
    ));
    scene
}

trait Docker {
    fn docker(&self, operation: &str, input: &str) -> Outcome;

    fn store(&self, server: &str, username: &str, secret: &str) -> Outcome {
        let input = json!({ "ServerURL": server, "Username": username, "Secret": secret });
        self.docker("store", &input.to_string())
    }
}

impl Docker for Sandbox {
    #[track_caller]
    fn docker(&self, operation: &str, input: &str) -> Outcome {
        self.run_with_input(&["docker", operation], input.as_bytes())
    }
}

/// User name and secret of a reply to `get`, which must repeat the server URL.
#[track_caller]
fn answered(outcome: &Outcome, server: &str) -> (String, String) {
    let reply = outcome.json();
    assert_eq!(reply["ServerURL"], server, "{outcome}");
    let text = |member: &str| reply[member].as_str().unwrap().to_owned();
    (text("Username"), text("Secret"))
}

#[track_caller]
fn not_found(outcome: &Outcome) {
    assert_eq!(outcome.stdout, NOT_FOUND, "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
    assert_eq!(outcome.code, Some(1), "{outcome}");
}

#[track_caller]
fn silent(outcome: &Outcome) {
    assert_eq!(outcome.succeeds().stdout, "", "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
}

#[track_caller]
fn listed(sandbox: &Sandbox) -> Value {
    sandbox.docker("list", "unused").json()
}

// --- a registry with a provider ---

#[test]
fn a_registry_with_a_provider_needs_one_sign_in() {
    let scene = scene();
    let (username, token) = answered(&scene.sandbox.docker("get", HOST), HOST);
    assert_eq!(username, "alice");
    assert!(scene.provider.owner(&token).is_some());
    let again = scene.sandbox.docker("get", &format!("{HOST}\n"));
    assert_eq!(answered(&again, HOST), (username, token.clone()));
    assert_eq!(again.stderr, "", "{again}");
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(scene.get_token(&[]).token(), token);
}

#[test]
fn git_and_the_registry_share_a_sign_in() {
    let scene =
        scene_with("[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n");
    let git = b"protocol=https\nhost=git.corp.example\n";
    scene
        .sandbox
        .run_with_input(&["git", "get"], git)
        .succeeds();
    answered(&scene.sandbox.docker("get", HOST), HOST);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn every_spelling_of_a_registry_is_answered_and_repeated() {
    let scene = scene();
    let (_, token) = answered(&scene.sandbox.docker("get", HOST), HOST);
    for server in [
        "registry.corp.example:443",
        "https://registry.corp.example",
        "https://registry.corp.example/",
        "https://registry.corp.example:443",
        "REGISTRY.corp.example.",
        "registry.corp.example/team/app",
        "https://registry.corp.example/v2/",
    ] {
        let reply = scene.sandbox.docker("get", server);
        assert_eq!(answered(&reply, server).1, token, "{server}");
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn all_names_of_docker_hub_share_credentials_but_its_token_keys_do_not() {
    let mut scene = scene();
    scene.configure("[[resources]]\nmatch = \"https://docker.io\"\nprovider = \"corp\"\n");
    let (_, token) = answered(&scene.sandbox.docker("get", HUB), HUB);
    for server in [
        "docker.io",
        "index.docker.io",
        "registry-1.docker.io",
        "docker.io/library/a",
    ] {
        assert_eq!(
            answered(&scene.sandbox.docker("get", server), server).1,
            token
        );
    }
    for key in ["access-token", "refresh-token"] {
        let key = format!("{HUB}{key}");
        not_found(&scene.sandbox.docker("get", &key));
        silent(&scene.sandbox.store(&key, "alice", "of the hub"));
        let found = answered(&scene.sandbox.docker("get", &key), &key);
        assert_eq!(found, ("alice".to_owned(), "of the hub".to_owned()));
    }
    assert_eq!(answered(&scene.sandbox.docker("get", HUB), HUB).1, token);
}

#[test]
fn a_similar_host_name_gets_no_token_and_opens_no_browser() {
    let mut scene = scene();
    scene.configure(
        "[[resources]]\nmatch = \"https://registry.corp.example\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://*.pkg.dev\"\nprovider = \"corp\"\n",
    );
    scene.login(&[]).succeeds();
    answered(
        &scene.sandbox.docker("get", "europe-docker.pkg.dev"),
        "europe-docker.pkg.dev",
    );
    for server in [
        "evilpkg.dev",
        "pkg.dev",
        "europe-docker.pkg.dev.evil.example",
        "europe-docker.pkg.dev:8443",
        "evilregistry.corp.example",
        "registry.corp.example.evil.example",
        "registry.corp.example:8443",
        "evil.example/registry.corp.example",
        "http://registry.corp.example",
        "http://registry.corp.example:443",
    ] {
        not_found(&scene.sandbox.docker("get", server));
    }
    for server in [
        "registry.corp.example@evil.example",
        "https://registry.corp.example:pw@evil.example",
        "evil.example\\@registry.corp.example",
        "evil.example?registry.corp.example",
        "evil.example#registry.corp.example",
        "registry%2ecorp.example",
    ] {
        let refused = scene.sandbox.docker("get", server);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert_eq!(
            refused.stdout, "hallpass: the server URL does not name a registry\n",
            "{refused}"
        );
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn an_unknown_registry_is_not_found_and_writes_nothing() {
    let scene = scene();
    for server in [HUB, "docker.io", "quay.io", "localhost:5000"] {
        not_found(&scene.sandbox.docker("get", server));
    }
    assert_eq!(listed(&scene.sandbox), json!({}));
    assert!(!scene.sandbox.data_dir().exists());
    assert_eq!(scene.sandbox.opened(), [[""; 0]; 0]);
}

#[test]
fn a_token_is_refreshed_early_enough_for_a_long_push() {
    // Valid for at least 30 minutes, or for nine tenths of a shorter lifetime.
    for (life, fresh, stale) in [(7200, 5390, 5410), (3600, 1790, 1810), (600, 50, 70)] {
        let mut scene = scene();
        scene.provider.behave(|b| b.lifetime = life);
        let (_, first) = answered(&scene.sandbox.docker("get", HOST), HOST);
        scene.advance(fresh);
        assert_eq!(answered(&scene.sandbox.docker("get", HOST), HOST).1, first);
        scene.advance(stale - fresh);
        let (_, second) = answered(&scene.sandbox.docker("get", HOST), HOST);
        assert_ne!(second, first);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        assert_eq!(scene.sandbox.opened().len(), 1);
    }
}

#[test]
fn a_token_that_cannot_be_refreshed_is_served_until_it_expires() {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "scopes = [\"openid\"]\n[[resources]]\nmatch = \"https://{HOST}\"\nprovider = \"corp\"\n"
    ));
    let (_, first) = answered(&scene.sandbox.docker("get", HOST), HOST);
    scene.advance(3590);
    assert_eq!(answered(&scene.sandbox.docker("get", HOST), HOST).1, first);
    assert_eq!(scene.sandbox.opened().len(), 1);
    scene.advance(20);
    assert_ne!(answered(&scene.sandbox.docker("get", HOST), HOST).1, first);
}

#[test]
fn clients_never_get_the_providers_refresh_token() {
    let scene = scene();
    let reply = scene.sandbox.docker("get", HOST);
    answered(&reply, HOST);
    for (what, secret) in scene.provider.secrets() {
        assert!(
            what == "access token" || !reply.stdout.contains(&secret),
            "{what}"
        );
    }
}

#[test]
fn erase_refreshes_that_registrys_token_once_and_withholds_nothing() {
    let mut scene = scene();
    scene.configure(&format!(
        "[[resources]]\nmatch = \"https://{HOST}\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://other.corp.example\"\nprovider = \"corp\"\n"
    ));
    let first = answered(&scene.sandbox.docker("get", HOST), HOST).1;
    scene.sandbox.docker("erase", HOST).succeeds();
    // Other registries and tools are not affected.
    let other = "other.corp.example";
    assert_eq!(
        answered(&scene.sandbox.docker("get", other), other).1,
        first
    );
    assert_eq!(scene.get_token(&[]).token(), first);
    let second = answered(&scene.sandbox.docker("get", HOST), HOST).1;
    assert_ne!(second, first);
    for _ in 0..3 {
        scene.sandbox.docker("erase", HOST).succeeds();
        assert_eq!(answered(&scene.sandbox.docker("get", HOST), HOST).1, second);
        assert_eq!(scene.get_token(&[]).token(), second);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sessions()[0]["refused"], Value::Null);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn ten_concurrent_clients_open_one_tab() {
    let scene = scene();
    let running: Vec<_> = (0..10)
        .map(|_| {
            let mut command = scene.sandbox.command();
            command.args(["docker", "get"]);
            Running::with_input(command, &["docker", "get"], HOST.as_bytes())
        })
        .collect();
    let tokens: Vec<_> = running
        .into_iter()
        .map(|running| answered(&running.wait(), HOST).1)
        .collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- clients that ask every helper ---

/// The reply is exactly "not found", and stderr has the reason.
#[track_caller]
fn not_found_because(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.stdout, NOT_FOUND, "{outcome}");
    assert_eq!(outcome.code, Some(1), "{outcome}");
    for words in words {
        assert!(outcome.stderr.contains(words), "{words}: {outcome}");
    }
}

/// Two registries that need different sign-ins.
const TWO_SIGN_INS: &str = "[[resources]]\nmatch = \"https://registry.corp.example\"\n\
    provider = \"corp\"\n[[resources]]\nmatch = \"https://other.corp.example\"\n\
    provider = \"corp\"\naccount = \"other\"\n";
const OTHER: &str = "other.corp.example";

#[test]
fn if_hallpass_cannot_prompt_the_registry_has_no_credentials() {
    let mut scene = scene();
    scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
    not_found_because(
        &scene.sandbox.docker("get", HOST),
        &["hallpass: hint: run `hallpass login corp --interactive auto`"],
    );
    assert!(scene.sandbox.opened().is_empty());
    // Without a store, each request would open a tab.
    scene.sandbox.unset("HALLPASS_INTERACTIVE");
    scene.sandbox.set("HALLPASS_STORE", "none");
    not_found_because(&scene.sandbox.docker("get", HOST), &["hallpass: error: "]);
    assert!(scene.sandbox.opened().is_empty());
}

#[test]
fn after_a_declined_sign_in_the_same_client_opens_no_other_tab() {
    let mut scene = Scene::new();
    scene.configure(TWO_SIGN_INS);
    scene.sandbox.browser_will("decline");
    not_found_because(&scene.sandbox.docker("get", HOST), &["declined"]);
    let other = [
        "the last sign-in for the same command was not completed",
        "hallpass login corp --account other",
    ];
    not_found_because(&scene.sandbox.docker("get", OTHER), &other);
    assert_eq!(scene.sandbox.opened().len(), 1);
    scene.advance(61);
    scene.sandbox.browser_will("sign-in");
    answered(&scene.sandbox.docker("get", OTHER), OTHER);
}

#[test]
fn after_a_sign_in_that_timed_out_the_same_client_opens_no_other_tab() {
    let mut scene = Scene::new();
    scene.configure(TWO_SIGN_INS);
    scene.sandbox.browser_will("ignore");
    scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
    not_found_because(&scene.sandbox.docker("get", HOST), &["timed out"]);
    not_found_because(&scene.sandbox.docker("get", OTHER), &["was not completed"]);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn errors_other_than_a_missing_sign_in_stay_errors() {
    let mut scene = scene();
    scene.login(&[]).succeeds();
    let is_error = |outcome: &Outcome, words: &str| {
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert_ne!(outcome.stdout, NOT_FOUND, "{outcome}");
        assert!(outcome.stderr.contains(words), "{outcome}");
    };
    scene.advance(4000);
    let unavailable = Fault::RetryAfter {
        status: 503,
        seconds: 60,
    };
    scene.provider.break_down(Endpoint::Refresh, unavailable);
    is_error(&scene.sandbox.docker("get", HOST), "503");
    scene.sandbox.set("HALLPASS_FLOW", "nonsense");
    is_error(&scene.sandbox.docker("get", HOST), "HALLPASS_FLOW");
}

#[cfg(unix)]
#[test]
fn a_client_signs_in_to_one_registry_at_a_time() {
    let mut scene = Scene::new();
    scene.configure(TWO_SIGN_INS);
    scene.sandbox.browser_will("ignore");
    let start = |server: &str| {
        let mut command = scene.sandbox.command();
        command.args(["docker", "get"]);
        Running::with_input(command, &["docker", "get"], server.as_bytes())
    };
    let first = start(HOST);
    scene.sandbox.wait_for_browser(1);
    let mut second = start(OTHER);
    second.wait_for_line(|line| line.contains("waiting for the sign-in to another registry"));
    assert_eq!(scene.sandbox.opened().len(), 1);
    browser::sign_in(&scene.sandbox.wait_for_browser(1), "alice").unwrap();
    answered(&first.wait(), HOST);
    browser::sign_in(&scene.sandbox.wait_for_browser(2), "carol").unwrap();
    answered(&second.wait(), OTHER);
}

#[cfg(unix)]
#[test]
fn a_setting_restricts_sign_ins_to_docker_login() {
    let mut scene = scene();
    scene.sandbox.set("HALLPASS_DOCKER_ASK", "login");
    let only_login = ["`docker.ask = \"login\"`", "run `hallpass login corp`"];
    not_found_because(&scene.sandbox.docker("get", HOST), &only_login);
    // Started by a shell, as by a client. Because of the command after it, the shell can't exec the helper.
    let under = |word: &str| {
        let script = format!("\"{}\" docker get; exit $?", env!("CARGO_BIN_EXE_hallpass"));
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &script, word, HOST]);
        let command = scene.sandbox.surround(command);
        Running::with_input(command, &[word], HOST.as_bytes()).wait()
    };
    if cfg!(target_os = "linux") {
        not_found_because(&under("pull"), &only_login);
        assert!(scene.sandbox.opened().is_empty());
    }
    answered(&under("login"), HOST);
    assert_eq!(scene.sandbox.opened().len(), 1);
    // A token that is cached or can be refreshed needs no login.
    answered(&scene.sandbox.docker("get", HOST), HOST);
}

// --- the reply ---

#[test]
fn the_user_name_comes_from_the_resource_the_provider_or_the_person() {
    for (lines, expected) in [("", "alice"), ("username = \"robot\"\n", "robot")] {
        let scene = scene_with(lines);
        assert_eq!(
            answered(&scene.sandbox.docker("get", HOST), HOST).0,
            expected
        );
    }
    let mut scene = Scene::new();
    scene.configure(&format!(
        "registry_username = \"$oauthtoken\"\n[[resources]]\nmatch = \"https://{HOST}\"\n\
         provider = \"corp\"\n"
    ));
    assert_eq!(
        answered(&scene.sandbox.docker("get", HOST), HOST).0,
        "$oauthtoken"
    );
}

#[test]
fn a_resource_can_use_the_id_token() {
    let scene = scene_with("token = \"id\"\n");
    let (_, secret) = answered(&scene.sandbox.docker("get", HOST), HOST);
    assert_eq!(secret.split('.').count(), 3);
    assert_eq!(scene.get_token(&["--token", "id"]).token(), secret);
}

#[test]
fn an_entry_for_other_tools_does_not_apply_to_docker() {
    let scene = scene_with("tools = [\"git\"]\n");
    scene.login(&[]).succeeds();
    not_found(&scene.sandbox.docker("get", HOST));
    assert_eq!(listed(&scene.sandbox), json!({}));
    let scene = scene_with("tools = [\"docker\", \"kubectl\"]\n");
    answered(&scene.sandbox.docker("get", HOST), HOST);
}

#[test]
fn each_preset_uses_the_user_name_that_its_registry_expects() {
    for (preset, expected) in [
        ("github", "alice"),
        ("gitlab", "oauth2"),
        ("gitea", "oauth2"),
        ("forgejo", "oauth2"),
        ("codeberg", "oauth2"),
        ("artifact-registry", "oauth2accesstoken"),
    ] {
        let mut scene = Scene::new();
        let secret = "secret".to_owned();
        scene
            .provider
            .behave(|b| b.client_auth = ClientAuth::Post { secret });
        let file = scene.sandbox.root().join("client-secret");
        private_file(&file, "secret\n");
        scene.configure(&format!(
            "preset = \"{preset}\"\nclient_secret_file = {:?}\nclient_auth = \"post\"\n\
             [[resources]]\nmatch = \"https://{HOST}\"\nprovider = \"corp\"\n",
            file.to_str().unwrap()
        ));
        let reply = scene.sandbox.docker("get", HOST);
        assert_eq!(answered(&reply, HOST).0, expected, "{preset}");
        assert_eq!(listed(&scene.sandbox), json!({ HOST: expected }));
    }
}

#[test]
fn list_shows_the_user_that_get_answers_with() {
    let sandbox = Sandbox::new();
    // The same user, with the password that is already stored.
    for names in [["zoe", "adam"], ["adam", "zoe"], ["zoe", "adam"]] {
        for name in names {
            silent(&sandbox.store("two.example", name, name));
        }
        let answer = sandbox.docker("get", "two.example");
        let expected = (names[1].to_owned(), names[1].to_owned());
        assert_eq!(answered(&answer, "two.example"), expected);
        assert_eq!(listed(&sandbox), json!({ "two.example": names[1] }));
    }
}

// --- a registry that issues its own credential ---

const ACR_USER: &str = "00000000-0000-0000-0000-000000000000";

fn scene_of(registry: &Registry, exchange: &str) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "[[resources]]\nmatch = \"http://{}\"\nprovider = \"corp\"\n\
         registry_exchange = \"{exchange}\"\n",
        registry.host
    ));
    scene
}

/// The sandbox's time, this many seconds from now.
fn in_seconds(scene: &Scene, seconds: i64) -> i64 {
    let clock = scene.provider.behave(|b| b.clock);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap() + clock + seconds
}

#[test]
fn azures_registry_token_is_exchanged_once_and_again_after_it_expires() {
    let registry = Registry::acr();
    let mut scene = scene_of(&registry, "acr");
    let get = |scene: &Scene| {
        let host = &registry.host;
        let (username, secret) = answered(&scene.sandbox.docker("get", host), host);
        assert_eq!(username, ACR_USER);
        secret
    };
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    let first = get(&scene);
    assert_eq!(registry.state().made, [first.as_str()]);
    assert!(scene.provider.owner(&registry.state().shown[0]).is_some());
    // The provider's token has expired, but isn't needed.
    scene.advance(2 * 3600);
    assert_eq!(get(&scene), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    // It is valid for less than five minutes.
    scene.advance(3600 - 250);
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    let second = get(&scene);
    assert_ne!(second, first);
    assert_eq!(registry.state().made.len(), 2);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
    let shown = registry.state().shown.clone();
    let refresh_tokens = scene.provider.secrets();
    assert!(
        refresh_tokens
            .iter()
            .all(|(what, token)| *what == "access token" || !shown.contains(token))
    );
}

#[test]
fn the_preset_for_azures_registry_names_the_directory_and_the_exchange() {
    const TENANT: &str = "409520d4-8100-4d1d-ad47-72432ddcc120";
    let registry = Registry::acr();
    let mut scene = Scene::new();
    scene.configure(&format!(
        "preset = \"acr\"\ntenant = \"{TENANT}\"\n\
         [[resources]]\nmatch = \"http://{}\"\nprovider = \"corp\"\n",
        registry.host
    ));
    registry.state().ends_at = in_seconds(&scene, 3600);
    let reply = scene.sandbox.docker("get", &registry.host);
    assert_eq!(answered(&reply, &registry.host).0, ACR_USER);
    assert_eq!(registry.state().tenants, [Some(TENANT.to_owned())]);
}

#[test]
fn twenty_concurrent_clients_make_one_exchange() {
    let registry = Registry::acr();
    let scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    scene.login(&[]).succeeds();
    let running: Vec<_> = (0..20)
        .map(|_| {
            let mut command = scene.sandbox.command();
            command.args(["docker", "get"]);
            Running::with_input(command, &["docker", "get"], registry.host.as_bytes())
        })
        .collect();
    for running in running {
        answered(&running.wait(), &registry.host);
    }
    assert_eq!(registry.state().made.len(), 1);
}

#[test]
fn a_registrys_token_is_removed_with_its_session() {
    let registry = Registry::acr();
    let scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    let (_, secret) = answered(&scene.sandbox.docker("get", &registry.host), &registry.host);
    let folder = scene.sandbox.data_dir().join("exchanged");
    let records = || {
        let entries = fs::read_dir(&folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_none()).count()
    };
    assert_eq!(records(), 1);
    for file in files_below(&scene.sandbox.data_dir()) {
        assert!(
            !leaks(&fs::read(&file).unwrap(), &secret),
            "{}",
            file.display()
        );
    }
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    assert_eq!(records(), 0);
    let (_, other) = answered(&scene.sandbox.docker("get", &registry.host), &registry.host);
    assert_ne!(other, secret);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

/// The records that remain after a session was removed, and their files.
fn left_behind(scene: &Scene) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files_below(&scene.sandbox.data_dir().join("exchanged"));
    let records = files.into_iter().filter(|path| path.extension().is_none());
    records
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn an_orphaned_registry_token_is_never_served() {
    let registry = Registry::acr();
    let mut scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    let get = |scene: &Scene| scene.sandbox.docker("get", &registry.host);
    let (_, secret) = answered(&get(&scene), &registry.host);
    let left = left_behind(&scene);
    assert_eq!(left.len(), 1);
    let put_back = || {
        for (path, bytes) in &left {
            crate::sandbox::private_file(path, "");
            fs::write(path, bytes).unwrap();
        }
    };
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    put_back();
    let never = ["docker", "--interactive", "never", "get"];
    let reply = scene
        .sandbox
        .run_with_input(&never, registry.host.as_bytes());
    assert!(!reply.stdout.contains(&secret), "{reply}");
    assert_eq!(reply.code, Some(1), "{reply}");
    // It doesn't belong to the next person who signs in either.
    scene.sandbox.person("bob");
    scene.login(&[]).succeeds();
    put_back();
    assert_ne!(answered(&get(&scene), &registry.host).1, secret);
}

#[test]
fn removing_an_unreadable_session_removes_its_registry_tokens() {
    let registry = Registry::acr();
    let scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    answered(&scene.sandbox.docker("get", &registry.host), &registry.host);
    assert_eq!(left_behind(&scene).len(), 1);
    for record in files_below(&scene.sandbox.data_dir().join("sessions")) {
        if record.extension().is_none() {
            fs::write(record, "damaged").unwrap();
        }
    }
    let ended = scene.sandbox.run(&["logout", "--all"]);
    // That is all it could do, and it says so.
    assert!(
        ended.succeeds().stderr.contains("without revoking"),
        "{ended}"
    );
    assert_eq!(left_behind(&scene), []);
}

#[test]
fn docker_login_does_not_store_an_exchanged_token_again() {
    let registry = Registry::acr();
    let scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3 * 3600);
    let (username, secret) = answered(&scene.sandbox.docker("get", &registry.host), &registry.host);
    silent(&scene.sandbox.store(&registry.host, &username, &secret));
    assert!(!scene.sandbox.data_dir().join("kept").exists());
}

#[test]
fn an_unavailable_registry_does_not_remove_its_token() {
    let registry = Registry::acr();
    let mut scene = scene_of(&registry, "acr");
    registry.state().ends_at = in_seconds(&scene, 3600);
    let get = |scene: &Scene| scene.sandbox.docker("get", &registry.host);
    let first = answered(&get(&scene), &registry.host);
    scene.advance(3600 - 200);
    registry.state().status = Some(503);
    assert_eq!(answered(&get(&scene), &registry.host), first);
    scene.advance(300);
    let failed = get(&scene);
    assert_eq!(
        (failed.code, failed.stdout.lines().count()),
        (Some(1), 1),
        "{failed}"
    );
    assert!(failed.stderr.contains("status 503"), "{failed}");
    registry.state().status = Some(403);
    let refused = get(&scene);
    assert!(
        refused.stderr.contains("rejected the provider's token"),
        "{refused}"
    );
    assert!(!format!("{refused}").contains(&first.1));
    assert_eq!(scene.sandbox.opened().len(), 1);
    registry.state().status = None;
    registry.state().ends_at = in_seconds(&scene, 3600);
    assert_ne!(answered(&get(&scene), &registry.host), first);
}

#[test]
fn harbor_exchanges_the_id_token_for_its_cli_secret() {
    let registry = Registry::harbor();
    let mut scene = scene_of(&registry, "harbor");
    let get = |scene: &Scene| {
        let host = &registry.host;
        let (username, secret) = answered(&scene.sandbox.docker("get", host), host);
        assert_eq!(username, "alice_of_harbor");
        secret
    };
    let first = get(&scene);
    assert_eq!(get(&scene), first);
    assert_eq!(registry.state().made, [first.as_str()]);
    assert_eq!(
        scene.get_token(&["--token", "id"]).token(),
        registry.state().shown[0]
    );
    let list = listed(&scene.sandbox);
    assert_eq!(list, json!({ &*registry.host: "alice_of_harbor" }));
    // The user may have changed it, so each new session requests it again.
    scene.advance(3500);
    let second = get(&scene);
    assert_ne!(second, first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn an_exchange_sends_the_token_only_to_the_configured_registry() {
    let (configured, other) = (Registry::acr(), Registry::acr());
    let scene = scene_of(&configured, "acr");
    configured.state().ends_at = in_seconds(&scene, 3600);
    scene.login(&[]).succeeds();
    for server in [
        other.host.clone(),
        format!("{}@{}", configured.host, other.host),
        format!("{}/{}", other.host, configured.host),
    ] {
        assert_eq!(scene.sandbox.docker("get", &server).code, Some(1));
    }
    assert!(other.state().shown.is_empty() && configured.state().shown.is_empty());
}

#[test]
fn an_identity_token_outlives_the_access_token_it_was_issued_for() {
    let registry = Registry::with_identity_tokens();
    let mut scene = scene_of(&registry, "identity-token");
    let get = |scene: &Scene| {
        let host = &registry.host;
        let (username, secret) = answered(&scene.sandbox.docker("get", host), host);
        assert_eq!(username, "<token>");
        secret
    };
    registry.state().ends_at = in_seconds(&scene, 24 * 3600);
    let first = get(&scene);
    assert_eq!(registry.state().made, [first.as_str()]);
    assert_eq!(registry.state().usernames, ["alice"]);
    let sent = registry.state().shown[0].clone();
    assert_eq!(scene.get_token(&[]).token(), sent);
    // The registry's client stores what it got; hallpass already has it.
    silent(&scene.sandbox.store(&registry.host, "<token>", &first));
    assert!(!scene.sandbox.data_dir().join("kept").exists());
    assert_eq!(
        listed(&scene.sandbox),
        json!({ &*registry.host: "<token>" })
    );
    scene.advance(20 * 3600);
    assert_eq!(get(&scene), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    // The registry refused it.
    scene.sandbox.docker("erase", &registry.host).succeeds();
    assert_ne!(get(&scene), first);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
    let provider_secrets = scene.provider.secrets();
    for made in &registry.state().made {
        assert!(provider_secrets.iter().all(|(_, secret)| secret != made));
    }
}

#[test]
fn the_configured_user_name_is_for_the_token_server() {
    let registry = Registry::with_identity_tokens();
    let mut scene = Scene::new();
    scene.configure(&format!(
        "[[resources]]\nmatch = \"http://{}\"\nprovider = \"corp\"\nusername = \"oauth2\"\n\
         registry_exchange = \"identity-token\"\n",
        registry.host
    ));
    registry.state().ends_at = in_seconds(&scene, 3600);
    let (username, _) = answered(&scene.sandbox.docker("get", &registry.host), &registry.host);
    assert_eq!(username, "<token>");
    assert_eq!(registry.state().usernames, ["oauth2"]);
}

#[test]
fn without_an_identity_token_the_access_token_is_not_used_instead() {
    let registry = Registry::with_identity_tokens();
    let scene = scene_of(&registry, "identity-token");
    let fails = |words: &str| {
        let failed = scene.sandbox.docker("get", &registry.host);
        assert_eq!(failed.code, Some(1), "{failed}");
        assert_eq!(failed.stdout.lines().count(), 1, "{failed}");
        assert!(failed.stderr.contains(words), "{failed}");
        for (_, secret) in scene.provider.secrets() {
            assert!(!format!("{failed}").contains(&secret), "{failed}");
        }
    };
    registry.state().has_no_identity_tokens = true;
    fails("has no identity token");
    let sent = registry.state().shown.len();
    for realm in [
        "http://auth.corp.example/token",
        "/token",
        "ftp://127.0.0.1/",
    ] {
        registry.state().realm = Some(realm.to_owned());
        fails("has no https URL, so no token was sent");
    }
    registry.state().realm = None;
    for (status, words) in [
        (200, "has no token server"),
        (403, "has no token server"),
        (503, "is unavailable (status 503)"),
    ] {
        registry.state().status = Some(status);
        fails(words);
    }
    assert_eq!(registry.state().shown.len(), sent);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- doctor docker --ask-server ---

#[test]
fn doctor_says_whether_the_registry_accepts_the_credential() {
    let registry = Registry::with_identity_tokens();
    let host = &*registry.host;
    let mut scene = Scene::new();
    let configure = |scene: &mut Scene, exchange: &str| {
        scene.configure(&format!(
            "[[resources]]\nmatch = \"http://{host}\"\nprovider = \"corp\"\n{exchange}"
        ));
    };
    configure(&mut scene, "");
    let doctor = |scene: &Scene, words: &[&str]| {
        let asked = scene
            .sandbox
            .run(&["doctor", "docker", host, "--ask-server"]);
        for word in words {
            assert!(asked.stdout.contains(word), "{word}: {asked}");
        }
        for (_, secret) in scene.provider.secrets() {
            assert!(!format!("{asked}").contains(&secret), "{asked}");
        }
    };
    doctor(&scene, &["was not asked, because there is no credential"]);
    assert!(scene.sandbox.opened().is_empty());
    scene.login(&[]).succeeds();
    let accepted = "accepts the credential (user name alice)";
    let offers = "its token server issues identity tokens";
    doctor(&scene, &[accepted, offers]);
    registry.state().has_no_identity_tokens = true;
    let asked = scene
        .sandbox
        .run(&["doctor", "docker", host, "--ask-server"]);
    assert!(asked.stdout.contains(accepted), "{asked}");
    assert!(!asked.stdout.contains(offers), "{asked}");
    // Nothing is sent without the option.
    let sent = registry.state().shown.len();
    let asked = scene.sandbox.run(&["doctor", "docker", host]);
    assert!(asked.stdout.contains("no registry was asked"), "{asked}");
    assert_eq!(registry.state().shown.len(), sent);
    for (status, words) in [
        (200, "requests no credential"),
        (
            404,
            "answered with status 404 and without a known challenge",
        ),
        (
            503,
            "answered with status 503 and without a known challenge",
        ),
    ] {
        registry.state().status = Some(status);
        doctor(&scene, &[words]);
    }
    registry.state().status = None;
    registry.state().realm = Some("http://auth.corp.example/".to_owned());
    doctor(
        &scene,
        &["has no https URL, so the credential was not sent"],
    );
    assert_eq!(registry.state().shown.len(), sent);
    registry.state().realm = None;
    // An identity token is sent in another way.
    registry.state().has_no_identity_tokens = false;
    registry.state().ends_at = in_seconds(&scene, 3600);
    configure(&mut scene, "registry_exchange = \"identity-token\"\n");
    doctor(&scene, &["accepts the credential (user name <token>)"]);
    registry.state().made.clear();
    doctor(
        &scene,
        &["127.0.0.1 rejects the credential (user name <token>, status 401)"],
    );
}

// --- docker login and logout ---

#[test]
fn docker_login_does_not_store_a_providers_token() {
    let scene = scene();
    let (username, token) = answered(&scene.sandbox.docker("get", HOST), HOST);
    silent(&scene.sandbox.store(HOST, &username, &token));
    assert!(!scene.sandbox.data_dir().join("kept").exists());
    // The registry's identity token isn't a credential that the user entered either.
    let stored = scene.sandbox.store(HOST, "<token>", "made by the registry");
    assert_eq!(stored.succeeds().stdout, "");
    assert!(stored.stderr.contains("not storing"), "{stored}");
    assert_eq!(answered(&scene.sandbox.docker("get", HOST), HOST).1, token);
}

#[test]
fn entered_credentials_take_precedence_until_docker_logout() {
    let scene = scene();
    let (_, token) = answered(&scene.sandbox.docker("get", HOST), HOST);
    let stored = scene.sandbox.store(HOST, "bob", "typed");
    assert_eq!(stored.succeeds().stdout, "");
    assert!(
        stored
            .stderr
            .contains("docker logout registry.corp.example"),
        "{stored}"
    );
    let typed = ("bob".to_owned(), "typed".to_owned());
    for server in [HOST, "registry.corp.example/team/app"] {
        assert_eq!(
            answered(&scene.sandbox.docker("get", server), server),
            typed
        );
    }
    assert_eq!(listed(&scene.sandbox), json!({ HOST: "bob" }));
    // docker logout
    for server in [
        HOST,
        "http://registry.corp.example",
        "https://registry.corp.example",
    ] {
        scene.sandbox.docker("erase", server).succeeds();
    }
    assert_eq!(answered(&scene.sandbox.docker("get", HOST), HOST).1, token);
    assert_eq!(listed(&scene.sandbox), json!({ HOST: "alice" }));
}

#[test]
fn a_remembered_answer_is_not_reused_after_a_change() {
    let mut scene = scene();
    let get = |scene: &Scene| answered(&scene.sandbox.docker("get", HOST), HOST);
    let first = get(&scene);
    // The remembered answer.
    assert_eq!(get(&scene), first);
    succeeds_with_a_note(&scene.sandbox.store(HOST, "bob", "typed"));
    assert_eq!(get(&scene), ("bob".to_owned(), "typed".to_owned()));
    scene.sandbox.docker("erase", HOST).succeeds();
    assert_eq!(get(&scene), first);
    assert_eq!(get(&scene), first);
    // A different person under the same account.
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    scene.sandbox.person("carol");
    let (username, token) = get(&scene);
    assert_eq!(username, "carol");
    assert_eq!(get(&scene), (username, token.clone()));
    // The token is valid for less than 30 minutes.
    scene.advance(1810);
    assert_ne!(get(&scene).1, token);
}

#[track_caller]
fn succeeds_with_a_note(outcome: &Outcome) {
    assert_eq!(outcome.succeeds().stdout, "", "{outcome}");
    assert_ne!(outcome.stderr, "", "{outcome}");
}

// --- stored credentials ---

#[test]
fn stored_credentials_are_returned_exactly() {
    let sandbox = Sandbox::new();
    let secret = "p:\u{e9}\"\\\n\u{1f512} ";
    for (server, username) in [
        ("quay.io", "bob"),
        ("localhost:5000", "robot$x+y"),
        ("quay.io/team/app", "other"),
        (HUB, "<token>"),
        ("http://plain.example:5000", "u"),
    ] {
        let secret = format!("{secret}{server}");
        silent(&sandbox.store(server, username, &secret));
        let found = answered(&sandbox.docker("get", server), server);
        assert_eq!(found, (username.to_owned(), secret));
    }
    let all = json!({
        "quay.io": "bob", "localhost:5000": "robot$x+y", "quay.io/team/app": "other",
        HUB: "<token>", "http://plain.example:5000": "u",
    });
    assert_eq!(listed(&sandbox), all);
    silent(&sandbox.store("quay.io", "carol", "another"));
    assert_eq!(
        answered(&sandbox.docker("get", "quay.io"), "quay.io").0,
        "carol"
    );
    silent(&sandbox.docker("erase", "quay.io"));
    not_found(&sandbox.docker("get", "quay.io"));
    answered(
        &sandbox.docker("get", "quay.io/team/app"),
        "quay.io/team/app",
    );
    silent(&sandbox.docker("erase", "quay.io"));
}

#[test]
fn a_secret_of_one_mebibyte_is_stored_and_ten_are_refused() {
    let sandbox = Sandbox::new();
    let secret = "x\"".repeat(1 << 19);
    silent(&sandbox.store("quay.io", "bob", &secret));
    assert_eq!(
        answered(&sandbox.docker("get", "quay.io"), "quay.io").1,
        secret
    );
    for operation in ["get", "store", "erase"] {
        let refused = sandbox.docker(operation, &"x".repeat(10 << 20));
        assert_eq!(refused.code, Some(1));
        assert!(refused.stdout.contains("longer than"), "{}", refused.stdout);
    }
    assert_eq!(
        answered(&sandbox.docker("get", "quay.io"), "quay.io").1,
        secret
    );
}

#[test]
fn a_malformed_request_loses_nothing_and_shows_no_secret() {
    let sandbox = Sandbox::new();
    silent(&sandbox.store("quay.io", "bob", "kept"));
    for (operation, input) in [
        ("get", &b""[..]),
        ("erase", b" \n"),
        ("get", b"\x00\x01\xff\xfe"),
        ("erase", b"\xff"),
        ("store", b"\x00\xffhunter2"),
        ("store", b"hunter2"),
        (
            "store",
            b"{\"ServerURL\":\"quay.io\",\"Username\":\"bob\",\"Secret\":\"hunter2\"",
        ),
        (
            "store",
            b"{\"ServerURL\":\"quay.io\",\"Username\":[],\"Secret\":\"hunter2\"}",
        ),
        (
            "store",
            b"{\"ServerURL\":\"\",\"Username\":\"u\",\"Secret\":\"hunter2\"}",
        ),
        (
            "store",
            b"{\"ServerURL\":\"quay.io\",\"Username\":\"\",\"Secret\":\"hunter2\"}",
        ),
        (
            "store",
            b"{\"ServerURL\":\"a@quay.io\",\"Username\":\"u\",\"Secret\":\"hunter2\"}",
        ),
        ("unknown", b"quay.io"),
    ] {
        let refused = sandbox.run_with_input(&["docker", operation], input);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert_eq!(refused.stdout.lines().count(), 1, "{refused}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(
        answered(&sandbox.docker("get", "quay.io"), "quay.io").1,
        "kept"
    );
    assert_eq!(listed(&sandbox), json!({ "quay.io": "bob" }));
}

#[test]
fn the_protocols_exact_messages() {
    let sandbox = Sandbox::new();
    for (operation, input, expected) in [
        ("get", "", "no credentials server URL\n"),
        ("erase", "", "no credentials server URL\n"),
        (
            "store",
            r#"{"Username":"u","Secret":"s"}"#,
            "no credentials server URL\n",
        ),
        (
            "store",
            r#"{"ServerURL":"quay.io","Secret":"s"}"#,
            "no credentials username\n",
        ),
        ("get", "quay.io", NOT_FOUND),
    ] {
        let said = sandbox.docker(operation, input);
        assert_eq!(
            (said.stdout.as_str(), said.code),
            (expected, Some(1)),
            "{said}"
        );
    }
    let version = sandbox.docker("version", "");
    assert_eq!(version.succeeds().stdout.lines().count(), 1, "{version}");
}

#[test]
fn git_and_docker_store_credentials_separately() {
    let sandbox = Sandbox::new();
    let git = b"protocol=https\nhost=quay.io\nusername=g\npassword=gits\n";
    sandbox.run_with_input(&["git", "store"], git).succeeds();
    not_found(&sandbox.docker("get", "quay.io"));
    assert_eq!(listed(&sandbox), json!({}));
    silent(&sandbox.store("quay.io", "d", "dockers"));
    let asked = sandbox.run_with_input(&["git", "get"], b"protocol=https\nhost=quay.io\n");
    assert!(asked.stdout.contains("password=gits"), "{asked}");
    assert_eq!(listed(&sandbox), json!({ "quay.io": "d" }));
}

#[test]
fn docker_login_fails_if_nothing_can_be_stored() {
    let mut sandbox = Sandbox::new();
    sandbox.set("HALLPASS_STORE", "none");
    let stored = sandbox.store("quay.io", "bob", "hunter2");
    assert_eq!(stored.code, Some(1), "{stored}");
    assert_eq!(stored.stdout.lines().count(), 1, "{stored}");
    assert!(!format!("{stored}").contains("hunter2"));
}

// --- list ---

#[test]
fn list_omits_unavailable_credentials_instead_of_failing() {
    let mut scene = scene();
    let resources = "[[resources]]\nmatch = \"https://registry.corp.example\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://*.pkg.dev\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://ghcr.io\"\nprovider = \"github\"\n\
         [[resources]]\nmatch = \"https://docker.io\"\nprovider = \"corp\"\naccount = \"other\"\n";
    scene.configure(resources);
    silent(&scene.sandbox.store("quay.io", "bob", "kept"));
    assert_eq!(listed(&scene.sandbox), json!({ "quay.io": "bob" }));
    scene.login(&[]).succeeds();
    let all = json!({ "quay.io": "bob", HOST: "alice" });
    assert_eq!(listed(&scene.sandbox), all);
    // An expired token is refreshed, because clients request the credential of each listed registry.
    scene.advance(4000);
    assert_eq!(listed(&scene.sandbox), all);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // An expired token that can't be refreshed is omitted.
    scene.advance(4000);
    scene.provider.revoke_everything();
    let list = scene.sandbox.docker("list", "unused");
    assert_eq!(list.json(), json!({ "quay.io": "bob" }), "{list}");
    // A damaged record.
    for entry in fs::read_dir(scene.sandbox.data_dir().join("kept")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none() {
            fs::write(path, "damaged").unwrap();
        }
    }
    let list = scene.sandbox.docker("list", "unused");
    assert_eq!(list.json(), json!({}), "{list}");
    assert!(list.stderr.contains("cannot be listed"), "{list}");
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn list_returns_the_keys_as_they_were_stored() {
    let sandbox = Sandbox::new();
    for server in [
        "https://quay.io",
        "https://ghcr.io/",
        "Registry.Example:443",
        "https://index.docker.io/v1/",
        "gcr.io/team/app",
    ] {
        silent(&sandbox.store(server, "bob", "entered"));
        let list = listed(&sandbox);
        assert_eq!(list[server], "bob", "{list}");
        answered(&sandbox.docker("get", server), server);
    }
    // The last spelling of the same registry counts.
    silent(&sandbox.store("quay.io", "bob", "entered"));
    let list = listed(&sandbox);
    assert_eq!(list["quay.io"], "bob");
    assert_eq!(list.as_object().unwrap().len(), 5, "{list}");
    silent(&sandbox.docker("erase", "https://quay.io"));
    assert_eq!(listed(&sandbox).as_object().unwrap().len(), 4);
}

// --- by its own name ---

#[cfg(unix)]
#[test]
fn it_answers_under_the_name_that_clients_run() {
    let scene = scene();
    let link = scene.sandbox.root().join("docker-credential-hallpass");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallpass"), &link).unwrap();
    let mut command = scene.sandbox.surround(std::process::Command::new(&link));
    command.arg("get");
    let reply = Running::with_input(command, &["get"], HOST.as_bytes()).wait();
    answered(&reply, HOST);
}
