//! What there is on the machine: a service manager, a cron, what renews already.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certkit_acme::command::{CommandSettings, OwnersCommand, run};
pub(crate) use certkit_acme::doctor::CERTBOT_TIMERS;
use certkit_acme::doctor::{UnitState, unit_states};
use certkit_core::escape;
use certkit_core::store::Store;

use super::{EXACT, SERVICE, TIMER, cron};
use crate::args::Environment;
use crate::exit::CommandError;
use crate::ui::shown;

/// systemctl answers within seconds, or something is wrong.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The programs and directories of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    root: PathBuf,
    commands: CommandSettings,
    path: OsString,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Whether systemd runs here (sd_booted(3)).
    pub(crate) has_systemd: bool,
    /// Whether there is a folder for cron's files.
    pub(crate) has_cron: bool,
    /// `certkit.service`.
    pub(crate) service: Existing,
    /// `certkit.timer`.
    pub(crate) timer: Existing,
    /// `/etc/cron.d/certkit`.
    pub(crate) cron: Existing,
    /// The units that systemd knows, of those that matter here.
    pub(crate) units: Vec<UnitState>,
    /// Everything else that renews.
    pub(crate) rivals: Vec<Rival>,
    /// What [`cron::disable`] took out of use: files, and the crontab where there is no path.
    pub(crate) disabled: Vec<(Option<PathBuf>, String)>,
}

/// A file that may be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is not.
    #[default]
    Absent,
    /// It is, with this content.
    File(String),
    /// Something else is there; in words.
    Other(String),
}

/// Something else that renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// A timer of systemd.
    Timer(String),
    /// Lines of a file that cron reads, with its whole content.
    Cron { path: PathBuf, content: String, lines: Vec<String> },
    /// Lines of the crontab of the user who runs us.
    Crontab { content: String, lines: Vec<String> },
    /// A file that is not ours to change: a script, a link, no UTF-8.
    ByHand { path: PathBuf, lines: Vec<String> },
}

impl Machine {
    /// This one. `CERTKIT_TIMER_ROOT` puts another folder in the place of `/`.
    pub(crate) fn of(environment: &Environment) -> Self {
        let mut commands = CommandSettings::from_env();
        commands.time_limit = TIME_LIMIT;
        let path = commands.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        // systemctl writes times in the zone of its environment.
        commands.environment.extend([("TZ".into(), "UTC".into()), ("LC_ALL".into(), "C".into())]);
        let root = environment.timer_root.clone().unwrap_or_else(|| "/".into());
        Self { root, commands, path: path.unwrap_or_default() }
    }

    /// The same with programs that do not inherit these variables.
    pub(crate) fn withholding(mut self, variables: Vec<String>) -> Self {
        self.commands.withheld.extend(variables.into_iter().map(OsString::from));
        self
    }

    /// A path below the root.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Where the units of the administrator are.
    pub(crate) fn unit(&self, name: &str) -> PathBuf {
        self.at("/etc/systemd/system").join(name)
    }

    /// Our file for cron.
    pub(crate) fn cron_file(&self) -> PathBuf {
        self.at("/etc/cron.d/certkit")
    }

    /// Whether we may change it.
    pub(crate) fn is_privileged(&self) -> bool {
        self.root != Path::new("/") || rustix::process::geteuid().is_root()
    }

    /// sd_booted(3).
    pub(crate) fn has_systemd(&self) -> bool {
        self.at("/run/systemd/system").is_dir()
    }

    /// What differs between machines and stays: the machine's id, a stored number, the host's name.
    pub(crate) fn seed(&self, store: Option<&Store>) -> Vec<u8> {
        if let Ok(id) = fs::read(self.at("/etc/machine-id"))
            && id.len() >= 32
        {
            return id;
        }
        let stored = store.and_then(|store| store.seed().ok().flatten());
        stored.unwrap_or_else(|| rustix::system::uname().nodename().to_bytes().to_vec())
    }

    /// A program on PATH, or in the standard directories.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let candidates = std::env::split_paths(&self.path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name));
        candidates
            .into_iter()
            .find(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
    }

    /// Runs a program and gives what it wrote to standard output.
    pub(crate) async fn run(&self, name: &str, arguments: &[&str]) -> Result<String, CommandError> {
        let Some(program) = self.program(name) else {
            return Err(CommandError::failed(format!("there is no program `{name}`"))
                .with_cure("install it, or make it findable on PATH"));
        };
        let command = OwnersCommand::Program(program, arguments.iter().map(OsString::from).collect());
        let outcome = run(&command, &[], &self.commands).await;
        match outcome.failure(&format!("`{name} {}`", arguments.join(" "))) {
            None => Ok(outcome.stdout),
            Some(failure) => Err(CommandError::failed(failure.detail)
                .with_cure("mend what it says and run the same command again; what is done already is left out then")),
        }
    }

    /// Looks at everything that matters for a timer.
    pub(crate) async fn look(&self) -> Result<Facts, CommandError> {
        let has_systemd = self.has_systemd();
        let mut facts = Facts {
            has_systemd,
            has_cron: self.at("/etc/cron.d").is_dir(),
            service: existing(&self.unit(SERVICE))?,
            timer: existing(&self.unit(TIMER))?,
            cron: existing(&self.cron_file())?,
            ..Facts::default()
        };
        if has_systemd {
            let exact = format!("{EXACT}.timer");
            let mut arguments = vec![
                "show",
                "--property=Id,LoadState,ActiveState,UnitFileState,LastTriggerUSec,NextElapseUSecRealtime",
                TIMER,
                &exact,
            ];
            arguments.extend(CERTBOT_TIMERS);
            facts.units = unit_states(&self.run("systemctl", &arguments).await?);
            let rivals = facts.units.iter().filter(|unit| CERTBOT_TIMERS.contains(&unit.name.as_str()));
            let rivals = rivals.filter(|unit| unit.is_active || unit.is_enabled);
            facts.rivals = rivals.map(|unit| Rival::Timer(unit.name.clone())).collect();
        }
        self.look_at_cron(&mut facts);
        self.look_at_crontab(&mut facts).await;
        Ok(facts)
    }

    fn look_at_cron(&self, facts: &mut Facts) {
        let mut tables = vec![self.at("/etc/crontab")];
        // cron takes no file whose name has a dot or ends with `~`: packages and editors leave such ones behind.
        let is_taken = |path: &PathBuf| {
            path.file_name().is_some_and(|name| !name.to_string_lossy().contains(['.', '~']))
                && *path != self.cron_file()
        };
        tables.extend(files(&self.at("/etc/cron.d")).into_iter().filter(is_taken));
        let scripts =
            ["hourly", "daily", "weekly", "monthly"].map(|often| files(&self.at(&format!("/etc/cron.{often}"))));
        for (path, is_table) in
            tables.into_iter().map(|path| (path, true)).chain(scripts.into_iter().flatten().map(|path| (path, false)))
        {
            let Ok(bytes) = fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let is_ours_to_change = is_table && !path.is_symlink() && std::str::from_utf8(&bytes).is_ok();
            let lines = cron::renewing_lines(&text, facts.has_systemd);
            if is_ours_to_change && !cron::disabled_lines(&text).is_empty() {
                facts.disabled.push((Some(path.clone()), text.clone().into_owned()));
            }
            match (lines.is_empty(), is_ours_to_change) {
                (true, _) => {}
                (false, true) => facts.rivals.push(Rival::Cron { path, content: text.into_owned(), lines }),
                (false, false) => facts.rivals.push(Rival::ByHand { path, lines }),
            }
        }
    }

    /// Without a crontab `crontab -l` fails, and there is nothing to find.
    async fn look_at_crontab(&self, facts: &mut Facts) {
        let Ok(content) = self.run("crontab", &["-l"]).await else { return };
        // What is not there whole, or not as it is, cannot be written back.
        let is_whole = content.len() < 64 * 1024 && !content.contains('\u{fffd}');
        let lines = cron::renewing_lines(&content, facts.has_systemd);
        if is_whole && !cron::disabled_lines(&content).is_empty() {
            facts.disabled.push((None, content.clone()));
        }
        match (lines.is_empty(), is_whole) {
            (true, _) => {}
            (false, true) => facts.rivals.push(Rival::Crontab { content, lines }),
            (false, false) => facts.rivals.push(Rival::ByHand { path: "crontab -l".into(), lines }),
        }
    }
}

impl Facts {
    /// What systemd tells of a unit; nothing when it does not know it.
    pub(crate) fn unit(&self, name: &str) -> Option<&UnitState> {
        self.units.iter().find(|unit| unit.name == name)
    }
}

impl Existing {
    /// Whether it is a file that `certkit timer install` wrote.
    pub(crate) fn is_ours(&self) -> bool {
        self.content().is_some_and(|content| content.lines().any(|line| line == super::MARKER))
    }

    /// Its content, when it is a file.
    pub(crate) fn content(&self) -> Option<&str> {
        match self {
            Self::File(content) => Some(content),
            Self::Absent | Self::Other(_) => None,
        }
    }
}

impl Rival {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Timer(unit) => format!("the systemd timer {}", escape(unit)),
            Self::Cron { path, .. } | Self::ByHand { path, .. } => shown(path),
            Self::Crontab { .. } => "your crontab".to_owned(),
        }
    }
}

fn existing(path: &Path) -> Result<Existing, CommandError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Absent),
        Ok(meta) if meta.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            return Ok(Existing::Other(format!("a link to {}", shown(&target))));
        }
        Ok(meta) if !meta.is_file() => return Ok(Existing::Other("no file".to_owned())),
        _ => {}
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Existing::File(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(CommandError::failed(format!("cannot read {}: {error}", shown(path)))
            .with_cure("run as root, or mend its mode")),
    }
}

/// The files of a folder by name; none when it cannot be read.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.retain(|path| path.is_file());
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_ours_is_recognized() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certkit.service");
        assert_eq!(existing(&path).unwrap(), Existing::Absent);
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(existing(&path).unwrap(), Existing::Other("a link to /dev/null".into()));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "[Service]\n").unwrap();
        assert!(!existing(&path).unwrap().is_ours());
        fs::write(&path, format!("{}\n[Service]\n", crate::timer::MARKER)).unwrap();
        assert!(existing(&path).unwrap().is_ours());
    }
}
