//! Whether anybody is told.

use certkit_core::{Finding, FindingCode};

use super::{Check, Examined};

/// Whether there is a channel by which somebody is told when something goes wrong: mail, a webhook, a command.
pub fn check_told(channels: usize) -> Examined {
    let findings = (channels == 0).then(|| Finding::new(FindingCode::NobodyIsTold, "", ""));
    Examined::found(Check::Told, "who is told", findings.into_iter().collect())
}
