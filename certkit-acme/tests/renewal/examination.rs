//! A look at a whole store, with a real CA: what is found out is told of the certificates that it concerns.

use certkit_acme::command::CommandSettings;
use certkit_acme::doctor::{Check, Examination, Machine};
use certkit_acme::renewal::{Examinations, ExaminedEntry, Reach, Request};
use certkit_core::FindingCode;
use testkit::PebbleOptions;

use crate::support::World;

async fn examine(world: &World, reach: Reach) -> Examinations {
    // A machine of its own, on which nothing is scheduled.
    let machine = Machine::new(&CommandSettings::new()).rooted_at(world.file("root"));
    world.renewer().examine(&Request::renew(), &machine, reach).await.unwrap()
}

fn of(examinations: &Examinations, check: Check) -> Vec<&ExaminedEntry> {
    examinations.entries.iter().filter(|entry| entry.examined.check == check).collect()
}

#[tokio::test]
async fn the_ca_and_the_account_are_looked_at_for_the_certificates_that_use_them() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("e.example").write();
    world.due("f.example").write();
    world.tree.lineage("elsewhere.example").write();
    let examinations = examine(&world, Reach::Network).await;
    for check in [Check::Directory, Check::Account] {
        let entries = of(&examinations, check);
        assert_eq!(entries.len(), 1, "{check:?}: {entries:?}");
        assert_eq!(entries[0].certificates, ["e.example", "f.example"], "{check:?}");
        assert_eq!(entries[0].examined.outcome, Examination::Fine, "{check:?}");
    }
    // No order was placed, and nothing written.
    assert!(
        !world.pebble.log().contains("new-order") && !world.pebble.log().contains("order-plz"),
        "{}",
        world.pebble.log()
    );
    assert!(world.store().pending_names().unwrap().is_empty());

    let here = examine(&world, Reach::Machine).await;
    assert!(of(&here, Check::Directory).is_empty() && !of(&here, Check::Chain).is_empty());
}

#[tokio::test]
async fn a_ca_that_is_away_is_one_problem_for_all_its_certificates() {
    let world = World::new(PebbleOptions::default()).await;
    // A port on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("https://127.0.0.1:{port}/dir");
    for name in ["e.example", "f.example", "g.example"] {
        world.tree.lineage(name).server(&server).standalone(world.pebble.http_port()).write();
    }
    let examinations = examine(&world, Reach::Network).await;
    let problems = examinations.problems();
    let away: Vec<_> =
        problems.iter().filter(|problem| problem.finding.code == FindingCode::DirectoryUnreachable).collect();
    assert_eq!(away.len(), 1, "{problems:?}");
    assert_eq!(away[0].certificates, ["e.example", "f.example", "g.example"]);
    assert_eq!(away[0].finding.subject, server);
}
