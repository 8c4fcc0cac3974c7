//! By this machine's own mail system, through the interface that every one of them has.

use std::path::Path;

use super::compose::compose;
use crate::command::{CommandEnding, OwnersCommand, run_with_input};
use crate::notify::Notifier;
use crate::notify::channel::{Letter, Sent};

/// Hands a mail over. Who receives it stands among the arguments, and nothing of the mail does: `-t` would read it from
/// the head. `--` and the type of the addresses keep them from being options (RUSTSEC-2020-0069).
pub(in crate::notify) async fn by_sendmail(notifier: &Notifier, program: &Path, letter: &Letter<'_>) -> Sent {
    let mail = match compose(letter) {
        Ok(mail) => with_unix_lines(&mail),
        Err(why) => return Sent::failed(why),
    };
    let mut arguments = vec!["-i".to_owned(), "-f".to_owned(), letter.from.clone(), "--".to_owned()];
    arguments.extend(letter.to.iter().map(ToString::to_string));
    let command = OwnersCommand::Program(program.to_owned(), arguments.into_iter().map(Into::into).collect());
    let outcome = run_with_input(&command, &[], mail, &notifier.commands).await;
    match outcome.failure(&program.to_string_lossy()) {
        None => Sent::ToAll,
        Some(failure) if matches!(outcome.ending, CommandEnding::NotStarted(_)) => Sent::failed_with(
            failure.detail,
            "install a mail system, or name a mail server instead: [[notify]] with smtp = \"mail.example.org\" in certkit/settings.toml",
        ),
        Some(failure) => Sent::failed(failure.detail),
    }
}

/// What sendmail reads is a text of this system; it makes the wire's line ends itself.
fn with_unix_lines(mail: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(mail.len());
    let mut rest = mail.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == b'\r' && rest.peek() == Some(&b'\n') {
            continue;
        }
        bytes.push(byte);
    }
    bytes
}
