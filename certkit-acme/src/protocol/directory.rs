//! A CA's directory (RFC 8555 section 7.1.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use certkit_core::{AcmeUrl, Certificate, PrivateKey};
use chrono::{DateTime, Utc};

use super::{Account, AccountKey, AcmeError, ExternalAccountBinding, NewAccount, Registered};
use crate::transport::Transport;

/// What a CA offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Directory {
    /// Where it was read.
    pub url: AcmeUrl,
    /// newNonce.
    pub new_nonce: AcmeUrl,
    /// newAccount.
    pub new_account: AcmeUrl,
    /// newOrder.
    pub new_order: AcmeUrl,
    /// revokeCert.
    pub revoke_cert: Option<AcmeUrl>,
    /// keyChange.
    pub key_change: Option<AcmeUrl>,
    /// renewalInfo (RFC 9773).
    pub renewal_info: Option<AcmeUrl>,
    /// meta.termsOfService, escaped.
    pub terms_of_service: Option<String>,
    /// meta.externalAccountRequired.
    pub external_account_required: bool,
    /// meta.profiles with their descriptions.
    pub profiles: BTreeMap<String, String>,
    /// The Date header of the answer.
    pub date: Option<DateTime<Utc>>,
}

/// A CA that can be talked to.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(crate) transport: Transport,
    pub(crate) directory: Arc<Directory>,
}

/// RFC 5280 section 5.3.1, as far as CAs accept them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationReason {
    /// 0
    Unspecified,
    /// 1
    KeyCompromise,
    /// 3
    AffiliationChanged,
    /// 4
    Superseded,
    /// 5
    CessationOfOperation,
}

impl Authority {
    /// Reads the directory.
    pub async fn connect(_transport: Transport, _directory_url: &AcmeUrl) -> Result<Self, AcmeError> {
        todo!()
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Registers `key`. A key that is registered already gives its account.
    pub async fn register(
        &self,
        _key: AccountKey,
        _new: &NewAccount,
        _binding: Option<&ExternalAccountBinding>,
    ) -> Result<Registered, AcmeError> {
        todo!()
    }

    /// The account of a key that the CA knows already; `None` when it does not know it.
    pub async fn find_account(&self, _key: AccountKey) -> Result<Option<Account>, AcmeError> {
        todo!()
    }

    /// An account whose URL is known; nothing is asked.
    pub fn account(&self, _key: AccountKey, _url: AcmeUrl) -> Result<Account, AcmeError> {
        todo!()
    }

    /// Revokes a certificate with its own key.
    pub async fn revoke_with_certificate_key(
        &self,
        _certificate: &Certificate,
        _key: &PrivateKey,
        _reason: Option<RevocationReason>,
    ) -> Result<(), AcmeError> {
        todo!()
    }
}
