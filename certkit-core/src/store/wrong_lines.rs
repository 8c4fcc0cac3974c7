//! Lines of a conf that name something else than a live link of its lineage. A link that is made there takes the place of
//! something else: another lineage's link, another kind's, an account's key.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::commit::holds_versions;
use super::in_use::{InUse, real, real_or_place};
use super::links::LiveLinks;
use super::{Kind, RenewalConf, StoreError, StorePaths};
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
        let Some(found) = Self::of_lines(paths, name, live, in_use)? else { return Ok(None) };
        Ok(Some(match conf_that_is_linked(paths, name)? {
            // Whoever wrote through the link would change that one.
            Some(other) => {
                let (conf, other) = (paths.conf(name), paths.relative(&other).display().to_string());
                Self {
                    why: format!("{} is a link to {other}", paths.relative(&conf).display()),
                    cure: format!("remove the link {}, or put a configuration of its own in its place", conf.display()),
                }
            }
            None => found,
        }))
    }

    /// The same with what is missing in the conf besides, which would be wrong with the lines right as well.
    pub(crate) fn besides(self, conf: &RenewalConf) -> Self {
        match conf.check_complete() {
            Ok(()) => self,
            Err(error) => Self { why: format!("{}; besides, {error}", self.why), ..self },
        }
    }

    fn of_lines(
        paths: &StorePaths,
        name: &LineageName,
        live: &LiveLinks,
        in_use: Option<&InUse>,
    ) -> Result<Option<Self>, StoreError> {
        let lines = Lines { paths, name, live };
        let wrong = wrong(paths, name, live, in_use)?;
        let own = real_or_place(&paths.live(name))?;
        let is_anothers =
            in_use.zip(own).and_then(|(in_use, own)| in_use.leader_of(&own)).is_some_and(|by| by != name.as_str());
        let are_there = !is_anothers && Kind::ALL.iter().all(|kind| lines.own(*kind).is_symlink());
        let are_of_others = wrong.iter().all(|(_, why)| matches!(why, Wrong::OfAnother(_)));
        if are_there && are_of_others && is_renamed(paths, name, live)? {
            let folder = live.live_dir().unwrap_or_else(|| live.path(Kind::Cert));
            let why = format!("its conf names links in {}, which is not there", paths.relative(folder).display());
            return Ok(Some(Self { why, cure: format!("{}, where they are", lines.let_them_name_the_own()) }));
        }
        match (wrong.as_slice(), in_use) {
            ([], _) => Ok(None),
            ([first, ..], Some(in_use)) if wrong.len() == Kind::ALL.len() && are_alike(&wrong) => {
                match &first.1 {
                    // That is told of the whole conf.
                    Wrong::InAnotherTree(_) => Ok(None),
                    Wrong::OfAnother(other) => lines.of_another(other, are_there, in_use),
                    Wrong::Relative | Wrong::Misplaced => Ok(Some(lines.told(&wrong))),
                }
            }
            _ => Ok(Some(lines.told(&wrong))),
        }
    }
}

/// The conf of another name in `renewal` that the conf of this name is a link to.
fn conf_that_is_linked(paths: &StorePaths, name: &LineageName) -> Result<Option<PathBuf>, StoreError> {
    let conf = paths.conf(name);
    let Some(to) = real(&conf)?.filter(|_| conf.is_symlink()) else { return Ok(None) };
    let is_another = to.parent() == real(&paths.renewal_dir())?.as_deref() && to.file_name() != conf.file_name();
    Ok(to.file_name().filter(|_| is_another).map(|file| paths.renewal_dir().join(file)))
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    /// It does not begin at the root.
    Relative,
    /// It names no live link of its kind.
    Misplaced,
    /// It leads to another tree than the others.
    InAnotherTree(PathBuf),
    /// It names a live link of another lineage.
    OfAnother(String),
}

impl Wrong {
    /// In words that follow those for one line, or for several.
    fn words(&self, are_several: bool) -> String {
        match (self, are_several) {
            (Self::Relative, false) => "which is no path from the root".to_owned(),
            (Self::Relative, true) => "which are no paths from the root".to_owned(),
            (Self::Misplaced, false) => "which is no live link of that kind".to_owned(),
            (Self::Misplaced, true) => "which are no live links of those kinds".to_owned(),
            (Self::InAnotherTree(tree), false) => {
                format!("which is in another tree of certificates, {}", tree.display())
            }
            (Self::InAnotherTree(tree), true) => {
                format!("which are in another tree of certificates, {}", tree.display())
            }
            (Self::OfAnother(other), false) => format!("which is a live link of {other}"),
            (Self::OfAnother(other), true) => format!("which are live links of {other}"),
        }
    }
}

fn are_alike(wrong: &[(Kind, Wrong)]) -> bool {
    wrong.windows(2).all(|pair| matches!(pair, [(_, one), (_, other)] if one == other))
}

/// All that is wrong, line by line.
fn wrong(
    paths: &StorePaths,
    name: &LineageName,
    live: &LiveLinks,
    in_use: Option<&InUse>,
) -> Result<Vec<(Kind, Wrong)>, StoreError> {
    let (misplaced, mut elsewhere) = (misplaced(paths, name, live)?, in_another_tree(paths, live));
    let mut others = match in_use {
        Some(in_use) => leaders(paths, name, live, in_use)?,
        None => Vec::new(),
    };
    let mut wrong = Vec::new();
    for kind in Kind::ALL {
        let tree = elsewhere.iter().position(|(of, _)| *of == kind).map(|at| elsewhere.swap_remove(at).1);
        let other = others.iter_mut().find(|(of, _)| *of == kind).and_then(|(_, by)| by.take());
        let why = if live.relative().contains(&kind) {
            Some(Wrong::Relative)
        } else if misplaced.contains(&kind) {
            Some(Wrong::Misplaced)
        } else {
            tree.map(Wrong::InAnotherTree).or_else(|| other.map(Wrong::OfAnother))
        };
        wrong.extend(why.map(|why| (kind, why)));
    }
    Ok(wrong)
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

    /// What stands in the lines that are wrong, and what has to: live links beside those that the other lines name.
    fn told(&self, wrong: &[(Kind, Wrong)]) -> WrongLines {
        let right = Kind::ALL.into_iter().find(|kind| wrong.iter().all(|(of, _)| of != kind));
        let folder = right.and_then(|kind| self.live.path(kind).parent());
        let folder = folder.map_or_else(|| self.paths.live(self.name), Path::to_owned);
        let said =
            |kind: &Kind| format!("{} = {}", kind.as_str(), self.paths.relative(self.live.path(*kind)).display());
        let mut groups: Vec<(&Wrong, Vec<String>)> = Vec::new();
        for (kind, why) in wrong {
            match groups.iter_mut().find(|(of, _)| *of == why) {
                Some((_, lines)) => lines.push(said(kind)),
                None => groups.push((why, vec![said(kind)])),
            }
        }
        let groups =
            groups.iter().map(|(why, lines)| format!("{}, {}", lines.join(" and "), why.words(lines.len() > 1)));
        let groups = groups.collect::<Vec<_>>().join("; ");
        let right = |kind: &Kind| format!("`{} = {}`", kind.as_str(), folder.join(kind.live_file()).display());
        let mut right: Vec<String> = wrong.iter().map(|(kind, _)| right(kind)).collect();
        if self.has_archive_in_another_tree(wrong) {
            right.push(format!("`archive_dir = {}`", self.paths.archive(self.name).display()));
        }
        let which = if right.len() > 1 { "the lines" } else { "the line" };
        let right = right.join(", ");
        let conf = self.paths.conf(self.name);
        WrongLines {
            why: format!("{} has {groups}", self.paths.relative(&conf).display()),
            cure: format!("let {which} in {} say {right}", conf.display()),
        }
    }

    /// Whether links and versions were moved to, or copied from, there.
    fn has_archive_in_another_tree(&self, wrong: &[(Kind, Wrong)]) -> bool {
        let cert = self.live.written_archive().join(Kind::Cert.live_file());
        wrong.iter().any(|(_, why)| matches!(why, Wrong::InAnotherTree(_))) && self.paths.another_tree(&cert).is_some()
    }

    /// Where all four are live links of another lineage: none where there is nothing of this one. Then it has two confs.
    fn of_another(&self, other: &str, are_there: bool, in_use: &InUse) -> Result<Option<WrongLines>, StoreError> {
        let Self { paths, name, live } = self;
        let home = real(&paths.archive(name))?;
        let has_versions =
            holds_versions(home.as_deref())? && home.is_some_and(|home| !in_use.is_archive_of_another(&home, name));
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
        Ok(Some(WrongLines {
            why: format!("{shown} names the live links of {other}, while its own are in {what}"),
            cure: format!(
                "{}{then}; remove {} instead if {other} is the certificate that you want",
                self.let_them_name_the_own(),
                conf.display()
            ),
        }))
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
fn misplaced(paths: &StorePaths, name: &LineageName, live: &LiveLinks) -> Result<Vec<Kind>, StoreError> {
    let mut found = Vec::new();
    if live.is_whole() {
        return Ok(found);
    }
    let config = real(&paths.config_dir)?;
    // Where that is the config dir, or the live folder, it is what is wrong.
    let home = real_or_place(&paths.live(name))?;
    let said = live.conf_archive().filter(|said| home.as_ref().is_none_or(|home| !home.starts_with(said)));
    let archives: Vec<_> = [real(&paths.archive_dir())?, said].into_iter().flatten().collect();
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
        // Its conf may be empty or gone, and the folder too: `live/NAME` is that lineage's all the same, unless all four are there. A
        // folder of keys that somebody has made is nobody's.
        let was_one = |of: &OsStr| in_use.has_conf(of) || (!are_together && paths.archive_dir().join(of).exists());
        let is_namesakes = |of: &OsStr| dir.parent() == lives.as_deref() && was_one(of);
        let namesake = dir.file_name().filter(|of| is_namesakes(of));
        let first = namesake.or_else(|| in_use.leader_of(&dir)).filter(|first| *first != name.as_str());
        Ok(first.map(|first| first.to_string_lossy().into_owned()))
    };
    Kind::ALL.into_iter().map(|kind| Ok((kind, leader(kind)?))).collect()
}
