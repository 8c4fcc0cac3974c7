//! Loopback ports for servers that tests start.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Below the kernel's range for outgoing connections (32768 and up), so that no connection of another test can take a
/// port between this choice and the server's bind.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// A port that is free for TCP and UDP on 127.0.0.1 and ::1 now. Each call gives another one; other processes choose
/// from the same range, so a server that finds its port taken has to be started again with a new one.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // RandomState differs from process to process: parallel test programs begin at different places.
    let next = NEXT.get_or_init(|| AtomicU32::new(RandomState::new().hash_one(std::process::id()) as u32 % COUNT));
    for _ in 0..COUNT {
        let port = (FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT) as u16;
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port on loopback");
}

/// Waits until somebody accepts connections.
pub fn wait_for_port(port: u16, limit: Duration) -> bool {
    wait_for(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)
}

/// The same at another address.
pub fn wait_for(address: SocketAddr, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this machine has ::1.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn is_free(port: u16) -> bool {
    let v4 =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    // Without IPv6 the bind fails for another reason than a taken port.
    let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    };
    v4 && v6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_never_given_twice() {
        let first = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert!(wait_for_port(first, Duration::from_secs(5)));
        assert!(!is_free(first));
        drop(listener);
        let more: std::collections::BTreeSet<_> = (0..50).map(|_| free_port()).collect();
        assert_eq!(more.len(), 50);
    }
}
