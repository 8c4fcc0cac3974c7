//! Trees in certbot's format with the certificates of `tests/data/commit`.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(unreachable_pub, reason = "a module of several programs")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::state::{Event, LineageState};
use certkit_core::store::{
    CommitError, Committed, ConfPlan, Expectations, Kind, LockedStore, PendingOrder, Store, StorePaths, VerifiedVersion,
};
use certkit_core::{
    AcmeUrl, Certificate, Chain, Identifier, IdentifierSet, KeyMath, KeyMathError, LineageName, PrivateKey, Version,
};
use chrono::{DateTime, Utc};

/// The names in the certificates.
pub const NAMES: [&str; 2] = ["a.example.org", "www.a.example.org"];

/// The day for which the certificates were made: `v1` to `v4` are valid, each ending later than the one before.
pub fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub fn data(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/commit").join(file)).unwrap()
}

pub fn chain(leaf: &str) -> Chain {
    Chain::from_pem(format!("{}{}", data(&format!("{leaf}.cert.pem")), data("intermediate.pem")).as_bytes()).unwrap()
}

pub fn key(leaf: &str) -> PrivateKey {
    PrivateKey::from_pem(data(&format!("{leaf}.key.pem")).as_bytes()).unwrap()
}

pub fn name() -> LineageName {
    LineageName::new("a.example.org").unwrap()
}

pub fn identifiers(names: &[&str]) -> IdentifierSet {
    names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
}

/// No arithmetic: a signature is good when the key ids say so, unless it is that of a certificate that counts as forged.
/// The fixtures carry their public keys.
#[derive(Default)]
pub struct TestMath {
    pub forged: Option<Certificate>,
}

impl KeyMath for TestMath {
    fn verify_signature(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), KeyMathError> {
        let good = certificate.authority_key_id().is_some()
            && certificate.authority_key_id() == issuer.subject_key_id()
            && self.forged.as_ref() != Some(certificate);
        if good { Ok(()) } else { Err(KeyMathError::BadSignature) }
    }

    fn public_spki_der(&self, key: &PrivateKey) -> Result<Vec<u8>, KeyMathError> {
        key.carried_spki_der().ok_or_else(|| KeyMathError::UnusableKey("no public key".into()))
    }
}

pub fn verified(leaf: &str) -> VerifiedVersion {
    let mut expectations = Expectations::new(identifiers(&["a.example.org"]), None, now());
    expectations.may_end_earlier = true;
    VerifiedVersion::verify(chain(leaf), key(leaf), &expectations, &TestMath::default()).unwrap()
}

/// Where syncing costs nothing, so that the tests are quick.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn store(dir: &Path) -> Store {
    Store::open(StorePaths::new(dir.to_owned(), dir.join("work"), dir.join("logs"))).unwrap()
}

pub fn lock(dir: &Path) -> LockedStore {
    store(dir).lock().unwrap()
}

/// A lineage as certbot leaves it, with these leaves as versions 1, 2, … and the last one live.
pub fn lay_lineage(dir: &Path, name: &LineageName, leaves: &[&str]) {
    let (archive, live) = (dir.join("archive").join(name.as_str()), dir.join("live").join(name.as_str()));
    fs::create_dir_all(&archive).unwrap();
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(dir.join("renewal")).unwrap();
    for folder in ["archive", "live"] {
        fs::set_permissions(dir.join(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }
    for (index, leaf) in leaves.iter().enumerate() {
        write_version(dir, name, index as u32 + 1, leaf);
    }
    point_links(dir, name, leaves.len() as u32);
    fs::write(live.join("README"), "what certbot says\n").unwrap();
    let config = dir.display();
    let mut conf = format!("version = 5.8.0\narchive_dir = {config}/archive/{name}\n");
    for kind in Kind::ALL {
        conf.push_str(&format!("{} = {config}/live/{name}/{}\n", kind.as_str(), kind.live_file()));
    }
    conf.push_str("# The admin's comment\n[renewalparams]\naccount = 0123456789abcdef0123456789abcdef\n");
    conf.push_str("server = https://acme.example/directory\nauthenticator = standalone\nkey_type = ecdsa\n");
    fs::write(dir.join(format!("renewal/{name}.conf")), conf).unwrap();
}

/// The four files of a version.
pub fn write_version(dir: &Path, name: &LineageName, version: u32, leaf: &str) {
    let archive = dir.join("archive").join(name.as_str());
    let (cert, issuer) = (data(&format!("{leaf}.cert.pem")), data("intermediate.pem"));
    let file = |kind: Kind| archive.join(kind.archive_file(Version(version)));
    fs::write(file(Kind::Cert), &cert).unwrap();
    fs::write(file(Kind::Chain), &issuer).unwrap();
    fs::write(file(Kind::Fullchain), format!("{cert}{issuer}")).unwrap();
    fs::write(file(Kind::Privkey), data(&format!("{leaf}.key.pem"))).unwrap();
    fs::set_permissions(file(Kind::Privkey), fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn point_links(dir: &Path, name: &LineageName, version: u32) {
    for kind in Kind::ALL {
        point_link(dir, name, kind, version);
    }
}

pub fn point_link(dir: &Path, name: &LineageName, kind: Kind, version: u32) {
    let link = dir.join("live").join(name.as_str()).join(kind.live_file());
    let _ = fs::remove_file(&link);
    symlink(format!("../../archive/{name}/{}", kind.archive_file(Version(version))), link).unwrap();
}

/// The end of a renewal as a run of certkit does it: order journalled, committed, recorded.
pub fn renew(store: &LockedStore, leaf: &str, conf: &ConfPlan) -> Result<Committed, CommitError> {
    let name = name();
    let replaces = store.store().lineage(&name).ok().flatten().and_then(|lineage| lineage.live_version());
    let mut pending = match store.store().pending(&name)? {
        Some(pending) => pending,
        None => store.begin(&name, &key(leaf), order())?,
    };
    store.mark_finalizing(&mut pending)?;
    let committed = store.commit(&name, &verified(leaf), replaces, conf)?;
    record(store, committed.version)?;
    Ok(committed)
}

pub fn record(store: &LockedStore, version: Version) -> Result<(), certkit_core::store::StoreError> {
    let mut state = store.store().state(&name())?.0;
    let targets = vec![certkit_core::state::DeployTarget::Hook("reload".into())];
    let committed = Event::Committed {
        version,
        not_after: now(),
        directory: None,
        targets,
        profile: None,
        left_out: IdentifierSet::default(),
    };
    state.apply(&committed, now());
    store.save_state(&name(), &state)
}

pub fn order() -> PendingOrder {
    let url = |text| AcmeUrl::parse(text).unwrap();
    PendingOrder::new(
        url("https://acme.example/order/1"),
        url("https://acme.example/directory"),
        url("https://acme.example/acct/1"),
        identifiers(&NAMES),
        now(),
    )
}

/// Asserts that what is live is one whole version and that the key fits, and returns its number and its certificate.
pub fn whole_version(dir: &Path, name: &LineageName) -> (Version, Certificate) {
    look(dir, name).unwrap()
}

/// What is live, or what is wrong with it.
pub fn look(dir: &Path, name: &LineageName) -> Result<(Version, Certificate), String> {
    let live = dir.join("live").join(name.as_str());
    let mut versions = Vec::new();
    for kind in Kind::ALL {
        let target = fs::read_link(live.join(kind.live_file())).map_err(|error| format!("{kind:?}: {error}"))?;
        versions.push(kind.version_of(target.file_name().unwrap().to_str().unwrap()).unwrap());
    }
    if versions.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(format!("mixed: {versions:?}"));
    }
    let read =
        |kind: Kind| fs::read_to_string(live.join(kind.live_file())).map_err(|error| format!("{kind:?}: {error}"));
    if read(Kind::Fullchain)? != read(Kind::Cert)? + &read(Kind::Chain)? {
        return Err("fullchain is not cert and chain".into());
    }
    let chain = Chain::from_pem(read(Kind::Fullchain)?.as_bytes()).map_err(|error| error.to_string())?;
    let key = PrivateKey::from_pem(read(Kind::Privkey)?.as_bytes()).map_err(|error| error.to_string())?;
    if chain.issuers.len() != 1 || key.carried_spki_der().as_deref() != Some(chain.leaf.spki_der()) {
        return Err("the key does not fit, or the chain is short".into());
    }
    Ok((versions[0], chain.leaf))
}

/// Everything in a tree with what would change if it were touched.
pub fn snapshot(dir: &Path) -> Vec<(PathBuf, u64, u32, i64, i64, i64)> {
    let touched = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).unwrap();
        (path, meta.ino(), meta.mode(), meta.ctime(), meta.ctime_nsec(), meta.mtime_nsec())
    };
    walk(dir).into_iter().map(touched).collect()
}

/// Every path below a directory, sorted.
pub fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// Asserts that no private key can be read by others, in whatever file it is.
pub fn assert_keys_are_private(dir: &Path) {
    for path in walk(dir) {
        let meta = fs::symlink_metadata(&path).unwrap();
        let is_named = path.file_name().unwrap().to_str().unwrap().contains("privkey");
        if meta.is_file() && (is_named || String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("PRIVATE KEY")) {
            assert_eq!(meta.mode() & 0o077, 0, "{}", path.display());
        }
    }
}

/// What an interrupted run could have left.
pub fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let mut found = walk(dir);
    found.retain(|path| {
        let text = path.to_str().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        name.contains("certkit-tmp")
            || name.contains("certkit-new")
            || name.starts_with("previous_")
            || text.contains("certkit/pending/")
            || text.contains("certkit/commit/")
    });
    found
}

/// The state of a lineage, for tests that need one.
pub fn state(store: &Store) -> LineageState {
    store.state(&name()).unwrap().0
}

/// An account below `accounts/`, written by certbot, with an RSA key.
pub fn lay_account(dir: &Path, server: &str) -> PathBuf {
    const ID: &str = "9b6ef06c3cf07be0ab7f3578e85d7850";
    let account = dir.join("accounts").join(server).join(ID);
    fs::create_dir_all(&account).unwrap();
    for file in ["private_key.json", "regr.json", "meta.json"] {
        fs::copy(recorded_account(ID).join(file), account.join(file)).unwrap();
    }
    account
}

/// Another account key that certbot named: its SubjectPublicKeyInfo and its JWK.
pub fn new_account_key() -> (Vec<u8>, String) {
    const ID: &str = "24f0a34d40414517ee526e8bd1589f35";
    let vectors = fs::read_to_string(recorded_account("../../vectors.json")).unwrap();
    let vectors: Vec<(String, String)> = serde_json::from_str(&vectors).unwrap();
    let spki = &vectors.iter().find(|(id, _)| id == ID).unwrap().1;
    let jwk = fs::read_to_string(recorded_account(ID).join("private_key.json")).unwrap();
    (data_encoding::BASE64.decode(spki.as_bytes()).unwrap(), jwk)
}

fn recorded_account(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accounts/ca.example/dir").join(id)
}
