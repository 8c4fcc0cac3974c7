//! What became of a lineage that was removed.

use std::path::{Path, PathBuf};

use super::folder::Distrusted;
use super::whose::Whose;
use super::{Kind, StoreError};
use crate::words::{cure_for, shell_word};
use crate::{Finding, FindingCode, LineageName, Severity, escape};

/// What became of a lineage that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// What was removed.
    pub removed: Vec<PathBuf>,
    /// The files among them that somebody had put beside the versions in `archive/NAME`.
    pub beside_versions: Vec<PathBuf>,
    /// What stays, since it may be another tree's, or is.
    pub kept: Vec<Kept>,
}

/// A folder with live links or versions of a lineage that was removed, which stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The folder, links in its path resolved.
    pub folder: PathBuf,
    /// The files in it that are meant.
    pub files: Vec<PathBuf>,
    /// The config dir of the tree that it lies in; none where it lies outside this one and in no other.
    pub tree: Option<PathBuf>,
    pub(super) held: Held,
    /// Nothing else is in the folder, but for what goes and what certbot puts there, and no path of others leads through it.
    pub(super) holds_nothing_else: bool,
}

/// A lineage could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The store failed; what was removed until then is gone.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was removed: this needs the owner.
    #[error("{path} {why}")]
    Elsewhere {
        /// What is not this tree's, or not for certain, or cannot go; escaped.
        path: String,
        /// Whose it is.
        why: &'static str,
        /// What to do.
        cure: String,
    },
}

impl DeleteError {
    pub(super) fn elsewhere(path: PathBuf, whose: Whose, name: &LineageName) -> Self {
        let word = |path: &Path| shell_word(&escape(&path.to_string_lossy()));
        let (why, flag) = match &whose {
            Whose::AnotherTree(tree) => ("belongs to another tree", format!("--config-dir {}", word(tree))),
            Whose::Outside(folder) => (
                "lies outside the config dir, or in what is mounted there, where another tree may use it",
                format!("--also-in {}", word(folder)),
            ),
            Whose::Own => ("cannot be removed", String::new()),
        };
        let condition = if matches!(whose, Whose::Outside(_)) { "if none does: " } else { "there: " };
        let cure = format!("{condition}certkit delete --cert-name {} {flag}", shell_word(name.as_str()));
        Self::Elsewhere { path: escape(&path.to_string_lossy()).into_owned(), why, cure }
    }

    /// Why the rest of a removal cannot be done now.
    pub(crate) fn kept(kept: &Kept, name: &LineageName) -> Self {
        let path = escape(&kept.folder.to_string_lossy()).into_owned();
        let (why, cure) = match &kept.held {
            Held::Gone => {
                ("is not there", "mount the disk that is missing: the next `certkit renew` deletes the rest".to_owned())
            }
            Held::Led(_) => (
                "holds the only copies of versions that others have as links",
                cure_for(kept.finding().cure(), &shell_word(name.as_str())),
            ),
            Held::Links | Held::Versions | Held::Folder | Held::Owners | Held::Way(_) => {
                return Self::elsewhere(kept.folder.clone(), Whose::Outside(kept.folder.clone()), name);
            }
        };
        Self::Elsewhere { path, why, cure }
    }

    /// A link of another user in the place of a folder of the lineage.
    pub(super) fn distrusted(link: &Distrusted) -> Self {
        let path = escape(&link.place().to_string_lossy()).into_owned();
        let why = "is a link that another user made, who can make it lead anywhere";
        Self::Elsewhere { path, why, cure: escape(&link.cure()).into_owned() }
    }

    /// A conf that another one is a link to.
    pub(super) fn needed(conf: &Path, name: &LineageName) -> Self {
        let shown = escape(&conf.to_string_lossy()).into_owned();
        let cure = format!(
            "put a copy in the place of the link to {}, which this lists: find -L {} -samefile {}; then: certkit delete --cert-name {}",
            shell_word(&shown),
            shell_word(&conf.parent().map(Path::to_string_lossy).unwrap_or_default()),
            shell_word(&conf.to_string_lossy()),
            shell_word(name.as_str())
        );
        Self::Elsewhere { path: shown, why: "is what another configuration is a link to", cure }
    }

    /// A file on which something is mounted cannot be removed, and the rest would be gone without it.
    pub(super) fn mounted(path: &Path, name: &LineageName) -> Self {
        let word = shell_word(&escape(&path.to_string_lossy()));
        let cure = format!("umount {word}, then: certkit delete --cert-name {}", shell_word(name.as_str()));
        Self::Elsewhere { path: escape(&path.to_string_lossy()).into_owned(), why: "has something mounted on it", cure }
    }

    /// What to do, where something is known that helps.
    pub fn cure(&self) -> Option<&str> {
        match self {
            Self::Store(_) => None,
            Self::Elsewhere { cure, .. } => Some(cure),
        }
    }

    /// As whoever repairs tells it.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Elsewhere { path, why, cure } => {
                StoreError::new("remove", path, std::io::Error::other(format!("it {why}; {cure}")))
            }
        }
    }
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Links,
    Versions,
    /// A folder among the versions.
    Folder,
    /// Versions on a disk that is not there.
    Gone,
    /// Versions or live links that links of others lead to, and how to find those.
    Led(String),
    /// What its owner has put beside the live links.
    Owners,
    /// A folder that the ways of these others lead through, escaped. What was in it is gone.
    Way(String),
}

fn is_live_link(path: &Path) -> bool {
    path.file_name().is_some_and(|name| Kind::ALL.iter().any(|kind| name == kind.live_file().as_str()))
}

impl Deleted {
    /// Whether nothing of the lineage is left that is perhaps this tree's alone.
    pub fn is_complete(&self) -> bool {
        self.kept.iter().all(|kept| kept.tree.is_some() || matches!(kept.held, Held::Owners | Held::Way(_)))
    }

    /// What stays, and how its owner removes it.
    pub fn findings(&self) -> Vec<Finding> {
        self.kept.iter().map(Kept::finding).collect()
    }
}

impl Kept {
    pub(super) fn new(folder: PathBuf, files: Vec<PathBuf>, whose: Whose, held: Held) -> Self {
        let tree = if let Whose::AnotherTree(tree) = whose { Some(tree) } else { None };
        Self { folder, files, tree, held, holds_nothing_else: false }
    }

    /// Whether it lies where another tree may use it, too.
    pub(crate) fn is_outside(&self) -> bool {
        self.tree.is_none() && !matches!(self.held, Held::Folder | Held::Owners | Held::Way(_))
    }

    /// Whether it stayed: where a conf names a version as a live link, what lies beside that went with the versions.
    pub(crate) fn is_there(&mut self) -> bool {
        if matches!(self.held, Held::Owners) && !self.files.is_empty() {
            self.files.retain(|file| file.symlink_metadata().is_ok());
            return !self.files.is_empty();
        }
        true
    }

    /// Whether no repair removes it, in whatever folder: a disk is missing, or others have to be given copies first.
    pub(crate) fn waits_for_its_owner(&self) -> bool {
        matches!(self.held, Held::Gone | Held::Led(_))
    }

    fn finding(&self) -> Finding {
        let code = match self.held {
            Held::Led(_) if self.files.iter().any(|file| is_live_link(file)) => FindingCode::LiveWithoutConf,
            Held::Versions | Held::Folder | Held::Gone | Held::Led(_) => FindingCode::ArchiveWithoutConf,
            Held::Links | Held::Owners => FindingCode::LiveWithoutConf,
            Held::Way(_) => FindingCode::LeftOver,
        };
        let told = |evidence: &str| Finding::new(code, self.folder.to_string_lossy(), evidence);
        let word = |path: &Path| shell_word(&path.to_string_lossy());
        let folder = word(&self.folder);
        if let Some(tree) = &self.tree {
            let tree = word(tree);
            let cure = format!("to remove it there: certkit delete --cert-name NAME --config-dir {tree}");
            let told = told(&format!("it stays: it belongs to the tree in {tree}"));
            return told.with_severity(Severity::Notice).with_cure(cure);
        }
        match &self.held {
            Held::Gone => told("it stays, if there is one: it lies outside the config dir, and is not there")
                .with_cure(format!("mount the disk that is missing, and: rm -r -- {folder}")),
            Held::Led(find) => {
                let shown = self.files.iter().map(|file| word(file)).collect::<Vec<_>>().join(", ");
                told("it stays: links among the versions of another certificate lead into it").with_cure(format!(
                    "put copies in the place of the links to {shown}, {find}; then: certkit delete --cert-name NAME"
                ))
            }
            Held::Folder => told("it stays: no certificate has a folder among its versions")
                .with_cure(format!("if nobody needs it: rm -r -- {folder}")),
            Held::Owners => {
                let names = self.files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
                let names = names.collect::<Vec<_>>().join(", ");
                told(&format!("it stays: somebody has put {names} into it, and keys may be among that"))
                    .with_severity(Severity::Notice)
                    .with_cure(format!("if nobody needs it: {}", self.removal("rm -r --")))
            }
            Held::Way(users) => told(&format!("the folder stays, since paths of {users} lead through it"))
                .with_severity(Severity::Notice)
                .with_cure(format!(
                    "nothing to do; when it is empty, and no path leads through it any more: rmdir -- {folder}"
                )),
            Held::Links | Held::Versions => told(
                "it stays: it lies outside the config dir, or in what is mounted there, where another tree may use it",
            )
            .with_cure(format!("if none does: {}", self.removal("rm --"))),
        }
    }

    /// The command that removes what is meant: with its folder, where nothing else is in it and nobody leads through it.
    fn removal(&self, single: &str) -> String {
        let word = |path: &PathBuf| shell_word(&path.to_string_lossy());
        if self.holds_nothing_else {
            return format!("rm -r -- {}", word(&self.folder));
        }
        self.files.iter().fold(single.to_owned(), |command, file| format!("{command} {}", word(file)))
    }
}

/// Notes what stays, each folder and file once.
pub(super) fn keep(kept: &mut Vec<Kept>, found: Kept) {
    match kept.iter_mut().find(|one| one.folder == found.folder && one.held == found.held) {
        Some(one) => {
            for file in found.files {
                if !one.files.contains(&file) {
                    one.files.push(file);
                }
            }
        }
        None if found.files.is_empty() => {}
        None => kept.push(found),
    }
}
