//! What becomes of the versions of a lineage: which one goes live, which are written anew, which are in danger of being linked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::lineage::{LineagePlan, MAX_READ, Planner, nothing_fits};
use super::mend::Changed;
use super::step::Step;
use crate::store::Kind;
use crate::store::recover::{Decision, Found};
use crate::store::switch::lags_behind;
use crate::store::version_texts::VersionTexts;
use crate::{Finding, FindingCode, LineageName, Version};

/// What was read of the versions.
#[derive(Default)]
pub(super) struct Seen {
    /// Those that can be mended, with what is made anew.
    pub(super) changed: BTreeMap<Version, Changed>,
    /// Those that cannot, with why.
    pub(super) damaged: BTreeMap<Version, String>,
    /// The files that are there in place of links.
    pub(super) copies: BTreeMap<Kind, PathBuf>,
}

impl Planner<'_> {
    /// The steps of a decision, and what becomes of the versions that it leaves out.
    pub(super) fn follow(
        &self,
        name: &LineageName,
        found: Found,
        mut decision: Decision,
        seen: &Seen,
        plan: &mut LineagePlan,
    ) {
        let Seen { changed, copies, .. } = seen;
        let live_now = found.live.version().filter(|_| found.whole);
        if let Decision::Stuck { code, why } = &decision
            && (!found.whole || *code == FindingCode::LiveVersionDamaged)
        {
            // A pair that fits is better than one that does not, expired or not.
            match self.newest_sound(&found, live_now) {
                Some((version, leaf)) => {
                    let code = *code;
                    decision = Decision::GoForward { version, leaf: Box::new(leaf), code };
                }
                None => plan.stuck = Some(nothing_fits(why)),
            }
        }
        let leave = matches!(decision, Decision::Leave | Decision::Stuck { .. });
        let mended_in_place = live_now.filter(|live| leave && changed.contains_key(live));
        if let Some(version) = mended_in_place
            && let Some(Ok(leaf)) = found.mended.get(&version).map(VersionTexts::leaf)
        {
            // Programs that could not load it have to look again: the hooks run.
            let do_not_mind = changed.get(&version).is_some_and(|changed| changed.servers_do_not_mind);
            let code = if do_not_mind { FindingCode::FullchainDiffers } else { FindingCode::LiveVersionDamaged };
            decision = Decision::GoForward { version, leaf: Box::new(leaf), code };
        }
        let chosen = match &decision {
            Decision::GoForward { version, .. } | Decision::RollBack { version, .. } => Some(*version),
            _ => live_now,
        };
        let shared = self.in_use.files_of_others(std::slice::from_ref(&found.archive), name);
        let mut away = Vec::new();
        for (version, why) in left_out(&found, chosen, seen) {
            let all = self.files_of(&found.archive, version);
            let evidence = format!("version {version}: {why}");
            let finding = Finding::new(FindingCode::VersionIncomplete, name.as_str(), evidence);
            // certbot would link it at its next renewal, and fail for all certificates where it cannot be read.
            let is_danger = all.len() == Kind::ALL.len() && chosen.is_some_and(|chosen| version > chosen);
            if !is_danger || all.iter().any(|path| shared.contains(path)) {
                plan.more.push((finding, None));
                continue;
            }
            let finding = finding.with_severity(crate::Severity::Warning);
            // One file is enough, so that nothing can be interrupted half-way; and the number stays taken.
            let cert = vec![found.archive.join(Kind::Cert.archive_file(version))];
            let why = ", so that certbot does not make this version live";
            away.push((finding.with_cure("certkit fsck --repair"), Some(Step::TakeAway { paths: cert, why })));
        }
        if !found.temps.is_empty() {
            let finding = Finding::new(FindingCode::LeftOver, name.as_str(), self.list(&found.temps));
            plan.more.push((finding, Some(Step::RemoveLeftOvers(found.temps.clone()))));
        }
        let wrong = match &decision {
            Decision::Leave => None,
            Decision::GoForward { version, code, .. } => {
                let code = if copies.is_empty() { *code } else { FindingCode::BrokenLineage };
                Some((code, self.reason(&found, *version, live_now, seen)))
            }
            Decision::RollBack { code, why, .. } | Decision::Stuck { code, why } => Some((*code, why.clone())),
            Decision::RemoveJournalLinks => Some((FindingCode::InterruptedSwitch, String::new())),
        };
        plan.wrong = wrong;
        match decision {
            Decision::Leave if lags_behind(self.store.paths(), name, &found.live) => {
                let evidence = self.shown(&self.store.paths().switched(name));
                let finding = Finding::new(FindingCode::SecondFolderBehind, name.as_str(), evidence);
                let step = Step::FollowLive { name: name.clone(), live: found.live.clone() };
                plan.more.push((finding, Some(step)));
            }
            Decision::Leave | Decision::Stuck { .. } => {}
            decision => {
                if let Some((version, made_anew)) = chosen.and_then(|chosen| Some((chosen, changed.get(&chosen)?))) {
                    plan.steps
                        .extend(made_anew.kinds.iter().filter_map(|kind| self.write(&found, version, *kind, copies)));
                }
                plan.steps.push(Step::Links { name: name.clone(), found: Box::new(found), decision });
            }
        }
        // What is in danger of being linked goes after something good is live.
        plan.more.extend(away);
    }

    /// Why a version goes live.
    fn reason(&self, found: &Found, version: Version, live: Option<Version>, seen: &Seen) -> String {
        if let Some(why) = live.and_then(|live| seen.damaged.get(&live)) {
            return why.clone();
        }
        if live == Some(version)
            && let Some(Changed { kinds, why, .. }) = seen.changed.get(&version)
        {
            let files: Vec<_> = kinds.iter().map(|kind| found.archive.join(kind.archive_file(version))).collect();
            return format!("{}: {why}", self.list(&files));
        }
        format!("version {version} is whole")
    }

    /// The newest version that is sound, expired or not.
    pub(super) fn newest_sound(&self, found: &Found, but: Option<Version>) -> Option<(Version, crate::Certificate)> {
        found.complete.iter().filter(|version| Some(**version) != but).take(MAX_READ).find_map(|version| {
            let read;
            let texts = match found.mended.get(version) {
                Some(mended) => mended,
                None => {
                    let paths = Kind::ALL.map(|kind| found.archive.join(kind.archive_file(*version)));
                    read = VersionTexts::read(&paths).ok()?;
                    &read
                }
            };
            Some((*version, texts.verify_soundness(self.math, self.now).ok()?))
        })
    }
}

/// The damaged versions that stay as they are, and those that could be mended but are not needed.
fn left_out(found: &Found, chosen: Option<Version>, seen: &Seen) -> Vec<(Version, String)> {
    let mut out: Vec<_> = seen.damaged.iter().map(|(version, why)| (*version, why.clone())).collect();
    let unneeded = seen.changed.iter().filter(|(version, _)| Some(**version) != chosen);
    out.extend(unneeded.map(|(version, Changed { kinds, why, .. })| {
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.archive_file(*version)).collect();
        (*version, format!("{}: {why}", kinds.join(", ")))
    }));
    // What is live, and damaged beyond help, is told as that.
    out.retain(|(version, _)| found.live.version() != Some(*version) || !found.whole);
    out.sort_unstable();
    out
}
