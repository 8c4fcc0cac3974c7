//! An account at a CA and what it can do.

use certkit_core::{AcmeUrl, Certificate};

use super::{AcmeError, Authorization, IssuedChain, NewOrder, Order, RevocationReason};

/// An account at a CA. All requests are signed with its own key, whatever its kind. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Account {}

/// What is needed to register.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NewAccount {
    /// Mail addresses, without `mailto:`.
    pub contacts: Vec<String>,
    /// The owner agreed to the terms of service.
    pub terms_of_service_agreed: bool,
}

/// Credentials that a CA hands out outside ACME (RFC 8555 section 7.3.4). Never shown.
pub struct ExternalAccountBinding {
    // helper D: kid, hmac key (zeroized), HmacAlgorithm HS256/384/512
}

/// The outcome of a registration.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// Whether the CA made it just now.
    pub is_new: bool,
}

/// What the CA says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountDetails {
    /// `valid`, `deactivated` or `revoked`, escaped.
    pub status: String,
    /// Contacts without `mailto:`, escaped.
    pub contacts: Vec<String>,
}

impl NewAccount {
    /// With these contacts.
    pub fn new(contacts: Vec<String>, terms_of_service_agreed: bool) -> Self {
        Self { contacts, terms_of_service_agreed }
    }
}

impl ExternalAccountBinding {
    /// `kid` and the base64url (or base64) HMAC key as the CA shows them; `algorithm` HS256, HS384 or HS512.
    pub fn new(_kid: &str, _hmac_key: &str, _algorithm: &str) -> Result<Self, AcmeError> {
        todo!()
    }
}

impl Account {
    /// Its URL.
    pub fn url(&self) -> &AcmeUrl {
        todo!()
    }

    /// The key authorization of a challenge token (RFC 8555 section 8.1).
    pub fn key_authorization(&self, _token: &str) -> String {
        todo!()
    }

    /// The thumbprint of its key.
    pub fn thumbprint(&self) -> String {
        todo!()
    }

    /// What the CA says of it.
    pub async fn details(&self) -> Result<AccountDetails, AcmeError> {
        todo!()
    }

    /// Replaces the contacts.
    pub async fn update_contacts(&self, _contacts: &[String]) -> Result<AccountDetails, AcmeError> {
        todo!()
    }

    /// Deactivates it for good.
    pub async fn deactivate(&self) -> Result<(), AcmeError> {
        todo!()
    }

    /// Places an order. Its URL must be kept by the caller before anything else is done.
    pub async fn new_order(&self, _order: &NewOrder) -> Result<Order, AcmeError> {
        todo!()
    }

    /// Reads an order again.
    pub async fn order(&self, _url: &AcmeUrl) -> Result<Order, AcmeError> {
        todo!()
    }

    /// Reads an authorization.
    pub async fn authorization(&self, _url: &AcmeUrl) -> Result<Authorization, AcmeError> {
        todo!()
    }

    /// Gives up an authorization, so that the next order validates the name anew.
    pub async fn deactivate_authorization(&self, _url: &AcmeUrl) -> Result<(), AcmeError> {
        todo!()
    }

    /// Tells the CA that a challenge can be validated.
    pub async fn challenge_ready(&self, _url: &AcmeUrl) -> Result<(), AcmeError> {
        todo!()
    }

    /// Sends the CSR (DER).
    pub async fn finalize(&self, _order: &Order, _csr_der: &[u8]) -> Result<Order, AcmeError> {
        todo!()
    }

    /// Downloads the default chain and, when asked for, the alternates.
    pub async fn certificate(&self, _url: &AcmeUrl, _with_alternates: bool) -> Result<Vec<IssuedChain>, AcmeError> {
        todo!()
    }

    /// Revokes a certificate with the account's key.
    pub async fn revoke(&self, _certificate: &Certificate, _reason: Option<RevocationReason>) -> Result<(), AcmeError> {
        todo!()
    }
}
