//! Whether broken DNSSEC can be seen from here at all: only through a resolver that validates.

use hickory_resolver::proto::rr::{Name, RecordType};

use super::caa::silent_resolver;
use super::{Check, Examined};
use crate::dns::Resolver;
use crate::dns::question::Mode;

/// Asks the resolver for the root zone, whose signature every validating resolver can check, and looks whether it says that
/// it did (AD, RFC 6840 section 5.7 and 5.8).
pub async fn check_validation(resolver: &Resolver) -> Vec<Examined> {
    const SUBJECT: &str = "the resolver of this machine";
    vec![match resolver.recursive(&Name::root(), RecordType::SOA, Mode::Recursive).await {
        Err(why) => Examined::not_checked(Check::Dnssec, SUBJECT, silent_resolver(&why)),
        Ok(answer) if answer.metadata.authentic_data => Examined::fine(Check::Dnssec, SUBJECT),
        Ok(_) => {
            let because = "it does not say that it validates DNSSEC, so signatures that are broken may go unseen here; CAs see them";
            Examined::not_checked(Check::Dnssec, SUBJECT, because)
        }
    }]
}
