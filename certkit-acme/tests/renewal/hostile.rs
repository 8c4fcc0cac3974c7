//! A CA that misbehaves while lineages are renewed. It speaks plain http on loopback and checks no signatures.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certkit_acme::renewal::{Outcome, Renewer, Report, Request};
use certkit_acme::{Stop, StopReason};
use certkit_core::FailureClass;
use certkit_core::store::{Store, StorePaths};
use testkit::{AccountKeyKind, HttpRequest, Tree};

use crate::support::entry;

/// Status, further header lines, body. `{base}` stands for the CA's own URL. Nothing is answered to `None`.
type Answer = Option<(u16, &'static str, String)>;

struct HostileCa {
    base: String,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl HostileCa {
    /// Answers by path; the directory and nonces are always good.
    fn start(answers: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let (own, counted) = (base.clone(), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let Some(path) = HttpRequest::read(&stream).map(|request| request.path) else { continue };
                *counted.lock().unwrap().entry(path.clone()).or_default() += 1;
                match standard(&path, &own).or_else(|| answers(&path)) {
                    Some((status, headers, body)) => {
                        answer(&mut stream, status, headers, &body.replace("{base}", &own));
                    }
                    None => held.push(stream),
                }
            }
        });
        Self { base, asked }
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

fn standard(path: &str, base: &str) -> Answer {
    let directory = format!(
        r#"{{"newNonce":"{base}/nonce","newAccount":"{base}/account","newOrder":"{base}/new-order","revokeCert":"{base}/revoke","keyChange":"{base}/key"}}"#
    );
    match path {
        "/dir" => Some((200, "", directory)),
        "/nonce" => Some((200, "", String::new())),
        _ => None,
    }
}

fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) {
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

struct Lineages {
    tree: Tree,
    folder: tempfile::TempDir,
}

impl Lineages {
    fn new(ca: &HostileCa, count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), testkit::now());
        let server = format!("{}/dir", ca.base);
        let account = tree.account_with_url(&server, AccountKeyKind::EcP256, &format!("{}/account/1", ca.base));
        std::fs::create_dir(folder.path().join("www")).unwrap();
        for number in 1..=count {
            let lineage = tree.lineage(&format!("l{number}.example.com")).days_left(5).server(&server);
            lineage.account(&account.id).webroot(folder.path().join("www")).write();
        }
        Self { tree, folder }
    }

    fn renewer(&self) -> Renewer {
        let root = self.folder.path();
        let paths = StorePaths::new(self.tree.config_dir().to_owned(), root.join("work"), root.join("logs"));
        Renewer::builder(Store::open(paths).unwrap()).build().unwrap()
    }

    async fn run(&self, request: Request) -> Report {
        self.renewer().run(request, &Stop::new()).await.unwrap()
    }
}

fn class(report: &Report, name: &str) -> FailureClass {
    match &entry(report, name).outcome {
        Outcome::Failed { failure, .. } => failure.class,
        other => panic!("{other:?}"),
    }
}

fn problem(kind: &str) -> String {
    format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no"}}"#)
}

fn order(status: &str, name: &str) -> String {
    format!(
        r#"{{"status":"{status}","identifiers":[{{"type":"dns","value":"{name}"}}],"authorizations":["{{base}}/authz"],"finalize":"{{base}}/finalize"}}"#
    )
}

const LOCATED: &str = "Location: {base}/order\r\n";

fn placed(status: &str, name: &str, base_of: &str) -> Answer {
    // The header needs the address as well; the body's is filled in by the server.
    let location: &'static str = Box::leak(LOCATED.replace("{base}", base_of).into_boxed_str());
    Some((201, location, order(status, name)))
}

/// The base is known only once the server runs: its answers read it from here.
type Base = Arc<Mutex<String>>;

fn started(answers: impl Fn(&str, &str) -> Answer + Send + 'static) -> HostileCa {
    let base = Base::default();
    let known = Arc::clone(&base);
    let ca = HostileCa::start(move |path| answers(path, &known.lock().unwrap().clone()));
    *base.lock().unwrap() = ca.base.clone();
    ca
}

#[tokio::test]
async fn a_refusal_that_concerns_all_is_asked_for_once_and_then_waited_for() {
    for (status, headers, kind) in [
        (429, "Retry-After: 3600\r\n", "rateLimited"),
        (503, "Retry-After: 3600\r\n", "serverInternal"),
        (403, "", "userActionRequired"),
        (400, "", "accountDoesNotExist"),
    ] {
        let ca = started(move |path, _| (path == "/new-order").then(|| (status, headers, problem(kind))));
        let lineages = Lineages::new(&ca, 5);
        let mut request = Request::renew();
        request.parallel_orders = Some(1);
        let report = lineages.run(request.clone()).await;
        assert_eq!(ca.asked("/new-order"), 1, "{kind}");
        assert!(report.entries.iter().all(|entry| !entry.outcome.is_success()), "{report:?}");
        let report = lineages.run(request).await;
        assert_eq!(ca.asked("/new-order"), 1, "{kind}: held by what was learned");
        assert!(report.entries.iter().all(|entry| matches!(entry.outcome, Outcome::Held { .. })), "{kind}: {report:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_dead_in_whatever_way_does_not_hold_a_lineage_for_ever() {
    let name = "l1.example.com";
    type Answers = fn(&str, &str) -> Answer;
    let dead: [(&str, Answers); 5] = [
        ("gone", |path, _| (path == "/order").then(|| (404, "", problem("malformed")))),
        ("no longer ours", |path, _| (path == "/order").then(|| (403, "", problem("unauthorized")))),
        ("deactivated", |path, _| (path == "/order").then(|| (200, "", order("deactivated", "l1.example.com")))),
        ("for another name", |path, _| (path == "/order").then(|| (200, "", order("ready", "evil.example.com")))),
        ("without its authorization", |path, _| match path {
            "/order" => Some((200, "", order("pending", "l1.example.com"))),
            "/authz" => Some((404, "", problem("malformed"))),
            _ => None,
        }),
    ];
    for (what, answers) in dead {
        let ca = started(move |path, base| match path {
            "/new-order" => placed("pending", "l1.example.com", base),
            // Good at first: the order is placed and journalled, and the run fails later.
            "/authz" if what != "without its authorization" => {
                Some((503, "Retry-After: 600\r\n", problem("serverInternal")))
            }
            _ => answers(path, base),
        });
        let lineages = Lineages::new(&ca, 1);
        for _ in 0..3 {
            let report = lineages.run(Request::renew().forced()).await;
            assert!(!entry(&report, name).outcome.is_success());
        }
        assert!(ca.asked("/new-order") >= 2, "{what}: {} orders", ca.asked("/new-order"));
        assert!(ca.asked("/new-order") <= 4, "{what}: not more than one a run");
    }
}

#[tokio::test]
async fn names_that_were_not_ordered_are_not_proved() {
    let ca = started(|path, base| {
        match path {
        "/new-order" => placed("pending", "l1.example.com", base),
        "/order" => Some((200, "", order("pending", "l1.example.com"))),
        "/authz" => Some((
            200,
            "",
            r#"{"status":"pending","identifier":{"type":"dns","value":"evil.example.com"},"challenges":[{"type":"http-01","url":"{base}/chall","token":"abc","status":"pending"}]}"#.to_owned(),
        )),
        _ => None,
    }
    });
    let lineages = Lineages::new(&ca, 1);
    let report = lineages.run(Request::renew()).await;
    assert_eq!(class(&report, "l1.example.com"), FailureClass::Protocol, "{report:?}");
    assert_eq!(ca.asked("/chall"), 0);
    assert_eq!(std::fs::read_dir(lineages.folder.path().join("www")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_ca_that_does_not_answer_does_not_keep_a_run_from_stopping() {
    let ca = started(|path, base| match path {
        "/new-order" => placed("pending", "l1.example.com", base),
        _ => None,
    });
    let lineages = Lineages::new(&ca, 1);
    let stop = Stop::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        asked.stop(StopReason::Terminate);
    });
    let started = Instant::now();
    let report = lineages.renewer().run(Request::renew(), &stop).await.unwrap();
    // systemd sends SIGKILL after 90 seconds; a read is given up at once, what may have happened after ten.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(report.stopped, Some(StopReason::Terminate));
    assert_eq!(class(&report, "l1.example.com"), FailureClass::Interrupted);
}
