//! Whether port 80 of each name, at each of its addresses, answers with what an authenticator places there.

mod fetch;

mod vantage;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certkit_core::{Finding, FindingCode, Identifier, IdentifierSet, Severity};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use self::fetch::{End, Fetched, fetch, seconds, shown_body};
use self::vantage::Vantage;
use super::network::{NetworkSubject, NetworkTools};
use super::{Check, Examined};
use crate::challenge::{Authenticator, Challenge, ChallengeKind, SolveError, Solver, Token};
use crate::command::CommandSettings;

/// How port 80 is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheckSettings {
    /// The port of http: 80, as CAs have it. Another one is for tests.
    pub http_port: u16,
    /// The port of https, where a redirect may lead: 443, as CAs have it. Another one is for tests.
    pub https_port: u16,
    /// For one connection: 10 s, as Let's Encrypt has it.
    pub dial_time: Duration,
    /// For the answer on a connection: 10 s.
    pub answer_time: Duration,
}

impl Default for HttpCheckSettings {
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        Self { http_port: 80, https_port: 443, dial_time: patience, answer_time: patience }
    }
}

/// So many addresses are asked at once.
const AT_ONCE: usize = 16;

/// Places an answer for each name as the authenticator does for a CA, asks for it at each of the name's addresses, and
/// removes it again. Only `webroot` and `standalone` can be looked at without an order: what a manual hook does is not
/// known. `addresses` are those of the names; a name without any is left out.
pub async fn check_http_challenge(
    subject: &NetworkSubject,
    addresses: &[(Identifier, Vec<IpAddr>)],
    tools: &NetworkTools,
) -> Vec<Examined> {
    let addresses = addresses.iter().cloned().collect();
    http_challenge(subject, &addresses, tools, &Silent::default(), Instant::now() + tools.time_limit).await
}

/// The same for one certificate of several: an address that is silent for one is not waited for again. What is not asked
/// by the deadline is not; what was placed is removed in any case.
pub(super) async fn http_challenge(
    subject: &NetworkSubject,
    addresses: &HashMap<Identifier, Vec<IpAddr>>,
    tools: &NetworkTools,
    silent: &Silent,
    deadline: Instant,
) -> Vec<Examined> {
    let lineage = subject.name.as_str();
    let Ok(solver) = subject.authenticator.solver(&tools.servers, &CommandSettings::new()) else {
        // That it cannot be used is told by itself.
        return Vec::new();
    };
    let names: Vec<&Identifier> = subject.identifiers.iter().filter(|name| is_over_http(&*solver, name)).collect();
    if names.is_empty() {
        return Vec::new();
    }
    if let Authenticator::Manual { .. } = subject.authenticator {
        let because = "only the manual auth hook can place an answer, and it is not run without an order";
        return vec![Examined::not_checked(Check::HttpChallenge, lineage, because)];
    }
    let (mut examined, mut placed) = (Vec::new(), Vec::new());
    for name in names {
        let Some(challenge) = challenge(name) else {
            return vec![Examined::not_checked(Check::HttpChallenge, lineage, "no random number could be had")];
        };
        let order: IdentifierSet = [name.clone()].into_iter().collect();
        match solver.present(std::slice::from_ref(&challenge), &order).await {
            Ok(()) => placed.push(challenge),
            Err(error @ (SolveError::PortTaken { .. } | SolveError::Bind { .. })) => {
                // The port is the same for all names.
                examined.push(port_unusable(subject, &error));
                break;
            }
            Err(error) => {
                let finding = Finding::new(FindingCode::ChallengeNotSetUp, name.to_string(), error.to_string());
                examined.push(Examined::found(Check::HttpChallenge, name.to_string(), vec![finding]));
            }
        }
    }
    let to_ask = placed.iter().flat_map(|challenge| {
        let found = addresses.get(&challenge.identifier).cloned().unwrap_or_default();
        found.into_iter().map(move |address| (challenge, address))
    });
    let asking = to_ask.map(|(challenge, address)| async move {
        let path = format!("/.well-known/acme-challenge/{}", challenge.token.as_str());
        let name = &challenge.identifier;
        if silent.contains(address) {
            return (challenge, address, Some(Fetched::silent(name, address, &path)));
        }
        let fetched = timeout_at(deadline, fetch(name, address, &path, &tools.resolver, &tools.http)).await.ok();
        if fetched.as_ref().is_some_and(|fetched| fetched.way.len() == 1 && fetched.is_timed_out()) {
            silent.add(address);
        }
        (challenge, address, fetched)
    });
    let answers: Vec<_> = futures_util::stream::iter(asking.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    for challenge in &placed {
        let of_name: Vec<_> = answers.iter().filter(|(known, ..)| known.token == challenge.token).collect();
        let judged: Vec<_> = of_name
            .iter()
            .map(|(_, address, fetched)| match fetched {
                Some(fetched) => (*address, judge(subject, challenge, *address, fetched, tools)),
                None => (*address, Judged::NotChecked(tools.too_late())),
            })
            .collect();
        examined.extend(by_family(&challenge.identifier, judged));
    }
    drop(answers);
    if let Err(error) = solver.withdraw(&placed).await {
        let finding = Finding::new(FindingCode::ChallengeNotSetUp, lineage, error.to_string());
        examined.push(Examined::found(Check::HttpChallenge, lineage, vec![finding]));
    }
    examined
}

/// Whether a CA is offered http-01 for the name, first of all.
pub(super) fn is_over_http(solver: &dyn Solver, name: &Identifier) -> bool {
    solver.kinds(name, name.is_wildcard()).first() == Some(&ChallengeKind::Http01)
}

/// What an address said, as far as it can be judged.
enum Judged {
    Fine,
    Found(Finding),
    NotChecked(String),
}

/// Addresses to which no connection came about in time: a thousand names at one address are not waited for one by one.
#[derive(Default)]
pub(super) struct Silent(Mutex<HashSet<IpAddr>>);

impl Silent {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    fn add(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    }
}

/// As long as a token of Let's Encrypt (32 bytes), and a key authorization of its form.
fn challenge(name: &Identifier) -> Option<Challenge> {
    let mut random = [0; 64];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    let [token, thumbprint] = [&random[..32], &random[32..]].map(|bytes| data_encoding::BASE64URL_NOPAD.encode(bytes));
    let key_authorization = format!("{token}.{thumbprint}");
    Some(Challenge::new(name.clone(), false, ChallengeKind::Http01, Token::parse(&token).ok()?, key_authorization))
}

fn port_unusable(subject: &NetworkSubject, error: &SolveError) -> Examined {
    let lineage = subject.name.as_str();
    let code = match error {
        SolveError::PortTaken { .. } if subject.frees_port => {
            let because = format!("{error}; a pre hook is there, which may free the port at a renewal");
            return Examined::not_checked(Check::HttpChallenge, lineage, because);
        }
        SolveError::PortTaken { .. } => FindingCode::HttpPortTaken,
        _ => FindingCode::ChallengeNotSetUp,
    };
    Examined::found(Check::HttpChallenge, lineage, vec![Finding::new(code, lineage, error.to_string())])
}

fn judge(
    subject: &NetworkSubject,
    challenge: &Challenge,
    address: IpAddr,
    fetched: &Fetched,
    tools: &NetworkTools,
) -> Judged {
    let at = fetched.way.last().map_or(address, |step| step.address);
    let vantage = Vantage::of(at);
    let last = fetched.way.last().map(ToString::to_string).unwrap_or_default();
    let (code, said) = match &fetched.end {
        End::Body(body) if *body == challenge.key_authorization.as_bytes() => return Judged::Fine,
        End::Body(body) => (FindingCode::ChallengeBodyWrong, format!("{last} answers {}", shown_body(body))),
        End::Status(status) => (FindingCode::ChallengeNotServed, format!("{last} answers HTTP {status}")),
        End::NoConnection(error) => {
            if let Some(because) = vantage.cannot_tell(at, error) {
                return Judged::NotChecked(because);
            }
            let how = match error.kind() {
                io::ErrorKind::ConnectionRefused => "refuses the connection".to_owned(),
                io::ErrorKind::TimedOut => format!("does not answer within {}", seconds(tools.http.dial_time)),
                _ => format!("cannot be connected to: {error}"),
            };
            (FindingCode::HttpPortClosed, format!("{last} {how}"))
        }
        End::Broken(problem) => (FindingCode::ChallengeNotServed, format!("{last}: {problem}")),
        End::Loop => (FindingCode::RedirectLoop, way(fetched)),
        End::Forbidden { target, why } => {
            (FindingCode::RedirectForbidden, format!("{last} redirects to {target}: {why}"))
        }
        End::Unresolved(host) => (FindingCode::RedirectUnresolved, format!("{last} redirects to {host}")),
        End::Unknown(host) => {
            return Judged::NotChecked(format!("{last} redirects to {host}, for which the resolver gives no answer"));
        }
    };
    let mut evidence = said;
    if let Some(network) = fetched.network {
        evidence.push_str(&format!("; {network} stands in front of the server"));
    }
    if vantage == Vantage::BehindNat {
        evidence.push_str("; this machine is behind NAT, so it may be the router that answers here and not there");
    }
    let finding = Finding::new(code, challenge.identifier.to_string(), evidence);
    let finding = match cure(subject, challenge, code, fetched) {
        Some(cure) => finding.with_cure(cure),
        None => finding,
    };
    // Seen from inside, it may be otherwise than from outside.
    Judged::Found(if vantage == Vantage::BehindNat { finding.with_severity(Severity::Warning) } else { finding })
}

fn way(fetched: &Fetched) -> String {
    const SHOWN: usize = 4;
    let mut all: Vec<_> = fetched.way.iter().take(SHOWN).map(ToString::to_string).collect();
    if fetched.way.len() > SHOWN {
        all.push(format!("{} more", fetched.way.len() - SHOWN));
    }
    all.join(", then ")
}

/// What to do about it, with the names and paths of this case.
fn cure(subject: &NetworkSubject, challenge: &Challenge, code: FindingCode, fetched: &Fetched) -> Option<String> {
    let name = &challenge.identifier;
    let is_about_content =
        matches!(code, FindingCode::ChallengeNotServed | FindingCode::ChallengeBodyWrong | FindingCode::RedirectLoop);
    if !is_about_content {
        return None;
    }
    if let Some(network) = fetched.network {
        return Some(format!(
            "let {network} pass /.well-known/acme-challenge/ of {name} on to this server unchanged: no \"always https\", no flexible TLS, no page in between; or validate by DNS"
        ));
    }
    if code == FindingCode::RedirectLoop {
        return None;
    }
    match &subject.authenticator {
        Authenticator::Webroot { map, default } => {
            let mapped = map.iter().find(|(known, _)| known == name).map(|(_, webroot)| webroot);
            let webroot = mapped.or(default.as_ref())?.display().to_string();
            Some(format!(
                "make the web server serve http://{name}/.well-known/acme-challenge/ from {webroot}/.well-known/acme-challenge/, or name the webroot that it uses: certkit reconfigure --cert-name {} --webroot -w DIR",
                subject.name
            ))
        }
        Authenticator::Standalone { port, .. } if *port == 80 => Some(format!(
            "the address is another machine's, or a proxy's: have it pass /.well-known/acme-challenge/ of {name} on to this one, or correct the address in DNS"
        )),
        Authenticator::Standalone { port, .. } => Some(format!(
            "pass port 80 of {name}, or /.well-known/acme-challenge/ there, on to port {port} of this machine"
        )),
        _ => None,
    }
}

/// One examination per address. What is wrong with IPv6 alone is told as such.
fn by_family(name: &Identifier, judged: Vec<(IpAddr, Judged)>) -> Vec<Examined> {
    let v4_is_fine = judged.iter().any(|(address, judged)| address.is_ipv4() && matches!(judged, Judged::Fine));
    let examine = |(address, judged): (IpAddr, Judged)| {
        let subject = format!("{name} at {address}");
        match judged {
            Judged::Fine => Examined::fine(Check::HttpChallenge, subject),
            Judged::NotChecked(because) => Examined::not_checked(Check::HttpChallenge, subject, because),
            Judged::Found(finding) => {
                let differs = v4_is_fine && address.is_ipv6();
                let finding = if differs { about_ipv6(name, address, finding) } else { finding };
                Examined::found(Check::HttpChallenge, subject, vec![finding])
            }
        }
    };
    judged.into_iter().map(examine).collect()
}

fn about_ipv6(name: &Identifier, address: IpAddr, finding: Finding) -> Finding {
    let evidence = format!("{} ({})", finding.evidence, finding.code.what());
    let cure = format!("make the server answer on IPv6 as well, or remove the record `{name}. AAAA {address}`");
    let mut about = Finding::new(FindingCode::Ipv6Differs, "", "").with_severity(finding.severity).with_cure(cure);
    // Escaped already.
    (about.subject, about.evidence) = (finding.subject, evidence);
    about
}
