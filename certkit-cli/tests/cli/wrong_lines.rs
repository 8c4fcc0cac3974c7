//! Confs whose lines say something else than is there, as `fsck` and `renew` tell of them.

use std::fs;
use std::path::Path;

use crate::support::{Place, Run};

fn rewrite(conf: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(conf).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(conf, text.replace(from, to)).unwrap();
}

/// Without the wrapping.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_path_that_does_not_begin_at_the_root_is_the_same_in_every_folder() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).write();
    let top = format!("{}/", place.tree.config_dir().display());
    rewrite(&lineage.conf, &top, "");
    let from =
        |folder: &Path, arguments: &[&str]| Run::of(place.command(arguments).current_dir(folder).output().unwrap());
    for (arguments, status) in [(&["fsck"][..], 1), (&["certificates"], 0), (&["renew"], 1)] {
        let (elsewhere, here) = (from(Path::new("/"), arguments), from(place.tree.config_dir(), arguments));
        assert_eq!((elsewhere.status, here.status), (Some(status), Some(status)), "{here:?}");
        assert_eq!(elsewhere.stdout, here.stdout, "{arguments:?}");
        let told = words(&format!("{}{}", here.stdout, here.stderr));
        assert!(told.contains("no path from the root") || told.contains("no paths from the root"), "{told}");
    }
    let run = place.run(&["fsck", "--repair"]).ends_with(0);
    assert!(words(&run.stdout).contains("write renewal/a.example.conf with paths from the root"), "{run:?}");
    assert_eq!(place.run(&["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
}

#[test]
fn why_a_conf_cannot_be_used_is_told_once_with_the_lines_that_have_to_stand_there() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).server("https://127.0.0.1:1/dir").write();
    place.tree.lineage("b.example").write();
    for there in ["archive/a.example/", "live/b.example/"] {
        let before = fs::read_to_string(&lineage.conf).unwrap();
        for kind in ["cert", "chain"] {
            rewrite(&lineage.conf, &format!("live/a.example/{kind}.pem"), &format!("{there}{kind}.pem"));
        }
        let line = |kind: &str| format!("`{kind} = {}`", lineage.live.join(format!("{kind}.pem")).display());
        let run = place.run(&["renew", "--force-renewal", "--cert-name", "a.example"]).ends_with(1);
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains(&format!("say {}, {}", line("cert"), line("chain"))), "{told}");
        // Neither the general cure beside the right one, nor what comes of the lines.
        assert_eq!(told.matches("What to do:").count(), 1, "{told}");
        assert_eq!(told.matches(&format!("renewal/a.example.conf has cert = {there}cert.pem")).count(), 1, "{told}");
        let document = place.run(&["renew", "--force-renewal", "--cert-name", "a.example", "--json"]).ends_with(1);
        let document: serde_json::Value = serde_json::from_str(&document.stdout).unwrap();
        assert_eq!(document["problems"].as_array().map_or(0, Vec::len), 0, "{document:#}");
        let failed = &document["failed"][0];
        assert!(failed.to_string().contains(&lineage.live.join("chain.pem").display().to_string()), "{document:#}");
        let run = place.run(&["fsck"]).ends_with(1);
        assert!(run.stdout.contains(&format!("\n              {},\n", line("cert"))), "{run:?}");
        // Nobody is told to change the links of the other one.
        for arguments in [&["certificates"][..], &["status"], &["doctor", "--no-network"]] {
            let run = place.run(arguments);
            let told = format!("{}{}", run.stdout, run.stderr);
            assert!(told.contains("a.example") && !told.contains("make the link point"), "{arguments:?}: {told}");
        }
        fs::write(&lineage.conf, before).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_tree_that_was_moved_is_told_in_full_once() {
    let place = Place::new();
    for name in ["a.example", "b.example", "c.example"] {
        let lineage = place.tree.lineage(name).write();
        rewrite(&lineage.conf, place.tree.config_dir().to_str().unwrap(), "/nonexistent/my le");
    }
    let fsck = place.run(&["fsck"]).ends_with(1);
    assert!(fsck.stdout.contains("For:        a.example, b.example, c.example\n"), "{fsck:?}");
    let renew = place.run(&["renew"]).ends_with(1);
    let one = place.run(&["renew", "--cert-name", "a.example"]).ends_with(1);
    assert_eq!(renew.stderr.matches("What to do: the same as for a.example.\n").count(), 2, "{renew:?}");
    // The failure of the one that was asked for, and what recovery says of the others.
    assert_eq!(one.stderr.matches("What to do: the same as for b.example.\n").count(), 1, "{one:?}");
    for (run, times) in [(&fsck, 1), (&renew, 1), (&one, 2)] {
        let told = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(told.matches("sed -E -i").count(), times, "{run:?}");
    }
    let (_, command) = renew.stderr.split_once("(`").unwrap();
    let (command, _) = command.split_once("`)").unwrap();
    assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
    assert_eq!(place.run(&["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
}
