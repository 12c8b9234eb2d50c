//! git's credential helper: transcripts against the real binary and a provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;

use crate::provider::Endpoint;
use crate::sandbox::{Outcome, Running, Sandbox, files_below};
use crate::scene::Scene;

const HOST: &str = "protocol=https\nhost=git.corp.example\n";
const CAPABLE: &str = "capability[]=authtype\ncapability[]=state\n";

/// A scene in which `corp` opens a git server.
fn scene() -> Scene {
    scene_with("")
}

fn scene_with(resource: &str) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "git_bearer = true\n[[resources]]\nmatch = \"https://git.corp.example\"\n\
         provider = \"corp\"\n{resource}"
    ));
    scene
}

pub(crate) trait Git {
    fn git(&self, operation: &str, input: &str) -> Outcome;
}

impl Git for Sandbox {
    #[track_caller]
    fn git(&self, operation: &str, input: &str) -> Outcome {
        self.run_with_input(&["git", operation], input.as_bytes())
    }
}

/// The values of a key in a reply.
fn values<'o>(outcome: &'o Outcome, key: &str) -> Vec<&'o str> {
    let lines = outcome.stdout.lines();
    lines
        .filter_map(|line| line.split_once('='))
        .filter(|(k, _)| *k == key)
        .map(|(_, value)| value)
        .collect()
}

#[track_caller]
fn value<'o>(outcome: &'o Outcome, key: &str) -> &'o str {
    let found = values(outcome, key);
    assert_eq!(found.len(), 1, "{key}: {outcome}");
    found[0]
}

#[track_caller]
fn nothing(outcome: &Outcome) {
    assert_eq!(outcome.stdout, "", "{outcome}");
    assert_eq!(outcome.stderr, "", "{outcome}");
    assert_eq!(outcome.code, Some(0), "{outcome}");
}

#[test]
fn a_configured_host_needs_one_sign_in() {
    let scene = scene();
    let first = scene.sandbox.git("get", HOST);
    let token = value(&first, "password");
    assert_eq!(value(&first, "username"), "oauth2");
    assert!(scene.provider.owner(token).is_some());
    assert_eq!(values(&first, "capability[]"), [""; 0]);
    let second = scene.sandbox.git("get", HOST);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "", "{second}");
    assert_eq!(scene.sandbox.opened().len(), 1);
    assert_eq!(scene.get_token(&[]).token(), token);
}

#[test]
fn the_prompt_names_the_repository() {
    let scene = scene();
    let asked = scene
        .sandbox
        .git("get", &format!("{HOST}path=team/a.git\n"));
    assert!(
        asked.stderr.contains("https://git.corp.example/team/a.git"),
        "{asked}"
    );
}

#[test]
fn a_bearer_token_is_ephemeral() {
    let scene = scene();
    let reply = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(value(&reply, "authtype"), "Bearer");
    assert_eq!(value(&reply, "ephemeral"), "1");
    assert_eq!(value(&reply, "continue"), "1");
    assert_eq!(value(&reply, "state[]"), "hallpass:1:default");
    assert_eq!(values(&reply, "password"), [""; 0]);
    assert!(scene.provider.owner(value(&reply, "credential")).is_some());
    assert!(reply.stdout.starts_with(CAPABLE), "{reply}");
    for (_, secret) in scene.provider.secrets() {
        assert!(!reply.stdout.contains(&secret) || value(&reply, "credential") == secret);
    }
}

// --- healing ---

#[test]
fn a_refused_token_is_replaced_once_only() {
    let scene = scene();
    let first = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    // The state went with git's `store`: the first `get` after a refused POST has none.
    let again = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(again.stdout, first.stdout);

    let state = format!("{CAPABLE}state[]={}\n{HOST}", value(&first, "state[]"));
    let healed = scene.sandbox.git("get", &state);
    assert_ne!(value(&healed, "credential"), value(&first, "credential"));
    assert_eq!(values(&healed, "continue"), [""; 0], "{healed}");
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);

    // Somebody else's late refusal of the old token gets the new one.
    let late = scene.sandbox.git("get", &state);
    assert_eq!(value(&late, "credential"), value(&healed, "credential"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);

    // The new one is refused as well: that is a no.
    let refused = format!("{CAPABLE}state[]=hallpass:2:default\n{HOST}");
    let refused = scene.sandbox.git("get", &refused);
    assert_eq!(refused.stdout, "quit=1\n", "{refused}");
    assert!(refused.stderr.contains("the token is valid"), "{refused}");
    assert!(refused.stderr.contains("hallpass login corp"), "{refused}");
    // git named no path, so that is no answer for anyone else.
    let other = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(value(&other, "credential"), value(&healed, "credential"));
    assert_eq!(scene.get_token(&[]).token(), value(&healed, "credential"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_repository_that_refuses_every_token_affects_no_other_one() {
    let mut scene = scene();
    let (closed, open) = ("path=team/closed.git\n", "path=team/open.git\n");
    let get =
        |scene: &Scene, more: &str| scene.sandbox.git("get", &format!("{CAPABLE}{HOST}{more}"));
    let first = value(&get(&scene, closed), "credential").to_owned();
    let state = |generation| format!("state[]=hallpass:{generation}:default\n{closed}");
    let second = value(&get(&scene, &state(1)), "credential").to_owned();
    assert_ne!(second, first);
    let no = |scene: &Scene, more: &str| {
        let refused = get(scene, more);
        assert_eq!(refused.stdout, "quit=1\n", "{refused}");
        let words = "https://git.corp.example/team/closed.git does not accept it";
        assert!(refused.stderr.contains(words), "{refused}");
        assert!(refused.stderr.contains("permission"), "{refused}");
    };
    no(&scene, &state(2));
    // For five minutes, in each process; and everyone else gets the fresh token.
    for seconds in [0, 200] {
        scene.advance(seconds);
        no(&scene, closed);
        for more in [open, ""] {
            assert_eq!(value(&get(&scene, more), "credential"), second, "{more}");
        }
        assert_eq!(scene.get_token(&["--interactive", "never"]).token(), second);
    }
    let status = scene.sandbox.run(&["status"]);
    assert!(
        status
            .stdout
            .contains("refused by https://git.corp.example/team/closed.git 3 min ago"),
        "{status}"
    );
    assert_eq!(
        scene.sessions()[0]["refused"]["by"],
        "https://git.corp.example/team/closed.git"
    );
    scene.advance(301);
    assert_eq!(value(&get(&scene, closed), "credential"), second);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn two_rejects_affect_only_the_path_they_name() {
    for (path, is_denied) in [("", false), ("path=team/a.git\n", true)] {
        let scene = scene();
        let get = || scene.sandbox.git("get", &format!("{HOST}{path}"));
        let reject = |token: &str| {
            let input = format!("{HOST}{path}username=oauth2\npassword={token}\n");
            nothing(&scene.sandbox.git("erase", &input));
        };
        let first = value(&get(), "password").to_owned();
        reject(&first);
        let second = value(&get(), "password").to_owned();
        assert_ne!(second, first);
        reject(&second);
        let third = get();
        let expected = if is_denied { vec![] } else { vec![&*second] };
        assert_eq!(values(&third, "password"), expected, "{third}");
        let elsewhere = scene
            .sandbox
            .git("get", &format!("{HOST}path=team/b.git\n"));
        assert_eq!(value(&elsewhere, "password"), second);
        assert_eq!(scene.get_token(&["--interactive", "never"]).token(), second);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        assert_eq!(scene.sandbox.opened().len(), 1);
    }
}

#[test]
fn a_reject_of_a_token_that_cannot_be_refreshed_asks_the_provider_once() {
    let mut scene = Scene::new();
    scene.configure(
        "scopes = [\"openid\"]\n[[resources]]\nmatch = \"https://git.corp.example\"\n\
         provider = \"corp\"\n",
    );
    let get = |path: &str| scene.sandbox.git("get", &format!("{HOST}{path}"));
    let path = "path=team/a.git\n";
    let token = value(&get(path), "password").to_owned();
    let input = format!("{HOST}{path}username=oauth2\npassword={token}\n");
    nothing(&scene.sandbox.git("erase", &input));
    let denied = get(path);
    assert_eq!(denied.stdout, "quit=1\n", "{denied}");
    for path in ["", "path=team/b.git\n"] {
        assert_eq!(value(&get(path), "password"), token);
    }
    assert_eq!(scene.provider.count(Endpoint::UserInfo), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_refused_token_of_an_ended_session_is_never_served_again() {
    let scene = scene();
    let first = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    scene.provider.revoke_everything();
    let state = format!("{CAPABLE}state[]={}\n{HOST}", value(&first, "state[]"));
    let unasked = scene
        .sandbox
        .run_with_input(&["git", "--interactive", "never", "get"], state.as_bytes());
    // The server has said no, and so git shall not ask for a user name.
    assert_eq!(unasked.stdout, "quit=1\n", "{unasked}");
    assert!(unasked.stderr.contains("hallpass login corp"), "{unasked}");
    // Without the state, as the next command's first question is.
    let signed_in = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert!(
        scene
            .provider
            .owner(value(&signed_in, "credential"))
            .is_some()
    );
    assert_eq!(scene.sandbox.opened().len(), 2);
}

#[test]
fn twenty_refusals_at_once_make_one_refresh() {
    let scene = scene();
    let first = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    let state = format!("{CAPABLE}state[]={}\n{HOST}", value(&first, "state[]"));
    let replies: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| scene.sandbox.git("get", &state)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for reply in &replies {
        assert_eq!(reply.stdout, replies[0].stdout);
        assert!(scene.provider.owner(value(reply, "credential")).is_some());
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn without_a_refresh_token_the_reply_has_no_continue() {
    let mut scene = Scene::new();
    scene.configure(
        "scopes = [\"openid\"]\n[[resources]]\nmatch = \"https://git.corp.example\"\n\
         provider = \"corp\"\n",
    );
    let reply = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(values(&reply, "continue"), [""; 0], "{reply}");
    // git 2.46 to 2.53 leaves a header out of the probe before a large POST, so it gets a password.
    for key in ["authtype", "credential", "ephemeral"] {
        assert_eq!(values(&reply, key), [""; 0], "{reply}");
    }
    assert_eq!(value(&reply, "username"), "oauth2");
    let older = scene.sandbox.git("get", HOST);
    assert_eq!(value(&reply, "password"), value(&older, "password"));
}

#[test]
fn a_password_reply_carries_a_state_too() {
    let mut scene = Scene::new();
    scene.configure("[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n");
    let reply = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(value(&reply, "username"), "oauth2");
    assert_eq!(value(&reply, "state[]"), "hallpass:1:default");
    assert_eq!(value(&reply, "continue"), "1");
    assert_eq!(values(&reply, "credential"), [""; 0], "{reply}");
    // git reports success with everything that we said.
    let said = reply.stdout.replace(CAPABLE, "");
    nothing(
        &scene
            .sandbox
            .git("store", &format!("{CAPABLE}{HOST}{said}")),
    );
    let state = format!("{CAPABLE}state[]={}\n{HOST}", value(&reply, "state[]"));
    let healed = scene.sandbox.git("get", &state);
    assert_ne!(value(&healed, "password"), value(&reply, "password"));
    assert_eq!(values(&healed, "continue"), [""; 0], "{healed}");
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

// --- store and erase of a provider's token ---

#[test]
fn a_providers_token_is_not_stored_again() {
    let scene = scene();
    let reply = scene.sandbox.git("get", HOST).stdout;
    let before = files_below(&scene.sandbox.data_dir());
    nothing(&scene.sandbox.git("store", &format!("{HOST}{reply}")));
    // Also under another name than it was handed out with.
    let token = reply
        .lines()
        .find(|line| line.starts_with("password="))
        .unwrap();
    let renamed = format!("{HOST}username=alice\n{token}\n");
    nothing(&scene.sandbox.git("store", &renamed));
    assert_eq!(files_below(&scene.sandbox.data_dir()), before);
}

#[test]
fn an_erased_token_is_refreshed() {
    let scene = scene();
    let first = scene.sandbox.git("get", HOST);
    let erase = format!(
        "{HOST}username=oauth2\npassword={}\n",
        value(&first, "password")
    );
    nothing(&scene.sandbox.git("erase", &erase));
    let second = scene.sandbox.git("get", HOST);
    assert_ne!(value(&second, "password"), value(&first, "password"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // The old one is not the kept one any more.
    nothing(&scene.sandbox.git("erase", &erase));
    let third = scene.sandbox.git("get", HOST);
    assert_eq!(third.stdout, second.stdout);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_refused_token_is_replaced_by_one_of_the_same_account() {
    for (is_newer, how) in [(true, CAPABLE), (false, "")] {
        let mut scene = Scene::new();
        scene.configure(
            "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n",
        );
        let alices = scene.get_token(&[]).token().to_owned();
        scene.sandbox.person("bob");
        scene.add_account("work");

        let first = scene
            .sandbox
            .git("get", &format!("{how}{HOST}username=work\n"));
        let second = if is_newer {
            let state = format!("{how}state[]={}\n{HOST}", value(&first, "state[]"));
            let again = format!("{state}username=work\n");
            scene.sandbox.git("get", &again)
        } else {
            // By then git has the user name of the reply in the place of the one that chose.
            let pair = format!("username=oauth2\npassword={}\n", value(&first, "password"));
            nothing(&scene.sandbox.git("erase", &format!("{HOST}{pair}")));
            let again = format!("{HOST}username=work\n");
            scene.sandbox.git("get", &again)
        };
        assert_ne!(second.stdout, first.stdout);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        let works = scene.get_token(&["--account", "work"]).token().to_owned();
        assert_eq!(value(&second, "password"), works);
        assert_eq!(scene.get_token(&[]).token(), alices, "hers is another");
    }
}

#[test]
fn the_state_names_the_account_if_the_user_name_does_not() {
    let mut scene = Scene::new();
    scene.configure("[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n");
    scene.get_token(&[]);
    scene.sandbox.person("bob");
    scene.add_account("work");
    let first = scene
        .sandbox
        .git("get", &format!("{CAPABLE}{HOST}username=work\n"));
    for name in ["", "username=oauth2\n"] {
        let state = format!(
            "{CAPABLE}state[]={}\n{HOST}{name}",
            value(&first, "state[]")
        );
        let healed = scene.sandbox.git("get", &state);
        let works = scene.get_token(&["--account", "work"]).token().to_owned();
        assert_eq!(value(&healed, "password"), works, "{name:?}");
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[test]
fn a_token_erased_as_a_basic_header_is_recognized() {
    let mut scene = Scene::new();
    scene.configure("[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n");
    let first = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    // git may still have an answer of an earlier release, which sent Basic credentials this way.
    let pair = STANDARD.encode(format!("oauth2:{}", value(&first, "password")));
    let header = |scheme: &str| {
        format!("{CAPABLE}{HOST}authtype={scheme}\ncredential={pair}\nephemeral=1\n")
    };
    nothing(&scene.sandbox.git("store", &header("Basic")));
    let cached = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(cached.stdout, first.stdout);
    nothing(&scene.sandbox.git("erase", &header("basic")));
    let second = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_ne!(value(&second, "password"), value(&first, "password"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

// --- a person who may not be asked, or says no ---

#[test]
fn disabled_prompts_open_no_browser() {
    for (name, value) in [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_TERMINAL_PROMPT", "false"),
        ("GCM_INTERACTIVE", "never"),
        ("GCM_INTERACTIVE", "0"),
        ("GCM_INTERACTIVE", "False"),
        ("VSCODE_GIT_FETCH_SILENT", "true"),
        ("GIT_CONFIG_PARAMETERS", "'credential.interactive'='false'"),
        ("GIT_CONFIG_PARAMETERS", "'credential.interactive'='never'"),
    ] {
        let mut scene = scene();
        scene
            .sandbox
            .set("PATH", std::env::var_os("PATH").unwrap_or_default());
        scene.sandbox.set(name, value);
        let reply = scene.sandbox.git("get", HOST);
        assert_eq!(reply.stdout, "", "{reply}");
        assert!(
            reply.stderr.contains("hallpass login corp"),
            "{name}: {reply}"
        );
        assert_eq!(scene.sandbox.opened().len(), 0, "{name}");
    }
}

#[test]
fn a_declined_sign_in_stops_git() {
    let mut scene = scene();
    scene.sandbox.browser_will("decline");
    for _ in 0..2 {
        let reply = scene.sandbox.git("get", HOST);
        assert_eq!(reply.stdout, "quit=1\n", "{reply}");
    }
    assert_eq!(scene.sandbox.opened().len(), 1);
}

// --- hosts that nobody configured ---

#[test]
fn an_unknown_host_is_left_to_the_next_helper() {
    let scene = scene();
    for host in [
        "git.corp.example.evil.tld",
        "evilgit.corp.example",
        "other.example",
        "git.corp.example:8443",
        "[::1]:8080",
    ] {
        let input = format!("protocol=https\nhost={host}\nwwwauth[]=Basic realm=\"x\"\n");
        nothing(&scene.sandbox.git("get", &input));
        nothing(&scene.sandbox.git("erase", &input));
    }
    for input in [
        "protocol=http\nhost=git.corp.example\n",
        "protocol=cert\nhost=\npath=etc/x\n",
        "protocol=smtp\nhost=mail.example:587\n",
    ] {
        nothing(&scene.sandbox.git("get", input));
    }
    assert_eq!(scene.sandbox.opened().len(), 0);
    assert_eq!(scene.provider.all_seen().len(), 0);
}

#[test]
fn an_invalid_host_is_rejected() {
    let scene = scene();
    for host in [
        "git.corp.example@evil.tld",
        "git.corp.example:443.helper=x",
        "git.corp.example/..",
        "git.corp.example\\@evil",
        "git.corp.example\u{1b}[2J",
        "2130706433",
        "0x7f.1",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "git.corp.example\npath=team/..;/x",
        "git.corp.example\npath=team/%2e%2e/x",
    ] {
        let reply = scene
            .sandbox
            .git("get", &format!("protocol=https\nhost={host}\n"));
        reply.fails_with(1);
        assert_eq!(reply.stderr.lines().count(), 1, "{reply}");
        assert!(!reply.stderr.contains('\u{1b}'), "{reply}");
    }
    assert_eq!(scene.provider.all_seen().len(), 0);
}

#[test]
fn one_host_has_many_spellings() {
    let scene = scene();
    let token = scene.get_token(&[]).token().to_owned();
    for host in [
        "GIT.corp.EXAMPLE",
        "git.corp.example.",
        "git.corp.example:443",
    ] {
        let reply = scene
            .sandbox
            .git("get", &format!("protocol=https\nhost={host}\n"));
        assert_eq!(value(&reply, "password"), token, "{host}");
    }
}

#[test]
fn a_challenge_of_a_known_forge_shows_its_setup_command_and_sends_no_token() {
    let scene = scene();
    for (challenge, line) in [
        (
            "Basic realm=\"GitLab\"",
            "hallpass setup git --host forge.example --provider gitlab",
        ),
        (
            "Basic realm=\"Gitea\"",
            "hallpass setup git --host forge.example --provider gitea",
        ),
        (
            "Basic realm=\"Forgejo\"",
            "hallpass setup git --host forge.example --provider forgejo",
        ),
    ] {
        let input = format!("protocol=https\nhost=FORGE.example\nwwwauth[]={challenge}\n");
        let reply = scene.sandbox.git("get", &input);
        assert_eq!(reply.stdout, "");
        assert!(reply.stderr.contains(line), "{reply}");
    }
    // A configured provider's tokens would go to whoever claims to be one of its kind.
    let mut scene = scene;
    scene.configure(
        "[providers.gitlab]\nissuer = \"https://gitlab.corp.example\"\nclient_id = \"x\"\n",
    );
    let input = "protocol=https\nhost=forge.example\nwwwauth[]=Basic realm=\"GitLab\"\n";
    let reply = scene.sandbox.git("get", input);
    assert!(!reply.stderr.contains("--provider"), "{reply}");
    let own = "--host forge.example --issuer-url https://forge.example --client-id ID";
    assert!(reply.stderr.contains(own), "{reply}");
    assert_eq!(scene.provider.all_seen().len(), 0);
}

// --- the generic store ---

#[test]
fn a_stored_password_is_served_until_it_is_refused() {
    let sandbox = Sandbox::new();
    let host = "protocol=https\nhost=example.com\n";
    nothing(&sandbox.git("get", host));
    for (user, password) in [("user1", "pass1"), ("user2", "pass2"), ("", "")] {
        nothing(&sandbox.git(
            "store",
            &format!("{host}username={user}\npassword={password}\n"),
        ));
    }
    let reply = sandbox.git("get", &format!("{host}username=user1\n"));
    assert_eq!(reply.stdout, "username=user1\npassword=pass1\n");
    let reply = sandbox.git("get", &format!("{host}username=\n"));
    assert_eq!(reply.stdout, "username=\npassword=\n");
    nothing(&sandbox.git("get", &format!("{host}username=user3\n")));
    nothing(&sandbox.git("get", "protocol=http\nhost=example.com\n"));
    nothing(&sandbox.git("get", "protocol=https\nhost=example.com:8443\n"));

    // Empty is no wildcard; an old password removes nothing.
    for input in [
        "",
        "protocol=https\n",
        "host=example.com\n",
        "protocol=https\nhost=\n",
        "protocol=https\nhost=example.com\nusername=user1\npassword=old\n",
    ] {
        let reply = sandbox.git("erase", input);
        assert_eq!(reply.stdout, "");
    }
    let reply = sandbox.git("get", &format!("{host}username=user1\n"));
    assert_eq!(value(&reply, "password"), "pass1");
    nothing(&sandbox.git("erase", host));
    nothing(&sandbox.git("get", host));

    let text = format!(
        "{host}username=u\npassword=p\npassword_expiry_utc=9999999999\noauth_refresh_token=r\n"
    );
    nothing(&sandbox.git("store", &text));
    assert_eq!(format!("{host}{}", sandbox.git("get", host).stdout), text);
    assert_eq!(sandbox.opened().len(), 0);
}

#[test]
fn a_stored_password_is_encrypted() {
    let sandbox = Sandbox::new();
    let input = "protocol=https\nhost=example.com\nusername=someuser\npassword=hunter2hunter2\n";
    nothing(&sandbox.git("store", input));
    let files = files_below(&sandbox.home());
    assert!(files.len() > 2);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for word in ["hunter2hunter2", "someuser", "example.com"] {
            assert!(!crate::sandbox::leaks(&bytes, word), "{}", file.display());
        }
    }
}

#[test]
fn a_stored_password_takes_precedence_for_its_user_name() {
    let scene = scene();
    let token = scene.get_token(&[]).token().to_owned();
    nothing(
        &scene
            .sandbox
            .git("store", &format!("{HOST}username=bot\npassword=pat\n")),
    );
    let bot = scene.sandbox.git("get", &format!("{HOST}username=bot\n"));
    assert_eq!(bot.stdout, "username=bot\npassword=pat\n");
    for name in ["", "username=oauth2\n", "username=alice\n"] {
        let reply = scene.sandbox.git("get", &format!("{HOST}{name}"));
        assert_eq!(value(&reply, "password"), token, "{name:?}");
    }
}

#[test]
fn without_a_store_the_warning_says_what_to_change() {
    let mut scene = scene();
    scene.sandbox.set("HALLPASS_STORE", "none");
    let reply = scene.sandbox.git("get", HOST);
    assert_eq!(reply.stdout, "");
    assert!(reply.stderr.contains("store"), "{reply}");
    let stored = scene
        .sandbox
        .git("store", &format!("{HOST}username=a\npassword=b\n"));
    assert_eq!(stored.succeeds().stdout, "");
    for word in [
        "was not saved",
        "https://git.corp.example",
        "store = \"file\"",
    ] {
        assert!(stored.stderr.contains(word), "{word}: {stored}");
    }
    assert!(!stored.stderr.contains("password=b"), "{stored}");
    assert_eq!(scene.sandbox.opened().len(), 0);
}

// --- accounts ---

#[test]
fn the_user_name_chooses_the_account() {
    let mut scene = scene_with("account = \"work\"\n");
    let lines = "git_bearer = true\n[[resources]]\nmatch = \"https://git.corp.example\"\n\
                 provider = \"corp\"\naccount = \"work\"\n[[resources]]\n\
                 match = \"https://git.corp.example\"\nprovider = \"corp\"\naccount = \"home\"\n\
                 [[resources]]\nmatch = \"https://git.corp.example/side\"\nprovider = \"corp\"\n\
                 account = \"side\"\n";
    scene.configure(lines);
    let mut tokens = Vec::new();
    for (account, person) in [("work", "alice"), ("home", "bob"), ("side", "carol")] {
        scene.sandbox.person(person);
        tokens.push(scene.add_account(account));
    }
    for (more, expected) in [
        ("", 0),
        ("username=work\n", 0),
        ("username=oauth2\n", 0),
        ("username=home\n", 1),
        // The person who signed in to it, in any case and by e-mail address too.
        ("username=bob\n", 1),
        ("username=BOB\n", 1),
        ("username=Bob@People.example\n", 1),
        ("username=HOME\n", 1),
        // A name that belongs to no account.
        ("username=git\n", 0),
        ("username=Git\n", 0),
        ("username=side\n", 2),
        ("path=side/a.git\n", 2),
        ("path=sidecar/a.git\n", 0),
    ] {
        let reply = scene.sandbox.git("get", &format!("{HOST}{more}"));
        assert_eq!(value(&reply, "password"), tokens[expected], "{more:?}");
    }
    let opened = scene.sandbox.opened().len();
    let stranger = format!("{HOST}username=mallory\n");
    let asked = scene.sandbox.git("get", &stranger);
    asked.fails_saying(
        3,
        &[
            "the user name mallory",
            "work (alice), home (bob), side (carol)",
            "https://git.corp.example",
            "git config hallpass.account NAME",
            "hallpass login corp --account mallory",
        ],
    );
    assert_eq!(scene.sandbox.opened().len(), opened);
    // The hint works.
    let path = std::env::var_os("PATH").unwrap_or_default();
    scene.sandbox.set("PATH", path);
    scene
        .sandbox
        .set("GIT_CONFIG_PARAMETERS", "'hallpass.account'='home'");
    let hinted = scene.sandbox.git("get", &stranger);
    assert_eq!(value(&hinted, "password"), tokens[1]);
    // It has no say against a name that is somebody's.
    let named = scene.sandbox.git("get", &format!("{HOST}username=work\n"));
    assert_eq!(value(&named, "password"), tokens[0]);
}

#[test]
fn a_marker_of_an_account_that_is_gone_adds_no_account() {
    let mut scene = scene();
    let mut tokens = Vec::new();
    for (account, person) in [("default", "alice"), ("work", "bob")] {
        scene.sandbox.person(person);
        tokens.push(scene.add_account(account));
    }
    let opened = scene.sandbox.opened().len();
    let marked = |account: &str, key: &str| {
        let marked =
            format!("capability[]=state\n{HOST}username=bob\n{key}=hallpass:1:{account}\n");
        scene.sandbox.git("get", &marked)
    };
    let owner = |reply: &Outcome| scene.provider.owner(value(reply, "password"));
    // Another helper may have stored a marker, and handed it back long after.
    for account in ["work", "ghost", ""] {
        let reply = marked(account, "oauth_refresh_token");
        assert_eq!(owner(&reply), scene.provider.owner(&tokens[1]), "{reply}");
    }
    // The refused token of an account that was signed out since.
    let reply = marked("work", "state[]");
    assert_eq!(owner(&reply), scene.provider.owner(&tokens[1]), "{reply}");
    let refused = marked("ghost", "state[]");
    assert_eq!(refused.code, Some(3), "{refused}");
    assert_eq!(refused.stdout, "quit=1\n", "{refused}");
    assert!(refused.stderr.contains("ghost"), "{refused}");
    assert!(refused.stderr.contains("--account ghost"), "{refused}");
    assert_eq!(scene.sandbox.opened().len(), opened);
}

#[test]
fn a_persons_name_chooses_an_account_that_is_not_configured() {
    let mut scene = scene();
    let mut tokens = Vec::new();
    for (account, person) in [("default", "alice"), ("work", "bob")] {
        scene.sandbox.person(person);
        tokens.push(scene.add_account(account));
    }
    for (more, expected) in [
        ("", 0),
        ("username=alice\n", 0),
        ("username=bob\n", 1),
        ("username=Work\n", 1),
    ] {
        let reply = scene.sandbox.git("get", &format!("{HOST}{more}"));
        assert_eq!(value(&reply, "password"), tokens[expected], "{more:?}");
    }
}

#[test]
fn a_user_name_that_matches_no_account_is_an_error() {
    let scene = scene();
    scene.get_token(&[]).token();
    let opened = scene.sandbox.opened().len();
    let reply = scene
        .sandbox
        .git("get", &format!("{HOST}username=mallory\n"));
    reply.fails_saying(
        3,
        &[
            "the user name mallory",
            "The accounts are: default (alice)",
            "hallpass login corp --account mallory",
        ],
    );
    assert_eq!(reply.stdout, "", "{reply}");
    // Signing in as told makes the name an account.
    let token = scene.add_account("mallory");
    let reply = scene
        .sandbox
        .git("get", &format!("{HOST}username=mallory\n"));
    assert_eq!(value(&reply, "password"), token);
    assert_eq!(scene.sandbox.opened().len(), opened + 1);
}

#[test]
fn the_first_sign_in_must_be_the_person_whom_the_url_names() {
    let mut scene = scene();
    scene.sandbox.person("bob");
    let alice = format!("{HOST}username=alice\n");
    let reply = scene.sandbox.git("get", &alice);
    reply.fails_saying(3, &["the user name alice", "default (bob)"]);
    assert_eq!(reply.stdout, "", "{reply}");
    scene.sandbox.git("get", &alice).fails_with(3);
    assert_eq!(scene.sandbox.opened().len(), 1);
    let reply = scene.sandbox.git("get", &format!("{HOST}username=bob\n"));
    assert!(scene.provider.owner(value(&reply, "password")).is_some());
}

#[test]
fn a_token_that_was_pasted_as_a_user_name_is_not_shown() {
    let scene = scene();
    scene.get_token(&[]).token();
    let token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let reply = scene
        .sandbox
        .git("get", &format!("{HOST}username={token}\n"));
    reply.fails_saying(
        3,
        &["looks like a token", "remove it from the URL and revoke it"],
    );
    assert!(!reply.stderr.contains("16C7e42F"), "{reply}");
}

#[test]
fn a_preset_may_ignore_the_user_names_in_clone_urls() {
    let mut scene = Scene::new();
    let entry = "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n";
    scene.configure(&format!("git_neutral_usernames = [\"*\"]\n{entry}"));
    let token = scene.get_token(&[]).token().to_owned();
    scene.sandbox.person("bob");
    let work = scene.add_account("work");
    for (name, expected) in [("ORG", &token), ("git", &token), ("bob", &work)] {
        let reply = scene
            .sandbox
            .git("get", &format!("{HOST}username={name}\n"));
        assert_eq!(value(&reply, "password"), expected, "{name}");
    }
}

/// `includeIf` in the user's configuration is the common way to say it.
#[test]
fn the_users_git_configuration_chooses_the_account_for_a_single_entry_too() {
    let mut scene = scene();
    let (default, work) = two_accounts(&mut scene);
    let home = scene.sandbox.home();
    let include = "[includeIf \"gitdir:**/at-work/\"]\n\tpath = ~/.gitconfig-work\n";
    fs::write(home.join(".gitconfig"), include).unwrap();
    let git = |arguments: &[&str]| real_git(&scene, arguments);
    let password_in = |folder: &str| {
        let mut command = scene.sandbox.command();
        command.args(["git", "get"]);
        command.current_dir(scene.sandbox.root().join(folder));
        let reply = Running::with_input(command, &["git", "get"], HOST.as_bytes()).wait();
        value(&reply, "password").to_owned()
    };
    for folder in ["at-work", "at-home"] {
        git(&["init", "--quiet", folder]);
        // What is answered before there is an account to choose is remembered.
        assert_eq!(password_in(folder), default, "{folder}");
    }
    let text = "[hallpass]\n\taccount = Bob@people.example\n";
    fs::write(home.join(".gitconfig-work"), text).unwrap();
    assert_eq!(password_in("at-work"), work);
    assert_eq!(password_in("at-home"), default);
}

/// The tokens of the default account and of `work`; git is on the path.
fn two_accounts(scene: &mut Scene) -> (String, String) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    scene.sandbox.set("PATH", path);
    let default = scene.get_token(&[]).token().to_owned();
    scene.sandbox.person("bob");
    let work = scene.add_account("work");
    (default, work)
}

/// Needs git, as all who use this have it.
#[track_caller]
fn real_git(scene: &Scene, arguments: &[&str]) {
    let mut command = std::process::Command::new("git");
    command.args(["-c", "user.name=A", "-c", "user.email=a@people.example"]);
    command.args(arguments);
    let done = scene.sandbox.surround(command).output();
    assert!(done.expect("git").status.success());
}

#[test]
fn the_repository_chooses_the_account() {
    let mut scene = scene();
    let (default, work) = two_accounts(&mut scene);
    let git_dir = scene.sandbox.root().join("repository/.git");
    let git = |arguments: &[&str]| real_git(&scene, arguments);
    git(&["init", "--quiet", "repository"]);
    git(&["-C", "repository", "config", "hallpass.account", "work"]);
    let outside = scene.sandbox.git("get", HOST);
    assert_eq!(value(&outside, "password"), default);
    scene.sandbox.set("GIT_DIR", &git_dir);
    let inside = scene.sandbox.git("get", HOST);
    assert_eq!(value(&inside, "password"), work);

    // A repository chooses among accounts; it makes none.
    let config = fs::read_to_string(git_dir.join("config")).unwrap();
    fs::write(git_dir.join("config"), config.replace("work", "mallory")).unwrap();
    let opened = scene.sandbox.opened().len();
    let reply = scene.sandbox.git("get", HOST);
    reply.fails_saying(
        3,
        &[
            "mallory",
            "repository",
            "hallpass login corp --account mallory",
        ],
    );
    assert_eq!(scene.sandbox.opened().len(), opened);
}

/// `git credential`, which git-lfs calls, starts its helpers without `GIT_DIR`.
#[test]
fn the_repository_chooses_the_account_without_git_dir() {
    let mut scene = scene();
    let (default, work) = two_accounts(&mut scene);
    let git = |arguments: &[&str]| real_git(&scene, arguments);
    let password_in = |folder: &str| {
        let mut command = scene.sandbox.command();
        command.args(["git", "get"]);
        command.current_dir(scene.sandbox.root().join(folder));
        let reply = Running::with_input(command, &["git", "get"], HOST.as_bytes()).wait();
        value(&reply, "password").to_owned()
    };
    // What is answered here is remembered.
    for _ in 0..2 {
        assert_eq!(password_in("."), default);
    }
    git(&["init", "--quiet", "repository"]);
    let commit = ["commit", "--quiet", "--allow-empty", "-m", "first"];
    git(&[&["-C", "repository"], &commit[..]].concat());
    git(&[
        "-C",
        "repository",
        "worktree",
        "add",
        "--quiet",
        "../linked",
    ]);
    for folder in ["repository", "linked"] {
        assert_eq!(password_in(folder), default, "{folder}");
    }
    git(&["-C", "repository", "config", "hallpass.account", "work"]);
    for folder in ["repository", "linked"] {
        assert_eq!(password_in(folder), work, "{folder}");
    }
    assert_eq!(password_in("."), default);
}

#[test]
fn git_config_runs_only_if_something_mentions_an_account() {
    let mut scene = scene();
    scene.get_token(&[]).token();
    let git_dir = scene.sandbox.root().join("plain.git");
    fs::create_dir(&git_dir).unwrap();
    fs::write(git_dir.join("config"), "[core]\n\tbare = true\n").unwrap();
    scene.sandbox.set("GIT_DIR", &git_dir);
    // A git that would tell on whoever calls it.
    let path = scene.sandbox.root().join("bin");
    fs::create_dir(&path).unwrap();
    #[cfg(unix)]
    {
        crate::sandbox::script_file(&path.join("git"), "#!/bin/sh\n: > \"${0%/*}/called\"\n");
    }
    scene.sandbox.set("PATH", &path);
    value(&scene.sandbox.git("get", HOST), "password");
    assert!(!path.join("called").exists());
    // The spy does tell.
    fs::write(git_dir.join("config"), "[hallpass]\n\taccount = x\n").unwrap();
    scene.sandbox.git("get", HOST);
    assert_eq!(path.join("called").exists(), cfg!(unix));
}

/// A named pipe has no end until a writer comes, and `/dev/zero` has none.
#[cfg(target_os = "linux")]
#[test]
fn special_files_in_a_repository_neither_block_nor_fill_memory() {
    let scene = scene();
    scene.get_token(&[]).token();
    for (name, file, endless) in [
        ("pipe", ".git", true),
        ("zero", ".git", false),
        ("config-pipe", ".git/config", true),
        ("config-zero", ".git/config", false),
        ("common-pipe", ".git/commondir", true),
        ("worktree-zero", ".git/config.worktree", false),
    ] {
        let folder = scene.sandbox.root().join(name);
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if endless {
            pipe(&path);
        } else {
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        }
        let mut command = scene.sandbox.command();
        command.args(["git", "get"]);
        command.current_dir(&folder);
        let reply = Running::with_input(command, &["git", "get"], HOST.as_bytes()).wait();
        value(&reply, "password");
    }
    // git itself reads what the configuration includes.
    let git_dir = scene.sandbox.root().join("including.git");
    real_git(&scene, &["init", "--quiet", "--bare", "including.git"]);
    pipe(&git_dir.join("more"));
    let config = fs::read_to_string(git_dir.join("config")).unwrap();
    fs::write(
        git_dir.join("config"),
        config + "[include]\n\tpath = more\n",
    )
    .unwrap();
    let mut command = scene.sandbox.command();
    command.args(["git", "get"]).env("GIT_DIR", &git_dir);
    let reply = Running::with_input(command, &["git", "get"], HOST.as_bytes()).wait();
    value(&reply, "password");
}

#[cfg(target_os = "linux")]
fn pipe(path: &std::path::Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

// --- the program ---

#[test]
#[cfg(unix)]
fn the_program_name_selects_the_git_protocol() {
    let scene = scene();
    let token = scene.get_token(&[]).token().to_owned();
    let link = scene.sandbox.root().join("git-credential-hallpass");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallpass"), &link).unwrap();
    let mut command = scene.sandbox.surround(std::process::Command::new(&link));
    command.arg("get");
    let reply = crate::sandbox::Running::with_input(command, &["get"], HOST.as_bytes()).wait();
    assert_eq!(value(&reply, "password"), token);
}

#[test]
fn capability_needs_no_configuration_and_an_unknown_operation_nothing_at_all() {
    let mut sandbox = Sandbox::new();
    sandbox.config("this is no configuration");
    let reply = sandbox.run(&["git", "capability"]);
    assert_eq!(
        reply.succeeds().stdout,
        "version 0\ncapability authtype\ncapability state\n"
    );
    nothing(&sandbox.run(&["git", "later"]));
    sandbox.git("get", HOST).fails_with(2);
    sandbox.run(&["git"]).fails_with(2);
    // git puts its operation last.
    let reply = sandbox.run(&["git", "--interactive", "never", "capability"]);
    reply.succeeds();
}

// --- what must be refused: the table in docs/reference/git.md ---

/// Its rows as git's bytes, which are the fuzzer's corpus too: name, bytes, whether it is refused
/// or only answered with nothing.
fn rows() -> Vec<(String, Vec<u8>, bool)> {
    const ANSWERED_WITH_NOTHING: &[&str] = &[
        "03-unicode-line-ends",
        "07-certificate",
        "08-plain-http",
        "10-ipv6",
        "12-long-challenge",
        "13-challenge",
        "14-healing",
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/git_request");
    let mut rows: Vec<_> = files_below(&folder)
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_refused = !ANSWERED_WITH_NOTHING.contains(&name.as_str());
            (name, fs::read(&path).unwrap(), is_refused)
        })
        .collect();
    rows.sort();
    assert!(rows.len() >= 21, "{}", rows.len());
    rows
}

#[test]
fn rejected_input_touches_and_erases_nothing() {
    let mut scene = scene();
    scene.get_token(&[]).token();
    for host in ["github.com", "victim.example", "evil.tld"] {
        let kept = format!("protocol=https\nhost={host}\nusername=u\npassword=kept-canary\n");
        nothing(&scene.sandbox.git("store", &kept));
    }
    // What a hit could start is not to be found.
    let nowhere = scene.sandbox.root().join("nowhere");
    scene.sandbox.set("PATH", nowhere);
    let (before, seen) = (contents(&scene.sandbox), scene.provider.all_seen().len());
    for (name, bytes, is_refused) in rows() {
        if name == "02-crlf-throughout" {
            // Nothing is wrong with it.
            let outcome = scene.sandbox.run_with_input(&["git", "get"], &bytes);
            assert_eq!(value(&outcome, "password"), "kept-canary");
            continue;
        }
        for operation in ["get", "store", "erase"] {
            let outcome = scene.sandbox.run_with_input(&["git", operation], &bytes);
            if is_refused {
                assert_eq!(outcome.code, Some(1), "{name}: {outcome}");
                assert_eq!(outcome.stderr.lines().count(), 1, "{name}: {outcome}");
                assert!(outcome.stderr.starts_with("hallpass: error: "), "{outcome}");
            } else {
                assert_eq!(outcome.code, Some(0), "{name}: {outcome}");
            }
            assert_eq!(outcome.stdout, "", "{name}: {outcome}");
            assert!(!outcome.stderr.contains("canary"), "{name}: {outcome}");
            let clean = |c: char| c == '\n' || !c.is_control();
            assert!(outcome.stderr.chars().all(clean), "{name}: {outcome}");
            assert_eq!(contents(&scene.sandbox), before, "{name} {operation}");
        }
    }
    assert_eq!(scene.provider.all_seen().len(), seen);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

/// Every file of a home, with what is in it.
fn contents(sandbox: &Sandbox) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = files_below(&sandbox.home());
    let read = |path: std::path::PathBuf| (path.clone(), fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

#[test]
fn a_repeated_single_valued_key_is_rejected() {
    let sandbox = Sandbox::new();
    for key in [
        "protocol",
        "host",
        "path",
        "username",
        "password",
        "authtype",
        "credential",
        "oauth_refresh_token",
        "password_expiry_utc",
        "ephemeral",
        "continue",
    ] {
        let value = if key == "protocol" { "https" } else { "1" };
        let input = format!("{key}={value}\n{key}={value}\n\n");
        let outcome = sandbox.git("get", &input);
        outcome.fails_saying(1, &["twice", key]);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn a_stored_password_matches_each_spelling_of_its_host_only() {
    let sandbox = Sandbox::new();
    let of = |host: &str| format!("protocol=https\nhost={host}\n");
    nothing(&sandbox.git(
        "store",
        &format!("{}username=u\npassword=p\n", of("github.com")),
    ));
    for host in ["GITHUB.COM", "github.com.", "github.com:443"] {
        let reply = sandbox.git("get", &of(host));
        assert_eq!(value(&reply, "password"), "p", "{host}");
    }
    for host in [
        "github.com.evil.tld",
        "evilgithub.com",
        "github.co",
        "github.com:8443",
        "www.github.com",
        "gith\u{fc}b.com",
    ] {
        nothing(&sandbox.git("get", &of(host)));
        nothing(&sandbox.git("erase", &of(host)));
    }
    nothing(&sandbox.git("get", "protocol=http\nhost=github.com\n"));
    nothing(&sandbox.git("erase", "protocol=http\nhost=github.com\n"));
    let long = "a".repeat(65_000);
    let header = format!(
        "{}wwwauth[]=Basic realm={long}host=github.com\n",
        of("badguy.example")
    );
    nothing(&sandbox.git("get", &header));
    assert_eq!(
        value(&sandbox.git("get", &of("github.com")), "password"),
        "p"
    );
}

#[test]
fn control_characters_in_a_request_are_escaped() {
    let mut scene = scene_with("account = \"work\"\n");
    scene.configure(
        "[[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\n\
         account = \"work\"\n[[resources]]\nmatch = \"https://git.corp.example\"\n\
         provider = \"corp\"\naccount = \"home\"\n",
    );
    let nasty = "\u{1b}]0;x\u{7}\u{202e}\u{9b}2J";
    for input in [
        format!("{HOST}username={nasty}\n"),
        format!("protocol=https\nhost=git.corp.example{nasty}\n"),
        format!("protocol=https\nhost=forge.example\nwwwauth[]=Basic realm=\"Gitea\" {nasty}\n"),
        format!("{HOST}path={nasty}\nusername=mallory\n"),
        format!("{nasty}=x\n{nasty}\n"),
    ] {
        let outcome = scene.sandbox.git("get", &input);
        assert_ne!(outcome.stderr, "", "{outcome}");
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!outcome.stderr.contains(steers), "{:?}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(scene.provider.all_seen().len(), 0);
}

#[test]
fn a_token_with_a_line_break_in_it_is_not_printed() {
    for end in ["\nhost=evil.example", "\r", "\0"] {
        let scene = scene();
        let token = format!("token{end}");
        scene.provider.behave(|b| {
            b.token_response = crate::provider::patch(serde_json::json!({ "access_token": token }));
        });
        let reply = scene.sandbox.git("get", HOST);
        assert_eq!(reply.code, Some(1), "{reply}");
        assert_eq!(reply.stdout, "", "{reply}");
        assert!(!reply.stderr.contains("evil"), "{reply}");
    }
}

#[test]
fn erase_refuses_the_current_bearer_token_only() {
    let mut scene = scene();
    let first = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    let of = |token: &str| format!("{CAPABLE}{HOST}authtype=Bearer\ncredential={token}\n");
    let before = contents(&scene.sandbox);
    // git hands every helper what worked; and a token that was never ours.
    nothing(&scene.sandbox.git("store", &of(value(&first, "credential"))));
    nothing(&scene.sandbox.git("erase", &of("another")));
    assert_eq!(contents(&scene.sandbox), before);
    nothing(&scene.sandbox.git("erase", &of(value(&first, "credential"))));
    let second = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_ne!(value(&second, "credential"), value(&first, "credential"));
    nothing(&scene.sandbox.git("erase", &of(value(&first, "credential"))));
    let third = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(value(&third, "credential"), value(&second, "credential"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    // The host alone is enough too, but the token was refreshed a moment ago.
    nothing(&scene.sandbox.git("erase", HOST));
    let fourth = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_eq!(value(&fourth, "credential"), value(&third, "credential"));
    scene.advance(310);
    nothing(&scene.sandbox.git("erase", HOST));
    let fifth = scene.sandbox.git("get", &format!("{CAPABLE}{HOST}"));
    assert_ne!(value(&fifth, "credential"), value(&third, "credential"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn git_configuration_can_disable_prompts() {
    for value in ["false", "never", "0", "off"] {
        let mut scene = scene();
        scene
            .sandbox
            .set("PATH", std::env::var_os("PATH").unwrap_or_default());
        let text = format!("[credential]\n\tinteractive = {value}\n");
        fs::write(scene.sandbox.home().join(".gitconfig"), text).unwrap();
        let reply = scene.sandbox.git("get", HOST);
        assert_eq!(reply.stdout, "", "{value}: {reply}");
        assert!(reply.stderr.contains("hallpass login corp"), "{reply}");
        assert_eq!(scene.sandbox.opened().len(), 0, "{value}");
    }
}

/// The scheduler's environment may have a display or a browser.
#[cfg(target_os = "linux")]
#[test]
fn git_maintenance_opens_no_browser() {
    let scene = scene();
    for (arguments, opens) in [
        (&["maintenance", "run"][..], 0),
        (&["fetch", "origin", "--prefetch"], 0),
        (&["fetch", "origin"], 1),
    ] {
        let mut command = scene.sandbox.surround(std::process::Command::new("bash"));
        // A process with git's name and arguments: bash takes those after `-c` as its own.
        command.args([
            "-c",
            "exec -a git bash -c '\"$HALLPASS\" git get; exit $?' \"$@\"",
            "x",
        ]);
        command.args(arguments);
        command.env("HALLPASS", env!("CARGO_BIN_EXE_hallpass"));
        let reply = Running::with_input(command, &["git", "get"], HOST.as_bytes()).wait();
        assert_eq!(
            scene.sandbox.opened().len(),
            opens,
            "{arguments:?}: {reply}"
        );
        assert_eq!(reply.stdout.is_empty(), opens == 0, "{reply}");
        if opens == 0 {
            assert!(reply.stderr.contains("hallpass login corp"), "{reply}");
        }
    }
}

/// With `useHttpPath`, git sends the bytes of the path as they are.
#[test]
fn a_path_that_is_not_utf8_is_answered() {
    let mut scene = Scene::new();
    scene.configure(
        "[[resources]]\nmatch = \"https://git.corp.example/caf%E9\"\nprovider = \"corp\"\n",
    );
    let token = scene.get_token(&[]).token().to_owned();
    let get = |path: &[u8]| {
        let input = [HOST.as_bytes(), b"path=", path, b"\n"].concat();
        scene.sandbox.run_with_input(&["git", "get"], &input)
    };
    assert_eq!(value(&get(b"caf\xe9/a.git"), "password"), token);
    nothing(&get(b"caf\xe8/a.git"));
    let escaped = get(b"caf\xe9/../a.git");
    assert_eq!(escaped.code, Some(1), "{escaped}");
    let name = scene.sandbox.run_with_input(
        &["git", "get"],
        &[HOST.as_bytes(), b"username=\xe9\n"].concat(),
    );
    assert_eq!(name.code, Some(1), "{name}");
}

// --- mail servers ---

const MAIL: &str = "protocol=smtp\nhost=mail.corp.example:587\nusername=alice@people.example\n";

/// A scene in which `corp` issues tokens for mail servers; git is on the path.
fn mail_scene() -> Scene {
    let mut scene = Scene::new();
    let entry =
        |server: &str| format!("[[resources]]\nmatch = \"{server}\"\nprovider = \"corp\"\n");
    scene.configure(
        &[
            "smtp://mail.corp.example:587",
            "imaps://mail.corp.example",
            "imap://mail.corp.example",
        ]
        .map(entry)
        .concat(),
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    scene.sandbox.set("PATH", path);
    scene
}

#[test]
fn a_mail_server_gets_the_token_as_a_password_if_git_requires_tls() {
    let scene = mail_scene();
    let token = scene.get_token(&[]).token().to_owned();
    let refused = scene.sandbox.git("get", MAIL);
    refused.fails_saying(
        1,
        &[
            "without TLS",
            "git config --global sendemail.smtpEncryption tls",
        ],
    );
    assert_eq!(refused.stdout, "", "{refused}");
    real_git(
        &scene,
        &["config", "--global", "sendemail.smtpEncryption", "tls"],
    );
    let reply = scene.sandbox.git("get", MAIL);
    let expected = format!("username=alice@people.example\npassword={token}\n");
    assert!(reply.stdout.starts_with(&expected), "{reply}");
    // git stores what worked: it is in the session already.
    nothing(
        &scene
            .sandbox
            .git("store", &format!("{MAIL}password={token}\n")),
    );
    let other = scene
        .sandbox
        .git("get", &MAIL.replace("alice@", "mallory@"));
    other.fails_saying(3, &["mallory@people.example", "default (alice)"]);
    // 535: the token is refused, and the next one is fresh.
    nothing(
        &scene
            .sandbox
            .git("erase", &format!("{MAIL}password={token}\n")),
    );
    let fresh = scene.sandbox.git("get", MAIL);
    assert_ne!(value(&fresh, "password"), token);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.sandbox.opened().len(), 1);
}

#[test]
fn a_mail_server_gets_a_password_even_from_a_provider_of_a_bearer_only_git_server() {
    let mut scene = mail_scene();
    scene.configure(
        "git_bearer = true\n[[resources]]\nmatch = \"imaps://mail.corp.example\"\nprovider = \"corp\"",
    );
    let token = scene.get_token(&[]).token().to_owned();
    // git imap-send offers `authtype` and then reads only the password.
    let input = "capability[]=authtype\nprotocol=imaps\nhost=mail.corp.example\nusername=alice\n";
    assert_eq!(value(&scene.sandbox.git("get", input), "password"), token);
}

#[test]
fn imap_needs_its_own_scheme_for_tls() {
    let scene = mail_scene();
    let token = scene.get_token(&[]).token().to_owned();
    real_git(
        &scene,
        &["config", "--global", "sendemail.smtpEncryption", "tls"],
    );
    let get = |protocol: &str| {
        let input = format!("protocol={protocol}\nhost=mail.corp.example\nusername=alice\n");
        scene.sandbox.git("get", &input)
    };
    assert_eq!(value(&get("imaps"), "password"), token);
    get("imap").fails_saying(1, &["without TLS"]);
    // Not configured: for the next helper.
    nothing(&get("smtps"));
}

#[test]
fn other_tools_do_not_answer_for_a_mail_server() {
    let scene = mail_scene();
    scene.get_token(&[]).token();
    let listed = scene.sandbox.run_with_input(&["docker", "list"], b"");
    assert!(!listed.stdout.contains("mail"), "{listed}");
    let setup = scene.sandbox.run(&["setup", "git", "--dry-run"]);
    let key = "credential.smtp://mail.corp.example:587.helper";
    assert!(setup.stdout.contains(key), "{setup}");
    let token = scene
        .sandbox
        .run(&["get-token", "imaps://mail.corp.example"]);
    assert!(scene.provider.owner(token.token()).is_some());
}

// --- what other helpers store ---

#[test]
fn the_passphrase_of_a_client_certificate_is_stored_for_its_path() {
    let scene = Scene::new();
    let file = |path: &str| format!("protocol=cert\nhost=\nusername=\npath={path}\n");
    let store = format!("{}password=canary\n", file("/home/me/a.pem"));
    nothing(&scene.sandbox.git("store", &store));
    let reply = scene.sandbox.git("get", &file("/home/me/a.pem"));
    assert_eq!(reply.stdout, "username=\npassword=canary\n", "{reply}");
    // An empty host or path matches nothing else.
    for other in [
        file("/home/me/b.pem"),
        file(""),
        "protocol=cert\nhost=\n".to_owned(),
        "protocol=certs\nhost=\npath=/home/me/a.pem\n".to_owned(),
    ] {
        nothing(&scene.sandbox.git("get", &other));
        nothing(&scene.sandbox.git("erase", &other));
    }
    let again = scene.sandbox.git("get", &file("/home/me/a.pem"));
    assert_eq!(again.stdout, reply.stdout, "{again}");
    nothing(&scene.sandbox.git("erase", &store));
    nothing(&scene.sandbox.git("get", &file("/home/me/a.pem")));
}

#[test]
fn passwords_for_plain_http_are_stored_only_on_request() {
    let mut scene = Scene::new();
    let proxy = "protocol=http\nhost=proxy.corp.example:3128\nusername=me\n";
    let store = format!("{proxy}password=canary\n");
    let refused = scene.sandbox.git("store", &store);
    assert_eq!(refused.succeeds().stdout, "");
    let setting = "git.plain_http_hosts = [\"http://proxy.corp.example:3128\"]";
    let fix = "`hallpass setup git --default --plain-http http://proxy.corp.example:3128`";
    for words in ["was not saved", "plain http is not encrypted", fix] {
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
    assert!(!refused.stderr.contains("canary"), "{refused}");
    nothing(&scene.sandbox.git("get", proxy));
    scene.configure_with_head(&format!("{setting}\n"), "");
    nothing(&scene.sandbox.git("store", &store));
    let reply = scene.sandbox.git("get", proxy);
    assert_eq!(reply.stdout, "username=me\npassword=canary\n", "{reply}");
    let other = proxy.replace("3128", "3129");
    nothing(&scene.sandbox.git("get", &other));
    // Never a token.
    scene.configure_with_head("git.plain_http_hosts = [\"https://a.example\"]\n", "");
    scene.sandbox.git("get", proxy).fails_with(2);
}
