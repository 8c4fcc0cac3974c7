//! The HTML part: the same as the text, easier to read. Nothing in it is loaded from elsewhere, and no link is in it.

use certkit_core::{Notice, NoticeLevel, words};
use serde_json::{Value, json};

use crate::notify::message::Message;
use crate::notify::template::{Writes, fill};

/// So many certificates are shown with everything: readers cut what is longer than 100 KiB.
const MOST_SECTIONS: usize = 50;

/// The page.
pub(super) fn page(message: &Message) -> Result<String, String> {
    let mut room = MOST_SECTIONS;
    let groups: Vec<Value> = message
        .groups
        .iter()
        .map(|group| {
            let notices: Vec<Value> = group.notices.iter().take(room).map(|notice| section(notice, message)).collect();
            room -= notices.len();
            json!({
                "heading": group.subject(message.at),
                "colour": colour(group.level),
                "more": group.notices.len() - notices.len(),
                "notices": notices,
            })
        })
        .collect();
    let data = json!({ "subject": message.subject, "host": message.host, "flags": message.flags, "groups": groups });
    fill(include_str!("mail.html"), Writes::Html, &data)
}

fn section(notice: &Notice, message: &Message) -> Value {
    let failing: Vec<&str> = notice.failing.iter().map(|(name, _)| name.as_str()).collect();
    let names: Vec<Value> = notice
        .identifiers
        .iter()
        .map(ToString::to_string)
        .map(|name| {
            let problem = notice.failing.iter().find(|(failing, _)| *failing == name).map(|(_, problem)| problem);
            json!({ "name": name, "problem": problem })
        })
        .collect();
    // What fails and is not among its names (a name that is to be added) must be seen, too.
    let others: Vec<&str> = failing
        .into_iter()
        .filter(|failing| !notice.identifiers.iter().any(|name| name.to_string() == *failing))
        .collect();
    let attempts: Vec<Value> =
        notice.attempts.iter().map(|one| json!({ "at": words::minute(one.at), "what": one.what })).collect();
    json!({
        "certificate": notice.certificate,
        "cause": notice.cause,
        "cure": notice.cure,
        "command": notice.command,
        "names": names,
        "others": others,
        "expires": notice.not_after.map(|at| format!("{} ({})", words::minute(at), words::from_now(at, message.at))),
        "end_label": notice.end_label(),
        "is_past": notice.not_after.is_some_and(|at| at <= message.at),
        "due_since": notice.due_since.map(|at| format!("{} ({})", words::minute(at), words::from_now(at, message.at))),
        "attempts": attempts,
        "deployed_to": notice.deployed_to,
        "served": notice.served,
    })
}

/// With at least 4.5 to 1 against white (WCAG 2.2, 1.4.3), as the background of a heading in white.
fn colour(level: NoticeLevel) -> &'static str {
    match level {
        NoticeLevel::Info => "#1a7f37",
        NoticeLevel::Warning => "#8a5a00",
        NoticeLevel::Critical => "#b42318",
        _ => "#7a0916",
    }
}
