//! The checks that ask CAs, name servers and port 80, for all lineages at once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certkit_core::{AcmeUrl, Finding, FindingCode};

use super::examination::{Checks, ExaminedEntry};
use super::examined_lineage::{Known, LookedAt};
use super::run::hook_dir;
use super::{Renewer, Request};
use crate::accounts::{Choice, choose_account};
use crate::blocking::blocking;
use crate::challenge::Authenticator;
use crate::deploy::{HookStage, directory_hooks};
use crate::dns::Resolver;
use crate::doctor::{
    Check, Examination, Examined, NetworkSubject, NetworkTools, WantedAccount, WantedAuthority, network,
};

/// Each question has a limit of its own; hundreds of names whose servers are silent end here.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// A lineage and what it may be found under: its names and those of its CAs.
struct Found {
    name: String,
    identifiers: Vec<String>,
    directories: Vec<String>,
}

/// Adds them.
pub(super) async fn add(checks: &mut Checks, renewer: &Renewer, request: &Request, known: &Arc<Known>) {
    let resolver = match Resolver::new(&renewer.resolver) {
        Ok(resolver) => resolver,
        Err(error) => {
            checks.known(&[], Examined::not_checked(Check::Addresses, "all names", error.to_string()));
            return;
        }
    };
    let (subjects, all) = {
        let (renewer, request, known) = (renewer.clone(), request.clone(), Arc::clone(known));
        blocking(move || prepare(&renewer, &request, &known)).await
    };
    let mut tools = NetworkTools::new(renewer.transport.clone(), resolver);
    tools.http.clone_from(&renewer.http_check);
    checks.spawn_sorted(Check::Directory, "CAs, names and port 80", TIME_LIMIT, async move {
        let examined = network(&subjects, &tools).await;
        let entries = examined.into_iter().map(|examined| ExaminedEntry::new(concerned(&all, &examined), examined));
        with_names_left(entries.collect(), &all)
    });
}

/// More names than this are not written into a command.
const MOST_NAMES_LEFT: usize = 12;

/// Names that lead nowhere, with the very command that takes all of them out of a certificate at once.
fn with_names_left(entries: Vec<ExaminedEntry>, all: &[Found]) -> Vec<ExaminedEntry> {
    let leads_nowhere =
        |finding: &Finding| matches!(finding.code, FindingCode::NameNotFound | FindingCode::NameWithoutAddress);
    let findings = entries.iter().flat_map(|entry| entry.examined.findings());
    let dead: HashSet<String> =
        findings.filter(|finding| leads_nowhere(finding)).map(|finding| finding.subject.clone()).collect();
    let cure = |finding: &Finding, found: &Found| {
        let publish = match finding.code {
            FindingCode::NameNotFound => "publish the name again (an A or AAAA record)",
            _ => "publish an address for the name (an A or AAAA record)",
        };
        let left: Vec<_> = found.identifiers.iter().filter(|name| !dead.contains(*name)).collect();
        match left.len() {
            0 => Some(format!(
                "{publish}, or delete the certificate if nothing uses it: certkit delete --cert-name NAME"
            )),
            1..=MOST_NAMES_LEFT => {
                let names: String = left.iter().map(|name| format!(" -d '{name}'")).collect();
                Some(format!("{publish}, or take it out: certkit certonly --cert-name {}{names}", found.name))
            }
            _ => None,
        }
    };
    let mut told = Vec::new();
    for entry in entries {
        if !entry.examined.findings().iter().any(leads_nowhere) {
            told.push(entry);
            continue;
        }
        for found in all.iter().filter(|found| entry.certificates.contains(&found.name)) {
            let mut of_one = entry.clone();
            of_one.certificates = vec![found.name.clone()];
            if let Examination::Found(findings) = &mut of_one.examined.outcome {
                for finding in findings.iter_mut().filter(|finding| leads_nowhere(finding)) {
                    finding.exact_cure = cure(finding, found).or_else(|| finding.exact_cure.take());
                }
            }
            told.push(of_one);
        }
    }
    told
}

/// Reads the accounts of other CAs and the hook directory.
fn prepare(renewer: &Renewer, request: &Request, known: &Known) -> (Vec<NetworkSubject>, Vec<Found>) {
    let directory: PathBuf = hook_dir(renewer.store.paths(), HookStage::Pre);
    let frees_port = request.directory_hooks && directory_hooks(&directory).is_ok_and(|hooks| !hooks.is_empty());
    let usable = known.lineages.iter().filter_map(|lineage| {
        // A conf that contradicts itself is told by the plan.
        let authenticator = Authenticator::from_params(lineage.subject.conf.params()).ok()?;
        Some(of(renewer, lineage, authenticator, frees_port))
    });
    usable.unzip()
}

fn of(
    renewer: &Renewer,
    lineage: &LookedAt,
    authenticator: Authenticator,
    frees_port: bool,
) -> (NetworkSubject, Found) {
    let subject = &lineage.subject;
    let params = subject.conf.params();
    let mut network = NetworkSubject::new(subject.name.clone(), subject.identifiers.clone(), authenticator);
    let own = subject.own_directory();
    let first = own.clone().zip(lineage.account.as_ref()).map(|(directory, account)| (directory, wanted(account)));
    let others = subject.settings.fallbacks.iter().filter(|directory| Some(*directory) != own.as_ref());
    let others = others.map(|directory| (directory.clone(), wanted(&choose_account(&renewer.store, directory, None))));
    network.authorities = first
        .into_iter()
        .chain(others)
        .map(|(directory, account)| {
            let mut authority = WantedAuthority::new(directory, account);
            authority.preferred_profile = params.preferred_profile.clone().map(String::from);
            authority.required_profile = params.required_profile.clone().map(String::from);
            authority
        })
        .collect();
    network.reuse_key = params.reuse_key;
    network.certificate.clone_from(&subject.certificate);
    network.frees_port = frees_port || params.pre_hook.is_some();
    let found = Found {
        name: subject.name.to_string(),
        identifiers: subject.domains(),
        directories: network.authorities.iter().flat_map(addresses).collect(),
    };
    (network, found)
}

/// Under which addresses a CA is told of: its directory's and the account's.
fn addresses(authority: &WantedAuthority) -> Vec<String> {
    let directory: &AcmeUrl = &authority.directory;
    let account = match &authority.account {
        WantedAccount::Stored(stored) => Some(stored.uri.to_string()),
        _ => None,
    };
    std::iter::once(directory.to_string()).chain(account).collect()
}

fn wanted(account: &Result<Choice, certkit_core::Failure>) -> WantedAccount {
    match account {
        Ok(Choice::Account(stored)) => WantedAccount::Stored(Box::new(stored.clone())),
        Ok(_) => WantedAccount::Missing,
        Err(failure) => WantedAccount::Unknown { because: failure.detail.clone() },
    }
}

/// The certificates that something is about: by their own name, by one of the names in them, or by their CA.
fn concerned(all: &[Found], examined: &Examined) -> Vec<String> {
    let subject = examined.subject.split(" at ").next().unwrap_or_default();
    let by_name: Vec<String> = all
        .iter()
        .filter(|found| found.name == subject && examined.check == Check::Profile)
        .map(|found| found.name.clone())
        .collect();
    if !by_name.is_empty() {
        return by_name;
    }
    let host = below_services(subject);
    let is_concerned = |found: &&Found| {
        found.directories.iter().any(|url| url == subject)
            || found.identifiers.iter().any(|name| match name.strip_prefix("*.") {
                // What stands at `_acme-challenge` is the wildcard's, too.
                Some(base) if host != subject => name == host || base == host,
                _ => name == host,
            })
    };
    all.iter().filter(is_concerned).map(|found| found.name.clone()).collect()
}

/// The name that a record is about: `www.a.example` of `_443._tcp.www.a.example` (RFC 8552).
fn below_services(mut name: &str) -> &str {
    while let Some((_, rest)) = name.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_belong_to_the_certificates_of_the_name_that_they_are_about() {
        let all = [found("a", &["www.a.example", "*.w.example"]), found("b", &["w.example"])];
        let of = |subject: &str| concerned(&all, &Examined::fine(Check::TlsaRecords, subject));
        assert_eq!(of("_443._tcp.www.a.example"), ["a"]);
        assert_eq!(of("_acme-challenge.w.example"), ["a", "b"]);
        assert_eq!(of("w.example"), ["b"]);
        assert!(of("_443._tcp.other.example").is_empty());
    }

    fn found(name: &str, identifiers: &[&str]) -> Found {
        let identifiers = identifiers.iter().map(ToString::to_string).collect();
        Found { name: name.to_owned(), identifiers, directories: Vec::new() }
    }

    fn missing(name: &str, certificates: &[&str]) -> ExaminedEntry {
        let finding = Finding::new(FindingCode::NameNotFound, name, "");
        let certificates = certificates.iter().map(ToString::to_string).collect();
        ExaminedEntry::new(certificates, Examined::found(Check::Addresses, name, vec![finding]))
    }

    #[test]
    fn names_that_are_gone_are_taken_out_by_one_command_for_each_certificate() {
        let all = [
            found("a.example", &["a.example", "b.example", "c.example", "*.d.example"]),
            found("second", &["b.example", "e.example"]),
            found("dead", &["c.example"]),
        ];
        let entries =
            vec![missing("b.example", &["a.example", "second"]), missing("c.example", &["a.example", "dead"])];
        let told = with_names_left(entries, &all);
        let cures: Vec<_> =
            told.iter().map(|entry| (entry.certificates.join(" "), entry.examined.findings()[0].cure())).collect();
        let of_a = "publish the name again (an A or AAAA record), or take it out: certkit certonly --cert-name a.example -d 'a.example' -d '*.d.example'";
        let of_second = "publish the name again (an A or AAAA record), or take it out: certkit certonly --cert-name second -d 'e.example'";
        let of_dead = "publish the name again (an A or AAAA record), or delete the certificate if nothing uses it: certkit delete --cert-name NAME";
        let expected = [("a.example", of_a), ("second", of_second), ("a.example", of_a), ("dead", of_dead)];
        assert_eq!(cures, expected.map(|(name, cure)| (name.to_owned(), cure)));
    }
}
