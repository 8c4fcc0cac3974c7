//! `notify`: what was told, what would be told, and how a test went.

use certkit_acme::notify::{Delivery, Sent};
use certkit_acme::renewal::{Foretold, ForetoldChannel, Quiet, Told};
use certkit_core::state::NotSent;
use certkit_core::{Finding, NoticeLevel, words};
use serde_json::{Value, json};

use super::json_time;

/// How a test message went by a channel; an error when not everybody has it.
pub(crate) fn tested(delivery: &Delivery) -> Result<String, String> {
    let to = delivery.recipients.join(", ");
    match delivery.finding() {
        None => Ok(format!("{}: sent to {to}.\n", delivery.channel)),
        Some(finding) => {
            Err(format!("{}: {} ({to})\n  What to do: {}.\n", delivery.channel, finding.evidence, finding.cure()))
        }
    }
}

/// The document of `--test`.
pub(crate) fn test_json(deliveries: &[Delivery]) -> Value {
    json!({ "schema": 1, "channels": deliveries.iter().map(delivery_json).collect::<Vec<_>>() })
}

/// What was told.
pub(crate) fn told(told: &Told) -> String {
    if told.deliveries.is_empty() {
        return match told.notices.len() {
            0 => "There is nothing to tell.\n".to_owned(),
            _ if told.channels == 0 => String::new(),
            count => format!("{}, and no channel wants to hear of it.\n", notices(count)),
        };
    }
    let mut text = String::new();
    for delivery in &told.deliveries {
        let to = delivery.recipients.join(", ");
        let what = notices(delivery.notices.len());
        text.push_str(&match &delivery.sent {
            Sent::ToAll => format!("{}: {what} sent to {to}.\n", delivery.channel),
            Sent::ToSome { .. } => format!("{}: {what} sent, but not to everybody.\n", delivery.channel),
            _ => format!("{}: {what} not delivered to {to}.\n", delivery.channel),
        });
    }
    text
}

/// The document of what was told.
pub(crate) fn told_json(told: &Told) -> Value {
    json!({
        "schema": 1,
        "now": json_time(told.now),
        "due": told.notices.len(),
        "deliveries": told.deliveries.iter().map(delivery_json).collect::<Vec<_>>(),
        "findings": told.findings.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

/// What would be told, to whom and why, and why nothing is said of the others.
pub(crate) fn foretold(foretold: &Foretold) -> String {
    let mut text = String::new();
    for channel in &foretold.channels {
        text.push_str(&of_channel(channel));
    }
    if foretold.channels.is_empty() {
        for notice in &foretold.notices {
            text.push_str(&format!("{}\n", notice.subject(foretold.now)));
        }
    }
    if !foretold.quiet.is_empty() {
        text.push_str("Nothing is said of:\n");
        for quiet in &foretold.quiet {
            text.push_str(&format!("  {}: {}\n", quiet.certificate, why_quiet(quiet)));
        }
    }
    if text.is_empty() {
        text.push_str("There is no certificate to tell anything of.\n");
    }
    text
}

fn of_channel(channel: &ForetoldChannel) -> String {
    let to = channel.recipients.join(", ");
    let name = &channel.channel.name;
    let mut text = match channel.messages.len() {
        0 => format!("{name}: nothing would go to {to}.\n"),
        1 => format!("{name}: this would go to {to}:\n"),
        count => format!("{name}: these {count} messages would go to {to}:\n"),
    };
    if let Some(since) = channel.waits_since {
        text.push_str(&format!("  Some of it could not be delivered since {}.\n", words::time(since)));
    }
    for message in &channel.messages {
        text.push_str(&format!("\n    Subject: {}\n\n", message.subject));
        for line in message.text.lines() {
            text.push_str(if line.is_empty() { "\n" } else { "    " });
            if !line.is_empty() {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    for (notice, why) in &channel.left_out {
        let about = if notice.certificate.is_empty() { "this machine" } else { &notice.certificate };
        text.push_str(&format!("  Not sent of {about}: {}.\n", why_not(*why, channel.channel.level)));
    }
    text.push('\n');
    text
}

fn why_not(why: NotSent, level: NoticeLevel) -> String {
    match why {
        NotSent::BelowLevel => format!("it is less urgent than `{}`", level.code()),
        NotSent::NeverTold => "this channel was not told of the trouble that is over".to_owned(),
        _ => "for a reason that this version has no words for".to_owned(),
    }
}

fn why_quiet(quiet: &Quiet) -> String {
    match (quiet.level, quiet.told) {
        (None, _) => "nothing is wrong that has to be told".to_owned(),
        (Some(level), Some(told)) => {
            format!("told on {} ({}); a reminder comes when it is time for it", words::time(told), level.code())
        }
        (Some(level), None) => format!("{}, and not to be told yet", level.code()),
    }
}

/// The document of `--dry-run`.
pub(crate) fn foretold_json(foretold: &Foretold) -> Value {
    let channels: Vec<Value> = foretold
        .channels
        .iter()
        .map(|channel| {
            let left_out: Vec<Value> = channel
                .left_out
                .iter()
                .map(|(notice, why)| {
                    let code = match why {
                        NotSent::BelowLevel => "below-level",
                        NotSent::NeverTold => "never-told",
                        _ => "other",
                    };
                    json!({ "key": notice.key, "why": code })
                })
                .collect();
            json!({
                "name": channel.channel.name,
                "kind": channel.channel.channel.kind(),
                "level": channel.channel.level.code(),
                "recipients": channel.recipients,
                "waits_since": channel.waits_since.map(json_time),
                "messages": channel.messages.iter().map(|message| message.document()).collect::<Vec<_>>(),
                "left_out": left_out,
            })
        })
        .collect();
    let quiet: Vec<Value> = foretold
        .quiet
        .iter()
        .map(|quiet| {
            json!({
                "certificate": quiet.certificate,
                "level": quiet.level.map(NoticeLevel::code),
                "told": quiet.told.map(json_time),
            })
        })
        .collect();
    json!({
        "schema": 1,
        "now": json_time(foretold.now),
        "due": foretold.notices.len(),
        "channels": channels,
        "quiet": quiet,
        "findings": foretold.findings.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

fn delivery_json(delivery: &Delivery) -> Value {
    let each = |list: &[(String, String)]| {
        list.iter().map(|(who, why)| json!({ "recipient": who, "why": why })).collect::<Vec<_>>()
    };
    let (result, refused, later) = match &delivery.sent {
        Sent::ToAll => ("delivered", Vec::new(), Vec::new()),
        Sent::ToSome { refused, later } => ("partly", each(refused), each(later)),
        _ => ("failed", Vec::new(), Vec::new()),
    };
    let finding = delivery.finding();
    json!({
        "channel": delivery.channel,
        "recipients": delivery.recipients,
        "notices": delivery.notices.iter().map(|notice| &notice.key).collect::<Vec<_>>(),
        "result": result,
        "refused": refused,
        "later": later,
        "why": finding.as_ref().map(|finding| &finding.evidence),
        "cure": finding.as_ref().map(|finding| finding.cure()),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "severity": finding.severity,
        "subject": finding.subject,
        "what": finding.what(),
        "cure": finding.cure(),
    })
}

fn notices(count: usize) -> String {
    if count == 1 { "1 notice".to_owned() } else { format!("{count} notices") }
}
