//! What could not be delivered, over several runs and channels.

use certkit_core::state::DeliveryMemory;
use testkit::WebSink;

use crate::support::{arrived, deliver, expiring, notifier, recovered};

fn two(one: &WebSink, other: &WebSink, level: &str) -> String {
    let (one, other) = (one.url("/1"), other.url("/2"));
    format!(
        "[[notify]]\nname = \"one\"\nwebhook = \"generic\"\nurl = \"{one}\"\n[[notify]]\nname = \"other\"\nwebhook = \"generic\"\nurl = \"{other}\"\nlevel = \"{level}\"\n"
    )
}

#[tokio::test]
async fn a_channel_that_fails_gets_it_later_and_the_other_not_again() {
    let (one, other) = (WebSink::start(), WebSink::start());
    let notifier = notifier(&two(&one, &other, "info"));
    let mut memory = DeliveryMemory::default();
    other.answer(503, "");
    deliver(&notifier, &mut memory, &[expiring("a.example")]).await;
    assert_eq!((one.take().len(), other.take().len()), (1, 1));
    assert_eq!(memory.channels["other"].failures, 1);
    arrived(&deliver(&notifier, &mut memory, &[]).await);
    assert_eq!((one.take().len(), other.take().len()), (0, 1));
    assert_eq!((memory.channels["other"].failures, memory.channels["other"].waiting.len()), (0, 0));
}

#[tokio::test]
async fn what_is_over_before_it_arrived_is_told_to_nobody_who_did_not_hear_of_it() {
    let (one, other) = (WebSink::start(), WebSink::start());
    let notifier = notifier(&two(&one, &other, "info"));
    let mut memory = DeliveryMemory::default();
    other.answer(503, "");
    deliver(&notifier, &mut memory, &[expiring("a.example")]).await;
    one.take();
    other.take();
    arrived(&deliver(&notifier, &mut memory, &[recovered("a.example")]).await);
    let bodies = one.take();
    assert_eq!((bodies.len(), other.take().len()), (1, 0));
    assert_eq!(bodies[0].json()["resolved"], true);
}

#[tokio::test]
async fn a_channel_hears_what_is_urgent_enough_for_it_and_that_it_is_over() {
    let (one, other) = (WebSink::start(), WebSink::start());
    let notifier = notifier(&two(&one, &other, "emergency"));
    let mut memory = DeliveryMemory::default();
    let mut worst = expiring("b.example");
    worst.level = certkit_core::NoticeLevel::Emergency;
    arrived(&deliver(&notifier, &mut memory, &[expiring("a.example"), worst]).await);
    let certificates = other.take()[0].json()["certificates"].clone();
    assert_eq!(certificates, serde_json::json!(["b.example"]));
    one.take();
    arrived(&deliver(&notifier, &mut memory, &[recovered("a.example"), recovered("b.example")]).await);
    assert_eq!(one.take()[0].json()["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(other.take()[0].json()["certificates"], serde_json::json!(["b.example"]));
}
