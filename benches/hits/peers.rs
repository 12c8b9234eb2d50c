//! Other credential helpers, if installed. Each one stores a secret first and is then queried.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::Program;
use crate::programs::which;
use crate::provider;
use crate::sandbox::{AUTHORITY, HOST, Sandbox};

const REGISTRY: &str = "https://registry.corp.example";

pub(crate) struct Peers<'a> {
    sandbox: &'a Sandbox,
    secret: String,
    found: Vec<Peer>,
    cache: Option<String>,
    agent: Option<Agent>,
}

struct Peer {
    name: &'static str,
    words: Vec<String>,
    question: String,
    answers: Option<String>,
}

/// A running oidc-agent.
struct Agent {
    /// The environment variable through which clients find it.
    env: Vec<(String, String)>,
}

pub(crate) fn installed(sandbox: &Sandbox, has_keyring: bool) -> Peers<'_> {
    let mut peers = Peers {
        sandbox,
        // The same length as the token of a hit.
        secret: "s".repeat(1200),
        found: Vec::new(),
        cache: None,
        agent: None,
    };
    peers.add_gits_own();
    if has_keyring {
        peers.add_those_of_the_keyring();
    } else {
        eprintln!("hits: no Secret Service, so its clients are not measured");
    }
    peers.add_oidc_agent();
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
            if self.give(&store, &git_secret(&self.secret)) {
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
        if let Some(program) = of_git("git-credential-libsecret") {
            // It only reads lines of up to 1,024 characters.
            let secret = "s".repeat(900);
            if self.give(&words(&[&program, "store"]), &git_secret(&secret)) {
                let get = words(&[&program, "get"]);
                self.add("git-credential-libsecret", get, git_question());
                if let Some(peer) = self.found.last_mut() {
                    peer.answers = Some(secret);
                }
            }
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

    fn add_oidc_agent(&mut self) {
        let names = ["oidc-agent", "oidc-gen", "oidc-token"].map(installed_program);
        let [Some(agent), Some(generate), Some(token)] = names else {
            return;
        };
        let folder = self.sandbox.home().join(".config/oidc-agent");
        let _ = std::fs::create_dir_all(folder);
        self.agent = Agent::start(self.sandbox, &agent);
        let account = [
            generate,
            "hits".to_owned(),
            "--manual".to_owned(),
            format!("--issuer={}", self.sandbox.issuer()),
            format!("--client-id={}", provider::CLIENT),
            "--client-secret=none".to_owned(),
            "--redirect-uri=http://localhost:4242".to_owned(),
            "--scope=openid offline_access".to_owned(),
            "--flow=refresh".to_owned(),
            "--rt=r".to_owned(),
            format!("--cp={AUTHORITY}"),
            "--pw-cmd=echo hits".to_owned(),
            "--prompt=none".to_owned(),
            "--confirm-yes".to_owned(),
        ];
        if self.agent.is_some() && self.give(&account, "") {
            let words = vec![token, "hits".to_owned()];
            self.add("oidc-token", words, String::new());
            if let Some(peer) = self.found.last_mut() {
                peer.answers = Some(provider::token());
            }
        }
    }

    /// It only wraps another helper and stores nothing itself, so its cost is its start.
    fn add_git_credential_oauth(&mut self) {
        if let Some(program) = of_git("git-credential-oauth") {
            let question = "protocol=https\nhost=unknown.invalid\n\n".to_owned();
            self.add(
                "git-credential-oauth, no answer",
                vec![program, "get".to_owned()],
                question,
            );
            if let Some(peer) = self.found.last_mut() {
                peer.answers = None;
            }
        }
    }

    fn add(&mut self, name: &'static str, words: Vec<String>, question: String) {
        self.found.push(Peer {
            name,
            words,
            question,
            answers: Some(self.secret.clone()),
        });
    }

    fn give(&self, words: &[String], secret: &str) -> bool {
        let given = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.env())
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
            eprintln!("hits: {} cannot store a secret here", words[0]);
        }
        taken
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut env = self.sandbox.env();
        env.extend(self.agent.iter().flat_map(|agent| agent.env.clone()));
        env
    }

    pub(crate) fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    pub(crate) fn programs(&self) -> Vec<Program> {
        self.found
            .iter()
            .enumerate()
            .map(|(number, peer)| Program {
                name: peer.name.to_owned(),
                words: peer.words.clone(),
                env: self.env(),
                stdin: Some(self.question(number, &peer.question)),
                answers: peer.answers.clone(),
                fails: false,
                finds: None,
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

impl Agent {
    /// It daemonizes, and prints shell commands that tell clients how to find it.
    fn start(sandbox: &Sandbox, program: &str) -> Option<Self> {
        let said = Command::new(program)
            .env_clear()
            .envs(sandbox.env())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let said = String::from_utf8(said.stdout).ok()?;
        let env: Vec<_> = said
            .split([';', '\n'])
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        (!env.is_empty()).then_some(Self { env })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some((_, pid)) = self.env.iter().find(|(name, _)| name == "OIDCD_PID") {
            let _ = Command::new("kill").arg(pid).status();
        }
    }
}

fn git_secret(secret: &str) -> String {
    format!("protocol=https\nhost={HOST}\nusername=me\npassword={secret}\n\n")
}

pub(crate) fn git_question() -> String {
    format!("protocol=https\nhost={HOST}\n\n")
}

/// One of git's own programs, without the cost of starting `git` first.
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
        eprintln!("hits: {name} is not installed and is not measured");
    }
    found
}
