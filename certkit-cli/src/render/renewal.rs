//! What a renewal run did, in certbot's words and as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use certkit_acme::deploy::HookStage;
use certkit_acme::renewal::{HookRun, Outcome, Report, ReportEntry};
use certkit_core::state::Refusal;
use certkit_core::{Failure, FailureClass, Finding, FindingCode, HeldBy, Hindrance, Severity, Version, escape};

use super::{FRAME, date, hooks, time, words};
use crate::ui::{Ui, shown};

mod json;
pub(crate) use json::{add_windows, failure_json, hook, json};

/// A piece of text and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A result: stdout.
    Out(String),
    /// About a failure: stderr.
    Err(String),
}

impl Piece {
    /// Says it.
    pub(crate) fn say(&self, ui: &Ui) {
        match self {
            Self::Out(text) => ui.result(text),
            Self::Err(text) => ui.failure(text),
        }
    }
}

/// The report of `renew`: each lineage, then certbot's summary. Each piece is made when its turn comes, for there may be
/// thousands of lineages.
pub(crate) fn report<'r>(report: &'r Report, hooks_named: bool) -> impl Iterator<Item = Piece> + use<'r> {
    let mut cured = BTreeMap::new();
    let of_entry = move |entry: &'r ReportEntry| {
        let heading = Piece::Out(format!("\n{FRAME}\nProcessing {}\n{FRAME}\n", shown(&entry.conf_path)));
        let pieces = match &entry.outcome {
            // What is wrong with a whole tree is told in full once.
            Outcome::Broken { reason, cure: Some(cure), .. } if !cure.contains("NAME") => {
                match cured.insert(cure.as_str(), entry.name.as_str()) {
                    Some(first) => {
                        cured.insert(cure.as_str(), first);
                        vec![broken(entry, reason, &format!("the same as for {}", escape(first)))]
                    }
                    None => outcome(entry),
                }
            }
            _ => outcome(entry),
        };
        std::iter::once(heading).chain(pieces)
    };
    let conclusion = std::iter::once_with(move || conclusion(report, hooks_named)).flatten();
    report.entries.iter().flat_map(of_entry).chain(conclusion)
}

fn conclusion(report: &Report, hooks_named: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    pieces.push(Piece::Out(format!("\n{FRAME}\n")));
    pieces.extend(summary(report, hooks_named));
    pieces.push(Piece::Out(format!("{FRAME}\n")));
    pieces.extend(loose_ends(report));
    pieces.extend(counts(report));
    pieces
}

/// A first certificate that could not be obtained.
pub(crate) fn not_obtained(names: &[String], failure: &Failure) -> Piece {
    let list = escape(&names.join(", ")).into_owned();
    // There is no lineage that a command in the cure could name.
    let details = failure_details(failure, "NAME");
    Piece::Err(format!("Failed to obtain a certificate for {list}: {failure}\n{details}"))
}

/// What happened to one lineage.
pub(crate) fn outcome(entry: &ReportEntry) -> Vec<Piece> {
    let name = escape(&entry.name);
    match &entry.outcome {
        // The reason begins with the path of the file; the renewal configuration may be well.
        Outcome::Broken { reason, hindrance, .. } if words::is_of_settings(reason) => vec![Piece::Err(format!(
            "The settings of {name} cannot be used.\nThe error was: {}\nSkipping.\nWhat to do: {}.\n",
            escape(reason),
            words::broken_cure(reason, *hindrance),
        ))],
        Outcome::Broken { reason, hindrance, cure } => {
            vec![broken(entry, reason, &broken_cure(reason, *hindrance, cure.as_deref(), &name))]
        }
        Outcome::Failed { failure, next_attempt } => {
            let mut text = format!("Failed to renew certificate {name} with error: {failure}\n");
            text.push_str(&failure_details(failure, &name));
            if let Some(at) = next_attempt {
                text.push_str(&format!("It is tried again at the first run after {}.\n", time(*at)));
            }
            vec![Piece::Err(text)]
        }
        Outcome::Held { until, by: by @ HeldBy::Failure(failure) } => vec![Piece::Err(format!(
            "Certificate {name} is due, but it is not tried before {}, because of the failure of {}: {}.\nWhat to do: {}.\n",
            time(*until),
            time(failure.at),
            words::remembered(failure),
            words::held_cure(by, &name),
        ))],
        Outcome::Held { until, by: HeldBy::Refusal(refusal @ Refusal::Limit { .. }) } => vec![Piece::Out(format!(
            "Certificate {name} is due and waits for its turn until {}: {refusal}.\n",
            time(*until)
        ))],
        Outcome::Held { until, by } => vec![Piece::Err(format!(
            "Certificate {name} is due, but it is not tried before {}: {}.\nWhat to do: {}.\n",
            time(*until),
            words::held_by(by),
            words::held_cure(by, &name),
        ))],
        // What is still pending is told at the end.
        Outcome::Deployed { version } if entry.is_deployed() => {
            vec![Piece::Out(format!("Version {version} of {name} is deployed now\n{}", served(entry, *version)))]
        }
        Outcome::NotDue { .. } => vec![Piece::Out("Certificate not yet due for renewal\n".to_owned())],
        Outcome::Renewed { version, not_after } => {
            let expires = date(*not_after);
            vec![Piece::Out(format!(
                "Version {version} of {name} is in use now; it expires on {expires}\n{}",
                served(entry, *version)
            ))]
        }
        Outcome::Simulated => vec![Piece::Out(format!("The simulated renewal of {name} was successful\n"))],
        _ => Vec::new(),
    }
}

/// Where the new version was found to be served, when it is served wherever that counts.
fn served(entry: &ReportEntry, version: Version) -> String {
    /// More are counted.
    const SHOWN: usize = 4;
    let addresses = entry.served_at(version);
    if addresses.is_empty() || !entry.not_served.is_empty() {
        return String::new();
    }
    let mut text: Vec<String> = addresses.iter().take(SHOWN).map(ToString::to_string).collect();
    if addresses.len() > SHOWN {
        text.push(format!("{} more addresses", addresses.len() - SHOWN));
    }
    format!("It is served at {}\n", text.join(", "))
}

/// Every failing name with the CA's type and words, and what to do.
fn failure_details(failure: &Failure, name: &str) -> String {
    let mut text = String::new();
    if !failure.per_identifier.is_empty() {
        text.push_str("\nThe Certificate Authority reported these problems:\n");
        for one in &failure.per_identifier {
            text.push_str(&format!(
                "  Identifier: {}\n  Type:   {}\n  Detail: {}\n  What to do: {}.\n\n",
                escape(&one.identifier.to_string()),
                escape(&one.problem.kind),
                escape(&one.problem.detail),
                one.problem.cure(),
            ));
        }
    } else if let Some(problem) = &failure.problem {
        text.push_str(&format!("  Type:   {}\n  Detail: {}\n", escape(&problem.kind), escape(&problem.detail)));
    }
    text.push_str(&format!("What to do: {}.\n", words::cure_for(words::failure_cure(failure), name)));
    text
}

fn summary(report: &Report, hooks_named: bool) -> Vec<Piece> {
    let noun = if report.dry_run { "simulated renewal" } else { "renewal" };
    let mut pieces = Vec::new();
    let out = |text: String| Piece::Out(text);
    let skipped = list(report, "skipped", |entry| match &entry.outcome {
        Outcome::NotDue { .. } => Some(match entry.not_after {
            Some(not_after) => format!("{} expires on {}", subject(entry), date(not_after)),
            None => subject(entry),
        }),
        _ => None,
    });
    let waiting = |heading: &str| {
        list(report, "waiting", |entry| match &entry.outcome {
            Outcome::Held { until, by } if waits_because(by) == heading => {
                Some(format!("{} until {}", subject(entry), time(*until)))
            }
            _ => None,
        })
    };
    let succeeded = list(report, "success", |entry| {
        matches!(entry.outcome, Outcome::Renewed { .. } | Outcome::Simulated).then(|| subject(entry))
    });
    let failed =
        list(report, "failure", |entry| matches!(entry.outcome, Outcome::Failed { .. }).then(|| subject(entry)));
    let broken = list(report, "parsefail", |entry| match &entry.outcome {
        Outcome::Broken { reason, .. } if !words::is_of_settings(reason) => Some(shown(&entry.conf_path)),
        _ => None,
    });
    let unset = list(report, "parsefail", |entry| match &entry.outcome {
        Outcome::Broken { reason, .. } if words::is_of_settings(reason) => Some(settings_file(reason)),
        _ => None,
    });
    if !skipped.is_empty() {
        pieces.push(out(format!("The following certificates are not due for renewal yet:\n{skipped}")));
    }
    for heading in [AFTER_FAILURES, AS_THE_CA_ASKED, AGAINST_LOOPS, WITHIN_LIMITS, FOR_OTHER_REASONS] {
        let held = waiting(heading);
        if !held.is_empty() {
            let text = format!("The following certificates are due{heading}:\n{held}");
            // To wait for one's turn is no failure.
            pieces.push(if heading == WITHIN_LIMITS { out(text) } else { Piece::Err(text) });
        }
    }
    match (succeeded.is_empty(), failed.is_empty()) {
        (true, true) => {
            pieces.push(out(format!("No {noun}s were attempted.\n")));
            if hooks_named {
                pieces.push(out("No hooks were run.\n".to_owned()));
            }
        }
        // The blank before the end of the line is certbot's, and scripts compare it.
        (false, true) => pieces.push(out(format!("Congratulations, all {noun}s succeeded: \n{succeeded}"))),
        (true, false) => pieces.push(Piece::Err(format!(
            "All {noun}s failed. The following certificates could not be renewed:\n{failed}"
        ))),
        (false, false) => {
            pieces.push(out(format!("The following {noun}s succeeded:\n{succeeded}\n")));
            pieces.push(Piece::Err(format!("The following {noun}s failed:\n{failed}")));
        }
    }
    if !broken.is_empty() {
        pieces.push(out(format!("\nAdditionally, the following renewal configurations were invalid: \n{broken}")));
    }
    if !unset.is_empty() {
        pieces.push(out(format!("\nAdditionally, the following settings cannot be used:\n{unset}")));
    }
    pieces
}

const AFTER_FAILURES: &str = ", but wait because of earlier failures";
const AS_THE_CA_ASKED: &str = ", but the CA asked to wait";
const AGAINST_LOOPS: &str = ", but wait because they were renewed too often (guard against loops)";
const WITHIN_LIMITS: &str = " and wait for their turn within the CA's limits";
const FOR_OTHER_REASONS: &str = ", but have to wait";

/// The list in which a certificate stands that has to wait.
fn waits_because(by: &HeldBy) -> &'static str {
    match by {
        HeldBy::Failure(_) => AFTER_FAILURES,
        HeldBy::Refusal(Refusal::Hold(_)) => AS_THE_CA_ASKED,
        HeldBy::Refusal(Refusal::LoopGuard { .. }) => AGAINST_LOOPS,
        HeldBy::Refusal(Refusal::Limit { .. }) => WITHIN_LIMITS,
        _ => FOR_OTHER_REASONS,
    }
}

/// The file that the reason begins with.
fn settings_file(reason: &str) -> String {
    let file = reason.split_once(".toml").map_or_else(|| reason.to_owned(), |(path, _)| format!("{path}.toml"));
    escape(&file).into_owned()
}

/// The hooks that failed, and the other targets of a deploy.
pub(crate) fn loose_hooks(runs: &[HookRun]) -> Vec<Piece> {
    let (targets, hooks): (Vec<&HookRun>, Vec<&HookRun>) =
        runs.iter().filter(|run| !run.outcome.success()).partition(|run| run.failure.is_some());
    failed_hooks(&hooks).into_iter().chain(failed_targets(&targets)).collect()
}

fn failed_targets(runs: &[&HookRun]) -> Option<Piece> {
    let line = |run: &&HookRun| {
        let whose = run.lineage.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        Some(format!("  {whose}{}\n", hooks::target_failure(run)?))
    };
    let lines: String = runs.iter().filter_map(line).collect();
    let cure = words::TARGET_CURE;
    (!lines.is_empty()).then(|| Piece::Err(format!("The following deploys failed:\n{lines}What to do: {cure}.\n")))
}

fn failed_hooks(runs: &[&HookRun]) -> Option<Piece> {
    let failed_hooks: Vec<String> = runs
        .iter()
        .map(|hook| {
            let whose = hook.lineage.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
            let stage = hooks::stage(hook.stage);
            format!("  {stage}{whose} {}: {}\n", hooks::ending(&hook.outcome.ending), escape(&hook.command))
        })
        .collect();
    (!failed_hooks.is_empty()).then(|| {
        // Only a deploy hook stays pending.
        let only_around = runs.iter().all(|run| run.stage != HookStage::Deploy);
        let cure = if only_around { words::HOOK_CURE } else { FailureClass::Hook.cure() };
        Piece::Err(format!("The following hooks failed:\n{}What to do: {cure}.\n", failed_hooks.concat()))
    })
}

/// What is wrong besides the lineages: hooks, and deploys that are not done.
pub(crate) fn loose_ends(report: &Report) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = loose_hooks(&report.hooks);
    // A dry run deploys nothing: what waits from before is no result of it.
    let pending = pending(report).filter(|_| !report.dry_run);
    let pending: Vec<String> = pending.map(|(name, target)| format!("  {name}: {target}\n")).collect();
    if !pending.is_empty() {
        pieces.push(Piece::Err(format!(
            "The following are not done yet for the certificate in use, and are tried again at the next run:\n{}",
            pending.concat()
        )));
    }
    if report.stopped.is_some() {
        pieces.push(Piece::Err("The run was stopped; everything was cleaned up. Run again to go on.\n".to_owned()));
    }
    pieces
}

/// certbot's last line, when something failed.
fn counts(report: &Report) -> Option<Piece> {
    let count = |wanted: fn(&Outcome) -> bool| report.entries.iter().filter(|entry| wanted(&entry.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed { .. }));
    let broken = count(|outcome| matches!(outcome, Outcome::Broken { .. }));
    let hooks = report.hooks.iter().filter(|hook| !hook.outcome.success()).count();
    if failures + broken + hooks == 0 {
        return None;
    }
    let hooks = if hooks == 0 { String::new() } else { format!(", {hooks} hook failure(s)") };
    Some(Piece::Err(format!("{failures} renew failure(s), {broken} parse failure(s){hooks}\n")))
}

/// A finding of an attempt, while it goes on. It is about a certificate that is not as it was asked for, so that even a
/// quiet run tells it, unless it is only worth knowing.
pub(crate) fn tell_at_once(finding: &Finding, ui: &Ui) {
    let text = finding_words(finding);
    match finding.severity {
        Severity::Notice => ui.status(&text),
        Severity::Warning if !ui.voice().quiet => ui.warning(&text),
        _ => ui.failure(&format!("{text}\n")),
    }
    ui.remember_told(&text);
}

/// A cure of more bytes is told once: these are three lines of a terminal, too many to read again for each certificate.
const LONG_CURE: usize = 200;

/// Findings go to stderr, those that are errors even when it is to be quiet. What was told when it happened is left out.
pub(crate) fn tell_findings(findings: &[Finding], ui: &Ui) {
    let mut cured: BTreeMap<&str, &str> = BTreeMap::new();
    // The addresses of one certificate that are cured alike are told at once.
    for alike in findings.chunk_by(is_cured_alike) {
        let Some((finding, others)) = alike.split_first() else { continue };
        let what: Vec<String> = others.iter().map(|other| format!("; {}", other.evidence)).collect();
        let cure = match cured.get(finding.cure()).filter(|first| ***first != *finding.subject) {
            // What is wrong with a whole tree is told in full once.
            Some(first) => format!("the same as for {first}"),
            None => words::cure_for(finding.cure(), &finding.subject),
        };
        if finding.cure().len() > LONG_CURE && !finding.cure().contains("NAME") {
            cured.entry(finding.cure()).or_insert(&finding.subject);
        }
        let text = format!("{}: {}{}. What to do: {cure}.", finding.subject, finding.what(), what.concat());
        if ui.take_told(&text) {
            continue;
        }
        match finding.severity {
            _ if announces_a_failure(finding) => ui.failure(&format!("{text}\n")),
            Severity::Warning => ui.warning(&text),
            // What was changed in the tree is told, although nothing is left to do.
            _ if finding.code == FindingCode::PutRight => {
                ui.status(&format!("{}: {}{}.", finding.subject, finding.what(), what.concat()));
            }
            _ => ui.detail(&text),
        }
    }
}

fn is_cured_alike(one: &Finding, other: &Finding) -> bool {
    let is_about_an_address = matches!(one.code, FindingCode::NotServed | FindingCode::ServedWrongly);
    is_about_an_address && one.code == other.code && one.subject == other.subject && one.cure() == other.cure()
}

/// A finding in a log that is read by nobody in particular; none for what is only worth knowing.
pub(crate) fn finding(finding: &Finding) -> Option<Piece> {
    match finding.severity {
        _ if announces_a_failure(finding) => Some(Piece::Err(format!("{}\n", finding_words(finding)))),
        Severity::Warning => Some(Piece::Out(format!("{}\n", finding_words(finding)))),
        _ => None,
    }
}

/// It is told even when all is well now.
fn announces_a_failure(finding: &Finding) -> bool {
    finding.severity == Severity::Error || finding.code == FindingCode::AuthenticatorUnsupported
}

fn finding_words(finding: &Finding) -> String {
    let cure = words::cure_for(finding.cure(), &finding.subject);
    format!("{}: {}. What to do: {cure}.", finding.subject, finding.what())
}

fn broken(entry: &ReportEntry, reason: &str, cure: &str) -> Piece {
    Piece::Err(format!(
        "Renewal configuration file {} is broken.\nThe error was: {}\nSkipping.\nWhat to do: {cure}.\n",
        shown(&entry.conf_path),
        escape(reason),
    ))
}

/// What to do about a lineage that cannot be used.
fn broken_cure(reason: &str, hindrance: Option<Hindrance>, found: Option<&str>, name: &str) -> String {
    words::cure_for(found.unwrap_or_else(|| words::broken_cure(reason, hindrance)), name)
}

fn list(report: &Report, word: &str, line: impl Fn(&ReportEntry) -> Option<String>) -> String {
    report.entries.iter().filter_map(line).map(|line| format!("  {line} ({word})\n")).collect()
}

fn subject(entry: &ReportEntry) -> String {
    entry.fullchain.as_deref().map_or_else(|| escape(&entry.name).into_owned(), shown)
}

fn pending(report: &Report) -> impl Iterator<Item = (&str, String)> {
    report
        .entries
        .iter()
        .flat_map(|entry| entry.deploy_pending.iter().map(|target| (entry.name.as_str(), words::deploy_target(target))))
}

/// Where something else than the certificate in use is served although it counts. For people it stands in the findings.
fn not_served(report: &Report) -> impl Iterator<Item = (&str, String)> {
    let of = |entry: &'_ ReportEntry| {
        entry.not_served.iter().map(|line| format!("not served yet: {line}")).collect::<Vec<_>>()
    };
    report.entries.iter().flat_map(move |entry| of(entry).into_iter().map(|line| (entry.name.as_str(), line)))
}

/// A failure's class as a word for machines.
pub(crate) fn class_code(class: FailureClass) -> String {
    serde_json::to_value(class).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// certbot's text for a certificate that was obtained.
pub(crate) fn received(fullchain: &Path, privkey: &Path, not_after: chrono::DateTime<chrono::Utc>) -> String {
    format!(
        "\nSuccessfully received certificate.\nCertificate is saved at: {}\nKey is saved at:         {}\nThis certificate expires on {}.\nThese files will be updated when the certificate renews.\n\nNEXT STEPS:\n- The certificate will need to be renewed before it expires: run `certkit renew` regularly, for example twice a day from cron.\n",
        shown(fullchain),
        shown(privkey),
        date(not_after)
    )
}

#[cfg(test)]
mod tests;
