//! The loopback listener that receives the code (RFC 8252 §7.3).
//!
//! It lives as long as one sign-in. Whatever else comes to its port is answered and forgotten; only
//! a callback that its caller accepts ends the wait. It never logs, repeats or keeps a query, for
//! that holds the code.
//!
//! No thread of its own: an event loop that the caller runs in [`Listener::wait`] and then in
//! [`Listener::finish`]. In between, while the caller fetches and stores the token, the browser's
//! next request waits in an open connection or in the kernel's queue; so the page can say what
//! really happened.
//!
//! <https://www.rfc-editor.org/rfc/rfc8252#section-8.3>

mod peer;
mod wire;

use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener as Socket};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use zeroize::Zeroizing;

use self::peer::Peer;
use self::wire::{HEAD_LIMIT, Head, Refusal, Site};
use super::page::Page;
use crate::oauth::RedirectUri;
use crate::oauth::redirect_uri::LoopbackHost;

/// What the login makes of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not the awaited one: answered 400, and the login stays pending.
    Refused,
    /// The login has its answer, good or bad: 303 to the clean path.
    Ended,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("port {port}, which the redirect URI names, is taken by another program")]
    PortTaken { port: u16 },
    #[error("cannot listen on the loopback address: {0}")]
    NoLoopback(ErrorKind),
    #[error("the sign-in timed out")]
    TimedOut,
    #[error("waiting for the browser failed")]
    Io(#[from] io::Error),
}

/// Waits for the browser to bring the code. The port closes when it is dropped.
pub struct Listener {
    poll: Poll,
    events: Events,
    sockets: Vec<TcpListener>,
    /// Oldest first.
    connections: Vec<Connection>,
    site: Site,
    redirect_uri: String,
    ended: bool,
    limits: Limits,
    peer_of: fn(&TcpStream) -> Peer,
    unchecked: bool,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For a whole connection, not for each read: a request that drips in holds its place no longer
    /// than any other.
    request: Duration,
    /// How long the result page is offered.
    page: Duration,
}

const LIMITS: Limits = Limits {
    request: Duration::from_secs(5),
    page: Duration::from_secs(2),
};

/// Most connections at a time. A browser opens a few, some of them ahead of need.
const CONNECTION_LIMIT: usize = 16;

/// The poll only says that something may be done; then everything is tried. With so few
/// connections that is cheap, and no wake-up can be missed.
const ANY: Token = Token(0);

impl Listener {
    /// Binds what the redirect URI names, on loopback only.
    pub fn bind(redirect: &RedirectUri) -> Result<Self, ListenerError> {
        let bound = bind(redirect)?;
        let Some(port) = bound.first().map(Socket::local_addr).transpose()? else {
            return Err(ListenerError::NoLoopback(ErrorKind::AddrNotAvailable));
        };
        let redirect_uri = redirect.with_port(port.port());
        let Some(site) = Site::of(&redirect_uri) else {
            return Err(ListenerError::NoLoopback(ErrorKind::InvalidInput));
        };
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(bound.len());
        for socket in bound {
            socket.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(socket);
            poll.registry()
                .register(&mut socket, ANY, Interest::READABLE)?;
            sockets.push(socket);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(2 * CONNECTION_LIMIT),
            sockets,
            connections: Vec::with_capacity(CONNECTION_LIMIT),
            site,
            redirect_uri,
            ended: false,
            limits: LIMITS,
            peer_of: peer::of,
            unchecked: false,
        })
    }

    /// The redirect URI with the real port, for both requests.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether some connection's owner could not be determined, for this system tells of none.
    pub fn has_unchecked(&self) -> bool {
        self.unchecked
    }

    /// Runs until `judge`, given the raw query of each callback, ends the login, or until the
    /// deadline. Returns as soon as the browser has its redirect; [`Self::finish`] serves the rest.
    pub fn wait(
        &mut self,
        deadline: Instant,
        judge: &mut dyn FnMut(&str) -> Verdict,
    ) -> Result<(), ListenerError> {
        let ended = Cell::new(false);
        loop {
            let more = self.accept();
            let site = &self.site;
            let mut answer = |head: Head<'_>| match head {
                Head::Callback { query } => match judge(query) {
                    Verdict::Refused => Refusal::BadRequest.response(),
                    Verdict::Ended => {
                        ended.set(true);
                        site.see_other()
                    }
                },
                Head::Clean => Refusal::NotFound.response(),
                Head::Refused(refusal) => refusal.response(),
            };
            for index in 0..self.connections.len() {
                self.connections[index].advance(site, &mut answer);
                if ended.get() {
                    self.ended = true;
                    self.flush(index);
                    return Ok(());
                }
            }
            if Instant::now() >= deadline {
                return Err(ListenerError::TimedOut);
            }
            self.sleep(deadline, more)?;
        }
    }

    /// Serves the page until one tab has it, for two seconds at the latest, and closes the port. A callback that
    /// comes again gets the same redirect; nobody is asked about it. Returns at once where no
    /// callback has ended the login, for then no browser is on its way to the page.
    pub fn finish(mut self, page: &Page<'_>) {
        if !self.ended {
            return;
        }
        let until = Instant::now() + self.limits.page;
        let page = wire::page(&page.render());
        // Those who came during the exchange have not been heard yet.
        for connection in &mut self.connections {
            connection.deadline = until;
        }
        let taken = Cell::new(false);
        loop {
            let more = self.accept();
            let site = &self.site;
            let mut answer = |head: Head<'_>| match head {
                Head::Callback { .. } => site.see_other(),
                Head::Clean => {
                    taken.set(true);
                    page.clone()
                }
                Head::Refused(refusal) => refusal.response(),
            };
            for connection in &mut self.connections {
                connection.advance(site, &mut answer);
                connection.has_page |= taken.take();
                if connection.has_page && connection.is_received() {
                    return;
                }
            }
            if Instant::now() >= until || self.sleep(until, more).is_err() {
                return;
            }
        }
    }

    /// Takes in who waits at the door; true when there may be more of them.
    fn accept(&mut self) -> bool {
        let mut more = false;
        for index in 0..self.sockets.len() {
            let mut taken = 0;
            while taken < CONNECTION_LIMIT {
                match self.sockets[index].accept() {
                    Ok((stream, _)) => self.admit(stream),
                    Err(error) if is_passing(error.kind()) => {}
                    // Nobody, or out of descriptors: tried again at the next wake-up.
                    Err(_) => break,
                }
                taken += 1;
            }
            more |= taken == CONNECTION_LIMIT;
        }
        more
    }

    fn admit(&mut self, mut stream: TcpStream) {
        let peer = (self.peer_of)(&stream);
        self.unchecked |= peer == Peer::Unchecked;
        if self.connections.len() >= CONNECTION_LIMIT {
            // The newest stays: a browser sends its request with its first packets, so the oldest
            // that has sent none is the least likely to be one.
            let spent = self.connections.iter().position(Connection::is_spent);
            let idle = || {
                let idle = |it: &Connection| it.state == State::Reading;
                self.connections.iter().position(idle)
            };
            let victim = match peer {
                Peer::Welcome | Peer::Unchecked => spent.or_else(idle),
                Peer::Foreign => spent,
            };
            let Some(victim) = victim else { return };
            self.connections.remove(victim);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self
            .poll
            .registry()
            .register(&mut stream, ANY, interest)
            .is_ok()
        {
            let deadline = Instant::now() + self.limits.request;
            self.connections
                .push(Connection::new(stream, peer, deadline));
        }
    }

    /// Sees the redirect off. One write does it, unless the browser has stopped reading.
    fn flush(&mut self, index: usize) {
        let Self {
            connections,
            poll,
            events,
            site,
            ..
        } = self;
        let connection = &mut connections[index];
        while connection.state == State::Writing {
            let left = connection
                .deadline
                .saturating_duration_since(Instant::now());
            if left.is_zero() || poll.poll(events, Some(left)).is_err() {
                return;
            }
            connection.advance(site, &mut |_| Refusal::BadRequest.response());
        }
    }

    /// Lets go of who is done or late, and sleeps until something happens.
    fn sleep(&mut self, deadline: Instant, more: bool) -> io::Result<()> {
        let now = Instant::now();
        self.connections
            .retain(|it| it.state != State::Closed && it.deadline > now);
        let next = self.connections.iter().map(|it| it.deadline).min();
        let wake = next.map_or(deadline, |next| next.min(deadline));
        let timeout = if more {
            Duration::ZERO
        } else {
            wake.saturating_duration_since(now)
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("redirect_uri", &self.redirect_uri)
            .field("connections", &self.connections.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// One connection: one request, one response. It has no `Debug`, for its bytes hold the code.
struct Connection {
    stream: TcpStream,
    peer: Peer,
    state: State,
    deadline: Instant,
    head: Zeroizing<Vec<u8>>,
    read: usize,
    response: Vec<u8>,
    written: usize,
    has_page: bool,
    /// The other end closed before it was answered, as a tab does that is reloaded.
    was_left: bool,
    /// The other end closed after it was answered, which is how it shows that it has it all.
    was_finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Writing,
    /// Answered; what still comes is read and dropped. Closing a socket with unread input resets
    /// it, and the response could be lost with it (RFC 9112 §9.6).
    Draining,
    Closed,
}

/// Most of what is read of a request beyond its head before the connection is dropped.
const DRAIN_LIMIT: usize = 64 * 1024;

impl Connection {
    fn new(stream: TcpStream, peer: Peer, deadline: Instant) -> Self {
        Self {
            stream,
            peer,
            state: State::Reading,
            deadline,
            // Whole from the start: growing would leave copies behind that are not wiped.
            head: Zeroizing::new(vec![0; HEAD_LIMIT]),
            read: 0,
            response: Vec::new(),
            written: 0,
            has_page: false,
            was_left: false,
            was_finished: false,
        }
    }

    /// Goes as far as the socket lets it. `answer` is asked once, with a finished head.
    fn advance(&mut self, site: &Site, answer: &mut dyn FnMut(Head<'_>) -> Vec<u8>) {
        if self.state == State::Reading {
            let open = self.read_head();
            match (site.read(&self.head[..self.read]), self.peer) {
                (None, _) if open => {}
                (None, _) => self.state = State::Closed,
                (Some(_), Peer::Foreign) => self.respond(Refusal::OtherUser.response()),
                (Some(head), Peer::Welcome | Peer::Unchecked) => {
                    self.was_left = !open;
                    let response = answer(head);
                    self.respond(response);
                }
            }
        }
        if self.state == State::Writing {
            self.write();
        }
        if self.state == State::Draining {
            self.drain();
        }
    }

    /// True while more may come.
    fn read_head(&mut self) -> bool {
        while self.read < HEAD_LIMIT {
            match self.stream.read(&mut self.head[self.read..]) {
                Ok(0) => return false,
                Ok(count) => self.read += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if is_passing(error.kind()) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn respond(&mut self, response: Vec<u8>) {
        self.response = response;
        self.state = State::Writing;
    }

    fn write(&mut self) {
        while !self.is_sent() {
            match self.stream.write(&self.response[self.written..]) {
                Ok(0) => return self.state = State::Closed,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.state = State::Closed,
            }
        }
        self.state = match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => State::Draining,
            Err(_) => State::Closed,
        };
    }

    fn drain(&mut self) {
        let mut scrap = Zeroizing::new([0; 4096]);
        while self.read < HEAD_LIMIT + DRAIN_LIMIT {
            match self.stream.read(&mut scrap[..]) {
                Ok(0) => {
                    self.was_finished = true;
                    break;
                }
                Ok(count) => self.read += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.state = State::Closed;
    }

    fn is_sent(&self) -> bool {
        !self.response.is_empty() && self.written == self.response.len()
    }

    /// Whether somebody was still there to read the response: one that was written to a tab which
    /// has been reloaded in the meantime is seen by nobody.
    fn is_received(&self) -> bool {
        self.is_sent() && self.was_finished && !self.was_left
    }

    /// Nothing is lost with it.
    fn is_spent(&self) -> bool {
        self.peer == Peer::Foreign || matches!(self.state, State::Draining | State::Closed)
    }
}

/// Errors of a call that may simply be made again.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// How many free ports are tried until one is free for both families.
const PORT_TRIES: usize = 16;

/// Plain sockets: no `SO_REUSEPORT`, by which another process could take a share of the callers.
fn bind(redirect: &RedirectUri) -> Result<Vec<Socket>, ListenerError> {
    let failed = |error: io::Error| match (redirect.port, error.kind()) {
        (Some(port), ErrorKind::AddrInUse) => ListenerError::PortTaken { port },
        (_, kind) => ListenerError::NoLoopback(kind),
    };
    let port = redirect.port.unwrap_or(0);
    match redirect.host {
        LoopbackHost::V4 => Ok(vec![
            Socket::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?,
        ]),
        LoopbackHost::V6 => Ok(vec![
            Socket::bind((Ipv6Addr::LOCALHOST, port)).map_err(failed)?,
        ]),
        LoopbackHost::Localhost => {
            let tries = if redirect.port.is_some() {
                1
            } else {
                PORT_TRIES
            };
            let mut last = ErrorKind::AddrInUse;
            for _ in 0..tries {
                let v4 = Socket::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
                let port = v4.local_addr()?.port();
                match Socket::bind((Ipv6Addr::LOCALHOST, port)) {
                    Ok(v6) => return Ok(vec![v4, v6]),
                    // Whoever has it there would get the code of a browser that prefers IPv6.
                    Err(error) if is_occupied(error.kind()) => last = error.kind(),
                    // No IPv6 on this machine, so no browser on it prefers that.
                    Err(_) => return Ok(vec![v4]),
                }
            }
            Err(failed(last.into()))
        }
    }
}

/// Windows says `PermissionDenied` for a port that another program holds exclusively.
fn is_occupied(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests;
