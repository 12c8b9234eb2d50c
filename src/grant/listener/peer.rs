//! Finds out which user owns the other end of a loopback connection.
//!
//! Any user of the host can connect to a loopback port. An attacker who reads the authorization URL in
//! the browser's arguments knows `state`. They could sign in as themselves and send their code here, so
//! that the user would work in the attacker's account. Linux shows the owner of a single socket through
//! `sock_diag` (<https://man7.org/linux/man-pages/man7/sock_diag.7.html>), however many sockets there
//! are. Other systems have no fast way to find out.

use mio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Owned by this user or root.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only Linux shows the owner of a socket")
    )]
    Trusted,
    /// The system shows no sockets, not even this process's own. Treated as trusted.
    Unverified,
    /// Owned by another user, or by no process that is still waiting for the response.
    Foreign,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_stream: &TcpStream) -> Peer {
    Peer::Unverified
}

#[cfg(target_os = "linux")]
pub(super) fn of(stream: &TcpStream) -> Peer {
    linux::peer(stream)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;
    use std::os::fd::OwnedFd;

    use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_sock_diag::SockDiagMessage;
    use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED};
    use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
    use rustix::io::Errno;
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    use super::{Peer, TcpStream};
    use crate::identity::Owner;

    pub(super) fn peer(stream: &TcpStream) -> Peer {
        let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            return Peer::Foreign;
        };
        let theirs = socket(remote, local);
        let ours = socket(local, remote);
        // The kernel doesn't show a connection that was reset, but its data can still be read. This
        // comes last: if the socket is connected now, it was connected before.
        let is_connected = stream.peer_addr().is_ok();
        judge(&theirs, &ours, is_connected)
    }

    /// One socket, as shown by `sock_diag`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Socket {
        state: u8,
        owner: Owner,
        inode: u32,
    }

    /// `Ok(None)`: the kernel doesn't know the socket.
    type Lookup = Result<Option<Socket>, Errno>;

    fn judge(theirs: &Lookup, ours: &Lookup, is_connected: bool) -> Peer {
        match (theirs, ours) {
            (Ok(Some(socket)), _) => socket.judge(),
            // If the kernel doesn't even show this process's own end, it doesn't support the query: it
            // is a sandbox (gVisor), or it lacks inet_diag.
            (Ok(None), Ok(None)) if is_connected => Peer::Unverified,
            (Err(theirs), Err(ours))
                if is_connected && is_unsupported(*theirs) && is_unsupported(*ours) =>
            {
                Peer::Unverified
            }
            (Ok(None) | Err(_), Ok(_) | Err(_)) => Peer::Foreign,
        }
    }

    impl Socket {
        fn judge(self) -> Peer {
            let trusted = match self.owner {
                // Root can take over a sign-in anyway. Forwarders for a browser outside (WSL's, a
                // container engine's) run as root.
                Owner::User | Owner::Root => true,
                Owner::Unknown | Owner::Other(_) => false,
            };
            // A socket that its process has closed has no inode, and root as its owner.
            if trusted && self.state == TCP_ESTABLISHED && self.inode != 0 {
                Peer::Trusted
            } else {
                Peer::Foreign
            }
        }
    }

    /// Whether an error means that this kernel or sandbox doesn't support the query. An attacker may
    /// be able to cause any other error.
    fn is_unsupported(error: Errno) -> bool {
        matches!(
            error,
            Errno::AFNOSUPPORT
                | Errno::PROTONOSUPPORT
                | Errno::OPNOTSUPP
                | Errno::NOSYS
                | Errno::PERM
                | Errno::ACCESS
        )
    }

    /// Looks up the socket that is bound to `local` and connected to `remote`.
    fn socket(local: SocketAddr, remote: SocketAddr) -> Lookup {
        let reply = exchange(&request(local, remote))?;
        match reply.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let header = response.header;
                let found = |ip, port| SocketAddr::new(ip, port);
                let id = &header.socket_id;
                // Without such a connection, the kernel returns a listener on that port.
                let is_requested = same(found(id.source_address, id.source_port), local)
                    && same(found(id.destination_address, id.destination_port), remote);
                Ok(is_requested.then(|| Socket {
                    state: header.state,
                    owner: Owner::of(header.uid),
                    inode: header.inode,
                }))
            }
            NetlinkPayload::Error(error) => match Errno::from_io_error(&error.to_io()) {
                Some(Errno::NOENT) => Ok(None),
                other => Err(other.unwrap_or(Errno::PROTO)),
            },
            NetlinkPayload::Done(_)
            | NetlinkPayload::Noop
            | NetlinkPayload::Overrun(_)
            | NetlinkPayload::InnerMessage(_)
            | _ => Err(Errno::PROTO),
        }
    }

    /// Compares addresses. An IPv6 socket shows an IPv4 address as `::ffff:127.0.0.1`.
    fn same(one: SocketAddr, other: SocketAddr) -> bool {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    }

    fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
        let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: SocketId {
                source_port: local.port(),
                destination_port: remote.port(),
                source_address: local.ip(),
                destination_address: remote.ip(),
                interface_id: 0,
                // INET_DIAG_NOCOOKIE: look up by the addresses alone.
                cookie: [0xff; 8],
            },
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn exchange(request: &[u8]) -> Result<NetlinkMessage<SockDiagMessage>, Errno> {
        /// A response has 88 bytes and a few small attributes.
        const LONGEST: usize = 8192;

        let kernel = connected()?;
        rustix::net::send(&kernel, request, SendFlags::empty())?;
        // The kernel responds before `send` returns.
        let mut reply = vec![0; LONGEST];
        let (length, _) = rustix::net::recv(&kernel, &mut *reply, RecvFlags::DONTWAIT)?;
        let reply = reply.get(..length).unwrap_or_default();
        NetlinkMessage::deserialize(reply).map_err(|_| Errno::PROTO)
    }

    /// A socket that receives messages from the kernel only.
    fn connected() -> Result<OwnedFd, Errno> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(SOCK_DIAG),
        )?;
        rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(socket)
    }

    #[cfg(test)]
    mod tests {
        use std::net::{TcpListener, TcpStream};

        use super::*;

        const TIME_WAIT: u8 = 6;
        const CLOSE_WAIT: u8 = 8;

        fn found(owner: Owner, state: u8, inode: u32) -> Socket {
            Socket {
                state,
                owner,
                inode,
            }
        }

        #[test]
        fn only_this_user_and_root_are_trusted_while_connected() {
            let ours = Ok(Some(found(Owner::User, TCP_ESTABLISHED, 7)));
            let left = Ok(Some(found(Owner::User, CLOSE_WAIT, 7)));
            for (theirs, ours, is_connected, expected) in [
                (
                    Ok(Some(found(Owner::User, TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Trusted,
                ),
                (
                    Ok(Some(found(Owner::Root, TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Trusted,
                ),
                (
                    Ok(Some(found(Owner::Other(1001), TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Foreign,
                ),
                (
                    Ok(Some(found(Owner::Unknown, TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Foreign,
                ),
                (
                    Ok(Some(found(Owner::User, TCP_ESTABLISHED, 0))),
                    ours,
                    true,
                    Peer::Foreign,
                ),
                (
                    Ok(Some(found(Owner::Root, TIME_WAIT, 0))),
                    left,
                    true,
                    Peer::Foreign,
                ),
                (
                    Ok(Some(found(Owner::User, CLOSE_WAIT, 33))),
                    ours,
                    true,
                    Peer::Foreign,
                ),
                // The socket is gone, and the kernel had no room for its TIME_WAIT.
                (Ok(None), left, true, Peer::Foreign),
                (Ok(None), ours, true, Peer::Foreign),
                // The connection was reset.
                (Ok(None), Ok(None), false, Peer::Foreign),
                // The kernel shows no sockets, or doesn't support the query.
                (Ok(None), Ok(None), true, Peer::Unverified),
                (
                    Err(Errno::PROTONOSUPPORT),
                    Err(Errno::PROTONOSUPPORT),
                    true,
                    Peer::Unverified,
                ),
                (
                    Err(Errno::ACCESS),
                    Err(Errno::ACCESS),
                    true,
                    Peer::Unverified,
                ),
                (Err(Errno::ACCESS), Err(Errno::ACCESS), false, Peer::Foreign),
                // Another user can cause these errors, so they don't make a connection trusted.
                (Err(Errno::MFILE), Err(Errno::MFILE), true, Peer::Foreign),
                (Err(Errno::NOBUFS), ours, true, Peer::Foreign),
                (Ok(None), Err(Errno::NOMEM), true, Peer::Foreign),
                (Err(Errno::ACCESS), Err(Errno::NOMEM), true, Peer::Foreign),
            ] {
                let judged = judge(&theirs, &ours, is_connected);
                assert_eq!(judged, expected, "{theirs:?} {ours:?} {is_connected}");
            }
        }

        /// A listener and a client that is connected to it.
        fn pair(host: &str) -> Option<(TcpListener, TcpStream)> {
            let listener = TcpListener::bind(host).ok()?; // No IPv6 here.
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            Some((listener, client))
        }

        #[test]
        fn an_open_connection_is_trusted_and_a_closed_one_is_not() {
            for host in ["127.0.0.1:0", "[::1]:0"] {
                let Some((listener, client)) = pair(host) else {
                    continue;
                };
                let (accepted, remote) = listener.accept().unwrap();
                let local = accepted.local_addr().unwrap();
                if is_unavailable(remote, local) {
                    continue;
                }
                let found = socket(remote, local).unwrap().unwrap();
                assert_eq!((found.owner, found.state), (Owner::User, TCP_ESTABLISHED));
                assert_ne!(found.inode, 0);
                accepted.set_nonblocking(true).unwrap();
                let accepted = mio::net::TcpStream::from_std(accepted);
                assert_eq!(peer(&accepted), Peer::Trusted);
                // Dropping it might not close it: a process that another test is starting has a copy of
                // the descriptor until its program begins.
                client.shutdown(std::net::Shutdown::Both).unwrap();
                drop(client);
                assert_eq!(peer(&accepted), Peer::Foreign, "{host}");
            }
        }

        #[test]
        fn a_listener_on_the_clients_port_is_not_taken_for_the_client() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let here = listener.local_addr().unwrap();
            let there = "127.0.0.1:9".parse().unwrap();
            if let Ok(found) = socket(here, there) {
                assert_eq!(found, None);
            }
        }

        fn is_unavailable(remote: SocketAddr, local: SocketAddr) -> bool {
            judge(&socket(remote, local), &socket(local, remote), true) == Peer::Unverified
        }
    }
}
