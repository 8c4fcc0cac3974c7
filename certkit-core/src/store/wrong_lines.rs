//! Lines of a conf that name something else than a live link of its lineage. A link that is made there takes the place of
//! something else: another lineage's link, another kind's, an account's key.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::in_use::{InUse, real, real_or_place};
use super::links::LiveLinks;
use super::{Kind, StoreError, StorePaths};
use crate::LineageName;

/// What is wrong, and what its owner has to do. Nobody else can know which certificate is meant.
pub(crate) struct WrongLines {
    /// Not escaped.
    pub(crate) why: String,
    /// Not escaped.
    pub(crate) cure: String,
}

impl WrongLines {
    /// None where each of the four names a live link of its kind, from the root, all in one tree, and not some of them are in the
    /// folder of another lineage. Where all are, the two are one certificate with two confs, unless there are own links or versions
    /// as well. Without the uses of others these are not asked after.
    pub(crate) fn of(
        paths: &StorePaths,
        name: &LineageName,
        live: &LiveLinks,
        in_use: Option<&InUse>,
    ) -> Result<Option<Self>, StoreError> {
        let lines = Lines { paths, name, live };
        if !live.relative().is_empty() {
            return Ok(lines.told(live.relative(), "no path from the root", "no paths from the root"));
        }
        let misplaced = misplaced(paths, live)?;
        if !misplaced.is_empty() {
            return Ok(lines.told(&misplaced, "no live link of that kind", "no live links of those kinds"));
        }
        let elsewhere = in_another_tree(paths, live);
        if let Some((_, tree)) = elsewhere.first()
            && elsewhere.len() < Kind::ALL.len()
        {
            let kinds: Vec<_> = elsewhere.iter().map(|(kind, _)| *kind).collect();
            let tree = tree.display();
            let what = format!("in another tree of certificates, {tree}");
            return Ok(lines.told(&kinds, &what, &what));
        }
        let own = real_or_place(&paths.live(name))?;
        let is_anothers =
            in_use.zip(own).and_then(|(in_use, own)| in_use.leader_of(&own)).is_some_and(|by| by != name.as_str());
        let are_there = !is_anothers && Kind::ALL.iter().all(|kind| lines.own(*kind).is_symlink());
        if are_there && is_renamed(paths, name, live)? {
            let folder = live.live_dir().unwrap_or_else(|| live.path(Kind::Cert));
            let why = format!("its conf names links in {}, which is not there", paths.relative(folder).display());
            return Ok(Some(Self { why, cure: format!("{}, where they are", lines.let_them_name_the_own()) }));
        }
        let Some(in_use) = in_use else { return Ok(None) };
        let leaders = leaders(paths, name, live, in_use)?;
        let of_another: Vec<_> = leaders.iter().filter_map(|(kind, by)| Some((*kind, by.as_ref()?))).collect();
        let Some((_, other)) = of_another.first() else { return Ok(None) };
        if of_another.len() < Kind::ALL.len() {
            let kinds: Vec<_> = of_another.iter().map(|(kind, _)| *kind).collect();
            return Ok(lines.told(&kinds, &format!("a live link of {other}"), &format!("live links of {other}")));
        }
        let home = real(&paths.archive(name))?;
        let has_versions = home.is_some_and(|home| !in_use.is_archive_of_another(&home, name));
        let (what, then) = match (are_there, has_versions) {
            (true, _) => (paths.live(name), ""),
            (false, true) => (paths.archive(name), ", which `certkit fsck --repair` makes anew then"),
            (false, false) => return Ok(None),
        };
        let own = real(&paths.live(name))?;
        let is_own = |kind: Kind| live.path(kind).parent().and_then(|dir| real(dir).ok()?) == own;
        if own.is_some() && Kind::ALL.into_iter().any(is_own) {
            return Ok(None);
        }
        let conf = paths.conf(name);
        let (shown, what) = (paths.relative(&conf).display(), paths.relative(&what).display());
        Ok(Some(Self {
            why: format!("{shown} names the live links of {other}, while its own are in {what}"),
            cure: format!(
                "{}{then}; remove {} instead if {other} is the certificate that you want",
                lines.let_them_name_the_own(),
                conf.display()
            ),
        }))
    }
}

/// The lines of a conf in messages.
struct Lines<'l> {
    paths: &'l StorePaths,
    name: &'l LineageName,
    live: &'l LiveLinks,
}

impl Lines<'_> {
    /// The live link where certbot lays it.
    fn own(&self, kind: Kind) -> PathBuf {
        self.paths.live(self.name).join(kind.live_file())
    }

    /// What stands in the lines of these kinds, and what has to: live links beside those that the other lines name.
    fn told(&self, wrong: &[Kind], what_one_is: &str, what_some_are: &str) -> Option<WrongLines> {
        let right = Kind::ALL.into_iter().find(|kind| !wrong.contains(kind));
        let folder = right.and_then(|kind| self.live.path(kind).parent());
        let folder = folder.map_or_else(|| self.paths.live(self.name), Path::to_owned);
        let said =
            |kind: &Kind| format!("{} = {}", kind.as_str(), self.paths.relative(self.live.path(*kind)).display());
        let said = wrong.iter().map(said).collect::<Vec<_>>().join(" and ");
        let right = |kind: &Kind| format!("`{} = {}`", kind.as_str(), folder.join(kind.live_file()).display());
        let right = wrong.iter().map(right).collect::<Vec<_>>().join(", ");
        let (which, what) = match wrong {
            [] => return None,
            [_] => ("the line", format!("which is {what_one_is}")),
            _ => ("the lines", format!("which are {what_some_are}")),
        };
        let conf = self.paths.conf(self.name);
        Some(WrongLines {
            why: format!("{} has {said}, {what}", self.paths.relative(&conf).display()),
            cure: format!("let {which} in {} say {right}", conf.display()),
        })
    }

    /// Own links are what is meant, and with them the versions that they lead to.
    fn let_them_name_the_own(&self) -> String {
        let conf = self.paths.conf(self.name);
        let (conf, own) = (conf.display(), self.paths.live(self.name));
        let four = format!("let the four lines in {conf} name the live links in {}", own.display());
        let home = self.paths.archive(self.name);
        match self.live.written_archive() == home {
            true => four,
            false => format!("{four} and archive_dir say {}", home.display()),
        }
    }
}

/// The kinds for which a conf that is not whole does not name a live link: one by another name, which belongs to another
/// kind or version, or in a folder that holds something else.
fn misplaced(paths: &StorePaths, live: &LiveLinks) -> Result<Vec<Kind>, StoreError> {
    let mut found = Vec::new();
    if live.is_whole() {
        return Ok(found);
    }
    let config = real(&paths.config_dir)?;
    let archives: Vec<_> = [real(&paths.archive_dir())?, live.conf_archive()].into_iter().flatten().collect();
    let own = ["accounts", "certkit", "renewal", "renewal-hooks"];
    let own: Vec<_> = own.iter().filter_map(|folder| Some(config.as_ref()?.join(folder))).collect();
    let lives = real(&paths.live_dir())?;
    for kind in Kind::ALL {
        let path = live.path(kind);
        let is_named = path.file_name().is_some_and(|name| name == kind.live_file().as_str());
        let dir = path.parent().map(real_or_place).transpose()?.flatten();
        let holds_others = dir.is_none_or(|dir| {
            archives.iter().chain(&own).any(|folder| dir.starts_with(folder))
                || [&config, &lives].into_iter().any(|folder| folder.as_ref() == Some(&dir))
        });
        if !is_named || holds_others {
            found.push(kind);
        }
    }
    Ok(found)
}

/// The kinds whose links lie in other trees than the rest. Where one folder holds all, nothing is looked up.
fn in_another_tree(paths: &StorePaths, live: &LiveLinks) -> Vec<(Kind, PathBuf)> {
    if live.live_dir().is_some() {
        return Vec::new();
    }
    Kind::ALL.into_iter().filter_map(|kind| Some((kind, paths.another_tree(live.path(kind))?))).collect()
}

/// Whether a conf names a folder below `live` that is not there. Where the links are where certbot lays them, new ones in such a
/// folder would be read by no server, whose configuration names those.
fn is_renamed(paths: &StorePaths, name: &LineageName, live: &LiveLinks) -> Result<bool, StoreError> {
    let (Some(folder), own) = (live.live_dir(), paths.live(name)) else { return Ok(false) };
    let Some(said) = real_or_place(folder)? else { return Ok(false) };
    let is_beside =
        said.parent() == real_or_place(&paths.live_dir())?.as_deref() && said.file_name() != own.file_name();
    Ok(is_beside && folder.symlink_metadata().is_err())
}

/// Each kind with the other lineage in whose folder its link is.
fn leaders(
    paths: &StorePaths,
    name: &LineageName,
    live: &LiveLinks,
    in_use: &InUse,
) -> Result<Vec<(Kind, Option<String>)>, StoreError> {
    let lives: Option<PathBuf> = real_or_place(&paths.live_dir())?;
    let folder = live.path(Kind::Cert).parent();
    let are_together = Kind::ALL.iter().all(|kind| live.path(*kind).parent() == folder);
    let leader = |kind: Kind| -> Result<Option<String>, StoreError> {
        let Some(dir) = live.path(kind).parent() else { return Ok(None) };
        let Some(dir) = real_or_place(dir)? else { return Ok(None) };
        // Its conf may be empty or gone, and the folder too: `live/NAME` is that lineage's all the same, unless all four are there.
        let is_namesakes = |of: &OsStr| dir.parent() == lives.as_deref() && (in_use.has_conf(of) || !are_together);
        let namesake = dir.file_name().filter(|of| is_namesakes(of));
        let first = namesake.or_else(|| in_use.leader_of(&dir)).filter(|first| *first != name.as_str());
        Ok(first.map(|first| first.to_string_lossy().into_owned()))
    };
    Kind::ALL.into_iter().map(|kind| Ok((kind, leader(kind)?))).collect()
}
