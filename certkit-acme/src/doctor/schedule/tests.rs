use super::*;
use crate::doctor::Examination;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn timer(name: &str, is_active: bool, is_enabled: bool) -> UnitState {
    UnitState { name: name.into(), is_active, is_enabled, ..UnitState::default() }
}

fn line(client: Client, command: &str) -> Job {
    Job {
        place: "/etc/cron.d/x".into(),
        timer: None,
        client,
        command: command.into(),
        stops: None,
        reloads: Vec::new(),
        text: command.into(),
    }
}

fn runs(hours_ago: i64) -> PastRuns {
    PastRuns::new(&[now() - TimeDelta::hours(hours_ago)], Cadence::every(TimeDelta::hours(6)))
}

fn found(schedules: &Schedules, runs: PastRuns) -> Vec<(FindingCode, Severity, String)> {
    let all = check_schedules(schedules, runs, now());
    let findings = all.iter().flat_map(|examined| examined.findings().to_vec());
    findings.map(|finding| (finding.code, finding.severity, finding.cure().to_owned())).collect()
}

fn codes(schedules: &Schedules, runs: PastRuns) -> Vec<FindingCode> {
    found(schedules, runs).into_iter().map(|(code, ..)| code).collect()
}

#[test]
fn nothing_is_said_of_a_timer_that_runs() {
    let schedules =
        Schedules { has_systemd: true, timers: vec![timer("certkit.timer", true, true)], ..Schedules::default() };
    assert!(codes(&schedules, runs(5)).is_empty());
    let cron = Schedules { jobs: vec![line(Client::Certkit, "certkit renew")], ..Schedules::default() };
    assert!(codes(&cron, runs(47)).is_empty());
    let daemon = Schedules { daemon: Some(77), ..Schedules::default() };
    assert!(codes(&daemon, runs(1)).is_empty());
}

#[test]
fn a_timer_that_is_off_is_not_the_same_as_none() {
    assert_eq!(codes(&Schedules::default(), runs(1)), [FindingCode::NotScheduled]);
    let off = Schedules { timers: vec![timer("certkit.timer", false, false)], ..Schedules::default() };
    assert_eq!(codes(&off, runs(1)), [FindingCode::TimerInactive]);
    let until_reboot = Schedules { timers: vec![timer("certkit.timer", true, false)], ..Schedules::default() };
    let all = found(&until_reboot, runs(1));
    assert_eq!((all[0].0, all[0].1), (FindingCode::TimerInactive, Severity::Warning));
    assert_eq!(all[0].2, "systemctl enable certkit.timer");
}

#[test]
fn what_cannot_be_looked_at_is_neither_well_nor_wrong() {
    let schedules = Schedules { unread: vec!["/var/spool/cron: Permission denied".into()], ..Schedules::default() };
    let all = check_schedules(&schedules, runs(1), now());
    assert!(matches!(&all[0].outcome, Examination::NotChecked { because } if because.contains("Permission denied")));
    let never = check_schedules(&schedules, PastRuns::new(&[], Cadence::default()), now());
    assert!(matches!(&never[1].outcome, Examination::NotChecked { .. }));
}

#[test]
fn runs_that_stopped_are_told_by_how_often_they_came() {
    let schedules = Schedules { jobs: vec![line(Client::Certkit, "certkit renew")], ..Schedules::default() };
    assert_eq!(codes(&schedules, runs(49)), [FindingCode::RunsStopped]);
    let weekly = |days: i64| PastRuns::new(&[now() - TimeDelta::days(days)], Cadence::every(TimeDelta::days(7)));
    assert!(codes(&schedules, weekly(20)).is_empty());
    assert_eq!(codes(&schedules, weekly(22)), [FindingCode::RunsStopped]);
    // A timer that fires for nothing has another cure.
    let mut fires = timer("certkit.timer", true, true);
    fires.last = Some(now() - TimeDelta::hours(2));
    let schedules = Schedules { timers: vec![fires], ..Schedules::default() };
    assert!(found(&schedules, runs(100))[0].2.contains("journalctl -u certkit.service"));
    let never = PastRuns::new(&[], Cadence::default());
    assert_eq!(codes(&schedules, never), [FindingCode::RunsStopped]);
}

#[test]
fn certbot_beside_certkit_is_a_second_master_and_alone_it_is_the_only_one() {
    let both = Schedules {
        timers: vec![timer("certkit.timer", true, true), timer("snap.certbot.renew.timer", true, true)],
        jobs: vec![line(Client::Certbot, "certbot -q renew")],
        ..Schedules::default()
    };
    let all = found(&both, runs(1));
    assert_eq!(all.len(), 2);
    assert!(
        all.iter().all(|(code, severity, _)| *code == FindingCode::TwoSchedulers && *severity == Severity::Warning)
    );
    assert_eq!(all[0].2, "systemctl disable --now snap.certbot.renew.timer");
    assert!(all[1].2.contains("/etc/cron.d/x"));
    let alone = Schedules { timers: vec![timer("certbot.timer", true, true)], ..Schedules::default() };
    let all = found(&alone, runs(500));
    assert_eq!((all.len(), all[0].0, all[0].1), (1, FindingCode::NotScheduled, Severity::Notice));
    let off = Schedules {
        timers: vec![timer("certkit.timer", true, true), timer("certbot.timer", false, false)],
        ..Schedules::default()
    };
    assert!(codes(&off, runs(1)).is_empty());
}

#[test]
fn other_clients_are_mentioned_once() {
    let schedules = Schedules {
        timers: vec![timer("certkit.timer", true, true), timer("lego.timer", true, true)],
        jobs: vec![line(Client::Other("lego"), "lego renew"), line(Client::Other("acme.sh"), "acme.sh --cron")],
        ..Schedules::default()
    };
    assert_eq!(codes(&schedules, runs(1)), [FindingCode::OtherClient, FindingCode::OtherClient]);
}

#[test]
fn a_chained_reload_gets_the_command_that_makes_it_a_hook() {
    let mut job = line(Client::Certkit, "certkit -q renew");
    job.reloads = vec!["systemctl restart nginx".into()];
    let schedules = Schedules { jobs: vec![job.clone()], ..Schedules::default() };
    let all = found(&schedules, runs(1));
    assert_eq!(all[0].0, FindingCode::ReloadChained);
    assert_eq!(
        all[0].2,
        "certkit reconfigure --cert-name NAME --deploy-hook 'systemctl restart nginx' for each certificate that the server uses; then leave only `certkit -q renew` in /etc/cron.d/x"
    );
    job.stops = Some("service nginx stop".into());
    job.reloads = vec!["service nginx start".into()];
    let schedules = Schedules { jobs: vec![job], ..Schedules::default() };
    let cure = &found(&schedules, runs(1))[0].2;
    assert!(cure.contains("--pre-hook 'service nginx stop' --post-hook 'service nginx start'"), "{cure}");
}

#[test]
fn a_line_that_counts_days_is_told() {
    let mut job = line(Client::Certbot, "certbot renew");
    job.text = "openssl x509 -checkend 2592000 -in /x || certbot renew".into();
    let schedules = Schedules { daemon: Some(7), jobs: vec![job], ..Schedules::default() };
    assert_eq!(codes(&schedules, runs(1)), [FindingCode::TwoSchedulers, FindingCode::HardCodedDays]);
}
