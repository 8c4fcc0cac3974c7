//! What can be told of an address from where this machine stands.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use certkit_core::CrlReach;

/// Where an address is, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vantage {
    /// On this machine.
    Local,
    /// Elsewhere, and a connection from here goes there as it is.
    Direct,
    /// On the internet, and this machine is behind a translation of addresses: perhaps it is our own router, and whether
    /// that turns connections from inside round is its own affair.
    BehindNat,
    /// There is no way from here.
    NoRoute,
}

impl Vantage {
    /// Finds out without sending anything.
    pub(super) fn of(address: IpAddr) -> Self {
        // Only an own address can be bound to.
        if UdpSocket::bind((address, 0)).is_ok() {
            return Self::Local;
        }
        let Some(source) = source_for(address) else { return Self::NoRoute };
        Self::between(source, address)
    }

    fn between(source: IpAddr, address: IpAddr) -> Self {
        let is_public = |address| CrlReach::PublicOnly.allows(address).is_ok();
        if is_public(address) && !is_public(source) { Self::BehindNat } else { Self::Direct }
    }

    /// Why a connection that fails says nothing about what a CA sees; none where it does.
    pub(super) fn cannot_tell(self, address: IpAddr, error: &io::Error) -> Option<String> {
        let no_route = matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable
        );
        match self {
            Self::Local => None,
            Self::NoRoute => Some(without_route(address)),
            _ if no_route => Some(without_route(address)),
            Self::BehindNat => Some(format!(
                "this machine is behind NAT, and {address} does not let itself be reached from inside, which says nothing about the outside"
            )),
            Self::Direct if error.kind() == io::ErrorKind::ConnectionRefused => None,
            Self::Direct => Some(format!(
                "{address} is another machine's and does not answer from here, which may be different for a CA"
            )),
        }
    }
}

fn without_route(address: IpAddr) -> String {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    format!("this machine has no way to {address} ({family})")
}

/// The address from which a connection would go out. Connecting a datagram socket only asks the routing table.
fn source_for(address: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    const HTTP: u16 = 80;
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(address, HTTP)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_counts_only_where_a_ca_would_see_the_same() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (public, other) = (ip("8.8.8.8"), ip("9.9.9.9"));
        assert_eq!(Vantage::of(ip("127.0.0.9")), Vantage::Local);
        assert_eq!(Vantage::between(ip("192.168.1.2"), public), Vantage::BehindNat);
        assert_eq!(Vantage::between(ip("100.64.0.1"), public), Vantage::BehindNat);
        assert_eq!(Vantage::between(other, public), Vantage::Direct);
        assert_eq!(Vantage::between(ip("192.168.1.2"), ip("192.168.1.3")), Vantage::Direct);
        let tells = |vantage: Vantage, kind: io::ErrorKind| vantage.cannot_tell(public, &kind.into()).is_none();
        let (refused, silent) = (io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut);
        assert!(tells(Vantage::Local, refused) && tells(Vantage::Local, silent));
        assert!(tells(Vantage::Direct, refused) && !tells(Vantage::Direct, silent));
        assert!(!tells(Vantage::Direct, io::ErrorKind::NetworkUnreachable));
        assert!(!tells(Vantage::BehindNat, refused) && !tells(Vantage::BehindNat, silent));
        assert!(!tells(Vantage::NoRoute, silent));
    }
}
