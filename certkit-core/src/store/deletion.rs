//! What a removal of a lineage is about: found out and judged before anything is gone that the way may lead through.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::carry::is_journal;
use super::deleted::{DeleteError, Held, Kept, keep};
use super::folder::{Distrusted, real_folder_if_there};
use super::in_use::{InUse, real, real_place};
use super::links::{Link, LiveLinks, read_link};
use super::whose::{Whose, place};
use super::{Kind, RenewalConf, Store, StoreError, StorePaths, files};
use crate::LineageName;

/// What goes with a lineage, and what stays.
pub(crate) struct Deletion {
    pub(crate) conf: PathBuf,
    /// By their directories.
    pub(crate) links: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Directories of versions, without links in their paths.
    pub(crate) archives: BTreeSet<PathBuf>,
    /// `live/NAME` and `archive/NAME` where these are links and nobody else's way leads through them.
    pub(crate) folder_links: Vec<PathBuf>,
    /// Folders, without links in their paths, that others' ways lead through: they stay, with nothing in them.
    pub(crate) ways: BTreeSet<PathBuf>,
    /// What is not, or perhaps not, this tree's own.
    pub(crate) kept: Vec<Kept>,
}

impl StorePaths {
    /// Whether a directory of versions (without links in its path) is one that certbot gives a lineage: there whatever file lies beside the versions
    /// may be a copy of a key, and goes with them.
    pub(crate) fn is_lineages_own(&self, archive: &Path) -> Result<bool, StoreError> {
        Ok(real(&self.archive_dir())?.as_deref() == archive.parent())
    }
}

impl Store {
    /// The files that a removal of a lineage takes along because somebody has put them beside the versions in `archive/NAME`: they
    /// may be copies of keys. certbot removes them as well.
    pub fn deleted_beside_versions(&self, name: &LineageName) -> Result<Vec<PathBuf>, DeleteError> {
        let mut beside = Vec::new();
        for dir in self.deletion(name)?.archives {
            if self.paths.is_lineages_own(&dir)? {
                beside.extend(
                    files_in(&dir)?.into_iter().filter(|path| path.file_name().is_some_and(is_beside_versions)),
                );
            }
        }
        Ok(beside)
    }

    /// Looks at everything that belongs to a lineage. Where its conf or what certkit remembers of it lies in another tree or
    /// outside, that is an error: the other tree would lose it.
    pub(crate) fn deletion(&self, name: &LineageName) -> Result<Deletion, DeleteError> {
        let paths = &self.paths;
        let conf_path = paths.conf(name);
        let memory = [
            paths.state_file(name),
            paths.journal(name),
            paths.lineage_settings_file(name),
            paths.pending(name),
            paths.switched(name),
        ];
        let note = paths.deletion(name);
        for path in memory.into_iter().chain([conf_path.clone(), note.clone()]) {
            let whose = paths.whose(&path);
            // The note will be written, the others removed. On a disk that is missing there may be a conf.
            if whose != Whose::Own && (path == note || path == conf_path || files::exists(&path)?) {
                return Err(DeleteError::elsewhere(path, whose, name));
            }
        }
        // Of one whose removal was interrupted, what the note says of its folders.
        let said = if files::exists(&conf_path)? { conf_path.clone() } else { paths.deletion(name) };
        let conf = match files::read_if_there(&said) {
            Ok(content) => content.and_then(|content| RenewalConf::parse(&content).ok()),
            // A directory or something else of that name; it is an error later if it cannot be removed.
            Err(error) if error.source.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => return Err(error.into()),
        };
        let live = match &conf {
            Some(conf) => LiveLinks::read(paths, name, conf)?,
            None => None,
        };
        let at = |place: PathBuf| Distrusted::at(&place).ok().flatten();
        let of_conf = live.as_ref().and_then(LiveLinks::distrusted);
        if let Some(link) = of_conf.or_else(|| at(paths.live(name))).or_else(|| at(paths.archive(name))) {
            return Err(DeleteError::distrusted(&link));
        }
        let mut links: Vec<PathBuf> = Kind::ALL.map(|kind| paths.live(name).join(kind.live_file())).to_vec();
        let mut archives = vec![paths.archive(name)];
        if let Some(live) = &live {
            links.extend(Kind::ALL.iter().map(|kind| live.path(*kind).to_owned()));
            archives.push(live.written_archive().to_owned());
        }
        let said = archives.len();
        for link in &links {
            if let Link::To(target) = read_link(link)? {
                archives.extend(link.parent().and_then(|dir| dir.join(target).parent().map(Path::to_owned)));
            }
        }
        let in_use = self.in_use()?;
        let needed = |place: &Path| in_use.needed(paths, place, name);
        let is_on_the_way = |place: Option<PathBuf>| match place {
            Some(place) => Ok(!needed(&place).way()?.is_empty()),
            None => Ok::<_, StoreError>(false),
        };
        if is_on_the_way(real_place(&conf_path)?)? {
            return Err(DeleteError::needed(&conf_path, name));
        }
        let mut kept = Vec::new();
        let links = self.own_links(name, links, &in_use, &mut kept)?;
        self.keep_owners_files(name, &links, &in_use, &mut kept)?;
        let going = links.keys().map(|dir| real(dir)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let own_archives = self.own_archives(name, &archives, &going, &in_use, &mut kept)?;
        for gone in archives.iter().take(said).filter_map(|dir| self.on_a_missing_disk(dir)) {
            keep(&mut kept, gone);
        }
        let mut folder_links = Vec::new();
        for folder in [paths.live(name), paths.archive(name)] {
            let is_link = files::lstat(&folder)?.is_some_and(|meta| meta.is_symlink());
            let is_used = is_on_the_way(real_place(&folder)?)?
                || is_on_the_way(real(&folder)?)?
                || self.is_used(&folder, name, &in_use)?;
            if is_link && paths.whose(&folder) == Whose::Own && !is_used {
                folder_links.push(folder);
            }
        }
        let mut going: BTreeSet<PathBuf> = BTreeSet::new();
        for (dir, links) in &links {
            let Some(dir) = real(dir)? else { continue };
            going.extend(links.iter().filter_map(|link| Some(dir.join(link.file_name()?))));
        }
        for dir in &own_archives {
            going.extend(if paths.is_lineages_own(dir)? { files_in(dir)? } else { versions_in(dir)? });
        }
        if let Some(mounted) = going.iter().find(|path| files::is_mount_point(path)) {
            return Err(DeleteError::mounted(mounted, name));
        }
        for one in &mut kept {
            let goes = |file: &OsString| {
                let path = one.folder.join(file);
                going.contains(&path) || one.files.iter().any(|meant| meant.file_name() == Some(file))
            };
            let is_certbots = |file: &OsString| {
                (file == "README" && one.folder.join(file).is_file()) || is_journal(&one.folder, file)
            };
            let files = files::list(&one.folder)?.unwrap_or_default();
            let is_all = files.iter().all(|file| goes(file) || is_certbots(file));
            one.holds_nothing_else = is_all && needed(&one.folder).way()?.is_empty();
        }
        let mut ways = BTreeSet::new();
        for dir in links.keys().chain(&own_archives) {
            let Some(dir) = real(dir)? else { continue };
            let users = needed(&dir).way()?;
            if !users.is_empty() {
                let users = users.into_iter().collect::<Vec<_>>().join(", ");
                keep(&mut kept, Kept::new(dir.clone(), vec![dir.clone()], Whose::Own, Held::Way(users)));
                ways.insert(dir);
            }
        }
        Ok(Deletion { conf: conf_path, links, archives: own_archives, folder_links, ways, kept })
    }

    /// What somebody has put beside the live links stays, and keys may be among it.
    fn keep_owners_files(
        &self,
        name: &LineageName,
        links: &BTreeMap<PathBuf, BTreeSet<PathBuf>>,
        in_use: &InUse,
        kept: &mut Vec<Kept>,
    ) -> Result<(), StoreError> {
        for (dir, links) in links {
            let Some(dir_now) = real(dir)? else { continue };
            let names = files::list(dir)?.unwrap_or_default();
            let others =
                names.iter().filter(|file| !links.contains(&dir.join(file)) && !goes_with_links(&dir_now, file));
            let others = others.map(|file| dir_now.join(file));
            let stays = self.unneeded(others, name, in_use)?;
            keep(kept, Kept::new(dir_now, stays, Whose::Own, Held::Owners));
        }
        Ok(())
    }

    /// Those of these places that nobody else needs.
    fn unneeded(
        &self,
        all: impl Iterator<Item = PathBuf>,
        name: &LineageName,
        in_use: &InUse,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let mut found = Vec::new();
        for path in all {
            if in_use.needed(&self.paths, &path, name).users()?.is_empty() {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// The links that are the lineage's alone, by directory; a directory of which nothing may go is not among them.
    fn own_links(
        &self,
        name: &LineageName,
        links: Vec<PathBuf>,
        in_use: &InUse,
        kept: &mut Vec<Kept>,
    ) -> Result<BTreeMap<PathBuf, BTreeSet<PathBuf>>, StoreError> {
        let mut own: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        let own_archive = real(&self.paths.archive(name))?;
        for link in links {
            let Some(dir) = link.parent() else { continue };
            let Some(folder) = real_folder_if_there(dir)? else { continue };
            if self.has_conf(dir, name)? || self.is_used(dir, name, in_use)? {
                continue;
            }
            match self.paths.whose(&link) {
                Whose::Own if self.may_go(&folder)? => {
                    // Without them nobody could tell any more which version those of others mean.
                    let needed = in_use.needed(&self.paths, &folder, name);
                    let led = needed.copies_but_for(own_archive.as_deref())?;
                    if !led.is_empty() {
                        let found_by = needed.found_by()?;
                        keep(kept, Kept::new(folder, led, Whose::Own, Held::Led(found_by)));
                        continue;
                    }
                    own.entry(dir.to_owned()).or_default().insert(link);
                }
                Whose::Own => {}
                other if files::lstat(&link)?.is_some_and(|meta| !meta.is_dir()) => {
                    keep(kept, Kept::new(folder, vec![link], other, Held::Links));
                }
                _ => {}
            }
        }
        Ok(own)
    }

    /// The directories of versions that are the lineage's alone.
    fn own_archives(
        &self,
        name: &LineageName,
        archives: &[PathBuf],
        going: &BTreeSet<PathBuf>,
        in_use: &InUse,
        kept: &mut Vec<Kept>,
    ) -> Result<BTreeSet<PathBuf>, StoreError> {
        let mut own = BTreeSet::new();
        for written in archives {
            let Some(dir) = real_folder_if_there(written)? else { continue };
            let is_dir = files::lstat(&dir)?.is_some_and(|meta| meta.is_dir());
            if !is_dir || self.has_conf(&dir, name)? || !in_use.needed(&self.paths, &dir, name).files(going).is_empty()
            {
                continue;
            }
            match self.paths.whose(&written.join(Kind::Cert.live_file())) {
                Whose::Own if self.may_go(&dir)? => {
                    let needed = in_use.needed(&self.paths, &dir, name);
                    let led = needed.copies()?;
                    if !led.is_empty() {
                        let find = needed.found_by()?;
                        keep(kept, Kept::new(dir, led, Whose::Own, Held::Led(find)));
                        continue;
                    }
                    for folder in self.unneeded(folders_in(&dir)?.into_iter(), name, in_use)? {
                        keep(kept, Kept::new(folder.clone(), vec![folder], Whose::Own, Held::Folder));
                    }
                    if !self.paths.is_lineages_own(&dir)? {
                        // Only versions go from there.
                        let versions = versions_in(&dir)?;
                        let others = files_in(&dir)?.into_iter().filter(|file| !versions.contains(file));
                        let stays = self.unneeded(others, name, in_use)?;
                        keep(kept, Kept::new(dir.clone(), stays, Whose::Own, Held::Owners));
                    }
                    own.insert(dir);
                }
                Whose::Own => {}
                other => {
                    let versions = versions_in(&dir)?;
                    keep(kept, Kept::new(dir, versions, other, Held::Versions));
                }
            }
        }
        Ok(own)
    }

    /// A directory of versions that leads out of the config dir to nothing: the keys may be on a disk that is not mounted.
    fn on_a_missing_disk(&self, dir: &Path) -> Option<Kept> {
        let Whose::Outside(_) = self.paths.whose(&dir.join(Kind::Cert.live_file())) else { return None };
        let gone = place(dir).filter(|dir| !dir.exists())?;
        Some(Kept::new(gone.clone(), vec![gone], Whose::Own, Held::Gone))
    }

    /// Whether a directory of the tree's own, links in its path resolved, is none that holds anything else.
    fn may_go(&self, dir: &Path) -> Result<bool, StoreError> {
        let Some(config) = real(&self.paths.config_dir)? else { return Ok(false) };
        // At least `live/NAME`: never the config dir, `live` or `archive` themselves, nor certkit's own or the accounts.
        let Ok(inside) = dir.strip_prefix(&config) else { return Ok(true) };
        let first = inside.components().next().map(|part| part.as_os_str().to_owned());
        Ok(inside.components().count() >= 2
            && !["accounts", "renewal", "renewal-hooks", "certkit"].iter().any(|own| first == Some((*own).into())))
    }

    /// Whether others use what is in a directory.
    fn is_used(&self, dir: &Path, name: &LineageName, in_use: &InUse) -> Result<bool, StoreError> {
        Ok(real(dir)?.is_some_and(|dir| {
            !in_use.needed(&self.paths, &dir, name).files(&BTreeSet::from([dir.clone()])).is_empty()
        }))
    }

    /// Whether there is a conf of this directory's name: then it is that lineage's.
    fn has_conf(&self, dir: &Path, except: &LineageName) -> Result<bool, StoreError> {
        let name = dir.file_name().and_then(|name| name.to_str()).and_then(|name| LineageName::new(name).ok());
        match name.filter(|name| name != except) {
            Some(name) => files::exists(&self.paths.conf(&name)),
            None => Ok(false),
        }
    }
}

/// Whether a file beside live links is certbot's or certkit's own, and goes with them.
pub(super) fn goes_with_links(dir: &Path, name: &OsStr) -> bool {
    (name == "README" && !dir.join(name).is_dir()) || is_journal(dir, name) || files::temp_of(name).is_some()
}

/// What lies in a directory and is no folder.
pub(super) fn files_in(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(entries(dir)?.0)
}

/// The folders in a directory.
fn folders_in(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(entries(dir)?.1)
}

fn entries(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StoreError> {
    let (mut others, mut folders) = (Vec::new(), Vec::new());
    for path in files::list(dir)?.unwrap_or_default().into_iter().map(|name| dir.join(name)) {
        match files::lstat(&path)? {
            Some(meta) if meta.is_dir() => folders.push(path),
            Some(_) => others.push(path),
            None => {}
        }
    }
    Ok((others, folders))
}

/// The versions' files in a directory.
pub(super) fn versions_in(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let files = files::list(dir)?.unwrap_or_default();
    Ok(files.into_iter().filter(|file| is_of_version(file)).map(|file| dir.join(file)).collect())
}

/// Whether a file in an archive is one that neither certbot nor certkit writes there.
pub(super) fn is_beside_versions(file: &OsStr) -> bool {
    !is_of_version(file) && files::temp_of(file).is_none()
}

/// Whether a file has the name of one of a version.
pub(super) fn is_of_version(file: &OsStr) -> bool {
    file.to_str().is_some_and(|file| Kind::ALL.iter().any(|kind| kind.version_of(file).is_some()))
}
