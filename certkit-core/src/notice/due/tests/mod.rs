//! What is told of which state, and when again.

use chrono::TimeDelta;

use super::*;
use crate::decision::{Cadence, RenewalWish};
use crate::state::{DeployTarget, EndpointMemory, Event, LineageState, OrderScope, RevocationMemory};
use crate::{
    AcmeUrl, Failure, FailureClass, FindingCode, IdentifierFailure, IdentifierSet, LineageName, NoticeGroup, Outlook,
    PlanInput, Problem, Retry, Validity, Version, decide, group_notices,
};

mod machine;
mod memory;
mod renewing;
mod serving;

const DAY: i64 = 24;
/// 160 hours, 45, 64, 90 and 199 days.
const LIFETIMES: [i64; 5] = [160, 45 * DAY, 64 * DAY, 90 * DAY, 199 * DAY];

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).unwrap()
}

/// A certificate from hour 0 on, and what is remembered of it.
struct Case {
    name: &'static str,
    lifetime: i64,
    wish: RenewalWish,
    state: LineageState,
    outlook: Outlook,
    serial: Option<String>,
}

impl Case {
    fn of(lifetime: i64) -> Self {
        let outlook = Outlook::new(Default::default(), Cadence::every(TimeDelta::hours(12)));
        let (wish, state) = (RenewalWish::default(), LineageState::default());
        Self { name: "a.example", lifetime, wish, state, outlook, serial: None }
    }

    fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    fn apply(mut self, hours: i64, event: Event) -> Self {
        self.state.apply(&event, at(hours));
        self
    }

    fn fails(self, hours: i64, failure: Failure) -> Self {
        let directory = AcmeUrl::parse("https://ca.example/dir").unwrap();
        self.apply(hours, Event::AttemptStarted { because: "third-of-lifetime".into(), directory })
            .apply(hours, Event::AttemptFailed { failure })
    }

    fn committed(self, hours: i64, version: u32, targets: Vec<DeployTarget>) -> Self {
        let event = Event::Committed {
            version: Version(version),
            not_after: at(self.lifetime),
            directory: None,
            targets,
            profile: None,
            left_out: IdentifierSet::default(),
        };
        self.apply(hours, event)
    }

    fn deploy_fails(self, hours: i64, version: u32, target: &DeployTarget) -> Self {
        let failure = Failure::new(FailureClass::Hook, "status 1");
        self.apply(hours, Event::DeployFailed { target: target.clone(), version: Version(version), failure })
    }

    fn served(mut self, endpoints: serde_json::Value) -> Self {
        self.state.served = serde_json::from_value::<Vec<EndpointMemory>>(endpoints).unwrap();
        self
    }

    fn ran(mut self, hours: i64) -> Self {
        self.outlook.ledger.run_began(at(hours));
        self
    }

    fn summary(&self, now: i64) -> Summary {
        let validity = Validity { not_before: at(0), not_after: at(self.lifetime) };
        let name = LineageName::new(self.name).unwrap();
        let mut input = PlanInput::new(name, Some(validity), self.wish.clone()).remembering(self.state.clone());
        input.serial.clone_from(&self.serial);
        let entry = decide(&input, &self.outlook.ledger, &self.outlook, at(now));
        let mut summary = Summary::of(entry, input, at(now));
        summary.identifiers = ["a.example", "www.a.example"].map(|name| name.parse().unwrap()).into_iter().collect();
        summary
    }

    fn due(&self, now: i64, memory: &NoticeMemory) -> Vec<Notice> {
        due_notices(&NoticeFacts::new(&[self.summary(now)], &[], &self.outlook, at(now)), memory)
    }

    /// What is told when nothing was told before.
    fn said(&self, now: i64) -> Vec<(NoticeKind, NoticeLevel)> {
        self.due(now, &NoticeMemory::default()).iter().map(|notice| (notice.kind, notice.level)).collect()
    }
}

fn network() -> Failure {
    Failure::new(FailureClass::Network, "connection refused")
}

fn dns(name: &str) -> Failure {
    let failure = IdentifierFailure::new(name.parse().unwrap(), Problem::new("dns", "NXDOMAIN"));
    Failure::new(FailureClass::ChallengeFailed, "names failed").with_identifiers(vec![failure])
}

/// An endpoint of the settings, or one that nobody named.
fn endpoint(source: &str, leaf: serde_json::Value, troubles: &[&str]) -> serde_json::Value {
    serde_json::json!([{
        "endpoint": {"host": "a.example", "port": 443, "protocol": "tls", "server_name": null, "source": source},
        "checked_at": at(0), "has_served_ours": false,
        "answers": [{"address": "192.0.2.1:443", "leaf": leaf, "troubles": troubles, "detail": ""}],
    }])
}

fn left_when_due(lifetime: i64) -> i64 {
    if lifetime < 240 { lifetime / 2 } else { lifetime / 3 }
}

fn tell(memory: &mut NoticeMemory, notices: &[Notice], now: i64) {
    for notice in notices {
        memory.told(notice, at(now));
    }
}

use NoticeKind::{Broken, DeployPending, Expiring, NotServed, Overdue, Recovered, RenewalFailed, Revoked, ServedBadly};
use NoticeLevel::{Critical, Emergency, Info, Warning};
