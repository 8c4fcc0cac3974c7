//! What is wrong with what is stored: keys, chains, versions.

use std::fs;
use std::process::{Command, Stdio};

use certkit_core::FindingCode as Code;

use super::fault::{Fault, Look};
use super::sound::Sound;

fn replace_chain(sound: &Sound<'_>, chain: &str) {
    let archive = sound.in_store("archive/a.example");
    let cert = fs::read_to_string(archive.join("cert1.pem")).unwrap();
    fs::write(archive.join("chain1.pem"), chain).unwrap();
    fs::write(archive.join("fullchain1.pem"), format!("{cert}{chain}")).unwrap();
}

/// A certificate of its own that no CA would issue any more.
fn self_signed(sound: &Sound<'_>, key: &str, digest: &str) {
    let archive = sound.in_store("archive/a.example");
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", key, digest, "-nodes", "-days", "60", "-subj", "/CN=a.example"])
        .args(["-addext", "subjectAltName=DNS:a.example,DNS:www.a.example"])
        .args(["-keyout", "privkey1.pem", "-out", "cert1.pem"])
        .current_dir(&archive)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("openssl is missing: install the package openssl").success());
    let cert = fs::read_to_string(archive.join("cert1.pem")).unwrap();
    replace_chain(sound, &cert);
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::WeakKey, |sound| self_signed(sound, "rsa:1024", "-sha256"))
        .says(&["a.example", "1024 bits"])
        .cure("certkit reconfigure --cert-name a.example --key-type ecdsa")
        .also(&[Code::LiveVersionDamaged])
        .seen(Look::Here),
    Fault::error(Code::WeakSignature, |sound| self_signed(sound, "rsa:2048", "-sha1"))
        .says(&["a.example", "SHA-1"])
        .cure("certkit renew --cert-name a.example --force-renewal")
        .seen(Look::Here),
    Fault::notice(Code::SignatureNotVerified, |sound| self_signed(sound, "rsa:2048", "-sha224"))
        .says(&["a.example", "1.2.840.113549.1.1.14"])
        .cure("openssl verify -partial_chain -trusted chain.pem cert.pem")
        .seen(Look::Here),
    Fault::error(Code::PemRefused, |sound| {
        // What some editors and tools make of line ends.
        let path = sound.in_store("archive/a.example/privkey1.pem");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace('\n', "\r")).unwrap();
    })
    .says(&["a.example", "privkey.pem", "line 1"])
    .cure("certkit fsck --repair --cert-name a.example")
    .seen(Look::Here),
    Fault::notice(Code::KeyReusedLong, |sound| {
        sound.write_certificate(|lineage| lineage.lifetime_days(700).days_left(250));
    })
    .says(&["a.example", "450 days"])
    .cure("certkit renew --cert-name a.example --force-renewal --new-key")
    .seen(Look::Here),
    Fault::error(Code::ChainIncomplete, |sound| {
        let root = sound.host.place.tree.pki().root_pem();
        replace_chain(sound, &root);
    })
    .says(&["Testkit Intermediate E1"])
    .cure("certkit renew --cert-name a.example --force-renewal")
    .also(&[Code::LiveVersionDamaged])
    .seen(Look::Here),
    Fault::warning(Code::IssuerEndsEarly, |sound| {
        // The intermediate of these tests ends in ten years.
        sound.write_certificate(|lineage| {
            lineage.lifetime_days(5000).days_left(4900).top("renew_before_expiry", "2000 days")
        });
    })
    .says(&["Testkit Intermediate E1"])
    .cure("certkit renew --cert-name a.example --force-renewal")
    .also(&[Code::RenewBeforeExpiryInDays])
    .seen(Look::Here),
    Fault::error(Code::LiveVersionDamaged, |sound| {
        let archive = sound.in_store("archive");
        fs::copy(archive.join("w.a.example/privkey1.pem"), archive.join("a.example/privkey1.pem")).unwrap();
    })
    .says(&["a.example", "privkey1.pem"])
    .cure("restore the file from a backup")
    .seen(Look::Here),
];
