use std::ffi::OsString;
use std::path::PathBuf;

use certkit_core::settings::{Origin, Settings};
use certkit_core::store::{ConfValue, LiveSwitch};

use super::*;

/// An environment without files, so that the machine's own cli.ini does not count.
fn nowhere() -> Environment {
    Environment { config_dir: Some(PathBuf::from("/nonexistent/certkit")), ..Environment::default() }
}

fn read(line: &str) -> Result<Invocation, ParseError> {
    let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    Invocation::read(&arguments, nowhere())
}

fn well(line: &str) -> Invocation {
    match read(line) {
        Ok(invocation) => invocation,
        Err(error) => panic!("{line}: {error:?}"),
    }
}

fn refusal(line: &str) -> String {
    match read(line) {
        Err(error) => format!("{} | {}", error.what, error.cure.unwrap_or_default()),
        Ok(_) => panic!("{line} was accepted"),
    }
}

/// With a cli.ini in a config dir of its own.
fn with_ini(ini: &str, line: &str) -> Result<Invocation, ParseError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cli.ini"), ini).unwrap();
    let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let environment = Environment { config_dir: Some(dir.path().to_owned()), ..Environment::default() };
    Invocation::read(&arguments, environment)
}

fn param(invocation: &Invocation, key: &str) -> Option<ConfValue> {
    let edits = invocation.edits().unwrap();
    edits.params.into_iter().find(|(name, _)| name == key).and_then(|(_, value)| value)
}

fn text(value: &str) -> Option<ConfValue> {
    Some(ConfValue::Text(value.to_owned()))
}

#[test]
fn the_command_may_stand_anywhere() {
    for line in [
        "renew -q -n --cert-name a",
        "-q -n --cert-name a renew",
        "-q renew -n --cert-name=a",
        "--cert-name a -nq renew",
    ] {
        let invocation = well(line);
        assert_eq!(invocation.word(), Some("renew"), "{line}");
        assert!(invocation.typed.general.quiet && invocation.typed.general.non_interactive, "{line}");
        assert_eq!(invocation.typed.selection.cert_name.as_deref(), Some("a"), "{line}");
    }
    // The value of a flag is no command.
    let invocation = well("--cert-name renew certificates");
    assert_eq!(invocation.word(), Some("certificates"));
}

#[test]
fn operands_may_be_mixed_with_flags() {
    let invocation = well("inspect a.pem --json b.pem");
    assert_eq!(invocation.operands(), ["a.pem", "b.pem"]);
    assert!(invocation.typed.general.json);
}

#[test]
fn cron_lines_that_people_have() {
    for line in [
        "-q renew",
        "renew --quiet --no-random-sleep-on-renew",
        "renew --no-self-upgrade --quiet",
        "renew -n --agree-tos --deploy-hook true",
        "renew --renew-hook true --post-hook true --pre-hook true",
        "renew --renew-by-default -vv --debug --text -t",
        "renew --force-renew --cert-name x",
        "certonly --webroot -w /srv -d a.example --agree-tos -m a@example.org --no-eff-email -n --keep",
        "certonly --standalone -d a.example,b.example --reinstall --rsa-key-size 4096 --test-cert",
        "certonly -a webroot -w /srv --domain a.example --expand --noninteractive --no-redirect --installer null",
        "certonly --standalone --preferred-challenges http --http-01-port 8080 --https-port 8443 -d a.example",
        "revoke --cert-path /x --reason keyCompromise --no-delete-after-revoke",
    ] {
        well(line);
    }
}

#[test]
fn prefixes_and_aliases() {
    let invocation = well("renew --force-ren --cert-n x --non-i");
    assert!(invocation.typed.renewal.force_renewal && invocation.typed.general.non_interactive);
    assert!(well("renew --renew-by-default").typed.renewal.force_renewal);
    assert!(well("renew --test-cert").typed.general.staging);
    assert!(well("certonly --keep").typed.renewal.keep_until_expiring);
    assert_eq!(well("certonly --domains a,b -d c --domain=d").typed.selection.domains, ["a,b", "c", "d"]);
    assert_eq!(well("renew --renew-hook x").typed.hooks.deploy_hook.as_deref(), Some("x"));
    // Ambiguous: --webroot is a flag by itself, but --pre could be several.
    assert!(well("certonly --webroot").typed.validation.webroot);
    assert!(refusal("renew --pref x").contains("--pref"));
}

#[test]
fn the_last_of_two_counts() {
    let invocation = well("renew --cert-name a --cert-name b --reuse-key --no-reuse-key");
    assert_eq!(invocation.typed.selection.cert_name.as_deref(), Some("b"));
    assert_eq!(param(&invocation, "reuse_key"), text("False"));
    assert_eq!(well("renew -v -v -vv").typed.general.verbose, 4);
}

#[test]
fn flags_without_effect_are_refused_or_told() {
    assert!(refusal("certonly -d a --must-staple").contains("--must-staple cannot be done by certkit"));
    assert!(refusal("renew --nginx").contains("--webroot -w DIR"));
    assert!(refusal("certonly --dns-cloudflare --dns-cloudflare-credentials /x -d a").contains("--manual-auth-hook"));
    assert!(well("certonly --csr x.pem --fullchain-path y.pem").typed.csr.csr.is_some());
    assert!(well("renew --new-key").typed.key.new_key);
    assert_eq!(param(&well("renew --allow-subset-of-names"), "allow_subset_of_names"), text("True"));
    assert_eq!(param(&well("renew"), "allow_subset_of_names"), None);
    assert!(refusal("renew --unheard-of").contains("--unheard-of"));
    let invocation = well("renew --no-redirect --max-log-backups 3");
    assert_eq!(invocation.notes.len(), 2, "{:?}", invocation.notes);
}

#[test]
fn document_roots_by_position() {
    let roots = |line: &str| -> Vec<(String, String)> {
        let webroots = well(line).webroots;
        webroots.into_iter().map(|one| (one.name, one.root.to_string_lossy().into_owned())).collect()
    };
    let pair = |name: &str, root: &str| (name.to_owned(), root.to_owned());
    assert_eq!(
        roots("certonly -w /a -d x,y -d z -w /b -d v --webroot-path=/c --domain w"),
        [pair("x", "/a"), pair("y", "/a"), pair("z", "/a"), pair("v", "/b"), pair("w", "/c")]
    );
    assert_eq!(roots("certonly -d x -w /a -d y"), [pair("x", "/a"), pair("y", "/a")]);
    assert!(refusal("certonly -d x -w /a -d y -w /b").contains("before all -d"));
    let invocation = well("certonly -w /a -d X.example -w /b -d y.example");
    let edits = invocation.edits().unwrap();
    assert_eq!(
        edits.webroot_map,
        Some(vec![("x.example".to_owned(), PathBuf::from("/a")), ("y.example".to_owned(), PathBuf::from("/b"))])
    );
    assert_eq!(param(&invocation, "webroot_path"), Some(ConfValue::List(vec!["/a".to_owned(), "/b".to_owned()])));
    assert_eq!(param(&invocation, "authenticator"), text("webroot"));
}

#[test]
fn a_map_of_document_roots_in_json() {
    let arguments: Vec<OsString> =
        ["certonly", "--webroot-map", r#"{"a.example, b.example": "/srv/ab"}"#].map(OsString::from).to_vec();
    let invocation = Invocation::read(&arguments, nowhere()).unwrap();
    let expected =
        [("a.example", "/srv/ab"), ("b.example", "/srv/ab")].map(|(name, root)| (name.to_owned(), root.into()));
    assert_eq!(invocation.edits().unwrap().webroot_map, Some(expected.to_vec()));
}

#[test]
fn what_changes_in_a_configuration() {
    let invocation = well(
        "renew --key-type rsa --rsa-key-size 3072 --preferred-chain X --no-autorenew --standalone --http-01-port 81 --http-01-address ::1 --preferred-challenges http,dns",
    );
    for (key, value) in [
        ("authenticator", "standalone"),
        ("key_type", "rsa"),
        ("rsa_key_size", "3072"),
        ("preferred_chain", "X"),
        ("autorenew", "False"),
        ("http01_port", "81"),
        ("http01_address", "::1"),
    ] {
        assert_eq!(param(&invocation, key), text(value), "{key}");
    }
    let kinds = vec!["http-01".to_owned(), "dns-01".to_owned()];
    assert_eq!(param(&invocation, "pref_challs"), Some(ConfValue::List(kinds)));
    assert!(well("renew -q").edits().unwrap().is_empty());
    assert_eq!(well("renew --deploy-hook x").edits().unwrap().params, [("renew_hook".to_owned(), text("x"))]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    assert!(well("certonly --standalone --webroot").edits().is_err());
    assert!(well("certonly --standalone -a standalone").edits().is_ok());
    assert!(well("certonly -a nginx").edits().unwrap_err().cure.unwrap().contains("--webroot"));
    assert!(well("certonly --manual").edits().is_err());
    assert!(well("renew --rsa-key-size 1024").edits().is_err());
    assert!(well("renew --server letsencrypt --staging").server().is_err());
    assert!(well("certonly -d a..b").identifiers().is_err());
    assert!(well("certonly --ip-address example.org").identifiers().is_err());
    assert!(well("certonly -i haproxy").installer().is_err());
}

#[test]
fn names_are_brought_into_their_form() {
    let identifiers =
        well("certonly -d A.Example.,*.b.example --ip-address 2001:DB8::1 -d bücher.example").identifiers().unwrap();
    let names: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.example", "*.b.example", "xn--bcher-kva.example", "2001:db8::1"]);
}

#[test]
fn servers_by_name() {
    let url = |line: &str| well(line).server_or_default().unwrap().to_string();
    assert_eq!(url("renew"), "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(url("renew --staging"), "https://acme-staging-v02.api.letsencrypt.org/directory");
    assert_eq!(url("renew --server letsencrypt-staging"), "https://acme-staging-v02.api.letsencrypt.org/directory");
    assert_eq!(url("renew --server https://ca.example/dir"), "https://ca.example/dir");
    assert_eq!(well("renew --server http://ca.example/dir").server().unwrap_err().exit, crate::exit::Exit::Usage);
}

#[test]
fn debians_cli_ini_is_told_and_changes_nothing() {
    let invocation = with_ini("max-log-backups = 0\npreconfigured-renewal = True\n", "renew").unwrap();
    assert_eq!(invocation.notes.len(), 2);
    assert!(invocation.edits().unwrap().is_empty());
}

#[test]
fn the_command_line_wins_over_files() {
    let ini = "key-type = rsa\nrsa-key-size = 4096\ndomains = x.example\nwebroot-path = /ini\nreuse-key = true\nauthenticator = webroot\nquiet = false\nverbose = 2\n";
    let invocation = with_ini(ini, "certonly --key-type ecdsa -d y.example --no-reuse-key --standalone").unwrap();
    assert_eq!(param(&invocation, "key_type"), text("ecdsa"));
    assert_eq!(param(&invocation, "rsa_key_size"), text("4096"));
    assert_eq!(param(&invocation, "reuse_key"), text("False"));
    assert_eq!(param(&invocation, "authenticator"), text("standalone"));
    assert_eq!(invocation.typed.selection.domains, ["y.example"]);
    assert!(!invocation.typed.general.quiet);
    assert_eq!(invocation.typed.general.verbose, 2);
    assert!(invocation.is_from_file("rsa_key_size") && !invocation.is_from_file("key_type"));
}

#[test]
fn a_named_file_wins_over_the_usual_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cli.ini"), "email = a@example.org\nserver = zerossl\n").unwrap();
    let other = dir.path().join("other.ini");
    std::fs::write(&other, "email = b@example.org\n").unwrap();
    let arguments = [OsString::from("register"), "-c".into(), other.into()];
    let environment = Environment { config_dir: Some(dir.path().to_owned()), ..Environment::default() };
    let invocation = Invocation::read(&arguments, environment).unwrap();
    assert_eq!(invocation.typed.account.email.as_deref(), Some("b@example.org"));
    assert_eq!(invocation.typed.general.server.as_deref(), Some("zerossl"));
}

#[test]
fn a_server_in_a_file_is_not_one_that_was_typed() {
    // certbot issue 10663: a `server` in cli.ini made every renewal fail at a CA that never saw the lineage.
    let invocation = with_ini("server = zerossl\n", "renew").unwrap();
    assert!(invocation.server().unwrap().is_some());
    assert_eq!(invocation.server_typed().unwrap(), None);
    let staging = with_ini("server = zerossl\n", "renew --staging").unwrap();
    assert!(staging.server_typed().unwrap().unwrap().as_str().contains("staging"));
}

#[test]
fn what_a_file_says_wrongly_is_named_with_its_line() {
    let refusal = |ini: &str| match with_ini(ini, "renew") {
        Err(error) => error.what,
        other => panic!("{ini}: {other:?}"),
    };
    assert!(refusal("\nkey-tipe = rsa\n").ends_with("cli.ini, line 2: `key-tipe` is not a flag of certkit"));
    assert!(refusal("dry-run = perhaps\n").contains("line 1: `dry-run` is set to `perhaps`"));
    assert!(refusal("key-type = [rsa, ecdsa]\n").contains("one value only"));
    assert!(refusal("a = 1\nnginx = true\n").contains("line 1"));
    assert!(refusal("must-staple = true\n").contains("`must-staple`"));
    assert!(refusal("config = /x\n").contains("cannot be set in a file"));
    assert!(matches!(with_ini("key-type = dsa\n", "renew"), Err(error) if error.what.contains("`dsa`")));
    assert!(matches!(read("-c /nonexistent/x.ini renew"), Err(error) if error.what.contains("/nonexistent/x.ini")));
}

#[test]
fn help_works_with_a_broken_file() {
    assert!(with_ini("nonsense!\n= x", "--help").unwrap().typed.general.help);
}

#[test]
fn lists_in_a_file() {
    let invocation = with_ini("domains = [a.example, b.example]\nwebroot-path = /srv\n", "certonly").unwrap();
    assert_eq!(invocation.typed.selection.domains, ["a.example", "b.example"]);
    assert_eq!(invocation.edits().unwrap().webroot_map.unwrap().len(), 2);
}

#[test]
fn a_document_root_says_how_to_prove_control_only_where_it_was_typed_for_a_certificate() {
    for line in ["certonly -d a.example -w /srv", "reconfigure --cert-name a -w /srv"] {
        assert_eq!(param(&well(line), "authenticator"), text("webroot"), "{line}");
    }
    // At renewals every certificate has its own way, and its own map.
    let renewal = well("renew -w /srv");
    assert_eq!(param(&renewal, "authenticator"), None);
    assert!(param(&renewal, "webroot_path").is_some());
    assert_eq!(renewal.edits().unwrap().webroot_map, None);
    for line in ["renew", "reconfigure --cert-name a", "certificates"] {
        let invocation = with_ini("webroot-path = /srv\n", line).unwrap();
        assert_eq!(param(&invocation, "authenticator"), None, "{line}");
        assert_eq!(invocation.webroot_typed(), None, "{line}");
    }
    assert!(with_ini("webroot-path = /srv\n", "renew").unwrap().edits().unwrap().is_empty());
}

#[test]
fn a_stronger_file_can_say_no() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("letsencrypt")).unwrap();
    std::fs::write(dir.path().join("cli.ini"), "dry-run = true\nquiet = true\n").unwrap();
    std::fs::write(dir.path().join("letsencrypt/cli.ini"), "dry-run = false\n").unwrap();
    let environment = Environment {
        config_dir: Some(dir.path().to_owned()),
        user_config_dir: Some(dir.path().to_owned()),
        ..Environment::default()
    };
    let invocation = Invocation::read(&["renew".into()], environment).unwrap();
    assert!(!invocation.typed.renewal.dry_run);
    assert!(invocation.typed.general.quiet);
}

#[test]
fn wrong_flags_are_told_in_two_lines_without_claps_tips() {
    let text = refusal("renew --frobnicate");
    assert_eq!(text, "`--frobnicate` is not a flag of certkit | `certkit renew --help` lists the flags");
    assert!(refusal("renew --forse-renewal").contains("did you mean `--force-renewal`?"));
    assert_eq!(refusal("certonly --key-type dsa"), "`dsa` is not possible for `--key-type` | use one of: rsa, ecdsa");
    assert!(refusal("--http-01-port=x").starts_with("`x` is not possible for `--http-01-port` | "));
    assert!(refusal("renew --cert-name").starts_with("`--cert-name` needs a value | "));
    assert!(refusal("renew --quiet=yes").contains("takes no value"));
    match with_ini("key-type = dsa\n", "renew") {
        Err(error) => assert!(error.what.contains("cli.ini, line 1: `dsa`"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_for_every_command_and_refused_by_those_that_would_use_it() {
    for line in ["renew", "certonly -d a", "reconfigure --cert-name a"] {
        assert!(matches!(with_ini("must-staple = true\n", line), Err(error) if error.cure.is_some()), "{line}");
    }
    let invocation = with_ini("must-staple = true\ndns-cloudflare = true\n", "certificates").unwrap();
    assert_eq!(invocation.notes.len(), 2, "{:?}", invocation.notes);
}

#[test]
fn directories_are_absolute() {
    let paths = well("renew --config-dir x --logs-dir /l").paths();
    assert!(paths.config_dir.is_absolute() && paths.config_dir.ends_with("x"));
    assert_eq!(paths.logs_dir, PathBuf::from("/l"));
    assert_eq!(paths.work_dir, PathBuf::from("/var/lib/letsencrypt"));
    assert_eq!(well("renew").paths().config_dir, PathBuf::from("/nonexistent/certkit"));
}

#[test]
fn flags_win_over_settings_and_say_where_they_stand() {
    let file = "live_switch = \"links\"\nhook_time_limit = 9\nca_bundles = [\"/a\"]\nuser_agent_comment = \"a\"\nparallel_orders = 2\n";
    let settings = || Settings::parse(file.as_bytes()).unwrap();
    assert_eq!(well("renew").effective(settings()), settings());
    let invocation = well("renew --live-switch exchange --hook-time-limit 5 --ca-bundle /b --user-agent-comment b");
    let effective = invocation.effective(settings());
    assert_eq!(effective.live_switch.value, LiveSwitch::Exchange);
    assert_eq!(effective.live_switch.origin, Origin::Flag { flag: "--live-switch".to_owned() });
    assert_eq!(effective.hook_time_limit.value.as_secs(), 5);
    assert_eq!(effective.parallel_orders.origin, Origin::SettingsFile { line: 5 });
    let transport = invocation.transport(&effective);
    assert_eq!(transport.ca_bundles, [PathBuf::from("/b")]);
    assert_eq!(transport.user_agent_comment.as_deref(), Some("b"));
    let invocation = with_ini("\nlive-switch = exchange\n", "renew").unwrap();
    let origin = invocation.effective(settings()).live_switch.origin;
    assert!(matches!(origin, Origin::CliIni { line: 2, .. }), "{origin:?}");
}
