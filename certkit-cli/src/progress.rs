//! What is happening, while it happens: messages on stderr, and spinners on a terminal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certkit_acme::renewal::{HookRun, Observer};
use certkit_core::state::Event;
use certkit_core::store::Store;
use certkit_core::{Finding, LineageName};
use indicatif::{ProgressBar, ProgressStyle};

use crate::render::{hooks, renewal, words};
use crate::ui::Ui;

/// What a run does, in certbot's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A certificate that exists is renewed.
    Renewing,
    /// The same, and nothing is kept.
    SimulatingRenewal,
    /// A first certificate.
    Requesting,
    /// The same, and nothing is kept.
    SimulatingRequest,
}

impl Work {
    /// The beginning of certbot's sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Renewing => "Renewing an existing certificate",
            Self::SimulatingRenewal => "Simulating renewal of an existing certificate",
            Self::Requesting => "Requesting a certificate",
            Self::SimulatingRequest => "Simulating a certificate request",
        }
    }
}

/// The names of each lineage, for certbot's sentence.
pub(crate) enum Names {
    /// Nobody says it.
    None,
    /// Those of one lineage.
    Of(LineageName, Vec<String>),
    /// Those that the certificate in use holds. It is read when the sentence is said: of thousands hardly any is renewed.
    InUse(Store),
}

impl Names {
    fn of(&self, lineage: &LineageName) -> Option<Vec<String>> {
        match self {
            Self::None => None,
            Self::Of(name, names) => (name == lineage).then(|| names.clone()),
            Self::InUse(store) => Some(store.lineage(lineage).ok()??.certificate().ok()?.listed_names()),
        }
    }
}

/// Tells people about a run.
pub(crate) struct Progress {
    ui: Arc<Ui>,
    work: Work,
    names: Names,
    bars: Mutex<BTreeMap<LineageName, ProgressBar>>,
}

impl Progress {
    /// For a run over lineages with these names.
    pub(crate) fn new(ui: Arc<Ui>, work: Work, names: Names) -> Arc<Self> {
        Arc::new(Self { ui, work, names, bars: Mutex::default() })
    }

    /// Takes what is left of the spinners off the terminal.
    pub(crate) fn finish(&self) {
        for bar in std::mem::take(&mut *self.bars()).into_values() {
            bar.finish_and_clear();
        }
    }

    fn step(&self, lineage: &LineageName, text: String) {
        let mut bars = self.bars();
        let bar = bars.entry(lineage.clone()).or_insert_with(|| {
            let bar = self.ui.bars().add(ProgressBar::new_spinner());
            // The template is a constant; a broken one would only cost the looks.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(lineage.to_string());
            // It takes a thread, and where the system gives none the run goes on all the same.
            if !bar.is_hidden() {
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            bar
        });
        bar.set_message(text);
    }

    fn end(&self, lineage: &LineageName) {
        if let Some(bar) = self.bars().remove(lineage) {
            bar.finish_and_clear();
        }
    }

    fn bars(&self) -> std::sync::MutexGuard<'_, BTreeMap<LineageName, ProgressBar>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// certbot's sentence at the start of an order.
    fn announce(&self, lineage: &LineageName) -> String {
        let known = self.names.of(lineage);
        let names = known.map_or_else(|| lineage.to_string(), |names| words::names_in_short(&names));
        format!("{} for {names}", self.work.words())
    }
}

impl Observer for Progress {
    fn event(&self, lineage: &LineageName, event: &Event) {
        if let Event::AttemptStarted { .. } = event {
            self.ui.status(&self.announce(lineage));
        }
        let text = words::event(lineage, event);
        match event {
            // What the owner should know is for everybody, and not only for who watches the bars.
            Event::Told { finding } => renewal::tell_at_once(finding, &self.ui),
            _ => self.ui.detail(&format!("{lineage}: {text}")),
        }
        self.step(lineage, text);
        let is_last = matches!(
            event,
            Event::Committed { .. }
                | Event::AttemptFailed { .. }
                | Event::DryRunSucceeded
                | Event::SetAside { .. }
                | Event::FirstSeen { .. }
                | Event::ChangedElsewhere { .. }
                | Event::Deployed { .. }
                | Event::DeployFailed { .. }
                | Event::RenewalInformationRead { .. }
                | Event::RevocationRead { .. }
                | Event::WishFulfilled
        );
        if is_last {
            self.end(lineage);
        }
    }

    fn hook(&self, hook: &HookRun) {
        let text = hooks::output(hook);
        if hook.outcome.success() {
            if let Some(text) = text {
                self.ui.status(text.trim_end());
            }
        } else if let Some(text) = text {
            self.ui.failure(&text);
        }
    }

    fn finding(&self, finding: &Finding) {
        renewal::tell_findings(std::slice::from_ref(finding), &self.ui);
    }
}
