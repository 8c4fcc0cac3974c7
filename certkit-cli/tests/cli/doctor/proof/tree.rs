//! What is wrong with the tree.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use certkit_core::FindingCode as Code;

use super::fault::{Fault, Look};
use super::sound::Sound;

fn point(sound: &Sound<'_>, kind: &str, target: &str) {
    let link = sound.in_store(&format!("live/a.example/{kind}.pem"));
    fs::remove_file(&link).unwrap();
    symlink(target, link).unwrap();
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::BrokenLineage, |sound| {
        sound.host.write("etc/renewal/b.example.conf", "version = 5.0\n");
    })
    .says(&["b.example"])
    .cure("certkit delete --cert-name b.example")
    .seen(Look::Here),
    Fault::warning(Code::LiveWithoutConf, |sound| fs::create_dir(sound.in_store("live/old.example")).unwrap())
        .says(&["live/old.example", "it is empty"])
        .cure("certkit certonly -d ")
        .seen(Look::Here),
    Fault::warning(Code::ArchiveWithoutConf, |sound| fs::create_dir(sound.in_store("archive/old.example")).unwrap())
        .says(&["archive/old.example", "it is empty"])
        .cure("certkit certonly -d ")
        .seen(Look::Here),
    Fault::warning(Code::InterruptedDeletion, |sound| {
        for folder in ["live/old.example", "archive/old.example", "certkit/deleting"] {
            fs::create_dir_all(sound.in_store(folder)).unwrap();
        }
        sound.host.write("etc/certkit/deleting/old.example", "");
    })
    .says(&["old.example", "not all of it is gone"])
    .cure("certkit fsck --repair")
    .seen(Look::Here),
    Fault::warning(Code::LeftOver, |sound| {
        fs::create_dir_all(sound.in_store("certkit/deleting")).unwrap();
        sound.host.write("etc/certkit/deleting/a.example", "");
    })
    .says(&["a.example", "although there is a renewal configuration"])
    .cure("certkit fsck --repair")
    .seen(Look::Here),
    Fault::warning(Code::ForeignLink, |sound| {
        let elsewhere = sound.in_store("archive/a.example/mine.pem");
        fs::copy(sound.in_store("archive/a.example/chain1.pem"), &elsewhere).unwrap();
        point(sound, "chain", elsewhere.to_str().unwrap());
    })
    .says(&["a.example", "mine.pem"])
    .cure("archive/a.example/KINDn.pem")
    .seen(Look::Here),
    Fault::warning(Code::ArchiveDirDiffers, |sound| {
        let (path, elsewhere) = (sound.in_store("renewal/a.example.conf"), sound.in_store("archive/elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.starts_with("archive_dir") {
            true => format!("archive_dir = {}\n", elsewhere.display()),
            false => format!("{line}\n"),
        });
        fs::write(&path, lines.collect::<String>()).unwrap();
    })
    .says(&["a.example", "archive/elsewhere"])
    .cure("certkit fsck --repair")
    .seen(Look::Here),
    Fault::warning(Code::AnotherTree, |sound| {
        // A copy of a tree, whose renewal configuration names the original.
        let (path, other) = (sound.in_store("renewal/a.example.conf"), sound.in_store("../other"));
        fs::create_dir_all(other.join("renewal")).unwrap();
        fs::create_dir_all(other.join("live/a.example")).unwrap();
        let (live, archive) = (sound.in_store("live/a.example"), sound.in_store("archive/a.example"));
        for kind in ["cert", "chain", "fullchain", "privkey"] {
            let target = archive.join(fs::read_link(live.join(format!("{kind}.pem"))).unwrap().file_name().unwrap());
            symlink(target, other.join(format!("live/a.example/{kind}.pem"))).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let other_live = other.join("live/a.example");
        let text = text.replace(live.to_str().unwrap(), other_live.to_str().unwrap());
        fs::write(other.join("renewal/a.example.conf"), &text).unwrap();
        fs::write(&path, text).unwrap();
    })
    .says(&["a.example", "/other"])
    .cure("let the paths in renewal/a.example.conf name it")
    .seen(Look::Here),
    Fault::warning(Code::OwnedByAnother, |sound| chown(sound.in_store("renewal/a.example.conf"), Some(65534), None).unwrap())
        .says(&["renewal/a.example.conf", "user 65534"])
        .cure("chown root /")
        .seen(Look::Here),
    Fault::error(Code::WritableByOthers, |sound| {
        fs::set_permissions(sound.in_store("renewal"), fs::Permissions::from_mode(0o777)).unwrap();
    })
    .says(&["renewal", "mode 0777"])
    .cure("chmod o-w /")
    .seen(Look::Here),
    Fault::warning(Code::InterruptedSwitch, |sound| {
        symlink("cert.pem", sound.in_store("live/a.example/previous_cert.pem")).unwrap();
    })
    .says(&["a.example", "previous_cert.pem"])
    .cure("certkit renew")
    .seen(Look::Here),
    Fault::error(Code::MixedVersions, |sound| {
        sound.write_certificate(|lineage| lineage.versions(2));
        point(sound, "chain", "../../archive/a.example/chain1.pem");
    })
    .says(&["a.example", "cert2.pem", "chain1.pem"])
    .cure("certkit renew")
    .seen(Look::Here),
    Fault::warning(Code::NewerVersionNotLive, |sound| {
        sound.write_certificate(|lineage| lineage.versions(2));
        for kind in ["cert", "chain", "fullchain", "privkey"] {
            point(sound, kind, &format!("../../archive/a.example/{kind}1.pem"));
        }
    })
    .says(&["a.example", "version 2"])
    .cure("certkit renew")
    .seen(Look::Here),
    Fault::warning(Code::SetAside, |sound| fs::create_dir_all(sound.in_store("certkit/aside/a.example/2026-11-20")).unwrap())
        .says(&["a.example", "certkit/aside/a.example/2026-11-20"])
        .cure("remove the directory")
        .seen(Look::Here),
    Fault::notice(Code::LeftAtCommit, |sound| {
        sound.host.write("etc/certkit/saved/switched.a.example/dhparam.pem", "of whoever has the folder mounted");
    })
    .says(&["a.example", "certkit/saved/switched.a.example/dhparam.pem"])
    .cure("remove what it names when nobody needs it")
    .seen(Look::Here),
    Fault::warning(Code::StateDamaged, |sound| {
        sound.host.write("etc/certkit/state/a.example.json", "{");
    })
    .says(&["a.example.json"])
    .cure("written anew at the next run")
    .seen(Look::Here),
];
