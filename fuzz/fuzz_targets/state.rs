//! certkit/state: JSON of any content is a memory or none. A memory with any instants and numbers in it decides on without a
//! panic, and is written so that it reads back as itself.
#![no_main]

use certkit_core::decision::{Cadence, RenewalWish};
use certkit_core::state::{DeliveryMemory, Event, Ledger, LineageState, RecordedEvent};
use certkit_core::{LineageName, NoticeMemory, Outlook, PlanInput, Summary, Validity, Version, decide};
use chrono::{DateTime, TimeDelta, Utc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).expect("a good instant");
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = serde_json::from_slice::<RecordedEvent>(line);
    }
    let deliveries = serde_json::from_slice::<DeliveryMemory>(bytes);
    let notices = serde_json::from_slice::<NoticeMemory>(bytes);
    let _ = (deliveries.map(|memory| reread(&memory)), notices.map(|memory| reread(&memory)));
    let ledger = serde_json::from_slice::<Ledger>(bytes).inspect(reread).unwrap_or_default();
    let Ok(mut state) = serde_json::from_slice::<LineageState>(bytes)
        .inspect(reread)
        .or_else(|error| if ledger == Ledger::default() { Err(error) } else { Ok(LineageState::default()) })
    else {
        return;
    };
    let validity = Validity { not_before: now - TimeDelta::days(80), not_after: now + TimeDelta::days(10) };
    let outlook = Outlook::new(ledger, Cadence::every(TimeDelta::hours(12)));
    for _ in 0..2 {
        let name = LineageName::new("a.example").expect("a good name");
        let input = PlanInput::new(name, Some(validity), RenewalWish::default()).remembering(state.clone());
        let entry = decide(&input, &outlook.ledger, &outlook, now);
        let summary = Summary::of(entry, input, now);
        let _ = (summary.condition(), summary.lifeline(now), summary.served(), summary.next_renewal(now));
        let _ = (state.deploy_retry(), state.served_retry(), state.not_served(), state.knows(Version(1)));
        state.apply(&Event::FirstSeen { version: Version(1) }, now);
        state.apply(&Event::Authorized, now);
        reread(&state);
    }
});

fn reread<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(memory: &T) {
    let text = serde_json::to_vec(memory).expect("a memory can be written");
    assert_eq!(&serde_json::from_slice::<T>(&text).expect("a memory that was written can be read"), memory);
}
