//! Whose a place in the file system is: what may be repaired and deleted there.
//!
//! The paths in a conf are absolute, and folders of a tree can be links to another disk. In a copy of the tree (`cp -a`) both
//! lead to what the original has, and whoever puts the copy right by them changes the original, without its lock and behind
//! its owner's back. What lies in the config dir is the tree's own. Of a place outside nobody can tell whether a second tree
//! leads there too, so the owner says it ([`StorePaths::with_own_folder`]).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::files;
use super::in_use::real;
use super::{Kind, Lineage, RenewalConf, StorePaths};

/// Whose a place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This tree's.
    Own,
    /// That of another tree, with this config dir.
    AnotherTree(PathBuf),
    /// Outside the config dir and in no tree: perhaps this one's alone. The folder is where the path leaves the config
    /// dir, links in it resolved, whether it is there or not.
    Outside(PathBuf),
}

impl StorePaths {
    /// Also this folder outside the config dir belongs to this tree alone, as its owner says: it is repaired and deleted
    /// in too. One that is not there, or lies in another tree, changes nothing.
    #[must_use]
    pub fn with_own_folder(mut self, folder: PathBuf) -> Self {
        self.also_own.push(folder);
        self
    }

    /// Whose the entry of this name is, whether it is there or not: that of the folder it is in, wherever a link of that name
    /// leads. What cannot be looked at is nobody's.
    pub(crate) fn whose(&self, path: &Path) -> Whose {
        let folder = path.parent().unwrap_or(path);
        let outside = || Whose::Outside(folder.to_owned());
        let (Ok(own), Ok(path)) = (fs::canonicalize(&self.config_dir), files::absolute(path)) else { return outside() };
        let Some(real) = place(path.parent().unwrap_or(&path)) else { return outside() };
        let mut own_as = real.starts_with(&own).then(|| own.clone());
        // All its folders can be links to one disk, whose `renewal` is the own one then.
        // By its name first: `live` of another tree may be a link to a disk, where nothing says whose it is.
        for path in [&path, &real.join("of")] {
            // The config dir may have several names, be mounted twice, and have lost its `live`.
            let is_other = |dir: &Path| {
                is_tree(dir)
                    && !is_same(&dir.join("renewal"), &own.join("renewal"))
                    && !self.is_of_certkit(dir)
                    && self.is_somebodys(dir)
            };
            let Some(tree) = path.ancestors().skip(1).find(|dir| is_same(dir, &own) || is_other(dir)) else { continue };
            let real_tree = fs::canonicalize(tree).unwrap_or_else(|_| tree.to_owned());
            if !is_same(tree, &own) {
                return Whose::AnotherTree(real_tree);
            }
            if own_as.is_none() && real.starts_with(&real_tree) {
                own_as = Some(real_tree);
            }
        }
        let entry = path.file_name().map(|name| real.join(name));
        let said = |folder: &PathBuf| {
            fs::canonicalize(folder).is_ok_and(|folder| real.starts_with(&folder) || entry.as_ref() == Some(&folder))
        };
        if self.also_own.iter().any(said) {
            return Whose::Own;
        }
        let Some(own_as) = own_as else { return Whose::Outside(self.exit(&path, &real, &own).unwrap_or(real)) };
        // What is mounted there may be another tree's folder, as what a link leads to may be.
        let mounted = real.ancestors().take_while(|dir| **dir != own_as).find(|dir| files::is_mount_point(dir));
        mounted.map_or(Whose::Own, |dir| Whose::Outside(dir.to_owned()))
    }

    /// Whether a folder is certkit's own: what repairs have saved looks like a tree.
    fn is_of_certkit(&self, dir: &Path) -> bool {
        let own = self.own_dir();
        [files::absolute(&own).ok(), fs::canonicalize(&own).ok()].iter().flatten().any(|own| dir.starts_with(own))
    }

    /// Whether a tree has confs of its own, which name folders in it, or nobody can see whether it has: confs that are damaged,
    /// or name places that are not here, as those of a container's tree do. A disk that parts of this tree lie on may have a
    /// backup of this one's confs, the confs themselves, or an empty folder of that name.
    fn is_somebodys(&self, tree: &Path) -> bool {
        let renewal = tree.join("renewal");
        // One after the other, for mostly the first conf says it, and it is asked of each certificate that leads there.
        let Ok(entries) = fs::read_dir(&renewal) else { return true };
        let (mut is_own, mut is_unclear) = (false, false);
        for entry in entries {
            let Ok(name) = entry.map(|entry| entry.file_name()) else { return true };
            if !name.as_encoded_bytes().ends_with(b".conf") {
                continue;
            }
            let path = renewal.join(&name);
            let conf = files::read(&path).ok().and_then(|content| RenewalConf::parse(&content).ok());
            let said = conf.iter().flat_map(|conf| {
                let links = Kind::ALL.iter().filter_map(|kind| conf.live_path(*kind));
                let live = links.filter_map(|link| Path::new(link).parent()).map(Path::to_owned);
                live.chain(conf.archive_dir().map(PathBuf::from))
            });
            let mut says_something = false;
            for folder in said {
                // `live/NAME` and `archive/NAME`.
                let Some(top) = folder.ancestors().nth(2) else { continue };
                if is_same(top, tree) && folder.exists() {
                    return true;
                }
                is_own |= is_same(top, &self.config_dir);
                says_something |= top.exists();
            }
            is_unclear |= !says_something && !is_same(&path, &self.renewal_dir().join(name));
        }
        is_unclear && !is_own
    }

    /// Where a path leaves the config dir; `real` is its folder without links.
    fn exit(&self, path: &Path, real: &Path, own: &Path) -> Option<PathBuf> {
        let tops = [self.live_dir(), self.archive_dir()].map(|top| place(&top));
        if let Some(top) = tops.into_iter().flatten().find(|top| real.starts_with(top)) {
            return Some(top);
        }
        let within = path.strip_prefix(files::absolute(&self.config_dir).ok()?).ok()?.parent()?;
        let mut on_the_way = self.config_dir.clone();
        within.components().find_map(|part| {
            on_the_way.push(part);
            place(&on_the_way).filter(|real| !real.starts_with(own))
        })
    }

    /// The other tree that the live links or versions of a lineage lie in.
    pub(crate) fn another_tree_of(&self, lineage: &Lineage) -> Option<PathBuf> {
        let all = Kind::ALL.iter().flat_map(|kind| [lineage.live_path(*kind), lineage.target(*kind)]);
        // Where the folder itself is a link, only that tells.
        let are_folders = !self.live(lineage.name()).is_symlink() && !self.archive(lineage.name()).is_symlink();
        let mut looked_up = BTreeSet::new();
        // Where they are as certbot lays them, nothing is looked up; otherwise each folder once.
        all.filter(|path| !(are_folders && self.is_usual(path)) && looked_up.insert(path.parent()))
            .find_map(|path| self.another_tree(path))
    }

    /// The other tree that a path lies in.
    pub(crate) fn another_tree(&self, path: &Path) -> Option<PathBuf> {
        if let Whose::AnotherTree(tree) = self.whose(path) { Some(tree) } else { None }
    }

    /// Whether a path is `live/NAME/FILE` or `archive/NAME/FILE`. By its bytes: comparing paths by their parts takes longer.
    fn is_usual(&self, path: &Path) -> bool {
        let (path, dir) = (path.as_os_str().as_encoded_bytes(), self.config_dir.as_os_str().as_encoded_bytes());
        let within = path.strip_prefix(dir).unwrap_or_default();
        let below = within.strip_prefix(b"/live/").or_else(|| within.strip_prefix(b"/archive/"));
        below.is_some_and(|below| {
            let mut parts = below.split(|byte| *byte == b'/');
            let is_name = |part: Option<&[u8]>| part.is_some_and(|part| !matches!(part, b"" | b"." | b".."));
            is_name(parts.next()) && is_name(parts.next()) && parts.next().is_none()
        })
    }
}

/// So many links are followed in a path that leads to nothing, as Linux does.
const MAX_LINKS: usize = 40;

/// A path without links in it, whether it is there or not: where it would be, were it made. None for links in a circle and
/// for what cannot be looked at.
pub(crate) fn place(path: &Path) -> Option<PathBuf> {
    place_after(path, MAX_LINKS)
}

fn place_after(path: &Path, links: usize) -> Option<PathBuf> {
    if let Some(path) = real(path).ok()? {
        return Some(path);
    }
    let parent = place_after(path.parent()?, links)?;
    let Some(name) = path.file_name() else { return parent.parent().map(Path::to_owned) };
    match fs::read_link(parent.join(name)) {
        Ok(target) => place_after(&parent.join(target), links.checked_sub(1)?),
        Err(_) => Some(parent.join(name)),
    }
}

/// One that lost a part, or has it on a disk that is not mounted, is a tree, too.
pub(crate) fn is_tree(dir: &Path) -> bool {
    let holds = |folder: &str| dir.join(folder).symlink_metadata().is_ok_and(|meta| meta.is_dir() || meta.is_symlink());
    holds("renewal") && (holds("live") || holds("archive"))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |dir: &Path| fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()));
    place(one).is_some_and(|one| Some(one) == place(other))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(dir: &Path) -> StorePaths {
        for folder in ["renewal", "live/a", "archive/a"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let conf = format!("archive_dir = {}/archive/a\n", dir.display());
        fs::write(dir.join("renewal/a.conf"), conf).unwrap();
        StorePaths::within(dir)
    }

    #[test]
    fn a_folder_without_confs_of_its_own_is_no_tree() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().canonicalize().unwrap().join(path);
        let own = tree(&at("own"));
        let disk = at("disk");
        for folder in ["renewal", "live", "archive"] {
            fs::create_dir_all(disk.join(folder)).unwrap();
        }
        let key = disk.join("archive/a/privkey1.pem");
        let conf = disk.join("renewal/a.conf");
        let outside = Whose::Outside(disk.join("archive/a"));
        assert_eq!(own.whose(&key), outside, "nothing is in it");
        fs::copy(at("own/renewal/a.conf"), &conf).unwrap();
        assert_eq!(own.whose(&key), outside, "a backup of this tree's confs");
        fs::remove_file(at("own/renewal/a.conf")).unwrap();
        fs::write(&conf, "").unwrap();
        symlink(&conf, at("own/renewal/a.conf")).unwrap();
        assert_eq!(own.whose(&key), outside, "this tree's conf itself");
        assert_eq!(own.clone().with_own_folder(disk.clone()).whose(&key), Whose::Own);
        // Where nobody can tell, it is one.
        fs::remove_file(at("own/renewal/a.conf")).unwrap();
        let there = disk.display();
        for text in [
            "",
            "[[[",
            "# nothing\n",
            "cert = /container/live/a/cert.pem\n",
            &format!("archive_dir = {there}/archive/a\n"),
        ] {
            fs::write(&conf, text).unwrap();
            fs::create_dir_all(disk.join("archive/a")).unwrap();
            assert_eq!(own.whose(&key), Whose::AnotherTree(disk.clone()), "{text}");
        }
        // What is left of a certificate that is gone says nothing, and a backup more than a file beside it that is empty.
        fs::remove_dir(disk.join("archive/a")).unwrap();
        assert_eq!(own.whose(&key), outside);
        fs::write(&conf, format!("archive_dir = {}\n", at("own/archive/a").display())).unwrap();
        fs::write(disk.join("renewal/b.conf"), "").unwrap();
        assert_eq!(own.whose(&key), outside);
    }

    #[test]
    fn each_place_is_the_trees_own_another_trees_or_nobodys() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        let own = tree(&at("own"));
        tree(&at("other"));
        tree(&at("own/inner"));
        fs::create_dir_all(at("disk/live/a")).unwrap();
        fs::rename(at("other/live"), at("other/live.old")).unwrap();
        symlink(at("disk/live"), at("other/live")).unwrap();
        symlink(at("disk"), at("own/linked")).unwrap();
        symlink(at("own"), at("alias")).unwrap();
        symlink(at("gone/live"), at("own/dangling")).unwrap();
        tree(&at("own/certkit/saved/2026"));
        let other = || Whose::AnotherTree(at("other"));
        let outside = |path: &str| Whose::Outside(at(path));
        for (path, whose) in [
            ("own/live/a/cert.pem", Whose::Own),
            ("own/live/new/deeper/cert.pem", Whose::Own),
            ("own/live/a/../../archive/a/cert1.pem", Whose::Own),
            ("own/certkit/saved/2026/live/a/cert.pem", Whose::Own),
            ("alias/archive/a/cert1.pem", Whose::Own),
            ("other/archive/a/cert1.pem", other()),
            // A link to a disk: by the name of its way.
            ("other/live/a/cert.pem", other()),
            ("own/live/a/../../../other/live/a/cert.pem", other()),
            ("own/inner/live/a/cert.pem", Whose::AnotherTree(at("own/inner"))),
            // The link itself is the tree's own, what it leads to is not.
            ("own/linked", Whose::Own),
            ("own/linked/a/cert1.pem", outside("disk")),
            ("own/linked/live/a/cert.pem", outside("disk")),
            ("own/dangling/a/cert.pem", outside("gone/live")),
            ("disk/live/a/cert.pem", outside("disk/live/a")),
            ("nowhere/live/a/cert.pem", outside("nowhere/live/a")),
        ] {
            assert_eq!(own.whose(&at(path)), whose, "{path}");
        }
        // A path that was resolved before says it as well.
        fs::create_dir_all(at("elsewhere/archive/a")).unwrap();
        fs::remove_dir_all(at("own/archive")).unwrap();
        symlink(at("elsewhere/archive"), at("own/archive")).unwrap();
        assert_eq!(own.whose(&at("elsewhere/archive/a/cert1.pem")), outside("elsewhere/archive"));
        let own = own.with_own_folder(at("disk/live")).with_own_folder(at("other")).with_own_folder(at("absent"));
        assert_eq!(own.whose(&at("disk/live/a/cert.pem")), Whose::Own);
        assert_eq!(own.whose(&at("own/linked/live/a/cert.pem")), Whose::Own);
        assert_eq!(own.whose(&at("disk/other.pem")), outside("disk"));
        assert_eq!(own.whose(&at("other/archive/a/cert1.pem")), other(), "nobody can say that");
        assert_eq!(own.whose(&at("absent/a/cert1.pem")), outside("absent/a"));
    }

    #[test]
    fn a_tree_that_lies_in_another_one_and_lost_its_live_folder_is_itself() {
        let temp = tempfile::tempdir().unwrap();
        tree(temp.path());
        let inner = temp.path().join("inner");
        let own = tree(&inner);
        fs::remove_dir_all(inner.join("live")).unwrap();
        assert_eq!(own.whose(&inner.join("live/a/cert.pem")), Whose::Own);
        assert_eq!(own.whose(&inner.join("renewal/a.conf")), Whose::Own);
        let outer = Whose::AnotherTree(temp.path().canonicalize().unwrap());
        assert_eq!(own.whose(&temp.path().join("archive/a/cert1.pem")), outer);
    }

    #[test]
    fn a_disk_with_all_the_folders_of_a_tree_is_no_other_tree() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().canonicalize().unwrap().join(path);
        tree(&at("disk"));
        let own = StorePaths::within(at("own"));
        fs::create_dir(at("own")).unwrap();
        for folder in ["renewal", "live", "archive"] {
            symlink(at("disk").join(folder), at("own").join(folder)).unwrap();
        }
        assert_eq!(own.whose(&at("own/live/a/cert.pem")), Whose::Outside(at("disk/live")));
        assert_eq!(own.with_own_folder(at("disk")).whose(&at("own/live/a/cert.pem")), Whose::Own);
        // One that lost its live folder is a tree all the same.
        let other = tree(&at("other"));
        fs::remove_dir_all(at("other/live")).unwrap();
        let whose = StorePaths::within(at("own")).with_own_folder(at("")).whose(&at("other/archive/a/cert1.pem"));
        assert_eq!(whose, Whose::AnotherTree(other.config_dir));
    }

    #[test]
    fn only_the_places_that_certbot_gives_are_not_looked_up() {
        let paths = StorePaths::within("/le");
        for (path, usual) in [
            ("/le/live/a/cert.pem", true),
            ("/le/archive/a/cert1.pem", true),
            ("/le/archive/a/../cert1.pem", false),
            ("/le/archive/../cert1.pem", false),
            ("/le/archive/cert1.pem", false),
            ("/le/archive/a/b/cert1.pem", false),
            ("/le/inner/live/a/cert.pem", false),
            ("/lelive/a/cert.pem", false),
            ("/other/live/a/cert.pem", false),
        ] {
            assert_eq!(paths.is_usual(Path::new(path)), usual, "{path}");
        }
    }
}
