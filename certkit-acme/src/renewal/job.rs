//! What an attempt works with: everything that the conf, the certificate and the command line say about a lineage,
//! resolved and checked before anybody is asked.

use std::path::PathBuf;

use certkit_core::decision::{DueReason, RenewalWish};
use certkit_core::state::DeployTarget;
use certkit_core::store::{AuthorityKind, ConfEdits, ConfValue, Kind, Lineage, RenewalConf};
use certkit_core::{
    AcmeUrl, Certificate, Failure, FailureClass, Finding, FindingCode, IdentifierSet, KeyType, LineageName, PrivateKey,
    Version,
};

use super::{Mode, Request, Selection, Urgency};
use crate::authorities;
use crate::challenge::Authenticator;
use crate::deploy::{HookStage, ServerControl, WebServer, directory_hooks};
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
}

/// What an attempt at a lineage needs besides.
pub(super) struct Job {
    pub(super) subject: Subject,
    pub(super) because: DueReason,
    pub(super) directory: AcmeUrl,
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

impl Subject {
    /// Reads what is stored of a lineage. An error is the reason why it cannot be renewed at all.
    pub(super) fn read(lineage: &Lineage, request: &Request) -> Result<Self, String> {
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
        })
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
                let covers = certificate.identifiers().is_ok_and(|names| names.same_as(&self.identifiers));
                if covers && self.key_fits(certificate, request) { wish } else { wish.due_now(DueReason::Changed) }
            }
            _ => wish,
        }
    }

    /// Settings of the conf that have no effect here, told before they are due.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let params = self.conf.params();
        let mut findings = Vec::new();
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
        if params.allow_subset_of_names {
            findings.push(Finding::new(
                FindingCode::SettingWithoutEffect,
                &conf,
                "allow_subset_of_names: no name is dropped; when one fails, all are reported and the old certificate stays",
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

    /// What has to receive a new version, in certbot's order: the directory's hooks, the conf's, the web server.
    pub(super) fn deploy_targets(&self, request: &Request, deploy_dir: &std::path::Path) -> Vec<DeployTarget> {
        let mut targets = Vec::new();
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
        targets
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

    fn refuse_a_test_certificate(&self, directory: &AcmeUrl, request: &Request) -> Result<(), Failure> {
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

    fn key_fits(&self, certificate: &Certificate, request: &Request) -> bool {
        // Only what the command line asks for is compared: a conf that differs from the certificate at first sight is
        // no reason to renew.
        let asked = |key: &str| request.edits.params.iter().any(|(name, value)| name == key && value.is_some());
        if !["key_type", "rsa_key_size", "elliptic_curve"].into_iter().any(asked) {
            return true;
        }
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
    pub(super) fn resolve(
        subject: Subject,
        because: DueReason,
        request: &Request,
    ) -> Result<Self, Box<(Subject, Failure)>> {
        let read = Settings::read(&subject.conf, &subject.conf_path.display(), &subject.identifiers, request).and_then(
            |settings| {
                subject.refuse_a_test_certificate(&settings.directory, request)?;
                subject.refuse_another_kind_of_kept_key(request)?;
                Ok(settings)
            },
        );
        match read {
            Ok(settings) => Ok(Self {
                because,
                directory: settings.directory,
                wanted_account: settings.wanted_account,
                authenticator: settings.authenticator,
                key: settings.key,
                profile: settings.profile,
                preferred_chain: subject.conf.params().preferred_chain.clone(),
                edits: request.edits.clone(),
                may_be_test: request.may_be_test,
                shares_a_name: false,
                subject,
            }),
            Err(failure) => Err(Box::new((subject, failure))),
        }
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
        let mut wanted_account = request.account.clone();
        let directory = match (request.mode, authorities::staging_of(&own_directory)) {
            (Mode::DryRun { .. }, Some(staging)) => staging,
            _ => {
                let edited = |key: &str| request.edits.params.iter().any(|(name, _)| name == key);
                // The conf's account belongs to the conf's CA: a server from the command line has its own.
                if wanted_account.is_none() && (!edited("server") || edited("account")) {
                    wanted_account = params.account.clone();
                }
                own_directory
            }
        };
        let authenticator = Authenticator::from_params(params)?;
        authenticator.supports(identifiers)?;
        let profile = match (&params.required_profile, &params.preferred_profile) {
            (Some(name), _) => ProfileWish::Required(name.clone()),
            (None, Some(name)) => ProfileWish::Preferred(name.clone()),
            (None, None) => ProfileWish::None,
        };
        let key = key_spec(conf).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { directory, wanted_account, authenticator, key, profile })
    }
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
