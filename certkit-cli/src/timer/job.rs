//! What the timer runs.

use std::path::{Path, PathBuf};

use certkit_core::escape;

use super::Schedule;
use crate::args::{Invocation, certbot};
use crate::exit::CommandError;
use crate::ui::shown;

/// `certkit renew -q` as this installation needs it. All texts are free of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The times.
    pub(crate) schedule: Schedule,
    /// This program, absolute.
    pub(crate) program: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// $XDG_CONFIG_HOME, where a cli.ini lies in it: neither systemd nor cron knows of it.
    pub(crate) user_config_dir: Option<String>,
}

/// What `timer` itself has a use for.
const OWN: [&str; 6] = ["interval", "dry-run", "json", "quiet", "verbose", "non-interactive"];

/// What the timer's runs are told.
const PASSED_ON: [&str; 5] = ["config-dir", "work-dir", "logs-dir", "config", "ca-bundle"];

impl Job {
    /// What the command line asks for, with absolute paths.
    pub(crate) fn of(invocation: &Invocation, program: &Path, schedule: Schedule) -> Result<Self, CommandError> {
        refuse_what_is_not_passed_on(invocation)?;
        let mut arguments: Vec<String> = vec!["renew".into(), "-q".into()];
        let general = &invocation.typed.general;
        let typed = |id: &str, given: bool| given && !invocation.is_from_file(id);
        let paths = invocation.paths();
        let has_config_dir = general.config_dir.is_some() || invocation.environment.config_dir.is_some();
        let mut all: Vec<(&str, PathBuf)> = Vec::new();
        if typed("config_dir", has_config_dir) {
            all.push(("--config-dir", paths.config_dir));
        }
        if typed("work_dir", general.work_dir.is_some()) {
            all.push(("--work-dir", paths.work_dir));
        }
        if typed("logs_dir", general.logs_dir.is_some()) {
            all.push(("--logs-dir", paths.logs_dir));
        }
        all.extend(general.config.iter().map(|file| ("--config", file.clone())));
        if typed("ca_bundle", true) {
            all.extend(general.ca_bundle.iter().map(|file| ("--ca-bundle", file.clone())));
        }
        for (flag, path) in all {
            arguments.push(flag.to_owned());
            arguments.push(text(&path)?);
        }
        let user_dir = invocation.environment.user_config_dir.as_deref();
        let user_dir = user_dir.filter(|dir| dir.join("letsencrypt/cli.ini").is_file());
        Ok(Self { schedule, program: text(program)?, arguments, user_config_dir: user_dir.map(text).transpose()? })
    }
}

/// A flag that did nothing here would be missed at the first renewal. cli.ini takes every one of them.
fn refuse_what_is_not_passed_on(invocation: &Invocation) -> Result<(), CommandError> {
    let lost = invocation.flags.iter().find(|long| {
        let from_file = invocation.is_from_file(&long.replace('-', "_")) || invocation.is_from_file(long);
        !from_file
            && certbot::fate(long).is_none()
            && !OWN.contains(&long.as_str())
            && !PASSED_ON.contains(&long.as_str())
    });
    match lost {
        Some(long) => Err(CommandError::usage(format!("the timer's runs are not told --{long}")).with_cure(
            "write it into cli.ini in the config dir, which they read, or into a certificate with `certkit reconfigure`",
        )),
        None => Ok(()),
    }
}

/// A path that can stand in a unit and in a crontab: both are lines of text.
fn text(path: &Path) -> Result<String, CommandError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = absolute.to_str().filter(|text| *escape(text) == **text);
    text.map(str::to_owned).ok_or_else(|| {
        CommandError::failed(format!("{} cannot be written into a timer: it is not plain text", shown(&absolute)))
            .with_cure("give it a name of visible UTF-8 characters")
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::args::Environment;
    use crate::timer::Interval;

    fn job(arguments: &[&str], environment: Environment) -> Result<Job, CommandError> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let invocation = Invocation::read(&arguments, environment).unwrap();
        Job::of(&invocation, Path::new("/usr/bin/certkit"), Schedule::of(Interval::default(), b"m"))
    }

    #[test]
    fn the_runs_are_told_where_everything_is() {
        let plain = job(&["timer", "install"], Environment::default()).unwrap();
        assert_eq!(plain.arguments, ["renew", "-q"]);
        let given = job(&["timer", "install", "--work-dir", "/w", "--ca-bundle=/a", "--ca-bundle=/b"], {
            Environment { config_dir: Some("/e".into()), ..Environment::default() }
        });
        let arguments = given.unwrap().arguments.join(" ");
        assert_eq!(arguments, "renew -q --config-dir /e --work-dir /w --ca-bundle /a --ca-bundle /b");
    }

    #[test]
    fn a_flag_that_would_be_lost_is_refused_and_one_of_a_file_is_not() {
        let error = job(&["timer", "install", "--deploy-hook", "true"], Environment::default()).unwrap_err();
        assert!(error.what.contains("--deploy-hook") && error.cure.unwrap().contains("cli.ini"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("letsencrypt/cli.ini");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(file, "deploy-hook = true\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let environment = Environment { user_config_dir: Some(home.into()), ..Environment::default() };
        let job = job(&["timer", "install", "--no-redirect"], environment).unwrap();
        assert_eq!((job.arguments.len(), job.user_config_dir.as_deref()), (2, Some(home)));
    }

    #[test]
    fn a_path_that_is_no_line_of_text_is_refused() {
        for bytes in [&b"/a\nb"[..], b"/\xff", b"/\x1b[31m"] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let error = text(&path).unwrap_err();
            assert!(!error.what.contains('\n') && error.cure.is_some(), "{error:?}");
        }
    }
}
