//! The live links of a lineage as they stand, whole or not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::folder::{Distrusted, Folder, real_folder};
use super::in_use::real;
use super::{Kind, RenewalConf, StoreError, StorePaths};
use crate::{LineageName, Version};

/// The four paths that a conf names, and what is there. Unlike a [`super::Lineage`] it may be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveLinks {
    paths: [PathBuf; 4],
    links: [Link; 4],
    /// The kinds whose paths do not begin at the root, and lead to nothing from here.
    relative: Vec<Kind>,
    /// Where the conf (or its absence) says that the versions are.
    conf_archive: PathBuf,
    /// Whether the links that are there are named as certbot names versions, and lead into one directory.
    agree: bool,
}

/// What is at a live path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A symbolic link with this content.
    To(PathBuf),
    /// Nothing.
    Missing,
    /// Something that is no symbolic link.
    Other,
}

impl LiveLinks {
    /// Reads the links of a conf; none when the conf does not name all four.
    pub(crate) fn read(paths: &StorePaths, name: &LineageName, conf: &RenewalConf) -> Result<Option<Self>, StoreError> {
        let (mut found, mut relative) = (Vec::with_capacity(4), Vec::new());
        for kind in Kind::ALL {
            let Some(path) = conf.live_path(kind) else { return Ok(None) };
            if leads_to_nothing_from_here(Path::new(path)) {
                relative.push(kind);
            }
            let path = paths.said(path)?;
            let link = read_link(&path)?;
            found.push((path, link));
        }
        let conf_archive = match conf.archive_dir() {
            Some(dir) if !dir.is_empty() => paths.said(dir)?,
            _ => paths.archive(name),
        };
        let (all_paths, links): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let (Ok(paths), Ok(links)) = (all_paths.try_into(), links.try_into()) else { return Ok(None) };
        let mut live = Self { paths, links, relative, conf_archive, agree: true };
        live.agree = live.do_agree();
        Ok(Some(live))
    }

    /// Whether the links that are there are named as certbot names versions, and lead into one directory: then new
    /// versions go there. A link to a file of another name, or alone in another directory, is no place for new keys.
    pub(crate) fn agree(&self) -> bool {
        self.agree
    }

    /// The same as if what is no link were not there: copies, which are about to be replaced.
    pub(crate) fn without_copies(&self) -> Self {
        let links = self.links.clone().map(|link| if link == Link::Other { Link::Missing } else { link });
        let mut live = Self { links, ..self.clone() };
        live.agree = live.do_agree();
        live
    }

    /// The same as if nothing were there: new links lead to where the conf says, in certbot's form.
    pub(crate) fn forgotten(&self) -> Self {
        Self { links: [const { Link::Missing }; 4], agree: true, ..self.clone() }
    }

    fn do_agree(&self) -> bool {
        let there = || Kind::ALL.into_iter().filter(|kind| matches!(self.link(*kind), Link::To(_)));
        if there().any(|kind| self.version_of(kind).is_none()) {
            return false;
        }
        let written: Vec<_> = there().filter_map(|kind| Some(self.target(kind)?.parent()?.to_owned())).collect();
        let same = |dirs: &[PathBuf]| dirs.windows(2).all(|pair| pair.first() == pair.last());
        // Healthy lineages write the same directory four times, so nothing needs to be looked up.
        same(&written)
            || written.iter().map(fs::canonicalize).collect::<Result<Vec<_>, _>>().is_ok_and(|real| same(&real))
    }

    /// Whether `..` in the links means the same to the system, which follows links in the path before it goes up, and to
    /// certbot, which resolves it by name.
    pub(crate) fn mean_the_same_by_name(&self) -> Result<bool, StoreError> {
        for kind in Kind::ALL {
            let Some(target) = self.target(kind) else { continue };
            let by_name = super::targets::by_name(&target)?;
            let (Some(dir), Some(by_name)) = (target.parent(), by_name.parent()) else { continue };
            if dir != by_name && real(dir)? != real(by_name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The path of the link.
    pub(crate) fn path(&self, kind: Kind) -> &Path {
        &self.paths[kind as usize]
    }

    /// The kinds whose paths do not begin at the root, and lead to nothing from here.
    pub(crate) fn relative(&self) -> &[Kind] {
        &self.relative
    }

    /// What is there.
    pub(crate) fn link(&self, kind: Kind) -> &Link {
        &self.links[kind as usize]
    }

    /// What the link points to, one step, from the root.
    pub(crate) fn target(&self, kind: Kind) -> Option<PathBuf> {
        let Link::To(target) = self.link(kind) else { return None };
        Some(self.path(kind).parent()?.join(target))
    }

    /// The version that a link points to, by the name of its target.
    pub(crate) fn version_of(&self, kind: Kind) -> Option<Version> {
        let Link::To(target) = self.link(kind) else { return None };
        kind.version_of(target.file_name()?.to_str()?)
    }

    /// The version that all four point to.
    pub(crate) fn version(&self) -> Option<Version> {
        let version = self.version_of(Kind::Cert)?;
        Kind::ALL.iter().all(|kind| self.version_of(*kind) == Some(version)).then_some(version)
    }

    /// Whether all four point to the same version in one directory, and all files are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.version().is_some()
            && self.single_archive().is_some()
            && Kind::ALL.iter().all(|kind| self.target(*kind).is_some_and(|target| target.is_file()))
    }

    /// What a switch or a new version changes: the links, and the entries of the folders that versions are in.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let links = Kind::ALL.iter().map(|kind| self.path(*kind).to_owned());
        let versions = Kind::ALL.iter().filter_map(|kind| self.target(*kind));
        links.chain(versions).chain([self.conf_archive.join(Kind::Cert.live_file())]).collect()
    }

    /// The directory that holds all four links.
    pub(crate) fn live_dir(&self) -> Option<&Path> {
        let dir = self.paths[0].parent()?;
        self.paths.iter().all(|path| path.parent() == Some(dir)).then_some(dir)
    }

    /// What the new link of this kind has to contain: the style and directory of the existing link is kept, as certbot
    /// does; where there is none, that of another one; else, or where they do not agree, certbot's relative form, or the
    /// conf's `archive_dir`.
    pub(crate) fn new_content(&self, kind: Kind, version: Version) -> PathBuf {
        self.base(kind).join(kind.archive_file(version))
    }

    /// The directory that new versions of this kind go to, without links in its path.
    pub(crate) fn archive_dir(&self, kind: Kind) -> Result<PathBuf, StoreError> {
        let dir = self.place_of_archive(kind);
        real_folder(&dir).map_err(|error| StoreError::new("read", &dir, error))
    }

    /// A link of another user in the place of such a directory, or of the folder of the links.
    pub(crate) fn distrusted(&self) -> Option<Distrusted> {
        let lives = Kind::ALL.iter().filter_map(|kind| self.path(*kind).parent().map(Path::to_owned));
        let places: BTreeSet<PathBuf> = lives.chain(Kind::ALL.map(|kind| self.place_of_archive(kind))).collect();
        places.into_iter().filter_map(|place| Distrusted::at(&place).ok().flatten()).next()
    }

    fn place_of_archive(&self, kind: Kind) -> PathBuf {
        let live = self.path(kind).parent().unwrap_or_else(|| Path::new("/"));
        if live.is_dir() { live.join(self.base(kind)) } else { self.conf_archive.clone() }
    }

    /// The one directory that all four links point into.
    pub(crate) fn single_archive(&self) -> Option<PathBuf> {
        if !self.agree {
            return None;
        }
        let first = self.archive_dir(Kind::Cert).ok()?;
        let base = self.base(Kind::Cert);
        // Healthy lineages write the same directory four times; it is looked up once.
        let same = |kind: &Kind| {
            (self.live_dir().is_some() && self.base(*kind) == base)
                || self.archive_dir(*kind).is_ok_and(|dir| dir == first)
        };
        Kind::ALL.iter().all(same).then_some(first)
    }

    /// The conf's `archive_dir`, or certbot's default, without links in its path.
    pub(crate) fn conf_archive(&self) -> Option<PathBuf> {
        fs::canonicalize(&self.conf_archive).ok()
    }

    /// The conf's `archive_dir`, or certbot's default, as it is written.
    pub(crate) fn written_archive(&self) -> &Path {
        &self.conf_archive
    }

    fn base(&self, kind: Kind) -> PathBuf {
        let of = |kind: Kind| match self.link(kind) {
            Link::To(target) => target.parent().map(Path::to_owned),
            Link::Missing | Link::Other => None,
        };
        let existing = || of(kind).or_else(|| Kind::ALL.into_iter().find_map(of));
        self.agree.then(existing).flatten().unwrap_or_else(|| {
            relative_archive(self.path(kind).parent().unwrap_or_else(|| Path::new("/")), &self.conf_archive)
        })
    }
}

/// Whether a path does not begin at the root, and there is nothing of that name in the folder that this process was started in.
pub(crate) fn leads_to_nothing_from_here(path: &Path) -> bool {
    path.is_relative() && path.symlink_metadata().is_err()
}

/// What is at `path`.
pub(crate) fn read_link(path: &Path) -> Result<Link, StoreError> {
    match fs::read_link(path) {
        Ok(target) => Ok(Link::To(target)),
        Err(error) if files::is_absence(&error) => Ok(Link::Missing),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Link::Other),
        Err(error) => Err(StoreError::new("read", path, error)),
    }
}

/// Makes `path` a link with this content, replacing what is there in one step.
pub(crate) fn put_link(path: &Path, content: &Path) -> Result<(), StoreError> {
    if read_link(path)? == Link::To(content.to_owned()) {
        return Ok(());
    }
    let (folder, name) = Folder::led_to(path)?;
    folder.link_temp(name, content)?;
    folder.replace_by_temp(name).inspect_err(|_| {
        let _ = folder.remove_temp(name);
    })
}

/// certbot's form, `../../archive/NAME`, where the two directories lie in one tree and the way up leads there; else the
/// directory itself.
pub(crate) fn relative_archive(live: &Path, archive: &Path) -> PathBuf {
    let (Some(tree), Some(parent), Some(name)) =
        (live.parent().and_then(Path::parent), archive.parent(), archive.file_name())
    else {
        return archive.to_owned();
    };
    // Where `live` or the folder in it is a link to elsewhere, `..` leads elsewhere too.
    let real = |path: &Path| fs::canonicalize(path).ok();
    let real_live = real(live).or_else(|| Some(live.parent().and_then(real)?.join(live.file_name()?)));
    let way_up = real_live.and_then(|live| Some(live.parent()?.parent()?.to_owned()));
    match parent.file_name() {
        Some(folder) if parent.parent() == Some(tree) && way_up.is_some() && way_up == real(tree) => {
            Path::new("../..").join(folder).join(name)
        }
        _ => archive.to_owned(),
    }
}
