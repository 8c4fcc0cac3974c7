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
    /// None where each of the four names a live link of its kind, and not all but some are in the folder of another lineage. Where
    /// all are, the two are one certificate with two confs. Without the uses of others these are not asked after.
    pub(crate) fn of(
        paths: &StorePaths,
        name: &LineageName,
        live: &LiveLinks,
        in_use: Option<&InUse>,
    ) -> Result<Option<Self>, StoreError> {
        let line = |kind: Kind| format!("{} = {}", kind.as_str(), paths.relative(live.path(kind)).display());
        if let Some(kind) = misplaced(paths, live)? {
            let link = paths.live(name).join(kind.live_file());
            let what = format!("{}, which is no live link of that kind", line(kind));
            return Ok(Some(Self::told(paths, name, &what, "the live link", &link)));
        }
        let own = real_or_place(&paths.live(name))?;
        let is_anothers =
            in_use.zip(own).and_then(|(in_use, own)| in_use.leader_of(&own)).is_some_and(|by| by != name.as_str());
        if !is_anothers && is_renamed(paths, name, live)? {
            let folder = live.live_dir().unwrap_or_else(|| live.path(Kind::Cert));
            let conf = paths.conf(name);
            let (conf, own) = (conf.display(), paths.live(name));
            return Ok(Some(Self {
                why: format!("its conf names links in {}, which is not there", paths.relative(folder).display()),
                cure: format!("let the four lines in {conf} name the live links in {}, where they are", own.display()),
            }));
        }
        let Some(in_use) = in_use else { return Ok(None) };
        let leaders = leaders(paths, name, live, in_use)?;
        let of_another: Vec<_> = leaders.iter().filter_map(|(kind, by)| Some((*kind, by.as_ref()?))).collect();
        let own = leaders.iter().find(|(_, by)| by.is_none());
        let (Some((kind, other)), Some((own, _))) = (of_another.first(), own) else { return Ok(None) };
        let folder = live.path(*own).parent().map_or_else(|| paths.live(name), Path::to_owned);
        let lines: Vec<_> = of_another.iter().map(|(kind, _)| line(*kind)).collect();
        let what = format!("{}, a live link of {other}", lines.join(" and "));
        Ok(Some(Self::told(paths, name, &what, "this certificate's own link", &folder.join(kind.live_file()))))
    }

    fn told(paths: &StorePaths, name: &LineageName, what: &str, instead: &str, link: &Path) -> Self {
        let conf = paths.conf(name);
        Self {
            why: format!("{} has {what}", paths.relative(&conf).display()),
            cure: format!("let the line in {} name {instead}: {}", conf.display(), link.display()),
        }
    }
}

/// A kind for which a conf that is not whole does not name a live link: one by another name, which belongs to another
/// kind or version, or in a folder that holds something else.
fn misplaced(paths: &StorePaths, live: &LiveLinks) -> Result<Option<Kind>, StoreError> {
    if live.is_whole() {
        return Ok(None);
    }
    let config = real(&paths.config_dir)?;
    let archives: Vec<_> = [real(&paths.archive_dir())?, live.conf_archive()].into_iter().flatten().collect();
    let own = ["accounts", "certkit", "renewal", "renewal-hooks"];
    let own: Vec<_> = own.iter().filter_map(|folder| Some(config.as_ref()?.join(folder))).collect();
    let lives = real(&paths.live_dir())?;
    for kind in Kind::ALL {
        let path = live.path(kind);
        let is_named = path.file_name().is_some_and(|name| name == kind.live_file().as_str());
        let Some(dir) = path.parent().map(real_or_place).transpose()?.flatten() else { return Ok(Some(kind)) };
        let holds_others = archives.iter().chain(&own).any(|folder| dir.starts_with(folder))
            || [&config, &lives].into_iter().any(|folder| folder.as_ref() == Some(&dir));
        if !is_named || holds_others {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// Whether a conf names a folder below `live` that is not there, while the links are where certbot lays them: new ones there would be
/// read by no server, whose configuration names those.
fn is_renamed(paths: &StorePaths, name: &LineageName, live: &LiveLinks) -> Result<bool, StoreError> {
    let (Some(folder), own) = (live.live_dir(), paths.live(name)) else { return Ok(false) };
    let Some(said) = real_or_place(folder)? else { return Ok(false) };
    let is_beside =
        said.parent() == real_or_place(&paths.live_dir())?.as_deref() && said.file_name() != own.file_name();
    let are_there = Kind::ALL.iter().all(|kind| own.join(kind.live_file()).is_symlink());
    Ok(is_beside && are_there && folder.symlink_metadata().is_err())
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
