//! The header fields that ACME uses, read as what they are: outside text.

use certkit_core::{AcmeUrl, AcmeUrlError};
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, HeaderName, LINK, LOCATION, RETRY_AFTER};

/// The shortest wait that a server can ask for: `0` and dates in the past must not make a busy loop.
pub(crate) const SHORTEST_RETRY_AFTER: TimeDelta = TimeDelta::seconds(1);
/// The longest: a huge value must not stop renewals for ever (RFC 9773 section 4.3.3 draws the line for ARI at a day).
pub(crate) const LONGEST_RETRY_AFTER: TimeDelta = TimeDelta::days(1);
/// More links than any CA sends; the rest is not looked at.
const MOST_LINKS: usize = 64;
/// A nonce is about 40 characters long at the CAs that are known; this is what we are ready to send back.
const LONGEST_NONCE: usize = 1024;

/// Retry-After (RFC 9110 section 10.2.3) as an instant, clamped. Of several, the first that can be read counts.
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let at = headers.get_all(RETRY_AFTER).iter().find_map(|value| {
        let value = value.to_str().ok()?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than an i64 holds are simply "very long".
            let seconds = value.parse::<i64>().unwrap_or(i64::MAX).min(LONGEST_RETRY_AFTER.num_seconds());
            return now.checked_add_signed(TimeDelta::seconds(seconds));
        }
        http_date(value)
    })?;
    let (earliest, latest) =
        (now.checked_add_signed(SHORTEST_RETRY_AFTER)?, now.checked_add_signed(LONGEST_RETRY_AFTER)?);
    Some(at.clamp(earliest, latest))
}

/// Date (RFC 9110 section 6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?.to_str().ok()?.trim())
}

/// Content-Type without its parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!essence.is_empty()).then_some(essence)
}

/// Location, resolved against `base`: an error when it is there but may not be called.
pub(crate) fn location(headers: &HeaderMap, base: &AcmeUrl) -> Option<Result<AcmeUrl, AcmeUrlError>> {
    let value = headers.get(LOCATION)?;
    // What is not ASCII comes out as U+FFFD, which the URL check refuses.
    Some(resolve(base, String::from_utf8_lossy(value.as_bytes()).trim()))
}

/// Replay-Nonce, when it is one (RFC 8555 section 6.5.1: base64url characters; anything else MUST be ignored).
pub(crate) fn replay_nonce(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(HeaderName::from_static("replay-nonce"))?.to_str().ok()?.trim();
    let good = !value.is_empty()
        && value.len() <= LONGEST_NONCE
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    good.then(|| value.to_owned())
}

/// The links (RFC 8288) by relation, in their order. Targets that may not be called are left out: no relation that is
/// used here is needed for an order to succeed.
pub(crate) fn links(headers: &HeaderMap, base: &AcmeUrl) -> Vec<(String, AcmeUrl)> {
    let mut found = Vec::new();
    for value in headers.get_all(LINK) {
        let Ok(mut rest) = value.to_str() else { continue };
        while found.len() < MOST_LINKS {
            let Some(open) = rest.find('<') else { break };
            let after = rest.get(open + 1..).unwrap_or_default();
            let Some((target, after)) = after.split_once('>') else { break };
            let (parameters, next) = split_unquoted(after, ',');
            rest = next;
            let Ok(target) = resolve(base, target.trim()) else { continue };
            for relation in relations(parameters) {
                found.push((relation, target.clone()));
            }
        }
    }
    found.truncate(MOST_LINKS);
    found
}

/// `reference` (RFC 3986 section 5) as a URL that may be called.
fn resolve(base: &AcmeUrl, reference: &str) -> Result<AcmeUrl, AcmeUrlError> {
    let (scheme, _) = base.as_str().split_once("://").unwrap_or(("https", ""));
    let absolute = if reference.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':')) {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{}{reference}", base.authority())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{}{folder}/{reference}", base.authority())
    };
    AcmeUrl::parse(&absolute)
}

/// Cuts `text` at the first `separator` that does not stand in quotes.
fn split_unquoted(text: &str, separator: char) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                let after = at + c.len_utf8();
                return (text.get(..at).unwrap_or_default(), text.get(after..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (text, "")
}

/// The relation types of the first `rel` parameter, in lower case.
fn relations(mut parameters: &str) -> Vec<String> {
    while !parameters.is_empty() {
        let (parameter, rest) = split_unquoted(parameters, ';');
        parameters = rest;
        match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("rel") => {
                let value = value.trim().trim_matches('"');
                return value.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
            }
            _ => {}
        }
    }
    Vec::new()
}

fn http_date(value: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(value).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn base() -> AcmeUrl {
        AcmeUrl::parse("https://ca.example:14000/acme/order/7").unwrap()
    }

    fn with(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn wait(values: &[&str]) -> Option<i64> {
        retry_after(&with("retry-after", values), now()).map(|at| (at - now()).num_seconds())
    }

    #[test]
    fn retry_after_is_bounded_and_garbage_is_ignored() {
        let day = 86_400;
        assert_eq!(wait(&["120"]), Some(120));
        assert_eq!(wait(&[" 120 "]), Some(120));
        assert_eq!(wait(&["0"]), Some(1));
        assert_eq!(wait(&["100000"]), Some(day));
        assert_eq!(wait(&["99999999999999999999999999999999"]), Some(day));
        for garbage in
            ["", "-1", "1e30", "+5", "soon", "12 34", "0x10", "1.5", "((((((((", "Fri, 99 Foo 2026 00:00:00 GMT"]
        {
            assert_eq!(wait(&[garbage]), None, "{garbage}");
        }
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["soon", "7"]), Some(7));
        assert_eq!(wait(&["5", "900"]), Some(5));
    }

    #[test]
    fn retry_after_may_be_a_date() {
        assert_eq!(wait(&["Fri, 15 Jan 2027 08:01:00 GMT"]), Some(60));
        assert_eq!(wait(&["Fri, 31 Dec 1999 23:59:59 GMT"]), Some(1));
        assert_eq!(wait(&["Fri, 31 Dec 9999 23:59:59 GMT"]), Some(86_400));
    }

    #[test]
    fn links_are_split_at_the_right_commas() {
        let headers = with(
            "link",
            &[
                r#"<https://ca.example/a,b>;rel="alternate", </up>; title="x, <https://evil.example/>;rel=alternate"; REL=Up"#,
                r#"<https://ca.example/c>; rel="terms-of-service  alternate""#,
                "<http://ca.example/plain>;rel=\"alternate\"",
                "garbage",
                "<https://ca.example/unclosed",
            ],
        );
        let links: Vec<_> = links(&headers, &base()).into_iter().map(|(rel, url)| format!("{rel} {url}")).collect();
        assert_eq!(
            links,
            [
                "alternate https://ca.example/a,b",
                "up https://ca.example:14000/up",
                "terms-of-service https://ca.example/c",
                "alternate https://ca.example/c",
            ]
        );
    }

    #[test]
    fn a_thousand_links_are_cut() {
        let many = (0..1000).map(|n| format!("<https://ca.example/{n}>;rel=alternate")).collect::<Vec<_>>().join(",");
        assert_eq!(links(&with("link", &[&many]), &base()).len(), MOST_LINKS);
    }

    #[test]
    fn locations_are_resolved_and_checked() {
        let resolved = |text: &str| location(&with("location", &[text]), &base()).unwrap().map(String::from);
        assert_eq!(resolved("https://other.example/x").unwrap(), "https://other.example/x");
        assert_eq!(resolved("/acct/1?x=a:b").unwrap(), "https://ca.example:14000/acct/1?x=a:b");
        assert_eq!(resolved("8").unwrap(), "https://ca.example:14000/acme/order/8");
        assert_eq!(resolved("//cdn.example/8").unwrap(), "https://cdn.example/8");
        for bad in ["http://ca.example/acct/1", "file:///etc/passwd", "gopher://x", "javascript:alert(1)", "https://é/"]
        {
            assert!(resolved(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_nonces_are_nonces() {
        assert_eq!(replay_nonce(&with("replay-nonce", &["a-Z_9"])).as_deref(), Some("a-Z_9"));
        for bad in ["", "a b", "a\"b", "a=b", "é", &"a".repeat(LONGEST_NONCE + 1)] {
            assert_eq!(replay_nonce(&with("replay-nonce", &[bad])), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                for name in ["retry-after", "link", "location", "date", "content-type", "replay-nonce"] {
                    headers.insert(name, value.clone());
                }
                let _ = (retry_after(&headers, now()), links(&headers, &base()), location(&headers, &base()));
                let _ = (date(&headers), content_type(&headers), replay_nonce(&headers));
            }
        }

        #[test]
        fn link_text_never_panics(text in "[<>,;=\"\\\\a-z/: é]{0,60}") {
            if let Ok(value) = HeaderValue::from_str(&text) {
                let mut headers = HeaderMap::new();
                headers.insert("link", value);
                let _ = links(&headers, &base());
            }
        }
    }
}
