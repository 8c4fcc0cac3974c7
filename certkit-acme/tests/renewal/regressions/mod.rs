//! What went wrong with others, tried here: their bugs, one by one, in whole runs.
//!
//! The list is that of the failures of certbot's successors and of servers that renew by themselves (certmagic, Caddy,
//! nginx-acme, mod_md, cert-manager, lego, rustls-acme). What needs several machines with one store is not in it. Where
//! another test covers an item already, it is named.
//!
//! | | what went wrong | the test |
//! |---|---|---|
//! | 2 | two processes order the same names | `two_runs_at_once_place_one_order` |
//! | 3 | killed during an order: the order and its key are lost | `crash::an_order_is_resumed_wherever_the_run_ended` |
//! | 4 | the same, and the CA refuses `replaces` from then on | `a_run_that_died_while_finalizing_does_not_end_at_a_predecessor_that_is_replaced_already` |
//! | 5 | the third write of a certificate fails, and the old one is gone | certkit-core, tests/crash.rs: every call of a commit fails once |
//! | 6, 24 | a storage error is taken for an absence | `what_cannot_be_read_is_not_ordered` |
//! | 7 | asked again before Retry-After has passed | `limits::a_limit_of_the_account_…`, `limits::a_limit_of_the_names_…` |
//! | 8 | an HTML page with 503 is an error in JSON | `limits::an_html_page_with_503_is_an_outage_with_its_status` |
//! | 9 | a window in the past, a backdated notBefore | `advice::a_window_that_is_past_…`, `advice::a_ca_whose_windows_are_always_past_…`, `lifetimes::certificates_of_twelve_hours_…` |
//! | 10 | the endpoint of renewal information is down | `advice::without_a_usable_answer_…` |
//! | 11 | a window that was moved to now | `advice::a_window_that_is_past_…`, `daemon::a_window_that_the_ca_moves_to_now_…` |
//! | 12 | the CA of the conf changed, renewals are stuck at the old one | `a_conf_that_names_another_ca_is_heeded_whatever_is_left_of_the_first` |
//! | 13 | damaged metadata | `damaged_memory_costs_its_content_and_nothing_is_issued_that_is_not_due` |
//! | 14 | cleaning up removes what is in use | certkit-core, tests/store/commit.rs: `numbers_that_any_kind_has_are_skipped_and_six_versions_are_kept` |
//! | 15 | tokens of orders for one name collide | `runs::rejected_nonces_and_reused_authorizations_…`, tests/machine: `orders_that_share_a_token_…` |
//! | 16 | names that are valid already; authorizations that expire | `names_that_are_valid_already_…`, `an_authorization_that_expires_…` |
//! | 17 | `processing` for long | `an_order_that_is_processed_for_long_…` |
//! | 18 | long names, IDN, IPv6 | `names_of_every_kind_are_obtained_and_renewed` |
//! | 19 | a clock that jumps | `a_clock_that_jumps_by_a_day_…` |
//! | 20 | thousands due at the same second | `many_that_are_due_at_once_take_turns` |
//! | 21 | giving up looks like success | `giving_up_is_a_failure_in_the_report_and_in_the_memory` |
//! | 22 | the other CA gets a foreign `replaces` or account | `a_ca_that_stands_in_gets_neither_the_firsts_account_nor_its_certificates` |

mod orders;
mod stored;
mod time;

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Report, Request};
use certkit_core::{FailureClass, LineageName};
use testkit::PebbleOptions;

use crate::clock::TestClock;
use crate::support::{World, entry};

const NAME: &str = "a.example.com";

async fn world() -> World {
    World::with_faults(PebbleOptions::default()).await
}

fn name(text: &str) -> LineageName {
    LineageName::new(text).unwrap()
}

fn failure_class(report: &Report, name: &str) -> FailureClass {
    match &entry(report, name).outcome {
        Outcome::Failed { failure, .. } => failure.class,
        other => panic!("{name}: {other:?}"),
    }
}

fn is_renewed(report: &Report, name: &str) -> bool {
    matches!(entry(report, name).outcome, Outcome::Renewed { .. })
}

/// Runs until an event of this kind is durable, and ends there as if the process had died.
async fn die_at(world: &World, event: &'static str) {
    world.seen.when(event, || panic!("the crash that this test wants"));
    let renewer = world.renewer();
    let run = tokio::spawn(async move { renewer.run(Request::renew(), &Stop::new()).await.map(drop) });
    assert!(run.await.is_err_and(|died| died.is_panic()), "the run went past {event}");
    world.seen.never();
}

fn clock_now(clock: &TestClock) -> chrono::DateTime<chrono::Utc> {
    certkit_acme::Clock::now(clock)
}
