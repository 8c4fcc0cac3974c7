//! Limits and problem documents (RFC 8555 sections 6.6 and 6.7).

use serde_json::json;
use testkit::Reply;
use testkit::RequestKind as Kind;

use crate::case::{Case, at};
use crate::run::run_all;

#[test]
fn refusals() {
    run_all(cases());
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = limits();
    cases.extend(problems());
    cases
}

/// RFC 8555 section 6.6. A Retry-After beyond a day counts as a day; one that cannot be read is none.
fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    for pauses in [
        &[][..],
        &["0"],
        &["-1"],
        &["1e30"],
        &["99999999999999999999"],
        &["Fri, 31 Dec 9999 23:59:59 GMT"],
        &["soon"],
        &["60", "600"],
    ] {
        let deviation = at(Kind::NewOrder, move |_, reply| {
            reply.refuse(429, "rateLimited", "too many");
            pauses.iter().for_each(|pause| reply.header("Retry-After", pause));
        });
        let case =
            Case::new("has a limit and says oddly, or not, when it wants to be asked again", "RFC 8555 6.6", deviation);
        cases.push(case.variant(format!("{pauses:?}")).fails("rate-limited", "rateLimited: too many"));
    }
    // RFC 2822 comments without end were RUSTSEC-2026-0009.
    let nested = at(Kind::NewOrder, |_, reply| {
        reply.refuse(503, "serverInternal", "busy");
        reply.header("Retry-After", &format!("Fri, 31 Dec 2027 23:59:59 {}", "(".repeat(50_000)));
    });
    let case = Case::new("says when it wants to be asked again in a date that never ends", "RUSTSEC-2026-0009", nested);
    cases.push(case.fails("server-unavailable", "busy"));
    cases
}

/// Problem documents (RFC 8555 section 6.7).
fn problems() -> Vec<Case> {
    let refused = |change: fn(&mut Reply)| {
        at(Kind::NewOrder, move |_, reply| {
            reply.refuse(403, "rejectedIdentifier", "no");
            change(reply);
        })
    };
    let sub = |name: &str, kind: &str| json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "\u{1b}[2Jno", "identifier": { "type": "dns", "value": name } });
    let each = at(Kind::NewOrder, move |_, reply| {
        reply.refuse(403, "compound", "several");
        reply.set(
            "/subproblems",
            json!([sub("www.a.example.com", "caa"), sub("a.example.com", "rejectedIdentifier"), 7, { "detail": 7 }]),
        );
    });
    let flood = at(Kind::NewOrder, move |_, reply| {
        reply.refuse(403, "compound", "several");
        let many: Vec<_> = (0..6_000).map(|number| sub(&format!("n{number}.example.net"), "caa")).collect();
        reply.set("/subproblems", many.into());
    });
    let mut cases = vec![
        Case::new("refuses each name with a reason of its own", "RFC 8555 6.7.1", each)
            .fails("identifier-refused", "Identifier: www.a.example.com")
            .also_says("Identifier: a.example.com")
            .also_says("Detail: \\u{1b}[2Jno"),
        Case::new("refuses 6,000 names that nobody ordered", "RFC 8555 6.7.1", flood)
            .fails("identifier-refused", "compound: several"),
        Case::new(
            "refuses in a terminal's commands",
            "RFC 8555 6.7",
            refused(|reply| {
                reply.set(
                    "/detail",
                    json!("\u{1b}]0;x\u{7}\u{9b}31m\r\nHTTP/1.1 200\r\n\0\u{202e}`touch canary`$(touch canary)"),
                );
                reply.set("/type", json!("urn:x:\u{1b}[2J\n$(touch canary)"));
                reply.set("/title", json!("\u{1b}[2J"));
                reply.set("/instance", json!("https://x.example/\u{1b}[2J\n"));
            }),
        )
        .fails("refused", "\\u{1b}]0;x\\u{7}\\u{9b}31m\\u{d}\\u{a}HTTP/1.1 200"),
        Case::new(
            "refuses in 900,000 characters",
            "RFC 8555 6.7",
            refused(|reply| reply.set("/detail", format!("\u{1b}{}", "x".repeat(900_000)).into())),
        )
        .fails("identifier-refused", "\\u{1b}xxx"),
        Case::new(
            "refuses with a type that is a number",
            "RFC 7807 3.1",
            refused(|reply| {
                reply.set("/type", json!(7));
            }),
        )
        .fails("refused", "about:blank: no"),
    ];
    for (status, class) in [
        (400, "protocol"),
        (404, "protocol"),
        (429, "rate-limited"),
        (500, "server-unavailable"),
        (503, "server-unavailable"),
        (599, "server-unavailable"),
    ] {
        let deviation = at(Kind::NewOrder, move |_, reply| {
            reply.status = status;
            reply.without("Content-Type");
            reply.header("Content-Type", "text/html");
            reply.body = b"<html>\x1b[2J</html>".to_vec();
        });
        let case = Case::new("refuses with a page instead of a problem document", "RFC 8555 6.7", deviation);
        cases.push(case.variant(format!("{status}")).fails(class, &format!("HTTP {status}: an HTML page")));
    }
    cases
}
