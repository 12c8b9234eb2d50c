//! A temporary HOME for the benchmark, with a configuration, a keyring and sessions.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs::which;
use crate::provider::{CLIENT, STALE_CLIENT};

/// Runs this program as the browser. The URL follows.
pub(crate) const BROWSE: &str = "browse";

/// Unlocks a keyring on its own bus, and then runs the program that follows.
const INSIDE: &str = "printf hits | gnome-keyring-daemon --unlock --components=secrets >&2
    exec \"$0\" \"$@\"";

/// The git server that is a resource in every configuration.
pub(crate) const HOST: &str = "git.corp.example";

/// The CA that issued the provider's certificate.
pub(crate) const AUTHORITY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/provider/keys/tls-authority.pem"
);

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// Where the data key is stored before the first sign-in.
const NO_PLACE: &str = "none";

/// Passes the sandbox's two folders to the process that measures in it.
const FOLDERS: [&str; 2] = ["HITS_ROOT", "HITS_RUNTIME"];

/// Runs this program again in the environment of a new sandbox, because `hallpass kubectl` only
/// accepts its parent's configuration. Returns `None` in that process.
pub(crate) fn outside() -> Option<i32> {
    if FOLDERS.iter().all(|name| std::env::var_os(name).is_some()) {
        return None;
    }
    let root = tempfile::TempDir::with_prefix("hits-").expect("a folder");
    // In memory, like the runtime folder of a login session.
    let runtime = tempfile::TempDir::with_prefix_in("hits-", "/dev/shm")
        .or_else(|_| tempfile::TempDir::with_prefix("hits-"))
        .expect("a folder");
    let own_home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let this = std::env::current_exe().expect("this program");
    // A real Secret Service on its own bus, if the programs are installed.
    let has_keyring = which("dbus-run-session")
        .and(which("gnome-keyring-daemon"))
        .is_some();
    let mut inside = if has_keyring {
        let mut session = Command::new("dbus-run-session");
        session.args(["--", "sh", "-c", INSIDE]).arg(this);
        session
    } else {
        eprintln!("hits: no Secret Service: dbus-run-session or gnome-keyring-daemon is missing");
        let mut alone = Command::new(this);
        alone.env_remove("DBUS_SESSION_BUS_ADDRESS");
        alone
    };
    for (folder, name) in [(&root, "home"), (&runtime, "run")] {
        private_folder(&folder.path().join(name));
    }
    inside
        .args(std::env::args_os().skip(1))
        .env("XDG_RUNTIME_DIR", runtime.path().join("run"))
        .env("HOME", root.path().join("home"))
        .envs([(FOLDERS[0], root.path()), (FOLDERS[1], runtime.path())]);
    // Builds still need these.
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        if std::env::var_os(name).is_none() {
            inside.env(name, own_home.join(folder));
        }
    }
    for name in [
        "HALLPASS_CONFIG",
        "HALLPASS_DATA_DIR",
        "HALLPASS_STORE",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
    ] {
        inside.env_remove(name);
    }
    let ended = inside.status().expect("this program, once more");
    Some(ended.code().unwrap_or(1))
}

pub(crate) struct Sandbox {
    root: PathBuf,
    runtime: PathBuf,
    env: Vec<(String, String)>,
    issuer: String,
    place: &'static str,
}

impl Sandbox {
    pub(crate) fn new(issuer: &str) -> Self {
        let [root, runtime] =
            FOLDERS.map(|name| PathBuf::from(std::env::var_os(name).expect("the sandbox")));
        let [home, run] = [(&root, "home"), (&runtime, "run")].map(|(folder, name)| {
            let path = folder.join(name);
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
        let mut env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        if let Ok(address) = std::env::var(BUS) {
            env.push((BUS.to_owned(), address));
        }
        let sandbox = Self {
            env,
            root,
            runtime,
            issuer: issuer.to_owned(),
            place: NO_PLACE,
        };
        sandbox.configure();
        sandbox
    }

    fn configure(&self) {
        let folder = self.home().join(".config/hallpass");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("config.toml"), self.config(1)).expect("the configuration");
    }

    pub(crate) fn has_keyring(&self) -> bool {
        self.env.iter().any(|(name, _)| name == BUS)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The parent of the runtime folders.
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
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

    /// Where the data key is stored.
    pub(crate) fn place(&self) -> &'static str {
        self.place
    }

    /// A configuration with this many resources.
    pub(crate) fn config(&self, resources: usize) -> String {
        let ca =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/provider/keys/tls-authority.pem");
        let mut text = format!("ca_file = \"{}\"\n", ca.display());
        if self.place != NO_PLACE {
            let _ = writeln!(text, "store = \"{}\"", self.place);
        }
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

    /// Signs in to both providers, with the data key in the best available store.
    pub(crate) fn sign_in(&mut self, program: &Path) {
        let has_bus = self.has_keyring();
        let places = ["keyring", "kernel", "file"];
        self.place = *places
            .iter()
            .skip(usize::from(!has_bus))
            .find(|place| {
                self.run(program, &["login", "--store", place, "corp"])
                    .is_some()
            })
            .expect("a place for the data key");
        self.configure();
        self.run(program, &["login", "stale"]).expect("a sign-in");
    }

    /// The output of a hit.
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

pub(crate) fn private_folder(path: &Path) {
    fs::create_dir(path).expect("a folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a folder's mode");
}

/// Delivers the code directly to the loopback listener. See `provider` for the form of a code.
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
