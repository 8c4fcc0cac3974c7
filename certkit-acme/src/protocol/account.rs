//! An account at a CA and what it can do.

use std::fmt;
use std::sync::Arc;

use certkit_core::{AcmeUrl, Certificate, Chain, IdentifierSet, PrivateKey, escape};
use serde_json::json;

use super::session::{SignedBy, due};
use super::wire::{self, not_acme, success};
use super::{AccountKey, AcmeError, Authority, Authorization, IssuedChain, NewOrder, Order, RevocationReason, instant};

/// More alternate chains than any CA offers (Let's Encrypt: two); the rest is not fetched.
const MOST_ALTERNATES: usize = 8;
/// More issuers than any public hierarchy has (Let's Encrypt: three, cross-signs included).
const LONGEST_CHAIN: usize = 16;

/// An account at a CA. All requests are signed with its own key, whatever its kind. Cheap to clone.
#[derive(Clone)]
pub struct Account {
    inner: Arc<Inner>,
}

struct Inner {
    authority: Authority,
    key: AccountKey,
    url: AcmeUrl,
    throw_away_key: instant::ThrowAwayKey,
}

/// What is needed to register.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NewAccount {
    /// Mail addresses, without `mailto:`.
    pub contacts: Vec<String>,
    /// The owner agreed to the terms of service.
    pub terms_of_service_agreed: bool,
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

impl Account {
    pub(super) fn new(authority: Authority, key: AccountKey, url: AcmeUrl) -> Self {
        Self { inner: Arc::new(Inner { authority, key, url, throw_away_key: instant::ThrowAwayKey::default() }) }
    }

    /// The CA that it is with.
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    pub(super) fn key(&self) -> &AccountKey {
        &self.inner.key
    }

    pub(super) fn throw_away_key(&self) -> &instant::ThrowAwayKey {
        &self.inner.throw_away_key
    }

    /// Its URL.
    pub fn url(&self) -> &AcmeUrl {
        &self.inner.url
    }

    /// The key authorization of a challenge token (RFC 8555 section 8.1).
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// The thumbprint of its key.
    pub fn thumbprint(&self) -> String {
        self.inner.key.thumbprint()
    }

    /// What the CA says of it.
    pub async fn details(&self) -> Result<AccountDetails, AcmeError> {
        let answer = self.fetch(self.url(), "an account").await?;
        wire::account(self.url(), &answer)
    }

    /// Replaces the contacts (mail addresses, without `mailto:`). None at all removes them.
    pub async fn update_contacts(&self, contacts: &[String]) -> Result<AccountDetails, AcmeError> {
        let answer = instant::update_contacts(self, &contact_urls(contacts)?).await?;
        wire::account(self.url(), &answer)
    }

    /// Deactivates it for good (RFC 8555 section 7.3.6).
    pub async fn deactivate(&self) -> Result<(), AcmeError> {
        let answer = self.tell(self.url(), &json!({ "status": "deactivated" }), "an account").await?;
        let details = wire::account(self.url(), &answer)?;
        if details.status == "deactivated" {
            return Ok(());
        }
        Err(not_acme(self.url(), &answer, format!("the account is still `{}`", details.status)))
    }

    /// Gives it another key of any kind (RFC 8555 section 7.3.5); the URL stays. Without an answer (a connection that was
    /// cut) either key may count: [`Authority::find_account`] tells. The caller must have stored the new key before.
    pub async fn change_key(&self, new: AccountKey) -> Result<Self, AcmeError> {
        let url = self.key_change_url()?;
        if new.thumbprint() == self.thumbprint() {
            return Err(AcmeError::Input("the new key is the one that the account has".into()));
        }
        let inner = super::jws::key_change(&new, self.key(), self.url(), url)?;
        let answer = self.send(url, &super::jws::encode(&inner), None).await?;
        if answer.status == 409 {
            return Err(AcmeError::KeyInUse { url: url.clone(), account: answer.location });
        }
        success(url, answer, "an account")?;
        Ok(Self::new(self.authority().clone(), new, self.url().clone()))
    }

    /// Where another key is asked for.
    pub(crate) fn key_change_url(&self) -> Result<&AcmeUrl, AcmeError> {
        let directory = self.authority().directory();
        let what = "change of account keys (keyChange)";
        directory.key_change.as_ref().ok_or_else(|| AcmeError::NotOffered { directory: directory.url.clone(), what })
    }

    /// What kind of key it has.
    pub(crate) fn key_type(&self) -> super::AccountKeyType {
        self.inner.key.key_type()
    }

    /// Places an order. Its URL must be kept by the caller before anything else is done.
    ///
    /// `replaces` only asks for a favour: an order that the CA refuses with it is placed once more without it
    /// (`alreadyReplaced`, another account's certificate, a certificate that it does not know).
    pub async fn new_order(&self, order: &NewOrder) -> Result<Order, AcmeError> {
        let replaces = order.replaces.as_deref().filter(|_| self.authority().directory().renewal_info.is_some());
        let placed = match instant::new_order(self, order, replaces).await {
            Err(error) if replaces.is_some() && refuses_replaces(&error) => {
                instant::new_order(self, order, None).await?
            }
            other => Order { replaces: replaces.is_some(), ..other? },
        };
        self.same_identifiers(&placed, &order.identifiers)?;
        Ok(placed)
    }

    /// Reads an order again. What it is for is what the CA says: see [`Order::is_for`] before anything follows from it.
    pub async fn order(&self, url: &AcmeUrl) -> Result<Order, AcmeError> {
        instant::order(self, url).await
    }

    /// Reads an authorization.
    pub async fn authorization(&self, url: &AcmeUrl) -> Result<Authorization, AcmeError> {
        let answer = self.fetch(url, "an authorization").await?;
        wire::authorization(url, &answer)
    }

    /// Gives up an authorization, so that the next order validates the name anew (RFC 8555 section 7.5.2).
    pub async fn deactivate_authorization(&self, url: &AcmeUrl) -> Result<(), AcmeError> {
        self.tell(url, &json!({ "status": "deactivated" }), "an authorization").await.map(drop)
    }

    /// Tells the CA that a challenge can be validated (RFC 8555 section 7.5.1).
    pub async fn challenge_ready(&self, url: &AcmeUrl) -> Result<(), AcmeError> {
        self.tell(url, &json!({}), "a challenge").await.map(drop)
    }

    /// Sends the CSR (DER). An order whose `status` is not [`Ready`](crate::protocol::OrderStatus::Ready) is read first;
    /// one that the CA says is not ready (a connection that was cut had finalized it already, or it is lost) comes back
    /// as it is.
    pub async fn finalize(&self, order: &Order, csr_der: &[u8]) -> Result<Order, AcmeError> {
        let finalized = instant::finalize(self, order, csr_der).await?;
        self.same_identifiers(&finalized, &order.identifiers)?;
        Ok(finalized)
    }

    /// Downloads the default chain and, when asked for, the alternates. An alternate that cannot be had, or that is for
    /// another certificate, is left out: the default chain is what the order is about.
    pub async fn certificate(&self, url: &AcmeUrl, with_alternates: bool) -> Result<Vec<IssuedChain>, AcmeError> {
        let (first, links) = self.chain(url).await?;
        let mut chains = vec![first];
        if with_alternates {
            for (_, alternate) in links.iter().filter(|(relation, _)| relation == "alternate").take(MOST_ALTERNATES) {
                if chains.iter().any(|chain| chain.url == *alternate) {
                    continue;
                }
                match self.chain(alternate).await {
                    Ok((chain, _)) if chains.iter().all(|known| known.chain.leaf == chain.chain.leaf) => {
                        chains.push(chain);
                    }
                    _ => {}
                }
            }
        }
        Ok(chains)
    }

    /// Revokes a certificate with the account's key.
    pub async fn revoke(&self, certificate: &Certificate, reason: Option<RevocationReason>) -> Result<(), AcmeError> {
        self.authority().revoke_url()?;
        instant::revoke(self, certificate, reason).await
    }

    async fn chain(&self, url: &AcmeUrl) -> Result<(IssuedChain, Vec<(String, AcmeUrl)>), AcmeError> {
        const PEM_CHAIN: &str = "application/pem-certificate-chain";
        let answer = success(url, self.send(url, "", Some(PEM_CHAIN)).await?, "a certificate chain")?;
        let mut answer = due(url, answer, 200, "a certificate chain")?;
        answer.links.retain(|(_, target)| wire::may_lead(url, target).is_ok());
        let chain = Chain::from_pem(&answer.body).map_err(|error| {
            let what = wire::came_instead_of_pem(&answer);
            not_acme(url, &answer, format!("{what} ({})", escape(&error.to_string())))
        })?;
        if chain.issuers.len() > LONGEST_CHAIN {
            let length = chain.issuers.len() + 1;
            return Err(not_acme(url, &answer, format!("a chain of {length} certificates")));
        }
        Ok((IssuedChain { url: url.clone(), chain }, answer.links))
    }

    /// RFC 8555 section 7.1.3: an order is for what was asked for. Another one must never be finalized.
    fn same_identifiers(&self, order: &Order, asked: &IdentifierSet) -> Result<(), AcmeError> {
        if order.is_for(asked) {
            return Ok(());
        }
        let list = |set: &IdentifierSet| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(AcmeError::NotAcme {
            url: order.url.clone(),
            status: 200,
            what: wire::quote(&format!("an order for {} instead of {}", list(&order.identifiers), list(asked))),
            retry_after: None,
        })
    }
}

impl Authority {
    /// Registers `key`. A key that is registered already gives its account.
    pub async fn register(
        &self,
        key: AccountKey,
        new: &NewAccount,
        binding: Option<&super::ExternalAccountBinding>,
    ) -> Result<Registered, AcmeError> {
        let url = &self.directory().new_account;
        let mut payload = json!({ "termsOfServiceAgreed": new.terms_of_service_agreed });
        if !new.contacts.is_empty() {
            payload["contact"] = contact_urls(&new.contacts)?.into();
        }
        if let Some(binding) = binding {
            payload["externalAccountBinding"] = super::jws::bind(&key, binding, url)?;
        }
        let answer = self.post(SignedBy::Key(&key), url, &super::jws::encode(&payload), None).await?;
        let answer = success(url, answer, "an account")?;
        let at = wire::location(url, &answer, "an account")?;
        Ok(Registered { account: Account::new(self.clone(), key, at), is_new: answer.status == 201 })
    }

    /// The account of a key that the CA knows already; `None` when it does not know it.
    pub async fn find_account(&self, key: AccountKey) -> Result<Option<Account>, AcmeError> {
        let url = &self.directory().new_account;
        let payload = super::jws::encode(&json!({ "onlyReturnExisting": true }));
        let answer = self.post(SignedBy::Key(&key), url, &payload, None).await?;
        match success(url, answer, "an account") {
            Ok(answer) => {
                let at = wire::location(url, &answer, "an account")?;
                Ok(Some(Account::new(self.clone(), key, at)))
            }
            Err(error) if error.problem_kind() == Some("accountDoesNotExist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An account whose URL is known; nothing is asked.
    pub fn account(&self, key: AccountKey, url: AcmeUrl) -> Result<Account, AcmeError> {
        Ok(Account::new(self.clone(), key, url))
    }

    /// Revokes a certificate with its own key (RFC 8555 section 7.6).
    pub async fn revoke_with_certificate_key(
        &self,
        certificate: &Certificate,
        key: &PrivateKey,
        reason: Option<RevocationReason>,
    ) -> Result<(), AcmeError> {
        let url = self.revoke_url()?;
        let signer = AccountKey::from_private_key(key).map_err(|error| AcmeError::Input(error.to_string()))?;
        if signer.spki_der() != certificate.spki_der() {
            return Err(AcmeError::Input("the key is not that of the certificate".into()));
        }
        let mut payload = json!({ "certificate": data_encoding::BASE64URL_NOPAD.encode(certificate.der()) });
        if let Some(reason) = reason {
            payload["reason"] = reason.code().into();
        }
        let answer = self.post(SignedBy::Key(&signer), url, &super::jws::encode(&payload), None).await?;
        success(url, answer, "a revocation").map(drop)
    }

    fn revoke_url(&self) -> Result<&AcmeUrl, AcmeError> {
        let directory = self.directory();
        let missing = || AcmeError::NotOffered { directory: directory.url.clone(), what: "revokeCert" };
        directory.revoke_cert.as_ref().ok_or_else(missing)
    }
}

/// Whether a CA may have refused an order only because of `replaces`: `alreadyReplaced` (409) after a crash or by another
/// client, a certificate of another account or with no name in common (`unauthorized`, `malformed`), one that it does not
/// know (404). What it says of a profile or a limit is not about `replaces`.
fn refuses_replaces(error: &AcmeError) -> bool {
    let about_a_profile = matches!(error, AcmeError::Refused { problem, .. }
        if problem.detail.to_ascii_lowercase().contains("profile"));
    match error.problem_kind() {
        Some("alreadyReplaced" | "malformed" | "conflict") => true,
        Some("unauthorized") => !about_a_profile,
        _ => matches!(error.http_status(), Some(404 | 409)),
    }
}

/// Mail addresses as RFC 8555 section 7.3 wants them.
fn contact_urls(contacts: &[String]) -> Result<Vec<String>, AcmeError> {
    let url = |contact: &String| {
        let address = contact.trim();
        let address = address.strip_prefix("mailto:").unwrap_or(address);
        let good = !address.is_empty() && !address.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',');
        good.then(|| format!("mailto:{address}"))
            .ok_or_else(|| AcmeError::Input(format!("`{}` is not a mail address", wire::quote(contact))))
    };
    contacts.iter().map(url).collect()
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("url", &self.inner.url).field("key", &self.inner.key).finish_non_exhaustive()
    }
}
