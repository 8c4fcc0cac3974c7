//! The commands, one file each.

mod account;
mod certificates;
mod certonly;
mod check;
mod config;
mod daemon;
mod delete;
mod deploy;
mod doctor;
mod foresight;
mod fsck;
pub(crate) mod help;
mod history;
mod inspect;
mod inspect_host;
mod metrics;
mod notify;
mod plan;
mod reconfigure;
mod register;
mod renew;
mod report;
mod revoke;
mod rollback;
mod show_account;
mod status;
mod timer;
mod unregister;
mod update_account;
mod versions;
mod wishes;

mod common;
pub(crate) use certonly::Saved;
pub(crate) use check::{CHECK, unknown};
pub(crate) use common::Context;
pub(crate) use foresight::{CadenceSource, Foreseen, Foresight};
pub(crate) use wishes::in_json as wish_json;

use certkit_core::escape;

use crate::args::{Invocation, certbot};
use crate::exit::{CommandError, Exit};

/// A command, as its file describes it.
pub(crate) struct Command {
    /// The command word.
    pub(crate) name: &'static str,
    /// The help: the doc comment of the type in the command's file.
    pub(crate) describe: fn(clap::Command) -> clap::Command,
    /// What stands after the word, for the usage line.
    pub(crate) usage: &'static str,
    /// The flags that matter for it, by their ids, besides those that matter everywhere.
    pub(crate) flags: &'static [&'static str],
    /// Whether it changes anything. One that does not writes nothing at all, not even the log.
    pub(crate) writes: bool,
    /// How many words may follow the command word.
    pub(crate) operands: Operands,
    /// Does it.
    pub(crate) run: fn(&Context<'_>) -> Result<Exit, CommandError>,
}

/// What may follow a command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Nothing.
    None,
    /// At least one word.
    Some,
    /// Exactly one of these words.
    OneOf(&'static [&'static str]),
}

/// Every command, in the order of the help text.
pub(crate) const ALL: &[&Command] = &[
    &certificates::COMMAND,
    &status::COMMAND,
    &plan::COMMAND,
    &report::COMMAND,
    &check::COMMAND,
    &doctor::COMMAND,
    &fsck::COMMAND,
    &inspect::COMMAND,
    &renew::COMMAND,
    &daemon::COMMAND,
    &deploy::COMMAND,
    &certonly::COMMAND,
    &reconfigure::COMMAND,
    &delete::COMMAND,
    &revoke::COMMAND,
    &versions::COMMAND,
    &rollback::COMMAND,
    &history::COMMAND,
    &config::COMMAND,
    &register::COMMAND,
    &update_account::COMMAND,
    &show_account::COMMAND,
    &unregister::COMMAND,
    &timer::COMMAND,
    &notify::COMMAND,
];

/// The command of a word; certbot's `auth` is `certonly`.
pub(crate) fn by_name(word: &str) -> Option<&'static Command> {
    let word = if word == "auth" { "certonly" } else { word };
    ALL.iter().copied().find(|command| command.name == word)
}

/// The command that was asked for, its number of operands checked.
pub(crate) fn find(invocation: &Invocation) -> Result<&'static Command, CommandError> {
    let names = || ALL.iter().map(|command| command.name).collect::<Vec<_>>().join(", ");
    let Some(word) = invocation.word() else {
        return Err(CommandError::usage("no command was given")
            .with_cure(format!("name one of: {}; `certkit --help` explains them", names())));
    };
    let Some(command) = by_name(word) else {
        let error = CommandError::usage(format!("`{}` is not a command of certkit", escape(word)));
        return Err(match certbot::command_cure(word) {
            Some(cure) => error.with_cure(cure),
            None => error.with_cure(format!("the commands are: {}", names())),
        });
    };
    let refuse = |operand: &str| {
        Err(CommandError::usage(format!("`certkit {}` does not take `{}`", command.name, escape(operand)))
            .with_cure(format!("`certkit {} --help` shows what it takes", command.name)))
    };
    match (command.operands, invocation.operands()) {
        (Operands::None, [operand, ..]) => refuse(operand),
        (Operands::OneOf(known), [operand]) if !known.contains(&operand.as_str()) => refuse(operand),
        (Operands::OneOf(_), [_, surplus, ..]) => refuse(surplus),
        (Operands::Some | Operands::OneOf(_), []) => {
            Err(CommandError::usage(format!("`certkit {}` needs {}", command.name, command.usage)))
        }
        _ => Ok(command),
    }
}
