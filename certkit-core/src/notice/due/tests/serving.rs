//! What is served, and what waits to be.

use super::*;

#[test]
fn what_is_served_and_is_not_the_one_in_use_is_critical_at_once() {
    let older = serde_json::json!({"kind": "older", "version": 1});
    let foreign = serde_json::json!({"kind": "foreign"});
    let case = |source, leaf, troubles: &[&str]| Case::of(90 * DAY).served(endpoint(source, leaf, troubles));
    assert_eq!(case("settings", older.clone(), &[]).said(DAY), [(NotServed, Critical)]);
    assert_eq!(case("settings", foreign.clone(), &[]).said(DAY), [(NotServed, Critical)]);
    assert_eq!(case("settings", older.clone(), &["expired"]).said(DAY), [(NotServed, Emergency)]);
    assert_eq!(case("default", foreign, &[]).said(DAY), [], "a CDN's own certificate is none of ours");
    let notices = case("settings", older, &[]).due(DAY, &NoticeMemory::default());
    assert_eq!(notices[0].served, ["a.example:443 at 192.0.2.1:443 serves version 1"]);
    assert_eq!(notices[0].incident, "serving/a.example");
}

#[test]
fn what_is_not_served_names_the_address_since_when_and_a_command_that_does_something() {
    let of = |leaf: serde_json::Value, targets: Vec<DeployTarget>| {
        let case = Case::of(90 * DAY).committed(0, 2, targets.clone()).served(endpoint("settings", leaf, &[]));
        let mut case = case;
        case.state.deploy_pending.clear();
        case.state.served[0].answers[0].not_after = Some(at(12 * DAY));
        let mut summary = case.summary(1);
        summary.targets = targets;
        let facts = [summary];
        let notices = due_notices(&NoticeFacts::new(&facts, &[], &case.outlook, at(1)), &NoticeMemory::default());
        (notices[0].cause.clone(), notices[0].cure.clone(), notices[0].command.clone())
    };
    let older = serde_json::json!({"kind": "older", "version": 1});
    let hook = || vec![DeployTarget::Hook("reload it".into())];
    let (cause, cure, command) = of(older.clone(), hook());
    assert!(cause.starts_with("a.example:443 at 192.0.2.1:443 serves version 1 (expires "), "{cause}");
    assert!(cause.contains("in use since "), "{cause}");
    assert!(cure.contains("live/a.example") && !cure.contains("--deploy-hook"), "there is one already: {cure}");
    assert_eq!(command, "certkit deploy --cert-name a.example");
    let (_, cure, command) = of(older, vec![DeployTarget::Copy("/etc/x".into())]);
    assert!(cure.contains("certkit reconfigure --cert-name a.example --deploy-hook"), "{cure}");
    assert_eq!(command, "certkit doctor --cert-name a.example", "files make no server read them");
    let (_, _, command) = of(serde_json::json!({"kind": "foreign"}), hook());
    assert_eq!(command, "certkit inspect a.example:443", "no reload cures that");
}

#[test]
fn what_clients_refuse_is_told() {
    let same = serde_json::json!({"kind": "same"});
    let case = |leaf, troubles: &[&str]| Case::of(90 * DAY).served(endpoint("settings", leaf, troubles));
    assert_eq!(case(same.clone(), &["incomplete-chain"]).said(DAY), [(ServedBadly, Critical)]);
    assert_eq!(case(same.clone(), &["untrusted-at-not-after"]).said(DAY), [(ServedBadly, Warning)]);
    assert_eq!(case(same.clone(), &["untrusted-now"]).said(DAY), [(ServedBadly, Critical)]);
    assert_eq!(case(same.clone(), &["other-chain", "other-without-sni"]).said(DAY), []);
    assert_eq!(case(same.clone(), &["unknown-authority"]).said(DAY), [], "a CA of the owner's own");
    assert_eq!(case(same, &[]).said(DAY), []);
}

#[test]
fn a_server_that_is_not_reached_is_told_once_it_lasts_and_where_the_owner_named_it() {
    let silent = |source: &str, misses: u32| {
        let mut case = Case::of(90 * DAY).served(endpoint(source, serde_json::json!({"kind": "unreachable"}), &[]));
        case.state.served[0].misses = misses;
        case.state.served[0].has_served_ours = true;
        case.state.served[0].answers[0].detail = "connection refused".to_owned();
        case
    };
    assert_eq!(silent("settings", 4).said(DAY), [], "it may be starting again");
    assert_eq!(silent("default", 50).said(DAY), [], "the name may have moved");
    assert_eq!(silent("settings", 5).said(DAY), [(NoticeKind::Unreachable, Warning)]);
    let notice = &silent("settings", 5).due(DAY, &NoticeMemory::default())[0];
    assert_eq!(notice.cause, "a.example:443 was not reached 5 times in a row: connection refused");
    assert_eq!(notice.command, "certkit inspect a.example:443");
    let mut memory = NoticeMemory::default();
    tell(&mut memory, std::slice::from_ref(notice), DAY);
    assert_eq!(silent("settings", 6).due(DAY + 6, &memory), [], "the same is not told twice");
    let back = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "same"}), &[]));
    assert_eq!(back.due(DAY + 12, &memory)[0].kind, Recovered);
}

#[test]
fn a_deploy_that_failed_once_may_work_at_the_next_run_and_one_that_failed_twice_is_told() {
    let hook = DeployTarget::Hook("reload it".into());
    let case = Case::of(90 * DAY).committed(0, 2, vec![hook.clone()]);
    assert_eq!(case.said(0), []);
    let case = case.deploy_fails(0, 2, &hook);
    assert_eq!(case.said(1), []);
    let case = case.deploy_fails(12, 2, &hook);
    let notice = &case.due(12, &NoticeMemory::default())[0];
    assert_eq!((notice.kind, notice.level), (DeployPending, Warning));
    assert_eq!(notice.command, "certkit deploy --cert-name a.example");
    assert!(notice.cause.contains("deploy hook `reload it` failed 2 times"), "{}", notice.cause);
    let served = case.served(endpoint("settings", serde_json::json!({"kind": "older", "version": 1}), &[]));
    assert_eq!(served.said(12), [(NotServed, Critical)], "one trouble, one notice");
}

#[test]
fn a_deploy_that_nobody_tries_is_told_after_a_day_and_is_dangerous_when_its_predecessor_ends() {
    let hook = DeployTarget::Hook("reload it".into());
    let case = Case::of(90 * DAY).committed(0, 2, vec![hook]);
    assert_eq!(case.said(23), []);
    assert_eq!(case.said(24), [(DeployPending, Warning)]);
    assert_eq!(case.said(19 * DAY), [(DeployPending, Critical)], "an eighth of the predecessor is left");
    assert_eq!(case.said(26 * DAY), [(DeployPending, Emergency)]);
    let served = case.served(endpoint("settings", serde_json::json!({"kind": "same"}), &[]));
    assert_eq!(served.said(26 * DAY), [(DeployPending, Warning)], "what counts serves the new one");
}
