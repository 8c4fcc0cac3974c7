//! The command line: what was typed, what cli.ini adds, and what both mean.

pub(crate) mod certbot;
pub(crate) mod cli_ini;
pub(crate) mod meant;
mod refusal;
pub(crate) mod typed;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use certkit_core::escape;
use certkit_core::store::read_file;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory as _};

use self::certbot::Fate;
use self::cli_ini::{IniError, Setting, Value};
use self::typed::Typed;
use crate::exit::CommandError;

/// Far above any file of flags.
const MAX_INI_BYTES: usize = 1 << 20;

/// What the process was started with, besides its arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// $CERTKIT_CONFIG_DIR.
    pub(crate) config_dir: Option<PathBuf>,
    /// $XDG_CONFIG_HOME, else $HOME/.config.
    pub(crate) user_config_dir: Option<PathBuf>,
    /// Where what is gone after a restart may be kept: $RUNTIME_DIRECTORY, else /run/certkit for root and
    /// $XDG_RUNTIME_DIR/certkit for others.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// $PATH, in which hook commands are looked for.
    pub(crate) path: Option<OsString>,
    /// $CERTKIT_TIMER: our timer runs us, so often.
    pub(crate) timer: Option<OsString>,
    /// $CERTKIT_TIMER_ROOT: the folder that `timer` takes for `/`, for tests.
    pub(crate) timer_root: Option<PathBuf>,
    /// $COLUMNS: how wide the owner wants lines to be.
    pub(crate) columns: Option<OsString>,
    /// $LC_ALL, else $LC_CTYPE, else $LANG: what a terminal can show.
    pub(crate) locale: Option<OsString>,
}

/// A command line that could be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invocation {
    /// The flags, those of cli.ini included.
    pub(crate) typed: Typed,
    /// The environment.
    pub(crate) environment: Environment,
    /// Where the values that come from a file stand, by the flag's id.
    pub(crate) from_file: BTreeMap<String, IniOrigin>,
    /// Each name with the document root that was given before it.
    pub(crate) webroots: Vec<WebrootOf>,
    /// What is ignored, and why; told at -v.
    pub(crate) notes: Vec<String>,
    /// The long names of the flags that were given, for the log: values may be secrets.
    pub(crate) flags: Vec<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IniOrigin {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

/// A name and its document root, by the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebrootOf {
    /// As typed.
    pub(crate) name: String,
    /// The last `-w` before it, or the first after it.
    pub(crate) root: PathBuf,
}

/// Why no command runs.
pub(crate) type ParseError = Box<CommandError>;

impl Invocation {
    /// Reads the arguments (without the program's name) and the files they lead to.
    pub(crate) fn read(arguments: &[OsString], environment: Environment) -> Result<Self, ParseError> {
        let parser = parser();
        let mut from_file = BTreeMap::new();
        let matches = parse(&parser, arguments, &from_file)?;
        let refused = |error: clap::Error| Box::new(refusal::of(&error, arguments, &BTreeMap::new()));
        let typed = Typed::from_matches(&matches).map_err(refused)?;
        let mut tokens: Vec<OsString> = Vec::new();
        // Help and version have to work with a broken file, too.
        if !wants_help(&typed) && !typed.general.version {
            for file in config_files(&typed, &environment).iter().rev() {
                let Some(settings) = read_ini(file)? else { continue };
                for setting in settings {
                    tokens_of(&parser, &matches, file, setting, &mut from_file, &mut tokens).map_err(usage)?;
                }
            }
        }
        let matches = if tokens.is_empty() {
            matches
        } else {
            tokens.extend_from_slice(arguments);
            parse(&parser, &tokens, &from_file)?
        };
        let typed = Typed::from_matches(&matches).map_err(refused)?;
        let notes = if wants_help(&typed) { Vec::new() } else { judge_foreign(&matches, &from_file, &typed)? };
        let webroots = webroots(&matches)?;
        let flags = given(&parser, &matches).filter_map(Arg::get_long).map(str::to_owned).collect();
        Ok(Self { typed, environment, from_file, webroots, notes, flags })
    }

    /// Whether the value of a flag (by id) comes from a file and not from the command line.
    pub(crate) fn is_from_file(&self, id: &str) -> bool {
        self.from_file.contains_key(id)
    }

    /// Whether help was asked for, by flag or by `help COMMAND`.
    pub(crate) fn wants_help(&self) -> bool {
        wants_help(&self.typed)
    }

    /// The command word.
    pub(crate) fn word(&self) -> Option<&str> {
        self.typed.words.first().map(String::as_str)
    }

    /// What follows the command word.
    pub(crate) fn operands(&self) -> &[String] {
        self.typed.words.get(1..).unwrap_or_default()
    }
}

/// Whether a command line that cannot be read asks for this command.
pub(crate) fn asks_for(arguments: &[OsString], command: &str) -> bool {
    let program = std::iter::once(OsString::from("certkit"));
    let matches = parser().ignore_errors(true).try_get_matches_from(program.chain(arguments.iter().cloned()));
    let words =
        matches.ok().and_then(|matches| Some(matches.try_get_many::<String>("words").ok()??.cloned().collect()));
    let words: Vec<String> = words.unwrap_or_default();
    words.first().is_some_and(|word| word == command)
}

/// The parser with every flag, certbot's included.
pub(crate) fn parser() -> clap::Command {
    Typed::command().args(certbot::arguments())
}

fn wants_help(typed: &Typed) -> bool {
    typed.general.help || typed.words.first().is_some_and(|word| word == "help")
}

fn parse(
    parser: &clap::Command,
    arguments: &[OsString],
    from_file: &BTreeMap<String, IniOrigin>,
) -> Result<ArgMatches, ParseError> {
    let program = std::iter::once(OsString::from("certkit"));
    parser
        .clone()
        .try_get_matches_from(program.chain(arguments.iter().cloned()))
        .map_err(|error| Box::new(refusal::of(&error, arguments, from_file)))
}

fn usage(error: IniError) -> ParseError {
    let cure = match error.line {
        Some(_) => "correct the line or remove it",
        None => "correct the file, or leave it out",
    };
    Box::new(CommandError::usage(error.to_string()).with_cure(cure))
}

/// In certbot's order: the later ones win.
fn config_files(typed: &Typed, environment: &Environment) -> Vec<PathBuf> {
    let mut files = vec![meant::config_dir(typed, environment).join("cli.ini")];
    if let Some(dir) = &environment.user_config_dir {
        files.push(dir.join("letsencrypt/cli.ini"));
    }
    files.dedup();
    files.extend(typed.general.config.clone());
    let asked_for = typed.general.config.as_deref();
    // What is there and is no file, or leads nowhere, is an error: its flags would be missing without a word.
    files.retain(|file| Some(file.as_path()) == asked_for || file.symlink_metadata().is_ok());
    files
}

fn read_ini(file: &Path) -> Result<Option<Vec<Setting>>, ParseError> {
    let error = |problem: String| usage(IniError { file: file.to_owned(), line: None, problem });
    match read_file(file, MAX_INI_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => cli_ini::parse(file, &text).map(Some).map_err(usage),
            Err(_) => Err(error("it is not UTF-8 text".to_owned())),
        },
        Err(problem) => Err(error(format!("cannot read it: {}", problem.source))),
    }
}

/// Turns a setting into arguments, unless the command line or a stronger file says something else.
fn tokens_of(
    parser: &clap::Command,
    command_line: &ArgMatches,
    file: &Path,
    setting: Setting,
    from_file: &mut BTreeMap<String, IniOrigin>,
    tokens: &mut Vec<OsString>,
) -> Result<(), IniError> {
    let error = |problem: String| IniError { file: file.to_owned(), line: Some(setting.line), problem };
    let key = escape(&setting.key);
    let Some(arg) = parser.get_arguments().find(|arg| names(arg).any(|name| name == setting.key)) else {
        return Err(error(format!("`{key}` is not a flag of certkit")));
    };
    let id = arg.get_id().as_str();
    if matches!(id, "config" | "help" | "version") {
        return Err(error(format!("`{key}` cannot be set in a file")));
    }
    let typed = |id: &str| command_line.value_source(id) == Some(ValueSource::CommandLine);
    if typed(id) || rivals(id).iter().any(|rival| typed(rival)) || from_file.contains_key(id) {
        return Ok(());
    }
    let long = arg.get_long().unwrap_or(&setting.key);
    let is_flag = !arg.get_action().takes_values();
    match setting.value {
        Value::Text(value) if is_flag => match value.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => tokens.push(format!("--{long}").into()),
            // Nothing to add, but a weaker file has no say any more.
            "false" | "no" | "off" | "0" => {}
            other => match (arg.get_action(), other.parse::<u8>()) {
                (ArgAction::Count, Ok(count)) => {
                    tokens.extend((0..count).map(|_| OsString::from(format!("--{long}"))));
                }
                _ => {
                    return Err(error(format!("`{key}` is set to `{}`; it can be true or false", escape(&value))));
                }
            },
        },
        Value::Text(value) => tokens.push(format!("--{long}={value}").into()),
        Value::List(_) if is_flag => {
            return Err(error(format!("`{key}` is set to a list; it can be true or false")));
        }
        Value::List(values) if matches!(arg.get_action(), ArgAction::Append) => {
            tokens.extend(values.iter().map(|value| OsString::from(format!("--{long}={value}"))));
        }
        Value::List(_) => return Err(error(format!("`{key}` is set to a list; it can have one value only"))),
    }
    from_file.insert(id.to_owned(), IniOrigin { file: file.to_owned(), line: setting.line });
    Ok(())
}

fn names(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default())
}

/// The flags that say something else about the same: one on the command line overrides another in a file.
fn rivals(id: &str) -> &'static [&'static str] {
    match id {
        "reuse_key" => &["no_reuse_key"],
        "no_reuse_key" => &["reuse_key"],
        "delete_after_revoke" => &["no_delete_after_revoke"],
        "no_delete_after_revoke" => &["delete_after_revoke"],
        "server" => &["staging"],
        "staging" => &["server"],
        "standalone" | "webroot" | "manual" | "authenticator" => &["standalone", "webroot", "manual", "authenticator"],
        "webroot_path" | "webroot_map" => &["webroot_path", "webroot_map"],
        "required_profile" | "preferred_profile" => &["required_profile", "preferred_profile"],
        "email" => &["register_unsafely_without_email"],
        "register_unsafely_without_email" => &["email"],
        _ => &[],
    }
}

fn given<'a>(parser: &'a clap::Command, matches: &'a ArgMatches) -> impl Iterator<Item = &'a Arg> {
    parser.get_arguments().filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
}

fn judge_foreign(
    matches: &ArgMatches,
    from_file: &BTreeMap<String, IniOrigin>,
    typed: &Typed,
) -> Result<Vec<String>, ParseError> {
    let mut notes = Vec::new();
    let orders = matches!(typed.words.first().map(String::as_str), Some("certonly" | "auth" | "renew" | "reconfigure"));
    let parser = parser();
    for arg in given(&parser, matches) {
        let id = arg.get_id().as_str();
        let Some(fate) = certbot::fate(id) else { continue };
        let place = match from_file.get(id) {
            Some(origin) => {
                format!("`{id}` ({}, line {})", escape(&origin.file.to_string_lossy()), origin.line)
            }
            None => format!("--{id}"),
        };
        match fate {
            Fate::Ignored(why) => notes.push(format!("{place} is ignored: {why}.")),
            // A file is for every command; only one that would use the flag has to refuse it.
            Fate::Refused(_) if from_file.contains_key(id) && !orders => {
                notes.push(format!("{place} is ignored: this command has no use for it."));
            }
            Fate::Refused(cure) => {
                return Err(Box::new(
                    CommandError::usage(format!("{place} cannot be done by certkit")).with_cure(cure),
                ));
            }
        }
    }
    Ok(notes)
}

/// certbot's rule of positions: a name belongs to the last `-w` before it; names before the first `-w` belong to it,
/// which only has one meaning when there is but one.
fn webroots(matches: &ArgMatches) -> Result<Vec<WebrootOf>, ParseError> {
    let roots: Vec<(usize, PathBuf)> = positions(matches, "webroot_path");
    let mut names: Vec<(usize, String)> = positions(matches, "domains");
    names.extend(positions(matches, "ip_address"));
    names.sort_by_key(|(at, _)| *at);
    let Some((_, first)) = roots.first() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (at, name) in names {
        let root = match roots.iter().rev().find(|(root_at, _)| *root_at < at) {
            Some((_, root)) => root,
            None if roots.len() == 1 => first,
            None => {
                return Err(Box::new(
                    CommandError::usage("with several -w, one of them must stand before all -d")
                        .with_cure("write -w DIR -d NAME -w DIR -d NAME"),
                ));
            }
        };
        for part in name.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            found.push(WebrootOf { name: part.to_owned(), root: root.clone() });
        }
    }
    Ok(found)
}

fn positions<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<(usize, T)> {
    let indices = matches.indices_of(id).into_iter().flatten();
    indices.zip(matches.get_many::<T>(id).into_iter().flatten().cloned()).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
