//! `certificates`: what is stored. It reads only: no lock, no log, no hook directory, no repaired link.

use clap::Args as _;

use certkit_acme::AwsLcKeyMath;
use certkit_acme::authorities::is_test_authority;
use certkit_acme::challenge::Authenticator;
use certkit_core::decision::RenewalWish;
use certkit_core::store::{BrokenLineage, BrokenReason, CheckedCertificate, Kind, Lineage, RenewalConf, Store};
use certkit_core::{Certificate, Finding, FindingCode, KeyType, Outlook, PlanInput, plan};
use chrono::{DateTime, Utc};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::certificates::{Broken, CertificateFacts, Document, Due, Listed, Listing, LivePaths, write_text};
use crate::render::words;
use crate::ui::shown;

/// List the stored certificates
///
/// Lists the stored certificates with their names, expiry dates and paths. Certificates that cannot be used are listed
/// with the reason, and problems of the store below. Nothing is changed.
#[derive(clap::Args)]
struct About {}

/// `certificates`.
pub(crate) const COMMAND: Command = Command {
    name: "certificates",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "domains", "ip_address"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let wanted_name = context.invocation.typed.selection.cert_name.clone();
    let wanted: Vec<String> = context.invocation.identifiers()?.iter().map(ToString::to_string).collect();
    let store = context.store()?;
    let filtered = wanted_name.is_some() || !wanted.is_empty();
    let mut listing = Listing { filtered, live_dir: store.paths().live_dir(), ..Listing::default() };
    listing.findings =
        store.audit()?.into_iter().filter(|finding| finding.code != FindingCode::BrokenLineage).collect();
    let now = context.now;
    let looked = store.map_lineages(|lineage| {
        let mut findings = Vec::new();
        let listed = match lineage {
            Ok(lineage) => usable(&store, &lineage, now, &mut findings),
            Err(broken) => unusable(broken),
        };
        (listed, findings)
    })?;
    // What is kept takes the room of what was looked at: of ten thousand no copy is made.
    let listed = looked.into_iter().filter_map(|(listed, findings)| {
        listing.findings.extend(findings);
        // certbot does not filter what it cannot read, and neither do we: a broken one must not hide.
        let is_listed = listed.broken.is_some() || matches(&listed, wanted_name.as_deref(), &wanted);
        is_listed.then_some(listed)
    });
    listing.lineages = listed.collect();
    if listing.filtered {
        let names: Vec<String> =
            wanted_name.iter().cloned().chain(listing.lineages.iter().map(|one| one.name.to_string())).collect();
        listing.findings.retain(|finding| names.iter().any(|name| concerns(finding, name)));
    }
    context.ui.long_result(|out| write_text(&listing, now, out));
    if context.ui.voice().json {
        context.ui.json(&Document { listing: &listing, now });
    }
    if context.ui.voice().quiet {
        for broken in listing.lineages.iter().filter_map(|one| one.broken.as_deref()) {
            let conf = shown(&broken.conf_path);
            let reason = certkit_core::escape(&broken.reason);
            context.ui.failure(&format!("Renewal configuration file {conf} is broken: {reason}\n"));
        }
        crate::render::renewal::tell_findings(&listing.findings, context.ui);
    }
    Ok(Exit::Well)
}

/// Whether a finding is about a certificate: its subject is the name itself or a path with it.
pub(super) fn concerns(finding: &Finding, name: &str) -> bool {
    finding.subject.split('/').any(|part| {
        part == name || [".conf", ".json", ".jsonl"].iter().any(|ending| part.strip_suffix(ending) == Some(name))
    })
}

fn matches(listed: &Listed, name: Option<&str>, wanted: &[String]) -> bool {
    let names = listed.certificate.as_ref().map(|certificate| &*certificate.names).unwrap_or_default();
    let has = |wanted: &String| names.iter().any(|name| **name == **wanted);
    name.is_none_or(|name| *name == *listed.name) && wanted.iter().all(has)
}

fn usable(store: &Store, lineage: &Lineage, now: DateTime<Utc>, findings: &mut Vec<Finding>) -> Listed {
    let conf = lineage.conf();
    let mut listed = Listed {
        name: lineage.name().as_str().into(),
        is_test: is_test(conf),
        version: lineage.live_version(),
        elsewhere: elsewhere(store, lineage).map(Box::new),
        ..Listed::default()
    };
    let broken = |reason: BrokenReason| {
        let hindrance = reason.hindrance();
        Box::new(Broken { conf_path: lineage.conf_path().to_owned(), reason: reason.to_string(), hindrance })
    };
    match lineage.checked_certificate(Some(&AwsLcKeyMath::new())) {
        Ok(CheckedCertificate { certificate, checked, .. }) => {
            listed.due = due(store, lineage, &certificate, now, findings);
            findings.extend(authenticator_finding(lineage, &certificate));
            listed.certificate = Some(facts(&certificate));
            match checked {
                Ok(worth_knowing) => findings.extend(worth_knowing),
                Err(reason) => listed.broken = Some(broken(reason)),
            }
        }
        Err(reason) => listed.broken = Some(broken(reason)),
    }
    listed
}

/// The live links, unless they lie where certbot lays them.
fn elsewhere(store: &Store, lineage: &Lineage) -> Option<LivePaths> {
    let live = store.paths().live(lineage.name());
    // By their bytes, for the list shows what the conf says.
    let is_usual = |kind: &Kind| live.join(kind.live_file()).as_os_str() == lineage.live_path(*kind).as_os_str();
    (!Kind::ALL.iter().all(is_usual)).then(|| Kind::ALL.map(|kind| Some(lineage.live_path(kind).to_owned())))
}

/// What would make the next renewal fail is told before it is due.
fn authenticator_finding(lineage: &Lineage, certificate: &Certificate) -> Option<Finding> {
    let identifiers = certificate.identifiers().ok()?;
    let authenticator = Authenticator::from_params(lineage.conf().params());
    let problem = authenticator.and_then(|authenticator| authenticator.supports(&identifiers)).err()?;
    Some(Finding::new(FindingCode::AuthenticatorUnsupported, lineage.name(), problem.to_string()))
}

fn unusable(broken: BrokenLineage) -> Listed {
    let path = |kind: Kind| broken.conf.as_ref()?.live_path(kind).map(Into::into);
    Listed {
        elsewhere: Some(Box::new(Kind::ALL.map(path))),
        is_test: broken.conf.as_ref().is_some_and(is_test),
        broken: Some(Box::new(Broken {
            reason: broken.reason.to_string(),
            hindrance: broken.reason.hindrance(),
            conf_path: broken.conf_path,
        })),
        name: broken.name.into(),
        ..Listed::default()
    }
}

/// certbot's rule: the CA is Let's Encrypt's staging one, or its URL says `staging`.
fn is_test(conf: &RenewalConf) -> bool {
    conf.params().server.as_deref().is_some_and(is_test_authority)
}

fn due(
    store: &Store,
    lineage: &Lineage,
    certificate: &Certificate,
    now: DateTime<Utc>,
    findings: &mut Vec<Finding>,
) -> Option<Due> {
    let conf = lineage.conf();
    let wish = RenewalWish::new(conf.renew_before_expiry().map(str::to_owned), conf.params().autorenew);
    let mut input = PlanInput::new(lineage.name().clone(), None, wish).of_certificate(certificate);
    if let Ok((state, _)) = store.state(lineage.name()) {
        let pending: Vec<String> =
            state.deploy_pending.iter().map(|pending| words::deploy_target(&pending.target)).collect();
        if !pending.is_empty() {
            findings.push(Finding::new(FindingCode::DeployPending, lineage.name(), pending.join(", ")));
        }
        input = input.remembering(state);
    }
    let decision = plan([input], &Outlook::default(), now).entries.pop()?.due;
    findings.extend(decision.findings.iter().cloned());
    Some(Due { is_due: decision.is_due(now), at: decision.at, reason: decision.reason.code() })
}

fn facts(certificate: &Certificate) -> CertificateFacts {
    CertificateFacts {
        names: certificate.listed_names().into_iter().map(Box::from).collect(),
        serial: certificate.serial().certbot_hex().into(),
        key_type: match certificate.key_type() {
            KeyType::Rsa => "RSA".into(),
            KeyType::Ec(_) => "ECDSA".into(),
            KeyType::Ed25519 => "Ed25519".into(),
            KeyType::Ed448 => "Ed448".into(),
            KeyType::Other(oid) => oid.into(),
            _ => "unknown".into(),
        },
        validity: certificate.validity(),
    }
}
