//! Known certificate authorities, as dated data.
//!
//! Names are only a convenience for `--server`: any ACME directory's URL works, listed here or not. What a CA offers
//! (profiles, renewal information) is read from its directory, never from here.

use certkit_core::{AcmeUrl, AcmeUrlError, escape};

mod lifetimes;
pub use lifetimes::{AnnouncedLifetime, CEILINGS, Ceiling, announced_lifetimes, expected_lifetime};

mod profiles;
pub use profiles::{ProfileEffects, ProfileLifetime, profile_effects};

/// A certificate authority that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownAuthority {
    /// What `--server` accepts.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Its directory.
    pub directory: &'static str,
    /// Whether an account needs credentials from the CA (`--eab-kid`, `--eab-hmac-key`).
    pub external_account: bool,
    /// Whether its certificates are for tests only and trusted by nobody.
    pub is_test: bool,
    /// What an owner should know before the first account or order there, each a sentence without a full stop.
    pub notes: &'static [AuthorityNote],
    /// Where this was read.
    pub source: &'static str,
    /// When (year, month).
    pub checked: &'static str,
}

/// Something about a CA that costs money or time when it is found out late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityNote {
    /// The sentence.
    pub text: &'static str,
    /// Where this was read.
    pub source: &'static str,
    /// The day of what was read (year, month, day).
    pub checked: &'static str,
}

/// The comparison that Posh-ACME keeps.
const COMPARISON: &str = "https://github.com/rmbolger/Posh-ACME/blob/main/docs/Guides/ACME-CA-Comparison.md";
const COMPARED: &str = "2026-04-15";

const fn compared(text: &'static str) -> AuthorityNote {
    AuthorityNote { text, source: COMPARISON, checked: COMPARED }
}

const NO_KEY_CHANGE: AuthorityNote =
    compared("the key of an account cannot be changed: an account whose key leaked has to be replaced by another one");

const ZEROSSL_NOTES: &[AuthorityNote] = &[
    NO_KEY_CHANGE,
    compared(
        "it does not say when to renew (no ARI), so a revocation by the CA is not noticed before the certificate is due",
    ),
];

const GOOGLE_NOTES: &[AuthorityNote] = &[
    compared("each pair of --eab-kid and --eab-hmac-key registers one account and works for 7 days after it was made"),
    compared(
        "an account that is lost can only be registered again with a new pair, so keep a copy of the accounts directory",
    ),
];

const ACTALIS_NOTES: &[AuthorityNote] =
    &[compared("free certificates live for 90 days and are for one name, with and without www, and no wildcards")];

const SSLCOM_NOTES: &[AuthorityNote] = &[
    compared(
        "if the account has funds, a one-year certificate is issued and charged; without funds a free one of 90 days",
    ),
    compared("free certificates are for one name, with and without www, and no wildcards"),
    compared("the account needs a mail address (--email): without one an order fails at its end with badCSR"),
    NO_KEY_CHANGE,
];

/// Let's Encrypt's production directory: certbot's default server.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Let's Encrypt's staging directory: where certbot's dry runs go.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The authorities, in the order in which messages list them.
pub const KNOWN: &[KnownAuthority] = &[
    KnownAuthority {
        name: "letsencrypt",
        title: "Let's Encrypt",
        directory: LETS_ENCRYPT,
        external_account: false,
        is_test: false,
        notes: &[],
        source: "https://letsencrypt.org/docs/acme-protocol-updates/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "letsencrypt-staging",
        title: "Let's Encrypt (staging)",
        directory: LETS_ENCRYPT_STAGING,
        external_account: false,
        is_test: true,
        notes: &[],
        source: "https://letsencrypt.org/docs/staging-environment/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "zerossl",
        title: "ZeroSSL",
        directory: "https://acme.zerossl.com/v2/DV90",
        external_account: true,
        is_test: false,
        notes: ZEROSSL_NOTES,
        source: "https://zerossl.com/documentation/acme/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "google",
        title: "Google Trust Services",
        directory: "https://dv.acme-v02.api.pki.goog/directory",
        external_account: true,
        is_test: false,
        notes: GOOGLE_NOTES,
        source: "https://cloud.google.com/certificate-manager/docs/public-ca-tutorial",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "google-staging",
        title: "Google Trust Services (staging)",
        directory: "https://dv.acme-v02.test-api.pki.goog/directory",
        external_account: true,
        is_test: true,
        notes: GOOGLE_NOTES,
        source: "https://cloud.google.com/certificate-manager/docs/public-ca-tutorial",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "actalis",
        title: "Actalis",
        directory: "https://acme-api.actalis.com/acme/directory",
        external_account: true,
        is_test: false,
        notes: ACTALIS_NOTES,
        source: "https://guide.actalis.com/ssl/activation/acme",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "sslcom-rsa",
        title: "SSL.com (RSA)",
        directory: "https://acme.ssl.com/sslcom-dv-rsa",
        external_account: true,
        is_test: false,
        notes: SSLCOM_NOTES,
        source: "https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "sslcom-ecc",
        title: "SSL.com (ECDSA)",
        directory: "https://acme.ssl.com/sslcom-dv-ecc",
        external_account: true,
        is_test: false,
        notes: SSLCOM_NOTES,
        source: "https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/",
        checked: "2026-11",
    },
];

/// What `--server` means: a name of [`KNOWN`] in any case, or the URL of a directory. Let's Encrypt's first API, which
/// old confs name, is what certbot reads as its second.
pub fn resolve(text: &str) -> Result<AcmeUrl, AuthorityError> {
    let text = text.trim();
    if let Some(known) = KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(text)) {
        return Ok(AcmeUrl::parse(known.directory)?);
    }
    if !text.contains("://") {
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        return Err(AuthorityError::Unknown {
            text: escape(text).chars().take(200).collect(),
            names: names.join(", "),
        });
    }
    Ok(match AcmeUrl::parse(text)? {
        url if url.as_str() == "https://acme-v01.api.letsencrypt.org/directory" => AcmeUrl::parse(LETS_ENCRYPT)?,
        url => url,
    })
}

/// The known authority of a directory.
pub fn known(directory: &AcmeUrl) -> Option<&'static KnownAuthority> {
    KNOWN.iter().find(|known| known.directory == directory.as_str())
}

/// Where a dry run goes instead: Let's Encrypt's staging directory for Let's Encrypt. For any other CA a dry run uses
/// the lineage's own server, as certbot's does.
pub fn staging_of(directory: &AcmeUrl) -> Option<AcmeUrl> {
    if directory.as_str() != LETS_ENCRYPT {
        return None;
    }
    AcmeUrl::parse(LETS_ENCRYPT_STAGING).ok()
}

/// Whether certbot calls certificates from this server `TEST_CERT`: it is Let's Encrypt's staging directory, or its URL
/// contains `staging`.
pub fn is_test_authority(directory: &str) -> bool {
    directory == LETS_ENCRYPT_STAGING || directory.contains("staging")
}

/// Whether clients of the public web trust what comes from this directory: it is one of the known CAs, and not for tests.
pub fn is_public_authority(directory: &str) -> bool {
    KNOWN.iter().any(|known| known.directory == directory && !known.is_test)
}

/// A text is neither the name of a known authority nor a URL that may be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// No such name.
    #[error("`{text}` is neither the URL of an ACME directory nor one of the known names: {names}")]
    Unknown {
        /// What was given, escaped and cut.
        text: String,
        /// The names.
        names: String,
    },
    /// A URL that may not be called.
    #[error(transparent)]
    Url(#[from] AcmeUrlError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_directory_may_be_called_and_every_name_is_its_own() {
        for known in KNOWN {
            assert_eq!(resolve(known.name).unwrap().as_str(), known.directory);
            assert_eq!(super::known(&resolve(known.directory).unwrap()), Some(known));
            assert_eq!(KNOWN.iter().filter(|other| other.name == known.name).count(), 1);
        }
    }

    #[test]
    fn what_costs_an_owner_is_said_with_its_source_and_day() {
        let notes = |name: &str| KNOWN.iter().find(|known| known.name == name).unwrap().notes;
        let says = |name: &str, words: &str| notes(name).iter().any(|note| note.text.contains(words));
        for name in ["sslcom-rsa", "sslcom-ecc"] {
            assert!(says(name, "charged") && says(name, "no wildcards") && says(name, "--email"));
        }
        assert!(says("actalis", "90 days") && says("actalis", "no wildcards"));
        assert!(says("zerossl", "no ARI") && says("zerossl", "cannot be changed"));
        assert!(says("google", "7 days") && says("google", "one account"));
        assert!(notes("letsencrypt").is_empty());
        for note in KNOWN.iter().flat_map(|known| known.notes) {
            assert!(
                note.checked.parse::<chrono::NaiveDate>().is_ok() && note.source.starts_with("https://"),
                "{note:?}"
            );
            assert!(!note.text.ends_with('.'), "{note:?}");
        }
    }

    #[test]
    fn names_are_listed_to_who_mistypes_one() {
        assert_eq!(resolve(" LetsEncrypt ").unwrap().as_str(), LETS_ENCRYPT);
        let problem = resolve("letsencrpyt\x1b").unwrap_err().to_string();
        assert!(
            problem.contains("letsencrypt, letsencrypt-staging, zerossl") && !problem.contains('\x1b'),
            "{problem}"
        );
        assert!(matches!(resolve("http://ca.example/dir"), Err(AuthorityError::Url(_))));
    }

    #[test]
    fn only_lets_encrypt_has_a_staging_of_its_own() {
        assert_eq!(staging_of(&resolve("letsencrypt").unwrap()).unwrap().as_str(), LETS_ENCRYPT_STAGING);
        assert_eq!(staging_of(&resolve("zerossl").unwrap()), None);
        assert_eq!(staging_of(&resolve("letsencrypt-staging").unwrap()), None);
        assert_eq!(resolve("https://acme-v01.api.letsencrypt.org/directory").unwrap().as_str(), LETS_ENCRYPT);
    }

    #[test]
    fn test_authorities_are_told_as_certbot_tells_them() {
        assert!(is_test_authority(LETS_ENCRYPT_STAGING));
        assert!(is_test_authority("https://staging.ca.example/dir"));
        assert!(!is_test_authority(LETS_ENCRYPT));
        assert!(!is_test_authority("https://dv.acme-v02.test-api.pki.goog/directory"));
    }
}
