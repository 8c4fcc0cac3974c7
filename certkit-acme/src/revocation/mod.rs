//! STUB
use certkit_core::Certificate;
use chrono::{DateTime, Utc};
/// stub
pub enum CrlReach {
    /// s
    Loopback,
    /// s
    PublicOnly,
}
/// stub
pub struct RevocationChecker;
/// stub
pub enum RevocationStatus {
    /// s
    Good,
    /// s
    Revoked {
        /// s
        at: DateTime<Utc>,
    },
}
/// stub
pub struct RevocationAnswer {
    /// s
    pub status: RevocationStatus,
    /// s
    pub next_check: DateTime<Utc>,
}
impl RevocationChecker {
    /// stub
    pub fn new(_: crate::transport::Transport) -> Self {
        Self
    }
    /// stub
    pub async fn check(
        &self,
        _: &Certificate,
        _: &Certificate,
        _: CrlReach,
        now: DateTime<Utc>,
    ) -> Result<RevocationAnswer, String> {
        Ok(RevocationAnswer { status: RevocationStatus::Good, next_check: now })
    }
}
