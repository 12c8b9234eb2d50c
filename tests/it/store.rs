//! What is kept on disk: sealed, whole, and in nobody else's reach.

use std::fs;
use std::path::PathBuf;

use crate::provider::Endpoint;
use crate::sandbox::{Sandbox, files_below, leaks};
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

/// The files of the sealed sessions.
fn records(scene: &Scene) -> Vec<PathBuf> {
    let sessions = scene.sandbox.data_dir().join("sessions");
    files_below(&sessions)
        .into_iter()
        .filter(|path| path.extension().is_none())
        .collect()
}

#[test]
fn no_token_is_in_any_file_in_the_clear() {
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
fn two_homes_of_one_user_know_nothing_of_each_other() {
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
fn a_home_or_a_folder_that_is_not_absolute_is_refused_or_ignored_but_never_used() {
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
fn an_empty_home_is_not_the_working_directory() {
    let mut scene = Scene::new();
    // The user database would name the real home: only what is asked for is looked at there.
    scene
        .sandbox
        .set("HALLPASS_DATA_DIR", scene.sandbox.root().join("data"));
    scene.sandbox.set("HOME", "");
    let before = fs::read_dir(scene.sandbox.root()).unwrap().count();
    scene.get_token(&[]).token();
    let after = fs::read_dir(scene.sandbox.root()).unwrap().count();
    assert_eq!(after, before + 1, "the data folder, and nothing else");
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
    // Each in the place of another one.
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
fn a_record_that_is_damaged_is_an_error_and_is_kept() {
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
fn a_format_that_nobody_knows_is_an_error_and_is_kept() {
    let (scene, _) = Scene::signed_in();
    let record = &records(&scene)[0];
    let mut bytes = fs::read(record).unwrap();
    // The format's version stands in the first bytes; whichever it is, it is not this one.
    for byte in bytes.iter_mut().take(8) {
        *byte = 0xfe;
    }
    fs::write(record, &bytes).unwrap();
    scene.get_token(&[]).fails_with(1);
    assert_eq!(&fs::read(record).unwrap(), &bytes);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_record_under_another_ones_name_is_refused() {
    let (mut scene, _) = Scene::signed_in();
    let first = records(&scene);
    scene.sandbox.person("bob");
    scene.get_token(&["--account", "work"]).token();
    let second: Vec<_> = records(&scene)
        .into_iter()
        .filter(|path| !first.contains(path))
        .collect();
    assert_eq!((first.len(), second.len()), (1, 1));
    // Bob's tokens under alice's name.
    fs::copy(&second[0], &first[0]).unwrap();
    scene.get_token(NEVER).fails_with(1);
    scene.get_token(&["--account", "work"]).token();
}

#[test]
fn a_record_whose_key_is_lost_is_an_error_and_is_kept() {
    let (scene, _) = Scene::signed_in();
    let before: Vec<_> = records(&scene)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    for name in ["key", "key.json"] {
        let path = scene.sandbox.data_dir().join(name);
        let aside = scene.sandbox.root().join("aside");
        fs::rename(&path, &aside).unwrap();
        scene.get_token(&[]).fails_with(1);
        assert!(!path.exists(), "no other key is made over it");
        fs::rename(&aside, &path).unwrap();
    }
    let after: Vec<_> = records(&scene)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!(before, after);
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn the_place_of_the_key_is_remembered() {
    let (mut scene, _) = Scene::signed_in();
    // Whoever asks for another place now is told, and nothing is forgotten or signed in anew.
    scene.sandbox.set("HALLPASS_STORE", "keyring");
    scene.get_token(&[]).fails_with(1);
    scene.sandbox.set("HALLPASS_STORE", "auto");
    scene.get_token(NEVER).token();
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn the_store_can_be_named_on_the_command_line() {
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
fn a_keyring_that_is_not_there_is_an_error_where_it_was_demanded() {
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
fn a_home_full_of_sessions_is_answered_with_the_right_one() {
    let (mut scene, token) = Scene::signed_in();
    for account in ["a", "b", "c"] {
        scene.sandbox.person(account);
        scene.get_token(&["--account", account]).token();
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
    fn nobody_else_can_read_a_folder_or_a_file() {
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
    fn a_generous_umask_changes_nothing() {
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
    fn a_folder_that_others_can_reach_is_refused_before_anything_is_written() {
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
    fn a_record_that_others_can_read_is_refused() {
        let (scene, _) = Scene::signed_in();
        for record in records(&scene) {
            set_mode(&record, 0o644);
        }
        scene.get_token(NEVER).fails_with(1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (scene, _) = Scene::signed_in();
        set_mode(&scene.sandbox.data_dir().join("key"), 0o640);
        scene.get_token(NEVER).fails_with(1);
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
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
    fn a_link_in_the_place_of_a_record_is_refused() {
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
    fn a_folder_of_another_user_is_refused_before_anything_is_written() {
        let scene = Scene::new();
        let data = scene.sandbox.data_dir();
        fs::create_dir_all(&data).unwrap();
        set_mode(&data, 0o700);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&data, Some(65534), None).unwrap();
        } else {
            // A folder of root's, which everybody has.
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
    fn a_folder_that_cannot_be_written_is_found_before_a_browser_opens() {
        let scene = Scene::new();
        let data = scene.sandbox.data_dir();
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        // A file in the folder's place stops root too.
        fs::write(&data, "in the way").unwrap();
        scene.get_token(&[]).fails_with(1);
        assert_eq!(scene.sandbox.opened().len(), 0);
        assert_eq!(fs::read_to_string(&data).unwrap(), "in the way");
    }
}
