//! What keeps something from being read or written, where that says nothing about what it holds.

use std::io;

use crate::FindingCode;

/// Why something cannot be read or written for now, though it may be well. It is known from the error itself: texts are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Hindrance {
    /// Want of rights (EACCES).
    Rights,
    /// The system permits it to nobody, or to the owner alone (EPERM).
    NotPermitted,
    /// What lies below fails: a disk (EIO), a network file system whose server is gone (ESTALE) …
    Below,
    /// The tree itself: a link, a folder or a path in a conf that no new version can be put beside.
    Tree,
}

/// The numbers of the errors, as every Unix has them.
const EPERM: i32 = 1;
const EIO: i32 = 5;
const EACCES: i32 = 13;

impl Hindrance {
    /// What an error says of it; none when it says something about the file, such as that there is none.
    pub fn of(error: &io::Error) -> Option<Self> {
        match (error.raw_os_error(), error.kind()) {
            (Some(EACCES), _) => Some(Self::Rights),
            // The standard library has one kind for both.
            (Some(EPERM), _) => Some(Self::NotPermitted),
            (_, io::ErrorKind::PermissionDenied) => Some(Self::Rights),
            (Some(EIO), _) | (_, io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::TimedOut) => Some(Self::Below),
            _ => None,
        }
    }

    /// What to do about it: never to replace what may be well.
    pub fn cure(self) -> &'static str {
        match self {
            Self::Rights => FindingCode::Unreadable.cure(),
            Self::NotPermitted => {
                "ask lsattr -d whether what the message names, or its folder, is immutable, which keeps even root from it and chattr -i lifts; otherwise run as the user who owns it (usually root)"
            }
            Self::Below => {
                "see what the system says of the disk, or of the network file system that it lies on (dmesg), and try again: what is stored may be well"
            }
            Self::Tree => {
                "put right in the tree what the message names, and run again; `certkit fsck` shows whatever else is wrong there"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_for_now_is_never_to_be_replaced() {
        for (number, hindrance) in [
            (EACCES, Some(Hindrance::Rights)),
            (EPERM, Some(Hindrance::NotPermitted)),
            (EIO, Some(Hindrance::Below)),
            (116, Some(Hindrance::Below)),
            (2, None),
            (28, None),
        ] {
            let found = Hindrance::of(&io::Error::from_raw_os_error(number));
            assert_eq!(found, hindrance, "{number}");
            let cure = found.map(Hindrance::cure).unwrap_or_default();
            assert!(!cure.contains("backup") && !cure.contains("delete"), "{cure}");
        }
        assert_eq!(Hindrance::of(&io::Error::other("x (os error 13)")), None);
    }
}
