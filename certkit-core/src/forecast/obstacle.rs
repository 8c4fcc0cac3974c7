//! What is too slow for certificates of a shorter lifetime.

use chrono::{DateTime, TimeDelta, Utc};

use crate::decision::{DueFacts, DueReason, due, parse_interval};
use crate::{FindingCode, Outlook, PlanInput, Validity};

/// Something here that does not fit certificates of a lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// certkit is run too rarely.
    RunTooRarely {
        /// From one run to the next.
        every: TimeDelta,
    },
    /// Something that renews by itself (a line for cron, for example) comes too rarely.
    RenewerTooRare {
        /// What it is, escaped.
        what: String,
        /// From one run to the next, at most.
        every: TimeDelta,
    },
    /// `renew_before_expiry` is as long as the lifetime, and does not count any more.
    DaysWithoutEffect {
        /// The setting as written, escaped.
        setting: String,
    },
    /// `renew_before_expiry` leaves so little of the lifetime that the certificate is renewed all the time.
    DaysTooMany {
        /// The setting as written, escaped.
        setting: String,
        /// From one renewal to the next.
        every: TimeDelta,
    },
    /// A hook may take so long that little is left for putting right what fails.
    HookTooSlow {
        /// The time limit of hooks.
        limit: TimeDelta,
    },
}

/// Whoever renews with more than this part of the lifetime left does it more often than needed.
const MOST_OF_LIFETIME_LEFT: i32 = 2;

/// What of a lineage's own settings, and of how often certkit is run, does not fit a certificate of this lifetime.
pub fn obstacles(input: &PlanInput, outlook: &Outlook, lifetime: TimeDelta) -> Vec<Obstacle> {
    let mut all = Vec::new();
    if input.wish.never {
        return all;
    }
    // Any time will do: what counts is how long things take.
    let not_before = DateTime::<Utc>::UNIX_EPOCH;
    let Some(not_after) = not_before.checked_add_signed(lifetime) else { return all };
    let mut wish = input.wish.clone();
    wish.now = None;
    let mut facts = DueFacts::new(input.name.as_str(), Validity { not_before, not_after }, &wish, input.seed);
    facts.cadence = outlook.cadence;
    // The run before it is due is the one that may find that the next one is too late.
    let at = due(&facts, not_before).at.unwrap_or(not_after);
    let decision = due(&facts, at - TimeDelta::seconds(1));
    let found = |code: FindingCode| decision.findings.iter().any(|finding| finding.code == code);
    if found(FindingCode::RunTooRarely) {
        all.push(Obstacle::RunTooRarely { every: outlook.cadence.interval });
    }
    let setting = || crate::escape(wish.renew_before_expiry.as_deref().unwrap_or_default()).into_owned();
    if found(FindingCode::RenewBeforeExpiryTooLong) {
        all.push(Obstacle::DaysWithoutEffect { setting: setting() });
    } else if decision.reason == DueReason::RenewBeforeExpiry
        && wish
            .renew_before_expiry
            .as_deref()
            .and_then(|text| parse_interval(text).ok())
            .is_some_and(|left| left > lifetime / MOST_OF_LIFETIME_LEFT)
    {
        all.push(Obstacle::DaysTooMany { setting: setting(), every: at - not_before });
    }
    all
}

impl Obstacle {
    /// A renewer that comes so often, when that is too rare: of the time from the instant at which a certificate is due to
    /// its end two runs have to get their share, since one may fail.
    pub fn of_renewer(what: &str, every: TimeDelta, lifetime: TimeDelta) -> Option<Self> {
        let is_rare = every.checked_mul(2).is_none_or(|two| two > left_when_due(lifetime));
        is_rare.then(|| Self::RenewerTooRare { what: crate::escape(what).into_owned(), every })
    }

    /// A time limit for hooks that takes more than a quarter of the time from the instant at which a certificate is due to
    /// its end.
    pub fn of_hook(limit: TimeDelta, lifetime: TimeDelta) -> Option<Self> {
        (limit > left_when_due(lifetime) / 4).then_some(Self::HookTooSlow { limit })
    }

    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RunTooRarely { .. } => "run-too-rarely",
            Self::RenewerTooRare { .. } => "renewer-too-rare",
            Self::DaysWithoutEffect { .. } => "renew-before-expiry-without-effect",
            Self::DaysTooMany { .. } => "renew-before-expiry-too-long",
            Self::HookTooSlow { .. } => "hook-too-slow",
        }
    }

    /// What is wrong, in a sentence without a full stop.
    pub fn what(&self) -> String {
        match self {
            Self::RunTooRarely { every } => {
                format!("certkit is run every {}, which is too rare for that", in_words(*every))
            }
            Self::RenewerTooRare { what, every } => {
                format!("{what} comes only every {}, which leaves no second try", in_words(*every))
            }
            Self::DaysWithoutEffect { setting } => {
                format!("renew_before_expiry = {setting} is as long as the lifetime, so it does not count any more")
            }
            Self::DaysTooMany { setting, every } => {
                format!("renew_before_expiry = {setting} makes it be renewed every {}", in_words(*every))
            }
            Self::HookTooSlow { limit } => {
                format!(
                    "a hook may take {} (hook_time_limit), which leaves little time when it fails",
                    in_words(*limit)
                )
            }
        }
    }

    /// What to do about it, without a full stop.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::RunTooRarely { .. } | Self::RenewerTooRare { .. } => {
                "run certkit several times a day: `certkit timer install`"
            }
            Self::DaysWithoutEffect { .. } | Self::DaysTooMany { .. } => {
                "take renew_before_expiry out of the renewal configuration: without it a part of the lifetime counts, however long that is"
            }
            Self::HookTooSlow { .. } => "set a smaller hook_time_limit in certkit/settings.toml",
        }
    }
}

/// What is left of a certificate when it is due by the rule of the lifetime.
fn left_when_due(lifetime: TimeDelta) -> TimeDelta {
    let validity = Validity {
        not_before: DateTime::<Utc>::UNIX_EPOCH,
        not_after: DateTime::<Utc>::UNIX_EPOCH.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC),
    };
    validity.not_after - crate::decision::usual(validity).0
}

/// A length of time for people.
fn in_words(length: TimeDelta) -> String {
    let count = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match (length.num_days(), length.num_hours()) {
        (days @ 2.., _) => count(days, "day"),
        (_, hours @ 1..) => count(hours, "hour"),
        _ => count(length.num_minutes(), "minute"),
    }
}
