use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use certkit_acme::command::CommandSettings;
use certkit_acme::deploy::deploy;
use certkit_core::settings::DeploySetting;
use certkit_core::store::Kind;

use super::{FOUR, Version, access, combined, copy, copy_for, copy_of, is_root, mode, names, read};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_copy_is_four_files_of_which_only_the_key_is_private() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    version.deploy(&copy(folder.path())).await.unwrap();
    assert!(version.is_in(folder.path()));
    assert_eq!(names(folder.path()), FOUR);
    assert_eq!(FOUR.map(|name| mode(&folder.path().join(name))), [0o644, 0o644, 0o644, 0o600]);
}

#[tokio::test]
async fn only_the_chosen_files_are_copied() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let chosen = [Kind::Privkey, Kind::Fullchain, Kind::Privkey];
    version.deploy(&copy_of(folder.path(), &chosen)).await.unwrap();
    assert_eq!(names(folder.path()), ["fullchain.pem", "privkey.pem"]);
    let nothing = version.refused(&copy_of(folder.path(), &[])).await;
    assert!(nothing.contains("leave `files` out"), "{nothing}");
}

#[tokio::test]
async fn owner_group_and_mode_are_those_of_the_settings() {
    assert!(is_root(), "only root may give files away: run the tests as root");
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let key = folder.path().join("privkey.pem");
    let stat = || fs::metadata(&key).map(|stat| (stat.uid(), stat.gid(), stat.mode() & 0o7777)).unwrap();
    version.deploy(&copy_for(folder.path(), access(Some("nobody"), Some("65534"), Some(0o640)))).await.unwrap();
    assert_eq!(stat(), (65534, 65534, 0o640));
    // Another owner alone is a reason to write again, and what the settings do not say any more is not kept.
    version.deploy(&copy_for(folder.path(), access(None, None, None))).await.unwrap();
    assert_eq!(stat(), (0, 0, 0o600));
    version.deploy(&copy_for(folder.path(), access(Some("65534"), None, Some(0o400)))).await.unwrap();
    assert_eq!(stat(), (65534, 0, 0o400));
}

#[tokio::test]
async fn somebody_who_does_not_exist_gets_nothing() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let refused = version.refused(&copy_for(folder.path(), access(Some("no-such-user"), None, None))).await;
    let expected = format!("copy to {}: there is no owner `no-such-user` on this machine", folder.path().display());
    assert!(refused.starts_with(&expected), "{refused}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_mode_that_opens_the_key_to_everybody_is_refused() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let refused = version.refused(&copy_for(folder.path(), access(None, None, Some(0o644)))).await;
    assert!(refused.contains("mode 0644 would open the private key to everybody"), "{refused}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn what_is_as_it_should_be_is_left_alone() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let identities = || {
        FOUR.map(|name| fs::metadata(folder.path().join(name)).unwrap())
            .map(|stat| (stat.ino(), stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()))
    };
    version.deploy(&copy(folder.path())).await.unwrap();
    let before = identities();
    version.deploy(&copy(folder.path())).await.unwrap();
    assert_eq!(identities(), before);
    // One that somebody has changed is mended, the others stay.
    fs::write(folder.path().join("cert.pem"), "changed").unwrap();
    set_mode(&folder.path().join("privkey.pem"), 0o644);
    version.deploy(&copy(folder.path())).await.unwrap();
    assert!(version.is_in(folder.path()) && mode(&folder.path().join("privkey.pem")) == 0o600);
    let after = identities();
    assert!(after[0] != before[0] && after[3] != before[3]);
    assert_eq!(after[1..3], before[1..3]);
}

#[tokio::test]
async fn a_missing_folder_is_not_made() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let missing = folder.path().join("tls");
    let refused = version.refused(&copy(&missing)).await;
    assert!(refused.contains(&format!("does not exist: create it, for example with install -d {}", missing.display())));
    fs::write(&missing, "").unwrap();
    let refused = version.refused(&copy(&missing)).await;
    assert!(refused.contains("is not a folder"), "{refused}");
    for wrong in ["relative/www.pem", "/", "www.pem", "/etc/.."] {
        let refused = version.refused(&combined(Path::new(wrong))).await;
        assert!(refused.contains("is not the full path of a file"), "{refused}");
    }
}

#[tokio::test]
async fn a_link_is_replaced_and_what_it_leads_to_stays() {
    let (folder, elsewhere, version) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Version::new(1));
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, folder.path().join("privkey.pem")).unwrap();
    symlink(elsewhere.path().join("nothing"), folder.path().join("chain.pem")).unwrap();
    // Also one with the right content, for it would follow its target's rights.
    symlink(elsewhere.path().join("cert"), folder.path().join("cert.pem")).unwrap();
    fs::write(elsewhere.path().join("cert"), version.text(Kind::Cert)).unwrap();
    // And in the place of the temporary file.
    symlink(&victim, folder.path().join(".fullchain.pem.certkit-tmp")).unwrap();
    version.deploy(&copy(folder.path())).await.unwrap();
    assert!(version.is_in(folder.path()));
    assert_eq!(names(folder.path()), FOUR);
    assert!(FOUR.iter().all(|name| fs::symlink_metadata(folder.path().join(name)).unwrap().is_file()));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(names(elsewhere.path()), ["cert", "victim"]);
}

#[tokio::test]
async fn what_is_no_file_is_not_replaced_and_then_nothing_is() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), Version::new(1), Version::new(2));
    old.deploy(&copy(folder.path())).await.unwrap();
    let last = folder.path().join("fullchain.pem");
    fs::remove_file(&last).unwrap();
    fs::create_dir(&last).unwrap();
    let refused = new.refused(&copy(folder.path())).await;
    assert!(refused.contains("fullchain.pem is a folder, not a file"), "{refused}");
    fs::remove_dir(&last).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&last).status().unwrap();
    assert!(made.success());
    let refused = new.refused(&copy(folder.path())).await;
    assert!(refused.contains("fullchain.pem is neither a file nor a link"), "{refused}");
    for kind in [Kind::Cert, Kind::Chain, Kind::Privkey] {
        assert_eq!(read(folder.path(), kind), old.text(kind));
    }
    assert_eq!(names(folder.path()), FOUR);
}

#[tokio::test]
async fn a_key_does_not_go_where_everybody_can_exchange_it() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    set_mode(folder.path(), 0o777);
    for setting in [copy(folder.path()), combined(&folder.path().join("www.pem"))] {
        let refused = version.refused(&setting).await;
        assert!(refused.ends_with(&format!("chmod o-w {}", folder.path().display())), "{refused}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
    // Certificates are public, and the sticky bit protects what is there.
    version.deploy(&copy_of(folder.path(), &[Kind::Fullchain])).await.unwrap();
    set_mode(folder.path(), 0o1777);
    version.deploy(&copy(folder.path())).await.unwrap();
}

#[tokio::test]
async fn the_tree_itself_is_no_place_for_copies() {
    let (tree, mut version) = (tempfile::tempdir().unwrap(), Version::new(1));
    let live = tree.path().join("live/localhost");
    version.live = live.clone();
    for folder in ["live/localhost", "archive/localhost", "renewal", "renewal-hooks"] {
        fs::create_dir_all(tree.path().join(folder)).unwrap();
    }
    symlink("../../archive/localhost/privkey1.pem", live.join("privkey.pem")).unwrap();
    symlink(&live, tree.path().join("roundabout")).unwrap();
    for folder in ["live/localhost", "roundabout", "archive/localhost", "renewal"] {
        let refused = version.refused(&copy(&tree.path().join(folder))).await;
        assert!(refused.contains("belongs to certkit itself"), "{refused}");
    }
    assert!(live.join("privkey.pem").is_symlink());
    // What people keep beside the links.
    version.deploy(&combined(&live.join("haproxy.pem"))).await.unwrap();
    assert_eq!(names(&live), ["haproxy.pem", "privkey.pem"]);
}

#[tokio::test]
async fn a_file_is_not_written_twice_by_one_target() {
    let (folder, version) = (tempfile::tempdir().unwrap(), Version::new(1));
    symlink(folder.path(), folder.path().join("again")).unwrap();
    let der = DeploySetting::Der {
        certificate: folder.path().join("www.der"),
        key: Some(folder.path().join("again/www.der")),
        access: access(None, None, None),
    };
    assert!(version.refused(&der).await.contains("is named twice"));
    assert_eq!(names(folder.path()), ["again"]);
}

#[tokio::test]
async fn a_reader_never_finds_part_of_a_file() {
    let (folder, versions) = (tempfile::tempdir().unwrap(), [Version::new(1), Version::new(2)]);
    let joint = folder.path().join("www.pem");
    let targets = [copy(folder.path()), combined(&joint)];
    for target in &targets {
        versions[1].deploy(target).await.unwrap();
    }
    let either = |text: &dyn Fn(&Version) -> String| versions.iter().map(text).collect::<Vec<_>>();
    let mut expected: Vec<_> =
        Kind::ALL.map(|kind| (folder.path().join(kind.live_file()), either(&|version| version.text(kind)))).into();
    expected.push((joint, either(&|version| version.text(Kind::Fullchain) + &version.text(Kind::Privkey))));
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let mut looks = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            for (path, texts) in &expected {
                let found = fs::read_to_string(path).unwrap();
                assert!(texts.contains(&found), "{}: {found}", path.display());
            }
            looks += 1;
        }
        looks
    });
    for turn in 0..200 {
        for target in &targets {
            versions[turn % 2].deploy(target).await.unwrap();
        }
    }
    done.store(true, Ordering::Relaxed);
    let looks = reader.join().unwrap();
    assert!(looks > 0);
    assert!(versions[1].is_in(folder.path()));
    assert_eq!(names(folder.path()).len(), FOUR.len() + 1);
}

#[tokio::test]
async fn a_target_of_the_settings_needs_its_settings() {
    let target = copy(Path::new("/etc/x")).target();
    let (outcome, result) = deploy(&target, Path::new("/x"), &[], None, &CommandSettings::new()).await;
    assert!(!outcome.success());
    assert_eq!(result.unwrap_err().detail, "the copy to /etc/x is not in the settings of this lineage");
}
