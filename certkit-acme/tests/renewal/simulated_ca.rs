//! A CA that lives by a test's clock: what it issues begins when that clock says. Pebble's certificates begin now.
//!
//! It speaks plain http on loopback, takes every name as validated and checks no signature of a request; the chain is
//! real, so that what it issues is verified and committed as any other.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use certkit_acme::Clock as _;
use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use serde_json::{Value, json};
use testkit::{HttpRequest, RequestedKey};

use crate::clock::TestClock;

pub(crate) struct SimulatedCa {
    shared: Arc<Shared>,
}

struct Shared {
    base: String,
    clock: Arc<TestClock>,
    lifetime: TimeDelta,
    issuer: Issuer<'static, KeyPair>,
    /// The issuer's certificate, PEM.
    root: String,
    orders: Mutex<Vec<Placed>>,
    /// The paths that were asked for, in order.
    asked: Mutex<Vec<String>>,
    is_down: AtomicBool,
}

struct Placed {
    at: DateTime<Utc>,
    names: Vec<String>,
    certificate: Option<String>,
    /// How often it was looked at since the request came.
    looks: u32,
}

/// Public CAs begin certificates an hour before they issue them, for clocks that are behind.
const BACKDATED: TimeDelta = TimeDelta::hours(1);

impl SimulatedCa {
    pub(crate) fn start(clock: &Arc<TestClock>, lifetime: TimeDelta) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (key, now) = (KeyPair::generate().unwrap(), clock.now());
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Simulated CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        set_dates(&mut params, now - TimeDelta::days(365), now + TimeDelta::days(3650));
        let root = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let (orders, asked, is_down) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared =
            Arc::new(Shared { base, clock: Arc::clone(clock), lifetime, issuer, root, orders, asked, is_down });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                served.serve(stream);
            }
        });
        Self { shared }
    }

    pub(crate) fn directory_url(&self) -> String {
        format!("{}/dir", self.shared.base)
    }

    /// The URL of the one account that it knows.
    pub(crate) fn account_url(&self) -> String {
        format!("{}/account/1", self.shared.base)
    }

    /// From now on it answers nothing but 503, or everything again.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::Relaxed);
    }

    /// The paths that were asked for since the last call.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    /// When orders were placed, by its clock.
    pub(crate) fn orders(&self) -> Vec<DateTime<Utc>> {
        self.shared.orders.lock().unwrap().iter().map(|order| order.at).collect()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Some(request) = HttpRequest::read(&stream) else { return };
        self.asked.lock().unwrap().push(request.path.clone());
        let (status, kind, headers, body) = if self.is_down.load(Ordering::Relaxed) {
            (503, "text/html", String::new(), "<html>maintenance</html>".to_owned())
        } else {
            self.answer(&request)
        };
        let date = httpdate::fmt_http_date(self.clock.now().into());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Type: {kind}\r\nReplay-Nonce: bm9uY2U\r\n\
             Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
        );
        let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
    }

    fn answer(&self, request: &HttpRequest) -> (u16, &'static str, String, String) {
        let json = |status, headers: String, body: Value| (status, "application/json", headers, body.to_string());
        let (base, path) = (&self.base, request.path.as_str());
        let mut orders = self.orders.lock().unwrap();
        let (what, number) = path.rsplit_once('/').unwrap_or_default();
        let number: usize = number.parse().unwrap_or(usize::MAX);
        match (path, what) {
            ("/dir", _) => {
                let url = |name: &str| format!("{base}/{name}");
                let directory = json!({
                    "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("new-order"),
                    "revokeCert": url("revoke"), "keyChange": url("key"),
                });
                json(200, String::new(), directory)
            }
            ("/nonce", _) => json(200, String::new(), json!({})),
            ("/new-order", _) => {
                let payload = request.payload();
                let names = payload["identifiers"].as_array().unwrap().iter();
                let names = names.map(|one| one["value"].as_str().unwrap().to_owned()).collect();
                orders.push(Placed { at: self.clock.now(), names, certificate: None, looks: 0 });
                let number = orders.len() - 1;
                let headers = format!("Location: {base}/order/{number}\r\n");
                json(201, headers, self.order(number, &mut orders[number]))
            }
            (_, "/order") => {
                // It takes a second, and says so.
                json(200, "Retry-After: 1\r\n".into(), self.order(number, &mut orders[number]))
            }
            (_, "/finalize") => {
                let csr = BASE64URL_NOPAD.decode(request.payload()["csr"].as_str().unwrap().as_bytes()).unwrap();
                orders[number].certificate = Some(self.issue(number, &orders[number].names, &csr));
                json(200, "Retry-After: 1\r\n".into(), self.order(number, &mut orders[number]))
            }
            (_, "/cert") => {
                let chain = format!("{}{}", orders[number].certificate.as_ref().unwrap(), self.root);
                (200, "application/pem-certificate-chain", String::new(), chain)
            }
            _ => json(404, String::new(), json!({})),
        }
    }

    /// The first order of all is processed for a while.
    fn order(&self, number: usize, order: &mut Placed) -> Value {
        let base = &self.base;
        let identifiers: Vec<_> = order.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        let mut text = json!({
            "status": "ready", "identifiers": identifiers, "authorizations": [format!("{base}/authz/{number}")],
            "finalize": format!("{base}/finalize/{number}"),
        });
        if order.certificate.is_some() {
            order.looks += 1;
            if number == 0 && order.looks < 3 {
                text["status"] = "processing".into();
            } else {
                text["status"] = "valid".into();
                text["certificate"] = format!("{base}/cert/{number}").into();
            }
        }
        text
    }

    fn issue(&self, number: usize, names: &[String], csr: &[u8]) -> String {
        let mut params = CertificateParams::new(names).unwrap();
        let now = self.clock.now();
        set_dates(&mut params, now - BACKDATED, now - BACKDATED + self.lifetime);
        params.serial_number = Some(SerialNumber::from(number as u64 + 1));
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&RequestedKey::of(csr), &self.issuer).unwrap().pem()
    }
}

fn set_dates(params: &mut CertificateParams, not_before: DateTime<Utc>, not_after: DateTime<Utc>) {
    let since_1970 = |at: DateTime<Utc>| std::time::Duration::from_secs(at.timestamp().try_into().unwrap());
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(not_before);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(not_after);
}
