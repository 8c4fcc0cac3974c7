//! Whether hooks can be run.

use std::fs::{self, File};
use std::io::{Read as _, Take};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use certkit_core::words::shell_word;
use certkit_core::{Finding, FindingCode, escape};

use super::{Check, Examined, Machine};
use crate::deploy::{HookStage, directory_hooks, is_executable, validate_command};

/// A hook command of a conf or of the settings.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HookCommand<'a> {
    /// What it is called: `deploy hook`, `manual auth hook`.
    pub what: &'a str,
    /// The flag of `certkit reconfigure` that sets another one, if there is one: `--deploy-hook`.
    pub flag: Option<&'a str>,
    /// The line for the shell.
    pub command: &'a str,
}

impl<'a> HookCommand<'a> {
    /// A command of this name, set by this flag.
    pub fn new(what: &'a str, flag: Option<&'a str>, command: &'a str) -> Self {
        Self { what, flag, command }
    }
}

/// Endings of copies that editors, packages and people leave behind.
const LEFTOVERS: [&str; 12] = [
    ".bak",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".old",
    ".orig",
    ".rpmnew",
    ".rpmsave",
    ".save",
    ".swo",
    ".swp",
    ".ucf-old",
];
/// What stands in a hook directory for people.
const FOR_PEOPLE: [&str; 4] = ["README", "readme", ".md", ".txt"];

/// Whether the first word of a hook command is a program, and a script has its interpreter.
pub fn check_hook(hook: HookCommand<'_>, machine: &Machine) -> Examined {
    let problem = match validate_command(hook.what, hook.command, machine.path.as_deref()) {
        Err(problem) => Some(problem),
        Ok(()) => {
            let program = hook.command.split_whitespace().next().unwrap_or_default();
            let script = program.contains('/').then(|| missing_interpreter(Path::new(program))).flatten();
            script.map(|problem| format!("the {} {} {problem}", hook.what, escape(program)))
        }
    };
    let findings = problem.map(|problem| {
        let finding = Finding::new(FindingCode::HookNotRunnable, hook.command, &problem);
        let program = hook.command.split_whitespace().next().unwrap_or_default();
        match hook.flag {
            _ if problem.contains("chmod +x") => finding.with_cure(format!("chmod +x {}", shell_word(program))),
            Some(flag) => finding.with_cure(format!(
                "put it right, or set another one: certkit reconfigure --cert-name NAME {flag} COMMAND"
            )),
            None => finding,
        }
    });
    Examined::found(Check::Hooks, hook.command, findings.into_iter().collect())
}

/// Whether the hooks of a directory are run: all of them, none that was left behind by an editor, and none that was meant
/// to be run and is not. It asks the file system.
pub fn check_hook_directory(stage: HookStage, directory: &Path) -> Examined {
    let subject = directory.to_string_lossy();
    let mut findings = Vec::new();
    match directory_hooks(directory) {
        Ok(hooks) => {
            for hook in hooks {
                let shown = hook.to_string_lossy();
                if is_leftover(&hook) {
                    let cure = format!("chmod -x {}", shell_word(&shown));
                    findings.push(Finding::new(FindingCode::HookLeftover, &shown, "").with_cure(cure));
                }
                if let Some(problem) = missing_interpreter(&hook) {
                    let evidence = format!("the {} hook {} {problem}", stage.as_str(), escape(&shown));
                    findings.push(
                        Finding::new(FindingCode::HookNotRunnable, &shown, evidence)
                            .with_cure(format!("correct the first line of {}", shell_word(&shown))),
                    );
                }
            }
        }
        Err(failure) => {
            findings.push(Finding::new(FindingCode::HookDirectoryRefused, &subject, &failure.detail));
        }
    }
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_file() && !is_executable(&path) && !is_leftover(&path) && !is_for_people(&path) {
            let shown = path.to_string_lossy();
            let cure = format!("chmod +x {}, or move it away", shell_word(&shown));
            findings.push(Finding::new(FindingCode::HookIgnored, &shown, "").with_cure(cure));
        }
    }
    findings.sort_by(|one, other| one.subject.cmp(&other.subject));
    Examined::found(Check::Hooks, subject, findings)
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_bytes()).unwrap_or_default();
    name.ends_with(b"~") || name.starts_with(b"#") || LEFTOVERS.iter().any(|end| name.ends_with(end.as_bytes()))
}

fn is_for_people(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || FOR_PEOPLE.iter().any(|known| name.starts_with(known) || name.ends_with(known))
}

/// Of a script: that its interpreter is missing (execve(2) says of the script that it is not there). An interpreter with a
/// carriage return at its end was written on Windows.
fn missing_interpreter(script: &Path) -> Option<String> {
    /// BINPRM_BUF_SIZE of Linux.
    const MAX_LINE: u64 = 256;
    let mut line = Vec::new();
    let mut start: Take<File> = File::open(script).ok()?.take(MAX_LINE);
    start.read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let interpreter = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
    if interpreter.is_empty() || is_executable(Path::new(interpreter)) {
        return None;
    }
    Some(match interpreter.strip_suffix('\r') {
        Some(_) => {
            "has lines that end as on Windows, so that its interpreter is not found: sed -i 's/\\r$//' it".to_owned()
        }
        None => format!("names an interpreter that is not there: {}", escape(interpreter)),
    })
}
