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

/// The first table of the document: each thing that is tried, with rows of the other tables and tests that are there.
#[test]
fn the_document_names_rows_and_tests_that_are_there() {
    let document = std::fs::read_to_string(testkit::workspace().join("docs/hostile-authorities.md")).unwrap();
    let cases: BTreeSet<String> = sections().into_iter().flat_map(|(_, cases)| cases).map(|case| case.does).collect();
    let (_, tried) = document.split_once("\n## What is tried\n").unwrap();
    let (tried, _) = tried.split_once("\n## ").unwrap();
    let (mut numbers, mut named) = (Vec::new(), BTreeSet::new());
    for row in tried.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")) {
        let [_, number, what, rows, tests, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not four columns: {row}");
        };
        numbers.push(number.parse::<usize>().unwrap());
        assert!(!what.is_empty(), "{row}");
        let rows: Vec<_> = rows.split("; ").map(|row| row.trim_matches(['“', '”'])).collect();
        for case in &rows {
            assert!(cases.contains(*case), "number {number}: no case is “{case}”");
        }
        named.extend(rows.into_iter().map(str::to_owned));
        let tests: Vec<_> = tests.split(", ").map(|test| test.trim_matches('`')).collect();
        for test in tests {
            assert!(is_a_test(test), "number {number}: there is no test {test}");
        }
    }
    assert_eq!(numbers, (1..=65).collect::<Vec<_>>());
    // What is not named goes beyond it.
    assert!(named.len() >= 90, "{} rows are named", named.len());
}

/// Whether `module::name` is a test of this folder.
fn is_a_test(path: &str) -> bool {
    let (module, name) = path.split_once("::").unwrap_or_else(|| panic!("not a test: {path}"));
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hostile/{module}.rs"));
    let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    source.contains(&format!("#[test]\nfn {name}() {{"))
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
