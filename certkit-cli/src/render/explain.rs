//! What is wrong with a certificate in words, with its cure: the same for the status and for the page.

use certkit_core::state::{ServedLeaf, Serving};
use certkit_core::{Condition, FindingCode, Step, Summary, escape};

use super::{date, time, words};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// Which condition it is about.
    pub(crate) condition: Condition,
    /// What is wrong, a sentence without a full stop, escaped.
    pub(crate) what: String,
    /// What to do about it, without a full stop; none when there is nothing to do.
    pub(crate) cure: Option<String>,
}

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The owner, at his own terminal.
    Owner,
    /// Whoever may read a page: commands of hooks may hold passwords, and stay out of it.
    Page,
}

/// No more addresses than this are named.
const MOST_ADDRESSES: usize = 4;

/// All that is wrong, the worst first; nothing for what is well or simply due.
pub(crate) fn explain(summary: &Summary, reader: Reader) -> Vec<Explained> {
    let all = summary.conditions.iter().filter_map(|condition| {
        let (what, cure) = one(summary, *condition, reader)?;
        Some(Explained { condition: *condition, what, cure })
    });
    all.collect()
}

/// Why a certificate cannot be renewed as it stands (outside text, not escaped), and what to do about it.
pub(crate) fn broken(summary: &Summary) -> Option<(String, String)> {
    let broken = summary.broken.as_ref()?;
    Some((broken.reason.clone(), words::cure_for(broken.cure(), &summary.name)))
}

fn one(summary: &Summary, condition: Condition, reader: Reader) -> Option<(String, Option<String>)> {
    let name = &summary.name;
    let state = summary.state();
    match condition {
        Condition::Broken | Condition::Settings => Some(match broken(summary) {
            Some((reason, cure)) => (escape(&reason).into_owned(), Some(cure)),
            None => ("there is no certificate that can be used".to_owned(), Some(next_run(summary))),
        }),
        Condition::Expired => {
            let ended = summary.validity.map(|validity| time(validity.not_after)).unwrap_or_default();
            // Whatever keeps it from being renewed has its own words.
            let is_tried = state.is_some_and(|state| state.last_failure.is_none());
            Some((format!("it expired on {ended}"), is_tried.then(|| next_run(summary))))
        }
        Condition::Revoked => {
            let since = state.and_then(|state| state.revocation.as_ref()?.revoked_since);
            let when = since.map(|since| format!(" on {}", date(since))).unwrap_or_default();
            let cure = words::cure_for(FindingCode::CertificateRevoked.cure(), name);
            Some((format!("its CA revoked it{when}"), Some(cure)))
        }
        Condition::NotYetValid => {
            let begins = summary.validity.map(|validity| time(validity.not_before)).unwrap_or_default();
            let cure = "compare this machine's clock with the time (`timedatectl`); nothing else makes a certificate begin later";
            Some((format!("it is valid only from {begins} on"), Some(cure.to_owned())))
        }
        Condition::NotServed => Some((
            not_served(summary),
            Some(format!(
                "reload or restart what serves it there; `certkit deploy --cert-name {name}` runs what is to do it"
            )),
        )),
        Condition::Failing => {
            let failure = state?.last_failure.as_ref()?;
            let again = match &summary.entry()?.step {
                Step::Held { until, .. } => format!("; it is tried again from {} on", time(*until)),
                _ => String::new(),
            };
            let what = format!("the attempt of {} failed: {}{again}", time(failure.at), words::remembered(failure));
            Some((what, Some(words::remembered_cure(failure, name))))
        }
        Condition::Overdue => {
            let since = summary.renewal_at().map(time)?;
            Some((format!("it is due since {since} and nobody tried to renew it"), Some(next_run(summary))))
        }
        Condition::DeployPending => {
            let pending = state?.deploy_pending.first()?;
            let version = pending.version;
            let targets: Vec<String> = state?
                .deploy_pending
                .iter()
                .map(|pending| match reader {
                    Reader::Owner => words::deploy_target(&pending.target),
                    Reader::Page => words::deploy_target_in_public(&pending.target),
                })
                .collect();
            let what = format!("version {version} is in use and was not given to: {}", targets.join(", "));
            Some((what, Some(format!("`certkit deploy --cert-name {name}` does it and tells what goes wrong"))))
        }
        Condition::Waiting => match &summary.entry()?.step {
            Step::Held { until, by, .. } => {
                let cure = words::held_cure(by, name);
                let cure = (!cure.starts_with("nothing to do")).then_some(cure);
                Some((format!("it waits until {}: {}", time(*until), words::held_by(by)), cure))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What makes it be had.
fn next_run(summary: &Summary) -> String {
    let name = &summary.name;
    match summary.entry().map(|entry| &entry.step) {
        Some(Step::Attempt { .. } | Step::Held { .. }) => format!(
            "`certkit renew --cert-name {name}` renews it; `certkit timer install` lets it be renewed by itself"
        ),
        Some(Step::NotDue { until: None, .. }) => format!(
            "it is left out of renewals (autorenew = False); `certkit certonly --cert-name {name}` renews it, `certkit delete --cert-name {name}` removes it"
        ),
        _ => format!("`certkit plan --cert-name {name}` shows what comes of it"),
    }
}

/// Which addresses serve what else.
fn not_served(summary: &Summary) -> String {
    let endpoints = summary.state().into_iter().flat_map(|state| &state.served);
    let mut served = Vec::new();
    for endpoint in endpoints.filter(|one| one.counts() && one.serving() == Serving::Differs) {
        for answer in &endpoint.answers {
            let what = match answer.leaf {
                ServedLeaf::Older { version } => format!("version {version}"),
                ServedLeaf::Foreign => "another certificate".to_owned(),
                _ => continue,
            };
            let address = answer.address.map(|address| format!(" ({address})")).unwrap_or_default();
            served.push(format!("{}{address} serves {what}", endpoint.endpoint));
        }
    }
    let more = served.len().saturating_sub(MOST_ADDRESSES);
    served.truncate(MOST_ADDRESSES);
    if more > 0 {
        served.push(format!("{more} more"));
    }
    if served.is_empty() { "something else is served".to_owned() } else { served.join(", ") }
}

/// Whether the version in use is served, in a few words.
pub(crate) fn served(summary: &Summary) -> String {
    let count = summary.served();
    let other = count.older + count.foreign;
    match summary.serving() {
        Serving::Matches => "yes".to_owned(),
        Serving::Differs if count.foreign == 0 => format!("old at {other}"),
        Serving::Differs => format!("other at {other}"),
        Serving::Unreachable => "unreachable".to_owned(),
        _ => "unknown".to_owned(),
    }
}
