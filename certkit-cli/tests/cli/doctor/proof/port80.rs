//! Port 80 as a CA meets it.

use std::net::TcpListener;

use certkit_core::FindingCode as Code;
use testkit::Data;

use super::fault::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::HttpPortClosed, |sound| sound.lead_to("127.0.0.15"))
        .says(&["www.a.example", "127.0.0.15", "refuses the connection"])
        .cure("open port 80 in the firewall"),
    Fault::error(Code::HttpPortTaken, |sound| {
        let taken = TcpListener::bind("127.0.0.16:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        sound.names.add("s.a.example", Data::A("127.0.0.16"));
        let other = sound.host.place.tree.lineage("s.a.example").server(&sound.proxy.directory_url());
        other.account(&sound.account.id).standalone(port).write();
        sound.kept.push(Box::new(taken));
    })
    .says(&["s.a.example", "process "])
    .cure("certkit reconfigure --cert-name s.a.example --webroot -w DIR"),
    Fault::error(Code::ChallengeNotServed, |sound| sound.lead_to("127.0.0.14"))
        .says(&["www.a.example", "answers HTTP 404"])
        .cure("certkit reconfigure --cert-name a.example --webroot -w DIR"),
    Fault::error(Code::ChallengeBodyWrong, |sound| sound.lead_to("127.0.0.13"))
        .says(&["www.a.example", "answers `welcome`"])
        .cure("certkit reconfigure --cert-name a.example --webroot -w DIR"),
    Fault::error(Code::ChallengeNotSetUp, |sound| {
        sound.write_certificate(|lineage| lineage.webroot("/nonexistent/www"));
    })
    .says(&["/nonexistent/www"])
    .cure("certkit reconfigure --cert-name a.example --webroot -w DIR"),
    Fault::error(Code::RedirectLoop, |sound| sound.lead_to("127.0.0.10"))
        .says(&["www.a.example", "127.0.0.10"])
        .cure("without a redirect"),
    Fault::error(Code::RedirectForbidden, |sound| sound.lead_to("127.0.0.11"))
        .says(&["redirects to http://www.a.example:8080/"])
        .cure("without a redirect"),
    Fault::error(Code::RedirectUnresolved, |sound| sound.lead_to("127.0.0.12"))
        .says(&["redirects to gone.a.example"])
        .cure("correct the redirect"),
    Fault::error(Code::Ipv6Differs, |sound| sound.names.add("www.a.example", Data::Aaaa("::1")))
        .says(&["www.a.example", "at ::1 (IPv6) answers HTTP 404"])
        .cure("www.a.example. AAAA ::1"),
];
