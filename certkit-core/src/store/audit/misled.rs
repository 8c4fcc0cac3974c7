//! Lineages whose confs say something else than is meant. What follows from it is told as that, with the lines that are wrong: whoever
//! changed the links that such a conf names would have another certificate's servers load this one.

use std::collections::BTreeMap;

use super::{Audit, Audited};
use crate::store::links::LiveLinks;
use crate::store::wrong_lines::WrongLines;
use crate::store::{RenewalConf, StoreError, files};
use crate::{Finding, FindingCode, LineageName, Severity};

/// What follows from wrong lines.
const FOLLOWS: [FindingCode; 4] =
    [FindingCode::AnotherTree, FindingCode::BrokenLineage, FindingCode::ForeignLink, FindingCode::MixedVersions];

impl Audit<'_> {
    /// Looks at the confs of those lineages of which one of these was found.
    pub(super) fn misled(&mut self) -> Result<(), StoreError> {
        let mut found: BTreeMap<LineageName, FindingCode> = BTreeMap::new();
        for one in self.findings.iter().filter(|one| FOLLOWS.contains(&one.finding.code)) {
            let Some(name) = &one.name else { continue };
            // Those that cannot be used are told apart from the others.
            let code = match one.finding.code {
                FindingCode::BrokenLineage => FindingCode::BrokenLineage,
                _ => found.get(name).copied().unwrap_or(FindingCode::ForeignLink),
            };
            found.insert(name.clone(), code);
        }
        if found.is_empty() {
            return Ok(());
        }
        // What cannot be read is told elsewhere.
        let (in_use, _) = self.store.readable_in_use()?;
        let mut misled = BTreeMap::new();
        for (name, code) in found {
            let content = files::read(&self.store.paths.conf(&name));
            let Some(conf) = content.ok().and_then(|content| RenewalConf::parse(&content).ok()) else { continue };
            let Ok(Some(live)) = LiveLinks::read(&self.store.paths, &name, &conf) else { continue };
            if let Ok(Some(wrong)) = WrongLines::of(&self.store.paths, &name, &live, Some(&in_use)) {
                misled.insert(name, (code, wrong.besides(&conf)));
            }
        }
        let follows = |one: &Audited| {
            FOLLOWS.contains(&one.finding.code) && one.name.as_ref().is_some_and(|name| misled.contains_key(name))
        };
        self.findings.retain(|one| !follows(one));
        self.findings.extend(misled.into_iter().map(|(name, (code, WrongLines { why, cure }))| {
            let finding = Finding::new(code, name.as_str(), why).with_severity(Severity::Error).with_cure(cure);
            Audited { finding, name: Some(name), path: None }
        }));
        Ok(())
    }
}
