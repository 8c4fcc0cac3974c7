//! Accounts, as they are stored and as the CA knows them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use certkit_core::{AcmeUrl, FindingCode as Code};
use testkit::{AccountKeyKind, Answer, RequestKind};

use super::fault::{Fault, Look};
use super::sound::Sound;

/// The account is neither stored nor named.
fn forget(sound: &Sound<'_>) {
    fs::remove_dir_all(sound.in_store("accounts")).unwrap();
    for conf in ["a.example", "w.a.example"] {
        let path = sound.in_store(&format!("renewal/{conf}.conf"));
        let text = fs::read_to_string(&path).unwrap();
        let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("account =")).collect();
        fs::write(path, kept.join("\n") + "\n").unwrap();
    }
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::AccountMissing, |sound| forget(sound))
        .says(&["https://127.0.0.1:"])
        .cure("certkit register --server https://127.0.0.1:"),
    Fault::error(Code::ExternalAccountNeeded, |sound| {
        forget(sound);
        sound.proxy.say_external_account_required();
    })
    .says(&["https://127.0.0.1:"])
    .cure("--eab-kid KID --eab-hmac-key KEY"),
    Fault::warning(Code::AccountLost, |sound| {
        sound.proxy.on(RequestKind::NewAccount).answer(Answer::account_does_not_exist());
    })
    .says(&["https://127.0.0.1:"])
    .cure("certkit register"),
    Fault::error(Code::AccountDeactivated, |sound| sound.deactivate_account())
        .says(&["https://127.0.0.1:"])
        .cure("certkit register --server https://127.0.0.1:"),
    Fault::error(Code::TermsNotAgreed, |sound| {
        let answer = Answer::user_action_required("https://ca.example/terms");
        sound.proxy.on(RequestKind::Account).answer(answer);
    })
    .says(&["https://127.0.0.1:"])
    .cure("read https://ca.example/terms and agree there"),
    Fault::error(Code::AccountNotStored, |sound| {
        sound.write_certificate(|lineage| lineage.account("0123456789abcdef0123456789abcdef"));
    })
    .says(&["0123456789abcdef0123456789abcdef"])
    .cure("certkit register"),
    Fault::error(Code::AccountUnclear, |sound| {
        sound.host.place.tree.account(&sound.proxy.directory_url(), AccountKeyKind::EcP256);
        let path = sound.in_store("renewal/a.example.conf");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("account =", "unknown_key =")).unwrap();
    })
    .says(&["there are several accounts"])
    .cure("certkit renew --cert-name a.example --force-renewal --account ID"),
    // A second account, which no conf names: certbot stops at it all the same.
    Fault::warning(Code::AccountUnusable, |sound| {
        let other = sound.host.place.tree.account(&sound.proxy.directory_url(), AccountKeyKind::EcP256);
        let path = sound.account.path.with_file_name(other.id).join("private_key.json");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "{").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    })
    .says(&["accounts/127.0.0.1:", "private_key.json"])
    .cure("restore the file from a backup"),
    Fault::error(Code::AccountKeyReadable, |sound| {
        let path = sound.account.path.join("private_key.json");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    })
    .says(&["private_key.json", "mode 0644"])
    .cure("chmod o-rwx /")
    .seen(Look::Here),
    Fault::warning(Code::AccountKeyPending, |sound| {
        let locked = sound.host.store().lock().unwrap();
        let elsewhere = testkit::Tree::new(sound.host.at("elsewhere"), chrono::Utc::now());
        let directory = AcmeUrl::parse(&sound.proxy.directory_url()).unwrap();
        let new = elsewhere.account(directory.as_str(), AccountKeyKind::EcP256);
        let jwk = fs::read_to_string(new.path.join("private_key.json")).unwrap();
        let spki = sound.certificate().spki_der().to_vec();
        locked.begin_rollover(&directory, &sound.account, &spki, &jwk, chrono::Utc::now()).unwrap();
    })
    .says(&["https://127.0.0.1:"])
    .cure("certkit renew"),
    Fault::error(Code::AccountKeyJournalUnusable, |sound| {
        sound.host.write("etc/certkit/rollover/0123456789abcdef0123456789abcdef.json", "{\"schema\": 1}");
    })
    .says(&["certkit/rollover/0123456789abcdef0123456789abcdef.json"])
    .cure("keep the file"),
];
