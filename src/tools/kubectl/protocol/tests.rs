//! Exact JSON in, exact JSON out.

use std::process::ExitCode;

use serde_json::json;

use super::*;
use crate::credential::{Refusal, Reply};
use crate::env::Env;
use crate::secret::Secret;
use crate::wire::transcript;

fn credential(expires_at: Option<i64>) -> Credential {
    Credential {
        token: Secret::from("tok\"en"),
        expires_at: expires_at.and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok()),
        ..Credential::example(0)
    }
}

/// One run: the exit code, stdout, stderr, and what was asked.
fn served(
    info: Option<&str>,
    answer: impl Fn(&Request) -> Result<Reply, Refusal>,
) -> (ExitCode, String, String, Vec<Request>) {
    let vars: Vec<(&str, &str)> = info.map(|info| (INFO, info)).into_iter().collect();
    let env = Env::new(Vec::<&str>::new(), vars);
    let run = transcript::run(&ExecPlugin, &env, &[], b"", answer);
    (run.code, run.stdout, run.stderr, run.asked)
}

fn info(version: &str, spec: &Value) -> String {
    json!({
        "kind": "ExecCredential",
        "apiVersion": format!("client.authentication.k8s.io/{version}"),
        "spec": spec,
    })
    .to_string()
}

#[test]
fn the_reply_is_one_object_of_the_requested_version() {
    for (version, expires_at, expected) in [
        (
            "v1",
            Some(0),
            "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\
             \"status\":{\"expirationTimestamp\":\"1970-01-01T00:00:00Z\",\"token\":\"tok\\\"en\"}}\n",
        ),
        (
            "v1beta1",
            None,
            "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\
             \"status\":{\"token\":\"tok\\\"en\"}}\n",
        ),
    ] {
        let (code, stdout, stderr, asked) = served(
            Some(&info(version, &json!({ "interactive": true }))),
            |_| Ok(Reply::Credential(credential(expires_at))),
        );
        assert_eq!(code, ExitCode::from(Exit::Answered));
        assert_eq!((stdout.as_str(), stderr.as_str()), (expected, ""));
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].want.token, TokenKind::Id);
        assert_eq!(asked[0].cluster, None);
    }
}

#[test]
fn a_refusal_is_on_stderr_and_stdout_stays_empty() {
    for (refusal, exit) in [
        (
            Refusal::NotSignedIn as fn(Report) -> Refusal,
            Exit::SignInNeeded,
        ),
        (Refusal::Declined, Exit::NotSignedIn),
        (Refusal::Failed, Exit::Failed),
    ] {
        let (code, stdout, stderr, _) = served(Some(&info("v1", &json!({}))), |_| {
            Err(refusal(Report {
                error: "no".to_owned(),
                causes: Vec::new(),
                hint: None,
                exit,
            }))
        });
        assert_eq!(code, ExitCode::from(exit));
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            ("", "hallpass: error: no\n")
        );
    }
}

#[test]
fn an_invalid_request_prompts_for_nothing_and_names_the_fault() {
    let v1 = |spec: Value| info("v1", &spec);
    let with =
        |config: Value| v1(json!({ "cluster": { "server": "https://k", "config": config } }));
    for (text, expected) in [
        (None, "is not set"),
        (Some(String::new()), "is not set"),
        (Some("{".to_owned()), "is not JSON (line 1, column 1)"),
        (Some("[]".to_owned()), "holds no ExecCredential"),
        (Some("{}".to_owned()), "holds no ExecCredential"),
        (
            Some("{\"kind\":\"Pod\"}".to_owned()),
            "holds no ExecCredential",
        ),
        (
            Some("{\"kind\":\"ExecCredential\"}".to_owned()),
            "holds no ExecCredential",
        ),
        (
            Some(info("v1alpha1", &json!({}))),
            "client.authentication.k8s.io/v1alpha1",
        ),
        (
            Some(info("v2", &json!({}))),
            "client.authentication.k8s.io/v2",
        ),
        (Some(v1(json!({ "cluster": {} }))), "names no server"),
        (Some(v1(json!({ "cluster": { "server": 1 } }))), "`server`"),
        (Some(v1(json!({ "cluster": 1 }))), "holds no ExecCredential"),
        (
            Some(v1(
                json!({ "cluster": { "server": "https://k", "insecure-skip-tls-verify": "no" } }),
            )),
            "`insecure-skip-tls-verify`",
        ),
        (Some(with(json!("corp"))), "is not an object"),
        (
            Some(with(json!({ "clientSecret": "CANARY" }))),
            "unknown key `clientSecret`",
        ),
        (
            Some(with(json!({ "provider": 1 }))),
            "`provider` must be a string",
        ),
        (
            Some(with(json!({ "account": "a\nb" }))),
            "`account` must be a string",
        ),
        (
            Some(with(json!({ "scopes": "openid" }))),
            "`scopes` must be a list",
        ),
        (
            Some(with(json!({ "scopes": [1] }))),
            "`scopes` must be a list",
        ),
        (
            Some(with(json!({ "token": "CANARY" }))),
            "`token` must be id or access",
        ),
    ] {
        let (code, stdout, stderr, asked) = served(text.as_deref(), |_| Ok(Reply::Done));
        assert_eq!(code, ExitCode::from(Exit::Usage), "{text:?}");
        assert_eq!(stdout, "", "{text:?}");
        assert!(stderr.contains(expected), "{text:?}: {stderr}");
        assert!(stderr.contains("hallpass: hint: "), "{text:?}: {stderr}");
        assert!(!stderr.contains("CANARY"), "{stderr}");
        assert!(asked.is_empty(), "{text:?}");
    }
    let (_, _, stderr, _) = served(None, |_| Ok(Reply::Done));
    assert!(stderr.contains("`hallpass get-token`"), "{stderr}");
}

#[test]
fn a_cluster_is_passed_on_as_it_is_described() {
    let text = info(
        "v1",
        &json!({
            "interactive": false,
            "cluster": {
                "server": "https://k8s.corp.example:6443",
                "tls-server-name": "k8s",
                "insecure-skip-tls-verify": true,
                "certificate-authority-data": "aGVsbG8=",
                "proxy-url": "socks5://127.0.0.1:1080",
                "disable-compression": true,
                "what-comes-later": {},
                "config": {
                    "provider": "corp", "issuerURL": "https://login", "clientID": "c",
                    "scopes": ["openid", "groups"], "audience": "k", "account": "work",
                    "token": "access",
                },
            },
        }),
    );
    let said = |text: &str| Some(text.to_owned());
    let input = Input::parse(Some(&text), None).unwrap();
    assert_eq!(
        input.cluster,
        Some(Cluster {
            server: "https://k8s.corp.example:6443".to_owned(),
            skips_tls_verification: true,
            has_own_authority: true,
            tls_server_name: said("k8s"),
            proxy_url: said("socks5://127.0.0.1:1080"),
            names: ClusterNames {
                provider: said("corp"),
                issuer_url: said("https://login"),
                client_id: said("c"),
                scopes: vec!["openid".to_owned(), "groups".to_owned()],
                audience: said("k"),
                account: said("work"),
                token: Some(TokenKind::Access),
            },
        })
    );
    for spec in [
        json!({}),
        json!(null),
        json!({ "interactive": true, "cluster": null }),
    ] {
        assert_eq!(
            Input::parse(Some(&info("v1beta1", &spec)), None)
                .unwrap()
                .cluster,
            None
        );
    }
    let bare = info(
        "v1",
        &json!({ "cluster": { "server": "https://k", "config": null } }),
    );
    let cluster = Input::parse(Some(&bare), None).unwrap().cluster.unwrap();
    assert_eq!(
        cluster,
        Cluster {
            server: "https://k".to_owned(),
            ..Cluster::default()
        }
    );
}

#[test]
fn without_a_request_the_reply_has_the_version_of_the_exec_entry() {
    for (version, expected) in [
        (Some("v1"), Ok("client.authentication.k8s.io/v1")),
        (Some("v1beta1"), Ok("client.authentication.k8s.io/v1beta1")),
        (
            Some("client.authentication.k8s.io/v1beta1"),
            Ok("client.authentication.k8s.io/v1beta1"),
        ),
        (
            Some("v1alpha1"),
            Err(Malformed::Version("v1alpha1".to_owned())),
        ),
        (None, Err(Malformed::Absent)),
    ] {
        let expected = expected.map(|version| Input {
            api_version: version.to_owned(),
            cluster: None,
        });
        assert_eq!(Input::parse(None, version), expected, "{version:?}");
    }
    // The request's own version decides.
    let input = Input::parse(Some(&info("v1", &json!({}))), Some("v1beta1"));
    assert_eq!(
        input.unwrap().api_version,
        "client.authentication.k8s.io/v1"
    );
}
