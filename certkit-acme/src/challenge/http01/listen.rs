//! Opening a socket, and saying who is in the way.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use certkit_core::escape;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as start, socket_with, sockopt};
use tokio::net::TcpListener;

use super::super::SolveError;

/// A socket could not be opened.
#[derive(Debug)]
pub(super) struct ListenError {
    address: IpAddr,
    port: u16,
    error: io::Error,
}

/// Listens on an address and port; IPv6 sockets leave IPv4 alone, so that each family can be opened by itself.
pub(super) fn listen(address: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
    open(SocketAddr::new(address, port)).map_err(|error| ListenError { address, port, error })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    // What the kernel allows by default (net.core.somaxconn): who is not let in tries again after a second.
    const BACKLOG: i32 = 4096;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // Connections of an earlier responder that are still closing must not keep the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    start(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl ListenError {
    /// Whether the machine does not have this address family at all (or has it switched off).
    pub(super) fn family_is_missing(&self) -> bool {
        [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT]
            .iter()
            .any(|errno| self.error.raw_os_error() == Some(errno.raw_os_error()))
    }

    /// The error for people, with the process that holds the port when it can be found.
    pub(super) async fn explain(self) -> SolveError {
        let Self { address, port, error } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                let by = tokio::task::spawn_blocking(move || holder(port)).await.ok().flatten();
                SolveError::PortTaken { address, port, by }
            }
            io::ErrorKind::PermissionDenied => SolveError::Bind {
                address,
                port,
                problem: "this user may not: run as root, give the program CAP_NET_BIND_SERVICE, or use --http-01-port with a port above 1023 that port 80 is forwarded to".into(),
            },
            io::ErrorKind::AddrNotAvailable => SolveError::Bind {
                address,
                port,
                problem: "this machine does not have the address: correct or remove --http-01-address".into(),
            },
            _ => SolveError::Bind { address, port, problem: error.to_string() },
        }
    }
}

/// The process that listens on a TCP port, as far as this user may see it, for example `nginx (process 812)`.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(id) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()));
        if holds {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", escape(program.trim())));
        }
    }
    None
}

/// The inodes of the sockets in state LISTEN on a port, from the text of /proc/net/tcp or tcp6 (proc(5)).
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (local, state) = (fields.nth(1)?, fields.nth(1)?);
            let inode = fields.nth(5)?;
            (local.ends_with(&wanted) && state == LISTEN && inode != "0").then(|| inode.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let by = holder(listener.local_addr().unwrap().port()).unwrap();
        assert!(by.ends_with(&format!("(process {})", std::process::id())), "{by}");
    }

    #[test]
    fn only_listening_sockets_on_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n\
            2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n\
            garbage\n";
        assert_eq!(listening_inodes(table, 80), ["4711"]);
        assert!(listening_inodes(table, 81).is_empty());
    }
}
