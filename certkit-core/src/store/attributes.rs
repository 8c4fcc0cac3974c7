//! What a new file takes over from the one that it replaces: mode, owner, labels, ACLs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

/// What a new file takes over from the one that it replaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    mode: u32,
    owner: Option<(u32, u32)>,
    /// A file with extended attributes (labels, ACLs) to copy.
    like: Option<PathBuf>,
}

impl Attributes {
    /// Exactly this mode, whatever the umask; owned by the running user.
    pub(crate) fn mode(mode: u32) -> Self {
        Self { mode, owner: None, like: None }
    }

    /// A file of certkit's own: for its owner alone, who is that of the folder it lies in. What one run by root leaves in the
    /// tree of another user must not keep that user from all later ones.
    pub(crate) fn ours(path: &Path) -> Self {
        let attributes = Self::mode(0o600);
        match path.parent() {
            Some(folder) => attributes.owned_like(folder),
            None => attributes,
        }
    }

    /// The same, owned as `path` is.
    pub(crate) fn owned_like(self, path: &Path) -> Self {
        let owner = fs::metadata(path).ok().map(|meta| (meta.uid(), meta.gid()));
        Self { owner, ..self }
    }

    /// A private key: 0600, or looser where the admin loosened its predecessor. As with certbot the group's rights and
    /// the right of others to read are kept, others never write.
    pub(crate) fn key_like(predecessor: Option<&Path>) -> Self {
        Self::like(predecessor, 0o600, |old| 0o600 | (old & 0o074))
    }

    /// A public file: 0644, or the mode of its predecessor.
    pub(crate) fn public_like(predecessor: Option<&Path>) -> Self {
        Self::like(predecessor, 0o644, |old| 0o600 | (old & 0o775))
    }

    fn like(predecessor: Option<&Path>, default: u32, keep: impl Fn(u32) -> u32) -> Self {
        match predecessor.and_then(|path| fs::metadata(path).ok().map(|meta| (path, meta))) {
            Some((path, meta)) => {
                Self { mode: keep(meta.mode()), owner: Some((meta.uid(), meta.gid())), like: Some(path.to_owned()) }
            }
            None => Self::mode(default),
        }
    }

    /// Gives `file` these attributes. Rights are given last, and those of group and others only when the owner and the
    /// ACL that they were meant for could be set.
    pub(crate) fn apply(&self, file: &File) -> io::Result<()> {
        let mut mode = self.mode;
        if let Some((uid, gid)) = self.owner {
            let meta = file.metadata()?;
            if meta.uid() != uid && rustix::process::geteuid().is_root() {
                // Failing is no reason to lose a certificate: the rights below are then those of the running user.
                let _ = rustix::fs::fchown(file, Some(Uid::from_raw(uid)), None);
            }
            if meta.gid() != gid && rustix::fs::fchown(file, None, Some(Gid::from_raw(gid))).is_err() {
                // certbot fails the renewal here (its report 8070), after the certificate was issued.
                mode &= !0o070;
            }
        }
        if let Some(like) = &self.like
            && copy_attributes(like, file).is_err()
        {
            // With an ACL the group bits are its mask: without it they would give the group what one user had.
            mode &= !0o070;
        }
        rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(mode))?;
        Ok(())
    }
}

/// Copies the extended attributes that matter: labels, ACLs and the user's own. What the file system cannot hold, or
/// only root may set, is not an error, but an ACL that could not be set is.
pub(crate) fn copy_attributes(from: &Path, to: &File) -> io::Result<()> {
    let mut names = vec![0_u8; 64 * 1024];
    let Ok(length) = rustix::fs::listxattr(from, &mut names) else { return Ok(()) };
    names.truncate(length);
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let acl = name.starts_with(b"system.posix_acl_");
        if !acl && !name.starts_with(b"security.selinux") && !name.starts_with(b"user.") {
            continue;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let copied = rustix::fs::getxattr(from, name, &mut value).and_then(|length| {
            value.truncate(length);
            rustix::fs::fsetxattr(to, name, &value, rustix::fs::XattrFlags::empty())
        });
        if let Err(error) = copied
            && acl
        {
            return Err(error.into());
        }
    }
    Ok(())
}
