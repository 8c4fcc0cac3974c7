//! STUB
use certkit_core::AriCertificateId;
use chrono::{DateTime, Utc};
/// stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RenewalInfoError;
impl RenewalInfoError {
    /// stub
    pub fn next_try(&self, _: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        now
    }
}
/// stub
pub struct RenewalInfoAnswer {
    /// s
    pub window_start: DateTime<Utc>,
    /// s
    pub window_end: DateTime<Utc>,
    /// s
    pub explanation_url: Option<String>,
    /// s
    pub retry_after: DateTime<Utc>,
}
/// stub
pub async fn renewal_infos(
    _: &super::Authority,
    _: Vec<AriCertificateId>,
    _: &crate::Stop,
) -> Vec<Result<RenewalInfoAnswer, RenewalInfoError>> {
    Vec::new()
}
