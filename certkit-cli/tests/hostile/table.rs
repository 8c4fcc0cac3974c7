//! docs/hostile-authorities.md holds the cases as they are.

use std::collections::BTreeSet;

use crate::case::{Case, Ends};
use crate::{advice, certificates, first, flow, json, nonces, refusals, tokens, transport};

#[test]
fn the_document_ends_with_the_cases() {
    let document = std::fs::read_to_string(testkit::workspace().join("docs/hostile-authorities.md")).unwrap();
    let tables = sections().map(|(heading, cases)| {
        format!("\n## {heading}\n\n| The CA … | Source | What comes of it |\n|---|---|---|\n{}", table(&cases))
    });
    let tables = tables.concat();
    assert!(document.ends_with(&tables), "docs/hostile-authorities.md has to end with:\n{tables}");
}

fn sections() -> [(&'static str, Vec<Case>); 8] {
    [
        ("Connections", transport::cases()),
        ("Documents", json::cases()),
        ("Nonces", nonces::cases()),
        ("Accounts, orders and refusals", [flow::cases(), refusals::cases()].into_iter().flatten().collect()),
        ("Tokens and texts", tokens::cases()),
        ("Certificates", certificates::cases()),
        ("Renewal information", advice::cases()),
        ("A first certificate", first::cases()),
    ]
}

/// A row for each that is said to be done, with the first variant's answer.
fn table(cases: &[Case]) -> String {
    let mut seen = BTreeSet::new();
    let rows = cases.iter().filter(|case| seen.insert(&case.does)).map(|case| {
        let answer = match case.ends {
            Ends::Renewed if case.setup.first.is_some() => "the certificate is obtained".to_owned(),
            Ends::Renewed => "the certificate is renewed".to_owned(),
            Ends::NotDue => "the certificate is not due".to_owned(),
            Ends::Unregistered => with_words("no account", case),
            Ends::Failed(class) => with_words(&format!("`{class}`"), case),
        };
        format!("| {} | {} | {answer} |\n", case.does, case.source)
    });
    rows.collect()
}

fn with_words(end: &str, case: &Case) -> String {
    match case.says.first().map(String::as_str) {
        // The test looks for where it was; there is nothing to read in that.
        Some("https://127.0.0.1") | None => end.to_owned(),
        Some(says) => format!("{end}: “{says}”"),
    }
}
