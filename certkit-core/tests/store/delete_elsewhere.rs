//! Removing lineages of which something lies elsewhere, or belongs to others too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use certkit_core::store::{DeleteError, Store, StorePaths};
use certkit_core::{FindingCode, LineageName, Severity};

use crate::support::*;

/// A tree of which one part lies on another disk, by a link in its place.
fn with_part_on_disk(dir: &Path, part: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let (tree, there) = (dir.join("tree"), dir.join("disk").join(Path::new(part).file_name().unwrap()));
    lay_lineage(&tree, &name(), &["v1", "v2"]);
    fs::create_dir_all(dir.join("disk")).unwrap();
    fs::rename(tree.join(part), &there).unwrap();
    symlink(&there, tree.join(part)).unwrap();
    (tree, there)
}

#[test]
fn what_lies_outside_stays_and_is_told_with_the_command_that_removes_it() {
    for (part, code) in [
        ("archive", FindingCode::ArchiveWithoutConf),
        ("archive/a.example.org", FindingCode::ArchiveWithoutConf),
        ("live", FindingCode::LiveWithoutConf),
        ("live/a.example.org", FindingCode::LiveWithoutConf),
    ] {
        let dir = temp_dir();
        let (tree, there) = with_part_on_disk(dir.path(), part);
        let files = |dir: &Path| match dir.exists() {
            true => walk(dir).into_iter().filter(|path| !path.is_dir()).count(),
            false => 0,
        };
        let before = files(&there);
        let deleted = lock(&tree).delete(&name()).unwrap();
        assert!(!deleted.is_complete() && deleted.removed.contains(&tree.join("renewal/a.example.org.conf")), "{part}");
        assert_eq!(files(&there), before, "{part}");
        let [finding] = deleted.findings().try_into().unwrap();
        assert_eq!((finding.code, finding.severity), (code, Severity::Warning), "{part}");
        let (_, command) = finding.cure().split_once("if none does: ").unwrap();
        assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success(), "{command}");
        assert_eq!(files(&there), 0, "{part}: {command}");
        assert!(!there.join(if part.contains('/') { "" } else { "a.example.org" }).exists(), "{part}: {command}");
        // A link that is left would keep the name from being used again.
        for folder in ["live/a.example.org", "archive/a.example.org"] {
            assert!(!tree.join(folder).is_symlink(), "{part}: {command}");
        }
    }
    // What else is in the folder is not theirs.
    let dir = temp_dir();
    let (tree, there) = with_part_on_disk(dir.path(), "archive");
    fs::write(there.join("a.example.org/other key"), "precious").unwrap();
    let deleted = lock(&tree).delete(&name()).unwrap();
    let findings = deleted.findings();
    let (_, command) = findings[0].cure().split_once("if none does: ").unwrap();
    assert!(command.starts_with("rm -- "), "{command}");
    assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success(), "{command}");
    let left: Vec<_> = fs::read_dir(there.join("a.example.org")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_lies_outside_goes_where_its_owner_says_that_it_is_this_trees_alone() {
    for part in ["archive", "archive/a.example.org", "live", "live/a.example.org"] {
        let dir = temp_dir();
        let (tree, there) = with_part_on_disk(dir.path(), part);
        let other = dir.path().join("disk/other1.pem");
        fs::write(&other, "precious").unwrap();
        let paths = StorePaths::new(tree.clone(), tree.join("work"), tree.join("logs")).with_own_folder(there.clone());
        let deleted = Store::open(paths).unwrap().lock().unwrap().delete(&name()).unwrap();
        assert!(deleted.is_complete() && deleted.kept.is_empty(), "{part}: {deleted:#?}");
        let left = walk(dir.path()).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "pem"));
        let left: Vec<_> = left.filter(|path| *path != other).collect();
        assert!(left.is_empty() && other.exists(), "{part}: {left:?}");
        for folder in ["live/a.example.org", "archive/a.example.org"] {
            assert!(!tree.join(folder).is_symlink(), "{part}: it would keep the name from being used again");
        }
    }
}

#[test]
fn where_the_confs_lie_outside_nothing_is_deleted_before_their_owner_says_whose_they_are() {
    let dir = temp_dir();
    let (tree, there) = with_part_on_disk(dir.path(), "renewal");
    let before = snapshot(&there);
    let locked = lock(&tree);
    let error = locked.delete(&name()).unwrap_err();
    let flag = format!("if none does: certkit delete --cert-name a.example.org --also-in {}", there.display());
    assert_eq!(error.cure(), Some(flag.as_str()));
    drop(locked);
    assert_eq!(snapshot(&there), before);
    assert!(
        tree.join("archive/a.example.org/privkey2.pem").exists() && tree.join("live/a.example.org/cert.pem").exists()
    );
    let paths = StorePaths::new(tree.clone(), tree.join("work"), tree.join("logs")).with_own_folder(there.clone());
    let deleted = Store::open(paths).unwrap().lock().unwrap().delete(&name()).unwrap();
    assert!(deleted.is_complete() && !there.join("a.example.org.conf").exists());
    assert!(!tree.join("archive/a.example.org").exists());
}

#[test]
fn what_certkit_remembers_elsewhere_is_not_deleted_by_a_copy() {
    for part in
        ["certkit", "certkit/lineages", "certkit/pending", "certkit/state", "certkit/commit", "certkit/deleting"]
    {
        for is_interrupted in [false, true] {
            let dir = temp_dir();
            let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
            for tree in [&original, &copy] {
                lay_lineage(tree, &name(), &["v1"]);
                for folder in ["lineages", "pending/a.example.org", "state", "commit", "deleting"] {
                    fs::create_dir_all(tree.join("certkit").join(folder)).unwrap();
                }
                fs::write(tree.join("certkit/lineages/a.example.org.toml"), "# mine\n").unwrap();
                fs::write(tree.join("certkit/pending/a.example.org/privkey.pem"), "key").unwrap();
                for folder in ["state", "commit"] {
                    fs::write(tree.join("certkit").join(folder).join("a.example.org.json"), "{}").unwrap();
                }
            }
            fs::remove_dir_all(copy.join(part)).unwrap();
            symlink(original.join(part), copy.join(part)).unwrap();
            if is_interrupted {
                fs::rename(copy.join("renewal/a.example.org.conf"), copy.join("certkit/deleting/a.example.org"))
                    .unwrap();
            }
            let before = snapshot(&original);
            let locked = lock(&copy);
            assert!(matches!(locked.delete(&name()), Err(DeleteError::Elsewhere { .. })), "{part}");
            locked.repair(None, &TestMath::default(), now()).unwrap();
            let changed: Vec<_> =
                snapshot(&original).into_iter().filter(|one| !before.contains(one)).map(|one| one.0).collect();
            assert!(snapshot(&original) == before, "{part} {is_interrupted}: {changed:?}");
            assert!(copy.join("archive/a.example.org/privkey1.pem").exists(), "{part}");
        }
    }
}

#[test]
fn a_removal_is_not_ended_while_something_of_it_lies_outside() {
    let dir = temp_dir();
    let (tree, there) = with_part_on_disk(dir.path(), "archive/a.example.org");
    // The conf named the folder, and only its note knows of it.
    let text = fs::read_to_string(tree.join("renewal/a.example.org.conf")).unwrap();
    let text = text.replace(tree.join("archive/a.example.org").to_str().unwrap(), there.to_str().unwrap());
    fs::create_dir_all(tree.join("certkit/deleting")).unwrap();
    let note = tree.join("certkit/deleting/a.example.org");
    fs::write(&note, text).unwrap();
    fs::remove_file(tree.join("renewal/a.example.org.conf")).unwrap();
    fs::remove_file(tree.join("archive/a.example.org")).unwrap();
    let recovered = lock(&tree).recover(&TestMath::default(), now()).unwrap();
    let [one] = recovered.as_slice() else { panic!("{recovered:#?}") };
    let flag = format!("--also-in {}", there.display());
    assert_eq!(one.finding.code, FindingCode::InterruptedDeletion);
    assert!(one.finding.cure().ends_with(&flag), "{one:#?}");
    let report = lock(&tree).repair(None, &TestMath::default(), now()).unwrap();
    let left = report.left.iter().find(|one| one.finding.code == FindingCode::InterruptedDeletion).unwrap();
    assert!(left.repair.is_none() && left.finding.cure().ends_with(&flag), "{left:#?}");
    assert!(note.exists() && there.join("privkey2.pem").exists());
    let paths = StorePaths::new(tree.clone(), tree.join("work"), tree.join("logs")).with_own_folder(there.clone());
    let locked = Store::open(paths).unwrap().lock().unwrap();
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.failed.is_empty() && !note.exists() && !there.exists(), "{report:#?}");
}

#[test]
fn a_folder_among_the_versions_stays_with_all_that_is_in_it_and_is_told() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let archive = dir.path().join("archive/a.example.org");
    fs::write(archive.join("privkey1.pem.bak"), data("v1.key.pem")).unwrap();
    lay_lineage(&archive.join("backup"), &name(), &["v2"]);
    let before = snapshot(&archive.join("backup"));
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert_eq!(snapshot(&archive.join("backup")), before);
    assert!(!archive.join("privkey1.pem").exists() && !archive.join("privkey1.pem.bak").exists());
    let findings = deleted.findings();
    let command = format!("if nobody needs it: rm -r -- {}", archive.join("backup").display());
    assert!(!deleted.is_complete() && findings.len() == 1 && findings[0].cure() == command, "{findings:#?}");
    // What is told of the rest is no circle.
    let found = store(dir.path()).diagnose(&TestMath::default(), now()).unwrap();
    let left = found.iter().find(|one| one.finding.code == FindingCode::ArchiveWithoutConf).unwrap();
    assert!(left.finding.cure().contains("rm -r -- ") && !left.finding.cure().contains("delete"), "{left:#?}");
}

#[test]
fn a_note_is_not_written_where_certkit_is_a_link_into_another_tree() {
    let dir = temp_dir();
    let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
    for tree in [&original, &copy] {
        lay_lineage(tree, &name(), &["v1"]);
    }
    fs::create_dir(original.join("certkit")).unwrap();
    symlink(original.join("certkit"), copy.join("certkit")).unwrap();
    assert!(matches!(lock(&copy).delete(&name()), Err(DeleteError::Elsewhere { .. })));
    assert!(!original.join("certkit/deleting").exists() && copy.join("renewal/a.example.org.conf").exists());
}

#[test]
fn what_lies_on_a_disk_that_is_missing_is_neither_forgotten_nor_taken_for_absent() {
    let dir = temp_dir();
    let (tree, there) = with_part_on_disk(dir.path(), "archive");
    fs::rename(dir.path().join("disk"), dir.path().join("unplugged")).unwrap();
    let found = store(&tree).diagnose(&TestMath::default(), now()).unwrap();
    let told = found.iter().find(|one| one.finding.code == FindingCode::BrokenLineage).unwrap();
    assert!(told.finding.cure().starts_with("mount what belongs in "), "{told:#?}");
    let deleted = lock(&tree).delete(&name()).unwrap();
    let [finding] = deleted.findings().try_into().unwrap();
    assert!(!deleted.is_complete() && finding.cure().starts_with("mount the disk"), "{finding:#?}");
    assert!(finding.cure().ends_with(&format!("rm -r -- {}", there.join("a.example.org").display())), "{finding:#?}");

    // A note whose conf was put back, which nobody can see.
    let dir = temp_dir();
    let (tree, _) = with_part_on_disk(dir.path(), "renewal");
    fs::create_dir_all(tree.join("certkit/deleting")).unwrap();
    fs::copy(tree.join("renewal/a.example.org.conf"), tree.join("certkit/deleting/a.example.org")).unwrap();
    fs::rename(dir.path().join("disk"), dir.path().join("unplugged")).unwrap();
    let locked = lock(&tree);
    assert!(matches!(locked.delete(&name()), Err(DeleteError::Elsewhere { .. })));
    let _ = locked.recover(&TestMath::default(), now());
    let _ = locked.repair(None, &TestMath::default(), now());
    assert!(
        tree.join("archive/a.example.org/privkey2.pem").exists() && tree.join("live/a.example.org/cert.pem").exists()
    );
}

#[test]
fn versions_that_are_links_into_the_archive_of_another_keep_what_they_lead_to() {
    // Straight, by another name of the folder, and through a folder of links.
    for way in ["archive/a.example.org", "archive/alias", "hop"] {
        let dir = temp_dir();
        let other = LineageName::new("b.example.org").unwrap();
        lay_lineage(dir.path(), &name(), &["v1", "v2"]);
        lay_lineage(dir.path(), &other, &["v3", "v4"]);
        let at = |path: &str| dir.path().join(path);
        let (link, key) = (at("archive/b.example.org/privkey1.pem"), at("archive/a.example.org/privkey1.pem"));
        fs::create_dir(at("hop")).unwrap();
        symlink(&key, at("hop/privkey1.pem")).unwrap();
        symlink("a.example.org", at("archive/alias")).unwrap();
        fs::remove_file(&link).unwrap();
        symlink(at(way).join("privkey1.pem"), &link).unwrap();
        let deleted = lock(dir.path()).delete(&name()).unwrap();
        assert!(!deleted.is_complete() && fs::read(&link).is_ok(), "{deleted:#?}");
        let findings = deleted.findings();
        let cure = findings.iter().map(|told| told.cure()).find(|cure| cure.contains(key.to_str().unwrap())).unwrap();
        // As told: by the command where that lists them, or by their names.
        let said = cure.split_once("which ").unwrap().1.split_once("; then").unwrap().0;
        let links = match said.strip_prefix("this lists: ") {
            Some(command) => {
                let listed = Command::new("sh").args(["-c", command]).output().unwrap();
                String::from_utf8(listed.stdout).unwrap()
            }
            None => said.strip_prefix("are: ").unwrap().to_owned(),
        };
        assert_eq!(links.trim(), link.to_str().unwrap(), "{way}: {cure}");
        fs::remove_file(&link).unwrap();
        fs::copy(&key, &link).unwrap();
        lock(dir.path()).delete(&name()).unwrap();
        assert!(!key.exists(), "{way}");
    }
}

#[test]
fn a_removal_is_not_ended_where_nobody_can_see_whether_there_is_a_conf() {
    // The folder is gone, or one in which nothing is mounted.
    for is_empty in [false, true] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v2"]);
        fs::create_dir_all(dir.path().join("certkit/deleting")).unwrap();
        fs::rename(dir.path().join("renewal/a.example.org.conf"), dir.path().join("certkit/deleting/a.example.org"))
            .unwrap();
        fs::rename(dir.path().join("renewal"), dir.path().join("elsewhere")).unwrap();
        if is_empty {
            fs::create_dir(dir.path().join("renewal")).unwrap();
        }
        let locked = lock(dir.path());
        let told = locked.recover(&TestMath::default(), now());
        let _ = locked.repair(None, &TestMath::default(), now());
        assert!(dir.path().join("archive/a.example.org/privkey1.pem").exists());
        if is_empty {
            assert!(told.unwrap()[0].finding.evidence.as_str().contains("is its disk mounted?"));
            fs::remove_dir(dir.path().join("renewal")).unwrap();
        }
        fs::rename(dir.path().join("elsewhere"), dir.path().join("renewal")).unwrap();
        locked.recover(&TestMath::default(), now()).unwrap();
        assert!(!dir.path().join("archive/a.example.org").exists());
    }
}

#[test]
fn why_the_rest_of_a_removal_waits_is_told_as_it_is() {
    let begun = |tree: &Path| {
        fs::create_dir_all(tree.join("certkit/deleting")).unwrap();
        fs::rename(tree.join("renewal/a.example.org.conf"), tree.join("certkit/deleting/a.example.org")).unwrap();
        let told = lock(tree).recover(&TestMath::default(), now()).unwrap();
        let one = told.iter().find(|one| one.finding.code == FindingCode::InterruptedDeletion).unwrap();
        (one.finding.evidence.as_str().to_owned(), one.finding.cure().to_owned())
    };
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3"]);
    let link = dir.path().join("archive/b.example.org/privkey9.pem");
    symlink(dir.path().join("archive/a.example.org/privkey1.pem"), link).unwrap();
    let (evidence, cure) = begun(dir.path());
    assert!(evidence.contains("only copies") && cure.starts_with("put copies"), "{evidence}: {cure}");

    let dir = temp_dir();
    let (tree, _) = with_part_on_disk(dir.path(), "archive");
    fs::rename(dir.path().join("disk"), dir.path().join("unplugged")).unwrap();
    let (evidence, cure) = begun(&tree);
    assert!(evidence.contains("is not there") && cure.starts_with("mount the disk"), "{evidence}: {cure}");
}

#[test]
fn a_link_in_the_place_of_a_folder_stays_where_another_conf_leads_through_it() {
    for part in ["live/a.example.org", "archive/a.example.org"] {
        let dir = temp_dir();
        let (tree, _) = with_part_on_disk(dir.path(), part);
        for kind in certkit_core::store::Kind::ALL {
            let link = tree.join("live/a.example.org").join(kind.live_file());
            fs::remove_file(&link).unwrap();
            let version = kind.archive_file(certkit_core::Version(2));
            symlink(tree.join("archive/a.example.org").join(version), link).unwrap();
        }
        fs::copy(tree.join("renewal/a.example.org.conf"), tree.join("renewal/copy.conf")).unwrap();
        lock(&tree).delete(&name()).unwrap();
        assert!(tree.join(part).is_symlink(), "{part}");
        assert!(fs::read(tree.join("live/a.example.org/privkey.pem")).is_ok(), "{part}");
    }
}

#[test]
fn what_is_another_trees_stays_and_is_nobodys_loss() {
    let dir = temp_dir();
    let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
    lay_lineage(&original, &name(), &["v1"]);
    assert!(Command::new("cp").arg("-a").args([&original, &copy]).status().unwrap().success());
    let before = snapshot(&original);
    let deleted = lock(&copy).delete(&name()).unwrap();
    assert!(deleted.is_complete() && deleted.kept.iter().all(|kept| kept.tree.as_ref() == Some(&original)));
    for finding in deleted.findings() {
        assert_eq!(finding.severity, Severity::Notice);
        assert!(finding.cure().ends_with(&format!("--config-dir {}", original.display())), "{finding:#?}");
    }
    assert!(!deleted.kept.is_empty() && snapshot(&original) == before);
    assert!(!copy.join("archive/a.example.org").exists());
}

#[test]
fn the_confs_may_name_the_config_dir_by_a_link_to_it() {
    let dir = temp_dir();
    let (tree, alias) = (dir.path().join("srv"), dir.path().join("etc"));
    fs::create_dir(&tree).unwrap();
    symlink("srv", &alias).unwrap();
    lay_lineage(&alias, &name(), &["v1", "v2"]);
    lay_lineage(&alias, &LineageName::new("b.example.org").unwrap(), &["v3"]);
    for config_dir in [&tree, &alias] {
        assert!(store(config_dir).sharing(&name()).unwrap().is_empty(), "{}", config_dir.display());
    }
    let deleted = lock(&tree).delete(&name()).unwrap();
    assert!(deleted.kept.is_empty() && !tree.join("archive/a.example.org").exists(), "{deleted:?}");
}

#[test]
fn the_command_for_what_lies_outside_leaves_a_folder_that_others_lead_through() {
    let dir = temp_dir();
    let (tree, there) = with_part_on_disk(dir.path(), "archive/a.example.org");
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(&tree, &other, &["v3"]);
    fs::rename(tree.join("archive/b.example.org"), dir.path().join("disk/b")).unwrap();
    symlink("a.example.org/../b", tree.join("archive/b.example.org")).unwrap();
    let whole = whole_version(&tree, &other);
    let deleted = lock(&tree).delete(&name()).unwrap();
    let findings = deleted.findings();
    let (_, command) = findings[0].cure().split_once("if none does: ").unwrap();
    assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success(), "{command}");
    assert_eq!(whole_version(&tree, &other), whole, "{command}");
    assert!(there.is_dir() && fs::read_dir(&there).unwrap().next().is_none(), "{command}");
}

#[test]
fn what_went_with_the_versions_is_not_told_as_kept() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let conf = dir.path().join("renewal/a.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let wrong = text.replace("live/a.example.org/cert.pem", "archive/a.example.org/cert2.pem");
    assert_ne!(text, wrong);
    fs::write(&conf, wrong).unwrap();
    fs::write(dir.path().join("live/a.example.org/dhparam.pem"), "the owner's").unwrap();
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert!(!dir.path().join("archive/a.example.org").exists());
    let kept: Vec<_> = deleted.kept.iter().map(|kept| kept.folder.clone()).collect();
    assert_eq!(kept, [dir.path().join("live/a.example.org")], "{deleted:#?}");
}

#[test]
fn live_links_that_old_versions_of_another_lead_through_stay_until_these_are_copies() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3", "v4"]);
    let link = dir.path().join("archive/b.example.org/privkey1.pem");
    fs::remove_file(&link).unwrap();
    symlink("../../live/a.example.org/privkey.pem", &link).unwrap();
    let key = fs::read(&link).unwrap();
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert!(!deleted.is_complete(), "{deleted:#?}");
    let codes: Vec<_> = deleted.findings().iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&FindingCode::LiveWithoutConf), "{deleted:#?}");
    assert_eq!(fs::read(&link).unwrap(), key);
    fs::remove_file(&link).unwrap();
    fs::write(&link, &key).unwrap();
    assert!(lock(dir.path()).delete(&name()).unwrap().is_complete());
    for folder in ["live", "archive"] {
        assert!(!dir.path().join(folder).join("a.example.org").exists(), "{folder}");
    }
}

#[test]
fn own_old_versions_that_lead_through_the_own_live_links_keep_nothing() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let link = dir.path().join("archive/a.example.org/cert1.pem");
    fs::remove_file(&link).unwrap();
    symlink("../../live/a.example.org/cert.pem", &link).unwrap();
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert!(deleted.is_complete() && deleted.kept.is_empty(), "{deleted:#?}");
    for folder in ["live", "archive"] {
        assert!(!dir.path().join(folder).join("a.example.org").exists(), "{folder}");
    }
}
