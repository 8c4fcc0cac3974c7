//! What is sent to a service, as data: a file for each.

use std::collections::BTreeMap;
use std::path::Path;

use certkit_core::escape;
use certkit_core::store::read_file;
use serde::Deserialize;

use super::message::OneMessageFor;

/// What is sent to a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preset {
    /// The fields that have to be set.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// The fields that may be set.
    #[serde(default)]
    pub(super) knows: Vec<String>,
    /// How many notices stand in one request.
    #[serde(default, deserialize_with = "one_message_for")]
    pub(super) one_message_for: OneMessageFor,
    /// The template of the URL, made of the fields alone.
    pub(super) url: String,
    /// The template of the body: JSON, in which every value is written as JSON.
    pub(super) body: String,
    /// Templates of headers, made of the fields alone; one that comes out empty is not sent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

/// The presets of this version, by the names that the settings use.
const BUILT_IN: [(&str, &str); 10] = [
    ("discord", include_str!("presets/discord.toml")),
    ("generic", include_str!("presets/generic.toml")),
    ("gotify", include_str!("presets/gotify.toml")),
    ("mattermost", include_str!("presets/mattermost.toml")),
    ("ntfy", include_str!("presets/ntfy.toml")),
    ("pagerduty", include_str!("presets/pagerduty.toml")),
    ("pushover", include_str!("presets/pushover.toml")),
    ("slack", include_str!("presets/slack.toml")),
    ("teams", include_str!("presets/teams.toml")),
    ("telegram", include_str!("presets/telegram.toml")),
];

/// The largest preset of an owner's that is read, in bytes.
const LARGEST: usize = 64 * 1024;

impl Preset {
    /// The preset of a setting. What is wrong with an owner's own file is told, escaped.
    pub(super) fn load(setting: &certkit_core::settings::Preset) -> Result<Self, String> {
        use certkit_core::settings::Preset as Setting;
        match setting {
            Setting::Service(service) => {
                let built_in = BUILT_IN.iter().find(|(name, _)| *name == service.name);
                let (_, text) = built_in.ok_or_else(|| format!("this version has no preset `{}`", service.name))?;
                Self::read(text)
            }
            Setting::File(path) => {
                let told =
                    |why: String| escape(&format!("the preset {} cannot be used: {why}", path.display())).into_owned();
                Self::read(&text_of(path).map_err(told)?).map_err(told)
            }
            _ => Err("this version does not know this kind of preset".to_owned()),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            format!("{place}{}", error.message())
        })
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let bytes = read_file(path, LARGEST).map_err(|error| error.source.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn one_message_for<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<OneMessageFor, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "run" => Ok(OneMessageFor::Run),
        "cause" => Ok(OneMessageFor::Cause),
        "notice" => Ok(OneMessageFor::Notice),
        _ => Err(serde::de::Error::custom("`one_message_for` is one of \"run\", \"cause\" and \"notice\"")),
    }
}

#[cfg(test)]
mod tests {
    use certkit_core::settings::WebhookService;

    use super::*;

    #[test]
    fn every_service_of_the_settings_has_a_preset_with_the_same_fields() {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, WebhookService::ALL.map(|service| service.name));
        for service in WebhookService::ALL {
            let preset = Preset::load(&certkit_core::settings::Preset::Service(service)).unwrap();
            assert_eq!((preset.needs, preset.knows), (owned(service.needs), owned(service.knows)), "{}", service.name);
        }
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_wrong_with_an_own_preset_is_told_by_line() {
        let problem = |text: &str| Preset::read(text).unwrap_err();
        assert!(problem("url = 'x'\nbodi = 'y'\n").contains("bodi"));
        assert!(problem("url = 'x'\nbody = 'y'\none_message_for = 'day'\n").contains("\"cause\""));
        assert!(problem("url = \n").starts_with("line 1: "));
        let missing = Preset::load(&certkit_core::settings::Preset::File("/none\n".into())).unwrap_err();
        assert!(missing.contains("/none\\u{a} cannot be used: No such file"), "{missing}");
    }
}
