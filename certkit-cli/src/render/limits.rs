//! What is left of the CAs' limits, and how far a first run of many certificates is spread by them.

use std::collections::BTreeMap;

use certkit_acme::renewal::PUBLIC_SUFFIX_LIST;
use certkit_core::decision::limits::{self, AuthorityLimits, Limit, LimitKind};
use certkit_core::state::{OrderScope, Refusal};
use certkit_core::{AcmeUrl, HeldBy, LineageName, Step, escape};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::lines::wrapped;
use super::screen::thousands;
use super::{json_time, time, words};
use crate::commands::{Foreseen, Foresight};

/// A screen has room for other things, too.
const MOST_LINES: usize = 12;

/// What is left of one limit.
struct Left {
    limit: Limit,
    /// For what: an account, a domain, a name, a certificate.
    subject: String,
    left: u32,
}

/// A CA with what is left of each of its limits.
type OfAuthority = (&'static AuthorityLimits, BTreeMap<(LimitKind, String), Left>);

/// When the last of many certificates is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// How many are due.
    pub(crate) due: usize,
    /// How many of them are ordered at the next run.
    pub(crate) now: usize,
    /// When the last one is ordered, at the earliest (UTC).
    pub(crate) last_at: DateTime<Utc>,
    /// The limit that takes longest.
    pub(crate) by: LimitKind,
}

/// The text about limits; empty where everything is left.
pub(crate) fn text(foresight: &Foresight) -> String {
    let mut text = String::new();
    if let Some(spread) = spread(foresight) {
        text.push('\n');
        text.push_str(&wrapped("", &spread_words(&spread), 0));
    }
    for (known, all) in scarce(foresight) {
        let name =
            AcmeUrl::parse(known.directory).map_or_else(|_| known.directory.to_owned(), |url| words::authority(&url));
        let heading = format!(
            "What is left of the limits of {name} ({}, as of {}), where it is less than all:",
            known.source, known.checked
        );
        text.push('\n');
        text.push_str(&wrapped("", &heading, 0));
        for one in all.iter().take(MOST_LINES) {
            let line = format!(
                "{} of {} {} in {}: {}",
                one.left,
                one.limit.count,
                one.limit.kind.words(),
                window(&one.limit),
                escape(&one.subject)
            );
            text.push_str(&wrapped("  ", &line, 4));
        }
        if all.len() > MOST_LINES {
            text.push_str(&format!("  and {} more (--json lists all)\n", all.len() - MOST_LINES));
        }
        if all.iter().any(|one| one.limit.kind == LimitKind::CertificatesPerRegisteredDomain) {
            text.push_str(&format!("  Registered domains by the public suffix list: {PUBLIC_SUFFIX_LIST}.\n"));
        }
    }
    text
}

/// The same for machines: one entry for each CA.
pub(crate) fn json(foresight: &Foresight) -> Value {
    scarce(foresight)
        .into_iter()
        .map(|(known, all)| {
            json!({
                "directory": known.directory,
                "source": known.source,
                "checked": known.checked,
                "public_suffix_list": PUBLIC_SUFFIX_LIST,
                "left": all.iter().map(|one| json!({
                    "limit": one.limit.kind.code(),
                    "subject": one.subject,
                    "left": one.left,
                    "count": one.limit.count,
                    "window_seconds": one.limit.window_seconds,
                })).collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// The spread for machines.
pub(crate) fn spread_json(foresight: &Foresight) -> Option<Value> {
    let spread = spread(foresight)?;
    Some(json!({
        "due": spread.due,
        "now": spread.now,
        "last_at": json_time(spread.last_at),
        "by": spread.by.code(),
    }))
}

/// Where and when a limit was read, for a CA whose limits are known.
pub(crate) fn dated(directory: Option<&AcmeUrl>) -> Option<&'static AuthorityLimits> {
    let directory = directory?;
    limits::KNOWN.iter().find(|known| known.directory == directory.as_str())
}

fn spread_words(spread: &Spread) -> String {
    let now = match spread.now {
        0 => "none can be ordered now".to_owned(),
        1 => "1 can be ordered now".to_owned(),
        many => format!("{} can be ordered now", thousands(many)),
    };
    format!(
        "{} certificates are due; {now}, and the CA's limit of {} spreads the rest: the last of {} is ordered at {}.",
        thousands(spread.due),
        spread.by.words(),
        thousands(spread.due),
        time(spread.last_at)
    )
}

/// What is used up in part, the scarcest first, by CA.
fn scarce(foresight: &Foresight) -> Vec<(&'static AuthorityLimits, Vec<Left>)> {
    let mut by_authority: BTreeMap<&'static str, OfAuthority> = BTreeMap::new();
    for one in foresight.certificates() {
        for scope in &one.input.authorities {
            let Some(known) = dated(Some(&scope.directory)) else { continue };
            for (limit, subject, left) in foresight.survey.outlook.ledger.headroom(scope, foresight.survey.now) {
                if left < limit.count {
                    let subject = subject_of(&one.input.name, scope, limit, subject);
                    let (_, all) = by_authority.entry(known.directory).or_insert_with(|| (known, BTreeMap::new()));
                    all.insert((limit.kind, subject.clone()), Left { limit, subject, left });
                }
            }
        }
    }
    by_authority
        .into_values()
        .map(|(known, all)| {
            let mut all: Vec<Left> = all.into_values().collect();
            all.sort_by_key(|one| u64::from(one.left) * 1000 / u64::from(one.limit.count.max(1)));
            (known, all)
        })
        .collect()
}

/// "This account" and "these names" say nothing in a list of many certificates.
fn subject_of(name: &LineageName, scope: &OrderScope, limit: Limit, subject: String) -> String {
    match limit.kind {
        LimitKind::NewOrdersPerAccount if !scope.account.is_empty() => format!("account {}", scope.account),
        LimitKind::CertificatesPerExactSet => name.to_string(),
        _ => subject,
    }
}

/// How the limits spread what is due. Each limit by itself gives back one order after another; what takes longest is last.
pub(crate) fn spread(foresight: &Foresight) -> Option<Spread> {
    let now = foresight.survey.now;
    let mut buckets: BTreeMap<(String, LimitKind, String), (Limit, u32, u32)> = BTreeMap::new();
    let (mut due, mut at_once) = (0, 0);
    for Foreseen { entry, input } in foresight.certificates() {
        let (scope, kind) = match &entry.step {
            Step::Attempt { directory, kind, .. } => {
                at_once += 1;
                (input.authorities.iter().find(|scope| Some(&scope.directory) == directory.as_ref()), *kind)
            }
            Step::Held { by: HeldBy::Refusal(Refusal::Limit { .. }), .. } => {
                let Some(scope) = input.authorities.first() else { continue };
                (Some(scope), input.order_kind(scope, now))
            }
            _ => continue,
        };
        due += 1;
        let Some(scope) = scope else { continue };
        for (limit, subject, left) in foresight.survey.outlook.ledger.headroom(scope, now) {
            if limit.counts(kind) && limit.kind != LimitKind::FailedAuthorizationsPerIdentifier {
                let subject = subject_of(&input.name, scope, limit, subject);
                let bucket = (scope.directory.to_string(), limit.kind, subject);
                buckets.entry(bucket).or_insert((limit, left, 0)).2 += 1;
            }
        }
    }
    let last = buckets
        .into_iter()
        .map(|((_, kind, _), (limit, left, orders))| (free_at(&limit, left, orders, now), kind))
        .max()?;
    (due > 1 && last.0 > now).then_some(Spread { due, now: at_once, last_at: last.0, by: last.1 })
}

/// When so many orders have been let through.
fn free_at(limit: &Limit, left: u32, orders: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let waiting = i64::from(orders.saturating_sub(left));
    let each = limit.window_seconds / i64::from(limit.count.max(1));
    TimeDelta::try_seconds(each.saturating_mul(waiting))
        .and_then(|wait| now.checked_add_signed(wait))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(crate) fn window(limit: &Limit) -> String {
    match limit.window_seconds / 86_400 {
        0 => format!("{} h", limit.window_seconds / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::*;

    /// So many certificates that there never were, each below a domain of its own unless one is named.
    fn first_run(count: usize, domain: Option<&str>) -> Foresight {
        let inputs = (0..count).map(|number| {
            let own = format!("d{number}.example");
            let mut input = certificate(&format!("n{number}.example"), 90);
            input.validity = None;
            input.authorities = vec![scope(&format!("n{number}.example"), domain.unwrap_or(&own))];
            input
        });
        foresight(inputs.collect(), Default::default())
    }

    #[test]
    fn a_large_first_run_is_told_until_when_it_is_spread() {
        let foresight = first_run(2000, None);
        let spread = spread(&foresight).unwrap();
        assert_eq!((spread.due, spread.now, spread.by), (2000, 300, LimitKind::NewOrdersPerAccount));
        // 300 at once, then one every 36 seconds.
        assert_eq!(spread.last_at, now() + TimeDelta::seconds(1700 * 36));
        let shown = text(&foresight);
        let expected = "\n2,000 certificates are due; 300 can be ordered now, and the CA's limit of orders\nper account spreads the rest: the last of 2,000 is ordered at 2027-01-16\n01:00:00 UTC.\n";
        assert_eq!(shown, expected);
        assert_eq!(spread_json(&foresight).unwrap()["by"], "new-orders-per-account");
    }

    #[test]
    fn one_domain_takes_longest() {
        let spread = spread(&first_run(100, Some("example.org"))).unwrap();
        assert_eq!(spread.by, LimitKind::CertificatesPerRegisteredDomain);
        assert_eq!(spread.last_at, now() + TimeDelta::seconds(50 * 7 * 86_400 / 50));
        assert_eq!(super::spread(&first_run(50, Some("example.org"))), None, "it is done at once");
    }

    #[test]
    fn renewals_that_are_exempt_are_not_spread() {
        let inputs = (0..1000).map(|number| certificate(&format!("n{number}.example"), 20));
        assert_eq!(spread(&foresight(inputs.collect(), Default::default())), None);
    }
}
