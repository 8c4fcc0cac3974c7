//! `certkit/aside/NAME/FINGERPRINT`: certificates that were issued but must not be installed.

use std::path::PathBuf;

use super::files::{self, Attributes};
use super::version_texts::VersionTexts;
use super::{Kind, LockedStore, StoreError};
use crate::{Certificate, LineageName};

impl LockedStore {
    /// Keeps a version aside, durably, and returns where. The directory is named after the certificate's fingerprint, so
    /// keeping it twice is keeping it once.
    pub(crate) fn keep_aside(
        &self,
        name: &LineageName,
        leaf: &Certificate,
        texts: &VersionTexts,
    ) -> Result<PathBuf, StoreError> {
        let parent = self.paths().aside(name);
        files::ensure_own_dir(&self.paths().own_dir(), &parent)?;
        let fingerprint = leaf.fingerprint_sha256();
        let dir = parent.join(data_encoding::HEXLOWER.encode(&fingerprint[..16]));
        if files::exists(&dir)? {
            return Ok(dir);
        }
        let temp = files::temp_name(&dir);
        files::remove_flat_dir(&temp)?;
        files::make_dir(&temp, 0o700)?;
        // As the key in use, which nobody else can read.
        let live = self.paths().live(name).join(Kind::Privkey.live_file());
        for kind in Kind::ALL {
            let attributes = Attributes::mode(0o600).owned_like(&live);
            files::write_new(&temp.join(kind.live_file()), texts.get(kind), &attributes)?;
        }
        files::own_like(&temp, &live)?;
        files::sync_dir(&temp)?;
        files::rename_new(&temp, &dir)?;
        files::sync_dir(&parent)?;
        Ok(dir)
    }
}
