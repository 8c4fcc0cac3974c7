//! What a CA answers, for the fuzz targets: every reader of answers behind one door.

use bytes::Bytes;
use certkit_core::{AcmeUrl, Chain, Failure};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{AcmeError, Directory, RenewalInfoError, renewal_info, wire};
use crate::transport::HttpAnswer;

/// Reads `raw`, an answer as it comes over the wire (a status, lines of the head, an empty line, the body), as everything
/// that it could be. Gives what each reader that refused it has to say, as a message and as what a run makes of it.
pub fn read_as_everything(url: &AcmeUrl, raw: &[u8], now: DateTime<Utc>) -> Vec<(String, Failure)> {
    let answer = parse(url, raw, now);
    let mut refused: Vec<AcmeError> = vec![wire::refusal(url, &answer, "anything")];
    refused.extend(Directory::read(url, &answer).err());
    refused.extend(wire::authorization(url, &answer).err());
    refused.extend(wire::account(url, &answer).err());
    refused.extend(wire::location(url, &answer, "an account").err());
    match wire::order(url, url.clone(), &answer) {
        Ok(order) => {
            assert!(order.authorizations.len() <= order.identifiers.len());
            let urls = order.authorizations.iter().chain(&order.certificate).chain([&order.finalize]);
            urls.for_each(|to| assert!(url.may_lead_to(to).is_ok(), "{to}"));
        }
        Err(error) => refused.push(error),
    }
    match renewal_info::read(url, &answer, now) {
        Ok(read) => assert!(read.window_start < read.window_end && read.retry_after > now),
        Err(RenewalInfoError::Exchange(error)) => refused.push(error),
        Err(error) => assert!(error.next_try(0, now) >= now),
    }
    if Chain::from_pem(&answer.body).is_err() {
        let _ = wire::came_instead_of_pem(&answer);
    }
    if let Some(at) = answer.retry_after {
        assert!(at > now && at - now <= crate::transport::LONGEST_RETRY_AFTER);
    }
    refused.into_iter().map(|error| (error.to_string(), Failure::from(error))).collect()
}

fn parse(url: &AcmeUrl, raw: &[u8], now: DateTime<Utc>) -> HttpAnswer {
    let mut rest = raw;
    let mut line = || {
        let (line, after) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
        rest = after.get(1..).unwrap_or_default();
        line
    };
    let status = std::str::from_utf8(line()).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(200);
    let mut headers = HeaderMap::new();
    loop {
        let field = line();
        let Some(colon) = field.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (field.get(..colon).unwrap_or_default(), field.get(colon + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    HttpAnswer::read(url, status, &headers, Bytes::copy_from_slice(rest), now)
}
