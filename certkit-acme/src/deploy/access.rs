//! Who may read a file that is written for another program.

use std::os::fd::AsFd;

use certkit_core::escape;
use certkit_core::settings::FileAccess;
use nix::unistd::{Group, User};
use rustix::fs::{Gid, Mode, Stat, Uid, fchmod, fchown, fstat};
use rustix::io::Errno;

/// `owner`, `group` and `mode` of the settings, looked up on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The running user without one.
    owner: Option<u32>,
    /// Whatever a new file in the folder gets, without one: a setgid folder has its own.
    group: Option<u32>,
    mode: u32,
}

/// Why a file cannot be given to somebody.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
    #[error("there is no {what} `{}` on this machine: name another in `{what}`, or create it", escape(name))]
    Unknown { what: &'static str, name: String },
    #[error("the {what} `{}` cannot be looked up ({cause}): is the service that knows it running?", escape(name))]
    Lookup { what: &'static str, name: String, cause: nix::errno::Errno },
    #[error("mode {mode:o} is no set of permissions: leave `mode` out, or give at most 0777")]
    Mode { mode: u32 },
    #[error(
        "mode {mode:04o} would open the private key to everybody on this machine: leave `mode` out (the key gets 0600, the rest 0644), or give 0640 and the `group` that needs it"
    )]
    KeyForEverybody { mode: u32 },
    #[error("mode {mode:04o} would let everybody on this machine replace the certificate: leave `mode` out (0644)")]
    WritableForEverybody { mode: u32 },
}

/// Why a file could not be given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplyError {
    Owner(Errno),
    Group(Errno),
    Mode(Errno),
}

impl Access {
    /// Asks the machine's user databases (LDAP and the like included), which may take its time.
    pub(super) fn resolve(setting: &FileAccess, holds_key: bool) -> Result<Self, AccessError> {
        const EVERYBODY: u32 = 0o007;
        const WRITABLE_FOR_EVERYBODY: u32 = 0o002;
        let mode = setting.mode.unwrap_or(if holds_key { 0o600 } else { 0o644 });
        if mode > 0o777 {
            return Err(AccessError::Mode { mode });
        }
        if holds_key && mode & EVERYBODY != 0 {
            return Err(AccessError::KeyForEverybody { mode });
        }
        if mode & WRITABLE_FOR_EVERYBODY != 0 {
            return Err(AccessError::WritableForEverybody { mode });
        }
        let user = |name: &str| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
        let group = |name: &str| Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
        Ok(Self {
            owner: setting.owner.as_deref().map(|name| number("owner", name, user)).transpose()?,
            group: setting.group.as_deref().map(|name| number("group", name, group)).transpose()?,
            mode,
        })
    }

    /// Whether a file has it already.
    pub(super) fn is_that_of(&self, stat: &Stat) -> bool {
        let owner = self.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        stat.st_mode & 0o7777 == self.mode
            && stat.st_uid == owner
            && self.group.is_none_or(|group| stat.st_gid == group)
    }

    /// Gives it to an empty file that only the running user can open. The rights come last: those of the group are meant
    /// for the group that is set here, not for the one that the file was made with. The owner comes after the group,
    /// which only the owner may set.
    pub(super) fn apply(&self, file: impl AsFd) -> Result<(), ApplyError> {
        let stat = fstat(&file).map_err(ApplyError::Mode)?;
        if let Some(group) = self.group.filter(|group| *group != stat.st_gid) {
            fchown(&file, None, Some(Gid::from_raw(group))).map_err(ApplyError::Group)?;
        }
        if let Some(owner) = self.owner.filter(|owner| *owner != stat.st_uid) {
            fchown(&file, Some(Uid::from_raw(owner)), None).map_err(ApplyError::Owner)?;
        }
        fchmod(&file, Mode::from_raw_mode(self.mode)).map_err(ApplyError::Mode)
    }
}

/// As chown(1) reads it: a name where there is one, else a number.
fn number(
    what: &'static str,
    name: &str,
    look_up: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, AccessError> {
    /// chown(2) takes it for "as it is".
    const NOBODY_HAS_IT: u32 = u32::MAX;
    let found = look_up(name);
    if let Ok(Some(number)) = found {
        return Ok(number);
    }
    let is_number = !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit());
    match name.parse() {
        // The databases need not know a number.
        Ok(number) if is_number && number != NOBODY_HAS_IT => Ok(number),
        _ => Err(match found {
            Err(cause) => AccessError::Lookup { what, name: name.to_owned(), cause },
            Ok(_) => AccessError::Unknown { what, name: name.to_owned() },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(owner: Option<&str>, group: Option<&str>, mode: Option<u32>) -> FileAccess {
        let mut access = FileAccess::default();
        (access.owner, access.group) = (owner.map(str::to_owned), group.map(str::to_owned));
        access.mode = mode;
        access
    }

    fn problem(owner: Option<&str>, mode: Option<u32>, holds_key: bool) -> String {
        Access::resolve(&setting(owner, None, mode), holds_key).unwrap_err().to_string()
    }

    #[test]
    fn users_and_groups_go_by_name_or_number() {
        let of = |owner, group| Access::resolve(&setting(Some(owner), Some(group), None), false).unwrap();
        assert_eq!(of("root", "root"), of("0", "0"));
        // A number need not be known.
        assert_eq!(of("4294967294", "123456").owner, Some(u32::MAX - 1));
    }

    #[test]
    fn who_does_not_exist_is_named_escaped() {
        assert_eq!(
            problem(Some("no-such\x1b"), None, true),
            "there is no owner `no-such\\u{1b}` on this machine: name another in `owner`, or create it"
        );
        for wrong in ["", "-1", "+1", " 0", "4294967295", "4294967296", "a\0b"] {
            assert!(problem(Some(wrong), None, true).starts_with("there is no owner"), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_is_never_for_everybody() {
        let mode = |holds_key, mode| Access::resolve(&setting(None, None, mode), holds_key).unwrap().mode;
        assert_eq!((mode(true, None), mode(false, None)), (0o600, 0o644));
        assert_eq!((mode(true, Some(0o660)), mode(false, Some(0o664))), (0o660, 0o664));
        for open in [0o644, 0o604, 0o602, 0o601] {
            assert!(problem(None, Some(open), true).contains("private key"), "{open:o}");
        }
        assert!(problem(None, Some(0o666), false).contains("replace the certificate"));
        assert!(problem(None, Some(0o4755), false).contains("no set of permissions"));
    }
}
