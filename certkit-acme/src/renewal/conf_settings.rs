//! What a conf and the command line say together of an order: CA, account, validation, key, profile.

use certkit_core::store::{AuthorityKind, RenewalConf, RenewalParams};
use certkit_core::{AcmeUrl, Failure, FailureClass, IdentifierSet};

use super::{Mode, Request};
use crate::authorities;
use crate::challenge::Authenticator;
use crate::keys::KeySpec;

/// What a conf and the command line say together.
pub(super) struct Settings {
    pub(super) directory: AcmeUrl,
    pub(super) wanted_account: Option<String>,
    pub(super) authenticator: Authenticator,
    pub(super) key: KeySpec,
    pub(super) profile: ProfileWish,
}

/// certbot's `preferred_profile` and `required_profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProfileWish {
    None,
    Preferred(String),
    Required(String),
}

impl Settings {
    /// `source` names the conf for people.
    pub(super) fn read(
        conf: &RenewalConf,
        source: &dyn std::fmt::Display,
        identifiers: &IdentifierSet,
        request: &Request,
    ) -> Result<Self, Failure> {
        let params = conf.params();
        let server = params.effective_server().ok_or_else(|| unusable(format!("{source} names no server")))?;
        let own_directory = AcmeUrl::parse(server).map_err(|error| unusable(error.to_string()))?;
        let (directory, wanted_account) = match (request.mode, authorities::staging_of(&own_directory)) {
            // Accounts belong to their CA: the staging CA knows none of the others.
            (Mode::DryRun { .. }, Some(staging)) => (staging, None),
            _ => {
                let edited = |key: &str| request.edits.params.iter().any(|(name, _)| name == key);
                // The conf's account belongs to the conf's CA: a server from the command line has its own.
                let conf_account = params.account.clone().filter(|_| !edited("server") || edited("account"));
                (own_directory, request.account.clone().or_else(|| conf_account.map(String::from)))
            }
        };
        let authenticator = Authenticator::from_params(params)?;
        authenticator.supports(identifiers)?;
        let profile = ProfileWish::of(params);
        let key = key_spec(conf).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { directory, wanted_account, authenticator, key, profile })
    }
}

impl ProfileWish {
    /// What a conf says.
    pub(super) fn of(params: &RenewalParams) -> Self {
        match (&params.required_profile, &params.preferred_profile) {
            (Some(name), _) => Self::Required(name.to_string()),
            (None, Some(name)) => Self::Preferred(name.to_string()),
            (None, None) => Self::None,
        }
    }

    /// The profile that is wished.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Preferred(name) | Self::Required(name) => Some(name),
        }
    }
}

/// What a CA is for, as far as its directory tells.
pub(super) fn authority_kind(directory: &str) -> AuthorityKind {
    if authorities::is_test_authority(directory) {
        return AuthorityKind::Test;
    }
    let known = AcmeUrl::parse(directory).is_ok_and(|url| authorities::known(&url).is_some());
    if known { AuthorityKind::Public } else { AuthorityKind::Unknown }
}

pub(super) fn key_spec(conf: &RenewalConf) -> Result<KeySpec, crate::keys::KeyError> {
    let params = conf.params();
    KeySpec::from_certbot(params.effective_key_type(), params.elliptic_curve.as_deref(), params.rsa_key_size)
}

pub(super) fn unusable(what: String) -> Failure {
    Failure::new(FailureClass::Settings, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(server: &str, request: &Request) -> Settings {
        let conf = format!("[renewalparams]\naccount = 0123\nserver = {server}\nauthenticator = standalone\n");
        let conf = RenewalConf::parse(conf.as_bytes()).unwrap();
        let identifiers = ["a.example.com".parse().unwrap()].into_iter().collect();
        Settings::read(&conf, &"a.conf", &identifiers, request).unwrap()
    }

    #[test]
    fn a_dry_run_at_lets_encrypt_goes_to_staging_with_an_account_of_its_own() {
        let settings = read(authorities::LETS_ENCRYPT, &Request::renew().dry_run());
        assert_eq!(settings.directory.as_str(), authorities::LETS_ENCRYPT_STAGING);
        assert_eq!(settings.wanted_account, None);
        let mut request = Request::renew().dry_run();
        request.account = Some("4567".into());
        assert_eq!(read(authorities::LETS_ENCRYPT, &request).wanted_account, None);
        let settings = read(authorities::LETS_ENCRYPT, &Request::renew());
        assert_eq!(
            (settings.directory.as_str(), settings.wanted_account.as_deref()),
            (authorities::LETS_ENCRYPT, Some("0123"))
        );
    }

    #[test]
    fn a_dry_run_at_any_other_ca_stays_there() {
        let settings = read("https://ca.example/dir", &Request::renew().dry_run());
        assert_eq!(
            (settings.directory.as_str(), settings.wanted_account.as_deref()),
            ("https://ca.example/dir", Some("0123"))
        );
    }

    #[test]
    fn the_confs_account_is_not_taken_to_another_ca() {
        let mut request = Request::renew();
        request.edits.param("server", Some("https://other.example/dir"));
        let conf = RenewalConf::parse(
            b"[renewalparams]\naccount = 0123\nserver = https://ca.example/dir\nauthenticator = standalone\n",
        );
        let conf = conf.unwrap().edited(&request.edits).unwrap();
        let identifiers = ["a.example.com".parse().unwrap()].into_iter().collect();
        let settings = Settings::read(&conf, &"a.conf", &identifiers, &request).unwrap();
        assert_eq!((settings.directory.as_str(), settings.wanted_account), ("https://other.example/dir", None));
    }
}
