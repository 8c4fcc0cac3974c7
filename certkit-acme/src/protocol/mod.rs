//! ACME (RFC 8555): directories, accounts, orders, authorizations, certificates.

mod account;
pub use account::{Account, AccountDetails, NewAccount, Registered};

mod account_key;
pub use account_key::{AccountKey, AccountKeyError, AccountKeyType, AccountSigner};

mod directory;
pub use directory::{Authority, Directory, RevocationReason};

mod error;
pub use error::AcmeError;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

mod instant;

mod jws;
pub use jws::ExternalAccountBinding;

mod order;
pub use order::{
    Authorization, AuthorizationStatus, ChallengeOffer, ChallengeStatus, IssuedChain, NewOrder, Order, OrderStatus,
};

mod renewal_info;
pub use renewal_info::{RenewalInfoAnswer, RenewalInfoError, RenewalInfoErrorKind};

mod renewal_infos;

mod session;

mod wire;
