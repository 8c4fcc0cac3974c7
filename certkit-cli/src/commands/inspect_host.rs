//! `inspect HOST`: what every address of a host serves, compared with the store where it holds something for that name.

use certkit_acme::dns::ResolverSettings;
use certkit_acme::probe::{Answer, ProbeLimits, Prober};
use certkit_acme::renewal::issuer_kind;
use certkit_core::store::{Lineage, Store};
use certkit_core::{
    Certificate, Endpoint, EndpointProtocol, IdentifierSet, LineageName, Observed, StoredVersions, compare, escape,
};

use super::Context;
use super::inspect::settings;
use crate::exit::CommandError;
use crate::render::inspect::Inspected;
use crate::runtime;

/// What a host serves: one for each chain, with the addresses that serve it. What serves nothing is a problem.
pub(super) fn host(context: &Context<'_>, source: &str) -> Result<Vec<Inspected>, CommandError> {
    let nothing = |problem: String| {
        Ok(vec![Inspected { source: source.to_owned(), problems: vec![problem], ..Inspected::default() }])
    };
    let starttls = context.invocation.typed.serving.starttls.as_deref();
    // The parser knows no other word.
    let protocol = EndpointProtocol::ALL.into_iter().find(|one| Some(one.as_str()) == starttls).unwrap_or_default();
    let Some((name, port)) = Endpoint::split(source) else {
        return nothing("there is no such file, and it is not of the form HOST or HOST:PORT".to_owned());
    };
    let endpoint = Endpoint::new(name, port.unwrap_or_else(|| protocol.usual_port())).speaking(protocol);
    let transport = context.invocation.transport(&settings(context));
    let prober = Prober::new(&transport, &ResolverSettings::default(), ProbeLimits::default())?;
    let asked = names_set_by_the_owner(context, &endpoint);
    let asked = if asked.is_empty() { vec![name.to_owned()] } else { asked };
    let looks = async {
        let mut answers = Vec::new();
        for asked in &asked {
            answers.extend(prober.look(&endpoint, asked, None, context.now).await);
        }
        Ok(answers)
    };
    let answers = runtime::ask(looks)?;
    let mut found: Vec<Inspected> = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    for Answer { address, observed, unreadable, .. } in answers {
        let shown = address.map(|address| address.to_string()).filter(|address| address != source);
        match observed {
            Err(why) => {
                let problem = shown.map_or_else(|| why.clone(), |shown| format!("{shown}: {why}"));
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            Ok(observed) => {
                let one = inspected(context, source, &endpoint, &observed, unreadable);
                match found.iter_mut().find(|other| other.certificates == one.certificates) {
                    Some(same) => {
                        same.addresses.extend(one.addresses);
                        same.served.extend(one.served);
                        same.problems.extend(one.problems);
                    }
                    None => found.push(one),
                }
            }
        }
    }
    match found.first_mut() {
        Some(first) => first.problems.extend(problems),
        None => found.push(Inspected { source: source.to_owned(), problems, ..Inspected::default() }),
    }
    Ok(found)
}

/// What the owner said has to be asked for there: an address behind which several names are served shows the wrong one
/// otherwise.
fn names_set_by_the_owner(context: &Context<'_>, endpoint: &Endpoint) -> Vec<String> {
    let Ok(store) = context.store() else { return Vec::new() };
    let (Ok(lineages), all) = (store.lineages(), settings(context)) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for lineage in lineages.filter_map(Result::ok) {
        let Ok(own) = store.lineage_settings(&all, lineage.name()) else { continue };
        let identifiers = lineage.certificate().ok().and_then(|live| live.identifiers().ok()).unwrap_or_default();
        for set in own.endpoints.iter().map(|set| &set.value) {
            let is_there = (&set.host, set.port, set.protocol) == (&endpoint.host, endpoint.port, endpoint.protocol);
            let asked = set.asked_name(&identifiers);
            if is_there && !names.contains(&asked) {
                names.push(asked);
            }
        }
    }
    names
}

fn inspected(
    context: &Context<'_>,
    source: &str,
    endpoint: &Endpoint,
    observed: &Observed,
    unreadable: Vec<String>,
) -> Inspected {
    let leaf = observed.certificates.first();
    let mut verdict = observed.trust.clone().map_err(|distrust| distrust.why);
    if let (Ok(()), Some(leaf)) = (&verdict, leaf)
        && !leaf.covers(&observed.asked)
    {
        verdict = Err(format!("it is not for {}", escape(&observed.asked)));
    }
    let mut served = Vec::new();
    if observed.asked != endpoint.host {
        served.push(format!("Asked for {}, as the settings of the store say", escape(&observed.asked)));
    }
    if let (Ok(()), Err(later)) = (&observed.trust, &observed.trust_at_not_after) {
        served.push(format!("A client that checks will refuse it before it ends: {}", later.why));
    }
    if let (Some(leaf), Some(other)) = (leaf, &observed.without_name)
        && leaf != other
    {
        let names: Vec<String> = other.listed_names().iter().map(|name| escape(name).into_owned()).collect();
        let serial = other.serial().openssl_hex();
        served.push(format!(
            "{} sends another certificate without a name (SNI): serial {serial}, for {}",
            observed.address,
            names.join(", ")
        ));
    }
    served.extend(leaf.map(|leaf| against_the_store(context, endpoint, observed, leaf)).unwrap_or_default());
    Inspected {
        source: source.to_owned(),
        certificates: observed.certificates.clone(),
        addresses: vec![observed.address.to_string()],
        verdict: Some(verdict),
        served,
        problems: unreadable,
        ..Inspected::default()
    }
}

/// A line for each certificate of the store that is for the same names. Who may not read the store is told nothing of it.
fn against_the_store(
    context: &Context<'_>,
    endpoint: &Endpoint,
    observed: &Observed,
    leaf: &Certificate,
) -> Vec<String> {
    let Ok(store) = context.store() else { return Vec::new() };
    let served = leaf.identifiers().unwrap_or_default();
    let mut lines = Vec::new();
    for (name, stored) in related(&store, endpoint, &served) {
        let memory = compare(observed, &stored, context.now);
        let mut line = format!("Certificate {name} of the store: {}", memory.words(endpoint, stored.live));
        for trouble in memory.further_troubles() {
            line.push_str(&format!("; {}", trouble.what()));
        }
        lines.push(line);
        if let Some(trouble) = memory.troubles.iter().find(|trouble| !trouble.is_harmless()) {
            lines.push(format!("What to do: {}.", crate::render::words::cure_for(trouble.cure(), name.as_str())));
        }
    }
    lines
}

/// The lineages that are for this host, or for a name of what was served, with all their versions.
fn related(store: &Store, endpoint: &Endpoint, served: &IdentifierSet) -> Vec<(LineageName, StoredVersions)> {
    let Ok(lineages) = store.lineages() else { return Vec::new() };
    let is_related = |lineage: &Lineage| {
        lineage.certificate().is_ok_and(|live| {
            live.covers(&endpoint.host)
                || live.identifiers().is_ok_and(|names| names.iter().any(|name| served.contains(name)))
        })
    };
    let versions = |lineage: &Lineage| {
        let all = lineage.versions().ok()?;
        let chains = all.keys().filter_map(|version| Some((*version, lineage.read_chain(*version).ok()?)));
        let stored = StoredVersions::new(lineage.live_version(), chains.collect());
        Some((lineage.name().clone(), stored.issued_by(issuer_kind(store, lineage))))
    };
    lineages.filter_map(Result::ok).filter(|one| is_related(one)).filter_map(|one| versions(&one)).collect()
}
