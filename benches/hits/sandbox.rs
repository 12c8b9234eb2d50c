//! A HOME for the length of the benchmark: configuration, keyring, a sign-in.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::measure::which;
use crate::provider::{CLIENT, STALE_CLIENT};

/// Makes this program the browser: the URL follows it.
pub(crate) const BROWSE: &str = "browse";

/// The pass phrase comes by stdin, as at a login; the bus ends when stdin is closed.
const INSIDE: &str =
    "printf hits | gnome-keyring-daemon --unlock --components=secrets >&2 || exit 1
    echo \"$DBUS_SESSION_BUS_ADDRESS\"; cat >/dev/null";

/// The git server that a resource of every configuration opens.
pub(crate) const HOST: &str = "git.corp.example";

/// Who issued the provider's certificate.
pub(crate) const AUTHORITY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/provider/keys/tls-authority.pem"
);

pub(crate) struct Sandbox {
    root: tempfile::TempDir,
    /// In memory, as a login's is.
    runtime: tempfile::TempDir,
    env: Vec<(String, String)>,
    issuer: String,
    place: &'static str,
}

impl Sandbox {
    pub(crate) fn new(issuer: &str) -> Self {
        let root = tempfile::TempDir::with_prefix("hits-").expect("a folder");
        let runtime = tempfile::TempDir::with_prefix_in("hits-", "/dev/shm")
            .or_else(|_| tempfile::TempDir::with_prefix("hits-"))
            .expect("a folder");
        let [home, run] = [(&root, "home"), (&runtime, "run")].map(|(folder, name)| {
            let path = folder.path().join(name);
            private_folder(&path);
            path.to_string_lossy().into_owned()
        });
        let browser = std::env::current_exe().expect("this program");
        let env = [
            ("HOME", home),
            ("XDG_RUNTIME_DIR", run),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LANG", "C.UTF-8".to_owned()),
            ("BROWSER", format!("{} {BROWSE}", browser.display())),
        ];
        let sandbox = Self {
            env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            root,
            runtime,
            issuer: issuer.to_owned(),
            place: "none",
        };
        let config = sandbox.home().join(".config/hallpass");
        fs::create_dir_all(&config).expect("a folder");
        fs::write(config.join("config.toml"), sandbox.config(1)).expect("the configuration");
        sandbox
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where runtime folders are.
    pub(crate) fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub(crate) fn env(&self) -> Vec<(String, String)> {
        self.env.clone()
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the data key is.
    pub(crate) fn place(&self) -> &'static str {
        self.place
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// A configuration with so many resources.
    pub(crate) fn config(&self, resources: usize) -> String {
        let ca =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/provider/keys/tls-authority.pem");
        let mut text = format!("ca_file = \"{}\"\n", ca.display());
        for (name, client) in [("corp", CLIENT), ("stale", STALE_CLIENT)] {
            let _ = write!(
                text,
                "\n[providers.{name}]\nissuer = \"{}\"\nclient_id = \"{client}\"\n\
                 scopes = [\"openid\", \"offline_access\"]\n",
                self.issuer
            );
        }
        let _ = write!(
            text,
            "\n[[resources]]\nmatch = \"https://{HOST}\"\nprovider = \"corp\"\n"
        );
        for number in 1..=resources {
            let _ = write!(
                text,
                "\n[[resources]]\nmatch = \"https://git{number}.corp.example/team\"\n\
                 provider = \"corp\"\nusername = \"oauth2\"\n"
            );
        }
        text
    }

    /// A real Secret Service on a bus of its own, where the parts are installed. It ends with what
    /// is returned.
    pub(crate) fn start_keyring(&mut self) -> Option<Keyring> {
        if which("dbus-run-session")
            .and(which("gnome-keyring-daemon"))
            .is_none()
        {
            eprintln!(
                "hits: no Secret Service: dbus-run-session or gnome-keyring-daemon is missing"
            );
            return None;
        }
        let mut session = Command::new("dbus-run-session")
            .args(["--", "sh", "-c", INSIDE])
            .env_clear()
            .envs(self.env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut address = String::new();
        BufReader::new(session.stdout.take()?)
            .read_line(&mut address)
            .ok()?;
        let keyring = Keyring(session);
        if address.trim().is_empty() {
            eprintln!("hits: no Secret Service: gnome-keyring-daemon did not start");
            return None;
        }
        self.set("DBUS_SESSION_BUS_ADDRESS", address.trim());
        Some(keyring)
    }

    /// Signs in to both providers, with the data key in the best place that there is.
    pub(crate) fn sign_in(&mut self, program: &Path) {
        let has_bus = self
            .env
            .iter()
            .any(|(name, _)| name == "DBUS_SESSION_BUS_ADDRESS");
        let places = ["keyring", "kernel", "file"];
        self.place = *places
            .iter()
            .skip(usize::from(!has_bus))
            .find(|place| {
                self.run(program, &["login", "--store", place, "corp"])
                    .is_some()
            })
            .expect("a place for the data key");
        self.set("HALLPASS_STORE", self.place);
        self.run(program, &["login", "stale"]).expect("a sign-in");
    }

    /// What a hit prints.
    pub(crate) fn reply(&self, program: &Path) -> Vec<u8> {
        self.run(program, &["get-token", "corp"]).expect("a token")
    }

    pub(crate) fn run(&self, program: &Path, words: &[&str]) -> Option<Vec<u8>> {
        self.run_with(program, words, &[])
    }

    pub(crate) fn run_with(
        &self,
        program: &Path,
        words: &[&str],
        env: &[(&str, &str)],
    ) -> Option<Vec<u8>> {
        let output = Command::new(program)
            .args(words)
            .env_clear()
            .envs(self.env())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("hallpass");
        if !output.status.success() {
            eprintln!(
                "hits: {}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        output.status.success().then_some(output.stdout)
    }
}

pub(crate) struct Keyring(Child);

impl Drop for Keyring {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub(crate) fn private_folder(path: &Path) {
    fs::create_dir(path).expect("a folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a folder's mode");
}

/// Brings the code straight to the loopback listener; see `provider` for what a code is.
pub(crate) fn browse(url: &str) {
    let url = url::Url::parse(url).expect("a URL");
    let field = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .expect("a parameter")
    };
    let mut callback = url::Url::parse(&field("redirect_uri")).expect("a redirect URI");
    callback
        .query_pairs_mut()
        .append_pair("code", &field("nonce"))
        .append_pair("state", &field("state"));
    let target = &callback[url::Position::BeforePath..];
    let authority = &callback[url::Position::BeforeHost..url::Position::AfterPort];
    let mut stream = TcpStream::connect(authority).expect("the listener");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let _ = stream.read_to_end(&mut Vec::new());
}
