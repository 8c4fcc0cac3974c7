//! STUB
use certkit_core::state::DeployTarget;
/// s
pub fn describe(target: &DeployTarget) -> String {
    format!("{target:?}")
}
/// s
pub fn is_file(target: &DeployTarget) -> bool {
    matches!(target, DeployTarget::Combined(_) | DeployTarget::Copy(_) | DeployTarget::Der(_))
}
/// s
pub struct DeployedVersion<'a>(&'a ());
impl<'a> DeployedVersion<'a> {
    /// s
    pub fn new(
        _: &'a std::path::Path,
        _: &'a [String],
        _: &'a certkit_core::Chain,
        _: &'a certkit_core::PrivateKey,
    ) -> Self {
        Self(&())
    }
}
/// s
pub async fn deploy_setting(
    _: &certkit_core::settings::DeploySetting,
    _: &DeployedVersion<'_>,
    _: &crate::command::CommandSettings,
) -> (crate::command::CommandOutcome, Result<(), certkit_core::Failure>) {
    (crate::command::CommandOutcome::not_started("x".to_owned()), Ok(()))
}
