//! Runs that die while they hold the lock, certbot's among them: the next one finds it free, and ends what they had begun.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Shared};
#[test]
fn a_run_that_is_killed_leaves_no_lock_although_its_hook_lives_on() {
    let shared = Shared::new();
    shared.due("a.example.org");
    let started = shared.place.folder().join("started");
    let hook = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", started.display());
    let certkit = |shared: &Shared| {
        let mut command = shared.place.command(&["renew", "-n", "--no-random-sleep-on-renew", "--no-probe"]);
        command.args(["--pre-hook", &hook]).env("SSL_CERT_FILE", shared.ca.ca_bundle());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = certkit(&shared);
    let began = Instant::now();
    while !started.exists() {
        assert!(began.elapsed() < PATIENCE && killed.try_wait().unwrap().is_none(), "the hook never began");
        thread::sleep(Duration::from_millis(10));
    }
    let hook: i32 = fs::read_to_string(&started).unwrap().trim().parse().unwrap();
    let second = shared.certkit(&["renew"]).ends_with(1);
    assert!(second.stderr.contains(&format!("(process {}, certkit)", killed.id())), "{}", second.stderr);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let next = shared.certkit(&["renew"]);
    kill_process(Pid::from_raw(hook).unwrap(), Signal::KILL).unwrap();
    let next = next.ends_with(0);
    assert!(next.stdout.contains("a.example.org/fullchain.pem (success)"), "{}", next.stdout);
    assert_eq!(shared.ca.orders_placed(), 1);
    shared.assert_whole("a.example.org", 2);
    shared.assert_settled(1);
}

/// The command under strace, which kills it when it is about to make one of these calls for the nth time; on one path
/// only, where one is given.
fn killed_at(command: &Command, calls: &str, path: Option<&str>, nth: usize) -> Command {
    let mut killed = Command::new(testkit::process::require_program("strace"));
    killed.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    killed.args(["-e", &format!("inject={calls}:signal=SIGKILL:when={nth}")]);
    killed.args(path.into_iter().flat_map(|path| ["-P", path]));
    killed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => killed.env(name, value),
            None => killed.env_remove(name),
        };
    }
    killed
}

/// A hook that notes for which versions it ran, and what it noted.
fn noting_hook(shared: &Shared) -> (String, impl Fn() -> String) {
    let noted = shared.place.folder().join("noted");
    let hook = format!("readlink $RENEWED_LINEAGE/cert.pem >> {}", noted.display());
    (hook, move || fs::read_to_string(&noted).unwrap_or_default())
}

#[test]
fn certbot_killed_between_two_links_holds_nobody_up_and_the_next_run_ends_its_renewal() {
    let shared = Shared::new();
    shared.due("a.example.org");
    shared.due("b.example.org");
    let (hook, noted) = noting_hook(&shared);
    // Four links that say where the others led before, one that leads to the new version, and the next one is missing.
    let renew = ["renew", "--no-random-sleep-on-renew", "--cert-name", "a.example.org", "--deploy-hook", &hook];
    let killed = killed_at(&shared.certbot.command(&renew), "symlink,symlinkat", None, 6).output().unwrap();
    assert!(!killed.status.success());
    let live = shared.place.tree.config_dir().join("live/a.example.org");
    assert!(live.join("previous_privkey.pem").is_symlink() && !live.join("privkey.pem").is_symlink(), "{killed:?}");
    assert!(shared.place.tree.config_dir().join(".certbot.lock").exists());
    assert_eq!(noted(), "");

    let listed = shared.certkit(&["certificates", "--json"]).ends_with(0).json();
    let [a, b] = [&listed["lineages"][0], &listed["lineages"][1]];
    assert!(a["status"] == "broken" && a["error"].as_str().unwrap().contains("privkey.pem is missing"), "{listed}");
    assert_eq!((&b["status"], &b["version"]), (&"valid".into(), &1.into()));

    for told in shared.told_broken() {
        assert!(!told.is_empty() && told.iter().all(|one| one.contains("a.example.org")), "{told:#?}");
    }

    let next = shared.certkit(&["renew", "--deploy-hook", &hook]).ends_with(0);
    assert!(next.stdout.contains("b.example.org/fullchain.pem (success)"), "{}", next.stdout);
    assert_eq!(shared.ca.orders_placed(), 2, "what certbot had obtained is used");
    for name in ["a.example.org", "b.example.org"] {
        shared.assert_whole(name, 2);
        assert!(noted().contains(&format!("archive/{name}/cert2.pem")), "{}", noted());
    }
    shared.assert_settled(2);
}

#[test]
fn certbot_killed_while_it_makes_a_lineage_keeps_no_other_from_being_renewed() {
    let shared = Shared::new();
    shared.due("a.example.org");
    let port = shared.port();
    let certonly = shared.certbot.command(&shared.certonly(&port, "new.example.org"));
    let killed = killed_at(&certonly, "symlink,symlinkat", None, 2).output().unwrap();
    assert!(!killed.status.success());
    let conf = shared.place.tree.config_dir().join("renewal/new.example.org.conf");
    assert_eq!(fs::read(&conf).unwrap(), b"", "{killed:?}");

    let next = shared.certkit(&["renew"]).ends_with(1);
    assert!(next.stdout.contains("a.example.org/fullchain.pem (success)"), "{}", next.stdout);
    assert!(next.stderr.contains("new.example.org"), "{}", next.stderr);
    shared.assert_whole("a.example.org", 2);
    shared.certkit(&["delete", "--cert-name", "new.example.org"]).ends_with(0);
    assert_eq!(shared.obtain("new.example.org").run.ends_with(0).status, Some(0));
    shared.assert_whole("new.example.org", 1);
    shared.assert_settled(2);
}

#[test]
fn a_certonly_that_was_killed_before_its_last_step_is_done_when_it_is_repeated() {
    let shared = Shared::new();
    let (port, server, (hook, noted)) = (shared.port(), shared.ca.directory_url(), noting_hook(&shared));
    let certonly = [&shared.certonly(&port, "new.example.org")[..], &["--server", &server, "--deploy-hook", &hook]];
    let certonly = certonly.concat();
    let conf = shared.place.tree.config_dir().join("renewal/new.example.org.conf");
    // Before it everything is complete under other names, and nobody sees a lineage.
    let calls = "rename,renameat,renameat2";
    let killed = killed_at(&shared.certkit_command(&certonly), calls, conf.to_str(), 1).output().unwrap();
    assert!(!killed.status.success() && !conf.exists(), "{killed:?}");
    assert_eq!(shared.ca.orders_placed(), 1, "{killed:?}");

    let again = shared.certkit(&certonly).ends_with(0);
    assert!(again.stdout.contains("Certificate not yet due for renewal; no action taken."), "{again:?}");
    assert!(again.stderr.contains("this one finished what an earlier one had begun"), "{again:?}");
    assert_eq!(shared.ca.orders_placed(), 1);
    assert!(noted().contains("archive/new.example.org/cert1.pem"), "{}", noted());
    shared.assert_whole("new.example.org", 1);
    shared.assert_settled(1);
}
