//! What several commands need.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use certkit_acme::command::CommandSettings;
use certkit_acme::notify::Secrets;
use certkit_acme::renewal::{Renewer, RenewerBuilder};
use certkit_acme::transport::TransportSettings;
use certkit_core::settings::Settings;
use certkit_core::store::{Lineage, LockedStore, Store, read_file};
use certkit_core::{LineageName, escape};
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::{Command, help};
use crate::args::{Invocation, certbot};
use crate::exit::CommandError;
use crate::log::Log;
use crate::progress::Progress;
use crate::timer::Machine;
use crate::ui::{Ui, shown};

/// What a command works with.
pub(crate) struct Context<'a> {
    /// What was asked for.
    pub(crate) invocation: &'a Invocation,
    /// Where it tells.
    pub(crate) ui: &'a Arc<Ui>,
    /// When it began (UTC).
    pub(crate) now: DateTime<Utc>,
}

impl<'a> Context<'a> {
    /// At the present time.
    pub(crate) fn new(invocation: &'a Invocation, ui: &'a Arc<Ui>) -> Self {
        Self { invocation, ui, now: Utc::now() }
    }

    /// Opens the log of a command that changes something, and tells what is ignored.
    pub(crate) fn begin(&self, command: &Command) -> Result<(), CommandError> {
        // Whoever asks for a dry run must not get a real one.
        if self.invocation.typed.renewal.dry_run && !command.flags.contains(&"dry_run") {
            return Err(CommandError::usage(format!("`certkit {}` knows no --dry-run", command.name)).with_cure(
                "--dry-run works with renew, certonly, fsck, timer and notify; reconfigure makes a test order by itself",
            ));
        }
        // As short for --test-cert it would leave out the test server.
        if self.invocation.typed.notices.test && !command.flags.contains(&"test") {
            return Err(CommandError::usage(format!("`certkit {}` knows no --test", command.name)).with_cure(
                "--test works with notify; the staging server of Let's Encrypt is --test-cert or --staging",
            ));
        }
        self.refuse_csr_elsewhere(command)?;
        if command.writes {
            self.open_log(command.name);
        }
        for note in &self.invocation.notes {
            self.ui.detail(note);
        }
        if let Some(installer) = &self.invocation.typed.validation.installer
            && !command.flags.contains(&"installer")
        {
            self.ui.detail(&format!(
                "--installer {} is ignored: certkit edits no server configuration (`certkit reconfigure --installer` makes it reload the server).",
                escape(installer)
            ));
        }
        if self.invocation.typed.general.no_verify_ssl {
            self.ui.warning(
                "the certificate of the ACME server is not checked (--no-verify-ssl): anybody on the way can answer in its place",
            );
        }
        Ok(())
    }

    /// From now on certkit.log is told, where it can be written.
    pub(crate) fn open_log(&self, command: &str) {
        let logs_dir = self.invocation.paths().logs_dir;
        match Log::open(&logs_dir, Utc::now) {
            Ok(log) => {
                self.ui.log_to(Arc::new(log));
                self.ui.log_only(&format!("certkit {} {command}", env!("CARGO_PKG_VERSION")));
                self.ui.log_only(&format!("flags: {}", self.invocation.flags.join(" ")));
            }
            Err(problem) => {
                self.ui.detail(&format!("No log is written to {}: {problem}.", shown(&logs_dir)));
            }
        }
    }

    /// --csr belongs to certonly, and the flags for its files to --csr: elsewhere they would do nothing.
    fn refuse_csr_elsewhere(&self, command: &Command) -> Result<(), CommandError> {
        let typed = &self.invocation.typed;
        let takes = |flag: &str| command.flags.contains(&flag);
        if typed.csr.csr.is_some() {
            return if takes("csr") {
                Ok(())
            } else {
                Err(CommandError::usage(
                    "Currently, a CSR file may only be specified when obtaining a new or replacement via the certonly command. Please try the certonly command instead.",
                ))
            };
        }
        let files = [
            ("cert_path", "--cert-path", takes("csr") && typed.revocation.cert_path.is_some()),
            ("chain_path", "--chain-path", typed.csr.chain_path.is_some()),
            ("fullchain_path", "--fullchain-path", typed.csr.fullchain_path.is_some()),
        ];
        match files.iter().find(|(id, _, given)| *given && !self.invocation.is_from_file(id)) {
            Some((_, long, _)) => Err(CommandError::usage(format!("{long} names a file for the certificate of --csr"))
                .with_cure("leave it out: certificates of the store are in live/NAME/ in the config dir")),
            None => Ok(()),
        }
    }

    /// A flag that would do nothing here is refused: whoever typed it meant something. In a file it is for other commands.
    pub(super) fn refuse_other_flags(&self, command: &Command) -> Result<(), CommandError> {
        let is_taken = |id: &str| {
            command.flags.contains(&id) || help::EVERYWHERE.contains(&id) || help::TAKEN_EVERYWHERE.contains(&id)
        };
        for flag in &self.invocation.flags {
            let id = flag.replace('-', "_");
            if is_taken(&id) || self.invocation.is_from_file(&id) || certbot::fate(flag).is_some() {
                continue;
            }
            let cure = match (command.name, flag.as_str()) {
                ("daemon", "force-renewal") => {
                    "use `certkit renew --force-renewal`, also while the daemon runs: it would renew for ever"
                        .to_owned()
                }
                ("daemon", "new-key") => {
                    "use `certkit renew --force-renewal --new-key`, also while the daemon runs".to_owned()
                }
                ("deploy", "deploy-hook") => {
                    "set it first: certkit reconfigure --cert-name NAME --deploy-hook COMMAND".to_owned()
                }
                _ => format!("leave it out; `certkit {} --help` shows what it takes", command.name),
            };
            return Err(
                CommandError::usage(format!("`certkit {}` does not take --{flag}", command.name)).with_cure(cure)
            );
        }
        Ok(())
    }

    /// The store, for reading.
    pub(crate) fn store(&self) -> Result<Store, CommandError> {
        Ok(Store::open(self.invocation.paths())?)
    }

    /// The store, for changing.
    pub(crate) fn locked(&self) -> Result<LockedStore, CommandError> {
        Ok(self.store()?.lock()?)
    }

    /// A lineage that has to exist and to be usable.
    pub(crate) fn lineage(&self, store: &Store, name: &LineageName) -> Result<Lineage, CommandError> {
        store.lineage(name)?.ok_or_else(|| no_such_certificate(store, name))
    }

    /// The owner's settings and the flags. One wrong line in `certkit/settings.toml` and nothing is done: half of what the
    /// owner meant may be worse than none.
    pub(crate) fn settings(&self) -> Result<Settings, CommandError> {
        Ok(self.invocation.effective(self.store()?.settings()?))
    }

    /// The same for a run. Where they cannot be used it is what can be read of them: the run tells just that, by the channels
    /// that there are, and fails.
    pub(crate) fn settings_of_run(&self) -> Result<Settings, CommandError> {
        let store = self.store()?;
        let settings = store.settings().unwrap_or_else(|_| store.settings_for_telling());
        Ok(self.invocation.effective(settings))
    }

    /// This machine. Its programs have no use for the secrets that the settings name, and inherit none of them.
    pub(crate) fn machine(&self) -> Machine {
        let machine = Machine::of(&self.invocation.environment);
        match self.store() {
            Ok(store) => machine.withholding(store.secret_variables()),
            // There are no settings then.
            Err(_) => machine,
        }
    }

    /// How to reach a CA.
    pub(crate) fn transport(&self) -> Result<TransportSettings, CommandError> {
        Ok(self.invocation.transport(&self.settings()?))
    }

    /// A renewer that can tell the owner something, and remember it.
    pub(super) fn telling_renewer(&self) -> Result<RenewerBuilder, CommandError> {
        let builder = Renewer::builder(self.store()?).settings_overrides(self.overrides()).secrets(Secrets::from_env());
        Ok(match &self.invocation.environment.runtime_dir {
            Some(folder) => builder.spare_folder(folder.clone()),
            None => builder,
        })
    }

    /// A renewer for the store that tells us what happens.
    pub(crate) fn renewer(&self, settings: &Settings, progress: &Arc<Progress>) -> Result<Renewer, CommandError> {
        let mut commands = CommandSettings::new();
        commands.time_limit = settings.hook_time_limit.value;
        let renewer = self
            .telling_renewer()?
            .transport(self.invocation.transport(settings))
            .commands(commands)
            .live_switch(settings.live_switch.value)
            .observer(Arc::clone(progress) as Arc<dyn certkit_acme::renewal::Observer>)
            .build()?;
        Ok(renewer)
    }

    /// A renewer that outlives the settings of its start: only how to reach a CA is taken from them, the rest each run
    /// reads anew.
    pub(crate) fn lasting_renewer(&self, progress: &Arc<Progress>) -> Result<Renewer, CommandError> {
        let renewer = self
            .telling_renewer()?
            .transport(self.invocation.transport(&self.settings_of_run()?))
            .observer(Arc::clone(progress) as Arc<dyn certkit_acme::renewal::Observer>)
            .build()?;
        Ok(renewer)
    }

    /// A renewer that looks at everything and changes nothing. Settings that cannot be used are among what it looks at, so
    /// they keep it from nothing.
    pub(crate) fn examining_renewer(&self) -> Result<Renewer, CommandError> {
        let store = self.store()?;
        let settings = self.invocation.effective(store.settings().unwrap_or_default());
        let renewer = Renewer::builder(store)
            .transport(self.invocation.transport(&settings))
            .settings_overrides(self.overrides())
            .build()?;
        Ok(renewer)
    }

    /// What the flags change in settings that were read.
    fn overrides(&self) -> impl Fn(Settings) -> Settings + Send + Sync + 'static {
        let invocation = self.invocation.clone();
        move |settings| invocation.effective(settings)
    }
}

/// The certificate that `--cert-name` is about, which has to exist. A broken one does.
pub(crate) fn existing_cert_name(context: &Context<'_>, store: &Store) -> Result<Option<LineageName>, CommandError> {
    let name = context.invocation.cert_name()?;
    name.as_ref().map_or(Ok(()), |name| must_exist(store, name))?;
    Ok(name)
}

/// An error where there is no such certificate, not even a broken one.
pub(crate) fn must_exist(store: &Store, name: &LineageName) -> Result<(), CommandError> {
    if matches!(store.lineage(name), Ok(None)) { Err(no_such_certificate(store, name)) } else { Ok(()) }
}

/// certbot's words for a name that is not there.
pub(crate) fn no_such_certificate(store: &Store, name: &LineageName) -> CommandError {
    CommandError::failed(format!(
        "No certificate found with name {name} (expected {})",
        shown(&store.paths().conf(name))
    ))
    .with_cure("`certkit certificates` lists the names")
}

/// Reads a file of at most `max` bytes that was named on the command line. Only what this process holds open already
/// (`/dev/stdin`, a shell's `<(…)`) may be a pipe: it is read to its end. It may be a key, and is wiped when it is dropped.
pub(crate) fn named_file(path: &Path, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let is_open_already = path == Path::new("/dev/stdin") || path.starts_with("/dev/fd");
    if !is_open_already {
        return read_file(path, max).map(Zeroizing::new).map_err(|error| error.source);
    }
    // Of a size that a key does not outgrow.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}
