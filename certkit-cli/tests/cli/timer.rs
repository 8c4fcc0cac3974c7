//! `timer` in a tree of its own, with scripts in the place of systemctl, systemd-run and crontab: what they are asked to do
//! is recorded, and systemctl remembers what was enabled. Whether systemd would do it is not seen here; `timer::unit` has
//! the units checked by systemd-analyze.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::support::{Place, Run, as_nobody};

/// A machine.
struct Host {
    place: Place,
}

const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >> DIR/asked
verb=$1
for last; do :; done
case $verb in
show)
    for unit; do
        case $unit in -* | show) continue ;; esac
        echo "Id=$unit"
        if [ -e "DIR/units/$unit" ]; then
            echo LoadState=loaded
            [ "$(cat "DIR/units/$unit")" = on ] && printf 'ActiveState=active\nUnitFileState=enabled\n'
            [ "$unit" = certkit.timer ] && echo 'NextElapseUSecRealtime=Fri 2027-01-15 08:00:00 UTC'
        else
            echo LoadState=not-found
        fi
        echo
    done
    ;;
enable) echo on > "DIR/units/$last" ;;
disable) echo off > "DIR/units/$last" ;;
stop) [ -e "DIR/units/$last" ] || { echo "Unit $last not loaded." >&2; exit 5; } ;;
esac
"#;

const SYSTEMD_RUN: &str = r#"#!/bin/sh
echo "systemd-run $*" >> DIR/asked
[ ! -e DIR/broken ] || { echo 'Failed to connect to bus' >&2; exit 1; }
"#;

const CRONTAB: &str = r#"#!/bin/sh
case $1 in
-l) cat DIR/crontab 2>/dev/null || { echo 'no crontab' >&2; exit 1; } ;;
*) echo "crontab" >> DIR/asked; cat "$1" > DIR/crontab ;;
esac
"#;

/// As Debian 12 ships /etc/cron.d/certbot, shortened.
const DEBIANS_CRON: &str = "# /etc/cron.d/certbot: crontab entries for the certbot package\nSHELL=/bin/sh\n\n0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew --no-random-sleep-on-renew\n";

impl Host {
    fn new() -> Self {
        let machine = Self { place: Place::new() };
        for dir in ["bin", "units", "root/etc/cron.d", "root/etc/systemd/system", "root/run"] {
            fs::create_dir_all(machine.at(dir)).unwrap();
        }
        fs::write(machine.at("root/etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        for (name, script) in [("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN), ("crontab", CRONTAB)] {
            let script = script.replace("DIR", machine.place.folder().to_str().unwrap());
            write_program(&machine.at("bin").join(name), &script);
        }
        machine
    }

    fn with_systemd() -> Self {
        let machine = Self::new();
        fs::create_dir_all(machine.at("root/run/systemd/system")).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.folder().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        let path = std::env::join_paths([self.at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        command.env("PATH", path).env("CERTKIT_TIMER_ROOT", self.at("root"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// What was asked of systemctl, systemd-run and crontab since the last time, questions left out.
    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.at("asked.done")).unwrap_or_default();
        let all = fs::read_to_string(self.at("asked")).unwrap_or_default();
        fs::write(self.at("asked.done"), &all).unwrap();
        let new = all.strip_prefix(&log).unwrap().lines();
        new.filter(|line| !line.starts_with("systemctl show")).map(str::to_owned).collect()
    }

    fn unit(&self, name: &str) -> String {
        self.read(&format!("root/etc/systemd/system/{name}"))
    }

    /// Every file below the root, with its content.
    fn files(&self) -> Vec<(PathBuf, String)> {
        fn below(dir: &Path, all: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below(&path, all);
                } else {
                    all.push((path.clone(), fs::read_to_string(path).unwrap()));
                }
            }
        }
        let mut all = Vec::new();
        below(&self.at("root"), &mut all);
        all.sort();
        all
    }
}

/// Written by a process of its own: while a file is open for writing in ours, another test's child may inherit it, and it
/// cannot be run.
fn write_program(path: &Path, script: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"cat > "$0" && chmod 755 "$0""#]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_is_shown_first_then_installed_and_then_there_is_nothing_to_do() {
    let machine = Host::with_systemd();
    let before = machine.files();
    let run = machine.run(&["timer", "install", "--dry-run"]).ends_with(0);
    assert!(run.stdout.starts_with("This would be done:\n") && run.stdout.contains("Persistent=true"), "{run:?}");
    assert!(run.stdout.contains("run systemctl enable --now certkit.timer"), "{run:?}");
    assert_eq!((machine.files(), machine.asked()), (before, vec![]));
    assert!(!machine.place.log().exists());

    let run = machine.run(&["timer", "install", "-n"]).ends_with(0);
    assert_eq!(machine.asked(), ["systemctl daemon-reload", "systemctl enable --now certkit.timer"]);
    let service = machine.unit("certkit.service");
    let line = service.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    assert!(line.contains(env!("CARGO_BIN_EXE_certkit")) && line.contains(" renew -q --config-dir "), "{line}");
    assert!(service.contains("\nEnvironment=\"CERTKIT_TIMER=6h\"\n"), "{service}");
    assert!(run.stdout.contains("Next run: 2027-01-15 08:00:00 UTC"), "{run:?}");
    assert!(machine.place.log().exists());

    let files = machine.files();
    let run = machine.run(&["timer", "install", "-n"]).ends_with(0);
    assert!(run.stdout.contains("installed already"), "{run:?}");
    assert_eq!((machine.files(), machine.asked()), (files, vec![]));

    let shown = machine.run(&["timer", "show", "--json"]).ends_with(0).json();
    assert_eq!((&shown["kind"], &shown["interval_seconds"]), (&Value::from("systemd"), &Value::from(21_600)));
    assert_eq!((&shown["active"], &shown["next"]), (&Value::from(true), &Value::from("2027-01-15T08:00:00Z")));
}

#[test]
fn another_interval_shows_what_differs_and_keeps_the_old_file() {
    let machine = Host::with_systemd();
    machine.run(&["timer", "install", "-n"]).ends_with(0);
    let old = machine.unit("certkit.service");
    let run = machine.run(&["timer", "install", "-n", "--interval", "12h"]).ends_with(0);
    assert!(run.stdout.contains("    - Environment=\"CERTKIT_TIMER=6h\"\n    + Environment=\"CERTKIT_TIMER=12h\"\n"));
    assert!(!run.stdout.contains("Type=oneshot"), "only what differs: {run:?}");
    assert_eq!(machine.unit("certkit.service.1~"), old);
    assert!(run.stderr.contains("certkit.service.1~"), "{run:?}");
}

#[test]
fn certbots_timer_goes_with_consent_only_and_comes_back() {
    let machine = Host::with_systemd();
    fs::write(machine.at("units/certbot.timer"), "on\n").unwrap();
    fs::write(machine.at("root/etc/cron.d/certbot"), DEBIANS_CRON).unwrap();
    // Nobody can be asked, and nobody said that nothing is to be asked.
    let run = machine.run(&["timer", "install"]).ends_with(0);
    assert!(run.stderr.contains("the systemd timer certbot.timer still renews, too"), "{run:?}");
    assert_eq!(machine.read("units/certbot.timer"), "on\n");
    let run = machine.run(&["timer", "show"]).ends_with(0);
    assert!(run.stderr.contains("certkit's timer is not alone: the systemd timer certbot.timer"), "{run:?}");
    let _ = machine.asked();

    let document = machine.run(&["timer", "install", "-n", "--json"]).ends_with(0).json();
    assert_eq!(document["done"], true);
    assert_eq!(machine.asked().last().unwrap(), "systemctl disable --now certbot.timer");
    // Where systemd runs, Debian's line does nothing.
    assert_eq!(machine.read("root/etc/cron.d/certbot"), DEBIANS_CRON);
    assert!(!machine.run(&["timer", "show"]).ends_with(0).stderr.contains("not alone"));

    machine.run(&["timer", "remove", "-n"]).ends_with(0);
    assert_eq!(
        machine.asked(),
        ["systemctl enable --now certbot.timer", "systemctl disable --now certkit.timer", "systemctl daemon-reload"]
    );
    let left: Vec<PathBuf> = machine.files().into_iter().map(|(path, _)| path).collect();
    assert!(!left.iter().any(|path| path.ends_with("certkit.timer") || path.ends_with("certkit.service")), "{left:?}");
}

#[test]
fn on_a_terminal_it_asks_before_it_takes_anything_out_of_use() {
    let machine = Host::with_systemd();
    fs::write(machine.at("units/certbot.timer"), "on\n").unwrap();
    let answer = |answers: &str| {
        let line = "exec \"$CERTKIT\" --config-dir \"$ETC\" --logs-dir \"$ETC/log\" timer install";
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", line, "/dev/null"]).env_clear();
        script.envs(machine.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("SHELL", "/bin/sh").env("CERTKIT", env!("CARGO_BIN_EXE_certkit"));
        script.env("ETC", machine.place.tree.config_dir());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        Run::of(child.wait_with_output().unwrap())
    };
    let run = answer("n\nn\n").ends_with(1);
    assert!(run.stdout.contains("Take it out of use? [Y/n]") && run.stdout.contains("nothing was changed"), "{run:?}");
    assert!(machine.asked().is_empty() && !machine.at("root/etc/systemd/system/certkit.timer").exists());
    answer("n\ny\n").ends_with(0);
    assert_eq!(machine.asked().last().unwrap(), "systemctl enable --now certkit.timer");
    answer("y\ny\n").ends_with(0);
    assert_eq!(machine.asked().last().unwrap(), "systemctl disable --now certbot.timer");
}

#[test]
fn without_systemd_there_is_a_cron_line_and_others_are_commented_out_and_in_again() {
    let machine = Host::new();
    let crontab = "# mine\n5 5 * * * /usr/bin/certbot renew && systemctl restart nginx\n";
    fs::write(machine.at("crontab"), crontab).unwrap();
    let theirs = machine.at("root/etc/cron.d/certbot");
    fs::write(&theirs, DEBIANS_CRON).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o640)).unwrap();
    let before = machine.files();

    let run = machine.run(&["timer", "install", "-n", "--interval=4h"]).ends_with(0);
    assert!(run.stdout.contains("comment out in your crontab\n    5 5 * * *"), "{run:?}");
    let file = machine.read("root/etc/cron.d/certkit");
    assert!(file.contains("\nCERTKIT_TIMER=4h\n") && file.contains(" root ") && file.contains(" renew -q "), "{file}");
    let shown = machine.run(&["timer", "show", "--json"]).ends_with(0).json();
    assert_eq!((&shown["kind"], &shown["others"]), (&Value::from("cron"), &Value::Array(vec![])));
    assert_eq!(fs::metadata(&theirs).unwrap().permissions().mode() & 0o777, 0o640);
    machine.run(&["timer", "install", "-n", "--interval=4h"]).ends_with(0);
    assert_eq!(machine.read("root/etc/cron.d/certkit"), file, "the minute stays");

    let run = machine.run(&["timer", "remove", "--dry-run"]).ends_with(0);
    assert!(run.stdout.contains("use again in your crontab"), "{run:?}");
    machine.run(&["timer", "remove", "-n"]).ends_with(0);
    assert_eq!((machine.files(), machine.read("crontab")), (before, crontab.to_owned()));
    let run = machine.run(&["timer", "remove", "-n"]).ends_with(0);
    assert!(run.stdout.contains("There is no timer of certkit."), "{run:?}");
}

#[test]
fn files_that_others_wrote_are_not_removed() {
    let machine = Host::with_systemd();
    fs::write(machine.at("root/etc/systemd/system/certkit.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
    let before = machine.files();
    let run = machine.run(&["timer", "remove", "-n"]).ends_with(0);
    assert!(run.stderr.contains("certkit.service stays"), "{run:?}");
    assert_eq!((machine.files(), machine.asked()), (before, vec![]));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let machine = Host::with_systemd();
    for arguments in [
        &["timer"][..],
        &["timer", "frobnicate"],
        &["timer", "install", "remove"],
        &["timer", "install", "--interval", "90m"],
        &["timer", "install", "--deploy-hook", "true"],
    ] {
        machine.run(arguments).ends_with(2);
    }
    assert!(machine.asked().is_empty());
    fs::remove_file(machine.at("bin/systemctl")).unwrap();
    std::os::unix::fs::symlink("/bin/false", machine.at("bin/systemctl")).unwrap();
    let run = machine.run(&["timer", "install", "-n"]).ends_with(1);
    assert!(run.stderr.contains("`systemctl show") && run.stderr.contains("failed with status 1"), "{run:?}");
}

#[test]
fn whoever_is_not_root_gets_the_line_for_the_crontab() {
    let machine = Host::new();
    let run = |more: &[&str]| {
        let mut command = Command::new("certkit");
        command.args(["timer", "install", "--config-dir", "/srv/my certs"]).args(more);
        as_nobody(machine.place.folder(), &command)
    };
    let program = machine.at("certkit");
    let line = format!(" CERTKIT_TIMER=6h {} renew -q --config-dir '/srv/my certs'\n", program.display());
    assert!(run(&["--dry-run"]).ends_with(0).stdout.ends_with(&line));
    let refused = run(&[]).ends_with(1);
    assert!(refused.stderr.contains("only root") && refused.stderr.ends_with(&line), "{refused:?}");
}

/// A run of the timer on a machine where it is installed.
fn renew(machine: &Host, more: &[&str]) -> Run {
    let mut command = machine.command(&["renew", "-q"]);
    Run::of(command.args(more).env("CERTKIT_TIMER", "6h").output().unwrap())
}

/// A certificate that is due by its lifetime alone: no CA is asked.
fn lineage(machine: &Host, due_in: TimeDelta) -> DateTime<Utc> {
    let settings = machine.place.tree.config_dir().join("certkit/settings.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(settings, "renewal_information = false\n").unwrap();
    let left = TimeDelta::days(30) + due_in;
    let builder = machine.place.tree.lineage("a.example.org").lifetime(TimeDelta::days(90)).left(left);
    builder.server("https://127.0.0.1:1/dir").standalone(80).write();
    let document = machine.place.run(&["certificates", "--json"]).ends_with(0).json();
    let due = document["lineages"][0]["renewal"]["at"].as_str().unwrap();
    DateTime::parse_from_rfc3339(due).unwrap().to_utc()
}

#[test]
fn a_run_of_the_timer_sets_it_to_the_exact_instant() {
    let machine = Host::with_systemd();
    machine.run(&["timer", "install", "-n"]).ends_with(0);
    let due = lineage(&machine, TimeDelta::hours(2));
    let _ = machine.asked();
    let run = renew(&machine, &[]).ends_with(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let asked = machine.asked();
    let [stop, set] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(stop, "systemctl stop certkit-exact.timer");
    let rest = set.strip_prefix("systemd-run --quiet --collect --unit=certkit-exact --on-calendar=").unwrap();
    let (instant, rest) = rest.split_once(" UTC ").unwrap();
    let systemctl = machine.at("bin/systemctl");
    assert_eq!(
        rest,
        format!("--timer-property=AccuracySec=1s {} start --no-block certkit.service", systemctl.display())
    );
    let instant = NaiveDateTime::parse_from_str(instant, "%Y-%m-%d %H:%M:%S").unwrap().and_utc();
    // `certificates` tells whole seconds.
    assert!(instant >= due && instant - due <= TimeDelta::seconds(2), "{instant} {due}");

    let _ = renew(&machine, &["--dry-run"]);
    machine.run(&["renew", "-q"]).ends_with(0);
    assert!(machine.asked().is_empty(), "a dry run, or one by hand, sets nothing");
}

#[test]
fn a_timer_that_cannot_be_set_is_told_and_the_run_is_well() {
    let machine = Host::with_systemd();
    machine.run(&["timer", "install", "-n"]).ends_with(0);
    lineage(&machine, TimeDelta::hours(2));
    fs::write(machine.at("broken"), "").unwrap();
    let run = renew(&machine, &[]).ends_with(0);
    assert!(run.stderr.starts_with("warning: the timer could not be set to the exact instant"), "{run:?}");
    assert!(run.stderr.contains("Failed to connect to bus"), "{run:?}");
}

#[test]
fn a_regular_run_that_comes_first_needs_no_exact_one() {
    let machine = Host::with_systemd();
    machine.run(&["timer", "install", "-n"]).ends_with(0);
    lineage(&machine, TimeDelta::hours(9));
    let _ = machine.asked();
    renew(&machine, &[]).ends_with(0);
    assert_eq!(machine.asked(), ["systemctl stop certkit-exact.timer"]);
    // From cron there is nothing to set, and what comes before the next run is done in this one.
    let machine = Host::new();
    machine.run(&["timer", "install", "-n"]).ends_with(0);
    lineage(&machine, TimeDelta::hours(9));
    renew(&machine, &[]).ends_with(0);
    assert!(machine.asked().is_empty());
}

#[test]
fn a_run_of_the_timer_does_not_sleep() {
    let machine = Host::new();
    lineage(&machine, TimeDelta::hours(-2));
    let run = renew(&machine, &[]).ends_with(1);
    assert!(run.stderr.contains("a.example.org") && !run.stderr.contains("random delay"), "{run:?}");
}

#[test]
fn what_would_be_too_late_in_the_next_run_is_done_in_this_one_unless_there_is_an_exact_one() {
    for (machine, status) in [(Host::new(), 1), (Host::with_systemd(), 0)] {
        machine.run(&["timer", "install", "-n", "--interval=24h"]).ends_with(0);
        lineage(&machine, TimeDelta::hours(2));
        // Half of the lifetime is left in an hour; tomorrow nothing is.
        let builder = machine.place.tree.lineage("b.example.org").lifetime(TimeDelta::hours(36));
        builder.left(TimeDelta::hours(19)).server("https://127.0.0.1:1/dir").standalone(80).write();
        let mut command = machine.command(&["renew", "-q"]);
        let run = Run::of(command.env("CERTKIT_TIMER", "24h").output().unwrap()).ends_with(status);
        assert_eq!(run.stderr.contains("b.example.org"), status == 1, "{run:?}");
        assert!(!run.stderr.contains("a.example.org"), "{run:?}");
    }
}

#[test]
fn a_time_that_cannot_be_read_stops_no_renewal() {
    let machine = Host::new();
    lineage(&machine, TimeDelta::hours(2));
    let mut command = machine.command(&["renew"]);
    let run = Run::of(command.env("CERTKIT_TIMER", "often").output().unwrap()).ends_with(0);
    assert!(run.stderr.contains("CERTKIT_TIMER is `often`"), "{run:?}");
}
