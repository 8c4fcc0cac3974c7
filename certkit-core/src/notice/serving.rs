//! Whether a certificate gets to whoever has to have it: deployed, and served.

use chrono::{DateTime, Utc};

use super::alarm::{Alarm, Cause, Verdict};
use super::band::{Band, grace, later, predecessor, usually_due};
use super::{NoticeKind, NoticeLevel};
use crate::state::{
    AddressMemory, DeployTarget, EndpointMemory, LineageState, PendingDeploy, ServedLeaf, ServedTrouble, Serving, Stage,
};
use crate::words::{cure_for, deploy_pending, deploy_target, minute, pending_targets, shell_word};
use crate::{EndpointSource, FindingCode, Outlook, Summary, Validity};

/// A target that failed so often has failed in two runs: one failure may be gone at the next.
const FAILURES_THAT_LAST: u32 = 2;

/// A server that was not reached so often in a row is not about to be back: four looks of a timer every six hours are a day,
/// and a daemon, which looks again after 1, 10, 60, 60 minutes, has waited for two hours.
const LOOKS_THAT_LAST: u32 = 5;

/// What is said at `now` of where a certificate is deployed and served.
pub(super) fn serving(summary: &Summary, outlook: &Outlook, now: DateTime<Utc>) -> Verdict {
    let (Some(state), Some(validity)) = (summary.state(), summary.validity) else { return Verdict::Well };
    let counting = || state.served.iter().filter(|one| one.counts());
    let serves = Serving::of(&state.served);
    let before = committed(state).map(|at| predecessor(validity, at));
    // What serves the version in use is not in danger, whatever else is pending.
    let danger = before.map(|before| Band::of(before, now).level()).filter(|_| serves != Serving::Matches);
    let danger = danger.unwrap_or(NoticeLevel::Warning);
    let ends = before.filter(|_| serves != Serving::Matches).or(Some(validity));
    if serves == Serving::Differs {
        let over = counting().filter(|one| one.serving() == Serving::Differs).flat_map(|one| &one.answers);
        let is_over = over.into_iter().any(|answer| answer.troubles.contains(&ServedTrouble::Expired));
        let level = if is_over { NoticeLevel::Emergency } else { NoticeLevel::Critical.max(danger) };
        return said(NoticeKind::NotServed, level, of_differing(summary, state), ends);
    }
    if !state.deploy_pending.is_empty() {
        return match lasts(state, validity, outlook, now) {
            true => said(NoticeKind::DeployPending, danger, of_pending(summary, &state.deploy_pending), ends),
            false => Verdict::Smoulders,
        };
    }
    let refused: Vec<&EndpointMemory> = counting().filter(|one| !refusals(one).is_empty()).collect();
    if !refused.is_empty() {
        let level = refused.iter().flat_map(|one| refusals(one)).map(urgency).max().unwrap_or(NoticeLevel::Warning);
        return said(NoticeKind::ServedBadly, level, of_refused(summary, &refused), Some(validity));
    }
    // Only where the owner said that it has to be served: a name's port 443 may have moved elsewhere.
    let is_silent = |one: &&EndpointMemory| {
        one.endpoint.source == EndpointSource::Settings
            && one.serving() == Serving::Unreachable
            && one.misses >= LOOKS_THAT_LAST
    };
    let silent: Vec<&EndpointMemory> = counting().filter(is_silent).collect();
    if let Some(first) = silent.first() {
        return said(NoticeKind::Unreachable, NoticeLevel::Warning, of_silent(first, &silent), Some(validity));
    }
    // What cannot be reached now may still serve what was told of it.
    if counting().any(|one| one.serving() != Serving::Matches) { Verdict::Smoulders } else { Verdict::Well }
}

/// What is served where, for people, escaped: a line for each address.
pub(super) fn served_words(summary: &Summary) -> Vec<String> {
    let Some(state) = summary.state() else { return Vec::new() };
    state.served.iter().flat_map(|one| one.answers.iter().map(|answer| words(one, answer))).collect()
}

fn said(kind: NoticeKind, level: NoticeLevel, cause: Cause, ends: Option<Validity>) -> Verdict {
    Verdict::Alarm(Box::new(Alarm::new(kind, level, cause, ends)))
}

/// When the version in use went live.
fn committed(state: &LineageState) -> Option<DateTime<Utc>> {
    match &state.stage {
        Stage::Committed { since, .. } => Some(*since),
        _ => state.last_success,
    }
}

/// A target that failed once may do it at the next run. One that nobody has tried for as long as a renewal may be late is
/// forgotten by whoever should run certkit.
fn lasts(state: &LineageState, validity: Validity, outlook: &Outlook, now: DateTime<Utc>) -> bool {
    let patience = grace(validity, usually_due(validity), outlook.cadence);
    state.deploy_pending.iter().any(|one| one.failures >= FAILURES_THAT_LAST)
        || committed(state).is_some_and(|at| now >= later(at, patience))
}

/// For what clients refuse the version in use where it is served.
fn refusals(endpoint: &EndpointMemory) -> Vec<ServedTrouble> {
    let same = endpoint.answers.iter().filter(|answer| answer.leaf == ServedLeaf::Same);
    let mut all: Vec<ServedTrouble> = same.flat_map(|answer| answer.told_troubles()).collect();
    all.sort();
    all.dedup();
    all
}

/// Where clients fail now it is as bad as another certificate would be.
fn urgency(trouble: ServedTrouble) -> NoticeLevel {
    match trouble {
        ServedTrouble::Expired => NoticeLevel::Emergency,
        other if other.breaks_clients() => NoticeLevel::Critical,
        _ => NoticeLevel::Warning,
    }
}

fn of_differing(summary: &Summary, state: &LineageState) -> Cause {
    let name = shell_word(&summary.name);
    let differing = || state.served.iter().filter(|one| one.counts() && one.serving() == Serving::Differs);
    let places: Vec<String> = differing().map(|one| one.endpoint.to_string()).collect();
    let pending = &state.deploy_pending;
    let (words, cure, command) = match pending.is_empty() {
        false => (
            format!(
                "another certificate than the one in use is served at {}; {}",
                in_short(&places),
                pending_targets(pending, deploy_target)
            ),
            "put right why the deploy fails, then deploy it again".to_owned(),
            format!("certkit deploy --cert-name {name}"),
        ),
        true => (not_served_words(state), not_served_cure(summary, &name), not_served_command(summary, state, &name)),
    };
    let mut cause = Cause::new("not-served", words, cure, command);
    cause.key = key_of(pending, &format!("not-served:{}", summary.name));
    for place in places {
        cause = cause.and(&format!("not-served:{place}"));
    }
    cause
}

/// Which address still serves what, and since when that is wrong.
fn not_served_words(state: &LineageState) -> String {
    let lines = state.not_served();
    let since = committed(state).map(|at| format!(" (in use since {})", minute(at))).unwrap_or_default();
    match lines.as_slice() {
        [] => "another certificate than the one in use is served".to_owned(),
        [first] => format!("{first}{since}"),
        [first, second] => format!("{first}{since}; {second}"),
        [first, rest @ ..] => format!("{first}{since}; {} more addresses do not serve it either", rest.len()),
    }
}

fn not_served_cure(summary: &Summary, name: &str) -> String {
    if !summary.targets.iter().any(runs_something) {
        return cure_for(FindingCode::NotServed.cure(), name);
    }
    let cure = "what runs after a renewal did not make the server read its certificate again: reload it, see that it uses the files of live/NAME, and put right what runs";
    cure_for(cure, name)
}

/// What certkit itself can do comes first; else what shows more of it.
fn not_served_command(summary: &Summary, state: &LineageState, name: &str) -> String {
    let counting = || state.served.iter().filter(|one| one.counts());
    let is_older =
        |one: &&EndpointMemory| one.answers.iter().any(|answer| matches!(answer.leaf, ServedLeaf::Older { .. }));
    let is_foreign = |one: &&EndpointMemory| one.answers.iter().any(|answer| answer.leaf == ServedLeaf::Foreign);
    match counting().find(is_foreign) {
        _ if counting().any(|one| is_older(&one)) && summary.targets.iter().any(runs_something) => {
            format!("certkit deploy --cert-name {name}")
        }
        Some(foreign) => foreign.endpoint.inspect_command(),
        None => format!("certkit doctor --cert-name {name}"),
    }
}

/// Files alone make no server read them.
fn runs_something(target: &DeployTarget) -> bool {
    !matches!(target, DeployTarget::Combined(_) | DeployTarget::Copy(_) | DeployTarget::Der(_))
}

fn of_pending(summary: &Summary, pending: &[PendingDeploy]) -> Cause {
    let name = shell_word(&summary.name);
    let mut cause = Cause::new(
        "deploy-pending",
        deploy_pending(pending, deploy_target),
        cure_for(FindingCode::DeployPending.cure(), &name),
        format!("certkit deploy --cert-name {name}"),
    );
    cause.key = key_of(pending, "deploy-pending");
    for one in pending {
        cause = cause.and(&format!("deploy:{}", deploy_target(&one.target)));
    }
    cause
}

fn of_refused(summary: &Summary, refused: &[&EndpointMemory]) -> Cause {
    let mut all: Vec<ServedTrouble> = refused.iter().flat_map(|one| refusals(one)).collect();
    all.sort();
    all.dedup();
    let troubles: Vec<&str> = all.iter().map(|trouble| trouble.what()).collect();
    let places: Vec<String> = refused.iter().map(|one| one.endpoint.to_string()).collect();
    let mut cause = Cause::new(
        "served-badly",
        format!("it is served at {}, but {}", in_short(&places), troubles.join(" and ")),
        cure_for(all.first().map_or("", |trouble| trouble.cure()), &shell_word(&summary.name)),
        format!("certkit doctor --cert-name {}", shell_word(&summary.name)),
    );
    for one in refused {
        for trouble in refusals(one) {
            cause = cause.and(&format!("served-badly:{}:{}", trouble.code(), one.endpoint));
        }
    }
    cause
}

fn of_silent(first: &EndpointMemory, silent: &[&EndpointMemory]) -> Cause {
    let places: Vec<String> = silent.iter().map(|one| one.endpoint.to_string()).collect();
    let detail = first.answers.iter().map(|answer| answer.detail.as_str()).find(|detail| !detail.is_empty());
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let words = format!("{} was not reached {} times in a row{detail}", in_short(&places), first.misses);
    let mut cause =
        Cause::new("unreachable", words, first.endpoint.unreachable_cure(), first.endpoint.inspect_command());
    for place in places {
        cause = cause.and(&format!("unreachable:{place}"));
    }
    cause
}

/// What failed for several certificates because of one command is told at once.
fn key_of(pending: &[PendingDeploy], otherwise: &str) -> String {
    pending.first().map_or_else(|| otherwise.to_owned(), |one| format!("deploy:{}", deploy_target(&one.target)))
}

fn in_short(places: &[String]) -> String {
    match places {
        [] => "no endpoint".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn words(endpoint: &EndpointMemory, answer: &AddressMemory) -> String {
    let troubles: String = answer.further_troubles().map(|trouble| format!("; {}", trouble.what())).collect();
    let counts = match endpoint.endpoint.source {
        EndpointSource::Default if !endpoint.counts() => " (does not count: it never served one of its versions)",
        _ => "",
    };
    format!("{}{troubles}{counts}", answer.words(&endpoint.endpoint, endpoint.compared_with))
}
