//! Somebody who may write in `archive` or `live` exchanges what lies there for a link that leads out of the tree, and
//! back again, as fast as he can, while the command works. What lies outside must not be read out, changed or removed, and
//! no key may be written there.
//!
//! The exchange is one `renameat2(2)`, so that a path means the one or the other at every moment, and changes its meaning
//! between any two calls of the command.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use testkit::{FolderEntry, Tree};

use crate::look::{self, Pair};
use crate::operation::register;
use crate::process::Process;
use crate::world::{Place, World};

/// What he wants to have, in each file outside that others may not read.
const CANARY: &str = "root:$6$canary$4Xq1:20000:0:99999:7:::";

/// Who he is: nobody, on most systems.
const HIS_UID: u32 = 65_534;

/// Whose places are exchanged, and another one that must not suffer.
const HIS: &str = "a.example.org";
const OTHER: &str = "b.example.org";

/// Which place is exchanged, and for a link to what outside.
const PLACES: [(&str, &str); 8] = [
    ("archive/a.example.org", "folder"),
    ("live/a.example.org", "folder"),
    ("archive/a.example.org/privkey2.pem", "shadow"),
    ("archive/a.example.org/cert2.pem", "shadow"),
    ("archive/a.example.org/fullchain1.pem", "shadow"),
    ("archive/a.example.org/privkey1.pem", "folder/privkey.pem"),
    ("live/a.example.org/privkey.pem", "shadow"),
    ("live/a.example.org/README", "shadow"),
];

/// What the command is told to do meanwhile.
const COMMANDS: [&str; 7] = [
    "certificates --json",
    "fsck",
    "fsck --repair",
    "renew --force-renewal --no-random-sleep-on-renew --no-probe --cert-name a.example.org",
    "rollback --to 1 --no-probe --cert-name a.example.org",
    "delete --cert-name a.example.org",
    "reconfigure --cert-name a.example.org --deploy-hook true",
];

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Swapped {
    /// Runs under attack.
    pub runs: usize,
    /// How often an exchange was tried meanwhile.
    pub renames: usize,
    /// Runs that did what they were told.
    pub done: usize,
    /// Runs that failed or told of something.
    pub refused: usize,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// So many runs, each place under each command in turn.
pub fn attack(world: &World, runs: usize) -> Swapped {
    let template = template(world);
    let mut swapped = Swapped::default();
    for number in 0..runs {
        let place = template.copy();
        let outside = lay_outside(&place);
        let before = look_outside(&outside);
        let other = look::live_pair(&place.tree(), OTHER).unwrap();
        let at = PLACES[number % PLACES.len()];
        // The commands take turns at a place, and begin with another one at each.
        let command = COMMANDS[(number / PLACES.len() + number) % COMMANDS.len()];
        let what = format!("run {number}: {command}, while {} is exchanged for a link to {}", at.0, at.1);
        if let Err(wrong) = swapped.run(world, &place, command, at, number, (&before, &other)) {
            swapped.wrong.push(format!("{what}: {wrong}"));
        }
    }
    swapped
}

/// The head of the table.
pub const HEAD: &str =
    "| runs | exchanges tried meanwhile | did their work | failed or told of it | wrong |\n|---|---|---|---|---|\n";

impl Swapped {
    /// Its row, below [`HEAD`].
    pub fn row(&self) -> String {
        let Self { runs, renames, done, refused, wrong } = self;
        format!("| {runs} | {renames} | {done} | {refused} | {} |\n", wrong.len())
    }

    /// What was wrong, a line each.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }

    fn run(
        &mut self,
        world: &World,
        place: &Place,
        command: &str,
        (target, leads_to): (&str, &str),
        number: usize,
        (before, other): (&Outside, &Pair),
    ) -> Result<(), String> {
        let outside = place.path().join("outside");
        let link = place.path().join("link");
        symlink(outside.join(leads_to), &link).unwrap();
        lchown(&link, Some(HIS_UID), None).expect("links of another user are root's to make: run this as root");
        let words = command.split(' ').chain(["-n"]).map(str::to_owned).collect::<Vec<_>>();
        let is_over = AtomicBool::new(false);
        let target = place.tree().join(target);
        let (ended, renames) = thread::scope(|scope| {
            let attacker = scope.spawn(|| exchange(&target, &link, &is_over, number));
            let ended = Process::start(world.command(place, &words), place.path(), "run").end(None);
            is_over.store(true, Ordering::SeqCst);
            (ended, attacker.join().unwrap())
        });
        self.runs += 1;
        self.renames += renames;
        let run = &ended.run;
        *(if run.code == Some(0) { &mut self.done } else { &mut self.refused }) += 1;
        if ended.hung || run.code.is_none_or(|code| code > 3) || run.stderr.contains("panicked") {
            return Err(format!("it hangs, dies or panics: {ended:?}"));
        }
        let log = fs::read_to_string(place.path().join("log/certkit.log")).unwrap_or_default();
        if [&run.stdout, &run.stderr, &log].iter().any(|text| text.contains("canary")) {
            return Err(format!("it tells what lies outside: {run:?}"));
        }
        let after = look_outside(&outside);
        if after != *before {
            let differ = |path: &&PathBuf| after.get(*path) != before.get(*path);
            let differing: Vec<_> = before.keys().chain(after.keys()).filter(differ).collect();
            return Err(format!("outside {differing:?} changed: {run:?}"));
        }
        // Nothing but what lay there holds what lies outside, least of all where others read it.
        let holds_canary = |path: &PathBuf| {
            let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0);
            is_file && fs::read(path).is_ok_and(|content| String::from_utf8_lossy(&content).contains("canary"))
        };
        if let Some(copy) = look::walk(&place.tree()).iter().find(|path| holds_canary(path)) {
            return Err(format!("{} holds what lies outside, for others to read: {run:?}", copy.display()));
        }
        match look::live_pair(&place.tree(), OTHER) {
            Ok(now) if now == *other => Ok(()),
            now => Err(format!("{OTHER} has changed: {now:?}")),
        }
    }
}

/// Exchanges both until the run is over, and at least a hundred times; sometimes at once, and sometimes so that the
/// command makes a few calls meanwhile.
fn exchange(target: &Path, link: &Path, is_over: &AtomicBool, number: usize) -> usize {
    let mut renames = 0;
    while !is_over.load(Ordering::SeqCst) || renames < 100 {
        // What the command has just removed or renamed cannot be exchanged; it may be there again.
        let exchanged = renameat2(AT_FDCWD, target, AT_FDCWD, link, RenameFlags::RENAME_EXCHANGE);
        renames += 1;
        let pause = Duration::from_micros([0, 20, 100, 500][(renames / 64 + number) % 4]);
        if exchanged.is_err() {
            thread::sleep(Duration::from_micros(50));
        } else if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    renames
}

/// What lies outside, with who owns it.
type Outside = BTreeMap<PathBuf, (FolderEntry, u32, u32)>;

fn look_outside(outside: &Path) -> Outside {
    let entries = testkit::snapshot(outside).into_iter();
    entries
        .map(|(path, entry)| {
            let meta = fs::symlink_metadata(&path).unwrap();
            (path, (entry, meta.uid(), meta.gid()))
        })
        .collect()
}

/// A file that only root may read, and a folder with files of all names that the command removes or replaces in its own.
fn lay_outside(place: &Place) -> PathBuf {
    let outside = place.path().join("outside");
    let folder = outside.join("folder");
    fs::create_dir_all(&folder).unwrap();
    let lay = |path: PathBuf, mode: u32| {
        fs::write(&path, if mode & 0o007 == 0 { CANARY } else { "for all to read, and none to change" }).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    lay(outside.join("shadow"), 0o600);
    lay(folder.join("owner.txt"), 0o640);
    lay(folder.join("README"), 0o644);
    for kind in ["cert", "privkey", "chain", "fullchain"] {
        let mode = if kind == "privkey" { 0o600 } else { 0o644 };
        for number in ["", "1", "2"] {
            lay(folder.join(format!("{kind}{number}.pem")), mode);
        }
        lay(folder.join(format!(".{kind}3.pem.certkit-tmp")), mode);
        lay(folder.join(format!("previous_{kind}.pem")), mode);
    }
    outside
}

fn template(world: &World) -> Place {
    let place = Place::new();
    let server = world.ca().directory_url();
    let account = register(world, &place);
    let tree = Tree::new(place.tree(), testkit::now());
    for name in [HIS, OTHER] {
        tree.lineage(name).versions(2).days_left(80).server(&server).account(&account).webroot(place.webroot()).write();
    }
    // An old version that others may read: something for a repair to do.
    let open = place.tree().join("archive").join(HIS).join("privkey1.pem");
    fs::set_permissions(open, fs::Permissions::from_mode(0o644)).unwrap();
    place
}
