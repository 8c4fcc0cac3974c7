use std::fs;
use std::path::Path;
use std::time::Duration;

use certkit_acme::challenge::{
    Authenticator, Challenge, ChallengeKind, ManualSolver, SolveError, Solver as _, StandaloneServers, Token,
};
use certkit_acme::command::CommandSettings;
use certkit_acme::{Stop, StopReason};
use certkit_core::{Identifier, IdentifierSet};

use crate::{challenge, http01};

fn solver(auth: String, cleanup: Option<String>) -> ManualSolver {
    ManualSolver::new(auth, cleanup, Vec::new(), CommandSettings::new())
}

/// A hook that appends what it is told to a file.
fn recording(log: &Path, word: &str) -> String {
    format!(
        "echo \"{word} $CERTBOT_DOMAIN|$CERTBOT_IDENTIFIER|$CERTBOT_VALIDATION|${{CERTBOT_TOKEN-unset}}|$CERTBOT_REMAINING_CHALLENGES|$CERTBOT_ALL_DOMAINS|$CERTBOT_ALL_IDENTIFIERS|${{CERTBOT_AUTH_OUTPUT-unset}}\" >> {}",
        log.display()
    )
}

fn log_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn hooks_are_told_what_certbot_tells_them() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let auth = format!("{}; echo '  printed  '", recording(&log, "auth"));
    let solver = solver(auth, Some(recording(&log, "cleanup")));
    let mut dns = challenge("example.org", ChallengeKind::Dns01, "tok-2");
    dns.wildcard = true;
    let all = [http01("example.org", "tok-1"), dns];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    // printf %s tok-2.thumbprint | openssl dgst -sha256 -binary | basenc --base64url
    let digest = "uHl7YFmufNfq04RcJyBjvQo1utOExsS54v8SWr1S85I";
    let both = "example.org,example.org|example.org,example.org";
    assert_eq!(
        log_of(&log),
        [
            format!("auth example.org|example.org|tok-1.thumbprint|tok-1|1|{both}|unset"),
            format!("auth example.org|example.org|{digest}|unset|0|{both}|unset"),
        ]
    );
    fs::remove_file(&log).unwrap();
    solver.withdraw(&all).await.unwrap();
    assert_eq!(
        log_of(&log),
        [
            format!("cleanup example.org|example.org|tok-1.thumbprint|tok-1|1|{both}|printed"),
            format!("cleanup example.org|example.org|{digest}|unset|0|{both}|printed"),
        ]
    );
    solver.withdraw(&all).await.unwrap();
    assert_eq!(log_of(&log).len(), 2, "withdrawing again runs nothing");
}

#[tokio::test]
async fn a_failing_auth_hook_fails_and_what_was_set_up_is_cleaned() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let auth =
        format!("{}; test $CERTBOT_TOKEN != two || {{ echo 'no \x1bapi' >&2; exit 7; }}", recording(&log, "auth"));
    let solver = solver(auth, Some(recording(&log, "cleanup")));
    let all = [http01("a.example", "one"), http01("b.example", "two"), http01("c.example", "three")];
    let error = solver.present(&all, &IdentifierSet::default()).await.unwrap_err();
    assert!(matches!(error, SolveError::Hook(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("auth hook") && text.contains("b.example failed with status 7: no \\u{1b}api"), "{text}");
    let words: Vec<String> = log_of(&log).iter().map(|line| line.split('|').next().unwrap().to_owned()).collect();
    assert_eq!(words, ["auth a.example", "auth b.example", "cleanup a.example", "cleanup b.example"]);
}

#[tokio::test]
async fn failing_cleanup_hooks_are_errors_and_all_run() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let solver = solver("true".into(), Some(format!("{}; exit 1", recording(&log, "cleanup"))));
    let all = [http01("a.example", "one"), http01("b.example", "two")];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    let text = solver.withdraw(&all).await.unwrap_err().to_string();
    assert!(text.contains("for a.example failed with status 1") && text.contains("for b.example"), "{text}");
    assert_eq!(log_of(&log).len(), 2);
}

#[tokio::test]
async fn a_talkative_auth_hook_does_not_break_the_cleanup() {
    // certbot #10724.
    let directory = tempfile::tempdir().unwrap();
    let size = directory.path().join("size");
    let cleanup = format!("printf %s \"$CERTBOT_AUTH_OUTPUT\" | wc -c > {}", size.display());
    let solver = solver("head -c 5000000 /dev/zero | tr '\\0' x".into(), Some(cleanup));
    let all = [http01("a.example", "one")];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    solver.withdraw(&all).await.unwrap();
    let size: usize = fs::read_to_string(size).unwrap().trim().parse().unwrap();
    assert!(size > 10_000 && size < 128 * 1024, "{size}");
}

#[tokio::test]
async fn a_nul_in_what_the_auth_hook_prints_does_not_stop_the_cleanup_hook() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let solver = solver("printf '\\0id\\0-7\\0\\n'".into(), Some(recording(&log, "cleanup")));
    let all = [http01("a.example", "one")];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    solver.withdraw(&all).await.unwrap();
    assert!(log_of(&log)[0].ends_with("|id-7"), "{:?}", log_of(&log));
}

/// The first two words of each line of the log.
fn steps(log: &Path) -> Vec<String> {
    log_of(log).iter().map(|line| line.split('|').next().unwrap().to_owned()).collect()
}

async fn until_logged(log: &Path, lines: usize) {
    for _ in 0..500 {
        if log_of(log).len() >= lines {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never logged: {:?}", log_of(log));
}

/// Long enough for a hook that is not held back to have run.
const A_WHILE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lineages_hooks_are_not_interleaved_with_anothers() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let servers = StandaloneServers::new();
    let make = || solver(recording(&log, "auth"), Some(recording(&log, "cleanup"))).shared_by(&servers);
    let (one, two) = (make(), make());
    let (a, b) = ([http01("a.example", "one")], [http01("b.example", "two")]);
    let names = IdentifierSet::default();
    one.present(&a, &names).await.unwrap();
    let second = async {
        two.present(&b, &names).await.unwrap();
        two.withdraw(&b).await.unwrap();
    };
    let first = async {
        tokio::time::sleep(A_WHILE).await;
        one.withdraw(&a).await.unwrap();
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(second, first) }).await.unwrap();
    assert_eq!(steps(&log), ["auth a.example", "cleanup a.example", "auth b.example", "cleanup b.example"]);
}

#[tokio::test]
async fn the_turn_is_given_back_by_failure_and_by_being_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let servers = StandaloneServers::new();
    let names = IdentifierSet::default();
    let all = [http01("a.example", "one")];
    let other = solver("true".into(), None).shared_by(&servers);
    let free = async |what: &str| {
        let turn = tokio::time::timeout(PATIENCE, other.present(&all, &names)).await;
        assert_eq!(turn, Ok(Ok(())), "{what}");
        other.withdraw(&all).await.unwrap();
    };

    let failing = solver("false".into(), None).shared_by(&servers);
    failing.present(&all, &names).await.unwrap_err();
    free("after a failure").await;

    let dropped = solver("true".into(), None).shared_by(&servers);
    dropped.present(&all, &names).await.unwrap();
    drop(dropped);
    free("after a solver without withdraw").await;

    let part = solver("true".into(), None).shared_by(&servers);
    part.present(&[], &names).await.unwrap();
    free("after nothing").await;
    part.present(&all, &names).await.unwrap();
    part.present(&[http01("b.example", "two")], &names).await.unwrap();
    part.withdraw(&[http01("b.example", "two")]).await.unwrap();
    let early = tokio::time::timeout(A_WHILE, other.present(&all, &names)).await;
    assert!(early.is_err(), "one is still presented");
    part.withdraw(&all).await.unwrap();
    free("after the last one").await;

    // A future that is dropped leaves its hook running: the turn is free when that has ended.
    let ended = directory.path().join("ended");
    let auth = format!("{}; sleep 0.5; touch {}", recording(&log, "auth"), ended.display());
    let cut_off = solver(auth, Some(recording(&log, "cleanup"))).shared_by(&servers);
    tokio::select! {
        _ = cut_off.present(&all, &names) => panic!("too fast"),
        () = until_logged(&log, 1) => {}
    }
    free("after a future that was dropped").await;
    assert!(ended.exists(), "another solver's hook ran beside it");
    cut_off.withdraw(&all).await.unwrap();
    assert_eq!(steps(&log), ["auth a.example", "cleanup a.example"]);
    free("after its cleanup").await;
}

#[tokio::test]
async fn a_stop_starts_no_further_auth_hook_and_cleans_up() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let stop = Stop::new();
    let manual = Authenticator::Manual {
        auth_hook: format!("{}; sleep 0.3", recording(&log, "auth")),
        cleanup_hook: Some(recording(&log, "cleanup")),
        preferred: Vec::new(),
    };
    let servers = StandaloneServers::new();
    let solver = manual.solver_stopping(&servers, &CommandSettings::new(), &stop).unwrap();
    let all = [http01("a.example", "one"), http01("b.example", "two")];
    let names = IdentifierSet::default();
    let stopping = async {
        until_logged(&log, 1).await;
        stop.stop(StopReason::Terminate);
    };
    let (result, ()) = tokio::join!(solver.present(&all, &names), stopping);
    assert_eq!(result, Err(SolveError::Stopped));
    assert_eq!(steps(&log), ["auth a.example", "cleanup a.example"]);
    solver.withdraw(&all).await.unwrap();
    assert_eq!(log_of(&log).len(), 2);
}

#[tokio::test]
async fn a_stop_is_not_held_up_by_another_solvers_turn() {
    let servers = StandaloneServers::new();
    let stop = Stop::new();
    let names = IdentifierSet::default();
    let all = [http01("a.example", "one")];
    let holder = solver("true".into(), None).shared_by(&servers);
    holder.present(&all, &names).await.unwrap();
    let waiting = solver("true".into(), None).shared_by(&servers).stopping_with(&stop);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.stop(StopReason::Interrupt);
    };
    let both = async { tokio::join!(waiting.present(&all, &names), stopping).0 };
    assert_eq!(tokio::time::timeout(PATIENCE, both).await, Ok(Err(SolveError::Stopped)));
    tokio::time::timeout(PATIENCE, waiting.withdraw(&all)).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_killed_process_presented_is_cleaned_up_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let solver: Box<dyn certkit_acme::challenge::Solver> =
        Box::new(solver("echo out".into(), Some(recording(&log, "cleanup"))));
    let all = [http01("a.example", "one"), http01("b.example", "two")];
    solver.withdraw(&all).await.unwrap();
    assert_eq!(log_of(&log).len(), 0, "withdraw itself runs nothing for what it does not know");
    solver.present(&all[..1], &IdentifierSet::default()).await.unwrap();
    solver.withdraw_abandoned(&all).await.unwrap();
    let both = "a.example,b.example|a.example,b.example";
    assert_eq!(
        log_of(&log),
        [
            "cleanup a.example|a.example|one.thumbprint|one|0|a.example|a.example|out".to_owned(),
            format!("cleanup b.example|b.example|two.thumbprint|two|0|{both}|"),
        ]
    );
    solver.withdraw(&all).await.unwrap();
    assert_eq!(log_of(&log).len(), 2);
}

#[test]
fn kinds_follow_the_preference_and_what_is_possible() {
    use ChallengeKind::{Dns01, Http01};
    let with = |preferred: &[ChallengeKind]| {
        ManualSolver::new("true".into(), None, preferred.to_vec(), CommandSettings::new())
    };
    let (name, address) = (Identifier::parse("a.example").unwrap(), Identifier::parse("192.0.2.1").unwrap());
    assert_eq!(with(&[]).kinds(&name, false), [Http01, Dns01]);
    assert_eq!(with(&[Dns01, Http01]).kinds(&name, false), [Dns01, Http01]);
    assert_eq!(with(&[]).kinds(&name, true), [Dns01]);
    assert_eq!(with(&[Http01]).kinds(&name, true), []);
    assert_eq!(with(&[]).kinds(&address, false), [Http01]);
    assert_eq!(with(&[Dns01]).kinds(&address, false), []);
}

#[tokio::test]
async fn an_address_can_be_validated_by_hooks() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let solver = solver(recording(&log, "auth"), None);
    let address = Identifier::parse("2001:db8::1").unwrap();
    let token = Token::parse("t").unwrap();
    let all = [Challenge::new(address, false, ChallengeKind::Http01, token, "t.x".into())];
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    assert!(log_of(&log)[0].starts_with("auth 2001:db8::1|2001:db8::1|t.x|t|0|2001:db8::1|"), "{:?}", log_of(&log));
}
