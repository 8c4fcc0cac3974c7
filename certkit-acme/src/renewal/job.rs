//! What an attempt works with, resolved and checked before anybody is asked.

use std::sync::Arc;

use certkit_core::decision::DueReason;
use certkit_core::decision::limits::OrderKind;
use certkit_core::store::ConfEdits;
use certkit_core::{AcmeUrl, Failure, FailureClass, Identifier, IdentifierSet};

use super::Request;
use super::conf_settings::{ProfileWish, Settings};
use super::subject::Subject;
use crate::challenge::Authenticator;
use crate::keys::KeySpec;

/// What an attempt at a lineage needs besides.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) subject: Arc<Subject>,
    pub(super) because: DueReason,
    pub(super) directory: AcmeUrl,
    /// The CA takes the place of the conf's, which fails.
    pub(super) stands_in: bool,
    /// How the CA's limits see the order.
    pub(super) kind: OrderKind,
    /// The account id of the conf or the command line.
    pub(super) wanted_account: Option<String>,
    pub(super) authenticator: Authenticator,
    pub(super) key: KeySpec,
    pub(super) profile: ProfileWish,
    pub(super) preferred_chain: Option<String>,
    pub(super) edits: ConfEdits,
    pub(super) may_be_test: bool,
    /// Another lineage of the run covers one of its names too.
    pub(super) shares_a_name: bool,
}

impl Job {
    /// Resolves what an attempt needs. Nothing is asked of anybody.
    pub(super) fn resolve(subject: Arc<Subject>, because: DueReason, request: &Request) -> Result<Self, Failure> {
        let settings = Settings::read(&subject.conf, &subject.conf_path.display(), &subject.identifiers, request)?;
        subject.refuse_a_test_certificate(&settings.directory, request)?;
        subject.refuse_another_kind_of_kept_key(request)?;
        Ok(Self {
            because,
            directory: settings.directory,
            stands_in: false,
            kind: OrderKind::New,
            wanted_account: settings.wanted_account,
            authenticator: settings.authenticator,
            key: settings.key,
            profile: settings.profile,
            preferred_chain: subject.conf.params().preferred_chain.clone().map(String::from),
            edits: request.edits.clone(),
            may_be_test: request.may_be_test,
            shares_a_name: false,
            subject,
        })
    }

    /// Under what an open account is kept for the run.
    pub(super) fn account_key(&self) -> (AcmeUrl, Option<String>) {
        (self.directory.clone(), self.wanted_account.clone())
    }

    /// What can be ordered without the names that failed, where the owner permits it. certbot's `allow_subset_of_names`.
    pub(super) fn subset_without_failed(&self, ordered: &IdentifierSet, failure: &Failure) -> Option<IdentifierSet> {
        let names_failed = matches!(failure.class, FailureClass::ChallengeFailed | FailureClass::IdentifierRefused);
        if !self.subject.conf.params().allow_subset_of_names || !names_failed || failure.per_identifier.is_empty() {
            return None;
        }
        // A CA names the base of a wildcard: both are validated by the same record.
        let has_failed = |one: &Identifier| {
            failure.per_identifier.iter().any(|failed| {
                failed.identifier == *one
                    || one.as_dns().is_some_and(|name| {
                        name.is_wildcard()
                            && failed.identifier.as_dns().is_some_and(|failed| failed.as_str() == name.base())
                    })
            })
        };
        let rest: IdentifierSet = ordered.iter().filter(|one| !has_failed(one)).cloned().collect();
        (!rest.is_empty() && rest.len() < ordered.len()).then_some(rest)
    }

    /// The same at this CA. Accounts belong to their CA: another than the conf's has its only one.
    pub(super) fn at(&self, directory: &AcmeUrl, kind: OrderKind) -> Self {
        let mut job = Self { kind, ..self.clone() };
        if *directory != self.directory {
            job.directory = directory.clone();
            job.stands_in = true;
            job.wanted_account = None;
        }
        job
    }
}
