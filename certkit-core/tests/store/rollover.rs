//! An account that gets another key: its directory, the confs that name it, and what stands in the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::store::{LockedStore, Rollover, RolloverError, StoredAccount};
use certkit_core::{AcmeUrl, FindingCode};

use crate::support::{lay_account, leftovers, lock, new_account_key, now, temp_dir};

/// The account that is there, and the id of the key that it gets; both written by certbot.
const OLD: &str = "9b6ef06c3cf07be0ab7f3578e85d7850";
const NEW: &str = "24f0a34d40414517ee526e8bd1589f35";
const V01: &str = "acme-v01.api.letsencrypt.org/directory";
const V02: &str = "acme-v02.api.letsencrypt.org/directory";

fn directory() -> AcmeUrl {
    AcmeUrl::parse("https://ca.example/dir").unwrap()
}

fn conf(dir: &Path, name: &str, account: &str, server: Option<&str>) -> PathBuf {
    fs::create_dir_all(dir.join("renewal")).unwrap();
    let path = dir.join(format!("renewal/{name}.conf"));
    let server = server.map(|server| format!("server = {server}\n")).unwrap_or_default();
    let text = format!("version = 5.8.0\n# mine\n[renewalparams]\naccount = {account} # who\n{server}key_type = rsa\n");
    fs::write(&path, text).unwrap();
    path
}

fn the_account(store: &LockedStore, directory: &AcmeUrl) -> StoredAccount {
    store.store().accounts(directory).unwrap().0.remove(0)
}

fn begin(store: &LockedStore, directory: &AcmeUrl) -> Result<Rollover, RolloverError> {
    let (spki, jwk) = new_account_key();
    store.begin_rollover(directory, &the_account(store, directory), &spki, &jwk, now())
}

fn named(conf: &Path) -> String {
    let text = fs::read_to_string(conf).unwrap();
    text.lines().find_map(|line| line.strip_prefix("account = ")).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn the_account_gets_another_directory_and_its_confs_follow() {
    let dir = temp_dir();
    lay_account(dir.path(), "ca.example/dir");
    lay_account(dir.path(), "other.example/dir");
    let meta = "{\"creation_dt\": \"2020-01-02T03:04:05Z\", \"creation_host\": \"vm\", \"register_to_eff\": \"a@b\"}";
    let old = dir.path().join("accounts/ca.example/dir").join(OLD);
    fs::write(old.join("meta.json"), meta).unwrap();
    let own = Some("https://ca.example/dir");
    let follows = [conf(dir.path(), "a", OLD, own), conf(dir.path(), "b", OLD, own)];
    let elsewhere = dir.path().join("linked.conf");
    fs::rename(conf(dir.path(), "linked", OLD, own), &elsewhere).unwrap();
    symlink(&elsewhere, dir.path().join("renewal/linked.conf")).unwrap();
    let stays = [
        conf(dir.path(), "other", OLD, Some("https://other.example/dir")),
        conf(dir.path(), "another", "0123", own),
        // The other server has the same key, so nobody knows which is meant.
        conf(dir.path(), "unsaid", OLD, None),
    ];
    fs::write(dir.path().join("renewal/broken.conf"), "[[[").unwrap();
    symlink("nowhere", dir.path().join("renewal/dangling.conf")).unwrap();
    let before: Vec<_> = stays.iter().map(|path| fs::read(path).unwrap()).collect();

    let store = lock(dir.path());
    let rollover = begin(&store, &directory()).unwrap();
    assert_eq!((rollover.old_id.as_str(), rollover.new_id.as_str()), (OLD, NEW));
    let journal = dir.path().join(format!("certkit/rollover/{NEW}.json"));
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o7777, 0o600);
    // certbot and we still see the old account alone, and the key is where nobody shows it.
    assert_eq!(store.store().accounts(&directory()).unwrap().0.len(), 1);
    assert!(!format!("{rollover:?}").contains("\"d\""));
    let findings = store.store().audit().unwrap();
    assert!(findings.iter().any(|finding| finding.code == FindingCode::AccountKeyPending), "{findings:?}");
    assert!(matches!(begin(&store, &directory()), Err(RolloverError::UnderWay { .. })));

    let (read, unusable) = store.store().rollovers().unwrap();
    assert_eq!((read.len(), unusable.len()), (1, 0));
    assert!(store.store().account_after(&read[0]).unwrap().is_none());
    assert_eq!(store.store().account_before(&read[0]).unwrap().unwrap().id, OLD);
    let account = store.finish_rollover(&read[0], &rollover.account_url).unwrap();
    assert_eq!(account.id, NEW);
    assert_eq!(account.jwk.as_str(), new_account_key().1);
    let mode = |file: &str| fs::metadata(account.path.join(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("private_key.json"), mode("regr.json"), mode("")), (0o400, 0o644, 0o700));
    assert_eq!(fs::read_to_string(account.path.join("meta.json")).unwrap(), meta);
    let registration: serde_json::Value =
        serde_json::from_slice(&fs::read(account.path.join("regr.json")).unwrap()).unwrap();
    assert_eq!(registration, serde_json::json!({ "body": {}, "uri": "https://ca.example/acct/1" }));
    assert!(!old.exists() && !journal.exists());
    for path in follows.iter().chain([&elsewhere]) {
        assert_eq!(named(path), NEW);
        assert!(fs::read_to_string(path).unwrap().contains("# mine\n"), "the owner's lines stay");
    }
    assert!(dir.path().join("renewal/linked.conf").is_symlink());
    assert_eq!(stays.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);
    assert_eq!(the_account(&store, &AcmeUrl::parse("https://other.example/dir").unwrap()).id, OLD);
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_conf_without_server_follows_the_only_account_of_that_key() {
    let dir = temp_dir();
    lay_account(dir.path(), "ca.example/dir");
    let unsaid = conf(dir.path(), "unsaid", OLD, None);
    let store = lock(dir.path());
    let rollover = begin(&store, &directory()).unwrap();
    store.finish_rollover(&rollover, &rollover.account_url).unwrap();
    assert_eq!(named(&unsaid), NEW);
}

#[test]
fn what_stands_in_the_way_is_said_before_the_ca_is_asked() {
    let dir = temp_dir();
    let old = lay_account(dir.path(), "ca.example/dir");
    let store = lock(dir.path());
    let path = conf(dir.path(), "a", OLD, Some("https://ca.example/dir"));
    let good = fs::read(&path).unwrap();
    fs::write(&path, [&good[..], b"[[[\n"].concat()).unwrap();
    let error = begin(&store, &directory()).unwrap_err();
    assert!(matches!(&error, RolloverError::Conf { .. }), "{error}");
    assert!(error.to_string().contains("renewal/a.conf names the account and cannot be changed: line"), "{error}");
    fs::write(&path, good).unwrap();

    let journal = dir.path().join("certkit/rollover/0123.json");
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    for (content, why) in [
        ("{\"jwk\": \"secret\"", "damaged"),
        ("{\"schema\": 7, \"jwk\": \"secret\"}", "a newer certkit (schema 7)"),
        ("{\"schema\": 1, \"jwk\": \"secret\"}", "damaged"),
        (
            "{\"schema\": 1, \"directory\": \"https://ca.example/dir\", \"account_url\": \"https://ca.example/1\", \
             \"old_id\": \"..\", \"new_id\": \"0123\", \"started\": \"2026-11-23T14:35:13Z\", \
             \"beside\": \"accounts/../../etc\", \"old_dir\": \"accounts/x\", \"jwk\": \"secret\"}",
            "no account's",
        ),
    ] {
        fs::write(&journal, content).unwrap();
        let error = begin(&store, &directory()).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("move it away") && !error.contains("secret"), "{error}");
        let findings = store.store().audit().unwrap();
        assert!(findings.iter().any(|finding| finding.code == FindingCode::AccountKeyJournalUnusable), "{findings:?}");
        assert!(journal.exists(), "its key may be the one that counts");
    }
    fs::remove_file(&journal).unwrap();

    let outside = dir.path().join("elsewhere");
    fs::rename(&old, &outside).unwrap();
    symlink(&outside, &old).unwrap();
    let error = begin(&store, &directory()).unwrap_err();
    assert!(matches!(&error, RolloverError::Outside { .. }), "{error}");
    assert!(error.to_string().contains("out of the accounts directory"), "{error}");
    assert_eq!(store.store().rollovers().unwrap().0.len(), 0);
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_conf_that_broke_meanwhile_holds_the_end_up_and_not_the_others() {
    let dir = temp_dir();
    lay_account(dir.path(), "ca.example/dir");
    let own = Some("https://ca.example/dir");
    let paths = ["a", "b", "c"].map(|name| conf(dir.path(), name, OLD, own));
    let store = lock(dir.path());
    let rollover = begin(&store, &directory()).unwrap();
    let good = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], [&good[..], b"[[[\n"].concat()).unwrap();
    let error = store.finish_rollover(&rollover, &rollover.account_url).unwrap_err();
    assert!(error.to_string().contains("renewal/b.conf"), "{error}");
    assert_eq!((named(&paths[0]), named(&paths[1]), named(&paths[2])), (NEW.into(), OLD.into(), NEW.into()));
    assert_eq!(store.store().accounts(&directory()).unwrap().0.len(), 2, "the conf still finds its account");
    fs::write(&paths[1], good).unwrap();
    let (rollovers, _) = store.store().rollovers().unwrap();
    store.finish_rollover(&rollovers[0], &rollover.account_url).unwrap();
    assert_eq!(named(&paths[1]), NEW);
    assert_eq!(the_account(&store, &directory()).id, NEW);
    assert!(store.store().rollovers().unwrap().0.is_empty());
}

#[test]
fn a_key_that_the_ca_did_not_take_leaves_nothing() {
    let dir = temp_dir();
    lay_account(dir.path(), "ca.example/dir");
    let path = conf(dir.path(), "a", OLD, Some("https://ca.example/dir"));
    let store = lock(dir.path());
    let rollover = begin(&store, &directory()).unwrap();
    store.drop_rollover(&rollover).unwrap();
    store.drop_rollover(&rollover).unwrap();
    assert_eq!((named(&path), the_account(&store, &directory()).id), (OLD.to_owned(), OLD.to_owned()));
    assert!(store.store().rollovers().unwrap().0.is_empty());
    assert!(fs::read_dir(dir.path().join("certkit/rollover")).unwrap().next().is_none());
}

#[test]
fn accounts_behind_certbots_links_get_their_key_too() {
    let directory = AcmeUrl::parse(&format!("https://{V02}")).unwrap();
    for way in ["not linked yet", "the server is linked", "the account is linked"] {
        let dir = temp_dir();
        let real = lay_account(dir.path(), V01);
        let server = dir.path().join("accounts").join(V02);
        match way {
            "the server is linked" => {
                fs::create_dir_all(server.parent().unwrap()).unwrap();
                symlink(real.parent().unwrap(), &server).unwrap();
            }
            "the account is linked" => {
                fs::create_dir_all(&server).unwrap();
                symlink(&real, server.join(OLD)).unwrap();
            }
            _ => {}
        }
        // Both spellings of the server mean the same to certbot.
        let v01 = conf(dir.path(), "a", OLD, Some(&format!("https://{V01}")));
        let v02 = conf(dir.path(), "b", OLD, Some(&format!("https://{V02}")));
        let store = lock(dir.path());
        let rollover = begin(&store, &directory).unwrap();
        store.finish_rollover(&rollover, &rollover.account_url).unwrap();
        let (accounts, findings) = store.store().accounts(&directory).unwrap();
        assert_eq!(findings, [], "{way}");
        assert_eq!(accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>(), [NEW], "{way}");
        assert_eq!((named(&v01), named(&v02)), (NEW.to_owned(), NEW.to_owned()), "{way}");
        assert!(!real.exists() && !server.join(OLD).is_symlink(), "{way}: the old key is left");
        assert_eq!(server.is_symlink(), way == "the server is linked", "{way}");
    }
}

#[test]
fn a_url_is_changed_in_one_step_and_the_key_stays() {
    let dir = temp_dir();
    let path = lay_account(dir.path(), "ca.example/dir");
    let key = fs::read(path.join("private_key.json")).unwrap();
    let store = lock(dir.path());
    let url = AcmeUrl::parse("https://ca.example/acct/2").unwrap();
    let account = store.update_account_url(&the_account(&store, &directory()), &url).unwrap();
    assert_eq!((account.id.as_str(), &account.uri), (OLD, &url));
    let text = fs::read_to_string(path.join("regr.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        serde_json::json!({ "body": {}, "uri": "https://ca.example/acct/2" })
    );
    assert_eq!(fs::read(path.join("private_key.json")).unwrap(), key);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
}
