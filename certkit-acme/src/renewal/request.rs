//! What a run is asked to do.

use certkit_core::decision::Cadence;
use certkit_core::store::ConfEdits;
use certkit_core::{IdentifierSet, LineageName};

/// What a run is asked to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Which lineages.
    pub selection: Selection,
    /// For real or not.
    pub mode: Mode,
    /// When due, or now.
    pub urgency: Urgency,
    /// What the command line changes in every selected conf. Saved into it when the lineage is renewed for real.
    pub edits: ConfEdits,
    /// Whether the directories `renewal-hooks/*` are run besides the confs' hooks (`--no-directory-hooks`).
    pub directory_hooks: bool,
    /// Whether endpoints are looked at, to see what they serve (not with `--no-probe`).
    pub probe_endpoints: bool,
    /// A lineage to obtain must not exist yet: whoever saw that it did not, saw it before the store was locked, and another
    /// run may have made it since, for other names perhaps.
    pub must_be_new: bool,
    /// A test CA's certificate may take the place of a trusted one (`--break-my-certs`).
    pub may_be_test: bool,
    /// A key that `reuse_key` would keep is replaced, once (`--new-key`); the new one is kept from then on.
    pub new_key: bool,
    /// An account id that the owner named (`--account`); otherwise certbot's rules choose.
    pub account: Option<String>,
    /// How many orders at once at each CA; none for what the settings say.
    pub parallel_orders: Option<usize>,
    /// How often a run like this one comes, when whoever starts it knows; otherwise the settings or past runs tell.
    pub cadence: Option<Cadence>,
}

/// Which lineages a run is about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Selection {
    /// All that have a conf.
    All,
    /// This one.
    One(LineageName),
    /// This one with these identifiers, whether it exists yet or not (`certonly`).
    Obtain {
        /// Its name.
        name: LineageName,
        /// What it is to cover, in request order.
        identifiers: IdentifierSet,
    },
}

/// For real or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The result is kept.
    Real,
    /// Everything is tried, nothing is kept, state and tree are untouched.
    DryRun {
        /// Whether deploy hooks run (`--run-deploy-hooks`).
        run_deploy_hooks: bool,
    },
}

/// When to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Urgency {
    /// When the rules say so.
    WhenDue,
    /// Now (`--force-renewal`).
    Now,
}

impl Request {
    /// Renew everything that is due.
    pub fn renew() -> Self {
        Self {
            selection: Selection::All,
            mode: Mode::Real,
            urgency: Urgency::WhenDue,
            edits: ConfEdits::default(),
            directory_hooks: true,
            probe_endpoints: true,
            must_be_new: false,
            may_be_test: false,
            new_key: false,
            account: None,
            parallel_orders: None,
            cadence: None,
        }
    }

    /// Obtain a certificate as a lineage of this name.
    pub fn obtain(name: LineageName, identifiers: IdentifierSet, edits: ConfEdits) -> Self {
        Self { selection: Selection::Obtain { name, identifiers }, edits, ..Self::renew() }
    }

    /// The same for one lineage.
    #[must_use]
    pub fn only(mut self, name: LineageName) -> Self {
        self.selection = Selection::One(name);
        self
    }

    /// The same, now, whatever the rules say.
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.urgency = Urgency::Now;
        self
    }

    /// The same as a trial that keeps nothing and runs no deploy hooks.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.mode = Mode::DryRun { run_deploy_hooks: false };
        self
    }
}
