//! What would make the next renewal or deploy fail: every check of [`doctor`](crate::doctor), for a whole store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use certkit_core::{Finding, Severity, escape};
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};

use super::examined_lineage;
use super::{Renewer, Request, RunError, examined_machine, examined_network};
use crate::blocking::blocking;
use crate::doctor::{Check, Examination, Examined, Machine};

/// How far a look reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// This machine alone: no packet is sent.
    Machine,
    /// The CA's directory, name servers and the names' own addresses, too.
    Network,
}

/// What was found out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examinations {
    /// When it was looked (UTC).
    pub now: DateTime<Utc>,
    /// What each check found out, those of the machine first.
    pub entries: Vec<ExaminedEntry>,
}

/// What a check found out, and for which certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExaminedEntry {
    /// The names of the certificates that it is about, escaped; none when it is about the whole machine.
    pub certificates: Vec<String>,
    /// What was found out.
    pub examined: Examined,
}

/// Something that is wrong, once for all certificates that it is wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExaminedProblem {
    /// What is wrong: the first of the findings that say the same of several things.
    pub finding: Finding,
    /// What it is about, in its order and escaped: names, paths, addresses.
    pub subjects: Vec<String>,
    /// The names of the certificates, escaped and in their order; none when it is about the whole machine.
    pub certificates: Vec<String>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotChecked {
    /// Which check.
    pub check: Check,
    /// What would have been looked at, escaped.
    pub subjects: Vec<String>,
    /// Why not: a sentence without a full stop, escaped.
    pub because: String,
}

/// A check that takes longer than this has told enough.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(60);
/// So many checks at once: they start programs and wait for disks.
const AT_ONCE: usize = 8;

impl Renewer {
    /// Looks for everything that would make the next renewal or deploy of the selected certificates fail. The store is
    /// read and nothing is written to it; no lock is taken, no order placed, no hook run. With [`Reach::Network`] a file with a
    /// token is put into each webroot and removed again, as a CA would ask for it. Programs that are asked: systemctl,
    /// crontab, and the configuration checks that come before a reload. A check that fails or hangs says so and keeps no
    /// other from being made.
    pub async fn examine(&self, request: &Request, machine: &Machine, reach: Reach) -> Result<Examinations, RunError> {
        let now = self.clock.now();
        let (settings, problems) = match self.effective_settings().await {
            Ok(settings) => (settings, Vec::new()),
            // What can be looked at without them is looked at.
            Err(RunError::Settings(error)) => (Default::default(), examined_machine::settings_findings(&error)),
            Err(error) => return Err(error),
        };
        // One wrong line in the settings opens none of the secrets that others name.
        let store = self.store.clone();
        let machine = &machine.clone().withholding(blocking(move || store.secret_variables()).await);
        let known = {
            let (store, request, settings, math) =
                (self.store.clone(), request.clone(), settings.clone(), Arc::clone(&self.math));
            Arc::new(blocking(move || examined_lineage::look(&store, &request, &settings, math.as_ref(), now)).await?)
        };
        let mut checks = Checks::new(now);
        examined_machine::add(&mut checks, self, request, &settings, problems, &known, machine);
        for lineage in &known.lineages {
            examined_lineage::add(&mut checks, lineage, &known, machine);
        }
        examined_lineage::add_shared(&mut checks, &known, machine);
        if reach == Reach::Network {
            examined_network::add(&mut checks, self, request, &known).await;
        }
        Ok(Examinations { now, entries: checks.finish().await })
    }
}

impl Examinations {
    /// What is wrong, the worst first; what is wrong with several certificates stands there once.
    pub fn problems(&self) -> Vec<ExaminedProblem> {
        let mut problems: Vec<ExaminedProblem> = Vec::new();
        let mut known: HashMap<(String, String, Severity), usize> = HashMap::new();
        let mut is_told: HashSet<(usize, &str)> = HashSet::new();
        for entry in &self.entries {
            for finding in entry.examined.findings() {
                let key = (finding.what(), finding.cure().to_owned(), finding.severity);
                let at = *known.entry(key).or_insert_with(|| {
                    problems.push(ExaminedProblem {
                        finding: finding.clone(),
                        subjects: Vec::new(),
                        certificates: Vec::new(),
                    });
                    problems.len() - 1
                });
                let Some(problem) = problems.get_mut(at) else { continue };
                if !finding.subject.is_empty() && !problem.subjects.contains(&finding.subject) {
                    problem.subjects.push(finding.subject.clone());
                }
                for name in &entry.certificates {
                    if is_told.insert((at, name)) {
                        problem.certificates.push(name.clone());
                    }
                }
            }
        }
        // Of the same severity, what concerns all certificates or more of them.
        problems.sort_by_key(|problem| {
            let concerned = if problem.certificates.is_empty() { usize::MAX } else { problem.certificates.len() };
            std::cmp::Reverse((problem.finding.severity, concerned))
        });
        problems
    }

    /// What could not be looked at; the same reason stands there once for all that it concerns.
    pub fn not_checked(&self) -> Vec<NotChecked> {
        let mut all: BTreeMap<(Check, &str), Vec<String>> = BTreeMap::new();
        for entry in &self.entries {
            if let Examination::NotChecked { because } = &entry.examined.outcome {
                let subjects = all.entry((entry.examined.check, because)).or_default();
                if !subjects.contains(&entry.examined.subject) {
                    subjects.push(entry.examined.subject.clone());
                }
            }
        }
        all.into_iter()
            .map(|((check, because), subjects)| NotChecked { check, subjects, because: because.to_owned() })
            .collect()
    }

    /// How many checks found nothing wrong.
    pub fn fine(&self) -> usize {
        self.entries.iter().filter(|entry| entry.examined.outcome == Examination::Fine).count()
    }

    /// The worst that was found; none when nothing is wrong.
    pub fn worst(&self) -> Option<Severity> {
        self.entries.iter().flat_map(|entry| entry.examined.findings()).map(|finding| finding.severity).max()
    }
}

impl ExaminedEntry {
    pub(super) fn new(certificates: Vec<String>, examined: Examined) -> Self {
        Self { certificates, examined }
    }
}

impl ExaminedProblem {
    /// What to do, with the certificate's name filled in where there is one; of several it stays `NAME`, which then stands
    /// for each of them.
    pub fn cure(&self) -> String {
        match self.certificates.as_slice() {
            [only] => with_name(&certkit_core::words::cure_for(self.finding.cure(), only), only),
            _ => self.finding.cure().to_owned(),
        }
    }

    /// Whether the cure is to be done once for each of several certificates.
    pub fn is_for_each(&self) -> bool {
        self.certificates.len() > 1 && with_name(self.finding.cure(), "") != self.finding.cure()
    }
}

/// A text with a name in the place of the word `NAME`, also in a path (`renewal/NAME.conf`) and before a quote.
fn with_name(text: &str, name: &str) -> String {
    const WORD: &str = "NAME";
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(WORD) {
        let (before, after) = (&rest[..at], &rest[at + WORD.len()..]);
        filled.push_str(before);
        let stands_alone = !before.ends_with(is_part) && !after.starts_with(is_part);
        filled.push_str(if stands_alone { name } else { WORD });
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// The checks of a look: each in a task of its own, in the order in which they were added.
pub(super) struct Checks {
    pub(super) now: DateTime<Utc>,
    done: Vec<(usize, ExaminedEntry)>,
    next: usize,
    running: JoinSet<Vec<ExaminedEntry>>,
    about: HashMap<Id, About>,
    turns: Arc<Semaphore>,
}

struct About {
    place: usize,
    certificates: Vec<String>,
    check: Check,
    subject: String,
}

impl Checks {
    fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            done: Vec::new(),
            next: 0,
            running: JoinSet::new(),
            about: HashMap::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What is known already.
    pub(super) fn known(&mut self, certificates: &[String], examined: Examined) {
        let place = self.place();
        self.done.push((place, ExaminedEntry { certificates: certificates.to_vec(), examined }));
    }

    /// A check that asks the file system, on a thread where it may wait.
    pub(super) fn blocking<F>(&mut self, certificates: &[String], check: Check, subject: impl AsRef<str>, work: F)
    where
        F: FnOnce() -> Vec<Examined> + Send + 'static,
    {
        self.spawn(certificates, check, subject, TIME_LIMIT, async move {
            match tokio::task::spawn_blocking(work).await {
                Ok(examined) => examined,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Vec::new(),
                },
            }
        });
    }

    /// A check that asks programs or the network.
    pub(super) fn spawn<F>(
        &mut self,
        certificates: &[String],
        check: Check,
        subject: impl AsRef<str>,
        limit: Duration,
        work: F,
    ) where
        F: Future<Output = Vec<Examined>> + Send + 'static,
    {
        let certificates = certificates.to_vec();
        let of_all = certificates.clone();
        self.spawn_entries(certificates, check, subject, limit, async move {
            let examined = work.await.into_iter();
            examined.map(|examined| ExaminedEntry { certificates: of_all.clone(), examined }).collect()
        });
    }

    /// The same for a check that tells itself which certificates each of its results is about.
    pub(super) fn spawn_sorted<F>(&mut self, check: Check, subject: impl AsRef<str>, limit: Duration, work: F)
    where
        F: Future<Output = Vec<ExaminedEntry>> + Send + 'static,
    {
        self.spawn_entries(Vec::new(), check, subject, limit, work);
    }

    fn spawn_entries<F>(
        &mut self,
        certificates: Vec<String>,
        check: Check,
        subject: impl AsRef<str>,
        limit: Duration,
        work: F,
    ) where
        F: Future<Output = Vec<ExaminedEntry>> + Send + 'static,
    {
        let subject = escape(subject.as_ref()).into_owned();
        let about = About { place: self.place(), certificates: certificates.clone(), check, subject };
        let (turns, late) = (Arc::clone(&self.turns), (check, about.subject.clone()));
        let task = self.running.spawn(async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            match tokio::time::timeout(limit, work).await {
                Ok(examined) => examined,
                Err(_) => {
                    let because = format!("it took longer than {} seconds", limit.as_secs());
                    vec![ExaminedEntry::new(certificates, Examined::not_checked(late.0, late.1, because))]
                }
            }
        });
        self.about.insert(task.id(), about);
    }

    fn place(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    async fn finish(mut self) -> Vec<ExaminedEntry> {
        while let Some(ended) = self.running.join_next_with_id().await {
            let (id, result) = match ended {
                Ok((id, examined)) => (id, Ok(examined)),
                Err(error) => (error.id(), Err(error)),
            };
            let Some(about) = self.about.remove(&id) else { continue };
            let entries = result.unwrap_or_else(|_| {
                let because = "the check itself failed: this is an error in certkit, please report it";
                let examined = Examined::not_checked(about.check, &about.subject, because);
                vec![ExaminedEntry::new(about.certificates, examined)]
            });
            self.done.extend(entries.into_iter().map(|entry| (about.place, entry)));
        }
        self.done.sort_by_key(|(place, _)| *place);
        self.done.into_iter().map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use certkit_core::FindingCode;

    use super::*;

    fn entry(certificates: &[&str], finding: Finding) -> ExaminedEntry {
        let examined = Examined::found(Check::Hooks, "x", vec![finding]);
        ExaminedEntry { certificates: certificates.iter().map(ToString::to_string).collect(), examined }
    }

    #[test]
    fn what_is_wrong_with_many_certificates_is_told_once() {
        let finding = |name: &str| Finding::new(FindingCode::TestAuthority, name, "staging");
        let entries = (0..50).map(|number| {
            let name = format!("n{number}.example");
            entry(&[&name], finding(&name))
        });
        let mut entries: Vec<_> = entries.collect();
        entries.push(entry(&["other"], Finding::new(FindingCode::WeakKey, "other", "RSA with 1024 bits")));
        let examinations = Examinations { now: DateTime::UNIX_EPOCH, entries };
        let problems = examinations.problems();
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].finding.code, FindingCode::WeakKey, "the worst is first");
        assert_eq!(problems[0].cure(), "certkit reconfigure --cert-name other --key-type ecdsa");
        let mut quoted = problems[0].clone();
        quoted.certificates = vec!["a b;c".into()];
        assert_eq!(quoted.cure(), "certkit reconfigure --cert-name 'a b;c' --key-type ecdsa");
        assert_eq!(problems[1].certificates.len(), 50);
        assert_eq!(problems[1].subjects.len(), 50);
        assert!(problems[1].is_for_each() && problems[1].cure().contains("--cert-name NAME"));
    }

    #[test]
    fn names_are_filled_in_where_they_stand_alone() {
        assert_eq!(with_name("a NAME renewal/NAME.conf `NAME`", "x"), "a x renewal/x.conf `x`");
        assert_eq!(with_name("NAME-OF-ROOT RENAME NAMES FOLDER_NAME", "x"), "NAME-OF-ROOT RENAME NAMES FOLDER_NAME");
        assert_eq!(with_name("NAME", "NAME NAME"), "NAME NAME");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_or_fails_keeps_no_other_from_being_made() {
        let mut checks = Checks::new(DateTime::UNIX_EPOCH);
        checks.spawn(&[], Check::Clock, "hangs", TIME_LIMIT, std::future::pending());
        checks.spawn(&[], Check::Hooks, "fails", TIME_LIMIT, async { panic!("on purpose") });
        checks.known(&[], Examined::fine(Check::Room, "fine"));
        let entries = checks.finish().await;
        let because = |at: usize| match &entries[at].examined.outcome {
            Examination::NotChecked { because } => because.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(because(0), "it took longer than 60 seconds");
        assert!(because(1).contains("an error in certkit"));
        assert_eq!(entries[2].examined.outcome, Examination::Fine);
    }
}
