//! How much a certificate asks of its CA.

use std::time::Duration;

use testkit::{PebbleOptions, RequestKind};

use crate::support::World;

/// Long enough for Pebble to have validated or issued, on a busy machine too: the CA then never makes us wait.
const AT_WORK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_certificate_for_one_name_costs_eight_requests_of_a_ca_that_is_quick() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    let proxy = world.proxy();
    // The look that follows the challenge, and the one that follows the CSR.
    proxy.on(RequestKind::Authorization).nth(2).delayed(AT_WORK).pass();
    proxy.on(RequestKind::Order).delayed(AT_WORK).pass();
    proxy.forget_log();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let kinds: Vec<RequestKind> = proxy.log().iter().map(|request| request.kind).collect();
    assert_eq!(
        kinds,
        [
            // Once in a run: a CA may move what is in it, and Let's Encrypt says `Cache-Control: no-cache`.
            RequestKind::Directory,
            RequestKind::NewNonce,
            RequestKind::NewOrder,
            RequestKind::Authorization,
            RequestKind::Challenge,
            RequestKind::Authorization,
            RequestKind::Finalize,
            RequestKind::Order,
            RequestKind::Certificate,
        ]
    );
}
