//! `daemon`: the long run, for whoever has no timer or wants to renew at the exact instant.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args as _;

use certkit_acme::renewal::{Outcome, Report, RunError};
use certkit_acme::{Monitor, Wake, Watcher};
use certkit_core::store::LockError;
use certkit_core::{FailureClass, escape};
use chrono::{DateTime, Utc};

use super::renew::prepare;
use super::{Command, Context, Operands, metrics};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::renewal::{self, Piece};
use crate::render::{time, words};
use crate::runtime;
use crate::service::ServiceManager;

/// Keep renewing: run for ever, and renew each certificate at the instant at which it is due
///
/// Does what `certkit renew` does whenever something is due, to the minute, and looks at everything at least every six
/// hours. It sleeps in between, and holds no lock then: other commands, and certbot, can be used meanwhile. SIGHUP makes it
/// look at once, after certificates or settings were changed by hand; SIGTERM and SIGINT end it, after challenges were removed
/// and post hooks were run. systemd is told when it is ready, what it does, and that it is alive (Type=notify).
///
/// With --metrics it answers Prometheus: /metrics, and /healthz, which is 200 while all is as it should be and 503 with the
/// reason when the daemon is stuck or cannot run. There is neither a password nor TLS, so that other addresses than
/// loopback's need --remote-metrics as well.
///
/// Flags mean what they mean with `certkit renew`, and go before the settings, which are read anew each time. Only
/// `ca_bundles`, `user_agent_comment` and cli.ini are read once, at the start.
#[derive(clap::Args)]
struct About {}

/// `daemon`.
pub(crate) const COMMAND: Command = Command {
    name: "daemon",
    describe: About::augment_args,
    usage: "",
    flags: &[
        "cert_name",
        "no_random_sleep_on_renew",
        "break_my_certs",
        "allow_subset_of_names",
        "pre_hook",
        "deploy_hook",
        "post_hook",
        "no_directory_hooks",
        "no_probe",
        "disable_hook_validation",
        "hook_time_limit",
        "live_switch",
        "key_type",
        "rsa_key_size",
        "elliptic_curve",
        "reuse_key",
        "no_reuse_key",
        "preferred_chain",
        "preferred_profile",
        "required_profile",
        "account",
        "server",
        "staging",
        "ca_bundle",
        "no_verify_ssl",
        "user_agent_comment",
        "standalone",
        "webroot",
        "manual",
        "authenticator",
        "webroot_path",
        "webroot_map",
        "manual_auth_hook",
        "manual_cleanup_hook",
        "preferred_challenges",
        "http_01_port",
        "http_01_address",
        "metrics",
        "remote_metrics",
    ],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let invocation = context.invocation;
    if context.ui.voice().json && !invocation.is_from_file("json") {
        return Err(CommandError::usage("`certkit daemon` prints no document, since it does not end")
            .with_cure("use `certkit status --json` or `certkit history --json` while it runs"));
    }
    if invocation.typed.renewal.no_random_sleep_on_renew {
        context.ui.detail("--no-random-sleep-on-renew is ignored: the daemon wakes when something is due.");
    }
    let listener = metrics::listen(context)?;
    let (store, request) = prepare(context)?;
    let progress = Progress::new(Arc::clone(context.ui), Work::Renewing, Names::InUse(store));
    let renewer = context.lasting_renewer(&progress)?;
    if context.settings().is_err() {
        // What is read once would be missing for ever. The run tells it, and fails.
        runtime::block_on(|stop| {
            let (renewer, request) = (renewer.clone(), request.clone());
            async move { Ok(renewer.run(request, &stop).await?) }
        })?;
    }
    let monitor = Arc::new(Monitor::new(renewer.clone()));
    let manager = ServiceManager::from_env();
    let diary = Diary { context, progress, manager, monitor, said: Mutex::default() };
    let wake = Arc::new(Wake::new());
    let reason = runtime::block_on_daemon(&wake, |stop| {
        let (renewer, diary, wake) = (&renewer, &diary, &wake);
        async move {
            let manager = &diary.manager;
            tokio::spawn(manager.clone().keep_alive());
            if let Some(listener) = listener {
                metrics::serve(context, listener, &diary.monitor, &stop);
            }
            context.ui.status("certkit daemon is ready.");
            manager.ready();
            let say_goodbye = async {
                stop.stopped().await;
                manager.stopping();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                // First, so that it is said before the end.
                biased;
                () = say_goodbye => Err(CommandError::failed("the daemon ended by itself")),
                reason = renewer.run_forever(request, wake, diary, &stop) => Ok(reason),
            }
        }
    })?;
    diary.progress.finish();
    context.ui.status("certkit daemon has ended.");
    Ok(Exit::Stopped(reason))
}

/// Says what each run did, where there is something new to say.
struct Diary<'a> {
    context: &'a Context<'a>,
    progress: Arc<Progress>,
    manager: ServiceManager,
    /// What is told over HTTP.
    monitor: Arc<Monitor>,
    /// What the last run had to say.
    said: Mutex<BTreeSet<String>>,
}

impl Watcher for Diary<'_> {
    fn working(&self) {
        self.monitor.working();
        self.manager.status("renewing");
        self.context.ui.detail("Looking for what is due.");
    }

    fn ran(&self, outcome: &Result<Report, RunError>) {
        self.monitor.ran(outcome);
        self.progress.finish();
        let pieces = match outcome {
            Ok(report) => of_report(report),
            Err(error) => vec![of_error(error)],
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *said);
        for piece in pieces {
            let (Piece::Out(text) | Piece::Err(text)) = &piece;
            let was_told = self.context.ui.take_told(text.trim_end());
            // What is as it was would fill the journal every hour.
            if !was_told && !before.contains(text) {
                match &piece {
                    Piece::Out(text) => self.context.ui.status(text.trim()),
                    Piece::Err(text) => self.context.ui.failure(text),
                }
            }
            said.insert(text.clone());
        }
    }

    fn sleeping(&self, until: DateTime<Utc>) {
        self.monitor.sleeping(until);
        let text = format!("sleeping until {}", time(until));
        self.manager.status(&text);
        self.context.ui.detail(&format!("{text}."));
    }
}

/// Nothing of a run in which nothing was due and all is well.
fn of_report(report: &Report) -> Vec<Piece> {
    let worth_telling = report.entries.iter().filter(|entry| !matches!(entry.outcome, Outcome::NotDue { .. }));
    let mut pieces: Vec<Piece> = worth_telling.flat_map(renewal::outcome).collect();
    pieces.extend(renewal::loose_ends(report));
    pieces.extend(report.findings.iter().filter_map(renewal::finding));
    pieces
}

/// A run that could not take place. The next one may.
fn of_error(error: &RunError) -> Piece {
    let cure = match error {
        RunError::Lock(LockError::Held { .. }) => {
            return Piece::Out(format!("{}: it is tried again", escape(&error.to_string())));
        }
        RunError::Settings(error) => error.cure().to_owned(),
        RunError::Failed(failure) => words::failure_cure(failure).to_owned(),
        RunError::NoSuchLineage(_) => "end the daemon, or obtain the certificate again".to_owned(),
        _ => FailureClass::Store.cure().to_owned(),
    };
    Piece::Err(format!("The run failed: {}\nWhat to do: {cure}.\n", escape(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use certkit_acme::renewal::ReportEntry;
    use certkit_core::decision::DueReason;
    use certkit_core::{Finding, FindingCode, Version};

    use super::*;

    #[test]
    fn a_run_without_anything_to_do_says_nothing() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut report = Report::new(now, false);
        let not_due = Outcome::NotDue { at: Some(now), reason: DueReason::ThirdOfLifetime };
        report.entries = vec![ReportEntry::new("a", "/a.conf", not_due)];
        report.findings = vec![Finding::new(FindingCode::OrderPending, "a", "")];
        assert_eq!(of_report(&report), []);
        let renewed = Outcome::Renewed { version: Version(2), not_after: now };
        report.entries.push(ReportEntry::new("b", "/b.conf", renewed));
        report.findings.push(Finding::new(FindingCode::ClockOff, "https://ca.example/dir", "6 minutes"));
        let pieces = of_report(&report);
        assert_eq!(pieces.len(), 2, "{pieces:?}");
    }

    #[test]
    fn certificates_that_went_are_told_with_what_to_do() {
        let Piece::Err(text) = of_error(&RunError::NoSuchLineage("a".parse().unwrap())) else { panic!() };
        assert!(text.starts_with("The run failed: there is no certificate named `a`") && text.contains("What to do: "));
    }
}
