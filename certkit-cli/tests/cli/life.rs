//! A certificate's life against Pebble: obtained, listed, renewed, rolled back, reconfigured, revoked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

fn obtain(place: &Place, ca: &Pebble, more: &[&str]) -> Run {
    let port = ca.http_port().to_string();
    let mut arguments = vec!["certonly", "-n", "--agree-tos", "--standalone", "--http-01-port", &port];
    arguments.extend(more);
    place.run_at(ca, &arguments)
}

#[test]
fn from_the_first_order_to_revocation() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let live = place.tree.config_dir().join("live/n.example.org");

    let run = obtain(&place, &ca, &["-d", "N.example.org,www.n.example.org"]).ends_with(0);
    assert!(
        run.stdout.starts_with("\nSuccessfully received certificate.\nCertificate is saved at: "),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("Requesting a certificate for n.example.org and www.n.example.org"), "{}", run.stderr);
    assert!(live.join("fullchain.pem").exists());

    let run = obtain(&place, &ca, &["-d", "www.n.example.org", "-d", "n.example.org"]).ends_with(0);
    assert_eq!(run.stdout, "Certificate not yet due for renewal; no action taken.\n");
    let run = obtain(&place, &ca, &["-d", "n.example.org,www.n.example.org,more.n.example.org"]).ends_with(1);
    assert!(run.stderr.contains("--expand"), "{}", run.stderr);
    obtain(&place, &ca, &["-d", "n.example.org,www.n.example.org,more.n.example.org", "--expand"]).ends_with(0);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["identifiers"].as_array().unwrap().len(), 3);
    assert_eq!(document["lineages"][0]["version"], 2);
    assert_eq!(document["lineages"][0]["key_type"], "ECDSA");

    let run = place.run_trusting(&ca, &["renew"]).ends_with(0);
    assert!(run.stdout.contains("The following certificates are not due for renewal yet:\n  /"), "{}", run.stdout);
    assert!(run.stdout.contains("No renewals were attempted.\n"), "{}", run.stdout);
    let run = place.run_trusting(&ca, &["-q", "renew"]).ends_with(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));

    let before = place.tree.snapshot();
    let run = place.run_trusting(&ca, &["renew", "--dry-run", "--no-random-sleep-on-renew"]).ends_with(0);
    assert!(run.stdout.contains("Congratulations, all simulated renewals succeeded: \n"), "{}", run.stdout);
    let after = place.tree.snapshot();
    assert_eq!(after, before, "a dry run keeps nothing");

    let hook = format!("echo \"$RENEWED_LINEAGE: $RENEWED_DOMAINS\" > {}/hooked", place.folder().display());
    let run = place.run_trusting(&ca, &["renew", "--force-renewal", "--deploy-hook", &hook]).ends_with(0);
    assert!(run.stdout.contains("Congratulations, all renewals succeeded: \n"), "{}", run.stdout);
    assert!(run.stdout.contains("live/n.example.org/fullchain.pem (success)\n"), "{}", run.stdout);
    let hooked = fs::read_to_string(place.folder().join("hooked")).unwrap();
    assert!(hooked.contains("n.example.org more.n.example.org") || hooked.contains("n.example.org www"), "{hooked}");

    let directory_hook = place.tree.config_dir().join("renewal-hooks/deploy/note");
    let noted = place.folder().join("noted");
    fs::write(&directory_hook, format!("#!/bin/sh\necho x >> {}\n", noted.display())).unwrap();
    fs::set_permissions(&directory_hook, fs::Permissions::from_mode(0o755)).unwrap();
    let run =
        place.run(&["rollback", "--cert-name", "n.example.org", "--to", "2", "--no-directory-hooks"]).ends_with(0);
    assert!(run.stdout.contains("is in use again, as version 4"), "{}", run.stdout);
    assert!(!noted.exists(), "the directory's hooks were left out");
    place.run(&["rollback", "--cert-name", "n.example.org", "--to", "3"]).ends_with(0);
    assert_eq!(fs::read_to_string(&noted).unwrap(), "x\n");
    place.run(&["rollback", "--cert-name", "n.example.org", "--to", "2"]).ends_with(0);
    let document = place.run(&["versions", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["live"], 6);
    let serial = |index: usize| document["lineages"][0]["versions"][index]["serial"].clone();
    assert_eq!(serial(3), serial(1));

    let document = place.run(&["history", "--json", "--cert-name", "n.example.org"]).ends_with(0).json();
    let events: Vec<_> = document["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert!(events.iter().filter(|event| **event == "committed").count() >= 4, "{events:?}");

    let run =
        place.run_at(&ca, &["revoke", "-n", "--cert-name", "n.example.org", "--reason", "superseded"]).ends_with(0);
    assert!(run.stdout.contains("Congratulations! You have successfully revoked"), "{}", run.stdout);
    assert!(!live.exists(), "deleted as certbot does by default");
    assert_eq!(
        fs::metadata(place.log())
            .map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777)
            .unwrap(),
        0o600
    );
}

#[test]
fn a_revoked_certificate_can_be_kept_and_its_own_key_suffices() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "r.example.org"]).ends_with(0);
    let live = place.tree.config_dir().join("live/r.example.org");
    let (cert, key) = (live.join("cert.pem"), live.join("privkey.pem"));
    let run = place
        .run_at(
            &ca,
            &[
                "revoke",
                "--cert-path",
                cert.to_str().unwrap(),
                "--key-path",
                key.to_str().unwrap(),
                "--no-delete-after-revoke",
            ],
        )
        .ends_with(0);
    assert!(run.stdout.contains("successfully revoked"), "{}", run.stdout);
    assert!(cert.exists());
    let run = place.run_at(&ca, &["revoke", "--cert-path", cert.to_str().unwrap(), "-n"]).ends_with(1);
    assert!(run.stderr.contains("lready"), "{}", run.stderr);
    assert!(cert.exists());
}

#[test]
fn what_cannot_be_deleted_after_revoking_is_told_with_what_was_revoked() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "r.example.org"]).ends_with(0);
    let (confs, disk) = (place.tree.config_dir().join("renewal"), place.folder().join("disk"));
    fs::rename(&confs, &disk).unwrap();
    std::os::unix::fs::symlink(&disk, &confs).unwrap();
    let run = place.run_at(&ca, &["revoke", "-n", "--json", "--cert-name", "r.example.org"]).ends_with(1);
    let document = run.json();
    assert!(document["revoked"].is_string() && document["deleted"] == false, "{document:#}");
    let command = format!("certkit delete --cert-name r.example.org --also-in {}", disk.display());
    assert!(run.stderr.contains(&command), "{run:?}");
    place.run(&["delete", "--cert-name", "r.example.org", "--also-in", disk.to_str().unwrap()]).ends_with(0);
}

#[test]
fn names_that_fail_are_all_told_with_their_cures() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    // Nobody answers on the port at which the CA looks.
    let port = testkit::ports::free_port().to_string();
    let run = place
        .run_at(
            &ca,
            &[
                "certonly",
                "-n",
                "--agree-tos",
                "--standalone",
                "--http-01-port",
                &port,
                "-d",
                "a.example.org,b.example.org",
            ],
        )
        .ends_with(1);
    for expected in ["Identifier: a.example.org", "Identifier: b.example.org", "Type:   connection", "What to do: "] {
        assert!(run.stderr.contains(expected), "{expected}: {}", run.stderr);
    }
    assert!(!place.tree.config_dir().join("renewal/a.example.org.conf").exists());
}

#[test]
fn reconfigure_changes_the_conf_after_a_test_order_only() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "c.example.org"]).ends_with(0);
    let conf = place.tree.config_dir().join("renewal/c.example.org.conf");
    let before = fs::read_to_string(&conf).unwrap();
    let run = place.run_trusting(&ca, &["reconfigure", "-n", "--cert-name", "c.example.org"]).ends_with(0);
    assert_eq!(run.stdout, "No changes were made to the renewal configuration.\n");

    let wrong = place.folder().join("webroot");
    fs::create_dir(&wrong).unwrap();
    let run = place
        .run_trusting(&ca, &["reconfigure", "--cert-name", "c.example.org", "--webroot", "-w", wrong.to_str().unwrap()])
        .ends_with(1);
    assert!(run.stderr.contains("was not changed"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(&conf).unwrap(), before);

    let run = place
        .run_trusting(
            &ca,
            &["reconfigure", "--cert-name", "c.example.org", "--deploy-hook", "true", "--key-type", "rsa"],
        )
        .ends_with(0);
    assert!(run.stdout.contains("Successfully updated configuration."), "{}", run.stdout);
    let after = fs::read_to_string(&conf).unwrap();
    assert!(after.contains("renew_hook = true\n") && after.contains("key_type = rsa\n"), "{after}");
}

#[test]
fn a_server_in_cli_ini_is_for_new_certificates_only() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "s.example.org"]).ends_with(0);
    fs::write(place.tree.config_dir().join("cli.ini"), "server = https://127.0.0.1:1/nobody\ndomains = x.example\n")
        .unwrap();
    let run = place.run_trusting(&ca, &["renew", "--force-renewal"]).ends_with(0);
    assert!(run.stdout.contains("Congratulations, all renewals succeeded"), "{}", run.stdout);
}

#[test]
fn failing_hooks_are_in_the_summary_and_the_status() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "h.example.org"]).ends_with(0);
    let run = place
        .run_trusting(
            &ca,
            &[
                "-q",
                "renew",
                "--force-renewal",
                "--deploy-hook",
                "echo out; echo err >&2; exit 4",
                "--disable-hook-validation",
            ],
        )
        .ends_with(1);
    assert_eq!(run.stdout, "");
    for expected in
        ["Hook 'deploy-hook' reported error code 4", "The following hooks failed:", "1 hook failure(s)", " err\n"]
    {
        assert!(run.stderr.contains(expected), "{expected}: {}", run.stderr);
    }
    let document = place.run_trusting(&ca, &["renew", "--json"]).json();
    assert_eq!(document["not_due"][0]["name"], "h.example.org");
    assert!(document["not_due"][0]["at"].is_string());
}

#[test]
fn one_that_fails_stops_no_other_and_is_held_back_afterwards() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "b.example.org"]).ends_with(0);
    // Due, and the CA finds nobody (or the other one's responder) where it looks.
    let elsewhere = testkit::ports::free_port();
    place.tree.lineage("a.example.org").days_left(5).server(&ca.directory_url()).standalone(elsewhere).write();

    let run = place.run_trusting(&ca, &["renew", "--force-renewal"]).ends_with(1);
    assert!(run.stdout.contains("The following renewals succeeded:\n  /"), "{}", run.stdout);
    assert!(run.stdout.contains("b.example.org/fullchain.pem (success)\n\n"), "{}", run.stdout);
    for expected in [
        "Failed to renew certificate a.example.org with error: ",
        "  Identifier: a.example.org\n  Type:   ",
        "The following renewals failed:\n  /",
        "a.example.org/fullchain.pem (failure)\n",
        "1 renew failure(s), 0 parse failure(s)\n",
    ] {
        assert!(run.stderr.contains(expected), "{expected}: {}", run.stderr);
    }
    let run = place.run_trusting(&ca, &["renew", "--no-random-sleep-on-renew"]).ends_with(1);
    assert!(run.stderr.contains("Certificate a.example.org is due, but it is not tried before"), "{}", run.stderr);
    let document = place.run_trusting(&ca, &["renew", "--no-random-sleep-on-renew", "--json"]).ends_with(1).json();
    assert_eq!(document["held"][0]["name"], "a.example.org");
    assert_eq!(document["held"][0]["by"], "challenge-failed");
}

#[test]
fn an_unattended_run_sleeps_only_when_something_is_due_and_sigterm_ends_it() {
    let place = Place::new();
    let lineage =
        place.tree.lineage("u.example.org").days_left(5).server("https://127.0.0.1:1/dir").standalone(1).write();
    let mut child = place
        .command(&["renew"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert!(line.starts_with("Non-interactive renewal: random delay of "), "{line}");
    // Nothing is locked meanwhile.
    place.run(&["delete", "--cert-name", "u.example.org"]).ends_with(0);
    assert!(!lineage.conf.exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn renew_as_json() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    obtain(&place, &ca, &["-d", "j.example.org"]).ends_with(0);
    fs::write(place.tree.config_dir().join("renewal/broken.conf"), "[renewalparams\n").unwrap();
    let run = place.run_trusting(&ca, &["renew", "--force-renewal", "--json"]).ends_with(1);
    let document = run.json();
    assert_eq!(document["renewed"][0]["name"], "j.example.org");
    assert_eq!(document["renewed"][0]["version"], 2);
    assert_eq!(document["failed"][0]["name"], "broken");
    assert!(document["failed"][0]["cure"].is_string());
    assert!(run.stderr.contains("broken.conf is broken."), "{}", run.stderr);
}
