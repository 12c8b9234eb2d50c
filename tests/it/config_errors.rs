//! Configuration errors name the file, the line and the key, and never quote a value.

use std::fs;

use crate::provider::Provider;
use crate::sandbox::{Outcome, Sandbox, private_file};
use crate::scene::Scene;

fn with_config(text: &str, arguments: &[&str]) -> Outcome {
    let mut sandbox = Sandbox::new();
    sandbox.config(text);
    let outcome = sandbox.run(arguments);
    assert_eq!(sandbox.opened().len(), 0);
    outcome
}

fn get_token(text: &str) -> Outcome {
    with_config(text, &["get-token", "corp", "--interactive", "never"])
}

#[test]
fn an_unknown_key_is_reported_with_file_line_and_a_suggestion() {
    for (text, key, line, likely) in [
        ("\nbrwoser = \"x\"\n", "brwoser", ":2", "browser"),
        (
            "[providers.corp]\nissuer = \"https://a.example\"\nclient_idd = \"x\"\n",
            "client_idd",
            ":3",
            "client_id",
        ),
        ("[provider.corp]\n", "provider", ":1", "providers"),
    ] {
        get_token(text).fails_saying(2, &["config.toml", line, key, likely]);
    }
}

#[test]
fn an_unknown_tool_is_reported_with_file_line_and_the_known_tools() {
    let text = "[[resources]]\nmatch = \"https://a.example\"\nprovider = \"codeberg\"\ntools = [\"git\", \"CANARY\"]";
    let known = "`tools` in [[resources]] must be one of git, docker, kubectl, get-token";
    let outcome = get_token(text);
    outcome.fails_saying(2, &["config.toml:4", known]);
    assert!(!outcome.stderr.contains("CANARY"));
}

#[test]
fn a_misspelled_required_key_is_reported_as_unknown() {
    let text = "[[resources]]\nmatch = \"https://a.example\"\nproviderr = \"x\"\n";
    get_token(text).fails_saying(2, &["config.toml:3", "providerr", "provider"]);
}

#[test]
fn a_value_of_the_wrong_type_is_reported_but_not_quoted() {
    for (text, key, secret) in [
        (
            "[providers.corp]\nissuer = 7\nclient_id = \"x\"",
            "issuer",
            "= 7",
        ),
        (
            "[providers.corp]\nscopes = \"canary-value\"",
            "scopes",
            "canary-value",
        ),
        ("store = \"canary-value\"", "store", "canary-value"),
        (
            "[providers.corp]\nclient_id = [\"canary-value\"]",
            "client_id",
            "canary-value",
        ),
        (
            "[providers.corp]\nissuer = \"canary value\"\nclient_id = \"x\"",
            "issuer",
            "= \"canary",
        ),
    ] {
        let outcome = get_token(text);
        let stderr = outcome.fails_saying(2, &["config.toml", key]);
        assert!(!stderr.contains(secret), "{outcome}");
    }
}

#[test]
fn a_toml_syntax_error_is_located_but_not_quoted() {
    let outcome = get_token("[providers.corp]\nclient_id = \"canary\nissuer = canary\n");
    let stderr = outcome.fails_saying(2, &["config.toml", ":2"]);
    assert!(!stderr.contains("canary"), "{outcome}");
}

#[test]
fn a_secret_in_the_configuration_is_rejected_and_not_quoted() {
    let text = "[providers.corp]\nissuer = \"https://a.example\"\nclient_id = \"x\"\n\
                client_secret = \"canary-secret\"\n";
    let outcome = get_token(text);
    let stderr = outcome.fails_saying(2, &["client_secret", "client_secret_file", ":4"]);
    assert!(!stderr.contains("canary-secret"), "{outcome}");
}

#[test]
fn a_missing_setting_is_reported_with_the_line_to_add() {
    get_token("[providers.corp]\nclient_id = \"x\"").fails_saying(2, &["corp", "issuer"]);
    get_token("[providers.corp]\nissuer = \"https://a.example\"")
        .fails_saying(2, &["corp", "client_id"]);
    get_token("").fails_saying(2, &["corp"]);
    with_config("", &["get-token"]).fails_saying(2, &["provider"]);
    let two = "[providers.a]\npreset = \"gitlab\"\n[providers.b]\npreset = \"gitlab\"\n";
    with_config(two, &["get-token"]).fails_with(2);
}

#[test]
fn a_preset_without_a_client_id_says_where_to_register() {
    with_config("", &["get-token", "gitlab", "--interactive", "never"])
        .fails_saying(2, &["gitlab", "client_id", "https://gitlab.com"]);
}

#[test]
fn an_issuer_without_tls_is_rejected_before_the_sign_in() {
    let text = "[providers.corp]\nissuer = \"http://idp.example\"\nclient_id = \"x\"\n";
    get_token(text).fails_saying(2, &["config.toml:2", "issuer", "https"]);
}

#[test]
fn the_file_in_hallpass_config_must_exist() {
    let mut sandbox = Sandbox::new();
    sandbox.set("HALLPASS_CONFIG", sandbox.root().join("missing.toml"));
    sandbox
        .run(&["get-token", "corp"])
        .fails_saying(2, &["missing.toml"]);
    sandbox.set("HALLPASS_CONFIG", "config.toml");
    sandbox
        .run(&["get-token", "corp"])
        .fails_saying(2, &["HALLPASS_CONFIG", "absolute"]);
}

#[test]
fn a_wrong_environment_variable_is_named() {
    for (name, value) in [
        ("HALLPASS_STORE", "paper"),
        ("HALLPASS_INTERACTIVE", "perhaps"),
        ("HALLPASS_HTTP_TIMEOUT", "soon"),
        ("HALLPASS_SIGN_IN_TIMEOUT", "-1"),
    ] {
        let mut scene = Scene::new();
        scene.sandbox.set(name, value);
        scene.get_token(&[]).fails_saying(2, &[name]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_users_configuration_file_is_found() {
    let provider = Provider::start();
    let sandbox = Sandbox::new();
    let folder = sandbox.home().join(".config/hallpass");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "[providers.mine]\nissuer = {:?}\nclient_id = \"hallpass\"\nscopes = [\"openid\"]\n",
        provider.issuer()
    );
    private_file(&folder.join("config.toml"), &text);
    sandbox.run(&["get-token", "mine"]).token();
}

#[test]
fn a_file_in_the_working_directory_is_never_read() {
    let sandbox = Sandbox::new();
    for name in [
        "config.toml",
        "hallpass.toml",
        ".hallpass.toml",
        ".hallpass",
    ] {
        private_file(&sandbox.root().join(name), "this is no configuration");
    }
    sandbox.run(&["status"]).succeeds();
}

#[cfg(unix)]
mod who_may_have_written_it {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn scene_with_mode(mode: u32) -> Scene {
        let scene = Scene::new();
        let path = scene.sandbox.root().join("config.toml");
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        scene
    }

    #[test]
    fn a_file_writable_by_others_is_rejected() {
        for mode in [0o666, 0o660, 0o622, 0o602] {
            let scene = scene_with_mode(mode);
            scene
                .get_token(&[])
                .fails_saying(2, &["config.toml", "others"]);
            assert_eq!(scene.sandbox.opened().len(), 0);
        }
    }

    #[test]
    fn a_file_readable_by_others_is_accepted() {
        scene_with_mode(0o644).get_token(&[]).token();
    }

    #[test]
    fn a_symlink_to_the_users_own_file_is_followed() {
        let mut scene = Scene::new();
        let target = scene.sandbox.root().join("config.toml");
        let link = scene.sandbox.root().join("link.toml");
        symlink(target, &link).unwrap();
        scene.sandbox.set("HALLPASS_CONFIG", &link);
        scene.get_token(&[]).token();
    }

    #[test]
    fn a_dangling_symlink_is_an_error() {
        let sandbox = Sandbox::new();
        if cfg!(target_os = "linux") {
            let folder = sandbox.home().join(".config/hallpass");
            fs::create_dir_all(&folder).unwrap();
            symlink("/does/not/exist", folder.join("config.toml")).unwrap();
            sandbox
                .run(&["get-token", "corp"])
                .fails_saying(2, &["config.toml", "link"]);
        }
    }

    #[test]
    fn a_client_secret_readable_by_others_is_rejected_and_not_quoted() {
        if rustix::process::geteuid().is_root() {
            return; // Root's files may be readable by everyone, such as a company-wide client secret.
        }
        let mut scene = Scene::new();
        let file = scene.sandbox.root().join("client-secret");
        private_file(&file, "canary-secret\n");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        scene.configure(&format!(
            "client_secret_file = {:?}",
            file.to_str().unwrap()
        ));
        let outcome = scene.get_token(&[]);
        assert!(matches!(outcome.code, Some(1 | 2)), "{outcome}");
        assert!(outcome.stderr.contains("client-secret"), "{outcome}");
        assert!(!outcome.stderr.contains("canary-secret"), "{outcome}");
        assert_eq!(scene.sandbox.opened().len(), 0);
    }

    #[test]
    fn a_file_of_another_user_is_rejected() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can change a file's owner.
        }
        let scene = Scene::new();
        let path = scene.sandbox.root().join("config.toml");
        std::os::unix::fs::chown(path, Some(65534), None).unwrap();
        scene
            .get_token(&[])
            .fails_saying(2, &["config.toml", "another user"]);
    }
}
