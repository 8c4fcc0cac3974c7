//! Which confs name an account, and how they follow it to another id.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Rollover, RolloverError};
use crate::AcmeUrl;
use crate::store::files;
use crate::store::{ConfEdits, EditConfError, LockedStore, RenewalConf, StoreError};

impl LockedStore {
    /// Whether every conf that names the account can be changed. Nothing is.
    pub(super) fn check_confs(&self, rollover: &Rollover) -> Result<(), RolloverError> {
        for path in self.confs_naming(rollover)? {
            let conf = |source: EditConfError| RolloverError::Conf { path: path.clone(), source };
            let content = files::read(&path)?;
            let parsed = RenewalConf::parse(&content).map_err(|error| conf(error.into()))?;
            parsed.edited(&follow(rollover)).map_err(|error| conf(error.into()))?;
        }
        Ok(())
    }

    /// The confs follow, one by one. The first that cannot is the error; the others have followed.
    pub(super) fn rewrite_confs(&self, rollover: &Rollover) -> Result<(), RolloverError> {
        let mut first = None;
        for path in self.confs_naming(rollover)? {
            if let Err(source) = self.edit_conf_file(&path, &follow(rollover)) {
                first.get_or_insert(RolloverError::Conf { path, source });
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// The confs that name the account by its old id, and those that cannot be read as confs but hold the id somewhere.
    /// Links are resolved.
    fn confs_naming(&self, rollover: &Rollover) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.paths().renewal_dir();
        let mut naming = Vec::new();
        for name in files::list(&dir)?.unwrap_or_default() {
            let is_conf = name.to_str().is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'));
            let path = dir.join(&name);
            // A link to nothing names no account.
            if !is_conf || !path.exists() {
                continue;
            }
            let path = fs::canonicalize(&path).map_err(|error| StoreError::new("read", &path, error))?;
            if self.names(&files::read(&path)?, rollover)? {
                naming.push(path);
            }
        }
        Ok(naming)
    }

    fn names(&self, content: &[u8], rollover: &Rollover) -> Result<bool, StoreError> {
        let Ok(conf) = RenewalConf::parse(content) else {
            let id = rollover.old_id.as_bytes();
            return Ok(content.windows(id.len()).any(|window| window == id));
        };
        if conf.params().account.as_deref() != Some(&rollover.old_id) {
            return Ok(false);
        }
        match conf.params().effective_server().map(AcmeUrl::parse) {
            Some(Ok(server)) => Ok(self.is_beside(&self.paths().account_dir(&server), rollover)),
            // certbot asks the server of another protocol or of none.
            Some(Err(_)) => Ok(false),
            // certbot's default, or that of cli.ini: it is this account unless another server has the same key.
            None => {
                let accounts = self.store().accounts_dir();
                let others = self.store().account_servers()?;
                let holds = |server: &Path| server.join(&rollover.old_id).is_dir();
                Ok(!others
                    .iter()
                    .map(|server| accounts.join(server))
                    .any(|server| holds(&server) && !self.is_beside(&server, rollover)))
            }
        }
    }

    /// Whether the accounts of a server lie where this account does, by certbot's links or by our own reading.
    fn is_beside(&self, server: &Path, rollover: &Rollover) -> bool {
        let beside = self.paths().config_dir.join(&rollover.beside);
        let same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        };
        server == self.paths().account_dir(&rollover.directory) || same(server, &beside)
    }
}

fn follow(rollover: &Rollover) -> ConfEdits {
    let mut edits = ConfEdits::default();
    edits.param("account", Some(&rollover.new_id));
    edits
}
