//! A certificate whose renewal fails now and then.

use std::error::Error;

use certkit_core::decision::RenewalWish;
use certkit_core::state::{DeployTarget, Event};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, Identifier, IdentifierFailure, IdentifierSet, LineageName, Outlook, PlanInput,
    Problem, Retry, Step, Summary, Validity, Version, decide,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::super::calendar::{DAY, HOUR, instant};
use super::super::random::Random;

/// 160 hours, and the lifetimes that are, come and were.
const LIFETIMES: [i64; 5] = [160 * HOUR, 45 * DAY, 64 * DAY, 90 * DAY, 199 * DAY];
/// One renewal in ten fails, and one deploy.
const FAILS: f64 = 0.1;
/// What fails for good is repaired by its owner so long after the end, in parts of the lifetime.
const REPAIRED_AFTER: f64 = 0.3;

pub(super) struct Lineage {
    pub(super) name: String,
    pub(super) lifetime: TimeDelta,
    pub(super) input: PlanInput,
    pub(super) names: IdentifierSet,
    directory: AcmeUrl,
    hook: DeployTarget,
    versions: u32,
    /// Whether it was decided if the renewal of the certificate in use fails.
    pub(super) decided: bool,
    /// Why the renewal of the certificate in use fails, or failed until it was renewed.
    pub(super) trouble: Option<Trouble>,
    /// Until when the hook fails for the version in use.
    pub(super) hook_fails: Option<DateTime<Utc>>,
}

pub(super) struct Trouble {
    pub(super) class: FailureClass,
    /// The CA's word about the names; empty when it is not about names.
    kind: &'static str,
    until: DateTime<Utc>,
    /// When it was met first.
    pub(super) since: DateTime<Utc>,
}

/// What fails: the class, and what the CA says of the names.
const TROUBLES: [(FailureClass, &str); 8] = [
    (FailureClass::ChallengeFailed, "dns"),
    (FailureClass::ChallengeFailed, "connection"),
    (FailureClass::IdentifierRefused, "caa"),
    (FailureClass::Network, ""),
    (FailureClass::ServerUnavailable, ""),
    (FailureClass::Store, ""),
    (FailureClass::Paused, ""),
    (FailureClass::RateLimited, ""),
];

impl Trouble {
    /// Whether it is told at the first failure.
    pub(super) fn is_the_owners(&self) -> bool {
        !matches!(self.class, FailureClass::Network | FailureClass::ServerUnavailable | FailureClass::RateLimited)
    }

    /// Whether it explains why it is not renewed.
    pub(super) fn is_a_limit(&self) -> bool {
        self.class == FailureClass::RateLimited
    }
}

impl Lineage {
    /// Of any age.
    pub(super) fn new(number: u32, random: &mut Random) -> Result<Self, Box<dyn Error>> {
        let name = format!("n{number}.example");
        let lifetime = LIFETIMES[number as usize % LIFETIMES.len()];
        let began = -random.between(0, lifetime / 2);
        let validity = Validity { not_before: instant(began), not_after: instant(began + lifetime) };
        let names: IdentifierSet =
            [Identifier::parse(&name)?, Identifier::parse(&format!("www.{name}"))?].into_iter().collect();
        Ok(Self {
            lifetime: TimeDelta::seconds(lifetime),
            input: PlanInput::new(LineageName::new(name.clone())?, Some(validity), RenewalWish::default()),
            names,
            name,
            directory: AcmeUrl::parse("https://ca.example/directory")?,
            hook: DeployTarget::Hook("systemctl reload nginx".into()),
            versions: 1,
            decided: false,
            trouble: None,
            hook_fails: None,
        })
    }

    pub(super) fn validity(&self) -> Option<Validity> {
        self.input.validity
    }

    /// How it is after a run.
    pub(super) fn summary(&self, outlook: &Outlook, now: DateTime<Utc>) -> Summary {
        let entry = decide(&self.input, &outlook.ledger, outlook, now);
        let mut summary = Summary::of(entry, self.input.clone(), now);
        summary.identifiers = self.names.clone();
        summary
    }

    /// A run.
    pub(super) fn look_after(&mut self, outlook: &Outlook, now: DateTime<Utc>, random: &mut Random) {
        self.deploy(now);
        let entry = decide(&self.input, &outlook.ledger, outlook, now);
        let Step::Attempt { because, .. } = entry.step else { return };
        if !self.decided {
            self.decided = true;
            self.trouble = random.chance(FAILS).then(|| self.meet(now, random));
        }
        let started = Event::AttemptStarted { because: because.code().to_owned(), directory: self.directory.clone() };
        self.input.state.apply(&started, now);
        match self.trouble.as_ref().filter(|trouble| now < trouble.until) {
            Some(trouble) => {
                let event = Event::AttemptFailed { failure: self.failure(trouble, now) };
                self.input.state.apply(&event, now);
            }
            None => self.renew(now, random),
        }
    }

    /// A third is over soon, a third within what is left and a little more, a third is for good.
    fn meet(&self, now: DateTime<Utc>, random: &mut Random) -> Trouble {
        let (class, kind) = TROUBLES[random.between(0, TROUBLES.len() as i64) as usize];
        let end = self.validity().map_or(now, |validity| validity.not_after);
        let part = |of: TimeDelta, part: f64| TimeDelta::seconds((of.num_seconds() as f64 * part) as i64);
        let until = match random.between(0, 3) {
            0 => now + TimeDelta::hours(random.between(1, 48)),
            1 => now + part(end - now, 1.2 * random.fraction()),
            _ => end + part(self.lifetime, REPAIRED_AFTER),
        };
        Trouble { class, kind, until, since: now }
    }

    fn failure(&self, trouble: &Trouble, now: DateTime<Utc>) -> Failure {
        let failure = Failure::new(trouble.class, "it fails");
        match trouble.class {
            FailureClass::RateLimited => {
                failure.with_http_status(429).with_retry(Retry::At(now + TimeDelta::hours(23)))
            }
            _ if !trouble.kind.is_empty() => {
                let problem = Problem::new(trouble.kind, "it fails");
                let failures = self.names.iter().map(|name| IdentifierFailure::new(name.clone(), problem.clone()));
                failure.with_identifiers(failures.collect())
            }
            _ => failure,
        }
    }

    fn renew(&mut self, now: DateTime<Utc>, random: &mut Random) {
        self.versions += 1;
        let not_after = now + self.lifetime;
        let committed = Event::Committed {
            version: Version(self.versions),
            not_after,
            directory: Some(self.directory.clone()),
            targets: vec![self.hook.clone()],
            profile: None,
            left_out: IdentifierSet::default(),
        };
        self.input.state.apply(&committed, now);
        self.input.validity = Some(Validity { not_before: now, not_after });
        (self.decided, self.trouble) = (false, None);
        let days = self.lifetime.num_hours() / 24;
        self.hook_fails = random.chance(FAILS).then(|| now + TimeDelta::hours(random.between(1, 24 * days)));
        self.deploy(now);
    }

    fn deploy(&mut self, now: DateTime<Utc>) {
        let (target, version) = (self.hook.clone(), Version(self.versions));
        if !self.input.state.deploy_pending.iter().any(|pending| pending.target == target) {
            return;
        }
        let fails = self.hook_fails.is_some_and(|until| now < until);
        let event = match fails {
            true => Event::DeployFailed { target, version, failure: Failure::new(FailureClass::Hook, "status 1") },
            false => Event::Deployed { target, version },
        };
        self.input.state.apply(&event, now);
    }
}
