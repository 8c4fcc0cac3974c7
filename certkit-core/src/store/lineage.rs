//! A lineage: its conf, its live links and the versions in its archive.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::links::leads_to_nothing_from_here;
use super::read::{bounded, bounded_in};
use super::settling::settled;
use super::shared::Shared;
use super::targets;
use super::usual_links::OpenFolders;
use super::{BrokenLineage, BrokenReason, ConfError, Kind, RenewalConf, Store, StoreError};
use crate::{LineageName, Version};

/// A lineage whose conf and live links can be used. The certificate files are read when asked for.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// The store's.
    pub(super) paths: Arc<Shared>,
    pub(crate) name: LineageName,
    pub(crate) conf_path: PathBuf,
    pub(crate) conf: RenewalConf,
    /// What the live links point to, in the order of [`Kind::ALL`]: one step, absolute.
    pub(crate) targets: [PathBuf; 4],
    /// Whether the links lie, and say where they lead, as certbot writes them.
    pub(super) is_usual: bool,
}

impl Store {
    /// All lineages in certbot's listing order (`renewal/*.conf`, bytewise by path), each read when the iterator comes to
    /// it. One that is broken is an `Err` of the iterator; one that is removed meanwhile is passed over. What looks broken
    /// while somebody else who holds the store's lock changes it is looked at again, for two seconds at most from its last
    /// change on.
    pub fn lineages(&self) -> Result<Lineages<'_>, StoreError> {
        let dir = self.paths.renewal_dir();
        let mut names = super::folder_names(&dir)?;
        // What the shell pattern `*.conf` matches: names that begin with a dot are not shown.
        names.retain(|name| name.as_bytes().ends_with(b".conf") && !name.as_bytes().starts_with(b"."));
        // `x-0001.conf` comes before `x.conf`, because the endings are compared too.
        names.sort_unstable();
        Ok(Lineages { store: self, folders: OpenFolders::open(&self.paths), dir, names: names.into_iter() })
    }

    /// One lineage; `Ok(None)` when there is no such conf.
    #[allow(clippy::result_large_err, reason = "read once, at the edge")]
    pub fn lineage(&self, name: &LineageName) -> Result<Option<Lineage>, BrokenLineage> {
        let path = self.paths.conf(name);
        let file_name = format!("{name}.conf");
        self.load(path, OsStr::new(&file_name), None)
    }

    #[allow(clippy::result_large_err, reason = "read once, at the edge")]
    fn load(
        &self,
        conf_path: PathBuf,
        file_name: &OsStr,
        folders: Option<&OpenFolders>,
    ) -> Result<Option<Lineage>, BrokenLineage> {
        let mut conf = None;
        let live = || self.paths.live_dir().join(Path::new(file_name).file_stem().unwrap_or_default());
        // Links to different versions are no error here, and yet nobody should see them.
        let is_sound = |seen: &Result<Lineage, _>| seen.as_ref().is_ok_and(|seen| seen.live_version().is_some());
        let read = settled(
            &self.paths,
            |_| vec![conf_path.clone(), live()],
            is_sound,
            || {
                conf = None;
                read_lineage(&self.paths, &conf_path, file_name, folders, &mut conf)
            },
        );
        match read {
            Ok(lineage) => Ok(Some(lineage)),
            // Removed since the folder was read, or never there; a link to nothing is there, however.
            Err(BrokenReason::Unreadable(error))
                if error.path == conf_path
                    && error.source.kind() == std::io::ErrorKind::NotFound
                    && std::fs::symlink_metadata(&conf_path)
                        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) =>
            {
                Ok(None)
            }
            Err(reason) => {
                let name = file_name.to_string_lossy();
                let name = crate::escape(name.strip_suffix(".conf").unwrap_or(&name)).into_owned();
                Err(BrokenLineage { name, conf_path, conf, reason })
            }
        }
    }
}

/// The lineages of a store, see [`Store::lineages`].
#[derive(Debug)]
pub struct Lineages<'a> {
    store: &'a Store,
    /// Where usual lineages lie, opened once for all of them.
    folders: Option<OpenFolders>,
    dir: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

impl Lineages<'_> {
    /// The file names of the confs that are still to come.
    pub(super) fn names(&self) -> &[OsString] {
        self.names.as_slice()
    }

    /// The lineage of a conf; none when it is gone.
    pub(super) fn read(&self, name: &OsStr) -> Option<Result<Lineage, BrokenLineage>> {
        self.store.load(self.dir.join(name), name, self.folders.as_ref()).transpose()
    }
}

impl Iterator for Lineages<'_> {
    type Item = Result<Lineage, BrokenLineage>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(name) = self.names.next() {
            if let Some(lineage) = self.read(&name) {
                return Some(lineage);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.names.len()))
    }
}

fn read_lineage(
    paths: &Arc<Shared>,
    conf_path: &Path,
    file_name: &OsStr,
    folders: Option<&OpenFolders>,
    read: &mut Option<RenewalConf>,
) -> Result<Lineage, BrokenReason> {
    let stem = file_name.to_str().ok_or(BrokenReason::NameNotUtf8)?;
    let name = LineageName::new(stem.strip_suffix(".conf").unwrap_or(stem))?;
    let bytes = match folders {
        Some(folders) => bounded_in(folders.renewal(), Path::new(file_name), conf_path, RenewalConf::MAX_BYTES)?,
        None => bounded(conf_path, RenewalConf::MAX_BYTES)?,
    };
    let conf = RenewalConf::parse(&bytes)?;
    let targets = || {
        conf.check_complete()?;
        let links = links_of(&conf);
        match folders.and_then(|folders| folders.targets(&name, &links)) {
            Some(targets) => Ok((targets, true)),
            None => match targets::targets(&links) {
                Err(BrokenReason::MissingLink { path }) if leads_to_nothing_from_here(&path) => {
                    let kind = Kind::ALL.into_iter().find(|kind| Path::new(links[*kind as usize]) == path);
                    let path = crate::escape(&path.to_string_lossy()).into_owned();
                    Err(ConfError::RelativePath { key: kind.unwrap_or(Kind::Cert).as_str(), path }.into())
                }
                found => found.map(|targets| (targets, false)),
            },
        }
    };
    match targets() {
        Ok((targets, is_usual)) => {
            let conf_path = conf_path.to_owned();
            Ok(Lineage { paths: Arc::clone(paths), name, conf_path, conf, targets, is_usual })
        }
        Err(reason) => {
            *read = Some(conf);
            Err(reason)
        }
    }
}

impl Lineage {
    /// Its name.
    pub fn name(&self) -> &LineageName {
        &self.name
    }

    /// `renewal/NAME.conf`.
    pub fn conf_path(&self) -> &Path {
        &self.conf_path
    }

    /// The conf.
    pub fn conf(&self) -> &RenewalConf {
        &self.conf
    }

    /// The live link of this kind, as the conf names it.
    pub fn live_path(&self, kind: Kind) -> &Path {
        link_of(&self.conf, kind)
    }

    /// The archive file that the live link of this kind points to (one step, absolute).
    pub fn target(&self, kind: Kind) -> &Path {
        &self.targets[kind as usize]
    }

    /// The directory that holds the versions: that of the cert link's target.
    pub fn archive_dir(&self) -> &Path {
        folder_of(self.target(Kind::Cert))
    }

    /// The version that all four live links point to; none when they differ or are not named as certbot names them.
    pub fn live_version(&self) -> Option<Version> {
        targets::common_version(&self.targets)
    }

    /// The versions in the archive with the kinds that exist of each.
    pub fn versions(&self) -> Result<BTreeMap<Version, Vec<Kind>>, StoreError> {
        Ok(versions_among(&self.files_in_archive()?))
    }

    /// The sorted names in the archive, of whatever is there.
    pub(super) fn files_in_archive(&self) -> Result<Vec<OsString>, StoreError> {
        let dir = self.archive_dir();
        let fail = |error| StoreError::new("read", dir, error);
        let entries = std::fs::read_dir(dir).map_err(fail)?;
        let mut names = entries.map(|entry| Ok(entry.map_err(fail)?.file_name())).collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// The newest version of which all four files exist.
    pub fn newest_complete_version(&self) -> Result<Option<Version>, StoreError> {
        let versions = self.versions()?;
        Ok(versions.iter().rev().find(|(_, kinds)| kinds.len() == Kind::ALL.len()).map(|(version, _)| *version))
    }
}

/// The versions among the files of an archive, with the kinds that exist of each.
pub(super) fn versions_among(files: &[OsString]) -> BTreeMap<Version, Vec<Kind>> {
    let mut versions: BTreeMap<Version, Vec<Kind>> = BTreeMap::new();
    for name in files.iter().filter_map(|name| name.to_str()) {
        let found = Kind::ALL.into_iter().find_map(|kind| Some((kind.version_of(name)?, kind)));
        if let Some((version, kind)) = found {
            versions.entry(version).or_default().push(kind);
        }
    }
    versions.values_mut().for_each(|kinds| kinds.sort_unstable());
    versions
}

/// The live links, as a complete conf names them, in the order of [`Kind::ALL`].
pub(super) fn links_of(conf: &RenewalConf) -> [&Path; 4] {
    Kind::ALL.map(|kind| link_of(conf, kind))
}

fn link_of(conf: &RenewalConf, kind: Kind) -> &Path {
    Path::new(conf.live_path(kind).unwrap_or_default())
}

/// The folder of an absolute path to a file, which has one.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}
