//! Trees that are damaged, by certbot, a full disk or a careless hand: diagnosed, repaired, and left alone where they are
//! sound.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::state::{Event, LineageState};
use certkit_core::store::{Diagnosis, Kind, RenewalConf, RepairReport, VerifiedVersion};
use certkit_core::{AcmeUrl, FindingCode, LineageName, Severity, Version};

use crate::support::*;

fn laid(leaves: &[&str]) -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), leaves);
    dir
}

fn archive(dir: &Path, kind: Kind, version: u32) -> PathBuf {
    dir.join("archive/a.example.org").join(kind.archive_file(Version(version)))
}

fn live(dir: &Path, kind: Kind) -> PathBuf {
    dir.join("live/a.example.org").join(kind.live_file())
}

fn conf(dir: &Path) -> PathBuf {
    dir.join("renewal/a.example.org.conf")
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn diagnose(dir: &Path) -> Vec<Diagnosis> {
    store(dir).diagnose(&TestMath::default(), now()).unwrap()
}

/// What is told of a tree, and whether it would be repaired.
fn told(diagnoses: &[Diagnosis]) -> Vec<(FindingCode, bool)> {
    diagnoses.iter().map(|one| (one.finding.code, one.repair.is_some())).collect()
}

/// Repairs, having seen that looking changes nothing; then once more, which has to find nothing to do.
fn repair(dir: &Path) -> RepairReport {
    let before = snapshot(dir);
    let planned = diagnose(dir);
    assert_eq!(snapshot(dir), before, "looking changed something");
    let locked = lock(dir);
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.failed.is_empty(), "{report:#?}");
    for one in planned.iter().filter(|one| one.repair.is_some()) {
        assert!(report.repaired.contains(one), "{one:#?}\n{report:#?}");
    }
    assert!(report.left.iter().all(|one| one.repair.is_none()), "{report:#?}");
    let once = snapshot(dir);
    let again = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(again.repaired.is_empty() && again.failed.is_empty() && again.saved.is_none(), "{again:#?}");
    assert_eq!(told(&again.left), told(&report.left));
    assert_eq!(snapshot(dir), once, "repeated, it changed something");
    assert_keys_are_private(dir);
    report
}

/// A file that was saved, by its path in the tree.
fn saved(report: &RepairReport, path: &str) -> PathBuf {
    report.saved.as_ref().unwrap().join(path)
}

#[test]
fn sound_trees_of_all_shapes_stay_as_they_are() {
    let dir = laid(&["v1", "v2"]);
    // After certbot recovered from a crash links are absolute for ever.
    let absolute = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &absolute, &["v1"]);
    // An archive that its owner moved, conf and links together.
    let moved = LineageName::new("c.example.org").unwrap();
    lay_lineage(dir.path(), &moved, &["v3"]);
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::rename(dir.path().join("archive/c.example.org"), dir.path().join("elsewhere/c")).unwrap();
    let path = dir.path().join("renewal/c.example.org.conf");
    let text = fs::read_to_string(&path).unwrap().replace("archive/c.example.org", "elsewhere/c");
    fs::write(&path, text).unwrap();
    for kind in Kind::ALL {
        let file = kind.archive_file(Version(1));
        for (lineage, target) in [
            (&absolute, dir.path().join("archive/b.example.org").join(&file)),
            (&moved, dir.path().join("elsewhere/c").join(&file)),
        ] {
            let link = dir.path().join("live").join(lineage.as_str()).join(kind.live_file());
            fs::remove_file(&link).unwrap();
            symlink(target, link).unwrap();
        }
    }
    // Rights that owners give on purpose: to a group, and to everybody as far as the keys stay shut.
    chmod(archive(dir.path(), Kind::Privkey, 2), 0o640);
    lay_account(dir.path(), "acme.example/directory");
    chmod(dir.path().join("accounts"), 0o700);
    let key = dir.path().join("accounts/acme.example/directory/9b6ef06c3cf07be0ab7f3578e85d7850/private_key.json");
    chmod(key, 0o400);
    // An expired certificate is no damage, and neither is a CA's certificate that ended before it.
    let expired = LineageName::new("d.example.org").unwrap();
    lay_lineage(dir.path(), &expired, &["expired"]);
    drop(lock(dir.path()));

    let before = snapshot(dir.path());
    assert_eq!(diagnose(dir.path()), []);
    assert_eq!(snapshot(dir.path()), before);
    let locked = lock(dir.path());
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    drop(locked);
    assert!(report.is_success() && report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
    // The lock itself comes and goes in the folders that hold it.
    let kept = |all: Vec<(PathBuf, u64, u32, i64, i64, i64)>| {
        all.into_iter().filter(|one| !one.0.ends_with("work") && !one.0.ends_with("logs")).collect::<Vec<_>>()
    };
    assert_eq!(kept(snapshot(dir.path())), kept(before));
}

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

/// The config dir that a conf was written for.
fn text_dir(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("archive_dir = ")).unwrap();
    line.strip_suffix("/archive/a.example.org").unwrap()
}

#[test]
fn leftovers_are_cleaned_and_orphans_with_something_in_them_are_left() {
    let dir = laid(&["v1"]);
    fs::write(dir.path().join("renewal/a.example.org.conf.new"), "half").unwrap();
    fs::write(dir.path().join("archive/a.example.org/.privkey2.pem.certkit-tmp"), "half").unwrap();
    fs::write(dir.path().join("renewal/.a.example.org.conf.certkit-tmp"), "half").unwrap();
    fs::create_dir(dir.path().join("live/empty.example.org")).unwrap();
    fs::create_dir(dir.path().join("archive/empty.example.org")).unwrap();
    fs::create_dir(dir.path().join("archive/gone.example.org")).unwrap();
    fs::write(dir.path().join("archive/gone.example.org/privkey1.pem"), data("v3.key.pem")).unwrap();
    chmod(dir.path().join("archive/gone.example.org/privkey1.pem"), 0o600);
    fs::create_dir_all(dir.path().join("certkit/state")).unwrap();
    chmod(dir.path().join("certkit"), 0o700);
    fs::write(dir.path().join("certkit/state/a.example.org.json"), "{").unwrap();
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::ArchiveWithoutConf, false)]);
    assert!(report.left[0].finding.cure().contains("certkit delete --cert-name"));
    for path in [
        "renewal/a.example.org.conf.new",
        "archive/a.example.org/.privkey2.pem.certkit-tmp",
        "renewal/.a.example.org.conf.certkit-tmp",
        "live/empty.example.org",
        "archive/empty.example.org",
        "certkit/state/a.example.org.json",
    ] {
        assert!(!dir.path().join(path).exists(), "{path}");
    }
    assert_eq!(fs::read(saved(&report, "certkit/state/a.example.org.json")).unwrap(), b"{");
    assert_eq!(fs::read(saved(&report, "renewal/a.example.org.conf.new")).unwrap(), b"half");
}

#[test]
fn only_the_rights_of_others_are_taken_away() {
    let dir = laid(&["v1", "v2"]);
    let account = lay_account(dir.path(), "acme.example/directory").join("private_key.json");
    let hook = dir.path().join("renewal-hooks/deploy/reload");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n").unwrap();
    let cases = [
        (archive(dir.path(), Kind::Privkey, 2), 0o644, 0o640, FindingCode::PrivateKeyReadable, Severity::Warning),
        (archive(dir.path(), Kind::Privkey, 1), 0o664, 0o660, FindingCode::PrivateKeyReadable, Severity::Warning),
        (account, 0o444, 0o440, FindingCode::AccountKeyReadable, Severity::Error),
        (hook, 0o777, 0o775, FindingCode::WritableByOthers, Severity::Error),
        (conf(dir.path()), 0o666, 0o664, FindingCode::WritableByOthers, Severity::Error),
        (dir.path().join("live/a.example.org"), 0o777, 0o775, FindingCode::WritableByOthers, Severity::Error),
        (dir.path().join("accounts"), 0o755, 0o750, FindingCode::FolderOpen, Severity::Notice),
        // Owners open these so that servers can reach the links.
        (dir.path().join("archive"), 0o755, 0o755, FindingCode::FolderOpen, Severity::Notice),
    ];
    for (path, mode, ..) in &cases {
        chmod(path, *mode);
    }
    let diagnoses = diagnose(dir.path());
    for (path, before, after, code, severity) in &cases {
        let subject = path.strip_prefix(dir.path()).unwrap().to_str().unwrap();
        let one = diagnoses.iter().find(|one| one.finding.subject == subject).unwrap_or_else(|| panic!("{subject}"));
        assert_eq!((one.finding.code, one.finding.severity), (*code, *severity), "{subject}");
        assert_eq!(one.repair.is_some(), before != after, "{subject}");
    }
    assert_eq!(diagnoses.len(), cases.len(), "{diagnoses:#?}");
    // What harms is told wherever findings are told, not here alone.
    let audited = store(dir.path()).audit().unwrap();
    assert_eq!(audited.len(), 6, "{audited:#?}");

    let locked = lock(dir.path());
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.is_success() && report.saved.is_none(), "{report:#?}");
    for (path, _, after, ..) in &cases {
        assert_eq!(mode(path), *after, "{}", path.display());
    }
}

#[test]
fn secrets_that_everybody_can_read_are_told_and_shut_where_they_are_certkits() {
    let dir = laid(&["v1"]);
    let credentials = dir.path().join("dns.ini");
    fs::write(&credentials, "token").unwrap();
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    fs::write(conf(dir.path()), format!("{text}dns_example_credentials = {}\n", credentials.display())).unwrap();
    let settings = dir.path().join("certkit/settings.toml");
    fs::create_dir(settings.parent().unwrap()).unwrap();
    chmod(settings.parent().unwrap(), 0o711);
    fs::write(&settings, "[heartbeat]\nurl = \"https://hc.example/secret\"\n").unwrap();
    for path in [&credentials, &settings] {
        chmod(path, 0o644);
    }
    let diagnoses = diagnose(dir.path());
    assert_eq!(
        told(&diagnoses),
        [(FindingCode::SecretReadable, false), (FindingCode::FolderOpen, true), (FindingCode::SecretReadable, true)]
    );
    repair(dir.path());
    assert_eq!((mode(&credentials), mode(&settings), mode(settings.parent().unwrap())), (0o644, 0o640, 0o710));
    // Whoever has nothing to hide may show it.
    fs::write(&settings, "parallel_orders = 2\n").unwrap();
    chmod(&settings, 0o644);
    chmod(settings.parent().unwrap(), 0o711);
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::SecretReadable, false), (FindingCode::FolderOpen, true)]);
}

#[test]
fn what_belongs_to_another_user_is_told() {
    let dir = laid(&["v1"]);
    // Only root can give something away: for others all of it stays their own.
    let given = [conf(dir.path()), archive(dir.path(), Kind::Privkey, 1)];
    let given: Vec<_> =
        given.iter().filter(|path| std::os::unix::fs::chown(path, Some(65_534), None).is_ok()).collect();
    assert_eq!(given.len(), if rustix::process::geteuid().is_root() { 2 } else { 0 });
    let diagnoses = diagnose(dir.path());
    assert_eq!(told(&diagnoses), vec![(FindingCode::OwnedByAnother, false); given.len()], "{diagnoses:#?}");
    for (one, path) in diagnoses.iter().zip(given) {
        assert_eq!(one.finding.cure(), format!("chown root {}, unless you meant it", path.display()));
    }
}

#[test]
fn only_the_certificates_that_are_named_are_repaired() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    for lineage in [&name(), &other] {
        point_link(dir.path(), lineage, Kind::Privkey, 1);
    }
    let only = BTreeSet::from([other.clone()]);
    let report = lock(dir.path()).repair(Some(&only), &TestMath::default(), now()).unwrap();
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(whole_version(dir.path(), &other).0, Version(2));
    assert!(look(dir.path(), &name()).unwrap_err().starts_with("mixed"));
}

#[test]
fn a_repair_that_fails_says_so_and_stops_no_other() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    point_link(dir.path(), &other, Kind::Privkey, 1);
    // A folder where the journal of the commit has to be replaced by a file is moved out of the way; one that nothing
    // can be written into is not.
    fs::create_dir_all(dir.path().join("certkit/commit")).unwrap();
    let locked = lock(dir.path());
    fs::create_dir_all(dir.path().join("certkit/commit/.a.example.org.json.certkit-tmp/x")).unwrap();
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(!report.is_success());
    assert_eq!(report.failed[0].code, FindingCode::RepairFailed, "{report:#?}");
    assert_eq!(whole_version(dir.path(), &other).0, Version(2));
}
