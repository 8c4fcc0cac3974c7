//! A CA on loopback, and trees in folders of their own that can be copied.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::{Pebble, PebbleOptions};

use crate::call::Call;
use crate::tracer::{Answer, Run, trace};

/// What all trials share: the command, and a CA that takes every challenge as answered.
pub struct World {
    certkit: PathBuf,
    ca: Pebble,
}

/// A folder with a tree (`etc`), the other folders of the command, a webroot, and the file that deploy hooks write to.
pub struct Place {
    folder: TempDir,
}

impl World {
    /// A CA for this binary.
    pub fn start(certkit: &Path) -> Self {
        let options = PebbleOptions { validates_without_looking: true, ..PebbleOptions::default() };
        Self::of(certkit, Pebble::start(options))
    }

    /// This CA for this binary.
    pub fn of(certkit: &Path, ca: Pebble) -> Self {
        Self { certkit: certkit.to_owned(), ca }
    }

    /// The CA.
    pub fn ca(&self) -> &Pebble {
        &self.ca
    }

    /// The command on a place's tree, with nothing else from outside.
    pub fn command(&self, place: &Place, arguments: &[String]) -> Command {
        self.command_at(&place.tree(), place.path(), arguments)
    }

    /// The same on a tree that is elsewhere, with the other folders in `around`.
    pub fn command_at(&self, tree: &Path, around: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.certkit);
        command.args(arguments);
        for (flag, folder) in
            [("--config-dir", tree), ("--work-dir", &around.join("work")), ("--logs-dir", &around.join("log"))]
        {
            command.arg(flag).arg(folder);
        }
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", around).env("SSL_CERT_FILE", self.ca.ca_bundle());
        command
    }

    /// Runs the command.
    pub fn run(&self, place: &Place, arguments: &[&str]) -> Run {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let output = self.command(place, &arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs the command and decides about each call that changes the place's tree.
    pub fn trace(&self, place: &Place, arguments: &[String], decide: &mut dyn FnMut(&Call) -> Answer) -> Run {
        trace(&self.command(place, arguments), &place.tree(), place.path(), decide)
    }
}

impl Place {
    /// An empty one, in memory, where syncing costs nothing.
    pub fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        // The same length for all: texts with the path in them have the same length as well.
        builder.prefix("faults-").rand_bytes(8);
        let folder = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap();
        let place = Self { folder };
        fs::create_dir(place.webroot()).unwrap();
        place
    }

    /// A copy of it: modes and links stay, and texts that name the folder name the new one.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        copy_tree(&self.tree(), &copy.tree(), &[(self.path(), copy.path())]);
        copy
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The config directory.
    pub fn tree(&self) -> PathBuf {
        self.path().join("etc")
    }

    /// The webroot.
    pub fn webroot(&self) -> PathBuf {
        self.path().join("www")
    }

    /// The deploy hook of its lineages: it notes which certificate it found live.
    pub fn deploy_hook(&self) -> String {
        deploy_hook(self.path())
    }

    /// What deploy hooks noted: the links of `cert.pem` that they saw.
    pub fn hooked(&self) -> String {
        fs::read_to_string(self.path().join("hooked")).unwrap_or_default()
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// A deploy hook that notes in `folder` which certificate it found live.
pub fn deploy_hook(folder: &Path) -> String {
    format!("readlink $RENEWED_LINEAGE/cert.pem >> {}/hooked", folder.display())
}

/// Copies a tree. In its confs the paths of folders become those of others.
pub fn copy_tree(from: &Path, to: &Path, renamed: &[(&Path, &Path)]) {
    let meta = fs::symlink_metadata(from).unwrap();
    if meta.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
        return;
    }
    if meta.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_tree(&entry.path(), &to.join(entry.file_name()), renamed);
        }
    } else if from.extension().is_some_and(|ending| ending == "conf") {
        let mut text = fs::read_to_string(from).unwrap();
        for (old, new) in renamed {
            text = text.replace(old.to_str().unwrap(), new.to_str().unwrap());
        }
        fs::write(to, text).unwrap();
    } else {
        fs::copy(from, to).unwrap();
    }
    fs::set_permissions(to, fs::Permissions::from_mode(meta.permissions().mode() & 0o7777)).unwrap();
}
