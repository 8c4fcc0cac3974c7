//! Lineages whose conf or links lead to what is not theirs, or not there: why nothing is put right, and what is to be done.

use std::path::{Path, PathBuf};

use super::lineage::{LineagePlan, Planner};
use super::moved::{moved_cure, moved_from};
use crate::LineageName;
use crate::store::in_use::{real, real_or_place};
use crate::store::links::{Link, LiveLinks};
use crate::store::wrong_lines::WrongLines;
use crate::store::{Kind, RenewalConf, StoreError};

impl Planner<'_> {
    /// What to do about a conf whose `archive_dir` is not the folder that certbot gives the lineage, where that is there.
    pub(super) fn archive_dir_cure(
        &self,
        name: &LineageName,
        conf: &RenewalConf,
    ) -> Result<Option<String>, StoreError> {
        let home = self.store.paths().archive(name);
        let said = conf.archive_dir().filter(|said| !said.is_empty()).map(Path::new);
        if said.is_none_or(|said| said == home) || real(&home)?.is_none() {
            return Ok(None);
        }
        Ok(Some(format!("let archive_dir in {} say {}", self.store.paths().conf(name).display(), home.display())))
    }

    /// Why a lineage whose conf names live links elsewhere is not put right here: they are another lineage's, or the tree
    /// that they should be in is gone.
    pub(super) fn led_astray(
        &self,
        name: &LineageName,
        conf: &RenewalConf,
        live: &LiveLinks,
    ) -> Result<Option<LineagePlan>, StoreError> {
        if let Some(wrong) = WrongLines::of(self.store.paths(), name, live, Some(self.in_use))? {
            let WrongLines { why, cure } = wrong.besides(conf);
            return Ok(Some(LineagePlan::misled(why, cure)));
        }
        if let Some(first) = self.led_by_another(name, live)? {
            let conf = self.shown(&self.store.paths().conf(name));
            let cure = format!(
                "it is put right with {first}, whose live links it names too; remove {conf} if {first} is the certificate that you want"
            );
            return Ok(Some(LineagePlan { stuck: Some(cure), ..LineagePlan::default() }));
        }
        let Some(tree) = moved_from(self.store.paths(), name, live) else { return Ok(None) };
        let cure = moved_cure(self.store.paths(), &tree);
        let why = format!("its paths lead to {}, where there is no such tree", tree.display());
        Ok(Some(LineagePlan::misled(why, cure)))
    }

    /// The lineage that is put right in place of this one, where several confs name the same live links, such as a copy of
    /// a conf that was kept in `renewal/`: the one that the folder is named after, else the first.
    pub(super) fn led_by_another(&self, name: &LineageName, live: &LiveLinks) -> Result<Option<String>, StoreError> {
        let mut leaders = Vec::with_capacity(Kind::ALL.len());
        for dir in Kind::ALL.iter().filter_map(|kind| live.path(*kind).parent()) {
            let Some(dir) = real_or_place(dir)? else { continue };
            leaders.extend(self.in_use.leader_of(&dir).filter(|first| *first != name.as_str()));
        }
        let first = leaders.first().filter(|_| leaders.len() == Kind::ALL.len());
        Ok(first.map(|first| first.to_string_lossy().into_owned()))
    }

    /// Whether a directory of versions (without links in its path) is another lineage's: a conf says so or links lead there; of
    /// the one that certbot gives this lineage, both.
    pub(super) fn is_of_another(&self, archive: &Path, name: &LineageName) -> Result<bool, StoreError> {
        let is_said = self.in_use.is_archive_of_another(archive, name);
        let is_led_to = self.in_use.is_led_to(archive, name);
        if is_said == is_led_to {
            return Ok(is_said);
        }
        Ok(real(&self.store.paths().archive(name))?.as_deref() != Some(archive))
    }

    /// The links with the directory of their versions. Where they lead nowhere, or not into one directory, they are taken
    /// for missing, and the conf says where the versions are. An error is why not.
    pub(super) fn leading_somewhere(
        &self,
        name: &LineageName,
        live: LiveLinks,
        are_copies: bool,
    ) -> Result<Result<(LiveLinks, PathBuf), String>, StoreError> {
        let some = Kind::ALL.iter().any(|kind| matches!(live.link(*kind), Link::To(_)));
        if some && let Some(archive) = live.single_archive() {
            if !live.is_whole()
                && live.conf_archive().as_ref() != Some(&archive)
                && self.is_of_another(&archive, name)?
            {
                let shown = self.shown(&archive);
                return Ok(Err(format!("its links lead into {shown}, the versions of another certificate")));
            }
            return Ok(Ok((live, archive)));
        }
        let live = live.forgotten();
        let archive = match live.conf_archive() {
            Some(archive) => archive,
            // It is made for the copies.
            None if are_copies => live.written_archive().to_owned(),
            None => return Ok(Err(format!("{} does not exist", self.shown(live.written_archive())))),
        };
        if self.is_of_another(&archive, name)? {
            let shown = self.shown(&archive);
            return Ok(Err(format!("{shown}, where its versions should be, is used by another certificate too")));
        }
        Ok(Ok((live, archive)))
    }
}
