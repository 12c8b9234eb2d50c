//! A git server for the demo: `git http-backend` behind a loopback port that requires a valid token
//! of the demo's provider. It creates and serves one repository.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::provider::Provider;
use crate::provider::server::{Request, Response, Server};

pub(crate) struct GitServer {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

/// Checks that this machine has a git that can clone and serve. The error says why not.
pub(crate) fn is_possible() -> Result<(), &'static str> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).stdin(Stdio::null()).output()
    };
    run(&["--version"]).map_err(|_| "git is not installed")?;
    // Without a request it reports an error in a CGI response.
    match run(&["http-backend"]) {
        Ok(output) if output.stdout.starts_with(b"Status:") => Ok(()),
        Ok(_) | Err(_) => Err("git is installed without `git http-backend`"),
    }
}

impl GitServer {
    pub(crate) fn start(provider: Arc<Provider>, root: &Path) -> Self {
        make_repository(root);
        let (listener, _) = Server::bind(false).expect("a loopback port");
        let port = listener.local_addr().expect("the port").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, root) = (Arc::clone(&seen), root.to_owned());
        let answer = move |request: Request| {
            let who = token_of(&request).and_then(|token| provider.owner(&token));
            let line = match &who {
                Some(who) => format!("{} {}: signed in as {who}", request.method, request.path),
                None => format!("{} {}: 401, no token", request.method, request.path),
            };
            noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            Some(match who {
                Some(who) => backend(&root, &request, &who),
                None => Response::new(401, "text/plain", "sign in first\n")
                    .header("WWW-Authenticate", "Basic realm=\"demo\""),
            })
        };
        let server = Server::serve(listener, None, answer).expect("the server");
        Self {
            url: format!("http://127.0.0.1:{port}"),
            seen,
            _server: server,
        }
    }

    /// The requests so far, each with the person who sent it.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The password of an `Authorization: Basic` header, whatever the user name.
fn token_of(request: &Request) -> Option<String> {
    let encoded = request.header("Authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    Some(decoded.split_once(':')?.1.to_owned())
}

fn make_repository(root: &Path) {
    let work = root.join("work");
    fs::create_dir_all(&work).expect("a folder");
    fs::write(
        work.join("README"),
        "This repository is private: you can read this because you signed in.\n",
    )
    .expect("a file");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let status = command.args(arguments).current_dir(&work).status();
        let is_done = status.is_ok_and(|status| status.success());
        assert!(is_done, "git {}", arguments.join(" "));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    let [name, email, sign] = [
        "user.name=Demo",
        "user.email=demo@demo.example",
        "commit.gpgSign=false",
    ];
    let commit = ["commit", "--quiet", "--message=First"];
    git(&[&["-c", name, "-c", email, "-c", sign][..], &commit].concat());
    git(&["clone", "--quiet", "--bare", ".", "../private.git"]);
}

/// Passes a request to git as a CGI program (RFC 3875).
fn backend(root: &Path, request: &Request, who: &str) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&request.query)
        .finish();
    let header = |name| request.header(name).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header("Git-Protocol"))
        .env("REMOTE_USER", who)
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("Content-Type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("Content-Encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The demo's requests fit into the pipe's buffer, so this doesn't block.
    let _ = stdin.write_all(&request.body);
    drop(stdin);
    let output = child.wait_with_output().expect("git http-backend").stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = output.split_at(end.map_or(output.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head);
    let mut response = Response::new(200, "text/plain", body);
    response.headers.clear();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name == "Status" {
            let status = value.split(' ').next();
            response.status = status.and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            response = response.header(name, value);
        }
    }
    response
}
