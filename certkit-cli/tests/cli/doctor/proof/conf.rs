//! What confs and settings ask for that cannot be had.

use certkit_core::FindingCode as Code;

use super::fault::{Fault, Look};
use super::sound::LETS_ENCRYPT;

pub(super) const FAULTS: &[Fault] = &[
    Fault::warning(Code::RetiredOption, |sound| sound.write_certificate(|lineage| lineage.param("must_staple", "True")))
        .says(&["a.example", "OCSP"])
        .cure("remove the line must_staple from renewal/a.example.conf")
        .seen(Look::Here),
    Fault::warning(Code::TestAuthority, |sound| {
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        let account = sound.host.place.tree.account(staging, testkit::AccountKeyKind::EcP256);
        sound.write_certificate(|lineage| lineage.server(staging).account(&account.id));
    })
    .says(&["a.example", "staging"])
    .cure("certkit certonly --cert-name a.example --server letsencrypt")
    .seen(Look::Here),
    Fault::error(Code::TooManyNames, |sound| {
        let names: Vec<String> = (0..101).map(|number| format!("n{number}.a.example")).collect();
        let account = sound.host.place.tree.account(LETS_ENCRYPT, testkit::AccountKeyKind::EcP256);
        sound.write_certificate(|lineage| lineage.names(names).server(LETS_ENCRYPT).account(&account.id));
    })
    .says(&["a.example", "101 names"])
    .cure("certkit certonly --cert-name OTHER -d …")
    .seen(Look::Here),
    Fault::notice(Code::RenewBeforeExpiryInDays, |sound| {
        sound.write_certificate(|lineage| lineage.top("renew_before_expiry", "30 days"));
    })
    .says(&["a.example", "renewed after 15"])
    .cure("remove the line from renewal/a.example.conf")
    .seen(Look::Here),
    Fault::warning(Code::RenewBeforeExpiryTooLong, |sound| {
        sound.write_certificate(|lineage| lineage.top("renew_before_expiry", "90 days"));
    })
    .says(&["a.example"])
    .cure("renew_before_expiry = 10 days")
    .seen(Look::Here),
    Fault::warning(Code::RenewBeforeExpiryUnreadable, |sound| {
        sound.write_certificate(|lineage| lineage.top("renew_before_expiry", "soon"));
    })
    .says(&["a.example", "soon"])
    .cure("renew_before_expiry = 10 days")
    .seen(Look::Here),
    Fault::warning(Code::AuthenticatorUnsupported, |sound| {
        sound.write_certificate(|lineage| lineage.param("authenticator", "dns-cloudflare"));
    })
    .says(&["a.example", "dns-cloudflare"])
    .cure("certkit reconfigure --cert-name a.example --webroot -w DIR")
    .seen(Look::Here),
    Fault::notice(Code::SettingWithoutEffect, |sound| {
        sound.host.write("etc/certkit/lineages/gone.example.toml", "");
    })
    .says(&["gone.example.toml"])
    .cure("give the file the name of a certificate, or remove it")
    .seen(Look::Here),
    Fault::error(Code::SettingsUnusable, |sound| {
        sound.host.write("etc/certkit/settings.toml", "paralel_orders = 3\n");
    })
    .says(&["settings.toml", "line 1"])
    .cure("parallel_orders")
    .seen(Look::Here),
];
