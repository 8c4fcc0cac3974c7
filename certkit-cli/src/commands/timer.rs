//! `timer`: what runs `certkit renew` several times a day.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args as _;

use certkit_core::escape;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::{json_time, time};
use crate::timer::{self, Facts, Interval, Job, Machine, Proposal, Rival, Schedule};
use crate::ui::shown;
use crate::{render, runtime};

/// Install, show or remove the timer that renews
///
/// `install` makes a systemd timer that runs `certkit renew` several times a day, at times that differ between machines,
/// or a line for cron where systemd does not run. A systemd timer is set, too, to the exact instant at which something
/// becomes due. What would be done is shown first; --dry-run shows it only. Timers and cron lines of certbot are found
/// and, when you agree (or with -n), taken out of use.
///
/// `show` tells which timer there is and when it runs. `remove` takes it away, and brings back what it replaced.
#[derive(clap::Args)]
struct About {}

/// `timer`.
pub(crate) const COMMAND: Command = Command {
    name: "timer",
    describe: About::augment_args,
    usage: "install|show|remove",
    flags: &["interval", "dry_run", "ca_bundle"],
    // `show` reads only; the others open the log themselves.
    writes: false,
    operands: Operands::Some,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let operands: Vec<&str> = context.invocation.operands().iter().map(String::as_str).collect();
    let is_trial = context.invocation.typed.renewal.dry_run;
    match operands.as_slice() {
        ["show"] => show(context),
        [word @ ("install" | "remove")] => {
            if !is_trial {
                context.open_log(&format!("timer {word}"));
            }
            if *word == "install" { install(context) } else { remove(context) }
        }
        other => Err(CommandError::usage(format!("`certkit timer` does not take `{}`", escape(&other.join(" "))))
            .with_cure("use `certkit timer install`, `certkit timer show` or `certkit timer remove`")),
    }
}

fn install(context: &Context<'_>) -> Result<Exit, CommandError> {
    let interval = context.invocation.typed.timer.interval.as_deref();
    let interval = interval.map_or_else(|| Ok(Interval::default()), Interval::parse)?;
    let machine = context.machine();
    // The store's own random number is of use only where the machine has no id.
    let schedule = Schedule::of(interval, &machine.seed(context.store().ok().as_ref()));
    // Where it was replaced while it runs, the path is none.
    let program = std::env::current_exe().ok().filter(|program| program.is_file()).ok_or_else(|| {
        CommandError::failed("the path of this program is not known").with_cure("run the same command again")
    })?;
    let job = Job::of(context.invocation, &program, schedule)?;
    if !machine.is_privileged() {
        return for_crontab(context, &job);
    }
    let facts = look(&machine)?;
    if let Some(danger) = danger(&program) {
        context.ui.warning(&danger);
    }
    let proposal = timer::install(&facts, &machine, &job, may_disable(context, &facts))?;
    if !facts.has_systemd && interval.hours() > 12 {
        context.ui.warning("CAs want to be asked at least twice a day whether they advise a renewal: --interval 12h");
    }
    if !facts.has_systemd && machine.program("cron").is_none() && machine.program("crond").is_none() {
        context.ui.warning("neither `cron` nor `crond` was found, and without it nothing reads the line: install it");
    }
    carry_out(context, &machine, &proposal, "The timer is installed already, as it would be now.")
}

fn remove(context: &Context<'_>) -> Result<Exit, CommandError> {
    let machine = context.machine();
    if !machine.is_privileged() && !context.invocation.typed.renewal.dry_run {
        return Err(CommandError::failed("only root can remove the machine's timer")
            .with_cure("run it as root; a line in your own crontab is removed with `crontab -e`"));
    }
    let facts = look(&machine)?;
    carry_out(context, &machine, &timer::remove(&facts, &machine), "There is no timer of certkit.")
}

fn look(machine: &Machine) -> Result<Facts, CommandError> {
    runtime::block_on(|_stop| machine.look())
}

/// Whoever may not change the machine may still have a crontab.
fn for_crontab(context: &Context<'_>, job: &Job) -> Result<Exit, CommandError> {
    let line = timer::user_line(job);
    if context.invocation.typed.renewal.dry_run {
        context.ui.result(&format!("As root this would be a timer of the machine. For `crontab -e`:\n{line}\n"));
        if context.ui.voice().json {
            context.ui.json(&json!({ "schema": 1, "done": false, "changes": [], "notes": [], "crontab_line": line }));
        }
        return Ok(Exit::Well);
    }
    Err(CommandError::failed("nothing was installed: only root can install a timer of the machine")
        .with_cure(format!("run it as root, or add this line with `crontab -e`: {line}")))
}

/// Others who can change the program would have one that root runs for them. Debian lets the group `staff` write to
/// /usr/local, and means it.
fn danger(program: &Path) -> Option<String> {
    let open = [Some(program), program.parent()]
        .into_iter()
        .flatten()
        .find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.uid() != 0 || meta.mode() & 0o002 != 0))?;
    Some(format!(
        "{} can be changed by others than root, and the timer lets root run it: install certkit where only root writes, for example in /usr/local/bin",
        shown(open)
    ))
}

/// Nothing of others is taken out of use without a yes, or -n.
fn may_disable(context: &Context<'_>, facts: &Facts) -> bool {
    let ours_to_change: Vec<String> = facts
        .rivals
        .iter()
        .filter(|rival| !matches!(rival, Rival::ByHand { .. }))
        .map(|rival| format!("  {}\n", rival.describe()))
        .collect();
    if ours_to_change.is_empty() || context.invocation.typed.renewal.dry_run {
        return true;
    }
    if !context.ui.voice().interactive {
        return context.invocation.typed.general.non_interactive;
    }
    let question = format!(
        "This renews certificates already:\n{}Two that renew deploy twice and use up the CA's limits twice.\nTake it out of use?",
        ours_to_change.concat()
    );
    context.ui.confirm(&question, true)
}

/// Shows, asks, and does it.
fn carry_out(
    context: &Context<'_>,
    machine: &Machine,
    proposal: &Proposal,
    when_empty: &str,
) -> Result<Exit, CommandError> {
    let is_trial = context.invocation.typed.renewal.dry_run;
    for note in &proposal.notes {
        context.ui.warning(note);
    }
    if proposal.changes.is_empty() {
        context.ui.result(&format!("{when_empty}\n"));
    } else {
        let head = if is_trial { "This would be done:" } else { "This is to be done:" };
        let steps: Vec<String> = proposal.changes.iter().map(timer::Change::describe).collect();
        context.ui.result(&format!("{head}\n{}", steps.concat()));
        if !is_trial {
            if context.ui.voice().interactive && !context.ui.confirm("Do it?", true) {
                return Err(CommandError::failed("nothing was changed"));
            }
            let told = runtime::block_on(|_stop| async {
                let mut told = Vec::new();
                for change in &proposal.changes {
                    told.extend(timer::apply(change, machine).await?);
                }
                Ok(told)
            })?;
            for text in told {
                context.ui.status(&text);
            }
            context.ui.result(&format!("Done.\n{}", text(&look(machine)?)));
        }
    }
    if context.ui.voice().json {
        let changes: Vec<Value> = proposal.changes.iter().map(timer::Change::json).collect();
        context.ui.json(&json!({
            "schema": 1,
            "done": !is_trial,
            "changes": changes,
            "notes": proposal.notes,
            "crontab_line": null,
        }));
    }
    Ok(Exit::Well)
}

fn show(context: &Context<'_>) -> Result<Exit, CommandError> {
    let facts = look(&context.machine())?;
    context.ui.result(&text(&facts));
    if context.ui.voice().json {
        context.ui.json(&document(&facts));
    }
    let installed = Installed::of(&facts);
    if installed.kind.is_some() && !facts.rivals.is_empty() {
        let others: Vec<String> = facts.rivals.iter().map(Rival::describe).collect();
        context.ui.warning(&format!(
            "certkit's timer is not alone: {} renews as well; `certkit timer install` offers to take it out of use",
            others.join(", ")
        ));
    }
    if installed.kind == Some("systemd") && !(installed.is_active && installed.is_enabled) {
        context.ui.warning(&format!(
            "{} is installed but does not run, or not after a reboot: systemctl enable --now {}",
            timer::TIMER,
            timer::TIMER
        ));
    }
    Ok(Exit::Well)
}

/// The timer that is there.
#[derive(Debug, Default)]
struct Installed {
    kind: Option<&'static str>,
    interval: Option<chrono::TimeDelta>,
    is_active: bool,
    is_enabled: bool,
    last: Option<DateTime<Utc>>,
    next: Option<DateTime<Utc>>,
    exact: Option<DateTime<Utc>>,
}

impl Installed {
    fn of(facts: &Facts) -> Self {
        let interval = |content: Option<&str>| {
            let (_, value) = content?.split_once(&format!("{}=", timer::VARIABLE))?;
            timer::with_unit(value.split(['"', '\n']).next()?)
        };
        if facts.has_systemd && facts.timer.is_ours() {
            let status = facts.unit(timer::TIMER).cloned().unwrap_or_default();
            let exact = facts.unit(&format!("{}.timer", timer::EXACT)).and_then(|unit| unit.next);
            Self {
                kind: Some("systemd"),
                interval: interval(facts.service.content()),
                is_active: status.is_active,
                is_enabled: status.is_enabled,
                last: status.last,
                next: status.next,
                exact,
            }
        } else if facts.cron.is_ours() {
            let interval = interval(facts.cron.content());
            Self { kind: Some("cron"), interval, is_active: true, is_enabled: true, ..Self::default() }
        } else {
            Self::default()
        }
    }
}

fn text(facts: &Facts) -> String {
    let installed = Installed::of(facts);
    let mut lines = Vec::new();
    match installed.kind {
        None => lines.push("No timer of certkit is installed.".to_owned()),
        Some(kind) => {
            let often = installed
                .interval
                .map_or_else(String::new, |interval| format!(", every {}", render::words::duration(interval)));
            let what = if kind == "systemd" { "the systemd timer certkit.timer" } else { "a line for cron" };
            lines.push(format!("certkit renews by {what}{often}."));
            lines.extend(installed.last.map(|at| format!("  Last run: {}", time(at))));
            lines.extend(installed.next.map(|at| format!("  Next run: {}", time(at))));
            lines.extend(installed.exact.map(|at| format!("  At an exact instant, too: {}", time(at))));
        }
    }
    for rival in &facts.rivals {
        lines.push(format!("Renews, too: {}", rival.describe()));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn document(facts: &Facts) -> Value {
    let installed = Installed::of(facts);
    let others: Vec<Value> = facts
        .rivals
        .iter()
        .map(|rival| match rival {
            Rival::Timer(unit) => json!({ "kind": "systemd", "name": unit, "lines": [] }),
            Rival::Cron { path, lines, .. } => {
                json!({ "kind": "cron", "name": path.to_string_lossy(), "lines": lines })
            }
            Rival::Crontab { lines, .. } => json!({ "kind": "crontab", "name": null, "lines": lines }),
            Rival::ByHand { path, lines } => {
                json!({ "kind": "by-hand", "name": path.to_string_lossy(), "lines": lines })
            }
        })
        .collect();
    json!({
        "schema": 1,
        "kind": installed.kind,
        "interval_seconds": installed.interval.map(|interval| interval.num_seconds()),
        "active": installed.is_active,
        "enabled": installed.is_enabled,
        "last": installed.last.map(json_time),
        "next": installed.next.map(json_time),
        "exact": installed.exact.map(json_time),
        "others": others,
    })
}
