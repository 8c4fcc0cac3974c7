//! certbot's hook directories and hook commands.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use certkit_core::{Failure, FailureClass, Hindrance, escape};
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
/// would be left out silently. It asks the file system: call it where blocking is allowed.
///
/// A hook that somebody besides root and the running user can have written is a failure that names it and the cure: when
/// it, or the directory that holds it, is writable for everybody or belongs to another user. Group-writable ones are
/// left to the administrator.
pub fn directory_hooks(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| {
        let what = format!("the hook directory {} cannot be read: {error}", directory.display());
        Failure::new(FailureClass::Store, what).with_hindrance(Hindrance::of(&error))
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
    check_writers(&hooks)?;
    Ok(hooks)
}

/// The failure when somebody besides root and the running user can have written one of these hooks. Missing files are
/// not its business.
pub(super) fn check_writers(hooks: &[PathBuf]) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for hook in hooks {
        // Of a link, what it leads to counts as well: whoever can exchange that decides what runs.
        let target = fs::canonicalize(hook).ok();
        let targets_directory = target.as_deref().and_then(Path::parent).map(|path| (path, Sticky::Protects));
        let places = hook.parent().map(|path| (path, Sticky::IsNotEnough)).into_iter();
        for (place, sticky) in places.chain(targets_directory).chain([(hook.as_path(), Sticky::IsNotEnough)]) {
            if let Some(problem) = writers_problem(place, sticky)
                && !problems.contains(&problem)
            {
                problems.push(problem);
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::new(FailureClass::Settings, format!("hooks are not run: {}", problems.join("; "))))
}

/// What the sticky bit of a directory that everybody can write to is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sticky {
    /// The hook is named by its path, and nobody else can exchange it.
    Protects,
    /// The hook was found by listing, and everybody can add one.
    IsNotEnough,
}

fn writers_problem(place: &Path, sticky: Sticky) -> Option<String> {
    const WRITABLE_FOR_OTHERS: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let metadata = fs::metadata(place).ok()?;
    let shown = place.display();
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Some(format!(
            "{shown} belongs to user {owner}, neither root nor the user who runs this: chown root {shown}"
        ));
    }
    let protected = metadata.is_dir() && sticky == Sticky::Protects && metadata.mode() & STICKY != 0;
    if metadata.mode() & WRITABLE_FOR_OTHERS != 0 && !protected {
        return Some(format!("everybody on this machine can write to {shown}: chmod o-w {shown}"));
    }
    None
}

/// certbot's check of a hook command before anything is asked of a CA: its first word must be an executable, by its path
/// or in one of the directories of `path` (the value of PATH) and the standard ones. The error says what to do.
pub fn validate_hook(stage: HookStage, command: &str, path: Option<&OsStr>) -> Result<(), String> {
    validate_command(&format!("{} hook", stage.as_str()), command, path)
}

/// The same for any command that is called `what`.
pub(crate) fn validate_command(what: &str, command: &str, path: Option<&OsStr>) -> Result<(), String> {
    // certbot takes an empty hook for none.
    let Some(program) = command.split_whitespace().next() else { return Ok(()) };
    let shown = escape(program);
    if program.contains('/') {
        let file = Path::new(program);
        if is_executable(file) {
            return Ok(());
        }
        return Err(match fs::metadata(file) {
            Ok(metadata) if metadata.is_file() => {
                format!("the {what} {shown} exists, but this user may not execute it: chmod +x it")
            }
            Ok(_) => format!("the {what} {shown} is not a file"),
            Err(error) => format!("the {what} {shown} cannot be found: {error}"),
        });
    }
    let searched = extended_path(path);
    if std::env::split_paths(&searched).any(|directory| is_executable(&directory.join(program))) {
        return Ok(());
    }
    Err(format!(
        "the {what}'s command {shown} is not a program in PATH ({}): give its full path, wrap a shell builtin as `sh -c '…'`, or use --disable-hook-validation",
        escape(&searched.to_string_lossy())
    ))
}

pub(crate) fn is_executable(file: &Path) -> bool {
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
    fn hooks_that_others_can_have_written_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deploy");
        fs::create_dir(&directory).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let hook = directory.join("hook");
        let refused = |path: &Path, cure: &str| {
            let failure = directory_hooks(&directory).unwrap_err();
            assert_eq!(failure.class, FailureClass::Settings);
            assert!(failure.detail.contains(&format!("{cure} {}", path.display())), "{failure}");
        };
        let accepted = || assert_eq!(directory_hooks(&directory).unwrap(), std::slice::from_ref(&hook));
        set(&directory, 0o777);
        assert_eq!(directory_hooks(&directory).unwrap(), [] as [PathBuf; 0], "nothing would run");
        file(&hook, 0o755);
        refused(&directory, "chmod o-w");
        set(&directory, 0o1777);
        refused(&directory, "chmod o-w");
        set(&directory, 0o775);
        accepted();
        set(&hook, 0o757);
        refused(&hook, "chmod o-w");
        set(&hook, 0o775);
        accepted();
        // What is no hook is not looked at.
        file(&directory.join("README"), 0o666);
        accepted();

        // Behind a link.
        let elsewhere = parent.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(&hook, elsewhere.join("target")).unwrap();
        symlink(elsewhere.join("target"), &hook).unwrap();
        accepted();
        set(&elsewhere, 0o777);
        refused(&fs::canonicalize(&elsewhere).unwrap(), "chmod o-w");
        set(&elsewhere, 0o1777);
        accepted();
        set(&elsewhere, 0o755);
        set(&elsewhere.join("target"), 0o757);
        refused(&hook, "chmod o-w");
        set(&elsewhere.join("target"), 0o755);

        if rustix::process::geteuid().is_root() {
            for path in [&directory, &elsewhere, &elsewhere.join("target")] {
                std::os::unix::fs::chown(path, Some(65534), None).unwrap();
                let named = if path.ends_with("target") { hook.clone() } else { path.clone() };
                refused(&named, "chown root");
                std::os::unix::fs::chown(path, Some(0), None).unwrap();
                accepted();
            }
        }
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
