//! What the CAs say about the certificates in use: renewal information (RFC 9773) and revocation lists.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use certkit_core::decision::{RenewalInformation, SuggestedWindow};
use certkit_core::state::{Event, LineageState, RevocationMemory};
use certkit_core::store::{StoreError, read_file};
use certkit_core::{AcmeUrl, AriCertificateId, Chain, CrlReach, Finding, FindingCode, LineageName, Retry};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, StreamExt};

use super::attempt::Workshop;
use super::idle::Member;
use super::inventory::Inventory;
use super::subject::Subject;
use crate::BoxFuture;
use crate::blocking::blocking;
use crate::clock::off_by;
use crate::protocol::{Authority, RenewalInfoError, RenewalInfoErrorKind};
use crate::revocation::{RevocationChecker, RevocationStatus};
use crate::transport::{TransportError, TransportSettings};

/// A CA that cannot be reached, or that offers no renewal information, is asked again after this (RFC 9773 section 4.3.3).
const PAUSE_AFTER_LASTING_ERRORS: TimeDelta = TimeDelta::hours(6);
/// How often it is looked whether a CA that offers no renewal information does so now.
const PAUSE_WHERE_NOT_OFFERED: TimeDelta = TimeDelta::days(1);

/// So many revocation lists are fetched at once, and no longer than this in one run.
const LISTS_AT_ONCE: usize = 8;
const LONGEST_LOOK: Duration = Duration::from_secs(120);

/// A certificate whose CA is to be asked.
pub(super) struct Asked {
    pub(super) name: LineageName,
    pub(super) id: AriCertificateId,
}

/// The certificates of these lineages about which their CA is to be asked now.
pub(super) fn to_ask(inventory: &Inventory, members: &[Member], now: DateTime<Utc>) -> BTreeMap<AcmeUrl, Vec<Asked>> {
    let mut groups: BTreeMap<AcmeUrl, Vec<Asked>> = BTreeMap::new();
    for member in members {
        let known = match member {
            Member::Whole(subject) => to_ask_of(subject, &inventory.state(&subject.name), now),
            Member::Idle(idle) => idle.issuer.clone().zip(idle.to_ask.clone()),
        };
        if let Some((directory, id)) = known {
            groups.entry(directory).or_default().push(Asked { name: member.name().clone(), id });
        }
    }
    groups
}

/// Which CA is to be asked now about a certificate, and by which id, if any: it is in use, not expired, renewed by certkit,
/// and was never asked about or long enough ago.
pub(super) fn to_ask_of(
    subject: &Subject,
    state: &LineageState,
    now: DateTime<Utc>,
) -> Option<(AcmeUrl, AriCertificateId)> {
    let certificate = subject.certificate.as_ref()?;
    let (id, directory) = (certificate.ari_id()?, subject.issuer_directory(state)?);
    let wanted = subject.settings.renewal_information && subject.conf.params().autorenew;
    // RFC 9773 section 4.3: never after the expiry.
    let alive = now <= certificate.validity().not_after;
    let known = state.renewal_information.as_ref().filter(|known| known.certificate == id.as_str());
    (wanted && alive && known.is_none_or(|known| known.may_ask(now))).then_some((directory, id))
}

/// Asks one CA about all of them, over few connections, and records what it said. One that cannot be reached costs one
/// timeout, not one for each. What cannot be kept of one certificate is told; the others go on.
pub(super) async fn ask(workshop: &Workshop<'_>, directory: &AcmeUrl, asked: Vec<Asked>) -> Vec<Finding> {
    let inventory = workshop.inventory;
    let mut not_before = None;
    let answers = match workshop.authority(directory).await {
        Ok(authority) if authority.directory().renewal_info.is_some() => {
            let ids: Vec<AriCertificateId> = asked.iter().map(|one| one.id.clone()).collect();
            authority.renewal_infos(&ids, workshop.stop).await.into_iter().map(Some).collect()
        }
        Ok(_) => {
            return nothing_to_be_had(inventory, directory, &asked, PAUSE_WHERE_NOT_OFFERED).await;
        }
        Err(failure) => {
            if let Retry::At(at) = failure.retry {
                not_before = Some(at);
            }
            asked.iter().map(|_| None).collect::<Vec<_>>()
        }
    };
    if workshop.stop.reason().is_some() {
        return Vec::new();
    }
    let (mut findings, mut unkept) = (Vec::new(), Unkept::default());
    let now = inventory.now();
    for (one, answer) in asked.iter().zip(answers) {
        let state = inventory.state(&one.name);
        let before = state.renewal_information.as_ref();
        let failures = before.filter(|known| known.certificate == one.id.as_str()).map_or(0, |known| known.failures);
        let information = match answer {
            Some(Ok(answer)) => match SuggestedWindow::new(answer.window_start, answer.window_end) {
                Some(window) => {
                    RenewalInformation::answered(one.id.as_str(), window, answer.explanation_url, answer.retry_after)
                }
                None => RenewalInformation::failed(before, one.id.as_str(), now + PAUSE_AFTER_LASTING_ERRORS),
            },
            Some(Err(error)) => {
                if failures == 0 {
                    findings.push(unavailable(&one.name, &error));
                }
                // The run was asked to stop: nothing was learned.
                if error.kind() == RenewalInfoErrorKind::Stopped {
                    continue;
                }
                let next = error.next_try(failures, now);
                RenewalInformation::failed(before, one.id.as_str(), next)
            }
            None => {
                let pause = certkit_core::state::backoff(failures.saturating_add(1)).min(PAUSE_AFTER_LASTING_ERRORS);
                let next = now + pause;
                // What the directory's Retry-After says counts for whatever is asked of that CA.
                let next = not_before.map_or(next, |at| at.max(next));
                RenewalInformation::failed(before, one.id.as_str(), next)
            }
        };
        unkept.note(inventory.record(&one.name, Event::RenewalInformationRead { information }).await);
    }
    findings.extend(unkept.told(directory));
    findings
}

/// What a CA said and the store did not take.
#[derive(Default)]
struct Unkept {
    first: Option<StoreError>,
    certificates: usize,
}

impl Unkept {
    fn note(&mut self, recorded: Result<(), StoreError>) {
        if let Err(error) = recorded {
            self.certificates += 1;
            self.first.get_or_insert(error);
        }
    }

    /// Once for the CA: a full disk refuses what is said of every certificate.
    fn told(self, directory: &AcmeUrl) -> Option<Finding> {
        let others = match self.certificates {
            0 | 1 => String::new(),
            certificates => format!(" (the same for {} more)", certificates - 1),
        };
        let what = format!("{}{others}", self.first?);
        Some(Finding::new(FindingCode::RenewalInformationUnavailable, directory.as_str(), what))
    }
}

fn unavailable(name: &LineageName, error: &RenewalInfoError) -> Finding {
    Finding::new(FindingCode::RenewalInformationUnavailable, name.as_str(), error.to_string())
}

async fn nothing_to_be_had(
    inventory: &Inventory,
    directory: &AcmeUrl,
    asked: &[Asked],
    pause: TimeDelta,
) -> Vec<Finding> {
    let (next, mut unkept) = (inventory.now() + pause, Unkept::default());
    for one in asked {
        let state = inventory.state(&one.name);
        let information = RenewalInformation::failed(state.renewal_information.as_ref(), one.id.as_str(), next);
        unkept.note(inventory.record(&one.name, Event::RenewalInformationRead { information }).await);
    }
    unkept.told(directory).into_iter().collect()
}

/// The lists of a run: those of CAs on this machine, and all others.
pub(super) struct RevocationLists {
    public: RevocationChecker,
    local: RevocationChecker,
}

impl RevocationLists {
    pub(super) fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        Ok(Self {
            public: RevocationChecker::new(settings, CrlReach::PublicOnly)?,
            local: RevocationChecker::new(settings, CrlReach::Loopback)?,
        })
    }
}

/// Looks the certificates in use up in their CAs' revocation lists, where that is due. Gives the names of those that were
/// found revoked just now, and the first error of the store, which concerns what is recorded of one certificate alone. A
/// list that cannot be had says nothing: what was known stays. What takes too long is left to the next run.
pub(super) async fn look_for_revoked(
    inventory: &Inventory,
    lists: &RevocationLists,
    members: &[Member],
) -> (Vec<LineageName>, Option<StoreError>) {
    let look_up = |member| -> BoxFuture<'_, Looked> { Box::pin(look_up(inventory, lists, member)) };
    // Each is made when its turn comes, for there may be thousands. Boxed, so that the compiler sees that a run is `Send`.
    let looking: Box<dyn Iterator<Item = BoxFuture<'_, Looked>> + Send> = Box::new(members.iter().map(look_up));
    let (mut revoked, mut unkept) = (Vec::new(), Unkept::default());
    let mut found = stream::iter(looking).buffer_unordered(LISTS_AT_ONCE);
    let deadline = tokio::time::Instant::now() + LONGEST_LOOK;
    while let Ok(Some((one, recorded))) = tokio::time::timeout_at(deadline, found.next()).await {
        revoked.extend(one);
        unkept.note(recorded);
    }
    (revoked, unkept.first)
}

/// The name when it was found revoked just now, and whether what was found is recorded.
type Looked = (Option<LineageName>, Result<(), StoreError>);

async fn look_up(inventory: &Inventory, lists: &RevocationLists, member: &Member) -> Looked {
    const NOTHING: Looked = (None, Ok(()));
    let (now, state) = (inventory.now(), inventory.state(member.name()));
    let (is_wanted, fullchain) = match member {
        Member::Whole(subject) => (must_be_looked_up(subject, &state, now), &subject.fullchain),
        Member::Idle(idle) => (idle.to_look_up, &idle.fullchain),
    };
    if !is_wanted {
        return NOTHING;
    }
    let Some(chain) = chain_in(fullchain.clone()).await else { return NOTHING };
    // Of an idle one the certificate was compared with its chain, and is the first in it.
    let certificate = match member {
        Member::Whole(subject) => subject.certificate.as_ref(),
        Member::Idle(_) => Some(&chain.leaf),
    };
    let Some(certificate) = certificate else { return NOTHING };
    let Some(issuer) = chain.issuers.iter().find(|issuer| certificate.could_be_issued_by(issuer)) else {
        return NOTHING;
    };
    let serial = certificate.serial().certbot_hex();
    let known = state.revocation.as_ref().filter(|known| known.serial == serial);
    let before = known.and_then(|known| known.revoked_since);
    // A CA on this machine may keep its list here, too; any other has no business to lead us here.
    let reach = member.issuer(&state).map_or(CrlReach::PublicOnly, |directory| CrlReach::of_directory(&directory));
    let lists = if reach == CrlReach::Loopback { &lists.local } else { &lists.public };
    let failures = known.map_or(0, |known| known.failures);
    let revocation = match lists.check(certificate, issuer, now).await {
        Ok(answer) => {
            let since = match answer.status {
                RevocationStatus::Revoked { at, .. } => Some(at),
                _ => None,
            };
            RevocationMemory::new(serial, since, answer.next_check)
        }
        Err(error) => RevocationMemory::failed(known, serial, error.next_try(failures, now)),
    };
    let since = revocation.revoked_since;
    let recorded = inventory.record(member.name(), Event::RevocationRead { revocation }).await;
    ((since.is_some() && before.is_none()).then(|| member.name().clone()), recorded)
}

/// Whether the certificate in use is to be looked up now: the owner wants it, it has not expired, and it was not looked up a
/// short while ago.
pub(super) fn must_be_looked_up(subject: &Subject, state: &LineageState, now: DateTime<Utc>) -> bool {
    let Some(certificate) = subject.certificate.as_ref().filter(|_| subject.settings.revocation_check) else {
        return false;
    };
    let serial = certificate.serial().certbot_hex();
    let known = state.revocation.as_ref().filter(|known| known.serial == serial);
    now <= certificate.validity().not_after && known.is_none_or(|known| known.may_look(now))
}

/// The certificate in use and its issuers.
async fn chain_in(fullchain: PathBuf) -> Option<Chain> {
    /// More than any chain that a CA issues.
    const MAX_BYTES: usize = 8 << 20;
    blocking(move || Chain::from_pem(&read_file(&fullchain, MAX_BYTES).ok()?).ok()).await
}

/// The clock warning of a CA that was talked to: more than this and dates cannot be trusted (RFC 9773 section 6.3).
pub(super) fn clock_warning(authority: &Authority, now: DateTime<Utc>) -> Option<Finding> {
    const LARGEST_UNTOLD_SKEW: TimeDelta = TimeDelta::minutes(5);
    let off = now - authority.directory().date?;
    (off.abs() > LARGEST_UNTOLD_SKEW).then(|| {
        let what = format!("it is {} the CA's", off_by(off));
        Finding::new(FindingCode::ClockOff, authority.directory().url.as_str(), what)
    })
}
