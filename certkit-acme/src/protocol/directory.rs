//! A CA's directory (RFC 8555 section 7.1.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use certkit_core::AcmeUrl;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::session::{NoncePool, due};
use super::{AcmeError, wire};
use crate::transport::{HttpAnswer, Transport};

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
    /// meta.caaIdentities: the CA's issuer domain names in CAA records. Not escaped.
    pub caa_identities: Vec<String>,
    /// meta.profiles with their descriptions, which are escaped; the names are not.
    pub profiles: BTreeMap<String, String>,
    /// The Date header of the answer.
    pub date: Option<DateTime<Utc>>,
}

/// A CA that can be talked to.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(crate) transport: Transport,
    pub(crate) directory: Arc<Directory>,
    pub(super) nonces: Arc<NoncePool>,
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

impl RevocationReason {
    /// Its number in a CRL (RFC 5280 section 5.3.1).
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

impl Authority {
    /// Reads the directory.
    pub async fn connect(transport: Transport, directory_url: &AcmeUrl) -> Result<Self, AcmeError> {
        let answer = transport.get(directory_url).await?;
        let directory = Directory::read(directory_url, &due(directory_url, answer, 200, WHAT)?)?;
        Ok(Self { transport, directory: Arc::new(directory), nonces: Arc::default() })
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How it is reached.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }
}

const WHAT: &str = "an ACME directory";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDirectory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    revoke_cert: Option<String>,
    key_change: Option<String>,
    renewal_info: Option<String>,
    meta: Option<WireMeta>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    terms_of_service: Option<String>,
    external_account_required: Option<bool>,
    caa_identities: Option<serde_json::Value>,
    profiles: Option<BTreeMap<String, serde_json::Value>>,
}

impl Directory {
    pub(super) fn read(url: &AcmeUrl, answer: &HttpAnswer) -> Result<Self, AcmeError> {
        let wire: WireDirectory = wire::json(url, answer, WHAT)?;
        let meta = wire.meta.unwrap_or_default();
        let link = |text: String| wire::link(url, answer, &text);
        // A description is for people; one that is no text is as good as none.
        let described =
            |(name, text): (String, serde_json::Value)| (name, text.as_str().map(wire::quote).unwrap_or_default());
        Ok(Self {
            url: url.clone(),
            new_nonce: link(wire.new_nonce)?,
            new_account: link(wire.new_account)?,
            new_order: link(wire.new_order)?,
            revoke_cert: wire.revoke_cert.map(link).transpose()?,
            key_change: wire.key_change.map(link).transpose()?,
            renewal_info: wire.renewal_info.map(link).transpose()?,
            terms_of_service: meta.terms_of_service.as_deref().map(wire::quote),
            external_account_required: meta.external_account_required.unwrap_or(false),
            caa_identities: strings(meta.caa_identities.as_ref()),
            profiles: meta.profiles.unwrap_or_default().into_iter().map(described).collect(),
            date: answer.date,
        })
    }
}

/// The texts of a list; whatever else stands there is passed over.
fn strings(list: Option<&serde_json::Value>) -> Vec<String> {
    let items = list.and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
