//! Whether a certificate is revoked: the look-up in its CA's revocation list (RFC 5280 section 6.3).
//!
//! The revocation of a certificate is an outage for those of its clients that check, and the owner hears of it last. OCSP
//! has ended (Let's Encrypt on 2025-08-06), so lists are what there is.

mod cache;

mod error;
pub use error::RevocationError;

use std::sync::Arc;

use certkit_core::{Certificate, CrlReach, CrlReason, CrlUrl, KeyMath, RevocationList};
use chrono::{DateTime, TimeDelta, Utc};

use self::cache::{Cache, Fetched};
use crate::AwsLcKeyMath;
use crate::pause;
use crate::transport::{TransportError, TransportSettings};

/// Looks certificates up in revocation lists. One for each run: every list is fetched once.
///
/// ```no_run
/// use certkit_acme::revocation::{RevocationChecker, RevocationError, RevocationStatus};
/// use certkit_acme::transport::TransportSettings;
/// use certkit_core::{Chain, CrlReach};
/// use chrono::{DateTime, Utc};
///
/// async fn is_revoked(chain: &Chain, now: DateTime<Utc>) -> Result<bool, RevocationError> {
///     let checker = RevocationChecker::new(&TransportSettings::from_env(), CrlReach::PublicOnly)?;
///     let Some(issuer) = chain.issuers.first() else { return Ok(false) };
///     let answer = checker.check(&chain.leaf, issuer, now).await?;
///     Ok(matches!(answer.status, RevocationStatus::Revoked { .. }))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RevocationChecker {
    reach: CrlReach,
    cache: Arc<Cache>,
}

/// What is known about the revocation of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationAnswer {
    /// Revoked or not.
    pub status: RevocationStatus,
    /// When to look again: when the list is to be replaced, but 1 hour to 1 day from now.
    pub next_check: DateTime<Utc>,
}

/// Revoked or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationStatus {
    /// Its CA's list of today does not have it.
    Good,
    /// Its CA's list has it.
    Revoked {
        /// Since when (UTC).
        at: DateTime<Utc>,
        /// Why, when the CA says so.
        reason: Option<CrlReason>,
    },
    /// There is nowhere to look.
    NotChecked {
        /// Why not.
        why: NotChecked,
    },
}

/// Why there is nowhere to look a certificate up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotChecked {
    /// It names no list that can be fetched by http or https and covers every reason.
    NoDistributionPoint,
    /// It has expired: CAs take such certificates off their lists (RFC 5280 section 3.3).
    Expired,
}

/// A list is not looked at more often, however short it lives.
const SOONEST_CHECK: TimeDelta = TimeDelta::hours(1);
/// A list may be good for a week, and what is revoked today is in a new one today.
const LATEST_CHECK: TimeDelta = TimeDelta::days(1);
/// More distribution points than any CA names; the rest is not tried.
const MOST_POINTS: usize = 4;

impl RevocationChecker {
    /// A checker without any lists. `reach` says where the URLs in certificates may lead; [`CrlReach::of_directory`] knows
    /// it for the certificates of a CA. Through a proxy it is the proxy that resolves names, and may reach more.
    pub fn new(settings: &TransportSettings, reach: CrlReach) -> Result<Self, TransportError> {
        Ok(Self { reach, cache: Arc::new(Cache::new(settings, reach)?) })
    }

    /// Looks a certificate up in the list of its issuer, which is fetched unless this checker has it. The list counts only
    /// when the issuer has signed it, when it is of today, and when it is about certificates like this one; everything else
    /// is an error, and neither good nor revoked.
    ///
    /// `issuer` is the certificate after it in its chain.
    pub async fn check(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: DateTime<Utc>,
    ) -> Result<RevocationAnswer, RevocationError> {
        let not_checked = |why| RevocationAnswer {
            status: RevocationStatus::NotChecked { why },
            next_check: pause::after(now, LATEST_CHECK),
        };
        if certificate.validity().not_after < now {
            return Ok(not_checked(NotChecked::Expired));
        }
        let points = certificate.crl_distribution_points()?;
        if points.is_empty() {
            return Ok(not_checked(NotChecked::NoDistributionPoint));
        }
        check_issuer(certificate, issuer)?;
        let mut first_error = None;
        // Each one alone would do: they are copies of one list, or lists that all have every reason.
        for point in points.iter().take(MOST_POINTS) {
            match self.look_up(certificate, issuer, point, now).await {
                Ok(answer) => return Ok(answer),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or_else(|| Ok(not_checked(NotChecked::NoDistributionPoint)), Err)
    }

    async fn look_up(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        point: &str,
        now: DateTime<Utc>,
    ) -> Result<RevocationAnswer, RevocationError> {
        let url = CrlUrl::parse(point, self.reach)?;
        let fetched = self.cache.get(&url).await?;
        verified(&fetched, issuer, &url).await?;
        let list = &fetched.list;
        let unusable = |source| RevocationError::Unusable { url: url.clone(), source };
        let found = list.look_up(certificate, point, now).map_err(unusable)?;
        let status = match found {
            None => RevocationStatus::Good,
            Some(found) => RevocationStatus::Revoked { at: found.at, reason: found.reason },
        };
        let next_update = list.next_update().unwrap_or(now);
        let next_check = next_update.clamp(pause::after(now, SOONEST_CHECK), pause::after(now, LATEST_CHECK));
        Ok(RevocationAnswer { status, next_check })
    }
}

/// The list of somebody who did not issue the certificate would make it look good.
fn check_issuer(certificate: &Certificate, issuer: &Certificate) -> Result<(), RevocationError> {
    if !certificate.could_be_issued_by(issuer) {
        return Err(RevocationError::NotItsIssuer);
    }
    if !issuer.may_sign_revocation_lists() {
        return Err(RevocationError::NoSignerOfLists);
    }
    AwsLcKeyMath::new().verify_signature(certificate, issuer).map_err(|_| RevocationError::NotItsIssuer)
}

/// Checks the list's signature, once for each key. Lists are megabytes, so not among the caller's other work.
async fn verified(fetched: &Arc<Fetched>, issuer: &Certificate, url: &CrlUrl) -> Result<(), RevocationError> {
    let key = issuer.spki_sha256();
    let known = fetched.verified(&key);
    let result = match known {
        Some(result) => result,
        None => {
            let (list, issuer): (RevocationList, _) = (fetched.list.clone(), issuer.clone());
            let math = AwsLcKeyMath::new();
            let result = tokio::task::spawn_blocking(move || math.verify_revocation_list(&list, &issuer)).await;
            let result = result.map_err(|_| RevocationError::Interrupted)?;
            fetched.remember(key, result.clone());
            result
        }
    };
    result.map_err(|source| RevocationError::Unverified { url: url.clone(), source })
}
