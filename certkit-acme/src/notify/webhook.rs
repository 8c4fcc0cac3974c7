//! Webhooks: a preset filled in and sent.

use certkit_core::AcmeUrl;
use certkit_core::settings::{Preset as Setting, Secret};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Notifier;
use super::channel::{EXCHANGE_LIMIT, Sent};
use super::message::Message;
use super::preset::Preset;
use super::template::{Writes, fill};

/// A request as it goes out.
struct Request {
    url: AcmeUrl,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// Sends a message.
pub(super) async fn send(
    notifier: &Notifier,
    setting: &Setting,
    fields: &[(String, Secret)],
    message: &Message,
) -> Sent {
    let own = setting.clone();
    let loaded = tokio::task::spawn_blocking(move || Preset::load(&own)).await;
    let preset = match loaded {
        Ok(Ok(preset)) => preset,
        Ok(Err(why)) => return Sent::failed_with(why, PRESET_CURE),
        Err(error) => return Sent::failed(error.to_string()),
    };
    let client = match notifier.client() {
        Ok(client) => client,
        Err(why) => return Sent::failed(why),
    };
    let Request { url, headers, body } = match request(&preset, fields, message) {
        Ok(request) => request,
        Err(why) => return Sent::failed_with(why, PRESET_CURE),
    };
    match client.send(Method::POST, &url, &headers, body, EXCHANGE_LIMIT).await {
        Ok(answer) if (200..300).contains(&answer.status) => Sent::ToAll,
        Ok(answer) => {
            let said = answer.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let colon = if said.is_empty() { "" } else { ": " };
            let why = format!("HTTP {} from {}{colon}{said}", answer.status, url.authority());
            match answer.status {
                401 | 403 | 404 | 410 => Sent::failed_with(why, ADDRESS_CURE),
                _ => Sent::failed(why),
            }
        }
        Err(error) => Sent::failed(error.to_string()),
    }
}

const PRESET_CURE: &str =
    "correct the preset or its fields in certkit/settings.toml, and try it: certkit notify --test";
const ADDRESS_CURE: &str = "the service does not know the URL or the token (any more): make a new one there, and try it: certkit notify --test";

/// Fills a preset in.
fn request(preset: &Preset, fields: &[(String, Secret)], message: &Message) -> Result<Request, String> {
    if let Some(missing) = preset.needs.iter().find(|need| !fields.iter().any(|(name, _)| name == *need)) {
        return Err(format!("the preset needs the field `{missing}`"));
    }
    let strange =
        fields.iter().map(|(name, _)| name).find(|name| !preset.needs.contains(name) && !preset.knows.contains(name));
    if let Some(strange) = strange {
        return Err(format!("the preset does not know the field `{strange}`"));
    }
    // A certificate's names must not decide where a request goes or what its head says.
    let own: Value =
        fields.iter().map(|(name, secret)| (name.clone(), json!(secret.reveal()))).collect::<Map<_, _>>().into();
    let url = fill(&preset.url, Writes::Plain, &own)?;
    // Its error would show the URL.
    let url = AcmeUrl::parse(&url).map_err(|_| {
        "the URL cannot be called: https://HOST/… is needed (plain http is for this machine alone)".to_owned()
    })?;
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    for (name, template) in &preset.headers {
        let value = fill(template, Writes::Plain, &own)?;
        if value.trim().is_empty() {
            continue;
        }
        let name: HeaderName = name.parse().map_err(|_| "a header of the preset has no valid name".to_owned())?;
        let mut value =
            HeaderValue::from_str(value.trim()).map_err(|_| format!("the header `{name}` cannot hold its value"))?;
        value.set_sensitive(true);
        headers.push((name, value));
    }
    let body = fill(&preset.body, Writes::Json, &message.data(fields))?;
    let body: Value =
        serde_json::from_str(&body).map_err(|error| format!("what the preset's body becomes is not JSON: {error}"))?;
    // Without the template's blanks.
    Ok(Request { url, headers, body: body.to_string().into_bytes() })
}
