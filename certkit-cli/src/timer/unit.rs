//! The two units for systemd.

use chrono::TimeDelta;

use super::{Job, MARKER, SERVICE, TIMER, VARIABLE};

/// Machines made from one image have the same times of day; so long, at random, each run waits besides.
pub(crate) const RANDOM_DELAY: TimeDelta = TimeDelta::minutes(15);

/// What was disabled for this timer, so that it can come back when the timer goes.
const IN_PLACE_OF: &str = "# In place of: ";

/// The unit that is shipped for the daemon. Its limits are what hooks can bear, whichever of the two starts them.
const SHIPPED: &str = include_str!("../../contrib/systemd/certkit.service");

/// The service, systemd.service(5), with the limits of the shipped one. What a hook starts outlives the run.
pub(crate) fn service(job: &Job) -> String {
    let mut lines = vec![
        MARKER.to_owned(),
        "[Unit]".to_owned(),
        "Description=Renew the TLS certificates that are due".to_owned(),
        "Wants=network-online.target".to_owned(),
        "After=network-online.target".to_owned(),
        String::new(),
        "[Service]".to_owned(),
        "Type=oneshot".to_owned(),
        environment(VARIABLE, &job.schedule.interval().to_string()),
    ];
    lines.extend(job.user_config_dir.as_deref().map(|dir| environment("XDG_CONFIG_HOME", dir)));
    lines.push(format!("ExecStart={}", command_line(job)));
    lines
        .extend(["# Post hooks run when it is stopped.", "TimeoutStopSec=5min", "KillMode=process"].map(str::to_owned));
    lines.push(limits().to_owned());
    lines.join("\n")
}

/// What the shipped unit has between its own lines and the section that installs it. A private /tmp is among its own lines,
/// since it ends with a run and what a hook started goes on.
fn limits() -> &'static str {
    let after = SHIPPED.find("# Hardened ").map_or("", |at| &SHIPPED[at..]);
    after.split("\n[Install]").next().unwrap_or_default()
}

/// The timer, systemd.timer(5). `in_place_of` are the units that were disabled for it.
pub(crate) fn timer(job: &Job, in_place_of: &[String]) -> String {
    let mut lines = vec![MARKER.to_owned()];
    if !in_place_of.is_empty() {
        lines.push(format!("{IN_PLACE_OF}{}", in_place_of.join(" ")));
    }
    lines.extend([
        "[Unit]".to_owned(),
        "Description=Renew the TLS certificates that are due, several times a day".to_owned(),
        String::new(),
        "[Timer]".to_owned(),
        format!("OnCalendar={}", job.schedule.on_calendar()),
        format!("RandomizedDelaySec={}min", RANDOM_DELAY.num_minutes()),
        "# Not rounded to the minute at which other timers run.".to_owned(),
        "AccuracySec=1s".to_owned(),
        "# What was missed while the machine was off is made up for.".to_owned(),
        "Persistent=true".to_owned(),
        "# Exact instants are lost in a reboot, so there is a run after it; and one at once when this is enabled."
            .to_owned(),
        "OnBootSec=5min".to_owned(),
        format!("Unit={SERVICE}"),
        String::new(),
        "[Install]".to_owned(),
        "WantedBy=timers.target".to_owned(),
        String::new(),
    ]);
    lines.join("\n")
}

/// The units that a timer of ours says it replaces. Only names that are timers are believed: they become arguments.
pub(crate) fn in_place_of(timer: &str) -> Vec<String> {
    let units = timer.lines().filter_map(|line| line.strip_prefix(IN_PLACE_OF)).flat_map(str::split_whitespace);
    units.filter(|unit| *unit != TIMER && super::machine::CERTBOT_TIMERS.contains(unit)).map(str::to_owned).collect()
}

/// systemd.exec(5): specifiers are replaced, variables are not.
fn environment(name: &str, value: &str) -> String {
    format!("Environment=\"{name}={}\"", quoted(value))
}

/// systemd.service(5), "Command lines". In the program's own path a dollar sign is one already.
fn command_line(job: &Job) -> String {
    let arguments = job.arguments.iter().map(|argument| word(&quoted(argument).replace('$', "$$")));
    let program = word(&quoted(&job.program));
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

/// In quotes where a plain word could mean something else.
fn word(quoted: &str) -> String {
    let is_plain = quoted.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:=@".contains(&byte));
    if is_plain && !quoted.is_empty() { quoted.to_owned() } else { format!("\"{quoted}\"") }
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::Command;

    use super::*;
    use crate::timer::{Interval, Schedule};

    pub(crate) fn job(program: &str, arguments: &[&str]) -> Job {
        Job {
            schedule: Schedule::of(Interval::parse("6h").unwrap(), b"machine"),
            program: program.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            user_config_dir: None,
        }
    }

    fn systemd_analyze(arguments: &[&str]) -> std::process::Output {
        let output = Command::new("systemd-analyze").args(arguments).env("LC_ALL", "C").output();
        output.expect("systemd-analyze is missing: install the package systemd (apt-get install systemd)")
    }

    #[test]
    fn blanks_percent_signs_and_dollars_arrive_as_they_are() {
        let job = job("/opt/my $tools/100%/certkit", &["renew", "--config-dir", "/a b%c$d\"e\\f", "-q", ""]);
        assert_eq!(command_line(&job), r#""/opt/my $tools/100%%/certkit" renew --config-dir "/a b%%c$$d\"e\\f" -q """#);
        assert_eq!(environment("X", "a b%c$d"), "Environment=\"X=a b%%c$d\"");
    }

    #[test]
    fn systemd_finds_no_fault_with_the_units() {
        let folder = tempfile::tempdir().unwrap();
        // A machine's name would stand for %H.
        let dir = folder.path().join("my $tools/100%H");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::copy("/bin/true", dir.join("certkit")).unwrap();
        let mut job = job(dir.join("certkit").to_str().unwrap(), &["renew", "-q", "--config-dir", "/a b%c$d\"e"]);
        job.user_config_dir = Some("/home/a b%c".into());
        let [service_file, timer_file] = [SERVICE, TIMER].map(|name| folder.path().join(name));
        std::fs::write(&service_file, service(&job)).unwrap();
        std::fs::write(&timer_file, timer(&job, &["certbot.timer".into()])).unwrap();
        let output = systemd_analyze(&[
            "verify",
            "--recursive-errors=no",
            service_file.to_str().unwrap(),
            timer_file.to_str().unwrap(),
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Units of the machine itself are loaded as well, and may have faults of their own.
        assert!(!said.contains("certkit"), "{said}");
        assert!(output.status.success(), "{said}");
        // The check sees what it should: a path that is quoted wrongly is none.
        std::fs::write(&service_file, service(&job).replace("100%%H", "100%H")).unwrap();
        let output = systemd_analyze(&["verify", "--recursive-errors=no", service_file.to_str().unwrap()]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("certkit"), "{output:?}");
    }

    /// Exposure in tenths, by systemd 252 of Debian 12: the figures that the README tells. Later versions weigh otherwise.
    const EXPOSURE: [u32; 2] = [57, 61];

    #[test]
    fn both_units_are_as_closed_as_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let version = systemd_analyze(&["--version"]);
        let is_known = String::from_utf8_lossy(&version.stdout).starts_with("systemd 252 ");
        let installed = service(&job("/bin/true", &["renew", "-q"]));
        assert!(installed.contains("SystemCallFilter=") && !installed.contains("PrivateTmp="), "{installed}");
        let shipped = SHIPPED.replace("/usr/local/bin/certkit", "/bin/true");
        for ((name, text), exposure) in [("shipped", shipped), ("installed", installed)].into_iter().zip(EXPOSURE) {
            let file = folder.path().join(name).join(SERVICE);
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            let file = file.to_str().unwrap();
            let output = systemd_analyze(&["verify", "--recursive-errors=no", file]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !said.contains("certkit"), "{name}: {said}");
            let closed = |threshold: u32| {
                let threshold = format!("--threshold={threshold}");
                systemd_analyze(&["security", "--offline=yes", "--no-pager", &threshold, file]).status.success()
            };
            assert!(closed(exposure + if is_known { 0 } else { 10 }), "{name} is more open");
            assert!(!is_known || !closed(exposure - 1), "{name} is more closed: say so in the README");
        }
    }

    #[test]
    fn systemd_understands_the_times_of_every_interval() {
        for hours in 1..=24 {
            let schedule = Schedule::of(Interval::parse(&format!("{hours}h")).unwrap(), b"machine");
            let output = systemd_analyze(&["calendar", "--iterations=3", &schedule.on_calendar()]);
            assert!(output.status.success(), "{}: {output:?}", schedule.on_calendar());
        }
    }

    #[test]
    fn what_was_disabled_is_remembered_and_nothing_else_is_believed() {
        let job = job("/usr/bin/certkit", &["renew"]);
        let units = ["certbot.timer".to_owned(), "snap.certbot.renew.timer".to_owned()];
        assert_eq!(in_place_of(&timer(&job, &units)), units);
        assert!(in_place_of(&timer(&job, &[])).is_empty());
        assert!(in_place_of("# In place of: --root=/x sshd.service certkit.timer\n").is_empty());
    }
}
