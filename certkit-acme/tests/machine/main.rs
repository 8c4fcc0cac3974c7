//! What touches the machine: processes, sockets, document roots, web servers.
#![allow(clippy::unwrap_used)]

mod command;
mod crowd;
mod deploy;
mod manual;
mod standalone;
mod targets;
mod webroot;

use certkit_acme::challenge::{Challenge, ChallengeKind, Token};
use certkit_core::Identifier;

fn challenge(name: &str, kind: ChallengeKind, token: &str) -> Challenge {
    let identifier = Identifier::parse(name).unwrap();
    Challenge::new(identifier, false, kind, Token::parse(token).unwrap(), format!("{token}.thumbprint"))
}

fn http01(name: &str, token: &str) -> Challenge {
    challenge(name, ChallengeKind::Http01, token)
}

/// A port that was free a moment ago, on every address.
fn free_port() -> u16 {
    std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
