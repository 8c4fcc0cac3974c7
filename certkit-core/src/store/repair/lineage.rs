//! The links and the versions of a lineage whose conf can be read.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::choice::Seen;
use super::cures::cure_elsewhere;
use super::mend::{
    Changed, Mending, Text, are_the_same, has_other_blocks, holds_key, mend, mentions_key, without_other_blocks,
};
use super::step::Step;
use crate::store::commit::GREATEST_PLAUSIBLE;
use crate::store::files::{self, Attributes};
use crate::store::in_use::{InUse, real};
use crate::store::links::{Link, LiveLinks};
use crate::store::recover::Found;
use crate::store::version_texts::VersionTexts;
use crate::store::{Kind, RenewalConf, Store, StoreError};
use crate::words::shell_word;
use crate::{Finding, FindingCode, KeyMath, LineageName, Version};

/// So many versions are read, newest first, where it is not known which one is good.
pub(super) const MAX_READ: usize = 12;

/// What is wrong with a lineage, and what is done about it.
#[derive(Default)]
pub(super) struct LineagePlan {
    /// What the links and versions that count suffer from; none where all is well.
    pub(super) wrong: Option<(FindingCode, String)>,
    /// What is done about that, in this order.
    pub(super) steps: Vec<Step>,
    /// What its owner has to do, since nothing is done.
    pub(super) stuck: Option<String>,
    /// Whether all else that was found in conf and links comes from that.
    pub(super) is_the_cause: bool,
    /// What else was found, with what is done about it.
    pub(super) more: Vec<(Finding, Option<Step>)>,
    /// Where the links lead, or will.
    pub(super) archive: Option<PathBuf>,
    /// Why the version in use is of no use, and cannot be mended.
    pub(super) live_is_dead: Option<String>,
}

impl LineagePlan {
    /// Nothing is done, because of this.
    pub(super) fn stuck(code: FindingCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { stuck: Some(nothing_fits(&why)), wrong: Some((code, why)), ..Self::default() }
    }

    /// The conf says something else than is meant, and only its owner knows what.
    pub(super) fn misled(why: String, cure: String) -> Self {
        let wrong = Some((FindingCode::BrokenLineage, why));
        Self { wrong, stuck: Some(cure), is_the_cause: true, ..Self::default() }
    }
}

/// The cure where nothing that is stored can take the place of what is damaged.
pub(super) fn nothing_fits(why: &str) -> String {
    format!(
        "restore the files from a backup, or remove the certificate (certkit delete --cert-name NAME) and obtain it again: nothing that is stored can take its place ({why})"
    )
}

/// What a plan is made from.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) in_use: &'a InUse,
    pub(super) math: &'a dyn KeyMath,
    pub(super) now: DateTime<Utc>,
}

impl Planner<'_> {
    /// Looks at a lineage.
    pub(super) fn lineage(&self, name: &LineageName, conf: &RenewalConf) -> Result<LineagePlan, StoreError> {
        let Some(live) = LiveLinks::read(self.store.paths(), name, conf)? else { return Ok(LineagePlan::default()) };
        if let Some(stuck) = self.led_astray(name, conf, &live)? {
            return Ok(stuck);
        }
        if let Some(link) = live.distrusted() {
            let plan = LineagePlan::stuck(FindingCode::ForeignLink, link.why());
            return Ok(LineagePlan { stuck: Some(link.cure()), ..plan });
        }
        let copies: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *live.link(*kind) == Link::Other).collect();
        for kind in &copies {
            if !files::lstat(live.path(*kind))?.is_some_and(|meta| meta.is_file()) {
                let why = format!("{} is neither a link nor a file", self.shown(live.path(*kind)));
                return Ok(LineagePlan::stuck(FindingCode::BrokenLineage, why));
            }
        }
        let leads_nowhere = live.version().is_some() && !live.is_whole();
        let read = copies.iter().map(|kind| (*kind, live.path(*kind).to_owned())).collect();
        let (live, archive) = match self.leading_somewhere(name, live.without_copies(), !copies.is_empty())? {
            Ok(found) => found,
            Err(why) => {
                let plan = LineagePlan::stuck(FindingCode::ForeignLink, why);
                let versions = [live.written_archive().join(Kind::Cert.live_file())];
                let elsewhere = real(versions[0].parent().unwrap_or(&versions[0]))?
                    .is_none()
                    .then(|| cure_elsewhere(self.store.paths(), &versions))
                    .flatten();
                let stuck = elsewhere.or(self.archive_dir_cure(name, conf)?).or(plan.stuck);
                return Ok(LineagePlan { stuck, ..plan });
            }
        };
        // Versions of another certificate are put right with that one.
        if live.conf_archive().as_ref() != Some(&archive) && self.is_of_another(&archive, name)? {
            return Ok(LineagePlan::default());
        }
        let found = Found::read(live, archive)?;
        let mut plan = self.versions(name, found, read)?;
        if leads_nowhere && let Some((code @ FindingCode::MixedVersions, why)) = &mut plan.wrong {
            *code = FindingCode::BrokenLineage;
            *why = format!("its links lead to nothing; {why}");
        }
        Ok(plan)
    }

    fn versions(
        &self,
        name: &LineageName,
        mut found: Found,
        copies: BTreeMap<Kind, PathBuf>,
    ) -> Result<LineagePlan, StoreError> {
        let mut plan = LineagePlan { archive: Some(found.archive.clone()), ..LineagePlan::default() };
        let files = version_files(&found.archive)?;
        let mut keys = None;
        let live_now = found.live.version().filter(|_| found.whole);
        let mut seen = Seen { copies, ..Seen::default() };
        let counts = |version: &Version| live_now.is_none_or(|live| *version >= live);
        let mut read: VecDeque<Version> = files.keys().rev().copied().filter(counts).take(MAX_READ).collect();
        // When what is live is damaged, an older version may have to take its place.
        let mut older: Vec<Version> = files.keys().rev().copied().filter(|version| !counts(version)).collect();
        while let Some(version) = read.pop_front() {
            let texts = self.texts(&found.archive, version)?;
            plan.more.extend(self.beside_certificates(name, &found.archive, version, &texts).map(|told| (told, None)));
            let mut mending = mend(&texts, &[], self.math, self.now);
            if matches!(mending, Mending::Damaged(_)) {
                let keys = keys.get_or_insert_with(|| self.keys(&found.archive, &files));
                mending = mend(&texts, keys, self.math, self.now);
            }
            match mending {
                Mending::Whole => {}
                Mending::Mended(texts, made_anew) => {
                    found.mended.insert(version, texts);
                    seen.changed.insert(version, made_anew);
                }
                Mending::Damaged(why) => {
                    seen.damaged.insert(version, why);
                    if live_now == Some(version) {
                        read.extend(older.drain(..).take(MAX_READ));
                    }
                }
            }
        }
        found.complete.extend(found.mended.keys());
        found.complete.sort_unstable_by(|one, other| other.cmp(one));
        if !seen.copies.is_empty()
            && let Some((version, texts)) = self.of_copies(&found, &files, &seen.copies)?
        {
            let why = "it is there as copies in place of the links".to_owned();
            let kinds = Kind::ALL.to_vec();
            seen.changed.insert(version, Changed { kinds, servers_do_not_mind: false, why });
            found.complete.push(version);
            found.mended.insert(version, texts);
        }
        found.complete.sort_unstable_by(|one, other| other.cmp(one));
        found.complete.dedup();
        // A file of it is missing, and is made anew.
        let is_mended = |version| found.mended.contains_key(&version);
        found.whole |= found.live.single_archive().is_some() && found.live.version().is_some_and(is_mended);

        let decision = self.store.decide(name, &found, self.math, self.now);
        plan.live_is_dead = live_now.and_then(|live| seen.damaged.get(&live).cloned());
        self.follow(name, found, decision, &seen, &mut plan);
        Ok(plan)
    }

    /// A file of certificates with a key or something else in it, as HAProxy wants it and certbot does not.
    fn beside_certificates(
        &self,
        name: &LineageName,
        archive: &Path,
        version: Version,
        texts: &[Text; 4],
    ) -> Option<Finding> {
        let is = |what: fn(&[u8]) -> bool| {
            move |kind: &Kind| *kind != Kind::Privkey && texts[*kind as usize].as_ref().is_some_and(|text| what(text))
        };
        let path = |kind: Kind| archive.join(kind.archive_file(version));
        let Some(kind) = Kind::ALL.into_iter().find(is(mentions_key)) else {
            let kind = Kind::ALL.into_iter().find(is(has_other_blocks))?;
            let told = format!("{} holds more than certificates", self.shown(&path(kind)));
            let told = Finding::new(FindingCode::FullchainDiffers, name.as_str(), told);
            return Some(told.with_cure(FindingCode::KeyBesideCertificates.cure()));
        };
        let path = path(kind);
        let finding = |evidence| Finding::new(FindingCode::KeyBesideCertificates, name.as_str(), evidence);
        if !is_for_others(&path) {
            return Some(finding(self.shown(&path)));
        }
        let told = finding(format!("{}, which every user can read", self.shown(&path)));
        let cure = format!("chmod o-rwx {}; then {}", shell_word(&path.to_string_lossy()), told.cure());
        Some(told.with_severity(crate::Severity::Warning).with_cure(cure))
    }

    /// The version that copies in place of links hold, with a number of its own; none when they are no version, or when
    /// the archive has it, or one that is better.
    fn of_copies(
        &self,
        found: &Found,
        files: &BTreeMap<Version, Vec<Kind>>,
        copies: &BTreeMap<Kind, PathBuf>,
    ) -> Result<Option<(Version, VersionTexts)>, StoreError> {
        let mut texts: [Text; 4] = [None, None, None, None];
        for kind in Kind::ALL {
            let target = || found.live.target(kind);
            if let Some(path) = copies.get(&kind).cloned().or_else(target) {
                texts[kind as usize] = read_text(&path)?;
            }
        }
        // Everybody may read the files of certificates that are made of them.
        let texts = without_other_blocks(&texts);
        let texts = match mend(&texts, &[], self.math, self.now) {
            Mending::Mended(texts, _) => texts,
            Mending::Damaged(_) => return Ok(None),
            Mending::Whole => {
                let [Some(cert), Some(key), Some(chain), Some(fullchain)] = texts else { return Ok(None) };
                VersionTexts::new([cert, key, chain, fullchain])
            }
        };
        let Ok(leaf) = texts.verify_soundness(self.math, self.now) else { return Ok(None) };
        if let Some((_, stored)) = self.newest_sound(found, None) {
            let names = |certificate: &crate::Certificate| certificate.identifiers().ok();
            let worse = leaf.validity().not_after <= stored.validity().not_after || names(&leaf) != names(&stored);
            if worse {
                return Ok(None);
            }
        }
        let newest = files.keys().next_back().map_or(0, |version| version.0);
        Ok(Some((Version(newest + 1), texts)))
    }

    pub(super) fn write(
        &self,
        found: &Found,
        version: Version,
        kind: Kind,
        copies: &BTreeMap<Kind, PathBuf>,
    ) -> Option<Step> {
        let path = found.archive.join(kind.archive_file(version));
        let content = Zeroizing::new(found.mended.get(&version)?.get(kind).to_vec());
        let like = files::exists(&path).unwrap_or(false).then(|| path.clone());
        let like = like.or_else(|| copies.get(&kind).cloned());
        let attributes = match kind {
            // A copy that everybody may read has its mode from whoever copied it: it says nothing of the key.
            Kind::Privkey => match like.as_deref() {
                Some(copy) if *copy != path && is_for_others(copy) => Attributes::mode(0o600).owned_like(copy),
                like => Attributes::key_like(like),
            },
            Kind::Cert | Kind::Chain | Kind::Fullchain => Attributes::public_like(like.as_deref()),
        };
        let is_the_same = || {
            let old = read_text(&path).ok().flatten();
            old.is_some_and(|old| are_the_same(kind, &old, &content))
        };
        let how = match (copies.is_empty(), kind) {
            (false, _) => "as the copy in its place holds it",
            (true, _) if is_the_same() => "anew with the same in it, as servers read it",
            (true, Kind::Privkey) => "with the key of another version, which belongs to the certificate",
            (true, _) => "anew from the other files of the version",
        };
        Some(Step::Write { path, content, attributes, how: how.to_owned() })
    }

    fn texts(&self, archive: &Path, version: Version) -> Result<[Text; 4], StoreError> {
        let [cert, privkey, chain, fullchain] =
            Kind::ALL.map(|kind| read_text(&archive.join(kind.archive_file(version))));
        Ok([cert?, privkey?, chain?, fullchain?])
    }

    /// The keys of all versions, each once.
    fn keys(&self, archive: &Path, files: &BTreeMap<Version, Vec<Kind>>) -> Vec<Zeroizing<Vec<u8>>> {
        let with_key = files.iter().rev().filter(|(_, kinds)| kinds.contains(&Kind::Privkey));
        let paths = with_key.map(|(version, _)| archive.join(Kind::Privkey.archive_file(*version)));
        let mut keys: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for text in paths.filter_map(|path| read_text(&path).ok().flatten()) {
            if holds_key(&text) && !keys.contains(&text) {
                keys.push(text);
            }
        }
        keys
    }

    pub(super) fn files_of(&self, archive: &Path, version: Version) -> Vec<PathBuf> {
        let all = Kind::ALL.map(|kind| archive.join(kind.archive_file(version)));
        all.into_iter().filter(|path| files::exists(path).unwrap_or(false)).collect()
    }

    pub(super) fn shown(&self, path: &Path) -> String {
        self.store.paths().relative(path).to_string_lossy().into_owned()
    }

    pub(super) fn list(&self, paths: &[PathBuf]) -> String {
        paths.iter().map(|path| self.shown(path)).collect::<Vec<_>>().join(", ")
    }
}

/// The content of a file; none when it is missing, or is no file that could be a version's.
fn read_text(path: &Path) -> Result<Text, StoreError> {
    match files::read_if_there(path) {
        Ok(content) => Ok(content.map(Zeroizing::new)),
        Err(error) if files::is_damage(&error.source) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files of the four kinds in an archive by their versions.
fn version_files(archive: &Path) -> Result<BTreeMap<Version, Vec<Kind>>, StoreError> {
    let mut found: BTreeMap<Version, Vec<Kind>> = BTreeMap::new();
    for name in files::list(archive)?.unwrap_or_default() {
        let of = |name: &OsStr| {
            let name = name.to_str()?;
            Kind::ALL.into_iter().find_map(|kind| Some((kind.version_of(name)?, kind)))
        };
        if let Some((version, kind)) = of(&name).filter(|(version, _)| *version <= GREATEST_PLAUSIBLE) {
            found.entry(version).or_default().push(kind);
        }
    }
    Ok(found)
}

fn is_for_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o007 != 0)
}
