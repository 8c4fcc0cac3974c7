//! certkit on the command line: arguments in, one command, text or JSON out. What is decided is decided in the libraries.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod confine;
mod exit;
mod log;
mod progress;
mod render;
mod runtime;
mod service;
mod timer;
mod ui;

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use certkit_core::CheckLevel;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::args::{Environment, Invocation};
use crate::commands::Context;
use crate::exit::{CommandError, Exit};
use crate::ui::{Ui, Voice};

fn main() -> ExitCode {
    // Private keys belong into no core dump. Where the kernel refuses, nothing else can be done.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    ExitCode::from(run(&arguments).status())
}

fn run(arguments: &[OsString]) -> Exit {
    let invocation = match Invocation::read(arguments, environment()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let ui = Ui::for_process(Voice { json: asks_for_json(arguments), ..Voice::default() });
            return fail(&error, args::asks_for(arguments, commands::CHECK), &ui);
        }
    };
    let general = &invocation.typed.general;
    let ui = Arc::new(Ui::for_process(Voice {
        json: general.json,
        quiet: general.quiet,
        verbose: general.verbose,
        interactive: std::io::stdin().is_terminal() && !general.non_interactive && !general.json,
    }));
    let exit = if general.version {
        commands::help::version(&ui)
    } else if invocation.wants_help() {
        let word = if invocation.word() == Some("help") {
            invocation.operands().first()
        } else {
            invocation.typed.words.first()
        };
        commands::help::show(word.map(String::as_str), &ui)
    } else {
        perform(&invocation, &ui)
    };
    if invocation.word() != Some(commands::CHECK) {
        ui.tell_whose_commands(&invocation.flags_of_the_tree());
    }
    // Whoever asked for a result and did not get it must not take this for success.
    if let (Some(problem), Exit::Well | Exit::Checked(CheckLevel::Ok)) = (ui.lost_output(), exit) {
        ui.error(
            &CommandError::failed(format!("standard output cannot be written: {problem}"))
                .with_cure("make room, or send the output elsewhere"),
        );
        return if exit == Exit::Well { Exit::Failed } else { Exit::Checked(CheckLevel::Unknown) };
    }
    exit
}

fn perform(invocation: &Invocation, ui: &Arc<Ui>) -> Exit {
    let result = commands::find(invocation).and_then(|command| {
        let context = Context::new(invocation, ui);
        context.begin(command)?;
        (command.run)(&context)
    });
    result.unwrap_or_else(|error| fail(&error, invocation.word() == Some(commands::CHECK), ui))
}

/// Tells why nothing came of it. A monitoring system reads one line on standard output, and takes 2 for critical.
fn fail(error: &CommandError, is_check: bool, ui: &Ui) -> Exit {
    if is_check {
        return commands::unknown(error, ui);
    }
    ui.error(error);
    error.exit
}

/// When the command line cannot be read, its `--json` still counts; it may be shortened as any flag.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let texts = arguments.iter().map(|argument| argument.to_string_lossy());
    texts.take_while(|text| text != "--").any(|text| text.len() > 2 && "--json".starts_with(text.as_ref()))
}

/// The only place where the command line's own variables are read.
fn environment() -> Environment {
    let dir = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Environment {
        config_dir: dir("CERTKIT_CONFIG_DIR"),
        user_config_dir: dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config"))),
        runtime_dir: dir("RUNTIME_DIRECTORY").or_else(|| match rustix::process::geteuid().is_root() {
            true => Some(PathBuf::from("/run/certkit")),
            false => Some(dir("XDG_RUNTIME_DIR")?.join("certkit")),
        }),
        path: env::var_os("PATH"),
        timer: env::var_os(timer::VARIABLE),
        timer_root: dir("CERTKIT_TIMER_ROOT"),
        columns: env::var_os("COLUMNS"),
        locale: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os).find(|value| !value.is_empty()),
    }
}
