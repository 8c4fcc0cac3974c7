//! A lineage as a run sees it: what its conf, its certificate, the owner's settings and the command line say together.

use std::path::{Path, PathBuf};

use certkit_core::decision::{DueReason, RenewalWish};
use certkit_core::settings::DeploySetting;
use certkit_core::state::{DeployTarget, LineageState};
use certkit_core::store::{AuthorityKind, BrokenReason, Kind, Lineage, RenewalConf, StorePaths};
use certkit_core::{
    AcmeUrl, Certificate, Endpoint, Failure, Finding, FindingCode, Hindrance, IdentifierSet, KeyType, LineageName,
    PrivateKey, Version,
};
use chrono::{DateTime, Utc};

use super::conf_settings::{ProfileWish, authority_kind, key_spec, unusable};
use super::idle::Places;
use super::own_settings::OwnSettings;
use super::run::hook_dir;
use super::{Mode, Request, RunError, Selection, Urgency};
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

/// Why a lineage cannot be renewed at all.
pub(super) struct Unusable {
    pub(super) reason: String,
    /// What keeps it from being read, where that is all that is known.
    pub(super) hindrance: Option<Hindrance>,
}

impl Unusable {
    pub(super) fn of(self, name: &LineageName) -> RunError {
        RunError::Broken { name: name.clone(), reason: self.reason, hindrance: self.hindrance }
    }
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { reason, hindrance: None }
    }
}

impl From<BrokenReason> for Unusable {
    fn from(reason: BrokenReason) -> Self {
        Self { reason: reason.to_string(), hindrance: reason.hindrance() }
    }
}

impl Subject {
    /// Reads what is stored of a lineage. An error is the reason why it cannot be renewed at all.
    pub(super) fn read(lineage: &Lineage, request: &Request, settings: OwnSettings) -> Result<Self, Unusable> {
        let conf = if request.edits.is_empty() {
            lineage.conf().clone()
        } else {
            lineage.conf().edited(&request.edits).map_err(|error| error.to_string())?
        };
        let live_version = lineage.live_version();
        // certbot 5.8 passes over a live version that no server can use (an empty fullchain, another key) as "not due".
        let dead = match lineage.check_live(None) {
            // An error is not an absence: whoever may not read a certificate would order it at every run.
            Err(reason) if reason.is_unknown() => return Err(reason.into()),
            checked => checked.err().map(|reason| reason.to_string()),
        };
        let (certificate, identifiers) = match (&request.selection, lineage.certificate()) {
            (Selection::Obtain { identifiers, .. }, certificate) => (certificate.ok(), identifiers.clone()),
            (_, Ok(certificate)) => {
                let identifiers = certificate.identifiers().map_err(|error| error.to_string())?;
                (Some(certificate), identifiers)
            }
            // What is live cannot be read: the newest version that can tells which names are wanted.
            (_, Err(error)) => (None, names_of_newest_readable(lineage).ok_or(error)?),
        };
        if let Some(dead) = &dead
            && !conf.params().autorenew
            && !matches!(request.selection, Selection::Obtain { .. })
        {
            return Err(format!("{dead}; autorenew = False keeps it from being renewed").into());
        }
        let certificate = certificate.filter(|_| dead.is_none());
        if identifiers.is_empty() {
            return Err("the certificate covers no DNS name and no IP address".to_owned().into());
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
    pub(super) fn deploy_targets(&self, of_directory: &[DeployTarget]) -> Vec<DeployTarget> {
        let of_settings = || self.settings.deploy.iter().map(DeploySetting::target);
        let mut targets: Vec<DeployTarget> = of_settings().filter(is_file).collect();
        targets.extend_from_slice(of_directory);
        let params = self.conf.params();
        if let Some(command) = &params.deploy_hook {
            // certbot runs a command once even when it is a directory hook's path as well.
            if !targets.contains(&DeployTarget::DirectoryHook(command.to_string())) {
                targets.push(DeployTarget::Hook(command.to_string()));
            }
        }
        if let Some(installer) = &params.installer
            && WebServer::from_installer(installer).is_some()
        {
            targets.push(DeployTarget::Installer(installer.to_string()));
        }
        targets.extend(of_settings().filter(|target| !is_file(target)));
        targets
    }

    /// Where it is served: as the owner set it, and as its names say.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        Endpoint::all_of(&self.settings.endpoints, &self.identifiers, self.settings.default_endpoints)
    }

    /// The same with its name, and how long servers are waited for.
    pub(super) fn places(&self) -> Places<'_> {
        Places { name: &self.name, endpoints: self.endpoints(), patience: self.settings.proof_patience }
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
        ServerControl::from_conf(WebServer::from_installer(name)?, |key| self.conf.param_text(key))
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
    pub(super) fn refuse_another_kind_of_kept_key(&self, request: &Request) -> Result<(), Failure> {
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
    pub(super) fn hook(&self, stage: HookStage) -> Option<&str> {
        let params = self.conf.params();
        match stage {
            HookStage::Pre => params.pre_hook.as_deref(),
            HookStage::Deploy => params.deploy_hook.as_deref(),
            HookStage::Post => params.post_hook.as_deref(),
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

/// The deploy hooks of the directory, which are every lineage's. It asks the file system: once for all lineages.
pub(super) fn directory_targets(request: &Request, paths: &StorePaths) -> Vec<DeployTarget> {
    let deploy_dir = hook_dir(paths, HookStage::Deploy);
    if !request.directory_hooks {
        return Vec::new();
    }
    let target = |path: &Path| DeployTarget::DirectoryHook(path.to_string_lossy().into_owned());
    match directory_hooks(&deploy_dir) {
        Ok(hooks) => hooks.iter().map(|hook| target(hook)).collect(),
        // A directory whose hooks are refused must not keep a certificate from being renewed: it stands for them, fails to
        // be run, and stays pending until the owner has put it right.
        Err(_) => vec![target(&deploy_dir)],
    }
}

/// Whether the command line itself changes a value of the conf.
pub(super) fn asks_for(request: &Request, key: &str) -> bool {
    request.edits.params.iter().any(|(name, value)| name == key && value.is_some())
}

fn names_of_newest_readable(lineage: &Lineage) -> Option<IdentifierSet> {
    let versions = lineage.versions().ok()?;
    versions.keys().rev().find_map(|version| lineage.read_version(*version).ok()?.chain.leaf.identifiers().ok())
}
