//! `certkit/pending/NAME`: the order under way and its key, durable before anything irreversible happens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{LockedStore, Store, StoreError};
use crate::{AcmeUrl, IdentifierSet, LineageName, PrivateKey, Version};

/// An order under way, as it is journalled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingOrder {
    /// The order's URL.
    pub order_url: AcmeUrl,
    /// The CA's directory.
    pub directory: AcmeUrl,
    /// The account's URL.
    pub account_url: AcmeUrl,
    /// What was ordered.
    pub identifiers: IdentifierSet,
    /// When (UTC).
    pub placed: DateTime<Utc>,
    /// Whether the CSR was sent or was about to be.
    pub finalizing: bool,
    /// The live version when it was placed: what the result may replace.
    #[serde(default)]
    pub replaces: Option<Version>,
}

/// A journalled order with its key. It exists on disk for as long as it is not committed or dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pending {
    /// The lineage.
    pub name: LineageName,
    /// The order.
    pub order: PendingOrder,
    /// The key of the certificate to come.
    pub key: PrivateKey,
}

impl PendingOrder {
    /// An order that was just placed.
    pub fn new(
        order_url: AcmeUrl,
        directory: AcmeUrl,
        account_url: AcmeUrl,
        identifiers: IdentifierSet,
        placed: DateTime<Utc>,
    ) -> Self {
        Self { order_url, directory, account_url, identifiers, placed, finalizing: false, replaces: None }
    }
}

impl PendingOrder {
    /// The same, to replace this version.
    #[must_use]
    pub fn replacing(mut self, live: Option<Version>) -> Self {
        self.replaces = live;
        self
    }
}

impl Store {
    /// The order under way of a lineage. One that is damaged counts as none.
    pub fn pending(&self, _name: &LineageName) -> Result<Option<Pending>, StoreError> {
        todo!()
    }
}

impl LockedStore {
    /// Journals an order with its key: both are durable when this returns.
    pub fn begin(&self, _name: &LineageName, _key: &PrivateKey, _order: PendingOrder) -> Result<Pending, StoreError> {
        todo!()
    }

    /// Notes, durably, that the CSR is about to be sent.
    pub fn mark_finalizing(&self, _pending: &mut Pending) -> Result<(), StoreError> {
        todo!()
    }

    /// Forgets an order and its key.
    pub fn drop_pending(&self, _name: &LineageName) -> Result<(), StoreError> {
        todo!()
    }
}
