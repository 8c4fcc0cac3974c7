//! A CA's directory: whether it is there, what it offers, and what its clock says.

use certkit_core::{AcmeUrl, Finding, FindingCode, Severity};
use chrono::TimeDelta;

use super::{Check, Examined};
use crate::clock::off_by;
use crate::protocol::{AcmeError, Authority};
use crate::transport::{Transport, TransportError};

/// More than this and dates cannot be trusted (RFC 9773 section 4.3 is about windows of hours).
const LARGEST_SKEW: TimeDelta = TimeDelta::minutes(5);

/// From here on nothing is ordered: a certificate's dates would be read wrongly.
const BLOCKING_SKEW: TimeDelta = TimeDelta::hours(24);

/// Reads the directory, as an order would, and compares the clock of this machine with that of the answer. The CA comes
/// back when it can be talked to, for the checks of accounts and profiles.
pub async fn check_directory(transport: &Transport, directory: &AcmeUrl) -> (Vec<Examined>, Option<Authority>) {
    let subject = directory.as_str();
    let authority = match Authority::connect(transport.clone(), directory).await {
        Ok(authority) => authority,
        Err(error) => return (failed(subject, &error), None),
    };
    let mut examined = vec![Examined::fine(Check::Directory, subject)];
    examined.push(match authority.directory().date {
        None => Examined::not_checked(Check::Clock, subject, "the CA's answers have no Date"),
        Some(date) => {
            let skew = transport.now() - date;
            let found = (skew.abs() > LARGEST_SKEW).then(|| clock_off(subject, skew));
            Examined::found(Check::Clock, subject, found.into_iter().collect())
        }
    });
    let none = Finding::new(FindingCode::RenewalInformationNotOffered, subject, "");
    let found = authority.directory().renewal_info.is_none().then_some(none);
    examined.push(Examined::found(Check::RenewalInformation, subject, found.into_iter().collect()));
    (examined, Some(authority))
}

fn failed(subject: &str, error: &AcmeError) -> Vec<Examined> {
    let code = match error {
        AcmeError::Transport(TransportError::WrongTime { .. }) => {
            let off = Finding::new(FindingCode::ClockOff, subject, error.to_string()).with_severity(Severity::Error);
            return vec![Examined::found(Check::Clock, subject, vec![off])];
        }
        AcmeError::Transport(
            TransportError::Roots { .. } | TransportError::Proxy { .. } | TransportError::Setup(_),
        ) => {
            return vec![Examined::not_checked(Check::Directory, subject, error.to_string())];
        }
        AcmeError::Transport(TransportError::Redirect { .. } | TransportError::TooLarge { .. }) => {
            FindingCode::DirectoryUnusable
        }
        AcmeError::NotAcme { status, .. } if *status < 500 && *status != 429 => FindingCode::DirectoryUnusable,
        AcmeError::Misled { .. } => FindingCode::DirectoryUnusable,
        _ => FindingCode::DirectoryUnreachable,
    };
    vec![Examined::found(Check::Directory, subject, vec![Finding::new(code, subject, error.to_string())])]
}

fn clock_off(subject: &str, skew: TimeDelta) -> Finding {
    let finding = Finding::new(FindingCode::ClockOff, subject, format!("it is {} the CA's", off_by(skew)));
    if skew.abs() < BLOCKING_SKEW { finding } else { finding.with_severity(Severity::Error) }
}
