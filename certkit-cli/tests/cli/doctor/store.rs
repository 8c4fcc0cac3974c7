//! Where the store lies, who may write to it, who is at work, and what is left in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use certkit_core::LineageName;
use certkit_core::state::LineageState;
use chrono::Utc;
use testkit::CertbotLock;
use testkit::process::{MOUNT_REFUSED, assert_mounts_permitted};

use super::host::{Host, Problems};
use crate::support::{Run, as_nobody};

/// Runs the doctor with mounts of its own.
fn with_mounts(host: &Host, mounts: &str) -> Problems {
    let inner = host.command(&["--json"]);
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &format!("{mounts} || exit {MOUNT_REFUSED}; exec \"$@\""), "sh"])
        .arg(inner.get_program());
    command.args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let run = Run::of(command.output().expect("unshare is missing: install util-linux"));
    assert_mounts_permitted(run.status, run.stderr.as_bytes());
    Problems::of(&run)
}

#[test]
fn a_file_system_that_is_full_read_only_or_in_memory_is_told() {
    let host = Host::new();
    fs::remove_dir_all(host.at("root/proc")).unwrap();
    symlink("/proc", host.at("root/proc")).unwrap();
    let etc = host.at("etc").to_str().unwrap().to_owned();
    let settings = format!("mkdir -p {etc}/certkit && echo 'email = \"a@example.org\"' > {etc}/certkit/settings.toml");
    let small = format!("mount -t tmpfs -o size=1m,nr_inodes=60 tmpfs {etc} && {settings}");
    let problems = with_mounts(&host, &small);
    for code in ["disk-nearly-full", "inodes-nearly-used", "store-not-kept"] {
        problems.says(code, "error", "", "");
    }
    let read_only = format!("mount --bind {etc} {etc} && mount -o remount,bind,ro {etc}");
    let problems = with_mounts(&host, &read_only);
    problems.says("store-read-only", "error", &etc, "remount,rw");
    assert!(!problems.codes().contains("store-not-writable"));
}

#[test]
fn network_file_systems_are_told_by_the_mounts() {
    let host = Host::new();
    let etc = host.at("etc");
    let line = format!("22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:50 / {} rw - nfs4 server:/x rw\n", etc.display());
    host.write("root/proc/self/mountinfo", &line);
    host.problems().are(&["store-on-network"]).says("store-on-network", "notice", "nfs4", "one machine");
}

#[test]
fn who_may_not_write_is_told_so() {
    let host = Host::new();
    for (path, mode) in [
        ("", 0o755),
        ("etc", 0o755),
        ("log", 0o777),
        ("work", 0o777),
        ("etc/certkit", 0o755),
        ("etc/certkit/state", 0o755),
    ] {
        fs::set_permissions(host.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = as_nobody(host.place.folder(), &host.command(&["--json"]));
    Problems::of(&run).says("store-not-writable", "error", "nobody", "as root");
}

#[test]
fn whoever_holds_the_lock_is_named() {
    let host = Host::new();
    let path = host.at("etc/.certbot.lock");
    let holder = CertbotLock::take(&path).unwrap();
    let process = format!("process {}, python", holder.pid());
    host.problems().are(&["lock-held"]).says("lock-held", "notice", &process, "wait");
    let seven_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7 * 3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(seven_hours_ago).unwrap();
    host.problems().are(&["lock-held"]).says("lock-held", "warning", &process, "kill");
    drop(holder);
    // The file of a lock that nobody holds is nothing.
    host.problems().are(&[]);
}

#[test]
fn settings_and_lineages_that_cannot_be_used_are_told_and_the_rest_is_looked_at() {
    let host = Host::with_certificate();
    host.write("etc/certkit/settings.toml", "paralel_orders = 3\n");
    host.place.tree.lineage("b.example").deploy_hook("/nowhere/x").write();
    host.problems().are(&["settings-unusable", "hook-not-runnable"]).says(
        "settings-unusable",
        "error",
        "line 1",
        "parallel_orders",
    );
    let host = Host::with_certificate();
    host.write("etc/certkit/lineages/gone.example.toml", "");
    host.write("etc/renewal/b.example.conf", "version = 5.0\n");
    let problems = host.problems().are(&["broken-lineage", "setting-without-effect"]);
    assert_eq!(problems.one("broken-lineage")["certificates"], serde_json::json!(["b.example"]));
}

#[test]
fn what_is_still_to_be_deployed_is_told() {
    let host = Host::with_certificate();
    let pending = serde_json::json!({
        "deploy_pending": [{ "target": { "kind": "hook", "value": "x" }, "version": 1, "failures": 2 }],
    });
    let mut state: LineageState = serde_json::from_value(serde_json::json!({})).unwrap();
    let known = serde_json::to_value(certkit_core::state::DeployTarget::Hook("systemctl reload web".into())).unwrap();
    let mut value = pending;
    value["deploy_pending"][0]["target"] = known;
    state.clone_from(&serde_json::from_value(value).unwrap());
    host.store().lock().unwrap().save_state(&LineageName::new("a.example").unwrap(), &state).unwrap();
    host.problems().are(&["deploy-pending"]).says("deploy-pending", "warning", "it failed 2 times", "certkit deploy");
}

#[test]
fn an_endpoint_that_serves_something_else_is_told() {
    let host = Host::with_certificate();
    let served = |leaf: &str| {
        let endpoint = certkit_core::Endpoint::new("a.example", 443);
        let state: LineageState = serde_json::from_value(serde_json::json!({
            "served": [{
                "endpoint": endpoint,
                "checked_at": Utc::now(),
                "answers": [{ "address": "192.0.2.7:443", "leaf": { "kind": leaf } }],
            }],
        }))
        .unwrap();
        host.store().lock().unwrap().save_state(&LineageName::new("a.example").unwrap(), &state).unwrap();
    };
    served("same");
    host.problems().are(&[]);
    served("foreign");
    host.problems().are(&["not-served"]).says("not-served", "error", "192.0.2.7", "");
}
