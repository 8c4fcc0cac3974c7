//! What is pending of the deploy, and nothing else (`certkit deploy`).

use std::sync::Arc;

use certkit_core::{Finding, FindingCode, LineageName, Outlook};

use super::attempt::Workshop;
use super::deploying::Hooks;
use super::group::Turns;
use super::idle::Member;
use super::inventory::Inventory;
use super::prove::Repeating;
use super::report::{Outcome, Report};
use super::run::{Run, hook_dirs, line, tell_unrecorded};
use super::{Renewer, Request, RunError};
use crate::Stop;

impl Renewer {
    /// Gives the versions in use to the targets that do not have them yet: those that failed, those that a crash left
    /// over, those that the owner added, and what makes servers read a version that they do not serve yet. Nobody is asked for a certificate.
    pub async fn deploy_pending(&self, request: Request, stop: &Stop) -> Result<Report, RunError> {
        let (observer, clock) = (Arc::clone(&self.observer), Arc::clone(&self.clock));
        let inventory = Inventory::lock(&self.store, request.mode, observer, clock, self.live_switch).await?;
        let settings = self.effective_settings().await?;
        let mut report = Report::new(self.clock.now(), inventory.is_dry_run());
        let commands = self.commands_by(&settings);
        let (workshop, outlook) = (Workshop::new(self, &inventory, &commands, stop), Outlook::default());
        let hooks = Hooks::new(self.observer.as_ref(), &commands, hook_dirs(self.store.paths()), &request);
        let run = Run {
            renewer: self,
            inventory: &inventory,
            request: &request,
            stop,
            hooks: &hooks,
            workshop: &workshop,
            outlook: &outlook,
            machine: &[],
            directory: self.directory_targets(&request).await,
            settings: &settings,
            turns: Turns::new(1),
        };
        let made_live = run.recover(&mut report).await?;
        let subjects = run.look(&made_live, &mut report).await?;
        run.deploy_what_is_pending(&subjects).await;
        let members = subjects.iter().cloned().map(Member::Whole).collect();
        run.prove(members, |_| false, Repeating::Asked, &mut report.findings).await;
        report.hooks = hooks.into_runs();
        let ran: Vec<LineageName> = report.hooks.iter().filter_map(|hook| hook.lineage.clone()).collect();
        for subject in &subjects {
            let state = inventory.state(&subject.name);
            let Some(version) = subject.live_version else { continue };
            let is_well = state.deploy_pending.is_empty() && state.not_served().is_empty();
            if is_well && !ran.contains(&subject.name) && inventory.unrecorded(&subject.name).is_none() {
                continue;
            }
            let mut entry = line(subject, Outcome::Deployed { version });
            entry.take_deploy_state(&state);
            tell_unrecorded(&inventory, &subject.name, &mut entry);
            report.entries.push(entry);
        }
        report.findings.extend(self.write_textfile(&settings, &request).await);
        report.join_causes();
        let is_looked_at = |found: &Finding| subjects.iter().any(|subject| subject.name.as_str() == found.subject);
        report.findings.retain(|found| found.code != FindingCode::DeployPending || !is_looked_at(found));
        report.sort();
        report.stopped = stop.reason();
        Ok(report)
    }
}
