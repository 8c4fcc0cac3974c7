//! The lineages of the machine: whose certificates, how long they live, who stands in, which names fail.

use std::error::Error;

use certkit_core::decision::{RenewalWish, Seed};
use certkit_core::state::OrderScope;
use certkit_core::{AcmeUrl, Identifier, LineageName, PlanInput, Validity};

use super::authority::{Authority, DIRECTORIES, Issued};
use super::calendar::{COMMERCIAL, Calendar, DAY, HOUR, INTERNAL, LETS_ENCRYPT, OTHER, Seconds, Span, instant};
use super::random::Random;

/// What there is of each kind, in hundredths: the CA, the lifetime, how often the stand-in is configured, and which it is.
const KINDS: [(u32, usize, Seconds, f64, usize); 8] = [
    (15, LETS_ENCRYPT, 160 * HOUR, 0.15, OTHER),
    (15, LETS_ENCRYPT, 45 * DAY, 0.15, OTHER),
    (15, LETS_ENCRYPT, 64 * DAY, 0.15, OTHER),
    (25, LETS_ENCRYPT, 90 * DAY, 0.15, OTHER),
    (10, COMMERCIAL, 199 * DAY, 0.3, LETS_ENCRYPT),
    (5, COMMERCIAL, 90 * DAY, 0.3, LETS_ENCRYPT),
    (5, INTERNAL, 12 * HOUR, 0.4, OTHER),
    (10, OTHER, 90 * DAY, 0.3, LETS_ENCRYPT),
];
/// So many lineages have names under one registered domain.
const PER_DOMAIN: u32 = 20;
/// So many of the new ones.
const NEW_PER_DOMAIN: u32 = 250;
/// Their numbers begin here.
const FIRST_NEW: u32 = 1_000_000;
/// The account of the new names, which other lineages use too.
const NEW_ACCOUNT: u32 = 0;
const ACCOUNTS: u32 = 3;
/// What a CA issues when it stands in.
const STAND_IN_LIFETIME: Seconds = 90 * DAY;

/// A lineage, as certkit sees it and as it is.
pub(crate) struct Lineage {
    pub(crate) input: PlanInput,
    /// In the order of `input.authorities`.
    pub(crate) orders_from: Vec<Customer>,
    pub(crate) domain: u32,
    pub(crate) set: u32,
    pub(crate) names: Vec<u32>,
    pub(crate) certificate: Option<Issued>,
    pub(crate) lifetime: Seconds,
    pub(crate) versions: u32,
    pub(crate) is_new: bool,
    /// For what it waited when it was looked at last.
    pub(crate) held_by: Option<String>,
    /// Whether it waited for the guard against loops since the last renewal.
    pub(crate) met_the_guard: bool,
    /// From a refusal until its Retry-After has passed.
    pub(crate) refused: Option<(usize, Span)>,
}

/// A lineage's account at a CA.
#[derive(Clone, Copy)]
pub(crate) struct Customer {
    pub(crate) authority: usize,
    pub(crate) account: u32,
    pub(crate) lifetime: Seconds,
}

pub(crate) struct Population {
    pub(crate) lineages: Vec<Lineage>,
    /// When each name cannot be validated.
    pub(crate) failing: Vec<Option<Span>>,
}

/// A registered domain.
pub(crate) fn domain(number: u32) -> String {
    format!("d{number}.example")
}

pub(crate) fn name(number: u32) -> String {
    format!("n{number}.{}", domain(domain_of(number)))
}

fn domain_of(name: u32) -> u32 {
    match name.checked_sub(FIRST_NEW) {
        Some(number) => FIRST_NEW + number / NEW_PER_DOMAIN,
        None => name / PER_DOMAIN,
    }
}

/// `count` lineages of all ages, and those that come with the burst.
pub(crate) fn settle(
    count: u32,
    calendar: &Calendar,
    authorities: &mut [Authority],
    random: &mut Random,
) -> Result<Population, Box<dyn Error>> {
    let failing = (0..count).map(|_| failing(calendar, random)).collect();
    let mut lineages: Vec<Lineage> = Vec::new();
    for number in 0..count {
        let mut lineage = match lineages.last() {
            // Twins: another key for the same names.
            Some(twin) if random.chance(0.02) && twin.set + 1 == number => {
                let (kind, set) = ((twin.orders_from[0].authority, twin.lifetime), twin.set);
                let names = twin.names.clone();
                Lineage { set, ..lineage(number, kind, names, random)? }
            }
            _ => {
                let kind = kind(number, count, random);
                let mut names = vec![number];
                // A name that another lineage has too.
                if number + 1 < count && random.chance(0.02) {
                    names.push(number + 1);
                }
                lineage(number, kind, names, random)?
            }
        };
        let longest = if lineage.lifetime < 10 * DAY { lineage.lifetime / 2 } else { lineage.lifetime * 2 / 3 };
        let not_before = -random.between(0, longest);
        let authority = lineage.orders_from[0].authority;
        let not_after = not_before + lineage.lifetime;
        let certificate = Issued { authority, number: 0, not_before, not_after, revoked: None };
        lineage.holds(authorities[authority].remember(lineage.set, certificate));
        lineages.push(lineage);
    }
    for number in 0..count / 5 {
        let number = FIRST_NEW + number;
        let mut lineage = lineage(number, (LETS_ENCRYPT, 90 * DAY), vec![number], random)?;
        lineage.orders_from[0].account = NEW_ACCOUNT;
        lineage.input.authorities[0].account = account(NEW_ACCOUNT);
        lineage.input.wish = RenewalWish::default();
        lineages.push(Lineage { is_new: true, ..lineage });
    }
    Ok(Population { lineages, failing })
}

impl Lineage {
    /// The certificate is the one in use now.
    pub(crate) fn holds(&mut self, certificate: Issued) {
        self.certificate = Some(certificate);
        let (not_before, not_after) = (instant(certificate.not_before), instant(certificate.not_after));
        self.input.validity = Some(Validity { not_before, not_after });
        self.input.ari_id = Some(format!("{}.{}", certificate.authority, certificate.number));
        self.input.serial = Some(format!("{:x}", certificate.number));
    }

    /// Whether its owner wants it to be renewed.
    pub(crate) fn is_kept(&self) -> bool {
        !self.input.wish.never
    }
}

impl Population {
    /// Those of the names that cannot be validated now.
    pub(crate) fn failing(&self, names: &[u32], now: Seconds) -> Vec<u32> {
        names.iter().copied().filter(|name| self.span_of(*name).is_some_and(|span| span.contains(now))).collect()
    }

    pub(crate) fn span_of(&self, name: u32) -> Option<Span> {
        self.failing.get(name as usize).copied().flatten()
    }
}

/// Each kind in turn, so that few lineages are as mixed as many.
fn kind(number: u32, count: u32, random: &mut Random) -> (usize, Seconds) {
    let mut place = if count < 1000 { number * 37 % 100 } else { random.between(0, 100) as u32 };
    for (share, authority, lifetime, ..) in KINDS {
        if place < share {
            return (authority, lifetime);
        }
        place -= share;
    }
    (OTHER, 90 * DAY)
}

fn failing(calendar: &Calendar, random: &mut Random) -> Option<Span> {
    let from = random.between(0, calendar.end());
    if random.chance(0.005) {
        Some(Span { from, until: Seconds::MAX })
    } else if random.chance(0.03) {
        Some(Span { from, until: from + random.between(HOUR, 20 * DAY) })
    } else {
        None
    }
}

fn account(number: u32) -> String {
    format!("account{number}")
}

fn lineage(
    number: u32,
    (authority, lifetime): (usize, Seconds),
    names: Vec<u32>,
    random: &mut Random,
) -> Result<Lineage, Box<dyn Error>> {
    let mut orders_from = vec![Customer { authority, account: number % ACCOUNTS, lifetime }];
    let stand_in = KINDS.iter().find(|kind| (kind.1, kind.2) == (authority, lifetime));
    if let Some((.., share, stand_in)) = stand_in
        && random.chance(*share)
    {
        orders_from.push(Customer { authority: *stand_in, account: ACCOUNTS, lifetime: STAND_IN_LIFETIME });
    }
    let domain_number = domain_of(number);
    let mut authorities = Vec::new();
    for customer in &orders_from {
        let identifiers: Result<Vec<Identifier>, _> = names.iter().map(|one| Identifier::parse(&name(*one))).collect();
        let directory = AcmeUrl::parse(DIRECTORIES[customer.authority])?;
        let domains = vec![domain(domain_number)];
        authorities.push(OrderScope::new(directory, account(customer.account), identifiers?.into(), domains));
    }
    let wish = match random.between(0, 200) {
        0 => RenewalWish::new(None, false),
        1..4 => RenewalWish::new(Some("30 days".into()), true),
        4..6 => RenewalWish::new(Some("10 days".into()), true),
        _ => RenewalWish::default(),
    };
    let name = LineageName::new(name(number))?;
    let seed = Seed::of(b"the simulated machine", &name);
    let mut input = PlanInput::new(name, None, wish).at(authorities);
    input.seed = seed;
    Ok(Lineage {
        input,
        orders_from,
        domain: domain_number,
        set: number,
        names,
        certificate: None,
        lifetime,
        versions: 1,
        is_new: false,
        held_by: None,
        met_the_guard: false,
        refused: None,
    })
}
