//! What became of a lineage that was removed.

use std::path::{Path, PathBuf};

use super::whose::Whose;
use crate::words::shell_word;
use crate::{Finding, FindingCode, Severity};

/// What became of a lineage that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// What was removed.
    pub removed: Vec<PathBuf>,
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
    /// Nothing else is in the folder, but for what certbot puts there.
    pub(super) holds_nothing_else: bool,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Links,
    Versions,
}

impl Deleted {
    /// Whether nothing of the lineage is left that is perhaps this tree's alone.
    pub fn is_complete(&self) -> bool {
        self.kept.iter().all(|kept| kept.tree.is_some())
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

    fn finding(&self) -> Finding {
        let code = match self.held {
            Held::Versions => FindingCode::ArchiveWithoutConf,
            Held::Links => FindingCode::LiveWithoutConf,
        };
        let word = |path: &Path| shell_word(&path.to_string_lossy());
        match &self.tree {
            Some(tree) => {
                let tree = word(tree);
                let evidence = format!("it stays: it belongs to the tree in {tree}");
                let cure = format!("to remove it there: certkit delete --cert-name NAME --config-dir {tree}");
                Finding::new(code, self.folder.to_string_lossy(), evidence)
                    .with_severity(Severity::Notice)
                    .with_cure(cure)
            }
            None => {
                let evidence = "it stays: it lies outside the config dir, where another tree may use it";
                let command = if self.holds_nothing_else {
                    format!("rm -r -- {}", word(&self.folder))
                } else {
                    format!("rm -- {}", self.files.iter().map(|file| word(file)).collect::<Vec<_>>().join(" "))
                };
                let cure = format!("if none does: {command}");
                Finding::new(code, self.folder.to_string_lossy(), evidence).with_cure(cure)
            }
        }
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
