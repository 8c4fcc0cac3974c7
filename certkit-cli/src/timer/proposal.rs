//! What `timer install` and `timer remove` would do, given what there is. Nothing is done here.

use super::change::{COMMENT_OUT, USE_AGAIN};
use super::{Change, EXACT, Existing, Facts, Job, Machine, Rival, SERVICE, TIMER, cron, unit};
use crate::exit::CommandError;
use crate::ui::shown;

/// The steps, in their order, and what is to be told besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// What changes; empty when everything is as it should be.
    pub(crate) changes: Vec<Change>,
    /// What stays as it is although one might expect otherwise.
    pub(crate) notes: Vec<String>,
}

/// A timer for `job`. `disables` tells whether what renews besides may be taken out of use.
pub(crate) fn install(facts: &Facts, machine: &Machine, job: &Job, disables: bool) -> Result<Proposal, CommandError> {
    let mut proposal = Proposal::default();
    if facts.has_systemd {
        install_units(facts, machine, job, disables, &mut proposal)?;
        if facts.cron.is_ours() {
            proposal.changes.push(Change::Remove { path: machine.cron_file() });
        }
    } else if facts.has_cron {
        proposal.changes.extend(write(&machine.cron_file(), &facts.cron, cron::file(job))?);
    } else {
        return Err(CommandError::failed("there is neither a running systemd nor a folder /etc/cron.d").with_cure(
            format!("install cron, run `certkit daemon`, or let another scheduler run: {}", cron::user_line(job)),
        ));
    }
    // Last, so that there is no moment in which nothing renews.
    for rival in &facts.rivals {
        disable(rival, facts.has_systemd, disables, &mut proposal);
    }
    Ok(proposal)
}

/// Without our timer, and with what it replaced.
pub(crate) fn remove(facts: &Facts, machine: &Machine) -> Proposal {
    let mut proposal = Proposal::default();
    for unit in facts.timer.content().filter(|_| facts.timer.is_ours()).map(unit::in_place_of).unwrap_or_default() {
        let is_off = facts.unit(&unit).is_some_and(|unit| !unit.is_enabled || !unit.is_active);
        if facts.has_systemd && is_off {
            proposal.changes.push(Change::run("systemctl", &["enable", "--now", &unit]));
        }
    }
    for (path, content) in &facts.disabled {
        let (lines, content) = (cron::disabled_lines(content), cron::enable(content));
        proposal.changes.push(match path {
            Some(path) => Change::Edit { path: path.clone(), content, lines, how: USE_AGAIN },
            None => Change::EditCrontab { content, lines, how: USE_AGAIN },
        });
    }
    let exact = format!("{EXACT}.timer");
    if facts.unit(&exact).is_some() {
        proposal.changes.push(Change::run("systemctl", &["stop", &exact]));
    }
    if facts.timer.is_ours() {
        if facts.has_systemd {
            proposal.changes.push(Change::run("systemctl", &["disable", "--now", TIMER]));
        } else {
            // What `enable` made, in a tree in which systemd does not run at present.
            let link = machine.unit("timers.target.wants").join(TIMER);
            proposal.changes.extend(link.is_symlink().then_some(Change::Remove { path: link }));
        }
    }
    let units = [(machine.unit(TIMER), &facts.timer), (machine.unit(SERVICE), &facts.service)];
    let has_units = units.iter().any(|(_, existing)| existing.is_ours());
    for (path, existing) in units.into_iter().chain([(machine.cron_file(), &facts.cron)]) {
        if existing.is_ours() {
            proposal.changes.push(Change::Remove { path });
        } else if *existing != Existing::Absent {
            proposal.notes.push(format!("{} stays: `certkit timer install` did not write it.", shown(&path)));
        }
    }
    if has_units && facts.has_systemd {
        proposal.changes.push(Change::run("systemctl", &["daemon-reload"]));
    }
    proposal
}

fn install_units(
    facts: &Facts,
    machine: &Machine,
    job: &Job,
    disables: bool,
    proposal: &mut Proposal,
) -> Result<(), CommandError> {
    let mut replaced = facts.timer.content().map(unit::in_place_of).unwrap_or_default();
    for rival in facts.rivals.iter().filter(|_| disables) {
        if let Rival::Timer(name) = rival
            && !replaced.contains(name)
        {
            replaced.push(name.clone());
        }
    }
    let changes = &mut proposal.changes;
    changes.extend(write(&machine.unit(SERVICE), &facts.service, unit::service(job))?);
    changes.extend(write(&machine.unit(TIMER), &facts.timer, unit::timer(job, &replaced))?);
    if !changes.is_empty() {
        changes.push(Change::run("systemctl", &["daemon-reload"]));
    }
    if !changes.is_empty() || !facts.unit(TIMER).is_some_and(|unit| unit.is_active && unit.is_enabled) {
        changes.push(Change::run("systemctl", &["enable", "--now", TIMER]));
    }
    Ok(())
}

/// The change that gives a file this content; none when it has it.
fn write(path: &std::path::Path, existing: &Existing, content: String) -> Result<Option<Change>, CommandError> {
    let path = path.to_owned();
    match existing {
        Existing::Absent => Ok(Some(Change::Write { path, content, before: None })),
        Existing::File(before) if *before == content => Ok(None),
        Existing::File(before) => Ok(Some(Change::Write { path, content, before: Some(before.clone()) })),
        Existing::Other(what) => Err(CommandError::failed(format!("{} is {what}", shown(&path)))
            .with_cure("take it away first; a unit that is masked: systemctl unmask NAME")),
    }
}

fn disable(rival: &Rival, has_systemd: bool, disables: bool, proposal: &mut Proposal) {
    let change = match rival {
        _ if !disables => None,
        Rival::Timer(unit) => Some(Change::run("systemctl", &["disable", "--now", unit])),
        Rival::Cron { path, content, lines } => Some(Change::Edit {
            path: path.clone(),
            content: cron::disable(content, has_systemd),
            lines: lines.clone(),
            how: COMMENT_OUT,
        }),
        Rival::Crontab { content, lines } => Some(Change::EditCrontab {
            content: cron::disable(content, has_systemd),
            lines: lines.clone(),
            how: COMMENT_OUT,
        }),
        Rival::ByHand { .. } => None,
    };
    match change {
        Some(change) => proposal.changes.push(change),
        None => proposal.notes.push(format!(
            "{} still renews, too: two that renew deploy twice and use up the CA's limits twice. Take it out of use{}.",
            rival.describe(),
            if matches!(rival, Rival::ByHand { .. }) {
                " by hand"
            } else {
                ", or let `certkit timer install -n` do it"
            }
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Environment;
    use crate::timer::unit::tests::job;
    use certkit_acme::doctor::UnitState;

    fn machine() -> Machine {
        Machine::of(&Environment { timer_root: Some("/nowhere".into()), ..Environment::default() })
    }

    fn steps(proposal: &Proposal) -> Vec<String> {
        let first = |change: &Change| change.describe().lines().next().unwrap_or_default().to_owned();
        proposal.changes.iter().map(first).collect()
    }

    fn rivals() -> Facts {
        Facts {
            has_systemd: true,
            has_cron: true,
            rivals: vec![
                Rival::Timer("certbot.timer".into()),
                Rival::Cron {
                    path: "/etc/crontab".into(),
                    content: "1 1 * * * root certbot renew\n".into(),
                    lines: vec!["1 1 * * * root certbot renew".into()],
                },
                Rival::ByHand { path: "/etc/cron.daily/certs".into(), lines: Vec::new() },
            ],
            ..Facts::default()
        }
    }

    #[test]
    fn the_timer_comes_before_what_it_replaces_goes() {
        let job = job("/usr/bin/certkit", &["renew", "-q"]);
        let proposal = install(&rivals(), &machine(), &job, true).unwrap();
        assert_eq!(
            steps(&proposal),
            [
                "write /nowhere/etc/systemd/system/certkit.service",
                "write /nowhere/etc/systemd/system/certkit.timer",
                "run systemctl daemon-reload",
                "run systemctl enable --now certkit.timer",
                "run systemctl disable --now certbot.timer",
                "comment out in /etc/crontab",
            ]
        );
        assert!(matches!(proposal.notes.as_slice(), [one] if one.contains("/etc/cron.daily/certs")), "{proposal:?}");
        let without = install(&rivals(), &machine(), &job, false).unwrap();
        assert_eq!((without.changes.len(), without.notes.len()), (4, 3));
    }

    #[test]
    fn what_is_as_it_should_be_needs_no_change_and_what_was_disabled_stays_on_record() {
        let job = job("/usr/bin/certkit", &["renew", "-q"]);
        let status = |name: &str, on: bool| {
            let mut status = UnitState::default();
            (status.name, status.is_active, status.is_enabled) = (name.into(), on, on);
            status
        };
        let mut facts = Facts {
            has_systemd: true,
            service: Existing::File(unit::service(&job)),
            timer: Existing::File(unit::timer(&job, &["certbot.timer".into()])),
            units: vec![status(TIMER, true), status("certbot.timer", false)],
            ..Facts::default()
        };
        assert_eq!(install(&facts, &machine(), &job, true).unwrap(), Proposal::default());
        assert_eq!(
            steps(&remove(&facts, &machine())),
            [
                "run systemctl enable --now certbot.timer",
                "run systemctl disable --now certkit.timer",
                "remove /nowhere/etc/systemd/system/certkit.timer",
                "remove /nowhere/etc/systemd/system/certkit.service",
                "run systemctl daemon-reload",
            ]
        );
        facts.units = vec![status(TIMER, false)];
        let again = install(&facts, &machine(), &job, true).unwrap();
        assert_eq!(steps(&again), ["run systemctl enable --now certkit.timer"]);
    }

    #[test]
    fn files_of_others_stay_and_a_link_is_not_replaced() {
        let job = job("/usr/bin/certkit", &["renew", "-q"]);
        let mut facts = Facts { has_systemd: true, service: Existing::File("[Service]\n".into()), ..Facts::default() };
        let proposal = remove(&facts, &machine());
        assert!(proposal.changes.is_empty() && proposal.notes.len() == 1, "{proposal:?}");
        facts.timer = Existing::Other("a link to /dev/null".into());
        let error = install(&facts, &machine(), &job, true).unwrap_err();
        assert!(error.what.contains("a link to /dev/null") && error.cure.unwrap().contains("unmask"));
    }

    #[test]
    fn without_systemd_cron_runs_it_and_without_both_the_line_is_told() {
        let job = job("/usr/bin/certkit", &["renew", "-q"]);
        let facts = Facts { has_cron: true, ..Facts::default() };
        assert_eq!(steps(&install(&facts, &machine(), &job, true).unwrap()), ["write /nowhere/etc/cron.d/certkit"]);
        let error = install(&Facts::default(), &machine(), &job, true).unwrap_err();
        assert!(error.cure.unwrap().contains("CERTKIT_TIMER=6h /usr/bin/certkit renew -q"));
        let moved = Facts { has_systemd: true, cron: Existing::File(cron::file(&job)), ..facts };
        let steps = steps(&install(&moved, &machine(), &job, true).unwrap());
        assert_eq!(steps.last().unwrap(), "remove /nowhere/etc/cron.d/certkit");
    }
}
