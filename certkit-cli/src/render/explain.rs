//! What is wrong with a certificate in words, with its cure: the same for the status and for the page, in core's words.

use certkit_core::state::Serving;
use certkit_core::{Condition, Step, Summary, escape};

use super::{time, words};

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
    Some((broken.reason.clone(), words::condition_cure(summary, Condition::Broken)?))
}

fn one(summary: &Summary, condition: Condition, reader: Reader) -> Option<(String, Option<String>)> {
    let name = &summary.name;
    let state = summary.state();
    let what = match condition {
        Condition::Broken | Condition::Settings => match broken(summary) {
            Some((reason, _)) => escape(&reason).into_owned(),
            None => words::DAMAGED.to_owned(),
        },
        Condition::Expired => {
            let ended = summary.validity.map(|validity| time(validity.not_after)).unwrap_or_default();
            format!("it expired on {ended}")
        }
        Condition::Revoked => words::revoked(state.and_then(|state| state.revocation.as_ref()?.revoked_since)),
        Condition::NotYetValid => words::not_yet_valid(summary.validity?),
        Condition::NotServed => not_served(summary),
        Condition::Failing => {
            let failure = state?.last_failure.as_ref()?;
            let again = match &summary.entry()?.step {
                Step::Held { until, .. } => format!("; it is tried again from {} on", time(*until)),
                _ => String::new(),
            };
            let what = format!("the attempt of {} failed: {}{again}", time(failure.at), words::remembered(failure));
            return Some((what, Some(words::remembered_cure(failure, name))));
        }
        Condition::Overdue => {
            let since = summary.renewal_at().map(time)?;
            format!("it is due since {since} and nobody tried to renew it")
        }
        Condition::DeployPending => {
            let target = match reader {
                Reader::Owner => words::deploy_target,
                Reader::Page => words::deploy_target_in_public,
            };
            words::deploy_pending(&state?.deploy_pending, target)
        }
        Condition::Waiting => match &summary.entry()?.step {
            Step::Held { until, by, .. } => {
                let cure = words::held_cure(by, name);
                let cure = (!cure.starts_with("nothing to do")).then_some(cure);
                return Some((format!("it waits until {}: {}", time(*until), words::held_by(by)), cure));
            }
            _ => return None,
        },
        _ => return None,
    };
    Some((what, words::condition_cure(summary, condition)))
}

/// Which addresses serve what else.
fn not_served(summary: &Summary) -> String {
    let mut served = summary.state().map(|state| words::served_elsewise(&state.served)).unwrap_or_default();
    let more = served.len().saturating_sub(MOST_ADDRESSES);
    served.truncate(MOST_ADDRESSES);
    if more > 0 {
        served.push(format!("{more} more"));
    }
    if served.is_empty() { "something else is served".to_owned() } else { served.join("; ") }
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
