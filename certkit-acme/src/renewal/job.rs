//! What an attempt works with: everything that the conf, the certificate and the command line say about a lineage,
//! resolved and checked before anybody is asked.

use std::path::PathBuf;
use std::sync::Arc;

use certkit_core::decision::limits::OrderKind;
use certkit_core::decision::{DueReason, RenewalWish};
use certkit_core::settings::DeploySetting;
use certkit_core::state::{DeployTarget, LineageState};
use certkit_core::store::{AuthorityKind, ConfEdits, ConfValue, Kind, Lineage, RenewalConf, RenewalParams};
use certkit_core::{
    AcmeUrl, Certificate, Failure, FailureClass, Finding, FindingCode, Identifier, IdentifierSet, KeyType, LineageName,
    PrivateKey, Version,
};
use chrono::{DateTime, Utc};

use super::own_settings::OwnSettings;
use super::{Mode, Request, Selection, Urgency};
use crate::authorities;
use crate::challenge::Authenticator;
use crate::deploy::{HookStage, ServerControl, WebServer, directory_hooks, is_file};
use crate::keys::KeySpec;

/// A lineage as a run sees it.
pub(super) struct Subject {
    pub(super) name: LineageName,
    pub(super) conf_path: PathBuf,
    /// The directory of the live links: RENEWED_LINEAGE.
    pub(super) live_dir: PathBuf,
    pub(super) fullchain: PathBuf,
    /// The conf with the command line's changes.
    pub(super) conf: RenewalConf,
    /// The profile that the conf asks for without the command line's changes.
    pub(super) stored_profile: Option<String>,
    /// The conf does not exist yet.
    pub(super) is_new: bool,
    pub(super) live_version: Option<Version>,
    /// What the CA is for that the conf names without the command line's changes.
    pub(super) replaced_authority: AuthorityKind,
    pub(super) certificate: Option<Certificate>,
    /// Why what is live cannot be used; it is renewed at once.
    pub(super) dead: Option<String>,
    /// What the certificate is to cover.
    pub(super) identifiers: IdentifierSet,
    /// Kept when `reuse_key` says so.
    pub(super) key_in_use: Option<PrivateKey>,
    /// Would be kept by `reuse_key`, but the owner wants another one, once.
    pub(super) key_to_leave: Option<PrivateKey>,
    /// What the owner's settings say of it.
    pub(super) settings: OwnSettings,
    /// Since when the owner wishes something that the certificate is not.
    pub(super) changed_since: Option<DateTime<Utc>>,
    /// A wish that fails, so that the certificate is renewed as it is.
    pub(super) postponed: Option<Finding>,
}

/// What an attempt at a lineage needs besides.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) subject: Arc<Subject>,
    pub(super) because: DueReason,
    pub(super) directory: AcmeUrl,
    /// The CA takes the place of the conf's, which fails.
    pub(super) stands_in: bool,
    /// How the CA's limits see the order.
    pub(super) kind: OrderKind,
    /// The account id of the conf or the command line.
    pub(super) wanted_account: Option<String>,
    pub(super) authenticator: Authenticator,
    pub(super) key: KeySpec,
    pub(super) profile: ProfileWish,
    pub(super) preferred_chain: Option<String>,
    pub(super) edits: ConfEdits,
    pub(super) may_be_test: bool,
    /// Another lineage of the run covers one of its names too.
    pub(super) shares_a_name: bool,
}

/// certbot's `preferred_profile` and `required_profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProfileWish {
    None,
    Preferred(String),
    Required(String),
}

impl ProfileWish {
    /// What a conf says.
    pub(super) fn of(params: &RenewalParams) -> Self {
        match (&params.required_profile, &params.preferred_profile) {
            (Some(name), _) => Self::Required(name.clone()),
            (None, Some(name)) => Self::Preferred(name.clone()),
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

impl Subject {
    /// Reads what is stored of a lineage. An error is the reason why it cannot be renewed at all.
    pub(super) fn read(lineage: &Lineage, request: &Request, settings: OwnSettings) -> Result<Self, String> {
        let conf = lineage.conf().edited(&request.edits).map_err(|error| error.to_string())?;
        let live_version = lineage.live_version();
        // certbot 5.8 passes over a live version that no server can use (an empty fullchain, another key) as "not due".
        let dead = lineage.check_live(None).err().map(|error| error.to_string());
        let (certificate, identifiers) = match (&request.selection, lineage.certificate()) {
            (Selection::Obtain { identifiers, .. }, certificate) => (certificate.ok(), identifiers.clone()),
            (_, Ok(certificate)) => {
                let identifiers = certificate.identifiers().map_err(|error| error.to_string())?;
                (Some(certificate), identifiers)
            }
            // What is live cannot be read: the newest version that can tells which names are wanted.
            (_, Err(error)) => (None, names_of_newest_readable(lineage).ok_or_else(|| error.to_string())?),
        };
        if let Some(dead) = &dead
            && !conf.params().autorenew
            && !matches!(request.selection, Selection::Obtain { .. })
        {
            return Err(format!("{dead}; autorenew = False keeps it from being renewed"));
        }
        let certificate = certificate.filter(|_| dead.is_none());
        if identifiers.is_empty() {
            return Err("the certificate covers no DNS name and no IP address".into());
        }
        let key_in_use = if conf.params().reuse_key {
            live_version.and_then(|version| lineage.read_version(version).ok()).map(|files| files.key)
        } else {
            None
        };
        let (key_in_use, key_to_leave) = if request.new_key { (None, key_in_use) } else { (key_in_use, None) };
        let fullchain = lineage.live_path(Kind::Fullchain).to_owned();
        Ok(Self {
            name: lineage.name().clone(),
            conf_path: lineage.conf_path().to_owned(),
            live_dir: fullchain.parent().map(PathBuf::from).unwrap_or_default(),
            fullchain,
            conf,
            stored_profile: ProfileWish::of(lineage.conf().params()).name().map(str::to_owned),
            is_new: false,
            live_version,
            replaced_authority: lineage
                .conf()
                .params()
                .effective_server()
                .map_or(AuthorityKind::Unknown, authority_kind),
            certificate,
            identifiers,
            key_in_use,
            key_to_leave,
            dead,
            settings,
            changed_since: None,
            postponed: None,
        })
    }

    /// The directory of the conf's CA.
    pub(super) fn own_directory(&self) -> Option<AcmeUrl> {
        self.conf.params().effective_server().and_then(|server| AcmeUrl::parse(server).ok())
    }

    /// The CA that issued the certificate in use: it alone can say when to renew it.
    pub(super) fn issuer_directory(&self, state: &LineageState) -> Option<AcmeUrl> {
        state.issuer_directory.clone().or_else(|| self.own_directory())
    }

    /// What the owner wants of its renewal.
    pub(super) fn wish(&self, request: &Request) -> RenewalWish {
        let wish = RenewalWish::new(
            self.conf.renew_before_expiry().map(str::to_owned),
            self.conf.params().autorenew || self.is_new,
        );
        if request.mode != Mode::Real {
            return wish.due_now(DueReason::DryRun);
        }
        if request.urgency == Urgency::Now {
            return wish.due_now(DueReason::Forced);
        }
        match &self.certificate {
            Some(certificate) if matches!(request.selection, Selection::Obtain { .. }) => {
                if self.asks_for_another(certificate, request).is_empty() {
                    wish
                } else {
                    wish.due_now(DueReason::Changed)
                }
            }
            _ => wish,
        }
    }

    /// Settings of the conf that have no effect here, told before they are due.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let params = self.conf.params();
        let mut findings: Vec<Finding> = self.postponed.iter().cloned().collect();
        findings.extend(self.settings.findings.iter().cloned());
        if let Some(dead) = &self.dead {
            findings.push(Finding::new(FindingCode::BrokenLineage, self.name.as_str(), dead));
        }
        let conf = self.conf_path.display().to_string();
        if params.must_staple {
            findings.push(Finding::new(
                FindingCode::SettingWithoutEffect,
                &conf,
                "must_staple: no public CA issues such certificates since OCSP ended in 2025",
            ));
        }
        if let Ok(Authenticator::Unsupported { .. }) | Err(_) = Authenticator::from_params(params) {
            findings.push(Finding::new(
                FindingCode::AuthenticatorUnsupported,
                self.name.as_str(),
                params.authenticator.as_deref().unwrap_or("no authenticator is named"),
            ));
        }
        findings
    }

    /// What has to receive a new version: files first, because what follows may read them; then certbot's order (the
    /// directory's hooks, the conf's, the web server), then the commands and reloads of the settings.
    pub(super) fn deploy_targets(&self, request: &Request, deploy_dir: &std::path::Path) -> Vec<DeployTarget> {
        let of_settings = || self.settings.deploy.iter().map(DeploySetting::target);
        let mut targets: Vec<DeployTarget> = of_settings().filter(is_file).collect();
        if request.directory_hooks {
            match directory_hooks(deploy_dir) {
                Ok(hooks) => {
                    targets.extend(
                        hooks.iter().map(|hook| DeployTarget::DirectoryHook(hook.to_string_lossy().into_owned())),
                    );
                }
                // A directory whose hooks are refused must not keep a certificate from being renewed: it stands for
                // them, fails to be run, and stays pending until the owner has put it right.
                Err(_) => targets.push(DeployTarget::DirectoryHook(deploy_dir.to_string_lossy().into_owned())),
            }
        }
        let params = self.conf.params();
        if let Some(command) = &params.deploy_hook {
            // certbot runs a command once even when it is a directory hook's path as well.
            if !targets.contains(&DeployTarget::DirectoryHook(command.clone())) {
                targets.push(DeployTarget::Hook(command.clone()));
            }
        }
        if let Some(installer) = &params.installer
            && WebServer::from_installer(installer).is_some()
        {
            targets.push(DeployTarget::Installer(installer.clone()));
        }
        targets.extend(of_settings().filter(|target| !is_file(target)));
        targets
    }

    /// The end of the certificate in use.
    pub(super) fn not_after(&self) -> Option<DateTime<Utc>> {
        self.certificate.as_ref().map(|certificate| certificate.validity().not_after)
    }

    /// The setting that a target stands for.
    pub(super) fn deploy_setting(&self, target: &DeployTarget) -> Option<&DeploySetting> {
        self.settings.deploy.iter().find(|setting| setting.target() == *target)
    }

    /// Its names as hooks are told them.
    pub(super) fn domains(&self) -> Vec<String> {
        self.identifiers.iter().map(ToString::to_string).collect()
    }

    /// How the conf says that its web server is controlled (`nginx_ctl`, `nginx_server_root`, `apache_ctl`).
    pub(super) fn server_control(&self, target: &DeployTarget) -> Option<ServerControl> {
        let DeployTarget::Installer(name) = target else { return None };
        ServerControl::from_conf(WebServer::from_installer(name)?, |key| match self.conf.param(key) {
            Some(ConfValue::Text(text)) => Some(text),
            _ => None,
        })
    }

    pub(super) fn refuse_a_test_certificate(&self, directory: &AcmeUrl, request: &Request) -> Result<(), Failure> {
        let would_become_one = authority_kind(directory.as_str()) == AuthorityKind::Test
            && self.replaced_authority == AuthorityKind::Public;
        if request.mode == Mode::Real && !request.may_be_test && would_become_one {
            return Err(unusable(format!(
                "{directory} is a test CA, whose certificates no client trusts, and the certificate in use is a trusted one"
            )));
        }
        Ok(())
    }

    /// certbot's rule: a key that is kept is of the kind that it is.
    fn refuse_another_kind_of_kept_key(&self, request: &Request) -> Result<(), Failure> {
        match &self.certificate {
            Some(certificate) if self.key_in_use.is_some() && !self.key_fits(certificate, request) => {
                Err(unusable(format!(
                    "the kind of the key of {} cannot change because its key is reused: add --new-key or --no-reuse-key",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// The conf's hook of a stage.
    pub(super) fn hook(&self, stage: HookStage) -> Option<&String> {
        let params = self.conf.params();
        match stage {
            HookStage::Pre => params.pre_hook.as_ref(),
            HookStage::Deploy => params.deploy_hook.as_ref(),
            HookStage::Post => params.post_hook.as_ref(),
        }
    }

    /// Whether the key is of the kind that the command line asks for. A conf that differs from the certificate at first
    /// sight is no reason to renew.
    pub(super) fn key_fits(&self, certificate: &Certificate, request: &Request) -> bool {
        if !["key_type", "rsa_key_size", "elliptic_curve"].into_iter().any(|key| asks_for(request, key)) {
            return true;
        }
        self.has_the_confs_key(certificate)
    }

    /// Whether the key is of the kind that the conf says.
    pub(super) fn has_the_confs_key(&self, certificate: &Certificate) -> bool {
        let Ok(spec) = key_spec(&self.conf) else { return true };
        let curve = |name: &str| matches!(certificate.key_type(), KeyType::Ec(curve) if curve == name);
        match spec {
            KeySpec::EcdsaP256 => curve("secp256r1"),
            KeySpec::EcdsaP384 => curve("secp384r1"),
            KeySpec::EcdsaP521 => curve("secp521r1"),
            KeySpec::Rsa2048 => certificate.key_type() == KeyType::Rsa && certificate.key_bits() == Some(2048),
            KeySpec::Rsa3072 => certificate.key_type() == KeyType::Rsa && certificate.key_bits() == Some(3072),
            KeySpec::Rsa4096 => certificate.key_type() == KeyType::Rsa && certificate.key_bits() == Some(4096),
        }
    }
}

impl Job {
    /// Resolves what an attempt needs. Nothing is asked of anybody.
    pub(super) fn resolve(subject: Arc<Subject>, because: DueReason, request: &Request) -> Result<Self, Failure> {
        let settings = Settings::read(&subject.conf, &subject.conf_path.display(), &subject.identifiers, request)?;
        subject.refuse_a_test_certificate(&settings.directory, request)?;
        subject.refuse_another_kind_of_kept_key(request)?;
        Ok(Self {
            because,
            directory: settings.directory,
            stands_in: false,
            kind: OrderKind::New,
            wanted_account: settings.wanted_account,
            authenticator: settings.authenticator,
            key: settings.key,
            profile: settings.profile,
            preferred_chain: subject.conf.params().preferred_chain.clone(),
            edits: request.edits.clone(),
            may_be_test: request.may_be_test,
            shares_a_name: false,
            subject,
        })
    }

    /// Under what an open account is kept for the run.
    pub(super) fn account_key(&self) -> (AcmeUrl, Option<String>) {
        (self.directory.clone(), self.wanted_account.clone())
    }

    /// What can be ordered without the names that failed, where the owner permits it. certbot's `allow_subset_of_names`.
    pub(super) fn subset_without_failed(&self, ordered: &IdentifierSet, failure: &Failure) -> Option<IdentifierSet> {
        let names_failed = matches!(failure.class, FailureClass::ChallengeFailed | FailureClass::IdentifierRefused);
        if !self.subject.conf.params().allow_subset_of_names || !names_failed || failure.per_identifier.is_empty() {
            return None;
        }
        // A CA names the base of a wildcard: both are validated by the same record.
        let has_failed = |one: &Identifier| {
            failure.per_identifier.iter().any(|failed| {
                failed.identifier == *one
                    || one.as_dns().is_some_and(|name| {
                        name.is_wildcard()
                            && failed.identifier.as_dns().is_some_and(|failed| failed.as_str() == name.base())
                    })
            })
        };
        let rest: IdentifierSet = ordered.iter().filter(|one| !has_failed(one)).cloned().collect();
        (!rest.is_empty() && rest.len() < ordered.len()).then_some(rest)
    }

    /// The same at this CA. Accounts belong to their CA: another than the conf's has its only one.
    pub(super) fn at(&self, directory: &AcmeUrl, kind: OrderKind) -> Self {
        let mut job = Self { kind, ..self.clone() };
        if *directory != self.directory {
            job.directory = directory.clone();
            job.stands_in = true;
            job.wanted_account = None;
        }
        job
    }
}

/// What a conf and the command line say together.
pub(super) struct Settings {
    pub(super) directory: AcmeUrl,
    pub(super) wanted_account: Option<String>,
    pub(super) authenticator: Authenticator,
    pub(super) key: KeySpec,
    pub(super) profile: ProfileWish,
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
                (own_directory, request.account.clone().or(conf_account))
            }
        };
        let authenticator = Authenticator::from_params(params)?;
        authenticator.supports(identifiers)?;
        let profile = ProfileWish::of(params);
        let key = key_spec(conf).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { directory, wanted_account, authenticator, key, profile })
    }
}

/// Whether the command line itself changes a value of the conf.
pub(super) fn asks_for(request: &Request, key: &str) -> bool {
    request.edits.params.iter().any(|(name, value)| name == key && value.is_some())
}

fn unusable(what: String) -> Failure {
    Failure::new(FailureClass::Settings, what)
}

/// What a CA is for, as far as its directory tells.
pub(super) fn authority_kind(directory: &str) -> AuthorityKind {
    if authorities::is_test_authority(directory) {
        return AuthorityKind::Test;
    }
    let known = AcmeUrl::parse(directory).is_ok_and(|url| authorities::known(&url).is_some());
    if known { AuthorityKind::Public } else { AuthorityKind::Unknown }
}

fn key_spec(conf: &RenewalConf) -> Result<KeySpec, crate::keys::KeyError> {
    let params = conf.params();
    KeySpec::from_certbot(params.effective_key_type(), params.elliptic_curve.as_deref(), params.rsa_key_size)
}

fn names_of_newest_readable(lineage: &Lineage) -> Option<IdentifierSet> {
    let versions = lineage.versions().ok()?;
    versions.keys().rev().find_map(|version| lineage.read_version(*version).ok()?.chain.leaf.identifiers().ok())
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
