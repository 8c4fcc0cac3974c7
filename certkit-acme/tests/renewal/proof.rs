//! A renewal is done when the new version is served: nginx that reloads, nginx that does not, and nobody at all.

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Request};
use certkit_core::FindingCode;
use certkit_core::state::Serving;
use certkit_core::store::Kind;
use chrono::TimeDelta;
use testkit::{Answer, Nginx, NginxOptions, PebbleOptions, serial_of_file};

use crate::support::{World, entry};

const NAME: &str = "a.example.com";

/// A web server that serves what is live.
fn serving(world: &World) -> Nginx {
    let tls = Some((world.live(NAME, Kind::Fullchain), world.live(NAME, Kind::Privkey)));
    Nginx::start(&NginxOptions { tls, ..NginxOptions::default() })
}

/// The owner says that it is served there.
fn says_where(world: &World, nginx: &Nginx) {
    let text = format!("proof_patience = \"2 seconds\"\n[[endpoint]]\nhost = \"{NAME}:{}\"\n", nginx.tls_port());
    world.set(NAME, &text);
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn what_is_not_served_keeps_the_deploy_pending_and_the_hook_runs_once_more_for_it() {
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("hooks");
    // A hook that succeeds and reloads nothing.
    world.due(NAME).param("renew_hook", &format!("echo ran >> {}", log.display())).write();
    let nginx = serving(&world);
    says_where(&world, &nginx);
    let port = nginx.tls_port();
    let ends = world.store().lineage(&NAME.parse().unwrap()).unwrap().unwrap().certificate().unwrap().validity();
    let ends = ends.not_after.format("%Y-%m-%d");
    let says = format!("{NAME}:{port} at 127.0.0.1:{port} still serves version 1 (expires {ends}), not version 2");

    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(entry(&report, NAME).not_served, [says.as_str()]);
    assert!(!report.is_success() && world.state(NAME).deploy_pending.is_empty());
    let told: Vec<_> = report.findings.iter().filter(|one| one.code == FindingCode::NotServed).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].what().contains(&says) && told[0].subject == NAME, "{told:?}");
    assert_eq!(lines(&log), 1);

    // The next run tries what makes servers read it once more, and those after it only look.
    for ran in [2, 2, 2] {
        let report = world.run().await;
        assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
        assert_eq!(entry(&report, NAME).not_served, [says.as_str()]);
        assert!(!report.is_success());
        assert_eq!(lines(&log), ran);
    }
    assert_eq!(world.seen.kinds(NAME).iter().filter(|kind| *kind == "deploy-repeated").count(), 1);

    // Whoever reloads it later has cured it.
    nginx.reload();
    let serial = serial_of_file(world.live(NAME, Kind::Cert));
    assert_eq!(nginx.wait_for_serial(NAME, &serial), serial);
    let mut report = world.run().await;
    // The worker that is about to end may answer once more.
    for _ in 0..20 {
        if report.is_success() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        report = world.run().await;
    }
    assert!(report.is_success() && entry(&report, NAME).not_served.is_empty(), "{report:?}");
    assert_eq!(Serving::of(&world.state(NAME).served), Serving::Matches);
    assert_eq!((lines(&log), world.pebble.orders_placed()), (2, 1));
}

#[tokio::test]
async fn a_server_that_reloads_is_given_the_time_for_it() {
    let world = World::new(PebbleOptions::default()).await;
    let script = world.file("reload.sh");
    world.due(NAME).param("renew_hook", &format!("sh {}", script.display())).write();
    let nginx = serving(&world);
    // Longer than a look and shorter than the patience.
    let text = format!("(sleep 1; {}) > {} 2>&1 &\n", nginx.reload_command(), world.file("log").display());
    std::fs::write(&script, text).unwrap();
    world.set(NAME, &format!("proof_patience = 20\n[[endpoint]]\nhost = \"{NAME}:{}\"\n", nginx.tls_port()));
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.is_success() && report.findings.is_empty(), "{report:?}");
    assert_eq!(Serving::of(&entry(&report, NAME).served), Serving::Matches);
    // What is served is not looked at again in a run a moment later.
    let looked = world.state(NAME).served[0].checked_at;
    assert!(world.run().await.is_success());
    assert_eq!(world.state(NAME).served[0].checked_at, looked);
}

#[tokio::test]
async fn the_time_is_given_to_what_the_ca_asks_for_in_the_middle_of_the_run_as_well() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let script = world.file("reload.sh");
    world.due(NAME).days_left(80).param("renew_hook", &format!("sh {}", script.display())).write();
    let nginx = serving(&world);
    let text = format!("(sleep 1; {}) > {} 2>&1 &\n", nginx.reload_command(), world.file("log").display());
    std::fs::write(&script, text).unwrap();
    world.set(NAME, &format!("proof_patience = 20\n[[endpoint]]\nhost = \"{NAME}:{}\"\n", nginx.tls_port()));
    let window = |from: i64| {
        let start = testkit::now() + TimeDelta::days(from);
        Answer::renewal_window(start, start + TimeDelta::hours(1)).retry_after(6 * 3600)
    };
    // By what is known when it is read it is not due.
    world.proxy().offer_renewal_info();
    let id = world.lineage(NAME).certificate().unwrap().ari_id().unwrap().to_string();
    world.proxy().set_renewal_info(&id, window(-1));
    world.proxy().set_default_renewal_info(window(50));
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.is_success() && entry(&report, NAME).not_served.is_empty(), "{report:?}");
    assert_eq!(Serving::of(&entry(&report, NAME).served), Serving::Matches);
}

#[tokio::test]
async fn where_nobody_serves_nothing_counts_and_nothing_is_told() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).param("renew_hook", "true").write();
    // An address where nobody listens on port 443.
    world.pebble.set_a(NAME, &["127.0.0.1", "127.77.0.1"]);
    let dry = Request::renew().dry_run();
    assert!(world.run_request(dry).await.is_success());
    assert!(world.state(NAME).served.is_empty(), "a dry run looks at nothing");
    let mut blind = Request::renew();
    blind.probe_endpoints = false;
    assert!(world.run_request(blind).await.is_success());
    assert!(world.state(NAME).served.is_empty());
    let report = world.run().await;
    assert!(report.is_success() && report.findings.is_empty(), "{report:?}");
    let served = world.state(NAME).served;
    assert_eq!((served.len(), served[0].endpoint.to_string().as_str()), (1, "a.example.com:443"));
    assert!(!served[0].counts() && Serving::of(&served) == Serving::Unknown);
    world.set(NAME, "default_endpoints = false\n");
    assert!(world.run().await.is_success());
    assert!(world.state(NAME).served.is_empty());
}

#[tokio::test]
async fn an_endpoint_of_the_owners_that_cannot_be_reached_is_a_warning() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).param("renew_hook", "true").write();
    let port = testkit::ports::free_port();
    world.set(NAME, &format!("proof_patience = 1\n[[endpoint]]\nhost = \"127.0.0.1:{port}\"\n"));
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let told = report.findings.iter().find(|one| one.code == FindingCode::EndpointUnreachable).unwrap();
    assert!(told.what().contains(&format!("127.0.0.1:{port} cannot be reached: Connection refused")), "{told:?}");
}

#[tokio::test]
async fn a_reload_that_comes_after_the_run_is_waited_for_until_the_next_one() {
    // `renew && systemctl reload nginx` in a cron line: a run that failed for want of that reload would prevent it.
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).write();
    let nginx = serving(&world);
    says_where(&world, &nginx);
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.is_success() && entry(&report, NAME).not_served.is_empty());
    // Nobody did it.
    let report = world.run().await;
    assert!(!report.is_success());
    assert_eq!(entry(&report, NAME).not_served.len(), 1);
}

#[tokio::test]
async fn the_owner_can_have_the_hooks_run_until_it_is_served() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, switch) = (world.file("hooks"), world.file("switch"));
    let script = world.file("reload.sh");
    world.due(NAME).param("renew_hook", &format!("sh {}", script.display())).write();
    let nginx = serving(&world);
    says_where(&world, &nginx);
    let reload = nginx.reload_command();
    let text = format!("echo ran >> {}\ntest ! -e {} || {reload}\n", log.display(), switch.display());
    std::fs::write(&script, text).unwrap();
    assert!(!world.run().await.is_success());
    let deploy = async || world.renewer().deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    for ran in [2, 3] {
        let report = deploy().await;
        assert!(!report.is_success());
        assert_eq!((entry(&report, NAME).not_served.len(), lines(&log)), (1, ran));
    }
    std::fs::write(&switch, "").unwrap();
    let report = deploy().await;
    assert!(report.is_success(), "{report:?}");
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Deployed { .. }));
    assert_eq!(lines(&log), 4);
    // And then there is nothing to do.
    assert!(deploy().await.entries.is_empty());
    assert_eq!(lines(&log), 4);
}
