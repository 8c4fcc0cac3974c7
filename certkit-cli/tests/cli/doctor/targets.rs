//! Hooks, deploy targets and the servers behind them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::host::Host;

#[test]
fn hooks_that_cannot_run_are_told_and_good_ones_are_not() {
    let host = Host::with_certificate();
    let hooks = "etc/renewal-hooks/deploy";
    host.script(&format!("{hooks}/10-good"), "#!/bin/sh\n", 0o755);
    host.script(&format!("{hooks}/README"), "for people\n", 0o644);
    host.script(&format!("{hooks}/10-good~"), "#!/bin/sh\n", 0o644);
    host.problems().are(&[]);
    host.script(&format!("{hooks}/20-plain"), "#!/bin/sh\n", 0o644);
    host.problems().are(&["hook-ignored"]).says("hook-ignored", "warning", "", "chmod +x ");
    fs::remove_file(host.at(&format!("{hooks}/20-plain"))).unwrap();
    host.script(&format!("{hooks}/10-good.bak"), "#!/bin/sh\n", 0o755);
    host.problems().are(&["hook-leftover"]).says("hook-leftover", "warning", "", "chmod -x ");
    fs::remove_file(host.at(&format!("{hooks}/10-good.bak"))).unwrap();
    host.script(&format!("{hooks}/30-windows"), "#!/bin/sh\r\necho\r\n", 0o755);
    host.problems().are(&["hook-not-runnable"]).says("hook-not-runnable", "error", "Windows", "first line");
    fs::remove_file(host.at(&format!("{hooks}/30-windows"))).unwrap();
    fs::set_permissions(host.at(hooks), fs::Permissions::from_mode(0o777)).unwrap();
    host.problems().are(&["hook-directory-refused"]).says("hook-directory-refused", "error", "chmod o-w", "");
}

#[test]
fn deploy_targets_are_tried_without_writing_anything() {
    let host = Host::with_certificate();
    let folder = host.at("tls");
    let copy = |more: &str| format!("[[deploy]]\ncopy = \"{}\"\n{more}", folder.display());
    host.settings(&copy(""));
    host.problems().are(&["deploy-folder-unusable"]).says("deploy-folder-unusable", "error", "tls", "");
    fs::create_dir(&folder).unwrap();
    host.problems().are(&[]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    host.settings(&copy("owner = \"nobody-of-this-name\"\n"));
    host.problems().are(&["deploy-owner-unknown"]).says("deploy-owner-unknown", "error", "nobody-of-this-name", "");
    host.settings("[[deploy]]\ncommand = \"/nowhere/reload\"\n");
    host.problems().are(&["hook-not-runnable"]);
}

#[test]
fn units_that_cannot_be_reloaded_are_told_and_servers_are_asked() {
    let host = Host::with_certificate();
    host.settings("[[deploy]]\nreload = \"web.service\"\n");
    host.problems().are(&["reload-unit-unusable"]).says("reload-unit-unusable", "error", "no unit", "list-units");
    host.unit("web.service", "LoadState=loaded\nActiveState=inactive\nCanReload=yes\n");
    host.problems().are(&["reload-unit-unusable"]).says(
        "reload-unit-unusable",
        "error",
        "does not run",
        "systemctl start web.service",
    );
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=no\n");
    host.problems().are(&["reload-unit-unusable"]).says("reload-unit-unusable", "error", "no reload", "command = ");
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=\n");
    host.problems().are(&[]);
    // It runs as somebody who may not read the key.
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=daemon\n");
    host.problems().are(&["service-cannot-read-key"]).says(
        "service-cannot-read-key",
        "warning",
        "daemon",
        "owner = \"daemon\"",
    );
}

#[test]
fn a_server_that_refuses_its_configuration_is_told() {
    let host = Host::new();
    host.place.tree.lineage("a.example").param("installer", "nginx").write();
    host.program("nginx", "#!/bin/sh\n[ \"$1\" = -t ] || touch DIR/reloaded\nexit 0\n");
    host.problems().are(&[]);
    host.program("nginx", "#!/bin/sh\necho 'unknown directive \"sll\"' >&2\nexit 1\n");
    host.problems().are(&["server-configuration-refused"]).says(
        "server-configuration-refused",
        "error",
        "unknown directive",
        "",
    );
}
