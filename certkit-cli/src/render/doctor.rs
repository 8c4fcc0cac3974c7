//! What `certkit doctor` shows: problems first, then what was not looked at, then a count of what is well.

use std::fmt::Write as _;

use certkit_acme::renewal::{Examinations, ExaminedProblem, NotChecked};
use certkit_core::Severity;
use serde_json::{Value, json};

use super::json_time;
use super::lines::{cure_field, field, wrapped};

/// A list of certificates is cut here; `--json` has all of it.
pub(super) const MOST_NAMED: usize = 10;
/// Below the cure of what several certificates have.
pub(super) const FOR_EACH: &str = "              (NAME stands for each of these certificates)\n";
/// And one of what was not looked at here.
const MOST_NOT_CHECKED: usize = 3;

/// For people.
pub(crate) fn text(examinations: &Examinations) -> String {
    let (problems, not_checked) = (examinations.problems(), examinations.not_checked());
    let mut text: String = problems.iter().map(|problem| problem_text(problem) + "\n").collect();
    if !not_checked.is_empty() {
        text.push_str("Not checked:\n");
        text.extend(not_checked.iter().map(not_checked_text));
        text.push('\n');
    }
    text.push_str(&wrapped("", &summary(&problems, &not_checked, examinations.fine()), 0));
    text
}

/// For programs.
pub(crate) fn json(examinations: &Examinations) -> Value {
    let problem = |problem: &ExaminedProblem| {
        let finding = &problem.finding;
        json!({
            "code": finding.code,
            "severity": finding.severity,
            "certificates": problem.certificates,
            "subject": finding.subject,
            "subjects": problem.subjects,
            "what": finding.code.what(),
            "evidence": finding.evidence,
            "why": finding.why(),
            "cure": problem.cure(),
            "for_each_certificate": problem.is_for_each(),
        })
    };
    let not_checked =
        |one: &NotChecked| json!({ "what": one.check.title(), "subjects": one.subjects, "because": one.because });
    json!({
        "schema": 1,
        "now": json_time(examinations.now),
        "problems": examinations.problems().iter().map(problem).collect::<Vec<_>>(),
        "not_checked": examinations.not_checked().iter().map(not_checked).collect::<Vec<_>>(),
        "fine": examinations.fine(),
    })
}

fn problem_text(problem: &ExaminedProblem) -> String {
    let finding = &problem.finding;
    let mut text = wrapped("", &format!("{}: {}", severity(finding.severity), finding.what()), 2);
    // What is about the certificate as a whole says where by its name alone.
    let is_elsewhere = problem.subjects.iter().any(|subject| !problem.certificates.contains(subject));
    if is_elsewhere {
        text.push_str(&field("Where", &list(&problem.subjects, MOST_NAMED)));
    }
    if !problem.certificates.is_empty() {
        text.push_str(&field("For", &list(&problem.certificates, MOST_NAMED)));
    }
    text.push_str(&field("Why", finding.why()));
    text.push_str(&cure_field("To do", &problem.cure()));
    if problem.is_for_each() {
        text.push_str(FOR_EACH);
    }
    text
}

fn not_checked_text(one: &NotChecked) -> String {
    wrapped(
        "  ",
        &format!("{}: {}; because: {}", one.check.title(), list(&one.subjects, MOST_NOT_CHECKED), one.because),
        4,
    )
}

pub(super) fn list(names: &[String], most: usize) -> String {
    let mut text = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > most {
        // Writing to a String never fails.
        let _ = write!(text, " and {} more", names.len() - most);
    }
    text
}

/// A severity at the head of a problem.
pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        _ => "Notice",
    }
}

/// `1 error, 2 warnings; 3 things were not checked; 40 checks found nothing wrong.`
fn summary(problems: &[ExaminedProblem], not_checked: &[NotChecked], fine: usize) -> String {
    let mut parts = vec![counted(problems.iter().map(|problem| problem.finding.severity))];
    if !not_checked.is_empty() {
        let were = if not_checked.len() == 1 { "was" } else { "were" };
        parts.push(format!("{} {were} not checked", plural(not_checked.len(), "thing")));
    }
    parts.push(format!("{} found nothing wrong", plural(fine, "check")));
    format!("{}.", parts.join("; "))
}

/// `1 error, 2 warnings`, or that there is nothing to count.
pub(super) fn counted(severities: impl Iterator<Item = Severity> + Clone) -> String {
    let count = |wanted: Severity| severities.clone().filter(|severity| *severity == wanted).count();
    let all = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Notice, "notice")];
    let all = all.map(|(severity, word)| (count(severity), word)).into_iter().filter(|(count, _)| *count > 0);
    let found: Vec<String> = all.map(|(count, word)| plural(count, word)).collect();
    if found.is_empty() { "Nothing is wrong".to_owned() } else { found.join(", ") }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
