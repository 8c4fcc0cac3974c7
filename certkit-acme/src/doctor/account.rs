//! Whether a CA still knows the account that is stored for it.

use certkit_core::store::StoredAccount;
use certkit_core::{Finding, FindingCode, Severity};

use super::{Check, Examined};
use crate::accounts::says_deactivated;
use crate::protocol::{AccountKey, AcmeError, Authority};

/// The account that the certificates of a CA are ordered with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WantedAccount {
    /// This one.
    Stored(Box<StoredAccount>),
    /// There is none.
    Missing,
    /// It cannot be told which: the store cannot be read, or there are several.
    Unknown {
        /// Why, a sentence without a full stop.
        because: String,
    },
}

/// Asks the CA for the account of the stored key, without making one (RFC 8555 section 7.3.1), and for its status.
pub async fn check_account(authority: &Authority, account: &WantedAccount) -> Vec<Examined> {
    let directory = authority.directory();
    let stored = match account {
        WantedAccount::Stored(stored) => stored,
        WantedAccount::Unknown { because } => {
            return vec![Examined::not_checked(Check::Account, directory.url.as_str(), because)];
        }
        WantedAccount::Missing => {
            let (code, cure) = if directory.external_account_required {
                let cure = format!(
                    "get credentials from the CA, and run certkit register --server {} --eab-kid KID --eab-hmac-key KEY",
                    directory.url
                );
                (FindingCode::ExternalAccountNeeded, cure)
            } else {
                (FindingCode::AccountMissing, format!("certkit register --server {}", directory.url))
            };
            let finding = Finding::new(code, directory.url.as_str(), "").with_cure(cure);
            return vec![Examined::found(Check::Account, directory.url.as_str(), vec![finding])];
        }
    };
    let subject = stored.uri.as_str();
    vec![match look_up(authority, stored).await {
        Ok(finding) => Examined::found(Check::Account, subject, finding.into_iter().collect()),
        Err(because) => Examined::not_checked(Check::Account, subject, because),
    }]
}

async fn look_up(authority: &Authority, stored: &StoredAccount) -> Result<Option<Finding>, String> {
    let directory = authority.directory();
    let subject = stored.uri.as_str();
    // What cannot be read is told by the checks of the store.
    let key = AccountKey::from_jwk(&stored.jwk).map_err(|error| format!("its key cannot be used: {error}"))?;
    let deactivated = |evidence: String| {
        let cure = format!(
            "certkit register --server {}; then name the new account in the confs that name this one: certkit reconfigure --cert-name NAME --account ID",
            directory.url
        );
        Some(Finding::new(FindingCode::AccountDeactivated, subject, evidence).with_cure(cure))
    };
    let account = match authority.find_account(key).await {
        Ok(Some(account)) => account,
        Ok(None) => {
            let finding = Finding::new(FindingCode::AccountLost, subject, "");
            if !directory.external_account_required {
                return Ok(Some(finding));
            }
            let cure = format!(
                "get credentials from the CA, and run certkit register --server {} --eab-kid KID --eab-hmac-key KEY",
                directory.url
            );
            return Ok(Some(finding.with_severity(Severity::Error).with_cure(cure)));
        }
        Err(error) => return of_error(subject, error, deactivated),
    };
    match account.details().await {
        Ok(details) if details.status == "valid" => Ok(None),
        Ok(details) => Ok(deactivated(format!("its status is `{}`", details.status))),
        Err(error) => of_error(subject, error, deactivated),
    }
}

/// A refusal that says something about the account is a finding; any other error says nothing about it.
fn of_error(
    subject: &str,
    error: AcmeError,
    deactivated: impl Fn(String) -> Option<Finding>,
) -> Result<Option<Finding>, String> {
    if says_deactivated(&error) {
        return Ok(deactivated(error.to_string()));
    }
    match &error {
        AcmeError::Refused { problem, instance, .. } if problem.kind == "userActionRequired" => {
            let finding = Finding::new(FindingCode::TermsNotAgreed, subject, problem.detail.as_str());
            Ok(Some(match instance {
                Some(instance) => finding.with_cure(format!("read {instance} and agree there")),
                None => finding,
            }))
        }
        AcmeError::Refused { problem, .. } if problem.kind == "accountDoesNotExist" => {
            Ok(Some(Finding::new(FindingCode::AccountLost, subject, "")))
        }
        _ => Err(error.to_string()),
    }
}
