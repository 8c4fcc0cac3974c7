//! `certkit/rollover/ID.json`: the key that an account is getting, durable before the CA is asked to take it.
//!
//! certbot names an account's directory after its key, so another key means another directory, and every conf that names
//! the account has to follow. The journal stays until all of that has happened ([`LockedStore::finish_rollover`]), or the
//! CA is known not to have taken the key ([`LockedStore::drop_rollover`]).

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account;
use super::files::{self, Attributes};
use super::{EditConfError, LockedStore, Store, StoreError, StoredAccount};
use crate::{AcmeUrl, Finding, FindingCode, escape};

mod confs;

/// The format that this version writes.
const SCHEMA: u32 = 1;

/// An account that is getting another key.
#[derive(Clone)]
#[non_exhaustive]
pub struct Rollover {
    /// The CA's directory.
    pub directory: AcmeUrl,
    /// The account's URL at the CA.
    pub account_url: AcmeUrl,
    /// The id that the account has under its old key.
    pub old_id: String,
    /// The id that it gets with the new one.
    pub new_id: String,
    /// The new key as a JWK, zeroized on drop and never shown.
    pub jwk: Zeroizing<String>,
    /// When it began (UTC).
    pub started: DateTime<Utc>,
    /// The directory that holds the account's, below the config dir; the way there may lead over certbot's links.
    beside: PathBuf,
    /// The account's own directory, below the config dir, links resolved.
    old_dir: PathBuf,
}

/// The journal as it is written.
#[derive(Serialize, Deserialize)]
struct Journal<'a> {
    schema: u32,
    directory: AcmeUrl,
    account_url: AcmeUrl,
    old_id: String,
    new_id: String,
    started: DateTime<Utc>,
    beside: PathBuf,
    old_dir: PathBuf,
    #[serde(borrow)]
    jwk: std::borrow::Cow<'a, str>,
}

impl Store {
    /// The changes of account keys that are under way, sorted by the new id. A journal that cannot be read is a finding:
    /// it stays, because its key may be the one that counts.
    pub fn rollovers(&self) -> Result<(Vec<Rollover>, Vec<Finding>), StoreError> {
        let dir = self.rollover_dir();
        let (mut rollovers, mut findings) = (Vec::new(), Vec::new());
        for name in files::list(&dir)?.unwrap_or_default() {
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            if id.starts_with('.') {
                continue;
            }
            match read_journal(&dir.join(&name), id) {
                Ok(rollover) => rollovers.push(rollover),
                Err(why) => {
                    let subject = self.paths.relative(&dir.join(&name)).to_string_lossy().into_owned();
                    findings.push(Finding::new(FindingCode::AccountKeyJournalUnusable, subject, why));
                }
            }
        }
        Ok((rollovers, findings))
    }

    /// The account with its old key, while its directory is there.
    pub fn account_before(&self, rollover: &Rollover) -> Result<Option<StoredAccount>, StoreError> {
        let old = self.paths.config_dir.join(&rollover.old_dir);
        account::read_if_there(&old, &rollover.old_id)
    }

    /// The account with its new key, once its directory is there: the CA has taken the key then.
    pub fn account_after(&self, rollover: &Rollover) -> Result<Option<StoredAccount>, StoreError> {
        account::read_if_there(&self.new_dir(rollover), &rollover.new_id)
    }

    fn rollover_dir(&self) -> PathBuf {
        self.paths.own_dir().join("rollover")
    }

    fn new_dir(&self, rollover: &Rollover) -> PathBuf {
        self.paths.config_dir.join(&rollover.beside).join(&rollover.new_id)
    }
}

impl LockedStore {
    /// Journals an account's new key: it is durable when this returns, and the CA may be asked to take it. What would
    /// stand in the way afterwards is found before: a conf that names the account and cannot be changed, an account that
    /// a link leads out of the tree to, a directory that cannot be written.
    ///
    /// `spki_der` and `jwk` are the new key's, as in [`super::NewStoredAccount`].
    pub fn begin_rollover(
        &self,
        directory: &AcmeUrl,
        account: &StoredAccount,
        spki_der: &[u8],
        jwk: &str,
        now: DateTime<Utc>,
    ) -> Result<Rollover, RolloverError> {
        let _writing = self.writing();
        let config_dir = &self.paths().config_dir;
        let outside = || RolloverError::Outside { path: account.path.clone() };
        let beside = account.path.parent().and_then(|parent| below(config_dir, parent)).ok_or_else(outside)?;
        let accounts = self.store.accounts_dir();
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| StoreError::new("read", path, error));
        let (real_accounts, real_account) = (real(&accounts)?, real(&account.path)?);
        let inside = real_account.strip_prefix(&real_accounts).map_err(|_| outside())?;
        if inside.components().count() == 0 {
            return Err(outside());
        }
        let rollover = Rollover {
            directory: directory.clone(),
            account_url: account.uri.clone(),
            old_id: account.id.clone(),
            new_id: account::account_id(spki_der),
            jwk: Zeroizing::new(jwk.to_owned()),
            started: now,
            beside,
            old_dir: Path::new("accounts").join(inside),
        };
        let (under_way, unusable) = self.store.rollovers()?;
        if under_way.iter().any(|other| other.old_dir == rollover.old_dir) {
            return Err(RolloverError::UnderWay { id: account.id.clone() });
        }
        if let Some(finding) = unusable.into_iter().next() {
            return Err(RolloverError::Unusable { path: finding.subject, why: finding.evidence });
        }
        self.check_confs(&rollover)?;
        // The journal first: it is what tells the next run of a trial that was interrupted.
        self.write_rollover(&rollover)?;
        if let Err(error) = self.check_place(&rollover) {
            self.end_rollover(&rollover)?;
            return Err(error.into());
        }
        Ok(rollover)
    }

    /// Makes the new key the account's: its directory appears complete in one step, the confs that name the account
    /// follow one by one, the directory with the old key goes, and the journal last. Repeats what a crash interrupted.
    /// `url` is the account's URL at the CA. A conf that cannot be changed keeps the old directory and the journal where
    /// they are; the others have followed.
    pub fn finish_rollover(&self, rollover: &Rollover, url: &AcmeUrl) -> Result<StoredAccount, RolloverError> {
        let _writing = self.writing();
        let account = self.place(rollover, url)?;
        self.rewrite_confs(rollover)?;
        self.remove_old(rollover)?;
        self.end_rollover(rollover)?;
        Ok(account)
    }

    /// Forgets a key that the CA did not take.
    pub fn drop_rollover(&self, rollover: &Rollover) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.end_rollover(rollover)
    }

    fn write_rollover(&self, rollover: &Rollover) -> Result<(), StoreError> {
        let path = self.journal_file(rollover);
        files::ensure_own_dir(&self.paths().own_dir(), &self.store.rollover_dir())?;
        let journal = Journal {
            schema: SCHEMA,
            directory: rollover.directory.clone(),
            account_url: rollover.account_url.clone(),
            old_id: rollover.old_id.clone(),
            new_id: rollover.new_id.clone(),
            started: rollover.started,
            beside: rollover.beside.clone(),
            old_dir: rollover.old_dir.clone(),
            jwk: rollover.jwk.as_str().into(),
        };
        let content = serde_json::to_vec(&journal)
            .map(Zeroizing::new)
            .map_err(|error| StoreError::new("write", &path, io::Error::from(error)))?;
        files::replace(&path, &content, &Attributes::ours(&path))
    }

    /// Tries beforehand what must not fail once the CA has taken the key: a directory from where the new one is made is
    /// renamed to where it will be. A link may lead to another file system.
    fn check_place(&self, rollover: &Rollover) -> Result<(), StoreError> {
        let (from, to) = (self.staged(rollover), self.trial(rollover));
        files::remove_flat_dir(&from)?;
        files::remove_flat_dir(&to)?;
        files::make_dir(&from, 0o700)?;
        let renamed = files::rename_new(&from, &to);
        files::remove_flat_dir(if renamed.is_ok() { &to } else { &from })?;
        renamed
    }

    /// The new directory, if it is not there yet.
    fn place(&self, rollover: &Rollover, url: &AcmeUrl) -> Result<StoredAccount, StoreError> {
        let path = self.store.new_dir(rollover);
        if let Some(placed) = self.store.account_after(rollover)? {
            return Ok(placed);
        }
        let old = self.paths().config_dir.join(&rollover.old_dir);
        let temp = self.staged(rollover);
        files::remove_flat_dir(&temp)?;
        files::make_dir(&temp, 0o700)?;
        let filled = account::write_successor(&temp, &old, &rollover.jwk, url, rollover.started)
            .and_then(|()| files::own_like(&temp, &old))
            .and_then(|()| files::rename_new(&temp, &path));
        if let Err(error) = filled {
            let _ = files::remove_flat_dir(&temp);
            return Err(error);
        }
        files::sync_parent(&path)?;
        files::sync_dir(&self.store.accounts_dir())?;
        let missing = || StoreError::new("read", &path, io::Error::from(io::ErrorKind::NotFound));
        self.store.account_after(rollover)?.ok_or_else(missing)
    }

    fn remove_old(&self, rollover: &Rollover) -> Result<(), StoreError> {
        let config_dir = &self.paths().config_dir;
        let path = config_dir.join(&rollover.old_dir);
        if !files::exists(&path)? {
            return Ok(());
        }
        // By the way that certbot goes, so that its link to a single account goes as well.
        let usual = config_dir.join(&rollover.beside).join(&rollover.old_id);
        let path = if usual.is_dir() { usual } else { path };
        self.remove_account_at(&rollover.directory, &rollover.old_id, &path)
    }

    fn end_rollover(&self, rollover: &Rollover) -> Result<(), StoreError> {
        files::remove_flat_dir(&self.staged(rollover))?;
        files::remove_flat_dir(&self.trial(rollover))?;
        let path = self.journal_file(rollover);
        if files::remove_file(&path)? {
            files::sync_parent(&path)?;
        }
        Ok(())
    }

    fn journal_file(&self, rollover: &Rollover) -> PathBuf {
        self.store.rollover_dir().join(format!("{}.json", rollover.new_id))
    }

    /// Where the new directory is made.
    fn staged(&self, rollover: &Rollover) -> PathBuf {
        files::temp_name(&self.store.accounts_dir().join(&rollover.new_id))
    }

    /// Where it is tried whether the new directory can be put.
    fn trial(&self, rollover: &Rollover) -> PathBuf {
        files::temp_name(&self.store.new_dir(rollover))
    }
}

fn read_journal(path: &Path, id: &str) -> Result<Rollover, String> {
    let content = files::read(path).map(Zeroizing::new).map_err(|error| error.source.to_string())?;
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    // Nothing of the content may be in the message: it holds a private key.
    let schema = serde_json::from_slice::<Schema>(&content).map_err(|_| "it is damaged".to_owned())?.schema;
    if schema > SCHEMA {
        return Err(format!("it was written by a newer certkit (schema {schema})"));
    }
    let journal: Journal<'_> = serde_json::from_slice(&content).map_err(|_| "it is damaged".to_owned())?;
    let is_name = |text: &str| matches!(only_names(Path::new(text)), Some(1));
    let is_in_accounts = |path: &Path| path.starts_with("accounts") && only_names(path).is_some_and(|count| count > 1);
    if journal.new_id != id
        || !is_name(id)
        || !is_name(&journal.old_id)
        || !is_in_accounts(&journal.beside)
        || !is_in_accounts(&journal.old_dir)
    {
        return Err("it names directories that are no account's".to_owned());
    }
    Ok(Rollover {
        directory: journal.directory,
        account_url: journal.account_url,
        old_id: journal.old_id,
        new_id: journal.new_id,
        jwk: Zeroizing::new(journal.jwk.into_owned()),
        started: journal.started,
        beside: journal.beside,
        old_dir: journal.old_dir,
    })
}

/// How many parts a path has, when all of them are plain names.
fn only_names(path: &Path) -> Option<usize> {
    let names = path.components().all(|part| matches!(part, Component::Normal(_)));
    names.then(|| path.components().count())
}

/// A directory in `accounts/` relative to the config dir.
fn below(config_dir: &Path, path: &Path) -> Option<PathBuf> {
    let relative = path.strip_prefix(config_dir).ok()?;
    (relative.starts_with("accounts") && only_names(relative)? > 1).then(|| relative.to_owned())
}

impl std::fmt::Debug for Rollover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rollover")
            .field("account_url", &self.account_url)
            .field("old_id", &self.old_id)
            .field("new_id", &self.new_id)
            .finish_non_exhaustive()
    }
}

/// An account's key could not be changed in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloverError {
    /// An earlier change of this account's key has not ended.
    #[error("an earlier change of the key of the account {} has not ended", escape(id))]
    UnderWay {
        /// The account.
        id: String,
    },
    /// The journal of an earlier change cannot be read, and may hold the key that counts.
    #[error("{path} may hold an account's key and cannot be read ({why}): put it right or move it away")]
    Unusable {
        /// The journal, relative to the config dir, escaped.
        path: String,
        /// What is wrong with it, escaped.
        why: String,
    },
    /// The account's directory lies elsewhere.
    #[error(
        "a link leads from {} out of the accounts directory: put the account's directory in the link's place",
        escape(&path.display().to_string())
    )]
    Outside {
        /// The account's directory.
        path: PathBuf,
    },
    /// A conf names the account (or may) and cannot be changed.
    #[error(
        "{} names the account and cannot be changed: {source}",
        escape(&path.display().to_string())
    )]
    Conf {
        /// The conf.
        path: PathBuf,
        /// Why not.
        source: EditConfError,
    },
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
