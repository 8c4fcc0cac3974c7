//! What `certkit fsck` shows: what was repaired, then what is wrong, the worst first.

use std::collections::HashMap;

use certkit_core::store::{Diagnosis, RepairReport, StorePaths};
use certkit_core::words::{cure_for, shell_word};
use certkit_core::{Finding, escape};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::doctor::{FOR_EACH, MOST_NAMED, counted, list, severity};
use super::json_time;
use super::lines::{cure_field, field, wrapped};

/// What is wrong, for people.
pub(crate) fn found_text(found: &[Diagnosis], paths: &StorePaths) -> String {
    let mut text = diagnoses_text(found);
    let repairable = found.iter().filter(|one| one.repair.is_some()).count();
    let mut summary = counted(found.iter().map(|one| one.finding.severity));
    if repairable > 0 {
        let all = if repairable == found.len() { "all of it".to_owned() } else { format!("{repairable} of it") };
        let folders =
            paths.also_own.iter().map(|folder| format!(" --also-in {}", shell_word(&folder.to_string_lossy())));
        let folders = escape(&folders.collect::<String>()).into_owned();
        summary.push_str(&format!("; `certkit fsck --repair{folders}` repairs {all}, as told under Repair"));
    }
    text.push_str(&wrapped("", &format!("{summary}."), 0));
    text
}

/// What a repair did, for people.
pub(crate) fn repaired_text(report: &RepairReport, paths: &StorePaths) -> String {
    let mut text: String = sorted(&report.repaired).into_iter().map(|one| repaired_one(one) + "\n").collect();
    text.extend(report.failed.iter().map(|finding| failed_text(finding) + "\n"));
    text.push_str(&diagnoses_text(&report.left));
    let left = counted(report.left.iter().map(|one| one.finding.severity));
    let left = if report.left.is_empty() { "nothing is left".to_owned() } else { format!("{left} left") };
    text.push_str(&wrapped("", &format!("{} repaired; {left}.", report.repaired.len()), 0));
    if let Some(saved) = &report.saved {
        let saved = escape(&paths.relative(saved).to_string_lossy()).into_owned();
        text.push_str(&wrapped(
            "",
            &format!("What was changed or removed is as it was in {saved} in the config dir."),
            0,
        ));
    }
    for (name, version) in &report.made_live {
        let told = format!(
            "Version {version} of {name} is in use now. Its deploy hooks have not run: {}, or wait for the next run.",
            cure_for("certkit deploy --cert-name NAME", name.as_str())
        );
        text.push_str(&wrapped("", &told, 0));
    }
    text
}

/// What is wrong, for programs.
pub(crate) fn found_json(found: &[Diagnosis], now: DateTime<Utc>) -> Value {
    json!({
        "schema": 1,
        "now": json_time(now),
        "problems": sorted(found).into_iter().map(diagnosis_json).collect::<Vec<_>>(),
        "repaired": [],
        "failed": [],
        "made_live": [],
        "saved": null,
    })
}

/// What a repair did, for programs.
pub(crate) fn repaired_json(report: &RepairReport, now: DateTime<Utc>) -> Value {
    let failed =
        |finding: &Finding| json!({ "subject": finding.subject, "what": finding.what(), "cure": finding.cure() });
    json!({
        "schema": 1,
        "now": json_time(now),
        "problems": sorted(&report.left).into_iter().map(diagnosis_json).collect::<Vec<_>>(),
        "repaired": sorted(&report.repaired).into_iter().map(diagnosis_json).collect::<Vec<_>>(),
        "failed": report.failed.iter().map(failed).collect::<Vec<_>>(),
        "made_live": report.made_live.iter().map(|(name, version)| json!({ "name": name.as_str(), "version": version.0 })).collect::<Vec<_>>(),
        "saved": report.saved.as_ref().map(|path| path.to_string_lossy()),
    })
}

fn sorted(all: &[Diagnosis]) -> Vec<&Diagnosis> {
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.finding.severity));
    sorted
}

/// Each, and what several certificates have in the same way once, as the doctor does.
fn diagnoses_text(all: &[Diagnosis]) -> String {
    let mut groups: Vec<(&Diagnosis, Vec<String>)> = Vec::new();
    let mut places: HashMap<_, usize> = HashMap::new();
    for one in sorted(all) {
        match own_name(one) {
            Some(name) if one.repair.is_none() => {
                let finding = &one.finding;
                let place = *places.entry((finding.code, &finding.evidence, finding.cure())).or_insert(groups.len());
                match groups.get_mut(place) {
                    Some((_, names)) => names.push(name.to_owned()),
                    None => groups.push((one, vec![name.to_owned()])),
                }
            }
            _ => groups.push((one, Vec::new())),
        }
    }
    groups.iter().map(|(one, names)| diagnosis_text(one, names) + "\n").collect()
}

/// The name of the certificate, where all of it is what the finding is about.
fn own_name(one: &Diagnosis) -> Option<&str> {
    one.name.as_ref().map(|name| name.as_str()).filter(|name| *name == one.finding.subject)
}

fn diagnosis_text(one: &Diagnosis, names: &[String]) -> String {
    let finding = &one.finding;
    let mut text = wrapped("", &format!("{}: {}", severity(finding.severity), finding.what()), 2);
    match names {
        [_, _, ..] => text.push_str(&field("For", &list(names, MOST_NAMED))),
        _ => text.push_str(&about(one)),
    }
    text.push_str(&field("Why", finding.why()));
    match (&one.repair, names) {
        (Some(planned), _) => text.push_str(&field("Repair", &planned.steps.join("; "))),
        (None, [_, _, ..]) => {
            text.push_str(&cure_field("To do", finding.cure()));
            if finding.cure().contains("NAME") {
                text.push_str(FOR_EACH);
            }
        }
        (None, _) => text.push_str(&cure_field("To do", &cure(one))),
    }
    text
}

fn repaired_one(one: &Diagnosis) -> String {
    let mut text = wrapped("", &format!("Repaired: {}", one.finding.what()), 2);
    text.push_str(&about(one));
    if let Some(done) = &one.repair {
        text.push_str(&field("Done", &done.steps.join("; ")));
    }
    text
}

fn failed_text(finding: &Finding) -> String {
    let mut text = wrapped("", &format!("{}: {}", severity(finding.severity), finding.what()), 2);
    text.push_str(&cure_field("To do", finding.cure()));
    text
}

fn about(one: &Diagnosis) -> String {
    let name = one.name.as_ref().map(|name| name.as_str());
    let mut text = String::new();
    if name != Some(one.finding.subject.as_str()) {
        text.push_str(&field("Where", &one.finding.subject));
    }
    if let Some(name) = name {
        text.push_str(&field("For", name));
    }
    text
}

fn cure(one: &Diagnosis) -> String {
    match &one.name {
        Some(name) => cure_for(one.finding.cure(), name.as_str()),
        None => one.finding.cure().to_owned(),
    }
}

fn diagnosis_json(one: &Diagnosis) -> Value {
    let finding = &one.finding;
    let repair = one.repair.as_ref().map(|repair| {
        let paths: Vec<_> = repair.paths.iter().map(|path| path.to_string_lossy()).collect();
        json!({ "steps": repair.steps, "paths": paths })
    });
    json!({
        "code": finding.code,
        "severity": finding.severity,
        "certificate": one.name.as_ref().map(|name| name.as_str()),
        "subject": finding.subject,
        "what": finding.code.what(),
        "evidence": finding.evidence,
        "why": finding.why(),
        "cure": cure(one),
        "repair": repair,
    })
}
