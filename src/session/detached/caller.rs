//! A caller: it starts the process, attaches to it, and shows its messages.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::interrupt;
use super::messages::{Ended, FromCaller, FromProcess, Job, VERSION};
use super::wire::{Incoming, line};
use crate::env::Env;
use crate::session::context::SIGN_IN_PROCESS;
use crate::store::{Lock, RecordName, Store, StoreError};
use crate::terminal::Terminal;

/// Why no process could be started. The caller then signs in by itself.
#[derive(Debug, thiserror::Error)]
pub(in crate::session) enum NotStarted {
    #[error("nothing is stored here")]
    NoLock,
    #[error("this program's own file can't be found: {0}")]
    Program(#[source] io::Error),
    #[error(transparent)]
    Socket(#[from] StoreError),
    #[error("this program can't be started again: {0}")]
    Spawn(#[source] io::Error),
    #[error("the new process ended at once")]
    Ended,
}

/// A connection to a sign-in's process.
#[derive(Debug)]
pub(in crate::session) struct Attached {
    stream: UnixStream,
}

/// What happened after attaching.
#[derive(Debug)]
pub(in crate::session) enum Followed {
    Ended(Ended),
    /// The process is gone, possibly without any message.
    Lost {
        was_heard: bool,
    },
    /// It uses another version of the messages.
    Foreign,
    /// It takes longer than this caller waits.
    Late,
}

/// Starts the process. It takes over the lock.
pub(in crate::session) fn start(
    store: &Store,
    record: &RecordName,
    lock: Lock,
    env: &Env,
) -> Result<Attached, NotStarted> {
    let program = program().map_err(NotStarted::Program)?;
    let listener = store.listen(record, &lock, env)?;
    let lock = lock.into_file().ok_or(NotStarted::NoLock)?;
    let mut command = Command::new(program);
    command
        // The program name selects a tool, and this isn't one.
        .arg0("hallpass")
        .arg(SIGN_IN_PROCESS)
        .env_clear()
        .envs(env.all())
        .stdin(OwnedFd::from(listener))
        .stdout(lock)
        .stderr(Stdio::null());
    // The new process outlives this one, and init reaps it.
    drop(command.spawn().map_err(NotStarted::Spawn)?);
    // Closes this process's copies, so that they end with the new process.
    drop(command);
    connect(store, record)?.ok_or(NotStarted::Ended)
}

/// The file of the running program, even if an upgrade has replaced it.
#[cfg(target_os = "linux")]
fn program() -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    const SELF: &str = "/proc/self/exe";
    let path = std::env::current_exe()?;
    let running = std::fs::metadata(SELF)?;
    let is_replaced = std::fs::metadata(&path).map_or(true, |found| {
        (found.dev(), found.ino()) != (running.dev(), running.ino())
    });
    Ok(if is_replaced { SELF.into() } else { path })
}

#[cfg(not(target_os = "linux"))]
fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Connects to the process of the sign-in, if there is one.
pub(in crate::session) fn connect(
    store: &Store,
    record: &RecordName,
) -> Result<Option<Attached>, StoreError> {
    Ok(store.connect(record)?.map(|stream| Attached { stream }))
}

impl Attached {
    /// Shows the process's messages until the sign-in ends, and passes Ctrl-C on to it.
    pub(in crate::session) fn follow(
        mut self,
        job: &Job,
        terminal: Terminal,
        deadline: Instant,
    ) -> Followed {
        let mut incoming = Incoming::default();
        let hello = self.receive(&mut incoming, deadline);
        match hello {
            Ok(FromProcess::Hello { version: VERSION }) => (),
            Ok(_) => return Followed::Foreign,
            Err(None) => return Followed::Late,
            Err(Some(_)) => return Followed::Lost { was_heard: false },
        }
        interrupt::cancels(&self.stream);
        let attach = FromCaller::Attach {
            verbose: terminal.verbose(),
            job: serde_json::to_value(job).unwrap_or_default(),
        };
        let followed = match self.stream.write_all(&line(&attach)) {
            Err(_) => Followed::Lost { was_heard: true },
            Ok(()) => loop {
                match self.receive(&mut incoming, deadline) {
                    Ok(FromProcess::Line(line)) => {
                        terminal.pass_on(&line);
                    }
                    Ok(FromProcess::Ended(ended)) => break Followed::Ended(ended),
                    Ok(FromProcess::Hello { .. } | FromProcess::Unknown) => (),
                    Err(None) => break Followed::Late,
                    Err(Some(_)) => break Followed::Lost { was_heard: true },
                }
            },
        };
        interrupt::cancels_nothing();
        followed
    }

    /// The next message. It is not an error if the time is up.
    fn receive(
        &mut self,
        incoming: &mut Incoming,
        deadline: Instant,
    ) -> Result<FromProcess, Option<io::Error>> {
        let mut buffer = zeroize::Zeroizing::new([0; 4096]);
        loop {
            if let Some(message) = incoming.next() {
                return message.map_err(|error| Some(error.into()));
            }
            if incoming.is_too_long() {
                return Err(Some(ErrorKind::InvalidData.into()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(None);
            }
            // Less than a microsecond would mean "without end".
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).map_err(Some)?;
            match self.stream.read(&mut *buffer) {
                Ok(0) => return Err(Some(ErrorKind::UnexpectedEof.into())),
                Ok(count) => incoming.add(&buffer[..count]),
                Err(error) if is_passing(error.kind()) => (),
                Err(error) => return Err(Some(error)),
            }
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}
