//! Renewal information (RFC 9773): when the CA wants a certificate to be renewed.

use certkit_core::{AcmeUrl, AriCertificateId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::session::due;
use super::{AcmeError, Authority, wire};
use crate::pause;
use crate::transport::{HttpAnswer, LONGEST_RETRY_AFTER, NetworkFailure, TransportError};

/// What a CA says about the renewal of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalInfoAnswer {
    /// From when on the certificate is to be renewed (UTC).
    pub window_start: DateTime<Utc>,
    /// Until when (UTC); after `window_start`.
    pub window_end: DateTime<Utc>,
    /// An https page for people on why the window is as it is; ASCII, escaped.
    pub explanation_url: Option<String>,
    /// When to ask again: not before, and as soon as possible after (RFC 9773 section 4.3.2); 1 minute to 1 day from the
    /// answer.
    pub retry_after: DateTime<Utc>,
}

/// Why there is no renewal information. [`RenewalInfoError::next_try`] says when to ask again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewalInfoError {
    /// The CA's directory has no renewalInfo: it is never asked.
    #[error("the CA at {directory} offers no renewalInfo")]
    NotOffered {
        /// Its directory.
        directory: AcmeUrl,
    },
    /// There was no answer, or none of status 200 that is JSON.
    #[error(transparent)]
    Exchange(#[from] AcmeError),
    /// The answer is not what RFC 9773 sections 4.2 and 4.3 prescribe.
    #[error("{url}: no usable renewal information: {what}")]
    Invalid {
        /// What was called.
        url: AcmeUrl,
        /// What is wrong with it, escaped.
        what: String,
    },
    /// The run was asked to stop before an answer came.
    #[error("not asked for renewal information: the run was asked to stop")]
    Stopped,
}

/// What a missing answer means for the next question (RFC 9773 section 4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalInfoErrorKind {
    /// There is nobody to ask.
    NotOffered,
    /// Time heals it: timeouts, broken connections, HTTP 5xx and 429.
    Temporary,
    /// It stays as it is for a while: an answer that is none, no Retry-After, DNS failures, refused connections, HTTP
    /// 3xx and 4xx.
    LongTerm,
    /// It has nothing to do with the CA.
    Stopped,
}

/// RFC 9773 section 4.3.2 draws this line below a Retry-After ("reasonable limits … of one minute").
const SHORTEST_RETRY_AFTER: TimeDelta = TimeDelta::minutes(1);

const WHAT: &str = "renewal information";

impl Authority {
    /// Asks when a certificate is to be renewed; not signed, and the same for everybody who asks.
    ///
    /// ```
    /// # use certkit_acme::protocol::{Authority, RenewalInfoError};
    /// # async fn ask(authority: &Authority, certificate: &certkit_core::Certificate) -> Result<(), RenewalInfoError> {
    /// if let Some(id) = certificate.ari_id() {
    ///     let answer = authority.renewal_info(&id).await?;
    ///     println!("between {} and {}", answer.window_start, answer.window_end);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn renewal_info(&self, id: &AriCertificateId) -> Result<RenewalInfoAnswer, RenewalInfoError> {
        let Some(base) = &self.directory.renewal_info else {
            return Err(RenewalInfoError::NotOffered { directory: self.directory.url.clone() });
        };
        let url = AcmeUrl::parse(&format!("{}/{id}", base.as_str().trim_end_matches('/')))
            .map_err(|refused| RenewalInfoError::Invalid { url: base.clone(), what: refused.to_string() })?;
        let answer = self.transport.get(&url).await.map_err(AcmeError::from)?;
        read(&url, &due(&url, answer, 200, WHAT)?, self.transport.now())
    }
}

impl RenewalInfoError {
    /// What it means for the next question.
    pub fn kind(&self) -> RenewalInfoErrorKind {
        match self {
            Self::NotOffered { .. } => RenewalInfoErrorKind::NotOffered,
            Self::Stopped => RenewalInfoErrorKind::Stopped,
            Self::Invalid { .. } => RenewalInfoErrorKind::LongTerm,
            Self::Exchange(error) if is_temporary(error) => RenewalInfoErrorKind::Temporary,
            Self::Exchange(_) => RenewalInfoErrorKind::LongTerm,
        }
    }

    /// When to ask again. `failures_in_a_row` counts the failures before this one: after 0 of them a temporary error is
    /// tried again in a minute, then after 2, 4, 8 minutes and so on, at most 6 hours; a long-term one after 6 hours; but
    /// never before the CA's Retry-After.
    ///
    /// ```
    /// # fn wait(error: &certkit_acme::protocol::RenewalInfoError, now: chrono::DateTime<chrono::Utc>) {
    /// let (first, third) = (error.next_try(0, now), error.next_try(2, now));
    /// assert!(first <= third);
    /// # }
    /// ```
    pub fn next_try(&self, failures_in_a_row: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        let pause = match self.kind() {
            RenewalInfoErrorKind::Stopped => return now,
            RenewalInfoErrorKind::Temporary => pause::doubled(failures_in_a_row),
            // A CA may begin to offer it; the directory, which says so, is read in every run anyway.
            RenewalInfoErrorKind::NotOffered | RenewalInfoErrorKind::LongTerm => pause::LONGEST,
        };
        let next = pause::after(now, pause);
        self.retry_after().map_or(next, |at| at.max(next))
    }

    /// When the CA wants to be asked again, when it said so; at most 1 day from its answer.
    pub fn retry_after(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Exchange(error) => error.retry_after(),
            _ => None,
        }
    }
}

fn is_temporary(error: &AcmeError) -> bool {
    if let Some(status) = error.http_status() {
        return status == 429 || status >= 500;
    }
    match error {
        AcmeError::Transport(TransportError::Timeout { .. }) => true,
        AcmeError::Transport(TransportError::Network { kind, .. }) => {
            !matches!(kind, NetworkFailure::NameNotResolved | NetworkFailure::Refused)
        }
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRenewalInfo {
    suggested_window: WireWindow,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireWindow {
    start: String,
    end: String,
}

pub(super) fn read(
    url: &AcmeUrl,
    answer: &HttpAnswer,
    now: DateTime<Utc>,
) -> Result<RenewalInfoAnswer, RenewalInfoError> {
    let invalid = |what: String| RenewalInfoError::Invalid { url: url.clone(), what };
    let wire: WireRenewalInfo = wire::json(url, answer, WHAT)?;
    let instant =
        |name, text: &str| instant(text).ok_or_else(|| invalid(format!("its {name} is `{}`", wire::quote(text))));
    let window_start = instant("start", &wire.suggested_window.start)?;
    let window_end = instant("end", &wire.suggested_window.end)?;
    if window_end <= window_start {
        return Err(invalid(format!("the window ends at {window_end}, which is not after its start {window_start}")));
    }
    let retry_after =
        answer.retry_after.ok_or_else(|| invalid("it comes without a readable Retry-After".to_owned()))?;
    Ok(RenewalInfoAnswer {
        window_start,
        window_end,
        explanation_url: wire.explanation_url.as_ref().and_then(serde_json::Value::as_str).and_then(explanation),
        // The transport has clamped it, but to a second at least.
        retry_after: retry_after.clamp(pause::after(now, SHORTEST_RETRY_AFTER), pause::after(now, LONGEST_RETRY_AFTER)),
    })
}

/// A time in RFC 3339, with any offset and fraction. Years in which there was no or will be no certificate are an error:
/// the zero time of Go (year 1) would mean "now" for every certificate of a CA that forgot to fill a field in.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    const SECONDS: std::ops::Range<i64> = 0..253_402_300_800; // 1970 to 9999
    let at = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    SECONDS.contains(&at.timestamp()).then_some(at)
}

/// A page for people, when it is an https URL of sensible characters; it may have a fragment.
fn explanation(text: &str) -> Option<String> {
    let page = AcmeUrl::parse(text.split('#').next()?).ok()?;
    let is_https = page.as_str().get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    (is_https && text.len() <= AcmeUrl::MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use certkit_core::AcmeUrl;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        at("2026-11-23T12:00:00Z")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn url() -> AcmeUrl {
        AcmeUrl::parse("https://ca.example/renewal-info/x.y").unwrap()
    }

    fn answer(body: impl Into<Vec<u8>>, retry_after: Option<DateTime<Utc>>) -> HttpAnswer {
        HttpAnswer::for_test(200, body.into(), retry_after)
    }

    fn read_window(start: &str, end: &str) -> Result<RenewalInfoAnswer, RenewalInfoError> {
        let body = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } }).to_string();
        read(&url(), &answer(body, Some(now())), now())
    }

    #[test]
    fn times_come_with_offsets_and_fractions() {
        let read = read_window("2026-12-01T01:30:00.123456789+01:30", "2026-12-01t00:00:01Z").unwrap();
        assert_eq!(read.window_start, at("2026-12-01T00:00:00.123456789Z"));
        assert_eq!(read.window_end, at("2026-12-01T00:00:01Z"));
        assert_eq!(read.retry_after, now() + TimeDelta::minutes(1));
        assert_eq!(read.explanation_url, None);
    }

    #[test]
    fn windows_that_are_none_are_long_term_errors() {
        let good = "2026-12-01T00:00:00Z";
        for (start, end) in [
            (good, good),
            ("2026-12-02T00:00:00Z", good),
            ("0001-01-01T00:00:00Z", good),
            ("0000-01-01T00:00:00+23:59", good),
            (good, "9999-12-31T23:59:59-00:01"),
            (good, "10000-01-01T00:00:00Z"),
            (good, "+262143-12-31T23:59:59Z"),
            (good, "2026-13-01T00:00:00Z"),
            (good, "2026-12-01"),
            (good, "1796083200"),
            ("", good),
        ] {
            let error = read_window(start, end).unwrap_err();
            assert!(matches!(error, RenewalInfoError::Invalid { .. }), "{error}");
            assert_eq!(error.kind(), RenewalInfoErrorKind::LongTerm);
            assert_eq!(error.next_try(0, now()), now() + TimeDelta::hours(6));
        }
        let error = read_window("\u{1b}[2J", good).unwrap_err().to_string();
        assert!(error.contains("its start is `\\u{1b}[2J`"), "{error}");
        assert!(read_window("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z").is_ok());
    }

    #[test]
    fn only_a_page_that_people_can_open_safely_is_shown() {
        let shown = |page: serde_json::Value| {
            let window = serde_json::json!({ "start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z" });
            let body = serde_json::json!({ "suggestedWindow": window, "explanationURL": page, "new": [1] }).to_string();
            read(&url(), &answer(body, Some(now())), now()).unwrap().explanation_url
        };
        for page in ["https://ca.example/why?x=1#now", "HTTPS://ca.example"] {
            assert_eq!(shown(page.into()).as_deref(), Some(page));
        }
        for page in [
            "http://ca.example/",
            "http://127.0.0.1/",
            "javascript:alert(1)",
            "https://user@ca.example/",
            "https://ca.example/\u{1b}[2J",
            "https://ca.example/#\n",
            "",
        ] {
            assert_eq!(shown(page.into()), None, "{page}");
        }
        assert_eq!(shown(serde_json::Value::Null), None);
        assert_eq!(shown(7.into()), None);
    }

    #[test]
    fn what_the_network_says_decides_how_long_to_wait() {
        use NetworkFailure::{BrokenOff, NameNotResolved, Refused, TimedOut, Unreachable};
        use RenewalInfoErrorKind::{LongTerm, Temporary};
        let of = |error: TransportError| RenewalInfoError::from(AcmeError::from(error)).kind();
        for (kind, expected) in [
            (NameNotResolved, LongTerm),
            (Refused, LongTerm),
            (TimedOut, Temporary),
            (Unreachable, Temporary),
            (BrokenOff, Temporary),
        ] {
            assert_eq!(of(TransportError::Network { url: url(), kind, problem: String::new() }), expected);
        }
        assert_eq!(of(TransportError::Timeout { url: url(), seconds: 45 }), Temporary);
        assert_eq!(of(TransportError::Tls { url: url(), problem: String::new() }), LongTerm);
        let large = |status| TransportError::TooLarge { url: url(), status, limit: 1, retry_after: None };
        assert_eq!([of(large(200)), of(large(502))], [LongTerm, Temporary]);
    }

    #[test]
    fn temporary_errors_double_the_pause_and_the_ca_may_ask_for_more() {
        let refused = |status, retry_after| -> RenewalInfoError {
            AcmeError::NotAcme { url: url(), status, what: String::new(), retry_after }.into()
        };
        let minutes = |error: &RenewalInfoError, failures| (error.next_try(failures, now()) - now()).num_minutes();
        let busy = refused(503, None);
        assert_eq!([0, 1, 8, 9, u32::MAX].map(|failures| minutes(&busy, failures)), [1, 2, 256, 360, 360]);
        let limited = refused(429, Some(now() + TimeDelta::minutes(90)));
        assert_eq!([0, 6, 7].map(|failures| minutes(&limited, failures)), [90, 90, 128]);
        assert_eq!(minutes(&refused(503, Some(now() + TimeDelta::seconds(1))), 0), 1);
        let unknown = refused(404, None);
        assert_eq!([0, 5].map(|failures| minutes(&unknown, failures)), [360, 360]);
        assert_eq!(minutes(&refused(404, Some(now() + TimeDelta::hours(7))), 0), 420);
        assert_eq!(RenewalInfoError::Stopped.next_try(7, now()), now());
        // Even at the end of time.
        assert_eq!(busy.next_try(0, DateTime::<Utc>::MAX_UTC), DateTime::<Utc>::MAX_UTC);
    }

    proptest! {
        #[test]
        fn reading_never_panics(noise: Vec<u8>, start in ".{0,30}", year in 0u32..99_999, offset in 0u32..30) {
            let times = [start, format!("{year:04}-01-01T00:00:00+{offset:02}:00"), format!("{year}-12-31T23:59:60-{offset:02}:59")];
            for start in &times {
                for end in &times {
                    if let Ok(read) = read_window(start, end) {
                        prop_assert!(read.window_start < read.window_end);
                    }
                }
            }
            let _ = read(&url(), &answer(noise, None), DateTime::<Utc>::MAX_UTC);
        }

        #[test]
        fn any_json_is_read_or_refused(
            window in r#"(\{("(start|end)":("2026-0[1-9]-01T00:00:00Z"|1|null|\{\}),?){0,3}\}|null|\[\])"#,
            page in r#"("https://[a-z#@\\"]{0,8}"|1|null|\[\])"#,
        ) {
            let body = format!(r#"{{"suggestedWindow":{window},"explanationURL":{page}}}"#);
            if let Ok(read) = read(&url(), &answer(body, Some(now())), now()) {
                prop_assert!(read.window_start < read.window_end);
                prop_assert!(read.explanation_url.is_none_or(|page| page.starts_with("https://")));
            }
        }
    }
}
