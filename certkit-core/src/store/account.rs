//! certbot's account directories.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::{LockedStore, Store, StoreError};
use crate::AcmeUrl;

/// An account as certbot keeps it: `accounts/HOST/PATH/ID/`.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredAccount {
    /// The directory's name; the conf's `account`.
    pub id: String,
    /// The directory.
    pub path: PathBuf,
    /// The account's URL at the CA (`regr.json`).
    pub uri: AcmeUrl,
    /// The key as a JWK (`private_key.json`), zeroized on drop and never shown.
    pub jwk: Zeroizing<String>,
    /// `meta.json`.
    pub meta: AccountMeta,
}

/// `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountMeta {
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// On which host.
    pub host: Option<String>,
}

/// What is needed to write a new account.
pub struct NewStoredAccount<'a> {
    /// md5 (lower-case hex) of the PEM SubjectPublicKeyInfo with its trailing newline, as certbot names it.
    pub spki_der: &'a [u8],
    /// The private key as a JWK with its public part.
    pub jwk: &'a str,
    /// The account's URL at the CA.
    pub uri: &'a AcmeUrl,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// On which host.
    pub host: &'a str,
}

impl Store {
    /// The accounts for a CA, sorted by id. One that cannot be read is a finding, not an error; certbot's links from
    /// the v02 directory to v01 are followed.
    pub fn accounts(&self, _directory: &AcmeUrl) -> Result<(Vec<StoredAccount>, Vec<crate::Finding>), StoreError> {
        todo!()
    }

    /// The CA directories for which there are account directories, as certbot names them (`HOST[:PORT]/PATH`), sorted.
    pub fn account_servers(&self) -> Result<Vec<String>, StoreError> {
        todo!()
    }
}

impl LockedStore {
    /// Writes a new account so that certbot can use it.
    pub fn save_account(
        &self,
        _directory: &AcmeUrl,
        _account: &NewStoredAccount<'_>,
    ) -> Result<StoredAccount, StoreError> {
        todo!()
    }

    /// Removes an account's directory and the server directories above it that become empty.
    pub fn remove_account(&self, _directory: &AcmeUrl, _account: &StoredAccount) -> Result<(), StoreError> {
        todo!()
    }
}

impl std::fmt::Debug for StoredAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAccount").field("id", &self.id).field("uri", &self.uri).finish_non_exhaustive()
    }
}

#[allow(dead_code)]
fn unused(_: &Path) {}
