//! What comes, how everything is, and what is pending: `plan`, `status`, `deploy`, and what `renew -v` says of them.

use std::fs;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

fn certonly(place: &Place, ca: &Pebble, more: &[&str]) -> Run {
    let port = ca.http_port().to_string();
    let mut arguments = vec!["certonly", "-n", "--agree-tos", "--standalone", "--http-01-port", &port];
    arguments.extend(more);
    place.run_at(ca, &arguments)
}

fn of<'a>(document: &'a Value, name: &str) -> &'a Value {
    let lineages = document["lineages"].as_array().unwrap();
    lineages.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {document}"))
}

/// Certificates of every kind, and nobody to ask.
fn several(place: &Place) {
    let server = "https://127.0.0.1:1/dir";
    place.tree.lineage("late.example.org").days_left(80).server(server).write();
    place.tree.lineage("due.example.org").days_left(20).server(server).write();
    place.tree.lineage("gone.example.org").days_left(-3).server(server).write();
    place.tree.lineage("never.example.org").days_left(3).server(server).param("autorenew", "False").write();
    place.tree.lineage("own.example.org").days_left(40).server(server).top("renew_before_expiry", "20 days").write();
    let broken = place.tree.lineage("broken.example.org").write();
    fs::remove_file(broken.live.join("cert.pem")).unwrap();
    fs::write(broken.live.join("cert.pem"), "copied").unwrap();
    fs::create_dir(place.tree.config_dir().join("live/orphan.example.org")).unwrap();
}

#[test]
fn the_plan_is_in_the_order_of_what_comes_and_says_why() {
    let place = Place::new();
    several(&place);
    let run = place.run(&["plan"]).ends_with(0);
    let order = [
        "gone.example.org: due now, since",
        "due.example.org: due now, since",
        "own.example.org: due at ",
        "late.example.org: due at ",
        "never.example.org: never due",
        "These cannot be renewed as they stand:\n  broken.example.org:",
    ];
    let places: Vec<_> =
        order.iter().map(|text| run.stdout.find(text).unwrap_or_else(|| panic!("{text}\n{}", run.stdout))).collect();
    assert!(places.is_sorted(), "{}", run.stdout);
    assert!(run.stdout.contains("  Why:        renew_before_expiry = 20 days in the conf\n"), "{}", run.stdout);
    assert!(run.stdout.contains("It is assumed that certkit is\nrun every 12 hours"), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'));

    let document = place.run(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "gone.example.org")["state"], "due");
    assert_eq!(of(&document, "own.example.org")["reason"], "renew-before-expiry");
    assert_eq!(of(&document, "never.example.org")["at"], Value::Null);
    assert_eq!(of(&document, "broken.example.org")["state"], "broken");

    let run = place.run(&["plan", "--cert-name", "due.example.org"]).ends_with(0);
    assert!(run.stdout.contains("due.example.org: due now") && !run.stdout.contains("gone.example.org"));
    let run = place.run(&["plan", "--cert-name", "x.example.org"]).ends_with(1);
    assert!(run.stderr.contains("No certificate found with name x.example.org"), "{}", run.stderr);
    assert!(
        place.run(&["plan", "--cert-name", "broken.example.org"]).ends_with(0).stdout.contains("  broken.example.org:")
    );
}

#[test]
fn the_status_has_problems_first_and_no_opinion_in_its_exit_status() {
    let place = Place::new();
    several(&place);
    let run = place.run(&["status"]).ends_with(0);
    let headline = "6 certificates: 1 broken, 1 expired, 1 overdue, 3 ok.";
    assert!(run.stdout.starts_with(headline), "{}", run.stdout);
    let table =
        run.stdout.lines().skip_while(|line| !line.starts_with("Certificate")).filter(|line| !line.starts_with(' '));
    let first_words: Vec<&str> = table.filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "Certificate",
        "broken.example.org",
        "gone.example.org",
        "due.example.org",
        "own.example.org",
        "late.example.org",
        "never.example.org",
        "",
        "Problems:",
    ];
    assert_eq!(first_words[..9], expected, "{}", run.stdout);
    assert!(
        run.stdout.contains("  It expired on ") && run.stdout.contains("--cert-name gone.example.org"),
        "{}",
        run.stdout
    );
    assert!(
        !run.stdout.contains('\u{1b}') && run.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        run.stdout
    );
    let mut wide = place.command(&["status"]);
    let wide = Run::of(wide.env("COLUMNS", "160").env("LC_ALL", "C.UTF-8").output().unwrap()).ends_with(0);
    assert!(wide.stdout.contains("━") && wide.stdout.lines().any(|line| line.chars().count() > 100), "{}", wide.stdout);
    assert!(run.stdout.contains("  live/orphan.example.org: a live directory without a renewal"), "{}", run.stdout);
    let document = place.run(&["status", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "gone.example.org")["states"], json!(["expired", "due"]));
    assert_eq!(of(&document, "late.example.org")["state"], "ok");
    assert!(of(&document, "broken.example.org")["error"].is_string());
    let run = place.run(&["status", "--cert-name", "late.example.org"]).ends_with(0);
    assert!(run.stdout.starts_with("1 certificate: it is well."), "{}", run.stdout);
    assert_eq!(run.stdout.lines().filter(|line| line.contains(".example.org")).count(), 1, "{}", run.stdout);

    let file = place.folder().join("file");
    fs::write(&file, "").unwrap();
    for command in ["status", "plan"] {
        place.run(&[command, "--config-dir", file.to_str().unwrap()]).ends_with(1);
        place.run(&[command, "--config-dir", "/nonexistent/certkit"]).ends_with(0);
    }
}

#[test]
fn the_renewals_to_come_are_foretold_with_what_is_too_slow_for_them() {
    let place = Place::new();
    let server = "https://acme-v02.api.letsencrypt.org/directory";
    place.tree.lineage("a.example.org").days_left(60).server(server).write();
    place.tree.lineage("b.example.org").days_left(80).server(server).top("renew_before_expiry", "30 days").write();
    let root = place.folder().join("root");
    fs::create_dir_all(root.join("etc/cron.d")).unwrap();
    fs::write(root.join("etc/cron.d/monthly"), "0 3 1 * * root certbot renew\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = place.command(&[&["plan"], more].concat());
        Run::of(command.env("CERTKIT_TIMER_ROOT", &root).output().unwrap())
    };
    let shown = run(&["--until", "100d", "--assume-lifetime", "45d"]).ends_with(0).stdout;
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "as if every attempt succeeds and every new certificate lives for 45 days: ",
        "New certificates that live for 45 days, for 2 certificates here:",
        "comes only every 31 days, which leaves no second try",
        "renew_before_expiry = 30 days makes it be renewed every 15 days (b.example.org)",
        "Against the limits of Let's Encrypt",
    ] {
        assert!(flat.contains(expected), "{expected}\n{shown}");
    }
    let document = run(&["--until", "100d", "--json"]).ends_with(0).json();
    let renewals = document["forecast"]["renewals"].as_array().unwrap();
    assert_eq!(renewals[0]["name"], "a.example.org");
    assert!(document["changes"].is_array() && document["lineages"].is_array());
    for wrong in [&["--until", "1999-01-01"][..], &["--until", "soon"], &["--assume-lifetime", "0d"]] {
        assert!(run(wrong).ends_with(2).stderr.contains("what to do: "), "{wrong:?}");
    }
    let plain = run(&["--json"]).ends_with(0).json();
    assert_eq!((&plain["forecast"], &plain["changes"]), (&Value::Null, &Value::Null));
}

#[test]
fn settings_that_cannot_be_used_are_told_with_their_own_cure() {
    let place = Place::new();
    place.tree.lineage("s.example.org").write();
    let own = place.tree.config_dir().join("certkit/lineages");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("s.example.org.toml"), "renewal_informatoin = false\n").unwrap();
    for command in ["plan", "status"] {
        let document = place.run(&[command, "--json"]).ends_with(0).json();
        let one = of(&document, "s.example.org");
        assert!(one["error"].as_str().unwrap().contains("renewal_informatoin"), "{one}");
        assert!(!one["cure"].as_str().unwrap().contains("certkit delete"), "{one}");
        if command == "status" {
            assert_eq!((&one["state"], one["not_after"].is_string()), (&json!("settings"), true), "{one}");
        }
    }
    let run = place.run(&["status"]).ends_with(0);
    assert!(run.stdout.contains(" settings ") && run.stdout.contains(" d "), "{}", run.stdout);
    let run = place.run(&["renew", "--no-random-sleep-on-renew"]).ends_with(1);
    assert!(run.stderr.contains("The settings of s.example.org cannot be used.\n"), "{}", run.stderr);
    assert!(run.stderr.contains("s.example.org.toml cannot be used: line 1: "), "{}", run.stderr);
    assert!(run.stderr.contains("What to do: correct the line; `certkit config check` tells"), "{}", run.stderr);
    assert!(!run.stderr.contains("certkit delete") && !run.stderr.contains(".conf"), "{}", run.stderr);
    assert!(run.stdout.contains("the following settings cannot be used:\n"), "{}", run.stdout);
    assert!(!run.stdout.contains("configurations were invalid"), "{}", run.stdout);
    fs::write(own.join("s.example.org.toml"), "").unwrap();
    fs::write(place.tree.config_dir().join("certkit/settings.toml"), "run_interval = \"6 hours\"\n").unwrap();
    let run = place.run(&["plan"]).ends_with(0);
    assert!(run.stdout.contains("run every 6 hours\n(run_interval: certkit/settings.toml, line 1)."), "{}", run.stdout);
    fs::write(place.tree.config_dir().join("certkit/settings.toml"), "run_interval = 0\n").unwrap();
    // The certificates are shown all the same. A question was asked of the status; the plan cannot be carried out.
    for (command, status) in [("status", 0), ("plan", 1)] {
        for more in [&[][..], &["--cert-name", "s.example.org"]] {
            let run = place.run(&[&[command], more].concat()).ends_with(status);
            assert!(run.stdout.contains("s.example.org"), "{}", run.stdout);
            assert!(run.stdout.contains("What to do: write for example `run_interval ="), "{}", run.stdout);
        }
        let document = place.run(&[command, "--json"]).ends_with(status).json();
        assert_eq!(document["problems"][0]["code"], "settings-unusable", "{document}");
        assert!(document["problems"][0]["what"].as_str().unwrap().contains("run_interval"), "{document}");
        assert_eq!(of(&document, "s.example.org")["error"], Value::Null);
    }
}

#[test]
fn what_failed_is_failing_and_held_and_says_for_how_long() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let nobody = testkit::ports::free_port();
    place.tree.lineage("f.example.org").days_left(5).server(&ca.directory_url()).standalone(nobody).write();
    place.run_trusting(&ca, &["renew", "--no-random-sleep-on-renew"]).ends_with(1);

    let document = place.run(&["plan", "--json"]).ends_with(0).json();
    let one = of(&document, "f.example.org");
    assert_eq!((&one["state"], &one["held"]["by"]), (&json!("held"), &json!("challenge-failed")));
    assert_eq!((&one["held"]["failures"], &one["held"]["directory"]), (&json!(1), &json!(ca.directory_url())));
    let run = place.run(&["plan"]).ends_with(0);
    assert!(run.stdout.contains("  Held by:    the back-off after a failure at https://127.0.0.1:"), "{}", run.stdout);
    let document = place.run(&["status", "--json"]).ends_with(0).json();
    let one = of(&document, "f.example.org");
    assert_eq!((&one["state"], &one["last_result"]["class"]), (&json!("failing"), &json!("challenge-failed")));
    let run = place.run_trusting(&ca, &["renew", "-v", "--no-random-sleep-on-renew"]).ends_with(1);
    assert!(run.stderr.contains("f.example.org: due since "), "{}", run.stderr);
    assert!(run.stderr.contains("(less than a third of the lifetime is left), waits until "), "{}", run.stderr);
}

#[test]
fn who_wants_to_know_is_told_when_and_why_and_in_which_window() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "w.example.org"]).ends_with(0);
    let next_check = advise(&place, "w.example.org");
    let run = place.run_trusting(&ca, &["renew", "-v"]).ends_with(0);
    let told = format!(
        "(the CA's renewal information); the CA's window is 2030-01-01 00:00:00 UTC to 2030-01-03 00:00:00 UTC; the CA is asked again from {next_check} on."
    );
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    let run = place.run_trusting(&ca, &["renew", "--dry-run", "-v"]).ends_with(0);
    assert!(run.stderr.contains(&told), "what the rules say, and not that it is a dry run: {}", run.stderr);
    let document = place.run_trusting(&ca, &["renew", "--json"]).ends_with(0).json();
    let one = &document["not_due"][0];
    assert_eq!(one["reason"], "renewal-information");
    assert_eq!(one["window"]["start"], "2030-01-01T00:00:00Z");
    assert_eq!(one["window"]["instant"], one["at"]);
    let run = place.run(&["plan"]).ends_with(0);
    assert!(run.stdout.contains("  Explained:  https://ca.example/why\n"), "{}", run.stdout);
    let run = place.run_trusting(&ca, &["renew"]).ends_with(0);
    assert!(!run.stderr.contains("window"), "{}", run.stderr);
}

/// Puts a CA's advice into the memory, as if it had been asked: Pebble has none to give that would lie so far ahead. Gives
/// when it is asked again.
fn advise(place: &Place, name: &str) -> DateTime<Utc> {
    let next_check = (Utc::now() + TimeDelta::hours(12)).trunc_subsecs(0);
    let live = place.tree.config_dir().join("live").join(name).join("cert.pem");
    let document = place.run(&["inspect", "--json", live.to_str().unwrap()]).ends_with(0).json();
    let path = place.tree.config_dir().join("certkit/state").join(format!("{name}.json"));
    let mut memory: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    memory["state"]["renewal_information"] = json!({
        "certificate": document["certificates"][0]["ari_cert_id"],
        "window": { "start": "2030-01-01T00:00:00Z", "end": "2030-01-03T00:00:00Z" },
        "explanation_url": "https://ca.example/why",
        "next_check": next_check,
        "failures": 0,
    });
    fs::write(&path, memory.to_string()).unwrap();
    assert!(Utc::now() < "2029-12-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(), "move the dates of this test");
    next_check
}

#[test]
fn what_is_pending_is_deployed_when_it_is_asked_for() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    assert_eq!(place.run(&["deploy"]).ends_with(0).stdout, "Nothing is pending.\n");
    let allowed = place.folder().join("allowed");
    let hook = format!("test -e {}", allowed.display());
    certonly(&place, &ca, &["-d", "p.example.org", "--deploy-hook", &hook]).ends_with(1);
    certonly(&place, &ca, &["-d", "q.example.org"]).ends_with(0);
    let document = place.run(&["status", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "p.example.org")["state"], "deploy-pending");

    let orders = ca.orders_placed();
    let run = place.run(&["deploy"]).ends_with(1);
    assert!(run.stderr.contains("The following are not done yet for the certificate in use"), "{}", run.stderr);
    assert!(!run.stdout.contains("Nothing is pending"), "{}", run.stdout);
    let document = place.run(&["deploy", "--json"]).ends_with(1).json();
    assert_eq!(document["deploy_pending"][0]["name"], "p.example.org");
    assert_eq!(document["deployed"], json!([]));
    let run = place.run(&["deploy", "--cert-name", "q.example.org"]).ends_with(0);
    assert_eq!(run.stdout, "Nothing is pending.\n");
    let run = place.run(&["deploy", "--cert-name", "x.example.org"]).ends_with(1);
    assert!(run.stderr.contains("No certificate found with name x.example.org"), "{}", run.stderr);

    fs::write(&allowed, "").unwrap();
    let document = place.run(&["deploy", "--json"]).ends_with(0).json();
    assert_eq!(document["deployed"], json!([{ "name": "p.example.org", "version": 1, "served_at": [] }]));
    assert_eq!(document["deploy_pending"], json!([]));
    assert_eq!(place.run(&["deploy"]).ends_with(0).stdout, "Nothing is pending.\n");
    assert_eq!(ca.orders_placed(), orders);
}

#[test]
fn names_that_could_not_be_had_are_remembered_and_can_be_given_up() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "a.example.org"]).ends_with(0);
    ca.set_servfail("b.example.org");
    let more = ["--cert-name", "a.example.org", "-d", "a.example.org,b.example.org"];
    let run = certonly(&place, &ca, &more).ends_with(1);
    assert!(run.stderr.contains("It is remembered that a.example.org shall be for a.example.org, b.example.org: `certkit renew` tries it again"), "{}", run.stderr);
    let document = certonly(&place, &ca, &[&more[..], &["--json"]].concat()).ends_with(1).json();
    assert_eq!(document["wish"]["identifiers"], json!(["a.example.org", "b.example.org"]));
    let run = place.run(&["plan"]).ends_with(0);
    assert!(run.stdout.contains("  Why:        what is asked for differs from the certificate\n"), "{}", run.stdout);
    assert!(run.stdout.contains("  Wished:     as recorded, for a.example.org, b.example.org\n"), "{}", run.stdout);

    let run = certonly(&place, &ca, &["--cert-name", "a.example.org"]).ends_with(0);
    assert!(run.stdout.contains("no action taken"), "{}", run.stdout);
    let document = place.run(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "a.example.org")["state"], "not-due", "{document}");
}

#[test]
fn another_kind_of_key_that_was_configured_is_had_at_the_next_run() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "r.example.org"]).ends_with(0);
    let reconfigure = |more: &[&str]| {
        place.run_trusting(&ca, &[&["reconfigure", "--cert-name", "r.example.org"], more].concat()).ends_with(0)
    };
    // A hook says nothing about the certificate, and neither does the size of an RSA key while it is none.
    for more in [&["--deploy-hook", "true"][..], &["--rsa-key-size", "4096"]] {
        assert!(!reconfigure(more).stdout.contains("The next `certkit renew`"), "{more:?}");
    }
    let run = reconfigure(&["--key-type", "rsa", "--rsa-key-size", "2048"]);
    let certbots = "\nSuccessfully updated configuration.\nChanges will apply when the certificate renews.\n";
    let ours = "The next `certkit renew` renews it, since the certificate differs from its configuration now.\n";
    assert_eq!(run.stdout, format!("{certbots}{ours}"));
    let document = place.run(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "r.example.org")["reason"], "changed");
    let document = place.run(&["history", "--json", "--cert-name", "r.example.org"]).ends_with(0).json();
    let wishes =
        document["events"].as_array().unwrap().iter().filter(|event| event["event"] == "wish-recorded").count();
    assert_eq!(wishes, 1);
    place.run_trusting(&ca, &["renew", "--no-random-sleep-on-renew"]).ends_with(0);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["key_type"], "RSA");
    let document = place.run(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(of(&document, "r.example.org")["state"], "not-due");
}

#[test]
fn names_may_be_left_out_where_the_owner_permits_it() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    ca.set_servfail("b.example.org");
    let names = ["-d", "a.example.org,b.example.org"];
    certonly(&place, &ca, &names).ends_with(1);
    let run = certonly(&place, &ca, &[&names[..], &["--allow-subset-of-names"]].concat());
    let run = run.ends_with(0);
    let told = "names could not be validated and were left out";
    assert_eq!(run.stderr.matches(told).count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("b.example.org"), "{}", run.stderr);
    for how_much in ["-q", "-v"] {
        let run = place.run_trusting(&ca, &["renew", "--force-renewal", how_much]).ends_with(0);
        assert_eq!(run.stderr.matches(told).count(), 1, "{how_much}: {}", run.stderr);
        assert!(!run.stderr.contains("a.example.org: a.example.org: "), "{}", run.stderr);
    }
    let run = place.run(&["history"]).ends_with(0);
    assert!(run.stdout.contains(told) && !run.stdout.contains("a.example.org: names"), "{}", run.stdout);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["identifiers"], json!(["a.example.org"]));
    let conf = fs::read_to_string(place.tree.config_dir().join("renewal/a.example.org.conf")).unwrap();
    assert!(conf.contains("allow_subset_of_names = True\n"), "{conf}");
    // The next renewal tries them all again.
    ca.clear_servfail("b.example.org");
    place.run_trusting(&ca, &["renew", "--force-renewal"]).ends_with(0);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["identifiers"], json!(["a.example.org", "b.example.org"]));
}

#[test]
fn what_could_not_be_deployed_is_told_as_what_it_is() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "t.example.org"]).ends_with(0);
    let own = place.tree.config_dir().join("certkit/lineages");
    fs::create_dir_all(&own).unwrap();
    let missing = place.folder().join("missing");
    let targets = format!(
        "[[deploy]]\ncopy = \"{}\"\n[[deploy]]\nreload = \"x.service\"\ncheck = \"echo unhappy >&2; exit 1\"\n",
        missing.display()
    );
    fs::write(own.join("t.example.org.toml"), targets).unwrap();
    let run = place.run(&["deploy"]).ends_with(1);
    let copy = format!("copy to {} failed: ", missing.display());
    for told in [&copy, "(nothing was reloaded) failed with status 1: unhappy", "keeps the certificate that it has"] {
        assert!(run.stderr.contains(told), "{told}\n{}", run.stderr);
    }
    assert!(run.stderr.contains("The following deploys failed:\n  t.example.org: copy to "), "{}", run.stderr);
    assert!(!run.stderr.contains("by hand") && !run.stderr.contains("deploy-hook"), "{}", run.stderr);
    let document = place.run(&["deploy", "--json"]).ends_with(1).json();
    assert!(document["hooks"][0]["failure"].as_str().unwrap().starts_with(&copy), "{document}");
    assert!(document["hooks"][1]["failure"].as_str().unwrap().contains("nothing was reloaded"), "{document}");
    let run = place.run(&["history"]).ends_with(0);
    let twice = format!("copy to {0}: copy to {0}", missing.display());
    assert!(run.stdout.contains("could not be deployed: copy to ") && !run.stdout.contains(&twice), "{}", run.stdout);
}
