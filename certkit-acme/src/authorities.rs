//! Known certificate authorities, as dated data.
//!
//! Names are only a convenience for `--server`: any ACME directory's URL works, listed here or not. What a CA offers
//! (profiles, renewal information) is read from its directory, never from here.

use certkit_core::{AcmeUrl, AcmeUrlError, escape};

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
    /// Where this was read.
    pub source: &'static str,
    /// When (year, month).
    pub checked: &'static str,
}

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
        source: "https://letsencrypt.org/docs/acme-protocol-updates/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "letsencrypt-staging",
        title: "Let's Encrypt (staging)",
        directory: LETS_ENCRYPT_STAGING,
        external_account: false,
        is_test: true,
        source: "https://letsencrypt.org/docs/staging-environment/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "zerossl",
        title: "ZeroSSL",
        directory: "https://acme.zerossl.com/v2/DV90",
        external_account: true,
        is_test: false,
        source: "https://zerossl.com/documentation/acme/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "google",
        title: "Google Trust Services",
        directory: "https://dv.acme-v02.api.pki.goog/directory",
        external_account: true,
        is_test: false,
        source: "https://cloud.google.com/certificate-manager/docs/public-ca-tutorial",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "google-staging",
        title: "Google Trust Services (staging)",
        directory: "https://dv.acme-v02.test-api.pki.goog/directory",
        external_account: true,
        is_test: true,
        source: "https://cloud.google.com/certificate-manager/docs/public-ca-tutorial",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "actalis",
        title: "Actalis",
        directory: "https://acme-api.actalis.com/acme/directory",
        external_account: true,
        is_test: false,
        source: "https://guide.actalis.com/ssl/activation/acme",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "sslcom-rsa",
        title: "SSL.com (RSA)",
        directory: "https://acme.ssl.com/sslcom-dv-rsa",
        external_account: true,
        is_test: false,
        source: "https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/",
        checked: "2026-11",
    },
    KnownAuthority {
        name: "sslcom-ecc",
        title: "SSL.com (ECDSA)",
        directory: "https://acme.ssl.com/sslcom-dv-ecc",
        external_account: true,
        is_test: false,
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
