//! Files of a version that are empty, lost or do not belong together.

use super::*;

#[test]
fn the_file_that_a_full_disk_left_empty_is_made_anew_from_the_others() {
    for kind in [Kind::Fullchain, Kind::Cert, Kind::Chain] {
        // certbot links it and calls that a success. There is no other version.
        let dir = laid(&["v2"]);
        fs::write(archive(dir.path(), kind, 1), "").unwrap();
        chmod(archive(dir.path(), kind, 1), 0o640);
        assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LiveVersionDamaged, true)], "{kind:?}");
        let report = repair(dir.path());
        assert_eq!(whole_version(dir.path(), &name()), (Version(1), chain("v2").leaf), "{kind:?}");
        assert_eq!(mode(archive(dir.path(), kind, 1)), 0o640);
        let file = format!("archive/a.example.org/{}", kind.archive_file(Version(1)));
        assert_eq!(fs::read(saved(&report, &file)).unwrap(), b"", "what was there is saved");
        // Whoever could not load it has to look again.
        assert_eq!(report.made_live, [(name(), Version(1))]);
        let hooks = lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
        assert_eq!(hooks[0].made_live, Some(Version(1)));
    }
    // The same where the file is gone.
    let dir = laid(&["v2"]);
    fs::remove_file(archive(dir.path(), Kind::Fullchain, 1)).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::BrokenLineage, true)]);
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(1));
}

#[test]
fn a_new_version_that_certbot_would_have_lost_to_a_full_disk_goes_live() {
    for (file, content) in [(Kind::Fullchain, Some("")), (Kind::Fullchain, None), (Kind::Cert, Some("-----BEG"))] {
        let dir = laid(&["v1", "v2"]);
        write_version(dir.path(), &name(), 3, "v3");
        match content {
            Some(content) => fs::write(archive(dir.path(), file, 3), content).unwrap(),
            None => fs::remove_file(archive(dir.path(), file, 3)).unwrap(),
        }
        let report = repair(dir.path());
        assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v3").leaf));
        assert_eq!(report.repaired[0].finding.code, FindingCode::NewerVersionNotLive);
        assert_eq!(report.made_live, [(name(), Version(3))]);
    }
}

#[test]
fn a_key_is_found_among_the_versions_only_when_it_belongs_to_the_certificate() {
    // certbot's --reuse-key: version 2 has the key of version 1.
    let dir = laid(&["v2", "v2"]);
    fs::write(archive(dir.path(), Kind::Privkey, 2), "").unwrap();
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    assert_eq!(fs::read_to_string(archive(dir.path(), Kind::Privkey, 2)).unwrap(), data("v2.key.pem"));
    // No key fits: nothing is made live that no server could load, and nothing is touched.
    let dir = laid(&["v2"]);
    fs::write(archive(dir.path(), Kind::Privkey, 1), data("v3.key.pem")).unwrap();
    let before = snapshot(dir.path());
    let diagnoses = diagnose(dir.path());
    assert_eq!(told(&diagnoses), [(FindingCode::LiveVersionDamaged, false)]);
    assert!(diagnoses[0].finding.cure().contains("certkit delete --cert-name"), "{diagnoses:?}");
    let report = repair(dir.path());
    assert!(!report.is_success());
    let touched: Vec<_> =
        snapshot(dir.path()).into_iter().filter(|one| !before.contains(one)).map(|one| one.0).collect();
    assert!(
        touched.iter().all(|path| path.ends_with("work") || path.ends_with("logs") || path.ends_with(".certbot.lock")),
        "{touched:?}"
    );
}

#[test]
fn what_is_sent_to_clients_decides_where_files_disagree() {
    let dir = laid(&["v2"]);
    // The key belongs to what fullchain.pem says, which most servers send, and not to what cert.pem says.
    fs::write(archive(dir.path(), Kind::Cert, 1), data("v3.cert.pem")).unwrap();
    repair(dir.path());
    assert_eq!(fs::read_to_string(archive(dir.path(), Kind::Cert, 1)).unwrap(), data("v2.cert.pem"));
    assert_eq!(whole_version(dir.path(), &name()), (Version(1), chain("v2").leaf));
    // A chain that its owner completed by hand goes on being sent.
    let dir = laid(&["v2"]);
    let completed = data("v2.cert.pem") + &data("intermediate.pem") + &data("root.pem");
    fs::write(archive(dir.path(), Kind::Fullchain, 1), &completed).unwrap();
    repair(dir.path());
    assert_eq!(fs::read_to_string(archive(dir.path(), Kind::Fullchain, 1)).unwrap(), completed);
    let issuers = data("intermediate.pem") + &data("root.pem");
    assert_eq!(fs::read_to_string(archive(dir.path(), Kind::Chain, 1)).unwrap(), issuers);
}

#[test]
fn a_line_end_that_is_missing_does_not_run_two_certificates_together() {
    let file = |dir: &tempfile::TempDir, kind| archive(dir.path(), kind, 1);
    let (cert, issuer) = (data("v2.cert.pem"), data("intermediate.pem"));
    let glued = format!("{}{issuer}", cert.trim_end());
    // OpenSSL reads cert.pem without its last line end, and no line with two certificates in it.
    for (cert_now, fullchain) in [
        (cert.trim_end(), String::new()),
        (cert.trim_end(), glued.clone()),
        (cert.as_str(), glued.clone()),
        ("", glued),
    ] {
        let dir = laid(&["v2"]);
        fs::write(file(&dir, Kind::Cert), cert_now).unwrap();
        fs::write(file(&dir, Kind::Fullchain), &fullchain).unwrap();
        let report = repair(dir.path());
        assert!(report.is_success(), "{report:#?}");
        assert_eq!(fs::read_to_string(file(&dir, Kind::Fullchain)).unwrap(), format!("{cert}{issuer}"));
        assert_eq!(fs::read_to_string(file(&dir, Kind::Cert)).unwrap(), cert);
    }
    // Among issuers as well; and a version that no server could load does not go live.
    let dir = laid(&["v1", "v2"]);
    let issuers = format!("{}{}", issuer.trim_end(), data("root.pem"));
    fs::write(archive(dir.path(), Kind::Chain, 2), &issuers).unwrap();
    fs::write(archive(dir.path(), Kind::Fullchain, 2), format!("{cert}{issuers}")).unwrap();
    point_links(dir.path(), &name(), 1);
    let recovered = lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
    assert!(recovered.iter().all(|one| one.made_live.is_none()), "{recovered:?}");
    repair(dir.path());
    let fullchain = fs::read_to_string(live(dir.path(), Kind::Fullchain)).unwrap();
    assert_eq!(fullchain, format!("{cert}{issuer}{}", data("root.pem")));
}
