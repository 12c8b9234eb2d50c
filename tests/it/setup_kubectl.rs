//! `hallpass setup kubectl` and its undo. This kubectl is a script that reads only JSON, which is YAML
//! too; `tests/real` uses the real one.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kubectl::{Parent, token};
use crate::sandbox::{Outcome, Sandbox, files_below, private_file};
use crate::scene::Scene;

/// Prints the file that a real kubectl would read.
#[cfg(unix)]
const KUBECTL: &str = r#"#!/bin/sh
file=$KUBECONFIG
for word; do
  case $word in --kubeconfig=*) file=${word#--kubeconfig=} ;; esac
done
case "$1 $2" in
  "config view") if [ -e "$file" ]; then exec cat "$file"; else echo '{}'; fi ;;
  "version --client") echo '{"clientVersion":{"minor":"36"}}' ;;
  *) exit 1 ;;
esac
"#;

#[cfg(windows)]
const KUBECTL: &str = r#"@echo off
set file=%KUBECONFIG%
set command=%~1 %~2
:next
set word=%~1
if "%word:~0,13%"=="--kubeconfig=" set file=%word:~13%
shift
if not "%~1"=="" goto next
if "%command%"=="config view" goto view
if "%command%"=="version --client" goto version
exit /b 1
:view
if exist "%file%" (type "%file%") else (echo {})
exit /b 0
:version
echo {"clientVersion":{"minor":"36"}}
exit /b 0
"#;

/// Writes the kubectl, a shell script or a batch file.
fn write_kubectl(sandbox: &Sandbox, script: &str) {
    let tools = sandbox.root().join("tools");
    #[cfg(unix)]
    crate::sandbox::script_file(&tools.join("kubectl"), script);
    #[cfg(windows)]
    fs::write(tools.join("kubectl.cmd"), script.replace('\n', "\r\n")).unwrap();
}

const SERVER: &str = "https://k8s.corp.example:6443";

/// A user `me` of one cluster, with this entry, and one more user.
pub(crate) fn kubeconfig(server: &str, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c.1", "cluster": {"server": server}}],
        "contexts": [{"name": "here", "context": {"cluster": "c.1", "user": "me.exec.you"}}],
        "users": [
            {"name": "other", "user": {"token": "theirs"}},
            {"name": "me.exec.you", "user": user},
        ],
    })
}

/// Puts that kubectl on the sandbox's PATH, and writes the kubeconfig that it reads. Returns its path.
pub(crate) fn with_kubectl(sandbox: &mut Sandbox, kubeconfig: &str) -> PathBuf {
    let tools = sandbox.root().join("tools");
    fs::create_dir_all(&tools).unwrap();
    write_kubectl(sandbox, KUBECTL);
    #[cfg(unix)]
    {
        let hallpass = tools.join("hallpass");
        if !hallpass.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallpass"), hallpass).unwrap();
        }
        sandbox.set("PATH", format!("{}:/usr/bin:/bin", tools.display()));
    }
    #[cfg(windows)]
    {
        // The tests may be built on another platform, where a path has no drive.
        let program = std::path::absolute(env!("CARGO_BIN_EXE_hallpass")).unwrap();
        let folders = [tools.as_path(), program.parent().unwrap()];
        sandbox.set("PATH", std::env::join_paths(folders).unwrap());
    }
    let path = sandbox.root().join("kubeconfig");
    private_file(&path, kubeconfig);
    sandbox.set("KUBECONFIG", &path);
    path
}

struct Desk {
    sandbox: Sandbox,
    kubeconfig: PathBuf,
    config: PathBuf,
}

const CONFIG: &str = "# mine\n[providers.corp]\nissuer = \"https://login.corp.example\"\n\
                      client_id = \"kube\"\nscopes = [\"openid\"]\n";

impl Desk {
    /// The layout is unusual, so that a test notices every byte that changes.
    fn new(user: &Value) -> Self {
        let mut sandbox = Sandbox::new();
        let config = sandbox.config(CONFIG);
        let text = kubeconfig(SERVER, user)
            .to_string()
            .replace(",\"", " ,  \"");
        let kubeconfig = with_kubectl(&mut sandbox, &format!("\n{text}\n\n"));
        Self {
            sandbox,
            kubeconfig,
            config,
        }
    }

    #[track_caller]
    fn setup(&self, more: &[&str]) -> Outcome {
        self.sandbox.run(&[&["setup", "kubectl"], more].concat())
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.kubeconfig).unwrap()
    }

    fn user(&self) -> Value {
        let config: Value = serde_json::from_str(&self.text()).unwrap();
        config["users"][1]["user"].clone()
    }

    fn state(&self) -> Vec<(PathBuf, String)> {
        state(self.sandbox.root())
    }
}

fn state(root: &Path) -> Vec<(PathBuf, String)> {
    let files = files_below(root).into_iter();
    // On Windows, the file that locks the configuration stays.
    let is_lock = |path: &PathBuf| cfg!(windows) && path.ends_with("config.toml.lock");
    files
        .filter(|path| !is_lock(path))
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn kubelogin(more: &[&str]) -> Value {
    let mut args = vec![
        "oidc-login",
        "get-token",
        "--oidc-issuer-url=https://login.corp.example/realms/k",
        "--oidc-client-id=kube",
        "--oidc-client-secret",
        "hush",
    ];
    args.extend(more);
    json!({"as": "boss", "exec": {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubectl",
        "args": args,
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.corp.example:3128"}],
    }})
}

/// The random ID that the set-up gave to a user's exec entry.
#[track_caller]
pub(crate) fn entry_of(user: &Value) -> String {
    let args = user["exec"]["args"].as_array().unwrap();
    let at = args.iter().position(|arg| arg == "--entry").unwrap();
    let id = args[at + 1].as_str().unwrap();
    assert_eq!(id.len(), 32, "{id}");
    id.to_owned()
}

#[test]
fn a_users_entry_is_replaced_and_restored_byte_for_byte() {
    let desk = Desk::new(&json!({"token": "hush", "as": "boss"}));
    let before = desk.state();
    let arguments = [
        "--context",
        "here",
        "--provider",
        "corp",
        "--account",
        "work",
    ];
    let outcome = desk.setup(&arguments);
    outcome.succeeds();
    let id = entry_of(&desk.user());
    assert!(!outcome.stdout.contains(&id), "{outcome}");
    assert_eq!(
        desk.user(),
        json!({"as": "boss", "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "args": ["kubectl", "--provider", "corp", "--account", "work", "--api-version", "v1beta1", "--entry", id],
            "command": "hallpass",
            "env": null,
            "installHint": "hallpass signs you in to this cluster (install it on your PATH)",
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": true,
        }})
    );
    let config = fs::read_to_string(&desk.config).unwrap();
    assert!(config.starts_with(CONFIG), "{config}");
    assert!(
        config.contains(
            "[[resources]]\nmatch = \"https://k8s.corp.example:6443\"\nprovider = \"corp\"\n\
             account = \"work\"\ntools = [\"kubectl\"]\n"
        ),
        "{config}"
    );
    assert!(
        outcome.stdout.contains("other members: as, token"),
        "{outcome}"
    );
    assert!(!outcome.stdout.contains("hush"), "{outcome}");

    // A second run changes nothing.
    let after = desk.state();
    let again = desk.setup(&arguments);
    assert_eq!(again.succeeds().stdout, "nothing to change\n");
    assert_eq!(desk.state(), after);

    desk.setup(&["--user", "me.exec.you", "--undo"]).succeeds();
    assert_eq!(desk.state(), before);
    let again = desk.setup(&["--undo"]);
    assert_eq!(again.succeeds().stdout, "nothing to change\n");
}

#[test]
fn a_dry_run_shows_all_and_changes_nothing() {
    let desk = Desk::new(&kubelogin(&[]));
    let before = desk.state();
    let outcome = desk.setup(&["--from-kubelogin", "--dry-run"]);
    for words in [
        "Would change",
        "[[resources]]",
        "provideClusterInfo",
        "0600",
    ] {
        assert!(
            outcome.succeeds().stdout.contains(words),
            "{words}: {outcome}"
        );
    }
    assert_eq!(desk.state(), before);
    desk.setup(&["--from-kubelogin"]).succeeds();
    let before = desk.state();
    let outcome = desk.setup(&["--undo", "--dry-run"]);
    assert!(
        outcome.succeeds().stdout.contains("Would change"),
        "{outcome}"
    );
    assert_eq!(desk.state(), before);
}

#[test]
fn a_kubelogin_entry_is_converted_and_its_secret_moves_to_its_own_file() {
    let desk = Desk::new(&kubelogin(&[
        "--oidc-extra-scope=groups",
        "--oidc-use-access-token",
        "--grant-type=device-code",
        "--skip-open-browser",
        "--certificate-authority-data=UEVN",
        "--oidc-auth-request-extra-params=prompt=login",
        "--token-cache-dir=/x",
    ]));
    let before = desk.state();
    let outcome = desk.setup(&["--from-kubelogin"]);
    outcome.succeeds();
    for words in ["client-secret", "--token-cache-dir left out"] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome}");
    }
    assert!(!outcome.stdout.contains("hush"), "{outcome}");
    let user = desk.user();
    assert_eq!(
        user["exec"]["args"],
        json!([
            "kubectl",
            "--provider",
            "login.corp.example-realms-k",
            "--token",
            "access",
            "--flow",
            "device",
            "--api-version",
            "v1beta1",
            "--entry",
            entry_of(&user),
        ])
    );
    assert_eq!(
        user["exec"]["env"],
        json!([
            {"name": "HTTPS_PROXY", "value": "http://proxy.corp.example:3128"},
            {"name": "BROWSER", "value": "none"},
        ])
    );
    let root = desk.sandbox.root();
    let secret = root.join("login.corp.example-realms-k.client-secret");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "hush\n");
    #[cfg(unix)]
    assert_eq!(
        fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let config = fs::read_to_string(&desk.config).unwrap();
    for line in [
        "issuer = \"https://login.corp.example/realms/k\"\n".to_owned(),
        "client_id = \"kube\"\n".to_owned(),
        format!("client_secret_file = {secret:?}\n"),
        "scopes = [\"openid\", \"groups\"]\n".to_owned(),
        "extra_params = { \"prompt\" = \"login\" }\n".to_owned(),
        "ca_file = ".to_owned(),
    ] {
        assert!(config.contains(&line), "{line} {config}");
    }
    // The other files that contain the secret are for their owner alone, too.
    #[cfg(unix)]
    for path in files_below(root) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let is_private = mode.trailing_zeros() >= 6;
        assert!(
            is_private || !crate::sandbox::leaks(&fs::read(&path).unwrap(), "hush"),
            "{}",
            path.display()
        );
    }
    let again = desk.setup(&["--from-kubelogin"]);
    assert_eq!(again.succeeds().stdout, "nothing to change\n");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.state(), before);
}

#[test]
fn a_kubelogin_that_cannot_be_converted_is_left_as_it_is() {
    for (more, words) in [
        (&["--nope=hush"][..], &["--nope"][..]),
        (
            &["--grant-type=password"],
            &["--grant-type=password", "password grant"],
        ),
        (
            &["--insecure-skip-tls-verify"],
            &["--insecure-skip-tls-verify"],
        ),
    ] {
        let desk = Desk::new(&kubelogin(more));
        let before = desk.state();
        let outcome = desk.setup(&["--from-kubelogin"]);
        outcome.fails_saying(2, words);
        outcome.fails_saying(2, &["nothing was changed", "--issuer-url"]);
        assert!(!outcome.stderr.contains("hush"), "{outcome}");
        assert_eq!(desk.state(), before);
    }
    let desk = Desk::new(&json!({"token": "x"}));
    desk.setup(&["--from-kubelogin"])
        .fails_saying(2, &["does not run kubelogin"]);
}

#[test]
fn one_provider_is_enough_for_two_users_of_one_kubelogin() {
    let mut desk = Desk::new(&kubelogin(&[]));
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    config["users"][0]["user"] = kubelogin(&[]);
    let clusters = config["clusters"].as_array_mut().unwrap();
    clusters.push(json!({"name": "c2", "cluster": {"server": "https://k2.corp.example"}}));
    let contexts = config["contexts"].as_array_mut().unwrap();
    contexts.push(json!({"name": "there", "context": {"cluster": "c2", "user": "other"}}));
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &config.to_string());
    let before = desk.state();
    desk.setup(&["--context", "here", "--from-kubelogin"])
        .succeeds();
    desk.setup(&["--context", "there", "--from-kubelogin"])
        .succeeds();
    let written = fs::read_to_string(&desk.config).unwrap();
    assert_eq!(written.matches("[providers.").count(), 2, "{written}");
    // The other user still needs the provider and the file of its client secret.
    desk.setup(&["--context", "here", "--undo"]).succeeds();
    let rest = fs::read_to_string(&desk.config).unwrap();
    assert_eq!(rest.matches("[providers.").count(), 2, "{rest}");
    let secret = desk
        .config
        .with_file_name("login.corp.example-realms-k.client-secret");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "hush\n");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.state(), before);
}

/// A second cluster, of the user `other`, in the context `there`.
fn with_second_cluster(server: &str) -> Desk {
    let mut desk = Desk::new(&json!({}));
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    let clusters = config["clusters"].as_array_mut().unwrap();
    clusters.push(json!({"name": "c2", "cluster": {"server": server}}));
    let contexts = config["contexts"].as_array_mut().unwrap();
    contexts.push(json!({"name": "there", "context": {"cluster": "c2", "user": "other"}}));
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &config.to_string());
    desk
}

const ISSUER: [&str; 4] = [
    "--issuer-url",
    "https://login.two.example",
    "--client-id",
    "kubernetes",
];

#[test]
fn a_second_cluster_of_one_issuer_shares_its_provider() {
    let desk = with_second_cluster("https://k2.corp.example");
    let before = desk.state();
    let here = [&["--context", "here"][..], &ISSUER].concat();
    let there = [&["--context", "there"][..], &ISSUER].concat();
    desk.setup(&here).succeeds();
    desk.setup(&there).succeeds();
    let written = fs::read_to_string(&desk.config).unwrap();
    let name = "[providers.\"login.two.example\"]";
    assert_eq!(written.matches("[providers.").count(), 2, "{written}");
    assert_eq!(written.matches(name).count(), 1, "{written}");
    let named = "provider = \"login.two.example\"\n";
    assert_eq!(written.matches(named).count(), 2, "{written}");
    // Each set-up can be repeated.
    let after = desk.state();
    for arguments in [&here, &there] {
        let again = desk.setup(arguments);
        assert_eq!(again.succeeds().stdout, "nothing to change\n");
        assert_eq!(desk.state(), after);
    }
    desk.setup(&["--context", "here", "--undo"]).succeeds();
    let rest = fs::read_to_string(&desk.config).unwrap();
    assert_eq!(rest.matches(name).count(), 1, "{rest}");
    desk.setup(&["--context", "there", "--undo"]).succeeds();
    assert_eq!(desk.state(), before);
}

#[test]
fn a_provider_of_the_configuration_with_the_same_registration_is_used() {
    // CONFIG has `corp`, with this issuer, this client and other scopes.
    let corp = ["--issuer-url", "https://login.corp.example", "--client-id"];
    let named = |desk: &Desk| desk.user()["exec"]["args"][2].as_str().unwrap().to_owned();
    for (more, expected) in [
        (&["kube"][..], "corp"),
        (&["kube", "--scope", "openid"], "corp"),
        (&["kube", "--scope", "groups"], "login.corp.example"),
        (&["other"], "login.corp.example"),
    ] {
        let desk = Desk::new(&json!({}));
        desk.setup(&[&corp, more].concat()).succeeds();
        assert_eq!(named(&desk), expected, "{more:?}");
    }
    // Another client already has the name that the provider would get.
    let desk = with_second_cluster("https://k2.corp.example");
    desk.setup(&[&["--context", "there"], &corp[..], &["other"]].concat())
        .succeeds();
    desk.setup(&[&corp[..], &["third"]].concat()).succeeds();
    assert_eq!(named(&desk), "login.corp.example-2");
    // A provider named on the command line is never replaced by another registration.
    let wanted = ["--provider", "corp"];
    desk.setup(&[&wanted, &corp[..], &["fourth"]].concat())
        .fails_saying(2, &["corp is configured with other settings"]);
    desk.setup(&[&wanted, &corp[..], &["kube"]].concat())
        .succeeds();
    assert_eq!(named(&desk), "corp");
}

#[test]
fn two_accounts_and_two_providers_can_be_set_up_for_one_server() {
    let scene = Scene::new();
    let mut desk = with_second_cluster(SERVER);
    let config = |name: &str, scopes: &str| {
        format!(
            "[providers.{name}]\nissuer = {:?}\nclient_id = \"hallpass\"\nscopes = [{scopes}]\n",
            scene.provider.issuer()
        )
    };
    desk.config = desk.sandbox.config(
        &[
            config("a", "\"openid\""),
            config("b", "\"openid\", \"offline_access\""),
        ]
        .concat(),
    );
    desk.setup(&["--context", "here", "--provider", "a", "--account", "work"])
        .succeeds();
    desk.setup(&["--context", "there", "--provider", "a"])
        .succeeds();
    let run = |desk: &mut Desk, user: usize| {
        let config: Value = serde_json::from_str(&desk.text()).unwrap();
        let args = &config["users"][user]["user"]["exec"]["args"];
        let args: Vec<&str> = args
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        token(&Parent::of(&desk.sandbox).run_in(&desk.sandbox, "", &args))
    };
    desk.sandbox.person("bob");
    let work = run(&mut desk, 1);
    desk.sandbox.person("alice");
    let default = run(&mut desk, 0);
    let claims = |token: &str| crate::kubectl::claims(token);
    assert_eq!(claims(&work)["sub"], "sub-of-bob");
    assert_eq!(claims(&default)["sub"], "sub-of-alice");
    // And another provider for the same server.
    desk.setup(&["--context", "there", "--provider", "b"])
        .succeeds();
    assert_eq!(run(&mut desk, 1), work);
    assert_ne!(run(&mut desk, 0), default);
    assert_eq!(desk.sandbox.opened().len(), 3);
}

#[test]
fn a_repeated_setup_needs_none_of_the_first_ones_options() {
    let secret = kubelogin(&[
        "--oidc-client-secret=hush",
        "--oidc-use-access-token",
        "--authentication-timeout-sec=60",
    ]);
    for (user, first) in [
        (
            json!({}),
            &[&ISSUER[..], &["--account", "work"]].concat()[..],
        ),
        (secret, &["--from-kubelogin", "--account", "work"]),
    ] {
        let desk = Desk::new(&user);
        let before = desk.state();
        desk.setup(first).succeeds();
        let after = desk.state();
        let (set_up, id) = (desk.user(), entry_of(&desk.user()));
        let name = set_up["exec"]["args"][2].as_str().unwrap().to_owned();
        for arguments in [&["--context", "here"][..], &["--account", "work"]] {
            let again = desk.setup(arguments);
            assert_eq!(again.succeeds().stdout, "nothing to change\n");
            assert_eq!(desk.state(), after);
        }
        // If the store is lost, clients and the doctor show this command.
        fs::remove_dir_all(desk.sandbox.data_dir().join("entries")).unwrap();
        desk.setup(&["--context", "here"]).succeeds();
        let new = entry_of(&desk.user());
        assert_ne!(new, id);
        let with_new = set_up.to_string().replace(&id, &new);
        assert_eq!(desk.user().to_string(), with_new);
        // Another account, and the provider by its name.
        desk.setup(&["--account", "home"]).succeeds();
        let args = &desk.user()["exec"]["args"];
        assert_eq!(args[4], "home", "{args}");
        desk.setup(&["--provider", &name]).succeeds();
        let args = &desk.user()["exec"]["args"];
        assert_eq!(
            (&args[2], &args[3]),
            (&json!(name), &json!("--api-version"))
        );
        desk.setup(&["--undo"]).succeeds();
        assert_eq!(desk.state(), before);
    }
}

#[test]
fn a_variable_that_the_user_adds_to_the_exec_entry_survives_another_setup() {
    let desk = Desk::new(&kubelogin(&["--authentication-timeout-sec=60"]));
    let before = desk.state();
    desk.setup(&["--from-kubelogin"]).succeeds();
    let own = json!({"name": "HTTPS_PROXY", "value": "http://proxy.example"});
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    let env = &mut config["users"][1]["user"]["exec"]["env"];
    env.as_array_mut().unwrap().push(own.clone());
    fs::write(&desk.kubeconfig, config.to_string()).unwrap();
    for more in [&["--account", "work"][..], &["--provider", "corp"]] {
        desk.setup(more).succeeds();
        let env = desk.user()["exec"]["env"].clone();
        assert!(env.as_array().unwrap().contains(&own), "{more:?}: {env}");
    }
    desk.setup(&["--undo"]).succeeds();
    let user = desk.user();
    assert_eq!(user, kubelogin(&["--authentication-timeout-sec=60"]));
    assert_eq!(before.len(), desk.state().len());
}

#[test]
fn a_password_in_a_servers_url_is_shown_nowhere() {
    let mut desk = Desk::new(&json!({}));
    let server = "https://user:hush-hush@k8s.corp.example";
    desk.kubeconfig = with_kubectl(
        &mut desk.sandbox,
        &kubeconfig(server, &json!({})).to_string(),
    );
    for (code, arguments) in [
        (2, &["setup", "kubectl", "--provider", "corp"][..]),
        (1, &["doctor", "kubectl"]),
        // On Windows, git is missing in the tests.
        #[cfg(unix)]
        (2, &["setup", "git", "--host", server, "--provider", "corp"]),
        (2, &["get-token", server]),
    ] {
        let said = desk.sandbox.run(arguments);
        assert_eq!(said.code, Some(code), "{said}");
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(!text.contains("hush-hush"), "{said}");
        assert!(text.contains("k8s.corp.example"), "{said}");
    }
}

#[test]
fn users_of_the_same_name_in_two_kubeconfigs_are_set_up_and_undone_apart() {
    let second = "https://k2.corp.example";
    // The second kubeconfig has another server, or the same server and another provider.
    for (server, provider) in [(second, "two"), (second, "corp"), (SERVER, "two")] {
        let mut desk = Desk::new(&json!({}));
        desk.config = desk.sandbox.config(&format!(
            "{CONFIG}[providers.two]\nissuer = \"https://login.two.example\"\nclient_id = \"k\"\n\
             scopes = [\"openid\"]\n"
        ));
        let first = desk.kubeconfig.clone();
        let other = desk.sandbox.root().join("other-kubeconfig");
        private_file(&other, &kubeconfig(server, &json!({})).to_string());
        let before = desk.state();
        desk.setup(&["--provider", "corp"]).succeeds();
        let after_first = desk.state();
        desk.sandbox.set("KUBECONFIG", &other);
        desk.setup(&["--provider", provider]).succeeds();
        let after_both = desk.state();
        let written = fs::read_to_string(&desk.config).unwrap();
        for (server, provider) in [(SERVER, "corp"), (server, provider)] {
            let entry = format!("match = {server:?}\nprovider = {provider:?}\n");
            assert!(written.contains(&entry), "{written}");
        }
        // Each can be repeated.
        for path in [&first, &other] {
            desk.sandbox.set("KUBECONFIG", path);
            let again = desk.setup(&["--provider", if *path == first { "corp" } else { provider }]);
            assert_eq!(again.succeeds().stdout, "nothing to change\n");
            assert_eq!(desk.state(), after_both);
        }
        desk.setup(&["--user", "me.exec.you", "--undo"]).succeeds();
        assert_eq!(desk.state(), after_first);
        desk.sandbox.set("KUBECONFIG", &first);
        desk.setup(&["--user", "me.exec.you", "--undo"]).succeeds();
        assert_eq!(desk.state(), before);
    }
}

#[test]
fn undo_after_a_change_keeps_the_change_and_restores_the_entry() {
    let user = kubelogin(&[]);
    let desk = Desk::new(&user);
    desk.setup(&["--from-kubelogin"]).succeeds();
    // kubectl rewrites the whole file, in another order and layout.
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    config["current-context"] = json!("elsewhere");
    private_file(&desk.kubeconfig, &format!("{config:#}"));
    desk.setup(&["--undo"]).succeeds();
    config["users"][1]["user"] = user;
    let found: Value = serde_json::from_str(&desk.text()).unwrap();
    assert_eq!(found, config);

    // An entry that now runs another program isn't ours.
    desk.setup(&["--user", "me.exec.you", "--from-kubelogin"])
        .succeeds();
    config["users"][1]["user"] = json!({"token": "new"});
    private_file(&desk.kubeconfig, &config.to_string());
    let outcome = desk.setup(&["--undo"]);
    assert!(
        outcome.succeeds().stdout.contains(
            "has been changed since the set-up, so this part of it stays: me.exec.you in users"
        ),
        "{outcome}"
    );
    assert_eq!(desk.text(), config.to_string());
    assert_eq!(fs::read_to_string(&desk.config).unwrap(), CONFIG);
}

/// Without the record, hallpass recognizes only its exec entry.
#[test]
fn undo_without_a_record_removes_what_it_shows() {
    for (user, words) in [
        (json!({"token": "x"}), &["  - name: me.exec.you"][..]),
        (json!({"token": "x", "as": "boss"}), &["  - exec:"]),
    ] {
        let desk = Desk::new(&user);
        desk.setup(&["--provider", "corp"]).succeeds();
        let entry = desk.user()["exec"]["args"][6].clone();
        fs::remove_dir_all(desk.sandbox.data_dir().join("setups")).unwrap();
        let preview = desk.setup(&["--undo", "--dry-run"]);
        let undone = desk.setup(&["--undo"]);
        for outcome in [&preview, &undone] {
            for line in words {
                assert!(outcome.succeeds().stdout.contains(line), "{outcome}");
            }
            assert!(
                !outcome.stdout.contains(entry.as_str().unwrap()),
                "{outcome}"
            );
            assert!(!outcome.stdout.contains("boss"), "{outcome}");
        }
        let config: Value = serde_json::from_str(&desk.text()).unwrap();
        let left = config["users"].as_array().unwrap().get(1);
        let kept = user.get("as").map(|name| json!({"as": name}));
        assert_eq!(left.map(|left| &left["user"]), kept.as_ref());
    }
}

#[test]
fn a_new_user_is_added_and_removed_again() {
    let mut desk = Desk::new(&json!({}));
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    config["users"] = Value::Null;
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &config.to_string());
    let before = desk.state();
    let arguments = ["--issuer-url", "https://new.example", "--client-id", "abc"];
    desk.setup(&arguments).succeeds();
    let found: Value = serde_json::from_str(&desk.text()).unwrap();
    assert_eq!(found["users"][0]["name"], "me.exec.you");
    assert_eq!(found["users"][0]["user"]["exec"]["args"][2], "new.example");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.state(), before);
    // A user that no context names could send its token anywhere.
    desk.setup(&["--user", "nobody", "--provider", "corp"])
        .fails_saying(2, &["no context uses the user nobody", "set-context"]);
}

#[test]
fn a_user_of_several_clusters_is_bound_to_each_that_may_have_the_token() {
    let mut desk = Desk::new(&json!({}));
    let mut config: Value = serde_json::from_str(&desk.text()).unwrap();
    let clusters = [
        ("c2", json!({"server": "https://k2.corp.example/base/"})),
        ("c3", json!({"server": "http://k3.corp.example"})),
        (
            "c4",
            json!({"server": "https://k4.corp.example", "insecure-skip-tls-verify": true}),
        ),
        ("c5", json!({"server": SERVER})),
    ];
    for (name, cluster) in clusters {
        let list = config["clusters"].as_array_mut().unwrap();
        list.push(json!({"name": name, "cluster": cluster}));
        let list = config["contexts"].as_array_mut().unwrap();
        list.push(json!({"name": name, "context": {"cluster": name, "user": "me.exec.you"}}));
    }
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &config.to_string());
    let before = desk.state();
    let outcome = desk.setup(&["--provider", "corp"]);
    for words in [
        "c3",
        "gives it no token",
        "c4 has insecure-skip-tls-verify",
        "a separate user for each cluster",
    ] {
        assert!(
            outcome.succeeds().stdout.contains(words),
            "{words}: {outcome}"
        );
    }
    assert!(!desk.text().contains("--entry"), "{}", desk.text());
    let written = fs::read_to_string(&desk.config).unwrap();
    let servers: Vec<_> = written
        .lines()
        .filter(|line| line.starts_with("match"))
        .collect();
    assert_eq!(
        servers,
        [
            "match = \"https://k8s.corp.example:6443\"",
            "match = \"https://k2.corp.example/base\"",
            "match = \"https://k4.corp.example\"",
        ]
    );
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.state(), before);
}

/// Windows has no modes, and few users can create links there.
#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_the_mode_of_what_it_leads_to_stays() {
    let mut desk = Desk::new(&json!({"token": "x"}));
    let target = desk.sandbox.root().join("elsewhere");
    fs::rename(&desk.kubeconfig, &target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&target, &desk.kubeconfig).unwrap();
    desk.sandbox.set("KUBECONFIG", &desk.kubeconfig);
    desk.setup(&["--provider", "corp"]).succeeds();
    assert_eq!(desk.user()["exec"]["command"], "hallpass");
    assert!(fs::symlink_metadata(&desk.kubeconfig).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

/// kubectl itself would wait for such a file, or read it forever. Windows has none in folders.
#[cfg(unix)]
#[test]
fn a_kubeconfig_that_is_no_regular_file_is_named_and_read_by_nothing() {
    let desk = Desk::new(&json!({"token": "x"}));
    fs::remove_file(&desk.kubeconfig).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &desk.kubeconfig).unwrap();
    desk.setup(&["--provider", "corp"])
        .fails_saying(1, &["kubeconfig", "not a regular file"]);
}

/// What denies access is named, with the command that fits its owner.
#[cfg(unix)]
#[test]
fn a_kubeconfig_without_permission_is_reported_with_the_fix() {
    use std::os::unix::fs::chown;
    // Only root can change an owner, and root reads every file.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut desk = Desk::new(&json!({"token": "x"}));
    let folder = desk.sandbox.home().join(".kube");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("config");
    fs::copy(&desk.kubeconfig, &file).unwrap();
    let given = desk.sandbox.root().join("given");
    fs::create_dir(&given).unwrap();
    fs::copy(&desk.kubeconfig, given.join("k3s.yaml")).unwrap();
    desk.sandbox.give_away();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let root = |path: &Path| chown(path, Some(0), Some(0)).unwrap();
    let fix = |desk: &Desk, words: &[&str]| {
        for command in [
            &["setup", "kubectl", "--provider", "corp"][..],
            &["doctor", "kubectl"],
        ] {
            if command[0] == "doctor" && words[0].starts_with("cannot write") {
                continue;
            }
            let outcome = desk.sandbox.run_as_other_user(command);
            outcome.fails_saying(1, words);
        }
    };
    desk.sandbox.set("KUBECONFIG", &file);
    mode(&file, 0);
    fix(
        &desk,
        &[
            "cannot read ~/.kube/config",
            "run `chmod u+rwX ~/.kube/config`",
        ],
    );
    mode(&file, 0o600);
    root(&file);
    let own = "sudo chown \"$(id -u):$(id -g)\" ~/.kube/config`, then run the command again";
    fix(&desk, &["~/.kube/config belongs to root", own]);
    mode(&file, 0o644);
    root(&folder);
    mode(&folder, 0o755);
    let own = "run `sudo chown -R \"$(id -u):$(id -g)\" ~/.kube`";
    fix(
        &desk,
        &[
            "cannot write ~/.kube/config",
            "~/.kube belongs to root",
            own,
        ],
    );
    mode(&folder, 0o700);
    fix(&desk, &["cannot read ~/.kube/config", own]);
    // A system's file stays the system's.
    let file = given.join("k3s.yaml");
    root(&file);
    desk.sandbox.set("KUBECONFIG", &file);
    mode(&file, 0o600);
    let copy = "k3s.yaml ~/.kube/my-k3s.yaml`, run `export KUBECONFIG=~/.kube/my-k3s.yaml`";
    fix(&desk, &["sudo install -m 600", copy]);
}

#[test]
fn a_missing_kubeconfig_is_reported_with_a_fix() {
    let mut desk = Desk::new(&json!({"token": "x"}));
    let kube = desk.sandbox.home().join(".kube");
    fs::create_dir(&kube).unwrap();
    let said = |desk: &Desk, words: &[&str]| {
        for more in [&[][..], &["--context", "c"], &["--user", "v"]] {
            let outcome = desk.setup(&[&["--provider", "corp"], more].concat());
            assert!(!outcome.stderr.contains("--help"), "{outcome}");
            outcome.fails_saying(2, words);
        }
        let outcome = desk.sandbox.run(&["doctor", "kubectl"]);
        outcome.fails_saying(2, words);
    };
    let absent = kube.join("absent");
    desk.sandbox.set("KUBECONFIG", &absent);
    said(
        &desk,
        &[
            "~/.kube/absent doesn't exist",
            "save your cluster's kubeconfig as",
        ],
    );
    let two = std::env::join_paths([&absent, &kube.join("b")]).unwrap();
    desk.sandbox.set("KUBECONFIG", two);
    said(&desk, &["none of ~/.kube/absent, ~/.kube/b exists"]);
    desk.sandbox
        .set("KUBECONFIG", if cfg!(windows) { ";" } else { ":" });
    said(&desk, &["KUBECONFIG names no file"]);
    desk.sandbox.set("KUBECONFIG", "~/.kube/config");
    said(&desk, &["outside quotes"]);
    #[cfg(unix)]
    {
        let link = kube.join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        desk.sandbox.set("KUBECONFIG", &link);
        said(
            &desk,
            &[
                "~/.kube/link is a link to a file that doesn't exist",
                "restore that file",
            ],
        );
    }
    private_file(&absent, "{}");
    desk.sandbox.set("KUBECONFIG", &absent);
    said(&desk, &["~/.kube/absent contains no context"]);
}

#[test]
fn a_kubeconfig_that_kubectl_rejects_is_reported_with_the_line() {
    let desk = Desk::new(&json!({"token": "x"}));
    let file = desk.kubeconfig.display();
    let said = format!("error: error loading config file \"{file}\": yaml: line 14: no such thing");
    let script = if cfg!(windows) {
        format!("@echo {said} >&2\n@exit /b 1\n")
    } else {
        format!("#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    };
    write_kubectl(&desk.sandbox, &script);
    for words in [
        &["setup", "kubectl", "--provider", "corp"][..],
        &["doctor", "kubectl"],
    ] {
        let outcome = desk.sandbox.run(words);
        let fix = format!("correct line 14 of {file}, then run the command again");
        outcome.fails_saying(
            1,
            &["kubectl rejects the kubeconfig", "line 14: no such", &fix],
        );
        assert!(!outcome.stderr.contains("installed"), "{outcome}");
    }
    let greets = if cfg!(windows) {
        "@echo hello\n"
    } else {
        "#!/bin/sh\necho hello\n"
    };
    write_kubectl(&desk.sandbox, greets);
    desk.setup(&["--provider", "corp"])
        .fails_saying(1, &["not JSON", "prints the kubeconfig and nothing else"]);
}

#[test]
fn the_hint_for_parts_that_kubectl_ignores_keeps_them() {
    let desk = Desk::new(&json!({"token": "x"}));
    // It reads one document only.
    let script = if cfg!(windows) {
        "@type \"%~dp0view\"\n"
    } else {
        "#!/bin/sh\ncat \"${0%/*}/view\"\n"
    };
    write_kubectl(&desk.sandbox, script);
    let before = desk.text();
    let documents = format!("{before}\n---\n{{\"users\": []}}\n");
    let lists = before.replacen('{', "{\"users\": [],", 1);
    for (text, words) in [
        (
            documents,
            ["more than one YAML document", "move the other documents"],
        ),
        (lists, ["`users` more than once", "under one `users`"]),
    ] {
        private_file(&desk.kubeconfig, &text);
        let view = text.split("\n---").next().unwrap();
        fs::write(desk.sandbox.root().join("tools/view"), view).unwrap();
        let outcome = desk.setup(&["--provider", "corp"]);
        outcome.fails_saying(1, &words);
        assert!(!outcome.stderr.contains("hallpass-layout"), "{outcome}");
        assert_eq!(desk.text(), text);
    }
}

#[test]
fn whatever_is_missing_is_named() {
    let desk = Desk::new(&json!({"token": "x"}));
    desk.setup(&["--context", "nowhere"])
        .fails_saying(2, &["no context nowhere", "here"]);
    desk.setup(&["--provider", "nope"])
        .fails_saying(2, &["nope"]);
    let outcome = desk.setup(&["--provider", "corp", "--user", "v"]);
    let create = "hint: create a context for it with `kubectl config set-context NAME --cluster c.1 \
                  --user v`";
    outcome.fails_saying(
        2,
        &["error: no context uses the user v", create, "me.exec.you"],
    );
    desk.setup(&["--context", "here", "--user", "me"])
        .fails_with(2);
    let mut desk = Desk::new(&json!({"token": "x"}));
    let plain = kubeconfig("http://k8s.corp.example", &json!({})).to_string();
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &plain);
    desk.setup(&["--provider", "corp"])
        .fails_saying(2, &["c.1", "https://"]);
    desk.sandbox
        .set("PATH", desk.sandbox.root().join("nowhere"));
    desk.setup(&[])
        .fails_saying(1, &["kubectl failed", "install kubectl"]);
}

#[test]
fn a_cluster_that_can_get_no_token_is_named_with_the_fix() {
    let fix = "kubectl config set-cluster c.1 --server https://HOST:PORT";
    for (server, words) in [
        ("", "cluster c.1 has no server"),
        ("k8s.corp.example", "c.1 does not begin with https://"),
        (
            "http://k8s.corp.example",
            "c.1 does not begin with https://",
        ),
    ] {
        let mut desk = Desk::new(&json!({}));
        let text = kubeconfig(server, &json!({})).to_string();
        desk.kubeconfig = with_kubectl(&mut desk.sandbox, &text);
        let outcome = desk.setup(&["--provider", "corp"]);
        outcome.fails_saying(2, &[words, fix]);
        assert!(!outcome.stderr.contains("--help"), "{outcome}");
    }
    let mut desk = Desk::new(&json!({}));
    let text = kubeconfig(SERVER, &json!({})).to_string();
    let text = text.replace(r#""cluster":"c.1""#, r#""cluster":"gone""#);
    desk.kubeconfig = with_kubectl(&mut desk.sandbox, &text);
    let words = "the context here names the cluster gone";
    desk.setup(&["--provider", "corp"])
        .fails_saying(2, &[words, "set-cluster gone"]);
}

#[test]
fn the_allow_list_grows_only_where_it_is_one() {
    const LIST: &str = "# mine\nkind: Preference\ncredentialPluginPolicy: Allowlist # only\n\
                        credentialPluginAllowlist:\n- FIELD: x # it\n\naliases: []\n";
    let mut desk = Desk::new(&json!({"token": "x"}));
    let kuberc = desk.sandbox.root().join("kuberc");
    desk.sandbox.set("KUBERC", &kuberc);
    let before = desk.state();
    for (text, words, after) in [
        (None, "kubectl runs every plugin", None),
        (Some("kind: Preference\n"), "has no allowlist", None),
        (
            Some("credentialPluginPolicy: AllowAll\n"),
            "has no allowlist",
            None,
        ),
        (Some("credentialPluginPolicy: DenyAll\n"), "DenyAll", None),
        (Some("a: [\n"), "not valid YAML", None),
        (
            Some(&*LIST.replace("FIELD", "command")),
            "+ - command: hallpass",
            Some(LIST.replace(
                "- FIELD: x # it\n",
                "- command: x # it\n- command: hallpass\n",
            )),
        ),
        (
            Some(&*LIST.replace("FIELD", "name")),
            "+ - name: hallpass",
            Some(LIST.replace("- FIELD: x # it\n", "- name: x # it\n- name: hallpass\n")),
        ),
        (
            Some(&*LIST.replace("FIELD: x", "command: hallpass")),
            "already allows hallpass",
            None,
        ),
        (
            Some("credentialPluginPolicy: Allowlist\n"),
            "+ - command: hallpass",
            Some(
                "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n\
                 - command: hallpass\n"
                    .to_owned(),
            ),
        ),
    ] {
        if let Some(text) = text {
            private_file(&kuberc, text);
        }
        let outcome = desk.setup(&["--provider", "corp", "--kuberc"]);
        assert!(
            outcome.succeeds().stdout.contains(words),
            "{words}: {outcome}"
        );
        let expected = after.or(text.map(str::to_owned));
        assert_eq!(fs::read_to_string(&kuberc).ok(), expected);
        desk.setup(&["--undo"]).succeeds();
        assert_eq!(fs::read_to_string(&kuberc).ok().as_deref(), text);
        let _ = fs::remove_file(&kuberc);
        assert_eq!(desk.state(), before);
    }
}

#[test]
fn a_converted_kubelogin_signs_in_as_it_did() {
    let mut scene = Scene::new();
    scene.sandbox.config("");
    let issuer = scene.provider.issuer();
    let user = json!({"exec": {"command": "kubelogin", "args": [
        "get-token", "--oidc-issuer-url", issuer, "--oidc-client-id=hallpass",
        "--oidc-extra-scope=offline_access", "--listen-address=127.0.0.1:0",
    ]}});
    let text = kubeconfig(SERVER, &user).to_string();
    let path = with_kubectl(&mut scene.sandbox, &text);
    scene
        .sandbox
        .run(&["setup", "kubectl", "--from-kubelogin"])
        .succeeds();
    let written: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let args = written["users"][1]["user"]["exec"]["args"]
        .as_array()
        .unwrap();
    let args: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
    let info = json!({
        "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"interactive": true, "cluster": {"server": SERVER}},
    });
    let reply = Parent::new(&scene)
        .run(&scene, &info.to_string(), &args)
        .json();
    assert!(reply["status"]["token"].is_string());
    let asked = url::Url::parse(scene.sandbox.opened()[0].last().unwrap()).unwrap();
    let redirect = asked
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri")
        .unwrap()
        .1;
    let port = redirect.strip_prefix("http://localhost:").unwrap();
    assert!(
        port.parse::<u16>().is_ok(),
        "a redirect URI without a path stays one: {redirect}"
    );
}

#[test]
fn what_a_kubeconfig_calls_a_context_stays_on_its_line() {
    let mut sandbox = Sandbox::new();
    let text = kubeconfig(SERVER, &json!({})).to_string();
    let named = text.replace("here", r"here\nhallpass: hint: run evil");
    with_kubectl(&mut sandbox, &named);
    let unknown = sandbox.run(&["setup", "kubectl", "--context", "x"]);
    unknown.fails_saying(
        2,
        &[r"it has these contexts: here\u{a}hallpass: hint: run evil"],
    );
    // A batch file, the kubectl of the tests on Windows, gets no argument with a line break.
    if cfg!(windows) {
        return;
    }
    let doctor = sandbox.run(&["doctor", "kubectl"]);
    let hint = r"hallpass setup kubectl --context $'here\012hallpass: hint: run evil'";
    assert!(
        doctor.stdout.lines().any(|line| line.trim() == hint),
        "{doctor}"
    );
}
