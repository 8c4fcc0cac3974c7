//! Help: written from the doc comments of the flags and of the commands.

use clap::CommandFactory as _;

use super::{ALL, Command, by_name};
use crate::args::typed::Typed;
use crate::exit::{CommandError, Exit};
use crate::ui::Ui;

/// The flags that matter with every command.
pub(super) const EVERYWHERE: &[&str] =
    &["config_dir", "work_dir", "logs_dir", "config", "json", "quiet", "verbose", "non_interactive", "help", "version"];

/// They may be given to every command, whether or not it asks a server: a script gives them to all.
pub(super) const TAKEN_EVERYWHERE: &[&str] = &["server", "ca_bundle"];

/// `--version`.
pub(crate) fn version(ui: &Ui) -> Exit {
    ui.plain(&format!("certkit {}\n", env!("CARGO_PKG_VERSION")));
    Exit::Well
}

/// `--help`, for a command when one is given.
pub(crate) fn show(word: Option<&str>, ui: &Ui) -> Exit {
    match word {
        None | Some("help" | "all") => ui.plain(&overview()),
        Some(word) => match by_name(word) {
            Some(command) => ui.plain(&of_command(command)),
            None => {
                ui.error(&CommandError::usage(format!("`{}` is not a command of certkit", certkit_core::escape(word))));
                ui.failure(&overview());
                return Exit::Usage;
            }
        },
    }
    Exit::Well
}

fn overview() -> String {
    let mut commands = String::new();
    for command in ALL {
        let about = described(command).get_about().map(ToString::to_string).unwrap_or_default();
        commands.push_str(&format!("  {:<15} {about}\n", command.name));
    }
    let template = format!(
        "{{about}}\n\nUsage: certkit COMMAND [FLAGS]\n\nCommands:\n{commands}\nFlags may stand before or after the command, and may be shortened. `certkit COMMAND --help` shows a command's flags.\n\n{{all-args}}\n"
    );
    shown_only(Typed::command(), EVERYWHERE, &["server", "ca_bundle", "no_verify_ssl"])
        .help_template(template)
        .render_help()
        .ansi()
        .to_string()
}

fn of_command(command: &Command) -> String {
    let described = described(command);
    let about =
        described.get_long_about().or_else(|| described.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = ["certkit", command.name, command.usage, "[FLAGS]"].join(" ").replace("  ", " ");
    shown_only(Typed::command(), EVERYWHERE, command.flags)
        .about(about)
        .override_usage(usage)
        .help_template("{about}\n\nUsage: {usage}\n\n{all-args}\n")
        .render_help()
        .ansi()
        .to_string()
}

/// A command's doc comment, as clap reads it.
fn described(command: &Command) -> clap::Command {
    (command.describe)(clap::Command::new(command.name))
}

/// The parser with all but these flags hidden.
fn shown_only(parser: clap::Command, first: &'static [&'static str], second: &'static [&'static str]) -> clap::Command {
    let mut parser = parser.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let keep = first.contains(&id) || second.contains(&id);
        arg.hide(!keep)
    });
    parser.build();
    parser
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_every_command_exists_and_every_command_is_described() {
        let parser = Typed::command();
        for command in ALL {
            for flag in command.flags.iter().chain(EVERYWHERE) {
                assert!(parser.get_arguments().any(|arg| arg.get_id() == flag), "{}: {flag}", command.name);
            }
            assert!(described(command).get_about().is_some(), "{}", command.name);
        }
    }

    #[test]
    fn every_flag_belongs_to_a_command() {
        for arg in Typed::command().get_arguments() {
            let id = arg.get_id().as_str();
            let shown = EVERYWHERE.contains(&id) || ALL.iter().any(|command| command.flags.contains(&id));
            assert!(shown || id == "words", "{id} is in no help text");
        }
    }

    #[test]
    fn everywhere_stands_only_what_every_command_takes() {
        let parser = Typed::command();
        let everywhere = parser.get_arguments().filter(|arg| arg.get_help_heading() == Some("Everywhere"));
        let ids: Vec<&str> = everywhere.map(|arg| arg.get_id().as_str()).collect();
        assert!(ids.contains(&"json") && ids.iter().all(|id| EVERYWHERE.contains(id)), "{ids:?}");
    }

    #[test]
    fn a_flag_is_described_for_every_command_that_takes_it() {
        let help = |command: &str| {
            let text = anstream::adapter::strip_str(&of_command(by_name(command).unwrap())).to_string();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(help("timer").contains("the timer is only shown"), "{}", help("timer"));
        let renew = help("renew");
        assert!(renew.contains("what is not due is renewed only with --force-renewal"), "{renew}");
        for told in
            ["when the CA advises it", "waits longer after each failure", "fallback_servers", "pending", "asked for"]
        {
            assert!(renew.contains(told), "{told}: {renew}");
        }
    }

    #[test]
    fn help_of_a_command_shows_its_flags_only() {
        let text = anstream::adapter::strip_str(&of_command(by_name("renew").unwrap())).to_string();
        assert!(text.contains("--force-renewal") && text.contains("--config-dir"), "{text}");
        assert!(!text.contains("--key-path") && !text.contains("--nginx"), "{text}");
    }
}
