//! Connects to the session bus.
//!
//! <https://dbus.freedesktop.org/doc/dbus-specification.html#auth-protocol>
//!
//! EXTERNAL may name a uid, and zbus always sends its own. In a user namespace, that is the wrong
//! one, and the bus rejects it. Without a uid, the bus asks the kernel who is at the other end of
//! the socket. hallpass therefore sends none, as sd-bus does.

use zbus::Address;
use zbus::blocking::{Connection, connection};

pub(super) fn session() -> zbus::Result<Connection> {
    let address = Address::session()?;
    // An environment variable must not start a program.
    #[cfg(unix)]
    if let zbus::address::Transport::Unixexec(_) = address.transport() {
        return Err(zbus::Error::Address(
            "hallpass does not use a session bus that is a command (unixexec)".to_owned(),
        ));
    }
    #[cfg(target_os = "linux")]
    if let zbus::address::Transport::Unix(unix) = address.transport()
        && let Some(socket) = linux::connect(unix.path())?
    {
        return linux::authenticated(socket);
    }
    connection::Builder::address(address)?.build()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, Read as _, Write as _};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use zbus::address::transport::UnixSocket;
    use zbus::blocking::{Connection, connection};

    use crate::identity;

    const BUS: &str = "org.freedesktop.DBus";

    /// Connects to the socket; `None` for an address that only a server can listen on.
    pub(super) fn connect(socket: &UnixSocket) -> zbus::Result<Option<UnixStream>> {
        let address = match socket {
            UnixSocket::File(path) => SocketAddr::from_pathname(of_user_outside(path)),
            UnixSocket::Abstract(name) => SocketAddr::from_abstract_name(name.as_bytes()),
            UnixSocket::Dir(_) | UnixSocket::TmpDir(_) | _ => return Ok(None),
        };
        let stream = address.and_then(|address| UnixStream::connect_addr(&address));
        stream.map(Some).map_err(failed)
    }

    /// If no variable names the bus, its path contains the uid outside the namespace.
    fn of_user_outside(path: &Path) -> PathBuf {
        let of = |uid: u32| PathBuf::from(format!("/run/user/{uid}/bus"));
        if path == of(identity::user()) {
            return of(identity::user_outside());
        }
        path.to_owned()
    }

    /// Lets the bus take the identity from the socket, and then says hello.
    pub(super) fn authenticated(mut socket: UnixStream) -> zbus::Result<Connection> {
        socket.write_all(b"\0AUTH EXTERNAL\r\n").map_err(failed)?;
        let mut reply = line(&mut socket)?;
        if reply.trim_end() == "DATA" {
            socket.write_all(b"DATA\r\n").map_err(failed)?;
            reply = line(&mut socket)?;
        }
        let Some(guid) = reply.strip_prefix("OK ") else {
            return Err(zbus::Error::Handshake(
                "the bus does not accept this user".to_owned(),
            ));
        };
        socket.write_all(b"BEGIN\r\n").map_err(failed)?;
        // The bus sends nothing more until it gets a request, so no part of a message was read
        // here.
        let socket = zbus::connection::socket::BoxedSplit::from(
            async_io::Async::new(socket).map_err(failed)?,
        );
        let connection =
            connection::Builder::authenticated_socket(socket, guid.trim_end())?.build()?;
        connection.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "Hello", &())?;
        Ok(connection)
    }

    /// One line of the handshake, without its end.
    fn line(socket: &mut UnixStream) -> zbus::Result<String> {
        /// The longest sensible line lists the mechanisms.
        const LONGEST: usize = 4096;

        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < LONGEST {
            socket.read_exact(&mut byte).map_err(failed)?;
            line.extend(byte);
            if let Some(text) = line.strip_suffix(b"\r\n") {
                return Ok(String::from_utf8_lossy(text).into_owned());
            }
        }
        Err(zbus::Error::Handshake("a line is too long".to_owned()))
    }

    fn failed(error: io::Error) -> zbus::Error {
        zbus::Error::InputOutput(Arc::new(error))
    }

    #[cfg(test)]
    mod tests {
        use std::io::{BufRead as _, BufReader};

        use super::*;

        /// Plays a bus that answers line by line, and returns what it was sent.
        fn bus(answers: &'static [&'static str]) -> (zbus::Result<Connection>, Vec<String>) {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let server = std::thread::spawn(move || {
                let mut heard = Vec::new();
                let mut reader = BufReader::new(theirs.try_clone().unwrap());
                for answer in answers {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    heard.push(line);
                    (&theirs).write_all(answer.as_bytes()).unwrap();
                }
                heard
            });
            let connection = authenticated(ours);
            (connection, server.join().unwrap())
        }

        #[test]
        fn no_identity_is_sent_and_a_rejection_is_an_error() {
            for answers in [
                &["REJECTED EXTERNAL\r\n"][..],
                &["DATA\r\n", "REJECTED EXTERNAL ANONYMOUS\r\n"],
                &["DATA\r\n", "ERROR\r\n"],
                &["OK no-guid\r\n"],
            ] {
                let (connection, heard) = bus(answers);
                assert!(connection.is_err(), "{answers:?}");
                assert_eq!(heard[0], "\0AUTH EXTERNAL\r\n");
                assert!(
                    heard[1..].iter().all(|line| line == "DATA\r\n"),
                    "{heard:?}"
                );
            }
        }

        #[test]
        fn a_bus_that_hangs_up_or_never_ends_its_line_is_an_error() {
            let (connection, _) = bus(&[""]);
            assert!(matches!(connection, Err(zbus::Error::InputOutput(_))));
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            (&theirs).write_all(&[b'x'; 5000]).unwrap();
            assert!(matches!(line(&mut ours), Err(zbus::Error::Handshake(_))));
        }
    }
}
