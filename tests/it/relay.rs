//! A loopback relay between hallpass and a provider that simulates network failures.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the relay does to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing: it is forwarded.
    None,
    /// Closed immediately without reading, so that the peer sees a reset.
    Reset,
    /// Accepted but never answered.
    Hang,
    /// The response ends after this many bytes.
    CutAfter(usize),
    /// Every byte of the response has a flipped bit.
    Garble,
    /// The response arrives one byte at a time, with a pause after each byte.
    Drip(Duration),
    /// Answered with these bytes instead of being forwarded.
    Answer(&'static [u8]),
}

/// A TCP relay in front of one server, which stops when dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    trouble: Arc<Mutex<Trouble>>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Relay {
    /// Starts a relay to the server of this URL.
    pub(crate) fn to(url: &str) -> Self {
        let url = url::Url::parse(url).expect("a URL");
        let port = url.port().expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let relay = Self {
            address: listener.local_addr().expect("its address"),
            trouble: Arc::new(Mutex::new(Trouble::None)),
            count: Arc::default(),
            stop: Arc::default(),
        };
        let (trouble, count, stop) = (
            Arc::clone(&relay.trouble),
            Arc::clone(&relay.count),
            Arc::clone(&relay.stop),
        );
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let trouble = trouble
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let stop = Arc::clone(&stop);
                // Broken connections are the purpose of this relay.
                std::thread::spawn(move || drop(relay_connection(stream, port, &trouble, &stop)));
            }
        });
        relay
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path at this relay.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn fail_with(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The number of connections so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wake the accepting thread.
        drop(TcpStream::connect(self.address));
    }
}

fn relay_connection(
    mut client: TcpStream,
    port: u16,
    trouble: &Trouble,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    match trouble {
        Trouble::Reset => {
            // Wait for data, so that there is something unread.
            client.peek(&mut [0])?;
            return Ok(());
        }
        Trouble::Hang => {
            client.set_read_timeout(Some(Duration::from_millis(100)))?;
            let mut buffer = [0; 1024];
            while !stop.load(Ordering::SeqCst) && !matches!(client.read(&mut buffer), Ok(0)) {}
            return Ok(());
        }
        Trouble::Answer(bytes) => {
            let _ = client.read(&mut [0; 8192])?;
            client.write_all(bytes)?;
            client.shutdown(Shutdown::Write)?;
            // Closing with part of the request unread would reset the connection, and the client
            // might lose the response.
            client.set_read_timeout(Some(Duration::from_secs(5)))?;
            let _ = std::io::copy(&mut client, &mut std::io::sink());
            return Ok(());
        }
        Trouble::None | Trouble::CutAfter(_) | Trouble::Garble | Trouble::Drip(_) => (),
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let mut to_server = server.try_clone()?;
    let mut from_client = client.try_clone()?;
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from_client, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    let mut sent = 0;
    let mut buffer = [0; 4096];
    loop {
        let count = server.read(&mut buffer)?;
        if count == 0 {
            return client.shutdown(Shutdown::Both);
        }
        let piece = &mut buffer[..count];
        match trouble {
            Trouble::CutAfter(limit) => {
                let left = limit.saturating_sub(sent).min(count);
                client.write_all(&piece[..left])?;
                sent += left;
                if sent >= *limit {
                    return client.shutdown(Shutdown::Both);
                }
            }
            Trouble::Garble => {
                for byte in piece.iter_mut() {
                    *byte ^= 1;
                }
                client.write_all(piece)?;
            }
            Trouble::Drip(pause) => {
                for byte in piece {
                    client.write_all(&[*byte])?;
                    std::thread::sleep(*pause);
                }
            }
            Trouble::None | Trouble::Reset | Trouble::Hang | Trouble::Answer(_) => {
                client.write_all(piece)?;
            }
        }
    }
}
