//! Which stored account is used, by certbot's rules, and how accounts get into the store and out of it.

use certkit_core::store::{LockedStore, NewStoredAccount, RolloverError, Store, StoreError, StoredAccount};
use certkit_core::{AcmeUrl, Failure, FailureClass, Finding, escape};
use chrono::{DateTime, Utc};

use crate::protocol::{Account, AccountKey, AccountKeyError, AcmeError, Authority, ExternalAccountBinding, NewAccount};

mod revive;
pub use revive::{ReviveError, find_by_key, is_lost, register_again, revive};

mod rollover;
pub use rollover::{RecoveredRollover, RolloverEnd, change_key, recover_rollovers};
pub(crate) use rollover::{recover_rollovers_telling, says_deactivated};

/// Which account counts for a CA.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there is one or there is none; several are a failure")]
pub enum Choice {
    /// This one.
    Account(StoredAccount),
    /// There is none for this CA yet.
    NoAccount,
}

impl Choice {
    /// The account, when there is one.
    pub fn into_account(self) -> Option<StoredAccount> {
        match self {
            Self::Account(account) => Some(account),
            Self::NoAccount => None,
        }
    }
}

/// An account that was just registered and saved.
#[derive(Debug)]
#[non_exhaustive]
pub struct Saved {
    /// The account at the CA.
    pub account: Account,
    /// As it is in the store.
    pub stored: StoredAccount,
}

/// certbot's choice: the account that the conf or `--account` names, which must exist (`wanted`); else the only one of
/// this CA; several without a wish are a failure that lists them. Reads the store: call it on a blocking thread.
pub fn choose_account(store: &Store, directory: &AcmeUrl, wanted: Option<&str>) -> Result<Choice, Failure> {
    let (accounts, findings) = store.accounts(directory).map_err(|error| error.failure())?;
    if let Some(wanted) = wanted {
        let found = accounts.into_iter().find(|account| account.id == wanted);
        return found.map(Choice::Account).ok_or_else(|| {
            let path = store.paths().account_dir(directory).join(wanted);
            let path = escape(&path.display().to_string()).into_owned();
            Failure::new(
                FailureClass::AccountUnknown,
                format!("the account at {path} does not exist or cannot be read"),
            )
        });
    }
    let mut accounts = accounts.into_iter();
    match (accounts.next(), accounts.len()) {
        (None, _) if findings.is_empty() => Ok(Choice::NoAccount),
        // An account that cannot be read is not the absence of one: registering anew would hide it.
        (None, _) => Err(Failure::new(
            FailureClass::AccountUnknown,
            format!("the accounts for {directory} cannot be read: {}", unreadable(&findings)),
        )),
        (Some(only), 0) => Ok(Choice::Account(only)),
        (Some(first), _) => {
            let all: Vec<_> = std::iter::once(&first).chain(accounts.as_slice()).map(label).collect();
            Err(Failure::new(
                FailureClass::Settings,
                format!("there are several accounts for {directory}; choose one with --account: {}", all.join(", ")),
            ))
        }
    }
}

/// The account at the CA that a stored one is. Nothing is asked.
pub fn open_account(authority: &Authority, stored: &StoredAccount) -> Result<Account, AcmeError> {
    authority.account(account_key(stored)?, stored.uri.clone())
}

fn account_key(stored: &StoredAccount) -> Result<AccountKey, AcmeError> {
    AccountKey::from_jwk(&stored.jwk).map_err(|error| {
        let path = escape(&stored.path.join("private_key.json").display().to_string()).into_owned();
        AcmeError::Key(format!("{path}: {error}"))
    })
}

/// Registers with a new key of certbot's kind (RSA with 2048 bits) and saves the account as certbot does. The key is
/// made on a blocking thread; saving writes three small files on the calling one.
pub async fn register_and_save(
    store: &LockedStore,
    authority: &Authority,
    new: &NewAccount,
    binding: Option<&ExternalAccountBinding>,
    now: DateTime<Utc>,
    host: &str,
) -> Result<Saved, AccountError> {
    let key = tokio::task::spawn_blocking(AccountKey::generate)
        .await
        .map_err(|_| AccountError::Interrupted)?
        .map_err(AccountError::Key)?;
    let (jwk, spki_der) = (key.to_jwk(), key.spki_der().to_vec());
    let account = authority.register(key, new, binding).await?.account;
    let kept = NewStoredAccount { spki_der: &spki_der, jwk: &jwk, uri: account.url(), created: now, host };
    let stored = store.save_account(&authority.directory().url, &kept).map_err(AccountError::Store)?;
    Ok(Saved { account, stored })
}

/// Deactivates an account at the CA and then removes it from the store. One that the CA does not know (any more) is
/// removed all the same.
pub async fn unregister(
    store: &LockedStore,
    authority: &Authority,
    stored: &StoredAccount,
) -> Result<(), AccountError> {
    // One that is dead and stays would be taken for every later renewal.
    store.check_account_removable(stored).map_err(AccountError::Store)?;
    if let Err(error) = open_account(authority, stored)?.deactivate().await {
        let failure = Failure::from(error);
        if failure.class != FailureClass::AccountUnknown {
            return Err(AccountError::Refused(Box::new(failure)));
        }
    }
    store.remove_account(&authority.directory().url, stored).map_err(AccountError::Store)
}

/// As certbot lists it: who made it, when, and the beginning of its id.
fn label(account: &StoredAccount) -> String {
    let host = account.meta.host.as_deref().unwrap_or("unknown host");
    let created = account.meta.created.map_or_else(
        || "unknown date".to_owned(),
        |created| created.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    );
    escape(&format!("{host}@{created} ({})", account.id)).into_owned()
}

fn unreadable(findings: &[Finding]) -> String {
    let all: Vec<_> = findings.iter().map(|finding| format!("{}: {}", finding.subject, finding.evidence)).collect();
    all.join("; ")
}

/// An account could not be made, changed or given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The CA refused, or was not reached.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// No key could be made.
    #[error(transparent)]
    Key(AccountKeyError),
    /// The host program is shutting down.
    #[error("the program is ending")]
    Interrupted,
    /// The CA refused to deactivate the account, which stays in the store.
    #[error(transparent)]
    Refused(Box<Failure>),
    /// The account's key cannot be changed in the store; the CA was not asked, or the change is finished later.
    #[error(transparent)]
    Rollover(RolloverError),
    /// The CA was asked to take a new key, and whether it did is not known. Both keys are kept.
    #[error(
        "it is not known yet whether the CA took the account's new key: {refused}{}; both keys are kept, and the next run asks the CA again",
        asking.as_ref().map(|asking| format!("; asking it: {asking}")).unwrap_or_default()
    )]
    KeyChangeOpen {
        /// How the change ended.
        refused: Box<Failure>,
        /// How asking for the account by its keys ended, if not well.
        asking: Option<Box<Failure>>,
    },
    /// The CA knows an account neither by its old key nor by the new one. Both are kept.
    #[error("the CA knows the account {account} neither by its old key nor by its new one; both are kept")]
    KeysUnknown {
        /// The account's URL.
        account: AcmeUrl,
    },
    /// The account could not be written or removed. At the CA it exists (or is deactivated) already.
    #[error(transparent)]
    Store(StoreError),
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Acme(error) => error.into(),
            AccountError::Key(error) => Self::new(FailureClass::Bug, error.to_string()),
            AccountError::Interrupted => Self::new(FailureClass::Interrupted, "the program is ending"),
            AccountError::Refused(failure) => *failure,
            AccountError::Rollover(error) => Self::new(FailureClass::Settings, error.to_string()),
            AccountError::KeyChangeOpen { ref refused, ref asking } => {
                let reason = asking.as_ref().unwrap_or(refused);
                Self::new(reason.class, error.to_string()).with_retry(reason.retry)
            }
            AccountError::KeysUnknown { .. } => Self::new(FailureClass::AccountUnknown, error.to_string()),
            AccountError::Store(error) => error.failure(),
        }
    }
}
