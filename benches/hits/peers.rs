//! What users run today, as far as it is installed: each is given a secret first, and then asked.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{Program, which};
use crate::sandbox::Sandbox;

const HOST: &str = "git.corp.example";
const REGISTRY: &str = "https://registry.corp.example";

pub(crate) struct Peers<'a> {
    sandbox: &'a Sandbox,
    secret: String,
    found: Vec<Peer>,
    cache: Option<String>,
}

struct Peer {
    name: &'static str,
    words: Vec<String>,
    question: String,
    answers: bool,
}

pub(crate) fn installed(sandbox: &Sandbox, has_keyring: bool) -> Peers<'_> {
    let mut peers = Peers {
        sandbox,
        // As long as the token of a hit.
        secret: "s".repeat(1200),
        found: Vec::new(),
        cache: None,
    };
    peers.add_gits_own();
    if has_keyring {
        peers.add_those_of_the_keyring();
    } else {
        eprintln!("hits: without a Secret Service its clients are not measured");
    }
    peers.add_git_credential_oauth();
    peers
}

impl Peers<'_> {
    fn add_gits_own(&mut self) {
        let file = self.sandbox.home().join(".git-credentials");
        let _ = std::fs::write(file, format!("https://me:{}@{HOST}\n", self.secret));
        if let Some(program) = of_git("git-credential-store") {
            self.add(
                "git credential-store",
                vec![program, "get".to_owned()],
                git_question(),
            );
        }
        if let Some(program) = of_git("git-credential-cache") {
            let store = [program.clone(), "store".to_owned()];
            if self.give(&store, &self.git_secret()) {
                self.cache = Some(program.clone());
                let get = vec![program, "get".to_owned()];
                self.add("git credential-cache", get, git_question());
            }
        }
    }

    fn add_those_of_the_keyring(&mut self) {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        if let Some(program) = of_git("git-credential-libsecret")
            && self.give(&words(&[&program, "store"]), &self.git_secret())
        {
            self.add(
                "git-credential-libsecret",
                words(&[&program, "get"]),
                git_question(),
            );
        }
        if let Some(program) = installed_program("secret-tool")
            && self.give(
                &words(&[&program, "store", "--label=hits", "for", "hits"]),
                &self.secret,
            )
        {
            let lookup = words(&[&program, "lookup", "for", "hits"]);
            self.add("secret-tool", lookup, String::new());
        }
        if let Some(program) = installed_program("docker-credential-secretservice") {
            let secret = serde_json::json!({
                "ServerURL": REGISTRY, "Username": "me", "Secret": self.secret,
            });
            if self.give(&words(&[&program, "store"]), &secret.to_string()) {
                let get = words(&[&program, "get"]);
                self.add("docker-credential-secretservice", get, REGISTRY.to_owned());
            }
        }
    }

    /// It keeps nothing itself, and stands before a keeper: what it costs is its start.
    fn add_git_credential_oauth(&mut self) {
        if let Some(program) = of_git("git-credential-oauth") {
            let question = "protocol=https\nhost=unknown.invalid\n\n".to_owned();
            self.add(
                "git-credential-oauth, no answer",
                vec![program, "get".to_owned()],
                question,
            );
            if let Some(peer) = self.found.last_mut() {
                peer.answers = false;
            }
        }
    }

    fn add(&mut self, name: &'static str, words: Vec<String>, question: String) {
        self.found.push(Peer {
            name,
            words,
            question,
            answers: true,
        });
    }

    fn give(&self, words: &[String], secret: &str) -> bool {
        let given = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.sandbox.env())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .and_then(|mut child| {
                child
                    .stdin
                    .take()
                    .map_or(Ok(()), |mut stdin| stdin.write_all(secret.as_bytes()))?;
                child.wait()
            });
        let taken = given.is_ok_and(|status| status.success());
        if !taken {
            eprintln!("hits: {} takes no secret here", words[0]);
        }
        taken
    }

    fn git_secret(&self) -> String {
        format!(
            "protocol=https\nhost={HOST}\nusername=me\npassword={}\n\n",
            self.secret
        )
    }

    pub(crate) fn programs(&self) -> Vec<Program> {
        self.found
            .iter()
            .enumerate()
            .map(|(number, peer)| Program {
                name: peer.name.to_owned(),
                words: peer.words.clone(),
                env: self.sandbox.env(),
                stdin: Some(self.question(number, &peer.question)),
                answers: peer.answers.then(|| self.secret.clone()),
            })
            .collect()
    }

    fn question(&self, number: usize, text: &str) -> PathBuf {
        let path = self.sandbox.root().join(format!("question-{number}"));
        std::fs::write(&path, text).expect("a question");
        path
    }
}

impl Drop for Peers<'_> {
    fn drop(&mut self) {
        if let Some(cache) = &self.cache {
            self.give(&[cache.clone(), "exit".to_owned()], "");
        }
    }
}

fn git_question() -> String {
    format!("protocol=https\nhost={HOST}\n\n")
}

/// One of git's own programs, without the cost of `git` before it.
fn of_git(name: &str) -> Option<String> {
    let folder = Command::new("git").arg("--exec-path").output().ok()?;
    let folder = String::from_utf8(folder.stdout).ok()?;
    let own = Path::new(folder.trim_end()).join(name);
    if own.is_file() {
        return Some(own.to_string_lossy().into_owned());
    }
    installed_program(name)
}

fn installed_program(name: &str) -> Option<String> {
    let found = which(name);
    if found.is_none() {
        eprintln!("hits: not measured, for it is not installed: {name}");
    }
    found
}
