//! What can be set, and what applies without a setting.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::SettingsProblemCode as Code;
use super::document::{Lines, Names, Reader, Value, open, table};
use super::keys::{SettingsFile, nearest};
use super::problem::shown;
use super::{
    ChannelSetting, DeploySetting, HeartbeatSetting, MailAddress, NotifySetting, Origin, SettingsProblem, Source,
    Sourced, deploy_tables, endpoint_tables, notify_tables,
};
use crate::store::{LiveSwitch, StorePaths};
use crate::{Endpoint, LineageName};

/// What applies to all certificates: `certkit/settings.toml`, over the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// `fallback_servers`: the CAs to try in this order when the one of the conf is down, by name or by the URL of a
    /// directory, as written. None by default.
    pub fallback_servers: Sourced<Vec<String>>,
    /// `renewal_information`: ask the CA when to renew (RFC 9773). True by default.
    pub renewal_information: Sourced<bool>,
    /// `revocation_check`: look the stored certificate up in the CA's CRL. True by default.
    pub revocation_check: Sourced<bool>,
    /// `live_switch`: how a new version goes live.
    pub live_switch: Sourced<LiveSwitch>,
    /// `hook_time_limit`: after this a hook is ended. One hour by default; 1 second to 7 days.
    pub hook_time_limit: Sourced<Duration>,
    /// `default_endpoints`: look at port 443 of each name, besides the `[[endpoint]]` tables. True by default.
    pub default_endpoints: Sourced<bool>,
    /// `proof_patience`: so long servers have time to serve a new version before it is told that they do not. 15 seconds by
    /// default; 1 second to 10 minutes.
    pub proof_patience: Sourced<Duration>,
    /// `parallel_orders`: how many orders at once at each CA. 4 by default; 1 to 64.
    pub parallel_orders: Sourced<usize>,
    /// `ca_bundles`: PEM files, or folders of them, with roots to trust besides the system's; absolute. None by default.
    pub ca_bundles: Sourced<Vec<PathBuf>>,
    /// `run_interval`: how often certkit is run, where nothing else tells. Not known by default; 1 minute to 7 days.
    pub run_interval: Sourced<Option<Duration>>,
    /// `user_agent_comment`: appended to the User-Agent. Printable ASCII, at most 200 bytes.
    pub user_agent_comment: Sourced<Option<String>>,
    /// `email`: whom mail goes to where a channel names nobody itself; an address, or a list. Nobody by default.
    pub email: Sourced<Vec<MailAddress>>,
    /// The `[[notify]]` tables in their order: how the owner is told. See [`Settings::channels`].
    pub notify: Vec<Sourced<NotifySetting>>,
    /// `[heartbeat]`: a URL that is called after each run. None by default.
    pub heartbeat: Option<Sourced<HeartbeatSetting>>,
    /// `metrics_textfile`: the file for Prometheus' node_exporter that each run writes; absolute, its name ends in `.prom`.
    /// None by default.
    pub metrics_textfile: Sourced<Option<PathBuf>>,
    /// `metrics_per_certificate`: whether each certificate has series of its own. True by default.
    pub metrics_per_certificate: Sourced<bool>,
    /// The variables in which there are secrets of channels that can be read and tell nobody.
    pub(super) idle_secret_variables: Vec<String>,
}

/// What applies to one certificate: `certkit/lineages/NAME.toml`, over [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineageSettings {
    /// See [`Settings::fallback_servers`].
    pub fallback_servers: Sourced<Vec<String>>,
    /// See [`Settings::renewal_information`].
    pub renewal_information: Sourced<bool>,
    /// See [`Settings::revocation_check`].
    pub revocation_check: Sourced<bool>,
    /// See [`Settings::live_switch`].
    pub live_switch: Sourced<LiveSwitch>,
    /// See [`Settings::hook_time_limit`].
    pub hook_time_limit: Sourced<Duration>,
    /// See [`Settings::default_endpoints`].
    pub default_endpoints: Sourced<bool>,
    /// See [`Settings::proof_patience`].
    pub proof_patience: Sourced<Duration>,
    /// The `[[endpoint]]` tables in their order: where the certificate has to be served.
    pub endpoints: Vec<Sourced<Endpoint>>,
    /// The `[[deploy]]` tables in their order: what has to receive each new version besides the conf's hooks.
    pub deploy: Vec<Sourced<DeploySetting>>,
}

/// A hook that takes longer than certbot's users ever waited is stuck.
const DEFAULT_HOOK_TIME_LIMIT: Duration = Duration::from_secs(3600);
/// As `--hook-time-limit`.
const HOOK_TIME_LIMIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// A reload of nginx or Apache takes less than a second, one with long connections or many sites some more.
const DEFAULT_PROOF_PATIENCE: Duration = Duration::from_secs(15);
/// A run holds the lock meanwhile; what takes longer is seen at the next run.
const PROOF_PATIENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Below any CA's limit of orders at once.
const DEFAULT_PARALLEL_ORDERS: usize = 4;
const PARALLEL_ORDERS: RangeInclusive<u64> = 1..=64;

/// Timers of a minute are the shortest there are; less than once a week is too seldom for six-day certificates.
const RUN_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);

/// Some servers refuse a head with long lines.
const MAX_COMMENT_BYTES: usize = 200;

/// Where Debian's node_exporter looks by default is /var/lib/prometheus/node-exporter.
const EXAMPLE_TEXTFILE: &str = "/var/lib/prometheus/node-exporter/certkit.prom";

impl Default for Settings {
    /// What applies without a file.
    fn default() -> Self {
        Self {
            fallback_servers: Sourced::default_value(Vec::new()),
            renewal_information: Sourced::default_value(true),
            revocation_check: Sourced::default_value(true),
            live_switch: Sourced::default_value(LiveSwitch::default()),
            hook_time_limit: Sourced::default_value(DEFAULT_HOOK_TIME_LIMIT),
            default_endpoints: Sourced::default_value(true),
            proof_patience: Sourced::default_value(DEFAULT_PROOF_PATIENCE),
            parallel_orders: Sourced::default_value(DEFAULT_PARALLEL_ORDERS),
            ca_bundles: Sourced::default_value(Vec::new()),
            run_interval: Sourced::default_value(None),
            user_agent_comment: Sourced::default_value(None),
            email: Sourced::default_value(Vec::new()),
            notify: Vec::new(),
            heartbeat: None,
            metrics_textfile: Sourced::default_value(None),
            metrics_per_certificate: Sourced::default_value(true),
            idle_secret_variables: Vec::new(),
        }
    }
}

impl Default for LineageSettings {
    /// What applies without any file.
    fn default() -> Self {
        Self::inherited(&Settings::default())
    }
}

impl Settings {
    /// The largest file that is read, in bytes.
    pub const MAX_BYTES: usize = super::document::MAX_BYTES;

    /// Reads the content of `certkit/settings.toml`. All its problems are told, by line.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<SettingsProblem>> {
        let file = SettingsFile::Global;
        let (text, mut reader) = open(bytes)?;
        let table = table(&text);
        let both = Both::read(&mut reader, &table, file);
        let mut settings = Self::default();
        for (key, value) in &table {
            let name = key.get_ref().as_ref();
            let origin = Origin::SettingsFile { line: reader.line(key.span().start) };
            match name {
                "parallel_orders" => {
                    let number = reader.number(name, value, PARALLEL_ORDERS).and_then(|number| number.try_into().ok());
                    set(&mut settings.parallel_orders, number, origin);
                }
                "ca_bundles" => set(&mut settings.ca_bundles, bundles(&mut reader, name, value), origin),
                "run_interval" => {
                    set(&mut settings.run_interval, reader.interval(name, value, RUN_INTERVAL).map(Some), origin);
                }
                "user_agent_comment" => {
                    set(&mut settings.user_agent_comment, comment(&mut reader, name, value).map(Some), origin);
                }
                "email" => set(&mut settings.email, notify_tables::email(&mut reader, name, value), origin),
                "notify" => settings.notify = notify_tables::read(&mut reader, value),
                "heartbeat" => {
                    let heartbeat = notify_tables::heartbeat(&mut reader, value);
                    settings.heartbeat = heartbeat.map(|heartbeat| Sourced::new(heartbeat, origin));
                }
                "metrics_textfile" => {
                    set(&mut settings.metrics_textfile, textfile(&mut reader, name, value).map(Some), origin);
                }
                "metrics_per_certificate" => {
                    set(&mut settings.metrics_per_certificate, reader.truth(name, value), origin);
                }
                _ if file.keys().any(|known| known == name) => {}
                _ => file.refuse(&mut reader, key),
            }
        }
        nobody_to_send_to(&mut reader, &settings);
        settings.fallback_servers = settings.fallback_servers.with_lineage(both.fallback_servers);
        settings.renewal_information = settings.renewal_information.with_lineage(both.renewal_information);
        settings.revocation_check = settings.revocation_check.with_lineage(both.revocation_check);
        settings.live_switch = settings.live_switch.with_lineage(both.live_switch);
        settings.hook_time_limit = settings.hook_time_limit.with_lineage(both.hook_time_limit);
        settings.default_endpoints = settings.default_endpoints.with_lineage(both.default_endpoints);
        settings.proof_patience = settings.proof_patience.with_lineage(both.proof_patience);
        reader.finish(settings)
    }

    /// How the owner is told: the `[[notify]]` tables, and mail by way of this machine's own mail system when there are
    /// addresses in `email` and no table sends mail. Empty when nobody is told.
    pub fn channels(&self) -> Vec<Sourced<NotifySetting>> {
        let mut channels = self.notify.clone();
        if !self.email.value.is_empty() && !channels.iter().any(|channel| channel.value.channel.is_mail()) {
            channels.push(Sourced::new(NotifySetting::local_mail(), self.email.origin.clone()));
        }
        channels
    }

    /// Whether a secret stands in the file itself, so that whoever reads the file knows it.
    pub fn holds_secrets(&self) -> bool {
        self.secrets().any(|source| matches!(source, Source::Inline(_)))
    }

    /// The environment variables in which there are secrets. They are for certkit alone: no hook inherits them.
    pub fn secret_variables(&self) -> Vec<&str> {
        let mut variables: Vec<&str> = self.idle_secret_variables.iter().map(String::as_str).collect();
        for source in self.secrets() {
            if let Source::Environment(name) = source {
                variables.push(name.as_str());
            }
        }
        variables
    }

    /// Where the values come from that are never shown.
    fn secrets(&self) -> impl Iterator<Item = &Source> {
        let heartbeat = self.heartbeat.iter().map(|heartbeat| &heartbeat.value.url);
        let channels = self.notify.iter().flat_map(|channel| match &channel.value.channel {
            ChannelSetting::Smtp(smtp) => smtp.login.iter().map(|(_, password)| password).collect(),
            ChannelSetting::Webhook { fields, .. } => fields.values().collect(),
            _ => Vec::new(),
        });
        heartbeat.chain(channels)
    }
}

/// A mail channel that names nobody while `email` does not either.
fn nobody_to_send_to(reader: &mut Reader, settings: &Settings) {
    if !settings.email.value.is_empty() {
        return;
    }
    for channel in &settings.notify {
        if channel.value.channel.addresses().is_some_and(|addresses| addresses.to.is_empty()) {
            let what = format!("`{}` has nobody to send to", shown(&channel.value.name));
            let cure = "write `to = \"owner@example.org\"` beside it, or `email = \"owner@example.org\"` at the top of the file";
            reader.report_line(Code::BadValue, channel.origin.line(), "notify.to", what, cure);
        }
    }
}

impl LineageSettings {
    /// What applies to a certificate without a file of its own.
    pub fn inherited(settings: &Settings) -> Self {
        Self {
            fallback_servers: settings.fallback_servers.clone(),
            renewal_information: settings.renewal_information.clone(),
            revocation_check: settings.revocation_check.clone(),
            live_switch: settings.live_switch.clone(),
            hook_time_limit: settings.hook_time_limit.clone(),
            default_endpoints: settings.default_endpoints.clone(),
            proof_patience: settings.proof_patience.clone(),
            endpoints: Vec::new(),
            deploy: Vec::new(),
        }
    }

    /// Reads the content of `certkit/lineages/NAME.toml`. What a flag said in `settings` stays. All its problems are told,
    /// by line; paths are judged by their text alone.
    pub fn parse(
        bytes: &[u8],
        settings: &Settings,
        name: &LineageName,
        paths: &StorePaths,
    ) -> Result<Self, Vec<SettingsProblem>> {
        let file = SettingsFile::Lineage(name);
        let (text, mut reader) = open(bytes)?;
        let table = table(&text);
        let both = Both::read(&mut reader, &table, file);
        let (mut deploy, mut endpoints) = (Vec::new(), Vec::new());
        for (key, value) in &table {
            match key.get_ref().as_ref() {
                "deploy" => deploy = deploy_tables::read(&mut reader, value, name, paths),
                "endpoint" => endpoints = endpoint_tables::read(&mut reader, value, name),
                known if file.keys().any(|one| one == known) => {}
                _ => file.refuse(&mut reader, key),
            }
        }
        reader.finish(Self {
            fallback_servers: settings.fallback_servers.with_lineage(both.fallback_servers),
            renewal_information: settings.renewal_information.with_lineage(both.renewal_information),
            revocation_check: settings.revocation_check.with_lineage(both.revocation_check),
            live_switch: settings.live_switch.with_lineage(both.live_switch),
            hook_time_limit: settings.hook_time_limit.with_lineage(both.hook_time_limit),
            default_endpoints: settings.default_endpoints.with_lineage(both.default_endpoints),
            proof_patience: settings.proof_patience.with_lineage(both.proof_patience),
            endpoints,
            deploy,
        })
    }
}

/// The keys of both files, as far as they are set.
#[derive(Default)]
struct Both {
    fallback_servers: Option<Sourced<Vec<String>>>,
    renewal_information: Option<Sourced<bool>>,
    revocation_check: Option<Sourced<bool>>,
    live_switch: Option<Sourced<LiveSwitch>>,
    hook_time_limit: Option<Sourced<Duration>>,
    default_endpoints: Option<Sourced<bool>>,
    proof_patience: Option<Sourced<Duration>>,
}

impl Both {
    fn read(reader: &mut Reader, table: &DeTable<'_>, file: SettingsFile<'_>) -> Self {
        let mut both = Self::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let line = reader.line(key.span().start);
            let origin = match file {
                SettingsFile::Global => Origin::SettingsFile { line },
                SettingsFile::Lineage(name) => Origin::LineageFile { name: name.clone(), line },
            };
            match name {
                "fallback_servers" => {
                    let servers = reader.texts(name, value, "[\"letsencrypt\"]");
                    let servers =
                        servers.map(|list| list.into_iter().map(|(text, _)| text.trim().to_owned()).collect());
                    both.fallback_servers = servers.map(|servers| Sourced::new(servers, origin));
                }
                "renewal_information" => {
                    both.renewal_information = reader.truth(name, value).map(|truth| Sourced::new(truth, origin));
                }
                "revocation_check" => {
                    both.revocation_check = reader.truth(name, value).map(|truth| Sourced::new(truth, origin));
                }
                "live_switch" => {
                    both.live_switch = live_switch(reader, name, value).map(|how| Sourced::new(how, origin));
                }
                "hook_time_limit" => {
                    let limit = reader.interval(name, value, HOOK_TIME_LIMIT);
                    both.hook_time_limit = limit.map(|limit| Sourced::new(limit, origin));
                }
                "default_endpoints" => {
                    both.default_endpoints = reader.truth(name, value).map(|truth| Sourced::new(truth, origin));
                }
                "proof_patience" => {
                    let patience = reader.interval(name, value, PROOF_PATIENCE);
                    both.proof_patience = patience.map(|patience| Sourced::new(patience, origin));
                }
                _ => {}
            }
        }
        both
    }
}

pub(super) fn set<T>(place: &mut Sourced<T>, value: Option<T>, origin: Origin) {
    if let Some(value) = value {
        *place = Sourced::new(value, origin);
    }
}

fn live_switch(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<LiveSwitch> {
    const ALL: [LiveSwitch; 2] = [LiveSwitch::Exchange, LiveSwitch::Links];
    let text = reader.text(key, value, Lines::One)?;
    let found = ALL.into_iter().find(|how| how.as_str() == text);
    if found.is_none() {
        let cure = match nearest(text, ALL.map(LiveSwitch::as_str)) {
            Some(near) => format!("did you mean `{key} = \"{near}\"`?"),
            None => format!("write `{key} = \"exchange\"` or `{key} = \"links\"`"),
        };
        reader.bad(key, value, format!("`{key}` cannot be `{}`", shown(text)), cure);
    }
    found
}

pub(super) fn bundles(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<Vec<PathBuf>> {
    let before = reader.count();
    let texts = reader.texts(key, value, "[\"/etc/ssl/own-root.pem\"]")?;
    let paths = texts.iter().filter_map(|(_, item)| reader.path(key, item, Names::Folder)).collect();
    (reader.count() == before).then_some(paths)
}

fn comment(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<String> {
    let text = reader.text(key, value, Lines::One)?.trim();
    if text.len() > MAX_COMMENT_BYTES || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let cure = format!("write at most {MAX_COMMENT_BYTES} printable ASCII characters");
        reader.report(Code::BadValue, value.span(), key, format!("`{key}` cannot stand in a User-Agent"), cure);
        return None;
    }
    Some(text.to_owned())
}

/// node_exporter passes over files with another ending, and nobody would know why there are no metrics.
fn textfile(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<PathBuf> {
    let path = reader.path(key, value, Names::File)?;
    if path.extension().is_none_or(|extension| extension != "prom") {
        let cure = format!("write a path that ends in `.prom`, for example `{key} = \"{EXAMPLE_TEXTFILE}\"`");
        reader.bad(
            key,
            value,
            format!("`{key}` does not end in `.prom`, so that node_exporter would not read it"),
            cure,
        );
        return None;
    }
    Some(path)
}

/// The value of a `[[deploy]]` or `[[endpoint]]` key may be a list written in one line, too.
pub(super) fn tables<'v, 't>(value: &'v Value<'t>) -> Option<Vec<(&'v Value<'t>, &'v DeTable<'t>)>> {
    let DeValue::Array(items) = value.get_ref() else { return None };
    items
        .iter()
        .map(|item| match item.get_ref() {
            DeValue::Table(table) => Some((item, table)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
