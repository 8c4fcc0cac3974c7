//! What the audit says about each inconsistency, and that it says nothing about a tree in order.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use certkit_core::store::Kind;
use certkit_core::{FindingCode, LineageName, Version};

use crate::support::{lay_lineage, lock, name, order, point_link, store, temp_dir, write_version};

fn tree() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    fs::write(dir.path().join("live/README"), "what certbot says\n").unwrap();
    dir
}

/// Code, subject and evidence of every finding.
fn audit(dir: &Path) -> Vec<(FindingCode, String, String)> {
    let findings = store(dir).audit().unwrap();
    findings.into_iter().map(|finding| (finding.code, finding.subject, finding.evidence)).collect()
}

#[test]
fn a_tree_in_order_has_no_findings() {
    assert_eq!(audit(tree().path()), []);
}

#[test]
fn folders_that_no_conf_speaks_of_are_orphans() {
    let dir = tree();
    fs::create_dir(dir.path().join("live/a.example.com")).unwrap();
    fs::create_dir(dir.path().join("archive/z")).unwrap();
    fs::write(dir.path().join("archive/z/cert1.pem"), "").unwrap();
    fs::create_dir(dir.path().join("live/.hidden")).unwrap();
    assert_eq!(
        audit(dir.path()),
        [
            (FindingCode::LiveWithoutConf, "live/a.example.com".to_owned(), "it is empty".to_owned()),
            (FindingCode::ArchiveWithoutConf, "archive/z".to_owned(), "it holds 1 files".to_owned()),
        ]
    );
}

#[test]
fn folders_that_another_conf_uses_are_no_orphans() {
    let dir = tree();
    // Two confs for one lineage, and a conf whose archive has another name.
    let conf = dir.path().join("renewal/a.example.org.conf");
    fs::copy(&conf, dir.path().join("renewal/second.conf")).unwrap();
    fs::remove_file(&conf).unwrap();
    fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("archive/other")).unwrap();
    for kind in Kind::ALL {
        let link = dir.path().join("live/a.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(format!("../../archive/other/{}", kind.archive_file(Version(2))), link).unwrap();
    }
    let evidence = "it says archive/a.example.org, and they lead to archive/other".to_owned();
    assert_eq!(audit(dir.path()), [(FindingCode::ArchiveDirDiffers, "second".to_owned(), evidence)]);
    // Also when the lineage is broken, and also when its conf cannot even be read.
    fs::remove_file(dir.path().join("live/a.example.org/chain.pem")).unwrap();
    let codes: Vec<_> = audit(dir.path()).into_iter().map(|finding| finding.0).collect();
    assert_eq!(codes, [FindingCode::BrokenLineage]);
    let dir = tree();
    fs::write(dir.path().join("renewal/a.example.org.conf"), "nonsense").unwrap();
    let codes: Vec<_> = audit(dir.path()).into_iter().map(|finding| finding.0).collect();
    assert_eq!(codes, [FindingCode::BrokenLineage]);
}

#[test]
fn interrupted_switches_and_disagreeing_links_are_found() {
    let dir = tree();
    point_link(dir.path(), &name(), Kind::Cert, 1);
    let archive = dir.path().join("archive/a.example.org");
    symlink(archive.join("cert1.pem"), dir.path().join("live/a.example.org/previous_cert.pem")).unwrap();
    assert_eq!(
        audit(dir.path()),
        [
            (
                FindingCode::InterruptedSwitch,
                "a.example.org".to_owned(),
                "1 of 4 journal links, such as live/a.example.org/previous_cert.pem".to_owned()
            ),
            (
                FindingCode::MixedVersions,
                "a.example.org".to_owned(),
                "cert1.pem, privkey2.pem, chain2.pem, fullchain2.pem".to_owned()
            ),
        ]
    );
}

#[test]
fn a_link_into_another_lineages_archive_is_named() {
    let dir = tree();
    lay_lineage(dir.path(), &LineageName::new("b").unwrap(), &["v1"]);
    let link = dir.path().join("live/a.example.org/privkey.pem");
    fs::remove_file(&link).unwrap();
    symlink("../../archive/b/privkey1.pem", &link).unwrap();
    let findings = audit(dir.path());
    let evidence = format!("{} points to {}", link.display(), dir.path().join("archive/b/privkey1.pem").display());
    assert_eq!(findings, [(FindingCode::ForeignLink, "a.example.org".to_owned(), evidence)]);
}

/// So many that all cores look.
#[test]
fn what_many_lineages_have_wrong_is_told_in_their_order_whoever_looked() {
    let dir = temp_dir();
    let at = |number: usize| LineageName::new(format!("n{number:03}")).unwrap();
    (0..200).for_each(|number| lay_lineage(dir.path(), &at(number), &["v1", "v2"]));
    assert_eq!(audit(dir.path()), []);
    // One that is mixed, one that is broken, one whose links lead into the archive of one that comes after it.
    point_link(dir.path(), &at(150), Kind::Cert, 1);
    fs::remove_file(dir.path().join("live/n100/chain.pem")).unwrap();
    for kind in Kind::ALL {
        let link = dir.path().join("live/n020").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(format!("../../archive/n180/{}", kind.archive_file(Version(1))), link).unwrap();
    }
    let findings: Vec<_> = audit(dir.path());
    let evidence = "its links lead into archive/n180, the archive of `n180`".to_owned();
    assert_eq!(findings[0], (FindingCode::ForeignLink, "n020".to_owned(), evidence));
    let told: Vec<_> = findings.into_iter().map(|(code, subject, _)| (code, subject)).collect();
    assert_eq!(
        told,
        [
            (FindingCode::ForeignLink, "n020".to_owned()),
            (FindingCode::BrokenLineage, "n100".to_owned()),
            (FindingCode::MixedVersions, "n150".to_owned()),
        ]
    );
}

#[test]
fn a_newer_complete_version_and_a_readable_key_are_found() {
    let dir = tree();
    write_version(dir.path(), &name(), 5, "v3");
    let orphan = dir.path().join("archive/a.example.org/privkey6.pem");
    fs::write(&orphan, "").unwrap();
    fs::set_permissions(orphan, fs::Permissions::from_mode(0o604)).unwrap();
    let key = dir.path().join("archive/a.example.org/privkey2.pem");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        audit(dir.path()),
        [
            (FindingCode::NewerVersionNotLive, "a.example.org".to_owned(), "version 5".to_owned()),
            (FindingCode::PrivateKeyReadable, "archive/a.example.org/privkey2.pem".to_owned(), "mode 0644".to_owned()),
            (FindingCode::PrivateKeyReadable, "archive/a.example.org/privkey6.pem".to_owned(), "mode 0604".to_owned()),
        ]
    );
}

#[test]
fn certkits_own_memory_is_looked_at() {
    let dir = tree();
    let locked = lock(dir.path());
    locked.begin(&name(), &crate::support::key("v3"), order()).unwrap();
    drop(locked);
    let own = dir.path().join("certkit");
    fs::create_dir_all(own.join("aside/a.example.org/0123abcd")).unwrap();
    fs::create_dir_all(own.join("pending/torn")).unwrap();
    // A key without an order, as an order that the CA refused leaves it, is nothing to tell of.
    fs::create_dir_all(own.join("pending/reserved")).unwrap();
    fs::write(own.join("pending/reserved/privkey.pem"), "key").unwrap();
    fs::create_dir_all(own.join("state")).unwrap();
    fs::write(own.join("state/gone.example.json"), "{").unwrap();
    let findings: Vec<_> = audit(dir.path()).into_iter().map(|(code, subject, _)| (code, subject)).collect();
    assert_eq!(
        findings,
        [
            (FindingCode::OrderPending, "a.example.org".to_owned()),
            (FindingCode::StateDamaged, "certkit/pending/torn".to_owned()),
            (FindingCode::SetAside, "a.example.org".to_owned()),
            (FindingCode::StateDamaged, "certkit/state/gone.example.json".to_owned()),
        ]
    );
}

#[test]
fn an_order_for_a_certificate_that_was_never_there_is_not_said_to_be_for_renew() {
    let dir = tree();
    let locked = lock(dir.path());
    let first = LineageName::new("first.example.org").unwrap();
    locked.begin(&first, &crate::support::key("v3"), order()).unwrap();
    locked.begin(&name(), &crate::support::key("v4"), order()).unwrap();
    drop(locked);
    let cures: Vec<_> = store(dir.path()).audit().unwrap().iter().map(|one| one.cure().to_string()).collect();
    assert_eq!(cures.len(), 2, "{cures:?}");
    assert!(cures[0].contains("the next renewal goes on with it"), "{cures:?}");
    assert!(cures[1].contains("run the command that was to obtain it again"), "{cures:?}");
}

#[test]
fn a_folder_that_cannot_be_read_is_a_finding() {
    let dir = tree();
    fs::remove_dir_all(dir.path().join("live")).unwrap();
    fs::write(dir.path().join("live"), "").unwrap();
    let codes: Vec<_> = audit(dir.path()).into_iter().map(|(code, subject, _)| (code, subject)).collect();
    assert_eq!(
        codes,
        [(FindingCode::BrokenLineage, "a.example.org".to_owned()), (FindingCode::Unreadable, "live".to_owned()),]
    );
}
