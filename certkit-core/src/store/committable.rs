//! Whether a version could be committed, asked before anything is ordered.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags};
use rustix::io::Errno;

use super::commit::{CommitError, archive_dirs, shown};
use super::in_use::real;
use super::links::LiveLinks;
use super::wrong_lines::WrongLines;
use super::{ConfEdits, Kind, LockedStore, RenewalConf, StoreError, files};
use crate::words::shell_word;
use crate::{Chain, LineageName};

/// What a run needs from here on: four files of a few KiB, their directories in blocks of 4 KiB, and a second copy of each
/// state file while it is replaced. A first save does with 96 KiB; state files grow.
const NEEDED_BYTES: u64 = 256 * 1024;

/// Files, links and directories that a run makes before it removes any. With 36 a first save failed after its order.
const NEEDED_INODES: u64 = 64;

impl LockedStore {
    /// Whether a lineage of this name could be committed: no orphan in the way, its links are links, directories
    /// writable, room on the file system. Asked before anything is ordered, so that no certificate is bought that cannot
    /// be stored. Nothing is written.
    ///
    /// New versions go where the live links point to. Where the conf's `archive_dir` says something else it is not an
    /// error here, although certbot fails on such a lineage.
    pub fn check_committable(&self, name: &LineageName) -> Result<(), CommitError> {
        self.check_committable_with(name, &ConfEdits::default())
    }

    /// The same for a version with which the conf is changed. An immutable conf (chattr) stands in the way of that alone.
    pub fn check_committable_with(&self, name: &LineageName, edits: &ConfEdits) -> Result<(), CommitError> {
        let paths = self.paths();
        let mut dirs = BTreeSet::from([paths.own_dir()]);
        // A certificate is paid for before these are written to.
        dirs.extend(
            [paths.pending(name), paths.journal(name), paths.state_file(name), paths.history_file(name)]
                .iter()
                .filter_map(|path| path.parent().map(Path::to_owned)),
        );
        if files::lstat(&paths.conf(name))?.is_some() {
            let (_, live) = self.conf_and_links(name)?;
            if !live.mean_the_same_by_name()? {
                return Err(CommitError::Refused(format!(
                    "{} is reached through a link, so that its links mean something else to certbot than to the system: \
                     make the links in it absolute",
                    shown(live.path(Kind::Cert))
                )));
            }
            if let Some(link) = live.distrusted() {
                return Err(CommitError::Refused(
                    crate::escape(&format!("{}: {}", link.why(), link.cure())).into_owned(),
                ));
            }
            let archives = archive_dirs(&live)?;
            self.check_own_archive(name, &live, &archives)?;
            self.next_version(name, &live, &archives)?;
            dirs.extend(archives);
            dirs.extend(Kind::ALL.iter().filter_map(|kind| live.path(*kind).parent().map(Path::to_owned)));
            let conf = self.real_conf(name)?;
            if !edits.is_empty() {
                check_replaceable(&conf)?;
            }
            dirs.extend(conf.parent().map(Path::to_owned));
        } else {
            self.check_nothing_in_the_way(name)?;
            if !paths.fit_a_conf() {
                return Err(CommitError::Refused("the path of the config directory is not UTF-8".to_owned()));
            }
            dirs.extend([paths.live_dir(), paths.archive_dir(), paths.renewal_dir()]);
        }
        let mut devices = BTreeSet::new();
        for dir in dirs {
            let dir = nearest(dir);
            let meta = fs::metadata(&dir).map_err(|error| StoreError::new("read", &dir, error))?;
            check_writable(&dir, &meta)?;
            if devices.insert(meta.dev()) {
                check_room(&dir)?;
            }
        }
        Ok(())
    }

    /// Whether no version is stored already that recovery could not make live. Another one would fail as well, and each run
    /// would store one more.
    pub fn check_nothing_half_done(&self, name: &LineageName) -> Result<(), CommitError> {
        let Some(journal) = self.store().journal(name)? else { return Ok(()) };
        // What does not get so far is refused for that.
        let Ok((_, live)) = self.conf_and_links(name) else { return Ok(()) };
        // A later one may be live where the journal could not be removed.
        if live.version() >= Some(journal.version) {
            return Ok(());
        }
        let [.., dir] = archive_dirs(&live)?;
        let fullchain = files::read_if_there(&dir.join(Kind::Fullchain.archive_file(journal.version)))?;
        let is_stored = |bytes: Vec<u8>| Chain::from_pem(&bytes).is_ok_and(|chain| journal.is_about(&chain.leaf));
        if fullchain.is_some_and(is_stored) {
            return Err(CommitError::Refused(format!(
                "version {} is stored, but not live: this run tells what keeps it from that, and with that put right the \
                 next one makes it live, without another order",
                journal.version
            )));
        }
        Ok(())
    }

    /// Whether the conf names live links of this lineage alone.
    pub(crate) fn check_own_links(
        &self,
        name: &LineageName,
        conf: &RenewalConf,
        live: &LiveLinks,
    ) -> Result<(), CommitError> {
        match self.wrong_lines(name, conf, live)? {
            Some(WrongLines { why, cure }) => {
                Err(CommitError::Refused(crate::escape(&format!("{why}: {cure}")).into_owned()))
            }
            None => Ok(()),
        }
    }

    /// The lines of its conf that name something else.
    pub(crate) fn wrong_lines(
        &self,
        name: &LineageName,
        conf: &RenewalConf,
        live: &LiveLinks,
    ) -> Result<Option<WrongLines>, StoreError> {
        let is_at_home = live.live_dir().is_some_and(|dir| dir == self.paths().live(name));
        if is_at_home && live.relative().is_empty() && live.is_whole() {
            return Ok(None);
        }
        // What cannot be read there is the trouble of another lineage.
        let in_use = self.known_in_use().ok();
        Ok(WrongLines::of(self.paths(), name, live, in_use.as_deref())?.map(|wrong| wrong.besides(conf)))
    }

    /// Whether none of these places is another tree's: its lock is not held, and its owner knows nothing of what is done
    /// there. certbot writes to it. A disk outside every tree may be changed.
    pub(crate) fn check_in_no_other_tree(
        &self,
        name: &LineageName,
        changed: impl IntoIterator<Item = PathBuf>,
    ) -> Result<(), CommitError> {
        let mut looked_up = BTreeSet::new();
        let other = changed.into_iter().filter(|path| looked_up.insert(path.parent().map(Path::to_owned)));
        let mut other = other.filter_map(|path| {
            let tree = self.paths().another_tree(&path)?;
            Some((path, tree))
        });
        let other = other.next();
        let Some((path, tree)) = other else { return Ok(()) };
        let (path, there) = (shown(&path), shell_word(&tree.to_string_lossy()));
        Err(CommitError::Refused(if files::lstat(&self.paths().conf(name))?.is_some() {
            format!(
                "{path} lies in another tree: when this one is a copy, let the paths in renewal/{name}.conf name it, and \
                 put folders in the place of links to there; otherwise renew there, with --config-dir {there}"
            )
        } else {
            format!(
                "{path} lies in another tree: put a folder of this one in the place of the link, or obtain the \
                 certificate there, with --config-dir {there}"
            )
        }))
    }

    /// Whether new versions would not be mixed with those of another lineage, whose archive the links were made to point
    /// into.
    pub(crate) fn check_own_archive(
        &self,
        name: &LineageName,
        live: &LiveLinks,
        dirs: &[PathBuf; 4],
    ) -> Result<(), CommitError> {
        let top = real(&self.paths().archive_dir())?;
        for dir in dirs {
            let file_name = dir.file_name().and_then(|file| file.to_str());
            let home = file_name.filter(|file| dir.parent() == top.as_deref() && *file != name.as_str());
            let home = home.and_then(|file| LineageName::new(file).ok());
            let is_home = match home {
                Some(other) => files::exists(&self.paths().conf(&other))?,
                None => false,
            };
            // What cannot be read there is the trouble of another lineage.
            let in_use = self.known_in_use().ok();
            let is_anothers = in_use.map_or(is_home, |in_use| in_use.is_archive_of_another(dir, name));
            if is_anothers && (is_home || live.conf_archive().as_ref() != Some(dir)) {
                let is_own = live.live_dir().and_then(Path::file_name).is_none_or(|folder| folder == name.as_str());
                return Err(CommitError::Refused(if is_own {
                    format!(
                        "the live links of {name} lead into {}, which holds the versions of another certificate: make them \
                         point into archive/{name}, or delete one of the two",
                        shown(dir)
                    )
                } else {
                    // Whoever changed those links would have the other one's servers load this certificate.
                    format!(
                        "renewal/{name}.conf names live links that lead into {}, which holds the versions of another \
                         certificate: remove that configuration, since it has no versions of its own",
                        shown(dir)
                    )
                }));
            }
        }
        Ok(())
    }
}

/// The directory itself or, where it is missing, the one that it will be made in.
fn nearest(mut dir: PathBuf) -> PathBuf {
    while fs::symlink_metadata(&dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && dir.pop() {}
    dir
}

fn check_writable(dir: &Path, meta: &fs::Metadata) -> Result<(), StoreError> {
    let refuse = |error: io::Error| StoreError::new("write to", dir, error);
    if !meta.is_dir() {
        return Err(refuse(io::ErrorKind::NotADirectory.into()));
    }
    rustix::fs::accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| refuse(error.into()))?;
    // Root may write to everything, but not to this.
    if files::is_immutable(dir) { Err(refuse(Errno::PERM.into())) } else { Ok(()) }
}

/// Whether a file can be replaced in a folder that is writable.
pub(super) fn check_replaceable(path: &Path) -> Result<(), StoreError> {
    let refuse = |error: Errno| Err(StoreError::new("rename to", path, error));
    if files::is_immutable(path) {
        refuse(Errno::PERM)
    } else if files::is_mount_point(path) {
        refuse(Errno::BUSY)
    } else {
        Ok(())
    }
}

fn check_room(dir: &Path) -> Result<(), StoreError> {
    let Ok(stat) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let refuse = |error: io::Error| Err(StoreError::new("write to", dir, error));
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return refuse(Errno::ROFS.into());
    }
    let blocks = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
    if blocks.saturating_mul(stat.f_frsize) < NEEDED_BYTES {
        return refuse(Errno::NOSPC.into());
    }
    // File systems without a fixed number of inodes say 0.
    if stat.f_files > 0 && stat.f_ffree < NEEDED_INODES {
        return refuse(io::Error::other("no inodes are left on the file system"));
    }
    Ok(())
}
