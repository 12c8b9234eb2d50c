//! Files on disk are encrypted, complete and inaccessible to other users.

use std::fs;
use std::path::PathBuf;

use crate::git::Git as _;
use crate::provider::Endpoint;
use crate::sandbox::{Sandbox, files_below, leaks};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

/// The files of the encrypted sessions.
fn records(scene: &Scene) -> Vec<PathBuf> {
    let sessions = scene.sandbox.data_dir().join("sessions");
    files_below(&sessions)
        .into_iter()
        .filter(|path| path.extension().is_none())
        .collect()
}

#[test]
fn no_file_contains_an_unencrypted_token() {
    let (mut scene, _) = Scene::signed_in();
    scene.advance(4000);
    scene.get_token(&[]).token();
    let secrets = scene.provider.secrets();
    assert!(secrets.len() > 6, "{}", secrets.len());
    let files = files_below(&scene.sandbox.home());
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for (what, secret) in &secrets {
            assert!(!leaks(&bytes, secret), "{what} in {}", file.display());
        }
    }
}

#[test]
fn two_home_directories_share_nothing() {
    let (mut scene, _) = Scene::signed_in();
    let other = Sandbox::new();
    let home = scene.sandbox.home();
    scene.sandbox.set("HOME", other.home());
    if cfg!(not(target_os = "linux")) {
        scene
            .sandbox
            .set("HALLPASS_DATA_DIR", other.home().join("data"));
    }
    scene.get_token(NEVER).fails_with(3);
    scene.get_token(&[]).token();
    scene.sandbox.run(&["logout", "--all"]).succeeds();
    scene.sandbox.set("HOME", &home);
    if cfg!(not(target_os = "linux")) {
        scene.sandbox.set("HALLPASS_DATA_DIR", home.join("data"));
    }
    scene.get_token(NEVER).token();
}

#[test]
fn a_relative_home_or_folder_is_never_used() {
    for name in [
        "HOME",
        "HALLPASS_DATA_DIR",
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
    ] {
        for value in ["relative", "./here", "~/home"] {
            let mut scene = Scene::new();
            scene.sandbox.set(name, value);
            let outcome = scene.get_token(NEVER);
            assert_ne!(outcome.code, Some(0), "{name}={value}: {outcome}");
            for made in ["relative", "here", "~"] {
                assert!(!scene.sandbox.root().join(made).exists(), "{name}={value}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_empty_home_does_not_mean_the_working_directory() {
    let mut scene = Scene::new();
    // The user database would name the real home, so only check what the command would create there.
    scene
        .sandbox
        .set("HALLPASS_DATA_DIR", scene.sandbox.root().join("data"));
    scene.sandbox.set("HOME", "");
    let before = fs::read_dir(scene.sandbox.root()).unwrap().count();
    scene.get_token(&[]).token();
    let after = fs::read_dir(scene.sandbox.root()).unwrap().count();
    assert_eq!(after, before + 1, "only the data folder may be created");
    assert!(scene.sandbox.root().join("data/sessions").exists());
}

#[test]
fn an_edited_cache_never_decides_where_the_refresh_token_goes() {
    let (mut scene, _) = Scene::signed_in();
    let folder = scene.sandbox.data_dir().join("metadata");
    let cached = files_below(&folder);
    assert!(cached.len() > 1, "the metadata and the keys: {cached:?}");
    let contents: Vec<_> = cached.iter().map(|path| fs::read(path).unwrap()).collect();
    for content in &contents {
        for word in ["token_endpoint", "jwks_uri", "\"kty\""] {
            assert!(!leaks(content, word), "{word} is in the clear");
        }
    }
    let hostile = br#"{"version":1,"value":{"document":{"token_endpoint":"http://127.0.0.1:9/"}}}"#;
    let mut edits = vec![vec![hostile.to_vec(); cached.len()]];
    // Each file in the place of another.
    edits.push(contents.iter().rev().cloned().collect());
    for edit in edits {
        for (path, content) in cached.iter().zip(edit) {
            fs::write(path, content).unwrap();
        }
        let (asked, refreshed) = (
            scene.provider.count(Endpoint::OpenidConfiguration),
            scene.provider.count(Endpoint::Refresh),
        );
        scene.advance(4000);
        scene.get_token(NEVER).token();
        assert_eq!(scene.provider.count(Endpoint::Refresh), refreshed + 1);
        assert!(scene.provider.count(Endpoint::OpenidConfiguration) > asked);
    }
    assert_eq!(files_below(&folder).len(), cached.len());
}

#[test]
fn a_damaged_record_is_an_error_and_is_not_deleted() {
    let (scene, _) = Scene::signed_in();
    for record in records(&scene) {
        let good = fs::read(&record).unwrap();
        for bad in [
            good[..good.len() / 2].to_vec(),
            [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat(),
            Vec::new(),
        ] {
            fs::write(&record, &bad).unwrap();
            let outcome = scene.get_token(&[]);
            outcome.fails_with(1);
            assert_eq!(
                fs::read(&record).unwrap(),
                bad,
                "neither deleted nor overwritten"
            );
        }
        fs::write(&record, good).unwrap();
    }
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn an_unknown_record_format_is_an_error_and_is_not_deleted() {
    let (scene, _) = Scene::signed_in();
    let record = &records(&scene)[0];
    let mut bytes = fs::read(record).unwrap();
    // The first bytes are the format version, and this version doesn't exist.
    for byte in bytes.iter_mut().take(8) {
        *byte = 0xfe;
    }
    fs::write(record, &bytes).unwrap();
    scene.get_token(&[]).fails_with(1);
    assert_eq!(&fs::read(record).unwrap(), &bytes);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_record_under_another_records_name_is_rejected() {
    let (mut scene, _) = Scene::signed_in();
    let first = records(&scene);
    scene.sandbox.person("bob");
    scene.add_account("work");
    let second: Vec<_> = records(&scene)
        .into_iter()
        .filter(|path| !first.contains(path))
        .collect();
    assert_eq!((first.len(), second.len()), (1, 1));
    // Bob's tokens under Alice's name.
    fs::copy(&second[0], &first[0]).unwrap();
    scene.get_token(NEVER).fails_with(1);
    scene.get_token(&["--account", "work"]).token();
}

#[test]
fn a_record_whose_key_is_lost_is_an_error_and_is_not_deleted() {
    let (scene, _) = Scene::signed_in();
    let contents = || -> Vec<_> {
        records(&scene)
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect()
    };
    let before = contents();
    let path = scene.sandbox.data_dir().join("key");
    let aside = scene.sandbox.root().join("aside");
    fs::rename(&path, &aside).unwrap();
    scene.get_token(&[]).fails_with(1);
    assert!(!path.exists(), "a new key was created");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(before, contents());
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_missing_or_damaged_key_file_loses_nothing() {
    let (scene, token) = Scene::signed_in();
    let path = scene.sandbox.data_dir().join("key.json");
    let good = fs::read(&path).unwrap();
    let damage: [&dyn Fn(); 2] = [&|| fs::write(&path, "{").unwrap(), &|| {
        fs::remove_file(&path).unwrap();
    }];
    for damage in damage {
        damage();
        assert_eq!(scene.get_token(NEVER).token(), token);
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn logout_all_removes_records_that_cannot_be_decrypted() {
    for lost in ["key", "key.json of a newer version"] {
        let (mut scene, _) = Scene::signed_in();
        scene.sandbox.person("bob");
        scene.add_account("work");
        let host = "protocol=https\nhost=else.example\n";
        let typed = format!("{host}username=me\npassword=typed\n");
        scene.sandbox.git("store", &typed).succeeds();
        let data = scene.sandbox.data_dir();
        if lost == "key" {
            fs::remove_file(data.join("key")).unwrap();
        } else {
            fs::write(data.join("key.json"), r#"{"version":9}"#).unwrap();
        }
        scene
            .get_token(&[])
            .fails_saying(1, &["hallpass logout --all"]);
        let outcome = scene.sandbox.run(&["logout", "--all"]);
        outcome.succeeds();
        for word in [
            "removed 2 sessions without revoking",
            "removed the passwords",
        ] {
            assert!(outcome.stderr.contains(word), "{word}: {outcome}");
        }
        assert_eq!(records(&scene).len(), 0, "{lost}");
        scene.get_token(&[]).token();
        scene.get_token(NEVER).token();
    }
}

#[test]
fn one_unreadable_record_blocks_no_others_and_can_be_removed() {
    let newer = |good: &[u8]| [&good[..8], &[9], &good[9..]].concat();
    let damaged = |good: &[u8]| good[..good.len() - 1].to_vec();
    let foreign = |good: &[u8]| [&good[..9], &[0; 16], &good[25..]].concat();
    for (what, spoil) in [
        ("newer", &newer as &dyn Fn(&[u8]) -> Vec<u8>),
        ("damaged", &damaged),
        ("foreign", &foreign),
    ] {
        let (mut scene, token) = Scene::signed_in();
        let first = records(&scene);
        scene.sandbox.person("bob");
        scene.add_account("work");
        let second: Vec<_> = records(&scene)
            .into_iter()
            .filter(|path| !first.contains(path))
            .collect();
        let good = fs::read(&second[0]).unwrap();
        fs::write(&second[0], spoil(&good)).unwrap();

        assert_eq!(scene.get_token(NEVER).token(), token, "{what}");
        let stuck = scene.get_token(&["--account", "work"]);
        stuck.fails_saying(1, &["hallpass logout --unreadable"]);
        let status = scene.sandbox.run(&["status"]);
        assert!(status.succeeds().stdout.contains("corp (account default)"));

        let outcome = scene.sandbox.run(&["logout", "--unreadable"]);
        let said = &outcome.succeeds().stderr;
        assert!(said.contains("removed 1 unreadable record"), "{outcome}");
        assert_eq!(scene.get_token(NEVER).token(), token, "{what}");
        scene.add_account("work");

        // Logging out of the other session still works, and so does `--all`.
        fs::write(&second[0], spoil(&good)).unwrap();
        let outcome = scene.sandbox.run(&["logout", "corp"]);
        assert!(
            outcome.succeeds().stderr.contains("logout --unreadable"),
            "{outcome}"
        );
        assert_eq!(records(&scene), second);
        scene.sandbox.run(&["logout", "--all"]).succeeds();
        assert_eq!(records(&scene).len(), 0, "{what}");
    }
}

#[test]
fn no_record_is_removed_because_others_can_read_the_key() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let (scene, _) = Scene::signed_in();
        let key = scene.sandbox.data_dir().join("key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        for line in [&["logout", "--unreadable"][..], &["logout", "--all"]] {
            scene.sandbox.run(line).fails_saying(1, &["chmod go-rwx"]);
            assert_eq!(records(&scene).len(), 1);
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        scene.get_token(NEVER).token();
    }
}

#[test]
fn a_conflicting_store_setting_suggests_moving_the_key() {
    let (mut scene, token) = Scene::signed_in();
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    scene
        .get_token(NEVER)
        .fails_saying(1, &["hallpass store move --to keyring", "store = \"file\""]);
    // The move first says which setting to change.
    scene
        .sandbox
        .run(&["store", "move", "--to", "file"])
        .fails_saying(2, &["store = \"file\"", "HALLPASS_STORE=file"]);
    // Signing out works with any setting.
    scene.sandbox.set("HALLPASS_STORE", "file");
    let moved = scene.sandbox.run(&["store", "move", "--to", "file"]);
    assert!(moved.succeeds().stderr.contains("already"), "{moved}");
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    let dry = ["store", "move", "--to", "keyring", "--dry-run"];
    let dry = scene.sandbox.run(&dry);
    let would = "Would move the key from the key file to the OS keyring\n";
    assert!(dry.succeeds().stdout == would, "{dry}");
    scene.sandbox.set("HALLPASS_STORE", "file");
    assert_eq!(scene.get_token(NEVER).token(), token);
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    let outcome = scene.sandbox.run(&["logout", "--all"]);
    assert!(
        outcome.succeeds().stderr.contains("signed out of corp"),
        "{outcome}"
    );
    assert!(scene.provider.count(Endpoint::Revocation) > 0);
}

#[test]
fn the_location_of_the_key_is_remembered() {
    let (mut scene, _) = Scene::signed_in();
    // Requesting another store is an error that loses nothing and causes no sign-in.
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    scene.get_token(&[]).fails_with(1);
    scene.sandbox.set("HALLPASS_STORE", "auto");
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn the_store_can_be_set_on_the_command_line() {
    let mut scene = Scene::new();
    scene.sandbox.unset("HALLPASS_STORE");
    scene.get_token(&["--store", "file"]).token();
    scene
        .get_token(&["--store", "file", "--interactive", "never"])
        .token();
    let mut scene = Scene::new();
    scene.sandbox.unset("HALLPASS_STORE");
    scene.configure_with_head("store = \"file\"\n", "");
    scene.get_token(&[]).token();
    scene.get_token(NEVER).token();
}

#[cfg(target_os = "linux")]
#[test]
fn a_missing_keyring_is_an_error_if_it_is_required() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    scene.get_token(&[]).fails_saying(1, &["keyring"]);
    assert_eq!(
        scene.sandbox.opened().len(),
        0,
        "found before anybody is asked"
    );
    assert_eq!(scene.provider.count(Endpoint::Authorize), 0);
}

#[test]
fn the_right_session_is_found_among_many() {
    let (mut scene, token) = Scene::signed_in();
    for account in ["a", "b", "c"] {
        scene.sandbox.person(account);
        scene.add_account(account);
    }
    assert_eq!(scene.get_token(NEVER).token(), token);
    assert_eq!(scene.sessions().len(), 4);
}

#[cfg(unix)]
mod whose_folder {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn folders_below(folder: &Path) -> Vec<PathBuf> {
        let mut folders = vec![folder.to_owned()];
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend(folders_below(&path));
            }
        }
        folders
    }

    #[test]
    fn no_other_user_can_read_a_folder_or_a_file() {
        let (scene, _) = Scene::signed_in();
        let data = scene.sandbox.data_dir();
        for folder in folders_below(&data) {
            assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        }
        for file in files_below(&data) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_permissive_umask_has_no_effect() {
        let scene = Scene::new();
        let mut shell = scene
            .sandbox
            .surround(std::process::Command::new("/bin/sh"));
        shell
            .args(["-c", "umask 000; exec \"$0\" get-token corp"])
            .arg(env!("CARGO_BIN_EXE_hallpass"));
        crate::sandbox::Running::new(shell, &["umask 000"])
            .wait()
            .token();
        let data = scene.sandbox.data_dir();
        for path in folders_below(&data).iter().chain(&files_below(&data)) {
            assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_folder_accessible_by_others_is_rejected_before_anything_is_written() {
        for open in [0o755, 0o770, 0o701] {
            let scene = Scene::new();
            let data = scene.sandbox.data_dir();
            fs::create_dir_all(&data).unwrap();
            set_mode(&data, open);
            let outcome = scene.get_token(&[]);
            outcome.fails_saying(1, &["mode", data.to_str().unwrap()]);
            assert_eq!(files_below(&data), [""; 0].map(PathBuf::from));
            assert_eq!(scene.sandbox.opened().len(), 0);
        }
    }

    #[test]
    fn a_record_readable_by_others_is_rejected() {
        let (scene, _) = Scene::signed_in();
        for record in records(&scene) {
            set_mode(&record, 0o644);
        }
        scene.get_token(NEVER).fails_with(1);
    }

    #[test]
    fn a_key_readable_by_others_is_rejected() {
        let (scene, _) = Scene::signed_in();
        set_mode(&scene.sandbox.data_dir().join("key"), 0o640);
        scene.get_token(NEVER).fails_with(1);
    }

    #[test]
    fn a_symlink_instead_of_the_folder_is_rejected() {
        let scene = Scene::new();
        let data = scene.sandbox.data_dir();
        let target = scene.sandbox.root().join("elsewhere");
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        fs::create_dir(&target).unwrap();
        set_mode(&target, 0o700);
        symlink(&target, &data).unwrap();
        scene.get_token(&[]).fails_saying(1, &["link"]);
        assert_eq!(
            fs::read_dir(&target).unwrap().count(),
            0,
            "nothing was written there"
        );
        assert_eq!(scene.sandbox.opened().len(), 0);
    }

    #[test]
    fn a_symlink_instead_of_a_record_is_rejected() {
        let (scene, _) = Scene::signed_in();
        let record = records(&scene).remove(0);
        let aside = scene.sandbox.root().join("aside");
        fs::rename(&record, &aside).unwrap();
        symlink(&aside, &record).unwrap();
        let bytes = fs::read(&aside).unwrap();
        scene.get_token(&[]).fails_with(1);
        assert_eq!(fs::read(&aside).unwrap(), bytes);
    }

    #[test]
    fn a_folder_of_another_user_is_rejected_before_anything_is_written() {
        let scene = Scene::new();
        let data = scene.sandbox.data_dir();
        fs::create_dir_all(&data).unwrap();
        set_mode(&data, 0o700);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&data, Some(65534), None).unwrap();
        } else {
            // A folder of root's that exists on every system.
            fs::remove_dir(&data).unwrap();
            let mut command = scene.sandbox.command();
            command
                .args(["get-token", "corp"])
                .env("HALLPASS_DATA_DIR", "/usr");
            let outcome = crate::sandbox::Running::new(command, &["in /usr"]).wait();
            outcome.fails_with(1);
            assert_eq!(scene.sandbox.opened().len(), 0);
            return;
        }
        scene.get_token(&[]).fails_saying(1, &["belongs to"]);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        assert_eq!(scene.sandbox.opened().len(), 0);
    }

    #[test]
    fn a_read_only_folder_is_detected_before_a_browser_opens() {
        let scene = Scene::new();
        let data = scene.sandbox.data_dir();
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        // A file in place of the folder stops even root.
        fs::write(&data, "in the way").unwrap();
        scene.get_token(&[]).fails_with(1);
        assert_eq!(scene.sandbox.opened().len(), 0);
        assert_eq!(fs::read_to_string(&data).unwrap(), "in the way");
    }
}

/// A scene without a session bus or a private kernel keyring, so that nothing can be saved.
#[cfg(target_os = "linux")]
fn nowhere() -> Scene {
    let mut scene = Scene::new();
    scene.sandbox.unset("HALLPASS_STORE");
    // Like a container, whose kernel keyring is shared.
    scene.sandbox.set("container", "podman");
    scene
}

#[cfg(target_os = "linux")]
#[test]
fn if_nothing_can_be_saved_setup_tool_and_page_say_so_and_the_hint_works() {
    let ways = [
        "store = \"file\"",
        "HALLPASS_STORE=file",
        "HALLPASS_DATA_DIR",
    ];
    let mut scene = nowhere();
    scene.configure("");
    let config = || fs::read_to_string(scene.sandbox.root().join("config.toml")).unwrap();
    let before = config();
    for line in [
        &[
            "setup",
            "git",
            "--host",
            "git.corp.example",
            "--provider",
            "corp",
            "--dry-run",
        ][..],
        &[
            "setup",
            "docker",
            "r.corp.example",
            "--provider",
            "corp",
            "--dry-run",
        ],
    ] {
        let outcome = scene.sandbox.run(line);
        outcome.succeeds();
        let warning = outcome.stderr.lines().find(|line| line.contains("warning"));
        for way in ways {
            assert!(warning.is_some_and(|line| line.contains(way)), "{outcome}");
        }
        assert_eq!(config(), before);
    }
    // The tool's message says the same on one line.
    let outcome = scene.get_token(&[]);
    outcome.token();
    let said: Vec<_> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("no session is saved"))
        .collect();
    assert_eq!(said.len(), 1, "{outcome}");
    for way in ways {
        assert!(said[0].contains(way), "{outcome}");
    }
    let page = scene.sandbox.page();
    assert!(page.body().contains("You are signed in"), "{}", page.body());
    assert!(
        !page.body().contains("saved your session"),
        "{}",
        page.body()
    );
    assert!(page.body().contains("sign in again"), "{}", page.body());

    scene.sandbox.set("HALLPASS_STORE", "file");
    let token = scene.get_token(&[]).token().to_owned();
    assert!(scene.sandbox.page().body().contains("saved your session"));
    assert_eq!(scene.get_token(NEVER).token(), token);
    let quiet = scene
        .sandbox
        .run(&["setup", "docker", "r.corp.example", "--provider", "corp"]);
    assert!(!quiet.succeeds().stderr.contains("saved"), "{quiet}");
}

#[test]
fn a_data_folder_that_cannot_be_created_is_named_and_another_one_works() {
    let mut scene = Scene::new();
    scene.configure("");
    let root = scene.sandbox.root().to_owned();
    // For root too, who may write into any folder.
    fs::write(root.join("file"), "").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir(root.join("locked")).unwrap();
        fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    }
    let line = ["setup", "docker", "r.corp.example", "--provider", "corp"];
    let config = scene.sandbox.home().join(".docker/config.json");
    let open = format!("chmod u+rwX {}`", root.join("locked").display());
    for (parent, hint) in [("file", "set HALLPASS_DATA_DIR"), ("locked", &open)] {
        if parent == "locked" && (cfg!(windows) || is_root()) {
            continue;
        }
        let data = root.join(parent).join("data");
        scene.sandbox.set("HALLPASS_DATA_DIR", &data);
        let refused = scene.sandbox.run(&line);
        refused.fails_saying(1, &["which `--undo` needs", hint]);
        assert!(!config.exists(), "{refused}");
        scene.get_token(&[]).fails_saying(1, &[hint]);
    }
    scene.sandbox.set("HALLPASS_DATA_DIR", root.join("other"));
    scene.sandbox.run(&line).succeeds();
    assert!(config.exists());
    scene.get_token(&[]).token();
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
