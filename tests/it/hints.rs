//! Every hint works in the state in which it is printed.
//!
//! `STATES` has a row for each variant of every error type with hints. A variant without a row fails
//! the first test. A row names the test that puts hallpass into the state, runs the hinted command
//! and checks that the state is resolved, or gives the reason why there is no such test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use Hint::{Check, Real, Runs, Unreached};

use crate::git::Git as _;
use crate::sandbox::{Outcome, Running, files_below};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

enum Hint {
    /// A test in this file runs the hinted command.
    Runs(&'static str),
    /// A case in `tests/real/cases` runs the hinted command, with the real part it needs.
    Real(&'static str, &'static str),
    /// The hint names something to edit or check, and no hallpass command.
    Check(&'static str),
    /// There is no hint, because the user can't do anything.
    None,
    /// The hint is another type's, which has its own rows or is covered by the reason.
    Of(&'static str),
    /// A test can't reach the state.
    Unreached(&'static str),
}

/// A variant's name and how its hint is tested.
type Row = (&'static str, Hint);

/// For each error type: its file, its name and a row for each variant.
const STATES: &[(&str, &str, &[Row])] = &[
    (
        "src/error/mod.rs",
        "Error",
        &[
            ("Usage", Runs("a_usage_error_suggests_help")),
            ("CommandLine", Runs("a_usage_error_suggests_help")),
            (
                "NoResource",
                Check("lines to add to config.toml: only the user knows the provider"),
            ),
            ("UnknownAccount", Check("a list of the known accounts")),
            (
                "WhichAccount",
                Runs("logout_with_several_accounts_suggests_one_or_all"),
            ),
            (
                "NotRegistered",
                Check("a registration at the provider comes first"),
            ),
            (
                "StoreSetOtherwise",
                Runs("the_hinted_setting_allows_moving_the_key"),
            ),
            (
                "Program",
                Unreached("the system does not know the path of a running program"),
            ),
            ("Tool", Hint::Of("a tool's own error type")),
            ("Reply", Hint::None),
            ("Config", Hint::Of("ConfigError")),
            ("Store", Hint::Of("StoreError")),
            ("Setup", Hint::Of("SetupError")),
            ("Session", Hint::Of("session::Error")),
        ],
    ),
    (
        "src/tools/docker/error.rs",
        "DockerError",
        &[
            ("ByteOrderMark", Check("a file of docker's in an editor")),
            ("WrongType", Check("a file of docker's in an editor")),
            ("OfRoot", Check("a folder that only root can give back")),
            ("NotAFolder", Check("a file where a folder must be")),
            (
                "StoreNotListed",
                Check("another program that does not work"),
            ),
        ],
    ),
    (
        "src/tools/git/error.rs",
        "GitError",
        &[
            ("NotStarted", Check("whether git is installed")),
            (
                "Unreadable",
                Check("the user's own line in git's configuration"),
            ),
            ("TooOld", Check("the installed version of git")),
        ],
    ),
    (
        "src/tools/kubectl/error.rs",
        "KubectlError",
        &[
            ("Failed", Check("whether kubectl is installed")),
            ("Rejected", Check("the user's own line in a kubeconfig")),
            ("Inaccessible", Check("a file that only root can give back")),
            (
                "Lacking",
                Check("a part of the kubeconfig that the user names"),
            ),
            (
                "SeveralDocuments",
                Check("a file of kubectl's in an editor"),
            ),
            ("DuplicateKey", Check("a file of kubectl's in an editor")),
            (
                "KubeconfigUnfit",
                Check("commands of kubectl that lay its file out again"),
            ),
            (
                "NotConverted",
                Check("a command with placeholders that the user fills in"),
            ),
        ],
    ),
    (
        "src/setup/error.rs",
        "SetupError",
        &[
            ("Unfit", Check("a file of another program")),
            ("Unusable", Check("a file of another program")),
            ("ReadOnly", Check("the program that generates the file")),
            ("Locked", Check("a file that another program holds")),
            ("NewerRecord", Check("an update of hallpass")),
            (
                "UnreadableRecords",
                Check("a folder that root could read, so a real case tests it"),
            ),
            (
                "UnwritableRecord",
                Check("a folder that only the user can choose"),
            ),
        ],
    ),
    (
        "src/config/error.rs",
        "ConfigError",
        &[
            (
                "Entry",
                Check("a line of the configuration; see config_errors"),
            ),
            ("Given", Hint::None),
            ("Unreadable", Hint::None),
            ("Unwritable", Check("the disk and the folder of a file")),
            (
                "Busy",
                Unreached(
                    "a minute's wait; a set-up that waits names the process after two seconds",
                ),
            ),
            ("NotAnObject", Check("a JSON file of another program")),
            (
                "Untrusted",
                Runs("the_hinted_chmod_repairs_a_configuration_that_others_can_write"),
            ),
            ("Absent", Check("the value of HALLPASS_CONFIG")),
            ("RelativeFolder", Hint::None),
            ("NoHome", Check("the value of HOME")),
            ("UnknownProvider", Check("a list of the known providers")),
            (
                "NoProvider",
                Check("commands with placeholders: only the user knows the provider"),
            ),
            (
                "SeveralProviders",
                Check("a list of the configured providers"),
            ),
            (
                "Missing",
                Check("lines to write, whose values only the user knows"),
            ),
            (
                "Unregistered",
                Check("a registration at the provider comes first"),
            ),
            ("OpenIdWithoutIssuer", Check("a line of the configuration")),
            ("NotInPreset", Check("a line of the configuration")),
            ("Secret", Check("the file of a client secret")),
        ],
    ),
    (
        "src/store/error.rs",
        "StoreError",
        &[
            (
                "NoHome",
                Unreached("the user database of the tests' own user has a home folder"),
            ),
            (
                "RelativeHome",
                Runs("the_hinted_variable_replaces_an_unusable_data_folder"),
            ),
            (
                "RelativeDataDir",
                Runs("the_hinted_variable_replaces_an_unusable_data_folder"),
            ),
            (
                "NoMachineId",
                Unreached("it takes a network file system and a machine without an ID"),
            ),
            (
                "IsALink",
                Runs("the_hinted_variable_replaces_an_unusable_data_folder"),
            ),
            (
                "NotOurs",
                Runs("the_hinted_variable_replaces_an_unusable_data_folder"),
            ),
            (
                "TooOpen",
                Runs("the_hinted_chmod_closes_a_folder_that_others_can_access"),
            ),
            (
                "NotAFolder",
                Runs("the_hinted_variable_replaces_an_unusable_data_folder"),
            ),
            ("NotAFile", Check("what is in the place of a file")),
            (
                "Io",
                Real(
                    "set_ups",
                    "a_read_only_home_is_named_before_anything_is_set_up_and_the_way_out_works",
                ),
            ),
            (
                "UnknownFormat",
                Runs("the_hinted_command_removes_an_unreadable_record"),
            ),
            (
                "ForeignKey",
                Runs("the_hinted_command_removes_an_unreadable_record"),
            ),
            (
                "Damaged",
                Runs("the_hinted_command_removes_an_unreadable_record"),
            ),
            ("NotJson", Hint::None),
            (
                "RecordsWithoutKey",
                Runs("the_hinted_command_allows_replacing_a_lost_key"),
            ),
            (
                "KeyMissing",
                Runs("the_hinted_command_allows_replacing_a_lost_key"),
            ),
            (
                "KeyDamaged",
                Runs("the_hinted_command_allows_replacing_a_lost_key"),
            ),
            (
                "KeyFileDamaged",
                Runs("the_hinted_command_allows_replacing_a_lost_key"),
            ),
            (
                "KeyFileNewer",
                Runs("the_hinted_command_allows_replacing_a_lost_key"),
            ),
            (
                "KeyChanged",
                Unreached("another process replaces the key within one command"),
            ),
            (
                "OtherPlace",
                Real(
                    "key_recovery",
                    "changing_the_store_setting_suggests_moving_the_key",
                ),
            ),
            (
                "OnlyPlace",
                Real(
                    "kernel_keyring",
                    "as_the_only_store_it_works_in_every_session_of_the_user",
                ),
            ),
            ("NoRandomness", Hint::None),
            (
                "Keyring",
                Runs("the_hinted_variable_replaces_a_missing_keyring"),
            ),
            (
                "Kernel",
                Real(
                    "kernel_keyring",
                    "hallpass_works_where_the_kernel_keyring_fails_with_eperm",
                ),
            ),
            ("LockTimedOut", Runs("the_hinted_kill_releases_a_held_lock")),
            (
                "NotSaved",
                Runs("the_hinted_variable_replaces_a_store_that_saves_nothing"),
            ),
        ],
    ),
    (
        "src/session/error.rs",
        "Error",
        &[
            ("Config", Hint::Of("ConfigError")),
            ("Store", Hint::Of("StoreError")),
            ("Http", Hint::Of("HttpError")),
            (
                "Discovery",
                Check("the issuer, against the provider's documentation"),
            ),
            (
                "NoMetadata",
                Check("the issuer, against the provider's documentation"),
            ),
            (
                "MetadataMoved",
                Check("the issuer, against the provider's documentation"),
            ),
            (
                "NoEndpoint",
                Check("an endpoint that only the provider's documentation names"),
            ),
            (
                "Token",
                Check("the registration at the provider, or a provider in trouble"),
            ),
            ("LostResponse", Check("the network")),
            ("IdToken", Check("the registration at the provider")),
            ("UntimelyIdToken", Check("this machine's clock")),
            ("NoIdToken", Check("the registration at the provider")),
            ("NoOpenIdScope", Check("the scopes of the provider")),
            (
                "Browser",
                Runs("the_hinted_flag_avoids_a_browser_that_does_not_start"),
            ),
            (
                "Device",
                Check("the other flow, which the provider may not have either"),
            ),
            (
                "Mixup",
                Check("the open tabs, and `issuer`: reaching it takes an attack"),
            ),
            (
                "SignInNeeded",
                Runs("the_hinted_command_completes_a_missed_sign_in"),
            ),
            (
                "Declined",
                Runs("the_hinted_command_completes_a_missed_sign_in"),
            ),
            (
                "TimedOut",
                Runs("the_hinted_command_completes_a_missed_sign_in"),
            ),
            (
                "ProviderRefused",
                Check("a provider that ends each sign-in: the command is the same again"),
            ),
            (
                "CoolingDown",
                Runs("the_hinted_command_completes_a_missed_sign_in"),
            ),
            (
                "SignInCrashed",
                Unreached("a process is killed between two looks at one file"),
            ),
            (
                "NotAnswered",
                Runs("the_hinted_command_completes_a_missed_sign_in"),
            ),
            ("Elsewhere", Hint::Of("session::Error")),
            ("RefreshPaused", Check("the seconds until the next try")),
            (
                "OtherSignInFailed",
                Unreached("the state ends with the process that waited"),
            ),
            (
                "OtherPerson",
                Runs("the_hinted_command_creates_an_account_for_a_different_person"),
            ),
            (
                "UnknownPerson",
                Check("a provider that does not answer now"),
            ),
            (
                "NotAccepted",
                Check("permissions at the server that refused the token"),
            ),
            (
                "SignedOutMeanwhile",
                Unreached("a sign-out falls into another command's request"),
            ),
            (
                "Exchange",
                Check("permissions at the registry, or a registry in trouble"),
            ),
            (
                "Vanished",
                Unreached("a session is removed between two reads of one command"),
            ),
        ],
    ),
    (
        "src/http/error.rs",
        "HttpError",
        &[
            ("PlainHttp", Check("an address of the provider")),
            ("TimedOut", Check("the network")),
            ("Unreachable", Check("the network")),
            ("Proxy", Check("the value of HTTPS_PROXY; see network")),
            (
                "ProxyLogin",
                Check("the value of HTTPS_PROXY, with a password that only the user knows"),
            ),
            (
                "Certificate",
                Check("the clock, or a CA's file that only the user has"),
            ),
            ("NoAuthorities", Check("the system's CA certificates")),
            ("NotTls", Check("the network")),
            ("NetworkSignIn", Check("the network's own sign-in page")),
            ("Interrupted", Check("the network")),
            ("Redirect", Check("an address of the provider")),
            ("TooLarge", Check("an address of the provider")),
            ("CaFile", Check("the value of ca_file")),
            ("Tls", Hint::None),
        ],
    ),
];

#[test]
fn every_error_variant_has_a_row_with_a_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let own = read("tests/it/hints.rs").replace("\r\n", "\n");
    for path in files_below(&root.join("src/tools")) {
        let path = path.strip_prefix(root).unwrap();
        assert!(
            !path.ends_with("error.rs") || STATES.iter().any(|(file, ..)| path == Path::new(file)),
            "{} has no rows",
            path.display()
        );
    }
    for (file, name, rows) in STATES {
        let text = read(file);
        let body = text.split_once(&format!("pub enum {name} {{")).unwrap().1;
        let body = body.split_once("\n}\n").unwrap().0;
        let variants: BTreeSet<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(char::is_uppercase))
            .map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap())
            .collect();
        let listed: BTreeSet<&str> = rows.iter().map(|(variant, _)| *variant).collect();
        assert_eq!(variants, listed, "{name} in {file}");
        for (variant, hint) in *rows {
            match hint {
                Runs(function) => {
                    let definition = format!("#[test]\nfn {function}()");
                    assert!(own.contains(&definition), "{name}::{variant}: {function}");
                }
                Real(cases, case) => {
                    let cases = read(&format!("tests/real/cases/{cases}.py"));
                    assert!(cases.contains(&format!("def {case}(rig")), "{case}");
                }
                Check(why) | Unreached(why) | Hint::Of(why) => {
                    assert!(!why.is_empty(), "{name}::{variant}");
                }
                Hint::None => (),
            }
        }
    }
}

/// The commands in the hint of a failed command, except those with placeholders.
#[track_caller]
fn commands(failed: &Outcome) -> Vec<String> {
    let (_, hint) = failed
        .stderr
        .split_once("hint: ")
        .unwrap_or_else(|| panic!("no hint: {failed}"));
    let quoted = hint.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Runs the only hinted command that begins with `begin`, in a shell, as the user would.
#[track_caller]
fn run_hint(scene: &Scene, failed: &Outcome, begin: &str) -> Outcome {
    let commands = commands(failed);
    let Some(command) = commands.iter().find(|one| one.starts_with(begin)) else {
        panic!("no `{begin}…` in {commands:?}: {failed}");
    };
    run(scene, command)
}

fn run(scene: &Scene, command: &str) -> Outcome {
    let folder = Path::new(env!("CARGO_BIN_EXE_hallpass")).parent().unwrap();
    Running::new(shell(scene, command, folder), &[command]).wait()
}

#[cfg(windows)]
fn shell(scene: &Scene, command: &str, folder: &Path) -> Command {
    use std::os::windows::process::CommandExt as _;
    let mut shell = scene.sandbox.surround(Command::new("cmd.exe"));
    shell.raw_arg("/d /c").raw_arg(command).env("PATH", folder);
    shell
}

#[cfg(unix)]
fn shell(scene: &Scene, command: &str, folder: &Path) -> Command {
    let mut shell = scene.sandbox.surround(Command::new("/bin/sh"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    shell.args(["-c", command]).env("PATH", path);
    shell
}

fn record(scene: &Scene) -> std::path::PathBuf {
    let sessions = scene.sandbox.data_dir().join("sessions");
    let mut files = files_below(&sessions);
    files.retain(|path| path.extension().is_none());
    files.remove(0)
}

#[test]
fn a_usage_error_suggests_help() {
    let scene = Scene::new();
    let failed = scene.sandbox.run(&["get-token", "--client-id", "x"]);
    failed.fails_with(2);
    assert_eq!(commands(&failed), ["--help"]);
    run(&scene, "hallpass get-token --client-id x --help").succeeds();
}

#[test]
fn logout_with_several_accounts_suggests_one_or_all() {
    let (scene, _) = Scene::signed_in();
    scene.add_account("work");
    let failed = scene.sandbox.run(&["logout", "corp"]);
    failed.fails_with(2);
    let one = commands(&failed).remove(0).replace("NAME", "work");
    run(&scene, &one).succeeds();
    assert_eq!(scene.sessions().len(), 1);
    scene.sandbox.run(&["logout", "corp"]).succeeds();
}

#[test]
fn the_hinted_setting_allows_moving_the_key() {
    let (mut scene, token) = Scene::signed_in();
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    let failed = scene.sandbox.run(&["store", "move", "--to", "file"]);
    failed.fails_saying(2, &["HALLPASS_STORE=file"]);
    scene.sandbox.set("HALLPASS_STORE", "file");
    run_hint(&scene, &failed, "hallpass store move").succeeds();
    assert_eq!(scene.get_token(NEVER).token(), token);
}

/// Windows has no modes.
#[cfg(unix)]
#[test]
fn the_hinted_chmod_repairs_a_configuration_that_others_can_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new();
    scene.configure("");
    let path = scene.sandbox.root().join("config.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let failed = scene.get_token(&[]);
    failed.fails_saying(2, &["run: chmod go-w "]);
    let command = failed.stderr.split_once("run: ").unwrap().1.trim();
    run(&scene, command).succeeds();
    scene.get_token(&[]).token();
}

#[test]
fn the_hinted_variable_replaces_an_unusable_data_folder() {
    type State<'a> = (&'a str, &'a dyn Fn(&mut Scene));
    let states: &[State<'_>] = &[
        #[cfg(unix)]
        ("link", &|scene| {
            let data = scene.sandbox.data_dir();
            fs::create_dir_all(data.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(scene.sandbox.root(), &data).unwrap();
        }),
        ("not a folder", &|scene| {
            let data = scene.sandbox.data_dir();
            fs::create_dir_all(data.parent().unwrap()).unwrap();
            fs::write(&data, "").unwrap();
        }),
        #[cfg(unix)]
        ("belongs to", &|scene| {
            scene.sandbox.set("HALLPASS_DATA_DIR", "/usr");
        }),
        ("not an absolute path", &|scene| {
            scene.sandbox.set("HALLPASS_DATA_DIR", "here");
        }),
        #[cfg(unix)]
        ("home folder", &|scene| {
            scene.configure("");
            scene.sandbox.set("HOME", "here");
        }),
    ];
    for (words, spoil) in states {
        // Everything in /usr belongs to root.
        #[cfg(unix)]
        if *words == "belongs to" && rustix::process::geteuid().is_root() {
            continue;
        }
        let mut scene = Scene::new();
        spoil(&mut scene);
        let failed = scene.get_token(&[]);
        let code = failed.code.unwrap();
        failed.fails_saying(code, &[words]);
        if *words == "home folder" {
            assert!(failed.stderr.contains("HOME"), "{failed}");
            let home = scene.sandbox.root().join("home");
            scene.sandbox.set("HOME", home);
        } else {
            assert!(failed.stderr.contains("HALLPASS_DATA_DIR"), "{failed}");
            let other = scene.sandbox.root().join("other");
            scene.sandbox.set("HALLPASS_DATA_DIR", other);
        }
        scene.get_token(&[]).token();
        scene.get_token(NEVER).token();
    }
}

/// Windows has no modes.
#[cfg(unix)]
#[test]
fn the_hinted_chmod_closes_a_folder_that_others_can_access() {
    use std::os::unix::fs::PermissionsExt as _;
    let (scene, token) = Scene::signed_in();
    for path in [
        scene.sandbox.data_dir(),
        record(&scene),
        scene.sandbox.data_dir().join("key"),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let failed = scene.get_token(NEVER);
        failed.fails_with(1);
        run_hint(&scene, &failed, "chmod ").succeeds();
        assert_eq!(scene.get_token(NEVER).token(), token);
    }
}

#[test]
fn the_hinted_command_removes_an_unreadable_record() {
    let (scene, _) = Scene::signed_in();
    scene.add_account("work");
    let path = record(&scene);
    let good = fs::read(&path).unwrap();
    for bad in [
        [&good[..8], &[9], &good[9..]].concat(),
        [&good[..9], &[0; 16], &good[25..]].concat(),
        b"damaged".to_vec(),
    ] {
        fs::write(&path, &bad).unwrap();
        let outcomes = [
            scene.get_token(NEVER),
            scene.get_token(&["--account", "work", "--interactive", "never"]),
        ];
        let failed: Vec<_> = outcomes.iter().filter(|one| one.code != Some(0)).collect();
        assert_eq!(
            failed.len(),
            1,
            "one unreadable record must not affect others"
        );
        run_hint(&scene, failed[0], "hallpass logout --unreadable").succeeds();
        assert!(!path.exists());
        assert_eq!(scene.sessions().len(), 1);
        crate::sandbox::private_file(&path, "");
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn the_hinted_command_allows_replacing_a_lost_key() {
    for state in [
        "key gone",
        "key damaged",
        "key.json damaged",
        "key.json gone",
        "key.json newer",
    ] {
        let (scene, _) = Scene::signed_in();
        let host = "protocol=https\nhost=else.example\n";
        let typed = format!("{host}username=me\npassword=typed\n");
        scene.sandbox.git("store", &typed).succeeds();
        let data = scene.sandbox.data_dir();
        match state {
            "key damaged" => fs::write(data.join("key"), "hunter2").unwrap(),
            "key.json newer" => fs::write(data.join("key.json"), r#"{"version":9}"#).unwrap(),
            _ => fs::remove_file(data.join("key")).unwrap(),
        }
        match state {
            "key.json damaged" => fs::write(data.join("key.json"), "{").unwrap(),
            "key.json gone" => fs::remove_file(data.join("key.json")).unwrap(),
            _ => (),
        }
        let failed = scene.get_token(&[]);
        failed.fails_with(1);
        run_hint(&scene, &failed, "hallpass logout --all").succeeds();
        scene.get_token(&[]).token();
        scene.get_token(NEVER).token();
        scene.sandbox.git("store", &typed).succeeds();
        assert!(
            scene
                .sandbox
                .git("get", host)
                .stdout
                .contains("password=typed"),
            "{state}"
        );
    }
}

/// macOS and Windows always have a keyring.
#[cfg(target_os = "linux")]
#[test]
fn the_hinted_variable_replaces_a_missing_keyring() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    scene
        .get_token(&[])
        .fails_saying(1, &["HALLPASS_STORE=file"]);
    scene.sandbox.set("HALLPASS_STORE", "file");
    scene.get_token(&[]).token();

    // As if the keyring with the key had been deleted.
    let path = scene.sandbox.data_dir().join("key.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"file\"", "\"keyring\"")).unwrap();
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    let failed = scene.get_token(NEVER);
    failed.fails_with(1);
    run_hint(&scene, &failed, "hallpass logout --all --unreadable").succeeds();
    scene.sandbox.set("HALLPASS_STORE", "file");
    scene.get_token(&[]).token();
}

#[cfg(target_os = "linux")]
#[test]
fn the_hinted_kill_releases_a_held_lock() {
    let (mut scene, _) = Scene::signed_in();
    scene.sandbox.set("HALLPASS_HTTP_TIMEOUT", "1");
    let lock = record(&scene).with_extension("lock");
    // The lock is released when `flock` exits, not when its child does.
    let mut holder = Command::new("flock")
        .args([
            "--close".as_ref(),
            lock.as_os_str(),
            "sleep".as_ref(),
            "60".as_ref(),
        ])
        .spawn()
        .expect("util-linux's flock");
    crate::sandbox::wait_for("the lock", || {
        let file = fs::File::open(&lock).ok()?;
        file.try_lock().is_err().then_some(())
    });
    let failed = scene.get_token(&["--force-refresh"]);
    failed.fails_saying(1, &[&format!("process {} (flock)", holder.id())]);
    run_hint(&scene, &failed, "kill ").succeeds();
    holder.wait().unwrap();
    scene.get_token(&["--force-refresh"]).token();
}

#[test]
fn the_hinted_variable_replaces_a_store_that_saves_nothing() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_STORE", "none");
    let typed = br#"{"ServerURL":"https://r.example","Username":"me","Secret":"typed"}"#;
    let failed = scene.sandbox.run_with_input(&["docker", "store"], typed);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("HALLPASS_STORE=file"), "{failed}");
    scene.sandbox.set("HALLPASS_STORE", "file");
    scene
        .sandbox
        .run_with_input(&["docker", "store"], typed)
        .succeeds();
}

#[test]
fn the_hinted_flag_avoids_a_browser_that_does_not_start() {
    let mut scene = Scene::new();
    let browser = crate::sandbox::browser_command();
    scene.sandbox.set("BROWSER", "no-such-browser");
    let failed = scene.get_token(&["--flow", "browser"]);
    failed.fails_saying(1, &["BROWSER", "--flow device"]);
    scene.sandbox.set("BROWSER", browser);
    scene.get_token(&["--flow", "browser"]).token();
}

#[test]
fn the_hinted_command_completes_a_missed_sign_in() {
    for (state, code) in [
        ("needed", 3),
        ("declined", 4),
        ("cooling down", 4),
        ("timed out", 4),
        ("not answered twice", 4),
    ] {
        let mut scene = Scene::new();
        let failed = match state {
            "needed" => scene.get_token(NEVER),
            "not answered twice" => {
                scene.sandbox.browser_will("ignore");
                scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
                for _ in 0..2 {
                    scene.get_token(&[]).fails_with(4);
                    scene.advance(3600);
                }
                scene.get_token(&[])
            }
            "timed out" => {
                scene.sandbox.browser_will("ignore");
                scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "1");
                scene.get_token(&[])
            }
            _ => {
                scene.sandbox.browser_will("decline");
                let declined = scene.get_token(&[]);
                if state == "declined" {
                    declined
                } else {
                    scene.get_token(&[])
                }
            }
        };
        failed.fails_with(code);
        scene.sandbox.browser_will("sign-in");
        scene.sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "20");
        run_hint(&scene, &failed, "hallpass login").succeeds();
        scene.get_token(NEVER).token();
    }
}

#[test]
fn the_hinted_command_creates_an_account_for_a_different_person() {
    let (mut scene, token) = Scene::signed_in();
    scene.sandbox.person("bob");
    let failed = scene.login(&[]);
    failed.fails_with(1);
    let another = commands(&failed)
        .into_iter()
        .find(|command| command.contains("--account"))
        .unwrap();
    run(&scene, &another).succeeds();
    assert_eq!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.sessions().len(), 2);
}
