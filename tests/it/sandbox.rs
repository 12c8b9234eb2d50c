//! Runs the real binary in an isolated environment with an empty home and a browser. Every wait has
//! a time limit.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use crate::browser;

/// A time limit that no run should exceed, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How long to sleep between two looks at something that no event announces. Under Wine, each of them
/// costs several requests to the one server of all programs.
const POLL_INTERVAL: Duration = Duration::from_millis(if cfg!(windows) { 20 } else { 5 });

/// The user ID of nobody.
#[cfg(unix)]
const OTHER_USER: u32 = 65534;

pub(crate) struct Sandbox {
    root: TempDir,
    variables: BTreeMap<OsString, OsString>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let root = TempDir::new();
        let mut sandbox = Self {
            root,
            variables: BTreeMap::new(),
        };
        fs::create_dir(sandbox.notes()).expect("the browser's notes");
        let home = sandbox.root.path().join("home");
        private_dir(&home);
        sandbox.set("HOME", &home);
        sandbox.set("HALLPASS_STORE", "file");
        // Otherwise the machine's git configuration and the user's keyring would be used.
        sandbox.set("GIT_CONFIG_NOSYSTEM", "1");
        let no_bus = sandbox.root.path().join("no-bus");
        let mut address = OsString::from("unix:path=");
        address.push(no_bus);
        sandbox.set("DBUS_SESSION_BUS_ADDRESS", address);
        // Shorter than the default time limit, which is meant for people.
        sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "20");
        sandbox.set("HALLPASS_HTTP_TIMEOUT", "10");
        sandbox.set("BROWSER", browser_command());
        // This browser also applies where hallpass can't read a parent's environment.
        sandbox.set("HALLPASS_TEST_CALLER", "any");
        // For root, podman's default location would be the machine's.
        let run = sandbox.root.path().join("run-containers");
        sandbox.set("HALLPASS_TEST_RUN_CONTAINERS", run);
        sandbox.set(browser::NOTES, sandbox.notes());
        if cfg!(not(target_os = "linux")) {
            sandbox.set("HALLPASS_DATA_DIR", home.join("data"));
        }
        if cfg!(windows) {
            // Programs start slowly under Wine, so a test may delay a response for longer.
            sandbox.set("HALLPASS_SIGN_IN_TIMEOUT", "40");
            sandbox.set("HALLPASS_HTTP_TIMEOUT", "25");
            for kept in ["SystemRoot", "windir", "SystemDrive"] {
                if let Some(value) = std::env::var_os(kept) {
                    sandbox.set(kept, value);
                }
            }
            for moved in ["USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP"] {
                sandbox.set(moved, &home);
            }
        }
        sandbox
    }

    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.insert(name.into(), value.as_ref().into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(OsStr::new(name));
    }

    /// Sets what the browser does when it is opened; see [`browser::ACTION`].
    pub(crate) fn browser_will(&mut self, action: &str) {
        self.set(browser::ACTION, action);
    }

    pub(crate) fn person(&mut self, person: &str) {
        self.set(browser::PERSON, person);
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.variables[OsStr::new("HOME")].clone().into()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        match self.variables.get(OsStr::new("HALLPASS_DATA_DIR")) {
            Some(dir) => dir.into(),
            None => self.home().join(".local/share/hallpass"),
        }
    }

    /// Writes the configuration file that `HALLPASS_CONFIG` names.
    pub(crate) fn config(&mut self, text: &str) -> PathBuf {
        let path = self.root().join("config.toml");
        private_file(&path, text);
        self.set("HALLPASS_CONFIG", &path);
        path
    }

    /// Runs the binary until it exits.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).wait()
    }

    /// Gives the sandbox to another user, who then runs the binary. Only root can do that.
    #[cfg(unix)]
    pub(crate) fn give_away(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        for folder in self.root().ancestors() {
            // Other users may enter the tests' folders; their names are random.
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            if mode & 0o1 == 0 {
                fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o11)).unwrap();
            }
        }
        let mut give = Command::new("chown");
        give.arg("-R").arg(format!("{OTHER_USER}:{OTHER_USER}"));
        assert!(give.arg(self.root()).status().unwrap().success());
    }

    /// Runs the binary as the other user.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn run_as_other_user(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command();
        std::os::unix::process::CommandExt::uid(&mut command, OTHER_USER);
        command.args(arguments);
        Running::new(command, arguments).wait()
    }

    /// Runs the binary `count` times concurrently.
    #[track_caller]
    pub(crate) fn run_at_once(&self, count: usize, arguments: &[&str]) -> Vec<Outcome> {
        let running: Vec<_> = (0..count).map(|_| self.start(arguments)).collect();
        running.into_iter().map(Running::wait).collect()
    }

    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command();
        command.args(arguments);
        Running::new(command, arguments)
    }

    /// Runs the binary until it exits, with input on stdin.
    #[track_caller]
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = self.command();
        command.args(arguments);
        Running::with_input(command, arguments, input).wait()
    }

    /// A command that runs the binary in this sandbox, for tests that need more than arguments.
    pub(crate) fn command(&self) -> Command {
        #[cfg(unix)]
        signals::reset_in_children();
        self.surround(Command::new(env!("CARGO_BIN_EXE_hallpass")))
    }

    /// The sandbox's environment.
    pub(crate) fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.variables
    }

    /// Replaces a command's environment with this sandbox's.
    pub(crate) fn surround(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.root());
        command
    }

    /// The arguments of each browser that was started, which should be one URL each.
    pub(crate) fn opened(&self) -> Vec<Vec<String>> {
        let log = fs::read_to_string(self.notes().join("opened")).unwrap_or_default();
        log.lines()
            .map(|line| serde_json::from_str(line).expect("a line of the browser's log"))
            .collect()
    }

    /// Waits until `count` browsers were started, and returns the last one's URL.
    #[track_caller]
    pub(crate) fn wait_for_browser(&self, count: usize) -> String {
        let opened = wait_for("a browser", || {
            Some(self.opened()).filter(|opened| opened.len() >= count)
        });
        opened[count - 1].last().expect("a URL").clone()
    }

    /// Waits for a browser's final page, and removes it from the notes.
    #[track_caller]
    pub(crate) fn page(&self) -> Page {
        page_in(&self.notes())
    }

    /// Whether a browser has reached its final page.
    pub(crate) fn has_page(&self) -> bool {
        finished_page(&self.notes()).is_some()
    }

    /// Makes a lingering browser exit.
    pub(crate) fn dismiss_browser(&self) {
        fs::write(self.notes().join("leave"), "").expect("the browser's notes");
    }

    pub(crate) fn notes(&self) -> PathBuf {
        self.root().join("browser")
    }
}

/// The pages that a browser visited.
pub(crate) struct Page(Value);

impl Page {
    pub(crate) fn status(&self) -> u64 {
        self.0["last"]["status"].as_u64().unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &str {
        self.0["last"]["body"].as_str().unwrap_or_default()
    }

    /// Every URL that was visited.
    pub(crate) fn urls(&self) -> Vec<&str> {
        let hops = self.0["hops"].as_array().expect("the hops");
        hops.iter().filter_map(|hop| hop["url"].as_str()).collect()
    }

    /// A header of the page at `hop`, counted from the end.
    pub(crate) fn header(&self, from_the_end: usize, name: &str) -> Option<&str> {
        let hops = self.0["hops"].as_array()?;
        let hop = hops.get(hops.len().checked_sub(1 + from_the_end)?)?;
        hop["headers"].as_array()?.iter().find(|pair| {
            pair[0]
                .as_str()
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
        })?[1]
            .as_str()
    }
}

/// Like [`Sandbox::page`], for a browser that writes its notes elsewhere.
#[track_caller]
pub(crate) fn page_in(notes: &Path) -> Page {
    wait_for("the browser's last page", || {
        let path = finished_page(notes)?;
        let text = fs::read_to_string(&path).ok()?;
        fs::remove_file(&path).ok()?;
        Some(Page(serde_json::from_str(&text).ok()?))
    })
}

fn finished_page(notes: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(notes).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension() == Some(OsStr::new("json")))
}

/// A run of the binary that hasn't exited yet.
pub(crate) struct Running {
    child: Option<Child>,
    what: String,
    stdout: mpsc::Receiver<Vec<u8>>,
    stderr: mpsc::Receiver<Vec<u8>>,
    so_far: Vec<u8>,
    started: Instant,
}

/// Starts a program. Under Wine, a start sometimes fails with "internal error" on a busy machine, before
/// anything of the program has run.
#[track_caller]
fn spawned(command: &mut Command) -> Child {
    const INTERNAL_ERROR: i32 = 1359;
    let mut tries = 0;
    loop {
        tries += 1;
        match command.spawn() {
            Err(error)
                if cfg!(windows) && error.raw_os_error() == Some(INTERNAL_ERROR) && tries < 5 => {}
            result => return result.expect("the binary"),
        }
    }
}

impl Running {
    #[track_caller]
    pub(crate) fn new(command: Command, arguments: &[&str]) -> Self {
        Self::with_input(command, arguments, b"")
    }

    #[track_caller]
    pub(crate) fn with_input(mut command: Command, arguments: &[&str], input: &[u8]) -> Self {
        command
            .stdin(if input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = spawned(&mut command);
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // The binary may exit without reading all of its input.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        Self {
            stdout: drain(child.stdout.take().expect("a pipe")),
            stderr: drain(child.stderr.take().expect("a pipe")),
            so_far: Vec::new(),
            child: Some(child),
            what: arguments.join(" "),
            started,
        }
    }

    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Waits until a line of stderr matches, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, matches: impl Fn(&str) -> bool) -> String {
        let deadline = self.started + LIMIT;
        loop {
            let text = String::from_utf8_lossy(&self.so_far).into_owned();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            if let Some(line) = whole.lines().find(|line| matches(line)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(more) = self.stderr.recv_timeout(left) else {
                panic!("the line never came; stderr:\n{text}");
            };
            self.so_far.extend(more);
        }
    }

    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let mut child = self.child.take().expect("waited for once");
        let deadline = self.started + LIMIT;
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait().expect("the child") {
                break status;
            }
            if Instant::now() > deadline {
                late = true;
                child.kill().expect("the child to be killed");
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        let took = self.started.elapsed();
        let stdout = as_on_unix(collect(&self.stdout, Vec::new()));
        let stderr = as_on_unix(collect(&self.stderr, std::mem::take(&mut self.so_far)));
        assert!(
            !late,
            "`hallpass {}` took longer than {LIMIT:?} and was killed\nstdout: {stdout}\nstderr: {stderr}",
            self.what
        );
        Outcome {
            what: self.what.clone(),
            code: status.code(),
            stdout,
            stderr,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must not leave a process running.
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// The token of a reply in the format `raw`, which is a single line.
    #[track_caller]
    pub(crate) fn token(&self) -> &str {
        self.succeeds();
        let token = self.stdout.strip_suffix('\n').unwrap_or_default();
        assert!(
            !token.is_empty() && !token.contains(char::is_whitespace),
            "stdout is not one token and a newline: {self}"
        );
        token
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.succeeds();
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Checks the exit code, that stdout is empty and that stderr has an error, and returns stderr.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self}");
        assert_eq!(self.stdout, "", "stdout belongs to the reply: {self}");
        assert!(
            self.stderr
                .lines()
                // clap words usage errors itself.
                .any(|line| line.starts_with("hallpass: error: ")
                    || (code == 2 && line.starts_with("error: "))),
            "no error line: {self}"
        );
        &self.stderr
    }

    /// Checks the exit code, and that nothing is written.
    #[track_caller]
    pub(crate) fn fails_silently(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self}");
        assert_eq!((&*self.stdout, &*self.stderr), ("", ""), "{self}");
    }

    /// Like [`Self::fails_with`], and checks that stderr contains these words.
    #[track_caller]
    pub(crate) fn fails_saying(&self, code: i32, words: &[&str]) -> &str {
        let stderr = self.fails_with(code);
        let lower = stderr.to_lowercase();
        for word in words {
            assert!(lower.contains(&word.to_lowercase()), "{word:?}: {self}");
        }
        stderr
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            code,
            stdout,
            stderr,
            took,
        } = self;
        write!(
            f,
            "`hallpass {what}` ended with {code:?} after {took:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}

/// Polls every few milliseconds until a deadline.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Waits until nothing listens at the URL, because a sign-in process exits a little later than its
/// callers.
#[track_caller]
pub(crate) fn wait_until_closed(url: &url::Url) {
    wait_for("the port to be closed", || {
        crate::wire::connect(url).is_err().then_some(())
    });
}

/// Whether a text or file contains a secret, as it is or in an encoding in which secrets are
/// sent.
pub(crate) fn leaks(haystack: &[u8], secret: &str) -> bool {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut forms = vec![secret.to_owned(), percent];
    // The base64 form of a text depends on its offset, and the first and last characters of each
    // form also depend on the adjacent bytes.
    for shift in 0..3 {
        let padded = [&b"xx"[..shift], secret.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(padded);
        let sure = (shift * 8).div_ceil(6);
        forms.push(encoded[sure..encoded.len() - 2].to_owned());
    }
    forms.iter().any(|form| {
        haystack
            .windows(form.len().max(1))
            .any(|window| window == form.as_bytes())
    })
}

/// Every regular file in a folder and its subfolders.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => files.push(path),
                Ok(_) | Err(_) => (),
            }
        }
    }
    files.sort();
    files
}

/// The value of `$BROWSER`.
pub(crate) fn browser_command() -> OsString {
    let executable = std::env::current_exe().expect("the test executable");
    let mut command = executable.into_os_string();
    for argument in browser::ARGUMENTS {
        command.push(" ");
        command.push(argument);
    }
    command
}

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("hallpass-it-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        private_dir(&path);
        // On macOS, it is a symlink.
        Self(fs::canonicalize(path).expect("the temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Writes a file that only the owner can read.
pub(crate) fn private_file(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("a file");
}

pub(crate) fn private_dir(path: &Path) {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).expect("a folder");
}

fn drain(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// Windows shows other separators in the user's files, and links to hallpass are batch files there.
fn as_on_unix(output: String) -> String {
    if cfg!(not(windows)) {
        return output;
    }
    let words = output.split_inclusive(char::is_whitespace).map(|word| {
        if word.starts_with(r"~\") {
            word.replace('\\', "/")
        } else {
            word.to_owned()
        }
    });
    let output: String = words.collect();
    output.replace(
        "/docker-credential-hallpass.cmd",
        "/docker-credential-hallpass",
    )
}

/// Reads a pipe until it is closed, and fails if a grandchild keeps it open.
#[track_caller]
fn collect(pipe: &mpsc::Receiver<Vec<u8>>, mut all: Vec<u8>) -> String {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match pipe.recv_timeout(left) {
            Ok(more) => all.write_all(&more).expect("memory"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!(
                "something still holds the output open: {}",
                String::from_utf8_lossy(&all)
            ),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Makes this program available at another path. A hard link where the file system and the owner of
/// the program allow one.
pub(crate) fn another_name(path: &Path) {
    let program = env!("CARGO_BIN_EXE_hallpass");
    if std::fs::hard_link(program, path).is_err() {
        copy_program(program, path);
    }
}

/// Copies a program, so that it can be started from another place.
///
/// A separate process writes the copy, for the reason that [`script_file`] has.
pub(crate) fn copy_program(from: impl AsRef<Path>, to: &Path) {
    if cfg!(windows) {
        std::fs::copy(from, to).unwrap();
        return;
    }
    let mut cp = Command::new("cp");
    let status = cp.arg(from.as_ref()).arg(to).status().unwrap();
    assert!(status.success());
}

/// Writes an executable shell script.
///
/// A separate process writes it. If this process did, a program that another thread starts at the
/// same time would briefly inherit the file while it is open for writing, and the kernel would
/// refuse to run the script ("Text file busy").
#[cfg(unix)]
pub(crate) fn script_file(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 700 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    drop(stdin);
    assert!(writer.wait().unwrap().success());
}

/// The signals that terminate a process.
#[cfg(unix)]
mod signals {
    use std::sync::Arc;
    use std::sync::Once;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::flag::register_conditional_shutdown;

    /// A shell makes background commands ignore SIGINT and SIGQUIT, and `nohup` makes them ignore
    /// SIGHUP. Programs inherit this, and a test that interrupts one would fail. A signal that the
    /// test process handles has its default effect in the programs that it starts.
    pub(super) fn reset_in_children() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
                // A signal that was ignored still has no effect on this process.
                let ends_the_tests = Arc::new(AtomicBool::new(!is_ignored(signal)));
                register_conditional_shutdown(signal, 128 + signal, ends_the_tests).unwrap();
            }
        });
    }

    /// Whether this process ignores a signal, on systems that report it (proc(5)).
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.unwrap_or_default() & (1 << (signal - 1)) != 0
    }
}
