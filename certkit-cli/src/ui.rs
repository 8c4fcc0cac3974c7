//! Where everything that people and programs read goes out: results to stdout, messages to stderr, all of it to the log but
//! for long lists.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use certkit_core::escape;
use indicatif::MultiProgress;

use crate::exit::CommandError;
use crate::log::Log;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Bytes that are written at once: far more than a line, far less than a long list.
const OUT_BUFFER: usize = 64 << 10;

/// How much is said, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Voice {
    /// `--json`.
    pub(crate) json: bool,
    /// `-q`.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// Whether somebody can be asked.
    pub(crate) interactive: bool,
}

/// The terminal (or what stands in its place).
pub(crate) struct Ui {
    voice: Voice,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    log: Mutex<Option<Arc<Log>>>,
    lost: Mutex<Option<String>>,
    told: Mutex<BTreeSet<String>>,
    bars: MultiProgress,
    /// Whether a command of certkit was named to people.
    named_command: AtomicBool,
}

impl Ui {
    /// The process's own streams.
    pub(crate) fn for_process(voice: Voice) -> Self {
        Self::new(
            voice,
            Box::new(AutoStream::new(io::stdout(), choice(&io::stdout()))),
            Box::new(AutoStream::new(io::stderr(), choice(&io::stderr()))),
        )
    }

    /// Any streams.
    pub(crate) fn new(voice: Voice, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        let bars = MultiProgress::new();
        if voice.quiet || !io::stderr().is_terminal() {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self {
            voice,
            out: Mutex::new(out),
            err: Mutex::new(err),
            log: Mutex::new(None),
            lost: Mutex::new(None),
            told: Mutex::default(),
            bars,
            named_command: AtomicBool::new(false),
        }
    }

    /// How much is said.
    pub(crate) fn voice(&self) -> Voice {
        self.voice
    }

    /// Progress bars; hidden where nobody sees them.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// From now on messages go to this log, too.
    pub(crate) fn log_to(&self, log: Arc<Log>) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
    }

    /// Text that is a result: stdout, unless `-q` or `--json`.
    pub(crate) fn result(&self, text: &str) {
        self.note_in_log("result", text);
        if !self.voice.quiet && !self.voice.json {
            self.to_out(text);
        }
    }

    /// A result that may be long, written while it is made: stdout, unless `-q` or `--json`. It is not in the log.
    pub(crate) fn long_result(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if !self.voice.quiet && !self.voice.json {
            self.write_out(write);
        }
    }

    /// The one JSON document.
    pub(crate) fn json(&self, document: &impl serde::Serialize) {
        self.write_out(|out| {
            crate::render::write_json(document, out)?;
            out.write_all(b"\n")
        });
    }

    /// Text that was asked for by itself, such as help: stdout, whatever the voice.
    pub(crate) fn plain(&self, text: &str) {
        self.to_out(text);
    }

    /// What only the log has to know.
    pub(crate) fn log_only(&self, text: &str) {
        self.note_in_log("run", text);
    }

    /// What is happening: stderr, unless `-q`.
    pub(crate) fn status(&self, text: &str) {
        self.note_in_log("info", text);
        if !self.voice.quiet {
            self.to_err(&format!("{text}\n"));
        }
    }

    /// What only the curious want to know: stderr at `-v`.
    pub(crate) fn detail(&self, text: &str) {
        self.note_in_log("detail", text);
        if self.voice.verbose > 0 && !self.voice.quiet {
            self.to_err(&format!("{text}\n"));
        }
    }

    /// Something that may become a problem: stderr, unless `-q`.
    pub(crate) fn warning(&self, text: &str) {
        self.note_in_log("warning", text);
        if !self.voice.quiet {
            self.to_err(&format!("{WARNING}warning:{WARNING:#} {text}\n"));
        }
    }

    /// Text about a failure, as it stands: stderr, always.
    pub(crate) fn failure(&self, text: &str) {
        self.note_in_log("error", text);
        self.to_err(text);
    }

    /// Why the command ended early: stderr, always; with `--json` also as the document.
    pub(crate) fn error(&self, error: &CommandError) {
        self.note_in_log("error", &error.what);
        self.to_err(&format!("{ERROR}error:{ERROR:#} {}\n", error.what));
        if let Some(cure) = &error.cure {
            self.note_in_log("cure", cure);
            self.to_err(&format!("{HINT}what to do:{HINT:#} {cure}\n"));
        }
        if self.voice.json {
            self.json(&serde_json::json!({ "schema": 1, "error": error.what, "cure": error.cure }));
        }
    }

    /// Says to which tree the commands that were named belong, where they would go to another one as they stand.
    pub(crate) fn tell_whose_commands(&self, flags: &str) {
        if !flags.is_empty() && !self.voice.json && self.named_command.load(Ordering::Relaxed) {
            self.to_err(&format!("{HINT}note:{HINT:#} the commands are for this tree with{flags}\n"));
        }
    }

    /// This was told when it happened: a summary need not say it again.
    pub(crate) fn remember_told(&self, text: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
    }

    /// Whether it was told when it happened. That is forgotten now: the next run may have to tell it.
    pub(crate) fn take_told(&self, text: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(text)
    }

    /// Why standard output could not be written, when a part of it was lost.
    pub(crate) fn lost_output(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks. The caller has made sure that somebody can answer.
    pub(crate) fn confirm(&self, question: &str, default: bool) -> bool {
        let choices = if default { "[Y/n]" } else { "[y/N]" };
        self.to_err(&format!("{question} {choices} "));
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer).is_err() {
            return false;
        }
        match answer.trim().to_lowercase().as_str() {
            // The end of input is no answer, and no answer to a question of ours may destroy something.
            "" => default && answer.ends_with('\n'),
            "y" | "yes" => true,
            _ => false,
        }
    }

    fn note_in_log(&self, level: &str, text: &str) {
        if let Some(log) = &*self.log.lock().unwrap_or_else(PoisonError::into_inner) {
            log.line(level, text);
        }
    }

    fn to_out(&self, text: &str) {
        self.write_out(|out| out.write_all(text.as_bytes()));
    }

    fn write_out(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Without it each line of a long text is a system call.
        let mut buffered = BufWriter::with_capacity(OUT_BUFFER, &mut *out);
        let mut heard = Heard { named_command: &self.named_command, end: Vec::new(), out: &mut buffered };
        let written = write(&mut heard).and_then(|()| buffered.flush());
        // A reader that went away (`| head`) is no failure of ours, and there is nobody left to tell.
        if let Err(problem) = written
            && problem.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem.to_string());
        }
    }

    fn to_err(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        if names_command(text.as_bytes()) {
            self.named_command.store(true, Ordering::Relaxed);
        }
        self.bars.suspend(|| {
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
        });
    }
}

/// Standard output, and whether a command was named in it.
struct Heard<'a> {
    named_command: &'a AtomicBool,
    /// What a command may begin in.
    end: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Write for Heard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.named_command.load(Ordering::Relaxed) {
            self.end.extend_from_slice(bytes);
            self.named_command.store(names_command(&self.end), Ordering::Relaxed);
            self.end.drain(..self.end.len().saturating_sub(CERTKIT.len() + 1));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

const CERTKIT: &[u8] = b"certkit ";

/// Whether a text says what to type: `certkit renew`, and neither `certkit 1.0` nor the line of a timer, which says all.
fn names_command(text: &[u8]) -> bool {
    (0..text.len()).any(|at| {
        let (before, after) = text.split_at(at);
        let word = after.strip_prefix(CERTKIT).and_then(<[u8]>::first);
        word.is_some_and(u8::is_ascii_lowercase) && before.last() != Some(&b'/')
    })
}

/// Colour only for terminals, and NO_COLOR, CLICOLOR and CLICOLOR_FORCE as everywhere.
fn choice(stream: &impl anstream::stream::RawStream) -> ColorChoice {
    AutoStream::choice(stream)
}

/// What standard output can show.
pub(crate) fn screen(environment: &crate::args::Environment) -> crate::render::screen::Screen {
    /// Nobody means less or more than this.
    const COLUMNS: std::ops::RangeInclusive<usize> = 20..=1000;
    let typed = environment.columns.as_ref().and_then(|columns| columns.to_str()?.trim().parse::<usize>().ok());
    let measured = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let columns = [typed, measured].into_iter().flatten().find(|columns| COLUMNS.contains(columns));
    let locale = environment.locale.as_ref().map(|locale| locale.to_string_lossy().to_lowercase()).unwrap_or_default();
    crate::render::screen::Screen {
        columns: columns.unwrap_or(80),
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
        colour: choice(&io::stdout()) != ColorChoice::Never,
    }
}

/// A path for people.
pub(crate) fn shown(path: &std::path::Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What a [`Ui`] was given to say.
    #[derive(Clone, Default)]
    pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Heard {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A [`Ui`] that writes into memory, without colours.
    pub(crate) fn ui(voice: Voice) -> (Ui, Heard, Heard) {
        let (out, err) = (Heard::default(), Heard::default());
        let plain =
            |heard: &Heard| Box::new(anstream::StripStream::new(Box::new(heard.clone()) as Box<dyn Write + Send>));
        (Ui::new(voice, plain(&out), plain(&err)), out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_the_commands_are_is_said_once_where_one_was_named() {
        let said = |texts: &[&str], flags: &str| {
            let (ui, _, err) = testing::ui(Voice::default());
            ui.long_result(|out| texts.iter().try_for_each(|text| out.write_all(text.as_bytes())));
            ui.tell_whose_commands(flags);
            err.text()
        };
        let note = "note: the commands are for this tree with --config-dir /x\n";
        assert_eq!(said(&["try certkit renew"], " --config-dir /x"), note);
        assert_eq!(said(&["try cert", "kit", " ", "renew"], " --config-dir /x"), note);
        assert_eq!(said(&["try certkit renew"], ""), "");
        assert_eq!(said(&["certkit 1.0, certkit.log, /usr/bin/certkit renew"], " --config-dir /x"), "");
        let (ui, _, err) = testing::ui(Voice { json: true, ..Voice::default() });
        ui.warning("try certkit renew");
        ui.tell_whose_commands(" --config-dir /x");
        assert_eq!(err.text(), "warning: try certkit renew\n");
    }

    #[test]
    fn quiet_says_failures_only() {
        let (ui, out, err) = testing::ui(Voice { quiet: true, ..Voice::default() });
        ui.result("result\n");
        ui.status("status");
        ui.warning("warning");
        ui.error(&CommandError::failed("it broke").with_cure("mend it"));
        assert_eq!(out.text(), "");
        assert_eq!(err.text(), "error: it broke\nwhat to do: mend it\n");
    }

    #[test]
    fn json_is_one_document_and_nothing_else() {
        let (ui, out, _) = testing::ui(Voice { json: true, ..Voice::default() });
        ui.result("text");
        ui.error(&CommandError::failed("it broke"));
        let document: serde_json::Value = serde_json::from_str(&out.text()).unwrap();
        assert_eq!(document, serde_json::json!({"schema": 1, "error": "it broke", "cure": null}));
    }
}
