//! What a server serves, compared with what is stored.

mod words;

use std::net::SocketAddr;

use chrono::{DateTime, Utc};

use crate::endpoint::certificate_covers;
use crate::state::{AddressMemory, ServedLeaf, ServedTrouble};
use crate::{Certificate, Chain, Validity, ValidityStatus, Version};

/// What one address of an endpoint served, as it was taken down.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// The address.
    pub address: SocketAddr,
    /// The name that was asked for: a DNS name with SNI, or an address without.
    pub asked: String,
    /// The certificates in the order in which they were sent; the first one is the leaf.
    pub certificates: Vec<Certificate>,
    /// Whether a client that checks would accept it now, whatever name it asked for.
    pub trust: Result<(), Distrust>,
    /// The same at the last second of the leaf's validity.
    pub trust_at_not_after: Result<(), Distrust>,
    /// The leaf that is served to a client that sends no name (SNI); none when none is, or when none was sent anyway.
    pub without_name: Option<Certificate>,
}

/// Why a client that checks would refuse what was served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Distrust {
    /// What kind of reason it is.
    pub cause: DistrustCause,
    /// For people, escaped.
    pub why: String,
}

/// Why a client that checks would refuse what was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DistrustCause {
    /// A certificate of the chain is expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// No way leads from the leaf to a root that is trusted here.
    UnknownIssuer,
    /// Something else, a signature that does not verify for example.
    Other,
}

/// The versions of a lineage, to compare with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredVersions {
    /// The version in use.
    pub live: Option<Version>,
    /// The chains that are at hand, in any order. The one in use has to be among them.
    pub chains: Vec<(Version, Chain)>,
    /// Who issued them.
    pub issuer: IssuerKind,
}

/// Who issues the certificates of a lineage, as far as that says who trusts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssuerKind {
    /// A CA that clients of the public web know: when its root is not trusted here something is wrong.
    Public,
    /// Somebody else: a CA of the owner's own or of a company, a test CA, or one that is not known. Its root may be known to
    /// those who use it, and not to this machine.
    #[default]
    Other,
}

impl Observed {
    /// What an address served, trusted until the opposite is said.
    pub fn new(address: SocketAddr, asked: impl Into<String>, certificates: Vec<Certificate>) -> Self {
        Self {
            address,
            asked: asked.into(),
            certificates,
            trust: Ok(()),
            trust_at_not_after: Ok(()),
            without_name: None,
        }
    }
}

impl Distrust {
    /// A reason; `why` is escaped here.
    pub fn new(cause: DistrustCause, why: impl AsRef<str>) -> Self {
        Self { cause, why: crate::escape(why.as_ref()).into_owned() }
    }
}

impl StoredVersions {
    /// What is stored, with the version in use.
    pub fn new(live: Option<Version>, chains: Vec<(Version, Chain)>) -> Self {
        Self { live, chains, issuer: IssuerKind::default() }
    }

    /// The same with who issued them.
    #[must_use]
    pub fn issued_by(mut self, issuer: IssuerKind) -> Self {
        self.issuer = issuer;
        self
    }

    /// The version with this leaf. A version that was made live again has the leaf of two: the one in use counts.
    fn version_of(&self, leaf: &Certificate) -> Option<(Version, &Chain)> {
        let same = |wanted: &dyn Fn(Version) -> bool| {
            let found = self.chains.iter().filter(|(version, chain)| wanted(*version) && chain.leaf == *leaf);
            found.max_by_key(|(version, _)| *version).map(|(version, chain)| (*version, chain))
        };
        same(&|version| Some(version) == self.live).or_else(|| same(&|_| true))
    }
}

/// What an address served, compared with what is stored, at `now`. Nothing that was served counts as unreachable.
pub fn compare(observed: &Observed, stored: &StoredVersions, now: DateTime<Utc>) -> AddressMemory {
    let Some(leaf) = observed.certificates.first() else {
        return AddressMemory::unreachable(Some(observed.address), "no certificate that can be read was served");
    };
    let known = stored.version_of(leaf);
    let verdict = match known {
        Some((version, _)) if Some(version) == stored.live => ServedLeaf::Same,
        Some((version, _)) => ServedLeaf::Older { version },
        None => ServedLeaf::Foreign,
    };
    let mut memory = AddressMemory::new(observed.address, verdict);
    let Validity { not_before: _, not_after } = leaf.validity();
    memory.serial = Some(leaf.serial().certbot_hex());
    memory.not_after = Some(not_after);
    let chain = known.map(|(_, chain)| chain);
    let (troubles, details) = troubles(observed, leaf, chain, stored.issuer, verdict == ServedLeaf::Same, now);
    memory.troubles = troubles;
    memory.detail = details.join("; ");
    memory
}

/// What is wrong besides, the worst first, and the details for people.
fn troubles(
    observed: &Observed,
    leaf: &Certificate,
    stored: Option<&Chain>,
    issuer: IssuerKind,
    is_live: bool,
    now: DateTime<Utc>,
) -> (Vec<ServedTrouble>, Vec<String>) {
    let served = &observed.certificates;
    let is_expired = leaf.validity().status(now) == ValidityStatus::Expired;
    let incomplete = is_incomplete(observed, stored);
    let out_of_order = is_out_of_order(served);
    // What a CA gave that need not be known here is served as it was given: that says nothing about the server.
    let as_given = issuer == IssuerKind::Other && stored.is_some_and(|chain| is_as_stored(served, chain));
    let matters = |distrust: &Distrust| !(as_given && distrust.cause == DistrustCause::UnknownIssuer);
    let (mut found, mut details) = (Vec::new(), Vec::new());
    let mut add = |trouble: ServedTrouble, detail: Option<&str>| {
        found.push(trouble);
        details.extend(detail.map(str::to_owned));
    };
    if is_expired {
        add(ServedTrouble::Expired, None);
    }
    if incomplete {
        add(ServedTrouble::IncompleteChain, None);
    }
    if out_of_order {
        add(ServedTrouble::WrongOrder, None);
    }
    match &observed.trust {
        Err(distrust) if matters(distrust) && !(is_expired && distrust.cause == DistrustCause::Expired) => {
            add(ServedTrouble::UntrustedNow, Some(&distrust.why));
        }
        Err(distrust) if !matters(distrust) => add(ServedTrouble::UnknownAuthority, None),
        Err(_) => {}
        Ok(()) => {
            if let Err(distrust) = &observed.trust_at_not_after
                && matters(distrust)
            {
                add(ServedTrouble::UntrustedAtNotAfter, Some(&distrust.why));
            }
        }
    }
    if !certificate_covers(leaf, &observed.asked) {
        let asked = crate::escape(&observed.asked).into_owned();
        add(ServedTrouble::NameMismatch, Some(&format!("it is not for {asked}")));
    }
    let others = |chain: &Chain| !is_as_stored(served, chain) && !incomplete && !out_of_order;
    if is_live && stored.is_some_and(others) {
        add(ServedTrouble::OtherChain, None);
    }
    if observed.without_name.as_ref().is_some_and(|other| other != leaf) {
        add(ServedTrouble::OtherWithoutSni, None);
    }
    (found, details)
}

/// Whether the leaf is followed by what is stored. A root may stand at the end of either: clients have their own.
fn is_as_stored(served: &[Certificate], stored: &Chain) -> bool {
    let without_root = |certificate: &&Certificate| !certificate.is_self_issued();
    let served = served.iter().skip(1).filter(without_root);
    served.eq(stored.issuers.iter().filter(without_root))
}

/// Whether an intermediate certificate is missing, so that a client that does not know it by chance cannot check.
fn is_incomplete(observed: &Observed, stored: Option<&Chain>) -> bool {
    if observed.trust.is_ok() {
        return false;
    }
    let served = &observed.certificates;
    let path = path(served);
    let Some(end) = path.last().filter(|end| !end.is_self_issued()) else { return false };
    match stored {
        Some(chain) => chain.issuers.iter().any(|one| !served.contains(one) && end.could_be_issued_by(one)),
        // Nobody can tell a missing intermediate of an unknown certificate from an unknown CA that issues without any.
        None => path.len() == 1 && observed.trust.as_ref().is_err_and(|why| why.cause == DistrustCause::UnknownIssuer),
    }
}

/// The way from the leaf to the last issuer that was sent.
fn path(served: &[Certificate]) -> Vec<&Certificate> {
    let mut path: Vec<&Certificate> = served.first().into_iter().collect();
    while let Some(end) = path.last().copied().filter(|end| !end.is_self_issued()) {
        let next = served.iter().find(|one| !path.contains(one) && end.could_be_issued_by(one));
        match next {
            Some(next) => path.push(next),
            None => break,
        }
    }
    path
}

/// RFC 5246 section 7.4.2, and RFC 8446 section 4.4.2 for clients that are not of today: each certificate certifies the
/// one before it.
fn is_out_of_order(served: &[Certificate]) -> bool {
    served.windows(2).any(|pair| {
        let [one, next] = pair else { return false };
        let issuer_is_elsewhere = || served.iter().any(|other| other != one && one.could_be_issued_by(other));
        !one.is_self_issued() && !one.could_be_issued_by(next) && issuer_is_elsewhere()
    })
}

#[cfg(test)]
mod tests;
