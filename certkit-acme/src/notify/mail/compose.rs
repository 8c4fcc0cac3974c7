//! The mail itself: text and HTML, with headers that nothing outside gets into.

use std::time::SystemTime;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};

use sha2::Digest as _;

use super::html;
use crate::notify::channel::Letter;
use crate::notify::message::Message;

/// The mail as it goes over the wire, with CRLF as line ends.
pub(super) fn compose(letter: &Letter<'_>) -> Result<Vec<u8>, String> {
    let Letter { from, to, message, channel } = letter;
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let id = message.id(channel);
    let from: Mailbox = format!("certkit <{from}>").parse().map_err(told)?;
    let mut builder = lettre::Message::builder().from(from);
    for address in to {
        builder = builder.to(Mailbox::new(None, address.as_str().parse().map_err(told)?));
    }
    builder = builder
        .subject(one_line(&message.subject))
        .date(SystemTime::from(message.at))
        .message_id(Some(format!("<{id}.certkit@{domain}>")))
        // Nobody answers with a notice of absence (RFC 3834 section 5).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    if let Some(references) = references(message, domain) {
        builder = builder.references(references);
    }
    if message.level >= certkit_core::NoticeLevel::Critical {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Importance"), "high".to_owned()));
    }
    // The boundary is not random, so that one message is always the same; a text that holds it is nobody's.
    let parts = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("=_certkit_{id}"))
        .singlepart(SinglePart::plain(with_line_end(&message.text)))
        .singlepart(SinglePart::html(html::page(message)?));
    builder.multipart(parts).map(|mail| mail.formatted()).map_err(told)
}

/// What belongs to one incident stands in one thread.
fn references(message: &Message, domain: &str) -> Option<String> {
    let mut incidents: Vec<&str> = message.notices().map(|notice| notice.incident.as_str()).collect();
    incidents.dedup();
    match incidents.as_slice() {
        [one] => {
            let hash = sha2::Sha256::digest(format!("{}{}\0{one}", message.host, message.flags));
            let hash = data_encoding::HEXLOWER.encode(hash.get(..16).unwrap_or_default());
            Some(format!("<{hash}.incident.certkit@{domain}>"))
        }
        _ => None,
    }
}

/// It is escaped, and so has no line ends; whoever builds messages another way must not get one into the head.
fn one_line(subject: &str) -> String {
    subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn with_line_end(text: &str) -> String {
    format!("{text}\n")
}

fn told(error: impl std::fmt::Display) -> String {
    format!("the mail cannot be written: {error}")
}
