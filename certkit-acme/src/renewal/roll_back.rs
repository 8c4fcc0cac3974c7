//! Making an old version the live one again, as a new version, so that certbot's next run keeps it.

use std::sync::Arc;

use certkit_core::settings::Settings;
use certkit_core::state::{DeployTarget, Event};
use certkit_core::store::{ConfEdits, ConfPlan, Expectations, Lineage, VerifiedVersion};
use certkit_core::{Failure, FailureClass, Finding, FindingCode, IdentifierSet, LineageName, Version};

use super::attempt::commit_failure;
use super::deploying::{Deployment, Hooks};
use super::inventory::Inventory;
use super::own_settings::OwnSettings;
use super::prove::{Proof, Which};
use super::report::{Outcome, Report};
use super::run::{hook_dir, line, told};
use super::subject::{Subject, Unusable};
use super::{Mode, Renewer, Request, RunError};
use crate::Stop;
use crate::blocking::blocking;
use crate::deploy::HookStage;

/// Which version is to be live again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollBack {
    /// The lineage.
    pub name: LineageName,
    /// The version; without it, the newest complete one before the live one.
    pub to: Option<Version>,
    /// Whether the directory `renewal-hooks/deploy` is run besides the conf's hook (`--no-directory-hooks`).
    pub directory_hooks: bool,
    /// Whether endpoints are looked at afterwards, to see what they serve (not with `--no-probe`).
    pub probe_endpoints: bool,
}

impl RollBack {
    /// To the version before the live one, with the directory's hooks.
    pub fn of(name: LineageName) -> Self {
        Self { name, to: None, directory_hooks: true, probe_endpoints: true }
    }

    /// The same to this version.
    #[must_use]
    pub fn to(mut self, version: Version) -> Self {
        self.to = Some(version);
        self
    }
}

impl Renewer {
    /// Commits an old version again as a new one and deploys it. A version that is expired or does not verify is
    /// refused.
    pub async fn roll_back(&self, wanted: &RollBack, stop: &Stop) -> Result<Report, RunError> {
        let RollBack { name, to, directory_hooks, probe_endpoints } = wanted;
        let observer = Arc::clone(&self.observer);
        let inventory =
            Inventory::lock(&self.store, Mode::Real, observer, Arc::clone(&self.clock), self.live_switch).await?;
        let mut report = Report::new(self.clock.now(), false);
        report.findings.extend(inventory.recover(Arc::clone(&self.math)).await?.iter().map(told));
        let mut request = Request::renew().only(name.clone());
        request.directory_hooks = *directory_hooks;
        request.probe_endpoints = *probe_endpoints;
        let (lineage, state) = {
            let (store, name) = (self.store.clone(), name.clone());
            blocking(move || (store.lineage(&name).map_err(Box::new), store.state(&name))).await
        };
        let lineage = match lineage {
            Ok(Some(lineage)) => lineage,
            Ok(None) => return Err(RunError::NoSuchLineage(name.clone())),
            Err(broken) => return Err(Unusable::from(broken.reason).of(name)),
        };
        inventory.take_state(name, state?.0);
        let old = match to {
            Some(version) => *version,
            None => previous(&lineage)?,
        };
        let unusable = |reason: String| Unusable::from(reason).of(name);
        let settings = self.effective_settings().await?;
        let own = self.store.lineage_settings(&settings, name).map_err(|error| unusable(error.to_string()))?;
        let own = OwnSettings::resolve(&self.store, own, name, lineage.conf().params().effective_server())
            .map_err(unusable)?;
        let subject = Subject::read(&lineage, &request, own).map_err(|unusable| unusable.of(name))?;
        let targets = subject.deploy_targets(&self.directory_targets(&request).await);
        let verified = self.verify_old(lineage, old, inventory.now()).await?;
        let not_after = verified.chain().leaf.validity().not_after;
        inventory.check_committable(name, &ConfEdits::default()).await.map_err(commit_failure)?;
        // Else the next run would take the owner's way back for a wish that is still open.
        if subject.has_had_its_wish(&inventory.state(name)) {
            inventory.record(name, Event::WishFulfilled).await?;
        }
        let committed = inventory
            .commit(name, verified, subject.live_version, ConfPlan::default())
            .await
            .map_err(commit_failure)?;
        let version = committed.version;
        let left = committed.leftovers.iter();
        report.findings.extend(left.map(|left| Finding::new(FindingCode::LeftAtCommit, name.as_str(), left)));
        let event = Event::Committed {
            version,
            not_after,
            directory: None,
            targets: targets.clone(),
            profile: None,
            left_out: IdentifierSet::default(),
        };
        inventory.record(name, event).await?;
        // Otherwise the certificate of an order under way would be set aside, as if another tool had renewed.
        if let Err(error) = inventory.move_pending(name, subject.live_version, version).await {
            report.findings.push(Finding::new(FindingCode::LeftAtCommit, name.as_str(), error.to_string()));
        }
        report.hooks = self.deploy_now(&inventory, &settings, &request, &subject, version, &targets).await?;
        // Without anything that makes a server read it, the next run sees whether somebody has.
        let proof =
            if targets.is_empty() { None } else { Proof::new(self, &inventory, stop, &request, &mut report.findings) };
        if let Some(proof) = proof {
            // What cannot be recorded was committed all the same.
            let _ = proof.look_at(subject.places(), Which::All, true).await;
            report.findings.extend(proof.findings(std::iter::once(name)));
        }
        let mut entry = line(&subject, Outcome::Renewed { version, not_after });
        entry.take_deploy_state(&inventory.state(name));
        report.entries.push(entry);
        report.stopped = stop.reason();
        Ok(report)
    }

    async fn verify_old(
        &self,
        lineage: Lineage,
        version: Version,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<VerifiedVersion, Failure> {
        let math = Arc::clone(&self.math);
        blocking(move || {
            let refuse = |why: String| {
                Failure::new(
                    FailureClass::CertificateUnfit,
                    format!("version {version} cannot be made live again: {why}"),
                )
            };
            let files = lineage.read_version(version).map_err(|error| refuse(error.to_string()))?;
            let identifiers = files.chain.leaf.identifiers().map_err(|error| refuse(error.to_string()))?;
            let mut expectations = Expectations::new(identifiers, None, now);
            expectations.may_end_earlier = true;
            VerifiedVersion::verify(files.chain, files.key, &expectations, math.as_ref())
                .map_err(|error| refuse(error.to_string()))
        })
        .await
    }

    async fn deploy_now(
        &self,
        inventory: &Inventory,
        settings: &Settings,
        request: &Request,
        subject: &Subject,
        version: Version,
        targets: &[DeployTarget],
    ) -> Result<Vec<super::HookRun>, RunError> {
        let directories =
            [HookStage::Pre, HookStage::Deploy, HookStage::Post].map(|stage| hook_dir(self.store.paths(), stage));
        let commands = self.commands_by(settings);
        let hooks = Hooks::new(self.observer.as_ref(), &commands, directories, request);
        hooks.deploy(&Deployment { inventory, subject, version }, targets).await?;
        Ok(hooks.into_runs())
    }
}

fn previous(lineage: &Lineage) -> Result<Version, Failure> {
    let versions = lineage.versions()?;
    let live = lineage.live_version();
    let complete = versions.iter().filter(|(_, kinds)| kinds.len() == 4).map(|(version, _)| *version);
    complete
        .filter(|version| live.is_none_or(|live| *version < live))
        .max()
        .ok_or_else(|| Failure::new(FailureClass::Settings, "there is no complete older version to roll back to"))
}
