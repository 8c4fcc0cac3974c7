//! The owner's settings: `config check`, and what they change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use testkit::{AccountKeyKind, Pebble, PebbleOptions};

use crate::support::Place;

fn settings(place: &Place, content: &str) {
    let dir = place.tree.config_dir().join("certkit");
    fs::create_dir_all(dir.join("lineages")).unwrap();
    fs::write(dir.join("settings.toml"), content).unwrap();
}

fn own(place: &Place, name: &str, content: &str) {
    let dir = place.tree.config_dir().join("certkit/lineages");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{name}.toml")), content).unwrap();
}

/// The row of a key as its words.
#[track_caller]
fn row(text: &str, key: &str) -> String {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key));
    let line = line.unwrap_or_else(|| panic!("no {key} in\n{text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn value<'v>(values: &'v Value, key: &str) -> &'v Value {
    let found = values.as_array().unwrap().iter().find(|one| one["key"] == key);
    found.unwrap_or_else(|| panic!("no {key} in {values}"))
}

#[test]
fn without_files_the_defaults_are_shown_and_nothing_is_written() {
    let place = Place::new();
    let before = place.tree.snapshot();
    let run = place.run(&["config", "check"]).ends_with(0);
    assert_eq!(row(&run.stdout, "live_switch"), "live_switch exchange default");
    assert_eq!(row(&run.stdout, "hook_time_limit"), "hook_time_limit 1 hour default");
    assert_eq!(row(&run.stdout, "run_interval"), "run_interval none default");
    assert_eq!(row(&run.stdout, "metrics_textfile"), "metrics_textfile none default");
    assert_eq!(row(&run.stdout, "metrics_per_certificate"), "metrics_per_certificate true default");
    assert!(run.stdout.ends_with("\nNo problems were found.\n") && run.stderr.is_empty(), "{run:?}");
    let quiet = place.run(&["config", "check", "-q"]).ends_with(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(place.tree.snapshot(), before);
    let left: Vec<_> = fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["etc"], "no log, no work directory");
}

#[test]
fn every_value_is_shown_with_where_it_stands() {
    let place = Place::new();
    let server = "https://acme.zerossl.com/v2/DV90";
    place.tree.account(server, AccountKeyKind::EcP256);
    place
        .tree
        .lineage("a.example.org")
        .server("https://ca.example/dir")
        .deploy_hook("systemctl reload nginx")
        .param("key_type", "rsa")
        .param("rsa_key_size", "4096")
        .top("renew_before_expiry", "10 days")
        .write();
    place.tree.lineage("b.example.org").write();
    settings(
        &place,
        "fallback_servers = [\"zerossl\"]\nlive_switch = \"links\"\nhook_time_limit = 90\nmetrics_textfile = \"/srv/certkit.prom\"\n",
    );
    own(
        &place,
        "a.example.org",
        "live_switch = \"exchange\"\nhook_time_limit = \"5 minutes\"\n[[deploy]]\ncombined = \"/etc/haproxy/a.pem\"\nmode = \"0640\"\n",
    );
    let ini = place.tree.config_dir().join("cli.ini");
    fs::write(&ini, "# ours\nhook-time-limit = 30\npost-hook = true\nserver = letsencrypt-staging\nreuse-key = true\n")
        .unwrap();
    let run = place.run(&["config", "check", "--user-agent-comment", "mine"]).ends_with(0);
    let ini = ini.display();
    let (global, rest) = run.stdout.split_once("\na.example.org\n").unwrap();
    let (a, b) = rest.split_once("\nb.example.org\n").unwrap();
    for (text, expected) in [
        (global, "fallback_servers zerossl certkit/settings.toml, line 1".to_owned()),
        (global, "live_switch links certkit/settings.toml, line 2".to_owned()),
        (global, format!("hook_time_limit 30 seconds {ini}, line 2")),
        (global, "user_agent_comment mine --user-agent-comment".to_owned()),
        (global, "metrics_textfile /srv/certkit.prom certkit/settings.toml, line 4".to_owned()),
        (
            global,
            format!(
                "server https://acme-staging-v02.api.letsencrypt.org/directory (for new certificates) {ini}, line 4"
            ),
        ),
        (a, "live_switch exchange certkit/lineages/a.example.org.toml, line 1".to_owned()),
        // A flag, and cli.ini holds flags, is for every certificate.
        (a, format!("hook_time_limit 30 seconds {ini}, line 2")),
        (a, "deploy combined /etc/haproxy/a.pem (mode 0640) certkit/lineages/a.example.org.toml, line 4".to_owned()),
        (a, "server https://ca.example/dir renewal/a.example.org.conf".to_owned()),
        (a, "key_type rsa renewal/a.example.org.conf".to_owned()),
        (a, "rsa_key_size 4096 renewal/a.example.org.conf".to_owned()),
        (a, "deploy_hook systemctl reload nginx renewal/a.example.org.conf".to_owned()),
        (a, "renew_before_expiry 10 days renewal/a.example.org.conf".to_owned()),
        (a, format!("post_hook true {ini}, line 3")),
        (a, format!("reuse_key true {ini}, line 5")),
        (b, "live_switch links certkit/settings.toml, line 2".to_owned()),
        (b, "authenticator webroot renewal/b.example.org.conf".to_owned()),
        (b, "autorenew true default".to_owned()),
    ] {
        let key = expected.split(' ').next().unwrap();
        assert_eq!(row(text, key), expected);
    }
    let document = place.run(&["config", "check", "--json", "--cert-name", "a.example.org"]).ends_with(0).json();
    assert_eq!(document["lineages"].as_array().unwrap().len(), 1);
    let values = &document["lineages"][0]["values"];
    assert_eq!(value(values, "deploy")["value"]["combined"], "/etc/haproxy/a.pem");
    assert_eq!(value(values, "reuse_key")["value"], true);
    assert_eq!(value(&document["values"], "hook_time_limit")["value"], 30);
    assert_eq!(value(&document["values"], "hook_time_limit")["origin"], "cli-ini");
    assert_eq!(value(values, "key_type")["origin"], "conf");
    assert_eq!(document["problems"], serde_json::json!([]));
    let run = place.run(&["config", "check", "--cert-name", "c.example.org"]).ends_with(1);
    assert!(run.stderr.contains("No certificate found with name c.example.org"), "{}", run.stderr);
}

#[test]
fn all_problems_of_all_files_are_told_with_file_line_and_cure() {
    let place = Place::new();
    for name in ["a.example.org", "b.example.org"] {
        place.tree.lineage(name).write();
    }
    fs::write(place.tree.config_dir().join("renewal/broken.conf"), "").unwrap();
    settings(&place, "fallback_servers = [\"letsencrpyt\", \"zerossl\"]\nca_bundles = [\"/nonexistent/roots.pem\"]\n");
    own(&place, "a.example.org", "live_swich = \"links\"\n\ndeploy_hook = \"x\"\n");
    own(&place, "broken", "x = 1\n");
    own(&place, "gone.example.org", "");
    let run = place.run(&["config", "check"]).ends_with(1);
    let dir = place.tree.config_dir().join("certkit").display().to_string();
    for expected in [
        "\n8 problems:\n".to_owned(),
        format!(
            "{dir}/settings.toml:1: `letsencrpyt` is neither the URL of an ACME directory nor one of the known names"
        ),
        format!(
            "{dir}/settings.toml:1: there is no account for `zerossl`\n    What to do: register one: certkit register --server https://acme.zerossl.com/v2/DV90 --agree-tos --eab-kid"
        ),
        format!("{dir}/settings.toml:2: "),
        format!(
            "{dir}/lineages/a.example.org.toml:1: `live_swich` is not known\n    What to do: did you mean `live_switch`?"
        ),
        format!("{dir}/lineages/a.example.org.toml:3: `deploy_hook` belongs to renewal/a.example.org.conf"),
        "What to do: certkit reconfigure --cert-name a.example.org --deploy-hook COMMAND\n".to_owned(),
        format!("{dir}/lineages/broken.toml:1: `x` is not known"),
        format!("{dir}/lineages/gone.example.org.toml: there is no renewal/gone.example.org.conf"),
        "renewal/broken.conf: the renewal configuration cannot be used".to_owned(),
    ] {
        assert!(run.stderr.contains(&expected), "{expected}\n{}", run.stderr);
    }
    assert_eq!(run.stderr.matches("What to do: ").count(), 8, "{}", run.stderr);
    let (_, b) = run.stdout.split_once("\nb.example.org\n").unwrap();
    assert_eq!(row(b, "live_switch"), "live_switch exchange default");
    assert!(!run.stdout.contains("No problems"), "{}", run.stdout);
    let document = place.run(&["config", "check", "--json"]).ends_with(1).json();
    assert!(document["lineages"][0]["values"].is_null());
    let codes: Vec<_> =
        document["problems"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    let expected = [
        "unknown-server",
        "no-account",
        "ca-bundle",
        "unknown-key",
        "belongs-to-conf",
        "broken-lineage",
        "unknown-key",
        "orphan",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_broken_global_file_is_shown_with_the_others_and_fails_what_would_order() {
    let place = Place::new();
    place.tree.lineage("a.example.org").days_left(1).write();
    settings(&place, "parallel_orders = 0\n");
    own(&place, "a.example.org", "y = 1\n");
    let run = place.run(&["config", "check"]).ends_with(1);
    assert!(run.stderr.contains("settings.toml:1:") && run.stderr.contains("a.example.org.toml:1:"), "{}", run.stderr);
    assert!(!run.stdout.contains("parallel_orders"), "{}", run.stdout);
    let before = place.tree.snapshot();
    let state = place.tree.config_dir().join("certkit/state");
    for arguments in [
        &["renew", "--no-random-sleep-on-renew"][..],
        &["certonly", "--standalone", "-d", "n.example.org", "--agree-tos"],
        &["register", "--agree-tos"],
    ] {
        let run = place.run(arguments).ends_with(1);
        assert!(
            run.stderr.contains("settings.toml cannot be used: line 1: `parallel_orders` cannot be 0"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("what to do: write a number from 1 to 64"), "{}", run.stderr);
    }
    assert!(!state.exists());
    assert_eq!(place.tree.snapshot(), before);
    // Looking does not need them.
    place.run(&["certificates"]).ends_with(0);
}

#[test]
fn config_takes_one_known_word() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["config"][..], "`certkit config` needs check"),
        (&["config", "chekc"], "does not take `chekc`"),
        (&["config", "check", "a.example.org"], "does not take `a.example.org`"),
    ] {
        let run = place.run(arguments).ends_with(2);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
    }
    let help = place.run(&["config", "--help"]).ends_with(0);
    assert!(help.stdout.contains("Usage: certkit config check [FLAGS]"), "{}", help.stdout);
}

#[test]
fn roots_of_the_settings_are_trusted_and_a_flag_takes_their_place() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let server = ca.directory_url();
    let register = ["register", "--agree-tos", "-n", "--server", &server];
    place.run(&register).ends_with(1);
    settings(&place, &format!("ca_bundles = [\"{}\"]\n", ca.ca_bundle().display()));
    place.run(&[&register[..], &["--ca-bundle", "/nonexistent"]].concat()).ends_with(1);
    place.run(&register).ends_with(0);
    // Now it has an account, and can be a fallback.
    place.tree.lineage("a.example.org").write();
    own(&place, "a.example.org", &format!("fallback_servers = [\"{server}\"]\n"));
    place.run(&["config", "check"]).ends_with(0);
    // Who cannot use the settings can look at a server all the same.
    settings(&place, "x = 1\n");
    let address = server.trim_start_matches("https://").split('/').next().unwrap().to_owned();
    let run = place.run(&["inspect", &address]);
    assert!(run.stderr.contains("warning: the settings are left out") && run.stdout.contains("Serial"), "{run:?}");
}

#[test]
fn hooks_end_when_the_settings_say_so_unless_a_flag_says_otherwise() {
    let place = Place::new();
    place.tree.lineage("a.example.org").versions(2).days_left(85).deploy_hook("sleep 3").write();
    settings(&place, "hook_time_limit = 1\nlive_switch = \"links\"\n");
    let live = place.tree.config_dir().join("live/a.example.org");
    let inode = || fs::metadata(&live).unwrap().ino();
    let before = inode();
    let run = place.run(&["rollback", "--cert-name", "a.example.org"]).ends_with(1);
    assert!(run.stderr.contains("sleep 3"), "{}", run.stderr);
    assert_eq!(inode(), before, "the links were replaced, and not the folder");
    place.run(&["rollback", "--cert-name", "a.example.org", "--hook-time-limit", "60"]).ends_with(0);
}

#[test]
fn delete_names_what_was_put_beside_the_versions_before_and_after() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example.org").write();
    let (mine, old) = (lineage.archive.join("haproxy\u{1b}.pem"), lineage.archive.join(".cert2.pem.certkit-tmp"));
    for path in [&mine, &old] {
        fs::write(path, "mine").unwrap();
    }
    let shown = format!("{}/haproxy\\u{{1b}}.pem", lineage.archive.display());
    // At a terminal it is asked first, and nothing is deleted without a yes.
    let certkit = place.command(&["delete", "--cert-name", "a.example.org"]);
    let words = std::iter::once(certkit.get_program()).chain(certkit.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::null());
    let output = terminal.output().expect("script is missing: install bsdutils");
    let asked = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(asked.contains(&format!("So will be what was put beside its versions: {shown}.")), "{asked}");
    assert!(asked.contains("nothing was deleted") && mine.exists() && lineage.conf.exists(), "{asked}");
    let run = place.run(&["delete", "-n", "--cert-name", "a.example.org"]).ends_with(0);
    assert!(
        run.stdout.ends_with(&format!("Deleted with it what had been put beside its versions: {shown}.\n")),
        "{run:?}"
    );
    assert!(!run.stdout.contains("certkit-tmp") && !lineage.archive.exists(), "{run:?}");
    let other = place.tree.lineage("b.example.org").write();
    fs::write(other.archive.join("notes"), "mine").unwrap();
    let document = place.run(&["delete", "--cert-name", "b.example.org", "--json"]).ends_with(0).json();
    assert_eq!(document["beside_versions"], serde_json::json!([other.archive.join("notes")]), "{document}");
}

#[test]
fn delete_takes_the_settings_of_a_certificate_along() {
    let place = Place::new();
    place.tree.lineage("a.example.org").write();
    own(&place, "a.example.org", "");
    own(&place, "b.example.org", "");
    let document = place.run(&["delete", "--cert-name", "a.example.org", "--json"]).ends_with(0).json();
    let file = |name: &str| place.tree.config_dir().join(format!("certkit/lineages/{name}.toml"));
    let removed = document["removed"].as_array().unwrap();
    assert!(removed.iter().any(|path| path == file("a.example.org").to_str().unwrap()), "{document}");
    assert!(!file("a.example.org").exists() && file("b.example.org").exists());
    // Settings that were left over have a name, but no certificate.
    place.run(&["delete", "--cert-name", "b.example.org"]).ends_with(0);
    assert!(!file("b.example.org").exists());
}
