use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::document::Document;
use super::interpolate::Interpolation;
use super::read::resolved;
use super::*;

/// What certbot 5 writes, with what people add.
const CONF: &str = "\
# renew_before_expiry = 30 days
version = 5.8.0
archive_dir = /etc/letsencrypt/archive/a.example
cert = /etc/letsencrypt/live/a.example/cert.pem
privkey = /etc/letsencrypt/live/a.example/privkey.pem
chain = /etc/letsencrypt/live/a.example/chain.pem
fullchain = /etc/letsencrypt/live/a.example/fullchain.pem

# Options used in the renewal process
[renewalparams] # see [docs]
account = a3f2e9e91e7f04fb722c9765f4e018af
server = https://localhost:14000/dir   # ours
authenticator = webroot
webroot_path = /var/www/html,
  key_type = ecdsa
x_note = '''two
lines''' # kept
[[webroot_map]]
# the main site
www.a.example = /var/www/html
a.example = /var/www/html
[acme_renewal_info]
ari_retry_after = 2026-11-23T20:40:35
";

fn json_of(value: &ConfValue) -> Value {
    match value {
        ConfValue::Text(text) => json!(text),
        ConfValue::List(items) => json!(items),
    }
}

fn tree_of(document: &Document<'_>) -> Vec<(Vec<String>, Value)> {
    let mut tree = Vec::new();
    for (index, section) in document.sections.iter().enumerate() {
        let mut path = Vec::new();
        let mut at = section;
        while let Some(name) = at.name {
            path.insert(0, name.to_owned());
            at = &document.sections[at.parent];
        }
        let entries = document.entries(section).iter().map(|entry| {
            let resolved = resolved(&mut Interpolation::new(document), index, entry, "").ok();
            json!([entry.key, json_of(&ConfValue::from(&entry.value)), resolved.map(|value| json_of(&value.copy("")))])
        });
        tree.push((path, entries.collect()));
    }
    tree.sort_by(|a, b| a.0.cmp(&b.0));
    tree
}

/// A conf, and what Python made of it: nothing where it refused.
type Reading = (String, Option<Vec<(Vec<String>, Value)>>);

fn assert_read_the_same(readings: Vec<Reading>) {
    for (text, expected) in readings {
        let read = Document::parse(text.strip_prefix('\u{feff}').unwrap_or(&text)).map(|document| tree_of(&document));
        let expected = expected.map(|mut tree| {
            tree.sort_by(|a, b| a.0.cmp(&b.0));
            tree
        });
        assert_eq!(read.ok(), expected, "{text:?}");
    }
}

#[test]
fn a_thousand_confs_are_read_as_pythons_configobj_reads_them() {
    let corpus: Vec<Reading> =
        serde_json::from_str(include_str!("../../../tests/data/renewal-confs/corpus.json")).unwrap();
    assert!(corpus.len() > 900);
    assert_read_the_same(corpus);
}

/// With the `configobj` that the peer itself uses, which may be a newer one than the recorded one.
#[test]
fn thousands_of_drawn_confs_are_read_as_certbots_own_configobj_reads_them() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let certbot = std::env::var_os("CERTKIT_TEST_CERTBOT")
        .map_or_else(|| PathBuf::from(root).join("target/certbot-venv/bin/certbot"), PathBuf::from);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/renewal-confs/record.py");
    let drawn =
        std::process::Command::new(certbot.with_file_name("python")).args([script, "20261126", "5000"]).output();
    let drawn = drawn.unwrap_or_else(|error| {
        panic!("no certbot in a virtual environment at {certbot:?} ({error}): `bash .ci/test.sh` installs it")
    });
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let readings: Vec<Reading> = serde_json::from_slice(&drawn.stdout).unwrap();
    assert!(readings.len() > 3_000 && readings.iter().filter(|(_, tree)| tree.is_some()).count() > 500);
    assert_read_the_same(readings);
}

fn parse(params: &str) -> Result<RenewalConf, ConfError> {
    RenewalConf::parse(format!("cert = c\nprivkey = p\nchain = h\nfullchain = f\n[renewalparams]\n{params}").as_bytes())
}

/// The values at the top level.
fn at_top(conf: &RenewalConf) -> Vec<(String, ConfValue)> {
    let copy = |kept: &Kept| (kept.key.within(conf.text()).to_owned(), kept.value.copy(conf.text()));
    conf.top.iter().map(copy).collect()
}

fn params(params: &str) -> RenewalParams {
    parse(params).unwrap().params().clone()
}

#[test]
fn params_have_certbots_types() {
    let conf = RenewalConf::parse(CONF.as_bytes()).unwrap();
    conf.check_complete().unwrap();
    let read = conf.params();
    assert_eq!(read.server.as_deref(), Some("https://localhost:14000/dir"));
    assert_eq!((read.effective_key_type(), read.autorenew, read.reuse_key), ("ecdsa", true, false));
    assert_eq!(read.webroot_path, ["/var/www/html"]);
    let names: Vec<_> = read.webroot_map.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["www.a.example", "a.example"]);
    assert_eq!(conf.param("x_note"), Some(ConfValue::from("two\nlines")));
    assert_eq!(conf.renew_before_expiry(), None);
    assert_eq!(conf.archive_dir(), Some("/etc/letsencrypt/archive/a.example"));

    let read = params(
        "must_staple = TRUE\nreuse_key = True\nautorenew = false\nrsa_key_size = 4096\nhttp01_port = 8080\naccount = None\n\
         pref_challs = dns, http\ninstaller = None\nauthenticator = standalone\nhttp01_address = ::1\n",
    );
    assert!(read.must_staple && read.reuse_key && !read.autorenew);
    assert_eq!((read.rsa_key_size, read.http01_port, &read.account), (Some(4096), Some(8080), &None));
    assert_eq!(read.effective_key_type(), "rsa");
    assert_eq!((read.preferred_challenges, read.installer), (vec!["dns-01".to_owned(), "http-01".to_owned()], None));
    assert_eq!(read.http01_address, Some("::1".parse().unwrap()));
}

#[test]
fn values_that_certbot_tolerates_are_tolerated() {
    // Before 0.1.0 the path was a plain text; old confs have `http01_port = None`.
    let read = params("webroot_path = /var/www\nhttp01_port = None\npref_challs = http\nhttp01_address = anything\n");
    assert_eq!((read.webroot_path, read.http01_port), (vec![ConfText::from("/var/www")], None));
    assert_eq!(read.preferred_challenges, ["http-01"]);
    assert_eq!(params("webroot_path = None\nwebroot_map = {}\n").webroot_path, Vec::<ConfText>::new());
    // Very old confs hold every flag certbot had.
    let read = params("func = <function obtain_cert at 0x7f09>\nifaces = None\nverb = renew\ncsr = None\n");
    assert_eq!(read, RenewalParams::default());
}

#[test]
fn the_deploy_hook_is_called_renew_hook_and_that_name_wins() {
    assert_eq!(params("renew_hook = a\ndeploy_hook = b\n").deploy_hook.as_deref(), Some("a"));
    assert_eq!(params("deploy_hook = b\nrenew_hook = a\n").deploy_hook.as_deref(), Some("a"));
    assert_eq!(params("deploy_hook = b\n").deploy_hook.as_deref(), Some("b"));
    assert_eq!(params("deploy_hook = b\nrenew_hook = None\n").deploy_hook, None);
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_that_names_key_and_value() {
    for (line, message) in [
        ("autorenew = nope", "expected True or False for autorenew but found `nope`"),
        ("must_staple = None", "expected True or False for must_staple but found `None`"),
        ("rsa_key_size = many", "expected a number for rsa_key_size but found `many`"),
        ("http01_port = 65536", "expected a number for http01_port but found `65536`"),
        ("http01_port = \"\x1b[31m\"", "expected a number for http01_port but found `\\u{1b}[31m`"),
        ("pref_challs = http, tls-sni-01", "expected http-01 or dns-01 for pref_challs but found `tls-sni-01`"),
        (
            "authenticator = standalone\nhttp01_address = localhost",
            "expected an IP address for http01_address but found `localhost`",
        ),
        ("renew_hook = echo a, b", "renew_hook is a list, because of an unquoted comma: put the whole value in quotes"),
        ("reuse_key = True, False", "reuse_key is a list, because of an unquoted comma: put the whole value in quotes"),
        ("[[webroot_map]]\na = /x, y", "a is a list, because of an unquoted comma: put the whole value in quotes"),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), message, "{line}");
    }
}

#[test]
fn names_in_values_are_resolved_and_one_that_is_not_there_is_an_error() {
    assert_eq!(params("account = x\nserver = https://%(cert)s/%(account)s\n").server.as_deref(), Some("https://c/x"));
    let error = parse("post_hook = date +%(Y)s\n").unwrap_err();
    assert!(
        matches!(&error, ConfError::Interpolation { key, name, .. } if key == "post_hook" && name == "Y"),
        "{error}"
    );
    assert!(parse("[[webroot_map]]\na = %(b)s\n").is_err());
    // certbot never looks at other keys.
    RenewalConf::parse(b"note = %(x)s\ncert = c\n[other]\ny = %(z)s\n").unwrap();
    RenewalConf::parse(b"cert = %(x)s\n").unwrap_err();
    RenewalConf::parse(b"version = %(x)s\n").unwrap_err();
}

#[test]
fn names_that_multiply_themselves_end() {
    let mut text = String::new();
    for level in 0..60 {
        text.push_str(&format!("k{level} = %(k{next})s%(k{next})s\n", next = level + 1));
    }
    let error = |leaf: &str| RenewalConf::parse(format!("cert = %(k0)s\n{text}k60 = {leaf}\n").as_bytes()).unwrap_err();
    assert!(error("x").to_string().contains("is one name too many"));
    assert!(error("''").to_string().contains("is one name too many"));
    // The values of a conf together, not each for itself.
    let long = "x".repeat(RenewalConf::MAX_BYTES / 3 + 1);
    let error = |cert: &str| RenewalConf::parse(format!("chain = %(k)s\ncert = {cert}\nk = {long}\n").as_bytes()).err();
    assert_eq!(error("c"), None);
    assert!(error("%(k)s").unwrap().to_string().contains("grows without bound"));
    let mut text = String::from("cert = %(k0)s\n");
    for level in 0..3000 {
        text.push_str(&format!("k{level} = %(k{})s\n", level + 1));
    }
    assert!(RenewalConf::parse(text.as_bytes()).unwrap_err().to_string().contains("too deeply"));
}

#[test]
fn hostile_lines_take_no_time() {
    let start = crate::processor_time::of_this_thread();
    for part in ["\"\",", "\"a\" b,", "' ,", ", ", "\"", "[", "[ ", "]", "%(", "%()", "a,#", "'''", " ", "\u{3000}"] {
        for head in ["k = ", "k = \"", "k = '", "[", "\"", "[a", "k = x ", "k = '''", ""] {
            let _ = RenewalConf::parse(format!("{head}{}x", part.repeat(200_000 / part.len())).as_bytes());
        }
    }
    let took = crate::processor_time::of_this_thread() - start;
    assert!(took.as_secs() < 30, "{took:?}");
}

#[test]
fn what_is_no_conf_is_refused_with_its_place() {
    assert_eq!(RenewalConf::parse(b"a = 1\nb = \xff\n").unwrap_err(), ConfError::NotUtf8 { line: 2 });
    let error = RenewalConf::parse(b"a = 1\n\nb\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3: neither `key = value` nor a section header");
    assert_eq!(RenewalConf::parse(&vec![b'\n'; RenewalConf::MAX_BYTES + 1]).unwrap_err(), ConfError::TooLarge);
    assert!(RenewalConf::parse(b"\x7fELF\x02\x01\x01\0\0\0").is_err());
    assert!(RenewalConf::parse(b"[cert]\n").unwrap_err().to_string().contains("a section"));
    assert!(RenewalConf::parse(b"cert = a, b\n").is_err());
    // Empty is a conf, but not one of a lineage.
    let empty = RenewalConf::parse(b"").unwrap();
    assert_eq!(empty.check_complete(), Err(ConfError::MissingPath { key: "cert" }));
    let without =
        RenewalConf::parse(b"cert = /c\nprivkey = /p\nchain = /h\nfullchain = /f\nrenewalparams = x\n").unwrap();
    assert_eq!(without.check_complete(), Err(ConfError::MissingRenewalParams));
}

#[test]
fn renew_before_expiry_may_have_commas() {
    let read = |line: &str| RenewalConf::parse(line.as_bytes()).unwrap().renew_before_expiry().map(str::to_owned);
    assert_eq!(read("renew_before_expiry = 30 days\n").as_deref(), Some("30 days"));
    assert_eq!(read("renew_before_expiry = 1 month, 2 days\n").as_deref(), Some("1 month, 2 days"));
}

/// Ends a chain of edits.
fn done(_: &mut ConfEdits) {}

/// The lines that differ, as `-old` and `+new`.
fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = old[..old.len() - tail].iter().map(|line| format!("-{line}"));
    minus.chain(new[..new.len() - tail].iter().map(|line| format!("+{line}"))).collect()
}

fn edited(old: &str, edit: impl FnOnce(&mut ConfEdits)) -> Result<String, ConfError> {
    let mut edits = ConfEdits::default();
    edit(&mut edits);
    RenewalConf::parse(old.as_bytes())?.edited(&edits).map(|conf| conf.text().to_owned())
}

#[test]
fn only_the_line_that_changes_changes() {
    let change = |edit: fn(&mut ConfEdits)| diff(CONF, &edited(CONF, edit).unwrap());
    assert_eq!(change(|_| {}), [""; 0]);
    // The same value again touches nothing, however it is written.
    assert_eq!(change(|e| done(e.param("key_type", Some("ecdsa")).param("x_note", Some("two\nlines")))), [""; 0]);
    assert_eq!(
        change(|e| done(e.param("server", Some("https://x/dir")))),
        ["-server = https://localhost:14000/dir   # ours\n", "+server = https://x/dir   # ours\n"]
    );
    assert_eq!(change(|e| done(e.param("key_type", Some("rsa")))), ["-  key_type = ecdsa\n", "+  key_type = rsa\n"]);
    assert_eq!(
        change(|e| done(e.param("x_note", Some("it's \"one\"")))),
        ["-x_note = '''two\n", "-lines''' # kept\n", "+x_note = \"\"\"it's \"one\"\"\"\" # kept\n"]
    );
    assert_eq!(change(|e| done(e.param("x_note", None))), ["-x_note = '''two\n", "-lines''' # kept\n"]);
    assert_eq!(
        change(|e| done(e.param("renew_hook", Some("systemctl reload nginx, apache")))),
        ["+renew_hook = \"systemctl reload nginx, apache\"\n"]
    );
    assert_eq!(
        change(|e| done(e.param_list("webroot_path", &["/a", "/b,c"]))),
        ["-webroot_path = /var/www/html,\n", "+webroot_path = /a, \"/b,c\"\n"]
    );
    assert_eq!(change(|e| done(e.top("renew_before_expiry", Some("10 days")))), ["+renew_before_expiry = 10 days\n"]);
    assert_eq!(change(|e| done(e.top("version", None))), ["-version = 5.8.0\n"]);
}

#[test]
fn a_new_key_goes_before_the_sub_sections_and_the_last_edit_of_a_key_counts() {
    let text = edited(CONF, |e| done(e.param("a", Some("1")).param("b", Some("")).param("a", Some("2")))).unwrap();
    assert!(text.contains("lines''' # kept\nb = \"\"\na = 2\n[[webroot_map]]\n"), "{text}");
    let text =
        edited("a = 1\n[renewalparams]\n# here\n[[webroot_map]]\nx = /y\n", |e| done(e.param("b", Some("2")))).unwrap();
    assert_eq!(text, "a = 1\n[renewalparams]\nb = 2\n# here\n[[webroot_map]]\nx = /y\n");
}

#[test]
fn line_ends_byte_order_mark_and_a_missing_last_line_end_survive() {
    let crlf = CONF.replace('\n', "\r\n");
    let text = edited(&crlf, |e| done(e.param("account", Some("b")).param("hook", Some("1\n2")))).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    let text = edited(&format!("\u{feff}{CONF}"), |e| done(e.param("account", Some("b")))).unwrap();
    assert_eq!(text.strip_prefix('\u{feff}'), Some(CONF.replace("a3f2e9e91e7f04fb722c9765f4e018af", "b").as_str()));
    let text = edited("a = 1\n[renewalparams]\nb = 2", |e| done(e.param("c", Some("3")))).unwrap();
    assert_eq!(text, "a = 1\n[renewalparams]\nb = 2\nc = 3\n");
    let text = edited("a = 1\n[renewalparams]\nb = 2", |e| done(e.param("b", Some("3")))).unwrap();
    assert_eq!(text, "a = 1\n[renewalparams]\nb = 3");
    let text = edited("a = 1", |e| done(e.param("b", Some("2")))).unwrap();
    assert_eq!(text, "a = 1\n[renewalparams]\nb = 2\n");
    assert_eq!(
        edited("a =\nb =# c\n", |e| done(e.top("a", Some("1")).top("b", Some("2")))).unwrap(),
        "a = 1\nb = 2 # c\n"
    );
}

#[test]
fn the_webroot_map_keeps_its_lines_where_the_order_allows_it() {
    let map = |pairs: &[(&str, &str)]| {
        let map: Vec<_> = pairs.iter().map(|(name, dir)| ((*name).to_owned(), PathBuf::from(dir))).collect();
        move |e: &mut ConfEdits| e.webroot_map = Some(map)
    };
    let (www, apex) = (("www.a.example", "/var/www/html"), ("a.example", "/var/www/html"));
    assert_eq!(edited(CONF, map(&[www, apex])).unwrap(), CONF);
    let text = edited(CONF, map(&[www, ("a.example", "/srv, new"), ("b.example", "/b")])).unwrap();
    assert_eq!(
        diff(CONF, &text),
        ["-a.example = /var/www/html\n", "+a.example = \"/srv, new\"\n", "+b.example = /b\n"]
    );
    let text = edited(CONF, map(&[apex])).unwrap();
    assert_eq!(diff(CONF, &text), ["-www.a.example = /var/www/html\n"]);
    let text = edited(CONF, map(&[apex, www])).unwrap();
    assert!(text.contains("[[webroot_map]]\n# the main site\na.example = /var/www/html\nwww.a.example ="), "{text}");
    let text = edited(CONF, map(&[])).unwrap();
    assert!(!text.contains("[[webroot_map]]") && text.contains("# the main site"), "{text}");
    let text = edited("a = 1\n[renewalparams]\nb = 2\n[other]\n", map(&[("*.x", "/y"), ("::1", "/z")])).unwrap();
    assert_eq!(text, "a = 1\n[renewalparams]\nb = 2\n[[webroot_map]]\n*.x = /y\n::1 = /z\n[other]\n");
}

#[test]
fn an_old_deploy_hook_does_not_come_to_life_again() {
    let old = "[renewalparams]\ndeploy_hook = old\nrenew_hook = new\n";
    assert_eq!(edited(old, |e| done(e.param("renew_hook", None))).unwrap(), "[renewalparams]\n");
    assert_eq!(edited(old, |e| done(e.param("deploy_hook", Some("x")))).unwrap(), "[renewalparams]\nrenew_hook = x\n");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let refused = |key: &str, value: &str| edited(CONF, |e| done(e.param(key, Some(value)))).unwrap_err().to_string();
    assert!(refused("post_hook", "date +%(x)s").contains("stands for another key's value"));
    assert!(refused("post_hook", "a\rb").contains("carriage return"));
    assert!(refused("post_hook", "'''\"\"\"\n").contains("triple quotes"));
    assert!(refused("webroot_map", "x").contains("a section has this name"));
    assert!(matches!(
        edited(CONF, |e| done(e.param("a=b", Some("x")))).unwrap_err(),
        ConfError::ReadsBackDifferently { .. }
    ));
    assert!(edited(CONF, |e| done(e.param("autorenew", Some("maybe")))).is_err());
    // `%` alone is harmless.
    assert!(edited(CONF, |e| done(e.param("post_hook", Some("date +%Y-%(x)d")))).is_ok());
    // Another key may depend on the one that goes.
    assert!(edited("cert = %(base)s/c\nbase = /x\n", |e| done(e.top("base", None))).is_err());
}

#[test]
fn a_new_conf_holds_what_was_asked_in_certbots_order() {
    let mut edits = ConfEdits::default();
    edits.top("version", Some("5.8.0")).top("cert", Some("/l/cert.pem"));
    edits.param("account", Some("a")).param("post_hook", Some("echo \"x\"")).param_list("webroot_path", &["/w"]);
    edits.webroot_map = Some(vec![("x.example".to_owned(), "/w".into())]);
    let conf = RenewalConf::new(&edits).unwrap();
    assert_eq!(
        conf.text(),
        "version = 5.8.0\ncert = /l/cert.pem\n[renewalparams]\naccount = a\npost_hook = 'echo \"x\"'\nwebroot_path = /w,\n\
         [[webroot_map]]\nx.example = /w\n"
    );
    assert_eq!(conf.params().webroot_map, [(ConfText::from("x.example"), ConfText::from("/w"))]);
    assert_eq!(RenewalConf::new(&ConfEdits::default()).unwrap().text(), "");
}

/// Texts that are hard on a grammar.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\""),
        Just("'"),
        Just("\"\"\""),
        Just("'''"),
        Just(","),
        Just("#"),
        Just(" "),
        Just("\t"),
        Just("="),
        Just("%("),
        Just(")s"),
        Just("%"),
        Just("["),
        Just("]"),
        Just("\n"),
        Just("\\"),
        Just("a"),
        Just("b"),
        Just("é"),
        Just("\u{3000}"),
        Just("\u{1c}"),
        Just("\u{feff}"),
        Just("[x]"),
        Just("x = y"),
        Just("\0"),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn values() -> impl Strategy<Value = ConfValue> {
    prop_oneof![texts().prop_map(ConfValue::Text), proptest::collection::vec(texts(), 0..4).prop_map(ConfValue::List)]
}

proptest! {
    #[test]
    fn what_is_set_is_read_back_or_refused(key in texts(), value in values()) {
        for known in ["note", "x_note", key.as_str()] {
            let edits = ConfEdits { params: vec![(known.to_owned(), Some(value.clone()))], ..ConfEdits::default() };
            let conf = RenewalConf::parse(CONF.as_bytes()).unwrap();
            match conf.edited(&edits) {
                Ok(edited) => {
                    prop_assert_eq!(edited.param(known), Some(value.clone()));
                    for (key, old) in conf.param_values().filter(|(key, _)| *key != known) {
                        prop_assert_eq!(edited.param(key), Some(old));
                    }
                    prop_assert_eq!(at_top(&edited), at_top(&conf));
                    // And taking it away again leaves the rest as it was.
                    let edits = ConfEdits { params: vec![(known.to_owned(), None)], ..ConfEdits::default() };
                    let removed = edited.edited(&edits).unwrap();
                    prop_assert_eq!(removed.param(known), None);
                }
                // certbot's grammar can hold every text without line breaks, `%(…)s` and both kinds of quotes.
                Err(error) => prop_assert!(
                    known == key || !matches!(&value, ConfValue::Text(text) if !text.contains(['\'', '"', '\n', '%'])),
                    "{} for {:?}", error, value
                ),
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused_and_an_edit_changes_nothing_else(text in proptest::collection::vec(texts(), 0..12)) {
        let text = text.concat();
        if let Ok(conf) = RenewalConf::parse(text.as_bytes()) {
            let same = conf.edited(&ConfEdits::default()).unwrap();
            prop_assert_eq!(same.text(), text.as_str());
            let mut edits = ConfEdits::default();
            edits.top("zz", Some("new")).param("zz", Some("new"));
            if let Ok(edited) = conf.edited(&edits) {
                let without = |conf| at_top(conf).into_iter().filter(|(key, _)| key != "zz").collect::<Vec<_>>();
                prop_assert_eq!(without(&edited), without(&conf));
            }
        }
    }
}
