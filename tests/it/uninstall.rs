//! `hallpass uninstall`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::provider::{Endpoint, Fault};
use crate::sandbox::{Outcome, files_below, private_file};
use crate::scene::Scene;

/// Signed in, with git and docker set up and a password stored for another server.
fn installed() -> (Scene, BTreeMap<PathBuf, Vec<u8>>) {
    let mut scene = Scene::new();
    let home = scene.sandbox.home();
    // A writable folder on PATH, where docker's clients find the helper.
    let folder = home.join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
    scene
        .sandbox
        .set("PATH", std::env::join_paths(folders).unwrap());
    fs::create_dir_all(home.join(".docker")).unwrap();
    private_file(&home.join(".docker/config.json"), "{\"auths\": {}}");
    fs::write(home.join(".gitconfig"), "[user]\n\tname = A\n").unwrap();
    let before = files(&scene);
    for words in [
        ["setup", "git", "--host", "git.corp.example"].as_slice(),
        &["setup", "docker", "registry.corp.example"],
    ] {
        let words = [words, &["--provider", "corp"]].concat();
        scene.sandbox.run(&words).succeeds();
    }
    scene.get_token(&[]).succeeds();
    let typed = "protocol=https\nhost=else.example\nusername=me\npassword=typed\n";
    scene
        .sandbox
        .run_with_input(&["git", "store"], typed.as_bytes())
        .succeeds();
    assert_ne!(files(&scene), before);
    (scene, before)
}

/// Every file below the home and the data folder.
fn files(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    [scene.sandbox.home(), scene.sandbox.data_dir()]
        .iter()
        .filter(|folder| folder.exists())
        .flat_map(|folder| files_below(folder))
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

fn uninstall(scene: &Scene, more: &[&str]) -> Outcome {
    scene.sandbox.run(&[&["uninstall"], more].concat())
}

#[test]
fn uninstall_revokes_undoes_and_removes_everything_and_dry_run_shows_it() {
    let (scene, before) = installed();
    let installed = files(&scene);
    let dry = uninstall(&scene, &["--dry-run"]);
    for line in [
        "Would sign out of corp (account default)",
        "Would remove the passwords that tools have stored",
        "Would change ~/.gitconfig:",
        "Would change ~/.docker/config.json:",
        "Would remove the key that encrypts saved sessions",
    ] {
        assert!(dry.succeeds().stdout.contains(line), "{line}\n{dry}");
    }
    assert_eq!(files(&scene), installed);
    assert_eq!(scene.provider.seen(Endpoint::Revocation).len(), 0);

    let outcome = uninstall(&scene, &["--yes"]);
    outcome.succeeds();
    assert!(!outcome.stdout.contains("Would"), "{outcome}");
    assert_eq!(files(&scene), before);
    assert!(!scene.sandbox.data_dir().exists());
    assert_eq!(scene.provider.seen(Endpoint::Revocation).len(), 2);
    for words in ["signed out of corp", "apt remove hallpass"] {
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
    // Again, and on a machine where hallpass was never used.
    uninstall(&scene, &[]).succeeds();
    uninstall(&Scene::new(), &[]).succeeds();
}

#[test]
fn uninstall_continues_when_a_token_cannot_be_revoked_and_says_so() {
    let (scene, before) = installed();
    scene
        .provider
        .break_down(Endpoint::Revocation, Fault::status(503));
    let outcome = uninstall(&scene, &["--yes"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let words = "not revoked at the provider: the refresh token";
    assert!(outcome.stderr.contains(words), "{outcome}");
    assert_eq!(files(&scene), before);
}

#[test]
fn uninstall_removes_the_notes_of_a_failed_refresh_too() {
    let (mut scene, before) = installed();
    scene.advance(3601);
    scene
        .provider
        .break_down(Endpoint::Refresh, Fault::status(503));
    scene.get_token(&[]).fails_saying(1, &["503"]);
    assert!(scene.sandbox.data_dir().join("refreshes").exists());
    uninstall(&scene, &["--yes"]).succeeds();
    assert_eq!(files(&scene), before);
    assert!(!scene.sandbox.data_dir().exists());
}

#[test]
fn uninstall_leaves_files_that_hallpass_did_not_write() {
    let (scene, _) = installed();
    let own = ["Cargo.lock", "letters.txt"].map(|name| scene.sandbox.data_dir().join(name));
    for path in &own {
        fs::write(path, "mine").unwrap();
    }
    let outcome = uninstall(&scene, &[]);
    outcome.succeeds();
    assert!(
        outcome
            .stderr
            .contains("letters.txt was not written by hallpass"),
        "{outcome}"
    );
    let mut left = files_below(&scene.sandbox.data_dir());
    left.sort();
    assert_eq!(left, own);
}

#[test]
fn uninstall_refuses_if_it_cannot_read_how_to_undo_a_set_up() {
    let (scene, _) = installed();
    let setups = scene.sandbox.data_dir().join("setups");
    private_file(&setups.join("docker-0123456789abcdef.json"), "{}");
    let installed = files(&scene);
    uninstall(&scene, &["--yes"]).fails_saying(1, &["newer hallpass", "nothing was changed"]);
    assert_eq!(files(&scene), installed);
    assert_eq!(scene.provider.seen(Endpoint::Revocation).len(), 0);
}

/// On Windows, git is missing in the tests.
#[cfg(unix)]
#[test]
fn uninstall_removes_nothing_if_a_set_up_cannot_be_undone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (scene, _) = installed();
    let docker = scene.sandbox.home().join(".docker/config.json");
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o444)).unwrap();
    let installed = files(&scene);
    for more in ["--dry-run", "--yes"] {
        let outcome = uninstall(&scene, &[more]);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains("is read-only"), "{outcome}");
        assert!(!outcome.stdout.contains("Changed"), "{outcome}");
        assert_eq!(files(&scene), installed, "{more}");
    }
    assert_eq!(scene.provider.count(Endpoint::Revocation), 0);
}

#[test]
fn uninstall_removes_nothing_while_another_program_writes_a_file() {
    let (scene, _) = installed();
    fs::write(scene.sandbox.home().join(".gitconfig.lock"), "").unwrap();
    let installed = files(&scene);
    uninstall(&scene, &["--yes"]).fails_saying(1, &["another program is writing ~/.gitconfig"]);
    assert_eq!(files(&scene), installed);
    assert_eq!(scene.provider.count(Endpoint::Revocation), 0);
}

#[test]
fn uninstall_undoes_set_ups_whose_records_are_gone() {
    let (scene, before) = installed();
    fs::remove_dir_all(scene.sandbox.data_dir()).unwrap();
    let dry = uninstall(&scene, &["--dry-run"]);
    for line in [
        "Would change ~/.gitconfig:",
        "Would change ~/.docker/config.json:",
    ] {
        assert!(dry.succeeds().stdout.contains(line), "{line}\n{dry}");
    }
    let done = uninstall(&scene, &["--yes"]);
    done.succeeds();
    let left = files(&scene);
    let text = |name: &str| {
        let path = scene.sandbox.home().join(name);
        String::from_utf8(left.get(&path).cloned().unwrap_or_default()).unwrap()
    };
    for name in [".gitconfig", ".docker/config.json"] {
        assert!(!text(name).contains("hallpass"), "{done}\n{}", text(name));
    }
    assert!(text(".gitconfig").contains("name = A"));
    assert!(before.keys().all(|path| left.contains_key(path)));
}

#[test]
fn uninstall_shows_and_removes_a_provider_that_several_tools_share() {
    let (scene, _) = installed();
    let before = files(&scene);
    for words in [
        ["setup", "git", "--host", "codeberg.org"].as_slice(),
        &["setup", "docker", "codeberg.org", "--provider", "codeberg"],
    ] {
        let words = [words, &["--client-id", "mine"]].concat();
        scene.sandbox.run(&words).succeeds();
    }
    let dry = uninstall(&scene, &["--dry-run"]);
    let line = "  - [providers.\"codeberg\"]";
    assert_eq!(dry.succeeds().stdout.matches(line).count(), 1, "{dry}");
    assert_ne!(files(&scene), before);
    let done = uninstall(&scene, &["--yes"]);
    done.succeeds();
    let config = fs::read_to_string(scene.sandbox.root().join("config.toml")).unwrap();
    assert!(!config.contains("codeberg"), "{config}");
}

/// The lines that set-up writes, without its record, in a file that may be read-only. On Windows, git is
/// missing in the tests.
#[cfg(unix)]
#[test]
fn uninstall_names_the_lines_to_remove_from_a_read_only_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let (scene, _) = installed();
    fs::remove_dir_all(scene.sandbox.data_dir().join("setups")).unwrap();
    let git = scene.sandbox.home().join(".gitconfig");
    fs::set_permissions(&git, fs::Permissions::from_mode(0o444)).unwrap();
    let installed = files(&scene);
    for words in [
        ["uninstall", "--dry-run"].as_slice(),
        &["uninstall", "--yes"],
        &["setup", "git", "--undo"],
    ] {
        let outcome = scene.sandbox.run(words);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        for words in [
            "~/.gitconfig is read-only",
            "- credential.https://git.corp.example.helper = ",
        ] {
            assert!(outcome.stderr.contains(words), "{words}: {outcome}");
        }
        assert_eq!(files(&scene), installed);
    }
    assert_eq!(scene.provider.count(Endpoint::Revocation), 0);
}

#[test]
fn uninstall_names_lines_of_the_user_that_still_ask_hallpass() {
    let (scene, _) = installed();
    let git = scene.sandbox.home().join(".gitconfig");
    let mut text = fs::read_to_string(&git).unwrap();
    text.push_str("[credential \"https://own.example\"]\n\thelper = !hallpass git\n");
    fs::write(&git, text).unwrap();
    for more in ["--dry-run", "--yes"] {
        let outcome = uninstall(&scene, &[more]);
        let output = &outcome.succeeds().stdout;
        assert!(output.contains("git still asks hallpass"), "{outcome}");
        assert_eq!(output.matches(".helper (file:").count(), 1, "{outcome}");
        let line = "  credential.https://own.example.helper (file:";
        assert!(output.contains(line), "{outcome}");
    }
    let doctor = scene.sandbox.run(&["doctor", "git"]);
    let problem = "https://own.example: git asks hallpass, but no provider is configured for it";
    assert!(doctor.stdout.contains(problem), "{doctor}");
}

#[test]
fn uninstall_with_nothing_installed_says_nothing_about_it() {
    let scene = Scene::new();
    let before = files(&scene);
    for more in ["--dry-run", "--yes"] {
        let outcome = uninstall(&scene, &[more]);
        let output = outcome.succeeds().stdout.clone() + &outcome.stderr;
        for word in ["nothing to change", "emove the key", "removed", "Would"] {
            assert!(!output.contains(word), "{word}: {outcome}");
        }
    }
    assert_eq!(files(&scene), before);
}
