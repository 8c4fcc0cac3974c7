//! All checks that ask the network, for many lineages: each CA, account and name is asked once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use certkit_core::{
    AcmeUrl, Certificate, CrlReach, DnsName, Finding, FindingCode, Identifier, IdentifierSet, LineageName,
};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::caa::caa_of;
use super::http_challenge::{Silent, http_challenge, is_over_http};
use super::{
    AddressQuestion, CaaQuestion, Check, Examination, Examined, HttpCheckSettings, WantedAccount, check_account,
    check_addresses, check_challenge_records, check_directory, check_profile, check_tlsa, check_validation,
};
use crate::authorities;
use crate::challenge::{Authenticator, ChallengeKind, StandaloneServers};
use crate::command::CommandSettings;
use crate::dns::{CaaAbove, Resolver};
use crate::protocol::Authority;
use crate::transport::Transport;

/// A lineage, as far as the network checks have to know it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkSubject {
    /// Its name.
    pub name: LineageName,
    /// What it is for.
    pub identifiers: IdentifierSet,
    /// How its names are validated.
    pub authenticator: Authenticator,
    /// The CAs that it may come from: the first one, then those for when that fails.
    pub authorities: Vec<WantedAuthority>,
    /// Whether renewals keep the key.
    pub reuse_key: bool,
    /// The certificate in use, when there is one that can be read.
    pub certificate: Option<Certificate>,
    /// Whether a pre hook runs before a renewal: it may free the port that `standalone` needs.
    pub frees_port: bool,
}

/// A CA, and what is wanted of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WantedAuthority {
    /// Its directory.
    pub directory: AcmeUrl,
    /// The account.
    pub account: WantedAccount,
    /// The profile that is asked for if the CA has it.
    pub preferred_profile: Option<String>,
    /// The profile without which nothing is ordered.
    pub required_profile: Option<String>,
}

/// What the network checks work with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkTools {
    /// How CAs are reached.
    pub transport: Transport,
    /// Who is asked about names.
    pub resolver: Resolver,
    /// The responders and token counts that all solvers share.
    pub servers: StandaloneServers,
    /// How port 80 is looked at.
    pub http: HttpCheckSettings,
    /// How long names and their port 80 are looked at, altogether: two minutes by default. What is not looked at by then is
    /// said not to be.
    pub time_limit: Duration,
}

/// Enough for a thousand names where the network is well.
const TIME_LIMIT: Duration = Duration::from_secs(120);

impl NetworkSubject {
    /// With no CA, a key for each version, no certificate and no pre hook.
    pub fn new(name: LineageName, identifiers: IdentifierSet, authenticator: Authenticator) -> Self {
        Self {
            name,
            identifiers,
            authenticator,
            authorities: Vec::new(),
            reuse_key: false,
            certificate: None,
            frees_port: false,
        }
    }
}

impl WantedAuthority {
    /// Without a profile.
    pub fn new(directory: AcmeUrl, account: WantedAccount) -> Self {
        Self { directory, account, preferred_profile: None, required_profile: None }
    }
}

impl NetworkTools {
    /// With responders of their own, and port 80.
    pub fn new(transport: Transport, resolver: Resolver) -> Self {
        Self {
            transport,
            resolver,
            servers: StandaloneServers::new(),
            http: HttpCheckSettings::default(),
            time_limit: TIME_LIMIT,
        }
    }

    /// Why something was not looked at any more.
    pub(super) fn too_late(&self) -> String {
        let seconds = self.time_limit.as_secs();
        format!(
            "names were looked at for {seconds} seconds, and it was not reached; --cert-name looks at one certificate"
        )
    }
}

/// So many names are looked up at once: most of the time is spent waiting.
const NAMES_AT_ONCE: usize = 24;
/// Port 80 of so many certificates is looked at at once.
const CERTIFICATES_AT_ONCE: usize = 4;

/// What the lineages want to know of one name.
#[derive(Default)]
struct Name {
    caa: Vec<CaaQuestion>,
    over_http: bool,
    over_dns: bool,
    by_public_authority: bool,
    /// Certificates of the name, with whether renewals keep the key.
    certificates: Vec<(Certificate, bool)>,
}

/// Makes all checks. It never fails and never places an order. A finding that several examinations would tell (the same
/// name server fails for a hundred names) is told by the first of them.
pub async fn network(subjects: &[NetworkSubject], tools: &NetworkTools) -> Vec<Examined> {
    let directories: BTreeSet<&AcmeUrl> =
        subjects.iter().flat_map(|subject| &subject.authorities).map(|wanted| &wanted.directory).collect();
    let mut examined = Vec::new();
    let mut authorities: BTreeMap<&AcmeUrl, Authority> = BTreeMap::new();
    let asking = directories.into_iter().map(|url| async move { (url, check_directory(&tools.transport, url).await) });
    for (url, (of_directory, authority)) in join_all(asking).await {
        examined.extend(of_directory);
        authorities.extend(authority.map(|authority| (url, authority)));
    }
    examined.extend(accounts_and_profiles(subjects, &authorities).await);

    let names = collect(subjects, &authorities);
    if !names.is_empty() {
        examined.extend(check_validation(&tools.resolver).await);
    }
    let deadline = Instant::now() + tools.time_limit;
    let above = &CaaAbove::default();
    let looking_up = names.iter().map(|(name, wanted)| async move {
        timeout_at(deadline, look_up(name, wanted, tools, above)).await.unwrap_or_else(|_| {
            (vec![Examined::not_checked(Check::Addresses, name.as_str(), tools.too_late())], Vec::new())
        })
    });
    let mut addresses: HashMap<Identifier, Vec<IpAddr>> = HashMap::new();
    let looked_up: Vec<_> =
        futures_util::stream::iter(looking_up.collect::<Vec<_>>()).buffered(NAMES_AT_ONCE).collect().await;
    for ((name, _), (of_name, found)) in names.iter().zip(looked_up) {
        examined.extend(of_name);
        addresses.insert(Identifier::Dns(name.clone()), found);
    }
    let ips = subjects.iter().flat_map(|subject| subject.identifiers.ips());
    addresses.extend(ips.map(|address| (Identifier::Ip(address), vec![address])));
    examined.extend(subjects.iter().flat_map(private_identifiers));
    let silent = Silent::default();
    let (addresses, silent) = (&addresses, &silent);
    let asking = subjects.iter().map(|subject| http_challenge(subject, addresses, tools, silent, deadline));
    let asked: Vec<_> =
        futures_util::stream::iter(asking.collect::<Vec<_>>()).buffered(CERTIFICATES_AT_ONCE).collect().await;
    examined.extend(asked.into_iter().flatten());
    told_once(examined)
}

async fn accounts_and_profiles(
    subjects: &[NetworkSubject],
    authorities: &BTreeMap<&AcmeUrl, Authority>,
) -> Vec<Examined> {
    let (mut examined, mut asked) = (Vec::new(), HashSet::new());
    for subject in subjects {
        for wanted in &subject.authorities {
            let Some(authority) = authorities.get(&wanted.directory) else { continue };
            let account = match &wanted.account {
                WantedAccount::Stored(stored) => stored.uri.as_str(),
                _ => "",
            };
            if asked.insert((wanted.directory.as_str(), account)) {
                examined.extend(check_account(authority, &wanted.account).await);
            }
            let (preferred, required) = (wanted.preferred_profile.as_deref(), wanted.required_profile.as_deref());
            examined.extend(check_profile(authority.directory(), &subject.name, preferred, required));
        }
    }
    examined
}

/// The names of all lineages, each with what is to be asked about it.
fn collect(subjects: &[NetworkSubject], authorities: &BTreeMap<&AcmeUrl, Authority>) -> BTreeMap<DnsName, Name> {
    let mut names: BTreeMap<DnsName, Name> = BTreeMap::new();
    for subject in subjects {
        let solver = subject.authenticator.solver(&StandaloneServers::new(), &CommandSettings::new()).ok();
        for identifier in subject.identifiers.iter() {
            let Some(name) = identifier.as_dns() else { continue };
            let wanted = names.entry(name.clone()).or_default();
            // An authenticator that cannot be used is told by itself; the names are looked at all the same.
            let over_http = solver.as_ref().is_some_and(|solver| is_over_http(&**solver, identifier));
            let method = if over_http { ChallengeKind::Http01 } else { ChallengeKind::Dns01 };
            wanted.over_http |= over_http;
            wanted.over_dns |= solver.is_some() && !over_http;
            for authority in &subject.authorities {
                wanted.by_public_authority |= authorities::known(&authority.directory).is_some();
                // The names of a CA that is not reached are not known.
                let Some(known) = authorities.get(&authority.directory) else { continue };
                let account = match &authority.account {
                    WantedAccount::Stored(stored) => Some(stored.uri.clone()),
                    _ => None,
                };
                let identities = known.directory().caa_identities.clone();
                let question = CaaQuestion::new(authority.directory.clone(), identities, account, method);
                if solver.is_some() && !wanted.caa.contains(&question) {
                    wanted.caa.push(question);
                }
            }
            if let Some(certificate) = &subject.certificate {
                wanted.certificates.push((certificate.clone(), subject.reuse_key));
            }
        }
    }
    names
}

async fn look_up(
    name: &DnsName,
    wanted: &Name,
    tools: &NetworkTools,
    above: &CaaAbove,
) -> (Vec<Examined>, Vec<IpAddr>) {
    let resolver = &tools.resolver;
    let question = AddressQuestion::new(wanted.over_http, wanted.by_public_authority);
    let (mut examined, addresses) = check_addresses(resolver, name, question).await;
    let mut findings = examined.iter().flat_map(Examined::findings);
    let is_missing = findings.any(|finding| finding.code == FindingCode::NameNotFound);
    examined.extend(caa_of(resolver, name, &wanted.caa, above).await);
    if wanted.over_dns {
        examined.extend(check_challenge_records(resolver, name).await);
    }
    // Of a wildcard it is not known which names are served; below a name that does not exist there is none (RFC 8020).
    if !name.is_wildcard() && !is_missing {
        for (certificate, reuse_key) in &wanted.certificates {
            examined.extend(check_tlsa(resolver, name, certificate, *reuse_key).await);
        }
    }
    (examined, addresses)
}

/// Addresses in a certificate for which no public CA may issue (Baseline Requirements section 4.2.2): nobody else than the
/// own network knows whose they are.
fn private_identifiers(subject: &NetworkSubject) -> Vec<Examined> {
    if !subject.authorities.iter().any(|authority| authorities::known(&authority.directory).is_some()) {
        return Vec::new();
    }
    let judge = |address: IpAddr| {
        let found = CrlReach::PublicOnly.allows(address).is_err().then(|| {
            let evidence = "it stands in the certificate as an identifier of its own";
            Finding::new(FindingCode::AddressNotPublic, address.to_string(), evidence).with_cure(
                "take it out (certkit certonly --cert-name NAME -d … with the names that are left), or have it from a CA of your own: --server URL",
            )
        });
        Examined::found(Check::Addresses, address.to_string(), found.into_iter().collect())
    };
    subject.identifiers.ips().map(judge).collect()
}

/// Leaves a finding where it is told first.
fn told_once(examined: Vec<Examined>) -> Vec<Examined> {
    let mut told: HashSet<(FindingCode, String, String)> = HashSet::new();
    let mut seen: HashSet<(Check, String)> = HashSet::new();
    let mut is_new = |finding: &Finding| told.insert((finding.code, finding.subject.clone(), finding.evidence.clone()));
    let mut kept = Vec::new();
    for mut one in examined {
        match &mut one.outcome {
            Examination::Found(findings) => {
                findings.retain(&mut is_new);
                if findings.is_empty() {
                    continue;
                }
            }
            // The same name in two certificates is looked at for each, and told once.
            _ if !seen.insert((one.check, one.subject.clone())) => continue,
            _ => {}
        }
        kept.push(one);
    }
    kept
}
