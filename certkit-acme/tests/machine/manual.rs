use std::fs;
use std::path::Path;

use certkit_acme::challenge::{
    Challenge, ChallengeKind, ManualSolver, SolveError, Solver as _, StandaloneServers, Token,
};
use certkit_acme::command::CommandSettings;
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
async fn hooks_of_one_run_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let lock = directory.path().join("lock");
    let servers = StandaloneServers::new();
    let hook = format!("mkdir {0} && sleep 0.2 && rmdir {0}", lock.display());
    let (one, two) = (solver(hook.clone(), None).shared_by(&servers), solver(hook, None).shared_by(&servers));
    let (a, b) = ([http01("a.example", "one")], [http01("b.example", "two")]);
    let names = IdentifierSet::default();
    let (first, second) = tokio::join!(one.present(&a, &names), two.present(&b, &names));
    assert_eq!((first, second), (Ok(()), Ok(())));
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
