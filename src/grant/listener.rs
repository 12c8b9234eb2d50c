//! The loopback listener that receives the code (RFC 8252 §7.3).
//!
//! It lives as long as one sign-in. It answers every request, but only a callback that the caller
//! accepts ends the wait. A query contains the code, so the listener never logs, repeats or stores it.
//!
//! The listener has no thread. The caller runs its event loop in [`Listener::wait`] and then in
//! [`Listener::finish`]. In between, the caller fetches and saves the tokens, while the browser's
//! request for the page waits in an open connection or in the kernel's queue. So the page can show
//! the actual result.
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
use mio::{Events, Interest, Poll, Registry, Token};
use zeroize::Zeroizing;

use self::peer::Peer;
use self::wire::{HEAD_LIMIT, Head, Refusal, Site};
use super::page::Page;
use crate::oauth::RedirectUri;
use crate::oauth::redirect_uri::LoopbackHost;

/// The caller's decision about a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not a genuine response: status 400, and the sign-in keeps waiting.
    Rejected,
    /// The provider's response, success or failure: status 303 to the result page.
    Accepted,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("port {port} of the redirect URI is in use by another program")]
    PortTaken { port: u16 },
    #[error("cannot listen on the loopback address: {0}")]
    NoLoopback(ErrorKind),
    #[error("the sign-in timed out")]
    TimedOut,
    #[error("waiting for the browser failed")]
    Io(#[from] io::Error),
}

/// Waits for the browser to send the code. Dropping it closes the port.
pub struct Listener {
    poll: Poll,
    events: Events,
    sockets: Vec<TcpListener>,
    /// The oldest first.
    connections: Vec<Connection>,
    site: Site,
    redirect_uri: String,
    accepted: bool,
    limits: Limits,
    peer_of: fn(&TcpStream) -> Peer,
    unverified: bool,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For a whole connection, so a client that sends single bytes can't stay longer.
    request: Duration,
    /// For requesting the result page.
    page: Duration,
}

const LIMITS: Limits = Limits {
    request: Duration::from_secs(5),
    page: Duration::from_secs(2),
};

/// The maximum number of connections. A browser opens a few, some of them in advance.
const CONNECTION_LIMIT: usize = 16;

/// The token of every socket. After a wake-up, the loop tries all sockets. With so few connections
/// that is fast, and no event can be missed.
const ANY: Token = Token(0);

impl Listener {
    /// Binds the redirect URI's loopback address and the first of its ports that is free.
    pub fn bind(redirect: &RedirectUri) -> Result<Self, ListenerError> {
        let mut bound = Err(ListenerError::NoLoopback(ErrorKind::InvalidInput));
        for port in redirect.ports() {
            bound = bind(redirect.host, port);
            if !matches!(bound, Err(ListenerError::PortTaken { .. })) {
                break;
            }
        }
        let bound = bound?;
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
            accepted: false,
            limits: LIMITS,
            peer_of: peer::of,
            unverified: false,
        })
    }

    /// The redirect URI with the actual port, for both requests.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether this system did not show the owner of a connection.
    pub fn has_unverified_peer(&self) -> bool {
        self.unverified
    }

    /// Waits until `judge` accepts the raw query of a callback, or until the deadline. Returns as soon
    /// as the browser has its redirect. [`Self::finish`] then serves the page.
    pub fn wait(
        &mut self,
        deadline: Instant,
        judge: &mut dyn FnMut(&str) -> Verdict,
    ) -> Result<(), ListenerError> {
        let accepted = Cell::new(false);
        loop {
            let more = self.accept();
            let site = &self.site;
            let mut respond = |head: Head<'_>| match head {
                Head::Callback { query } => match judge(query) {
                    Verdict::Rejected => Refusal::BadRequest.response(),
                    Verdict::Accepted => {
                        accepted.set(true);
                        site.redirect()
                    }
                },
                Head::ResultPage => Refusal::NotFound.response(),
                Head::Refused(refusal) => refusal.response(),
            };
            for index in 0..self.connections.len() {
                self.connections[index].advance(site, &mut respond);
                if accepted.get() {
                    self.accepted = true;
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

    /// Serves the page to one tab, for at most two seconds, and closes the port. A repeated callback
    /// gets the same redirect without being judged. Returns immediately if no callback was accepted,
    /// because then no browser requests the page.
    pub fn finish(mut self, page: &Page<'_>) {
        if !self.accepted {
            return;
        }
        let until = Instant::now() + self.limits.page;
        let page = wire::page(&page.render());
        // Connections from the time of the exchange have not been read yet.
        for connection in &mut self.connections {
            connection.deadline = until;
        }
        let is_served = Cell::new(false);
        loop {
            let more = self.accept();
            let site = &self.site;
            let mut respond = |head: Head<'_>| match head {
                Head::Callback { .. } => site.redirect(),
                Head::ResultPage => {
                    is_served.set(true);
                    page.clone()
                }
                Head::Refused(refusal) => refusal.response(),
            };
            for connection in &mut self.connections {
                connection.advance(site, &mut respond);
                connection.has_page |= is_served.take();
                if connection.has_page && connection.is_received() {
                    return;
                }
            }
            if Instant::now() >= until || self.sleep(until, more).is_err() {
                return;
            }
        }
    }

    /// Accepts waiting connections. True if there may be more.
    fn accept(&mut self) -> bool {
        let mut more = false;
        for index in 0..self.sockets.len() {
            let mut accepted = 0;
            while accepted < CONNECTION_LIMIT {
                match self.sockets[index].accept() {
                    Ok((stream, _)) => self.admit(stream),
                    Err(error) if is_transient(error.kind()) => {}
                    // No connection is waiting, or there are no file descriptors left. Either way, the
                    // next wake-up tries again.
                    Err(_) => break,
                }
                accepted += 1;
            }
            more |= accepted == CONNECTION_LIMIT;
        }
        more
    }

    fn admit(&mut self, mut stream: TcpStream) {
        let peer = (self.peer_of)(&stream);
        self.unverified |= peer == Peer::Unverified;
        if self.connections.len() >= CONNECTION_LIMIT {
            // Make room for the new connection. A browser sends its request with its first packets, so
            // the oldest connection without a request is the least likely to be a browser.
            let spent = self.connections.iter().position(Connection::is_spent);
            let idle = || {
                let idle = |it: &Connection| it.state == State::Reading;
                self.connections.iter().position(idle)
            };
            let victim = match peer {
                Peer::Trusted | Peer::Unverified => spent.or_else(idle),
                Peer::Foreign => spent,
            };
            let Some(victim) = victim else { return };
            self.connections.remove(victim);
        }
        let registry = self.poll.registry();
        if registry
            .register(&mut stream, ANY, Interest::READABLE)
            .is_ok()
        {
            let deadline = Instant::now() + self.limits.request;
            self.connections
                .push(Connection::new(stream, peer, deadline));
        }
    }

    /// Sends the redirect completely. One write suffices unless the browser has stopped reading.
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
            let is_late = left.is_zero() || connection.watch(poll.registry()).is_err();
            if is_late || poll.poll(events, Some(left)).is_err() {
                return;
            }
            connection.advance(site, &mut |_| Refusal::BadRequest.response());
        }
    }

    /// Drops connections that are finished or too slow, and sleeps until the next event.
    fn sleep(&mut self, deadline: Instant, more: bool) -> io::Result<()> {
        let now = Instant::now();
        self.connections
            .retain(|it| it.state != State::Closed && it.deadline > now);
        for connection in &mut self.connections {
            connection.watch(self.poll.registry())?;
        }
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
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

/// One connection: one request and one response. It has no `Debug`, because it contains the code.
struct Connection {
    stream: TcpStream,
    peer: Peer,
    state: State,
    deadline: Instant,
    head: Zeroizing<Vec<u8>>,
    read: usize,
    response: Vec<u8>,
    written: usize,
    /// What the next event reports.
    interest: Interest,
    has_page: bool,
    /// The client closed the connection before the response, as a reloaded tab does.
    closed_early: bool,
    /// The client closed the connection after the response, so it has received everything.
    closed_after: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Writing,
    /// The response is sent, and further input is discarded. Closing a socket with unread input resets
    /// it, and the client could lose the response (RFC 9112 §9.6).
    Draining,
    Closed,
}

/// The maximum size of a request after its head, in bytes.
const DRAIN_LIMIT: usize = 64 * 1024;

impl Connection {
    fn new(stream: TcpStream, peer: Peer, deadline: Instant) -> Self {
        Self {
            stream,
            peer,
            state: State::Reading,
            deadline,
            // A buffer that grows leaves copies of the code in memory.
            head: Zeroizing::new(vec![0; HEAD_LIMIT]),
            read: 0,
            response: Vec::new(),
            written: 0,
            interest: Interest::READABLE,
            has_page: false,
            closed_early: false,
            closed_after: false,
        }
    }

    /// Reads and writes as much as possible without blocking. Calls `respond` once, with a complete
    /// head.
    fn advance(&mut self, site: &Site, respond: &mut dyn FnMut(Head<'_>) -> Vec<u8>) {
        if self.state == State::Reading {
            let open = self.read_head();
            match (site.read(&self.head[..self.read]), self.peer) {
                (None, _) if open => {}
                (None, _) => self.state = State::Closed,
                (Some(_), Peer::Foreign) => self.respond(Refusal::OtherUser.response()),
                (Some(head), Peer::Trusted | Peer::Unverified) => {
                    self.closed_early = !open;
                    let response = respond(head);
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

    /// Requests the event that this state waits for. Nearly every socket has room to write, and on
    /// Windows, mio reports that again after each read that would block. So watching for both would
    /// keep the loop busy until the client sends something.
    fn watch(&mut self, registry: &Registry) -> io::Result<()> {
        let interest = if self.state == State::Writing {
            Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        if interest == self.interest {
            return Ok(());
        }
        self.interest = interest;
        registry.reregister(&mut self.stream, ANY, interest)
    }

    /// True if the client may send more.
    fn read_head(&mut self) -> bool {
        while self.read < HEAD_LIMIT {
            match self.stream.read(&mut self.head[self.read..]) {
                Ok(0) => return false,
                Ok(count) => self.read += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if is_transient(error.kind()) => {}
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
        let mut discarded = Zeroizing::new([0; 4096]);
        while self.read < HEAD_LIMIT + DRAIN_LIMIT {
            match self.stream.read(&mut discarded[..]) {
                Ok(0) => {
                    self.closed_after = true;
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

    /// Whether the browser shows the response. After a reload, it ignores the first response.
    fn is_received(&self) -> bool {
        self.is_sent() && self.closed_after && !self.closed_early
    }

    /// Whether the connection can be dropped without losing a request.
    fn is_spent(&self) -> bool {
        self.peer == Peer::Foreign || matches!(self.state, State::Draining | State::Closed)
    }
}

/// Whether a call that failed with this error can be repeated at once.
fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// How many free ports to try until one is free for both IPv4 and IPv6.
const PORT_TRIES: usize = 16;

/// Binds without `SO_REUSEPORT`, so another process can't receive some of the connections.
fn bind(host: LoopbackHost, fixed: Option<u16>) -> Result<Vec<Socket>, ListenerError> {
    let failed = |error: io::Error| match (fixed, error.kind()) {
        (Some(port), ErrorKind::AddrInUse) => ListenerError::PortTaken { port },
        // On Unix, this means a privileged port.
        (Some(port), kind) if cfg!(windows) && is_occupied(kind) => {
            ListenerError::PortTaken { port }
        }
        (_, kind) => ListenerError::NoLoopback(kind),
    };
    let port = fixed.unwrap_or(0);
    match host {
        LoopbackHost::V4 => Ok(vec![
            Socket::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?,
        ]),
        LoopbackHost::V6 => Ok(vec![
            Socket::bind((Ipv6Addr::LOCALHOST, port)).map_err(failed)?,
        ]),
        LoopbackHost::Localhost => {
            let tries = if fixed.is_some() { 1 } else { PORT_TRIES };
            let mut last = ErrorKind::AddrInUse;
            for _ in 0..tries {
                let v4 = Socket::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
                let port = v4.local_addr()?.port();
                match Socket::bind((Ipv6Addr::LOCALHOST, port)) {
                    Ok(v6) => return Ok(vec![v4, v6]),
                    // The program that uses this IPv6 port would receive the code if the browser
                    // prefers IPv6.
                    Err(error) if is_occupied(error.kind()) => last = error.kind(),
                    // This machine has no IPv6, so no browser uses it.
                    Err(_) => return Ok(vec![v4]),
                }
            }
            Err(failed(last.into()))
        }
    }
}

/// Windows returns `PermissionDenied` for a port that another program uses exclusively.
fn is_occupied(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests;
