//! What the owner should know when a run ends because of the store itself: which folder, on which file system, and the
//! command that helps. The words for each kind of trouble are those of its finding.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::io::Errno;

use super::{HeldBySomebody, StoreError, StorePaths, files};
use crate::words::{shell_word, time};
use crate::{Finding, FindingCode, escape};

/// The file system on which something lies, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystem {
    /// Where it is mounted.
    pub at: PathBuf,
    /// What it is: `ext4`, `tmpfs` …
    pub kind: String,
    /// How many files can still be made on it; none where it knows no such number (btrfs).
    pub files_left: Option<u64>,
}

impl FileSystem {
    /// One that is mounted there.
    pub fn new(at: PathBuf, kind: impl Into<String>, files_left: Option<u64>) -> Self {
        Self { at, kind: kind.into(), files_left }
    }
}

/// What nobody has to fear in the middle of the night.
const NO_HARM: &str = "nothing is renewed until that is put right; the certificates in use are untouched";

/// What a run did holds, though it could not write it down.
const NOT_RECORDED: &str = "the run is over, but not all of it is recorded: the next one finds it out anew";

impl StoreError {
    /// What it means to the owner of the store when a run ended by it, with the exact cure. `file_system` is the one that
    /// [`StoreError::path`] lies on.
    pub fn finding(&self, paths: &StorePaths, file_system: Option<&FileSystem>) -> Finding {
        self.finding_with(paths, file_system, NO_HARM)
    }

    /// The same for a run that did its work and could not record it at its end.
    pub fn finding_after_run(&self, paths: &StorePaths, file_system: Option<&FileSystem>) -> Finding {
        self.finding_with(paths, file_system, NOT_RECORDED)
    }

    fn finding_with(&self, paths: &StorePaths, file_system: Option<&FileSystem>, harm: &str) -> Finding {
        let code = self.code(file_system);
        // The folder stays the same from run to run, whatever file was met first.
        let folder = paths.folder_of(&self.path);
        let word = shell_word(&folder.to_string_lossy());
        let cure = match code {
            FindingCode::StoreFull if self.source.kind() == io::ErrorKind::QuotaExceeded => {
                "this user may not use more of the disk: free some space, or raise the limit; quota -s tells both"
                    .to_owned()
            }
            FindingCode::StoreFull => {
                format!("free some space: df -h {word} tells how much is used; the next run goes on by itself")
            }
            FindingCode::StoreOutOfFiles => {
                format!(
                    "remove files that nobody needs: df -i {word} tells how many there are; the next run goes on by itself"
                )
            }
            FindingCode::StoreReadOnly => remount_cure(file_system.map_or(folder, |system| &system.at)),
            FindingCode::StoreNotWritable | FindingCode::StoreUnreadable => {
                let is_made = code == FindingCode::StoreNotWritable && folder != self.path;
                let seen = if is_made { self.path.parent().unwrap_or(folder) } else { &self.path };
                let seen = shell_word(&seen.to_string_lossy());
                format!("run certkit as root, or let this user in: ls -ld {seen} tells who may")
            }
            _ => format!("see what the system says of the disk (dmesg) and of the folder (ls -la {word})"),
        };
        let cure = self.immutable().map_or(cure, |path| immutable_cure(&path));
        let on = file_system
            .map(|system| format!("{} mounted at {}; ", system.kind, system.at.display()))
            .unwrap_or_default();
        Finding::new(code, folder.to_string_lossy(), format!("cannot {self}; {on}{harm}")).with_cure(cure)
    }

    /// What is immutable or append-only (chattr) and made this fail: the path itself, or the folder that it is in. Not even root
    /// may change it.
    pub fn immutable(&self) -> Option<PathBuf> {
        // What modes forbid is EACCES.
        if self.source.raw_os_error() != Some(Errno::PERM.raw_os_error()) {
            return None;
        }
        let name = self.path.file_name()?;
        let path = match files::temp_of(name).or_else(|| files::sibling_of(name)) {
            Some(meant) => self.path.with_file_name(meant),
            None => self.path.clone(),
        };
        path.ancestors().take(2).find(|path| files::is_immutable(path)).map(Path::to_owned)
    }

    fn code(&self, file_system: Option<&FileSystem>) -> FindingCode {
        match self.source.kind() {
            io::ErrorKind::StorageFull if file_system.is_some_and(|system| system.files_left == Some(0)) => {
                FindingCode::StoreOutOfFiles
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FindingCode::StoreFull,
            io::ErrorKind::ReadOnlyFilesystem => FindingCode::StoreReadOnly,
            io::ErrorKind::PermissionDenied if self.operation == "read" => FindingCode::StoreUnreadable,
            io::ErrorKind::PermissionDenied => FindingCode::StoreNotWritable,
            _ => FindingCode::StoreFailing,
        }
    }
}

impl HeldBySomebody {
    /// What it means to the owner when the lock is held for too long; `last_run` is when a run last ended.
    pub fn finding(&self, last_run: Option<DateTime<Utc>>) -> Finding {
        let holder = if self.holder.is_empty() { "nobody can tell which process" } else { &self.holder };
        let since = self.since.and_then(|since| DateTime::from_timestamp(since, 0));
        let since = since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
        let last = last_run.map(|at| format!("the last run ended on {}; ", time(at))).unwrap_or_default();
        let process = self.holder.strip_prefix("process ").and_then(|rest| rest.split(',').next());
        let cure = match process {
            Some(process) => {
                format!(
                    "see what it does (ps -fp {process}) and end it if it hangs (kill {process}): the lock ends with it"
                )
            }
            None => FindingCode::StoreLocked.cure().to_owned(),
        };
        let path = self.path.to_string_lossy();
        Finding::new(FindingCode::StoreLocked, path, format!("{holder}{since}; {last}{NO_HARM}")).with_cure(cure)
    }
}

/// What to do about a file system that is mounted read-only.
pub fn remount_cure(at: &Path) -> String {
    let word = shell_word(&escape(&at.to_string_lossy()));
    format!("mount -o remount,rw {word}; one that became read-only by itself has an error: dmesg tells")
}

/// What to do about something that chattr made immutable.
pub fn immutable_cure(path: &Path) -> String {
    let word = shell_word(&escape(&path.to_string_lossy()));
    format!(
        "chattr -i {word} lets certkit write again: lsattr -d {word} shows the i (or a: chattr -a) that keeps even root from it"
    )
}

impl StorePaths {
    /// Which of the three directories a path lies in; itself when in none.
    fn folder_of<'p>(&'p self, path: &'p Path) -> &'p Path {
        let folders = [&self.config_dir, &self.work_dir, &self.logs_dir];
        let inside = folders.into_iter().filter(|folder| path.starts_with(folder));
        inside.max_by_key(|folder| folder.components().count()).map_or(path, PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(operation: &'static str, kind: io::ErrorKind, files_left: Option<u64>) -> Finding {
        let paths = StorePaths::certbot_default();
        let path = paths.own_dir().join("state/common/.ledger.json.certkit-tmp");
        let system = FileSystem::new("/etc".into(), "ext4", files_left);
        StoreError::new(operation, path, io::Error::from(kind)).finding(&paths, Some(&system))
    }

    #[test]
    fn each_kind_of_trouble_has_its_own_command_with_the_folder_and_the_file_system() {
        for (operation, kind, files_left, code, command) in [
            ("write", io::ErrorKind::StorageFull, Some(7), FindingCode::StoreFull, "df -h /etc/letsencrypt"),
            ("create", io::ErrorKind::StorageFull, Some(0), FindingCode::StoreOutOfFiles, "df -i /etc/letsencrypt"),
            ("write", io::ErrorKind::StorageFull, None, FindingCode::StoreFull, "df -h /etc/letsencrypt"),
            ("write", io::ErrorKind::QuotaExceeded, None, FindingCode::StoreFull, "quota -s"),
            (
                "create",
                io::ErrorKind::ReadOnlyFilesystem,
                None,
                FindingCode::StoreReadOnly,
                "mount -o remount,rw /etc;",
            ),
            ("open", io::ErrorKind::PermissionDenied, None, FindingCode::StoreNotWritable, "ls -ld /etc/letsencrypt/"),
            ("read", io::ErrorKind::PermissionDenied, None, FindingCode::StoreUnreadable, "ls -ld /etc/letsencrypt/"),
            ("sync", io::ErrorKind::Other, None, FindingCode::StoreFailing, "dmesg"),
        ] {
            let finding = told(operation, kind, files_left);
            assert_eq!((finding.code, finding.subject.as_str()), (code, "/etc/letsencrypt"));
            assert!(finding.cure().contains(command), "{finding:?}");
            let evidence = &finding.evidence;
            assert!(evidence.contains(".ledger.json") && evidence.contains("ext4 mounted at /etc"), "{evidence}");
            assert!(evidence.contains("the certificates in use are untouched"), "{evidence}");
        }
    }

    #[test]
    fn what_is_immutable_is_told_with_the_command_that_lifts_it_and_missing_rights_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path().to_owned(), dir.path().join("work"), dir.path().join("logs"));
        let state = dir.path().join("my state");
        let file = state.join("ledger.json");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(&file, "").unwrap();
        let chattr = |how: &str, path: &Path| {
            let status = std::process::Command::new("chattr").arg(how).arg(path).status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "chattr is missing (install e2fsprogs), or this is not root"
            );
        };
        let cure = |error: &StoreError| error.finding(&paths, None).cure().to_owned();
        chattr("+i", &file);
        let error = files::replace(&file, b"new", &files::Attributes::mode(0o600)).unwrap_err();
        chattr("-i", &file);
        chattr("+i", &state);
        let in_folder = files::replace(&file, b"new", &files::Attributes::mode(0o600)).unwrap_err();
        let told = cure(&in_folder);
        chattr("-i", &state);
        assert!(told.starts_with(&format!("chattr -i '{}' lets", state.display())), "{told}");
        // It was lifted meanwhile, and of other reasons lsattr knows nothing.
        assert!(cure(&error).contains("ls -ld"), "{}", cure(&error));
        chattr("+i", &file);
        let told = cure(&error);
        let denied = cure(&StoreError::new("rename to", &file, io::Error::from(Errno::ACCESS)));
        chattr("-i", &file);
        assert!(told.contains(&format!("lsattr -d '{}' shows", file.display())), "{told}");
        assert!(denied.contains("ls -ld") && !denied.contains("chattr"), "{denied}");
    }

    #[test]
    fn whoever_holds_the_lock_is_named_with_the_command_that_ends_it() {
        let held = HeldBySomebody {
            path: "/var/log/letsencrypt/.certbot.lock".into(),
            holder: "process 123, certbot".to_owned(),
            since: Some(1_800_000_000),
        };
        let finding = held.finding(DateTime::from_timestamp(1_799_000_000, 0));
        assert!(
            finding.evidence.starts_with("process 123, certbot since 2027-01-15 08:00:00 UTC; the last run ended on")
        );
        assert!(finding.cure().contains("kill 123)"), "{}", finding.cure());
        let unknown = HeldBySomebody { holder: String::new(), since: None, ..held }.finding(None);
        assert!(unknown.evidence.starts_with("nobody can tell which process; nothing is renewed"), "{unknown:?}");
    }
}
