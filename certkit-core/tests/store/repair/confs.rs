//! Confs that are empty or say too little, and lineages that were only begun.

use super::*;

#[test]
fn an_empty_conf_before_nothing_but_damage_is_moved_away_with_it() {
    let dir = laid(&["v1", "v2"]);
    fs::write(conf(dir.path()), "").unwrap();
    for (kind, version) in Kind::ALL.iter().flat_map(|kind| [(*kind, 1), (*kind, 2)]) {
        fs::write(archive(dir.path(), kind, version), "junk").unwrap();
    }
    let report = repair(dir.path());
    assert!(report.is_success() && !conf(dir.path()).exists(), "{report:#?}");
    assert!(saved(&report, "archive/a.example.org/privkey2.pem").exists());
}

#[test]
fn an_empty_conf_of_a_whole_version_gets_what_is_certain() {
    for content in [&b""[..], b"\0\0\0\0", b"\n \n"] {
        let dir = laid(&["v1", "v2"]);
        fs::write(conf(dir.path()), content).unwrap();
        let report = repair(dir.path());
        assert_eq!(report.repaired[0].finding.code, FindingCode::BrokenLineage);
        // How names are validated is known to nobody but the owner.
        assert_eq!(told(&report.left), [(FindingCode::ConfIncomplete, false)], "{report:#?}");
        assert!(report.left[0].finding.cure().starts_with("certkit reconfigure"));
        let lineage = store(dir.path()).lineage(&name()).unwrap().unwrap();
        assert_eq!(lineage.live_version(), Some(Version(2)));
        assert_eq!(lineage.conf().params().key_type.as_deref(), Some("ecdsa"));
        assert_eq!(lineage.conf().params().server, None);
        assert_eq!(fs::read(saved(&report, "renewal/a.example.org.conf")).unwrap(), content);
    }
}

#[test]
fn an_empty_conf_gets_back_ca_and_account_that_are_remembered() {
    let dir = laid(&["v1", "v2"]);
    let account = lay_account(dir.path(), "acme.example/directory");
    chmod(dir.path().join("accounts"), 0o700);
    chmod(account.join("private_key.json"), 0o400);
    let directory = AcmeUrl::parse("https://acme.example/directory").unwrap();
    let mut state = LineageState::default();
    let committed = Event::Committed {
        version: Version(2),
        not_after: now(),
        directory: Some(directory),
        targets: Vec::new(),
        profile: None,
        left_out: identifiers(&[]),
    };
    state.apply(&committed, now());
    lock(dir.path()).save_state(&name(), &state).unwrap();
    fs::write(conf(dir.path()), "").unwrap();
    repair(dir.path());
    let lineage = store(dir.path()).lineage(&name()).unwrap().unwrap();
    assert_eq!(lineage.conf().params().server.as_deref(), Some("https://acme.example/directory"));
    assert_eq!(lineage.conf().params().account.as_deref(), account.file_name().unwrap().to_str());
}

#[test]
fn a_lineage_that_certbot_had_only_begun_is_moved_away() {
    // certbot makes the empty conf first, then folders, links, and the four files one by one.
    for files in 0..=2 {
        let dir = laid(&["v1"]);
        let other = LineageName::new("b.example.org").unwrap();
        lay_lineage(dir.path(), &other, &["v2"]);
        fs::write(conf(dir.path()), "").unwrap();
        for kind in [Kind::Fullchain, Kind::Chain, Kind::Privkey, Kind::Cert].iter().take(4 - files) {
            fs::remove_file(archive(dir.path(), *kind, 1)).unwrap();
        }
        if files == 0 {
            fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
        }
        let report = repair(dir.path());
        assert!(report.is_success(), "{report:#?}");
        for path in ["renewal/a.example.org.conf", "archive/a.example.org", "live/a.example.org"] {
            assert!(!dir.path().join(path).exists(), "{path}");
        }
        assert!(saved(&report, "renewal/a.example.org.conf").exists());
        if files == 2 {
            assert_eq!(mode(saved(&report, "archive/a.example.org/privkey1.pem")), 0o600);
        }
        assert_eq!(whole_version(dir.path(), &other).0, Version(1));
        // The name can be used again.
        let made = lock(dir.path()).commit(&name(), &verified_again(), None, &certkit_core::store::ConfPlan::default());
        assert_eq!(made.unwrap().version, Version(1));
    }
}

fn verified_again() -> VerifiedVersion {
    verified("v1")
}

#[test]
fn a_new_certificate_is_not_lost_to_an_empty_conf() {
    // Killed after the third file: what chain and certificate are is known, and fullchain is both.
    let dir = laid(&["v1"]);
    fs::write(conf(dir.path()), "").unwrap();
    fs::write(archive(dir.path(), Kind::Fullchain, 1), "").unwrap();
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()), (Version(1), chain("v1").leaf));
    let conf = RenewalConf::parse(&fs::read(conf(dir.path())).unwrap()).unwrap();
    conf.check_complete().unwrap();
}

#[test]
fn a_conf_that_stops_certbot_for_all_certificates_is_completed() {
    let dir = laid(&["v1", "v2"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    let (paths, _) = text.split_once("[renewalparams]").unwrap();
    fs::write(conf(dir.path()), paths).unwrap();
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::ConfIncomplete, false)]);
    let completed = fs::read_to_string(conf(dir.path())).unwrap();
    assert!(completed.starts_with(paths) && completed.contains("[renewalparams]\n"), "{completed}");

    // One of the four paths is missing.
    let dir = laid(&["v1", "v2"]);
    let without: String =
        text.lines().filter(|line| !line.starts_with("chain = ")).map(|line| format!("{line}\n")).collect();
    let here = without.replace(text_dir(&text), &dir.path().display().to_string());
    fs::write(conf(dir.path()), &here).unwrap();
    assert!(repair(dir.path()).is_success());
    let lineage = store(dir.path()).lineage(&name()).unwrap().unwrap();
    assert_eq!(lineage.live_path(Kind::Chain), live(dir.path(), Kind::Chain));
    // What cannot be parsed is the owner's.
    fs::write(conf(dir.path()), format!("{here}nonsense\n")).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::BrokenLineage, false)]);
    repair(dir.path());
}

#[test]
fn a_copy_of_a_conf_that_was_kept_beside_it_does_not_cost_the_copy_of_a_key() {
    for kept in ["a.example.org-old", "a.example.org.bak", "zz"] {
        let dir = laid(&["v1", "v2"]);
        fs::copy(conf(dir.path()), dir.path().join(format!("renewal/{kept}.conf"))).unwrap();
        let link = live(dir.path(), Kind::Privkey);
        fs::remove_file(&link).unwrap();
        fs::write(&link, data("v4.key.pem")).unwrap();
        chmod(&link, 0o600);
        let copy = LineageName::new(kept).unwrap();
        for one in diagnose(dir.path()) {
            assert_eq!(one.repair.is_some(), one.name == Some(name()), "{kept}: {one:#?}");
            let cure = format!("remove renewal/{kept}.conf if a.example.org is the certificate that you want");
            assert!(one.name != Some(copy.clone()) || one.finding.cure().contains(&cure), "{kept}: {one:#?}");
        }
        let report = repair(dir.path());
        assert_eq!(report.made_live, [(name(), Version(2))], "{kept}");
        let key = saved(&report, "live/a.example.org/privkey.pem");
        assert_eq!(fs::read_to_string(key).unwrap(), data("v4.key.pem"), "{kept}");
    }
}

#[test]
fn an_empty_conf_beside_another_for_the_same_links_is_not_written_anew() {
    let dir = laid(&["v1", "v2"]);
    fs::rename(conf(dir.path()), dir.path().join("renewal/a.example.org.bak.conf")).unwrap();
    fs::write(conf(dir.path()), "").unwrap();
    let report = repair(dir.path());
    assert!(report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
    let of_name = |one: &&Diagnosis| one.name == Some(name());
    let cure = report.left.iter().find(of_name).unwrap().finding.cure();
    assert!(cure.contains("copy that to renewal/a.example.org.conf"), "{cure}");
}

#[test]
fn a_conf_that_is_written_twice_is_saved_as_it_was_at_first() {
    let dir = laid(&["v1", "v2"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    let damaged: String =
        text.lines().filter(|line| !line.starts_with("chain = ")).map(|line| line.to_owned() + "\n").collect();
    let damaged = damaged.replace("/archive/a.example.org", "/archive/gone");
    fs::write(conf(dir.path()), &damaged).unwrap();
    let report = repair(dir.path());
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(fs::read_to_string(saved(&report, "renewal/a.example.org.conf")).unwrap(), damaged);
    let repaired = fs::read_to_string(conf(dir.path())).unwrap();
    assert!(repaired.contains("\nchain = ") && repaired.contains("/archive/a.example.org\n"), "{repaired}");
}

/// The config dir that a conf was written for.
fn text_dir(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("archive_dir = ")).unwrap();
    line.strip_suffix("/archive/a.example.org").unwrap()
}
