//! The checks of the machine and of the store as a whole.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use certkit_core::settings::{Settings, SettingsError};
use certkit_core::{Finding, FindingCode, LineageName, Severity};
use chrono::DateTime;

use super::examination::{Checks, ExaminedEntry, TIME_LIMIT};
use super::examined_lineage::Known;
use super::run::hook_dir;
use super::{Renewer, Request, Selection};
use crate::blocking::blocking;
use crate::deploy::{HookStage, directory_hooks};
use crate::doctor::{
    Check, Examination, Examined, KnownLock, Machine, PastRuns, Schedules, check_days_in, check_hook_directory,
    check_lock, check_mount, check_room, check_schedules, check_told, check_writable,
};

/// systemctl and crontab are each asked once or twice.
const SCHEDULE_LIMIT: Duration = Duration::from_secs(90);
/// A script is a page of text.
const MAX_SCRIPT_BYTES: u64 = 64 * 1024;

/// Each problem of a file of settings with its line and its cure.
pub(super) fn settings_findings(error: &SettingsError) -> Vec<Finding> {
    let path = error.path.to_string_lossy();
    let of = |problem: &certkit_core::settings::SettingsProblem| {
        let line = problem.line.map_or(String::new(), |line| format!("line {line}: "));
        Finding::new(FindingCode::SettingsUnusable, &path, format!("{line}{}", problem.what)).with_cure(&problem.cure)
    };
    error.problems.iter().map(of).collect()
}

/// Adds them.
pub(super) fn add(
    checks: &mut Checks,
    renewer: &Renewer,
    request: &Request,
    settings: &Settings,
    settings_problems: Vec<Finding>,
    known: &Known,
    machine: &Machine,
) {
    let paths = renewer.store.paths().clone();
    let now = checks.now;
    let settings_file = paths.settings_file();
    let settings_are_usable = settings_problems.is_empty();
    checks.known(&[], Examined::found(Check::Settings, settings_file.to_string_lossy(), settings_problems));

    // What nobody can read tells of nobody.
    if settings_are_usable {
        checks.known(&[], check_told(settings.channels().len()));
    }

    // What runs it.
    let runs = PastRuns::new(known.outlook.ledger.runs(), known.outlook.cadence);
    let (asked, names) = (machine.clone(), known.names());
    let is_empty = known.is_empty();
    checks.spawn_sorted(Check::Schedule, "what renews here", SCHEDULE_LIMIT, async move {
        let mut examined = check_schedules(&Schedules::look(&asked).await, runs, now);
        if is_empty {
            examined.iter_mut().for_each(without_alarm);
        }
        // Lines that renew concern all certificates, the rest is about the machine.
        let of = |examined: &Examined| if examined.check == Check::ScheduledLines { names.clone() } else { Vec::new() };
        examined.into_iter().map(|examined| ExaminedEntry::new(of(&examined), examined)).collect()
    });

    // Where it is stored.
    let folders = [&paths.config_dir, &paths.work_dir, &paths.logs_dir];
    let mut systems = Vec::new();
    for folder in folders {
        let shown = folder.to_string_lossy().into_owned();
        let (of_room, of_mount, of_rights) = (folder.clone(), folder.clone(), folder.clone());
        // Three folders on one file system have the same room.
        let system = folder.ancestors().find_map(|path| fs::metadata(path).ok()).map(|found| found.dev());
        if system.is_none() || !systems.contains(&system) {
            systems.push(system);
            checks.blocking(&[], Check::Room, &shown, move || vec![check_room(&of_room)]);
        }
        let mounts = machine.root.join("proc/self/mountinfo");
        // Memory is where the lock and the logs may well be.
        let is_store = *folder == paths.config_dir;
        checks.blocking(&[], Check::Mount, &shown, move || match fs::read_to_string(&mounts) {
            Ok(text) => vec![mount(&of_mount, &text, is_store)],
            Err(error) => vec![Examined::not_checked(Check::Mount, of_mount.to_string_lossy(), error.to_string())],
        });
        checks.blocking(&[], Check::Writable, &shown, move || vec![check_writable(&of_rights)]);
    }

    // Who is at work, and what the store itself tells.
    let store = renewer.store.clone();
    let config_dir = paths.config_dir.clone();
    checks.blocking(&[], Check::Lock, paths.config_dir.to_string_lossy(), move || {
        let examined = match store.lock_holder() {
            Ok(held) => {
                let held = held.map(|held| {
                    let since = held.since.and_then(|since| DateTime::from_timestamp(since, 0));
                    KnownLock::new(held.path, held.holder, since)
                });
                check_lock(&config_dir, held.as_ref(), now)
            }
            Err(error) => Examined::not_checked(Check::Lock, config_dir.to_string_lossy(), error.to_string()),
        };
        vec![examined]
    });
    let (store, only) = (renewer.store.clone(), only(request));
    let names: HashSet<String> = known.lineages.iter().map(|lineage| lineage.subject.name.to_string()).collect();
    let audit = move || {
        let subject = store.paths().config_dir.to_string_lossy().into_owned();
        let mut findings = match store.audit() {
            Ok(findings) => findings,
            Err(error) => return vec![Examined::not_checked(Check::Store, subject, error.to_string())],
        };
        findings.retain(|finding| {
            let has_a_check_of_its_own = matches!(
                finding.code,
                FindingCode::BrokenLineage | FindingCode::PrivateKeyReadable | FindingCode::OrderPending
            );
            // So have hooks and keys, where it matters who owns or can change them.
            let of_hook_or_key = matches!(finding.code, FindingCode::WritableByOthers | FindingCode::OwnedByAnother)
                && (finding.subject.starts_with("renewal-hooks") || finding.subject.contains("/privkey"));
            !has_a_check_of_its_own && !of_hook_or_key && only.as_ref().is_none_or(|name| concerns(finding, name))
        });
        for path in store.orphaned_settings().unwrap_or_default() {
            let what = "no certificate has this name, so these settings are for nothing";
            let finding = Finding::new(FindingCode::SettingWithoutEffect, path.to_string_lossy(), what);
            findings.push(finding.with_cure("give the file the name of a certificate, or remove it"));
        }
        vec![Examined::found(Check::Store, subject, findings)]
    };
    checks.spawn_sorted(Check::Store, paths.config_dir.to_string_lossy(), TIME_LIMIT, async move {
        by_certificate(blocking(audit).await, &names)
    });

    if request.directory_hooks {
        for stage in [HookStage::Pre, HookStage::Deploy, HookStage::Post] {
            let folder = hook_dir(&paths, stage);
            let subject = folder.to_string_lossy().into_owned();
            checks.blocking(&[], Check::Hooks, &subject, move || {
                let mut all = vec![check_hook_directory(stage, &folder)];
                let hooks = directory_hooks(&folder).unwrap_or_default();
                all.extend(hooks.iter().filter_map(|hook| days_in_script(hook)));
                all
            });
        }
    }
    checks.known(&[], Examined::found(Check::Store, "the memory of runs", known.findings.clone()));
}

/// Where there is no certificate yet, nothing can expire because nothing runs.
fn without_alarm(examined: &mut Examined) {
    let Examination::Found(findings) = &mut examined.outcome else { return };
    for finding in findings.iter_mut().filter(|finding| finding.code == FindingCode::NotScheduled) {
        if finding.severity > Severity::Notice {
            let because = Finding::new(finding.code, &finding.subject, "there is no certificate here yet to renew");
            *finding = because
                .with_severity(Severity::Notice)
                .with_cure("certkit timer install, together with the first certificate");
        }
    }
}

/// Rules that count days in a script; nothing where it is no text.
pub(super) fn days_in_script(script: &Path) -> Option<Examined> {
    let metadata = fs::metadata(script).ok().filter(|found| found.is_file() && found.len() <= MAX_SCRIPT_BYTES);
    let text = metadata.and_then(|_| fs::read(script).ok()).and_then(|bytes| String::from_utf8(bytes).ok())?;
    Some(check_days_in(script, &text, None))
}

fn mount(folder: &Path, mountinfo: &str, is_store: bool) -> Examined {
    let examined = check_mount(folder, mountinfo);
    if is_store {
        return examined;
    }
    let mut findings = examined.findings().to_vec();
    if findings.is_empty() {
        return examined;
    }
    findings.retain(|finding| finding.code == FindingCode::StoreReadOnly);
    Examined::found(Check::Mount, folder.to_string_lossy(), findings)
}

fn only(request: &Request) -> Option<LineageName> {
    match &request.selection {
        Selection::All => None,
        Selection::One(name) | Selection::Obtain { name, .. } => Some(name.clone()),
    }
}

/// What the audit says of one certificate belongs to it; the rest is about the store.
fn by_certificate(examined: Vec<Examined>, names: &HashSet<String>) -> Vec<ExaminedEntry> {
    let mut entries = Vec::new();
    for mut one in examined {
        if let Examination::Found(findings) = &mut one.outcome {
            let (of_one, others): (Vec<_>, Vec<_>) =
                std::mem::take(findings).into_iter().partition(|finding| names.contains(&finding.subject));
            entries.extend(of_one.into_iter().map(|finding| {
                let name = finding.subject.clone();
                ExaminedEntry::new(vec![name.clone()], Examined::found(one.check, name, vec![finding]))
            }));
            if others.is_empty() {
                continue;
            }
            *findings = others;
        }
        entries.push(ExaminedEntry::new(Vec::new(), one));
    }
    entries
}

/// Whether a finding of the store is about this lineage: by its name, or by a path that has its name.
fn concerns(finding: &Finding, name: &LineageName) -> bool {
    let name = name.as_str();
    finding.subject == name
        || finding.subject.split('/').any(|part| {
            part == name || part.strip_prefix(name).is_some_and(|end| [".conf", ".json", ".toml"].contains(&end))
        })
}
