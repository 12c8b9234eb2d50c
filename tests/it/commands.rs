//! What the commands print, where they print it, and their exit codes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::git::Git as _;
use crate::provider::{Endpoint, Fault, patch};
use crate::sandbox::Sandbox;
use crate::scene::Scene;

const NEVER: &[&str] = &["--interactive", "never"];

// --- get-token ---

#[test]
fn raw_prints_the_token_and_a_newline() {
    let (scene, token) = Scene::signed_in();
    assert_eq!(
        scene.get_token(&["--format", "raw"]).stdout,
        format!("{token}\n")
    );
    assert_eq!(scene.get_token(&[]).stdout, format!("{token}\n"));
}

#[test]
fn bearer_and_header_print_one_line() {
    let (scene, token) = Scene::signed_in();
    for (format, expected) in [
        ("bearer", format!("Bearer {token}\n")),
        ("header", format!("Authorization: Bearer {token}\n")),
    ] {
        assert_eq!(scene.get_token(&["--format", format]).stdout, expected);
    }
}

#[test]
fn basic_encodes_a_user_name_and_the_token() {
    let (scene, token) = Scene::signed_in();
    let reply = scene.get_token(&["--format", "basic"]).stdout;
    let encoded = reply.strip_prefix("Basic ").unwrap().trim_end();
    let decoded = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    let (user, password) = decoded.split_once(':').unwrap();
    assert_eq!(password, token);
    assert!(!user.is_empty());
}

#[test]
fn json_has_everything_a_program_needs() {
    let (scene, token) = Scene::signed_in();
    let reply = scene.get_token(&["--format", "json"]).json();
    let keys: Vec<_> = reply
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "account",
        "expires_at",
        "provider",
        "scopes",
        "token",
        "token_type",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(reply["token"], json!(token));
    assert_eq!(reply["token_type"], "Bearer");
    assert_eq!(reply["provider"], "corp");
    assert_eq!(reply["account"], "default");
    assert_eq!(reply["scopes"], json!(["openid", "offline_access"]));
    let expiry = reply["expires_at"].as_str().unwrap();
    let shape: String = expiry
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(shape.starts_with("0000-00-00T00:00:00"), "{expiry}");
    assert!(expiry.ends_with('Z'), "{expiry}");
}

#[test]
fn the_only_provider_is_the_default() {
    let (scene, token) = Scene::signed_in();
    assert_eq!(scene.sandbox.run(&["get-token"]).token(), token);
}

#[test]
fn a_usage_error_exits_with_2() {
    let scene = Scene::new();
    for arguments in [
        &[][..],
        &["get-tokens"],
        &["get-token", "corp", "--format", "xml"],
        &["get-token", "corp", "--token", "refresh"],
        &["get-token", "corp", "--flow", "carrier-pigeon"],
        &["get-token", "corp", "--interactive", "maybe"],
        &["get-token", "corp", "--store", "paper"],
        &["get-token", "corp", "--scopes", "openid"],
        &["get-token", "corp", "another"],
        &["get-token", "corp", "--extra-param", "no-equals-sign"],
        &["get-token", "corp", "--client-secret", "s3cr3t"],
        &["get-token", "--issuer-url", "https://idp.example"],
        &["get-token", "--client-id", "x"],
        &["get-token", "nobody"],
        &["get-token", "https://nowhere.example/"],
        &["get-token", "not a url://"],
        &["login", "--format", "raw"],
        &["logout", "nobody"],
        &["status", "extra"],
    ] {
        let outcome = scene.sandbox.run(arguments);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(!outcome.stderr.is_empty(), "{outcome}");
    }
    assert_eq!(scene.provider.all_seen().len(), 0);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn a_misspelled_provider_gets_a_suggestion() {
    let scene = Scene::new();
    scene
        .sandbox
        .run(&["get-token", "crop"])
        .fails_saying(2, &["crop", "corp"]);
}

#[test]
fn help_and_version_succeed_and_help_lists_the_exit_codes() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["--help"][..],
        &["get-token", "--help"],
        &["login", "--help"],
        &["logout", "--help"],
        &["lock", "--help"],
        &["status", "--help"],
    ] {
        let outcome = sandbox.run(arguments);
        outcome.succeeds();
        assert!(outcome.stdout.contains("Usage"), "{outcome}");
    }
    let help = sandbox.run(&["get-token", "--help"]).stdout;
    for word in ["Exit codes", "declined", "--interactive", "--force-refresh"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for arguments in [
        &["--version"][..],
        &["git", "--version"],
        &["docker", "--version"],
        &["kubectl", "--version"],
        &["get-token", "--version"],
    ] {
        assert_eq!(
            sandbox.run(arguments).stdout,
            format!("hallpass {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn errors_have_a_cause_and_a_hint_with_a_command() {
    let scene = Scene::new();
    scene
        .provider
        .break_down(Endpoint::OpenidConfiguration, Fault::NoAnswer);
    let stderr = scene.get_token(&[]).fails_with(1).to_owned();
    for line in stderr.lines() {
        assert!(line.starts_with("hallpass: "), "{line}");
    }
    let outcome = scene.get_token(NEVER);
    let hint = outcome
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("hallpass: hint: "))
        .unwrap();
    assert!(hint.contains("`hallpass login corp`"), "{hint}");
}

#[test]
fn the_hint_for_an_ad_hoc_provider_is_a_complete_command() {
    let scene = Scene::new();
    let issuer = scene.provider.issuer();
    let arguments = [
        "get-token",
        "--issuer-url",
        &issuer,
        "--client-id",
        "hallpass",
        "--scope",
        "openid",
        "--interactive",
        "never",
    ];
    let outcome = scene.sandbox.run(&arguments);
    let stderr = outcome.fails_with(3);
    let hint = stderr.split('`').nth(1).unwrap();
    assert!(hint.starts_with("hallpass login "), "{hint}");
    // The command works as printed, and signs in to the requested provider.
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    scene.sandbox.run(&words).succeeds();
    scene.sandbox.run(&arguments).token();
}

#[test]
fn verbose_output_goes_to_stderr_only() {
    let (mut scene, token) = Scene::signed_in();
    scene.advance(4000);
    let outcome = scene.get_token(&["-vv"]);
    let new = outcome.token().to_owned();
    assert_ne!(new, token);
    assert!(outcome.stderr.contains("127.0.0.1"), "{outcome}");
    scene.sandbox.set("HALLPASS_VERBOSE", "2");
    scene.advance(4000);
    assert!(!scene.get_token(&[]).stderr.is_empty());
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_does_not_cause_a_crash() {
    let (scene, _) = Scene::signed_in();
    let mut shell = scene
        .sandbox
        .surround(std::process::Command::new("/bin/sh"));
    // With both pipes closed, there is no panic message and no signal.
    shell
        .args([
            "-c",
            "{ \"$0\" get-token corp 2>&1; echo $? >code; } | true; cat code",
        ])
        .arg(env!("CARGO_BIN_EXE_hallpass"));
    let outcome = crate::sandbox::Running::new(shell, &["… | true"]).wait();
    let code = outcome.stdout.trim();
    assert!(matches!(code, "0" | "1"), "{outcome}");
}

// --- login ---

#[test]
fn login_signs_in_again_although_a_token_is_cached() {
    let (scene, old) = Scene::signed_in();
    let outcome = scene.login(&[]);
    outcome.succeeds();
    assert_eq!(outcome.stdout, "", "login prints no token");
    for word in ["corp", "alice"] {
        assert!(outcome.stderr.contains(word), "{outcome}");
    }
    let new = scene.get_token(&[]).token().to_owned();
    assert_ne!(new, old);
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn login_without_prompting_exits_with_3() {
    let scene = Scene::new();
    scene.login(NEVER).fails_with(3);
    assert_eq!(scene.sandbox.opened().len(), 0);
}

#[test]
fn the_hinted_login_works_although_the_environment_disables_prompting() {
    let mut scene = Scene::new();
    scene.sandbox.set("HALLPASS_INTERACTIVE", "never");
    for words in [["get-token", "corp"], ["login", "corp"]] {
        let hint = "run `hallpass login corp --interactive auto`";
        scene.sandbox.run(&words).fails_saying(3, &[hint]);
    }
    scene
        .sandbox
        .run(&["login", "corp", "--interactive", "auto"])
        .succeeds();
    scene.sandbox.run(&["get-token", "corp"]).token();
}

#[test]
fn login_to_one_account_does_not_affect_others() {
    let (mut scene, token) = Scene::signed_in();
    scene.sandbox.person("bob");
    scene.login(&["--account", "work"]).succeeds();
    assert_eq!(scene.get_token(&[]).token(), token);
    assert_eq!(scene.sessions().len(), 2);
}

// --- help ---

#[test]
fn every_form_of_help_shows_the_same_description_of_a_command() {
    let sandbox = Sandbox::new();
    let help = |words: &[&str]| {
        let outcome = sandbox.run(words);
        outcome.succeeds();
        outcome.stdout.lines().next().unwrap_or_default().to_owned()
    };
    for command in [
        &["get-token"][..],
        &["login"],
        &["logout"],
        &["lock"],
        &["status"],
        &["git"],
        &["docker"],
        &["kubectl"],
        &["setup", "git"],
        &["setup", "docker"],
        &["setup", "kubectl"],
        &["doctor", "docker"],
        &["doctor", "kubectl"],
    ] {
        let about = help(&[&["help"], command].concat());
        assert_eq!(help(&[command, &["--help"]].concat()), about, "{command:?}");
        let overview = sandbox.run(&[&command[..command.len() - 1], &["--help"]].concat());
        assert!(overview.stdout.contains(&about), "{command:?}: {about:?}");
    }
}

// --- logout ---

#[test]
fn logout_all_removes_stored_credentials_and_logout_of_one_does_not() {
    let scene = Scene::new();
    scene.get_token(&[]).succeeds();
    let host = "protocol=https\nhost=else.example\n";
    let typed = format!("{host}username=me\npassword=typed\n");
    scene.sandbox.git("store", &typed).succeeds();
    let status = || scene.sandbox.run(&["status"]).stdout;
    let shown = "passwords stored by tools: for 1 server(s)";
    assert!(status().contains(shown), "{}", status());

    scene.sandbox.run(&["logout", "corp", "--all"]).succeeds();
    assert!(status().contains(shown), "{}", status());
    let kept = scene.sandbox.git("get", host);
    assert!(kept.stdout.contains("password=typed"), "{kept}");

    let dry = scene.sandbox.run(&["logout", "--all", "--dry-run"]);
    assert_eq!(
        dry.succeeds().stdout,
        "Would remove the passwords that tools have stored\n"
    );
    assert!(status().contains(shown), "{}", status());
    let outcome = scene.sandbox.run(&["logout", "--all"]);
    outcome.succeeds();
    assert!(
        outcome.stderr.contains("removed the passwords"),
        "{outcome}"
    );
    assert!(!status().contains("passwords"), "{}", status());
    assert_eq!(scene.sandbox.git("get", host).stdout, "");
    // The key can be stored elsewhere from now on.
    let outcome = scene.sandbox.run(&["logout", "--all"]);
    assert!(
        outcome.stderr.contains("nothing to sign out of"),
        "{outcome}"
    );
}

#[test]
fn logout_revokes_both_tokens_and_removes_the_session() {
    let (scene, token) = Scene::signed_in();
    for arguments in [
        &["logout", "corp", "--dry-run"][..],
        &["logout", "--all", "--dry-run"],
    ] {
        let dry = scene.sandbox.run(arguments);
        let would = "Would sign out of corp (account default)\n";
        assert_eq!(dry.succeeds().stdout, would);
    }
    assert_eq!(scene.get_token(&["--interactive", "never"]).token(), token);
    let outcome = scene.sandbox.run(&["logout", "corp"]);
    outcome.succeeds();
    assert_eq!(outcome.stdout, "");
    let revoked: Vec<_> = scene
        .provider
        .seen(Endpoint::Revocation)
        .iter()
        .map(|seen| seen.form("token").unwrap()[..3].to_owned())
        .collect();
    assert_eq!(revoked, ["rt-", "at-"]);
    assert_eq!(scene.provider.owner(&token), None);
    assert!(scene.sessions().is_empty());
    scene.get_token(NEVER).fails_with(3);
}

#[test]
fn logout_removes_the_session_and_reports_a_failed_revocation() {
    for fault in [
        Fault::status(503),
        Fault::NoAnswer,
        Fault::json(401, &json!({ "error": "invalid_client" })),
        Fault::json(
            400,
            &json!({ "error": "x", "error_description": "because of y" }),
        ),
    ] {
        let (scene, _) = Scene::signed_in();
        let explains = format!("{fault:?}").contains("because of y");
        scene.provider.break_down(Endpoint::Revocation, fault);
        let outcome = scene.sandbox.run(&["logout", "corp"]);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert!(outcome.stderr.contains("not revoked"), "{outcome}");
        assert_eq!(outcome.stderr.contains("x (because of y)"), explains);
        assert!(scene.sessions().is_empty());
    }
}

#[test]
fn logout_succeeds_without_a_revocation_endpoint() {
    let scene = Scene::new();
    let without = json!({ "revocation_endpoint": null });
    scene.provider.behave(|b| b.metadata = patch(without));
    scene.get_token(&[]).token();
    let outcome = scene.sandbox.run(&["logout", "corp"]);
    outcome.succeeds();
    let note = "note: corp has no revocation endpoint";
    assert!(outcome.stderr.contains(note), "{outcome}");
    assert!(!outcome.stderr.contains("warning"), "{outcome}");
    assert!(scene.sessions().is_empty());
}

/// RFC 7009 §2.2: oidc-provider and better-auth respond like this to a JWT access token.
#[test]
fn logout_succeeds_if_only_the_access_token_cannot_be_revoked() {
    let unsupported = json!({ "error": "unsupported_token_type" });
    for (status, word) in [(400, "note: "), (503, "warning: ")] {
        let (scene, _) = Scene::signed_in();
        let refused = Fault::json(status, &unsupported);
        scene
            .provider
            .behave(|b| b.access_token_revocation = Some(refused));
        let outcome = scene.sandbox.run(&["logout", "corp"]);
        outcome.succeeds();
        assert!(outcome.stderr.contains(word), "{outcome}");
        assert!(outcome.stderr.contains("access token"), "{outcome}");
        assert_eq!(scene.provider.count(Endpoint::Revocation), 2);
        assert!(scene.sessions().is_empty());
    }
    // There is no refresh token that would remain valid.
    let scene = Scene::new();
    let without = json!({ "refresh_token": null });
    scene.provider.behave(|b| b.token_response = patch(without));
    scene.get_token(&[]).token();
    let refused = Fault::json(401, &unsupported);
    scene.provider.break_down(Endpoint::Revocation, refused);
    let outcome = scene.sandbox.run(&["logout", "corp"]);
    outcome.succeeds();
    assert!(outcome.stderr.contains("warning: "), "{outcome}");
}

/// RFC 7009 §2.2 requires a 200 in this case, but Google, for example, responds with an error.
#[test]
fn logout_succeeds_if_the_tokens_are_already_invalid() {
    let (scene, _) = Scene::signed_in();
    let dead = json!({ "error": "invalid_token" });
    scene
        .provider
        .break_down(Endpoint::Revocation, Fault::json(400, &dead));
    let outcome = scene.sandbox.run(&["logout", "corp"]);
    outcome.succeeds();
    assert!(!outcome.stderr.contains("not revoked"), "{outcome}");
}

#[test]
fn logout_without_a_session_succeeds() {
    let scene = Scene::new();
    scene.sandbox.run(&["logout", "corp"]).succeeds();
    scene.sandbox.run(&["logout", "--all"]).succeeds();
    assert_eq!(scene.provider.count(Endpoint::Revocation), 0);
}

#[test]
fn logout_with_several_accounts_requires_an_account() {
    let (mut scene, _) = Scene::signed_in();
    scene.sandbox.person("bob");
    scene.login(&["--account", "work"]).succeeds();
    scene
        .sandbox
        .run(&["logout", "corp"])
        .fails_saying(2, &["default", "work", "--account"]);
    assert_eq!(scene.sessions().len(), 2);
    scene
        .sandbox
        .run(&["logout", "corp", "--account", "work"])
        .succeeds();
    let left = scene.sessions();
    assert_eq!((left.len(), &left[0]["account"]), (1, &json!("default")));
}

#[test]
fn logout_all_removes_everything() {
    let (mut scene, _) = Scene::signed_in();
    scene.sandbox.person("bob");
    scene.login(&["--account", "work"]).succeeds();
    scene.sandbox.run(&["logout", "--all"]).succeeds();
    assert!(scene.sessions().is_empty());
    assert_eq!(scene.provider.count(Endpoint::Revocation), 4);
}

#[test]
fn logout_works_without_the_original_configuration_and_the_provider() {
    let (scene, _) = Scene::signed_in();
    let config = scene.sandbox.root().join("config.toml");
    std::fs::write(&config, "").unwrap();
    // The session records its provider.
    scene.sandbox.run(&["logout", "--all"]).succeeds();
    assert!(scene.sessions().is_empty());
    assert_eq!(scene.provider.count(Endpoint::Revocation), 2);
}

// --- lock, status ---

#[test]
fn lock_loses_nothing() {
    let (scene, token) = Scene::signed_in();
    let outcome = scene.sandbox.run(&["lock"]);
    outcome.succeeds();
    assert_eq!(outcome.stdout, "");
    assert_eq!(scene.get_token(NEVER).token(), token);
}

#[test]
fn status_shows_who_is_signed_in_but_no_token() {
    let (mut scene, _) = Scene::signed_in();
    for (arguments, expired) in [(&["status"][..], false), (&["status", "--json"], true)] {
        if expired {
            scene.advance(4000);
        }
        let outcome = scene.sandbox.run(arguments);
        outcome.succeeds();
        for word in [
            "corp",
            "default",
            "alice",
            "openid",
            "offline_access",
            "file",
        ] {
            assert!(outcome.stdout.contains(word), "{word}: {outcome}");
        }
        for (what, secret) in scene.provider.secrets() {
            assert!(!format!("{outcome}").contains(&secret), "{what}: {outcome}");
        }
    }
    let session = &scene.sessions()[0];
    assert_eq!(session["provider"], "corp");
    assert_eq!(session["account"], "default");
    assert_eq!(session["subject"], "sub-of-alice");
    assert_eq!(session["scopes"], json!(["openid", "offline_access"]));
    assert_eq!(session["refreshable"], true);
    assert_eq!(session["expired"], true);
    assert!(session["expires_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(scene.sandbox.opened().len(), 1, "status must not sign in");
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

#[test]
fn status_creates_no_files() {
    let sandbox = Sandbox::new();
    let status = sandbox.run(&["status", "--json"]).json();
    assert_eq!(status["sessions"], Value::Array(Vec::new()));
    sandbox.run(&["status"]).succeeds();
    assert_eq!(
        crate::sandbox::files_below(&sandbox.home()),
        [""; 0].map(std::path::PathBuf::from)
    );
}
