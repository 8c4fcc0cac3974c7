//! State, history and pending orders.

use std::fs;
use std::os::unix::fs::MetadataExt;

use certkit_core::state::{Event, Ledger, RecordedEvent};
use certkit_core::store::{SpareMemory, Store, StorePaths, ToldMemory};
use certkit_core::{Finding, FindingCode, LineageName, NoticeFacts, NoticeMemory, Outlook, due_notices};
use proptest::prelude::*;

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

#[test]
fn odd_entries_stop_neither_their_lineage_nor_others() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let own = dir.path().join("certkit");
    for folder in [
        "pending/zzz/sub",
        "pending/a.example.org/order.json",
        "state/a.example.org.json",
        "state/history/a.example.org.jsonl/x",
        "commit/a.example.org.json/x",
    ] {
        fs::create_dir_all(own.join(folder)).unwrap();
    }
    fs::write(own.join("pending/a.example.org/privkey.pem"), "a key").unwrap();
    fs::write(own.join("pending/file"), "no directory").unwrap();
    let store = lock(dir.path());
    store.recover(&TestMath::default(), now()).unwrap();
    assert_eq!(store.store().pending_names().unwrap(), []);
    assert!(walk(&own).iter().all(|path| !path.ends_with("privkey.pem")));
    store.check_committable(&name()).unwrap();
    assert_eq!(renew(&store, "v3", &Default::default()).unwrap().version, certkit_core::Version(3));
    store.append_history(&name(), &[RecordedEvent::new(now(), event())]).unwrap();
    assert_eq!(store.store().history(&name()).unwrap().len(), 1);
    assert!(state(store.store()).deployed_version.is_some() || store.store().state(&name()).unwrap().1.is_none());
    // With such a thing anew in their place, all of it goes with the lineage.
    fs::remove_file(own.join("state/a.example.org.json")).unwrap();
    fs::create_dir(own.join("state/a.example.org.json")).unwrap();
    store.delete(&name()).unwrap();
}

#[test]
fn nothing_is_ordered_where_it_could_not_be_remembered() {
    for folder in ["pending", "commit", "state", "state/history"] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        let path = dir.path().join("certkit").join(folder);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a file").unwrap();
        assert!(lock(dir.path()).check_committable(&name()).is_err(), "{folder}");
    }
}

#[test]
fn the_memory_of_a_newer_version_is_kept() {
    let dir = temp_dir();
    let store = lock(dir.path());
    let path = dir.path().join("certkit/state/a.example.org.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let newer = r#"{"schema": 2, "state": {"wisdom": 1}}"#;
    fs::write(&path, newer).unwrap();
    store.save_state(&name(), &Default::default()).unwrap();
    store.save_state(&name(), &Default::default()).unwrap();
    let kept = dir.path().join("certkit/state/.a.example.org.json.damaged-1");
    assert_eq!(fs::read_to_string(kept).unwrap(), newer);
    assert!(store.store().state(&name()).unwrap().1.is_none());
}

fn event() -> Event {
    Event::Revoked { serial: "01".into() }
}

#[test]
fn the_ledger_survives_damage_costs_only_its_content_and_a_lineage_of_that_name_has_its_own_state() {
    let dir = temp_dir();
    let store = lock(dir.path());
    let mut ledger = Ledger::default();
    ledger.run_began(now());
    store.save_ledger(&ledger).unwrap();
    let (read, finding) = store.store().ledger().unwrap();
    assert_eq!((read, finding), (ledger, None));
    let paths = store.store().paths().clone();
    let same_name = LineageName::new("ledger").unwrap();
    assert!(store.store().state(&same_name).unwrap().1.is_none());
    for damage in ["", "{", "{\"schema\":1}", "{\"schema\":99,\"state\":{}}"] {
        fs::write(paths.ledger_file(), damage).unwrap();
        let (read, finding) = store.store().ledger().unwrap();
        assert_eq!(read, Ledger::default());
        assert_eq!(finding.unwrap().code, FindingCode::StateDamaged, "{damage:?}");
    }
    store.save_seed(b"random").unwrap();
    assert_eq!(store.store().seed().unwrap().as_deref(), Some(b"random".as_slice()));
    assert_eq!(fs::metadata(paths.seed_file()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn what_was_told_is_kept_privately_and_damage_costs_only_that_it_is_told_again() {
    let dir = temp_dir();
    let store = lock(dir.path());
    assert_eq!(store.store().notice_memory().unwrap(), (NoticeMemory::default(), None));
    let unusable = [Finding::new(FindingCode::SettingsUnusable, "certkit/settings.toml", "line 2")];
    let outlook = Outlook::default();
    let facts = NoticeFacts::new(&[], &unusable, &outlook, now());
    let mut memory = NoticeMemory::default();
    memory.told(&due_notices(&facts, &memory)[0], now());
    store.save_notice_memory(&memory).unwrap();
    let (read, finding) = store.store().notice_memory().unwrap();
    assert_eq!((&read, finding), (&memory, None));
    assert!(due_notices(&facts, &read).is_empty());
    let file = store.store().paths().notices_file();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(store.store().remembered().unwrap().is_empty(), "it is no lineage's");
    for damage in ["", "{", "{\"schema\":1}", "{\"schema\":99,\"state\":{}}"] {
        fs::write(&file, damage).unwrap();
        let (read, finding) = store.store().notice_memory().unwrap();
        assert_eq!(due_notices(&facts, &read).len(), 1);
        assert_eq!(finding.unwrap().code, FindingCode::StateDamaged, "{damage:?}");
    }
}

#[test]
fn what_was_told_while_the_store_could_not_be_written_is_known_until_it_can() {
    let dir = temp_dir();
    let at = |folder: &str| dir.path().join(folder);
    let paths = StorePaths::new(at("etc"), at("work"), at("logs"));
    let store = Store::open(paths.clone()).unwrap().lock().unwrap();
    let full = [Finding::new(FindingCode::StoreFull, "/etc/letsencrypt", "")];
    let outlook = Outlook::default();
    let mut told = ToldMemory::default();
    let notice = due_notices(&NoticeFacts::new(&[], &full, &outlook, now()), &told.notices).remove(0);
    store.save_told(&told).unwrap();
    told.notices.told(&notice, now());
    let spare = SpareMemory::new(&paths, &[at("run")]);
    let read = || SpareMemory::new(&paths, &[at("run")]).read(store.store());
    assert!(read().is_none());
    let file = spare.write(store.store(), &told).unwrap();
    assert!(file.starts_with(at("work")), "{}", file.display());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(read().as_ref(), Some(&told));
    // Another tree with the same folders has its own.
    let other = StorePaths::new(at("other"), at("work"), at("logs"));
    assert!(SpareMemory::new(&other, &[]).read(store.store()).is_none());
    // Where the first folder cannot be written the next one is taken, and holds the only file.
    fs::remove_dir_all(at("work")).unwrap();
    std::os::unix::fs::symlink(at("work"), at("work")).unwrap();
    assert!(spare.write(store.store(), &told).unwrap().starts_with(at("logs")));
    fs::remove_dir_all(at("logs")).unwrap();
    std::os::unix::fs::symlink(at("logs"), at("logs")).unwrap();
    assert!(spare.write(store.store(), &told).unwrap().starts_with(at("run")));
    assert_eq!(read().as_ref(), Some(&told));
    fs::remove_dir_all(at("run")).unwrap();
    std::os::unix::fs::symlink(at("run"), at("run")).unwrap();
    spare.write(store.store(), &told).unwrap_err();
    assert!(read().is_none() && spare.is_kept_here(store.store()), "only whoever goes on running knows it");
    assert_eq!(spare.read(store.store()).as_ref(), Some(&told));
    // Whoever writes to the store, or puts it back from a backup, knows better.
    fs::write(paths.notices_file(), "{\"schema\":1,\"state\":{}}").unwrap();
    assert!(spare.read(store.store()).is_none() && !spare.is_kept_here(store.store()));
    store.save_told(&told).unwrap();
    spare.write(store.store(), &told).unwrap_err();
    spare.forget();
    assert!(spare.read(store.store()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_state_file_loses_nothing_but_its_content(
        cut in prop::option::of(0.0..1.0_f64),
        changes in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..8),
    ) {
        let dir = temp_dir();
        let store = lock(dir.path());
        let other = LineageName::new("other.example.org").unwrap();
        record(&store, certkit_core::Version(3)).unwrap();
        let (written, _) = store.store().state(&name()).unwrap();
        store.save_state(&other, &written).unwrap();
        let mut ledger = Ledger::default();
        ledger.run_began(now());
        store.save_ledger(&ledger).unwrap();
        let history = [RecordedEvent::new(now(), event())];
        store.append_history(&name(), &history).unwrap();

        let file = dir.path().join("certkit/state/a.example.org.json");
        let mut content = fs::read(&file).unwrap();
        if let Some(part) = cut {
            content.truncate((content.len() as f64 * part) as usize);
        }
        for (place, byte) in changes {
            let place = (content.len() as f64 * place) as usize;
            if let Some(there) = content.get_mut(place) {
                *there = byte;
            }
        }
        fs::write(&file, &content).unwrap();

        let (state, finding) = store.store().state(&name()).unwrap();
        if finding.is_some() {
            prop_assert_eq!(state, Default::default());
        }
        prop_assert_eq!(fs::read(&file).unwrap(), content, "reading repairs nothing");
        prop_assert_eq!(store.store().state(&other).unwrap(), (written.clone(), None));
        prop_assert_eq!(store.store().ledger().unwrap(), (ledger, None));
        prop_assert_eq!(store.store().history(&name()).unwrap(), history);
        store.save_state(&name(), &written).unwrap();
        prop_assert_eq!(store.store().state(&name()).unwrap(), (written, None));
    }
}
