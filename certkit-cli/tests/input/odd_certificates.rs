//! The odd certificates of other projects (certkit-core/tests/data/odd-certificates/README.md), through the binary.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::{MOST_PROCESSOR_TIME, Run, inspect};

/// Where certkit decides otherwise than both other readers: file, and why. Nothing may stand here that could be mended.
const OTHERWISE: &[(&str, &str)] = &[];

#[test]
fn what_two_other_readers_agree_on_is_read_the_same() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../certkit-core/tests/data/odd-certificates");
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let (mut facts, mut refused, mut divergent) = (0, 0, Vec::new());
    let (mut files, mut total) = (0, Duration::ZERO);
    for line in manifest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let name = line["file"].as_str().unwrap();
        let run = inspect(&folder.join("files").join(name));
        files += 1;
        total += run.processor_time;
        assert!(run.processor_time <= MOST_PROCESSOR_TIME, "{name}: {:?}", run.processor_time);
        assert!(run.status <= 1, "{name}: {run:?}");
        let expected = line["certificates"].as_array().unwrap();
        match differences(&run, expected, line["kind"].as_str().unwrap()) {
            Ok((same, without)) => {
                facts += same;
                refused += without;
            }
            Err(what) => divergent.push(format!("{name}: {what}")),
        }
    }
    let unexpected: Vec<_> =
        divergent.iter().filter(|what| !OTHERWISE.iter().any(|(file, _)| what.starts_with(file))).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for (file, why) in OTHERWISE {
        assert!(divergent.iter().any(|what| what.starts_with(file)), "{file} agrees now, although {why}");
    }
    assert!(facts > 2_000 && refused > 50 && files > 400, "{facts} facts, {refused} refusals, {files} files");
    assert!(total <= files * MOST_PROCESSOR_TIME, "{total:?}");
}

/// How many facts are the same and how many blocks were refused, or what is different.
fn differences(run: &Run, expected: &[Value], kind: &str) -> Result<(usize, usize), String> {
    let document = run.json();
    let found = document["certificates"].as_array().unwrap();
    let problems = document["problems"].as_array().unwrap();
    let of = |verdict: &'static str| expected.iter().filter(move |one| one["verdict"] == verdict);
    let mut facts = 0;
    for one in of("accept") {
        let sure = one["sure"].as_object().unwrap();
        let same = |certificate: &&Value| sure.iter().all(|(fact, value)| is_same(certificate, fact, value));
        if !found.iter().any(|certificate| same(&certificate)) {
            let serial = &sure["serial_hex"];
            let nearest = found.iter().find(|certificate| certificate["serial"] == *serial);
            return Err(format!("expected {sure:?}, found {nearest:?}, problems {problems:?}"));
        }
        facts += sure.len();
    }
    let (accepted, disputed, rejected) = (of("accept").count(), of("disputed").count(), of("reject").count());
    if found.len() < accepted || found.len() > accepted + disputed {
        return Err(format!("{} certificates instead of {accepted}", found.len()));
    }
    // A private key is no certificate to the others, and no problem to us.
    if rejected > 0 && problems.is_empty() && !kind.contains("key") {
        return Err("what both refuse is no problem".to_owned());
    }
    if problems.iter().any(|problem| problem["what"].as_str().is_none_or(str::is_empty)) {
        return Err("a problem without words".to_owned());
    }
    Ok((facts, rejected))
}

fn is_same(certificate: &Value, fact: &str, value: &Value) -> bool {
    match fact {
        "serial_hex" => certificate["serial"] == *value,
        "aki_keyid_hex" => certificate["aki_keyid"] == *value,
        // Mail addresses and URIs are not shown.
        "san_email" | "san_uri" => true,
        _ => certificate[fact] == *value,
    }
}
