//! What a renewal run did, for programs.

use std::collections::HashMap;

use certkit_acme::renewal::{HookRun, Outcome, Report, ReportEntry};
use certkit_core::{Failure, Version};
use serde_json::{Value, json};

use super::super::{certificates, hooks, json_time, plan, words};
use super::{class_code, not_served, pending};
use crate::commands::Foreseen;

/// The document of `renew --json` and of the other commands that renew.
pub(crate) fn json(report: &Report) -> Value {
    let mut document = json!({
        "schema": 1,
        "now": json_time(report.now),
        "dry_run": report.dry_run,
        "renewed": [], "simulated": [], "deployed": [], "not_due": [], "held": [], "failed": [],
        "deploy_pending": pending(report).chain(not_served(report)).map(|(name, target)| json!({ "name": name, "target": target })).collect::<Vec<_>>(),
        "hooks": report.hooks.iter().map(hook).collect::<Vec<_>>(),
        "problems": report.findings.iter().map(certificates::problem).collect::<Vec<_>>(),
        "stopped": report.stopped.is_some(),
    });
    for entry in &report.entries {
        // It is in the list of what is pending.
        if matches!(entry.outcome, Outcome::Deployed { .. }) && !entry.is_deployed() {
            continue;
        }
        let (list, row) = row(entry);
        if let Some(rows) = document.get_mut(list).and_then(Value::as_array_mut) {
            rows.push(row);
        }
    }
    document
}

/// Adds the CA's window to what is not due and to what is held.
pub(crate) fn add_windows(document: &mut Value, foreseen: &HashMap<&str, &Foreseen<'_>>) {
    for list in ["not_due", "held"] {
        for row in document.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let known = row.get("name").and_then(Value::as_str).and_then(|name| foreseen.get(name));
            row["window"] = json!(known.and_then(|one| plan::window(one)));
        }
    }
}

fn row(entry: &ReportEntry) -> (&'static str, Value) {
    let name = &entry.name;
    match &entry.outcome {
        Outcome::Renewed { version, not_after } => {
            let mut row = json!({ "name": name, "version": version.0, "not_after": json_time(*not_after) });
            row["served_at"] = addresses_json(entry, *version);
            ("renewed", row)
        }
        Outcome::Simulated => ("simulated", json!({ "name": name })),
        Outcome::Deployed { version } => {
            let served_at = addresses_json(entry, *version);
            ("deployed", json!({ "name": name, "version": version.0, "served_at": served_at }))
        }
        Outcome::NotDue { at, reason } => {
            ("not_due", json!({ "name": name, "at": at.map(json_time), "reason": reason.code() }))
        }
        Outcome::Held { until, by } => ("held", json!({ "name": name, "until": json_time(*until), "by": by.code() })),
        Outcome::Failed { failure, next_attempt } => {
            let mut row = failure_json(failure, name);
            row["name"] = json!(name);
            row["next_attempt"] = json!(next_attempt.map(json_time));
            ("failed", row)
        }
        Outcome::Broken { reason, hindrance, cure } => (
            "failed",
            json!({
                "name": name,
                "what": reason,
                "cure": super::broken_cure(reason, *hindrance, cure.as_deref(), name),
                "next_attempt": null,
                "class": if words::is_of_settings(reason) { "settings" } else { "broken" },
                "identifiers": [],
            }),
        ),
        _ => ("failed", json!({ "name": name, "what": "unknown outcome", "cure": null, "next_attempt": null })),
    }
}

/// A failure for machines; `name` stands in its cure.
pub(crate) fn failure_json(failure: &Failure, name: &str) -> Value {
    json!({
        "what": failure.to_string(),
        "cure": words::cure_for(words::failure_cure(failure), name),
        "class": class_code(failure.class),
        "identifiers": failure.per_identifier.iter().map(|one| json!({
            "identifier": one.identifier.to_string(),
            "type": one.problem.kind,
            "detail": one.problem.detail,
            "cure": one.problem.cure(),
        })).collect::<Vec<_>>(),
    })
}

/// A hook for machines.
pub(crate) fn hook(hook: &HookRun) -> Value {
    let what = format!("the {} `{}`", hooks::stage(hook.stage), hook.command);
    let failure = hooks::target_failure(hook).or_else(|| Some(hook.outcome.failure(&what)?.detail));
    json!({
        "stage": hooks::stage(hook.stage),
        "command": hook.command,
        "name": hook.lineage.as_ref().map(ToString::to_string),
        "ok": hook.outcome.success(),
        "ending": hooks::ending(&hook.outcome.ending),
        "failure": failure,
    })
}

fn addresses_json(entry: &ReportEntry, version: Version) -> Value {
    entry.served_at(version).iter().map(ToString::to_string).collect::<Vec<_>>().into()
}
