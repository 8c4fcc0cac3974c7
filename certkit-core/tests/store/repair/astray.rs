//! Confs, archives and names that say something else than what is there, with cures that end it when they are followed.

use super::*;

#[test]
fn a_tree_that_was_moved_is_whole_again_once_the_command_that_is_told_has_run() {
    for (old, new) in [
        ("etc.old", "etc.new"),
        ("my etc", "my other etc"),
        ("a|b(c)[d]*$HOME^{1}+?\\e", "a&b\\c|$HOME(d)"),
        ("caf\u{e9}", "\u{5b57}"),
    ] {
        moved_tree(old, new);
    }
}

fn moved_tree(old: &str, new: &str) {
    let dir = temp_dir();
    let (old, new) = (dir.path().join(old), dir.path().join(new));
    fs::create_dir(&old).unwrap();
    lay_lineage(&old, &name(), &["v1", "v2"]);
    lay_lineage(&old, &other(), &["v3"]);
    fs::rename(&old, &new).unwrap();
    let before = snapshot(&new);
    // Every run says the same, until somebody does something about it.
    for told in lock(&new).recover(&TestMath::default(), now()).unwrap() {
        assert!(told.finding.code == FindingCode::BrokenLineage && told.finding.cure().contains("sed "), "{told:?}");
    }
    let report = lock(&new).repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
    assert!(!old.exists() && snapshot(&new).iter().any(|entry| before.contains(entry)));
    let cure = of(&report.left, FindingCode::BrokenLineage, &name()).finding.cure().to_owned();
    assert!(!cure.contains("delete"), "{cure}");
    let (command, _) = cure[cure.find("sed ").unwrap()..].split_once("`);").unwrap();
    assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success(), "{command}");
    assert_eq!(told(&diagnose(&new)), []);
    assert_eq!(whole_version(&new, &other()).0, Version(1));
}

#[test]
fn a_version_in_use_that_serves_nobody_is_an_error_though_a_newer_one_waits() {
    let damage = |dir: &Path| {
        Kind::ALL.iter().for_each(|kind| point_link(dir, &name(), *kind, 1));
        for kind in [Kind::Cert, Kind::Privkey, Kind::Fullchain] {
            fs::write(archive(dir, kind, 1), "").unwrap();
        }
    };
    let dir = laid(&["v1", "v2"]);
    damage(dir.path());
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LiveVersionDamaged, true)]);
    assert_eq!(diagnose(dir.path())[0].finding.severity, Severity::Error);
    assert!(repair(dir.path()).is_success());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));

    // And where the newer one cannot take its place either.
    let dir = laid(&["v1", "v2"]);
    damage(dir.path());
    fs::write(archive(dir.path(), Kind::Privkey, 2), data("v3.key.pem")).unwrap();
    let found = diagnose(dir.path());
    let dead = of(&found, FindingCode::LiveVersionDamaged, &name());
    assert!(dead.repair.is_none() && dead.finding.severity == Severity::Error, "{found:#?}");
}

#[test]
fn two_confs_with_each_others_archive_say_again_where_their_links_lead() {
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3", "v4"]);
    let other_conf = dir.path().join("renewal/b.example.org.conf");
    rewrite(&conf(dir.path()), "archive/a.example.org", "archive/b.example.org");
    rewrite(&other_conf, "archive/b.example.org", "archive/a.example.org");
    let codes: Vec<_> = told(&diagnose(dir.path()));
    assert_eq!(codes, [(FindingCode::ArchiveDirDiffers, true), (FindingCode::ArchiveDirDiffers, true)]);
    let report = repair(dir.path());
    assert!(report.is_success() && report.made_live.is_empty(), "{report:#?}");
    assert_eq!(told(&diagnose(dir.path())), []);
    assert!(fs::read_to_string(&other_conf).unwrap().contains("archive/b.example.org\n"));

    // Where the links are gone nothing is made of another's versions.
    let dir = laid(&["v1", "v2"]);
    lay_lineage(dir.path(), &other(), &["v3", "v4"]);
    let other_conf = dir.path().join("renewal/b.example.org.conf");
    rewrite(&conf(dir.path()), "archive/a.example.org", "archive/b.example.org");
    rewrite(&other_conf, "archive/b.example.org", "archive/a.example.org");
    fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
    let report = repair(dir.path());
    assert!(report.made_live.is_empty(), "{report:#?}");
    let told = of(&report.left, FindingCode::BrokenLineage, &name());
    let cure = told.finding.cure();
    assert!(cure.starts_with("let archive_dir in ") && cure.ends_with("archive/a.example.org"), "{told:#?}");
    rewrite(&conf(dir.path()), "archive/b.example.org", "archive/a.example.org");
    assert!(repair(dir.path()).is_success());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
}

#[test]
fn a_switch_that_failed_is_no_run_that_was_ended() {
    let dir = laid(&["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let folder = dir.path().join("live/a.example.org");
    let chattr = |how: &str| {
        let status = Command::new("chattr").arg(how).arg(&folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "chattr is missing (install e2fsprogs), or this is not root"
        );
    };
    chattr("+i");
    let report = lock(dir.path()).repair(None, &TestMath::default(), now());
    let recovered = lock(dir.path()).recover(&TestMath::default(), now());
    chattr("-i");
    let report = report.unwrap();
    assert!(!report.failed.is_empty() && report.made_live.is_empty(), "{report:#?}");
    let left: Vec<_> = report.left.iter().map(|one| one.finding.code).collect();
    assert_eq!(left, [FindingCode::MixedVersions], "{report:#?}");
    assert!(recovered.unwrap().iter().all(|one| one.made_live.is_none()));
    assert!(!dir.path().join("certkit/commit/a.example.org.json").exists());
    assert!(repair(dir.path()).is_success());
}

#[test]
fn a_version_that_nobody_counted_up_to_is_told_as_that_and_keeps_no_other_from_going_live() {
    let dir = laid(&["v1", "v2"]);
    write_version(dir.path(), &name(), 9999, "v3");
    write_version(dir.path(), &name(), 5_000_000, "v4");
    let found = diagnose(dir.path());
    let unusable = of(&found, FindingCode::NewerVersionUnusable, &name());
    assert!(unusable.finding.evidence.starts_with("version 5000000: "), "{unusable:#?}");
    let report = repair(dir.path());
    let repaired: Vec<_> = report.repaired.iter().map(|one| one.finding.code).collect();
    assert_eq!(repaired, [FindingCode::NewerVersionNotLive], "{report:#?}");
    assert_eq!(whole_version(dir.path(), &name()).0, Version(9999));
    assert!(report.is_success(), "{report:#?}");
}

#[test]
fn a_conf_with_a_name_that_no_command_takes_is_to_be_moved_away() {
    use std::os::unix::ffi::OsStrExt as _;
    for refused in [&b"-rf"[..], b"two\nlines", b"not\xffutf8"] {
        let dir = laid(&["v1"]);
        let file = [refused, b".conf"].concat();
        fs::copy(conf(dir.path()), dir.path().join("renewal").join(std::ffi::OsStr::from_bytes(&file))).unwrap();
        let found = diagnose(dir.path());
        let [one] = found.as_slice() else { panic!("{found:#?}") };
        assert!(one.finding.cure().starts_with("move it out of the config dir"), "{one:#?}");
        assert!(!one.finding.cure().contains("certkit delete"));
    }
    let dir = laid(&["v1"]);
    fs::create_dir(dir.path().join("live/-rf")).unwrap();
    fs::write(dir.path().join("live/-rf/cert.pem"), "").unwrap();
    let found = diagnose(dir.path());
    assert!(found[0].finding.cure().starts_with("move it out of the config dir"), "{found:#?}");
}

#[test]
fn settings_that_cannot_be_used_are_told() {
    let dir = laid(&["v1"]);
    fs::create_dir_all(dir.path().join("certkit/lineages")).unwrap();
    chmod(dir.path().join("certkit"), 0o700);
    let settings = dir.path().join("certkit/settings.toml");
    assert!(Command::new("mkfifo").arg(&settings).status().unwrap().success());
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::SettingsUnusable, false)]);
    fs::remove_file(&settings).unwrap();
    assert_eq!(told(&diagnose(dir.path())), []);
    fs::write(dir.path().join("certkit/lineages/a.example.org.toml"), "nonsense = 1\n").unwrap();
    let found = diagnose(dir.path());
    assert_eq!(of(&found, FindingCode::SettingsUnusable, &name()).repair, None);
}

#[test]
fn a_tree_that_was_copied_among_the_versions_is_not_moved_away_with_them() {
    for part in ["archive/a.example.org/backup", "live/a.example.org/backup"] {
        let dir = laid(&["v1"]);
        let inner = dir.path().join(part);
        fs::create_dir_all(&inner).unwrap();
        lay_lineage(&inner, &other(), &["v3"]);
        fs::write(conf(dir.path()), "").unwrap();
        for kind in Kind::ALL {
            fs::write(archive(dir.path(), kind, 1), "junk").unwrap();
        }
        let before = snapshot(&inner);
        let report = repair(dir.path());
        assert_eq!(snapshot(&inner), before);
        let told = of(&report.left, FindingCode::BrokenLineage, &name());
        assert!(told.finding.cure().contains("backup elsewhere"), "{told:#?}");
    }
}

#[test]
fn links_are_not_made_in_a_folder_that_no_server_reads_while_they_are_in_their_own() {
    let dir = laid(&["v1", "v2"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    fs::write(conf(dir.path()), text.replace("live/a.example.org/", "live/zzz/")).unwrap();
    let report = repair(dir.path());
    assert!(report.made_live.is_empty() && !dir.path().join("live/zzz").exists(), "{report:#?}");
    let cure = of(&report.left, FindingCode::BrokenLineage, &name()).finding.cure().to_owned();
    assert!(cure.contains("live/a.example.org, where they are"), "{cure}");
    let refused = lock(dir.path()).check_committable(&name()).unwrap_err().to_string();
    assert!(refused.contains(&cure), "{refused}");
    // As told.
    fs::write(conf(dir.path()), text).unwrap();
    assert!(repair(dir.path()).is_success());
    // Where the own folder has no links either, they are made where the conf says.
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    fs::write(conf(dir.path()), text.replace("live/a.example.org/", "live/zzz/")).unwrap();
    fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
    assert_eq!(repair(dir.path()).made_live, [(name(), Version(2))]);
}
