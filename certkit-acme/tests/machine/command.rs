use std::time::{Duration, Instant};

use certkit_acme::command::{CommandEnding, CommandSettings, MAX_VARIABLE_BYTES, OwnersCommand, run};

fn shell(line: impl Into<String>) -> OwnersCommand {
    OwnersCommand::Shell(line.into())
}

fn limits(time_limit: Duration, grace: Duration) -> CommandSettings {
    let mut settings = CommandSettings::new();
    (settings.time_limit, settings.grace) = (time_limit, grace);
    settings
}

fn runs(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test]
async fn status_signal_and_output_are_reported() {
    let settings = CommandSettings::new();
    let outcome = run(&shell("echo out; echo err >&2; exit 4"), &[], &settings).await;
    assert_eq!(outcome.ending, CommandEnding::Exited(4));
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
    assert!(run(&shell("true"), &[], &settings).await.success());
    assert_eq!(run(&shell("kill -9 $$"), &[], &settings).await.ending, CommandEnding::Signalled(9));
    let missing = run(&OwnersCommand::Program("/nowhere/at-all".into(), vec![]), &[], &settings).await;
    assert!(matches!(missing.ending, CommandEnding::NotStarted(_)), "{missing:?}");
    assert!(missing.failure("the hook").unwrap().detail.contains("could not be started"));
    // A hook that asks must not wait for an answer.
    assert_eq!(run(&shell("read x || echo nobody"), &[], &settings).await.stdout, "nobody\n");
}

#[tokio::test]
async fn variables_arrive_verbatim_and_impossible_ones_are_not_started() {
    let mut settings = CommandSettings::new();
    settings.environment.push(("EXTRA".into(), "e".into()));
    let hostile = "$(touch /tmp/x) `id` ;'\"\\ {{.X}} %s\nline";
    let print = shell("printf %s \"$RENEWED_DOMAINS$EXTRA\"");
    let outcome = run(&print, &[("RENEWED_DOMAINS", hostile.into())], &settings).await;
    assert_eq!(outcome.stdout, format!("{hostile}e"));
    let nul = run(&shell("true"), &[("X", "a\0b".into())], &settings).await;
    assert!(matches!(nul.ending, CommandEnding::NotStarted(_)), "{nul:?}");
    // certbot #10724: a long value must not keep the hook from running.
    let long = "x".repeat(MAX_VARIABLE_BYTES * 3);
    let outcome = run(&shell("printf %s \"$LONG\" | wc -c"), &[("LONG", long)], &settings).await;
    assert_eq!(outcome.stdout.trim(), MAX_VARIABLE_BYTES.to_string());
}

#[tokio::test]
#[ignore = "run by the next test, with stale variables in its environment"]
async fn prints_what_a_hook_inherits() {
    let outcome = run(&shell("env"), &[("FAILED_DOMAINS", "new".into())], &CommandSettings::new()).await;
    println!("{}", outcome.stdout);
}

#[test]
fn a_hook_inherits_everything_but_the_variables_of_other_hooks() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "command::prints_what_a_hook_inherits"])
        .envs([("RENEWED_LINEAGE", "stale"), ("RENEWED_DOMAINS", "stale"), ("FAILED_DOMAINS", "stale")])
        .envs([("CERTBOT_TOKEN", "stale"), ("CERTBOT_AUTH_OUTPUT", "stale"), ("SOMETHING_ELSE", "kept")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("SOMETHING_ELSE=kept") && text.contains("FAILED_DOMAINS=new"), "{text}");
    assert!(!text.contains("stale"), "{text}");
}

#[tokio::test]
async fn a_script_without_a_first_line_runs_as_with_certbot() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("a hook");
    std::fs::write(&script, "echo \"ran with $1\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = run(&OwnersCommand::Program(script, vec!["an argument".into()]), &[], &CommandSettings::new()).await;
    assert_eq!(outcome.stdout, "ran with an argument\n");
}

#[tokio::test]
async fn a_daemon_left_behind_does_not_keep_the_run() {
    let begin = Instant::now();
    let outcome = run(&shell("sleep 60 & echo $!; exit 3"), &[], &CommandSettings::new()).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(outcome.ending, CommandEnding::Exited(3));
    let daemon = outcome.stdout.trim();
    assert!(runs(daemon), "a daemon that a hook starts is not ended");
    std::process::Command::new("kill").arg(daemon).status().unwrap();
}

#[tokio::test]
async fn much_output_is_drained_and_cut() {
    let begin = Instant::now();
    let line = "echo begin; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end; head -c 3000000 /dev/zero >&2";
    let outcome = run(&shell(line), &[], &CommandSettings::new()).await;
    assert!(outcome.success(), "{:?}", outcome.ending);
    assert!(outcome.stdout.starts_with("begin\nxxx") && outcome.stdout.ends_with("xxx\nend\n"));
    assert!(outcome.stdout.contains("bytes left out]"));
    assert!(outcome.stdout.len() < 200_000 && outcome.stderr.len() < 200_000);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn when_the_time_is_over_the_whole_group_ends() {
    let settings = limits(Duration::from_millis(500), Duration::from_secs(10));
    let begin = Instant::now();
    let outcome = run(&shell("sleep 300 & echo $!; echo partly; wait"), &[], &settings).await;
    assert_eq!(outcome.ending, CommandEnding::TimedOut(settings.time_limit));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let child = outcome.stdout.lines().next().unwrap();
    assert!(!runs(child), "the hook's child is left");
    assert!(outcome.stdout.ends_with("partly\n"));
    assert!(outcome.failure("the hook").unwrap().detail.contains("ran longer than 0.5 s"));
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed() {
    let settings = limits(Duration::from_millis(300), Duration::from_millis(300));
    let line = "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $!; while :; do sleep 1; done";
    let outcome = run(&shell(line), &[], &settings).await;
    assert_eq!(outcome.ending, CommandEnding::TimedOut(settings.time_limit));
    assert!(!runs(&outcome.stdout));
    // Also when only a child ignores it and the leader goes at once.
    let line = "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $!; wait";
    let outcome = run(&shell(line), &[], &settings).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!runs(&outcome.stdout));
}

#[tokio::test]
async fn a_hook_goes_on_when_nobody_waits_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("done");
    let line = format!("sleep 0.5; echo x; echo y >&2; echo done > {}", mark.display());
    let settings = CommandSettings::new();
    let cut = tokio::time::timeout(Duration::from_millis(100), run(&shell(line), &[], &settings)).await;
    assert!(cut.is_err());
    for _ in 0..100 {
        if mark.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the hook was ended");
}

#[test]
fn a_terminals_interrupt_does_not_reach_hooks() {
    // The hook's process group is its own: certkit's is a different one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(run(
        &shell("ps -o pgid= -p $$ || cut -d' ' -f5 /proc/$$/stat; echo $$"),
        &[],
        &CommandSettings::new(),
    ));
    let numbers: Vec<&str> = outcome.stdout.split_whitespace().collect();
    assert_eq!(numbers.first(), numbers.last(), "{}", outcome.stdout);
}
