//! Whether a certificate gets renewed: one trouble from the first failure to the end of the certificate.

use chrono::{DateTime, TimeDelta, Utc};

use super::alarm::{Alarm, Cause, Verdict};
use super::band::{Band, grace, later, usually_due};
use super::cause::{needs_owner, of_failure, of_hold};
use super::{NoticeKind, NoticeLevel};
use crate::decision::DueReason;
use crate::state::{LineageState, Refusal, RememberedFailure};
use crate::words::{
    DAMAGED, NEVER_CURE, NOBODY_TRIES_CURE, broken_cure, cure_for, is_of_settings, not_yet_valid,
    revoked as revoked_words, shell_word, time,
};
use crate::{
    BrokenSummary, Condition, FailureClass, FindingCode, HeldBy, Hindrance, Outlook, PlanEntry, PlanInput, Step,
    Summary, Validity,
};

const LONGEST_LIMIT: TimeDelta = TimeDelta::days(7);
const LIMIT_OF_WHAT_IS_LEFT: i32 = 3;

/// What is said of a certificate's renewal at `now`.
pub(super) fn renewing(summary: &Summary, outlook: &Outlook, now: DateTime<Utc>) -> Verdict {
    let band = summary.validity.map_or(Band::Calm, |validity| Band::of(validity, now));
    if let Some(broken) = &summary.broken {
        return alarm(NoticeKind::Broken, NoticeLevel::Warning, band, of_broken(summary, broken), summary.validity);
    }
    let (Some(entry), Some(input)) = (summary.entry(), summary.input()) else { return Verdict::Well };
    let failure = input.state.last_failure.as_ref().filter(|_| is_due(entry));
    let cause = |otherwise: &dyn Fn() -> Cause| match (failure, held_by(entry)) {
        (Some(failure), held) => of_failure(failure, &summary.name, held),
        (None, Some(held)) => of_hold(held, &summary.name),
        (None, None) => otherwise(),
    };
    if entry.due.reason == DueReason::NoCertificate {
        // The next run replaces what cannot be used; until then a server that is started again does not come up.
        let cause = cause(&|| of_damage(summary)).and("damaged");
        return alarm(NoticeKind::Broken, NoticeLevel::Critical, band, cause, None);
    }
    let Some(validity) = summary.validity else { return Verdict::Well };
    if summary.conditions.contains(&Condition::NotYetValid) {
        return alarm(NoticeKind::Broken, NoticeLevel::Warning, Band::Calm, of_the_future(validity, summary), None);
    }
    let revoked = summary.conditions.contains(&Condition::Revoked);
    let late = is_late(validity, entry, input, outlook, failure, now);
    let explained = is_explained_by_a_limit(entry, failure) && !is_too_long_for_a_limit(validity, entry, now);
    let owner = failure.is_some_and(needs_owner);
    if !revoked && !owner && !band.is_over() && (!late || explained) {
        // Nothing that nothing renews can be well again without being renewed.
        return if is_due(entry) { Verdict::Smoulders } else { Verdict::Well };
    }
    let mut cause = cause(&|| of_silence(summary, entry, input, outlook, now));
    if revoked {
        cause = told_of_revocation(cause, &input.state, summary);
    }
    let kind = match (revoked, owner, input.wish.never) {
        (true, ..) => NoticeKind::Revoked,
        (_, _, true) => NoticeKind::Expiring,
        (_, true, _) => NoticeKind::RenewalFailed,
        _ => NoticeKind::Overdue,
    };
    let least = if revoked { NoticeLevel::Critical } else { NoticeLevel::Warning };
    alarm(kind, least, band, cause, Some(validity))
}

/// `kind` until the last eighth, where the end is what counts.
fn alarm(kind: NoticeKind, least: NoticeLevel, band: Band, cause: Cause, ends: Option<Validity>) -> Verdict {
    let kind = if band == Band::Calm || kind == NoticeKind::Revoked { kind } else { NoticeKind::Expiring };
    let cause = if band.is_over() { cause.and("expired") } else { cause };
    Verdict::Alarm(Box::new(Alarm::new(kind, least.max(band.level()), cause, ends)))
}

fn is_due(entry: &PlanEntry) -> bool {
    !matches!(entry.step, Step::NotDue { .. })
}

fn held_by(entry: &PlanEntry) -> Option<&HeldBy> {
    match &entry.step {
        Step::Held { by, .. } => Some(by),
        _ => None,
    }
}

/// Whether it is due for so long that it should have been renewed. A single attempt that failed a short while ago is waited
/// for to be followed by another one; but where nobody tries, because nobody runs certkit any more, time alone counts.
fn is_late(
    validity: Validity,
    entry: &PlanEntry,
    input: &PlanInput,
    outlook: &Outlook,
    failure: Option<&RememberedFailure>,
    now: DateTime<Utc>,
) -> bool {
    let due = if input.wish.never { Some(usually_due(validity)) } else { entry.due.at.filter(|_| is_due(entry)) };
    let Some(due) = due else { return false };
    let grace = grace(validity, due, outlook.cadence);
    let tried_once = failure.is_some_and(|failure| {
        failure.asked_the_ca && input.state.consecutive_failures < 2 && failure.at <= now && now - failure.at < grace
    });
    now >= later(due, if tried_once { grace * 2 } else { grace })
}

/// A limit of the CA that is waited for is known, and over by itself.
fn is_explained_by_a_limit(entry: &PlanEntry, failure: Option<&RememberedFailure>) -> bool {
    match held_by(entry) {
        Some(HeldBy::Refusal(Refusal::Limit { .. })) => true,
        Some(HeldBy::Refusal(Refusal::Hold(hold))) => hold.class == FailureClass::RateLimited,
        Some(HeldBy::Failure(failure)) => failure.class == FailureClass::RateLimited,
        Some(HeldBy::Refusal(Refusal::LoopGuard { .. })) => false,
        None => failure.is_some_and(|failure| failure.class == FailureClass::RateLimited),
    }
}

/// For how long a limit explains that a certificate is due: no limit that is known takes longer than a week to be filled
/// again (see [`crate::decision::limits`]), and of what is left when a short lifetime is due, a third is much.
fn is_too_long_for_a_limit(validity: Validity, entry: &PlanEntry, now: DateTime<Utc>) -> bool {
    let Some(due) = entry.due.at else { return true };
    let left = validity.remaining(due).max(TimeDelta::zero());
    now >= later(due, LONGEST_LIMIT.min(left / LIMIT_OF_WHAT_IS_LEFT))
}

fn of_broken(summary: &Summary, broken: &BrokenSummary) -> Cause {
    let name = shell_word(&summary.name);
    let (code, command) = match broken.by_settings || is_of_settings(&broken.reason) {
        true => ("settings", "certkit config check".to_owned()),
        false => ("broken", format!("certkit certificates --cert-name {name}")),
    };
    let cure = cure_for(broken_cure(&broken.reason, broken.hindrance), &name);
    let mut cause = Cause::new(code, crate::escape(&broken.reason), cure, command).and(&format!("{code}:reason"));
    // Each is broken in its own way, but for what cannot be read at all.
    if broken.hindrance != Some(Hindrance::Rights) {
        cause.key = format!("{code}:{}", summary.name);
    }
    cause
}

fn of_damage(summary: &Summary) -> Cause {
    let name = shell_word(&summary.name);
    Cause::new(
        "damaged",
        DAMAGED,
        cure_for(FindingCode::LiveVersionDamaged.cure(), &name),
        format!("certkit renew --cert-name {name}"),
    )
}

fn of_the_future(validity: Validity, summary: &Summary) -> Cause {
    Cause::new(
        "not-yet-valid",
        not_yet_valid(validity),
        FailureClass::Clock.cure(),
        format!("certkit doctor --cert-name {}", shell_word(&summary.name)),
    )
}

/// Nothing failed and nothing is waited for.
fn of_silence(summary: &Summary, entry: &PlanEntry, input: &PlanInput, outlook: &Outlook, now: DateTime<Utc>) -> Cause {
    let name = shell_word(&summary.name);
    if input.wish.never {
        return Cause::new(
            "autorenew-off",
            "the conf says autorenew = False, so nothing renews it",
            cure_for(NEVER_CURE, &name),
            format!("certkit renew --cert-name {name} --force-renewal"),
        );
    }
    let due = entry.due.at.unwrap_or(now);
    let tried = input.state.last_attempt.filter(|at| *at >= due);
    if let Some(at) = tried {
        return Cause::new(
            "no-result",
            format!("the attempt of {} had no result", time(at)),
            "look at what happened; it is tried again at each run",
            format!("certkit history --cert-name {name}"),
        );
    }
    let since = match outlook.ledger.runs().last() {
        Some(at) => format!("the last run of certkit was on {}", time(*at)),
        None => "no run of certkit is remembered".to_owned(),
    };
    let ran = outlook.ledger.runs().last().is_some_and(|at| *at >= due);
    let (code, command) = match ran {
        true => ("no-attempt", format!("certkit plan --cert-name {name}")),
        false => ("no-run", "certkit timer show".to_owned()),
    };
    Cause::new(
        code,
        format!("no renewal was tried since it became due, and {since}"),
        cure_for(NOBODY_TRIES_CURE, &name),
        command,
    )
}

fn told_of_revocation(cause: Cause, state: &LineageState, summary: &Summary) -> Cause {
    let name = shell_word(&summary.name);
    let since = state.revocation.as_ref().and_then(|known| known.revoked_since);
    let mut words = revoked_words(since);
    let (mut cure, mut command) = (cure_for(FindingCode::CertificateRevoked.cure(), &name), cause.command.clone());
    if state.last_failure.is_some() {
        words = format!("{words}; and its renewal fails: {}", cause.words);
        cure = cause.cure;
    } else {
        command = format!("certkit renew --cert-name {name} --force-renewal");
    }
    let mut revoked = Cause { words, cure, command, ..cause }.and("revoked");
    // That nobody has tried yet is no news beside it.
    revoked.codes.retain(|code| !matches!(code.as_str(), "no-run" | "no-attempt" | "no-result"));
    if state.last_failure.is_none() {
        revoked.key = "revoked".to_owned();
    }
    revoked
}
