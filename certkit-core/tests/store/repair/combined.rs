//! Files of certificates into which their owner has put the key, as HAProxy wants it: they serve as they are, and no file that
//! everybody may read is made of the key in them.

use super::*;

/// The key goes into a file of certificates of version 2, which only its owner may read.
fn combine(dir: &Path, kind: Kind, is_first: bool) {
    let path = archive(dir, kind, 2);
    let (text, key) = (fs::read_to_string(&path).unwrap(), data("v2.key.pem"));
    fs::write(&path, if is_first { key + &text } else { text + &key }).unwrap();
    chmod(&path, 0o600);
}

#[test]
fn a_key_beside_certificates_is_told_and_stays() {
    for kind in [Kind::Fullchain, Kind::Chain, Kind::Cert] {
        for is_first in [false, true] {
            let dir = laid(&["v1", "v2"]);
            combine(dir.path(), kind, is_first);
            let before = fs::read(archive(dir.path(), kind, 2)).unwrap();
            let report = repair(dir.path());
            assert_eq!(told(&report.left), [(FindingCode::KeyBesideCertificates, false)], "{kind:?}, {is_first}");
            assert_eq!(report.left[0].finding.severity, Severity::Notice);
            assert!(report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
            assert_eq!(fs::read(archive(dir.path(), kind, 2)).unwrap(), before);
        }
    }
    // Where everybody may read it, that comes first.
    let dir = laid(&["v1", "v2"]);
    combine(dir.path(), Kind::Fullchain, false);
    chmod(archive(dir.path(), Kind::Fullchain, 2), 0o644);
    let [one] = diagnose(dir.path()).try_into().unwrap();
    assert_eq!((one.finding.code, one.finding.severity), (FindingCode::KeyBesideCertificates, Severity::Warning));
    let cure = format!("chmod o-rwx {}; then", archive(dir.path(), Kind::Fullchain, 2).display());
    assert!(one.finding.cure().starts_with(&cure), "{}", one.finding.cure());
}

#[test]
fn what_is_made_of_a_file_with_a_key_in_it_holds_certificates_alone() {
    for damaged in [Kind::Cert, Kind::Chain, Kind::Fullchain] {
        for is_first in [false, true] {
            for content in [None, Some(""), Some("-----BEG")] {
                let dir = laid(&["v1", "v2"]);
                for kind in [Kind::Cert, Kind::Chain, Kind::Fullchain].into_iter().filter(|kind| *kind != damaged) {
                    combine(dir.path(), kind, is_first);
                }
                let path = archive(dir.path(), damaged, 2);
                match content {
                    Some(content) => fs::write(&path, content).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let report = repair(dir.path());
                assert_eq!(
                    report.made_live,
                    [(name(), Version(2))],
                    "{damaged:?}, {is_first}, {content:?}: {report:#?}"
                );
                let made = fs::read_to_string(&path).unwrap();
                assert!(made.contains("BEGIN CERTIFICATE") && !made.contains("PRIVATE KEY"), "{made}");
            }
        }
    }
}

#[test]
fn copies_with_a_key_in_fullchain_become_versions_without_it() {
    let dir = laid(&["v1"]);
    for kind in Kind::ALL {
        fs::remove_file(live(dir.path(), kind)).unwrap();
        write_version(dir.path(), &name(), 2, "v2");
    }
    combine(dir.path(), Kind::Fullchain, false);
    for kind in Kind::ALL {
        fs::rename(archive(dir.path(), kind, 2), live(dir.path(), kind)).unwrap();
    }
    let report = repair(dir.path());
    assert_eq!(report.made_live, [(name(), Version(2))], "{report:#?}");
    assert_eq!(whole_version(dir.path(), &name()), (Version(2), chain("v2").leaf));
}

#[test]
fn what_servers_load_is_not_called_damaged_because_certbot_compares_letters() {
    type Change = fn(&str) -> String;
    let changes: &[(&str, Change)] = &[
        ("line ends", |text| text.replace('\n', "\r\n")),
        ("a mark of the order of bytes", |text| format!("\u{feff}{text}")),
        ("text before", |text| format!("subject=/CN=a.example.org\n{text}")),
        ("text behind", |text| format!("{text}the end\n")),
    ];
    for (what, change) in changes {
        for kind in [Kind::Fullchain, Kind::Cert, Kind::Chain] {
            let dir = laid(&["v1", "v2"]);
            let path = archive(dir.path(), kind, 2);
            fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
            let [one] = diagnose(dir.path()).try_into().unwrap();
            assert_eq!(
                (one.finding.code, one.finding.severity),
                (FindingCode::FullchainDiffers, Severity::Warning),
                "{what}"
            );
            repair(dir.path());
            assert_eq!(told(&diagnose(dir.path())), [(FindingCode::DeployPending, false)], "{what}");
            assert_eq!(whole_version(dir.path(), &name()), (Version(2), chain("v2").leaf), "{what}");
        }
    }
    // What they do not load is an error all the same.
    let dir = laid(&["v1", "v2"]);
    let path = archive(dir.path(), Kind::Fullchain, 2);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace('\n', "\r")).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LiveVersionDamaged, true)]);
}

#[test]
fn a_key_that_nobody_takes_for_one_is_not_carried_along_either() {
    type Writing = fn(&str) -> String;
    let writings: &[(&str, Writing)] = &[
        ("no lines around it", |key| key.lines().filter(|line| !line.starts_with("-----")).collect::<String>() + "\n"),
        ("two blanks", |key| key.replace("PRIVATE KEY", " PRIVATE  KEY")),
        ("small letters", |key| {
            key.lines()
                .map(|line| if line.starts_with('-') { line.to_lowercase() } else { line.into() } + "\n")
                .collect()
        }),
        ("another label", |key| key.replace("PRIVATE KEY", "PARAMETERS")),
        ("within a block", |key| format!("-----BEGIN CERTIFICATE-----\n{key}")),
    ];
    for (how, write) in writings {
        for place in [Kind::Fullchain, Kind::Chain, Kind::Cert] {
            for damaged in [None, Some(Kind::Chain), Some(Kind::Cert), Some(Kind::Fullchain)] {
                let dir = laid(&["v1", "v2"]);
                let path = archive(dir.path(), place, 2);
                let text = fs::read_to_string(&path).unwrap() + &write(&data("v2.key.pem"));
                fs::write(&path, text).unwrap();
                chmod(&path, 0o600);
                if let Some(damaged) = damaged {
                    fs::write(archive(dir.path(), damaged, 2), "").unwrap();
                    chmod(archive(dir.path(), damaged, 2), 0o644);
                }
                let report = lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
                let body = data("v2.key.pem").lines().nth(1).unwrap().to_owned();
                for file in walk(dir.path()).iter().filter(|file| file.is_file() && !file.is_symlink()) {
                    let holds = fs::read_to_string(file).is_ok_and(|text| text.contains(&body));
                    assert!(
                        !holds || mode(file) & 0o077 == 0,
                        "{how}, {place:?}, {damaged:?}: {}: {report:#?}",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn parameters_beside_certificates_stay_where_a_server_looks_for_them() {
    let dir = laid(&["v1", "v2"]);
    let path = archive(dir.path(), Kind::Fullchain, 2);
    let text = fs::read_to_string(&path).unwrap()
        + "-----BEGIN DH PARAMETERS-----\nMAYCAQMCAQI=\n-----END DH PARAMETERS-----\n";
    fs::write(&path, &text).unwrap();
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::FullchainDiffers, false)], "{report:#?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_chain_behind_the_certificate_in_cert_is_no_damage() {
    let dir = laid(&["v1", "v2"]);
    fs::copy(archive(dir.path(), Kind::Fullchain, 2), archive(dir.path(), Kind::Cert, 2)).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::FullchainDiffers, true)]);
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()), (Version(2), chain("v2").leaf));
}
