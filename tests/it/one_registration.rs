//! The set-ups of git, docker and kubectl with one provider: it is configured once, and stays as long
//! as one of them needs it, in whatever order they are made and undone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::sandbox::{Outcome, Sandbox, files_below, private_file};
use crate::setup_kubectl::{kubeconfig, with_kubectl};

/// Each order of three tools.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// A tool's set-up without its provider, and the host that it assigns to the provider.
type Tool = (&'static [&'static str], &'static str);

const TOOLS: [Tool; 3] = [
    (
        &["git", "--host", "git.two.example"],
        "https://git.two.example",
    ),
    (&["docker", "r.two.example"], "https://r.two.example"),
    (
        &["kubectl", "--context", "here"],
        "https://k8s.two.example:6443",
    ),
];

const ISSUER: &[&str] = &[
    "--issuer-url",
    "https://login.two.example",
    "--client-id",
    "two",
];

struct Desk {
    sandbox: Sandbox,
    config: PathBuf,
    tools: [Tool; 3],
    provider: &'static [&'static str],
}

/// The bytes of every file.
type State = BTreeMap<PathBuf, Vec<u8>>;

impl Desk {
    fn new(config: &str, tools: [Tool; 3], provider: &'static [&'static str]) -> Self {
        let mut sandbox = Sandbox::new();
        let config = sandbox.config(config);
        with_kubectl(
            &mut sandbox,
            &kubeconfig(TOOLS[2].1, &json!({})).to_string(),
        );
        let link = sandbox.home().join(".local/bin");
        fs::create_dir_all(&link).unwrap();
        let tools_folder = sandbox.root().join("tools");
        let path = [
            &link,
            &tools_folder,
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ];
        sandbox.set("PATH", std::env::join_paths(path).unwrap());
        Self {
            sandbox,
            config,
            tools,
            provider,
        }
    }

    #[track_caller]
    fn set_up(&self, tool: usize) -> Outcome {
        let words = [&["setup"], self.tools[tool].0, self.provider].concat();
        self.sandbox.run(&words)
    }

    #[track_caller]
    fn undo(&self, tool: usize, more: &[&str]) -> Outcome {
        let words = [&["setup", self.tools[tool].0[0], "--undo"], more].concat();
        self.sandbox.run(&words)
    }

    fn state(&self) -> State {
        let files = files_below(self.sandbox.root()).into_iter();
        files
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    }

    fn restore(&self, state: &State) {
        for path in files_below(self.sandbox.root()) {
            if !state.contains_key(&path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in state {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if fs::read(path).ok().as_ref() != Some(bytes) {
                private_file(path, std::str::from_utf8(bytes).unwrap());
            }
        }
        // Unlike files, links are not in the state.
        let link = self
            .sandbox
            .home()
            .join(".local/bin/docker-credential-hallpass");
        let program = self.sandbox.root().join("tools/hallpass");
        if !link.is_symlink() {
            std::os::unix::fs::symlink(program, link).unwrap();
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// That the configuration is valid, has one provider, and assigns exactly the hosts of these tools
    /// to it.
    #[track_caller]
    fn has(&self, tools: &[usize]) {
        let text = self.text();
        let providers = text.matches("[providers.").count();
        assert_eq!(providers, usize::from(!tools.is_empty()), "{text}");
        for (tool, (_, host)) in self.tools.iter().enumerate() {
            let entry = format!("match = \"{host}\"\n");
            assert_eq!(
                text.contains(&entry),
                tools.contains(&tool),
                "{tool} {text}"
            );
        }
        self.sandbox.run(&["status"]).succeeds();
    }
}

#[test]
fn one_provider_serves_three_tools_whatever_the_order_of_set_ups_and_undos() {
    for set_ups in ORDERS {
        let desk = Desk::new("# mine", TOOLS, ISSUER);
        let untouched = desk.state();
        for tool in set_ups {
            desk.set_up(tool).succeeds();
        }
        desk.has(&[0, 1, 2]);
        let all = desk.state();
        for undos in ORDERS {
            desk.restore(&all);
            for (done, tool) in undos.iter().enumerate() {
                desk.undo(*tool, &[]).succeeds();
                desk.has(&undos[done + 1..]);
            }
            assert_eq!(desk.state(), untouched, "{set_ups:?} {undos:?}");
        }
    }
}

#[test]
fn a_tool_undone_and_set_up_again_shares_the_provider_again() {
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    let untouched = desk.state();
    for tool in [0, 1, 2, 0, 1, 2] {
        desk.set_up(tool).succeeds();
        desk.undo(tool, &[]).succeeds();
        desk.set_up(tool).succeeds();
        let text = desk.text();
        assert_eq!(text.matches("[providers.").count(), 1, "{text}");
    }
    desk.has(&[0, 1, 2]);
    for tool in [1, 0, 2] {
        desk.undo(tool, &[]).succeeds();
    }
    assert_eq!(desk.state(), untouched);
}

/// With a preset, an entry is valid without the provider's block, but its provider couldn't sign in.
#[test]
fn a_presets_registration_stays_as_long_as_a_tool_needs_it() {
    let tools = [
        (&["git", "--host", "github.com"][..], "https://github.com"),
        (&["docker", "ghcr.io"], "https://ghcr.io"),
        (
            &["docker", "containers.pkg.github.com"],
            "https://containers.pkg.github.com",
        ),
    ];
    let provider = &["--provider", "github", "--client-id", "mine"];
    for undos in [[0, 1], [1, 0]] {
        let desk = Desk::new("", tools, provider);
        let untouched = desk.state();
        desk.set_up(0).succeeds();
        desk.set_up(1).succeeds();
        desk.undo(undos[0], &[]).succeeds();
        let text = desk.text();
        assert_eq!(text.matches("client_id = \"mine\"").count(), 1, "{text}");
        desk.undo(undos[1], &[]).succeeds();
        assert_eq!(desk.state(), untouched);
    }
}

#[test]
fn two_accounts_and_a_registry_on_the_same_host_keep_what_they_share() {
    const GIT: &[&str] = &["git", "--host", "forge.example"];
    const WORK: &[&str] = &["git", "--host", "forge.example", "--account", "work"];
    const DOCKER: &[&str] = &["docker", "forge.example"];
    const ALL_OF_GIT: &[&str] = &["git"];
    for undos in [
        &[DOCKER, WORK, GIT][..],
        &[DOCKER, GIT],
        &[WORK, DOCKER, GIT],
        &[WORK, GIT, DOCKER],
        &[GIT, DOCKER],
        &[ALL_OF_GIT, DOCKER],
    ] {
        let desk = Desk::new("# mine\n", TOOLS, ISSUER);
        let untouched = desk.state();
        let setup = |words: &[&[&str]], more: &[&str]| {
            let words = [&[&["setup"][..]], words].concat().concat();
            desk.sandbox.run(&[&words, more].concat()).succeeds();
        };
        setup(&[GIT], ISSUER);
        // These use the entry and the provider of the first one.
        setup(&[WORK], &[]);
        setup(&[DOCKER], &[]);
        for (done, words) in undos.iter().enumerate() {
            setup(&[words], &["--undo"]);
            let text = desk.text();
            let is_needed = done + 1 < undos.len();
            assert_eq!(text.contains("[providers."), is_needed, "{undos:?} {text}");
            if undos[done + 1..].contains(&DOCKER) {
                let entry = "match = \"https://forge.example\"\nprovider = \"forge.example\"\n#";
                assert!(text.contains(entry), "{undos:?} {text}");
            }
        }
        assert_eq!(desk.state(), untouched, "{undos:?}");
    }
}

#[test]
fn another_client_id_is_another_provider_only_while_the_first_one_is_shared() {
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    let untouched = desk.state();
    let again = || {
        let words = [&["setup"], TOOLS[0].0, &ISSUER[..3], &["three"]].concat();
        desk.sandbox.run(&words).succeeds();
        desk.text()
    };
    desk.set_up(0).succeeds();
    let text = again();
    assert!(!text.contains("client_id = \"two\""), "{text}");
    assert_eq!(text.matches("[providers.").count(), 1, "{text}");
    desk.undo(0, &[]).succeeds();
    assert_eq!(desk.state(), untouched);

    desk.set_up(0).succeeds();
    desk.set_up(1).succeeds();
    let text = again();
    assert_eq!(text.matches("[providers.").count(), 2, "{text}");
    // git's set-up made both providers, so its undo removes both.
    for (undos, providers) in [([0, 1], [1, 0]), ([1, 0], [2, 0])] {
        let all = desk.state();
        for (tool, providers) in undos.into_iter().zip(providers) {
            desk.undo(tool, &[]).succeeds();
            let text = desk.text();
            assert_eq!(text.matches("[providers.").count(), providers, "{text}");
        }
        assert_eq!(desk.state(), untouched);
        desk.restore(&all);
    }
}

#[test]
fn a_provider_is_removed_with_its_last_entry_even_if_the_records_are_lost() {
    for undos in [[0, 1], [1, 0]] {
        let desk = Desk::new("# mine\n", TOOLS, ISSUER);
        desk.set_up(0).succeeds();
        desk.set_up(1).succeeds();
        fs::remove_dir_all(desk.sandbox.data_dir().join("setups")).unwrap();
        desk.undo(undos[0], &[]).succeeds();
        desk.has(&undos[1..]);
        desk.undo(undos[1], &[]).succeeds();
        assert_eq!(desk.text(), "# mine\n");
    }
}

#[test]
fn a_set_up_for_every_host_keeps_the_entries_of_other_tools() {
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    let untouched = desk.state();
    desk.set_up(1).succeeds();
    let other = [
        "--issuer-url",
        "https://login.other.example",
        "--client-id",
        "o",
    ];
    desk.sandbox
        .run(&[&["setup", "docker", "r.other.example"], &other[..]].concat())
        .succeeds();
    desk.sandbox.run(&["setup", "git"]).succeeds();
    let text = desk.text();
    desk.undo(1, &[]).succeeds();
    assert_eq!(desk.text(), text);
    // Each host keeps only its own provider.
    let host = ["--host", "r.other.example"];
    desk.undo(0, &host).succeeds();
    desk.has(&[1]);
    desk.undo(0, &[]).succeeds();
    assert_eq!(desk.state(), untouched);
}

#[test]
fn an_entry_of_the_users_own_keeps_the_provider() {
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    desk.set_up(0).succeeds();
    desk.set_up(1).succeeds();
    let own = "\n[[resources]]\nmatch = \"https://own.example\"\nprovider = 'git.two.example'\n";
    private_file(&desk.config, &(desk.text() + own));
    for (tool, hosts) in [(0, 2), (1, 1)] {
        desk.undo(tool, &[]).succeeds();
        let text = desk.text();
        assert_eq!(text.matches("[providers.").count(), 1, "{text}");
        assert_eq!(text.matches("match = ").count(), hosts, "{text}");
        desk.sandbox.run(&["status"]).succeeds();
    }
    // The provider goes with the entry.
    private_file(&desk.config, &desk.text().replace(own, ""));
    desk.undo(0, &[]).succeeds();
    assert_eq!(desk.text(), "# mine\n");
}

#[test]
fn a_file_that_is_edited_between_set_ups_and_undos_keeps_the_edits() {
    for undos in ORDERS {
        let desk = Desk::new("# mine\n", TOOLS, ISSUER);
        let mut expected = "# mine\n".to_owned();
        let edit = |line: &str, expected: &mut String| {
            private_file(&desk.config, &(line.to_owned() + &desk.text()));
            *expected = line.to_owned() + expected;
        };
        for tool in [1, 0, 2] {
            desk.set_up(tool).succeeds();
            edit(&format!("# after set-up {tool}\n"), &mut expected);
        }
        for (done, tool) in undos.iter().enumerate() {
            let dry = desk.undo(*tool, &["--dry-run"]);
            let before = desk.text();
            desk.undo(*tool, &[]).succeeds();
            assert_ne!(desk.text(), before);
            assert!(dry.stdout.contains("  - match = "), "{dry}");
            desk.has(&undos[done + 1..]);
            edit(&format!("# after undo {tool}\n"), &mut expected);
        }
        assert_eq!(desk.text(), expected, "{undos:?}");
        assert!(!desk.sandbox.data_dir().join("setups").exists());
    }
}

#[test]
fn undos_at_the_same_time_leave_nothing() {
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    let untouched = desk.state();
    for tool in 0..3 {
        desk.set_up(tool).succeeds();
    }
    let undos = [0, 1, 2].map(|tool| {
        let words = ["setup", desk.tools[tool].0[0], "--undo"];
        desk.sandbox.start(&words)
    });
    for undo in undos {
        undo.wait().succeeds();
    }
    assert_eq!(desk.state(), untouched);
}

#[test]
fn an_undo_that_fails_changes_nothing_and_can_be_repeated() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new("# mine\n", TOOLS, ISSUER);
    let untouched = desk.state();
    for tool in [1, 0, 2] {
        desk.set_up(tool).succeeds();
    }
    let before = desk.state();
    // Root may write anything, but not a read-only file in a set-up.
    let mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(desk.sandbox.root().join("config.toml"), permissions).unwrap();
    };
    mode(0o400);
    for tool in 0..3 {
        desk.undo(tool, &[])
            .fails_saying(1, &["config.toml is read-only"]);
        assert_eq!(desk.state(), before);
    }
    mode(0o600);
    for tool in [1, 2, 0] {
        desk.undo(tool, &[]).succeeds();
    }
    assert_eq!(desk.state(), untouched);
}
