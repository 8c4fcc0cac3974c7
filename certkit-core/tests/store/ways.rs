//! Whatever a certificate, an account or a conf needs of another certificate's folders stays when that one goes: links to folders
//! on the way to it, folders that `..` leaves again, files of its own that lie there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certkit_core::store::Kind;
use certkit_core::{FindingCode, LineageName, Version};

use crate::support::*;

const OTHER: &str = "b.example.org";

/// How the second lineage needs what lies in the folders of the first, in the words of a test.
type Layout = (&'static str, fn(&Path));

fn rewrite(dir: &Path, from: &str, to: &str) {
    let conf = dir.join("renewal/b.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&conf, text.replace(from, to)).unwrap();
}

/// All links of the second lineage lead to version 2 in this folder, by this way.
fn relink(live: &Path, by: &str) {
    for kind in Kind::ALL {
        let link = live.join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(format!("{by}/{}", kind.archive_file(Version(2))), link).unwrap();
    }
}

fn moved(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}

const LAYOUTS: &[Layout] = &[
    ("a link to a folder of versions", |dir| {
        moved(&dir.join("archive/b.example.org"), &dir.join("vault/b"));
        symlink("../../vault/b", dir.join("archive/a.example.org/sub")).unwrap();
        rewrite(dir, "archive/b.example.org", "archive/a.example.org/sub");
        relink(&dir.join("live/b.example.org"), "../../archive/a.example.org/sub");
    }),
    ("an archive that is a link to a link there", |dir| {
        moved(&dir.join("archive/b.example.org"), &dir.join("vault/b"));
        symlink("../../vault/b", dir.join("archive/a.example.org/m")).unwrap();
        symlink("a.example.org/m", dir.join("archive/b.example.org")).unwrap();
    }),
    ("an archive by way of an archive that is a link", |dir| {
        moved(&dir.join("archive/a.example.org"), &dir.join("disk/a"));
        moved(&dir.join("archive/b.example.org"), &dir.join("disk/b"));
        symlink("../disk/a", dir.join("archive/a.example.org")).unwrap();
        symlink("a.example.org/../b", dir.join("archive/b.example.org")).unwrap();
    }),
    ("a live folder that is a link to a link there", |dir| {
        moved(&dir.join("live/b.example.org"), &dir.join("vl/b"));
        symlink("../../vl/b", dir.join("live/a.example.org/m")).unwrap();
        symlink("a.example.org/m", dir.join("live/b.example.org")).unwrap();
    }),
    ("links that go up through an archive", |dir| {
        relink(&dir.join("live/b.example.org"), "../../archive/a.example.org/../b.example.org");
    }),
    ("links that go up through a live folder", |dir| {
        relink(&dir.join("live/b.example.org"), "../a.example.org/../../archive/b.example.org");
    }),
    ("a conf that goes up through a live folder", |dir| {
        rewrite(dir, "live/b.example.org", "live/a.example.org/../b.example.org");
    }),
    ("a key by way of a folder there", |dir| {
        moved(&dir.join("archive/b.example.org/privkey1.pem"), &dir.join("vault/k1.pem"));
        symlink("../../vault", dir.join("archive/a.example.org/keys")).unwrap();
        symlink("../a.example.org/keys/k1.pem", dir.join("archive/b.example.org/privkey1.pem")).unwrap();
    }),
    ("a conf that lies there", |dir| {
        moved(&dir.join("renewal/b.example.org.conf"), &dir.join("archive/a.example.org/m.conf"));
        symlink("../archive/a.example.org/m.conf", dir.join("renewal/b.example.org.conf")).unwrap();
    }),
    ("a conf that lies among the live links", |dir| {
        moved(&dir.join("renewal/b.example.org.conf"), &dir.join("live/a.example.org/m.conf"));
        symlink("../live/a.example.org/m.conf", dir.join("renewal/b.example.org.conf")).unwrap();
    }),
    ("an archive_dir that is a link there", |dir| {
        moved(&dir.join("archive/b.example.org"), &dir.join("vault/b"));
        symlink("../../vault/b", dir.join("archive/a.example.org/m")).unwrap();
        symlink("../vault/b", dir.join("archive/b.example.org")).unwrap();
        rewrite(dir, "archive_dir = ", &format!("archive_dir = {}/archive/a.example.org/m #", dir.display()));
    }),
    ("accounts by way of a link there", |dir| {
        fs::create_dir_all(dir.join("vault/acc/acme.example/directory/0123")).unwrap();
        fs::write(dir.join("vault/acc/acme.example/directory/0123/private_key.json"), "the only one").unwrap();
        symlink("../../vault/acc", dir.join("archive/a.example.org/acc")).unwrap();
        symlink("archive/a.example.org/acc", dir.join("accounts")).unwrap();
    }),
    ("an account's key that links in a linked folder lead to", |dir| {
        let account = dir.join("vault/host/directory/0123");
        fs::create_dir_all(&account).unwrap();
        fs::create_dir_all(dir.join("accounts")).unwrap();
        symlink("../vault/host", dir.join("accounts/acme.example")).unwrap();
        fs::write(dir.join("archive/a.example.org/acct.json"), "the only one").unwrap();
        symlink(dir.join("archive/a.example.org/acct.json"), account.join("private_key.json")).unwrap();
        // In a circle.
        symlink("../../..", account.join("loop")).unwrap();
        symlink(dir.join("accounts"), account.join("loop2")).unwrap();
    }),
    ("an old key by way of an archive", |dir| {
        moved(&dir.join("archive/b.example.org/privkey1.pem"), &dir.join("vault/k1.pem"));
        symlink("../a.example.org/../../vault/k1.pem", dir.join("archive/b.example.org/privkey1.pem")).unwrap();
    }),
    ("an old key in a folder there", |dir| {
        fs::create_dir(dir.join("archive/a.example.org/x")).unwrap();
        moved(&dir.join("archive/b.example.org/privkey1.pem"), &dir.join("archive/a.example.org/x/k1.pem"));
        symlink("../a.example.org/x/k1.pem", dir.join("archive/b.example.org/privkey1.pem")).unwrap();
    }),
    ("a hook and settings that lie there", |dir| {
        fs::create_dir_all(dir.join("renewal-hooks/deploy")).unwrap();
        for (file, link) in [("hook.sh", "renewal-hooks/deploy/hook.sh"), ("cli.ini", "cli.ini")] {
            fs::write(dir.join("archive/a.example.org").join(file), "#").unwrap();
            symlink(dir.join("archive/a.example.org").join(file), dir.join(link)).unwrap();
        }
    }),
    ("credentials that lie there", |dir| {
        fs::write(dir.join("archive/a.example.org/dns.ini"), "secret").unwrap();
        let line = format!("dns_x_credentials = {}/archive/a.example.org/dns.ini\n", dir.display());
        rewrite(dir, "[renewalparams]\n", &format!("[renewalparams]\n{line}"));
    }),
    ("an account's key that lies there", |dir| {
        let account = dir.join("accounts/acme.example/directory/0123");
        fs::create_dir_all(&account).unwrap();
        fs::write(dir.join("archive/a.example.org/acct.json"), "the only one").unwrap();
        symlink("../../../../archive/a.example.org/acct.json", account.join("private_key.json")).unwrap();
    }),
];

/// What the second lineage and the account say, by the paths that programs use.
fn read(dir: &Path) -> Vec<Option<String>> {
    let text = |path: &str| fs::read_to_string(dir.join(path)).ok();
    let conf = text("renewal/b.example.org.conf");
    let paths = conf.iter().flat_map(|conf| conf.lines());
    let paths = paths.filter_map(|line| line.split_once(" = ")).filter(|(_, path)| path.ends_with(".pem"));
    let live: Vec<_> = paths.map(|(_, path)| fs::read_to_string(path).ok()).collect();
    let archives = [1, 2].map(|version| format!("archive/b.example.org/privkey{version}.pem"));
    let others = [
        "accounts/acme.example/directory/0123/private_key.json",
        "renewal-hooks/deploy/hook.sh",
        "cli.ini",
        "archive/a.example.org/dns.ini",
    ];
    let rest = archives.iter().map(|path| text(path)).chain(others.map(text));
    live.into_iter().chain(rest).chain([conf]).collect()
}

/// What the command in a cure lists.
fn listed_by(cure: &str) -> Vec<PathBuf> {
    let start = cure.find("find ").unwrap_or_else(|| panic!("{cure}"));
    let command = cure[start..].split(';').next().unwrap();
    let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{cure}: {output:?}");
    let mut listed: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect();
    listed.sort();
    listed
}

#[test]
fn what_others_need_stays_when_a_certificate_is_deleted_or_its_empty_conf_repaired() {
    for (how, lay) in LAYOUTS {
        for operation in ["delete", "repair"] {
            let dir = temp_dir();
            lay_lineage(dir.path(), &name(), &["v1"]);
            lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
            lay(dir.path());
            let before = read(dir.path());
            assert!(before.iter().filter(|text| text.is_some()).count() >= 5, "{how}: {before:?}");
            let locked = lock(dir.path());
            let told = if operation == "delete" {
                format!("{:?}", locked.delete(&name()))
            } else {
                fs::write(dir.path().join("renewal/a.example.org.conf"), "").unwrap();
                for file in ["cert1.pem", "fullchain1.pem"] {
                    fs::write(dir.path().join("archive/a.example.org").join(file), "").unwrap();
                }
                format!("{:#?}", locked.repair(None, &TestMath::default(), now()))
            };
            assert_eq!(read(dir.path()), before, "{how}, {operation}: {told}");
        }
    }
}

#[test]
fn a_conf_that_another_is_a_link_to_is_not_deleted() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    symlink("a.example.org.conf", dir.path().join("renewal/b.example.org.conf")).unwrap();
    let locked = lock(dir.path());
    let told = locked.delete(&name()).unwrap_err();
    let cure = told.cure().unwrap();
    assert!(cure.starts_with("put a copy"), "{told:?}");
    assert_eq!(listed_by(cure), ["a", "b"].map(|one| dir.path().join(format!("renewal/{one}.example.org.conf"))));
    whole_version(dir.path(), &name());
    // As told.
    let conf = dir.path().join("renewal/b.example.org.conf");
    let text = fs::read(&conf).unwrap();
    fs::remove_file(&conf).unwrap();
    fs::write(&conf, text).unwrap();
    locked.delete(&name()).unwrap();
    assert!(!dir.path().join("renewal/a.example.org.conf").exists() && conf.exists());
}

#[test]
fn what_is_left_for_the_sake_of_anothers_old_key_is_not_called_nobodys() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
    let (_, lay) = LAYOUTS.iter().find(|(how, _)| *how == "a key by way of a folder there").unwrap();
    lay(dir.path());
    let locked = lock(dir.path());
    locked.delete(&name()).unwrap();
    let found = locked.repair(None, &TestMath::default(), now()).unwrap().left;
    let one = found.iter().find(|one| one.name == Some(name())).unwrap();
    let cure = one.finding.cure();
    assert!(cure.contains("archive/a.example.org/keys") && !cure.contains("rm -r"), "{cure}");
    assert_eq!(listed_by(cure), [dir.path().join("archive/b.example.org/privkey1.pem")], "{cure}");
}

#[test]
fn of_a_folder_that_is_only_on_the_way_of_others_no_key_stays_when_its_certificate_goes() {
    for (how, folder, other) in [
        ("links that go up through an archive", "archive/a.example.org", "live/a.example.org"),
        ("links that go up through a live folder", "live/a.example.org", "archive/a.example.org"),
        ("a conf that goes up through a live folder", "live/a.example.org", "archive/a.example.org"),
    ] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
        let (_, lay) = LAYOUTS.iter().find(|(words, _)| *words == how).unwrap();
        lay(dir.path());
        let before = read(dir.path());
        let locked = lock(dir.path());
        let deleted = locked.delete(&name()).unwrap();
        assert!(deleted.is_complete(), "{how}: {deleted:?}");
        let [stays] = deleted.findings().try_into().unwrap();
        assert!(stays.evidence.contains(OTHER) && stays.cure().contains("rmdir"), "{how}: {stays:?}");
        let is_empty = || fs::read_dir(dir.path().join(folder)).unwrap().next().is_none();
        assert!(is_empty() && !dir.path().join(other).exists(), "{how}");
        // Nor does a repair take it for an empty folder that nobody needs, with whatever name.
        fs::create_dir(dir.path().join("live/nobodys.example.org")).unwrap();
        let report = locked.repair(None, &TestMath::default(), now()).unwrap();
        assert!(is_empty() && !dir.path().join("live/nobodys.example.org").exists(), "{how}: {report:?}");
        assert!(report.left.iter().all(|one| one.name != Some(name())), "{how}: {report:?}");
        // With something in it, it is told whose way it is.
        fs::write(dir.path().join(folder).join("cert.pem"), "").unwrap();
        let found = locked.store().diagnose(&TestMath::default(), now()).unwrap();
        let cure = found.iter().find(|one| one.name == Some(name())).unwrap().finding.cure();
        assert!(
            cure.starts_with(&format!("leave the folder, since paths of {OTHER} lead through it")),
            "{how}: {cure}"
        );
        assert_eq!(read(dir.path()), before, "{how}");
    }
}

#[test]
fn an_empty_folder_of_a_name_that_is_none_stays_where_paths_lead_through_it() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
    for folder in ["archive/way of b", "archive/nobody's"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    relink(&dir.path().join("live/b.example.org"), "../../archive/way of b/../b.example.org");
    let before = read(dir.path());
    lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
    assert_eq!(read(dir.path()), before);
    assert!(dir.path().join("archive/way of b").exists() && !dir.path().join("archive/nobody's").exists());
}

#[test]
fn the_cure_for_what_its_owner_put_beside_the_links_removes_nothing_that_others_need() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
    fs::write(dir.path().join("live/a.example.org/dh.pem"), "").unwrap();
    moved(&dir.path().join("live/b.example.org"), &dir.path().join("live/a.example.org/b"));
    symlink("a.example.org/b", dir.path().join("live/b.example.org")).unwrap();
    let account = dir.path().join("accounts/acme.example/directory/0123");
    fs::create_dir_all(account.parent().unwrap()).unwrap();
    fs::create_dir_all(dir.path().join("live/a.example.org/x/acct")).unwrap();
    fs::write(dir.path().join("live/a.example.org/x/acct/private_key.json"), "the only one").unwrap();
    symlink(dir.path().join("live/a.example.org/x/acct"), &account).unwrap();
    // Links in it lead to the same as before.
    for kind in Kind::ALL {
        let link = dir.path().join("live/a.example.org/b").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(dir.path().join("archive/b.example.org").join(kind.archive_file(Version(2))), link).unwrap();
    }
    let before = read(dir.path());
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    assert_eq!(read(dir.path()), before);
    let findings = deleted.findings();
    let told = findings.iter().find(|one| one.evidence.contains("dh.pem")).unwrap();
    let command = told.cure().strip_prefix("if nobody needs it: ").unwrap();
    let status = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success() && !dir.path().join("live/a.example.org/dh.pem").exists(), "{told:?}");
    assert_eq!(read(dir.path()), before, "{command}");
}

#[test]
fn a_copy_of_a_key_in_an_archive_of_its_own_is_told() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    moved(&dir.path().join("archive/a.example.org"), &dir.path().join("keys/a"));
    symlink("../keys/a", dir.path().join("archive/a.example.org")).unwrap();
    fs::write(dir.path().join("keys/a/copy.pem"), "a key").unwrap();
    let deleted = lock(dir.path()).delete(&name()).unwrap();
    let left: Vec<_> = fs::read_dir(dir.path().join("keys/a")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["copy.pem"], "{deleted:?}");
    let [told] = deleted.findings().try_into().unwrap();
    assert!(told.evidence.contains("copy.pem") && told.cure().ends_with("keys/a"), "{told:?}");
    let privkey = dir.path().join("keys/a/privkey1.pem");
    assert!(deleted.removed.iter().any(|path| path.ends_with("keys/a/privkey1.pem")), "{privkey:?}: {deleted:?}");
}

#[test]
fn whose_archives_are_links_side_by_side_share_nothing() {
    let dir = temp_dir();
    for lineage in [name(), LineageName::new(OTHER).unwrap()] {
        lay_lineage(dir.path(), &lineage, &["v1"]);
        let archive = dir.path().join("archive").join(lineage.as_str());
        moved(&archive, &dir.path().join("disk").join(lineage.as_str()));
        symlink(format!("../disk/{lineage}"), archive).unwrap();
    }
    let store = lock(dir.path());
    assert!(store.store().sharing(&name()).unwrap().is_empty());
    let deleted = store.delete(&name()).unwrap();
    assert!(deleted.is_complete() && !dir.path().join("disk/a.example.org").exists(), "{deleted:?}");
}

#[test]
fn a_line_of_a_certificate_that_is_gone_is_nobody_elses_to_repair() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
    rewrite(dir.path(), "live/b.example.org/privkey.pem", "live/a.example.org/privkey.pem");
    let store = lock(dir.path());
    store.delete(&name()).unwrap();
    let key = dir.path().join("live/a.example.org/privkey.pem");
    let before = fs::read_link(&key).unwrap();
    let report = store.repair(None, &TestMath::default(), now()).unwrap();
    assert_eq!(fs::read_link(&key).unwrap(), before, "{report:?}");
    assert!(report.left.iter().any(|one| one.finding.evidence.contains("a live link of a.example.org")), "{report:?}");
}

#[test]
fn an_interrupted_deletion_that_waits_for_its_owner_is_not_promised_to_be_repaired() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    lay_lineage(dir.path(), &LineageName::new(OTHER).unwrap(), &["v2", "v3"]);
    moved(
        &dir.path().join("archive/b.example.org/privkey1.pem"),
        &dir.path().join("archive/a.example.org/privkey9.pem"),
    );
    symlink("../a.example.org/privkey9.pem", dir.path().join("archive/b.example.org/privkey1.pem")).unwrap();
    moved(&dir.path().join("renewal/a.example.org.conf"), &dir.path().join("certkit/deleting/a.example.org"));
    let before = read(dir.path());
    let report = lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
    let told = report.left.iter().find(|one| one.finding.code == FindingCode::InterruptedDeletion).unwrap();
    assert!(told.repair.is_none() && report.failed.is_empty(), "{report:?}");
    let cure = told.finding.cure();
    assert!(cure.starts_with("put copies") && cure.ends_with("--cert-name a.example.org"), "{cure}");
    assert_eq!(read(dir.path()), before);
}

#[test]
fn a_link_back_into_the_tree_keeps_no_key() {
    for link in ["renewal-hooks/deploy/up", "accounts/up", "accounts/host/up", "certkit/lineages/up"] {
        for to in ["", "live", "/"] {
            let dir = temp_dir();
            lay_lineage(dir.path(), &name(), &["v1"]);
            fs::create_dir_all(dir.path().join(link).parent().unwrap()).unwrap();
            symlink(if to == "/" { to.into() } else { dir.path().join(to) }, dir.path().join(link)).unwrap();
            let deleted = lock(dir.path()).delete(&name()).unwrap();
            let is_gone = |folder: &str| !dir.path().join(folder).join("a.example.org").exists();
            assert!(is_gone("live") && is_gone("archive") && deleted.kept.is_empty(), "{link} {to}: {deleted:?}");
        }
    }
}
