//! What the doctor finds by asking the network. Each fault is made, and named; without it there is silence.
#![allow(clippy::unwrap_used)]

mod addresses;
mod authority;
mod caa;
mod challenge_records;
mod http;
mod tlsa;
mod together;

use std::time::Duration;

use certkit_acme::dns::{Resolver, ResolverSettings};
use certkit_acme::doctor::{Check, Examination, Examined};
use certkit_core::{DnsName, Finding, FindingCode};
use testkit::NameServer;

/// The zone `example` at 127.0.0.2, and `a.example` at 127.0.0.3 and 127.0.0.4.
fn name_server() -> NameServer {
    let server = NameServer::start(4);
    server.add_zone("example", &["127.0.0.2"]);
    server.add_zone("a.example", &["127.0.0.3", "127.0.0.4"]);
    server
}

fn resolver(server: &NameServer) -> Resolver {
    let mut settings = ResolverSettings::with_servers(vec![server.resolver()]);
    settings.authoritative_port = server.port();
    settings.patience = Duration::from_millis(700);
    Resolver::new(&settings).unwrap()
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn findings(examined: &[Examined]) -> Vec<&Finding> {
    let found = examined.iter().filter_map(|one| match &one.outcome {
        Examination::Found(findings) => Some(findings),
        _ => None,
    });
    found.flatten().collect()
}

fn codes(examined: &[Examined]) -> Vec<FindingCode> {
    findings(examined).iter().map(|finding| finding.code).collect()
}

/// The only finding there is.
fn only(examined: &[Examined], code: FindingCode) -> &Finding {
    assert_eq!(codes(examined), [code], "{examined:?}");
    findings(examined)[0]
}

fn because(examined: &[Examined], check: Check) -> &str {
    let found = examined.iter().find_map(|one| match &one.outcome {
        Examination::NotChecked { because } if one.check == check => Some(because.as_str()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("everything was checked: {examined:?}"))
}

/// Everything was looked at, and nothing is wrong.
fn assert_fine(examined: &[Examined]) {
    assert!(!examined.is_empty());
    for one in examined {
        assert_eq!(one.outcome, Examination::Fine, "{one:?}");
    }
}
