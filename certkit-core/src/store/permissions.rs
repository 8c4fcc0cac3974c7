//! What users who should not can read, change or own.
//!
//! certbot gives keys 0600, account keys 0400, and shuts `live`, `archive` and `accounts` to all but their owner. Owners
//! open some of that to a group, or `live` and `archive` to everybody, so that a server without root's rights can read
//! them: a group's rights are never a problem here, and are never taken away.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{BrokenLineage, Kind, Lineage, Store, StoreError, StorePaths, folder_names};
use crate::words::shell_word;
use crate::{Finding, FindingCode, LineageName, Severity};

const OTHERS: u32 = 0o007;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// How deep below `accounts/` keys are looked for: HOST, the parts of the directory's path, and the account.
const MAX_ACCOUNT_DEPTH: usize = 14;

/// Something that is open to those whom it is not for.
pub(crate) struct Problem {
    /// What it is.
    pub(crate) path: PathBuf,
    /// The lineage that it belongs to; none for what belongs to all.
    pub(crate) name: Option<LineageName>,
    kind: ProblemKind,
    mode: u32,
    owner: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProblemKind {
    KeyReadable,
    AccountKeyReadable,
    Writable,
    Owned,
    /// A folder that owners open on purpose.
    Open,
    /// A folder that nobody else has anything to do in.
    OpenSecret,
}

/// All of them, and what could not be looked at. `lineages` is what [`of_lineage`] made of each.
pub(crate) fn problems(store: &Store, lineages: Vec<OfLineage>) -> (Vec<Problem>, Vec<StoreError>) {
    let mut look = Look::new(store.paths());
    look.tree();
    look.hooks();
    look.accounts(&store.accounts_dir(), 0);
    for lineage in lineages {
        look.errors.extend(lineage.error);
        look.at_home.extend(lineage.at_home);
        for part in lineage.parts {
            look.take(part);
        }
    }
    look.rest();
    (look.found, look.errors)
}

/// What [`problems`] has to know of a lineage, of whose archive these are the `files`. It may be looked at on any core.
pub(crate) fn of_lineage(
    paths: &StorePaths,
    lineage: &Result<Lineage, BrokenLineage>,
    files: &[OsString],
) -> OfLineage {
    let mut look = Look::new(paths);
    let mut parts = Vec::new();
    let mut at_home = None;
    match lineage {
        Ok(lineage) => {
            look.lineage(lineage, files, &mut parts);
            at_home = look.at_home(lineage, &parts);
        }
        Err(broken) => {
            look.anything(&broken.conf_path, None);
            look.copied_key_elsewhere(broken);
        }
    }
    look.part(None, &mut parts);
    if at_home.is_some() {
        parts.retain(|part| !part.found.is_empty());
        parts.shrink_to_fit();
    }
    OfLineage { at_home, parts, error: look.errors.pop() }
}

/// What is wrong with the parts of a lineage, and what could not be looked at.
pub(crate) struct OfLineage {
    /// Its name, when its folders are those that certbot gives it and nothing is wrong with them: of thousands of lineages
    /// hardly any has more than that.
    at_home: Option<LineageName>,
    parts: Vec<Part>,
    error: Option<StoreError>,
}

/// What is wrong with a folder of lineages, which several may have and which counts once, or with something else.
struct Part {
    folder: Option<PathBuf>,
    found: Vec<Problem>,
}

impl Problem {
    /// How bad it is.
    pub(crate) fn severity(&self) -> Severity {
        self.code().severity()
    }

    /// It in words, with the exact cure.
    pub(crate) fn finding(&self, paths: &StorePaths) -> Finding {
        let evidence = match self.kind {
            ProblemKind::Owned => format!("it belongs to user {}", self.owner),
            _ => format!("mode {:04o}", self.mode),
        };
        let path = shell_word(&self.path.to_string_lossy());
        let cure = match self.kind {
            ProblemKind::KeyReadable => format!("chmod o-rwx {path}, unless you meant it"),
            ProblemKind::AccountKeyReadable => {
                format!("chmod o-rwx {path}; and when somebody may have read it: certkit update_account --new-key")
            }
            ProblemKind::Writable => format!("chmod o-w {path}"),
            ProblemKind::Owned => format!("chown root {path}, unless you meant it"),
            ProblemKind::Open => format!("nothing to do if you meant it; otherwise: chmod o-rwx {path}"),
            ProblemKind::OpenSecret => format!("chmod o-rwx {path}"),
        };
        Finding::new(self.code(), paths.relative(&self.path).to_string_lossy(), evidence).with_cure(cure)
    }

    /// The rights that can be taken away without harm to anybody who should have them; none where that is the owner's
    /// decision, or what is meant lies elsewhere.
    pub(crate) fn to_take(&self) -> Option<u32> {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.is_symlink()) {
            return None;
        }
        match self.kind {
            ProblemKind::KeyReadable | ProblemKind::AccountKeyReadable | ProblemKind::OpenSecret => Some(OTHERS),
            ProblemKind::Writable => Some(OTHERS_WRITE),
            ProblemKind::Owned | ProblemKind::Open => None,
        }
    }

    fn code(&self) -> FindingCode {
        match self.kind {
            ProblemKind::KeyReadable => FindingCode::PrivateKeyReadable,
            ProblemKind::AccountKeyReadable => FindingCode::AccountKeyReadable,
            ProblemKind::Writable => FindingCode::WritableByOthers,
            ProblemKind::Owned => FindingCode::OwnedByAnother,
            ProblemKind::Open | ProblemKind::OpenSecret => FindingCode::FolderOpen,
        }
    }
}

fn is_version_of_key(path: &Path) -> bool {
    let file = path.file_name().and_then(|file| file.to_str());
    file.is_some_and(|file| Kind::Privkey.version_of(file).is_some())
}

/// Of any kind: where a conf names another kind as its key, that is what is wrong.
fn is_version(path: &Path) -> bool {
    let file = path.file_name().and_then(|file| file.to_str());
    file.is_some_and(|file| Kind::ALL.iter().any(|kind| kind.version_of(file).is_some()))
}

struct Look<'s> {
    paths: &'s StorePaths,
    found: Vec<Problem>,
    errors: Vec<StoreError>,
    /// The folders of lineages that were looked at, but for those of the lineages `at_home`.
    seen: BTreeSet<PathBuf>,
    at_home: BTreeSet<LineageName>,
}

impl<'s> Look<'s> {
    fn new(paths: &'s StorePaths) -> Self {
        Self { paths, found: Vec::new(), errors: Vec::new(), seen: BTreeSet::new(), at_home: BTreeSet::new() }
    }

    /// What was found since the last part is one of its own.
    fn part(&mut self, folder: Option<&Path>, parts: &mut Vec<Part>) {
        let found = std::mem::take(&mut self.found);
        if folder.is_some() || !found.is_empty() {
            parts.push(Part { folder: folder.map(Path::to_owned), found });
        }
    }

    /// The lineage's name, when nothing was found in its folders and they are those that certbot gives it.
    fn at_home(&self, lineage: &Lineage, parts: &[Part]) -> Option<LineageName> {
        let name = lineage.name();
        let own = [self.paths.archive(name), self.paths.live(name)];
        let is_own = |folder: &PathBuf| own.iter().any(|own| own.as_os_str() == folder.as_os_str());
        let is_home = |part: &Part| part.folder.as_ref().is_none_or(|folder| is_own(folder) && part.found.is_empty());
        parts.iter().all(is_home).then(|| name.clone())
    }

    fn take(&mut self, part: Part) {
        if part.folder.is_none_or(|folder| self.seen.insert(folder)) {
            self.found.extend(part.found);
        }
    }

    fn tree(&mut self) {
        let paths = self.paths;
        for path in [paths.config_dir.clone(), paths.renewal_dir()] {
            self.anything(&path, None);
        }
        for path in [paths.settings_file(), paths.lineage_settings_dir()] {
            self.anything(&path, None);
        }
        for path in [paths.live_dir(), paths.archive_dir()] {
            self.folder(&path, ProblemKind::Open);
        }
        for path in [paths.own_dir(), paths.config_dir.join("accounts")] {
            self.folder(&path, ProblemKind::OpenSecret);
        }
    }

    /// Who changes a hook has commands run as root.
    fn hooks(&mut self) {
        let top = self.paths.config_dir.join("renewal-hooks");
        self.anything(&top, None);
        for stage in ["pre", "deploy", "post"] {
            let dir = self.paths.hook_dir(stage);
            self.anything(&dir, None);
            for name in folder_names(&dir).unwrap_or_default() {
                self.anything(&dir.join(name), None);
            }
        }
    }

    fn accounts(&mut self, dir: &Path, depth: usize) {
        let mut names = folder_names(dir).unwrap_or_default();
        names.sort_unstable();
        for name in names {
            let path = dir.join(&name);
            // Links lead to other accounts, which are looked at where they lie.
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() && depth < MAX_ACCOUNT_DEPTH {
                self.accounts(&path, depth + 1);
            } else if meta.is_file() && name == "private_key.json" {
                self.key(&path, &meta, ProblemKind::AccountKeyReadable, None);
            }
        }
    }

    fn lineage(&mut self, lineage: &Lineage, files: &[OsString], parts: &mut Vec<Part>) {
        let name = Some(lineage.name());
        self.anything(lineage.conf_path(), name);
        self.part(None, parts);
        let live = lineage.target(Kind::Privkey);
        self.archive(lineage.archive_dir(), files, name);
        self.part(Some(lineage.archive_dir()), parts);
        if let Some(folder) = lineage.live_path(Kind::Cert).parent() {
            self.anything(folder, name);
            self.part(Some(folder), parts);
        }
        // Usually one of those. What is named as another kind is no key, and may be another certificate's.
        if is_version(live) && (live.parent() == Some(lineage.archive_dir()) || !is_version_of_key(live)) {
            return;
        }
        match fs::metadata(live) {
            Ok(meta) => self.key(live, &meta, ProblemKind::KeyReadable, name),
            Err(error) => self.errors.push(StoreError::new("read", live, error)),
        }
    }

    /// Where a conf names live links outside of `live/`, whose folders are all looked at.
    fn copied_key_elsewhere(&mut self, broken: &BrokenLineage) {
        let path = broken.conf.as_ref().and_then(|conf| conf.live_path(Kind::Privkey));
        if let Some(path) = path.map(Path::new).filter(|path| !path.starts_with(self.paths.live_dir())) {
            self.copied_key(path, None);
        }
    }

    fn live(&mut self, folder: &Path, name: Option<&LineageName>) {
        self.anything(folder, name);
        self.copied_key(&folder.join(Kind::Privkey.live_file()), name);
    }

    /// A tool that follows links leaves the key itself in the place of its link, often for everybody.
    fn copied_key(&mut self, path: &Path, name: Option<&LineageName>) {
        if let Ok(meta) = fs::symlink_metadata(path)
            && meta.is_file()
        {
            self.key(path, &meta, ProblemKind::KeyReadable, name);
        }
    }

    /// Folders of lineages that are broken, and of none.
    fn rest(&mut self) {
        for (top, look) in [
            (self.paths.archive_dir(), Self::archive_of_none as fn(&mut Self, &Path, Option<&LineageName>)),
            (self.paths.live_dir(), Self::live),
        ] {
            let mut names = folder_names(&top).unwrap_or_default();
            names.sort_unstable();
            for file in names {
                let folder = top.join(&file);
                let name = file.to_str().and_then(|file| LineageName::new(file).ok());
                if self.seen.contains(&folder) || name.as_ref().is_some_and(|name| self.at_home.contains(name)) {
                    continue;
                }
                if fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir()) {
                    look(self, &folder, name.as_ref());
                }
            }
        }
    }

    fn archive_of_none(&mut self, folder: &Path, name: Option<&LineageName>) {
        let mut files = folder_names(folder).unwrap_or_default();
        files.sort_unstable();
        self.archive(folder, &files, name);
    }

    fn archive(&mut self, folder: &Path, files: &[OsString], name: Option<&LineageName>) {
        self.anything(folder, name);
        for path in files.iter().map(|file| folder.join(file)).filter(|path| is_version_of_key(path)) {
            // A link is an older version's key, which is looked at by its own name.
            if let Ok(meta) = fs::symlink_metadata(&path)
                && meta.is_file()
            {
                self.key(&path, &meta, ProblemKind::KeyReadable, name);
            }
        }
    }

    fn key(&mut self, path: &Path, meta: &Metadata, readable: ProblemKind, name: Option<&LineageName>) {
        if meta.mode() & OTHERS_READ != 0 {
            self.add(path, meta, readable, name);
        } else if meta.mode() & OTHERS_WRITE != 0 {
            self.add(path, meta, ProblemKind::Writable, name);
        }
        self.owner(path, meta, name);
    }

    fn folder(&mut self, path: &Path, open: ProblemKind) {
        self.anything(path, None);
        if let Ok(meta) = fs::metadata(path)
            && meta.mode() & OTHERS_WRITE == 0
            && meta.mode() & OTHERS != 0
        {
            self.add(path, &meta, open, None);
        }
    }

    /// What is not there is nobody's problem.
    fn anything(&mut self, path: &Path, name: Option<&LineageName>) {
        let Ok(meta) = fs::metadata(path) else { return };
        if meta.mode() & OTHERS_WRITE != 0 {
            self.add(path, &meta, ProblemKind::Writable, name);
        }
        self.owner(path, &meta, name);
    }

    fn owner(&mut self, path: &Path, meta: &Metadata, name: Option<&LineageName>) {
        if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
            self.add(path, meta, ProblemKind::Owned, name);
        }
    }

    fn add(&mut self, path: &Path, meta: &Metadata, kind: ProblemKind, name: Option<&LineageName>) {
        let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
        self.found.push(Problem { path: path.to_owned(), name: name.cloned(), kind, mode, owner });
    }
}
