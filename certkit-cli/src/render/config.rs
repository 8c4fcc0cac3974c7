//! `config check`: the effective settings with their origin, and what is wrong with them.

use std::path::PathBuf;

use certkit_core::settings::{
    ChannelSetting, DeploySetting, FileAccess, HeartbeatSetting, NotifySetting, Origin, Sourced, interval_text,
};
use certkit_core::store::StorePaths;
use certkit_core::{Endpoint, escape};
use serde_json::{Value, json};

use crate::ui::shown;

/// What `config check` found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// What applies to all certificates; none where the file cannot be used.
    pub(crate) settings: Option<Vec<Row>>,
    /// What applies to each certificate, by its escaped name; none where that cannot be said.
    pub(crate) lineages: Vec<(String, Option<Vec<Row>>)>,
    /// Everything that is wrong.
    pub(crate) problems: Vec<Told>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its key.
    pub(crate) key: &'static str,
    /// The value for people, escaped.
    pub(crate) text: String,
    /// The value for programs.
    pub(crate) value: Value,
    /// Where it stands.
    pub(crate) origin: Origin,
}

/// Something wrong.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line in it, from 1.
    pub(crate) line: Option<u32>,
    /// The key; empty when it is about none.
    pub(crate) key: String,
    /// A stable word.
    pub(crate) code: &'static str,
    /// What is wrong, escaped.
    pub(crate) what: String,
    /// What to do about it, escaped.
    pub(crate) cure: String,
}

impl Row {
    /// A value that is written as it is shown.
    pub(crate) fn text(key: &'static str, value: &str, origin: Origin) -> Self {
        Self { key, text: escape(value).into_owned(), value: json!(value), origin }
    }

    /// `true` or `false`.
    pub(crate) fn truth(key: &'static str, setting: &Sourced<bool>) -> Self {
        Self { key, text: setting.value.to_string(), value: json!(setting.value), origin: setting.origin.clone() }
    }

    /// A number.
    pub(crate) fn number(key: &'static str, setting: &Sourced<usize>) -> Self {
        Self { key, text: setting.value.to_string(), value: json!(setting.value), origin: setting.origin.clone() }
    }

    /// A length of time; in JSON in seconds.
    pub(crate) fn interval(key: &'static str, length: Option<std::time::Duration>, origin: &Origin) -> Self {
        let text = length.map_or_else(|| "none".to_owned(), interval_text);
        Self { key, text, value: json!(length.map(|length| length.as_secs())), origin: origin.clone() }
    }

    /// A text that may be missing.
    pub(crate) fn optional(key: &'static str, value: Option<&str>, origin: &Origin) -> Self {
        let text = value.map_or_else(|| "none".to_owned(), |value| escape(value).into_owned());
        Self { key, text, value: json!(value), origin: origin.clone() }
    }

    /// A list.
    pub(crate) fn list(key: &'static str, values: &[String], origin: &Origin) -> Self {
        let text = if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        Self { key, text: escape(&text).into_owned(), value: json!(values), origin: origin.clone() }
    }

    /// A channel by which the owner is told.
    pub(crate) fn notify(channel: &Sourced<NotifySetting>) -> Self {
        Self::of_fields("notify", channel_fields(&channel.value), channel.origin.clone())
    }

    /// The URL that is called after each run.
    pub(crate) fn heartbeat(heartbeat: &Sourced<HeartbeatSetting>) -> Self {
        let value = &heartbeat.value;
        let fields = vec![
            ("url", json!(value.url.to_string())),
            ("failures", json!(value.failures)),
            ("start", json!(value.start)),
        ];
        Self::of_fields("heartbeat", fields, heartbeat.origin.clone())
    }

    /// A place of an `[[endpoint]]` table.
    pub(crate) fn endpoint(endpoint: &Sourced<Endpoint>) -> Self {
        let Endpoint { host, port, protocol, server_name, .. } = &endpoint.value;
        let name = server_name.as_ref().map(|name| format!(", server_name {name}")).unwrap_or_default();
        let text = format!("{} ({}{name})", endpoint.value, protocol.as_str());
        let value = json!({ "host": host, "port": port, "protocol": protocol.as_str(), "server_name": server_name });
        Self { key: "endpoint", text: escape(&text).into_owned(), value, origin: endpoint.origin.clone() }
    }

    /// A target of a `[[deploy]]` table.
    pub(crate) fn deploy(target: &Sourced<DeploySetting>) -> Self {
        Self::of_fields("deploy", fields(&target.value), target.origin.clone())
    }

    /// The keys of a table, the one that says what it is first.
    fn of_fields(key: &'static str, fields: Vec<(&'static str, Value)>, origin: Origin) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        let mut parts = fields.iter().map(|(key, value)| format!("{key} {}", text(value)));
        let mut line = parts.next().unwrap_or_default();
        let rest: Vec<String> = parts.collect();
        if !rest.is_empty() {
            line.push_str(&format!(" ({})", rest.join(", ")));
        }
        let value = Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        Self { key, text: escape(&line).into_owned(), value, origin }
    }
}

/// The keys of a `[[notify]]` table; of what may be a secret, where it is.
fn channel_fields(setting: &NotifySetting) -> Vec<(&'static str, Value)> {
    let mut fields = match &setting.channel {
        ChannelSetting::Smtp(smtp) => {
            let mut fields =
                vec![("smtp", json!(smtp.host)), ("port", json!(smtp.port)), ("tls", json!(smtp.tls.as_str()))];
            if let Some((name, password)) = &smtp.login {
                fields.extend([("username", json!(name)), ("password", json!(password.to_string()))]);
            }
            fields
        }
        ChannelSetting::Sendmail { program, .. } => vec![("sendmail", json!(program.to_string_lossy()))],
        ChannelSetting::Webhook { preset, fields } => {
            let mut all = vec![("webhook", json!(preset.name()))];
            let told: Vec<String> = fields.iter().map(|(name, source)| format!("{name} {source}")).collect();
            all.extend((!told.is_empty()).then(|| ("fields", json!(told))));
            all
        }
        ChannelSetting::Command { command } => vec![("command", json!(command))],
        _ => vec![("channel", json!("of a kind that this version has no words for"))],
    };
    if let Some(addresses) = setting.channel.addresses() {
        fields.extend(addresses.from.as_ref().map(|from| ("from", json!(from.as_str()))));
        if !addresses.to.is_empty() {
            let to: Vec<&str> = addresses.to.iter().map(|one| one.as_str()).collect();
            fields.push(("to", json!(to)));
        }
    }
    fields.push(("level", json!(setting.level.code())));
    fields.push(("name", json!(setting.name)));
    fields
}

/// The keys of a `[[deploy]]` table, the one that says what it is first.
fn fields(target: &DeploySetting) -> Vec<(&'static str, Value)> {
    let path = |path: &std::path::Path| json!(path.to_string_lossy());
    let with = |mut fields: Vec<(&'static str, Value)>, access: &FileAccess| {
        fields.extend(access.owner.as_ref().map(|owner| ("owner", json!(owner))));
        fields.extend(access.group.as_ref().map(|group| ("group", json!(group))));
        fields.extend(access.mode.map(|mode| ("mode", json!(format!("{mode:04o}")))));
        fields
    };
    match target {
        DeploySetting::Combined { path: file, access } => with(vec![("combined", path(file))], access),
        DeploySetting::Command { command } => vec![("command", json!(command))],
        DeploySetting::Copy { folder, files, access } => {
            let files: Vec<&str> = files.0.iter().map(|kind| kind.as_str()).collect();
            with(vec![("copy", path(folder)), ("files", json!(files))], access)
        }
        DeploySetting::Der { certificate, key, access } => {
            let mut fields = vec![("der", path(certificate))];
            fields.extend(key.as_ref().map(|key| ("key", path(key))));
            with(fields, access)
        }
        DeploySetting::Reload { unit, check } => {
            let mut fields = vec![("reload", json!(unit))];
            fields.extend(check.as_ref().map(|check| ("check", json!(check))));
            fields
        }
        _ => vec![("target", json!("of a kind that this version has no words for"))],
    }
}

/// The tables for people.
pub(crate) fn text(checked: &Checked) -> String {
    let mut text = section("All certificates", checked.settings.as_deref());
    for (name, rows) in &checked.lineages {
        text.push_str(&format!("\n{}", section(name, rows.as_deref())));
    }
    if checked.problems.is_empty() {
        text.push_str("\nNo problems were found.\n");
    }
    text
}

fn section(heading: &str, rows: Option<&[Row]>) -> String {
    /// A longer value, mostly a hook, does not push the origins of all others out of sight.
    const MAX_WIDTH: usize = 60;
    let Some(rows) = rows else { return format!("{heading}\n  It cannot be said what applies: see the problems.\n") };
    let wide = |text: &str| text.chars().count();
    let keys = rows.iter().map(|row| wide(row.key)).max().unwrap_or_default();
    let values = rows.iter().map(|row| wide(&row.text)).filter(|width| *width <= MAX_WIDTH).max().unwrap_or_default();
    let mut text = format!("{heading}\n");
    for row in rows {
        text.push_str(&format!("  {:keys$}  {:values$}  {}\n", row.key, row.text, row.origin));
    }
    text
}

/// The problems for people, each with what to do.
pub(crate) fn problems(problems: &[Told]) -> String {
    let mut text = format!("{} {}:\n", problems.len(), if problems.len() == 1 { "problem" } else { "problems" });
    for problem in problems {
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        text.push_str(&format!(
            "  {}{line}: {}\n    What to do: {}\n",
            shown(&problem.path),
            problem.what,
            problem.cure
        ));
    }
    text
}

/// The document.
pub(crate) fn json(checked: &Checked, paths: &StorePaths) -> Value {
    let rows = |rows: &Option<Vec<Row>>| {
        rows.as_ref().map(|rows| rows.iter().map(|row| json_of(row, paths)).collect::<Vec<_>>())
    };
    let lineages: Vec<Value> =
        checked.lineages.iter().map(|(name, values)| json!({ "name": name, "values": rows(values) })).collect();
    let problems: Vec<Value> = checked
        .problems
        .iter()
        .map(|one| {
            json!({
                "path": one.path.to_string_lossy(),
                "line": one.line,
                "key": (!one.key.is_empty()).then_some(&one.key),
                "code": one.code,
                "what": one.what,
                "cure": one.cure,
            })
        })
        .collect();
    json!({ "schema": 1, "values": rows(&checked.settings), "lineages": lineages, "problems": problems })
}

fn json_of(row: &Row, paths: &StorePaths) -> Value {
    let file = match &row.origin {
        Origin::SettingsFile { .. } => Some(paths.settings_file()),
        Origin::LineageFile { name, .. } => Some(paths.lineage_settings_file(name)),
        Origin::Conf { name } => Some(paths.conf(name)),
        Origin::CliIni { path, .. } => Some(path.clone()),
        _ => None,
    };
    let flag = if let Origin::Flag { flag } = &row.origin { Some(flag) } else { None };
    json!({
        "key": row.key,
        "value": row.value,
        "origin": row.origin.code(),
        "path": file.map(|file| file.to_string_lossy().into_owned()),
        "line": row.origin.line(),
        "flag": flag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Checked {
        let origin = Origin::SettingsFile { line: 2 };
        Checked {
            settings: Some(vec![
                Row::truth("revocation_check", &Sourced::new(false, origin.clone())),
                Row::list("fallback_servers", &[], &Origin::Default),
                Row::text("x", &format!("long\n{}", "y".repeat(70)), origin),
                Row::interval("run_interval", Some(std::time::Duration::from_secs(43_200)), &Origin::Default),
            ]),
            lineages: vec![("b.example".to_owned(), None)],
            problems: vec![Told {
                path: "/c/certkit/lineages/b.example.toml".into(),
                line: Some(3),
                key: String::new(),
                code: "not-toml",
                what: "it is not TOML".to_owned(),
                cure: "correct the line".to_owned(),
            }],
        }
    }

    #[test]
    fn origins_line_up_and_a_long_value_does_not_move_them() {
        let long = "y".repeat(70);
        assert_eq!(
            text(&checked()),
            format!(
                "All certificates\n  revocation_check  false     certkit/settings.toml, line 2\n  fallback_servers  none      default\n  \
                 x                 long\\u{{a}}{long}  certkit/settings.toml, line 2\n  run_interval      12 hours  default\n\n\
                 b.example\n  It cannot be said what applies: see the problems.\n"
            )
        );
        assert_eq!(
            problems(&checked().problems),
            "1 problem:\n  /c/certkit/lineages/b.example.toml:3: it is not TOML\n    What to do: correct the line\n"
        );
    }

    #[test]
    fn the_document_has_values_with_their_types() {
        let document = json(&checked(), &StorePaths::within("/c"));
        assert_eq!(document["values"][0]["value"], false);
        assert_eq!(document["values"][0]["path"], "/c/certkit/settings.toml");
        assert_eq!(document["values"][0]["line"], 2);
        assert_eq!(document["values"][1]["origin"], "default");
        assert_eq!(document["values"][3]["value"], 43_200);
        assert!(document["lineages"][0]["values"].is_null() && document["problems"][0]["key"].is_null());
    }
}
