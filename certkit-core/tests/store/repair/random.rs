//! Trees with several kinds of damage at once, drawn at random, and always the same ones.

use certkit_core::store::{ConfPlan, Expectations};
use certkit_core::{Chain, PrivateKey};

use super::*;

const TREES: u64 = 400;
const RUNS: u64 = 800;
/// Each with its copy.
const COPIES: u64 = 120;
const MOST_DAMAGES: u64 = 5;
const NAMES: [&str; 3] = ["a.example.org", "b.example.org", "c.example.org"];

/// xorshift64: the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Where something is damaged.
struct Spot {
    dir: PathBuf,
    name: &'static str,
    other: &'static str,
    kind: Kind,
    version: Version,
}

impl Spot {
    fn draw(dir: &Path, draw: &mut Draw) -> Self {
        let (name, other, kind) = (draw.of(&NAMES), draw.of(&NAMES), draw.of(&Kind::ALL));
        Self { dir: dir.to_owned(), name, other, kind, version: Version(1 + draw.below(3) as u32) }
    }

    fn live(&self) -> PathBuf {
        self.dir.join("live").join(self.name)
    }

    fn link(&self) -> PathBuf {
        self.live().join(self.kind.live_file())
    }

    fn archive(&self) -> PathBuf {
        self.dir.join("archive").join(self.name)
    }

    fn file(&self) -> PathBuf {
        self.archive().join(self.kind.archive_file(self.version))
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("renewal").join(format!("{}.conf", self.name))
    }

    /// The key of a version goes into one of its files of certificates, which its owner then keeps to himself.
    fn combine(&self, join: fn(String, String) -> String) {
        let key = self.archive().join(Kind::Privkey.archive_file(self.version));
        let texts = (fs::read_to_string(self.file()), fs::read_to_string(key));
        if let (Ok(text), Ok(key)) = texts
            && self.kind != Kind::Privkey
        {
            fs::write(self.file(), join(text, key)).unwrap();
            chmod(self.file(), 0o600);
        }
    }

    fn relink(&self, target: impl AsRef<Path>) {
        if self.live().is_dir() {
            let _ = fs::remove_file(self.link());
            let _ = symlink(target, self.link());
        }
    }

    fn rewrite(path: &Path, change: impl Fn(&str) -> String) {
        if let Ok(text) = fs::read_to_string(path) {
            fs::write(path, change(&text)).unwrap();
        }
    }

    /// The folder goes elsewhere in the tree, at another depth, and a link takes its place.
    fn moved(&self, folder: &Path, to: &str) {
        let to = self.dir.join(to);
        fs::create_dir_all(&to).unwrap();
        let to = to.join(self.name);
        if folder.is_dir() && !folder.is_symlink() && !to.exists() {
            fs::rename(folder, &to).unwrap();
            symlink(to, folder).unwrap();
        }
    }
}

type Damage = fn(&Spot);

/// What certbot, disks, tools and people do to trees. What a damage wants and another one has taken is passed over.
const DAMAGES: &[(&str, Damage)] = &[
    ("an empty file", |at| Spot::rewrite(&at.file(), |_| String::new())),
    ("half a file", |at| Spot::rewrite(&at.file(), |text| text[..text.len() / 2].to_owned())),
    ("zeros", |at| Spot::rewrite(&at.file(), |_| "\0".repeat(500))),
    ("lone CR", |at| Spot::rewrite(&at.file(), |text| text.replace('\n', "\r"))),
    ("glued", |at| Spot::rewrite(&at.file(), |text| text.replace("-----\n-----", "----------"))),
    ("a key behind the certificates", |at| at.combine(|text, key| text + &key)),
    ("a key before the certificates", |at| at.combine(|text, key| key + &text)),
    ("a key by way of another's archive", |at| {
        let own = at.archive().join(Kind::Privkey.archive_file(at.version));
        let way = at.dir.join("archive").join(at.other).join(format!("privkey{}.pem", at.version.0 + 20));
        let is_there = own.is_file() && !own.is_symlink() && way.parent().unwrap().is_dir();
        if at.name != at.other && is_there && !way.exists() {
            fs::rename(&own, &way).unwrap();
            symlink(way, own).unwrap();
        }
    }),
    ("another's archive within this one's", |at| {
        let archives = at.dir.join("archive");
        let (from, to) = (archives.join(at.other), at.archive().join("within"));
        if at.name == at.other || !at.archive().is_dir() || !from.is_dir() || from.is_symlink() || to.exists() {
            return;
        }
        fs::rename(&from, &to).unwrap();
        let conf = at.dir.join("renewal").join(format!("{}.conf", at.other));
        Spot::rewrite(&conf, |text| text.replace(from.to_str().unwrap(), to.to_str().unwrap()));
        for kind in Kind::ALL {
            let link = at.dir.join("live").join(at.other).join(kind.live_file());
            if let Ok(target) = fs::read_link(&link) {
                fs::remove_file(&link).unwrap();
                symlink(to.join(target.file_name().unwrap()), link).unwrap();
            }
        }
    }),
    ("no file", |at| drop(fs::remove_file(at.file()))),
    ("another's key", |at| {
        let key = at.dir.join("archive").join(at.other).join("privkey2.pem");
        if at.archive().is_dir() && key.is_file() && at.other != at.name {
            fs::copy(key, at.archive().join(Kind::Privkey.archive_file(at.version))).unwrap();
        }
    }),
    ("an open key", |at| {
        let key = at.archive().join(Kind::Privkey.archive_file(at.version));
        if key.is_file() {
            chmod(key, 0o644);
        }
    }),
    ("a link to a version", |at| {
        at.relink(format!("../../archive/{}/{}", at.name, at.kind.archive_file(at.version)));
    }),
    ("a link to another's", |at| {
        at.relink(format!("../../archive/{}/{}", at.other, at.kind.archive_file(at.version)));
    }),
    ("an absolute link", |at| at.relink(at.file())),
    ("a link into a tree that is gone", |at| at.relink("/nonexistent/archive/x/cert1.pem")),
    ("no link", |at| drop(fs::remove_file(at.link()))),
    ("a copy", |at| {
        if at.link().is_symlink()
            && let Ok(content) = fs::read(at.link())
        {
            fs::remove_file(at.link()).unwrap();
            fs::write(at.link(), &content).unwrap();
            // Whoever copies certificates with a key among them may be trusted to see to that.
            if at.kind != Kind::Privkey && String::from_utf8_lossy(&content).contains("PRIVATE KEY") {
                chmod(at.link(), 0o600);
            }
        }
    }),
    ("a pipe", |at| {
        if at.live().is_dir() {
            let _ = fs::remove_file(at.link());
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            let _ = rustix::fs::mknodat(rustix::fs::CWD, at.link(), rustix::fs::FileType::Fifo, mode, 0);
        }
    }),
    ("no live folder", |at| drop(fs::remove_dir_all(at.live()))),
    ("a live folder elsewhere", |at| at.moved(&at.live(), "srv/deep")),
    ("an archive elsewhere", |at| at.moved(&at.archive(), "disk")),
    ("certbot's journal", |at| {
        let journal = at.live().join(format!("previous_{}.pem", at.kind.as_str()));
        let _ = symlink(at.file(), journal);
    }),
    ("a file like certbot's journal", |at| {
        let journal = at.live().join(format!("previous_{}.pem", at.kind.as_str()));
        if at.live().is_dir() && !journal.is_symlink() {
            fs::write(journal, format!("mine {}", at.name)).unwrap();
        }
    }),
    ("an empty conf", |at| Spot::rewrite(&at.conf(), |_| String::new())),
    ("half a conf", |at| Spot::rewrite(&at.conf(), |text| text[..text.len() / 2].to_owned())),
    ("no conf", |at| drop(fs::remove_file(at.conf()))),
    ("a copy of a conf", |at| {
        let _ = fs::copy(at.conf(), at.dir.join(format!("renewal/copy-of-{}.conf", at.name)));
    }),
    ("a conf being written", |at| fs::write(at.conf().with_extension("conf.new"), at.name).unwrap()),
    ("another's archive in the conf", |at| {
        let (own, other) = (format!("archive/{}", at.name), format!("archive/{}", at.other));
        Spot::rewrite(&at.conf(), |text| text.replacen(&own, &other, 1));
    }),
    ("another's link in the conf", |at| {
        let file = at.kind.live_file();
        let (own, other) = (format!("live/{}/{file}", at.name), format!("live/{}/{file}", at.other));
        Spot::rewrite(&at.conf(), |text| text.replacen(&own, &other, 1));
    }),
    ("a line that does not begin at the root", |at| {
        let top = format!("= {}/", at.dir.display());
        let line = format!("\n{} {top}", at.kind.as_str());
        Spot::rewrite(&at.conf(), |text| text.replacen(&line, &format!("\n{} = ", at.kind.as_str()), 1));
    }),
    ("no line", |at| {
        let line = format!("{} = ", at.kind.as_str());
        Spot::rewrite(&at.conf(), |text| {
            text.lines().filter(|other| !other.starts_with(&line)).map(|line| format!("{line}\n")).collect()
        });
    }),
    ("a line that names a version", |at| {
        let file = at.kind.live_file();
        let version = format!("archive/{}/{}", at.other, at.kind.archive_file(at.version));
        Spot::rewrite(&at.conf(), |text| text.replacen(&format!("live/{}/{file}", at.name), &version, 1));
    }),
    ("a line of another kind", |at| {
        let other = Kind::ALL[(at.kind as usize + 1 + at.version.0 as usize % 3) % 4].live_file();
        let file = at.kind.live_file();
        Spot::rewrite(&at.conf(), |text| {
            text.replacen(&format!("/{}/{file}", at.name), &format!("/{}/{other}", at.other), 1)
        });
    }),
    ("a line into a folder of the owner's", |at| {
        let keys = at.dir.join("live/keys");
        fs::create_dir_all(&keys).unwrap();
        let to = keys.join(at.kind.live_file());
        if at.link().is_symlink() && !to.exists() && fs::rename(at.link(), &to).is_ok() {
            let (own, to) = (at.link(), to);
            Spot::rewrite(&at.conf(), |text| text.replacen(own.to_str().unwrap(), to.to_str().unwrap(), 1));
        }
    }),
    ("an archive_dir somewhere", |at| {
        let own = format!("archive_dir = {}", at.archive().display());
        let to = [at.live(), at.dir.clone(), at.dir.join("vault"), PathBuf::from("archive/x")];
        let to = format!("archive_dir = {}", to[at.version.0 as usize % 4].display());
        Spot::rewrite(&at.conf(), |text| text.replacen(&own, &to, 1));
    }),
    ("a second name of a file", |at| drop(fs::hard_link(at.file(), at.file().with_extension("old")))),
];

/// The tree of this number.
fn draw_tree(dir: &Path, tree: u64) -> (Vec<String>, Draw) {
    let mut draw = Draw(tree.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (name, leaves) in NAMES.iter().zip([["v1", "v2"], ["v2", "v3"], ["v3", "v4"]]) {
        lay_lineage(dir, &LineageName::new(*name).unwrap(), &leaves);
    }
    let count = 1 + draw.below(MOST_DAMAGES);
    let mut done = Vec::new();
    for _ in 0..count {
        let ((what, damage), spot) = (draw.of(DAMAGES), Spot::draw(dir, &mut draw));
        damage(&spot);
        let Spot { name, other, kind, version, .. } = spot;
        done.push(format!("{what}: {name} ({other}), {} {version}", kind.as_str()));
    }
    (done, draw)
}

/// Whether what a lineage's conf names is a chain and its key, as a server would load them.
fn serves(dir: &Path, name: &str) -> bool {
    let text = |kind: Kind| {
        let conf = fs::read(dir.join(format!("renewal/{name}.conf"))).ok()?;
        let conf = RenewalConf::parse(&conf).ok()?;
        let path = PathBuf::from(conf.live_path(kind)?);
        path.is_file().then(|| fs::read(path).ok()).flatten()
    };
    let Some((chain, key)) = text(Kind::Fullchain).zip(text(Kind::Privkey)) else { return false };
    let (Ok(chain), Ok(key)) = (Chain::from_pem(&chain), PrivateKey::from_pem(&key)) else { return false };
    let Ok(names) = chain.leaf.identifiers() else { return false };
    let expectations = Expectations::new(names, None, now());
    VerifiedVersion::verify(chain, key, &expectations, &TestMath::default()).is_ok()
}

#[test]
fn whatever_is_damaged_a_copy_that_leads_to_the_original_changes_nothing_there() {
    const PARTS: [Option<&str>; 4] = [None, Some("live"), Some("archive"), Some("archive/a.example.org")];
    for tree in 1..=COPIES {
        let dir = temp_dir();
        let (original, copy) = (dir.path().join("etc"), dir.path().join("copy"));
        fs::create_dir(&original).unwrap();
        let (mut done, mut draw) = draw_tree(&original, tree);
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        if let Some(part) =
            draw.of(&PARTS).filter(|part| original.join(part).is_dir() && !original.join(part).is_symlink())
        {
            let there = disk.join(Path::new(part).file_name().unwrap());
            fs::rename(original.join(part), &there).unwrap();
            symlink(&there, original.join(part)).unwrap();
            done.push(format!("{part} on a disk"));
        }
        let how = draw.of(&["-a", "-al"]);
        assert!(Command::new("cp").arg(how).args([&original, &copy]).status().unwrap().success());
        if draw.below(2) == 0 {
            for file in fs::read_dir(copy.join("renewal")).unwrap() {
                let path = file.unwrap().path();
                let Ok(text) = fs::read_to_string(&path) else { continue };
                fs::remove_file(&path).unwrap();
                fs::write(&path, text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
            }
            done.push(format!("cp {how}, and the confs name the copy"));
        }
        // The number of names of a file, and with it the time of its last change, are of the copy by hard links.
        let state = || -> Vec<(PathBuf, u32, u64)> {
            let all = walk(&original).into_iter().chain(walk(&disk));
            all.map(|path| (path.clone(), fs::symlink_metadata(path).unwrap()))
                .map(|(path, meta)| (path, meta.mode(), meta.ino()))
                .collect()
        };
        let (before, held) = (state(), (contents(&original), contents(&disk)));
        let report = lock(&copy).repair(None, &TestMath::default(), now()).unwrap();
        let told = || format!("tree {tree}: {done:#?}\n{report:#?}");
        assert!(state() == before && (contents(&original), contents(&disk)) == held, "{}", told());
        assert!(report.failed.is_empty(), "{}", told());
    }
}

#[test]
fn whatever_is_damaged_at_once_nothing_is_lost_and_a_second_repair_has_nothing_to_do() {
    for tree in 1..=TREES {
        let dir = temp_dir();
        let (done, _) = draw_tree(dir.path(), tree);
        let told = |report: &dyn std::fmt::Debug| format!("tree {tree}: {done:#?}\n{report:#?}");

        let served: Vec<_> = NAMES.into_iter().filter(|name| serves(dir.path(), name)).collect();
        let (before, looked) = (contents(dir.path()), snapshot(dir.path()));
        let diagnoses = diagnose(dir.path());
        assert_eq!(snapshot(dir.path()), looked, "looking changed something: {}", told(&diagnoses));
        let locked = lock(dir.path());
        let report = locked.repair(None, &TestMath::default(), now()).unwrap();
        let after = contents(dir.path());
        let lost: Vec<_> = before.difference(&after).map(|content| String::from_utf8_lossy(content)).collect();
        assert!(lost.is_empty(), "lost: {lost:?} {}", told(&report));
        assert!(report.failed.is_empty(), "{}", told(&report));
        for name in &served {
            assert!(serves(dir.path(), name), "{name} served before: {}", told(&report));
        }
        assert!(report.left.iter().all(|one| one.repair.is_none()), "{}", told(&report));
        for path in walk(dir.path()).iter().filter(|path| path.is_file() && !path.is_symlink()) {
            let is_key = fs::read(path).is_ok_and(|content| content.windows(11).any(|part| part == b"PRIVATE KEY"));
            assert!(!is_key || mode(path) & 0o007 == 0, "{} is open: {}", path.display(), told(&report));
        }

        let once = snapshot(dir.path());
        let again = locked.repair(None, &TestMath::default(), now()).unwrap();
        assert!(again.repaired.is_empty() && again.failed.is_empty(), "{}", told(&(report, again)));
        assert_eq!(snapshot(dir.path()), once, "repeated, it changed something: {}", told(&report));
    }
}

#[test]
fn whatever_is_damaged_a_run_a_renewal_and_a_removal_leave_everybody_served_who_was() {
    for tree in 1..=RUNS {
        let dir = temp_dir();
        let (done, mut draw) = draw_tree(dir.path(), tree);
        let served: Vec<_> = NAMES.into_iter().filter(|name| serves(dir.path(), name)).collect();
        let locked = lock(dir.path());
        let what = draw.of(&["recovery", "renewal", "removal"]);
        let mut told = format!("{:#?}", locked.recover(&TestMath::default(), now()));
        match what {
            "renewal" => told.push_str(&format!("{:?}", renew(&locked, "v4", &ConfPlan::default()))),
            "removal" => told.push_str(&format!("{:?}", locked.delete(&name()))),
            _ => {}
        }
        let gone = (what == "removal").then_some(NAMES[0]);
        for name in served.iter().filter(|name| Some(**name) != gone) {
            assert!(serves(dir.path(), name), "{name} served before a {what}, tree {tree}: {done:#?}\n{told}");
        }
    }
}
