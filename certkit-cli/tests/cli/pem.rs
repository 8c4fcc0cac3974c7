//! Files that are written oddly: what servers do not load is told, and nothing else. OpenSSL, with which nearly every server
//! reads them, is asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::LineagePaths;
use testkit::process::require_program;

use crate::support::Place;

/// How many certificates OpenSSL finds in a file, and whether it loads the key.
fn openssl_loads(paths: &LineagePaths) -> bool {
    let run = |arguments: &[&str], file: &Path| {
        let output = Command::new(require_program("openssl")).args(arguments).arg(file).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, found) = run(&["storeutl", "-noout", "-certs"], &paths.live.join("fullchain.pem"));
    let (key, _) = run(&["pkey", "-noout", "-in"], &paths.live.join("privkey.pem"));
    let (cert, _) = run(&["x509", "-noout", "-in"], &paths.live.join("cert.pem"));
    found.contains("Total found: 2") && key && cert
}

fn codes(document: &Value) -> Vec<String> {
    let problems = document["problems"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    problems.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

/// Rewrites files of the version in use.
fn rewrite(paths: &LineagePaths, kinds: &[&str], change: impl Fn(&str) -> String) {
    for kind in kinds {
        let path = paths.archive.join(format!("{kind}1.pem"));
        fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
    }
}

/// cert, chain, and both as fullchain.
fn rewrite_certificates(paths: &LineagePaths, change: impl Fn(&str) -> String) {
    rewrite(paths, &["cert", "chain"], change);
    let read = |kind: &str| fs::read_to_string(paths.archive.join(format!("{kind}1.pem"))).unwrap();
    fs::write(paths.archive.join("fullchain1.pem"), read("cert") + &read("chain")).unwrap();
}

type Change = fn(&str) -> String;

const CHANGES: &[(&str, Change)] = &[
    ("as certbot writes it", str::to_owned),
    ("CRLF", |text| text.replace('\n', "\r\n")),
    ("a lone CR", |text| text.replace('\n', "\r")),
    ("a byte order mark", |text| format!("\u{feff}{text}")),
    ("no last line end", |text| text.trim_end().to_owned()),
    ("blanks behind lines", |text| text.replace('\n', " \t\n")),
    ("a form feed behind lines", |text| text.replace('\n', "\u{c}\n")),
    ("blanks before END", |text| text.replace("-----END", "  -----END")),
    ("blanks before BEGIN", |text| text.replace("-----BEGIN", "  -----BEGIN")),
    ("blanks before lines", |text| {
        text.replace('\n', "\n ").replace("\n -----END", "\n-----END").trim_end_matches(' ').to_owned()
    }),
    ("blank lines before and behind", |text| format!("\n\n{text}\n\n")),
    ("a blank line within", |text| {
        let middle = text.match_indices('\n').nth(3).unwrap().0;
        format!("{}\n{}", &text[..=middle], &text[middle + 1..])
    }),
    ("a blank line behind BEGIN", |text| text.replacen("-----\n", "-----\n\n", 1)),
    ("a comment before", |text| format!("# what this is\nsubject=CN = x\n{text}")),
    ("a comment behind END", |text| text.to_owned() + "# the end\n"),
    ("text in the line of END", |text| text.trim_end().to_owned() + " # the end\n"),
    ("text before BEGIN in its line", |text| format!("the certificate: {text}")),
    ("headers", |text| text.replacen("-----\n", "-----\nX-Note: mine\n\n", 1)),
    ("one long line", |text| {
        let lines: Vec<&str> = text.trim_end().split('\n').collect();
        format!("{}\n{}\n{}\n", lines[0], lines[1..lines.len() - 1].concat(), lines[lines.len() - 1])
    }),
    ("lines of 76 characters", |text| {
        let lines: Vec<&str> = text.trim_end().split('\n').collect();
        let body = lines[1..lines.len() - 1].concat();
        let body: Vec<&str> = body.as_bytes().chunks(76).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
        format!("{}\n{}\n{}\n", lines[0], body.join("\n"), lines[lines.len() - 1])
    }),
];

#[test]
fn what_openssl_does_not_load_is_told_and_repaired_and_what_it_loads_is_not() {
    let place = Place::new();
    let mut refused = 0;
    for (number, (what, change)) in CHANGES.iter().enumerate() {
        for of_key in [false, true] {
            let name = format!("n{number}-{of_key}.example");
            let paths = place.tree.lineage(&name).write();
            let whole = fs::read(paths.archive.join("fullchain1.pem")).unwrap();
            let key = fs::read(paths.archive.join("privkey1.pem")).unwrap();
            if of_key {
                rewrite(&paths, &["privkey"], change);
            } else {
                rewrite_certificates(&paths, change);
            }
            let loads = openssl_loads(&paths);
            let listed = place.run(&["certificates", "--cert-name", &name, "--json"]).json();
            let text = listed.to_string();
            let is_told =
                text.contains("\"pem-refused\"") || text.contains("\"valid\":false") || text.contains("\"broken\":{");
            assert_eq!(is_told, !loads, "{what}, of the key: {of_key}\n{listed:#}");
            let fsck = place.run(&["fsck", "--cert-name", &name, "--json"]).json();
            let told = codes(&fsck);
            assert_eq!(told.is_empty(), loads, "{what}, of the key: {of_key}: {fsck:#}");
            let check = place.run(&["check", "--no-probe", "--cert-name", &name]);
            assert_eq!(check.status, Some(if loads { 0 } else { 2 }), "{what}, of the key: {of_key}: {check:?}");
            if loads {
                continue;
            }
            refused += 1;
            let repaired = place.run(&["fsck", "--repair", "--cert-name", &name, "--json"]).json();
            let repairable = fsck["problems"].as_array().unwrap().iter().all(|one| !one["repair"].is_null());
            assert!(repairable, "{what}, of the key: {of_key}: {fsck:#}");
            assert!(fsck.to_string().contains("as servers read it"), "{what}, of the key: {of_key}: {fsck:#}");
            assert!(openssl_loads(&paths), "{what}, of the key: {of_key}: {repaired:#}");
            assert_eq!(fs::read(paths.archive.join("fullchain1.pem")).unwrap(), whole, "{what}");
            assert_eq!(fs::read(paths.archive.join("privkey1.pem")).unwrap(), key, "{what}");
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_chain_of_another_ca_is_told_wherever_certificates_are_judged() {
    let place = Place::new();
    let (paths, other) = (place.tree.lineage("a.example").write(), Place::new());
    let stranger = other.tree.lineage("b.example").write();
    let chain = fs::read_to_string(stranger.archive.join("chain1.pem")).unwrap();
    fs::write(paths.archive.join("chain1.pem"), &chain).unwrap();
    let cert = fs::read_to_string(paths.archive.join("cert1.pem")).unwrap();
    fs::write(paths.archive.join("fullchain1.pem"), cert + &chain).unwrap();
    let listed = place.run(&["certificates"]);
    assert!(listed.stdout.contains("INVALID") || listed.stdout.contains("not signed"), "{listed:?}");
    let fsck = place.run(&["fsck", "--json"]).ends_with(1).json();
    assert!(!codes(&fsck).is_empty(), "{fsck:#}");
    let check = place.run(&["check", "--no-probe"]).ends_with(2);
    assert!(check.stdout.starts_with("CERTKIT CRITICAL") && check.stdout.contains("chain"), "{check:?}");
    let doctor = place.run(&["doctor", "--no-network", "--json"]).json();
    assert!(codes(&doctor).iter().any(|code| code == "chain-incomplete"), "{doctor:#}");
}

#[test]
fn a_certificate_signed_with_sha1_is_weak_wherever_certificates_are_judged_and_not_damaged() {
    let place = Place::new();
    let paths = place.tree.lineage("a.example").write();
    let output = Command::new(require_program("openssl"))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-sha1", "-nodes", "-days", "60", "-subj", "/CN=a.example"])
        .args(["-addext", "subjectAltName=DNS:a.example", "-keyout", "privkey1.pem", "-out", "cert1.pem"])
        .current_dir(&paths.archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let cert = fs::read_to_string(paths.archive.join("cert1.pem")).unwrap();
    fs::write(paths.archive.join("chain1.pem"), &cert).unwrap();
    fs::write(paths.archive.join("fullchain1.pem"), cert.repeat(2)).unwrap();
    for command in [&["certificates"][..], &["fsck"], &["doctor", "--no-network"]] {
        let document = place.run(&[command, &["--json"]].concat()).json();
        let told = codes(&document);
        assert!(told.iter().any(|code| code == "weak-signature"), "{command:?}: {document:#}");
        assert!(!told.iter().any(|code| code == "live-version-damaged"), "{command:?}: {document:#}");
    }
    let check = place.run(&["check", "--no-probe"]).ends_with(2);
    assert!(check.stdout.contains("RSA with SHA-1"), "{check:?}");
}
