//! Commands that only read.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use crate::support::{Place, Run};

#[test]
fn listing_writes_nothing_at_all() {
    let place = Place::new();
    place.tree.lineage("e.example.org").days_left(48).write();
    fs::create_dir(place.tree.config_dir().join("live/a.example.com")).unwrap();
    let before = place.tree.snapshot();
    for command in ["certificates", "versions", "history", "plan", "status"] {
        place.run(&[command]).ends_with(0);
    }
    assert_eq!(place.tree.snapshot(), before);
    let left: Vec<_> = fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["etc"], "no log, no work directory");
}

#[test]
fn certificates_lists_good_broken_and_orphans() {
    let place = Place::new();
    let good = place.tree.lineage("e.example.org").names(["e.example.org", "www.e.example.org"]).days_left(48).write();
    let broken = place.tree.lineage("k.example.org").write();
    fs::remove_file(broken.live.join("cert.pem")).unwrap();
    fs::write(broken.live.join("cert.pem"), "copied").unwrap();
    fs::write(place.tree.config_dir().join("renewal/empty.conf"), "").unwrap();
    fs::create_dir(place.tree.config_dir().join("live/a.example.com")).unwrap();

    let run = place.run(&["certificates"]).ends_with(0);
    for expected in [
        "Found the following certs:\n  Certificate Name: e.example.org\n    Serial Number: ",
        "    Identifiers: e.example.org www.e.example.org\n",
        "(VALID: 47 days)\n",
        "\nThe following renewal configurations were invalid:\n",
        "renewal/empty.conf\n",
        "renewal/k.example.org.conf\n",
        "\nProblems:\n  live/a.example.com: ",
    ] {
        assert!(run.stdout.contains(expected), "{expected}\n{}", run.stdout);
    }

    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    let lineages = document["lineages"].as_array().unwrap();
    assert_eq!(lineages.len(), 3);
    assert_eq!(lineages[0]["name"], "e.example.org");
    assert_eq!(lineages[0]["status"], "valid");
    assert_eq!(lineages[0]["days_left"], 47);
    assert_eq!(lineages[0]["renewal"]["due"], false);
    assert_eq!(lineages[0]["paths"]["fullchain"], good.live.join("fullchain.pem").to_str().unwrap());
    assert_eq!(lineages[1]["name"], "empty");
    assert_eq!(lineages[1]["status"], "broken");
    assert!(lineages[2]["error"].as_str().unwrap().contains("cert.pem"), "{}", lineages[2]);
    assert_eq!(document["problems"][0]["path"], "live/a.example.com");

    let filtered = place.run(&["certificates", "-d", "WWW.e.example.org"]).ends_with(0);
    assert!(filtered.stdout.contains("Found the following matching certs:\n  Certificate Name: e.example.org\n"));
    let quiet = place.run(&["certificates", "-q"]).ends_with(0);
    assert_eq!(quiet.stdout, "");
    assert!(quiet.stderr.contains("k.example.org.conf is broken"), "{}", quiet.stderr);
}

#[test]
fn authenticators_that_cannot_be_done_are_told_before_they_are_due() {
    let place = Place::new();
    place.tree.lineage("d.example.org").days_left(80).param("authenticator", "dns-cloudflare").write();
    let run = place.run(&["certificates"]).ends_with(0);
    assert!(run.stdout.contains("d.example.org: this way of validating names"), "{}", run.stdout);
    assert!(run.stdout.contains("certkit reconfigure --cert-name d.example.org --webroot -w DIR"), "{}", run.stdout);
}

#[test]
fn a_missing_config_dir_is_an_empty_store_and_an_unreadable_file_is_none() {
    let place = Place::new();
    let run = Run::of(place.command(&["certificates", "--config-dir", "/nonexistent/certkit"]).output().unwrap())
        .ends_with(0);
    assert!(run.stdout.contains("No certificates found."));
    let file = place.folder().join("file");
    fs::write(&file, "").unwrap();
    let run = place.run(&["certificates", "--config-dir", file.to_str().unwrap()]).ends_with(1);
    assert!(run.stderr.contains("what to do:"), "{}", run.stderr);
    let document = place.run(&["certificates", "--json", "--config-dir", file.to_str().unwrap()]).ends_with(1).json();
    assert!(document["error"].is_string());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    for number in 0..40 {
        place.tree.lineage(&format!("n{number}.example.org")).write();
    }
    let mut child = place.command(&["certificates"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn inspect_reads_files_of_any_kind_and_says_what_it_cannot_read() {
    let place = Place::new();
    let lineage = place.tree.lineage("e.example.org").days_left(48).write();
    let fullchain = lineage.live.join("fullchain.pem");
    let run = place.run(&["inspect", fullchain.to_str().unwrap()]).ends_with(0);
    assert!(run.stdout.contains("DNS names: e.example.org"), "{}", run.stdout);
    assert!(run.stdout.contains("Signed by: certificate 2"), "{}", run.stdout);

    let both = place.folder().join("both.pem");
    let key = fs::read_to_string(lineage.live.join("privkey.pem")).unwrap();
    fs::write(&both, format!("text\r\n{key}{}", fs::read_to_string(&fullchain).unwrap())).unwrap();
    let run = place.run(&["inspect", both.to_str().unwrap()]).ends_with(0);
    assert!(
        run.stdout.contains("Private key 1 (EC on secp256r1, 256 bits): belongs to certificate 1\n"),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("BEGIN"), "no key is shown");

    let document = place.run(&["inspect", "--json", both.to_str().unwrap(), "/nonexistent/x.pem"]).ends_with(1).json();
    assert_eq!(document["certificates"][0]["serial"], lineage.serial);
    assert_eq!(document["certificates"][0]["index"], 0);
    assert_eq!(document["certificates"][0]["san_dns"][0], "e.example.org");
    assert_eq!(document["certificates"][1]["is_ca"], true);
    assert_eq!(document["problems"][0]["source"], "/nonexistent/x.pem");

    // Keys are compared with the certificates of all files that are named, and JSON says so, too.
    let other = place.tree.lineage("f.example.org").write();
    let files = [lineage.live.join("cert.pem"), lineage.live.join("privkey.pem"), other.live.join("privkey.pem")];
    let [cert, own, foreign] = files.each_ref().map(|path| path.to_str().unwrap());
    let run = place.run(&["inspect", cert, own, foreign]).ends_with(0);
    assert!(run.stdout.contains(&format!("belongs to certificate 1 of {cert}\n")), "{run:?}");
    assert!(run.stdout.contains("Private key 1 (EC on secp256r1, 256 bits): belongs to none of these"), "{run:?}");
    let document = place.run(&["inspect", "--json", cert, own, foreign]).ends_with(0).json();
    let keys = serde_json::json!([
        { "source": own, "index": 0, "key_type": "EC", "key_bits": 256, "belongs_to": { "source": cert, "index": 0 } },
        { "source": foreign, "index": 0, "key_type": "EC", "key_bits": 256, "belongs_to": null },
    ]);
    assert_eq!(document["keys"], keys, "{document:#}");

    let garbage = place.folder().join("garbage");
    fs::write(&garbage, [0x30, 0x82, 0xff, 0xff, 0, 27]).unwrap();
    let run = place.run(&["inspect", garbage.to_str().unwrap()]).ends_with(1);
    assert!(run.stderr.contains("garbage"), "{}", run.stderr);
    place.run(&["inspect", "127.0.0.1:1"]).ends_with(1);
    // What could not be read may be the certificate that was looked for.
    let broken = place.folder().join("broken.pem");
    for block in
        ["-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nMIIB\n"]
    {
        fs::write(&broken, fs::read_to_string(cert).unwrap() + block).unwrap();
        let run = place.run(&["inspect", broken.to_str().unwrap()]).ends_with(1);
        assert!(run.stderr.contains("broken.pem: line ") && run.stdout.contains("Serial"), "{run:?}");
    }
}

#[test]
fn versions_shows_what_the_archive_holds() {
    let place = Place::new();
    let lineage = place.tree.lineage("e.example.org").versions(3).write();
    fs::remove_file(lineage.archive.join("chain1.pem")).unwrap();
    let run = place.run(&["versions", "--cert-name", "e.example.org"]).ends_with(0);
    assert!(run.stdout.contains("1        incomplete (no chain)"), "{}", run.stdout);
    assert!(run.stdout.contains("3        in use"), "{}", run.stdout);
    let document = place.run(&["versions", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["live"], 3);
    assert_eq!(document["lineages"][0]["versions"][1]["complete"], true);
    place.run(&["versions", "--cert-name", "x"]).ends_with(1);
}
