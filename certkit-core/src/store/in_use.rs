//! What the confs and the live links of all lineages lead to: it must not be removed with another lineage.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};

use super::files;
use super::led::Leader;
use super::way::steps;
use super::{ConfValue, Kind, LockedStore, RenewalConf, Store, StoreError, StorePaths};
use crate::LineageName;

/// Everything that is in use, and by whom.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    /// By the folders that they are in, so that asking about each of thousands does not cost the square of their number.
    pub(super) uses: Vec<Use>,
    /// Confs that cannot be parsed. What their text mentions counts as used.
    pub(super) unread: Vec<(OsString, String)>,
    /// The names of all confs, whatever is in them.
    confs: BTreeSet<Arc<OsStr>>,
    /// What versions are links to, once somebody asked.
    pub(super) led: OnceLock<BTreeMap<PathBuf, Vec<Leader>>>,
}

/// Kept for each of what may be thousands of lineages as long as a run goes on: names and folders are shared.
#[derive(Debug)]
pub(super) struct Use {
    /// The conf or the live folder that says so, by the lineage's name.
    pub(super) by: Arc<OsStr>,
    /// The live folder, without links in its path, where it alone says so.
    pub(super) folder: Option<Arc<Path>>,
    pub(super) what: Used,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// A live link, by its place.
    Link(PathBuf),
    /// What a path leads through and to: links, folders that a `..` leaves, the end.
    File(PathBuf),
    /// A conf's `archive_dir`.
    Archive(PathBuf),
    /// A folder that a link of accounts, hooks or settings leads to, with all that is in it.
    Folder(PathBuf),
}

impl Use {
    /// The conf or the live folder that says so, by the lineage's name.
    pub(super) fn by(&self) -> &OsStr {
        &self.by
    }

    /// The same for people, escaped.
    pub(super) fn shown(&self) -> String {
        shown(&self.by)
    }

    /// The live folder, without links in its path, where it alone says so.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The folder that it is in, or is.
    fn dir(&self) -> &OsStr {
        match &self.what {
            Used::Link(path) | Used::File(path) => path.parent().unwrap_or(path).as_os_str(),
            Used::Archive(path) | Used::Folder(path) => path.as_os_str(),
        }
    }
}

impl StorePaths {
    /// Whether this is one of the folders that all lineages share, or above them: nobody removes it with a lineage.
    pub(super) fn is_top(&self, path: &Path) -> bool {
        let tops = [self.live_dir(), self.archive_dir(), self.renewal_dir()];
        if tops.iter().any(|top| top.starts_with(path)) {
            return true;
        }
        // Another name of the config dir, or of a folder above it.
        let is_of_lineage = tops.iter().any(|top| path.starts_with(top));
        let leads_above =
            |real: PathBuf| fs::canonicalize(&self.config_dir).is_ok_and(|config| config.starts_with(real));
        !is_of_lineage && fs::canonicalize(path).is_ok_and(leads_above)
    }
}

impl Store {
    /// The confs of other lineages, by their names, that use live links or versions of this one too. A conf that cannot
    /// be parsed counts when it mentions them. Where something cannot be read it is an error, because an unknown use is
    /// no absence of one.
    pub fn sharing(&self, name: &LineageName) -> Result<BTreeSet<String>, StoreError> {
        let in_use = self.in_use()?;
        let mut dirs = BTreeSet::new();
        for one in in_use.uses.iter().filter(|one| &*one.by == name.as_str()) {
            match &one.what {
                // In the folder that a folder of its own lies in, nothing else is its own.
                Used::File(path) if path.is_dir() => {}
                Used::Link(path) | Used::File(path) => dirs.extend(path.parent().map(Path::to_owned)),
                Used::Archive(path) | Used::Folder(path) => {
                    dirs.insert(path.clone());
                }
            }
        }
        for dir in [self.paths.live(name), self.paths.archive(name)] {
            dirs.extend(real(&dir)?);
        }
        dirs.retain(|dir| !self.paths.is_top(dir));
        Ok(dirs.iter().flat_map(|dir| in_use.needed(&self.paths, dir, name).files(&dirs)).collect())
    }

    pub(crate) fn in_use(&self) -> Result<InUse, StoreError> {
        let (in_use, hidden) = self.readable_in_use()?;
        hidden.into_iter().next().map_or(Ok(in_use), Err)
    }

    /// As far as it can be read, and what cannot.
    pub(crate) fn readable_in_use(&self) -> Result<(InUse, Vec<StoreError>), StoreError> {
        let paths = self.paths();
        let (mut in_use, mut hidden) = (InUse::default(), Vec::new());
        let confs = files::list(&paths.renewal_dir())?.unwrap_or_default();
        let live = files::list(&paths.live_dir())?.unwrap_or_default();
        let names: BTreeSet<&OsStr> = confs.iter().filter_map(|file| stem(file)).collect();
        let without_conf = live.iter().map(OsString::as_os_str).filter(|by| !names.contains(by));
        for by in names.iter().copied().chain(without_conf) {
            hidden.extend(in_use.add_lineage(paths, by).err());
        }
        hidden.extend(in_use.add_loose_links(paths));
        in_use.confs = names.into_iter().map(Arc::from).collect();
        in_use.uses.sort_unstable_by(|one, other| one.dir().cmp(other.dir()));
        in_use.uses.shrink_to_fit();
        Ok((in_use, hidden))
    }

    /// What the links in `live/NAME` and of the conf lead to.
    pub(crate) fn files_of(&self, name: &LineageName) -> Result<Vec<PathBuf>, StoreError> {
        let mut in_use = InUse::default();
        in_use.add_lineage(self.paths(), OsStr::new(name.as_str()))?;
        let file = |one: Use| if let Used::File(path) = one.what { Some(path) } else { None };
        Ok(in_use.uses.into_iter().filter_map(file).collect())
    }
}

impl LockedStore {
    /// As it was when this was first asked for; kept, because to read it for each of many lineages costs the square of
    /// their number. What a lineage itself uses may be outdated: see [`InUse::files_of_others`].
    pub(crate) fn known_in_use(&self) -> Result<Arc<InUse>, StoreError> {
        let mut known = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(self.store().in_use()?);
        *known = Some(Arc::clone(&read));
        Ok(read)
    }

    /// After a conf or a lineage of certkit's own was changed otherwise than by a commit.
    pub(crate) fn forget_in_use(&self) {
        *self.in_use.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl InUse {
    /// What is used below this directory (without links in its path), however deep.
    pub(super) fn below(&self, dir: &Path) -> impl Iterator<Item = &Use> {
        let mut top = dir.components().collect::<PathBuf>().into_os_string().into_encoded_bytes();
        top.push(b'/');
        let start = self.uses.partition_point(|one| one.dir().as_encoded_bytes() < top.as_slice());
        self.uses.iter().skip(start).take_while(move |one| one.dir().as_encoded_bytes().starts_with(&top))
    }

    /// Whether another conf says that this directory is where its versions lie.
    pub(crate) fn is_archive_of_another(&self, dir: &Path, except: &LineageName) -> bool {
        self.others_in(dir, Some(except)).any(|one| matches!(one.what, Used::Archive(_)))
    }

    /// Whether links of others lead into this directory.
    pub(crate) fn is_led_to(&self, dir: &Path, except: &LineageName) -> bool {
        self.others_in(dir, Some(except)).any(|one| matches!(one.what, Used::File(_)))
    }

    /// Whether there is a conf of this name, whatever is in it.
    pub(crate) fn has_conf(&self, name: &OsStr) -> bool {
        self.confs.contains(name)
    }

    /// The lineage whose live links a directory (without links in its path) holds, as the confs say: the one that it is named
    /// after, where its conf names any in it, else the first of those whose confs name all four.
    pub(crate) fn leader_of(&self, dir: &Path) -> Option<&OsStr> {
        let mut links: BTreeMap<&OsStr, BTreeSet<&Path>> = BTreeMap::new();
        for one in self.in_dir(dir).filter(|one| one.folder.is_none()) {
            if let Used::Link(link) = &one.what {
                links.entry(&*one.by).or_default().insert(link);
            }
        }
        let namesake = dir.file_name().and_then(|name| links.get_key_value(name)).map(|(by, _)| *by);
        let whole = links.iter().find(|(_, links)| links.len() >= Kind::ALL.len());
        namesake.or_else(|| whole.map(|(by, _)| *by))
    }

    /// What others lead to in these directories.
    pub(crate) fn files_of_others(&self, dirs: &[PathBuf], except: &LineageName) -> BTreeSet<PathBuf> {
        let others = dirs.iter().flat_map(|dir| self.others_in(dir, Some(except)));
        let files = others.filter_map(|one| if let Used::File(path) = &one.what { Some(path.clone()) } else { None });
        files.collect()
    }

    /// What others use of this directory, or as it.
    pub(super) fn others_in<'a>(
        &'a self,
        dir: &Path,
        except: Option<&'a LineageName>,
    ) -> impl Iterator<Item = &'a Use> + use<'a> {
        self.in_dir(dir).filter(move |one| except.is_none_or(|except| &*one.by != except.as_str()))
    }

    fn in_dir<'a>(&'a self, dir: &Path) -> impl Iterator<Item = &'a Use> + use<'a> {
        // Spelled as all of these are: by the bytes they are in order.
        let dir: PathBuf = dir.components().collect();
        let start = self.uses.partition_point(|one| one.dir() < dir.as_os_str());
        self.uses.iter().skip(start).take_while(move |one| one.dir() == dir.as_os_str())
    }

    /// What the conf and the live folder of this name say, each once.
    fn add_lineage(&mut self, paths: &StorePaths, by: &OsStr) -> Result<(), StoreError> {
        let (first, by) = (self.uses.len(), Arc::from(by));
        self.add_conf(paths, &by)?;
        let of_conf = first..self.uses.len();
        let dir = paths.live_dir().join(&*by);
        let folder: Option<Arc<Path>> = real(&dir)?.map(Arc::from);
        // Where it is links in a circle there is nothing in it.
        let files = if folder.is_some() { files::list(&dir)? } else { None };
        for file in files.unwrap_or_default() {
            self.add_link(paths, &by, folder.as_ref(), &dir.join(file), of_conf.clone())?;
        }
        Ok(())
    }

    fn add_conf(&mut self, paths: &StorePaths, by: &Arc<OsStr>) -> Result<(), StoreError> {
        let mut file = by.to_os_string();
        file.push(".conf");
        let conf = paths.renewal_dir().join(file);
        if conf.is_symlink() {
            self.add_way(paths, by, &conf)?;
        }
        let content = match files::read_if_there(&conf) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(()),
            // A directory, a pipe or links in a circle say nothing; what is too large to be read may say anything.
            Err(error) if files::is_damage(&error.source) && !is_too_large(&error.source) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut credentials = Vec::new();
        let (links, archive) = match RenewalConf::parse(&content) {
            Ok(conf) => {
                let files = conf.param_values().filter(|(key, _)| key.ends_with("_credentials"));
                credentials.extend(
                    files.filter_map(|(_, value)| if let ConfValue::Text(file) = value { Some(file) } else { None }),
                );
                let links = Kind::ALL.iter().filter_map(|kind| conf.live_path(*kind).map(str::to_owned)).collect();
                (links, conf.archive_dir().map(str::to_owned))
            }
            Err(_) => {
                let text = String::from_utf8_lossy(&content).into_owned();
                let values = |key: &str| values_of(&text, key);
                let found: (Vec<String>, _) = (
                    Kind::ALL.iter().flat_map(|kind| values(kind.as_str())).collect(),
                    values("archive_dir").into_iter().next(),
                );
                self.unread.push((by.to_os_string(), text));
                found
            }
        };
        for link in links.iter().filter(|link| !link.is_empty()) {
            self.add_link(paths, by, None, &paths.said(link)?, 0..0)?;
        }
        let archive = match archive.filter(|dir| !dir.is_empty()) {
            Some(dir) => paths.said(dir)?,
            None => paths.archive_dir().join(&**by),
        };
        self.add_way(paths, by, &archive)?;
        // It may be a link that lies among what is another's.
        if let Some(place) = real_place(&archive)?.filter(|place| place.is_symlink()) {
            self.uses.push(Use { by: Arc::clone(by), folder: None, what: Used::File(place) });
        }
        for file in credentials.iter().map(Path::new) {
            self.add_way(paths, by, &files::absolute(file)?)?;
            let itself = real_place(&files::absolute(file)?)?.map(Used::File);
            self.uses.extend(itself.map(|what| Use { by: Arc::clone(by), folder: None, what }));
        }
        if let Some(dir) = real(&archive)? {
            self.uses.push(Use { by: Arc::clone(by), folder: None, what: Used::Archive(dir) });
        }
        Ok(())
    }

    /// What a path that is no live link leads through and to.
    pub(super) fn add_way(&mut self, paths: &StorePaths, by: &Arc<OsStr>, path: &Path) -> Result<(), StoreError> {
        for step in steps(path)?.into_iter().filter(|step| !paths.is_top(step)) {
            self.uses.push(Use { by: Arc::clone(by), folder: None, what: Used::File(step) });
        }
        Ok(())
    }

    /// A live link: its place, and each step of its way. What the lineage's conf has `said` counts whatever becomes of the
    /// folder, and is not said again.
    fn add_link(
        &mut self,
        paths: &StorePaths,
        by: &Arc<OsStr>,
        folder: Option<&Arc<Path>>,
        link: &Path,
        said: Range<usize>,
    ) -> Result<(), StoreError> {
        let mut add = |what| {
            if !self.uses.get(said.clone()).unwrap_or_default().iter().any(|one| one.what == what) {
                self.uses.push(Use { by: Arc::clone(by), folder: folder.cloned(), what });
            }
        };
        let Some(place) = real_place(link)? else { return Ok(()) };
        add(Used::Link(place));
        steps(link)?.into_iter().filter(|step| !paths.is_top(step)).for_each(|path| add(Used::File(path)));
        Ok(())
    }
}

/// Without links in its path; none when it is not there.
pub(crate) fn real(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if files::is_absence(&error) || is_loop(&error) => Ok(None),
        Err(error) => Err(StoreError::new("read", path, error)),
    }
}

/// The name in its directory, without links in the path of the latter. Where the directory is gone it is the place where it
/// would be: two confs may name it, and only one of them is put right there.
pub(super) fn real_place(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { return Ok(None) };
    Ok(real_or_place(parent)?.map(|parent| parent.join(file)))
}

/// Without links in its path, whether it is there or not.
pub(crate) fn real_or_place(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    match real(path)? {
        Some(path) => Ok(Some(path)),
        None => real_place(path),
    }
}

fn is_too_large(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::FileTooLarge
}

fn is_loop(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn stem(file: &OsStr) -> Option<&OsStr> {
    let stem = file.as_encoded_bytes().strip_suffix(b".conf").filter(|stem| !stem.starts_with(b"."))?;
    Some(std::os::unix::ffi::OsStrExt::from_bytes(stem))
}

/// The values that the lines of a text which is no conf give a key.
fn values_of(text: &str, key: &str) -> Vec<String> {
    let values = text.lines().filter_map(|line| {
        let (found, value) = line.split_once('=')?;
        let unquote = |c: char| c.is_whitespace() || c == '"' || c == '\'';
        (found.trim_matches(unquote) == key).then(|| value.trim_matches(unquote).to_owned())
    });
    values.collect()
}

/// Whether a text speaks of a directory, by the last two parts of its path: the ones before may be links.
pub(super) fn mentions(text: &str, dir: &Path) -> bool {
    let Some(name) = dir.file_name() else { return false };
    let parent = dir.parent().and_then(Path::file_name).unwrap_or_default();
    let tail = format!("{}/{}", parent.to_string_lossy(), name.to_string_lossy());
    text.match_indices(&tail).any(|(at, _)| {
        let after = text.get(at + tail.len()..).and_then(|rest| rest.chars().next());
        after.is_none_or(|c| c == '/' || c == '"' || c == '\'' || c == ',' || c == '#' || c.is_whitespace())
    })
}

pub(super) fn shown(by: &OsStr) -> String {
    crate::escape(&by.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_a_folder_of_thousands_is_found_without_looking_at_all_of_them() {
        const MANY: usize = 20_000;
        let archive = |number: usize| PathBuf::from(format!("/etc/letsencrypt/archive/n{number}.example.org"));
        let name = |number: usize| LineageName::new(format!("n{number}.example.org")).unwrap();
        let mut in_use = InUse::default();
        for number in 0..MANY {
            let by: Arc<OsStr> = Arc::from(OsStr::new(name(number).as_str()));
            in_use.uses.push(Use { by: Arc::clone(&by), folder: None, what: Used::Archive(archive(number)) });
            let file = archive(number).join("cert1.pem");
            in_use.uses.push(Use { by, folder: None, what: Used::File(file) });
        }
        in_use.uses.sort_unstable_by(|one, other| one.dir().cmp(other.dir()));
        // Looking at all for each takes a minute here, and took one in a store of ten thousand.
        let start = crate::processor_time::of_this_thread();
        for number in 0..MANY {
            assert!(!in_use.is_archive_of_another(&archive(number), &name(number)));
            assert!(in_use.is_archive_of_another(&archive(number), &name(number + 1)));
            assert_eq!(in_use.files_of_others(&[archive(number)], &name(number + 1)).len(), 1);
        }
        let took = crate::processor_time::of_this_thread() - start;
        assert!(took.as_secs() < 5, "{took:?}");
    }
}
