//! What there is to tell: how everything is now, put beside what was told before.

use certkit_core::decision::Cadence;
use certkit_core::settings::SettingsError;
use certkit_core::store::Store;
use certkit_core::{Finding, LineageName, Notice, NoticeFacts, NoticeKind, NoticeMemory, due_notices, replayed};

use super::Survey;

/// What keeps runs from taking place.
#[derive(Clone, Debug, Default)]
pub(super) struct Hindrance {
    /// The settings by which is told are only what can be read of those that the owner wrote.
    pub(super) settings: Option<SettingsError>,
    /// The store cannot be read or written, or is locked for too long.
    pub(super) store: Option<Finding>,
}

/// How everything is now, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct ToTell {
    pub(super) survey: Survey,
    pub(super) hindrance: Hindrance,
    /// What is wrong with the memory.
    pub(super) findings: Vec<Finding>,
    /// Whether the certificates could be looked at.
    pub(super) is_seeing: bool,
}

impl ToTell {
    /// The notices that are due, each with what was tried. Reads the histories.
    pub(super) fn due(&self, store: &Store, memory: &NoticeMemory) -> Vec<Notice> {
        let mut notices = self.with_facts(|facts| due_notices(facts, memory));
        if self.hindrance.settings.is_some() || !self.is_seeing {
            // By other settings than the owner's, or unseen, something may look as if it were over.
            notices.retain(|notice| notice.kind != NoticeKind::Recovered);
        }
        for notice in &mut notices {
            // What was tried is in the history; the state keeps no more than the last failure.
            if let Ok(name) = LineageName::new(notice.certificate.clone())
                && let Ok(history) = store.history(&name)
            {
                notice.take_history(&history);
            }
        }
        notices
    }

    /// What was told until now, where no run since the last one could leave a memory of it.
    pub(super) fn replayed(&self, memory: &NoticeMemory) -> NoticeMemory {
        let ledger = &self.survey.outlook.ledger;
        let last = ledger.last_run().map(|run| run.ended).max(ledger.runs().last().copied());
        let interval = Cadence::from_past_runs(ledger.runs()).interval;
        self.with_facts(|facts| replayed(facts, memory, last, interval))
    }

    fn with_facts<T>(&self, look: impl FnOnce(&NoticeFacts<'_>) -> T) -> T {
        let Survey { now, summaries, outlook, findings, .. } = &self.survey;
        let settings = self.hindrance.settings.as_ref().map(SettingsError::finding);
        let findings: Vec<Finding> =
            findings.iter().chain(&self.findings).chain(&settings).chain(&self.hindrance.store).cloned().collect();
        look(&NoticeFacts::new(summaries, &findings, outlook, *now))
    }
}
