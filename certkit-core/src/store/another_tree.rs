//! Trees besides the one that is worked on.
//!
//! The paths in a conf are absolute. In a copy of a tree they name the original, and whoever puts the copy right by them
//! changes the original, without its lock and behind its owner's back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Kind, Lineage, StorePaths};

/// The config dir of another tree that this path lies in, links in it resolved; none where it lies in the own tree or in
/// no tree at all, as an archive that its owner moved to another disk does.
pub(crate) fn another_tree(paths: &StorePaths, path: &Path) -> Option<PathBuf> {
    // Of what does not exist yet, where it would be made.
    let dir = path.ancestors().skip(1).find_map(|dir| fs::canonicalize(dir).ok())?;
    let own = fs::canonicalize(&paths.config_dir).ok()?;
    if dir.starts_with(&own) {
        return None;
    }
    let is_tree = |dir: &&Path| dir.join("renewal").is_dir() && dir.join("live").is_dir();
    let tree = dir.ancestors().find(is_tree)?;
    // The own one, mounted twice.
    (!is_same(tree, &own)).then(|| tree.to_owned())
}

/// The other tree that the live links or versions of a lineage lie in.
pub(crate) fn another_tree_of(paths: &StorePaths, lineage: &Lineage) -> Option<PathBuf> {
    // Where they are as certbot lays them, nothing is looked up.
    let at_home = |path: &Path| is_below(path, &paths.config_dir);
    let all = Kind::ALL.iter().flat_map(|kind| [lineage.live_path(*kind), lineage.target(*kind)]);
    all.filter(|path| !at_home(path)).find_map(|path| another_tree(paths, path))
}

/// By their bytes: comparing paths by their parts takes longer.
fn is_below(path: &Path, dir: &Path) -> bool {
    let (path, dir) = (path.as_os_str().as_encoded_bytes(), dir.as_os_str().as_encoded_bytes());
    path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
        && !path.windows(4).any(|part| part == b"/../")
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |dir: &Path| fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()));
    place(one).is_some_and(|one| Some(one) == place(other))
}
