//! A tree that lies elsewhere than its confs say: it was moved, or restored to another place.

use std::path::{Path, PathBuf};

use crate::LineageName;
use crate::store::links::LiveLinks;
use crate::store::{Kind, StorePaths};
use crate::words::shell_word;

/// The config dir in which a conf looks for its live links, where there is none (any more) and this tree holds what the conf
/// means.
pub(crate) fn moved_from(paths: &StorePaths, name: &LineageName, live: &LiveLinks) -> Option<PathBuf> {
    let folder = live.live_dir()?;
    let lives = folder.parent().filter(|lives| lives.ends_with("live"))?;
    let tree = lives.parent()?;
    if folder.exists()
        || tree.join("renewal").is_dir()
        || std::fs::canonicalize(tree).ok() == std::fs::canonicalize(&paths.config_dir).ok()
    {
        return None;
    }
    let here = paths.live_dir().join(folder.file_name()?);
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let is_held = Kind::ALL.iter().any(|kind| is_there(&here.join(kind.live_file()))) || is_there(&paths.archive(name));
    is_held.then(|| tree.to_owned())
}

/// What to do about it. The command is for paths that stand in a conf as they are: others are put into it by hand.
pub(crate) fn moved_cure(paths: &StorePaths, from: &Path) -> String {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let (old, new, confs) = (shown(from), shown(&paths.config_dir), shown(&paths.renewal_dir()));
    // What the grammar quotes or resolves, what stands for a byte that is no text, and what is in the command's own way.
    let is_by_hand = |character: char| character.is_control() || "\"'`,#%\u{fffd}".contains(character);
    let how = if [&old, &new].into_iter().all(|path| !path.contains(is_by_hand)) {
        // The five paths alone: a webroot may have a name like it. Typed again it finds nothing.
        let keys = "archive_dir|cert|privkey|chain|fullchain";
        let (old, new) = (escaped(&old, r"\.[]*^$+?(){}|"), escaped(&new, r"\&"));
        let files = shell_word(&confs);
        format!(
            "`sed -E -i --follow-symlinks 's#^({keys})( *= *\"?){old}/(live|archive)/#\\1\\2{new}/\\3/#' {files}/*.conf`"
        )
    } else {
        format!("in each file in {}", shell_word(&confs))
    };
    format!(
        "if this tree was moved from {old}, let its configurations name {} ({how}); if a disk is missing there, mount it; a container's tree is to be looked at in the container",
        shell_word(&new)
    )
}

/// With a backslash before each of these.
fn escaped(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_for_paths_that_stand_in_a_conf_as_they_are() {
        let cure = moved_cure(&StorePaths::within("/new/le"), Path::new("/old/le.d"));
        // In one line, however long: whoever pastes two runs the first one alone.
        let command = r#"`sed -E -i --follow-symlinks 's#^(archive_dir|cert|privkey|chain|fullchain)( *= *"?)/old/le\.d/(live|archive)/#\1\2/new/le/\3/#' /new/le/renewal/*.conf`"#;
        assert!(cure.contains(command), "{cure}");
        for path in ["/old/it's", "/old/a\"b", "/old/a,b", "/old/a#b", "/old/100%", "/old/a\nb", "/old/a`b"] {
            let cure = moved_cure(&StorePaths::within("/new/le"), Path::new(path));
            assert!(!cure.contains("sed") && cure.contains("in each file in /new/le/renewal"), "{cure}");
            assert!(!moved_cure(&StorePaths::within(path), Path::new("/old/le")).contains("sed "));
        }
    }
}
