//! `hallpass setup docker` and its undo, and `hallpass doctor docker`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::sandbox::{Outcome, Sandbox, copy_program, private_file};
use crate::scene::Scene;

const CONFIG: &str = "# mine\nbrowser = \"firefox\"\n[providers.corp]\n\
    issuer = \"https://login.corp.example\"\nclient_id = \"hallpass\"\n";
const DOCKER: &str = "{\n    \"auths\": {\n        \"quay.io\": {\"auth\": \"eDp5\"}\n    },\n    \
    \"credHelpers\": {\n        \"gcr.io\": \"gcloud\"\n    },\n    \"credsStore\": \"desktop\",\n    \
    \"x\": [1.50, \"\\u00e9\"]\n}";

pub(crate) struct Desk {
    sandbox: Sandbox,
    config: PathBuf,
}

impl Desk {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    pub(crate) fn with(config: &str) -> Self {
        let mut sandbox = Sandbox::new();
        let config = sandbox.config(config);
        // A writable folder on PATH that isn't the program's.
        let folder = sandbox.home().join(".local/bin");
        fs::create_dir_all(&folder).unwrap();
        sandbox.set("PATH", &folder);
        Self { sandbox, config }
    }

    pub(crate) fn config(&self) -> String {
        text(&self.config)
    }

    #[track_caller]
    pub(crate) fn setup(&self, more: &[&str]) -> Outcome {
        self.sandbox.run(&[&["setup", "docker"], more].concat())
    }

    fn docker_file(&self) -> PathBuf {
        self.sandbox.home().join(".docker/config.json")
    }

    fn write_docker_file(&self, text: &str) {
        fs::create_dir_all(self.docker_file().parent().unwrap()).unwrap();
        private_file(&self.docker_file(), text);
    }

    fn link(&self) -> PathBuf {
        let ending = if cfg!(windows) { ".cmd" } else { "" };
        let name = format!("docker-credential-hallpass{ending}");
        self.sandbox.home().join(".local/bin").join(name)
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn value(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap()
}

#[test]
fn setup_writes_the_helper_the_provider_and_a_link_on_path() {
    let desk = Desk::new();
    desk.write_docker_file(DOCKER);
    let outcome = desk.setup(&["Registry.corp.example:5000", "--provider", "corp"]);
    outcome.succeeds();
    let mut expected: Value = serde_json::from_str(DOCKER).unwrap();
    expected["credHelpers"]["registry.corp.example:5000"] = "hallpass".into();
    assert_eq!(value(&desk.docker_file()), expected);
    let whole = text(&desk.docker_file());
    assert!(
        whole.contains("\"gcloud\",\n        \"registry.corp.example:5000\": \"hallpass\"\n    }"),
        "{whole}"
    );
    assert!(whole.ends_with("\"x\": [1.50, \"\\u00e9\"]\n}"), "{whole}");
    let config = desk.config();
    assert!(config.starts_with(CONFIG), "{config}");
    assert!(
        config.contains("match = \"https://registry.corp.example:5000\"\n"),
        "{config}"
    );
    assert!(desk.link().exists(), "{outcome}");
    assert!(
        outcome
            .stdout
            .contains("hallpass setup docker Registry.corp.example:5000 --undo")
    );
    // docker asks hallpass for this registry.
    let mut command = desk
        .sandbox
        .surround(std::process::Command::new(desk.link()));
    command.arg("get").env("HALLPASS_INTERACTIVE", "never");
    let asked =
        crate::sandbox::Running::with_input(command, &["get"], b"registry.corp.example:5000");
    assert!(asked.wait().stderr.contains("hallpass login corp"));
}

#[test]
fn undo_restores_every_set_up_byte_for_byte() {
    for before in [
        None,
        Some("{}"),
        Some("{\n}\n"),
        Some(""),
        Some(DOCKER),
        Some("{\n\t\"credHelpers\": {}\n}\n"),
    ] {
        for lines in [
            &[&["ghcr.example", "--provider", "corp"][..]][..],
            &[&["a.example", "b.example", "--provider", "corp"]],
            &[&["--default"]],
            &[
                &["a.example", "--provider", "corp"],
                &["--default"],
                &["gcr.io", "--provider", "corp"],
            ],
        ] {
            let desk = Desk::new();
            if let Some(before) = before {
                desk.write_docker_file(before);
            }
            for line in lines {
                desk.setup(line).succeeds();
                desk.setup(line).succeeds();
            }
            let done = (desk.config(), text(&desk.docker_file()));
            assert!(done.1.contains("\"hallpass\""), "{}", done.1);
            desk.setup(&["--undo", "--dry-run"]).succeeds();
            assert_eq!((desk.config(), text(&desk.docker_file())), done);
            desk.setup(&["--undo"]).succeeds();
            assert_eq!(desk.config(), CONFIG, "{lines:?}");
            let after = fs::read_to_string(desk.docker_file()).ok();
            assert_eq!(after.as_deref(), before, "{lines:?}");
            assert!(!desk.link().exists());
        }
    }
}

/// It appears neither in the configuration nor on the screen, and undo restores the file exactly.
#[test]
fn a_password_in_a_clients_file_is_never_copied() {
    const CANARY: &str = "Y2FuYXJ5Om9mIHF1YXkuaW8=";
    for before in [
        "{\"auths\":{\"quay.io\":{\"auth\":\"CANARY\"}}}",
        "{ \"auths\": { \"quay.io\": { \"auth\": \"CANARY\" } } }\n",
        "{\"auths\": {\"quay.io\": {\"auth\": \"CANARY\"}}, \"credHelpers\": {}}",
        "{\"credHelpers\":{\"gcr.io\":\"gcloud\"},\"auths\":{\"quay.io\":{\"auth\":\"CANARY\"}}}",
        "{\n\t\"auths\": {\"quay.io\": {\"auth\": \"CANARY\"}}\n}",
        "{\n\t\"auths\": {\"quay.io\": {\"auth\": \"CANARY\"}}, \"credsStore\": \"desktop\"\n}\n",
        "{\"auths\": {\n\"quay.io\": {\"auth\": \"CANARY\"}}}",
        "{\n  \"auths\": {\n    \"quay.io\": {\n      \"auth\": \"CANARY\"\n    }\n  }\n}\n",
    ] {
        let before = before.replace("CANARY", CANARY);
        for line in [
            &["ghcr.example", "--provider", "corp"][..],
            &["ghcr.example", "--provider", "corp", "--podman"],
            &[
                "ghcr.example",
                "b.example",
                "--provider",
                "corp",
                "--default",
            ],
        ] {
            let desk = Desk::new();
            let auth = desk.sandbox.home().join(".config/containers/auth.json");
            fs::create_dir_all(auth.parent().unwrap()).unwrap();
            private_file(&auth, &before);
            desk.write_docker_file(&before);
            let outcome = desk.setup(line);
            outcome.succeeds();
            assert!(text(&desk.docker_file()).contains("\"hallpass\""));
            let all = format!("{}{outcome}", desk.config());
            assert!(!all.contains(CANARY), "{all}");
            let auths = &value(&desk.docker_file())["auths"];
            assert_eq!(auths["quay.io"]["auth"], CANARY);
            desk.setup(&["--undo"]).succeeds();
            assert_eq!(text(&desk.docker_file()), before);
            assert_eq!(text(&auth), before);
            assert_eq!(desk.config(), CONFIG);
        }
    }
}

#[test]
fn undo_of_one_registry_leaves_the_others() {
    let desk = Desk::new();
    desk.write_docker_file(DOCKER);
    for host in ["a.example", "b.example", "gcr.io"] {
        desk.setup(&[host, "--provider", "corp"]).succeeds();
    }
    desk.setup(&["a.example", "gcr.io", "--undo"]).succeeds();
    let helpers = &value(&desk.docker_file())["credHelpers"];
    assert_eq!(
        *helpers,
        json!({ "gcr.io": "gcloud", "b.example": "hallpass" })
    );
    assert!(desk.link().exists());
    desk.setup(&["b.example", "--undo"]).succeeds();
    let expected: Value = serde_json::from_str(DOCKER).unwrap();
    assert_eq!(value(&desk.docker_file()), expected);
    assert!(!desk.link().exists());
    assert_eq!(desk.config(), CONFIG);
}

#[test]
fn undo_leaves_values_that_were_changed_since() {
    let desk = Desk::new();
    desk.setup(&["--default"]).succeeds();
    private_file(&desk.docker_file(), "{\"credsStore\": \"pass\"}");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), "{\"credsStore\": \"pass\"}");
}

#[test]
fn a_dry_run_shows_the_changes_and_writes_nothing() {
    let desk = Desk::new();
    desk.write_docker_file(DOCKER);
    let outcome = desk.setup(&["a.example", "--provider", "corp", "--default", "--dry-run"]);
    for line in [
        "Would change ~/.docker/config.json:",
        "  + credHelpers.a.example = \"hallpass\"\n",
        "  - credsStore = \"desktop\"\n  + credsStore = \"hallpass\"\n",
        "Would change ~/.local/bin/docker-credential-hallpass:",
    ] {
        assert!(
            outcome.succeeds().stdout.contains(line),
            "{line}: {outcome}"
        );
    }
    assert_eq!(text(&desk.docker_file()), DOCKER);
    assert_eq!(desk.config(), CONFIG);
    assert!(!desk.link().exists());
}

#[test]
fn the_list_shows_what_is_set_up_and_whether_it_is_in_place() {
    let desk = Desk::new();
    let list = || {
        desk.sandbox
            .run(&["setup", "--list"])
            .succeeds()
            .stdout
            .clone()
    };
    assert_eq!(list(), "nothing is set up\n");
    desk.setup(&["a.example", "b.example", "--provider", "corp"])
        .succeeds();
    let file = desk.config.display();
    let of = |host: &str, state: &str| {
        format!(
            "hallpass setup docker {host}\n  {file}: in place\n  \
             ~/.local/bin/docker-credential-hallpass: in place\n  ~/.docker/config.json: {state}\n"
        )
    };
    let both = [of("a.example", "in place"), of("b.example", "in place")];
    let listed = list();
    assert!(both.iter().all(|one| listed.contains(one)), "{listed}");
    desk.write_docker_file("{\"credHelpers\": {\"a.example\": \"hallpass\"}}");
    let listed = list();
    let changed = of("b.example", "changed or removed since");
    assert!(
        listed.contains(&both[0]) && listed.contains(&changed),
        "{listed}"
    );
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(list(), "nothing is set up\n");
}

#[test]
fn the_list_names_installed_tools_that_are_not_set_up() {
    let desk = Desk::new();
    let folder = desk.link().parent().unwrap().to_owned();
    let program = |name: &str| format!("{name}{}", std::env::consts::EXE_SUFFIX);
    for name in ["podman", "kubectl"] {
        fs::write(folder.join(program(name)), "").unwrap();
    }
    let list = || desk.sandbox.run(&["setup", "--list"]);
    let not_set_up =
        |tool: &str| format!("not set up: {tool} (see `hallpass setup {tool} --help`)\n");
    let expected = format!(
        "nothing is set up\n{}{}",
        not_set_up("docker"),
        not_set_up("kubectl")
    );
    assert_eq!(list().succeeds().stdout, expected);
    desk.setup(&["a.example", "--provider", "corp"]).succeeds();
    let listed = list();
    assert!(!listed.succeeds().stdout.contains(&not_set_up("docker")));
    assert!(listed.stdout.ends_with(&not_set_up("kubectl")), "{listed}");
}

/// The entries for Docker Hub: clients ask for it under each of these names.
fn all_names_of_the_hub() -> Value {
    json!({
        "https://index.docker.io/v1/": "hallpass",
        "docker.io": "hallpass",
        "index.docker.io": "hallpass",
        "registry-1.docker.io": "hallpass",
    })
}

#[test]
fn docker_hub_can_be_set_up_and_undone_under_any_of_its_names() {
    for (name, other) in [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "index.docker.io"),
        ("registry-1.docker.io", "https://index.docker.io/v1/"),
    ] {
        let desk = Desk::new();
        desk.setup(&[name, "--provider", "corp"]).succeeds();
        let helpers = &value(&desk.docker_file())["credHelpers"];
        assert_eq!(*helpers, all_names_of_the_hub());
        desk.setup(&[other, "--undo"]).succeeds();
        assert!(!desk.docker_file().exists());
        assert_eq!(desk.config(), CONFIG);
    }
    // If it is configured under another name, no provider has to be named.
    let desk = Desk::new();
    let configured = format!(
        "{CONFIG}[[resources]]\nmatch = \"https://index.docker.io\"\nprovider = \"corp\"\n"
    );
    private_file(&desk.config, &configured);
    desk.setup(&["docker.io"]).succeeds();
    assert_eq!(desk.config().matches("[[resources]]").count(), 1);
}

#[test]
fn a_host_with_its_default_port_gets_both_keys() {
    let desk = Desk::new();
    desk.setup(&["a.example:443", "--provider", "corp"])
        .succeeds();
    let helpers = &value(&desk.docker_file())["credHelpers"];
    let expected = json!({ "a.example": "hallpass", "a.example:443": "hallpass" });
    assert_eq!(*helpers, expected);
    assert!(desk.config().contains("match = \"https://a.example\"\n"));
    doctor(
        &desk.sandbox,
        1,
        &["ok    a.example: ~/.docker/config.json names hallpass"],
    );
    desk.setup(&["a.example:443", "--undo"]).succeeds();
    assert!(!desk.docker_file().exists());
    assert_eq!(desk.config(), CONFIG);
}

#[test]
fn podmans_files_are_changed_with_podman_and_restored() {
    let mut desk = Desk::new();
    let lasting = desk.sandbox.home().join(".config/containers/auth.json");
    desk.setup(&["a.example", "--provider", "corp", "--podman"])
        .succeeds();
    assert_eq!(
        value(&lasting),
        json!({ "credHelpers": { "a.example": "hallpass" } })
    );
    // Without a login session, as under sudo and cron.
    if cfg!(target_os = "linux") {
        let of_user = desk.sandbox.root().join("run-containers/auth.json");
        assert_eq!(value(&of_user), value(&lasting));
        desk.setup(&["--undo"]).succeeds();
        assert!(!of_user.exists());
    }
    desk.setup(&["--undo"]).succeeds();
    assert!(!lasting.exists());

    let session = desk.sandbox.root().join("run");
    fs::create_dir_all(session.join("containers")).unwrap();
    let auth = session.join("containers/auth.json");
    private_file(&auth, "{}\n");
    desk.sandbox.set("XDG_RUNTIME_DIR", &session);
    desk.setup(&["a.example", "--provider", "corp", "--podman"])
        .succeeds();
    assert_eq!(value(&auth)["credHelpers"]["a.example"], "hallpass");
    assert_eq!(value(&lasting)["credHelpers"]["a.example"], "hallpass");
    // The undo also works in another login session, which has its own file.
    desk.sandbox.unset("XDG_RUNTIME_DIR");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(text(&auth), "{}\n");
    assert!(!lasting.exists());

    let named = desk.sandbox.root().join("auth.json");
    desk.sandbox.set("REGISTRY_AUTH_FILE", &named);
    desk.setup(&["a.example", "--provider", "corp", "--podman"])
        .succeeds();
    assert_eq!(value(&named)["credHelpers"]["a.example"], "hallpass");
}

#[cfg(target_os = "linux")]
#[test]
fn a_password_in_podmans_file_outside_a_login_session_is_reported() {
    let desk = Desk::new();
    let of_user = desk.sandbox.root().join("run-containers/auth.json");
    fs::create_dir_all(of_user.parent().unwrap()).unwrap();
    private_file(
        &of_user,
        "{\"auths\": {\"a.example\": {\"auth\": \"eDp5\"}}}",
    );
    let outcome = desk.setup(&["a.example", "--provider", "corp"]);
    let words = "run-containers/auth.json has a password for a.example, which podman";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    let said = doctor(&desk.sandbox, 1, &["podman logout a.example"]);
    assert!(said.contains("run-containers/auth.json"), "{said}");
}

#[test]
fn podman_uses_hallpass_for_every_registry_with_default_and_podman() {
    let desk = Desk::new();
    let folder = desk
        .sandbox
        .home()
        .join(".config/containers/registries.conf.d");
    let conf = folder.join("hallpass.conf");
    desk.setup(&["--default", "--podman"]).succeeds();
    let written = text(&conf);
    let line = "credential-helpers = [\"hallpass\", \"containers-auth.json\"]\n";
    assert!(written.contains(line), "{written}");
    desk.setup(&["--default", "--undo"]).succeeds();
    assert!(!conf.exists());
    // A file of that name that the user wrote stays.
    fs::create_dir_all(&folder).unwrap();
    private_file(&conf, "# mine\n");
    desk.setup(&["--default", "--podman"]).succeeds();
    assert!(text(&conf).contains(line));
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(text(&conf), "# mine\n");
    // Without the option, podman's configuration doesn't change.
    desk.setup(&["--default"]).succeeds();
    assert_eq!(text(&conf), "# mine\n");
}

/// Installs a credential helper, which knows two registries. On Windows, it is a batch file, and
/// recognizes them by their beginnings: cmd.exe of Wine loses the last character of its input.
fn install_other_store(desk: &Desk) {
    let folder = desk.sandbox.home().join(".local/bin");
    #[cfg(unix)]
    {
        let program = folder.join("docker-credential-other");
        crate::sandbox::script_file(
            &program,
            "#!/bin/sh\nread server\ncase $1 in\n\
             list) echo '{\"quay.io\": \"bob\", \"https://index.docker.io/v1/\": \"bob\", \
             \"https://index.docker.io/v1/refresh-token\": \"x\"}' ;;\n\
             get) [ -e \"$HOME/$server.gone\" ] && exit 1; echo \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"bob\\\",\
             \\\"Secret\\\":\\\"xyzzy of $server\\\"}\" ;;\nesac\n",
        );
    }
    #[cfg(windows)]
    fs::write(
        folder.join("docker-credential-other.cmd"),
        "@echo off\r\nset /p input=\r\nif \"%~1\"==\"list\" goto list\r\n\
         set server=https://index.docker.io/v1/\r\n\
         if \"%input:~0,4%\"==\"quay\" set server=quay.io\r\n\
         if exist \"%HOME%\\%server%.gone\" exit /b 1\r\n\
         echo {\"ServerURL\":\"%server%\",\"Username\":\"bob\",\"Secret\":\"xyzzy of %server%\"}\r\n\
         exit /b 0\r\n:list\r\n\
         echo {\"quay.io\": \"bob\", \"https://index.docker.io/v1/\": \"bob\", \
         \"https://index.docker.io/v1/refresh-token\": \"x\"}\r\n",
    )
    .unwrap();
}

#[test]
fn the_replaced_store_is_listed_or_imported() {
    let get = |desk: &Desk, server: &str| {
        let input = server.as_bytes();
        desk.sandbox.run_with_input(&["docker", "get"], input)
    };
    let with_store = || {
        let desk = Desk::new();
        desk.write_docker_file("{\"credsStore\": \"other\"}\n");
        install_other_store(&desk);
        desk
    };
    let desk = with_store();
    let outcome = desk.setup(&["--default"]);
    let words = "docker no longer uses its store other: run `docker login` again for \
                 https://index.docker.io/v1/, quay.io, or this command with `--import`";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    assert_eq!(get(&desk, "quay.io").code, Some(1));

    // The hint works although hallpass has replaced the store by now.
    let outcome = desk.setup(&["--default", "--import"]);
    let words = "copies the passwords in the store other: https://index.docker.io/v1/, quay.io";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    assert!(!outcome.stdout.contains("xyzzy"), "{outcome}");
    for server in ["quay.io", "https://index.docker.io/v1/"] {
        let secret = &get(&desk, server).json()["Secret"];
        assert_eq!(*secret, format!("xyzzy of {server}"));
    }
    desk.setup(&["--default", "--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), "{\"credsStore\": \"other\"}\n");

    // A repeat keeps the newer password, and a registry that gets a provider gets no old password.
    let desk = with_store();
    desk.setup(&["--default", "--import"]).succeeds();
    let newer = "{\"ServerURL\":\"quay.io\",\"Username\":\"bob\",\"Secret\":\"newer\"}";
    let stored = desk
        .sandbox
        .run_with_input(&["docker", "store"], newer.as_bytes());
    stored.succeeds();
    desk.setup(&["--default", "--import"]).succeeds();
    assert_eq!(get(&desk, "quay.io").json()["Secret"], "newer");
    let desk = with_store();
    desk.setup(&["quay.io", "--provider", "corp", "--default", "--import"])
        .succeeds();
    assert!(!get(&desk, "quay.io").stdout.contains("xyzzy"));

    // A password that the store doesn't return is named, and the others are copied.
    let desk = with_store();
    fs::write(desk.sandbox.home().join("quay.io.gone"), "").unwrap();
    let outcome = desk.setup(&["--default", "--import"]);
    let words = "did not return the password for quay.io: run `docker login quay.io` again";
    assert!(outcome.succeeds().stderr.contains(words), "{outcome}");
    assert!(
        outcome.stdout.contains("+ credsStore = \"hallpass\""),
        "{outcome}"
    );
    assert_eq!(get(&desk, "https://index.docker.io/v1/").code, Some(0));

    // If nothing can be stored, docker keeps its store.
    let mut desk = with_store();
    desk.sandbox.set("HALLPASS_STORE", "none");
    let outcome = desk.setup(&["--default", "--import"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(text(&desk.docker_file()), "{\"credsStore\": \"other\"}\n");

    // Without the program, the store can't be listed.
    let desk = Desk::new();
    desk.write_docker_file("{\"credsStore\": \"../x\"}");
    let outcome = desk.setup(&["--default"]);
    let words = "its store ../x, which cannot be listed";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    desk.write_docker_file("{\"credsStore\": \"missing\"}");
    let outcome = desk.setup(&["--default", "--import"]);
    let words = "docker's credential store missing cannot be listed";
    assert!(outcome.stderr.contains(words), "{outcome}");
    assert_eq!(text(&desk.docker_file()), "{\"credsStore\": \"missing\"}");
}

#[test]
fn docker_config_selects_the_folder() {
    let mut desk = Desk::new();
    let folder = desk.sandbox.root().join("elsewhere");
    desk.sandbox.set("DOCKER_CONFIG", &folder);
    desk.setup(&["--default"]).succeeds();
    assert_eq!(
        value(&folder.join("config.json")),
        json!({ "credsStore": "hallpass" })
    );
    assert!(!desk.docker_file().exists());
}

/// Windows has no modes, and few users can create links there.
#[cfg(unix)]
#[test]
fn the_mode_and_links_of_a_file_are_preserved() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let real = desk.sandbox.root().join("dotfiles.json");
    private_file(&real, DOCKER);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir_all(desk.docker_file().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, desk.docker_file()).unwrap();
    desk.setup(&["--default"]).succeeds();
    assert!(desk.docker_file().symlink_metadata().unwrap().is_symlink());
    assert_eq!(value(&real)["credsStore"], "hallpass");
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o644
    );
}

#[test]
fn setup_warns_about_credentials_that_take_precedence() {
    let mut desk = Desk::new();
    desk.write_docker_file(DOCKER);
    let podman = desk.sandbox.home().join(".config/containers/auth.json");
    fs::create_dir_all(podman.parent().unwrap()).unwrap();
    private_file(
        &podman,
        "{\"auths\": {\"quay.io/team\": {\"auth\": \"eDp5\"}, \"quay.io.evil\": {}}}",
    );
    desk.sandbox.set(
        "DOCKER_AUTH_CONFIG",
        "{\"auths\": {\"quay.io\": {\"auth\": \"eDp5\"}, \"evil.example\": {\"auth\": \"eDp5\"}}}",
    );
    let outcome = desk.setup(&["quay.io", "--provider", "corp"]);
    for words in [
        "DOCKER_AUTH_CONFIG has a password for quay.io, which docker uses instead of hallpass",
        "~/.docker/config.json has a password for quay.io that docker no longer uses",
        "~/.config/containers/auth.json has a password for quay.io/team, which podman",
        "`podman logout quay.io/team`",
    ] {
        assert!(
            outcome.succeeds().stdout.contains(words),
            "{words}: {outcome}"
        );
    }
    assert!(
        !outcome.stdout.contains("evil") && !outcome.stdout.contains("eDp5"),
        "{outcome}"
    );
}

#[test]
fn setup_ignores_empty_entries_and_passwords_behind_a_helper() {
    let desk = Desk::new();
    // `docker login` leaves an empty entry if a helper stores the password.
    desk.write_docker_file(
        "{\"auths\": {\"a.example\": {}, \"b.example\": {\"auth\": \"\"}, \
         \"c.example\": {\"identitytoken\": \"x\"}}}",
    );
    let auth = desk.sandbox.home().join(".config/containers/auth.json");
    fs::create_dir_all(auth.parent().unwrap()).unwrap();
    private_file(
        &auth,
        "{\"auths\": {\"a.example/team\": {\"auth\": \"eDp5\"}, \"b.example\": {}}}",
    );
    let all = ["a.example", "b.example", "c.example", "--provider", "corp"];
    let outcome = desk.setup(&all);
    let said = &outcome.succeeds().stdout;
    for (key, count) in [("a.example/team", 1), ("b.example", 0), ("c.example", 1)] {
        let words = format!("has a password for {key}");
        assert_eq!(said.matches(&words).count(), count, "{outcome}");
    }
    let said = doctor(
        &desk.sandbox,
        1,
        &["use the password for a.example/team in"],
    );
    assert_eq!(said.matches("the password for").count(), 1, "{said}");
    // A helper in the same file takes precedence over its password.
    for dry_run in [&["--podman", "--dry-run"][..], &["--podman"]] {
        let outcome = desk.setup(&[&all, dry_run].concat());
        assert!(
            !outcome.succeeds().stdout.contains("a.example/team"),
            "{outcome}"
        );
    }
    let said = doctor(&desk.sandbox, 1, &[]);
    assert!(!said.contains("the password for"), "{said}");
}

#[test]
fn without_a_host_every_configured_registry_is_set_up() {
    let mut desk = Desk::new();
    desk.setup(&[])
        .fails_saying(2, &["no registry is configured"]);
    desk.sandbox.config(&format!(
        "{CONFIG}[[resources]]\nmatch = \"https://a.example\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://*.b.example\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://c.example\"\nprovider = \"corp\"\ntools = [\"git\"]\n"
    ));
    desk.setup(&[]).succeeds();
    let helpers = &value(&desk.docker_file())["credHelpers"];
    assert_eq!(*helpers, json!({ "a.example": "hallpass" }));
}

#[test]
fn a_well_known_registry_needs_only_a_client_id() {
    let desk = Desk::new();
    for (host, words) in [
        (
            "ghcr.io",
            &[
                "github.com/settings/applications",
                "setup docker ghcr.io --provider github",
            ][..],
        ),
        (
            "registry.gitlab.com",
            &["read_registry", "setup docker registry.gitlab.com"],
        ),
        (
            "europe-docker.pkg.dev",
            &["artifact-registry", "--client-secret-file FILE"],
        ),
        ("corp.azurecr.io", &["tenant"]),
    ] {
        let outcome = desk.setup(&[host]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        for word in words {
            assert!(outcome.stderr.contains(word), "{word}: {outcome}");
        }
    }
    for host in [
        "registry.corp.example",
        "evilpkg.dev",
        "ghcr.io.evil.example",
    ] {
        desk.setup(&[host])
            .fails_saying(2, &["no provider is known for"]);
    }
    let gitlab = [
        "registry.corp.example",
        "--provider",
        "gitlab",
        "--client-id",
        "x",
    ];
    desk.setup(&gitlab)
        .fails_saying(2, &["which GitLab this registry belongs to"]);
    desk.setup(&["*.pkg.dev"])
        .fails_saying(2, &["needs exact hosts"]);
    assert!(!desk.docker_file().exists());
    assert_eq!(desk.config(), CONFIG);
    // A provider that was configured for another tool needs no more options.
    let with_github =
        format!("{CONFIG}[providers.github]\npreset = \"github\"\nclient_id = \"Iv0\"\n");
    private_file(&desk.config, &with_github);
    desk.setup(&["ghcr.io"]).succeeds();
    let config = desk.config();
    assert!(
        config.contains("match = \"https://ghcr.io\"\nprovider = \"github\"\n"),
        "{config}"
    );
    assert_eq!(config.matches("[providers.").count(), 2, "{config}");
    desk.setup(&["--undo"]).succeeds();
    private_file(&desk.config, CONFIG);
    desk.setup(&["ghcr.io", "--client-id", "Iv1"]).succeeds();
    assert!(
        desk.config()
            .contains("preset = \"github\"\nclient_id = \"Iv1\"\n")
    );
}

#[test]
fn a_forge_is_a_registry_and_the_exchange_is_written_to_the_resource() {
    let desk = Desk::new();
    desk.setup(&["git.corp.example", "--provider", "gitea"])
        .succeeds();
    let config = desk.config();
    assert!(
        config.contains("base = \"https://git.corp.example\"\n"),
        "{config}"
    );
    let harbor = [
        "harbor.corp.example",
        "--provider",
        "corp",
        "--exchange",
        "harbor",
    ];
    desk.setup(&harbor).succeeds();
    assert!(desk.config().contains("registry_exchange = \"harbor\"\n"));
}

#[test]
fn one_client_id_serves_all_registries_of_a_command() {
    let desk = Desk::new();
    let line = [
        "a.example",
        "b.example",
        "--issuer-url",
        "https://login.example",
        "--client-id",
        "x",
        "--scope",
        "openid",
    ];
    desk.setup(&line).succeeds();
    let config = desk.config();
    assert_eq!(
        config.matches("issuer = \"https://login.example\"").count(),
        1,
        "{config}"
    );
    assert_eq!(
        config.matches("provider = \"a.example\"").count(),
        2,
        "{config}"
    );
}

#[test]
fn a_file_that_is_not_a_json_object_is_left_alone_and_the_place_named() {
    for (text_before, words) in [
        ("[]", "expected `{` at line 1, column 1"),
        ("\n \"xyzzy\"", "expected `{` at line 2, column 2"),
        ("{", "EOF while parsing an object at line 1, column 1"),
        ("// mine\n{}", "expected value at line 1, column 1"),
        ("{\n\"a\": 1,}", "trailing comma at line 2, column 8"),
    ] {
        let desk = Desk::new();
        desk.write_docker_file(text_before);
        let outcome = desk.setup(&["--default"]);
        let file = "config.json is not a JSON object: ";
        outcome.fails_saying(2, &[file, words, "hint: correct line "]);
        assert!(!outcome.stderr.contains("jq"), "{outcome}");
        assert!(!outcome.stderr.contains("xyzzy"), "{outcome}");
        assert_eq!(text(&desk.docker_file()), text_before);
        assert_eq!(desk.config(), CONFIG);
    }
    let desk = Desk::new();
    desk.write_docker_file("{}");
    fs::write(desk.docker_file(), b"{\"x\": \"\xff\"}").unwrap();
    let words = "~/.docker/config.json as UTF-8 without a byte order mark";
    desk.setup(&["--default"])
        .fails_saying(2, &["is not UTF-8 text", words]);
}

#[test]
fn a_number_too_large_for_rust_is_preserved() {
    let desk = Desk::new();
    desk.write_docker_file("{\"x\":1e400}");
    desk.setup(&["--default"]).succeeds();
    assert!(text(&desk.docker_file()).contains("\"x\":1e400"));
    let doctor = desk.sandbox.run(&["doctor", "docker"]);
    assert!(!doctor.stderr.contains("1e400"), "{doctor}");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), "{\"x\":1e400}");
}

#[test]
fn an_unusable_client_file_is_reported_with_a_fix() {
    type State = (fn(&Path), &'static [&'static str]);
    let states: &[State] = &[
        (
            |file| fs::create_dir(file).unwrap(),
            &[
                "config.json is not a regular file",
                "move ~/.docker/config.json away",
            ],
        ),
        #[cfg(unix)]
        (
            |file| std::os::unix::fs::symlink("nowhere", file).unwrap(),
            &[
                "config.json is a broken link",
                "restore the file that ~/.docker/config.json leads to",
            ],
        ),
        (
            |file| {
                fs::remove_dir(file.parent().unwrap()).unwrap();
                fs::write(file.parent().unwrap(), "").unwrap();
            },
            &["~/.docker must be a folder", "move ~/.docker away"],
        ),
        #[cfg(unix)]
        (
            |file| {
                use std::os::unix::fs::PermissionsExt as _;
                fs::write(file, "{}").unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(0o0)).unwrap();
            },
            &[
                "cannot read ~/.docker/config.json",
                "run `chmod u+rwX ~/.docker/config.json`",
            ],
        ),
    ];
    for (make, words) in states {
        let desk = Desk::new();
        let file = desk.docker_file();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        make(&file);
        // root reads every file.
        #[cfg(unix)]
        let is_root = rustix::process::geteuid().is_root();
        #[cfg(unix)]
        if is_root {
            desk.sandbox.give_away();
        }
        for command in [&["setup", "docker", "--default"][..], &["doctor", "docker"]] {
            #[cfg(unix)]
            let outcome = if is_root {
                desk.sandbox.run_as_other_user(command)
            } else {
                desk.sandbox.run(command)
            };
            #[cfg(windows)]
            let outcome = desk.sandbox.run(command);
            let code = outcome.code.unwrap_or_default();
            outcome.fails_saying(code.max(1), words);
        }
    }
}

#[test]
fn undo_ignores_an_invalid_file_that_no_set_up_can_have_written() {
    for line in [
        &["--undo"][..],
        &["--default", "--undo"],
        &["a.example", "--undo"],
    ] {
        for before in [&b"{\"a\": 1,}"[..], b"{\"credsStore\": 7}", b"[\"\xff\"]"] {
            let desk = Desk::new();
            desk.write_docker_file("");
            fs::write(desk.docker_file(), before).unwrap();
            let outcome = desk.setup(line);
            let words = "~/.docker/config.json can't be read as docker's configuration, so it stays \
                         as it is\n";
            assert_eq!(outcome.succeeds().stdout, words, "{outcome}");
            assert_eq!(fs::read(desk.docker_file()).unwrap(), before);
        }
    }
    let desk = Desk::new();
    desk.write_docker_file("{\"credsStore\": \"hallpass\",}");
    desk.setup(&["--undo"])
        .fails_saying(2, &["trailing comma at line 1"]);
}

#[test]
fn an_empty_host_is_explained() {
    for given in ["", " ", "https://"] {
        let words = "the registry's host is empty; name a registry such as registry.corp.example";
        Desk::new().setup(&[given]).fails_saying(2, &[words]);
    }
}

#[test]
fn a_store_with_an_empty_name_is_no_store() {
    for more in [&[][..], &["--import"]] {
        let desk = Desk::new();
        let before = "{\n  \"credsStore\": \"\"\n}\n";
        desk.write_docker_file(before);
        for _ in 0..2 {
            let outcome = desk.setup(&[&["--default"], more].concat());
            assert!(
                !outcome.succeeds().stdout.contains("its store"),
                "{outcome}"
            );
        }
        assert_eq!(value(&desk.docker_file())["credsStore"], "hallpass");
        desk.setup(&["--default", "--undo"]).succeeds();
        assert_eq!(text(&desk.docker_file()), before);
    }
}

#[test]
fn passwords_in_dockers_own_file_are_imported_or_named() {
    let get = |desk: &Desk, server: &str| {
        let input = server.as_bytes();
        desk.sandbox.run_with_input(&["docker", "get"], input)
    };
    // The `auth` members are `bob:xy:zzy` in base64.
    let before = r#"{
  "auths": {
    "a.example": {"username": "ann", "password": "xyzzy"},
    "b.example": {"auth": "PHRva2VuPjo=", "identitytoken": "xyzzy of b"},
    "broken.example": {"auth": "?"},
    "empty.example": {},
    "file.example": {"auth": "Ym9iOnh5Onp6eQ=="},
    "gcr.io": {"auth": "Ym9iOnh5Onp6eQ=="},
    "https://index.docker.io/v1/": {"auth": "Ym9iOnh5Onp6eQ=="},
    "https://index.docker.io/v1/access-token": {"auth": "Ym9iOnh5Onp6eQ=="},
    "https://old.example/v1/": {"auth": "Ym9iOnh5Onp6eQ=="},
    "quay.io": {"auth": "Ym9iOnh5Onp6eQ=="},
    "token.example": {"registrytoken": "xyzzy"}
  },
  "credHelpers": {"gcr.io": "gcloud", "file.example": ""}
}
"#;
    let desk = Desk::new();
    desk.write_docker_file(before);
    let outcome = desk.setup(&["--default"]);
    let words = "docker no longer uses the passwords in its own file: run `docker login` again for \
                 a.example, b.example, broken.example, https://index.docker.io/v1/, \
                 https://old.example/v1/, quay.io, token.example, or this command with `--import`";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    let words =
        "has a password for file.example, which docker uses instead of hallpass: `docker logout";
    assert!(outcome.stdout.contains(words), "{outcome}");
    assert_eq!(get(&desk, "quay.io").code, Some(1));

    let outcome = desk.setup(&["--default", "--import"]);
    let words = "copies the passwords in ~/.docker/config.json: a.example, b.example, \
                 https://index.docker.io/v1/, https://old.example/v1/, quay.io\n";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    for key in ["broken.example", "token.example"] {
        let words =
            format!("the password for {key} in ~/.docker/config.json cannot be copied: run");
        assert!(outcome.stderr.contains(&words), "{outcome}");
    }
    let words = "`docker logout quay.io` removes it, and the password that hallpass stores for it";
    assert!(outcome.stdout.contains(words), "{outcome}");
    for text in [&outcome.stdout, &outcome.stderr] {
        for secret in ["xyzzy", "xy:zzy", "Ym9i"] {
            assert!(!text.contains(secret), "{outcome}");
        }
    }
    for (server, username, secret) in [
        ("a.example", "ann", "xyzzy"),
        ("b.example", "<token>", "xyzzy of b"),
        ("https://index.docker.io/v1/", "bob", "xy:zzy"),
        ("old.example", "bob", "xy:zzy"),
        ("quay.io", "bob", "xy:zzy"),
    ] {
        let answer = get(&desk, server).json();
        assert_eq!(answer["Username"], username, "{server}");
        assert_eq!(answer["Secret"], secret, "{server}");
    }
    for server in ["file.example", "gcr.io"] {
        assert_eq!(get(&desk, server).code, Some(1), "{server}");
    }
    assert_eq!(
        value(&desk.docker_file())["auths"]["quay.io"]["auth"],
        "Ym9iOnh5Onp6eQ=="
    );

    // A repeat keeps the newer password.
    let newer = "{\"ServerURL\":\"quay.io\",\"Username\":\"bob\",\"Secret\":\"newer\"}";
    desk.sandbox
        .run_with_input(&["docker", "store"], newer.as_bytes())
        .succeeds();
    desk.setup(&["--default", "--import"]).succeeds();
    assert_eq!(get(&desk, "quay.io").json()["Secret"], "newer");
    desk.setup(&["--default", "--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), before);

    // A registry that gets a provider gets no old password.
    let desk = Desk::new();
    desk.write_docker_file(before);
    let outcome = desk.setup(&["quay.io", "--provider", "corp", "--default", "--import"]);
    let words = "https://old.example/v1/\n";
    assert!(outcome.succeeds().stdout.contains(words), "{outcome}");
    assert!(!get(&desk, "quay.io").stdout.contains("xy:zzy"));

    // If nothing can be stored, docker keeps its file.
    let mut desk = Desk::new();
    desk.write_docker_file(before);
    desk.sandbox.set("HALLPASS_STORE", "none");
    let outcome = desk.setup(&["--default", "--import"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(text(&desk.docker_file()), before);
}

#[test]
fn a_file_that_docker_cannot_read_is_left_alone_and_the_reason_named() {
    for (text_before, words) in [
        ("{\"credsStore\": 7}", "`credsStore` must be a string"),
        ("{\"credHelpers\": 7}", "`credHelpers` must be an object"),
        ("\u{feff}{}", "begins with a byte order mark (BOM)"),
    ] {
        let desk = Desk::new();
        desk.write_docker_file(text_before);
        for line in [&["--default"][..], &["a.example", "--provider", "corp"]] {
            desk.setup(line)
                .fails_saying(1, &[words, "nothing was changed"]);
        }
        assert_eq!(text(&desk.docker_file()), text_before);
        assert_eq!(desk.config(), CONFIG);
    }
}

#[test]
fn names_in_dockers_file_count_in_any_case_as_for_docker() {
    let desk = Desk::new();
    let before = "{\n    \"CREDSSTORE\": \"desktop\",\n    \"CredHelpers\": {\n        \
                  \"a.example\": \"x\"\n    },\n    \"Auths\": {\n        \
                  \"registry.corp.example\": {\"Auth\": \"eDp5\"}\n    }\n}\n";
    desk.write_docker_file(before);
    let set_up = |more: &[&str]| {
        desk.setup(
            &[
                &["registry.corp.example", "--provider", "corp", "--default"],
                more,
            ]
            .concat(),
        )
    };
    let outcome = set_up(&[]);
    assert!(
        outcome.succeeds().stdout.contains(
            "config.json has a password for registry.corp.example that docker no longer uses"
        ),
        "{outcome}"
    );
    assert!(
        outcome
            .stdout
            .contains("docker no longer uses its store desktop"),
        "{outcome}"
    );
    let mut expected: Value = serde_json::from_str(before).unwrap();
    expected["CREDSSTORE"] = "hallpass".into();
    expected["CredHelpers"]["registry.corp.example"] = "hallpass".into();
    assert_eq!(value(&desk.docker_file()), expected);
    doctor(
        &desk.sandbox,
        1,
        &[
            "names hallpass for every registry",
            "registry.corp.example: ~/.docker/config.json names hallpass",
        ],
    );
    set_up(&["--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), before);
    // `docker login` writes the file with the usual names.
    set_up(&[]).succeeds();
    desk.write_docker_file(
        r#"{"credsStore": "hallpass", "credHelpers": {"a.example": "x", "registry.corp.example": "hallpass"}}"#,
    );
    set_up(&["--undo"]).succeeds();
    assert_eq!(
        value(&desk.docker_file()),
        json!({ "credsStore": "desktop", "credHelpers": { "a.example": "x" } })
    );
    let finds = |words: &str| {
        let found = desk
            .sandbox
            .run(&["doctor", "docker", "registry.corp.example"]);
        assert!(found.stdout.contains(words), "{found}");
    };
    // Of two helpers docker uses the last one, whatever the case.
    desk.write_docker_file(
        r#"{"credHelpers": {"registry.corp.example": "hallpass"}, "CREDHELPERS": {"registry.corp.example": "other"}}"#,
    );
    finds("registry.corp.example: ~/.docker/config.json names other");
    // An empty name hides the helper for all registries.
    desk.write_docker_file(
        r#"{"credsStore": "hallpass", "credHelpers": {"registry.corp.example": ""}}"#,
    );
    finds("registry.corp.example: ~/.docker/config.json names no helper");
}

#[cfg(windows)]
#[test]
fn folders_that_a_set_up_created_are_removed_with_it() {
    let mut desk = Desk::new();
    desk.sandbox.unset("HALLPASS_CONFIG");
    let home = desk.sandbox.home();
    let exist = || [r"hallpass", ".docker"].map(|folder| home.join(folder).exists());
    let codeberg = ["codeberg.org", "--client-id", "x"];
    desk.setup(&codeberg).succeeds();
    assert_eq!(exist(), [true, true]);
    desk.setup(&["--undo"]).succeeds();
    // The file that locks the configuration stays there.
    assert_eq!(exist(), [true, false]);
    // The user's own folder stays.
    fs::create_dir(home.join(".docker")).unwrap();
    desk.setup(&codeberg).succeeds();
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(exist(), [true, true]);
}

/// On Windows, git is missing in the tests.
#[cfg(unix)]
#[test]
fn folders_that_set_ups_created_are_removed_with_the_last_of_them() {
    let mut desk = Desk::new();
    desk.sandbox.unset("HALLPASS_CONFIG");
    let home = desk.sandbox.home();
    let path = format!("{}:/usr/bin:/bin", home.join(".local/bin").display());
    desk.sandbox.set("PATH", path);
    let exists = |folder: &str| home.join(folder).exists();
    let own = [".config/hallpass", ".config", ".docker"];
    let codeberg = ["codeberg.org", "--client-id", "x"];
    let git = ["setup", "git", "--host", "codeberg.org", "--client-id", "x"];
    for (first, last) in [("docker", "git"), ("git", "docker")] {
        desk.setup(&codeberg).succeeds();
        desk.sandbox.run(&git).succeeds();
        assert!(own.iter().all(|folder| exists(folder)));
        desk.sandbox.run(&["setup", first, "--undo"]).succeeds();
        assert!(exists(".config/hallpass"));
        assert_eq!(exists(".docker"), first == "git");
        desk.sandbox.run(&["setup", last, "--undo"]).succeeds();
        assert!(!own.iter().any(|folder| exists(folder)), "{first} {last}");
    }
    // The user's own folders and files stay.
    fs::create_dir(home.join(".docker")).unwrap();
    desk.setup(&codeberg).succeeds();
    fs::write(home.join(".config/mine"), "").unwrap();
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(own.map(exists), [false, true, true]);
    // A set-up that fails leaves no folder.
    fs::remove_file(home.join(".config/mine")).unwrap();
    fs::remove_dir(home.join(".config")).unwrap();
    desk.write_docker_file("{");
    desk.setup(&codeberg).fails_with(2);
    assert!(!exists(".config"));
}

#[test]
fn undo_restores_an_empty_file() {
    for text_before in ["", "\n", "{}", "{\n}\n"] {
        for line in [&["--default"][..], &["a.example", "--provider", "corp"]] {
            let desk = Desk::new();
            desk.write_docker_file(text_before);
            desk.setup(line).succeeds();
            desk.setup(&["--undo"]).succeeds();
            assert_eq!(text(&desk.docker_file()), text_before, "{text_before:?}");
        }
    }
}

/// Windows has no root.
#[cfg(target_os = "linux")]
#[test]
fn a_docker_folder_that_root_owns_is_explained() {
    use std::os::unix::fs::chown;
    // Only root can change a folder's owner.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let desk = Desk::new();
    desk.write_docker_file("{}");
    desk.sandbox.give_away();
    let folder = desk.docker_file().parent().unwrap().to_owned();
    for path in [&folder, &desk.docker_file()] {
        chown(path, Some(0), Some(0)).unwrap();
    }
    let outcome = desk
        .sandbox
        .run_as_other_user(&["setup", "docker", "--default"]);
    outcome.fails_saying(
        1,
        &["belongs to root", "sudo chown -R", "nothing was changed"],
    );
    assert_eq!(text(&desk.docker_file()), "{}");
}

#[test]
fn repeating_a_set_up_changes_nothing() {
    for line in [
        &["a.example", "--provider", "corp"][..],
        &[
            "a.example:443",
            "b.example",
            "--provider",
            "corp",
            "--default",
            "--podman",
        ],
        &[
            "a.example",
            "--issuer-url",
            "https://login.example",
            "--client-id",
            "x",
        ],
        &["docker.io", "--provider", "corp", "--username", "robot"],
    ] {
        let desk = Desk::new();
        desk.setup(line).succeeds();
        let done = (desk.config(), text(&desk.docker_file()));
        let again = desk.setup(line);
        let said = &again.succeeds().stdout;
        assert!(said.contains("nothing to change\n"), "{again}");
        assert!(!said.contains("Changed"), "{again}");
        assert_eq!((desk.config(), text(&desk.docker_file())), done);
    }
    // Another option is another entry.
    let desk = Desk::new();
    let line = ["a.example", "--provider", "corp"];
    desk.setup(&line).succeeds();
    let more = [&line[..], &["--username", "robot"]].concat();
    let said = desk.setup(&more);
    assert!(
        said.succeeds().stdout.contains("+ username = \"robot\""),
        "{said}"
    );
}

#[test]
fn concurrent_set_ups_all_succeed_and_can_be_undone() {
    let desk = Desk::new();
    desk.write_docker_file(DOCKER);
    let hosts: Vec<String> = (0..8).map(|n| format!("r{n}.example")).collect();
    let running: Vec<_> = hosts
        .iter()
        .map(|host| {
            let line = ["setup", "docker", host, "--provider", "corp"];
            desk.sandbox.start(&line)
        })
        .collect();
    for one in running {
        one.wait().succeeds();
    }
    let (helpers, config) = (value(&desk.docker_file()), desk.config());
    for host in &hosts {
        assert_eq!(helpers["credHelpers"][host], "hallpass", "{helpers}");
        assert!(config.contains(&format!("match = \"https://{host}\"")));
    }
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(text(&desk.docker_file()), DOCKER);
    assert_eq!(desk.config(), CONFIG);
    assert!(!desk.link().exists());
    // The lock is beside the configuration, so it needs no data folder. It is removed afterwards.
    assert!(!desk.sandbox.data_dir().exists());
    let lock = desk.config.with_file_name("config.toml.lock");
    assert!(!lock.exists() || cfg!(windows));
}

#[test]
fn undo_without_a_record_removes_the_link_beside_the_users_own_program() {
    let mut desk = Desk::new();
    let folder = desk.sandbox.home().join("bin");
    fs::create_dir(&folder).unwrap();
    let program = folder.join(format!("hallpass{}", std::env::consts::EXE_SUFFIX));
    copy_program(env!("CARGO_BIN_EXE_hallpass"), &program);
    // As the program itself knows its folder.
    let plain = folder
        .to_str()
        .unwrap()
        .trim_start_matches(r"\\?\")
        .to_owned();
    desk.sandbox.set("PATH", plain);
    let run = |arguments: &[&str]| {
        let mut command = desk.sandbox.surround(std::process::Command::new(&program));
        command.args(arguments);
        crate::sandbox::Running::with_input(command, arguments, b"").wait()
    };
    let outcome = run(&["setup", "docker", "r.example", "--provider", "corp"]);
    outcome.succeeds();
    let link = folder.join(desk.link().file_name().unwrap());
    assert!(link.exists(), "{outcome}");
    fs::remove_dir_all(desk.sandbox.data_dir()).unwrap();
    run(&["setup", "docker", "--undo"]).succeeds();
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn a_waiting_set_up_names_the_process_it_waits_for() {
    let desk = Desk::new();
    let lock = fs::File::create(desk.config.with_file_name("config.toml.lock")).unwrap();
    lock.lock().unwrap();
    let line = ["setup", "docker", "a.example", "--provider", "corp"];
    let mut waiting = desk.sandbox.start(&line);
    let said = waiting.wait_for_line(|line| line.contains("waiting for "));
    if cfg!(target_os = "linux") {
        let holder = format!("process {} (", std::process::id());
        assert!(said.contains(&holder), "{said}");
    }
    drop(lock);
    waiting.wait().succeeds();
    assert!(desk.config().contains("match = \"https://a.example\""));
}

#[test]
fn temporary_files_of_a_killed_set_up_are_removed() {
    let desk = Desk::new();
    desk.write_docker_file(DOCKER);
    let left = |path: &Path, ending: &str| {
        let mut name = path.file_name().unwrap().to_owned();
        name.push(ending);
        path.with_file_name(name)
    };
    let hour = std::time::Duration::from_secs(3600);
    let mut files = Vec::new();
    for path in [&desk.config, &desk.docker_file()] {
        for (ending, age, stays) in [
            (".0123456789abcdef.tmp", 2 * hour, false),
            (".fedcba9876543210.tmp", hour / 2, true),
            (".mine.tmp", 2 * hour, true),
        ] {
            let path = left(path, ending);
            private_file(&path, "x");
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::now() - age)
                .unwrap();
            files.push((path, stays));
        }
    }
    desk.setup(&["a.example", "--provider", "corp"]).succeeds();
    for (path, stays) in files {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
}

#[test]
fn if_one_file_cannot_be_written_none_is_changed() {
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"] {
        let mut desk = Desk::new();
        desk.write_docker_file(DOCKER);
        // Even root can't create anything below a file.
        let beneath = desk.sandbox.root().join("file");
        private_file(&beneath, "");
        desk.sandbox.set(name, beneath.join("beneath"));
        let outcome = desk.setup(&["a.example", "--provider", "corp", "--podman"]);
        outcome.fails_saying(1, &["nothing was changed"]);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert_eq!(text(&desk.docker_file()), DOCKER);
        assert_eq!(desk.config(), CONFIG);
        assert!(!desk.link().exists());
        assert!(!desk.sandbox.home().join(".config/containers").exists());
    }
}

/// The only folder on `PATH`, which is missing unless it `exists`, and the command that the set-up prints
/// because the program isn't in it.
fn with_a_printed_command(exists: bool) -> (Desk, PathBuf, String) {
    let mut desk = Desk::new();
    let folder = desk.sandbox.root().join("a folder");
    if exists {
        fs::create_dir(&folder).unwrap();
    }
    desk.sandbox.set("PATH", &folder);
    let outcome = desk.setup(&["--default"]);
    let (_, hint) = outcome.succeeds().stdout.split_once("run `").unwrap();
    let (command, _) = hint.split_once('`').unwrap();
    let command = command.to_owned();
    (desk, folder, command)
}

#[cfg(windows)]
#[test]
fn without_a_writable_folder_on_path_setup_prints_the_batch_files_command() {
    use std::os::windows::process::CommandExt as _;

    for exists in [true, false] {
        let (mut desk, folder, command) = with_a_printed_command(exists);
        let mut prompt = desk.sandbox.surround(std::process::Command::new("cmd.exe"));
        prompt.raw_arg("/d /c").raw_arg(&command);
        assert!(prompt.status().unwrap().success(), "{command}");
        let link = if exists {
            folder.join("docker-credential-hallpass.cmd")
        } else {
            let local = desk.link();
            desk.sandbox.set("PATH", local.parent().unwrap());
            local
        };
        let batch_file = text(&link);
        assert!(
            batch_file.contains("hallpass.exe\" docker %*"),
            "{batch_file}"
        );
        let outcome = desk.setup(&["--default"]);
        assert!(!outcome.succeeds().stdout.contains("run `"), "{outcome}");
        assert_eq!(value(&desk.docker_file())["credsStore"], "hallpass");
    }
}

/// The one above is its counterpart on Windows.
#[cfg(unix)]
#[test]
fn without_a_writable_folder_on_path_setup_prints_the_link_command() {
    for exists in [true, false] {
        let (mut desk, folder, command) = with_a_printed_command(exists);
        let path = std::env::join_paths([Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        let printed = std::process::Command::new("sh")
            .args(["-c", &format!("{command}; printf %s \"$PATH\"")])
            .env("PATH", path)
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let link = if exists {
            folder.join("docker-credential-hallpass")
        } else {
            let local = desk.link();
            let folder = local.parent().unwrap().to_str().unwrap();
            assert!(printed.starts_with(folder), "{command}: {printed}");
            desk.sandbox.set("PATH", folder);
            local
        };
        assert!(link.symlink_metadata().is_ok(), "{command}");
        let outcome = desk.setup(&["--default"]);
        assert!(!outcome.succeeds().stdout.contains("ln -s"), "{outcome}");
        assert_eq!(value(&desk.docker_file())["credsStore"], "hallpass");
    }
}

#[test]
fn a_registry_set_up_after_git_needs_no_sign_in() {
    let mut scene = Scene::new();
    scene.configure("[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n");
    let git = b"protocol=https\nhost=git.corp.example\n";
    scene
        .sandbox
        .run_with_input(&["git", "get"], git)
        .succeeds();
    let setup = [
        "setup",
        "docker",
        "registry.corp.example",
        "--provider",
        "corp",
    ];
    scene.sandbox.run(&setup).succeeds();
    let asked = scene
        .sandbox
        .run_with_input(&["docker", "get"], b"registry.corp.example");
    assert_eq!(asked.json()["Username"], "alice");
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn another_program_with_the_helpers_name_is_reported() {
    let mut desk = Desk::new();
    desk.setup(&["--default"]).succeeds();
    let before = desk.sandbox.root().join("before");
    fs::create_dir(&before).unwrap();
    let theirs = before.join(if cfg!(windows) {
        "docker-credential-hallpass.cmd"
    } else {
        "docker-credential-hallpass"
    });
    private_file(&theirs, "#!/bin/sh\n");
    let path = desk.sandbox.home().join(".local/bin");
    let path = std::env::join_paths([before, path]).unwrap();
    desk.sandbox.set("PATH", path);
    let shown = theirs.display().to_string();
    let off = format!("error {shown} comes first on PATH");
    doctor(&desk.sandbox, 1, &[&off]);
    let again = desk.setup(&["a.example", "--provider", "corp"]);
    assert!(
        again
            .succeeds()
            .stdout
            .contains(&format!("finds {shown} first")),
        "{again}"
    );
}

// --- hallpass doctor docker ---

#[track_caller]
fn doctor(sandbox: &Sandbox, code: i32, words: &[&str]) -> String {
    let outcome = sandbox.run(&["doctor", "docker"]);
    assert_eq!(outcome.code, Some(code), "{outcome}");
    for word in words {
        assert!(outcome.stdout.contains(word), "{word:?}: {outcome}");
    }
    outcome.stdout
}

#[test]
fn doctor_reports_problems_and_their_fixes() {
    let desk = Desk::new();
    let nothing = [
        "error docker-credential-hallpass is not on PATH",
        "error no registry is set up",
        "      hallpass setup docker HOST, or hallpass setup docker --default\n",
    ];
    let said = doctor(&desk.sandbox, 1, &nothing);
    // Without a host, and with none configured, it would only ask for one.
    assert!(!said.contains("hallpass setup docker\n"), "{said}");
    desk.setup(&["a.example", "--provider", "corp"]).succeeds();
    let signed_out = [
        "ok    docker-credential-hallpass is on PATH",
        "ok    a.example: ~/.docker/config.json names hallpass",
        "error a.example: not signed in to corp",
        "hallpass login corp",
    ];
    doctor(&desk.sandbox, 1, &signed_out);
    desk.write_docker_file("{\"credHelpers\": {\"a.example\": \"gcloud\"}}");
    doctor(
        &desk.sandbox,
        1,
        &["error a.example: ~/.docker/config.json names gcloud"],
    );
}

#[test]
fn doctor_reports_credentials_that_take_precedence() {
    let mut scene = Scene::new();
    scene.configure("[[resources]]\nmatch = \"https://a.example\"\nprovider = \"corp\"\n");
    let folder = scene.sandbox.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    scene.sandbox.set("PATH", &folder);
    scene.sandbox.run(&["setup", "docker"]).succeeds();
    scene.login(&[]).succeeds();
    doctor(
        &scene.sandbox,
        0,
        &["ok    a.example: signed in as alice to corp"],
    );
    let typed = json!({ "ServerURL": "a.example", "Username": "bob", "Secret": "hunter2" });
    scene
        .sandbox
        .run_with_input(&["docker", "store"], typed.to_string().as_bytes())
        .succeeds();
    doctor(
        &scene.sandbox,
        0,
        &["hallpass answers with the password that bob entered, until `docker logout a.example`"],
    );
    let podman = scene.sandbox.home().join(".config/containers/auth.json");
    fs::create_dir_all(podman.parent().unwrap()).unwrap();
    private_file(
        &podman,
        "{\"auths\": {\"a.example\": {\"auth\": \"aHVudGVyMg==\"}}}",
    );
    scene.sandbox.set(
        "DOCKER_AUTH_CONFIG",
        "{\"auths\": {\"a.example\": {\"auth\": \"aHVudGVyMg==\"}}}",
    );
    let said = doctor(
        &scene.sandbox,
        1,
        &[
            "error a.example: docker uses the password for a.example in DOCKER_AUTH_CONFIG",
            "unset DOCKER_AUTH_CONFIG",
            "podman logout a.example",
        ],
    );
    assert!(
        !said.contains("hunter2") && !said.contains("aHVudGVyMg"),
        "{said}"
    );
    // A password for another registry makes no difference.
    scene.sandbox.set(
        "DOCKER_AUTH_CONFIG",
        "{\"auths\": {\"b.example\": {\"auth\": \"aHVudGVyMg==\"}}}",
    );
    fs::remove_file(&podman).unwrap();
    let said = doctor(&scene.sandbox, 0, &[]);
    assert!(!said.contains("DOCKER_AUTH_CONFIG"), "{said}");
}

#[test]
fn doctor_distinguishes_ended_sessions_from_refreshable_ones() {
    let mut scene = Scene::new();
    let resource = "[[resources]]\nmatch = \"https://a.example\"\nprovider = \"corp\"\n";
    scene.configure(resource);
    let folder = scene.sandbox.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    scene.sandbox.set("PATH", &folder);
    scene.sandbox.run(&["setup", "docker"]).succeeds();
    scene.login(&[]).succeeds();
    scene.advance(4000);
    doctor(
        &scene.sandbox,
        0,
        &["ok    a.example: signed in as alice to corp"],
    );
    // Without a refresh token, the session ends with the token.
    scene.configure(&format!("scopes = [\"openid\"]\n{resource}"));
    scene.login(&[]).succeeds();
    doctor(
        &scene.sandbox,
        0,
        &["ok    a.example: signed in as alice to corp"],
    );
    scene.advance(4000);
    let ended = [
        "error a.example: the token of corp has expired and cannot be refreshed",
        "hallpass login corp",
    ];
    doctor(&scene.sandbox, 1, &ended);
    scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
    let get = scene
        .sandbox
        .run_with_input(&["docker", "get"], b"a.example");
    assert_eq!(get.code, Some(1), "{get}");
    assert!(get.stderr.contains("has expired"), "{get}");
}

#[test]
fn doctor_notes_tokens_too_short_lived_for_a_long_push() {
    for (life, is_noted) in [(600, true), (3600, false)] {
        let mut scene = Scene::new();
        scene.configure("[[resources]]\nmatch = \"https://a.example\"\nprovider = \"corp\"\n");
        scene.provider.behave(|b| b.lifetime = life);
        scene.login(&[]).succeeds();
        let said = scene.sandbox.run(&["doctor", "docker", "a.example"]).stdout;
        let note = "note  a.example: its tokens are valid for only 10 min";
        assert_eq!(said.contains(note), is_noted, "{said}");
    }
}

#[test]
fn doctor_accepts_every_spelling_of_a_registry() {
    let mut scene = Scene::new();
    let resource = |host| format!("[[resources]]\nmatch = \"{host}\"\nprovider = \"corp\"\n");
    scene.configure(&format!(
        "{}{}{}",
        resource("http://localhost:5000"),
        resource("https://docker.io"),
        resource("https://a.example")
    ));
    let folder = scene.sandbox.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    scene.sandbox.set("PATH", &folder);
    scene.sandbox.run(&["setup", "docker"]).succeeds();
    scene.login(&[]).succeeds();
    for (given, shown) in [
        ("localhost:5000", "localhost:5000"),
        ("http://localhost:5000", "localhost:5000"),
        ("http://localhost:5000/", "localhost:5000"),
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("A.EXAMPLE", "a.example"),
        ("a.example:443", "a.example"),
        ("https://a.example/", "a.example"),
    ] {
        let outcome = scene.sandbox.run(&["doctor", "docker", given]);
        let said = &outcome.succeeds().stdout;
        for words in [
            "~/.docker/config.json names hallpass",
            "signed in as alice to corp",
        ] {
            let line = format!("ok    {shown}: {words}\n");
            assert!(said.contains(&line), "{given}: {outcome}");
        }
    }
    for given in ["NOT A HOST", "a.example/team", "http://a.example", ""] {
        let outcome = scene.sandbox.run(&["doctor", "docker", given]);
        assert_eq!(outcome.code, Some(2), "{given}: {outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
    }
}

#[test]
fn doctor_checks_stored_credentials_after_a_default_set_up() {
    let desk = Desk::new();
    desk.setup(&["--default"]).succeeds();
    let for_all = "ok    ~/.docker/config.json names hallpass for every registry";
    doctor(&desk.sandbox, 0, &[for_all]);
    let typed = json!({ "ServerURL": "a.example", "Username": "bob", "Secret": "hunter2" });
    desk.sandbox
        .run_with_input(&["docker", "store"], typed.to_string().as_bytes())
        .succeeds();
    let of_a = [
        for_all,
        "ok    a.example: ~/.docker/config.json names hallpass",
        "note  a.example: hallpass answers with the password that bob entered",
    ];
    doctor(&desk.sandbox, 0, &of_a);
    fs::remove_file(desk.link()).unwrap();
    doctor(
        &desk.sandbox,
        1,
        &["      hallpass setup docker --default\n"],
    );
}

#[test]
fn a_host_of_git_is_no_registry_until_it_is_set_up_as_one() {
    let mut desk = Desk::new();
    let git = "# >>> hallpass setup git --host https://git.corp.example\n[[resources]]\nmatch = \
               \"https://git.corp.example\"\nprovider = \"corp\"\n# <<< hallpass setup git \
               --host https://git.corp.example\n";
    desk.sandbox.config(&format!("{CONFIG}\n{git}"));
    desk.setup(&[])
        .fails_saying(2, &["no registry is configured"]);
    desk.setup(&["--default"]).succeeds();
    desk.setup(&["--undo"]).succeeds();
    desk.setup(&["a.example", "--provider", "corp"]).succeeds();
    let noted = [
        "note  git.corp.example: has a provider, but docker does not use hallpass for it",
        "`hallpass setup docker git.corp.example`",
    ];
    let said = doctor(&desk.sandbox, 1, &noted);
    assert!(!said.contains("error git.corp.example"), "{said}");
    desk.setup(&[]).succeeds();
    assert!(!text(&desk.docker_file()).contains("git.corp.example"));
    // Once it is set up, the command without a host includes it.
    desk.setup(&["git.corp.example"]).succeeds();
    assert!(text(&desk.docker_file()).contains("git.corp.example"));
    doctor(
        &desk.sandbox,
        1,
        &["error git.corp.example: not signed in to corp"],
    );
}
