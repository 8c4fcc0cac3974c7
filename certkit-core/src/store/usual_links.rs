//! The live links of lineages that lie as certbot lays them, followed without opening a folder for each lineage.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat_raw, statat};

use super::targets::is_plain;
use super::{Kind, StorePaths};
use crate::{LineageName, Version};

/// Longer links are none that certbot writes: `../../archive/NAME/fullchainN.pem`, with a name of at most 200 bytes.
const MAX_LINK: usize = 256;

/// The folders of a tree, open while its lineages are gone through.
#[derive(Debug)]
pub(super) struct OpenFolders {
    renewal: OwnedFd,
    live: OwnedFd,
    archive: OwnedFd,
    /// `live/` and `archive/` with their paths and a slash behind each.
    live_prefix: Vec<u8>,
    archive_prefix: Vec<u8>,
}

impl OpenFolders {
    /// Opens them; none when one of them is missing, or the tree has a path that is not plain.
    pub(super) fn open(paths: &StorePaths) -> Option<Self> {
        let open = |path: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, path, flags, Mode::empty()).ok()
        };
        let prefix = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
        let (live, archive) = (paths.live_dir(), paths.archive_dir());
        if !is_plain(live.as_os_str().as_bytes()) {
            return None;
        }
        Some(Self {
            renewal: open(&paths.renewal_dir())?,
            live: open(&live)?,
            archive: open(&archive)?,
            live_prefix: prefix(&live),
            archive_prefix: prefix(&archive),
        })
    }

    /// `renewal/`.
    pub(super) fn renewal(&self) -> BorrowedFd<'_> {
        self.renewal.as_fd()
    }

    /// What [`super::targets::targets`] finds for a lineage whose four links lie and lead where certbot lays them, all to
    /// one version, whose files are there. None for any other, sound or not.
    ///
    /// The folder `live/NAME` may be exchanged between two of the links; then they speak of two versions, and whoever
    /// asked looks again with the folder held open.
    pub(super) fn targets(&self, name: &LineageName, links: &[&Path; 4]) -> Option<[PathBuf; 4]> {
        let mut common = None;
        let [cert, privkey, chain, fullchain] = links;
        Some([
            self.target(name, Kind::Cert, cert, &mut common)?,
            self.target(name, Kind::Privkey, privkey, &mut common)?,
            self.target(name, Kind::Chain, chain, &mut common)?,
            self.target(name, Kind::Fullchain, fullchain, &mut common)?,
        ])
    }

    fn target(&self, name: &LineageName, kind: Kind, link: &Path, common: &mut Option<Version>) -> Option<PathBuf> {
        let link = link.as_os_str().as_bytes().strip_prefix(self.live_prefix.as_slice())?;
        let file = link.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b"/")?;
        if file.strip_suffix(b".pem") != Some(kind.as_str().as_bytes()) {
            return None;
        }
        let mut room = [MaybeUninit::uninit(); MAX_LINK];
        let (written, rest) = readlinkat_raw(&self.live, link, &mut room).ok()?;
        // A link that fills the room may be longer.
        if rest.is_empty() {
            return None;
        }
        let version_file = written.strip_prefix(b"../../archive/")?;
        let file = version_file.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b"/")?;
        let version = kind.version_of(std::str::from_utf8(file).ok()?)?;
        if *common.get_or_insert(version) != version {
            return None;
        }
        let stat = statat(&self.archive, version_file, AtFlags::empty()).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let path = [self.archive_prefix.as_slice(), version_file].concat();
        Some(OsString::from_vec(path).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::targets::targets;
    use super::*;

    /// Makes something of a lineage that certbot does not lay.
    type Spoil = fn(&StorePaths, &LineageName, &[PathBuf; 4]);

    fn by_ref(links: &[PathBuf; 4]) -> [&Path; 4] {
        links.each_ref().map(PathBuf::as_path)
    }

    /// A tree with one lineage that lies as certbot lays it.
    fn tree() -> (tempfile::TempDir, StorePaths, LineageName, [PathBuf; 4]) {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::within(dir.path());
        let name = LineageName::new("a.example").unwrap();
        for folder in [paths.renewal_dir(), paths.live(&name), paths.archive(&name)] {
            fs::create_dir_all(folder).unwrap();
        }
        let links = Kind::ALL.map(|kind| {
            for version in [1, 2] {
                fs::write(paths.archive(&name).join(kind.archive_file(Version(version))), "x").unwrap();
            }
            let link = paths.live(&name).join(kind.live_file());
            symlink(format!("../../archive/{name}/{}", kind.archive_file(Version(2))), &link).unwrap();
            link
        });
        (dir, paths, name, links)
    }

    fn relink(link: &Path, to: impl AsRef<Path>) {
        fs::remove_file(link).unwrap();
        symlink(to, link).unwrap();
    }

    #[test]
    fn links_as_certbot_lays_them_lead_where_the_careful_look_finds_them() {
        let (_dir, paths, name, links) = tree();
        let folders = OpenFolders::open(&paths).unwrap();
        assert_eq!(folders.targets(&name, &by_ref(&links)), Some(targets(&by_ref(&links)).unwrap()));
    }

    #[test]
    fn whatever_is_not_as_certbot_lays_it_is_left_to_the_careful_look() {
        let spoils: [(&str, Spoil); 8] = [
            ("another version", |_, _, links| relink(&links[3], "../../archive/a.example/fullchain1.pem")),
            ("another lineage", |_, _, links| relink(&links[3], "../../archive/b.example/fullchain2.pem")),
            ("another kind", |_, _, links| relink(&links[3], "../../archive/a.example/chain2.pem")),
            ("no version", |_, _, links| relink(&links[3], "../../archive/a.example/fullchain02.pem")),
            ("absolute", |paths, name, links| relink(&links[0], paths.archive(name).join("cert2.pem"))),
            ("a copy", |_, _, links| {
                fs::remove_file(&links[0]).unwrap();
                fs::write(&links[0], "x").unwrap();
            }),
            ("dangling", |paths, name, _| fs::remove_file(paths.archive(name).join("cert2.pem")).unwrap()),
            ("a folder", |paths, name, _| {
                fs::remove_file(paths.archive(name).join("cert2.pem")).unwrap();
                fs::create_dir(paths.archive(name).join("cert2.pem")).unwrap();
            }),
        ];
        for (what, spoil) in spoils {
            let (_dir, paths, name, links) = tree();
            spoil(&paths, &name, &links);
            assert_eq!(OpenFolders::open(&paths).unwrap().targets(&name, &by_ref(&links)), None, "{what}");
        }
        let (_dir, paths, name, links) = tree();
        let other = LineageName::new("a.exampl").unwrap();
        assert_eq!(OpenFolders::open(&paths).unwrap().targets(&other, &by_ref(&links)), None);
        let [cert, privkey, chain, _] = links;
        let moved = [cert, privkey, chain, paths.config_dir.join("fullchain.pem")];
        assert_eq!(OpenFolders::open(&paths).unwrap().targets(&name, &by_ref(&moved)), None);
    }
}
