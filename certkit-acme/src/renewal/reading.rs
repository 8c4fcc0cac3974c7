//! The lineages of a run, read on a thread that waits for whoever takes them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use certkit_core::state::LineageState;
use certkit_core::store::StoreError;
use certkit_core::{Failure, FailureClass, Finding, LineageName};
use tokio::sync::mpsc;

use super::RunError;
use super::idle::{Common, Member};
use super::report::Report;
use super::run::Run;
use super::select::{Seen, select};
use super::subject::Subject;

/// So many lineages are read and decided at a time.
pub(super) const AT_A_TIME: usize = 64;

/// A lineage as it was found, and what is remembered of it.
pub(super) type Read = (Seen, Result<(LineageState, Option<Finding>), StoreError>);

/// Lineages that are being read.
pub(super) struct Reading {
    read: mpsc::Receiver<Vec<Read>>,
    /// None once it has ended.
    thread: Option<std::io::Result<JoinHandle<Result<(), RunError>>>>,
}

impl Reading {
    /// Begins with `work`, which gives some at a time; it is told by `false` when nobody takes them any more.
    pub(super) fn begin(
        work: impl FnOnce(&mut dyn FnMut(Vec<Read>) -> bool) -> Result<(), RunError> + Send + 'static,
    ) -> Self {
        // No further ahead than that, for those are held, too.
        let (give, read) = mpsc::channel(1);
        // None of the runtime's: who takes them needs those, and there may be but one.
        let thread = thread::Builder::new().spawn(move || work(&mut |some| give.blocking_send(some).is_ok()));
        Self { read, thread: Some(thread) }
    }

    /// The next ones; none at the end. An error is the last.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Read>, RunError>> {
        if let Some(some) = self.read.recv().await {
            return Some(Ok(some));
        }
        match self.thread.take()? {
            // It gives nothing more, and so has ended.
            Ok(thread) => match thread.join() {
                Ok(ended) => ended.err().map(Err),
                Err(panic) => std::panic::resume_unwind(panic),
            },
            Err(error) => {
                let why = format!("the system gives no thread to read the store: {error}");
                Some(Err(Failure::new(FailureClass::Interrupted, why).into()))
            }
        }
    }
}

impl Run<'_> {
    /// Reads the selected lineages with their memory. What is broken goes to the report.
    pub(super) async fn look(
        &self,
        made_live: &[LineageName],
        report: &mut Report,
    ) -> Result<Vec<Arc<Subject>>, RunError> {
        let (mut reading, mut subjects) = (self.reading(), Vec::new());
        while let Some(some) = reading.next().await {
            subjects.extend(self.take(some?, made_live, report).await);
        }
        Ok(subjects)
    }

    /// The same; of what is not due hardly anything is kept.
    pub(super) async fn look_for_what_is_due(
        &self,
        made_live: &[LineageName],
        report: &mut Report,
    ) -> Result<Vec<Member>, RunError> {
        let (mut reading, mut members, mut common) = (self.reading(), Vec::new(), Common::default());
        while let Some(some) = reading.next().await {
            let subjects = self.take(some?, made_live, report).await;
            members.extend(self.without_what_idles(subjects, &mut common).await);
        }
        Ok(members)
    }

    /// The selected lineages with their memory, some at a time: going to another thread for each would take longer than
    /// reading it, and of thousands not all can be held at once.
    fn reading(&self) -> Reading {
        let (store, request, settings) = (self.renewer.store.clone(), self.request.clone(), self.settings.clone());
        Reading::begin(move |give| {
            let mut some = Vec::with_capacity(AT_A_TIME);
            for seen in select(&store, &request, &settings)? {
                let state = match &seen {
                    Seen::Usable(subject) => store.state(&subject.name),
                    Seen::Broken(_) => Ok(Default::default()),
                };
                some.push((seen, state));
                if some.len() == AT_A_TIME && !give(std::mem::replace(&mut some, Vec::with_capacity(AT_A_TIME))) {
                    return Ok(());
                }
            }
            give(some);
            Ok(())
        })
    }

    async fn take(&self, some: Vec<Read>, made_live: &[LineageName], report: &mut Report) -> Vec<Arc<Subject>> {
        let mut subjects = Vec::with_capacity(some.len());
        for (seen, state) in some {
            match seen {
                Seen::Usable(mut subject) => {
                    let by_recovery = made_live.contains(&subject.name);
                    match self.remember(&mut subject, state, by_recovery).await {
                        Ok(finding) => {
                            report.findings.extend(finding);
                            report.findings.extend(subject.findings());
                            subjects.push(Arc::from(subject));
                        }
                        // Without its memory a lineage could be ordered again and again. The others go on.
                        Err(error) => report.entries.push(self.failed(&subject, error.failure())),
                    }
                }
                Seen::Broken(entry) => report.entries.push(*entry),
            }
        }
        subjects
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::blocking::blocking;

    #[test]
    fn whoever_takes_some_may_work_on_the_only_thread_that_the_runtime_has() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
        let taken = runtime.block_on(async {
            let mut reading = Reading::begin(|give| {
                (0..10).for_each(|_| assert!(give(Vec::new())));
                Err(Failure::new(FailureClass::Store, "the end").into())
            });
            let mut taken = 0;
            while let Some(some) = reading.next().await {
                match some {
                    Ok(_) => taken += 1,
                    Err(error) => assert!(error.to_string().contains("the end"), "{error}"),
                }
                tokio::time::timeout(Duration::from_secs(20), blocking(|| ())).await.unwrap();
            }
            taken
        });
        assert_eq!(taken, 10);
    }

    #[test]
    fn it_ends_when_nobody_takes_them_any_more() {
        let (tell, told) = std::sync::mpsc::channel();
        let reading = Reading::begin(move |give| {
            while give(Vec::new()) {}
            tell.send(()).unwrap();
            Ok(())
        });
        drop(reading);
        told.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
