//! A renewal/NAME.conf: a file of any content is read or refused. What was read is written as it is, and an edit changes
//! what it names and nothing else. (What `configobj` makes of the same bytes is compared in certkit-core's tests.)
#![no_main]

use certkit_core::store::{ConfEdits, RenewalConf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(conf) = RenewalConf::parse(bytes) else { return };
    let again = RenewalConf::parse(conf.text().as_bytes()).expect("what was read can be read again");
    assert_eq!(again.text(), conf.text());
    assert!(params(&again, "").eq(params(&conf, "")));

    let unchanged = conf.edited(&ConfEdits::default());
    assert!(unchanged.is_ok_and(|same| same.text() == conf.text()));

    let mut edits = ConfEdits::default();
    edits.param("server", Some("https://ca.example/dir?a=1,2#3 '\""));
    // A conf can be such that no line can be added to it safely; then nothing is changed.
    let Ok(edited) = conf.edited(&edits) else { return };
    assert_eq!(edited.param_text("server"), Some("https://ca.example/dir?a=1,2#3 '\""));
    // Whatever names another key says what that says now.
    let names_others = conf.text().contains("%(");
    assert!(names_others || params(&edited, "server").eq(params(&conf, "server")));
    edits.param("server", None);
    if let Ok(removed) = edited.edited(&edits) {
        assert!(removed.param("server").is_none());
        assert!(names_others || params(&removed, "server").eq(params(&conf, "server")));
    }
});

fn params<'a>(conf: &'a RenewalConf, without: &'a str) -> impl Iterator<Item = (&'a str, String)> {
    conf.param_values().filter(move |(key, _)| *key != without).map(|(key, value)| (key, format!("{value:?}")))
}
