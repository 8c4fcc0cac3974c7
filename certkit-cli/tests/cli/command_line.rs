//! What every command line has in common: help, JSON for errors, output that gets lost, what is filtered.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Place, Run};

#[test]
fn help_is_a_command_too() {
    let place = Place::new();
    assert_eq!(place.run(&["help"]).ends_with(0).stdout, place.run(&["--help"]).stdout);
    assert_eq!(place.run(&["help", "renew"]).ends_with(0).stdout, place.run(&["renew", "--help"]).stdout);
    fs::write(place.tree.config_dir().join("cli.ini"), "nonsense = 1\n").unwrap();
    place.run(&["help", "renew"]).ends_with(0);
    place.run(&["help", "frobnicate"]).ends_with(2);
}

#[test]
fn a_command_line_that_cannot_be_read_is_a_document_when_one_was_asked_for() {
    let place = Place::new();
    for arguments in [
        &["renew", "--frobnicate", "--json"][..],
        &["--json", "renew", "--nginx"],
        &["frobnicate", "--json"],
        &["delete", "--json"],
        &["delete", "--cert-name", "nobody.example", "--json"],
    ] {
        let run = place.run(arguments);
        assert_ne!(run.status, Some(0), "{arguments:?}");
        let document = run.json();
        let mut keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["cure", "error", "schema"], "{arguments:?}");
        assert!(document["cure"].is_string(), "{arguments:?}: {document}");
    }
    let run = place.run(&["renew", "--frobnicate"]).ends_with(2);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    assert!(!run.stderr.contains("tip:") && !run.stderr.contains("Usage:"), "{}", run.stderr);
}

#[test]
fn closed_streams_and_an_empty_environment_are_no_trouble() {
    let place = Place::new();
    place.tree.lineage("a.example.org").server("https://127.0.0.1:1/dir").write();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for arguments in [&["certificates"][..], &["status"], &["plan"], &["renew", "-n"], &["history", "--json"]] {
            let certkit = place.command(arguments);
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("exec \"$0\" \"$@\" {closed}")]).arg(certkit.get_program());
            let run = Run::of(shell.args(certkit.get_args()).env_clear().env("LANG", "C").output().unwrap());
            assert_eq!(
                (run.status, run.stderr.contains("panicked")),
                (Some(0), false),
                "{closed} {arguments:?}: {run:?}"
            );
        }
    }
}

#[test]
fn output_that_is_lost_is_no_success_but_a_reader_may_go() {
    let place = Place::new();
    place.tree.lineage("a.example.org").write();
    for arguments in [&["certificates"][..], &["certificates", "--json"], &["--help"], &["--version"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = Run::of(place.command(arguments).stdout(full).output().unwrap()).ends_with(1);
        assert!(run.stderr.contains("standard output cannot be written"), "{arguments:?}: {}", run.stderr);

        let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn what_announces_a_failure_is_told_although_it_is_to_be_quiet() {
    let place = Place::new();
    let server = "https://127.0.0.1:1/dir";
    let lineage = place.tree.lineage("n.example.org").days_left(80).server(server).standalone(80).write();
    place.tree.lineage("g.example.org").days_left(80).server(server).standalone(80).write();
    let conf = fs::read_to_string(&lineage.conf).unwrap();
    fs::write(&lineage.conf, conf.replace("authenticator = standalone", "authenticator = nginx")).unwrap();
    for arguments in [&["renew", "-q"][..], &["certificates", "-q"]] {
        let run = place.run(arguments).ends_with(0);
        assert!(run.stderr.contains("certkit reconfigure --cert-name n.example.org"), "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.contains("g.example.org") && run.stdout.is_empty(), "{arguments:?}: {run:?}");
    }
}

#[test]
fn problems_are_filtered_as_the_certificates_are() {
    let place = Place::new();
    place.tree.lineage("a.example.org").standalone(80).write();
    fs::create_dir(place.tree.config_dir().join("live/orphan.example.org")).unwrap();
    let run = place.run(&["certificates", "--cert-name", "a.example.org"]).ends_with(0);
    assert!(!run.stdout.contains("orphan"), "{}", run.stdout);
    let run = place.run(&["certificates", "--cert-name", "orphan.example.org"]).ends_with(0);
    assert!(run.stdout.contains("live/orphan.example.org"), "{}", run.stdout);
    assert!(place.run(&["certificates"]).stdout.contains("orphan"));
}

#[test]
fn what_is_written_wrongly_is_to_be_corrected() {
    let place = Place::new();
    let wrong = place.tree.lineage("wrong.example.org").write();
    fs::write(&wrong.conf, "version = 1\n[renewalparams\n").unwrap();
    let run = place.run(&["renew"]).ends_with(1);
    assert!(run.stderr.contains("What to do: correct the line that the message names"), "{}", run.stderr);
}

#[test]
fn settings_that_do_not_fit_are_refused_with_the_ones_that_do() {
    let place = Place::new();
    place.tree.lineage("s.example.org").standalone(80).write();
    let run = place.run(&["certonly", "--standalone", "-d", "*.a.example.org"]).ends_with(2);
    assert!(run.stderr.contains("--manual --preferred-challenges dns"), "{}", run.stderr);
    let wild = place.tree.lineage("w.example.org").names(["w.example.org", "*.w.example.org"]).standalone(80);
    wild.server("https://127.0.0.1:1/dir").days_left(5).write();
    let run = place.run(&["renew", "--cert-name", "w.example.org", "--no-random-sleep-on-renew"]).ends_with(1);
    assert!(run.stderr.contains("What to do: use --manual --preferred-challenges dns"), "{}", run.stderr);
    let run = place.run(&["reconfigure", "--cert-name", "s.example.org", "--webroot"]).ends_with(2);
    assert!(run.stderr.contains("-w DIR"), "{}", run.stderr);
    fs::write(place.tree.config_dir().join("cli.ini"), "must-staple = true\n").unwrap();
    place.run(&["certificates"]).ends_with(0);
    assert!(place.run(&["certificates", "-v"]).stderr.contains("must-staple"));
    place.run(&["renew"]).ends_with(2);
}
