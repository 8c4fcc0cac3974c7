//! What Prometheus is told, and the alert rules, as promtool and a real Prometheus take them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::ports::free_port;
use testkit::process::{Server, require_program};

use crate::support::{Place, Run};

/// Nothing here takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that ends with its value.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Status and body of a GET.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(require_program("promtool"));
    command.args(arguments).current_dir(testkit::workspace().join("monitoring"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let run = Run::of(child.wait_with_output().unwrap()).ends_with(0);
    format!("{}{}", run.stdout, run.stderr)
}

/// Starts the daemon with metrics on a port that it chooses.
fn daemon(place: &Place, more: &[&str]) -> (Ending, u16) {
    let arguments = [&["daemon", "--metrics", "127.0.0.1:0"], more].concat();
    let daemon = Ending(place.command(&arguments).stderr(Stdio::null()).spawn().unwrap());
    let port = wait_for("no metrics are announced", || {
        let log = fs::read_to_string(place.log()).ok()?;
        log.split_once("Metrics are at http://127.0.0.1:")?.1.split('/').next()?.parse().ok()
    });
    (daemon, port)
}

#[test]
fn the_alert_rules_are_right_and_fire_when_they_should_and_not_before() {
    promtool(&["check", "rules", "certkit-alerts.yml"], "");
    promtool(&["test", "rules", "certkit-alerts-test.yml"], "");
}

#[test]
fn every_series_that_a_rule_speaks_of_is_one_that_is_told() {
    let rules = fs::read_to_string(testkit::workspace().join("monitoring/certkit-alerts.yml")).unwrap();
    let told = fs::read_to_string(testkit::workspace().join("certkit-core/src/metrics/tests/one.prom")).unwrap();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: Vec<&str> = rules.split(|c| !is_of_name(c)).filter(|word| word.starts_with("certkit_")).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(told.contains(&format!("# TYPE {name} ")), "{name}");
    }
    // And the documents name all that is told.
    let docs = fs::read_to_string(testkit::workspace().join("docs/metrics.md")).unwrap();
    for name in told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_what_is_told_and_nothing_is_written() {
    let place = Place::new();
    place.tree.lineage("a.example.org").days_left(80).write();
    place.tree.lineage("b.example.org").days_left(-3).write();
    let odd = place.tree.config_dir().join("renewal/odd\"\\ name\n} 1.conf");
    fs::write(odd, "cert = /nowhere\n").unwrap();
    let before = place.tree.snapshot();
    let run = place.run(&["status", "--prometheus"]).ends_with(0);
    assert_eq!(promtool(&["check", "metrics"], &run.stdout), "");
    for line in [
        "certkit_certificates{condition=\"expired\"} 1",
        "certkit_certificates{condition=\"broken\"} 1",
        "certkit_runs_total 0",
        "certkit_run_interval_seconds 43200",
    ] {
        assert!(run.stdout.lines().any(|told| told == line), "{line}: {}", run.stdout);
    }
    assert!(run.stdout.contains("filepath=\"") && run.stdout.contains("x509_cert_not_after{"), "{}", run.stdout);
    assert!(run.stdout.contains(r#"certificate="odd\"\\ name\\u{a}} 1""#), "{}", run.stdout);
    assert_eq!(place.tree.snapshot(), before);
    assert!(!place.log().exists(), "no log");
    place.run(&["status", "--prometheus", "--json"]).ends_with(2);
    place.run(&["status", "--prometheus", "--cert-name", "a.example.org"]).ends_with(2);
}

#[test]
fn an_address_that_others_reach_has_to_be_asked_for() {
    let place = Place::new();
    let says = |arguments: &[&str], status: i32| place.run(&[&["daemon"], arguments].concat()).ends_with(status).stderr;
    let open = says(&["--metrics", "0.0.0.0:9700"], 2);
    assert!(open.contains("can be reached from other machines") && open.contains("--remote-metrics"), "{open}");
    assert!(says(&["--metrics", "[::]:9700"], 2).contains("can be reached from other machines"));
    assert!(says(&["--metrics", "localhost:9700"], 2).contains("is not an address with a port"));
    assert!(says(&["--remote-metrics"], 2).contains("name the address"));
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let refused = says(&["--metrics", &taken.local_addr().unwrap().to_string()], 1);
    assert!(refused.contains("cannot listen on 127.0.0.1:"), "{refused}");
    assert!(place.run(&["deploy", "--metrics", "9700"]).ends_with(2).stderr.contains("does not take --metrics"));
}

#[test]
fn the_daemon_says_that_it_is_well_and_why_it_is_not() {
    let place = Place::new();
    place.tree.lineage("a.example.org").days_left(80).write();
    let (mut child, port) = daemon(&place, &[]);
    let well = wait_for("it never is well", || {
        get(port, "/healthz").filter(|(_, text)| text.contains("the last run ended") && text.contains("the next one"))
    });
    assert_eq!(well.0, 200);
    let (status, text) = get(port, "/metrics").unwrap();
    assert_eq!(status, 200);
    assert_eq!(promtool(&["check", "metrics"], &text), "");
    assert!(text.contains("certkit_certificate_not_after_timestamp_seconds{certificate=\"a.example.org\"}"), "{text}");
    assert_eq!(get(port, "/").unwrap().0, 404);
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(143));
    assert!(get(port, "/healthz").is_none(), "the socket is closed");
}

#[test]
fn a_real_prometheus_scrapes_the_daemon_and_fires_for_a_certificate_near_its_end() {
    let place = Place::new();
    place.tree.lineage("well.example.org").days_left(80).write();
    // Nobody is at its CA.
    let server = format!("http://127.0.0.1:{}/directory", free_port());
    place.tree.lineage("late.example.org").days_left(3).server(&server).write();
    let (_daemon, port) = daemon(&place, &[]);
    let rules = testkit::workspace().join("monitoring/certkit-alerts.yml");
    let config = place.folder().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n  - job_name: certkit\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n",
        rules.display()
    );
    fs::write(&config, text).unwrap();
    let web = free_port();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", place.folder().join("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{web}"),
    ];
    let arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    let log = place.folder().join("prometheus.log");
    let _prometheus = Server::start("prometheus", &require_program("prometheus"), &arguments, &[], &log);
    let alerts = || -> Option<Vec<Value>> {
        let (_, body) = get(web, "/api/v1/alerts")?;
        let document: Value = serde_json::from_str(&body).ok()?;
        Some(document["data"]["alerts"].as_array()?.clone())
    };
    let is = |alert: &Value, name: &str| alert["labels"]["alertname"] == name;
    let alerts = wait_for("no alert fires", || {
        let fires = |alert: &Value| is(alert, "CertkitCertificateAboutToExpire") && alert["state"] == "firing";
        alerts().filter(|alerts| alerts.iter().any(fires))
    });
    let about: Vec<&Value> = alerts.iter().filter(|alert| is(alert, "CertkitCertificateAboutToExpire")).collect();
    assert_eq!(about.len(), 1, "{alerts:?}");
    assert_eq!(about[0]["labels"]["certificate"], "late.example.org");
    assert_eq!(about[0]["labels"]["severity"], "page");
    assert!(!alerts.iter().any(|alert| alert["labels"]["certificate"] == "well.example.org"), "{alerts:?}");
}
