//! `hallpass doctor kubectl`: that each thing that can be off is named, and nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::provider::{Endpoint, Fault, KeyName, patch};
use crate::sandbox::{Outcome, leaks};
use crate::scene::Scene;
use crate::setup_kubectl::{kubeconfig, with_kubectl};

/// An API server on loopback, for as long as the test runs.
struct ApiServer {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

const SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const RULES_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";

impl ApiServer {
    /// Answers every request with this status.
    fn answering(status: u16, more: &'static str) -> Self {
        Self::serving(more, move |_| (status, json!({})))
    }

    /// Accepts every token for a user whom RBAC gives these rules.
    fn knowing(user: Value, rules: Value) -> Self {
        Self::serving("", move |path| match path {
            SUBJECT_REVIEWS => (201, json!({"status": {"userInfo": user}})),
            RULES_REVIEWS => (
                201,
                json!({"status": {"resourceRules": rules, "incomplete": false}}),
            ),
            _ => (404, json!({})),
        })
    }

    fn serving(more: &'static str, answer: impl Fn(&str) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut reader = BufReader::new(&stream);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).is_err() {
                        return;
                    }
                    let line = line.trim_end();
                    if line.is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(line);
                    head.push('\n');
                }
                if reader.read_exact(&mut vec![0; length]).is_err() {
                    return;
                }
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(head);
                let (status, document) = answer(&path);
                let body = document.to_string();
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\n{more}Content-Length: {length}\r\nConnection: \
                     close\r\n\r\n{body}"
                );
            }
        });
        Self { url, seen }
    }
}

/// What `system:basic-user` gives every user.
fn basic_rules() -> Value {
    json!([{"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
           {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"]}])
}

fn rules() -> Value {
    json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}])
}

fn our_entry(more: &[&str]) -> Value {
    let args: Vec<&str> = ["kubectl", "--provider", "corp"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "hallpass", "args": args,
        "interactiveMode": "IfAvailable", "provideClusterInfo": true,
    }})
}

/// `corp` opens the server, and the user runs hallpass.
fn scene(server: &str, user: &Value) -> Scene {
    let mut scene = Scene::new();
    scene.configure(&format!(
        "[[resources]]\nmatch = {server:?}\nprovider = \"corp\"\ntools = [\"kubectl\"]"
    ));
    with_kubectl(&mut scene.sandbox, &kubeconfig(server, user).to_string());
    scene
}

#[track_caller]
fn doctor(scene: &Scene, more: &[&str]) -> Outcome {
    let before = (
        scene.provider.count(Endpoint::Refresh),
        scene.sandbox.opened().len(),
    );
    let outcome = scene.sandbox.run(&[&["doctor", "kubectl"], more].concat());
    let after = (
        scene.provider.count(Endpoint::Refresh),
        scene.sandbox.opened().len(),
    );
    assert_eq!(
        before, after,
        "a doctor refreshes nothing and asks nobody: {outcome}"
    );
    for (kind, secret) in scene.provider.secrets() {
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!leaks(said.as_bytes(), &secret), "a {kind} is shown");
    }
    outcome
}

#[track_caller]
fn says(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome}");
    for word in words {
        assert!(outcome.stdout.contains(word), "{word:?}: {outcome}");
    }
    let is_off = outcome.stdout.lines().any(|line| line.starts_with("error"));
    assert_eq!(is_off, code == 1, "{outcome}");
}

const SERVER: &str = "https://k8s.corp.example:6443";

#[test]
fn where_all_is_well_it_says_so_and_ends_with_0() {
    let user = json!({"username": "ann", "groups": ["dev", "system:authenticated"]});
    let server = ApiServer::knowing(user, rules());
    let scene = scene(&server.url, &our_entry(&[]));
    scene
        .provider
        .behave(|b| b.id_token.claims = patch(json!({"groups": ["dev", "ops"]})));
    scene.get_token(&[]).succeeds();
    let issuer = scene.provider.issuer();
    let outcome = doctor(&scene, &[]);
    says(
        &outcome,
        0,
        &[
            "context here: user me.exec.you, cluster c.1",
            "corp's ID token (account default)",
            &format!("issuer: {issuer}; the API server's --oidc-issuer-url"),
            "audience: hallpass",
            "RS256",
            "groups: dev, ops",
            "expires in",
            "who: sub",
            "--ask-server",
        ],
    );
    assert!(
        server.seen.lock().unwrap().is_empty(),
        "it is asked only where that is allowed"
    );
    says(
        &doctor(&scene, &["--ask-server"]),
        0,
        &[
            "the API server accepts the token: to it you are ann",
            "your groups to the API server: dev\n",
            "permissions in the namespace default",
        ],
    );
    let seen = server.seen.lock().unwrap();
    let asked: Vec<&str> = seen.iter().filter_map(|head| head.lines().next()).collect();
    assert_eq!(
        asked,
        [SUBJECT_REVIEWS, RULES_REVIEWS].map(|path| format!("POST {path} HTTP/1.1"))
    );
}

#[test]
fn what_the_api_server_says_is_told() {
    for (status, more, code, words) in [
        (
            401,
            "",
            1,
            &[
                "rejects the token (401)",
                "the token has no email: it is rejected if --oidc-username-claim",
                "--oidc-required-claim must match the token's claims",
                "--oidc-client-id=hallpass",
            ][..],
        ),
        (403, "", 1, &["answers 403", "proxy"]),
        (503, "", 0, &["answers 503"]),
        (
            200,
            "Date: Fri, 01 Jan 2021 00:00:00 GMT\r\n",
            1,
            &["clock: the API server's is 2021-01-01T00:00:00Z", "`date`"],
        ),
    ] {
        let server = ApiServer::answering(status, more);
        let scene = scene(&server.url, &our_entry(&[]));
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(json!({"email": null})));
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &["--ask-server"]), code, words);
    }
}

#[test]
fn doctor_names_what_is_wrong_with_the_token() {
    let nothing: fn(&Scene) = |_| ();
    let es256: fn(&Scene) = |scene| {
        scene
            .provider
            .behave(|b| b.id_token.signed_by = KeyName::EcFirst);
    };
    let slow: fn(&Scene) = |scene| scene.provider.behave(|b| b.clock = -120);
    let many: fn(&Scene) = |scene| {
        scene.provider.behave(|b| {
            b.id_token.claims = patch(json!({"_claim_names": {"groups": "src1"}}));
        });
    };
    let unverified: fn(&Scene) = |scene| {
        scene
            .provider
            .behave(|b| b.id_token.claims = patch(json!({"email_verified": false})));
    };
    for (change, args, code, words) in [
        (nothing, &[][..], 0, &["groups: none in the token"][..]),
        (es256, &[], 1, &["signed with ES256", "--oidc-signing-algs"]),
        (
            slow,
            &[],
            1,
            &["clock: the provider made the token", "ahead", "`date`"],
        ),
        (many, &[], 1, &["groups: there are so many"]),
        (unverified, &[], 0, &["email_verified is false"]),
        (
            nothing,
            &["--token", "access"],
            1,
            &["access token is not a JWT"],
        ),
    ] {
        let scene = scene(SERVER, &our_entry(args));
        change(&scene);
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &[]), code, words);
    }
}

#[test]
fn an_expired_token_is_a_problem_only_if_it_cannot_be_refreshed() {
    let mut one = scene(SERVER, &our_entry(&[]));
    one.get_token(&[]).succeeds();
    one.advance(4000);
    says(
        &doctor(&one, &[]),
        0,
        &["expired", "the next call refreshes it"],
    );
    let mut other = scene(SERVER, &our_entry(&[]));
    other
        .provider
        .behave(|b| b.token_response = patch(json!({"refresh_token": null})));
    other.get_token(&[]).succeeds();
    other.advance(4000);
    says(
        &doctor(&other, &[]),
        1,
        &["there is no refresh token", "hallpass login corp"],
    );
}

#[test]
fn doctor_names_what_is_wrong_with_the_kubeconfig() {
    let mut beside = our_entry(&[]);
    beside["token"] = json!("hush");
    let mut gone = our_entry(&[]);
    gone["exec"]["command"] = json!("/nowhere/hallpass");
    let mut alpha = our_entry(&[]);
    alpha["exec"]["apiVersion"] = json!("client.authentication.k8s.io/v1alpha1");
    let mut untold = our_entry(&[]);
    untold["exec"]["provideClusterInfo"] = json!(false);
    for (user, words) in [
        (beside, &["`token` beside its exec entry"][..]),
        (gone, &["/nowhere/hallpass, which does not exist"]),
        (alpha, &["v1alpha1"]),
        (untold, &["provideClusterInfo: true"]),
        (
            our_entry(&["--nope"]),
            &["--nope", "hallpass setup kubectl --context here"],
        ),
        (
            json!({"token": "x"}),
            &["runs no plugin", "hallpass setup kubectl --context here"],
        ),
        (
            json!({"exec": {"command": "kubelogin"}}),
            &["runs kubelogin"],
        ),
    ] {
        let scene = scene(SERVER, &user);
        scene.get_token(&[]).succeeds();
        let outcome = doctor(&scene, &[]);
        says(&outcome, 1, words);
        assert!(!outcome.stdout.contains("hush"), "{outcome}");
    }
}

#[test]
fn a_plugin_that_kuberc_rules_out_is_named() {
    for (text, code, words) in [
        (
            "credentialPluginPolicy: DenyAll\n",
            1,
            "runs no plugin at all",
        ),
        (
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: x\n",
            1,
            "hallpass setup kubectl --context here --kuberc",
        ),
        (
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: hallpass\n",
            0,
            "kuberc's allowlist contains it",
        ),
        ("kind: Preference\n", 0, "ok"),
    ] {
        let mut scene = scene(SERVER, &our_entry(&[]));
        scene.get_token(&[]).succeeds();
        let kuberc = scene.sandbox.root().join("kuberc");
        fs::write(&kuberc, text).unwrap();
        scene.sandbox.set("KUBERC", kuberc);
        says(&doctor(&scene, &[]), code, &[words]);
    }
}

#[test]
fn a_server_that_the_provider_does_not_open_and_a_person_not_signed_in_are_named() {
    let one = scene(SERVER, &our_entry(&[]));
    says(
        &doctor(&one, &[]),
        1,
        &["not signed in", "hallpass login corp"],
    );
    let mut other = scene("https://elsewhere.example", &our_entry(&[]));
    let text = kubeconfig(SERVER, &our_entry(&[])).to_string();
    with_kubectl(&mut other.sandbox, &text);
    says(
        &doctor(&other, &[]),
        1,
        &["does not open the cluster", "hallpass setup kubectl"],
    );
}

#[test]
fn an_unreachable_provider_is_a_problem_and_the_other_checks_still_run() {
    let scene = scene(SERVER, &our_entry(&[]));
    scene.get_token(&[]).succeeds();
    fs::remove_dir_all(scene.sandbox.data_dir().join("metadata")).unwrap();
    for endpoint in [Endpoint::OpenidConfiguration, Endpoint::OauthMetadata] {
        scene.provider.break_down(endpoint, Fault::status(503));
    }
    says(&doctor(&scene, &[]), 1, &["503", "audience: hallpass"]);
}

#[test]
fn the_user_and_groups_that_the_api_server_sees_are_named() {
    let issuer_user = "ISSUER#SUBJECT";
    for (user, rules, code, words) in [
        (
            json!({"username": issuer_user}),
            rules(),
            0,
            &[
                "to it you are ISSUER#SUBJECT (the prefix ISSUER# and the token's sub)",
                "the API server sees no groups, although the token has them",
                "--oidc-groups-claim=groups",
            ][..],
        ),
        (
            json!({"username": "oidc:ann@corp.example", "groups": ["oidc:dev", "oidc:ops"]}),
            rules(),
            0,
            &[
                "(the prefix oidc: and the token's email)",
                "oidc:dev, oidc:ops (with the prefix oidc:)",
            ],
        ),
        (
            json!({"username": "ann@corp.example", "groups": ["dev"]}),
            basic_rules(),
            1,
            &[
                "to it you are ann@corp.example (the token's email)",
                "no permissions in the namespace default (403)",
                "kubectl create rolebinding hallpass-view --clusterrole=view \
                 --user=ann@corp.example --namespace=default",
            ],
        ),
        (
            json!({"username": "system:anonymous", "groups": ["system:unauthenticated"]}),
            basic_rules(),
            1,
            &[
                "ignored the token",
                "Authorization",
                "--oidc-issuer-url=ISSUER",
            ],
        ),
    ] {
        let shared = Arc::new(Mutex::new(Value::Null));
        let answer = Arc::clone(&shared);
        let server = ApiServer::serving("", move |path| match path {
            SUBJECT_REVIEWS => {
                let user = answer.lock().unwrap().clone();
                (201, json!({"status": {"userInfo": user}}))
            }
            _ => (201, json!({"status": {"resourceRules": rules}})),
        });
        let scene = scene(&server.url, &our_entry(&[]));
        scene.provider.behave(|b| {
            b.id_token.claims = patch(json!({
                "sub": "SUBJECT", "email": "ann@corp.example", "groups": ["dev", "ops"],
            }));
        });
        scene.get_token(&[]).succeeds();
        let issuer = scene.provider.issuer();
        let user = user.to_string().replace("ISSUER", &issuer);
        *shared.lock().unwrap() = serde_json::from_str(&user).unwrap();
        let words: Vec<String> = words.iter().map(|w| w.replace("ISSUER", &issuer)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        says(&doctor(&scene, &["--ask-server"]), code, &words);
    }
}

#[test]
fn a_403_is_a_problem_and_names_the_user_that_the_server_names() {
    for (user, words) in [
        (
            "https://login.corp.example#7",
            &[
                "accepts the token, but https://login.corp.example#7 has no access (403)",
                if cfg!(windows) {
                    "--user=\"https://login.corp.example#7\""
                } else {
                    "--user='https://login.corp.example#7'"
                },
            ][..],
        ),
        ("system:anonymous", &["ignored the token"]),
    ] {
        let message =
            format!("forbidden: User \"{user}\" cannot create resource at the cluster scope");
        let server = ApiServer::serving("", move |_| (403, json!({"message": message})));
        let scene = scene(&server.url, &our_entry(&[]));
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &["--ask-server"]), 1, words);
    }
}

#[test]
fn without_subject_reviews_the_api_server_is_asked_for_permissions() {
    let forbidden = |user: &str| {
        let review = "selfsubjectreviews.authentication.k8s.io is forbidden";
        json!({"message": format!("{review}: User \"{user}\" cannot create resource")})
    };
    let reviewed = |rules| (201, json!({"status": {"resourceRules": rules}}));
    for (subject_review, rules_review, code, words) in [
        // To a user who may do everything, it says that it has none.
        (
            (404, json!({})),
            reviewed(rules()),
            0,
            &[
                "accepts the token; it is too old to say who you are",
                "has permissions in the namespace default",
            ][..],
        ),
        (
            (404, json!({})),
            (401, json!({})),
            1,
            &["rejects the token (401)"],
        ),
        // To any other user, it says that it is forbidden.
        (
            (403, forbidden("https://login.corp.example#7")),
            reviewed(rules()),
            0,
            &[
                "to it you are https://login.corp.example#7",
                "has permissions in the namespace default",
            ],
        ),
        (
            (403, forbidden("oidc:7")),
            reviewed(basic_rules()),
            1,
            &[
                "to it you are oidc:7",
                "no permissions in the namespace default (403)",
                "--user=oidc:7",
            ],
        ),
        ((404, json!({})), (404, json!({})), 0, &["answers 404"]),
    ] {
        let server = ApiServer::serving("", move |path| match path {
            RULES_REVIEWS => rules_review.clone(),
            _ => subject_review.clone(),
        });
        let scene = scene(&server.url, &our_entry(&[]));
        scene.get_token(&[]).succeeds();
        says(&doctor(&scene, &["--ask-server"]), code, words);
    }
}

#[test]
fn a_key_that_the_provider_no_longer_publishes_is_a_problem() {
    let scene = scene(SERVER, &our_entry(&[]));
    scene.get_token(&[]).succeeds();
    says(
        &doctor(&scene, &[]),
        0,
        &["a key that the provider publishes now"],
    );
    scene
        .provider
        .behave(|b| b.published_keys.retain(|key| *key != KeyName::RsaFirst));
    says(
        &doctor(&scene, &[]),
        1,
        &[
            "signature: none of the provider's published keys",
            "hallpass login corp",
        ],
    );
}

#[test]
fn the_flags_and_the_role_binding_that_fit_are_printed() {
    let scene = scene(SERVER, &our_entry(&[]));
    scene.provider.behave(|b| {
        b.id_token.claims = patch(json!({"sub": "7", "groups": ["dev"]}));
    });
    scene.get_token(&[]).succeeds();
    let issuer = scene.provider.issuer();
    says(
        &doctor(&scene, &[]),
        0,
        &[
            &format!("--oidc-issuer-url={issuer}\n"),
            "--oidc-client-id=hallpass\n",
            "--oidc-groups-claim=groups\n",
            &if cfg!(windows) {
                format!("--user=\"{issuer}#7\" --namespace=default")
            } else {
                format!("--user='{issuer}#7' --namespace=default")
            },
        ],
    );
}

#[test]
fn a_relative_command_is_resolved_from_the_kubeconfigs_folder() {
    let mut entry = our_entry(&[]);
    let file = format!("hallpass{}", std::env::consts::EXE_SUFFIX);
    entry["exec"]["command"] = json!(format!("./bin/{file}"));
    let scene = scene(SERVER, &entry);
    let missing = format!("runs ./bin/{file}, which does not exist");
    says(&doctor(&scene, &[]), 1, &[&missing]);
    let bin = scene.sandbox.root().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_hallpass"), bin.join(&file)).unwrap();
    let found = doctor(&scene, &[]);
    assert!(
        found
            .stdout
            .contains(&format!("the exec entry runs ./bin/{file}\n")),
        "{found}"
    );
}
