//! A machine of its own: files and programs are real, systemctl and crontab are scripts that answer as the machine would.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use certkit_core::state::Ledger;
use certkit_core::store::{Store, StorePaths};
use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::support::{Place, Run};

const SYSTEMCTL: &str = r#"#!/bin/sh
for unit; do
    case $unit in -* | show) continue ;; esac
    echo "Id=$unit"
    if [ -e "DIR/units/$unit" ]; then cat "DIR/units/$unit"; else echo LoadState=not-found; fi
    echo
done
"#;

const CRONTAB: &str = "#!/bin/sh\ncat DIR/crontab 2>/dev/null || { echo 'no crontab' >&2; exit 1; }\n";

pub(super) const ACTIVE: &str = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";

/// A machine on which nothing is wrong.
pub(super) struct Host {
    pub(super) place: Place,
}

impl Host {
    pub(super) fn new() -> Self {
        let host = Self { place: Place::new() };
        for dir in [
            "bin",
            "units",
            "root/etc/cron.d",
            "root/etc/cron.daily",
            "root/etc/systemd/system",
            "root/run/systemd/system",
            "root/proc/self",
            "work",
            "log",
        ] {
            fs::create_dir_all(host.at(dir)).unwrap();
        }
        for (name, script) in [("systemctl", SYSTEMCTL), ("crontab", CRONTAB)] {
            host.program(name, &script.replace("DIR", host.place.folder().to_str().unwrap()));
        }
        host.unit("certkit.timer", ACTIVE);
        host.write("root/proc/self/mountinfo", "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n");
        host.write("etc/certkit/settings.toml", "email = \"owner@example.org\"\n");
        host.ran(Utc::now() - TimeDelta::hours(3));
        host
    }

    /// With the certificate a.example, which nothing is wrong with.
    pub(super) fn with_certificate() -> Self {
        let host = Self::new();
        host.place.tree.lineage("a.example").write();
        host
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.place.folder().join(path)
    }

    pub(super) fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn script(&self, path: &str, content: &str, mode: u32) -> String {
        let path = self.write(path, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(super) fn program(&self, name: &str, content: &str) {
        self.script(&format!("bin/{name}"), content, 0o755);
    }

    pub(super) fn unit(&self, name: &str, shown: &str) {
        self.write(&format!("units/{name}"), shown);
    }

    pub(super) fn store(&self) -> Store {
        let [config, work, log] = ["etc", "work", "log"].map(|dir| self.at(dir));
        Store::open(StorePaths::new(config, work, log)).unwrap()
    }

    pub(super) fn ran(&self, at: chrono::DateTime<Utc>) {
        let mut ledger = Ledger::default();
        ledger.run_began(at);
        self.store().lock().unwrap().save_ledger(&ledger).unwrap();
    }

    /// The settings of a.example.
    pub(super) fn settings(&self, content: &str) {
        self.script("etc/certkit/lineages/a.example.toml", content, 0o600);
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&["doctor", "--no-network"]);
        let path = std::env::join_paths([self.at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        command.args(arguments).env("PATH", path).env("CERTKIT_TIMER_ROOT", self.at("root"));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    pub(super) fn problems(&self) -> Problems {
        Problems::of(&self.run(&["--json"]))
    }
}

/// What was found.
pub(super) struct Problems(Vec<Value>);

impl Problems {
    #[track_caller]
    pub(super) fn of(run: &Run) -> Self {
        Self(run.json()["problems"].as_array().unwrap_or_else(|| panic!("{run:?}")).clone())
    }

    pub(super) fn codes(&self) -> BTreeSet<&str> {
        self.0.iter().map(|problem| problem["code"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub(super) fn are(self, codes: &[&str]) -> Self {
        assert_eq!(self.codes(), codes.iter().copied().collect(), "{:#?}", self.0);
        self
    }

    #[track_caller]
    pub(super) fn one(&self, code: &str) -> &Value {
        self.0.iter().find(|problem| problem["code"] == code).unwrap_or_else(|| panic!("no {code} in {:#?}", self.0))
    }

    #[track_caller]
    pub(super) fn says(&self, code: &str, severity: &str, evidence: &str, cure: &str) -> &Self {
        let one = self.one(code);
        assert_eq!(one["severity"], severity, "{one:#}");
        assert!(one["evidence"].as_str().unwrap().contains(evidence), "{one:#}");
        assert!(one["cure"].as_str().unwrap().contains(cure), "{one:#}");
        assert!(one["why"].as_str().unwrap().len() > 10);
        self
    }
}
