//! The way that a path takes through links and folders: whoever removes a part of it breaks what uses the path.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::StoreError;
use super::in_use::real_place;
use super::links::{Link, read_link};

/// So many links are followed, as Linux does.
const MAX_LINKS: usize = 40;

/// What a path leads through and to: each link on it, each folder that a `..` leaves again, and the end, whether it is there or
/// not; each without links in the path of its folder, and but for the entry that the path names.
pub(crate) fn steps(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let itself = real_place(path)?;
    Ok(way(path)?.into_iter().filter(|step| Some(step) != itself.as_ref()).collect())
}

/// All of it, the entry itself included.
fn way(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let (mut found, mut links) = (Vec::new(), 0);
    let mut rest: VecDeque<Part> = parts(&super::files::absolute(path)?).collect();
    let mut at = PathBuf::from("/");
    // The folder of the link that is being followed: where that is, the folder is.
    let mut base = at.clone();
    while let Some(part) = rest.pop_front() {
        let Part::Into(name) = part else {
            if !base.starts_with(&at) {
                found.push(at.clone());
            }
            at.pop();
            continue;
        };
        let next = at.join(name);
        match read_link(&next)? {
            Link::To(target) if links < MAX_LINKS => {
                links += 1;
                found.push(next);
                base.clone_from(&at);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in parts(&target).rev().collect::<Vec<_>>() {
                    rest.push_front(part);
                }
            }
            _ => {
                at = next;
                if rest.is_empty() {
                    found.push(at.clone());
                }
            }
        }
    }
    Ok(found)
}

enum Part {
    Into(OsString),
    Up,
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = Part> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Part::Into(name.to_owned())),
        Component::ParentDir => Some(Part::Up),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_way_is_the_links_and_the_folders_that_it_needs() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        let at = |path: &str| top.join(path);
        for folder in ["live/b", "archive/a", "archive/b", "vault"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("vault/key"), "").unwrap();
        symlink("../../archive/b/key", at("live/b/plain")).unwrap();
        symlink("../../archive/a/../b/key", at("live/b/up")).unwrap();
        symlink(at("archive/a/sub/key"), at("live/b/sub")).unwrap();
        symlink("../../vault", at("archive/a/sub")).unwrap();
        symlink("../a/nothing", at("archive/b/dangling")).unwrap();
        symlink("circle", at("archive/b/circle")).unwrap();
        let steps = |path: &str| steps(&at(path)).unwrap();
        assert_eq!(steps("live/b/plain"), [at("archive/b/key")]);
        assert_eq!(steps("live/b/up"), [at("archive/a"), at("archive/b/key")]);
        assert_eq!(steps("live/b/sub"), [at("archive/a/sub"), at("vault/key")]);
        assert_eq!(steps("archive/b/dangling"), [at("archive/a/nothing")]);
        // The entry itself is not on the way to it.
        assert_eq!(steps("archive/a/sub/../archive/b/key"), [at("archive/a/sub"), at("vault")]);
        assert!(steps("archive/b/circle").len() <= MAX_LINKS);
        assert_eq!(steps("vault/key"), [] as [PathBuf; 0]);
    }
}
