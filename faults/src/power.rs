//! Power cuts: the tree lies on a real file system in an image, which is shut down under the running command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::process::require_program;

use crate::call::{Call, Shape};
use crate::look::{self, Live};
use crate::operation::{DUE, MADE, Operation, Progress, RENEW};
use crate::tracer::Answer;
use crate::world::{Place, World, copy_tree};

/// The file that a hook makes before it cuts the power.
const HOOK_HAS_CUT: &str = "cut";

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4 with its defaults.
    Ext4,
    /// XFS with its defaults.
    Xfs,
}

/// What happens to the journal of the file system at the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It is lost, as far as it was not written.
    Lost,
    /// It is written, and the data that it is about is lost: names without content.
    Written,
}

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In place of this call.
    Call(usize),
    /// When this hook begins.
    Hook(Hook),
    /// When the command has ended.
    End,
}

/// A hook, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before anything is asked of the CA.
    Pre,
    /// When the new version is live.
    Deploy,
    /// At the end.
    Post,
}

/// A file system in an image.
pub struct Disk {
    /// Its kind.
    pub kind: Kind,
    folder: TempDir,
}

/// An operation with a tree in which it can begin.
pub struct PowerTrials<'w> {
    world: &'w World,
    /// Which.
    pub operation: Operation,
    template: Place,
    before: Live,
}

impl Disk {
    /// Makes one and mounts it.
    pub fn make(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("power-").rand_bytes(8).tempdir().unwrap();
        let disk = Self { kind, folder };
        fs::create_dir(disk.mount_point()).unwrap();
        // The smallest that mkfs.xfs makes (300 MiB); a file with holes.
        fs::File::create(disk.image()).unwrap().set_len(320 << 20).unwrap();
        let program = match kind {
            Kind::Ext4 => "mkfs.ext4",
            Kind::Xfs => "mkfs.xfs",
        };
        perform(Command::new(require_program(program)).arg("-q").arg(disk.image()));
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) {
        perform(Command::new(require_program("mount")).args(["-o", "loop"]).arg(self.image()).arg(self.mount_point()));
    }

    /// The command line that cuts its power.
    pub fn cutting(&self, journal: Journal) -> Vec<String> {
        let shutdown = match journal {
            Journal::Lost => "shutdown",
            Journal::Written => "shutdown -f",
        };
        let program = require_program("xfs_io").to_str().unwrap().to_owned();
        vec![program, "-x".into(), "-c".into(), shutdown.into(), self.mount_point().to_str().unwrap().into()]
    }

    fn cut(&self, journal: Journal) {
        let line = self.cutting(journal);
        perform(Command::new(&line[0]).args(&line[1..]));
    }

    /// Mounts it again after a cut, which plays its journal back.
    pub fn come_back(&self) {
        perform(Command::new(require_program("umount")).arg(self.mount_point()));
        self.mount();
    }

    /// Makes everything on it durable.
    pub fn sync(&self) {
        perform(Command::new(require_program("sync")).arg("-f").arg(self.mount_point()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(umount) = testkit::process::find_program("umount") {
            let _ = Command::new(umount).arg(self.mount_point()).status();
        }
    }
}

impl Hook {
    /// All.
    pub const ALL: [Self; 3] = [Self::Pre, Self::Deploy, Self::Post];

    /// Its option on the command line and its key in a conf.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Pre => ("--pre-hook", "pre_hook"),
            Self::Deploy => ("--deploy-hook", "renew_hook"),
            Self::Post => ("--post-hook", "post_hook"),
        }
    }
}

impl<'w> PowerTrials<'w> {
    /// Prepares them.
    pub fn new(world: &'w World, operation: Operation) -> Self {
        let template = operation.prepare(world);
        let before = look::live(&template.tree()).unwrap();
        Self { world, operation, template, before }
    }

    /// The calls of an undisturbed run at which the power is cut.
    pub fn calls(&self, disk: &Disk) -> Vec<Call> {
        let (tree, around) = self.lay(disk);
        let mut calls = Vec::new();
        self.trace(&tree, &around, &self.arguments(&around), &mut |call| {
            if call.kind.shape() == Shape::Sync || call.kind.name.starts_with("rename") {
                calls.push(call.clone());
            }
            Answer::Pass
        });
        calls
    }

    /// Cuts the power. An error says what must not be.
    pub fn cut(&self, disk: &Disk, moment: Moment, journal: Journal) -> Result<Progress, String> {
        let (tree, around) = self.lay(disk);
        let mut met = String::new();
        let mut arguments = self.arguments(&around);
        if let Moment::Hook(hook) = moment {
            let text = cutting_hook(disk, &around, hook, journal);
            if self.operation == Operation::FirstSave {
                set_option(&mut arguments, hook.names().0, text);
            } else {
                set_in_conf(&tree, hook.names().1, &text);
                disk.sync();
            }
        }
        let run = self.trace(&tree, &around, &arguments, &mut |call| {
            if moment != Moment::Call(call.number) {
                return Answer::Pass;
            }
            met = call.to_string();
            disk.cut(journal);
            Answer::Kill
        });
        if moment == Moment::End {
            disk.cut(journal);
        }
        disk.come_back();
        let wrong = |what: String| {
            let (name, kind) = (self.operation.name(), disk.kind);
            Err(format!("{name} on {kind:?}, journal {journal:?}, {moment:?} {met}: {what}\n{}", run.stderr))
        };
        let live = match look::live(&tree) {
            Ok(live) => live,
            Err(what) => return wrong(what),
        };
        if let Some((name, _)) = self.before.iter().find(|(name, pair)| *name != DUE && live.get(*name) != Some(pair)) {
            return wrong(format!("{name} has changed"));
        }
        let progress = match self.operation.progress(&tree, &self.before) {
            Ok(progress) => progress,
            Err(what) => return wrong(what),
        };
        let reported = match moment {
            Moment::Hook(hook) if !around.path().join(HOOK_HAS_CUT).exists() => {
                return wrong(format!("the {hook:?} hook did not run"));
            }
            Moment::Hook(hook) => hook != Hook::Pre,
            Moment::End => run.code == Some(0),
            Moment::Call(_) => false,
        };
        if reported && progress == Progress::Old {
            return wrong("what was reported as saved is not there".into());
        }
        if moment == Moment::Hook(Hook::Pre) && progress == Progress::New {
            return wrong("the pre hook ran after what it comes before".into());
        }
        match self.finish(&tree, &around) {
            Ok(()) => Ok(progress),
            Err(what) => wrong(what),
        }
    }

    /// The next run finishes it alone, or it can be done again.
    fn finish(&self, tree: &Path, around: &Place) -> Result<(), String> {
        let run = |arguments: &[String]| self.world.command_at(tree, around.path(), arguments).output().unwrap();
        let next = run(&RENEW.map(str::to_owned));
        if !next.status.success() {
            return Err(format!("the next run fails: {next:?}"));
        }
        if self.operation.progress(tree, &self.before)? == Progress::Old {
            let again = run(&self.arguments(around));
            if !again.status.success() || self.operation.progress(tree, &self.before)? == Progress::Old {
                return Err(format!("it cannot be done afterwards: {again:?}"));
            }
        }
        look::live(tree)?;
        let left = look::leftovers(tree);
        if !left.is_empty() {
            return Err(format!("left behind: {left:?}"));
        }
        self.operation.hooks_ran(tree, &around.hooked())
    }

    /// The tree on the disk, durable, and a place for everything else.
    fn lay(&self, disk: &Disk) -> (PathBuf, Place) {
        let (tree, around) = (disk.mount_point().join("etc"), Place::new());
        let _ = fs::remove_dir_all(&tree);
        let (old_tree, old) = (self.template.tree(), self.template.path());
        copy_tree(&old_tree, &tree, &[(&old_tree, &tree), (old, around.path())]);
        disk.sync();
        (tree, around)
    }

    fn arguments(&self, around: &Place) -> Vec<String> {
        self.operation.arguments(self.world, around.path())
    }

    fn trace(
        &self,
        tree: &Path,
        around: &Place,
        arguments: &[String],
        decide: &mut dyn FnMut(&Call) -> Answer,
    ) -> crate::tracer::Run {
        let command = self.world.command_at(tree, around.path(), arguments);
        crate::tracer::trace(&command, tree, around.path(), decide)
    }
}

/// The text of a hook that cuts the power when it runs for the first time. A deploy hook does besides what it did.
fn cutting_hook(disk: &Disk, around: &Place, hook: Hook, journal: Journal) -> String {
    let cutting = disk.cutting(journal).iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let done = around.path().join(HOOK_HAS_CUT);
    let text = format!("[ -e {0} ] || {{ touch {0}; {cutting}; exit 1; }}", done.display());
    if hook == Hook::Deploy { format!("{text}; {}", around.deploy_hook()) } else { text }
}

/// Gives an option of the command line this value.
fn set_option(arguments: &mut Vec<String>, option: &str, value: String) {
    match arguments.iter().position(|argument| argument == option) {
        Some(at) => arguments[at + 1] = value,
        None => arguments.extend([option.to_owned(), value]),
    }
}

/// Gives a key of the due lineage's conf this value.
fn set_in_conf(tree: &Path, key: &str, value: &str) {
    let conf = tree.join(format!("renewal/{DUE}.conf"));
    let text = fs::read_to_string(&conf).unwrap();
    let mut changed = String::new();
    for line in text.lines().filter(|line| !line.starts_with(key)) {
        changed += &format!("{line}\n");
        if line == "[renewalparams]" {
            changed += &format!("{key} = \"{value}\"\n");
        }
    }
    fs::write(&conf, changed).unwrap();
}

/// What certbot has saved when the power goes right after it succeeded: the four live files with their sizes.
pub fn certbot_after_success(world: &World, disk: &Disk, journal: Journal) -> String {
    let tree = disk.mount_point().join("certbot");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir(&tree).unwrap();
    let certbot = testkit::Certbot::new(&tree, &world.ca().directory_url(), &world.ca().ca_bundle());
    certbot.register();
    let port = world.ca().http_port().to_string();
    certbot.succeed(&["certonly", "--standalone", "--http-01-port", &port, "-d", MADE]);
    disk.sync();
    certbot.succeed(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    disk.cut(journal);
    disk.come_back();
    let size = |kind: &str| match fs::metadata(tree.join(format!("live/{MADE}/{kind}.pem"))) {
        Ok(meta) => format!("{kind} {} bytes", meta.len()),
        Err(error) => format!("{kind} {}", error.kind()),
    };
    let sizes = ["cert", "privkey", "chain", "fullchain"].map(size).join(", ");
    match look::live_pair(&tree, MADE) {
        Ok(pair) => format!("version {} whole ({sizes})", pair.version),
        Err(wrong) => format!("unusable ({sizes}): {}", wrong.replace(tree.to_str().unwrap(), "")),
    }
}

fn perform(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
