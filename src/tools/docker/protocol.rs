//! `hallpass docker`: a credential helper of docker, podman, skopeo, buildah, crane, oras, helm.
//!
//! Specification: <https://github.com/docker/docker-credential-helpers> ("Development") and
//! <https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol>.
//!
//! An error is one line on stdout with exit code 1. Clients show or compare that line, and some
//! continue without a credential and show nothing, so the full report goes to stderr. Errors never
//! quote the input, which may be a secret in the wrong place.

use std::io;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::credential::{
    Action, Answer, Call, Credential, ListedCredential, Refusal, Reply, Request, Resource,
    StoredCredential, TokenKind, Want,
};
use crate::report::{Exit, Report, printable};
use crate::secret::Secret;
use crate::wire::{Protocol, read_request, write_json};

/// The exact text that clients compare with to detect that there is no credential.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USERNAME: &str = "no credentials username";

/// `BuildKit` asks again after 4 min 50 s and uses the same token until then.
const FRESH_FOR: Duration = Duration::seconds(300);

/// Enough for a secret of one MiB with every byte escaped.
const LONGEST_REQUEST: usize = 8 << 20;
const LONGEST_SERVER: usize = 4096;

#[derive(Debug)]
pub struct CredentialHelper;

impl Protocol for CredentialHelper {
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode> {
        let operation = call.args.last().and_then(|last| last.to_str());
        let parsed = match operation {
            Some("version") => {
                return write(
                    call,
                    concat!(
                        "docker-credential-hallpass ",
                        env!("CARGO_PKG_VERSION"),
                        "\n"
                    ),
                );
            }
            // Some clients write the word `unused` to stdin.
            Some("list") => Ok(ParsedRequest {
                server: String::new(),
                request: asking(Action::List, None),
            }),
            Some(operation @ ("get" | "erase" | "store")) => {
                let bytes = read_request(call.stdin, LONGEST_REQUEST, |_, _| false)?;
                bytes
                    .ok_or(Malformed::TooLong)
                    .and_then(|bytes| match operation {
                        "get" => request(&bytes, Action::Get),
                        "erase" => request(&bytes, Action::Erase(StoredCredential::default())),
                        _ => stored(&bytes),
                    })
            }
            Some(_) | None => Err(Malformed::Operation),
        };
        let ParsedRequest { server, request } = match parsed {
            Ok(parsed) => parsed,
            Err(malformed) => return fail(call, &malformed.to_string()),
        };
        match answer(&request) {
            Ok(Reply::Credential(Credential {
                token, username, ..
            })) => write_credential(call, &server, &username, &token),
            Ok(Reply::Stored(StoredCredential {
                username: Some(username),
                password: Some(password),
                ..
            })) => write_credential(call, &server, &username, &password),
            Ok(Reply::Stored(_)) | Err(Refusal::NotMine) => fail(call, NOT_FOUND),
            Ok(Reply::List(list)) => write_list(call, &list),
            Ok(Reply::Done) => Ok(Exit::Answered.into()),
            // A client that requests the credentials of all registries ends at any other error,
            // even if it doesn't need this registry.
            Err(Refusal::NotSignedIn(report) | Refusal::Declined(report)) => {
                report.write(call.stderr);
                fail(call, NOT_FOUND)
            }
            Err(Refusal::Failed(report)) => {
                report.write(call.stderr);
                fail(call, &one_line(&report))
            }
        }
    }
}

/// A request, and the server URL as the client wrote it, which the reply repeats.
#[derive(Debug)]
struct ParsedRequest {
    server: String,
    request: Request,
}

/// Why a request is refused before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("hallpass: the operation must be get, store, erase, list or version")]
    Operation,
    #[error("hallpass: the input is longer than {LONGEST_REQUEST} bytes")]
    TooLong,
    #[error("hallpass: the input is not UTF-8 text")]
    NotText,
    #[error(
        "hallpass: the input is not a JSON object with the strings ServerURL, Username and Secret"
    )]
    NotJson,
    #[error("{NO_SERVER}")]
    NoServer,
    #[error("{NO_USERNAME}")]
    NoUsername,
    #[error("hallpass: the server URL does not name a registry")]
    Server,
}

// --- requests ---

fn request(bytes: &[u8], action: Action) -> Result<ParsedRequest, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotText)?;
    let server = text.trim();
    let resource = resource(server)?;
    Ok(ParsedRequest {
        server: server.to_owned(),
        request: asking(action, Some(resource)),
    })
}

/// The input of `store`, with the names that Go's encoder writes.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "ServerURL")]
    server: Option<String>,
    #[serde(rename = "Username")]
    username: Option<String>,
    #[serde(rename = "Secret")]
    secret: Option<Secret<String>>,
}

fn stored(bytes: &[u8]) -> Result<ParsedRequest, Malformed> {
    let Stored {
        server,
        username,
        secret,
    } = serde_json::from_slice(bytes).map_err(|_| Malformed::NotJson)?;
    let server = server.unwrap_or_default();
    let resource = resource(server.trim())?;
    let username = username.filter(|name| !name.is_empty());
    let entered = StoredCredential {
        username: Some(username.ok_or(Malformed::NoUsername)?),
        password: Some(secret.unwrap_or_else(|| Secret::from(""))),
        stored_as: Some(server.trim().to_owned()),
        ..StoredCredential::default()
    };
    Ok(ParsedRequest {
        request: asking(Action::Store(entered), Some(resource)),
        server,
    })
}

/// Parses a server URL: `HOST[:PORT][/PATH]`, optionally after `http://` or `https://`. Refuses
/// anything that another parser could read as a different host.
pub(super) fn resource(server: &str) -> Result<Resource, Malformed> {
    if server.is_empty() {
        return Err(Malformed::NoServer);
    }
    let foreign = |c: char| c.is_control() || c.is_whitespace() || r"@\?#%*".contains(c);
    if server.len() > LONGEST_SERVER || server.contains(foreign) {
        return Err(Malformed::Server);
    }
    let (protocol, rest) = match server.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (String::new(), server),
    };
    if !matches!(&*protocol, "" | "http" | "https") {
        return Err(Malformed::Server);
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if host.is_empty() || !(path.is_empty() || path.split('/').all(is_plain)) {
        return Err(Malformed::Server);
    }
    Ok(Resource {
        protocol,
        host: host.to_owned(),
        path: Some(path.to_owned()).filter(|path| !path.is_empty()),
    })
}

fn asking(action: Action, resource: Option<Resource>) -> Request {
    let want = Want {
        fresh_for: FRESH_FOR,
        ..Want::valid(TokenKind::Access)
    };
    Request {
        // A list could need a sign-in for each of its entries.
        interactive: action != Action::List,
        ..Request::about(action, resource, want)
    }
}

// --- replies ---

#[derive(Serialize)]
struct GetReply<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

fn write_credential(
    call: &mut Call<'_>,
    server: &str,
    username: &str,
    secret: &Secret<String>,
) -> io::Result<ExitCode> {
    let fields = GetReply {
        server,
        username,
        secret: secret.expose(),
    };
    write_json(call.stdout, &fields)?;
    Ok(Exit::Answered.into())
}

fn write_list(call: &mut Call<'_>, list: &[ListedCredential]) -> io::Result<ExitCode> {
    let pairs = list
        .iter()
        .map(|one| (one.resource.clone(), one.username.clone().into()));
    let map: serde_json::Map<String, serde_json::Value> = pairs.collect();
    write(call, &format!("{}\n", serde_json::Value::Object(map)))
}

fn write(call: &mut Call<'_>, text: &str) -> io::Result<ExitCode> {
    call.stdout.write_all(text.as_bytes())?;
    call.stdout.flush()?;
    Ok(Exit::Answered.into())
}

fn fail(call: &mut Call<'_>, line: &str) -> io::Result<ExitCode> {
    write(call, &format!("{line}\n"))?;
    Ok(Exit::Failed.into())
}

fn one_line(report: &Report) -> String {
    let Report {
        error,
        causes: _,
        hint,
        exit: _,
    } = report;
    let hint = hint.as_deref().and_then(|hint| hint.lines().next());
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    printable(&format!("hallpass: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::wire::transcript;

    /// Serves one run. Returns stdout, stderr, whether it succeeded, and the request.
    fn run(
        operation: &str,
        stdin: &[u8],
        reply: impl FnOnce(&Request) -> Result<Reply, Refusal>,
    ) -> (String, String, bool, Option<Request>) {
        let mut reply = Some(reply);
        let answer = |request: &Request| reply.take().unwrap()(request);
        let run = transcript::run(
            &CredentialHelper,
            &Env::default(),
            &[operation],
            stdin,
            answer,
        );
        let is_good = run.code == ExitCode::SUCCESS;
        (
            run.stdout,
            run.stderr,
            is_good,
            run.asked.into_iter().next(),
        )
    }

    fn stored_reply(username: &str, password: &str) -> Reply {
        Reply::Stored(StoredCredential {
            username: Some(username.into()),
            password: Some(password.into()),
            ..StoredCredential::default()
        })
    }

    #[test]
    fn the_reply_repeats_the_server_url_of_the_request() {
        for server in [
            "ghcr.io",
            "https://index.docker.io/v1/",
            "https://host.example:443",
            "gcr.io/a/b",
        ] {
            let stdin = format!("{server}\n");
            let (out, err, good, _) = run("get", stdin.as_bytes(), |_| {
                Ok(stored_reply("u", "p\"<&\u{e9}"))
            });
            assert_eq!(
                out,
                format!(
                    "{{\"ServerURL\":\"{server}\",\"Username\":\"u\",\"Secret\":\"p\\\"<&\u{e9}\"}}\n"
                )
            );
            assert_eq!((err.as_str(), good), ("", true));
        }
    }

    #[test]
    fn an_error_is_one_line_on_stdout_with_exit_code_1() {
        let report = || Report {
            error: "it\u{1b} broke".into(),
            causes: vec!["why".into()],
            hint: Some("run `x`\nor not".into()),
            exit: Exit::SignInNeeded,
        };
        let line = "hallpass: it\\u{1b} broke; run `x`\n";
        for (refusal, expected) in [
            (
                Refusal::NotMine,
                "credentials not found in native keychain\n",
            ),
            (
                Refusal::NotSignedIn(report()),
                "credentials not found in native keychain\n",
            ),
            (
                Refusal::Declined(report()),
                "credentials not found in native keychain\n",
            ),
            (Refusal::Failed(report()), line),
        ] {
            let is_said = !matches!(refusal, Refusal::NotMine);
            let (out, err, good, _) = run("get", b"ghcr.io", |_| Err(refusal));
            assert_eq!(out, expected);
            assert!(!good);
            assert_eq!(err.contains("hallpass: cause: why"), is_said, "{err}");
        }
    }

    #[test]
    fn malformed_requests_are_refused_without_being_answered() {
        let json = |server: &str, username: &str| {
            format!(r#"{{"ServerURL":"{server}","Username":"{username}","Secret":"hunter2"}}"#)
                .into_bytes()
        };
        let server = "hallpass: the server URL does not name a registry";
        let not_json = "hallpass: the input is not a JSON object with the strings ServerURL, \
                        Username and Secret";
        let not_text = "hallpass: the input is not UTF-8 text";
        let long = "hallpass: the input is longer than 8388608 bytes";
        let table: Vec<(&str, Vec<u8>, &str)> = vec![
            ("get", b"".to_vec(), NO_SERVER),
            ("get", b" \r\n".to_vec(), NO_SERVER),
            ("erase", b"".to_vec(), NO_SERVER),
            ("get", b"\xff\xfe\x00".to_vec(), not_text),
            ("get", b"ghcr.io\0.evil.example".to_vec(), server),
            ("get", b"ghcr.io\nevil.example".to_vec(), server),
            ("get", b"ghcr.io@evil.example".to_vec(), server),
            ("get", b"https://user:pw@ghcr.io".to_vec(), server),
            ("get", b"ghcr.io\\@evil.example".to_vec(), server),
            ("get", b"ghcr.io?x".to_vec(), server),
            ("get", b"ghcr.io#x".to_vec(), server),
            ("get", b"ghcr%2eio".to_vec(), server),
            ("get", b"*.pkg.dev".to_vec(), server),
            ("get", b"ghcr.io/../evil".to_vec(), server),
            ("get", b"ghcr.io//x".to_vec(), server),
            ("get", b"/x".to_vec(), server),
            ("get", b"https://".to_vec(), server),
            ("get", b"ftp://ghcr.io".to_vec(), server),
            ("get", b"javascript://ghcr.io".to_vec(), server),
            ("get", vec![b'a'; 5000], server),
            ("get", vec![b'a'; 10 << 20], long),
            ("store", vec![b'{'; 10 << 20], long),
            ("store", b"".to_vec(), not_json),
            ("store", b"ghcr.io".to_vec(), not_json),
            ("store", b"[]".to_vec(), not_json),
            ("store", br#"{"ServerURL":"ghcr.io""#.to_vec(), not_json),
            (
                "store",
                br#"{"ServerURL":"ghcr.io","Username":7,"Secret":"hunter2"}"#.to_vec(),
                not_json,
            ),
            ("store", b"\x00\xff".to_vec(), not_json),
            ("store", b"{}".to_vec(), NO_SERVER),
            ("store", json("", "u"), NO_SERVER),
            ("store", json("ghcr.io", ""), NO_USERNAME),
            ("store", json("ghcr.io@evil.example", "u"), server),
            (
                "whatever",
                b"ghcr.io".to_vec(),
                "hallpass: the operation must be get, store, erase, list or version",
            ),
        ];
        for (operation, stdin, expected) in table {
            let (out, err, good, asked) = run(operation, &stdin, |_| unreachable!());
            let shown = String::from_utf8_lossy(&stdin[..stdin.len().min(80)]).into_owned();
            assert_eq!(out, format!("{expected}\n"), "{operation} {shown}");
            assert_eq!((err.as_str(), good), ("", false), "{operation} {shown}");
            assert!(asked.is_none() && !out.contains("hunter2"));
        }
    }

    #[test]
    fn a_server_is_taken_apart_and_not_changed() {
        for (server, protocol, host, path) in [
            ("ghcr.io", "", "ghcr.io", None),
            ("localhost:5000", "", "localhost:5000", None),
            ("[::1]:5000", "", "[::1]:5000", None),
            ("https://host:443", "https", "host:443", None),
            ("HTTP://host:443/", "http", "host:443", None),
            (
                "https://index.docker.io/v1/",
                "https",
                "index.docker.io",
                Some("v1"),
            ),
            ("gcr.io/a/b", "", "gcr.io", Some("a/b")),
        ] {
            let expected = Resource {
                protocol: protocol.into(),
                host: host.into(),
                path: path.map(str::to_owned),
            };
            assert_eq!(resource(server), Ok(expected), "{server}");
        }
    }

    #[test]
    fn a_secret_of_a_mebibyte_goes_through_whole() {
        let secret = "\u{7}\"\u{e9}x".repeat((1 << 20) / 5);
        let stdin = serde_json::json!({
            "ServerURL": "ghcr.io", "Username": "u", "Secret": secret,
        });
        let stdin = stdin.to_string();
        let (out, _, good, asked) = run("store", stdin.as_bytes(), |_| Ok(Reply::Done));
        assert_eq!((out.as_str(), good), ("", true));
        let Some(Action::Store(entered)) = asked.map(|request| request.action) else {
            unreachable!()
        };
        assert_eq!(entered.password.as_ref().unwrap().expose(), &secret);
        let (out, ..) = run("get", b"ghcr.io", |_| Ok(Reply::Stored(entered)));
        let reply: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(reply["Secret"], *secret);
    }

    #[test]
    fn a_list_maps_servers_to_users_without_a_sign_in() {
        let (out, _, good, asked) = run("list", b"unused", |_| {
            Ok(Reply::List(vec![ListedCredential {
                resource: "ghcr.io".into(),
                username: "alice".into(),
            }]))
        });
        assert_eq!((out.as_str(), good), ("{\"ghcr.io\":\"alice\"}\n", true));
        assert!(!asked.unwrap().interactive);
        let (out, ..) = run("list", b"", |_| Ok(Reply::List(Vec::new())));
        assert_eq!(out, "{}\n");
    }

    #[test]
    fn a_token_has_five_minutes_left_or_half_its_life() {
        let (.., asked) = run("get", b"ghcr.io", |_| Err(Refusal::NotMine));
        assert_eq!(asked.unwrap().want.fresh_for, Duration::minutes(5));
    }
}
