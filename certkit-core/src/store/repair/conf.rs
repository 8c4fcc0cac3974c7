//! Renewal configurations that are empty, lack something, or say where the versions are not.
//!
//! Only what is certain is written: where the links and versions lie, the key's type where certificate or key can be read, and
//! CA and account where certkit remembers them. How names are validated stands nowhere else, so it is left to the owner to say again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::lineage::{LineagePlan, Planner, nothing_fits};
use super::step::Step;
use crate::store::files::{self, Attributes};
use crate::store::first_version::first_conf;
use crate::store::in_use::{real, real_place};
use crate::store::links::{LiveLinks, leads_to_nothing_from_here};
use crate::store::recover::Decision;
use crate::store::targets::by_name;
use crate::store::{ConfEdits, ConfPlan, Kind, RenewalConf, StoreError};
use crate::{Certificate, FindingCode, KeyType, LineageName, PrivateKey};

/// Whether there is nothing in a conf: certbot was killed before it wrote it, or the disk lost what it wrote.
pub(super) fn is_blank(content: &[u8]) -> bool {
    content.iter().all(|octet| *octet == 0 || octet.is_ascii_whitespace())
}

impl Planner<'_> {
    /// A lineage with a blank conf. With a version that is whole it gets a conf again; without one it never became a
    /// certificate, and is moved away so that certbot can go on and the name can be used.
    pub(super) fn blank_conf(&self, name: &LineageName) -> Result<LineagePlan, StoreError> {
        let paths = self.store.paths();
        let conf_path = paths.conf(name);
        let Ok(bare) = first_conf(paths, name, &ConfPlan::default()) else {
            return Ok(LineagePlan::stuck(FindingCode::BrokenLineage, "its paths cannot be written into a conf"));
        };
        let wrong = Some((FindingCode::BrokenLineage, "the renewal configuration is empty".to_owned()));
        if let Some(live) = LiveLinks::read(paths, name, &bare)?
            && let Some(first) = self.led_by_another(name, &live)?
        {
            let (conf, first) = (self.shown(&conf_path), self.shown(&paths.renewal_dir().join(first + ".conf")));
            let cure = format!("{first} names its live links: copy that to {conf}, or remove {conf}");
            return Ok(LineagePlan { wrong, stuck: Some(cure), ..LineagePlan::default() });
        }
        let mut plan = self.lineage(name, &bare)?;
        plan.wrong = wrong;
        if let Some(why) = plan.live_is_dead.as_deref().filter(|_| plan.steps.is_empty()) {
            plan.stuck = Some(nothing_fits(why));
        }
        if plan.stuck.is_none() {
            let leaf = plan.steps.iter().find_map(|step| match step {
                Step::Links { decision: Decision::GoForward { leaf, .. }, .. } => Some(leaf.as_ref().clone()),
                _ => None,
            });
            let edits = self.certain(name, leaf.as_ref(), &paths.live(name).join(Kind::Cert.live_file()));
            if let Ok(conf) = first_conf(paths, name, &ConfPlan::new(edits)) {
                plan.steps.push(write_conf(conf_path, &conf, "anew with what is certain"));
            }
            return Ok(plan);
        }
        // The conf last: without it nobody would know any more what the rest was.
        let mut going = Vec::new();
        for dir in [paths.archive(name), paths.live(name)] {
            let Some(dir_now) = real(&dir)? else { continue };
            let needed = self.in_use.needed(paths, &dir_now, name);
            let mut others = needed.files(&[dir_now.clone()].into());
            others.extend(needed.way()?.into_iter().chain(needed.below()));
            others.extend(self.way_through(&dir, name)?);
            if !others.is_empty() {
                let others = others.into_iter().collect::<Vec<_>>().join(", ");
                plan.stuck = Some(nothing_fits(&format!("{} is used by {others} too", self.shown(&dir))));
                return Ok(plan);
            }
            let led = needed.copies()?;
            if !led.is_empty() {
                let led = led.iter().map(|path| self.shown(path)).collect::<Vec<_>>().join(", ");
                plan.stuck = Some(nothing_fits(&format!("versions of other certificates are links to {led}")));
                return Ok(plan);
            }
            going.push(dir);
        }
        let linked = self.way_through(&conf_path, name)?;
        if !linked.is_empty() {
            let linked = linked.into_iter().collect::<Vec<_>>().join(", ");
            plan.stuck = Some(nothing_fits(&format!("the configuration of {linked} is a link to this one")));
            return Ok(plan);
        }
        going.push(conf_path);
        let steps = vec![Step::TakeAway { paths: going, why: ", since no version of it is whole" }];
        Ok(LineagePlan { wrong: plan.wrong, steps, ..LineagePlan::default() })
    }

    /// The others whose way leads through the entry of this name, which may be a link.
    fn way_through(&self, path: &Path, name: &LineageName) -> Result<BTreeSet<String>, StoreError> {
        match real_place(path)? {
            Some(place) => self.in_use.needed(self.store.paths(), &place, name).way(),
            None => Ok(BTreeSet::new()),
        }
    }

    /// A conf that lacks paths, or has such as do not begin at the root, or no `[renewalparams]`, without which certbot stops at
    /// it for all certificates: what is certain is written.
    pub(super) fn incomplete_conf(&self, name: &LineageName, conf: &RenewalConf) -> Option<(RenewalConf, Step)> {
        let said = |kind: Kind| conf.live_path(kind).map(Path::new);
        let is_relative = |kind: &Kind| said(*kind).is_some_and(leads_to_nothing_from_here);
        if conf.check_complete().is_ok() && !Kind::ALL.iter().any(is_relative) {
            return None;
        }
        let paths = self.store.paths();
        let named = Kind::ALL.into_iter().filter_map(said).filter(|path| path.is_absolute());
        let folders: BTreeSet<&Path> = named.filter_map(Path::parent).collect();
        let live = match folders.into_iter().collect::<Vec<_>>().as_slice() {
            [] => paths.live(name),
            [one] if !self.is_led_by_another(one, name) => one.to_path_buf(),
            // Nothing says which folder is meant.
            _ => return None,
        };
        let mut edits = ConfEdits::default();
        let is_missing = |kind: &Kind| conf.top(kind.as_str()).is_none();
        for kind in Kind::ALL.into_iter().filter(|kind| is_missing(kind) || is_relative(kind)) {
            let link = live.join(kind.live_file());
            // The end of the path says which link was meant.
            if !files::exists(&link).unwrap_or(false) || said(kind).is_some_and(|said| !link.ends_with(said)) {
                return None;
            }
            edits.top(kind.as_str(), Some(link.to_str()?));
        }
        if conf.param_values().next().is_none() {
            edits.params = self.certain(name, None, &live.join(Kind::Cert.live_file())).params;
        }
        let whole = conf.edited(&edits).ok().filter(|conf| conf.check_complete().is_ok())?;
        let path = std::fs::canonicalize(paths.conf(name)).ok()?;
        let how = match Kind::ALL.iter().any(is_relative) {
            true => "with paths from the root",
            false => "with what was missing and is certain",
        };
        let step = write_conf(path, &whole, how);
        Some((whole, step))
    }

    /// The same with the live links where certbot lays them in the place of paths that are missing, to see what is wrong with the
    /// others.
    pub(super) fn completed_for_a_look(&self, name: &LineageName, conf: &RenewalConf) -> Option<RenewalConf> {
        let live = self.store.paths().live(name);
        let mut edits = ConfEdits::default();
        for kind in Kind::ALL.into_iter().filter(|kind| conf.top(kind.as_str()).is_none()) {
            edits.top(kind.as_str(), Some(live.join(kind.live_file()).to_str()?));
        }
        conf.edited(&edits).ok()
    }

    /// Whether a folder of live links is another lineage's.
    fn is_led_by_another(&self, folder: &Path, name: &LineageName) -> bool {
        let Ok(Some(dir)) =
            real_place(&folder.join(Kind::Cert.live_file())).map(|place| place?.parent().map(Path::to_owned))
        else {
            return true;
        };
        let is_namesakes = dir.file_name().is_some_and(|of| {
            dir.parent() == real(&self.store.paths().live_dir()).ok().flatten().as_deref()
                && of != name.as_str()
                && self.in_use.has_conf(of)
        });
        is_namesakes || self.in_use.leader_of(&dir).is_some_and(|by| by != name.as_str())
    }

    /// Sets `archive_dir` to where the links lead, or says why not.
    pub(super) fn archive_dir(
        &self,
        name: &LineageName,
        conf: &RenewalConf,
        plan: &LineagePlan,
    ) -> Result<Option<Result<Step, String>>, StoreError> {
        let Some(led) = plan.archive.as_ref().filter(|_| plan.stuck.is_none()) else { return Ok(None) };
        let Some(live) = LiveLinks::read(self.store.paths(), name, conf)? else { return Ok(None) };
        let is_relative =
            conf.archive_dir().is_some_and(|said| !said.is_empty() && leads_to_nothing_from_here(Path::new(said)));
        let is_said = live.conf_archive().as_ref() == Some(led) && !is_relative;
        if is_said || real(led)?.is_none() || live.single_archive().is_none() {
            return Ok(None);
        }
        if self.is_of_another(led, name)? {
            return Ok(None);
        }
        let said = live.written_archive();
        // What others use is nobody's choice here, however new.
        let is_free = live.conf_archive().is_some_and(|said| !self.in_use.is_led_to(&said, name));
        if is_free && holds_newer(said, &live) {
            let why = format!("{} holds a certificate that ends later than the one in use", self.shown(said));
            return Ok(Some(Err(why)));
        }
        // As the links write it, where that is the same.
        let written = live.target(Kind::Cert).and_then(|target| by_name(&target).ok()?.parent().map(Path::to_owned));
        let written = written.filter(|written| real(written).ok().flatten().as_ref() == Some(led));
        let written = written.unwrap_or_else(|| led.clone());
        let Some(text) = written.to_str() else { return Ok(None) };
        let mut edits = ConfEdits::default();
        edits.top("archive_dir", Some(text));
        let (Ok(edited), Ok(path)) = (conf.edited(&edits), std::fs::canonicalize(self.store.paths().conf(name))) else {
            return Ok(None);
        };
        Ok(Some(Ok(write_conf(path, &edited, "with the directory that the links lead to as its archive_dir"))))
    }

    /// What can be known of `[renewalparams]`: the key's type from the certificate, CA and account from certkit's memory.
    fn certain(&self, name: &LineageName, leaf: Option<&Certificate>, cert: &Path) -> ConfEdits {
        let mut edits = ConfEdits::default();
        let state = self.store.state(name).map(|(state, _)| state).unwrap_or_default();
        let directory = state.issuer_directory.or(state.attempted_directory);
        if let Some(directory) = &directory {
            if let Ok((accounts, _)) = self.store.accounts(directory)
                && let [only] = accounts.as_slice()
            {
                edits.param("account", Some(&only.id));
            }
            edits.param("server", Some(directory.as_str()));
        }
        let of_certificate = || Some(Certificate::from_pem(&files::read(cert).ok()?).ok()?.key_type());
        let of_key = || self.key_type_of(&cert.with_file_name(Kind::Privkey.live_file()));
        // certbot has no word for other kinds, and takes a conf without one for RSA.
        let word = match leaf.map(Certificate::key_type).or_else(of_certificate).or_else(of_key) {
            Some(KeyType::Rsa) => "rsa",
            Some(KeyType::Ec(_)) => "ecdsa",
            Some(_) | None => return edits,
        };
        edits.param("key_type", Some(word));
        edits
    }

    fn key_type_of(&self, path: &Path) -> Option<KeyType> {
        let text = Zeroizing::new(files::read(path).ok()?);
        let key = PrivateKey::from_pem(&text).ok()?;
        Some(KeyType::of_spki_der(&self.math.public_spki_der(&key).ok()?).0)
    }
}

/// Whether a directory holds a certificate that ends later than the live one.
fn holds_newer(dir: &Path, live: &LiveLinks) -> bool {
    let end = |path: &Path| {
        let certificate = files::read(path).ok().and_then(|pem| Certificate::from_pem(&pem).ok());
        certificate.map(|certificate| certificate.validity().not_after)
    };
    let in_use = live.target(Kind::Cert).and_then(|target| end(&target));
    let files = files::list(dir).ok().flatten().unwrap_or_default();
    let certificates =
        files.iter().filter(|file| file.to_str().is_some_and(|file| Kind::Cert.version_of(file).is_some()));
    certificates.filter_map(|file| end(&dir.join(file))).any(|end| in_use.is_none_or(|in_use| end > in_use))
}

fn write_conf(path: PathBuf, conf: &RenewalConf, how: &str) -> Step {
    let attributes = Attributes::public_like(files::exists(&path).unwrap_or(false).then_some(path.as_path()));
    let content = Zeroizing::new(conf.text().as_bytes().to_vec());
    Step::Write { path, content, attributes, how: how.to_owned() }
}
