//! The exec entry that `setup kubectl` records, and the clients that say nothing of their cluster.

use std::fs;

use serde_json::{Value, json};

use crate::kubectl::{Parent, at, token};
use crate::sandbox::{Outcome, files_below};
use crate::scene::Scene;
use crate::setup_kubectl::{entry_of, kubeconfig, with_kubectl};

const SERVER: &str = "https://k8s.corp.example:6443";
const OTHER: &str = "https://evil.example";

/// A person whose kubeconfig has one cluster and whose exec entry is set up.
struct Desk {
    scene: Scene,
    path: std::path::PathBuf,
}

impl Desk {
    fn new() -> Self {
        let mut scene = Scene::new();
        let text = kubeconfig(SERVER, &json!({})).to_string();
        let path = with_kubectl(&mut scene.sandbox, &text);
        let desk = Self { scene, path };
        desk.setup(&["--provider", "corp"]).succeeds();
        desk
    }

    fn setup(&self, more: &[&str]) -> Outcome {
        self.scene
            .sandbox
            .run(&[&["setup", "kubectl"], more].concat())
    }

    fn user(&self) -> Value {
        let config: Value = serde_json::from_str(&fs::read_to_string(&self.path).unwrap()).unwrap();
        config["users"][1]["user"].clone()
    }

    fn arguments(&self) -> Vec<String> {
        let user = self.user();
        let args = user["exec"]["args"].as_array().unwrap();
        let args = args.iter().filter_map(Value::as_str);
        args.map(str::to_owned).collect()
    }

    /// A client that is started for this alone.
    fn client(&self, info: &str, arguments: &[&str]) -> Outcome {
        Parent::new(&self.scene).run(&self.scene, info, arguments)
    }

    /// The set-up's own entry, with this request.
    fn asks(&self, info: &str) -> Outcome {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.client(info, &arguments)
    }

    fn recorded(&self) -> usize {
        let folder = self.scene.sandbox.data_dir().join("entries");
        if !folder.exists() {
            return 0;
        }
        files_below(&folder).len()
    }
}

fn undescribed(version: &str) -> String {
    let version = format!("client.authentication.k8s.io/{version}");
    json!({"kind": "ExecCredential", "apiVersion": version, "spec": {}}).to_string()
}

#[test]
fn clients_that_describe_no_cluster_get_a_token_for_the_recorded_server() {
    let desk = Desk::new();
    let described = at(SERVER, &Value::Null);
    // An empty variable counts as none.
    let requests = [
        ("", "v1beta1"),
        (&undescribed("v1beta1"), "v1beta1"),
        (&undescribed("v1"), "v1"),
        (&described, "v1"),
    ];
    let mut tokens = Vec::new();
    for _ in 0..2 {
        for (info, version) in requests {
            let reply = desk.asks(info);
            let version = format!("client.authentication.k8s.io/{version}");
            assert_eq!(reply.json()["apiVersion"], version.as_str(), "{reply}");
            tokens.push(token(&reply));
        }
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(desk.scene.sandbox.opened().len(), 1);
}

#[test]
fn the_version_of_the_reply_is_the_one_that_the_entry_gives() {
    let desk = Desk::new();
    let id = entry_of(&desk.user());
    let with = |version: &[&str]| {
        let all = [&["kubectl", "--provider", "corp", "--entry", &id], version].concat();
        desk.client("", &all)
    };
    for (given, expected) in [
        ("v1", "v1"),
        ("v1beta1", "v1beta1"),
        ("client.authentication.k8s.io/v1", "v1"),
    ] {
        let reply = with(&["--api-version", given]);
        let expected = format!("client.authentication.k8s.io/{expected}");
        assert_eq!(reply.json()["apiVersion"], expected.as_str(), "{reply}");
    }
    with(&[]).fails_saying(2, &["--api-version", "hallpass setup kubectl"]);
    with(&["--api-version", "v1alpha1"]).fails_saying(2, &["v1 or v1beta1"]);
}

#[test]
fn a_hostile_kubeconfig_gets_no_token_for_another_server() {
    let mut desk = Desk::new();
    desk.scene.get_token(&[]).token();
    let id = entry_of(&desk.user());
    let guess = "0".repeat(32);
    let issuer = desk.scene.provider.issuer();
    let ad_hoc = [
        "--issuer-url",
        &issuer,
        "--client-id",
        "hallpass",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
    ];
    let version = ["--api-version", "v1"];
    let corp = ["--provider", "corp"];
    let entry = ["--entry", &id];
    let guessed = ["--entry", &guess];
    let (evil, own) = (at(OTHER, &Value::Null), at(SERVER, &Value::Null));
    let named = at(OTHER, &json!({"provider": "corp"}));
    let elsewhere = at(
        OTHER,
        &json!({"issuerURL": issuer, "clientID": "hallpass",
        "scopes": ["openid", "offline_access"]}),
    );
    let unverified = json!({"kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"cluster": {"server": SERVER, "insecure-skip-tls-verify": true}}})
    .to_string();
    let nothing = desk.scene.sandbox.root().join("empty.toml");
    crate::sandbox::private_file(&nothing, "");
    let requests: [(&str, &[&[&str]], &str); 14] = [
        // The right ID with another server.
        (&evil, &[&corp, &entry], "was set up for"),
        (&evil, &[&entry], "was set up for"),
        (&named, &[&entry], "was set up for"),
        (&elsewhere, &[&entry], "was set up for"),
        (&unverified, &[&entry], "not verified"),
        // A guess, with another server and with none.
        (&evil, &[&corp, &guessed], "does not open"),
        ("", &[&corp, &guessed, &version], "not recorded"),
        (&undescribed("v1"), &[&guessed], "not recorded"),
        // No ID.
        ("", &[&corp, &version], "which cluster"),
        (&undescribed("v1"), &[&corp], "which cluster"),
        (&undescribed("v1"), &[&ad_hoc], "which cluster"),
        (&evil, &[&ad_hoc], "does not open"),
        (&evil, &[&corp], "does not open"),
        // The recorded server, and another account or provider.
        (&own, &[&entry, &["--account", "work"]], "another one"),
    ];
    for (info, arguments, word) in requests {
        let arguments = [&[&["kubectl"][..]], arguments].concat().concat();
        desk.client(info, &arguments).fails_saying(1, &[word]);
    }
    // Whatever configuration the environment leads to, the registration is bound to the server.
    desk.scene.sandbox.set("HALLPASS_CONFIG", &nothing);
    let arguments = [&["kubectl"][..], &ad_hoc].concat();
    for info in [&evil, &elsewhere] {
        let refused = desk.client(info, &arguments);
        refused.fails_saying(1, &["does not open"]);
    }
    token(&desk.client(&own, &arguments));
    assert_eq!(desk.scene.sandbox.opened().len(), 1);
}

#[test]
fn an_undone_entry_gets_no_token() {
    let desk = Desk::new();
    let arguments = desk.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for _ in 0..2 {
        token(&desk.client("", &arguments));
    }
    assert_eq!(desk.recorded(), 1);
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.recorded(), 0);
    desk.client("", &arguments)
        .fails_saying(1, &["not recorded on this machine"]);
}

#[test]
fn a_repeated_setup_keeps_the_id_and_a_changed_one_replaces_it() {
    let desk = Desk::new();
    let first = entry_of(&desk.user());
    desk.setup(&["--provider", "corp"]).succeeds();
    assert_eq!(entry_of(&desk.user()), first);
    desk.setup(&["--provider", "corp", "--account", "work"])
        .succeeds();
    let second = entry_of(&desk.user());
    assert_ne!(second, first);
    assert_eq!(desk.recorded(), 1);
    let old = ["kubectl", "--entry", &first, "--api-version", "v1"];
    desk.client("", &old).fails_saying(1, &["not recorded"]);
    // The record is lost: the set-up makes another one.
    fs::remove_dir_all(desk.scene.sandbox.data_dir().join("entries")).unwrap();
    desk.asks("").fails_saying(1, &["not recorded"]);
    desk.setup(&["--provider", "corp", "--account", "work"])
        .succeeds();
    token(&desk.asks(""));
}

#[cfg(target_os = "linux")]
#[test]
fn one_program_with_two_entries_repeats_nothing() {
    let desk = Desk::new();
    let other = Desk::new();
    let ids = [entry_of(&desk.user()), entry_of(&other.user())];
    // The second entry is recorded in the first one's store, as for a second cluster.
    for file in files_below(&other.scene.sandbox.data_dir().join("entries")) {
        let text = fs::read_to_string(&file).unwrap();
        let to = desk.scene.sandbox.data_dir().join("entries");
        crate::sandbox::private_file(&to.join(file.file_name().unwrap()), &text);
    }
    let mut program = Parent::new(&desk.scene);
    let mut asks = |id: &str| {
        let all = [
            "kubectl",
            "--provider",
            "corp",
            "--api-version",
            "v1",
            "--entry",
            id,
        ];
        token(&program.run(&desk.scene, "", &all))
    };
    let first = asks(&ids[0]);
    assert_eq!(asks(&ids[1]), first);
    // The same one again is a refused token.
    assert_ne!(asks(&ids[0]), first);
}

#[test]
fn the_doctor_says_whether_the_entry_is_recorded() {
    let desk = Desk::new();
    desk.scene.get_token(&[]).token();
    let looked = || desk.scene.sandbox.run(&["doctor", "kubectl"]);
    assert!(
        looked()
            .stdout
            .contains(&format!("ok    the exec entry is recorded for {SERVER}")),
        "{}",
        looked()
    );
    fs::remove_dir_all(desk.scene.sandbox.data_dir().join("entries")).unwrap();
    let off = looked();
    assert!(off.stdout.contains("not recorded on this machine"), "{off}");
    assert!(off.stdout.contains("hallpass setup kubectl"), "{off}");
    assert!(!off.stdout.contains(&entry_of(&desk.user())), "{off}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_exec_entry_chooses_no_browser_and_no_configuration() {
    let mut desk = Desk::new();
    let arguments = desk.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut kubectl = Parent::new(&desk.scene);
    // What the exec entry sets is what the parent does not have.
    let folder = desk.scene.sandbox.root().join("evil");
    fs::create_dir(&folder).unwrap();
    let was_run = folder.join("was-run");
    let evil = folder.join("xdg-open");
    crate::sandbox::private_file(&evil, &format!("#!/bin/sh\n: >'{}'\n", was_run.display()));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&evil, mode).unwrap();
    let path = desk.scene.sandbox.variables()[std::ffi::OsStr::new("PATH")].clone();
    let mut own_path = folder.clone().into_os_string();
    own_path.push(":");
    own_path.push(&path);
    let browser = desk.scene.sandbox.variables()[std::ffi::OsStr::new("BROWSER")].clone();
    for (name, value) in [
        ("BROWSER", evil.as_os_str()),
        ("HALLPASS_BROWSER", evil.as_os_str()),
        ("PATH", &own_path),
    ] {
        desk.scene.sandbox.set(name, value);
    }
    // The caller's own browser signs in.
    token(&kubectl.run(&desk.scene, "", &arguments));
    assert!(!was_run.exists());
    assert_eq!(desk.scene.sandbox.opened().len(), 1);
    desk.scene.sandbox.set("BROWSER", browser);
    desk.scene.sandbox.set("PATH", path);
    desk.scene.sandbox.unset("HALLPASS_BROWSER");

    // A configuration of the exec entry's, for which nothing is said of the server.
    let unixexec = format!("unixexec:path={}", evil.display());
    let config = folder.join("config.toml");
    crate::sandbox::private_file(&config, &format!("browser = \"{}\"\n", evil.display()));
    for (name, value) in [
        ("HALLPASS_CONFIG", config.as_os_str()),
        ("HALLPASS_DATA_DIR", folder.as_os_str()),
        ("HALLPASS_CA_FILE", config.as_os_str()),
        ("SSL_CERT_FILE", config.as_os_str()),
        ("SSL_CERT_DIR", folder.as_os_str()),
        ("XDG_CONFIG_HOME", folder.as_os_str()),
        ("XDG_DATA_HOME", folder.as_os_str()),
        ("XDG_RUNTIME_DIR", folder.as_os_str()),
        ("DBUS_SESSION_BUS_ADDRESS", unixexec.as_ref()),
        ("HOME", folder.as_os_str()),
    ] {
        let own = desk
            .scene
            .sandbox
            .variables()
            .get(std::ffi::OsStr::new(name));
        let own = own.cloned();
        desk.scene.sandbox.set(name, value);
        for info in ["", &at(OTHER, &Value::Null)] {
            kubectl
                .run(&desk.scene, info, &arguments)
                .fails_saying(1, &[name, "exec entry must not choose"]);
        }
        match own {
            Some(own) => desk.scene.sandbox.set(name, own),
            None => desk.scene.sandbox.unset(name),
        }
    }
    // What a person may put there.
    desk.scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
    desk.scene.sandbox.run(&["logout", "--all"]);
    kubectl
        .run(&desk.scene, "", &arguments)
        .fails_saying(3, &["hallpass login corp"]);
    assert!(!was_run.exists());
    assert_eq!(desk.scene.sandbox.opened().len(), 1);
}

#[test]
fn a_provider_of_other_servers_answers_no_cluster_that_is_not_named() {
    for (resources, expected) in [
        ("", None),
        (
            "match = \"https://git.corp.example\"\ntools = [\"git\"]",
            Some("does not open"),
        ),
        (
            "match = \"https://git.corp.example\"",
            Some("does not open"),
        ),
        (
            "match = \"https://k8s.corp.example:6443\"\ntools = [\"git\"]",
            Some("does not open"),
        ),
        ("match = \"https://k8s.corp.example:6443\"", None),
        (
            "match = \"https://k8s.corp.example:6443\"\ntools = [\"kubectl\"]",
            None,
        ),
    ] {
        let mut scene = Scene::new();
        if !resources.is_empty() {
            scene.configure(&format!(
                "\n[[resources]]\nprovider = \"corp\"\n{resources}\n"
            ));
        }
        let asked = ["kubectl", "--provider", "corp"];
        let answer = Parent::new(&scene).run(&scene, &at(SERVER, &Value::Null), &asked);
        match expected {
            None => drop(token(&answer)),
            Some(word) => drop(
                answer
                    .fails_saying(1, &[word, "setup kubectl --dry-run"])
                    .to_owned(),
            ),
        }
    }
}
