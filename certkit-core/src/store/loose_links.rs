//! Links in the config dir that are no lineage's: accounts, hooks and settings may lie, or lead, where versions do.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::in_use::{InUse, Use, Used, real};
use super::{StoreError, StorePaths, files};

/// The folder of accounts.
const ACCOUNTS: &str = "accounts";

/// So many files and folders are looked at for links below one of these: whoever has more has a link to somewhere else.
const MOST_LOOKED_AT: usize = 100_000;

/// What else in the config dir may lead elsewhere.
const TOPS_OF_LINKS: [&str; 9] = [
    ACCOUNTS,
    "renewal-hooks",
    "cli.ini",
    "certkit/settings.toml",
    "certkit/lineages",
    "certkit",
    "live",
    "archive",
    "renewal",
];

/// Of these only the folder itself may be a link that matters.
const LINEAGES_TOPS: [&str; 4] = ["certkit", "live", "archive", "renewal"];

/// How deep below `accounts/` links are looked for: HOST, the parts of the directory's path, the account and its files.
const MAX_ACCOUNT_DEPTH: usize = 15;

/// A walk through what is no lineage's.
struct Walk {
    /// The folders that links led to.
    followed: BTreeSet<PathBuf>,
    /// So many entries may still be looked at.
    left: usize,
    are_accounts: bool,
}

impl InUse {
    /// What they lead through and to. What cannot be read is told elsewhere; what is too much is returned.
    pub(super) fn add_loose_links(&mut self, paths: &StorePaths) -> Vec<StoreError> {
        let mut hidden = Vec::new();
        for top in TOPS_OF_LINKS {
            let mut walk = Walk { followed: BTreeSet::new(), left: MOST_LOOKED_AT, are_accounts: top == ACCOUNTS };
            let path = paths.config_dir.join(top);
            self.add_links_of(paths, &path, 0, &mut walk);
            if walk.left == 0 {
                hidden.push(StoreError::new("read", path, io::Error::other("there are too many files below it")));
            }
        }
        hidden
    }

    /// What this leads through and to where it is a link, and all links in it where it is a folder, or leads to one. What cannot be
    /// read there is told elsewhere.
    fn add_links_of(&mut self, paths: &StorePaths, path: &Path, depth: usize, walk: &mut Walk) {
        walk.left = walk.left.saturating_sub(1);
        let by = || -> Arc<OsStr> { Arc::from(paths.relative(path).as_os_str()) };
        let is_link = path.is_symlink();
        if is_link {
            let _ = self.add_way(paths, &by(), path);
        } else if depth > 0 && !path.is_dir() {
            return;
        }
        // Live links and versions are read by lineage.
        if depth == MAX_ACCOUNT_DEPTH
            || walk.left == 0
            || LINEAGES_TOPS.iter().any(|top| path == paths.config_dir.join(top))
        {
            return;
        }
        if is_link && path.is_dir() {
            let Ok(Some(dir)) = real(path) else { return };
            self.uses.push(Use { by: by(), folder: None, what: Used::Folder(dir.clone()) });
            // A hook may be a link to anywhere; accounts lie where a link of theirs leads. Each once, for links may lead in a circle; and
            // what lineages use is not used once more because the tree can be reached through such a link.
            if !walk.are_accounts || paths.is_top(&dir) || !walk.followed.insert(dir) {
                return;
            }
        }
        for name in files::list(path).ok().flatten().unwrap_or_default() {
            self.add_links_of(paths, &path.join(name), depth + 1, walk);
        }
    }
}
