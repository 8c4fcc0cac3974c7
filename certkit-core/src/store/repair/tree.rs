//! What belongs to no single lineage's links: interrupted runs, leftovers, permissions, accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Diagnosis;
use super::cures::cure_elsewhere;
use super::plan::RepairPlan;
use super::step::Step;
use crate::store::links::LiveLinks;
use crate::store::{ConfValue, Kind, RenewalConf, Store, StoreError, files, permissions};
use crate::words::shell_word;
use crate::{AcmeUrl, Finding, FindingCode, LineageName, Severity};

impl RepairPlan {
    /// Looks at it, and tells what cannot be looked at.
    pub(super) fn tree(&mut self, store: &Store) {
        // The temporary files of commits that did not end are told from others by the journals.
        let interrupted = self.commits(store).and_then(|unfinished| self.leftovers(store, &unfinished));
        let permissions = self.permissions(store);
        self.settings(store);
        for error in [interrupted, permissions].into_iter().filter_map(Result::err).chain(self.accounts(store)) {
            self.unreadable(store, &error, None);
        }
    }

    /// Commits of certkit: those that did not end, and those whose hooks have not run. Gives those that did not, whose
    /// temporary files are theirs, even where nothing is done here.
    fn commits(&mut self, store: &Store) -> Result<BTreeSet<LineageName>, StoreError> {
        let mut unfinished = BTreeSet::new();
        for name in store.journals()? {
            let Some(journal) = store.journal(&name)? else { continue };
            let live = store.lineage(&name).ok().flatten().and_then(|lineage| lineage.live_version());
            let is_recorded = store.state(&name).is_ok_and(|(state, _)| journal.is_recorded(&state));
            if live == Some(journal.version) && !is_recorded {
                // A run was ended before it ran them, or a repair made the version live.
                let evidence = format!("the deploy hooks of version {} have not run", journal.version);
                let finding = Finding::new(FindingCode::DeployPending, name.as_str(), evidence);
                let finding = finding
                    .with_severity(Severity::Notice)
                    .with_cure("certkit deploy --cert-name NAME, or wait for the next `certkit renew`");
                self.diagnoses.push(Diagnosis::new(finding, Some(&name)));
                continue;
            }
            unfinished.insert(name.clone());
            let evidence = format!("version {} was being stored", journal.version);
            let finding = Finding::new(FindingCode::InterruptedCommit, name.as_str(), evidence);
            let finding = finding.with_severity(Severity::Warning).with_cure("certkit fsck --repair");
            if let Some(cure) = cure_elsewhere(store.paths(), &places(store, &name)?) {
                let finding = finding.with_cure(cure);
                self.diagnoses.push(Diagnosis::new(finding, Some(&name)));
                continue;
            }
            let waits = self.diagnoses.iter().any(|one| {
                let is_misled = one.finding.code == FindingCode::BrokenLineage && one.finding.exact_cure.is_some();
                one.name.as_ref() == Some(&name) && is_misled && one.repair.is_none()
            });
            if waits {
                let cure = "put right what its renewal configuration says, as told besides; then certkit fsck --repair, or wait for the next `certkit renew`";
                self.diagnoses.push(Diagnosis::new(finding.with_cure(cure), Some(&name)));
                continue;
            }
            let steps = vec![format!("finish storing version {} if all of it is there, else undo it", journal.version)];
            let paths = vec![store.paths().live(&name), store.paths().archive(&name)];
            let repair = Some(super::Repair { steps, paths });
            self.diagnoses.push(Diagnosis { repair, ..Diagnosis::new(finding, Some(&name)) });
            self.commits.push(name);
        }
        Ok(unfinished)
    }

    fn leftovers(&mut self, store: &Store, unfinished: &BTreeSet<LineageName>) -> Result<(), StoreError> {
        let left = store.leftovers(unfinished)?;
        if !left.is_empty() {
            let evidence = left.iter().map(|path| shown(store, path)).collect::<Vec<_>>().join(", ");
            let finding = Finding::new(FindingCode::LeftOver, "certkit", evidence);
            self.add(store, finding, None, Some(Step::RemoveLeftOvers(left)));
        }
        let dir = store.paths().renewal_dir();
        for file in files::list(&dir)?.unwrap_or_default() {
            // certbot writes a conf under this name, and renames it.
            let Some(stem) = file.to_str().and_then(|file| file.strip_suffix(".conf.new")) else { continue };
            let (path, name) = (dir.join(&file), LineageName::new(stem).ok());
            let finding = Finding::new(FindingCode::LeftOver, shown(store, &path), "certbot was writing it");
            let step = Step::TakeAway { paths: vec![path], why: "" };
            self.add(store, finding, name.as_ref(), Some(step));
        }
        Ok(())
    }

    fn permissions(&mut self, store: &Store) -> Result<(), StoreError> {
        let lineages = store.map_lineages(|lineage| {
            let files = lineage.as_ref().ok().and_then(|lineage| lineage.files_in_archive().ok());
            permissions::of_lineage(store.paths(), &lineage, &files.unwrap_or_default())
        })?;
        let (problems, _) = permissions::problems(store, lineages);
        let mut names = NamesInFolders::default();
        for problem in problems {
            let mut finding = problem.finding(store.paths());
            let mut step = problem.to_take().map(|rights| Step::TakeFromOthers { path: problem.path.clone(), rights });
            if step.is_some() && names.are_elsewhere_too(&problem.path) {
                step = None;
                let path = shell_word(&problem.path.to_string_lossy());
                let cure = format!(
                    "{}, if its other names may have that mode too, as in a copy of this tree by hard links (find / -samefile {path} tells them): a mode belongs to all",
                    finding.cure()
                );
                finding = finding.with_cure(cure);
            }
            self.add(store, finding, problem.name.as_ref(), step);
        }
        let path = store.paths().settings_file();
        if store.settings_are_public() && store.settings_for_telling().holds_secrets() {
            let finding = Finding::new(FindingCode::SecretReadable, shown(store, &path), "");
            let step = (!path.is_symlink()).then_some(Step::TakeFromOthers { path, rights: 0o007 });
            self.add(store, finding, None, step);
        }
        Ok(())
    }

    /// The owner's settings, where nothing is done with them as they stand.
    fn settings(&mut self, store: &Store) {
        let settings = match store.settings() {
            Ok(settings) => settings,
            Err(error) => {
                self.diagnoses.push(Diagnosis::new(error.finding(), None));
                store.settings_for_telling()
            }
        };
        let confs = files::list(&store.paths().renewal_dir()).ok().flatten().unwrap_or_default();
        for name in confs.iter().filter_map(|file| LineageName::new(file.to_str()?.strip_suffix(".conf")?).ok()) {
            if let Err(error) = store.lineage_settings(&settings, &name) {
                self.diagnoses.push(Diagnosis::new(error.finding(), Some(&name)));
            }
        }
    }

    /// The files with credentials for DNS that a conf of certbot's plugins names: they lie where their owner put them.
    pub(super) fn credentials(&mut self, store: &Store, name: &LineageName, conf: &RenewalConf) {
        for (key, value) in conf.param_values().filter(|(key, _)| key.ends_with("_credentials")) {
            let ConfValue::Text(path) = value else { continue };
            let is_readable = std::fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o004 != 0);
            if is_readable {
                let finding = Finding::new(FindingCode::SecretReadable, &path, format!("{key} names it"));
                let finding = finding.with_cure(format!("chmod o-rwx {}", shell_word(&path)));
                self.add(store, finding, Some(name), None);
            }
        }
    }

    /// An account that cannot be read stops every command of certbot that uses accounts. Returns what could not be looked at.
    fn accounts(&mut self, store: &Store) -> Vec<StoreError> {
        let (servers, mut hidden) = store.readable_account_servers();
        for server in servers {
            let Ok(directory) = AcmeUrl::parse(&format!("https://{server}")) else { continue };
            match store.accounts(&directory) {
                Ok((_, findings)) => {
                    self.diagnoses.extend(findings.into_iter().map(|finding| Diagnosis::new(finding, None)));
                }
                Err(error) => hidden.push(error),
            }
        }
        hidden
    }
}

/// Where a commit of a lineage puts its files and links.
fn places(store: &Store, name: &LineageName) -> Result<Vec<PathBuf>, StoreError> {
    let paths = store.paths();
    let conf = files::read_if_there(&paths.conf(name))?.and_then(|content| RenewalConf::parse(&content).ok());
    let live = match &conf {
        Some(conf) => LiveLinks::read(paths, name, conf)?,
        None => None,
    };
    let in_folder = |dir: &Path| dir.join(Kind::Cert.live_file());
    let Some(live) = live else { return Ok([paths.live(name), paths.archive(name)].map(|dir| in_folder(&dir)).into()) };
    let of_links = Kind::ALL.iter().flat_map(|kind| [Some(live.path(*kind).to_owned()), live.target(*kind)]);
    Ok(of_links.flatten().chain([in_folder(live.written_archive())]).collect())
}

/// How many names each file has in its folder, for files with several: read once for each folder.
#[derive(Default)]
struct NamesInFolders(BTreeMap<PathBuf, BTreeMap<(u64, u64), u64>>);

impl NamesInFolders {
    /// Whether a file has names besides those in its folder: whose they are nobody knows.
    fn are_elsewhere_too(&mut self, path: &Path) -> bool {
        let Ok(meta) = path.symlink_metadata() else { return false };
        if !meta.is_file() || meta.nlink() < 2 {
            return false;
        }
        let folder = path.parent().unwrap_or(path);
        let here = self.0.entry(folder.to_owned()).or_insert_with(|| names_of_files(folder));
        meta.nlink() > here.get(&(meta.dev(), meta.ino())).copied().unwrap_or_default()
    }
}

fn names_of_files(folder: &Path) -> BTreeMap<(u64, u64), u64> {
    let mut names = BTreeMap::new();
    for name in files::list(folder).ok().flatten().unwrap_or_default() {
        if let Ok(meta) = folder.join(name).symlink_metadata()
            && meta.nlink() > 1
        {
            *names.entry((meta.dev(), meta.ino())).or_default() += 1;
        }
    }
    names
}

fn shown(store: &Store, path: &Path) -> String {
    store.paths().relative(path).to_string_lossy().into_owned()
}
