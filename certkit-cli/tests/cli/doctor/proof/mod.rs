//! Every finding of the doctor, proved: a set-up on which nothing is wrong, of which nothing is said, then one fault, and
//! the one message that names it. What the documentation says the doctor finds is what stands in these tables, and each
//! entry of a table is run.

mod fault;
mod sound;

use std::collections::BTreeSet;
use std::path::Path;

use certkit_core::FindingCode;

use fault::Fault;

/// A module with a table of faults, and the test that proves them.
macro_rules! topics {
    ($($topic:ident: $test:ident,)+) => {
        $(mod $topic;)+

        $(#[test]
        fn $test() {
            fault::prove($topic::FAULTS);
        })+

        /// The faults of all topics.
        const ALL: &[&[Fault]] = &[$($topic::FAULTS),+];
    };
}

topics! {
    accounts: what_is_wrong_with_accounts_is_told_and_nothing_else,
    authority: what_is_wrong_with_the_ca_is_told_and_nothing_else,
    caa: what_caa_records_forbid_is_told_and_nothing_else,
    certificates: what_is_wrong_with_stored_certificates_is_told_and_nothing_else,
    conf: what_confs_and_settings_ask_for_in_vain_is_told_and_nothing_else,
    hooks: hooks_and_targets_that_would_fail_are_told_and_nothing_else,
    keys: who_else_can_read_a_key_is_told_and_nothing_else,
    machine: what_is_wrong_with_the_machine_is_told_and_nothing_else,
    memory: what_is_remembered_of_trouble_is_told_and_nothing_else,
    names: what_is_wrong_with_names_is_told_and_nothing_else,
    port80: what_is_wrong_with_port_80_is_told_and_nothing_else,
    schedule: what_runs_or_does_not_is_told_and_nothing_else,
    tree: what_is_wrong_with_the_tree_is_told_and_nothing_else,
}

fn proved() -> BTreeSet<String> {
    ALL.iter().copied().flatten().map(|fault| code_name(fault.code)).collect()
}

fn code_name(code: FindingCode) -> String {
    serde_json::to_value(code).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn what_the_documentation_says_the_doctor_finds_is_proved_and_the_other_way_round() {
    let documentation = include_str!("../../../../../docs/doctor.md");
    let section = documentation.split("\n## ").find(|section| section.starts_with("What the doctor finds\n"));
    let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), proved());
}

#[test]
fn what_is_said_to_be_seen_before_it_harms_anybody_is_proved() {
    let documentation = include_str!("../../../../../docs/doctor.md");
    let codes: BTreeSet<String> = FindingCode::ALL.iter().map(|code| code_name(*code)).collect();
    let rows = documentation.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let before: Vec<&str> = rows.map(|row| row.split(" | ").nth(2).unwrap()).collect();
    assert_eq!(before.len(), 45);
    for text in before {
        for word in text.split('`').skip(1).step_by(2).filter(|word| codes.contains(*word)) {
            assert!(proved().contains(word), "{word} is not the doctor's: {text}");
        }
    }
}

#[test]
fn what_the_checks_can_find_is_proved() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for (folder, prefix) in [
        ("certkit-acme/src/doctor", ""),
        ("certkit-acme/src/doctor/http_challenge", ""),
        ("certkit-acme/src/doctor/schedule", ""),
        ("certkit-acme/src/renewal", "examin"),
        ("certkit-core/src/store", "audit"),
        ("certkit-core/src/served", "words"),
        ("certkit-core/src/decision/due", "mod"),
    ] {
        let before = files.len();
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap());
        let entries = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        files.extend(entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "rs")));
        assert!(files.len() > before, "nothing is in {folder}");
    }
    let proved: BTreeSet<String> = ALL.iter().copied().flatten().map(|fault| format!("{:?}", fault.code)).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for code in text.split("FindingCode::").skip(1) {
            let code: String = code.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(proved.contains(&code), "{} finds {code}, and no table makes it", file.display());
        }
    }
}
