use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use certkit_acme::challenge::{ChallengeKind, SolveError, Solver as _, StandaloneServers, WebrootSolver};
use certkit_core::{Identifier, IdentifierSet};
use testkit::process::{MOUNT_REFUSED, assert_mounts_permitted};

use crate::{challenge, http01};

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn default_root(path: &Path) -> WebrootSolver {
    WebrootSolver::new(Vec::new(), Some(path.to_owned()))
}

fn token_file(webroot: &Path, token: &str) -> PathBuf {
    webroot.join(".well-known/acme-challenge").join(token)
}

fn name(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

fn one_name() -> IdentifierSet {
    [name("a.example")].into_iter().collect()
}

async fn present(solver: &WebrootSolver, token: &str) -> Result<(), SolveError> {
    solver.present(&[http01("a.example", token)], &IdentifierSet::default()).await
}

async fn withdraw(solver: &WebrootSolver, token: &str) {
    solver.withdraw(&[http01("a.example", token)]).await.unwrap();
}

/// Every path below a directory.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found
}

#[tokio::test]
async fn files_and_directories_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let solver = default_root(root.path());
    present(&solver, "one").await.unwrap();
    present(&solver, "two").await.unwrap();
    let file = token_file(root.path(), "one");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one.thumbprint");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o7777, 0o755);
    withdraw(&solver, "one").await;
    assert!(!file.exists() && token_file(root.path(), "two").exists());
    withdraw(&solver, "two").await;
    withdraw(&solver, "two").await;
    assert_eq!(tree(root.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn what_others_made_stays() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(".well-known")).unwrap();
    let solver = default_root(root.path());
    present(&solver, "t").await.unwrap();
    fs::write(token_file(root.path(), "stranger"), "x").unwrap();
    // Somebody replaces our file by another one: it is not ours any more.
    fs::remove_file(token_file(root.path(), "t")).unwrap();
    fs::write(token_file(root.path(), "keep-the-inode-busy"), "x").unwrap();
    fs::write(token_file(root.path(), "t"), "not ours").unwrap();
    withdraw(&solver, "t").await;
    assert_eq!(fs::read_to_string(token_file(root.path(), "t")).unwrap(), "not ours");
    assert!(token_file(root.path(), "stranger").exists());
}

#[tokio::test]
async fn a_umask_changes_nothing() {
    // Another process, because the umask belongs to all of one.
    if std::env::var_os("CERTKIT_TEST_UMASK").is_none() {
        let line = "umask 077; exec \"$0\" --exact webroot::a_umask_changes_nothing";
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", line])
            .arg(std::env::current_exe().unwrap())
            .env("CERTKIT_TEST_UMASK", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let solver = default_root(root.path());
    present(&solver, "t").await.unwrap();
    let file = token_file(root.path(), "t");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn each_name_has_its_webroot() {
    let (a, b, rest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let map = vec![(name("a.example"), a.path().to_owned()), (name("192.0.2.1"), b.path().to_owned())];
    let solver = WebrootSolver::new(map, Some(rest.path().to_owned()));
    let all = [http01("a.example", "t1"), http01("192.0.2.1", "t2"), http01("c.example", "t3")];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    for (root, token) in [(&a, "t1"), (&b, "t2"), (&rest, "t3")] {
        assert!(token_file(root.path(), token).exists(), "{token}");
        assert_eq!(tree(root.path()).len(), 3);
    }
    solver.withdraw(&all).await.unwrap();
    assert!([a, b, rest].iter().all(|root| tree(root.path()).is_empty()));
}

#[tokio::test]
async fn orders_that_share_a_token_share_its_file() {
    let root = tempfile::tempdir().unwrap();
    let link = tempfile::tempdir().unwrap();
    symlink(root.path(), link.path().join("www")).unwrap();
    let servers = StandaloneServers::new();
    let one = default_root(root.path()).shared_by(&servers);
    let two = default_root(&link.path().join("www")).shared_by(&servers);
    present(&one, "t").await.unwrap();
    present(&two, "t").await.unwrap();
    withdraw(&one, "t").await;
    withdraw(&one, "t").await;
    assert!(token_file(root.path(), "t").exists(), "the other order still needs it");
    drop(two);
    assert_eq!(tree(root.path()), [] as [PathBuf; 0], "a dropped solver cleans up");
}

#[tokio::test]
async fn a_leftover_of_a_killed_run_is_replaced_and_can_be_removed() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(token_file(root.path(), "")).unwrap();
    fs::write(token_file(root.path(), "t"), "half of").unwrap();
    let solver = default_root(root.path());
    // Not what we would have written: it stays.
    withdraw(&solver, "t").await;
    assert!(token_file(root.path(), "t").exists());
    present(&solver, "t").await.unwrap();
    assert_eq!(fs::read_to_string(token_file(root.path(), "t")).unwrap(), "t.thumbprint");
    withdraw(&solver, "t").await;
    assert!(!token_file(root.path(), "t").exists());
    fs::write(token_file(root.path(), "t"), "t.thumbprint").unwrap();
    withdraw(&default_root(root.path()), "t").await;
    assert!(!token_file(root.path(), "t").exists(), "a leftover is known by its content");
    assert!(token_file(root.path(), "").is_dir());
}

#[tokio::test]
async fn only_what_is_certainly_a_leftover_of_ours_is_removed() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(token_file(root.path(), "")).unwrap();
    let at = |token| token_file(root.path(), token);
    // A link, though what it leads to has the very content; a longer file; a directory; another one's token.
    fs::write(elsewhere.path().join("file"), "link.thumbprint").unwrap();
    symlink(elsewhere.path().join("file"), at("link")).unwrap();
    fs::write(at("longer"), "longer.thumbprint\n").unwrap();
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("another"), "another.thumbprint").unwrap();
    fs::write(at("ours"), "ours.thumbprint").unwrap();
    let mut kept = vec!["link", "longer", "directory", "another"];
    if is_root() {
        fs::write(at("foreign"), "foreign.thumbprint").unwrap();
        std::os::unix::fs::chown(at("foreign"), Some(65534), None).unwrap();
        kept.push("foreign");
    }
    let solver = default_root(root.path());
    let all: Vec<_> = ["link", "longer", "directory", "foreign", "missing", "ours"]
        .iter()
        .map(|token| http01("a.example", token))
        .collect();
    solver.withdraw(&all).await.unwrap();
    solver.withdraw_abandoned(&all).await.unwrap();
    for token in kept {
        assert!(at(token).symlink_metadata().is_ok(), "{token}");
    }
    assert!(elsewhere.path().join("file").exists());
    assert!(!at("ours").exists());
}

#[tokio::test]
async fn every_failing_name_is_reported_and_nothing_is_left() {
    let (good, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let map = vec![
        (name("good.example"), good.path().to_owned()),
        (name("file.example"), file.path().to_owned()),
        (name("gone1.example"), "/nowhere/at/all".into()),
        (name("gone2.example"), "/nowhere/at/all".into()),
    ];
    let solver = WebrootSolver::new(map, None);
    let names = ["good.example", "file.example", "gone1.example", "gone2.example", "unmapped.example"];
    let all: Vec<_> = names.iter().enumerate().map(|(i, name)| http01(name, &format!("t{i}"))).collect();
    let error = solver.present(&all, &IdentifierSet::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("gone1.example, gone2.example (webroot /nowhere/at/all): the webroot does not exist"),
        "{text}"
    );
    assert!(text.contains("unmapped.example: no webroot is known"), "{text}");
    assert!(text.contains("file.example (webroot") && text.contains("not a directory"), "{text}");
    assert!(!text.contains("good.example"), "{text}");
    assert_eq!(tree(good.path()), [] as [PathBuf; 0]);
    let ids: IdentifierSet = names.iter().map(|text| name(text)).collect();
    assert_eq!(solver.check(&ids).unwrap_err(), error, "the check before ordering says the same");
    assert_eq!(default_root(good.path()).check(&ids), Ok(()));
}

#[tokio::test]
async fn links_of_root_or_this_user_are_followed_also_in_several_steps() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(elsewhere.path().join("x/y/acme")).unwrap();
    symlink("y/../y", elsewhere.path().join("x/step")).unwrap();
    symlink(elsewhere.path().join("x/./step"), root.path().join(".well-known")).unwrap();
    symlink("acme", elsewhere.path().join("x/y/acme-challenge")).unwrap();
    let solver = default_root(root.path());
    present(&solver, "t").await.unwrap();
    assert!(elsewhere.path().join("x/y/acme/t").exists());
    withdraw(&solver, "t").await;
    assert!(elsewhere.path().join("x/y/acme").is_dir(), "only what was made is removed");
    assert_eq!(tree(&elsewhere.path().join("x/y/acme")).len(), 0);
}

#[tokio::test]
async fn dangling_and_circular_links_are_reported() {
    let root = tempfile::tempdir().unwrap();
    let link = root.path().join(".well-known");
    symlink(root.path().join("nowhere"), &link).unwrap();
    let text = present(&default_root(root.path()), "t").await.unwrap_err().to_string();
    assert!(text.contains("leads to nowhere, which does not exist"), "{text}");
    assert!(!root.path().join("nowhere").exists());
    fs::remove_file(&link).unwrap();
    symlink(".well-known", &link).unwrap();
    present(&default_root(root.path()), "t").await.unwrap_err();
    fs::remove_file(&link).unwrap();
    fs::write(&link, "a file").unwrap();
    let text = present(&default_root(root.path()), "t").await.unwrap_err().to_string();
    assert!(text.contains(".well-known below it is not a directory"), "{text}");
}

#[tokio::test]
async fn a_strangers_link_is_not_followed() {
    assert!(is_root(), "only root may give files away: run the tests as root");
    const STRANGER: u32 = 65534;
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let well_known = root.path().join(".well-known");
    symlink(outside.path(), &well_known).unwrap();
    std::os::unix::fs::lchown(&well_known, Some(STRANGER), Some(STRANGER)).unwrap();
    let error = present(&default_root(root.path()), "t").await.unwrap_err();
    assert_eq!(default_root(root.path()).check(&one_name()), Err(error.clone()));
    let text = error.to_string();
    assert!(text.contains("symbolic link that belongs to user 65534") && text.contains("chown -h root"), "{text}");

    // Nor behind a link of root's, nor as the file itself.
    fs::remove_file(&well_known).unwrap();
    let step = outside.path().join("step");
    fs::create_dir(outside.path().join("target")).unwrap();
    symlink("target", &step).unwrap();
    std::os::unix::fs::lchown(&step, Some(STRANGER), None).unwrap();
    symlink(&step, &well_known).unwrap();
    present(&default_root(root.path()), "t").await.unwrap_err();
    assert_eq!(tree(&outside.path().join("target")).len(), 0);

    fs::remove_file(&well_known).unwrap();
    fs::create_dir_all(token_file(root.path(), "")).unwrap();
    symlink(outside.path().join("target/written"), token_file(root.path(), "t")).unwrap();
    present(&default_root(root.path()), "t").await.unwrap_err();
    assert!(!outside.path().join("target/written").exists());
    fs::remove_file(token_file(root.path(), "t")).unwrap();
    fs::write(token_file(root.path(), "t"), "a stranger's").unwrap();
    std::os::unix::fs::chown(token_file(root.path(), "t"), Some(STRANGER), None).unwrap();
    let text = present(&default_root(root.path()), "t").await.unwrap_err().to_string();
    assert!(text.contains("belongs to another user"), "{text}");
    assert_eq!(fs::read_to_string(token_file(root.path(), "t")).unwrap(), "a stranger's");
}

#[tokio::test]
async fn made_directories_belong_to_the_webroots_owner() {
    assert!(is_root(), "only root may give files away: run the tests as root");
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(root.path(), Some(65534), Some(65533)).unwrap();
    let solver = default_root(root.path());
    present(&solver, "t").await.unwrap();
    for directory in [".well-known", ".well-known/acme-challenge"] {
        let metadata = fs::metadata(root.path().join(directory)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (65534, 65533, 0o755));
    }
    assert_eq!(fs::metadata(token_file(root.path(), "t")).unwrap().uid(), 0);
}

#[tokio::test]
async fn a_read_only_webroot_says_so() {
    // Read-only for a child alone, which has mounts of its own.
    let Some(root) = std::env::var_os("CERTKIT_TEST_READ_ONLY") else {
        let (root, program) = (tempfile::tempdir().unwrap(), std::env::current_exe().unwrap());
        let line = format!(
            "mount --bind \"$CERTKIT_TEST_READ_ONLY\" \"$CERTKIT_TEST_READ_ONLY\" \
            && mount -o remount,bind,ro \"$CERTKIT_TEST_READ_ONLY\" || exit {MOUNT_REFUSED}
            exec \"$0\" --exact webroot::a_read_only_webroot_says_so"
        );
        let mut child = std::process::Command::new("unshare");
        child.args(["-m", "/bin/sh", "-c", &line]).arg(program).env("CERTKIT_TEST_READ_ONLY", root.path());
        let output = child.output().expect("unshare is missing: install util-linux (bash .ci/test.sh does)");
        assert_mounts_permitted(output.status.code(), &output.stderr);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    };
    let solver = default_root(Path::new(&root));
    let present = present(&solver, "t").await.unwrap_err().to_string();
    let check = solver.check(&one_name()).unwrap_err().to_string();
    assert!(present.contains("the file system is read-only"), "{present}");
    assert!(check.contains("the file system is read-only"), "{check}");
}

#[tokio::test]
async fn a_check_writes_nothing_and_needs_only_the_deepest_directory() {
    let root = tempfile::tempdir().unwrap();
    let solver = default_root(root.path());
    assert_eq!(solver.check(&one_name()), Ok(()));
    assert_eq!(tree(root.path()), [] as [PathBuf; 0]);
    fs::write(root.path().join(".well-known"), "").unwrap();
    assert!(solver.check(&one_name()).unwrap_err().to_string().contains("not a directory"));
}

#[tokio::test]
async fn only_http01_is_answered() {
    let root = tempfile::tempdir().unwrap();
    let solver = default_root(root.path());
    let dns = [challenge("a.example", ChallengeKind::Dns01, "t")];
    solver.present(&dns, &IdentifierSet::default()).await.unwrap_err();
    assert_eq!(solver.kinds(&name("a.example"), true), []);
}
