//! Hooks and reloads: what receives a new version.

mod hooks;
pub use hooks::{HookStage, directory_hooks, validate_hook};

mod reload;
pub use reload::{WebServer, reload};

use std::path::Path;

use certkit_core::Failure;
use certkit_core::state::DeployTarget;

use crate::command::{CommandOutcome, CommandSettings};

/// Runs one deploy target for a lineage. `lineage_path` is `live/NAME`; RENEWED_LINEAGE and RENEWED_DOMAINS are set.
pub async fn deploy(
    _target: &DeployTarget,
    _lineage_path: &Path,
    _domains: &[String],
    _settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    todo!()
}
