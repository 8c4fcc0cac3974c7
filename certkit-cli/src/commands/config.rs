//! `config check`: what is set, where, and what is wrong with it. It reads only.

use std::path::{Path, PathBuf};

use clap::Args as _;

use certkit_acme::authorities::{self, is_test_authority};
use certkit_acme::fallback::fallbacks;
use certkit_acme::transport::Transport;
use certkit_core::settings::{LineageSettings, Origin, Settings, SettingsError, SettingsProblem};
use certkit_core::store::{BrokenLineage, ConfEdits, Lineage, RenewalConf, Store};
use certkit_core::{Finding, FindingCode, LineageName, decision, escape};

use super::common::no_such_certificate;
use super::{Command, Context, Operands};
use crate::args::Invocation;
use crate::exit::{CommandError, Exit};
use crate::render::config::{Checked, Row, Told, json, problems, text};
use crate::render::words;

/// Check the settings and show where each comes from
///
/// Shows what applies to all certificates (certkit/settings.toml) and to each one (certkit/lineages/NAME.toml,
/// renewal/NAME.conf), with where it stands, and everything that is wrong with these files and what to do about it.
/// Nothing is changed.
#[derive(clap::Args)]
struct About {}

/// `config`.
pub(crate) const COMMAND: Command = Command {
    name: "config",
    describe: About::augment_args,
    usage: "check",
    flags: &["cert_name"],
    writes: false,
    operands: Operands::OneOf(&["check"]),
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let store = context.store()?;
    let only = context.invocation.cert_name()?;
    let mut check = Check { context, store: &store, edits: edits(context.invocation)?, checked: Checked::default() };
    let all: Vec<_> = store.lineages()?.collect();
    let all: Vec<_> = all.into_iter().filter(|one| only.as_ref().is_none_or(|only| is_named(one, only))).collect();
    if let Some(name) = only.as_ref().filter(|_| all.is_empty()) {
        return Err(no_such_certificate(&store, name));
    }
    let settings = check.global(all.iter().flatten())?;
    for lineage in &all {
        match lineage {
            Ok(lineage) => check.lineage(lineage, settings.as_ref()),
            Err(broken) => check.broken(broken),
        }
    }
    if only.is_none() {
        check.orphans()?;
    }
    let checked = check.checked;
    context.ui.result(&text(&checked));
    if context.ui.voice().json {
        context.ui.json(&json(&checked, store.paths()));
    }
    if checked.problems.is_empty() {
        return Ok(Exit::Well);
    }
    context.ui.failure(&format!("\n{}", problems(&checked.problems)));
    Ok(Exit::Failed)
}

/// What cli.ini (or a flag) changes in every certificate that `certkit renew` renews.
fn edits(invocation: &Invocation) -> Result<ConfEdits, CommandError> {
    let mut as_renew = invocation.clone();
    as_renew.typed.words = vec!["renew".to_owned()];
    as_renew.edits()
}

fn is_named(lineage: &Result<Lineage, BrokenLineage>, name: &LineageName) -> bool {
    match lineage {
        Ok(lineage) => lineage.name() == name,
        Err(broken) => broken.name == name.as_str(),
    }
}

struct Check<'a> {
    context: &'a Context<'a>,
    store: &'a Store,
    edits: ConfEdits,
    checked: Checked,
}

impl Check<'_> {
    /// What applies to all certificates; none where the file cannot be used.
    fn global<'l>(&mut self, lineages: impl Iterator<Item = &'l Lineage>) -> Result<Option<Settings>, CommandError> {
        let invocation = self.context.invocation;
        let settings = match self.store.settings() {
            Ok(settings) => invocation.effective(settings),
            Err(error) => {
                self.file(error);
                return Ok(None);
            }
        };
        let servers: Vec<&str> = lineages.filter_map(|one| one.conf().params().effective_server()).collect();
        let may_be_test = !servers.is_empty() && servers.iter().all(|server| is_test_authority(server));
        let path = self.store.paths().settings_file();
        self.tell(&path, fallbacks(self.store, &settings.fallback_servers, may_be_test).problems);
        self.bundles(&settings);
        self.secrets(&settings);
        let mut rows = both(&LineageSettings::inherited(&settings));
        rows.extend(only_global(&settings));
        let server = invocation.server_or_default()?;
        let origin = match invocation.server()? {
            Some(_) => invocation.flag_origin(if invocation.typed.general.staging { "staging" } else { "server" }),
            None => Origin::Default,
        };
        let mut row = Row::text("server", server.as_str(), origin);
        row.text.push_str(" (for new certificates)");
        rows.push(row);
        self.checked.settings = Some(rows);
        Ok(Some(settings))
    }

    fn lineage(&mut self, lineage: &Lineage, settings: Option<&Settings>) {
        let name = lineage.name();
        let own = self.own(name, settings);
        let path = self.store.paths().lineage_settings_file(name);
        if let Some(own) = &own
            && matches!(own.fallback_servers.origin, Origin::LineageFile { .. })
        {
            let may_be_test = lineage.conf().params().effective_server().is_some_and(is_test_authority);
            self.tell(&path, fallbacks(self.store, &own.fallback_servers, may_be_test).problems);
        }
        let conf = self.conf(lineage);
        // Over a global file that cannot be used, nothing applies.
        let rows = own.filter(|_| settings.is_some()).zip(conf).map(|(own, conf)| {
            let mut rows = both(&own);
            rows.extend(own.endpoints.iter().map(Row::endpoint));
            rows.extend(own.deploy.iter().map(Row::deploy));
            rows.extend(conf);
            rows
        });
        self.checked.lineages.push((name.to_string(), rows));
    }

    /// A conf that cannot be used; its file of settings may have problems of its own.
    fn broken(&mut self, broken: &BrokenLineage) {
        let reason = broken.reason.to_string();
        self.checked.problems.push(Told {
            path: broken.conf_path.clone(),
            line: None,
            key: String::new(),
            code: "broken-lineage",
            what: escape(&reason).into_owned(),
            cure: words::cure_for(words::broken_cure(&reason, broken.reason.hindrance()), &broken.name),
        });
        if let Ok(name) = LineageName::new(broken.name.as_str()) {
            self.own(&name, None);
        }
        self.checked.lineages.push((broken.name.clone(), None));
    }

    fn own(&mut self, name: &LineageName, settings: Option<&Settings>) -> Option<LineageSettings> {
        let defaults = Settings::default();
        let own = self.store.lineage_settings(settings.unwrap_or(&defaults), name);
        own.map_err(|error| self.file(error)).ok()
    }

    /// What stands in the conf, and what cli.ini says over it.
    fn conf(&mut self, lineage: &Lineage) -> Option<Vec<Row>> {
        let conf = lineage.conf();
        let path = lineage.conf_path();
        if let Some(text) = conf.renew_before_expiry()
            && decision::parse_interval(text).is_err()
        {
            let finding = Finding::new(FindingCode::RenewBeforeExpiryUnreadable, lineage.name(), text);
            self.finding(path, "renew_before_expiry", "bad-value", finding.what(), finding.cure());
        }
        match conf.edited(&self.edits) {
            Ok(effective) => Some(self.conf_rows(lineage.name(), conf, &effective)),
            Err(problem) => {
                let cure = "correct cli.ini or the flags, so that the value can stand in a renewal configuration";
                self.finding(path, "", "bad-value", escape(&problem.to_string()).into_owned(), cure);
                None
            }
        }
    }

    fn conf_rows(&self, name: &LineageName, conf: &RenewalConf, effective: &RenewalConf) -> Vec<Row> {
        let origin = |keys: &[&str]| {
            let edited = self.edits.params.iter().any(|(key, _)| keys.contains(&key.as_str()));
            match keys.iter().find(|key| conf.param(key).is_some()) {
                _ if edited => self.context.invocation.flag_origin(flag_of(keys, self.context.invocation)),
                Some(_) => Origin::Conf { name: name.clone() },
                None => Origin::Default,
            }
        };
        let params = effective.params();
        let mut rows = vec![
            Row::text("server", params.effective_server().unwrap_or(authorities::LETS_ENCRYPT), origin(&["server"])),
            Row::optional("account", params.account.as_deref(), &origin(&["account"])),
            Row::optional("authenticator", params.authenticator.as_deref(), &origin(&["authenticator"])),
        ];
        if !params.webroot_path.is_empty() {
            let paths: Vec<String> = params.webroot_path.iter().map(ToString::to_string).collect();
            rows.push(Row::list("webroot_path", &paths, &origin(&["webroot_path"])));
        }
        if !params.webroot_map.is_empty() {
            let map: Vec<String> = params.webroot_map.iter().map(|(name, path)| format!("{name}: {path}")).collect();
            rows.push(Row::list("webroot_map", &map, &Origin::Conf { name: name.clone() }));
        }
        rows.push(Row::text("key_type", params.effective_key_type(), origin(&["key_type"])));
        let size = params.rsa_key_size.map(|size| size.to_string());
        // certbot writes both: only the one of the key's kind counts.
        if params.effective_key_type().eq_ignore_ascii_case("rsa") {
            rows.extend(size.map(|size| Row::text("rsa_key_size", &size, origin(&["rsa_key_size"]))));
        } else {
            let curve = params.elliptic_curve.as_deref();
            rows.extend(curve.map(|curve| Row::text("elliptic_curve", curve, origin(&["elliptic_curve"]))));
        }
        let truth = |key, value: bool| Row::text(key, if value { "true" } else { "false" }, origin(&[key]));
        rows.extend([truth("reuse_key", params.reuse_key), truth("autorenew", params.autorenew)].map(|mut row| {
            row.value = serde_json::json!(row.text == "true");
            row
        }));
        let port = params.http01_port.map(|port| port.to_string());
        let address = params.http01_address.map(|address| address.to_string());
        let challenges = (!params.preferred_challenges.is_empty()).then(|| params.preferred_challenges.join(","));
        let texts: [(&'static str, &[&str], Option<&str>); 12] = [
            ("preferred_challenges", &["pref_challs"], challenges.as_deref()),
            ("http01_port", &["http01_port"], port.as_deref()),
            ("http01_address", &["http01_address"], address.as_deref()),
            ("manual_auth_hook", &["manual_auth_hook"], params.manual_auth_hook.as_deref()),
            ("manual_cleanup_hook", &["manual_cleanup_hook"], params.manual_cleanup_hook.as_deref()),
            ("preferred_chain", &["preferred_chain"], params.preferred_chain.as_deref()),
            ("preferred_profile", &["preferred_profile"], params.preferred_profile.as_deref()),
            ("required_profile", &["required_profile"], params.required_profile.as_deref()),
            ("installer", &["installer"], params.installer.as_deref()),
            ("pre_hook", &["pre_hook"], params.pre_hook.as_deref()),
            ("deploy_hook", &["renew_hook", "deploy_hook"], params.deploy_hook.as_deref()),
            ("post_hook", &["post_hook"], params.post_hook.as_deref()),
        ];
        let set = texts.into_iter().filter_map(|(key, keys, value)| Some(Row::text(key, value?, origin(keys))));
        rows.extend(set);
        rows.extend(
            conf.renew_before_expiry()
                .map(|text| Row::text("renew_before_expiry", text, Origin::Conf { name: name.clone() })),
        );
        rows
    }

    /// Roots that cannot be read would fail every run.
    fn bundles(&mut self, settings: &Settings) {
        if settings.ca_bundles.value.is_empty() {
            return;
        }
        if let Err(error) = Transport::new(&self.context.invocation.transport(settings)) {
            let (path, line) = match &settings.ca_bundles.origin {
                Origin::CliIni { path, line } => (path.clone(), Some(*line)),
                origin => (self.store.paths().settings_file(), origin.line()),
            };
            self.checked.problems.push(Told {
                path,
                line,
                key: "ca_bundles".to_owned(),
                code: "ca-bundle",
                what: escape(&error.to_string()).into_owned(),
                cure: "name PEM files with certificates that can be read, or folders of them".to_owned(),
            });
        }
    }

    /// Secrets that everybody on the machine can read are none.
    fn secrets(&mut self, settings: &Settings) {
        if settings.holds_secrets() && self.store.settings_are_public() {
            let path = self.store.paths().settings_file();
            let finding = Finding::new(FindingCode::SecretReadable, path.to_string_lossy(), "");
            self.finding(&path, "", "secret-readable", finding.what(), finding.cure());
        }
    }

    fn orphans(&mut self) -> Result<(), CommandError> {
        for path in self.store.orphaned_settings()? {
            let name = path.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_suffix(".toml"));
            let (what, cure) = match name.and_then(|name| LineageName::new(name).ok()) {
                Some(name) => (
                    format!("there is no renewal/{name}.conf, so these settings apply to nothing"),
                    format!(
                        "rename it to the certificate that is meant, remove it, or obtain the certificate: certkit certonly --cert-name {name} -d …"
                    ),
                ),
                None => (
                    "it is named after no certificate, so nothing reads it".to_owned(),
                    "rename it to NAME.toml, NAME as `certkit certificates` lists it, or remove it".to_owned(),
                ),
            };
            self.finding(&path, "", "orphan", what, &cure);
        }
        Ok(())
    }

    fn finding(&mut self, path: &Path, key: &str, code: &'static str, what: String, cure: &str) {
        let told = Told { path: path.to_owned(), line: None, key: key.to_owned(), code, what, cure: cure.to_owned() };
        self.checked.problems.push(told);
    }

    fn file(&mut self, error: SettingsError) {
        let path: PathBuf = error.path;
        self.tell(&path, error.problems);
    }

    fn tell(&mut self, path: &Path, problems: Vec<SettingsProblem>) {
        self.checked.problems.extend(problems.into_iter().map(|problem| Told {
            path: path.to_owned(),
            line: problem.line,
            key: problem.key,
            code: problem.code.code(),
            what: problem.what,
            cure: problem.cure,
        }));
    }
}

/// The flag by which an edit of one of these keys was given: its id.
fn flag_of<'k>(keys: &'k [&'k str], invocation: &Invocation) -> &'k str {
    let candidates: &[&str] = match keys {
        ["authenticator"] => &["standalone", "webroot", "manual", "authenticator"],
        ["renew_hook", ..] => &["deploy_hook"],
        ["reuse_key"] => &["reuse_key", "no_reuse_key"],
        ["autorenew"] => &["no_autorenew"],
        ["pref_challs"] => &["preferred_challenges"],
        ["http01_port"] => &["http_01_port"],
        ["http01_address"] => &["http_01_address"],
        keys => keys,
    };
    let in_file = candidates.iter().find(|id| invocation.is_from_file(id));
    let typed = candidates.iter().find(|id| invocation.flags.iter().any(|flag| flag.replace('-', "_") == **id));
    in_file.or(typed).or_else(|| candidates.first()).copied().unwrap_or_default()
}

/// The keys of both files.
fn both(settings: &LineageSettings) -> Vec<Row> {
    let switch = &settings.live_switch;
    vec![
        Row::list("fallback_servers", &settings.fallback_servers.value, &settings.fallback_servers.origin),
        Row::truth("renewal_information", &settings.renewal_information),
        Row::truth("revocation_check", &settings.revocation_check),
        Row::text("live_switch", switch.value.as_str(), switch.origin.clone()),
        Row::interval("hook_time_limit", Some(settings.hook_time_limit.value), &settings.hook_time_limit.origin),
        Row::truth("default_endpoints", &settings.default_endpoints),
        Row::interval("proof_patience", Some(settings.proof_patience.value), &settings.proof_patience.origin),
    ]
}

/// The keys of the global file alone.
fn only_global(settings: &Settings) -> Vec<Row> {
    let bundles: Vec<String> =
        settings.ca_bundles.value.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let comment = &settings.user_agent_comment;
    let email: Vec<String> = settings.email.value.iter().map(ToString::to_string).collect();
    let textfile = settings.metrics_textfile.value.as_ref().map(|path| path.to_string_lossy().into_owned());
    let mut rows = vec![
        Row::number("parallel_orders", &settings.parallel_orders),
        Row::list("ca_bundles", &bundles, &settings.ca_bundles.origin),
        Row::interval("run_interval", settings.run_interval.value, &settings.run_interval.origin),
        Row::optional("user_agent_comment", comment.value.as_deref(), &comment.origin),
        Row::optional("metrics_textfile", textfile.as_deref(), &settings.metrics_textfile.origin),
        Row::truth("metrics_per_certificate", &settings.metrics_per_certificate),
        Row::list("email", &email, &settings.email.origin),
    ];
    rows.extend(settings.channels().iter().map(Row::notify));
    rows.extend(settings.heartbeat.as_ref().map(Row::heartbeat));
    rows
}
