//! certbot's accounts. `tests/data/accounts` was written by certbot itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::store::NewStoredAccount;
use certkit_core::{AcmeUrl, FindingCode};

use crate::support::{lock, store, temp_dir};

const RSA: &str = "9b6ef06c3cf07be0ab7f3578e85d7850";
const EC: &str = "24f0a34d40414517ee526e8bd1589f35";

fn url(text: &str) -> AcmeUrl {
    AcmeUrl::parse(text).unwrap()
}

fn recorded(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accounts").join(file)).unwrap()
}

fn lay(dir: &Path, server: &str, id: &str) -> PathBuf {
    let account = dir.join("accounts").join(server).join(id);
    fs::create_dir_all(&account).unwrap();
    for file in ["private_key.json", "regr.json", "meta.json"] {
        fs::write(account.join(file), recorded(&format!("ca.example/dir/{id}/{file}"))).unwrap();
    }
    account
}

#[test]
fn certbots_accounts_are_read_sorted_by_id() {
    let dir = temp_dir();
    lay(dir.path(), "ca.example/dir", RSA);
    lay(dir.path(), "ca.example/dir", EC);
    // A server whose path begins with the other's.
    lay(dir.path(), "ca.example/dir/other", RSA);
    fs::write(dir.path().join("accounts/ca.example/dir/notes"), "").unwrap();
    let store = store(dir.path());
    let (accounts, findings) = store.accounts(&url("https://ca.example/dir")).unwrap();
    assert_eq!(findings, []);
    assert_eq!(accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>(), [EC, RSA]);
    assert_eq!(accounts[1].uri.as_str(), "https://ca.example/acct/1");
    assert_eq!(accounts[1].meta.host.as_deref(), Some("vm"));
    assert_eq!(accounts[1].meta.created, Some("2026-11-23T14:35:13Z".parse().unwrap()));
    assert_eq!(accounts[1].jwk.as_str(), recorded(&format!("ca.example/dir/{RSA}/private_key.json")));
    assert!(!format!("{accounts:?}").contains("\"d\""));
    assert_eq!(store.account_servers().unwrap(), ["ca.example/dir", "ca.example/dir/other"]);
    assert!(store.accounts(&url("https://ca.example/")).unwrap().0.is_empty());
}

#[test]
fn an_account_that_cannot_be_used_is_a_finding_and_hides_no_other() {
    let dir = temp_dir();
    lay(dir.path(), "ca.example/dir", RSA);
    let account = lay(dir.path(), "ca.example/dir", EC);
    let read = || store(dir.path()).accounts(&url("https://ca.example/dir")).unwrap();
    for (file, content, usable, why) in [
        ("private_key.json", Some("secret-stuff"), false, "it is not a JSON web key"),
        ("private_key.json", Some("\"secret-stuff\""), false, "it is not a JSON web key"),
        ("private_key.json", None, false, "No such file"),
        ("regr.json", Some("{}"), false, "missing field `uri`"),
        ("regr.json", Some("{\"uri\": \"http://ca.example/1\"}"), false, "plain http"),
        ("regr.json", Some(""), false, "it is not a registration"),
        ("meta.json", None, true, "certbot overlooks this account"),
        ("meta.json", Some("{}"), true, "creation_dt or creation_host is missing"),
        ("meta.json", Some("[]x"), true, "certbot fails on it"),
        ("meta.json", Some("{\"creation_dt\": \"soon\", \"creation_host\": \"vm\"}"), true, "certbot fails on it"),
    ] {
        lay(dir.path(), "ca.example/dir", EC);
        match content {
            Some(content) => fs::write(account.join(file), content).unwrap(),
            None => fs::remove_file(account.join(file)).unwrap(),
        }
        let (accounts, findings) = read();
        assert_eq!(accounts.len(), 1 + usize::from(usable), "{file} {content:?}");
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.code, FindingCode::AccountUnusable);
        assert!(finding.subject.ends_with(&format!("{EC}/{file}")), "{finding:?}");
        assert!(finding.evidence.contains(why), "{finding:?}");
        assert!(!finding.evidence.contains("secret"), "{finding:?}");
    }
}

#[test]
fn other_forms_of_the_files_are_understood() {
    let dir = temp_dir();
    let account = lay(dir.path(), "ca.example/dir", RSA);
    // As certbot wrote it for ACME v1, and with what it adds while a subscription is pending.
    let old = "{\"body\": {\"contact\": [\"mailto:a@b.example\"], \"agreement\": \"https://x\", \"key\": {\"kty\": \"RSA\"}}, \
               \"uri\": \"https://acme-v01.api.letsencrypt.org/acme/reg/1\", \"new_authzr_uri\": \"https://x\", \
               \"terms_of_service\": \"https://x\"}";
    fs::write(account.join("regr.json"), old).unwrap();
    let meta =
        "{\"creation_dt\": \"2016-01-02T03:04:05.678+02:00\", \"creation_host\": \"vm\", \"register_to_eff\": \"a@b\"}";
    fs::write(account.join("meta.json"), meta).unwrap();
    let (accounts, findings) = store(dir.path()).accounts(&url("https://ca.example/dir")).unwrap();
    assert_eq!(findings, []);
    assert_eq!(accounts[0].uri.as_str(), "https://acme-v01.api.letsencrypt.org/acme/reg/1");
    assert_eq!(accounts[0].meta.created, Some("2016-01-02T01:04:05.678Z".parse().unwrap()));
}

#[test]
fn accounts_of_acme_v1_go_on_being_used() {
    let v02 = url("https://acme-v02.api.letsencrypt.org/directory");
    let dir = temp_dir();
    lay(dir.path(), "acme-v01.api.letsencrypt.org/directory", RSA);
    // Before certbot has linked them, with the new folder missing or empty.
    let read = || store(dir.path()).accounts(&v02).unwrap().0.into_iter().map(|account| account.id).collect::<Vec<_>>();
    assert_eq!(read(), [RSA]);
    let server = dir.path().join("accounts/acme-v02.api.letsencrypt.org");
    fs::create_dir_all(server.join("directory")).unwrap();
    assert_eq!(read(), [RSA]);
    // As certbot links them.
    fs::remove_dir(server.join("directory")).unwrap();
    let old = dir.path().join("accounts/acme-v01.api.letsencrypt.org/directory");
    symlink(&old, server.join("directory")).unwrap();
    assert_eq!(read(), [RSA]);
    assert_eq!(
        store(dir.path()).account_servers().unwrap(),
        ["acme-v01.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org/directory"]
    );
    // Removing the account unwinds the link.
    let locked = lock(dir.path());
    let account = locked.store().accounts(&v02).unwrap().0.remove(0);
    locked.remove_account(&v02, &account).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("accounts")).unwrap().count(), 0);
    // Only where nothing of its own is there.
    lay(dir.path(), "acme-v01.api.letsencrypt.org/directory", RSA);
    lay(dir.path(), "acme-v02.api.letsencrypt.org/directory", EC);
    assert_eq!(read(), [EC]);
}

#[test]
fn a_new_account_is_named_and_written_as_certbot_does() {
    let dir = temp_dir();
    let locked = lock(dir.path());
    let directory = url("https://localhost:14000/dir");
    let vectors: Vec<(String, String)> = serde_json::from_str(&recorded("vectors.json")).unwrap();
    for (id, spki) in &vectors {
        let spki = data_encoding::BASE64.decode(spki.as_bytes()).unwrap();
        let (uri, jwk) =
            (url("https://localhost:14000/acct/1"), recorded(&format!("ca.example/dir/{id}/private_key.json")));
        let created = "2026-11-23T14:35:13Z".parse().unwrap();
        let new = NewStoredAccount { spki_der: &spki, jwk: &jwk, uri: &uri, created, host: "vm" };
        let account = locked.save_account(&directory, &new).unwrap();
        assert_eq!(&account.id, id);
        assert_eq!(account.path, dir.path().join("accounts/localhost:14000/dir").join(id));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for (file, bits) in [("private_key.json", 0o400), ("regr.json", 0o644), ("meta.json", 0o644)] {
            assert_eq!(mode(&account.path.join(file)), bits, "{file}");
        }
        for above in account.path.ancestors().take(4) {
            assert_eq!(mode(above), 0o700, "{}", above.display());
        }
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let written = |file: &str| json(&fs::read_to_string(account.path.join(file)).unwrap());
        assert_eq!(written("meta.json"), json(&recorded(&format!("ca.example/dir/{id}/meta.json"))));
        assert_eq!(written("regr.json"), serde_json::json!({"body": {}, "uri": "https://localhost:14000/acct/1"}));
        // It is never overwritten, and nothing half-made stays.
        locked.save_account(&directory, &new).unwrap_err();
        assert_eq!(fs::read_dir(dir.path().join("accounts")).unwrap().count(), 1);
    }
    let (accounts, findings) = locked.store().accounts(&directory).unwrap();
    assert_eq!((accounts.len(), findings.len()), (2, 0));
    locked.remove_account(&directory, &accounts[0]).unwrap();
    assert_eq!(locked.store().accounts(&directory).unwrap().0.len(), 1);
    locked.remove_account(&directory, &accounts[1]).unwrap();
    assert!(!dir.path().join("accounts/localhost:14000").exists());
    assert!(dir.path().join("accounts").exists());
}

#[test]
fn nothing_outside_the_accounts_is_removed() {
    let dir = temp_dir();
    let directory = url("https://ca.example/dir");
    lay(dir.path(), "ca.example/dir", RSA);
    let outside = dir.path().join("elsewhere");
    fs::rename(dir.path().join("accounts/ca.example/dir").join(RSA), &outside).unwrap();
    symlink(&outside, dir.path().join("accounts/ca.example/dir").join(RSA)).unwrap();
    let locked = lock(dir.path());
    let account = locked.store().accounts(&directory).unwrap().0.remove(0);
    let error = locked.remove_account(&directory, &account).unwrap_err();
    assert!(error.to_string().contains("outside the accounts directory"));
    assert!(outside.join("private_key.json").exists());
}
