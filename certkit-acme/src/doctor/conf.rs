//! What confs ask for that was withdrawn or does not fit.

use certkit_core::store::{ConfValue, RenewalConf};
use certkit_core::{AcmeUrl, Finding, FindingCode, IdentifierSet, Severity};

use super::{Check, Examined};
use crate::authorities::{self, profile_effects};

/// A CA that is gone: the host of its directory, and since when.
const GONE: [(&str, &str); 2] = [
    // buypass.com/products/tls-ssl-certificates, 2025-10.
    ("api.buypass.com", "Buypass ended its ACME service on 2025-10-15"),
    ("api.test4.buypass.no", "Buypass ended its ACME service on 2025-10-15"),
];

/// Settings that named a challenge which is gone (letsencrypt.org/docs/challenge-types: TLS-SNI-01 ended 2019-03).
const TLS_SNI: [&str; 3] = ["tls_sni_01_port", "tls_sni_01_address", "standalone_supported_challenges"];

/// Whether a conf asks its CA for something that was withdrawn.
pub fn check_conf(name: &str, conf: &RenewalConf) -> Examined {
    let params = conf.params();
    let mut findings = Vec::new();
    let mut retired = |severity: Severity, evidence: String, cure: &str| {
        findings.push(Finding::new(FindingCode::RetiredOption, name, evidence).with_severity(severity).with_cure(cure));
    };
    if params.must_staple {
        retired(
            Severity::Warning,
            "must_staple: no public CA issues such certificates since OCSP ended in 2025; certkit does not ask for it"
                .to_owned(),
            "remove the line must_staple from renewal/NAME.conf",
        );
    }
    for key in TLS_SNI {
        let value = match conf.param(key) {
            Some(ConfValue::Text(text)) => text.clone(),
            Some(ConfValue::List(items)) => items.join(","),
            None => continue,
        };
        if key != "standalone_supported_challenges" || value.contains("tls-sni") {
            retired(
                Severity::Notice,
                format!("{key}: the challenge TLS-SNI-01 ended in 2019"),
                &format!("remove the line {key} from renewal/NAME.conf"),
            );
        }
    }
    let profiles = [(&params.required_profile, Severity::Error), (&params.preferred_profile, Severity::Warning)];
    for (profile, severity) in profiles {
        if profile.as_deref() == Some("tlsclient") {
            retired(
                severity,
                "profile tlsclient: Let's Encrypt withdrew it on 2026-07-08, and with it certificates for clients"
                    .to_owned(),
                "certkit reconfigure --cert-name NAME --preferred-profile classic; clients that log in with this certificate need a private CA",
            );
        }
    }
    if let Some(server) = params.server.as_deref() {
        for (_, since) in GONE.iter().filter(|(host, _)| server.contains(host)) {
            retired(
                Severity::Error,
                format!("{server}: {since}"),
                "certkit certonly --cert-name NAME --server letsencrypt --force-renewal",
            );
        }
        if params.effective_server() != Some(server) {
            retired(
                Severity::Notice,
                format!("{server}: this directory was switched off in 2021, and its successor is asked"),
                "nothing to do; the next renewal is from its successor",
            );
        }
        if authorities::is_test_authority(server) {
            findings.push(Finding::new(FindingCode::TestAuthority, name, server));
        }
    }
    Examined::found(Check::Conf, name, findings)
}

/// Whether a CA puts so many names into one certificate of the profile that is wished.
pub fn check_number_of_names(
    name: &str,
    identifiers: &IdentifierSet,
    directory: Option<&AcmeUrl>,
    profile: Option<&str>,
) -> Examined {
    /// Every public CA has this limit or a lower one.
    const MOST_NAMES: usize = 100;
    let known = directory.and_then(|directory| profile_effects(directory, profile.unwrap_or("classic")));
    let most = known.map_or(MOST_NAMES, |effects| effects.most_names);
    let count = identifiers.len();
    let findings = (count > most).then(|| {
        let evidence = match known {
            Some(effects) => format!("{count} names; with the profile {} it is at most {most}", effects.name),
            None => format!("{count} names; with most CAs it is at most {most}"),
        };
        let finding = Finding::new(FindingCode::TooManyNames, name, evidence);
        if known.is_some() { finding } else { finding.with_severity(Severity::Notice) }
    });
    Examined::found(Check::Names, name, findings.into_iter().collect())
}
