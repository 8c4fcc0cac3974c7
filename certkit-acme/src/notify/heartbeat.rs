//! The dead man's switch: a URL that is called after each run, so that somebody else notices when none comes any more.

use std::time::Duration;

use certkit_core::settings::{HeartbeatSetting, Secret};
use certkit_core::{AcmeUrl, escape};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::sleep;

use super::Notifier;
use crate::transport::PostAnswer;

/// What the URL is called for, as healthchecks.io names it (healthchecks.io/docs/http_api).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beat {
    /// A run begins: URL/start.
    Start,
    /// A run has ended, and all is well: URL.
    Success,
    /// A run has ended, and something failed: URL/fail, with a text that says what.
    Failure(String),
}

/// So often it is tried.
const TRIES: u32 = 3;
/// For one try.
const LIMIT: Duration = Duration::from_secs(10);
/// After the first try; twice as long after each one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// healthchecks.io keeps 100 kB; a text that somebody reads is shorter.
const MOST_TEXT: usize = 8 * 1024;

impl Notifier {
    /// Calls the heartbeat's URL, a few times if need be. The error is escaped and holds no secret.
    pub async fn beat(&self, heartbeat: &HeartbeatSetting, beat: &Beat) -> Result<(), String> {
        let url = self.secret(heartbeat.url.clone()).await?;
        let target = target(&url, beat)?;
        let client = self.client()?;
        let text = match beat {
            Beat::Failure(text) => text.chars().take(MOST_TEXT).collect(),
            _ => String::new(),
        };
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
        // A run does not wait for somebody who only wants to know when it began.
        let tries = if *beat == Beat::Start { 1 } else { TRIES };
        let mut problem = String::new();
        for count in 0..tries {
            if count > 0 {
                sleep(FIRST_PAUSE * (1 << (count - 1))).await;
            }
            match client.send(Method::POST, &target, &headers, text.clone().into_bytes(), LIMIT).await {
                Ok(PostAnswer { status: 200..=299, .. }) => return Ok(()),
                // Another try would hear the same.
                Ok(answer) if (400..500).contains(&answer.status) && answer.status != 429 => {
                    return Err(format!("HTTP {} from {}", answer.status, target.authority()));
                }
                Ok(answer) => problem = format!("HTTP {} from {}", answer.status, target.authority()),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(escape(&problem).into_owned())
    }
}

/// The URL with the word for it behind its path, before a query.
fn target(url: &Secret, beat: &Beat) -> Result<AcmeUrl, String> {
    let word = match beat {
        Beat::Start => "/start",
        Beat::Success => "",
        Beat::Failure(_) => "/fail",
    };
    let (path, query) = match url.reveal().split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url.reveal(), String::new()),
    };
    let path = if word.is_empty() { path } else { path.trim_end_matches('/') };
    AcmeUrl::parse(&format!("{path}{word}{query}")).map_err(|_| {
        "the URL cannot be called: https://HOST/… is needed (plain http is for this machine alone)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_comes_behind_the_path_and_before_the_query() {
        let at = |url: &str, beat| target(&Secret::new(url), &beat).map(|url| url.to_string());
        let failure = || Beat::Failure(String::new());
        assert_eq!(at("https://hc.example/uuid", failure()).unwrap(), "https://hc.example/uuid/fail");
        assert_eq!(
            at("https://hc.example/uuid/?create=1", Beat::Start).unwrap(),
            "https://hc.example/uuid/start?create=1"
        );
        assert_eq!(at("https://hc.example/uuid/", Beat::Success).unwrap(), "https://hc.example/uuid/");
        let refused = at("http://hc.example/secret", Beat::Success).unwrap_err();
        assert!(!refused.contains("secret") && refused.contains("https"), "{refused}");
    }
}
