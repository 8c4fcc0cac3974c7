//! Another key for an account (RFC 8555 section 7.3.5), so that a crash at any moment leaves one account that works.
//!
//! The new key is durable before the CA is asked. Whatever happens then, the CA knows which key counts, and is asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use certkit_core::store::{LockedStore, Rollover, RolloverError, StoreError, StoredAccount};
use certkit_core::{AcmeUrl, Failure, FailureClass, escape};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use super::{AccountError, Saved, open_account};
use crate::BoxFuture;
use crate::protocol::{Account, AccountKey, AcmeError, Authority};
use crate::transport::Transport;

/// How long an old key that still counts does not prove that the new one was not taken: a CA that answers from several
/// places may not have heard of it everywhere, and a key that is thrown away too early is an account that is lost.
const HEARSAY: TimeDelta = TimeDelta::minutes(10);

/// What became of a change of an account's key that an earlier run had not finished.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveredRollover {
    /// The id that the account had before; for a journal that cannot be read, the file, escaped.
    pub account: String,
    /// The CA's directory; none for a journal that cannot be read.
    pub directory: Option<AcmeUrl>,
    /// How it ended; why it could not, otherwise: it is then tried again at the next call.
    pub result: Result<RolloverEnd, Failure>,
}

/// How a change of an account's key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloverEnd {
    /// The CA had taken the new key, and the store has followed.
    Finished {
        /// The account's new id.
        id: String,
    },
    /// The CA had not taken it; the old key counts.
    Dropped,
    /// The old key counts, but the CA was asked for the change so shortly ago that this may still change.
    Waiting {
        /// From when on an old key that counts ends it (UTC).
        until: DateTime<Utc>,
    },
}

/// Gives an account a new key of the kind that it has. Its id, its directory in the store and every conf that names it
/// change with it; its URL stays. [`recover_rollovers`] has to come first, and after an error with
/// [`AccountError::KeyChangeOpen`]. The key is made on a blocking thread; the store is written on the calling one.
pub async fn change_key(
    store: &LockedStore,
    authority: &Authority,
    stored: &StoredAccount,
    now: DateTime<Utc>,
) -> Result<Saved, AccountError> {
    let account = open_account(authority, stored)?;
    account.key_change_url()?;
    let kind = account.key_type();
    let key = tokio::task::spawn_blocking(move || AccountKey::generate_kind(kind))
        .await
        .map_err(|_| AccountError::Interrupted)?
        .map_err(AccountError::Key)?;
    let rollover = store.begin_rollover(&authority.directory().url, stored, key.spki_der(), &key.to_jwk(), now)?;
    let refused = match account.change_key(key).await {
        Ok(account) => {
            let stored = store.finish_rollover(&rollover, account.url())?;
            return Ok(Saved { account, stored });
        }
        Err(error) => error,
    };
    // Also a refusal may answer a request that a proxy sent a second time: the CA knows which key counts.
    match settle(store, authority, &rollover).await {
        Ok(Settled::Finished(saved)) => Ok(*saved),
        Ok(Settled::OldCounts) if is_refusal(&refused) => {
            store.drop_rollover(&rollover).map_err(AccountError::Store)?;
            Err(refused.into())
        }
        Ok(Settled::OldCounts) => Err(AccountError::KeyChangeOpen { refused: Box::new(refused.into()), asking: None }),
        Err(asking) => Err(AccountError::KeyChangeOpen {
            refused: Box::new(refused.into()),
            asking: Some(Box::new(asking.into())),
        }),
    }
}

/// Finishes or drops every change of an account's key that an earlier run did not end, by what its CA says. For the
/// beginning of each run and of each command that uses accounts; without any, the store is read and nobody is asked.
/// One that cannot be ended now (its CA is not reached, for example) stays for the next call. Several CAs are asked at the
/// same time: one that does not answer delays no other.
pub async fn recover_rollovers(
    store: &LockedStore,
    transport: &Transport,
    now: DateTime<Utc>,
) -> Result<Vec<RecoveredRollover>, StoreError> {
    let recovered = Mutex::new(Vec::new());
    let keep = |one| recovered.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    recover_rollovers_telling(store, transport, now, &keep).await?;
    let mut recovered = recovered.into_inner().unwrap_or_else(PoisonError::into_inner);
    recovered.sort_by(|one: &RecoveredRollover, other| one.account.cmp(&other.account));
    Ok(recovered)
}

/// The same, told one by one as they end.
pub(crate) async fn recover_rollovers_telling(
    store: &LockedStore,
    transport: &Transport,
    now: DateTime<Utc>,
    tell: &(dyn Fn(RecoveredRollover) + Sync),
) -> Result<(), StoreError> {
    let (rollovers, findings) = store.store().rollovers()?;
    for finding in findings {
        let why = format!("{}: {} ({})", finding.subject, finding.what(), finding.cure());
        let result = Err(Failure::new(FailureClass::Store, why));
        tell(RecoveredRollover { account: finding.subject, directory: None, result });
    }
    let mut by_directory: BTreeMap<AcmeUrl, Vec<Rollover>> = BTreeMap::new();
    for rollover in rollovers {
        by_directory.entry(rollover.directory.clone()).or_default().push(rollover);
    }
    // Boxed one by one and collected first: otherwise the compiler cannot see that it is `Send`.
    let mut asking: Vec<BoxFuture<'_, ()>> = Vec::new();
    for rollovers in by_directory.into_values() {
        asking.push(Box::pin(async move {
            for rollover in rollovers {
                let result = recover(store, transport, &rollover, now).await.map_err(Failure::from);
                let account = escape(&rollover.old_id).into_owned();
                tell(RecoveredRollover { account, directory: Some(rollover.directory), result });
            }
        }));
    }
    join_all(asking).await;
    Ok(())
}

async fn recover(
    store: &LockedStore,
    transport: &Transport,
    rollover: &Rollover,
    now: DateTime<Utc>,
) -> Result<RolloverEnd, AccountError> {
    // Its directory is only made once the CA has taken the key, so nobody has to be asked.
    if let Some(placed) = store.store().account_after(rollover).map_err(AccountError::Store)? {
        let stored = store.finish_rollover(rollover, &placed.uri)?;
        return Ok(RolloverEnd::Finished { id: stored.id });
    }
    let authority = Authority::connect(transport.clone(), &rollover.directory).await?;
    let until = rollover.started.checked_add_signed(HEARSAY).unwrap_or(rollover.started);
    Ok(match settle(store, &authority, rollover).await? {
        Settled::Finished(saved) => RolloverEnd::Finished { id: saved.stored.id },
        Settled::OldCounts if now < until => RolloverEnd::Waiting { until },
        Settled::OldCounts => {
            store.drop_rollover(rollover).map_err(AccountError::Store)?;
            RolloverEnd::Dropped
        }
    })
}

enum Settled {
    Finished(Box<Saved>),
    OldCounts,
}

/// Asks the CA which key counts. If it is the new one, the store follows.
async fn settle(store: &LockedStore, authority: &Authority, rollover: &Rollover) -> Result<Settled, AccountError> {
    let new = || AccountKey::from_jwk(&rollover.jwk).map_err(AccountError::Key);
    let by_new = match authority.find_account(new()?).await {
        // Deactivated meanwhile, but under this key.
        Err(error) if says_deactivated(&error) => Some(rollover.account_url.clone()),
        answer => answer?.map(|account| account.url().clone()),
    };
    let mut url = by_new.clone().filter(|url| *url == rollover.account_url);
    if url.is_none() {
        let old = store.store().account_before(rollover).map_err(AccountError::Store)?;
        let old = old.map(|old| AccountKey::from_jwk(&old.jwk).map_err(AccountError::Key)).transpose()?;
        let by_old = match old {
            None => false,
            Some(old) => match authority.find_account(old).await {
                Err(error) if says_deactivated(&error) => true,
                answer => answer?.is_some(),
            },
        };
        if by_old {
            return Ok(Settled::OldCounts);
        }
        // The CA calls the account by another name now.
        url = by_new;
    }
    let Some(url) = url else {
        return Err(AccountError::KeysUnknown { account: rollover.account_url.clone() });
    };
    let stored = store.finish_rollover(rollover, &url)?;
    let account: Account = authority.account(new()?, url)?;
    Ok(Settled::Finished(Box::new(Saved { account, stored })))
}

/// Whether the CA said no, and did not just fail to say yes.
fn is_refusal(error: &AcmeError) -> bool {
    match error {
        AcmeError::Refused { status, .. } => (400..500).contains(status),
        AcmeError::KeyInUse { .. } | AcmeError::NotOffered { .. } | AcmeError::Input(_) | AcmeError::Key(_) => true,
        _ => false,
    }
}

/// Whether the CA knows the account and has deactivated it (RFC 8555 section 7.3.6).
pub(crate) fn says_deactivated(error: &AcmeError) -> bool {
    let AcmeError::Refused { problem, .. } = error else { return false };
    let detail = problem.detail.to_ascii_lowercase();
    problem.kind == "unauthorized" && ["deactivated", "revoked"].iter().any(|status| detail.contains(status))
}

impl From<RolloverError> for AccountError {
    fn from(error: RolloverError) -> Self {
        match error {
            RolloverError::Store(error) => Self::Store(error),
            error => Self::Rollover(error),
        }
    }
}
