//! What targets are called, and which of them others read.

use certkit_core::escape;
use certkit_core::state::DeployTarget;

/// A target in words for people, escaped: `copy to /etc/postfix/tls`, `reload of nginx.service`.
pub fn describe(target: &DeployTarget) -> String {
    match target {
        DeployTarget::Combined(path) => format!("combined file {}", escape(path)),
        DeployTarget::Command(command) => format!("command `{}`", escape(command)),
        DeployTarget::Copy(folder) => format!("copy to {}", escape(folder)),
        DeployTarget::Der(path) => format!("DER file {}", escape(path)),
        DeployTarget::DirectoryHook(path) => escape(path).into_owned(),
        DeployTarget::Hook(command) => format!("deploy hook `{}`", escape(command)),
        DeployTarget::Installer(name) => format!("reload of {}", escape(name)),
        DeployTarget::Reload(unit) => format!("reload of {}", escape(unit)),
        _ => "target that this version has no words for".to_owned(),
    }
}

/// Whether a target is a file, which the others may read: files are written before anything is reloaded or run, and when
/// one that had failed succeeds later, what was reloaded in between has to be reloaded again.
pub fn is_file(target: &DeployTarget) -> bool {
    matches!(target, DeployTarget::Combined(_) | DeployTarget::Copy(_) | DeployTarget::Der(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_escaped() {
        assert_eq!(describe(&DeployTarget::Copy("/etc/x\x1b".into())), "copy to /etc/x\\u{1b}");
        assert_eq!(describe(&DeployTarget::Combined("/a.pem".into())), "combined file /a.pem");
        assert_eq!(describe(&DeployTarget::Der("/a.der".into())), "DER file /a.der");
        assert_eq!(describe(&DeployTarget::Command("x\n".into())), "command `x\\u{a}`");
        assert_eq!(describe(&DeployTarget::Reload("nginx.service".into())), "reload of nginx.service");
    }

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
