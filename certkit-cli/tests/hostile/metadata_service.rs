//! Clouds give machines their credentials by plain HTTP at one address (169.254.169.254): whoever can make a client ask there
//! may have them. A listener stands at that address, in a network of this test's own, and counts who comes.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testkit::RequestKind as Kind;

use crate::case::{Case, First, at};
use crate::run::run_all;

const SERVICE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

#[test]
fn no_ca_leads_a_request_to_a_clouds_metadata_service() {
    let mut again = Command::new("unshare");
    again.args(["--net", "--map-root-user", "--"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", "--ignored", "--nocapture", "metadata_service::in_a_network_of_its_own"]);
    let output = again.output().expect("unshare is missing: install util-linux");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n(run it where `unshare --net` is permitted)"
    );
}

#[test]
#[ignore = "run by the one before, in a network of its own"]
fn in_a_network_of_its_own() {
    for line in ["link set lo up", "addr add 169.254.169.254/32 dev lo"] {
        let status = Command::new("ip").args(line.split(' ')).status();
        assert!(status.expect("ip is missing: install iproute2").success(), "ip {line}");
    }
    let (plain, tls) = (listen(80), listen(443));
    run_all(cases());
    assert_eq!(*plain.lock().unwrap(), Vec::<Vec<u8>>::new());
    // An https URL may lead anywhere. What comes there first is a handshake (RFC 8446 section 5.1), which such a service
    // does not understand, and never a request.
    let came = tls.lock().unwrap();
    assert!(!came.is_empty() && came.iter().all(|first| first.first() == Some(&22)), "{came:?}");
}

/// Keeps what each connection sends first.
fn listen(port: u16) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let listener = TcpListener::bind((SERVICE, port)).unwrap();
    let came = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut first = vec![0; 512];
            let read = stream.read(&mut first).unwrap_or(0);
            first.truncate(read);
            kept.lock().unwrap().push(first);
        }
    });
    came
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let url = move || format!("{scheme}://{SERVICE}:{port}/latest/meta-data/iam/");
        let (class, says) = match scheme {
            "http" => ("protocol", "plain http is allowed for loopback addresses only"),
            _ => ("network", "169.254.169.254"),
        };
        for kind in [Kind::Directory, Kind::NewOrder, Kind::Certificate, Kind::Order] {
            for status in [301, 302, 303, 307, 308] {
                let deviation = at(kind, move |_, reply| reply.redirect(status, &url()));
                let case =
                    Case::new("redirects there", "RFC 8555 6.1", deviation).variant(format!("{kind:?} {status}"));
                cases.push(case.fails("protocol", "redirect"));
            }
        }
        for pointer in ["/newOrder", "/newNonce"] {
            let deviation = at(Kind::Directory, move |_, reply| reply.set(pointer, url().into()));
            let case = Case::new("names it", "RFC 8555 6.1", deviation).variant(format!("{scheme} {pointer}"));
            cases.push(case.fails(class, says));
        }
        let finalize = at(Kind::NewOrder, move |_, reply| reply.set("/finalize", url().into()));
        let case = Case::new("names it for the end of an order", "RFC 8555 6.1", finalize).variant(scheme);
        // Who hears nothing looks at the order again, and that one is as it should be.
        cases.push(if scheme == "http" { case.fails(class, says) } else { case });
        let authorization = at(Kind::NewOrder, move |_, reply| reply.set("/authorizations", json!([url()])));
        let case = Case::new("names it for an authorization", "RFC 8555 6.1", authorization).variant(scheme);
        cases.push(case.fails(class, says));
        let redirect = at(Kind::NewAccount, move |_, reply| reply.redirect(307, &url()));
        let case = Case::new("redirects who registers there", "RFC 8555 6.1", redirect).variant(scheme);
        cases.push(case.first(First::Agreed).registers_nothing("a redirect to"));
        let alternate = at(Kind::Certificate, move |_, reply| {
            reply.header("Link", &format!("<{}>;rel=\"alternate\"", url()));
        });
        let case = Case::new("links to it as an alternate chain", "RFC 8555 7.4.2", alternate).variant(scheme);
        cases.push(case.with(|setup| setup.parameter = Some(("preferred_chain", "Another Root"))));
    }
    cases
}
