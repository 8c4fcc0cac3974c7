//! A case: what the CA does, and what certkit answers.

use std::sync::Arc;

use testkit::{Asked, Deviation, Reply, RequestKind};

/// What the CA does at one place, and what comes of it.
pub(crate) struct Case {
    /// In words that go on after "The CA". Cases that share them are variants of one row.
    pub(crate) does: String,
    /// What tells the variants of a row apart.
    pub(crate) variant: String,
    /// Who forbids or demands it: a section of an RFC, or where it was seen.
    pub(crate) source: &'static str,
    pub(crate) deviation: Deviation,
    pub(crate) ends: Ends,
    /// What standard error says, among other things.
    pub(crate) says: Vec<String>,
    /// Once the CA is asked for this, the run's clock is faster than ours, so that its time-outs pass.
    pub(crate) hurries: Option<RequestKind>,
    pub(crate) setup: Setup,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The certificate was renewed: status 0.
    Renewed,
    /// It was not due: status 0.
    NotDue,
    /// It was not renewed, with this class of failure: status 1.
    Failed(&'static str),
    /// There is no account, so that nothing was ordered: status 1.
    Unregistered,
}

/// What is on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// Whether the CA's root is trusted.
    pub(crate) trusts: bool,
    /// How many of 90 days the certificate has left.
    pub(crate) days_left: i64,
    /// Whether hooks and not a webroot answer challenges, and of which kind.
    pub(crate) hooks_answer: Option<&'static str>,
    /// A further line of the renewal configuration.
    pub(crate) parameter: Option<(&'static str, &'static str)>,
    /// There is no certificate yet, and `certonly` is to obtain it.
    pub(crate) first: Option<First>,
}

/// With what a first certificate is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// With an account.
    WithAccount,
    /// Without one. The terms of service are agreed to by flag.
    Agreed,
    /// Without one, by nobody who could be asked.
    Unattended,
    /// Without one, at a terminal where this is typed.
    Typed(&'static str),
}

impl Case {
    pub(crate) fn new(does: impl Into<String>, source: &'static str, deviation: Deviation) -> Self {
        let setup = Setup { trusts: true, days_left: 5, hooks_answer: None, parameter: None, first: None };
        let (variant, says) = (String::new(), Vec::new());
        Self { does: does.into(), variant, source, deviation, ends: Ends::Renewed, says, hurries: None, setup }
    }

    pub(crate) fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = variant.into();
        self
    }

    pub(crate) fn fails(mut self, class: &'static str, says: &str) -> Self {
        self.ends = Ends::Failed(class);
        self.also_says(says)
    }

    /// No account is made, and this is said.
    pub(crate) fn registers_nothing(mut self, says: &str) -> Self {
        self.ends = Ends::Unregistered;
        self.also_says(says)
    }

    /// `certonly` is to obtain a first certificate.
    pub(crate) fn first(self, first: First) -> Self {
        self.with(|setup| setup.first = Some(first))
    }

    pub(crate) fn stays_as_it_is(mut self) -> Self {
        self.ends = Ends::NotDue;
        self
    }

    pub(crate) fn also_says(mut self, says: &str) -> Self {
        self.says.push(says.to_owned());
        self
    }

    pub(crate) fn hurries_from(mut self, kind: RequestKind) -> Self {
        self.hurries = Some(kind);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }
}

/// A deviation in the answers to requests of this kind.
pub(crate) fn at(kind: RequestKind, change: impl Fn(&Asked<'_>, &mut Reply) + Send + Sync + 'static) -> Deviation {
    Arc::new(move |asked: &Asked<'_>, reply: &mut Reply| {
        if asked.kind == kind {
            change(asked, reply);
        }
    })
}

/// The same in the first of them only.
pub(crate) fn once_at(kind: RequestKind, change: impl Fn(&Asked<'_>, &mut Reply) + Send + Sync + 'static) -> Deviation {
    at(kind, move |asked, reply| {
        if asked.nth == 1 {
            change(asked, reply);
        }
    })
}

/// A deviation in every answer.
pub(crate) fn everywhere(change: impl Fn(&Asked<'_>, &mut Reply) + Send + Sync + 'static) -> Deviation {
    Arc::new(change)
}
