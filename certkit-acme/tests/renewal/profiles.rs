//! Certificate profiles (draft-ietf-acme-profiles): only what is offered is sent, and what is refused has consequences.

use certkit_acme::renewal::{Outcome, Report};
use certkit_core::{FailureClass, FindingCode};
use testkit::{Answer, PebbleOptions, RequestKind};

use crate::support::{World, entry};

const OFFERED: [(&str, &str); 2] = [("classic", "https://ca.example/classic"), ("shortlived", "six days")];

async fn world(key: &str, profile: &str) -> World {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_profiles(&OFFERED);
    world.due("a.example.com").param(key, profile).write();
    world
}

fn codes(report: &Report) -> Vec<FindingCode> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[tokio::test]
async fn a_profile_that_is_offered_is_sent_and_remembered() {
    let world = world("preferred_profile", "shortlived").await;
    assert!(world.run().await.is_success());
    assert_eq!(world.proxy().new_orders()[0].profile.as_deref(), Some("shortlived"));
    assert_eq!(world.state("a.example.com").issued_profile.as_deref(), Some("shortlived"));
}

#[tokio::test]
async fn a_preferred_profile_that_is_not_offered_is_done_without_and_told() {
    let world = world("preferred_profile", "tlsserver").await;
    let report = world.run().await;
    assert!(report.is_success());
    assert_eq!(world.proxy().new_orders().len(), 1);
    assert_eq!(world.proxy().new_orders()[0].profile, None);
    assert!(codes(&report).contains(&FindingCode::ProfileNotGranted), "{report:?}");
}

#[tokio::test]
async fn a_preferred_profile_that_the_ca_refuses_falls_back_and_a_required_one_fails() {
    // nginx-acme#71: Let's Encrypt says `unauthorized` for a profile that exists but is not open to the account.
    for answer in [Answer::invalid_profile("shortlived"), Answer::profile_not_permitted("shortlived")] {
        let preferring = world("preferred_profile", "shortlived").await;
        preferring.proxy().on(RequestKind::NewOrder).with_profile("shortlived").answer(answer.clone());
        let report = preferring.run().await;
        assert!(report.is_success(), "{report:?}");
        let profiles: Vec<_> = preferring.proxy().new_orders().into_iter().map(|order| order.profile).collect();
        assert_eq!(profiles, [Some("shortlived".to_owned()), None]);
        assert!(codes(&report).contains(&FindingCode::ProfileNotGranted));

        let requiring = world("required_profile", "shortlived").await;
        requiring.proxy().on(RequestKind::NewOrder).with_profile("shortlived").answer(answer);
        let report = requiring.run().await;
        let Outcome::Failed { failure, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
        assert_eq!(failure.class, FailureClass::ProfileRefused);
        assert_eq!(requiring.proxy().new_orders().len(), 1);
    }
}

#[tokio::test]
async fn a_profile_that_is_withdrawn_before_the_order_is_finalized_is_done_without() {
    let world = world("preferred_profile", "shortlived").await;
    world.proxy().on(RequestKind::Finalize).times(1).answer(Answer::invalid_profile("shortlived"));
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let profiles: Vec<_> = world.proxy().new_orders().into_iter().map(|order| order.profile).collect();
    assert_eq!(profiles, [Some("shortlived".to_owned()), None]);
}
