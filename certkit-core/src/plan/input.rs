//! What a plan is made of.

use chrono::{DateTime, Utc};

use crate::decision::limits::{OrderKind, RENEWAL_MEMORY};
use crate::decision::{Cadence, RenewalWish, Seed};
use crate::state::{Ledger, OrderScope, SharedState, Stage};
use crate::{AcmeUrl, Certificate, LineageName, Validity};

/// What is known of a lineage when a plan is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanInput {
    /// Its name.
    pub name: LineageName,
    /// The validity of the newest usable certificate; none when there is none.
    pub validity: Option<Validity>,
    /// What the owner wants.
    pub wish: RenewalWish,
    /// What is remembered.
    pub state: SharedState,
    /// Whether an order of an earlier run waits to be finished.
    pub order_under_way: bool,
    /// The CAs that may be asked, in this order: the conf's, then those that take its place when it fails.
    pub authorities: Vec<OrderScope>,
    /// Whether what would be ordered has the same identifiers as the certificate.
    pub same_identifiers: bool,
    /// The certificate's id for renewal information (RFC 9773 section 4.1).
    pub ari_id: Option<String>,
    /// The certificate's serial number, lower-case hex.
    pub serial: Option<String>,
    /// Whether the CA's renewal information counts.
    pub takes_advice: bool,
    /// Whether the CA's revocation list counts.
    pub checks_revocation: bool,
    /// Since when the owner wishes something else, by a recorded wish that the certificate does not fulfil.
    pub changed_since: Option<DateTime<Utc>>,
    /// What differs between machines and lineages.
    pub seed: Seed,
}

/// What is known besides the lineages.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Outlook {
    /// What was asked of the CAs.
    pub ledger: Ledger,
    /// How often certkit is run.
    pub cadence: Cadence,
}

impl PlanInput {
    /// The input of a lineage without a memory, that would be ordered from nobody in particular.
    pub fn new(name: LineageName, validity: Option<Validity>, wish: RenewalWish) -> Self {
        Self {
            seed: Seed::of(b"", &name),
            name,
            validity,
            wish,
            state: SharedState::default(),
            order_under_way: false,
            authorities: Vec::new(),
            same_identifiers: true,
            ari_id: None,
            serial: None,
            takes_advice: true,
            checks_revocation: true,
            changed_since: None,
        }
    }

    /// The same with what is remembered.
    #[must_use]
    pub fn remembering(mut self, state: impl Into<SharedState>) -> Self {
        let state = state.into();
        self.order_under_way = matches!(state.stage, Stage::Ordered { .. } | Stage::Finalizing { .. });
        self.state = state;
        self
    }

    /// The same with the CAs that may be asked.
    #[must_use]
    pub fn at(mut self, authorities: Vec<OrderScope>) -> Self {
        self.authorities = authorities;
        self
    }

    /// The same for this certificate: its validity, and what advice and revocation are looked up by.
    #[must_use]
    pub fn of_certificate(mut self, certificate: &Certificate) -> Self {
        self.validity = Some(certificate.validity());
        self.ari_id = certificate.ari_id().map(|id| id.to_string());
        self.serial = Some(certificate.serial().certbot_hex());
        self
    }

    /// The CA that issued the certificate in use: the one that is remembered, else the conf's.
    pub fn issuer(&self) -> Option<&AcmeUrl> {
        self.state.issuer_directory.as_ref().or_else(|| self.authorities.first().map(|scope| &scope.directory))
    }

    /// How a CA's limits see an order for this lineage at `now`.
    pub fn order_kind(&self, scope: &OrderScope, now: DateTime<Utc>) -> OrderKind {
        let Some(validity) = self.validity else { return OrderKind::New };
        let recent = now - validity.not_before < RENEWAL_MEMORY;
        if !self.same_identifiers || !recent || self.issuer() != Some(&scope.directory) {
            return OrderKind::New;
        }
        let information =
            self.state.renewal_information.as_ref().filter(|known| Some(&known.certificate) == self.ari_id.as_ref());
        let window = information.and_then(|known| known.window).filter(|_| self.takes_advice);
        match window {
            Some(window) if window.contains(now) => OrderKind::WithinWindow,
            _ => OrderKind::SameIdentifiers,
        }
    }
}

impl Outlook {
    /// What was asked of the CAs and how often certkit is run.
    pub fn new(ledger: Ledger, cadence: Cadence) -> Self {
        Self { ledger, cadence }
    }
}
