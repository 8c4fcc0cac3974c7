//! Which targets others read; what they are called is told by core.

use certkit_core::state::DeployTarget;
pub use certkit_core::words::deploy_target as describe;

/// Whether a target is a file, which the others may read: files are written before anything is reloaded or run, and when
/// one that had failed succeeds later, what was reloaded in between has to be reloaded again.
pub fn is_file(target: &DeployTarget) -> bool {
    matches!(target, DeployTarget::Combined(_) | DeployTarget::Copy(_) | DeployTarget::Der(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_others_read() {
        for file in [DeployTarget::Combined, DeployTarget::Copy, DeployTarget::Der] {
            assert!(is_file(&file("/x".into())));
        }
        for other in [DeployTarget::Command, DeployTarget::Hook, DeployTarget::Installer, DeployTarget::Reload] {
            assert!(!is_file(&other("x".into())));
        }
    }
}
