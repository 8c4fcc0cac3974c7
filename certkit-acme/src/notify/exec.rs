//! A command of the owner's, with the notices as JSON on its standard input.

use super::Notifier;
use super::channel::Sent;
use super::message::Message;
use crate::command::{OwnersCommand, run_with_input};

/// Runs the command.
pub(super) async fn send(notifier: &Notifier, command: &str, message: &Message) -> Sent {
    let mut input = message.document().to_string().into_bytes();
    input.push(b'\n');
    let kind = message.notices().next().map_or("", |notice| notice.kind.code());
    let variables = [
        ("CERTKIT_LEVEL", message.level.code().to_owned()),
        ("CERTKIT_SUBJECT", message.subject.clone()),
        ("CERTKIT_KIND", kind.to_owned()),
        ("CERTKIT_CERTIFICATES", message.certificates().join(" ")),
        ("CERTKIT_HOST", message.host.clone()),
        ("CERTKIT_RESOLVED", message.is_resolved().to_string()),
    ];
    let command = OwnersCommand::Shell(command.to_owned());
    let outcome = run_with_input(&command, &variables, input, &notifier.commands).await;
    match outcome.failure("the command") {
        Some(failure) => Sent::failed_with(failure.detail, CURE),
        None => Sent::ToAll,
    }
}

const CURE: &str =
    "run the command by hand as the same user and put right what it says; `certkit notify --test` tries it";
