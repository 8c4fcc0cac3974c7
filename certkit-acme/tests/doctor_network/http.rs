//! Port 80 as a CA meets it: nginx in the states in which it is found.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use certkit_acme::challenge::Authenticator;
use certkit_acme::doctor::{Check, Examined, NetworkSubject, NetworkTools, check_http_challenge};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::{FindingCode, Identifier, IdentifierSet, LineageName};
use testkit::ports::free_port;
use testkit::{Data, NameServer, NginxBlocks};

use super::{assert_fine, because, codes, findings, name_server, only, resolver};

const HOST: &str = "www.a.example";
const V4: &str = "127.0.0.9";

fn names(names: &[&str]) -> IdentifierSet {
    names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
}

fn subject(authenticator: Authenticator) -> NetworkSubject {
    NetworkSubject::new(LineageName::new("a.example").unwrap(), names(&[HOST]), authenticator)
}

fn webroot(path: PathBuf) -> NetworkSubject {
    subject(Authenticator::Webroot { map: Vec::new(), default: Some(path) })
}

fn tools(server: &NameServer, port: u16, tls_port: u16) -> NetworkTools {
    let transport = Transport::new(&TransportSettings::new()).unwrap();
    let mut tools = NetworkTools::new(transport, resolver(server));
    (tools.http.http_port, tools.http.https_port) = (port, tls_port);
    tools
}

fn addresses(host: &str, addresses: &[&str]) -> Vec<(Identifier, Vec<IpAddr>)> {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    vec![(Identifier::parse(host).unwrap(), addresses)]
}

/// The name at 127.0.0.9, with a document root that nginx may or may not serve.
async fn look(blocks: &str) -> Vec<Examined> {
    look_at(blocks, &[V4], |_| ()).await
}

async fn look_at(blocks: &str, at: &[&str], more: impl Fn(&NameServer)) -> Vec<Examined> {
    let server = name_server();
    server.add(HOST, Data::A(V4));
    more(&server);
    let web = NginxBlocks::start(blocks);
    let tools = tools(&server, web.port(), web.tls_port());
    let examined = check_http_challenge(&webroot(web.webroot()), &addresses(HOST, at), &tools).await;
    assert_eq!(std::fs::read_dir(web.webroot()).unwrap().count(), 0, "nothing is left in the webroot");
    examined
}

#[tokio::test]
async fn a_webroot_that_is_served_is_silent() {
    let blocks = "server { listen 127.0.0.9:{port}; listen [::1]:{port}; root {webroot}; }";
    let examined = look_at(blocks, &[V4, "::1"], |_| ()).await;
    assert_fine(&examined);
    let subjects: Vec<_> = examined.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["www.a.example at 127.0.0.9", "www.a.example at ::1"]);
}

#[tokio::test]
async fn a_webroot_that_is_not_the_servers_is_told_with_the_path() {
    let blocks = "server { listen 127.0.0.9:{port}; root /nonexistent; }";
    let examined = look(blocks).await;
    let finding = only(&examined, FindingCode::ChallengeNotServed);
    assert!(finding.evidence.contains("at 127.0.0.9 (IPv4) answers HTTP 404"), "{finding:?}");
    assert!(finding.cure().contains("/www/.well-known/acme-challenge/"), "{finding:?}");
    assert!(finding.cure().contains("--cert-name a.example"), "{finding:?}");
}

#[tokio::test]
async fn the_name_decides_which_virtual_host_answers() {
    let blocks = "server { listen 127.0.0.9:{port} default_server; return 404; }
        server { listen 127.0.0.9:{port}; server_name www.a.example; root {webroot}; }";
    assert_fine(&look(blocks).await);
}

#[tokio::test]
async fn a_page_for_every_path_is_no_answer() {
    let page = "x".repeat(3000);
    let examined = look(&format!("server {{ listen 127.0.0.9:{{port}}; return 200 \"hello {page}\"; }}")).await;
    let finding = only(&examined, FindingCode::ChallengeBodyWrong);
    assert!(finding.evidence.contains("answers `hello xxx"), "{finding:?}");
    assert!(finding.evidence.len() < 300, "{finding:?}");
}

#[tokio::test]
async fn a_port_on_this_machine_that_nobody_listens_on_is_closed() {
    let blocks = "server { listen 127.0.0.8:{port}; root {webroot}; }";
    let examined = look(blocks).await;
    let finding = only(&examined, FindingCode::HttpPortClosed);
    assert!(finding.evidence.ends_with("at 127.0.0.9 (IPv4) refuses the connection"), "{finding:?}");
}

#[tokio::test]
async fn redirects_are_followed_to_names_on_the_usual_ports() {
    let to_https = "server { listen 127.0.0.9:{port}; return 301 https://www.a.example$request_uri; }
        server { listen 127.0.0.9:{tls_port} ssl; {tls}; root {webroot}; }";
    assert_fine(&look(to_https).await);
    // Another name, whose address DNS has to tell.
    let elsewhere = "server { listen 127.0.0.9:{port}; return 302 http://b.a.example:80$request_uri; }
        server { listen 127.0.0.8:{port}; root {webroot}; }";
    assert_fine(&look_at(elsewhere, &[V4], |server| server.add("b.a.example", Data::A("127.0.0.8"))).await);
    let relative = "server { listen 127.0.0.9:{port}; root {webroot}; absolute_redirect off;
        location ~ ^/.well-known/acme-challenge/(.+) { return 307 /moved/$1; }
        location ~ ^/moved/(.+) { alias {webroot}/.well-known/acme-challenge/$1; } }";
    assert_fine(&look(relative).await);
}

#[tokio::test]
async fn loops_are_told_with_their_way_and_family() {
    let to_itself = "server { listen 127.0.0.9:{port}; return 301 http://www.a.example$request_uri; }";
    only(&look(to_itself).await, FindingCode::RedirectLoop);
    // "Flexible" TLS: https is answered by the same server over http.
    let flexible = "server { listen 127.0.0.9:{port}; return 301 https://www.a.example$request_uri; }
        server { listen 127.0.0.9:{tls_port} ssl; {tls}; add_header cf-ray 1 always;
            return 301 http://www.a.example$request_uri; }";
    let examined = look(flexible).await;
    let finding = only(&examined, FindingCode::RedirectLoop);
    assert!(finding.evidence.contains("at 127.0.0.9 (IPv4), then https://www.a.example/"), "{finding:?}");
    assert!(finding.cure().contains("Cloudflare") && finding.cure().contains("flexible"), "{finding:?}");
    // Ever longer, so that it is never the same twice.
    let longer = "server { listen 127.0.0.9:{port}; return 302 http://www.a.example/x$request_uri; }";
    let examined = look(longer).await;
    let finding = only(&examined, FindingCode::RedirectLoop);
    assert!(finding.evidence.ends_with("then 7 more"), "{finding:?}");
}

#[tokio::test]
async fn redirects_to_where_no_ca_goes_are_told_with_the_reason() {
    for (target, why) in [
        ("http://www.a.example:8080/", "port 80"),
        ("https://www.a.example:8443/", "443"),
        ("ftp://www.a.example/", "neither http nor https"),
        ("http://127.0.0.9/", "not to addresses"),
        ("http://[::1]/", "not to addresses"),
    ] {
        let examined = look(&format!("server {{ listen 127.0.0.9:{{port}}; return 302 {target}; }}")).await;
        let finding = only(&examined, FindingCode::RedirectForbidden);
        assert!(finding.evidence.contains(target) && finding.evidence.contains(why), "{finding:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_name_without_address_is_told() {
    let blocks = "server { listen 127.0.0.9:{port}; return 302 http://gone.a.example$request_uri; }";
    let examined = look(blocks).await;
    assert!(only(&examined, FindingCode::RedirectUnresolved).evidence.ends_with("redirects to gone.a.example"));
    // What cannot be looked up is not known.
    let fail = |server: &NameServer| {
        server.fail("127.0.0.1", Some("gone.a.example"), None, testkit::Fault::ServFail);
    };
    let examined = look_at(blocks, &[V4], fail).await;
    assert!(because(&examined, Check::HttpChallenge).contains("gives no answer"));
}

#[tokio::test]
async fn a_network_in_front_is_recognised() {
    let blocks = "server { listen 127.0.0.9:{port}; add_header CF-RAY 8a always; return 403; }";
    let examined = look(blocks).await;
    let finding = only(&examined, FindingCode::ChallengeNotServed);
    assert!(finding.evidence.ends_with("answers HTTP 403; Cloudflare stands in front of the server"), "{finding:?}");
    assert!(finding.cure().starts_with("let Cloudflare pass"), "{finding:?}");
}

#[tokio::test]
async fn ipv6_that_answers_differently_is_told_as_such() {
    let blocks = "server { listen 127.0.0.9:{port}; root {webroot}; } server { listen [::1]:{port}; return 404; }";
    let examined = look_at(blocks, &[V4, "::1"], |_| ()).await;
    let finding = only(&examined, FindingCode::Ipv6Differs);
    assert!(finding.evidence.contains("at ::1 (IPv6) answers HTTP 404"), "{finding:?}");
    let closed = "server { listen 127.0.0.9:{port}; root {webroot}; }";
    let examined = look_at(closed, &[V4, "::1"], |_| ()).await;
    assert!(only(&examined, FindingCode::Ipv6Differs).evidence.contains("refuses the connection"));
    // A redirect is followed to IPv6, where there is one.
    let redirected =
        "server { listen 127.0.0.9:{port}; listen [::1]:{port}; return 301 https://www.a.example$request_uri; }
        server { listen 127.0.0.9:{tls_port} ssl; {tls}; root {webroot}; }";
    let examined = look_at(redirected, &[V4], |server| server.add(HOST, Data::Aaaa("::1"))).await;
    assert!(only(&examined, FindingCode::HttpPortClosed).evidence.contains("https://www.a.example/"));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_not_waited_for_for_ever() {
    let server = name_server();
    let port = free_port();
    let _listener = TcpListener::bind((V4, port)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut tools = tools(&server, port, port);
    tools.http.answer_time = Duration::from_millis(300);
    let examined = check_http_challenge(&webroot(folder.path().to_owned()), &addresses(HOST, &[V4]), &tools).await;
    let finding = only(&examined, FindingCode::ChallengeNotServed);
    assert!(finding.evidence.contains("no complete answer within 1 s"), "{finding:?}");
}

#[tokio::test]
async fn a_webroot_that_is_not_there_is_told_for_the_name() {
    let server = name_server();
    let tools = tools(&server, free_port(), free_port());
    let examined = check_http_challenge(&webroot("/nonexistent/www".into()), &addresses(HOST, &[V4]), &tools).await;
    let finding = only(&examined, FindingCode::ChallengeNotSetUp);
    assert!(finding.subject == HOST && finding.evidence.contains("/nonexistent/www"), "{finding:?}");
}

#[tokio::test]
async fn standalone_is_tried_on_its_port() {
    let server = name_server();
    let port = free_port();
    let standalone =
        |address: &str| subject(Authenticator::Standalone { address: Some(address.parse().unwrap()), port });
    let look = async |subject: &NetworkSubject| {
        check_http_challenge(subject, &addresses(HOST, &[V4]), &tools(&server, port, port)).await
    };
    assert_fine(&look(&standalone(V4)).await);
    // Nothing stays open.
    let taken = TcpListener::bind((V4, port)).unwrap();
    let examined = look(&standalone(V4)).await;
    let finding = only(&examined, FindingCode::HttpPortTaken);
    assert!(finding.evidence.contains(&format!("process {}", std::process::id())), "{finding:?}");
    let mut with_hook = standalone(V4);
    with_hook.frees_port = true;
    let examined = look(&with_hook).await;
    assert!(because(&examined, Check::HttpChallenge).contains("a pre hook is there"));
    drop(taken);
    // The responder listens elsewhere than where the name leads.
    let examined = look(&standalone("127.0.0.8")).await;
    let finding = only(&examined, FindingCode::HttpPortClosed);
    assert!(finding.evidence.contains("refuses the connection"), "{finding:?}");
    let examined = look(&standalone("198.51.100.7")).await;
    assert!(only(&examined, FindingCode::ChallengeNotSetUp).evidence.contains("does not have the address"));
}

#[tokio::test]
async fn standalone_behind_a_web_server_is_told_which_port_to_pass_on_to() {
    let server = name_server();
    let web = NginxBlocks::start("server { listen 127.0.0.9:{port}; return 404; }");
    let port = free_port();
    let subject = subject(Authenticator::Standalone { address: Some([127, 0, 0, 8].into()), port });
    let examined =
        check_http_challenge(&subject, &addresses(HOST, &[V4]), &tools(&server, web.port(), web.tls_port())).await;
    let finding = only(&examined, FindingCode::ChallengeNotServed);
    assert!(finding.cure().ends_with(&format!("on to port {port} of this machine")), "{finding:?}");
}

#[tokio::test]
async fn addresses_as_names_are_asked_with_their_host() {
    let server = name_server();
    let blocks = "server { listen 127.0.0.9:{port} default_server; return 404; }
        server { listen 127.0.0.9:{port}; server_name 127.0.0.9; root {webroot}; }";
    let web = NginxBlocks::start(blocks);
    let mut subject = webroot(web.webroot());
    subject.identifiers = names(&[V4]);
    let tools = tools(&server, web.port(), web.tls_port());
    assert_fine(&check_http_challenge(&subject, &addresses(V4, &[V4]), &tools).await);
}

#[tokio::test]
async fn what_a_manual_hook_would_do_is_not_known() {
    let server = name_server();
    let manual = |preferred| Authenticator::Manual { auth_hook: "/bin/false".into(), cleanup_hook: None, preferred };
    let tools = tools(&server, free_port(), free_port());
    let http = subject(manual(vec![certkit_acme::challenge::ChallengeKind::Http01]));
    let examined = check_http_challenge(&http, &addresses(HOST, &[V4]), &tools).await;
    assert!(because(&examined, Check::HttpChallenge).contains("manual auth hook"));
    let dns = subject(manual(vec![certkit_acme::challenge::ChallengeKind::Dns01]));
    assert!(check_http_challenge(&dns, &addresses(HOST, &[V4]), &tools).await.is_empty());
    assert!(codes(&examined).is_empty() && findings(&examined).is_empty());
}
