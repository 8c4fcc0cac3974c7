//! What is to be done by hand, where no repair may do it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use crate::LineageName;
use crate::store::in_use::{InUse, real};
use crate::store::whose::{Whose, place};
use crate::store::{Kind, StorePaths, files};
use crate::words::shell_word;

/// The cure where one of these places is not this tree's to change: in another tree, whose lock is not held, or outside, where
/// nobody knows who else leads to it. None where all are its own.
pub(super) fn cure_elsewhere(paths: &StorePaths, changed: &[PathBuf]) -> Option<String> {
    let tops = [paths.live_dir(), paths.archive_dir()];
    if let Some(top) = tops.iter().find(|top| top.is_symlink() && !top.exists())
        && changed.iter().any(|path| path.starts_with(top))
    {
        let gone = place(top).unwrap_or_else(|| top.clone());
        return Some(format!(
            "mount what belongs in {}, or restore it: {} is a link to it, and it is not there",
            shell_word(&gone.to_string_lossy()),
            crate::escape(&paths.relative(top).to_string_lossy())
        ));
    }
    let mut folders = BTreeSet::new();
    for path in changed {
        match paths.whose(path) {
            Whose::Own => {}
            Whose::AnotherTree(tree) => {
                let tree = shell_word(&tree.to_string_lossy());
                return Some(format!(
                    "what is wrong lies in another tree: where paths of this one lead there by mistake, let them name this one; otherwise, there: certkit fsck --repair --config-dir {tree}"
                ));
            }
            Whose::Outside(folder) => {
                folders.insert(folder);
            }
        }
    }
    let word = |folder: &PathBuf| shell_word(&folder.to_string_lossy());
    if let Some(gone) = folders.iter().find(|folder| !folder.is_dir()) {
        return Some(format!(
            "mount what belongs in {}, or restore it: it lies outside the config dir, and is not there",
            word(gone)
        ));
    }
    let flags = also_in(&folders);
    (!folders.is_empty()).then(|| {
        format!("what is wrong lies outside the config dir, or in what is mounted there, where another tree may lead too; if none does: certkit fsck --repair{flags}")
    })
}

fn also_in<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) -> String {
    folders.into_iter().map(|folder| format!(" --also-in {}", shell_word(&folder.to_string_lossy()))).collect()
}

/// certbot orders a certificate, finds the folder in its way and loses the certificate; certkit refuses before it orders.
pub(super) fn orphan_cure(paths: &StorePaths, in_use: &InUse, name: &LineageName, folder: &Path) -> String {
    let names = files::list(folder).ok().flatten().unwrap_or_default();
    let has_folders = names.iter().any(|name| folder.join(name).is_dir());
    if let Ok(Some(dir)) = real(folder) {
        let needed = in_use.needed(paths, &dir, name);
        let list = |users: BTreeSet<String>| users.into_iter().collect::<Vec<_>>().join(", ");
        let below = list(needed.below());
        if !below.is_empty() {
            return format!(
                "leave the folders in it, which {below} uses; move away what is directly in it, or remove it, if nothing uses that"
            );
        }
        let users = list(needed.files(&BTreeSet::new()));
        if !users.is_empty() {
            return format!(
                "{users} uses it: if nothing needs that any more, remove that first, and this as you are told then"
            );
        }
        let led = needed.copies().unwrap_or_default();
        if !led.is_empty() {
            let led: Vec<_> = led.iter().map(|path| shell_word(&path.to_string_lossy())).collect();
            return format!(
                "versions of other certificates are links to {}: put copies in the place of those links, {}; then look again",
                led.join(", "),
                needed.found_by().unwrap_or_default()
            );
        }
        let way = list(needed.way().unwrap_or_default());
        if !way.is_empty() {
            return match names.is_empty() {
                true => format!("leave it: paths of {way} lead through it"),
                false => format!(
                    "leave the folder, since paths of {way} lead through it; if nothing uses what is in it, move that away or remove it"
                ),
            };
        }
    }
    if files::is_mount_point(folder) {
        let word = shell_word(&folder.to_string_lossy());
        return format!("something is mounted there; if nothing uses it: umount {word}; then certkit fsck again");
    }
    let is_live = folder.parent() == Some(&paths.live_dir());
    let is_link = |name: &OsString| Kind::ALL.iter().any(|kind| name == kind.live_file().as_str());
    // `certkit delete` leaves folders, and what somebody has put beside the links.
    if has_folders || (is_live && !names.iter().any(is_link)) {
        let word = shell_word(&folder.to_string_lossy());
        return format!("if nothing uses it, move it away, or remove it with all that is in it: rm -r -- {word}");
    }
    let outside = match paths.whose(&folder.join(Kind::Cert.live_file())) {
        Whose::Outside(folder) => also_in([&folder]),
        _ => also_in(&paths.also_own),
    };
    format!(
        "if nothing uses it, move it away or remove it with certkit delete --cert-name NAME{outside}; otherwise copy it elsewhere first, remove it, and obtain the certificate again: certkit certonly -d NAME …"
    )
}
