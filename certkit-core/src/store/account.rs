//! certbot's account directories: `accounts/HOST[:PORT]/PATH/ID/` with three files each.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use md5::{Digest as _, Md5};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::files::{self, Attributes};
use super::{LockedStore, Store, StoreError, folder_names, read};
use crate::{AcmeUrl, Finding, FindingCode, Hindrance};

const KEY_FILE: &str = "private_key.json";
const REGISTRATION_FILE: &str = "regr.json";
const META_FILE: &str = "meta.json";

/// The directories of ACME v1 whose accounts certbot goes on using for v2, where there are none yet.
const PREDECESSORS: [(&str, &str); 2] = [
    ("acme-v02.api.letsencrypt.org/directory", "acme-v01.api.letsencrypt.org/directory"),
    ("acme-staging-v02.api.letsencrypt.org/directory", "acme-staging.api.letsencrypt.org/directory"),
];

/// How deep below `accounts/` servers are looked for: HOST and the parts of the directory's path.
const MAX_DEPTH: usize = 12;

/// An account as certbot keeps it: `accounts/HOST/PATH/ID/`.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredAccount {
    /// The directory's name; the conf's `account`.
    pub id: String,
    /// The directory.
    pub path: PathBuf,
    /// The account's URL at the CA (`regr.json`).
    pub uri: AcmeUrl,
    /// The key as a JWK (`private_key.json`), zeroized on drop and never shown.
    pub jwk: Zeroizing<String>,
    /// `meta.json`.
    pub meta: AccountMeta,
}

/// `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountMeta {
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// On which host. Outside text.
    pub host: Option<String>,
}

/// What is needed to write a new account.
pub struct NewStoredAccount<'a> {
    /// The public key: md5 (lower-case hex) of its PEM with the trailing newline becomes the name, as with certbot.
    pub spki_der: &'a [u8],
    /// The private key as a JWK with its public part.
    pub jwk: &'a str,
    /// The account's URL at the CA.
    pub uri: &'a AcmeUrl,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// On which host.
    pub host: &'a str,
}

impl Store {
    /// The accounts for a CA, sorted by id. One that cannot be read is a finding, not an error; certbot's links from
    /// the v02 directory to v01 are followed, also where certbot has not made them yet.
    pub fn accounts(&self, directory: &AcmeUrl) -> Result<(Vec<StoredAccount>, Vec<Finding>), StoreError> {
        let dir = self.paths.account_dir(directory);
        let (accounts, findings) = self.accounts_in(&dir)?;
        if !accounts.is_empty() {
            return Ok((accounts, findings));
        }
        let accounts_dir = self.accounts_dir();
        let predecessor = PREDECESSORS.iter().find(|(server, _)| dir == accounts_dir.join(server));
        let Some((_, predecessor)) = predecessor else { return Ok((accounts, findings)) };
        let (accounts, more) = self.accounts_in(&accounts_dir.join(predecessor))?;
        Ok((accounts, findings.into_iter().chain(more).collect()))
    }

    /// The CA directories for which there are account directories, as certbot names them (`HOST[:PORT]/PATH`), sorted.
    pub fn account_servers(&self) -> Result<Vec<String>, StoreError> {
        let (servers, hidden) = self.readable_account_servers();
        hidden.into_iter().next().map_or(Ok(servers), Err)
    }

    /// As far as they can be read, and what cannot.
    pub(crate) fn readable_account_servers(&self) -> (Vec<String>, Vec<StoreError>) {
        let (mut servers, mut hidden) = (Vec::new(), Vec::new());
        let mut todo = vec![(self.accounts_dir(), String::new(), 0)];
        while let Some((dir, server, depth)) = todo.pop() {
            let mut holds_accounts = false;
            let names = folder_names(&dir).unwrap_or_else(|error| {
                hidden.push(error);
                Vec::new()
            });
            for name in names {
                let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
                let path = dir.join(name);
                if !path.is_dir() {
                    continue;
                }
                if looks_like_account(&path) {
                    holds_accounts = true;
                // Links lead to accounts, not to further servers, and could lead in a circle.
                } else if depth < MAX_DEPTH && (!path.is_symlink() || has_accounts(&path)) {
                    let below = if server.is_empty() { name.to_owned() } else { format!("{server}/{name}") };
                    todo.push((path, below, depth + 1));
                }
            }
            if holds_accounts && !server.is_empty() {
                servers.push(server);
            }
        }
        servers.sort_unstable();
        (servers, hidden)
    }

    pub(crate) fn accounts_dir(&self) -> PathBuf {
        self.paths.config_dir.join("accounts")
    }

    fn accounts_in(&self, dir: &Path) -> Result<(Vec<StoredAccount>, Vec<Finding>), StoreError> {
        let mut names = folder_names(dir)?;
        names.sort_unstable();
        let (mut accounts, mut findings) = (Vec::new(), Vec::new());
        for name in names {
            let path = dir.join(&name);
            // The folders of a server whose path begins with this one's lie among the accounts.
            if !path.is_dir() || !looks_like_account(&path) {
                continue;
            }
            let mut unusable = |path: &Path, Unusable { why, hindrance }: Unusable| {
                let subject = self.paths.relative(path).to_string_lossy().into_owned();
                findings.push(Finding::new(FindingCode::AccountUnusable, subject, why).hindered_by(hindrance));
            };
            let Some(id) = name.to_str() else {
                unusable(&path, "its name is not UTF-8".into());
                continue;
            };
            match read_account(&path, id) {
                Ok((account, incomplete)) => {
                    if let Some(why) = incomplete {
                        unusable(&path.join(META_FILE), why.into());
                    }
                    accounts.push(account);
                }
                Err((file, why)) => unusable(&path.join(file), why),
            }
        }
        Ok((accounts, findings))
    }
}

/// Whether a folder holds one of an account's files.
fn looks_like_account(dir: &Path) -> bool {
    [KEY_FILE, REGISTRATION_FILE, META_FILE].iter().any(|file| dir.join(file).symlink_metadata().is_ok())
}

fn has_accounts(dir: &Path) -> bool {
    folder_names(dir).is_ok_and(|names| names.iter().any(|name| looks_like_account(&dir.join(name))))
}

#[derive(Deserialize)]
struct Registration {
    uri: String,
}

#[derive(Deserialize)]
struct Meta {
    creation_dt: Option<String>,
    creation_host: Option<String>,
}

/// Why an account cannot be used.
struct Unusable {
    why: String,
    /// What keeps it from being read, where it is that.
    hindrance: Option<Hindrance>,
}

impl<T: Into<String>> From<T> for Unusable {
    fn from(why: T) -> Self {
        Self { why: why.into(), hindrance: None }
    }
}

/// The account in a directory, and what is wrong with its `meta.json`; or the file that makes it unusable, and why.
fn read_account(path: &Path, id: &str) -> Result<(StoredAccount, Option<&'static str>), (&'static str, Unusable)> {
    let read = |file| {
        read::regular_file(&path.join(file)).map_err(|error| {
            let hindrance = Hindrance::of(&error.source);
            (file, Unusable { why: error.source.to_string(), hindrance })
        })
    };
    let registration: Registration = serde_json::from_slice(&read(REGISTRATION_FILE)?)
        .map_err(|error| (REGISTRATION_FILE, format!("it is not a registration: {error}").into()))?;
    let uri = AcmeUrl::parse(&registration.uri).map_err(|error| (REGISTRATION_FILE, error.to_string().into()))?;

    let key = Zeroizing::new(read(KEY_FILE)?);
    let text = std::str::from_utf8(&key).map_err(|_| (KEY_FILE, "it is not UTF-8".into()))?;
    // Nothing of the content may be in the message, not even what the parser stumbled over.
    let json = serde_json::from_str::<serde::de::IgnoredAny>(text);
    if json.is_err() || !text.trim_start().starts_with('{') {
        return Err((KEY_FILE, "it is not a JSON web key".into()));
    }
    let jwk = Zeroizing::new(text.to_owned());

    // certbot overlooks an account without this file and fails with one that lacks a field; nothing in it is needed.
    let (meta, problem) = match read(META_FILE).map(|bytes| serde_json::from_slice::<Meta>(&bytes)) {
        Err(_) => (None, Some("it cannot be read, so certbot overlooks this account")),
        Ok(Err(_)) => (None, Some("it is not what certbot writes, so certbot fails on it")),
        Ok(Ok(meta)) => (Some(meta), None),
    };
    let written = meta.as_ref().and_then(|meta| meta.creation_dt.as_deref());
    let created = written.and_then(|date| DateTime::parse_from_rfc3339(date).ok()).map(|date| date.to_utc());
    let host = meta.and_then(|meta| meta.creation_host);
    let incomplete = created.is_none() || host.is_none();
    let problem = match problem {
        None if incomplete => Some("creation_dt or creation_host is missing or wrong, so certbot fails on it"),
        problem => problem,
    };
    let meta = AccountMeta { created, host };
    Ok((StoredAccount { id: id.to_owned(), path: path.to_owned(), uri, jwk, meta }, problem))
}

impl LockedStore {
    /// Writes a new account so that certbot can use it. It is there completely or not at all.
    pub fn save_account(
        &self,
        directory: &AcmeUrl,
        account: &NewStoredAccount<'_>,
    ) -> Result<StoredAccount, StoreError> {
        let _writing = self.writing();
        let accounts = self.store.accounts_dir();
        let server = self.store.paths.account_dir(directory);
        files::ensure_own_dir(&accounts, &server)?;
        let id = account_id(account.spki_der);
        let path = server.join(&id);
        // Not beside the final name: what certbot finds there it takes for an account.
        let temp = files::temp_name(&accounts.join(&id));
        files::remove_flat_dir(&temp)?;
        files::make_dir(&temp, 0o700)?;
        let result = write_files(&temp, account).and_then(|()| files::rename_new(&temp, &path));
        if let Err(error) = result {
            let _ = files::remove_flat_dir(&temp);
            return Err(error);
        }
        files::sync_dir(&server)?;
        files::sync_dir(&accounts)?;
        let meta = AccountMeta { created: Some(account.created), host: Some(account.host.to_owned()) };
        let jwk = Zeroizing::new(account.jwk.to_owned());
        Ok(StoredAccount { id, path, uri: account.uri.clone(), jwk, meta })
    }

    /// Whether [`LockedStore::remove_account`] can remove it: one that lies outside the accounts directory it cannot. To be asked
    /// before a CA is told to deactivate the account for good.
    pub fn check_account_removable(&self, account: &StoredAccount) -> Result<(), StoreError> {
        self.real_account(&account.path).map(|_| ())
    }

    /// The accounts directory and that of an account in it, without links in their paths.
    fn real_account(&self, path: &Path) -> Result<(PathBuf, PathBuf), StoreError> {
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| StoreError::new("read", path, error));
        let (real_accounts, real_account) = (real(&self.store.accounts_dir())?, real(path)?);
        if real_account == real_accounts || !real_account.starts_with(&real_accounts) {
            let why = format!(
                "it lies outside the accounts directory: put the folder itself in the place of the link at {}",
                path.display()
            );
            return Err(StoreError::new("remove", &real_account, std::io::Error::other(why)));
        }
        Ok((real_accounts, real_account))
    }

    /// Removes an account's directory and the server directories above it that become empty, links to them included.
    pub fn remove_account(&self, directory: &AcmeUrl, account: &StoredAccount) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.remove_account_at(directory, &account.id, &account.path)
    }

    /// Makes `regr.json` name another URL, in one step; the key, and so the id, stays. For a CA that knows the account
    /// under another URL, or had lost it and has it again.
    pub fn update_account_url(&self, account: &StoredAccount, url: &AcmeUrl) -> Result<StoredAccount, StoreError> {
        let _writing = self.writing();
        let path = account.path.join(REGISTRATION_FILE);
        files::replace(&path, registration_json(url).as_bytes(), &Attributes::public_like(Some(&path)))?;
        Ok(StoredAccount { uri: url.clone(), ..account.clone() })
    }

    /// As [`LockedStore::remove_account`], for callers that are writing already.
    pub(crate) fn remove_account_at(&self, directory: &AcmeUrl, id: &str, path: &Path) -> Result<(), StoreError> {
        let accounts = self.store.accounts_dir();
        let (real_accounts, real_account) = self.real_account(path)?;
        // The links that lead here first: certbot makes them for a server, and for a single account.
        let mut servers = vec![self.store.paths.account_dir(directory)];
        servers.extend(path.parent().map(Path::to_owned));
        for server in &servers {
            let link = server.join(id);
            if link.is_symlink() && fs::canonicalize(&link).is_ok_and(|target| target == real_account) {
                files::remove_file(&link)?;
            }
        }
        fs::remove_dir_all(&real_account).map_err(|error| StoreError::new("remove", &real_account, error))?;
        let mut emptied: Vec<PathBuf> = real_account.parent().map(Path::to_owned).into_iter().collect();
        for server in servers {
            let now_empty = fs::read_dir(&server).is_ok_and(|mut entries| entries.next().is_none());
            if server.is_symlink() && now_empty {
                files::remove_file(&server)?;
                emptied.extend(server.parent().map(Path::to_owned));
            } else {
                emptied.push(server);
            }
        }
        for dir in emptied {
            remove_empty(&dir, &accounts, &real_accounts)?;
        }
        files::sync_dir(&real_accounts)
    }
}

/// Removes a folder and those above it, as long as they are empty and below one of `ends`.
fn remove_empty(dir: &Path, accounts: &Path, real_accounts: &Path) -> Result<(), StoreError> {
    let mut at = Some(dir);
    while let Some(dir) = at.filter(|dir| *dir != accounts && *dir != real_accounts) {
        if !dir.starts_with(accounts) && !dir.starts_with(real_accounts) {
            break;
        }
        match fs::remove_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => break,
            // Removed by another path that leads there.
            Err(error) if files::is_absence(&error) => {}
            Err(error) => return Err(StoreError::new("remove", dir, error)),
        }
        at = dir.parent();
    }
    Ok(())
}

fn write_files(dir: &Path, account: &NewStoredAccount<'_>) -> Result<(), StoreError> {
    let meta = meta_json(account.created, account.host);
    let write = |file: &str, content: &[u8], mode| {
        files::write_new(&dir.join(OsStr::new(file)), content, &Attributes::mode(mode))
    };
    write(KEY_FILE, account.jwk.as_bytes(), 0o400)?;
    write(REGISTRATION_FILE, registration_json(account.uri).as_bytes(), 0o644)?;
    write(META_FILE, meta.as_bytes(), 0o644)?;
    files::sync_dir(dir)
}

/// The files of an account that was in the directory `old` and gets another key. What certbot noted of it stays
/// (a pending subscription among it), as long as certbot can read that; `started` is the date otherwise.
pub(crate) fn write_successor(
    dir: &Path,
    old: &Path,
    jwk: &str,
    uri: &AcmeUrl,
    started: DateTime<Utc>,
) -> Result<(), StoreError> {
    let noted = read::regular_file(&old.join(META_FILE)).ok().filter(|noted| {
        serde_json::from_slice::<Meta>(noted)
            .is_ok_and(|meta| meta.creation_dt.is_some() && meta.creation_host.is_some())
    });
    let meta = noted.unwrap_or_else(|| meta_json(started, "unknown").into_bytes());
    let write = |file: &str, content: &[u8], mode| {
        files::write_new(&dir.join(file), content, &Attributes::mode(mode).owned_like(&old.join(file)))
    };
    write(KEY_FILE, jwk.as_bytes(), 0o400)?;
    write(REGISTRATION_FILE, registration_json(uri).as_bytes(), 0o644)?;
    write(META_FILE, &meta, 0o644)?;
    files::sync_dir(dir)
}

/// The account in a directory; none when there is nothing of that name.
pub(crate) fn read_if_there(dir: &Path, id: &str) -> Result<Option<StoredAccount>, StoreError> {
    if !files::exists(dir)? {
        return Ok(None);
    }
    match read_account(dir, id) {
        Ok((account, _)) => Ok(Some(account)),
        Err((file, unusable)) => Err(StoreError::new("read", dir.join(file), std::io::Error::other(unusable.why))),
    }
}

fn registration_json(uri: &AcmeUrl) -> String {
    serde_json::json!({ "body": {}, "uri": uri.as_str() }).to_string()
}

fn meta_json(created: DateTime<Utc>, host: &str) -> String {
    let created = created.to_rfc3339_opts(SecondsFormat::Secs, true);
    serde_json::json!({ "creation_dt": created, "creation_host": host }).to_string()
}

/// certbot's name for an account: the md5 of the public key's PEM text. Nothing rests on md5's strength here.
pub(crate) fn account_id(spki_der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(spki_der);
    let mut hash = Md5::new();
    hash.update(b"-----BEGIN PUBLIC KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        hash.update(line);
        hash.update(b"\n");
    }
    hash.update(b"-----END PUBLIC KEY-----\n");
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

impl std::fmt::Debug for StoredAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAccount").field("id", &self.id).field("uri", &self.uri).finish_non_exhaustive()
    }
}
