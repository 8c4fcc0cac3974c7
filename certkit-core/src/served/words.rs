//! The words for what is served: they stand here, once.

use crate::state::{AddressMemory, EndpointMemory, ServedLeaf, ServedTrouble, Serving};
use crate::words::{date, shell_word};
use crate::{Endpoint, EndpointProtocol, EndpointSource, Finding, FindingCode, LineageName, Version};

impl ServedTrouble {
    /// What is wrong, as the rest of a sentence about what is served there.
    pub fn what(self) -> &'static str {
        match self {
            Self::Expired => "it is expired",
            Self::IncompleteChain => "an intermediate certificate is missing",
            Self::WrongOrder => "the certificates are not sent in the order leaf, issuer, issuer's issuer",
            Self::OtherChain => "its intermediate certificates are others than those stored",
            Self::UntrustedNow => "a client that checks refuses it",
            Self::UntrustedAtNotAfter => {
                "a client that checks will refuse it before it ends, because an issuer ends earlier"
            }
            Self::NameMismatch => "it does not cover the name that is asked for",
            Self::OtherWithoutSni => "a client that sends no name (SNI) gets another certificate",
            Self::UnknownAuthority => {
                "this machine does not know its CA, so whether clients trust it cannot be seen here"
            }
        }
    }

    /// What to do about it.
    pub fn cure(self) -> &'static str {
        match self {
            Self::IncompleteChain => {
                "let the server use fullchain.pem instead of cert.pem (or name chain.pem besides), and reload it"
            }
            Self::WrongOrder => {
                "let the server use fullchain.pem as it is; a file made of several needs the leaf first, then its issuer"
            }
            Self::OtherChain => "reload the server; if it stays so, its chain file is not the one in live/NAME",
            Self::NameMismatch => {
                "let the server use this certificate for that name; or obtain one that covers it, or correct `server_name` of the endpoint"
            }
            Self::OtherWithoutSni => {
                "nothing to do for clients of today; to serve it to old ones too, make it the server's default certificate"
            }
            Self::UnknownAuthority => FindingCode::AuthorityNotKnownHere.cure(),
            Self::Expired | Self::UntrustedNow | Self::UntrustedAtNotAfter => {
                "reload the server so that it serves what is stored; if it does, renew: certkit renew --cert-name NAME --force-renewal"
            }
        }
    }

    /// Whether clients fail now because of it; otherwise some may, or will later, or it is only worth knowing.
    pub fn breaks_clients(self) -> bool {
        matches!(self, Self::Expired | Self::IncompleteChain | Self::UntrustedNow | Self::NameMismatch)
    }

    /// Whether it is only worth knowing.
    pub fn is_harmless(self) -> bool {
        matches!(self, Self::OtherChain | Self::OtherWithoutSni | Self::UnknownAuthority)
    }

    /// A stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::IncompleteChain => "incomplete-chain",
            Self::WrongOrder => "wrong-order",
            Self::OtherChain => "other-chain",
            Self::UntrustedNow => "untrusted-now",
            Self::UntrustedAtNotAfter => "untrusted-at-not-after",
            Self::NameMismatch => "name-mismatch",
            Self::OtherWithoutSni => "other-without-sni",
            Self::UnknownAuthority => "unknown-authority",
        }
    }
}

impl ServedLeaf {
    /// A stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Older { .. } => "older",
            Self::Foreign => "foreign",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Serving {
    /// A stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Differs => "differs",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

impl AddressMemory {
    /// What it answered, for people; `live` is the version in use that it was compared with.
    pub fn words(&self, endpoint: &Endpoint, live: Option<Version>) -> String {
        let place = self.place(endpoint);
        let instead = live.map(|live| format!(", not version {live}")).unwrap_or_default();
        match self.leaf {
            ServedLeaf::Same => match live {
                Some(live) => format!("{place} serves version {live}"),
                None => format!("{place} serves it"),
            },
            ServedLeaf::Older { version } => {
                let still = if live.is_some_and(|live| version < live) { "still " } else { "" };
                format!("{place} {still}serves version {version}{}{instead}", in_brackets(&[self.end()]))
            }
            ServedLeaf::Foreign => {
                let serial = self.serial.as_deref().filter(|serial| !serial.is_empty());
                let serial = serial.map(|serial| format!("serial number {}", crate::escape(serial)));
                format!("{place} serves another certificate{}{instead}", in_brackets(&[serial, self.end()]))
            }
            ServedLeaf::Unreachable if self.detail.is_empty() => format!("{place} cannot be reached"),
            ServedLeaf::Unreachable => format!("{place} cannot be reached: {}", self.detail),
        }
    }

    /// What is to be told besides the leaf, the worst first: nothing that is only worth knowing, and nothing that follows
    /// from what is told already.
    pub fn told_troubles(&self) -> impl Iterator<Item = ServedTrouble> + '_ {
        let is_incomplete = self.troubles.contains(&ServedTrouble::IncompleteChain);
        let follows = move |trouble: ServedTrouble| is_incomplete && trouble == ServedTrouble::UntrustedNow;
        self.troubles.iter().copied().filter(move |trouble| !trouble.is_harmless() && !follows(*trouble))
    }

    /// What is wrong besides what [`AddressMemory::words`] says, the worst first.
    pub fn further_troubles(&self) -> impl Iterator<Item = ServedTrouble> + '_ {
        let is_said = |trouble: ServedTrouble| {
            trouble == ServedTrouble::Expired && self.leaf != ServedLeaf::Same && self.not_after.is_some()
        };
        self.troubles.iter().copied().filter(move |trouble| !is_said(*trouble))
    }

    /// When what is served instead ends: that is how long nobody else notices.
    fn end(&self) -> Option<String> {
        let is_over = self.troubles.contains(&ServedTrouble::Expired);
        self.not_after.map(|end| format!("{} {}", if is_over { "expired" } else { "expires" }, date(end)))
    }

    /// The host, and the address where the host is a name.
    fn place(&self, endpoint: &Endpoint) -> String {
        match self.address {
            Some(address) if !endpoint.host_is(address.ip()) => format!("{endpoint} at {address}"),
            _ => endpoint.to_string(),
        }
    }
}

impl EndpointMemory {
    /// A line for each address that does not serve the version in use.
    pub fn missing(&self) -> Vec<String> {
        let others = self.answers.iter().filter(|answer| answer.leaf != ServedLeaf::Same);
        others.map(|answer| answer.words(&self.endpoint, self.compared_with)).collect()
    }

    /// What the owner should know of it: nothing, as long as it does not count.
    pub fn findings(&self, name: &LineageName) -> Vec<Finding> {
        if !self.counts() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        for answer in &self.answers {
            let words = answer.words(&self.endpoint, self.compared_with);
            match answer.leaf {
                ServedLeaf::Older { .. } | ServedLeaf::Foreign => {
                    findings.push(self.with_way_out(Finding::new(FindingCode::NotServed, name.as_str(), &words)));
                }
                ServedLeaf::Unreachable => {
                    let cure = self.endpoint.unreachable_cure();
                    findings
                        .push(Finding::new(FindingCode::EndpointUnreachable, name.as_str(), &words).with_cure(cure));
                }
                ServedLeaf::Same => {
                    findings.extend(answer.told_troubles().map(|trouble| {
                        let detail = match trouble {
                            ServedTrouble::IncompleteChain | ServedTrouble::WrongOrder => String::new(),
                            _ if answer.detail.is_empty() => String::new(),
                            _ => format!(" ({})", answer.detail),
                        };
                        let what = format!("{words}, but {}{detail}", trouble.what());
                        Finding::new(FindingCode::ServedWrongly, name.as_str(), what).with_cure(trouble.cure())
                    }));
                }
            }
        }
        findings
    }

    /// Whether nothing can be said of who trusts it, because this machine does not know its CA.
    pub fn is_of_unknown_authority(&self) -> bool {
        let is_so = |answer: &AddressMemory| answer.troubles.contains(&ServedTrouble::UnknownAuthority);
        self.counts() && self.answers.iter().any(is_so)
    }

    /// One that nobody set may have moved to another machine for good.
    fn with_way_out(&self, finding: Finding) -> Finding {
        if self.endpoint.source == EndpointSource::Settings {
            return finding;
        }
        let cure = format!(
            "{}; if it has moved to another machine for good, write `default_endpoints = false` into certkit/lineages/NAME.toml and [[endpoint]] tables for what counts",
            finding.cure()
        );
        finding.with_cure(cure)
    }
}

impl Endpoint {
    /// The command that shows what is served there.
    pub fn inspect_command(&self) -> String {
        let starttls = match self.protocol {
            EndpointProtocol::Tls => String::new(),
            other => format!(" --starttls {}", other.as_str()),
        };
        format!("certkit inspect {}{starttls}", shell_word(&self.to_string()))
    }

    /// What to do when it cannot be reached, with the exact command.
    pub fn unreachable_cure(&self) -> String {
        FindingCode::EndpointUnreachable.cure().replace("certkit inspect HOST:PORT", &self.inspect_command())
    }
}

fn in_brackets(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}
