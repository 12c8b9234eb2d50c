//! hallpass remembers how it resolved a request, and forgets the answer when anything that
//! determined it changes.
//!
//! Most of these tests plant a wrong resolution that leads to another account's token, which the
//! configuration would never select. If hallpass returns that token, it used the remembered
//! resolution. If hallpass must not use the resolution, it must not return that token.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallpass::serving::resolution::Resolution;
use hallpass::store::{AtHand, Options, Setting, Store};

use serde_json::{Value, json};

use crate::kubectl::{self, Parent};
use crate::provider::Endpoint;
use crate::sandbox::files_below;
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];
const GIT: &str = "protocol=https\nhost=git.corp.example\n";

/// Two accounts. The resolution for the first account's request names the second account's record.
struct Planted {
    scene: Scene,
    /// The token that the configuration selects.
    right: String,
    /// The token of the planted resolution.
    wrong: String,
    file: PathBuf,
    bytes: Vec<u8>,
}

/// A comment, which changes the file but no setting.
const HEAD: &str = "# one\n";

impl Planted {
    /// For the request `get-token corp`.
    fn new() -> Self {
        Self::under(|scene| scene.get_token(&[]).token().to_owned())
    }

    /// For a request from git.
    fn for_git() -> Self {
        Self::under(|scene| git(scene, GIT))
    }

    fn under(ask: impl Fn(&Scene) -> String) -> Self {
        // Two requests may hash to the same slot, in which case the later one wins.
        (0..5)
            .find_map(|_| Self::once(&ask))
            .expect("two requests in different slots")
    }

    fn once(ask: impl Fn(&Scene) -> String) -> Option<Self> {
        let mut scene = Scene::new();
        scene.configure_with_head(
            HEAD,
            "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n",
        );
        scene.sandbox.person("bob");
        let wrong = scene.add_account("work");
        let (first, _) = remembered(&scene)[0];
        let (_, resolution) = at(&scene, first).expect("a resolution");
        scene.sandbox.person("alice");
        let right = ask(&scene);
        assert_ne!(right, wrong);
        let all = remembered(&scene);
        let (slot, file) = all.into_iter().find(|(slot, _)| *slot != first)?;
        let (question, before) = at(&scene, slot).expect("a resolution");
        assert_ne!(before.record, resolution.record);
        let changed = Resolution {
            record: resolution.record,
            ..before
        };
        let sealed = changed.encode();
        store(&scene).remember(slot, &question, sealed).unwrap();
        assert_eq!(ask(&scene), wrong, "the planted resolution was not used");
        Some(Self {
            right,
            wrong,
            bytes: fs::read(&file).unwrap(),
            file,
            scene,
        })
    }

    /// Plants the resolution again, because another request may have used the same slot.
    fn plant(&self) {
        drop(fs::remove_file(&self.file));
        drop(fs::remove_dir_all(&self.file));
        crate::sandbox::private_file(&self.file, "");
        fs::write(&self.file, &self.bytes).unwrap();
    }

    #[track_caller]
    fn is_used(&self) {
        self.plant();
        assert_eq!(self.scene.get_token(&[]).token(), self.wrong);
    }

    #[track_caller]
    fn is_not_used(&self, why: &str) {
        let outcome = self.scene.get_token(NEVER);
        let again = self.scene.get_token(&[]);
        assert_eq!(again.token(), self.right, "{why}: {again}");
        assert_eq!(outcome.token(), self.right, "{why}: {outcome}");
        assert_eq!(again.stderr, "", "{why}: {again}");
    }
}

fn store(scene: &Scene) -> Store {
    Store::new(Options {
        setting: Setting::File,
        data_dir: scene.sandbox.data_dir(),
        kernel_cache: None,
        keyring_wait: Duration::ZERO,
        announce: || (),
        container: false,
    })
}

/// The files with remembered resolutions, oldest slot first.
fn remembered(scene: &Scene) -> Vec<(u8, PathBuf)> {
    let files = files_below(&scene.sandbox.data_dir().join("resolutions"));
    let slot = |path: &Path| u8::from_str_radix(path.file_name()?.to_str()?, 16).ok();
    files
        .into_iter()
        .map(|path| (slot(&path).expect("a slot"), path))
        .collect()
}

/// The request and the resolution in a slot.
fn at(scene: &Scene, slot: u8) -> Option<(Vec<u8>, Resolution)> {
    let data = AtHand::open(&scene.sandbox.data_dir()).ok()??;
    let remembered = data.remembered(slot).ok()??;
    let answer = data.answer(&remembered).ok()??;
    Some((remembered.question().to_vec(), Resolution::decode(&answer)?))
}

#[track_caller]
fn git(scene: &Scene, input: &str) -> String {
    let reply = scene
        .sandbox
        .run_with_input(&["git", "get"], input.as_bytes());
    let token = reply
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("password="));
    token
        .unwrap_or_else(|| panic!("no password: {reply}"))
        .to_owned()
}

#[test]
fn a_remembered_answer_is_not_computed_again() {
    let planted = Planted::new();
    let before = fs::read(&planted.file).unwrap();
    for _ in 0..3 {
        assert_eq!(planted.scene.get_token(&[]).token(), planted.wrong);
    }
    assert_eq!(
        fs::read(&planted.file).unwrap(),
        before,
        "nor written again"
    );
    assert_eq!(planted.scene.sandbox.opened().len(), 2);
}

#[test]
fn every_format_is_answered_from_memory_unchanged() {
    let (scene, token) = Scene::signed_in();
    for format in ["raw", "json", "bearer", "header", "basic"] {
        let first = scene.get_token(&["--format", format]);
        let again = scene.get_token(&["--format", format]);
        assert_eq!(again.stdout, first.stdout, "{format}");
        if format != "basic" {
            assert!(first.stdout.contains(&token), "{first}");
        }
    }
    let id = scene.get_token(&["--token", "id"]).token().to_owned();
    assert_ne!(id, token);
    assert_eq!(scene.get_token(&["--token", "id"]).token(), id);
}

#[test]
fn any_change_to_the_configuration_invalidates_remembered_answers() {
    let planted = Planted::new();
    let config = planted.scene.sandbox.root().join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    planted.is_used();
    for (why, text) in [
        ("as long as before", good.replace("# one", "# two")),
        ("longer", format!("{good}\n")),
        ("shorter", good.replace(HEAD, "")),
    ] {
        assert_ne!(text, good);
        let sandbox = &planted.scene.sandbox;
        let times = fs::metadata(&config).unwrap();
        crate::sandbox::private_file(&config, &text);
        // Resetting the modification time makes no difference.
        let file = fs::File::options().write(true).open(&config).unwrap();
        file.set_modified(times.modified().unwrap()).unwrap();
        planted.is_not_used(why);
        assert_eq!(sandbox.opened().len(), 2);
    }
}

#[test]
fn a_removed_or_changed_provider_is_not_answered_from_memory() {
    let mut planted = Planted::new();
    planted.scene.configure("client_id = \"another\"\n");
    planted.scene.get_token(NEVER).fails_with(3);
    planted.scene.sandbox.config("");
    planted.scene.get_token(NEVER).fails_saying(2, &["corp"]);
    let config = planted.scene.sandbox.root().join("config.toml");
    fs::remove_file(config).unwrap();
    planted.scene.get_token(NEVER).fails_with(2);
}

#[test]
fn changing_a_relevant_variable_invalidates_remembered_answers() {
    let mut planted = Planted::new();
    for (name, value) in [
        ("HALLPASS_KERNEL_KEYRING_TIMEOUT", "60"),
        ("HALLPASS_DEFAULT_PROVIDER", "corp"),
        ("HALLPASS_VERBOSE", "0"),
        ("HALLPASS_INTERACTIVE", "never"),
        ("HALLPASS_HTTP_TIMEOUT", "11"),
        ("HALLPASS_STORE", "auto"),
        ("container", "yes"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ] {
        planted.is_used();
        let variables = planted.scene.sandbox.variables();
        let before = variables.get(std::ffi::OsStr::new(name)).cloned();
        planted.scene.sandbox.set(name, value);
        planted.is_not_used(name);
        match before {
            Some(before) => planted.scene.sandbox.set(name, before),
            None => planted.scene.sandbox.unset(name),
        }
    }
    // An irrelevant variable doesn't.
    planted.scene.sandbox.set("LANG", "C");
    planted.is_used();
}

#[test]
fn a_wrong_variable_is_still_an_error() {
    let mut planted = Planted::new();
    planted.scene.sandbox.set("HALLPASS_INTERACTIVE", "perhaps");
    planted
        .scene
        .get_token(&[])
        .fails_saying(2, &["HALLPASS_INTERACTIVE"]);
}

#[test]
fn other_arguments_are_not_answered_from_memory() {
    let planted = Planted::new();
    for more in [
        &["--format", "raw"][..],
        &["--account", "default"],
        &["--verbose"],
    ] {
        let outcome = planted.scene.get_token(more);
        assert_eq!(outcome.token(), planted.right, "{more:?}: {outcome}");
    }
    let forced = planted.scene.get_token(&["--force-refresh"]);
    assert_ne!(forced.token(), planted.right);
    assert_ne!(forced.token(), planted.wrong);
    planted.is_used();
}

#[test]
fn without_a_store_no_answer_is_remembered_or_looked_up() {
    let mut planted = Planted::new();
    planted.scene.sandbox.set("HALLPASS_STORE", "none");
    planted.scene.get_token(NEVER).fails_with(3);
    let fresh = planted.scene.get_token(&[]).token().to_owned();
    assert!(fresh != planted.right && fresh != planted.wrong);

    let mut nothing = Scene::new();
    nothing.sandbox.set("HALLPASS_STORE", "none");
    nothing.get_token(&[]).token();
    assert!(!nothing.sandbox.data_dir().exists());
}

#[test]
fn a_conflicting_store_setting_is_still_an_error() {
    let mut planted = Planted::new();
    planted.scene.sandbox.set("HALLPASS_STORE", "keyring");
    planted
        .scene
        .get_token(NEVER)
        .fails_saying(1, &["key file"]);
}

#[cfg(unix)]
#[test]
fn a_configuration_writable_by_others_is_still_rejected() {
    use std::os::unix::fs::PermissionsExt as _;

    let planted = Planted::new();
    let config = planted.scene.sandbox.root().join("config.toml");
    planted.is_used();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o620)).unwrap();
    planted
        .scene
        .get_token(&[])
        .fails_saying(2, &["can be written by others"]);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    planted.is_used();
}

#[test]
fn a_changed_or_truncated_answer_is_computed_again_and_replaced() {
    let planted = Planted::new();
    let good = fs::read(&planted.file).unwrap();
    let question = at(&planted.scene, remembered_slot(&planted.file))
        .unwrap()
        .0;
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut bad = vec![
        Vec::new(),
        vec![0; good.len()],
        b"garbage".to_vec(),
        [&good[..], b"x"].concat(),
        // The length of the request: the first bytes after the header.
        changed(good.len() - question.len()),
    ];
    bad.extend((0..good.len()).step_by(41).map(changed));
    bad.extend((0..good.len()).step_by(61).map(|len| good[..len].to_vec()));
    bad.push(changed(good.len() - 1));
    for bytes in bad {
        fs::write(&planted.file, &bytes).unwrap();
        planted.is_not_used(&format!("{} bytes", bytes.len()));
        assert_ne!(fs::read(&planted.file).unwrap(), bytes);
    }
    planted.is_used();
}

fn remembered_slot(file: &Path) -> u8 {
    u8::from_str_radix(file.file_name().unwrap().to_str().unwrap(), 16).unwrap()
}

#[test]
fn answers_of_another_version_are_ignored() {
    let planted = Planted::new();
    let slot = remembered_slot(&planted.file);
    let (question, resolution) = at(&planted.scene, slot).unwrap();
    // After the length of the first part: the format, the presets and the version.
    for place in 4..4 + 1 + 8 + 5 {
        let mut other = question.clone();
        other[place] ^= 1;
        let sealed = resolution.encode();
        store(&planted.scene)
            .remember(slot, &other, sealed)
            .unwrap();
        planted.is_not_used(&format!("byte {place}"));
    }
}

#[test]
fn an_answer_with_another_name_or_key_is_not_used() {
    let planted = Planted::new();
    let slot = remembered_slot(&planted.file);
    let (question, resolution) = at(&planted.scene, slot).unwrap();

    // The same request, encrypted for the next slot and copied over.
    let next = slot.wrapping_add(1);
    let store_of = store(&planted.scene);
    store_of
        .remember(next, &question, resolution.encode())
        .unwrap();
    let folder = planted.file.parent().unwrap();
    fs::copy(folder.join(format!("{next:02x}")), &planted.file).unwrap();
    planted.is_not_used("another name");

    // Every data folder has its own key.
    let (other, _) = Scene::signed_in();
    let foreign = store(&other);
    foreign
        .remember(slot, &question, resolution.encode())
        .unwrap();
    let foreign = other.sandbox.data_dir().join("resolutions");
    fs::copy(foreign.join(format!("{slot:02x}")), &planted.file).unwrap();
    planted.is_not_used("another key");
}

#[cfg(unix)]
#[test]
fn an_answer_in_a_file_writable_by_others_is_not_used() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let planted = Planted::new();
    let good = fs::read(&planted.file).unwrap();
    let aside = planted.scene.sandbox.root().join("aside");
    planted.is_used();
    fs::set_permissions(&planted.file, fs::Permissions::from_mode(0o640)).unwrap();
    planted.is_not_used("others may read it");

    planted.is_used();
    fs::rename(&planted.file, &aside).unwrap();
    symlink(&aside, &planted.file).unwrap();
    planted.is_not_used("a link");
    assert_eq!(
        fs::read(&aside).unwrap(),
        good,
        "nothing is written through it"
    );

    planted.plant();
    fs::remove_file(&planted.file).unwrap();
    fs::create_dir(&planted.file).unwrap();
    planted.is_not_used("a folder");

    if rustix::process::geteuid().is_root() {
        planted.is_used();
        std::os::unix::fs::chown(&planted.file, Some(65_534), None).unwrap();
        planted.is_not_used("another user's");
    }
}

#[cfg(unix)]
#[test]
fn an_answer_that_cannot_be_remembered_is_still_returned() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let planted = Planted::new();
    let folder = planted.file.parent().unwrap();
    let aside = planted.scene.sandbox.root().join("aside");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
    planted.is_not_used("a folder that others may read");
    fs::rename(folder, &aside).unwrap();
    symlink(&aside, folder).unwrap();
    planted.is_not_used("a link");
    fs::remove_file(folder).unwrap();
    crate::sandbox::private_file(folder, "");
    planted.is_not_used("a file in the folder's place");
    fs::remove_file(folder).unwrap();
    planted.is_not_used("no folder");
    assert!(!remembered(&planted.scene).is_empty());
}

#[test]
fn a_removed_session_is_not_answered_from_memory() {
    let (scene, token) = Scene::signed_in();
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(remembered(&scene).len(), 1);
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    scene.get_token(NEVER).fails_with(3);
    let fresh = scene.get_token(&[]).token().to_owned();
    assert_ne!(fresh, token);
    assert_eq!(scene.get_token(NEVER).token(), fresh);
}

#[test]
fn a_stale_or_rejected_token_is_replaced() {
    let mut planted = Planted::for_git();
    assert_eq!(git(&planted.scene, GIT), planted.wrong);
    // A request for the planted record's account refreshes its token.
    planted.scene.advance(4000);
    let first = git(&planted.scene, GIT);
    assert!(first != planted.wrong && first != planted.right);
    let (scene, token) = Scene::signed_in();
    let mut scene = scene;
    scene.advance(4000);
    let second = scene.get_token(NEVER).token().to_owned();
    assert_ne!(second, token);
    assert_eq!(scene.get_token(NEVER).token(), second);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_token_that_git_reports_as_rejected_is_not_answered_from_memory() {
    let mut scene = Scene::new();
    let resource = "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n";
    scene.configure(resource);
    let token = git(&scene, GIT);
    assert_eq!(git(&scene, GIT), token);
    assert_eq!(remembered(&scene).len(), 1);
    let refused = format!("{GIT}username=oauth2\npassword={token}\n");
    scene
        .sandbox
        .run_with_input(&["git", "erase"], refused.as_bytes())
        .succeeds();
    let second = git(&scene, GIT);
    assert_ne!(second, token);
    assert_eq!(git(&scene, GIT), second);

    // git 2.46 reports it within the same fetch.
    let (mut scene, _) = Scene::signed_in();
    scene.configure(resource);
    let token = git(&scene, GIT);
    let state = format!("capability[]=state\nstate[]=hallpass:1:default\n{GIT}");
    assert_ne!(git(&scene, &state), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn the_tools_request_is_part_of_the_question() {
    let planted = Planted::for_git();
    let scene = &planted.scene;
    for (why, input) in [
        ("a path", format!("{GIT}path=team/a.git\n")),
        ("an empty path", format!("{GIT}path=\n")),
        ("a user", format!("{GIT}username=oauth2\n")),
        (
            "the same host, otherwise",
            "protocol=https\nhost=git.corp.example:443\n".to_owned(),
        ),
        (
            "the same host, louder",
            "protocol=https\nhost=GIT.CORP.EXAMPLE\n".to_owned(),
        ),
    ] {
        assert_eq!(git(scene, &input), planted.right, "{why}");
    }
    let unknown = "protocol=https\nhost=git.corp.example.evil.example\n";
    let outcome = scene
        .sandbox
        .run_with_input(&["git", "get"], unknown.as_bytes());
    assert_eq!(outcome.stdout, "", "{outcome}");
    let plain = "protocol=http\nhost=git.corp.example\n";
    let outcome = scene
        .sandbox
        .run_with_input(&["git", "get"], plain.as_bytes());
    assert_eq!(outcome.stdout, "", "{outcome}");
    planted.plant();
    assert_eq!(git(scene, GIT), planted.wrong);

    // The reply matches the capabilities that git offered, whichever request came first.
    let capable = format!("capability[]=authtype\ncapability[]=state\n{GIT}");
    let reply = scene
        .sandbox
        .run_with_input(&["git", "get"], capable.as_bytes());
    let password = format!("password={}\n", planted.wrong);
    assert!(reply.stdout.contains("continue=1") && reply.stdout.contains(&password));
}

#[test]
fn the_account_of_a_repository_overrides_remembered_answers() {
    let mut planted = Planted::for_git();
    let git_dir = planted.scene.sandbox.root().join("repository");
    fs::create_dir(&git_dir).unwrap();
    fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    for folder in ["objects", "refs"] {
        fs::create_dir(git_dir.join(folder)).unwrap();
    }
    fs::write(git_dir.join("config"), "[core]\n\tbare = true\n").unwrap();
    planted.scene.sandbox.set("GIT_DIR", &git_dir);
    planted
        .scene
        .sandbox
        .set("PATH", std::env::var_os("PATH").unwrap());
    assert_eq!(git(&planted.scene, GIT), planted.wrong);
    fs::write(git_dir.join("config"), "[hallpass]\n\taccount = default\n").unwrap();
    assert_eq!(git(&planted.scene, GIT), planted.right);
    fs::write(git_dir.join("config"), "[core]\n\tbare = true\n").unwrap();
    assert_eq!(
        git(&planted.scene, GIT),
        planted.wrong,
        "and it is not remembered"
    );
    planted.scene.sandbox.set("GIT_CONFIG_COUNT", "1");
    planted
        .scene
        .sandbox
        .set("GIT_CONFIG_KEY_0", "hallpass.account");
    planted.scene.sandbox.set("GIT_CONFIG_VALUE_0", "default");
    assert_eq!(git(&planted.scene, GIT), planted.right);
}

#[test]
fn a_damaged_record_is_still_an_error() {
    let planted = Planted::new();
    for record in files_below(&planted.scene.sandbox.data_dir().join("sessions")) {
        if record.extension().is_none() {
            fs::write(record, "damaged").unwrap();
        }
    }
    planted.scene.get_token(&[]).fails_with(1);
}

#[test]
fn every_home_remembers_its_own_answers() {
    let mut planted = Planted::new();
    let other = crate::sandbox::Sandbox::new();
    planted
        .scene
        .sandbox
        .set("HALLPASS_DATA_DIR", other.home().join("data"));
    planted.scene.get_token(NEVER).fails_with(3);
    let fresh = planted.scene.get_token(&[]).token().to_owned();
    assert!(fresh != planted.right && fresh != planted.wrong);
}

/// kubectl's entire request is part of the key, and a repeated request isn't answered from memory.
#[test]
fn kubectls_request_is_part_of_its_question() {
    const ASK: &[&str] = &["kubectl", "--token", "access"];
    let ask = |scene: &Scene, info: &str| {
        let reply = Parent::new(scene).run(scene, info, ASK);
        kubectl::token(&reply)
    };
    let server = "https://git.corp.example";
    let here = kubectl::at(server, &Value::Null);
    let planted = Planted::under(|scene| ask(scene, &here));
    let Planted {
        scene,
        right,
        wrong,
        ..
    } = &planted;
    for other in [
        kubectl::at("https://git.corp.example/k8s", &Value::Null),
        kubectl::at(server, &json!({ "provider": "corp" })),
        here.replace("/v1\"", "/v1beta1\""),
    ] {
        planted.plant();
        assert_eq!(ask(scene, &other), *right, "{other}");
        planted.plant();
        assert_eq!(
            ask(scene, &here),
            *wrong,
            "the planted resolution was not used"
        );
    }
    let evil = kubectl::at("https://evil.example", &Value::Null);
    let refused = Parent::new(scene).run(scene, &evil, ASK);
    refused.fails_saying(1, &["evil.example"]);

    if cfg!(target_os = "linux") {
        let mut parent = Parent::new(scene);
        planted.plant();
        let replies = [(); 2].map(|()| kubectl::token(&parent.run(scene, &here, ASK)));
        assert_eq!(replies, [wrong.clone(), right.clone()]);
    }
}
