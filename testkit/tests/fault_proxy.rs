//! Every fault of the proxy, as a plain client sees it, in front of a real Pebble.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::{Answer, FaultProxy, Pebble, PebbleOptions, RequestKind, https};

fn start() -> (Pebble, FaultProxy) {
    let pebble = Pebble::start(PebbleOptions::default());
    let proxy = FaultProxy::start(&pebble);
    (pebble, proxy)
}

fn address(proxy: &FaultProxy) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, proxy.port()).into()
}

fn get(proxy: &FaultProxy, path: &str) -> std::io::Result<https::Answer> {
    https::get(address(proxy), path)
}

fn json(answer: &https::Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// A newOrder request that nobody signed: enough for the proxy, nothing for Pebble.
fn new_order(proxy: &FaultProxy, payload: &Value) -> https::Answer {
    let part = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let protected = part(&json!({ "alg": "ES256", "nonce": "none", "url": "none" }));
    let jws = json!({ "protected": protected, "payload": part(payload), "signature": "" });
    https::post_jose(address(proxy), "/order-plz", jws.to_string().as_bytes()).unwrap()
}

fn order_for(names: &[&str]) -> Value {
    let identifiers: Vec<_> = names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
    json!({ "identifiers": identifiers })
}

fn problem_type(answer: &https::Answer) -> String {
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    let problem = json(answer);
    assert_eq!(problem["status"], answer.status);
    problem["type"].as_str().unwrap().strip_prefix("urn:ietf:params:acme:error:").unwrap().to_owned()
}

#[test]
fn pebbles_urls_point_at_the_proxy_and_nothing_else_changes() {
    let (pebble, proxy) = start();
    let through: Value = json(&get(&proxy, "/dir").unwrap());
    let port = pebble.directory_url().split([':', '/']).nth(4).unwrap().parse().unwrap();
    let direct = https::get((Ipv4Addr::LOCALHOST, port).into(), "/dir").unwrap();
    let direct = String::from_utf8(direct.body).unwrap().replace(&port.to_string(), &proxy.port().to_string());
    assert_eq!(through, serde_json::from_str::<Value>(&direct).unwrap());
    let new_order = through["newOrder"].as_str().unwrap();
    assert_eq!(new_order, format!("https://127.0.0.1:{}/order-plz", proxy.port()));
    assert_eq!(https::served_chain(address(&proxy), "localhost").unwrap().len(), 2);

    let nonce = get(&proxy, "/nonce-plz").unwrap();
    assert_eq!(nonce.status, 204);
    assert!(nonce.header("Replay-Nonce").is_some());
    assert_eq!(proxy.count(RequestKind::NewNonce), 1);
    let port = proxy.port();
    drop(proxy);
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn the_directory_offers_what_it_is_told_to() {
    let (_pebble, proxy) = start();
    proxy.offer_renewal_info();
    proxy.offer_profiles(&[("classic", "90 days"), ("shortlived", "six days")]);
    proxy.say_external_account_required();
    proxy.set_in_directory("/meta/website", "https://ca.example".into());
    proxy.remove_from_directory("/keyChange");
    let directory = json(&get(&proxy, "/dir").unwrap());
    assert_eq!(directory["renewalInfo"], format!("https://127.0.0.1:{}/renewal-info", proxy.port()));
    let meta = &directory["meta"];
    assert_eq!(meta["profiles"], json!({ "classic": "90 days", "shortlived": "six days" }));
    assert_eq!((&meta["externalAccountRequired"], &meta["website"]), (&json!(true), &json!("https://ca.example")));
    assert!(meta["termsOfService"].is_string(), "{directory}");
    assert_eq!(directory.get("keyChange"), None);
}

#[test]
fn renewal_information_is_said_for_each_certificate() {
    let (_pebble, proxy) = start();
    let start = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let end = start + TimeDelta::hours(3);
    proxy.set_renewal_info("aki.one", Answer::explained_renewal_window(start, end, "https://ca.example/why"));
    proxy.set_renewal_info("aki.two", Answer::json(200, "{\"suggestedWindow\":"));
    proxy.set_renewal_info("aki.three", Answer::renewal_window(start, end).without_header("Retry-After"));
    let ask = |id: &str| get(&proxy, &format!("/renewal-info/{id}")).unwrap();

    let one = ask("aki.one");
    let window = json!({ "start": "2026-11-18T11:06:40Z", "end": "2026-11-18T14:06:40Z" });
    assert_eq!(json(&one), json!({ "suggestedWindow": window, "explanationURL": "https://ca.example/why" }));
    assert_eq!((one.status, one.header("Retry-After")), (200, Some("21600")));
    assert_eq!(one.header("Content-Type"), Some("application/json"));
    assert!(serde_json::from_slice::<Value>(&ask("aki.two").body).is_err());
    assert_eq!(ask("aki.three").header("Retry-After"), None);
    assert_eq!(ask("aki.four").status, 404);
    proxy.set_default_renewal_info(Answer::renewal_window(start, end).retry_after_date(end));
    assert_eq!(ask("aki.four").header("Retry-After"), Some("Wed, 18 Nov 2026 14:06:40 GMT"));
    proxy.set_default_renewal_info(Answer::service_unavailable());
    assert_eq!(ask("aki.four").status, 503);

    assert_eq!(https::post_jose(address(&proxy), "/renewal-info/aki.one", b"").unwrap().status, 405);
    assert_eq!(proxy.count(RequestKind::RenewalInfo), 7);
    assert_eq!(proxy.connections(RequestKind::RenewalInfo), 7, "this client opens one for each");
    proxy.on(RequestKind::RenewalInfo).times(1).truncate();
    let half = ask("aki.one").body;
    assert!(one.body.starts_with(&half) && half.len() < one.body.len());
    proxy.forget_log();
    assert_eq!(proxy.count(RequestKind::RenewalInfo), 0);
}

#[test]
fn orders_are_recorded_and_refused_in_every_way() {
    let (_pebble, proxy) = start();
    let on = || proxy.on(RequestKind::NewOrder).times(1);
    let plain = order_for(&["a.example"]);

    on().answer(Answer::rate_limited().retry_after(120));
    let limited = new_order(&proxy, &plain);
    assert_eq!((limited.status, problem_type(&limited).as_str()), (429, "rateLimited"));
    assert_eq!(limited.header("Retry-After"), Some("120"));
    assert!(limited.header("Replay-Nonce").is_some_and(|nonce| !nonce.is_empty()));

    on().answer(Answer::paused("a.example", "https://ca.example/unpause?jwt=x"));
    let paused = new_order(&proxy, &plain);
    assert_eq!((problem_type(&paused).as_str(), paused.header("Retry-After")), ("rateLimited", None));
    assert!(json(&paused)["detail"].as_str().unwrap().ends_with("Please visit: https://ca.example/unpause?jwt=x"));

    on().answer(Answer::user_action_required("https://ca.example/terms"));
    let action = new_order(&proxy, &plain);
    assert_eq!(problem_type(&action), "userActionRequired");
    assert_eq!(json(&action)["instance"], "https://ca.example/terms");

    on().answer(Answer::rejected_identifiers(&["b.example", "192.0.2.1"]));
    let rejected = json(&new_order(&proxy, &plain));
    assert_eq!(rejected["subproblems"][0]["identifier"], json!({ "type": "dns", "value": "b.example" }));
    assert_eq!(rejected["subproblems"][1]["identifier"], json!({ "type": "ip", "value": "192.0.2.1" }));

    for (answer, status, kind) in [
        (Answer::already_replaced(), 409, "alreadyReplaced"),
        (Answer::invalid_profile("x"), 400, "invalidProfile"),
        (Answer::profile_not_permitted("x"), 403, "unauthorized"),
        (Answer::external_account_required(), 403, "externalAccountRequired"),
        (Answer::account_does_not_exist(), 400, "accountDoesNotExist"),
        (Answer::server_internal(), 500, "serverInternal"),
        (Answer::problem(400, "badCSR", "no"), 400, "badCSR"),
    ] {
        on().answer(answer);
        let refused = new_order(&proxy, &plain);
        assert_eq!((refused.status, problem_type(&refused).as_str()), (status, kind));
    }

    on().answer(Answer::service_unavailable().header("X-Load-Balancer", "7"));
    let unavailable = new_order(&proxy, &plain);
    assert_eq!((unavailable.status, unavailable.header("Content-Type")), (503, Some("text/html")));
    assert_eq!((unavailable.header("X-Load-Balancer"), unavailable.header("Replay-Nonce")), (Some("7"), None));

    let unsigned = new_order(&proxy, &plain);
    assert_eq!(unsigned.status, 400, "all rules are used up, and Pebble wants a signature");
    assert_eq!(proxy.new_orders().len(), 13);
}

#[test]
fn a_rule_acts_on_the_orders_that_it_describes() {
    let (_pebble, proxy) = start();
    let status = |payload: &Value| new_order(&proxy, payload).status;
    proxy.on(RequestKind::NewOrder).naming("b.example").answer(Answer::problem(451, "rejectedIdentifier", "b"));
    proxy.on(RequestKind::NewOrder).with_replaces().answer(Answer::already_replaced());
    proxy.on(RequestKind::NewOrder).with_profile("short").answer(Answer::profile_not_permitted("short"));
    proxy.on(RequestKind::NewOrder).nth(2).answer(Answer::server_internal());
    let with = |member: &str, value: &str| {
        let mut order = order_for(&["a.example"]);
        order[member] = value.into();
        order
    };
    assert_eq!(status(&order_for(&["a.example", "b.example"])), 451);
    assert_eq!(status(&with("replaces", "aki.serial")), 409);
    assert_eq!(status(&with("profile", "short")), 403);
    assert_eq!(status(&with("profile", "long")), 400, "the first that no earlier rule took");
    assert_eq!(status(&order_for(&["a.example"])), 500, "the second");
    assert_eq!(status(&order_for(&["a.example"])), 400, "only the second");
    proxy.clear();
    assert_eq!(status(&order_for(&["b.example"])), 400);

    let orders = proxy.new_orders();
    assert_eq!(orders[0].names, ["a.example", "b.example"]);
    assert_eq!((orders[0].replaces.as_deref(), orders[1].replaces.as_deref()), (None, Some("aki.serial")));
    assert_eq!(orders[3].profile.as_deref(), Some("long"));
    assert_eq!(orders[6].payload, order_for(&["b.example"]));
    let log = proxy.log();
    assert_eq!((log[0].method.as_str(), log[0].path.as_str()), ("POST", "/order-plz"));
    assert_eq!(log[0].protected.as_ref().unwrap()["alg"], "ES256");
}

#[test]
fn connections_are_cut_before_after_and_in_the_middle() {
    let (pebble, proxy) = start();
    let requests = || pebble.log().matches("/dir").count();
    let whole = get(&proxy, "/dir").unwrap();
    let before = requests();

    proxy.on(RequestKind::Directory).times(1).cut_before();
    assert!(get(&proxy, "/dir").is_err());
    assert_eq!(requests(), before);

    proxy.on(RequestKind::Directory).times(1).cut_after();
    assert!(get(&proxy, "/dir").is_err());
    assert_eq!(requests(), before + 1);

    proxy.on(RequestKind::Directory).times(1).truncate();
    let half = get(&proxy, "/dir").unwrap();
    assert_eq!(half.header("Content-Length"), Some(half.body.len().to_string().as_str()));
    assert_eq!(half.body.len(), whole.body.len() / 2);
    assert!(whole.body.starts_with(&half.body));

    proxy.on(RequestKind::Directory).times(1).cut_in_body();
    let cut = get(&proxy, "/dir").unwrap();
    assert_eq!(cut.header("Content-Length"), Some(whole.body.len().to_string().as_str()));
    assert_eq!(cut.body, half.body);

    assert_eq!(get(&proxy, "/dir").unwrap().body, whole.body);
}

/// Asks for the directory and reads until `limit` bytes came or nothing came for `patience`.
fn read_some(proxy: &FaultProxy, limit: usize, patience: Duration) -> Result<Vec<u8>, ErrorKind> {
    let mut stream = https::stream(address(proxy), "localhost").unwrap();
    stream.sock.set_read_timeout(Some(patience)).unwrap();
    write!(stream, "GET /dir HTTP/1.1\r\nHost: {}\r\n\r\n", address(proxy)).unwrap();
    let mut all = vec![0; limit];
    stream.read_exact(&mut all).map(|()| all).map_err(|error| error.kind())
}

#[test]
fn answers_go_on_for_ever_or_never_come() {
    const ENOUGH: usize = 3 * 1024 * 1024;
    let (_pebble, proxy) = start();
    proxy.on(RequestKind::Directory).times(1).endless_body();
    assert_eq!(read_some(&proxy, ENOUGH, Duration::from_secs(10)).unwrap().len(), ENOUGH);

    proxy.on(RequestKind::Directory).times(1).hang();
    proxy.on(RequestKind::Directory).times(1).hang_after();
    for _ in 0..2 {
        assert_eq!(read_some(&proxy, 1, Duration::from_millis(300)), Err(ErrorKind::WouldBlock));
    }
    proxy.on(RequestKind::Directory).delayed(Duration::from_secs(1)).pass();
    assert_eq!(read_some(&proxy, 1, Duration::from_millis(100)), Err(ErrorKind::WouldBlock));
    assert_eq!(get(&proxy, "/dir").unwrap().status, 200);
    assert_eq!(proxy.count(RequestKind::Directory), 5);
}

#[test]
fn an_outage_refuses_and_cuts_connections_until_it_is_over() {
    let (_pebble, proxy) = start();
    let mut kept = https::stream(address(&proxy), "localhost").unwrap();
    write!(kept, "HEAD /nonce-plz HTTP/1.1\r\nHost: {}\r\n\r\n", address(&proxy)).unwrap();
    assert!(kept.read(&mut [0; 4096]).unwrap() > 0);
    for _ in 0..2 {
        proxy.refuse_connections();
        assert_eq!(get(&proxy, "/dir").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.accept_connections();
        assert_eq!(get(&proxy, "/dir").unwrap().status, 200);
    }
    assert!(kept.read(&mut [0; 4096]).is_err(), "it was cut without a goodbye");
    proxy.refuse_connections();
    proxy.clear();
    assert_eq!(get(&proxy, "/dir").unwrap().status, 200);
}

#[test]
fn answers_are_rewritten_and_their_date_is_shifted() {
    let (_pebble, proxy) = start();
    proxy.on(RequestKind::Directory).rewrite(|directory| directory["newOrder"] = "javascript:alert(1)".into());
    proxy.shift_date(TimeDelta::days(-40));
    let answer = get(&proxy, "/dir").unwrap();
    assert_eq!(json(&answer)["newOrder"], "javascript:alert(1)");
    let dated = |answer: &https::Answer| -> DateTime<Utc> {
        DateTime::parse_from_rfc2822(answer.header("Date").unwrap()).unwrap().into()
    };
    let ago = testkit::now() - dated(&answer);
    assert!((ago - TimeDelta::days(40)).abs() < TimeDelta::minutes(5), "{ago}");
    proxy.on(RequestKind::NewNonce).answer(Answer::server_internal());
    assert!(testkit::now() - dated(&get(&proxy, "/nonce-plz").unwrap()) > TimeDelta::days(39));
    proxy.shift_date(TimeDelta::zero());
    assert!((testkit::now() - dated(&get(&proxy, "/dir").unwrap())).abs() < TimeDelta::minutes(5));
}
