//! An account's three files, put together with NUL between them: registration, key, meta. The account is read, or a finding
//! says why not, without a word of the key.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use certkit_core::store::{Store, StorePaths};
use certkit_core::{AcmeUrl, escape};
use libfuzzer_sys::fuzz_target;

struct Place {
    // Removed by nobody: a fuzzer is killed.
    folder: PathBuf,
    store: Store,
    directory: AcmeUrl,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let root = tempfile::tempdir().expect("there is a folder for temporary files").keep();
    let paths = StorePaths::within(&root);
    let directory = AcmeUrl::parse("https://ca.example/directory").expect("a good URL");
    let folder = paths.account_dir(&directory).join("0123456789abcdef0123456789abcdef");
    std::fs::create_dir_all(&folder).expect("a new folder can be written to");
    Place { folder, store: Store::open(paths).expect("a new folder can be read"), directory }
});

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut secret = String::new();
    let mut told = String::new();
    for file in ["regr.json", "private_key.json", "meta.json"] {
        let content = parts.next().unwrap_or_default();
        std::fs::write(PLACE.folder.join(file), content).expect("our own folder can be written to");
        match file {
            "private_key.json" => secret = String::from_utf8_lossy(content).into_owned(),
            _ => told.push_str(&String::from_utf8_lossy(content)),
        }
    }
    // What stands in the other files as well is no secret of the key's, nor are the words of a message, which a fuzzer learns.
    let is_secret = secret.len() >= 30 && !secret.contains(' ') && !told.contains(&secret);
    let (accounts, findings) = PLACE.store.accounts(&PLACE.directory).expect("our own folder can be read");
    assert!(accounts.len() == 1 || !findings.is_empty());
    for finding in &findings {
        assert_eq!(escape(&finding.evidence), finding.evidence.as_str());
        assert!(!is_secret || !finding.evidence.contains(&secret), "the key is in the message");
    }
    for account in &accounts {
        assert!(!is_secret || !format!("{account:?}").contains(&secret), "the key is in the Debug output");
    }
});
