use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use certkit_acme::command::{CommandEnding, CommandSettings};
use certkit_acme::deploy::{ServerControl, WebServer, deploy, reload_with};
use certkit_core::FailureClass;
use certkit_core::state::DeployTarget;

use crate::free_port;

#[tokio::test]
async fn hooks_get_the_lineage_and_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let domains = ["a.example".to_owned(), "*.b.example".to_owned()];
    let lineage = Path::new("/etc/letsencrypt/live/a.example");
    let line = "printf '%s|%s|%s' \"$RENEWED_LINEAGE\" \"$RENEWED_DOMAINS\" \"${FAILED_DOMAINS-unset}\"";
    let expected = "/etc/letsencrypt/live/a.example|a.example *.b.example|unset";
    let settings = CommandSettings::new();
    let (outcome, result) = deploy(&DeployTarget::Hook(line.into()), lineage, &domains, None, &settings).await;
    assert_eq!((outcome.stdout.as_str(), result), (expected, Ok(())));

    let script = directory.path().join("20 reload");
    fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let target = DeployTarget::DirectoryHook(script.to_str().unwrap().into());
    let (outcome, result) = deploy(&target, lineage, &domains, None, &settings).await;
    assert_eq!((outcome.stdout.as_str(), result), (expected, Ok(())));
}

#[tokio::test]
async fn a_noted_directory_hook_that_others_can_write_to_by_now_is_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let (script, ran) = (directory.path().join("hook"), directory.path().join("ran"));
    fs::write(&script, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o777)).unwrap();
    let target = DeployTarget::DirectoryHook(script.to_str().unwrap().into());
    let (outcome, result) = deploy(&target, Path::new("/x"), &[], None, &CommandSettings::new()).await;
    let failure = result.unwrap_err();
    assert_eq!(failure.class, FailureClass::Hook);
    assert!(failure.detail.contains(&format!("chmod o-w {}", script.display())), "{failure}");
    assert!(matches!(outcome.ending, CommandEnding::NotStarted(_)) && !ran.exists());
}

#[tokio::test]
async fn a_failing_hook_is_a_failure_with_its_last_words() {
    let target = DeployTarget::Hook("echo ignored; echo 'unit \x1b[31m not found' >&2; exit 5".into());
    let (outcome, result) = deploy(&target, Path::new("/x"), &[], None, &CommandSettings::new()).await;
    let failure = result.unwrap_err();
    assert_eq!((failure.class, outcome.ending), (FailureClass::Hook, CommandEnding::Exited(5)));
    assert!(failure.detail.ends_with("failed with status 5: unit \\u{1b}[31m not found"), "{}", failure.detail);
}

#[tokio::test]
async fn an_unknown_installer_is_a_failure() {
    let target = DeployTarget::Installer("plesk".into());
    let (outcome, result) = deploy(&target, Path::new("/x"), &[], None, &CommandSettings::new()).await;
    assert!(result.unwrap_err().detail.contains("cannot reload `plesk`"));
    assert!(!outcome.success());
}

#[tokio::test]
async fn the_check_comes_first_and_stops_a_bad_reload() {
    // A stand-in for apachectl that notes how it is called.
    let directory = tempfile::tempdir().unwrap();
    let (ctl, log) = (directory.path().join("apachectl"), directory.path().join("log"));
    let script = |check: u8, reload: u8| {
        let text = format!(
            "#!/bin/sh\necho \"$*\" >> {}\ncase $1 in configtest) echo 'Syntax error on line 7' >&2; exit {check};; *) exit {reload};; esac\n",
            log.display()
        );
        fs::write(&ctl, text).unwrap();
        fs::set_permissions(&ctl, fs::Permissions::from_mode(0o755)).unwrap();
        let _ = fs::remove_file(&log);
    };
    let control = ServerControl::new(&ctl);
    let settings = CommandSettings::new();

    script(0, 0);
    reload_with(WebServer::Apache, Some(&control), &settings).await.1.unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "configtest\ngraceful\n");
    script(1, 0);
    let failure = reload_with(WebServer::Apache, Some(&control), &settings).await.1.unwrap_err();
    assert_eq!(fs::read_to_string(&log).unwrap(), "configtest\n");
    assert!(failure.detail.contains("nothing was reloaded") && failure.detail.contains("Syntax error on line 7"));
    script(0, 3);
    let failure = reload_with(WebServer::Apache, Some(&control), &settings).await.1.unwrap_err();
    assert!(failure.detail.starts_with("Apache's reload failed with status 3"), "{}", failure.detail);
    let missing = ServerControl::new("/nowhere/apachectl");
    let failure = reload_with(WebServer::Apache, Some(&missing), &settings).await.1.unwrap_err();
    assert!(failure.detail.contains("no such program: /nowhere/apachectl"), "{}", failure.detail);
}

/// The body that a server on this port sends for `/`.
fn served(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split("\r\n\r\n").nth(1)?.to_owned())
}

async fn until(what: impl Fn() -> bool) -> bool {
    for _ in 0..100 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_real_nginx_is_checked_and_reloaded() {
    let nginx = Path::new("/usr/sbin/nginx");
    assert!(nginx.exists(), "nginx is missing: run `bash .ci/test.sh`, which installs it");
    let directory = tempfile::tempdir().unwrap();
    let (at, port) = (directory.path(), free_port());
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = at.join("nginx.conf");
    let write = |body: &str| {
        let text = format!(
            "daemon off; pid {at}/nginx.pid; error_log {at}/error.log; events {{ worker_connections 64; }}\n\
             http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
             uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; server {{ listen 127.0.0.1:{port}; return 200 '{body}'; }} }}\n",
            at = at.display()
        );
        fs::write(&conf, text).unwrap();
    };
    write("one");
    let arguments = ["-c".into(), conf.clone().into_os_string(), "-p".into(), at.as_os_str().to_owned()];
    let mut server = std::process::Command::new(nginx).args(&arguments).stdout(Stdio::null()).spawn().unwrap();
    let control = ServerControl::new("nginx").with_arguments(arguments.clone());
    let settings = CommandSettings::new();
    let up = until(|| served(port).as_deref() == Some("one")).await;

    write("two");
    let good = reload_with(WebServer::Nginx, Some(&control), &settings).await;
    let reloaded = until(|| served(port).as_deref() == Some("two")).await;
    write("three'; nonsense");
    let bad = reload_with(WebServer::Nginx, Some(&control), &settings).await;
    // A worker of the first configuration may still answer for a moment.
    let still = until(|| served(port).as_deref() == Some("two")).await;
    write("four");
    // SIGTERM, so that the master takes its workers along.
    std::process::Command::new("kill").arg(server.id().to_string()).status().unwrap();
    server.wait().unwrap();
    let down = reload_with(WebServer::Nginx, Some(&control), &settings).await;

    assert!(up, "nginx did not start");
    assert_eq!(good.1, Ok(()));
    assert!(reloaded, "nginx does not serve the new configuration");
    let failure = bad.1.unwrap_err();
    assert!(failure.detail.contains("configuration check") && failure.detail.contains("nonsense"), "{failure}");
    assert!(still, "a bad configuration is not loaded");
    let failure = down.1.unwrap_err();
    assert!(failure.detail.starts_with("nginx's reload failed with status 1"), "{failure}");
}
