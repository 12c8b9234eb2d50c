//! Whose socket the other end of a loopback connection is.
//!
//! Any user of the host can connect to a loopback port. One who reads the authorization URL in the
//! browser's arguments knows `state`; he could sign in as himself and deliver his code here, and our
//! user would work in his account from then on. Linux tells the owner of each socket in
//! `/proc/net/tcp` (<https://docs.kernel.org/networking/proc_net_tcp.html>); elsewhere there is no
//! cheap way to know.

use mio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Ours, or nobody can tell.
    Welcome,
    /// Another user's, or left behind by a process that no longer waits for the response.
    Foreign,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_stream: &TcpStream) -> Peer {
    Peer::Welcome
}

#[cfg(target_os = "linux")]
pub(super) use linux::of;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::net::{IpAddr, SocketAddr};

    use super::{Peer, TcpStream};

    pub(in super::super) fn of(stream: &TcpStream) -> Peer {
        let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else {
            return Peer::Foreign;
        };
        let owner = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .find_map(|table| owner(&table, peer, own));
        match owner {
            Some(owner) => owner.judge(rustix::process::geteuid().as_raw()),
            // No table, or no such row: Windows's own browser under WSL is in none. But a socket
            // that was reset has left the table too, and what it had sent can still be read.
            None if stream.peer_addr().is_ok() => Peer::Welcome,
            None => Peer::Foreign,
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Owner {
        uid: u32,
        inode: u64,
    }

    impl Owner {
        fn judge(&self, own_uid: u32) -> Peer {
            // Root needs no such trick to take over a sign-in, and the forwarders that bring a
            // browser from outside (WSL's, a container engine's) run as root.
            let trusted = self.uid == own_uid || self.uid == 0;
            // A socket that its process has closed has no inode, and is shown as root's.
            if trusted && self.inode != 0 {
                Peer::Welcome
            } else {
                Peer::Foreign
            }
        }
    }

    /// The owner of the socket that is bound to `peer` and connected to `own`.
    fn owner(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<Owner> {
        let ends = [(key(peer), key(own)), (mapped_key(peer), mapped_key(own))];
        table.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (local, remote) = (fields.nth(1)?, fields.next()?);
            if !ends
                .iter()
                .any(|(peer, own)| local == peer && remote == own)
            {
                return None;
            }
            Some(Owner {
                uid: fields.nth(4)?.parse().ok()?,
                inode: fields.nth(1)?.parse().ok()?,
            })
        })
    }

    /// An address as the tables write it: words of network order, printed in the machine's order.
    fn key(address: SocketAddr) -> String {
        let words = match address.ip() {
            IpAddr::V4(ip) => word(&ip.octets()),
            IpAddr::V6(ip) => ip.octets().chunks_exact(4).map(word).collect(),
        };
        format!("{words}:{:04X}", address.port())
    }

    fn word(octets: &[u8]) -> String {
        let word = octets.try_into().map_or(0, u32::from_ne_bytes);
        format!("{word:08X}")
    }

    /// The same for a socket of the other family, which has an IPv4 address as `::ffff:127.0.0.1`.
    fn mapped_key(address: SocketAddr) -> String {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        key((ip, address.port()).into())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const OURS: u32 = 1000;

        #[cfg(target_endian = "little")]
        #[test]
        fn the_owner_is_read_from_the_row_of_the_clients_end() {
            let v4 = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0\n\
                \x20  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 22 1 0 20 4 30 10 -1\n\
                \x20  2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 33 1 0 20 4 30 10 -1\n\
                \x20  3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00001773 00000000     0        0 0 3 0\n";
            let v6 = "header\n\
                \x20  0: 00000000000000000000000001000000:C350 00000000000000000000000001000000:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 44 1 0 20 4 0 10 -1\n\
                \x20  1: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1003        0 55 1 0 20 4 0 10 -1\n";
            for (table, peer, own, expected) in [
                (v4, "127.0.0.1:50000", "127.0.0.1:8080", Some((1001, 33))),
                (v4, "127.0.0.1:50001", "127.0.0.1:8080", Some((0, 0))),
                (v4, "127.0.0.1:50002", "127.0.0.1:8080", None),
                (v4, "127.0.0.1:50000", "127.0.0.1:8081", None),
                (v4, "127.0.0.2:50000", "127.0.0.1:8080", None),
                (v6, "[::1]:50000", "[::1]:8080", Some((1002, 44))),
                (v6, "127.0.0.1:50002", "127.0.0.1:8080", Some((1003, 55))),
                ("", "127.0.0.1:50000", "127.0.0.1:8080", None),
                ("a b c\nd", "127.0.0.1:50000", "127.0.0.1:8080", None),
            ] {
                let found = owner(table, peer.parse().unwrap(), own.parse().unwrap());
                let expected = expected.map(|(uid, inode)| Owner { uid, inode });
                assert_eq!(found, expected, "{peer} to {own}");
            }
        }

        #[test]
        fn only_our_user_and_root_are_welcome_and_only_while_they_wait() {
            for (uid, inode, expected) in [
                (OURS, 33, Peer::Welcome),
                (0, 33, Peer::Welcome),
                (1001, 33, Peer::Foreign),
                (65534, 33, Peer::Foreign),
                (OURS, 0, Peer::Foreign),
                (0, 0, Peer::Foreign),
            ] {
                assert_eq!(Owner { uid, inode }.judge(OURS), expected, "{uid} {inode}");
            }
        }

        #[test]
        fn our_own_connection_is_found_in_the_table() {
            for host in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = std::net::TcpListener::bind(host) else {
                    continue; // No IPv6 here.
                };
                let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (peer, own) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
                let table = if peer.is_ipv4() { "tcp" } else { "tcp6" };
                let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
                let owner = owner(&table, peer, own).unwrap();
                assert_eq!(owner.uid, rustix::process::geteuid().as_raw());
                assert_ne!(owner.inode, 0);
            }
        }
    }
}
