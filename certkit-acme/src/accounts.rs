//! shim
use crate::protocol::{Account, Authority, ExternalAccountBinding, NewAccount};
use certkit_core::store::{LockedStore, Store, StoredAccount};
use certkit_core::{AcmeUrl, Failure};
/// shim
pub fn choose_account(_s: &Store, _d: &AcmeUrl, _w: Option<&str>) -> Result<Option<StoredAccount>, Failure> {
    todo!()
}
/// shim
pub fn open_account(_a: &Authority, _s: &StoredAccount) -> Result<Account, Failure> {
    todo!()
}
/// shim
pub async fn register_and_save(
    _l: &LockedStore,
    _a: &Authority,
    _n: &NewAccount,
    _b: Option<&ExternalAccountBinding>,
    _now: chrono::DateTime<chrono::Utc>,
) -> Result<(StoredAccount, Account), Failure> {
    todo!()
}
