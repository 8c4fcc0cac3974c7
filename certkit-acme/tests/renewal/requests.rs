//! How much a certificate asks of its CA, and of the disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certkit_acme::Stop;
use certkit_acme::renewal::{Observer, Renewer, Request};
use certkit_core::LineageName;
use certkit_core::state::Event;
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

/// Which file the state was at each event: whoever replaces a file leaves another inode, and the one before is not free yet.
struct Inodes {
    state: PathBuf,
    seen: Mutex<Vec<(Event, u64)>>,
}

impl Observer for Inodes {
    fn event(&self, _: &LineageName, event: &Event) {
        self.seen.lock().unwrap().push((event.clone(), std::fs::metadata(&self.state).unwrap().ino()));
    }
}

#[tokio::test]
async fn an_event_that_changes_nothing_in_the_state_does_not_write_it() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    let name = LineageName::new("a.example.com").unwrap();
    let inodes = Arc::new(Inodes { state: world.paths().state_file(&name), seen: Mutex::default() });
    let observer = Arc::clone(&inodes) as Arc<dyn Observer>;
    let renewer = Renewer::builder(world.store()).transport(world.transport()).observer(observer).build().unwrap();
    let mut request = Request::renew();
    request.probe_endpoints = false;
    assert!(renewer.run(request, &Stop::new()).await.unwrap().is_success());
    let seen = inodes.seen.lock().unwrap();
    let (mut written, mut left) = (0, 0);
    for pair in seen.windows(2) {
        let is_for_the_history_alone = matches!(pair[1].0, Event::Validating { .. } | Event::Authorized);
        assert_eq!(pair[0].1 == pair[1].1, is_for_the_history_alone, "{pair:?}");
        if is_for_the_history_alone { left += 1 } else { written += 1 }
    }
    assert!(left == 2 && written >= 5, "{seen:?}");
    let kept = world.store().history(&name).unwrap();
    assert!(kept.iter().any(|recorded| matches!(recorded.event, Event::Authorized)), "{kept:?}");
}
