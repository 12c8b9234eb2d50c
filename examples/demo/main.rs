//! `cargo run --example demo`: a real sign-in, on your own machine, with a temporary HOME.
//!
//! It builds hallpass, starts a provider on loopback that has a sign-in page, and runs the real
//! `hallpass get-token` against it. Your browser opens. Without a browser, with `-- --hands-free`,
//! or after a minute, the demo fills in the form itself. Then the real git clones a private
//! repository from a server on loopback, with the same session.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a demonstration prints to stdout, and panics if it cannot continue"
)]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/browser.rs"]
mod browser;
mod git_server;
#[expect(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../../tests/it/provider/mod.rs"]
mod provider;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/wire.rs"]
mod wire;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use git_server::GitServer;
use hallpass::env::Env;
use hallpass::grant::launch;
use provider::Provider;

/// How long to wait for a person before the demo fills in the form.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells this program, started as the browser, which file to write the URL to.
const NOTE: &str = "HALLPASS_DEMO_NOTE";
/// The user's own settings, which the real browser needs.
const OWN_HOME: &str = "HALLPASS_DEMO_HOME";
const OWN_BROWSER: &str = "HALLPASS_DEMO_BROWSER";

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--note") {
        note(arguments.last().expect("a URL"), has("--open"));
    } else if has("--open") {
        open(arguments.last().expect("a URL"));
    } else {
        demonstrate(has("--hands-free"));
    }
}

/// Runs as hallpass's browser: writes the URL to a file, and opens the user's real browser.
fn note(url: &OsString, then_open: bool) {
    let note = PathBuf::from(std::env::var_os(NOTE).expect("where to note the URL"));
    let unfinished = note.with_extension("unfinished");
    fs::write(&unfinished, url.as_encoded_bytes()).expect("the note");
    fs::rename(&unfinished, &note).expect("the note");
    if !then_open {
        return;
    }
    let mut own = Command::new(std::env::current_exe().expect("this program"));
    own.arg("--open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (own_name, name) in [(OWN_HOME, "HOME"), (OWN_BROWSER, "BROWSER")] {
        match std::env::var_os(own_name) {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    let _ = own.status();
}

fn open(url: &OsString) {
    let url = url
        .to_str()
        .and_then(|url| url::Url::parse(url).ok())
        .expect("a URL");
    if let Some(browser) = launch::choose(&Env::of_process(), None) {
        // If this fails, the demo fills in the form after a while.
        let _ = launch::open(&browser, &url, &Env::of_process());
    }
}

fn demonstrate(hands_free: bool) {
    let hands_free = hands_free || launch::choose(&Env::of_process(), None).is_none();
    let program = built();
    let home = tempfile::tempdir().expect("a temporary HOME");
    let provider = Arc::new(Provider::start());
    let demo = Demo {
        program,
        home: home.path(),
        issuer: provider.issuer(),
        hands_free,
    };

    println!("A provider for this demo is running at {}.", demo.issuer);
    println!(
        "hallpass ({}{}) uses the temporary HOME {}.\n",
        build(),
        if cfg!(debug_assertions) {
            ", slower than a release build"
        } else {
            ""
        },
        home.path().display()
    );

    println!("1. hallpass get-token: no session yet, so you sign in.");
    if hands_free {
        println!("   (hands-free: the demo fills in the form for you)");
    } else {
        println!("   Your browser opens. Any user name will do.");
    }
    let first = demo.sign_in();
    println!("   token: {first}\n");

    println!("2. The same command again: the cached token, no browser, no network.");
    let second = demo.get_token(&[]);
    assert_eq!(first, second, "the cached token");
    println!();

    println!("3. A refresh, as after the token has expired: one request, no browser.");
    let third = demo.get_token(&["--force-refresh"]);
    assert_ne!(first, third, "a new token");
    println!("   new token: {third}\n");

    println!("4. hallpass setup git, then git clone of a private repository: no second sign-in.");
    demo.clone_a_repository(&provider);

    println!("5. hallpass status");
    demo.show("status", &[]);
    println!("\n6. hallpass logout --all: revokes the tokens and deletes the session.");
    demo.show("logout", &["--all"]);
    assert!(
        provider.owner(&third).is_none(),
        "the provider has revoked the token"
    );
    println!("\nDone. README.md shows how to use hallpass with your own provider.");
}

/// Builds hallpass, because `cargo run --example` builds only the example.
fn built() -> PathBuf {
    // Cargo sets `CARGO` for the programs that it runs. Without it, the demo was started by its
    // path, and the cargo that built it may not be on PATH.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(&cargo);
    // The same goes for rustc, which is beside cargo.
    let beside = Path::new(&cargo).parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    command.env(
        "PATH",
        std::env::join_paths(folders).unwrap_or(path.clone()),
    );
    command.args([
        "build",
        "--quiet",
        "--bin",
        "hallpass",
        "--message-format=json",
    ]);
    command.args([
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().expect("cargo");
    assert!(output.status.success(), "cargo could not build hallpass");
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "hallpass")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("the built program")
}

fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug build"
    } else {
        "release build"
    }
}

struct Demo<'a> {
    program: PathBuf,
    home: &'a Path,
    issuer: String,
    hands_free: bool,
}

impl Demo<'_> {
    fn command(&self, verb: &str) -> Command {
        let own = |name| std::env::var_os(name);
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .env("HOME", self.home)
            .env("HALLPASS_DATA_DIR", self.home.join("data"))
            .env("HALLPASS_STORE", "file")
            .env("HALLPASS_INTERACTIVE", "auto")
            .env("BROWSER", self.browser())
            .env(NOTE, self.noted())
            .env_remove("HALLPASS_CONFIG")
            .env_remove("XDG_CONFIG_HOME");
        for (own_name, name) in [(OWN_HOME, "HOME"), (OWN_BROWSER, "BROWSER")] {
            if let Some(value) = own(name) {
                command.env(own_name, value);
            }
        }
        command
    }

    fn token_command(&self) -> Command {
        let mut command = self.command("get-token");
        command.args(["--issuer-url", &self.issuer, "--client-id", "hallpass"]);
        command.args(["--scope", "openid", "--scope", "offline_access"]);
        command
    }

    /// The command that starts this program as hallpass's browser.
    fn browser(&self) -> String {
        let program = std::env::current_exe().expect("this program");
        let open = if self.hands_free { "" } else { "--open " };
        format!("\"{}\" --note {open}%s", program.display())
    }

    fn noted(&self) -> PathBuf {
        self.home.join("authorization-url")
    }

    fn sign_in(&self) -> String {
        let started = Instant::now();
        let mut child = self
            .token_command()
            .stdout(Stdio::piped())
            .spawn()
            .expect("hallpass");
        let patience = if self.hands_free {
            Duration::ZERO
        } else {
            PATIENCE
        };
        while child.try_wait().expect("hallpass").is_none() {
            if started.elapsed() >= patience
                && let Ok(url) = fs::read_to_string(self.noted())
            {
                if !self.hands_free {
                    println!("   (no sign-in so far: the demo fills in the form for you)");
                }
                browser::sign_in(&url, "you").expect("the provider's page");
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        token_of(child, started)
    }

    fn get_token(&self, more: &[&str]) -> String {
        let started = Instant::now();
        let mut command = self.token_command();
        command.args(more).args(["--interactive", "never"]);
        token_of(
            command.stdout(Stdio::piped()).spawn().expect("hallpass"),
            started,
        )
    }

    /// Uses the installed git. Without one, skips this step.
    fn clone_a_repository(&self, provider: &Arc<Provider>) {
        if let Err(why) = git_server::is_possible() {
            println!("   (skipped: {why})\n");
            return;
        }
        let server = GitServer::start(Arc::clone(provider), &self.home.join("served"));
        // An explicit path, because the default depends on the platform.
        let config = self.home.join("config.toml");
        fs::write(&config, "").expect("the configuration");
        let mut setup = self.command("setup");
        setup
            .args(["git", "--host", &server.url])
            .args(["--issuer-url", &self.issuer, "--client-id", "hallpass"])
            .args(["--scope", "openid", "--scope", "offline_access"])
            .env("HALLPASS_CONFIG", &config);
        println!(
            "   $ hallpass setup git --host {} --issuer-url …",
            server.url
        );
        let output = quiet_git(&mut setup).output().expect("hallpass");
        assert!(output.status.success(), "hallpass setup git failed");

        let url = format!("{}/private.git", server.url);
        let target = self.home.join("private");
        println!("   $ git clone {url}");
        let started = Instant::now();
        let mut clone = Command::new("git");
        clone
            .args(["clone", "--quiet", &url])
            .arg(&target)
            .env("HOME", self.home)
            .env("HALLPASS_DATA_DIR", self.home.join("data"))
            .env("HALLPASS_STORE", "file")
            .env("HALLPASS_CONFIG", &config);
        let status = quiet_git(&mut clone).status().expect("git");
        assert!(status.success(), "git clone ended with {status}");
        println!(
            "   took {:.0} ms, including git's own work",
            started.elapsed().as_secs_f64() * 1000.0
        );
        let readme = fs::read_to_string(target.join("README")).expect("the clone");
        println!("   README of the clone: {}", readme.trim_end());
        for line in server.seen() {
            println!("   server log: {line}");
        }
        println!();
    }

    fn show(&self, verb: &str, more: &[&str]) {
        let status = self.command(verb).args(more).status().expect("hallpass");
        assert!(status.success(), "hallpass {verb} failed");
    }
}

/// Isolates git from the user's configuration and disables its prompts.
fn quiet_git(command: &mut Command) -> &mut Command {
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_CONFIG_GLOBAL")
        .env_remove("XDG_CONFIG_HOME")
}

/// Waits for the command, prints how long it took, and returns the token that it printed.
fn token_of(child: Child, started: Instant) -> String {
    let output = child.wait_with_output().expect("hallpass");
    println!(
        "   took {:.1} ms ({})",
        started.elapsed().as_secs_f64() * 1000.0,
        build()
    );
    assert!(
        output.status.success(),
        "hallpass ended with {}",
        output.status
    );
    String::from_utf8(output.stdout)
        .expect("a token")
        .trim_end()
        .to_owned()
}
