use proptest::prelude::*;

use super::*;
use crate::settings::{FileAccess, FileKinds, SettingsProblemCode, interval_text};
use crate::store::Kind;

fn name() -> LineageName {
    LineageName::new("a.example").unwrap()
}

fn paths() -> StorePaths {
    StorePaths::within("/etc/letsencrypt")
}

fn global(text: &str) -> Result<Settings, Vec<SettingsProblem>> {
    Settings::parse(text.as_bytes())
}

fn lineage(text: &str) -> Result<LineageSettings, Vec<SettingsProblem>> {
    LineageSettings::parse(text.as_bytes(), &Settings::default(), &name(), &paths())
}

/// `line code key | what | cure` of each problem.
fn told(problems: &[SettingsProblem]) -> Vec<String> {
    let line = |problem: &SettingsProblem| problem.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
    problems
        .iter()
        .map(|one| format!("{} {} {} | {} | {}", line(one), one.code.code(), one.key, one.what, one.cure))
        .collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Vec<SettingsProblem>>, expected: &[&str]) {
    let told = told(&result.unwrap_err());
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "\n# nothing\n", "\u{feff}"] {
        assert_eq!(global(text).unwrap(), Settings::default(), "{text:?}");
        assert_eq!(lineage(text).unwrap(), LineageSettings::default(), "{text:?}");
    }
    let settings = Settings::default();
    assert_eq!(settings.hook_time_limit.value, Duration::from_secs(3600));
    assert!(settings.renewal_information.value && settings.revocation_check.value);
    assert_eq!((settings.parallel_orders.value, settings.live_switch.value), (4, LiveSwitch::Exchange));
    assert_eq!((settings.run_interval.value, settings.live_switch.origin), (None, Origin::Default));
    assert_eq!((settings.metrics_textfile.value, settings.metrics_per_certificate.value), (None, true));
}

#[test]
fn every_key_of_the_global_file_is_read_with_its_line() {
    let settings = global(
        "# ours\nfallback_servers = [\"zerossl\",\n  \" https://ca.example/dir\"]\nrenewal_information = false\r\nrevocation_check = false\n\
         live_switch = 'links'\nhook_time_limit = \"5 minutes\"\nparallel_orders = 0x10\nca_bundles = [\"/etc//ssl/./root.pem\"]\n\
         run_interval = \"12 hours\"\nuser_agent_comment = \"example.org; ops@example.org\"\n\
         metrics_textfile = \"/var/lib/prometheus/node-exporter/certkit.prom\"\nmetrics_per_certificate = false\n",
    )
    .unwrap();
    assert_eq!(settings.fallback_servers.value, ["zerossl", "https://ca.example/dir"]);
    assert_eq!(settings.fallback_servers.origin, Origin::SettingsFile { line: 2 });
    assert!(!settings.renewal_information.value && !settings.revocation_check.value);
    assert_eq!(settings.live_switch, Sourced::new(LiveSwitch::Links, Origin::SettingsFile { line: 6 }));
    assert_eq!(settings.hook_time_limit.value, Duration::from_secs(300));
    assert_eq!(settings.parallel_orders, Sourced::new(16, Origin::SettingsFile { line: 8 }));
    assert_eq!(settings.ca_bundles.value[0].to_str(), Some("/etc/ssl/root.pem"));
    assert_eq!(settings.run_interval.value, Some(Duration::from_secs(12 * 3600)));
    assert_eq!(settings.user_agent_comment.value.as_deref(), Some("example.org; ops@example.org"));
    let textfile = settings.metrics_textfile;
    assert_eq!(textfile.value.as_deref().unwrap(), "/var/lib/prometheus/node-exporter/certkit.prom");
    assert_eq!(textfile.origin, Origin::SettingsFile { line: 12 });
    assert_eq!(settings.metrics_per_certificate, Sourced::new(false, Origin::SettingsFile { line: 13 }));
}

#[test]
fn a_lineages_file_wins_over_the_global_one_and_an_empty_list_is_a_value() {
    let settings =
        global("fallback_servers = [\"zerossl\"]\nhook_time_limit = 60\nrevocation_check = false\n").unwrap();
    let text =
        "\nfallback_servers = []\nhook_time_limit = 90\ndefault_endpoints = false\nproof_patience = \"1 minute\"\n";
    let own = LineageSettings::parse(text.as_bytes(), &settings, &name(), &paths()).unwrap();
    assert_eq!(own.fallback_servers, Sourced::new(vec![], Origin::LineageFile { name: name(), line: 2 }));
    assert_eq!(own.hook_time_limit.value, Duration::from_secs(90));
    assert_eq!((own.default_endpoints.value, own.proof_patience.value), (false, Duration::from_secs(60)));
    assert!(settings.default_endpoints.value && settings.proof_patience.value == Duration::from_secs(15));
    assert_eq!(own.revocation_check, Sourced::new(false, Origin::SettingsFile { line: 3 }));
    assert_eq!(own.renewal_information, Sourced::default_value(true));
}

#[test]
fn all_problems_are_told_at_once_and_by_line() {
    refused(
        global(
            "live_swicth = \"links\"\nparallel_orders = 65\n\nhook_time_limit = \"8 days\"\nrenewal_information = \"yes\"\nkey-type = \"rsa\"\n\
             agree-tos = true\nfallback_servers = [\"zerossl\", 3, \"zerossl\"]\n[[deploy]]\ncombined = \"/x\"\n[colour]\n",
        ),
        &[
            "1 unknown-key live_swicth | `live_swicth` is not known | did you mean `live_switch`?",
            "2 bad-value parallel_orders | `parallel_orders` cannot be 65 | write a number from 1 to 64",
            "4 bad-value hook_time_limit | `hook_time_limit` cannot be 8 days | write for example `hook_time_limit = \"1 hour\"`: from 1 second to 7 days",
            "5 wrong-type renewal_information | `renewal_information` is a text, not true or false | write `renewal_information = true`",
            "6 belongs-to-conf key-type | `key-type` belongs to renewal/NAME.conf, not here | certkit reconfigure --cert-name NAME --key-type ecdsa; for all certificates, write `key-type = ecdsa` into cli.ini",
            "7 belongs-to-cli-ini agree-tos | `agree-tos` is a flag, not a setting of this file | write `agree-tos = true` into cli.ini",
            "8 wrong-type fallback_servers | `fallback_servers` is a number, not a text",
            "8 duplicate fallback_servers | `zerossl` stands twice",
            "9 other-file deploy | `deploy` does not belong here | write it into certkit/lineages/NAME.toml",
            "11 unknown-key colour | `colour` is not known | the keys are: fallback_servers, ",
        ],
    );
}

#[test]
fn a_key_of_the_conf_is_refused_with_the_command_for_this_certificate() {
    refused(
        lineage(
            "deploy_hook = \"x\"\nrenew_before_expiry = \"10 days\"\nserver = \"x\"\nparallel_orders = 3\nprefered_chain = 1\n",
        ),
        &[
            "belongs to renewal/a.example.conf, not here | certkit reconfigure --cert-name a.example --deploy-hook COMMAND",
            "write `renew_before_expiry = 10 days` at the top of renewal/a.example.conf",
            "certkit certonly --cert-name a.example --server URL",
            "other-file parallel_orders | `parallel_orders` does not belong here | write it into certkit/settings.toml",
            "unknown-key prefered_chain | `prefered_chain` is not known | did you mean `preferred_chain`? It belongs to renewal/a.example.conf: certkit reconfigure",
        ],
    );
}

#[test]
fn values_that_are_not_possible() {
    for (text, expected) in [
        ("parallel_orders = 0", "cannot be 0"),
        ("parallel_orders = -1", "cannot be -1"),
        ("parallel_orders = 99999999999999999999999", "cannot be 99999999999999999999999"),
        ("parallel_orders = 4.0", "is a number with a fraction"),
        ("parallel_orders = \"4\"", "is a text"),
        ("parallel_orders.x = 4", "is a table"),
        ("hook_time_limit = 0", "cannot be 0"),
        ("hook_time_limit = 604801", "cannot be 604801"),
        ("default_endpoints = \"no\"", "is a text, not true or false"),
        ("proof_patience = \"11 minutes\"", "cannot be 11 minutes"),
        // certbot's grammar takes a bare number for days.
        ("hook_time_limit = \"3600\"", "is not a length of time: `3600`"),
        ("hook_time_limit = \"1\"", "is not a length of time: `1`"),
        ("hook_time_limit = \"soon\"", "is not a length of time: `soon`"),
        ("hook_time_limit = 1979-05-27", "is a date"),
        ("run_interval = \"30 seconds\"", "cannot be 30 seconds"),
        ("run_interval = \"8 days\"", "from 1 minute to 7 days"),
        ("live_switch = \"exchagne\"", "did you mean `live_switch = \"exchange\"`?"),
        ("live_switch = \"both\"", "write `live_switch = \"exchange\"` or `live_switch = \"links\"`"),
        ("live_switch = \"\"", "`live_switch` is empty"),
        ("fallback_servers = \"zerossl\"", "write `fallback_servers = [\"letsencrypt\"]`"),
        ("fallback_servers = [\"a\\u001bb\"]", "holds a control character"),
        ("ca_bundles = [\"roots.pem\"]", "is not an absolute path: `roots.pem`"),
        ("ca_bundles = [\"/etc/../roots.pem\"]", "holds `..`"),
        ("user_agent_comment = \"é\"", "cannot stand in a User-Agent"),
        ("user_agent_comment = \"a\\nb\"", "holds a control character"),
        ("revocation_check = 1", "without quotes"),
        ("metrics_textfile = \"certkit.prom\"", "is not an absolute path: `certkit.prom`"),
        ("metrics_textfile = \"/var/lib/../certkit.prom\"", "holds `..`"),
        ("metrics_textfile = \"/var/lib/certkit.prom/\"", "names a folder"),
        ("metrics_textfile = \"/var/lib/certkit.txt\"", "write a path that ends in `.prom`"),
        ("metrics_textfile = \"/var/lib/.prom\"", "does not end in `.prom`, so that node_exporter would not read it"),
        ("metrics_textfile = true", "is true or false, not a text"),
        ("metrics_per_certificate = \"no\"", "write `metrics_per_certificate = true`"),
    ] {
        refused(global(text), &[expected]);
    }
    refused(global(&format!("user_agent_comment = \"{}\"", "x".repeat(201))), &["at most 200"]);
}

#[test]
fn what_is_no_toml_is_told_by_line_and_hides_nothing_else() {
    refused(
        global("live_switch = links\nparallel_orders = 99\nfoo\n\nrun_interval = \"8 days\"\n"),
        &["1 not-toml", "2 bad-value parallel_orders", "3 not-toml", "5 bad-value run_interval"],
    );
    refused(global("\nrun_interval = \"1 hour\n"), &["2 not-toml"]);
    refused(global("parallel_orders = 3\nparallel_orders = 4\n"), &["2 not-toml  | it is not TOML: duplicate key"]);
    refused(global("\n[x\n"), &["2 not-toml"]);
    let problems = Settings::parse(b"# fine\nx = \"\xff\"\n").unwrap_err();
    assert_eq!(told(&problems), ["2 not-toml  | it is not UTF-8 text | save it as UTF-8"]);
    let problems = Settings::parse(&vec![b'#'; Settings::MAX_BYTES + 1]).unwrap_err();
    assert_eq!((problems[0].line, problems[0].what.as_str()), (None, "it is larger than 65536 bytes"));
    assert!(Settings::parse(&vec![b'#'; Settings::MAX_BYTES]).is_ok());
    let many: String = (0..500).map(|number| format!("k{number} = 1\n")).collect();
    let problems = global(&many).unwrap_err();
    assert_eq!(problems.len(), 51);
    assert_eq!(problems[50].code, SettingsProblemCode::TooMany);
    assert!(global(&format!("x = {}", "[".repeat(60_000))).is_err(), "deep nesting");
}

#[test]
fn outside_text_is_escaped_and_cut() {
    let problems = global(&format!("\"a\\u001b[31m{}\" = 1\n", "b".repeat(500))).unwrap_err();
    assert!(problems[0].key.starts_with("a\\u{1b}[31m") && problems[0].key.len() < 150, "{:?}", problems[0]);
    assert!(!told(&problems)[0].contains('\u{1b}') && problems[0].what.len() < 150);
}

#[test]
fn every_kind_of_target_is_read() {
    let own = lineage(
        "[[deploy]]\ncombined = \"/etc/haproxy/a.pem\"\nowner = \"haproxy\"\ngroup = 99\nmode = \"0640\"\n\
         [[deploy]]\ncommand = \"\"\"set -e\nmake\"\"\"\n\
         [[deploy]]\ncopy = \"/etc/postfix/tls/\"\nfiles = [\"fullchain\", \"privkey\"]\n\
         [[deploy]]\nder = \"/etc/app/a.der\"\nkey = \"/etc/app/a.key\"\n\
         [[deploy]]\nreload = \"postfix@-.service\"\ncheck = \"postfix check\"\n\
         [[deploy]]\ncopy = \"/srv/certs\"\nfiles = [\"cert\"]\nmode = \"644\"\n",
    )
    .unwrap();
    let access = FileAccess { owner: Some("haproxy".into()), group: Some("99".into()), mode: Some(0o640) };
    let expected = [
        DeploySetting::Combined { path: "/etc/haproxy/a.pem".into(), access },
        DeploySetting::Command { command: "set -e\nmake".into() },
        DeploySetting::Copy {
            folder: "/etc/postfix/tls".into(),
            files: FileKinds(vec![Kind::Fullchain, Kind::Privkey]),
            access: FileAccess::default(),
        },
        DeploySetting::Der {
            certificate: "/etc/app/a.der".into(),
            key: Some("/etc/app/a.key".into()),
            access: FileAccess::default(),
        },
        DeploySetting::Reload { unit: "postfix@-.service".into(), check: Some("postfix check".into()) },
        DeploySetting::Copy {
            folder: "/srv/certs".into(),
            files: FileKinds(vec![Kind::Cert]),
            access: FileAccess { mode: Some(0o644), ..FileAccess::default() },
        },
    ];
    let read: Vec<_> = own.deploy.iter().map(|target| target.value.clone()).collect();
    assert_eq!(read, expected);
    let lines: Vec<_> = own.deploy.iter().map(|target| target.origin.line().unwrap()).collect();
    assert_eq!(lines, [2, 7, 10, 13, 16, 19]);
    // The same as a list.
    let inline = lineage("deploy = [{ command = \"x\" }, { reload = \"nginx\" }]").unwrap();
    assert_eq!(inline.deploy.len(), 2);
}

#[test]
fn a_table_is_one_target_with_its_own_keys() {
    for (table, expected) in [
        (
            "",
            "deploy-kind deploy | a [[deploy]] table does not say what it is | write one of the keys combined, command",
        ),
        (
            "combind = \"/x\"",
            "deploy-kind deploy | a [[deploy]] table does not say what it is | did you mean `combined`?",
        ),
        ("copy = \"/x\"\nreload = \"y\"", "deploy-kind deploy | `copy` and `reload` stand in one [[deploy]] table"),
        (
            "command = \"x\"\nmode = \"0600\"",
            "unknown-key deploy.mode | `mode` has no meaning with `command` | remove it: it belongs to `combined`, `copy`, `der`",
        ),
        (
            "copy = \"/x\"\ngruop = \"x\"",
            "unknown-key deploy.gruop | `gruop` is not known in a [[deploy]] table | did you mean `group`?",
        ),
        ("reload = \"x\"\ncolour = 1", "the further keys of `reload` are: check"),
        ("command = 1", "wrong-type deploy.command | `deploy.command` is a number, not a text"),
        ("command = \"a\\u0000b\"", "holds a control character"),
        ("combined = \"a.pem\"", "is not an absolute path"),
        ("combined = \"/etc/a/\"", "names a folder"),
        ("combined = \"/\"", "names a folder"),
        ("copy = \"/etc/x\"\nfiles = []", "nothing would be copied"),
        ("copy = \"/etc/x\"\nfiles = [\"fullchian\"]", "did you mean `fullchain`?"),
        ("copy = \"/etc/x\"\nfiles = [\"cert\", \"cert\"]", "duplicate deploy.files"),
        ("copy = \"/etc/x\"\nfiles = [\"cert\"]\nmode = \"0888\"", "`deploy.mode` cannot be `0888`"),
        ("copy = \"/etc/x\"\nfiles = [\"cert\"]\nmode = \"1755\"", "`deploy.mode` cannot be `1755`"),
        ("copy = \"/etc/x\"\nfiles = [\"cert\"]\nmode = 640", "write the bits in octal as a text"),
        ("copy = \"/etc/x\"\nmode = \"0644\"", "would give every user the private key"),
        ("combined = \"/etc/x\"\nmode = \"0604\"", "would give every user the private key"),
        ("der = \"/etc/x\"\nkey = \"/etc/y\"\nmode = \"0644\"", "would give every user the private key"),
        ("der = \"/etc/x\"\nkey = \"/etc/x\"", "duplicate deploy.key"),
        ("der = \"/etc/x\"\nowner = \"a:b\"", "`deploy.owner` cannot be `a:b`"),
        ("der = \"/etc/x\"\nowner = 4294967295", "`deploy.owner` cannot be 4294967295"),
        ("reload = \"--now\"", "cannot be the name of a systemd unit"),
        ("reload = \"a; rm -rf\"", "cannot be the name of a systemd unit"),
        ("reload = \"x\"\ncheck = \"\"", "`deploy.check` is empty"),
        ("combined = \"/etc/letsencrypt/live/a.example/all.pem\"", "inside-store deploy.combined"),
        ("copy = \"/etc/letsencrypt/archive\"", "inside-store deploy.copy"),
        ("der = \"/etc/letsencrypt//certkit/./x.der\"", "inside-store deploy.der"),
        ("der = \"/etc/x\"\nkey = \"/etc/letsencrypt/renewal/b.conf\"", "inside-store deploy.key"),
    ] {
        refused(lineage(&format!("[[deploy]]\n{table}\n")), &[expected]);
    }
    assert!(lineage("[[deploy]]\ncombined = \"/etc/letsencrypt/combined/a.pem\"\n").is_ok());
    refused(lineage("[deploy]\ncommand = \"x\"\n"), &["write `[[deploy]]` above the keys of each target"]);
    refused(lineage("deploy = [1]\n"), &["wrong-type deploy"]);
}

#[test]
fn two_targets_do_not_write_one_file() {
    for (one, other, expected) in [
        ("combined = \"/x/a\"", "combined = \"//x/./a\"", "the same target stands in line 2"),
        ("command = \"x\"", "command = \"x\"", "the same target"),
        ("reload = \"nginx\"", "reload = \"nginx.service\"", "the same target"),
        ("copy = \"/x\"\nfiles = [\"cert\"]", "copy = \"/x/\"\nfiles = [\"chain\"]", "the same target"),
        ("combined = \"/x/a\"", "der = \"/x/a\"", "it writes to a file of the target in line 2"),
        ("copy = \"/x\"", "combined = \"/x/privkey.pem\"", "it writes to a file of the target in line 2"),
        ("der = \"/x/a\"\nkey = \"/x/k\"", "der = \"/x/k\"", "it writes to a file of the target in line 2"),
    ] {
        refused(lineage(&format!("[[deploy]]\n{one}\n[[deploy]]\n{other}\n")), &[expected]);
    }
    assert!(lineage("[[deploy]]\nreload = \"a.timer\"\n[[deploy]]\nreload = \"a\"\n").is_ok());
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

prop_compose! {
    fn any_access()(owner in prop::option::of("[a-z_][a-z0-9-]{0,8}"), group in prop::option::of("[0-9]{1,5}"),
        mode in prop::option::of(0_u32..0o100)) -> FileAccess {
        FileAccess { owner, group, mode: mode.map(|bits| bits << 3) }
    }
}

fn any_target() -> impl Strategy<Value = DeploySetting> {
    let path = || "/[a-z]{1,3}/[^/\\p{C}\\p{Z}.]{1,9}".prop_map(PathBuf::from);
    prop_oneof![
        (path(), any_access()).prop_map(|(path, access)| DeploySetting::Combined { path, access }),
        "[^\0\r]{0,20}[a-z\"'\\\\]".prop_map(|command| DeploySetting::Command { command }),
        (path(), prop::sample::subsequence(Kind::ALL.to_vec(), 1..=4), any_access())
            .prop_map(|(folder, kinds, access)| DeploySetting::Copy { folder, files: FileKinds(kinds), access }),
        (path(), any_access()).prop_map(|(certificate, access)| DeploySetting::Der { certificate, key: None, access }),
        ("[a-zA-Z0-9:_.@][a-zA-Z0-9:_.\\\\@-]{0,20}", prop::option::of("[ -~]{0,9}x"))
            .prop_map(|(unit, check)| DeploySetting::Reload { unit, check }),
    ]
}

fn written(target: &DeploySetting) -> String {
    let access = |access: &FileAccess| {
        let mut lines = String::new();
        let mode = access.mode.map(|mode| format!("{mode:04o}"));
        for (key, value) in [("owner", &access.owner), ("group", &access.group), ("mode", &mode)] {
            if let Some(value) = value {
                lines += &format!("{key} = {}\n", quoted(value));
            }
        }
        lines
    };
    let path = |path: &std::path::Path| quoted(path.to_str().unwrap());
    let keys = match target {
        DeploySetting::Combined { path: file, access: who } => format!("combined = {}\n{}", path(file), access(who)),
        DeploySetting::Command { command } => format!("command = {}\n", quoted(command)),
        DeploySetting::Copy { folder, files, access: who } => {
            let files: Vec<_> = files.0.iter().map(|kind| quoted(kind.as_str())).collect();
            format!("copy = {}\nfiles = [{}]\n{}", path(folder), files.join(", "), access(who))
        }
        DeploySetting::Der { certificate, access: who, .. } => format!("der = {}\n{}", path(certificate), access(who)),
        DeploySetting::Reload { unit, check } => {
            let check = check.as_ref().map(|check| format!("check = {}\n", quoted(check))).unwrap_or_default();
            format!("reload = {}\n{check}", quoted(unit))
        }
    };
    format!("[[deploy]]\n{keys}")
}

proptest! {
    #[test]
    fn what_is_valid_reads_back(
        servers in prop::collection::btree_set("[a-z][a-z:/.-]{0,20}", 0..4),
        truth in any::<(bool, bool)>(),
        links in any::<bool>(),
        limit in 1_u64..=604_800,
        orders in 1_usize..=64,
        interval in 60_u64..=604_800,
        comment in "[!-~]{1,100}",
    ) {
        let servers: Vec<String> = servers.into_iter().collect();
        let list: Vec<_> = servers.iter().map(|server| quoted(server)).collect();
        let switch = if links { LiveSwitch::Links } else { LiveSwitch::Exchange };
        let text = format!(
            "user_agent_comment = {}\nfallback_servers = [{}]\nrenewal_information = {}\nrevocation_check = {}\nlive_switch = \"{}\"\n\
             hook_time_limit = {limit}\nparallel_orders = {orders}\nrun_interval = \"{}\"\n",
            quoted(&comment), list.join(","), truth.0, truth.1, switch.as_str(), interval_text(Duration::from_secs(interval)),
        );
        let settings = global(&text).unwrap();
        prop_assert_eq!(settings.fallback_servers.value, servers);
        prop_assert_eq!((settings.renewal_information.value, settings.revocation_check.value), truth);
        prop_assert_eq!(settings.live_switch.value, switch);
        prop_assert_eq!(settings.hook_time_limit.value, Duration::from_secs(limit));
        prop_assert_eq!(settings.parallel_orders.value, orders);
        prop_assert_eq!(settings.run_interval.value, Some(Duration::from_secs(interval)));
        prop_assert_eq!(settings.user_agent_comment.value.as_deref(), Some(comment.as_str()));
        prop_assert_eq!(settings.user_agent_comment.origin, Origin::SettingsFile { line: 1 });
    }

    #[test]
    fn a_valid_target_reads_back(target in any_target()) {
        let text = written(&target);
        let read = lineage(&text).map_err(|problems| TestCaseError::fail(format!("{text}{:?}", told(&problems))))?;
        prop_assert_eq!(&read.deploy[0].value, &target);
    }

    #[test]
    fn no_bytes_make_it_panic_and_every_problem_is_safe_to_show(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn nor_does_what_looks_like_settings(
        lines in prop::collection::vec(("(\\[\\[)?[a-z_]{0,3}(live_switch|deploy|combined|command|copy|der|files|mode|key|reload|hook_time_limit|parallel_orders)\\]{0,2}",
            " ?=? ?[\"'\\[{]{0,3}.{0,12}[\"'\\]}]{0,3}"), 0..12),
    ) {
        let text: Vec<String> = lines.into_iter().map(|(key, value)| format!("{key}{value}")).collect();
        check(text.join("\n").as_bytes())?;
    }
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    let own = LineageSettings::parse(bytes, &Settings::default(), &name(), &paths()).map(|_| ());
    for problems in [Settings::parse(bytes).map(|_| ()), own].into_iter().filter_map(Result::err) {
        prop_assert!(!problems.is_empty());
        for problem in problems {
            prop_assert!(problem.line.is_none_or(|line| line >= 1 && line as usize <= lines + 1));
            prop_assert!(!problem.what.is_empty() && !problem.cure.is_empty());
            for text in [&problem.key, &problem.what, &problem.cure] {
                prop_assert_eq!(crate::escape(text), text.as_str());
            }
        }
    }
    Ok(())
}
