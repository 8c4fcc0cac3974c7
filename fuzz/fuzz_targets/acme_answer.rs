//! An answer of a CA, head and body, as everything that it could be: directory, order, authorization, account, problem,
//! renewal information, chain. What is refused goes into a lineage's state, as a failed attempt does, and the state decides
//! on: whatever a CA says, the next try has an instant and the message is safe to show.
#![no_main]

use certkit_acme::fuzzing::read_as_everything;
use certkit_core::decision::{Cadence, RenewalWish};
use certkit_core::state::{Event, Ledger, LineageState};
use certkit_core::{AcmeUrl, LineageName, Outlook, PlanInput, decide};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).expect("a good instant");
    let url = AcmeUrl::parse("https://ca.example/acme/order/1").expect("a good URL");
    let mut state = LineageState::default();
    for (message, failure) in read_as_everything(&url, raw, now) {
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
        assert!(!failure.detail.contains(|c: char| c.is_control()), "{failure:?}");
        state.apply(&Event::AttemptFailed { failure }, now);
    }
    let stored = serde_json::to_vec(&state).expect("a state can be written");
    let state: LineageState = serde_json::from_slice(&stored).expect("a state that was written can be read");
    let name = LineageName::new("a.example").expect("a good name");
    let input = PlanInput::new(name, None, RenewalWish::default()).remembering(state);
    let outlook = Outlook::new(Ledger::default(), Cadence::every(chrono::TimeDelta::hours(12)));
    let _ = format!("{:?}", decide(&input, &outlook.ledger, &outlook, now));
});
