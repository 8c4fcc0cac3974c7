//! Confs that name live links of another lineage, or of another kind: nothing is put there, by a renewal, a roll-back or the
//! recovery before a run.

use std::fs;
use std::path::Path;

use certkit_core::LineageName;
use certkit_core::store::{CommitError, ConfPlan, Kind};

use crate::support::*;

/// Changes the lines of the first lineage's conf.
fn rewrite(dir: &Path, changes: &[(&str, &str)]) {
    let conf = dir.join("renewal/a.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let change = |line: &str| {
        let found = changes.iter().find(|(kind, _)| line.starts_with(&format!("{kind} = ")));
        found.map_or_else(|| line.to_owned(), |(kind, path)| format!("{kind} = {}/live/{path}", dir.display())) + "\n"
    };
    fs::write(&conf, text.lines().map(change).collect::<String>()).unwrap();
}

#[test]
fn a_link_that_is_not_the_lineages_own_is_left_as_it_is() {
    let own = |file: &str| format!("a.example.org/{file}");
    for (changes, broken) in [
        (vec![("privkey", "b.example.org/privkey.pem".to_owned())], None),
        (vec![("cert", "b.example.org/cert.pem".to_owned())], None),
        (vec![("privkey", own("fullchain.pem")), ("fullchain", own("privkey.pem"))], None),
        (vec![("cert", own("chain.pem"))], None),
        // With its link gone, all the links that are left lead into one archive.
        (vec![("privkey", "b.example.org/privkey.pem".to_owned())], Some(Kind::Privkey)),
    ] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1", "v2"]);
        lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3"]);
        if let Some(kind) = broken {
            fs::remove_file(dir.path().join("live/b.example.org").join(kind.live_file())).unwrap();
        }
        let as_str: Vec<_> = changes.iter().map(|(kind, path)| (*kind, path.as_str())).collect();
        rewrite(dir.path(), &as_str);
        let tops = ["live", "archive", "renewal"].map(|top| dir.path().join(top));
        // The other lineage may be put right by itself.
        let of_first = |path: &Path| broken.is_none() || !path.starts_with(tops[0].join("b.example.org"));
        let look = || {
            let all = tops.iter().flat_map(|top| snapshot(top));
            all.filter(|(path, ..)| of_first(path)).collect::<Vec<_>>()
        };
        let before = look();
        let store = lock(dir.path());
        for one in store.recover(&TestMath::default(), now()).unwrap() {
            assert!(one.made_live.is_none() || one.name.as_ref() != Some(&name()), "{changes:?}: {one:?}");
        }
        let asked = store.check_committable(&name()).unwrap_err();
        let renewed = renew(&store, "v4", &ConfPlan::default()).unwrap_err();
        for refused in [asked, renewed] {
            assert!(matches!(&refused, CommitError::Refused(why) if why.contains("/live/a.example.org/")), "{refused}");
        }
        assert_eq!(look(), before, "{changes:?}");
        for version in [1, 2, 3] {
            let key = dir.path().join(format!("live/b.example.org/{}", Kind::Privkey.live_file()));
            let led = fs::read_link(&key).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
            assert!(!led.contains(&format!("a.example.org/privkey{version}")), "{changes:?}: {led}");
        }
    }
}

#[test]
fn a_second_conf_for_the_same_links_keeps_nothing_from_the_first() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let conf = dir.path().join("renewal/a.example.org.conf");
    fs::copy(&conf, dir.path().join("renewal/0.example.org.conf")).unwrap();
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    renew(&store, "v3", &ConfPlan::default()).unwrap();
    assert_eq!(whole_version(dir.path(), &name()).1, chain("v3").leaf);
}
