//! A change to the machine: shown first, then made.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use certkit_core::escape;
use serde_json::{Value, json};

use super::Machine;
use crate::exit::CommandError;
use crate::ui::shown;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file of ours is written; a different one that is there is kept under another name.
    Write { path: PathBuf, content: String, before: Option<String> },
    /// A file of ours is removed.
    Remove { path: PathBuf },
    /// A program is run.
    Run { program: &'static str, arguments: Vec<String> },
    /// Somebody else's file gets a new content; `lines` are those that change, and `how` is what happens to them.
    Edit { path: PathBuf, content: String, lines: Vec<String>, how: &'static str },
    /// The same for the crontab of the user who runs us.
    EditCrontab { content: String, lines: Vec<String>, how: &'static str },
}

/// How lines are taken out of use, and into use again.
pub(crate) const COMMENT_OUT: &str = "comment out";
pub(crate) const USE_AGAIN: &str = "use again";

/// So many old files are kept beside a new one: more means that something keeps changing it.
const MAX_KEPT: u32 = 99;

impl Change {
    /// A program with its arguments.
    pub(crate) fn run(program: &'static str, arguments: &[&str]) -> Self {
        Self::Run { program, arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    /// What would be done, in full.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        let indented =
            |lines: &[String]| lines.iter().map(|line| format!("    {}\n", escape(line))).collect::<String>();
        // Writing to a String never fails.
        let _ = match self {
            Self::Write { path, content, before: None } => {
                writeln!(text, "write {}", shown(path)).map(|()| text.push_str(&indented(&lines_of(content))))
            }
            Self::Write { path, content, before: Some(before) } => {
                writeln!(text, "change {} (what is there is kept beside it)", shown(path))
                    .map(|()| text.push_str(&indented(&difference(before, content))))
            }
            Self::Remove { path } => writeln!(text, "remove {}", shown(path)),
            Self::Run { program, arguments } => writeln!(text, "run {program} {}", escape(&arguments.join(" "))),
            Self::Edit { path, lines, how, .. } => {
                writeln!(text, "{how} in {}", shown(path)).map(|()| text.push_str(&indented(lines)))
            }
            Self::EditCrontab { lines, how, .. } => {
                writeln!(text, "{how} in your crontab").map(|()| text.push_str(&indented(lines)))
            }
        };
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Write { path, content, .. } => {
                json!({ "what": "write", "path": path.to_string_lossy(), "content": content })
            }
            Self::Remove { path } => json!({ "what": "remove", "path": path.to_string_lossy() }),
            Self::Run { program, arguments } => {
                let command: Vec<&str> =
                    std::iter::once(*program).chain(arguments.iter().map(String::as_str)).collect();
                json!({ "what": "run", "command": command })
            }
            Self::Edit { path, lines, how, .. } => {
                json!({ "what": how.replace(' ', "-"), "path": path.to_string_lossy(), "lines": lines })
            }
            Self::EditCrontab { lines, how, .. } => {
                json!({ "what": how.replace(' ', "-"), "path": null, "lines": lines })
            }
        }
    }
}

/// Makes one change. Gives what else there is to tell.
pub(crate) async fn apply(change: &Change, machine: &Machine) -> Result<Option<String>, CommandError> {
    match change {
        Change::Write { path, content, before } => {
            let kept = match before {
                Some(_) => Some(keep(path).map_err(|error| failed("keep", path, &error))?),
                None => None,
            };
            replace(path, content).map_err(|error| failed("write", path, &error))?;
            return Ok(kept.map(|kept| format!("What was in {} is kept in {}.", shown(path), shown(&kept))));
        }
        Change::Remove { path } => remove(path).map_err(|error| failed("remove", path, &error))?,
        Change::Run { program, arguments } => {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            machine.run(program, &arguments).await?;
        }
        Change::Edit { path, content, .. } => replace(path, content).map_err(|error| failed("change", path, &error))?,
        Change::EditCrontab { content, .. } => {
            // Only root writes there.
            let file = machine.at("/run").join(format!("certkit-crontab-{}", std::process::id()));
            let written = new_file(&file, 0o600).and_then(|mut new| new.write_all(content.as_bytes()));
            written.map_err(|error| failed("write", &file, &error))?;
            let result = machine.run("crontab", &[&file.to_string_lossy()]).await;
            let _ = fs::remove_file(&file);
            result?;
        }
    }
    Ok(None)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot {what} {}: {error}", shown(path)))
        .with_cure("mend that and run the same command again; what is done already is left out then")
}

fn lines_of(content: &str) -> Vec<String> {
    content.lines().map(str::to_owned).collect()
}

/// What goes (`-`) and what comes (`+`), without the lines that both begin and end with.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (mut before, mut after) = (lines_of(before), lines_of(after));
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    before.drain(..same);
    after.drain(..same);
    while before.last().is_some_and(|line| Some(line) == after.last()) {
        before.pop();
        after.pop();
    }
    let gone = before.iter().map(|line| format!("- {line}"));
    gone.chain(after.iter().map(|line| format!("+ {line}"))).collect()
}

/// Gives a file a second name that neither systemd nor any cron takes for its own: it ends with `~`.
fn keep(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 1..=MAX_KEPT {
        let kept = path.with_file_name(format!("{name}.{number}~"));
        match fs::hard_link(path, &kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| kept),
        }
    }
    Err(io::Error::other(format!("there are {MAX_KEPT} old ones already: remove {name}.*~")))
}

/// The old content or the new one at any moment; mode and owner of a file that was there stay.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temp = path.with_file_name(format!(".{name}.certkit-tmp"));
    remove(&temp)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let result = fill(&temp, content, fs::metadata(path).ok().as_ref()).and_then(|()| fs::rename(&temp, path));
    if result.is_err() {
        let _ = fs::remove_file(&temp);
    }
    result?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn fill(temp: &Path, content: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = new_file(temp, 0o600)?;
    file.write_all(content.as_bytes())?;
    if let Some(like) = like {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    // After the owner, whose change may clear bits; and whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(like.map_or(0o644, |like| like.mode() & 0o777)))?;
    file.sync_all()
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_of_a_file_that_changes() {
        let change = |before: &str, after: &str| Change::Write {
            path: "/etc/systemd/system/certkit.timer".into(),
            content: after.into(),
            before: Some(before.into()),
        };
        let text = change("a\nold\x1b\nz\n", "a\nnew\nmore\nz\n").describe();
        assert_eq!(
            text,
            "change /etc/systemd/system/certkit.timer (what is there is kept beside it)\n    - old\\u{1b}\n    + new\n    + more\n"
        );
        assert_eq!(difference("a\na\n", "a\n"), ["- a"]);
        assert_eq!(difference("", "a\n"), ["+ a"]);
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_the_old_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/certkit.timer");
        replace(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for (content, kept) in [("two", "certkit.timer.1~"), ("three", "certkit.timer.2~")] {
            assert_eq!(keep(&path).unwrap().file_name().unwrap(), kept);
            replace(&path, content).unwrap();
        }
        let read = |name: &str| fs::read_to_string(path.with_file_name(name)).unwrap();
        assert_eq!((read("certkit.timer.1~"), read("certkit.timer.2~"), read("certkit.timer")), {
            ("one".into(), "two".into(), "three".into())
        });
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }
}
