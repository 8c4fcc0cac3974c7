//! An account that its CA no longer knows: found under another URL, or registered anew with the same key.

use certkit_core::store::{LockedStore, StoreError, StoredAccount};
use certkit_core::{AcmeUrl, DnsName, Failure, FailureClass, Identifier, escape};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::rollover::says_deactivated;
use super::{AccountError, Saved, account_key};
use crate::dns::{CaaSet, DnsError, Resolver};
use crate::protocol::{AcmeError, Authority, ExternalAccountBinding, NewAccount};

/// So many names are looked up at once: enough for a hundred in little time, and no burden for a name server.
const AT_ONCE: usize = 8;

/// Whether a failure says that the CA does not know the account that was used (RFC 8555 section 6.7), so that
/// [`revive`] may help.
pub fn is_lost(failure: &Failure) -> bool {
    failure.problem.as_ref().is_some_and(|problem| problem.kind == "accountDoesNotExist")
}

/// Makes an account that the CA says not to know usable again. The CA is asked for it by its key first: its URL may just
/// have changed. Otherwise the same key is registered anew, so that the id and every conf stay right, with the terms
/// agreed to as the owner did before and without contacts, which CAs do not keep.
///
/// Not where that needs the owner: a CA that wants an external account, and a CAA record that binds issuance for one of
/// `names` to the account that was lost (RFC 8657). `names` are all that the account is to issue for. What cannot be
/// looked up stops it as well. An account that was deactivated stays so.
pub async fn revive(
    store: &LockedStore,
    authority: &Authority,
    stored: &StoredAccount,
    names: &[Identifier],
    resolver: &Resolver,
) -> Result<Saved, ReviveError> {
    let directory = authority.directory();
    if let Some(found) = find_by_key(store, authority, stored).await? {
        return Ok(found);
    }
    let wants_external_account =
        || ReviveError::ExternalAccount { account: stored.uri.clone(), directory: directory.url.clone() };
    if directory.external_account_required {
        return Err(wants_external_account());
    }
    // CAA is about DNS names (RFC 8738 section 6 leaves addresses out).
    let names: Vec<DnsName> = names.iter().filter_map(Identifier::as_dns).cloned().collect();
    // Owned, or the future could not be sent to another thread.
    let look_up = |name: DnsName| {
        let resolver = resolver.clone();
        async move { resolver.caa(&name).await }
    };
    let mut sets = futures_util::stream::iter(names.into_iter().map(look_up)).buffered(AT_ONCE);
    while let Some(set) = sets.try_next().await? {
        if let Some(bound) = bound(&set, &directory.caa_identities) {
            let (account, directory) = (stored.uri.clone(), directory.url.clone());
            return Err(ReviveError::Bound { account, directory, name: set.name.clone(), bound });
        }
    }
    match register_again(store, authority, stored, &NewAccount::new(Vec::new(), true), None).await {
        Err(AccountError::Acme(error)) if error.problem_kind() == Some("externalAccountRequired") => {
            Err(wants_external_account())
        }
        result => Ok(result?),
    }
}

/// Registers the key of a stored account (anew, if the CA lost it), as the owner asks for it: with what the CA wants of a
/// new account. The id and the confs stay right; the URL is saved.
pub async fn register_again(
    store: &LockedStore,
    authority: &Authority,
    stored: &StoredAccount,
    new: &NewAccount,
    binding: Option<&ExternalAccountBinding>,
) -> Result<Saved, AccountError> {
    let account = authority.register(account_key(stored)?, new, binding).await?.account;
    let stored = store.update_account_url(stored, account.url()).map_err(AccountError::Store)?;
    Ok(Saved { account, stored })
}

/// The account, when the CA knows its key; its URL is saved if it is another one now.
pub async fn find_by_key(
    store: &LockedStore,
    authority: &Authority,
    stored: &StoredAccount,
) -> Result<Option<Saved>, ReviveError> {
    let deactivated = || ReviveError::Deactivated { account: stored.uri.clone() };
    let account = match authority.find_account(account_key(stored)?).await {
        Err(error) if says_deactivated(&error) => return Err(deactivated()),
        answer => answer?,
    };
    let Some(account) = account else { return Ok(None) };
    // Some CAs give also an account that is at its end.
    match account.details().await {
        Err(error) if says_deactivated(&error) => return Err(deactivated()),
        Ok(details) if ["deactivated", "revoked"].contains(&details.status.as_str()) => return Err(deactivated()),
        details => details?,
    };
    let stored =
        if *account.url() == stored.uri { stored.clone() } else { store.update_account_url(stored, account.url())? };
    Ok(Some(Saved { account, stored }))
}

/// What a set of CAA records binds an account by, for people.
fn bound(set: &CaaSet, identities: &[String]) -> Option<String> {
    let accounts = set.binds_account(identities);
    if accounts.is_empty() {
        return None;
    }
    let at = set.found_at.as_ref().unwrap_or(&set.name);
    let accounts: Vec<String> = accounts.iter().map(|account| escape(account).chars().take(200).collect()).collect();
    Some(format!("the CAA records of {at} let only {} issue", accounts.join(", ")))
}

/// An account that the CA does not know could not be made usable again. The texts say what the owner has to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviveError {
    /// The owner, or the CA, ended it for good.
    #[error(
        "the account {account} was deactivated at the CA, for good: remove it (certkit unregister) and register another one (certkit register)"
    )]
    Deactivated {
        /// Its URL.
        account: AcmeUrl,
    },
    /// The CA registers accounts only with credentials of its own.
    #[error(
        "the CA no longer knows the account {account}, and registers accounts only with credentials that it hands out: get new ones and run `certkit register --server {directory} --agree-tos --eab-kid KID --eab-hmac-key KEY`; the key stays, so nothing else has to change"
    )]
    ExternalAccount {
        /// The account's URL.
        account: AcmeUrl,
        /// The CA's directory.
        directory: AcmeUrl,
    },
    /// A CAA record binds a name to the account that was lost, or to others.
    #[error(
        "the CA no longer knows the account {account}, and another one may not issue for {name}, because {bound}: run `certkit register --server {directory} --agree-tos` and put the new account's URL into the record"
    )]
    Bound {
        /// The account's URL.
        account: AcmeUrl,
        /// The CA's directory.
        directory: AcmeUrl,
        /// The name.
        name: DnsName,
        /// Which records bind it, and to what, escaped.
        bound: String,
    },
    /// It is not known whether a CAA record binds the account.
    #[error("the CA no longer knows the account, and it is not known whether a CAA record binds a name to it: {0}")]
    Caa(#[from] DnsError),
    /// The CA refused, or was not reached.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The account could not be registered or saved.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The account's new URL could not be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReviveError> for Failure {
    fn from(error: ReviveError) -> Self {
        let text = error.to_string();
        match error {
            ReviveError::Deactivated { .. } | ReviveError::Bound { .. } => {
                Self::new(FailureClass::AccountUnknown, text)
            }
            ReviveError::ExternalAccount { .. } => Self::new(FailureClass::ExternalAccountRequired, text),
            ReviveError::Caa(_) => Self::new(FailureClass::Network, text),
            ReviveError::Acme(error) => error.into(),
            ReviveError::Account(error) => error.into(),
            ReviveError::Store(error) => error.failure(),
        }
    }
}
