//! `history`: what happened to the certificates. It reads only.

use clap::Args as _;

use certkit_core::LineageName;
use certkit_core::state::RecordedEvent;
use serde_json::{Value, json};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::{table, time, words};

/// Show what happened to the certificates
///
/// Shows the attempts, their results and causes, the CAs and the orders of each certificate, oldest first. Nothing is
/// changed.
#[derive(clap::Args)]
struct About {}

/// `history`.
pub(crate) const COMMAND: Command = Command {
    name: "history",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let store = context.store()?;
    let names = match context.invocation.cert_name()? {
        Some(name) => vec![name],
        None => store.remembered()?,
    };
    let mut all: Vec<(LineageName, RecordedEvent)> = Vec::new();
    for name in names {
        let events = store.history(&name)?;
        all.extend(events.into_iter().map(|event| (name.clone(), event)));
    }
    // Stable, so that events of the same second stay in their order.
    all.sort_by_key(|(_, event)| event.at);
    context.ui.result(&text(&all));
    if context.ui.voice().json {
        context.ui.json(&json(&all));
    }
    Ok(Exit::Well)
}

fn text(all: &[(LineageName, RecordedEvent)]) -> String {
    if all.is_empty() {
        return "Nothing has happened yet.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(name, recorded)| vec![time(recorded.at), name.to_string(), words::event(name, &recorded.event)])
        .collect();
    table::table(&["Time", "Certificate", "What happened"], &rows)
}

fn json(all: &[(LineageName, RecordedEvent)]) -> Value {
    let events: Vec<Value> = all
        .iter()
        .map(|(name, recorded)| {
            let mut value = serde_json::to_value(recorded).unwrap_or(Value::Null);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("name".to_owned(), json!(name.as_str()));
                fields.insert("at".to_owned(), json!(crate::render::json_time(recorded.at)));
                fields.insert("words".to_owned(), json!(words::event(name, &recorded.event)));
            }
            value
        })
        .collect();
    json!({ "schema": 1, "events": events })
}

#[cfg(test)]
mod tests {
    use certkit_core::state::Event;
    use certkit_core::{Failure, FailureClass, Version};

    use super::*;

    #[test]
    fn a_table_and_a_document() {
        let at = |seconds: i64| chrono::DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let name = LineageName::new("a.example").unwrap();
        let all = [
            (name.clone(), RecordedEvent::new(at(0), Event::FirstSeen { version: Version(2) })),
            (
                name,
                RecordedEvent::new(
                    at(5),
                    Event::AttemptFailed { failure: Failure::new(FailureClass::Network, "no route\nto host") },
                ),
            ),
        ];
        assert_eq!(
            text(&all),
            "Time                     Certificate  What happened\n2027-01-15 08:00:00 UTC  a.example    seen for the first time, with version 2\n2027-01-15 08:00:05 UTC  a.example    failed: no route\\u{a}to host\n"
        );
        let document = json(&all);
        assert_eq!(document["events"][0]["event"], "first-seen");
        assert_eq!(document["events"][0]["version"], 2);
        assert_eq!(document["events"][1]["at"], "2027-01-15T08:00:05Z");
        assert_eq!(document["events"][1]["name"], "a.example");
    }
}
