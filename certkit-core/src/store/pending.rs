//! `certkit/pending/NAME`: the order under way and its key, durable before anything irreversible happens.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::{self, Attributes};
use super::{Kind, LockedStore, Store, StoreError};
use crate::{AcmeUrl, IdentifierSet, LineageName, PrivateKey, Version};

const ORDER_FILE: &str = "order.json";
const KEY_FILE: &str = "privkey.pem";

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
    /// The profile that was ordered.
    #[serde(default)]
    pub profile: Option<String>,
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
        Self {
            order_url,
            directory,
            account_url,
            identifiers,
            placed,
            finalizing: false,
            replaces: None,
            profile: None,
        }
    }
}

impl PendingOrder {
    /// The same, to replace this version.
    #[must_use]
    pub fn replacing(mut self, live: Option<Version>) -> Self {
        self.replaces = live;
        self
    }

    /// The same, with this profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<String>) -> Self {
        self.profile = profile;
        self
    }
}

/// The format that this version writes.
const SCHEMA: u32 = 1;

/// `order.json`.
#[derive(Serialize, Deserialize)]
struct OrderFile {
    schema: u32,
    order: PendingOrder,
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

impl Store {
    /// Whether there is a key only, made for an order that never came to be: nothing to tell anybody of.
    pub(crate) fn holds_reserved_key_only(&self, name: &LineageName) -> bool {
        let dir = self.paths().pending(name);
        let holds = |file: &str| dir.join(file).symlink_metadata().is_ok();
        holds(KEY_FILE) && !holds(ORDER_FILE)
    }

    /// The order under way of a lineage. One that is damaged counts as none.
    pub fn pending(&self, name: &LineageName) -> Result<Option<Pending>, StoreError> {
        let dir = self.paths().pending(name);
        let Some(order) = read_unless_damaged(&dir.join(ORDER_FILE))? else { return Ok(None) };
        let Some(key) = read_unless_damaged(&dir.join(KEY_FILE))? else { return Ok(None) };
        let key = Zeroizing::new(key);
        match serde_json::from_slice::<Schema>(&order) {
            // It is whole, so it is not for us to drop.
            Ok(Schema { schema }) if schema > SCHEMA => {
                let error = io::Error::other(format!("it was written by a newer certkit (schema {schema})"));
                return Err(StoreError::new("read", dir.join(ORDER_FILE), error));
            }
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        let Ok(file) = serde_json::from_slice::<OrderFile>(&order) else { return Ok(None) };
        let Ok(key) = PrivateKey::from_pem(&key) else { return Ok(None) };
        Ok(Some(Pending { name: name.clone(), order: file.order, key }))
    }

    /// The lineages for which something is journalled in `certkit/pending`, damaged or not, sorted.
    pub fn pending_names(&self) -> Result<Vec<LineageName>, StoreError> {
        let names = files::list_own(&self.paths().own_dir().join("pending"))?;
        Ok(names.iter().filter_map(|name| LineageName::new(name.to_str()?).ok()).collect())
    }
}

impl LockedStore {
    /// Stores the key of an order that is about to be placed, durably, so that only one small file remains to be written
    /// between the CA's answer and the journal. A key without an order is a leftover that [`LockedStore::recover`]
    /// removes. An order that is already under way is not replaced, because its key may belong to a certificate that was
    /// issued: it has to be dropped first.
    pub fn reserve(&self, name: &LineageName, key: &PrivateKey) -> Result<(), StoreError> {
        let _writing = self.writing();
        let dir = self.paths().pending(name);
        if self.store.pending(name)?.is_some() {
            return Err(StoreError::new("create", &dir, io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        // A damaged one counts as none.
        self.remove_pending(name)?;
        if let Some(parent) = dir.parent() {
            files::ensure_own_dir(&self.paths().own_dir(), parent)?;
        }
        let temp = files::temp_name(&dir);
        files::remove_flat_dir(&temp)?;
        files::make_dir(&temp, 0o700)?;
        let key_file = temp.join(KEY_FILE);
        // As the key that is to be replaced; where there is none yet, it is the running user's.
        let live = self.paths().live(name).join(Kind::Privkey.live_file());
        let attributes = Attributes::mode(0o600).owned_like(&live);
        let filled = files::write_new(&key_file, key.to_pem().as_bytes(), &attributes)
            .and_then(|()| files::own_like(&temp, &live))
            .and_then(|()| files::sync_dir(&temp))
            .and_then(|()| files::rename_new(&temp, &dir));
        if let Err(error) = filled {
            let _ = files::remove_flat_dir(&temp);
            return Err(error);
        }
        files::sync_parent(&dir)
    }

    /// Journals an order with its key: both are durable when this returns. Quick when the key was reserved before.
    pub fn begin(&self, name: &LineageName, key: &PrivateKey, order: PendingOrder) -> Result<Pending, StoreError> {
        let dir = self.paths().pending(name);
        let reserved = files::read_if_there(&dir.join(KEY_FILE))?.map(Zeroizing::new);
        let is_reserved =
            reserved.is_some_and(|pem| *pem == key.to_pem().as_bytes()) && self.store.pending(name)?.is_none();
        if !is_reserved {
            self.reserve(name, key)?;
        }
        let path = dir.join(ORDER_FILE);
        // Of its own, and not under the lock of all writing: other lineages' commits must not delay it.
        files::replace(&path, &order_json(&path, &order)?, &Attributes::ours(&path))?;
        Ok(Pending { name: name.clone(), order, key: key.clone() })
    }

    /// Notes, durably, that the CSR is about to be sent.
    pub fn mark_finalizing(&self, pending: &mut Pending) -> Result<(), StoreError> {
        let _writing = self.writing();
        let path = self.paths().pending(&pending.name).join(ORDER_FILE);
        let mut order = pending.order.clone();
        order.finalizing = true;
        files::replace(&path, &order_json(&path, &order)?, &Attributes::ours(&path))?;
        pending.order = order;
        Ok(())
    }

    /// Has an order under way replace `to` where it was to replace `from`: its owner has rolled back meanwhile, which is no renewal by
    /// another tool. None there is fine.
    pub fn move_pending(&self, name: &LineageName, from: Option<Version>, to: Version) -> Result<(), StoreError> {
        let _writing = self.writing();
        let Some(Pending { mut order, .. }) = self.store.pending(name)? else { return Ok(()) };
        if order.replaces != from {
            return Ok(());
        }
        order.replaces = Some(to);
        let path = self.paths().pending(name).join(ORDER_FILE);
        files::replace(&path, &order_json(&path, &order)?, &Attributes::ours(&path))
    }

    /// Forgets an order and its key. None there is fine.
    pub fn drop_pending(&self, name: &LineageName) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.remove_pending(name)
    }

    /// As [`LockedStore::drop_pending`], for callers that are writing already. The order goes first: without it the
    /// rest is a leftover, never an order without its key.
    pub(crate) fn remove_pending(&self, name: &LineageName) -> Result<(), StoreError> {
        let dir = self.paths().pending(name);
        // What is removed must be ours.
        if let Some(pending) = dir.parent()
            && files::make_way_for_dir(pending)?.is_some()
        {
            return Ok(());
        }
        let Some(meta) = files::lstat(&dir)? else { return Ok(()) };
        if !meta.is_dir() {
            files::remove_file(&dir)?;
            return files::sync_parent(&dir);
        }
        if has_folders(&dir)? {
            // Nothing of ours looks so. The key goes; the rest is somebody's, and must not stop the next order.
            if files::lstat(&dir.join(KEY_FILE))?.is_some_and(|meta| !meta.is_dir()) {
                files::remove_file(&dir.join(KEY_FILE))?;
            }
            return files::set_aside(&dir).map(|_| ());
        }
        if files::remove_file(&dir.join(ORDER_FILE))? {
            files::sync_dir(&dir)?;
        }
        files::remove_flat_dir(&dir)?;
        files::sync_parent(&dir)
    }
}

fn has_folders(dir: &Path) -> Result<bool, StoreError> {
    for file in files::list(dir)?.unwrap_or_default() {
        if files::lstat(&dir.join(file))?.is_some_and(|meta| meta.is_dir()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// None also where a directory or something else is in the place of the file.
fn read_unless_damaged(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match files::read_if_there(path) {
        Err(error) if files::is_damage(&error.source) => Ok(None),
        content => content,
    }
}

fn order_json(path: &Path, order: &PendingOrder) -> Result<Vec<u8>, StoreError> {
    let file = OrderFile { schema: SCHEMA, order: order.clone() };
    let mut content =
        serde_json::to_vec_pretty(&file).map_err(|error| StoreError::new("write", path, io::Error::from(error)))?;
    content.push(b'\n');
    Ok(content)
}
