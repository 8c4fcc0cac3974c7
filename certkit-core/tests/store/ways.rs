//! Whatever a certificate, an account or a conf needs of another certificate's folders stays when that one goes: links to folders
//! on the way to it, folders that `..` leaves again, files of its own that lie there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certkit_core::store::Kind;
use certkit_core::{LineageName, Version};

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
    let account = "accounts/acme.example/directory/0123/private_key.json";
    let rest = archives.iter().map(|path| text(path)).chain([text(account)]);
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
        let left = report.left.iter().find(|one| one.name == Some(name())).unwrap();
        assert_eq!(left.finding.cure(), format!("leave it: paths of {OTHER} lead through it"), "{how}");
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
