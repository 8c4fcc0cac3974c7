//! The machine with its lineages: a run of certkit, with the CAs of the simulation instead of a network. What certkit
//! does in a run is done here in the same order: advice, decision, attempt, and what came of it into the memory.

use std::error::Error;

use certkit_core::decision::limits::OrderKind;
use certkit_core::decision::{Cadence, DueReason, RenewalInformation, SuggestedWindow};
use certkit_core::state::{Event, Ledger, backoff};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, HeldBy, Identifier, IdentifierFailure, IdentifierSet, Outlook, PlanEntry, Problem,
    Retry, Step, Version, decide,
};
use chrono::TimeDelta;

use super::Setup;
use super::authority::{self, Authority, DIRECTORIES, Order};
use super::calendar::{
    COMMERCIAL, Calendar, DAY, HOUR, LETS_ENCRYPT, MINUTE, OTHER, Seconds, Span, instant, is_clock_refused, seconds,
};
use super::population::{self, Customer, Lineage, Population};
use super::random::Random;
use super::tally::Tally;

/// The machine is started again so long after it was killed.
const RESTART: Seconds = MINUTE;
/// So often it is killed between an order and its certificate.
const KILLED: f64 = 0.0005;
/// So often a question about renewal information fails.
const NO_ADVICE: f64 = 0.005;

pub(crate) struct Machine {
    pub(crate) population: Population,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) outlook: Outlook,
    pub(crate) calendar: Calendar,
    pub(crate) tally: Tally,
    pub(crate) random: Random,
    /// An order's URL, by CA.
    order_urls: Vec<AcmeUrl>,
}

enum Attempt {
    Renewed,
    Failed,
    Killed,
}

impl Machine {
    pub(crate) fn new(setup: &Setup, cadence: Cadence) -> Result<Self, Box<dyn Error>> {
        let mut random = Random::new(setup.seed);
        let calendar = Calendar::new(setup.days, &mut random);
        let mut authorities = authority::all();
        let population = population::settle(setup.lineages, &calendar, &mut authorities, &mut random)?;
        let order_urls = DIRECTORIES.iter().map(|directory| AcmeUrl::parse(&format!("{directory}/order/1")));
        Ok(Self {
            order_urls: order_urls.collect::<Result<_, _>>()?,
            tally: Tally::new(setup.days, setup.every.map(|every| every.num_seconds())),
            outlook: Outlook::new(Ledger::default(), cadence),
            population,
            authorities,
            calendar,
            random,
        })
    }

    /// What the machine's clock says.
    pub(crate) fn clock(&self, now: Seconds) -> Seconds {
        now + self.calendar.clock_error(now)
    }

    /// Does for a lineage what is to be done now. Gives the instant, by the machine's clock, at which there is something to
    /// do again.
    pub(crate) fn look_after(&mut self, index: usize, now: Seconds) -> Option<Seconds> {
        let clock = self.clock(now);
        self.ask_for_advice(index, now);
        let mut failed_at = None;
        loop {
            let lineage = &self.population.lineages[index];
            let entry = decide(&lineage.input, &self.outlook.ledger, &self.outlook, instant(clock));
            self.note_hold(index, &entry);
            let Step::Attempt { because, directory: Some(directory), kind } = entry.step else {
                return entry.wake.map(seconds);
            };
            // Another CA takes the place of one that failed at once; the same one is not asked again in the same breath.
            if failed_at.as_ref() == Some(&directory) {
                return entry.wake.map(seconds);
            }
            match self.attempt(index, &because, &directory, kind, now) {
                Attempt::Renewed => self.ask_for_advice(index, now),
                Attempt::Failed => failed_at = Some(directory),
                Attempt::Killed => return Some(clock + RESTART),
            }
        }
    }

    /// Forgets what cannot matter any more.
    pub(crate) fn prune(&mut self, now: Seconds) {
        let clock = instant(self.clock(now));
        self.outlook.ledger.prune(clock);
    }

    /// Let's Encrypt revokes a fifth of the certificates in use.
    pub(crate) fn revoke(&mut self, now: Seconds) {
        for lineage in &mut self.population.lineages {
            if let Some(certificate) = &mut lineage.certificate
                && certificate.authority == LETS_ENCRYPT
                && self.random.chance(0.2)
            {
                certificate.revoked = Some(now);
                self.tally.revoked += 1;
            }
        }
    }

    /// The year is over.
    pub(crate) fn look_back(&mut self, lineages: u32) {
        let end = self.calendar.end();
        for lineage in &self.population.lineages {
            let Some(certificate) = lineage.certificate else { continue };
            self.tally.look_back(lineage, certificate, end, &self.calendar, &self.population.failing);
        }
        self.tally.close(lineages, &self.calendar);
    }

    /// Counts what waits, once for each time that it begins to wait.
    pub(crate) fn note_hold(&mut self, index: usize, entry: &PlanEntry) {
        let held_by = match &entry.step {
            Step::Held { by: HeldBy::Failure(_), .. } => Some("back-off or Retry-After".to_owned()),
            Step::Held { by, .. } => Some(by.code()),
            _ => None,
        };
        let lineage = &mut self.population.lineages[index];
        if lineage.held_by != held_by {
            if let Some(held_by) = &held_by {
                self.tally.held(held_by);
                lineage.met_the_guard |= held_by == "loop-guard";
            }
            lineage.held_by = held_by;
        }
    }

    fn has_wrong_advice(&self, authority: usize, now: Seconds) -> bool {
        authority == OTHER && self.calendar.wrong_advice.contains(now)
    }

    pub(crate) fn ask_for_advice(&mut self, index: usize, now: Seconds) {
        let clock = self.clock(now);
        let lineage = &mut self.population.lineages[index];
        let (Some(id), Some(certificate)) = (&lineage.input.ari_id, lineage.certificate) else { return };
        let known = lineage.input.state.renewal_information.as_ref().filter(|known| known.certificate == *id);
        let wait = known.is_some_and(|known| !known.may_ask(instant(clock)));
        let alive = lineage.input.validity.is_some_and(|validity| instant(clock) <= validity.not_after);
        if wait || !alive || lineage.input.wish.never {
            return;
        }
        self.tally.questions += 1;
        let wrong = certificate.authority == OTHER && self.calendar.wrong_advice.contains(now);
        let down = self.calendar.outage(certificate.authority, now).is_some() || self.random.chance(NO_ADVICE);
        let answer = self.authorities[certificate.authority].advise(&certificate, wrong, now, &mut self.random);
        let failures = known.map_or(0, |known| known.failures).saturating_add(1);
        let failed = |pause: TimeDelta| RenewalInformation::failed(known, id, instant(clock) + pause);
        let information = match answer {
            _ if down => failed(backoff(failures).min(TimeDelta::hours(6))),
            None => failed(TimeDelta::days(1)),
            Some((window, pause)) => match SuggestedWindow::new(instant(window.from), instant(window.until)) {
                Some(given) => {
                    let url = certificate.revoked.map(|_| "https://status.example/incident".to_owned());
                    RenewalInformation::answered(id.clone(), given, url, instant(clock + pause))
                }
                None => failed(TimeDelta::hours(6)),
            },
        };
        lineage.input.state.apply(&Event::RenewalInformationRead { information }, instant(clock));
    }

    fn attempt(
        &mut self,
        index: usize,
        because: &DueReason,
        directory: &AcmeUrl,
        kind: OrderKind,
        now: Seconds,
    ) -> Attempt {
        let at = instant(self.clock(now));
        let lineage = &mut self.population.lineages[index];
        let started = Event::AttemptStarted { because: because.code().to_owned(), directory: directory.clone() };
        lineage.input.state.apply(&started, at);
        let scopes = &lineage.input.authorities;
        let place = scopes.iter().position(|scope| scope.directory == *directory).unwrap_or(0);
        self.tally.attempted(place > 0);
        let customer = lineage.orders_from[place];
        match self.order(index, place, customer, kind, now) {
            Ok(attempt) => attempt,
            Err(failure) => {
                self.tally.failed(failure.class);
                let lineage = &mut self.population.lineages[index];
                let scope = &lineage.input.authorities[place];
                self.outlook.ledger.failed(scope, &failure, at);
                lineage.input.state.apply(&Event::AttemptFailed { failure }, at);
                lineage.input.order_under_way = false;
                Attempt::Failed
            }
        }
    }

    /// From the order to the certificate in use.
    fn order(
        &mut self,
        index: usize,
        place: usize,
        customer: Customer,
        kind: OrderKind,
        now: Seconds,
    ) -> Result<Attempt, Failure> {
        self.reach(index, customer, now)?;
        let at = instant(self.clock(now));
        let wrong_advice = self.has_wrong_advice(customer.authority, now);
        let failing = self.population.failing(&self.population.lineages[index].names, now);
        let lineage = &mut self.population.lineages[index];
        let authority = &mut self.authorities[customer.authority];
        let replaces = lineage.certificate.filter(|certificate| certificate.authority == customer.authority);
        let order = Order {
            account: customer.account,
            domain: lineage.domain,
            set: lineage.set,
            names: &lineage.names,
            replaces,
        };
        let order_url = self.order_urls[customer.authority].clone();
        let counts = if lineage.input.order_under_way {
            lineage.input.state.apply(&Event::OrderResumed { order_url: order_url.clone() }, at);
            authority::Counts::AsRenewal
        } else {
            let counts = authority.order(&order, wrong_advice, now, &mut self.random).map_err(|refused| {
                let until = now + refused.retry_after.unwrap_or(0);
                lineage.refused = Some((customer.authority, Span { from: now, until }));
                if refused.deserved && customer.authority == COMMERCIAL {
                    self.tally.taught += 1;
                } else if refused.deserved {
                    self.tally.broken(&lineage.input.name, now, &refused.detail, customer.authority);
                }
                limited(&refused, self.calendar.clock_error(now) + now)
            })?;
            let scope = &lineage.input.authorities[place];
            self.outlook.ledger.ordered(scope, kind, at);
            lineage.input.state.apply(&Event::OrderPlaced { order_url: order_url.clone() }, at);
            if self.random.chance(KILLED) {
                lineage.input.order_under_way = true;
                return Ok(Attempt::Killed);
            }
            counts
        };
        let drop = |lineage: &mut Lineage| {
            let dropped = Event::OrderDropped { order_url: order_url.clone(), because: "invalid".into() };
            lineage.input.state.apply(&dropped, at);
        };
        if !failing.is_empty() {
            authority.validation_failed(&failing, now);
            drop(lineage);
            return Err(not_validated(&failing));
        }
        let certificate = authority.issue(customer.authority, &order, counts, customer.lifetime, now);
        let life = TimeDelta::seconds(customer.lifetime);
        self.outlook.ledger.issued(&lineage.input.authorities[place], kind, life, at);
        self.tally.issued(lineage, customer.lifetime, now, &self.calendar);
        let not_after = instant(certificate.not_after);
        lineage.input.state.apply(&Event::Issued { serial: format!("{:x}", certificate.number), not_after }, at);
        if customer.authority == OTHER && self.calendar.unfit.contains(now) {
            drop(lineage);
            return Err(Failure::new(FailureClass::CertificateUnfit, "a name is missing"));
        }
        self.tally.renewed(lineage, now, &self.calendar, &self.population.failing);
        lineage.versions += 1;
        let committed = Event::Committed {
            version: Version(lineage.versions),
            not_after,
            directory: Some(lineage.input.authorities[place].directory.clone()),
            targets: Vec::new(),
            profile: None,
            left_out: IdentifierSet::default(),
        };
        lineage.input.state.apply(&committed, at);
        lineage.input.order_under_way = false;
        lineage.refused = None;
        lineage.met_the_guard = false;
        lineage.holds(certificate);
        Ok(Attempt::Renewed)
    }

    /// Whether the CA answers, and its date is that of the machine.
    fn reach(&mut self, index: usize, customer: Customer, now: Seconds) -> Result<(), Failure> {
        let lineage = &self.population.lineages[index];
        let error = self.calendar.clock_error(now);
        let outage = self.calendar.outage(customer.authority, now);
        if outage.is_some_and(|outage| !outage.answers) {
            return Err(Failure::new(FailureClass::Network, "connection refused"));
        }
        // The order would be written down before it is made.
        if self.calendar.full_disk.contains(now) {
            return Err(Failure::new(FailureClass::Store, "no space left on device"));
        }
        if is_clock_refused(error) {
            return Err(Failure::new(FailureClass::Clock, "the clock is off"));
        }
        // What was said is to be heeded; with a clock that was set meanwhile nobody can.
        let told = lineage.refused.filter(|(refuser, _)| *refuser == customer.authority).map(|(_, span)| span);
        for peace in [told, self.authorities[customer.authority].wants_peace].into_iter().flatten() {
            let meanwhile = Span { from: peace.from, until: now + 1 };
            if peace.contains(now) && peace.from < now && !self.calendar.is_clock_set_in(meanwhile) {
                self.tally.broken(&lineage.input.name, now, "asked before Retry-After had passed", customer.authority);
            }
        }
        let Some(outage) = outage else { return Ok(()) };
        // An hour at most; they never know how long it takes.
        let pause = (outage.span.length() / 4).clamp(MINUTE, HOUR);
        self.authorities[customer.authority].wants_peace = Some(Span { from: now, until: now + pause });
        Err(Failure::new(FailureClass::ServerUnavailable, "HTTP 503")
            .with_http_status(503)
            .with_retry(Retry::At(instant(now + error + pause))))
    }
}

/// A refusal as certkit understands it: Retry-After is heeded for a day at most.
fn limited(refused: &authority::Refused, clock: Seconds) -> Failure {
    let class = if refused.retry_after.is_some() { FailureClass::RateLimited } else { FailureClass::Paused };
    let failure = Failure::new(class, &refused.detail)
        .with_problem(Problem::new("urn:ietf:params:acme:error:rateLimited", &refused.detail))
        .with_http_status(429);
    match refused.retry_after {
        Some(pause) => failure.with_retry(Retry::At(instant(clock + pause.min(DAY)))),
        None => failure,
    }
}

fn not_validated(failing: &[u32]) -> Failure {
    let problem = Problem::new("urn:ietf:params:acme:error:dns", "no such name");
    let identifiers = failing.iter().filter_map(|name| Identifier::parse(&population::name(*name)).ok());
    let failures = identifiers.map(|identifier| IdentifierFailure::new(identifier, problem.clone())).collect();
    Failure::new(FailureClass::ChallengeFailed, "names could not be validated").with_identifiers(failures)
}
