//! What happens to the lineages of a run, in order: deploy what is pending, renew CA by CA, look for revoked ones, run post
//! hooks, prove.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certkit_core::state::{DeployTarget, Event, LineageState};
use certkit_core::store::StoreError;
use certkit_core::{AcmeUrl, Finding, FindingCode, LineageName, PlanEntry, Step};
use futures_util::future::join_all;

use super::advice::RevocationLists;
use super::deploying::{Deployment, still_wanted};
use super::group::{Group, Progress};
use super::idle::Member;
use super::prove::{Proof, Repeating, Witness, still_older};
use super::report::{Outcome, Report, ReportEntry};
use super::run::{Run, hook_dir, tell_unrecorded};
use super::subject::Subject;
use super::{Mode, Urgency, advice};
use crate::deploy::HookStage;

impl Run<'_> {
    /// What happens to the lineages. A store that fails meanwhile fails what it concerns, in the report: the others go on,
    /// and what pre hooks have stopped is started again by the post hooks whatever happens.
    pub(super) async fn perform(&self, mut members: Vec<Member>, report: &mut Report) {
        let whole = || {
            members.iter().filter_map(|member| match member {
                Member::Whole(subject) => Some(Arc::clone(subject)),
                Member::Idle(_) => None,
            })
        };
        // What is renewed in a moment is deployed then, once; what fails to be is given what there is.
        let (soon, others) = self.about_to_be_attempted(&whole().collect::<Vec<_>>()).await;
        self.deploy_what_is_pending(&others).await;
        // They count in dry runs alone, where nothing idles.
        let shared = shared_names(whole());
        let mut progress = Progress::default();
        for one in self.by_authority(&members, &shared).await {
            progress.merge(one);
        }
        if self.looks_for_revoked() {
            let revoked = self.revoked(&members, &mut progress.findings).await;
            // What was renewed a moment ago is not renewed again for the sake of its predecessor.
            let mut again: Vec<Member> = Vec::new();
            for member in &members {
                if revoked.contains(member.name()) && !progress.has_attempted(member.name()) {
                    again.extend(self.whole(member).await.map(Member::Whole));
                }
            }
            let names: BTreeSet<&str> = again.iter().map(|member| member.name().as_str()).collect();
            progress.entries.retain(|entry| !names.contains(entry.name.as_str()));
            for one in self.by_authority(&again, &shared).await {
                progress.merge(one);
            }
        }
        // What was renewed has been deployed just now, as far as that went.
        let is_renewed = |entry: &&ReportEntry| matches!(entry.outcome, Outcome::Renewed { .. });
        let done: BTreeSet<String> =
            progress.entries.iter().filter(is_renewed).map(|entry| entry.name.clone()).collect();
        let is_renewed = |name: &LineageName| done.contains(name.as_str());
        let left: Vec<Arc<Subject>> = soon.into_iter().filter(|subject| !is_renewed(&subject.name)).collect();
        self.deploy_what_is_pending(&left).await;
        let Progress { entries, findings, post_commands, renewed, failed, attempted } = progress;
        if !attempted.is_empty() {
            self.hooks.post(&post_commands, &renewed, &failed).await;
        }
        report.findings.extend(findings);
        // What idled and was renewed all the same has servers that take their time to read it.
        for member in members.iter_mut().filter(|member| done.contains(member.name().as_str())) {
            if let Some(subject) = self.whole(member).await {
                *member = Member::Whole(subject);
            }
        }
        self.prove(members, is_renewed, Repeating::OncePerVersion, &mut report.findings).await;
        report.entries.extend(entries);
        for entry in &mut report.entries {
            if let Ok(name) = LineageName::new(entry.name.clone()) {
                entry.take_deploy_state(&self.inventory.state(&name));
                tell_unrecorded(self.inventory, &name, entry);
            }
        }
    }

    /// Sees whether what is stored is served, after everything else: post hooks may start servers that pre hooks have
    /// stopped. Where an older version still is, what makes servers read the new one is run once more.
    pub(super) async fn prove(
        &self,
        mut members: Vec<Member>,
        is_renewed: impl Fn(&LineageName) -> bool,
        repeating: Repeating,
        findings: &mut Vec<Finding>,
    ) {
        let Some(proof) = Proof::new(self.renewer, self.inventory, self.stop, self.request, findings) else { return };
        let (deployed, post_ran) = (self.hooks.deployed(), self.hooks.post_ran());
        let is_deployed_now = |name: &LineageName| deployed.contains(name) || (is_renewed(name) && post_ran);
        // What was renewed and nothing here makes a server read is left to whoever does it after this run, `renew &&
        // systemctl reload nginx` for example: the next run sees whether it was done.
        members.retain(|one| is_deployed_now(one.name()) || !is_renewed(one.name()));
        let witness = |member: &Member, is_deployed_now: bool| Witness { member: member.clone(), is_deployed_now };
        proof.look_at_all(members.iter().map(|one| witness(one, is_deployed_now(one.name()))).collect()).await;
        let mut repeated = Vec::new();
        // What was run a moment ago is not run again at once.
        for member in members.iter().filter(|member| !is_deployed_now(member.name())) {
            if still_older(&self.inventory.state(member.name())).is_none() {
                continue;
            }
            let Some(subject) = self.whole(member).await else { continue };
            // What cannot be recorded is told with the lineage.
            if proof.repeat_deploy(self.hooks, &subject, self.targets(&subject), repeating).await.unwrap_or(false) {
                repeated.push(witness(&Member::Whole(subject), true));
            }
        }
        if !repeated.is_empty() {
            proof.look_at_all(repeated).await;
        }
        findings.extend(proof.findings(members.iter().map(Member::name)));
    }

    /// Those that are attempted by what is known now, and the others.
    async fn about_to_be_attempted(&self, subjects: &[Arc<Subject>]) -> (Vec<Arc<Subject>>, Vec<Arc<Subject>>) {
        let entries = self.plan(subjects).await.entries;
        let (soon, others): (Vec<_>, Vec<_>) =
            entries.iter().zip(subjects).partition(|(entry, _)| matches!(entry.step, Step::Attempt { .. }));
        let subjects =
            |these: Vec<(&PlanEntry, &Arc<Subject>)>| these.into_iter().map(|(_, one)| Arc::clone(one)).collect();
        (subjects(soon), subjects(others))
    }

    /// Everything for the lineages of one CA, CA by CA and all at once: one that does not answer delays no other.
    async fn by_authority(&self, members: &[Member], shared: &BTreeSet<String>) -> Vec<Progress> {
        let mut groups: BTreeMap<Option<AcmeUrl>, Vec<Member>> = BTreeMap::new();
        for member in members {
            let issuer = member.issuer(&self.inventory.state(member.name()));
            groups.entry(issuer).or_default().push(member.clone());
        }
        let groups: Vec<crate::BoxFuture<'_, Progress>> = groups
            .into_values()
            .map(|members| -> crate::BoxFuture<'_, Progress> {
                Box::pin(Group { run: self, members, shared }.perform())
            })
            .collect();
        join_all(groups).await
    }

    fn looks_for_revoked(&self) -> bool {
        self.request.mode == Mode::Real && self.request.urgency == Urgency::WhenDue && self.stop.reason().is_none()
    }

    /// Those that were found revoked just now. That it cannot be looked up is told.
    async fn revoked(&self, members: &[Member], findings: &mut Vec<Finding>) -> Vec<LineageName> {
        let look = async {
            let lists = match RevocationLists::new(&self.renewer.transport_settings) {
                Ok(lists) => lists,
                Err(error) => return (Vec::new(), Some(error.to_string())),
            };
            let (revoked, unkept) = advice::look_for_revoked(self.inventory, &lists, members).await;
            (revoked, unkept.map(|error| error.to_string()))
        };
        let (revoked, why) = tokio::select! {
            looked = look => looked,
            _ = self.stop.stopped() => (Vec::new(), None),
        };
        let told = |why| Finding::new(FindingCode::RenewalInformationUnavailable, "revocation lists", why);
        findings.extend(why.map(told));
        revoked
    }

    /// What earlier runs could not deploy is tried again, without a new certificate; and targets that the owner added.
    /// What cannot be recorded of one lineage is kept for its line of the report ([`tell_unrecorded`]).
    pub(super) async fn deploy_what_is_pending(&self, subjects: &[Arc<Subject>]) {
        if self.inventory.is_dry_run() {
            return;
        }
        for subject in subjects {
            let _ = self.deploy_pending_of(subject).await;
        }
    }

    async fn deploy_pending_of(&self, subject: &Subject) -> Result<(), StoreError> {
        let state = self.inventory.state(&subject.name);
        let Some(live) = subject.live_version.filter(|_| self.stop.reason().is_none()) else { return Ok(()) };
        if !state.knows(live) {
            return Ok(());
        }
        let pending: Vec<DeployTarget> = state.deploy_pending.iter().map(|one| one.target.clone()).collect();
        let targets = still_wanted(&state, self.targets(subject), &self.deploy_dir());
        if targets != pending {
            let replanned = Event::DeployReplanned { version: live, targets: targets.clone() };
            self.inventory.record(&subject.name, replanned).await?;
        }
        if !targets.is_empty() {
            let deployment = Deployment { inventory: self.inventory, subject, version: live };
            self.hooks.deploy_again(&deployment, &targets, self.targets(subject)).await?;
        }
        Ok(())
    }

    pub(super) fn deploy_dir(&self) -> PathBuf {
        hook_dir(self.renewer.store.paths(), HookStage::Deploy)
    }
}

/// Whether nothing of a lineage waits to be deployed, so that nothing would come of trying it again.
pub(super) fn nothing_to_deploy(
    subject: &Subject,
    state: &LineageState,
    targets: impl FnOnce() -> Vec<DeployTarget>,
    deploy_dir: &Path,
) -> bool {
    let is_known = subject.live_version.is_some_and(|live| state.knows(live));
    !is_known || (state.deploy_pending.is_empty() && still_wanted(state, targets(), deploy_dir).is_empty())
}

/// The names that more than one of these lineages covers.
fn shared_names(subjects: impl Iterator<Item = Arc<Subject>>) -> BTreeSet<String> {
    let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for subject in subjects {
        for name in subject.identifiers.iter().map(ToString::to_string) {
            if seen.contains(&name) {
                shared.insert(name);
            } else {
                seen.insert(name);
            }
        }
    }
    shared
}
