//! Hooks, deploy targets, and the servers behind them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use certkit_core::FindingCode as Code;

use super::fault::{Fault, Look};

const HOOKS: &str = "etc/renewal-hooks/deploy";

pub(super) const FAULTS: &[Fault] = &[
    Fault::warning(Code::HookIgnored, |sound| {
        sound.host.script(&format!("{HOOKS}/20-plain"), "#!/bin/sh\n", 0o644);
    })
    .says(&["20-plain"])
    .cure("chmod +x ")
    .seen(Look::Here),
    Fault::warning(Code::HookLeftover, |sound| {
        sound.host.script(&format!("{HOOKS}/10-good.bak"), "#!/bin/sh\n", 0o755);
    })
    .says(&["10-good.bak"])
    .cure("chmod -x ")
    .seen(Look::Here),
    Fault::error(Code::HookNotRunnable, |sound| {
        sound.write_certificate(|lineage| lineage.deploy_hook("reload-everything now"));
    })
    .says(&["reload-everything is not a program in PATH"])
    .cure("certkit reconfigure --cert-name a.example --deploy-hook COMMAND")
    .seen(Look::Here),
    Fault::error(Code::HookDirectoryRefused, |sound| {
        fs::set_permissions(sound.host.at(HOOKS), fs::Permissions::from_mode(0o777)).unwrap();
    })
    .says(&["chmod o-w"])
    .cure("chmod o-w")
    .seen(Look::Here),
    Fault::error(Code::DeployFolderUnusable, |sound| fs::remove_dir(sound.host.at("tls")).unwrap())
        .says(&["tls"])
        .cure("certkit/lineages/a.example.toml")
        .seen(Look::Here),
    Fault::error(Code::DeployOwnerUnknown, |sound| {
        let folder = sound.host.at("tls");
        sound.targets(&format!("[[deploy]]\ncombined = \"{}/x.pem\"\nowner = \"nobody-of-this-name\"\n", folder.display()));
    })
    .says(&["nobody-of-this-name"])
    .cure("certkit/lineages/a.example.toml")
    .seen(Look::Here),
    Fault::error(Code::ReloadUnitUnusable, |sound| {
        sound.host.unit("web.service", "LoadState=loaded\nActiveState=inactive\nCanReload=yes\n");
    })
    .says(&["web.service", "does not run"])
    .cure("systemctl start web.service")
    .seen(Look::Here),
    Fault::warning(Code::ServiceCannotReadKey, |sound| {
        sound.host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=daemon\n");
    })
    .says(&["web.service", "daemon"])
    .cure("owner = \"daemon\"")
    .seen(Look::Here),
    Fault::error(Code::ServerConfigurationRefused, |sound| {
        sound.host.program("nginx", "#!/bin/sh\necho 'unknown directive \"sll\"' >&2\nexit 1\n");
        sound.write_certificate(|lineage| lineage.param("installer", "nginx"));
    })
    .says(&["unknown directive"])
    .cure("nginx -t")
    .seen(Look::Here),
];
