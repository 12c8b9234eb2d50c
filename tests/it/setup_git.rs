//! `hallpass setup git` and its undo, with the installed git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Outcome, Sandbox, another_name, files_below};

/// A sandbox with git and a git configuration of the user's, but none of the system's.
struct Desk {
    sandbox: Sandbox,
}

const GIT_CONFIG: &str = "# mine\n[user]\n\tname = Me\n[credential]\n\thelper = store\n";

impl Desk {
    fn new() -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        fs::write(sandbox.home().join(".gitconfig"), GIT_CONFIG).unwrap();
        Self { sandbox }
    }

    #[track_caller]
    fn setup(&self, more: &[&str]) -> Outcome {
        self.sandbox.run(&[&["setup", "git"], more].concat())
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(arguments);
        let output = self.sandbox.surround(command).output().expect("git");
        String::from_utf8(output.stdout).unwrap()
    }

    fn helpers(&self, url: &str) -> Vec<String> {
        let key = format!("credential.{url}.helper");
        let text = self.git(&["config", "--global", "--null", "--get-all", &key]);
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    fn git_config(&self) -> String {
        fs::read_to_string(self.sandbox.home().join(".gitconfig")).unwrap()
    }

    /// The path of the configuration, which `HALLPASS_CONFIG` names.
    fn config_path(&mut self) -> PathBuf {
        let path = self.sandbox.home().join("config.toml");
        if !path.exists() {
            crate::sandbox::private_file(&path, "");
        }
        self.sandbox.set("HALLPASS_CONFIG", &path);
        path
    }
}

#[test]
fn a_host_gets_an_empty_helper_then_ours_and_a_provider() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let own = "# mine\nbrowser = \"firefox\"";
    crate::sandbox::private_file(&config, own);
    let arguments = [
        "--host",
        "GIT.Corp.example",
        "--provider",
        "gitlab",
        "--client-id",
        "abc",
    ];
    let outcome = desk.setup(&arguments);
    outcome.succeeds();
    assert!(outcome.stdout.contains("store (file:"), "{outcome}");
    let helpers = desk.helpers("https://git.corp.example");
    assert_eq!(helpers.len(), 2, "{helpers:?}");
    assert_eq!(helpers[0], "");
    assert!(helpers[1].ends_with(" git"), "{helpers:?}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with(own), "{text}");
    for line in [
        "[providers.\"git.corp.example\"]\n",
        "preset = \"gitlab\"\n",
        "base = \"https://git.corp.example\"\n",
        "client_id = \"abc\"\n",
        "match = \"https://git.corp.example\"\n",
    ] {
        assert!(text.contains(line), "{line} {text}");
    }
    // git asks hallpass for this host.
    let reply = desk.sandbox.run_with_input(
        &["git", "--interactive", "never", "get"],
        b"protocol=https\nhost=git.corp.example\n",
    );
    assert!(
        reply.stderr.contains("hallpass login git.corp.example"),
        "{reply}"
    );

    // A second run changes nothing.
    let before = (desk.git_config(), text);
    desk.setup(&arguments).succeeds();
    assert_eq!(
        (desk.git_config(), fs::read_to_string(&config).unwrap()),
        before
    );

    desk.setup(&["--host", "git.corp.example", "--undo"])
        .succeeds();
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
    assert_eq!(desk.git_config(), GIT_CONFIG);
}

#[test]
fn any_issuer_can_be_assigned_to_a_host_and_gets_default_scopes() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let issuer = [
        "--issuer-url",
        "https://login.corp.example",
        "--client-id",
        "abc",
    ];
    let set_up = |more: &[&str]| {
        let host = ["--host", "git.corp.example"];
        desk.setup(&[&host[..], &issuer, more].concat()).succeeds();
        fs::read_to_string(&config).unwrap()
    };
    let text = set_up(&[]);
    assert!(
        text.contains("scopes = [\"openid\", \"offline_access\"]\n"),
        "{text}"
    );
    let text = set_up(&["--scope", "git"]);
    assert!(text.contains("scopes = [\"git\"]\n"), "{text}");
}

#[test]
fn a_dry_run_shows_all_and_changes_nothing() {
    let desk = Desk::new();
    let before = files_below(desk.sandbox.root());
    let outcome = desk.setup(&["--host", "codeberg.org", "--default", "--dry-run"]);
    for words in [
        "Would change ~/.gitconfig:",
        "credential.https://codeberg.org.helper",
        "[[resources]]",
    ] {
        assert!(outcome.stdout.contains(words), "{outcome}");
    }
    assert_eq!(files_below(desk.sandbox.root()), before);
    assert_eq!(desk.git_config(), GIT_CONFIG);
}

#[test]
fn all_hosts_need_the_default_option() {
    let desk = Desk::new();
    desk.setup(&[]).fails_saying(2, &["--host", "--default"]);
    desk.setup(&["--default"]).succeeds();
    let all = desk.git(&["config", "--global", "--get-all", "credential.helper"]);
    let all: Vec<&str> = all.lines().collect();
    assert_eq!(all[..2], ["store", ""]);
    assert!(all[2].ends_with(" git"), "{all:?}");
    desk.setup(&["--default", "--undo"]).succeeds();
    assert_eq!(desk.git_config(), GIT_CONFIG);
}

#[test]
fn helpers_that_a_host_had_already_are_still_there_after_undo() {
    let desk = Desk::new();
    let own = format!(
        "{GIT_CONFIG}[credential \"https://codeberg.org\"]\n\thelper = \n\thelper = cache\n"
    );
    fs::write(desk.sandbox.home().join(".gitconfig"), &own).unwrap();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    assert_eq!(desk.helpers("https://codeberg.org").len(), 4);
    desk.setup(&["--host", "codeberg.org", "--undo"]).succeeds();
    assert_eq!(desk.helpers("https://codeberg.org"), ["", "cache"]);
}

#[test]
fn without_a_client_id_the_error_says_where_to_register() {
    let desk = Desk::new();
    let outcome = desk.setup(&["--host", "github.com"]);
    outcome.fails_saying(
        2,
        &[
            "https://github.com/settings/applications/new",
            "hallpass setup git --host github.com --provider github --client-id ID",
        ],
    );
    assert_eq!(desk.git_config(), GIT_CONFIG);
    desk.setup(&["--host", "bitbucket.org"]).fails_saying(
        2,
        &["--provider bitbucket --client-id ID --client-secret-file FILE"],
    );
    desk.setup(&["--host", "git.corp.example"])
        .fails_saying(2, &["--provider", "--issuer-url"]);
}

#[test]
fn a_host_is_shown_in_its_ascii_form_and_a_path_makes_git_name_it() {
    let desk = Desk::new();
    let outcome = desk.setup(&[
        "--host",
        "https://b\u{fc}cher.example/team",
        "--provider",
        "gitea",
    ]);
    outcome.succeeds();
    let host = "https://xn--bcher-kva.example/team";
    assert!(outcome.stdout.contains(host), "{outcome}");
    let key = format!("credential.{host}.useHttpPath");
    assert_eq!(
        desk.git(&["config", "--global", "--type=bool", &key]),
        "true\n"
    );
    for host in [
        "https://me@git.example",
        "http://git.example",
        "git.example/?x",
        "",
    ] {
        desk.setup(&["--host", host, "--provider", "gitea"])
            .fails_with(2);
    }
}

#[test]
fn git_finds_a_program_whose_path_has_a_space() {
    let mut desk = Desk::new();
    let folder = desk.sandbox.root().join("a folder");
    fs::create_dir(&folder).unwrap();
    let program = folder.join(format!("hallpass{}", std::env::consts::EXE_SUFFIX));
    another_name(&program);
    let mut path = std::ffi::OsString::from(&folder);
    path.push(if cfg!(windows) { ";" } else { ":" });
    path.push(std::env::var_os("PATH").unwrap_or_default());
    desk.sandbox.set("PATH", path);
    desk.sandbox.set("GIT_TERMINAL_PROMPT", "0");
    let run = |program: &std::path::Path, arguments: &[&str], input: &str| {
        let mut command = desk.sandbox.surround(Command::new(program));
        command.args(arguments);
        crate::sandbox::Running::with_input(command, arguments, input.as_bytes()).wait()
    };
    run(&program, &["setup", "git", "--default"], "").succeeds();
    let credential = "protocol=https\nhost=example.com\nusername=u\npassword=p\n";
    let git = std::path::Path::new("git");
    run(git, &["credential", "approve"], credential).succeeds();
    let filled = run(
        git,
        &["credential", "fill"],
        "protocol=https\nhost=example.com\n\n",
    );
    assert_eq!(filled.succeeds().stdout, credential);

    // The doctor recognizes it, until the program moves.
    run(&program, &["setup", "git", "--host", "codeberg.org"], "").succeeds();
    let doctor = run(&program, &["doctor", "git", "codeberg.org"], "");
    let ok = "https://codeberg.org: git asks hallpass\n";
    assert!(doctor.stdout.contains(ok), "{doctor}");
    let moved = folder.join("moved");
    fs::rename(&program, &moved).unwrap();
    let doctor = run(&moved, &["doctor", "git", "codeberg.org"], "");
    assert!(doctor.stdout.contains("where it no longer is"), "{doctor}");
    assert!(!doctor.stdout.contains(ok), "{doctor}");
    fs::rename(&moved, &program).unwrap();
    run(&program, &["setup", "git", "--undo"], "").succeeds();
    assert_eq!(desk.git_config(), GIT_CONFIG);
}

// --- undo ---

/// A lived-in file: comments in and after sections, a helper with a note, no order.
const LIVED_IN: &str = "# top\n[credential] ; all of them\n\thelper = store # why\n\
    \tuseHttpPath = false\n\n# about me\n[user]\n  name = Me\n\n\
    [credential \"https://codeberg.org\"]\n\tusername = me\n\
    [credential \"https://git.corp.example/team\"]\n\tuseHttpPath=true ; mine\n# end\n";

#[test]
fn undo_without_a_host_reverts_everything_to_the_byte() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let own = "# mine\n\n[[resources]]\nmatch = \"https://*.known.example\"\nprovider = \"codeberg\"\n\
        account = \"a\"\n\n[[resources]]\nmatch = \"https://*.known.example\"\n\
        provider = \"codeberg\"\naccount = \"b\" # two";
    crate::sandbox::private_file(&config, own);
    let git_config = desk.sandbox.home().join(".gitconfig");
    fs::write(&git_config, LIVED_IN).unwrap();

    for arguments in [
        &["--host", "codeberg.org"][..],
        &[
            "--host",
            "https://git.corp.example/team",
            "--provider",
            "gitea",
        ],
        &[
            "--host",
            "https://b\u{fc}cher.example:8443",
            "--provider",
            "forgejo",
        ],
        &[
            "--host",
            "https://git.corp.example/team",
            "--provider",
            "forgejo",
        ],
        &[],
        &["--default"],
    ] {
        desk.setup(arguments).succeeds();
    }
    assert_eq!(desk.helpers("https://*.known.example").len(), 2);
    let blocks = fs::read_to_string(&config)
        .unwrap()
        .matches("# >>> ")
        .count();
    // Each host's, and each provider's.
    assert_eq!(blocks, 6);
    let before = (fs::read_to_string(&config).unwrap(), desk.git_config());

    let dry = desk.setup(&["--undo", "--dry-run"]);
    assert_eq!(
        before,
        (fs::read_to_string(&config).unwrap(), desk.git_config())
    );
    let outcome = desk.setup(&["--undo"]);
    outcome.succeeds();
    for words in [
        "hallpass git",
        "- [[resources]]",
        "credential.https://xn--bcher-kva.example:8443.helper",
        "credential.https://*.known.example.helper",
        "credential.helper",
        "credential.https://git.corp.example/team.useHttpPath",
    ] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome}");
        assert!(dry.stdout.contains(words), "{words}: {dry}");
    }
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
    assert_eq!(desk.git_config(), LIVED_IN);
    assert_eq!(desk.setup(&["--undo"]).stdout, "nothing to change\n");
}

#[test]
fn undo_with_a_host_reverts_only_that_host() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    fs::write(desk.sandbox.home().join(".gitconfig"), LIVED_IN).unwrap();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let with_one = (fs::read_to_string(&config).unwrap(), desk.git_config());
    let other = ["--host", "https://git.corp.example/team"];
    desk.setup(&[&other[..], &["--provider", "gitea"]].concat())
        .succeeds();
    desk.setup(&["--default"]).succeeds();
    // Lines that the user adds after ours stay.
    let more = "\n[user]\n\temail = me@people.example # late\n";
    fs::write(
        desk.sandbox.home().join(".gitconfig"),
        desk.git_config() + more,
    )
    .unwrap();
    desk.setup(&[&other[..], &["--undo", "--default"]].concat())
        .succeeds();
    assert_eq!(
        (fs::read_to_string(&config).unwrap(), desk.git_config()),
        (with_one.0, with_one.1 + more)
    );
}

#[test]
fn undo_removes_files_that_the_setup_created() {
    let desk = Desk::new();
    fs::remove_file(desk.sandbox.home().join(".gitconfig")).unwrap();
    let before = files_below(&desk.sandbox.home());
    desk.setup(&["--host", "codeberg.org", "--default"])
        .succeeds();
    assert_ne!(files_below(&desk.sandbox.home()), before);
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(files_below(&desk.sandbox.home()), before);
}

// --- the order of helpers ---

/// A helper that notes that git asked it, and answers nothing.
const OTHER: &str = "\thelper = \"!echo asked >>asked;:\"\n";

impl Desk {
    /// Whether git asks another helper than hallpass for the host.
    fn asks_another(&self, host: &str) -> bool {
        let asked = self.sandbox.root().join("asked");
        let mut command = self.sandbox.surround(Command::new("git"));
        command.args(["credential", "fill"]);
        command.env("GIT_TERMINAL_PROMPT", "0");
        let input = format!("url=https://{host}/a.git\n\n");
        crate::sandbox::Running::with_input(command, &["credential"], input.as_bytes()).wait();
        let is_asked = asked.exists();
        drop(fs::remove_file(&asked));
        is_asked
    }
}

#[test]
fn hallpass_is_the_last_helper_whatever_the_order_of_sections() {
    for (own, is_asked) in [
        // The host's own section comes before the other helper's.
        (
            "[credential \"HOST\"]\n\tusername = oauth2\n[credential]\nOTHER",
            true,
        ),
        (
            "[credential \"HOST\"]\n\tusername = oauth2\n[credential \"HOST/\"]\nOTHER",
            true,
        ),
        (
            "[credential \"HOST\"]\n\tusername = oauth2\n[credential \"codeberg.org\"]\nOTHER",
            true,
        ),
        (
            "[credential \"HOST\"]\n\tusername = oauth2\n[credential \"https://*.org\"]\nOTHER",
            true,
        ),
        (
            "[credential \"HOST\"]\n\tusername = oauth2\n[include]\n\tpath = more\n",
            true,
        ),
        (
            "[credential \"HOST\"]\nOTHER[credential]\nOTHER[user]\n\tname = Me\n",
            true,
        ),
        (
            "[credential \"HOST\"]\n\tusername = me\n[credential \"HOST/\"]\n\tusername = me\n",
            false,
        ),
        ("[include]\n\tpath = more\n", true),
        ("[credential]\nOTHER", true),
    ] {
        let desk = Desk::new();
        let path = desk.sandbox.home().join(".gitconfig");
        let own = own
            .replace("HOST", "https://codeberg.org")
            .replace("OTHER", OTHER);
        fs::write(&path, &own).unwrap();
        fs::write(
            desk.sandbox.home().join("more"),
            format!("[credential]\n{OTHER}"),
        )
        .unwrap();
        assert_eq!(desk.asks_another("codeberg.org"), is_asked, "{own}");
        let outcome = desk.setup(&["--host", "codeberg.org"]);
        outcome.succeeds();
        let recipient =
            "tokens of codeberg (https://codeberg.org) will be sent to https://codeberg.org\n";
        assert!(outcome.stdout.contains(recipient), "{outcome}");
        let says = outcome.stdout.contains("git no longer asks");
        assert_eq!(says, is_asked, "{own}{outcome}");
        assert!(!outcome.stdout.contains("still asks"), "{own}{outcome}");
        let now = desk.git_config();
        assert!(!desk.asks_another("codeberg.org"), "{now}");
        let again = desk.setup(&["--host", "codeberg.org"]);
        assert_eq!(again.stdout, "nothing to change\n", "{now}");
        assert_eq!(desk.git_config(), now);
        for undo in [&["--undo"][..], &["--host", "codeberg.org", "--undo"]] {
            fs::write(&path, &now).unwrap();
            desk.setup(undo).succeeds();
            assert_eq!(desk.git_config(), own);
        }
    }
}

#[test]
fn the_next_setup_moves_hallpass_after_a_later_helper() {
    for host in ["codeberg.org", "https://codeberg.org/team"] {
        for own in [
            GIT_CONFIG.to_owned(),
            format!("[credential \"{host}\"]\n\tusername = me # mine\n"),
        ] {
            let desk = Desk::new();
            let path = desk.sandbox.home().join(".gitconfig");
            fs::write(&path, &own).unwrap();
            let set_up = ["--host", host, "--provider", "codeberg"];
            let mut expected = own.clone();
            desk.setup(&set_up).succeeds();
            for _ in 0..3 {
                let more = format!("[credential]\n{OTHER}");
                fs::write(&path, desk.git_config() + &more).unwrap();
                expected += &more;
                assert!(desk.asks_another("codeberg.org/team"));
                let outcome = desk.setup(&set_up);
                outcome.succeeds();
                assert!(outcome.stdout.contains("no longer asks"), "{outcome}");
                assert!(
                    !desk.asks_another("codeberg.org/team"),
                    "{}",
                    desk.git_config()
                );
                let now = desk.git_config();
                desk.setup(&set_up).succeeds();
                assert_eq!(desk.git_config(), now);
            }
            let ours = desk.git_config();
            let ours = ours.lines().filter(|line| line.ends_with(" git"));
            assert_eq!(ours.count(), 1);
            desk.setup(&["--undo"]).succeeds();
            assert_eq!(desk.git_config(), expected);
        }
    }
}

#[test]
fn setup_names_a_repositorys_own_helper_that_git_also_asks() {
    let desk = Desk::new();
    desk.git(&["init", "--quiet"]);
    desk.git(&["config", "credential.helper", "cache"]);
    for set_up in ["git no longer asks", "nothing to change"] {
        let outcome = desk.setup(&["--host", "codeberg.org"]);
        outcome.succeeds();
        assert!(outcome.stdout.contains(set_up), "{outcome}");
        let (_, still) = outcome
            .stdout
            .split_once("git also asks")
            .expect("a warning");
        let next = still.lines().nth(1);
        assert_eq!(next, Some("  cache (file:.git/config)"), "{outcome}");
        assert_eq!(outcome.stdout.matches("cache").count(), 1, "{outcome}");
    }
    desk.git(&["config", "--unset", "credential.helper"]);
    desk.git(&["config", "credential.helper", ""]);
    let outcome = desk.setup(&["--host", "codeberg.org"]);
    assert!(
        outcome.stdout.contains("git does not ask hallpass"),
        "{outcome}"
    );
}

// --- set-ups that fail ---

#[test]
fn undo_of_everything_keeps_lines_that_the_user_wrote_before_the_set_up() {
    let desk = Desk::new();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let own = desk.git_config();
    desk.setup(&["--undo"]).succeeds();
    // As a program that generates the file would write them.
    fs::write(desk.sandbox.home().join(".gitconfig"), &own).unwrap();
    for undo in [&["--undo"][..], &["--host", "codeberg.org", "--undo"]] {
        desk.setup(&["--host", "codeberg.org"]).succeeds();
        assert_eq!(desk.git_config(), own);
        desk.setup(undo).succeeds();
        assert_eq!(desk.git_config(), own, "{undo:?}");
    }
}

#[test]
fn a_configuration_that_git_cannot_read_is_reported_with_the_line() {
    let desk = Desk::new();
    fs::write(desk.sandbox.home().join(".gitconfig"), "[user\n").unwrap();
    for words in [
        &["setup", "git", "--host", "codeberg.org"][..],
        &["doctor", "git", "codeberg.org"],
    ] {
        let outcome = desk.sandbox.run(words);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        for said in [
            "git cannot read its configuration",
            "line 1",
            "correct the line",
        ] {
            assert!(outcome.stderr.contains(said), "{said}: {outcome}");
        }
        assert!(!outcome.stderr.contains('^'), "{outcome}");
    }
}

/// Few users can create links on Windows.
#[cfg(unix)]
#[test]
fn a_dangling_link_is_reported_as_one() {
    let desk = Desk::new();
    let file = desk.sandbox.home().join(".gitconfig");
    fs::remove_file(&file).ok();
    std::os::unix::fs::symlink("dotfiles/gitconfig", &file).unwrap();
    let outcome = desk.setup(&["--host", "codeberg.org"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("is a link to a file that doesn't exist"),
        "{outcome}"
    );
    fs::create_dir(desk.sandbox.home().join("dotfiles")).unwrap();
    fs::write(&file, "").unwrap();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
}

/// Windows has no modes.
#[cfg(unix)]
#[test]
fn a_configuration_file_that_cannot_be_read_is_reported_with_the_fix() {
    use std::os::unix::fs::PermissionsExt as _;
    // root reads every file.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let desk = Desk::new();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let file = desk.sandbox.home().join(".gitconfig");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let fix = "chmod u+rwX ~/.gitconfig";
    let doctor = desk.sandbox.run(&["doctor", "git", "codeberg.org"]);
    assert!(
        doctor
            .stdout
            .contains("~/.gitconfig cannot be read, so git ignores it"),
        "{doctor}"
    );
    assert!(doctor.stdout.contains(fix), "{doctor}");
    let again = desk.setup(&["--host", "github.com", "--client-id", "x"]);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains("chmod u+rwX"), "{again}");
}

#[test]
fn undo_of_default_keeps_the_hosts() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let before = (desk.git_config(), fs::read_to_string(&config).unwrap());
    let outcome = desk.setup(&["--default"]);
    let way_back = "To undo this, run `hallpass setup git --default --undo`\n";
    assert!(outcome.stdout.ends_with(way_back), "{outcome}");
    desk.setup(&["--default", "--undo"]).succeeds();
    let after = (desk.git_config(), fs::read_to_string(&config).unwrap());
    assert_eq!(after, before);
}

#[test]
fn an_interrupted_setup_can_be_finished_or_undone() {
    let desk = Desk::new();
    let path = desk.sandbox.home().join(".gitconfig");
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let whole = desk.git_config();
    let ours = desk.helpers("https://codeberg.org").pop().unwrap();
    let first = ours.replace(" git", "  git");
    let (before, _) = whole.split_once("\thelper = \n").unwrap();
    for half in [
        format!("{before}\thelper = {first}\n"),
        format!("{before}\thelper = {first}\n\thelper = {ours}\n"),
    ] {
        fs::write(&path, &half).unwrap();
        desk.setup(&["--host", "codeberg.org"]).succeeds();
        assert_eq!(desk.git_config(), whole);
        fs::write(&path, &half).unwrap();
        desk.setup(&["--undo"]).succeeds();
        assert_eq!(desk.git_config(), GIT_CONFIG);
        desk.setup(&["--host", "codeberg.org"]).succeeds();
    }
}

#[test]
fn a_locked_git_configuration_changes_nothing() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let lock = desk.sandbox.home().join(".gitconfig.lock");
    fs::write(&lock, "").unwrap();
    let outcome = desk.setup(&["--host", "codeberg.org", "--default"]);
    outcome.fails_saying(1, &["another program is writing ~/.gitconfig", ".lock"]);
    assert_eq!(outcome.stdout, "");
    assert!(!outcome.stderr.contains("installed"), "{outcome}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "");
    assert_eq!(desk.git_config(), GIT_CONFIG);
    fs::remove_file(&lock).unwrap();
    desk.setup(&["--host", "codeberg.org"]).succeeds();
    let before = (fs::read_to_string(&config).unwrap(), desk.git_config());
    fs::write(&lock, "").unwrap();
    let outcome = desk.setup(&["--undo"]);
    outcome.fails_with(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        (fs::read_to_string(&config).unwrap(), desk.git_config()),
        before
    );
}

/// On Windows, git is missing in the tests.
#[test]
#[cfg(unix)]
fn an_edit_that_git_refuses_changes_nothing() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let path = desk.sandbox.home().join(".gitconfig");
    // This git fails if its command contains a certain word.
    let real = desk.sandbox.variables()[std::ffi::OsStr::new("PATH")].clone();
    let bin = desk.sandbox.root().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = "#!/bin/sh\ncase \"$*\" in *\"$REFUSED\"*) echo no >&2; exit 4;; esac\n\
                  PATH=\"${PATH#*:}\" exec git \"$@\"\n";
    crate::sandbox::script_file(&bin.join("git"), script);
    let mut refusing = bin.into_os_string();
    refusing.push(":");
    refusing.push(&real);
    let set_up = [
        "--host",
        "https://codeberg.org/team",
        "--provider",
        "codeberg",
    ];
    let words = ["--add", "--add credential.https://codeberg.org/team"];
    let path_word = "useHttpPath yes";
    for later in ["", "[credential]\n\thelper = cache\n"] {
        // The second run has something to move.
        let before = desk.git_config() + later;
        fs::write(&path, &before).unwrap();
        let config_before = fs::read_to_string(&config).unwrap();
        for refused in words.into_iter().chain([path_word]) {
            fs::write(&path, &before).unwrap();
            desk.sandbox.set("PATH", &refusing);
            desk.sandbox.set("REFUSED", refused);
            let outcome = desk.setup(&set_up);
            outcome.fails_with(1);
            assert_eq!(outcome.stdout, "");
            desk.sandbox.set("PATH", &real);
            assert_eq!(desk.git_config(), before, "{refused}");
            assert_eq!(fs::read_to_string(&config).unwrap(), config_before);
        }
        fs::write(&path, &before).unwrap();
        desk.setup(&set_up).succeeds();
    }
}

#[test]
fn a_renamed_program_recognizes_its_own_setup() {
    let desk = Desk::new();
    let name = format!("hallpass-linux-amd64{}", std::env::consts::EXE_SUFFIX);
    let program = desk.sandbox.root().join(name);
    another_name(&program);
    let run = |arguments: &[&str]| {
        let mut command = desk.sandbox.surround(Command::new(&program));
        command.args(arguments);
        crate::sandbox::Running::with_input(command, arguments, b"").wait()
    };
    for _ in 0..2 {
        run(&["setup", "git", "--host", "codeberg.org"]).succeeds();
        assert_eq!(desk.helpers("https://codeberg.org").len(), 2);
    }
    run(&["setup", "git", "--undo"]).succeeds();
    assert_eq!(desk.git_config(), GIT_CONFIG);
}

/// The installed git, which claims to be another version. On Windows, git is missing in the tests.
#[cfg(unix)]
fn git_of_version(sandbox: &mut Sandbox, version: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path)
        .map(|folder| folder.join("git"))
        .find(|git| git.is_file())
        .expect("git");
    let folder = sandbox.home().join(format!("git-{version}"));
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo \"git version {version}\"; exit; fi\n\
         exec '{}' \"$@\"\n",
        real.display()
    );
    crate::sandbox::script_file(&folder.join("git"), &script);
    let all = std::iter::once(folder).chain(std::env::split_paths(&path));
    sandbox.set("PATH", std::env::join_paths(all).unwrap());
}

#[cfg(unix)]
#[test]
fn setup_explains_large_pushes_to_a_server_that_accepts_only_bearer_tokens() {
    let limit = "git config --global http.https://git.corp.example.postBuffer 500m";
    let set_up = [
        "--host",
        "git.corp.example",
        "--issuer-url",
        "https://login.corp.example",
        "--client-id",
        "ID",
    ];
    let bearer = [&set_up[..], &["--bearer"]].concat();
    for (version, arguments, expected) in [
        ("2.47.3", &bearer[..], limit),
        ("2.53.9", &bearer, limit),
        ("2.39.5", &bearer, "update git to 2.46 or later"),
        ("2.54.0", &bearer, ""),
        ("2.47.3", &set_up, ""),
    ] {
        let mut desk = Desk::new();
        desk.config_path();
        git_of_version(&mut desk.sandbox, version);
        let outcome = desk.setup(arguments);
        outcome.succeeds();
        assert!(outcome.stdout.contains(expected), "{version}: {outcome}");
        let has_note = outcome.stdout.contains("only Bearer");
        assert_eq!(has_note, !expected.is_empty(), "{version}: {outcome}");
        // A later set-up without arguments prints the same.
        let again = desk.setup(&[]);
        again.succeeds();
        assert_eq!(again.stdout.contains("only Bearer"), has_note, "{again}");
    }
}

/// It isn't known which host that provider's tokens are for, so this host gets its own provider.
#[test]
fn a_forges_name_never_means_a_configured_provider_whose_home_is_not_this_host() {
    for configured in [
        "[providers.gitlab]\nissuer = \"https://login.corp.example\"\nclient_id = \"theirs\"\n",
        "[providers.gitlab]\nclient_id = \"theirs\"\n",
    ] {
        let mut desk = Desk::new();
        desk.sandbox.config(configured);
        let outcome = desk.setup(&[
            "--host",
            "forge.example",
            "--provider",
            "gitlab",
            "--client-id",
            "own",
            "--dry-run",
        ]);
        outcome.succeeds();
        let recipient = "tokens of forge.example (https://forge.example) will be sent to https://forge.example\n";
        assert!(outcome.stdout.contains(recipient), "{outcome}");
    }
}

#[test]
fn the_file_that_git_would_write_is_changed() {
    for (variable, files, expected) in [
        (None, vec![".config/git/config"], ".config/git/config"),
        (None, vec![".config/git/config", ".gitconfig"], ".gitconfig"),
        (None, vec![], ".gitconfig"),
        (Some("elsewhere"), vec![".gitconfig"], "elsewhere"),
    ] {
        let mut desk = Desk::new();
        let home = desk.sandbox.home().clone();
        fs::remove_file(home.join(".gitconfig")).unwrap();
        for file in files {
            fs::create_dir_all(home.join(file).parent().unwrap()).unwrap();
            fs::write(home.join(file), "[user]\n\tname = a\n").unwrap();
        }
        if let Some(file) = variable {
            desk.sandbox.set("GIT_CONFIG_GLOBAL", home.join(file));
        }
        desk.setup(&["--host", "codeberg.org"]).succeeds();
        let text = fs::read_to_string(home.join(expected)).unwrap();
        assert!(text.contains("hallpass git"), "{expected}: {text}");
        assert_eq!(desk.helpers("https://codeberg.org").len(), 2);
        desk.setup(&["--undo"]).succeeds();
        let left = fs::read_to_string(home.join(expected)).unwrap_or_default();
        assert!(!left.contains("hallpass"), "{expected}: {left}");
    }
}

/// Windows has no such files in folders.
#[test]
#[cfg(unix)]
fn a_git_configuration_that_is_not_a_regular_file_is_refused() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    desk.sandbox.set("GIT_CONFIG_GLOBAL", "/dev/null");
    let outcome = desk.setup(&["--host", "codeberg.org"]);
    outcome.fails_saying(1, &["/dev/null"]);
    assert_eq!(fs::read_to_string(&config).unwrap(), "");
    let null = fs::symlink_metadata("/dev/null").unwrap();
    assert!(!null.is_file());
}

// --- several accounts, several hosts ---

#[test]
fn an_account_is_added_beside_the_entry_that_is_there() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let host = ["--host", "git.corp.example"];
    let first = [&host[..], &["--provider", "gitea"]].concat();
    let work = [&host[..], &["--account", "work"]].concat();
    desk.setup(&first).succeeds();
    let with_one = (fs::read_to_string(&config).unwrap(), desk.git_config());
    let outcome = desk.setup(&work);
    outcome.succeeds();
    for words in [
        "git config hallpass.account work",
        "hallpass setup git --host git.corp.example --account work --undo",
    ] {
        assert!(outcome.stdout.contains(words), "{outcome}");
    }
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with(&with_one.0), "{text}");
    let entry = "[[resources]]\nmatch = \"https://git.corp.example\"\n\
                 provider = \"git.corp.example\"\naccount = \"work\"\n";
    assert!(text.contains(entry), "{text}");
    assert_eq!(text.matches("[providers.").count(), 1, "{text}");
    assert_eq!(desk.setup(&work).stdout, "nothing to change\n");

    // Each is undone separately. git asks hallpass until the last one is undone.
    desk.setup(&[&work[..], &["--undo"]].concat()).succeeds();
    assert_eq!(
        (fs::read_to_string(&config).unwrap(), desk.git_config()),
        with_one
    );
    desk.setup(&work).succeeds();
    desk.setup(&[&host[..], &["--undo"]].concat()).succeeds();
    assert_eq!(
        (fs::read_to_string(&config).unwrap(), desk.git_config()),
        (String::new(), GIT_CONFIG.to_owned())
    );
}

#[test]
fn an_account_of_the_users_own_entry_needs_no_new_one() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let own = "[[resources]]\nmatch = \"https://codeberg.org\"\nprovider = \"codeberg\"\n\
               account = \"work\"\n";
    crate::sandbox::private_file(&config, own);
    desk.setup(&["--host", "codeberg.org", "--account", "work"])
        .succeeds();
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
    assert_eq!(desk.helpers("https://codeberg.org").len(), 2);
}

#[test]
fn gists_are_set_up_together_with_their_host() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let set_up = ["--host", "github.com", "--client-id", "abc"];
    desk.setup(&set_up).succeeds();
    for host in ["https://github.com", "https://gist.github.com"] {
        assert_eq!(desk.helpers(host).len(), 2, "{host}");
        let found = desk.sandbox.run_with_input(
            &["git", "--interactive", "never", "get"],
            format!("url={host}\nprotocol=https\nhost={}\n", &host[8..]).as_bytes(),
        );
        assert!(found.stderr.contains("hallpass login github"), "{found}");
    }
    assert_eq!(desk.setup(&set_up).stdout, "nothing to change\n");
    // Also without the record of the set-up.
    for records in [true, false] {
        desk.setup(&set_up).succeeds();
        if !records {
            fs::remove_dir_all(desk.sandbox.data_dir().join("setups")).unwrap();
        }
        desk.setup(&["--host", "github.com", "--undo"]).succeeds();
        let left = fs::read_to_string(&config).unwrap_or_default();
        assert_eq!(left, "");
        assert_eq!(desk.git_config(), GIT_CONFIG);
    }
}

#[test]
fn a_bearer_host_can_use_a_configured_provider() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let own = "[providers.corp]\nissuer = \"https://login.corp.example\"\nclient_id = \"abc\"\n";
    crate::sandbox::private_file(&config, own);
    let set_up = [
        "--host",
        "git.corp.example",
        "--provider",
        "corp",
        "--bearer",
    ];
    desk.setup(&set_up).succeeds();
    let text = fs::read_to_string(&config).unwrap();
    let entry = "match = \"https://git.corp.example\"\nprovider = \"corp\"\ngit_bearer = true\n";
    assert!(text.starts_with(own) && text.contains(entry), "{text}");
    assert_eq!(
        desk.setup(&set_up).stdout.lines().next(),
        Some("nothing to change")
    );
    // Another host of the same provider takes the token as a password.
    desk.setup(&["--host", "other.corp.example", "--provider", "corp"])
        .succeeds();
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text.matches("git_bearer").count(), 1, "{text}");
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
}

#[test]
fn doctor_says_if_libgit2_ignores_the_section() {
    let desk = Desk::new();
    for (own, expected) in [
        ("", false),
        (
            "[credential \"https://codeberg.org\"]\n\tusername = me\n",
            true,
        ),
    ] {
        let path = desk.sandbox.home().join(".gitconfig");
        fs::write(&path, format!("{own}{GIT_CONFIG}")).unwrap();
        desk.setup(&["--host", "codeberg.org"]).succeeds();
        assert_eq!(
            desk.git_config().contains("https://codeberg.org/"),
            expected
        );
        let doctor = desk.sandbox.run(&["doctor", "git", "codeberg.org"]);
        let words = "libgit2 ignore sections with a port, a path or a trailing slash";
        assert_eq!(doctor.stdout.contains(words), expected, "{doctor}");
        desk.setup(&["--undo"]).succeeds();
    }
}

#[test]
fn plain_http_hosts_are_added_on_request_and_undone() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let text = || fs::read_to_string(&config).unwrap();
    let own = "# mine\n";
    crate::sandbox::private_file(&config, own);
    let plain = |host| ["--default", "--plain-http", host];
    desk.setup(&plain("Proxy.corp.example:3128")).succeeds();
    let one = "[git]\nplain_http_hosts = [\"http://proxy.corp.example:3128\"]\n";
    assert!(text().contains(one), "{}", text());
    desk.setup(&plain("http://intranet/")).succeeds();
    let two = "plain_http_hosts = [\"http://proxy.corp.example:3128\", \"http://intranet\"]\n";
    assert!(text().contains(two), "{}", text());
    // A set-up without the option changes nothing.
    let after = text();
    desk.setup(&["--default"]).succeeds();
    assert_eq!(text(), after);
    desk.setup(&["--default", "--undo"]).succeeds();
    assert_eq!(
        (text().as_str(), desk.git_config().as_str()),
        (own, GIT_CONFIG)
    );
    desk.setup(&plain("intranet")).succeeds();
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(
        (text().as_str(), desk.git_config().as_str()),
        (own, GIT_CONFIG)
    );

    for wrong in ["https://a.example", "http://a.example/team"] {
        desk.setup(&plain(wrong))
            .fails_saying(2, &["it must be a host, such as http://"]);
    }
    desk.setup(&["--plain-http", "intranet"])
        .fails_saying(2, &["--default"]);
    // The user's own table stays as it is.
    let own = "[git]\nplain_http_hosts = []\n";
    crate::sandbox::private_file(&config, own);
    desk.setup(&plain("intranet")).fails_saying(
        2,
        &[
            "config.toml has a `git` table already",
            "[\"http://intranet\"]",
        ],
    );
    assert_eq!(
        (text().as_str(), desk.git_config().as_str()),
        (own, GIT_CONFIG)
    );
}

/// On Windows, git is missing in the tests.
#[cfg(unix)]
#[test]
fn an_internationalized_host_is_set_up_in_both_spellings() {
    let mut desk = Desk::new();
    let config = desk.config_path();
    let before = fs::read(desk.sandbox.home().join(".gitconfig")).unwrap();
    for given in [
        "bücher.example",
        "xn--bcher-kva.example",
        "https://BÜCHER.example/team",
    ] {
        let host = ["--host", given];
        let provider = ["--provider", "forgejo"];
        desk.setup(&[host, provider].concat()).succeeds();
        let path = if given.ends_with("team") { "/team" } else { "" };
        for url in ["https://bücher.example", "https://xn--bcher-kva.example"] {
            assert_eq!(desk.helpers(&format!("{url}{path}")).len(), 2, "{given}");
        }
        let text = fs::read_to_string(&config).unwrap();
        assert!(
            text.contains("match = \"https://xn--bcher-kva.example"),
            "{text}"
        );
        let doctor = desk.sandbox.run(&["doctor", "git", given]);
        assert!(doctor.stdout.contains("git asks hallpass"), "{doctor}");
        assert!(!doctor.stdout.contains("helper 2"), "{doctor}");
        assert_eq!(doctor.stdout.matches("not asked").count(), 1, "{doctor}");
        // Another run changes nothing.
        let after = desk.git_config();
        desk.setup(&host).succeeds();
        assert_eq!(desk.git_config(), after);
        // It can be undone in the other spelling.
        let other = if given.contains("xn--") {
            "bücher.example"
        } else {
            given
        };
        desk.setup(&["--host", other, "--undo"]).succeeds();
        assert_eq!(
            fs::read(desk.sandbox.home().join(".gitconfig")).unwrap(),
            before,
            "{given}"
        );
    }
    // Also without a record of what was written.
    desk.setup(&["--host", "bücher.example", "--provider", "forgejo"])
        .succeeds();
    fs::remove_dir_all(desk.sandbox.data_dir().join("setups")).unwrap();
    desk.setup(&["--host", "bücher.example", "--undo"])
        .succeeds();
    assert_eq!(desk.git_config().replace("\n\n", "\n"), GIT_CONFIG);
}

#[test]
fn undo_leaves_the_users_later_lines_in_their_section() {
    for has_file in [true, false] {
        let desk = Desk::new();
        let file = desk.sandbox.home().join(".gitconfig");
        if has_file {
            fs::write(&file, "[user]\n\tname = x\n").unwrap();
        } else {
            let _ = fs::remove_file(&file);
        }
        desk.setup(&["--host", "codeberg.org"]).succeeds();
        let mut text = fs::read_to_string(&file).unwrap();
        text.push_str("\tusername = bob\n");
        fs::write(&file, text).unwrap();
        desk.setup(&["--undo"]).succeeds();
        let left = fs::read_to_string(&file).unwrap();
        let section = "[credential \"https://codeberg.org\"]\n\tusername = bob\n";
        assert!(left.ends_with(section), "{left}");
        assert!(!left.contains("helper"), "{left}");
    }
}

#[test]
fn a_block_with_a_later_line_is_neither_removed_nor_replaced() {
    let desk = Desk::new();
    let host = ["--host", "codeberg.org"];
    desk.setup(&host).succeeds();
    let file = desk.sandbox.home().join(".config/hallpass/config.toml");
    let text = fs::read_to_string(&file).unwrap() + "account = \"bob\"\n";
    fs::write(&file, &text).unwrap();
    let words = ["belongs to the block's last table", "nothing was changed"];
    let bearer = [&host[..], &["--bearer", "--provider", "codeberg"]].concat();
    for more in [&["--undo"][..], &bearer] {
        desk.setup(more).fails_saying(1, &words);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{more:?}");
    }
    // As the message says.
    let line = "account = \"bob\"\n";
    let last = text
        .rfind("# <<<")
        .unwrap_or_else(|| text.rfind("# ").unwrap());
    let moved = [
        &text[..last],
        line,
        text[last..].strip_suffix(line).unwrap(),
    ]
    .concat();
    fs::write(&file, moved).unwrap();
    desk.setup(&["--undo"]).succeeds();
    assert!(
        !fs::read_to_string(&file)
            .unwrap_or_default()
            .contains("bob")
    );
}

// --- doctor ---

#[test]
fn doctor_takes_no_registry_for_a_git_server() {
    let scene = crate::scene::Scene::new();
    for words in [
        ["git", "--host", "git.corp.example"].as_slice(),
        &["docker", "registry.corp.example"],
    ] {
        let words = [&["setup"], words, &["--provider", "corp"]].concat();
        scene.sandbox.run(&words).succeeds();
    }
    let doctor = scene.sandbox.run(&["doctor", "git"]);
    assert!(doctor.stdout.contains("git.corp.example"), "{doctor}");
    assert!(!doctor.stdout.contains("registry"), "{doctor}");
    // It is checked if the user names it.
    let named = scene
        .sandbox
        .run(&["doctor", "git", "registry.corp.example"]);
    let problem = "https://registry.corp.example: git does not ask hallpass";
    assert!(named.stdout.contains(problem), "{named}");
    // The hint names what a set-up of an unknown host needs.
    let unknown = scene.sandbox.run(&["doctor", "git", "unknown.example"]);
    let hint = "hallpass setup git --host https://unknown.example --provider NAME";
    assert!(unknown.stdout.contains(hint), "{unknown}");
}

#[test]
fn the_file_that_names_an_unknown_account_is_shown() {
    let scene = crate::scene::Scene::new();
    let home = scene.sandbox.home();
    let words = [
        "setup",
        "git",
        "--host",
        "git.corp.example",
        "--provider",
        "corp",
    ];
    scene.sandbox.run(&words).succeeds();
    let included = home.join("w.inc");
    fs::write(&included, "[hallpass]\n\taccount = wrok\n").unwrap();
    let git = home.join(".gitconfig");
    let text = fs::read_to_string(&git).unwrap() + "[include]\n\tpath = w.inc\n";
    fs::write(&git, text).unwrap();
    let doctor = scene.sandbox.run(&["doctor", "git", "git.corp.example"]);
    let words = format!("hallpass.account in {} names", shown_path(&included));
    assert!(doctor.stdout.contains(&words), "{doctor}");
}

/// A path as git shows it.
fn shown_path(path: &std::path::Path) -> String {
    path.display().to_string().replace('\\', "/")
}

#[test]
fn doctor_names_helpers_accounts_scopes_refusals_and_passwords_in_urls() {
    let mut scene = crate::scene::Scene::new();
    scene.configure(
        "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n\
         [[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n\
         account = \"work\"\nscopes = [\"openid\", \"offline_access\", \"write\"]\n",
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    scene.sandbox.set("PATH", path);
    fs::write(scene.sandbox.home().join(".gitconfig"), GIT_CONFIG).unwrap();
    let url = "https://git.corp.example/team/app.git";
    let doctor = |arguments: &[&str]| scene.sandbox.run(&[&["doctor", "git"], arguments].concat());
    assert_eq!(doctor(&[url]).code, Some(1));
    scene.sandbox.run(&["setup", "git"]).succeeds();
    let not_signed_in = doctor(&[url]);
    assert_eq!(not_signed_in.code, Some(1));
    for words in [
        "helper 1: ",
        "not asked, because an empty helper comes after it: store (file:",
        "not signed in to corp (account default, from the first matching entry",
        "hallpass login corp",
    ] {
        assert!(
            not_signed_in.stdout.contains(words),
            "{words}: {not_signed_in}"
        );
    }

    // The account that would answer is the one to sign in to.
    let at_work = doctor(&["https://work@git.corp.example/team/app.git"]);
    for words in [
        "not signed in to corp (account work, chosen by the user name in the URL)",
        "hallpass login corp --account work",
    ] {
        assert!(at_work.stdout.contains(words), "{words}: {at_work}");
    }

    let token = scene.get_token(&[]).token().to_owned();
    let well = doctor(&[url]);
    well.succeeds();
    let answers = "the account default of corp, alice answers (from the first matching entry";
    assert!(well.stdout.contains(answers), "{well}");
    let named = doctor(&["https://alice@git.corp.example/team/app.git"]);
    assert!(
        named.stdout.contains("chosen by the user name in the URL"),
        "{named}"
    );
    let stranger = doctor(&["https://mallory@git.corp.example/team/app.git"]);
    assert_eq!(stranger.code, Some(1));
    assert!(
        stranger.stdout.contains("the user name mallory"),
        "{stranger}"
    );

    // A refused token, which no later request has replaced yet.
    let refused = format!("protocol=https\nhost=git.corp.example\npassword={token}\n");
    scene
        .sandbox
        .run_with_input(&["git", "erase"], refused.as_bytes())
        .succeeds();
    let after = doctor(&[url]);
    assert!(after.stdout.contains("refused this token"), "{after}");

    // A password in the given URL is reported, and not shown.
    let leaky = doctor(&["https://alice:hunter2@git.corp.example/team/app.git"]);
    assert_eq!(leaky.code, Some(1));
    let fix = "use this URL instead: https://git.corp.example/team/app.git";
    for words in ["contains a password or token", fix] {
        assert!(leaky.stdout.contains(words), "{words}: {leaky}");
    }
    assert!(!leaky.stdout.contains("hunter2"), "{leaky}");
}

/// Runs real git in a folder of the home, with a list of `git config` arguments per line.
#[cfg(unix)]
fn git_in(scene: &crate::scene::Scene, folder: &Path, lines: &[&[&str]]) {
    for line in lines {
        let mut git = scene.sandbox.surround(Command::new("git"));
        assert!(
            git.current_dir(folder)
                .args(*line)
                .status()
                .unwrap()
                .success(),
            "{line:?}"
        );
    }
}

/// A scene with a session for a configured git server, and a repository in it. On Windows, git is
/// missing in the tests.
#[cfg(unix)]
struct Workplace {
    scene: crate::scene::Scene,
    work: PathBuf,
}

#[cfg(unix)]
impl Workplace {
    fn new() -> Self {
        let mut scene = crate::scene::Scene::new();
        let entry = "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n";
        scene.configure(entry);
        let path = std::env::var_os("PATH").unwrap_or_default();
        scene.sandbox.set("PATH", path);
        scene.sandbox.run(&["setup", "git"]).succeeds();
        scene.get_token(&[]).token();
        let work = scene.sandbox.home().join("work");
        fs::create_dir_all(work.join("below")).unwrap();
        git_in(&scene, &work, &[&["init", "-q"]]);
        Self { scene, work }
    }

    /// What the doctor says in a folder of the repository.
    fn doctor(&self) -> String {
        let hallpass = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        let mut hallpass = self.scene.sandbox.surround(hallpass);
        hallpass.args(["doctor", "git", "git.corp.example"]);
        let output = hallpass
            .current_dir(self.work.join("below"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), !said.contains("error "), "{said}");
        said
    }

    fn config(&self, line: &[&str]) {
        git_in(&self.scene, &self.work, &[&[&["config"], line].concat()]);
    }
}

#[cfg(unix)]
#[test]
fn doctor_fixes_what_keeps_git_from_asking() {
    let place = Workplace::new();
    assert!(!place.doctor().contains("error "));
    let leaky = "https://alice:hunter2@git.corp.example/a.git";
    // Values beside those that a hint removes.
    let replacement = "url.git@git.corp.example:.insteadOf";
    place.config(&["--global", replacement, "corp:"]);
    let headers = "http.https://git.corp.example.extraHeader";
    place.config(&[headers, "X-Team: one"]);
    for (line, problem) in [
        (
            &["remote.origin.url", leaky][..],
            "the URL of the remote origin contains a password",
        ),
        (
            &["remote.up.pushurl", leaky],
            "the URL of the remote up contains a password",
        ),
        (
            &["--global", "remote.all.url", leaky],
            "the URL of the remote all contains a password",
        ),
        (
            &[
                "--global",
                "--add",
                replacement,
                "https://git.corp.example/",
            ],
            "git uses git@git.corp.example: instead",
        ),
        (
            &["--add", headers, "Authorization: Basic eA=="],
            "`http.extraHeader` contains an Authorization header",
        ),
    ] {
        place.config(line);
        let said = place.doctor();
        assert!(
            said.contains(problem) && !said.contains("hunter2"),
            "{problem}: {said}"
        );
        // The command that it prints gets out of that state.
        let (_, after) = said.split_once(problem).unwrap();
        let fix = after.lines().nth(1).unwrap().trim();
        let mut shell = place.scene.sandbox.surround(Command::new("sh"));
        shell.args(["-c", fix]).current_dir(&place.work);
        assert!(shell.status().unwrap().success(), "{fix}");
        let said = place.doctor();
        assert!(!said.contains("error "), "{fix}: {said}");
    }
    for (key, value) in [(replacement, "corp:"), (headers, "X-Team: one")] {
        let mut git = place.scene.sandbox.surround(Command::new("git"));
        git.args(["config", "--get-all", key])
            .current_dir(&place.work);
        let output = git.output().unwrap().stdout;
        assert_eq!(String::from_utf8(output).unwrap().trim(), value);
    }
    // A key may contain a password too.
    let leaky = "http.https://me:hunter2@git.corp.example.extraHeader";
    place.config(&[leaky, "Authorization: Basic eA=="]);
    let said = place.doctor();
    assert!(said.contains("Authorization header"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[cfg(unix)]
#[test]
fn doctor_names_what_git_uses_first_and_who_answers() {
    let place = Workplace::new();
    place.config(&[
        "url.https://me:hunter2@git.corp.example/.insteadOf",
        "corp:",
    ]);
    let said = place.doctor();
    assert!(
        said.contains("a `url.<base>.insteadOf` setting contains"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    place.config(&[
        "--unset",
        "url.https://me:hunter2@git.corp.example/.insteadOf",
    ]);

    let netrc = place.scene.sandbox.home().join(".netrc");
    fs::write(
        &netrc,
        "machine git.corp.example login me password hunter2\n",
    )
    .unwrap();
    assert!(
        place
            .doctor()
            .contains("git uses the password in ~/.netrc before it asks hallpass")
    );
    fs::remove_file(&netrc).unwrap();

    // A helper of the repository comes after hallpass, one of the user's own before it.
    place.config(&["credential.helper", "store"]);
    let said = place.doctor();
    assert!(said.contains("helper 2: store (file:"), "{said}");
    assert!(
        said.contains("git gives it every token that worked"),
        "{said}"
    );
    place.config(&["--unset", "credential.helper"]);

    place.config(&["remote.ssh.url", "git@git.corp.example:a.git"]);
    assert!(
        place
            .doctor()
            .contains("the remote ssh uses SSH, so git never asks hallpass")
    );

    // Who answers, also in a folder of the repository.
    place.config(&["hallpass.account", "alice"]);
    let said = place.doctor();
    assert!(
        said.contains("answers (chosen by hallpass.account)"),
        "{said}"
    );
    place.config(&["hallpass.account", "alcie"]);
    let said = place.doctor();
    for words in [
        "names the account alcie",
        "(other accounts: default (alice))",
        "git config hallpass.account NAME",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    place.config(&["hallpass.account", "alice"]);
    place.config(&[
        "--global",
        "credential.https://git.corp.example.username",
        "alice",
    ]);
    let said = place.doctor();
    assert!(
        said.contains("answers (chosen by credential.username)"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn doctor_knows_the_limit_of_a_bearer_push() {
    for (version, setting, code, expected) in [
        ("2.47.3", None, 1, "larger than 1 MiB"),
        (
            "2.47.3",
            Some(("http.postBuffer", "2m")),
            0,
            "larger than 2 MiB",
        ),
        (
            "2.47.3",
            Some(("http.https://git.corp.example.postBuffer", "500m")),
            0,
            "larger than 500 MiB",
        ),
        (
            "2.47.3",
            Some(("http.https://other.example.postBuffer", "500m")),
            1,
            "larger than 1 MiB",
        ),
        ("2.39.5", None, 1, "which git 2.39 cannot send"),
        ("2.54.0", None, 0, "ok    git 2.54"),
    ] {
        let mut scene = crate::scene::Scene::new();
        scene.configure(
            "git_bearer = true\n[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n",
        );
        git_of_version(&mut scene.sandbox, version);
        scene.sandbox.run(&["setup", "git"]).succeeds();
        scene.get_token(&[]).token();
        if let Some((key, value)) = setting {
            git_in(
                &scene,
                scene.sandbox.home().as_path(),
                &[&["config", "--global", key, value]],
            );
        }
        let doctor = scene.sandbox.run(&["doctor", "git"]);
        assert_eq!(doctor.code, Some(code), "{version}: {doctor}");
        assert!(doctor.stdout.contains(expected), "{version}: {doctor}");
    }
}

/// On Windows, git is an executable, which no script can replace.
#[cfg(unix)]
#[test]
fn a_git_that_is_too_old_is_named() {
    let mut desk = Desk::new();
    desk.config_path();
    let folder = desk.sandbox.home().join("old");
    fs::create_dir(&folder).unwrap();
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo git version 2.20.1 && exit\nexit 129\n";
    crate::sandbox::script_file(&folder.join("git"), script);
    desk.sandbox.set("PATH", folder);
    for command in [
        &["setup", "git", "--default"],
        &["doctor", "git", "codeberg.org"],
    ] {
        let outcome = desk.sandbox.run(command);
        outcome.fails_saying(1, &["git 2.20.1 is too old", "update git to 2.26 or later"]);
    }
}

#[test]
fn doctor_checks_what_git_sends_to_a_mail_server() {
    let mut scene = crate::scene::Scene::new();
    let server = "smtp://mail.corp.example:587";
    scene.configure(&format!(
        "[[resources]]\nmatch = \"{server}\"\nprovider = \"corp\"\n"
    ));
    let path = std::env::var_os("PATH").unwrap_or_default();
    scene.sandbox.set("PATH", path);
    scene.sandbox.run(&["setup", "git"]).succeeds();
    scene.get_token(&[]).token();
    for (key, value, problem) in [
        (
            "sendemail.smtpEncryption",
            "tls",
            "may be reached without TLS",
        ),
        (
            "sendemail.smtpAuth",
            "XOAUTH2",
            "git send-email does not send a token, but a password",
        ),
    ] {
        let before = scene.sandbox.run(&["doctor", "git"]);
        assert_eq!(before.code, Some(1), "{before}");
        assert!(before.stdout.contains(problem), "{before}");
        let fix = format!("git config --global {key} {value}");
        assert!(before.stdout.contains(&fix), "{before}");
        let mut git = scene.sandbox.surround(Command::new("git"));
        git.args(["config", "--global", key, value]);
        assert!(git.status().unwrap().success());
    }
    scene.sandbox.run(&["doctor", "git"]).succeeds();
}

#[test]
fn a_helper_that_the_user_wrote_stays() {
    let desk = Desk::new();
    let own = "[credential]\n\thelper = !hallpass git\n\n[user]\n\tname = Me\n\n";
    let path = desk.sandbox.home().join(".gitconfig");
    fs::write(&path, own).unwrap();
    desk.setup(&["--default"]).succeeds();
    assert!(desk.git_config().contains("helper = !hallpass git\n"));
    // The same if the file has changed since, or the record is lost.
    fs::write(&path, desk.git_config() + "[core]\n\teditor = vi\n").unwrap();
    desk.setup(&["--undo"]).succeeds();
    assert_eq!(desk.git_config(), format!("{own}[core]\n\teditor = vi\n"));
}
