//! What each lineage must be like, kept outside the store.
//!
//! A run that is killed may have done its work or not, so a lineage may for a while be one of a few things: what it was
//! when it was last seen, or what the runs since then were told to make of it. It never goes back, and what a run said to
//! be saved is the least that there must be from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::look::{self, Pair};
use crate::soak::act::{Act, name};

/// The names that a certificate is for.
pub(super) type Names = BTreeSet<String>;

/// What is found of a lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pair: Pair,
    pub(super) names: Names,
    /// The mark in the deploy hook of its conf.
    pub(super) mark: String,
}

/// What a lineage may be like.
#[derive(Clone, Debug, Default)]
pub(super) struct Lineage {
    /// As it was last seen; none when it is not there.
    pub(super) seen: Option<Found>,
    /// So many versions more there may be.
    more: u32,
    /// It may have gone.
    may_go: bool,
    /// It may be there now.
    may_come: bool,
    names: BTreeSet<Names>,
    marks: BTreeSet<String>,
    /// A run that was to make it was told so, and has not been seen to end well.
    pub(super) wanted: bool,
    /// Whether the next `renew` may renew it by itself.
    due: bool,
    /// All versions that it was seen to have, with their serial numbers and names.
    pub(super) versions: BTreeMap<u32, (String, Names)>,
    /// Acknowledged by a run or a hook: at least this version.
    acknowledged: Option<(u32, String)>,
    /// The serial numbers of one of the same name that was deleted. A late hook may still acknowledge one of them.
    former: BTreeSet<String>,
}

impl Lineage {
    /// One as it was laid.
    pub(super) fn laid(found: Found, due: bool) -> Self {
        let mut lineage = Self { due, ..Self::default() };
        lineage.take(found);
        lineage
    }

    /// A run is told to do this.
    pub(super) fn begin(&mut self, act: &Act, is_subject: bool) {
        match act {
            Act::RenewDue => self.more += u32::from(self.due),
            Act::Renew(_) if is_subject => self.more += 1,
            Act::Obtain(number) if is_subject => {
                self.may_come = true;
                self.wanted = true;
                self.more += 1;
                self.names.insert(Names::from([name(*number)]));
                self.marks.insert("new".into());
            }
            Act::ChangeNames(number, other) if is_subject => {
                self.more += 1;
                // What was wished and did not come about is tried again.
                self.due = true;
                self.names.insert(Names::from([name(*number), other.clone()]));
            }
            Act::RollBack(_, to) if is_subject => {
                self.more += 1;
                self.names.extend(self.versions.get(to).map(|(_, names)| names.clone()));
            }
            Act::EditConf(_, mark) if is_subject => _ = self.marks.insert(mark.clone()),
            Act::WishForKey(..) if is_subject => self.due = true,
            Act::Delete(_) if is_subject => self.may_go = true,
            _ => {}
        }
    }

    /// A run or a hook said that this is saved.
    pub(super) fn acknowledge(&mut self, version: u32, serial: &str) {
        let is_later = self.acknowledged.as_ref().is_none_or(|(old, _)| version >= *old);
        if is_later && !self.former.contains(serial) {
            self.acknowledged = Some((version, serial.to_owned()));
        }
    }

    /// Whether a run that was to delete it may still do so.
    pub(super) fn may_go(&self) -> bool {
        self.may_go
    }

    /// Whether a hook said that this one is saved.
    pub(super) fn is_acknowledged(&self) -> bool {
        let live = self.seen.as_ref().map(|found| (found.pair.version, found.pair.serial.clone()));
        live.is_none() || live == self.acknowledged
    }

    /// What there is now, against what there may be; it becomes what was last seen.
    pub(super) fn compare(&mut self, found: Option<Found>) -> Result<(), String> {
        let result = self.compared(found.as_ref());
        match found {
            Some(found) => self.take(found),
            None if self.seen.is_some() => {
                let serials = std::mem::take(&mut self.versions).into_values().map(|(serial, _)| serial);
                self.former.extend(serials);
                *self = Self {
                    former: std::mem::take(&mut self.former),
                    may_come: self.may_come,
                    wanted: self.wanted && self.may_come,
                    more: self.more,
                    ..Self::default()
                };
            }
            None => {}
        }
        result
    }

    fn compared(&self, found: Option<&Found>) -> Result<(), String> {
        let found = match (found, &self.seen) {
            (None, None) => return Ok(()),
            (None, Some(_)) if self.may_go => return Ok(()),
            (None, Some(old)) => return Err(format!("it is gone: {:?}", old.pair)),
            (Some(found), None) if self.may_come => found,
            (Some(found), None) => return Err(format!("it is there, and nobody wanted it: {:?}", found.pair)),
            (Some(found), Some(_)) => found,
        };
        if !self.names.contains(&found.names) {
            return Err(format!("it is for {:?}, and was to be for one of {:?}", found.names, self.names));
        }
        if !self.marks.contains(&found.mark) {
            return Err(format!("an edit is lost: {:?} instead of one of {:?}", found.mark, self.marks));
        }
        let pair = &found.pair;
        let (old, serial) = self.seen.as_ref().map_or((0, ""), |old| (old.pair.version, &old.pair.serial));
        if pair.version < old || pair.version > old + self.more {
            return Err(format!("version {} after {old}, with at most {} more", pair.version, self.more));
        }
        let is_same = self.seen.as_ref().is_some_and(|old| old.pair == *pair);
        if pair.version == old && !is_same {
            return Err(format!("version {old} is another one than before: {} instead of {serial}", pair.serial));
        }
        match &self.acknowledged {
            Some((version, _)) if pair.version < *version => {
                Err(format!("version {version} was acknowledged, and {} is live", pair.version))
            }
            Some((version, serial)) if pair.version == *version && pair.serial != *serial => {
                Err(format!("version {version} was acknowledged as {serial} and is {}", pair.serial))
            }
            _ => Ok(()),
        }
    }

    /// An undisturbed `renew` has ended what was unfinished.
    pub(super) fn settle(&mut self) {
        (self.more, self.may_go, self.may_come, self.due) = (0, false, false, false);
        self.names = self.seen.iter().map(|found| found.names.clone()).collect();
        self.marks = self.seen.iter().map(|found| found.mark.clone()).collect();
    }

    fn take(&mut self, found: Found) {
        if let Some(old) = &self.seen {
            self.more = self.more.saturating_sub(found.pair.version.saturating_sub(old.pair.version));
        }
        self.names.insert(found.names.clone());
        self.marks.insert(found.mark.clone());
        self.versions.insert(found.pair.version, (found.pair.serial.clone(), found.names.clone()));
        self.seen = Some(found);
        self.wanted = false;
    }
}

/// What is there of a lineage; none when it has no conf.
pub(super) fn find(tree: &Path, name: &str) -> Result<Option<Found>, String> {
    let Ok(conf) = fs::read_to_string(tree.join(format!("renewal/{name}.conf"))) else { return Ok(None) };
    let pair = look::live_pair(tree, name)?;
    let pem = fs::read(tree.join("live").join(name).join("cert.pem")).map_err(|error| error.to_string())?;
    let mark = conf.split_once("mark-").and_then(|(_, rest)| rest.split_once("-;"));
    let mark = mark.map(|(mark, _)| mark.to_owned()).ok_or_else(|| format!("a conf without its hook: {conf}"))?;
    Ok(Some(Found { pair, names: names_of(&pem)?, mark }))
}

/// The serial number of a certificate in PEM.
pub(super) fn serial_of(pem: &[u8]) -> Result<String, String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| error.to_string())?;
    Ok(block.parse_x509().map_err(|error| error.to_string())?.raw_serial_as_string())
}

fn names_of(pem: &[u8]) -> Result<Names, String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| error.to_string())?;
    let certificate = block.parse_x509().map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.ok_or("a certificate for no name")?;
    Ok(names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: u32, serial: &str) -> Found {
        let pair = Pair { version, serial: serial.into(), key: serial.into() };
        Found { pair, names: Names::from(["s0.example.org".into()]), mark: "laid".into() }
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_a_loss() {
        let mut lineage = Lineage::laid(found(1, "aa"), false);
        lineage.begin(&Act::Renew(0), true);
        lineage.acknowledge(2, "bb");
        assert!(lineage.clone().compare(Some(found(1, "aa"))).unwrap_err().contains("version 2 was acknowledged"));
        assert!(lineage.clone().compare(Some(found(2, "cc"))).unwrap_err().contains("acknowledged as bb and is cc"));
        assert!(lineage.clone().compare(None).unwrap_err().contains("it is gone"));
        lineage.compare(Some(found(2, "bb"))).unwrap();
        assert!(lineage.compare(Some(found(1, "aa"))).unwrap_err().contains("version 1 after 2"));
    }

    #[test]
    fn a_killed_run_may_have_done_its_work_or_not_and_nothing_else() {
        let mut lineage = Lineage::laid(found(1, "aa"), false);
        assert!(lineage.clone().compare(Some(found(2, "bb"))).is_err(), "nobody was told to renew it");
        lineage.begin(&Act::Renew(0), true);
        lineage.clone().compare(Some(found(1, "aa"))).unwrap();
        lineage.clone().compare(Some(found(2, "bb"))).unwrap();
        assert!(lineage.clone().compare(Some(found(3, "bb"))).is_err());
        assert!(lineage.clone().compare(Some(found(1, "bb"))).unwrap_err().contains("another one than before"));
        lineage.compare(Some(found(1, "aa"))).unwrap();
        lineage.settle();
        assert!(lineage.compare(Some(found(2, "bb"))).is_err(), "it was settled");
    }

    #[test]
    fn an_edit_counts_from_when_it_was_said_to_be_done() {
        let mut lineage = Lineage::laid(found(1, "aa"), false);
        let edited = Found { mark: "5".into(), ..found(1, "aa") };
        assert!(lineage.clone().compare(Some(edited.clone())).unwrap_err().contains("an edit is lost"));
        lineage.begin(&Act::EditConf(0, "5".into()), true);
        lineage.compare(Some(edited)).unwrap();
        lineage.settle();
        assert!(lineage.compare(Some(found(1, "aa"))).unwrap_err().contains("an edit is lost"));
    }

    #[test]
    fn one_that_was_deleted_may_begin_again_and_its_old_hooks_do_not_count() {
        let mut lineage = Lineage::laid(found(7, "aa"), false);
        lineage.begin(&Act::Delete(0), true);
        lineage.compare(None).unwrap();
        lineage.settle();
        assert!(lineage.clone().compare(Some(found(1, "bb"))).unwrap_err().contains("nobody wanted it"));
        lineage.begin(&Act::Obtain(0), true);
        lineage.acknowledge(7, "aa");
        let new = Found { mark: "new".into(), ..found(1, "bb") };
        lineage.compare(Some(new)).unwrap();
    }
}
