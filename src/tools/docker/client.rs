//! The client process that started this helper: whether it runs `docker login`, and its sign-ins.
//!
//! `podman --remote`, docker's classic builder and docker-py request the credentials of every
//! configured registry, whichever one they need. A client gets at most one sign-in at a time, and no
//! further one for a while if the user doesn't complete it.

use std::cell::RefCell;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::config::DockerAsk;
use crate::env::Env;
use crate::report::Exit;
use crate::serving::prepared::Prepared;
use crate::session;
use crate::store::{Lock, LockKind, Plain, RecordName, StoreError};

/// How long a client gets no sign-in after one that wasn't completed. It requests its next
/// credential at once, and a process ID isn't reused that soon.
const AFTER_UNFINISHED: Duration = Duration::seconds(60);

/// How long to wait for another sign-in silently.
const QUIET: std::time::Duration = std::time::Duration::from_millis(500);

/// Lock files are never removed, so clients share a few. Two clients with the same one only wait for
/// each other.
const LOCKS: u32 = 8;

/// The client of this helper, and its turn to sign in.
pub(super) struct Client<'p> {
    prepared: &'p Prepared<'p>,
    pid: u32,
    turn: RefCell<Turn>,
}

enum Turn {
    NotTaken,
    Taken {
        _lock: Lock,
    },
    /// Why the client gets no sign-in.
    Denied(&'static str),
    Failed(StoreError),
}

/// A sign-in that wasn't completed.
#[derive(Serialize, Deserialize)]
struct Unfinished {
    pid: u32,
    #[serde(with = "time::serde::timestamp")]
    at: OffsetDateTime,
}

impl<'p> Client<'p> {
    pub(super) fn of_process(prepared: &'p Prepared<'p>) -> Self {
        #[cfg(unix)]
        let pid = std::os::unix::process::parent_id();
        // There, all clients share one turn.
        #[cfg(not(unix))]
        let pid = 0;
        Self {
            prepared,
            pid,
            turn: RefCell::new(Turn::NotTaken),
        }
    }

    /// Waits for the client's turn to sign in. Returns whether it may; the turn ends with `self`.
    pub(super) fn may_sign_in(&self) -> bool {
        let turn =
            if self.prepared.config.settings.docker_ask == DockerAsk::Login && !self.runs_login() {
                Turn::Denied("`docker.ask = \"login\"` allows a sign-in only during `docker login`")
            } else {
                self.take_turn().unwrap_or_else(Turn::Failed)
            };
        let may = matches!(turn, Turn::Taken { .. });
        self.turn.replace(turn);
        may
    }

    fn take_turn(&self) -> Result<Turn, StoreError> {
        let Prepared {
            store,
            terminal,
            config,
            ..
        } = self.prepared;
        let name = RecordName::session(self.name().as_bytes());
        let mut deadline = Instant::now() + QUIET;
        let mut is_said = false;
        let lock = loop {
            match store.lock(&name, LockKind::Login, deadline) {
                Ok(lock) => break lock,
                Err(StoreError::LockTimedOut { .. }) if !is_said => {
                    terminal.say("waiting for the sign-in to another registry");
                    is_said = true;
                    deadline = Instant::now() + config.settings.sign_in_timeout;
                }
                Err(StoreError::LockTimedOut { .. }) => {
                    return Ok(Turn::Denied("another sign-in is still in progress"));
                }
                Err(error) => return Err(error),
            }
        };
        let unfinished = store.read_plain::<Unfinished>(Plain::Attempt, &self.name())?;
        let now = crate::clock::now(self.prepared.env);
        let is_recent = |one: &Unfinished| now >= one.at && now < one.at + AFTER_UNFINISHED;
        if unfinished.is_some_and(|one| one.pid == self.pid && is_recent(&one)) {
            return Ok(Turn::Denied(
                "the last sign-in for the same command was not completed",
            ));
        }
        Ok(Turn::Taken { _lock: lock })
    }

    fn name(&self) -> String {
        format!("docker client {}", self.pid % LOCKS)
    }

    /// Notes how the sign-in ended, and says why there was none.
    pub(super) fn explained(&self, error: session::Error) -> session::Error {
        match (self.turn.replace(Turn::NotTaken), error) {
            (Turn::Failed(error), session::Error::SignInNeeded { .. }) => error.into(),
            (
                Turn::Denied(why),
                session::Error::SignInNeeded {
                    provider,
                    account,
                    reason,
                    why: _,
                    refusal,
                    login,
                },
            ) => session::Error::SignInNeeded {
                provider,
                account,
                reason,
                why,
                refusal,
                login,
            },
            (Turn::Taken { _lock }, error) if is_unfinished(&error) => {
                let at = crate::clock::now(self.prepared.env);
                let noted = Unfinished { pid: self.pid, at };
                let store = &self.prepared.store;
                if let Err(error) = store.write_plain(Plain::Attempt, &self.name(), &noted) {
                    let terminal = self.prepared.terminal;
                    terminal.explain(1, || format!("the sign-in's end was not saved: {error}"));
                }
                error
            }
            (_, error) => error,
        }
    }

    /// Whether the client's command line is that of `docker login HOST` or an equivalent.
    fn runs_login(&self) -> bool {
        command_line(self.prepared.env, self.pid).is_some_and(|words| is_login(&words))
    }
}

/// Whether the user saw the sign-in and didn't complete it.
fn is_unfinished(error: &session::Error) -> bool {
    if let session::Error::Elsewhere(report) = error {
        return report.exit == Exit::NotSignedIn;
    }
    matches!(
        error,
        session::Error::Declined { .. } | session::Error::TimedOut { .. }
    )
}

/// Finds `login` before any other command: `docker --context x login`, `helm registry login`,
/// `crane auth login`.
fn is_login(words: &[String]) -> bool {
    let mut may_be_value = false;
    for word in words.iter().skip(1) {
        let is_option = word.starts_with('-');
        match word.as_str() {
            "login" => return true,
            "registry" | "auth" => may_be_value = false,
            _ if is_option => may_be_value = !word.contains('='),
            _ if may_be_value => may_be_value = false,
            _ => return false,
        }
    }
    false
}

/// The arguments of a process, as `proc_pid_cmdline(5)` shows them.
#[cfg(target_os = "linux")]
fn command_line(_env: &Env, pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes.split(|byte| *byte == 0);
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

/// The arguments of a process, as ps(1) shows them.
#[cfg(all(unix, not(target_os = "linux")))]
fn command_line(_env: &Env, pid: u32) -> Option<Vec<String>> {
    let mut ps = std::process::Command::new("/bin/ps");
    ps.args(["-ww", "-o", "args=", "-p", &pid.to_string()]);
    let shown = crate::child::output(&mut ps, std::time::Duration::from_secs(2)).ok()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    Some(shown.split_whitespace().map(str::to_owned).collect())
}

/// The arguments of the process that started this one. Windows shows them through unsafe functions
/// or WMI, and PowerShell can ask WMI:
/// <https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process>.
#[cfg(windows)]
fn command_line(env: &Env, _pid: u32) -> Option<Vec<String>> {
    const PROGRAM: &str = r"System32\WindowsPowerShell\v1.0\powershell.exe";
    let script = format!(
        "$own = Get-CimInstance Win32_Process -Filter ProcessId={}; \
         (Get-CimInstance Win32_Process -Filter ('ProcessId=' + $own.ParentProcessId)).CommandLine",
        std::process::id()
    );
    let program = std::path::Path::new(env.var_os("SystemRoot")?).join(PROGRAM);
    let mut powershell = std::process::Command::new(program);
    powershell.args([
        "-NoLogo",
        "-NoProfile",
        "-NonInteractive",
        "-Command",
        &script,
    ]);
    let shown = crate::child::output(&mut powershell, std::time::Duration::from_secs(10)).ok()?;
    Some(words_of(&String::from_utf8_lossy(&shown.stdout)))
}

/// The words of a Windows command line. Quotes only matter around the program's path.
#[cfg(any(windows, test))]
fn words_of(line: &str) -> Vec<String> {
    let line = line.trim();
    let (program, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => line.split_once(' ').unwrap_or((line, "")),
    };
    let rest = rest.split_whitespace().map(|word| word.replace('"', ""));
    [program.to_owned()].into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_recognized_by_its_command() {
        for (line, expected) in [
            ("docker login", true),
            ("docker login ghcr.io", true),
            ("docker --context remote login ghcr.io", true),
            ("docker --config=/x login", true),
            ("podman login --get-login ghcr.io", true),
            ("helm registry login ghcr.io", true),
            ("crane auth login ghcr.io", true),
            ("docker pull login", false),
            ("docker build -t login .", false),
            ("docker pull ghcr.io/team/login", false),
            ("docker", false),
            ("login", false),
            ("", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(is_login(&words), expected, "{line}");
        }
    }
    #[test]
    fn a_login_is_recognized_in_a_windows_command_line() {
        for (line, expected) in [
            (
                r#""C:\Program Files\Docker\Docker\resources\bin\docker.exe" login ghcr.io"#,
                true,
            ),
            (r#"docker  --context "remote" login"#, true),
            ("C:\\docker.exe login\r\n", true),
            (r#""C:\my login\docker.exe" pull ghcr.io/login"#, false),
            (r#""C:\my login\docker.exe""#, false),
            ("", false),
        ] {
            assert_eq!(is_login(&words_of(line)), expected, "{line}");
        }
    }
}
