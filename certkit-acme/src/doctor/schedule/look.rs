//! Looks for everything that renews on this machine: systemd's timers, cron's tables and scripts, a daemon.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use certkit_core::escape;

use super::super::Machine;
use super::client::{CERTBOT_TIMERS, Client, OTHER_TIMERS, Touch, client_of, decides, touches};
use super::shell::{ShellCommand, commands};
use super::units::{UNIT_PROPERTIES, UnitState, services, unit_states};

/// certkit's own timer.
pub(super) const OWN_TIMER: &str = "certkit.timer";
/// Tables and scripts are pages of text at most.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// A table that holds more lines than this is not looked at to its end.
const MAX_LINES: usize = 10_000;

/// What renews on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedules {
    /// Whether systemd runs here (sd_booted(3)).
    pub has_systemd: bool,
    /// The timers that systemd knows, of those that matter here.
    pub timers: Vec<UnitState>,
    /// Lines and services that renew.
    pub jobs: Vec<Job>,
    /// The process of a certkit daemon.
    pub daemon: Option<u32>,
    /// What could not be looked at, and why: sentences without a full stop, escaped.
    pub unread: Vec<String>,
}

/// Something that renews.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// The file where it stands, or `crontab -l`; escaped.
    pub place: String,
    /// The timer that starts it, for a service.
    pub timer: Option<String>,
    /// Who renews.
    pub client: Client,
    /// The command that renews; escaped.
    pub command: String,
    /// What is done to a server before it, at every run; escaped.
    pub stops: Option<String>,
    /// What is done to servers after it, at every run that goes well; escaped.
    pub reloads: Vec<String>,
    /// The whole text of the lines, for rules that count days; escaped.
    pub text: String,
}

impl Schedules {
    /// Looks at this machine. What cannot be looked at is told, too.
    pub async fn look(machine: &Machine) -> Self {
        let mut found = Self { has_systemd: machine.has_systemd(), ..Self::default() };
        let (mut timers, mut spool_is_read) = (BTreeSet::new(), false);
        let files = {
            let machine = machine.clone();
            let has_systemd = found.has_systemd;
            tokio::task::spawn_blocking(move || files(&machine, has_systemd)).await
        };
        if let Ok((jobs, unread, spool)) = files {
            timers.extend(jobs.iter().filter_map(|job| job.timer.clone()));
            (found.jobs, found.unread, spool_is_read) = (jobs, unread, spool);
        }
        if !spool_is_read && let Ok(outcome) = machine.ask("crontab", &["-l"]).await {
            // Without a crontab it fails, and there is nothing to find.
            found.jobs.extend(jobs_in("crontab -l", &outcome.stdout, TextKind::Table, found.has_systemd));
        }
        if found.has_systemd {
            timers.extend([OWN_TIMER.to_owned()]);
            timers.extend(CERTBOT_TIMERS.iter().map(ToString::to_string));
            timers.extend(OTHER_TIMERS.iter().map(|(timer, _)| timer.to_string()));
            let names = timers.iter().map(String::as_str);
            let arguments: Vec<&str> = ["show", UNIT_PROPERTIES, "--"].into_iter().chain(names).collect();
            match machine.answer("systemctl", &arguments).await {
                Ok(shown) => found.timers = unit_states(&shown),
                Err(why) => found.unread.push(format!("the timers of systemd: {}", escape(&why))),
            }
        }
        found.daemon = daemon(&machine.at("/proc"));
        found
    }

    /// What systemd tells of a timer.
    pub fn timer(&self, name: &str) -> Option<&UnitState> {
        self.timers.iter().find(|timer| timer.name == name)
    }

    /// Whether a job is started by itself: cron's are, a service where its timer is on.
    pub fn is_started(&self, job: &Job) -> bool {
        job.timer
            .as_ref()
            .is_none_or(|timer| self.timer(timer).is_some_and(|timer| timer.is_active || timer.is_enabled))
    }
}

/// How a text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextKind {
    /// Each line stands for itself: the times, then what is run.
    Table,
    /// The same with a user after the times (/etc/crontab, /etc/cron.d).
    SystemTable,
    /// All lines belong together.
    Script,
}

/// Everything that stands in files: the jobs, what could not be read, and whether every user's table was among them.
fn files(machine: &Machine, has_systemd: bool) -> (Vec<Job>, Vec<String>, bool) {
    let (mut jobs, mut unread) = (Vec::new(), Vec::new());
    let mut system_tables = vec![machine.at("/etc/crontab")];
    // cron takes no file whose name has a dot or ends with `~`: packages and editors leave such ones behind.
    let is_taken = |path: &PathBuf| !path.file_name().is_some_and(|name| name.to_string_lossy().contains(['.', '~']));
    system_tables
        .extend(list(&machine.at("/etc/cron.d"), &mut unread).unwrap_or_default().into_iter().filter(is_taken));
    let (mut tables, mut spool_is_read) = (Vec::new(), false);
    // Debian's, Red Hat's and SUSE's, Alpine's.
    for spool in ["/var/spool/cron/crontabs", "/var/spool/cron", "/var/spool/cron/tabs", "/etc/crontabs"] {
        if let Some(found) = list(&machine.at(spool), &mut unread) {
            spool_is_read = true;
            tables.extend(found);
        }
    }
    let folders = ["hourly", "daily", "weekly", "monthly"];
    let folders = folders.iter().flat_map(|often| [format!("/etc/cron.{often}"), format!("/etc/periodic/{often}")]);
    let scripts: Vec<PathBuf> =
        folders.flat_map(|folder| list(&machine.at(folder), &mut unread).unwrap_or_default()).collect();
    let of = |kind: TextKind| move |path: PathBuf| (path, kind);
    let all =
        system_tables.into_iter().map(of(TextKind::SystemTable)).chain(tables.into_iter().map(of(TextKind::Table)));
    for (path, kind) in all.chain(scripts.into_iter().map(of(TextKind::Script))) {
        match read(&path) {
            Ok(Some(text)) => jobs.extend(jobs_in(&path.to_string_lossy(), &text, kind, has_systemd)),
            Ok(None) => {}
            Err(error) => unread.push(format!("{}: {error}", escape(&path.to_string_lossy()))),
        }
    }
    if has_systemd {
        for service in services(machine) {
            let timer = format!("{}.timer", service.name.trim_end_matches(".service"));
            let text: Vec<&str> = service.commands.iter().map(|command| command.text.as_str()).collect();
            let place = service.path.to_string_lossy().into_owned();
            jobs.extend(job(&place, Some(timer), &service.commands, &text.join("\n")));
        }
    }
    (jobs, unread, spool_is_read)
}

/// The files of a folder by name; none when there is no folder.
fn list(folder: &Path, unread: &mut Vec<String>) -> Option<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.retain(|path| path.is_file());
            files.sort();
            Some(files)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(error) => {
            unread.push(format!("{}: {error}", escape(&folder.to_string_lossy())));
            None
        }
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_FILE_BYTES => {
            Ok(Some(String::from_utf8_lossy(&fs::read(path)?).into_owned()))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn jobs_in(place: &str, text: &str, kind: TextKind, has_systemd: bool) -> Vec<Job> {
    // Debian's line for certbot ends at once where systemd runs.
    let ends = |line: &str| has_systemd && line.contains("-d /run/systemd/system");
    match kind {
        TextKind::Table | TextKind::SystemTable => {
            let lines = text.lines().take(MAX_LINES).filter(|line| !line.trim_start().starts_with('#') && !ends(line));
            let run = |line: &str| commands(without_times(line, kind == TextKind::SystemTable));
            lines.filter_map(|line| job(place, None, &run(line), line.trim())).collect()
        }
        TextKind::Script if text.lines().any(ends) => Vec::new(),
        TextKind::Script => job(place, None, &commands(text), text).into_iter().collect(),
    }
}

/// What renews among commands that run one after another.
fn job(place: &str, timer: Option<String>, commands: &[ShellCommand], text: &str) -> Option<Job> {
    let (at, client) =
        commands.iter().enumerate().find_map(|(at, command)| client_of(command).map(|client| (at, client)))?;
    let shown = |command: &ShellCommand| escape(without_keyword(&command.text)).into_owned();
    let (before, after) = (commands.get(..at)?, commands.get(at + 1..)?);
    let stops = before.iter().find(|command| touches(command) == Some(Touch::Stop)).map(shown);
    let reloads = after
        .iter()
        .take_while(|command| !decides(command))
        .filter(|command| matches!(touches(command), Some(Touch::Reload | Touch::Start)))
        .map(shown)
        .collect();
    Some(Job {
        place: escape(place).into_owned(),
        timer,
        client,
        command: shown(commands.get(at)?),
        stops,
        reloads,
        text: escape(text).into_owned(),
    })
}

/// What a line of a table runs: after five fields of times or one with an `@`, and after the user (crontab(5)).
fn without_times(line: &str, has_user: bool) -> &str {
    let line = line.trim_start();
    let times = if line.starts_with('@') { 1 } else { 5 };
    let fields = times + usize::from(has_user);
    (0..fields).fold(line, |rest, _| rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start()))
}

fn without_keyword(text: &str) -> &str {
    ["then ", "do ", "else ", "if ", "{ "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text).trim()
}

/// A process that is `certkit … daemon …`.
fn daemon(proc: &Path) -> Option<u32> {
    let own = std::process::id();
    fs::read_dir(proc).ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok().filter(|pid| *pid != own)?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let program = words.next()?;
        (program.rsplit('/').next() == Some("certkit") && words.any(|word| word == "daemon")).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(line: &str) -> Vec<Job> {
        jobs_in("/etc/crontab", line, TextKind::SystemTable, true)
    }

    #[test]
    fn what_is_chained_to_a_renewal_is_seen_and_what_is_conditional_is_not() {
        for line in [
            "0 3 * * * root certbot renew -q && systemctl restart nginx",
            "0 3 * * * root certbot renew -q; systemctl restart nginx",
            "0 3 * * * root certbot renew || systemctl restart nginx",
            "0 3 * * * root sh -c 'certbot renew >/dev/null 2>&1 && systemctl restart nginx'",
            "@daily root if certkit renew; then systemctl restart nginx; fi",
        ] {
            let jobs = table(line);
            assert_eq!(jobs.len(), 1, "{line}");
            assert_eq!(jobs[0].reloads, ["systemctl restart nginx"], "{line}");
        }
        for line in [
            "0 3 * * * root certbot renew -q --deploy-hook 'systemctl restart nginx'",
            "0 3 * * * root certbot renew || mail -s 'restart me' root",
            "0 3 * * * root systemctl restart nginx; certbot renew",
            "0 3 * * * root certbot renew; [ /a -nt /b ] && systemctl restart nginx",
        ] {
            assert!(table(line)[0].reloads.is_empty(), "{line}");
        }
        let stops =
            jobs_in("x", "1 1 * * 1 service nginx stop; certbot renew; service nginx start", TextKind::Table, true);
        assert_eq!(stops[0].stops.as_deref(), Some("service nginx stop"));
        assert_eq!((stops[0].command.as_str(), stops[0].reloads.len()), ("certbot renew", 1));
        assert!(table("# 1 1 * * 1 root certbot renew").is_empty() && table("MAILTO=certbot renew").is_empty());
    }

    #[test]
    fn a_daemon_is_found_by_its_command_line() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, line: &str| {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("cmdline"), line).unwrap();
        };
        process("4000001", "vi\0daemon\0certkit\0");
        process("4000002", "/usr/bin/certkit\0renew\0");
        fs::create_dir(proc.path().join("self")).unwrap();
        assert_eq!(daemon(proc.path()), None);
        process("4000003", "/usr/bin/certkit\0-q\0daemon\0");
        assert_eq!(daemon(proc.path()), Some(4_000_003));
    }
}
