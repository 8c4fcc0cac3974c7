//! Access lists of files (acl(5)), as the kernel keeps them in `system.posix_acl_access`.

use std::path::Path;

use super::key_access::{group, user};

/// Who may read a file besides its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessList {
    /// Whether the file's own group may.
    pub(super) group_reads: bool,
    users: Vec<u32>,
    groups: Vec<u32>,
}

/// linux/posix_acl_xattr.h: a version, then entries of a tag, permissions and an id, all little-endian.
const VERSION: [u8; 4] = [2, 0, 0, 0];
const ENTRY_BYTES: usize = 8;
/// linux/posix_acl.h.
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const READ: u16 = 0x04;
/// The kernel lets no value of an attribute be longer (XATTR_SIZE_MAX, linux/limits.h).
const MOST_BYTES: usize = 65_536;

impl AccessList {
    /// The list of a file or folder; none where the mode says all.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let mut value = vec![0; MOST_BYTES];
        let length = rustix::fs::getxattr(path, "system.posix_acl_access", value.as_mut_slice()).ok()?;
        Self::read(value.get(..length)?)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let entries = value.strip_prefix(&VERSION)?;
        let entries: Vec<(u16, u16, u32)> = entries
            .chunks_exact(ENTRY_BYTES)
            .filter_map(|entry| {
                let (tag, rest) = entry.split_first_chunk::<2>()?;
                let (permissions, id) = rest.split_first_chunk::<2>()?;
                Some((
                    u16::from_le_bytes(*tag),
                    u16::from_le_bytes(*permissions),
                    u32::from_le_bytes(*id.first_chunk()?),
                ))
            })
            .collect();
        // Named users and groups and the own group get no more than the mask.
        let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(READ, |(_, permissions, _)| *permissions);
        let readers = |wanted: u16| {
            let of_tag =
                entries.iter().filter(move |(tag, permissions, _)| *tag == wanted && permissions & mask & READ != 0);
            of_tag.map(|(.., id)| *id)
        };
        Some(Self {
            group_reads: readers(GROUP_OBJ).next().is_some(),
            users: readers(USER).filter(|id| *id != 0).collect(),
            groups: readers(GROUP).filter(|id| *id != 0).collect(),
        })
    }

    /// The users and groups that it names, for people.
    pub(super) fn named(&self) -> Vec<String> {
        let users = self.users.iter().map(|id| format!("user {}", user(*id)));
        users.chain(self.groups.iter().map(|id| format!("group {}", group(*id)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn the_mask_takes_away_what_entries_give() {
        const NONE: u32 = u32::MAX;
        let with_mask = |mask| {
            let entries =
                [(1, 6, NONE), (USER, 4, 33), (USER, 2, 34), (GROUP_OBJ, 0, NONE), (GROUP, 6, 50), (MASK, mask, NONE)];
            AccessList::read(&list(&entries)).unwrap()
        };
        assert_eq!(with_mask(4), AccessList { group_reads: false, users: vec![33], groups: vec![50] });
        assert_eq!(with_mask(0), AccessList { group_reads: false, users: vec![], groups: vec![] });
        let plain = AccessList::read(&list(&[(1, 6, NONE), (GROUP_OBJ, 4, NONE), (0x20, 0, NONE)])).unwrap();
        assert!(plain.group_reads && plain.named().is_empty());
    }

    #[test]
    fn what_is_no_list_is_none_and_half_an_entry_is_passed_over() {
        assert_eq!(AccessList::read(b""), None);
        assert_eq!(AccessList::read(&[1, 0, 0, 0]), None);
        let mut half = list(&[(USER, 4, 33)]);
        half.extend([2, 0, 4]);
        assert_eq!(AccessList::read(&half).unwrap().users, [33]);
    }
}
