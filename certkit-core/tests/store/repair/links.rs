//! Live links that lead nowhere, to several versions, or are no links.

use super::*;

#[test]
fn what_certbot_leaves_when_it_is_killed_in_its_switch_is_put_right() {
    for step in 0..=16 {
        let dir = laid(&["v1", "v2"]);
        write_version(dir.path(), &name(), 3, "v3");
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let journal = live(dir.path(), kind).with_file_name(format!("previous_{}.pem", kind.as_str()));
            if step > index {
                symlink(archive(dir.path(), kind, 2), &journal).unwrap();
            }
            if step > 4 + 2 * index {
                fs::remove_file(live(dir.path(), kind)).unwrap();
            }
            if step > 5 + 2 * index {
                point_link(dir.path(), &name(), kind, 3);
            }
            if step > 12 + index {
                fs::remove_file(&journal).unwrap();
            }
        }
        if step == 16 {
            assert_eq!(diagnose(dir.path()), []);
            continue;
        }
        let report = repair(dir.path());
        assert!(report.is_success(), "step {step}: {report:#?}");
        assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v3").leaf), "step {step}");
        assert!(!walk(dir.path()).iter().any(|path| {
            !path.starts_with(dir.path().join("certkit"))
                && path.file_name().unwrap().to_str().unwrap().starts_with("previous_")
        }));
    }
}

#[test]
fn a_switch_to_an_empty_file_ends_at_the_version_once_it_is_whole() {
    let dir = laid(&["v1", "v2"]);
    write_version(dir.path(), &name(), 3, "v3");
    fs::write(archive(dir.path(), Kind::Fullchain, 3), "").unwrap();
    for kind in Kind::ALL {
        let journal = live(dir.path(), kind).with_file_name(format!("previous_{}.pem", kind.as_str()));
        symlink(archive(dir.path(), kind, 2), journal).unwrap();
    }
    point_link(dir.path(), &name(), Kind::Cert, 3);
    let report = repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(3));
    let codes: Vec<_> = report.repaired.iter().map(|one| one.finding.code).collect();
    assert!(codes.contains(&FindingCode::InterruptedSwitch) && codes.contains(&FindingCode::MixedVersions));
}

#[test]
fn a_damaged_version_that_certbot_would_make_live_is_disarmed() {
    let dir = laid(&["v1", "v2"]);
    write_version(dir.path(), &name(), 3, "v3");
    fs::write(archive(dir.path(), Kind::Privkey, 3), data("v4.key.pem")).unwrap();
    fs::write(archive(dir.path(), Kind::Privkey, 4), data("v4.key.pem")).unwrap();
    chmod(archive(dir.path(), Kind::Privkey, 4), 0o600);
    assert_eq!(
        told(&diagnose(dir.path())),
        // An orphaned key alone is in nobody's way: its number is passed over.
        [(FindingCode::VersionIncomplete, false), (FindingCode::VersionIncomplete, true)]
    );
    let report = repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    // certbot goes by what all four kinds have; the number stays taken, and nothing is lost.
    assert!(!archive(dir.path(), Kind::Cert, 3).exists() && archive(dir.path(), Kind::Privkey, 3).exists());
    assert_eq!(fs::read_to_string(saved(&report, "archive/a.example.org/cert3.pem")).unwrap(), data("v3.cert.pem"));
    assert_eq!(told(&report.left), [(FindingCode::VersionIncomplete, false), (FindingCode::VersionIncomplete, false)]);
}

#[test]
fn mixed_missing_and_dangling_links_lead_to_the_newest_whole_version() {
    for broken in ["mixed", "dangling", "missing", "folder gone", "in another archive"] {
        let dir = laid(&["v1", "v2"]);
        let link = live(dir.path(), Kind::Privkey);
        match broken {
            "mixed" => point_link(dir.path(), &name(), Kind::Privkey, 1),
            "dangling" => point_link(dir.path(), &name(), Kind::Privkey, 9),
            "missing" => fs::remove_file(&link).unwrap(),
            "folder gone" => fs::remove_dir_all(link.parent().unwrap()).unwrap(),
            _ => {
                lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3"]);
                fs::remove_file(&link).unwrap();
                symlink("../../archive/b.example.org/privkey1.pem", &link).unwrap();
            }
        }
        let report = repair(dir.path());
        assert!(report.is_success(), "{broken}: {report:#?}");
        assert_eq!(whole_version(dir.path(), &name()), (Version(2), chain("v2").leaf), "{broken}");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../archive/a.example.org/privkey2.pem"), "{broken}");
    }
}

#[test]
fn absolute_links_into_a_tree_that_is_gone_become_relative() {
    let dir = laid(&["v1", "v2"]);
    for kind in Kind::ALL {
        fs::remove_file(live(dir.path(), kind)).unwrap();
        let old = Path::new("/nonexistent/archive/a.example.org").join(kind.archive_file(Version(2)));
        symlink(old, live(dir.path(), kind)).unwrap();
    }
    assert!(repair(dir.path()).is_success());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    let link = fs::read_link(live(dir.path(), Kind::Cert)).unwrap();
    assert_eq!(link, Path::new("../../archive/a.example.org/cert2.pem"));
}

#[test]
fn a_pair_that_fits_is_live_again_even_when_it_has_expired() {
    let dir = laid(&["expired", "expired"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    fs::write(archive(dir.path(), Kind::Privkey, 1), data("v3.key.pem")).unwrap();
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()), (Version(2), chain("expired").leaf));
}

#[test]
fn copies_in_place_of_links_become_links_again() {
    // `cp -rL`, scp and the like follow links. The archive came along, or not.
    for (with_archive, copied) in [(true, "v2"), (true, "v1"), (true, "v3"), (false, "v2")] {
        let dir = laid(&["v1", "v2"]);
        for kind in Kind::ALL {
            fs::remove_file(live(dir.path(), kind)).unwrap();
        }
        let leaf = data(&format!("{copied}.cert.pem"));
        let issuer = data("intermediate.pem");
        fs::write(live(dir.path(), Kind::Cert), &leaf).unwrap();
        fs::write(live(dir.path(), Kind::Chain), &issuer).unwrap();
        fs::write(live(dir.path(), Kind::Fullchain), format!("{leaf}{issuer}")).unwrap();
        fs::write(live(dir.path(), Kind::Privkey), data(&format!("{copied}.key.pem"))).unwrap();
        chmod(live(dir.path(), Kind::Privkey), 0o600);
        if !with_archive {
            fs::remove_dir_all(dir.path().join("archive")).unwrap();
        }
        assert_eq!(told(&diagnose(dir.path())), [(FindingCode::BrokenLineage, true)], "{copied}");
        let report = repair(dir.path());
        assert!(report.is_success(), "{report:#?}");
        // What the archive has counts, unless the copies are better.
        let expected = match (with_archive, copied) {
            (false, _) => (Version(1), "v2"),
            (true, "v3") => (Version(3), "v3"),
            (true, _) => (Version(2), "v2"),
        };
        assert_eq!(whole_version(dir.path(), &name()), (expected.0, chain(expected.1).leaf), "{copied}");
        let key = saved(&report, "live/a.example.org/privkey.pem");
        assert_eq!((mode(&key), fs::read_to_string(key).unwrap()), (0o600, data(&format!("{copied}.key.pem"))));
    }
    // A folder in the place of a link is somebody's doing.
    let dir = laid(&["v1"]);
    fs::remove_file(live(dir.path(), Kind::Cert)).unwrap();
    fs::create_dir(live(dir.path(), Kind::Cert)).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::BrokenLineage, false)]);
    repair(dir.path());
}

#[test]
fn a_copy_for_other_names_does_not_replace_what_is_stored() {
    let dir = laid(&["v1"]);
    for (kind, content) in [
        (Kind::Cert, data("more-names.cert.pem")),
        (Kind::Chain, data("intermediate.pem")),
        (Kind::Fullchain, data("more-names.cert.pem") + &data("intermediate.pem")),
        (Kind::Privkey, data("more-names.key.pem")),
    ] {
        fs::remove_file(live(dir.path(), kind)).unwrap();
        fs::write(live(dir.path(), kind), content).unwrap();
        chmod(live(dir.path(), kind), 0o600);
    }
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()), (Version(1), chain("v1").leaf));
}

#[test]
fn an_archive_dir_that_differs_is_set_to_where_the_links_lead() {
    let dir = laid(&["v1", "v2"]);
    fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("archive/moved")).unwrap();
    for kind in Kind::ALL {
        fs::remove_file(live(dir.path(), kind)).unwrap();
        symlink(Path::new("../../archive/moved").join(kind.archive_file(Version(2))), live(dir.path(), kind)).unwrap();
    }
    let before = fs::read_to_string(conf(dir.path())).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::ArchiveDirDiffers, true)]);
    let report = repair(dir.path());
    assert!(report.is_success() && report.made_live.is_empty(), "{report:#?}");
    let after = fs::read_to_string(conf(dir.path())).unwrap();
    assert_eq!(after, before.replace("archive/a.example.org\n", "archive/moved\n"), "nothing else changes");
    assert_eq!(fs::read_to_string(saved(&report, "renewal/a.example.org.conf")).unwrap(), before);

    // Where the other directory holds something better, it is not known which one is meant.
    let dir = laid(&["v1", "v3"]);
    fs::create_dir(dir.path().join("archive/moved")).unwrap();
    for kind in Kind::ALL {
        fs::copy(archive(dir.path(), kind, 1), dir.path().join("archive/moved").join(kind.archive_file(Version(1))))
            .unwrap();
        fs::remove_file(live(dir.path(), kind)).unwrap();
        symlink(Path::new("../../archive/moved").join(kind.archive_file(Version(1))), live(dir.path(), kind)).unwrap();
    }
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::ArchiveDirDiffers, false)]);
    repair(dir.path());
}

#[test]
fn links_of_two_certificates_into_one_archive_are_left() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    for kind in Kind::ALL {
        let link = dir.path().join("live/b.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(format!("../../archive/a.example.org/{}", kind.archive_file(Version(1))), link).unwrap();
    }
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::ForeignLink, false)]);
    let report = repair(dir.path());
    assert!(!report.is_success());
    assert_eq!(whole_version(dir.path(), &other).0, Version(1));
    // Not even when what they lead to is damaged: it is repaired with the certificate that it belongs to.
    fs::write(archive(dir.path(), Kind::Privkey, 1), "").unwrap();
    repair(dir.path());
    let link = fs::read_link(dir.path().join("live/b.example.org/cert.pem")).unwrap();
    assert_eq!(link, Path::new("../../archive/a.example.org/cert1.pem"));
}
