//! State, history and pending orders.

use std::fs;
use std::os::unix::fs::MetadataExt;

use certkit_core::FindingCode;
use certkit_core::state::{Event, RecordedEvent};

use crate::support::*;

#[test]
fn an_order_is_durable_private_and_not_replaced() {
    let dir = temp_dir();
    let store = lock(dir.path());
    let mut pending = store.begin(&name(), &key("v2"), order()).unwrap();
    store.mark_finalizing(&mut pending).unwrap();
    let read = store.store().pending(&name()).unwrap().unwrap();
    assert_eq!(read.order, pending.order);
    assert!(read.order.finalizing);
    assert_eq!(read.key.der(), key("v2").der());
    let error = store.begin(&name(), &key("v3"), order()).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(store.store().pending(&name()).unwrap().unwrap().key.der(), key("v2").der());
    for path in walk(&dir.path().join("certkit")) {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o077, 0, "{}", path.display());
    }
    store.drop_pending(&name()).unwrap();
    store.drop_pending(&name()).unwrap();
    assert!(store.store().pending(&name()).unwrap().is_none());
    store.begin(&name(), &key("v3"), order()).unwrap();
}

#[test]
fn a_damaged_order_counts_as_none_and_is_replaced_but_one_of_a_newer_certkit_is_kept() {
    let dir = temp_dir();
    let store = lock(dir.path());
    let file = dir.path().join("certkit/pending/a.example.org/order.json");
    for damage in ["", "{", "\0\0\0\0", "{\"schema\":1}", "[]"] {
        store.begin(&name(), &key("v2"), order()).unwrap();
        fs::write(&file, damage).unwrap();
        assert!(store.store().pending(&name()).unwrap().is_none(), "{damage:?}");
        let recovered = store.recover(&TestMath::default(), now()).unwrap();
        assert_eq!(recovered[0].finding.code, FindingCode::StateDamaged);
        assert!(!file.exists());
    }
    store.begin(&name(), &key("v2"), order()).unwrap();
    fs::write(&file, "{\"schema\":2}").unwrap();
    assert!(store.store().pending(&name()).is_err());
    assert!(store.begin(&name(), &key("v3"), order()).is_err());
    store.recover(&TestMath::default(), now()).unwrap();
    assert!(file.exists());
}

#[test]
fn state_survives_and_a_damaged_one_is_empty_with_a_finding() {
    let dir = temp_dir();
    let store = lock(dir.path());
    assert!(store.store().state(&name()).unwrap().1.is_none());
    record(&store, certkit_core::Version(3)).unwrap();
    let (written, finding) = store.store().state(&name()).unwrap();
    assert!(finding.is_none());
    assert_eq!(written.last_success, Some(now()));
    assert_eq!(store.store().remembered().unwrap(), [name()]);
    let file = dir.path().join("certkit/state/a.example.org.json");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    for damage in ["", "{", "\0\0\0\0", "{\"schema\":1}", "{\"schema\":99,\"state\":{}}", "{}}"] {
        fs::write(&file, damage).unwrap();
        let (state, finding) = store.store().state(&name()).unwrap();
        assert_eq!(state, Default::default());
        assert_eq!(finding.unwrap().code, FindingCode::StateDamaged, "{damage:?}");
    }
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    assert!(store.store().state(&name()).unwrap().1.is_some());
    store.save_state(&name(), &written).unwrap();
    assert_eq!(store.store().state(&name()).unwrap(), (written, None));
}

#[test]
fn history_is_appended_bounded_and_a_torn_line_costs_only_itself() {
    let dir = temp_dir();
    let store = lock(dir.path());
    let event = |number: u64| {
        let serial = format!("{number:064x}");
        RecordedEvent::new(now(), Event::Issued { serial, not_after: now() })
    };
    store.append_history(&name(), &[event(1), event(2)]).unwrap();
    let file = dir.path().join("certkit/state/history/a.example.org.jsonl");
    let mut torn = fs::read(&file).unwrap();
    torn.extend_from_slice(b"{\"at\":\"2026-");
    fs::write(&file, torn).unwrap();
    store.append_history(&name(), &[event(3)]).unwrap();
    assert_eq!(store.store().history(&name()).unwrap(), [event(1), event(2), event(3)]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);

    let many: Vec<_> = (4..10_004).map(event).collect();
    for chunk in many.chunks(2_000) {
        store.append_history(&name(), chunk).unwrap();
        assert!(fs::metadata(&file).unwrap().len() <= 1 << 20);
    }
    let history = store.store().history(&name()).unwrap();
    assert_eq!(history.last(), many.last());
    assert!(history.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(many.ends_with(&history), "the newest ones, without a gap");
    assert_eq!(store.store().remembered().unwrap(), [name()]);
}
