//! What others need of a folder, a link or a file that may go.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::in_use::{InUse, Use, Used, mentions, shown};
use super::led::{self, Leader};
use super::{StoreError, StorePaths};
use crate::LineageName;

/// What others than one lineage need of a place, or all: other lineages, and links among the accounts.
pub(crate) struct Needed<'a> {
    in_use: &'a InUse,
    paths: &'a StorePaths,
    place: PathBuf,
    except: Option<&'a LineageName>,
}

impl InUse {
    /// What others need of a place. Its path has no links in it but for, perhaps, the last.
    pub(crate) fn needed<'a>(
        &'a self,
        paths: &'a StorePaths,
        place: &Path,
        except: impl Into<Option<&'a LineageName>>,
    ) -> Needed<'a> {
        Needed { in_use: self, paths, place: place.to_owned(), except: except.into() }
    }
}

impl Needed<'_> {
    /// Those that use what lies directly in the folder, or say that their versions lie there. Links in folders that are
    /// `going` do not count by themselves.
    pub(crate) fn files(&self, going: &BTreeSet<PathBuf>) -> BTreeSet<String> {
        let others = self.in_use.others_in(&self.place, self.except);
        let others = others.filter(|one| one.folder().is_none_or(|folder| !going.contains(folder)));
        let unread = self.in_use.unread.iter();
        let unread = unread.filter(|(by, text)| self.is_another(by) && mentions(text, &self.place));
        others.map(Use::shown).chain(unread.map(|(by, _)| shown(by))).collect()
    }

    /// Those whose way leads through the place itself, or to it: a link, a file, or a folder that `..` leaves again. Of a folder they need
    /// nothing else. Of old versions that are links, the folder that they lie in.
    pub(crate) fn way(&self) -> Result<BTreeSet<String>, StoreError> {
        let folder = self.place.parent().unwrap_or(&self.place);
        let is_through = |one: &&Use| matches!(&one.what, Used::File(path) if *path == self.place);
        let others = self.in_use.others_in(folder, self.except).filter(is_through).map(Use::shown);
        let leaders = self.in_use.led(self.paths)?.get(&self.place).into_iter().flatten();
        Ok(others.chain(leaders.map(|leader| leader.by.clone())).collect())
    }

    /// Those that use what lies in folders in this one, however deep.
    pub(crate) fn below(&self) -> BTreeSet<String> {
        let others = self.in_use.below(&self.place).filter(|one| self.is_another(one.by()));
        others.map(Use::shown).collect()
    }

    /// What lies in the folder, however deep, that versions elsewhere are links to, or lead through: those are the only copies.
    pub(crate) fn copies(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.copies_but_for(None)
    }

    /// The same, but for versions in a folder that goes as well.
    pub(crate) fn copies_but_for(&self, going: Option<&Path>) -> Result<Vec<PathBuf>, StoreError> {
        let stays = |leader: &Leader| going.is_none_or(|going| !leader.link.starts_with(going));
        let led = self.led_below()?.filter(|(_, leader)| stays(leader)).map(|(path, _)| path.clone());
        Ok(led.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// How to find the links that do.
    pub(crate) fn found_by(&self) -> Result<String, StoreError> {
        let links = self.led_below()?.map(|(_, leader)| leader.link.clone()).collect();
        Ok(led::found_by(&links, &self.place, self.paths))
    }

    /// All who need anything of it.
    pub(crate) fn users(&self) -> Result<BTreeSet<String>, StoreError> {
        let of_copies = self.led_below()?.map(|(_, leader)| leader.by.clone()).collect();
        Ok([self.files(&BTreeSet::new()), self.way()?, self.below(), of_copies].into_iter().flatten().collect())
    }

    fn led_below(&self) -> Result<impl Iterator<Item = (&PathBuf, &Leader)>, StoreError> {
        let led = self.in_use.led(self.paths)?;
        let after = led.range(self.place.clone()..);
        let below = after.take_while(|(path, _)| path.starts_with(&self.place));
        let below = below.filter(|(path, _)| **path != self.place);
        Ok(below.flat_map(|(path, leaders)| leaders.iter().map(move |leader| (path, leader))))
    }

    fn is_another(&self, by: &OsStr) -> bool {
        self.except.is_none_or(|except| by != except.as_str())
    }
}
