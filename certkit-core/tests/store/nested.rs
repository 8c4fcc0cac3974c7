//! Lineages that have a folder, or a step on the way to a version, in the folder of another one: what is done to that one
//! leaves them as they are.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use certkit_core::store::Kind;
use certkit_core::{FindingCode, LineageName, Version};

use crate::support::*;

fn inner() -> LineageName {
    LineageName::new("b.example.org").unwrap()
}

/// Two lineages, the second of which has its versions, or its live links, in a folder below those of the first.
fn laid(part: &str) -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &inner(), &["v1", "v2"]);
    let (from, to) = (dir.path().join(part).join("b.example.org"), dir.path().join(part).join("a.example.org/sub"));
    fs::rename(&from, &to).unwrap();
    let conf = dir.path().join("renewal/b.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace(from.to_str().unwrap(), to.to_str().unwrap())).unwrap();
    let archive = if part == "archive" { to } else { dir.path().join("archive/b.example.org") };
    let live = dir.path().join(if part == "live" { "live/a.example.org/sub" } else { "live/b.example.org" });
    for kind in Kind::ALL {
        let _ = fs::remove_file(live.join(kind.live_file()));
        symlink(archive.join(kind.archive_file(Version(2))), live.join(kind.live_file())).unwrap();
    }
    dir
}

/// What the inner lineage serves, by its conf.
fn served(dir: &Path) -> Vec<String> {
    let store = store(dir);
    let lineage = store.lineage(&inner()).unwrap().unwrap();
    Kind::ALL.iter().map(|kind| fs::read_to_string(lineage.live_path(*kind)).unwrap()).collect()
}

#[test]
fn a_lineage_in_the_folder_of_one_without_a_conf_stays_where_it_is() {
    for part in ["archive", "live"] {
        let dir = laid(part);
        let before = served(dir.path());
        let conf = dir.path().join("renewal/a.example.org.conf");
        fs::write(&conf, "").unwrap();
        // No version of the outer one is whole, so that it never became a certificate.
        fs::write(dir.path().join("archive/a.example.org/cert1.pem"), "").unwrap();
        fs::write(dir.path().join("archive/a.example.org/fullchain1.pem"), "").unwrap();
        let report = lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
        assert_eq!(served(dir.path()), before, "{part}: {report:#?}");
        let of_outer: Vec<_> = report.left.iter().filter(|one| one.name.as_ref() == Some(&name())).collect();
        assert!(of_outer.iter().any(|one| one.finding.cure().contains("b.example.org")), "{part}: {report:#?}");
    }
}

#[test]
fn a_removal_says_nothing_against_a_folder_in_which_another_lineage_lives() {
    for part in ["archive", "live"] {
        let dir = laid(part);
        let before = served(dir.path());
        let locked = lock(dir.path());
        let deleted = locked.delete(&name()).unwrap();
        assert_eq!(served(dir.path()), before, "{part}");
        let told: Vec<_> = deleted.findings().iter().map(|one| one.cure().to_owned()).collect();
        assert!(told.iter().all(|cure| !cure.contains("rm -r")), "{part}: {told:?}");
        // Nor does anything else afterwards, until something lies beside it.
        let told = |dir: &Path| store(dir).diagnose(&TestMath::default(), now()).unwrap();
        let left = told(dir.path());
        assert!(left.iter().all(|one| !one.finding.cure().contains("rm -r")), "{part}: {left:#?}");
        let outer = dir.path().join(part).join("a.example.org");
        fs::write(outer.join("privkey9.pem"), data("v3.key.pem")).unwrap();
        let left = told(dir.path());
        let code = if part == "live" { FindingCode::LiveWithoutConf } else { FindingCode::ArchiveWithoutConf };
        let one = left.iter().find(|one| one.finding.code == code).unwrap();
        let cure = one.finding.cure();
        assert!(cure.contains("which b.example.org uses") && !cure.contains("rm -r"), "{part}: {cure}");
    }
}

#[test]
fn every_step_on_the_way_to_a_key_is_in_use() {
    // The key of the second lies on a token's file system, and the way there leads through the first one's folder.
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &inner(), &["v2", "v3"]);
    fs::create_dir(dir.path().join("token")).unwrap();
    for version in [1, 2] {
        let own = dir.path().join(format!("archive/b.example.org/privkey{version}.pem"));
        let (step, token) = (format!("privkey{}.pem", version + 6), dir.path().join(format!("token/{version}")));
        fs::rename(&own, &token).unwrap();
        symlink(&token, dir.path().join("archive/a.example.org").join(&step)).unwrap();
        symlink(format!("../a.example.org/{step}"), &own).unwrap();
    }
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    for version in [1, 2] {
        let key = dir.path().join(format!("archive/b.example.org/privkey{version}.pem"));
        assert!(fs::read_to_string(key).unwrap().contains("PRIVATE KEY"), "{version}: {deleted:?}");
    }
}

#[test]
fn what_somebody_put_beside_the_live_links_is_told_when_these_go() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let live = dir.path().join("live/a.example.org");
    fs::write(live.join("privkey.pem.bak"), data("v1.key.pem")).unwrap();
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert!(deleted.is_complete());
    let [told] = deleted.findings().try_into().unwrap();
    assert!(told.evidence.as_str().contains("privkey.pem.bak"), "{told:?}");
    assert_eq!(told.cure(), format!("if nobody needs it: rm -r -- {}", live.display()));
    // `delete` has nothing to remove any more, and is not what is advised.
    let [left] = store(dir.path()).diagnose(&TestMath::default(), now()).unwrap().try_into().unwrap();
    assert_eq!(left.finding.severity, certkit_core::Severity::Notice, "no certificate is there");
    assert!(left.finding.cure().ends_with(&format!("rm -r -- {}", live.display())), "{}", left.finding.cure());
}

#[test]
fn a_pipe_in_the_place_of_a_version_is_left_to_its_owner() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let chain = dir.path().join("archive/a.example.org/chain1.pem");
    fs::remove_file(&chain).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&chain).status().unwrap().success());
    let report = lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.repaired.is_empty() && report.failed.is_empty() && report.saved.is_none(), "{report:#?}");
    let cure = report.left[0].finding.cure();
    assert!(cure.starts_with(&format!("remove {}", chain.display())), "{cure}");
}

#[test]
fn the_only_copy_of_anothers_key_stays_wherever_its_versions_lie() {
    for (folder, operation) in [("vault/b", "delete"), ("archive/b.example.org", "repair"), ("vault/b", "repair")] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        lay_lineage(dir.path(), &inner(), &["v2", "v3"]);
        let (from, to) = (dir.path().join("archive/b.example.org"), dir.path().join(folder));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(&from, &to).unwrap();
        let conf = dir.path().join("renewal/b.example.org.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text.replace(from.to_str().unwrap(), to.to_str().unwrap())).unwrap();
        for kind in Kind::ALL {
            let live = dir.path().join("live/b.example.org").join(kind.live_file());
            fs::remove_file(&live).unwrap();
            symlink(to.join(kind.archive_file(Version(2))), live).unwrap();
        }
        // An older version, to which no live link leads.
        let kept = dir.path().join("archive/a.example.org/privkey9.pem");
        fs::rename(to.join("privkey1.pem"), &kept).unwrap();
        symlink(&kept, to.join("privkey1.pem")).unwrap();
        let locked = lock(dir.path());
        if operation == "delete" {
            let deleted = locked.delete(&name()).unwrap();
            assert!(!deleted.is_complete(), "{deleted:?}");
        } else {
            fs::write(dir.path().join("renewal/a.example.org.conf"), "").unwrap();
            for file in ["cert1.pem", "fullchain1.pem"] {
                fs::write(dir.path().join("archive/a.example.org").join(file), "").unwrap();
            }
            let report = locked.repair(None, &TestMath::default(), now()).unwrap();
            let cure = report.left.iter().find(|one| one.name.as_ref() == Some(&name())).unwrap().finding.cure();
            assert!(cure.contains("links to archive/a.example.org/privkey9.pem"), "{cure}");
        }
        assert!(fs::read_to_string(to.join("privkey1.pem")).unwrap().contains("PRIVATE KEY"), "{folder}, {operation}");
    }
}
