//! ACME (RFC 8555): directories, accounts, orders, authorizations, certificates.

mod account;
pub use account::{Account, AccountDetails, ExternalAccountBinding, NewAccount, Registered};

mod account_key;
pub use account_key::{AccountKey, AccountKeyError, AccountKeyType, AccountSigner};

mod directory;
pub use directory::{Authority, Directory, RevocationReason};

mod error;
pub use error::AcmeError;

mod order;
pub use order::{
    Authorization, AuthorizationStatus, ChallengeOffer, ChallengeStatus, IssuedChain, NewOrder, Order, OrderStatus,
};
