//! Files and folders that the user who runs certkit may not read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::place::{BAD, GOOD, Place, names, status_of};
use crate::support::{NOBODY, Run, certkit_as_nobody};

struct Host {
    place: Place,
    binary: PathBuf,
}

impl Host {
    fn new() -> Self {
        let place = Place::new();
        let binary = place.saved.with_file_name("certkit");
        fs::copy(env!("CARGO_BIN_EXE_certkit"), &binary).unwrap();
        let above = place.root.parent().unwrap();
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
        let owner = format!("{NOBODY}:{NOBODY}");
        let all = [&place.root, &place.saved];
        assert!(
            Command::new("chown").args(["-hR", &owner]).args(all).status().unwrap().success(),
            "this test wants root"
        );
        Self { place, binary }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.place.run_by(arguments, |all: &[&OsStr]| certkit_as_nobody(&self.binary, all, &self.place.root))
    }
}

/// What the lineage `bad.example.com` needs.
const OF_BAD: [&str; 7] = [
    "renewal/bad.example.com.conf",
    "live/bad.example.com",
    "archive/bad.example.com",
    "archive/bad.example.com/cert1.pem",
    "archive/bad.example.com/privkey1.pem",
    "archive/bad.example.com/chain1.pem",
    "archive/bad.example.com/fullchain1.pem",
];

/// What all lineages need: without it nothing is ordered.
const OF_ALL: [&str; 13] = [
    "renewal",
    "live",
    "archive",
    "accounts",
    "cli.ini",
    "certkit",
    "certkit/settings.toml",
    "certkit/lineages",
    "certkit/state",
    "certkit/state/common",
    "certkit/state/common/ledger.json",
    "certkit/pending",
    "../logs",
];

/// What is told where it cannot be read, and keeps nobody from renewing.
const OF_SOMETHING_ELSE: [&str; 3] =
    ["certkit/state/common/notices.json", "certkit/pending/bad.example.com", "renewal-hooks/pre"];

const DENIED: &str = "Permission denied";
/// What only looks.
const LOOKING: [&str; 4] = ["status", "check", "fsck", "history"];

/// Takes all rights from each place in turn. `look` gets what `certificates`, `renew --dry-run` and `renew` say; no other
/// command waits or dies, and what could not be read is there afterwards as it was.
fn everywhere(places: &[&str], look: impl Fn(&str, &Run, &Run, &Run)) {
    let host = Host::new();
    for path in places {
        host.place.restore();
        let at = host.place.at(path);
        let content = || if at.is_dir() { Vec::new() } else { fs::read(&at).unwrap() };
        let before = content();
        fs::set_permissions(&at, fs::Permissions::from_mode(0o0)).unwrap();
        let listing = host.run(&["certificates", "--json"]);
        for command in LOOKING {
            host.run(&[command]);
        }
        let rehearsal = host.run(&["renew", "--dry-run", "--json", "--no-probe"]);
        let renewal = host.run(&["renew", "--json", "--no-probe"]);
        look(path, &listing, &rehearsal, &renewal);
        assert_eq!(content(), before, "{path}");
        assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0, "{path}");
    }
}

/// What a document says of a lineage that failed.
fn failure(run: &Run, name: &str) -> Option<String> {
    let document = run.json();
    let failed = document["failed"].as_array()?.iter().find(|one| one["name"] == name)?;
    Some(failed["what"].as_str().unwrap().to_owned())
}

#[test]
fn a_lineage_of_which_something_cannot_be_read_is_told_and_the_other_one_goes_on() {
    everywhere(&OF_BAD, |path, listing, rehearsal, renewal| {
        let rows = listing.json();
        assert_eq!((listing.status, status_of(&rows, GOOD).as_deref()), (0, Some("valid")), "{path}: {rows}");
        assert_eq!(status_of(&rows, BAD).as_deref(), Some("broken"), "{path}: {rows}");
        for run in [rehearsal, renewal] {
            let why = failure(run, BAD).unwrap_or_else(|| panic!("{path}: {run:?}"));
            assert!(run.status == 1 && why.contains(DENIED), "{path}: {why}");
        }
        // It is tried, at a CA that is not there.
        let why = failure(rehearsal, GOOD).unwrap_or_else(|| panic!("{path}: {rehearsal:?}"));
        assert!(!why.contains(DENIED), "{path}: {why}");
        assert_eq!(names(&renewal.json(), "not_due"), [GOOD], "{path}: {renewal:?}");
    });
}

#[test]
fn who_may_not_read_something_is_told_to_be_somebody_else() {
    let host = Host::new();
    for path in OF_BAD {
        host.place.restore();
        fs::set_permissions(host.place.at(path), fs::Permissions::from_mode(0o0)).unwrap();
        let run = host.run(&["certificates"]);
        let cure = "What to do: run as the user who owns it (usually root)";
        assert!(run.status == 0 && run.all().contains(cure), "{path}: {run:?}");
    }
}

#[test]
fn what_cannot_be_read_and_is_needed_by_all_is_named_and_is_no_absence() {
    everywhere(&OF_ALL, |path, _, rehearsal, renewal| {
        let is_told = |run: &Run| {
            let name = path.trim_start_matches("../");
            run.all().lines().any(|line| line.contains(DENIED) && line.contains(name))
        };
        assert!(matches!(renewal.status, 1 | 2) && is_told(renewal), "{path}: {renewal:?}");
        assert_eq!(names(&renewal.json(), "renewed"), Vec::<String>::new(), "{path}");
        // A dry run has no use for what is remembered, and at this CA, which is not there, none for an account.
        let is_used = *path != *"accounts" && !path.starts_with("certkit/state") && *path != *"certkit/pending";
        assert!(matches!(rehearsal.status, 1 | 2) && (is_told(rehearsal) || !is_used), "{path}: {rehearsal:?}");
    });
}

#[test]
fn what_cannot_be_read_and_is_needed_by_nobody_now_is_named_when_it_is_used() {
    everywhere(&OF_SOMETHING_ELSE, |path, listing, rehearsal, renewal| {
        assert_eq!(status_of(&listing.json(), BAD).as_deref(), Some("valid"), "{path}");
        let all = format!("{}{}", rehearsal.all(), renewal.all());
        assert!(all.lines().any(|line| line.contains(DENIED) && line.contains(path)), "{path}: {all}");
        assert_eq!((renewal.status, names(&renewal.json(), "not_due")), (0, vec![BAD.into(), GOOD.into()]), "{path}");
    });
}

#[test]
fn fsck_tells_what_it_can_see_beside_a_conf_that_it_may_not_read_and_repairs_nothing() {
    let host = Host::new();
    let (conf, key) = (host.place.at(OF_BAD[0]), host.place.at("archive/good.example.com/privkey1.pem"));
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let chain = host.place.at("archive/good.example.com/chain1.pem");
    fs::write(&chain, "").unwrap();
    let of_one = ["--cert-name", GOOD];
    for arguments in [
        &["fsck"][..],
        &["fsck", "--repair"],
        &["fsck", of_one[0], of_one[1]],
        &["fsck", "--repair", of_one[0], of_one[1]],
    ] {
        let run = host.run(arguments);
        // Lines are wrapped wherever there is a blank.
        let words = run.all().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(run.status, 1, "{words}");
        assert!(
            words.contains(DENIED) && words.contains(BAD) && words.contains("until then nothing is repaired"),
            "{words}"
        );
        // What is in the files is looked at all the same.
        assert!(words.contains("privkey1.pem") && words.contains("the version in use is damaged"), "{words}");
        assert_eq!(fs::read(&chain).unwrap(), b"", "{arguments:?}");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o644, "{arguments:?}");
    }
    // The one lineage alone is what is repaired once everything can be read.
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o644)).unwrap();
    let run = host.run(&["fsck", "--repair"]);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o640, "{run:?}");
    assert!(!fs::read(&chain).unwrap().is_empty());
}

#[test]
fn fsck_goes_on_where_one_conf_leads_to_what_nobody_may_look_into() {
    let host = Host::new();
    let closed = host.place.root.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let conf = host.place.at(OF_BAD[0]);
    let of_conf = |line: &str| match line.starts_with("archive_dir") {
        true => format!("archive_dir = {}/x\n", closed.display()),
        false => format!("{line}\n"),
    };
    let text: String = fs::read_to_string(&conf).unwrap().lines().map(of_conf).collect();
    fs::write(&conf, text).unwrap();
    let key = host.place.at("archive/good.example.com/privkey1.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let run = host.run(&["fsck"]);
    let words = run.all().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(run.status == 1 && words.contains(DENIED) && words.contains("closed/x"), "{words}");
    assert!(words.contains("good.example.com/privkey1.pem"), "{words}");
}
