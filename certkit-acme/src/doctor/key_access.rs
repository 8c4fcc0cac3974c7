//! Who can read a private key.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use certkit_core::words::shell_word;
use certkit_core::{Finding, FindingCode, Severity, escape};
use nix::unistd::{Gid, Group, Uid, User};

use super::access_list::AccessList;
use super::{Check, Examined};

/// Members of a group that are named one by one.
const MOST_NAMED: usize = 8;

/// Who besides its owner can read a private key: everybody, a group, or whom an access list names, as far as the folders
/// above let them through. It asks the file system and the user databases.
pub fn check_key_access(key: &Path) -> Examined {
    const OTHERS_READ: u32 = 0o004;
    const GROUP_READ: u32 = 0o040;
    let shown = key.to_string_lossy();
    let (real, metadata) = match fs::canonicalize(key).and_then(|real| fs::metadata(&real).map(|found| (real, found))) {
        Ok(found) => found,
        Err(error) => return Examined::not_checked(Check::KeyAccess, &shown, error.to_string()),
    };
    let mut findings = Vec::new();
    let mode = metadata.mode() & 0o7777;
    let path = shell_word(&real.to_string_lossy());
    if mode & OTHERS_READ != 0 {
        let finding = match closed_for(&real, 0o001) {
            Some(folder) => Finding::new(
                FindingCode::PrivateKeyReadable,
                &shown,
                format!("mode {mode:04o}; for now the folder {folder} lets nobody else through"),
            )
            .with_severity(Severity::Notice),
            None => Finding::new(FindingCode::PrivateKeyReadable, &shown, format!("mode {mode:04o}, for everybody")),
        };
        findings.push(finding.with_cure(format!("chmod o-rwx {path}")));
    }
    let group = metadata.gid();
    let list = AccessList::of(&real);
    // With a list the mode shows the most that the list gives to anybody (acl(5)), and the list what the group has.
    let group_reads = list.as_ref().map_or(mode & GROUP_READ != 0, |list| list.group_reads);
    if group_reads && group != 0 {
        let members = members(group);
        if !members.is_empty() && closed_for_group(&real, group).is_none() {
            let evidence = format!("mode {mode:04o}, group {}: {}", self::group(group), members.join(", "));
            findings.push(
                Finding::new(FindingCode::PrivateKeyForGroup, &shown, evidence)
                    .with_cure(format!("nothing to do if you meant it; otherwise chmod g-rwx {path}")),
            );
        }
    }
    let named = list.map(|list| list.named()).unwrap_or_default();
    // A folder that is closed may be opened to the same users by a list of its own.
    let is_closed =
        folders(&real).iter().any(|(path, found)| found.mode() & 0o001 == 0 && AccessList::of(path).is_none());
    if !named.is_empty() && !is_closed {
        let evidence = format!("its access list lets read: {}", named.join(", "));
        findings.push(
            Finding::new(FindingCode::PrivateKeyForGroup, &shown, evidence)
                .with_cure(format!("nothing to do if you meant it; otherwise setfacl -b {path}")),
        );
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        findings.push(
            Finding::new(FindingCode::PrivateKeyOfAnother, &shown, format!("it belongs to {}", user(owner)))
                .with_cure(format!("chown root {path}, unless you meant it")),
        );
    }
    Examined::found(Check::KeyAccess, &shown, findings)
}

/// A user for people: its name, else its number.
pub(super) fn user(uid: u32) -> String {
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    name.map_or_else(|| format!("number {uid}"), |name| escape(&name).into_owned())
}

/// A group for people: its name, else its number.
pub(super) fn group(gid: u32) -> String {
    let name = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
    name.map_or_else(|| format!("number {gid}"), |name| escape(&name).into_owned())
}

/// The members of a group that it lists itself: users who have it as their own group are not found without reading all
/// users. A group without a name may have any.
fn members(gid: u32) -> Vec<String> {
    let found = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    let own = User::from_uid(Uid::from_raw(gid)).ok().flatten().filter(|user| user.gid.as_raw() == gid);
    let mut all: Vec<String> = found.map(|group| group.mem).unwrap_or_default();
    all.extend(own.map(|user| user.name));
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(MOST_NAMED);
    all.truncate(MOST_NAMED);
    let mut named: Vec<String> = all.iter().map(|name| escape(name).into_owned()).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named
}

/// The first folder above a file that does not let everybody else through; escaped.
fn closed_for(file: &Path, bits: u32) -> Option<String> {
    folders(file)
        .into_iter()
        .find(|(_, found)| found.mode() & bits == 0)
        .map(|(path, found)| folder_words(&path, &found))
}

/// The same for a group.
fn closed_for_group(file: &Path, gid: u32) -> Option<String> {
    let is_closed = |found: &Metadata| {
        let bits = if found.gid() == gid { 0o010 } else { 0o001 };
        found.mode() & bits == 0
    };
    folders(file).into_iter().find(|(_, found)| is_closed(found)).map(|(path, found)| folder_words(&path, &found))
}

fn folders(file: &Path) -> Vec<(PathBuf, Metadata)> {
    file.ancestors().skip(1).filter_map(|path| Some((path.to_owned(), fs::metadata(path).ok()?))).collect()
}

fn folder_words(path: &Path, found: &Metadata) -> String {
    format!("{} (mode {:04o})", escape(&path.to_string_lossy()), found.mode() & 0o7777)
}
