//! The process itself: it takes over the socket and the lock from its caller, and tells every
//! caller what happens.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use zeroize::Zeroizing;

use super::messages::{Ended, FromCaller, FromProcess, Job, VERSION};
use super::wire::{Incoming, LONGEST, line};
use crate::secret::Wiping;
use crate::signals;
use crate::store::{Lock, is_own_user};
use crate::terminal::{Audience, Line, LineKind};

/// How long the process waits for its first caller, which may have been killed.
const FOR_A_JOB: Duration = Duration::from_secs(20);

/// How long callers have to receive the result. After that, they find it in the store.
const TO_HEAR: Duration = Duration::from_secs(2);

/// How often the process checks that its socket still exists. Without it, callers can't reach the
/// process.
const TICK: Duration = Duration::from_secs(1);

/// What the caller passed on.
#[derive(Debug)]
pub struct Process {
    pub lock: Lock,
    pub hub: &'static Hub,
    jobs: mpsc::Receiver<serde_json::Value>,
    server: Server,
}

impl Process {
    /// Takes over the socket and the lock, and leaves the caller's session and streams. `None` if
    /// hallpass did not start this process.
    pub fn take_over() -> io::Result<Option<Self>> {
        close_inherited();
        let (Ok(socket), Ok(lock)) = (
            io::stdin().as_fd().try_clone_to_owned(),
            io::stdout().as_fd().try_clone_to_owned(),
        ) else {
            return Ok(None);
        };
        let socket = StdListener::from(socket);
        let lock = File::from(lock);
        let path = socket.local_addr().ok();
        let path = path.and_then(|it| it.as_pathname().map(PathBuf::from));
        let (Some(path), true) = (path, lock.metadata()?.is_file()) else {
            return Ok(None);
        };
        // Signals from the caller's terminal, or to its process group, are not meant for this
        // process.
        rustix::process::setsid()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;

        let poll = Poll::new()?;
        socket.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(socket);
        let registry = poll.registry();
        registry.register(&mut listener, ANY, Interest::READABLE)?;
        let hub = Box::leak(Box::new(Hub {
            shared: Mutex::default(),
            told: Condvar::new(),
            waker: Waker::new(registry, ANY)?,
        }));
        let (send, jobs) = mpsc::channel();
        let server = Server {
            poll,
            listener,
            path,
            clients: Vec::new(),
            hub,
            jobs: send,
        };
        Ok(Some(Self {
            lock: Lock::inherited(lock),
            hub,
            jobs,
            server,
        }))
    }

    /// Starts serving callers, and waits for the job. `None` if no caller sent it in time.
    pub fn job(self) -> io::Result<Option<(Job, Lock, &'static Hub)>> {
        let Self {
            lock,
            hub,
            jobs,
            mut server,
        } = self;
        signals::in_threads_without(|| std::thread::Builder::new().spawn(move || server.run()))?;
        let deadline = Instant::now() + FOR_A_JOB;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(job) = jobs.recv_timeout(left) else {
                return Ok(None);
            };
            // Another version's job may be incomplete.
            if let Ok(job) = serde_json::from_value(job) {
                return Ok(Some((job, lock, hub)));
            }
        }
    }
}

/// Closes the file descriptors that the caller inherited from the tool, such as a pipe that a
/// script reads to its end. Otherwise, the script would wait for this process.
fn close_inherited() {
    const LAST_STANDARD_STREAM: i32 = 2;
    let Ok(folder) = std::fs::read_dir("/dev/fd") else {
        return;
    };
    // The folder itself is open while it is read.
    let names: Vec<_> = folder.flatten().map(|entry| entry.file_name()).collect();
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    for number in numbers.filter(|number: &i32| *number > LAST_STANDARD_STREAM) {
        // The folder's own descriptor is closed by now.
        let _ = nix::unistd::close(number);
    }
}

/// What the sign-in shares with the thread that serves its callers.
#[derive(Debug)]
pub struct Hub {
    shared: Mutex<Shared>,
    /// Every caller has received the result.
    told: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Shared {
    lines: Vec<Line>,
    ended: Option<Zeroizing<Vec<u8>>>,
    phase: Phase,
    is_told: bool,
    on_cancel: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The user has not answered, and may cancel.
    #[default]
    Open,
    /// The provider has answered, and its tokens are being stored.
    Committed,
    Cancelled,
}

/// Beyond this number of lines, those for `-v` are dropped, because a provider may be polled for
/// minutes.
const MANY_LINES: usize = 1000;

impl Hub {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called when the last caller cancels the sign-in, before this process ends.
    pub fn on_cancel(&self, act: impl FnOnce() + Send + 'static) {
        self.shared().on_cancel = Some(Box::new(act));
    }

    /// From now on, the sign-in can't be cancelled. Doesn't return if it was cancelled already.
    pub fn commit(&self) {
        let mut shared = self.shared();
        if shared.phase == Phase::Cancelled {
            drop(shared);
            loop {
                // The serving thread ends this process.
                std::thread::park();
            }
        }
        shared.phase = Phase::Committed;
    }

    /// Tells every caller the result. The lock is released by now, so a command that starts later
    /// doesn't get this result.
    pub fn end(&self, ended: &Ended) {
        self.shared().ended = Some(line(&FromProcess::Ended(Ended {
            report: ended.report.clone(),
            unstored: ended.unstored.clone(),
            was_shown: ended.was_shown,
        })));
        let _ = self.waker.wake();
    }

    /// Waits until every caller has received the result, or the time for that is up.
    pub fn wait_until_told(&self) {
        let shared = self.shared();
        let limit = TO_HEAR * 2;
        let waited = self
            .told
            .wait_timeout_while(shared, limit, |shared| !shared.is_told);
        drop(waited);
    }
}

impl Audience for Hub {
    fn hear(&self, line: Line) {
        let mut shared = self.shared();
        if shared.lines.len() < MANY_LINES || !matches!(line.kind, LineKind::Explain(_)) {
            shared.lines.push(line);
        }
        drop(shared);
        let _ = self.waker.wake();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("lines", &self.lines.len())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// The poll only tells that something may be possible; then everything is tried.
const ANY: Token = Token(0);

/// Serves the callers in its own thread, while the sign-in waits for a browser.
#[derive(Debug)]
struct Server {
    poll: Poll,
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    hub: &'static Hub,
    jobs: mpsc::Sender<serde_json::Value>,
}

impl Server {
    fn run(&mut self) {
        match self.serve() {
            End::Told => {
                self.hub.shared().is_told = true;
                self.hub.told.notify_all();
            }
            End::Cancelled(act) => {
                if let Some(act) = act {
                    act();
                }
                // This ends everything about the sign-in, closes the listener, and releases the
                // lock.
                std::process::exit(0);
            }
        }
    }

    fn serve(&mut self) -> End {
        let mut events = Events::with_capacity(64);
        let mut until = None;
        loop {
            self.accept();
            if let Some(end) = self.advance() {
                return end;
            }
            if self.hub.shared().ended.is_some() {
                let until = *until.get_or_insert_with(|| Instant::now() + TO_HEAR);
                if self.clients.is_empty() || Instant::now() >= until {
                    return End::Told;
                }
            } else if !self.path.exists()
                && let Some(end) = self.cancelled()
            {
                return end;
            }
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return End::Told,
                Ok(()) | Err(_) => (),
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    let registry = self.poll.registry();
                    if is_own_user(&stream) && registry.register(&mut stream, ANY, interest).is_ok()
                    {
                        self.clients.push(Client::new(stream));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                // No more callers, or no more descriptors: tried again at the next wake-up.
                Err(_) => return,
            }
        }
    }

    /// Reads from and writes to every caller.
    fn advance(&mut self) -> Option<End> {
        let mut cancels = false;
        let mut index = 0;
        while index < self.clients.len() {
            let client = &mut self.clients[index];
            // A caller may have ended right after its last message, which still counts.
            let mut is_open = client.read();
            while let Some(message) = client.incoming.next() {
                match message {
                    Ok(FromCaller::Attach { verbose, job }) => {
                        client.verbose = Some(verbose);
                        // If there is a job already, this one is dropped.
                        let _ = self.jobs.send(job);
                    }
                    Ok(FromCaller::Cancel) => {
                        cancels = true;
                        is_open = false;
                    }
                    Ok(FromCaller::Unknown) => (),
                    Err(_) => {
                        is_open = false;
                        break;
                    }
                }
            }
            if is_open && client.tell(&self.hub.shared()) {
                index += 1;
            } else {
                self.clients.remove(index);
            }
        }
        if !(cancels && self.clients.is_empty()) {
            return None;
        }
        self.cancelled()
    }

    /// Cancels the sign-in, unless the provider has answered already.
    fn cancelled(&self) -> Option<End> {
        let mut shared = self.hub.shared();
        if shared.phase != Phase::Open || shared.ended.is_some() {
            return None;
        }
        shared.phase = Phase::Cancelled;
        Some(End::Cancelled(shared.on_cancel.take()))
    }
}

enum End {
    Told,
    Cancelled(Option<Box<dyn FnOnce() + Send>>),
}

/// A connected caller.
struct Client {
    stream: UnixStream,
    incoming: Incoming,
    outgoing: Wiping,
    written: usize,
    /// Which lines it wants; `None` until it has attached.
    verbose: Option<u8>,
    /// How many lines it has received.
    lines: usize,
    is_told: bool,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        let mut outgoing = Wiping::default();
        outgoing.add(&line(&FromProcess::Hello { version: VERSION }));
        Self {
            stream,
            incoming: Incoming::default(),
            outgoing,
            written: 0,
            verbose: None,
            lines: 0,
            is_told: false,
        }
    }

    /// Reads what has arrived. Returns false if the other end is gone.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                // Its last messages still count.
                Ok(0) => return self.incoming.has_message(),
                Ok(count) => self.incoming.add(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return !self.incoming.is_too_long();
                }
                Err(_) => return false,
            }
        }
    }

    /// Writes what is new for it. Returns false if it has received everything, is gone, or has
    /// stopped reading.
    fn tell(&mut self, shared: &Shared) -> bool {
        if let Some(verbose) = self.verbose
            && !self.is_told
        {
            for said in &shared.lines[self.lines..] {
                let is_for_it = match said.kind {
                    LineKind::Say | LineKind::Ask => true,
                    LineKind::Explain(level) => level <= verbose,
                };
                if is_for_it {
                    self.outgoing.add(&line(&FromProcess::Line(said.clone())));
                }
            }
            self.lines = shared.lines.len();
            if let Some(ended) = &shared.ended {
                self.outgoing.add(ended);
                self.is_told = true;
            }
        }
        if self.outgoing.bytes().len() - self.written > LONGEST {
            return false;
        }
        while self.written < self.outgoing.bytes().len() {
            match self.stream.write(&self.outgoing.bytes()[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        self.outgoing = Wiping::default();
        self.written = 0;
        !self.is_told
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("verbose", &self.verbose)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}
