//! What systemd tells of units, and which of their files renew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};

use super::super::Machine;
use super::shell::{ShellCommand, commands};

/// What systemd tells of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnitState {
    /// Its name.
    pub name: String,
    /// Whether it runs, or waits to run.
    pub is_active: bool,
    /// Whether it comes back after a reboot.
    pub is_enabled: bool,
    /// When a timer last started something (UTC).
    pub last: Option<DateTime<Utc>>,
    /// When it will (UTC).
    pub next: Option<DateTime<Utc>>,
}

/// The properties that [`unit_states`] reads.
pub const UNIT_PROPERTIES: &str =
    "--property=Id,LoadState,ActiveState,UnitFileState,LastTriggerUSec,NextElapseUSecRealtime";

/// A service's file with what it runs.
pub(super) struct ServiceFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) commands: Vec<ShellCommand>,
}

/// Where systemd looks for units of the system, the first one winning (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Units are pages of text at most.
const MAX_UNIT_BYTES: u64 = 64 * 1024;

/// Reads what `systemctl show` with [`UNIT_PROPERTIES`] says of several units: blocks of `NAME=VALUE`, with an empty line
/// in between. Units that systemd does not know are left out.
pub fn unit_states(shown: &str) -> Vec<UnitState> {
    let mut all = Vec::new();
    for block in shown.split("\n\n") {
        let value =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        if value("LoadState") == "not-found" || value("Id").is_empty() {
            continue;
        }
        all.push(UnitState {
            name: value("Id").to_owned(),
            is_active: matches!(value("ActiveState"), "active" | "activating" | "reloading"),
            is_enabled: matches!(value("UnitFileState"), "enabled" | "enabled-runtime"),
            last: timestamp(value("LastTriggerUSec")),
            next: timestamp(value("NextElapseUSecRealtime")),
        });
    }
    all
}

/// `Thu 2026-11-26 18:17:05 UTC`.
fn timestamp(text: &str) -> Option<DateTime<Utc>> {
    let (_, time) = text.split_once(' ')?;
    NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S UTC").ok().map(|time| time.and_utc())
}

/// The services of the machine with what they run.
pub(super) fn services(machine: &Machine) -> Vec<ServiceFile> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut drop_ins: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for folder in UNIT_DIRECTORIES {
        for path in entries(&machine.at(folder)) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(service) = name.strip_suffix(".d").filter(|name| name.ends_with(".service")) {
                let confs = entries(&path).into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf"));
                drop_ins.entry(service.to_owned()).or_default().extend(confs);
            } else if name.ends_with(".service") {
                files.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    let mut all = Vec::new();
    for (name, path) in files {
        let texts =
            std::iter::once(&path).chain(drop_ins.get(&name).into_iter().flatten()).filter_map(|path| text(path));
        let commands = texts.flat_map(|text| exec_lines(&text)).flat_map(|line| commands(&line)).collect();
        all.push(ServiceFile { path, name, commands });
    }
    all
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

fn text(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() <= MAX_UNIT_BYTES);
    metadata.and_then(|_| fs::read(path).ok()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// What a service runs, in the order in which it does (systemd.service(5)).
fn exec_lines(text: &str) -> Vec<String> {
    const IN_ORDER: [&str; 4] = ["ExecStartPre", "ExecStart", "ExecStartPost", "ExecStopPost"];
    let joined = text.replace("\\\n", " ");
    let mut lines = Vec::new();
    for wanted in IN_ORDER {
        for line in joined.lines() {
            if let Some((key, value)) = line.split_once('=')
                && key.trim() == wanted
            {
                // Prefixes say how it is run, not what.
                lines.push(value.trim().trim_start_matches(['-', '@', ':', '+', '!', '|']).to_owned());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read() {
        let shown = "LastTriggerUSec=Thu 2026-11-26 06:17:05 UTC\nNextElapseUSecRealtime=Thu 2026-11-26 12:17:05 UTC\nId=certkit.timer\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\nId=certkit-exact.timer\nLoadState=not-found\nActiveState=inactive\n\nId=certbot.timer\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nLastTriggerUSec=n/a\nNextElapseUSecRealtime=\n";
        let units = unit_states(shown);
        assert_eq!(units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["certkit.timer", "certbot.timer"]);
        assert_eq!(units[0].next.unwrap().to_rfc3339(), "2026-11-26T12:17:05+00:00");
        assert_eq!(units[0].last.unwrap().to_rfc3339(), "2026-11-26T06:17:05+00:00");
        assert!(units[0].is_active && units[0].is_enabled);
        assert_eq!(units[1], UnitState { name: "certbot.timer".into(), ..UnitState::default() });
        assert!(unit_states("nonsense\n\n=\n").is_empty());
    }

    #[test]
    fn what_a_service_runs_comes_in_its_order() {
        let unit = "[Service]\nExecStartPost=-/bin/systemctl restart nginx\nType=oneshot\nExecStart = /usr/bin/certbot \\\n  -q renew\n# ExecStart=no\n";
        assert_eq!(exec_lines(unit), ["/usr/bin/certbot    -q renew", "/bin/systemctl restart nginx"]);
    }
}
