//! A tree in which somebody has put something else into each place that certkit reads. It is told or put right, the other
//! lineage goes on, nothing is waited for, and nothing outside the tree is touched: a link in the place of `certkit/pending`
//! once made a run remove whatever it led to.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::place::{BAD, GOOD, Place, Thing, names, status_of};
use crate::support::Run;

const THINGS: [Thing; 8] = {
    use Thing::*;
    [Pipe, Socket, Device, Circle, LinkToFolder, LinkToFile, Folder, Huge]
};

/// Without those that are refused as the others are.
const FEWER: [Thing; 5] = {
    use Thing::*;
    [Pipe, Circle, LinkToFolder, Folder, Huge]
};

/// Puts each thing into each place, and looks at what `certificates` and `renew` say, and `extra` once for each place.
fn everywhere(things: &[Thing], places: &[&str], extra: &[&str], look: impl Fn(Thing, &str, &Run, &Run)) {
    let place = Place::new();
    let outside = place.outside();
    for name in places {
        for &thing in things {
            // These three may well be links.
            if thing == Thing::LinkToFolder && ["certkit", "../logs", "../work"].contains(name) {
                continue;
            }
            place.restore();
            place.put(thing, &place.at(name));
            let listing = place.run(&["certificates", "--json"]);
            if thing == Thing::Pipe || thing == Thing::LinkToFile && !extra.contains(&"doctor") {
                for command in extra {
                    place.run(&command.split(' ').collect::<Vec<_>>());
                }
            }
            let renewal = place.run(&["renew", "--json"]);
            look(thing, name, &listing, &renewal);
            assert_eq!(place.outside(), outside, "{thing:?} at {name}");
        }
    }
}

#[test]
fn whatever_stands_in_the_place_of_a_lineages_files_is_that_lineages_trouble_alone() {
    let places = [
        "renewal/bad.example.com.conf",
        "live/bad.example.com",
        "live/bad.example.com/cert.pem",
        "live/bad.example.com/privkey.pem",
        "archive/bad.example.com",
        "archive/bad.example.com/cert1.pem",
        "archive/bad.example.com/privkey1.pem",
        "archive/bad.example.com/chain1.pem",
        "archive/bad.example.com/fullchain1.pem",
    ];
    let extra = ["status", "plan", "check", "versions", "renew --dry-run"];
    everywhere(&THINGS, &places, &extra, |thing, place, listing, renewal| {
        assert_eq!(listing.status, 0, "{thing:?} at {place}: {listing:?}");
        let rows = listing.json();
        assert_eq!(status_of(&rows, GOOD).as_deref(), Some("valid"), "{thing:?} at {place}: {rows}");
        assert_eq!(status_of(&rows, BAD).as_deref(), Some("broken"), "{thing:?} at {place}: {rows}");
        let report = renewal.json();
        assert!(names(&report, "not_due").contains(&GOOD.to_owned()), "{thing:?} at {place}: {report}");
        // What lies in live/ can be put right from the archive.
        let is_told = names(&report, "failed").contains(&BAD.to_owned()) || renewal.all().contains(BAD);
        assert!(is_told, "{thing:?} at {place}: {renewal:?}");
    });
}

#[test]
fn whatever_stands_in_the_place_of_our_memory_is_put_right_and_no_lineage_is_held_up() {
    let places = [
        "certkit/state",
        "certkit/state/bad.example.com.json",
        "certkit/state/common",
        "certkit/state/common/ledger.json",
        "certkit/state/common/notices.json",
        "certkit/state/common/deliveries.json",
        "certkit/state/history",
        "certkit/state/history/bad.example.com.jsonl",
        "certkit/pending",
        "certkit/pending/bad.example.com",
        "certkit/pending/bad.example.com/order.json",
        "certkit/pending/bad.example.com/privkey.pem",
        "certkit/commit",
        "certkit/commit/bad.example.com.json",
        "certkit/aside",
        "certkit/aside/bad.example.com",
        "certkit/rollover",
    ];
    everywhere(
        &FEWER,
        &places,
        &["status", "plan", "history", "notify", "renew --dry-run"],
        |thing, place, listing, renewal| {
            assert_eq!(status_of(&listing.json(), GOOD).as_deref(), Some("valid"), "{thing:?} at {place}");
            assert_eq!(status_of(&listing.json(), BAD).as_deref(), Some("valid"), "{thing:?} at {place}");
            assert_eq!(renewal.status, 0, "{thing:?} at {place}: {renewal:?}");
            assert_eq!(names(&renewal.json(), "not_due"), [BAD, GOOD], "{thing:?} at {place}: {renewal:?}");
        },
    );
}

#[test]
fn whatever_stands_in_the_place_of_what_all_share_is_named_or_does_not_matter() {
    let places = [
        "renewal",
        "live",
        "archive",
        "accounts",
        "accounts/127.0.0.1:9",
        "certkit",
        "certkit/settings.toml",
        "certkit/lineages",
        "certkit/lineages/bad.example.com.toml",
        "cli.ini",
        "renewal-hooks",
        "renewal-hooks/pre",
        "renewal-hooks/pre/hook.sh",
        "renewal-hooks/deploy/hook.sh",
        "renewal-hooks/post/hook.sh",
        "../logs/certkit.log",
        "../logs",
        "../work",
        ".certbot.lock",
        "../logs/.certbot.lock",
    ];
    everywhere(
        &FEWER,
        &places,
        &["status", "doctor", "config check", "renew --dry-run"],
        |thing, place, listing, renewal| {
            let last = place.rsplit('/').next().unwrap();
            for run in [listing, renewal] {
                let document = run.json();
                match run.status {
                    0 => {}
                    // Wrong are the flags in the file then.
                    1 | 2 => {
                        assert!(
                            run.all().contains(last) || document["failed"].is_array(),
                            "{thing:?} at {place}: {run:?}"
                        );
                    }
                    other => panic!("{other}: {thing:?} at {place}: {run:?}"),
                }
            }
        },
    );
}

#[test]
fn memory_with_any_content_costs_the_memory_alone() {
    let place = Place::new();
    let files = [
        "certkit/state/bad.example.com.json",
        "certkit/state/common/ledger.json",
        "certkit/state/common/notices.json",
        "certkit/state/common/deliveries.json",
        "certkit/state/history/bad.example.com.jsonl",
    ];
    for file in files {
        let before = fs::read(place.saved.join("etc").join(file)).unwrap_or_default();
        let contents: [&[u8]; 6] = [
            b"",
            b"{",
            &[&before[..], b"}"].concat(),
            &[0; 4096],
            &[&b"\xef\xbb\xbf"[..], &before].concat(),
            b"{\"schema\":1,\"state\":{\"failures\":-1}}",
        ];
        for content in contents {
            place.restore();
            fs::write(place.at(file), content).unwrap();
            let listing = place.run(&["certificates", "--json"]);
            assert_eq!(listing.status, 0, "{file}: {listing:?}");
            place.run(&["status"]);
            let renewal = place.run(&["renew", "--json"]);
            assert_eq!(renewal.status, 0, "{file} with {:?}: {renewal:?}", content.get(..40));
            assert_eq!(names(&renewal.json(), "not_due"), [BAD, GOOD], "{file}: {renewal:?}");
            assert_eq!(place.run(&["renew", "--json"]).status, 0, "{file}: the next run");
        }
    }
}

#[test]
fn names_of_every_kind_are_told_safely_and_hold_nothing_up() {
    let place = Place::new();
    let longest = [b'n'; 250];
    for folder in ["renewal", "live", "archive", "accounts", "renewal-hooks/pre", "certkit/lineages", "certkit/pending"]
    {
        for name in [&b"new\nline"[..], b"\xff\xfe", b"\x1b[31mred", b"-rf", b"a b", b"..."] {
            let suffix: &[u8] = if folder == "renewal" { b".conf" } else { b"" };
            let path = place.at(folder).join(OsStr::from_bytes(&[name, suffix].concat()));
            fs::write(path, "x = 1\n").unwrap();
        }
        let suffix = if folder == "renewal" { ".conf" } else { "" };
        let name = OsStr::from_bytes(&longest).to_str().unwrap();
        fs::write(place.at(folder).join(format!("{name}{suffix}")), "x = 1\n").unwrap();
    }
    for command in ["certificates", "renew", "status", "plan", "doctor", "check", "versions", "history"] {
        let run = place.run(&[command]);
        assert!(!run.all().contains('\x1b') && !run.all().contains("new\nline"), "{command}: {run:?}");
    }
    assert_eq!(status_of(&place.run(&["certificates", "--json"]).json(), GOOD).as_deref(), Some("valid"));
    assert_eq!(names(&place.run(&["renew", "--json"]).json(), "not_due"), [BAD, GOOD]);
}

#[test]
fn a_dry_run_tells_what_stands_in_a_lineages_place_tries_the_other_one_and_changes_nothing() {
    let place = Place::new();
    for path in [
        "renewal/bad.example.com.conf",
        "live/bad.example.com",
        "live/bad.example.com/cert.pem",
        "archive/bad.example.com",
    ] {
        for thing in THINGS {
            place.restore();
            place.put(thing, &place.at(path));
            let kept =
                || ["renewal", "live", "archive", "../outside"].map(|folder| testkit::snapshot(&place.at(folder)));
            let before = kept();
            let run = place.run(&["renew", "--dry-run", "--json"]);
            let report = run.json();
            assert_eq!(
                (run.status, names(&report, "failed")),
                (1, vec![BAD.into(), GOOD.into()]),
                "{thing:?} at {path}"
            );
            let [bad, good] = [0, 1].map(|one| report["failed"][one]["class"].as_str().unwrap().to_owned());
            // Nobody listens at the other one's CA.
            assert_eq!((bad.as_str(), good.as_str()), ("broken", "network"), "{thing:?} at {path}: {report}");
            assert!(kept() == before, "{thing:?} at {path}");
        }
    }
}
