//! Whose socket the other end of a loopback connection is.
//!
//! Any user of the host can connect to a loopback port. One who reads the authorization URL in the
//! browser's arguments knows `state`; he could sign in as himself and deliver his code here, and our
//! user would work in his account from then on. Linux tells the owner of each socket through
//! `sock_diag` (<https://man7.org/linux/man-pages/man7/sock_diag.7.html>), one socket at a time and
//! at the same price however many there are; elsewhere there is no cheap way to know.

use mio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Ours or root's.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only Linux says whose a socket is")
    )]
    Welcome,
    /// The system tells us of no socket, not even of our own. Treated as welcome.
    Unchecked,
    /// Another user's, or left behind by a process that no longer waits for the response.
    Foreign,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_stream: &TcpStream) -> Peer {
    Peer::Unchecked
}

#[cfg(target_os = "linux")]
pub(super) use linux::of;

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

    pub(in super::super) fn of(stream: &TcpStream) -> Peer {
        let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else {
            return Peer::Foreign;
        };
        let theirs = socket(peer, own);
        let ours = socket(own, peer);
        // A connection that was reset is in no table, and what it had sent can still be read. Asked
        // last: if it is connected now, it was connected before.
        let is_connected = stream.peer_addr().is_ok();
        judge(&theirs, &ours, is_connected)
    }

    /// What `sock_diag` tells about one socket.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Socket {
        state: u8,
        owner: Owner,
        inode: u32,
    }

    /// `Ok(None)` is a socket that the kernel does not know.
    type Answer = Result<Option<Socket>, Errno>;

    fn judge(theirs: &Answer, ours: &Answer, is_connected: bool) -> Peer {
        match (theirs, ours) {
            (Ok(Some(socket)), _) => socket.judge(),
            // Where even our own end is not found, this kernel does not answer such questions: a
            // sandbox's (gVisor), or one without inet_diag.
            (Ok(None), Ok(None)) if is_connected => Peer::Unchecked,
            (Err(theirs), Err(ours))
                if is_connected && is_refusal(*theirs) && is_refusal(*ours) =>
            {
                Peer::Unchecked
            }
            (Ok(None) | Err(_), Ok(_) | Err(_)) => Peer::Foreign,
        }
    }

    impl Socket {
        fn judge(self) -> Peer {
            let trusted = match self.owner {
                // Root needs no such trick to take over a sign-in, and the forwarders that bring a
                // browser from outside (WSL's, a container engine's) run as root.
                Owner::User | Owner::Root => true,
                Owner::Unknown | Owner::Other(_) => false,
            };
            // A socket that its process has closed has no inode, and is shown as root's.
            if trusted && self.state == TCP_ESTABLISHED && self.inode != 0 {
                Peer::Welcome
            } else {
                Peer::Foreign
            }
        }
    }

    /// Whether an error means that this kernel or sandbox does not answer at all. Any other one may
    /// have been brought about.
    fn is_refusal(error: Errno) -> bool {
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

    /// Asks for the one socket that is bound to `local` and connected to `remote`.
    fn socket(local: SocketAddr, remote: SocketAddr) -> Answer {
        let reply = exchange(&request(local, remote))?;
        match reply.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let header = response.header;
                let found = |ip, port| SocketAddr::new(ip, port);
                let id = &header.socket_id;
                // Without such a connection the kernel answers with a listener on that port.
                let is_asked_for = same(found(id.source_address, id.source_port), local)
                    && same(found(id.destination_address, id.destination_port), remote);
                Ok(is_asked_for.then(|| Socket {
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

    /// A socket of the other family has an IPv4 address as `::ffff:127.0.0.1`.
    fn same(found: SocketAddr, asked: SocketAddr) -> bool {
        found.port() == asked.port() && found.ip().to_canonical() == asked.ip().to_canonical()
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
                // INET_DIAG_NOCOOKIE: the addresses are enough.
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
        /// An answer has 88 bytes, and attributes that are few and small.
        const LONGEST: usize = 8192;

        let kernel = connected()?;
        rustix::net::send(&kernel, request, SendFlags::empty())?;
        // The kernel has answered by the time that it has taken the request.
        let mut reply = vec![0; LONGEST];
        let (length, _) = rustix::net::recv(&kernel, &mut *reply, RecvFlags::DONTWAIT)?;
        let reply = reply.get(..length).unwrap_or_default();
        NetlinkMessage::deserialize(reply).map_err(|_| Errno::PROTO)
    }

    /// A socket on which nobody but the kernel is heard.
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
        fn only_our_user_and_root_are_welcome_and_only_while_they_wait() {
            let ours = Ok(Some(found(Owner::User, TCP_ESTABLISHED, 7)));
            let left = Ok(Some(found(Owner::User, CLOSE_WAIT, 7)));
            for (theirs, ours, is_connected, expected) in [
                (
                    Ok(Some(found(Owner::User, TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Welcome,
                ),
                (
                    Ok(Some(found(Owner::Root, TCP_ESTABLISHED, 33))),
                    ours,
                    true,
                    Peer::Welcome,
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
                // It is gone, and there was no room for its TIME_WAIT.
                (Ok(None), left, true, Peer::Foreign),
                (Ok(None), ours, true, Peer::Foreign),
                // It was reset.
                (Ok(None), Ok(None), false, Peer::Foreign),
                // The kernel knows nothing, or answers nothing.
                (Ok(None), Ok(None), true, Peer::Unchecked),
                (
                    Err(Errno::PROTONOSUPPORT),
                    Err(Errno::PROTONOSUPPORT),
                    true,
                    Peer::Unchecked,
                ),
                (
                    Err(Errno::ACCESS),
                    Err(Errno::ACCESS),
                    true,
                    Peer::Unchecked,
                ),
                (Err(Errno::ACCESS), Err(Errno::ACCESS), false, Peer::Foreign),
                // What another user can bring about is no reason to trust him.
                (Err(Errno::MFILE), Err(Errno::MFILE), true, Peer::Foreign),
                (Err(Errno::NOBUFS), ours, true, Peer::Foreign),
                (Ok(None), Err(Errno::NOMEM), true, Peer::Foreign),
                (Err(Errno::ACCESS), Err(Errno::NOMEM), true, Peer::Foreign),
            ] {
                let judged = judge(&theirs, &ours, is_connected);
                assert_eq!(judged, expected, "{theirs:?} {ours:?} {is_connected}");
            }
        }

        /// Whether the kernel answers at all; a sandbox's may not.
        fn pair(host: &str) -> Option<(TcpListener, TcpStream)> {
            let listener = TcpListener::bind(host).ok()?; // No IPv6 here.
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            Some((listener, client))
        }

        #[test]
        fn our_own_connection_is_found_and_one_that_ended_is_not_welcome() {
            for host in ["127.0.0.1:0", "[::1]:0"] {
                let Some((listener, client)) = pair(host) else {
                    continue;
                };
                let (accepted, peer) = listener.accept().unwrap();
                let own = accepted.local_addr().unwrap();
                if is_unavailable(peer, own) {
                    continue;
                }
                let found = socket(peer, own).unwrap().unwrap();
                assert_eq!((found.owner, found.state), (Owner::User, TCP_ESTABLISHED));
                assert_ne!(found.inode, 0);
                accepted.set_nonblocking(true).unwrap();
                let accepted = mio::net::TcpStream::from_std(accepted);
                assert_eq!(of(&accepted), Peer::Welcome);
                drop(client);
                assert_eq!(of(&accepted), Peer::Foreign, "{host}");
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

        fn is_unavailable(peer: SocketAddr, own: SocketAddr) -> bool {
            judge(&socket(peer, own), &socket(own, peer), true) == Peer::Unchecked
        }
    }
}
