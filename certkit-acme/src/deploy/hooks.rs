//! certbot's hook directories and hook commands.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use certkit_core::{Failure, FailureClass, escape};
use rustix::fs::{Access, access};

use crate::command::extended_path;

/// The stages of certbot's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "certbot has exactly these")]
pub enum HookStage {
    /// Before anything is attempted.
    Pre,
    /// For each renewed lineage.
    Deploy,
    /// At the end of a run that attempted something.
    Post,
}

impl HookStage {
    /// certbot's word for it: the directory's name, and the flag's without `-hook`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Deploy => "deploy",
            Self::Post => "post",
        }
    }
}

/// The executables of a hook directory in certbot's order: regular files (links followed) that this user may execute,
/// not ending in `~`, sorted bytewise. A missing directory has none; one that cannot be read is a failure, because hooks
/// would be left out silently.
pub fn directory_hooks(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(FailureClass::Store, format!("the hook directory {} cannot be read: {error}", directory.display()))
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut hooks = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if !path.as_os_str().as_bytes().ends_with(b"~") && is_executable(&path) {
            hooks.push(path);
        }
    }
    hooks.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(hooks)
}

/// certbot's check of a hook command before anything is asked of a CA: its first word must be an executable, by its path
/// or in one of the directories of `path` (the value of PATH) and the standard ones. The error says what to do.
pub fn validate_hook(stage: HookStage, command: &str, path: Option<&OsStr>) -> Result<(), String> {
    // certbot takes an empty hook for none.
    let Some(program) = command.split_whitespace().next() else { return Ok(()) };
    let shown = escape(program);
    let stage = stage.as_str();
    if program.contains('/') {
        let file = Path::new(program);
        if is_executable(file) {
            return Ok(());
        }
        return Err(match fs::metadata(file) {
            Ok(metadata) if metadata.is_file() => {
                format!("the {stage} hook {shown} exists, but this user may not execute it: chmod +x it")
            }
            Ok(_) => format!("the {stage} hook {shown} is not a file"),
            Err(error) => format!("the {stage} hook {shown} cannot be found: {error}"),
        });
    }
    let searched = extended_path(path);
    if std::env::split_paths(&searched).any(|directory| is_executable(&directory.join(program))) {
        return Ok(());
    }
    Err(format!(
        "the {stage} hook's command {shown} is not a program in PATH ({}): give its full path, wrap a shell builtin as `sh -c '…'`, or use --disable-hook-validation",
        escape(&searched.to_string_lossy())
    ))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file()) && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn file(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_hook_directory_is_read_as_certbot_does() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["b", "B", "a.sh", "10-x", "9-x", "ü", ".hidden", "dir-target"] {
            file(&at(name), 0o755);
        }
        file(&at("backup~"), 0o755);
        file(&at("not-executable"), 0o644);
        fs::create_dir(at("subdir")).unwrap();
        symlink(at("dir-target"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        symlink(at("subdir"), at("link-to-dir")).unwrap();
        let hooks = directory_hooks(directory.path()).unwrap();
        let names: Vec<_> = hooks.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, [".hidden", "10-x", "9-x", "B", "a.sh", "b", "dir-target", "link", "ü"]);
    }

    #[test]
    fn a_missing_hook_directory_has_no_hooks_but_an_unreadable_one_is_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(directory_hooks(&directory.path().join("none")).unwrap(), [] as [PathBuf; 0]);
        file(&directory.path().join("file"), 0o755);
        let failure = directory_hooks(&directory.path().join("file")).unwrap_err();
        assert_eq!(failure.class, FailureClass::Store);
        assert!(failure.detail.contains("cannot be read"), "{}", failure.detail);
    }

    #[test]
    fn hooks_must_begin_with_an_executable() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        file(at("good").as_ref(), 0o755);
        file(at("text").as_ref(), 0o644);
        let path = Some(directory.path().as_os_str());
        let check = |command: &str| validate_hook(HookStage::Deploy, command, path);
        assert_eq!(check("good --option"), Ok(()));
        assert_eq!(check(&format!("{} x", at("good"))), Ok(()));
        assert_eq!(check(""), Ok(()));
        // cron's PATH lacks /usr/sbin and even /bin may be missing; certbot looks there all the same.
        assert_eq!(check("sh -c true"), Ok(()));
        assert!(check("exit 3").unwrap_err().contains("not a program in PATH"));
        assert!(check(&at("text")).unwrap_err().contains("chmod +x"));
        assert!(check(&at("none")).unwrap_err().contains("cannot be found"));
        assert!(check(directory.path().to_str().unwrap()).unwrap_err().contains("is not a file"));
        assert!(check("\x1b[2J").unwrap_err().contains("\\u{1b}"));
    }
}
