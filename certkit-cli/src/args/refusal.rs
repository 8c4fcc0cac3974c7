//! A flag that is unknown or has a wrong value: what is wrong in one line, and what to do in another.

use std::collections::BTreeMap;
use std::ffi::OsString;

use certkit_core::escape;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{IniOrigin, certbot};
use crate::commands;
use crate::exit::CommandError;

/// clap's error in our own words. Its own ones propose `-- --flag`, which helps nobody here.
pub(super) fn of(error: &clap::Error, arguments: &[OsString], from_file: &BTreeMap<String, IniOrigin>) -> CommandError {
    let flag = text(error, ContextKind::InvalidArg).map(|arg| spelling(&arg)).unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let flag_shown = escape(&flag);
    let place = from_file
        .get(&flag.trim_start_matches('-').replace('-', "_"))
        .filter(|_| !arguments.is_empty())
        .map(|origin| format!("{}, line {}: ", crate::ui::shown(&origin.file), origin.line))
        .unwrap_or_default();
    let help = match arguments.iter().filter_map(|argument| argument.to_str()).find_map(commands::by_name) {
        Some(command) => format!("`certkit {} --help` lists the flags", command.name),
        None => "`certkit --help` shows the commands, `certkit COMMAND --help` their flags".to_owned(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let known = text(error, ContextKind::SuggestedArg)
                .filter(|one| certbot::fate(one.trim_start_matches('-')).is_none());
            let cure = known.map_or_else(|| help.clone(), |known| format!("did you mean `{known}`? {help}"));
            CommandError::usage(format!("`{flag_shown}` is not a flag of certkit")).with_cure(cure)
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            CommandError::usage(format!("{place}`{flag_shown}` needs a value")).with_cure(help)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let possible = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => format!("use one of: {}", values.join(", ")),
                _ => match std::error::Error::source(error) {
                    Some(why) => format!("{}; {help}", escape(&why.to_string())),
                    None => help,
                },
            };
            CommandError::usage(format!("{place}`{}` is not possible for `{flag_shown}`", escape(&value)))
                .with_cure(possible)
        }
        ErrorKind::TooManyValues => {
            CommandError::usage(format!("{place}`{flag_shown}` takes no value, but `{}` is given", escape(&value)))
                .with_cure("leave the value out")
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            CommandError::usage(escape(first.strip_prefix("error: ").unwrap_or(first))).with_cure(help)
        }
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        other => Some(other.to_string()),
    }
}

/// clap adds the placeholder of the value: `--key-type <KIND>`.
fn spelling(arg: &str) -> String {
    arg.split([' ', '=']).next().unwrap_or(arg).to_owned()
}
