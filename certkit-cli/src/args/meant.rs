//! What the flags mean: identifiers, servers, changes to a renewal configuration.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certkit_acme::authorities;
use certkit_acme::deploy::{HookStage, validate_hook};
use certkit_acme::transport::{TlsVerification, TransportSettings};
use certkit_core::settings::{Origin, Settings, Sourced};
use certkit_core::store::{ConfEdits, ConfValue, LiveSwitch, StorePaths};
use certkit_core::{AcmeUrl, Identifier, IdentifierSet, LineageName, escape};

use super::typed::Typed;
use super::{Environment, IniOrigin, Invocation, certbot};
use crate::exit::CommandError;

/// The config dir: flag, $CERTKIT_CONFIG_DIR, certbot's default; absolute.
pub(crate) fn config_dir(typed: &Typed, environment: &Environment) -> PathBuf {
    let chosen = typed.general.config_dir.clone().or_else(|| environment.config_dir.clone());
    chosen.map_or_else(|| StorePaths::certbot_default().config_dir, |dir| absolute(&dir))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Invocation {
    /// certbot's three directories.
    pub(crate) fn paths(&self) -> StorePaths {
        let usual = StorePaths::certbot_default();
        let general = &self.typed.general;
        let paths = StorePaths::new(
            config_dir(&self.typed, &self.environment),
            general.work_dir.as_deref().map_or(usual.work_dir, absolute),
            general.logs_dir.as_deref().map_or(usual.logs_dir, absolute),
        );
        self.typed.fsck.also_in.iter().fold(paths, |paths, folder| paths.with_own_folder(absolute(folder)))
    }

    /// The flags, as they are typed in a shell, without which a command would go to another tree; none where this is certbot's
    /// own, or a variable says which it is.
    pub(crate) fn flags_of_the_tree(&self) -> String {
        let (mut paths, usual) = (self.paths(), StorePaths::certbot_default());
        if self.typed.general.config_dir.is_none() {
            paths.config_dir = usual.config_dir;
        }
        paths.flags()
    }

    /// The owner's settings after the flags, typed or in cli.ini, have had their say.
    pub(crate) fn effective(&self, mut settings: Settings) -> Settings {
        let (general, hooks) = (&self.typed.general, &self.typed.hooks);
        let bundles: Vec<PathBuf> = general.ca_bundle.iter().map(|file| absolute(file)).collect();
        let bundles = (!bundles.is_empty()).then(|| self.flag("ca_bundle", bundles));
        settings.ca_bundles = settings.ca_bundles.with_flag(bundles);
        let comment = general.user_agent_comment.clone();
        let comment = comment.map(|comment| self.flag("user_agent_comment", Some(comment)));
        settings.user_agent_comment = settings.user_agent_comment.with_flag(comment);
        let limit = hooks.hook_time_limit.map(|seconds| self.flag("hook_time_limit", Duration::from_secs(seconds)));
        settings.hook_time_limit = settings.hook_time_limit.with_flag(limit);
        // The parser knows no third word.
        let how = hooks.live_switch.as_deref().map(|how| {
            let how = if how == LiveSwitch::Links.as_str() { LiveSwitch::Links } else { LiveSwitch::Exchange };
            self.flag("live_switch", how)
        });
        settings.live_switch = settings.live_switch.with_flag(how);
        settings
    }

    /// A flag's value with where it was given; by the flag's id.
    pub(crate) fn flag<T>(&self, id: &str, value: T) -> Sourced<T> {
        Sourced::new(value, self.flag_origin(id))
    }

    /// Where a flag was given, by its id.
    pub(crate) fn flag_origin(&self, id: &str) -> Origin {
        match self.from_file.get(id) {
            Some(IniOrigin { file, line }) => {
                Origin::CliIni { path: file.clone(), line: u32::try_from(*line).unwrap_or(u32::MAX) }
            }
            None => Origin::Flag { flag: format!("--{}", id.replace('_', "-")) },
        }
    }

    /// How to reach a CA: the environment's settings, the owner's and the flags'.
    pub(crate) fn transport(&self, settings: &Settings) -> TransportSettings {
        let mut transport = TransportSettings::from_env();
        transport.ca_bundles.extend(settings.ca_bundles.value.iter().cloned());
        if self.typed.general.no_verify_ssl {
            transport.tls_verification = TlsVerification::Off;
        }
        transport.user_agent_comment.clone_from(&settings.user_agent_comment.value);
        transport
    }

    /// The CA that was named, on the command line or in a file.
    pub(crate) fn server(&self) -> Result<Option<AcmeUrl>, CommandError> {
        let general = &self.typed.general;
        let named = match (&general.server, general.staging) {
            (Some(server), true) if !self.is_from_file("server") => {
                let url = resolve(server)?;
                if url.as_str() != authorities::LETS_ENCRYPT_STAGING {
                    return Err(CommandError::usage("--server and --staging name different CAs")
                        .with_cure("leave one of them out"));
                }
                Some(url)
            }
            (_, true) => Some(resolve(authorities::LETS_ENCRYPT_STAGING)?),
            (Some(server), false) => Some(resolve(server)?),
            (None, false) => None,
        };
        Ok(named)
    }

    /// The CA that was named on the command line itself. One in cli.ini must not move existing certificates to another
    /// CA: certbot issue 10663, where it made every renewal fail.
    pub(crate) fn server_typed(&self) -> Result<Option<AcmeUrl>, CommandError> {
        let from_file = if self.typed.general.staging { "staging" } else { "server" };
        if self.is_from_file(from_file) { Ok(None) } else { self.server() }
    }

    /// The CA for new certificates and accounts.
    pub(crate) fn server_or_default(&self) -> Result<AcmeUrl, CommandError> {
        match self.server()? {
            Some(server) => Ok(server),
            None => resolve(authorities::LETS_ENCRYPT),
        }
    }

    /// The names and addresses that were asked for, in their order.
    pub(crate) fn identifiers(&self) -> Result<IdentifierSet, CommandError> {
        let mut all = Vec::new();
        let domains = self.typed.selection.domains.iter().flat_map(|list| list.split(','));
        for text in domains.map(str::trim).filter(|text| !text.is_empty()) {
            all.push(Identifier::parse_unicode(text).map_err(|problem| {
                CommandError::usage(format!("-d {}: {}", escape(text), escape(&problem.to_string())))
            })?);
        }
        for text in &self.typed.selection.ip_address {
            let address: IpAddr = text
                .trim()
                .parse()
                .map_err(|_| CommandError::usage(format!("--ip-address {}: not an IP address", escape(text))))?;
            all.push(Identifier::Ip(address));
        }
        Ok(all.into_iter().collect())
    }

    /// `--cert-name`.
    pub(crate) fn cert_name(&self) -> Result<Option<LineageName>, CommandError> {
        self.typed.selection.cert_name.as_deref().map(lineage_name).transpose()
    }

    /// `--cert-name`, which this command needs.
    pub(crate) fn needed_cert_name(&self, command: &str) -> Result<LineageName, CommandError> {
        self.cert_name()?.ok_or_else(|| {
            CommandError::usage(format!("`certkit {command}` needs --cert-name NAME"))
                .with_cure("`certkit certificates` lists the names")
        })
    }

    /// Mail addresses of `--email`.
    pub(crate) fn contacts(&self) -> Vec<String> {
        let list = self.typed.account.email.as_deref().unwrap_or_default();
        list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// Which way of proving control was asked for.
    pub(crate) fn authenticator(&self) -> Result<Option<String>, CommandError> {
        let typed = &self.typed.validation;
        let mut named: Vec<String> = Vec::new();
        for (given, name) in [(typed.standalone, "standalone"), (typed.webroot, "webroot"), (typed.manual, "manual")] {
            if given {
                named.push(name.to_owned());
            }
        }
        named.extend(typed.authenticator.clone());
        named.dedup();
        if named.len() > 1 {
            return Err(CommandError::usage(format!("several ways of proving control: {}", escape(&named.join(", "))))
                .with_cure("name one of them"));
        }
        match named.pop() {
            Some(name) if ["standalone", "webroot", "manual"].contains(&name.as_str()) => {
                if name == "manual" && typed.manual_auth_hook.is_none() && self.word() != Some("renew") {
                    return Err(CommandError::usage(
                        "--manual needs --manual-auth-hook COMMAND: nobody is asked to do it by hand",
                    ));
                }
                Ok(Some(name))
            }
            Some(name) => Err(CommandError::usage(format!("the authenticator `{}` is not known", escape(&name)))
                .with_cure(certbot::authenticator_cure(&name))),
            None if self.infers_webroot() => Ok(Some("webroot".to_owned())),
            None => Ok(None),
        }
    }

    /// A document root that was typed says how to prove control, where a certificate is obtained or changed. It must not
    /// do so at renewals: there every certificate has its own way.
    fn infers_webroot(&self) -> bool {
        self.webroots_apply()
            && matches!(self.word(), Some("certonly" | "auth" | "reconfigure"))
            && !(self.is_from_file("webroot_path") || self.is_from_file("webroot_map"))
    }

    /// Whether document roots were given for the certificates of this command. Those in cli.ini are for new certificates,
    /// as its `server` is: the existing ones would lose their own.
    fn webroots_apply(&self) -> bool {
        let typed = &self.typed.validation;
        let of_file = |id: &str| self.is_from_file(id) && matches!(self.word(), Some("renew" | "reconfigure"));
        (!typed.webroot_path.is_empty() && !of_file("webroot_path"))
            || (typed.webroot_map.is_some() && !of_file("webroot_map"))
    }

    /// The document root for names that none was given for: the last `-w` of the command line itself.
    pub(crate) fn webroot_typed(&self) -> Option<PathBuf> {
        let last = self.typed.validation.webroot_path.last()?;
        (!self.is_from_file("webroot_path")).then(|| absolute(last))
    }

    /// The web server to reload after a renewal; certbot's words for none are ignored.
    pub(crate) fn installer(&self) -> Result<Option<String>, CommandError> {
        match self.typed.validation.installer.as_deref() {
            None => Ok(None),
            Some(name) if ["none", "null"].contains(&name.to_lowercase().as_str()) => Ok(None),
            Some(name @ ("nginx" | "apache")) => Ok(Some(name.to_owned())),
            Some(name) => Err(CommandError::usage(format!("the installer `{}` is not known", escape(name)))
                .with_cure("use nginx or apache, or --deploy-hook COMMAND for another server")),
        }
    }

    /// What the flags change in a renewal configuration. Without `server`: that is for the caller to judge.
    pub(crate) fn edits(&self) -> Result<ConfEdits, CommandError> {
        let mut edits = ConfEdits::default();
        if let Some(name) = self.authenticator()? {
            edits.param("authenticator", Some(&name));
        }
        self.validation_edits(&mut edits)?;
        self.key_edits(&mut edits)?;
        let hooks = &self.typed.hooks;
        let texts = [
            ("pre_hook", &hooks.pre_hook),
            ("post_hook", &hooks.post_hook),
            ("renew_hook", &hooks.deploy_hook),
            ("manual_auth_hook", &self.typed.validation.manual_auth_hook),
            ("manual_cleanup_hook", &self.typed.validation.manual_cleanup_hook),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                edits.param(key, Some(value));
            }
        }
        if self.typed.renewal.allow_subset_of_names {
            edits.param("allow_subset_of_names", Some("True"));
        }
        if self.typed.renewal.no_autorenew {
            edits.param("autorenew", Some("False"));
        }
        Ok(edits)
    }

    fn validation_edits(&self, edits: &mut ConfEdits) -> Result<(), CommandError> {
        let typed = &self.typed.validation;
        if self.webroots_apply() {
            let mut roots: Vec<PathBuf> = Vec::new();
            for root in typed.webroot_path.iter().map(|root| absolute(root)) {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
            let mut map: Vec<(String, PathBuf)> = Vec::new();
            if let Some(json) = &typed.webroot_map {
                map = webroot_map(json)?;
            }
            for one in &self.webroots {
                let name = Identifier::parse_unicode(&one.name)
                    .map_or_else(|_| one.name.clone(), |identifier| identifier.to_string());
                map.retain(|(other, _)| *other != name);
                map.push((name, absolute(&one.root)));
            }
            for (_, root) in &map {
                if !roots.contains(root) {
                    roots.push(root.clone());
                }
            }
            edits.params.push(("webroot_path".to_owned(), Some(path_list(&roots)?)));
            // Without a name the path is for those that the map of the conf does not hold: the map itself stays.
            if !map.is_empty() {
                edits.webroot_map = Some(map);
            }
        }
        if let Some(list) = &typed.preferred_challenges {
            let kinds = preferred_challenges(list)?;
            edits.params.push(("pref_challs".to_owned(), Some(ConfValue::List(kinds))));
        }
        if let Some(port) = typed.http_01_port {
            edits.param("http01_port", Some(&port.to_string()));
        }
        if let Some(text) = &typed.http_01_address {
            let address: IpAddr = text
                .parse()
                .map_err(|_| CommandError::usage(format!("--http-01-address {}: not an IP address", escape(text))))?;
            edits.param("http01_address", Some(&address.to_string()));
        }
        Ok(())
    }

    fn key_edits(&self, edits: &mut ConfEdits) -> Result<(), CommandError> {
        let key = &self.typed.key;
        if let Some(kind) = &key.key_type {
            edits.param("key_type", Some(kind));
        }
        if let Some(size) = key.rsa_key_size {
            if ![2048, 3072, 4096].contains(&size) {
                return Err(CommandError::usage(format!("--rsa-key-size {size} is not possible"))
                    .with_cure("use 2048, 3072 or 4096"));
            }
            edits.param("rsa_key_size", Some(&size.to_string()));
        }
        if let Some(curve) = &key.elliptic_curve {
            edits.param("elliptic_curve", Some(&curve.to_lowercase()));
        }
        if key.reuse_key || key.no_reuse_key {
            edits.param("reuse_key", Some(if key.reuse_key { "True" } else { "False" }));
        }
        let texts = [
            ("preferred_chain", &key.preferred_chain),
            ("preferred_profile", &key.preferred_profile),
            ("required_profile", &key.required_profile),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                edits.param(name, Some(value));
            }
        }
        Ok(())
    }

    /// Whether any hook was named: certbot tells when none was run.
    pub(crate) fn has_hooks(&self) -> bool {
        let hooks = &self.typed.hooks;
        hooks.pre_hook.is_some() || hooks.post_hook.is_some() || hooks.deploy_hook.is_some()
    }

    /// certbot's check at the start, so that no certificate is obtained whose hook cannot run.
    pub(crate) fn validate_hooks(&self) -> Result<(), CommandError> {
        let hooks = &self.typed.hooks;
        if hooks.disable_hook_validation {
            return Ok(());
        }
        let named = [
            (HookStage::Pre, &hooks.pre_hook),
            (HookStage::Post, &hooks.post_hook),
            (HookStage::Deploy, &hooks.deploy_hook),
        ];
        let path: Option<&OsStr> = self.environment.path.as_deref();
        for (stage, command) in named {
            if let Some(command) = command {
                validate_hook(stage, command, path).map_err(|problem| {
                    CommandError::failed(escape_lines(&problem))
                        .with_cure("correct the command, or pass --disable-hook-validation if it will exist later")
                })?;
            }
        }
        Ok(())
    }
}

/// A CA by its name or by the URL of its directory.
pub(crate) fn resolve(text: &str) -> Result<AcmeUrl, CommandError> {
    authorities::resolve(text)
        .map_err(|problem| CommandError::usage(format!("--server: {}", escape(&problem.to_string()))))
}

/// A certificate name as typed.
pub(crate) fn lineage_name(text: &str) -> Result<LineageName, CommandError> {
    LineageName::new(text).map_err(|problem| CommandError::usage(problem.to_string()))
}

/// Escapes each line and keeps the line ends.
pub(crate) fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

fn webroot_map(json: &str) -> Result<Vec<(String, PathBuf)>, CommandError> {
    let wrong =
        || CommandError::usage("--webroot-map is not JSON of the form {\"a.example,www.a.example\": \"/srv/a\"}");
    let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).map_err(|_| wrong())?;
    let mut map = Vec::new();
    for (names, root) in parsed {
        let root = absolute(Path::new(root.as_str().ok_or_else(wrong)?));
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let identifier = Identifier::parse_unicode(name).map_err(|problem| {
                CommandError::usage(format!("--webroot-map: {}: {}", escape(name), escape(&problem.to_string())))
            })?;
            map.push((identifier.to_string(), root.clone()));
        }
    }
    Ok(map)
}

fn path_list(paths: &[PathBuf]) -> Result<ConfValue, CommandError> {
    let texts = paths.iter().map(|path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            CommandError::usage(format!(
                "the path {} is not UTF-8, so no configuration can hold it",
                crate::ui::shown(path)
            ))
        })
    });
    Ok(ConfValue::List(texts.collect::<Result<_, _>>()?))
}

fn preferred_challenges(list: &str) -> Result<Vec<String>, CommandError> {
    let mut kinds = Vec::new();
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let kind = match text.to_lowercase().as_str() {
            "http" | "http-01" => "http-01",
            "dns" | "dns-01" => "dns-01",
            _ => {
                return Err(CommandError::usage(format!("--preferred-challenges: `{}` is not known", escape(text)))
                    .with_cure("use http, dns, or both in their order: http,dns"));
            }
        };
        if !kinds.iter().any(|other| other == kind) {
            kinds.push(kind.to_owned());
        }
    }
    Ok(kinds)
}
